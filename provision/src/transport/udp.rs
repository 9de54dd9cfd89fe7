//! Packets as datagrams.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use proto_core::protocol::frame;
use proto_core::protocol::session::Wire;

use super::{Stray, Transport, TransportError, may_pass};
use crate::interrupt::{self, Waited};
use crate::units::UdpAddress;

/// A UDP socket connected to one router.
#[derive(Debug)]
pub struct Udp {
    socket: UdpSocket,
    name: String,
    stray: Stray,
}

impl Udp {
    /// Looks up the host, for at most `patience`, and connects to it, which for UDP sends nothing.
    ///
    /// # Errors
    /// [`TransportError::Open`].
    pub fn open(to: &UdpAddress, patience: Duration) -> Result<Self, TransportError> {
        let open = |message: String| TransportError::Open { code: "lookup", message, hint: None };
        let addresses = look_up(to, patience)?
            .map_err(|error| open(format!("cannot look up `{}`: {error}", to.host)))?;
        // A new router often has IPv4 before it has IPv6.
        let address = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
        let address = *address.ok_or_else(|| open(format!("`{}` has no address", to.host)))?;
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let name = format!("{address} (UDP)");
        UdpSocket::bind(any)
            .and_then(|socket| socket.connect(address).map(|()| socket))
            .map(|socket| Self { socket, name: name.clone(), stray: Stray::default() })
            .map_err(|error| {
                if may_pass(&error) {
                    return TransportError::Passing(name.clone(), error);
                }
                let message = format!("cannot send to {name} from here: {error}");
                let hint =
                    "is it a broadcast address, or does a firewall of this machine forbid it?";
                TransportError::Open { code: "unreachable", message, hint: Some(hint.into()) }
            })
    }

    fn failed(&self, error: io::Error) -> TransportError {
        match may_pass(&error) {
            true => TransportError::Passing(self.name.clone(), error),
            false => TransportError::Lost(self.name.clone(), error),
        }
    }
}

/// Makes a datagram of a packet. `name` is the wire's, for an error.
pub(crate) fn seal<'b>(
    buf: &'b mut [u8; frame::MAX_SEALED],
    packet: &[u8],
    name: &str,
) -> Result<&'b [u8], TransportError> {
    let lost = || TransportError::Lost(name.into(), io::ErrorKind::InvalidInput.into());
    buf.get_mut(..packet.len()).ok_or_else(lost)?.copy_from_slice(packet);
    let sealed = frame::seal(buf, packet.len()).map_err(|_| lost())?;
    Ok(sealed)
}

/// What may be the cause when a router does not answer over UDP.
pub(crate) fn silence_hint(stray: &Stray) -> String {
    match stray.garbage {
        0 => "is the router on, is the address right, and does a firewall let UDP through?".into(),
        _ => "datagrams were received that are not of this protocol: is it the right port?".into(),
    }
}

/// The addresses of a host. The C library's look-up has no timeout, so it runs in a thread of its
/// own.
fn look_up(
    to: &UdpAddress,
    patience: Duration,
) -> Result<io::Result<Vec<SocketAddr>>, TransportError> {
    let (answer, answered) = mpsc::channel();
    let host = (to.host.clone(), to.port);
    std::thread::spawn(move || {
        let found = host.to_socket_addrs().map(Iterator::collect);
        // The receiver is gone if the look-up is late.
        let _ = answer.send(found);
    });
    match interrupt::wait(&answered, patience) {
        Ok(found) => Ok(found),
        Err(Waited::Interrupted) => Err(TransportError::Interrupted),
        Err(Waited::Late) => {
            let seconds = patience.as_secs_f32();
            Ok(Err(io::Error::other(format!("no name server answers within {seconds} s"))))
        }
    }
}

impl Transport for Udp {
    fn send(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        let mut buf = [0; frame::MAX_SEALED];
        match self.socket.send(seal(&mut buf, packet, &self.name)?) {
            Ok(_) => Ok(()),
            // The send queue is full: for the caller, the datagram is lost.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock) => Ok(()),
            // No way there, now: a missing route, a full neighbour table, a firewall of this machine.
            Err(error) => Err(TransportError::Passing(self.name.clone(), error)),
        }
    }

    fn recv(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        let until = Instant::now() + timeout;
        let mut buf = [0; 2 * frame::MAX_SEALED];
        loop {
            // A read timeout of zero would mean no timeout.
            let left = until.saturating_duration_since(Instant::now());
            let left = left.clamp(Duration::from_millis(1), interrupt::SLICE);
            let received = if timeout.is_zero() {
                self.socket.set_nonblocking(true).map_err(|error| self.failed(error))?;
                let received = self.socket.recv(&mut buf);
                self.socket.set_nonblocking(false).map_err(|error| self.failed(error))?;
                received
            } else {
                self.socket.set_read_timeout(Some(left)).map_err(|error| self.failed(error))?;
                self.socket.recv(&mut buf)
            };
            match received {
                Ok(len) => match buf.get(..len).and_then(frame::open) {
                    Some(packet) => return Ok(Some(packet.to_vec())),
                    None => self.stray.garbage += 1,
                },
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock
                    | io::ErrorKind::TimedOut
                    | io::ErrorKind::Interrupted => {}
                    _ => return Err(self.failed(error)),
                },
            }
            if interrupt::requested() {
                return Err(TransportError::Interrupted);
            }
            if Instant::now() >= until {
                return Ok(None);
            }
        }
    }

    fn stray(&mut self) -> &mut Stray {
        &mut self.stray
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn baud(&self) -> Option<u32> {
        None
    }

    fn max_piece(&self) -> u16 {
        u16::MAX
    }

    fn wire(&self) -> Wire {
        Wire::Udp
    }

    fn silence_hint(&self) -> String {
        silence_hint(&self.stray)
    }
}
