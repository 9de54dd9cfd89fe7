//! WireGuard keys: 32 bytes, written as 44 characters of base64.
//!
//! Public keys, private keys and preshared keys have one type each, so that a secret cannot be
//! printed or logged by accident: only [`PublicKey`] has a `Display`.

use core::fmt::{self, Write};
use core::str::FromStr;

use base64ct::{Base64, Encoding};
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
    // One byte of room: 44 characters could stand for 33 bytes if the padding is missing.
    let mut buf = [0; KEY_LEN + 1];
    if text.len() != KEY_TEXT_LEN {
        return Err(KeyError);
    }
    let bytes = Base64::decode(text, &mut buf).map_err(|_| KeyError)?;
    bytes.try_into().map_err(|_| KeyError)
}

/// Writes a key as base64 into `buf`. The time taken does not depend on the key.
fn encode<'b>(key: &[u8; KEY_LEN], buf: &'b mut [u8; KEY_TEXT_LEN]) -> &'b str {
    // 32 bytes are always 44 characters: there is no other outcome to report.
    Base64::encode(key, buf).unwrap_or_default()
}

/// A peer's or a device's Curve25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublicKey(#[serde(with = "crate::wire")] pub [u8; KEY_LEN]);

impl fmt::Display for PublicKey {
    /// Not by [`encode`]: a public key is nothing to hide, and a table is a fraction of the program.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for three in self.0.chunks(3) {
            let byte = |n| u32::from(three.get(n).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for (n, shift) in [18, 12, 6, 0].into_iter().enumerate() {
                let digit = ALPHABET.get((bits >> shift & 63) as usize).copied();
                let digit = digit.filter(|_| n <= three.len()).unwrap_or(b'=');
                f.write_char(char::from(digit))?;
            }
        }
        Ok(())
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

    #[test]
    fn text_goes_both_ways() {
        let text = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
        let key: PublicKey = text.parse().unwrap();
        assert_eq!(key.0.to_vec(), (1..=32).collect::<Vec<u8>>());
        assert_eq!(key.to_string(), text);
        for n in 0..=255 {
            let key: [u8; KEY_LEN] = core::array::from_fn(|at| n ^ (at as u8).wrapping_mul(37));
            let mut buf = [0; KEY_TEXT_LEN];
            assert_eq!(PublicKey(key).to_string(), SecretKey(key).reveal(&mut buf));
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
}
