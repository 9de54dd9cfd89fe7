//! What the agent does when it starts, before anybody asks for anything: what was cut short is taken back, and
//! what is stored is applied.

use core::fmt;

use proto_core::protocol::message::{Code, Failure, Name, Subject};

use crate::config::claims::{TakeClaim, each_in_force, settle};
use crate::config::image::Span;
use crate::config::index::Extras;
use crate::fault::{Fault, Slot};
use crate::kernel::read::{PROTOCOL, each_rule};
use crate::store::commit::{Change, Committer, Working};
use crate::system::{Disk, Machine, NetlinkSocket};

/// Sees an image that was applied: of which interface, in which file, and where in it.
pub type Applied<'a, F> = dyn FnMut(&Slot, (&Name, &mut F, Span)) -> Result<(), Fault> + 'a;

/// What a held configuration is noted under, which no interface is called.
const HELD: &str = "/held";

/// How far all stored configurations have been gone through.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    /// The last interface that was looked at.
    last: Option<Name>,
    /// One of them does not run.
    pub failed: bool,
}

impl Pass {
    /// Whether no interface was looked at yet.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.last.is_none()
    }
}

impl<N: NetlinkSocket, D: Disk, M: Machine> Committer<'_, N, D, M> {
    /// Takes back a change that the last agent was in the middle of, or that nobody confirmed. What the machine
    /// forgot by starting anew needs no taking back.
    ///
    /// # Errors
    /// The interface, when it cannot be taken back; then the change is open.
    #[inline(never)]
    pub fn take_back_unfinished(&mut self) -> Result<(), Name> {
        self.store.discard();
        let Ok((head, _)) = self.snapshots.open_next().map_err(|fault| self.slot.take(fault))
        else {
            self.forget_change();
            return Ok(());
        };
        // With that number it was the last step that was cut, and it was done.
        let newest = self.store.newest(&head.interface, u32::MAX);
        let newest = newest.map_err(|fault| self.slot.take(fault)).ok().flatten();
        let unfinished = newest.is_none_or(|newest| newest < head.number);
        if head.boot == self.machine.boot_id() && unfinished {
            let interface = &head.interface;
            match self.go_back(&mut |_, _, _| {}) {
                Ok(_) => {
                    self.machine.log(format_args!("{interface}: took an unfinished change back"));
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

    /// Goes on with the stored configurations: applies that of the next interface that `allowed` allows. Returns
    /// `false` when there was none.
    ///
    /// `applied` sees each image that runs.
    pub fn apply_next(
        &mut self,
        pass: &mut Pass,
        allowed: &dyn Fn(&str) -> bool,
        applied: &mut Applied<'_, D::File>,
        working: &mut Working<'_>,
    ) -> bool {
        let interface = loop {
            match self.store.interface_after(pass.last.as_ref()) {
                Ok(Some(next)) => {
                    pass.last = Some(next);
                    if allowed(&next) {
                        break next;
                    }
                }
                Ok(None) => {
                    // After a failure there is another pass.
                    if !pass.failed {
                        self.log_unclaimed_rules();
                    }
                    return false;
                }
                Err(fault) => {
                    self.note("", fault);
                    pass.failed = true;
                    return false;
                }
            }
        };
        match self.repair(&interface, applied, working) {
            Ok(changed) => {
                if changed {
                    self.machine.log(format_args!("{interface}: applied what is stored"));
                }
            }
            Err(fault) => {
                pass.failed |= self.slot.code() != Some(Code::NotStored);
                self.note(&interface, fault);
            }
        }
        true
    }

    /// Logs how many policy rules with our protocol number no image in force has, as after stored files were lost. Nothing
    /// says whose they are, so they stay.
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
            // What is wrong with the kernel or the files is noted by interface.
            Err(fault) => drop(slot.take(fault)),
        }
    }

    /// Applies what is stored of an interface. Whether anything had to change.
    fn repair(
        &mut self,
        interface: &Name,
        applied: &mut Applied<'_, D::File>,
        working: &mut Working<'_>,
    ) -> Result<bool, Fault> {
        let before = self.trouble.take(interface);
        let newest = self.newest_whole(interface)?;
        if newest.as_ref().is_none_or(|(head, _)| !head.has_image()) {
            // Nothing is applied, so what was wrong with what runs still is.
            self.trouble.put_back(before);
        }
        let Some((head, mut image)) = newest else {
            let text = "nothing that is stored is whole";
            return Err(self.slot.fail(Code::NotStored, Subject::Interface, text));
        };
        if !head.has_image() {
            return Ok(false);
        }
        if let Some(guard) = &mut self.guard
            && !guard.may_apply(self.store.disk(), interface, head.number)
        {
            let Self { guard: Some(guard), machine, trouble, .. } = self else { return Ok(false) };
            if trouble.note(HELD, format_args!("{guard}")) {
                machine.log(format_args!("{guard}"));
            }
            return Ok(false);
        }
        let done = self.commit(&mut image, head.span(), &Change::REPAIR, working)?;
        applied(self.slot, (interface, &mut image, head.span()))?;
        Ok(!done.summary.is_quiet())
    }

    /// An owner has changed or repaired an interface: what is stored of it is applied at the next start.
    pub fn release(&mut self, interface: &str) {
        if let Some(guard) = &mut self.guard
            && guard.release(self.store.disk(), interface)
        {
            self.trouble.take(HELD);
        }
    }

    /// Keeps a failure that there is nobody to tell of.
    pub fn note(&mut self, interface: &str, fault: Fault) {
        let Failure { subject, text, .. } = self.slot.take(fault);
        let colon = if interface.is_empty() { "" } else { ": " };
        let Self { machine, trouble, .. } = self;
        let mut note = |words: fmt::Arguments<'_>| {
            machine.log(words);
            trouble.note(interface, words);
        };
        if matches!(subject, Subject::None | Subject::Interface) {
            note(format_args!("{interface}{colon}{text}"));
        } else {
            note(format_args!("{interface}{colon}{subject}: {text}"));
        }
    }
}
