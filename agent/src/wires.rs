//! The serial port and the UDP socket, as they are on Linux. What goes over them is in
//! `proto_core::protocol::frame`.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use postwired::door::Source;
use postwired::options::SerialPort;
use postwired::service::{Outlet, SCRATCH};
use proto_core::ip::Shown;
use proto_core::netlink::Errno;
use proto_core::protocol::frame::{MAX_SEALED, seal, write_serial};
use proto_core::protocol::session::Wire;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recvfrom, sendto,
    socket_with, sockopt,
};

use crate::linux::{Path, errno};
use crate::sys::raw_line;

/// Bytes of pieces under way on a serial line: less than the 4 KiB a Linux tty holds while the agent
/// is busy, with the other bytes of their frames.
const SERIAL_IN_FLIGHT: u32 = 3_000;
/// Bytes of pieces under way over UDP: well below a socket's receive buffer.
const UDP_IN_FLIGHT: u32 = 48 * 1024;
/// How long a reply waits for room on the wire.
const WRITE_PATIENCE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// Not a terminal: the same number on every architecture.
const ENOTTY: Errno = Errno(25);

/// An open serial port.
pub(crate) struct Serial {
    fd: OwnedFd,
}

/// A write to a serial port failed.
#[derive(Debug)]
pub(crate) struct WriteError;

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the serial port takes no more bytes")
    }
}

impl core::error::Error for WriteError {}

impl embedded_io::Error for WriteError {
    fn kind(&self) -> embedded_io::ErrorKind {
        embedded_io::ErrorKind::TimedOut
    }
}

impl Serial {
    /// Opens a port: raw, 8N1, no flow control. A character device that is no terminal, such as a
    /// virtio port, is taken as it is.
    pub(crate) fn open(port: &SerialPort<'_>) -> Result<Self, Errno> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd =
            rustix::fs::open(Path::new(port.device).as_c(), flags, Mode::empty()).map_err(errno)?;
        match raw_line(fd.as_fd(), port.baud) {
            Ok(()) | Err(ENOTTY | Errno::EINVAL) => Ok(Self { fd }),
            Err(error) => Err(error),
        }
    }

    /// Reads what is there. `Ok(0)` when the other end is gone.
    pub(crate) fn read(&self, buf: &mut [u8]) -> Result<usize, Errno> {
        io::read(&self.fd, buf).map_err(errno)
    }
}

impl AsFd for Serial {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl embedded_io::ErrorType for &Serial {
    type Error = WriteError;
}

impl embedded_io::Write for &Serial {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, WriteError> {
        loop {
            match io::write(&self.fd, bytes) {
                Ok(0) => return Err(WriteError),
                Ok(written) => return Ok(written),
                Err(io::Errno::INTR) => {}
                Err(io::Errno::AGAIN) => {
                    let mut fds = [PollFd::new(&self.fd, PollFlags::OUT)];
                    match poll(&mut fds, Some(&WRITE_PATIENCE)) {
                        Ok(0) => return Err(WriteError),
                        Ok(_) | Err(io::Errno::INTR) => {}
                        Err(_) => return Err(WriteError),
                    }
                }
                Err(_) => return Err(WriteError),
            }
        }
    }

    /// Not the one of the trait, which panics where a write says that it took more than it was given.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = self.write(rest)?;
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        Ok(())
    }
}

/// The way back over a serial line.
pub(crate) struct SerialOutlet<'s> {
    pub(crate) port: &'s Serial,
    pub(crate) device: &'s str,
}

impl Outlet for SerialOutlet<'_> {
    fn send(&mut self, packet: &mut [u8; SCRATCH], len: usize) {
        // Lost, as on any wire: the client asks again.
        let _ = write_serial(&mut self.port, packet, len);
    }

    fn in_flight(&self) -> u32 {
        SERIAL_IN_FLIGHT
    }

    fn from(&self) -> &dyn fmt::Display {
        &self.device
    }
}

/// A UDP socket.
pub(crate) struct Udp {
    fd: OwnedFd,
}

impl Udp {
    pub(crate) fn open(address: &SocketAddr) -> Result<Self, Errno> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(family, SocketType::DGRAM, flags, None).map_err(errno)?;
        // The address may come later than the agent, which starts before the network.
        match address {
            SocketAddr::V4(_) => sockopt::set_ip_freebind(&fd, true),
            SocketAddr::V6(_) => sockopt::set_ipv6_freebind(&fd, true),
        }
        .map_err(errno)?;
        bind(&fd, address).map_err(errno)?;
        Ok(Self { fd })
    }

    /// Receives a datagram: its length and its sender. One that is too long is cut, and then its CRC
    /// is wrong.
    pub(crate) fn receive(&self, buf: &mut [u8; MAX_SEALED]) -> Result<(usize, SocketAddr), Errno> {
        let (len, _, sender) =
            recvfrom(&self.fd, &mut buf[..], RecvFlags::empty()).map_err(errno)?;
        let sender = sender.and_then(|sender| SocketAddr::try_from(sender).ok());
        sender.map(|sender| (len, sender)).ok_or(Errno::EAFNOSUPPORT)
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The way back to a UDP sender.
pub(crate) struct UdpOutlet<'s> {
    pub(crate) socket: &'s Udp,
    pub(crate) to: Shown<SocketAddr>,
}

impl Outlet for UdpOutlet<'_> {
    fn send(&mut self, packet: &mut [u8; SCRATCH], len: usize) {
        if let Ok(sealed) = seal(packet, len) {
            // Lost, as on any wire: the client asks again.
            let _ = sendto(&self.socket.fd, sealed, SendFlags::empty(), &self.to.0);
        }
    }

    fn in_flight(&self) -> u32 {
        UDP_IN_FLIGHT
    }

    fn from(&self) -> &dyn fmt::Display {
        &self.to
    }
}

/// Where a datagram came from, as the door sees it.
pub(crate) fn source(sender: &SocketAddr) -> Source {
    let ip = match sender.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut address = [0; 18];
    if let Some((front, [high, low])) = address.split_first_chunk_mut() {
        *front = ip.octets();
        [*high, *low] = sender.port().to_be_bytes();
    }
    Source { wire: Wire::Udp, address }
}
