//! What the agent does when it starts, before it serves requests: it reverts an unfinished change, and applies what
//! is stored.

use core::fmt;

use proto_core::protocol::message::{Code, Failure, Name, Subject};

use crate::config::claims::{TakeClaim, each_in_force, settle};
use crate::config::image::Span;
use crate::config::index::Extras;
use crate::fault::{Fault, Slot};
use crate::kernel::read::each_rule;
use crate::kernel::write::PROTOCOL;
use crate::store::commit::{Adopt, Change, Committer, Working};
use crate::system::{Machine, System};

/// Called with each image that was applied: its interface, its file, and its place in the file.
pub type Applied<'a, F> = dyn FnMut(&Slot, (&Name, &mut F, Span)) -> Result<(), Fault> + 'a;

/// The keys of the notes on a held configuration, and on a folder that cannot be read. No interface can have these names.
const HELD: &str = "/held";
const KEEP: &str = "/keep";

/// Progress through the stored configurations.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    /// The last interface that was visited.
    last: Option<Name>,
    /// Whether a configuration could not be applied.
    pub failed: bool,
    /// The last interface that was visited, and whether it runs what is stored.
    pub visited: Option<(Name, Ran)>,
}

/// The reason for applying a stored configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Occasion {
    /// The start of the agent, or another attempt after it.
    Start,
    /// Another program changed the interface. With `adopt`, a link that the program made in place of ours is taken
    /// back.
    Drift {
        /// Whether to do that.
        adopt: bool,
    },
}

/// What became of a stored configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ran {
    /// It runs, and the kernel had to be changed for that.
    Changed,
    /// It ran already.
    Same,
    /// There is nothing to run: the interface was removed.
    Absent,
    /// It is not applied: it was refused, or is held back.
    Not,
}

impl Pass {
    /// Whether no interface was visited yet.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.last.is_none()
    }
}

