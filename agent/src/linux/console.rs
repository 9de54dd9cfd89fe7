//! The doors of the console on this machine: the serial port, the socket for root, and the shell on a pseudo-terminal.
//!
//! What a line does is in the library (`console`, `requests::service::console`).

use core::fmt::Write;
use core::mem::MaybeUninit;
use core::sync::atomic::Ordering;

use heapless::{String, Vec};
use postwired::access::unlock::Unlock;
use postwired::console::terminal::{Host, Terminal, Wish};
use postwired::console::{Reply, Talk};
use postwired::options::{Console, Options};
use postwired::system::{File, Machine, sooner};
use proto_core::netlink::Errno;
use proto_core::protocol::message::{ClientId, MAX_LINE, cut};
use proto_core::text::{number, split};
use rustix::event::epoll;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, SeekFrom};
use rustix::io;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sockopt,
};
use rustix::process::getpid;

use crate::linux::line::TextOut;
use crate::linux::log::{ON_TERMINAL, log};
use crate::linux::machine::{Dir, Linux, Path, Scratch, again, errno, port_name, read_file};
use crate::linux::sys;
use crate::serve::event_loop::{Agent, watch};

/// The first event of the console, and the one after the last.
pub(crate) const EVENTS: core::ops::Range<u64> = 32..40;
const SOCKET: u64 = 32;
const KERNEL: u64 = 33;
const SHELL: u64 = 34;
const CLIENT: u64 = 36;

/// Number of clients of the socket at a time.
const CLIENTS: usize = 2;
/// The name of the socket in the folder of `--state`.
pub(crate) const NAME: &str = "console.sock";
/// The most bytes of a message on the socket.
pub(crate) const MESSAGE: usize = 1024;

/// Why no shell runs in the jail of the package.
const JAILED: &[u8] =
    b"the agent's jail has no shell: set `option jail '0'` in /etc/config/postwired\r\n";

/// The name of a conversation.
fn client(number: u8) -> ClientId {
    let [a, b, c, d, e, f, g] = *b"console";
    [a, b, c, d, e, f, g, number]
}

/// Output of commands, and pasted text.
struct Files {
    text: Scratch,
    paste: Scratch,
}

impl Files {
    fn new(state: &Dir) -> Result<Self, Errno> {
        Ok(Self { text: state.temporary(c"output")?, paste: state.temporary(c"paste")? })
    }
}

/// A shell that runs, on its terminal.
struct Shell {
    ours: OwnedFd,
    pid: i32,
    /// Keys that the terminal did not take yet.
    keys: Vec<u8, 256>,
}

/// The console on the serial port.
pub(crate) struct SerialConsole<'o> {
    terminal: Terminal,
    talk: Talk,
    unlock: Unlock,
    files: Files,
    /// The program that `shell` runs, and whether it comes before the console.
    program: &'o str,
    first: bool,
    shell: Option<Shell>,
    /// Shells that were hung up, and may not have ended yet.
    ended: Vec<i32, 8>,
    events: BorrowedFd<'o>,
    device: &'o str,
    /// The kernel's log, if its lines go to the port too.
    kernel: Option<OwnedFd>,
}

/// Executes lines of the serial port.
struct SerialHost<'h, 'b> {
    agent: &'h mut Agent<'b>,
    talk: &'h mut Talk,
    unlock: &'h mut Unlock,
    files: &'h mut Files,
    device: &'h str,
}

impl Host for SerialHost<'_, '_> {
    fn line(&mut self, line: &[u8], whole: bool) -> Reply {
        let Files { text, paste } = self.files;
        let unlock = Some(&mut *self.unlock);
        self.agent.console((line, whole), self.talk, unlock, &self.device, (text, paste))
    }

    fn greet(&mut self) -> Reply {
        let client = self.talk.client;
        *self.talk = Talk::new(client);
        self.line(b"", true)
    }

    fn output(&mut self, offset: u32, buf: &mut [u8]) -> usize {
        self.files.text.read_at(offset, buf).unwrap_or(0)
    }

    fn names(&mut self, take: &mut dyn FnMut(&str)) {
        self.agent.link_names(Some(&mut *self.unlock), take);
    }

    fn now(&mut self) -> u64 {
        Linux.now()
    }
}

