//! A netlink socket of Linux for the examples, with `rustix`.

use std::time::Duration;

use proto_core::netlink::Errno;
use proto_core::netlink::socket::{Datagram, NetlinkSocket};
use rustix::fd::OwnedFd;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, getsockname,
    recvfrom, send, socket_with, sockopt,
};

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Netlink {
    fd: OwnedFd,
    port: u32,
}

impl Netlink {
    /// Opens a socket of `protocol` (`None` is `NETLINK_ROUTE`) that has joined the multicast
    /// groups with these bits.
    pub(crate) fn open(protocol: Option<Protocol>, groups: u32) -> rustix::io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(Duration::from_secs(5)))?;
        let own = SocketAddrNetlink::try_from(getsockname(&fd)?)?;
        Ok(Self { fd, port: own.pid() })
    }
}

impl NetlinkSocket for Netlink {
    fn port(&self) -> u32 {
        self.port
    }

    fn send(&mut self, datagram: &[u8]) -> Result<(), Errno> {
        let sent = rustix::io::retry_on_intr(|| send(&self.fd, datagram, SendFlags::empty()));
        sent.map(|_| ()).map_err(|error| Errno(error.raw_os_error()))
    }

    fn receive(&mut self, buf: &mut [u8]) -> Result<Datagram, Errno> {
        let got = rustix::io::retry_on_intr(|| recvfrom(&self.fd, &mut *buf, RecvFlags::TRUNC));
        let (len, full_len, sender) = got.map_err(|error| Errno(error.raw_os_error()))?;
        let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
        Ok(Datagram { len, full_len, sender: sender.map_or(u32::MAX, |sender| sender.pid()) })
    }
}
