//! The command line of `postwired`.

use core::fmt;
use core::net::{Ipv4Addr, SocketAddr};

use heapless::Vec;
use proto_core::ip::{Shown, parse_endpoint, parse_ip};
use proto_core::key::PublicKey;
use proto_core::netlink::IfName;
use proto_core::protocol::DEFAULT_PORT;
use proto_core::text::{number, split, split_last};

/// Maximum number of `--interface` and of `--udp` options.
const REPEATS: usize = 4;

/// The output of `postwired --help`.
pub const HELP: &str = "\
postwired: takes WireGuard configuration over a serial line or UDP and applies it

usage: postwired serve [OPTIONS]
       postwired check [OPTIONS]                 check the options of serve, and print what they open
       postwired identity [--keep DIR]           print the router's public key and fingerprint
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

/// Reads a command line without the program's own name. `board` is the board's name, for
/// `--serial auto`.
///
/// # Errors
/// [`OptionsError`] for the first wrong argument.
#[inline(never)]
pub fn parse<'a>(
    mut args: impl Iterator<Item = &'a str>,
    board: &'a str,
) -> Result<Command<'a>, OptionsError<'a>> {
    let command = match args.next() {
        None => return Err(OptionsError::NoCommand),
        Some("-h" | "--help" | "help") => return Ok(Command::Help),
        Some("-V" | "--version") => return Ok(Command::Version),
        Some(word @ ("serve" | "check" | "identity" | "reset-owner")) => word,
        Some(word) if word.starts_with('-') => return Err(OptionsError::NoCommand),
        Some(word) => return Err(OptionsError::Command(word)),
    };
    let serves = matches!(command, "serve" | "check");
    let (mut serial, mut key, mut console, mut on_drift, mut led) = (None, None, None, None, None);
    let mut udp = Vec::<UdpPlace, REPEATS>::new();
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
            // The first path is for all commands.
            _ if path == Some(0) || (path.is_some() && serves) => {}
            ("--serial" | "--udp" | "--interface" | "--console" | "--on-drift" | "--led", _)
                if serves => {}
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
            (None, "--console") => console.replace(Console::parse(value).ok_or(wrong)?).is_some(),
            (None, "--led") => led.replace(led_name(value, board)?).is_some(),
            (None, "--udp") => {
                let place = udp_place(value).ok_or(wrong)?;
                let twice = udp.contains(&place);
                if !twice && udp.iter().any(|other| other.overlaps(&place)) {
                    return Err(OptionsError::Overlap(value));
                }
                udp.push(place).map_err(|_| OptionsError::TooMany(option))?;
                twice
            }
            (None, "--on-drift") => {
                let on = match value {
                    "ignore" => OnDrift::Ignore,
                    "report" => OnDrift::Report,
                    "repair" => OnDrift::Repair,
                    _ => return Err(wrong),
                };
                on_drift.replace(on).is_some()
            }
            _ => {
                policy.allow(value)?;
                false
            }
        };
        if before {
            return Err(OptionsError::Twice(option));
        }
    }
    let [keep, state, label_secret, shell, applied] = paths;
    let keep = keep.unwrap_or(KEEP);
    match command {
        "identity" => return Ok(Command::Identity { keep }),
        "reset-owner" => return Ok(Command::ResetOwner { keep, key }),
        _ => {}
    }
    if serial.is_none() && udp.is_empty() {
        return Err(OptionsError::NoWire);
    }
    let state = state.unwrap_or(STATE);
    if state.trim_end_matches('/') == keep.trim_end_matches('/') {
        return Err(OptionsError::OneFolder);
    }
    let shell = shell.unwrap_or(SHELL);
    let console = console.unwrap_or(Console::On);
    let on_drift = on_drift.unwrap_or(OnDrift::Report);
    let options = Options {
        serial,
        udp,
        policy,
        state,
        keep,
        label_secret,
        led,
        console,
        shell,
        applied,
        on_drift,
    };
    Ok(if command == "check" { Command::Check(options) } else { Command::Serve(options) })
}