impl<'o> SerialConsole<'o> {
    /// The console on `--serial`; `None` if it is off, or has no room for its files.
    pub(crate) fn new(options: &Options<'o>, state: &Dir, events: BorrowedFd<'o>) -> Option<Self> {
        let device = options.serial?.device;
        if options.console == Console::Off {
            return None;
        }
        let files = Files::new(state).map_err(|errno| log(format_args!("no console: {errno}")));
        let kernel = kernel_log(device, events);
        Some(Self {
            terminal: Terminal::default(),
            talk: Talk::new(client(0)),
            unlock: Unlock::default(),
            files: files.ok()?,
            program: options.shell,
            first: options.console == Console::Shell,
            shell: None,
            ended: Vec::new(),
            events,
            device,
            kernel,
        })
    }

    /// Does what a line of the console wants.
    fn fulfil(&mut self, wish: Wish, agent: &mut Agent<'_>, out: &mut TextOut<'_>) {
        match wish {
            Wish::Nothing => {}
            Wish::Exit => {
                self.unlock.lock();
                self.terminal.sleep(&mut |bytes| out.put(bytes));
            }
            Wish::Shell => {
                if let Err(errno) = self.start_shell() {
                    let mut words = String::<300>::new();
                    let _ = write!(words, "{}: {errno}\r\n", self.program);
                    out.put(words.as_bytes());
                    // In the jail of OpenWrt the agent is process 1.
                    if getpid().as_raw_pid() == 1 {
                        out.put(JAILED);
                    }
                    self.welcome(agent, out);
                }
            }
        }
    }

    fn welcome(&mut self, agent: &mut Agent<'_>, out: &mut TextOut<'_>) {
        let Self { terminal, talk, unlock, files, device, .. } = self;
        let mut host = SerialHost { agent, talk, unlock, files, device };
        terminal.welcome(&mut host, &mut |bytes| out.put(bytes));
    }

    /// Takes text that arrived outside frames.
    #[inline(never)]
    pub(crate) fn text(&mut self, text: &[u8], agent: &mut Agent<'_>, out: &mut TextOut<'_>) {
        self.unlock.typed(Linux.now());
        let mut rest = text;
        while let Some((byte, behind)) = rest.split_first() {
            // A shell that one byte starts gets the bytes behind it.
            if let Some(shell) = &mut self.shell {
                if !shell.take(rest) {
                    out.put(b"\x07");
                }
                break;
            }
            rest = behind;
            let Self { terminal, talk, unlock, files, device, .. } = self;
            let slept = !terminal.is_awake();
            let mut host = SerialHost { agent, talk, unlock, files, device };
            let wish =
                terminal.feed(core::slice::from_ref(byte), &mut host, &mut |bytes| out.put(bytes));
            let woke = slept && self.terminal.is_awake();
            // The login of the shell decides who gets in.
            let first = woke && self.first;
            self.fulfil(if first { Wish::Shell } else { wish }, agent, out);
            self.pump(agent, out);
        }
        if core::mem::take(&mut out.lost) {
            self.terminal.soil();
        }
    }

    /// Sends output, as much as there is room for.
    #[inline(never)]
    pub(crate) fn pump(&mut self, agent: &mut Agent<'_>, out: &mut TextOut<'_>) {
        if let Some(shell) = &mut self.shell {
            let over = shell.pump(out);
            if over {
                self.end_shell();
                out.put(b"\r\n");
                self.welcome(agent, out);
            }
            return;
        }
        while self.terminal.has_output() {
            let room = out.room();
            if room < 64 {
                return;
            }
            let Self { terminal, talk, unlock, files, device, .. } = self;
            let mut host = SerialHost { agent, talk, unlock, files, device };
            let wish = terminal.pump(room, &mut host, &mut |bytes| out.put(bytes));
            self.fulfil(wish, agent, out);
        }
    }

    /// A frame was sent or received, of which a terminal shows rubbish.
    pub(crate) const fn soil(&mut self) {
        self.terminal.soil();
    }

    /// Bytes of the line are lost, and may have been typed.
    pub(crate) fn disturb(&mut self, out: &mut TextOut<'_>) {
        if self.shell.is_none() {
            self.terminal.disturb(Linux.now(), &mut |bytes| out.put(bytes));
        }
    }

    /// The port is gone.
    pub(crate) fn hang_up(&mut self) {
        self.end_shell();
        self.unlock.lock();
        self.terminal.forget();
        let _ = self.files.text.clear();
        let _ = self.files.paste.clear();
        let client = self.talk.client;
        self.talk = Talk::new(client);
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        if ON_TERMINAL.load(Ordering::Relaxed) {
            return Some(0);
        }
        let reap = (!self.ended.is_empty()).then(|| Linux.now().saturating_add(200));
        sooner(self.unlock.deadline(), reap)
    }

