//! What is left of a configuration when the power is cut while it is changed, confirmed, taken back, rolled
//! back, removed, or applied at the start: the one there was before or the new one, nothing between, and the
//! new one if the operator had been told so.

use super::victim::{Count, JOBS, Victim};
use crate::{lab::Lab, test::keeper::Keeper};
use anyhow::{Context, Result, ensure};
use std::{fmt, path::Path};

/// How slow the disk is: storing a configuration takes about half a second.
const WRITES_A_SECOND: u32 = 8;

/// What came of all cuts.
#[derive(Default)]
pub(crate) struct Tally([Count; JOBS.len()]);

impl Tally {
    fn sum(&self, of: fn(&Count) -> u32) -> u32 {
        self.0.iter().map(of).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tried, lost) = (self.sum(|count| count.tried), self.sum(|count| count.lost));
        write!(f, "{tried} cuts, {lost} lost")?;
        for (job, Count { tried, old, new, told, .. }) in JOBS.iter().zip(&self.0) {
            write!(
                f,
                "; {}: {tried} cuts, {old} left the old, {new} the new ({told} told)",
                job.name
            )?;
        }
        Ok(())
    }
}

/// Cuts the power `cuts` times. `show` gets a line for each.
pub(crate) fn changes(
    lab: &Lab,
    agent: &[u8],
    tool: &Path,
    cuts: u32,
    seed: u64,
    show: &mut dyn FnMut(&str),
) -> Result<Tally> {
    let disk = lab.disk("cut")?.slow(WRITES_A_SECOND);
    let keeper = Keeper::boot_with(lab, "cut", &disk, agent, tool, seed)?;
    let mut victim = Victim::new(keeper, seed)?;
    // Each once without a cut, to know how long it takes.
    let mut whole = Vec::new();
    for job in &JOBS {
        let took = victim.uncut(job).with_context(|| format!("{} without a cut", job.name))?;
        show(&format!("{} takes {:.2} s", job.name, took.as_secs_f32()));
        whole.push(took + job.beyond);
    }
    let mut tally = Tally::default();
    let rounds = cuts.div_ceil(JOBS.len() as u32);
    for cut in 0..cuts {
        let (nth, round) = (cut as usize % JOBS.len(), cut / JOBS.len() as u32);
        let part = (f64::from(round) + victim.rng.unit()) / f64::from(rounds);
        // In the last round, as soon as it is done.
        let last = round + 1 == rounds && rounds > 1;
        let after = (!last).then(|| whole[nth].mul_f64(part));
        let when = after.map_or_else(
            || "as soon as it was done".to_owned(),
            |after| format!("after {:.2} s", after.as_secs_f32()),
        );
        let (job, count) = (&JOBS[nth], &mut tally.0[nth]);
        count.tried += 1;
        let found = match victim.cut(job, after, count) {
            Ok(found) => found.to_owned(),
            Err(error) => {
                count.lost += 1;
                let lost = format!("LOST: {error:#}");
                let again = victim.keeper.cut_power().and_then(|()| victim.begin());
                again.with_context(|| format!("beginning anew after {lost}"))?;
                lost
            }
        };
        show(&format!("cut {} of {}, {when}: {found}", cut + 1, job.name));
    }
    ensure!(tally.sum(|count| count.lost) == 0, "seed {seed}: {tally}");
    // Otherwise the moments were none to speak of.
    let [push, ..] = &tally.0;
    ensure!(
        rounds < 3 || (push.old > 0 && push.new > 0),
        "all came too early or too late: {tally}"
    );
    Ok(tally)
}
