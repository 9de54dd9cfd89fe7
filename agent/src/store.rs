//! Configurations in files: what the router starts with, with its history, and what it goes back to.
//!
//! A file is a head in the form of [`crate::keep`], and behind it the image, whose length and digest are in the
//! head. `INTERFACE.NUMBER` is a configuration that is stored; of those of one interface that are whole, the
//! one with the greatest number is what the router starts with. `next` is one that is not stored yet: it gets
//! its name when it is, and that is the moment that counts. A power cut at any other leaves what there was.
//!
//! Which configuration is written when is not here (`commit`).

use core::ffi::CStr;
use core::fmt::Write;

use heapless::String;
use proto_core::key::PublicKey;
use proto_core::netlink::Errno;
use proto_core::protocol::Digest;
use proto_core::protocol::message::{Code, Name, OwnerName, Subject};
use proto_core::protocol::report::{Act, Stored};
use proto_core::text::{number, split_last};

use crate::fault::{Fault, Slot};
use crate::image::{Span, has_digest};
use crate::keep::{Kind, Wrong, file_len, padded, payload, put, take, text};
use crate::system::{Disk, File};

/// How many configurations of an interface are kept.
pub const HISTORY: u32 = 5;

const KIND: Kind = Kind { name: c"", magic: *b"PWCF", what: "stored configuration" };

/// act, number, its origin, time, key, length and digest of the image, boot id, flags, mark, and two texts
/// behind their lengths
const PAYLOAD: usize = 1 + 4 + 4 + 8 + 32 + 4 + 32 + 16 + 1 + 4 + 1 + 15 + 1 + 31;
const HEAD: usize = file_len(PAYLOAD);

const PUSHED: u8 = 0;
const ROLLED_BACK: u8 = 1;
const REMOVED: u8 = 2;

const EXISTED: u8 = 1;
const UP: u8 = 2;

/// A configuration on its way to a name of its own.
const NEXT: &CStr = c"next";

/// What is known of a configuration besides its image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The interface it is for.
    pub interface: Name,
    /// Its number among those of the interface.
    pub number: u32,
    /// How it came to be.
    pub act: Act,
    /// When: Unix time in seconds.
    pub time: u64,
    /// The key of the owner who made it.
    pub key: PublicKey,
    /// What that owner was called.
    pub by: OwnerName,
    /// The length of the image in bytes; 0 when there is none.
    pub length: u32,
    /// The digest of the image.
    pub digest: Digest,
    /// Of a snapshot: the start of the machine it was made after.
    pub boot: [u8; 16],
    /// Of a snapshot: whether the interface was there.
    pub existed: bool,
    /// Of a snapshot: whether it was up.
    pub up: bool,
    /// Of a snapshot: the mark that the change was to give the interface.
    pub fwmark: u32,
}

impl Head {
    /// Of the image that a change makes the one that counts.
    #[must_use]
    pub const fn new(interface: Name, number: u32, act: Act) -> Self {
        Self {
            interface,
            number,
            act,
            time: 0,
            key: PublicKey([0; 32]),
            by: OwnerName::new(),
            length: 0,
            digest: [0; 32],
            boot: [0; 16],
            existed: false,
            up: false,
            fwmark: 0,
        }
    }

    /// Where the image is in the file.
    #[must_use]
    pub const fn span(&self) -> Span {
        Span { from: HEAD as u32, end: (HEAD as u32).saturating_add(self.length) }
    }

    /// Whether the interface is to be there.
    #[must_use]
    pub const fn has_image(&self) -> bool {
        self.length > 0
    }

    fn write(&self, out: &mut [u8]) {
        let (act, origin) = match self.act {
            Act::Pushed => (PUSHED, 0),
            Act::RolledBack { number } => (ROLLED_BACK, number),
            Act::Removed => (REMOVED, 0),
        };
        let flag = |set, bit| if set { bit } else { 0 };
        let flags = flag(self.existed, EXISTED) | flag(self.up, UP);
        let mut at = 0;
        let mut put = |field: &[u8]| put(out, &mut at, field);
        put(&[act]);
        put(&self.number.to_le_bytes());
        put(&origin.to_le_bytes());
        put(&self.time.to_le_bytes());
        put(&self.key.0);
        put(&self.length.to_le_bytes());
        put(&self.digest);
        put(&self.boot);
        put(&[flags]);
        put(&self.fwmark.to_le_bytes());
        // Both are shorter than 256 bytes.
        put(&[self.interface.len() as u8]);
        put(&padded::<15>(&self.interface));
        put(&[self.by.len() as u8]);
        put(&padded::<31>(&self.by));
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let mut rest = payload;
        let [act] = *take(&mut rest)?;
        let number = u32::from_le_bytes(*take(&mut rest)?);
        let origin = u32::from_le_bytes(*take(&mut rest)?);
        let time = u64::from_le_bytes(*take(&mut rest)?);
        let key = PublicKey(*take(&mut rest)?);
        let length = u32::from_le_bytes(*take(&mut rest)?);
        let (digest, boot) = (*take(&mut rest)?, *take(&mut rest)?);
        let [flags] = *take(&mut rest)?;
        let fwmark = u32::from_le_bytes(*take(&mut rest)?);
        let interface = text::<15>(&mut rest)?;
        let by = text::<31>(&mut rest)?;
        let act = match act {
            PUSHED => Act::Pushed,
            ROLLED_BACK => Act::RolledBack { number: origin },
            REMOVED => Act::Removed,
            _ => return None,
        };
        let (existed, up) = (flags & EXISTED != 0, flags & UP != 0);
        rest.is_empty().then_some(Self {
            interface,
            number,
            act,
            time,
            key,
            by,
            length,
            digest,
            boot,
            existed,
            up,
            fwmark,
        })
    }

