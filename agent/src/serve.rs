//! The loop: one thread waits for the serial port and the UDP socket, and hands what arrives to the
//! service. A serial port that goes away is opened again when it is back.

use core::convert::Infallible;
use core::fmt;
use core::net::SocketAddr;

use postwired::commit::Committer;
use postwired::door::{Door, Source};
use postwired::fault::Slot;
use postwired::identity;
use postwired::keep::KeepError;
use postwired::kernel::{Buffers, Kernel, SET};
use postwired::options::{Options, SerialPort};
use postwired::owners::Ownership;
use postwired::service::Service;
use postwired::system::Machine;
use proto_core::ip::Shown;
use proto_core::netlink::Errno;
use proto_core::protocol::frame::{Deframer, MAX_SEALED, Received, open};
use proto_core::protocol::session::{LabelKey, fingerprint};
use rustix::event::{Timespec, epoll};
use rustix::io;
use zeroize::Zeroize;

use crate::linux::{Dir, Linux, Netlink, errno, read_secret};
use crate::log::log;
use crate::resolver::Lookup;
use crate::wires::{Serial, SerialOutlet, Udp, UdpOutlet, source};

/// How long a frame may stay open without a byte, in milliseconds.
const FRAME_PATIENCE: u64 = 1_000;
/// How long to wait before a serial port that is gone is tried again, in milliseconds.
const REOPEN: u64 = 1_000;

const SERIAL: u64 = 1;
const UDP: u64 = 2;
const LOOKUP: u64 = 3;

/// Why the agent cannot go on.
pub(crate) enum ServeError<'a> {
    Netlink(Errno),
    State(&'a str, Errno),
    Keep(&'a str, KeepError),
    Label(&'a str, Errno),
    LabelText(&'a str),
    Serial(&'a str, Errno),
    Udp(Shown<SocketAddr>, Errno),
    Epoll(Errno),
    Random,
}

impl fmt::Display for ServeError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, of, errno): (_, &dyn fmt::Display, _) = match self {
            Self::Netlink(errno) => ("open a netlink socket", &"", errno),
            Self::State(dir, errno) => ("keep files in ", dir, errno),
            Self::Keep(dir, error) => return write!(f, "{dir}: {error}"),
            Self::Label(file, errno) => ("read the label's secret in ", file, errno),
            Self::LabelText(file) => {
                let text = "the label's secret has at least 16 letters and digits";
                return write!(f, "{file}: {text}");
            }
            Self::Serial(device, errno) => ("open ", device, errno),
            Self::Udp(address, errno) => ("listen on ", address, errno),
            Self::Epoll(errno) => ("wait for events", &"", errno),
            Self::Random => return f.write_str("there are no random numbers"),
        };
        write!(f, "cannot {what}{of}: {errno}")
    }
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
pub(crate) fn serve<'a>(options: Options<'a>) -> Result<Infallible, ServeError<'a>> {
    let route = Netlink::route().map_err(ServeError::Netlink)?;
    let generic = Netlink::generic().map_err(ServeError::Netlink)?;
    let (mut keep, mut state) = (open_dir(options.keep)?, open_dir(options.state)?);
    let state_failed = |errno| ServeError::State(options.state, errno);
    let keep_failed = |error| ServeError::Keep(options.keep, error);
    // Two agents would take each other's changes back. The lock ends with the process, however it ends.
    let alone = open_dir(options.state)?;
    if alone.own(false).is_err() {
        log(format_args!("another agent works in {}; waiting for it to end", options.state));
        alone.own(true).map_err(state_failed)?;
    }
    let (files, own) = state.scratch().map_err(state_failed)?;
    let label = options.label_secret.map(label).transpose()?;
    let identity = identity::load(&mut keep, &Linux).map_err(keep_failed)?;
    let ownership = Ownership::load(&mut keep, &mut state, label).map_err(keep_failed)?;
    let mut buffers = Buffers::default();
    let mut set = [0; SET];
    let slot = Slot::default();
    let kernel = Kernel::new(route, generic, &slot, &mut buffers);
    // The owners have these folders too.
    let folders = (open_dir(options.keep)?, open_dir(options.state)?);
    let committer = Committer::new(kernel, files, Linux, &mut set, folders);
    let service = committer
        .and_then(|committer| Service::new(committer, own, options.policy))
        .map_err(|_| ServeError::Random)?;
    let shown = fingerprint(&identity.public());
    match ownership.len() {
        0 => log(format_args!("this router is {shown}; nobody owns it yet")),
        owners => log(format_args!("this router is {shown}; owners: {owners}")),
    }
    let mut agent = Door::new(service, ownership, identity);
    agent.start();

    let events = epoll::create(epoll::CreateFlags::CLOEXEC)
        .map_err(|error| ServeError::Epoll(errno(error)))?;
    let mut line = match options.serial {
        None => None,
        Some(port) => {
            let serial =
                Serial::open(&port).map_err(|errno| ServeError::Serial(port.device, errno))?;
            watch(&events, &serial, SERIAL)?;
            log(format_args!("listening on {} at {} baud", port.device, port.baud));
            let deframer = Deframer::new();
            Some(Line { port, open: Some(serial), deframer, since: 0, framed: false })
        }
    };
    let udp = match options.udp {
        None => None,
        Some(address) => {
            let shown = Shown(address);
            let socket = Udp::open(&address).map_err(|errno| ServeError::Udp(shown, errno))?;
            watch(&events, &socket, UDP)?;
            log(format_args!("listening on UDP {shown}"));
            Some(socket)
        }
    };

    let mut lookup: Option<Lookup> = None;
    loop {
        if lookup.is_none()
            && let Some(host) = agent.next_host()
        {
            match Lookup::begin(&host) {
                Ok(begun) => {
                    watch(&events, &begun, LOOKUP)?;
                    lookup = Some(begun);
                }
                Err(_) => agent.found(None),
            }
        }
        let now = agent.machine().now();
        let line_due = line.as_ref().and_then(Line::deadline);
        let due = [line_due, agent.deadline()].into_iter().flatten().min();
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
        let count = match epoll::wait(&events, &mut ready, timeout.as_ref()) {
            Ok(count) => count,
            Err(io::Errno::INTR) => continue,
            Err(error) => return Err(ServeError::Epoll(errno(error))),
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
            watch(&events, serial, SERIAL)?;
        }
    }
}

/// Opens one of our folders.
fn open_dir(path: &str) -> Result<Dir, ServeError<'_>> {
    Dir::open(path).map_err(|errno| ServeError::State(path, errno))
}

/// Reads the secret on the router's label.
fn label(path: &str) -> Result<LabelKey, ServeError<'_>> {
    let mut buf = [0; 128];
    let text = read_secret(path, &mut buf).map_err(|errno| ServeError::Label(path, errno));
    let key = text.and_then(|text| LabelKey::of(text).ok_or(ServeError::LabelText(path)));
    buf.zeroize();
    key
}

fn watch<'a>(
    events: &impl rustix::fd::AsFd,
    source: &impl rustix::fd::AsFd,
    name: u64,
) -> Result<(), ServeError<'a>> {
    epoll::add(events, source, epoll::EventData::new_u64(name), epoll::EventFlags::IN)
        .map_err(|error| ServeError::Epoll(errno(error)))
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
