//! Tests without machines: the workspace's own tests, the same for other byte orders and word
//! sizes, the linters, and a short run of every fuzz target.

use super::{Tally, lanes::Part};
use anyhow::{Result, ensure};
use lab::{Arch, told::told};
use xtask::{
    build::{self, BENCH, cargo, quietly},
    check,
};

/// Duration of each fuzz target in the tests, in seconds, and the seed: a slow machine runs the first inputs of a fast
/// one.
const FUZZ: (u32, u32) = (1, 1);

/// Tests of which the output says how many states, orders or lines they ran.
const PROPERTIES: &[&str] = &[
    "store::commit::ownership::",
    "store::commit::edits::",
    "store::commit::going_back::",
    "requests::service::model::",
    "requests::service::fuzz::",
    "requests::service::drift::",
    "lines::",
];

type Test = fn(&Tally) -> Result<String>;

/// Run one after the other: cargo locks the folder that all of them build in.
const TESTS: &[(&str, Test)] = &[
    ("the code is formatted", formatted),
    ("clippy finds nothing", clippy),
    ("the host tool builds for macOS and Windows", |_| build::elsewhere()),
    ("proto-core builds with every feature alone and every pair", features),
    ("the documentation has no warning", |_| check::docs()),
    ("the oldest Rust that is declared builds it", |_| check::oldest()),
    ("the dependencies have licences and sources that are allowed", |_| check::dependencies(false)),
    ("the tests of all crates", crates),
    ("the tests of the libraries, built as the agent is built", as_agent),
    ("proto-core with 32 bits and the other byte order", cross),
];

/// Runs beside the others, because it builds in a folder of its own.
const FUZZING: &[(&str, Test)] = &[("fuzzing finds nothing new", fuzz)];

pub(super) fn parts() -> [Part; 2] {
    let names = |tests: &'static [(&str, Test)]| tests.iter().map(|(test, _)| (*test).to_owned());
    let run = |tally: &Tally, tests: &[(&str, Test)]| {
        tests.iter().for_each(|(test, run)| tally.test(test, || run(tally)));
    };
    let bytes = Part::new("bytes", names(TESTS), move |tally| {
        if tally.wants_all() {
            // Now, because the other lanes need it soon. A failure to build is reported there.
            let _ = build::postwire_of_tests();
        }
        run(tally, TESTS);
        Ok(())
    });
    let fuzzing = Part::new("fuzzing", names(FUZZING), move |tally| {
        run(tally, FUZZING);
        Ok(())
    });
    [bytes.ignored(), fuzzing.ignored()]
}

fn formatted(_: &Tally) -> Result<String> {
    build::ensure_component("rustfmt")?;
    quietly(cargo().args(["fmt", "--all", "--check"]))?;
    Ok(String::new())
}

fn clippy(_: &Tally) -> Result<String> {
    build::ensure_component("clippy")?;
    let triple = build::target_of(Arch::X86_64)?.triple;
    build::ensure_target(triple)?;
    let strict = ["--all-targets", "--quiet", "--", "--deny", "warnings"];
    quietly(cargo().arg("clippy").args(BENCH).args(strict))?;
    // Alone: beside crates that use std, cargo would give it their features.
    let agent = ["--package", "postwired", "--target", triple];
    quietly(cargo().arg("clippy").args(agent).args(strict))?;
    Ok(String::new())
}

/// The features of proto-core that somebody may choose.
const FEATURES: [&str; 5] = ["conf", "netlink", "protocol", "serde", "wireguard"];

fn features(_: &Tally) -> Result<String> {
    let alone = FEATURES.iter().map(|one| (*one).to_owned());
    let pairs = FEATURES.iter().enumerate().flat_map(|(nth, one)| {
        FEATURES.iter().skip(nth + 1).map(move |two| format!("{one},{two}"))
    });
    let mut sets = vec![String::new()];
    sets.extend(alone.chain(pairs));
    let core = ["--package", "proto-core", "--no-default-features", "--features"];
    for set in &sets {
        // Warnings are errors: code that no feature of the set uses belongs to another feature.
        quietly(
            cargo()
                .args(["check", "--quiet"])
                .args(core)
                .arg(set)
                .env("RUSTFLAGS", "--deny=warnings"),
        )?;
    }
    let tree = ["tree", "--edges", "normal", "--prefix", "none", "--format", "{lib}"];
    let printed = quietly(cargo().args(tree).args(core).arg("netlink"))?;
    let crates: Vec<&str> = printed.split_whitespace().collect();
    ensure!(crates == ["proto_core", "zeroize"], "with netlink alone it needs {crates:?}");
    Ok(format!("{} sets", sets.len()))
}

fn crates(tally: &Tally) -> Result<String> {
    // All crates in one command: for fewer, cargo would choose other features, and build most of them again. (The agent
    // has the features of its own build in `as_agent`.) These suites are tests of the workspace too, and run nothing
    // for `none`.
    // Most tests of the host tool wait for a router or a line, so more of them run at once than there are processors.
    let tests = ["test", "--workspace", "--", "--show-output"];
    let printed =
        quietly(cargo().args(tests).env("LAB_ARCH", "none").env("RUST_TEST_THREADS", "6"))?;
    let count = count(&printed)?;
    tally.add(count);
    told(&printed, PROPERTIES).iter().for_each(|line| println!("{line}"));
    let skipped = printed.lines().filter(|line| line.starts_with("skipped: "));
    Ok(skipped.fold(format!("{count} tests"), |all, line| format!("{all}; {line}")))
}

fn cross(tally: &Tally) -> Result<String> {
    let count = xtask::cross::run_one()?;
    tally.add(count as usize);
    Ok(format!("{count} tests"))
}

fn as_agent(tally: &Tally) -> Result<String> {
    let count = xtask::cross::as_agent()?;
    tally.add(count as usize);
    Ok(format!("{count} tests"))
}

fn fuzz(_: &Tally) -> Result<String> {
    let (seconds, seed) = FUZZ;
    let targets = xtask::fuzz::run_all(seconds, seed)?;
    Ok(format!("{} targets, {seconds} s each", targets.len()))
}

/// Number of tests that passed in the output of `cargo test`.
fn count(printed: &str) -> Result<usize> {
    let results = printed.lines().filter_map(|line| line.strip_prefix("test result: ok. "));
    let count = results.filter_map(|rest| rest.split(' ').next()?.parse::<usize>().ok()).sum();
    ensure!(count > 0, "cargo test ran no test");
    Ok(count)
}
