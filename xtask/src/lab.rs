//! Verbs of the crate `lab`, which is built only when one of them is used.

use crate::build::cargo;
use anyhow::{Context, Result};
use std::{ffi::OsString, process::ExitCode};

/// Arguments passed to the lab unread, including `--help`.
#[derive(clap::Args)]
pub struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<OsString>,
}

impl Args {
    /// Runs a verb of the lab.
    pub fn run(self, verb: &str) -> Result<ExitCode> {
        let mut command = cargo();
        command.args(["run", "--quiet", "--package", "lab", "--", verb]).args(self.words);
        let status = command.status().context("starting cargo")?;
        Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
