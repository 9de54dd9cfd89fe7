//! rtnetlink: links, addresses, routes and policy rules.
//!
//! Each has a plain struct with `parse` for what the kernel sends and functions that write a request
//! into a buffer. A socket with `NETLINK_GET_STRICT_CHK` filters a list as it was asked; kernels
//! before 4.20 send everything, so what comes back has to be compared with what was asked for.
//!
//! Source: `linux/rtnetlink.h` and the header each file names.

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

/// What to do if what is to be added is already there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IfExists {
    /// Leave it and fail with `EEXIST`.
    Fail,
    /// Take its place.
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
