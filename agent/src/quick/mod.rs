//! `wg-quick`: an interface with its addresses, routes, name servers and hooks, from one file, over a
//! [`QuickProcess`].
//!
//! ```text
//! file -> conf -> up:   link, hooks, settings (wg), addresses, mtu, dns, routes, hooks
//!                 down: hooks, save, dns, firewall, rules, link, hooks
//! ```
//!
//! The file is read once into a `Spool`, and each step reads the `Spool` again. So the file may
//! have any length and cannot change between steps. Each change is printed on standard error, as
//! the command of ip(8) or wg(8) that has the same effect. None of these commands is run: wg-quick
//! runs only hooks, `resolvconf`, and `nft` or the programs of `iptables`.
//!
//! Not here: the path from `[Peer]` to the kernel ([`crate::wg`]).

use core::fmt::{self, Write};

use proto_core::conf::shown;
use proto_core::netlink::{Errno, IfName};
use proto_core::text::split_last;

use crate::fault::{Fault, Slot};
use crate::kernel::exchange::{Buffers, Kernel};
use crate::system::File;
use crate::wg::spool::Spool;
use crate::wg::{Failed, Memory, Wg};
use conf::Conf;
use process::QuickProcess;

mod conf;
mod dns;
mod down;
mod firewall;
mod mtu;
pub mod process;
mod programs;
mod routes;
mod save;
mod up;

#[cfg(test)]
mod tests;

/// The failure was reported; the program ends with this exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Exit(i32);

/// A failure of wg-quick itself.
const FAILED: Exit = Exit(1);
/// A failure for which `ip` has its own exit code.
const REFUSED: Exit = Exit(2);

impl From<Failed> for Exit {
    fn from(Failed: Failed) -> Self {
        FAILED
    }
}

/// Bytes of the file, and of similar data, that are kept in memory.
const WINDOW: usize = 32 * 1024;

const USAGE: &str = "[ up | down | save | strip ] [ CONFIG_FILE | INTERFACE ]

CONFIG_FILE is a file called INTERFACE.conf; INTERFACE alone means /etc/wireguard/INTERFACE.conf.
The format is that of wg(8). [Interface] also accepts:
  Address     addresses of the interface, with their prefixes
  DNS         name servers and search domains while the interface is up (resolvconf)
  MTU         MTU of the interface; by default one that fits the routes to the endpoints
  Table       the routing table for its routes: a number or a name, `auto`, or `off`
  PreUp, PostUp, PreDown, PostDown
              commands for /bin/bash, or /bin/sh where there is no bash; %i is the
              interface
  SaveConfig  `true`: `down` saves the current state of the interface to the file
";

/// The interface and its file.
struct Session<'s, 'p, 'w, P: QuickProcess> {
    wg: &'s Wg<'p, P>,
    memory: &'s mut Memory,
    name: IfName,
    /// The path of the file.
    path: &'s str,
    conf: Conf<'w, P::File>,
    kernel: Kernel<'s, P::Netlink>,
    /// `ifi_index`, once the link exists.
    index: u32,
    /// The settings of `up` that are not removed together with the link. The firewall may be set in part.
    dns_is_set: bool,
    firewall_is_set: bool,
}

/// Executes the words after the program's name. `memory`, of zeros, is for `wg`. Returns the exit
/// code.
pub fn run<P: QuickProcess>(
    process: &P,
    memory: &mut Memory,
    program: &str,
    words: &mut dyn Iterator<Item = &str>,
) -> i32 {
    let slot = Slot::default();
    let wg = Wg { process, slot: &slot, program, says: "wg-quick: " };
    let (command, of, more) = (words.next(), words.next(), words.next());
    let done = match (command, of, more) {
        (Some("--help" | "-h" | "help"), None, _) => {
            wg.usage(USAGE, "");
            Ok(())
        }
        (Some(command @ ("up" | "down" | "save" | "strip")), Some(of), None) => {
            if process.is_root() {
                command_of(&wg, memory, command, of)
            } else {
                Err(wg.say(format_args!("only root may do this")).into())
            }
        }
        _ => {
            wg.usage(USAGE, "");
            Err(FAILED)
        }
    };
    crate::wipe::stack::<{ crate::wipe::PROGRAM }>();
    done.map_or_else(|Exit(code)| code, |()| 0)
}

