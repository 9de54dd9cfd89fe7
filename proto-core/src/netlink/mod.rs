//! Netlink as bytes: Postwire's requests to the kernel, and the kernel's answers.
//!
//! - [`mod@write`] and [`read`] are the two directions of the format itself: messages and attributes.
//! - [`control`] reads the kernel's own messages (acknowledgement, error, end of a dump), and
//!   [`exchange`] ties one request to its answers.
//! - [`batch`] puts many requests into one datagram.
//! - [`socket`] is the loop around a socket of the caller.
//! - [`genl`], [`route`] and [`wireguard`] are the three families that Postwire uses.
//!
//! Not here: system calls. Bytes come and go as slices; the caller owns the socket, its options and
//! its receive buffer.
//!
//! # Panics and endless loops
//!
//! No input panics, from the kernel or from a caller: reading splits slices with checks, and
//! writing reports [`Full`]. Nothing recurses, and every turn of a loop shortens the rest of the
//! input, so no input causes an endless loop.
//!
//! # Byte order
//!
//! Numbers are in host order, as in `linux/netlink.h`; the few in network order are marked where
//! they are read or written. Nothing is read through a cast pointer, so buffers need no alignment.

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
/// Requests an acknowledgement, also on success.
pub const NLM_F_ACK: u16 = 0x04;
/// The dump is inconsistent: the list changed while it was sent.
pub const NLM_F_DUMP_INTR: u16 = 0x10;
/// The dump was filtered as requested (under `NETLINK_GET_STRICT_CHK`).
pub const NLM_F_DUMP_FILTERED: u16 = 0x20;
/// Get: everything that matches (`NLM_F_ROOT | NLM_F_MATCH`).
pub const NLM_F_DUMP: u16 = 0x300;
/// New: replace an existing object.
pub const NLM_F_REPLACE: u16 = 0x100;
/// New: fail with `EEXIST` if the object exists.
pub const NLM_F_EXCL: u16 = 0x200;
/// New: create the object if it does not exist.
pub const NLM_F_CREATE: u16 = 0x400;
/// Acknowledgement: the request is not echoed after its header.
pub const NLM_F_CAPPED: u16 = 0x100;
/// Acknowledgement: `NLMSGERR_ATTR_*` attributes follow.
pub const NLM_F_ACK_TLVS: u16 = 0x200;

// linux/netlink.h, `nlmsg_type`.

/// No operation.
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

/// The length including the padding.
const fn padded(len: usize) -> usize {
    len.saturating_add(ALIGNTO - 1) & !(ALIGNTO - 1)
}

/// Attribute type flag: the payload is attributes.
pub const NLA_F_NESTED: u16 = 1 << 15;
/// Attribute type flag: the payload is in network byte order.
pub const NLA_F_NET_BYTEORDER: u16 = 1 << 14;
