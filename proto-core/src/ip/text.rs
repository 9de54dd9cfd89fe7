//! Addresses as text, both ways.
//!
//! The texts are those of `core::net`, and `tests` hold the two against each other. The router does
//! not use the ones of `core::net` because they format through buffers and parse through closures
//! that are 8 KB of program; these are 2 KB.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::text::{number, split, split_last};

/// Shows an address, or an address and port, as `core::net` does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shown<T>(pub T);

impl fmt::Display for Shown<IpAddr> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => v4(f, ip),
            IpAddr::V6(ip) => v6(f, ip),
        }
    }
}

impl fmt::Display for Shown<SocketAddr> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SocketAddr::V4(endpoint) => v4(f, *endpoint.ip())?,
            SocketAddr::V6(endpoint) => {
                f.write_str("[")?;
                v6(f, *endpoint.ip())?;
                if endpoint.scope_id() != 0 {
                    write!(f, "%{}", endpoint.scope_id())?;
                }
                f.write_str("]")?;
            }
        }
        write!(f, ":{}", self.0.port())
    }
}

#[cfg_attr(feature = "small", inline(never))]
fn v4(f: &mut fmt::Formatter<'_>, ip: Ipv4Addr) -> fmt::Result {
    let mut dot = "";
    for octet in ip.octets() {
        write!(f, "{dot}{octet}")?;
        dot = ".";
    }
    Ok(())
}

/// RFC 5952: the longest run of two zeros or more is `::`, the first of those of one length.
#[cfg_attr(feature = "small", inline(never))]
fn v6(f: &mut fmt::Formatter<'_>, ip: Ipv6Addr) -> fmt::Result {
    if let Some(ip) = ip.to_ipv4_mapped() {
        f.write_str("::ffff:")?;
        return v4(f, ip);
    }
    let groups = ip.segments();
    let (mut from, mut len, mut run) = (groups.len(), 1_usize, 0_usize);
    for (at, group) in groups.iter().enumerate() {
        run = if *group == 0 { run.saturating_add(1) } else { 0 };
        if run > len {
            (from, len) = (at.saturating_add(1).saturating_sub(run), run);
        }
    }
    let end = from.saturating_add(len);
    let mut colon = "";
    for (at, group) in groups.iter().enumerate() {
        if at == from {
            f.write_str("::")?;
            colon = "";
        } else if at < from || at >= end {
            write!(f, "{colon}{group:x}")?;
            colon = ":";
        }
    }
    Ok(())
}

/// Reads an address.
#[must_use]
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    parse_v4(text).map(IpAddr::V4).or_else(|| parse_v6(text).map(IpAddr::V6))
}

/// Reads an address and port: `192.0.2.1:51820`, `[2001:db8::1]:51820`, `[fe80::1%2]:51820`.
#[must_use]
pub fn parse_endpoint(text: &str) -> Option<SocketAddr> {
    let (ip, port) = split_last(text, b':')?;
    let port = u16::try_from(number(port)?).ok()?;
    let Some(ip) = ip.strip_prefix('[') else {
        return parse_v4(ip).map(|ip| SocketAddr::new(IpAddr::V4(ip), port));
    };
    let ip = ip.strip_suffix(']')?;
    let (ip, scope) = match split(ip, b'%') {
        Some((ip, scope)) => (ip, number(scope)?),
        None => (ip, 0),
    };
    Some(SocketAddrV6::new(parse_v6(ip)?, port, 0, scope).into())
}

#[cfg_attr(feature = "small", inline(never))]
fn parse_v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut rest = Some(text);
    for octet in &mut octets {
        let text = rest?;
        let (part, next) = match split(text, b'.') {
            Some((part, next)) => (part, Some(next)),
            None => (text, None),
        };
        if part.len() > 1 && part.starts_with('0') {
            return None;
        }
        *octet = u8::try_from(number(part)?).ok()?;
        rest = next;
    }
    if rest.is_some() { None } else { Some(Ipv4Addr::from(octets)) }
}

#[cfg_attr(feature = "small", inline(never))]
fn parse_v6(text: &str) -> Option<Ipv6Addr> {
    let gap = text.as_bytes().windows(2).position(|two| two == b"::");
    let mut bytes = [0; 16];
    match gap.and_then(|gap| text.split_at_checked(gap)) {
        None => {
            if groups(text, &mut bytes, true)? != 16 {
                return None;
            }
        }
        Some((head, tail)) => {
            let mut last = [0; 16];
            let head = groups(head, &mut bytes, false)?;
            let tail = groups(tail.strip_prefix("::")?, &mut last, true)?;
            // The gap stands for one group at least.
            let end = 16_usize.checked_sub(tail).filter(|end| head < *end)?;
            for (to, from) in bytes.iter_mut().skip(end).zip(last) {
                *to = from;
            }
        }
    }
    Some(Ipv6Addr::from(bytes))
}

