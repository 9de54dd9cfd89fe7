//! Values of the command line: durations, serial lines, hosts with ports, fingerprints.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use proto_core::protocol::DEFAULT_PORT;
use proto_core::protocol::message::Mac;

/// The default speed of a serial line.
pub const DEFAULT_BAUD: u32 = 115_200;

/// The longest time, in seconds, that a router waits for a confirmation.
const MAX_CONFIRM: u16 = 3_600;

/// A serial line: `DEV[@BAUD|@auto]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SerialAddress {
    /// The device.
    pub device: PathBuf,
    /// The speed in bits per second; `None` if the command line does not give one.
    pub baud: Option<u32>,
    /// Whether to find out the speed.
    pub auto: bool,
}

/// A host: `HOST[:PORT]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UdpAddress {
    /// The host's name or address, without brackets.
    pub host: String,
    /// The host's UDP port.
    pub port: u16,
}

impl fmt::Display for SerialAddress {
    /// Writes the notation of the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.device.display())?;
        match self.baud {
            Some(baud) => write!(f, "@{baud}"),
            None if self.auto => f.write_str("@auto"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for UdpAddress {
    /// Writes the notation of the command line, always with the port.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl UdpAddress {
    /// The same text for every notation of this address: an IPv4 address in an IPv6 one, upper case, a host name's final
    /// dot.
    #[must_use]
    pub fn canonical(&self) -> String {
        let host = match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().to_string(),
            Err(_) => self.host.trim_end_matches('.').to_ascii_lowercase(),
        };
        Self { host, port: self.port }.to_string()
    }
}

/// The longest duration that any option accepts.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Parses a duration, with one syntax for every option: `10s`, `500ms`, `2m`, `1h`, `1m 30s`. A
/// bare number is in seconds.
///
/// # Errors
/// A message that says why the text is invalid.
pub fn duration(text: &str) -> Result<Duration, String> {
    match read_duration(text) {
        None => Err(NOT_A_DURATION.into()),
        Some(read) if (Duration::from_millis(1)..=LONGEST).contains(&read) => Ok(read),
        Some(_) => Err("a duration is from 1ms to 1h".into()),
    }
}

const NOT_A_DURATION: &str =
    "not a duration: a number and ms, s, m or h, such as 10s; a number alone is seconds";

fn read_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse().ok().map(Duration::from_secs),
        false => Duration::try_from(text.parse::<jiff::SignedDuration>().ok()?).ok(),
    }
}

/// Parses the time to confirm a change: a [`duration`] of whole seconds.
///
/// # Errors
/// A message that says why the text is invalid.
pub fn confirm_within(text: &str) -> Result<u16, String> {
    let time = read_duration(text).ok_or(NOT_A_DURATION)?;
    match u16::try_from(time.as_secs()) {
        Ok(seconds @ 1..=MAX_CONFIRM) if time.subsec_nanos() == 0 => Ok(seconds),
        _ => Err("the time to confirm is a whole number of seconds, from 1s to 1h".into()),
    }
}

/// Parses how long to listen: a [`duration`], or 0 to begin at once.
///
/// # Errors
/// A message that says why the text is invalid.
pub fn listen(text: &str) -> Result<Duration, String> {
    if matches!(text.trim(), "0" | "0s" | "0ms") { Ok(Duration::ZERO) } else { duration(text) }
}

/// Parses `on` or `off`.
///
/// # Errors
/// A message that says why the text is invalid.
pub fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("expected on or off".into()),
    }
}

/// The device that stands for the only serial port of this machine.
pub const ONLY: &str = "auto";

/// Parses `DEV[@BAUD|@auto]`.
///
/// # Errors
/// A message that says why the text is invalid.
pub fn serial(text: &str) -> Result<SerialAddress, String> {
    let (device, baud, auto) = match text.rsplit_once('@') {
        // A path such as `/dev/serial/by-path/...` may contain an `@` of its own.
        Some((device, "auto")) => (device, None, true),
        Some((device, baud)) if !baud.contains('/') => {
            let speed = digits(baud).filter(|&speed: &u32| speed > 0);
            let speed =
                speed.ok_or_else(|| format!("`{baud}` is not a speed, such as 115200 or auto"))?;
            (device, Some(speed), false)
        }
        _ => (text, None, false),
    };
    if device.is_empty() {
        return Err("the device is missing, such as /dev/ttyUSB0".into());
    }
    Ok(SerialAddress { device: device.into(), baud, auto })
}

