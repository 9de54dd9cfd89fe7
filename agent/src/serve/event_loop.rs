//! The event loop: one thread waits for the serial port and the UDP sockets, and passes what
//! arrives to the service.
//!
//! The wires are opened first, and missing ones are waited for: an owner who can connect can repair
//! the rest.

use core::fmt;

use postwired::access::door::Door;
use postwired::access::identity;
use postwired::access::owners::Ownership;
use postwired::fault::Slot;
use postwired::kernel::exchange::Kernel;
use postwired::options::{Options, Policy};
use postwired::requests::service::Service;
use postwired::store::commit::Committer;
use postwired::store::keep::KeepError;
use postwired::system::{Machine, sooner};
use postwired::wg::Memory;
use proto_core::netlink::Errno;
use proto_core::protocol::session::LabelKey;
use rustix::event::{EventfdFlags, PollFd, PollFlags, epoll, eventfd, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io;
use zeroize::Zeroize;

#[cfg(feature = "console")]
use crate::linux::console::{self, SerialConsole, Socket};
use crate::linux::hook::Hook;
#[cfg(feature = "console")]
use crate::linux::led::BoardLed;
use crate::linux::line::Line;
use crate::linux::listeners::Listeners;
use crate::linux::log::{self, info, log};
use crate::linux::machine::{
    Dir, Linux, Netlink, errno, network_changes, notifications, read_secret, timespec,
};
use crate::linux::resolver::Lookups;
use crate::linux::sys;

pub(crate) const SERIAL: u64 = 1;
const END: u64 = 3;
const NETWORK: u64 = 4;
/// The first of the UDP sockets.
pub(crate) const UDP: u64 = 8;
/// The first of the look-ups.
const LOOKUP: u64 = 16;

/// Milliseconds before an unreadable file is retried.
const RELOAD: u64 = 5_000;
/// Milliseconds before a folder that another agent uses is retried.
const LOCKED: u64 = 250;

/// Reports why the agent cannot continue, and ends it.
#[cold]
#[inline(never)]
fn stop(what: &str, of: &dyn fmt::Display, why: &dyn fmt::Display) -> ! {
    log(format_args!("{what}{of}: {why}"));
    sys::exit(1)
}

pub(crate) type Agent<'b> = Door<'b, Linux>;

/// Serves until the process is asked to end, or until a failure that waiting cannot repair.
pub(crate) fn serve(options: Options<'_>) -> ! {
    sys::outlive_outputs();
    log::never_wait();
    let no_end = |error| -> OwnedFd { no_epoll(error) };
    // First: process 1 of a PID namespace gets no signal without a handler.
    let end = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
    let end = sys::end_event(end.unwrap_or_else(no_end));
    let (mut keep, mut state) = (open_dir(options.keep), open_dir(options.state));
    if keep.is(&state) {
        log(format_args!("--keep and --state name one folder: each needs one of its own"));
        sys::exit(2);
    }
    let mut alone = own_dir(options.state, end);
    let events = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap_or_else(|error| no_epoll(error));
    let events = events.as_fd();
    watch(events, end, END).unwrap_or_else(|error| no_epoll(error));
    #[cfg(feature = "console")]
    let rooms = (open_dir(options.state), console::path(options.state));
    let mut sources = Sources {
        line: options.serial.map(|port| Line::new(port, events, Linux.now())),
        udp: Listeners::new(&options.udp, events),
        network: changes(events),
        lookups: Lookups::new(events, LOOKUP),
        hook: Hook::new(options.applied),
        secrets: Secrets::of(&options),
        #[cfg(feature = "console")]
        socket: Socket::open(&rooms.1, &rooms.0, events),
        #[cfg(feature = "console")]
        led: BoardLed::new(options.led),
    };
    #[cfg(feature = "console")]
    if let Some(line) = &mut sources.line {
        line.set_console(SerialConsole::new(&options, &rooms.0, events));
    }
    #[cfg(not(feature = "console"))]
    if options.led.is_some() {
        log(format_args!("--led has no effect: this build shows nothing on an LED"));
    }

    let no_netlink = |errno| -> Netlink { stop("cannot open a netlink socket", &"", &errno) };
    let route = Netlink::route().unwrap_or_else(no_netlink);
    let generic = Netlink::generic().unwrap_or_else(no_netlink);
    let slot = Slot::default();
    let paths = (options.keep, options.state);
    let dirs = (&mut keep, &mut state);
    let mut agent = agent(paths, options.policy, (route, generic), &slot, dirs);
    sources.secrets.load(&mut agent, Linux.now());
    sources.udp.tick(&mut agent, Linux.now());
    agent.start();
    agent.watch(options.on_drift);

    let mut starting = true;
    loop {
        if starting && !agent.is_starting() {
            starting = false;
            info(format_args!("version {}: ready", env!("CARGO_PKG_VERSION")));
        }
        let due = sources.due(&mut agent);
        let timeout = due.map(|deadline| timespec(deadline.saturating_sub(Linux.now())));
        let mut ready = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; 4];
        let count = match epoll::wait(events, &mut ready, timeout.as_ref()) {
            Ok(count) => count,
            Err(io::Errno::INTR) => continue,
            Err(error) => no_epoll(error),
        };
        for event in ready.iter().take(count) {
            let event = event.data.u64();
            if event == END {
                info(format_args!("asked to end"));
                agent.end();
                #[cfg(feature = "console")]
                sources.led.put_back();
                alone.end_well();
                sys::exit(0)
            }
            sources.ready(event, &mut agent);
        }
        agent.tick();
        sources.tick(&mut agent);
    }
}

