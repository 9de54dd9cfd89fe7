//! The errors that a user sees when a machine dies.

use super::{Bench, seconds};
use anyhow::{Result, bail, ensure};
use std::time::{Duration, Instant};

/// Checks that the text of the error contains all `parts`.
fn explains<T>(result: Result<T>, parts: &[&str]) -> Result<()> {
    let Err(error) = result else { bail!("no error") };
    let text = format!("{error:#}");
    for part in parts {
        ensure!(text.contains(part), "the error does not say {part:?}:\n{text}");
    }
    Ok(())
}

pub(super) fn panic(bench: &Bench) -> Result<String> {
    let vm = bench.lab.machine("carol").boot()?;
    let script = "echo 'lab-check was here' >/dev/kmsg; echo c >/proc/sysrq-trigger; sleep 60";
    let started = Instant::now();
    explains(vm.sh(script), &["machine `carol` stopped", "Kernel panic", "while it ran `echo"])?;
    let took = started.elapsed();
    ensure!(took < Duration::from_secs(20), "after {}", seconds(took));
    Ok(format!("after {}", seconds(took)))
}

pub(super) fn failed_start(bench: &Bench) -> Result<String> {
    let machine = bench.lab.machine("dora").file("/etc/lab/modules", 0o644, "imaginary\n");
    explains(
        machine.boot(),
        &["machine `dora` does not start", "the module imaginary does not load", "Kernel panic"],
    )?;
    let machine = bench.lab.machine("erin").module("imaginary");
    explains(machine.boot(), &["no module named imaginary"])?;
    Ok("with the end of its console".to_owned())
}

pub(super) fn power_cut(bench: &Bench) -> Result<String> {
    let machine = bench.lab.machine("frank").file("/etc/greeting", 0o644, "hello");
    let vm = machine.boot()?;
    vm.kill();
    explains(vm.sh("true"), &["machine `frank` stopped", "signal: 9"])?;
    drop(vm);
    // The same description boots again.
    let vm = machine.boot()?;
    ensure!(vm.get("/etc/greeting")? == b"hello", "after the second start");
    Ok(format!("and it boots again, in {}", seconds(vm.boot_time())))
}
