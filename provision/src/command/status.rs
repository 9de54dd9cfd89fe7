//! `postwire status`.

use proto_core::protocol::message::Pending;
use serde::Serialize;

use super::changes::{self, ChangeJson};
use super::connect::target;
use super::drift::{self, DriftJson};
use super::failure::describe;
use super::summary::{self, SummaryJson};
use super::ui;
use crate::cli::{Own, Status};
use crate::ops::{self, Router, failure};
use crate::report::{Done, Failed};
use crate::session::{Diff, printable};
use crate::show::{span, table};
use crate::stored::{self, Record};
use crate::{drive, exit};

/// The state of a router, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    router: Router,
    hostname: String,
    board: String,
    kernel: String,
    machine: String,
    uptime: u32,
    wireguard: bool,
    peak_memory: u32,
    applied: u32,
    failed: u32,
    garbage: u32,
    text: u32,
    interfaces: Vec<String>,
    links: u32,
    longest_turn: TurnJson,
    stored: Vec<Agreement>,
    pending: Option<PendingJson>,
    unresolved: u32,
    trouble: String,
    drift: Vec<DriftJson>,
    drifting: u32,
}

/// The pending change, as `--json` prints it.
#[derive(Debug, Serialize)]
struct PendingJson {
    interface: String,
    number: u32,
    by: String,
    seconds: u16,
    digest: String,
}

/// The longest turn of the agent's loop, as `--json` prints it.
#[derive(Debug, Serialize)]
struct TurnJson {
    millis: u32,
    what: String,
}

fn longest_turn(turn: &TurnJson) -> String {
    let what = if turn.what.is_empty() { String::new() } else { format!(" ({})", turn.what) };
    format!("{} ms{what}", turn.millis)
}

/// The newest stored configuration of an interface, and whether the kernel matches it.
#[derive(Debug, Serialize)]
struct Agreement {
    #[serde(flatten)]
    record: Record,
    agrees: Option<bool>,
    drift: Option<SummaryJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<ChangeJson>>,
    failure: Option<String>,
    #[serde(skip)]
    line: String,
    #[serde(skip)]
    details: String,
}

pub(super) fn run(own: &Own, args: &Status) -> Result<Done<Health>, Failed> {
    let mut ui = ui(own, &args.link.talk);
    let target = target(own, &args.link)?;
    let found = drive::one(ops::status(&target, &mut ui)).map_err(|error| describe(error, None))?;
    let code = if found.drifts() { exit::CHANGES } else { exit::DONE };
    let stored = found.stored.into_iter().map(|found| agreement(found, args.changes)).collect();
    let (router, status) = (found.router, &found.status);
    let health = Health {
        router,
        hostname: printable(&status.hostname),
        board: printable(&status.board),
        kernel: printable(&status.kernel),
        machine: printable(&status.machine),
        uptime: status.uptime,
        wireguard: status.wireguard,
        peak_memory: status.peak_memory,
        applied: status.applied,
        failed: status.failed,
        garbage: status.garbage,
        text: status.text,
        interfaces: status.interfaces.iter().map(|name| printable(name)).collect(),
        links: status.links,
        longest_turn: TurnJson {
            millis: status.longest_turn.millis,
            what: printable(&status.longest_turn.what),
        },
        stored,
        pending: status.pending.as_ref().map(pending),
        unresolved: status.unresolved,
        trouble: printable(&status.trouble),
        drift: drift::json(status),
        drifting: status.drifting,
    };
    Ok(Done { code, text: text(&health), result: health })
}

fn pending(pending: &Pending) -> PendingJson {
    PendingJson {
        interface: printable(&pending.interface),
        number: pending.number,
        by: printable(&pending.by),
        seconds: pending.seconds,
        digest: stored::hex(&pending.digest),
    }
}