/// Parses `HOST[:PORT]`. An IPv6 address is in brackets if a port follows.
///
/// # Errors
/// A message that says why the text is invalid.
pub fn udp(text: &str) -> Result<UdpAddress, String> {
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(None) => return Err("the `]` is missing".into()),
        Some(Some((host, ""))) => (host, None),
        Some(Some((host, rest))) => match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None => {
                return Err(format!(
                    "`{rest}` after the `]`: expected a colon and a port, as in [::1]:5182"
                ));
            }
        },
        // More than one colon: an IPv6 address without brackets and without a port.
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    if host.is_empty() {
        return Err("the host is missing, such as 192.168.1.1".into());
    }
    if text.contains("//") {
        return Err("expected a host and a port, not a URL, such as 192.168.1.1:5182".into());
    }
    let shown = host.escape_debug();
    if host.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("`{shown}`: a host has no spaces in it"));
    }
    // A name server would be asked for it, or the system would guess the missing numbers.
    let is_numeric = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_numeric && host.parse::<IpAddr>().is_err() {
        return Err(format!(
            "`{shown}` is not an IPv4 address: four numbers from 0 to 255 without leading zeros"
        ));
    }
    if host.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_unicast_link_local()) {
        return Err(format!(
            "`{shown}` is a link-local address: name its interface, as in {shown}%eth0"
        ));
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => digits(port)
            .filter(|&port: &u16| port > 0)
            .ok_or_else(|| format!("`{port}` is not a port from 1 to 65535"))?,
    };
    Ok(UdpAddress { host: host.into(), port })
}

/// A number of digits alone: `parse` takes a sign too.
pub(crate) fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Parses a MAC address as labels have it: `94:83:C4:01:02:03`, `94-83-c4-01-02-03` or `9483c4010203`.
///
/// # Errors
/// A message that says why the text is invalid.
pub fn mac(text: &str) -> Result<Mac, String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-' | '.')).collect();
    let number = u64::from_str_radix(&digits, 16);
    match number {
        Ok(number) if digits.len() == 12 && !digits.starts_with('+') => {
            let [_, _, mac @ ..] = number.to_be_bytes();
            Ok(mac)
        }
        _ => Err(format!("`{}` is no MAC address such as 94:83:c4:01:02:03", text.escape_debug())),
    }
}

/// A serial number for comparison: scanners and firmware differ in case.
#[must_use]
pub fn folded(number: &str) -> String {
    number.trim().to_ascii_uppercase()
}

