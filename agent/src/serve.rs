//! The loop: one thread waits for the serial port and the UDP socket, and hands what arrives to the
//! service. A serial port that goes away is opened again when it is back.

use core::fmt;

use postwired::commit::Committer;
use postwired::door::{Door, Source};
use postwired::fault::Slot;
use postwired::identity;
use postwired::kernel::{Buffers, Kernel, SET};
use postwired::options::{Options, SerialPort};
use postwired::owners::Ownership;
use postwired::service::Service;
use postwired::system::{Machine, sooner};
use proto_core::ip::Shown;
use proto_core::netlink::Errno;
use proto_core::protocol::frame::{Deframer, MAX_SEALED, Received, open};
use proto_core::protocol::session::{LabelKey, fingerprint};
use rustix::event::{Timespec, epoll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io;
use zeroize::Zeroize;

use crate::linux::{Dir, Linux, Netlink, errno, read_secret};
use crate::log::log;
use crate::resolver::Lookup;
use crate::sys;
use crate::wires::{Serial, SerialOutlet, Udp, UdpOutlet, source};

/// How long a frame may stay open without a byte, in milliseconds.
const FRAME_PATIENCE: u64 = 1_000;
/// How long to wait before a serial port that is gone is tried again, in milliseconds.
const REOPEN: u64 = 1_000;

const SERIAL: u64 = 1;
const UDP: u64 = 2;
const LOOKUP: u64 = 3;

/// Says why the agent cannot go on, and ends it.
#[cold]
#[inline(never)]
fn stop(what: &str, of: &dyn fmt::Display, why: &dyn fmt::Display) -> ! {
    log(format_args!("{what}{of}: {why}"));
    sys::exit(1)
}

type Agent<'b> = Door<'b, Netlink, Dir, Linux>;

/// A serial port that may be gone for a while.
struct Line<'o> {
    port: SerialPort<'o>,
    open: Option<Serial>,
    deframer: Deframer,
    /// When the last byte came, or when the port went away.
    since: u64,
    /// Whether a frame is open.
    framed: bool,
}

/// Serves until something breaks that cannot be mended by waiting.
pub(crate) fn serve(options: Options<'_>) -> ! {
    let no_netlink = |errno| -> Netlink { stop("cannot open a netlink socket", &"", &errno) };
    let route = Netlink::route().unwrap_or_else(no_netlink);
    let generic = Netlink::generic().unwrap_or_else(no_netlink);
    let (mut keep, mut state) = (open_dir(options.keep), open_dir(options.state));
    // Two agents would take each other's changes back. The lock ends with the process, however it ends.
    let alone = open_dir(options.state);
    if alone.own(false).is_err() {
        log(format_args!("another agent works in {}; waiting for it to end", options.state));
        if let Err(errno) = alone.own(true) {
            no_dir(options.state, errno);
        }
    }
    let (files, own) = state.scratch().unwrap_or_else(|errno| no_dir(options.state, errno));
    let label = options.label_secret.map(label);
    let identity = identity::load(&mut keep, &Linux);
    let identity = identity.unwrap_or_else(|error| stop(options.keep, &"", &error));
    let ownership = Ownership::load(&mut keep, &mut state, label);
    let ownership = ownership.unwrap_or_else(|error| stop(options.keep, &"", &error));
    let mut buffers = Buffers::default();
    let mut set = [0; SET];
    let slot = Slot::default();
    let kernel = Kernel::new(route, generic, &slot, &mut buffers);
    // The owners have these folders too.
    let folders = (open_dir(options.keep), open_dir(options.state));
    let committer = Committer::new(kernel, files, Linux, &mut set, folders);
    let service = committer
        .and_then(|committer| Service::new(committer, own, options.policy))
        .unwrap_or_else(|_| stop("there are no random numbers", &"", &""));
    let shown = fingerprint(&identity.public());
    match ownership.len() {
        0 => log(format_args!("this router is {shown}; nobody owns it yet")),
        owners => log(format_args!("this router is {shown}; owners: {owners}")),
    }
    let mut agent = Door::new(service, ownership, identity);
    agent.start();

    let events = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap_or_else(|error| no_epoll(error));
    let events = events.as_fd();
    let mut line = options.serial.map(|port| {
        let serial =
            Serial::open(&port).unwrap_or_else(|errno| stop("cannot open ", &port.device, &errno));
        watch(events, serial.as_fd(), SERIAL);
        log(format_args!("listening on {} at {} baud", port.device, port.baud));
        Line { port, open: Some(serial), deframer: Deframer::new(), since: 0, framed: false }
    });
    let udp = options.udp.map(|address| {
        let shown = Shown(address);
        let socket =
            Udp::open(&address).unwrap_or_else(|errno| stop("cannot listen on ", &shown, &errno));
        watch(events, socket.as_fd(), UDP);
        log(format_args!("listening on UDP {shown}"));
        socket
    });

    let mut lookup: Option<Lookup> = None;
    loop {
        if lookup.is_none()
            && let Some(host) = agent.next_host()
        {
            match Lookup::begin(&host) {
                Ok(begun) => {
                    watch(events, begun.as_fd(), LOOKUP);
                    lookup = Some(begun);
                }
                Err(_) => agent.found(None),
            }
        }
        let now = agent.machine().now();
        let line_due = line.as_ref().and_then(Line::deadline);
        let due = sooner(line_due, agent.deadline());
        let timeout = due.map(|deadline| {
            let wait = deadline.saturating_sub(now);
            let (seconds, millis) = (wait.div_euclid(1000), wait.rem_euclid(1000));
            Timespec {
                tv_sec: i64::try_from(seconds).unwrap_or(1),
                tv_nsec: i64::try_from(millis.saturating_mul(1_000_000)).unwrap_or(0),
            }
        });
        let mut ready = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; 3];
        let count = match epoll::wait(events, &mut ready, timeout.as_ref()) {
            Ok(count) => count,
            Err(io::Errno::INTR) => continue,
            Err(error) => no_epoll(error),
        };
        for event in ready.iter().take(count) {
            match event.data.u64() {
                SERIAL => {
                    if let Some(line) = &mut line {
                        line.read(&mut agent);
                    }
                }
                LOOKUP => {
                    if let Some(lookup) = lookup.take() {
                        agent.found(lookup.finish());
                    }
                }
                _ => {
                    if let Some(socket) = &udp {
                        receive(socket, &mut agent);
                    }
                }
            }
        }
        agent.tick();
        if let Some(line) = &mut line
            && line.wait(agent.machine().now())
            && let Some(serial) = &line.open
        {
            watch(events, serial.as_fd(), SERIAL);
        }
    }
}

