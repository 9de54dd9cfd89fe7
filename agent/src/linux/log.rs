//! The log and the help: text on standard error and standard output.

use core::fmt::{self, Write};

use core::sync::atomic::{AtomicU32, Ordering};

use heapless::String;
use proto_core::netlink::Errno;
use proto_core::text::misleads;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io;
use rustix::net::SendFlags;

use crate::linux::machine::again;
use crate::linux::sys;

/// An output that text is written to as it comes.
pub(crate) struct Stream(pub(crate) BorrowedFd<'static>);

impl Stream {
    /// Writes all of it.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Errno> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = again(|| io::write(self.0, rest))?;
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }
}

impl Write for Stream {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// Text that is cut where its buffer ends.
struct Cut<const N: usize>(String<N>);

impl<const N: usize> Write for Cut<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            // What comes from outside, such as the name of a device, stays on its line.
            let c = if misleads(c) { '?' } else { c };
            if self.0.push(c).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Lines that the output did not take since the last one that it took.
static LOST: AtomicU32 = AtomicU32::new(0);

/// Makes sure that a line of the log is never waited for: a log that nobody reads does not stop the agent.
pub(crate) fn never_wait() {
    let of =
        FileType::from_raw_mode(rustix::fs::fstat(sys::stderr()).map_or(0, |stat| stat.st_mode));
    if !matches!(of, FileType::Fifo | FileType::CharacterDevice) {
        return;
    }
    // Standard error is shared with the program that started the agent, and so are its flags. The same
    // pipe or terminal, opened once more, has flags of its own.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if let Ok(output) = rustix::fs::open(c"/proc/self/fd/2", flags, Mode::empty()) {
        sys::log_to(output);
    }
}

/// Writes a line, if that can be done at once. Whether all of it was written.
fn write_now(line: &[u8]) -> bool {
    let output = sys::log_output();
    let fd = output.unwrap_or_else(sys::stderr);
    let written = match rustix::net::send(fd, line, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Err(io::Errno::NOTSOCK) => {
            let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            if output.is_none() && !poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0) {
                return false;
            }
            io::write(fd, line)
        }
        other => other,
    };
    written == Ok(line.len())
}

/// A line of the log as it is written.
fn line(line: fmt::Arguments<'_>) -> String<320> {
    let mut text = Cut::<320>(String::new());
    let _ = write!(text, "postwired: {line}");
    let Cut(mut text) = text;
    if text.push('\n').is_err() {
        let _ = text.pop();
        let _ = text.push('\n');
    }
    text
}

/// Writes one line of the log, in one call, so that lines of two programs do not mix. A line that the output
/// does not take at once is lost, and counted.
pub(crate) fn log(text: fmt::Arguments<'_>) {
    let lost = LOST.load(Ordering::Relaxed);
    if lost > 0 {
        // The first byte ends a line that was written in part.
        let mut told = String::<320>::new();
        let _ = told.push('\n');
        let _ = told
            .push_str(&line(format_args!("{lost} lines of this log are lost: nothing took them")));
        if !write_now(told.as_bytes()) {
            LOST.store(lost.saturating_add(1), Ordering::Relaxed);
            return;
        }
        LOST.store(0, Ordering::Relaxed);
    }
    if !write_now(line(text).as_bytes()) {
        LOST.store(1, Ordering::Relaxed);
    }
}
