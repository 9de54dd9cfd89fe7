//! A change that is applied and not stored: confirmed, or reverted.

use core::fmt::Write;

use heapless::String;
use proto_core::protocol::message::{Code, MAX_TEXT, Subject};
use proto_core::protocol::report::Act;

use super::{Committer, Working};
use crate::config::plan::{Purpose, agree};
use crate::fault::Fault;
use crate::kernel::read::wireguard_link;
use crate::store::configurations::Head;
use crate::system::System;

impl<S: System> Committer<'_, S> {
    /// Confirms the pending change: stores it, if the kernel still has it.
    ///
    /// # Errors
    /// [`Code::Verify`] if the kernel's state differs, [`Code::Storage`]; the change is then still pending.
    pub fn confirm(&mut self, head: &Head, working: &mut Working<'_>) -> Result<(), Fault> {
        let is_stored = self.is_stored(head)?;
        self.runs(head, working).map_err(|fault| {
            self.slot.amend(fault, &|failure| {
                let mut text = String::<MAX_TEXT>::new();
                let words =
                    "the running state is no longer that of the change: revert it, and push again";
                let _ = write!(text.as_mut_view(), "{words} ({})", failure.text);
                failure.text = text;
            })
        })?;
        if is_stored { self.store.sync() } else { self.store.promote(head) }?;
        self.trouble.take(&head.interface);
        self.close();
        Ok(())
    }

    /// Whether the configuration of a pending change is stored already, as for a repair.
    fn is_stored(&mut self, head: &Head) -> Result<bool, Fault> {
        let newest = self.store.newest(&head.interface, u32::MAX)?;
        Ok(newest.unwrap_or(0) >= head.number)
    }

    /// The configuration of a pending change: the prepared one, or else the stored one. `None` for the removal of an
    /// interface that was not stored.
    pub(super) fn expected(&mut self, head: &Head) -> Result<Option<(Head, S::File)>, Fault> {
        let found = if !self.is_stored(head)? {
            self.store.open_next()
        } else if head.act == Act::Removed {
            return Ok(None);
        } else {
            self.store.open(&head.interface, head.number)
        };
        found.map(Some)
    }

    /// Fails unless the kernel has the configuration of the pending change.
    fn runs(&mut self, head: &Head, working: &mut Working<'_>) -> Result<(), Fault> {
        let slot = self.slot;
        let expected = self.expected(head)?;
        let Some((head, mut image)) = expected.filter(|(head, _)| head.has_image()) else {
            return match wireguard_link(&mut self.kernel, head.interface)? {
                None => Ok(()),
                Some(_) => Err(slot.fail(Code::Verify, Subject::Interface, "it is there again")),
            };
        };
        let mut target = self.target(head.span());
        self.compare(&mut image, &mut target, Purpose::Repair, working)?;
        let Self { files, .. } = self;
        let mut work = target.work(slot, &mut image, &mut files.index, &mut files.extras);
        agree(&mut work, &target.plan)
    }

    /// Reverts the pending change.
    ///
    /// # Errors
    /// The kernel's error. The caller should try again, unless the snapshot is gone and no change is open any more.
    pub fn revert(&mut self, working: &mut Working<'_>) -> Result<(), Fault> {
        let (head, _) = match self.snapshots.open_next() {
            Ok(found) => found,
            Err(fault) => {
                self.forget_change();
                return Err(fault);
            }
        };
        self.go_back(working)?;
        self.trouble.take(&head.interface);
        self.forget_change();
        Ok(())
    }

    /// Ends the open change: removes its prepared configuration and its snapshot.
    pub fn forget_change(&mut self) {
        self.store.discard();
        self.close();
    }
}
