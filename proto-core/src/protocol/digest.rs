//! BLAKE2s-256 (RFC 7693): without a key for a file that arrives in pieces, and with a key for
//! sessions.
//!
//! Both use the type of the crate that can take a key: a second type for hashes without a key would
//! be another kilobyte of program.

use blake2::Blake2sMac256;
use blake2::digest::Mac as _;

/// The digest of a transferred file: 32 bytes.
pub type Digest = [u8; 32];

/// Computes the [`Digest`] of a file that arrives in pieces.
#[derive(Clone, Debug)]
pub struct Digester(Blake2sMac256);

impl Default for Digester {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Digester {
    /// With a key of 1 to 32 bytes, or without one.
    #[cfg_attr(feature = "small", inline(never))]
    pub(crate) fn new(key: Option<&[u8]>) -> Self {
        #[expect(clippy::expect_used, reason = "all keys are arrays of 16 or 32 bytes")]
        let mac = Blake2sMac256::new_with_salt_and_personal(key, &[], &[]).expect("a key");
        Self(mac)
    }

    /// Takes the next bytes of the file.
    #[cfg_attr(feature = "small", inline(never))]
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes taken.
    #[must_use]
    #[cfg_attr(feature = "small", inline(never))]
    pub fn finish(self) -> Digest {
        self.0.finalize().into_bytes().into()
    }
}

/// The [`Digest`] of a file that is in memory whole.
#[must_use]
pub fn digest(bytes: &[u8]) -> Digest {
    let mut digester = Digester::default();
    digester.update(bytes);
    digester.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 7693, appendix B: BLAKE2s-256 of "abc".
        let expected = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982";
        let hex: String = digest(b"abc").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }
}
