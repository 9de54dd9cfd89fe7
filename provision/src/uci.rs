//! A configuration as the sections of OpenWrt's `/etc/config/network` that netifd needs for it, for
//! users who leave Postwire or want to compare.
//!
//! Source: OpenWrt's protocol handler `wireguard` (package wireguard-tools) and its documented options. Nothing here
//! writes to a router.

use std::fmt::Write as _;

use proto_core::key::{KEY_TEXT_LEN, SecretKey};
use proto_core::protocol::codec;
use proto_core::protocol::config::{Interface, Peer, PrivateKey, Record, Route, Rule};

use crate::conf::MAIN_TABLE;
use crate::image::{DEFAULT_MTU, Image};

/// The reason why a configuration cannot be written as sections of UCI.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UciError {
    /// netifd names the link after the section.
    #[error(
        "netifd cannot have an interface {0}: the name of a section can only have letters, digits and `_`"
    )]
    Name(String),
    /// netifd has one table for each address family.
    #[error(
        "netifd has one routing table for an interface and family, and the routes are in {0} and {1}"
    )]
    Tables(u32, u32),
}

/// A peer, with its allowed IPs.
struct Section {
    peer: Peer,
    host: Option<(String, u16)>,
    allowed_ips: Vec<proto_core::ip::IpNet>,
}

/// Writes the sections.
///
/// # Errors
/// [`UciError`]
pub fn export(image: &Image) -> Result<String, UciError> {
    let (mut interface, mut addresses, mut routes, mut rules, mut sections) =
        (Interface::default(), Vec::new(), Vec::new(), Vec::new(), Vec::<Section>::new());
    let mut rest: &[u8] = &image.bytes;
    while let Ok((record, behind)) = codec::record(rest) {
        rest = behind;
        match (record, sections.last_mut()) {
            (Record::Interface(it), _) => interface = it,
            (Record::Address(net), _) => addresses.push(net),
            (Record::Route(route), _) => routes.push(route),
            (Record::Rule(rule), _) => rules.push(rule),
            (Record::Peer(peer), _) => {
                sections.push(Section { peer, host: None, allowed_ips: Vec::new() });
            }
            (Record::AllowedIp(net), Some(section)) => section.allowed_ips.push(net),
            (Record::Host(host), Some(section)) => {
                section.host = Some((host.name.to_string(), host.port));
            }
            (Record::AllowedIp(_) | Record::Host(_), None) => {}
        }
        if rest.is_empty() {
            break;
        }
    }
    let name = image.interface.to_string();
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(UciError::Name(name));
    }
    let full = !rules.is_empty();
    let mut text = String::new();
    section(&mut text, &format!("interface '{name}'"), &{
        let mut lines = device(&interface, full);
        lines.extend(addresses.iter().map(|net| list("addresses", net)));
        lines.extend(tables(&routes, &rules)?);
        lines
    });
    for each in &sections {
        let routed = each.allowed_ips.iter().any(|net| routes.iter().any(|route| route.to == *net));
        text.push('\n');
        section(&mut text, &format!("wireguard_{name}"), &peer(each, routed));
    }
    Ok(text.trim_end().into())
}

fn section(text: &mut String, head: &str, lines: &[String]) {
    let _ = writeln!(text, "config {head}");
    for line in lines {
        let _ = writeln!(text, "\t{line}");
    }
}

fn option(name: &str, value: &dyn std::fmt::Display) -> String {
    format!("option {name} '{value}'")
}

fn list(name: &str, value: &dyn std::fmt::Display) -> String {
    format!("list {name} '{value}'")
}

fn secret(key: &SecretKey) -> String {
    key.reveal(&mut [0; KEY_TEXT_LEN]).to_owned()
}

/// The options of the device. A full tunnel needs no mark: netifd routes the endpoint past the tunnel instead.
fn device(interface: &Interface, full: bool) -> Vec<String> {
    let mut lines = vec![option("proto", &"wireguard")];
    match &interface.private_key {
        PrivateKey::Given(key) => lines.push(option("private_key", &secret(key))),
        PrivateKey::Generate => lines.push(option("private_key", &"generate")),
        PrivateKey::None => {}
    }
    if let Some(port) = interface.listen_port {
        lines.push(option("listen_port", &port));
    }
    if interface.mtu != DEFAULT_MTU {
        lines.push(option("mtu", &interface.mtu));
    }
    if interface.fwmark != 0 && !full {
        lines.push(option("fwmark", &format_args!("{:#x}", interface.fwmark)));
    }
    lines
}

