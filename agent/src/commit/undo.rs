//! Going back to what there was: the snapshot of an interface, and the push of it.

use core::fmt::Write;

use heapless::String;
use proto_core::netlink::route;
use proto_core::protocol::digest;
use proto_core::protocol::message::{Failure, MAX_TEXT, State, Subject, Summary};

use super::{Committer, Target, Working};
use crate::fault::Fault;
use crate::index::Extras;
use crate::kernel::Protocol;
use crate::plan::Purpose;
use crate::store::Head;
use crate::system::{Disk, Machine, NetlinkSocket};
use crate::walk::{parse_name, wireguard_link};
use crate::{remove, snapshot};

/// How often going back is tried before it is said to have failed.
const ATTEMPTS: u32 = 3;

impl<N: NetlinkSocket, D: Disk, M: Machine> Committer<'_, N, D, M> {
    /// Writes down what there is, so that a change can be taken back. Forgets what was prepared if it cannot.
    pub(super) fn take_snapshot(&mut self, next: &Head, fwmark: u32) -> Result<(), Fault> {
        let Self { slot, kernel, machine, snapshots, store, .. } = self;
        let mut taken = || {
            let name = parse_name(slot, &next.interface)?;
            let link = wireguard_link(kernel, name)?;
            let mut head = Head {
                boot: machine.boot_id(),
                existed: link.is_some(),
                up: link.is_some_and(|link| link.up),
                fwmark,
                ..next.clone()
            };
            snapshots.write_snapshot(&mut head, &mut |file, from| match &link {
                Some(link) => snapshot::image(kernel, file, from, name, link),
                None => Ok((0, digest(&[]))),
            })
        };
        let taken = taken();
        if taken.is_err() {
            store.discard();
            snapshots.discard();
        }
        taken
    }

    /// Takes back what a change that failed has done, and says in its failure what came of that.
    pub(super) fn undo(&mut self, fault: Fault, working: &mut Working<'_>) -> Fault {
        let slot = self.slot;
        let mut failure = slot.take(fault);
        self.store.discard();
        // Somebody else may have changed something too: what was there before is put back in any case.
        match self.go_back(working) {
            Ok(false) if failure.state == State::Unchanged => {}
            Ok(_) => failure.state = State::Undone,
            Err(fault) => {
                let second = slot.take(fault);
                let differs = self.differences(working).map_err(|fault| slot.take(fault)).ok();
                failure.text = stuck(&failure, &second, differs);
                failure.state = State::Partly;
                // The snapshot stays: the next start of the agent tries again.
                return slot.restore(failure);
            }
        }
        self.snapshots.discard();
        slot.restore(failure)
    }

    /// Goes back to the snapshot. Whether anything was different.
    pub(crate) fn go_back(&mut self, working: &mut Working<'_>) -> Result<bool, Fault> {
        let mut tries = 1;
        loop {
            match self.go_back_once(working) {
                // Somebody may have changed something at the same moment.
                Err(_) if tries < ATTEMPTS => tries = tries.saturating_add(1),
                done => return done,
            }
        }
    }

    fn go_back_once(&mut self, working: &mut Working<'_>) -> Result<bool, Fault> {
        let (head, mut image) = self.snapshots.open_snapshot()?;
        let Self { slot, kernel, files, set, .. } = self;
        let name = parse_name(slot, &head.interface)?;
        if !head.existed {
            let mut extras = Extras::new(slot, &mut files.extras);
            let there = wireguard_link(kernel, name)?.is_some();
            let removed = remove::interface(kernel, &mut extras, set, name, head.fwmark)?;
            return Ok(there || removed.rules.removed > 0);
        }
        if !head.up
            && let Some(link) = wireguard_link(kernel, name)?.filter(|link| link.up)
        {
            kernel.change(Protocol::Route, Subject::Interface, &|buf, seq| {
                route::link::set_up(buf, seq, link.index, false)
            })?;
        }
        let mut target = self.snapshot(&head);
        self.compare(&mut image, &mut target, Purpose::Undo, working)?;
        if target.plan.summary.is_quiet() {
            return Ok(false);
        }
        self.make(&mut image, &mut target, working).map(|()| true)
    }

    /// The image of a snapshot.
    fn snapshot(&self, head: &Head) -> Target {
        Target { up: head.up, fwmark: head.fwmark, ..self.target(head.span()) }
    }

    /// How many things the kernel has otherwise than the snapshot.
    fn differences(&mut self, working: &mut Working<'_>) -> Result<u32, Fault> {
        let (head, mut image) = self.snapshots.open_snapshot()?;
        if !head.existed {
            return Ok(1);
        }
        let mut target = self.snapshot(&head);
        self.compare(&mut image, &mut target, Purpose::Undo, working)?;
        let Summary { created, device, addresses, routes, rules, peers, .. } = &target.plan.summary;
        let device = device.count_ones().saturating_add(u32::from(*created));
        Ok([addresses, routes, rules, peers].iter().fold(device, |sum, count| {
            [count.added, count.changed, count.removed]
                .iter()
                .fold(sum, |sum, n| sum.saturating_add(*n))
        }))
    }
}

/// What a failure says when taking back failed too.
fn stuck(first: &Failure, second: &Failure, differs: Option<u32>) -> String<MAX_TEXT> {
    let mut text = String::<MAX_TEXT>::new();
    let Failure { subject, text: words, .. } = second;
    let colon = if *subject == Subject::None { "" } else { ": " };
    // What does not fit is left out.
    let to = text.as_mut_view();
    let _ = write!(to, "{}; taking it back failed too: {subject}{colon}{words}", first.text);
    let _ = match differs {
        Some(number) => write!(to, "; {number} things are not as they were before"),
        None => write!(to, "; what the kernel has now could not be read"),
    };
    text
}
