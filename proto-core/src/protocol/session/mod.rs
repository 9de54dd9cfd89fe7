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
//! The handshake is `Noise_IK_25519_ChaChaPoly_BLAKE2s` with the router as responder. It has no
//! payload: the router acts only on packets that come through a [`Channel`]. The content of a
//! transport packet is a whole packet of [`super::envelope`].
//!
//! | module | contents |
//! |---|---|
//! | `noise` | the handshake's two messages, the cipher, and keys that wipe themselves |
//! | `mac` | keyed hashes: the check before any curve arithmetic, and cookies |
//! | `responder` | the router's half of the handshake |
//! | `initiator` | the client's half |
//! | `channel` | transport packets and the replay window |
//! | `seek` | how a client learns the key of an unowned router; the secret on its label |
//! | `fingerprint` | a public key for people to compare |
//! | `connector` | the client as a state machine: connects, reconnects, renews |
//!
//! Not here: randomness, time and addresses, which the caller provides; the list of owners, and the
//! number and lifetime of sessions, which the agent manages.

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

/// The first message of the handshake: a client requests a session.
pub const INITIATION: u8 = 3;
/// The second and last message of the handshake: the router's response.
pub const RESPONSE: u8 = 4;
/// An encrypted packet from a client.
pub const TO_ROUTER: u8 = 5;
/// An encrypted packet from a router.
pub const TO_CLIENT: u8 = 6;
/// A client looks for an unowned router.
pub const SEEK: u8 = 7;
/// The answer to [`SEEK`]: the router's key.
pub const FOUND: u8 = 8;
/// A router under load: the client must resend its initiation with this cookie, to show that it
/// receives packets at its address.
pub const COOKIE: u8 = 9;

/// The initiation's stamp was wrong: this packet has the last stamp that the router accepted from
/// this client's key.
pub const STAMP: u8 = 10;

/// The version of all these packets.
pub const SESSION_VERSION: u8 = 1;

/// The length of an [`INITIATION`].
pub const INITIATION_LEN: usize = 142;
/// The length of a [`RESPONSE`].
pub const RESPONSE_LEN: usize = 58;
/// Number of bytes that a transport packet adds to its content: 14 before, and a tag of 16 after.
pub const OVERHEAD: usize = 30;
/// The length of a [`SEEK`].
pub const SEEK_LEN: usize = 82;
/// The length of a [`FOUND`].
pub const FOUND_LEN: usize = 82;
/// The length of a [`COOKIE`].
pub const COOKIE_LEN: usize = 38;
/// The length of a [`STAMP`].
pub const STAMP_LEN: usize = 46;

/// Largest step from the last stamp of a key to the stamp of an initiation, in milliseconds: 8,900
/// years. A wrong clock thus uses up only a small part of the possible stamps.
pub const MAX_STAMP_STEP: u64 = 1 << 48;

/// Whether a router accepts `stamp` in an initiation of a client whose last stamp was `last` (0 for
/// none).
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

/// Number of initiations whose responses a client still accepts. A router keeps as many sessions that wait for their first
/// packet: on a slow or long line a response is answered when these later initiations have arrived.
pub const MAX_INITIATIONS: usize = 7;

/// The transport between the two sides. It is part of the handshake, so a recording of one
/// transport cannot be replayed on another.
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

    /// Like [`StaticKey::new`], for a key that the caller keeps.
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

/// A secret that two key pairs share: the X25519 result of one private key and the other public
/// key. It is wiped when it is dropped.
pub(in crate::protocol) struct Shared(noise::Wiped<32>);

impl core::fmt::Debug for Shared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Shared {
    /// BLAKE2s of the concatenated parts, with the secret as the key.
    pub(in crate::protocol) fn keyed(&self, parts: &[&[u8]]) -> [u8; 32] {
        mac::keyed(&self.0.0, parts)
    }
}

impl core::fmt::Debug for StaticKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "StaticKey({})", self.public())
    }
}

/// Whether a packet is of a kind that only routers send.
#[must_use]
pub fn is_from_router(packet: &[u8]) -> bool {
    matches!(packet, [RESPONSE | TO_CLIENT | FOUND | COOKIE | STAMP, SESSION_VERSION, ..])
}

/// The prologue of a handshake, which both sides mix in: every readable field of the initiation.
fn prologue(wire: Wire, sender: u32, stamp: u64) -> [u8; 30] {
    let mut prologue = *b"Postwire session\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    put(&mut prologue, 16, &[SESSION_VERSION, wire as u8]);
    put(&mut prologue, 18, &sender.to_le_bytes());
    put(&mut prologue, 22, &stamp.to_le_bytes());
    prologue
}

/// Writes `bytes` at offset `at`. Every buffer has room: all lengths are fixed, and a test compares
/// every byte of each packet.
#[cfg_attr(feature = "small", inline(never))]
fn put(buf: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = buf.get_mut(at..).and_then(|buf| buf.get_mut(..bytes.len())) {
        place.copy_from_slice(bytes);
    }
}

/// The `N` bytes at offset `at`; zeros if they are missing.
fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or([0; N])
}

/// Whether a packet starts like packets of this kind and has this length.
#[cfg_attr(feature = "small", inline(never))]
fn is(packet: &[u8], kind: u8, len: usize) -> bool {
    packet.len() == len && packet.starts_with(&[kind, SESSION_VERSION])
}

#[cfg(test)]
mod tests;
