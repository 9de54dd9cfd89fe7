//! All tests: on bytes on this machine, and on real kernels in the lab.
//!
//! They are the test `suites` of the crate `lab`, run by the ordinary harness: `cargo test -p lab
//! -- TEXT` runs the lab's tests with TEXT in their names. This verb also runs the tests that are
//! marked as ignored there: the tests of all other crates, the linters, and the budgets.

use crate::{Arch, build};
use anyhow::{Context, Result};
use std::process::ExitCode;

/// Run all tests: on bytes, and on real kernels in virtual machines
#[derive(clap::Args)]
pub struct Args {
    /// Run only the tests in the lab, on machines of this architecture, long ones included
    #[arg(long, value_enum)]
    arch: Option<Arch>,
    /// Run only these tests, on machines of every architecture
    #[arg(long, conflicts_with = "arch")]
    all_arch: bool,
    /// The router beside x86_64 to boot: `mipsel_24kc`, `armv7_hard`, `aarch64` or `all` [default: each in turn, by the
    /// number of commits]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["arch", "all_arch"])]
    machines: Option<String>,
    /// Run only the tests with this text in their names
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// The seed of all random choices
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Args {
    /// Runs the tests. The output, with the counts in its last line, is the harness's.
    pub fn run(self) -> Result<ExitCode> {
        let mut command = build::cargo();
        // With the features of all crates of the bench, whose tests are built next.
        command.arg("test").arg("--quiet").args(build::BENCH).args(["--test", "suites", "--"]);
        command.arg("--include-ignored").args(self.only);
        command.env("LAB_SEED", self.seed.to_string());
        if let Some(arch) = self.arch.map(Arch::name).or(self.all_arch.then_some("all")) {
            command.env("LAB_ARCH", arch);
        }
        if let Some(machines) = self.machines {
            command.env("LAB_MACHINES", machines);
        }
        let status = command.status().context("starting cargo")?;
        Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
