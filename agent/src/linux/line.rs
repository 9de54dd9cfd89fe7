//! The serial line. The port may be missing, disappear and come back; other programs may change its settings; its far
//! end may stop reading. Nothing here waits.
//!
//! `proto_core::protocol::frame` defines the bytes on the line.

use core::fmt;

use postwired::access::door::Source;
use postwired::options::SerialPort;
use postwired::requests::service::{Outlet, SCRATCH, SERIAL_IN_FLIGHT};
use postwired::system::{Machine, sooner};
use proto_core::netlink::Errno;
use proto_core::protocol::frame::{Deframer, MAX_FRAME, Received, write_serial};
use rustix::event::epoll;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io;

#[cfg(feature = "console")]
use crate::linux::console::SerialConsole;
use crate::linux::holders;
use crate::linux::log::{info, log};
use crate::linux::machine::{Path, errno};
use crate::linux::sys::{self, Modes};
use crate::serve::event_loop::{Agent, SERIAL};
use crate::serve::port;

/// Bytes of queued replies. A reply that does not fit is dropped, and the client repeats its request.
const QUEUE: usize = 3 * MAX_FRAME;
/// Milliseconds without a byte after which an open frame is dropped.
const FRAME_PATIENCE: u64 = 1_000;
/// Milliseconds before a missing port is tried again: at first, and at most.
const REOPEN: (u64, u64) = (1_000, 16_000);
/// Milliseconds between two checks of the port's settings.
const LOOK: u64 = 5_000;
/// Tolerance of the speed, in percent: a byte of ten bits is misread from about 5 % on.
const SLACK: u32 = 3;

/// Not a terminal: the same number on every architecture.
const ENOTTY: Errno = Errno(25);

/// Why a port cannot be used: the failed call, and its error.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Missing(&'static str, Errno);

/// The port is the router's console, and a program reads it.
const IS_CONSOLE: Missing = Missing("is the console", Errno::EBUSY);

/// An open serial port.
struct Port {
    fd: OwnedFd,
    /// The settings that we made; `None` for a device that is not a terminal.
    modes: Option<Modes>,
    /// Time of the next check of the settings.
    look: u64,
    /// Whether a byte has arrived since the port was opened.
    heard: bool,
    /// Whether the log has reported that the port takes no bytes.
    stuck: bool,
    /// Whether epoll reports when the port takes bytes.
    armed: bool,
}

impl Port {
    /// Opens a port: raw, 8N1, no flow control. A character device that is not a terminal, such as a virtio port, is
    /// used without settings.
    fn open(port: &SerialPort<'_>, events: BorrowedFd<'_>) -> Result<Self, Missing> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = Path::new(port.device)
            .and_then(|path| rustix::fs::open(path.as_c(), flags, Mode::empty()).map_err(errno));
        let fd = fd.map_err(|errno| Missing("cannot be opened", errno))?;
        if let Err(error) = rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            return Err(Missing("is locked by another program", errno(error)));
        }
        let modes = match Modes::set(fd.as_fd(), port.baud) {
            Ok(modes) => Some(modes),
            Err(ENOTTY) => None,
            Err(errno) => return Err(Missing("does not take our settings", errno)),
        };
        if modes.is_some() {
            sys::exclusive(fd.as_fd());
        }
        let data = epoll::EventData::new_u64(SERIAL);
        epoll::add(events, &fd, data, epoll::EventFlags::IN)
            .map_err(|error| Missing("is no serial port", errno(error)))?;
        Ok(Self { fd, modes, look: 0, heard: false, stuck: false, armed: false })
    }

    /// The actual speed, if it differs too much from the requested speed.
    fn other_speed(&self, baud: u32) -> Option<u32> {
        let speed = self.modes.as_ref()?.speed();
        (speed.abs_diff(baud) > baud.div_ceil(100).saturating_mul(SLACK)).then_some(speed)
    }
}

/// Queued replies.
struct Queue {
    bytes: [u8; QUEUE],
    from: usize,
    end: usize,
}

impl Queue {
    fn waiting(&self) -> &[u8] {
        self.bytes.get(self.from..self.end).unwrap_or_default()
    }

    fn clear(&mut self) {
        (self.from, self.end) = (0, 0);
    }

