//! The kernel's side: requests and answers, and its tables.
//!
//! | module | holds |
//! |---|---|
//! | [`exchange`] | one request to the kernel, its answers, and its errors as failures |
//! | [`read`] | the kernel's tables, entry by entry |
//! | [`mod@write`] | changes: items of an image, and WireGuard messages |
//! | [`raw`] | addresses and routes with every attribute, to put them back exactly |
//! | [`families`] | address families that the kernel lacks |
//! | [`links`] | the links that endpoints with a scope are on |
//! | [`remove`] | removes an interface |
//!
//! Not here: what a configuration needs from the kernel ([`crate::config`]).

pub mod exchange;
pub mod families;
pub mod links;
pub mod raw;
pub mod read;
pub mod remove;
pub mod write;
