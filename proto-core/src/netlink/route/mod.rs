//! rtnetlink: links, addresses, routes and policy rules.
//!
//! Each has a plain struct with `parse` for the kernel's messages, and functions that write
//! requests into a buffer. With `NETLINK_GET_STRICT_CHK`, the kernel filters a list as requested;
//! kernels before 4.20 send everything, so the caller must filter too.
//!
//! Source: `linux/rtnetlink.h` and the header named in each file.

pub mod addr;
pub mod link;
pub mod notification;
#[expect(clippy::module_inception, reason = "a route is what rtnetlink calls one")]
pub mod route;
pub mod rule;

pub use addr::Addr;
pub use link::Link;
pub use notification::{Notification, Notifications, Object};
pub use route::{Route, RouteFilter};
pub use rule::Rule;

use super::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST};

/// `AF_UNSPEC`: any family.
pub const AF_UNSPEC: u8 = 0;

/// What to do if an object to be added exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IfExists {
    /// Leave the object and fail with `EEXIST`.
    Fail,
    /// Replace the object.
    Replace,
}

/// Flags of a request that changes something.
const CHANGE: u16 = NLM_F_REQUEST | NLM_F_ACK;
/// Flags of a request for a list.
const LIST: u16 = NLM_F_REQUEST | NLM_F_ACK | NLM_F_DUMP;

impl IfExists {
    const fn flags(self) -> u16 {
        match self {
            Self::Fail => CHANGE | NLM_F_CREATE | NLM_F_EXCL,
            Self::Replace => CHANGE | NLM_F_CREATE | NLM_F_REPLACE,
        }
    }
}
