//! WireGuard keys: 32 bytes, written as 44 characters of base64.
//!
//! Public keys and secret keys (private and preshared) have separate types, so that a secret cannot
//! be printed or logged by accident: only [`PublicKey`] has a `Display`.

use core::fmt;
use core::str::FromStr;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::encoding::{from_base64, to_base64};

pub use crate::encoding::{KEY_LEN, KEY_TEXT_LEN};

/// A text is not the base64 of 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyError;

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a key: a key is 32 bytes in base64, 44 characters ending in `=`")
    }
}

impl core::error::Error for KeyError {}

/// A peer's or a device's Curve25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PublicKey(pub [u8; KEY_LEN]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; KEY_TEXT_LEN];
        to_base64(&self.0, &mut text);
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
        from_base64(s.as_bytes()).map(Self).ok_or(KeyError)
    }
}

/// A private or preshared key. It has no `Display`: [`SecretKey::reveal`] writes its text on request.
///
/// A key is wiped when it is dropped, and is not `Copy`. A move may leave the bytes at the old
/// place, as every move in Rust: a program that protects its memory wipes its stack too.
#[derive(Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SecretKey([u8; KEY_LEN]);

impl SecretKey {
    /// A key of 32 zero bytes, which the kernel reads as "no key".
    pub const ZERO: Self = Self([0; KEY_LEN]);

    /// A key from these bytes. Wipe the array afterwards: it is a copy.
    #[must_use]
    pub const fn new(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// The bytes of the key, for filling it in place.
    #[must_use]
    pub const fn as_mut_bytes(&mut self) -> &mut [u8; KEY_LEN] {
        &mut self.0
    }

    /// Reads a key from base64, in constant time.
    ///
    /// # Errors
    /// [`KeyError`] if the text does not encode 32 bytes.
    pub fn from_base64(text: &[u8]) -> Result<Self, KeyError> {
        from_base64(text).map(Self).ok_or(KeyError)
    }

    /// The bytes as the kernel stores a private key: some bits at both ends are fixed (RFC 7748,
    /// section 5, `decodeScalar25519`).
    #[must_use]
    pub fn clamped(mut self) -> Self {
        let [first, .., last] = &mut self.0;
        *first &= 248;
        *last = (*last & 127) | 64;
        self
    }

    /// Whether all bytes are zero, the kernel's form of "no key".
    #[must_use]
    pub fn is_zero(&self) -> bool {
        let (words, _) = self.0.as_chunks::<8>();
        words.iter().fold(0, |all, word| all | u64::from_ne_bytes(*word)) == 0
    }

    /// The key as base64, in a buffer that the caller can wipe.
    pub fn reveal<'b>(&self, buf: &'b mut [u8; KEY_TEXT_LEN]) -> &'b str {
        self.write(buf);
        core::str::from_utf8(buf).unwrap_or_default()
    }

    /// The same, as bytes.
    pub fn write(&self, buf: &mut [u8; KEY_TEXT_LEN]) {
        to_base64(&self.0, buf);
    }
}

/// The public key of a private key. This is a curve multiplication: do it once.
#[cfg(any(feature = "protocol", feature = "wireguard"))]
#[must_use]
#[cfg_attr(feature = "small", inline(never))]
pub fn public(secret: &SecretKey) -> PublicKey {
    PublicKey(x25519_dalek::x25519(*secret.as_bytes(), x25519_dalek::X25519_BASEPOINT_BYTES))
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
    /// Compares in constant time.
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
        from_base64(s.as_bytes()).map(Self).ok_or(KeyError)
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
            prop_assert_eq!(from_base64(text.as_bytes()), Some(key));
            let mut changed = text.as_bytes().to_vec();
            changed[at] = byte;
            let mut theirs = [0; KEY_LEN + 1];
            let theirs = Base64::decode(&changed, &mut theirs).ok().and_then(|key| key.try_into().ok());
            prop_assert_eq!(from_base64(&changed), theirs);
        }
    }
}
