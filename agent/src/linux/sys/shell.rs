//! The shell of a console: a program on a pseudo-terminal of its own. Builds without a console have none.

use core::ffi::{CStr, c_int};

use linux_raw_sys::ioctl::{TIOCGPTPEER, TIOCSCTTY, TIOCSPTLCK, TIOCSWINSZ};
use proto_core::netlink::Errno;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};

use super::c::{checked, dup2, environ, execve, ioctl, setsid, signal};
use super::process::{aside, look};

/// A pair of pseudo-terminals: the agent's end, and the program's end.
pub(crate) fn terminals() -> Result<(OwnedFd, OwnedFd), Errno> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let ours = rustix::fs::open(c"/dev/ptmx", flags, Mode::empty())
        .map_err(|error| Errno(error.raw_os_error()))?;
    let unlocked: c_int = 0;
    // SAFETY: the descriptor is open, and the request reads the int.
    checked(unsafe { ioctl(ours.as_raw_fd(), TIOCSPTLCK as c_int, &raw const unlocked) })?;
    let flags = (OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC).bits() as c_int;
    // SAFETY: the descriptor is open, and the request takes flags as a number.
    let theirs = unsafe { ioctl(ours.as_raw_fd(), TIOCGPTPEER as c_int, flags) };
    if theirs < 0 {
        checked(theirs)?;
    }
    // SAFETY: the kernel has just created this descriptor, and nothing else owns it.
    let theirs = unsafe { OwnedFd::from_raw_fd(theirs) };
    let size: [u16; 4] = [24, 80, 0, 0];
    // SAFETY: the descriptor is open, and the request reads a `struct winsize`: four numbers of 16 bits. A failure
    // leaves the size unknown.
    unsafe { ioctl(ours.as_raw_fd(), TIOCSWINSZ as c_int, &raw const size) };
    Ok((ours, theirs))
}

/// Starts a program in a new session whose terminal is `terminal`. Returns its process id, for
/// [`reap`].
pub(crate) fn start_on(path: &CStr, terminal: BorrowedFd<'_>) -> Result<c_int, Errno> {
    let argv = [path.as_ptr(), core::ptr::null()];
    let fd = terminal.as_raw_fd();
    aside(&mut || {
        for number in [1, 13] {
            // SAFETY: 0 is SIG_DFL. The agent ignores these signals, and the program must not.
            unsafe { signal(number, 0) };
        }
        // SAFETY: `fd` is open for the length of these calls, which only use its number.
        unsafe {
            setsid();
            ioctl(fd, TIOCSCTTY as c_int, 0 as c_int);
            for to in 0..3 {
                dup2(fd, to);
            }
        }
        // SAFETY: `path` and `argv` end in NUL and null, and outlive the call; `environ` is as in `run`.
        unsafe { execve(path.as_ptr(), argv.as_ptr(), environ) };
    })
}

/// Returns `true` if a program that [`start_on`] started has ended; its process id is then free.
pub(crate) fn reap(pid: c_int) -> bool {
    look(pid).0 != 0
}
