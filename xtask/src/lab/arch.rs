//! What differs between the machines the lab can build, as data.

use clap::ValueEnum;

/// The processor of a lab machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arch {
    /// The default: a PC with two 16550 serial ports
    #[value(name = "x86_64")]
    X86_64,
    /// 64-bit ARM; its serial line is a PCI 16550
    #[value(name = "aarch64")]
    Aarch64,
    /// 64-bit and big-endian; it has no serial port, a virtio one stands in
    #[value(name = "s390x")]
    S390x,
}

/// One row of the table: how Debian and QEMU name the parts of a machine.
pub(crate) struct Profile {
    /// As in `uname -m` and in Rust's target triples.
    pub(crate) name: &'static str,
    pub(crate) debian: &'static str,
    pub(crate) kernel: &'static str,
    pub(crate) qemu_package: &'static str,
    pub(crate) qemu: &'static str,
    pub(crate) machine: &'static [&'static str],
    /// What makes it faster to emulate, unless it counts instructions.
    pub(crate) faster: &'static [&'static str],
    /// The kernel's console, connected to the chardev `console` ...
    pub(crate) console: &'static str,
    /// ... and the line under test, connected to the chardev `line`.
    pub(crate) serial: &'static [&'static str],
    /// What else its kernel is told.
    pub(crate) append: &'static str,
    /// How `init` finds the line: a device, `pci` or `virtio`.
    pub(crate) line: &'static str,
    /// The suffix of virtio devices.
    pub(crate) bus: &'static str,
    /// What a network card needs to come without its boot ROM (a package of its own).
    pub(crate) no_rom: &'static str,
    pub(crate) modules: &'static [&'static str],
}

// WireGuard and what the control channel and the network cards need.
const MODULES: &[&str] = &["virtio_console", "virtio_net", "virtio_rng", "wireguard"];
const MODULES_PCI: &[&str] =
    &["virtio_pci", "virtio_console", "virtio_net", "virtio_rng", "wireguard"];

const X86_64: Profile = Profile {
    name: "x86_64",
    debian: "amd64",
    kernel: "linux-image-cloud-amd64",
    qemu_package: "qemu-system-x86",
    qemu: "qemu-system-x86_64",
    machine: &["-M", "q35", "-cpu", "max", "-m", "256M"],
    // Told that copying byte by byte is fast, the kernel does that; emulated, it is not.
    faster: &["-cpu", "max,-erms"],
    console: "ttyS0",
    // Whether the timer ticks is tried out by waiting for it, and a bench that has other things to do makes
    // the kernel give up.
    append: "no_timer_check ",
    serial: &["-serial", "chardev:console", "-serial", "chardev:line"],
    line: "/dev/ttyS1",
    bus: "pci",
    no_rom: ",romfile=",
    modules: MODULES_PCI,
};

const AARCH64: Profile = Profile {
    name: "aarch64",
    debian: "arm64",
    kernel: "linux-image-cloud-arm64",
    qemu_package: "qemu-system-arm",
    qemu: "qemu-system-aarch64",
    // `-cpu max` is slow to emulate here, unlike on x86_64.
    machine: &["-M", "virt", "-cpu", "cortex-a57", "-m", "256M"],
    faster: &[],
    console: "ttyAMA0",
    append: "",
    serial: &["-serial", "chardev:console", "-device", "pci-serial,chardev=line"],
    line: "pci",
    bus: "pci",
    no_rom: ",romfile=",
    modules: MODULES_PCI,
};

const S390X: Profile = Profile {
    name: "s390x",
    debian: "s390x",
    kernel: "linux-image-s390x",
    qemu_package: "qemu-system-misc",
    qemu: "qemu-system-s390x",
    machine: &["-M", "s390-ccw-virtio", "-cpu", "max", "-m", "512M"],
    faster: &[],
    console: "ttysclp0",
    append: "",
    serial: &[
        "-device",
        "sclpconsole,chardev=console",
        "-device",
        "virtserialport,chardev=line,name=line",
    ],
    line: "virtio",
    bus: "ccw",
    no_rom: "",
    modules: MODULES,
};

impl Arch {
    pub(crate) const fn profile(self) -> &'static Profile {
        match self {
            Self::X86_64 => &X86_64,
            Self::Aarch64 => &AARCH64,
            Self::S390x => &S390X,
        }
    }
}
