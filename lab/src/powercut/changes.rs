//! Power cuts while a configuration is changed, confirmed, reverted, rolled back, removed, or
//! applied at the start. Afterwards the router must have the old or the new configuration, nothing
//! between, and the new one if the operator had been told of success.

use super::victim::{Count, JOBS, Targets, Victim};
use crate::{Lab, routers::Keeper};
use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    time::Duration,
};

/// One cut in this many comes at a random time, and not at a step.
const TIMED: u32 = 8;
/// From this number of cuts on, every step gets [`EACH`].
const MANY: u32 = 240;
/// The least number of cuts at each step of a long run.
const EACH: u32 = 10;
/// The most cuts that a long run makes beyond those that were asked for.
const MORE: u32 = 100;

/// The results of all cuts.
#[derive(Default)]
pub struct Tally {
    jobs: [Count; JOBS.len()],
    /// Number of cuts at each step of the agent.
    steps: BTreeMap<&'static str, u32>,
    /// Number of cuts that were aimed at each step. A few come at another one.
    aimed: BTreeMap<&'static str, u32>,
}

impl Tally {
    fn sum(&self, of: fn(&Count) -> u32) -> u32 {
        self.jobs.iter().map(of).sum()
    }

    /// Number of cuts at a step.
    fn at(&self, step: &str) -> u32 {
        self.steps.get(step).copied().unwrap_or(0)
    }

    /// Number of cuts at a step, or a third of those that were aimed at it: a step that is missed again and again leaves
    /// cuts for the others.
    fn tested(&self, step: &str) -> u32 {
        self.at(step).max(self.aimed.get(step).copied().unwrap_or(0) / 3)
    }

