//! Host names looked up with sockets of this machine: beside the loop for `serve`, and while `wg`
//! waits. `postwired::names` decides what to query, from which server, and how often.

use core::ffi::CStr;
use core::net::{IpAddr, SocketAddr};

use postwired::names::files::Machine;
use postwired::names::lookup::{Found, Lookup, NoAddress, Step, choose};
use postwired::names::message::REPLY;
use postwired::store::hosts::AT_ONCE;
use postwired::system::Machine as _;
use proto_core::protocol::config::Host;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, getsockname, netdevice,
    recv, send, socket_with,
};
use rustix::rand::GetRandomFlags;

use crate::linux::machine::{Linux, again, random, timespec};
use crate::linux::sys;
use crate::serve::event_loop::watch;

/// The files and interfaces of this machine.
pub(crate) struct Local;

impl Machine for Local {
    fn read(&self, path: &CStr, take: &mut dyn FnMut(&[u8])) {
        // Opening a pipe in place of the file would wait.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::open(path, flags, Mode::empty()) else { return };
        let mut buf = [0; 512];
        while let Ok(got @ 1..) = again(|| io::read(&file, &mut buf)) {
            take(buf.get(..got).unwrap_or_default());
        }
    }

    fn interface(&self, name: &str) -> u32 {
        let any = socket_with(AddressFamily::INET6, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
        any.and_then(|any| netdevice::name_to_index(any, name)).unwrap_or(0)
    }
}

/// A UDP socket with a port of its own, which receives only from this address.
#[inline(never)]
fn connected(to: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
    connect(&socket, to)?;
    Ok(socket)
}

/// The address that a datagram for this address would be sent from.
fn source(to: &SocketAddr) -> Option<IpAddr> {
    // Nothing is sent, so the port does not matter.
    let mut to = *to;
    to.set_port(65_535);
    let socket = connected(&to).ok()?;
    SocketAddr::try_from(getsockname(&socket).ok()?).ok().map(|from| from.ip())
}

/// A look-up with its socket.
struct Running {
    lookup: Lookup,
    socket: Option<(SocketAddr, OwnedFd)>,
    /// Whether epoll watches the socket.
    watched: bool,
}

impl Running {
    fn new(name: &str) -> Self {
        Self { lookup: Lookup::new(&Local, name), socket: None, watched: false }
    }

    /// Takes the next step. Returns the milliseconds to wait, or the result of the look-up.
    #[inline(never)]
    fn step(&mut self, wait: bool) -> Result<u64, Result<Found, NoAddress>> {
        let mut ids = [0; 4];
        let flags = if wait { GetRandomFlags::empty() } else { GetRandomFlags::NONBLOCK };
        // Early after power on the kernel may have no random numbers, and predictable ids are not
        // safe.
        let unknown = random(&mut ids, flags).is_err();
        loop {
            match self.lookup.step(Linux.now(), u32::from_ne_bytes(ids)) {
                Step::Ask(_) if unknown => return Err(Err(NoAddress::Silent)),
                Step::Ask(server) => match self.ask(&server) {
                    Ok(socket) => (self.socket, self.watched) = (Some((server, socket)), false),
                    Err(_) => {
                        // An id is never used twice: the next server is queried from another port.
                        self.socket = None;
                        self.lookup.unreachable();
                    }
                },
                Step::Wait(until) => return Ok(until),
                Step::End(end) => return Err(end),
            }
        }
    }

    fn ask(&self, server: &SocketAddr) -> io::Result<OwnedFd> {
        let socket = connected(server)?;
        for query in self.lookup.queries().iter().flatten() {
            send(&socket, query.as_bytes(), SendFlags::empty())?;
        }
        Ok(socket)
    }

    /// Takes the pending datagrams.
    #[inline(never)]
    fn receive(&mut self) {
        let Some((server, socket)) = &self.socket else { return };
        let mut reply = [0; REPLY];
        // A flood must not keep the loop here.
        for _ in 0..8 {
            match recv(socket, &mut reply, RecvFlags::empty()) {
                Ok((len, _)) => {
                    let reply = reply.get(..len).unwrap_or_default();
                    self.lookup.receive(Linux.now(), server, reply);
                }
                Err(io::Errno::AGAIN | io::Errno::INTR) => return,
                // No program listens there (ECONNREFUSED), or there is no route.
                Err(_) => return self.lookup.unreachable(),
            }
        }
    }
}

/// Looks up a name, and waits for the result. `Err(None)` if a signal arrived.
pub(crate) fn resolve(name: &str) -> Result<SocketAddr, Option<NoAddress>> {
    let mut running = Running::new(name);
    loop {
        match running.step(true) {
            Ok(until) => {
                let time = timespec(until.saturating_sub(Linux.now()));
                if let Some((_, socket)) = &running.socket {
                    let _ = poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&time));
                }
                if sys::held_signal() != 0 {
                    return Err(None);
                }
                running.receive();
            }
            Err(Ok(found)) => return choose(found, &source).ok_or(Some(NoAddress::Denied)),
            Err(Err(why)) => return Err(Some(why)),
        }
    }
}

/// The look-ups beside the loop, by their numbers.
pub(crate) struct Lookups<'e> {
    events: BorrowedFd<'e>,
    /// The first number of a look-up in epoll.
    first: u64,
    lookups: [Option<(Running, u16)>; AT_ONCE],
}

impl<'e> Lookups<'e> {
    /// No look-ups yet. Their sockets are watched in `events` as `first` and the numbers after it.
    pub(crate) fn new(events: BorrowedFd<'e>, first: u64) -> Self {
        Self { events, first, lookups: [const { None }; AT_ONCE] }
    }

    /// Starts to look up a name.
    pub(crate) fn begin(&mut self, number: usize, host: &Host) {
        if let Some(place) = self.lookups.get_mut(number) {
            *place = Some((Running::new(&host.name), host.port));
        }
    }

    /// Handles a readable socket of a look-up.
    pub(crate) fn ready(&mut self, number: usize) {
        if let Some(Some((running, _))) = self.lookups.get_mut(number) {
            running.receive();
        }
    }

    /// Advances all look-ups, and passes the results of finished ones to `found`. Returns the time
    /// of the next call.
    #[inline(never)]
    pub(crate) fn tick(&mut self, found: &mut dyn FnMut(usize, Option<SocketAddr>)) -> Option<u64> {
        let mut due = None;
        for (number, place) in self.lookups.iter_mut().enumerate() {
            let Some((running, port)) = place else { continue };
            let port = *port;
            match running.step(false) {
                Ok(until) => {
                    due = postwired::system::sooner(due, Some(until));
                    if let Some((_, socket)) = &running.socket
                        && !running.watched
                    {
                        running.watched = true;
                        let name = self.first.saturating_add(number as u64);
                        // Without epoll, the reply is missed, as from a silent server.
                        let _ = watch(self.events, socket.as_fd(), name);
                    }
                }
                Err(end) => {
                    *place = None;
                    let mut address = end.ok().and_then(|found| choose(found, &source));
                    if let Some(address) = &mut address {
                        address.set_port(port);
                    }
                    found(number, address);
                }
            }
        }
        due
    }
}
