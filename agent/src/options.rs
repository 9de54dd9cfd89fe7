//! The command line of `postwired`: the options, the policy and the help text. Not here: reading the words
//! (`parse`).

mod parse;

use core::fmt;
use core::net::SocketAddr;

use heapless::Vec;
use proto_core::ip::Shown;
use proto_core::key::PublicKey;
use proto_core::netlink::IfName;
use proto_core::text::split;

pub use parse::parse;

/// Maximum number of `--interface` and of `--udp` options.
const REPEATS: usize = 4;

/// The output of `postwired --help`.
pub const HELP: &str = "\
postwired: takes WireGuard configuration over a serial line or UDP and applies it

usage: postwired serve [OPTIONS]
       postwired check [OPTIONS]                 check the options of serve, and print what they open
       postwired identity [--keep DIR | --json]  print the router's public key and fingerprint
       postwired reset-owner [KEY] [--keep DIR]  remove all owners; make KEY the only owner, if given
       postwired console [--state DIR]           the console of the running agent; `help` in it lists the commands
       postwired COMMAND [--json] [--state DIR]  one command of the console: status, show, owners, history, diff,
                                                 confirm, revert, rollback, repair, remove, log, claim
       postwired load IF [within TIME] [adopt] [--check] [--json] [--state DIR] < FILE
                                                 apply a wg-quick file; --check shows only what would change
       postwired console take|give [DEVICE]      take the serial console from OpenWrt's login, or give it back

options of serve:
  --serial DEVICE[@BAUD]  listen on this serial port (115200 8N1 by default); `auto` takes
                          the port of the board, if the board is known
  --udp PLACE[:PORT]      listen for UDP (port 5182) on an address, such as 192.168.1.1 or [::], or on
                          all addresses of an interface, such as br-lan; up to 4 times. Opened once
                          the router has an owner or an unused label secret
  --interface PATTERN     the interfaces that may be changed, such as wg0 or wg* (wg*);
                          up to 4 times
  --keep DIR              the folder of the router's own key, its owners and its configurations
                          (/etc/postwired); must survive a reboot
  --label-secret FILE     the secret on the router's label, which allows one claim of the router
                          over UDP. Without it, a claim needs the serial line
  --on-drift ignore|report|repair
                          when another program changes or deletes an interface that is stored: say so
                          in the log and in `postwire status` (report, the default), also put back what
                          is stored, less and less often if it happens again and again (repair), or do
                          not look for such changes (ignore)
  --applied PROGRAM       run `PROGRAM INTERFACE WHAT` after each change of an interface; WHAT is push,
                          rollback, remove, repair, revert or start
  --console on|off|shell  what a person at the serial port gets: the console (on), nothing, or a shell
  --shell PROGRAM         the program that the console's `shell` runs (/usr/libexec/login.sh)
  --led NAME|auto         show on this LED (a folder of /sys/class/leds) what the agent is doing; `auto`
                          takes the status LED of the board. on: waits; short gaps: a session; flickers:
                          a push; slow blinking: waits to be confirmed; short flashes: trouble
  --state DIR             the folder of a push while it arrives, and of the state to restore if it
                          fails (/var/run/postwired); best in memory
  -h, --help              this text
  -V, --version           the version

At least one of --serial and --udp is needed. The agent waits for a missing port, address or interface.
--keep and --state must be different folders; missing folders are created.
Runs in the foreground until SIGTERM or SIGINT.
Logs information to standard output and errors to standard error.

exit codes: 0 done, 1 failure, 2 invalid command line
";

/// The options that take a path.
const PATHS: [&str; 5] = ["--keep", "--state", "--label-secret", "--shell", "--applied"];

/// The default program of the console's `shell`: OpenWrt's login.
pub const SHELL: &str = "/usr/libexec/login.sh";

/// The default of `--state`.
pub const STATE: &str = "/var/run/postwired";