    /// The steps that have too few cuts for a long run.
    fn rare(&self, targets: &[Targets]) -> Vec<&'static str> {
        let rare = targets.iter().flat_map(BTreeMap::keys).filter(|step| self.at(step) < EACH);
        BTreeSet::from_iter(rare.copied()).into_iter().collect()
    }

    /// Fails if a long run has too few cuts at a step.
    fn is_enough(&self, cuts: u32, targets: &[Targets]) -> Result<()> {
        let rare = self.rare(targets);
        ensure!(
            cuts < MANY || rare.is_empty(),
            "fewer than {EACH} cuts at these steps: {}",
            rare.join(", ")
        );
        Ok(())
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

/// Cuts the power `cuts` times, and in a long run until every step has [`EACH`] cuts. `show` gets a line for each cut.
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
    let steps = targets.iter().flat_map(BTreeMap::keys);
    tally.steps.extend(steps.map(|step| (*step, 0)));
    let mut cut = 0;
    while let Some((nth, aim)) = next(&mut victim.rng, (cut, cuts), &targets, &tally) {
        cut += 1;
        let job = &JOBS[nth];
        tally.jobs[nth].tried += 1;
        let count = &mut tally.jobs[nth];
        let cut_off = match &aim {
            Some(Aim { step, call: (call, at) }) => {
                *tally.aimed.entry(step).or_default() += 1;
                victim.cut_at(job, (call, *at), count)
            }
            None => {
                let after = Duration::from_secs_f64(victim.rng.f64());
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
        let when = aim.map_or_else(String::new, |Aim { call: (call, at), .. }| {
            format!(", after {call} {at}")
        });
        show(&format!("cut {cut} of {}{when}: {found}", job.name));
    }
    ensure!(tally.sum(|count| count.lost) == 0, "seed {seed}: {tally}");
    tally.is_enough(cuts, &targets).with_context(|| format!("seed {seed}: {tally}"))?;
    Ok(tally)
}

/// A step, and the call of the agent after which the power is cut: its name, and its count among calls of that name.
struct Aim {
    step: &'static str,
    call: (String, usize),
}

/// The job and the aim of the next cut, after `cut` cuts of `cuts`; without an aim it comes at a random time. `None` after
/// the last one.
fn next(
    rng: &mut Rng,
    (cut, cuts): (u32, u32),
    targets: &[Targets],
    tally: &Tally,
) -> Option<(usize, Option<Aim>)> {
    let more = cut >= cuts;
    if more && (cuts < MANY || cut >= cuts + MORE || tally.rare(targets).is_empty()) {
        return None;
    }
    let timed = !more && cut % TIMED == TIMED - 1;
    // Beyond the cuts that were asked for, only steps that lack some are aimed at.
    let wanted = |step: &str| !more || tally.at(step) < EACH;
    let aimed = if timed { None } else { aim(rng, targets, tally, wanted) };
    let at_any_time = (cut as usize % JOBS.len(), None);
    Some(aimed.map_or(at_any_time, |(job, aim)| (job, Some(aim))))
}

/// A call of one of the least tested steps that are wanted, and its job.
fn aim(
    rng: &mut Rng,
    targets: &[Targets],
    tally: &Tally,
    wanted: impl Fn(&str) -> bool,
) -> Option<(usize, Aim)> {
    let all = || {
        targets
            .iter()
            .enumerate()
            .flat_map(|(job, steps)| steps.iter().map(move |(step, calls)| (job, *step, calls)))
            .filter(|(_, step, _)| wanted(step))
    };
    let least = all().map(|(_, step, _)| tally.tested(step)).min()?;
    let mut some: Vec<_> = all().filter(|(_, step, _)| tally.tested(step) == least).collect();
    let (job, step, calls) = some.swap_remove(rng.usize(..some.len()));
    let call = calls.get(rng.usize(..calls.len()))?.clone();
    Some((job, Aim { step, call }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [&str; 20] = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r",
        "s", "t",
    ];

    /// Each step is one of three jobs.
    fn targets() -> Vec<Targets> {
        let of = |job: usize| {
            let steps =
                STEPS.iter().enumerate().filter(move |(nth, _)| (nth + job).is_multiple_of(3));
            steps.map(|(_, step)| (*step, vec![((*step).to_owned(), job)])).collect()
        };
        (0..3).map(of).collect()
    }

    /// Cuts where each lands at the step that `lands` makes of the one aimed at. Returns the number of cuts.
    fn run(
        cuts: u32,
        lands: impl Fn(&mut Rng, &'static str) -> &'static str,
    ) -> (Tally, u32, Result<()>) {
        let (targets, mut rng, mut tally, mut cut) =
            (targets(), Rng::with_seed(cuts.into()), Tally::default(), 0);
        while let Some((_, aim)) = next(&mut rng, (cut, cuts), &targets, &tally) {
            cut += 1;
            let step = aim.map_or("at a random time", |Aim { step, .. }| {
                *tally.aimed.entry(step).or_default() += 1;
                lands(&mut rng, step)
            });
            *tally.steps.entry(step).or_default() += 1;
        }
        let enough = tally.is_enough(cuts, &targets);
        (tally, cut, enough)
    }

    #[test]
    fn a_long_run_cuts_at_every_step_ten_times() {
        // One in four comes at another step, as when the agent makes other calls than it did.
        let lands = |rng: &mut Rng, step| match rng.u64(..4) {
            0 => "a",
            _ => step,
        };
        for cuts in [MANY, 300, 1_000] {
            let (tally, made, enough) = run(cuts, lands);
            enough.unwrap();
            assert!(STEPS.iter().all(|step| tally.at(step) >= EACH), "{:?}", tally.steps);
            assert!((cuts..=cuts + MORE).contains(&made), "{made} of {cuts}");
            assert_eq!(tally.at("at a random time"), cuts / TIMED);
        }
        // The first cuts alone are too few.
        assert!(run(MANY, lands).1 > MANY);
        // Two steps that few configurations have are missed four times of five.
        let lands = |rng: &mut Rng, step| match step {
            "f" | "g" if rng.u64(..5) > 0 => "h",
            _ => step,
        };
        let (tally, _, enough) = run(300, lands);
        enough.unwrap_or_else(|error| panic!("{error}: {:?}", tally.steps));
    }

    #[test]
    fn a_short_run_makes_the_cuts_that_were_asked_for() {
        for cuts in [1, 12, MANY - 1] {
            let (_, made, enough) = run(cuts, |_, step| step);
            enough.unwrap();
            assert_eq!(made, cuts);
        }
    }

    #[test]
    fn a_step_that_no_cut_meets_fails_a_long_run_with_its_name() {
        let (_, made, enough) = run(MANY, |_, step| if step == "g" { "h" } else { step });
        assert_eq!(made, MANY + MORE);
        assert_eq!(enough.unwrap_err().to_string(), "fewer than 10 cuts at these steps: g");
    }
}
