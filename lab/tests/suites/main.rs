//! The suites of the lab, under the ordinary test harness: `cargo test -p lab -- TEXT`.
//!
//! The tests of a [`Part`] run in sequence on the same machines, and three parts run side by side
//! ([`lanes`]). Tests that are marked as ignored need no machine: the tests of the other crates,
//! the linters, budgets. `cargo xtask test` runs them too. `LAB_ARCH` selects the machines of one architecture,
//! or `all`, with longer lists of tests, or `none`, for a test of the whole workspace without these suites;
//! `LAB_MACHINES` selects the routers of the other architectures ([`machines::Turn`]); `LAB_SEED` is the seed of all
//! random choices, and `--test-threads` the number of parts side by side.

mod agent;
mod bytes;
mod console;
mod lanes;
mod machines;
mod memory;
mod openwrt;
mod pushes;
mod quick;
mod release;
mod start;
mod wg;
mod wg_diff;

use anyhow::{Context, Error, Result};
use clap::ValueEnum;
use lab::Arch;
use lanes::Part;
use libtest_mimic::{Arguments, Failed, Trial};
use machines::{MACHINES, Turn};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

/// With two, a third of the time of two processors would pass in waiting: a lane that builds or computes keeps both
/// busy, one with a machine not even one.
const LANES: usize = 3;

/// Outcomes of the tests. Parts that run side by side share it.
pub(crate) struct Tally {
    /// Names of the tests to run.
    wanted: BTreeSet<String>,
    /// Whether the command line selects no tests by name.
    all: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    outcomes: BTreeMap<String, Result<(), String>>,
    /// Number of tests that another runner has counted.
    elsewhere: usize,
}

impl Tally {
    fn new(wanted: BTreeSet<String>, all: bool) -> Self {
        Self { wanted, all, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Whether the command line selects no tests by name.
    pub(crate) fn wants_all(&self) -> bool {
        self.all
    }

    /// Whether the test with this name must run.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.wanted.contains(name)
    }

    /// Runs a test if it is wanted. On success, the test returns its measurements in a few words.
    pub(crate) fn test(&self, name: &str, test: impl FnOnce() -> Result<String>) {
        if !self.wants(name) {
            return;
        }
        let started = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(test));
        let took = started.elapsed().as_secs_f32();
        let outcome = outcome.unwrap_or_else(|_| Err(Error::msg("the test panicked")));
        match outcome {
            Ok(shown) => {
                let colon = if shown.is_empty() { "" } else { ": " };
                println!("{name}{colon}{shown} ({took:.1} s)");
                self.note(name, Ok(()));
            }
            Err(error) => {
                println!("FAIL {name} ({took:.1} s)\n{}", causes(&error));
                self.note(name, Err(causes(&error)));
            }
        }
    }

    /// Records the failure of a part: its tests without an outcome fail with the same words.
    fn fail(&self, part: &str, tests: &[String], error: &Error) {
        let words = format!("the part \"{part}\" did not run to its end: {}", causes(error));
        for test in tests.iter().filter(|test| self.wants(test)) {
            if !self.lock().outcomes.contains_key(test) {
                self.note(test, Err(words.clone()));
            }
        }
    }

    fn note(&self, name: &str, outcome: Result<(), String>) {
        self.lock().outcomes.insert(name.to_owned(), outcome);
        self.changed.notify_all();
    }

    /// Adds tests that another runner has counted.
    pub(crate) fn add(&self, passed: usize) {
        self.lock().elsewhere += passed;
    }

