//! Makes a configuration the running and the stored one; on an error, restores both.
//!
//! ```text
//! check -> compare -> prepare (next) -> snapshot -> apply -> compare again -> promote (next -> N)
//!                        keep            state      kernel                      keep
//! ```
//!
//! Everything before `promote` is undone when a step fails or the agent or the machine goes down. The undo needs only
//! the snapshot and the stored configuration, so it works from any step. A change that waits to be confirmed has done
//! every step but `promote`.
//!
//! | module | holds |
//! |---|---|
//! | `target` | the image of a change: checked, compared, applied |
//! | `pending` | a change that waits to be confirmed |
//! | `remove` | the removal of an interface |
//! | `undo` | going back to the snapshot |
//! | `look` | the comparison without a change |

mod look;
mod pending;
mod remove;
mod target;
mod undo;

use proto_core::key::{PublicKey, SecretKey};
use proto_core::netlink::Errno;
use proto_core::protocol::Digest;
use proto_core::protocol::config::{Interface, PrivateKey, Record};
use proto_core::protocol::message::{
    Code, Failure, Name, OwnerName, Phase, State, Subject, Summary, copy, device,
};
use proto_core::protocol::report::Act;

use crate::config::image::{Checked, Span};
use crate::config::plan::{Plan, Purpose};
use crate::config::records::RecordWriter;
use crate::fault::{Fault, Slot};
use crate::kernel::exchange::{Kernel, LinkState, SET};
use crate::requests::report;
use crate::store::configurations::{Head, Store};
use crate::store::guard::Guard;
use crate::store::trouble::Trouble;
use crate::system::{File, Files, Machine, System};
use target::Target;

/// Bytes that are written between two progress reports.
const SIGN_OF_LIFE: u32 = 64 * 1024;

/// Reports progress: a phase, the amount done, and the total.
pub type Working<'w> = dyn FnMut(Phase, u32, u32) + 'w;

/// The author and the kind of a change.
#[derive(Clone, Debug)]
pub struct Change {
    /// The kind of the change. A repair stores nothing.
    pub act: Option<Act>,
    /// The owner's key.
    pub key: PublicKey,
    /// The owner's name.
    pub by: OwnerName,
    /// Whether the change must be confirmed.
    pub confirm: bool,
    /// The digest of the image as it was pushed, or zeros.
    pub pushed: Digest,
    /// Whether the pushed image left the private key to the router, which has since generated it.
    pub generated: bool,
    /// What the change may take from other programs.
    pub adopt: Adopt,
}

/// What a change may take from another program, the least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Adopt {
    /// Nothing: it is refused.
    Nothing,
    /// The name of an interface in the configuration of another program, while no link has it.
    Name,
    /// A link that the agent did not create.
    Link,
}

impl Adopt {
    /// For an owner who asked for it, or did not.
    #[must_use]
    pub const fn asked(asked: bool) -> Self {
        if asked { Self::Link } else { Self::Nothing }
    }
}

impl Change {
    /// Restores the stored configuration.
    pub const REPAIR: Self = Self {
        act: None,
        key: PublicKey([0; 32]),
        by: OwnerName::new(),
        confirm: false,
        pushed: [0; 32],
        generated: false,
        adopt: Adopt::Nothing,
    };
}

/// The result of a change.
#[derive(Clone, Debug)]
pub struct Done {
    /// The changes in the kernel.
    pub summary: Summary,
    /// The number of the stored configuration, or the number it gets when it is confirmed.
    pub number: u32,
    /// Whether it was stored.
    pub stored: bool,
    /// The configuration that is stored when the change is confirmed.
    pub pending: Option<Head>,
}

