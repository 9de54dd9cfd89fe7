//! WireGuard in user space: the text that its programs read and write on a socket
//! (wireguard.com/xplatform), in place of the kernel's generic netlink.
//!
//! A request is lines of `key=value` and an empty line, and so is its answer, in which one line says
//! `errno=0`, or what went wrong. Keys of WireGuard are hexadecimal.
//!
//! - `set`: a change, which [`SetEncoder`] writes where the family is [`NO_FAMILY`].
//! - [`get`]: an answer, decoded as it arrives into the events that a dump of the kernel's becomes.
//!
//! Both stream: neither holds more than one piece or one line, however many peers there are.
//!
//! Not here: sockets, and the addresses of host names.
//!
//! [`SetEncoder`]: super::SetEncoder

pub mod get;
pub(crate) mod set;

pub use get::{Answer, AnswerError, Sink};

/// In the place of the number of the kernel's family: what is written is text. No family has this
/// number, because netlink has those below 16 for itself.
pub const NO_FAMILY: u16 = 0;
/// The request for a device and its peers, without its [`END`].
pub const GET: &[u8] = b"get=1\n";
/// The end of each request.
pub const END: &[u8] = b"\n";

#[cfg(test)]
mod tests;
