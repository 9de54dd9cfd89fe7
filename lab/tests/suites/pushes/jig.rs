//! The jig of `integrations/jig` against a router: an emulated microcontroller at the router's serial line.

use super::Bench;
use super::owners::begin;
use anyhow::{Context, Result, ensure};
use lab::routers::{Reach, identity};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use xtask::{
    build::{cargo, ensure_target, quietly, target_folder, workspace},
    packages::ensure_packages,
};

const TARGET: &str = "thumbv7m-none-eabi";
/// The private key of the jig.
const KEY: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
/// The data register of port F with all pins but the lamp's masked.
const LAMP: &str = "0x40025004";

pub(super) fn claims_and_configures(bench: &Bench<'_>) -> Result<String> {
    let (vm, anne) = (&bench.alice.vm, bench.alice.owner.other("anne")?);
    let jig = build(anne.key())?;
    begin(bench, None, "")?;
    let router = identity(vm, "--keep /tmp/owners")?;

    let unit = run(bench, &jig)?;
    let words: Vec<&str> = unit.line.split_whitespace().collect();
    let [_, _, _, _, key, _, _, wireguard] = words.as_slice() else {
        anyhow::bail!("the jig said: {}", unit.line);
    };
    ensure!(unit.line.starts_with("pass row 0 router ") && *key == router, "{}", unit.line);
    ensure!(unit.lamp == 1, "it passed, and the lamp is off");
    let shown = vm.sh("wg show wg0; ip -4 address show wg0; ip route")?.ok()?.text();
    for part in [*wireguard, "inet 10.77.0.2/24", "10.77.0.0/16 dev wg0", "192.0.2.1:51820"] {
        ensure!(shown.contains(part), "no {part} in\n{shown}");
    }
    anne.meets("alice", &router)?;
    let owners = bench.alice.postwire_by(&anne, &Reach::Serial, &["owners"])?.ok()?;
    ensure!(owners.text("/result/owners/0/public_key") == anne.key(), "{}", owners.json);
    ensure!(owners.json.pointer("/result/owners/1").is_none(), "the jig is still an owner");

    // A router that refuses: claimed, with nothing applied.
    begin(bench, None, "--interface 'vpn*'")?;
    let refused = run(bench, &jig)?;
    ensure!(refused.line.starts_with("fail row 0: push: "), "{}", refused.line);
    vm.sh("! ip link show wg0")?.ok().context("a unit that failed has wg0")?;
    // The router has an owner now.
    let silent = run(bench, &jig)?;
    ensure!(silent.line.starts_with("fail row 0: no unclaimed router: "), "{}", silent.line);
    Ok(format!("{}; {} KiB of flash", refused.line, flash(&jig)? / 1024))
}

/// The outcome of a unit.
struct Unit {
    /// The line on UART0.
    line: String,
    /// The lamp right after it.
    lamp: u8,
}

/// Builds the jig for an operator.
fn build(operator: &str) -> Result<PathBuf> {
    ensure_packages(&["qemu-system-arm"])?;
    ensure_target(TARGET)?;
    let target = workspace().join(target_folder()).join("jig");
    let mut command = cargo();
    command.current_dir(workspace().join("integrations/jig"));
    command.env("CARGO_TARGET_DIR", &target).env("JIG_KEY", KEY).env("JIG_OPERATOR", operator);
    quietly(command.args(["build", "--quiet", "--locked", "--release"]))?;
    Ok(target.join(TARGET).join("release/jig"))
}

/// Resets the jig at the router's serial line, and waits for the line of the unit.
fn run(bench: &Bench<'_>, jig: &Path) -> Result<Unit> {
    let serial = bench.alice.vm.serial();
    serial.discard()?;
    let socket = bench.alice.folder.join("jig.sock");
    let _ = fs::remove_file(&socket);
    // The limit is for a jig that hangs: it gives up by itself after 15 seconds without an answer.
    let mut command = Command::new("timeout");
    command.args(["300", "setpriv", "--pdeathsig", "KILL", "qemu-system-arm"]);
    command.args(["-machine", "lm3s6965evb", "-display", "none", "-kernel"]).arg(jig);
    command.arg("-monitor").arg(format!("unix:{},server=on,wait=off", socket.display()));
    command.args(["-serial", "stdio", "-serial", "chardev:router", "-chardev"]);
    command.arg(format!("serial,id=router,path={}", serial.path().display()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().context("starting qemu-system-arm")?;
    let mut line = String::new();
    let unit = (|| {
        let stdout = child.stdout.take().context("no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(!line.is_empty(), "the jig ended without a line");
        let line = line.trim_end().to_owned();
        Ok(Unit { line, lamp: lamp(&socket)? })
    })();
    let _ = child.kill();
    child.wait()?;
    unit
}

/// Asks QEMU for the state of the lamp.
fn lamp(socket: &Path) -> Result<u8> {
    let mut monitor = UnixStream::connect(socket).context("the monitor of QEMU")?;
    write!(monitor, "xp /1wx {LAMP}\nquit\n")?;
    let mut said = String::new();
    // QEMU quits in the middle of its last line.
    let _ = monitor.read_to_string(&mut said);
    let value = said.split(": 0x").nth(1).with_context(|| format!("QEMU said: {said}"))?;
    Ok(u8::from_str_radix(value.get(6..8).unwrap_or_default(), 16)?)
}

/// Number of bytes that are loaded into flash.
fn flash(jig: &Path) -> Result<u64> {
    use object::{Object, ObjectSegment};
    let file = fs::read(jig)?;
    let file = object::read::elf::ElfFile32::<object::Endianness>::parse(&*file)?;
    Ok(file.segments().map(|segment| segment.file_range().1).sum())
}
