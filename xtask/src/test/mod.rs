//! The tests, all of them: on bytes on this machine, and on real kernels in the lab.

mod agent;
mod bytes;
pub(crate) mod config;
pub(crate) mod keeper;
mod lab;
pub(crate) mod person;
mod quick;
pub(crate) mod router;
mod wg;

use crate::{lab::Arch, wg_diff};
use anyhow::Result;
use std::{
    process::ExitCode,
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

/// What has passed and failed so far.
pub(crate) struct Tally {
    only: Option<String>,
    passed: usize,
    failed: Vec<String>,
}

impl Tally {
    /// Whether the test of this name is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    /// Runs a test if it is wanted. What it returns is what it has to show.
    pub(crate) fn test(&mut self, name: &str, test: impl FnOnce() -> Result<String>) {
        if !self.wants(name) {
            return;
        }
        let started = Instant::now();
        let outcome = test();
        let took = started.elapsed();
        self.note(name, outcome, took);
    }

    fn note(&mut self, name: &str, outcome: Result<String>, took: Duration) {
        let took = took.as_secs_f32();
        match outcome {
            Ok(shown) => {
                self.passed += 1;
                let colon = if shown.is_empty() { "" } else { ": " };
                println!("ok   {name}{colon}{shown} ({took:.1} s)");
            }
            Err(error) => {
                let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
                println!("FAIL {name} ({took:.1} s)\n{}", causes.join("\n"));
                self.failed.push(name.to_owned());
            }
        }
    }

    /// Adds the tests that another runner has counted.
    pub(crate) fn add(&mut self, passed: usize) {
        self.passed += passed;
    }
}

impl Args {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let started = Instant::now();
        let mut tally = Tally { only: self.only, passed: 0, failed: Vec::new() };
        match self.arch {
            Some(arch) => lab::run(&mut tally, arch, self.seed)?,
            None => {
                bytes::run(&mut tally);
                agent::run(&mut tally);
                lab::run(&mut tally, Arch::X86_64, self.seed)?;
                wg::run(&mut tally, self.seed)?;
                quick::run(&mut tally)?;
                wg_diff::test(&mut tally, self.seed)?;
                // The same push on the other byte order.
                lab::run(&mut tally, Arch::S390x, self.seed)?;
            }
        }
        for name in &tally.failed {
            println!("failed: {name}");
        }
        println!("all tests took {} s", started.elapsed().as_secs());
        println!("{} passed, {} failed", tally.passed, tally.failed.len());
        Ok(if tally.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
