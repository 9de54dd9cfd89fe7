//! The stored configurations: their history, whether they run, and applying them again.

use proto_core::key::PublicKey;
use proto_core::protocol::Digest;
use proto_core::protocol::message::{Code, Name, OwnerName, Subject};
use proto_core::protocol::report::{Act, Stored};

use super::push::{beat, compared};
use super::{Service, Turn, Visitor};
use crate::config::plan::Purpose;
use crate::config::records::RecordWriter;
use crate::fault::Fault;
use crate::store::commit::Change;
use crate::store::configurations::Head;
use crate::system::{Machine, System};

impl<S: System> Service<'_, S> {
    pub(super) fn history(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        interface: Option<&Name>,
    ) -> Result<(), Fault> {
        let readable = self.publish(turn, visitor, None, &mut |this, _| this.list(interface))?;
        turn.answer(&readable.ready());
        Ok(())
    }

    /// Writes the list of stored configurations. An unreadable file is listed as damaged.
    fn list(&mut self, interface: Option<&Name>) -> Result<(u32, Digest), Fault> {
        let slot = self.slot;
        let store = &mut self.committer.store;
        let mut report = RecordWriter::new(slot, Some(&mut self.committer.files.report), 0)?;
        let mut before = None;
        loop {
            let next = match (interface, before) {
                (Some(interface), None) => Some(*interface),
                (Some(_), Some(_)) => None,
                (None, before) => store.interface_after(before.as_ref())?,
            };
            let Some(last) = next else { break };
            before = next;
            let mut below = u32::MAX;
            while let Some(number) = store.newest(&last, below)? {
                below = number;
                let (stored, whole) = match store.open(&last, number) {
                    Ok((head, _)) => (head.shown(false), true),
                    Err(fault) => {
                        let _ = slot.take(fault);
                        (damaged(&last, number), false)
                    }
                };
                report.record(&stored)?;
                if interface.is_none() && whole {
                    break;
                }
            }
        }
        report.finish()
    }

    /// The stored configuration of an interface, which must have an image.
    pub(super) fn stored(&mut self, interface: &Name) -> Result<(Head, S::File), Fault> {
        let newest = self.committer.newest_whole(interface)?;
        newest.filter(|(head, _)| head.has_image()).ok_or_else(|| self.not_stored())
    }

    fn not_stored(&self) -> Fault {
        let text = "nothing is stored of it";
        self.slot.fail(Code::NotStored, Subject::Interface, text)
    }

    pub(super) fn drift(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        interface: &Name,
    ) -> Result<(), Fault> {
        let (head, mut image) = self.stored(interface)?;
        self.publish(turn, visitor, Some(0), &mut |this, turn| {
            let stored = (&mut image, head.span());
            let (written, agrees) = compared(&mut this.committer, turn, stored, Purpose::Repair)?;
            this.drift.heard(interface, agrees, this.committer.machine.now());
            Ok(written)
        })?;
        Ok(())
    }

    /// Checks that this visitor may change the interface now, and drops the stage: a change that needs no push takes
    /// its place.
    pub(super) fn make_way(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        interface: &Name,
        confirm_within: u16,
    ) -> Result<(), Fault> {
        self.allowed(interface)?;
        self.check_confirm(confirm_within)?;
        self.check_free(turn, visitor, interface)?;
        self.drop_stage()
    }

    pub(super) fn repair(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        interface: &Name,
        confirm_within: u16,
    ) -> Result<(), Fault> {
        self.make_way(turn, visitor, interface, confirm_within)?;
        // A fault of the running state ends with a repair. One of a stored file is noted again.
        let before = self.committer.trouble.take(interface);
        let change = Change { confirm: confirm_within > 0, ..Change::REPAIR };
        let done = self
            .stored(interface)
            .and_then(|stored| self.run(turn, visitor, interface, stored, &change, confirm_within));
        if done.is_err() {
            self.committer.trouble.put_back(before);
        }
        done
    }

    /// Applies the stored configuration, and answers.
    fn run(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        interface: &Name,
        (head, mut image): (Head, S::File),
        change: &Change,
        confirm_within: u16,
    ) -> Result<(), Fault> {
        let done = {
            let mut working = beat(self.committer.machine, turn);
            if head.has_image() {
                self.committer.commit(&mut image, head.span(), change, &mut working)
            } else {
                self.committer.remove(interface, change, &mut working)
            }
        };
        if done.is_ok() {
            self.committer.release(interface);
            self.changed(interface, if change.act.is_some() { "rollback" } else { "repair" });
            // The change was made, even if its host names cannot be recorded for lookups.
            let now = self.committer.machine.now();
            let taken = self.hosts.take(self.slot, interface, (&mut image, head.span()), true, now);
            let _ = taken.map_err(|fault| self.slot.take(fault));
        }
        self.answer_change(turn, visitor, interface, done, confirm_within)
    }

    pub(super) fn rollback(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        interface: &Name,
        number: u32,
        confirm_within: u16,
    ) -> Result<(), Fault> {
        self.make_way(turn, visitor, interface, confirm_within)?;
        let stored = self.committer.store.open(interface, number)?;
        let change = Change {
            pushed: stored.0.pushed,
            generated: stored.0.generated,
            ..visitor.change(Act::RolledBack { number }, confirm_within)
        };
        self.run(turn, visitor, interface, stored, &change, confirm_within)
    }

    pub(super) fn remove(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        interface: &Name,
        confirm_within: u16,
    ) -> Result<(), Fault> {
        self.make_way(turn, visitor, interface, confirm_within)?;
        let change = visitor.change(Act::Removed, confirm_within);
        let done = {
            let mut working = beat(self.committer.machine, turn);
            self.committer.remove(interface, &change, &mut working)
        };
        if done.is_ok() {
            self.hosts.forget(interface);
            self.changed(interface, "remove");
        }
        self.answer_change(turn, visitor, interface, done, confirm_within)
    }
}

/// The head of a stored configuration that cannot be read.
fn damaged(interface: &Name, number: u32) -> Stored {
    Stored {
        interface: *interface,
        number,
        time: 0,
        key: PublicKey([0; 32]),
        by: OwnerName::new(),
        act: Act::Pushed,
        length: 0,
        damaged: true,
        digest: [0; 32],
    }
}
