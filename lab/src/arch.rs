//! The differences between the machines that the lab can build, as data.

use crate::apt::Kernel;
use xtask::Arch;

/// One row of the table: how Debian and QEMU name the parts of a machine.
pub struct Profile {
    /// The name of its target in `board`.
    pub name: &'static str,
    pub debian: &'static str,
    pub kernel: Kernel,
    pub qemu_package: &'static str,
    pub qemu: &'static str,
    pub machine: &'static [&'static str],
    /// CPU options that make emulation faster, unless the machine counts instructions.
    pub faster: &'static [&'static str],
    /// The kernel's console, connected to the chardev `console` ...
    pub console: &'static str,
    /// ... and the line under test, connected to the chardev `line`.
    pub serial: &'static [&'static str],
    /// Further kernel arguments.
    pub append: &'static str,
    /// The name by which `init` finds the line: a device, `pci` or `virtio`.
    pub line: &'static str,
    /// The suffix of virtio devices.
    pub bus: &'static str,
    /// Option of a network card that omits its boot ROM (a package of its own).
    pub no_rom: &'static str,
    pub modules: &'static [&'static str],
}

// WireGuard, and the modules for the control channel and the network cards.
const MODULES: &[&str] = &["virtio_console", "virtio_net", "virtio_rng", "wireguard"];
const MODULES_PCI: &[&str] =
    &["virtio_pci", "virtio_console", "virtio_net", "virtio_rng", "wireguard"];

const X86_64: Profile = Profile {
    name: "x86_64",
    debian: "amd64",
    kernel: Kernel {
        meta: "linux-image-cloud-amd64",
        package: "linux-image-6.1.0-56-cloud-amd64",
        version: "6.1.192-2",
        sha256: "e7d02b943971edcb8790e256c02cfab3bca6c3d37c1bf25392a57c71300615ee",
    },
    qemu_package: "qemu-system-x86",
    qemu: "qemu-system-x86_64",
    machine: &["-M", "q35", "-cpu", "max", "-m", "256M"],
    // With ERMS the kernel copies byte by byte, which is slow under emulation.
    faster: &["-cpu", "max,-erms"],
    console: "ttyS0",
    // The kernel tests the timer by waiting for a tick, and on a busy bench the test fails.
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
    kernel: Kernel {
        meta: "linux-image-cloud-arm64",
        package: "linux-image-6.1.0-56-cloud-arm64",
        version: "6.1.192-2",
        sha256: "481ab54a27246579aadeb372315c56de02f2fe0cba4e09b387946269fff2f415",
    },
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

const ARMV7: Profile = Profile {
    name: "armv7_hard",
    debian: "armhf",
    kernel: Kernel {
        meta: "linux-image-armmp",
        package: "linux-image-6.1.0-50-armmp",
        version: "6.1.176-1",
        sha256: "ddd1d8dd0c6beabb9eb96bcfab26549eb30c63331bae31de481ffae4af0e982a",
    },
    qemu_package: "qemu-system-arm",
    qemu: "qemu-system-arm",
    // A kernel without LPAE reaches no address above 4 GiB, where PCI would be.
    machine: &["-M", "virt,highmem=off", "-cpu", "cortex-a15", "-m", "256M"],
    faster: &[],
    console: "ttyAMA0",
    append: "",
    serial: &["-serial", "chardev:console", "-device", "pci-serial,chardev=line"],
    line: "pci",
    bus: "pci",
    no_rom: ",romfile=",
    modules: MODULES_PCI,
};

const MIPSEL: Profile = Profile {
    name: "mipsel_24kc",
    debian: "mipsel",
    kernel: Kernel {
        meta: "linux-image-4kc-malta",
        package: "linux-image-6.1.0-50-4kc-malta",
        version: "6.1.176-1",
        sha256: "7814a3e09dcd75835963be7beeea8e01d8b7db5edcd4dc91e6a2fc1e1b380168",
    },
    qemu_package: "qemu-system-mips",
    qemu: "qemu-system-mipsel",
    machine: &["-M", "malta", "-cpu", "24Kf", "-m", "256M"],
    faster: &[],
    console: "ttyS0",
    append: "",
    serial: &["-serial", "chardev:console", "-serial", "chardev:line"],
    line: "/dev/ttyS1",
    bus: "pci",
    no_rom: ",romfile=",
    modules: MODULES_PCI,
};

const S390X: Profile = Profile {
    name: "s390x",
    debian: "s390x",
    kernel: Kernel {
        meta: "linux-image-s390x",
        package: "linux-image-6.1.0-50-s390x",
        version: "6.1.176-1",
        sha256: "a9cbaa26e37f70caa41b66b23f82169eb82042471c1ee89592613b659b12c0dd",
    },
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

/// The row of an architecture.
pub const fn profile(arch: Arch) -> &'static Profile {
    match arch {
        Arch::X86_64 => &X86_64,
        Arch::Aarch64 => &AARCH64,
        Arch::Armv7 => &ARMV7,
        Arch::Mipsel => &MIPSEL,
        Arch::S390x => &S390X,
    }
}
