//! `cargo xtask powercut`: what is left of a router whose power is cut.
//!
//! Each cut ends the machine at another moment; the next machine finds the same disk. The disk is slowed
//! down, so that the moments between two of its writes are not missed.

mod changes;
mod claim;

pub(crate) use changes::changes;
pub(crate) use claim::claims;

use crate::{
    build,
    lab::{Arch, Lab},
};
use anyhow::Result;
use std::{fs, process::ExitCode};

/// Cut a router's power at many moments: while it starts, is claimed, and is given configurations
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many cuts; a fifth of them are during the first start and the claim
    #[arg(long, default_value_t = 200)]
    cuts: u32,
    /// The seed of the moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Args {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let agent = fs::read(build::agent(Arch::X86_64)?)?;
        let tool = build::postwire()?;
        let lab = Lab::prepare(Arch::X86_64)?;
        let mut show = |line: &str| println!("{line}");
        let claims = self.cuts / 5;
        let changed = changes(&lab, &agent, &tool, self.cuts - claims, self.seed, &mut show)?;
        if claims > 1 {
            println!("{}", claim::claims(&lab, &agent, &tool, claims, self.seed, &mut show)?);
        }
        println!("{changed}");
        Ok(ExitCode::SUCCESS)
    }
}