/// The default of `--keep`, which must survive a reboot.
pub const KEEP: &str = "/etc/postwired";

/// The default speed of a serial port, in bits a second.
pub const BAUD: u32 = 115_200;

/// Which interfaces may be changed.
#[derive(Clone, Debug, Default)]
pub struct Policy<'a> {
    patterns: Vec<&'a str, REPEATS>,
}

impl fmt::Display for Policy<'_> {
    /// Writes the patterns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.patterns.is_empty() {
            return f.write_str("wg*");
        }
        for (nth, pattern) in self.patterns.iter().enumerate() {
            f.write_str(if nth == 0 { "" } else { ", " })?;
            f.write_str(pattern)?;
        }
        Ok(())
    }
}

impl<'a> Policy<'a> {
    /// Adds a pattern: a name, or a prefix followed by `*`.
    ///
    /// # Errors
    /// [`OptionsError`] when the pattern cannot match a name, or there are too many patterns.
    #[inline(never)]
    pub fn allow(&mut self, pattern: &'a str) -> Result<(), OptionsError<'a>> {
        let stem = pattern.strip_suffix('*').unwrap_or(pattern);
        let name = pattern == "*" || stem.parse::<proto_core::netlink::IfName>().is_ok();
        if !name || split(stem, b'*').is_some() {
            return Err(OptionsError::Value("--interface", pattern));
        }
        self.patterns.push(pattern).map_err(|_| OptionsError::TooMany("--interface"))
    }

    /// Whether an interface may be changed. Without any pattern: the interfaces whose names start
    /// with `wg`.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(stem) => name.starts_with(stem),
            None => name == pattern,
        };
        if self.patterns.is_empty() {
            return fits("wg*");
        }
        self.patterns.iter().any(|pattern| fits(pattern))
    }
}

/// What to do when another program changes a stored interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnDrift {
    /// Do not look.
    Ignore,
    /// Log and show the difference.
    Report,
    /// Also apply the stored configuration.
    Repair,
}

/// A serial port and its speed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SerialPort<'a> {
    /// The path of the device.
    pub device: &'a str,
    /// Bits a second.
    pub baud: u32,
}

/// The use of the serial port by a person.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Console {
    /// No console: the port is for frames only.
    Off,
    /// The console.
    On,
    /// A shell; its end leads to the console.
    Shell,
}

impl Console {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            "on" => Some(Self::On),
            "shell" => Some(Self::Shell),
            _ => None,
        }
    }
}

/// A place to listen on for UDP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UdpPlace {
    /// An address and port of the router, or all addresses.
    Address(SocketAddr),
    /// A port on all addresses of an interface.
    Interface(IfName, u16),
}

impl UdpPlace {
    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self {
            Self::Address(address) => address.port(),
            Self::Interface(_, port) => *port,
        }
    }

    /// Whether the kernel refuses one of the places while the other is open: they have the same
    /// port, and one of them uses it on all addresses.
    fn overlaps(&self, other: &Self) -> bool {
        let single = |place: &Self| matches!(place, Self::Address(address) if !address.ip().is_unspecified());
        let apart = match (self, other) {
            (Self::Interface(one, _), Self::Interface(other, _)) => one != other,
            _ => single(self) && single(other),
        };
        self.port() == other.port() && !apart
    }
}

impl fmt::Display for UdpPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => Shown(*address).fmt(f),
            Self::Interface(name, port) => write!(f, "{}:{port}", name.as_str()),
        }
    }
}

