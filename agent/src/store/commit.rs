//! Makes a configuration the running and the stored one; on an error, restores both.
//!
//! ```text
//! check -> compare -> prepare (next) -> snapshot -> apply -> compare again -> promote (next -> N)
//!                        keep            state      kernel                      keep
//! ```
//!
//! Everything before `promote` is undone when a step fails or the agent or the machine goes down. The undo needs only
//! the snapshot and the stored configuration, so it works from any step. A change that waits to be confirmed has done
//! every step but `promote`. Not here: going back (`undo`), and the comparison without a change (`look`).

mod look;
mod undo;

use core::fmt::Write;

use heapless::String;
use proto_core::key::{PublicKey, SecretKey};
use proto_core::netlink::Errno;
use proto_core::protocol::Digest;
use proto_core::protocol::config::{Interface, PrivateKey, Record};
use proto_core::protocol::message::{
    Code, Failure, MAX_TEXT, Name, OwnerName, Phase, State, Subject, Summary, copy, device,
};
use proto_core::protocol::report::Act;

use crate::config::apply::{ROUNDS, apply};
use crate::config::claims::{TakeClaim, each_in_force};
use crate::config::clash;
use crate::config::image::{Checked, Span, check, check_allowed_ips};
use crate::config::index::{Extras, Index};
use crate::config::plan::{Plan, Purpose, Work, agree, compare};
use crate::config::records::RecordWriter;
use crate::fault::{Fault, Slot};
use crate::kernel::exchange::{Kernel, LinkState, SET};
use crate::kernel::read::wireguard_link;
use crate::kernel::remove;
use crate::requests::report;
use crate::store::configurations::{Head, Store};
use crate::store::guard::Guard;
use crate::store::noted::Noted;
use crate::store::snapshot::Parts;
use crate::store::trouble::Trouble;
use crate::system::{File, Files, Machine, System};

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
    /// Whether to adopt an interface that the agent did not create; otherwise such an interface is
    /// refused.
    pub adopt: bool,
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
        adopt: false,
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
        let Target { plan: Plan { link, mut summary, .. }, .. } = target;
        if link.is_some_and(|link| !link.marked) {
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

    /// Removes an interface, and stores its absence.
    ///
    /// # Errors
    /// [`Code::NoInterface`] if the interface is neither running nor stored; else as for
    /// [`Committer::commit`].
    pub fn remove(
        &mut self,
        interface: &Name,
        change: &Change,
        working: &mut Working<'_>,
    ) -> Result<Done, Fault> {
        self.none_open()?;
        let slot = self.slot;
        let name = *interface;
        // On a kernel without WireGuard the interface does not run, and the stored configuration
        // may be removed.
        let kernel = self.kernel.wireguard();
        let none = kernel.is_err() && slot.code() == Some(Code::NoWireGuard);
        let missing = match kernel {
            Err(fault) if none => Some(slot.take(fault)),
            other => other.map(|_| None)?,
        };
        let link = if none { None } else { wireguard_link(&mut self.kernel, name)? };
        self.adopts(link, &name, change)?;
        let running = link.is_some();
        let stored = self.newest_whole(interface)?.is_some_and(|(head, _)| head.has_image());
        if !running && !stored {
            if let Some(missing) = missing {
                return Err(slot.restore(missing));
            }
            let words = format_args!("there is no interface {name}, neither running nor stored");
            return Err(slot.say(Code::NoInterface, Subject::Interface, Errno(0), words));
        }
        let digest = proto_core::protocol::digest(&[]);
        let mut head = Head { pushed: digest, ..self.head(interface, change)? };
        if stored {
            self.store.prepare(&mut head, &mut |_, _| Ok((0, digest)))?;
        } else {
            self.store.sync()?;
        }
        let number = if stored { head.number } else { head.number.saturating_sub(1) };
        if none {
            // The interface does not run, so there is nothing to confirm or to revert.
            if let Err(fault) = self.store.promote(&head) {
                self.store.discard();
                return Err(fault);
            }
            self.is_well(interface, change);
            let summary = Summary::default();
            return Ok(Done { summary, number, stored: true, pending: None });
        }
        let Self { kernel, files, store, .. } = self;
        let mut extras = Extras::new(slot, &mut files.extras);
        let found = remove::find(kernel, &mut extras, name, &mut |take| {
            each_in_force(store, interface, take)
        });
        let found = found.inspect_err(|_| store.discard())?;
        let len = extras.len();
        let summary = found.summary.clone();
        let done = Done { summary, number, stored: false, pending: None };
        self.take_snapshot(&head, (0, len))?;
        let Self { kernel, files, set, .. } = self;
        let mut extras = Extras::again(slot, &mut files.extras, len);
        let removed = remove::interface(kernel, &mut extras, set, name, &found);
        removed.map_err(|fault| {
            let fault = slot.amend(fault, &|failure| failure.state = State::Partly);
            self.undo(fault, working)
        })?;
        self.finish(done, head, !stored, change, working)
    }

    /// Whether a change adopts the interface: the agent did not create the link, and the change
    /// permits adoption.
    ///
    /// # Errors
    /// [`Code::Foreign`] if the change may not.
    fn adopts(
        &self,
        link: Option<LinkState>,
        interface: &str,
        change: &Change,
    ) -> Result<bool, Fault> {
        let foreign = link.is_some_and(|link| !link.marked);
        if foreign && !change.adopt {
            let text = if self.machine.is_managed(interface) {
                "netifd manages this interface: /etc/config/network has a section of its name"
            } else {
                "another program or a person made this interface"
            };
            return Err(self.slot.fail(Code::Foreign, Subject::Interface, text));
        }
        Ok(foreign)
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
        if change.confirm && !(same && done.summary.is_quiet()) {
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

    /// The configuration of a pending change: the prepared one, or else the stored one.
    fn expected(&mut self, head: &Head) -> Result<(Head, S::File), Fault> {
        if self.is_stored(head)? {
            self.store.open(&head.interface, head.number)
        } else {
            self.store.open_next()
        }
    }

    /// Fails unless the kernel has the configuration of the pending change.
    fn runs(&mut self, head: &Head, working: &mut Working<'_>) -> Result<(), Fault> {
        let slot = self.slot;
        let (head, mut image) = self.expected(head)?;
        if !head.has_image() {
            return match wireguard_link(&mut self.kernel, head.interface)? {
                None => Ok(()),
                Some(_) => Err(slot.fail(Code::Verify, Subject::Interface, "it is there again")),
            };
        }
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
        let act = change.act.unwrap_or(Act::Pushed);
        Ok(Head {
            time: self.machine.unix_time(),
            key: change.key,
            by: copy(&change.by),
            pushed: change.pushed,
            generated: change.generated,
            ..Head::new(*interface, newest.saturating_add(1), act)
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

    /// An image that is not checked yet.
    #[inline(never)]
    fn target(&self, span: Span) -> Target {
        Target {
            span,
            items: 0,
            extras: 0,
            key: self.sum_key,
            up: true,
            parts: None,
            checked: Checked::default(),
            plan: Plan::default(),
        }
    }

    /// Checks an image, makes its index, and compares it with the kernel.
    fn compare(
        &mut self,
        image: &mut S::File,
        target: &mut Target,
        purpose: Purpose,
        working: &mut Working<'_>,
    ) -> Result<(), Fault> {
        let Self { slot, kernel, files, store, .. } = self;
        let mut index = Index::new(slot, &mut files.index);
        // The agent wrote the snapshot itself.
        let own = purpose == Purpose::Undo;
        let Target { span, key, checked, .. } = target;
        // The allowed IPs of a stored image were checked when it was pushed.
        if purpose == Purpose::Change {
            let noted = Noted { slot, file: &mut *image };
            check_allowed_ips(noted, *span, &mut index, &mut files.extras)?;
        }
        let noted = Noted { slot, file: &mut *image };
        let mut find_link = |name| Ok(kernel.link(name)?.map(|link| link.index));
        check(noted, *span, &mut index, (key, own), checked, &mut find_link, working)?;
        if !checked.sorted {
            index.sort(&mut files.extras)?;
        }
        target.items = index.len();
        let mut work = target.work(slot, image, &mut files.index, &mut files.extras);
        let Target { checked, plan, .. } = target;
        let interface = &checked.interface;
        compare(
            kernel,
            &mut work,
            interface,
            purpose,
            plan,
            &mut |take| each_in_force(store, &interface.name, take),
            working,
        )?;
        target.extras = work.extras.len();
        Ok(())
    }

    /// Fails for a route that another part of the router has.
    fn check_routes(&mut self, image: &mut S::File, target: &Target) -> Result<(), Fault> {
        let Self { slot, kernel, files, store, .. } = self;
        let mut work = target.work(slot, image, &mut files.index, &mut files.extras);
        let interface = &target.checked.interface;
        clash::check(kernel, &mut work, interface, &mut |take| {
            each_in_force(store, &interface.name, take)
        })
    }

    /// Applies the changes of a plan, and compares again; the plan then describes the kernel.
    ///
    /// The kernel has side effects: routes go with the last address, addresses and routes come back when a link goes
    /// up. So remaining differences are applied again, a few times at most.
    fn make(
        &mut self,
        image: &mut S::File,
        target: &mut Target,
        working: &mut Working<'_>,
    ) -> Result<(), Fault> {
        let Self { slot, kernel, files, machine, set, store, .. } = self;
        let mut work = target.work(slot, image, &mut files.index, &mut files.extras);
        let Target { checked: Checked { interface, .. }, plan, .. } = target;
        let mut claims = |take: &mut TakeClaim<'_>| each_in_force(store, &interface.name, take);
        apply(kernel, &mut work, interface, (plan, ROUNDS == 1), *machine, set, working)?;
        let mut again = || {
            for round in 2..=ROUNDS {
                compare(kernel, &mut work, interface, Purpose::Verify, plan, &mut claims, working)?;
                if !plan.summary.is_quiet() && !plan.other_than_items() {
                    let strict = round == ROUNDS;
                    apply(kernel, &mut work, interface, (plan, strict), *machine, set, working)?;
                } else {
                    return agree(&mut work, plan);
                }
            }
            compare(kernel, &mut work, interface, Purpose::Verify, plan, &mut claims, working)?;
            agree(&mut work, plan)
        };
        again().map_err(|fault| slot.amend(fault, &|failure| failure.state = State::Partly))
    }
}

/// An image that is being applied, without its files.
struct Target {
    /// Place of the image in its file.
    span: Span,
    /// Number of items of the image.
    items: u32,
    /// Number of items that the kernel has and the image has not.
    extras: u32,
    key: [u8; 16],
    /// Whether the link must be up.
    up: bool,
    /// The parts of a snapshot; `None` for any other image.
    parts: Option<Parts>,
    checked: Checked,
    plan: Plan,
}

impl Target {
    #[inline(never)]
    const fn work<'f, F: File>(
        &self,
        slot: &'f Slot,
        image: &'f mut F,
        index: &'f mut F,
        extras: &'f mut F,
    ) -> Work<'f, F> {
        let index = Index::again(slot, index, self.items);
        let extras = Extras::again(slot, extras, self.extras);
        let Self { span: Span { end, .. }, key, up, parts, .. } = *self;
        let links = self.checked.links;
        Work { slot, image, end, index, extras, key, up, links, parts }
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