/// A stored configuration, and whether the kernel matches it. That the router cannot say is part of the result.
fn agreement(found: ops::Agreement, details: bool) -> Agreement {
    let agrees = found.agrees();
    let ops::Agreement { stored: newest, drift, failure, expected } = found;
    let failure = failure.map(|failure| failure::message(&failure, None));
    let differs = match (&drift, &failure) {
        (Some(drift), _) if drift.summary.is_quiet() => ": the kernel matches".into(),
        (Some(_), _) if expected => ": the kernel has the pending change".into(),
        (Some(drift), _) => {
            let what = summary::changes_text(&drift.summary);
            format!(": the kernel differs; a repair would change: {what}")
        }
        (None, Some(failure)) => format!(": {failure}"),
        (None, None) => String::new(),
    };
    let (name, words) = (printable(&newest.interface), stored::words(&newest));
    let lines = |drift: &Diff| match details && !drift.changes.is_empty() {
        true => format!("\n\na repair would change {name}:{}", changes::text(&drift.changes)),
        false => String::new(),
    };
    Agreement {
        record: stored::json(&newest),
        agrees,
        line: format!("{name} number {}, {words}{differs}", newest.number),
        details: drift.as_ref().map(lines).unwrap_or_default(),
        changes: drift.as_ref().filter(|_| details).map(|drift| changes::json(&drift.changes)),
        drift: drift.map(|drift| summary::json(&drift.summary)),
        failure,
    }
}

/// The names of the interfaces, and the number of interfaces beyond those that the router could list.
fn interfaces(health: &Health) -> String {
    let listed = health.interfaces.join(", ");
    match usize::try_from(health.links).unwrap_or(0).saturating_sub(health.interfaces.len()) {
        0 if listed.is_empty() => "(none)".into(),
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}

fn text(health: &Health) -> String {
    let or_none = |text: &str| if text.is_empty() { "(none)".into() } else { text.to_string() };
    let mut rows = vec![
        ("host name", or_none(&health.hostname)),
        ("known as", health.router.known_as().into()),
        ("fingerprint", health.router.fingerprint().into()),
        ("board", or_none(&health.board)),
        ("serial number", or_none(health.router.serial_number())),
        ("MAC addresses", or_none(&health.router.macs())),
        ("kernel", format!("{} ({})", health.kernel, health.machine)),
        ("wireguard", if health.wireguard { "yes".into() } else { "not in the kernel".into() }),
        ("interfaces", interfaces(health)),
    ];
    if health.stored.is_empty() {
        rows.push(("stored", or_none("")));
    }
    for (nth, stored) in health.stored.iter().enumerate() {
        rows.push((if nth == 0 { "stored" } else { "" }, stored.line.clone()));
    }
    if let Some(PendingJson { interface, number, by, seconds, .. }) = &health.pending {
        let what = format!(
            "{interface} number {number}, by {by}: reverted in {seconds} s unless confirmed"
        );
        rows.push(("pending", what));
    }
    match health.unresolved {
        0 => {}
        1 => rows.push(("host names", "1 not resolved yet".into())),
        count => rows.push(("host names", format!("{count} not resolved yet"))),
    }
    for (nth, line) in drift::lines(&health.drift, health.drifting).into_iter().enumerate() {
        rows.push((if nth == 0 { "drift" } else { "" }, line));
    }
    if !health.trouble.is_empty() {
        rows.push(("trouble", health.trouble.clone()));
    }
    rows.extend([
        ("agent", format!("postwired {}", health.router.agent())),
        ("running for", span(health.uptime.into())),
        ("peak memory", format!("{} KiB", health.peak_memory)),
        ("pushes", format!("{} applied, {} failed", health.applied, health.failed)),
        ("worst turn", longest_turn(&health.longest_turn)),
        ("line", format!("{} broken frames, {} bytes of text", health.garbage, health.text)),
    ]);
    let details: String = health.stored.iter().map(|stored| stored.details.as_str()).collect();
    table(&rows) + &details
}
