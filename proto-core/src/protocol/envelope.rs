//! The two bytes in front of every message.
//!
//! ```text
//! kind (1)  version (1)  message
//! ```
//!
//! `kind` is the direction of the message: [`REQUEST`] or [`REPLY`]. These packets appear only
//! inside a session. The packets on a wire, for the handshake and for encrypted data, have the
//! kinds of [`super::session`]. A packet of another kind, or in the wrong direction, is dropped
//! without a reply.
//!
//! `version` is [`HELLO_VERSION`] for the hello and for refusals, whose layout never changes, and
//! otherwise the version agreed in the hello.

use core::fmt;

#[cfg(feature = "serde")]
use super::message::{Reply, Request};

/// A request: the message itself, inside a session.
pub const REQUEST: u8 = 1;
/// A reply: the message itself, inside a session.
pub const REPLY: u8 = 2;

#[cfg(feature = "serde")]
/// A message with a kind of packet.
pub trait Packed {
    /// The kind of the packet.
    const KIND: u8;
    /// Whether bytes after the message are ignored: a newer router may send more fields.
    const OPEN: bool;
}

#[cfg(feature = "serde")]
impl Packed for Request<'_> {
    const KIND: u8 = REQUEST;
    const OPEN: bool = false;
}

#[cfg(feature = "serde")]
impl Packed for Reply<'_> {
    const KIND: u8 = REPLY;
    const OPEN: bool = true;
}

/// The version number of a hello, independent of the versions that the two sides support.
pub const HELLO_VERSION: u8 = 0;

/// The reason why a packet contains no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The packet is empty, truncated, of another kind, has bytes left over, or does not decode.
    Malformed,
    /// The message has a version that was not agreed on.
    Version(u8),
    /// The message does not fit the buffer.
    TooLong,
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the packet does not contain a message"),
            Self::Version(version) => {
                write!(f, "the message has version {version}, which was not agreed on")
            }
            Self::TooLong => f.write_str("the message does not fit the packet"),
        }
    }
}

impl core::error::Error for EnvelopeError {}

#[cfg(feature = "serde")]
/// Writes a message and its envelope into `buf` and returns the length of the packet in bytes.
///
/// # Errors
/// [`EnvelopeError::TooLong`] if `buf` is too short.
pub fn write<M: serde::Serialize + Packed>(
    version: u8,
    message: &M,
    buf: &mut [u8],
) -> Result<usize, EnvelopeError> {
    let (head, body) = buf.split_at_mut_checked(2).ok_or(EnvelopeError::TooLong)?;
    head.copy_from_slice(&[M::KIND, version]);
    let body = postcard::to_slice(message, body).map_err(|_| EnvelopeError::TooLong)?;
    Ok(body.len().saturating_add(2))
}

/// Returns the version of a packet of this kind, and the bytes of its message.
///
/// # Errors
/// As for [`read`].
pub fn open(
    kind: u8,
    packet: &[u8],
    known: impl FnOnce(u8) -> bool,
) -> Result<(u8, &[u8]), EnvelopeError> {
    match packet.split_first_chunk() {
        Some((&[found, version], body)) if found == kind => {
            if known(version) {
                Ok((version, body))
            } else {
                Err(EnvelopeError::Version(version))
            }
        }
        _ => Err(EnvelopeError::Malformed),
    }
}

#[cfg(feature = "serde")]
/// Reads the version and the message of a packet. Bytes after a request are an error; bytes after a
/// reply are ignored.
///
/// `known` returns `true` for the versions that the reader accepts.
///
/// # Errors
/// [`EnvelopeError::Version`] for a version that is not `known`, otherwise
/// [`EnvelopeError::Malformed`].
pub fn read<'p, M: serde::Deserialize<'p> + Packed>(
    packet: &'p [u8],
    known: impl FnOnce(u8) -> bool,
) -> Result<(u8, M), EnvelopeError> {
    let (version, body) = open(M::KIND, packet, known)?;
    match postcard::take_from_bytes(body) {
        Ok((message, rest)) if M::OPEN || rest.is_empty() => Ok((version, message)),
        _ => Err(EnvelopeError::Malformed),
    }
}
