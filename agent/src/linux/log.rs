//! The log and the help: information on standard output, errors on standard error.

use core::fmt::{self, Write};

#[cfg(feature = "console")]
use core::sync::atomic::AtomicBool;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use heapless::String;
use postwired::cut::Cut;
use proto_core::netlink::Errno;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io;
use rustix::net::SendFlags;

use crate::linux::machine::again;
use crate::linux::sys;

/// An output to which text is written at once.
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

/// Number of lines that each output has not accepted since the last one that it accepted.
static LOST: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];

/// The output that a line goes to. Under procd the first is `daemon.info` of syslog, and the second `daemon.err`.
#[derive(Clone, Copy)]
pub(crate) enum To {
    /// Standard output: information.
    Out = 0,
    /// Standard error: errors.
    Err = 1,
}

impl To {
    fn standard(self) -> BorrowedFd<'static> {
        match self {
            Self::Out => sys::stdout(),
            Self::Err => sys::stderr(),
        }
    }
}

/// Makes sure that the agent never waits for an output of the log: an output without a reader must
/// not stop it.
pub(crate) fn never_wait() {
    for (to, path) in [(To::Out, c"/proc/self/fd/1"), (To::Err, c"/proc/self/fd/2")] {
        let stat = rustix::fs::fstat(to.standard());
        let of = FileType::from_raw_mode(stat.map_or(0, |stat| stat.st_mode));
        if !matches!(of, FileType::Fifo | FileType::CharacterDevice) {
            continue;
        }
        // The outputs are shared with the program that started the agent, and so are their flags. The same
        // pipe or terminal, opened once more, has flags of its own.
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        if let Ok(output) = rustix::fs::open(path, flags, Mode::empty()) {
            sys::log_to(to, output);
        }
    }
}

/// Writes a line without waiting. Returns `true` if all of it was written.
fn write_now(to: To, line: &[u8]) -> bool {
    let output = sys::log_output(to);
    let fd = output.unwrap_or_else(|| to.standard());
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

/// Set when a line was written to a terminal, which may be the port of the console. The console clears it.
#[cfg(feature = "console")]
pub(crate) static ON_TERMINAL: AtomicBool = AtomicBool::new(false);

/// A line of the log in its written form. On a terminal it starts with the program's name; a
/// supervisor that reads a pipe adds the name itself. A terminal may be raw, as one that the agent serves is: there the line
/// ends with CR and LF.
fn line(to: To, line: fmt::Arguments<'_>) -> String<320> {
    let mut text = Cut::<320>::default();
    let terminal = sys::is_terminal(to.standard());
    #[cfg(feature = "console")]
    if terminal {
        ON_TERMINAL.store(true, Ordering::Relaxed);
    }
    let (prefix, end) = if terminal { ("postwired: ", "\r\n") } else { ("", "\n") };
    let _ = write!(text, "{prefix}{line}");
    let Cut(mut text) = text;
    while text.push_str(end).is_err() {
        let _ = text.pop();
    }
    text
}

/// Bytes of the log that the console can show.
const KEPT: usize = 2048;
/// The last lines of the log. One thread writes and reads them.
static RING: [AtomicU8; KEPT] = [const { AtomicU8::new(0) }; KEPT];
/// Number of bytes that were written to the ring.
static WRITTEN: AtomicU32 = AtomicU32::new(0);

fn place(number: u32) -> &'static AtomicU8 {
    // `KEPT` is a power of two, so the mask is always a place of the ring.
    static NONE: AtomicU8 = AtomicU8::new(0);
    RING.get(number as usize & (KEPT - 1)).unwrap_or(&NONE)
}

/// Keeps a line for the console.
fn keep(line: &str) {
    let mut at = WRITTEN.load(Ordering::Relaxed);
    for byte in line.bytes() {
        place(at).store(byte, Ordering::Relaxed);
        at = at.wrapping_add(1);
    }
    WRITTEN.store(at, Ordering::Relaxed);
}

/// Passes the last lines of the log to `take`, the oldest first.
pub(crate) fn each_line(take: &mut dyn FnMut(&str)) {
    let end = WRITTEN.load(Ordering::Relaxed);
    let mut line = heapless::Vec::<u8, 320>::new();
    // The start of the first line may be overwritten.
    let mut whole = false;
    for back in (1..=KEPT as u32).rev() {
        match place(end.wrapping_sub(back)).load(Ordering::Relaxed) {
            // Not written yet.
            0 => whole = true,
            b'\n' => {
                if whole {
                    let text = core::str::from_utf8(&line).unwrap_or_default();
                    take(text);
                }
                whole = true;
                line.clear();
            }
            byte => drop(line.push(byte)),
        }
    }
}

/// Writes one line of the log, in one call, so that lines of two programs do not mix. A line that the output
/// does not take at once is lost, and counted.
fn write_line(to: To, text: fmt::Arguments<'_>) {
    let mut kept = Cut::<320>::default();
    let _ = kept.write_fmt(text);
    keep(&kept.0);
    keep("\n");
    let Some(count) = LOST.get(to as usize) else { return };
    let lost = count.load(Ordering::Relaxed);
    if lost > 0 {
        // The first byte ends a line that was written in part.
        let mut told = String::<320>::new();
        let _ = told.push('\n');
        let words = format_args!("{lost} log lines were dropped: the output did not accept them");
        let _ = told.push_str(&line(to, words));
        if !write_now(to, told.as_bytes()) {
            count.store(lost.saturating_add(1), Ordering::Relaxed);
            return;
        }
        count.store(0, Ordering::Relaxed);
    }
    if !write_now(to, line(to, text).as_bytes()) {
        count.store(1, Ordering::Relaxed);
    }
}

/// Logs an error: a failure, or a deviation from a request.
pub(crate) fn log(text: fmt::Arguments<'_>) {
    write_line(To::Err, text);
}

/// Logs information: normal activity.
pub(crate) fn info(text: fmt::Arguments<'_>) {
    write_line(To::Out, text);
}
