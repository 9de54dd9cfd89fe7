//! What survives: stored configurations, snapshots, and the order in which a change is made and reverted.
//!
//! | module | holds |
//! |---|---|
//! | [`keep`] | small files with a checksum, replaced as a whole |
//! | [`noted`] | a file of our own whose failures are written down |
//! | [`configurations`] | numbered configurations of each interface |
//! | [`commit`] | the order of a change, and going back |
//! | [`snapshot`], [`restore`] | the state before a change, and putting it back |
//! | [`start`] | what is applied when the agent starts |
//! | [`guard`] | holds back a configuration that ended the agent three times |
//! | [`brake`] | limits repairs that another program undoes |
//! | [`hosts`] | endpoints that are looked up by name |
//! | [`trouble`] | what is wrong, by interface |
//!
//! Not here: the system calls (the binary, over [`crate::system`]).

pub mod brake;
pub mod commit;
pub mod configurations;
pub mod guard;
pub mod hosts;
pub mod keep;
pub mod noted;
pub mod restore;
pub mod snapshot;
pub mod start;
pub mod trouble;
