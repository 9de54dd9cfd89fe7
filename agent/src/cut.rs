//! Text that is truncated at the end of its room: a line of the log, or of a page on the console.

use core::fmt::{self, Write};

use heapless::String;
use proto_core::text::misleads;

/// Text of at most `N` bytes, truncated after a whole character. Foreign text, such as the name of a device, starts
/// no new line and moves no cursor: a character that misleads is written as `?`.
#[derive(Debug, Default)]
pub struct Cut<const N: usize>(pub String<N>);

impl<const N: usize> Write for Cut<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            let c = if misleads(c) { '?' } else { c };
            if self.0.push(c).is_err() {
                break;
            }
        }
        Ok(())
    }
}
