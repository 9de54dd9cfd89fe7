//! The router's half of the handshake.

use super::channel::{Channel, Side};
use super::mac::same;
use super::noise::{Noise, Pair, encrypt};
use super::{
    Cookie, Gatekeys, INITIATION, INITIATION_LEN, RESPONSE, RESPONSE_LEN, SESSION_VERSION, STAMP,
    STAMP_LEN, StaticKey, Wire, is, prologue, put, take,
};
use crate::key::{PublicKey, SecretKey};

/// Where `mac1` and `mac2` stand in an initiation.
const MAC1: usize = 110;
const MAC2: usize = 126;
/// Where the token of the cookie stands in an initiation: four bytes, zeros without a cookie.
pub const TOKEN_AT: usize = 138;

/// An initiation whose sender knows the router's public key. The sender is not authenticated yet.
#[derive(Clone, Copy, Debug)]
pub struct Initiation<'p> {
    packet: &'p [u8],
}

impl<'p> Initiation<'p> {
    /// Takes a packet if it is an initiation and its `mac1` is right. One keyed hash and nothing
    /// more.
    #[must_use]
    #[cfg_attr(feature = "small", inline(never))]
    pub fn parse(packet: &'p [u8], gate: &Gatekeys) -> Option<Self> {
        if !is(packet, INITIATION, INITIATION_LEN) {
            return None;
        }
        let before = packet.get(..MAC1)?;
        same(&gate.mac1(before), &take::<16>(packet, MAC1)).then_some(Self { packet })
    }

    /// Whether a packet that looks like an initiation has something where a cookie shows. `None` if it does
    /// not look like one. Nothing of it is checked.
    #[must_use]
    pub fn shows_cookie(packet: &'p [u8]) -> Option<bool> {
        is(packet, INITIATION, INITIATION_LEN).then(|| !Self { packet }.is_bare())
    }

    /// The number by which the client wants to be called.
    #[must_use]
    pub fn sender(&self) -> u32 {
        u32::from_le_bytes(take(self.packet, 2))
    }

    /// The client's time in milliseconds since 1970, which grows with each initiation. Worth
    /// something only once the initiation was [opened](Self::open).
    #[must_use]
    pub fn stamp(&self) -> u64 {
        u64::from_le_bytes(take(self.packet, 6))
    }

    /// Returns `true` if the initiation has no cookie.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        take::<16>(self.packet, MAC2) == [0; 16]
    }

    /// The token of the cookie in it, zeros without one.
    #[must_use]
    pub fn token(&self) -> [u8; 4] {
        take(self.packet, TOKEN_AT)
    }

    /// What is another one in each initiation, and the same in a packet that is repeated.
    #[must_use]
    pub fn digest(&self) -> u64 {
        u64::from_le_bytes(take(self.packet, MAC1))
    }

    /// Whether this cookie is in it. One that is neither bare nor has a cookie that the router gave is
    /// to be dropped.
    #[must_use]
    pub fn has_cookie(&self, cookie: &Cookie) -> bool {
        let before = self.packet.get(..MAC2).unwrap_or_default();
        same(&cookie.mac2(before), &take::<16>(self.packet, MAC2))
    }

    /// Writes the answer of a router under load: its length, if there is room.
    #[cfg_attr(feature = "small", inline(never))]
    pub fn cookie_reply(&self, cookie: &Cookie, gate: &Gatekeys, out: &mut [u8]) -> Option<usize> {
        gate.give(self.sender(), &take(self.packet, MAC1), cookie, out)
    }

    /// Finds out who sent it: two X25519s. `ephemeral` is 32 new random bytes.
    ///
    /// Nothing comes of one that was made for another router, another wire or another version, or
    /// that was changed on the way. A cookie over a serial line is nothing either.
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

/// An initiation of an authenticated client. The caller checks whether the key is an owner's and whether the stamp is
/// new.
pub struct Opened {
    /// The client's public key.
    pub client: PublicKey,
    /// The client's time, which has to [follow](super::follows) that of the last one of the same key.
    /// If it does not, this is a replay or the client's clock is wrong.
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
    /// Writes the answer to an owner whose stamp did not follow `last`: its length, if there is room. No
    /// one but the sender of the initiation can read it. `nonce` is 16 new random bytes.
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

    /// Writes the response and returns the channel, which is proven only by the first packet that comes through it. Costs
    /// three X25519 operations.
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
