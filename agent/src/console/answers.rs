//! The service's answers and the records of its reports, on a [`Page`]. Keys of JSON are those of `postwire --json`.

use core::fmt;

use proto_core::protocol::codec::{Input, Take};
use proto_core::protocol::config::{Route, Rule};
use proto_core::protocol::message::{
    Answer, Applied, Count, Failure, Owner, Role, State, Status, Subject, Summary, device, peer,
};
use proto_core::protocol::report::{Act, Change, Running, Stored};
use proto_core::protocol::session::fingerprint;

use super::page::Page;

/// A duration in words: its two largest units.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut left, mut parts) = (self.0, 0_u8);
        for (unit, seconds) in [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)] {
            let count = left.checked_div(seconds).unwrap_or(0);
            left = left.checked_rem(seconds).unwrap_or(0);
            if parts < 2 && (count > 0 || (seconds == 1 && parts == 0)) {
                let space = if parts == 0 { "" } else { " " };
                write!(f, "{space}{count} {unit}")?;
                parts = parts.saturating_add(1);
            }
        }
        Ok(())
    }
}

/// A time, as date and time in UTC.
struct Date(u64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let split = |number: u64, by: u64| (number.div_euclid(by), number.rem_euclid(by));
        let (days, second) = split(self.0, 86_400);
        let (hour, second) = split(second, 3_600);
        let (minute, second) = split(second, 60);
        // The calendar repeats after 400 years.
        let (cycles, mut day) = split(days, 146_097);
        let mut year = cycles.saturating_mul(400).saturating_add(1970);
        let leap = |year: u64| {
            u64::from(
                year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)),
            )
        };
        while let Some(rest) = day.checked_sub(leap(year).saturating_add(365)) {
            (day, year) = (rest, year.saturating_add(1));
        }
        let length = |month: u64| match month {
            2 => leap(year).saturating_add(28),
            month => 30 | (month ^ month >> 3) & 1,
        };
        let mut month = 1;
        while let Some(rest) = day.checked_sub(length(month)) {
            (day, month) = (rest, month.saturating_add(1));
        }
        let day = day.saturating_add(1);
        write!(f, "{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

/// The names of the bits that are set.
struct Bits(u8, &'static [(u8, &'static str)]);

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for (_, name) in self.1.iter().filter(|(bit, _)| self.0 & bit != 0) {
            write!(f, "{comma}{name}")?;
            comma = ", ";
        }
        Ok(())
    }
}

const DEVICE: &[(u8, &str)] = &[
    (device::PRIVATE_KEY, "private key"),
    (device::LISTEN_PORT, "port"),
    (device::FWMARK, "mark"),
    (device::MTU, "MTU"),
    (device::UP, "link up"),
    (device::FOREIGN, "owner of the link"),
];

const PEER: &[(u8, &str)] = &[
    (peer::ENDPOINT, "endpoint"),
    (peer::PRESHARED_KEY, "preshared key"),
    (peer::PERSISTENT_KEEPALIVE, "persistent keepalive"),
    (peer::ALLOWED_IPS, "allowed ips"),
];

/// The changes in words.
struct Changes<'s>(&'s Summary);

impl fmt::Display for Changes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { created, device, addresses, routes, rules, peers, .. } = self.0;
        if self.0.is_quiet() {
            return f.write_str("nothing has to change");
        }
        let mut semicolon = "";
        if *created {
            f.write_str("new interface")?;
            semicolon = "; ";
        } else if *device != 0 {
            write!(f, "{} changed", Bits(*device, DEVICE))?;
            semicolon = "; ";
        }
        for (what, count) in
            [("addresses", addresses), ("routes", routes), ("rules", rules), ("peers", peers)]
        {
            if count.is_quiet() {
                continue;
            }
            let Count { added, changed, removed, .. } = count;
            write!(f, "{semicolon}{what} +{added} ~{changed} -{removed}")?;
            semicolon = "; ";
        }
        Ok(())
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::ReadOnly => "read-only",
        Role::Unknown(_) => "unknown",
    }
}

