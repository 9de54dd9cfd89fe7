//! What `wg-quick` asks of its process and of the machine beyond what `wg` does.

use proto_core::netlink::Errno;

use crate::wg::process::Process;

/// The exit code of a program that is not there, as a shell has it.
pub const NO_PROGRAM: i32 = 127;

/// Gives the next bytes of something that is read from its beginning; 0 is the end.
pub type Next<'n> = dyn FnMut(&mut [u8]) -> Result<usize, Errno> + 'n;

/// The process and its machine.
pub trait QuickProcess: Process {
    /// Whether the process may do everything.
    fn is_root(&self) -> bool;
    /// Where a file is behind all links, written into `buf`.
    ///
    /// # Errors
    /// `ENOENT` when there is no such file, else what the system call said.
    fn real_path<'b>(&self, path: &str, buf: &'b mut [u8]) -> Result<&'b str, Errno>;
    /// The permissions of a file or folder.
    ///
    /// # Errors
    /// What the system call said.
    fn mode(&self, path: &str) -> Result<u32, Errno>;
    /// Whether there is a program of that name where programs are looked for.
    fn has(&self, program: &str) -> bool;
    /// Runs a program to its end. `words` are its arguments from its name on, each ended by a NUL. Its
    /// standard input and output are ours where there is no file for them. The exit code, as a shell
    /// counts it.
    ///
    /// # Errors
    /// What the system call said that was to start it.
    fn run(
        &self,
        program: &str,
        words: &[u8],
        input: Option<&mut Self::File>,
        output: Option<&mut Self::File>,
    ) -> Result<i32, Errno>;
    /// Replaces a file with what `next` gives, for nobody else to read. When this returns, the new one is
    /// on the disk; a power cut at any moment leaves the old one or the new one.
    ///
    /// # Errors
    /// What the system call or `next` said. The old file is then as it was.
    fn replace(&self, path: &str, next: &mut Next<'_>) -> Result<(), Errno>;
    /// From now on what asks the process to end (`SIGINT`, `SIGTERM`) waits to be looked at.
    fn hold_signals(&self);
    /// The signal that waits, or 0. While there is one, no host has an address.
    fn held_signal(&self) -> i32;
    /// Whether the reverse path filter sees packet marks already: what is 1 need not be written, and where
    /// /proc/sys is read-only, cannot be.
    fn src_valid_mark(&self) -> bool;
    /// Lets the reverse path filter see packet marks (`net.ipv4.conf.all.src_valid_mark`).
    ///
    /// # Errors
    /// What the system call said.
    fn set_src_valid_mark(&self) -> Result<(), Errno>;
}