/// A socket that reports changes of the network. Without it, names and missing places are retried by time only, and
/// changes by other programs are noticed later.
fn changes(events: BorrowedFd<'_>) -> Option<OwnedFd> {
    let network = network_changes().ok()?;
    let _ = watch(events, network.as_fd(), NETWORK);
    Some(network)
}

/// What the loop waits for: events of epoll, and times.
struct Sources<'o> {
    line: Option<Line<'o>>,
    udp: Listeners<'o>,
    network: Option<OwnedFd>,
    lookups: Lookups<'o>,
    hook: Hook<'o>,
    secrets: Secrets<'o>,
    #[cfg(feature = "console")]
    socket: Option<Socket<'o>>,
    #[cfg(feature = "console")]
    led: BoardLed<'o>,
}

impl Sources<'_> {
    /// Begins what the agent asks for. Returns the time until which the loop may wait.
    fn due(&mut self, agent: &mut Agent<'_>) -> Option<u64> {
        while let Some((number, host)) = agent.next_host() {
            self.lookups.begin(number, &host);
        }
        self.hook.tick(agent.machine().now(), &mut || agent.next_told());
        let names = self.lookups.tick(&mut |number, address| agent.found(number, address));
        let all = [
            names,
            agent.deadline(),
            self.line.as_ref().and_then(Line::deadline),
            self.udp.deadline(),
            self.secrets.deadline(agent),
            self.hook.deadline(),
            #[cfg(feature = "console")]
            self.led.deadline(),
        ];
        all.into_iter().fold(None, sooner)
    }

    /// Handles an event.
    fn ready(&mut self, event: u64, agent: &mut Agent<'_>) {
        match event {
            SERIAL => {
                if let Some(line) = &mut self.line {
                    line.ready(agent);
                }
            }
            NETWORK => {
                if let Some(network) = &self.network {
                    notifications(network.as_fd(), &mut |datagram, full_len, sender| {
                        agent.notified(datagram, full_len, sender);
                    });
                    self.udp.network_changed();
                }
            }
            #[cfg(feature = "console")]
            event if console::EVENTS.contains(&event) => {
                if let Some(line) = &mut self.line {
                    line.console_ready(event, agent);
                }
                if let Some(socket) = &mut self.socket {
                    socket.ready(event, agent);
                }
            }
            place @ UDP..LOOKUP => self.udp.ready(place, agent),
            lookup => {
                let number = usize::try_from(lookup.wrapping_sub(LOOKUP)).unwrap_or(usize::MAX);
                self.lookups.ready(number);
            }
        }
    }

    /// Does what is due after the events of a turn.
    fn tick(&mut self, agent: &mut Agent<'_>) {
        let now = agent.machine().now();
        self.secrets.tick(agent, now);
        if let Some(line) = &mut self.line {
            line.tick(now, agent);
            note_speed(line, agent);
        }
        self.udp.tick(agent, now);
        agent.sift(&mut |filter| self.udp.sift(filter));
        #[cfg(feature = "console")]
        self.led.tick(now, agent);
    }
}

/// Opens the folder of the state and locks it: two agents would revert each other's changes. Waits for another agent
/// to end. The lock ends with the process, however it ends.
fn own_dir(path: &str, end: BorrowedFd<'_>) -> Dir {
    let mut alone = open_dir(path);
    if alone.own().is_err() {
        log(format_args!("another agent works in {path}; waiting for it to end"));
        let mut asked = [PollFd::from_borrowed_fd(end, PollFlags::IN)];
        while let Err(errno) = alone.own() {
            if errno != Errno::EAGAIN {
                no_dir(path, errno);
            }
            if poll(&mut asked, Some(&timespec(LOCKED))).is_ok_and(|ready| ready > 0) {
                sys::exit(0);
            }
        }
    }
    if alone.last_ended_without_a_word() {
        log(format_args!(
            "the previous agent ended without a message: it was killed, or has a bug; the kernel's log \
             may say more"
        ));
    }
    alone
}

