//! What differs between the machines the lab can build, as data.

use xtask::Arch;

/// One row of the table: how Debian and QEMU name the parts of a machine.
pub struct Profile {
    /// As in `uname -m` and in Rust's target triples.
    pub name: &'static str,
    pub debian: &'static str,
    pub kernel: &'static str,
    pub qemu_package: &'static str,
    pub qemu: &'static str,
    pub machine: &'static [&'static str],
    /// What makes it faster to emulate, unless it counts instructions.
    pub faster: &'static [&'static str],
    /// The kernel's console, connected to the chardev `console` ...
    pub console: &'static str,
    /// ... and the line under test, connected to the chardev `line`.
    pub serial: &'static [&'static str],
    /// What else its kernel is told.
    pub append: &'static str,
    /// How `init` finds the line: a device, `pci` or `virtio`.
    pub line: &'static str,
    /// The suffix of virtio devices.
    pub bus: &'static str,
    /// What a network card needs to come without its boot ROM (a package of its own).
    pub no_rom: &'static str,
    pub modules: &'static [&'static str],
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

/// The row of a processor.
pub const fn profile(arch: Arch) -> &'static Profile {
    match arch {
        Arch::X86_64 => &X86_64,
        Arch::Aarch64 => &AARCH64,
        Arch::S390x => &S390X,
    }
}
