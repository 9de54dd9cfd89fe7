//! `wg`: the commands of wg(8), over a [`Process`].
//!
//! ```text
//! words or file -> conf (proto-core) -> read -> wanted -> send -> kernel
//!                                               (spool)   sync
//! kernel -> show -> (spool) -> standard output
//! ```
//!
//! A configuration is read whole before anything is changed. It is kept in a [`spool`](self), which
//! becomes a file when its window is full, so that a configuration may have any length. A failure
//! is reported where it happens, on standard error; the calls return a token.
//!
//! Not here: `wg-quick` ([`crate::quick`]), which sets its interfaces with this module.

use core::ffi::CStr;
use core::fmt::{self, Write};

use proto_core::conf::shown;
use proto_core::key::SecretKey;
use proto_core::netlink::wireguard::DeviceChange;
use proto_core::netlink::{Errno, IfName};
use proto_core::protocol::message::Subject;

use crate::fault::{Fault, Slot};
use crate::kernel::exchange::{Buffers, Kernel, Protocol};
use process::{Output, Process};
use read::Reader;
use show::Form;
use spool::Spool;
use wanted::Wanted;

mod keys;
mod memory;
pub(crate) mod nets;
pub(crate) mod order;
pub(crate) mod out;
pub mod process;
mod read;
mod screen;
mod send;
pub(crate) mod show;
pub(crate) mod spool;
mod sync;
mod take_away;
pub(crate) mod text;
mod user_space;
mod wanted;

#[cfg(test)]
mod tests;

pub use memory::Memory;

/// The token of a failure that was reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed;

/// The exit code when only endpoints without an address are missing.
const UNRESOLVED: i32 = 2;

/// The output of `wg --version`.
const VERSION: &str = concat!(
    "wg of postwired v",
    env!("CARGO_PKG_VERSION"),
    ", which does what wireguard-tools v1.0.20210914 does\n"
);

/// A command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    Show,
    ShowConf,
    Set,
    SetConf,
    AddConf,
    SyncConf,
    GenKey,
    GenPsk,
    PubKey,
}

const COMMANDS: &[(&str, Command, &str)] = &[
    ("show", Command::Show, "Shows the current configuration and device information"),
    (
        "showconf",
        Command::ShowConf,
        "Shows the current configuration of a given WireGuard interface, for use with `setconf'",
    ),
    (
        "set",
        Command::Set,
        "Change the current configuration, add peers, remove peers, or change peers",
    ),
    ("setconf", Command::SetConf, "Applies a configuration file to a WireGuard interface"),
    ("addconf", Command::AddConf, "Appends a configuration file to a WireGuard interface"),
    ("syncconf", Command::SyncConf, "Synchronizes a configuration file to a WireGuard interface"),
    ("genkey", Command::GenKey, "Generates a new private key and writes it to stdout"),
    ("genpsk", Command::GenPsk, "Generates a new preshared key and writes it to stdout"),
    ("pubkey", Command::PubKey, "Reads a private key from stdin and writes a public key to stdout"),
];

impl Command {
    /// The words after its name.
    const fn usage(self) -> &'static str {
        match self {
            Self::Show => {
                " { <interface> | all | interfaces } [public-key | private-key | listen-port | \
                 fwmark | peers | preshared-keys | endpoints | allowed-ips | latest-handshakes | \
                 transfer | persistent-keepalive | dump]"
            }
            Self::ShowConf => " <interface>",
            Self::Set => {
                " <interface> [listen-port <port>] [fwmark <mark>] [private-key <file path>] \
                 [peer <base64 public key> [remove] [preshared-key <file path>] [endpoint \
                 <ip>:<port>] [persistent-keepalive <interval seconds>] [allowed-ips \
                 [+|-]<ip1>/<cidr1>[,[+|-]<ip2>/<cidr2>]...] ]..."
            }
            Self::SetConf | Self::AddConf | Self::SyncConf => {
                " <interface> <configuration filename>"
            }
            Self::GenKey | Self::GenPsk | Self::PubKey => "",
        }
    }
}

/// The program.
pub(crate) struct Wg<'p, P> {
    pub(crate) process: &'p P,
    pub(crate) slot: &'p Slot,
    /// The name by which the program was called.
    pub(crate) program: &'p str,
    /// The prefix of its messages.
    pub(crate) says: &'static str,
}

/// The source of an interface's settings.
enum Source<'s, 't, 'w, F> {
    /// The words after the interface on the command line.
    Words(&'s mut dyn Iterator<Item = &'t str>),
    /// A file at this path.
    File(&'t str),
    /// The text of a file for wg-quick(8).
    Quick(&'s mut Spool<'w, F>),
}

/// A message in one line on standard error. Line breaks in foreign text are replaced.
struct Line<'p, P> {
    process: &'p P,
    page: [u8; 320],
    len: usize,
}

