//! Looking up a host name without waiting for it: the C library's resolver waits, so a copy of this process does
//! it, and tells what came of it through a pipe.

use core::fmt::Write;
use core::net::SocketAddr;

use heapless::String;
use postwired::wg::process::Process;
use proto_core::conf;
use proto_core::ip::{Shown, parse_endpoint};
use proto_core::netlink::Errno;
use proto_core::protocol::config::Host;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io;
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

use crate::linux::{again, errno};
use crate::shell::Shell;
use crate::sys;

/// A name that is being looked up.
pub(crate) struct Lookup {
    answer: OwnedFd,
    pid: i32,
}

impl Lookup {
    /// Begins to look a name up.
    #[inline(never)]
    pub(crate) fn begin(host: &Host) -> Result<Self, Errno> {
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
        Ok(Self { answer, pid })
    }

    /// What came of it, when there is something to read.
    #[inline(never)]
    pub(crate) fn finish(self) -> Option<SocketAddr> {
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

impl AsFd for Lookup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.answer.as_fd()
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        // It has said what it had to say, and ends.
        let _ = sys::wait(self.pid);
    }
}
