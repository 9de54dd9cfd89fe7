//! `cargo xtask bench`: how fast `proto-core` encodes and decodes, beside another crate and beside a
//! plain copy of the same bytes.
//!
//! What is measured, and that all contenders do the same, is in `proto-core/benches`. The numbers
//! are for people: nothing fails because it is slow.

use crate::build::cargo;
use anyhow::{Result, ensure};
use std::process::ExitCode;

/// Measure encoding and decoding of 1,000 peers
#[derive(clap::Args)]
pub(crate) struct Args {}

impl Args {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let bench = ["bench", "--quiet", "--package", "proto-core", "--bench", "netlink"];
        let status = cargo().args(bench).status()?;
        ensure!(status.success(), "the contenders do not do the same, or do not build");
        Ok(ExitCode::SUCCESS)
    }
}
