//! A QEMU process that cannot outlive us.
//!
//! Each QEMU is started, and waited for, by a thread of its own, through `setpriv --pdeathsig`:
//! the kernel kills it when the thread that started it is gone. A thread that started it and
//! then went on (say, one that boots machines side by side) would take it along when it ends;
//! a thread that waits for it lives exactly as long as it does, or dies with the whole process,
//! whatever ends that. No `unsafe`, no process left behind by `kill -9`.

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

/// How a process ended, once it has.
#[derive(Default)]
struct End {
    status: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

/// A running program; dropping it kills it.
pub struct Process {
    // A pidfd cannot hit another process that got the number later.
    pidfd: OwnedFd,
    end: Arc<End>,
    waiter: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts `program` in `folder`, with everything it says in the file `log` there.
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

    /// Ends it now, as a cut of power would. It has ended when this returns.
    pub fn kill(&self) {
        // The only error is that it has ended already.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        self.wait(Duration::from_secs(10));
    }

    /// How it ended, if it does so within `limit`.
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
