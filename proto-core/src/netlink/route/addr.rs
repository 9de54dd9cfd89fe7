//! The addresses of interfaces.
//!
//! Source: `linux/if_addr.h`.

use core::net::IpAddr;

use super::{CHANGE, IfExists, LIST};
use crate::ip::IpNet;
use crate::netlink::read::{AttributeError, Fields, Message, ParseError, Wrong};
use crate::netlink::{Full, Writer};

/// The type of a message that adds or reports an address.
pub const RTM_NEWADDR: u16 = 20;
/// The type of a message that removes an address.
pub const RTM_DELADDR: u16 = 21;
/// The type of a request for an address.
pub const RTM_GETADDR: u16 = 22;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

const RT_SCOPE_HOST: u8 = 254;

/// An address of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addr {
    /// `ifa_index`: the interface.
    pub index: u32,
    /// The interface's own address, and the prefix of its network or its peer's network.
    pub net: IpNet,
    /// The other end of a point-to-point address, if it differs from the interface's own.
    pub peer: Option<IpAddr>,
    /// `ifa_scope`, as `rtm_scope` counts it: 0 is global, 253 is the link, 254 is the host.
    pub scope: u8,
}

impl Addr {
    /// An address without a peer, with the scope that ip(8) gives it: the host for an IPv4 loopback
    /// address, else global.
    #[must_use]
    pub const fn new(index: u32, net: IpNet) -> Self {
        let host = matches!(net.addr, IpAddr::V4(addr) if addr.is_loopback());
        Self { index, net, peer: None, scope: if host { RT_SCOPE_HOST } else { 0 } }
    }

    /// Reads an `RTM_NEWADDR`.
    ///
    /// `IFA_LOCAL` is the interface's own address. IPv6 leaves it out unless there is a peer, and
    /// `IFA_ADDRESS` is then the own address. With both attributes, `IFA_ADDRESS` is the peer; IPv4
    /// sets it to the own address if there is no peer.
    ///
    /// # Errors
    /// [`ParseError`] for a malformed message.
    pub fn parse(message: &Message<'_>) -> Result<Self, ParseError> {
        if message.ty == RTM_NEWADDR {
            Self::read(message)
        } else {
            Err(ParseError::Type(message.ty))
        }
    }

    /// Reads a message of a type that was checked.
    pub(super) fn read(message: &Message<'_>) -> Result<Self, ParseError> {
        let ([family, prefix, _, scope, i0, i1, i2, i3], attributes) = message.split::<8>()?;
        let (mut address, mut local) = (None, None);
        let mut fields = Fields::new(attributes);
        while let Some(ty) = fields.advance() {
            match ty {
                IFA_ADDRESS => address = fields.ip(),
                IFA_LOCAL => local = fields.ip(),
                _ => {}
            }
        }
        fields.end()?;
        let error = |wrong| AttributeError { ty: IFA_LOCAL, wrong };
        let own = local.or(address).ok_or(error(Wrong::Missing))?;
        let net = IpNet::new(own, *prefix).ok_or(error(Wrong::Value))?;
        if net.family() != *family {
            return Err(ParseError::Family(*family));
        }
        let peer = address.filter(|peer| *peer != own);
        Ok(Self { index: u32::from_ne_bytes([*i0, *i1, *i2, *i3]), net, peer, scope: *scope })
    }

    /// Writes the request to add it. Expects an acknowledgement.
    ///
    /// # Errors
    /// [`Full`] if `buf` is too short.
    pub fn add<'b>(
        &self,
        buf: &'b mut [u8],
        seq: u32,
        if_exists: IfExists,
    ) -> Result<&'b [u8], Full> {
        self.write(buf, RTM_NEWADDR, if_exists.flags(), seq)
    }

    /// Writes the request to remove it. Expects an acknowledgement; `EADDRNOTAVAIL` if it does not
    /// exist.
    ///
    /// # Errors
    /// [`Full`] if `buf` is too short.
    pub fn delete<'b>(&self, buf: &'b mut [u8], seq: u32) -> Result<&'b [u8], Full> {
        self.write(buf, RTM_DELADDR, CHANGE, seq)
    }

    fn write<'b>(
        &self,
        buf: &'b mut [u8],
        ty: u16,
        flags: u16,
        seq: u32,
    ) -> Result<&'b [u8], Full> {
        let net = self.net;
        let mut writer =
            start(buf, ty, flags, seq, net.family(), net.prefix, self.scope, self.index)?;
        writer.ip(IFA_LOCAL, net.addr)?;
        writer.ip(IFA_ADDRESS, self.peer.unwrap_or(net.addr))?;
        Ok(writer.finish())
    }
}

/// Writes the request for the addresses of one interface or of all, of one family
/// ([`AF_INET`](crate::ip::AF_INET), [`AF_INET6`](crate::ip::AF_INET6)) or of both
/// ([`AF_UNSPEC`](super::AF_UNSPEC)). Expects a dump; `ENODEV` if the interface does not exist.
///
/// # Errors
/// [`Full`] if `buf` is too short.
pub fn list(buf: &mut [u8], seq: u32, family: u8, index: Option<u32>) -> Result<&[u8], Full> {
    Ok(start(buf, RTM_GETADDR, LIST, seq, family, 0, 0, index.unwrap_or(0))?.finish())
}

