//! The architectures of the lab's machines, for which the agent is built too.

use clap::ValueEnum;

/// The architecture of a lab machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arch {
    /// The default: a PC with two 16550 serial ports
    #[value(name = "x86_64")]
    X86_64,
    /// 64-bit ARM; its serial line is a PCI 16550
    #[value(name = "aarch64")]
    Aarch64,
    /// 32-bit ARM with hard float; its serial line is a PCI 16550
    #[value(name = "armv7_hard", alias = "armv7")]
    Armv7,
    /// 32-bit MIPS, little-endian and without FPU: the malta board, which has three 16550 serial ports
    #[value(name = "mipsel_24kc", alias = "mipsel")]
    Mipsel,
    /// 64-bit and big-endian; it has no serial port, a virtio one stands in
    #[value(name = "s390x")]
    S390x,
}

impl Arch {
    /// All architectures.
    pub const ALL: &[Self] = &[Self::X86_64, Self::Aarch64, Self::Armv7, Self::Mipsel, Self::S390x];

    /// The name of the target in `board`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::Armv7 => "armv7_hard",
            Self::Mipsel => "mipsel_24kc",
            Self::S390x => "s390x",
        }
    }
}
