//! The configuration of wg(8), as text: a file that arrives in pieces, or the words of `wg set`.
//!
//! - [`file`](mod@file) takes bytes as they arrive and passes on each item as soon as it is
//!   complete.
//! - [`words`](mod@words) does the same with a command line.
//! - [`value`] is what both share: the notation of values.
//! - [`endpoint`](mod@endpoint) is a host and its port, and the validation of both.
//! - [`field`](mod@field) is the one table of the names of all settings.
//! - [`routing`] derives the routes and rules of wg-quick(8) from allowed IPs.
//! - [`setting`] is the notation of the values of wg-quick(8)'s settings.
//! - [`span`](mod@span) is the place of an item in a file.
//! - [`quick`] separates the settings of wg-quick(8) in its file from what is for
//!   [`file`](mod@file).
//!
//! `file` and `words` pass on [`Item`]s, and keep only the value that is being read: a file may
//! have any length, and so may a list of allowed IPs. An error has the line and the name, and never
//! a value that could be a key.
//!
//! Not here: looking up host names, configuration images (`protocol::draft`), and applying a
//! configuration.

use core::fmt;

use crate::ip::IpNet;
use crate::key::{KEY_TEXT_LEN, PublicKey, SecretKey};
use crate::text::Text;

pub mod endpoint;
pub mod field;
pub mod file;
pub mod quick;
pub mod routing;
pub mod setting;
pub mod span;
pub mod value;
pub mod words;

pub use endpoint::{EndpointError, Host};
pub use field::{Field, Section};
pub use file::File;
pub use quick::{Part, QuickFile};
pub use span::Span;
pub use value::no_port;
pub use words::words;

/// Number of bytes of a wrong value that an error keeps.
pub const TEXT_MAX: usize = 56;
/// Number of bytes of a name that an error keeps. A key of WireGuard is longer.
pub const NAME_MAX: usize = 24;

