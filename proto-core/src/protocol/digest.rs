//! BLAKE2s-256 (RFC 7693), unkeyed.
//!
//! Written out because the crate for it, `blake2`, is 5 KB of program where this is less than one;
//! `tests` hold the two against each other.

/// The digest of a transferred file: 32 bytes.
pub type Digest = [u8; 32];

const BLOCK: usize = 64;

/// The first 32 bits of the fractions of the square roots of the first eight primes.
const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Which word of the block is taken when, a digit each, for every round.
const SIGMA: [u64; 10] = [
    0x0123_4567_89ab_cdef,
    0xea48_9fd6_1c02_b753,
    0xb8c0_52fd_ae36_7194,
    0x7931_dcbe_265a_40f8,
    0x9057_24af_e1bc_683d,
    0x2c6a_0b83_4d75_fe19,
    0xc51f_ed4a_0763_928b,
    0xdb7e_c139_50f4_862a,
    0x6fe9_b308_c2d7_14a5,
    0xa284_7615_fb9e_3cd0,
];

/// Computes the [`Digest`] of a file that arrives in pieces.
#[derive(Clone, Debug)]
pub struct Digester {
    state: [u32; 8],
    block: [u8; BLOCK],
    /// How many bytes of the block are filled.
    filled: usize,
    /// How many bytes were compressed.
    count: u64,
}

impl Default for Digester {
    fn default() -> Self {
        let mut state = IV;
        if let Some(first) = state.first_mut() {
            // 32 bytes out, no key, and neither a salt nor a tree.
            *first ^= 0x0101_0020;
        }
        Self { state, block: [0; BLOCK], filled: 0, count: 0 }
    }
}

impl Digester {
    /// Takes the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            // The last block is kept: it is compressed in another way.
            if self.filled == BLOCK {
                self.compress(0);
                self.filled = 0;
            }
            if let Some(place) = self.block.get_mut(self.filled) {
                *place = *byte;
            }
            self.filled = self.filled.saturating_add(1);
        }
    }

    /// The digest of all bytes taken.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        self.block.get_mut(self.filled..).unwrap_or_default().fill(0);
        self.compress(u32::MAX);
        let mut digest = [0; 32];
        for (to, word) in digest.as_chunks_mut().0.iter_mut().zip(self.state) {
            *to = word.to_le_bytes();
        }
        digest
    }

    /// Mixes the block into the state; `last` is all ones for the last one.
    #[inline(never)]
    fn compress(&mut self, last: u32) {
        self.count = self.count.wrapping_add(self.filled as u64);
        let [s0, s1, s2, s3, s4, s5, s6, s7] = self.state;
        let [i0, i1, i2, i3, i4, i5, i6, i7] = IV;
        let (low, high) = (self.count as u32, (self.count >> 32) as u32);
        let mut a = [s0, s1, s2, s3];
        let mut b = [s4, s5, s6, s7];
        let mut c = [i0, i1, i2, i3];
        let mut d = [i4 ^ low, i5 ^ high, i6 ^ last, i7];
        for mut sigma in SIGMA {
            // The columns, and then the diagonals: the rows are turned against each other, and back.
            for turns in [[1, 2, 3], [3, 2, 1]] {
                for (((a, b), c), d) in a.iter_mut().zip(&mut b).zip(&mut c).zip(&mut d) {
                    for (down, right) in [(16, 12), (8, 7)] {
                        sigma = sigma.rotate_left(4);
                        *a = a.wrapping_add(*b).wrapping_add(self.word(sigma));
                        *d = (*d ^ *a).rotate_right(down);
                        *c = c.wrapping_add(*d);
                        *b = (*b ^ *c).rotate_right(right);
                    }
                }
                for (row, turns) in [&mut b, &mut c, &mut d].into_iter().zip(turns) {
                    for _ in 0..turns {
                        let [first, second, third, fourth] = *row;
                        *row = [second, third, fourth, first];
                    }
                }
            }
        }
        let upper = a.iter().chain(&b).zip(c.iter().chain(&d));
        for (word, (upper, lower)) in self.state.iter_mut().zip(upper) {
            *word ^= upper ^ lower;
        }
    }

    /// The word of the block that the last digit says.
    fn word(&self, digit: u64) -> u32 {
        let (words, _) = self.block.as_chunks();
        words.get((digit & 15) as usize).map_or(0, |word| u32::from_le_bytes(*word))
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
    use proptest::prelude::*;

    /// RFC 7693, appendix B.
    #[test]
    fn the_example_of_the_rfc() {
        let expected = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982";
        let hex: String = digest(b"abc").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }

    fn reference(bytes: &[u8]) -> Digest {
        blake2::Digest::finalize(<blake2::Blake2s256 as blake2::Digest>::new_with_prefix(bytes))
            .into()
    }

    #[test]
    fn every_length_around_a_block() {
        let bytes: Vec<u8> = (0..300_u32).map(|n| (n * 7) as u8).collect();
        for len in 0..bytes.len() {
            assert_eq!(digest(&bytes[..len]), reference(&bytes[..len]), "{len}");
        }
    }

    proptest! {
        #[test]
        fn in_any_pieces(bytes: Vec<u8>, at: prop::sample::Index) {
            let (head, tail) = bytes.split_at(at.index(bytes.len() + 1));
            let mut digester = Digester::default();
            digester.update(head);
            digester.update(tail);
            prop_assert_eq!(digester.finish(), reference(&bytes));
        }
    }
}
