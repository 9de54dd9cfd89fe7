//! The numbers of a push, as text and as JSON.

use proto_core::protocol::message::{Count, Summary, device};
use serde::Serialize;

/// Counts for one kind of item.
#[derive(Debug, Serialize)]
struct CountJson {
    added: u32,
    changed: u32,
    removed: u32,
    same: u32,
}

impl From<Count> for CountJson {
    fn from(count: Count) -> Self {
        let Count { added, changed, removed, same } = count;
        Self { added, changed, removed, same }
    }
}

/// A summary, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct SummaryJson {
    created: bool,
    device: Vec<&'static str>,
    addresses: CountJson,
    routes: CountJson,
    rules: CountJson,
    peers: CountJson,
}

const DEVICE: [(u8, &str, &str); 6] = [
    (device::PRIVATE_KEY, "private_key", "private key"),
    (device::LISTEN_PORT, "listen_port", "port"),
    (device::FWMARK, "fwmark", "mark"),
    (device::MTU, "mtu", "MTU"),
    (device::UP, "up", "link up"),
    (device::FOREIGN, "foreign", "owner of the link"),
];

fn device_fields(bits: u8) -> impl Iterator<Item = (&'static str, &'static str)> {
    DEVICE.into_iter().filter(move |(bit, ..)| bits & bit != 0).map(|(_, json, text)| (json, text))
}

pub(super) fn json(summary: &Summary) -> SummaryJson {
    SummaryJson {
        created: summary.created,
        device: device_fields(summary.device).map(|(json, _)| json).collect(),
        addresses: summary.addresses.into(),
        routes: summary.routes.into(),
        rules: summary.rules.into(),
        peers: summary.peers.into(),
    }
}

/// All changes as text: `3 peers added, 1 changed; public key ...; port 51820`.
pub(super) fn text(summary: &Summary) -> String {
    let mut parts = changed(summary);
    parts.extend(summary.public_key.map(|key| format!("public key {key}")));
    parts.extend(summary.listen_port.map(|port| format!("port {port}")));
    parts.join("; ")
}

/// As [`text`], without the public key and the port.
pub(super) fn changes_text(summary: &Summary) -> String {
    changed(summary).join("; ")
}

fn changed(summary: &Summary) -> Vec<String> {
    let mut parts = Vec::new();
    if summary.created {
        parts.push("interface created".into());
    } else {
        let fields: Vec<_> = device_fields(summary.device).map(|(_, text)| text).collect();
        if !fields.is_empty() {
            parts.push(format!("{} changed", fields.join(", ")));
        }
    }
    let kinds = [
        (summary.addresses, "address", "addresses"),
        (summary.routes, "route", "routes"),
        (summary.rules, "rule", "rules"),
    ];
    for (count, one, many) in kinds {
        if !count.is_quiet() {
            parts.push(counted(&count, one, many));
        }
    }
    parts.push(counted(&summary.peers, "peer", "peers"));
    parts
}

/// `3 peers added, 1 removed`, or `no peer changed`.
fn counted(count: &Count, one: &str, many: &str) -> String {
    let kinds = [(count.added, "added"), (count.changed, "changed"), (count.removed, "removed")];
    let mut parts: Vec<String> = Vec::new();
    for (number, what) in kinds.into_iter().filter(|(number, _)| *number > 0) {
        let noun = if number == 1 { one } else { many };
        parts.push(match parts.is_empty() {
            true => format!("{number} {noun} {what}"),
            false => format!("{number} {what}"),
        });
    }
    if parts.is_empty() { format!("no {one} changed") } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_named_but_peers_always_are() {
        let peers = Count { added: 3, changed: 1, ..Count::default() };
        let addresses = Count { added: 1, ..Count::default() };
        let summary = Summary {
            device: device::MTU | device::UP,
            addresses,
            peers,
            listen_port: Some(51_820),
            ..Summary::default()
        };
        assert_eq!(
            text(&summary),
            "MTU, link up changed; 1 address added; 3 peers added, 1 changed; port 51820"
        );
        let rest = changes_text(&summary);
        assert_eq!(text(&summary), rest + "; port 51820");
        assert_eq!(text(&Summary::default()), "no peer changed");
    }
}