    /// Runs the timers that are due.
    pub(crate) fn tick(&mut self, agent: &mut Agent<'_>, out: &mut TextOut<'_>) {
        self.ended.retain(|pid| !sys::reap(*pid));
        // Our own log, on the port: as lines of the kernel.
        if ON_TERMINAL.load(Ordering::Relaxed) {
            ON_TERMINAL.store(false, Ordering::Relaxed);
            self.redraw(out);
        }
        if let Some(closed) = agent.tick_console(&mut self.unlock) {
            let mut words = String::<64>::new();
            let _ = write!(words, "{closed}");
            if self.shell.is_some() {
                self.end_shell();
                out.put(b"\r\n");
                self.welcome(agent, out);
            }
            let Self { terminal, talk, unlock, files, device, .. } = self;
            let mut host = SerialHost { agent, talk, unlock, files, device };
            let reply = host.greet();
            terminal.interrupt(&words, &reply, &mut |bytes| out.put(bytes));
        }
    }

    /// Handles an event of [`EVENTS`] that is not the socket's.
    pub(crate) fn ready(&mut self, event: u64, agent: &mut Agent<'_>, out: &mut TextOut<'_>) {
        match event {
            KERNEL if self.kernel.as_ref().is_some_and(was_printed) => self.redraw(out),
            SHELL => self.pump(agent, out),
            _ => {}
        }
    }

    /// Writes the line again after another program printed lines.
    fn redraw(&mut self, out: &mut TextOut<'_>) {
        if self.shell.is_none() {
            self.terminal.redraw(&mut |bytes| out.put(bytes));
        }
    }

    fn start_shell(&mut self) -> Result<(), Errno> {
        // Shells that ignore the hang-up.
        if self.ended.is_full() {
            return Err(Errno::EAGAIN);
        }
        let (ours, theirs) = sys::terminals()?;
        let program = Path::new(self.program)?;
        // The copy of this process could only say that the program is missing by its end.
        rustix::fs::accessat(CWD, program.as_c(), rustix::fs::Access::EXEC_OK, AtFlags::empty())
            .map_err(errno)?;
        watch(self.events, ours.as_fd(), SHELL).map_err(errno)?;
        let pid = sys::start_on(program.as_c(), theirs.as_fd())?;
        log(format_args!("{}: a shell, process {pid}", self.device));
        self.shell = Some(Shell { ours, pid, keys: Vec::new() });
        Ok(())
    }

    /// Hangs up the shell's terminal, which ends the shell.
    fn end_shell(&mut self) {
        if let Some(Shell { ours, pid, .. }) = self.shell.take() {
            let _ = epoll::delete(self.events, &ours);
            drop(ours);
            // Fits: no shell is started otherwise.
            let _ = self.ended.push(pid);
        }
    }
}

impl Shell {
    /// Takes keys. Returns `false` if there is no room for them.
    fn take(&mut self, keys: &[u8]) -> bool {
        self.flush();
        let mut fits = true;
        for piece in keys.chunks(64) {
            fits &= self.keys.extend_from_slice(piece).is_ok();
            self.flush();
        }
        fits
    }

    /// Passes keys on to the shell, as many as its terminal takes.
    fn flush(&mut self) {
        while !self.keys.is_empty() {
            match io::write(&self.ours, &self.keys) {
                Ok(written) if written > 0 => {
                    self.keys.copy_within(written.., 0);
                    self.keys.truncate(self.keys.len().saturating_sub(written));
                }
                Err(io::Errno::INTR) => {}
                _ => return,
            }
        }
    }

    /// Passes output of the shell on. Returns `true` when the shell has ended.
    fn pump(&mut self, out: &mut TextOut<'_>) -> bool {
        self.flush();
        let mut buf = [0; 512];
        loop {
            let room = out.room().min(buf.len());
            if room < 64 {
                return false;
            }
            match io::read(&self.ours, buf.get_mut(..room).unwrap_or_default()) {
                // A zero would open a frame.
                Ok(len) if len > 0 => {
                    for part in buf.get(..len).unwrap_or_default().split(|byte| *byte == 0) {
                        out.put(part);
                    }
                }
                Err(io::Errno::INTR) => {}
                Err(io::Errno::AGAIN) => return false,
                _ => return true,
            }
        }
    }
}