/// Writes an answer.
#[inline(never)]
pub fn answer(page: &mut Page<'_>, answer: &Answer<'_>) {
    match answer {
        Answer::Status(status) => self::status(page, status),
        Answer::Planned(summary) => self::summary(page, "would change:", summary),
        Answer::Applied(applied) => self::applied(page, applied),
        Answer::Confirmed { interface, number } => {
            page.field("confirmed", "confirmed:", format_args!("{interface} number {number}"));
        }
        Answer::Reverted { interface } => {
            page.field("reverted", "reverted:", format_args!("{interface} is as it was before"));
        }
        Answer::Owners(owners) => self::owners(page, owners),
        Answer::Owned { owners } => page.number("owners", (*owners).into()),
        Answer::Failed(failure) => self::failure(page, failure),
        _ => {}
    }
}

/// Whether a text has a name in it, as a word of its own.
fn has_word(text: &str, name: &str) -> bool {
    text.split(' ').any(|word| word.trim_end_matches(',') == name)
}

/// Writes a failure before a line became a request, as [`failure`] does. Returns `false`.
#[inline(never)]
pub fn refuse(page: &mut Page<'_>, words: fmt::Arguments<'_>) -> bool {
    page.open("error", "{");
    page.field("text", "failed:", words);
    page.close("}");
    false
}

/// Writes a failure. In JSON it is `error` of the outermost object, never in a list.
pub fn failure(page: &mut Page<'_>, failure: &Failure) {
    let Failure { text, code, state, subject, .. } = failure;
    page.open("error", "{");
    let state = match state {
        State::Unchanged => "",
        State::Undone => "; what was changed is changed back",
        State::Partly | State::Unknown(_) => "; some of it was changed: see `diff`",
    };
    page.value("code", format_args!("{code}"));
    match (subject, page.interface) {
        // A text may have the name in it.
        (Subject::Interface, Some(interface)) if has_word(text, &interface) => {
            page.field("text", "failed:", format_args!("{text}{state}"));
        }
        (Subject::None, _) => page.field("text", "failed:", format_args!("{text}{state}")),
        (Subject::Interface, Some(interface)) => {
            page.field("text", "failed:", format_args!("{interface}: {text}{state}"));
        }
        _ => page.field("text", "failed:", format_args!("{subject}: {text}{state}")),
    }
    page.close("}");
}

fn status(page: &mut Page<'_>, status: &Status) {
    let or_none = |text| if str::is_empty(text) { "(none)" } else { text };
    page.field("hostname", "host name", format_args!("{}", status.hostname));
    page.field("board", "board", format_args!("{}", or_none(&*status.board)));
    page.field("kernel", "kernel", format_args!("{}", status.kernel));
    page.field("machine", "machine", format_args!("{}", status.machine));
    page.field("agent", "agent", format_args!("postwired {}", env!("CARGO_PKG_VERSION")));
    page.number("uptime", status.uptime.into());
    page.field("", "running for", format_args!("{}", Span(status.uptime.into())));
    page.truth("wireguard", Some(status.wireguard));
    page.field("", "wireguard", format_args!("{}", if status.wireguard { "yes" } else { "no" }));
}

/// The rest of the status, which guests may not see.
pub fn more_status(page: &mut Page<'_>, status: &Status) {
    // It may name peers and addresses.
    if !status.trouble.is_empty() {
        page.field("trouble", "trouble", format_args!("{}", status.trouble));
    }
    page.open("interfaces", "[");
    let mut label = "interfaces";
    for name in &status.interfaces {
        page.value("", format_args!("{name}"));
        page.field("", label, format_args!("{name}"));
        label = "";
    }
    page.close("]");
    if status.interfaces.is_empty() {
        page.field("", label, format_args!("(none)"));
    }
    let listed = u32::try_from(status.interfaces.len()).unwrap_or(0);
    if status.links > listed {
        page.field("", "", format_args!("and {} more", status.links.saturating_sub(listed)));
    }
    page.number("links", status.links.into());
    if let Some(pending) = &status.pending {
        page.open("pending", "{");
        page.field("interface", "pending", format_args!("{}", pending.interface));
        page.number("number", pending.number.into());
        page.number("seconds", pending.seconds.into());
        page.field("by", "made by", format_args!("{}", pending.by));
        page.close("}");
        let left = pending.seconds;
        page.field("", "", format_args!("`confirm` within {left} s, or it is taken back"));
    }
    if status.unresolved > 0 {
        page.field("", "host names", format_args!("{} not looked up yet", status.unresolved));
    }
    for (key, value) in [
        ("unresolved", status.unresolved),
        ("applied", status.applied),
        ("failed", status.failed),
        ("garbage", status.garbage),
        ("text", status.text),
        ("peak_memory", status.peak_memory),
    ] {
        page.number(key, value.into());
    }
    page.field("", "pushes", format_args!("{} applied, {} failed", status.applied, status.failed));
    page.field("", "peak memory", format_args!("{} KiB", status.peak_memory));
    page.field(
        "",
        "line",
        format_args!("{} broken frames, {} bytes of text", status.garbage, status.text),
    );
}

