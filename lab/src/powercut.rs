//! `cargo xtask powercut`: checks the state of a router after power cuts.
//!
//! Most cuts are aimed at a step of a change: strace stops the agent right after one of its system
//! calls, and the power is cut while it stands still. The other cuts come at a random time. The
//! next machine starts with the same disk.

mod changes;
mod claim;
mod kills;
mod steps;
mod victim;

pub use changes::changes;
pub use claim::claims;
pub use kills::kills;

use crate::{Arch, Lab};
use anyhow::Result;
use std::{fs, process::ExitCode, time::Duration};
use xtask::build;

/// Cut a router's power at many moments: while it starts, is claimed, and receives configurations
#[derive(clap::Args)]
pub struct Args {
    /// Number of cuts; a fifth of them are during the first start and the claim. From 300 on, each step of a change gets
    /// at least ten, if need be by up to 100 more
    #[arg(long, default_value_t = 300)]
    cuts: u32,
    /// Only the cuts during the first start and the claim
    #[arg(long)]
    claims: bool,
    /// Seconds for which to kill the agent repeatedly during a stream of changes, after the cuts
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    kills: u64,
    /// The seed of the moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Args {
    pub fn run(self) -> Result<ExitCode> {
        let agent = fs::read(build::agent(Arch::X86_64)?)?;
        let tool = build::postwire()?;
        let lab = Lab::prepare(Arch::X86_64)?;
        let mut show = |line: &str| println!("{line}");
        let first = if self.claims { self.cuts } else { self.cuts / 5 };
        let rest = self.cuts - first;
        let changed = (rest > 0)
            .then(|| changes(&lab, &agent, &tool, rest, self.seed, &mut show))
            .transpose()?;
        if first > 1 {
            println!("{}", claims(&lab, &agent, &tool, first, self.seed, &mut show)?);
        }
        if let Some(changed) = changed {
            println!("{changed}");
        }
        if self.kills > 0 {
            let time = Duration::from_secs(self.kills);
            println!("{}", kills(&lab, &agent, &tool, time, self.seed)?);
        }
        Ok(ExitCode::SUCCESS)
    }
}
