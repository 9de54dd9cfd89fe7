//! A lab machine that is configured in several ways: by `postwire`, and through OpenSSH with `wg syncconf`. Times are
//! the bench's, and bytes are those of the machine's network card, both ways, with all headers.
//!
//! The machine is emulated, and therefore slow like a small router; its SSH server is dropbear, as on most of them.

use crate::{
    Arch, Lab, demo, programs,
    routers::{Config, EMPTY, KEEP, Reach, Router, STATE},
};
use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use xtask::{build, packages::ensure_packages};

/// A way to configure a router over the network.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Postwire,
    /// A new connection for each push.
    Ssh,
    /// Through a connection that is open already.
    Master,
}

impl Way {
    pub(super) const ALL: [Self; 3] = [Self::Postwire, Self::Ssh, Self::Master];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Postwire => "`postwire push`",
            Self::Ssh => "`ssh`, `wg syncconf`",
            Self::Master => "the same, ControlMaster",
        }
    }
}

/// What a measured command cost.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    pub(super) time: Duration,
    pub(super) bytes: u64,
}

/// The machine, and an open connection of OpenSSH.
pub(super) struct Ways<'t> {
    pub(super) router: Router<'t>,
    pub(super) folder: PathBuf,
    tool: &'t Path,
    master: Child,
}

/// A machine's packages, with an SSH server among them.
pub(super) fn prepare() -> Result<Lab> {
    ensure_packages(&["openssh-client"])?;
    Lab::prepare(Arch::X86_64)?.and_programs(&[programs::DROPBEAR])
}

impl<'t> Ways<'t> {
    pub(super) fn boot(lab: &Lab, tool: &'t Path, name: &str) -> Result<Self> {
        let folder = build::workspace().join(build::target_folder()).join("lab/bench").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let key = folder.join("id");
        let mut keygen = Command::new("ssh-keygen");
        build::quietly(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key))?;
        let agent = fs::read(build::agent(lab.arch())?)?;
        let machine = lab.machine(name).file("/bin/postwired", 0o755, agent);
        let machine = machine.with_wireguard_tools().with_program(programs::DROPBEAR);
        let vm = machine.forwarding_ssh().boot()?;
        vm.put("/root/.ssh/authorized_keys", 0o600, &fs::read(folder.join("id.pub"))?)?;
        vm.sh("chmod 700 /root /root/.ssh; mkdir -p /etc/dropbear; setsid dropbear -R -s >/tmp/ssh.log 2>&1 </dev/null")?
            .ok()?;
        let router = Router::new(vm, tool, folder.clone())?;
        demo::start_agent(&router.vm, "")?;
        let mut ways = Self { router, folder, tool, master: Command::new("true").spawn()? };
        ways.master.wait()?;
        let mut master = Command::new("ssh");
        master.args(ways.options()).args(["-M", "-N", "root@127.0.0.1"]);
        master.arg("-S").arg(ways.folder.join("master"));
        ways.master = master.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let begun = Instant::now();
        while !ways.folder.join("master").exists() {
            let ended = ways.master.try_wait()?;
            let told = || ways.router.vm.sh("cat /tmp/ssh.log");
            ensure!(ended.is_none(), "ssh ended: {}", told()?.text());
            ensure!(
                begun.elapsed() < Duration::from_secs(120),
                "no connection: {}",
                told()?.text()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(ways)
    }

    /// The options by which OpenSSH reaches the machine.
    pub(super) fn options(&self) -> Vec<String> {
        let port = self.router.vm.udp_port();
        let key = self.folder.join("id");
        let text = format!(
            "-F none -p {port} -i {} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
             -o LogLevel=ERROR -o BatchMode=yes",
            key.display()
        );
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// Writes a configuration: for `postwire` as `NAME.conf`, and for `wg syncconf` as `NAME.wg`.
    pub(super) fn write(&self, name: &str, config: &Config) -> Result<()> {
        let text = config.text();
        let own =
            |line: &&str| !["MTU", "Table", "Address"].iter().any(|key| line.starts_with(key));
        fs::write(self.folder.join(format!("{name}.conf")), &text)?;
        let stripped: Vec<&str> = text.lines().filter(own).collect();
        fs::write(self.folder.join(format!("{name}.wg")), stripped.join("\n") + "\n")?;
        Ok(())
    }

    /// The shell command that gives an interface the file of this name.
    pub(super) fn command(&self, way: Way, interface: &str, name: &str) -> Result<String> {
        let file = self.folder.join(name).display().to_string();
        if way == Way::Postwire {
            let [option, address] = Reach::Udp.link(&self.router.vm);
            let home = self.router.owner.home().display().to_string();
            let tool = self.tool.canonicalize().context("postwire")?;
            return Ok(format!(
                "POSTWIRE_HOME={home} {} push {file}.conf --interface {interface} {option} {address}",
                tool.display()
            ));
        }
        let mut options = self.options();
        if way == Way::Master {
            options.extend(["-S".into(), self.folder.join("master").display().to_string()]);
        }
        let options = options.join(" ");
        let script = syncconf(interface);
        Ok(format!("ssh {options} root@127.0.0.1 '{script}' <{file}.wg"))
    }

    /// Removes all interfaces, and what the agent stores of them.
    pub(super) fn empty(&self) -> Result<()> {
        let vm = &self.router.vm;
        vm.sh(&format!("cd {KEEP} && rm -f *.[0-9]* next; rm -f {STATE}/next; {EMPTY}"))?;
        Ok(())
    }

    /// Runs a command, and fails unless it succeeds.
    pub(super) fn measure(&self, command: &mut Command) -> Result<Cost> {
        let before = self.bytes()?;
        let begun = Instant::now();
        build::quietly(command)?;
        let time = begun.elapsed();
        Ok(Cost { time, bytes: self.bytes()? - before })
    }

    fn bytes(&self) -> Result<u64> {
        let shown = self.router.vm.sh("cat /sys/class/net/eth0/statistics/?x_bytes")?.ok()?.text();
        Ok(shown.lines().map(str::parse::<u64>).sum::<Result<u64, _>>()?)
    }
}

impl Drop for Ways<'_> {
    fn drop(&mut self) {
        let _ = self.master.kill();
        let _ = self.master.wait();
    }
}

/// The script on the router that reads an interface's configuration from its standard input. The machine has no
/// `/dev/stdin`.
pub(super) fn syncconf(interface: &str) -> String {
    format!(
        "ip link add {interface} type wireguard 2>/dev/null; wg syncconf {interface} /proc/self/fd/0 && \
         ip link set {interface} up"
    )
}

/// A configuration without addresses and routes, because `wg syncconf` sets none.
pub(super) fn config(rng: &mut Rng, peers: u32, port: u16) -> Config {
    let config = Config::random(rng, peers, 3);
    Config { listen_port: port, addresses: [].into(), table: "off", mtu: 1420, ..config }
}

/// A shell command.
pub(super) fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null());
    shell
}
