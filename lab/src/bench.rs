//! `cargo xtask bench`: measures how fast `proto-core` encodes and decodes, compared with another
//! crate and with a plain copy of the same bytes, and what our `wg` costs compared with Debian's,
//! as packaged and built like ours.
//!
//! `proto-core/benches` contains the benchmark of the codec, and checks that all contenders do the
//! same. The numbers are for people: no result is a failure.

mod ansible;
mod fleet;
mod push;
mod ways;
mod wg;

use anyhow::{Result, ensure};
use std::{path::PathBuf, process::ExitCode};
use xtask::build::cargo;

/// Measure encoding and decoding of 1,000 peers, `wg` beside Debian's, pushes on simulated lines, and fleets
#[derive(clap::Args)]
pub struct Args {
    /// Only this part
    #[arg(value_enum)]
    part: Option<Part>,
    /// The sources of wireguard-tools, where Debian's source package is not to be had
    #[arg(long, value_name = "FOLDER")]
    wg_source: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Netlink messages of 1,000 peers, encoded and decoded
    Codec,
    /// Time and bytes of pushes on simulated lines beside pasting, and to a lab machine beside OpenSSH
    Push,
    /// Fleets of 10 to 10,000 routers and 64 serial lines in memory; then OpenSSH and `postwire` on one machine
    Fleet,
    /// Instructions, memory and system calls of `wg`, in the lab
    Wg,
}

impl Args {
    pub fn run(self) -> Result<ExitCode> {
        let wants = |part| self.part.is_none_or(|only| only == part);
        if wants(Part::Codec) {
            codec()?;
        }
        if wants(Part::Push) {
            push::run()?;
        }
        if wants(Part::Fleet) {
            fleet::run()?;
        }
        if wants(Part::Wg) {
            wg::run(self.wg_source.as_deref())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn codec() -> Result<()> {
    let bench = ["bench", "--quiet", "--package", "proto-core", "--bench", "netlink"];
    let status = cargo().args(bench).status()?;
    ensure!(status.success(), "the contenders do not do the same, or do not build");
    Ok(())
}
