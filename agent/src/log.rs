//! The log and the help: text on standard error and standard output.

use core::fmt::{self, Write};

use heapless::String;
use proto_core::netlink::Errno;
use rustix::fd::BorrowedFd;
use rustix::io;

use crate::linux::again;
use crate::sys;

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
            let c = if c.is_control() { '?' } else { c };
            if self.0.push(c).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Writes one line of the log, in one call, so that lines of two programs do not mix.
pub(crate) fn log(line: fmt::Arguments<'_>) {
    let mut text = Cut::<320>(String::new());
    let _ = write!(text, "postwired: {line}");
    let Cut(mut text) = text;
    if text.push('\n').is_err() {
        let _ = text.pop();
        let _ = text.push('\n');
    }
    // With nobody there to read the log, the agent goes on.
    let _ = Stream(sys::stderr()).write_str(&text);
}
