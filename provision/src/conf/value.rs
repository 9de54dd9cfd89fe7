//! The values of a wg-quick file. proto-core parses them, as on the router. This module has what the
//! host tool adds: the reason why a value is refused, and what cannot be sent to a router. The error
//! does not contain the value; the caller adds the value where it may be shown.

use std::net::{IpAddr, SocketAddr};

use proto_core::conf::{Field, setting};
use proto_core::ip::IpNet;
use proto_core::key::{KEY_TEXT_LEN, SecretKey};
use proto_core::protocol::config::PrivateKey;
use proto_core::protocol::draft;
use proto_core::protocol::endpoint::PeerEndpoint;

pub use proto_core::conf::routing::MAIN_TABLE;
pub use proto_core::conf::setting::Table;

/// An endpoint as in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Destination {
    /// An address.
    Address(PeerEndpoint),
    /// A name to look up.
    Name(Host),
}

/// A host with a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// The name, which is ASCII.
    pub name: String,
    /// The port.
    pub port: u16,
    /// Its address, if the look-up succeeded.
    pub address: Option<SocketAddr>,
}

/// The error of a value, and the correct form.
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

/// Why proto-core refused the value of a setting of wg(8), given without white space. `words` are
/// proto-core's own.
pub(super) fn refused(field: Field, text: &str, words: &str) -> Wrong {
    match field {
        Field::PrivateKey | Field::PublicKey | Field::PresharedKey => no_key(text),
        Field::ListenPort => NO_PORT.into(),
        Field::Fwmark => match text.strip_prefix("0X") {
            Some(digits) => {
                let message = "not a mark: `0x` must be in lower case";
                Wrong::helped(message, format!("write `0x{digits}`"))
            }
            None => "not a mark: 0 to 4294967295, also as 0x..., or `off`".into(),
        },
        Field::PersistentKeepalive => "not an interval: 0 to 65535 seconds, or `off`".into(),
        Field::AllowedIps => match text.strip_prefix(['+', '-']) {
            Some(rest) => Wrong::helped(
                "`+` and `-` change an existing list; a push sets the whole list",
                format!("write `{rest}`, or leave it out"),
            ),
            None => not_a_network(text),
        },
        _ => format!("this {words}").into(),
    }
}

/// The router knows the names of services, and this machine may know others.
pub(super) const NO_PORT: &str = "not a port: a number from 0 to 65535, not the name of a service";

fn no_key(text: &str) -> Wrong {
    let count = text.chars().count();
    if count == KEY_TEXT_LEN {
        "not a key: these 44 characters are not the base64 of 32 bytes".into()
    } else {
        let message = format!("not a key: {count} characters instead of {KEY_TEXT_LEN}");
        Wrong::helped(&message, "a key is 32 bytes in base64: 44 characters, the last one `=`")
    }
}

pub(super) fn private_key(secret: &SecretKey) -> Value<PrivateKey> {
    if secret.is_zero() {
        return Err(Wrong::helped(
            "all zeros, which is not a key",
            "with `PrivateKey = generate` the router generates one",
        ));
    }
    Ok(PrivateKey::Given(secret.clone()))
}

/// A value, parsed by proto-core as on the router, or the message of an error.
fn read<T>(value: Option<T>, message: &str) -> Value<T> {
    value.ok_or_else(|| message.into())
}

pub(super) fn mtu(text: &str) -> Value<u32> {
    read(setting::mtu(text), "not an MTU: 68 to 65535 bytes")
}

pub(super) fn table(text: &str) -> Value<Table> {
    let table = setting::table(text).filter(|table| *table != Table::Number(0));
    read(
        table,
        "not a table: `auto`, `off`, `main`, `default`, `local` or a number from 1 to 4294967295",
    )
}

pub(super) fn boolean(text: &str) -> Value<bool> {
    read(setting::boolean(text), "neither `true` nor `false`")
}

pub(super) fn address(text: &str) -> Value<IpNet> {
    setting::address(text).ok_or_else(|| match text.split_once('/') {
        Some((ip, mask)) if ip.parse::<IpAddr>().is_ok() && mask.contains(['.', ':']) => {
            Wrong::helped(
                "the netmask is not contiguous",
                "write `ADDRESS/LENGTH`, as in 10.0.0.1/24",
            )
        }
        _ => not_a_network(text),
    })
}

