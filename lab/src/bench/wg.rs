//! The cost of `wg` on a real kernel: ours, Debian's as packaged, and Debian's built like ours,
//! which separates the effect of compiler options from that of the program.
//!
//! The machine counts instructions in place of time: its clock advances by a fixed number of
//! nanoseconds for each instruction. The CPU time that its kernel reports for a process is
//! therefore a number of instructions, independent of the load of the bench. The kernel only
//! estimates the share of user instructions, by sampling at every tick; valgrind counts those
//! exactly, in a run by itself.

use crate::{Arch, Lab, Vm, programs, reference::Reference};
use anyhow::{Context, Result};
use fastrand::Rng;
use proto_core::key::PublicKey;
use std::{
    fmt::Write,
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    time::Duration,
};
use xtask::build;

const SCRIPT: &str = include_str!("wg.sh");
/// Numbers of peers, and how often a command is run with them.
const SIZES: [(u32, u32); 3] = [(10, 100), (1_000, 5), (10_000, 1)];
const LIMIT: Duration = Duration::from_secs(3_600);

/// The cost of a command.
struct Cost {
    command: String,
    /// User instructions in millions.
    user: f64,
    all: f64,
    memory: f64,
    calls: f64,
}

impl Cost {
    /// In the order of the columns.
    const fn numbers(&self) -> [f64; 4] {
        [self.user, self.all, self.memory, self.calls]
    }
}

pub(super) fn run(sources: Option<&Path>) -> Result<()> {
    let lab = Lab::prepare(Arch::X86_64)?.and_programs(&programs::VALGRIND)?;
    let agent = fs::read(build::agent(lab.arch())?)?;
    let packaged = fs::metadata(lab.packages().file(programs::WG.path)?)?.len();
    let version = lab.packages().version(programs::WG.package)?;
    let reference = Reference::get(&version, sources);
    if let (Err(error), Some(_)) = (&reference, sources) {
        anyhow::bail!("{error:#}");
    }
    println!("ours  {} bytes: static, for size; wg-quick and postwired are in it", agent.len());
    println!("pack  {packaged} bytes: Debian's wireguard-tools {version}, dynamic, glibc, -O2");
    let mut machine = lab.machine("wg-bench").with_wireguard_tools().with_strace();
    let built = match reference {
        Ok(reference) => {
            let bytes = fs::read(reference.path)?;
            println!("same  {} bytes: {}, {}", bytes.len(), reference.from, Reference::HOW);
            machine = machine.file("/opt/same/wg", 0o755, bytes);
            true
        }
        Err(error) => {
            println!("same  is not there: {error:#}");
            false
        }
    };
    for program in programs::VALGRIND {
        machine = machine.with_program(program);
    }
    let machine = machine.file("/opt/ours/wg", 0o755, agent).file("/opt/wg.sh", 0o644, SCRIPT);
    let vm = machine.counting_instructions().boot()?;
    vm.sh("mkdir /opt/pack && ln -s /usr/bin/wg /opt/pack/wg")?.ok()?;
    let kernel = vm.sh("uname -sr")?.ok()?.text();
    println!(
        "{}; instructions in millions, KiB resident at the most; /: ours by theirs",
        kernel.trim()
    );
    print!("{:<9}{:>8}", "", "peers");
    for column in ["user instructions", "user and kernel", "memory", "system calls"] {
        print!("{column:>22}");
    }
    println!("\n{:17}{}", "", format!("{:>10}{:>6}{:>6}", "ours", "/pack", "/same").repeat(4));
    for (peers, runs) in SIZES {
        let ours = costs(&vm, "ours", peers, runs)?;
        let pack = costs(&vm, "pack", peers, runs)?;
        let same = if built { costs(&vm, "same", peers, runs)? } else { Vec::new() };
        for (n, (ours, pack)) in ours.iter().zip(&pack).enumerate() {
            println!("{}", line(peers, ours, pack, same.get(n)));
        }
    }
    Ok(())
}

/// A row for a command: our numbers, and the ratio of each to theirs.
fn line(peers: u32, ours: &Cost, pack: &Cost, same: Option<&Cost>) -> String {
    let mut text = format!("{:<9}{peers:>8}", ours.command);
    for (column, digits) in [2, 2, 0, 0].into_iter().enumerate() {
        let of = |cost: &Cost| cost.numbers()[column];
        let ratio = |theirs: &Cost| format!("{:.2}", of(ours) / of(theirs));
        let same = same.map_or_else(|| "-".into(), ratio);
        let _ = write!(text, "{:>10.digits$}{:>6}{same:>6}", of(ours), ratio(pack));
    }
    text
}

/// The costs of the commands on one side.
fn costs(vm: &Vm, side: &str, peers: u32, runs: u32) -> Result<Vec<Cost>> {
    let folder = format!("/tmp/bench-{side}-{peers}");
    vm.put(&format!("{folder}/base"), 0o600, config(peers, 25).as_bytes())?;
    vm.put(&format!("{folder}/changed"), 0o600, config(peers, 26).as_bytes())?;
    // The namespace is temporary, and its interface disappears with it.
    let script = format!(
        "cd {folder} && ip link add wg0 type wireguard && sh /opt/wg.sh /opt/{side}/wg {runs} && \
         wg setconf wg0 /dev/null && ip link delete wg0"
    );
    let printed = vm.sh_with(&script, b"", LIMIT)?.ok()?.text();
    let cost = |line: &str| -> Option<Cost> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [command, user, kernel, memory, calls, own] = words[..] else { return None };
        Some(Cost {
            command: command.to_owned(),
            user: own.parse::<f64>().ok()? / 1e6,
            all: (millions(user)? + millions(kernel)?) / f64::from(runs),
            memory: memory.parse().ok()?,
            calls: calls.parse().ok()?,
        })
    };
    printed.lines().map(|line| cost(line).with_context(|| line.to_owned())).collect()
}

/// Millions of instructions in `0m1.230s`.
fn millions(time: &str) -> Option<f64> {
    let (minutes, seconds) = time.strip_suffix('s')?.split_once('m')?;
    let seconds = minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?;
    Some(seconds * 1e9 / f64::from(crate::NANOSECONDS_PER_INSTRUCTION) / 1e6)
}

/// A file with this number of peers, and this keepalive for the middle one. It has no private key:
/// with one, the kernel does curve arithmetic for each peer, which is the same for both sides and a
/// hundred times the cost to compare.
fn config(peers: u32, keepalive: u16) -> String {
    let mut rng = Rng::with_seed(1);
    let mut text = "[Interface]\nListenPort = 51820\n".to_owned();
    for n in 0..peers {
        let keepalive = if n == peers / 2 { keepalive } else { 25 };
        let _ = write!(
            text,
            "\n[Peer]\nPublicKey = {}\nAllowedIPs = {}/32, {}/128\nEndpoint = {}:51820\n\
             PersistentKeepalive = {keepalive}\n",
            key(&mut rng),
            Ipv4Addr::from_bits(0x0a00_0000 + n),
            Ipv6Addr::from_bits((0xfd << 120) + u128::from(n)),
            Ipv4Addr::from_bits(0xc612_0000 + n),
        );
    }
    text
}

fn key(rng: &mut Rng) -> PublicKey {
    let mut key = [0; 32];
    rng.fill(&mut key);
    PublicKey(key)
}
