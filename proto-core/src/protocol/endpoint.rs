//! The endpoint of a peer in images and reports: an address and a port, and the link of an address
//! that needs one.

use super::codec::wire;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use core::str::FromStr;

use super::config::ConfigError;
use super::message::Name;
use crate::ifname::IfName;
use crate::ip::Shown;
use crate::text::number;

wire! {
    /// The endpoint of a peer. The same link-local address may be in use on every link, and link
    /// numbers differ between machines; so the link is named.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum PeerEndpoint {
        /// IPv4.
        V4(to: SocketAddrV4) = 0,
        /// IPv6.
        V6(to: SocketAddrV6) = 1,
        /// IPv6 with a scope: the name of a link, or its number in digits.
        Scoped(to: SocketAddrV6, scope: Name) = 2,
    }
}

impl PeerEndpoint {
    /// The address and the port. The scope is the link's number if the scope is a number, and 0 if
    /// it is a name.
    #[must_use]
    pub fn addr(self) -> SocketAddr {
        match self {
            Self::V4(to) => to.into(),
            Self::V6(to) => to.into(),
            Self::Scoped(mut to, scope) => {
                to.set_scope_id(number(&scope).unwrap_or(0));
                to.into()
            }
        }
    }

    /// The name of the link; `None` if the endpoint has no scope.
    #[must_use]
    pub fn link(&self) -> Option<&Name> {
        match self {
            Self::Scoped(_, scope) if number(scope).is_none() => Some(scope),
            _ => None,
        }
    }

    /// Whether the endpoint is allowed in an image: only a link-local or multicast address has a
    /// scope.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        match self {
            Self::Scoped(to, scope) => has_scope(to.ip()) && IfName::plain(scope).is_ok(),
            _ => true,
        }
    }
}

/// Whether an address needs a scope.
#[must_use]
pub const fn has_scope(ip: &Ipv6Addr) -> bool {
    ip.is_unicast_link_local() || ip.is_multicast()
}

impl From<SocketAddr> for PeerEndpoint {
    /// Converts an address of netlink; a scope becomes its number in digits.
    fn from(to: SocketAddr) -> Self {
        match to {
            SocketAddr::V4(to) => Self::V4(to),
            SocketAddr::V6(to) if to.scope_id() == 0 => Self::V6(to),
            SocketAddr::V6(to) => {
                let plain = SocketAddrV6::new(*to.ip(), to.port(), 0, 0);
                let mut digits = heapless::String::<10>::new();
                // A number has at most ten digits.
                let _ = fmt::Write::write_fmt(&mut digits, format_args!("{}", to.scope_id()));
                Self::Scoped(plain, digits.parse().unwrap_or_default())
            }
        }
    }
}

impl FromStr for PeerEndpoint {
    type Err = ConfigError;

    /// Parses `[fe80::1%eth0]:51820`, and endpoints without a scope.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let host = crate::conf::endpoint::endpoint(text.as_bytes());
        let host = host.map_err(|_| ConfigError::Scope)?;
        if let Some(to) = host.address() {
            return Ok(to.into());
        }
        let (ip, scope) = host.name.split_once('%').ok_or(ConfigError::Scope)?;
        let ip = ip.parse().map_err(|_| ConfigError::Scope)?;
        let scope = scope.parse().map_err(|_| ConfigError::Name)?;
        let scoped = Self::Scoped(SocketAddrV6::new(ip, host.port, 0, 0), scope);
        if !scoped.is_valid() || !host.service.is_empty() {
            return Err(ConfigError::Scope);
        }
        Ok(scoped)
    }
}

impl fmt::Display for PeerEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scoped(to, scope) => {
                write!(f, "[{}%{scope}]:{}", Shown(IpAddr::V6(*to.ip())), to.port())
            }
            Self::V4(_) | Self::V6(_) => write!(f, "{}", Shown(self.addr())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_link_or_a_number() {
        let read = |text: &str| text.parse::<PeerEndpoint>();
        for (text, link, scope) in [
            ("[fe80::1%eth0]:51820", Some("eth0"), 0),
            ("[ff02::1%br-lan.2]:1", Some("br-lan.2"), 0),
            ("[fe80::1%3]:51820", None, 3),
            ("[fe80::1%4294967295]:1", None, u32::MAX),
            // Out of range for a number, but a link may have that name.
            ("[fe80::1%4294967296]:1", Some("4294967296"), 0),
            ("[fe80::1]:51820", None, 0),
            ("[2001:db8::1]:51820", None, 0),
            ("192.0.2.1:51820", None, 0),
        ] {
            let endpoint = read(text).unwrap();
            assert_eq!(endpoint.to_string(), text);
            assert_eq!(endpoint.link().map(Name::as_str), link, "{text}");
            match endpoint.addr() {
                SocketAddr::V6(to) => assert_eq!(to.scope_id(), scope, "{text}"),
                SocketAddr::V4(_) => assert_eq!(scope, 0),
            }
            if link.is_none() {
                assert_eq!(PeerEndpoint::from(endpoint.addr()), endpoint, "{text}");
            }
        }
        for text in [
            "[2001:db8::1%eth0]:1",
            "[::1%1]:1",
            "[fe80::1%]:1",
            "[fe80::1%a/b]:1",
            "[fe80::1%sixteen-letters-]:1",
            "[fe80::1%\u{e4}]:1",
            "[fe80::1%eth0]:http",
            "192.0.2.1%eth0:1",
            "vpn.example:1",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
