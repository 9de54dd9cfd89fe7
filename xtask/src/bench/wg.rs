//! What `wg` costs, ours beside Debian's, on a real kernel.
//!
//! The machine counts instructions in place of time: its clock goes on by so many nanoseconds with
//! each one, so the CPU time that its kernel gives a process is a number of instructions, and it does
//! not matter what else this bench does. What is user and what is kernel the kernel finds out by
//! looking at every tick, so both are estimates; their sum is not.

use crate::{
    build,
    lab::{Arch, Lab, Vm},
    rng::Rng,
};
use anyhow::{Context, Result};
use proto_core::key::PublicKey;
use std::{
    fmt::Write,
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

const SCRIPT: &str = include_str!("wg.sh");
/// How many peers, and how often a command is run with them.
const SIZES: [(u32, u32); 3] = [(10, 100), (1_000, 10), (10_000, 2)];
const LIMIT: Duration = Duration::from_secs(3_600);

/// What a command costs.
struct Cost {
    command: String,
    /// In millions.
    user: f64,
    all: f64,
    memory: f64,
    calls: f64,
}

pub(super) fn run() -> Result<()> {
    let lab = Lab::prepare(Arch::X86_64)?;
    let agent = fs::read(build::agent(lab.arch())?)?;
    let machine = lab.machine("wg-bench").with_wireguard_tools().with_strace();
    let machine = machine.file("/opt/ours/wg", 0o755, agent).file("/opt/wg.sh", 0o644, SCRIPT);
    let vm = machine.counting_instructions().boot()?;
    vm.sh("mkdir /opt/debian && ln -s /usr/bin/wg /opt/debian/wg")?.ok()?;
    let about = vm.sh("wg --version | cut -d ' ' -f 1,2; uname -sr")?.ok()?.text();
    println!(
        "wg: ours (static, for size) beside Debian's as packaged (dynamic, for speed); {}",
        about.replace('\n', ", ")
    );
    println!(
        "instructions are in millions, and memory is KiB resident at the most; / is ours by theirs"
    );
    println!(
        "{:<18}{:>24}{:>24}{:>22}{:>20}",
        "", "instructions, user", "user and kernel", "memory", "system calls"
    );
    for (peers, runs) in SIZES {
        let debian = costs(&vm, "debian", peers, runs)?;
        let ours = costs(&vm, "ours", peers, runs)?;
        for (debian, ours) in debian.iter().zip(&ours) {
            println!("{}", line(peers, debian, ours));
        }
    }
    Ok(())
}

fn line(peers: u32, debian: &Cost, ours: &Cost) -> String {
    let mut text = format!("{:<10}{peers:>7} ", ours.command);
    let columns = [
        (debian.user, ours.user, 24, 2),
        (debian.all, ours.all, 24, 2),
        (debian.memory, ours.memory, 22, 0),
        (debian.calls, ours.calls, 20, 0),
    ];
    for (debian, ours, width, digits) in columns {
        let both = format!("{debian:.digits$} {ours:.digits$} /{:.2}", ours / debian);
        let _ = write!(text, "{both:>width$}");
    }
    text
}

/// What the commands cost on one side.
fn costs(vm: &Vm, side: &str, peers: u32, runs: u32) -> Result<Vec<Cost>> {
    let folder = format!("/tmp/bench-{side}-{peers}");
    vm.put(&format!("{folder}/base"), 0o600, config(peers, 25).as_bytes())?;
    vm.put(&format!("{folder}/changed"), 0o600, config(peers, 26).as_bytes())?;
    // A namespace of its own, whose interface goes with it.
    let script = format!(
        "cd {folder} && ip link add wg0 type wireguard && sh /opt/wg.sh /opt/{side}/wg {runs} && \
         wg setconf wg0 /dev/null && ip link delete wg0"
    );
    let printed = vm.sh_with(&script, b"", LIMIT)?.ok()?.text();
    let cost = |line: &str| -> Option<Cost> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [command, user, kernel, memory, calls] = words[..] else { return None };
        let millions = |time| Some(millions(time)? / f64::from(runs));
        let user = millions(user)?;
        Some(Cost {
            command: command.to_owned(),
            user,
            all: user + millions(kernel)?,
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
    Some(seconds * 1e9 / f64::from(crate::lab::NANOSECONDS_PER_INSTRUCTION) / 1e6)
}

/// A file with so many peers, and this keepalive for the one in the middle. It has no private key:
/// with one, the kernel does some curve arithmetic for each peer it is given, which is the same for
/// both and a hundred times what there is to compare.
fn config(peers: u32, keepalive: u16) -> String {
    let mut rng = Rng::new(1);
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
    key.copy_from_slice(&rng.bytes(32));
    PublicKey(key)
}
