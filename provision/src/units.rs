//! Values of the command line: durations, serial lines, hosts with ports, fingerprints.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use proto_core::protocol::DEFAULT_PORT;

/// The speed of a serial line unless told otherwise.
pub const DEFAULT_BAUD: u32 = 115_200;

/// The most seconds that a router waits for a change to be confirmed.
const MAX_CONFIRM: u16 = 3_600;

/// A serial line: `DEV[@BAUD]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SerialAddress {
    /// The device.
    pub device: PathBuf,
    /// Its speed in bits per second, if it was said.
    pub baud: Option<u32>,
}

/// A host: `HOST[:PORT]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UdpAddress {
    /// Its name or address, without brackets.
    pub host: String,
    /// Its UDP port.
    pub port: u16,
}

impl fmt::Display for SerialAddress {
    /// As the command line takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.device.display())?;
        self.baud.map_or(Ok(()), |baud| write!(f, "@{baud}"))
    }
}

impl fmt::Display for UdpAddress {
    /// As the command line takes it, always with the port.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Reads `10s`, `500ms`, `2m`.
///
/// # Errors
/// What is wrong with the text.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err("not a duration: a number and ms, s or m, such as 10s".into()),
    };
    let number: u64 =
        number.parse().map_err(|_| "not a duration: the number is missing or too large")?;
    match number.checked_mul(scale) {
        Some(ms @ 1..=3_600_000) => Ok(Duration::from_millis(ms)),
        _ => Err("a duration is from 1ms to 60m".into()),
    }
}

/// Reads how long a change may wait to be confirmed, in whole seconds: `60`, `60s`, `5m`, `1h`.
///
/// # Errors
/// What is wrong with the text.
pub fn confirm_within(text: &str) -> Result<u16, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err("not a time: whole seconds, or a number and s, m or h, such as 60s".into()),
    };
    let number: u16 =
        number.parse().map_err(|_| "not a time: the number is missing or too large")?;
    number
        .checked_mul(scale)
        .filter(|seconds| (1..=MAX_CONFIRM).contains(seconds))
        .ok_or_else(|| "the time to confirm is from 1s to 1h".into())
}

/// Reads `DEV[@BAUD]`.
///
/// # Errors
/// What is wrong with the text.
pub fn serial(text: &str) -> Result<SerialAddress, String> {
    let (device, baud) = match text.rsplit_once('@') {
        // `/dev/serial/by-path/...` may hold an `@` that is not ours.
        Some((device, baud)) if !baud.contains('/') => {
            let speed = baud.parse().ok().filter(|&speed| speed > 0);
            let speed = speed.ok_or_else(|| format!("`{baud}` is not a speed, such as 115200"))?;
            (device, Some(speed))
        }
        _ => (text, None),
    };
    if device.is_empty() {
        return Err("the device is missing, such as /dev/ttyUSB0".into());
    }
    Ok(SerialAddress { device: device.into(), baud })
}

/// Reads `HOST[:PORT]`, with an IPv6 address in brackets when a port follows.
///
/// # Errors
/// What is wrong with the text.
pub fn udp(text: &str) -> Result<UdpAddress, String> {
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(None) => return Err("the `]` is missing".into()),
        Some(Some((host, ""))) => (host, None),
        Some(Some((host, port))) => (host, Some(port.strip_prefix(':').unwrap_or(port))),
        // More than one colon is an IPv6 address without brackets, and without a port.
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    if host.is_empty() {
        return Err("the host is missing, such as 192.168.1.1".into());
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => port
            .parse()
            .ok()
            .filter(|&port| port > 0)
            .ok_or_else(|| format!("`{port}` is not a port from 1 to 65535"))?,
    };
    Ok(UdpAddress { host: host.into(), port })
}

/// Reads a fingerprint as people type it, in either case, and returns it as it is printed.
///
/// # Errors
/// What is wrong with the text.
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
    fn durations() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "10", "s", "0s", "1h", "-1s", "1.5s", "61m", "99999999999999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_to_confirm_are_whole_seconds_up_to_an_hour() {
        for (text, seconds) in [("60", 60), ("1s", 1), ("5m", 300), ("1h", 3_600), ("3600", 3_600)]
        {
            assert_eq!(confirm_within(text), Ok(seconds));
        }
        for bad in ["", "s", "0", "0s", "500ms", "1.5m", "-1", "3601", "61m", "2h", "65536", "1d"] {
            assert!(confirm_within(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn serial_lines() {
        let line = |device: &str, baud| Ok(SerialAddress { device: device.into(), baud });
        assert_eq!(serial("/dev/ttyUSB0"), line("/dev/ttyUSB0", None));
        assert_eq!(serial("/dev/ttyS1@9600"), line("/dev/ttyS1", Some(9_600)));
        assert_eq!(serial("/dev/a@b/tty"), line("/dev/a@b/tty", None));
        assert!(serial("/dev/ttyS1@fast").is_err() && serial("@9600").is_err());
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
        for bad in ["", ":1", "a:0", "a:x", "[::1", "[]:1"] {
            assert!(udp(bad).is_err(), "{bad}");
        }
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