/// Keeps the kernel and the stored configurations in agreement.
#[derive(Debug)]
pub struct Committer<'b, S: System> {
    /// Where failures are recorded.
    pub slot: &'b Slot,
    /// The kernel.
    pub kernel: Kernel<'b, S::Netlink>,
    /// Scratch files of a change.
    pub files: Files<S::File>,
    /// The machine.
    pub machine: &'b S::Machine,
    /// Buffer for messages to the kernel.
    pub set: &'b mut [u8; SET],
    /// The stored configurations, which the router starts with.
    pub store: Store<'b, S::Disk>,
    /// The folder of the snapshot, which need not survive a reboot.
    pub(crate) snapshots: Store<'b, S::Disk>,
    /// The change that the snapshot belongs to: its interface, and the number that it gets. There is at most one
    /// snapshot.
    pub(crate) open: Option<(Name, u32)>,
    sum_key: [u8; 16],
    /// Faults of stored configurations and of the running state.
    pub trouble: Trouble,
    /// The record of starts; `None` if starts are not counted.
    pub guard: Option<Guard>,
}

impl<'b, S: System> Committer<'b, S> {
    /// A committer over the kernel, with the folder that survives a reboot and the folder that survives a restart of
    /// the agent.
    #[inline(never)]
    pub fn new(
        kernel: Kernel<'b, S::Netlink>,
        files: Files<S::File>,
        machine: &'b S::Machine,
        set: &'b mut [u8; SET],
        (keep, state): (S::Disk, S::Disk),
    ) -> Self {
        let slot = kernel.slot;
        let mut sum_key = [0; 16];
        if machine.random(&mut sum_key).is_err() {
            // A machine that has just booted may have no random numbers yet; this key differs at each start too.
            sum_key = machine.boot_id();
        }
        let (store, snapshots) = (Store::new(slot, keep), Store::new(slot, state));
        let (trouble, open, guard) = (Trouble::new(), None, None);
        Self { slot, kernel, files, machine, set, store, snapshots, open, sum_key, trouble, guard }
    }

    /// Compares an image with the kernel, and writes the file of the changes.
    ///
    /// # Errors
    /// As for [`Committer::commit`].
    pub fn plan(
        &mut self,
        image: &mut S::File,
        span: Span,
        purpose: Purpose,
        working: &mut Working<'_>,
    ) -> Result<(Summary, (u32, Digest)), Fault> {
        let mut target = self.target(span);
        self.compare(image, &mut target, purpose, working)?;
        if purpose == Purpose::Change {
            self.check_routes(image, &target)?;
        }
        let Self { slot, files, .. } = self;
        let Target { checked, plan, .. } = &target;
        let mut work = target.work(slot, image, &mut files.index, &mut files.extras);
        let written = report::changes(&mut files.report, &mut work, &checked.interface, plan)?;
        let Target { checked, plan: Plan { link, mut summary, .. }, .. } = target;
        if self.takes(link, &checked.interface.name) != Adopt::Nothing {
            summary.device |= device::FOREIGN;
        }
        Ok((summary, written))
    }

    /// Makes an image the running configuration and, unless it must be confirmed, the stored one.
    ///
    /// # Errors
    /// A fault of the image, the kernel's error, or the error of the storage. The failure's `state` says what became
    /// of the running configuration; the stored configuration is unchanged.
    pub fn commit(
        &mut self,
        image: &mut S::File,
        span: Span,
        change: &Change,
        working: &mut Working<'_>,
    ) -> Result<Done, Fault> {
        self.none_open()?;
        let slot = self.slot;
        let purpose = if change.act.is_some() { Purpose::Change } else { Purpose::Repair };
        let mut target = self.target(span);
        self.compare(image, &mut target, purpose, working)?;
        self.check_routes(image, &target)?;
        let Target { checked, plan, .. } = &mut target;
        let generated = checked.interface.private_key == PrivateKey::Generate;
        settle_key(slot, &mut checked.interface, plan, self.machine)?;
        let (same, mut head) = self.next(image, span.end, checked, change, working)?;
        head.generated |= generated;
        let adopts = self.adopts(plan.link, &checked.interface.name, change)?;
        let quiet = plan.summary.is_quiet() && !adopts;
        let number = if same { head.number.saturating_sub(1) } else { head.number };
        let mut done = Done { summary: plan.summary.clone(), number, stored: false, pending: None };
        if quiet && same {
            self.is_well(&head.interface, change);
            return Ok(done);
        }
        if !same {
            self.store.prepare(&mut head, &mut |file, from| {
                let mut writer = RecordWriter::new(slot, Some(file), from)?;
                write_image(&mut writer, checked, image, span.end, working)?;
                writer.finish()
            })?;
        }
        self.take_snapshot(&head, (target.items, target.extras))?;
        if !quiet {
            let made = self.make(image, &mut target, working);
            made.map_err(|fault| self.undo(fault, working))?;
            done.summary.public_key = target.plan.summary.public_key;
            done.summary.listen_port = target.plan.summary.listen_port;
        }
        self.finish(done, head, same, change, working)
    }

