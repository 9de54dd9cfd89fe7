//! `Noise_IK_25519_ChaChaPoly_BLAKE2s` (<https://noiseprotocol.org/noise.html>, revision 34) with
//! empty payloads, its two messages written out. X25519 comes from x25519-dalek, ChaCha20-Poly1305
//! from chacha20poly1305, BLAKE2s from blake2. Every type with a key is wiped when it is dropped.
//!
//! The crate `noise-protocol` supports any pattern and is 6.5 KB more program on the router: an
//! interpreter, preshared keys, and panic messages. The tests run this code against `snow`, which
//! shares no code with it, on both sides (`tests/snow_peer`).

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut as _, ChaCha20Poly1305, KeyInit as _, Tag};
use subtle::ConstantTimeEq as _;
use x25519_dalek::x25519;
use zeroize::Zeroize as _;

use super::mac::{hash, keyed};
use super::put;
use crate::key::{PublicKey, SecretKey, public};
use crate::protocol::Digester;

/// Length of the tag after every ciphertext.
pub(super) const TAG_LEN: usize = 16;

/// Bytes that are wiped when they are dropped.
#[derive(Clone)]
pub(super) struct Wiped<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> Drop for Wiped<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A private key and its public key.
#[derive(Clone)]
pub(super) struct Pair {
    secret: Wiped<32>,
    pub(super) public: [u8; 32],
}

impl Pair {
    #[cfg_attr(feature = "small", inline(never))]
    pub(super) fn of(secret: &SecretKey) -> Self {
        let PublicKey(public) = public(secret);
        Self { secret: Wiped(*secret.as_bytes()), public }
    }

    /// X25519 (RFC 7748). `None` for a private key of zeros, which is never generated, and for a
    /// result of zeros, which every public key of small order gives.
    #[cfg_attr(feature = "small", inline(never))]
    pub(super) fn dh(&self, public: &[u8; 32]) -> Option<Wiped<32>> {
        let shared = Wiped(x25519(self.secret.0, *public));
        let refused = self.secret.0.ct_eq(&[0; 32]) | shared.0.ct_eq(&[0; 32]);
        (!bool::from(refused)).then_some(shared)
    }
}

/// Whether a client can have this public key. With a key of small order, such as zero, no handshake succeeds; and
/// X25519 makes only numbers below 2^255 - 19.
#[must_use]
pub fn is_usable(key: &PublicKey) -> bool {
    let [first, middle @ .., last] = &key.0;
    let is_reduced =
        *last < 0x7f || *last == 0x7f && (*first < 0xed || middle.iter().any(|byte| *byte != 0xff));
    // The result is the same for every private key.
    is_reduced && Pair { secret: Wiped([0x55; 32]), public: [0; 32] }.dh(&key.0).is_some()
}

/// HMAC (RFC 2104) over BLAKE2s.
#[cfg_attr(feature = "small", inline(never))]
fn hmac(key: &Wiped<32>, parts: [&[u8]; 2]) -> Wiped<32> {
    let pad = |byte: u8| {
        let mut pad = Wiped([byte; 64]);
        pad.0.iter_mut().zip(&key.0).for_each(|(pad, key)| *pad ^= key);
        let mut digester = Digester::default();
        digester.update(&pad.0);
        digester
    };
    let (mut inner, mut outer) = (pad(0x36), pad(0x5c));
    parts.iter().for_each(|part| inner.update(part));
    outer.update(&Wiped(inner.finish()).0);
    Wiped(outer.finish())
}

/// Noise's `HKDF` with two outputs.
#[cfg_attr(feature = "small", inline(never))]
fn hkdf(chaining: &Wiped<32>, input: &[u8]) -> (Wiped<32>, Wiped<32>) {
    let temporary = hmac(chaining, [input, &[]]);
    let first = hmac(&temporary, [&[1], &[]]);
    let second = hmac(&temporary, [&first.0, &[2]]);
    (first, second)
}

fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    put(&mut nonce, 4, &counter.to_le_bytes());
    nonce
}

/// Encrypts `plain` to the front of `out`, followed by the tag. `None` if `out` does not have the
/// length of both.
#[cfg_attr(feature = "small", inline(never))]
pub(super) fn encrypt(
    key: &Wiped<32>,
    counter: u64,
    data: &[u8],
    plain: &[u8],
    out: &mut [u8],
) -> Option<()> {
    let (text, tag) = out.split_at_mut_checked(plain.len())?;
    let tag: &mut [u8; TAG_LEN] = tag.try_into().ok()?;
    let cipher = ChaCha20Poly1305::new((&key.0).into());
    let buffer = InOutBuf::new(plain, text).ok()?;
    *tag = cipher.encrypt_inout_detached(&nonce(counter).into(), data, buffer).ok()?.into();
    Some(())
}

