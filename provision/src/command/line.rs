//! `postwire line`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::claim::owner_name;
use super::fleet::{load, mistaken, records_of, run_name, warn};
use crate::cli::{Line, Own};
use crate::fleet::{How, own_keys};
use crate::line::{self, Options, Rows};
use crate::manifest::{Mistake, Unit};
use crate::ops::{Confirming, Kind};
use crate::records::{self, Writer};
use crate::report::{Done, Failed};
use crate::{exit, interrupt};

/// A run of a line, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Ran {
    run: String,
    records: String,
    /// Units that are done, in this run and before.
    done: usize,
    /// Units that are not done.
    left: usize,
    /// How many units of this run have each outcome.
    outcomes: BTreeMap<&'static str, usize>,
    /// The units of this run that are not done.
    failed: Vec<String>,
    /// `interrupted` by a second Ctrl-C, `records` or `own`; null for a run that went to its end.
    stopped: Option<&'static str>,
    /// Why it stopped, in words.
    reason: Option<String>,
    /// Sentences about the manifest's files, and about records that were passed over.
    warnings: Vec<String>,
}

pub(super) fn run(own: &Own, args: &Line) -> Result<Done<Ran>, Failed> {
    let home = own.find().map_err(|error| Failed::own(&error))?;
    let (mut operator, path) = (None, &args.manifest);
    let manifest = load(path, own.json, &mut |units| {
        let lacking = args.assign.mistakes(units);
        if !lacking.is_empty() {
            return Err(mistaken(path, &lacking));
        }
        for name in &args.replace {
            check_replaced(name, units, args)?;
        }
        check_program(args)?;
        let operator = operator.insert(home.operator().map_err(|error| Failed::own(&error))?);
        let own_keys = own_keys(&units.iter().collect::<Vec<_>>(), &operator.public());
        if own_keys.is_empty() { Ok(()) } else { Err(mistaken(path, &own_keys)) }
    })?;
    let operator = operator.map_or_else(|| home.operator(), Ok);
    let operator = operator.map_err(|error| Failed::own(&error))?;
    warn(own, &manifest.warnings);
    let routers = home.routers().map_err(|error| Failed::own(&error))?;
    let file = args.record.clone().unwrap_or_else(|| records_of(&manifest.path));
    // Another run could add records to a file that was read before it is locked.
    let mut writer = Writer::open(&file).map_err(|why| Failed::new(Kind::Own, why))?;
    let before = records::read_if_any(&file).map_err(|why| Failed::new(Kind::Own, why))?;
    warn(own, &before.warnings);
    let mut rows = Rows::new(&manifest, &routers, &before.records, args.assign);
    for name in &args.replace {
        let row = manifest.units.iter().position(|unit| unit.name == *name);
        if row.is_none_or(|row| !rows.is_replaced(row) && rows.replace(row).is_none()) {
            let message =
                format!("--replace: {name} has no router yet, and gets the next one anyway");
            return Err(Failed::usage(message));
        }
    }
    let options = Options {
        ports: args.ports.clone(),
        run: args.name.clone().map_or_else(run_name, Ok)?,
        how: How {
            // Over a cable no change can cut its own way.
            confirming: Confirming::default(),
            adopt: args.adopt,
            empties: true,
            timeout: args.timeout,
        },
        dtr: args.dtr,
        owner: args.owner.clone().unwrap_or_else(owner_name),
        assign: args.assign,
        patience: args.patience,
        on_done: args.on_done.clone(),
        until_done: args.until_done,
        plain: args.plain,
        bell: !args.no_bell,
        silent: own.json,
    };
    interrupt::finish_first();
    let summary =
        line::run(&manifest, &options, (&home, &operator), rows, &before.records, &mut writer);
    let mut outcomes = BTreeMap::new();
    for outcome in summary.units.values() {
        *outcomes.entry(outcome.name()).or_insert(0) += 1;
    }
    let failed: Vec<String> = summary.failed().into_iter().map(Into::into).collect();
    let (done, units) = (summary.done, manifest.units.len());
    let (code, stopped, reason) = match (summary.unwritten, summary.own) {
        (Some(why), _) => (exit::OUTPUT, Some("records"), Some(why)),
        (None, Some(why)) => (exit::USAGE, Some("own"), Some(why)),
        (None, None) if interrupt::requested() => {
            (exit::INTERRUPTED, Some("interrupted"), Some("interrupted".into()))
        }
        (None, None) if failed.is_empty() => (exit::DONE, None, None),
        (None, None) => (exit::ROUTER, None, None),
    };
    let mut text = format!("{done} of {units} units done");
    if !failed.is_empty() {
        text += &format!("\nfailed: {}", failed.join(", "));
    }
    if let Some(why) = &reason {
        text += &format!("\nstopped: {why}");
    }
    text += &format!("\nrecords: {}, run {}", file.display(), options.run);
    let result = Ran {
        run: options.run,
        records: file.display().to_string(),
        done,
        left: units.saturating_sub(done),
        outcomes,
        failed,
        stopped,
        reason,
        warnings: [manifest.warnings, before.warnings].concat(),
    };
    Ok(Done { code, text, result })
}

/// Checks that a unit of `--replace` can get another router.
fn check_replaced(name: &str, units: &[Unit], args: &Line) -> Result<(), Failed> {
    let shown = args.manifest.display();
    let Some(unit) = units.iter().find(|unit| unit.name == name) else {
        let name = name.escape_debug();
        return Err(Failed::usage(format!("--replace: no unit of {shown} is called `{name}`")));
    };
    if unit.key.is_none() {
        return Ok(());
    }
    let why = format!("the router of {name} is the one whose key the manifest has");
    let help =
        "take `key` out of the unit, or give the key of the new router, in place of --replace";
    Err(mistaken(&args.manifest, &[Mistake::at(&unit.at, why).help(help)]))
}

/// Checks that there is the program of `--on-done`.
fn check_program(args: &Line) -> Result<(), Failed> {
    let Some(program) = args.on_done.as_deref().filter(|program| !is_there(program)) else {
        return Ok(());
    };
    let (message, hint) = match program.contains('/') && Path::new(program).is_file() {
        true => {
            ("this is no program", format!("`chmod +x {}`, if it is one", crate::ui::word(program)))
        }
        false => ("there is no program", "a path has a slash in it, such as ./print-label".into()),
    };
    Err(Failed::usage(format!("--on-done: {message}: `{program}`")).hint(Some(hint)))
}

/// Whether a program can be found. Otherwise the first router would be done before anybody knows.
fn is_there(program: &str) -> bool {
    let in_path = |paths: std::ffi::OsString| {
        std::env::split_paths(&paths).any(|folder| can_run(&folder.join(program)))
    };
    match program.contains('/') {
        true => can_run(Path::new(program)),
        false => std::env::var_os("PATH").is_some_and(in_path),
    }
}

/// Whether a file is a program that this user may run.
#[cfg(unix)]
fn can_run(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Other systems than Unix add an ending to the name.
#[cfg(not(unix))]
const fn can_run(_: &Path) -> bool {
    true
}
