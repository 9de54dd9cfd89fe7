//! Netlink as bytes: what Postwire asks the kernel, and what the kernel answers.
//!
//! - [`mod@write`] and [`read`] are the two directions of the format itself: messages and attributes.
//! - [`control`] reads the kernel's own messages (acknowledgement, error, end of a dump), and
//!   [`exchange`] ties one request to its answers.
//! - [`batch`] puts many requests into one datagram.
//! - [`socket`] is the loop around a socket that the caller brings.
//! - [`genl`], [`route`] and [`wireguard`] are the three families Postwire speaks.
//!
//! Not here: system calls. Bytes come in as slices and leave as slices; the caller owns the socket, its
//! options and its receive buffer.
//!
//! # What is promised about panics and loops
//!
//! No input panics, whatever the kernel or a caller hands in: reading splits slices with checks,
//! and writing reports [`Full`]. Nothing recurses, and every turn of a loop takes
//! bytes away from what is left to read, so no input makes one run for ever.
//!
//! # Byte order
//!
//! Numbers are in the machine's own order, as `linux/netlink.h` has it; the few that are in network
//! order say so where they are read or written. Nothing is read through a cast pointer, so no
//! buffer has to be aligned.

pub mod batch;
pub mod control;
pub mod errno;
pub mod exchange;
#[cfg(test)]
mod fixture;
pub mod genl;
pub mod read;
pub mod route;
pub mod socket;
#[cfg(feature = "wireguard")]
pub mod wireguard;
pub mod write;

pub use crate::ifname::{IfName, IfNameError};
pub use batch::Batch;
pub use errno::Errno;
pub use exchange::{Attempts, Exchange, ExchangeError, Expect, KernelError, State};
pub use read::{Attribute, AttributeError, Attributes, Message, Messages, ParseError};
pub use write::{Full, Writer};

// linux/netlink.h, `nlmsg_flags`.

/// The message is a request.
pub const NLM_F_REQUEST: u16 = 0x01;
/// The message is one of several; `NLMSG_DONE` ends them.
pub const NLM_F_MULTI: u16 = 0x02;
/// Answer with an acknowledgement, also when all went well.
pub const NLM_F_ACK: u16 = 0x04;
/// The dump is not of one moment: what it lists changed meanwhile.
pub const NLM_F_DUMP_INTR: u16 = 0x10;
/// The dump was filtered as the request asked (under `NETLINK_GET_STRICT_CHK`).
pub const NLM_F_DUMP_FILTERED: u16 = 0x20;
/// Get: everything that matches (`NLM_F_ROOT | NLM_F_MATCH`).
pub const NLM_F_DUMP: u16 = 0x300;
/// New: put it in place of what is there.
pub const NLM_F_REPLACE: u16 = 0x100;
/// New: fail with `EEXIST` if it is there.
pub const NLM_F_EXCL: u16 = 0x200;
/// New: make it if it is not there.
pub const NLM_F_CREATE: u16 = 0x400;
/// Acknowledgement: the request is not echoed behind its header.
pub const NLM_F_CAPPED: u16 = 0x100;
/// Acknowledgement: `NLMSGERR_ATTR_*` attributes follow.
pub const NLM_F_ACK_TLVS: u16 = 0x200;

// linux/netlink.h, `nlmsg_type`.

/// Nothing.
pub const NLMSG_NOOP: u16 = 0x1;
/// An acknowledgement or an error.
pub const NLMSG_ERROR: u16 = 0x2;
/// The end of a dump.
pub const NLMSG_DONE: u16 = 0x3;
/// Data was lost.
pub const NLMSG_OVERRUN: u16 = 0x4;
/// Types below this one are netlink's own; from here on they belong to a family.
pub const NLMSG_MIN_TYPE: u16 = 0x10;

/// The length of `struct nlmsghdr` in bytes.
pub const NLMSG_HDRLEN: usize = 16;
/// The length of `struct nlattr` in bytes.
pub const NLA_HDRLEN: usize = 4;
/// Messages and attributes start at multiples of this (`NLMSG_ALIGNTO`, `NLA_ALIGNTO`).
pub const ALIGNTO: usize = 4;

/// The length with the padding behind it.
const fn padded(len: usize) -> usize {
    len.saturating_add(ALIGNTO - 1) & !(ALIGNTO - 1)
}

/// Attribute type flag: the payload is attributes.
pub const NLA_F_NESTED: u16 = 1 << 15;
/// Attribute type flag: the payload is in network byte order.
pub const NLA_F_NET_BYTEORDER: u16 = 1 << 14;