/// Checks the tag at the end of `sealed`, and decrypts the bytes before it to `out`, which has
/// their length. `None`, without a write, if the tag is wrong.
#[cfg_attr(feature = "small", inline(never))]
pub(super) fn decrypt(
    key: &Wiped<32>,
    counter: u64,
    data: &[u8],
    sealed: &[u8],
    out: &mut [u8],
) -> Option<()> {
    let (text, tag) = sealed.split_last_chunk::<TAG_LEN>()?;
    let tag: &Tag = tag.into();
    let cipher = ChaCha20Poly1305::new((&key.0).into());
    let buffer = InOutBuf::new(text, out).ok()?;
    cipher.decrypt_inout_detached(&nonce(counter).into(), data, buffer, tag).ok()
}

/// A handshake of either side: Noise's `h`, `ck` and `k`. Its counter is always 0, because in this
/// pattern each key encrypts once.
///
/// A refused message leaves the state unusable.
#[derive(Clone)]
pub(super) struct Noise {
    hash: [u8; 32],
    chaining: Wiped<32>,
    key: Wiped<32>,
}

impl Noise {
    /// The state before the first message. `router` is the responder's public key.
    #[cfg_attr(feature = "small", inline(never))]
    pub(super) fn new(prologue: &[u8], router: &[u8; 32]) -> Self {
        let name = hash(&[b"Noise_IK_25519_ChaChaPoly_BLAKE2s"]);
        let mut noise = Self { hash: name, chaining: Wiped(name), key: Wiped([0; 32]) };
        noise.mix_hash(prologue);
        noise.mix_hash(router);
        noise
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn mix_hash(&mut self, data: &[u8]) {
        self.hash = hash(&[&self.hash, data]);
    }

    /// Mixes in the shared secret of a key pair and a public key.
    #[cfg_attr(feature = "small", inline(never))]
    fn mix_dh(&mut self, own: &Pair, other: &[u8; 32]) -> Option<()> {
        (self.chaining, self.key) = hkdf(&self.chaining, &own.dh(other)?.0);
        Some(())
    }

    fn encrypt(&mut self, plain: &[u8], out: &mut [u8]) -> Option<()> {
        encrypt(&self.key, 0, &self.hash, plain, out)?;
        self.mix_hash(out);
        Some(())
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn decrypt(&mut self, sealed: &[u8], out: &mut [u8]) -> Option<()> {
        decrypt(&self.key, 0, &self.hash, sealed, out)?;
        self.mix_hash(sealed);
        Some(())
    }

    /// Writes the client's message: `e, es, s, ss`.
    pub(super) fn write_first(
        &mut self,
        own: &Pair,
        ephemeral: &Pair,
        router: &[u8; 32],
        out: &mut [u8; 96],
    ) -> Option<()> {
        let (e, rest) = out.split_first_chunk_mut::<32>()?;
        let (s, payload) = rest.split_first_chunk_mut::<48>()?;
        *e = ephemeral.public;
        self.mix_hash(e);
        self.mix_dh(ephemeral, router)?;
        self.encrypt(&own.public, s)?;
        self.mix_dh(own, router)?;
        self.encrypt(&[], payload)
    }

    /// Reads the client's message on the router: the client's ephemeral and static keys.
    pub(super) fn read_first(
        &mut self,
        own: &Pair,
        message: &[u8; 96],
    ) -> Option<([u8; 32], [u8; 32])> {
        let (e, rest) = message.split_first_chunk::<32>()?;
        let (s, payload) = rest.split_first_chunk::<48>()?;
        let mut client = [0; 32];
        self.mix_hash(e);
        self.mix_dh(own, e)?;
        self.decrypt(s, &mut client)?;
        self.mix_dh(own, &client)?;
        self.decrypt(payload, &mut [])?;
        Some((*e, client))
    }

    /// Writes the router's message, `e, ee, se`, to a client with these ephemeral and static keys.
    pub(super) fn write_second(
        &mut self,
        ephemeral: &Pair,
        client: (&[u8; 32], &[u8; 32]),
        out: &mut [u8; 48],
    ) -> Option<()> {
        let (e, payload) = out.split_first_chunk_mut::<32>()?;
        *e = ephemeral.public;
        self.mix_hash(e);
        self.mix_dh(ephemeral, client.0)?;
        self.mix_dh(ephemeral, client.1)?;
        self.encrypt(&[], payload)
    }

    /// Reads the router's message on the client.
    pub(super) fn read_second(
        &mut self,
        own: &Pair,
        ephemeral: &Pair,
        message: &[u8; 48],
    ) -> Option<()> {
        let (e, payload) = message.split_first_chunk::<32>()?;
        self.mix_hash(e);
        self.mix_dh(ephemeral, e)?;
        self.mix_dh(own, e)?;
        self.decrypt(payload, &mut [])
    }

    /// The key of a [`STAMP`](super::STAMP), from Noise's `ck` after the first message: only the
    /// two ends of the handshake know it.
    pub(super) fn stamp_key(&self, nonce: &[u8; 16]) -> Wiped<32> {
        Wiped(keyed(&self.chaining.0, &[b"Postwire stamp", nonce]))
    }

    /// Noise's `h`: after both messages, the handshake hash.
    pub(super) const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The transport keys: to the router, and to the client.
    pub(super) fn split(&self) -> (Wiped<32>, Wiped<32>) {
        hkdf(&self.chaining, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(byte: u8) -> Pair {
        Pair::of(&SecretKey::new([byte; 32]))
    }

    #[test]
    fn a_key_that_was_not_drawn_is_refused() {
        let (own, router) = (pair(1), pair(2).public);
        let first = |ephemeral| {
            let mut noise = Noise::new(b"", &router);
            noise.write_first(&own, &ephemeral, &router, &mut [0; 96])
        };
        assert_eq!(first(pair(0)), None);
        assert_eq!(first(pair(3)), Some(()));
        let client = (&pair(4).public, &pair(5).public);
        assert_eq!(Noise::new(b"", &router).write_second(&pair(0), client, &mut [0; 48]), None);
    }

    #[test]
    fn a_public_key_of_small_order_is_refused() {
        let own = pair(1);
        let mut one = [0; 32];
        one[0] = 1;
        // 0, 1, p - 1, p and p + 1.
        let mut points = vec![[0; 32], one];
        for end in [0xec, 0xed, 0xee] {
            let mut point = [0xff; 32];
            (point[0], point[31]) = (end, 0x7f);
            points.push(point);
        }
        for point in points {
            assert!(own.dh(&point).is_none(), "{point:02x?}");
        }
    }

    #[test]
    fn a_client_can_have_each_key_that_x25519_makes_and_no_other_form_of_it() {
        let mut least = [0xff; 32];
        (least[0], least[31]) = (0xed, 0x7f);
        for n in 1..=255_u8 {
            let key = pair(n).public;
            assert!(is_usable(&PublicKey(key)), "{n}");
            let mut high = key;
            high[31] |= 0x80;
            assert!(!is_usable(&PublicKey(high)), "{n}");
        }
        // From 2^255 - 19 on, numbers begin again at 0.
        for first in 0..=255_u8 {
            let key = [&[first], &least[1..]].concat().try_into().unwrap();
            assert_eq!(is_usable(&PublicKey(key)), first < 0xec, "{first}");
        }
        let mut inside = least;
        inside[7] = 0xfe;
        assert!(is_usable(&PublicKey(inside)));
    }

    #[test]
    fn what_is_not_authentic_is_not_written() {
        let key = Wiped([7; 32]);
        let mut sealed = [0; 26];
        encrypt(&key, 5, b"ad", b"ten bytes!", &mut sealed).unwrap();
        let mut out = [0; 10];
        assert_eq!(decrypt(&key, 6, b"ad", &sealed, &mut out), None);
        assert_eq!(decrypt(&key, 5, b"da", &sealed, &mut out), None);
        assert_eq!(decrypt(&key, 5, b"ad", &sealed[..15], &mut out), None);
        assert_eq!(decrypt(&key, 5, b"ad", &sealed, &mut [0; 9]), None);
        assert_eq!(out, [0; 10]);
        assert_eq!(decrypt(&key, 5, b"ad", &sealed, &mut out), Some(()));
        assert_eq!(out, *b"ten bytes!");
        for len in [0, 25, 27] {
            assert_eq!(encrypt(&key, 5, b"ad", b"ten bytes!", &mut vec![0; len]), None);
        }
    }
}