/// A MAC address in the form of Linux.
#[must_use]
pub fn mac_text(mac: &Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Parses a fingerprint in upper or lower case, and returns the printed form.
///
/// # Errors
/// A message that says why the text is invalid.
pub fn fingerprint(text: &str) -> Result<String, String> {
    let digits: Vec<char> =
        text.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_ascii_uppercase()).collect();
    if digits.len() != 20 || !digits.iter().all(|c| matches!(c, 'A'..='Z' | '2'..='7')) {
        return Err(
            "not a fingerprint: 20 letters and digits from 2 to 7, in groups of four".into()
        );
    }
    let groups: Vec<String> = digits.chunks(4).map(|four| four.iter().collect()).collect();
    Ok(groups.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_is_read_as_labels_have_it() {
        for text in ["94:83:C4:01:02:0f", "94-83-c4-01-02-0F", "9483C401020F", "9483.c401.020f"] {
            assert_eq!(mac(text).as_ref().map(mac_text).as_deref(), Ok("94:83:c4:01:02:0f"));
        }
        for bad in
            ["", "94:83:c4:01:02", "94:83:c4:01:02:0g", "94:83:c4:01:02:03:04", "+483c4010203"]
        {
            assert!(mac(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_read_the_same_way_by_every_option() {
        for (text, ms) in [
            ("10s", 10_000),
            ("10", 10_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1m 30s", 90_000),
            ("1m30s", 90_000),
            ("1.5s", 1_500),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
            let seconds = confirm_within(text);
            match ms % 1_000 {
                0 => assert_eq!(seconds, Ok(u16::try_from(ms / 1_000).unwrap()), "{text}"),
                _ => assert!(seconds.is_err(), "{text}"),
            }
        }
        for bad in ["", "s", "0", "0s", "-1s", "-1", "61m", "2h", "3601", "1 day", "soon"] {
            assert!(duration(bad).is_err() && confirm_within(bad).is_err(), "{bad}");
        }
        assert!(duration("99999999999999999999s").is_err());
        // The reason is this option's own.
        for (bad, why) in
            [("0", "from 1s to 1h"), ("2h", "from 1s to 1h"), ("soon", "not a duration")]
        {
            assert!(confirm_within(bad).unwrap_err().contains(why), "{bad}");
        }
    }

    #[test]
    fn serial_lines() {
        let line =
            |device: &str, baud| Ok(SerialAddress { device: device.into(), baud, auto: false });
        let auto = SerialAddress { device: "/dev/ttyUSB0".into(), baud: None, auto: true };
        assert_eq!(auto.to_string(), "/dev/ttyUSB0@auto");
        assert_eq!(serial("/dev/ttyUSB0@auto"), Ok(auto));
        assert_eq!(serial("/dev/ttyUSB0"), line("/dev/ttyUSB0", None));
        assert_eq!(serial("/dev/ttyS1@9600"), line("/dev/ttyS1", Some(9_600)));
        assert_eq!(serial("/dev/a@b/tty"), line("/dev/a@b/tty", None));
        for bad in ["/dev/ttyS1@fast", "@9600", "/dev/ttyS1@+9600", "/dev/ttyS1@", "/dev/ttyS1@0"] {
            assert!(serial(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts() {
        let host = |host: &str, port| Ok(UdpAddress { host: host.into(), port });
        assert_eq!(udp("192.168.1.1"), host("192.168.1.1", DEFAULT_PORT));
        assert_eq!(udp("router:99"), host("router", 99));
        assert_eq!(udp("fe80::1%eth0"), host("fe80::1%eth0", DEFAULT_PORT));
        assert_eq!(udp("[fe80::1%eth0]:99"), host("fe80::1%eth0", 99));
        assert_eq!(udp("[::1]"), host("::1", DEFAULT_PORT));
        for text in ["router:99", "[fe80::1%eth0]:99"] {
            assert_eq!(udp(text).unwrap().to_string(), text);
        }
        for bad in [
            "",
            ":1",
            "a:0",
            "a:x",
            "[::1",
            "[]:1",
            "[::1]5182",
            "http://a",
            "http://a:5182",
            "a:+9",
            "a b",
            " a",
            "a:9 ",
            "a\u{a0}b",
            "1.2.3",
            "1.2.3.4.5",
            "10.0.0.300",
            "10.0.0.07",
            "1",
            "fe80::1",
            "[fe80::1]:9",
        ] {
            assert!(udp(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_address_has_one_canonical_text() {
        for same in [
            &["10.0.0.7", "10.0.0.7:5182", "[::ffff:10.0.0.7]", "[::FFFF:a00:7]:5182"][..],
            &["fd00::1", "FD00:0::1", "[fd00:0:0:0:0:0:0:1]:5182"],
            &["router.lan", "Router.LAN", "router.lan.", "router.lan:5182"],
            &["fe80::1%eth0", "[fe80::1%eth0]:5182"],
        ] {
            let all: Vec<String> = same.iter().map(|text| udp(text).unwrap().canonical()).collect();
            assert!(all.iter().all(|text| *text == all[0]), "{all:?}");
            assert_eq!(udp(&all[0]).unwrap().canonical(), all[0]);
        }
        assert_ne!(udp("a:1").unwrap().canonical(), udp("a:2").unwrap().canonical());
    }

    #[test]
    fn fingerprints() {
        let printed = "ABCD-EFGH-IJKL-MNOP-QR27";
        for typed in [printed, "abcd efgh ijkl mnop qr27", "abcdefghijklmnopqr27"] {
            assert_eq!(fingerprint(typed).as_deref(), Ok(printed));
        }
        for bad in ["", "ABCD", "ABCD-EFGH-IJKL-MNOP-QR28", "ABCD-EFGH-IJKL-MNOP-QRSTU"] {
            assert!(fingerprint(bad).is_err(), "{bad}");
        }
    }
}
