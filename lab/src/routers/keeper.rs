//! A router whose files are on a disk of its own, so that it can be restarted, lose its power, and
//! boot again.

use super::router::{EMPTY, KEEP, Router, Said};
use crate::{
    Disk, Lab, Machine,
    demo::start_script,
    routers::{Config, Person, Reach},
};
use anyhow::{Context, Result, ensure};
use std::{fs, path::Path, time::Duration};
use xtask::build;

/// The option of an agent whose messages to the kernel a test counts: none comes at a time of its
/// own.
pub const ALONE: &str = "--on-drift ignore";

/// Starting with a long configuration takes time.
const START: Duration = Duration::from_secs(300);

/// A router with a disk.
pub struct Keeper<'t> {
    machine: Machine<'t>,
    pub router: Router<'t>,
    pub seed: u64,
    /// Further options of the agent, each time it starts.
    pub options: &'static str,
}

impl<'t> Keeper<'t> {
    /// Boots a new router, without starting its agent.
    pub fn boot(lab: &'t Lab, name: &str, agent: &[u8], tool: &'t Path, seed: u64) -> Result<Self> {
        Self::boot_with(lab, name, &lab.disk(name)?, agent, tool, seed)
    }

    /// Boots a router with the given disk.
    pub fn boot_with(
        lab: &'t Lab,
        name: &str,
        disk: &Disk,
        agent: &[u8],
        tool: &'t Path,
        seed: u64,
    ) -> Result<Self> {
        Self::of_machine(lab.machine(name).file("/bin/postwired", 0o755, agent), disk, tool, seed)
    }

    /// Boots a router that is this machine, with the agent's file, and with the given disk.
    pub fn of_machine(
        machine: Machine<'t>,
        disk: &Disk,
        tool: &'t Path,
        seed: u64,
    ) -> Result<Self> {
        let machine = machine.with_wireguard_tools().with_strace().disk(disk, KEEP);
        let name = machine.name();
        let folder = build::target_folder().join("lab").join("test").join(name);
        let router = Router::new(machine.boot()?, tool, folder)?;
        Ok(Self { machine, router, seed, options: "" })
    }

    /// Runs a script that must succeed, and returns its output.
    pub fn sh(&self, script: &str) -> Result<String> {
        Ok(self.router.vm.sh_with(script, b"", START)?.ok()?.text())
    }

    /// Ends the agent, removes its interfaces and stored files, and starts it again.
    pub fn fresh(&self) -> Result<()> {
        self.router.fresh(self.options)
    }

    /// Starts the agent.
    pub fn start(&self) -> Result<()> {
        self.sh(&start_script(&self.router.vm, self.options))?;
        Ok(())
    }

    /// Kills the agent and starts it again.
    pub fn restart(&self) -> Result<()> {
        self.router.stop()?;
        self.start()
    }

    /// Kills the agent, removes all its files and interfaces, and starts it again.
    pub fn restart_empty(&self) -> Result<()> {
        self.router.stop()?;
        self.sh(EMPTY)?;
        self.start()
    }

    /// Cuts the power, and boots without starting the agent.
    pub fn cut_power(&mut self) -> Result<()> {
        self.router.vm.kill();
        self.router.vm = self.machine.boot()?;
        Ok(())
    }

    /// Cuts the power, boots, and starts the agent.
    pub fn reboot(&mut self) -> Result<()> {
        self.cut_power()?;
        self.start()
    }

    /// Runs the host tool over UDP.
    pub fn ask(&self, words: &[&str]) -> Result<Said> {
        self.router.postwire(&Reach::Udp, words)
    }

    /// Pushes to an interface.
    pub fn push(&self, interface: &str, text: &str, more: &[&str]) -> Result<Said> {
        self.push_by(&self.router.owner, interface, text, more)
    }

    /// Pushes to an interface as the given person.
    pub fn push_by(
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

    /// Pushes to wg0, checks the number under which the router stores the configuration, and checks
    /// the kernel.
    pub fn store(&self, config: &Config, number: u64) -> Result<()> {
        let said = self.push("wg0", &config.text(), &[])?.ok()?;
        ensure!(said.number("/result/number") == Some(number), "not {number}: {}", said.json);
        ensure!(said.is("/result/stored", true), "not stored: {}", said.json);
        self.router.sees(config)
    }

    /// Generates a key for a second tunnel end on the same machine, and returns the public key.
    pub fn live_key(&self) -> Result<String> {
        Ok(self.sh("wg genkey >/tmp/live; wg pubkey </tmp/live")?.trim().to_owned())
    }

    /// Starts the second tunnel end, once wg0 has a peer with that key, and waits for the
    /// handshake.
    pub fn live(&self, key: &str) -> Result<()> {
        self.sh(&format!(
            "ip link add live type wireguard && wg set live private-key /tmp/live peer \
             $(wg show wg0 public-key) endpoint 127.0.0.1:51820 persistent-keepalive 1 \
             allowed-ips 10.200.0.1/32 && ip link set live up && for i in $(seq 3000); do \
             wg show wg0 latest-handshakes | grep {key} | grep -qv '\t0$' && exit; usleep 100000; \
             done; exit 1"
        ))?;
        Ok(())
    }
}