/// Opens the kernel's log at its end, if the kernel prints it to this device too.
fn kernel_log<'o>(device: &str, events: BorrowedFd<'o>) -> Option<OwnedFd> {
    let mut link = [MaybeUninit::uninit(); 256];
    let name = port_name(device, &mut link);
    let mut buf = [0; 1024];
    let consoles = read_file(c"/proc/consoles", &mut buf);
    if !consoles.lines().any(|line| line.split_ascii_whitespace().next() == Some(name)) {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let log = rustix::fs::open(c"/dev/kmsg", flags, Mode::empty()).ok()?;
    rustix::fs::seek(&log, SeekFrom::End(0)).ok()?;
    watch(events, log.as_fd(), KERNEL).ok()?;
    Some(log)
}

/// Reads the new lines of the kernel's log. Returns whether the console shows some of them.
fn was_printed(log: &OwnedFd) -> bool {
    let mut printk = [0; 64];
    let level = read_file(c"/proc/sys/kernel/printk", &mut printk).split_ascii_whitespace().next();
    let level = level.and_then(number).unwrap_or(7);
    let mut printed = false;
    // A bound: the log may be written to faster than it is read here.
    for _ in 0..256 {
        let mut record = [0; 1024];
        match io::read(log, &mut record) {
            Ok(len) => {
                let record = record.get(..len.min(16)).unwrap_or_default();
                let priority = core::str::from_utf8(record).ok().and_then(|text| split(text, b','));
                let priority = priority.and_then(|(priority, _)| number(priority)).unwrap_or(0);
                printed |= priority & 7 < level;
            }
            // Lines were overwritten before they were read.
            Err(io::Errno::PIPE | io::Errno::INTR) => printed = true,
            Err(_) => break,
        }
    }
    printed
}

/// A client of the socket.
struct Client {
    fd: OwnedFd,
    talk: Talk,
    files: Files,
}

/// The socket for root on this router.
pub(crate) struct Socket<'o> {
    listener: OwnedFd,
    clients: [Option<Client>; CLIENTS],
    state: &'o Dir,
    events: BorrowedFd<'o>,
}

/// The path of the socket in a folder.
pub(crate) fn path(state: &str) -> String<256> {
    let mut path = String::new();
    // Both together are shorter: paths of the command line have at most 200 bytes.
    let _ = write!(path, "{}/{NAME}", state.trim_end_matches('/'));
    path
}

impl<'o> Socket<'o> {
    /// Opens the socket in the folder of `--state`, in place of one that an earlier agent left.
    pub(crate) fn open(path: &str, state: &'o Dir, events: BorrowedFd<'o>) -> Option<Self> {
        let opened = || {
            let at = Path::new(path)?;
            let _ = rustix::fs::unlinkat(CWD, at.as_c(), AtFlags::empty());
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let kind = SocketType::SEQPACKET;
            let listener = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None);
            let listener = listener.map_err(errno)?;
            let address = SocketAddrUnix::new(at.as_c()).map_err(errno)?;
            rustix::net::bind(&listener, &address).map_err(errno)?;
            let mode = Mode::RUSR | Mode::WUSR;
            rustix::fs::chmodat(CWD, at.as_c(), mode, AtFlags::empty()).map_err(errno)?;
            rustix::net::listen(&listener, 4).map_err(errno)?;
            watch(events, listener.as_fd(), SOCKET).map_err(errno)?;
            Ok(Self { listener, clients: [None, None], state, events })
        };
        let opened: Result<Self, Errno> = opened();
        opened.map_err(|errno| log(format_args!("no console on {path}: {errno}"))).ok()
    }

    /// Handles an event of [`EVENTS`].
    pub(crate) fn ready(&mut self, event: u64, agent: &mut Agent<'_>) {
        if event == SOCKET {
            self.accept();
            return;
        }
        let Some(nth) = event.checked_sub(CLIENT).and_then(|nth| usize::try_from(nth).ok()) else {
            return;
        };
        let Some(slot) = self.clients.get_mut(nth) else { return };
        if slot.as_mut().is_some_and(|client| !client.serve(agent))
            && let Some(client) = slot.take()
        {
            let _ = epoll::delete(self.events, &client.fd);
        }
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Ok(fd) = rustix::net::accept_with(&self.listener, flags) else { return };
        let own = rustix::process::geteuid();
        let root = |uid: rustix::process::Uid| uid.is_root() || uid == own;
        // The folder keeps others out already.
        if !sockopt::socket_peercred(&fd).is_ok_and(|peer| root(peer.uid)) {
            return;
        }
        let free = self.clients.iter_mut().zip(0_u8..).find(|(slot, _)| slot.is_none());
        let Some((slot, nth)) = free else {
            let _ = rustix::net::send(&fd, b"b", SendFlags::NOSIGNAL);
            return;
        };
        let Ok(files) = Files::new(self.state) else { return };
        let event = CLIENT.saturating_add(nth.into());
        if watch(self.events, fd.as_fd(), event).is_ok() {
            let talk = Talk::new(client(nth.saturating_add(1)));
            *slot = Some(Client { fd, talk, files });
        }
    }
}

