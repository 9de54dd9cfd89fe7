//! `cargo xtask cross`: runs the tests of `proto-core` on machines unlike this one: 32-bit,
//! big-endian, and both. Routers are of all these kinds, and netlink uses the machine's own byte
//! order.
//!
//! 32-bit x86 runs natively, the others under qemu-user; no test uses the kernel. `cargo xtask test` runs one of them.
//! Missing compilers and emulators are installed.

use crate::build::{cargo, code_flags, ensure_target, quietly};
use crate::packages::ensure_packages;
use anyhow::{Context, Result, ensure};
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

/// Run the tests of proto-core as 32-bit, as big-endian, and as both
#[derive(clap::Args)]
pub struct Args {}

impl Args {
    /// Runs the chore.
    pub fn run(self) -> Result<ExitCode> {
        for machine in [&MOST, &WORDS, &BYTES] {
            let (tests, took) = machine.run().context(machine.triple)?;
            let Machine { triple, what, .. } = machine;
            println!(
                "{triple:26} {what:22} {tests:>4} tests passed in {:.1} s",
                took.as_secs_f32()
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A machine for the tests.
struct Machine {
    triple: &'static str,
    /// Its difference from this machine.
    what: &'static str,
    packages: &'static [&'static str],
    linker: &'static str,
    runner: Option<&'static str>,
}

const MOST: Machine = Machine {
    triple: "powerpc-unknown-linux-gnu",
    what: "32-bit and big-endian",
    packages: &["qemu-user-static", "gcc-powerpc-linux-gnu", "libc6-dev-powerpc-cross"],
    linker: "powerpc-linux-gnu-gcc",
    runner: Some("qemu-ppc-static -L /usr/powerpc-linux-gnu"),
};

const WORDS: Machine = Machine {
    triple: "i686-unknown-linux-musl",
    what: "32-bit",
    packages: &[],
    linker: "rust-lld",
    runner: None,
};

const BYTES: Machine = Machine {
    triple: "s390x-unknown-linux-gnu",
    what: "big-endian",
    packages: &["qemu-user-static", "gcc-s390x-linux-gnu", "libc6-dev-s390x-cross"],
    linker: "s390x-linux-gnu-gcc",
    runner: Some("qemu-s390x-static -L /usr/s390x-linux-gnu"),
};

/// Number of cases of a property test; under emulation each takes ten times as long.
const PROPTEST_CASES: &str = "32";

/// Arguments that omit searches through the decisions of the agent: nine tenths of the time of its tests, because musl's
/// allocator asks the kernel for every router of a story. Decisions are the same with any compiler flag, and the tests
/// that are left run the same code.
const NO_SEARCHES: [&str; 4] = [
    "--skip",
    "service::model::whatever_happens",
    "--skip",
    "going_back::any_state_comes_back_whatever_request_is_refused",
];

/// Numbers of random stories, in place of hundreds.
const FEW_STORIES: [(&str, &str); 2] = [("POSTWIRE_STORIES", "40"), ("POSTWIRE_WALKS", "150")];

/// Runs the tests on the machine that differs most from this one. The others differ in one of the two: the lab has real
/// kernels of both kinds, mipsel and s390x. Returns the number of tests that passed.
pub fn run_one() -> Result<u32> {
    let (tests, _) = MOST.run().context(MOST.triple)?;
    Ok(tests)
}

/// The target of [`as_agent`].
const AGENT: &str = "x86_64-unknown-linux-musl";

/// Crates of the tests that no agent has: optimizing them takes longer than running them.
const ONLY_TESTS: [&str; 6] =
    ["proptest", "regex-syntax", "zerocopy", "num-traits", "simple-dns", "vt100"];

/// Runs the tests of the libraries built as the agent is built: target, flags, profile. The flags
/// have miscompiled a function once, which no test of an ordinary build can find. Returns the
/// number of tests that passed.
pub fn as_agent() -> Result<u32> {
    ensure_target(AGENT)?;
    let mut tests = 0;
    // One after the other: in one build, the agent would get the features of proto-core's own
    // tests.
    for package in ["proto-core", "postwired"] {
        let mut command = cargo();
        command.args(["test", "--profile", "agent", "--target", AGENT, "--lib"]);
        // Optimizing a test program as a whole takes longer than all the rest. The flags are for
        // the code of each function, and apply without it.
        command.args(["--config", "profile.agent.lto=false"]);
        for name in ONLY_TESTS {
            command.arg("--config").arg(format!("profile.agent.package.{name}.opt-level=0"));
        }
        // musl's allocator has one lock, and two threads would spend their time waiting for it.
        command.args(["--package", package, "--", "--test-threads=1"]);
        command.args(NO_SEARCHES).envs(FEW_STORIES);
        command.env("PROPTEST_CASES", PROPTEST_CASES);
        // In place of the flags in `.cargo/config.toml`, which also remove the unwinding that a
        // failing test needs.
        let flags: Vec<&str> = code_flags().collect();
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        tests += count(&quietly(&mut command)?)?;
    }
    Ok(tests)
}

/// Number of tests that passed, from the lines "test result: ok. 123 passed; ..." of each test
/// program.
fn count(said: &str) -> Result<u32> {
    let tests = said
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. ")?.split(' ').next())
        .filter_map(|count| count.parse::<u32>().ok())
        .sum();
    ensure!(tests > 0, "no tests ran");
    Ok(tests)
}

impl Machine {
    /// Runs the tests. Returns the number that passed, and the time without building.
    fn run(&self) -> Result<(u32, Duration)> {
        ensure_packages(self.packages)?;
        ensure_target(self.triple)?;
        let variable =
            |what| format!("CARGO_TARGET_{}_{what}", self.triple.to_uppercase().replace('-', "_"));
        let test = || {
            let mut command = cargo();
            command.args(["test", "--package", "proto-core", "--lib", "--tests"]);
            command.args(["--target", self.triple]);
            command.env("PROPTEST_CASES", PROPTEST_CASES);
            command.env_remove("UPDATE_VECTORS").env_remove("CARGO_ENCODED_RUSTFLAGS");
            // In place of the flags in `.cargo/config.toml`: those are for the agent, which cannot
            // unwind.
            command.env("RUSTFLAGS", "-Crelocation-model=static");
            for (what, value) in [("LINKER", Some(self.linker)), ("RUNNER", self.runner)] {
                if let Some(value) = value {
                    command.env(variable(what), value);
                }
            }
            command
        };
        quietly(test().arg("--no-run"))?;
        let started = Instant::now();
        let said = quietly(&mut test())?;
        let tests = count(&said)?;
        Ok((tests, started.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::workspace;

    #[test]
    fn the_flags_of_the_tests_are_those_of_the_agent() {
        let config = std::fs::read_to_string(workspace().join(".cargo/config.toml")).unwrap();
        let (_, rest) = config.split_once(&format!("[target.{AGENT}]")).unwrap();
        let flags = rest.lines().find_map(|line| line.strip_prefix("rustflags = ")).unwrap();
        for flag in code_flags() {
            assert!(flags.contains(&format!("{flag:?}")), "{flag} is not in {flags}");
        }
        assert_eq!(code_flags().filter(|flag| flag.contains("shrink-wrap")).count(), 1);
    }
}
