//! Other programs: copies of this process that become them, and their ends.

use core::ffi::{CStr, c_char, c_int};

use proto_core::netlink::Errno;
use rustix::fd::{AsRawFd, BorrowedFd};

use super::c::{_Fork, checked, dup2, environ, execve, failure, kill, setpgid, signal, waitpid};
use super::exit;

/// Runs `act` in a copy of this process, which then ends. Returns the copy's process id, for
/// [`wait`].
pub(super) fn aside(act: &mut dyn FnMut()) -> Result<c_int, Errno> {
    // SAFETY: this process has one thread, so the copy has all of it.
    let pid = unsafe { _Fork() };
    if pid == 0 {
        act();
        exit(NOT_STARTED);
    }
    if pid < 0 {
        checked(pid)?;
    }
    Ok(pid)
}

/// Waits for a copy of this process to end. Returns its exit code, or 128 plus the number of the
/// signal that killed it.
fn wait(pid: c_int) -> Result<i32, Errno> {
    let mut status: c_int = 0;
    loop {
        // SAFETY: `status` lives through the call, which writes to it.
        let done = unsafe { waitpid(pid, &raw mut status, 0) };
        if done == pid {
            break;
        }
        match checked(-1) {
            Err(Errno::EINTR) => {}
            other => other?,
        }
    }
    Ok(exit_code(status))
}

/// The exit code in a status of `waitpid`, as `WIFEXITED` and its like take it apart, the same on every Linux; 128 and
/// the number of the signal that killed the process.
const fn exit_code(status: c_int) -> i32 {
    match status & 0x7f {
        0 => status >> 8 & 0xff,
        signal => signal.saturating_add(128),
    }
}

/// Takes the exit code of a process that has ended, of this group of our children. `None` if none has ended yet;
/// `ECHILD` if there is none.
pub(crate) fn reap_group(group: c_int) -> Result<Option<(c_int, i32)>, Errno> {
    match look(group.saturating_neg()) {
        (0, _) => Ok(None),
        (pid @ 1.., status) => Ok(Some((pid, exit_code(status)))),
        _ => Err(failure()),
    }
}

/// The result of `waitpid` for a process, or for the negative number of a group, without waiting; and the status.
pub(super) fn look(pid: c_int) -> (c_int, c_int) {
    const WNOHANG: c_int = 1;
    let mut status: c_int = 0;
    // SAFETY: `status` lives through the call, which writes to it.
    let found = unsafe { waitpid(pid, &raw mut status, WNOHANG) };
    (found, status)
}

/// Kills all processes of a group.
pub(crate) fn kill_group(group: c_int) {
    // SAFETY: takes numbers. A group that is gone needs no signal.
    unsafe { kill(group.saturating_neg(), 9) };
}

/// Largest number of arguments of a program.
const WORDS: usize = 8;

/// Runs a program to its end. `words` are its arguments, starting with its name, each ended by a
/// NUL; `files` replace standard input, output and error. Returns its exit code, as [`wait`] does.
pub(crate) fn run(
    path: &CStr,
    words: &[u8],
    files: [Option<BorrowedFd<'_>>; 3],
) -> Result<i32, Errno> {
    wait(start(path, words, files, false)?)
}

/// As [`run`], but does not wait: the number of the process. With `group`, it leads a process group of its own, and
/// the signals that the agent ignores end it.
pub(crate) fn start(
    path: &CStr,
    words: &[u8],
    files: [Option<BorrowedFd<'_>>; 3],
    group: bool,
) -> Result<c_int, Errno> {
    // One more stays null and ends the list.
    let mut argv = [core::ptr::null::<c_char>(); WORDS + 1];
    let mut rest = words;
    for place in argv.iter_mut().take(WORDS) {
        let Ok(word) = CStr::from_bytes_until_nul(rest) else { break };
        *place = word.as_ptr();
        rest = rest.get(word.count_bytes().saturating_add(1)..).unwrap_or_default();
    }
    let pid = aside(&mut || {
        if group {
            // SAFETY: takes numbers; 0 is this process, and the default handling of SIGHUP and SIGPIPE.
            unsafe { setpgid(0, 0) };
            for number in [1, 13] {
                // SAFETY: as above.
                unsafe { signal(number, 0) };
            }
        }
        for (file, to) in files.iter().zip(0..) {
            if let Some(file) = file {
                // SAFETY: `file` is open for the length of the call.
                unsafe { dup2(file.as_raw_fd(), to) };
            }
        }
        // SAFETY: `path` and all of `argv` up to its null point to strings that end in NUL and
        // outlive the call; the C library keeps `environ` in the same form, and this program does
        // not change it. The call returns only on an error, and then this copy of the process ends
        // immediately.
        unsafe { execve(path.as_ptr(), argv.as_ptr(), environ) };
    })?;
    if group {
        // The process may not have come to it yet, and `reap_group` needs the group. Once it runs the program, it has.
        // SAFETY: takes numbers.
        unsafe { setpgid(pid, pid) };
    }
    Ok(pid)
}

/// The exit code of a copy of this process that could not become another program.
const NOT_STARTED: c_int = 127;