impl Client {
    /// Answers one message. Returns `false` when the client is gone.
    ///
    /// A message is a letter and what it needs: `l` and a line, `p` and the front of a line, `o` (text) or `j` (JSON) and
    /// a line of a program, `r` and the offset of output to read, `n` for the names of interfaces. The answer to a line is
    /// [`put`]; to the others, bytes.
    #[inline(never)]
    fn serve(&mut self, agent: &mut Agent<'_>) -> bool {
        let mut buf = [0; MAX_LINE + 1];
        let received = again(|| rustix::net::recv(&self.fd, &mut buf, RecvFlags::DONTWAIT));
        let message = match received {
            Ok((len, _)) if len > 0 => buf.get(..len).unwrap_or_default(),
            Err(Errno::EAGAIN) => return true,
            _ => return false,
        };
        let Some((kind, rest)) = message.split_first() else { return false };
        let mut answer = Vec::<u8, MESSAGE>::new();
        match kind {
            b'r' => {
                let offset = rest.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
                answer.resize_default(MESSAGE).unwrap_or_default();
                let got = self.files.text.read_at(offset, &mut answer).unwrap_or(0);
                answer.truncate(got);
            }
            b'n' => agent.link_names(None, &mut |name| {
                if answer.capacity().saturating_sub(answer.len()) > name.len() {
                    let _ = answer.extend_from_slice(name.as_bytes());
                    let _ = answer.push(b'\n');
                }
            }),
            kind => {
                if *kind != b'p' {
                    self.talk.unattended = matches!(kind, b'o' | b'j');
                    self.talk.json = *kind == b'j';
                }
                let Files { text, paste } = &mut self.files;
                let line = (rest, *kind != b'p');
                let from = &"root on the router";
                let reply = agent.console(line, &mut self.talk, None, from, (text, paste));
                put(&reply, &mut answer);
            }
        }
        if answer.is_empty() {
            // An empty message would look like the end.
            let _ = answer.push(b'\n');
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        rustix::net::send(&self.fd, &answer, flags).is_ok()
    }
}

/// Writes a reply: mode, bits, length of the output, prompt.
fn put(reply: &Reply, to: &mut Vec<u8, MESSAGE>) {
    let bits = [
        reply.failed,
        reply.unknown,
        reply.shell,
        reply.more == Some(true),
        reply.more == Some(false),
    ];
    let bits = bits.iter().zip(0_u32..).fold(0, |all, (bit, nth)| all | u8::from(*bit) << nth);
    let _ = to.extend_from_slice(&[reply.mode.number(), bits]);
    let _ = to.extend_from_slice(&reply.length.to_le_bytes());
    let _ = to.extend_from_slice(reply.prompt.as_bytes());
}

/// Reads what [`put`] wrote.
pub(crate) fn take(bytes: &[u8]) -> Option<Reply> {
    let ([mode, bits, a, b, c, d], prompt) = bytes.split_first_chunk()?;
    let bit = |nth: u32| bits & 1_u8.wrapping_shl(nth) != 0;
    Some(Reply {
        mode: proto_core::protocol::message::ConsoleMode::from_number(*mode),
        prompt: cut(core::str::from_utf8(prompt).ok()?),
        length: u32::from_le_bytes([*a, *b, *c, *d]),
        failed: bit(0),
        unknown: bit(1),
        shell: bit(2),
        more: match (bit(3), bit(4)) {
            (false, false) => None,
            (more, _) => Some(more),
        },
        ..Reply::default()
    })
}
