//! The commands: one table with their names, arguments, help and who may give them; and the parser of a line.

use core::fmt;

use heapless::String;
use proto_core::key::PublicKey;
use proto_core::protocol::message::{Name, OwnerName, Role};
use proto_core::text::number;

use crate::access::owners::Standing;
use crate::requests::service::LONGEST_CONFIRM;

/// What a command does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "their names are those of the commands")]
pub enum Word {
    Help,
    Status,
    Identity,
    Show,
    Owners,
    History,
    Diff,
    Confirm,
    Revert,
    Rollback,
    Repair,
    Remove,
    Load,
    Commit,
    Drop,
    Log,
    More,
    Unlock,
    Claim,
    Shell,
    Exit,
}

/// Who may give a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Everybody, also a guest.
    Anyone,
    /// Owners, also those who may only look.
    Look,
    /// Admins, root on the router, and everybody at the cable of an unowned router.
    Change,
}

impl Need {
    /// Whether a person of this standing may give the command.
    #[must_use]
    pub const fn allows(self, standing: Standing) -> bool {
        match standing {
            Standing::Local | Standing::Owner(Role::Admin) => true,
            Standing::Owner(_) => matches!(self, Self::Anyone | Self::Look),
            Standing::Candidate | Standing::Stranger => matches!(self, Self::Anyone),
        }
    }
}

/// Arguments that a command takes, in this order.
pub mod takes {
    /// The name of an interface, which may be left out.
    pub const INTERFACE: u8 = 1;
    /// The name of an interface.
    pub const ONE_INTERFACE: u8 = 2;
    /// A public key.
    pub const KEY: u8 = 4;
    /// A number, which may be left out.
    pub const NUMBER: u8 = 8;
    /// The rest of the line, which may be left out.
    pub const TEXT: u8 = 16;
    /// `within TIME`.
    pub const WITHIN: u8 = 32;
    /// `adopt`.
    pub const ADOPT: u8 = 64;
}

/// A command of the table.
#[derive(PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub word: Word,
    /// Who may give it.
    pub need: Need,
    /// Bits of [`takes`].
    pub takes: u8,
    /// Its arguments, as the help shows them.
    pub usage: &'static str,
    /// What it does, for the help.
    pub about: &'static str,
}

macro_rules! table {
    ($($name:literal $word:ident $need:ident [$($takes:ident)*] $usage:literal $about:literal;)+) => {
        /// All commands, in the order of the help.
        pub const TABLE: &[Entry] = &[$(Entry {
            name: $name,
            word: Word::$word,
            need: Need::$need,
            takes: 0 $(| takes::$takes)*,
            usage: $usage,
            about: $about,
        }),+];
    };
}

table! {
    "help" Help Anyone [TEXT] "[COMMAND]" "list the commands";
    "status" Status Anyone [] "" "how the router is";
    "identity" Identity Anyone [] "" "the router's public key and fingerprint";
    "show" Show Look [INTERFACE] "[IF]" "what runs, like `wg show`";
    "owners" Owners Look [] "" "who owns the router";
    "history" History Look [INTERFACE] "[IF]" "what is stored, newest first";
    "diff" Diff Look [INTERFACE] "[IF]" "what a repair would change";
    "confirm" Confirm Change [] "" "keep the pending change";
    "revert" Revert Change [] "" "undo the pending change now";
    "rollback" Rollback Change [ONE_INTERFACE NUMBER WITHIN] "IF [N] [within TIME]" "go back to number N, or one back";
    "repair" Repair Change [ONE_INTERFACE WITHIN] "IF [within TIME]" "apply what is stored again";
    "remove" Remove Change [ONE_INTERFACE WITHIN] "IF [within TIME]" "remove an interface";
    "load" Load Change [ONE_INTERFACE] "IF" "paste a wg-quick file";
    "commit" Commit Change [WITHIN ADOPT] "[within TIME] [adopt]" "apply the loaded file";
    "drop" Drop Change [] "" "forget the loaded file";
    "log" Log Look [] "" "the last lines of the agent's log";
    "more" More Anyone [TEXT] "on|off" "stop after each page, or do not";
    "unlock" Unlock Anyone [TEXT] "[CODE]" "open the console with an owner's code";
    "claim" Claim Change [KEY TEXT] "KEY [NAME]" "make KEY the first owner";
    "shell" Shell Change [] "" "a login shell; its `exit` comes back";
    "exit" Exit Anyone [] "" "leave the console";
}

