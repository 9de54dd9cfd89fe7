//! Configurations in files: those that the router starts with, their history, and the snapshot that an undo goes back
//! to.
//!
//! A file is a head in the form of [`crate::store::keep`], and behind it the image, whose length and digest are in the
//! head. `INTERFACE.NUMBER` is a stored configuration. The router starts with the intact one of the greatest number
//! of each interface. `next` is a prepared configuration. Renaming it to `INTERFACE.NUMBER` stores it: a power cut
//! before the rename leaves the old configuration in force.
//!
//! Not here: when a configuration is written (`commit`).

mod head;

use core::ffi::CStr;
use core::fmt::Write;

use heapless::String;
use proto_core::netlink::Errno;
use proto_core::protocol::Digest;
use proto_core::protocol::message::{Code, Name, Subject};
use proto_core::text::{number, split_last};

use crate::config::image::has_digest;
use crate::fault::{Fault, Slot};
use crate::store::keep::Wrong;
use crate::system::{Disk, File};
use head::HEAD;

pub use head::Head;

/// Number of configurations that are kept of an interface.
pub const HISTORY: u32 = 5;

/// The prepared configuration, before its rename.
const NEXT: &CStr = c"next";

/// Errors of one file: of the disk under it, or because the name is that of a socket, a loop of symbolic links, a
/// folder or a pipe. Any other error is that of the whole disk, or passes.
const UNREADABLE: [Errno; 7] = [
    Errno::EIO,
    Errno::EBADMSG,
    Errno::EUCLEAN,
    Errno::ENXIO,
    Errno::ELOOP,
    Errno::EISDIR,
    Errno::ESPIPE,
];

/// The name of a file.
struct FileName(String<32>);

impl FileName {
    fn new(interface: &str, number: u32) -> Self {
        let mut name = String::<32>::new();
        // At most 15, 1, 10 and 1 bytes.
        let _ = write!(name.as_mut_view(), "{interface}.{number}\0");
        Self(name)
    }

    fn as_c(&self) -> &CStr {
        CStr::from_bytes_until_nul(self.0.as_bytes()).unwrap_or_default()
    }

    /// The interface and the number in the name of a stored configuration; `None` for any other name.
    fn parse(name: &CStr) -> Option<(Name, u32)> {
        let (interface, digits) = split_last(name.to_str().ok()?, b'.')?;
        let number = number(digits).filter(|_| !digits.starts_with('0'))?;
        Some((interface.parse().ok()?, number))
    }
}

/// Writes an image into a file at an offset; returns its length and digest.
pub type WriteImage<'w, F> = dyn FnMut(&mut F, u32) -> Result<(u32, Digest), Fault> + 'w;

/// A folder with configurations.
#[derive(Debug)]
pub struct Store<'b, D> {
    /// Where failures are recorded.
    pub slot: &'b Slot,
    disk: D,
    /// Whether the names were synced by this agent.
    synced: bool,
    /// Whether a file could not be read, which may pass.
    pub unread: bool,
}

impl<'b, D: Disk> Store<'b, D> {
    /// A store in this folder.
    pub const fn new(slot: &'b Slot, disk: D) -> Self {
        Self { slot, disk, synced: false, unread: false }
    }

    /// The folder.
    pub(crate) const fn disk(&mut self) -> &mut D {
        &mut self.disk
    }

    fn failed<T>(&self, result: Result<T, Errno>) -> Result<T, Fault> {
        result.map_err(|errno| self.slot.storage(errno))
    }

    /// The greatest stored number of an interface below `below`.
    ///
    /// # Errors
    /// [`Code::Storage`].
    pub fn newest(&mut self, interface: &str, below: u32) -> Result<Option<u32>, Fault> {
        let mut newest = None;
        let listed = self.disk.each_name(&mut |name| match FileName::parse(name) {
            Some((found, number)) if found == interface && number < below => {
                newest = newest.max(Some(number));
            }
            _ => {}
        });
        self.failed(listed)?;
        Ok(newest)
    }

    /// The first interface after `after` in the order of names; `None` starts at the beginning.
    ///
    /// # Errors
    /// [`Code::Storage`].
    pub fn interface_after(&mut self, after: Option<&Name>) -> Result<Option<Name>, Fault> {
        let mut first: Option<Name> = None;
        let listed = self.disk.each_name(&mut |name| {
            if let Some((found, _)) = FileName::parse(name)
                && after.is_none_or(|after| found > *after)
                && first.is_none_or(|first| found < first)
            {
                first = Some(found);
            }
        });
        self.failed(listed)?;
        Ok(first)
    }

