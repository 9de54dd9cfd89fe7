//! Sessions: authentication and encryption between clients and a router.
//!
//! ```text
//! client                                             router
//!   INITIATION  (mac1, stamp, Noise message 1)  -->    cheap check, then curve arithmetic
//!   <--  RESPONSE  (Noise message 2), or STAMP to an owner whose clock is behind
//!   TO_ROUTER  (counter, encrypted request)     -->    only now the session counts
//!   <--  TO_CLIENT  (counter, encrypted reply)
//! ```
//!
//! The handshake is `Noise_IK_25519_ChaChaPoly_BLAKE2s` with the router as responder; it carries no
//! payload, and only what comes through a [`Channel`] is acted upon. What is inside a transport
//! packet is a whole packet of [`super::envelope`].
//!
//! | module | holds |
//! |---|---|
//! | `noise` | the handshake's two messages, the cipher, and keys that wipe themselves |
//! | `mac` | keyed hashes: the check before any curve arithmetic, and cookies |
//! | `responder` | the router's half of the handshake |
//! | `initiator` | the client's half |
//! | `channel` | transport packets and the window against replays |
//! | `seek` | how a client learns the key of an unowned router; the secret on its label |
//! | `fingerprint` | a public key for people to compare |
//! | `connector` | the client as a state machine: connects, comes again, renews |
//!
//! Not here: randomness, time and addresses, which the caller brings; which keys are owners, how many
//! sessions there may be and when they end, which is the agent's business.

use crate::key::{PublicKey, SecretKey};

mod channel;
#[cfg(feature = "serde")]
#[expect(clippy::result_large_err, reason = "there is no allocator to box a failure with")]
mod connector;
mod fingerprint;
mod initiator;
mod mac;
mod noise;
mod responder;
mod seek;

pub use channel::{Channel, receiver};
#[cfg(feature = "serde")]
pub use connector::{Connector, Fresh, Heard};
pub use fingerprint::fingerprint;
pub use initiator::Initiator;
pub use mac::{Cookie, Gatekeys};
pub use noise::is_usable;
pub use responder::{Initiation, Opened, TOKEN_AT};
pub use seek::{LabelKey, MIN_LABEL, Seek, found, seek};

/// A client wants a session: the first message of the handshake.
pub const INITIATION: u8 = 3;
/// The router's answer: the second and last message of the handshake.
pub const RESPONSE: u8 = 4;
/// An encrypted packet from a client.
pub const TO_ROUTER: u8 = 5;
/// An encrypted packet from a router.
pub const TO_CLIENT: u8 = 6;
/// A client looks for an unowned router.
pub const SEEK: u8 = 7;
/// The answer to [`SEEK`]: the router's key.
pub const FOUND: u8 = 8;
/// The router is under load: come again, and show that you receive what is sent to your address.
pub const COOKIE: u8 = 9;

/// The initiation's stamp was wrong: this is the last one that the router took from this client's key.
pub const STAMP: u8 = 10;

/// The version of all these packets.
pub const SESSION_VERSION: u8 = 1;

/// The length of an [`INITIATION`].
pub const INITIATION_LEN: usize = 142;
/// The length of a [`RESPONSE`].
pub const RESPONSE_LEN: usize = 58;
/// What a transport packet has around the packet in it: 14 bytes before, and a tag behind.
pub const OVERHEAD: usize = 30;
/// The length of a [`SEEK`].
pub const SEEK_LEN: usize = 82;
/// The length of a [`FOUND`].
pub const FOUND_LEN: usize = 82;
/// The length of a [`COOKIE`].
pub const COOKIE_LEN: usize = 38;
/// The length of a [`STAMP`].
pub const STAMP_LEN: usize = 46;

/// How far above the last stamp of its key the stamp of an initiation may be, in milliseconds: 8,900
/// years. One wrong clock thus uses up a small part of the stamps there are.
pub const MAX_STAMP_STEP: u64 = 1 << 48;

/// Whether a router takes `stamp` in an initiation of a client whose last one was `last`, or 0.
#[must_use]
pub const fn follows(stamp: u64, last: u64) -> bool {
    stamp > last && stamp <= last.saturating_add(MAX_STAMP_STEP)
}

/// Session age (ms) at which the client rekeys.
pub const REKEY_AFTER: u64 = 120_000;
/// Number of packets after which the client rekeys.
pub const REKEY_PACKETS: u64 = 1 << 20;
/// Session age (ms) at which a session ends.
pub const SESSION_LIFE: u64 = 180_000;

/// What the two sides are connected by. It is part of the handshake, so that what was recorded on
/// one wire is worth nothing on another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wire {
    /// A serial line.
    Serial = 1,
    /// UDP.
    Udp = 2,
}

/// A side's own long-term key pair. It has no text form, and is wiped when it is dropped.
#[derive(Clone)]
pub struct StaticKey(noise::Pair);

impl StaticKey {
    /// The pair of a private key. This is curve arithmetic: do it once.
    #[must_use]
    pub fn new(secret: SecretKey) -> Self {
        Self::of(&secret)
    }

    /// The same, of a key that the caller keeps.
    #[must_use]
    pub fn of(secret: &SecretKey) -> Self {
        Self(noise::Pair::of(secret))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public)
    }

    /// Authenticates bytes between this key's owner and the owner of `other`. Both compute the same hash, and a third
    /// party can neither compute nor check it. `None` if `other` is of small order.
    #[must_use]
    pub fn authenticate(&self, other: &PublicKey, bytes: &[u8]) -> Option<[u8; 32]> {
        Some(self.shared(other)?.keyed(&[b"Postwire record", bytes]))
    }

    /// The secret that this key shares with the owner of `other`; `None` if `other` is of small order.
    pub(in crate::protocol) fn shared(&self, other: &PublicKey) -> Option<Shared> {
        self.0.dh(&other.0).map(Shared)
    }
}

/// A secret that two key pairs share: what X25519 makes of one's private key and the other's public key. It is wiped
/// when it is dropped.
pub(in crate::protocol) struct Shared(noise::Wiped<32>);

impl core::fmt::Debug for Shared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Shared {
    /// BLAKE2s of all parts in a row, with the secret as its key.
    pub(in crate::protocol) fn keyed(&self, parts: &[&[u8]]) -> [u8; 32] {
        mac::keyed(&self.0.0, parts)
    }
}

impl core::fmt::Debug for StaticKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "StaticKey({})", self.public())
    }
}

/// What stands in front of a handshake on both sides: everything of the initiation that is readable.
fn prologue(wire: Wire, sender: u32, stamp: u64) -> [u8; 30] {
    let mut prologue = *b"Postwire session\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    put(&mut prologue, 16, &[SESSION_VERSION, wire as u8]);
    put(&mut prologue, 18, &sender.to_le_bytes());
    put(&mut prologue, 22, &stamp.to_le_bytes());
    prologue
}

/// Writes `bytes` at `at` of a buffer that has room for them: all are of fixed lengths, and a test
/// sees every byte of each packet.
#[cfg_attr(feature = "small", inline(never))]
fn put(buf: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = buf.get_mut(at..).and_then(|buf| buf.get_mut(..bytes.len())) {
        place.copy_from_slice(bytes);
    }
}

/// The `N` bytes at `at`, zeros where there are none.
fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or([0; N])
}

/// Whether a packet begins as packets of this kind do and has this length.
#[cfg_attr(feature = "small", inline(never))]
fn is(packet: &[u8], kind: u8, len: usize) -> bool {
    packet.len() == len && packet.starts_with(&[kind, SESSION_VERSION])
}

#[cfg(test)]
mod tests;
