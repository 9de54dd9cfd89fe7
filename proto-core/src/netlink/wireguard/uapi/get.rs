//! Reads an answer: its lines become a stream of events as they arrive.
//!
//! The events are those of a kernel dump, in another order: **a peer is reported after its allowed
//! IPs**, because programs differ in the order of lines, and a peer is complete only after its last
//! line. Unknown lines are skipped, as `wg` does.

use core::fmt;
use core::net::SocketAddr;

use zeroize::Zeroize;

use crate::conf::Host;
use crate::conf::endpoint::endpoint;
use crate::encoding::unhex;
use crate::ip::IpNet;
use crate::key::{KEY_LEN, PublicKey, SecretKey, public};
use crate::netlink::wireguard::{DeviceInfo, Event, Handshake, PeerInfo};
use crate::netlink::{Errno, IfName};

/// The longest line: an endpoint with the longest host name, and some room.
const LINE: usize = 384;

/// A setting.
#[derive(Clone, Copy)]
enum Field {
    Errno,
    PublicKey,
    PrivateKey,
    ListenPort,
    Fwmark,
    PresharedKey,
    Endpoint,
    AllowedIp,
    Keepalive,
    Seconds,
    Nanoseconds,
    RxBytes,
    TxBytes,
}

const FIELDS: &[(Field, &str)] = &[
    (Field::Errno, "errno"),
    (Field::PublicKey, "public_key"),
    (Field::PrivateKey, "private_key"),
    (Field::ListenPort, "listen_port"),
    (Field::Fwmark, "fwmark"),
    (Field::PresharedKey, "preshared_key"),
    (Field::Endpoint, "endpoint"),
    (Field::AllowedIp, "allowed_ip"),
    (Field::Keepalive, "persistent_keepalive_interval"),
    (Field::Seconds, "last_handshake_time_sec"),
    (Field::Nanoseconds, "last_handshake_time_nsec"),
    (Field::RxBytes, "rx_bytes"),
    (Field::TxBytes, "tx_bytes"),
];

