//! The functions of `Noise_IK_25519_ChaChaPoly_BLAKE2s` for the crate `noise-protocol`, which has the
//! order of the steps: X25519 of x25519-dalek, ChaCha20-Poly1305 of chacha20poly1305, BLAKE2s of
//! blake2. Whatever holds a key is wiped when it is dropped.

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut as _, ChaCha20Poly1305, KeyInit as _, Tag};
use noise_protocol::patterns::noise_ik;
use noise_protocol::{Cipher, DH, HandshakeState, Hash, U8Array};
use subtle::ConstantTimeEq as _;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::Zeroize as _;

use crate::key::SecretKey;
use crate::protocol::Digester;

/// The tag behind every ciphertext.
pub(super) const TAG_LEN: usize = 16;

/// A handshake of either side.
pub(super) type Noise = HandshakeState<X25519, ChaChaPoly, Blake2s>;

/// Begins a handshake.
///
/// The ephemeral key is always given here. `noise-protocol` calls [`DH::genkey`] in one place only,
/// `HandshakeState::write_message`, when it comes to the token `e` and has no ephemeral key: with
/// one given from the start it never does.
#[cfg_attr(feature = "small", inline(never))]
pub(super) fn begin(
    is_initiator: bool,
    prologue: &[u8],
    own: &Pair,
    ephemeral: &SecretKey,
    router: Option<[u8; 32]>,
) -> Noise {
    let own = Some(Clone::clone(own));
    Noise::new(noise_ik(), is_initiator, prologue, own, Some(Pair::of(ephemeral)), router, None)
}

/// Bytes that are wiped when they are dropped.
#[derive(Clone)]
pub(super) struct Wiped<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> Drop for Wiped<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> U8Array for Wiped<N> {
    fn new() -> Self {
        Self::new_with(0)
    }

    fn new_with(byte: u8) -> Self {
        Self([byte; N])
    }

    fn from_slice(bytes: &[u8]) -> Self {
        // Always of the right length: `noise-protocol` copies one of these or splits it in halves.
        let mut all = Self::new();
        super::put(&mut all.0, 0, bytes);
        all
    }

    fn len() -> usize {
        N
    }

    fn as_slice(&self) -> &[u8] {
        &self.0
    }

    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// A private key and behind it its public key, or zeros until that is worked out: a router that is
/// flooded with strangers' handshakes has no use for the public half of most ephemeral keys, and
/// the one of its static key stays the same.
pub(super) type Pair = Wiped<64>;

impl Pair {
    /// Only the private half.
    pub(super) fn of(secret: &SecretKey) -> Self {
        Self::from_slice(&secret.0)
    }

    /// Both halves.
    pub(super) fn with_public(secret: &SecretKey) -> Self {
        let mut pair = Self::of(secret);
        let public = public(&pair);
        super::put(&mut pair.0, 32, &public);
        pair
    }

    fn secret(&self) -> Wiped<32> {
        Wiped(super::take(&self.0, 0))
    }
}

/// The public half of a pair.
#[cfg_attr(feature = "small", inline(never))]
pub(super) fn public(pair: &Pair) -> [u8; 32] {
    let public = super::take(&pair.0, 32);
    if is_zero(&public) { x25519(pair.secret().0, X25519_BASEPOINT_BYTES) } else { public }
}

/// Whether all bytes are zero, in the same time for all.
fn is_zero(bytes: &[u8; 32]) -> bool {
    bytes.ct_eq(&[0; 32]).into()
}

/// X25519 (RFC 7748).
pub(super) enum X25519 {}

impl DH for X25519 {
    type Key = Pair;
    type Pubkey = [u8; 32];
    type Output = Wiped<32>;

    fn name() -> &'static str {
        "25519"
    }

    /// Never called, see [`begin`]. There is no source of randomness here, so it gives a key that
    /// [`DH::dh`] refuses: a handshake that came here would fail, not go on with a known key.
    fn genkey() -> Pair {
        U8Array::new()
    }

    fn pubkey(pair: &Pair) -> [u8; 32] {
        public(pair)
    }

    /// Refuses a private key of zeros, which nobody has drawn, and a result of zeros, which is what
    /// a public key of small order makes of any private key.
    #[cfg_attr(feature = "small", inline(never))]
    fn dh(pair: &Pair, public: &[u8; 32]) -> Result<Wiped<32>, ()> {
        let secret = pair.secret();
        let shared = Wiped(x25519(secret.0, *public));
        if is_zero(&secret.0) || is_zero(&shared.0) { Err(()) } else { Ok(shared) }
    }
}

/// ChaCha20-Poly1305 (RFC 8439) with Noise's nonce: four zeros and the counter, little-endian.
pub(super) enum ChaChaPoly {}

fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    super::put(&mut nonce, 4, &counter.to_le_bytes());
    nonce
}

/// Encrypts: the tag, unless the buffers are of different lengths.
#[cfg_attr(feature = "small", inline(never))]
pub(super) fn encrypt(
    key: &Wiped<32>,
    counter: u64,
    data: &[u8],
    buffer: InOutBuf<'_, '_, u8>,
) -> Option<[u8; TAG_LEN]> {
    let cipher = ChaCha20Poly1305::new((&key.0).into());
    cipher.encrypt_inout_detached(&nonce(counter).into(), data, buffer).ok().map(Into::into)
}

