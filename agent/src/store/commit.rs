//! Making a configuration the one that runs and is stored, or leaving both as they were.
//!
//! ```text
//! check -> compare -> prepare (next) -> snapshot -> apply -> compare again -> promote (next -> N)
//!                        keep            state      kernel                      keep
//! ```
//!
//! What is before `promote` is undone when anything fails or the machine goes down, and by nothing but the
//! snapshot and the stored configuration, so it does not matter where it was cut. A change that waits to be
//! confirmed has everything done but `promote`. Going back is in `undo`.

mod undo;

use core::fmt::Write;

use heapless::String;
use proto_core::key::{PublicKey, SecretKey};
use proto_core::netlink::Errno;
use proto_core::protocol::Digest;
use proto_core::protocol::config::{Interface, PrivateKey, Record};
use proto_core::protocol::message::{
    Code, Failure, MAX_TEXT, Name, OwnerName, Phase, State, Subject, Summary, copy,
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
use crate::kernel::exchange::{Kernel, SET};
use crate::kernel::read::wireguard_link;
use crate::kernel::remove;
use crate::requests::report;
use crate::store::configurations::{Head, Store};
use crate::store::guard::Guard;
use crate::store::noted::Noted;
use crate::store::snapshot::Parts;
use crate::store::trouble::Trouble;
use crate::system::{Disk, File, Files, Machine, NetlinkSocket};

/// Bytes that are written between two signs of life.
const SIGN_OF_LIFE: u32 = 64 * 1024;

/// Gives signs of life: a phase, how much of it is done, and of how much.
pub type Working<'w> = dyn FnMut(Phase, u32, u32) + 'w;

/// Who makes a change, and what it is to be called.
#[derive(Clone, Debug)]
pub struct Change {
    /// How it comes to be; nothing is stored of a repair.
    pub act: Option<Act>,
    /// The owner's key.
    pub key: PublicKey,
    /// The owner's name.
    pub by: OwnerName,
    /// Whether it waits to be confirmed.
    pub confirm: bool,
    /// The digest of the image as it was pushed, or zeros.
    pub pushed: Digest,
    /// Whether the image as it was pushed left the private key to the router, and has it meanwhile.
    pub generated: bool,
}

impl Change {
    /// Putting back what is stored.
    pub const REPAIR: Self = Self {
        act: None,
        key: PublicKey([0; 32]),
        by: OwnerName::new(),
        confirm: false,
        pushed: [0; 32],
        generated: false,
    };
}

/// What a change came to.
#[derive(Clone, Debug)]
pub struct Done {
    /// What was changed in the kernel.
    pub summary: Summary,
    /// The number it has, or gets.
    pub number: u32,
    /// Whether it was stored.
    pub stored: bool,
    /// What is stored when it is confirmed.
    pub pending: Option<Head>,
}

/// The kernel and what is stored, which are kept in agreement.
#[derive(Debug)]
pub struct Committer<'b, N, D: Disk, M> {
    /// Where failures are written down.
    pub slot: &'b Slot,
    /// The kernel.
    pub kernel: Kernel<'b, N>,
    /// Files for what is known while a change is made.
    pub files: Files<D::File>,
    /// The machine.
    pub machine: M,
    /// Where messages to the kernel are written.
    pub set: &'b mut [u8; SET],
    /// What the router starts with.
    pub store: Store<'b, D>,
    /// What it goes back to while it runs.
    pub(crate) snapshots: Store<'b, D>,
    /// Whose the snapshot is: the change of this interface that gets this number. There is one snapshot at a time.
    pub(crate) open: Option<(Name, u32)>,
    sum_key: [u8; 16],
    /// What is wrong with what is stored or runs.
    pub trouble: Trouble,
    /// What counts the starts, if they are counted.
    pub guard: Option<Guard>,
}

impl<'b, N: NetlinkSocket, D: Disk, M: Machine> Committer<'b, N, D, M> {
    /// Over the kernel, and the folders for what outlives a reboot and what outlives the agent.
    #[inline(never)]
    pub fn new(
        kernel: Kernel<'b, N>,
        files: Files<D::File>,
        machine: M,
        set: &'b mut [u8; SET],
        (keep, state): (D, D),
    ) -> Self {
        let slot = kernel.slot;
        let mut sum_key = [0; 16];
        if machine.random(&mut sum_key).is_err() {
            // A machine that has just started may have none yet. This key is another one at each start.
            sum_key = machine.boot_id();
        }
        let (store, snapshots) = (Store::new(slot, keep), Store::new(slot, state));
        let (trouble, open, guard) = (Trouble::new(), None, None);
        Self { slot, kernel, files, machine, set, store, snapshots, open, sum_key, trouble, guard }
    }

