//! The result of a command that changes a router, also when no change was needed.

use proto_core::protocol::message::Name;
use serde::Serialize;

use super::connect::target;
use super::summary::{self, SummaryJson};
use super::{failure, ui};
use crate::cli::{Link, Own};
use crate::ops::{self, Error, Router, Settled, Target};
use crate::report::{Done, Failed};
use crate::ui::Ui;
use crate::{drive, exit};

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

/// Makes a change of a router, and shows its progress.
pub(super) fn make(
    own: &Own,
    link: &Link,
    change: impl AsyncFnOnce(&Target, &mut Ui) -> Result<ops::Changed, Error>,
) -> Result<ops::Changed, Failed> {
    let mut ui = ui(own, &link.talk);
    let target = target(own, link)?;
    let changed =
        drive::one(change(&target, &mut ui)).map_err(|error| failure::describe(error, None))?;
    ui.clear();
    Ok(changed)
}

/// The result of a command.
pub(super) fn done(changed: ops::Changed, interface: &Name, text: String) -> Done<Changed> {
    Done { code: exit::DONE, text, result: json(changed, interface) }
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
