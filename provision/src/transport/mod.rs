//! Transports for packets to a router and back: two wires, and a session over either.

mod boot;
mod find;
mod port;
pub mod ports;
mod prompt;
mod secure;
mod serial;
mod speed;
mod stray;
mod udp;
#[cfg(unix)]
mod uucp;

use std::io;
use std::task::Poll;
use std::time::{Duration, Instant};

use proto_core::protocol::session::Wire;

use crate::home::HomeError;

pub use boot::Hold;
pub use find::{FindError, seek, tried};
pub use prompt::Prompt;
pub use secure::Secure;
pub use serial::{SerialLine, piece_size};
pub use stray::Stray;
pub use udp::Udp;
pub(crate) use udp::{seal, silence_hint};

/// The reason why packets cannot be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The line could not be opened.
    #[error("{message}")]
    Open {
        /// The name of the cause, for scripts: see [`crate::report`].
        code: &'static str,
        /// The message.
        message: String,
        /// The next step.
        hint: Option<String>,
    },
    /// A temporary failure: no route, an unplugged cable, or no listener yet. It is retried until
    /// the timeout expires.
    #[error("{0}: {1}")]
    Passing(String, io::Error),
    /// The line worked and then failed.
    #[error("{0}: {1}")]
    Lost(String, io::Error),
    /// The user pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The operator's files give no stamp for a handshake.
    #[error(transparent)]
    Home(HomeError),
    /// No random numbers for a handshake.
    #[error("this machine provides no random numbers: {0}")]
    Random(getrandom::Error),
}

impl From<HomeError> for TransportError {
    fn from(error: HomeError) -> Self {
        match error {
            HomeError::Interrupted => Self::Interrupted,
            error => Self::Home(error),
        }
    }
}

/// A transport for packets. It may lose, repeat and reorder them, but never changes one.
pub trait Transport: Send {
    /// Sends a packet.
    ///
    /// # Errors
    /// [`TransportError`]; after [`TransportError::Passing`] the call may be retried.
    fn send(&mut self, packet: &[u8]) -> Result<(), TransportError>;

    /// Waits for a packet, at most `timeout`; a timeout of zero only polls.
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

    /// The bytes received outside of packets. The caller may take the lines out.
    fn stray(&mut self) -> &mut Stray;

    /// The line in the user's notation: `/dev/ttyUSB0 at 115200 baud`.
    fn name(&self) -> &str;

    /// The speed of the line in bits per second, if it is known: see [`Transport::busy`].
    fn baud(&self) -> Option<u32>;

    /// The time until the line has carried everything that was sent. A caller that sends much
    /// should wait this long and receive meanwhile; otherwise resent packets wait in the system's
    /// buffers.
    fn busy(&self) -> Duration {
        Duration::ZERO
    }

    /// The current time; a simulated line sets its own.
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// The maximum piece size for this line, so that a lost piece costs little.
    fn max_piece(&self) -> u16;

    /// The kind of the line for a handshake.
    fn wire(&self) -> Wire;

    /// The hint for the user if no answer is received, not even a first one.
    fn silence_hint(&self) -> String;

    /// The hint after an earlier answer on this line: address, port, speed and cable were right.
    fn silence_hint_later(&self) -> String {
        ANSWERED.into()
    }

    /// Why nothing may be sent now; what is sent nevertheless is lost.
    fn hold(&mut self) -> Option<Hold> {
        None
    }

    /// How long to listen before the first packet: whether the router is starting shows only while it talks.
    fn listens(&self) -> Duration {
        Duration::ZERO
    }

    /// Sends without listening first: the router has answered a moment ago.
    fn skip_listening(&mut self) {}

    /// Whether the line's speed is still guessed.
    fn guesses(&self) -> bool {
        false
    }

    /// Goes on to the next speed, where the speed is guessed. Returns `false` after the last one.
    ///
    /// # Errors
    /// [`TransportError`].
    fn next_speed(&mut self) -> Result<bool, TransportError> {
        Ok(false)
    }
}

/// Temporary failures: the agent may be starting, or the cable may be unplugged. The last one is
/// kept for the message after the timeout.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Option<io::Error>);

impl Refusals {
    /// Turns a temporary failure into no packet.
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

    /// The last failure since a packet was received.
    pub(crate) fn reason(&self) -> Reason {
        Reason(self.0.as_ref().map(|error| (error.to_string(), error.kind())))
    }
}

/// The hint when a router that answered before does not answer any more.
const ANSWERED: &str =
    "the router answered before: it may be busy or restarting, or the line was cut; try again";

/// The network's reason for the silence, if any: text to append to a message.
#[derive(Clone, Debug, Default)]
pub struct Reason(Option<(String, io::ErrorKind)>);

impl Reason {
    /// Whether the host reported that the port is closed.
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

    /// The name of the network's reason if there is one; else `silence`.
    #[must_use]
    pub fn hint(&self, silence: String) -> String {
        match &self.0 {
            None => silence,
            Some(_) if self.is_refusal() => {
                "the host answers, but postwired does not: is it running, on this port?".into()
            }
            Some((_, io::ErrorKind::PermissionDenied)) => {
                "this machine does not let the packets out: does its firewall allow UDP to that address?".into()
            }
            Some(_) => {
                "this machine has no route to that address: is the cable plugged in, is the interface up, \
                 does it have an address of the router's network?"
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

/// Whether a failure of the network may be temporary.
pub(crate) fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionRefused
            // Windows reports a closed port in this way.
            | Kind::ConnectionReset
            | Kind::NetworkUnreachable
            | Kind::HostUnreachable
            | Kind::NetworkDown
            | Kind::AddrNotAvailable
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firewall_of_this_machine_is_no_missing_route() {
        // What Linux answers where a rule drops a packet that leaves.
        let forbidden = TransportError::Passing("x".into(), io::Error::from_raw_os_error(1));
        let mut refusals = Refusals::default();
        assert!(refusals.pass::<()>(Err(forbidden)).unwrap().is_none());
        assert!(refusals.reason().hint(String::new()).contains("firewall"));
    }
}