    /// What an image would change, and the file of the changes.
    ///
    /// # Errors
    /// As for [`Committer::commit`].
    pub fn plan(
        &mut self,
        image: &mut D::File,
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
        Ok((target.plan.summary, written))
    }

    /// Makes an image the configuration that runs and, unless it waits to be confirmed, is stored.
    ///
    /// # Errors
    /// What is wrong with the image, what the kernel says, or what the storage says. The failure's `state` says
    /// what became of the running configuration; what is stored is then as it was.
    pub fn commit(
        &mut self,
        image: &mut D::File,
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
        settle_key(slot, &mut checked.interface, plan, &self.machine)?;
        let (same, mut head) = self.next(image, span.end, checked, change, working)?;
        head.generated |= generated;
        let quiet = plan.summary.is_quiet();
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

    /// Takes an interface away, and stores that there is none.
    ///
    /// # Errors
    /// [`Code::NoInterface`] when there is none, neither running nor stored; else as for
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
        // A kernel without WireGuard has no interface, and what is stored may go.
        let kernel = self.kernel.wireguard();
        let none = kernel.is_err() && slot.code() == Some(Code::NoWireGuard);
        let missing = match kernel {
            Err(fault) if none => Some(slot.take(fault)),
            other => other.map(|_| None)?,
        };
        let running = !none && wireguard_link(&mut self.kernel, name)?.is_some();
        let stored = self.newest_whole(interface)?.is_some_and(|(head, _)| head.has_image());
        if !running && !stored {
            if let Some(missing) = missing {
                return Err(slot.restore(missing));
            }
            let text = "there is no interface of that name, neither running nor stored";
            return Err(slot.fail(Code::NoInterface, Subject::Interface, text));
        }
        let digest = proto_core::protocol::digest(&[]);
        let mut head = Head { pushed: digest, ..self.head(interface, change)? };
        if stored {
            self.store.prepare(&mut head, &mut |_, _| Ok((0, digest)))?;
        }
        let number = if stored { head.number } else { head.number.saturating_sub(1) };
        if none {
            // Nothing runs, so there is nothing to confirm, and nothing to go back to.
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

    /// The last step: what was prepared counts, or waits to be confirmed.
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
            // When nothing new is stored, the number is that of what is stored, which needs no promotion.
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

    /// An owner's change of an interface was made: what was wrong with the interface before is over. A repair may
    /// have used an older configuration than the newest.
    fn is_well(&mut self, interface: &str, change: &Change) {
        if change.act.is_some() {
            self.release(interface);
            self.trouble.take(interface);
        }
    }

    /// A change that waited becomes the stored configuration, if it still runs.
    ///
    /// # Errors
    /// [`Code::Verify`] when the kernel has something else, [`Code::Storage`]; then it still waits.
    pub fn confirm(&mut self, head: &Head, working: &mut Working<'_>) -> Result<(), Fault> {
        let newest = self.store.newest(&head.interface, u32::MAX)?;
        let is_stored = newest.unwrap_or(0) >= head.number;
        self.runs(head, is_stored, working).map_err(|fault| {
            self.slot.amend(fault, &|failure| {
                let mut text = String::<MAX_TEXT>::new();
                let words = "the change is not what runs any more: revert it, and push again";
                let _ = write!(text.as_mut_view(), "{words} ({})", failure.text);
                failure.text = text;
            })
        })?;
        if !is_stored {
            self.store.promote(head)?;
        }
        self.trouble.take(&head.interface);
        self.close();
        Ok(())
    }

    /// Fails unless the kernel has what was prepared, or what is stored.
    fn runs(
        &mut self,
        head: &Head,
        is_stored: bool,
        working: &mut Working<'_>,
    ) -> Result<(), Fault> {
        let slot = self.slot;
        let (head, mut image) = if is_stored {
            self.store.open(&head.interface, head.number)?
        } else {
            self.store.open_next()?
        };
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

    /// A change that waited is taken back.
    ///
    /// # Errors
    /// What the kernel said; then it is worth another try, unless the snapshot is gone and no change is open any
    /// more.
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

    /// Forgets the change that is open: what was prepared of it, and what was there before.
    pub fn forget_change(&mut self) {
        self.store.discard();
        self.close();
    }

    fn close(&mut self) {
        self.snapshots.discard();
        self.open = None;
    }

    /// Whether a change is open: it waits, or could not be taken back.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The interface of the change that is open.
    #[must_use]
    pub fn open_interface(&self) -> Option<Name> {
        self.open.as_ref().map(|(interface, _)| *interface)
    }

    /// Fails while a change is open: its snapshot and what was prepared of it would be overwritten.
    fn none_open(&self) -> Result<(), Fault> {
        let Some((interface, number)) = &self.open else { return Ok(()) };
        let words = format_args!("the change of {interface} to no. {number} is not done");
        Err(self.slot.say(Code::Busy, Subject::None, Errno(0), words))
    }

    /// Whether an image is the one that is stored, and the head it gets if not.
    fn next(
        &mut self,
        image: &mut D::File,
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
        let mut writer = RecordWriter::<D::File>::new(self.slot, None, 0)?;
        write_image(&mut writer, checked, image, end, working)?;
        let written = writer.finish()?;
        let newest = self.newest_whole(interface)?;
        let same = newest.is_some_and(|(stored, _)| {
            (stored.length, stored.digest) == written
                && stored.number.saturating_add(1) == head.number
        });
        Ok((same, head))
    }

    /// The head of what is stored next of an interface.
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

    /// The newest stored configuration of an interface that is whole. That another one is not is noted.
    ///
    /// # Errors
    /// [`Code::Storage`].
    pub fn newest_whole(&mut self, interface: &str) -> Result<Option<(Head, D::File)>, Fault> {
        self.whole_below(interface, u32::MAX)
    }

    /// The newest of those with a number below `below`.
    ///
    /// # Errors
    /// [`Code::Storage`].
    pub fn whole_below(
        &mut self,
        interface: &str,
        below: u32,
    ) -> Result<Option<(Head, D::File)>, Fault> {
        let Self { store, trouble, machine, .. } = self;
        store.newest_whole(interface, below, &mut |slot, fault| {
            let failure = slot.take(fault);
            let words = format_args!("{interface}: {}; the one before it is used", failure.text);
            if trouble.note(interface, words) {
                machine.log(words);
            }
        })
    }

    /// An image of which nothing is known yet.
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
        image: &mut D::File,
        target: &mut Target,
        purpose: Purpose,
        working: &mut Working<'_>,
    ) -> Result<(), Fault> {
        let Self { slot, kernel, files, store, .. } = self;
        let mut index = Index::new(slot, &mut files.index);
        // A snapshot is the agent's own.
        let own = purpose == Purpose::Undo;
        let Target { span, key, checked, .. } = target;
        if !own {
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

    /// Fails for a route that something else on the router has.
    fn check_routes(&mut self, image: &mut D::File, target: &Target) -> Result<(), Fault> {
        let Self { slot, kernel, files, store, .. } = self;
        let mut work = target.work(slot, image, &mut files.index, &mut files.extras);
        let interface = &target.checked.interface;
        clash::check(kernel, &mut work, interface, &mut |take| {
            each_in_force(store, &interface.name, take)
        })
    }

    /// Makes the changes of a plan, and compares again: the plan is then what the kernel has.
    ///
    /// The kernel does more than it is told: routes go with the last address, addresses and routes come back when a
    /// link goes up. So what still differs is changed again, a few times at the most.
    fn make(
        &mut self,
        image: &mut D::File,
        target: &mut Target,
        working: &mut Working<'_>,
    ) -> Result<(), Fault> {
        let Self { slot, kernel, files, machine, set, store, .. } = self;
        let mut work = target.work(slot, image, &mut files.index, &mut files.extras);
        let Target { checked: Checked { interface, .. }, plan, .. } = target;
        let mut claims = |take: &mut TakeClaim<'_>| each_in_force(store, &interface.name, take);
        apply(kernel, &mut work, interface, (plan, ROUNDS == 1), machine, set, working)?;
        let mut again = || {
            for round in 2..=ROUNDS {
                compare(kernel, &mut work, interface, Purpose::Verify, plan, &mut claims, working)?;
                if !plan.summary.is_quiet() && !plan.other_than_items() {
                    let strict = round == ROUNDS;
                    apply(kernel, &mut work, interface, (plan, strict), machine, set, working)?;
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

/// An image on its way into the kernel, apart from the files.
struct Target {
    /// Where the image is in its file.
    span: Span,
    /// How many items it has.
    items: u32,
    /// How many the kernel has beyond it.
    extras: u32,
    key: [u8; 16],
    /// Whether the link is to be up.
    up: bool,
    /// `Some` for a snapshot: where its parts are.
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

/// The private key that the image leaves to the router: the one the device has, or a new one.
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

/// Writes an image as it is stored: with the private key that the interface has.
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
        // Flash may take seconds for so much.
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
