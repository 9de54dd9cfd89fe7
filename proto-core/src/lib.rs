//! The byte formats under Postwire, and no I/O: netlink, rtnetlink, generic netlink and WireGuard
//! towards the kernel; frames and postcard messages towards the bench.
//!
//! Everything works on buffers that the caller lends. There is no allocator and no `unsafe`, and
//! nothing that arrives can panic: reads are checked splits, and arithmetic that input can reach is
//! checked or saturating.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

#[cfg(feature = "conf")]
pub mod conf;
#[cfg(feature = "conf")]
mod encoding;
pub mod ifname;
pub mod ip;
#[cfg(feature = "conf")]
pub mod key;
#[cfg(feature = "netlink")]
pub mod netlink;
#[cfg(feature = "protocol")]
pub mod protocol;
pub mod text;

#[cfg(feature = "wireguard")]
pub use netlink::wireguard::uapi;
