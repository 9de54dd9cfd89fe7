//! WireGuard keys: 32 bytes, written as 44 characters of base64.
//!
//! Base64 is written out here, in a time that does not depend on the key: `base64ct`, which does the
//! same, is 2.6 KB more of the agent. The tests hold the two against each other.
//!
//! Public keys, private keys and preshared keys have one type each, so that a secret cannot be
//! printed or logged by accident: only [`PublicKey`] has a `Display`.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The length of every WireGuard key in bytes (`WG_KEY_LEN`).
pub const KEY_LEN: usize = 32;
/// The length of a key in base64, with its one `=`.
pub const KEY_TEXT_LEN: usize = 44;

/// A text is not the base64 of 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyError;

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a key: a key is 32 bytes in base64, 44 characters ending in `=`")
    }
}

impl core::error::Error for KeyError {}

/// Characters or numbers of six bits, eight at a time, each in a byte of its own.
const EACH: u64 = u64::from_ne_bytes([1; 8]);
/// A key with zeros behind it, and its characters: eight of these are six bytes.
const ROOM: usize = 36;
const TEXT_ROOM: usize = 48;

/// A one in each byte of `bytes` that is `bound` or more, and a zero in each other. All are below 128.
#[inline(always)]
const fn reach(bytes: u64, bound: u8) -> u64 {
    bytes.wrapping_add(EACH.wrapping_mul(0x80_u8.wrapping_sub(bound) as u64)) >> 7 & EACH
}

/// Reads a key from base64. The time taken does not depend on the key: what differs from character to
/// character is worked out and not looked up.
#[cfg_attr(feature = "small", inline(never))]
pub(crate) fn decode(text: &[u8]) -> Result<[u8; KEY_LEN], KeyError> {
    let Some((digits, [b'='])) = text.split_last_chunk() else { return Err(KeyError) };
    // An `A` is six zeros.
    let mut padded = [b'A'; TEXT_ROOM];
    let front = padded.first_chunk_mut::<{ KEY_TEXT_LEN - 1 }>();
    let (Some(front), Ok(digits)) = (front, digits.try_into()) else { return Err(KeyError) };
    *front = digits;
    let mut room = [0; ROOM];
    let mut wrong = 0;
    for (six, eight) in room.as_chunks_mut::<6>().0.iter_mut().zip(padded.as_chunks().0) {
        let chars = u64::from_be_bytes(*eight);
        wrong |= chars >> 7 & EACH;
        let chars = chars & EACH.wrapping_mul(0x7f);
        let (slash, zero) = (reach(chars, b'/'), reach(chars, b'0'));
        let (upper, lower) = (reach(chars, b'A'), reach(chars, b'a'));
        // Each row of the alphabet begins at one bound and ends before another.
        let inside = reach(chars, b'+') ^ reach(chars, b'+' + 1) ^ slash ^ reach(chars, b'9' + 1);
        let inside = inside ^ upper ^ reach(chars, b'Z' + 1) ^ lower ^ reach(chars, b'z' + 1);
        wrong |= EACH ^ inside;
        // What is added to a character to be its number, modulo 64.
        let add = EACH.wrapping_mul(19).wrapping_sub(slash.wrapping_mul(3));
        let add = add.wrapping_sub(zero.wrapping_mul(12)).wrapping_add(upper.wrapping_mul(59));
        let add = add.wrapping_sub(lower.wrapping_mul(6));
        let bits = chars.wrapping_add(add) & EACH.wrapping_mul(63);
        let bits = bits >> 2 & 0x0fc0_0fc0_0fc0_0fc0 | bits & 0x003f_003f_003f_003f;
        let bits = bits >> 4 & 0x00ff_f000_00ff_f000 | bits & 0x0000_0fff_0000_0fff;
        let bits = bits >> 8 & 0xffff_ff00_0000 | bits & 0x00ff_ffff;
        let [_, _, bytes @ ..] = bits.to_be_bytes();
        *six = bytes;
    }
    let (key, behind) = room.split_first_chunk().ok_or(KeyError)?;
    // There are bits beyond the last byte.
    let read = if wrong == 0 && behind == [0; ROOM - KEY_LEN] { Ok(*key) } else { Err(KeyError) };
    room.zeroize();
    padded.zeroize();
    read
}

/// Writes a key as base64 into `buf`, in the same way.
#[cfg_attr(feature = "small", inline(never))]
pub(crate) fn encode(key: &[u8; KEY_LEN], buf: &mut [u8; KEY_TEXT_LEN]) {
    let mut room = [0; ROOM];
    let mut padded = [0; TEXT_ROOM];
    if let Some(front) = room.first_chunk_mut() {
        *front = *key;
    }
    for (eight, six) in padded.as_chunks_mut().0.iter_mut().zip(room.as_chunks().0) {
        let [a, b, c, d, e, f] = *six;
        let bits = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        let bits = bits << 8 & 0x00ff_ffff_0000_0000 | bits & 0x00ff_ffff;
        let bits = bits << 4 & 0x0fff_0000_0fff_0000 | bits & 0x0000_0fff_0000_0fff;
        let bits = bits << 2 & 0x3f00_3f00_3f00_3f00 | bits & 0x003f_003f_003f_003f;
        // What is added to a number to be its character.
        let add = EACH.wrapping_mul(65).wrapping_add(reach(bits, 26).wrapping_mul(6));
        let add = add.wrapping_sub(reach(bits, 52).wrapping_mul(75));
        let add = add.wrapping_sub(reach(bits, 62).wrapping_mul(15));
        let add = add.wrapping_add(reach(bits, 63).wrapping_mul(3));
        *eight = bits.wrapping_add(add).to_be_bytes();
    }
    if let Some(front) = padded.first_chunk() {
        *buf = *front;
    }
    if let Some(last) = buf.last_mut() {
        *last = b'=';
    }
    room.zeroize();
    padded.zeroize();
}

