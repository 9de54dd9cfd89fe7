//! A router of the lab with the agent on it, and the host tool that pushes to it.

use super::{Config, Kernel, Person};
use crate::{Faults, Vm};
use anyhow::{Context, Result, bail, ensure};
use proto_core::key::PublicKey;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// The agent's default folder for files that outlive a reboot ...
pub const KEEP: &str = "/etc/postwired";
/// ... and for files that outlive the agent.
pub const STATE: &str = "/var/run/postwired";

/// Removes all interfaces and their rules. Peers are removed first, because a stock kernel takes 12
/// ms for each peer of a link that is deleted.
pub const EMPTY: &str = "\
    for i in $(wg show interfaces); do wg setconf $i /dev/null; ip link delete $i; done; \
    for f in -4 -6; do for p in 32763 32764 32765; do \
    while ip $f rule delete priority $p 2>/dev/null; do :; done; done; done";

/// The connection between bench and router.
#[derive(Clone, Debug)]
pub enum Reach {
    Serial,
    Udp,
    /// UDP to another port of this machine.
    Port(u16),
}

impl Reach {
    /// The options by which the host tool finds a router.
    pub fn link(&self, vm: &Vm) -> [String; 2] {
        let port = match self {
            Self::Serial => {
                return ["--serial".to_owned(), vm.serial().path().display().to_string()];
            }
            Self::Udp => vm.udp_port(),
            Self::Port(port) => *port,
        };
        ["--udp".to_owned(), format!("127.0.0.1:{port}")]
    }
}

/// A router of the lab.
pub struct Router<'t> {
    pub vm: Vm,
    /// The owner of the router.
    pub owner: Person<'t>,
    /// The folder for files of the host tool.
    pub folder: PathBuf,
}

/// The output of the host tool.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub json: Value,
    pub stderr: String,
}

impl Said {
    /// Returns the output if the tool succeeded.
    pub fn ok(self) -> Result<Self> {
        ensure!(
            self.code == 0,
            "postwire ended with {}: {}\n{}",
            self.code,
            self.json,
            self.stderr
        );
        Ok(self)
    }

    /// A text field, by its path in the JSON.
    pub fn text(&self, path: &str) -> &str {
        self.json.pointer(path).and_then(Value::as_str).unwrap_or_default()
    }

    /// A number, by its path in the JSON.
    pub fn number(&self, path: &str) -> Option<u64> {
        self.json.pointer(path).and_then(Value::as_u64)
    }

    /// Whether a field has this value.
    pub fn is(&self, path: &str, value: impl Into<Value>) -> bool {
        self.json.pointer(path) == Some(&value.into())
    }

    /// Returns the error text if the tool failed with this exit code and kind of error.
    pub fn failed(&self, code: i32, error: &str) -> Result<&str> {
        ensure!(self.code == code, "exit code {} in place of {code}: {}", self.code, self.json);
        ensure!(self.text("/error/code") == error, "the reason is not {error}: {}", self.json);
        Ok(self.text("/error/message"))
    }
}

impl<'t> Router<'t> {
    /// A router whose agent has not been started, and its owner.
    ///
    /// Claiming a router has tests of its own; here the owner is added by a command on the router.
    pub fn new(vm: Vm, tool: &'t Path, folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let owner = Person::new(tool, folder.join("home"))?;
        vm.sh(&format!("postwired reset-owner {}", owner.key()))?.ok()?;
        owner.meets(vm.name(), &identity(&vm, "")?)?;
        Ok(Self { vm, owner, folder })
    }

    /// Runs the host tool with this router, as its owner.
    pub fn postwire(&self, reach: &Reach, words: &[&str]) -> Result<Said> {
        self.postwire_by(&self.owner, reach, words)
    }

    /// Runs the host tool with this router, as the given person.
    pub fn postwire_by(&self, person: &Person<'_>, reach: &Reach, words: &[&str]) -> Result<Said> {
        let output = self.command(person, reach, words).output();
        said(&output.context("starting postwire")?)
    }

    /// A command of the host tool with this router, to be run by its owner.
    pub fn postwire_command(&self, reach: &Reach, words: &[&str]) -> Command {
        self.command(&self.owner, reach, words)
    }

    fn command(&self, person: &Person<'_>, reach: &Reach, words: &[&str]) -> Command {
        let mut command = person.command(words);
        command.args(reach.link(&self.vm));
        // An emulated machine may stand still for longer than a router does.
        if !words.contains(&"--timeout") {
            command.args(["--timeout", "120s"]);
        }
        command
    }

