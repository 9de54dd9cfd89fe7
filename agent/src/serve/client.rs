//! The console from a shell on the router: `postwired console`, and single commands such as `postwired status`.
//!
//! Lines are executed by the running agent, at the other end of its socket; keys and pages are dealt with here.

use core::fmt::Write;

use heapless::{String, Vec};
use postwired::console::Reply;
use postwired::console::answers::refuse;
use postwired::console::editor::{LINE, SUBSTITUTE};
use postwired::console::page::Page;
use postwired::console::terminal::{Host, Terminal, Wish};
use postwired::console::words::{self, Word};
use postwired::options::{self, STATE};
use postwired::system::Machine;
use proto_core::netlink::Errno;
use proto_core::protocol::message::ConsoleMode;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use crate::linux::console::{self, MESSAGE};
use crate::linux::log::{Stream, log};
use crate::linux::machine::{Linux, Path, again, errno};
use crate::linux::sys::{self, Modes};
use crate::serve::port;

/// What a command line asks for.
enum Local<'a> {
    /// `console`.
    Talk,
    /// A command.
    One,
    /// The file on standard input: the commands `load` and, unless it is only checked, `commit`.
    Load,
    /// `console take`, of the terminal at this path, or of all.
    Take(&'a str),
    /// `console give`.
    Give,
}

/// A command line of the console.
struct CommandLine<'a> {
    asks: Local<'a>,
    /// The folder of the agent.
    state: &'a str,
    /// The command for the agent.
    line: String<LINE>,
    /// The command after it.
    then: Option<String<LINE>>,
    json: bool,
}

/// Executes the command line if it is one of the console. Returns the exit code.
pub(crate) fn run(mut args: sys::Args) -> Option<i32> {
    let first = args.next()??;
    let is_console = first == "console";
    // `help` is the program's own, and `identity` too, unless a program reads it.
    let json = args.clone().any(|word| word == Some("--json"));
    let own = |word| word == Word::Help || (word == Word::Identity && !json);
    let entry = words::TABLE.iter().find(|entry| entry.name == first && !own(entry.word));
    if !is_console && entry.is_none() {
        return None;
    }
    let mut words = args.clone();
    let asked = |word| matches!(word, Some("-h" | "--help"));
    if words.any(asked) {
        let _ = Stream(sys::stdout()).write_str(options::HELP);
        return Some(0);
    }
    let only_here = |word| {
        matches!(
            word,
            Word::Commit | Word::Drop | Word::More | Word::Unlock | Word::Shell | Word::Exit
        )
    };
    if entry.is_some_and(|entry| only_here(entry.word)) {
        return Some(usage(format_args!("`{first}` is a command of `postwired console`")));
    }
    let command = Some(first).filter(|_| !is_console);
    let loads = entry.is_some_and(|entry| entry.word == Word::Load);
    Some(match CommandLine::read(args, command, loads) {
        Ok(line) => line.execute(),
        Err(code) => code,
    })
}

/// Reports a failure, as the agent reports one. Returns the exit code.
fn fail(json: bool, words: core::fmt::Arguments<'_>) -> i32 {
    if json {
        let mut out = Stream(sys::stdout());
        let mut page = Page::new(&mut out, true);
        refuse(&mut page, words);
        page.end();
    } else {
        log(words);
    }
    1
}

/// Reports a mistake in the command line. Returns the exit code.
fn usage(words: core::fmt::Arguments<'_>) -> i32 {
    log(words);
    log(format_args!("see postwired --help"));
    2
}

impl CommandLine<'static> {
    /// Reads the words after the first, which is this command or `console`. A mistake is reported, and the exit code
    /// returned.
    fn read(mut args: sys::Args, command: Option<&str>, loads: bool) -> Result<Self, i32> {
        let is_console = command.is_none();
        let mut state = STATE;
        let (mut line, mut json, mut port) = (String::<LINE>::new(), false, None);
        let mut fits = line.push_str(command.unwrap_or_default()).is_ok();
        // What `load` says behind its interface is for `commit`.
        let mut then = Some(String::<LINE>::new()).filter(|_| loads);
        let (mut count, mut check) = (0_u8, false);
        while let Some(word) = args.next() {
            let Some(word) = word else {
                return Err(usage(format_args!("an argument is not text")));
            };
            match word {
                "--json" if !is_console => json = true,
                "--check" if loads => check = true,
                "--state" => match args.next().flatten() {
                    Some(folder) if folder.starts_with('/') && folder.len() <= 200 => {
                        state = folder;
                    }
                    _ => {
                        let words =
                            format_args!("--state takes an absolute path of at most 200 bytes");
                        return Err(usage(words));
                    }
                },
                word if word.starts_with('-') => {
                    return Err(usage(format_args!("there is no option `{word}`")));
                }
                "take" if is_console && port.is_none() => port = Some((true, "")),
                "give" if is_console && port.is_none() => port = Some((false, "")),
                device if is_console => match &mut port {
                    Some((true, place)) if place.is_empty() && device.starts_with('/') => {
                        *place = device;
                    }
                    _ => return Err(usage(format_args!("`console` does not take `{device}`"))),
                },
                word => {
                    let to = match &mut then {
                        Some(then) if count > 0 => then,
                        _ => &mut line,
                    };
                    count = count.saturating_add(1);
                    fits &= to.push(' ').is_ok() && to.push_str(word).is_ok();
                }
            }
        }
        if let Some(then) = &mut then {
            let mut commit = String::<LINE>::new();
            fits &= commit.push_str("commit").is_ok() && commit.push_str(then).is_ok();
            *then = commit;
        }
        if !fits {
            return Err(usage(format_args!("the command is too long")));
        }
        for line in [Some(&line).filter(|_| !is_console), then.as_ref()].into_iter().flatten() {
            words::parse(line).map_err(|wrong| usage(format_args!("{wrong}")))?;
        }
        let asks = match port {
            _ if loads => Local::Load,
            _ if !is_console => Local::One,
            Some((true, device)) => Local::Take(device),
            Some((false, _)) => Local::Give,
            None => Local::Talk,
        };
        let then = then.filter(|_| !check);
        Ok(Self { asks, state, line, then, json })
    }
}

