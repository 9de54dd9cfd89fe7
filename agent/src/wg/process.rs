//! What `wg` needs from its process and from the machine. The binary answers with system calls,
//! tests with plain memory and a scripted kernel.

use core::ffi::CStr;
use core::net::SocketAddr;

use proto_core::conf::Host;
use proto_core::netlink::{Errno, IfName};

use crate::kernel::exchange::Protocol;
use crate::system::{File, NetlinkSocket};

/// The output stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// The reason why a host name has no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unresolved {
    /// A retry is useless.
    pub permanent: bool,
    /// The message.
    pub words: &'static str,
}

/// The process and its machine.
pub trait Process {
    /// A netlink socket.
    type Netlink: NetlinkSocket;
    /// A file for our own use.
    type File: File;
    /// A file that is being read, or a connection to a program.
    type Input;

    /// A netlink socket.
    ///
    /// # Errors
    /// The errno of the system call.
    fn netlink(&self, protocol: Protocol) -> Result<Self::Netlink, Errno>;
    /// An empty file. The file is created at the first write.
    fn scratch(&self) -> Self::File;
    /// The value of an environment variable; `None` if it is unset or not UTF-8.
    fn variable(&self, name: &CStr) -> Option<&str>;
    /// Opens a file, or standard input.
    ///
    /// # Errors
    /// The errno of the system call.
    fn open(&self, path: Option<&str>) -> Result<Self::Input, Errno>;
    /// Reads at least one byte; 0 at the end.
    ///
    /// # Errors
    /// The errno of the system call.
    fn read(&self, input: &mut Self::Input, buf: &mut [u8]) -> Result<usize, Errno>;
    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// The errno of the system call.
    fn write(&self, output: Output, bytes: &[u8]) -> Result<(), Errno>;
    /// Whether standard output is a terminal.
    fn is_terminal(&self) -> bool;
    /// Whether standard output is a file that every user can read or write.
    fn is_exposed(&self) -> bool;
    /// Fills `buf` with cryptographically secure random bytes.
    ///
    /// # Errors
    /// The errno of the system call.
    fn random(&self, buf: &mut [u8]) -> Result<(), Errno>;
    /// Wall clock time in seconds since 1970.
    fn unix_time(&self) -> u64;
    /// The name of an interface.
    fn interface_name(&self, index: u32) -> Option<IfName>;
    /// The address of a host.
    ///
    /// # Errors
    /// [`Unresolved`].
    fn resolve(&self, host: &Host<'_>) -> Result<SocketAddr, Unresolved>;
    /// Visits the names of the sockets on which programs with WireGuard in user space listen.
    ///
    /// # Errors
    /// The errno of the system call; a missing folder is not an error.
    fn programs(&self, take: &mut dyn FnMut(&str)) -> Result<(), Errno>;
    /// Connects to the socket of that name. `None` if nothing listens; a socket that a dead program
    /// left is removed.
    ///
    /// # Errors
    /// The errno of the system call.
    fn program(&self, name: &str) -> Result<Option<Self::Input>, Errno>;
    /// Writes all of `bytes` to a program.
    ///
    /// # Errors
    /// The errno of the system call.
    fn tell(&self, program: &mut Self::Input, bytes: &[u8]) -> Result<(), Errno>;
    /// Waits.
    fn sleep(&self, millis: u32);
}
