//! Somebody with a key of their own: what the host tool keeps for a person, in a folder.

use super::router::{Said, said};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A person, and the host tool in their hands.
pub struct Person<'t> {
    tool: &'t Path,
    home: PathBuf,
    key: String,
}

impl<'t> Person<'t> {
    /// Somebody new, who knows no router. What was in `home` before is gone.
    pub fn new(tool: &'t Path, home: PathBuf) -> Result<Self> {
        if home.exists() {
            fs::remove_dir_all(&home)?;
        }
        let mut person = Self { tool, home, key: String::new() };
        let made = person.run(&["keygen"])?.ok()?;
        person.key = made.text("/result/public_key").to_owned();
        ensure!(person.key.len() == 44, "no public key: {}", made.json);
        Ok(person)
    }

    /// Somebody else, who knows no router, with the same tool.
    pub fn other(&self, name: &str) -> Result<Self> {
        Self::new(self.tool, self.home.with_file_name(name))
    }

    /// Their public key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Tells them the key of a router.
    pub fn meets(&self, name: &str, router: &str) -> Result<()> {
        self.run(&["routers", "add", name, router])?.ok()?;
        Ok(())
    }

    /// The host tool, to be run by them.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.tool);
        command.args(words).arg("--json").env("POSTWIRE_HOME", &self.home).stdin(Stdio::null());
        command
    }

    /// Runs the host tool.
    pub fn run(&self, words: &[&str]) -> Result<Said> {
        let output = self.command(words).output().context("starting postwire")?;
        said(&output)
    }
}
