//! What differs between routers, as data. Nothing here does anything but look things up.
//!
//! A [`Board`] is a kind of router, a [`Target`] a kind of machine that the agent is built for. A new
//! router is a new entry in [`BOARDS`], and a new architecture one in [`TARGETS`].
#![no_std]
#![forbid(unsafe_code)]

/// A serial port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Serial {
    /// The device.
    pub device: &'static str,
    /// Bits a second, with 8 data bits, no parity and one stop bit.
    pub baud: u32,
}

/// A kind of router.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Board {
    /// What it calls itself in `/tmp/sysinfo/board_name`: the first `compatible` of its device tree.
    pub names: &'static [&'static str],
    /// The target it runs, a name in [`TARGETS`].
    pub target: &'static str,
    /// The serial port a bench can reach. On a router with one port that is also its console.
    pub serial: Serial,
}

/// A kind of machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// The Rust target triple.
    pub triple: &'static str,
    /// What `uname -m` says.
    pub machine: &'static str,
    /// The most bytes the agent's static file may have, where there is a limit. It may only go down,
    /// until `wg` comes in (ARCHITECTURE.md, "Size").
    pub size_budget: Option<u32>,
    /// The most bytes of it that may be for sessions, where there is a limit: the handshake, the
    /// ciphers, and who owns the router.
    pub session_budget: Option<u32>,
}

/// The boards that are known by name.
pub const BOARDS: &[Board] = &[
    Board {
        names: &["qemu,q35"],
        target: "x86_64-unknown-linux-musl",
        serial: Serial { device: "/dev/ttyS1", baud: 115_200 },
    },
    Board {
        names: &["qemu,virt"],
        target: "aarch64-unknown-linux-musl",
        serial: Serial { device: "/dev/ttyS0", baud: 115_200 },
    },
    Board {
        names: &["qemu,s390-ccw-virtio"],
        target: "s390x-unknown-linux-gnu",
        serial: Serial { device: "/dev/vport1p1", baud: 115_200 },
    },
];

/// The machines the agent is built for.
pub const TARGETS: &[Target] = &[
    Target {
        triple: "x86_64-unknown-linux-musl",
        machine: "x86_64",
        size_budget: Some(360 * 1024),
        session_budget: Some(32 * 1024),
    },
    Target {
        triple: "aarch64-unknown-linux-musl",
        machine: "aarch64",
        size_budget: None,
        session_budget: None,
    },
    Target {
        triple: "s390x-unknown-linux-gnu",
        machine: "s390x",
        size_budget: None,
        session_budget: None,
    },
];

/// The board of that name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Board> {
    BOARDS.iter().find(|board| board.names.contains(&name))
}

/// The target of that triple.
#[must_use]
pub fn target(triple: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.triple == triple)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_board_has_a_target_and_a_name_of_its_own() {
        for board in BOARDS {
            assert!(target(board.target).is_some(), "{board:?}");
            for name in board.names {
                assert_eq!(by_name(name), Some(board), "{name} names two boards");
            }
        }
    }
}
