//! A model checker of the whole service: everything that can happen to a router, in every order to a depth, and at
//! random beyond that. The kernel and the disks are in memory, and the agent may be ended at any step it takes with
//! them.
//!
//! [`Run::check`] has the conditions after every event; [`Run::settle`] and [`Run::power_cut`]
//! those after any events. A path is run from its start each time, because an agent cannot be
//! copied.

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
    image,
};
use proto_core::netlink::Errno;
use proto_core::netlink::route::link;
use proto_core::protocol::message::{Applied, Owner, Reply, Role};
use proto_core::protocol::{MAX_PACKET, digest, session};

/// An event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Event {
    /// Anne pushes an interface with a port.
    Push {
        face: usize,
        port: u16,
        confirm: u16,
    },
    /// Ben starts a push, and sends nothing more.
    Begin,
    Confirm {
        fresh: bool,
    },
    Revert,
    Rollback {
        confirm: u16,
    },
    Remove {
        face: usize,
        confirm: u16,
    },
    Repair {
        face: usize,
        confirm: u16,
    },
    /// This many milliseconds pass.
    Tick(u64),
    /// The agent ends, and is restarted.
    Restart,
    /// The power is cut; after the restart of the machine the kernel refuses all changes, or none.
    Boot {
        broken: bool,
    },
    /// Another program deletes all interfaces, and the kernel announces it.
    Meddle,
    /// Another program takes all peers of an interface, which the kernel does not announce.
    TakePeers(usize),
    /// Another program sets an interface down, and the announcement is lost.
    Down(usize),
    /// The kernel refuses the request for a change with this number from now on.
    Refuse(usize),
    /// The kernel refuses every request for a change.
    Break,
    /// The kernel and the disk work again.
    Mend,
    /// The disk refuses the step with this number from now on.
    Keep(usize),
    /// The snapshots' folder loses its contents.
    Lose,
    /// The snapshots' disk refuses the step with this number from now on.
    Snapshots(usize),
    /// The agent ends at the step with this number from now on, and is restarted.
    Kill(u64),
    /// The power is cut at the step with this number from now on. Unsynced data is there, or is
    /// lost.
    Cut(u64, bool),
}

use Event::*;