/// Checks the tag, and only if it is right decrypts: or else nothing is written.
#[cfg_attr(feature = "small", inline(never))]
pub(super) fn decrypt(
    key: &Wiped<32>,
    counter: u64,
    data: &[u8],
    buffer: InOutBuf<'_, '_, u8>,
    tag: &[u8; TAG_LEN],
) -> Option<()> {
    let cipher = ChaCha20Poly1305::new((&key.0).into());
    let tag: &Tag = tag.into();
    cipher.decrypt_inout_detached(&nonce(counter).into(), data, buffer, tag).ok()
}

impl Cipher for ChaChaPoly {
    type Key = Wiped<32>;

    fn name() -> &'static str {
        "ChaChaPoly"
    }

    fn encrypt(key: &Wiped<32>, nonce: u64, ad: &[u8], plaintext: &[u8], out: &mut [u8]) {
        // `out` has room for the tag: or else it stays as it is, and the other side refuses it.
        let Some((text, room)) = out.split_at_mut_checked(plaintext.len()) else { return };
        let buffer = InOutBuf::new(plaintext, text).ok();
        if let Some(tag) = buffer.and_then(|buffer| encrypt(key, nonce, ad, buffer)) {
            super::put(room, 0, &tag);
        }
    }

    fn encrypt_in_place(
        key: &Wiped<32>,
        nonce: u64,
        ad: &[u8],
        in_out: &mut [u8],
        len: usize,
    ) -> usize {
        let Some((text, room)) = in_out.split_at_mut_checked(len) else { return 0 };
        let Some(tag) = encrypt(key, nonce, ad, text.into()) else { return 0 };
        super::put(room, 0, &tag);
        len.saturating_add(TAG_LEN)
    }

    fn decrypt(
        key: &Wiped<32>,
        nonce: u64,
        ad: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<(), ()> {
        let (text, tag) = ciphertext.split_last_chunk().ok_or(())?;
        let buffer = InOutBuf::new(text, out).map_err(|_| ())?;
        decrypt(key, nonce, ad, buffer, tag).ok_or(())
    }

    fn decrypt_in_place(
        key: &Wiped<32>,
        nonce: u64,
        ad: &[u8],
        in_out: &mut [u8],
        len: usize,
    ) -> Result<usize, ()> {
        let ciphertext = in_out.get_mut(..len).ok_or(())?;
        let (text, tag) = ciphertext.split_last_chunk_mut().ok_or(())?;
        let (len, tag) = (text.len(), *tag);
        decrypt(key, nonce, ad, text.into(), &tag).ok_or(())?;
        Ok(len)
    }
}

/// BLAKE2s-256 (RFC 7693).
#[derive(Default)]
pub(super) struct Blake2s(Digester);

impl Hash for Blake2s {
    type Block = Wiped<64>;
    type Output = Wiped<32>;

    fn name() -> &'static str {
        "BLAKE2s"
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self) -> Wiped<32> {
        Wiped(core::mem::take(&mut self.0).finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_without_an_ephemeral_key_fails() {
        let own = Pair::with_public(&SecretKey([1; 32]));
        let router = Pair::with_public(&SecretKey([2; 32]));
        let router = Some(public(&router));
        let mut noise =
            Noise::new(noise_ik(), true, [], Some(Clone::clone(&own)), None, router, None);
        assert!(noise.write_message(&[], &mut [0; 96]).is_err());
        // And so does one whose key was not drawn.
        let mut noise = begin(true, &[], &own, &SecretKey([0; 32]), router);
        assert!(noise.write_message(&[], &mut [0; 96]).is_err());
        let mut noise = begin(true, &[], &own, &SecretKey([3; 32]), router);
        assert!(noise.write_message(&[], &mut [0; 96]).is_ok());
    }

    #[test]
    fn a_public_key_of_small_order_is_refused() {
        let own = Pair::with_public(&SecretKey([1; 32]));
        let mut one = [0; 32];
        one[0] = 1;
        // The order of the field and of the twist's small subgroup: 0, 1, p - 1, p, p + 1.
        let mut orders = vec![[0; 32], one];
        for end in [0xec, 0xed, 0xee] {
            let mut point = [0xff; 32];
            (point[0], point[31]) = (end, 0x7f);
            orders.push(point);
        }
        for point in orders {
            assert!(X25519::dh(&own, &point).is_err(), "{point:02x?}");
        }
    }

    #[test]
    fn in_place_and_apart_are_the_same() {
        let key = Wiped([7; 32]);
        let mut apart = [0; 26];
        ChaChaPoly::encrypt(&key, 5, b"ad", b"ten bytes!", &mut apart);
        let mut place = *b"ten bytes!________________";
        assert_eq!(ChaChaPoly::encrypt_in_place(&key, 5, b"ad", &mut place, 10), 26);
        assert_eq!(place, apart);
        assert_eq!(ChaChaPoly::decrypt_in_place(&key, 5, b"ad", &mut place, 26), Ok(10));
        assert_eq!(place[..10], *b"ten bytes!");
        assert_eq!(ChaChaPoly::decrypt_in_place(&key, 5, b"ad", &mut apart, 15), Err(()));
        let mut out = [0; 10];
        assert_eq!(ChaChaPoly::decrypt(&key, 5, b"ad", &apart, &mut out), Ok(()));
        assert_eq!(out, *b"ten bytes!");
        assert_eq!(ChaChaPoly::decrypt(&key, 6, b"ad", &apart, &mut out), Err(()));
    }
}