impl<P: Process> Write for Line<'_, P> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // The last byte is for the end of the line; text that does not fit is truncated.
            if self.len.saturating_add(1) < self.page.len()
                && let Some(place) = self.page.get_mut(self.len)
            {
                *place = if byte.is_ascii_control() { b'?' } else { byte };
                self.len = self.len.saturating_add(1);
            }
        }
        Ok(())
    }
}

impl<P: Process> Line<'_, P> {
    fn end(mut self) {
        if let Some(place) = self.page.get_mut(self.len) {
            *place = b'\n';
        }
        let line = self.page.get(..=self.len).unwrap_or_default();
        // Best effort: if standard error is closed, there is no reader.
        let _ = self.process.write(Output::Err, line);
    }
}

/// Executes the words after the program's name, in `memory` of zeros. Returns the exit code.
pub fn run<P: Process>(
    process: &P,
    memory: &mut Memory,
    program: &str,
    words: &mut dyn Iterator<Item = &str>,
) -> i32 {
    let slot = Slot::default();
    let wg = Wg { process, slot: &slot, program, says: "wg: " };
    let code = command(&wg, memory, words);
    crate::wipe::stack::<{ crate::wipe::PROGRAM }>();
    code
}

/// A function of its own, so that its frame is wiped too.
#[inline(never)]
fn command<P: Process>(
    wg: &Wg<'_, P>,
    memory: &mut Memory,
    words: &mut dyn Iterator<Item = &str>,
) -> i32 {
    wg.command(memory, words).unwrap_or(1)
}

