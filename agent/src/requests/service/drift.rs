//! Changes of stored interfaces by other programs: noticed, reported, and repaired if the agent was asked to.
//!
//! The kernel announces changes of links, addresses, routes and rules. Many announcements lead to one comparison of
//! every stored interface with its configuration, [`SETTLED`] ms after the first announcement: the same comparison as
//! for a push, so a change that the agent made itself is no difference. WireGuard announces nothing, so the comparison
//! is made every [`BEAT`] ms too. Whatever a comparison costs, they take at most a tenth of the time, and the beat a
//! hundredth. A repair waits for [`STEADY`] ms, so that another program can end what it does, and for the brake.
//!
//! An interface whose stored configuration could not be applied at the start is not looked at: the service tries that
//! again by itself.

use core::fmt;

use heapless::Vec;
use proto_core::netlink::route::{Notification, Notifications, Object};
use proto_core::protocol::message::{Code, Drift as Shown, Name, copy};

use super::Service;
use super::state::{State, Waiting};
use crate::config::differences::Words;
use crate::options::OnDrift;
use crate::store::brake::Brake;
use crate::store::commit::Committer;
use crate::store::start::{Occasion, Ran};
use crate::system::{Machine, System, sooner};

/// Milliseconds from the first notification to the comparison.
const SETTLED: u64 = 200;
/// Milliseconds between two comparisons without a notification.
const BEAT: u64 = 30_000;
/// Milliseconds that a difference has to stay before it is repaired.
const STEADY: u64 = 1_000;
/// Number of interfaces that something is remembered of. Further ones are counted.
const FACES: usize = 8;
/// Lines of the log about drift: a new one every so many milliseconds on average, and so many milliseconds' worth at
/// once.
const LOG: (u64, u64) = (6_000, 60_000);

/// An interface that differs, or did.
#[derive(Debug)]
struct Face {
    name: Name,
    /// `false` if its stored configuration could not be applied.
    runs: bool,
    /// What differs; empty if nothing does.
    what: Words,
    since: u64,
    brake: Brake,
    /// Whether the last repair failed.
    failed: bool,
    /// Whether this pass has visited it.
    visited: bool,
}

impl Face {
    /// Time from which it may be repaired, if it needs that.
    fn repair_at(&self) -> Option<u64> {
        let steady = self.since.saturating_add(STEADY);
        (self.runs && !self.what.is_empty()).then_some(steady.max(self.brake.until()))
    }

    /// Whether nothing has to be remembered of it.
    fn is_idle(&self) -> bool {
        self.runs && self.what.is_empty() && self.brake.repairs() == 0
    }
}

/// One visit of every stored interface.
#[derive(Debug, Default)]
struct Round {
    last: Option<Name>,
    /// Interfaces that differ and that there is no room to remember.
    more: u32,
    links: Links,
    /// Whether the interface of the pending change was visited: nothing of it may be stored yet.
    pending: bool,
    /// Milliseconds that the comparisons took.
    took: u64,
}

/// A set of link indexes, which may hold more than was put in: a link that it holds by mistake leads to a comparison
/// that finds nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Links([u64; 4]);

impl Links {
    /// Every link.
    const ALL: Self = Self([u64::MAX; 4]);

    fn place(index: u32) -> (usize, u64) {
        ((index >> 6 & 3) as usize, 1 << (index & 63))
    }

    fn put(&mut self, index: u32) {
        let (word, bit) = Self::place(index);
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    fn has(&self, index: u32) -> bool {
        let (word, bit) = Self::place(index);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }
}

/// Differences between the kernel and the stored configurations that other programs made.
#[derive(Debug, Default)]
pub(super) struct Drift {
    /// `None` looks for nothing.
    on: Option<OnDrift>,
    faces: Vec<Face, FACES>,
    more: u32,
    /// The links of the stored interfaces.
    links: Links,
    round: Option<Round>,
    /// Time of the next comparison, and the earliest time for it.
    due: u64,
    rest: u64,
    /// An interface that could not be applied is not remembered for want of room.
    unknown: bool,
    /// Time up to which lines of the log are used up.
    logged: u64,
}

impl Drift {
    /// Something may have changed.
    pub(super) fn notice(&mut self, now: u64) {
        self.due = self.due.min(now.saturating_add(SETTLED).max(self.rest));
    }