/// Writes a summary with a label.
pub fn summary(page: &mut Page<'_>, label: &str, summary: &Summary) {
    page.field("summary", label, format_args!("{}", Changes(summary)));
    page.truth("changes", Some(!summary.is_quiet()));
}

fn applied(page: &mut Page<'_>, applied: &Applied) {
    let Applied { summary: changes, number, confirm_within, .. } = applied;
    summary(page, "applied:", changes);
    if changes.device & device::FOREIGN != 0 {
        page.line(format_args!("the link of that name is another program's, and was left alone"));
    }
    page.number("number", (*number).into());
    page.number("confirm_within", (*confirm_within).into());
    match confirm_within {
        0 => page.line(format_args!("stored as number {number}")),
        within => page.line(format_args!(
            "`confirm` within {within} s, or it is taken back; it becomes number {number}"
        )),
    }
    if let Some(key) = &changes.public_key {
        page.field("public_key", "public key:", format_args!("{key}"));
    }
}

fn owners(page: &mut Page<'_>, owners: &[Owner]) {
    page.open("owners", "[");
    for owner in owners {
        page.open("", "{");
        page.field("name", "owner:", format_args!("{}", owner.name));
        page.field("role", "  role:", format_args!("{}", role(owner.role)));
        page.field("public_key", "  public key:", format_args!("{}", owner.key));
        page.field("fingerprint", "  fingerprint:", format_args!("{}", fingerprint(&owner.key)));
        page.close("}");
    }
    page.close("]");
    if owners.is_empty() {
        page.line(format_args!(
            "this router has no owner yet; `claim KEY` makes KEY its first owner"
        ));
    }
}

/// The lists of a running interface, in the order of a report.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
enum List {
    None,
    Interface,
    Addresses,
    Routes,
    Rules,
    Peers,
    AllowedIps,
}

/// Writes records of the running state of an interface, in sequence.
#[derive(Debug)]
pub struct RunningPage {
    list: List,
}

impl Default for RunningPage {
    fn default() -> Self {
        Self { list: List::None }
    }
}

impl RunningPage {
    /// Advances to a list: closes the lists before it, and opens it.
    fn list(&mut self, page: &mut Page<'_>, list: List) {
        const KEYS: [&str; 4] = ["addresses", "routes", "rules", "peers"];
        const ORDER: [List; 4] = [List::Addresses, List::Routes, List::Rules, List::Peers];
        if list == List::Peers && self.list == List::AllowedIps {
            page.close("]");
            page.close("}");
            self.list = List::Peers;
        }
        for (key, next) in KEYS.iter().zip(ORDER) {
            if self.list < next && list >= next {
                if self.list > List::Interface {
                    page.close("]");
                }
                page.open(key, "[");
                self.list = next;
            }
        }
    }

