//! The differences between routers, as data. The only code here is look-ups.
//!
//! A [`Board`] is a kind of router, a [`Target`] a kind of machine that the agent is built for. A
//! new router is a new entry in [`BOARDS`] (`boards.rs`), and a new architecture one in
//! [`TARGETS`].
#![no_std]
#![forbid(unsafe_code)]

mod auto;
mod boards;

pub use auto::auto;
pub use boards::BOARDS;

/// A serial port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Serial {
    /// The device.
    pub device: &'static str,
    /// Bits per second, with 8 data bits, no parity and one stop bit.
    pub baud: u32,
}

/// A kind of router.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Board {
    /// The name that people use.
    pub title: &'static str,
    /// The names in `/tmp/sysinfo/board_name`: the first `compatible` of the device tree. Revisions
    /// and flash layouts have names of their own.
    pub names: &'static [&'static str],
    /// The target of its agent, a name in [`TARGETS`].
    pub target: &'static str,
    /// The board's place in OpenWrt; `None` for a machine of the lab.
    pub openwrt: Option<OpenWrt>,
    /// The serial port that a bench can reach. On a router with one port it is also the console.
    pub serial: Serial,
    /// The LED that shows the router's state: a folder of `/sys/class/leds`.
    pub led: Option<&'static str>,
    /// The files of OpenWrt's tree with these facts.
    pub sources: &'static [&'static str],
}

/// A board's place in OpenWrt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenWrt {
    /// The target and subtarget of the images.
    pub platform: &'static str,
    /// The package architecture.
    pub package: &'static str,
}

/// A kind of machine that the agent is built for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// The name in `cargo xtask build --arch`.
    pub name: &'static str,
    /// The Rust target triple.
    pub triple: &'static str,
    /// The output of `uname -m`.
    pub machine: &'static str,
    /// The package architectures of OpenWrt that the built file supports.
    pub packages: &'static [&'static str],
    /// The linker, and the C library that it links.
    pub linker: Linker,
    /// Flags of rustc in addition to those of every target.
    pub flags: &'static [&'static str],
    /// The largest page size in bytes with which the file can be loaded. The smoke run checks its segments.
    pub page_size: u32,
    /// The emulator of qemu-user that runs the file elsewhere.
    pub emulator: &'static str,
    /// The budgets, one for each entry of [`VARIANTS`] in the same order. Empty for a target that
    /// is not a router.
    pub budgets: &'static [Budget],
    /// Largest number of KiB that the full variant may have resident while it serves, its file
    /// included, whatever the length of configurations.
    pub memory: u32,
    /// The KiB that were resident on the lab's machine after pushes of 1,000 peers, on x86_64 of 10,000; `None` without
    /// a machine. The long test of the machine fails if it finds much more.
    pub measured: Option<u32>,
    /// The kind of machine on which the lab tries the file.
    pub tried: Tried,
    /// Largest number of bytes of the file for sessions (the handshake, the ciphers, and the
    /// owners); `None` for no limit.
    pub session_budget: Option<u32>,
}

/// The kind of machine on which the lab tries a target's file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tried {
    /// A virtual machine with a Linux kernel of that architecture that has WireGuard.
    Machine,
    /// Only qemu-user, which has no kernel of its own: the file starts, and works with keys and files.
    Emulator,
}

/// The way in which a target's file is linked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Linker {
    /// The linker of Rust, with rustup's musl for the target.
    Rust,
    /// `zig cc`, with its own musl; Rust's `core` is built from source. For targets without
    /// libraries from rustup.
    Zig {
        /// Zig's name of the target.
        target: &'static str,
        /// Zig's name of the processor.
        cpu: &'static str,
    },
    /// Debian's cross compiler, with Debian's C library: for machines of the lab that are not
    /// routers.
    Debian,
}

/// A set of the agent's features that is built and packaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Variant {
    /// The name in `cargo xtask build --variant`.
    pub name: &'static str,
    /// The cargo features of the agent.
    pub features: &'static [&'static str],
}

/// The variants of the agent. The first has all features.
pub const VARIANTS: &[Variant] = &[
    Variant { name: "full", features: &["wg", "wg-quick", "console"] },
    Variant { name: "mini", features: &[] },
];

/// The target of the budgets of [`OTHER_SETS`].
pub const OTHER_SETS_TARGET: &str = "x86_64";

