//! Reads the command line.

use core::net::{Ipv4Addr, SocketAddr};

use heapless::Vec;
use proto_core::ip::{parse_endpoint, parse_ip};
use proto_core::netlink::IfName;
use proto_core::protocol::DEFAULT_PORT;
use proto_core::text::{number, split, split_last};

use super::{
    BAUD, Command, Console, KEEP, OnDrift, Options, OptionsError, PATHS, Policy, REPEATS, SHELL,
    STATE, SerialPort, UdpPlace,
};

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
pub(super) fn udp_place(value: &str) -> Option<UdpPlace> {
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
