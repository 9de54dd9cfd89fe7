//! Exit codes.
//!
//! | code | means |
//! |---|---|
//! | 0 | done |
//! | 1 | the router refused or failed, or reverted an unconfirmed change |
//! | 2 | the command line, FILE or one of your own files is wrong |
//! | 3 | no connection, or no answer |
//! | 4 | `diff` found changes, or `status` that the kernel differs from what is stored |
//! | 5 | the output could not be written; stderr says how the command had ended |
//! | 130 | interrupted (Ctrl-C) |

/// Done.
pub const DONE: u8 = 0;
/// The router refused or failed, or reverted an unconfirmed change.
pub const ROUTER: u8 = 1;
/// The command line, FILE or one of the operator's own files is wrong.
pub const USAGE: u8 = 2;
/// No connection, or no answer.
pub const CONNECTION: u8 = 3;
/// `diff` found changes, or `status` found drift.
pub const CHANGES: u8 = 4;
/// The output could not be written.
pub const OUTPUT: u8 = 5;
/// Interrupted by the person: 128 and the number of SIGINT, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// The table above for `--help`.
pub const HELP: &str = "\
Exit codes:
  0  done
  1  the router refused or failed, or reverted an unconfirmed change
  2  the command line, FILE or one of your own files (such as your key) is wrong
  3  no connection, or no answer
  4  `diff` found changes, or `status` that the kernel differs from what is stored
  5  the output could not be written; stderr says how the command had ended
  130  interrupted (Ctrl-C)";
