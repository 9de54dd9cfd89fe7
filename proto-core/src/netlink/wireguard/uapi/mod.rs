//! WireGuard in user space: the text that its programs read and write on a socket
//! (wireguard.com/xplatform), in place of the kernel's generic netlink.
//!
//! A request is lines of `key=value` and an empty line. So is its answer, in which one line is
//! `errno=0` or has an error number. Keys of WireGuard are hexadecimal.
//!
//! - `set`: a change, which [`SetEncoder`] writes if the family is [`NO_FAMILY`].
//! - [`get`]: an answer, decoded as it arrives into the events of a kernel dump.
//!
//! Both stream: neither holds more than one piece or one line, for any number of peers.
//!
//! Not here: sockets, and looking up host names.
//!
//! [`SetEncoder`]: super::SetEncoder

pub mod get;
pub(crate) mod set;

pub use get::{Answer, AnswerError, Sink};

/// In place of the number of the kernel's family: messages are text. No family has this number,
/// because netlink reserves those below 16.
pub const NO_FAMILY: u16 = 0;
/// The request for a device and its peers, without its [`END`].
pub const GET: &[u8] = b"get=1\n";
/// The end of each request.
pub const END: &[u8] = b"\n";

#[cfg(test)]
mod tests;
