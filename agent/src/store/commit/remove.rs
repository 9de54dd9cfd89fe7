//! The removal of an interface, in the order of any change.

use proto_core::netlink::Errno;
use proto_core::protocol::message::{Code, Name, State, Subject, Summary, device};

use super::{Change, Committer, Done, Working};
use crate::config::claims::each_in_force;
use crate::config::index::Extras;
use crate::fault::Fault;
use crate::kernel::exchange::LinkState;
use crate::kernel::read::wireguard_link;
use crate::kernel::remove;
use crate::store::configurations::Head;
use crate::system::System;

impl<S: System> Committer<'_, S> {
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
        let stored = self.has_stored(interface)?;
        let link = if none { Ok(None) } else { self.own_link(&name, change) };
        let (link, foreign) = match link {
            // The link of another program is left alone, and does not keep what is stored.
            Err(fault)
                if stored && matches!(slot.code(), Some(Code::WrongKind | Code::Foreign)) =>
            {
                drop(slot.take(fault));
                (None, true)
            }
            link => (link?, false),
        };
        let running = link.is_some();
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
        let mut done = Done { summary: Summary::default(), number, stored: true, pending: None };
        if none {
            self.remove_stored(&head, change)?;
            return Ok(done);
        }
        let Self { kernel, files, store, .. } = self;
        let mut extras = Extras::new(slot, &mut files.extras);
        let found = remove::find(kernel, &mut extras, (name, link), &mut |take| {
            each_in_force(store, interface, take)
        });
        let found = found.inspect_err(|_| store.discard())?;
        let len = extras.len();
        done.summary = found.summary.clone();
        if !foreign {
            self.take_snapshot(&head, (0, len))?;
        }
        let Self { kernel, files, set, .. } = self;
        let mut extras = Extras::again(slot, &mut files.extras, len);
        let removed = remove::interface(kernel, &mut extras, set, name, &found);
        if foreign {
            // What is stored did not run, so its rules are not put back. Another attempt removes the rest.
            removed.inspect_err(|_| self.store.discard())?;
            self.remove_stored(&head, change).map_err(|fault| {
                match done.summary.rules.removed {
                    0 => fault,
                    _ => slot.amend(fault, &|failure| failure.state = State::Partly),
                }
            })?;
            done.summary.device |= device::FOREIGN;
            return Ok(done);
        }
        removed.map_err(|fault| self.undo(fault, working))?;
        done.stored = false;
        self.finish(done, head, !stored, change, working)
    }

    /// Stores the absence of an interface that does not run: there is nothing to confirm or to revert.
    fn remove_stored(&mut self, head: &Head, change: &Change) -> Result<(), Fault> {
        self.store.promote(head).inspect_err(|_| self.store.discard())?;
        self.is_well(&head.interface, change);
        Ok(())
    }

    /// The link of an interface, if there is one.
    ///
    /// # Errors
    /// [`Code::WrongKind`] or [`Code::Foreign`] for the link of another program.
    fn own_link(&mut self, name: &Name, change: &Change) -> Result<Option<LinkState>, Fault> {
        let link = wireguard_link(&mut self.kernel, *name)?;
        // Without a link, the name does not matter.
        if link.is_some() {
            self.adopts(link, name, change)?;
        }
        Ok(link)
    }

    /// Whether an interface has a stored configuration. A damaged one counts: it can be removed too.
    fn has_stored(&mut self, interface: &Name) -> Result<bool, Fault> {
        let Some(newest) = self.store.newest(interface, u32::MAX)? else { return Ok(false) };
        let whole = self.newest_whole(interface)?;
        Ok(whole.is_none_or(|(head, _)| head.has_image() || head.number < newest))
    }
}