    /// What a change of the interface takes from another program. While the link is missing, netifd may make its own
    /// at any moment, so the name counts too.
    fn takes(&self, link: Option<LinkState>, interface: &str) -> Adopt {
        match link {
            Some(link) if link.marked => Adopt::Nothing,
            Some(_) => Adopt::Link,
            None if self.machine.is_managed(interface) => Adopt::Name,
            None => Adopt::Nothing,
        }
    }

    /// Whether a change adopts the link.
    ///
    /// # Errors
    /// [`Code::Foreign`] if the change may not take what it takes.
    fn adopts(
        &self,
        link: Option<LinkState>,
        interface: &str,
        change: &Change,
    ) -> Result<bool, Fault> {
        let takes = self.takes(link, interface);
        if takes > change.adopt {
            let text = if self.machine.is_managed(interface) {
                "netifd manages this interface: /etc/config/network has a section of its name"
            } else {
                "another program or a person made this interface"
            };
            return Err(self.slot.fail(Code::Foreign, Subject::Interface, text));
        }
        Ok(takes == Adopt::Link)
    }

    /// The last step: promotes the prepared configuration, or leaves it pending.
    fn finish(
        &mut self,
        mut done: Done,
        head: Head,
        same: bool,
        change: &Change,
        working: &mut Working<'_>,
    ) -> Result<Done, Fault> {
        // A removal changes something, even if only the link.
        let quiet = done.summary.is_quiet() && head.act != Act::Removed;
        if change.confirm && !(same && quiet) {
            self.is_well(&head.interface, change);
            // If nothing new is stored, the number is that of the stored configuration, which needs no promotion.
            done.pending = Some(Head { number: done.number, ..head });
            return Ok(done);
        }
        if !same {
            self.store.promote(&head).map_err(|fault| {
                let changed = |failure: &mut Failure| failure.state = State::Partly;
                let fault = self.slot.amend(fault, &changed);
                self.undo(fault, working)
            })?;
            done.stored = true;
        }
        self.close();
        self.is_well(&head.interface, change);
        Ok(done)
    }

    /// Clears the faults of an interface after an owner's change of it. A repair may have used an older configuration
    /// than the newest.
    fn is_well(&mut self, interface: &str, change: &Change) {
        if change.act.is_some() {
            self.release(interface);
            self.trouble.take(interface);
        }
    }

    fn close(&mut self) {
        self.snapshots.discard();
        self.open = None;
    }

    /// Whether a change is open: it is pending, or reverting it failed.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The interface of the open change.
    #[must_use]
    pub fn open_interface(&self) -> Option<Name> {
        self.open.as_ref().map(|(interface, _)| *interface)
    }

    /// Fails while a change is open: its snapshot and its prepared configuration would be overwritten.
    fn none_open(&self) -> Result<(), Fault> {
        let Some((interface, number)) = &self.open else { return Ok(()) };
        let words = format_args!("the change of {interface} to no. {number} is not done");
        Err(self.slot.say(Code::Busy, Subject::None, Errno(0), words))
    }

