//! State that survives a restart: stored configurations, snapshots, and the order in which a change
//! is made and reverted.
//!
//! | module | contents |
//! |---|---|
//! | [`keep`] | small files with a checksum, replaced as a whole |
//! | [`noted`] | a file of the agent whose failures are recorded |
//! | [`configurations`] | numbered configurations of each interface |
//! | [`commit`] | the order of a change, and its undo |
//! | [`snapshot`], [`restore`] | the state before a change, and its restoration |
//! | [`start`] | the reverts and stored configurations of a start |
//! | [`guard`] | holds back a configuration that ended the agent three times |
//! | [`brake`] | limits repairs that another program undoes |
//! | [`netifd`] | whether OpenWrt's netifd manages an interface |
//! | [`hosts`] | endpoints that are looked up by name |
//! | [`trouble`] | faults, by interface |
//!
//! Not here: the system calls (the binary, over [`crate::system`]).

pub mod brake;
pub mod commit;
pub mod configurations;
pub mod guard;
pub mod hosts;
pub mod keep;
pub mod netifd;
pub mod noted;
pub mod restore;
pub mod snapshot;
pub mod start;
pub mod trouble;
