//! A model checker of the whole service: everything that can happen to a router, in every order to a depth, and at
//! random beyond that. The kernel and the disks are in memory, and the agent may be ended at any step it takes with
//! them.
//!
//! [`Run::check`] has the conditions after every event; [`Run::settle`] and [`Run::power_cut`]
//! those after any events. A path is run from its start each time, because an agent cannot be
//! copied.

mod act;
mod event;

use core::hash::{Hash, Hasher};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::rc::Rc;
use std::string::String;
use std::vec::Vec;

use super::*;
use crate::access::owners::{Ownership, Standing};
use crate::options::OnDrift;
use crate::testing::{
    Cellar, Content, Drawer, FACES, Incident, Mishap, Router, RouterAgent as Agent, Sent, Unsynced,
    client, image,
};
use event::Event::{self, *};
use event::{SCENES, events};
use proto_core::netlink::Errno;
use proto_core::netlink::route::link;
use proto_core::protocol::digest;
use proto_core::protocol::message::{Applied, Owner, Reply, Role};

/// A router, and the knowledge of an observer.
#[derive(Default)]
pub(super) struct Run {
    pub(super) router: Router,
    /// How the power is cut when the agent is ended.
    cut: Option<bool>,
    /// The state of each interface for each port.
    looks: Rc<BTreeMap<(usize, u16), Content>>,
    /// The possible stored configurations of each interface: more than one only after a lost answer
    /// or a failed disk.
    stored: BTreeMap<usize, BTreeSet<Content>>,
    /// The pending change: its interface and state.
    waiting: Option<(usize, Content)>,
    /// The former state of the interface with the pending change, if known.
    before: Option<Content>,
    /// The interfaces that another program changed.
    meddled: BTreeSet<usize>,
    /// The interfaces with a pending change whose snapshot was lost: the next agent takes what runs for what should.
    lost: BTreeSet<usize>,
    /// What the agent does about that; `None` if it does not look.
    on_drift: Option<OnDrift>,
    /// The numbers of the last request and of the newest session.
    id: u32,
    session: u32,
    /// The events so far, for the report of a failure.
    story: Vec<String>,
}

impl Run {
    pub(super) fn new(
        looks: &Rc<BTreeMap<(usize, u16), Content>>,
        on_drift: Option<OnDrift>,
    ) -> Self {
        Self { looks: looks.clone(), on_drift, ..Self::default() }
    }

    /// The agent starts.
    fn start(&mut self, agent: &mut Agent<'_>) {
        agent.start();
        if let Some(on) = self.on_drift {
            agent.watch(on);
        }
    }

    fn say(&mut self, what: impl core::fmt::Debug) {
        self.story.push(format!("{what:?}"));
    }

    #[track_caller]
    fn wrong(&self, what: &str) -> ! {
        let log = self.router.bench.log.borrow().join("\n  ");
        let story = self.story.join("\n  ");
        panic!("{what}\nwhat happened:\n  {story}\nlog:\n  {log}");
    }

    /// The possible stored configurations of an interface.
    fn may(&mut self, face: usize) -> &mut BTreeSet<Content> {
        self.stored.entry(face).or_insert_with(|| BTreeSet::from([Content::new()]))
    }

    fn is_stored(&mut self, face: usize, content: Content) {
        self.stored.insert(face, BTreeSet::from([content]));
        self.meddled.remove(&face);
        self.lost.remove(&face);
    }

    /// Allows any stored configuration of an interface.
    fn doubt(&mut self, face: usize) {
        let looks = self.looks.clone();
        let all = looks.iter().filter(|((at, _), _)| *at == face).map(|(_, look)| look.clone());
        self.may(face).extend(all);
        self.may(face).insert(Content::new());
    }

    /// The running configuration of an interface is the stored one, or the pending one.
    fn check_content(&mut self, face: usize, when: &str) {
        let content = self.router.content(face);
        let waits = matches!(&self.waiting, Some((at, waits)) if *at == face && *waits == content);
        if self.meddled.contains(&face) || waits || self.may(face).contains(&content) {
            return;
        }
        let may = self.may(face).clone();
        self.wrong(&format!("{when}: {} is\n  {content}\nnot\n  {may:?}", FACES[face]));
    }

    /// The conditions after every event.
    fn check(&mut self, agent: &mut Agent<'_>) {
        let status = self.status(agent);
        if status.pending.is_none() {
            self.waiting = None;
        }
        // While work is due, the running state may differ from the stored one; otherwise the router
        // must report a fault.
        let quiet = status.pending.is_some() || agent.work_deadline().is_none();
        if quiet && status.trouble.is_empty() {
            for face in 0..FACES.len() {
                self.check_content(face, "nothing is said to be wrong");
            }
        }
    }

    fn mend(&self) {
        self.router.world.revive();
        self.router.keep.mend();
        self.router.state.mend();
        self.router.life.spare();
    }

