//! `cargo xtask wg-diff`: our `wg` (the agent, called by that name) against Debian's, in the lab.
//!
//! The same scripts run on both sides, in two identical machines, and after every command the two
//! sides are compared: exit status, standard output, presence of output on standard error, and the
//! state of the kernel ([`compare`]). The scripts are those under `cases/`, and generated ones
//! ([`generate`]). A table lists the deliberate differences ([`known`]).

mod broken;
mod case;
mod compare;
mod generate;
mod keys;
mod known;
mod run;

use crate::{Arch, Lab, Vm};
use anyhow::{Result, anyhow, ensure};
use case::Case;
use known::TABLE;
use run::Ran;
use std::{
    fs,
    process::ExitCode,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};
use xtask::build;

/// Compare our `wg` with Debian's: run the same commands and compare all their effects
#[derive(clap::Args)]
pub struct Args {
    /// Number of generated cases, in addition to the written ones
    #[arg(long, default_value_t = 300)]
    cases: u32,
    /// The seed of the generated cases; by default another one in every run
    #[arg(long)]
    seed: Option<u64>,
    /// Run only the cases with this text in their names
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Compare Debian's wg with itself: differences are then not caused by ours
    #[arg(long)]
    itself: bool,
    /// Print the effects of every command with Debian's wg
    #[arg(long)]
    show: bool,
}

