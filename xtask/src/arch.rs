//! The processors that the agent is built for and the lab has machines of.

use clap::ValueEnum;

/// The processor of a lab machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arch {
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

impl Arch {
    /// As in `uname -m`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::S390x => "s390x",
        }
    }
}