    /// Writes a record.
    #[inline(never)]
    pub fn record(&mut self, page: &mut Page<'_>, record: &Running) {
        match record {
            Running::Interface { name, public_key, listen_port, fwmark, mtu, up } => {
                self.list = List::Interface;
                page.open("", "{");
                page.field("name", "interface:", format_args!("{name}"));
                if let Some(key) = public_key {
                    page.field("public_key", "  public key:", format_args!("{key}"));
                }
                page.number("listen_port", (*listen_port).into());
                if *listen_port > 0 {
                    page.field("", "  listening port:", format_args!("{listen_port}"));
                }
                page.number("fwmark", (*fwmark).into());
                if *fwmark > 0 {
                    page.field("", "  fwmark:", format_args!("{fwmark:#x}"));
                }
                page.number("mtu", (*mtu).into());
                page.field("", "  mtu:", format_args!("{mtu}"));
                page.truth("up", Some(*up));
                page.field("", "  link:", format_args!("{}", if *up { "up" } else { "down" }));
            }
            Running::Address(net) => {
                self.list(page, List::Addresses);
                page.value("", format_args!("{net}"));
                page.field("", "  address:", format_args!("{net}"));
            }
            Running::Route(route) => {
                self.list(page, List::Routes);
                page.value("", format_args!("{}", RouteText(route)));
                page.field("", "  route:", format_args!("{}", RouteText(route)));
            }
            Running::Rule(rule) => {
                self.list(page, List::Rules);
                page.value("", format_args!("{}", RuleText(rule)));
                page.field("", "  rule:", format_args!("{}", RuleText(rule)));
            }
            Running::Peer {
                public_key,
                preshared_key,
                endpoint,
                persistent_keepalive,
                handshake_age,
                rx_bytes,
                tx_bytes,
                ..
            } => {
                self.list(page, List::Peers);
                page.open("", "{");
                self.list = List::AllowedIps;
                page.text("\n");
                page.field("public_key", "peer:", format_args!("{public_key}"));
                page.truth("preshared_key", Some(*preshared_key));
                if *preshared_key {
                    page.field("", "  preshared key:", format_args!("(hidden)"));
                }
                if let Some(endpoint) = endpoint {
                    page.field("endpoint", "  endpoint:", format_args!("{endpoint}"));
                }
                if let Some(age) = handshake_age {
                    page.number("handshake_age", *age);
                    page.field("", "  latest handshake:", format_args!("{} ago", Span(*age)));
                }
                page.number("rx_bytes", *rx_bytes);
                page.number("tx_bytes", *tx_bytes);
                if *rx_bytes > 0 || *tx_bytes > 0 {
                    let words = format_args!("{rx_bytes} B received, {tx_bytes} B sent");
                    page.field("", "  transfer:", words);
                }
                page.number("persistent_keepalive", (*persistent_keepalive).into());
                if *persistent_keepalive > 0 {
                    let words = format_args!("every {persistent_keepalive} s");
                    page.field("", "  persistent keepalive:", words);
                }
                page.open("allowed_ips", "[");
            }
            Running::AllowedIp(net) => {
                page.value("", format_args!("{net}"));
                page.field("", "  allowed ip:", format_args!("{net}"));
            }
            Running::Unknown(_) => {}
        }
    }

    /// Ends the interface.
    pub fn end(mut self, page: &mut Page<'_>) {
        if self.list >= List::Interface {
            self.list(page, List::Peers);
            page.close("]");
            page.close("}");
        }
    }
}

struct RouteText<'r>(&'r Route);

impl fmt::Display for RouteText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Route { table, metric, to } = self.0;
        write!(f, "{to} table ")?;
        match table {
            254 => f.write_str("main")?,
            table => write!(f, "{table}")?,
        }
        if *metric > 0 { write!(f, " metric {metric}") } else { Ok(()) }
    }
}

struct RuleText<'r>(&'r Rule);

impl fmt::Display for RuleText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rule { v6, priority, table, fwmark, invert, suppress_prefixlength } = self.0;
        write!(f, "{priority}: {}", if *v6 { "IPv6" } else { "IPv4" })?;
        if *invert {
            f.write_str(" not")?;
        }
        if let Some(mark) = fwmark {
            write!(f, " fwmark {mark:#x}")?;
        }
        write!(f, " lookup {table}")?;
        match suppress_prefixlength {
            Some(length) => write!(f, " suppress_prefixlength {length}"),
            None => Ok(()),
        }
    }
}

/// Writes a record of the history.
#[inline(never)]
pub fn stored(page: &mut Page<'_>, stored: &Stored) {
    let Stored { interface, number, time, by, damaged, act, .. } = stored;
    page.open("", "{");
    page.value("interface", format_args!("{interface}"));
    page.number("number", (*number).into());
    page.number("time", *time);
    page.truth("damaged", Some(*damaged));
    page.close("}");
    let date = Date(*time);
    match act {
        _ if *damaged => page.line(format_args!("{interface} {number}: damaged, and not used")),
        Act::Pushed => page.line(format_args!("{interface} {number}: pushed by {by} {date}")),
        Act::RolledBack { number: to } => {
            page.line(format_args!("{interface} {number}: rolled back to {to} by {by} {date}"));
        }
        Act::Removed => page.line(format_args!("{interface} {number}: removed by {by} {date}")),
        Act::Unknown(..) => page.line(format_args!("{interface} {number}: by {by} {date}")),
    }
}

