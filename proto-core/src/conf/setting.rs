//! The values of wg-quick's own settings, as wg-quick(8) and the programs that it runs accept them.

use core::ops::RangeInclusive;

use super::value::halves;
use crate::ip::{IpNet, parse_ip_bytes};
use crate::text::number;

/// The table of an interface's routes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Table {
    /// The main table; for default routes, a table of their own.
    Auto,
    /// No routes.
    Off,
    /// This table.
    Number(u32),
}

/// Parses `Table`. `None` for text that may be the name of a table on the router
/// (`/etc/iproute2/rt_tables`).
#[must_use]
pub fn table(text: &str) -> Option<Table> {
    Some(match text {
        "" | "auto" => Table::Auto,
        "off" => Table::Off,
        "main" => Table::Number(254),
        "local" => Table::Number(255),
        "default" => Table::Number(253),
        text => Table::Number(ip_number(text)?),
    })
}

/// Parses a number as ip(8) reads it, by the prefixes of C: decimal, `0x` and hexadecimal digits, or `0` and octal digits.
/// `None` for any other text, also with a sign.
#[must_use]
#[cfg_attr(feature = "small", inline(never))]
pub fn ip_number(text: &str) -> Option<u32> {
    let radix = |digits: &str, radix| match digits.starts_with('+') {
        true => None,
        false => u32::from_str_radix(digits, radix).ok(),
    };
    match text.strip_prefix('0') {
        None | Some("") => number(text),
        Some(rest) => match rest.strip_prefix(['x', 'X']) {
            Some(digits) => radix(digits, 16),
            None => radix(rest, 8),
        },
    }
}

/// The MTUs that an interface can have, in bytes: with a smaller one Linux takes IPv4 from the interface.
pub const MTUS: RangeInclusive<u32> = 68..=65_535;

/// Parses `MTU`, in bytes. `None` for any other text, and for a number outside [`MTUS`].
#[must_use]
pub fn mtu(text: &str) -> Option<u32> {
    ip_number(text).filter(|mtu| MTUS.contains(mtu))
}

/// Parses `SaveConfig`: `true` or `false`, in any case. `None` for any other text.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is("true") || is("false") { Some(is("true")) } else { None }
}

/// Parses one address of `Address` with its prefix length, which may be written as the netmask of
/// an IPv4 network: `10.0.0.1/255.255.255.0`, as in ip(8). Without a prefix the network is that one
/// address. `None` for any other text.
#[must_use]
#[cfg_attr(feature = "small", inline(never))]
pub fn address(word: &str) -> Option<IpNet> {
    let word = word.as_bytes();
    IpNet::from_bytes(word).ok().or_else(|| {
        let (ip, mask) = halves(word, word.iter().position(|byte| *byte == b'/')?)?;
        let (core::net::IpAddr::V4(ip), core::net::IpAddr::V4(mask)) =
            (parse_ip_bytes(ip)?, parse_ip_bytes(mask)?)
        else {
            return None;
        };
        let mask = mask.to_bits();
        let prefix = mask.leading_ones();
        let whole = prefix.checked_add(mask.trailing_zeros())? == 32;
        IpNet::new(ip.into(), prefix as u8).filter(|_| whole)
    })
}

/// Takes the next word from a list of addresses or name servers. `None` at the end.
pub fn next_word<'t>(rest: &mut &'t str) -> Option<&'t str> {
    let between = |byte: u8| matches!(byte, b',' | b' ' | b'\t');
    let from = rest.bytes().position(|byte| !between(byte))?;
    let behind = rest.get(from..)?;
    let len = behind.bytes().position(between).unwrap_or(behind.len());
    *rest = behind.get(len..)?;
    behind.get(..len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_have_the_mask_of_a_network() {
        for (text, wanted) in [
            ("10.0.0.1", "10.0.0.1/32"),
            ("10.0.0.1/24", "10.0.0.1/24"),
            ("10.0.0.1/255.255.255.0", "10.0.0.1/24"),
            ("10.0.0.1/255.255.255.255", "10.0.0.1/32"),
            ("10.0.0.1/0.0.0.0", "10.0.0.1/0"),
            ("10.0.0.1/128.0.0.0", "10.0.0.1/1"),
            ("fd00::1/64", "fd00::1/64"),
        ] {
            assert_eq!(address(text), Some(wanted.parse().unwrap()), "{text}");
        }
        for text in [
            "10.0.0.1/255.0.255.0",
            "10.0.0.1/0.0.0.255",
            "fd00::1/ffff::",
            "fd00::1/255.0.0.0",
            "/255.0.0.0",
        ] {
            assert_eq!(address(text), None, "{text}");
        }
    }

    #[test]
    fn an_mtu_is_a_number_as_ip_reads_it() {
        for (text, wanted) in [
            ("1420", Some(1420)),
            ("0x58c", Some(1420)),
            ("0X58C", Some(1420)),
            ("02614", Some(1420)),
            ("68", Some(68)),
            ("67", None),
            ("65535", Some(65_535)),
            ("65536", None),
            ("", None),
            ("+1420", None),
        ] {
            assert_eq!(mtu(text), wanted, "{text}");
        }
    }

    #[test]
    fn tables_have_numbers_and_names() {
        for (text, wanted) in [
            ("", Some(Table::Auto)),
            ("auto", Some(Table::Auto)),
            ("off", Some(Table::Off)),
            ("main", Some(Table::Number(254))),
            ("local", Some(Table::Number(255))),
            ("default", Some(Table::Number(253))),
            ("0x1f4", Some(Table::Number(500))),
            ("0X1F4", Some(Table::Number(500))),
            ("0764", Some(Table::Number(500))),
            ("0", Some(Table::Number(0))),
            ("08", None),
            ("0+7", None),
            ("51820", Some(Table::Number(51_820))),
            ("vpn", None),
            ("Auto", None),
            ("0x", None),
            ("0x+1", None),
            ("+1", None),
            ("4294967296", None),
        ] {
            assert_eq!(table(text), wanted, "{text}");
        }
    }
}
