//! The UDP socket, as it is on Linux. What goes over it is in `proto_core::protocol::frame`; the serial line
//! is in `line`.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use postwired::door::Source;
use postwired::service::{Outlet, SCRATCH};
use proto_core::ip::Shown;
use proto_core::netlink::Errno;
use proto_core::protocol::frame::{MAX_SEALED, seal};
use proto_core::protocol::session::Wire;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recvfrom, sendto,
    socket_with, sockopt,
};

use crate::linux::errno;

/// Bytes of pieces under way over UDP: well below a socket's receive buffer.
const UDP_IN_FLIGHT: u32 = 48 * 1024;
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
