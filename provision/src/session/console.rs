//! Lines for the router's console.

use proto_core::protocol::message::{Answer, Ask, ConsoleMode, MAX_LINE};
use proto_core::text::misleads;

use super::{Session, SessionError};

/// What came of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// What the next line is.
    pub mode: ConsoleMode,
    /// The text to print before the next line.
    pub prompt: String,
    /// The output: whole lines, or nothing.
    pub output: String,
    /// Whether the command failed, or the line was not a command.
    pub failed: bool,
}

/// The line that stands for Ctrl-C.
pub const CTRL_C: &[u8] = &[3];
/// The line that stands for Ctrl-D.
pub const CTRL_D: &[u8] = &[4];

/// The most bytes of a line.
pub const LONGEST: usize = MAX_LINE;

impl Session<'_> {
    /// Sends a line, of at most [`LONGEST`] bytes and without its end, and returns what came of it.
    ///
    /// # Errors
    /// [`SessionError`]. If the router did not answer, it may have executed the line.
    pub async fn console(&mut self, line: &[u8]) -> Result<Reply, SessionError> {
        let Answer::Console { mode, prompt, file, length, digest, failed } =
            self.call(Ask::Console { line }).await?
        else {
            return Err(SessionError::Nonsense("unexpected reply to a line of the console"));
        };
        let output = match length {
            0 => Vec::new(),
            _ => self.fetch(file, length, &digest).await?,
        };
        self.clear();
        let output = harmless(&String::from_utf8_lossy(&output));
        Ok(Reply { mode, prompt: harmless(&prompt).replace('\n', " "), output, failed })
    }
}

/// A router's text without what a terminal would act upon.
fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            '\r' => {}
            c if misleads(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_cannot_move_the_cursor() {
        assert_eq!(
            harmless("peer\ta\r\n\x1b[2J\u{202e}x\u{7}\n"),
            "peer\ta\n\\u{1b}[2J\\u{202e}x\\u{7}\n"
        );
    }
}
