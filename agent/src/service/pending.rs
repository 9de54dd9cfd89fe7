//! A change that waits to be confirmed, and what else the clock brings.

use core::net::SocketAddr;

use proto_core::ip::Shown;
use proto_core::netlink::Errno;
use proto_core::protocol::config::Host;
use proto_core::protocol::message::{self, Answer, Code, Name, Subject, copy};

use super::{Service, Turn, Visitor};
use crate::commit::Committer;
use crate::fault::Fault;
use crate::store::Head;
use crate::system::{Disk, Machine, NetlinkSocket, sooner};

/// The longest that a change may wait, in seconds.
const LONGEST: u16 = 3_600;
/// How long to wait before a change is taken back again that could not be, in milliseconds.
const AGAIN: u64 = 5_000;
/// How long to wait at first and at most before what is stored is applied again, in milliseconds.
const RETRY: (u64, u64) = (1_000, 60_000);

/// A change that waits.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// What is stored when it is confirmed.
    pub(super) head: Head,
    /// The newest session when it was made: only a later one confirms it.
    newest: u32,
    deadline: u64,
}

impl Pending {
    /// Seconds that are left, at least 1.
    pub(super) fn seconds(&self, now: u64) -> u16 {
        let left = self.deadline.saturating_sub(now).div_ceil(1000).max(1);
        u16::try_from(left).unwrap_or(u16::MAX)
    }

    pub(super) fn shown(&self, now: u64) -> message::Pending {
        message::Pending {
            interface: self.head.interface,
            number: self.head.number,
            by: copy(&self.head.by),
            seconds: self.seconds(now),
            digest: self.head.digest,
        }
    }
}

impl<N: NetlinkSocket, D: Disk, M: Machine + Copy> Service<'_, N, D, M> {
    /// Fails for a time that no change may wait.
    pub(super) fn check_confirm(&self, seconds: u16) -> Result<(), Fault> {
        if seconds <= LONGEST {
            return Ok(());
        }
        let words = format_args!("a change waits at most {LONGEST} s to be confirmed");
        Err(self.slot.say(Code::Malformed, Subject::None, Errno(0), words))
    }

    /// A change waits from now on.
    pub(super) fn wait(&mut self, head: Head, visitor: &Visitor<'_, '_>, seconds: u16) {
        let life = u64::from(seconds).saturating_mul(1000);
        let deadline = self.committer.machine.now().saturating_add(life);
        self.pending = Some(Pending { head, newest: visitor.newest, deadline });
    }

    fn not_pending(&self) -> Fault {
        self.slot.fail(Code::NotPending, Subject::None, "no change waits to be confirmed")
    }

    pub(super) fn confirm(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
    ) -> Result<(), Fault> {
        let Some(pending) = &self.pending else { return Err(self.not_pending()) };
        // Numbers of sessions are compared as those of a circle are.
        let later = visitor.nth.wrapping_sub(pending.newest);
        if later == 0 || later > u32::MAX / 2 {
            let text = "this session was there before the change: only a new one confirms it";
            return Err(self.slot.fail(Code::NotFresh, Subject::None, text));
        }
        self.committer.confirm(&pending.head)?;
        let (interface, number) = (pending.head.interface, pending.head.number);
        self.pending = None;
        let from = turn.outlet.from();
        let machine = self.committer.machine;
        machine.log(format_args!("{from}: confirmed {interface}, no. {number}"));
        turn.answer(&Answer::Confirmed { interface, number });
        Ok(())
    }

    pub(super) fn revert(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let Some(pending) = &self.pending else { return Err(self.not_pending()) };
        let interface = pending.head.interface;
        self.committer.revert(&mut |_, _, _| {})?;
        self.pending = None;
        self.look_up(&interface, false);
        let from = turn.outlet.from();
        let machine = self.committer.machine;
        machine.log(format_args!("{from}: took the change of {interface} back"));
        turn.answer(&Answer::Reverted { interface });
        Ok(())
    }

    /// What is done before anybody asks for anything.
    pub fn start(&mut self) {
        self.committer.take_back_unfinished();
        self.apply_stored(RETRY.0);
    }

    fn apply_stored(&mut self, wait: u64) {
        let Self { committer, policy, hosts, .. } = self;
        let now = committer.machine.now();
        let whole = committer.apply_stored(&|name| policy.allows(name), &mut |slot, image| {
            let (interface, image, span) = image;
            hosts.take(slot, interface, (image, span), true, now)
        });
        let next = committer.machine.now().saturating_add(wait);
        self.retry = (!whole).then_some((next, wait));
        self.forget_keys();
    }

    /// Takes note of the endpoints to look up of what is stored of an interface.
    pub(super) fn look_up(&mut self, interface: &Name, all: bool) {
        let now = self.committer.machine.now();
        self.hosts.forget(interface);
        let Ok(Some((head, mut image))) =
            self.committer.newest_whole(interface).map_err(|fault| self.slot.take(fault))
        else {
            return;
        };
        let taken = self.hosts.take(self.slot, interface, (&mut image, head.span()), all, now);
        // It is heard of when the next one is stored.
        let _ = taken.map_err(|fault| self.slot.take(fault));
    }

    /// The next endpoint that is to be looked up, for the loop around this, which calls [`Service::found`] with
    /// its number when it knows.
    pub fn next_host(&mut self) -> Option<(usize, Host)> {
        let now = self.committer.machine.now();
        self.hosts.next(now)
    }

    /// What came of looking the one of that number up.
    pub fn found(&mut self, number: usize, address: Option<SocketAddr>) {
        let Committer { kernel, set, machine, .. } = &mut self.committer;
        match self.hosts.found(kernel, set, number, address) {
            Ok(Some((wanted, address))) => machine.log(format_args!(
                "{}: {} is {}",
                wanted.interface(),
                wanted.host.name,
                Shown(address)
            )),
            Ok(None) => {}
            Err(fault) => self.committer.note("", fault),
        }
        self.forget_keys();
    }

    /// When there is something to do though nobody asks for anything.
    pub fn deadline(&self) -> Option<u64> {
        let pending = self.pending.as_ref().map(|pending| pending.deadline);
        let retry = self.retry.map(|(at, _)| at);
        sooner(sooner(pending, retry), self.hosts.deadline())
    }

    /// Does what is due.
    #[inline(never)]
    pub fn tick(&mut self) {
        let machine = self.committer.machine;
        let now = machine.now();
        if let Some(pending) = self.pending.as_mut().filter(|pending| now >= pending.deadline) {
            let interface = &pending.head.interface;
            match self.committer.revert(&mut |_, _, _| {}) {
                Ok(()) => {
                    machine.log(format_args!(
                        "{interface}: nobody confirmed the change; took it back"
                    ));
                    let interface = *interface;
                    self.pending = None;
                    self.look_up(&interface, false);
                }
                Err(fault) => {
                    self.committer.note(interface, fault);
                    pending.deadline = machine.now().saturating_add(AGAIN);
                }
            }
            self.forget_keys();
        }
        match self.retry {
            // A push that is under way uses the same files.
            Some((at, wait)) if now >= at => {
                self.apply_stored(wait.saturating_mul(2).min(RETRY.1));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
