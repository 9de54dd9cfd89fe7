//! What the agent asks of the machine it runs on. The binary answers with system calls, tests with
//! plain memory and a scripted kernel.

use core::fmt;

use proto_core::netlink::Errno;
use proto_core::protocol::message::Status;

/// What a netlink socket received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Datagram {
    /// How many bytes are in the buffer.
    pub len: usize,
    /// How many the datagram had; more than `len` when the buffer was too short.
    pub full_len: usize,
    /// The port id of the sender, 0 for the kernel.
    pub sender: u32,
}

/// A netlink socket of one protocol, bound, with extended acknowledgements.
pub trait NetlinkSocket {
    /// Our own port id.
    fn port(&self) -> u32;
    /// Sends one datagram.
    ///
    /// # Errors
    /// What the system call said.
    fn send(&mut self, datagram: &[u8]) -> Result<(), Errno>;
    /// Waits for one datagram, a few seconds at most.
    ///
    /// # Errors
    /// `EAGAIN` when none came, else what the system call said.
    fn receive(&mut self, buf: &mut [u8]) -> Result<Datagram, Errno>;
}

/// A file for our own use. Offsets and lengths are bytes.
pub trait File {
    /// Reads at `offset`; fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// What the system call said.
    fn read_at(&mut self, offset: u32, buf: &mut [u8]) -> Result<usize, Errno>;
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// What the system call said; `ENOSPC` where there is no room.
    fn write_at(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Errno>;
    /// Makes the file empty.
    ///
    /// # Errors
    /// What the system call said.
    fn clear(&mut self) -> Result<(), Errno>;
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
    /// Lets the reverse path filter see packet marks (`net.ipv4.conf.all.src_valid_mark`), which a
    /// default route through a tunnel needs.
    ///
    /// # Errors
    /// What the system call said.
    fn set_src_valid_mark(&self) -> Result<(), Errno>;
    /// One line of the log. No secrets.
    fn log(&self, line: fmt::Arguments<'_>);
}

/// The agent's files. None of them outlives the agent.
#[derive(Debug)]
pub struct Files<F> {
    /// The image that is arriving.
    pub stage: F,
    /// What is known about each item of the image ([`crate::index`]).
    pub index: F,
    /// The keys of items that the kernel has and the image does not.
    pub extras: F,
    /// What a client is reading ([`crate::report`]).
    pub report: F,
}
