//! Ways to carry packets to a router and back: two wires, and a session over either.

mod find;
mod secure;
mod serial;
mod stray;
mod udp;

use std::io;
use std::time::{Duration, Instant};

use proto_core::protocol::session::Wire;

use crate::home::HomeError;

pub use find::{FindError, seek};
pub use secure::Secure;
pub use serial::SerialLine;
pub use stray::Stray;
pub use udp::Udp;

/// Why packets do not travel.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// It could not be opened.
    #[error("{message}")]
    Open {
        /// What happened, of what.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The far end says that nobody listens. It may be about to.
    #[error("nobody listens on {0}")]
    Refused(String),
    /// It worked and does so no more.
    #[error("{0}: {1}")]
    Lost(String, io::Error),
    /// The operator's own files give no stamp for a handshake.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// No random numbers for a handshake.
    #[error("this machine gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// A way to carry packets. It may lose, repeat and reorder them, but never changes one.
pub trait Transport {
    /// Sends a packet.
    ///
    /// # Errors
    /// [`TransportError`]; after [`TransportError::Refused`] it may be tried again.
    fn send(&mut self, packet: &[u8]) -> Result<(), TransportError>;

    /// Waits for a packet, no longer than `timeout`; with a timeout of zero only looks whether one
    /// is there.
    ///
    /// # Errors
    /// As [`Transport::send`].
    fn recv(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, TransportError>;

    /// What arrived that is not a packet. Its lines may be taken out.
    fn stray(&mut self) -> &mut Stray;

    /// How the person calls it: `/dev/ttyUSB0 at 115200 baud`.
    fn name(&self) -> &str;

    /// The speed of the line in bits per second, if it is known: see [`Transport::busy`].
    fn baud(&self) -> Option<u32>;

    /// How long the line is still busy with what was sent. Whoever sends much at a time should wait
    /// that long, and receive meanwhile, or what has to be sent again waits in the system's buffers.
    fn busy(&self) -> Duration {
        Duration::ZERO
    }

    /// The time, which a simulated line sets.
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// The most bytes that should go into one piece here, so that a lost one costs little.
    fn max_piece(&self) -> u16;

    /// Which kind it is, as a handshake has it.
    fn wire(&self) -> Wire;

    /// What to look at when nothing is heard.
    fn silence_hint(&self) -> String;
}

/// How often a router said that nobody listens. It is believed only after a few times: the agent may
/// be starting.
#[derive(Debug, Default)]
pub(crate) struct Refusals(u32);

impl Refusals {
    /// Lets a refusal pass, as nothing, a few times.
    pub(crate) fn pass<T>(
        &mut self,
        outcome: Result<T, TransportError>,
    ) -> Result<Option<T>, TransportError> {
        const MAX: u32 = 3;
        match outcome {
            Err(TransportError::Refused(_)) if self.0 + 1 < MAX => {
                self.0 += 1;
                Ok(None)
            }
            outcome => outcome.map(Some),
        }
    }
}