    /// Compares at once.
    pub(super) fn hurry(&mut self, now: u64) {
        self.due = self.due.min(now);
    }

    /// A client was told whether the kernel agrees with the stored configuration. A result that differs from the last one
    /// leads to a comparison at once.
    pub(super) fn heard(&mut self, name: &Name, agrees: bool, now: u64) {
        let known = self.known(name).is_none_or(|face| face.what.is_empty());
        if known != agrees {
            self.hurry(now);
        }
    }

    fn known(&mut self, name: &Name) -> Option<&mut Face> {
        self.faces.iter_mut().find(|face| face.name == *name)
    }

    /// The memory of an interface. `None` if there is no room.
    fn face(&mut self, name: &Name) -> Option<&mut Face> {
        if self.known(name).is_none() {
            if self.faces.is_full() {
                let idle = self.faces.iter().position(Face::is_idle)?;
                self.faces.swap_remove(idle);
            }
            let face = Face {
                name: *name,
                runs: true,
                what: Words::new(),
                since: 0,
                brake: Brake::default(),
                failed: false,
                visited: true,
            };
            let _ = self.faces.push(face);
        }
        self.known(name)
    }

    /// Forgets the differences of an interface that an owner has changed, or whose stored configuration was applied.
    pub(super) fn forget(&mut self, name: &Name) {
        if let Some(at) = self.faces.iter().position(|face| face.name == *name) {
            self.faces.swap_remove(at);
        }
    }

    /// The stored configuration of an interface was visited.
    pub(super) fn visited(&mut self, name: &Name, ran: Ran) {
        if ran != Ran::Not {
            return self.forget(name);
        }
        match self.face(name) {
            Some(face) => face.runs = false,
            None => self.unknown = true,
        }
    }

    fn repairs(&self) -> bool {
        self.on == Some(OnDrift::Repair)
    }

    /// Time at which the next repair is due.
    fn repair_at(&self) -> Option<u64> {
        let at = self.faces.iter().filter_map(Face::repair_at).min();
        at.filter(|_| self.repairs() && !self.unknown)
    }

    /// The interfaces that differ, and how many there are.
    pub(super) fn shown(&self, now: u64) -> (Vec<Shown, 3>, u32) {
        let seconds = |millis: u64| u32::try_from(millis.div_ceil(1_000)).unwrap_or(u32::MAX);
        let mut shown = Vec::new();
        let mut count = self.more;
        for face in self.faces.iter().filter(|face| face.runs && !face.what.is_empty()) {
            count = count.saturating_add(1);
            let next = face.repair_at().filter(|_| self.repairs() && !self.unknown);
            // As many as fit.
            let _ = shown.push(Shown {
                interface: face.name,
                what: copy(&face.what),
                seconds: seconds(now.saturating_sub(face.since)),
                repairs: face.brake.repairs(),
                next_repair: next.map(|at| seconds(at.saturating_sub(now))),
            });
        }
        (shown, count)
    }

    /// Logs a line, unless there were many. `good` for one that is no error.
    fn log(&mut self, machine: &dyn Machine, good: bool, line: fmt::Arguments<'_>) {
        let now = machine.now();
        if self.logged <= now.saturating_add(LOG.1) {
            self.logged = self.logged.max(now).saturating_add(LOG.0);
            if good { machine.info(line) } else { machine.log(line) }
        }
    }
}

impl<S: System> Service<'_, S> {
    /// Looks for changes by other programs from now on.
    pub fn watch(&mut self, on: OnDrift) {
        if on == OnDrift::Ignore {
            return;
        }
        self.drift.on = Some(on);
        // Links that are there before the agent are not announced. The first comparison finds out which are ours.
        self.drift.links = Links::ALL;
        self.drift.due = self.committer.machine.now().saturating_add(BEAT);
    }

