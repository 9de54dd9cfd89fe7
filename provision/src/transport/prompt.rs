//! What a serial console says to anybody who presses Enter. A router of another owner answers no packet of a stranger;
//! its console, unless it is off, tells a person at the cable its public key.

use std::time::{Duration, Instant};

use proto_core::key::PublicKey;

use super::{SerialLine, Transport as _, TransportError};

/// How long to wait for the first words, and how long after the last ones.
const PATIENCE: [Duration; 2] = [Duration::from_millis(1_500), Duration::from_millis(300)];
/// The begin of the line with which Postwire's console greets.
const WELCOME: &str = "Postwire console;";
/// The begin of the line with the router's key.
const KEY: &str = "public key:";

/// What answers a person on a serial line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Prompt {
    /// Postwire's console of the router with this key.
    Postwire(PublicKey),
    /// Another program, with these last words, such as `OpenWrt login:`.
    Other(String),
    /// Nothing.
    Silent,
}

impl SerialLine {
    /// Presses Enter, and asks Postwire's console for the router's key. Other programs get nothing but Enter; a router
    /// that starts gets nothing.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn prompt(&mut self) -> Result<Prompt, TransportError> {
        self.recv(Duration::ZERO)?;
        if self.hold().is_some() {
            return Ok(Prompt::Silent);
        }
        let welcome = self.say("\r")?;
        if !welcome.iter().any(|line| line.starts_with(WELCOME)) {
            return Ok(welcome.last().map_or(Prompt::Silent, |line| Prompt::Other(line.clone())));
        }
        let told = self.say("identity\r")?;
        // The console sleeps again, so that nothing of it is in the way of the router's next user.
        self.say("exit\r")?;
        Ok(key(&told).map_or_else(|| Prompt::Other(WELCOME.into()), Prompt::Postwire))
    }

    /// Types a text. Returns the lines that follow.
    fn say(&mut self, text: &str) -> Result<Vec<String>, TransportError> {
        self.stray().take_lines(true);
        self.type_text(text.as_bytes())?;
        let [first, rest] = PATIENCE;
        let mut until = Instant::now() + first;
        let mut heard = self.stray().text;
        while Instant::now() < until {
            self.recv(Duration::from_millis(50))?;
            let now = self.stray().text;
            if now > heard {
                (heard, until) = (now, Instant::now() + rest);
            }
        }
        Ok(self.stray().take_lines(true))
    }
}

/// The key in the output of `identity`.
fn key(lines: &[String]) -> Option<PublicKey> {
    lines.iter().find_map(|line| line.strip_prefix(KEY))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The screens of the agent's console are recorded by its own tests.
    #[test]
    fn the_words_are_those_of_the_agent_s_console() {
        let screens = include_str!("../../../agent/src/console/tests/transcripts/guest.txt");
        let lines = screens.lines().filter_map(|line| line.strip_prefix("| "));
        let lines: Vec<String> = lines.map(Into::into).collect();
        assert!(lines.iter().any(|line| line.starts_with(WELCOME)));
        let expected = "az1Xdi+LrbaUM/nG0GD4X15ca2gDqBbRQcB19jVBrRA=".parse().ok();
        assert_eq!(key(&lines), expected);
    }
}
