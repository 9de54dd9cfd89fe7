//! What the agent needs from its machine. The binary implements it with system calls, tests with
//! plain memory and a scripted kernel.

use core::ffi::CStr;
use core::fmt;

use heapless::String;

use proto_core::netlink::Errno;
use proto_core::protocol::message::Status;

pub use proto_core::netlink::socket::{Datagram, NetlinkSocket};

/// The router as the agent uses it: the kernel, folders, and the rest of the machine. The agent is generic over this
/// trait; code that needs only a disk or a socket is generic over that.
pub trait System {
    /// A netlink socket.
    type Netlink: NetlinkSocket + fmt::Debug;
    /// A file for our own use.
    type File: File + fmt::Debug;
    /// A folder.
    type Disk: Disk<File = Self::File> + fmt::Debug;
    /// The rest of the machine.
    type Machine: Machine + fmt::Debug;
}

/// A file for our own use. Offsets and lengths are bytes.
pub trait File {
    /// Reads at `offset`, at least one byte except at the end.
    ///
    /// # Errors
    /// The errno of the system call.
    fn read_some(&mut self, offset: u32, buf: &mut [u8]) -> Result<usize, Errno>;
    /// Writes the first of `bytes` at `offset`, and returns how many were written.
    ///
    /// # Errors
    /// The errno of the system call; `ENOSPC` on a full disk.
    fn write_some(&mut self, offset: u32, bytes: &[u8]) -> Result<usize, Errno>;
    /// Truncates the file to length 0.
    ///
    /// # Errors
    /// The errno of the system call.
    fn clear(&mut self) -> Result<(), Errno>;

    /// Reads at `offset`; fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// The errno of the system call.
    #[inline(never)]
    fn read_at(&mut self, offset: u32, buf: &mut [u8]) -> Result<usize, Errno> {
        let mut filled = 0_usize;
        loop {
            let room = buf.get_mut(filled..).unwrap_or_default();
            if room.is_empty() {
                return Ok(filled);
            }
            let at = offset.saturating_add(u32::try_from(filled).unwrap_or(u32::MAX));
            match self.read_some(at, room)? {
                0 => return Ok(filled),
                got => filled = filled.saturating_add(got),
            }
        }
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// The errno of the system call; a part of the bytes may be written.
    #[inline(never)]
    fn write_at(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Errno> {
        let mut done = 0_usize;
        loop {
            let rest = bytes.get(done..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(());
            }
            let at = offset.saturating_add(u32::try_from(done).unwrap_or(u32::MAX));
            match self.write_some(at, rest)? {
                0 => return Err(Errno::EIO),
                got => done = done.saturating_add(got),
            }
        }
    }
}

/// A folder, with separate operations that can fail one by one and between which a power cut can
/// come.
pub trait Disk {
    /// A file in the folder.
    type File: File + fmt::Debug;
    /// Opens a file for reading.
    ///
    /// # Errors
    /// `ENOENT` when the file does not exist, else the errno of the system call.
    fn open(&mut self, name: &CStr) -> Result<Self::File, Errno>;
    /// Creates an empty file that only its owner may read, replacing a file of that name.
    ///
    /// # Errors
    /// The errno of the system call.
    fn create(&mut self, name: &CStr) -> Result<Self::File, Errno>;
    /// Waits until the contents of a file are on the disk.
    ///
    /// # Errors
    /// The errno of the system call.
    fn sync(&mut self, file: &mut Self::File) -> Result<(), Errno>;
    /// Renames a file, replacing a file of the new name.
    ///
    /// # Errors
    /// The errno of the system call.
    fn rename(&mut self, from: &CStr, to: &CStr) -> Result<(), Errno>;
    /// Removes a file.
    ///
    /// # Errors
    /// `ENOENT` when the file does not exist, else the errno of the system call.
    fn unlink(&mut self, name: &CStr) -> Result<(), Errno>;
    /// Waits until the names of the folder's files are on the disk.
    ///
    /// # Errors
    /// The errno of the system call.
    fn sync_names(&mut self) -> Result<(), Errno>;
    /// Visits the names of all files, in any order.
    ///
    /// # Errors
    /// The errno of the system call.
    fn each_name(&mut self, take: &mut dyn FnMut(&CStr)) -> Result<(), Errno>;
}

/// A folder of small files that are replaced as a whole. Whether the folder survives a reboot is
/// the caller's choice.
pub trait Folder {
    /// Reads a file from its start, as much as fits into `buf`.
    ///
    /// # Errors
    /// `ENOENT` when the file does not exist, else the errno of the system call.
    fn read(&mut self, name: &CStr, buf: &mut [u8]) -> Result<usize, Errno>;
    /// Replaces or creates a file. When this returns, the new file is on the disk; a power cut at
    /// any moment leaves the old file or the new one.
    ///
    /// # Errors
    /// The errno of the system call. The old file is then intact.
    fn replace(&mut self, name: &CStr, bytes: &[u8]) -> Result<(), Errno>;
    /// A number that changes when the file is replaced, also by another process; 0 when the file
    /// does not exist.
    ///
    /// # Errors
    /// The errno of the system call.
    fn version(&mut self, name: &CStr) -> Result<u64, Errno>;
    /// Locks the folder against changes by other processes until [`Folder::unlock`]; waits for
    /// another process that has the lock.
    ///
    /// # Errors
    /// The errno of the system call.
    fn lock(&mut self) -> Result<(), Errno>;
    /// Releases the lock of [`Folder::lock`].
    fn unlock(&mut self);
}

/// The rest of the machine.
pub trait Machine {
    /// Monotonic time in milliseconds.
    fn now(&self) -> u64;
    /// Wall clock time in seconds since 1970, the time base of handshake stamps.
    fn unix_time(&self) -> u64;
    /// Fills `buf` with cryptographically secure random bytes.
    ///
    /// # Errors
    /// The errno of the system call.
    fn random(&self, buf: &mut [u8]) -> Result<(), Errno>;
    /// Fills in host name, board, kernel, machine and memory.
    fn identify(&self, status: &mut Status);
    /// A value that differs after each boot of the machine.
    fn boot_id(&self) -> [u8; 16];
    /// Makes the reverse path filter use packet marks (`net.ipv4.conf.all.src_valid_mark`), which a
    /// default route through a tunnel needs.
    ///
    /// # Errors
    /// The errno of the system call.
    fn set_src_valid_mark(&self) -> Result<(), Errno>;
    /// Whether another program of the router has the interface in its configuration.
    fn is_managed(&self, _interface: &str) -> bool {
        false
    }

    /// The host name, for prompts.
    fn host_name(&self) -> String<32> {
        let mut name = String::new();
        let _ = name.push_str("router");
        name
    }

    /// Passes the last lines of the log to `take`, the oldest first.
    fn each_log_line(&self, _take: &mut dyn FnMut(&str)) {}

    /// Logs an error in one line: a failure, or a state that differs from what was asked for. No
    /// secrets.
    fn log(&self, line: fmt::Arguments<'_>);
    /// Logs information in one line: an action that succeeded as asked. No secrets.
    fn info(&self, line: fmt::Arguments<'_>) {
        self.log(line);
    }
}

/// The earlier of two times, if there are any.
#[must_use]
pub fn sooner(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The agent's files. None of them survives the agent.
#[derive(Debug, Default)]
pub struct Files<F> {
    /// The state of each item of the image ([`crate::config::index`]).
    pub index: F,
    /// The keys of items that the kernel has and the image does not.
    pub extras: F,
    /// The file that a client is reading ([`crate::requests::report`]).
    pub report: F,
}