/// The options for routes in another table than main. The table of wg-quick's full tunnel is a
/// detail of wg-quick, and not the user's choice.
fn tables(routes: &[Route], rules: &[Rule]) -> Result<Vec<String>, UciError> {
    let mut lines = Vec::new();
    for (name, v6) in [("ip4table", false), ("ip6table", true)] {
        let of_rules = |table: u32| rules.iter().any(|rule| rule.v6 == v6 && rule.table == table);
        let mut found: Option<u32> = None;
        for route in routes.iter().filter(|route| route.to.addr.is_ipv6() == v6) {
            let table = if of_rules(route.table) { MAIN_TABLE } else { route.table };
            match found {
                Some(other) if other != table => return Err(UciError::Tables(other, table)),
                _ => found = Some(table),
            }
        }
        if let Some(table) = found.filter(|table| *table != MAIN_TABLE) {
            lines.push(option(name, &table));
        }
    }
    Ok(lines)
}

fn peer(section: &Section, routed: bool) -> Vec<String> {
    let Section { peer, host, allowed_ips } = section;
    let mut lines = vec![option("public_key", &peer.public_key)];
    if let Some(key) = &peer.preshared_key {
        lines.push(option("preshared_key", &secret(key)));
    }
    let endpoint = match (host, &peer.endpoint) {
        (Some((name, port)), _) => Some((name.clone(), *port)),
        (None, Some(endpoint)) => {
            let text = endpoint.to_string();
            let port = endpoint.addr().port();
            let host = text.rsplit_once(':').map_or(text.as_str(), |(host, _)| host);
            Some((host.trim_matches(['[', ']']).to_owned(), port))
        }
        (None, None) => None,
    };
    if let Some((host, port)) = endpoint {
        lines.push(option("endpoint_host", &host));
        lines.push(option("endpoint_port", &port));
    }
    if peer.persistent_keepalive != 0 {
        lines.push(option("persistent_keepalive", &peer.persistent_keepalive));
    }
    lines.extend(allowed_ips.iter().map(|net| list("allowed_ips", net)));
    if routed {
        lines.push(option("route_allowed_ips", &1));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> Result<String, UciError> {
        let (source, problem) = crate::conf::Source::new("test.conf", text.as_bytes());
        assert!(problem.is_none());
        let (config, problems) = crate::conf::parse(&source);
        assert!(!problems.iter().any(crate::conf::Problem::is_error), "{problems:?}");
        let name = proto_core::protocol::message::Name::try_from(name).unwrap();
        export(&Image::new(&name, config).unwrap())
    }

    const PEER: &str = "[Peer]\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\n";

    #[test]
    fn a_name_that_no_section_can_have_is_an_error() {
        let error = of("wg-a", "[Interface]\n").unwrap_err();
        assert_eq!(error, UciError::Name("wg-a".into()));
    }

    #[test]
    fn a_table_is_one_for_each_family() {
        let text = format!(
            "[Interface]\nTable = 77\n{PEER}AllowedIPs = 10.9.0.0/16, fd09::/64\n\
             Endpoint = [2001:db8::1]:51820\n"
        );
        let text = of("wg0", &text).unwrap();
        assert!(text.contains("\toption ip4table '77'\n\toption ip6table '77'\n"), "{text}");
        assert!(text.contains("\toption endpoint_host '2001:db8::1'\n"), "{text}");
        assert!(text.ends_with("\toption route_allowed_ips '1'"), "{text}");
    }

    #[test]
    fn no_table_means_that_allowed_ips_are_not_routed() {
        let text = format!("[Interface]\nTable = off\n{PEER}AllowedIPs = 10.9.0.0/16\n");
        assert!(!of("wg0", &text).unwrap().contains("route_allowed_ips"));
    }
}
