//! A QEMU process that ends with this one.
//!
//! Each QEMU is started and awaited by a thread of its own, through `setpriv --pdeathsig`: the
//! kernel kills it when the thread that started it ends. A thread that started QEMU and then ended
//! (such as one that boots machines side by side) would take it along. A thread that waits for QEMU
//! lives exactly as long as QEMU, or dies with the whole process, whatever ends that. No `unsafe`,
//! and no process is left behind by `kill -9`.

use anyhow::{Context, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::{
    ffi::OsStr,
    fs::File,
    os::fd::OwnedFd,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

/// The exit status of a process, once it has ended.
#[derive(Default)]
struct End {
    status: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

/// A running program; dropping it kills it.
pub struct Process {
    // A pidfd cannot refer to another process that got the number later.
    pidfd: OwnedFd,
    end: Arc<End>,
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

        let end = Arc::new(End::default());
        let (report, started) = mpsc::channel();
        let waiter = thread::Builder::new().name(program.to_owned()).spawn({
            let end = Arc::clone(&end);
            move || supervise(command, &report, &end)
        })?;
        let pidfd = started.recv().context("the thread that starts QEMU died")??;
        Ok(Self { pidfd, end, waiter: Some(waiter) })
    }

    /// Kills the process, as a power cut would, and waits until it has ended.
    pub fn kill(&self) {
        // The only error is that the process has ended already.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        self.wait(Duration::from_secs(10));
    }

    /// Waits at most `limit` for the process to end, and returns its status; `None` if it is still
    /// running.
    pub fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        let status = self.end.status.lock().unwrap_or_else(PoisonError::into_inner);
        *self
            .end
            .changed
            .wait_timeout_while(status, limit, |status| status.is_none())
            .unwrap_or_else(PoisonError::into_inner)
            .0
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

fn supervise(mut command: Command, report: &mpsc::Sender<Result<OwnedFd>>, end: &End) {
    let started = command.spawn().context("setpriv (of util-linux) does not start");
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            let _ = report.send(Err(error));
            return;
        }
    };
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
    if pidfd.is_err() {
        let _ = child.kill();
    }
    let _ = report.send(pidfd.context("pidfd_open"));
    let status = child.wait().ok();
    *end.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    end.changed.notify_all();
}
