//! WireGuard's generic netlink family: sets and reads devices.
//!
//! - [`attr`]: the numbers and names of `linux/wireguard.h`.
//! - [`set`]: `WG_CMD_SET_DEVICE`, in as many messages as needed.
//! - [`get`]: `WG_CMD_GET_DEVICE`, decoded as it arrives.
//! - [`uapi`]: the same for WireGuard in user space, whose programs use text.
//!
//! Both stream: neither holds more than one peer and one buffer, for any number of peers.
//!
//! Messages in both directions carry private and preshared keys, and stay in the buffers they were
//! written or received into. The caller wipes its buffers.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::write::{Full, Writer};
use super::{IfName, NLA_HDRLEN};
use crate::ip::{AF_INET, AF_INET6};

pub mod attr;
pub mod get;
pub mod set;
pub mod uapi;

pub use get::{DecodeError, DeviceInfo, Event, GetDecoder, Handshake, PeerInfo};
pub use set::{AllowedIpChange, DeviceChange, PeerChange, SetEncoder, SetError};

use attr::{WGDEVICE_A_IFINDEX, WGDEVICE_A_IFNAME};

/// A device, by name or by index: the kernel expects exactly one of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// By name, as `wg` does.
    Name(IfName),
    /// By index, which stays the same when the interface is renamed.
    Index(u32),
}

impl From<IfName> for Target {
    fn from(name: IfName) -> Self {
        Self::Name(name)
    }
}

impl Target {
    fn write(self, writer: &mut Writer<'_>) -> Result<(), Full> {
        match self {
            Self::Name(name) => writer.string(WGDEVICE_A_IFNAME, name.as_str()),
            Self::Index(index) => writer.u32(WGDEVICE_A_IFINDEX, index),
        }
    }
}

/// The header of an attribute (`struct nlattr`).
const fn head(length: u16, ty: u16) -> [u8; NLA_HDRLEN] {
    let ([l0, l1], [t0, t1]) = (length.to_ne_bytes(), ty.to_ne_bytes());
    [l0, l1, t0, t1]
}

/// The length of `struct sockaddr_in`.
const SOCKADDR_IN_LEN: usize = 16;
/// The length of `struct sockaddr_in6`.
const SOCKADDR_IN6_LEN: usize = 28;

/// Puts `endpoint` as the kernel's `struct sockaddr_in` or `sockaddr_in6` (`linux/in.h`,
/// `linux/in6.h`): the family in host order, the port in network order, the flow information zero
/// and the scope in host order.
fn write_endpoint(writer: &mut Writer<'_>, ty: u16, endpoint: &SocketAddr) -> Result<(), Full> {
    let [p0, p1] = endpoint.port().to_be_bytes();
    match endpoint {
        SocketAddr::V4(v4) => {
            let [f0, f1] = u16::from(AF_INET).to_ne_bytes();
            let [a, b, c, d] = v4.ip().octets();
            let sockaddr: [u8; SOCKADDR_IN_LEN] =
                [f0, f1, p0, p1, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0];
            writer.bytes(ty, &sockaddr)
        }
        SocketAddr::V6(v6) => {
            let [f0, f1] = u16::from(AF_INET6).to_ne_bytes();
            let mut sockaddr = [0; SOCKADDR_IN6_LEN];
            let [head @ .., s0, s1, s2, s3] = &mut sockaddr;
            [*s0, *s1, *s2, *s3] = v6.scope_id().to_ne_bytes();
            if let Some((head, ip)) = head.split_first_chunk_mut() {
                *head = [f0, f1, p0, p1, 0, 0, 0, 0];
                ip.copy_from_slice(&v6.ip().octets());
            }
            writer.bytes(ty, &sockaddr)
        }
    }
}

/// Reads a `struct sockaddr_in` or `sockaddr_in6`. `None` if family and length do not match.
#[must_use]
pub fn read_endpoint(sockaddr: &[u8]) -> Option<SocketAddr> {
    let ([f0, f1, p0, p1], rest) = sockaddr.split_first_chunk()?;
    let family = u16::from_ne_bytes([*f0, *f1]);
    let port = u16::from_be_bytes([*p0, *p1]);
    if family == u16::from(AF_INET) && sockaddr.len() == SOCKADDR_IN_LEN {
        let (ip, _) = rest.split_first_chunk::<4>()?;
        Some(SocketAddrV4::new(Ipv4Addr::from(*ip), port).into())
    } else if family == u16::from(AF_INET6) && sockaddr.len() == SOCKADDR_IN6_LEN {
        let (_flowinfo, rest) = rest.split_first_chunk::<4>()?;
        let (ip, scope) = rest.split_first_chunk::<16>()?;
        let scope = u32::from_ne_bytes(*scope.first_chunk()?);
        Some(SocketAddrV6::new(Ipv6Addr::from(*ip), port, 0, scope).into())
    } else {
        None
    }
}

/// The address in four or sixteen bytes of a family.
fn read_ip(family: u16, bytes: &[u8]) -> Option<IpAddr> {
    if family == u16::from(AF_INET) {
        <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from)
    } else if family == u16::from(AF_INET6) {
        <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
    } else {
        None
    }
}
