//! The machine: the only module with system calls.
//!
//! | module | contents |
//! |---|---|
//! | `sys` | the program's entry, and the calls that rustix does not have: the agent's `unsafe` |
//! | `machine` | netlink sockets, files, clock and identity |
//! | `console` | the doors of the console: serial port, socket, and the shell on a pseudo-terminal |
//! | `led` | the folder of the board's LED |
//! | `line` | the serial line |
//! | `listeners` | the places for UDP: waited for, opened, and opened again |
//! | `wires` | a UDP socket |
//! | `holders` | other programs that read the serial port |
//! | `log` | lines of text on standard output and standard error |
//! | `hook` | the program of `--applied` |
//! | `resolver` | host names looked up beside the loop |
//! | `shell` | the process, for `wg` and `wg-quick` |
//! | `user_space` | the sockets of WireGuard programs in user space |

#[cfg(feature = "console")]
pub(crate) mod console;
pub(crate) mod holders;
pub(crate) mod hook;
#[cfg(feature = "console")]
pub(crate) mod led;
pub(crate) mod line;
pub(crate) mod listeners;
pub(crate) mod log;
pub(crate) mod machine;
pub(crate) mod resolver;
#[cfg_attr(
    not(all(feature = "wg", feature = "wg-quick")),
    allow(dead_code, reason = "what only the commands use goes at the link")
)]
pub(crate) mod shell;
#[cfg_attr(
    not(any(feature = "wg", feature = "wg-quick")),
    allow(dead_code, reason = "what only the commands use goes at the link")
)]
pub(crate) mod sys;
pub(crate) mod user_space;
pub(crate) mod wires;