/// A message with a `struct ifaddrmsg`.
#[expect(clippy::too_many_arguments, reason = "they are the fields of two headers")]
fn start(
    buf: &mut [u8],
    ty: u16,
    flags: u16,
    seq: u32,
    family: u8,
    prefix: u8,
    scope: u8,
    index: u32,
) -> Result<Writer<'_>, Full> {
    let mut writer = Writer::new(buf);
    writer.message(ty, flags, seq, 0)?;
    let [i0, i1, i2, i3] = index.to_ne_bytes();
    writer.header(&[family, prefix, 0, scope, i0, i1, i2, i3]).map(|()| writer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::AF_INET;
    use crate::netlink::fixture::{datagram, messages};

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    /// `ip addr show` of an interface with one address of each sort (Linux 6.18, x86_64).
    #[cfg(target_endian = "little")]
    #[test]
    fn addresses_of_a_real_kernel() {
        let bytes = crate::netlink::fixture::hex(
            "4c000000 1400 2200 77000000 a83f0000 02188000 02000000 08000100 0a010203 08000200 0a010203 \
             08000300 70773000 08000800 80000000 14000600 ffffffff ffffffff 9f850300 9f850300 \
             4c000000 1400 2200 77000000 a83f0000 02208000 02000000 08000100 0a090909 08000200 0a090908 \
             08000300 70773000 08000800 80000000 14000600 ffffffff ffffffff 9f850300 9f850300 \
             5c000000 1400 2200 77000000 a83f0000 0a80c000 02000000 \
             14000200 fd090000 00000000 00000000 00000008 14000100 fd090000 00000000 00000000 00000009 \
             14000600 ffffffff ffffffff 9f850300 9f850300 08000800 c0000000 \
             50000000 1400 2200 77000000 a83f0000 0a40c0fd 02000000 \
             14000100 fe800000 00000000 18fdd1ff fe54ec91 \
             14000600 ffffffff ffffffff 9e850300 9e850300 08000800 c0000000 05000b00 03000000",
        );
        let read: Vec<_> = messages(&bytes).iter().map(|m| Addr::parse(m).unwrap()).collect();
        let new = |text| Addr::new(2, net(text));
        let peer = |text: &str| Some(text.parse().unwrap());
        assert_eq!(
            read,
            [
                new("10.1.2.3/24"),
                Addr { peer: peer("10.9.9.9"), ..new("10.9.9.8/32") },
                Addr { peer: peer("fd09::9"), ..new("fd09::8/128") },
                Addr { scope: 253, ..new("fe80::18fd:d1ff:fe54:ec91/64") },
            ]
        );
    }

    #[test]
    fn an_address_has_the_scope_that_ip_gives_it() {
        let all = ["127.0.0.1/8", "127.255.0.1/32", "128.0.0.1/8", "126.0.0.1/8", "::1/128"];
        let scopes = all.map(|text| Addr::new(2, net(text)).scope);
        assert_eq!(scopes, [254, 254, 0, 0, 0]);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut buf = [0xaa; 128];
        for text in ["10.1.2.3/24", "fd00::1/64", "0.0.0.0/0", "::/128"] {
            for peer in [None, Some(IpAddr::from([9; 4]))] {
                let addr = Addr { peer, ..Addr::new(7, net(text)) };
                let request = messages(addr.add(&mut buf, 1, IfExists::Fail).unwrap())[0];
                assert_eq!((request.ty, request.flags), (RTM_NEWADDR, 0x605));
                assert_eq!(Addr::parse(&request), Ok(addr));
                let request = messages(addr.add(&mut buf, 1, IfExists::Replace).unwrap())[0];
                assert_eq!(request.flags, 0x505);
                let request = messages(addr.delete(&mut buf, 1).unwrap())[0];
                assert_eq!((request.ty, request.flags), (RTM_DELADDR, 5));
            }
        }
        let request = messages(list(&mut buf, 1, AF_INET, Some(7)).unwrap())[0];
        assert_eq!((request.ty, request.flags), (RTM_GETADDR, 0x305));
        assert_eq!(request.payload, [&[2, 0, 0, 0][..], &7u32.to_ne_bytes()].concat());
    }

    #[test]
    fn what_cannot_be_an_address_is_an_error() {
        let parse = |family, prefix, put: fn(&mut Writer<'_>) -> Result<(), Full>| {
            let bytes = datagram(|w| {
                w.message(RTM_NEWADDR, 0, 1, 1)?;
                w.header(&[family, prefix, 0, 0, 0, 0, 0, 0])?;
                put(w)
            });
            Addr::parse(&messages(&bytes)[0])
        };
        let error = |ty, wrong| Err(ParseError::Attribute(AttributeError { ty, wrong }));
        assert_eq!(parse(2, 24, |_| Ok(())), error(IFA_LOCAL, Wrong::Missing));
        assert_eq!(parse(2, 33, |w| w.be32(IFA_LOCAL, 1)), error(IFA_LOCAL, Wrong::Value));
        assert_eq!(parse(2, 24, |w| w.be16(IFA_LOCAL, 1)), error(IFA_LOCAL, Wrong::Length));
        assert_eq!(parse(10, 24, |w| w.be32(IFA_LOCAL, 1)), Err(ParseError::Family(10)));
    }
}
