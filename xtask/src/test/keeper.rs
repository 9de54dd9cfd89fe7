//! A router whose files are on a disk of its own, so that it can be restarted, lose its power, and come back.

use super::router::{EMPTY, KEEP, Router, Said};
use crate::{
    build,
    demo::start_script,
    lab::{Lab, Machine},
    test::{config::Config, person::Person, router::Reach},
};
use anyhow::{Context, Result, ensure};
use std::{fs, path::Path, time::Duration};

/// Starting with a long configuration takes its time.
const START: Duration = Duration::from_secs(300);

/// A router with a disk.
pub(crate) struct Keeper<'t> {
    machine: Machine<'t>,
    pub(crate) router: Router<'t>,
    pub(crate) seed: u64,
}

impl<'t> Keeper<'t> {
    /// A new one, whose agent has not been started.
    pub(crate) fn boot(
        lab: &'t Lab,
        name: &str,
        agent: &[u8],
        tool: &'t Path,
        seed: u64,
    ) -> Result<Self> {
        let disk = lab.disk(name)?;
        let machine = lab.machine(name).file("/bin/postwired", 0o755, agent);
        let machine = machine.with_wireguard_tools().with_strace().disk(&disk, KEEP);
        let folder = build::target_folder().join("lab").join("test").join(name);
        let router = Router::new(machine.boot()?, tool, folder)?;
        Ok(Self { machine, router, seed })
    }

    /// Runs a script that has to go well: what it printed.
    pub(crate) fn sh(&self, script: &str) -> Result<String> {
        Ok(self.router.vm.sh_with(script, b"", START)?.ok()?.text())
    }

    /// Starts the agent.
    pub(crate) fn start(&self, options: &str) -> Result<()> {
        self.sh(&start_script(&self.router.vm, options))?;
        Ok(())
    }

    /// Kills the agent and starts it anew.
    pub(crate) fn restart(&self) -> Result<()> {
        self.router.stop()?;
        self.start("")
    }

    /// Kills the agent, takes away all it has made, and starts it anew.
    pub(crate) fn restart_empty(&self) -> Result<()> {
        self.router.stop()?;
        self.sh(EMPTY)?;
        self.start("")
    }

    /// Cuts the power, and boots without starting the agent.
    pub(crate) fn cut_power(&mut self) -> Result<()> {
        self.router.vm.kill();
        self.router.vm = self.machine.boot()?;
        Ok(())
    }

    /// Cuts the power and brings it back.
    pub(crate) fn reboot(&mut self) -> Result<()> {
        self.cut_power()?;
        self.start("")
    }

    /// Runs the host tool over UDP.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<Said> {
        self.router.postwire(&Reach::Udp, words)
    }

    /// Pushes to an interface.
    pub(crate) fn push(&self, interface: &str, text: &str, more: &[&str]) -> Result<Said> {
        self.push_by(&self.router.owner, interface, text, more)
    }

    /// Pushes to an interface, as somebody.
    pub(crate) fn push_by(
        &self,
        person: &Person<'_>,
        interface: &str,
        text: &str,
        more: &[&str],
    ) -> Result<Said> {
        let path = self.router.folder.join(format!("{interface}.conf"));
        fs::write(&path, text)?;
        let path = path.to_str().context("a path that is no text")?;
        let words = [&["push", path], more].concat();
        self.router.postwire_by(person, &Reach::Udp, &words)
    }

    /// Pushes to wg0 what is to be stored under a number, and sees it in the kernel.
    pub(crate) fn store(&self, config: &Config, number: u64) -> Result<()> {
        let said = self.push("wg0", &config.text(), &[])?.ok()?;
        ensure!(said.number("/result/number") == Some(number), "not {number}: {}", said.json);
        ensure!(said.is("/result/stored", true), "not stored: {}", said.json);
        self.router.sees(config)
    }
}
