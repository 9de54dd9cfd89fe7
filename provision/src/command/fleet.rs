//! `postwire fleet`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::cli::{CheckFleet, FleetCommand, Own, Pace, Run, Which};
use crate::conf;
use crate::fleet::{
    self, Brief, Event, How, MaxFail, Operation, Options, Planned, Reporter, Stopped, Summary,
};
use crate::home::Routers;
use crate::manifest::{Manifest, Mistake};
use crate::ops::{Confirming, Kind};
use crate::records::{self, Outcome, Record, Writer};
use crate::report::{Done, Failed};
use crate::ui::say;
use crate::{exit, interrupt};

/// How many routers at a time, unless the user says.
const JOBS: usize = 64;
/// The most mistakes and units that a text names.
const SHOWN: usize = 20;

/// A checked manifest, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    manifest: String,
    units: usize,
    /// Units that cannot be reached yet: without a key, because they are not claimed, or without an address.
    unreached: Vec<Unreached>,
    warnings: Vec<String>,
}

/// A unit and a sentence about it.
#[derive(Debug, Serialize)]
struct Unreached {
    unit: String,
    message: String,
}

/// A run, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Ran {
    run: String,
    operation: &'static str,
    records: Option<String>,
    /// Units that earlier runs have done.
    resumed: usize,
    outcomes: std::collections::BTreeMap<&'static str, usize>,
    /// Units that were not begun.
    left: usize,
    /// `max_fail`, `interrupted`, `records` or `own`; null for a run that went to its end.
    stopped: Option<&'static str>,
    /// Why it stopped, in words.
    reason: Option<String>,
    /// The units that are not done or that differ; the first thousand.
    units: Vec<Brief>,
}

/// Reads a manifest.
pub(super) fn load(path: &Path, json: bool) -> Result<Manifest, Failed> {
    let lookup = conf::system_lookup();
    let mut tell = |line: &str| {
        if !json {
            say(line);
        }
    };
    Manifest::load(path, Some(&lookup), &mut tell).map_err(|mistakes| mistaken(path, &mistakes))
}

/// The mistakes of a manifest as an error.
pub(super) fn mistaken(path: &Path, mistakes: &[Mistake]) -> Failed {
    let count = mistakes.len();
    let errors = if count == 1 { "1 error".into() } else { format!("{count} errors") };
    let mut failed = Failed::new(Kind::File, format!("{}: {errors}", path.display()));
    let mut rendered = String::new();
    for mistake in mistakes.iter().take(SHOWN) {
        rendered += &format!("{mistake}\n");
    }
    if count > SHOWN {
        rendered += &format!("... and {} more\n", count - SHOWN);
    }
    let first = mistakes.first();
    failed.error.file = first.map(|mistake| mistake.file.clone());
    failed.error.line = first.and_then(|mistake| mistake.line);
    failed.error.mistakes = mistakes.to_vec();
    failed.rendered(rendered)
}

pub(super) fn check(own: &Own, args: &CheckFleet) -> Result<Done<Checked>, Failed> {
    let Which { manifest: path, selectors } = &args.which;
    let manifest = load(path, own.json)?;
    let units = fleet::select(&manifest, selectors).map_err(Failed::usage)?;
    // A manifest can be checked on a machine without the operator's files.
    let routers = own.find().and_then(|home| home.routers()).unwrap_or_default();
    let (count, mut unreached) = (units.len(), Vec::new());
    for unit in units {
        if let Err(mistake) = fleet::locate(unit, &routers) {
            unreached.push(Unreached { unit: unit.name.clone(), message: mistake.message });
        }
    }
    let name = path.display();
    let mut text = match count {
        1 => format!("{name}: 1 unit, and its file can be pushed"),
        _ => format!("{name}: {count} units, and their files can be pushed"),
    };
    if !own.json {
        manifest.warnings.iter().for_each(|warning| say(warning));
    }
    for unit in unreached.iter().take(SHOWN) {
        text += &format!("\nnot yet reached by `postwire fleet`: {}", unit.message);
    }
    if unreached.len() > SHOWN {
        text += &format!("\n... and {} more", unreached.len() - SHOWN);
    }
    let result = Checked {
        manifest: name.to_string(),
        units: count,
        unreached,
        warnings: manifest.warnings.clone(),
    };
    Ok(Done { code: exit::DONE, text, result })
}

