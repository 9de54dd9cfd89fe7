//! The result of a command that changes a router, also when no change was needed.

use proto_core::protocol::message::Name;
use serde::Serialize;

use super::summary::{self, SummaryJson};
use crate::ops::{self, Router, Settled};

/// A change, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Changed {
    interface: String,
    router: Router,
    changed: bool,
    summary: Option<SummaryJson>,
    public_key: Option<String>,
    listen_port: Option<u16>,
    number: u32,
    stored: bool,
    confirmed: bool,
    confirm_within: u16,
}

/// The changes as text, after `what`.
pub(super) fn describe(settled: &Settled, what: &str) -> String {
    match &settled.applied {
        Some(applied) => format!("{what}: {}\n{}", summary::text(&applied.summary), settled.text),
        None => format!("{what}; the router's answer to it was lost\n{}", settled.text),
    }
}

/// The change as JSON.
pub(super) fn json(changed: ops::Changed, interface: &Name) -> Changed {
    let ops::Changed { router, settled } = changed;
    let applied = settled.applied.as_ref();
    let summary = applied.map(|applied| &applied.summary);
    Changed {
        interface: interface.to_string(),
        router,
        changed: settled.changed(),
        summary: summary.map(summary::json),
        public_key: summary.and_then(|summary| summary.public_key).map(|key| key.to_string()),
        listen_port: summary.and_then(|summary| summary.listen_port),
        number: settled.number,
        stored: settled.stored(),
        confirmed: settled.confirmed,
        confirm_within: match settled.confirmed {
            true => 0,
            false => applied.map_or(0, |applied| applied.confirm_within),
        },
    }
}
