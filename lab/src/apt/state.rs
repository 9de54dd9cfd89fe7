//! apt with a state of its own in a folder of the lab: it uses the machine's sources, keys and
//! proxies, and not its lists, caches and hooks.

use super::run;
use anyhow::Result;
use std::{fs, path::PathBuf, process::Command};

pub(super) struct State {
    folder: PathBuf,
}

impl State {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// An apt command, with the lab's configuration on top of the machine's.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.folder.join("config")).arg("-qq").env("LC_ALL", "C");
        command
    }

    /// Creates an empty state and reads the lists; `settings` are lines of an apt configuration.
    pub(super) fn update(&self, settings: &str) -> Result<()> {
        let folder = &self.folder;
        fs::create_dir_all(folder.join("lists/partial"))?;
        fs::create_dir_all(folder.join("cache/archives/partial"))?;
        // An empty status file, because the packages installed on this machine are not those of the
        // guest. Sandbox: the user that apt downloads as cannot write into this folder.
        fs::write(folder.join("status"), "")?;
        let config = format!(
            "#clear APT::Update::Pre-Invoke;\n\
             #clear APT::Update::Post-Invoke;\n\
             #clear APT::Update::Post-Invoke-Success;\n\
             APT::Sandbox::User \"root\";\n\
             Acquire::Languages \"none\";\n\
             Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
             Dir::State \"{folder}\";\n\
             Dir::State::lists \"{folder}/lists\";\n\
             Dir::State::status \"{folder}/status\";\n\
             Dir::Cache \"{folder}/cache\";\n\
             {settings}",
            folder = folder.display(),
        );
        fs::write(folder.join("config"), config)?;
        // While an archive is being updated, some of its lists do not match their signed index. If
        // a package is then missing, looking it up fails with an error of its own.
        let update = || run(self.command("apt-get").arg("update"));
        if let Err(error) = update().or_else(|_| update()) {
            eprintln!("lab: some package lists are not up to date: {error:#}");
        }
        Ok(())
    }
}