    /// Waits for the outcome of a test.
    fn outcome(&self, name: &str) -> Result<(), Failed> {
        let mut state = self.lock();
        loop {
            if let Some(outcome) = state.outcomes.get(name) {
                return outcome.clone().map_err(Failed::from);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn causes(error: &Error) -> String {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    causes.join("\n")
}

/// All parts. Long parts come first, so that all lanes end at about the same time. Parts that
/// build alternate with parts that boot, because a build keeps all processors busy and a machine
/// mostly waits.
fn parts(arch: Option<Vec<Arch>>, machines: &[Arch], seed: u64) -> Vec<Part> {
    if let Some(arch) = arch {
        let on = |arch: Arch| {
            let router = MACHINES.contains(&arch).then(|| machines::part(arch, seed, true));
            let sets = (arch == Arch::X86_64).then(agent::other_sets);
            router.into_iter().chain(sets).chain(pushes::parts(arch, seed))
        };
        return arch.into_iter().flat_map(on).collect();
    }
    let [bytes, fuzzing] = bytes::parts();
    let mut parts = vec![quick::part(seed), bytes, wg_diff::part(seed)];
    let mut lab = pushes::parts(Arch::X86_64, seed);
    let shorter = lab.split_off(lab.len() / 2);
    parts.extend(lab);
    parts.push(console::part(seed));
    parts.extend([
        fuzzing,
        agent::targets(),
        agent::part(),
        release::part(),
        start::part(),
        openwrt::part(),
        wg::part(seed),
    ]);
    parts.extend(shorter);
    // An emulated machine costs a minute.
    parts.extend(machines.iter().map(|arch| machines::part(*arch, seed, false)));
    // The same push with the other byte order.
    parts.extend(pushes::parts(Arch::S390x, seed));
    // Last and alone, because it measures the capacity of a machine.
    parts.push(pushes::flood(seed).alone());
    parts
}

/// Whether the harness will run this test; its own filter is private.
fn is_wanted(arguments: &Arguments, test: &str, ignored: bool) -> bool {
    let is = |text: &String| if arguments.exact { test == text } else { test.contains(text) };
    let of_kind =
        if ignored { arguments.ignored || arguments.include_ignored } else { !arguments.ignored };
    of_kind && arguments.filter.as_ref().is_none_or(is) && !arguments.skip.iter().any(is)
}

/// A setting from the environment, because the harness rejects unknown arguments.
pub(crate) fn setting<T>(name: &str, parse: impl FnOnce(&str) -> Result<T>) -> Result<Option<T>> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    parse(&text).map(Some).with_context(|| format!("{name}={text}"))
}

fn main() -> Result<ExitCode> {
    let started = Instant::now();
    let mut arguments = Arguments::from_args();
    let arch = setting("LAB_ARCH", |text| match text {
        "all" => Ok(Arch::ALL.to_vec()),
        "none" => Ok(Vec::new()),
        _ => Ok(vec![Arch::from_str(text, false).map_err(Error::msg)?]),
    })?;
    let seed = setting("LAB_SEED", |text| Ok(text.parse()?))?.unwrap_or(1);

    let turn = setting("LAB_MACHINES", |text| Turn::new(Some(text)))?;
    let turn = turn.map_or_else(|| Turn::new(None), Ok)?;
    // A machine that the filter names is meant.
    let meant = |arch: &Arch| {
        turn.has(*arch) || arguments.filter.iter().any(|text| text.contains(arch.name()))
    };
    let machines: Vec<Arch> = MACHINES.into_iter().filter(meant).collect();
    let is_whole = arch.is_none() && arguments.filter.is_none();
    let parts = parts(arch, &machines, seed);
    let all = || parts.iter().flat_map(|part| part.tests.iter().map(|test| (test, part.ignored)));
    let wanted = all().filter(|(test, ignored)| is_wanted(&arguments, test, *ignored));
    let wanted: BTreeSet<String> = wanted.map(|(test, _)| test.clone()).collect();
    let count = wanted.len();
    let tally = Arc::new(Tally::new(wanted, arguments.filter.is_none()));
    let trial = |(test, ignored): (&String, bool)| {
        let (name, tally) = (test.clone(), Arc::clone(&tally));
        Trial::test(test, move || tally.outcome(&name)).with_ignored_flag(ignored)
    };
    let trials: Vec<Trial> = all().map(trial).collect();
    if arguments.list {
        libtest_mimic::run(&arguments, trials).exit();
    }

    // The threads of the harness only wait for outcomes, so each test has one.
    let lanes = arguments.test_threads.unwrap_or(LANES);
    arguments.test_threads = Some(count.max(1));
    let runner = thread::spawn({
        let tally = Arc::clone(&tally);
        move || lanes::run(&tally, parts, lanes)
    });
    let conclusion = libtest_mimic::run(&arguments, trials);
    if runner.join().is_err() {
        println!("the thread that runs the parts died");
        return Ok(ExitCode::FAILURE);
    }
    let passed = conclusion.num_passed as usize + tally.lock().elsewhere;
    if is_whole {
        println!("{turn}");
    }
    println!("all tests took {} s", started.elapsed().as_secs());
    println!("{passed} passed, {} failed", conclusion.num_failed);
    Ok(conclusion.exit_code())
}
