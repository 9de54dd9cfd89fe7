//! Configurations in files: what the router starts with, with its history, and what it goes back to.
//!
//! A file is a head in the form of [`crate::store::keep`], and behind it the image, whose length and digest are in the
//! head. `INTERFACE.NUMBER` is a configuration that is stored; of those of one interface that are whole, the
//! one with the greatest number is what the router starts with. `next` is one that is not stored yet: it gets
//! its name when it is, and that is the moment that counts. A power cut at any other leaves what there was.
//!
//! Which configuration is written when is not here (`commit`).

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

/// How many configurations of an interface are kept.
pub const HISTORY: u32 = 5;

/// A configuration on its way to a name of its own.
const NEXT: &CStr = c"next";

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

    /// The interface and the number in a name, if it is one of a stored configuration.
    fn parse(name: &CStr) -> Option<(Name, u32)> {
        let (interface, digits) = split_last(name.to_str().ok()?, b'.')?;
        let number = number(digits).filter(|_| !digits.starts_with('0'))?;
        Some((interface.parse().ok()?, number))
    }
}

/// Writes an image into a file from a byte on: its length and digest.
pub type WriteImage<'w, F> = dyn FnMut(&mut F, u32) -> Result<(u32, Digest), Fault> + 'w;

/// A folder with configurations.
#[derive(Debug)]
pub struct Store<'b, D> {
    /// Where failures are written down.
    pub slot: &'b Slot,
    disk: D,
}

impl<'b, D: Disk> Store<'b, D> {
    /// In this folder.
    pub const fn new(slot: &'b Slot, disk: D) -> Self {
        Self { slot, disk }
    }

    /// The folder.
    pub(crate) const fn disk(&mut self) -> &mut D {
        &mut self.disk
    }

    fn failed<T>(&self, result: Result<T, Errno>) -> Result<T, Fault> {
        result.map_err(|errno| self.slot.storage(errno))
    }

    /// The greatest number below `below` that there is of an interface.
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

    /// The first interface behind `after` in the order of their names; of all for `None`.
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

    /// Opens a stored configuration, and checks that it is whole.
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
        let code = Code::Damaged;
        match wrong {
            Wrong::Version(version) => self.slot.say(
                code,
                Subject::Interface,
                Errno(0),
                format_args!(
                    "stored configuration {number} is damaged, or was written by another version \
                     of the agent (format {version})"
                ),
            ),
            _ => self.slot.say(
                code,
                Subject::Interface,
                Errno(0),
                format_args!("stored configuration {number} is damaged"),
            ),
        }
    }

    fn open_file(&mut self, name: &CStr, number: u32) -> Result<(Head, D::File), Fault> {
        let mut file = match self.disk.open(name) {
            Err(Errno::ENOENT) => {
                let words = format_args!("there is no stored configuration {number}");
                return Err(self.slot.say(Code::NotStored, Subject::Interface, Errno(0), words));
            }
            // A socket of that name, or a link in a circle.
            Err(Errno::ENXIO | Errno::ELOOP) => return Err(self.damaged(number, Wrong::Damaged)),
            file => self.failed(file)?,
        };
        let mut buf = [0; HEAD];
        let got = match file.read_at(0, &mut buf) {
            // A folder of that name, or a pipe.
            Err(Errno::EISDIR | Errno::ESPIPE) => return Err(self.damaged(number, Wrong::Damaged)),
            got => self.failed(got)?,
        };
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

    /// Opens the newest configuration of an interface that is whole and has a number below `below`. Those that
    /// are not whole are told.
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
                    // A link of that name that leads nowhere is not stored.
                    Some(Code::Damaged | Code::NotStored) => damaged(self.slot, fault),
                    _ => return Err(fault),
                },
            }
            below = number;
        }
        Ok(None)
    }

    /// Writes a configuration to a file that does not count yet. `image` writes its records.
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

    /// Writes the configuration that is to be stored next, and waits until it is on the disk. A disk that is
    /// full gives up configurations that are history, the oldest first.
    ///
    /// # Errors
    /// [`Code::Storage`]; then what the router starts with is as it was.
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

    /// Removes the oldest configuration that the router would not start with: of this interface, or of the
    /// first that has one. Whether there was one.
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

    /// Makes what was prepared the stored configuration of its interface: when this returns, it is what the
    /// router starts with.
    ///
    /// # Errors
    /// [`Code::Storage`]; then the router starts with what it had, unless the disk took the name and said that
    /// it did not.
    pub fn promote(&mut self, head: &Head) -> Result<(), Fault> {
        let name = FileName::new(&head.interface, head.number);
        let renamed = self.disk.rename(NEXT, name.as_c());
        self.failed(renamed)?;
        if let Err(errno) = self.disk.sync_names() {
            // It is prepared again, so that it can be tried once more.
            if self.disk.rename(name.as_c(), NEXT).is_err() {
                let _ = self.disk.unlink(name.as_c());
            }
            let _ = self.disk.sync_names();
            return Err(self.slot.storage(errno));
        }
        let mut below = head.number.saturating_sub(HISTORY).saturating_add(1);
        // One too many does no harm, and the next time it goes.
        while let Ok(Some(number)) = self.newest(&head.interface, below) {
            let _ = self.disk.unlink(FileName::new(&head.interface, number).as_c());
            below = number;
        }
        Ok(())
    }

    /// Forgets what was prepared.
    pub fn discard(&mut self) {
        // There may be none.
        let _ = self.disk.unlink(NEXT);
    }

    /// Writes the snapshot that a change that is not done goes back to. It outlives the agent, not the machine.
    ///
    /// # Errors
    /// [`Code::Storage`].
    pub fn write_snapshot(
        &mut self,
        head: &mut Head,
        image: &mut WriteImage<'_, D::File>,
    ) -> Result<(), Fault> {
        // One that is torn was no good to anybody: nothing was changed before it was whole.
        self.write(head, image, false)
    }

    /// Opens what was prepared, or the snapshot, if there is one that is whole.
    ///
    /// # Errors
    /// [`Code::NotStored`], [`Code::Damaged`], [`Code::Storage`].
    pub fn open_next(&mut self) -> Result<(Head, D::File), Fault> {
        self.open_file(NEXT, 0)
    }
}

#[cfg(test)]
mod tests;
