//! The pending change, and the other timers of the service.

use core::net::SocketAddr;

use proto_core::ip::Shown;
use proto_core::netlink::Errno;
use proto_core::protocol::config::Host;
use proto_core::protocol::message::{Answer, Code, Name, Subject};

use super::push::beat;
use super::state::{Due, State, Waiting};
use super::{Service, Turn, Visitor};
use crate::fault::{Fault, Slot};
use crate::store::commit::{Committer, Working};
use crate::store::configurations::Head;
use crate::store::guard::Guard;
use crate::store::start::{Pass, Ran};
use crate::system::{Machine, System, sooner};

/// The key of the note on a name whose address the kernel refused. No interface can have this name.
const NAMES: &str = "/names";

/// The longest time to confirm a change, in seconds.
pub const LONGEST_CONFIRM: u16 = 3_600;

impl<S: System> Service<'_, S> {
    /// Fails for a time to confirm that is out of range.
    pub(super) fn check_confirm(&self, seconds: u16) -> Result<(), Fault> {
        if seconds <= LONGEST_CONFIRM {
            return Ok(());
        }
        let words = format_args!("the time to confirm a change is at most {LONGEST_CONFIRM} s");
        Err(self.slot.say(Code::Malformed, Subject::None, Errno(0), words))
    }

    /// Makes a change pending from now on.
    pub(super) fn wait(&mut self, head: Head, visitor: &Visitor<'_, '_>, seconds: u16) {
        let life = u64::from(seconds).saturating_mul(1000);
        let deadline = self.committer.machine.now().saturating_add(life);
        self.state.wait(Waiting { head, newest: visitor.newest, deadline });
    }

    pub(super) fn confirm(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
    ) -> Result<(), Fault> {
        let State::Waiting(_, waiting) = &self.state else { return Err(not_pending(self.slot)) };
        // Session numbers wrap around.
        let later = visitor.nth.wrapping_sub(waiting.newest);
        if later == 0 || later > u32::MAX / 2 {
            let text = "this session was there before the change: only a new one confirms it";
            return Err(self.slot.fail(Code::NotFresh, Subject::None, text));
        }
        let (interface, number) = (waiting.head.interface, waiting.head.number);
        let mut working = beat(self.committer.machine, turn);
        self.committer.confirm(&waiting.head, &mut working)?;
        drop(working);
        self.state.end();
        let from = turn.outlet.from();
        let machine = self.committer.machine;
        machine.info(format_args!("{from}: confirmed {interface}, no. {number}"));
        turn.answer(&Answer::Confirmed { interface, number });
        Ok(())
    }

    /// Reverts the pending change, or one that could not be reverted earlier, on an owner's
    /// request.
    pub(super) fn revert_now(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let interface = match &self.state {
            State::Waiting(_, Waiting { head, .. }) => head.interface,
            State::Reverting(_, reverting) => reverting.interface,
            _ => return Err(not_pending(self.slot)),
        };
        if let Err(fault) = self.take_back(&interface) {
            let failure = self.slot.take(fault);
            self.go_on_reverting(&interface);
            return Err(self.slot.restore(failure));
        }
        let from = turn.outlet.from();
        let machine = self.committer.machine;
        machine.info(format_args!("{from}: took the change of {interface} back"));
        turn.answer(&Answer::Reverted { interface });
        Ok(())
    }

    /// Reverts a change. The state is then `Idle`; on an error it is unchanged.
    pub(super) fn take_back(&mut self, interface: &Name) -> Result<(), Fault> {
        self.committer.revert(&mut |_, _, _| {})?;
        self.state.end();
        self.look_up(interface, false);
        self.changed(interface, "revert");
        // What other programs had changed before is back too.
        self.drift.hurry(self.committer.machine.now());
        Ok(())
    }

    /// To be called after a failure: if a change of this interface could not be reverted, the revert is retried a
    /// number of times. Without a snapshot there is nothing to go back to.
    pub(super) fn go_on_reverting(&mut self, interface: &Name) {
        let now = self.committer.machine.now();
        if self.committer.is_open() && self.state.stage().is_some() {
            // Best effort: if this fails, the next stage overwrites the keys.
            let _ = self.drop_stage().map_err(|fault| self.slot.take(fault));
        }
        if !self.committer.is_open() {
            if !matches!(self.state, State::Waiting(..) | State::Reverting(..)) {
                return;
            }
            self.state.give_up(now);
        } else if self.state.revert_failed(interface, now) {
            return;
        }
        self.committer.give_up_change();
        let text = "a change could not be reverted: it may run though it is not stored; push, roll \
                    back or remove the interface";
        let fault = self.slot.fail(Code::Kernel, Subject::None, text);
        self.committer.note(interface, fault);
    }

    /// Reverts a change that the previous agent left unfinished. The stored configurations are then applied by
    /// [`Service::tick`], one interface at a time.
    pub fn begin_to_work(&mut self) {
        let now = self.committer.machine.now();
        if let Err(interface) = self.committer.take_back_unfinished() {
            self.state.owe(now);
            return self.go_on_reverting(&interface);
        }
        self.pass = Some(Pass::default());
    }

    /// As [`Service::begin_to_work`], and applies all stored configurations before it returns.
    #[cfg(any(test, feature = "testing"))]
    pub fn start(&mut self) {
        self.begin_to_work();
        self.finish_pass(&mut |_, _, _| {});
    }

    /// Applies the remaining stored configurations, before an action that could delay them for long.
    pub(super) fn finish_pass(&mut self, working: &mut Working<'_>) {
        while self.pass.is_some() && self.state.free_at().is_some() {
            self.apply_stored(working);
        }
    }

    /// Applies the stored configuration of the next interface.
    fn apply_stored(&mut self, working: &mut Working<'_>) {
        let Self { committer, policy, hosts, pass, .. } = self;
        let now = committer.machine.now();
        let pass = pass.get_or_insert_default();
        let allowed = |name: &str| policy.allows(name);
        let more = committer.apply_next(
            pass,
            &allowed,
            &mut |slot, image| {
                let (interface, image, span) = image;
                hosts.take(slot, interface, (image, span), true, now)
            },
            working,
        );
        let open = committer.open_interface();
        let (visited, failed) = (pass.visited, pass.failed);
        if let Some((name, ran)) = visited {
            self.drift.visited(&name, ran);
            if ran == Ran::Changed || (ran == Ran::Same && !self.told.started) {
                self.announce(&name, "start");
            }
        }
        if !more || open.is_some() {
            let whole = !failed && open.is_none();
            self.pass = None;
            self.told.started = true;
            let now = self.committer.machine.now();
            self.state.applied(whole, now);
            if let Some(guard) = &mut self.committer.guard {
                guard.applied(self.committer.store.disk(), now);
            }
        }
        if let Some(interface) = open {
            self.go_on_reverting(&interface);
        }
        self.forget_keys();
    }

    /// An owner's change of an interface was made, or reverted.
    pub(super) fn changed(&mut self, interface: &Name, what: &'static str) {
        self.drift.forget(interface);
        // The names may be others now. One that the kernel still refuses is noted again at the next attempt.
        self.committer.trouble.take(NAMES);
        self.announce(interface, what);
    }

    /// Records the host names in the stored configuration of an interface, to be looked up.
    pub(super) fn look_up(&mut self, interface: &Name, all: bool) {
        let now = self.committer.machine.now();
        self.hosts.forget(interface);
        let Ok(Some((head, mut image))) =
            self.committer.newest_whole(interface).map_err(|fault| self.slot.take(fault))
        else {
            return;
        };
        let taken = self.hosts.take(self.slot, interface, (&mut image, head.span()), all, now);
        // The error is reported when the next configuration is stored.
        let _ = taken.map_err(|fault| self.slot.take(fault));
    }

    /// The next endpoint to look up. The event loop calls [`Service::found`] with its number and the result.
    pub fn next_host(&mut self) -> Option<(usize, Host)> {
        let now = self.committer.machine.now();
        self.hosts.next(now)
    }

    /// Takes the result of a lookup, by its number.
    pub fn found(&mut self, number: usize, address: Option<SocketAddr>) {
        let Committer { kernel, set, machine, trouble, .. } = &mut self.committer;
        match self.hosts.found(kernel, set, number, address, machine.now()) {
            Ok(Some((wanted, address))) => {
                trouble.take(NAMES);
                machine.info(format_args!(
                    "{}: {} is {}{}",
                    wanted.interface(),
                    wanted.host.name,
                    Shown(address),
                    if wanted.is_again() {
                        " now; there was no handshake for over 135 seconds"
                    } else {
                        ""
                    }
                ));
            }
            Ok(None) => {}
            Err(fault) => self.committer.note(NAMES, fault),
        }
        self.forget_keys();
    }

    /// Time of the next timer.
    pub fn deadline(&self) -> Option<u64> {
        sooner(self.work_deadline(), self.drift_deadline())
    }

    /// Time of the next timer apart from the search for changes by other programs, which never ends.
    pub(super) fn work_deadline(&self) -> Option<u64> {
        let pass = self.pass.as_ref().and_then(|_| self.state.free_at());
        let guard = self.committer.guard.as_ref().and_then(Guard::deadline);
        let hosts = sooner(self.hosts.deadline(), self.hosts.check_deadline());
        sooner(sooner(self.state.deadline(), pass), sooner(guard, hosts))
    }

    /// Runs the timers that are due.
    #[inline(never)]
    pub fn tick(&mut self) {
        let machine = self.committer.machine;
        let now = machine.now();
        if let Some(guard) = &mut self.committer.guard
            && guard.tick(self.committer.store.disk(), now)
        {
            self.state.owe(now);
        }
        if self.hosts.check_deadline().is_some_and(|at| now >= at) {
            let time = machine.unix_time();
            self.hosts.check(&mut self.committer.kernel, now, time);
            let ended = machine.now();
            self.hosts.checked(ended, ended.saturating_sub(now));
            self.forget_keys();
        }
        let goes_on = self.pass.is_some() && self.state.free_at().is_some_and(|at| now >= at);
        match self.state.due(now) {
            Due::Nothing if goes_on => self.apply_stored(&mut |_, _, _| {}),
            Due::Nothing => {}
            Due::Apply => self.apply_stored(&mut |_, _, _| {}),
            Due::Revert => {
                let (interface, why) = match &self.state {
                    State::Waiting(_, Waiting { head, .. }) => {
                        (head.interface, "the change was not confirmed in time")
                    }
                    State::Reverting(_, reverting) => (reverting.interface, "at last"),
                    _ => return,
                };
                match self.take_back(&interface) {
                    Ok(()) => machine.log(format_args!("{interface}: {why}; reverted")),
                    Err(fault) => {
                        self.committer.note(&interface, fault);
                        self.go_on_reverting(&interface);
                    }
                }
                self.forget_keys();
            }
        }
        if self.drift_deadline().is_some_and(|at| now >= at) {
            self.look_for_drift();
        }
    }
}

fn not_pending(slot: &Slot) -> Fault {
    slot.fail(Code::NotPending, Subject::None, "no change waits to be confirmed")
}

#[cfg(test)]
mod tests;