    /// Opens a stored configuration, and verifies its checksum.
    ///
    /// # Errors
    /// [`Code::NotStored`], [`Code::Damaged`], [`Code::Storage`].
    pub fn open(&mut self, interface: &str, number: u32) -> Result<(Head, D::File), Fault> {
        let (head, file) = self.open_file(FileName::new(interface, number).as_c(), number)?;
        if head.number == number && head.interface == interface {
            return Ok((head, file));
        }
        Err(self.damaged(number, Wrong::Damaged))
    }

    fn damaged(&self, number: u32, wrong: Wrong) -> Fault {
        let say = |errno, words| self.slot.say(Code::Damaged, Subject::Interface, errno, words);
        match wrong {
            Wrong::Version(version) => say(
                Errno(0),
                format_args!(
                    "stored configuration {number} is damaged, or was written by another version \
                     of the agent (format {version})"
                ),
            ),
            Wrong::System(errno) => {
                say(errno, format_args!("stored configuration {number} cannot be read: {errno}"))
            }
            Wrong::Damaged => {
                say(Errno(0), format_args!("stored configuration {number} is damaged"))
            }
        }
    }

    fn open_file(&mut self, name: &CStr, number: u32) -> Result<(Head, D::File), Fault> {
        let slot = self.slot;
        let opened = self.open_intact(name, number);
        opened.map_err(|fault| match UNREADABLE.iter().find(|errno| slot.is(**errno)) {
            Some(errno) => {
                self.unread = true;
                drop(slot.take(fault));
                self.damaged(number, Wrong::System(*errno))
            }
            None => fault,
        })
    }

    fn open_intact(&mut self, name: &CStr, number: u32) -> Result<(Head, D::File), Fault> {
        let file = self.disk.open(name);
        if let Err(Errno::ENOENT) = file {
            let words = format_args!("there is no stored configuration {number}");
            return Err(self.slot.say(Code::NotStored, Subject::Interface, Errno(0), words));
        }
        let mut file = self.failed(file)?;
        let mut buf = [0; HEAD];
        let got = self.failed(file.read_at(0, &mut buf))?;
        let head = Head::from_bytes(buf.get(..got).unwrap_or_default());
        let head = match head {
            Ok(head) => head,
            Err(wrong) => return Err(self.damaged(number, wrong)),
        };
        if !has_digest(self.slot, &mut file, head.span(), &head.digest)? {
            return Err(self.damaged(number, Wrong::Damaged));
        }
        Ok((head, file))
    }

    /// Opens the newest intact configuration of an interface with a number below `below`. Damaged ones are reported.
    ///
    /// # Errors
    /// [`Code::Storage`].
    pub fn newest_whole(
        &mut self,
        interface: &str,
        mut below: u32,
        damaged: &mut dyn FnMut(&Slot, Fault),
    ) -> Result<Option<(Head, D::File)>, Fault> {
        while let Some(number) = self.newest(interface, below)? {
            match self.open(interface, number) {
                Ok(found) => return Ok(Some(found)),
                Err(fault) => match self.slot.code() {
                    // A dangling symbolic link is no stored configuration.
                    Some(Code::Damaged | Code::NotStored) => damaged(self.slot, fault),
                    _ => return Err(fault),
                },
            }
            below = number;
        }
        Ok(None)
    }

    /// Writes a configuration to a file that is not in force yet. `image` writes its records.
    fn write(
        &mut self,
        head: &mut Head,
        image: &mut WriteImage<'_, D::File>,
        sync: bool,
    ) -> Result<(), Fault> {
        let file = self.disk.create(NEXT);
        let mut file = self.failed(file)?;
        (head.length, head.digest) = image(&mut file, HEAD as u32)?;
        self.failed(file.write_at(0, &head.to_bytes()))?;
        if sync {
            let synced = self.disk.sync(&mut file);
            self.failed(synced)?;
        }
        Ok(())
    }

