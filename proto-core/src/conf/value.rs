//! The notation of wg(8)'s values: numbers, networks and keys.

use super::endpoint::endpoint;
use super::{ConfError, Field, Item, Problem, Stop};
use crate::encoding::from_base64;
use crate::ip::IpNet;
use crate::key::{PublicKey, SecretKey};
use crate::text::digits;

const PORT: &str = "is not a port: a number from 0 to 65535, or the name of a service";
const FWMARK: &str = "is not a mark: `off`, a number, or 0x and hexadecimal digits, below 2^32";
const KEEPALIVE: &str = "is not an interval: `off`, or seconds from 0 to 65535";
const KEY: &str = "is not a key: 32 bytes in base64, 44 characters ending in `=`";
const NET: &str = "is not an address, or an address with a prefix length";
const NO_ENTRY: &str = "is wrong: an entry of the list is empty";

/// A number or `off`, which is 0.
#[cfg_attr(feature = "small", inline(never))]
fn number_or_off(text: &[u8]) -> Option<u32> {
    if text.eq_ignore_ascii_case(b"off") { Some(0) } else { digits(text) }
}

/// Parses a port: a number in digits. `None` for any other text.
#[must_use]
pub fn port(text: &[u8]) -> Option<u16> {
    u16::try_from(digits(text)?).ok()
}

/// Parses a mark: decimal, or `0x` and hexadecimal digits, or `off`, which is 0. `None` for any
/// other text.
#[must_use]
pub fn fwmark(text: &[u8]) -> Option<u32> {
    let [b'0', b'x', digits @ ..] = text else {
        return number_or_off(text);
    };
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u32, |number, digit| {
        number.checked_mul(16)?.checked_add(char::from(*digit).to_digit(16)?)
    })
}

/// Parses the seconds between two keepalives, or `off`, which is 0. `None` for any other text.
#[must_use]
pub fn keepalive(text: &[u8]) -> Option<u16> {
    number_or_off(text).and_then(|seconds| u16::try_from(seconds).ok())
}

/// The parts before and after a position, without the byte at it.
pub(super) fn halves(text: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    Some((text.get(..at)?, text.get(at.checked_add(1)?..)?))
}

/// Text that may be the name of a service, or another form that the C library accepts. It is not a
/// number, because that number is not a port.
pub(super) fn service(text: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(text).ok()?;
    // Empty text is not a service either.
    if text.bytes().all(|byte| byte.is_ascii_digit()) { None } else { Some(text) }
}

/// The error about a text that is not a port.
#[must_use]
pub fn no_port(line: u32, text: &str) -> ConfError {
    let name = if line == 0 { "listen-port" } else { "ListenPort" };
    ConfError::new(line, name, Problem::Value(PORT)).with(text)
}

impl Field {
    /// The item of a whole value that is not a list.
    pub(super) fn item<'t>(self, text: &'t [u8]) -> Result<Item<'t>, Problem> {
        let path = || core::str::from_utf8(text).ok();
        let (item, wanted) = match self {
            Self::ListenPort => {
                let named = || service(text).map(Item::ListenService);
                (port(text).map(Item::ListenPort).or_else(named), PORT)
            }
            Self::Fwmark => (fwmark(text).map(Item::Fwmark), FWMARK),
            Self::PersistentKeepalive => {
                (keepalive(text).map(Item::PersistentKeepalive), KEEPALIVE)
            }
            Self::Endpoint => match endpoint(text) {
                Ok(host) => (Some(Item::Endpoint(host)), ""),
                Err(wrong) => (None, wrong.words()),
            },
            Self::PrivateKey => (SecretKey::from_base64(text).ok().map(Item::PrivateKey), KEY),
            Self::PresharedKey => (SecretKey::from_base64(text).ok().map(Item::PresharedKey), KEY),
            Self::PublicKey | Self::Peer => {
                (from_base64(text).map(|key| Item::PublicKey(PublicKey(key))), KEY)
            }
            Self::PrivateKeyFile => (path().map(Item::PrivateKeyFile), ""),
            Self::PresharedKeyFile => (path().map(Item::PresharedKeyFile), ""),
            Self::Remove => (Some(Item::Remove), ""),
            Self::AllowedIps => (IpNet::from_bytes(text).ok().map(Item::AllowedIp), NET),
            // Settings of wg-quick(8) are not items of wg(8).
            _ => return Err(Problem::Unknown),
        };
        item.ok_or(Problem::Value(wanted))
    }
}

/// One entry of a list of allowed IPs. `signs` allows a leading `+` or `-`.
pub(super) fn allowed_ip(text: &[u8], signs: bool) -> Result<Item<'static>, Problem> {
    let (sign, rest) = match text {
        [sign @ (b'+' | b'-'), rest @ ..] if signs => (*sign, rest),
        _ => (0, text),
    };
    let wanted = if text.is_empty() { NO_ENTRY } else { NET };
    let net = IpNet::from_bytes(rest).map_err(|_| Problem::Value(wanted))?;
    Ok(match sign {
        b'+' => Item::AddAllowedIp(net),
        b'-' => Item::RemoveAllowedIp(net),
        _ => Item::AllowedIp(net),
    })
}

impl From<Stop> for Problem {
    fn from(Stop: Stop) -> Self {
        Self::Stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_marks() {
        let ports = ["0", "51820", "65535", "00080", "65536", "-1", "+5", "", "1a", "domain"];
        let some = [Some(0), Some(51_820), Some(65_535), Some(80)];
        let none = core::iter::repeat_n(None, ports.len() - some.len());
        assert!(ports.iter().map(|text| port(text.as_bytes())).eq(some.into_iter().chain(none)));
        for (text, mark) in [
            ("off", Some(0)),
            ("OFF", Some(0)),
            ("0", Some(0)),
            ("0123", Some(123)),
            ("0x1F", Some(31)),
            ("0x00000000ffffffff", Some(u32::MAX)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("0x100000000", None),
            ("0x", None),
            ("0X1", None),
            ("0x-1", None),
            ("0x1g", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(fwmark(text.as_bytes()), mark, "{text}");
        }
    }
}
