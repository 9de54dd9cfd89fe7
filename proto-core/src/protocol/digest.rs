//! BLAKE2s-256 (RFC 7693), unkeyed, of a file that arrives in pieces.

/// The digest of a transferred file: 32 bytes.
pub type Digest = [u8; 32];

/// Computes the [`Digest`] of a file that arrives in pieces.
#[derive(Clone, Debug, Default)]
pub struct Digester(blake2::Blake2s256);

impl Digester {
    /// Takes the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        blake2::Digest::update(&mut self.0, bytes);
    }

    /// The digest of all bytes taken.
    #[must_use]
    pub fn finish(self) -> Digest {
        blake2::Digest::finalize(self.0).into()
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
