//! `cargo xtask wg-diff`: our `wg` (the agent, called by that name) against Debian's, in the lab.
//!
//! The same scripts run on both sides, each in a network namespace of its own in one machine, and
//! after every command the two are held against each other: exit status, standard output, whether
//! anything is on standard error, and what the kernel has ([`compare`]). The scripts are those under
//! `cases/`, and generated ones ([`generate`]). What differs on purpose is in a table ([`known`]).

mod case;
mod compare;
mod generate;
mod keys;
mod known;
mod run;

use crate::{
    build,
    lab::{Arch, Lab, Vm},
};
use anyhow::{Result, ensure};
use case::Case;
use known::TABLE;
use run::Ran;
use std::{
    fs,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

/// Hold our `wg` against Debian's: the same commands, and all they do
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many generated cases there are, besides those written by hand
    #[arg(long, default_value_t = 300)]
    cases: u32,
    /// The seed of the generated cases; without it, another one in every run
    #[arg(long)]
    seed: Option<u64>,
    /// Only the cases with this in their names
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Debian's wg against itself: what differs then is not the fault of ours
    #[arg(long)]
    itself: bool,
    /// Print what every command did with Debian's wg
    #[arg(long)]
    show: bool,
}

impl Args {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let seed = self.seed.unwrap_or_else(clock);
        let all = self.only.is_none() && !self.itself;
        let mut cases = cases(seed, self.cases);
        if let Some(only) = &self.only {
            cases.retain(|case| case.name.contains(only.as_str()));
            ensure!(!cases.is_empty(), "no case has {only:?} in its name");
        }
        println!("seed {seed}, {} cases", cases.len());
        let vm = boot(&Lab::prepare(Arch::X86_64)?, self.itself)?;
        run::tunnel(&vm, &cases)?;
        let sides = Sides {
            debian: run::side(&vm, "debian", &cases)?,
            ours: run::side(&vm, "ours", &cases)?,
        };
        if self.show {
            sides.show(&cases);
        }
        // Debian's wg prints what it could not read, be it a key.
        let secrets = if self.itself { Vec::new() } else { keys::secrets() };
        let outcome = sides.compare(&cases, &secrets);
        for (case, failure) in &outcome.failures {
            println!("FAIL {case}: {failure}");
        }
        for (known, count) in TABLE.iter().zip(&outcome.known) {
            println!("kept {}: {count} times ({})", known.name, known.reason);
        }
        println!("seed {seed}: {}", outcome.summary());
        let passed = outcome.check(all);
        if let Err(error) = &passed {
            println!("{error:#}");
        }
        Ok(if passed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The cases written by hand, and `count` generated ones.
fn cases(seed: u64, count: u32) -> Vec<Case> {
    let mut cases = case::fixed();
    cases.extend((0..count).map(|number| generate::case(seed, number)));
    cases
}

/// A machine with both: `/diff/debian` and `/diff/ours` each hold a `wg`.
fn boot(lab: &Lab, itself: bool) -> Result<Vm> {
    let machine = lab.machine("wg-diff").with_wireguard_tools();
    let machine = if itself {
        machine
    } else {
        machine.file("/bin/postwired", 0o755, fs::read(build::agent(lab.arch())?)?)
    };
    let vm = machine.boot()?;
    let ours = if itself { "/usr/bin/wg" } else { "/bin/postwired" };
    vm.sh(&format!(
        "mkdir -p /diff/debian /diff/ours && ln -s /usr/bin/wg /diff/debian/wg && \
         ln -s {ours} /diff/ours/wg && ln -s /proc/self/fd /dev/fd && \
         ln -s fd/0 /dev/stdin && ln -s fd/1 /dev/stdout && \
         printf 'nameserver 127.0.0.1\\noptions timeout:1 attempts:1\\n' >/etc/resolv.conf"
    ))?
    .ok()?;
    Ok(vm)
}

/// What came of a run.
struct Outcome {
    cases: usize,
    commands: usize,
    /// How often each of the known differences was met.
    known: Vec<usize>,
    failures: Vec<(String, String)>,
}

/// What each case did on both sides.
struct Sides {
    debian: Vec<Ran>,
    ours: Vec<Ran>,
}

impl Sides {
    fn compare(&self, cases: &[Case], secrets: &[String]) -> Outcome {
        let known = vec![0; TABLE.len()];
        let mut outcome = Outcome { cases: cases.len(), commands: 0, known, failures: vec![] };
        for ((case, debian), ours) in cases.iter().zip(&self.debian).zip(&self.ours) {
            let verdict = compare::case(case, debian, ours, secrets);
            outcome.commands += verdict.commands;
            for known in verdict.known {
                outcome.known[known] += 1;
            }
            outcome.failures.extend(verdict.failure.map(|failure| (case.name.clone(), failure)));
        }
        outcome
    }

    fn show(&self, cases: &[Case]) {
        for (case, ran) in cases.iter().zip(&self.debian) {
            println!("== {}", case.name);
            match ran {
                Ok(steps) => steps.iter().for_each(|step| print!("{step}")),
                Err(error) => println!("{error:#}"),
            }
        }
    }
}

impl Outcome {
    fn summary(&self) -> String {
        format!(
            "{} commands in {} cases, {} cases differ, {} differences kept on purpose",
            self.commands,
            self.cases,
            self.failures.len(),
            self.known.iter().sum::<usize>()
        )
    }

    /// An error if a case failed, or, when `all` cases were run, if a known difference was not met.
    fn check(&self, all: bool) -> Result<()> {
        ensure!(self.failures.is_empty(), "{} cases failed", self.failures.len());
        for (known, count) in TABLE.iter().zip(&self.known) {
            ensure!(
                !all || *count > 0,
                "no case shows the kept difference \"{}\": is it gone? Then take it out of the \
                 table and of docs/wg.md",
                known.name
            );
        }
        Ok(())
    }
}
