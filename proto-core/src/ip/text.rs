//! Formats and parses addresses as text.
//!
//! The texts are those of `core::net`, and `tests` compares both. The router does not use the
//! functions of `core::net`, because their buffers and closures are 8 KB of program; these are 2
//! KB, and need a fraction of the instructions.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::text::{number, split, split_last};

/// Displays an address, or an address and port, as `core::net` does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shown<T>(pub T);

impl fmt::Display for Shown<IpAddr> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buf = [0; IP_TEXT_LEN];
        f.write_str(core::str::from_utf8(ip_text(self.0, &mut buf)).unwrap_or_default())
    }
}

impl fmt::Display for Shown<SocketAddr> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ip = Shown(self.0.ip());
        match self.0 {
            SocketAddr::V4(_) => fmt::Display::fmt(&ip, f)?,
            SocketAddr::V6(endpoint) => {
                write!(f, "[{ip}")?;
                if endpoint.scope_id() != 0 {
                    write!(f, "%{}", endpoint.scope_id())?;
                }
                f.write_str("]")?;
            }
        }
        write!(f, ":{}", self.0.port())
    }
}

/// The longest address: eight groups of four digits, and the separators.
pub const IP_TEXT_LEN: usize = 39;

/// Writes an address into `buf`, as `core::net` does.
#[cfg_attr(feature = "small", inline(never))]
pub fn ip_text(ip: IpAddr, buf: &mut [u8; IP_TEXT_LEN]) -> &[u8] {
    let mut line = Line { buf, len: 0 };
    match ip {
        IpAddr::V4(ip) => line.v4(ip),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => {
                b"::ffff:".iter().for_each(|byte| line.byte(*byte));
                line.v4(ip);
            }
            None => line.v6(ip),
        },
    }
    let Line { buf, len } = line;
    buf.get(..len).unwrap_or_default()
}

/// Text that is being written.
struct Line<'b> {
    buf: &'b mut [u8],
    len: usize,
}

impl Line<'_> {
    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.buf.get_mut(self.len) {
            *place = byte;
            self.len = self.len.saturating_add(1);
        }
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn v4(&mut self, ip: Ipv4Addr) {
        for (n, octet) in ip.octets().into_iter().enumerate() {
            if n > 0 {
                self.byte(b'.');
            }
            if octet > 99 {
                self.byte(b'0' | (octet / 100));
            }
            if octet > 9 {
                self.byte(b'0' | (octet / 10 % 10));
            }
            self.byte(b'0' | (octet % 10));
        }
    }

    /// RFC 5952: the longest run of two or more zero groups is `::`, the first one if several have
    /// this length.
    fn v6(&mut self, ip: Ipv6Addr) {
        let groups = ip.segments();
        let (mut from, mut len, mut run) = (groups.len(), 1_usize, 0_usize);
        for (at, group) in groups.iter().enumerate() {
            run = if *group == 0 { run.saturating_add(1) } else { 0 };
            if run > len {
                (from, len) = (at.saturating_add(1).saturating_sub(run), run);
            }
        }
        let end = from.saturating_add(len);
        for (at, group) in groups.into_iter().enumerate() {
            if at == from {
                self.byte(b':');
                self.byte(b':');
            } else if at < from || at >= end {
                if at != 0 && at != end {
                    self.byte(b':');
                }
                self.hex(group);
            }
        }
    }

    fn hex(&mut self, group: u16) {
        for shift in [12, 8, 4, 0] {
            let rest = group >> shift;
            if rest != 0 || shift == 0 {
                let digit = (rest & 15) as u8;
                self.byte(if digit < 10 { b'0' | digit } else { (b'a' - 10).wrapping_add(digit) });
            }
        }
    }
}

/// Reads an address. `None` for any other text.
#[must_use]
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    parse_ip_bytes(text.as_bytes())
}

/// Reads an address from bytes that may not be text.
pub(crate) fn parse_ip_bytes(text: &[u8]) -> Option<IpAddr> {
    parse_v4(text).map(IpAddr::V4).or_else(|| parse_v6(text).map(IpAddr::V6))
}

