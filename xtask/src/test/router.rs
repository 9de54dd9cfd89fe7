//! A router of the lab with the agent on it, and the host tool that pushes to it.

use super::config::{Config, Kernel};
use crate::lab::{Faults, Vm};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// How the bench reaches a router.
#[derive(Clone, Debug)]
pub(super) enum Reach {
    Serial,
    Udp,
    /// Over UDP, by another port of this machine.
    Port(u16),
}

/// A router of the lab.
pub(super) struct Router<'t> {
    pub(super) vm: Vm,
    pub(super) tool: &'t Path,
    pub(super) folder: PathBuf,
}

/// What the host tool said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: i32,
    pub(super) json: Value,
    pub(super) stderr: String,
}

impl Said {
    /// What it said if all went well.
    pub(super) fn ok(self) -> Result<Self> {
        ensure!(
            self.code == 0,
            "postwire ended with {}: {}\n{}",
            self.code,
            self.json,
            self.stderr
        );
        Ok(self)
    }

    /// A field, by its path in the JSON.
    pub(super) fn text(&self, path: &str) -> &str {
        self.json.pointer(path).and_then(Value::as_str).unwrap_or_default()
    }
}

impl Router<'_> {
    /// Runs the host tool against this router.
    pub(super) fn postwire(&self, reach: &Reach, words: &[&str]) -> Result<Said> {
        self.postwire_command(reach, words)
            .output()
            .context("starting postwire")
            .and_then(|output| said(&output))
    }

    /// The host tool against this router, to be run.
    pub(super) fn postwire_command(&self, reach: &Reach, words: &[&str]) -> Command {
        let mut command = Command::new(self.tool);
        command.args(words).arg("--json").stdin(Stdio::null());
        match reach {
            Reach::Serial => command.arg("--serial").arg(self.vm.serial().path()),
            Reach::Udp => command.arg("--udp").arg(format!("127.0.0.1:{}", self.vm.udp_port())),
            Reach::Port(port) => command.arg("--udp").arg(format!("127.0.0.1:{port}")),
        };
        command
    }

    /// Writes a file for the host tool. Its name gives the interface.
    pub(super) fn file(&self, text: &str) -> Result<PathBuf> {
        let path = self.folder.join("wg0.conf");
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Pushes a file.
    pub(super) fn push(&self, reach: &Reach, text: &str) -> Result<Said> {
        let path = self.file(text)?;
        self.postwire(reach, &["push", path.to_str().context("a path that is no text")?])
    }

    /// Pushes a configuration and sees it in the kernel.
    pub(super) fn push_and_see(&self, reach: &Reach, config: &Config) -> Result<Said> {
        let said = self.push(reach, &config.text())?.ok()?;
        self.sees(config)?;
        Ok(said)
    }

    /// Fails unless the kernel runs this configuration, by Debian's `wg` and busybox.
    pub(super) fn sees(&self, config: &Config) -> Result<()> {
        match self.kernel()?.difference(&config.kernel()) {
            None => Ok(()),
            Some(difference) => bail!("the kernel has something else: {difference}"),
        }
    }

    /// What the kernel has.
    pub(super) fn kernel(&self) -> Result<Kernel> {
        let limit = Duration::from_secs(120);
        let show = |script: &str| -> Result<String> {
            Ok(self.vm.sh_with(script, b"", limit)?.ok()?.text())
        };
        let dump = show("wg show wg0 dump")?;
        let addresses = show("ip -o address show dev wg0")?;
        let mtu = show("cat /sys/class/net/wg0/mtu")?;
        Kernel::parse(&dump, &addresses, &mtu).with_context(|| format!("cannot read {dump}"))
    }

    /// Everything a push could touch, as text, to see that nothing of it changed.
    pub(super) fn everything(&self) -> Result<String> {
        let script = "wg showconf wg0 2>&1; ip -o address; ip route show table all; \
                      ip -6 route show table all; ip rule; ip -6 rule; cat /sys/class/net/*/mtu";
        Ok(self.vm.sh(script)?.ok()?.text())
    }

    /// Fails when anything is different from what [`Router::everything`] said before.
    pub(super) fn is_still(&self, before: &str) -> Result<()> {
        let after = self.everything()?;
        let gone = before.lines().filter(|line| !after.lines().any(|other| other == *line));
        let new = after.lines().filter(|line| !before.lines().any(|other| other == *line));
        let lines: Vec<String> = gone
            .map(|line| format!("- {line}"))
            .chain(new.map(|line| format!("+ {line}")))
            .collect();
        ensure!(before == after, "something changed:\n{}", lines.join("\n"));
        Ok(())
    }

    /// Ends the agent if it runs, takes away what it made, and starts it anew.
    pub(super) fn fresh(&self, options: &str) -> Result<()> {
        self.vm.serial().set_faults(Faults::default());
        self.vm.serial().cut(false);
        self.stop()?;
        // Peers first: a stock kernel takes 12 ms for each peer of a link that is deleted.
        self.vm.sh(
            "for i in $(wg show interfaces); do wg setconf $i /dev/null; ip link delete $i; done; \
             for f in -4 -6; do for p in 32764 32765; do \
             while ip $f rule delete priority $p 2>/dev/null; do :; done; done; done",
        )?;
        crate::demo::start_agent(&self.vm, options)
    }

    /// Ends the agent.
    pub(super) fn stop(&self) -> Result<()> {
        self.vm
            .sh("killall -9 postwired 2>/dev/null; while pidof postwired >/dev/null; do :; done")?;
        Ok(())
    }

    /// What the agent said since it was started.
    pub(super) fn log(&self) -> Result<String> {
        Ok(self.vm.sh("cat /tmp/postwired.log")?.ok()?.text())
    }

    /// The agent's resident memory in KiB. It has no allocator and gives no page back, so this is its
    /// peak too; the kernel's own count of the peak (`VmHWM`) is of no use for so few pages, because
    /// it is kept in steps of 64.
    pub(super) fn memory(&self) -> Result<u32> {
        let shown = self.vm.sh("grep '^Rss' /proc/$(pidof postwired)/smaps_rollup")?.ok()?.text();
        let number = shown.split_whitespace().nth(1).context("no Rss")?;
        Ok(number.parse()?)
    }
}

/// Reads what the host tool printed.
pub(super) fn said(output: &std::process::Output) -> Result<Said> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code().context("postwire was killed")?;
    let json = serde_json::from_str(&stdout)
        .with_context(|| format!("not JSON (exit code {code}): {stdout}\n{stderr}"))?;
    Ok(Said { code, json, stderr })
}
