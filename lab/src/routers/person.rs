//! A person with a key of their own: a folder of the host tool.

use super::router::{Said, said};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A person, with the host tool.
pub struct Person<'t> {
    tool: &'t Path,
    home: PathBuf,
    key: String,
}

impl<'t> Person<'t> {
    /// A new person, who knows no router. Earlier contents of `home` are removed.
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

    /// Another person, who knows no router, with the same tool.
    pub fn other(&self, name: &str) -> Result<Self> {
        Self::new(self.tool, self.home.with_file_name(name))
    }

    /// The person's public key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The person's folder of the host tool.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Adds the key of a router to the known routers.
    pub fn meets(&self, name: &str, router: &str) -> Result<()> {
        self.run(&["routers", "add", name, router])?.ok()?;
        Ok(())
    }

    /// A command of the host tool, to be run by this person.
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
