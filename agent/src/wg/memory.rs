//! The memory in which the commands work, in one fixed piece. It starts as zeros, and with few
//! peers most of it stays so. In memory that costs nothing before the first write, a command uses
//! only as much as its task needs.

use super::read::PIECE;
use super::sync::Lookup;
use crate::kernel::exchange::{self, Buffers};

/// Bytes in a message to the kernel: fewer messages need fewer system calls. A nested attribute has
/// at most 64 KiB.
const SET: usize = 32 * 1024;
/// Bytes in a window over a large file.
const WINDOW: usize = 32 * 1024;
/// Bytes in a window over a small file.
const SMALL: usize = 4 * 1024;

/// The memory of one command, or of the serving agent.
#[derive(Debug)]
pub struct Memory {
    pub(super) buffers: Buffers,
    /// The message to the kernel.
    pub(super) set: [u8; SET],
    /// The configuration that was read.
    pub(super) piece: [u8; PIECE],
    /// The peers and their allowed IPs, or the text of a device and the order of its peers.
    pub(super) windows: [[u8; WINDOW]; 2],
    /// The peers to remove, or the names of interfaces, and a page of output.
    pub(super) small: [[u8; SMALL]; 2],
    pub(super) lookup: Lookup,
}

impl Memory {
    /// All zeros.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            buffers: Buffers::new(),
            set: [0; SET],
            piece: [0; PIECE],
            windows: [[0; WINDOW]; 2],
            small: [[0; SMALL]; 2],
            lookup: Lookup::new(),
        }
    }

    /// The part that the serving agent uses: its buffers of netlink, and its message to the kernel.
    pub fn of_agent(&mut self) -> Option<(&mut Buffers, &mut [u8; exchange::SET])> {
        Some((&mut self.buffers, self.set.first_chunk_mut()?))
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}
