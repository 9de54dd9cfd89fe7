//! Endpoints: a host and its port, and the validation of both.
//!
//! Not here: looking up names, and the port numbers of services.

use core::fmt;
use core::net::SocketAddr;

use super::value::{halves, port, service};
use crate::ip::parse_ip;

/// The longest host name (RFC 1035, without the length of the root label).
pub const HOST_NAME_MAX: usize = 253;
/// The longest label of a host name (RFC 1035).
const LABEL_MAX: usize = 63;

/// A host and its port. The host is a name or an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Host<'t> {
    /// The name without the brackets around an IPv6 address. Empty if only the port is needed.
    pub name: &'t str,
    /// The UDP port.
    pub port: u16,
    /// The text in place of the port if that is not a plain number; otherwise empty.
    pub service: &'t str,
    /// Whether the name was in brackets. Without them, the last group of an IPv6 address may have
    /// been meant as the port.
    pub brackets: bool,
}

impl<'t> Host<'t> {
    /// A host with a known port.
    #[must_use]
    pub const fn new(name: &'t str, port: u16) -> Self {
        Self { name, port, service: "", brackets: false }
    }

    /// The address; `None` if the host must be looked up.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        let ip = parse_ip(self.name).filter(|_| self.service.is_empty());
        ip.map(|ip| SocketAddr::new(ip, self.port))
    }
}

/// The reason why a text is not an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EndpointError {
    /// There is no colon, or nothing after it.
    NoPort,
    /// The port is a number over 65535.
    Port,
    /// A `[` without `]:` after it.
    Bracket,
    /// A URL.
    Url,
    /// A second port.
    Ports,
    /// An address with a prefix length.
    Prefix,
    /// An IPv6 address without brackets, so that the port is ambiguous.
    Ipv6,
    /// The text before the port is neither a host name nor an address.
    Name,
}

impl EndpointError {
    /// The end of a sentence that starts with the text in question.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoPort => "has no port: write HOST:PORT, or [IPv6 address]:PORT",
            Self::Port => "has no port from 0 to 65535 after its last colon",
            Self::Bracket => "has no `]:PORT` after its `[`",
            Self::Url => "is a URL: write HOST:PORT, without `http://` and without a path",
            Self::Ports => "has two ports: write HOST:PORT",
            Self::Prefix => "has a prefix length: write ADDRESS:PORT, without `/` and the length",
            Self::Ipv6 => "is an IPv6 address without brackets: write [ADDRESS]:PORT",
            Self::Name => {
                "has no host name or address before its port: a name is made of letters, digits, `-`, `_` \
                 and dots, with 1 to 63 bytes between two dots and at most 253 in all"
            }
        }
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl core::error::Error for EndpointError {}

/// Whether the text is a valid host name. Bytes beyond ASCII are left to the resolver.
#[must_use]
#[cfg_attr(feature = "small", inline(never))]
pub fn is_host_name(name: &str) -> bool {
    let name = name.as_bytes();
    let name = name.strip_suffix(b".").unwrap_or(name);
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || *byte >= 0x80 || b"-_".contains(byte);
    name.len() <= HOST_NAME_MAX
        && name
            .split(|byte| *byte == b'.')
            .all(|label| (1..=LABEL_MAX).contains(&label.len()) && label.iter().all(fits))
}

/// Whether the text is an address, with or without a scope.
fn is_address(name: &str) -> bool {
    let (ip, scope) = crate::text::split(name, b'%').unwrap_or((name, "0"));
    let scoped = ip.len() != name.len();
    !scope.is_empty()
        && !scope.contains(':')
        && parse_ip(ip).is_some_and(|ip| ip.is_ipv6() || !scoped)
}

