//! Patches: a configuration sent as its differences from a stored one.
//!
//! The client requests short digests of ranges of the stored image
//! ([`super::message::Ask::Ranges`]), between keys that it chooses, and so finds the different
//! records with two requests. Then it sends a patch in place of the image: a sequence of [`Step`]s,
//! each of which copies bytes of the stored image or inserts new ones. Both refer to the stored
//! image without its first record, the interface, because that record has the private key that the
//! router generated.

use super::Digest;
use super::codec::wire;

/// Largest number of bounds in one request.
pub const MAX_BOUNDS: usize = 64;

/// Size of a range in the answer: [`RANGE_DIGEST`] bytes of its digest, and its length in bytes as
/// a 32-bit little-endian number.
pub const RANGE_LEN: usize = RANGE_DIGEST + 4;

/// Number of bytes of a digest that identify a range. If two ranges collide, the digest of the
/// whole image shows it.
pub const RANGE_DIGEST: usize = 8;

/// Encodes a range of the answer.
#[must_use]
pub fn range(digest: &Digest, length: u32) -> [u8; RANGE_LEN] {
    let mut range = [0; RANGE_LEN];
    let bytes = digest.iter().copied().take(RANGE_DIGEST).chain(length.to_le_bytes());
    for (to, from) in range.iter_mut().zip(bytes) {
        *to = from;
    }
    range
}

/// Splits the first bound, without its length byte, from the bounds after it. `None` if the bytes
/// are truncated.
#[must_use]
pub fn split_bound(bounds: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bounds.split_first()?;
    rest.split_at_checked((*length).into())
}

wire! {
    /// The steps of a patch, which build the image from start to end.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Step<'p> {
        /// Copies bytes of the stored image.
        Copy {
            /// Offset of the first byte, counted from the end of the first record.
            from: u32,
            /// Number of bytes.
            length: u32,
        } = 0,
        /// Inserts these bytes.
        Put(bytes: &'p [u8]) = 1,
    }
}
