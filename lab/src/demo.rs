//! The demo of the main job: two routers in virtual machines, one configured over a serial line and
//! one over UDP, with a tunnel between them.

use crate::{Arch, Lab, Vm, Wire, routers::Reach};
use anyhow::{Context, Result, ensure};
use proto_core::key::PublicKey;
use serde_json::Value;
use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};
use xtask::build;

/// Boot two routers, push a configuration to each, and ping through their tunnel
#[derive(clap::Args)]
pub struct Args {
    /// The kind of machine that the routers are
    #[arg(long, value_enum, default_value_t = Arch::X86_64)]
    arch: Arch,
}

struct Router {
    vm: Vm,
    reach: Reach,
    address: &'static str,
    wire: &'static str,
    /// The folder in which the host tool keeps the demo's keys and routers.
    home: PathBuf,
}

/// The secret on bob's label.
const LABEL: &str = "DEMO-ONLY-7KQ2-MXTB-94RC-WD5F";

impl Args {
    pub fn run(self) -> Result<ExitCode> {
        let agent = fs::read(build::agent(self.arch)?)?;
        let postwire = build::postwire()?;
        let lab = Lab::prepare(self.arch)?;
        let folder = xtask::build::target_folder().join("lab").join("demo");
        fs::create_dir_all(&folder)?;
        let home = folder.join("home");
        if home.exists() {
            fs::remove_dir_all(&home)?;
        }
        let wire = Wire::new()?;
        let boot = |name, reach, address, on_wire: &'static str| -> Result<Router> {
            let machine = lab.machine(name).file("/bin/postwired", 0o755, agent.clone());
            let vm = machine.with_wireguard_tools().wire(&wire, &format!("{on_wire}/24")).boot()?;
            println!("{name} is up after {:.1} s", vm.boot_time().as_secs_f32());
            let options = match reach {
                Reach::Serial => String::new(),
                Reach::Udp | Reach::Port(_) => {
                    vm.put("/etc/label", 0o600, LABEL.as_bytes())?;
                    "--label-secret /etc/label".to_owned()
                }
            };
            start_agent(&vm, &options)?;
            Ok(Router { vm, reach, address, wire: on_wire, home: home.clone() })
        };
        println!("booting two routers, alice and bob");
        let alice = boot("alice", Reach::Serial, "10.77.0.1", "192.0.2.1")?;
        let bob = boot("bob", Reach::Udp, "10.77.0.2", "192.0.2.2")?;

        title("Generate your operator key, once");
        see(Command::new(&postwire).env("POSTWIRE_HOME", &home).arg("keygen"), "keygen")?;
        title("A new router has no owner: claim it over its serial line");
        alice.show(&postwire, "claim", &["--as", "you"])?;
        title("Or over UDP, with the secret on its label, which can be used once");
        bob.show(&postwire, "claim", &["--as", "you", "--secret", LABEL])?;

        title("Each router generates its own WireGuard key and returns only the public key");
        let mut keys = Vec::new();
        for router in [&alice, &bob] {
            let file = folder.join(format!("{}-key.conf", router.vm.name()));
            fs::write(&file, "[Interface]\nPrivateKey = generate\nListenPort = 51820\n")?;
            let pushed = router.postwire(&postwire, &["push", "--json"], &file)?;
            let pushed: Value = serde_json::from_str(&pushed)?;
            let key = pushed.pointer("/result/public_key").and_then(Value::as_str);
            keys.push(key.context("no public key came back")?.to_owned());
            println!("{}: {}", router.vm.name(), keys[keys.len() - 1]);
        }

        for (router, other, key) in [(&alice, &bob, &keys[1]), (&bob, &alice, &keys[0])] {
            let over = match router.reach {
                Reach::Serial => "over its serial port",
                Reach::Udp | Reach::Port(_) => "over UDP",
            };
            title(&format!("Pushing to {} {over}", router.vm.name()));
            let file = folder.join(format!("{}.conf", router.vm.name()));
            let text = format!(
                "[Interface]\nPrivateKey = generate\nListenPort = 51820\nAddress = {}/24\n\
                 MTU = 1400\n\n[Peer]\nPublicKey = {key}\nEndpoint = {}:51820\n\
                 AllowedIPs = {}/32, fd77::/64\nPersistentKeepalive = 25\n",
                router.address, other.wire, other.address
            );
            fs::write(&file, text.clone() + &others())?;
            println!("{text}\n# ... and {OTHERS} more peers, to make the push longer\n");
            let file = file.to_str().context("a path that is no text")?;
            router.show(&postwire, "push", &[file, "--interface", "wg0"])?;
        }