    /// The machine restarts: unsynced data is there or is lost.
    fn reboot(&mut self, there: bool) {
        let Router { world, keep, bench, .. } = &self.router;
        world.reboot();
        let outcome =
            if there { (keep.outcomes() - 1, Unsynced::There) } else { (0, Unsynced::Lost) };
        let keep = keep.after_cut(outcome.0, outcome.1);
        bench.boot.set(bench.boot.get() + 1);
        (self.router.keep, self.router.state) = (keep, Cellar::default());
        self.router.life.spare();
        self.waiting = None;
        self.meddled.clear();
        self.lost.clear();
    }

    /// The agent ended in the middle of a step, which may have been done or not.
    fn ended(&mut self, event: Option<Event>) {
        self.say("the agent is ended");
        match (event, self.waiting.take()) {
            (Some(Push { face, port, .. }), _) => {
                let look = self.looks[&(face, port)].clone();
                self.may(face).insert(look);
            }
            (Some(Rollback { .. } | Repair { .. }), _) => self.doubt(0),
            (Some(Remove { face, .. }), _) => {
                self.may(face).insert(Content::new());
            }
            (Some(Confirm { .. }), Some((face, content))) => {
                self.may(face).insert(content);
            }
            _ => {}
        }
        if let Some(there) = self.cut.take() {
            self.say("and the power is cut");
            self.reboot(there);
        }
    }

    /// Runs the events, agent after agent, and then checks the conditions, unless they were checked
    /// in the resulting state before. Returns a fingerprint of the state.
    fn path(&mut self, events: &[Event], known: &HashSet<u64>) -> u64 {
        let mut rest = events.iter().copied();
        loop {
            let router = self.router.clone();
            let mut current = None;
            let done = router.life.survive(|| {
                router.with(|agent| {
                    self.start(agent);
                    self.hello(agent);
                    self.meddled.retain(|face| self.lost.contains(face));
                    for event in rest.by_ref() {
                        self.say(event);
                        current = Some(event);
                        if matches!(event, Restart | Boot { .. }) {
                            return None;
                        }
                        self.request(agent, event);
                        self.check(agent);
                        current = None;
                    }
                    let print = self.print(agent);
                    if !known.contains(&print) {
                        self.mend();
                        self.power_cut();
                        self.settle(agent);
                    }
                    Some(print)
                })
            });
            match (done, current) {
                (Some(Some(print)), _) => return print,
                (Some(None), Some(Boot { broken })) => {
                    self.cut = None;
                    self.reboot(false);
                    if broken {
                        self.router.world.incident(0, Incident::Broken(Errno::EPERM));
                    }
                }
                (Some(None), _) => self.waiting = None,
                (None, current) => self.ended(current),
            }
        }
    }

    /// Two routers with the same fingerprint behave in the same way.
    fn print(&mut self, agent: &mut Agent<'_>) -> u64 {
        let status = self.status(agent);
        let Router { world, keep, state, bench, life, scratch: _, ram: _ } = &self.router;
        let now = bench.now.get();
        let due = agent.work_deadline().map(|due| due.saturating_sub(now));
        let drift = status.drift.iter();
        let drift = drift.map(|drift| (&drift.interface, &*drift.what, drift.repairs));
        let looks = agent.drift_deadline().is_some_and(|due| due < now.saturating_add(1_000));
        let mut print = DefaultHasher::new();
        format!("{:?}", world.seen()).hash(&mut print);
        format!("{:?}", agent.state).hash(&mut print);
        (keep.names(), state.names(), due, self.cut).hash(&mut print);
        (life.left(), world.left(), keep.left(), state.left()).hash(&mut print);
        (&self.stored, &self.waiting, &self.before, &self.meddled, &self.lost).hash(&mut print);
        (&*status.trouble, format!("{:?}", status.pending)).hash(&mut print);
        (format!("{:?}", drift.collect::<Vec<_>>()), looks).hash(&mut print);
        print.finish()
    }

    /// After any events, with a kernel and disks that work: a bounded number of ticks leads to a
    /// router without a pending change, which runs the stored configuration and accepts a push.
    fn settle(&mut self, agent: &mut Agent<'_>) {
        self.say("settles");
        let now = &self.router.bench.now;
        // An abandoned stage is free after a while.
        now.set(now.get() + 13_000);
        for _ in 0..300 {
            let Some(due) = agent.work_deadline().and_then(|_| agent.deadline()) else { break };
            let now = &self.router.bench.now;
            now.set(now.get().max(due));
            agent.tick();
        }
        let status = self.status(agent);
        if agent.work_deadline().is_some() || status.pending.is_some() {
            self.wrong("it never ends");
        }
        self.waiting = None;
        let status = if self.on_drift.is_some() { self.look(agent) } else { status };
        if status.trouble.is_empty() {
            for face in 0..FACES.len() {
                self.check_content(face, "nothing is under way");
            }
        }
        match self.push(agent, 0, 2, 0) {
            Answer::Applied(_) => {}
            _ => self.wrong("it takes no push"),
        }
    }

