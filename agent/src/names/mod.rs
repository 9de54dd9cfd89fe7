//! Looks up host names without system calls: the caller has the sockets, the clock and the files.
//!
//! | module | holds |
//! |---|---|
//! | [`message`] | DNS queries and replies (RFC 1035) |
//! | [`files`] | `/etc/hosts`, `/etc/resolv.conf`, `/etc/services`, and addresses in all forms of inet_aton(3) |
//! | [`lookup`] | the look-up of one name: servers, attempts, search domains |
//!
//! No crate is used for the messages: a stub resolver writes one kind of query and reads two kinds
//! of record. That is less code than adapting a general DNS crate to fixed memory. The tests compare both.

pub mod files;
pub mod lookup;
pub mod message;

#[cfg(any(test, feature = "testing"))]
#[cfg_attr(
    not(test),
    allow(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "for fuzzing: the first mistake ends it, as it should"
    )
)]
pub mod fuzz;
#[cfg(test)]
mod tests;
