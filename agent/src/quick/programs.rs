//! Programs that wg-quick runs: hooks, and programs for tasks without a kernel interface.

use core::fmt::{self, Write};

use proto_core::conf::Field;
use proto_core::netlink::Errno;

use super::process::{NO_PROGRAM, QuickProcess};
use super::{Exit, Session, from_start, lines};
use crate::system::File;
use crate::wg::process::Output;

/// Bytes of a command with its words. A hook may contain its interface many times.
const ROOM: usize = 32 * 1024;

/// Words, each terminated by a NUL.
struct Words {
    bytes: [u8; ROOM],
    len: usize,
    fits: bool,
}

impl Words {
    const fn new() -> Self {
        Self { bytes: [0; ROOM], len: 0, fits: true }
    }

    fn put(&mut self, text: &str) {
        let end = self.len.saturating_add(text.len());
        match self.bytes.get_mut(self.len..end) {
            Some(room) => {
                room.copy_from_slice(text.as_bytes());
                self.len = end;
            }
            None => self.fits = false,
        }
    }

    fn word(&mut self, text: &str) {
        self.put(text);
        self.put("\0");
    }

    fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len).filter(|_| self.fits)
    }
}

/// Text for the standard input of a program.
pub(super) struct Script<F> {
    pub(super) file: F,
    len: u32,
    failed: Option<Errno>,
}

impl<F: File> Script<F> {
    pub(super) const fn new(file: F) -> Self {
        Self { file, len: 0, failed: None }
    }

    /// Starts a new text.
    pub(super) fn clear(&mut self) {
        (self.len, self.failed) = (0, self.file.clear().err());
    }

    /// The file, if the whole text was written.
    pub(super) fn file(&mut self) -> Result<&mut F, Errno> {
        self.failed.map_or(Ok(&mut self.file), Err)
    }
}

impl<F: File> Write for Script<F> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.failed.is_none() {
            self.failed = self.file.write_at(self.len, text.as_bytes()).err();
            self.len = self.len.saturating_add(text.len() as u32);
        }
        Ok(())
    }
}

/// The shell of hooks, if it exists.
const BASH: &str = "/bin/bash";

impl<P: QuickProcess> Session<'_, '_, '_, P> {
    /// Runs the hooks of a kind, until one fails.
    pub(super) fn hooks(&mut self, kind: Field) -> Result<(), Exit> {
        let Self { wg, name, conf, .. } = self;
        let (wg, name) = (*wg, name.as_str());
        conf.each(wg, &mut |line, setting, value| {
            if setting != kind {
                return Ok(());
            }
            let mut words = Words::new();
            // The example of wg-quick(8) uses `<( )`, which not every shell has.
            let shell = if wg.process.open(Some(BASH)).is_ok() { BASH } else { "/bin/sh" };
            // As in a script that ends at the first failure.
            words.word(shell.strip_prefix("/bin/").unwrap_or(shell));
            words.word("-ec");
            let from = words.len;
            let mut rest = value;
            while let Some(at) = rest.as_bytes().windows(2).position(|two| two == b"%i") {
                let (before, behind) = rest.split_at_checked(at).unwrap_or_default();
                words.put(before);
                words.put(name);
                rest = behind.get(2..).unwrap_or_default();
            }
            words.put(rest);
            let to = words.len;
            words.put("\0");
            let Some(bytes) = words.get() else {
                let hook = setting.name();
                return Err(wg.say(format_args!("line {line}: {hook} is too long")).into());
            };
            for part in [b"[#] ", bytes.get(from..to).unwrap_or_default(), b"\n"] {
                let _ = wg.process.write(Output::Err, part);
            }
            match wg.process.run(shell, bytes, None, None) {
                Ok(0) => Ok(()),
                // The shell, or its child, has reported the reason.
                Ok(code) => Err(Exit(code)),
                Err(errno) => Err(wg.say(format_args!("{shell}: {errno}")).into()),
            }
        })
    }

    /// Runs a program with these words after its name.
    pub(super) fn program(
        &self,
        name: &str,
        words: &[&str],
        input: Option<&mut P::File>,
    ) -> Result<(), Exit> {
        let mut bytes = Words::new();
        bytes.word(name);
        let say = |text: &str| {
            // Best effort: if standard error is closed, there is no reader.
            let _ = self.wg.process.write(Output::Err, text.as_bytes());
        };
        say("[#] ");
        say(name);
        for word in words {
            bytes.word(word);
            say(" ");
            say(word);
        }
        say("\n");
        let process = self.wg.process;
        match process.run(name, bytes.get().unwrap_or_default(), input, None) {
            Ok(0) => Ok(()),
            Ok(NO_PROGRAM) if !process.has(name) => {
                let _ = self.wg.say(format_args!("there is no program `{name}'"));
                Err(Exit(NO_PROGRAM))
            }
            Ok(code) => Err(Exit(code)),
            Err(errno) => Err(self.wg.say(format_args!("{name}: {errno}")).into()),
        }
    }

    /// Visits the lines that a program prints. A program that fails counts as printing none.
    pub(super) fn output_of(&self, name: &str, words: &[&str], take: &mut dyn FnMut(&str)) -> bool {
        let mut bytes = Words::new();
        bytes.word(name);
        for word in words {
            bytes.word(word);
        }
        let process = self.wg.process;
        let mut file = process.scratch();
        let bytes = bytes.get().unwrap_or_default();
        process.run(name, bytes, None, Some(&mut file)) == Ok(0)
            && lines(&mut from_start(&mut file), take).is_ok()
    }
}
