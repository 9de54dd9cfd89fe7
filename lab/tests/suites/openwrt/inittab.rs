//! `postwired console take` and `give` in the tree of a router: its table of logins, and a login that runs.

use super::{Root, packages::agent};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{MetadataExt, symlink},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};
use xtask::openwrt::{self, recipes::RECIPES};

/// A table with every kind of line: logins on the kernel's console, on two serial ports and on a screen, one without a
/// terminal (procd starts none), and one that a person has disabled, without an end.
const TABLE: &str = "::sysinit:/etc/init.d/rcS S boot\n::shutdown:/etc/init.d/rcS K shutdown\n\
    ::askconsole:/usr/libexec/login.sh\nttyS0::askfirst:/usr/libexec/login.sh\n\
    ttyS1::askfirst:/usr/libexec/login.sh\ntty1::askfirst:/usr/libexec/login.sh\n\
    ::askfirst:/usr/libexec/login.sh\n#ttyS0::askfirst:/bin/ash --login";

/// The table with the lines that start like this taken.
fn taken(starts: &[&str]) -> String {
    let mark = |line: &str| match starts.iter().any(|start| line.starts_with(start)) {
        true => format!("#postwired# {line}"),
        false => line.to_owned(),
    };
    TABLE.split_inclusive('\n').map(mark).collect()
}

/// A running process called askfirst, which the root's `/proc` shows with a terminal of the router.
struct Login<'r> {
    root: &'r Root,
    process: Child,
}

impl<'r> Login<'r> {
    fn start(root: &'r Root) -> Result<Self> {
        root.program("sbin/askfirst", b"#!/bin/sh\necho started\nread line\n")?;
        let mut command = Command::new("chroot");
        command.arg(&root.0).arg("/sbin/askfirst").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut login = Self { root, process: command.spawn()? };
        let output = login.process.stdout.take().context("no output")?;
        BufReader::new(output).read_line(&mut String::new())?;
        let pid = login.process.id();
        let name = fs::read_to_string(format!("/proc/{pid}/comm"))?;
        ensure!(name == "askfirst\n", "the process is called {name}");
        root.file(&format!("proc/{pid}/comm"), &name)?;
        fs::create_dir_all(root.path(&format!("proc/{pid}/fd")))?;
        login.reads("/dev/ttyS0")?;
        Ok(login)
    }

    /// Its input is this terminal.
    fn reads(&self, terminal: &str) -> Result<()> {
        let input = self.root.path(&format!("proc/{}/fd/0", self.process.id()));
        let _ = fs::remove_file(&input);
        Ok(symlink(terminal, input)?)
    }

    fn is_stopped(&self) -> Result<bool> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let state = stat.rsplit(')').next().unwrap_or_default();
        Ok(state.trim_start().starts_with('T'))
    }

    /// Waits until it is stopped, or runs: a signal needs a moment.
    fn waits_until(&self, stopped: bool) -> Result<()> {
        for _ in 0..2_000 {
            if self.is_stopped()? == stopped {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        anyhow::bail!("askfirst should {}", if stopped { "be stopped" } else { "run" })
    }
}

impl Drop for Login<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a command of the console: the lines of the table that it changes, the processes that it tells, and the table
/// behind it. Without a change it is the same file.
fn says(root: &Root, command: &str, (lines, told): (u32, u32), table: &str) -> Result<()> {
    let path = root.path("etc/inittab");
    let before = fs::metadata(&path)?.ino();
    let said = root.sh(&format!("/usr/sbin/postwired console {command}"))?;
    let words = format!(": {lines} lines of /etc/inittab changed, {told} running logins told\n");
    ensure!(said.ends_with(&words), "{command}: {said}, and not `{words}`");
    let now = fs::read_to_string(&path)?;
    ensure!(now == table, "{command}: the table is\n{now}\nand not\n{table}");
    let same = fs::metadata(&path)?.ino() == before;
    ensure!(same == (lines == 0), "{command}: the file is another one, or still the same");
    ensure!(!root.path("etc/inittab.postwired").exists(), "{command}: a file is left");
    Ok(())
}

pub(super) fn taken_and_given() -> Result<String> {
    const SERIAL: [&str; 3] = ["::askconsole", "ttyS0", "ttyS1"];
    let mut agents = 0;
    for recipe in RECIPES {
        let Some(agent) = agent(recipe)? else { continue };
        agents += 1;
        let root = Root::new(&format!("inittab-{}", recipe.name))?;
        openwrt::unpack(&openwrt::ipk(recipe, "x86_64", Some(&agent))?.tree, &root.0)?;
        root.file("etc/inittab", TABLE)?;
        let login = Login::start(&root)?;
        login.waits_until(false)?;
        // The second one of each changes nothing.
        for lines in [3, 0] {
            says(&root, "take", (lines, 1), &taken(&SERIAL))?;
            login.waits_until(true)?;
        }
        for lines in [3, 0] {
            says(&root, "give", (lines, 1), TABLE)?;
            login.waits_until(false)?;
        }
        // One port; then the others too.
        says(&root, "take /dev/ttyS0", (2, 1), &taken(&SERIAL[..2]))?;
        login.waits_until(true)?;
        says(&root, "take", (1, 1), &taken(&SERIAL))?;
        says(&root, "give", (3, 1), TABLE)?;
        login.waits_until(false)?;
        // A link to the port is the port.
        fs::create_dir_all(root.path("dev/serial"))?;
        symlink("../ttyS0", root.path("dev/serial/console"))?;
        says(&root, "take /dev/serial/console", (2, 1), &taken(&SERIAL[..2]))?;
        login.waits_until(true)?;
        says(&root, "give", (2, 1), TABLE)?;
        login.waits_until(false)?;
        // A login elsewhere goes on.
        login.reads("/dev/tty1")?;
        says(&root, "take /dev/ttyS0", (2, 0), &taken(&SERIAL[..2]))?;
        ensure!(!login.is_stopped()?, "{}: the login of another terminal is stopped", recipe.name);
        says(&root, "give", (2, 1), TABLE)?;
    }
    Ok(format!("{agents} agents"))
}
