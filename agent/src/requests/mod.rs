//! Requests of owners: each is executed once and answered.
//!
//! | module | holds |
//! |---|---|
//! | [`service`] | requests in, replies out |
//! | [`stage`] | a configuration that arrives in pieces |
//! | [`report`] | the running state, and the changes of a plan, as files to read |
//!
//! Not here: access control ([`crate::access`]), and how a configuration is applied
//! ([`crate::store`]).

pub mod report;
pub mod service;
pub mod stage;