    /// Writes as many bytes as the port takes now. The next read meets the same error again, so errors are ignored.
    fn flush(&mut self, port: &Port) {
        while self.from < self.end {
            match io::write(&port.fd, self.waiting()) {
                Ok(written) if written > 0 => self.from = self.from.saturating_add(written),
                Err(io::Errno::INTR) => {}
                _ => return,
            }
        }
        self.clear();
    }

    /// Appends a whole frame, or nothing if it does not fit.
    fn put(&mut self, frame: &[u8]) -> bool {
        if self.from > 0 {
            self.bytes.copy_within(self.from..self.end, 0);
            (self.from, self.end) = (0, self.end.saturating_sub(self.from));
        }
        let Some(room) = self.bytes.get_mut(self.end..) else { return false };
        if room.len() < frame.len() {
            return false;
        }
        for (to, from) in room.iter_mut().zip(frame) {
            *to = *from;
        }
        self.end = self.end.saturating_add(frame.len());
        true
    }
}

/// Sends text over a serial line, between frames. Text never takes the last room for two replies.
#[cfg(feature = "console")]
pub(crate) struct TextOut<'l> {
    port: &'l Port,
    out: &'l mut Queue,
    /// Set when text was dropped because the port takes no bytes.
    pub(crate) lost: bool,
}

#[cfg(feature = "console")]
impl TextOut<'_> {
    /// Number of bytes that there is room for.
    pub(crate) fn room(&mut self) -> usize {
        if self.out.waiting().len() > MAX_FRAME / 2 {
            self.out.flush(self.port);
        }
        (QUEUE - 2 * MAX_FRAME).saturating_sub(self.out.waiting().len())
    }

    /// Queues text.
    pub(crate) fn put(&mut self, text: &[u8]) {
        self.lost |= self.room() < text.len() || !self.out.put(text);
    }
}

/// The serial port of the command line.
pub(crate) struct Line<'o> {
    port: SerialPort<'o>,
    events: BorrowedFd<'o>,
    open: Option<Port>,
    out: Queue,
    deframer: Deframer,
    /// Time of the last byte, or of the last attempt to open the port.
    since: u64,
    /// Whether a frame is open.
    framed: bool,
    /// Milliseconds before a missing port is tried again.
    wait: u64,
    /// Whether the port failed before a byte arrived, now and at its last use. The log reports that once.
    flaky: bool,
    /// Why the port is missing, as reported in the log.
    told: Option<Missing>,
    /// The port's differing speed, as reported in the log.
    speed: Option<u32>,
    /// The console for a person at the port.
    #[cfg(feature = "console")]
    console: Option<SerialConsole<'o>>,
}

/// Sends replies over a serial line.
struct LineOutlet<'l> {
    port: &'l mut Port,
    out: &'l mut Queue,
    device: &'l str,
}

/// Set when a reply was dropped because the queue was full.
#[derive(Debug)]
struct NoRoom;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the serial port takes no bytes")
    }
}

impl core::error::Error for NoRoom {}

impl embedded_io::Error for NoRoom {
    fn kind(&self) -> embedded_io::ErrorKind {
        embedded_io::ErrorKind::OutOfMemory
    }
}

impl embedded_io::ErrorType for LineOutlet<'_> {
    type Error = NoRoom;
}

impl embedded_io::Write for LineOutlet<'_> {
    fn write(&mut self, frame: &[u8]) -> Result<usize, NoRoom> {
        self.write_all(frame).map(|()| frame.len())
    }

    /// A frame is written by one call, so it is queued whole or not at all.
    fn write_all(&mut self, frame: &[u8]) -> Result<(), NoRoom> {
        self.out.flush(self.port);
        if self.out.put(frame) { Ok(()) } else { Err(NoRoom) }
    }

    fn flush(&mut self) -> Result<(), NoRoom> {
        self.out.flush(self.port);
        Ok(())
    }
}

impl Outlet for LineOutlet<'_> {
    fn send(&mut self, packet: &mut [u8; SCRATCH], len: usize) {
        let sent = write_serial(self, packet, len);
        if sent.is_err() && !self.port.stuck {
            self.port.stuck = true;
            log(format_args!("{} takes no bytes: replies are lost", self.device));
        }
    }

    fn in_flight(&self) -> u32 {
        SERIAL_IN_FLIGHT
    }

    fn is_behind(&mut self) -> bool {
        self.out.flush(self.port);
        !self.out.waiting().is_empty() || sys::unsent(self.port.fd.as_fd()) > 0
    }

    fn from(&self) -> &dyn fmt::Display {
        &self.device
    }
}

