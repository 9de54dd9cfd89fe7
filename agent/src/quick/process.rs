//! The process and machine functions that `wg-quick` needs beyond those of `wg`.

use proto_core::netlink::Errno;

use crate::wg::process::Process;

/// The exit code for a program that does not exist, as in a shell.
pub const NO_PROGRAM: i32 = 127;

/// Returns the next bytes of a stream that is read from its start; 0 at the end.
pub type Next<'n> = dyn FnMut(&mut [u8]) -> Result<usize, Errno> + 'n;

/// The process and its machine.
pub trait QuickProcess: Process {
    /// Whether the process is privileged.
    fn is_root(&self) -> bool;
    /// The real path of a file, without symbolic links, written into `buf`.
    ///
    /// # Errors
    /// `ENOENT` when the file does not exist, else the errno of the system call.
    fn real_path<'b>(&self, path: &str, buf: &'b mut [u8]) -> Result<&'b str, Errno>;
    /// The permissions of a file or folder.
    ///
    /// # Errors
    /// The errno of the system call.
    fn mode(&self, path: &str) -> Result<u32, Errno>;
    /// Whether a program of that name is in the search path.
    fn has(&self, program: &str) -> bool;
    /// Runs a program and waits for its end. `words` are its arguments from its name on, each
    /// terminated by a NUL. Without files for them, it gets our standard input and output. Returns
    /// the exit code, as a shell counts it.
    ///
    /// # Errors
    /// The errno of the system call that failed to start it.
    fn run(
        &self,
        program: &str,
        words: &[u8],
        input: Option<&mut Self::File>,
        output: Option<&mut Self::File>,
    ) -> Result<i32, Errno>;
    /// Replaces a file with the output of `next`, readable only for its owner. When this returns,
    /// the new file is on the disk; a power cut at any moment leaves the old file or the new one.
    ///
    /// # Errors
    /// Errors of the system call or of `next`. The old file is then intact.
    fn replace(&self, path: &str, next: &mut Next<'_>) -> Result<(), Errno>;
    /// Keeps signals that ask the process to end (`SIGINT`, `SIGTERM`) pending from now on.
    fn hold_signals(&self);
    /// The pending signal, or 0. While a signal is pending, host name look-ups fail.
    fn held_signal(&self) -> i32;
    /// Whether the reverse path filter uses packet marks already: a value of 1 need not be written,
    /// and cannot be where /proc/sys is read-only.
    fn src_valid_mark(&self) -> bool;
    /// Makes the reverse path filter use packet marks (`net.ipv4.conf.all.src_valid_mark`).
    ///
    /// # Errors
    /// The errno of the system call.
    fn set_src_valid_mark(&self) -> Result<(), Errno>;
}