/// Reads an address and port: `192.0.2.1:51820`, `[2001:db8::1]:51820`, `[fe80::1%2]:51820`. `None`
/// for any other text.
#[must_use]
pub fn parse_endpoint(text: &str) -> Option<SocketAddr> {
    let (ip, port) = split_last(text, b':')?;
    let port = u16::try_from(number(port)?).ok()?;
    let Some(ip) = ip.strip_prefix('[') else {
        return parse_v4(ip.as_bytes()).map(|ip| SocketAddr::new(IpAddr::V4(ip), port));
    };
    let ip = ip.strip_suffix(']')?;
    let (ip, scope) = match split(ip, b'%') {
        Some((ip, scope)) => (ip, number(scope)?),
        None => (ip, 0),
    };
    Some(SocketAddrV6::new(parse_v6(ip.as_bytes())?, port, 0, scope).into())
}

#[cfg_attr(feature = "small", inline(never))]
fn parse_v4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut bits, mut octet, mut digits, mut dots) = (0_u32, 0_u32, 0_u8, 0_u8);
    for byte in text {
        let digit = u32::from(byte.wrapping_sub(b'0'));
        if digit < 10 && (digits == 0 || octet != 0) {
            octet = octet.wrapping_mul(10).wrapping_add(digit);
            digits = digits.wrapping_add(1);
            if octet > 255 {
                return None;
            }
        } else if *byte == b'.' && digits > 0 && dots < 3 {
            bits = bits << 8 | octet;
            (octet, digits) = (0, 0);
            dots = dots.wrapping_add(1);
        } else {
            return None;
        }
    }
    if dots == 3 && digits > 0 { Some(Ipv4Addr::from_bits(bits << 8 | octet)) } else { None }
}

#[cfg_attr(feature = "small", inline(never))]
fn parse_v6(text: &[u8]) -> Option<Ipv6Addr> {
    let mut groups = [0_u16; 8];
    // Number of groups, and number of groups before the `::`.
    let (mut count, mut gap) = (0_usize, None);
    let mut rest = text;
    if let [b':', b':', behind @ ..] = rest {
        (gap, rest) = (Some(0), behind);
    }
    while !rest.is_empty() || gap != Some(count) {
        let from = rest;
        let mut group = 0_u16;
        while let [byte, behind @ ..] = rest
            && let Some(digit) = hex(*byte)
        {
            group = group << 4 | digit;
            rest = behind;
        }
        match (from.len().saturating_sub(rest.len()), rest.first()) {
            // The end may be an IPv4 address.
            (1.., Some(b'.')) => {
                let [high @ .., c, d] = parse_v4(from)?.octets();
                *groups.get_mut(count)? = u16::from_be_bytes(high);
                count = count.saturating_add(1);
                group = u16::from_be_bytes([c, d]);
                rest = &[];
            }
            (1..=4, _) => {}
            _ => return None,
        }
        *groups.get_mut(count)? = group;
        count = count.saturating_add(1);
        match rest {
            [] => break,
            [b':', b':', behind @ ..] if gap.is_none() => (gap, rest) = (Some(count), behind),
            [b':', behind @ ..] => rest = behind,
            _ => return None,
        }
    }
    match gap {
        None if count < groups.len() => return None,
        None => {}
        // The gap stands for at least one group.
        Some(_) if count == groups.len() => return None,
        Some(gap) => {
            let behind = groups.len();
            // Backwards, so that no group is overwritten before it was moved.
            for (to, from) in (0..behind).rev().zip((gap..count).rev()) {
                let group = core::mem::take(groups.get_mut(from)?);
                *groups.get_mut(to)? = group;
            }
        }
    }
    Some(Ipv6Addr::from(groups))
}

/// The value of a hexadecimal digit.
const fn hex(digit: u8) -> Option<u16> {
    let letter = (digit | 0x20).wrapping_sub(b'a');
    match digit.wrapping_sub(b'0') {
        number @ 0..10 => Some(number as u16),
        _ if letter < 6 => Some((letter as u16).wrapping_add(10)),
        _ => None,
    }
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
