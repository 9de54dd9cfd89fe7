//! A running machine.

use super::{
    control::{Control, Output, excerpt},
    evidence::evidence,
    process::Process,
    serial::SerialLine,
};
use anyhow::{Result, anyhow, bail, ensure};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Emulation is slow, and the bench may be busy.
const BOOT_LIMIT: Duration = Duration::from_secs(400);
const SCRIPT_LIMIT: Duration = Duration::from_secs(300);

/// A running machine; dropping it cuts its power.
pub struct Vm {
    name: String,
    folder: PathBuf,
    boot_time: Duration,
    udp_port: u16,
    control: Mutex<Control>,
    // Dropped in this order: the machine before the line that is connected to it.
    process: Process,
    serial: SerialLine,
}

impl Vm {
    /// Connects to a QEMU that was just started in `folder`.
    pub fn attach(name: &str, folder: PathBuf, process: Process, udp_port: u16) -> Result<Self> {
        let started = Instant::now();
        let control = connect(&folder, "control.sock", &process)?;
        let line = connect(&folder, "line.sock", &process)?;
        let mut vm = Self {
            name: name.to_owned(),
            boot_time: Duration::ZERO,
            udp_port,
            control: Mutex::new(Control::new(control)),
            serial: SerialLine::new(line)?,
            process,
            folder,
        };
        let control = vm.control.get_mut().unwrap_or_else(PoisonError::into_inner);
        match control.ready(BOOT_LIMIT) {
            Ok(true) => {}
            Ok(false) => {
                return Err(vm.explain(&anyhow!("not ready after {} s", BOOT_LIMIT.as_secs())));
            }
            Err(error) => return Err(vm.explain(&error)),
        }
        vm.boot_time = started.elapsed();
        // Already loaded, and the largest file of a run.
        fs::remove_file(vm.folder.join("init.cpio"))?;
        Ok(vm)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Time from the start of QEMU until the machine was ready.
    pub fn boot_time(&self) -> Duration {
        self.boot_time
    }

    /// Runs a shell script. An error means that it could not be run to its end; a script that fails
    /// returns an [`Output`] with a status other than 0.
    ///
    /// To leave a program running: `setsid prog >/tmp/log 2>&1 </dev/null &`.
    pub fn sh(&self, script: &str) -> Result<Output> {
        self.sh_with(script, b"", SCRIPT_LIMIT)
    }

    /// Runs a shell script with `input` as its standard input, and kills it after `limit`, rounded
    /// down to seconds. Scripts run one at a time: other threads wait.
    pub fn sh_with(&self, script: &str, input: &[u8], limit: Duration) -> Result<Output> {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        control.run(script, input, limit).map_err(|error| {
            // If the machine has stopped, report that, and not the script.
            if self.process.wait(Duration::from_millis(300)).is_some() {
                self.explain(&error.context(format!("while it ran `{}`", excerpt(script))))
            } else {
                error.context(format!("machine `{}`", self.name))
            }
        })
    }

    /// Writes a file atomically.
    pub fn put(&self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        let path = quote(path);
        let script = format!(
            "mkdir -p \"$(dirname {path})\" && cat >{path}.new && chmod {mode:o} {path}.new && \
             mv {path}.new {path}"
        );
        self.sh_with(&script, bytes, SCRIPT_LIMIT)?.ok()?;
        Ok(())
    }

    /// Reads a file.
    pub fn get(&self, path: &str) -> Result<Vec<u8>> {
        Ok(self.sh(&format!("cat {}", quote(path)))?.ok()?.stdout)
    }

    /// The serial line under test, on the bench ...
    pub fn serial(&self) -> &SerialLine {
        &self.serial
    }

    /// ... and its name inside the machine.
    pub fn serial_device(&self) -> &'static str {
        "/dev/postwire-serial"
    }

    /// Sends a break over the line under test, which a socket cannot carry: the emulated port receives it.
    pub fn send_break(&self) -> Result<()> {
        let mut monitor = BufReader::new(connect(&self.folder, "qmp.sock", &self.process)?);
        let mut said = String::new();
        monitor.read_line(&mut said)?;
        let send = r#"{"execute":"chardev-send-break","arguments":{"id":"line"}}"#;
        for command in [r#"{"execute":"qmp_capabilities"}"#, send] {
            monitor.get_mut().write_all(format!("{command}\n").as_bytes())?;
            said.clear();
            // Events may come before the answer.
            while !said.starts_with(r#"{"return""#) {
                said.clear();
                ensure!(monitor.read_line(&mut said)? > 0, "the monitor of QEMU is gone");
                ensure!(!said.starts_with(r#"{"error""#), "{command}: {said}");
            }
        }
        Ok(())
    }

    /// The port on 127.0.0.1 that leads to the agent's UDP port.
    pub fn udp_port(&self) -> u16 {
        self.udp_port
    }

    /// The output of the machine's console, even if the machine has stopped.
    pub fn console(&self) -> String {
        let printed = fs::read(self.folder.join("console.log")).unwrap_or_default();
        String::from_utf8_lossy(&printed).into_owned()
    }

    /// Whether the machine stops within `limit`; a machine that reboots stops.
    pub fn has_stopped(&self, limit: Duration) -> bool {
        self.process.wait(limit).is_some()
    }

    /// Cuts the power immediately.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Adds the state of the machine and the end of its console to an error.
    fn explain(&self, error: &anyhow::Error) -> anyhow::Error {
        let state = match self.process.wait(Duration::from_millis(300)) {
            Some(status) => format!("stopped (QEMU: {status})"),
            None => "is stuck".to_owned(),
        };
        anyhow!("machine `{}` {state}: {error:#}\n{}", self.name, evidence(&self.folder))
    }
}

/// Connects to a socket that QEMU creates while it starts.
fn connect(folder: &Path, socket: &str, process: &Process) -> Result<UnixStream> {
    // A socket path has at most 107 bytes, and a target directory can be deeper than that.
    let directory = fs::File::open(folder)?;
    let path = format!("/proc/self/fd/{}/{socket}", directory.as_raw_fd());
    for _ in 0..500 {
        if let Ok(stream) = UnixStream::connect(&path) {
            return Ok(stream);
        }
        if let Some(status) = process.wait(Duration::from_millis(20)) {
            bail!("QEMU ended at once ({status})\n{}", evidence(folder));
        }
    }
    bail!("QEMU did not open {socket}\n{}", evidence(folder))
}

/// Quotes any text as a word of a shell script.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
