//! A person at a terminal, and what the program at its other end shows.

use super::{terminal, until};
use anyhow::{Context, Result};
use std::{
    fs::File,
    io::{Read as _, Write as _},
    path::PathBuf,
    thread,
    time::Duration,
};

/// A person at a terminal.
pub(super) struct Screen {
    pub(super) line: File,
    /// The end of the other program.
    pub(super) path: PathBuf,
    /// What was shown since the last keys.
    pub(super) shown: Vec<u8>,
}

impl Screen {
    pub(super) fn new() -> Result<Self> {
        let (line, path) = terminal()?;
        Ok(Self { line, path, shown: Vec::new() })
    }

    /// Opens the end of the other program.
    pub(super) fn open(&self) -> Result<File> {
        Ok(File::options().read(true).write(true).open(&self.path)?)
    }

    /// What was shown since the last keys, without the sequence that clears the rest of a row.
    pub(super) fn text(&mut self) -> String {
        let mut buf = [0; 4096];
        while let Ok(len @ 1..) = self.line.read(&mut buf) {
            self.shown.extend_from_slice(&buf[..len]);
        }
        String::from_utf8_lossy(&self.shown).replace("\x1b[K", "")
    }

    /// Waits until the words are shown.
    pub(super) fn shows(&mut self, words: &str) -> Result<String> {
        let shown = until(words, || Ok(self.text().contains(words)));
        shown.with_context(|| format!("the screen: {:?}", self.text()))?;
        Ok(self.text())
    }

    /// Types keys, and waits for the words.
    pub(super) fn types(&mut self, keys: &str, words: &str) -> Result<String> {
        self.shown.clear();
        self.line.write_all(keys.as_bytes())?;
        self.shows(words)
    }

    /// Types Enter until the console answers with this prompt.
    pub(super) fn wakes(&mut self, prompt: &str) -> Result<()> {
        until("a prompt", || {
            self.line.write_all(b"\r")?;
            thread::sleep(Duration::from_millis(100));
            Ok(self.text().contains(prompt))
        })
    }
}
