//! The command line of `postwired`.

use core::fmt;
use core::net::{Ipv4Addr, SocketAddr};

use heapless::Vec;
use proto_core::ip::{parse_endpoint, parse_ip};
use proto_core::key::PublicKey;
use proto_core::protocol::DEFAULT_PORT;
use proto_core::text::{number, split, split_last};

/// How many interface patterns there may be.
const PATTERNS: usize = 4;

/// What `postwired --help` prints.
pub const HELP: &str = "\
postwired: takes WireGuard configuration over a serial line or UDP and applies it

usage: postwired serve [OPTIONS]
       postwired identity [--keep DIR]           print the router's public key and fingerprint
       postwired reset-owner [KEY] [--keep DIR]  forget all owners; make KEY the only one, if given

options of serve:
  --serial DEVICE[@BAUD]  listen on this serial port (115200 8N1 unless told otherwise);
                          `auto` takes the port of the board, if it is a known one
  --udp ADDRESS[:PORT]    listen on this UDP address (port 5182), for example 192.168.1.1 or [::]
  --interface PATTERN     the interfaces that may be changed, such as wg0 or wg* (wg*);
                          up to 4 times
  --keep DIR              where the router's own key, its owners and its configurations are kept
                          (/etc/postwired); has to outlive a reboot
  --label-secret FILE     the secret on the router's label: whoever knows it may claim the router
                          over UDP, once. Without it that takes the serial line
  --state DIR             where a push is kept while it arrives, and what to go back to while it is
                          applied (/var/run/postwired); best in memory
  -h, --help              this text
  -V, --version           the version

At least one of --serial and --udp is needed; a port or address that is missing is waited for. --keep and
--state are two folders, which are made if missing. Runs in the foreground until SIGTERM or SIGINT; the log
goes to standard error.

exit codes: 0 done, 1 it could not go on, 2 the command line is wrong
";

/// The options that take a path.
const PATHS: [&str; 3] = ["--keep", "--state", "--label-secret"];

/// Where to keep things unless told otherwise.
pub const STATE: &str = "/var/run/postwired";

/// Where to keep what has to outlive a reboot, unless told otherwise.
pub const KEEP: &str = "/etc/postwired";

/// The speed of a serial port unless told otherwise, in bits a second.
pub const BAUD: u32 = 115_200;

/// Which interfaces may be changed.
#[derive(Clone, Debug, Default)]
pub struct Policy<'a> {
    patterns: Vec<&'a str, PATTERNS>,
}

