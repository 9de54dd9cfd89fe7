//! What `wg` asks of the process it runs in and of the machine. The binary answers with system
//! calls, tests with plain memory and a scripted kernel.

use core::ffi::CStr;
use core::net::SocketAddr;

use proto_core::conf::Host;
use proto_core::netlink::{Errno, IfName};

use crate::kernel::exchange::Protocol;
use crate::system::{File, NetlinkSocket};

/// Where text goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Why a host name has no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unresolved {
    /// Asking again is of no use.
    pub permanent: bool,
    /// Words for a person.
    pub words: &'static str,
}

/// The process and its machine.
pub trait Process {
    /// A netlink socket.
    type Netlink: NetlinkSocket;
    /// A file for our own use.
    type File: File;
    /// A file that is being read, or a socket of a program.
    type Input;

    /// A netlink socket.
    ///
    /// # Errors
    /// What the system call said.
    fn netlink(&self, protocol: Protocol) -> Result<Self::Netlink, Errno>;
    /// An empty file. Nothing is asked of the system before something is written to it.
    fn scratch(&self) -> Self::File;
    /// The value of an environment variable, if it is text.
    fn variable(&self, name: &CStr) -> Option<&str>;
    /// Opens a file, or standard input.
    ///
    /// # Errors
    /// What the system call said.
    fn open(&self, path: Option<&str>) -> Result<Self::Input, Errno>;
    /// Reads what there is, at least one byte; 0 is the end.
    ///
    /// # Errors
    /// What the system call said.
    fn read(&self, input: &mut Self::Input, buf: &mut [u8]) -> Result<usize, Errno>;
    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// What the system call said.
    fn write(&self, output: Output, bytes: &[u8]) -> Result<(), Errno>;
    /// Whether standard output is a terminal.
    fn is_terminal(&self) -> bool;
    /// Whether standard output is a file that everybody can read or write.
    fn is_exposed(&self) -> bool;
    /// Fills `buf` with random bytes fit for a key.
    ///
    /// # Errors
    /// What the system call said.
    fn random(&self, buf: &mut [u8]) -> Result<(), Errno>;
    /// Seconds since 1970 by the clock on the wall.
    fn unix_time(&self) -> u64;
    /// The name of an interface.
    fn interface_name(&self, index: u32) -> Option<IfName>;
    /// The address of a host.
    ///
    /// # Errors
    /// [`Unresolved`].
    fn resolve(&self, host: &Host<'_>) -> Result<SocketAddr, Unresolved>;
    /// Tells the names of the sockets that programs with WireGuard in them listen on.
    ///
    /// # Errors
    /// What the system call said, unless there is no folder of them.
    fn programs(&self, take: &mut dyn FnMut(&str)) -> Result<(), Errno>;
    /// Connects to the one of that name. Nothing where nobody listens; what is left of a program that is
    /// gone is removed.
    ///
    /// # Errors
    /// What the system call said.
    fn program(&self, name: &str) -> Result<Option<Self::Input>, Errno>;
    /// Writes all of `bytes` to a program.
    ///
    /// # Errors
    /// What the system call said.
    fn tell(&self, program: &mut Self::Input, bytes: &[u8]) -> Result<(), Errno>;
    /// Waits.
    fn sleep(&self, millis: u32);
}
