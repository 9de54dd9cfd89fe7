//! Pushes to routers with real kernels, one test after the other on the same two machines.

mod big;
mod confirm;
mod hosts;
mod lines;
mod owners;
mod push;
mod refusals;
mod secrets;
mod stored;
mod undo;

use super::{Tally, keeper::Keeper, router::Router};
use crate::{
    build,
    flood::{Target, flood},
    lab::{Arch, Lab, Wire},
    powercut::{changes, claims, kills},
};
use anyhow::{Context, Result, anyhow};
use std::{fs, path::Path, thread, time::Duration};

/// The two routers.
struct Bench<'t> {
    alice: Router<'t>,
    bob: Router<'t>,
    seed: u64,
}

type Test = fn(&Bench<'_>) -> Result<String>;

/// What has to hold on every kind of machine.
const EVERYWHERE: &[(&str, Test)] = &[
    ("a push over serial is in the kernel", push::push_serial),
    ("a push over UDP is in the kernel", push::push_udp),
    ("a second push changes nothing", push::second_push),
    ("only what differs is changed", push::only_differences),
];

/// What is tried on the first kind of machine only.
const FULL: &[(&str, Test)] = &[
    ("a tunnel between two routers, and sessions are left alone", push::tunnel),
    ("2,000 peers in the memory of 2", push::long_configuration),
    ("pushes through a network that loses, doubles and reorders", lines::bad_network),
    ("pushes through a serial line with log lines and noise", lines::noisy_line),
    ("a cable pulled in the middle", lines::pulled_cable),
    ("an agent that dies in the middle", lines::killed_agent),
    ("two at the same time", lines::two_clients),
    ("a key made by the router stays and is not told", push::generated_key),
    ("a default route through the tunnel", push::default_route),
    ("removing an interface with 1,000 peers", push::remove),
    ("an address that is taken away by hand comes back", push::repaired),
    ("a port that is taken", refusals::taken_port),
    ("an interface of another kind", refusals::other_kind),
    ("an interface that is not allowed", refusals::not_allowed),
    ("an agent without rights", refusals::no_rights),
    ("a kernel without WireGuard", refusals::no_wireguard),
    ("files that are wrong", refusals::wrong_files),
    ("a router is claimed over serial, once", owners::claimed_over_serial),
    ("a router with a label is claimed over UDP, once", owners::claimed_over_udp),
    ("who may do what", owners::who_may_do_what),
    ("the way back after a lost key", owners::way_back),
    ("recorded datagrams change nothing and get no answer", owners::replays),
    ("no core dumps, and files for root alone", owners::no_core_dumps),
    ("secrets are told to nobody", secrets::not_told),
    ("secrets are wiped from memory", secrets::wiped),
];

type KeptTest = fn(&mut Keeper<'_>) -> Result<String>;

/// What is tried on a router with a disk.
const KEPT: &[(&str, KeptTest)] = &[
    ("stored: a router starts with it", stored::comes_back),
    ("stored: a push of the same writes nothing", stored::unchanged),
    ("stored: several interfaces, and one removed", stored::several),
    ("stored: a history, and the way back", stored::history),
    ("stored: damaged files are not used, and told", stored::damaged),
    ("stored: what was changed by hand is seen and repaired", stored::drift),
    ("undo: a change that is refused anywhere", undo::refused),
    ("undo: what the kernel itself refuses", undo::kernel_refuses),
    ("undo: an interface that is deleted under a push", undo::deleted),
    ("undo: an interface that is new, and one that is removed", undo::new_interface),
    ("undo: when that fails too", undo::stuck),
    ("undo: endpoints that were none", undo::endpoints),
    ("confirm: a change that is confirmed", confirm::confirmed),
    ("confirm: one that is not goes back by itself", confirm::unconfirmed),
    ("confirm: who waits is told for whom", confirm::waiting),
    ("confirm: an operator who cuts himself off", confirm::cut_off),
    ("hosts: names that are not known yet", hosts::late),
    ("big: 10,000 peers in the memory of 10, and one change among them", big::many),
];

const FLOOD: &str = "an owner gets through a flood, and strangers get nothing";
const POWERCUT: &str = "power cuts during the first start and the claim";
const CUTS: u32 = 6;
const POWERCUT_CHANGES: &str =
    "power cuts during pushes, confirmations, undoing, rollbacks and starts";
const CUTS_CHANGES: u32 = 18;
const KILLS: &str = "kill -9 of the agent at random moments";
const KILLS_TIME: Duration = Duration::from_secs(15);

pub(super) fn run(tally: &mut Tally, arch: Arch, seed: u64) -> Result<()> {
    let full = if arch == Arch::X86_64 { FULL } else { &[] };
    let name = arch.profile().name;
    let named = |test: &str| format!("{name}: {test}");
    let kept = if arch == Arch::X86_64 { KEPT } else { &[] };
    let wanted = |tally: &Tally, tests: &[&str]| tests.iter().any(|test| tally.wants(&named(test)));
    let on_both: Vec<&str> = EVERYWHERE.iter().chain(full).map(|(test, _)| *test).collect();
    let on_disk: Vec<&str> = kept.iter().map(|(test, _)| *test).collect();
    // Nothing is built and booted for nothing.
    if !wanted(
        tally,
        &[&on_both[..], &on_disk, &[FLOOD, POWERCUT, POWERCUT_CHANGES, KILLS]].concat(),
    ) {
        return Ok(());
    }
    let agent = fs::read(build::agent(arch)?)?;
    let tool = build::postwire()?;
    let lab = Lab::prepare(arch)?;
    if arch == Arch::X86_64 {
        alone(tally, &named, &lab, &agent, &tool, seed);
    }
    if wanted(tally, &on_disk) {
        let mut keeper = Keeper::boot(&lab, "keeper", &agent, &tool, seed)?;
        for (test, run) in kept {
            tally.test(&named(test), || {
                let outcome = keeper.router.fresh("").and_then(|()| run(&mut keeper));
                explained(outcome, seed, &keeper.router)
            });
        }
    }
    if !wanted(tally, &on_both) {
        return Ok(());
    }
    let bench = boot(&lab, &agent, &tool, seed)?;
    for (test, run) in EVERYWHERE.iter().chain(full) {
        if !tally.wants(&named(test)) {
            continue;
        }
        tally.test(&named(test), || {
            let outcome = bench.alice.fresh("").and_then(|()| run(&bench));
            explained(outcome, seed, &bench.alice)
        });
    }
    Ok(())
}

/// Adds to a failure what the agent said.
fn explained(outcome: Result<String>, seed: u64, router: &Router<'_>) -> Result<String> {
    outcome.map_err(|error| {
        let log = router.log().unwrap_or_else(|error| format!("{error:#}"));
        error.context(format!("seed {seed}; the agent of {} said:\n{log}", router.vm.name()))
    })
}

/// What needs machines of its own, in short.
fn alone(
    tally: &mut Tally,
    named: &dyn Fn(&str) -> String,
    lab: &Lab,
    agent: &[u8],
    tool: &Path,
    seed: u64,
) {
    let mut said = Vec::new();
    tally.test(&named(FLOOD), || {
        let target = Target::boot(lab, agent, tool)?;
        flood(&target, Duration::from_secs(1), 20_000, &mut |line| said.push(line.to_owned()))?;
        Ok(said.join("; "))
    });
    tally.test(&named(POWERCUT), || {
        Ok(claims(lab, agent, tool, CUTS, seed, &mut |_| ())?.to_string())
    });
    tally.test(&named(POWERCUT_CHANGES), || {
        let mut lines = String::new();
        let mut show = |line: &str| lines = format!("{lines}{line}\n");
        let tally = changes(lab, agent, tool, CUTS_CHANGES, seed, &mut show);
        tally.map(|tally| tally.to_string()).with_context(|| lines)
    });
    tally.test(&named(KILLS), || kills(lab, agent, tool, KILLS_TIME, seed));
}

/// Both side by side: most of a boot is waiting for one processor.
fn boot<'t>(lab: &Lab, agent: &[u8], tool: &'t Path, seed: u64) -> Result<Bench<'t>> {
    let wire = Wire::new()?;
    let folder = build::target_folder().join("lab").join("test").join(lab.arch().profile().name);
    let router = |name: &str, address: &str| -> Result<Router<'t>> {
        let machine = lab.machine(name).file("/bin/postwired", 0o755, agent);
        let machine = machine.file("/etc/passwd", 0o644, "nobody:x:65534:65534::/:/bin/sh\n");
        let vm = machine.with_wireguard_tools().module("dummy").wire(&wire, address).boot()?;
        Router::new(vm, tool, folder.join(name))
    };
    let (alice, bob) = thread::scope(|scope| {
        let alice = scope.spawn(|| router("alice", "192.0.2.1/24"));
        let bob = router("bob", "192.0.2.2/24");
        (alice.join(), bob)
    });
    let alice = alice.map_err(|_| anyhow!("the thread that boots alice died"))??;
    let bob = bob?;
    bob.fresh("")?;
    Ok(Bench { alice, bob, seed })
}
