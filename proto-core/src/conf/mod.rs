//! The configuration of wg(8), as text: a file that arrives in pieces, or the words of `wg set`.
//!
//! - [`file`](mod@file) takes bytes as they come and tells each thing in them as soon as it is whole.
//! - [`words`](mod@words) does the same with a command line.
//! - [`value`] is what the two have in common: how each value is written.
//! - [`endpoint`](mod@endpoint) is a host and its port, and what can never be one.
//! - [`field`](mod@field) is the one table of the names of all settings.
//! - [`routing`] derives the routes and rules of wg-quick(8) from allowed IPs.
//! - [`policy`] decides whether a reader ends at the first mistake or finds all of them with their columns.
//! - [`setting`] is how the values of wg-quick(8)'s settings are written.
//! - [`quick`] takes the settings of wg-quick(8) out of its file, and leaves what is for [`file`](mod@file).
//!
//! The first two tell [`Item`]s, and keep nothing but the value that is under way: a file may be of any
//! length, and so may a list of allowed IPs. What is wrong is told with its line and its name, and
//! never with a value that could be a key.
//!
//! Not here: what the values of wg-quick's settings mean, looking host names up, and what becomes of an item.

use core::fmt;

use crate::ip::IpNet;
use crate::key::{KEY_TEXT_LEN, PublicKey, SecretKey};
use crate::text::Text;

pub mod endpoint;
pub mod field;
pub mod file;
pub mod policy;
pub mod quick;
pub mod routing;
pub mod setting;
pub mod value;
pub mod words;

pub use endpoint::{EndpointError, Host};
pub use field::{Field, Section};
pub use file::File;
pub use policy::{AllErrors, FirstError, Policy, Span};
pub use quick::{Part, QuickFile};
pub use value::{net, no_port};
pub use words::words;

/// How many bytes of a wrong value an error keeps.
pub const TEXT_MAX: usize = 56;
/// How many bytes of a name it keeps. A key of WireGuard is longer.
pub const NAME_MAX: usize = 24;

/// One thing that a configuration says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item<'t> {
    /// The device's key; all zero removes it.
    PrivateKey(SecretKey),
    /// The router is to make the device's key: `PrivateKey = generate`. Told by readers with [`AllErrors`] alone.
    GeneratePrivateKey,
    /// The file that the device's key is in.
    PrivateKeyFile(&'t str),
    /// The device's port; 0 lets the kernel choose.
    ListenPort(u16),
    /// What is in its place: the name of a service, or what else the C library takes for a port.
    ListenService(&'t str),
    /// The device's mark; 0 is none.
    Fwmark(u32),
    /// An `[Interface]` begins. Told by readers with [`AllErrors`] alone.
    Interface,
    /// A peer begins. What follows belongs to it.
    Peer,
    /// The key of the peer.
    PublicKey(PublicKey),
    /// The peer is to be removed.
    Remove,
    /// The preshared key of the peer; all zero removes it.
    PresharedKey(SecretKey),
    /// The file that the preshared key is in.
    PresharedKeyFile(&'t str),
    /// Where the peer is.
    Endpoint(Host<'t>),
    /// Seconds between two keepalives; 0 is off.
    PersistentKeepalive(u16),
    /// A list of allowed IPs begins. It takes the place of those the peer has.
    AllowedIps,
    /// One of the list.
    AllowedIp(IpNet),
    /// One to be added: the list takes the place of nothing.
    AddAllowedIp(IpNet),
    /// One to be taken away: the list takes the place of nothing.
    RemoveAllowedIp(IpNet),
    /// A mistake, after which the reading goes on. Told by readers with [`AllErrors`] alone.
    Mistake(ConfError),
}

/// Takes an item and the number of its line, which is 0 for a word. `Err` ends the reading; what
/// was wrong is with the taker.
pub type Take<'s, P = u32> = dyn FnMut(P, &Item<'_>) -> Result<(), Stop> + 's;

/// Whoever takes the items wants no more of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stop;

/// What is said of a setting of AmneziaWG.
const AMNEZIA: &str =
    "is a setting of AmneziaWG, which hides its packets: plain WireGuard cannot speak with it";

/// Whether a name is that of a setting of AmneziaWG, in any case.
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

/// What may be shown of a path or a name that is not what it should be: not a key in the wrong place.
#[must_use]
pub fn shown(text: &str) -> &str {
    shown_below(text, KEY_TEXT_LEN.saturating_sub(4))
}

/// The text, if fewer than `most` characters of base64 stand in a row in it.
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

/// What is shown of bytes that may be no text.
fn text_of(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or("\u{fffd}")
}

/// What is wrong with a configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// A name, or a word, that is not known.
    Unknown,
    /// A section that is not known.
    UnknownSection,
    /// A line that is neither a section nor a setting.
    NoEquals,
    /// It stands before any section.
    NoSection,
    /// The section before it has no such setting.
    Misplaced,
    /// Nothing behind it.
    NoValue,
    /// A value that the setting does not take.
    Value(&'static str),
    /// A value that is longer than any that could be meant.
    TooLong,
    /// A peer without its key.
    NoPublicKey,
    /// [`Stop`].
    Stopped,
}

/// What is wrong, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConfError {
    /// The line, from 1, or 0 for a command line.
    pub line: u32,
    /// The setting as it is written, or nothing.
    pub name: Text<NAME_MAX>,
    /// The wrong value, if it is none to be kept secret.
    pub value: Text<TEXT_MAX>,
    /// What is wrong.
    pub problem: Problem,
}

impl ConfError {
    /// A longer name is none, and is not shown: it may be a key.
    #[cfg_attr(feature = "small", inline(never))]
    pub(crate) fn new(line: u32, name: &str, problem: Problem) -> Self {
        let name = if name.len() > NAME_MAX { "" } else { name };
        Self { line, name: Text::cut(name), value: Text::cut(""), problem }
    }

    /// A mistake about a setting that is in no single line.
    #[must_use]
    pub fn about(field: Field, words: &'static str) -> Self {
        Self::new(0, field.name(), Problem::Value(words))
    }

    /// A wrong value. Half a key is still not to be shown.
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
            Problem::NoSection => "stands before [Interface] and [Peer]",
            Problem::Misplaced => "has no place here",
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
