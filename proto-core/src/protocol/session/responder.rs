//! The router's half of the handshake.

use super::channel::{Channel, Side};
use super::mac::same;
use super::noise::{Noise, Pair, encrypt};
use super::{
    Cookie, Gatekeys, INITIATION, INITIATION_LEN, RESPONSE, RESPONSE_LEN, SESSION_VERSION, STAMP,
    STAMP_LEN, StaticKey, Wire, is, prologue, put, take,
};
use crate::key::{PublicKey, SecretKey};

/// Offset of `mac1` and `mac2` in an initiation.
const MAC1: usize = 110;
const MAC2: usize = 126;
/// Offset of the cookie's token in an initiation: four bytes, zeros without a cookie.
pub const TOKEN_AT: usize = 138;

/// An initiation whose sender knows the router's public key. The sender is not authenticated yet.
#[derive(Clone, Copy, Debug)]
pub struct Initiation<'p> {
    packet: &'p [u8],
}

impl<'p> Initiation<'p> {
    /// Accepts a packet that is an initiation with a valid `mac1`, for the cost of one keyed hash.
    /// `None` for any other packet.
    #[must_use]
    #[cfg_attr(feature = "small", inline(never))]
    pub fn parse(packet: &'p [u8], gate: &Gatekeys) -> Option<Self> {
        if !is(packet, INITIATION, INITIATION_LEN) {
            return None;
        }
        let before = packet.get(..MAC1)?;
        same(&gate.mac1(before), &take::<16>(packet, MAC1)).then_some(Self { packet })
    }

    /// Whether a packet in the form of an initiation has a non-zero cookie token. `None` for
    /// packets in another form. Nothing is authenticated.
    #[must_use]
    pub fn shows_cookie(packet: &'p [u8]) -> Option<bool> {
        is(packet, INITIATION, INITIATION_LEN).then(|| !Self { packet }.is_bare())
    }

    /// The index by which the router must address the client.
    #[must_use]
    pub fn sender(&self) -> u32 {
        u32::from_le_bytes(take(self.packet, 2))
    }

    /// The client's time in milliseconds since 1970, which grows with each initiation. Authentic
    /// only after [`Initiation::open`].
    #[must_use]
    pub fn stamp(&self) -> u64 {
        u64::from_le_bytes(take(self.packet, 6))
    }

    /// Whether the initiation has no cookie.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        take::<16>(self.packet, MAC2) == [0; 16]
    }

    /// The token of its cookie; zeros if there is none.
    #[must_use]
    pub fn token(&self) -> [u8; 4] {
        take(self.packet, TOKEN_AT)
    }

    /// A digest that differs between initiations, and is the same for a repeated packet.
    #[must_use]
    pub fn digest(&self) -> u64 {
        u64::from_le_bytes(take(self.packet, MAC1))
    }

    /// Whether the initiation has this cookie. An initiation that is neither bare nor has a cookie
    /// of the router must be dropped.
    #[must_use]
    pub fn has_cookie(&self, cookie: &Cookie) -> bool {
        let before = self.packet.get(..MAC2).unwrap_or_default();
        same(&cookie.mac2(before), &take::<16>(self.packet, MAC2))
    }

    /// Writes the reply of a router under load and returns its length; `None` if there is no room.
    #[cfg_attr(feature = "small", inline(never))]
    pub fn cookie_reply(&self, cookie: &Cookie, gate: &Gatekeys, out: &mut [u8]) -> Option<usize> {
        gate.give(self.sender(), &take(self.packet, MAC1), cookie, out)
    }

    /// Authenticates the sender, for the cost of two X25519 operations. `ephemeral` is 32 new
    /// random bytes.
    ///
    /// `None` for an initiation that was made for another router, another transport or another
    /// version, or that was changed on the way, and for a cookie over a serial line.
    #[must_use]
    #[cfg_attr(feature = "small", inline(never))]
    pub fn open(&self, own: &StaticKey, wire: Wire, ephemeral: &SecretKey) -> Option<Opened> {
        if wire == Wire::Serial && !self.is_bare() {
            return None;
        }
        let (sender, stamp) = (self.sender(), self.stamp());
        let mut noise = Noise::new(&prologue(wire, sender, stamp), &own.0.public);
        let message = self.packet.get(14..)?.first_chunk()?;
        let (e, client) = noise.read_first(&own.0, message)?;
        Some(Opened {
            client: PublicKey(client),
            stamp,
            sender,
            e,
            ephemeral: ephemeral.clone(),
            noise,
        })
    }
}

/// An initiation of an authenticated client. The caller must check that the key is an owner's and
/// that the stamp is new.
pub struct Opened {
    /// The client's public key.
    pub client: PublicKey,
    /// The client's time, which must [follow](super::follows) the last stamp of the same key.
    /// Otherwise the packet is a replay, or the client's clock is wrong.
    pub stamp: u64,
    sender: u32,
    /// The client's ephemeral key, and the private half of the router's.
    e: [u8; 32],
    ephemeral: SecretKey,
    noise: Noise,
}

impl core::fmt::Debug for Opened {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Opened").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Opened {
    /// Writes the reply to an owner whose stamp did not follow `last` and returns its length;
    /// `None` if there is no room. Only the sender of the initiation can read it. `nonce` is 16 new
    /// random bytes.
    #[must_use]
    #[cfg_attr(feature = "small", inline(never))]
    pub fn wrong_stamp(&self, last: u64, nonce: &[u8; 16], out: &mut [u8]) -> Option<usize> {
        let (head, sealed) = out.get_mut(..STAMP_LEN)?.split_at_mut_checked(22)?;
        put(head, 0, &[STAMP, SESSION_VERSION]);
        put(head, 2, &self.sender.to_le_bytes());
        put(head, 6, nonce);
        encrypt(&self.noise.stamp_key(nonce), 0, head, &last.to_le_bytes(), sealed)?;
        Some(STAMP_LEN)
    }

    /// Writes the response and returns its length and the channel. The first packet through the
    /// channel proves the client. Costs three X25519 operations. `None` if `out` is too short or a
    /// key has small order.
    #[must_use]
    #[cfg_attr(feature = "small", inline(never))]
    pub fn respond(mut self, out: &mut [u8]) -> Option<(usize, Channel)> {
        let out = out.get_mut(..RESPONSE_LEN)?;
        let (head, message) = out.split_at_mut_checked(10)?;
        let ephemeral = Pair::of(&self.ephemeral);
        let message = message.first_chunk_mut()?;
        self.noise.write_second(&ephemeral, (&self.e, &self.client.0), message)?;
        let channel = Channel::new(&self.noise, Side::Router, self.sender);
        put(head, 0, &[RESPONSE, SESSION_VERSION]);
        put(head, 2, &channel.local().to_le_bytes());
        put(head, 6, &self.sender.to_le_bytes());
        Some((RESPONSE_LEN, channel))
    }
}