impl Args {
    pub fn run(self) -> Result<ExitCode> {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let seed = self.seed.unwrap_or_else(clock);
        let all = self.only.is_none() && !self.itself;
        let mut cases = cases(seed, self.cases);
        if let Some(only) = &self.only {
            cases.retain(|case| case.name.contains(only.as_str()));
            ensure!(!cases.is_empty(), "no case has {only:?} in its name");
        }
        println!("seed {seed}, {} cases", cases.len());
        let sides = Sides::run(&Bench::boot(self.itself)?, &cases)?;
        if self.show {
            sides.show(&cases);
        }
        // Debian's wg prints input that it could not read, even a key.
        let secrets = if self.itself { Vec::new() } else { keys::secrets() };
        let outcome = sides.compare(&cases, &secrets);
        let met = TABLE.iter().zip(&outcome.known).filter(|(_, count)| **count > 0);
        for (known, count) in met {
            println!("kept {}: {count} times ({})", known.name, known.reason);
        }
        let passed = outcome.check(all);
        if let Err(error) = &passed {
            println!("{error:#}");
        }
        println!("seed {seed}: {}", outcome.summary());
        Ok(if passed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Runs the written cases and `count` generated ones, and fails where our `wg` differs.
pub fn same(bench: &Bench, seed: u64, count: u32) -> Result<String> {
    let cases = cases(seed, count);
    let outcome = Sides::run(bench, &cases)?.compare(&cases, &keys::secrets());
    outcome.check(true)?;
    Ok(format!("seed {seed}: {}", outcome.summary()))
}

/// The same on one machine with both, with every `step`th case written by hand and `count` generated ones.
pub fn piece(vm: &Vm, seed: u64, step: usize, count: u32) -> Result<String> {
    prepare(vm, "/bin/postwired")?;
    let mut cases: Vec<Case> = case::fixed().into_iter().step_by(step).collect();
    cases.retain(|case| !case.is_of_tunnel());
    cases.extend((0..count).map(|number| generate::case(seed, number)));
    let debian = run::side(vm, "debian", &cases)?;
    let ours = run::side(vm, "ours", &cases)?;
    let outcome = Sides { debian, ours }.compare(&cases, &keys::secrets());
    outcome.check(false)?;
    Ok(format!("seed {seed}: {}", outcome.summary()))
}

/// Checks that faults in a `wg` are found.
pub fn broken(bench: &Bench) -> Result<String> {
    broken::check(&bench.ours)
}

/// The written cases, and `count` generated ones.
fn cases(seed: u64, count: u32) -> Vec<Case> {
    let mut cases = case::fixed();
    cases.extend((0..count).map(|number| generate::case(seed, number)));
    cases.sort_by_key(Case::is_of_tunnel);
    cases
}

/// Two identical machines, each with both programs: `/diff/debian` and `/diff/ours` contain a `wg`.
pub struct Bench {
    debian: Vm,
    ours: Vm,
}

impl Bench {
    /// Boots both side by side: most of a boot, and of a run, is waiting for one processor.
    pub fn boot(itself: bool) -> Result<Self> {
        let lab = Lab::prepare(Arch::X86_64)?;
        let agent = if itself { Vec::new() } else { fs::read(build::agent(lab.arch())?)? };
        let ours = if itself { "/usr/bin/wg" } else { "/bin/postwired" };
        let boot = |name| -> Result<Vm> {
            let machine = lab.machine(name).with_wireguard_tools();
            let vm = machine.file("/bin/postwired", 0o755, agent.as_slice()).boot()?;
            prepare(&vm, ours)?;
            Ok(vm)
        };
        let (debian, ours) = both(|| boot("debian"), || boot("ours"))?;
        Ok(Self { debian, ours })
    }
}

/// Puts both programs into a machine: `/diff/debian/wg` and `/diff/ours/wg`.
fn prepare(vm: &Vm, ours: &str) -> Result<()> {
    vm.sh(&format!(
        "mkdir -p /diff/debian /diff/ours && ln -sf /usr/bin/wg /diff/debian/wg && \
         ln -sf {ours} /diff/ours/wg && {{ [ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd; }} && \
         ln -sf fd/0 /dev/stdin && ln -sf fd/1 /dev/stdout && \
         printf 'nameserver 127.0.0.1\\noptions timeout:1 attempts:1\\n' >/etc/resolv.conf"
    ))?
    .ok()?;
    Ok(())
}

/// Runs two functions at the same time.
fn both<T: Send>(
    one: impl FnOnce() -> Result<T> + Send,
    other: impl FnOnce() -> Result<T>,
) -> Result<(T, T)> {
    thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        let one = one.join().map_err(|_| anyhow!("a thread of wg-diff died"))?;
        Ok((one?, other?))
    })
}

/// The results of each case on both sides.
struct Sides {
    debian: Vec<Ran>,
    ours: Vec<Ran>,
}

impl Sides {
    fn run(bench: &Bench, cases: &[Case]) -> Result<Self> {
        // The tunnel and its counters are the same for both only in one machine.
        let apart = cases.partition_point(|case| !case.is_of_tunnel());
        let (cases, tunnel) = cases.split_at(apart);
        let (mut debian, mut ours) = both(
            || run::side(&bench.debian, "debian", cases),
            || run::side(&bench.ours, "ours", cases),
        )?;
        if !tunnel.is_empty() {
            run::make_tunnel(&bench.ours)?;
            debian.extend(run::side(&bench.ours, "debian", tunnel)?);
            ours.extend(run::side(&bench.ours, "ours", tunnel)?);
        }
        Ok(Self { debian, ours })
    }

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

/// The result of a run.
struct Outcome {
    cases: usize,
    commands: usize,
    /// How often each of the known differences occurred.
    known: Vec<usize>,
    failures: Vec<(String, String)>,
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

    /// An error if a case failed, or, if `all` cases were run, if a known difference did not occur.
    fn check(&self, all: bool) -> Result<()> {
        let failures: Vec<String> =
            self.failures.iter().map(|(case, failure)| format!("FAIL {case}: {failure}")).collect();
        ensure!(failures.is_empty(), "{}", failures.join("\n"));
        for (known, count) in TABLE.iter().zip(&self.known) {
            ensure!(
                !all || *count > 0,
                "no case shows the kept difference \"{}\": if it is gone, remove it from the \
                 table and of docs/wg.md",
                known.name
            );
        }
        Ok(())
    }
}
