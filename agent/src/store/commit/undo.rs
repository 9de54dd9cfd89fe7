//! Undo: restores the state before a change from the snapshot of an interface.

use core::fmt::Write;

use heapless::String;
use proto_core::netlink::{Errno, IfName, route};
use proto_core::protocol::config::{Item, Record};
use proto_core::protocol::message::{Code, Failure, MAX_TEXT, State, Subject, Summary};

use super::{Committer, Target, Working};
use crate::config::claims::{each_in_force, each_record};
use crate::config::image::Span;
use crate::config::index::{Extras, Index, Mark};
use crate::config::plan::Purpose;
use crate::config::records::RecordWriter;
use crate::fault::Fault;
use crate::kernel::exchange::Protocol;
use crate::kernel::read::wireguard_link;
use crate::kernel::remove;
use crate::kernel::write::write_item;
use crate::store::configurations::Head;
use crate::store::restore::{self, Restore};
use crate::store::snapshot::{self, Parts};
use crate::system::{Files, Machine, System};

/// Number of attempts before the undo counts as failed.
const ATTEMPTS: u32 = 3;

impl<S: System> Committer<'_, S> {
    /// Writes the snapshot, so that a change can be reverted. On an error, removes the prepared configuration.
    ///
    /// The rules that the change adds and removes are among the first `items` entries of the index and the first
    /// `extras` of the extras.
    pub(super) fn take_snapshot(
        &mut self,
        next: &Head,
        (items, extras): (u32, u32),
    ) -> Result<(), Fault> {
        let Self { slot, kernel, machine, snapshots, open, files, .. } = self;
        let Files { index, extras: extras_file, .. } = files;
        let mut rules = |added: bool, image: &mut RecordWriter<'_, S::File>| {
            let mut n = 0_u32;
            if added {
                let mut index = Index::again(slot, &mut *index, items);
                while let Some(entry) = index.get(n)? {
                    n = n.saturating_add(1);
                    match Item::from_key(&entry.key) {
                        Some(item @ Item::Rule(_)) if entry.mark == Mark::Missing => {
                            image.record(&item)?;
                        }
                        // Peers are last.
                        Some(Item::Peer(_)) => break,
                        _ => {}
                    }
                }
            } else {
                let mut extras = Extras::again(slot, &mut *extras_file, extras);
                while let Some((key, sure)) = extras.get(n)? {
                    n = n.saturating_add(1);
                    if let (Some(true), Some(item @ Item::Rule(_))) = (sure, Item::from_key(&key)) {
                        image.record(&item)?;
                    }
                }
            }
            Ok(())
        };
        let mut taken = || {
            let name = next.interface;
            let link = wireguard_link(kernel, name)?;
            let mut counted = RecordWriter::new(slot, None, 0)?;
            rules(true, &mut counted)?;
            let mut head = Head {
                boot: machine.boot_id(),
                existed: link.is_some(),
                up: link.is_some_and(|link| link.up),
                added: counted.finish()?.0,
                ..next.clone()
            };
            snapshots.write_snapshot(&mut head, &mut |file, from| {
                let link = link.as_ref().map(|link| (name, link));
                snapshot::image(kernel, file, from, link, &mut rules, machine.now())
            })
        };
        let taken = taken();
        *open = Some((next.interface, next.number));
        if taken.is_err() {
            self.forget_change();
        }
        taken
    }

    /// Reverts a failed change, and records the result in its failure.
    pub(super) fn undo(&mut self, fault: Fault, working: &mut Working<'_>) -> Fault {
        let slot = self.slot;
        let mut failure = slot.take(fault);
        self.store.discard();
        // Another program may have changed something too: the state before is put back in any case.
        match self.go_back(working) {
            Ok(false) if failure.state == State::Unchanged => {}
            Ok(_) => failure.state = State::Undone,
            Err(fault) => {
                let second = slot.take(fault);
                let differs = self.differences(working).map_err(|fault| slot.take(fault)).ok();
                failure.text = stuck(&failure, &second, differs);
                failure.state = State::Partly;
                // The snapshot stays and the change is open, so that the undo is tried again.
                return slot.restore(failure);
            }
        }
        self.close();
        slot.restore(failure)
    }

    /// Restores the state in the snapshot. Returns whether anything differed.
    pub(crate) fn go_back(&mut self, working: &mut Working<'_>) -> Result<bool, Fault> {
        let mut tries = 1;
        loop {
            match self.go_back_once(working) {
                // Another program may have changed something at the same moment.
                Err(_) if tries < ATTEMPTS => tries = tries.saturating_add(1),
                done => return done,
            }
        }
    }

    fn go_back_once(&mut self, working: &mut Working<'_>) -> Result<bool, Fault> {
        let (head, mut image) = self.snapshots.open_next()?;
        let Self { slot, kernel, files, set, .. } = self;
        let name = head.interface;
        if !head.existed {
            let mut extras = Extras::new(slot, &mut files.extras);
            let link = wireguard_link(kernel, name)?;
            let found = remove::find(kernel, &mut extras, (name, link), &mut |take| {
                each_record(slot, &mut image, added(&head), None, take)
            })?;
            remove::interface(kernel, &mut extras, set, name, &found)?;
            let back = self.put_rules_back(&mut image, &head)?;
            return Ok(found.link.is_some() || found.summary.rules.removed > 0 || back);
        }
        let mut changed = false;
        if !head.up
            && let Some(link) = wireguard_link(kernel, name)?.filter(|link| link.up)
        {
            changed = true;
            kernel.change(Protocol::Route, Subject::Interface, &|buf, seq| {
                route::link::set_up(buf, seq, link.index, false)
            })?;
        }
        let parts = Parts::find(slot, &mut image, head.span(), head.added)?;
        if wireguard_link(kernel, name)?.is_none() {
            // With its old index, rules and routes of other programs still fit. If the index is taken, the interface
            // gets another.
            let index = restore::index(slot, &mut image, parts.hanging)?;
            let made = kernel.change(Protocol::Route, Subject::Interface, &|buf, seq| {
                route::link::create_at(buf, seq, name, route::link::KIND_WIREGUARD, index)
            });
            changed |= made.map_err(|fault| slot.take(fault)).is_ok();
        }
        let mut target = self.snapshot(&head, parts);
        self.compare(&mut image, &mut target, Purpose::Undo, working)?;
        if !target.plan.summary.is_quiet() {
            changed = true;
            self.make(&mut image, &mut target, working)?;
        }
        let restored = self.restore(&mut image, parts, name, false)?;
        let Self { slot, kernel, .. } = self;
        let alias = restore::alias(slot, &mut image, parts.hanging)?;
        if let Some(link) = wireguard_link(kernel, name)?
            && *kernel.alias(name)? != *alias
        {
            changed = true;
            kernel.set_alias(link.index, &alias)?;
        }
        Ok(restored > 0 || changed)
    }

    /// Ends the open change although it was not reverted. The rules that it added are removed as far as possible, because
    /// no image has them any more.
    pub fn give_up_change(&mut self) {
        self.store.discard();
        // Best effort: the failure of the revert was noted.
        let _ = self.drop_added_rules().map_err(|fault| self.slot.take(fault));
        self.close();
    }

    /// Removes the rules that the change added and no image in force has.
    fn drop_added_rules(&mut self) -> Result<(), Fault> {
        let (head, mut image) = self.snapshots.open_next()?;
        let Self { slot, kernel, files, store, .. } = self;
        let mut extras = Extras::new(slot, &mut files.extras);
        let name = head.interface;
        remove::find(kernel, &mut extras, (name, None), &mut |take| {
            each_record(slot, &mut image, added(&head), None, take)?;
            each_in_force(store, "", take)
        })?;
        remove::rules_if_possible(kernel, &mut extras)
    }

    /// Adds the rules that the change of an interface without a link removed: the stored configuration has them.
    /// Returns whether any was missing.
    fn put_rules_back(&mut self, image: &mut S::File, head: &Head) -> Result<bool, Fault> {
        let Self { slot, kernel, .. } = self;
        let before = Span { end: added(head).from, ..head.span() };
        let mut missed = false;
        each_record(slot, image, before, None, &mut |_, record| {
            let Record::Rule(rule) = record else { return Ok(()) };
            let back = kernel.change(Protocol::Route, Subject::Rule, &|buf, seq| {
                write_item(buf, seq, (&Item::Rule(*rule), 0), true)
            });
            match back {
                Err(_) if slot.is(Errno::EEXIST) => Ok(()),
                back => {
                    missed = true;
                    back
                }
            }
        })?;
        Ok(missed)
    }

    /// Restores the addresses and routes of a snapshot, or only counts the differences.
    fn restore(
        &mut self,
        image: &mut S::File,
        parts: Parts,
        name: IfName,
        only_count: bool,
    ) -> Result<u32, Fault> {
        let Self { slot, kernel, files, machine, .. } = self;
        let link = wireguard_link(kernel, name)?;
        let index = link.map(|link| link.index).ok_or_else(|| {
            slot.fail(Code::NoInterface, Subject::Interface, "the interface is gone")
        })?;
        let files = (&mut files.index, &mut files.extras);
        let restore = Restore::new(kernel, image, parts.hanging, files, index, machine.now())?;
        if only_count { restore.count() } else { restore.all().map(u32::from) }
    }

    /// The image of a snapshot.
    fn snapshot(&self, head: &Head, parts: Parts) -> Target {
        Target { up: head.up, parts: Some(parts), ..self.target(parts.image) }
    }

    /// Number of differences between the kernel and the snapshot.
    fn differences(&mut self, working: &mut Working<'_>) -> Result<u32, Fault> {
        let (head, mut image) = self.snapshots.open_next()?;
        if !head.existed {
            return Ok(1);
        }
        let parts = Parts::find(self.slot, &mut image, head.span(), head.added)?;
        let mut target = self.snapshot(&head, parts);
        self.compare(&mut image, &mut target, Purpose::Undo, working)?;
        let name = head.interface;
        let hanging = if target.plan.summary.created {
            0
        } else {
            self.restore(&mut image, parts, name, true)?
        };
        let Summary { created, device, addresses, routes, rules, peers, .. } = &target.plan.summary;
        let device =
            device.count_ones().saturating_add(u32::from(*created)).saturating_add(hanging);
        Ok([addresses, routes, rules, peers].iter().fold(device, |sum, count| {
            [count.added, count.changed, count.removed]
                .iter()
                .fold(sum, |sum, n| sum.saturating_add(*n))
        }))
    }
}

/// Place of the rules that the change adds in a snapshot.
const fn added(head: &Head) -> Span {
    let Span { end, .. } = head.span();
    Span { from: end.saturating_sub(head.added), end }
}

/// The text of a failure if reverting failed too.
fn stuck(first: &Failure, second: &Failure, differs: Option<u32>) -> String<MAX_TEXT> {
    let mut text = String::<MAX_TEXT>::new();
    let Failure { subject, text: words, .. } = second;
    let colon = if *subject == Subject::None { "" } else { ": " };
    // Text that does not fit is truncated.
    let to = text.as_mut_view();
    let _ = write!(to, "{}; reverting failed too: {subject}{colon}{words}", first.text);
    let _ = match differs {
        Some(number) => write!(to, "; {number} things are not as they were before"),
        None => write!(to, "; the kernel's state could not be read"),
    };
    text
}
