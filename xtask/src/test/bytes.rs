//! Tests on bytes: the workspace's own, the same for other byte orders and word sizes, the linters,
//! and a short run of every fuzz target.

use super::Tally;
use crate::build::{cargo, quietly};
use anyhow::{Result, ensure};

/// How long each fuzz target runs in the tests, in seconds.
const FUZZ: u32 = 3;

pub(super) fn run(tally: &mut Tally) {
    tally.test("the code is formatted", || {
        ensure_component("rustfmt")?;
        quietly(cargo().args(["fmt", "--all", "--check"]))?;
        Ok(String::new())
    });
    tally.test("clippy finds nothing", || {
        ensure_component("clippy")?;
        quietly(cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "--deny",
            "warnings",
        ]))?;
        Ok(String::new())
    });
    let mut counted = 0;
    tally.test("the tests of all crates", || {
        let printed = quietly(cargo().args(["test", "--workspace", "--exclude", "xtask"]))?;
        let printed = printed + &quietly(cargo().args(["test", "--package", "xtask"]))?;
        counted = count(&printed)?;
        Ok(format!("{counted} tests"))
    });
    tally.add(counted);
    //XX tally.test("proto-core for 32 bits and for the other byte order", crate::cross::run);
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
