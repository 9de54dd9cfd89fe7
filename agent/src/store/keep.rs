//! The format of files that survive a power cut: their contents are either intact or known to be damaged, and a file
//! of another version is never misread.
//!
//! ```text
//! magic (4)  version (1)  payload  checksum (16)
//! ```
//!
//! The checksum is the first 16 bytes of the BLAKE2s-256 of everything before it. Not here: the system calls (the
//! binary), and the payloads ([`crate::access::identity`], [`crate::access::owners`]).

use core::ffi::CStr;
use core::fmt;

use proto_core::netlink::Errno;
use proto_core::protocol::digest;

use crate::system::{Disk, File, Folder};

/// Bytes around a payload.
const AROUND: usize = 4 + 1 + CHECKSUM;
const CHECKSUM: usize = 16;
const VERSION: u8 = 1;

/// A kind of file.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name in the folder.
    pub name: &'static CStr,
    /// Its first bytes.
    pub magic: [u8; 4],
    /// Its contents, as named in messages.
    pub what: &'static str,
}

/// Why a file could not be read or replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepError {
    /// Contents of the file, as named in messages.
    pub what: &'static str,
    /// The fault.
    pub wrong: Wrong,
}

/// The fault of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// The system refused.
    System(Errno),
    /// The checksum does not match.
    Damaged,
    /// Another version of the agent wrote the file.
    Version(u8),
}

impl fmt::Display for KeepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, wrong } = self;
        match wrong {
            Wrong::System(errno) => write!(f, "the file with the {what}: {errno}"),
            Wrong::Damaged => write!(f, "the file with the {what} is damaged"),
            Wrong::Version(version) => {
                write!(f, "the file with the {what} is of version {version}, which is not known")
            }
        }
    }
}

impl core::error::Error for KeepError {}

impl Kind {
    const fn failed(&self, wrong: Wrong) -> KeepError {
        KeepError { what: self.what, wrong }
    }

    /// An error of the system for this kind of file.
    #[must_use]
    pub const fn system(&self, errno: Errno) -> KeepError {
        self.failed(Wrong::System(errno))
    }

    /// An error for a payload that this version cannot have written.
    #[must_use]
    pub const fn damaged(&self) -> KeepError {
        self.failed(Wrong::Damaged)
    }

    /// Reads the payload; returns `None` if the file does not exist. `buf` needs [`file_len`] bytes of the longest
    /// payload.
    ///
    /// # Errors
    /// [`KeepError`].
    #[inline(never)]
    pub fn read<'b>(
        &self,
        folder: &mut dyn Folder,
        buf: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, KeepError> {
        let len = match folder.read(self.name, buf) {
            Ok(len) => len,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(self.system(errno)),
        };
        self.parse(buf.get(..len).unwrap_or_default()).map(Some)
    }

    /// The payload of a whole file.
    ///
    /// # Errors
    /// [`KeepError`].
    #[inline(never)]
    pub fn parse<'b>(&self, bytes: &'b [u8]) -> Result<&'b [u8], KeepError> {
        let damaged = || self.failed(Wrong::Damaged);
        let (file, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or_else(damaged)?;
        if !digest(file).starts_with(checksum) {
            return Err(damaged());
        }
        let (magic, rest) = file.split_first_chunk::<4>().ok_or_else(damaged)?;
        match rest.split_first() {
            Some((&VERSION, payload)) if *magic == self.magic => Ok(payload),
            Some((&version, _)) if *magic == self.magic => {
                Err(self.failed(Wrong::Version(version)))
            }
            _ => Err(damaged()),
        }
    }

    /// The version in the head of a file of this kind, if it differs from ours. It is not authenticated by the
    /// checksum.
    #[must_use]
    pub fn version(&self, bytes: &[u8]) -> Option<u8> {
        let (version, _) = bytes.strip_prefix(&self.magic)?.split_first()?;
        Some(*version).filter(|version| *version != VERSION)
    }

    /// Replaces the file. `buf` has the payload of `len` bytes where [`payload`] says.
    ///
    /// # Errors
    /// [`KeepError`]; the old file is then intact.
    #[inline(never)]
    pub fn replace(
        &self,
        folder: &mut dyn Folder,
        buf: &mut [u8],
        len: usize,
    ) -> Result<(), KeepError> {
        let file = self.seal(buf, len).ok_or(self.failed(Wrong::System(Errno::ENOSPC)))?;
        folder.replace(self.name, file).map_err(|errno| self.system(errno))
    }

    /// Puts a payload of `len` bytes, which is in `buf` where [`payload`] says, into its form: the whole
    /// file, unless it does not fit.
    #[inline(never)]
    pub fn seal<'b>(&self, buf: &'b mut [u8], len: usize) -> Option<&'b [u8]> {
        let file = buf.get_mut(..len.saturating_add(AROUND))?;
        let (body, checksum) = file.split_last_chunk_mut::<CHECKSUM>()?;
        if let Some((magic, [version, ..])) = body.split_first_chunk_mut::<4>() {
            (*magic, *version) = (self.magic, VERSION);
        }
        *checksum = *digest(body).first_chunk()?;
        Some(file)
    }
}

/// Runs a function while no other process changes files in the folder.
///
/// # Errors
/// The error of the lock; the function was then not called.
pub fn locked<T>(
    folder: &mut dyn Folder,
    act: impl FnOnce(&mut dyn Folder) -> T,
) -> Result<T, Errno> {
    folder.lock()?;
    let done = act(folder);
    folder.unlock();
    Ok(done)
}

/// Replaces a small file. When this returns, the new file is on the disk; a power cut at any moment leaves the old
/// file or the new one.
///
/// # Errors
/// The error of the disk. On any error before the rename, the old file is intact.
pub fn replace<D: Disk>(disk: &mut D, name: &CStr, bytes: &[u8]) -> Result<(), Errno> {
    let new = c"new";
    let mut write = || {
        let mut file = disk.create(new)?;
        file.write_at(0, bytes)?;
        // Sync the contents first, then rename, then sync the folder.
        disk.sync(&mut file)?;
        disk.rename(new, name)
    };
    if let Err(errno) = write() {
        // The rejected file may contain a key, and uses space.
        let _ = disk.unlink(new);
        return Err(errno);
    }
    disk.sync_names()
}

/// Place of the payload in the buffer of a file.
pub fn payload(buf: &mut [u8]) -> &mut [u8] {
    buf.get_mut(5..).unwrap_or_default()
}

/// Size in bytes of a file with `payload` bytes of payload.
#[must_use]
pub const fn file_len(payload: usize) -> usize {
    payload.saturating_add(AROUND)
}
