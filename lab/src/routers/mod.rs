//! Routers of the lab: the agent on a machine, the host tool with a person's keys, and comparisons
//! of states.

mod config;
mod held;
mod keeper;
mod person;
mod router;
mod trace;

pub use config::{Config, Kernel, Peer};
pub use keeper::{ALONE, Keeper};
pub use person::Person;
pub use router::{EMPTY, KEEP, Reach, Router, STATE, Said, differences, identity, said};
pub use trace::{TRACE, is_change, is_sent};