pub(super) fn run(own: &Own, what: &FleetCommand) -> Result<Done<Ran>, Failed> {
    let pace = |pace: &Pace| (pace.batch.clone(), pace.max_fail, pace.confirm_within);
    let (operation, run, (batches, max_fail, confirm_within), adopt, empties) = match what {
        FleetCommand::Push(args) => {
            (Operation::Push, &args.run, pace(&args.pace), args.adopt, args.yes)
        }
        FleetCommand::Repair(args) => {
            (Operation::Repair, &args.run, pace(&args.pace), false, false)
        }
        FleetCommand::Diff(args) => {
            (Operation::Diff, &args.run, (Vec::new(), None, None), false, false)
        }
        FleetCommand::Status(args) => {
            (Operation::Status, &args.run, (Vec::new(), None, None), false, false)
        }
        FleetCommand::Check(_) => return Err(Failed::usage("`fleet check` makes no run")),
    };
    let manifest = load(&run.which.manifest, own.json)?;
    if !own.json {
        manifest.warnings.iter().for_each(|warning| say(warning));
    }
    let seconds = match operation.changes() {
        true => confirm_within.or(manifest.confirm_within).unwrap_or(0),
        false => 0,
    };
    let max_fail = max_fail.or((!batches.is_empty()).then_some(MaxFail::Units(0)));
    let how = How {
        confirming: Confirming { seconds, by_hand: false },
        adopt,
        empties,
        timeout: run.timeout,
    };
    let options = Options {
        operation,
        run: run.name.clone().map_or_else(run_name, Ok)?,
        shard: run.shard,
        jobs: run.jobs.map_or(manifest.jobs.unwrap_or(JOBS), usize::from),
        batches,
        max_fail,
        how,
    };
    start(own, run, &manifest, &options)
}

/// Finds the units and their routers, opens the records, and runs.
fn start(
    own: &Own,
    args: &Run,
    manifest: &Manifest,
    options: &Options,
) -> Result<Done<Ran>, Failed> {
    let home = own.find().map_err(|error| Failed::own(&error))?;
    let operator = home.operator().map_err(|error| Failed::own(&error))?;
    let routers = home.routers().map_err(|error| Failed::own(&error))?;
    let planned = plan(own, args, manifest, &routers)?;
    let file = match (&args.record, options.operation.changes() || args.resume) {
        (Some(file), _) => Some(file.clone()),
        (None, true) => Some(records_of(&manifest.path)),
        (None, false) => None,
    };
    let planned = match args.shard {
        Some(shard) => shard.of(planned),
        None => planned,
    };
    let all = planned.len();
    let planned = match (&file, args.resume) {
        (Some(file), true) => {
            let before = records::read_if_any(file).map_err(|why| Failed::new(Kind::Own, why))?;
            fleet::remaining(planned, options.operation, &before)
        }
        _ => planned,
    };
    let mut writer = match &file {
        Some(file) => Some(Writer::open(file).map_err(|why| Failed::new(Kind::Own, why))?),
        None => None,
    };
    interrupt::finish_first();
    let mut progress = Progress::new(own.json, planned.len());
    let summary =
        fleet::run(manifest, &planned, options, &operator, writer.as_mut(), &mut progress);
    progress.clear();
    let resumed = all - planned.len();
    Ok(done(options, summary, file.as_deref(), resumed))
}

/// The file of records beside a manifest.
pub(super) fn records_of(manifest: &Path) -> PathBuf {
    manifest.with_extension("records.jsonl")
}

