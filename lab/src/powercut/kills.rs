//! An agent that is killed and restarted on a machine that keeps running: an unfinished change in
//! the kernel must be reverted, and no file or lock may be left over.

use super::victim::{Count, JOBS, Job, Makes, Victim, cut_short};
use crate::{
    Lab,
    routers::{EMPTY, KEEP, Keeper, STATE},
};
use anyhow::{Context, Result, ensure};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Longest time in seconds before a job is interrupted.
const LONGEST: f64 = 0.25;
/// The same if no change succeeds.
const PATIENCE: f64 = 10.0;

/// Kills an agent during a stream of changes for this time, and at least once in each job. Returns
/// a summary. If no change has succeeded by then, the machine is slow, and the test continues with
/// longer times.
pub fn kills(lab: &Lab, agent: &[u8], tool: &Path, time: Duration, seed: u64) -> Result<String> {
    let keeper = Keeper::boot(lab, "killed", agent, tool, seed)?;
    let mut victim = Victim::new(keeper, seed)?;
    let mut count = Count::default();
    let (begun, mut longest) = (Instant::now(), LONGEST);
    loop {
        let (over, tried) = (begun.elapsed() >= time, count.tried as usize);
        if over && tried >= JOBS.len() {
            if count.told > 0 || longest > PATIENCE {
                break;
            }
            longest *= 1.2;
        }
        let job = &JOBS[tried % JOBS.len()];
        let after = Duration::from_secs_f64(victim.rng.f64() * longest);
        count.tried += 1;
        victim.kill(job, after, &mut count).with_context(|| {
            let after = after.as_secs_f32();
            format!("kill {} of seed {seed}, {after:.2} s into {}", count.tried, job.name)
        })?;
    }
    let Count { tried, old, new, told, .. } = count;
    ensure!(tried > 0 && told > 0, "no change came through: {count:?}");
    Ok(format!(
        "{tried} kills in {} s: {old} left the old configuration, {new} the new one ({told} told), none \
         anything else, a lock, a file or an interface",
        begun.elapsed().as_secs()
    ))
}

const KILL: &str =
    "killall -9 postwired; while pidof postwired >/dev/null; do usleep 10000; done; true";

impl Victim<'_> {
    /// Kills the agent in the middle of a job, sometimes once more during its start, and checks the
    /// state.
    fn kill(&mut self, job: &Job, after: Duration, count: &mut Count) -> Result<()> {
        let new = self.ready(job)?;
        let expected = self.outcome(job, &new);
        let told = match self.start(job)? {
            None => {
                self.keeper.sh(&format!("{KILL}; {EMPTY}"))?;
                self.die_young(after)?;
                false
            }
            Some(tool) => cut_short(tool, Some(after), || self.keeper.sh(KILL).map(|_| ()))?,
        };
        if self.rng.f64() < 0.3 {
            let after = Duration::from_secs_f64(self.rng.f64() * 0.2);
            self.die_young(after)?;
        }
        self.keeper.start()?;
        // If a change leaves the configuration the same, the host tool's result promises nothing.
        let told = told && job.makes != Makes::Same;
        self.left(job, told, expected, count)?;
        // Five configurations are kept, and a sixth until the next one is stored if the agent was
        // killed just before removing it.
        let lying = self.keeper.sh(&format!(
            "ls {KEEP}/next {KEEP}/new {STATE}/next 2>/dev/null; \
             [ $(ls {KEEP}/wg0.* | wc -l) -le 6 ] || ls {KEEP}; wg show interfaces | tr ' ' '\\n' | grep -v wg0; true"
        ))?;
        ensure!(lying.is_empty(), "left lying about: {lying}");
        let owners = self.keeper.ask(&["owners"])?.ok()?;
        let ours = owners.text("/result/owners/0/public_key") == self.keeper.router.owner.key();
        ensure!(ours && owners.json.pointer("/result/owners/1").is_none(), "{}", owners.json);
        Ok(())
    }

    /// Starts the agent and kills it soon after.
    fn die_young(&self, after: Duration) -> Result<()> {
        let device = self.keeper.router.vm.serial_device();
        self.keeper.sh(&format!(
            "rm -f /tmp/postwired.log; setsid postwired serve --serial {device} --udp 0.0.0.0 >/tmp/postwired.log 2>&1 </dev/null & \
             usleep {}; {KILL}",
            after.as_micros()
        ))?;
        Ok(())
    }
}