    /// Writes a file for the host tool. The name of the file is the interface.
    pub fn file(&self, text: &str) -> Result<PathBuf> {
        let path = self.folder.join("wg0.conf");
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Pushes a file.
    pub fn push(&self, reach: &Reach, text: &str) -> Result<Said> {
        let path = self.file(text)?;
        self.postwire(reach, &["push", path.to_str().context("a path that is no text")?])
    }

    /// Pushes a configuration and checks the kernel.
    pub fn push_and_see(&self, reach: &Reach, config: &Config) -> Result<Said> {
        let said = self.push(reach, &config.text())?.ok()?;
        self.sees(config)?;
        Ok(said)
    }

    /// Fails unless the kernel runs this configuration, as Debian's `wg` and busybox print it.
    pub fn sees(&self, config: &Config) -> Result<()> {
        match self.kernel()?.difference(&config.kernel()) {
            None => Ok(()),
            Some(difference) => bail!("the kernel has something else: {difference}"),
        }
    }

    /// The state of the kernel.
    pub fn kernel(&self) -> Result<Kernel> {
        // One script, because each script costs more than the three commands.
        let script = "wg show wg0 dump && echo -- && ip -o address show dev wg0 && echo -- && \
                      cat /sys/class/net/wg0/mtu";
        let shown = self.vm.sh_with(script, b"", Duration::from_secs(120))?.ok()?.text();
        let parts: Vec<&str> = shown.split("--\n").collect();
        let [dump, addresses, mtu] = parts[..] else { bail!("cannot read {shown}") };
        Kernel::parse(dump, addresses, mtu).with_context(|| format!("cannot read {shown}"))
    }

    /// Everything that a push could touch, as text, to check that nothing changed.
    pub fn everything(&self) -> Result<String> {
        let script = "wg showconf wg0 2>&1; ip -o address; ip route show table all; \
                      ip -6 route show table all; ip rule; ip -6 rule; cat /sys/class/net/*/mtu";
        Ok(self.vm.sh(script)?.ok()?.text())
    }

    /// The configuration in the kernel, as lines in a fixed order: without counters and link
    /// numbers.
    pub fn state(&self) -> Result<Vec<String>> {
        let script = "wg show all dump | cut -f 1-5,9; \
                      for i in $(wg show interfaces); do echo $i $(cat /sys/class/net/$i/flags); done; \
                      grep . /sys/class/net/*/mtu; ip -o address | sed 's/^[0-9]*: //'; \
                      ip route show table all; ip -6 route show table all; ip rule; ip -6 rule";
        let shown = self.vm.sh_with(script, b"", Duration::from_secs(300))?.ok()?.text();
        let mut lines: Vec<String> = shown
            .lines()
            // This value depends on the network card, which differs in the next machine.
            .filter(|line| {
                !line.contains("eth0") || !(line.contains("fe80:") || line.contains("ff00:"))
            })
            .map(|line| {
                let mut fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
                if let Some(ips) = fields.get_mut(4) {
                    let mut sorted: Vec<&str> = ips.split(',').collect();
                    sorted.sort_unstable();
                    *ips = sorted.join(",");
                }
                fields.join("\t")
            })
            .collect();
        lines.sort_unstable();
        Ok(lines)
    }

    /// Fails if [`Router::state`] differs from `state`.
    pub fn is_in(&self, state: &[String]) -> Result<()> {
        let now = self.state()?;
        ensure!(now == state, "{}", differences(state, &now));
        Ok(())
    }

    /// Fails if [`Router::everything`] differs from `before`.
    pub fn is_still(&self, before: &str) -> Result<()> {
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

    /// Ends the agent if it runs, removes its interfaces and stored files, and starts it again.
    pub fn fresh(&self, options: &str) -> Result<()> {
        self.vm.serial().set_faults(Faults::default());
        self.vm.serial().cut(false);
        self.stop()?;
        self.empty()?;
        crate::demo::start_agent(&self.vm, options)
    }

    /// Removes the interfaces and stored files of an agent that has ended. Identity and owners
    /// stay.
    pub fn empty(&self) -> Result<()> {
        self.vm.sh(&format!("cd {KEEP} && rm -f *.[0-9]* next; rm -f {STATE}/next; {EMPTY}"))?;
        Ok(())
    }

    /// Ends the agent.
    pub fn stop(&self) -> Result<()> {
        self.vm
            .sh("killall -9 postwired 2>/dev/null; while pidof postwired >/dev/null; do :; done")?;
        Ok(())
    }

    /// The agent's log since its start.
    pub fn log(&self) -> Result<String> {
        Ok(self.vm.sh("cat /tmp/postwired.log")?.ok()?.text())
    }

    /// The agent's resident memory in KiB. The agent has no allocator and never returns a page, so
    /// this is also its peak; the kernel's own peak (`VmHWM`) is too coarse, because it is updated
    /// in steps of 64 pages.
    pub fn memory(&self) -> Result<u32> {
        let shown = self.vm.sh("grep '^Rss' /proc/$(pidof postwired)/smaps_rollup")?.ok()?.text();
        let number = shown.split_whitespace().nth(1).context("no Rss")?;
        Ok(number.parse()?)
    }
}

/// Some of the lines that are in only one of the two states.
pub fn differences(before: &[String], after: &[String]) -> String {
    let only = |sign: &str, one: &[String], other: &[String]| -> Vec<String> {
        let lines = one.iter().filter(|line| other.binary_search(line).is_err());
        lines.map(|line| format!("{sign} {line}")).collect()
    };
    let (gone, new) = (only("-", before, after), only("+", after, before));
    let shown: Vec<&str> =
        gone.iter().take(5).chain(new.iter().take(5)).map(String::as_str).collect();
    format!("{} lines gone, {} new:\n{}", gone.len(), new.len(), shown.join("\n"))
}

/// The public key of a router, as its agent prints it for root. `options` may name the folder of
/// the key.
pub fn identity(vm: &Vm, options: &str) -> Result<String> {
    let shown = vm.sh(&format!("postwired identity {options}"))?.ok()?.text();
    let key = shown.split_whitespace().find(|word| word.parse::<PublicKey>().is_ok());
    key.map(str::to_owned).with_context(|| format!("no public key in what it printed: {shown}"))
}

/// Parses the output of the host tool.
pub fn said(output: &std::process::Output) -> Result<Said> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code().context("postwire was killed")?;
    let json = serde_json::from_str(&stdout)
        .with_context(|| format!("not JSON (exit code {code}): {stdout}\n{stderr}"))?;
    Ok(Said { code, json, stderr })
}
