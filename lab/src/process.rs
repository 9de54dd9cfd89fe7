//! A QEMU process that ends with this one.
//!
//! Each QEMU is started and awaited by a thread of its own, through `setpriv --pdeathsig`: the
//! kernel kills it when the thread that started it ends. A thread that started QEMU and then ended
//! (such as one that boots machines side by side) would take it along. A thread that waits for QEMU
//! lives exactly as long as QEMU, or dies with the whole process, whatever ends that. No `unsafe`,
//! and no process is left behind by `kill -9`.

use anyhow::{Context, Result};
use shared_child::SharedChild;
use std::{
    ffi::OsStr,
    fs::File,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

/// A running program; dropping it kills it.
pub struct Process {
    child: Arc<SharedChild>,
    waiter: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts `program` in `folder`, with all its output in the file `log` there.
    pub fn start<S: AsRef<OsStr>>(
        program: &str,
        arguments: &[S],
        folder: &Path,
        log: &Path,
    ) -> Result<Self> {
        let log = File::create(log)?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", program])
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);

        let (report, started) = mpsc::channel();
        let waiter = thread::Builder::new().name(program.to_owned()).spawn(move || {
            let child = SharedChild::spawn(&mut command).map(Arc::new);
            let running = child.as_ref().ok().cloned();
            let _ = report.send(child);
            if let Some(child) = running {
                let _ = child.wait();
            }
        })?;
        let child = started.recv().context("the thread that starts QEMU died")?;
        let child = child.context("setpriv (of util-linux) does not start")?;
        Ok(Self { child, waiter: Some(waiter) })
    }

    /// Kills the process, as a power cut would, and waits until it has ended.
    pub fn kill(&self) {
        // The only error is that the process has ended already.
        let _ = self.child.kill();
        self.wait(Duration::from_secs(10));
    }

    /// Waits at most `limit` for the process to end, and returns its status; `None` if it is still
    /// running.
    pub fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        self.child.wait_timeout(limit).ok().flatten()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if let Some(waiter) = self.waiter.take() {
            let _ = waiter.join();
        }
    }
}