/// The sets of features that are no variant, and their budgets.
pub const OTHER_SETS: &[(Variant, Budget)] = &[
    (Variant { name: "wg", features: &["wg"] }, kib(346, 175)),
    (Variant { name: "wg-quick", features: &["wg-quick"] }, kib(361, 182)),
    (Variant { name: "console", features: &["console"] }, kib(385, 193)),
    (Variant { name: "wg+wg-quick", features: &["wg", "wg-quick"] }, kib(380, 190)),
    (Variant { name: "wg+console", features: &["wg", "console"] }, kib(433, 216)),
    (Variant { name: "wg-quick+console", features: &["wg-quick", "console"] }, kib(446, 222)),
];

/// The largest size of a variant on a target, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// The static file.
    pub file: u32,
    /// The file compressed with xz, as in a squashfs.
    pub flash: u32,
}

/// On mipsel 724 KiB are resident after pushes of 1,000 peers. Most are pages of the file: the
/// kernel drops these when it needs memory.
const MEMORY: u32 = 736;

/// A call at the end of a function is a jump: 5 KB less. Filling more delay slots would take another 10 KB from the file,
/// and add 1 KB to it as xz packs it.
const MIPS: &[&str] = &["-Cllvm-args=-mips-tail-calls=1"];

const fn kib(file: u32, flash: u32) -> Budget {
    Budget { file: file * 1024, flash: flash * 1024 }
}

/// The machines that the agent is built for.
pub const TARGETS: &[Target] = &[
    Target {
        name: "x86_64",
        triple: "x86_64-unknown-linux-musl",
        machine: "x86_64",
        packages: &["x86_64"],
        linker: Linker::Rust,
        flags: &[],
        page_size: 4096,
        emulator: "qemu-x86_64-static",
        budgets: &[kib(464, 232), kib(284, 146)],
        memory: MEMORY,
        measured: Some(612),
        tried: Tried::Machine,
        session_budget: Some(32 * 1024),
    },
    Target {
        name: "i386_pentium4",
        triple: "i686-unknown-linux-musl",
        machine: "i686",
        packages: &["i386_pentium4"],
        linker: Linker::Rust,
        flags: &[],
        page_size: 4096,
        emulator: "qemu-i386-static",
        budgets: &[kib(464, 244), kib(314, 169)],
        memory: MEMORY,
        measured: None,
        tried: Tried::Emulator,
        session_budget: None,
    },
    Target {
        name: "aarch64",
        triple: "aarch64-unknown-linux-musl",
        machine: "aarch64",
        packages: &[
            "aarch64_cortex-a53",
            "aarch64_cortex-a72",
            "aarch64_cortex-a76",
            "aarch64_generic",
        ],
        linker: Linker::Rust,
        flags: &[],
        page_size: 65536,
        emulator: "qemu-aarch64-static",
        budgets: &[kib(459, 229), kib(309, 154)],
        memory: MEMORY,
        measured: Some(588),
        tried: Tried::Machine,
        session_budget: None,
    },
    Target {
        name: "armv7_hard",
        triple: "armv7-unknown-linux-musleabihf",
        machine: "armv7l",
        packages: &[
            "arm_cortex-a5_vfpv4",
            "arm_cortex-a7_neon-vfpv4",
            "arm_cortex-a7_vfpv4",
            "arm_cortex-a8_vfpv3",
            "arm_cortex-a9_neon",
            "arm_cortex-a9_vfpv3-d16",
            "arm_cortex-a15_neon-vfpv4",
        ],
        linker: Linker::Zig { target: "arm-linux-musleabihf", cpu: "cortex_a7" },
        flags: &["-Ctarget-feature=+thumb-mode"],
        page_size: 4096,
        emulator: "qemu-arm-static",
        budgets: &[kib(389, 226), kib(249, 154)],
        memory: MEMORY,
        measured: Some(500),
        tried: Tried::Machine,
        session_budget: None,
    },
    Target {
        name: "armv7_soft",
        triple: "armv7-unknown-linux-musleabi",
        machine: "armv7l",
        packages: &["arm_cortex-a7", "arm_cortex-a9"],
        linker: Linker::Zig { target: "arm-linux-musleabi", cpu: "cortex_a9" },
        flags: &["-Ctarget-feature=+thumb-mode"],
        page_size: 4096,
        emulator: "qemu-arm-static",
        budgets: &[kib(389, 226), kib(249, 154)],
        memory: MEMORY,
        measured: None,
        tried: Tried::Emulator,
        session_budget: None,
    },
    Target {
        name: "mips_24kc",
        triple: "mips-unknown-linux-musl",
        machine: "mips",
        packages: &["mips_24kc"],
        linker: Linker::Zig { target: "mips-linux-musleabi", cpu: "mips32r2+soft_float" },
        flags: MIPS,
        page_size: 4096,
        emulator: "qemu-mips-static",
        budgets: &[kib(616, 246), kib(434, 169)],
        memory: MEMORY,
        measured: None,
        tried: Tried::Emulator,
        session_budget: None,
    },
    Target {
        name: "mipsel_24kc",
        triple: "mipsel-unknown-linux-musl",
        machine: "mips",
        packages: &["mipsel_24kc"],
        linker: Linker::Zig { target: "mipsel-linux-musleabi", cpu: "mips32r2+soft_float" },
        flags: MIPS,
        page_size: 4096,
        emulator: "qemu-mipsel-static",
        budgets: &[kib(616, 246), kib(434, 169)],
        memory: MEMORY,
        measured: Some(724),
        tried: Tried::Machine,
        session_budget: None,
    },
    Target {
        name: "riscv64",
        triple: "riscv64gc-unknown-linux-musl",
        machine: "riscv64",
        packages: &["riscv64_generic", "riscv64_riscv64"],
        linker: Linker::Zig { target: "riscv64-linux-musl", cpu: "baseline_rv64" },
        flags: &[],
        page_size: 4096,
        emulator: "qemu-riscv64-static",
        budgets: &[kib(469, 256), kib(322, 179)],
        memory: MEMORY,
        measured: None,
        tried: Tried::Emulator,
        session_budget: None,
    },
    Target {
        name: "s390x",
        triple: "s390x-unknown-linux-gnu",
        machine: "s390x",
        packages: &[],
        linker: Linker::Debian,
        flags: &[],
        page_size: 4096,
        emulator: "qemu-s390x-static",
        budgets: &[],
        memory: MEMORY,
        measured: None,
        tried: Tried::Machine,
        session_budget: None,
    },
];

