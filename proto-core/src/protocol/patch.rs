//! How a configuration that differs in little from a stored one travels as its differences.
//!
//! The client asks for short digests of ranges of the stored image ([`super::message::Ask::Ranges`]), between keys
//! that it chooses, and so finds with two questions which records differ. Then it sends a patch in place of the
//! image: a row of [`Step`]s, each of which copies bytes of the stored image or puts new ones. Both speak of the
//! stored image without its first record, the interface: that of a stored image has the key that the router made.

use super::Digest;
use super::codec::wire;

/// The most bounds of one question.
pub const MAX_BOUNDS: usize = 64;

/// Bytes of one range in the answer: [`RANGE_DIGEST`] bytes of its digest, and its length as 32 bits,
/// little-endian.
pub const RANGE_LEN: usize = RANGE_DIGEST + 4;

/// Bytes of a digest that tell one range from another. A range that is taken for the same by chance is found out
/// by the digest of the whole image.
pub const RANGE_DIGEST: usize = 8;

/// A range as the answer has it.
#[must_use]
pub fn range(digest: &Digest, length: u32) -> [u8; RANGE_LEN] {
    let mut range = [0; RANGE_LEN];
    let bytes = digest.iter().copied().take(RANGE_DIGEST).chain(length.to_le_bytes());
    for (to, from) in range.iter_mut().zip(bytes) {
        *to = from;
    }
    range
}

/// The bound at the front of `bounds`, which stands behind its length of one byte, and the bounds behind it.
#[must_use]
pub fn split_bound(bounds: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bounds.split_first()?;
    rest.split_at_checked((*length).into())
}

wire! {
    /// What stands in a patch: the image, from front to end.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Step<'p> {
        /// Bytes of the stored image.
        Copy {
            /// The first byte, counted from behind the first record.
            from: u32,
            /// How many.
            length: u32,
        } = 0,
        /// These bytes.
        Put(bytes: &'p [u8]) = 1,
    }
}
