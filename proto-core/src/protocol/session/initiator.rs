//! The client's half of the handshake: one try. `connector` decides when to retry.

use super::channel::{Channel, Side};
use super::noise::{Noise, Pair, decrypt};
use super::{
    Cookie, Gatekeys, INITIATION, INITIATION_LEN, RESPONSE, RESPONSE_LEN, SESSION_VERSION, STAMP,
    STAMP_LEN, StaticKey, Wire, is, prologue, put, take,
};
use crate::key::{PublicKey, SecretKey};

/// A handshake in progress.
pub struct Initiator {
    index: u32,
    mac1: [u8; 16],
    gate: Gatekeys,
    /// `None` once the handshake is complete: two channels of one handshake would use the same keys
    /// and counters.
    noise: Option<(Pair, Pair, Noise)>,
}

impl core::fmt::Debug for Initiator {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Initiator").field("index", &self.index).finish_non_exhaustive()
    }
}

impl Initiator {
    /// Writes an initiation to `out`. Returns its length and the state that reads the response.
    ///
    /// `index` is the number by which the router addresses this client, new for each handshake;
    /// `stamp` is the time in milliseconds since 1970, and must be greater than in this key's last
    /// initiation; `ephemeral` is 32 new random bytes.
    ///
    /// `None` if `out` is too short, or if a key has small order.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "each is one field of the packet")]
    pub fn begin(
        own: &StaticKey,
        router: &PublicKey,
        wire: Wire,
        index: u32,
        stamp: u64,
        ephemeral: &SecretKey,
        cookie: Option<&Cookie>,
        out: &mut [u8],
    ) -> Option<(usize, Self)> {
        let out: &mut [u8; INITIATION_LEN] = out.first_chunk_mut()?;
        let prologue = prologue(wire, index, stamp);
        let mut noise = Noise::new(&prologue, &router.0);
        let ephemeral = Pair::of(ephemeral);
        let gate = Gatekeys::of(router);
        put(out, 0, &[INITIATION, SESSION_VERSION]);
        put(out, 2, &index.to_le_bytes());
        put(out, 6, &stamp.to_le_bytes());
        let message = out.get_mut(14..)?.first_chunk_mut()?;
        noise.write_first(&own.0, &ephemeral, &router.0, message)?;
        let mac1 = gate.mac1(out.get(..110)?);
        put(out, 110, &mac1);
        let mac2 = match cookie {
            Some(cookie) => cookie.mac2(out.get(..126)?),
            None => [0; 16],
        };
        put(out, 126, &mac2);
        Some((
            INITIATION_LEN,
            Self { index, mac1, gate, noise: Some((own.0.clone(), ephemeral, noise)) },
        ))
    }

    /// Returns the channel if the packet is the response to this initiation; the handshake is then
    /// complete. Any other packet changes nothing.
    #[must_use]
    pub fn response(&mut self, packet: &[u8]) -> Option<Channel> {
        if !is(packet, RESPONSE, RESPONSE_LEN) || take(packet, 6) != self.index.to_le_bytes() {
            return None;
        }
        // A copy, because a message that fails spoils the state.
        let (own, ephemeral, noise) = self.noise.as_ref()?;
        let mut noise = noise.clone();
        noise.read_second(own, ephemeral, packet.get(10..)?.first_chunk()?)?;
        let channel = Channel::new(&noise, Side::Client, self.index);
        // The only part of the response that Noise does not cover.
        if take(packet, 2) != channel.remote().to_le_bytes() {
            return None;
        }
        self.noise = None;
        Some(channel)
    }

    /// Returns the last stamp that the router accepted from this client's key, if the packet
    /// reports that this initiation's stamp does not follow it. `None` for any other packet.
    #[must_use]
    pub fn wrong_stamp(&self, packet: &[u8]) -> Option<u64> {
        if !is(packet, STAMP, STAMP_LEN) || take(packet, 2) != self.index.to_le_bytes() {
            return None;
        }
        let (_, _, noise) = self.noise.as_ref()?;
        let (head, sealed) = packet.split_at_checked(22)?;
        let mut last = [0; 8];
        decrypt(&noise.stamp_key(&take(head, 6)), 0, head, sealed, &mut last)?;
        Some(u64::from_le_bytes(last))
    }

    /// Returns the cookie if the packet has one for this initiation: send the next initiation with
    /// it at once. `None` for any other packet.
    #[must_use]
    pub fn cookie(&self, packet: &[u8]) -> Option<Cookie> {
        self.gate.given(self.index, &self.mac1, packet)
    }
}
