//! `postwire fleet`. `progress` shows a run, `ran` says what it did.

mod progress;
mod ran;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::{CheckFleet, FleetCommand, Own, Pace, Run, Which};
use crate::conf;
use crate::fleet::{self, How, MaxFail, Operation, Options};
use crate::home::{HomeError, Operator, Routers};
use crate::manifest::{Manifest, Mistake, Unit};
use crate::ops::{Confirming, Kind};
use crate::records::{self, Writer};
use crate::report::{Done, Failed};
use crate::ui::say;
use crate::{exit, interrupt};
use progress::Progress;
use ran::{Ran, done};

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

/// Shows what a look-up of host names waits for, unless the output is JSON.
fn teller(json: bool) -> impl FnMut(&str) {
    move |line| {
        if !json {
            say(line);
        }
    }
}

/// Reads a manifest. `ready` says of its units whether the rest of the command is right, before host names are looked up.
pub(super) fn load(
    path: &Path,
    json: bool,
    ready: &mut dyn FnMut(&[Unit]) -> Result<(), Failed>,
) -> Result<Manifest, Failed> {
    let lookup = conf::system_lookup();
    let mut is_ready = Ok(());
    let loaded = Manifest::load_for(path, Some(&lookup), &mut teller(json), &mut |units| {
        is_ready = ready(units);
        is_ready.is_ok()
    });
    let manifest = loaded.map_err(|mistakes| mistaken(path, &mistakes))?;
    is_ready.map(|()| manifest)
}

/// Prints warnings, of a manifest or of records. With `--json` they are in the result.
pub(in crate::command) fn warn(own: &Own, warnings: &[String]) {
    if own.json {
        return;
    }
    warnings.iter().take(SHOWN).for_each(|warning| say(warning));
    match warnings.len().saturating_sub(SHOWN) {
        0 => {}
        1 => say("... and 1 more warning"),
        more => say(&format!("... and {more} more warnings")),
    }
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

/// The units that selectors name.
fn selected<'m>(units: &'m [Unit], which: &Which) -> Result<Vec<&'m Unit>, Failed> {
    fleet::select(units, &which.manifest, &which.selectors).map_err(Failed::usage)
}

/// Checks what the selected units have of the operator's list of routers. Returns their number, and those that cannot
/// be reached yet.
fn check_units(
    own: &Own,
    units: &[Unit],
    which: &Which,
) -> Result<(usize, Vec<Unreached>), Failed> {
    let units = selected(units, which)?;
    // A manifest can be checked on a machine without the operator's files.
    let routers = own.find().and_then(|home| home.routers()).unwrap_or_default();
    let operator = own.find().and_then(|home| home.operator());
    let (mut unreached, mut found) = (Vec::new(), Vec::new());
    for (unit, located) in fleet::locate(&units, &routers) {
        match located {
            Ok((key, udp)) => found.push((unit, key, udp)),
            Err(mistake) => {
                unreached.push(Unreached { unit: unit.name.clone(), message: mistake.message });
            }
        }
    }
    let mut wrong = fleet::twice(&found);
    if let Ok(operator) = operator {
        wrong.extend(fleet::own_keys(&units, &operator.public()));
    }
    if wrong.is_empty() {
        Ok((units.len(), unreached))
    } else {
        Err(mistaken(&which.manifest, &wrong))
    }
}

pub(super) fn check(own: &Own, args: &CheckFleet) -> Result<Done<Checked>, Failed> {
    let path = &args.which.manifest;
    let (mut count, mut unreached) = (0, Vec::new());
    let manifest = load(path, own.json, &mut |units| {
        (count, unreached) = check_units(own, units, &args.which)?;
        Ok(())
    })?;
    let name = path.display();
    let mut text = match count {
        1 => format!("{name}: 1 unit, and its file can be pushed"),
        _ => format!("{name}: {count} units, and their files can be pushed"),
    };
    warn(own, &manifest.warnings);
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
    let home = own.find().map_err(|error| Failed::own(&error))?;
    let own_files = || Ok((home.operator()?, home.routers()?));
    let own_files = || own_files().map_err(|error: HomeError| Failed::own(&error));
    let (which, mut files) = (&run.which, None);
    let manifest = load(&which.manifest, own.json, &mut |units| {
        let units = selected(units, which)?;
        let (operator, routers) = files.insert(own_files()?);
        let located = fleet::located(&units, routers, &operator.public());
        located.map(|_| ()).map_err(|mistakes| mistaken(&which.manifest, &mistakes))
    })?;
    let files = files.map_or_else(own_files, Ok)?;
    warn(own, &manifest.warnings);
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
    start(own, run, &manifest, &options, &files)
}

/// Finds the units and their routers, opens the records, and runs.
fn start(
    own: &Own,
    args: &Run,
    manifest: &Manifest,
    options: &Options,
    (operator, routers): &(Operator, Routers),
) -> Result<Done<Ran>, Failed> {
    let units = selected(&manifest.units, &args.which)?;
    let lookup = conf::system_lookup();
    let planned = fleet::plan(&units, routers, &operator.public(), &lookup, &mut teller(own.json))
        .map_err(|mistakes| mistaken(&manifest.path, &mistakes))?;
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
    // Another run could add records to a file that was read before it is locked.
    let mut writer = match &file {
        Some(file) => Some(Writer::open(file).map_err(|why| Failed::new(Kind::Own, why))?),
        None => None,
    };
    let mut warnings = manifest.warnings.clone();
    let planned = match (&file, args.resume) {
        (Some(file), true) => {
            let before = records::read_if_any(file).map_err(|why| Failed::new(Kind::Own, why))?;
            warn(own, &before.warnings);
            warnings.extend(before.warnings);
            fleet::remaining(planned, options.operation, &before.records)
        }
        _ => planned,
    };
    interrupt::finish_first();
    let mut progress = Progress::new(own.json, planned.len());
    let summary = fleet::run(manifest, &planned, options, operator, writer.as_mut(), &mut progress);
    progress.clear();
    let resumed = all - planned.len();
    Ok(done(options, summary, file.as_deref(), resumed, warnings))
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