/// The command.
#[derive(Clone, Debug)]
pub enum Command<'a> {
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Serve.
    Serve(Options<'a>),
    /// Print the wires that these options of `serve` open.
    Check(Options<'a>),
    /// Print the router's public key.
    Identity {
        /// The folder of the key.
        keep: &'a str,
    },
    /// Remove all owners.
    ResetOwner {
        /// The folder of the list.
        keep: &'a str,
        /// The new only owner, if any.
        key: Option<PublicKey>,
    },
}

/// The options of `serve`.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// The serial port, if any.
    pub serial: Option<SerialPort<'a>>,
    /// The places for UDP.
    pub udp: Vec<UdpPlace, REPEATS>,
    /// The interfaces that may be changed.
    pub policy: Policy<'a>,
    /// The folder for a push in progress.
    pub state: &'a str,
    /// The folder for the identity and the owners.
    pub keep: &'a str,
    /// The file with the label's secret, if any.
    pub label_secret: Option<&'a str>,
    /// The name of the LED that shows what the agent is doing, if any.
    pub led: Option<&'a str>,
    /// The use of the serial port by a person.
    pub console: Console,
    /// The program that the console's `shell` runs.
    pub shell: &'a str,
    /// The program to run after each change of an interface.
    pub applied: Option<&'a str>,
    /// What to do when another program changes a stored interface.
    pub on_drift: OnDrift,
}

/// An error in a command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OptionsError<'a> {
    /// No command.
    NoCommand,
    /// An unknown command.
    Command(&'a str),
    /// An unknown option.
    Option(&'a str),
    /// An option at the end that needs a value.
    Missing(&'a str),
    /// A value that is invalid for the option.
    Value(&'a str, &'a str),
    /// An option that was given before.
    Twice(&'a str),
    /// An option that was given too often.
    TooMany(&'a str),
    /// Neither a serial port nor a place for UDP.
    NoWire,
    /// A place for UDP that overlaps another one.
    Overlap(&'a str),
    /// `--keep` and `--state` are the same folder.
    OneFolder,
    /// `auto` for this option, of something that is not known of the board with this name.
    UnknownBoard(&'a str, &'a str),
    /// An argument that is not UTF-8.
    NotText,
}

impl fmt::Display for OptionsError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, word, after) = match self {
            Self::NoCommand => ("give a command, most often `serve`", "", ""),
            Self::Command(word) => (
                "there is no command `",
                *word,
                "`: try serve, check, identity, reset-owner, console or status",
            ),
            Self::Option(word) => ("there is no option `", *word, "`"),
            Self::Missing(option) => ("", *option, " needs a value"),
            Self::Value(option, value) => {
                let wanted = match *option {
                    "--serial" => "a device and a speed, such as /dev/ttyS1@115200",
                    "--udp" => {
                        "an address or interface and a port, such as 192.168.1.1, [fd00::1]:5182 or br-lan"
                    }
                    "--on-drift" => "ignore, report or repair",
                    "--console" => "on, off or shell",
                    "--led" => "the name of a folder of /sys/class/leds",
                    "--interface" => "an interface name, or a prefix followed by `*`",
                    "reset-owner" => "a public key, which is 44 characters of base64",
                    _ => "an absolute path of at most 200 bytes",
                };
                return write!(f, "{option} takes {wanted}, not `{value}`");
            }
            Self::Twice(option) => ("", *option, " is given twice"),
            Self::TooMany(option) => {
                return write!(f, "{option} is given more than {REPEATS} times");
            }
            Self::Overlap(place) => (
                "--udp ",
                *place,
                " overlaps another --udp: an interface, or all addresses, uses its port alone",
            ),
            Self::NoWire => ("nothing to listen on: give --serial, --udp or both", "", ""),
            Self::OneFolder => {
                ("--state and --keep are the same folder: each needs its own", "", "")
            }
            Self::UnknownBoard(option, name) => {
                let what = if *option == "--led" { "an LED" } else { "the serial port" };
                return write!(
                    f,
                    "{option} auto: {what} of the board `{name}` is not known; name it"
                );
            }
            Self::NotText => ("an argument is not UTF-8 text", "", ""),
        };
        write!(f, "{before}{word}{after}")
    }
}

impl core::error::Error for OptionsError<'_> {}

#[cfg(test)]
mod tests;
