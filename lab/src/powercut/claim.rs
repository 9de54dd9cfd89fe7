//! Power cuts while a router starts for the first time and is claimed.
//!
//! Each cut ends the machine at another moment; the next machine starts with the same disk. The
//! router must then be unowned or ours, and must have the key that it had shown. The disk is slowed
//! down, so that the moments between two of its writes are not missed.

use crate::{
    Lab, Machine, Vm,
    faults::Direction,
    routers::{Person, Said, identity, said},
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use fastrand::Rng;
use proto_core::protocol::session::fingerprint;
use std::{
    collections::VecDeque,
    fmt,
    path::Path,
    thread,
    time::{Duration, Instant},
};
use xtask::build;

/// The folder of the agent that outlives a reboot.
const KEEP: &str = "--keep /keep/postwired";
/// The text before the fingerprint in the agent's log.
const SAYS: &str = "this router is ";

/// The speed of the disk: creating, syncing and renaming a file takes about half a second.
const WRITES_A_SECOND: u32 = 20;

/// The router has not shown a key before this time.
const SOONEST: Duration = Duration::from_millis(20);

/// The states of the routers after the cuts.
#[derive(Debug, Default)]
pub struct Tally {
    cuts: u32,
    /// Routers that had shown no key before the cut.
    unseen: u32,
    /// Unowned routers.
    unclaimed: u32,
    /// Claimed routers that had reported the claim ...
    claimed: u32,
    /// ... or that had not reported it yet.
    unanswered: u32,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cuts, unseen, unclaimed, claimed, unanswered } = self;
        write!(
            f,
            "{cuts} cuts without a loss: {unclaimed} left an unowned router ({unseen} of these had shown \
             no key yet), {unanswered} a claimed one that had not reported the claim, {claimed} one \
             that had"
        )
    }
}

/// The output of a router before its power was cut.
struct Seen {
    /// The result of the claim.
    claim: Said,
    /// The console of the machine.
    console: String,
}

/// Cuts the power `cuts` times. `show` gets a line for each cut.
pub fn claims(
    lab: &Lab,
    agent: &[u8],
    tool: &Path,
    cuts: u32,
    seed: u64,
    show: &mut dyn FnMut(&str),
) -> Result<Tally> {
    let disk = lab.disk("keep")?.slow(WRITES_A_SECOND);
    let machine = lab.machine("mole").file("/bin/postwired", 0o755, agent).disk(&disk, "/keep");
    let folder = build::target_folder().join("lab").join("powercut");
    let mut vm = machine.boot()?;
    // Once without a cut, to learn the duration.
    let person = Person::new(tool, folder.clone())?;
    let started = Instant::now();
    let claim = thread::scope(|scope| {
        let claiming = scope.spawn(|| postwire(&person, &vm, "claim", LONG));
        start(&vm)?;
        claiming.join().map_err(|_| anyhow!("the claim died"))?
    })?;
    let whole = started.elapsed();
    claim.ok().context("a claim without a cut")?;
    show(&format!("a first start and a claim take {:.2} s; seed {seed}", whole.as_secs_f32()));

    // A claim that is interrupted must not take long, and one on a busy bench may.
    let patience = format!("{}ms", (3 * whole).max(SHORT).as_millis());
    let mut rng = Rng::with_seed(seed);
    let mut moments: VecDeque<Option<Duration>> = (1..=cuts)
        .map(|cut| {
            let part = (f64::from(cut - 1) + rng.f64()) / f64::from(cuts);
            // The last cut comes as soon as the router has reported the claim.
            (cut < cuts).then(|| whole.mul_f64(part))
        })
        .collect();
    let mut soon = whole / cuts;
    let mut tally = Tally::default();
    while let Some(after) = moments.pop_front() {
        let when = after.map_or_else(
            || "as soon as it was claimed".to_owned(),
            |after| format!("after {:.2} s", after.as_secs_f32()),
        );
        let cut = tally.cuts + 1;
        let broken =
            |error: anyhow::Error| error.context(format!("cut {cut} of seed {seed}, {when}"));
        vm.sh("killall -9 postwired; rm -rf /keep/postwired; sync")?;
        let person = Person::new(tool, folder.clone())?;
        let (next, seen) = cut_after(after, &patience, &machine, vm, &person).map_err(broken)?;
        vm = next;
        let found = check(&vm, &person, &seen, &mut tally).map_err(broken)?;
        show(&format!("cut {when}: {found}"));
        // If another load slowed down the measurement, all cuts came late: try again with shorter
        // times.
        if moments.is_empty() && tally.unseen == 0 && soon > SOONEST {
            soon /= 2;
            moments.push_back(Some(soon));
        }
    }
    // Otherwise the test would prove nothing.
    ensure!(tally.unseen > 0 && tally.claimed > 0, "all cuts came too early or too late: {tally}");
    Ok(tally)
}

