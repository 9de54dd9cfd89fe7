//! Access control: packets of unauthenticated senders, handshakes and sessions come in, requests of
//! owners go out.
//!
//! | module | contents |
//! |---|---|
//! | [`door`] | every packet that arrives: its handshake or its session |
//! | [`sieve`] | which handshakes the kernel should drop, by what arrives |
//! | [`filter`] | the classic BPF program that drops them |
//! | [`pktinfo`] | the local address that a datagram was sent to |
//! | [`limits`] | how many unauthenticated handshakes the router works on |
//! | [`identity`], [`owners`] | the router's own key, and the keys of its owners |
//! | [`unlock`] | the code that opens the console of an owned router |
//!
//! Not here: the effect of a request ([`crate::requests`]).

pub mod door;
pub mod filter;
pub mod identity;
pub mod limits;
pub mod owners;
pub mod pktinfo;
pub mod sieve;
pub mod unlock;