/// A name for a run: when it began, and a random number.
pub(super) fn run_name() -> Result<String, Failed> {
    let mut random = [0; 3];
    getrandom::fill(&mut random).map_err(|error| {
        Failed::new(Kind::Own, format!("this machine provides no random numbers: {error}"))
    })?;
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let [a, b, c] = random;
    Ok(format!("{now}-{a:02x}{b:02x}{c:02x}"))
}

fn plan<'m>(
    own: &Own,
    args: &Run,
    manifest: &'m Manifest,
    routers: &Routers,
) -> Result<Vec<Planned<'m>>, Failed> {
    let units = fleet::select(manifest, &args.which.selectors).map_err(Failed::usage)?;
    let mut tell = |line: &str| {
        if !own.json {
            say(line);
        }
    };
    fleet::plan(&units, routers, &conf::system_lookup(), &mut tell)
        .map_err(|mistakes| mistaken(&manifest.path, &mistakes))
}

fn done(options: &Options, summary: Summary, file: Option<&Path>, resumed: usize) -> Done<Ran> {
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

fn stop_words(why: &Stopped) -> String {
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
    let mut list = |what: &str, units: Vec<&str>| {
        if units.is_empty() {
            return;
        }
        let more = units.len().saturating_sub(SHOWN);
        let shown = units.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
        text += &format!("\n{what}: {shown}");
        if more > 0 {
            text += &format!(" and {more} more");
        }
    };
    list("differ", named(&[Outcome::Differs]));
    list("failed", named(&[Outcome::Failed, Outcome::Reverted]));
    list("unreachable, unchanged", named(&[Outcome::Unreachable]));
    list("not confirmed, the router reverts the change", named(&[Outcome::Unconfirmed]));
    list("state unknown, run `postwire fleet status`", named(&[Outcome::Unknown]));
    if let Some(file) = file {
        text += &format!("\nrecords: {}, run {}", file.display(), options.run);
    }
    text
}

/// Shows a run: a bar on a terminal, a line for each unit elsewhere, nothing with `--json`.
struct Progress {
    json: bool,
    bar: Option<ProgressBar>,
    ended: usize,
    total: usize,
}

impl Progress {
    fn new(json: bool, total: usize) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = (is_terminal && !json).then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template(BAR) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        Self { json, bar, ended: 0, total }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(line)),
            None if self.json => {}
            None => say(line),
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

const BAR: &str = "{msg:>12} [{wide_bar}] {pos}/{len} {elapsed}";

impl Reporter for Progress {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Batch { number, of, units } => {
                if let Some(bar) = &self.bar {
                    bar.set_message(format!("batch {number}/{of}"));
                } else if of > 1 {
                    self.say(&format!("batch {number} of {of}: {units} units"));
                }
            }
            Event::Finished(record) => {
                self.ended += 1;
                // On a terminal the bar counts those that are done.
                if self.bar.is_none() || !record.outcome.is_done() {
                    self.say(&line(record, self.ended, self.total));
                }
                if let Some(bar) = &self.bar {
                    bar.set_position(self.ended as u64);
                }
            }
            Event::Stopping(why) => {
                let words = match why {
                    Stopped::Interrupted => {
                        "stopping: no more routers are begun, and changes under way are finished; Ctrl-C again stops \
                         at once"
                            .into()
                    }
                    why => format!("stopping: {}", stop_words(why)),
                };
                self.say(&words);
            }
        }
    }
}

fn line(record: &Record, ended: usize, total: usize) -> String {
    let Record { unit, outcome, message, milliseconds, .. } = record;
    let message = message.replace('\n', " ");
    let (seconds, tenths) = (milliseconds / 1_000, milliseconds % 1_000 / 100);
    format!("{ended}/{total} {unit}: {}: {message} ({seconds}.{tenths} s)", outcome.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_valid() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