/// Words that people try.
const ALIASES: &[(&str, Word)] =
    &[("wg", Word::Show), ("quit", Word::Exit), ("logout", Word::Exit), ("?", Word::Help)];

/// A command with its arguments.
#[derive(Clone, Debug)]
pub struct Command {
    /// The command.
    pub entry: &'static Entry,
    /// The interface.
    pub interface: Option<Name>,
    /// The key.
    pub key: Option<PublicKey>,
    /// The number.
    pub number: Option<u32>,
    /// The rest of the line: what help is wanted for, a code, or the name of an owner.
    pub text: String<64>,
    /// Seconds to confirm the change, or 0.
    pub within: u16,
    /// Whether a foreign interface is adopted.
    pub adopt: bool,
}

/// Why a line is no command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong<'l> {
    /// Nothing is on the line.
    Empty,
    /// No such command.
    Unknown(&'l str),
    /// The front of several commands.
    Ambiguous(&'l str),
    /// An argument is missing: the command.
    Missing(&'static Entry),
    /// An argument that the command does not take.
    Surplus(&'static Entry, &'l str),
    /// An argument with an impossible value: what was expected.
    Value(&'l str, &'static str),
}

impl fmt::Display for Wrong<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usage = |f: &mut fmt::Formatter<'_>, entry: &Entry| {
            let space = if entry.usage.is_empty() { "" } else { " " };
            write!(f, "; usage: {}{space}{}", entry.name, entry.usage)
        };
        match self {
            Self::Empty => Ok(()),
            Self::Unknown(word) => write!(f, "there is no command `{word}`; `help` lists them"),
            Self::Ambiguous(word) => {
                write!(f, "`{word}` can be")?;
                let mut comma = "";
                for entry in TABLE.iter().filter(|entry| begins(entry.name, word)) {
                    write!(f, "{comma} {}", entry.name)?;
                    comma = ",";
                }
                Ok(())
            }
            Self::Missing(entry) => {
                write!(f, "`{}` needs more", entry.name)?;
                usage(f, entry)
            }
            Self::Surplus(entry, word) => {
                write!(f, "`{}` does not take `{word}`", entry.name)?;
                usage(f, entry)
            }
            Self::Value(word, wanted) => write!(f, "`{word}` is not {wanted}"),
        }
    }
}

/// Whether a typed word is this one. Caps lock does not matter.
#[must_use]
pub const fn is(typed: &str, word: &str) -> bool {
    typed.eq_ignore_ascii_case(word)
}

/// Whether `word` begins with what was typed. Caps lock does not matter.
#[must_use]
pub fn begins(word: &str, typed: &str) -> bool {
    word.get(..typed.len()).is_some_and(|front| is(typed, front))
}

/// Finds a command by its name, or by the front of its name if no other has the same.
///
/// # Errors
/// [`Wrong::Unknown`], [`Wrong::Ambiguous`].
pub fn find(word: &str) -> Result<&'static Entry, Wrong<'_>> {
    let alias = ALIASES.iter().find(|(alias, _)| is(word, alias)).map(|(_, word)| *word);
    let exact = |entry: &&Entry| is(word, entry.name) || Some(entry.word) == alias;
    if let Some(entry) = TABLE.iter().find(exact) {
        return Ok(entry);
    }
    let mut found = TABLE.iter().filter(|entry| begins(entry.name, word));
    match (found.next(), found.next()) {
        (Some(entry), None) => Ok(entry),
        (None, _) => Err(Wrong::Unknown(word)),
        (Some(_), Some(_)) => Err(Wrong::Ambiguous(word)),
    }
}

