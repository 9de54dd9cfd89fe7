//! Power cuts while a configuration is changed, confirmed, reverted, rolled back, removed, or
//! applied at the start. Afterwards the router must have the old or the new configuration, nothing
//! between, and the new one if the operator had been told of success.

use super::victim::{Count, JOBS, Targets, Victim};
use crate::{Lab, routers::Keeper};
use anyhow::{Context, Result, ensure};
use std::{collections::BTreeMap, fmt, path::Path, time::Duration};

/// One cut in this many comes at a random time, and not at a step.
const TIMED: u32 = 8;

/// The results of all cuts.
#[derive(Default)]
pub struct Tally {
    jobs: [Count; JOBS.len()],
    /// Number of cuts at each step of the agent.
    steps: BTreeMap<&'static str, u32>,
}

impl Tally {
    fn sum(&self, of: fn(&Count) -> u32) -> u32 {
        self.jobs.iter().map(of).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tried, lost) = (self.sum(|count| count.tried), self.sum(|count| count.lost));
        write!(f, "{tried} cuts, {lost} lost")?;
        for (job, Count { tried, old, new, told, .. }) in JOBS.iter().zip(&self.jobs) {
            write!(
                f,
                "; {}: {tried} cuts, {old} left the old, {new} the new ({told} told)",
                job.name
            )?;
        }
        f.write_str("; by step")?;
        self.steps.iter().try_for_each(|(step, count)| write!(f, ", {step}: {count}"))
    }
}

/// Cuts the power `cuts` times. `show` gets a line for each cut.
pub fn changes(
    lab: &Lab,
    agent: &[u8],
    tool: &Path,
    cuts: u32,
    seed: u64,
    show: &mut dyn FnMut(&str),
) -> Result<Tally> {
    let disk = lab.disk("cut")?;
    let keeper = Keeper::boot_with(lab, "cut", &disk, agent, tool, seed)?;
    let mut victim = Victim::new(keeper, seed)?;
    // Runs each job once without a cut, to learn its steps.
    let mut targets: Vec<Targets> = Vec::new();
    for job in &JOBS {
        let calls = victim.targets(job).with_context(|| format!("{} without a cut", job.name))?;
        let steps: Vec<String> =
            calls.iter().map(|(step, calls)| format!("{step} {}", calls.len())).collect();
        show(&format!("calls of {}: {}", job.name, steps.join(", ")));
        targets.push(calls);
    }
    let mut tally = Tally::default();
    for cut in 0..cuts {
        let timed = cut % TIMED == TIMED - 1;
        let (nth, aim) = match aim(&mut victim, &targets, &tally) {
            Some(aim) if !timed => aim,
            _ => (cut as usize % JOBS.len(), None),
        };
        let job = &JOBS[nth];
        tally.jobs[nth].tried += 1;
        let count = &mut tally.jobs[nth];
        let cut_off = match &aim {
            Some((call, at)) => victim.cut_at(job, (call, *at), count),
            None => {
                let after = Duration::from_secs_f64(victim.rng.unit());
                victim.cut(job, Some(after), count).map(|found| ("at a random time", found))
            }
        };
        let found = match cut_off {
            Ok((step, found)) => {
                *tally.steps.entry(step).or_default() += 1;
                format!("{step}: {found}")
            }
            Err(error) => {
                tally.jobs[nth].lost += 1;
                let lost = format!("LOST: {error:#}");
                let again = victim.keeper.cut_power().and_then(|()| victim.begin());
                again.with_context(|| format!("restarting after {lost}"))?;
                lost
            }
        };
        let when = aim.map_or_else(String::new, |(call, at)| format!(", after {call} {at}"));
        show(&format!("cut {} of {}{when}: {found}", cut + 1, job.name));
    }
    ensure!(tally.sum(|count| count.lost) == 0, "seed {seed}: {tally}");
    Ok(tally)
}

/// A call of one of the least tested steps, and its job.
fn aim(
    victim: &mut Victim<'_>,
    targets: &[Targets],
    tally: &Tally,
) -> Option<(usize, Option<(String, usize)>)> {
    let hit = |step: &str| tally.steps.get(step).copied().unwrap_or(0);
    let all = || {
        targets
            .iter()
            .enumerate()
            .flat_map(|(job, steps)| steps.iter().map(move |(step, calls)| (job, *step, calls)))
    };
    let least = all().map(|(_, step, _)| hit(step)).min()?;
    let mut some: Vec<_> = all().filter(|(_, step, _)| hit(step) == least).collect();
    let (job, _, calls) = some.swap_remove(victim.rng.next() as usize % some.len());
    let call = calls.get(victim.rng.next() as usize % calls.len())?;
    Some((job, Some(call.clone())))
}
