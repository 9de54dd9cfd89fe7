//! Exit codes.
//!
//! | code | means |
//! |---|---|
//! | 0 | done |
//! | 1 | the router refused, failed, or took a change back that nobody confirmed |
//! | 2 | the command line, FILE or one of your own files is wrong |
//! | 3 | no connection, or no answer |
//! | 4 | `diff` found changes |

/// Done.
pub const DONE: u8 = 0;
/// The router refused, failed, or took a change back that nobody confirmed.
pub const ROUTER: u8 = 1;
/// The command line, FILE or one of the operator's own files is wrong.
pub const USAGE: u8 = 2;
/// No connection, or no answer.
pub const CONNECTION: u8 = 3;
/// `diff` found changes.
pub const CHANGES: u8 = 4;

/// The table above for `--help`.
pub const HELP: &str = "\
Exit codes:
  0  done
  1  the router refused, failed, or took a change back that nobody confirmed
  2  the command line, FILE or one of your own files (such as your key) is wrong
  3  no connection, or no answer
  4  `diff` found changes";