/// Reads groups between colons to the front of `bytes`: how many bytes they are. The last one may be
/// an IPv4 address if they are the end of the whole.
#[cfg_attr(feature = "small", inline(never))]
fn groups(text: &str, bytes: &mut [u8; 16], ends: bool) -> Option<usize> {
    let mut at = 0_usize;
    let mut rest = Some(text).filter(|text| !text.is_empty());
    while let Some(text) = rest {
        let (group, next) = match split(text, b':') {
            Some((group, next)) => (group, Some(next)),
            None => (text, None),
        };
        rest = next;
        let room = bytes.get_mut(at..)?;
        if let (true, None, Some(ip)) = (ends, next, parse_v4(group)) {
            *room.first_chunk_mut()? = ip.octets();
            return at.checked_add(4);
        }
        let group = hex(group)?;
        *room.first_chunk_mut()? = group.to_be_bytes();
        at = at.checked_add(2)?;
    }
    Some(at)
}

/// One to four hexadecimal digits.
fn hex(text: &str) -> Option<u16> {
    if text.is_empty() || text.len() > 4 {
        return None;
    }
    text.chars()
        .try_fold(0, |number, digit| Some(number << 4 | u16::try_from(digit.to_digit(16)?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn same(text: &str) {
        assert_eq!(parse_ip(text), text.parse().ok(), "{text}");
        assert_eq!(parse_endpoint(text), text.parse().ok(), "{text}");
    }

    #[test]
    fn texts_at_the_edges() {
        for text in [
            "",
            ":",
            "::",
            ":::",
            "::::",
            "1::",
            "::1",
            "1::2::3",
            "1:::2",
            ":1::2",
            "1::2:",
            "1:2",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1:2:3:4::5:6:7:8",
            "1:2:3:4:5:6:7:8::",
            "::1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:1.2.3.4",
            "1:2:3:4:5:6:7:1.2.3.4",
            "::1.2.3.4",
            "1.2.3.4::",
            "::1.2.3.4:5",
            "::ffff:1.2.3.4",
            "1:2:3:4:5::1.2.3.4",
            "1:2:3:4:5:6::1.2.3.4",
            "00001::",
            "0001::",
            "+1::",
            "g::",
            "::+1",
            "1.2.3",
            "1.2.3.4",
            "1.2.3.4.5",
            "01.2.3.4",
            "0.0.0.0",
            "256.1.1.1",
            "1.2.3.+4",
            "1..2.3",
            "1.2.3.4:80",
            "1.2.3.4:080",
            "1.2.3.4:65536",
            "1.2.3.4:",
            "1.2.3.4:+1",
            "[::]:80",
            "[::1%3]:80",
            "[::1%]:80",
            "[::1%x]:80",
            "[::1%4294967296]:80",
            "[::1%+3]:8",
            "::1%3",
            "[::1]",
            "[::1]:",
            "[1.2.3.4]:80",
            "::1:80",
            "[::1:80",
            "é",
            "::é",
        ] {
            same(text);
        }
    }

    #[test]
    fn runs_of_zeros_of_every_length_and_place() {
        for bits in 0..=255_u8 {
            let groups: [u16; 8] = core::array::from_fn(|n| u16::from(bits >> n & 1) * 0x10);
            let ip = IpAddr::from(groups);
            assert_eq!(Shown(ip).to_string(), ip.to_string());
            same(&ip.to_string());
        }
    }

    proptest! {
        #[test]
        fn shown_as_core_shows_them(ip: u128, v4: u32, mapped: bool, port: u16, scope: u32) {
            let ip = if mapped { 0xffff << 32 | u128::from(v4) } else { ip };
            for scope in [0, scope] {
                let v6 = SocketAddrV6::new(Ipv6Addr::from_bits(ip), port, 0, scope);
                let v4 = SocketAddr::new(Ipv4Addr::from_bits(v4).into(), port);
                for endpoint in [v4, v6.into()] {
                    prop_assert_eq!(Shown(endpoint).to_string(), endpoint.to_string());
                    prop_assert_eq!(Shown(endpoint.ip()).to_string(), endpoint.ip().to_string());
                    same(&endpoint.to_string());
                    same(&endpoint.ip().to_string());
                }
            }
        }

        #[test]
        fn read_as_core_reads_them(text in "[0-9a-f:.%\\[\\]]{0,24}", more in "([0-9a-f]{0,5}:){0,9}[0-9a-f.]{0,8}") {
            same(&text);
            same(&more);
        }
    }
}