impl<S: System> Committer<'_, S> {
    /// Reverts a change that the previous agent did not finish, or that was not confirmed. After a reboot there is
    /// nothing to revert.
    ///
    /// # Errors
    /// The interface, if the change cannot be reverted; the change then stays open.
    #[inline(never)]
    pub fn take_back_unfinished(&mut self) -> Result<(), Name> {
        self.store.discard();
        let Ok((head, _)) = self.snapshots.open_next().map_err(|fault| self.slot.take(fault))
        else {
            self.forget_change();
            return Ok(());
        };
        // The configuration has its number, so only the last step was cut: the change was complete.
        let newest = self.store.newest(&head.interface, u32::MAX);
        let newest = newest.map_err(|fault| self.slot.take(fault)).ok().flatten();
        let unfinished = newest.is_none_or(|newest| newest < head.number);
        if head.boot == self.machine.boot_id() && unfinished {
            let interface = &head.interface;
            match self.go_back(&mut |_, _, _| {}) {
                Ok(_) => {
                    self.machine.info(format_args!("{interface}: reverted an unfinished change"));
                }
                Err(fault) => {
                    self.note(interface, fault);
                    let interface = head.interface;
                    self.open = Some((interface, head.number));
                    return Err(interface);
                }
            }
        }
        self.forget_change();
        Ok(())
    }

    /// Applies the stored configuration of the next interface that `allowed` permits. Returns `false` after the last
    /// interface.
    ///
    /// `applied` is called with each image that was applied.
    pub fn apply_next(
        &mut self,
        pass: &mut Pass,
        allowed: &dyn Fn(&str) -> bool,
        applied: &mut Applied<'_, S::File>,
        working: &mut Working<'_>,
    ) -> bool {
        pass.visited = None;
        if pass.is_new() {
            self.trouble.count_again();
            self.trouble.take(KEEP);
        }
        let interface = loop {
            match self.store.interface_after(pass.last.as_ref()) {
                Ok(Some(next)) => {
                    pass.last = Some(next);
                    if allowed(&next) {
                        break next;
                    }
                }
                Ok(None) => {
                    // After a failure, another pass follows.
                    if !pass.failed {
                        self.log_unclaimed_rules();
                    }
                    return false;
                }
                Err(fault) => {
                    self.note(KEEP, fault);
                    pass.failed = true;
                    return false;
                }
            }
        };
        let ran = match self.put_back(&interface, Occasion::Start, applied, working) {
            Ok(ran) => {
                if ran == Ran::Changed {
                    self.machine
                        .info(format_args!("{interface}: applied the stored configuration"));
                }
                ran
            }
            Err(fault) => {
                pass.failed |= self.slot.code() != Some(Code::NotStored) || self.store.unread;
                self.note(&interface, fault);
                Ran::Not
            }
        };
        pass.visited = Some((interface, ran));
        true
    }

    /// Logs the number of policy rules with our protocol number that are in no image in force, as after a loss of
    /// stored files. Their owner is unknown, so they stay.
    fn log_unclaimed_rules(&mut self) {
        let Self { slot, kernel, files, store, machine, .. } = self;
        let mut rules = Extras::new(slot, &mut files.extras);
        let mut left = 0_u32;
        let mut count = || {
            rules.clear()?;
            each_rule(kernel, &mut |item, ours| {
                if ours { rules.push(&item.key(), false) } else { Ok(()) }
            })?;
            let mut each = |take: &mut TakeClaim<'_>| {
                each_in_force(store, "", &mut |_, record| take(None, record))
            };
            settle(&mut rules, true, &mut each, &mut |_| {
                left = left.saturating_add(1);
                Ok(())
            })
        };
        match count() {
            Ok(()) if left > 0 => machine.log(format_args!(
                "policy rules of protocol {PROTOCOL} that no stored configuration has: {left}; they stay"
            )),
            Ok(()) => {}
            // Failures of the kernel or the files are noted by interface elsewhere.
            Err(fault) => drop(slot.take(fault)),
        }
    }

    /// Applies the stored configuration of an interface.
    ///
    /// # Errors
    /// As for [`Committer::commit`]; [`Code::NotStored`].
    pub fn put_back(
        &mut self,
        interface: &Name,
        occasion: Occasion,
        applied: &mut Applied<'_, S::File>,
        working: &mut Working<'_>,
    ) -> Result<Ran, Fault> {
        let before = self.trouble.take(interface);
        self.store.unread = false;
        let newest = self.newest_whole(interface)?;
        if newest.as_ref().is_none_or(|(head, _)| !head.has_image()) {
            // No configuration is applied, so an earlier note about the running state still holds.
            self.trouble.put_back(before);
        }
        let Some((head, mut image)) = newest else {
            let text = "nothing that is stored is whole";
            return Err(self.slot.fail(Code::NotStored, Subject::Interface, text));
        };
        if !head.has_image() {
            return Ok(Ran::Absent);
        }
        let held = self.guard.as_mut().is_some_and(|guard| match occasion {
            Occasion::Start => !guard.may_apply(self.store.disk(), interface, head.number),
            Occasion::Drift { .. } => guard.holds(interface, head.number),
        });
        if held {
            let Self { guard: Some(guard), machine, trouble, .. } = self else {
                return Ok(Ran::Not);
            };
            if trouble.note(HELD, format_args!("{guard}")) {
                machine.log(format_args!("{guard}"));
            }
            return Ok(Ran::Not);
        }
        let adopt = match occasion {
            // An owner stored it, and it may be the only way to the router.
            Occasion::Start => Adopt::Name,
            Occasion::Drift { adopt } => Adopt::asked(adopt),
        };
        let change = Change { adopt, ..Change::REPAIR };
        let done = self.commit(&mut image, head.span(), &change, working)?;
        applied(self.slot, (interface, &mut image, head.span()))?;
        Ok(if done.summary.is_quiet() { Ran::Same } else { Ran::Changed })
    }

    /// Releases a hold, because an owner has changed or repaired the interface: its stored configuration is applied
    /// at the next start.
    pub fn release(&mut self, interface: &str) {
        if let Some(guard) = &mut self.guard
            && guard.release(self.store.disk(), interface)
        {
            self.trouble.take(HELD);
        }
    }

    /// Notes and logs a failure that no request can report, of an interface or under a key that starts with `/`.
    pub fn note(&mut self, about: &str, fault: Fault) {
        let Failure { subject, text, .. } = self.slot.take(fault);
        let (interface, colon) = if about.starts_with('/') { ("", "") } else { (about, ": ") };
        let Self { machine, trouble, .. } = self;
        let mut note = |words: fmt::Arguments<'_>| {
            // A fault that stays is logged once.
            if trouble.note(about, words) {
                machine.log(words);
            }
        };
        if matches!(subject, Subject::None | Subject::Interface) {
            note(format_args!("{interface}{colon}{text}"));
        } else {
            note(format_args!("{interface}{colon}{subject}: {text}"));
        }
    }
}