impl<'a> Policy<'a> {
    /// Adds a pattern: a name, or the beginning of one and `*`.
    ///
    /// # Errors
    /// [`OptionsError`] when it cannot match a name, or there are too many.
    #[inline(never)]
    pub fn allow(&mut self, pattern: &'a str) -> Result<(), OptionsError<'a>> {
        let stem = pattern.strip_suffix('*').unwrap_or(pattern);
        let name = pattern == "*" || stem.parse::<proto_core::netlink::IfName>().is_ok();
        if !name || split(stem, b'*').is_some() {
            return Err(OptionsError::Value("--interface", pattern));
        }
        self.patterns.push(pattern).map_err(|_| OptionsError::TooMany("--interface"))
    }

    /// Whether an interface may be changed. Without any pattern: the ones whose names begin with
    /// `wg`.
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

/// A serial port and its speed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SerialPort<'a> {
    /// The path of the device.
    pub device: &'a str,
    /// Bits a second.
    pub baud: u32,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Command<'a> {
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Serve.
    Serve(Options<'a>),
    /// Print the router's public key.
    Identity {
        /// Where it is kept.
        keep: &'a str,
    },
    /// Forget all owners.
    ResetOwner {
        /// Where they are kept.
        keep: &'a str,
        /// The only owner from now on, if any.
        key: Option<PublicKey>,
    },
}

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// The serial port, if any.
    pub serial: Option<SerialPort<'a>>,
    /// The UDP address, if any.
    pub udp: Option<SocketAddr>,
    /// The interfaces that may be changed.
    pub policy: Policy<'a>,
    /// Where a push is kept while it arrives.
    pub state: &'a str,
    /// Where the identity and the owners are kept.
    pub keep: &'a str,
    /// The file with the label's secret, if there is one.
    pub label_secret: Option<&'a str>,
}

/// What is wrong with a command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OptionsError<'a> {
    /// No command.
    NoCommand,
    /// A command there is none of.
    Command(&'a str),
    /// An option there is none of.
    Option(&'a str),
    /// An option at the end that needs a value.
    Missing(&'a str),
    /// A value that the option does not take.
    Value(&'a str, &'a str),
    /// An option that was given before.
    Twice(&'a str),
    /// An option that was given too often.
    TooMany(&'a str),
    /// Neither a serial port nor a UDP address.
    NoWire,
    /// `--serial auto` on a board nobody told us of: its name.
    UnknownBoard(&'a str),
    /// An argument that is not UTF-8.
    NotText,
}

impl fmt::Display for OptionsError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, word, after) = match self {
            Self::NoCommand => ("what should it do? Most often: serve", "", ""),
            Self::Command(word) => {
                ("there is no command `", *word, "`: try serve, identity or reset-owner")
            }
            Self::Option(word) => ("there is no option `", *word, "`"),
            Self::Missing(option) => ("", *option, " needs a value"),
            Self::Value(option, value) => {
                let wanted = match *option {
                    "--serial" => "a device and a speed, such as /dev/ttyS1@115200",
                    "--udp" => "an address, such as 192.168.1.1 or [::1]:5182",
                    "--interface" => "an interface name, or the beginning of one and `*`",
                    "reset-owner" => "a public key, which is 44 characters of base64",
                    _ => "an absolute path of at most 200 bytes",
                };
                return write!(f, "{option} takes {wanted}, not `{value}`");
            }
            Self::Twice(option) => ("", *option, " is given twice"),
            Self::TooMany(option) => {
                return write!(f, "{option} is given more than {PATTERNS} times");
            }
            Self::NoWire => ("nothing to listen on: give --serial, --udp or both", "", ""),
            Self::UnknownBoard(name) => (
                "--serial auto: the serial port of the board `",
                *name,
                "` is not known; name the device",
            ),
            Self::NotText => ("an argument is not text", "", ""),
        };
        write!(f, "{before}{word}{after}")
    }
}

impl core::error::Error for OptionsError<'_> {}

/// Reads a command line without the program's own name. `board` is the board's name, for
/// `--serial auto`.
///
/// # Errors
/// [`OptionsError`] for the first argument that is wrong.
#[inline(never)]
pub fn parse<'a>(
    mut args: impl Iterator<Item = &'a str>,
    board: &'a str,
) -> Result<Command<'a>, OptionsError<'a>> {
    let command = match args.next() {
        None => return Err(OptionsError::NoCommand),
        Some("-h" | "--help" | "help") => return Ok(Command::Help),
        Some("-V" | "--version") => return Ok(Command::Version),
        Some(word @ ("serve" | "identity" | "reset-owner")) => word,
        Some(word) if word.starts_with('-') => return Err(OptionsError::NoCommand),
        Some(word) => return Err(OptionsError::Command(word)),
    };
    let (mut serial, mut udp, mut key) = (None, None, None);
    let mut paths = [None; PATHS.len()];
    let mut policy = Policy::default();
    while let Some(word) = args.next() {
        let (option, mut given) = match split(word, b'=') {
            Some((option, value)) if word.starts_with("--") => (option, Some(value)),
            _ => (word, None),
        };
        let path = PATHS.iter().position(|known| *known == option);
        match (option, command) {
            ("-h" | "--help", _) => return Ok(Command::Help),
            ("-V" | "--version", _) => return Ok(Command::Version),
            // The first one is for all commands.
            _ if path == Some(0) || (path.is_some() && command == "serve") => {}
            ("--serial" | "--udp" | "--interface", "serve") => {}
            (_, "reset-owner") if !word.starts_with('-') => {
                let wrong = OptionsError::Value(command, word);
                if key.replace(word.parse().map_err(|_| wrong)?).is_some() {
                    return Err(OptionsError::Twice("the key"));
                }
                continue;
            }
            _ => return Err(OptionsError::Option(word)),
        }
        let value = given.take().or_else(|| args.next()).ok_or(OptionsError::Missing(option))?;
        let wrong = OptionsError::Value(option, value);
        let before = match (path.and_then(|at| paths.get_mut(at)), option) {
            (Some(_), _) if !value.starts_with('/') || value.len() > 200 => return Err(wrong),
            (Some(path), _) => path.replace(value).is_some(),
            (None, "--serial") => serial.replace(serial_port(value, board)?).is_some(),
            (None, "--udp") => udp.replace(udp_address(value).ok_or(wrong)?).is_some(),
            _ => {
                policy.allow(value)?;
                false
            }
        };
        if before {
            return Err(OptionsError::Twice(option));
        }
    }
    let [keep, state, label_secret] = paths;
    let keep = keep.unwrap_or(KEEP);
    match command {
        "identity" => return Ok(Command::Identity { keep }),
        "reset-owner" => return Ok(Command::ResetOwner { keep, key }),
        _ => {}
    }
    if serial.is_none() && udp.is_none() {
        return Err(OptionsError::NoWire);
    }
    let state = state.unwrap_or(STATE);
    Ok(Command::Serve(Options { serial, udp, policy, state, keep, label_secret }))
}

#[inline(never)]
fn serial_port<'a>(value: &'a str, board: &'a str) -> Result<SerialPort<'a>, OptionsError<'a>> {
    if value == "auto" {
        let (port, _) = board::auto(board).ok_or(OptionsError::UnknownBoard(board))?;
        return serial_port(port, board);
    }
    let wrong = OptionsError::Value("--serial", value);
    let (device, baud) = match split_last(value, b'@') {
        Some((device, baud)) => (device, number(baud).ok_or(wrong)?),
        None => (value, BAUD),
    };
    if !device.starts_with('/') || device.len() > 200 || baud == 0 {
        return Err(wrong);
    }
    Ok(SerialPort { device, baud })
}

#[inline(never)]
fn udp_address(value: &str) -> Option<SocketAddr> {
    if let Some(address) = parse_endpoint(value) {
        return Some(address);
    }
    let bare = value.strip_prefix('[').and_then(|v| v.strip_suffix(']')).unwrap_or(value);
    if let Some(address) = parse_ip(bare) {
        return Some(SocketAddr::new(address, DEFAULT_PORT));
    }
    let port = u16::try_from(number(value.strip_prefix(':')?)?).ok()?;
    Some(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(line: &'static str) -> Result<Options<'static>, OptionsError<'static>> {
        match parse(line.split_whitespace(), "qemu,q35")? {
            Command::Serve(options) => Ok(options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_are_read() {
        let options = serve("serve --serial /dev/ttyS1@9600 --udp=[::1]:7 --state /tmp/x").unwrap();
        assert_eq!(options.serial, Some(SerialPort { device: "/dev/ttyS1", baud: 9600 }));
        assert_eq!(options.udp, Some("[::1]:7".parse().unwrap()));
        assert_eq!(options.state, "/tmp/x");
        assert_eq!(
            serve("serve --udp 10.0.0.1").unwrap().udp,
            Some("10.0.0.1:5182".parse().unwrap())
        );
        assert_eq!(serve("serve --udp [::]").unwrap().udp, Some("[::]:5182".parse().unwrap()));
        assert_eq!(serve("serve --udp :7").unwrap().udp, Some("0.0.0.0:7".parse().unwrap()));
        assert_eq!(serve("serve --serial auto").unwrap().serial.unwrap().device, "/dev/ttyS1");
    }

    #[test]
    fn mistakes_are_named() {
        use OptionsError as E;
        let parse =
            |line: &'static str| parse(line.split_whitespace(), "nobody,s-board").unwrap_err();
        assert_eq!(parse(""), E::NoCommand);
        assert_eq!(parse("--udp [::]"), E::NoCommand);
        assert_eq!(parse("server"), E::Command("server"));
        assert_eq!(parse("serve"), E::NoWire);
        assert_eq!(parse("serve --upd x"), E::Option("--upd"));
        assert_eq!(parse("serve --udp"), E::Missing("--udp"));
        assert_eq!(parse("serve --udp x"), E::Value("--udp", "x"));
        assert_eq!(parse("serve --serial ttyS0"), E::Value("--serial", "ttyS0"));
        assert_eq!(parse("serve --serial /dev/x@fast"), E::Value("--serial", "/dev/x@fast"));
        assert_eq!(parse("serve --serial auto"), E::UnknownBoard("nobody,s-board"));
        assert_eq!(parse("serve --udp [::] --udp [::]"), E::Twice("--udp"));
        assert_eq!(parse("serve --interface a/b"), E::Value("--interface", "a/b"));
        assert_eq!(parse("serve --interface a*b"), E::Value("--interface", "a*b"));
        assert_eq!(parse("serve --state tmp"), E::Value("--state", "tmp"));
    }

    #[test]
    fn the_other_commands_take_what_they_need() {
        let parse = |line: &'static str| parse(line.split_whitespace(), "");
        assert!(matches!(parse("identity"), Ok(Command::Identity { keep: KEEP })));
        assert!(matches!(parse("identity --keep /x"), Ok(Command::Identity { keep: "/x" })));
        assert!(matches!(parse("reset-owner"), Ok(Command::ResetOwner { keep: KEEP, key: None })));
        let key = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
        let line = "reset-owner --keep=/x AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
        let Ok(Command::ResetOwner { keep: "/x", key: Some(read) }) = parse(line) else {
            panic!("{:?}", parse(line));
        };
        assert_eq!(read.to_string(), key);
        assert_eq!(parse("identity --udp [::]").unwrap_err(), OptionsError::Option("--udp"));
        assert_eq!(parse("reset-owner me").unwrap_err(), OptionsError::Value("reset-owner", "me"));
    }

    #[test]
    fn policy_matches_names() {
        let mut policy = Policy::default();
        assert!(policy.allows("wg0") && !policy.allows("eth0"));
        policy.allow("vpn").unwrap();
        policy.allow("site-*").unwrap();
        assert!(policy.allows("vpn") && policy.allows("site-7"));
        assert!(!policy.allows("vpn1") && !policy.allows("wg0"));
        policy.allow("*").unwrap();
        assert!(policy.allows("eth0"));
    }
}