    /// Prepares a configuration: writes and syncs `next`. On a full disk, old configurations are removed first, the
    /// oldest before the others.
    ///
    /// # Errors
    /// [`Code::Storage`]; the router then still starts with the configuration it had.
    pub fn prepare(
        &mut self,
        head: &mut Head,
        image: &mut WriteImage<'_, D::File>,
    ) -> Result<(), Fault> {
        loop {
            let Err(fault) = self.write(head, image, true) else { return Ok(()) };
            self.discard();
            let failure = self.slot.take(fault);
            let full = failure.code == Code::Storage && failure.errno == Errno::ENOSPC.0 as u16;
            let more = full && self.make_room(&head.interface).unwrap_or(false);
            if !more {
                return Err(self.slot.restore(failure));
            }
        }
    }

    /// Removes the oldest configuration that the router would not start with: of this interface, or of the first
    /// interface that has one. Returns `false` if there is none.
    #[inline(never)]
    fn make_room(&mut self, interface: &str) -> Option<bool> {
        let slot = self.slot;
        let mut next = Name::try_from(interface).ok();
        let mut last = None;
        while let Some(interface) = next {
            let newest =
                self.newest_whole(&interface, u32::MAX, &mut |slot, fault| drop(slot.take(fault)));
            let newest = newest.map_err(|fault| slot.take(fault)).ok()?;
            let (mut oldest, mut below) = (None, newest.map_or(0, |(head, _)| head.number));
            while let Some(number) =
                self.newest(&interface, below).map_err(|fault| slot.take(fault)).ok()?
            {
                (oldest, below) = (Some(number), number);
            }
            if let Some(number) = oldest {
                self.disk.unlink(FileName::new(&interface, number).as_c()).ok()?;
                return Some(self.disk.sync_names().is_ok());
            }
            next = self.interface_after(last.as_ref()).map_err(|fault| slot.take(fault)).ok()?;
            last = Some(next?);
        }
        Some(false)
    }

    /// Makes the prepared configuration the stored one of its interface: when this returns, the router starts with
    /// it.
    ///
    /// # Errors
    /// [`Code::Storage`]; the router then starts with the configuration it had, unless the rename took effect
    /// although the disk reported an error.
    pub fn promote(&mut self, head: &Head) -> Result<(), Fault> {
        let name = FileName::new(&head.interface, head.number);
        let renamed = self.disk.rename(NEXT, name.as_c());
        self.failed(renamed)?;
        if let Err(errno) = self.disk.sync_names() {
            // Give it the name of a prepared configuration again, so that the caller can retry.
            if self.disk.rename(name.as_c(), NEXT).is_err() {
                let _ = self.disk.unlink(name.as_c());
            }
            let _ = self.disk.sync_names();
            return Err(self.slot.storage(errno));
        }
        self.synced = true;
        let mut below = head.number.saturating_sub(HISTORY).saturating_add(1);
        // Best effort: one configuration too many does no harm, and the next change removes it.
        while let Ok(Some(number)) = self.newest(&head.interface, below) {
            let _ = self.disk.unlink(FileName::new(&head.interface, number).as_c());
            below = number;
        }
        Ok(())
    }

    /// Syncs the names of the stored configurations. An agent that was killed in [`Store::promote`] may have left a name
    /// that a power cut would still lose.
    ///
    /// # Errors
    /// [`Code::Storage`].
    pub fn sync(&mut self) -> Result<(), Fault> {
        if !self.synced {
            let synced = self.disk.sync_names();
            self.failed(synced)?;
            self.synced = true;
        }
        Ok(())
    }

    /// Removes the prepared configuration.
    pub fn discard(&mut self) {
        // It may not exist.
        let _ = self.disk.unlink(NEXT);
    }

    /// Writes the snapshot that an unfinished change goes back to. It survives a restart of the agent, but not a
    /// reboot.
    ///
    /// # Errors
    /// [`Code::Storage`].
    pub fn write_snapshot(
        &mut self,
        head: &mut Head,
        image: &mut WriteImage<'_, D::File>,
    ) -> Result<(), Fault> {
        // A torn snapshot can be dropped: changes start only after it was synced.
        self.write(head, image, false)
    }

    /// Opens the prepared configuration or the snapshot, if it exists and is intact.
    ///
    /// # Errors
    /// [`Code::NotStored`], [`Code::Damaged`], [`Code::Storage`].
    pub fn open_next(&mut self) -> Result<(Head, D::File), Fault> {
        self.open_file(NEXT, 0)
    }
}

#[cfg(test)]
mod tests;