/// A peer's or a device's Curve25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublicKey(#[serde(with = "crate::wire")] pub [u8; KEY_LEN]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; KEY_TEXT_LEN];
        encode(&self.0, &mut text);
        f.write_str(core::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(s: &str) -> Result<Self, KeyError> {
        decode(s.as_bytes()).map(Self)
    }
}

/// A private or preshared key. It has no `Display`: [`SecretKey::reveal`] writes its text on request.
///
/// A key is wiped when it is dropped, and is not `Copy`. A move may leave the bytes at the old place, as
/// every move in Rust: a program that keeps keys from the reader of its memory wipes its stack too.
#[derive(Clone, Serialize, Deserialize)]
pub struct SecretKey(#[serde(with = "crate::wire")] [u8; KEY_LEN]);

impl SecretKey {
    /// A key of 32 zero bytes, which the kernel takes as "no key".
    pub const ZERO: Self = Self([0; KEY_LEN]);

    /// A key of these bytes. Wipe the array afterwards: it is a copy.
    #[must_use]
    pub const fn new(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// The bytes of the key, to fill it in place.
    #[must_use]
    pub const fn as_mut_bytes(&mut self) -> &mut [u8; KEY_LEN] {
        &mut self.0
    }

    /// Reads a key from base64, in a time that does not depend on the key.
    pub fn from_base64(text: &[u8]) -> Result<Self, KeyError> {
        decode(text).map(Self)
    }

    /// The bytes as the kernel keeps a private key: three bits of the ends are fixed
    /// (RFC 7748, section 5, `decodeScalar25519`).
    #[must_use]
    pub fn clamped(mut self) -> Self {
        let [first, .., last] = &mut self.0;
        *first &= 248;
        *last = (*last & 127) | 64;
        self
    }

    /// Whether all bytes are zero, which is how the kernel says "no key".
    #[must_use]
    pub fn is_zero(&self) -> bool {
        let (words, _) = self.0.as_chunks::<8>();
        words.iter().fold(0, |all, word| all | u64::from_ne_bytes(*word)) == 0
    }

    /// The key as base64, into a buffer the caller can wipe.
    pub fn reveal<'b>(&self, buf: &'b mut [u8; KEY_TEXT_LEN]) -> &'b str {
        self.write(buf);
        core::str::from_utf8(buf).unwrap_or_default()
    }

    /// The same, as bytes.
    pub fn write(&self, buf: &mut [u8; KEY_TEXT_LEN]) {
        encode(&self.0, buf);
    }
}

impl Zeroize for SecretKey {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl Drop for SecretKey {
    #[cfg_attr(feature = "small", inline(never))]
    fn drop(&mut self) {
        self.zeroize();
    }
}

impl ZeroizeOnDrop for SecretKey {}

impl PartialEq for SecretKey {
    /// Compares in a time that does not depend on the keys.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretKey {}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl FromStr for SecretKey {
    type Err = KeyError;

    fn from_str(s: &str) -> Result<Self, KeyError> {
        decode(s.as_bytes()).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64ct::{Base64, Encoding};
    use proptest::prelude::*;

    #[test]
    fn text_goes_both_ways() {
        let text = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
        let key: PublicKey = text.parse().unwrap();
        assert_eq!(key.0.to_vec(), (1..=32).collect::<Vec<u8>>());
        assert_eq!(key.to_string(), text);
        for n in 0..=255 {
            let key: [u8; KEY_LEN] = core::array::from_fn(|at| n ^ (at as u8).wrapping_mul(37));
            let (mut ours, mut theirs) = ([0; KEY_TEXT_LEN], [0; KEY_TEXT_LEN]);
            let theirs = Base64::encode(&key, &mut theirs).unwrap();
            assert_eq!(SecretKey(key).reveal(&mut ours), theirs);
            assert_eq!(PublicKey(key).to_string(), theirs);
        }
        let secret: SecretKey = text.parse().unwrap();
        assert_eq!(secret.reveal(&mut [0; KEY_TEXT_LEN]), text);
        assert_eq!(format!("{secret:?}"), "(hidden)");
    }

    #[test]
    fn refuses_what_is_not_32_bytes() {
        for bad in [
            "",
            "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA",
            "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAA",
            "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyB=",
            "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHy==",
            "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0e!yA=",
        ] {
            assert_eq!(bad.parse::<PublicKey>(), Err(KeyError), "{bad}");
        }
    }

    #[test]
    fn clamping_fixes_the_ends() {
        let key = SecretKey([0xff; KEY_LEN]).clamped();
        assert_eq!((key.0[0], key.0[31]), (0xf8, 0x7f));
        assert!(SecretKey([0; KEY_LEN]).is_zero());
        assert!(!key.is_zero());
    }

    proptest! {
        #[test]
        fn as_the_crate_does_it(key: [u8; KEY_LEN], at in 0..KEY_TEXT_LEN, byte: u8) {
            let mut buf = [0; KEY_TEXT_LEN];
            let text = Base64::encode(&key, &mut buf).unwrap();
            prop_assert_eq!(decode(text.as_bytes()), Ok(key));
            let mut changed = text.as_bytes().to_vec();
            changed[at] = byte;
            let mut theirs = [0; KEY_LEN + 1];
            let theirs = Base64::decode(&changed, &mut theirs).ok().and_then(|key| key.try_into().ok());
            prop_assert_eq!(decode(&changed).ok(), theirs);
        }
    }
}