/// Parses a host and a port.
///
/// # Errors
/// [`EndpointError`] with the reason.
#[cfg_attr(feature = "small", inline(never))]
pub fn endpoint(text: &[u8]) -> Result<Host<'_>, EndpointError> {
    use EndpointError as Wrong;
    if text.windows(3).any(|three| three == b"://") {
        return Err(Wrong::Url);
    }
    let (name, digits) = match text {
        [b'[', inside @ ..] => {
            let end = inside.iter().position(|byte| *byte == b']').ok_or(Wrong::Bracket)?;
            let (name, rest) = halves(inside, end).ok_or(Wrong::Bracket)?;
            let none = if rest.is_empty() { Wrong::NoPort } else { Wrong::Bracket };
            (name, rest.strip_prefix(b":").ok_or(none)?)
        }
        _ => text
            .iter()
            .rposition(|byte| *byte == b':')
            .and_then(|at| halves(text, at))
            .ok_or(Wrong::NoPort)?,
    };
    let brackets = text.starts_with(b"[");
    let name = core::str::from_utf8(name).map_err(|_| Wrong::Name)?;
    if !is_address(name) && !is_host_name(name) {
        let whole = core::str::from_utf8(text).unwrap_or_default();
        return Err(if is_address(whole) {
            Wrong::Ipv6
        } else if let Some((host, behind)) = crate::text::split_last(name, b':')
            && (is_address(host) || is_host_name(host))
            && port(behind.as_bytes()).is_some()
        {
            Wrong::Ports
        } else if crate::text::split(name, b'/').is_some_and(|(host, _)| is_address(host)) {
            Wrong::Prefix
        } else {
            Wrong::Name
        });
    }
    if let Some(port) = port(digits) {
        return Ok(Host { brackets, ..Host::new(name, port) });
    }
    // All digits, and not a port.
    let none = if digits.is_empty() { Wrong::NoPort } else { Wrong::Port };
    Ok(Host { name, port: 0, service: service(digits).ok_or(none)?, brackets })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        let host = |name, port| Ok(Host::new(name, port));
        let service = |name, service| Ok(Host { service, ..Host::new(name, 0) });
        for (text, wanted) in [
            ("example.net:51820", host("example.net", 51_820)),
            ("example.net.:1", host("example.net.", 1)),
            ("my_host-1:1", host("my_host-1", 1)),
            ("b\u{fc}ro.example:1", host("b\u{fc}ro.example", 1)),
            ("192.0.2.1:1", host("192.0.2.1", 1)),
            ("[2001:db8::1]:1", host("2001:db8::1", 1)),
            ("2001:db8::1:1", host("2001:db8::1", 1)),
            ("[fe80::1%eth0]:1", host("fe80::1%eth0", 1)),
            ("[example.net]:1", host("example.net", 1)),
            ("[::1]", Err(EndpointError::NoPort)),
            ("[::1]1", Err(EndpointError::Bracket)),
            ("[::1]:", Err(EndpointError::NoPort)),
            ("[::1:1", Err(EndpointError::Bracket)),
            ("[]:1", Err(EndpointError::Name)),
            (":1", Err(EndpointError::Name)),
            ("host", Err(EndpointError::NoPort)),
            ("host:", Err(EndpointError::NoPort)),
            ("host:65536", Err(EndpointError::Port)),
            ("[::1]:domain", service("::1", "domain")),
            ("::1:+5", service("::1", "+5")),
        ] {
            let wanted = wanted.map(|host| Host { brackets: text.starts_with('['), ..host });
            assert_eq!(endpoint(text.as_bytes()), wanted, "{text}");
        }
        let address = |text: &'static str| endpoint(text.as_bytes()).unwrap().address();
        assert_eq!(address("[2001:db8::1]:1"), Some("[2001:db8::1]:1".parse().unwrap()));
        assert_eq!(address("[192.0.2.1]:1"), Some("192.0.2.1:1".parse().unwrap()));
        assert_eq!(address("[fe80::1%eth0]:1"), None);
        assert_eq!(address("example.net:1"), None);
        assert_eq!(address("192.0.2.1:domain"), None);
    }

    #[test]
    fn what_can_never_be_a_host_name_is_not_looked_up() {
        let label = "a".repeat(64);
        let long = format!("{}a", "abcdefg.".repeat(32));
        for (text, wrong) in [
            ("http://vpn.example:51820", EndpointError::Url),
            ("http://vpn-x1.example:8000:51820", EndpointError::Url),
            ("https://vpn.example/path", EndpointError::Url),
            ("udp://[2001:db8::1]:1", EndpointError::Url),
            ("vpn.example.net:51822:51822", EndpointError::Ports),
            ("192.0.2.1:1:1", EndpointError::Ports),
            ("198.51.100.4/24:51820", EndpointError::Prefix),
            ("[2001:db8::1/64]:51820", EndpointError::Prefix),
            ("2001:db8::1", EndpointError::Ipv6),
            ("fe80::1%eth0", EndpointError::Ipv6),
            ("2001:db8::zz:51820", EndpointError::Name),
            ("<ip:51820", EndpointError::Name),
            ("<ip>:51820", EndpointError::Name),
            ("user@vpn.example:51820", EndpointError::Name),
            ("a b:51820", EndpointError::Name),
            ("a/b:51820", EndpointError::Name),
            ("a..b:1", EndpointError::Name),
            (".a:1", EndpointError::Name),
            ("a.b..:1", EndpointError::Name),
            (".:1", EndpointError::Name),
            ("192.0.2.1%eth0:1", EndpointError::Name),
            ("fe80::1%:1", EndpointError::Name),
            (&format!("{label}.example:1"), EndpointError::Name),
            (&format!("{long}:1"), EndpointError::Name),
        ] {
            assert_eq!(endpoint(text.as_bytes()), Err(wrong), "{text}");
        }
        assert!(is_host_name(&long[..253]) && is_host_name(&label[..63]));
    }
}
