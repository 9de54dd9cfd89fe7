//! One request while it is answered: its reply, and the connection to its client.

use core::fmt;

use proto_core::protocol::codec;
use proto_core::protocol::envelope::{self, HELLO_VERSION};
use proto_core::protocol::frame::MAX_SEALED;
use proto_core::protocol::message::{Answer, ClientId, Code, Failure};
use proto_core::protocol::{MAX_PACKET, VERSION};

use crate::access::filter::Program;

/// Bytes of unanswered pieces on a serial line: with the overhead of their frames, less than the 4 KiB that a Linux
/// tty buffers while the agent is busy.
pub const SERIAL_IN_FLIGHT: u32 = 3_000;
/// Bytes of unanswered pieces over UDP: well below a socket's receive buffer.
pub const UDP_IN_FLIGHT: u32 = 48 * 1024;

/// The connection to a client.
pub trait Outlet {
    /// Sends a packet; the buffer has room behind it for what the wire adds. A packet that cannot be
    /// sent is lost, as on any wire.
    fn send(&mut self, packet: &mut [u8; SCRATCH], len: usize);
    /// The most bytes of unanswered pieces on this wire.
    fn in_flight(&self) -> u32;
    /// Takes an answer directly, in place of a packet. Returns `false` if the client is at the
    /// other end of a wire.
    fn take(&mut self, _answer: &Answer<'_>) -> bool {
        false
    }
    /// Whether the wire still has bytes to send, so that a progress report would only delay them.
    fn is_behind(&mut self) -> bool {
        false
    }
    /// The client, for the log.
    fn from(&self) -> &dyn fmt::Display;
    /// Sets the kernel's packet filter, if the wire has one.
    fn sift(&mut self, _filter: Option<&Program>) {}
}

/// Size of the buffer for a packet, with room for the bytes that a session and the CRC add.
pub const SCRATCH: usize = MAX_SEALED;

/// A request that is being answered.
pub(super) struct Turn<'o> {
    pub(super) client: ClientId,
    pub(super) id: u32,
    pub(super) outlet: &'o mut dyn Outlet,
    scratch: [u8; SCRATCH],
    len: usize,
}

impl<'o> Turn<'o> {
    pub(super) fn new(client: ClientId, id: u32, outlet: &'o mut dyn Outlet) -> Self {
        Self { client, id, outlet, scratch: [0; SCRATCH], len: 0 }
    }

    /// Writes an answer, which replaces an earlier one.
    #[inline(never)]
    pub(super) fn answer(&mut self, answer: &Answer<'_>) {
        if self.outlet.take(answer) {
            self.len = 0;
            return;
        }
        let version = match answer {
            Answer::Hello(_) | Answer::Failed(Failure { code: Code::Version, .. }) => HELLO_VERSION,
            _ => VERSION,
        };
        let reply = (self.client, self.id, answer);
        self.len = match self.scratch.get_mut(..MAX_PACKET) {
            Some([kind, spoken, body @ ..]) => {
                (*kind, *spoken) = (envelope::REPLY, version);
                codec::write(&reply, body).map_or(0, |len| len.saturating_add(2))
            }
            _ => 0,
        };
    }

    pub(super) fn packet(&self) -> &[u8] {
        self.scratch.get(..self.len).unwrap_or_default()
    }

    pub(super) fn send(&mut self) {
        if self.len > 0 {
            self.outlet.send(&mut self.scratch, self.len);
        }
    }

    pub(super) fn repeat(&mut self, packet: &[u8]) {
        if let Some(room) = self.scratch.get_mut(..packet.len()) {
            for (to, from) in room.iter_mut().zip(packet) {
                *to = *from;
            }
            self.len = packet.len();
            self.send();
        }
    }
}
