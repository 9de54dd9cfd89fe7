//! The agent `postwired`, without the machine on which it runs.
//!
//! Data flows in one direction, and each arrow is one module:
//!
//! ```text
//! packet -> door -> service -> stage -> image -> plan -> store -> apply -> plan again -> store -> reply
//!                              (file)   (check)  (compare)  (next)  (netlink)  (read back)   (its name)
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`system`] | what the agent needs from the machine: netlink sockets, files, clock, as traits |
//! | [`fault`] | how failures are returned |
//! | [`access`] | from packets of unauthenticated senders, through handshakes and sessions, to requests of owners |
//! | [`requests`] | from requests to replies; each request is executed once |
//! | [`kernel`] | requests to the kernel, and its tables |
//! | [`config`] | an image: checked, compared with the kernel, applied |
//! | [`names`] | host names: messages, files, and look-ups |
//! | [`store`] | what survives a restart, and the order of a change |
//! | [`options`] | the command line |
//! | [`led`] | what the agent is doing, on the board's LED |
//! | [`console`] | commands of a person, on the serial port, on the router and in a session |
//! | [`wg`] | the commands of wg(8) |
//! | [`quick`] | the commands of wg-quick(8) |
//! | [`bytes`], [`cut`], `wipe` | records of bytes, text that fits, memory that is wiped |
//! | `testing` | a kernel and disks in memory |
//!
//! `wg` and `quick` are compiled without their features too, so that their tests run: a program that calls neither
//! has none of their code.
//!
//! The binary adds the sockets, the serial port and the event loop. All memory is fixed: a
//! configuration is in the stage file, and the state of each of its items is in the index file.
#![cfg_attr(not(any(test, feature = "testing")), no_std)]
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

pub mod access;
pub mod bytes;
pub mod config;
#[cfg(feature = "console")]
pub mod console;
pub mod cut;
pub mod fault;
pub mod kernel;
#[cfg(feature = "console")]
pub mod led;
pub mod names;
pub mod options;
pub mod quick;
pub mod requests;
pub mod store;
pub mod system;
pub mod wg;
mod wipe;

#[cfg(any(test, feature = "testing"))]
#[cfg_attr(
    not(test),
    allow(
        dead_code,
        unused_imports,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::panic,
        reason = "for tests and fuzzing: the first mistake ends them, as it should"
    )
)]
mod testing;
#[cfg(feature = "testing")]
pub use testing::simulated;
