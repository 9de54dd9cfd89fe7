//! `cargo xtask bench push`: pushes on simulated lines in virtual time, then `postwire push` beside OpenSSH on a lab
//! machine.

use super::ways::{self, Way, Ways, shell};
use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use std::time::Duration;
use xtask::build::{self, cargo};

const PEERS: [u32; 3] = [10, 100, 1_000];
/// Runs of each case; the table has the median.
const RUNS: usize = 5;

pub(super) fn run() -> Result<()> {
    on_lines()?;
    beside_ssh()
}

/// The session of the host tool in virtual time: its cost on the line, without the router's work.
fn on_lines() -> Result<()> {
    let test = "lines::a_push_sends_what_changed_and_takes_three_turns";
    let args = ["test", "--quiet", "--package", "postwire", "--test", "agent", test];
    let status = cargo().args(args).args(["--", "--exact", "--nocapture"]).status()?;
    ensure!(status.success(), "a push is slower than it should be, or does not build");
    Ok(())
}

fn beside_ssh() -> Result<()> {
    let (lab, tool) = (ways::prepare()?, build::postwire_released()?);
    let ways = Ways::boot(&lab, &tool, "push-bench")?;
    println!(
        "\n| peers | way | fresh | unchanged | one changed | bytes: fresh | unchanged | one changed |"
    );
    println!("|--:|---|--:|--:|--:|--:|--:|--:|");
    for peers in PEERS {
        let base = ways::config(&mut Rng::with_seed(1), peers, 51_820);
        let mut changed = base.clone();
        let peer = changed.peers.values_mut().nth(peers as usize / 2).context("no peer")?;
        peer.persistent_keepalive = 17;
        ways.write("base", &base)?;
        ways.write("changed", &changed)?;
        let mut costs = [const { [const { Vec::new() }; 3] }; 3];
        // In turns, so that a busy moment of this machine does not count against one of them.
        for _ in 0..RUNS {
            for (way, costs) in Way::ALL.into_iter().zip(&mut costs) {
                ways.empty()?;
                for (name, costs) in ["base", "base", "changed"].into_iter().zip(costs) {
                    costs.push(ways.measure(&mut shell(&ways.command(way, "wg0", name)?))?);
                }
            }
        }
        for (way, costs) in Way::ALL.into_iter().zip(&costs) {
            let time = costs.each_ref().map(|costs| {
                let mut times: Vec<Duration> = costs.iter().map(|cost| cost.time).collect();
                times.sort();
                format!("{:.2} s", times.get(RUNS / 2).copied().unwrap_or_default().as_secs_f32())
            });
            let bytes = costs.each_ref().map(|costs| {
                let mut bytes: Vec<u64> = costs.iter().map(|cost| cost.bytes).collect();
                bytes.sort();
                bytes.get(RUNS / 2).copied().unwrap_or_default()
            });
            let [fresh, unchanged, one] = time;
            let [a, b, c] = bytes;
            println!(
                "| {peers} | {} | {fresh} | {unchanged} | {one} | {a} | {b} | {c} |",
                way.name()
            );
        }
    }
    Ok(())
}
