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

/// Reads a key from base64. The time taken does not depend on the key.
#[cfg_attr(feature = "small", inline(never))]
fn decode(text: &str) -> Result<[u8; KEY_LEN], KeyError> {
    let Some((digits, [b'='])) = text.as_bytes().split_last_chunk() else { return Err(KeyError) };
    if text.len() != KEY_TEXT_LEN {
        return Err(KeyError);
    }
    let mut key = [0; KEY_LEN];
    // What no digit has left behind: bits beyond the last byte, and characters that are no digits.
    let mut wrong = 0;
    for (three, four) in key.chunks_mut(3).zip(digits.chunks(4)) {
        let mut bits = 0_u32;
        for at in 0..4 {
            let value = four.get(at).map_or(0, |digit| value(u32::from(*digit)));
            wrong |= value & !63;
            bits = bits << 6 | value & 63;
        }
        match (bits.to_be_bytes(), three) {
            ([_, a, b, c], [first, second, third]) => (*first, *second, *third) = (a, b, c),
            ([_, a, b, c], [first, second]) => {
                (*first, *second) = (a, b);
                wrong |= u32::from(c);
            }
            // Chunks of 32 bytes are of 3 and of 2.
            _ => {}
        }
    }
    if wrong == 0 { Ok(key) } else { Err(KeyError) }
}

/// All ones where `number` is less than `bound`. Both are small.
const fn below(number: u32, bound: u32) -> u32 {
    0_u32.wrapping_sub(number.wrapping_sub(bound) >> 31)
}

/// The character of base64 for six bits, without a branch or a place in memory that depends on
/// them: each row of the alphabet takes the place of the one before it where the bits reach it.
const fn digit(bits: u32) -> u8 {
    // From the first character of a row, less the number it stands for.
    let mut digit = bits.wrapping_add(65);
    digit ^= (digit ^ bits.wrapping_add(71)) & !below(bits, 26);
    digit ^= (digit ^ bits.wrapping_sub(4)) & !below(bits, 52);
    digit ^= (digit ^ b'+' as u32) & !below(bits, 62);
    digit ^= (digit ^ b'/' as u32) & !below(bits, 63);
    digit as u8
}

/// The six bits that a character of base64 stands for, or more than six for one that is none, in
/// the same way.
const fn value(digit: u32) -> u32 {
    /// What `last` and those before it stand for, `first` being `bits`; `other` for the rest.
    const fn row(other: u32, digit: u32, first: u8, last: u8, bits: u32) -> u32 {
        let inside = !below(digit, first as u32) & below(digit, (last as u32).wrapping_add(1));
        other ^ (other ^ digit.wrapping_sub(first as u32).wrapping_add(bits)) & inside
    }
    let value = row(u32::MAX, digit, b'A', b'Z', 0);
    let value = row(value, digit, b'a', b'z', 26);
    let value = row(value, digit, b'0', b'9', 52);
    let value = row(value, digit, b'+', b'+', 62);
    row(value, digit, b'/', b'/', 63)
}

/// Writes a key as base64 into `buf`. The time taken does not depend on the key.
#[cfg_attr(feature = "small", inline(never))]
fn encode<'b>(key: &[u8; KEY_LEN], buf: &'b mut [u8; KEY_TEXT_LEN]) -> &'b str {
    for (four, three) in buf.chunks_mut(4).zip(key.chunks(3)) {
        let byte = |n| u32::from(three.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (place, shift) in four.iter_mut().zip([18, 12, 6, 0]) {
            *place = digit(bits >> shift & 63);
        }
    }
    if let Some(last) = buf.last_mut() {
        *last = b'=';
    }
    core::str::from_utf8(buf).unwrap_or_default()
}

/// A peer's or a device's Curve25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublicKey(#[serde(with = "crate::wire")] pub [u8; KEY_LEN]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(encode(&self.0, &mut [0; KEY_TEXT_LEN]))
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
        decode(s).map(Self)
    }
}

/// A private or preshared key. It has no text form but the one that is asked for by name.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct SecretKey(#[serde(with = "crate::wire")] pub [u8; KEY_LEN]);

impl SecretKey {
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
        self.0.iter().fold(0, |all, byte| all | byte) == 0
    }

    /// The key as base64, into a buffer the caller can wipe.
    pub fn reveal<'b>(&self, buf: &'b mut [u8; KEY_TEXT_LEN]) -> &'b str {
        encode(&self.0, buf)
    }
}

impl PartialEq for SecretKey {
    /// Compares without stopping at the first difference.
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |all, (a, b)| all | (a ^ b)) == 0
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
        decode(s).map(Self)
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
        fn as_the_crate_does_it(key: [u8; KEY_LEN], at in 0..KEY_TEXT_LEN, byte in 0..128_u8) {
            let mut buf = [0; KEY_TEXT_LEN];
            let text = Base64::encode(&key, &mut buf).unwrap();
            prop_assert_eq!(decode(text), Ok(key));
            let mut changed = text.as_bytes().to_vec();
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            let mut theirs = [0; KEY_LEN + 1];
            let theirs = Base64::decode(&changed, &mut theirs).ok().and_then(|key| key.try_into().ok());
            prop_assert_eq!(decode(&changed).ok(), theirs);
        }
    }
}
