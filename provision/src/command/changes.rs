//! The changes that a push or a repair would make, one by one, as text and as JSON.

use std::fmt::Write as _;

use proto_core::protocol::message::peer;
use proto_core::protocol::report::Change;
use serde::Serialize;

use crate::show::{RouteJson, RuleJson, mark, route_text, rule_text};

/// A change as `--json` gives it: `change` is its name.
#[derive(Debug, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(super) enum ChangeJson {
    Create,
    PrivateKey {
        generated: bool,
    },
    ListenPort {
        from: u16,
        to: u16,
    },
    Fwmark {
        from: u32,
        to: u32,
    },
    Mtu {
        from: u32,
        to: u32,
    },
    Up,
    RemoveAddress {
        address: String,
    },
    RemoveRoute {
        route: RouteJson,
    },
    RemoveRule {
        rule: RuleJson,
    },
    RemovePeer {
        public_key: String,
    },
    AddAddress {
        address: String,
    },
    AddRoute {
        route: RouteJson,
    },
    AddRule {
        rule: RuleJson,
    },
    AddPeer {
        public_key: String,
    },
    ChangePeer {
        public_key: String,
        fields: Vec<&'static str>,
    },
    /// A kind of change that this version does not know.
    Unknown {
        kind: u8,
    },
}

/// A line for each, with the end of a line before it.
pub(super) fn text(changes: &[Change]) -> String {
    let mut text = String::new();
    for change in changes {
        let _ = write!(text, "\n{}", line(change));
    }
    text
}

pub(super) fn json(changes: &[Change]) -> Vec<ChangeJson> {
    changes.iter().map(one_json).collect()
}

const FIELDS: [(u8, &str, &str); 4] = [
    (peer::ENDPOINT, "endpoint", "endpoint"),
    (peer::PRESHARED_KEY, "preshared_key", "preshared key"),
    (peer::PERSISTENT_KEEPALIVE, "persistent_keepalive", "persistent keepalive"),
    (peer::ALLOWED_IPS, "allowed_ips", "allowed ips"),
];

/// A change as a line: `+` comes, `-` goes, `~` differs.
fn line(change: &Change) -> String {
    match change {
        Change::Create => "+ interface".into(),
        Change::PrivateKey { generated: true } => "~ private key: the router makes one".into(),
        Change::PrivateKey { generated: false } => "~ private key".into(),
        Change::ListenPort { from, to } => format!("~ listening port: {from} -> {to}"),
        Change::Fwmark { from, to } => format!("~ fwmark: {} -> {}", mark(*from), mark(*to)),
        Change::Mtu { from, to } => format!("~ mtu: {from} -> {to}"),
        Change::Up => "~ link: up".into(),
        Change::RemoveAddress(net) => format!("- address: {net}"),
        Change::RemoveRoute(route) => format!("- route: {}", route_text(route)),
        Change::RemoveRule(rule) => format!("- rule: {}", rule_text(rule)),
        Change::RemovePeer(key) => format!("- peer: {key}"),
        Change::AddAddress(net) => format!("+ address: {net}"),
        Change::AddRoute(route) => format!("+ route: {}", route_text(route)),
        Change::AddRule(rule) => format!("+ rule: {}", rule_text(rule)),
        Change::AddPeer(key) => format!("+ peer: {key}"),
        Change::ChangePeer { public_key, fields } => {
            let names: Vec<_> = FIELDS
                .iter()
                .filter(|(bit, ..)| fields & bit != 0)
                .map(|(.., text)| *text)
                .collect();
            format!("~ peer: {public_key}: {}", names.join(", "))
        }
        Change::Unknown(number) => {
            format!("? a change of kind {number}, which is newer than this postwire")
        }
    }
}

fn one_json(change: &Change) -> ChangeJson {
    match change {
        Change::Create => ChangeJson::Create,
        Change::PrivateKey { generated } => ChangeJson::PrivateKey { generated: *generated },
        Change::ListenPort { from, to } => ChangeJson::ListenPort { from: *from, to: *to },
        Change::Fwmark { from, to } => ChangeJson::Fwmark { from: *from, to: *to },
        Change::Mtu { from, to } => ChangeJson::Mtu { from: *from, to: *to },
        Change::Up => ChangeJson::Up,
        Change::RemoveAddress(net) => ChangeJson::RemoveAddress { address: net.to_string() },
        Change::RemoveRoute(route) => ChangeJson::RemoveRoute { route: route.into() },
        Change::RemoveRule(rule) => ChangeJson::RemoveRule { rule: rule.into() },
        Change::RemovePeer(key) => ChangeJson::RemovePeer { public_key: key.to_string() },
        Change::AddAddress(net) => ChangeJson::AddAddress { address: net.to_string() },
        Change::AddRoute(route) => ChangeJson::AddRoute { route: route.into() },
        Change::AddRule(rule) => ChangeJson::AddRule { rule: rule.into() },
        Change::AddPeer(key) => ChangeJson::AddPeer { public_key: key.to_string() },
        Change::ChangePeer { public_key, fields } => ChangeJson::ChangePeer {
            public_key: public_key.to_string(),
            fields: FIELDS
                .iter()
                .filter(|(bit, ..)| fields & bit != 0)
                .map(|(_, name, _)| *name)
                .collect(),
        },
        Change::Unknown(number) => ChangeJson::Unknown { kind: *number },
    }
}
