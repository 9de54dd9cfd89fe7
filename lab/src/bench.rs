//! `cargo xtask bench`: measures how fast `proto-core` encodes and decodes, compared with another
//! crate and with a plain copy of the same bytes, and what our `wg` costs compared with Debian's,
//! as packaged and built like ours.
//!
//! `proto-core/benches` contains the benchmark of the codec, and checks that all contenders do the
//! same. The numbers are for people: no result is a failure.

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
    /// Time and bytes of pushes on simulated lines, compared with pasting the same text
    Push,
    /// Fleets of 10 to 10,000 routers in memory: time, memory and processor
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
            push()?;
        }
        if wants(Part::Fleet) {
            fleet()?;
        }
        if wants(Part::Wg) {
            wg::run(self.wg_source.as_deref())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The session of the host tool in virtual time: its cost on the line, without the router's work.
fn push() -> Result<()> {
    let test = "lines::a_push_sends_what_changed_and_takes_three_turns";
    let args = ["test", "--quiet", "--package", "postwire", "--test", "agent", test];
    let status = cargo().args(args).args(["--", "--exact", "--nocapture"]).status()?;
    ensure!(status.success(), "a push is slower than it should be, or does not build");
    Ok(())
}

/// `postwire fleet` over the real agent in memory, beside a loop of `postwire push`.
fn fleet() -> Result<()> {
    let args = ["test", "--quiet", "--package", "postwire", "--test", "agent", "real::numbers"];
    let status = cargo().args(args).args(["--", "--exact", "--ignored", "--nocapture"]).status()?;
    ensure!(status.success(), "a fleet fails, or does not build");
    Ok(())
}

fn codec() -> Result<()> {
    let bench = ["bench", "--quiet", "--package", "proto-core", "--bench", "netlink"];
    let status = cargo().args(bench).status()?;
    ensure!(status.success(), "the contenders do not do the same, or do not build");
    Ok(())
}