    /// Reads a datagram of the kernel's notifications. To be called with no bytes and a greater `full_len` when some
    /// were lost.
    pub fn notified(&mut self, datagram: &[u8], full_len: usize, sender: u32) {
        let now = self.committer.machine.now();
        self.hosts.wake(now);
        if self.drift.on.is_none() {
            return;
        }
        let own = self.committer.kernel.route_port();
        for change in Notifications::new(datagram, full_len, sender) {
            if let Ok(Notification { object: Object::Link(link), .. }) = change
                && self.policy.allows(&link.name)
            {
                self.drift.links.put(link.index);
                self.drift.round.iter_mut().for_each(|round| round.links.put(link.index));
            }
            let concerns = match change {
                // The change was compared when it was made.
                Ok(change) if change.port == own => false,
                Ok(change) => match change.object {
                    Object::Link(link) => self.policy.allows(&link.name),
                    Object::Addr(address) => self.drift.links.has(address.index),
                    Object::Route(route) => {
                        route.oif.is_some_and(|index| self.drift.links.has(index))
                    }
                    _ => true,
                },
                Err(_) => true,
            };
            if concerns {
                self.drift.notice(now);
            }
        }
    }

    /// Time of the next comparison or repair.
    pub(super) fn drift_deadline(&self) -> Option<u64> {
        let Drift { on: Some(_), round, due, .. } = &self.drift else { return None };
        if self.pass.is_some() {
            return None;
        }
        if round.is_some() {
            return Some(0);
        }
        let repair = self.drift.repair_at().zip(self.state.free_at());
        sooner(Some(*due), repair.map(|(at, free)| at.max(free)))
    }

    /// Compares the next stored interface with the kernel, and repairs it if it is time.
    #[inline(never)]
    pub(super) fn look_for_drift(&mut self) {
        let now = self.committer.machine.now();
        if self.drift.round.is_none() {
            self.drift.due = u64::MAX;
            self.drift.round = Some(Round::default());
            self.drift.faces.iter_mut().for_each(|face| face.visited = false);
        }
        let last = self.drift.round.as_ref().and_then(|round| round.last);
        let next = self.committer.store.interface_after(last.as_ref());
        let whole = next.is_ok();
        let next = next.map_err(|fault| self.slot.take(fault)).ok().flatten();
        let Some(round) = &mut self.drift.round else { return };
        let waits = match &self.state {
            State::Waiting(_, waiting) => Some(waiting.head.interface),
            _ => None,
        };
        round.last = next.or(round.last);
        let next = next.or_else(|| waits.filter(|_| !round.pending));
        round.pending |= next.is_some() && next == waits;
        match next {
            Some(name) => {
                if self.policy.allows(&name) {
                    self.look_at(&name, now);
                    self.forget_keys();
                }
            }
            None => {
                let Some(round) = self.drift.round.take() else { return };
                let drift = &mut self.drift;
                // A folder that cannot be read says nothing about the interfaces that were not visited.
                if whole {
                    drift.faces.retain(|face| face.visited);
                    drift.unknown &= drift.faces.iter().any(|face| !face.runs);
                    (drift.more, drift.links) = (round.more, round.links);
                }
                drift.rest = now.saturating_add(round.took.saturating_mul(10));
                let beat = now.saturating_add(round.took.saturating_mul(100).max(BEAT));
                drift.due = drift.due.max(drift.rest).min(beat);
            }
        }
    }

