//! The serial line between the bench and a machine: a pty that `postwire --serial` opens like
//! any port, and a pump behind it.
//!
//! As on real hardware, bytes are lost while no program in the machine has the port open, and bytes
//! that the machine sent before the host opened it may still be waiting ([`SerialLine::discard`]).

use super::{
    faults::{Direction, FaultCounts, Faults},
    pump::{Pump, Settings},
};
use anyhow::{Context, Result};
use rustix::{
    event::{EventfdFlags, eventfd},
    fs::{Mode, OFlags},
    io::write,
    net::sockopt::set_socket_send_buffer_size,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr},
};
use std::{
    ffi::OsString,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStringExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

/// Size of the socket buffer toward the machine. The kernel counts its own overhead too, so this is
/// about four kilobytes of data.
const IN_FLIGHT: usize = 4096;

/// A machine's serial line, seen from the bench.
pub struct SerialLine {
    path: PathBuf,
    /// Kept open so that the pump sees no error when a client closes the port.
    slave: OwnedFd,
    settings: Arc<Mutex<Settings>>,
    wake: OwnedFd,
    pump: Option<JoinHandle<()>>,
}

impl SerialLine {
    /// Puts a pty in front of `line`.
    pub fn new(line: UnixStream) -> Result<Self> {
        line.set_nonblocking(true)?;
        set_socket_send_buffer_size(&line, IN_FLIGHT)?;
        let pty = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .context("opening a pty")?;
        grantpt(&pty)?;
        unlockpt(&pty)?;
        rustix::io::ioctl_fionbio(&pty, true)?;
        let path = PathBuf::from(OsString::from_vec(ptsname(&pty, Vec::new())?.into_bytes()));
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(&path, flags, Mode::empty())
            .with_context(|| format!("opening {}", path.display()))?;
        let mut mode = tcgetattr(&slave)?;
        mode.make_raw();
        mode.set_speed(115_200)?;
        tcsetattr(&slave, OptionalActions::Now, &mode)?;

        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let settings = Arc::new(Mutex::new(Settings::new()));
        let pump = Pump { pty, line, wake: wake.try_clone()?, settings: Arc::clone(&settings) };
        let pump = thread::Builder::new().name("serial".to_owned()).spawn(move || {
            if let Err(error) = pump.run() {
                eprintln!("lab: a serial line stopped: {error:#}");
            }
        })?;
        Ok(Self { path, slave, settings, wake, pump: Some(pump) })
    }

    /// The port to open: `/dev/pts/N`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Applies these faults from now on, with counters from zero.
    pub fn set_faults(&self, faults: Faults) {
        self.settings().set_faults(faults);
    }

    /// Cuts the cable, or reconnects it: a cut line drops all bytes in both directions.
    pub fn cut(&self, cut: bool) {
        self.settings().cut = cut;
    }

    /// Inserts `bytes` into the line now, like a kernel that prints to its console.
    pub fn inject(&self, direction: Direction, bytes: &[u8]) {
        self.settings().inject(direction, bytes);
        self.wake();
    }

    /// Drops bytes that the machine sent and no client has read.
    pub fn discard(&self) -> Result<()> {
        self.settings().discard(Direction::ToHost);
        self.wake();
        tcflush(&self.slave, QueueSelector::IFlush)?;
        Ok(())
    }

    /// The bytes and faults of one direction so far.
    pub fn counts(&self, direction: Direction) -> FaultCounts {
        self.settings().counts(direction)
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // The write fails only if the pump has not read earlier ones, and then it is awake.
        let _ = write(&self.wake, &1u64.to_ne_bytes());
    }
}

impl Drop for SerialLine {
    fn drop(&mut self) {
        self.settings().stop = true;
        self.wake();
        if let Some(pump) = self.pump.take() {
            let _ = pump.join();
        }
    }
}
