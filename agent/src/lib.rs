//! What `postwired` does, without the machine it does it on.
//!
//! Data goes one way, and each arrow is one module:
//!
//! ```text
//! packet -> door -> service -> stage -> image -> plan -> store -> apply -> plan again -> store -> reply
//!                              (file)   (check)  (compare)  (next)  (netlink)  (read back)   (its name)
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`system`] | what is asked of the machine: netlink sockets, files, clock, as traits |
//! | [`kernel`] | one request to the kernel and its answers, and their errors in our words |
//! | [`fault`] | a failure on its way up |
//! | [`door`] | packets of strangers, handshakes and sessions in; requests of owners out |
//! | [`sieve`] | which handshakes the kernel should drop, by what arrives |
//! | [`filter`] | the program with which it does |
//! | [`pktinfo`] | which of our addresses a datagram was sent to |
//! | [`limits`] | how many handshakes strangers can make the router work on |
//! | [`identity`], [`owners`], [`keep`] | the router's own key and whose it is, in files that survive |
//! | [`stage`] | a configuration that arrives in pieces |
//! | [`image`] | the staged records in order, checked, and the index made of them |
//! | [`index`] | the items of an image in a file, found by halving |
//! | [`noted`] | a file of our own, whose failures are written down |
//! | [`set_sum`] | sets of networks compared in fixed memory |
//! | [`walk`] | the kernel's tables as they come |
//! | [`plan`] | what differs between an image and the kernel |
//! | [`claims`] | which interface a policy rule belongs to |
//! | [`clash`] | routes that something else on the router has already |
//! | [`apply`] | making it so |
//! | [`remove`] | taking an interface away |
//! | [`records`] | rows of records in files |
//! | [`snapshot`] | the running state as an image, to go back to |
//! | [`store`] | configurations in files that survive |
//! | [`commit`] | the order of all this, and going back |
//! | [`start`] | what is done before anybody asks |
//! | [`trouble`] | what is wrong, by interface |
//! | [`guard`] | what a start that ended the agent three times is not given again |
//! | [`links`] | the links that endpoints with a scope are on |
//! | [`hosts`] | endpoints that are looked up by name |
//! | [`report`] | the running state and a plan's changes as files to read |
//! | [`service`] | requests in, replies out, each done once |
//! | [`options`] | the command line |
//! | [`wg`] | the commands of wg(8) |
//! | [`quick`] | the commands of wg-quick(8) |
//!
//! The binary adds the sockets, the serial port and the loop. All memory is fixed: a configuration
//! is in the stage file, and what is known about each of its items is in the index file.
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

pub mod apply;
pub mod claims;
pub mod clash;
pub mod commit;
pub mod door;
pub mod families;
pub mod fault;
pub mod filter;
pub mod guard;
pub mod hosts;
pub mod identity;
pub mod image;
pub mod index;
pub mod keep;
pub mod kernel;
pub mod limits;
pub mod links;
pub mod noted;
pub mod options;
pub mod owners;
pub mod pktinfo;
pub mod plan;
pub mod quick;
pub mod raw;
pub mod records;
pub mod remove;
pub mod report;
pub mod restore;
pub mod service;
pub mod set_sum;
pub mod sieve;
pub mod snapshot;
pub mod stage;
pub mod start;
pub mod store;
pub mod system;
pub mod trouble;
pub mod walk;
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