/// Makes the service and its door. Not inlined: a move leaves a copy of the service, which has 24 KiB, in the frame
/// of this function and not in that of the loop.
#[inline(never)]
fn agent<'b>(
    paths: (&str, &str),
    policy: Policy<'b>,
    (route, generic): (Netlink, Netlink),
    slot: &'b Slot,
    (keep, state): (&'b mut Dir, &'b mut Dir),
) -> Agent<'b> {
    let (files, own) = state.scratch().unwrap_or_else(|errno| no_dir(paths.1, errno));
    let ownership = Ownership::load(keep, state);
    // Pages of this memory are resident only after the first write.
    let memory = sys::memory().and_then(Memory::of_agent);
    let (buffers, set) = memory.unwrap_or_else(|| sys::abort());
    let kernel = Kernel::new(route, generic, slot, buffers);
    // The owners use these folders too.
    let folders = (open_dir(paths.0), open_dir(paths.1));
    let committer = Committer::new(kernel, files, &Linux, set, folders);
    let mut service = Service::new(committer, own, policy);
    service.count_starts();
    Door::new(service, ownership)
}

/// Records for `status` that the serial port does not run at the requested speed.
fn note_speed(line: &Line<'_>, agent: &mut Agent<'_>) {
    const ABOUT: &str = "/serial";
    match line.other_speed() {
        Some((device, baud, speed)) => {
            let words = format_args!("{device} does not support {baud} baud: it runs at {speed}");
            agent.trouble().note(ABOUT, words);
        }
        None => drop(agent.trouble().take(ABOUT)),
    }
}

/// The files without which the agent cannot accept clients. What is stored runs without them, and
/// the files are retried.
struct Secrets<'o> {
    keep: Dir,
    label: Option<&'o str>,
    /// The problem with each file as logged; `None` if it can be read.
    identity: Option<KeepError>,
    owners: Option<KeepError>,
    unlabelled: bool,
    due: u64,
}

impl<'o> Secrets<'o> {
    fn of(options: &Options<'o>) -> Self {
        Self {
            keep: open_dir(options.keep),
            label: options.label_secret,
            identity: None,
            owners: None,
            unlabelled: false,
            due: 0,
        }
    }

    /// Whether a file is missing that may become readable.
    fn wants(&self, agent: &Agent<'_>) -> bool {
        let label = self.label.is_some() && agent.ownership().wants_label();
        let owners = agent.ownership().trouble();
        !agent.has_identity() || label || owners.is_some() || owners != self.owners
    }

    fn deadline(&self, agent: &Agent<'_>) -> Option<u64> {
        self.wants(agent).then_some(self.due)
    }

    fn tick(&mut self, agent: &mut Agent<'_>, now: u64) {
        if self.wants(agent) && now >= self.due {
            self.load(agent, now);
        }
    }

    /// Loads the missing files, and reports each problem once.
    #[inline(never)]
    fn load(&mut self, agent: &mut Agent<'_>, now: u64) {
        self.due = now.saturating_add(RELOAD);
        if !agent.has_identity() {
            match identity::load(&mut self.keep, &Linux) {
                Ok(identity) => agent.identify(identity),
                Err(error) => {
                    if self.identity.replace(error) != Some(error) {
                        log(format_args!(
                            "{error}; until the agent can read it, no client gets an answer"
                        ));
                    }
                }
            }
        }
        agent.ownership_mut().refresh();
        let owners = agent.ownership().trouble();
        if owners != self.owners {
            self.owners = owners;
            match owners {
                Some(error) => {
                    log(format_args!("{error}; until the agent can read it, no client has access"));
                }
                None => info(format_args!("the list of owners is readable again")),
            }
        }
        if let Some(path) = self.label.filter(|_| agent.ownership().wants_label()) {
            self.read_label(path, agent);
        }
    }

    /// Reads the secret on the router's label.
    #[inline(never)]
    fn read_label(&mut self, path: &str, agent: &mut Agent<'_>) {
        let mut buf = [0; 128];
        let told = core::mem::replace(&mut self.unlabelled, true);
        let without = "the router cannot be claimed over UDP";
        match read_secret(path, &mut buf).map(LabelKey::of) {
            Ok(Some(key)) => {
                agent.ownership_mut().set_label(key);
                self.unlabelled = false;
            }
            _ if told => {}
            Ok(None) => log(format_args!(
                "{path}: a label's secret has at least 16 letters and digits; {without}"
            )),
            Err(errno) => {
                log(format_args!("cannot read the label's secret in {path}: {errno}; {without}"))
            }
        }
        buf.zeroize();
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

pub(crate) fn watch(events: BorrowedFd<'_>, source: BorrowedFd<'_>, name: u64) -> io::Result<()> {
    epoll::add(events, source, epoll::EventData::new_u64(name), epoll::EventFlags::IN)
}
