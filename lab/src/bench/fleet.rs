//! `cargo xtask bench fleet`: fleets and lines of routers in memory, then twenty units on a lab machine by `postwire`,
//! OpenSSH through GNU parallel, and Ansible. A unit is an interface here, so that all of them meet the same kernel.

use super::ansible;
use super::ways::{self, Cost, Way, Ways, shell};
use crate::routers::Config;
use anyhow::{Result, ensure};
use fastrand::Rng;
use std::{fmt::Write as _, fs, process::Command};
use xtask::{
    build::{self, cargo},
    packages::ensure_packages,
};

const UNITS: u32 = 20;
const PEERS: u32 = 10;

pub(super) fn run() -> Result<()> {
    let args = ["test", "--quiet", "--package", "postwire", "--test", "agent", "numbers::"];
    let options = ["--", "--ignored", "--nocapture", "--test-threads=1"];
    let status = cargo().args(args).args(options).status()?;
    ensure!(status.success(), "a fleet fails, or does not build");
    side_by_side()
}

fn side_by_side() -> Result<()> {
    ensure_packages(&["parallel"])?;
    let (lab, tool) = (ways::prepare()?, build::postwire_released()?);
    let ways = Ways::boot(&lab, &tool, "fleet-bench")?;
    let mut rng = Rng::with_seed(1);
    let configs: Vec<Config> = (0..UNITS)
        .map(|nth| ways::config(&mut rng, PEERS, 51_820 + u16::try_from(nth).unwrap_or(0)))
        .collect();
    for (nth, config) in configs.iter().enumerate() {
        ways.write(&format!("u{nth}"), config)?;
    }
    println!("\n{UNITS} units of {PEERS} peers, one after the other:");
    println!("| way | time a unit | bytes a unit | again, unchanged | bytes a unit |");
    println!("|---|--:|--:|--:|--:|");
    for way in Way::ALL {
        let mut commands = String::new();
        for nth in 0..UNITS {
            writeln!(commands, "{}", ways.command(way, &format!("wg{nth}"), &format!("u{nth}"))?)?;
        }
        let file = ways.folder.join("commands");
        fs::write(&file, commands)?;
        let line = format!("parallel --will-cite --halt now,fail=1 -j 1 <{}", file.display());
        row(&ways, &format!("{}, GNU parallel", way.name()), || shell(&line))?;
    }
    row(&ways, "Ansible, `wg syncconf` in a `raw` task", ansible::play(&ways, UNITS)?)
}

/// Measures a run over all units, and the same run again.
fn row(ways: &Ways<'_>, name: &str, command: impl Fn() -> Command) -> Result<()> {
    ways.empty()?;
    let first = ways.measure(&mut command())?;
    let shown = ways.router.vm.sh("wg show all peers | wc -l")?.ok()?.text();
    ensure!(shown.trim() == (UNITS * PEERS).to_string(), "{name}: {shown} peers");
    let again = ways.measure(&mut command())?;
    let unit = |Cost { time, bytes }: Cost| {
        format!("{:.2} s | {}", time.as_secs_f32() / UNITS as f32, bytes / u64::from(UNITS))
    };
    println!("| {name} | {} | {} |", unit(first), unit(again));
    Ok(())
}
