//! What a run did, as text and as JSON.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::SHOWN;
use crate::exit;
use crate::fleet::{Brief, Options, Stopped, Summary};
use crate::records::Outcome;
use crate::report::Done;

/// A run, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(in crate::command) struct Ran {
    run: String,
    operation: &'static str,
    records: Option<String>,
    /// Units that earlier runs have done.
    resumed: usize,
    outcomes: BTreeMap<&'static str, usize>,
    /// Units that were not begun.
    left: usize,
    /// `max_fail`, `interrupted`, `records` or `own`; null for a run that went to its end.
    stopped: Option<&'static str>,
    /// Why it stopped, in words.
    reason: Option<String>,
    /// The units that are not done or that differ; the first thousand, and all whose state is unknown.
    units: Vec<Brief>,
    /// Sentences about the manifest's files, and about records that were passed over.
    warnings: Vec<String>,
}

/// The result of a run.
pub(super) fn done(
    options: &Options,
    summary: Summary,
    file: Option<&Path>,
    resumed: usize,
    warnings: Vec<String>,
) -> Done<Ran> {
    let count = |outcome| summary.count(outcome);
    let unreachable = count(Outcome::Unreachable) + count(Outcome::Unconfirmed);
    let failed = count(Outcome::Failed) + count(Outcome::Reverted) + count(Outcome::Unknown);
    let code = match &summary.stopped {
        Some(Stopped::Interrupted) => exit::INTERRUPTED,
        Some(Stopped::Records(_)) => exit::OUTPUT,
        Some(Stopped::Own(_)) => exit::USAGE,
        Some(Stopped::TooMany(_)) => exit::STOPPED,
        None if failed > 0 => exit::ROUTER,
        None if unreachable > 0 => exit::CONNECTION,
        None if count(Outcome::Differs) > 0 => exit::CHANGES,
        None => exit::DONE,
    };
    let (stopped, reason) = match &summary.stopped {
        None => (None, None),
        Some(why) => (Some(stop_code(why)), Some(stop_words(why))),
    };
    let text = text(options, &summary, file, resumed);
    let result = Ran {
        run: options.run.clone(),
        operation: options.operation.name(),
        records: file.map(|file| file.display().to_string()),
        resumed,
        outcomes: summary.outcomes,
        left: summary.left,
        stopped,
        reason,
        units: summary.units,
        warnings,
    };
    Done { code, text, result }
}

const fn stop_code(why: &Stopped) -> &'static str {
    match why {
        Stopped::TooMany(_) => "max_fail",
        Stopped::Interrupted => "interrupted",
        Stopped::Records(_) => "records",
        Stopped::Own(_) => "own",
    }
}

/// Why a run stopped, in words.
pub(super) fn stop_words(why: &Stopped) -> String {
    match why {
        Stopped::TooMany(limit) => format!("more units failed than --max-fail {limit} allows"),
        Stopped::Interrupted => "interrupted".into(),
        Stopped::Records(why) | Stopped::Own(why) => why.clone(),
    }
}

fn text(options: &Options, summary: &Summary, file: Option<&Path>, resumed: usize) -> String {
    let ended: usize = summary.outcomes.values().sum();
    let units = |count: usize| if count == 1 { "1 unit".into() } else { format!("{count} units") };
    let mut parts: Vec<String> =
        summary.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    if summary.left > 0 {
        parts.push(format!("{} not begun", summary.left));
    }
    let operation = options.operation.name();
    let mut text = match parts.is_empty() {
        true => format!("{operation}: nothing to do"),
        false => format!("{operation} of {}: {}", units(ended + summary.left), parts.join(", ")),
    };
    if resumed > 0 {
        text += &format!("\n{} done by earlier runs", units(resumed));
    }
    if let Some(why) = &summary.stopped {
        text += &format!("\nstopped: {}", stop_words(why));
    }
    let named = |outcomes: &[Outcome]| -> Vec<&str> {
        let is = |unit: &&Brief| outcomes.contains(&unit.outcome);
        summary.units.iter().filter(is).map(|unit| unit.unit.as_str()).collect()
    };
    let mut list = |what: &str, units: Vec<&str>, most: usize| {
        if units.is_empty() {
            return;
        }
        let more = units.len().saturating_sub(most);
        let shown = units.into_iter().take(most).collect::<Vec<_>>().join(", ");
        text += &format!("\n{what}: {shown}");
        if more > 0 {
            text += &format!(" and {more} more");
        }
    };
    list("differ", named(&[Outcome::Differs]), SHOWN);
    list("failed", named(&[Outcome::Failed, Outcome::Reverted]), SHOWN);
    list("unreachable, unchanged", named(&[Outcome::Unreachable]), SHOWN);
    let unconfirmed = named(&[Outcome::Unconfirmed]);
    list("not confirmed, the router reverts the change", unconfirmed, SHOWN);
    // All of them: nothing else tells which routers are to be asked.
    let unknown = named(&[Outcome::Unknown]);
    list("state unknown, run `postwire fleet status`", unknown, usize::MAX);
    if let Some(file) = file {
        text += &format!("\nrecords: {}, run {}", file.display(), options.run);
    }
    text
}