    /// The configuration as a client is told of it.
    #[must_use]
    pub fn shown(&self, damaged: bool) -> Stored {
        Stored {
            interface: self.interface.clone(),
            number: self.number,
            time: self.time,
            key: self.key,
            by: self.by.clone(),
            act: self.act,
            length: self.length,
            damaged,
        }
    }
}

/// The name of a file.
struct FileName(String<32>);

impl FileName {
    fn new(interface: &str, number: u32) -> Self {
        let mut name = String::new();
        // At most 15, 1, 10 and 1 bytes.
        let _ = write!(name, "{interface}.{number}\0");
        Self(name)
    }

    fn as_c(&self) -> &CStr {
        CStr::from_bytes_until_nul(self.0.as_bytes()).unwrap_or_default()
    }

    /// The interface and the number in a name, if it is one of a stored configuration.
    fn parse(name: &CStr) -> Option<(&str, u32)> {
        let (interface, digits) = split_last(name.to_str().ok()?, b'.')?;
        let plain = !digits.starts_with('0') && !interface.is_empty() && interface.len() <= 15;
        number(digits).filter(|_| plain).map(|number| (interface, number))
    }
}

/// Writes an image into a file from a byte on: its length and digest.
pub type WriteImage<'w, F> = dyn FnMut(&mut F, u32) -> Result<(u32, Digest), Fault> + 'w;

/// A folder with configurations.
#[derive(Debug)]
pub struct Store<'b, D> {
    slot: &'b Slot,
    disk: D,
}

impl<'b, D: Disk> Store<'b, D> {
    /// In this folder.
    pub const fn new(slot: &'b Slot, disk: D) -> Self {
        Self { slot, disk }
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

    /// The first interface behind `after` in the order of their names.
    ///
    /// # Errors
    /// [`Code::Storage`].
    pub fn interface_after(&mut self, after: &str) -> Result<Option<Name>, Fault> {
        let mut first: Option<Name> = None;
        let listed = self.disk.each_name(&mut |name| {
            if let Some((found, _)) = FileName::parse(name)
                && found > after
                && first.as_ref().is_none_or(|first| found < first.as_str())
            {
                first = Name::try_from(found).ok();
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
                    "stored configuration {number} was written by another version of the agent \
                     (format {version})"
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
            file => self.failed(file)?,
        };
        let mut buf = [0; HEAD];
        let got = self.failed(file.read_at(0, &mut buf))?;
        let payload = KIND.parse(buf.get(..got).unwrap_or_default());
        let payload = payload.map_err(|error| self.damaged(number, error.wrong))?;
        let head = Head::parse(payload).ok_or_else(|| self.damaged(number, Wrong::Damaged))?;
        if !has_digest(self.slot, &mut file, head.span(), &head.digest)? {
            return Err(self.damaged(number, Wrong::Damaged));
        }
        Ok((head, file))
    }

    /// Opens the newest configuration of an interface that is whole. Those that are not are told.
    ///
    /// # Errors
    /// [`Code::Storage`].
    pub fn newest_whole(
        &mut self,
        interface: &str,
        damaged: &mut dyn FnMut(&Slot, Fault),
    ) -> Result<Option<(Head, D::File)>, Fault> {
        let mut below = u32::MAX;
        while let Some(number) = self.newest(interface, below)? {
            match self.open(interface, number) {
                Ok(found) => return Ok(Some(found)),
                Err(fault) => match self.slot.code() {
                    Some(Code::Damaged) => damaged(self.slot, fault),
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
        let mut buf = [0; HEAD];
        head.write(payload(&mut buf));
        let bytes = KIND.seal(&mut buf, PAYLOAD).unwrap_or_default();
        self.failed(file.write_at(0, bytes))?;
        if sync {
            let synced = self.disk.sync(&mut file);
            self.failed(synced)?;
        }
        Ok(())
    }

    /// Writes the configuration that is to be stored next, and waits until it is on the disk.
    ///
    /// # Errors
    /// [`Code::Storage`]; then nothing is different.
    pub fn prepare(
        &mut self,
        head: &mut Head,
        image: &mut WriteImage<'_, D::File>,
    ) -> Result<(), Fault> {
        let written = self.write(head, image, true);
        if written.is_err() {
            self.discard();
        }
        written
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
            let _ = self.disk.unlink(name.as_c());
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

    /// Opens the snapshot, if there is one that is whole.
    ///
    /// # Errors
    /// [`Code::NotStored`], [`Code::Damaged`], [`Code::Storage`].
    pub fn open_snapshot(&mut self) -> Result<(Head, D::File), Fault> {
        self.open_file(NEXT, 0)
    }
}

#[cfg(test)]
mod tests;