/// Starts the agent, claims the router, and cuts the power at a moment or at the end. Returns the
/// next machine, and the output before the cut.
fn cut_after<'l>(
    after: Option<Duration>,
    patience: &str,
    machine: &Machine<'l>,
    vm: Vm,
    person: &Person<'_>,
) -> Result<(Vm, Seen)> {
    let died = |_| anyhow!("the claim died");
    // The output of an earlier router on the same machine.
    let printed = vm.console().len();
    let (claim, next) = thread::scope(|scope| {
        let begun = Instant::now();
        let claiming = scope.spawn(|| postwire(person, &vm, "claim", patience));
        // The cut may interrupt this.
        scope.spawn(|| start(&vm));
        while after.map_or(!claiming.is_finished(), |after| begun.elapsed() < after) {
            thread::sleep(Duration::from_millis(1));
        }
        vm.kill();
        let next = machine.boot();
        (claiming.join().map_err(died), next)
    });
    let console = vm.console().split_off(printed);
    Ok((next?, Seen { claim: claim??, console }))
}

/// Starts the agent; its output goes to the console, which is outside of the machine.
fn start(vm: &Vm) -> Result<()> {
    let device = vm.serial_device();
    vm.sh(&format!(
        "mkdir -p /var/run; setsid postwired serve --serial {device} {KEEP} >/dev/console 2>&1 </dev/null &"
    ))?
    .ok()?;
    Ok(())
}

/// Shortest timeout of a command that may be interrupted.
const SHORT: Duration = Duration::from_secs(3);
/// Timeout for a machine that may stand still while others run beside it.
const LONG: &str = "120s";

fn postwire(person: &Person<'_>, vm: &Vm, word: &str, patience: &str) -> Result<Said> {
    let mut command = person.command(&[word, "--timeout", patience]);
    command.arg("--serial").arg(vm.serial().path());
    said(&command.output().context("starting postwire")?)
}

/// The result of a command that has to succeed.
fn answered_by(person: &Person<'_>, vm: &Vm, word: &str) -> Result<Said> {
    postwire(person, vm, word, LONG)?.ok().map_err(|error| explain(vm, error))
}

/// What may tell why a router fell silent: whether the agent runs and where it waits, interrupts and bytes of the
/// serial ports, the pool of random numbers, writes that wait for the slow disk, and bytes on the line.
fn explain(vm: &Vm, error: anyhow::Error) -> anyhow::Error {
    const SCRIPT: &str = "for pid in $(pidof postwired); do echo \"agent $pid\"; cat /proc/$pid/wchan \
        /proc/$pid/syscall /proc/$pid/stack; done 2>/dev/null; cat /proc/tty/driver/serial; grep ttyS /proc/interrupts; \
        cat /proc/sys/kernel/random/entropy_avail; grep -E 'Dirty|Writeback' /proc/meminfo; cat /proc/loadavg";
    let seen = vm.sh(SCRIPT).map_or_else(
        |error| format!("{error:#}"),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    );
    let [to_guest, to_host] =
        [Direction::ToGuest, Direction::ToHost].map(|direction| vm.serial().counts(direction));
    let console = vm.console();
    let tail = console.len().saturating_sub(1_000);
    let console = console.get(tail..).unwrap_or(&console);
    error.context(format!(
        "the machine:\n{seen}\nto it {to_guest:?}\nfrom it {to_host:?}\nits console ends with:\n{console}\n"
    ))
}

/// Fails unless the router is intact, has the key that was seen, and is ours or unowned.
fn check(vm: &Vm, person: &Person<'_>, seen: &Seen, tally: &mut Tally) -> Result<String> {
    let key = identity(vm, KEEP)?;
    let print = fingerprint(&key.parse().map_err(|_| anyhow!("{key} is no key"))?);
    let console = seen.console.split(SAYS).skip(1).filter_map(|rest| rest.get(..print.len()));
    let told = Some(seen.claim.text("/result/router/fingerprint")).filter(|told| !told.is_empty());
    let shown: Vec<&str> = console.chain(told).collect();
    for before in &shown {
        ensure!(*before == print.as_str(), "it had shown {before}, and is {print} now");
    }
    tally.cuts += 1;

    start(vm)?;
    let status = postwire(person, vm, "status", LONG)?;
    let answered = seen.claim.code == 0;
    let found = match (status.code, answered) {
        (0, true) => {
            tally.claimed += 1;
            "claimed"
        }
        (0, false) => {
            tally.unanswered += 1;
            "claimed, and had not said so"
        }
        (1, false) => {
            tally.unclaimed += 1;
            tally.unseen += u32::from(shown.is_empty());
            let again = answered_by(person, vm, "claim").context("the claim, done again")?;
            let now = again.text("/result/router/fingerprint");
            ensure!(now == print.as_str(), "claimed {now} instead of {print}");
            answered_by(person, vm, "status")?;
            if shown.is_empty() { "unowned, and had shown no key" } else { "unowned" }
        }
        (_, true) => bail!("the router had reported the claim, and now: {}", status.json),
        _ => bail!("the router is neither unowned nor ours: {}", status.json),
    };
    let owners = answered_by(person, vm, "owners")?;
    let admin = owners.text("/result/owners/0/role") == "admin";
    let ours = owners.text("/result/owners/0/public_key") == person.key();
    ensure!(admin && ours, "its owners are others: {}", owners.json);
    ensure!(identity(vm, KEEP)? == key, "its key changed without a cut");
    Ok(found.to_owned())
}