#[inline(never)]
fn command_of<P: QuickProcess>(
    wg: &Wg<'_, P>,
    memory: &mut Memory,
    command: &str,
    of: &str,
) -> Result<(), Exit> {
    let mut given: heapless::String<64> = heapless::String::new();
    let given = if IfName::plain(of).is_ok() {
        // The name is short enough.
        let _ = write!(given.as_mut_view(), "/etc/wireguard/{of}.conf");
        given.as_str()
    } else {
        of
    };
    let mut buf = [0; 4096];
    let path = match wg.process.real_path(given, &mut buf) {
        Ok(path) => path,
        Err(Errno::ENOENT) => {
            return Err(wg.say(format_args!("`{}' does not exist", shown(given))).into());
        }
        Err(errno) => return Err(wg.say(format_args!("{}: {errno}", shown(given))).into()),
    };
    // The name is that of the symbolic link, if the path is one.
    let file = split_last(given, b'/').map_or(given, |(_, file)| file);
    let name = file.strip_suffix(".conf").and_then(|name| IfName::plain(name).ok());
    let Some(name) = name else {
        let words = "the file's name must be the name of the interface, 1 to 15 of the letters a-z A-Z, \
                     digits and _ = + . -, followed by `.conf'";
        return Err(wg.say(format_args!("`{}': {words}", shown(given))).into());
    };
    let (folder, _) = split_last(path, b'/').unwrap_or(("", path));
    let mode = |path: &str| wg.process.mode(path).unwrap_or(0);
    if mode(path) & mode(if folder.is_empty() { "/" } else { folder }) & 0o7 != 0 {
        wg.note("Warning: ", format_args!("`{path}' is world accessible"));
    }
    let mut window = [0; WINDOW];
    let text = Spool::new(wg.slot, wg.process.scratch(), &mut window);
    let mut conf = Conf::read(wg, path, text)?;
    if command == "strip" {
        return conf.strip(wg);
    }
    let mut buffers = Buffers::default();
    let kernel = wg.kernel(&mut buffers)?;
    let (index, dns_is_set, firewall_is_set) = (0, false, false);
    let mut session =
        Session { wg, memory, name, path, conf, kernel, index, dns_is_set, firewall_is_set };
    let done = match command {
        "up" => session.up(),
        "down" => session.down(),
        _ => session.save_command(),
    };
    session.kernel.wipe();
    done
}

impl<P: QuickProcess> Session<'_, '_, '_, P> {
    /// Prints the command that has the same effect as the next step.
    fn echo(&self, words: fmt::Arguments<'_>) {
        self.wg.note("[#] ", words);
    }

    /// Reports a refusal.
    fn refused(&self, what: &str, fault: Fault) -> Exit {
        let Failed = self.wg.tell(what, "", fault);
        REFUSED
    }

    /// An empty file for data that is larger than memory.
    fn spool<'w>(&self, window: &'w mut [u8]) -> Spool<'w, P::File>
    where
        Self: 'w,
    {
        Spool::new(self.wg.slot, self.wg.process.scratch(), window)
    }
}

/// Visits the lines of a stream that is read from its start. A line that is too long to match is
/// skipped.
fn lines(next: &mut process::Next<'_>, take: &mut dyn FnMut(&str)) -> Result<(), Errno> {
    let (mut line, mut piece) = ([0; 1024], [0; 512]);
    let (mut len, mut fits) = (0_usize, true);
    loop {
        let got = next(&mut piece)?;
        // The last line may lack a line end.
        let bytes: &[u8] = if got == 0 { b"\n" } else { piece.get(..got).unwrap_or_default() };
        for byte in bytes {
            if *byte == b'\n' {
                let text = core::str::from_utf8(line.get(..len).unwrap_or_default());
                if let (Ok(text), true) = (text, fits) {
                    take(text);
                }
                (len, fits) = (0, true);
                continue;
            }
            match line.get_mut(len) {
                Some(place) => *place = *byte,
                None => fits = false,
            }
            len = len.saturating_add(1);
        }
        if got == 0 {
            return Ok(());
        }
    }
}

/// Reads one of our own files from its start.
fn from_start<F: File>(file: &mut F) -> impl FnMut(&mut [u8]) -> Result<usize, Errno> {
    let mut at = 0_u32;
    move |buf| {
        let got = file.read_at(at, buf)?;
        at = at.saturating_add(got as u32);
        Ok(got)
    }
}