/// Receives the content of an answer.
pub trait Sink {
    /// The device, once; then, for each peer, its allowed IPs and then the peer.
    fn event(&mut self, event: &Event);
    /// The address of an endpoint that is not numeric.
    fn resolve(&mut self, host: &Host<'_>) -> Option<SocketAddr>;
}

/// The reason why an answer is unusable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AnswerError {
    /// The program refused the request.
    Refused(Errno),
    /// A malformed or overlong line, or an answer that ends without `errno`.
    Malformed,
    /// A line with an invalid value.
    Value {
        /// The name before the `=`.
        name: &'static str,
        /// The peer of the line; `None` for the device.
        peer: Option<PublicKey>,
    },
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(errno) => fmt::Display::fmt(errno, f),
            Self::Malformed => f.write_str("the program's answer is not about a WireGuard device"),
            Self::Value { name, peer } => {
                write!(f, "the program's answer has an invalid {name}")?;
                match peer {
                    Some(key) => write!(f, ": peer {key}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl core::error::Error for AnswerError {}

/// The state of reading an answer.
#[derive(Debug)]
pub struct Answer {
    known: Known,
    line: [u8; LINE],
    len: usize,
}

/// The contents of its lines so far.
#[derive(Debug)]
struct Known {
    device: DeviceInfo,
    told: bool,
    /// The last peer, with the lines read so far.
    peer: Option<PeerInfo>,
    errno: Option<Errno>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        // Keys pass through this buffer.
        self.line.as_mut_slice().zeroize();
    }
}

impl Answer {
    /// Before the first byte. `ifname` is the device of the request.
    #[must_use]
    pub const fn new(ifname: IfName) -> Self {
        let device = DeviceInfo::new(0, ifname);
        let known = Known { device, told: false, peer: None, errno: None };
        Self { known, line: [0; LINE], len: 0 }
    }

    /// Takes the next bytes, in any number. Returns whether the answer is complete.
    ///
    /// # Errors
    /// The first error, or at the end that the request was refused.
    #[cfg_attr(feature = "small", inline(never))]
    pub fn feed(&mut self, bytes: &[u8], sink: &mut dyn Sink) -> Result<bool, AnswerError> {
        for byte in bytes {
            if *byte != b'\n' {
                *self.line.get_mut(self.len).ok_or(AnswerError::Malformed)? = *byte;
                self.len = self.len.saturating_add(1);
                continue;
            }
            let known = &mut self.known;
            let line = self.line.get(..core::mem::take(&mut self.len)).unwrap_or_default();
            if line.is_empty() {
                known.tell(sink);
                return match known.errno {
                    None => Err(AnswerError::Malformed),
                    Some(Errno(0)) => Ok(true),
                    Some(errno) => Err(AnswerError::Refused(errno)),
                };
            }
            let at = line.iter().position(|byte| *byte == b'=').ok_or(AnswerError::Malformed)?;
            let (name, value) = line.split_at_checked(at).unwrap_or_default();
            let value = value.get(1..).unwrap_or_default();
            known.line(name, value, sink)?;
        }
        Ok(false)
    }
}

impl Known {
    /// Reads a line. Newer programs may send unknown lines.
    fn line(&mut self, name: &[u8], value: &[u8], sink: &mut dyn Sink) -> Result<(), AnswerError> {
        let known = |(_, known): &&(Field, &str)| known.as_bytes() == name;
        let Some((field, name)) = FIELDS.iter().find(known) else { return Ok(()) };
        let taken = self.setting(*field, value, sink);
        let peer = self.peer.as_ref().map(|peer| peer.public_key);
        taken.ok_or(AnswerError::Value { name, peer })
    }

    /// Reports the last peer, or the device if there was no peer.
    fn tell(&mut self, sink: &mut dyn Sink) {
        if !core::mem::replace(&mut self.told, true) {
            sink.event(&Event::Device(self.device.clone()));
        }
        if let Some(peer) = &self.peer {
            sink.event(&Event::Peer(peer.clone()));
        }
        // In place: a value that `take` moves away also stays here.
        self.peer = None;
    }

    /// Reads a setting. `None` if its value is invalid.
    #[cfg_attr(feature = "small", inline(never))]
    fn setting(&mut self, field: Field, value: &[u8], sink: &mut dyn Sink) -> Option<()> {
        let digits = value.strip_prefix(b"-").filter(|_| matches!(field, Field::Errno));
        let number = number(digits.unwrap_or(value));
        let short = number.and_then(|number| u16::try_from(number).ok());
        match field {
            Field::PublicKey => {
                self.tell(sink);
                let mut key = [0; KEY_LEN];
                unhex(value, &mut key)?;
                self.peer = Some(PeerInfo::new(PublicKey(key)));
                return Some(());
            }
            Field::Errno => {
                self.errno = Some(Errno(number?.try_into().ok()?));
                return Some(());
            }
            _ => {}
        }
        let Some(peer) = &mut self.peer else {
            let device = &mut self.device;
            match field {
                Field::ListenPort => device.listen_port = short?,
                Field::Fwmark => device.fwmark = number?.try_into().ok()?,
                Field::PrivateKey => {
                    let key = secret(value, &mut device.private_key)?;
                    device.public_key = key.map(public);
                }
                // A setting of a peer without a peer.
                _ => {}
            }
            return Some(());
        };
        match field {
            Field::PresharedKey => {
                secret(value, &mut peer.preshared_key)?;
            }
            Field::Endpoint => {
                let host = endpoint(value).ok()?;
                peer.endpoint = Some(host.address().or_else(|| sink.resolve(&host))?);
            }
            Field::AllowedIp => sink.event(&Event::AllowedIp(IpNet::from_bytes(value).ok()?)),
            Field::Keepalive => peer.persistent_keepalive = short?,
            Field::Seconds | Field::Nanoseconds => {
                let part: i64 = number?.try_into().ok()?;
                if part != 0 {
                    let time = peer.latest_handshake.get_or_insert(Handshake { secs: 0, nanos: 0 });
                    let Handshake { secs, nanos } = time;
                    *(if matches!(field, Field::Seconds) { secs } else { nanos }) = part;
                }
            }
            Field::RxBytes => peer.rx_bytes = number?,
            Field::TxBytes => peer.tx_bytes = number?,
            // A setting of the device, after a peer.
            _ => {}
        }
        Some(())
    }
}

/// Reads a secret key into its final place: `None` there if all its bytes are zero. Returns `None`
/// if the text is not a key.
#[cfg_attr(feature = "small", inline(never))]
fn secret<'k>(text: &[u8], place: &'k mut Option<SecretKey>) -> Option<Option<&'k SecretKey>> {
    let key = place.insert(SecretKey::ZERO);
    let read = unhex(text, key.as_mut_bytes());
    if read.is_none() || key.is_zero() {
        *place = None;
    }
    read.map(|()| place.as_ref())
}

/// A number of digits only.
#[cfg_attr(feature = "small", inline(never))]
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = Some(byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}