#[inline(never)]
fn serial_port<'a>(value: &'a str, board: &'a str) -> Result<SerialPort<'a>, OptionsError<'a>> {
    let wrong = OptionsError::Value("--serial", value);
    let (device, baud) = match split_last(value, b'@') {
        Some((device, baud)) => (device, Some(number(baud).ok_or(wrong)?)),
        None => (value, None),
    };
    if baud == Some(0) {
        return Err(wrong);
    }
    if device == "auto" {
        let (port, _) = board::auto(board).ok_or(OptionsError::UnknownBoard("--serial", board))?;
        let port = serial_port(port, board)?;
        return Ok(SerialPort { baud: baud.unwrap_or(port.baud), ..port });
    }
    if !device.starts_with('/') || device.len() > 200 {
        return Err(wrong);
    }
    Ok(SerialPort { device, baud: baud.unwrap_or(BAUD) })
}

fn led_name<'a>(value: &'a str, board: &'a str) -> Result<&'a str, OptionsError<'a>> {
    if value == "auto" {
        let led = board::auto(board).and_then(|(_, led)| led);
        return led.ok_or(OptionsError::UnknownBoard("--led", board));
    }
    let fits = (1..=64).contains(&value.len()) && !value.starts_with('.') && !value.contains('/');
    if fits { Ok(value) } else { Err(OptionsError::Value("--led", value)) }
}

