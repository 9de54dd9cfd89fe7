//! The running state of a router in the style of `wg show`: the same words and units, plus the
//! addresses, routes, rules and MTU that wg(8) does not show.

use std::fmt::Write as _;

use proto_core::protocol::config::{Route, Rule};
use proto_core::protocol::report::Running;
use serde::Serialize;

use crate::image::table_name;
use crate::session::printable;

/// An interface.
#[derive(Debug, Serialize)]
pub struct Shown {
    name: String,
    public_key: Option<String>,
    listen_port: u16,
    fwmark: u32,
    mtu: u32,
    up: bool,
    addresses: Vec<String>,
    routes: Vec<RouteJson>,
    rules: Vec<RuleJson>,
    peers: Vec<Peer>,
    /// Kinds of records that this version does not know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown_records: Vec<u8>,
    #[serde(skip)]
    lines: Vec<(&'static str, String)>,
}

/// A peer.
#[derive(Debug, Serialize)]
struct Peer {
    public_key: String,
    preshared_key: bool,
    endpoint: Option<String>,
    allowed_ips: Vec<String>,
    latest_handshake: Option<u64>,
    handshake_age: Option<u64>,
    rx_bytes: u64,
    tx_bytes: u64,
    persistent_keepalive: u16,
}

/// A route in the form of `--json`.
#[derive(Debug, Serialize)]
pub struct RouteJson {
    to: String,
    table: u32,
    metric: u32,
}

impl From<&Route> for RouteJson {
    fn from(route: &Route) -> Self {
        Self { to: route.to.to_string(), table: route.table, metric: route.metric }
    }
}

/// A rule in the form of `--json`.
#[derive(Debug, Serialize)]
pub struct RuleJson {
    family: &'static str,
    priority: u32,
    table: u32,
    fwmark: Option<u32>,
    invert: bool,
    suppress_prefixlength: Option<u32>,
}

impl From<&Rule> for RuleJson {
    fn from(rule: &Rule) -> Self {
        Self {
            family: family(rule),
            priority: rule.priority,
            table: rule.table,
            fwmark: rule.fwmark,
            invert: rule.invert,
            suppress_prefixlength: rule.suppress_prefixlength,
        }
    }
}

impl Shown {
    /// Combines the records of a report; `None` if the interface is missing.
    #[must_use]
    pub fn from_records(records: &[Running]) -> Option<Self> {
        let (first, rest) = records.split_first()?;
        let Running::Interface { name, public_key, listen_port, fwmark, mtu, up } = first else {
            return None;
        };
        let mut shown = Self {
            name: printable(name),
            public_key: public_key.map(|key| key.to_string()),
            listen_port: *listen_port,
            fwmark: *fwmark,
            mtu: *mtu,
            up: *up,
            addresses: Vec::new(),
            routes: Vec::new(),
            rules: Vec::new(),
            peers: Vec::new(),
            unknown_records: Vec::new(),
            lines: Vec::new(),
        };
        for record in rest {
            shown.take(record)?;
        }
        // As in wg(8): the newest handshake first.
        shown.peers.sort_by_key(|peer| std::cmp::Reverse(peer.latest_handshake));
        Some(shown)
    }

    fn take(&mut self, record: &Running) -> Option<()> {
        match record {
            Running::Interface { .. } => return None,
            Running::Address(net) => {
                self.lines.push(("address", net.to_string()));
                self.addresses.push(net.to_string());
            }
            Running::Route(route) => {
                self.lines.push(("route", route_text(route)));
                self.routes.push(route.into());
            }
            Running::Rule(rule) => {
                self.lines.push(("rule", rule_text(rule)));
                self.rules.push(rule.into());
            }
            Running::Peer {
                public_key,
                preshared_key,
                endpoint,
                persistent_keepalive,
                latest_handshake,
                handshake_age,
                rx_bytes,
                tx_bytes,
            } => self.peers.push(Peer {
                public_key: public_key.to_string(),
                preshared_key: *preshared_key,
                endpoint: endpoint.map(|endpoint| endpoint.to_string()),
                allowed_ips: Vec::new(),
                latest_handshake: (*latest_handshake != 0).then_some(*latest_handshake),
                handshake_age: *handshake_age,
                rx_bytes: *rx_bytes,
                tx_bytes: *tx_bytes,
                persistent_keepalive: *persistent_keepalive,
            }),
            Running::AllowedIp(net) => self.peers.last_mut()?.allowed_ips.push(net.to_string()),
            Running::Unknown(kind) => {
                if !self.unknown_records.contains(kind) {
                    let what =
                        format!("a record of kind {kind}, unknown to this version of postwire");
                    self.lines.push(("unknown", what));
                    self.unknown_records.push(*kind);
                }
            }
        }
        Some(())
    }

