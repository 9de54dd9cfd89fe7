//! The removal of an interface, in the order of any change.

use proto_core::netlink::Errno;
use proto_core::protocol::message::{Code, Name, State, Subject, Summary};

use super::{Change, Committer, Done, Working};
use crate::config::claims::each_in_force;
use crate::config::index::Extras;
use crate::fault::Fault;
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
        let link = if none { None } else { wireguard_link(&mut self.kernel, name)? };
        let running = link.is_some();
        // What is stored can be removed, whoever has the name now.
        if running {
            self.adopts(link, &name, change)?;
        }
        let stored = self.has_stored(interface)?;
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

    /// Whether an interface has a stored configuration. A damaged one counts: it can be removed too.
    fn has_stored(&mut self, interface: &Name) -> Result<bool, Fault> {
        let Some(newest) = self.store.newest(interface, u32::MAX)? else { return Ok(false) };
        let whole = self.newest_whole(interface)?;
        Ok(whole.is_none_or(|(head, _)| head.has_image() || head.number < newest))
    }
}
