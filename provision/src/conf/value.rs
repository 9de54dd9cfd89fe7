//! The values of a wg-quick file, one function each. An error is the words for it, without the text
//! in question: where the text may be shown, the caller adds it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use proto_core::ip::IpNet;
use proto_core::key::{KEY_TEXT_LEN, PublicKey, SecretKey};
use proto_core::protocol::config::PrivateKey;

/// Which routes come with the allowed IPs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Table {
    /// Those wg-quick would make.
    Auto,
    /// None.
    Off,
    /// One for every allowed IP, in this table.
    Number(u32),
}

/// The number of the main routing table (`RT_TABLE_MAIN`, `linux/rtnetlink.h`).
pub const MAIN_TABLE: u32 = 254;

/// Where a peer is, as the file has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Destination {
    /// An address.
    Address(SocketAddr),
    /// A name that has to be looked up.
    Name(Host),
}

/// A host by its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// The name, which is ASCII.
    pub name: String,
    /// The port.
    pub port: u16,
    /// Its address, if it was found.
    pub address: Option<SocketAddr>,
}

/// The longest host name (`proto_core::protocol::config::HostName`).
const MAX_HOST: usize = 253;

/// What is wrong with a value, and what would be right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl Wrong {
    fn helped(message: &str, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Some(help.into()) }
    }
}

impl From<&str> for Wrong {
    fn from(message: &str) -> Self {
        Self { message: message.into(), help: None }
    }
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Self { message, help: None }
    }
}

type Value<T> = Result<T, Wrong>;

fn key<T: FromStr>(text: &str) -> Value<T> {
    text.parse().map_err(|_| {
        let count = text.chars().count();
        if count == KEY_TEXT_LEN {
            "not a key: these 44 characters are not the base64 of 32 bytes".into()
        } else {
            let message = format!("not a key: {count} characters instead of {KEY_TEXT_LEN}");
            Wrong::helped(&message, "a key is 32 bytes in base64: 44 characters, the last one `=`")
        }
    })
}

pub(super) fn private_key(text: &str) -> Value<PrivateKey> {
    if text.eq_ignore_ascii_case("generate") {
        return Ok(PrivateKey::Generate);
    }
    let secret: SecretKey = key(text)?;
    if secret.is_zero() {
        return Err(Wrong::helped(
            "all zeros, which is no key",
            "`PrivateKey = generate` has the router make one",
        ));
    }
    Ok(PrivateKey::Given(secret))
}

pub(super) fn secret_key(text: &str) -> Value<SecretKey> {
    key(text)
}

pub(super) fn public_key(text: &str) -> Value<PublicKey> {
    key(text)
}

/// A decimal number, digits only.
fn number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

pub(super) fn port(text: &str) -> Value<u16> {
    number(text).ok_or_else(|| "not a port: 0 to 65535".into())
}

pub(super) fn fwmark(text: &str) -> Value<u32> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(0);
    }
    let mark = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            u32::from_str_radix(hex, 16).ok()
        }
        Some(_) => None,
        None => number(text),
    };
    mark.ok_or_else(|| "not a mark: 0 to 4294967295, also as 0x..., or `off`".into())
}

pub(super) fn mtu(text: &str) -> Value<u32> {
    // `protocol::config::Checker` holds the same bounds.
    number(text)
        .filter(|mtu| (68..=65_535).contains(mtu))
        .ok_or_else(|| "not an MTU: 68 to 65535 bytes".into())
}

pub(super) fn table(text: &str) -> Value<Table> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "auto" => Table::Auto,
        "off" => Table::Off,
        "main" => Table::Number(MAIN_TABLE),
        _ => Table::Number(number(text).filter(|&table| table > 0).ok_or_else(|| {
            Wrong::from("not a table: `auto`, `off`, `main` or a number from 1 to 4294967295")
        })?),
    })
}

pub(super) fn keepalive(text: &str) -> Value<u16> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(0);
    }
    number(text).ok_or_else(|| "not an interval: 0 to 65535 seconds, or `off`".into())
}

pub(super) fn boolean(text: &str) -> Value<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("neither `true` nor `false`".into()),
    }
}

pub(super) fn network(text: &str) -> Value<IpNet> {
    text.parse().map_err(|error: proto_core::ip::IpNetError| error.to_string().into())
}

pub(super) fn allowed_ip(text: &str) -> Value<IpNet> {
    match text.strip_prefix(['+', '-']) {
        Some(rest) => Err(Wrong::helped(
            "`+` and `-` change a list that is already there; a push sets the whole list",
            format!("write `{}`, or leave it out", rest.trim()),
        )),
        None => network(text),
    }
}

