//! What the agent asks of the machine it runs on. The binary answers with system calls, tests with
//! plain memory and a scripted kernel.

use core::ffi::CStr;
use core::fmt;

use proto_core::netlink::Errno;
use proto_core::protocol::message::Status;

pub use proto_core::netlink::socket::{Datagram, NetlinkSocket};

/// A file for our own use. Offsets and lengths are bytes.
pub trait File {
    /// Reads at `offset`, at least one byte unless that is the end.
    ///
    /// # Errors
    /// What the system call said.
    fn read_some(&mut self, offset: u32, buf: &mut [u8]) -> Result<usize, Errno>;
    /// Writes the first of `bytes` at `offset`, and says how many.
    ///
    /// # Errors
    /// What the system call said; `ENOSPC` where there is no room.
    fn write_some(&mut self, offset: u32, bytes: &[u8]) -> Result<usize, Errno>;
    /// Makes the file empty.
    ///
    /// # Errors
    /// What the system call said.
    fn clear(&mut self) -> Result<(), Errno>;

    /// Reads at `offset`; fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// What the system call said.
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
    /// What the system call said; some of the bytes may be written then.
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

/// A folder, by the steps that can fail one by one and that a power cut can come between.
pub trait Disk {
    /// A file in it.
    type File: File + fmt::Debug;
    /// Opens a file to read it.
    ///
    /// # Errors
    /// `ENOENT` when there is none of that name, else what the system call said.
    fn open(&mut self, name: &CStr) -> Result<Self::File, Errno>;
    /// Makes an empty file that nobody else may read, in place of one of that name.
    ///
    /// # Errors
    /// What the system call said.
    fn create(&mut self, name: &CStr) -> Result<Self::File, Errno>;
    /// Waits until what was written to a file is on the disk.
    ///
    /// # Errors
    /// What the system call said.
    fn sync(&mut self, file: &mut Self::File) -> Result<(), Errno>;
    /// Gives a file another name, in place of one that has it.
    ///
    /// # Errors
    /// What the system call said.
    fn rename(&mut self, from: &CStr, to: &CStr) -> Result<(), Errno>;
    /// Takes a file away.
    ///
    /// # Errors
    /// `ENOENT` when there is none of that name, else what the system call said.
    fn unlink(&mut self, name: &CStr) -> Result<(), Errno>;
    /// Waits until the names of the files are on the disk.
    ///
    /// # Errors
    /// What the system call said.
    fn sync_names(&mut self) -> Result<(), Errno>;
    /// Tells the names of all files, in any order.
    ///
    /// # Errors
    /// What the system call said.
    fn each_name(&mut self, take: &mut dyn FnMut(&CStr)) -> Result<(), Errno>;
}

/// A folder of small files that are replaced whole. Which of them outlive a reboot is for the one who
/// names the folder to know.
pub trait Folder {
    /// Reads a file from its beginning; as much as fits `buf`.
    ///
    /// # Errors
    /// `ENOENT` when there is none of that name, else what the system call said.
    fn read(&mut self, name: &CStr, buf: &mut [u8]) -> Result<usize, Errno>;
    /// Replaces a file, or makes it. When this returns, the new file is on the disk; a power cut at any
    /// moment leaves the old one or the new one.
    ///
    /// # Errors
    /// What the system call said. The old file is then as it was.
    fn replace(&mut self, name: &CStr, bytes: &[u8]) -> Result<(), Errno>;
    /// A number that is another one after the file was replaced, also by another process; 0 when there is
    /// no file of that name.
    ///
    /// # Errors
    /// What the system call said.
    fn version(&mut self, name: &CStr) -> Result<u64, Errno>;
    /// Keeps other processes from changing files in the folder until [`Folder::unlock`], or waits until
    /// another one that does so is done.
    ///
    /// # Errors
    /// What the system call said.
    fn lock(&mut self) -> Result<(), Errno>;
    /// Ends what [`Folder::lock`] began.
    fn unlock(&mut self);
}

/// The rest of the machine.
pub trait Machine {
    /// Milliseconds of a clock that does not go back.
    fn now(&self) -> u64;
    /// Seconds since 1970 by the clock on the wall, which handshakes are stamped with.
    fn unix_time(&self) -> u64;
    /// Fills `buf` with random bytes fit for a key.
    ///
    /// # Errors
    /// What the system call said.
    fn random(&self, buf: &mut [u8]) -> Result<(), Errno>;
    /// Fills in host name, board, kernel, machine and memory.
    fn identify(&self, status: &mut Status);
    /// What is another one after each start of the machine.
    fn boot_id(&self) -> [u8; 16];
    /// Lets the reverse path filter see packet marks (`net.ipv4.conf.all.src_valid_mark`), which a
    /// default route through a tunnel needs.
    ///
    /// # Errors
    /// What the system call said.
    fn set_src_valid_mark(&self) -> Result<(), Errno>;
    /// Who is likely to have made an interface that the agent did not make, in words.
    fn likely_maker(&self, _interface: &str) -> &'static str {
        "another program or a person made this interface"
    }

    /// Logs an error in one line: something failed, or is not as it was asked for. No secrets.
    fn log(&self, line: fmt::Arguments<'_>);
    /// Logs information in one line: what was done as it was asked for. No secrets.
    fn info(&self, line: fmt::Arguments<'_>) {
        self.log(line);
    }
}

/// The sooner of two moments, if there are any.
#[must_use]
pub fn sooner(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The agent's files. None of them outlives the agent.
#[derive(Debug, Default)]
pub struct Files<F> {
    /// What is known about each item of the image ([`crate::config::index`]).
    pub index: F,
    /// The keys of items that the kernel has and the image does not.
    pub extras: F,
    /// What a client is reading ([`crate::requests::report`]).
    pub report: F,
}