    /// Lets the agent look for changes by other programs once more. What differs afterwards is shown, and is repaired
    /// if that was asked for, at the latest after the pause that the status shows.
    fn look(&mut self, agent: &mut Agent<'_>) -> Status {
        let bench = self.router.bench.clone();
        let now = &bench.now;
        let until = |agent: &mut Agent<'_>, end: u64| {
            for _ in 0..300 {
                let Some(due) = agent.deadline().filter(|due| *due <= end) else { break };
                now.set(now.get().max(due));
                agent.tick();
            }
            now.set(end);
        };
        until(agent, now.get() + 32_000);
        let mut status = self.status(agent);
        if let Some(pause) = status.drift.iter().filter_map(|drift| drift.next_repair).max() {
            until(agent, now.get() + u64::from(pause) * 1_000 + 2_000);
            status = self.status(agent);
        }
        for (face, name) in FACES.iter().enumerate() {
            if status.drift.iter().any(|drift| *drift.interface == **name) {
                if self.on_drift == Some(OnDrift::Repair) {
                    self.wrong(&format!("{name} is not repaired"));
                }
            } else if !self.lost.contains(&face) {
                self.meddled.remove(&face);
            }
        }
        status
    }

    /// After a power cut at any time, the router starts with the last confirmed configuration.
    fn power_cut(&mut self) {
        for there in [false, true] {
            let mut cut = Self::new(&self.looks, self.on_drift);
            cut.router.keep = self.router.keep.clone();
            cut.stored = self.stored.clone();
            cut.story = self.story.clone();
            cut.say(format!("the power is cut; what was not synced is there: {there}"));
            cut.router.bench.boot.set(200);
            cut.reboot(there);
            let router = cut.router.clone();
            router.with(|agent| {
                cut.start(agent);
                cut.check(agent);
                cut.settle(agent);
            });
        }
    }
}

/// The state of each interface for each port.
fn looks() -> Rc<BTreeMap<(usize, u16), Content>> {
    let mut looks = BTreeMap::new();
    for (face, port) in [(0, 1), (0, 2), (0, 3), (0, 4), (1, 9)] {
        let mut run = Run::default();
        let router = run.router.clone();
        router.with(|agent| {
            run.hello(agent);
            let answer = run.push(agent, face, port, 0);
            assert!(matches!(answer, Answer::Applied(_)), "{answer:?}");
        });
        looks.insert((face, port), router.content(face));
    }
    Rc::new(looks)
}

/// Everything that can happen within two events after each scene, and a sample of what can happen
/// within three: all of it takes some minutes, and runs with `POSTWIRE_MODEL=full`.
const DEPTH: usize = 3;
/// Largest number of states from which each depth continues.
const FRONT: usize = 400;

#[test]
fn whatever_happens_what_runs_is_what_is_stored_and_nothing_waits_for_ever() {
    let (looks, events) = (looks(), events());
    let (mut known, mut transitions) = (HashSet::new(), 0_u64);
    let mut front: Vec<Vec<Event>> = SCENES.iter().map(|scene| scene.to_vec()).collect();
    let full = std::env::var("POSTWIRE_MODEL").is_ok();
    for depth in 1..=DEPTH {
        let mut next = Vec::new();
        let step = if full { 1 } else { front.len().div_ceil(FRONT) };
        for path in front.iter().step_by(step) {
            for event in &events {
                let path = [&path[..], &[*event]].concat();
                transitions += 1;
                if known.insert(Run::new(&looks, Some(OnDrift::Repair)).path(&path, &known)) {
                    next.push(path);
                }
            }
        }
        println!("depth {depth}: {} states, {transitions} transitions", known.len());
        front = next;
    }
}

#[test]
fn long_stories_end_well() {
    let (looks, events) = (looks(), events());
    let walks = std::env::var("POSTWIRE_WALKS").map_or(1_500, |walks| walks.parse().unwrap());
    let mut rng = fastrand::Rng::with_seed(1);
    let (mut known, mut transitions) = (HashSet::new(), 0);
    let modes = [Some(OnDrift::Report), Some(OnDrift::Repair)];
    for on_drift in modes.into_iter().cycle().take(walks) {
        let mut path = Vec::new();
        for _ in 0..16 {
            path.push(events[rng.usize(..events.len())]);
        }
        transitions += path.len();
        known.insert(Run::new(&looks, on_drift).path(&path, &known));
    }
    println!("{walks} stories of 16 events, {transitions} transitions, {} ends", known.len());
}

#[test]
fn a_folder_among_what_is_stored_is_listed_as_damaged() {
    let mut run = Run::default();
    let router = run.router.clone();
    router.with(|agent| {
        agent.start();
        run.hello(agent);
        run.push(agent, 0, 1, 0);
    });
    router.keep.make_folder(c"wg0.7");
    router.keep.make_folder(c"wg1.1");
    let content = router.content(0);
    router.with(|agent| {
        agent.start();
        run.hello(agent);
        for interface in [None, Some(FACES[0].parse().unwrap()), Some(FACES[1].parse().unwrap())] {
            let answer = run.ask(agent, 1, 1, Ask::History { interface });
            assert!(matches!(answer, Answer::Ready { .. }), "{answer:?}");
        }
        assert_eq!(router.content(0), content);
        assert!(matches!(run.push(agent, 0, 2, 0), Answer::Applied(_)));
    });
}