    /// The interface as text, without a final line end.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!("interface: {}", self.name);
        let mut line = |key: &str, value: &str| {
            let _ = write!(out, "\n  {key}: {value}");
        };
        if let Some(key) = &self.public_key {
            line("public key", key);
            line("private key", "(hidden)");
        }
        if self.listen_port != 0 {
            line("listening port", &self.listen_port.to_string());
        }
        if self.fwmark != 0 {
            line("fwmark", &mark(self.fwmark));
        }
        line("mtu", &self.mtu.to_string());
        line("link", if self.up { "up" } else { "down" });
        for (key, value) in &self.lines {
            line(key, value);
        }
        for peer in &self.peers {
            out += "\n\n";
            out += &peer.text();
        }
        out
    }
}

impl Peer {
    fn text(&self) -> String {
        let mut out = format!("peer: {}", self.public_key);
        let mut line = |key: &str, value: &str| {
            let _ = write!(out, "\n  {key}: {value}");
        };
        if self.preshared_key {
            line("preshared key", "(hidden)");
        }
        if let Some(endpoint) = &self.endpoint {
            line("endpoint", endpoint);
        }
        match self.allowed_ips.as_slice() {
            [] => line("allowed ips", "(none)"),
            some => line("allowed ips", &some.join(", ")),
        }
        match (self.latest_handshake, self.handshake_age) {
            (None, _) => {}
            (Some(_), Some(0)) => line("latest handshake", "Now"),
            (Some(_), Some(age)) => line("latest handshake", &format!("{} ago", span(age))),
            (Some(_), None) => line("latest handshake", "(later than the router's clock)"),
        }
        if self.rx_bytes != 0 || self.tx_bytes != 0 {
            let text = format!("{} received, {} sent", bytes(self.rx_bytes), bytes(self.tx_bytes));
            line("transfer", &text);
        }
        if self.persistent_keepalive != 0 {
            let every = format!("every {}", span(self.persistent_keepalive.into()));
            line("persistent keepalive", &every);
        }
        out
    }
}

const fn family(rule: &Rule) -> &'static str {
    if rule.v6 { "ipv6" } else { "ipv4" }
}

/// A mark, or `off`.
#[must_use]
pub fn mark(mark: u32) -> String {
    if mark == 0 { "off".into() } else { format!("{mark:#x}") }
}

/// A route in the notation of iproute2.
#[must_use]
pub fn route_text(route: &Route) -> String {
    let metric =
        if route.metric == 0 { String::new() } else { format!(" metric {}", route.metric) };
    format!("{} table {}{metric}", route.to, table_name(route.table))
}

/// A rule in the notation of iproute2.
#[must_use]
pub fn rule_text(rule: &Rule) -> String {
    let mut out = format!("{} priority {}:", family(rule), rule.priority);
    if rule.invert {
        out += " not";
    }
    match rule.fwmark {
        Some(fwmark) => out += &format!(" fwmark {fwmark:#x}"),
        None => out += " from all",
    }
    out += &format!(" lookup {}", table_name(rule.table));
    if let Some(length) = rule.suppress_prefixlength {
        out += &format!(" suppress_prefixlength {length}");
    }
    out
}

/// `1 day, 3 minutes, 5 seconds`.
#[must_use]
pub fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 5] =
        [(365 * 86_400, "year"), (86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (size, name) in UNITS {
        let count = left / size;
        left %= size;
        if count > 0 {
            parts.push(format!("{count} {name}{}", if count == 1 { "" } else { "s" }));
        }
    }
    if parts.is_empty() { "0 seconds".into() } else { parts.join(", ") }
}

/// `1.50 KiB`.
fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let power = (count.ilog2() / 10).clamp(1, 4);
    let unit = units.get(power as usize - 1).copied().unwrap_or("TiB");
    // Two decimals: the precision lost above 2^53 is not visible.
    format!("{:.2} {unit}", count as f64 / (1_u64 << (10 * power)) as f64)
}

/// Lines of `key  value`, aligned.
#[must_use]
pub fn table(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let lines: Vec<String> =
        rows.iter().map(|(key, value)| format!("{key:width$}  {value}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_wg() {
        assert_eq!(span(0), "0 seconds");
        assert_eq!(span(61), "1 minute, 1 second");
        assert_eq!(span(2 * 365 * 86_400 + 86_400 + 7_200), "2 years, 1 day, 2 hours");
        assert_eq!(bytes(1_023), "1023 B");
        assert_eq!(bytes(1_536), "1.50 KiB");
        assert_eq!(bytes(1 << 20), "1.00 MiB");
        assert_eq!(bytes(u64::MAX), "16777216.00 TiB");
        assert_eq!(mark(51_820), "0xca6c");
    }
}