/// Writes a change of a plan.
#[inline(never)]
pub fn change(page: &mut Page<'_>, change: &Change) {
    let mut say = |words: fmt::Arguments<'_>| {
        page.value("", words);
        page.line(words);
    };
    match change {
        Change::Create => say(format_args!("+ interface")),
        Change::PrivateKey { generated: true } => {
            say(format_args!("~ private key: the router makes one"));
        }
        Change::PrivateKey { .. } => say(format_args!("~ private key")),
        Change::ListenPort { from, to } => say(format_args!("~ listening port: {from} -> {to}")),
        Change::Fwmark { from, to } => say(format_args!("~ fwmark: {from:#x} -> {to:#x}")),
        Change::Mtu { from, to } => say(format_args!("~ mtu: {from} -> {to}")),
        Change::Up => say(format_args!("~ link: up")),
        Change::RemoveAddress(net) => say(format_args!("- address: {net}")),
        Change::RemoveRoute(route) => say(format_args!("- route: {}", RouteText(route))),
        Change::RemoveRule(rule) => say(format_args!("- rule: {}", RuleText(rule))),
        Change::RemovePeer(key) => say(format_args!("- peer: {key}")),
        Change::AddAddress(net) => say(format_args!("+ address: {net}")),
        Change::AddRoute(route) => say(format_args!("+ route: {}", RouteText(route))),
        Change::AddRule(rule) => say(format_args!("+ rule: {}", RuleText(rule))),
        Change::AddPeer(key) => say(format_args!("+ peer: {key}")),
        Change::ChangePeer { public_key, fields } => {
            say(format_args!("~ peer: {public_key}: {}", Bits(*fields, PEER)));
        }
        Change::Unknown(number) => say(format_args!("? change number {number}")),
    }
}

/// Reads a record from the front of a report. Returns the record, and its length with the length
/// prefix; `None` if the bytes end inside the record.
pub fn record<'b, T: Take<'b>>(bytes: &'b [u8]) -> Option<(T, usize)> {
    let mut input = Input::new(bytes);
    let body: &[u8] = Take::take(&mut input);
    let rest = input.end().ok()?;
    let mut fields = Input::new(body);
    let record = T::take(&mut fields);
    fields.end().ok()?;
    Some((record, bytes.len().saturating_sub(rest.len())))
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::Date;

    #[test]
    fn a_time_is_shown_as_date_and_time() {
        for (time, shown) in [
            (0, "1970-01-01 00:00:00"),
            (68_255_999, "1972-02-29 23:59:59"),
            (68_256_000, "1972-03-01 00:00:00"),
            (951_782_400, "2000-02-29 00:00:00"),
            (978_220_800, "2000-12-31 00:00:00"),
            (1_796_040_245, "2026-11-30 12:04:05"),
            (4_107_542_399, "2100-02-28 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (13_569_465_600, "2400-01-01 00:00:00"),
        ] {
            assert_eq!(Date(time).to_string(), shown);
        }
        // Whatever a file says.
        assert!(Date(u64::MAX).to_string().ends_with(" 07:00:15"), "{}", Date(u64::MAX));
        // Every day follows the one before it, and each year has all of its days.
        let day = |days: u64| Date(days * 86_400).to_string()[..10].to_string();
        let year = |year: u64| {
            let leap =
                year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
            u64::from(leap) + 365
        };
        let mut first = 0;
        for number in 1970..2800 {
            assert_eq!(day(first), std::format!("{number}-01-01"));
            let next = first + year(number);
            assert_eq!(day(next - 1), std::format!("{number}-12-31"));
            let days: std::collections::BTreeSet<_> = (first..next).map(day).collect();
            assert_eq!(days.len() as u64, next - first, "{number}");
            first = next;
        }
    }
}
