//! Keyed hashes, which are checked before any curve arithmetic.
//!
//! All are BLAKE2s with its own key parameter and 32 bytes of output (RFC 7693), truncated to the
//! first 16 where a packet has a field of 16.

use subtle::ConstantTimeEq as _;

use super::noise::Wiped;
use super::{COOKIE, COOKIE_LEN, SESSION_VERSION, is, put, take};
use crate::key::PublicKey;
use crate::protocol::Digester;

/// BLAKE2s of the concatenated parts, with or without a key.
#[cfg_attr(feature = "small", inline(never))]
fn blake2s(key: Option<&[u8]>, parts: &[&[u8]]) -> [u8; 32] {
    let mut digester = Digester::new(key);
    for part in parts {
        digester.update(part);
    }
    digester.finish()
}

/// BLAKE2s of the concatenated parts.
pub(super) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    blake2s(None, parts)
}

/// Keyed BLAKE2s of the concatenated parts.
pub(super) fn keyed<const N: usize>(key: &[u8; N], parts: &[&[u8]]) -> [u8; 32] {
    const { assert!(N >= 1 && N <= 32) };
    blake2s(Some(key), parts)
}

/// [`keyed`], truncated to 16 bytes.
fn short<const N: usize>(key: &[u8; N], parts: &[&[u8]]) -> [u8; 16] {
    take(&keyed(key, parts), 0)
}

/// Compares in constant time.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Keys that a client and a router derive from the router's public key alone: for `mac1` of an
/// initiation, and for the encryption of a cookie.
#[derive(Clone, Debug)]
pub struct Gatekeys {
    mac1: [u8; 32],
    cookie: [u8; 32],
}

impl Gatekeys {
    /// Derives the keys from the router's public key.
    #[must_use]
    pub fn of(router: &PublicKey) -> Self {
        Self {
            mac1: hash(&[b"Postwire mac1", &router.0]),
            cookie: hash(&[b"Postwire cookie", &router.0]),
        }
    }

    pub(super) fn mac1(&self, before: &[u8]) -> [u8; 16] {
        short(&self.mac1, &[before])
    }

    fn cookie(&self, mac1: &[u8; 16], cookie: &Cookie) -> [u8; 16] {
        short(&self.cookie, &[mac1, &cookie.0.0])
    }

    /// Writes a cookie for the client `receiver`, whose initiation had `mac1`.
    pub(super) fn give(
        &self,
        receiver: u32,
        mac1: &[u8; 16],
        cookie: &Cookie,
        out: &mut [u8],
    ) -> Option<usize> {
        let out = out.get_mut(..COOKIE_LEN)?;
        put(out, 0, &[COOKIE, SESSION_VERSION]);
        put(out, 2, &receiver.to_le_bytes());
        put(out, 6, &cookie.0.0);
        put(out, 22, &self.cookie(mac1, cookie));
        Some(COOKIE_LEN)
    }

    /// The cookie in a packet, if it is for `receiver` and its initiation with `mac1`.
    pub(super) fn given(&self, receiver: u32, mac1: &[u8; 16], packet: &[u8]) -> Option<Cookie> {
        if !is(packet, COOKIE, COOKIE_LEN) || take(packet, 2) != receiver.to_le_bytes() {
            return None;
        }
        let cookie = Cookie(Wiped(take(packet, 6)));
        same(&self.cookie(mac1, &cookie), &take::<16>(packet, 22)).then_some(cookie)
    }
}

/// The value that a router under load sends to an address, and requires in initiations from there.
#[derive(Clone)]
pub struct Cookie(Wiped<16>);

impl core::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Cookie")
    }
}

impl Cookie {
    /// The cookie of a source address, whose bytes are unique to the address. Its last four bytes
    /// are `token`, which initiations with this cookie contain in clear: a router can check it
    /// before hashing. The router changes `secret` every two minutes.
    #[must_use]
    pub fn of(secret: &[u8; 32], source: &[u8], token: [u8; 4]) -> Self {
        let mut cookie = Wiped(short(secret, &[source]));
        put(&mut cookie.0, 12, &token);
        Self(cookie)
    }

    /// The MAC under this cookie (12 bytes), and the cookie's token.
    pub(super) fn mac2(&self, before: &[u8]) -> [u8; 16] {
        let mut mac2 = short(&self.0.0, &[before]);
        put(&mut mac2, 12, &take::<4>(&self.0.0, 12));
        mac2
    }
}