/// The next word of a line.
fn word<'l>(rest: &mut &'l str) -> Option<&'l str> {
    let line = rest.trim_start_matches(' ');
    let end = line.bytes().position(|byte| byte == b' ').unwrap_or(line.len());
    let (word, behind) = line.split_at_checked(end)?;
    *rest = behind;
    (!word.is_empty()).then_some(word)
}

/// Reads a time to confirm a change, 1 s to 1 h, as number of seconds: `60`, `60s`, `5m` or `1h`.
fn seconds(word: &str) -> Option<u16> {
    let (digits, unit) = match word.split_at_checked(word.len().saturating_sub(1))? {
        (digits, "s" | "S") => (digits, 1),
        (digits, "m" | "M") => (digits, 60),
        (digits, "h" | "H") => (digits, 3_600),
        _ => (word, 1),
    };
    let seconds = number(digits)?.checked_mul(unit)?;
    u16::try_from(seconds).ok().filter(|seconds| matches!(seconds, 1..=LONGEST_CONFIRM))
}

/// Reads a line.
///
/// # Errors
/// [`Wrong`].
#[inline(never)]
pub fn parse(line: &str) -> Result<Command, Wrong<'_>> {
    let mut rest = line;
    let entry = find(word(&mut rest).ok_or(Wrong::Empty)?)?;
    let mut command = Command {
        entry,
        interface: None,
        key: None,
        number: None,
        text: String::new(),
        within: 0,
        adopt: false,
    };
    let takes = |bit| entry.takes & bit != 0;
    let mut next = word(&mut rest);
    // `wg show wg0` is typed out of habit.
    if entry.word == Word::Show && next.is_some_and(|next| is(next, "show")) {
        next = word(&mut rest);
    }
    if takes(takes::INTERFACE) || takes(takes::ONE_INTERFACE) {
        match next {
            Some(name) => {
                let name_of =
                    name.parse().map_err(|_| Wrong::Value(name, "the name of an interface"));
                command.interface = Some(name_of?);
                next = word(&mut rest);
            }
            None if takes(takes::INTERFACE) => {}
            None => return Err(Wrong::Missing(entry)),
        }
    }
    if takes(takes::KEY) {
        let key = next.ok_or(Wrong::Missing(entry))?;
        command.key = Some(key.parse().map_err(|_| Wrong::Value(key, "a public key"))?);
        next = word(&mut rest);
    }
    if takes(takes::NUMBER)
        && let Some(n) = next.and_then(number)
    {
        command.number = Some(n);
        next = word(&mut rest);
    }
    if takes(takes::TEXT) {
        while let Some(part) = next {
            let space = if command.text.is_empty() { "" } else { " " };
            let fits = command.text.push_str(space).and_then(|()| command.text.push_str(part));
            fits.map_err(|_| Wrong::Surplus(entry, part))?;
            next = word(&mut rest);
        }
    }
    if takes(takes::KEY) && command.text.len() > OwnerName::new().capacity() {
        return Err(Wrong::Value("NAME", "an owner's name: at most 31 bytes"));
    }
    while let Some(part) = next {
        if is(part, "within") && takes(takes::WITHIN) && command.within == 0 {
            let given = word(&mut rest).ok_or(Wrong::Missing(entry))?;
            command.within =
                seconds(given).ok_or(Wrong::Value(given, "a time from 1s to 1h, such as 5m"))?;
        } else if is(part, "adopt") && takes(takes::ADOPT) && !command.adopt {
            command.adopt = true;
        } else {
            return Err(Wrong::Surplus(entry, part));
        }
        next = word(&mut rest);
    }
    Ok(command)
}
