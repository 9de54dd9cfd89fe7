//! Ways to a router, which can be opened again and again.

use std::time::{Duration, Instant};

use crate::home::Place;
use crate::interrupt;
use crate::transport::{SerialLine, Transport, TransportError, Udp};
use crate::ui::word;
use crate::units::{SerialAddress, UdpAddress};

/// Pause between two attempts to open a connection that fails for now.
const OPEN_AGAIN: Duration = Duration::from_millis(250);

/// A connection to a router.
pub trait Way: Send + Sync {
    /// Opens the connection. A cause that may pass, such as an unplugged cable, is retried until
    /// the time is over.
    ///
    /// # Errors
    /// [`TransportError`].
    fn open(&self, timeout: Duration) -> Result<Box<dyn Transport>, TransportError>;
}

/// The address of a router on the command line: a blocking connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// A serial port, and how to open it.
    Serial(SerialAddress, Opening),
    /// A host and its UDP port.
    Udp(UdpAddress),
}

/// How to open a serial port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    /// What to set the DTR line to; `None` leaves the line unchanged.
    pub dtr: Option<bool>,
    /// How long to listen before the first byte: any byte would stop a boot loader.
    pub listen: Duration,
}

impl Address {
    /// The place to note in the list of routers.
    #[must_use]
    pub fn place(&self) -> Place {
        match self {
            Self::Serial(serial, _) => Place::Serial(serial.to_string()),
            Self::Udp(udp) => Place::Udp(udp.to_string()),
        }
    }

    fn open_once(&self, patience: Duration) -> Result<Box<dyn Transport>, TransportError> {
        Ok(match self {
            Self::Serial(serial, opening) => {
                Box::new(SerialLine::open(serial, opening.dtr, opening.listen)?)
            }
            Self::Udp(udp) => Box::new(Udp::open(udp, patience)?),
        })
    }
}

impl std::fmt::Display for Address {
    /// Writes the option that the command line takes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Serial(serial, _) => write!(f, "--serial {}", word(serial)),
            Self::Udp(udp) => write!(f, "--udp {}", word(udp)),
        }
    }
}

impl Way for Address {
    fn open(&self, timeout: Duration) -> Result<Box<dyn Transport>, TransportError> {
        let until = Instant::now() + timeout;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.open_once(left) {
                Err(TransportError::Passing(name, error)) if left <= OPEN_AGAIN => {
                    let message =
                        format!("{name} was unreachable for {} s: {error}", timeout.as_secs_f32());
                    let hint = Some(
                        "check that the cable is plugged in, and that the network interface is up and has an \
                         address in the router's network"
                            .into(),
                    );
                    return Err(TransportError::Open { code: "unreachable", message, hint });
                }
                Err(TransportError::Passing(..)) if interrupt::requested() => {
                    return Err(TransportError::Interrupted);
                }
                Err(TransportError::Passing(..)) => std::thread::sleep(OPEN_AGAIN),
                outcome => return outcome,
            }
        }
    }
}
