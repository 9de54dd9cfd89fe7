//! What can be wrong in the folder, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why the folder does not serve.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Nothing says where it is.
    #[error("there is no place for your key: neither POSTWIRE_HOME nor HOME is set")]
    NoFolder,
    /// A file or the folder refuses.
    #[error("cannot {doing} {}: {error}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What came of it.
        error: io::Error,
    },
    /// Before `keygen`.
    #[error("you have no key yet: there is no {}", .0.display())]
    NoKey(PathBuf),
    /// `keygen` without `--force`.
    #[error("you have a key already, {fingerprint} in {}", path.display())]
    KeyExists {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        fingerprint: String,
    },
    /// The file with the key is not one.
    #[error("{} holds no key: a key is 44 characters of base64, ending in `=`", .0.display())]
    NotAKey(PathBuf),
    /// A secret that is none.
    #[error("{what} of {} is open to others (mode {mode:04o})", path.display())]
    Exposed {
        /// The file itself, or the folder.
        what: &'static str,
        /// Which one.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A secret that somebody else could replace.
    #[error("{what} of {} belongs to another user", path.display())]
    Foreign {
        /// The file itself, or the folder.
        what: &'static str,
        /// Which one.
        path: PathBuf,
    },
    /// Another run does not end.
    #[error("another postwire has kept {} for {} s", path.display(), waited.as_secs_f32())]
    Locked {
        /// The file.
        path: PathBuf,
        /// How long.
        waited: Duration,
    },
    /// The file with the stamp has something else in it.
    #[error("{} holds no number", .0.display())]
    NotAStamp(PathBuf),
    /// The list of routers cannot be read.
    #[error("{}:{line}: {message}", path.display())]
    Routers {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What is wrong in it.
        message: String,
    },
    /// A name that cannot be one.
    #[error(
        "`{0}` cannot be a router's name: 1 to 64 characters without spaces, not beginning with `-`"
    )]
    BadName(String),
    /// A name that belongs to another router.
    #[error("there is a router called {name} already, {fingerprint}")]
    NameTaken {
        /// The name.
        name: String,
        /// The other router.
        fingerprint: String,
    },
    /// A key that has a name.
    #[error("this router is known already, as {0}")]
    KeyKnown(String),
    /// Nobody to talk to.
    #[error("you know no router yet, and one that nobody owns is silent over UDP")]
    NoRouter,
    /// A name or key nobody has.
    #[error("no router called {0} is known")]
    Unknown(String),
}

impl HomeError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoFolder => "say where with --home DIR".into(),
            Self::NoKey(_) => "`postwire keygen` makes one".into(),
            Self::KeyExists { .. } => {
                "--force makes a new one in its place: routers that know you only by this key are \
                 lost to you then, until another owner adds the new one, or `postwired \
                 reset-owner` is run on each of them"
                    .into()
            }
            Self::NotAKey(path) => format!(
                "put the key back from a copy, or move {} away and run `postwire keygen`",
                path.display()
            ),
            Self::Exposed { what: "the folder", path, .. } => {
                format!("if nobody else wrote to it: `chmod 700 {}`", path.display())
            }
            Self::Exposed { path, .. } => format!(
                "if nobody else has read it: `chmod 600 {}`; else make a new one with \
                 `postwire keygen --force`",
                path.display()
            ),
            Self::Foreign { path, .. } => format!(
                "if you trust what is in it: `sudo chown $USER {}`",
                path.display()
            ),
            Self::Locked { path, .. } => format!(
                "is one of them stopped? `fuser {}` shows which process it is",
                path.display()
            ),
            Self::NotAStamp(path) => {
                format!("delete {}: the clock takes over from there", path.display())
            }
            Self::Routers { .. } => {
                "put the line right; the file was left as it is. What is lost can be had again \
                 with `postwire routers add`"
                    .into()
            }
            Self::NameTaken { name, .. } => {
                format!("choose another, or `postwire routers forget {name}` first")
            }
            Self::KeyKnown(name) => format!("`postwire routers forget {name}` first to rename it"),
            Self::NoRouter => "claim it with `postwire claim --serial DEV`; if others let you in, say \
                               which one it is with --router KEY, as they see it in `postwire routers`"
                .into(),
            Self::Unknown(_) => "`postwire routers` lists those that are; a router's key, as \
                                 `postwired identity` prints it there, does as well"
                .into(),
            Self::Io { doing: "make" | "open" | "write", .. } => {
                "--home DIR names another folder, such as one that is yours".into()
            }
            Self::Io { .. } | Self::BadName(_) => return None,
        })
    }
}