/// Opens one of our folders.
fn open_dir(path: &str) -> Dir {
    Dir::open(path).unwrap_or_else(|errno| no_dir(path, errno))
}

fn no_dir(path: &str, errno: Errno) -> ! {
    stop("cannot keep files in ", &path, &errno)
}

fn no_epoll(error: io::Errno) -> ! {
    stop("cannot wait for events", &"", &errno(error))
}

/// Reads the secret on the router's label.
#[inline(never)]
fn label(path: &str) -> LabelKey {
    let mut buf = [0; 128];
    let text = read_secret(path, &mut buf)
        .unwrap_or_else(|errno| stop("cannot read the label's secret in ", &path, &errno));
    let wrong = "the label's secret has at least 16 letters and digits";
    let key = LabelKey::of(text).unwrap_or_else(|| stop(path, &"", &wrong));
    buf.zeroize();
    key
}

fn watch(events: BorrowedFd<'_>, source: BorrowedFd<'_>, name: u64) {
    let data = epoll::EventData::new_u64(name);
    epoll::add(events, source, data, epoll::EventFlags::IN).unwrap_or_else(|error| no_epoll(error));
}

impl Line<'_> {
    /// When there is something to do though nothing arrives.
    fn deadline(&self) -> Option<u64> {
        match (&self.open, self.framed) {
            (None, _) => Some(self.since.saturating_add(REOPEN)),
            (Some(_), true) => Some(self.since.saturating_add(FRAME_PATIENCE)),
            (Some(_), false) => None,
        }
    }

    #[inline(never)]
    fn read(&mut self, agent: &mut Agent<'_>) {
        let Some(serial) = &self.open else { return };
        let mut buf = [0; 1024];
        match serial.read(&mut buf) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Ok(0) | Err(_) => {
                // Closing it takes it out of epoll.
                log(format_args!("{} is gone; waiting for it", self.port.device));
                self.open = None;
                self.deframer.abandon();
                self.since = agent.machine().now();
            }
            Ok(len) => {
                self.since = agent.machine().now();
                let mut input = buf.get(..len).unwrap_or_default();
                loop {
                    let mut outlet = SerialOutlet { port: serial, device: self.port.device };
                    match self.deframer.next(&mut input) {
                        None => break,
                        Some(Received::Packet(packet)) => {
                            agent.packet(packet, &Source::SERIAL, &mut outlet);
                        }
                        Some(Received::Garbage) => agent.garbage(),
                        Some(Received::Text(text)) => agent.text(text.len()),
                    }
                }
                self.framed = self.deframer.is_inside();
            }
        }
    }

    /// Does what is due. Whether the port was opened again.
    fn wait(&mut self, now: u64) -> bool {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return false;
        }
        if self.open.is_some() {
            self.deframer.abandon();
            self.framed = false;
            return false;
        }
        self.since = now;
        self.open = Serial::open(&self.port).ok();
        if self.open.is_some() {
            log(format_args!("{} is back", self.port.device));
        }
        self.open.is_some()
    }
}

/// Takes all the datagrams that are there.
#[inline(never)]
fn receive(socket: &Udp, agent: &mut Agent<'_>) {
    let mut buf = [0; MAX_SEALED];
    // As many as a window has, and then the serial port gets its turn.
    for _ in 0..64 {
        match socket.receive(&mut buf) {
            Ok((len, sender)) => match open(buf.get(..len).unwrap_or_default()) {
                Some(packet) => {
                    let source = source(&sender);
                    agent.packet(packet, &source, &mut UdpOutlet { socket, to: Shown(sender) });
                }
                None => agent.garbage(),
            },
            // Also what a client that is gone left behind (ECONNREFUSED).
            Err(_) => break,
        }
    }
}
