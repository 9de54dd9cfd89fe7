//! Ways to carry packets to a router and back: two wires, and a session over either.

mod find;
mod port;
mod secure;
mod serial;
mod stray;
mod udp;

use std::io;
use std::task::Poll;
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
        /// The name of the cause, for scripts: see [`crate::report`].
        code: &'static str,
        /// What happened, of what.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The way there fails for now: no route, a cable that is out, or nobody who listens yet. It is tried
    /// again until the time is over.
    #[error("{0}: {1}")]
    Passing(String, io::Error),
    /// It worked and does so no more.
    #[error("{0}: {1}")]
    Lost(String, io::Error),
    /// The person pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The operator's own files give no stamp for a handshake.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// No random numbers for a handshake.
    #[error("this machine gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// A way to carry packets. It may lose, repeat and reorder them, but never changes one.
pub trait Transport: Send {
    /// Sends a packet.
    ///
    /// # Errors
    /// [`TransportError`]; after [`TransportError::Passing`] it may be tried again.
    fn send(&mut self, packet: &[u8]) -> Result<(), TransportError>;

    /// Waits for a packet, no longer than `timeout`; with a timeout of zero only looks whether one
    /// is there.
    ///
    /// # Errors
    /// As [`Transport::send`].
    fn recv(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, TransportError>;

    /// The same for an operation: with a packet, or without one when `until` has come. A transport that does not block
    /// calls `crate::drive::due` and returns `Pending` in the meantime.
    ///
    /// # Errors
    /// As [`Transport::send`].
    fn poll_recv(&mut self, until: Instant) -> Poll<Result<Option<Vec<u8>>, TransportError>> {
        Poll::Ready(self.recv(until.saturating_duration_since(self.now())))
    }

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

/// Failures that may pass: the agent may be starting, the cable may be put in. The last one is kept, for the
/// message when the time is over.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Option<io::Error>);

impl Refusals {
    /// Lets a failure that may pass go by, as nothing.
    pub(crate) fn pass<T>(
        &mut self,
        outcome: Result<T, TransportError>,
    ) -> Result<Option<T>, TransportError> {
        match outcome {
            Err(TransportError::Passing(_, error)) => {
                self.0 = Some(error);
                Ok(None)
            }
            outcome => outcome.map(Some),
        }
    }

    /// The last failure since something was heard.
    pub(crate) fn reason(&self) -> Reason {
        Reason(self.0.as_ref().map(|error| (error.to_string(), error.kind())))
    }
}

/// Why nothing was heard, if the network said so: text to stand behind a message.
#[derive(Clone, Debug, Default)]
pub struct Reason(Option<(String, io::ErrorKind)>);

impl Reason {
    /// Whether the host answered that nobody listens on the port.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        use io::ErrorKind as Kind;
        let refusals = [Kind::ConnectionRefused, Kind::ConnectionReset];
        self.0.as_ref().is_some_and(|(_, kind)| refusals.contains(kind))
    }

    /// The name of the cause, for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match &self.0 {
            None => "silence",
            Some(_) if self.is_refusal() => "refused",
            Some(_) => "unreachable",
        }
    }

    /// What to look at, if the network said why; else `silence`.
    #[must_use]
    pub fn hint(&self, silence: String) -> String {
        match &self.0 {
            None => silence,
            Some(_) if self.is_refusal() => {
                "the host is there, postwired is not: is it running, on this port?".into()
            }
            Some(_) => {
                "this machine has no way to that address: is the cable in, is the interface up, does it \
                 have an address of the router's network?"
                    .into()
            }
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |(text, _)| write!(f, ": {text}"))
    }
}

/// Whether a failure of the network may pass while one waits.
pub(crate) fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionRefused
            // Windows says so of a port where nobody listens.
            | Kind::ConnectionReset
            | Kind::NetworkUnreachable
            | Kind::HostUnreachable
            | Kind::NetworkDown
            | Kind::AddrNotAvailable
    )
}
