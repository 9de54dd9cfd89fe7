//! Moves bytes between the pty that the host tool opens and the socket behind a machine's serial
//! port, and applies the faults of the line.
//!
//! Toward the machine the pump waits, with few bytes in flight: a few kilobytes in the sockets, one
//! chunk here. Toward the host it waits too, because emulated ports are faster than real ones and a
//! slow client should lose nothing. But when the reader takes no byte for [`PATIENCE`], the pump
//! treats the line as unread and drops bytes as a real port would, so that a machine never hangs on
//! a line without a reader.

use super::faults::{Direction, FaultCounts, Faults, Noise, Noisy};
use anyhow::Result;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, read, write},
};
use std::{
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

const CHUNK: usize = 512;
const PATIENCE: Duration = Duration::from_secs(1);

/// State that the pump and its owner share.
pub(crate) struct Settings {
    to_guest: Way,
    to_host: Way,
    pub cut: bool,
    pub stop: bool,
}

struct Way {
    noisy: Noisy,
    /// Bytes to send unchanged, ahead of the next input.
    injected: Vec<u8>,
    /// Whether to drop the bytes in flight.
    discard: bool,
}

impl Way {
    fn new(noise: Noise, seed: u64) -> Self {
        Self { noisy: Noisy::new(noise, seed), injected: Vec::new(), discard: false }
    }
}

impl Settings {
    pub(crate) fn new() -> Self {
        let quiet = || Way::new(Noise::default(), 0);
        Self { to_guest: quiet(), to_host: quiet(), cut: false, stop: false }
    }

    /// Applies these faults from now on, with counters from zero.
    pub(crate) fn set_faults(&mut self, faults: Faults) {
        self.to_guest.noisy = Noisy::new(faults.to_guest, faults.seed);
        // The two directions of one seed must have different faults.
        self.to_host.noisy = Noisy::new(faults.to_host, !faults.seed);
    }

    pub(crate) fn counts(&self, direction: Direction) -> FaultCounts {
        match direction {
            Direction::ToGuest => self.to_guest.noisy.counts,
            Direction::ToHost => self.to_host.noisy.counts,
        }
    }

    pub(crate) fn inject(&mut self, direction: Direction, bytes: &[u8]) {
        self.way(direction).injected.extend(bytes);
    }

    pub(crate) fn discard(&mut self, direction: Direction) {
        self.way(direction).discard = true;
    }

    fn way(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::ToGuest => &mut self.to_guest,
            Direction::ToHost => &mut self.to_host,
        }
    }
}

/// The pump, which runs on a thread of its own until it is stopped or the machine is gone.
pub(crate) struct Pump {
    pub pty: OwnedFd,
    pub line: UnixStream,
    pub wake: OwnedFd,
    pub settings: Arc<Mutex<Settings>>,
}

impl Pump {
    pub(crate) fn run(self) -> Result<()> {
        let mut to_guest = Vec::new();
        let mut to_host = Vec::new();
        let mut progress = Instant::now();
        loop {
            {
                let mut settings = self.settings();
                if settings.stop {
                    return Ok(());
                }
                for (way, pending) in
                    [(Direction::ToGuest, &mut to_guest), (Direction::ToHost, &mut to_host)]
                {
                    let way = settings.way(way);
                    if std::mem::take(&mut way.discard) {
                        pending.clear();
                    }
                    pending.append(&mut way.injected);
                }
            }

            let [pty, line] = self.wait(!to_guest.is_empty(), !to_host.is_empty())?;
            let mut chunk = [0; CHUNK];
            if pty.contains(PollFlags::IN) && to_guest.is_empty() {
                let count = retry(read(&self.pty, &mut chunk))?;
                self.pass(Direction::ToGuest, &chunk[..count], &mut to_guest);
            }
            if line.contains(PollFlags::IN) && to_host.is_empty() {
                match read(&self.line, &mut chunk) {
                    Ok(0) | Err(Errno::CONNRESET) => return Ok(()),
                    result => {
                        let count = retry(result)?;
                        self.pass(Direction::ToHost, &chunk[..count], &mut to_host);
                    }
                }
            } else if line.intersects(PollFlags::HUP | PollFlags::ERR) {
                return Ok(());
            }
            if !to_guest.is_empty() {
                match write(&self.line, &to_guest) {
                    Err(Errno::PIPE | Errno::CONNRESET) => return Ok(()),
                    result => drop(to_guest.drain(..retry(result)?)),
                }
            }
            if to_host.is_empty() {
                progress = Instant::now();
                continue;
            }
            let count = retry(write(&self.pty, &to_host))?;
            to_host.drain(..count);
            if count > 0 {
                progress = Instant::now();
            } else if progress.elapsed() > PATIENCE {
                // `progress` is unchanged, so further bytes are dropped too, until the reader takes
                // one.
                self.settings().to_host.noisy.counts.swallowed += to_host.len() as u64;
                to_host.clear();
            }
        }
    }

    /// The events of the pty and of the line. A side is read only when no byte from it is pending.
    fn wait(&self, for_guest: bool, for_host: bool) -> Result<[PollFlags; 2]> {
        let interest = |full: bool, pending: bool| {
            let read = if full { PollFlags::empty() } else { PollFlags::IN };
            let write = if pending { PollFlags::OUT } else { PollFlags::empty() };
            read | write
        };
        let mut fds = [
            PollFd::new(&self.pty, interest(for_guest, for_host)),
            PollFd::new(&self.line, interest(for_host, for_guest)),
            PollFd::new(&self.wake, PollFlags::IN),
        ];
        // A reader that takes no bytes causes no event: check again.
        let again = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        match poll(&mut fds, for_host.then_some(&again)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = [fds[0].revents(), fds[1].revents()];
        if fds[2].revents().contains(PollFlags::IN) {
            let mut count = [0; 8];
            retry(read(self.wake.as_fd(), &mut count))?;
        }
        Ok(ready)
    }

    fn pass(&self, direction: Direction, bytes: &[u8], out: &mut Vec<u8>) {
        let mut settings = self.settings();
        let cut = settings.cut;
        let way = settings.way(direction);
        if cut {
            way.noisy.counts.swallowed += bytes.len() as u64;
        } else {
            way.noisy.pass(bytes, out);
        }
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of bytes moved; zero if the other side was not ready.
fn retry(result: Result<usize, Errno>) -> Result<usize, Errno> {
    match result {
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        result => result,
    }
}