impl<'o> Line<'o> {
    /// Opens the port, or schedules a retry. `events` is the epoll instance.
    pub(crate) fn new(port: SerialPort<'o>, events: BorrowedFd<'o>, now: u64) -> Self {
        let mut line = Self {
            port,
            events,
            open: None,
            out: Queue { bytes: [0; QUEUE], from: 0, end: 0 },
            deframer: Deframer::new(),
            since: now,
            framed: false,
            wait: REOPEN.0,
            flaky: false,
            told: None,
            speed: None,
            #[cfg(feature = "console")]
            console: None,
        };
        line.try_open(now);
        line
    }

    /// Time of the next timer.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let frame = self.framed.then(|| self.since.saturating_add(FRAME_PATIENCE));
        #[cfg(feature = "console")]
        let frame = sooner(frame, self.console.as_ref().and_then(SerialConsole::deadline));
        match &self.open {
            None => Some(self.since.saturating_add(self.wait)),
            Some(Port { modes: Some(_), look, .. }) => sooner(Some(*look), frame),
            Some(_) => frame,
        }
    }

    /// The device, its requested speed and its actual speed, if they differ too much.
    pub(crate) fn other_speed(&self) -> Option<(&'o str, u32, u32)> {
        self.speed.map(|speed| (self.port.device, self.port.baud, speed))
    }

    #[inline(never)]
    fn try_open(&mut self, now: u64) {
        let baud = self.port.baud;
        self.since = now;
        if let Some(holder) = holders::console(&self.port)
            && !port::take_late(self.port.device, &holder)
        {
            self.wait = REOPEN.1;
            if self.told.replace(IS_CONSOLE) != Some(IS_CONSOLE) {
                holders::complain(&self.port, &holder);
            }
            return;
        }
        match Port::open(&self.port, self.events) {
            Ok(port) => {
                let look = now.saturating_add(LOOK);
                self.speed = port.other_speed(baud);
                self.open = Some(Port { look, ..port });
                if !self.flaky {
                    self.listening();
                }
            }
            Err(missing) => {
                self.wait = REOPEN.0;
                self.tell(missing);
            }
        }
    }

    fn listening(&mut self) {
        let SerialPort { device, baud } = self.port;
        self.told = None;
        info(format_args!("listening on {device} at {} baud", self.speed.unwrap_or(baud)));
        if let Some(speed) = self.speed {
            log(format_args!("{device} does not support {baud} baud: it runs at {speed}"));
        }
    }

    /// Logs why the port is missing, once.
    fn tell(&mut self, missing: Missing) {
        if self.told != Some(missing) {
            self.told = Some(missing);
            let Missing(what, errno) = missing;
            log(format_args!("{} {what}: {errno}; waiting for it", self.port.device));
        }
    }

    fn close(&mut self, now: u64, what: &'static str, errno: Errno) {
        if let Some(port) = self.open.take() {
            // Remove the port from epoll: closing it is not enough while another process shares the open file.
            let _ = epoll::delete(self.events, &port.fd);
            #[cfg(feature = "console")]
            if let Some(console) = &mut self.console {
                console.hang_up();
            }
            self.flaky = !port.heard;
            self.wait = match self.flaky {
                true => self.wait.saturating_mul(2).min(REOPEN.1),
                false => REOPEN.0,
            };
        }
        self.tell(Missing(what, errno));
        self.out.clear();
        self.deframer.abandon();
        (self.framed, self.since) = (false, now);
    }

    /// Handles readiness of the port: sends queued replies, and reads.
    #[inline(never)]
    pub(crate) fn ready(&mut self, agent: &mut Agent<'_>) {
        let now = agent.machine().now();
        let Some(port) = &mut self.open else { return };
        self.out.flush(port);
        let mut buf = [0; 1024];
        match io::read(&port.fd, &mut buf).map_err(errno) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Ok(0) => self.close(now, "is gone", Errno::EIO),
            Err(errno) => self.close(now, "is gone", errno),
            Ok(len) => {
                self.since = now;
                port.heard = true;
                if core::mem::take(&mut self.flaky) {
                    self.listening();
                }
                let Some(port) = &mut self.open else { return };
                let mut input = buf.get(..len).unwrap_or_default();
                loop {
                    let device = self.port.device;
                    #[cfg(feature = "console")]
                    let console = self.console.as_mut();
                    match self.deframer.next(&mut input) {
                        None => break,
                        Some(Received::Packet(packet)) => {
                            let mut outlet = LineOutlet { port, out: &mut self.out, device };
                            agent.packet(packet, &Source::SERIAL, &mut outlet);
                            #[cfg(feature = "console")]
                            console.map(SerialConsole::soil);
                        }
                        Some(Received::Garbage) => {
                            agent.garbage();
                            #[cfg(feature = "console")]
                            if let Some(console) = console {
                                let out = &mut self.out;
                                console.disturb(&mut TextOut { port, out, lost: false });
                            }
                        }
                        Some(Received::Text(text)) => {
                            agent.text(text.len());
                            #[cfg(feature = "console")]
                            if let Some(console) = console {
                                let out = &mut self.out;
                                console.text(text, agent, &mut TextOut { port, out, lost: false });
                            }
                        }
                    }
                }
                self.framed = self.deframer.is_inside();
            }
        }
        #[cfg(feature = "console")]
        self.pump(agent, &mut |console, agent, out| console.pump(agent, out));
        self.listen();
    }

    /// Gives the port to an action of the console, and sends what the port takes.
    #[cfg(feature = "console")]
    fn pump(
        &mut self,
        agent: &mut Agent<'_>,
        act: &mut dyn FnMut(&mut SerialConsole<'_>, &mut Agent<'_>, &mut TextOut<'_>),
    ) {
        let Self { open: Some(port), console: Some(console), out, .. } = self else { return };
        act(console, agent, &mut TextOut { port, out, lost: false });
        out.flush(port);
    }

    /// Sets the console for a person at the port.
    #[cfg(feature = "console")]
    pub(crate) fn set_console(&mut self, console: Option<SerialConsole<'o>>) {
        self.console = console;
    }

    /// Handles an event of the console.
    #[cfg(feature = "console")]
    pub(crate) fn console_ready(&mut self, event: u64, agent: &mut Agent<'_>) {
        self.pump(agent, &mut |console, agent, out| console.ready(event, agent, out));
        self.listen();
    }

    /// Waits for writability only while replies are queued.
    fn listen(&mut self) {
        let Some(port) = &mut self.open else { return };
        let waits = !self.out.waiting().is_empty();
        port.stuck &= waits;
        if waits == port.armed {
            return;
        }
        port.armed = waits;
        let mut flags = epoll::EventFlags::IN;
        flags.set(epoll::EventFlags::OUT, waits);
        let _ = epoll::modify(self.events, &port.fd, epoll::EventData::new_u64(SERIAL), flags);
    }

    /// Runs the timers that are due.
    pub(crate) fn tick(&mut self, now: u64, agent: &mut Agent<'_>) {
        #[cfg(feature = "console")]
        {
            self.pump(agent, &mut |console, agent, out| console.tick(agent, out));
            self.listen();
        }
        let _ = agent;
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let Some(port) = &mut self.open else { return self.try_open(now) };
        if self.framed && now >= self.since.saturating_add(FRAME_PATIENCE) {
            self.deframer.abandon();
            self.framed = false;
            #[cfg(feature = "console")]
            if let Some(console) = &mut self.console {
                console.disturb(&mut TextOut { port, out: &mut self.out, lost: false });
            }
        }
        if port.modes.is_none() || now < port.look {
            return;
        }
        port.look = now.saturating_add(LOOK);
        let SerialPort { device, baud } = self.port;
        let ours = port.modes.as_ref().map_or(0, Modes::speed);
        let changed = match Modes::of(port.fd.as_fd()) {
            Ok(modes) if modes.are_raw() && modes.speed() == ours => return,
            Ok(_) => Modes::set(port.fd.as_fd(), baud),
            Err(errno) => Err(errno),
        };
        match changed {
            Ok(modes) => {
                port.modes = Some(modes);
                self.deframer.abandon();
                self.framed = false;
                #[cfg(feature = "console")]
                if let Some(console) = &mut self.console {
                    // Bytes of a typed line may have been lost too.
                    console.disturb(&mut TextOut { port, out: &mut self.out, lost: false });
                }
                log(format_args!(
                    "another program changed the settings of {device}; they are ours again"
                ));
            }
            Err(errno) => self.close(now, "does not take our settings", errno),
        }
    }
}
