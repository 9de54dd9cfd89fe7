//! The UDP places of the command line. Each is opened as soon as that is possible, and again when its interface was
//! made again. Not here: the socket itself (`wires`).
//!
//! While the router has neither an owner nor an unused label secret, no datagram can get an answer, so no socket is
//! opened.

use postwired::access::filter::Program;
use postwired::options::UdpPlace;
use proto_core::netlink::Errno;
use proto_core::protocol::frame::{MAX_SEALED, open};
use rustix::event::epoll;
use rustix::fd::{AsFd, BorrowedFd};

use crate::linux::log::{info, log};
use crate::linux::machine::errno;
use crate::linux::wires::{Udp, UdpOutlet, source};
use crate::serve::event_loop::{Agent, UDP, watch};

/// Milliseconds before a place that cannot be opened is tried again.
const AGAIN: u64 = 1_000;

/// One place.
struct Listener<'o> {
    place: &'o UdpPlace,
    socket: Option<Udp>,
    /// Why the place cannot be opened, as reported in the log.
    told: Option<Errno>,
}

/// All places.
pub(crate) struct Listeners<'o> {
    list: heapless::Vec<Listener<'o>, 4>,
    events: BorrowedFd<'o>,
    /// Time of the next attempt.
    due: u64,
    /// Whether the log has reported that UDP is closed until the router has an owner.
    closed: bool,
}

impl<'o> Listeners<'o> {
    pub(crate) fn new(places: &'o [UdpPlace], events: BorrowedFd<'o>) -> Self {
        let all = places.iter().map(|place| Listener { place, socket: None, told: None });
        Self { list: all.collect(), events, due: 0, closed: false }
    }

    fn misses_one(&self) -> bool {
        self.list.iter().any(|listener| listener.socket.is_none())
    }

    /// Time of the next timer.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.misses_one().then_some(self.due)
    }

    /// Handles a change of links, addresses or routes: closes sockets whose interface is gone, and
    /// opens missing ones.
    #[inline(never)]
    pub(crate) fn network_changed(&mut self) {
        self.due = 0;
        for listener in &mut self.list {
            if let Some(socket) = &listener.socket
                && socket.is_deaf(listener.place)
            {
                // Closing is not enough while another process shares the open file.
                let _ = epoll::delete(self.events, socket.as_fd());
                listener.socket = None;
            }
        }
    }

    /// Opens missing sockets, if an attempt is due.
    #[inline(never)]
    pub(crate) fn tick(&mut self, agent: &mut Agent<'_>, now: u64) {
        if now < self.due || !self.misses_one() {
            return;
        }
        self.due = now.saturating_add(AGAIN);
        agent.ownership_mut().refresh();
        let ownership = agent.ownership();
        if ownership.is_empty() && ownership.label().is_none() {
            if !core::mem::replace(&mut self.closed, true) {
                info(format_args!("UDP stays closed until the router has an owner"));
            }
            return;
        }
        for (listener, number) in self.list.iter_mut().zip(UDP..) {
            if listener.socket.is_some() {
                continue;
            }
            let place = listener.place;
            let opened = Udp::open(place).and_then(|socket| {
                watch(self.events, socket.as_fd(), number).map_err(errno)?;
                Ok(socket)
            });
            match opened {
                Ok(socket) => {
                    info(format_args!("listening on UDP {place}"));
                    (listener.socket, listener.told) = (Some(socket), None);
                    agent.sift_again();
                }
                Err(errno) if listener.told != Some(errno) => {
                    listener.told = Some(errno);
                    match errno {
                        Errno::ENODEV => log(format_args!(
                            "UDP {place}: there is no such interface; waiting for it"
                        )),
                        Errno::EADDRNOTAVAIL => {
                            log(format_args!(
                                "UDP {place}: the router does not have this address; waiting for it"
                            ));
                        }
                        errno => {
                            log(format_args!("cannot listen on UDP {place}: {errno}; trying again"))
                        }
                    }
                }
                Err(_) => {}
            }
        }
    }

    /// Sets the kernel's packet filter of all sockets.
    pub(crate) fn sift(&self, filter: Option<&Program>) {
        self.list
            .iter()
            .filter_map(|listener| listener.socket.as_ref())
            .for_each(|socket| socket.sift(filter));
    }

    /// Takes the datagrams that have arrived at a place.
    #[inline(never)]
    pub(crate) fn ready(&self, number: u64, agent: &mut Agent<'_>) {
        let place = usize::try_from(number.wrapping_sub(UDP)).ok();
        let Some(socket) = place.and_then(|at| self.list.get(at)?.socket.as_ref()) else { return };
        let mut buf = [0; MAX_SEALED];
        // As many as a window has; then the serial port gets its turn.
        for _ in 0..64 {
            match socket.receive(&mut buf) {
                Ok((len, sender)) => match open(buf.get(..len).unwrap_or_default()) {
                    Some(packet) => {
                        let source = source(&sender.address.0);
                        let mut outlet = UdpOutlet { socket, all: self, to: &sender };
                        agent.packet(packet, &source, &mut outlet);
                    }
                    None => agent.garbage(),
                },
                // Also an error caused by a client that is gone (ECONNREFUSED).
                Err(_) => break,
            }
        }
    }
}
