//! `postwired serve`, and the commands of root on the router.
//!
//! | module | contents |
//! |---|---|
//! | `event_loop` | the loop: wires, timers, and what wakes it |
//! | `local` | `identity` and `reset-owner` |
//! | `client` | `console` and single commands of it, at the socket of the running agent |
//! | `port` | `console take` and `give` |

#[cfg(feature = "console")]
pub(crate) mod client;
pub(crate) mod event_loop;
pub(crate) mod local;
pub(crate) mod port;