    /// Whether an image is the stored one; if not, the head that it gets.
    fn next(
        &mut self,
        image: &mut S::File,
        end: u32,
        checked: &Checked,
        change: &Change,
        working: &mut Working<'_>,
    ) -> Result<(bool, Head), Fault> {
        let interface = &checked.interface.name;
        let head = self.head(interface, change)?;
        if change.act.is_none() {
            return Ok((true, head));
        }
        let mut writer = RecordWriter::<S::File>::new(self.slot, None, 0)?;
        write_image(&mut writer, checked, image, end, working)?;
        let written = writer.finish()?;
        let newest = self.newest_whole(interface)?;
        let same = newest.is_some_and(|(stored, _)| {
            (stored.length, stored.digest) == written
                && stored.number.saturating_add(1) == head.number
        });
        if same {
            self.store.sync()?;
        }
        Ok((same, head))
    }

    /// The head of the next stored configuration of an interface.
    fn head(&mut self, interface: &Name, change: &Change) -> Result<Head, Fault> {
        let newest = self.store.newest(interface, u32::MAX)?.unwrap_or(0);
        let number = newest.saturating_add(1);
        // No list has the greatest number: the router would not start with that configuration.
        if number == u32::MAX && change.act.is_some() {
            let text = "the numbers of its stored configurations are used up: delete their files";
            return Err(self.slot.fail(Code::Storage, Subject::Interface, text));
        }
        let act = change.act.unwrap_or(Act::Pushed);
        Ok(Head {
            time: self.machine.unix_time(),
            key: change.key,
            by: copy(&change.by),
            pushed: change.pushed,
            generated: change.generated,
            ..Head::new(*interface, number, act)
        })
    }

    /// The newest intact stored configuration of an interface. Damaged ones are noted.
    ///
    /// # Errors
    /// [`Code::Storage`].
    pub fn newest_whole(&mut self, interface: &str) -> Result<Option<(Head, S::File)>, Fault> {
        self.whole_below(interface, u32::MAX)
    }

    /// The newest intact stored configuration with a number below `below`.
    ///
    /// # Errors
    /// [`Code::Storage`].
    pub fn whole_below(
        &mut self,
        interface: &str,
        below: u32,
    ) -> Result<Option<(Head, S::File)>, Fault> {
        let Self { store, trouble, machine, .. } = self;
        store.newest_whole(interface, below, &mut |slot, fault| {
            let failure = slot.take(fault);
            let words = format_args!("{interface}: {}; the one before it is used", failure.text);
            if trouble.note(interface, words) {
                machine.log(words);
            }
        })
    }
}

/// Generates the private key for an image that leaves it to the router, or uses the device's
/// present key.
fn settle_key(
    slot: &Slot,
    interface: &mut Interface,
    plan: &Plan,
    machine: &dyn Machine,
) -> Result<(), Fault> {
    if interface.private_key != PrivateKey::Generate {
        return Ok(());
    }
    let has = plan.device.as_ref().and_then(|device| device.private_key.clone());
    let key = match has {
        Some(key) => key,
        None => {
            let mut key = SecretKey::ZERO;
            machine.random(key.as_mut_bytes()).map_err(|errno| slot.storage(errno))?;
            key.clamped()
        }
    };
    interface.private_key = PrivateKey::Given(key);
    Ok(())
}

/// Writes an image in its stored form: with the private key of the interface.
fn write_image<F: File, G: File>(
    writer: &mut RecordWriter<'_, F>,
    checked: &Checked,
    image: &mut G,
    end: u32,
    working: &mut Working<'_>,
) -> Result<(), Fault> {
    writer.record(&Record::Interface(checked.interface.clone()))?;
    let mut at = checked.rest;
    while at < end {
        let next = at.saturating_add(SIGN_OF_LIFE).min(end);
        writer.copy(image, at, next)?;
        at = next;
        // Flash may take seconds for this amount.
        working(Phase::Checking, at, end);
    }
    Ok(())
}

#[cfg(test)]
mod edits;
#[cfg(test)]
mod going_back;
#[cfg(test)]
mod ownership;
#[cfg(test)]
mod scopes;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod ways;
