//! The tests, all of them: on bytes on this machine, and on real kernels in the lab.

mod agent;
mod bytes;
pub(crate) mod config;
pub(crate) mod keeper;
mod lab;
pub(crate) mod lanes;
mod memory;
pub(crate) mod person;
mod quick;
pub(crate) mod router;
mod start;
mod wg;

use crate::{lab::Arch, wg_diff};
use anyhow::{Error, Result};
use lanes::Part;
use std::{
    process::ExitCode,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Pass all tests: on bytes, and on real kernels in virtual machines
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the part in the lab, on machines of this kind
    #[arg(long, value_enum)]
    arch: Option<Arch>,
    /// Only the tests with this in their names
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// The seed of everything that is random
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What has passed and failed so far. Tests side by side share it.
pub(crate) struct Tally {
    only: Option<String>,
    count: Mutex<Count>,
}

#[derive(Default)]
struct Count {
    passed: usize,
    failed: Vec<String>,
}

impl Tally {
    fn new(only: Option<String>) -> Self {
        Self { only, count: Mutex::default() }
    }

    /// Whether every test is wanted.
    pub(crate) fn wants_all(&self) -> bool {
        self.only.is_none()
    }

    /// Whether the test of this name is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    /// Runs a test if it is wanted. What it returns is what it has to show.
    pub(crate) fn test(&self, name: &str, test: impl FnOnce() -> Result<String>) {
        if !self.wants(name) {
            return;
        }
        let started = Instant::now();
        let outcome = test();
        let took = started.elapsed();
        self.note(name, outcome, took);
    }

    fn note(&self, name: &str, outcome: Result<String>, took: Duration) {
        let took = took.as_secs_f32();
        match outcome {
            Ok(shown) => {
                let colon = if shown.is_empty() { "" } else { ": " };
                println!("ok   {name}{colon}{shown} ({took:.1} s)");
                self.add(1);
            }
            Err(error) => self.fail(&format!("{name} ({took:.1} s)"), name, &error),
        }
    }

    /// Notes a failure of what is called `name`. In one go: others print at the same time.
    fn fail(&self, head: &str, name: &str, error: &Error) {
        let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
        println!("FAIL {head}\n{}", causes.join("\n"));
        self.count().failed.push(name.to_owned());
    }

    /// Adds the tests that another runner has counted.
    pub(crate) fn add(&self, passed: usize) {
        self.count().passed += passed;
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Args {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let started = Instant::now();
        let (tally, seed) = (Tally::new(self.only), self.seed);
        match self.arch {
            Some(arch) => lanes::run(&tally, lab::parts(&tally, arch, seed)),
            None => {
                lanes::run(&tally, parts(&tally, seed));
                // Last, and with nothing beside it: what it shows is what a machine can take in.
                lanes::run(&tally, vec![lab::flood(&tally, seed)]);
            }
        }
        let Count { passed, failed } = &*tally.count();
        for name in failed {
            println!("failed: {name}");
        }
        println!("all tests took {} s", started.elapsed().as_secs());
        println!("{passed} passed, {} failed", failed.len());
        Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// All but the flood. What takes long comes first, so that both lanes end at about the same time, and what
/// builds is spread among what boots: the one keeps all processors busy, the other waits.
fn parts(tally: &Tally, seed: u64) -> Vec<Part<'_>> {
    let [bytes, fuzzing] = bytes::parts(tally);
    let mut parts = vec![quick::part(tally), bytes, wg_diff::part(tally, seed)];
    let mut lab = lab::parts(tally, Arch::X86_64, seed);
    let shorter = lab.split_off(lab.len() / 2);
    parts.extend(lab);
    parts.extend([
        fuzzing,
        agent::targets(tally),
        agent::part(tally),
        start::part(tally),
        wg::part(tally, seed),
    ]);
    parts.extend(shorter);
    // The same push on the other byte order.
    parts.extend(lab::parts(tally, Arch::S390x, seed));
    parts
}
