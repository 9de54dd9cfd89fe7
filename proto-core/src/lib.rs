//! Netlink, WireGuard and the Postwire protocol in fixed memory: bytes in, bytes out.
//!
//! No allocator, no `unsafe` and no I/O: all code works on buffers of the caller. No
//! input can panic or cause an endless loop: reads are checked splits, and arithmetic on input is
//! checked or saturating.
//!
//! | feature | modules |
//! |---|---|
//! | always | [`ip`], [`ifname`], [`text`]: addresses and networks, interface names, short texts |
//! | `netlink` | [`netlink`]: messages, attributes, requests and their answers, links, addresses, routes, rules, generic netlink |
//! | `wireguard` | [`netlink::wireguard`]: set a WireGuard device and read it back; [`uapi`] for WireGuard in user space |
//! | `conf` | [`conf`]: the configuration text of wg(8) and wg-quick(8); [`key`] |
//! | `protocol` | [`protocol`]: messages, configuration images, framing and encrypted sessions between a bench and a router |
//! | `serde` | the messages for serde and postcard; with `protocol`, the client's state machines |
//! | `small` | no new items: functions are kept out of line, for programs with a size limit |
//!
//! Types that the kernel, the protocol or the notation may extend are `#[non_exhaustive]`: errors, notifications,
//! and the devices, peers and links of a dump. The outcomes of state machines are not, because a caller has to handle
//! each of them.
//!
//! All features except `small` are on by default. With `netlink` alone, the only dependency is
//! `zeroize`.
//!
//! # Example
//!
//! A request that adds an allowed IP to a peer of `wg0`, and its header as a kernel reads it:
//!
//! ```
//! # #[cfg(feature = "wireguard")] {
//! use proto_core::netlink::wireguard::{AllowedIpChange, PeerChange, SetEncoder};
//! use proto_core::netlink::{IfName, Messages};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device: IfName = "wg0".parse()?;
//! let peer = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=".parse()?;
//! // The number of the family `wireguard`, from `genl::Family`.
//! let family = 30;
//!
//! let mut buf = [0; 512];
//! let mut encoder = SetEncoder::new(&mut buf, family, device);
//! encoder.peer(&PeerChange::new(peer))?;
//! encoder.allowed_ip(&AllowedIpChange { net: "10.0.0.2/32".parse()?, remove: false })?;
//! let request = encoder.message(1).expect("it has a peer");
//!
//! let message = Messages::new(request).next().expect("one message")?;
//! assert_eq!((message.ty, message.seq), (family, 1));
//! # Ok(())
//! # }
//! # main().unwrap();
//! # }
//! ```
//!
//! `examples/` has three programs: `list_devices` and `set_peer` use the kernel through the socket
//! loop of [`netlink::socket`], and `push` sends a configuration to a router over any stream of
//! `embedded_io`.
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

#[cfg(all(doctest, feature = "wireguard"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(feature = "wireguard")]
pub use netlink::wireguard::uapi;
