//! The Postwire protocol, version 1: the messages between a bench and a router, and how they are
//! sent.
//!
//! ```text
//! bytes on a serial line --frame--> packet --session--> inner packet --envelope--> message
//! a UDP datagram         --frame--> packet
//! ```
//!
//! | module | contents |
//! |---|---|
//! | [`frame`] | packets on a serial line (COBS between zeros) and in a datagram, both with a CRC |
//! | [`serial`] | frames over a stream of `embedded_io` |
//! | [`session`] | handshake and encryption: who may talk to a router, and the packets on a wire |
//! | [`envelope`] | the two bytes before every message: kind of packet, and version |
//! | [`message`] | requests and replies, as postcard |
//! | [`config`] | the configuration image of a push: records in a fixed order |
//! | [`draft`] | the image of a configuration file, made in fixed memory |
//! | [`patch`] | a configuration as its differences from a stored one |
//! | [`sized`] | values with their length in front, so that readers can pass over what they do not know |
//! | [`report`] | what the router sends back in bulk: the running state, a list of changes |
//! | [`unlock`] | the code that opens a router's console without a connection, as people read it to each other |
//! | [`window`] | the receiver's side of a windowed stream: which pieces are here |
//! | [`client`] | the asking side as state machines without I/O or clock |
//! | [`link`] | a client that waits for its answers, over a serial stream of `embedded_io` |
//!
//! `docs/protocol.md` describes the same for authors of clients in other languages;
//! `tests/protocol_vectors.rs` checks its example bytes.
//!
//! The types of [`message`], [`config`] and [`report`] are append-only: postcard numbers enum
//! variants by position, so a new variant in the middle would change the meaning of old bytes.
//! `docs/protocol.md` lists the additions that are allowed within a version of the protocol.

#[cfg_attr(
    feature = "serde",
    expect(clippy::result_large_err, reason = "there is no allocator to box a failure with")
)]
#[cfg(feature = "serde")]
pub mod client;
pub mod codec;
pub mod config;
mod digest;
pub mod draft;
pub mod endpoint;
pub mod envelope;
mod failure;
pub mod frame;
#[cfg(feature = "serde")]
#[expect(clippy::result_large_err, reason = "there is no allocator to box a failure with")]
pub mod link;
pub mod message;
mod numbers;
pub mod packed;
pub mod patch;
pub mod report;
pub mod serial;
pub mod session;
#[cfg(feature = "serde")]
pub mod sized;
mod spoken;
pub mod unlock;
pub mod window;

pub use digest::{Digest, Digester, digest};

/// The default UDP port of the agent.
pub const DEFAULT_PORT: u16 = 5182;

/// The protocol version of this code.
pub const VERSION: u8 = 1;

#[cfg(feature = "serde")]
/// The versions of replies that a client accepts: the hello's and its own.
const HELLO_REPLY_VERSIONS: [u8; 2] = [envelope::HELLO_VERSION, VERSION];

/// Largest size in bytes of a packet with a message (envelope and message, without CRC). Encrypted
/// and with the CRC it fits a UDP datagram in the smallest IPv6 MTU (1,280 - 48).
pub const MAX_PACKET: usize = 1_184;

/// Largest size in bytes of a packet on a wire: a packet of [`MAX_PACKET`] bytes in a session.
pub const MAX_OUTER: usize = MAX_PACKET + session::OVERHEAD;

/// Largest payload in bytes of a `Piece` or `Data` message: a packet less the envelope and the
/// longest message header (8 client, 5 id, 1 variant, 5 file, 5 offset, 2 length).
pub const MAX_DATA: usize = MAX_PACKET - 32;