        title("The state of alice's kernel, printed by Debian's wg and by busybox");
        print!(
            "{}",
            alice
                .vm
                .sh(
                    "wg show | head -n 12; ip address show wg0; ip route show dev wg0 | head -n 3; \
                      echo \"$(wg show wg0 peers | wc -l) peers\""
                )?
                .ok()?
                .text()
        );
        println!();
        title("A ping through the tunnel");
        println!("{}", alice.vm.sh("ping -c 3 -w 20 10.77.0.2")?.ok()?.text());
        title("Bob's status, printed by postwire");
        bob.show(&postwire, "status", &[])?;
        title("Done: both routers configured over the wire, and the tunnel works");
        Ok(ExitCode::SUCCESS)
    }
}

/// Starts the agent in a machine, on its serial line and on UDP.
pub fn start_agent(vm: &Vm, options: &str) -> Result<()> {
    vm.sh(&start_script(vm, options))?.ok()?;
    Ok(())
}

/// The agent's options for the wires of a machine: its serial line, and UDP.
pub fn wires(vm: &Vm) -> String {
    format!("--serial {} --udp 0.0.0.0", vm.serial_device())
}

/// The script that starts the agent and ends when the agent listens.
pub fn start_script(vm: &Vm, options: &str) -> String {
    let wires = wires(vm);
    format!(
        // The log of an earlier agent also contains "ready", so remove it.
        "mkdir -p /var/run; rm -f /tmp/postwired.log; setsid postwired serve {wires} {options} \
         >/tmp/postwired.log 2>&1 </dev/null & \
         for i in $(seq 2500); do grep -q ': ready' /tmp/postwired.log && exit; \
         readlink /proc/$!/exe >/dev/null || break; usleep 100000; done; cat /tmp/postwired.log; exit 1"
    )
}

/// Number of peers besides the two routers.
const OTHERS: u32 = 400;

/// Peers without a machine.
fn others() -> String {
    let peer = |n: u32| {
        let mut key = [1; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        let (key, ip) = (PublicKey(key), Ipv4Addr::from_bits(0x0a4d_0100 + n));
        format!("\n[Peer]\nPublicKey = {key}\nAllowedIPs = {ip}/32\n")
    };
    (0..OTHERS).map(peer).collect()
}

fn title(text: &str) {
    println!("\n== {text}");
}

impl Router {
    /// Runs the host tool and returns what it printed.
    fn postwire(&self, tool: &Path, words: &[&str], file: &PathBuf) -> Result<String> {
        let mut command = Command::new(tool);
        command.env("POSTWIRE_HOME", &self.home);
        command.args(words).arg(file).args(["--interface", "wg0"]).args(self.reach.link(&self.vm));
        build::quietly(&mut command)
    }

    /// Runs the host tool with its output on the terminal.
    fn show(&self, tool: &Path, word: &str, words: &[&str]) -> Result<()> {
        let mut command = Command::new(tool);
        command
            .env("POSTWIRE_HOME", &self.home)
            .arg(word)
            .args(words)
            .args(self.reach.link(&self.vm));
        // A path is displayed as its last part.
        let shown = words.iter().map(|word| word.rsplit('/').next().unwrap_or(word));
        let mut shown: Vec<String> =
            std::iter::once(word).chain(shown).map(str::to_owned).collect();
        shown.extend(self.reach.link(&self.vm));
        see(&mut command, &shown.join(" "))
    }
}

/// Runs a command with its output on the terminal.
fn see(command: &mut Command, shown: &str) -> Result<()> {
    println!("$ postwire {shown}");
    let status = command.stdin(Stdio::null()).status().context("starting postwire")?;
    ensure!(status.success(), "postwire {shown} failed ({status})");
    Ok(())
}