/// The board with this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Board> {
    BOARDS.iter().find(|board| board.names.contains(&name))
}

/// The target with this triple.
#[must_use]
pub fn target(triple: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.triple == triple)
}

/// The target with this name.
#[must_use]
pub fn target_by_name(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// The variant with this name.
#[must_use]
pub fn variant(name: &str) -> Option<&'static Variant> {
    VARIANTS.iter().find(|variant| variant.name == name)
}

/// The target that supports a package architecture of OpenWrt.
#[must_use]
pub fn target_of_package(architecture: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.packages.contains(&architecture))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_board_has_a_target_and_a_name_of_its_own() {
        for board in BOARDS {
            assert!(target_by_name(board.target).is_some(), "{board:?}");
            for name in board.names {
                assert_eq!(by_name(name), Some(board), "{name} names two boards");
                assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "{name}");
            }
            for word in board.led.iter().chain([&board.serial.device]) {
                assert!(word.bytes().all(|byte| byte.is_ascii_graphic()), "{board:?}");
            }
            let Some(openwrt) = board.openwrt else { continue };
            let served = target_of_package(openwrt.package).map(|target| target.name);
            assert_eq!(served, Some(board.target), "{}", board.title);
            assert!(!board.sources.is_empty(), "{} has no source", board.title);
        }
        let routers = BOARDS.iter().filter(|board| board.openwrt.is_some()).count();
        assert!(routers >= 15, "{routers} routers");
    }

    #[test]
    fn every_target_has_a_name_of_its_own_and_a_budget_for_each_variant() {
        for target in TARGETS {
            assert_eq!(target_by_name(target.name), Some(target), "{}", target.name);
            assert!(target.page_size.is_power_of_two(), "{}", target.name);
            // A machine that is not a router has no packages and no budgets.
            let budgets = if target.packages.is_empty() { 0 } else { VARIANTS.len() };
            assert_eq!(target.budgets.len(), budgets, "{}", target.name);
            for package in target.packages {
                assert_eq!(target_of_package(package), Some(target), "two targets serve {package}");
            }
        }
    }
}