/// The events that are possible at every moment.
fn events() -> Vec<Event> {
    let mut events = vec![
        Push { face: 0, port: 1, confirm: 0 },
        Push { face: 0, port: 2, confirm: 0 },
        Push { face: 0, port: 3, confirm: 60 },
        Push { face: 1, port: 9, confirm: 0 },
        Begin,
        Confirm { fresh: true },
        Confirm { fresh: false },
        Revert,
        Rollback { confirm: 0 },
        Rollback { confirm: 60 },
        Remove { face: 0, confirm: 0 },
        Remove { face: 0, confirm: 60 },
        Repair { face: 0, confirm: 0 },
        Repair { face: 0, confirm: 60 },
        Tick(2_000),
        Tick(61_000),
        Restart,
        Boot { broken: true },
        Boot { broken: false },
        Meddle,
        TakePeers(0),
        Down(1),
        Break,
        Mend,
        Lose,
    ];
    events.extend([0, 1, 3].map(Refuse));
    events.extend([0, 3, 6].map(Keep));
    events.extend([0, 2].map(Snapshots));
    events.extend([3, 9, 17, 24, 40].map(Kill));
    events.extend([(9, false), (24, true), (40, false)].map(|(at, there)| Cut(at, there)));
    events
}

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

    pub(super) fn ask(
        &mut self,
        agent: &mut Agent<'_>,
        who: u8,
        nth: u32,
        ask: Ask<'_>,
    ) -> Answer<'static> {
        self.id += 1;
        let key = PublicKey([who; 32]);
        let (mut keep, mut state) = (Drawer::default(), Drawer::default());
        let mut ownership = Ownership::load(&mut keep, &mut state);
        for key in [1, 2] {
            let (key, role) = (PublicKey([key; 32]), Role::Admin);
            let owner = Owner { key, role, name: "anne".try_into().unwrap() };
            let _ = ownership.add(agent.slot, &owner).map_err(|fault| agent.slot.take(fault));
        }
        let mut visitor = Visitor {
            key,
            standing: Standing::Owner(Role::Admin),
            wire: session::Wire::Serial,
            nth,
            newest: self.session,
            handshake_hash: [0; 32],
            router: PublicKey([0xee; 32]),
            rejected: false,
            ownership: &mut ownership,
        };
        let version = if matches!(ask, Ask::Hello { .. }) { HELLO_VERSION } else { VERSION };
        let mut buf = [0; MAX_PACKET];
        let request = Request { client: [who; 8], id: self.id, ask };
        let len = envelope::write(version, &request, &mut buf).unwrap();
        let mut sent = Sent::default();
        let _ = agent.packet(&buf[..len], &mut visitor, &mut sent);
        let packet = sent.0.pop().expect("an answer").leak();
        let (_, reply) = envelope::read::<Reply<'_>>(packet, |_| true).unwrap();
        if !matches!(reply.answer, Answer::Status(_) | Answer::Hello(_)) {
            self.say(&reply.answer);
        }
        reply.answer
    }

    pub(super) fn hello(&mut self, agent: &mut Agent<'_>) {
        for who in [1, 2] {
            self.ask(agent, who, 1, Ask::Hello { min: 1, max: 1, features: 0 });
        }
    }

    pub(super) fn status(&mut self, agent: &mut Agent<'_>) -> Status {
        match self.ask(agent, 1, 1, Ask::Status) {
            Answer::Status(status) => status,
            other => self.wrong(&format!("{other:?}")),
        }
    }

    /// Starts a push. Returns its stage, or the refusal.
    #[expect(clippy::result_large_err, reason = "tests have room")]
    fn begin(
        &mut self,
        agent: &mut Agent<'_>,
        who: u8,
        image: &[u8],
        face: usize,
    ) -> Result<u32, Answer<'static>> {
        let begin = Ask::Begin {
            interface: FACES[face].parse().unwrap(),
            length: image.len() as u32,
            digest: digest(image),
            piece_size: 1_000,
            patch: None,
            data: &[],
        };
        match self.ask(agent, who, 1, begin) {
            Answer::Received { stage, .. } => Ok(stage),
            other => Err(other),
        }
    }

    pub(super) fn push(
        &mut self,
        agent: &mut Agent<'_>,
        face: usize,
        port: u16,
        confirm_within: u16,
    ) -> Answer<'static> {
        let image = image(face, port);
        let stage = match self.begin(agent, 1, &image, face) {
            Ok(stage) => stage,
            Err(answer) => return answer,
        };
        match self.ask(agent, 1, 1, Ask::Piece { stage, index: 0, data: &image }) {
            Answer::Received { .. } => {}
            other => return other,
        }
        self.ask(agent, 1, 1, Ask::Commit { stage, confirm_within, adopt: false })
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

    /// The state of an interface before a change. An earlier change that could not be reverted yet
    /// is reverted first.
    fn before(&self, agent: &Agent<'_>, face: usize) -> Option<Content> {
        let reverting = matches!(agent.state, super::state::State::Reverting(..));
        (!reverting).then(|| self.router.content(face))
    }

    /// Handles the answer to a request for a change.
    fn changed(
        &mut self,
        face: usize,
        port: Option<u16>,
        answer: &Answer<'_>,
        before: Option<Content>,
    ) {
        match answer {
            Answer::Applied(applied) => {
                let content = self.router.content(face);
                if port.is_some_and(|port| self.looks.get(&(face, port)) != Some(&content)) {
                    self.wrong(&format!("applied, and the kernel has {content}"));
                }
                if applied.confirm_within > 0 {
                    (self.waiting, self.before) = (Some((face, content)), before);
                } else {
                    if !applied.stored && !self.may(face).contains(&content) {
                        self.wrong("applied, and not stored");
                    }
                    self.is_stored(face, content);
                }
            }
            Answer::Failed(failure) => {
                // The disk may have done what it reported as failed.
                if failure.code == Code::Storage {
                    self.doubt(face);
                }
            }
            other => self.wrong(&format!("{other:?}")),
        }
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

    fn request(&mut self, agent: &mut Agent<'_>, event: Event) {
        match event {
            Push { face, port, confirm } => {
                let before = self.before(agent, face);
                let answer = self.push(agent, face, port, confirm);
                self.changed(face, Some(port), &answer, before);
            }
            Begin => {
                let image = image(0, 4);
                let _ = self.begin(agent, 2, &image, 0);
            }
            Confirm { fresh } => {
                self.session += u32::from(fresh);
                let nth = if fresh { self.session } else { 1 };
                match self.ask(agent, 1, nth, Ask::Confirm) {
                    Answer::Confirmed { .. } => {
                        let Some((face, content)) = self.waiting.take() else {
                            self.wrong("confirmed what did not wait");
                        };
                        if self.router.content(face) != content {
                            self.wrong("confirmed what does not run");
                        }
                        self.is_stored(face, content);
                    }
                    Answer::Failed(failure) if failure.code == Code::Storage => {
                        if let Some((face, _)) = self.waiting {
                            self.doubt(face);
                        }
                    }
                    _ => {}
                }
            }
            Revert => {
                if let Answer::Reverted { .. } = self.ask(agent, 1, 1, Ask::Revert)
                    && let Some((face, _)) = self.waiting.take()
                    && !self.meddled.contains(&face)
                    && self
                        .before
                        .as_ref()
                        .is_some_and(|before| *before != self.router.content(face))
                {
                    self.wrong("reverted to something else than there was");
                }
            }
            Rollback { confirm: confirm_within } => {
                let before = self.before(agent, 0);
                let interface = FACES[0].parse().unwrap();
                // The one before the newest.
                let names = self.router.keep.names();
                let number = |name: &String| name.strip_prefix("wg0.")?.parse::<u32>().ok();
                let mut numbers: Vec<u32> = names.iter().filter_map(number).collect();
                numbers.sort_unstable();
                let number = numbers.iter().nth_back(1).copied().unwrap_or(9);
                let ask = Ask::Rollback { interface, number, confirm_within };
                let answer = self.ask(agent, 1, 1, ask);
                // A configuration may be stored although the answer was lost.
                if let Answer::Applied(Applied { confirm_within: 0, stored: true, .. }) = answer {
                    self.doubt(0);
                }
                self.changed(0, None, &answer, before);
            }
            Remove { face, confirm: confirm_within } => {
                let before = self.before(agent, face);
                let interface = FACES[face].parse().unwrap();
                let ask = Ask::Remove { interface, confirm_within };
                let answer = self.ask(agent, 1, 1, ask);
                self.changed(face, None, &answer, before);
            }
            Repair { face, confirm: confirm_within } => {
                let before = self.before(agent, face);
                let interface = FACES[face].parse().unwrap();
                let ask = Ask::Repair { interface, confirm_within };
                let answer = self.ask(agent, 1, 1, ask);
                self.changed(face, None, &answer, before);
            }
            Tick(millis) => {
                let now = &self.router.bench.now;
                now.set(now.get() + millis);
                agent.tick();
                for _ in 0..20 {
                    if agent.drift_deadline().is_none_or(|due| due > now.get()) {
                        return;
                    }
                    agent.tick();
                }
                self.wrong("the search for changes by other programs does not end");
            }
            Meddle => {
                self.router.world.delete_links();
                agent.notified(&[], 1, 0);
                self.meddled.extend(0..FACES.len());
            }
            TakePeers(face) => {
                if self.router.has(face) {
                    self.router.world.meddle(FACES[face], |device| device.peers.clear());
                    self.meddled.insert(face);
                }
            }
            Down(face) => {
                if self.router.has(face) {
                    let index = self.router.world.index(FACES[face]);
                    let _ = self.router.world.by_hand(|buf| {
                        link::set_up(buf, 1, index, false).expect("room for the request")
                    });
                    agent.notified(&[], 1, 0);
                    self.meddled.insert(face);
                }
            }
            Refuse(at) => self.router.world.incident(at, Incident::Refused(Errno::EPERM)),
            Break => self.router.world.incident(0, Incident::Broken(Errno::EPERM)),
            Mend => self.mend(),
            Keep(at) => self.router.keep.mishap(at, Mishap::Fails(Errno::ENOSPC)),
            Snapshots(at) => self.router.state.mishap(at, Mishap::Fails(Errno::ENOSPC)),
            Lose => {
                self.router.state.lose();
                // The next agent cannot know about a pending change.
                if let Some((face, content)) = self.waiting.clone() {
                    self.may(face).insert(content);
                    self.lost.insert(face);
                }
            }
            Kill(at) => self.router.life.end_at(at),
            Cut(at, there) => {
                self.cut = Some(there);
                self.router.life.end_at(at);
            }
            Restart | Boot { .. } => unreachable!("handled by the path"),
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
        let Router { world, keep, state, bench, life, scratch: _ } = &self.router;
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

/// The starts of paths: from these, every order of events is tried.
const SCENES: [&[Event]; 5] = [
    &[],
    &[Push { face: 0, port: 1, confirm: 0 }, Push { face: 1, port: 9, confirm: 0 }],
    &[Push { face: 0, port: 1, confirm: 0 }, Push { face: 0, port: 3, confirm: 60 }],
    &[Push { face: 0, port: 1, confirm: 0 }, Boot { broken: true }, Mend],
    &[Push { face: 0, port: 1, confirm: 0 }, Push { face: 0, port: 3, confirm: 60 }, Break, Revert],
];

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
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut known, mut transitions) = (HashSet::new(), 0);
    let modes = [Some(OnDrift::Report), Some(OnDrift::Repair)];
    for on_drift in modes.into_iter().cycle().take(walks) {
        let mut path = Vec::new();
        for _ in 0..16 {
            // xorshift64
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            path.push(events[(seed >> 32) as usize % events.len()]);
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
