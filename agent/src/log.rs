//! The log and the help: text on standard error and standard output.

use core::fmt::{self, Write};

use heapless::String;
use rustix::fd::BorrowedFd;
use rustix::io;

use crate::sys;

/// An output that text is written to as it comes.
pub(crate) struct Stream(pub(crate) BorrowedFd<'static>);

impl Write for Stream {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match io::write(self.0, rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(io::Errno::INTR) => {}
                Err(_) => return Err(fmt::Error),
            }
        }
        Ok(())
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
