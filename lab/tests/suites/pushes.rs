//! Pushes to routers with real kernels: most of them one after the other on the same two machines, or on
//! one that has a disk.

mod ansible;
mod big;
mod by_hand;
mod confirm;
mod hosts;
mod jig;
mod lines;
mod others;
mod owners;
mod push;
mod refusals;
mod secrets;
mod stored;
mod undo;

use super::lanes::Part;
use anyhow::{Context, Result, anyhow};
use lab::routers::{Keeper, Router};
use lab::{
    Arch, Lab, Wire,
    flood::{self, Effort, Target},
    powercut::{changes, claims, kills},
};
use std::{fs, path::PathBuf, thread, time::Duration};
use xtask::build;

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
    (
        "a jig without an operating system claims and configures a router",
        jig::claims_and_configures,
    ),
    ("ansible configures two routers, and fails where there is none", ansible::collection),
    ("who may do what", owners::who_may_do_what),
    ("the way back after a lost key", owners::way_back),
    ("recorded datagrams change nothing and get no answer", owners::replays),
    ("no core dumps, and files for root alone", owners::no_core_dumps),
    ("secrets are told to nobody", secrets::not_told),
    ("secrets are wiped from memory", secrets::wiped),
];

type KeptTest = fn(&mut Keeper<'_>) -> Result<String>;

/// What is tried on a router with a disk, which has its files there from one test to the next.
const STORED: &[(&str, KeptTest)] = &[
    ("stored: a router starts with it", stored::comes_back),
    ("stored: a push of the same writes nothing", stored::unchanged),
    ("stored: several interfaces, and one removed", stored::several),
    ("stored: a history, and the way back", stored::history),
    ("stored: damaged files are not used, and told", stored::damaged),
    ("stored: what ended three starts is not applied a fourth time", stored::ends_the_agent),
    ("stored: what was changed by hand is seen and repaired", stored::drift),
];
const UNDO: &[(&str, KeptTest)] = &[
    ("undo: a change that is refused anywhere", undo::refused),
    ("undo: what the kernel itself refuses", undo::kernel_refuses),
    ("undo: an interface that is deleted under a push", undo::deleted),
    ("undo: an interface that is new, and one that is removed", undo::new_interface),
    ("undo: when that fails too", undo::stuck),
    ("undo: endpoints that were none", undo::endpoints),
];
const CONFIRM: &[(&str, KeptTest)] = &[
    ("confirm: a change that is confirmed", confirm::confirmed),
    ("confirm: one that is not goes back by itself", confirm::unconfirmed),
    ("confirm: who waits is told for whom", confirm::waiting),
    ("confirm: an operator who cuts himself off", confirm::cut_off),
    ("hosts: names that are not known yet", hosts::late),
];
const OTHERS: &[(&str, KeptTest)] = &[
    (
        "others: a change of one interface leaves the ways and rules of the others alone",
        others::others,
    ),
    ("others: any edit is one push", others::edits),
];
const BIG: &[(&str, KeptTest)] =
    &[("big: 10,000 peers in the memory of 10, and one change among them", big::many)];

const BY_HAND: &str = "undo: what was made by hand comes back with every attribute";
const NO_IPV6: &str = "a kernel without IPv6";
const FLOOD: &str = "an owner gets through a flood, and strangers get nothing";
/// Each datagram of the owner's is one in many that the machine has no time for: a push of 200 peers can take
/// minutes.
const FLOOD_EFFORT: Effort = Effort { duration: Duration::from_secs(1), rate: 20_000, peers: 40 };
const POWERCUT: &str = "power cuts during the first start and the claim";
const CUTS: u32 = 6;
const POWERCUT_CHANGES: &str =
    "power cuts during pushes, confirmations, undoing, rollbacks and starts";
const CUTS_CHANGES: u32 = 18;
const KILLS: &str = "kill -9 of the agent at random moments";
const KILLS_TIME: Duration = Duration::from_secs(15);

/// What the machines of a part are made of.
struct Setting {
    lab: Lab,
    agent: Vec<u8>,
    tool: PathBuf,
    seed: u64,
}

impl Setting {
    fn prepare(arch: Arch, seed: u64) -> Result<Self> {
        let agent = fs::read(build::agent(arch)?)?;
        let tool = build::postwire()?;
        Ok(Self { lab: Lab::prepare(arch)?, agent, tool, seed })
    }
}

/// The name of a test on machines of one kind.
fn named(arch: Arch, test: &str) -> String {
    format!("{}: {test}", arch.name())
}

/// All that is tried on machines of one kind, but for the flood; what takes longest first.
pub(super) fn parts(arch: Arch, seed: u64) -> Vec<Part> {
    let mut parts = vec![on_both(arch, seed)];
    if arch == Arch::X86_64 {
        let kept = [
            ("undo", UNDO),
            ("stored", STORED),
            ("confirm", CONFIRM),
            ("others", OTHERS),
            ("big", BIG),
        ];
        parts.extend(kept.map(|(name, tests)| on_disk(name, tests, seed)));
        parts.extend(cut_off(seed));
    }
    parts
}

/// On two routers.
fn on_both(arch: Arch, seed: u64) -> Part {
    let full = if arch == Arch::X86_64 { FULL } else { &[] };
    let tests = EVERYWHERE.iter().chain(full);
    let names = tests.clone().map(|(test, _)| named(arch, test));
    Part::new(&named(arch, "two routers"), names, move |tally| {
        let setting = Setting::prepare(arch, seed)?;
        let bench = boot(&setting)?;
        for (test, run) in tests {
            tally.test(&named(arch, test), || {
                let outcome = bench.alice.fresh("").and_then(|()| run(&bench));
                explained(outcome, seed, &bench.alice)
            });
        }
        Ok(())
    })
}

/// On a router with a disk.
fn on_disk(name: &'static str, tests: &'static [(&'static str, KeptTest)], seed: u64) -> Part {
    let arch = Arch::X86_64;
    let names = tests.iter().map(|(test, _)| named(arch, test));
    Part::new(&named(arch, name), names, move |tally| {
        let Setting { lab, agent, tool, .. } = Setting::prepare(arch, seed)?;
        let mut keeper = Keeper::boot(&lab, name, &agent, &tool, seed)?;
        for (test, run) in tests {
            tally.test(&named(arch, test), || {
                let outcome = keeper.router.fresh("").and_then(|()| run(&mut keeper));
                explained(outcome, seed, &keeper.router)
            });
        }
        Ok(())
    })
}

/// Adds to a failure what the agent said.
fn explained(outcome: Result<String>, seed: u64, router: &Router<'_>) -> Result<String> {
    outcome.map_err(|error| {
        let log = router.log().unwrap_or_else(|error| format!("{error:#}"));
        error.context(format!("seed {seed}; the agent of {} said:\n{log}", router.vm.name()))
    })
}

/// A test with a machine of its own.
fn alone(
    test: &'static str,
    seed: u64,
    run: impl FnOnce(&Setting) -> Result<String> + Send + 'static,
) -> Part {
    let name = named(Arch::X86_64, test);
    Part::new(test, [name.clone()], move |tally| {
        let setting = Setting::prepare(Arch::X86_64, seed)?;
        tally.test(&name, || run(&setting));
        Ok(())
    })
}

/// What needs a machine of its own; power cuts and kills, in short.
fn cut_off(seed: u64) -> [Part; 5] {
    [
        alone(BY_HAND, seed, by_hand::comes_back),
        alone(NO_IPV6, seed, by_hand::no_ipv6),
        alone(POWERCUT_CHANGES, seed, |Setting { lab, agent, tool, seed }| {
            let mut lines = String::new();
            let mut show = |line: &str| lines = format!("{lines}{line}\n");
            let cuts = changes(lab, agent, tool, CUTS_CHANGES, *seed, &mut show);
            cuts.map(|cuts| cuts.to_string()).with_context(|| lines)
        }),
        alone(POWERCUT, seed, |Setting { lab, agent, tool, seed }| {
            Ok(claims(lab, agent, tool, CUTS, *seed, &mut |_| ())?.to_string())
        }),
        alone(KILLS, seed, |Setting { lab, agent, tool, seed }| {
            kills(lab, agent, tool, KILLS_TIME, *seed)
        }),
    ]
}

/// A flood, in short.
pub(super) fn flood(seed: u64) -> Part {
    alone(FLOOD, seed, |Setting { lab, agent, tool, .. }| {
        let target = Target::boot(lab, agent, tool)?;
        let mut said = Vec::new();
        let mut show = |line: &str| said.push(line.to_owned());
        flood::flood(&target, &FLOOD_EFFORT, &mut show)?;
        Ok(said.join("; "))
    })
}

/// Both side by side: most of a boot is waiting for one processor.
fn boot(setting: &Setting) -> Result<Bench<'_>> {
    let Setting { lab, agent, tool, seed } = setting;
    let wire = Wire::new()?;
    let folder = build::target_folder().join("lab").join("test").join(lab.arch().name());
    let router = |name: &str, address: &str| -> Result<Router<'_>> {
        let machine = lab.machine(name).file("/bin/postwired", 0o755, agent.as_slice());
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
    Ok(Bench { alice, bob, seed: *seed })
}
