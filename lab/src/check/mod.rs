//! `cargo xtask lab-check`: checks the properties of the lab that tests rely on. A test that fails
//! after this has found a problem of Postwire and not of the lab.

mod death;
mod disk;
mod frames;
mod lines;
mod port;
mod scripts;
mod tunnel;

use crate::{Arch, Lab, Vm, Wire};
use anyhow::{Result, anyhow};
use fastrand::Rng;
use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

/// Boot two lab machines and check every facility of the lab
#[derive(clap::Args)]
pub struct Args {
    /// The processor of the machines
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Arch,
}

/// Two routers on one wire, and the lab for further machines.
struct Bench {
    lab: Lab,
    alice: Vm,
    bob: Vm,
}

/// A check returns its measurements in a few words.
type Check = fn(&Bench) -> Result<String>;

const CHECKS: &[(&str, Check)] = &[
    ("scripts keep every byte and status", scripts::round_trip),
    ("background programs delay no script", scripts::background),
    ("a script that hangs is killed", scripts::timeout),
    ("files go in and out", scripts::files),
    ("the serial line carries every byte", lines::serial),
    ("the serial line echoes", lines::serial_echo),
    ("the serial line has the requested faults", lines::serial_faults),
    ("the serial line can be cut", lines::serial_cut),
    ("a line without a reader blocks no writer", lines::serial_unread),
    ("UDP comes and goes", lines::udp),
    ("UDP through a bad network", lines::lossy_udp),
    ("frames from anywhere come and go", frames::anywhere),
    ("a disk keeps what was synced when the power is cut", disk::power_cut),
    ("strace sees netlink", tunnel::strace),
    ("a tunnel between two routers", tunnel::tunnel),
    ("a kernel panic is reported", death::panic),
    ("a start that fails is reported", death::failed_start),
    ("a cut of power is reported", death::power_cut),
];

impl Args {
    pub fn run(self) -> Result<ExitCode> {
        let lab = Lab::prepare(self.arch)?;
        let (alice, bob) = boot(&lab)?;
        println!("lab: booted {} in {}", alice.name(), seconds(alice.boot_time()));
        println!("lab: booted {} in {}", bob.name(), seconds(bob.boot_time()));
        let bench = Bench { lab, alice, bob };

        let mut failed = 0;
        for (name, check) in CHECKS {
            let started = Instant::now();
            match check(&bench) {
                Ok(detail) => println!("ok   {name}: {detail} ({})", seconds(started.elapsed())),
                Err(error) => {
                    failed += 1;
                    println!("FAIL {name}: {error:#}");
                }
            }
        }
        println!("{} passed, {failed} failed", CHECKS.len() - failed);
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Boots both side by side, because most of a boot is waiting for one processor.
fn boot(lab: &Lab) -> Result<(Vm, Vm)> {
    let wire = Wire::new()?;
    let router = |name, address| {
        let machine = lab.machine(name).with_wireguard_tools().with_strace().with_netcat();
        machine.wire(&wire, address)
    };
    let alice = router("alice", "192.0.2.1/24");
    let bob = router("bob", "192.0.2.2/24");
    thread::scope(|scope| {
        let alice = scope.spawn(|| alice.boot());
        let bob = bob.boot();
        let alice = alice.join().map_err(|_| anyhow!("the thread that boots alice died"))?;
        Ok((alice?, bob?))
    })
}

/// Bytes that are the same in each run.
fn random_bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
