//! `postwired serve`, and the commands of root on the router.
//!
//! | module | holds |
//! |---|---|
//! | `event_loop` | the loop: wires, timers, and what wakes it |
//! | `local` | `identity` and `reset-owner` |

pub(crate) mod event_loop;
pub(crate) mod local;