impl<'p, P: Process> Wg<'p, P> {
    const fn line(&self) -> Line<'_, P> {
        Line { process: self.process, page: [0; 320], len: 0 }
    }

    /// Writes a message to standard error.
    #[inline(never)]
    pub(crate) fn say(&self, words: fmt::Arguments<'_>) -> Failed {
        self.note(self.says, words);
        Failed
    }

    /// Writes a line to standard error.
    #[inline(never)]
    pub(crate) fn note(&self, head: &str, words: fmt::Arguments<'_>) {
        let mut line = self.line();
        let _ = line.write_str(head);
        let _ = line.write_fmt(words);
        line.end();
    }

    /// Reports a failure, and the step that it belongs to.
    #[inline(never)]
    pub(crate) fn tell(&self, what: &str, name: &str, fault: Fault) -> Failed {
        let failure = self.slot.take(fault);
        let text = &failure.text;
        match failure.subject {
            Subject::None | Subject::Interface | Subject::Rule => {
                self.say(format_args!("{what}{name}: {text}"))
            }
            Subject::Peer(key) => self.say(format_args!("{what}{name}: peer {key}: {text}")),
            Subject::AllowedIp(key, net) => {
                self.say(format_args!("{what}{name}: peer {key}: allowed IP {net}: {text}"))
            }
            Subject::ListenPort => self.say(format_args!("{what}{name}: listen port: {text}")),
            Subject::Fwmark => self.say(format_args!("{what}{name}: fwmark: {text}")),
            Subject::PrivateKey => self.say(format_args!("{what}{name}: private key: {text}")),
            // The subject of the failure: wg-quick's addresses, routes and rules.
            _ => self.say(format_args!("{what}{name}: {text}")),
        }
    }

    /// Whether an environment variable has this value.
    fn is(&self, name: &CStr, value: &str) -> bool {
        self.process.variable(name) == Some(value)
    }

    pub(crate) fn usage(&self, command: &str, behind: &str) -> Failed {
        let program = self.program;
        // The value is longer than our buffer.
        for part in ["Usage: ", program, " ", command, behind, "\n"] {
            let _ = self.process.write(Output::Err, part.as_bytes());
        }
        Failed
    }

    /// All commands.
    fn help(&self, output: Output) {
        let write = |text: &str| {
            let _ = self.process.write(output, text.as_bytes());
        };
        for part in ["Usage: ", self.program, " <cmd> [<args>]\n\nAvailable subcommands:\n"] {
            write(part);
        }
        for (name, _, what) in COMMANDS {
            for part in ["  ", name, ": ", what, "\n"] {
                write(part);
            }
        }
        write("You may pass `--help' to any of these subcommands to view usage.\n");
    }

    fn command(
        &self,
        memory: &mut Memory,
        words: &mut dyn Iterator<Item = &str>,
    ) -> Result<i32, Failed> {
        let name = words.next();
        let first = words.next();
        match name {
            Some("-h" | "--help" | "help") if first.is_none() => {
                self.help(Output::Out);
                return Ok(0);
            }
            Some("-v" | "--version" | "version") if first.is_none() => {
                let _ = self.process.write(Output::Out, VERSION.as_bytes());
                return Ok(0);
            }
            _ => {}
        }
        let name = name.unwrap_or("show");
        let named = |(command, ..): &&(&str, _, _)| *command == name;
        let Some((_, command, _)) = COMMANDS.iter().find(named) else {
            let Failed = self.say(format_args!("there is no command `{}`", shown(name)));
            self.help(Output::Err);
            return Err(Failed);
        };
        let usage = || self.usage(name, command.usage());
        let second = words.next();
        if *command == Command::Set {
            let (Some(first), Some(second)) = (first, second) else { return Err(usage()) };
            let mut words = core::iter::once(second).chain(words);
            return self.configure(memory, *command, first, Source::Words(&mut words));
        }
        match (command, first, second) {
            _ if words.next().is_some() => Err(usage()),
            (Command::Show, Some("-h" | "--help" | "help"), None) => {
                let Failed = usage();
                Ok(0)
            }
            (Command::Show, Some("interfaces"), Some(_)) => Err(usage()),
            (Command::Show, of, None) => self.show(memory, of, Ok(Form::Pretty)),
            (Command::Show, of, Some(field)) => {
                self.show(memory, of, Form::named(field).ok_or(field))
            }
            (Command::ShowConf, Some(of), None) => {
                self.show(memory, Some(of), Ok(Form::Configuration))
            }
            (Command::SetConf | Command::AddConf | Command::SyncConf, Some(of), Some(path)) => {
                self.configure(memory, *command, of, Source::File(path))
            }
            (Command::GenKey | Command::GenPsk, None, _) => {
                self.generate(*command == Command::GenKey)
            }
            (Command::PubKey, None, _) => self.public_key(),
            _ => Err(usage()),
        }
    }

    pub(crate) fn kernel<'b>(
        &'b self,
        buffers: &'b mut Buffers,
    ) -> Result<Kernel<'b, P::Netlink>, Failed> {
        let refused = |errno| self.say(format_args!("netlink: {errno}"));
        let route = self.process.netlink(Protocol::Route).map_err(refused)?;
        let generic = self.process.netlink(Protocol::Generic).map_err(refused)?;
        Ok(Kernel::new(route, generic, self.slot, buffers).with_user_space(self))
    }

    /// An empty file for data that is larger than memory.
    fn spool<'w>(&self, window: &'w mut [u8]) -> Spool<'w, P::File>
    where
        'p: 'w,
    {
        Spool::new(self.slot, self.process.scratch(), window)
    }

    fn interface(&self, name: &str) -> Result<IfName, Failed> {
        name.parse().map_err(|error| self.say(format_args!("`{}`: {error}", shown(name))))
    }

    /// `addconf` from a file of wg-quick(8).
    pub(crate) fn add_quick(
        &self,
        memory: &mut Memory,
        name: &str,
        file: &mut Spool<'_, P::File>,
    ) -> Result<i32, Failed> {
        self.configure(memory, Command::AddConf, name, Source::Quick(file))
    }

    /// `set`, `setconf`, `addconf` and `syncconf`.
    fn configure(
        &self,
        memory: &mut Memory,
        command: Command,
        name: &str,
        source: Source<'_, '_, '_, P::File>,
    ) -> Result<i32, Failed> {
        let Memory { buffers, set, piece, windows: [peers, ips], small: [extras, _], lookup } =
            memory;
        let mut lookup = Some(lookup).filter(|_| command == Command::SyncConf);
        if let Some(lookup) = &mut lookup {
            let random = self.process.random(lookup.key());
            random.map_err(|errno| self.say(format_args!("random numbers: {errno}")))?;
        }
        let whole = DeviceChange {
            private_key: Some(SecretKey::ZERO),
            listen_port: Some(0),
            fwmark: Some(0),
            replace_peers: true,
        };
        let adds = matches!(command, Command::Set | Command::AddConf);
        let device = if adds { DeviceChange::default() } else { whole };
        let (peers, ips) = (self.spool(peers), self.spool(ips));
        let mut wanted = Wanted { device, peers, ips, count: 0, takes_away: false };
        let mut reader = Reader::new(self, &mut wanted, lookup.as_deref_mut());
        match source {
            Source::Words(words) => reader.words(words)?,
            Source::File(path) => reader.file(path, piece)?,
            Source::Quick(file) => reader.quick(file)?,
        }
        let lost = reader.lost;
        let of = self.interface(name)?;
        let mut kernel = self.kernel(buffers)?;
        kernel.choose(of);
        let done = match lookup {
            None => match send::send(&mut kernel, of, &mut wanted, None, set) {
                // Kernels before 6.16 cannot remove an allowed IP.
                Err(_) if wanted.takes_away && self.slot.is(Errno::EINVAL) => {
                    self.take_away(&mut kernel, of, &mut wanted, set)
                }
                sent => sent.map(|_| ()),
            },
            Some(lookup) => {
                let extras = self.spool(extras);
                sync::sync(&mut kernel, of, &mut wanted, lookup, extras, set)
            }
        };
        kernel.wipe();
        done.map_err(|fault| {
            let port = "another program or interface has this port";
            let about = Some(Subject::ListenPort);
            let fault = self.slot.reword(fault, Errno::EADDRINUSE, about, port);
            self.tell("cannot change ", name, fault)
        })?;
        Ok(if lost > 0 { UNRESOLVED } else { 0 })
    }
}
