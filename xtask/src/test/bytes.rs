//! Tests on bytes: the workspace's own, the same for other byte orders and word sizes, the linters,
//! and a short run of every fuzz target.

use super::Tally;
use crate::{
    build::{self, cargo, quietly},
    lab::Arch,
};
use anyhow::{Result, ensure};

/// How long each fuzz target runs in the tests, in seconds.
const FUZZ: u32 = 3;

pub(super) fn run(tally: &mut Tally) {
    tally.test("the code is formatted", || {
        ensure_component("rustfmt")?;
        quietly(cargo().args(["fmt", "--all", "--check"]))?;
        Ok(String::new())
    });
    // The agent by itself: beside crates that use std, cargo would give it their features.
    let agent = ["--package", "postwired"];
    let others = ["--workspace", "--exclude", "postwired"];
    let strict = ["--all-targets", "--quiet", "--", "--deny", "warnings"];
    tally.test("clippy finds nothing", || {
        ensure_component("clippy")?;
        let triple = build::triple(Arch::X86_64);
        build::ensure_target(triple)?;
        quietly(cargo().arg("clippy").args(others).args(strict))?;
        quietly(cargo().arg("clippy").args(agent).args(["--target", triple]).args(strict))?;
        Ok(String::new())
    });
    let mut counted = 0;
    tally.test("the tests of all crates", || {
        let printed = quietly(cargo().arg("test").args(others))?
            + &quietly(cargo().args(["test", "--lib"]).args(agent))?;
        counted = count(&printed)?;
        Ok(format!("{counted} tests"))
    });
    tally.add(counted);
    tally.test("proto-core for 32 bits and for the other byte order", || {
        crate::cross::run()?;
        Ok(String::new())
    });
    tally.test("fuzzing finds nothing new", || {
        let targets = crate::fuzz::run_all(FUZZ)?;
        Ok(format!("{} targets, {FUZZ} s each", targets.len()))
    });
}

/// How many tests passed, in what `cargo test` printed.
fn count(printed: &str) -> Result<usize> {
    let results = printed.lines().filter_map(|line| line.strip_prefix("test result: ok. "));
    let count = results.filter_map(|rest| rest.split(' ').next()?.parse::<usize>().ok()).sum();
    ensure!(count > 0, "cargo test ran no test");
    Ok(count)
}

fn ensure_component(name: &str) -> Result<()> {
    let list =
        quietly(std::process::Command::new("rustup").args(["component", "list", "--installed"]))?;
    if !list.lines().any(|line| line.starts_with(name)) {
        println!("installing the Rust component {name}");
        quietly(std::process::Command::new("rustup").args(["component", "add", name]))?;
    }
    Ok(())
}
