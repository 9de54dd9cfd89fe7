//! A UDP socket. Not here: the format of datagrams (`proto_core::protocol::frame`), the places to listen on
//! (`listeners`), and the serial line (`line`).

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use postwired::access::door::Source;
use postwired::access::filter::Program;
use postwired::access::pktinfo::{Asked, MAX_REPLY};
use postwired::options::UdpPlace;
use postwired::requests::service::{Outlet, SCRATCH, UDP_IN_FLIGHT};
use proto_core::ip::Shown;
use proto_core::netlink::Errno;
use proto_core::netlink::wireguard::read_endpoint;
use proto_core::protocol::frame::{MAX_SEALED, seal};
use proto_core::protocol::session::Wire;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, netdevice, socket_with, sockopt};

use crate::linux::listeners::Listeners;
use crate::linux::machine::errno;
use crate::linux::sys::{self, Control};

/// A UDP socket.
pub(crate) struct Udp {
    fd: OwnedFd,
    /// The index of the interface that the socket is bound to.
    index: Option<u32>,
}

/// The index of the interface with this name.
fn index_of(fd: BorrowedFd<'_>, name: &str) -> Result<u32, Errno> {
    netdevice::name_to_index(fd, name).map_err(errno)
}

impl Udp {
    pub(crate) fn open(place: &UdpPlace) -> Result<Self, Errno> {
        let (address, interface) = match place {
            UdpPlace::Address(address) => (*address, None),
            UdpPlace::Interface(name, port) => {
                (SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), *port), Some(name.as_str()))
            }
        };
        match Self::bound(&address, interface) {
            // A kernel without IPv6.
            Err(Errno::EAFNOSUPPORT) if interface.is_some() => {
                let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
                Self::bound(&v4, interface)
            }
            other => other,
        }
    }

    fn bound(address: &SocketAddr, interface: Option<&str>) -> Result<Self, Errno> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(family, SocketType::DGRAM, flags, None).map_err(errno)?;
        // Best effort: without this option, the kernel chooses the source address of answers.
        let _ = sys::tell_address(fd.as_fd(), false);
        if address.is_ipv6() {
            let _ = sys::tell_address(fd.as_fd(), true);
            // `[::]` includes IPv4, whatever the system's default is.
            let _ = sockopt::set_ipv6_v6only(&fd, !address.ip().is_unspecified());
        }
        let index = match interface {
            Some(name) => {
                let index = index_of(fd.as_fd(), name)?;
                sys::bind_to_interface(fd.as_fd(), index)?;
                Some(index)
            }
            None => None,
        };
        bind(&fd, address).map_err(errno)?;
        Ok(Self { fd, index })
    }

    /// Whether the interface that the socket is bound to is gone. An interface that is made again under the same
    /// name has another index, and the socket does not hear it.
    pub(crate) fn is_deaf(&self, place: &UdpPlace) -> bool {
        match place {
            UdpPlace::Address(_) => false,
            UdpPlace::Interface(name, _) => {
                index_of(self.fd.as_fd(), name.as_str()).ok() != self.index
            }
        }
    }

    /// Receives a datagram. Returns its length and its sender. A datagram that is too long is truncated, and then its
    /// CRC is wrong.
    pub(crate) fn receive(&self, buf: &mut [u8; MAX_SEALED]) -> Result<(usize, Sender), Errno> {
        let (mut name, mut control) = ([0; 28], Control([0; 128]));
        let [len, name_len, control_len] =
            sys::receive(self.fd.as_fd(), buf, &mut name, &mut control)?;
        let address = name.get(..name_len).and_then(read_endpoint).ok_or(Errno::EAFNOSUPPORT)?;
        let asked = Asked::read(control.0.get(..control_len).unwrap_or_default());
        Ok((len, Sender { name, name_len, address: Shown(address), asked }))
    }

    /// Gives the kernel another filter. Without a filter, every datagram reaches the agent.
    pub(crate) fn sift(&self, filter: Option<&Program>) {
        let given = filter.map(|program| sys::filter(self.fd.as_fd(), Some(program.as_slice())));
        if given != Some(Ok(())) {
            let _ = sys::filter(self.fd.as_fd(), None);
        }
    }
}

/// The sender of a datagram, and the local address it was sent to.
pub(crate) struct Sender {
    /// The `struct sockaddr`.
    name: [u8; 28],
    name_len: usize,
    pub(crate) address: Shown<SocketAddr>,
    asked: Option<Asked>,
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Sends replies to a UDP sender.
pub(crate) struct UdpOutlet<'s> {
    pub(crate) socket: &'s Udp,
    /// All sockets: they share one filter.
    pub(crate) all: &'s Listeners<'s>,
    pub(crate) to: &'s Sender,
}

impl Outlet for UdpOutlet<'_> {
    fn send(&mut self, packet: &mut [u8; SCRATCH], len: usize) {
        let Ok(sealed) = seal(packet, len) else { return };
        let mut control = Control([0; MAX_REPLY]);
        let control_len = self.to.asked.map_or(0, |asked| asked.write(&mut control.0));
        let name = self.to.name.get(..self.to.name_len).unwrap_or_default();
        // A lost reply: the client repeats its request.
        let _ = sys::send(self.socket.fd.as_fd(), sealed, name, &control, control_len);
    }

    fn in_flight(&self) -> u32 {
        UDP_IN_FLIGHT
    }

    fn from(&self) -> &dyn fmt::Display {
        &self.to.address
    }

    fn sift(&mut self, filter: Option<&Program>) {
        self.all.sift(filter);
    }
}

/// The source of a datagram, for the door.
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