impl CommandLine<'_> {
    /// Does what it asks for. Returns the exit code.
    fn execute(self) -> i32 {
        let Self { asks, state, line, then, json } = self;
        match asks {
            Local::Take(device) => return port::take(device),
            Local::Give => return port::give(),
            Local::Talk | Local::One | Local::Load => {}
        }
        match Agent::connect(state, json) {
            Ok(agent) => match asks {
                Local::One => agent.one(&line),
                Local::Load => agent.load(&line, then.as_deref()),
                _ => agent.talk(),
            },
            Err(errno) => {
                let words = format_args!(
                    "cannot reach the agent in {state}: {errno}; is `postwired serve` running, with this --state?"
                );
                fail(json, words)
            }
        }
    }
}

/// The running agent.
struct Agent {
    socket: OwnedFd,
    /// The agent is gone.
    gone: bool,
    /// A program reads the output.
    json: bool,
}

impl Agent {
    fn connect(state: &str, json: bool) -> Result<Self, Errno> {
        let path = console::path(state);
        let path = Path::new(&path)?;
        let kind = SocketType::SEQPACKET;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None);
        let socket = socket.map_err(errno)?;
        let address = SocketAddrUnix::new(path.as_c()).map_err(errno)?;
        again(|| rustix::net::connect(&socket, &address))?;
        Ok(Self { socket, gone: false, json })
    }

    /// Sends a message and receives the answer.
    fn ask(&mut self, kind: u8, bytes: &[u8]) -> Vec<u8, MESSAGE> {
        let mut message = Vec::<u8, MESSAGE>::new();
        let _ = message.push(kind);
        let _ = message.extend_from_slice(bytes);
        let mut answer = Vec::new();
        let _ = answer.resize_default(MESSAGE);
        let sent = again(|| rustix::net::send(&self.socket, &message, SendFlags::NOSIGNAL));
        let got = sent.and_then(|_| {
            again(|| rustix::net::recv(&self.socket, &mut *answer, RecvFlags::empty()))
        });
        let got = got.map_or(0, |(got, _)| got);
        answer.truncate(got);
        self.gone |= got == 0 || &answer == b"b";
        if self.gone {
            let words = match &*answer {
                b"b" => "two other people are at the console: try again later",
                _ => "the agent has ended",
            };
            fail(self.json, format_args!("{words}"));
        }
        answer
    }

    fn reply(&mut self, kind: u8, line: &[u8]) -> Reply {
        let answer = self.ask(kind, line);
        console::take(&answer).unwrap_or(Reply { failed: true, ..Reply::default() })
    }

    fn read(&mut self, offset: u32, buf: &mut [u8]) -> usize {
        let answer = self.ask(b'r', &offset.to_le_bytes());
        let len = answer.len().min(buf.len());
        for (to, from) in buf.iter_mut().zip(&answer) {
            *to = *from;
        }
        if self.gone { 0 } else { len }
    }

    /// Executes one command. Returns the exit code.
    fn one(mut self, line: &str) -> i32 {
        let reply = self.command(line.as_bytes());
        self.print(&reply)
    }

    /// Executes a line without a person who could answer a question.
    fn command(&mut self, line: &[u8]) -> Reply {
        self.reply(if self.json { b'j' } else { b'o' }, line)
    }

    /// Prints the output of a command. Returns the exit code.
    fn print(&mut self, reply: &Reply) -> i32 {
        if reply.failed && reply.length == 0 && !self.gone {
            return fail(self.json, format_args!("no room for the answer in --state"));
        }
        // What failed goes where errors go, unless a program reads it.
        let out = if reply.failed && !self.json { sys::stderr() } else { sys::stdout() };
        let mut at = 0;
        while at < reply.length && !self.gone {
            let mut buf = [0; MESSAGE];
            let left = usize::try_from(reply.length.saturating_sub(at)).unwrap_or(usize::MAX);
            let most = left.min(MESSAGE);
            let got = self.read(at, buf.get_mut(..most).unwrap_or_default());
            if got == 0 || Stream(out).bytes(buf.get(..got).unwrap_or_default()).is_err() {
                return 1;
            }
            at = at.saturating_add(u32::try_from(got).unwrap_or(u32::MAX));
        }
        i32::from(reply.failed || self.gone)
    }

    /// Loads the file on standard input, and executes `then`. Returns the exit code.
    fn load(mut self, line: &str, then: Option<&str>) -> i32 {
        let reply = self.command(line.as_bytes());
        if reply.mode != ConsoleMode::Paste {
            let _ = self.print(&reply);
            return 1;
        }
        if Modes::of(sys::stdin().as_fd()).is_ok() {
            log(format_args!("paste the file, and end it with Ctrl-D"));
        }
        let mut line = Vec::<u8, LINE>::new();
        loop {
            let mut buf = [0; 512];
            let got = match again(|| io::read(sys::stdin(), &mut buf)) {
                Ok(0) => break,
                Ok(got) => got,
                Err(errno) => {
                    let words = format_args!("standard input: {errno}; nothing was changed");
                    return fail(self.json, words);
                }
            };
            for byte in buf.get(..got).unwrap_or_default() {
                let reply = match byte {
                    b'\n' => {
                        if line.ends_with(b"\r") {
                            let _ = line.pop();
                        }
                        let reply = self.command(&line);
                        line.clear();
                        reply
                    }
                    byte => {
                        let text = matches!(byte, b'\t' | b'\r' | b' '..);
                        let byte = if text { *byte } else { SUBSTITUTE };
                        if line.push(byte).is_ok() {
                            continue;
                        }
                        let reply = self.reply(b'p', &line);
                        line.clear();
                        let _ = line.push(byte);
                        reply
                    }
                };
                if reply.mode != ConsoleMode::Paste || self.gone {
                    // A line `.` ends the file, as on the console.
                    return self.loaded(&reply, then);
                }
            }
            zeroize::Zeroize::zeroize(&mut buf);
        }
        if !line.is_empty() {
            let _ = self.command(&line);
        }
        let reply = self.command(b".");
        self.loaded(&reply, then)
    }

    /// Prints what a loaded file would change, and executes `then`. Returns the exit code.
    fn loaded(&mut self, reply: &Reply, then: Option<&str>) -> i32 {
        let code = self.print(reply);
        match then {
            Some(then) if code == 0 => {
                let reply = self.command(then.as_bytes());
                self.print(&reply)
            }
            _ => code,
        }
    }

    /// Talks with the person at the terminal. Returns the exit code.
    fn talk(mut self) -> i32 {
        let before = Modes::keys(sys::stdin()).ok();
        let mut terminal = Terminal::new(true);
        let mut echo = |bytes: &[u8]| {
            let _ = Stream(sys::stdout()).bytes(bytes);
        };
        terminal.welcome(&mut self, &mut echo);
        let code = loop {
            if self.gone {
                break 1;
            }
            let mut wish = Wish::Nothing;
            while wish == Wish::Nothing && terminal.has_output() && !self.gone {
                wish = terminal.pump(1024, &mut self, &mut echo);
            }
            let mut keys = [0; 64];
            if wish == Wish::Nothing {
                match again(|| io::read(sys::stdin(), &mut keys)) {
                    Ok(len) if len > 0 => {
                        let keys = keys.get(..len).unwrap_or_default();
                        wish = terminal.feed(keys, &mut self, &mut echo);
                    }
                    _ => break 0,
                }
            }
            match wish {
                Wish::Nothing => {}
                Wish::Exit => break 0,
                Wish::Shell => {
                    if let Some(modes) = &before {
                        modes.put_back(sys::stdin().as_fd());
                    }
                    let program = c"/bin/sh";
                    if let Err(errno) = sys::run(program, b"sh\0-l\0", [None; 3]) {
                        log(format_args!("/bin/sh: {errno}"));
                    }
                    let _ = Modes::keys(sys::stdin());
                    terminal.welcome(&mut self, &mut echo);
                }
            }
        };
        if let Some(modes) = before {
            modes.put_back(sys::stdin());
        }
        code
    }
}

impl Host for Agent {
    fn line(&mut self, line: &[u8], whole: bool) -> Reply {
        self.reply(if whole { b'l' } else { b'p' }, line)
    }

    fn greet(&mut self) -> Reply {
        self.reply(b'l', b"")
    }

    fn output(&mut self, offset: u32, buf: &mut [u8]) -> usize {
        self.read(offset, buf)
    }

    fn names(&mut self, take: &mut dyn FnMut(&str)) {
        let names = self.ask(b'n', b"");
        let names = core::str::from_utf8(&names).unwrap_or_default();
        names.lines().filter(|name| !name.is_empty()).for_each(take);
    }

    fn now(&mut self) -> u64 {
        Linux.now()
    }
}