fn not_a_network(text: &str) -> Wrong {
    match text.parse::<IpNet>() {
        Err(error) => error.to_string().into(),
        Ok(_) => "neither an address nor an address with a prefix length".into(),
    }
}

/// What a router can be told of an endpoint: not the name of a service, and not an IPv6 address whose
/// port is only its last group. `text` is the value without white space.
pub(super) fn endpoint(host: &proto_core::conf::Host<'_>, text: &str) -> Value<Destination> {
    if host.name.contains(':') && !host.brackets {
        let message = "an IPv6 address must be in brackets, followed by the port";
        let port = if host.service.is_empty() { host.port.to_string() } else { "PORT".into() };
        return Err(Wrong::helped(
            message,
            format!("write `[{}]:{port}`, or `[{text}]:PORT`", host.name),
        ));
    }
    match draft::destination(host) {
        Ok(draft::Destination::Address(to)) => Ok(Destination::Address(to)),
        Ok(draft::Destination::Name(name)) => {
            Ok(Destination::Name(Host { name: name.into(), port: host.port, address: None }))
        }
        Err(words) => Err(format!("this {words}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_range() {
        assert_eq!(table("main"), Ok(Table::Number(254)));
        assert_eq!(table("0x1f4"), Ok(Table::Number(500)));
        for bad in ["0", "4294967296", "none"] {
            assert!(table(bad).is_err(), "{bad}");
        }
        assert!(mtu("67").is_err() && mtu("65536").is_err() && mtu("1420").is_ok());
    }

    fn endpoint(text: &str) -> Value<Destination> {
        match proto_core::conf::endpoint::endpoint(text.as_bytes()) {
            Ok(host) => super::endpoint(&host, text),
            Err(error) => Err(refused(Field::Endpoint, text, error.words())),
        }
    }

    #[test]
    fn endpoints_have_a_host_and_a_port() {
        let at = |text: &str| Ok(Destination::Address(text.parse().unwrap()));
        assert_eq!(endpoint("192.0.2.1:51820"), at("192.0.2.1:51820"));
        assert_eq!(endpoint("[2001:db8::1]:1"), at("[2001:db8::1]:1"));
        assert_eq!(endpoint("[192.0.2.1]:1"), at("192.0.2.1:1"));
        assert_eq!(endpoint("[fe80::1%eth0]:1"), at("[fe80::1%eth0]:1"));
        assert_eq!(endpoint("[ff02::1%3]:1"), at("[ff02::1%3]:1"));
        assert_eq!(
            endpoint("vpn.example.com:7"),
            Ok(Destination::Name(Host { name: "vpn.example.com".into(), port: 7, address: None }))
        );
        for (bad, words) in [
            ("192.0.2.1", "no port"),
            ("192.0.2.1:", "no port"),
            ("192.0.2.1:0", "a port that is not"),
            ("192.0.2.1:http", "a port that is not"),
            ("192.0.2.1:65536", "no port from 0 to 65535"),
            ("192.0.2.256:1", "not an IPv4"),
            ("2001:db8::1:1", "brackets"),
            ("2001:db8::1", "brackets"),
            ("[2001:db8::1]", "no port"),
            ("[2001:db8::1", "`]:PORT`"),
            ("[2001:db8::1%eth0]:1", "link-local or multicast"),
            ("[fe80::1%sixteen-letters-]:1", "a scope that is not the name of a link"),
            ("[fe80::1%eth0]:0", "a port that is not"),
            ("fe80::1%eth0:1", "brackets"),
            (":1", "no host name"),
            ("a b:1", "no host name"),
            ("a..b:1", "no host name"),
            (&format!("{}a:1", "a.".repeat(127)), "no host name"),
            ("b\u{fc}ro.example:1", "not ASCII"),
            ("http://vpn.example:8000:51820", "a URL: write HOST:PORT, without `http://`"),
            ("vpn.example:51822:51822", "two ports"),
            ("198.51.100.4/24:51820", "prefix length"),
            ("<ip:51820", "no host name"),
            ("2001:db8::zz:51820", "no host name"),
        ] {
            let wrong = endpoint(bad).unwrap_err();
            assert!(wrong.message.contains(words), "{bad}: {}", wrong.message);
        }
    }
}
