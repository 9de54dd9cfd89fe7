//! Exit codes.
//!
//! | code | means |
//! |---|---|
//! | 0 | success |
//! | 1 | the router refused or failed, or reverted an unconfirmed change |
//! | 2 | an error in the command line, in FILE, or in one of your own files |
//! | 3 | no connection, or no reply |
//! | 4 | `diff` found changes, or `status` found that the kernel differs from the stored configuration |
//! | 5 | the output could not be written; stderr has the exit code of the command itself |
//! | 6 | `fleet` stopped because more units failed than --max-fail allows |
//! | 130 | interrupted (Ctrl-C) |

/// Success.
pub const DONE: u8 = 0;
/// The router refused or failed, or reverted an unconfirmed change.
pub const ROUTER: u8 = 1;
/// An error in the command line, in FILE, or in one of the operator's own files.
pub const USAGE: u8 = 2;
/// No connection, or no reply.
pub const CONNECTION: u8 = 3;
/// `diff` found changes, or `status` found drift.
pub const CHANGES: u8 = 4;
/// The output could not be written.
pub const OUTPUT: u8 = 5;
/// A run over many routers stopped because too many units failed.
pub const STOPPED: u8 = 6;
/// Interrupted by the user: 128 plus the number of SIGINT, the convention of shells.
pub const INTERRUPTED: u8 = 130;

/// The table above for `--help`.
pub const HELP: &str = "\
Exit codes:
  0  success
  1  the router refused or failed, or reverted an unconfirmed change
  2  an error in the command line, in FILE, or in one of your own files (such as your key)
  3  no connection, or no reply
  4  `diff` found changes, or `status` found that the kernel differs from the stored configuration
  5  the output could not be written; stderr has the exit code of the command itself
  6  `fleet` stopped because more units failed than --max-fail allows
  130  interrupted (Ctrl-C)";