    fn look_at(&mut self, name: &Name, now: u64) {
        let Self { committer, state, drift, .. } = self;
        let known = drift.known(name).map(|face| {
            face.visited = true;
            face.runs
        });
        let pending = match state {
            State::Waiting(_, Waiting { head, .. }) if head.interface == *name => Some(&*head),
            State::Reverting(_, reverting) if reverting.interface == *name => return,
            _ => None,
        };
        if known == Some(false) {
            return;
        }
        let mut words = Words::new();
        let looked = committer.look(name, pending, &mut words);
        let machine = committer.machine;
        let Some(round) = &mut drift.round else { return };
        round.took = round.took.saturating_add(machine.now().saturating_sub(now));
        match looked.map_err(|fault| self.slot.take(fault)) {
            Ok(Some(index)) => round.links.put(index),
            Ok(None) => return drift.forget(name),
            // Another program has its place.
            Err(failure) if matches!(failure.code, Code::WrongKind | Code::NoWireGuard) => {
                words = proto_core::protocol::message::cut(&failure.text);
            }
            // The known differences stay until the kernel or the disk answers.
            Err(_) => return,
        }
        if words.is_empty() {
            return self.agrees(name, now);
        }
        let Some(face) = drift.face(name) else {
            if let Some(round) = &mut drift.round {
                round.more = round.more.saturating_add(1);
            }
            return;
        };
        face.brake.differs(now);
        if face.what.is_empty() {
            face.since = now;
        }
        let repair = face.repair_at().is_some_and(|at| now >= at);
        let new = face.what != words;
        face.what = words;
        if new {
            let words = copy(&face.what);
            drift.log(machine, false, format_args!("{name}: differs from what is stored: {words}"));
        }
        if repair
            && drift.repairs()
            && !drift.unknown
            && self.state.free_at().is_some_and(|at| now >= at)
        {
            self.put_back(name);
        }
    }

    /// Notes that the kernel agrees with the stored configuration.
    fn agrees(&mut self, name: &Name, now: u64) {
        let Self { committer: Committer { machine, trouble, .. }, drift, .. } = self;
        let Some(face) = drift.known(name) else { return };
        face.brake.agrees(now);
        let differed = !face.what.is_empty();
        face.what.clear();
        if core::mem::take(&mut face.failed) {
            trouble.take(name);
        }
        if differed {
            drift.log(*machine, true, format_args!("{name}: is as stored again"));
        }
    }

    /// Applies the stored configuration of an interface that another program changed.
    #[inline(never)]
    fn put_back(&mut self, name: &Name) {
        let Self { committer, hosts, drift, .. } = self;
        let machine = committer.machine;
        let now = machine.now();
        let done = committer.put_back(
            name,
            Occasion::Drift { adopt: !machine.is_managed(name) },
            &mut |slot, (interface, image, span)| {
                hosts.take(slot, interface, (image, span), true, now)
            },
            &mut |_, _, _| {},
        );
        let open = committer.open_interface();
        let now = machine.now();
        let Some(face) = drift.face(name) else { return };
        face.brake.repaired(now);
        let pause = face.brake.until().saturating_sub(now).div_ceil(1_000);
        let repairs = face.brake.repairs();
        match done {
            Ok(Ran::Not) => face.runs = false,
            Ok(_) => {
                let words = core::mem::take(&mut face.what);
                face.failed = false;
                face.brake.agrees(now);
                drift.log(machine, true, format_args!("{name}: put back what is stored: {words}"));
                self.announce(name, "repair");
            }
            Err(fault) => {
                face.failed = true;
                committer.note(name, fault);
            }
        }
        if pause > 0 {
            let line = format_args!(
                "{name}: {repairs} repairs, and it differs again and again: the next one in {pause} s at the earliest"
            );
            self.drift.log(machine, false, line);
        }
        // The link may be another one now.
        self.drift.notice(now);
        if let Some(interface) = open {
            self.go_on_reverting(&interface);
        }
    }
}

#[cfg(test)]
mod tests;