#[inline(never)]
fn udp_place(value: &str) -> Option<UdpPlace> {
    let bare = value.strip_prefix('[').and_then(|v| v.strip_suffix(']')).unwrap_or(value);
    let address =
        parse_endpoint(value).or_else(|| Some(SocketAddr::new(parse_ip(bare)?, DEFAULT_PORT)));
    if let Some(address) = address {
        // A link-local address needs the name of an interface, because it may be in use on several
        // links.
        let unclear = matches!(address, SocketAddr::V6(v6)
            if v6.ip().is_unicast_link_local() && v6.scope_id() == 0);
        return (!unclear && address.port() != 0).then_some(UdpPlace::Address(address));
    }
    let (name, port) = match split_last(value, b':') {
        Some((name, port)) => (name, u16::try_from(number(port)?).ok().filter(|port| *port != 0)?),
        None => (value, DEFAULT_PORT),
    };
    if name.is_empty() && !value.is_empty() {
        return Some(UdpPlace::Address(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)));
    }
    // A mistyped address would be waited for as an interface that never appears.
    let digits = name.starts_with(|c: char| c.is_ascii_digit());
    if digits && (name.contains('.') || name.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    IfName::plain(name).ok().map(|name| UdpPlace::Interface(name, port))
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
        assert_eq!(options.udp, ["[::1]:7".parse().map(UdpPlace::Address).unwrap()]);
        assert_eq!(options.state, "/tmp/x");
        assert_eq!((options.on_drift, options.applied), (OnDrift::Report, None));
        let options = serve("serve --udp :7 --on-drift=repair --applied /usr/libexec/x").unwrap();
        assert_eq!((options.on_drift, options.applied), (OnDrift::Repair, Some("/usr/libexec/x")));
        let options = serve("serve --udp :7 --on-drift ignore").unwrap();
        assert_eq!(options.on_drift, OnDrift::Ignore);
        assert_eq!(serve("serve --serial auto").unwrap().serial.unwrap().device, "/dev/ttyS1");
        assert_eq!(serve("serve --udp x").unwrap().led, None);
        assert_eq!(serve("serve --udp x --led red:sys").unwrap().led, Some("red:sys"));
        let words = ["serve", "--udp", "x", "--led", "auto"];
        let Ok(Command::Serve(auto)) = parse(words.into_iter(), "openwrt,one") else { panic!() };
        assert_eq!(auto.led, Some("green:status"));
        assert_eq!(serve("serve --serial auto@9600").unwrap().serial.unwrap().baud, 9600);
        assert!(matches!(
            parse("check --udp br-lan --keep /x".split(' '), ""),
            Ok(Command::Check(Options { keep: "/x", .. }))
        ));
    }

    #[test]
    fn places_for_udp() {
        let shown = |text: &str| udp_place(text).map(|place| place.to_string());
        let good = [
            ("10.0.0.1", "10.0.0.1:5182"),
            ("10.0.0.1:7", "10.0.0.1:7"),
            ("::", "[::]:5182"),
            ("[::]", "[::]:5182"),
            ("[fd00::1]:7", "[fd00::1]:7"),
            (":7", "0.0.0.0:7"),
            ("[fe80::1%2]:7", "[fe80::1%2]:7"),
            ("br-lan", "br-lan:5182"),
            ("br-lan:7", "br-lan:7"),
            ("eth0.10", "eth0.10:5182"),
            ("6in4-wan", "6in4-wan:5182"),
        ];
        for (text, place) in good {
            assert_eq!(shown(text).as_deref(), Some(place), "{text}");
        }
        let bad = [
            "",
            ":",
            "10.0.0",
            "10.0.0.l",
            "10.0.0.256",
            "10.0.0.1:",
            "10.0.0.1:0",
            "10.0.0.1:65536",
            "10.0.0.1/24",
            "fe80::1",
            "[fe80::1]:7",
            "[::",
            "[br-lan]",
            "br-lan:",
            "br-lan:0",
            "br-lan:x",
            "br lan",
            "br/lan",
            "5182",
            "a-name-of-16-chs",
            ".",
            "..",
            "wg%d",
        ];
        for text in bad {
            assert_eq!(shown(text), None, "{text}");
        }
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
        assert_eq!(parse("serve --udp 1.2"), E::Value("--udp", "1.2"));
        assert_eq!(parse("serve --serial ttyS0"), E::Value("--serial", "ttyS0"));
        assert_eq!(parse("serve --serial auto@0"), E::Value("--serial", "auto@0"));
        assert_eq!(parse("serve --serial /dev/x@fast"), E::Value("--serial", "/dev/x@fast"));
        assert_eq!(parse("serve --serial auto"), E::UnknownBoard("--serial", "nobody,s-board"));
        assert_eq!(parse("serve --led auto"), E::UnknownBoard("--led", "nobody,s-board"));
        for name in [".", "../x", "a/b", ""] {
            let line = ["serve", "--led", name];
            let parsed = super::parse(line.into_iter(), "").unwrap_err();
            assert_eq!(parsed, E::Value("--led", name));
        }
        assert_eq!(parse("serve --led a --led b"), E::Twice("--led"));
        assert_eq!(parse("serve --udp [::] --udp ::"), E::Twice("--udp"));
        assert_eq!(parse("serve --udp [::] --udp ::1"), E::Overlap("::1"));
        assert_eq!(parse("serve --udp a --udp 0.0.0.0"), E::Overlap("0.0.0.0"));
        let apart = "serve --udp 10.0.0.1 --udp fd00::1 --udp a:7 --udp b:7";
        assert_eq!(serve(apart).unwrap().udp.len(), 4);
        let many = "serve --udp a --udp b --udp c --udp d --udp e";
        assert_eq!(parse(many), E::TooMany("--udp"));
        assert_eq!(parse("check --udp [::] --keep /a --state /a/"), E::OneFolder);
        assert_eq!(parse("serve --interface a/b"), E::Value("--interface", "a/b"));
        assert_eq!(parse("serve --interface a*b"), E::Value("--interface", "a*b"));
        assert_eq!(parse("serve --state tmp"), E::Value("--state", "tmp"));
        assert_eq!(parse("serve --on-drift fix"), E::Value("--on-drift", "fix"));
        assert_eq!(parse("serve --applied hook"), E::Value("--applied", "hook"));
        assert_eq!(parse("identity --applied /hook"), E::Option("--applied"));
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
