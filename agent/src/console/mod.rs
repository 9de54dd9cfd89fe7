//! The console: commands for a person, through three doors.
//!
//! ```text
//! serial port  -> frame::Deframer -> Text -> terminal -> editor -> line \
//! postwired console (root on the router) -> socket ---------------> line  > requests::service::console -> service
//! a session    -> Ask::Console -----------------------------------> line /
//! ```
//!
//! | module | contents |
//! |---|---|
//! | `editor` | bytes of a terminal in, a line and the echo out |
//! | `terminal` | a person at a terminal: editor, pages, and input that arrives during output |
//! | `words` | the table of commands, and the parser of a line |
//! | `page` | text of 79 columns, or JSON |
//! | `answers` | answers and reports of the service, on a page |
//!
//! A command is a request to the service like any other ([`crate::requests::service`]), by a
//! [`Person`]; the table of `words` has the permissions. The output of a command is a file, which
//! the door sends as fast as its person reads.
//!
//! Not here: the serial port, the socket and the shell (`linux/console.rs` of the binary), and codes
//! ([`crate::access::unlock`]).

pub mod answers;
pub mod editor;
pub mod page;
pub mod terminal;
pub mod words;

use core::fmt;

use heapless::String;
use proto_core::key::PublicKey;
use proto_core::netlink::Errno;
use proto_core::protocol::Digest;
use proto_core::protocol::message::{ClientId, ConsoleMode, Name};
use proto_core::protocol::session::StaticKey;

use crate::access::unlock::Unlock;
use crate::config::image::Span;
use crate::requests::service::Visitor;
use words::Command;

/// The key of a person without one: root on the router, and a person at the cable of an unowned
/// router.
pub const NO_KEY: PublicKey = PublicKey([0; 32]);

/// Largest size of a pasted file in bytes.
pub const MAX_PASTE: u32 = 4 * 1024 * 1024;

/// The door of a person.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// The serial port.
    Serial,
    /// The socket on the router.
    Socket,
    /// A session.
    Session,
}

/// The reason why a pasted file cannot be loaded, and the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spoilt {
    /// The line has a byte that is not text.
    Noise(u32),
    /// There is no room for the line.
    NoRoom(u32, Errno),
}

impl fmt::Display for Spoilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Noise(line) => write!(
                f,
                "line {line} has a byte that is no text: it did not arrive as it was sent; load the file again"
            ),
            Self::NoRoom(line, errno) => {
                write!(f, "no room for line {line}: {errno}; the file is dropped")
            }
        }
    }
}

/// The kind of the next line.
#[derive(Clone, Debug, Default)]
pub enum State {
    /// A command.
    #[default]
    Command,
    /// A line of a file.
    Paste {
        /// The interface of the file.
        interface: Name,
        /// Number of bytes in the file of the paste.
        length: u32,
        /// Number of whole lines.
        lines: u32,
        /// Whether the last line has no end yet.
        open: bool,
        /// Why the file cannot be loaded, if it cannot; the rest of it is read and dropped.
        spoilt: Option<Spoilt>,
    },
    /// The answer to a question: whether to execute this command.
    Question(Command),
    /// A code of `unlock`.
    Code,
}

/// A configuration that waits for `commit`. Its image is in the file of the paste.
#[derive(Clone, Copy, Debug)]
pub struct Loaded {
    /// The interface of the configuration.
    pub interface: Name,
    /// The place of the image in the file.
    pub span: Span,
    /// The number of the newest stored configuration when the changes were displayed.
    pub newest: Option<u32>,
}

/// The conversation with one person, between the lines.
#[derive(Clone, Debug, Default)]
pub struct Talk {
    /// The kind of the next line.
    pub state: State,
    /// The configuration for `commit`.
    pub loaded: Option<Loaded>,
    /// The name under which stages and reports of this conversation are stored.
    pub client: ClientId,
    /// Whether the output is JSON.
    pub json: bool,
    /// Whether no person can answer a question: commands are executed without one.
    pub unattended: bool,
}

impl Talk {
    /// A conversation before its first line.
    #[must_use]
    pub fn new(client: ClientId) -> Self {
        Self { client, ..Self::default() }
    }
}

/// The author of a command.
pub struct Person<'p, 'v, 'f> {
    /// Key and standing.
    pub visitor: &'p mut Visitor<'v, 'f>,
    /// The door.
    pub way: Way,
    /// The codes of `unlock`; only on the serial port.
    pub unlock: Option<&'p mut Unlock>,
    /// The router's own key.
    pub identity: Option<&'p StaticKey>,
    /// The person, for the log.
    pub from: &'p dyn fmt::Display,
}

impl fmt::Debug for Person<'_, '_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.way, self.from)
    }
}

/// The result of a line. The output is in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The kind of the next line.
    pub mode: ConsoleMode,
    /// The text before the next line.
    pub prompt: String<64>,
    /// Number of bytes of output.
    pub length: u32,
    /// The digest of the output.
    pub digest: Digest,
    /// Whether the command failed, or the line was not a command.
    pub failed: bool,
    /// Whether the line was not a command.
    pub unknown: bool,
    /// Whether a shell is requested.
    pub shell: bool,
    /// Whether output stops after each page, if that was set.
    pub more: Option<bool>,
}

impl Default for Reply {
    fn default() -> Self {
        Self {
            mode: ConsoleMode::Command,
            prompt: String::new(),
            length: 0,
            digest: [0; 32],
            failed: false,
            unknown: false,
            shell: false,
            more: None,
        }
    }
}

#[cfg(any(test, feature = "testing"))]
#[cfg_attr(
    not(test),
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::panic,
        reason = "for fuzzing: the first mistake ends it, as it should"
    )
)]
pub mod fuzz;
#[cfg(test)]
mod tests;