pub(super) fn endpoint(text: &str) -> Value<Destination> {
    let (host, port_text) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("the `]` is missing")?;
            let port = port.strip_prefix(':').ok_or("the port is missing: [ADDRESS]:PORT")?;
            if host.contains('%') {
                return Err(scoped());
            }
            host.parse::<Ipv6Addr>().map_err(|_| "not an IPv6 address in the brackets")?;
            (host, port)
        }
        None => text.rsplit_once(':').ok_or("the port is missing: HOST:PORT")?,
    };
    if host.contains('%') {
        return Err(scoped());
    }
    if host.contains(':') && !text.starts_with('[') {
        return Err(match text.parse::<Ipv6Addr>() {
            Ok(address) => Wrong::helped(
                "an IPv6 address stands in brackets, and the port behind them",
                format!("write `[{address}]:PORT`"),
            ),
            Err(_) => "an IPv6 address stands in brackets: [ADDRESS]:PORT".into(),
        });
    }
    let port = number(port_text)
        .filter(|&port: &u16| port > 0)
        .ok_or("the port is not a number from 1 to 65535")?;
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Destination::Address(SocketAddr::new(address, port)));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    if !name.is_ascii() {
        return Err(Wrong::helped(
            "the name has letters that are not ASCII, which a router may not know how to look up",
            "write its ASCII form, which begins with xn--",
        ));
    }
    if host.len() > MAX_HOST || !name.split('.').all(label) {
        return Err("not a host name or an address".into());
    }
    if name.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err("not an IPv4 address".into());
    }
    Ok(Destination::Name(Host { name: host.into(), port, address: None }))
}

fn scoped() -> Wrong {
    Wrong::helped(
        "a scope (`%...`) cannot be pushed: interfaces have other numbers on the router",
        "use an address that needs no scope",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_in_range() {
        assert_eq!(port("65535"), Ok(65_535));
        assert_eq!(fwmark("0xca6c"), Ok(51_820));
        assert_eq!(fwmark("OFF"), Ok(0));
        assert_eq!(fwmark("4294967295"), Ok(u32::MAX));
        assert_eq!(table("main"), Ok(Table::Number(254)));
        assert_eq!(keepalive("off"), Ok(0));
        for bad in ["", "-1", "+1", "65536", "1 2", "x"] {
            assert!(port(bad).is_err() && keepalive(bad).is_err(), "{bad}");
        }
        for bad in ["0x", "0x+1", "0x100000000", "4294967296", "1x", "on"] {
            assert!(fwmark(bad).is_err(), "{bad}");
        }
        for bad in ["0", "4294967296", "none"] {
            assert!(table(bad).is_err(), "{bad}");
        }
        assert!(mtu("67").is_err() && mtu("65536").is_err() && mtu("1420").is_ok());
    }

    #[test]
    fn endpoints_have_a_host_and_a_port() {
        let at = |text: &str| Ok(Destination::Address(text.parse().unwrap()));
        assert_eq!(endpoint("192.0.2.1:51820"), at("192.0.2.1:51820"));
        assert_eq!(endpoint("[2001:db8::1]:1"), at("[2001:db8::1]:1"));
        assert_eq!(
            endpoint("vpn.example.com:7"),
            Ok(Destination::Name(Host { name: "vpn.example.com".into(), port: 7, address: None }))
        );
        for (bad, words) in [
            ("192.0.2.1", "the port is missing"),
            ("192.0.2.1:", "port is not"),
            ("192.0.2.1:0", "port is not"),
            ("192.0.2.1:65536", "port is not"),
            ("192.0.2.256:1", "not an IPv4"),
            ("2001:db8::1:1", "brackets"),
            ("[2001:db8::1]", "port is missing"),
            ("[2001:db8::1", "`]`"),
            ("[192.0.2.1]:1", "not an IPv6"),
            ("[fe80::1%eth0]:1", "scope"),
            ("fe80::1%eth0:1", "scope"),
            (":1", "not a host name"),
            ("a b:1", "not a host name"),
            ("a..b:1", "not a host name"),
            (&format!("{}a:1", "a.".repeat(127)), "not a host name"),
            ("b\u{fc}ro.example:1", "not ASCII"),
        ] as [(&str, &str); 16]
        {
            let wrong = endpoint(bad).unwrap_err();
            assert!(wrong.message.contains(words), "{bad}: {}", wrong.message);
        }
    }
}
