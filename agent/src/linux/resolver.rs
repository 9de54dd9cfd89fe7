//! Looking up a host name without waiting for it: the C library's resolver waits, so a copy of this process does
//! it, and tells what came of it through a pipe.

use core::fmt::Write;
use core::net::SocketAddr;

use heapless::String;
use postwired::store::hosts::AT_ONCE;
use postwired::wg::process::Process;
use proto_core::conf;
use proto_core::ip::{Shown, parse_endpoint};
use proto_core::netlink::Errno;
use proto_core::protocol::config::Host;
use rustix::event::epoll;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io;
use rustix::process::{
    Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal,
};

use crate::linux::machine::{again, errno};
use crate::linux::shell::Shell;
use crate::linux::sys;
use crate::serve::event_loop::watch;

/// How long a look-up may take, in milliseconds: the C library gives up after 10 s for each domain it tries.
const PATIENCE: u64 = 20_000;

/// A name that is being looked up.
struct Lookup {
    answer: OwnedFd,
    pid: i32,
    due: u64,
}

/// The names that are being looked up, by their numbers.
pub(crate) struct Lookups<'e> {
    events: BorrowedFd<'e>,
    /// What the epoll calls the first of them.
    first: u64,
    lookups: [Option<Lookup>; AT_ONCE],
}

impl<'e> Lookups<'e> {
    /// None yet. `events` hears of them as `first` and the numbers behind it.
    pub(crate) fn new(events: BorrowedFd<'e>, first: u64) -> Self {
        Self { events, first, lookups: [const { None }; AT_ONCE] }
    }

    /// Begins to look a name up. Whether it could.
    pub(crate) fn begin(&mut self, number: usize, host: &Host, now: u64) -> bool {
        let Some(place) = self.lookups.get_mut(number) else { return false };
        let Ok(lookup) = Lookup::begin(host, now) else { return false };
        let name = self.first.saturating_add(number as u64);
        let watched = watch(self.events, lookup.answer.as_fd(), name);
        *place = Some(lookup).filter(|_| watched.is_ok());
        place.is_some()
    }

    /// When the first of them has taken too long.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.lookups.iter().flatten().map(|lookup| lookup.due).min()
    }

    /// One that has taken too long.
    pub(crate) fn late(&self, now: u64) -> Option<usize> {
        let late = |lookup: &Option<Lookup>| lookup.as_ref().is_some_and(|l| now >= l.due);
        self.lookups.iter().position(late)
    }

    /// What came of one, which ends.
    pub(crate) fn finish(&mut self, number: usize, late: bool) -> Option<SocketAddr> {
        let lookup = self.lookups.get_mut(number)?.take()?;
        let _ = epoll::delete(self.events, &lookup.answer);
        if late && let Some(pid) = Pid::from_raw(lookup.pid) {
            // It is a child that nothing has waited for yet, so that the number is its own.
            let _ = kill_process(pid, Signal::KILL);
            return None;
        }
        lookup.read()
    }
}

impl Lookup {
    /// Begins to look a name up.
    #[inline(never)]
    fn begin(host: &Host, now: u64) -> Result<Self, Errno> {
        let flags = rustix::pipe::PipeFlags::CLOEXEC;
        let (answer, end) = rustix::pipe::pipe_with(flags).map_err(errno)?;
        let agent = getpid();
        let pid = sys::aside(&mut || {
            // Nothing of the agent's outlives the agent: neither its lock, nor its sockets, nor its tty.
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            if getppid() != Some(agent) {
                return;
            }
            sys::close_all_but(end.as_fd());
            let host = conf::Host::new(&host.name, host.port);
            if let Ok(address) = Shell.resolve(&host) {
                let mut text = String::<64>::new();
                // It fits, and nobody who reads is nobody to tell.
                let _ = write!(text.as_mut_view(), "{}", Shown(address));
                let _ = io::write(&end, text.as_bytes());
            }
        })?;
        Ok(Self { answer, pid, due: now.saturating_add(PATIENCE) })
    }

    /// What came of it, when there is something to read.
    #[inline(never)]
    fn read(&self) -> Option<SocketAddr> {
        let mut text = [0; 64];
        let mut len = 0_usize;
        // An address is written at once, and after it the other end is closed.
        while let Some(room) = text.get_mut(len..).filter(|room| !room.is_empty()) {
            match again(|| io::read(&self.answer, &mut *room)) {
                Ok(got) if got > 0 => len = len.saturating_add(got),
                _ => break,
            }
        }
        let text = core::str::from_utf8(text.get(..len)?).ok()?;
        parse_endpoint(text)
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        // It has said what it had to say, and ends.
        let _ = sys::wait(self.pid);
    }
}