/// One item of a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item<'t> {
    /// The device's key; all zeros remove it.
    PrivateKey(SecretKey),
    /// The router generates the device's key: `PrivateKey = generate`. Only from
    /// [`File::all_errors`].
    GeneratePrivateKey,
    /// The file with the device's key.
    PrivateKeyFile(&'t str),
    /// The device's port; 0 lets the kernel choose.
    ListenPort(u16),
    /// The text in place of the port: the name of a service, or another form that the C library
    /// accepts.
    ListenService(&'t str),
    /// The device's mark; 0 is no mark.
    Fwmark(u32),
    /// An `[Interface]` starts. Only from [`File::all_errors`].
    Interface,
    /// A peer starts. The next items belong to it.
    Peer,
    /// The key of the peer.
    PublicKey(PublicKey),
    /// The peer is removed.
    Remove,
    /// The preshared key of the peer; all zeros remove it.
    PresharedKey(SecretKey),
    /// The file with the preshared key.
    PresharedKeyFile(&'t str),
    /// The endpoint of the peer.
    Endpoint(Host<'t>),
    /// Seconds between two keepalives; 0 is off.
    PersistentKeepalive(u16),
    /// A list of allowed IPs starts. It replaces the peer's existing ones.
    AllowedIps,
    /// An entry of the list.
    AllowedIp(IpNet),
    /// An entry to add: the list replaces nothing.
    AddAllowedIp(IpNet),
    /// An entry to remove: the list replaces nothing.
    RemoveAllowedIp(IpNet),
    /// A mistake, after which reading continues. Only from [`File::all_errors`].
    Mistake(ConfError),
}

/// Takes an item and its place. `Err` stops the reader; the taker keeps the reason.
pub type Take<'s> = dyn FnMut(Span, &Item<'_>) -> Result<(), Stop> + 's;

/// The taker stops the reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stop;

/// The message about a setting of AmneziaWG.
const AMNEZIA: &str =
    "is a setting of AmneziaWG, which hides its packets: plain WireGuard is not compatible with it";

/// Whether a name belongs to AmneziaWG, in any case.
#[must_use]
#[cfg_attr(feature = "small", inline(never))]
pub fn is_amnezia(name: &str) -> bool {
    let numbered = matches!(
        name.as_bytes(),
        [b'S' | b's' | b'H' | b'h', b'1'..=b'4']
            | [b'I' | b'i', b'1'..=b'5']
            | [b'J' | b'j', b'1'..=b'3']
    );
    let words = ["Jc", "Jmin", "Jmax", "Itime", "AdvancedSecurity"];
    numbered || words.iter().any(|word| name.eq_ignore_ascii_case(word))
}

/// The part of an invalid path or name that may be shown: not a key in the wrong place.
#[must_use]
pub fn shown(text: &str) -> &str {
    shown_below(text, KEY_TEXT_LEN.saturating_sub(4))
}

/// The text, if it has no run of `most` or more base64 characters.
#[cfg_attr(feature = "small", inline(never))]
fn shown_below(text: &str, most: usize) -> &str {
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let mut digits = 0_usize;
    for byte in text.bytes() {
        digits = if digit(byte) { digits.saturating_add(1) } else { 0 };
        if digits >= most {
            return "(hidden)";
        }
    }
    text
}

/// What is shown for bytes that may not be UTF-8.
fn text_of(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or("\u{fffd}")
}

/// An error in a configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Problem {
    /// An unknown name or word.
    Unknown,
    /// An unknown section.
    UnknownSection,
    /// A line that is neither a section nor a setting.
    NoEquals,
    /// A setting before the first section.
    NoSection,
    /// A setting that its section does not have.
    Misplaced,
    /// A setting without a value.
    NoValue,
    /// A value that is invalid for the setting.
    Value(&'static str),
    /// A value that is longer than every valid one.
    TooLong,
    /// A peer without its key.
    NoPublicKey,
    /// The taker stopped the reader.
    Stopped,
}

/// An error and its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConfError {
    /// The line, from 1, or 0 for a command line.
    pub line: u32,
    /// The setting as written, or empty.
    pub name: Text<NAME_MAX>,
    /// The wrong value, unless it is secret.
    pub value: Text<TEXT_MAX>,
    /// The error.
    pub problem: Problem,
}

impl ConfError {
    /// A longer name is invalid, and is not shown: it may be a key.
    #[cfg_attr(feature = "small", inline(never))]
    pub(crate) fn new(line: u32, name: &str, problem: Problem) -> Self {
        let name = if name.len() > NAME_MAX { "" } else { name };
        Self { line, name: Text::cut(name), value: Text::cut(""), problem }
    }

    /// A mistake about a setting that belongs to no single line.
    #[must_use]
    pub fn about(field: Field, words: &'static str) -> Self {
        Self::new(0, field.name(), Problem::Value(words))
    }

    /// A wrong value. A part of a key must not be shown either.
    pub(crate) fn with(self, value: &str) -> Self {
        Self { value: Text::cut(shown_below(value, NAME_MAX)), ..self }
    }
}

impl fmt::Display for ConfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line != 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.name.is_empty() {
            write!(f, "{} ", self.name)?;
        }
        if !self.value.is_empty() {
            write!(f, "`{}` ", self.value)?;
        }
        f.write_str(match self.problem {
            Problem::Unknown | Problem::UnknownSection | Problem::NoEquals
                if self.name.is_empty() =>
            {
                "not a setting"
            }
            Problem::Unknown if is_amnezia(&self.name) => AMNEZIA,
            Problem::Unknown | Problem::UnknownSection | Problem::NoEquals => {
                "is not a setting of wg"
            }
            Problem::NoSection => "is before [Interface] and [Peer]",
            Problem::Misplaced => "does not belong here",
            Problem::NoValue => "has no value",
            Problem::Value(wanted) => wanted,
            Problem::TooLong if self.name.is_empty() => "a line that is too long",
            Problem::TooLong => "is too long",
            Problem::NoPublicKey => "[Peer] has no PublicKey",
            Problem::Stopped => "",
        })
    }
}

impl core::error::Error for ConfError {}
