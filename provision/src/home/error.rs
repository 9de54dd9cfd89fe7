//! The errors of the operator's folder, with their hints.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ui::word;

/// The reason why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// No environment variable names the folder.
    #[error("there is no place for your key: neither POSTWIRE_HOME nor HOME is set")]
    NoFolder,
    /// An access to a file or the folder failed.
    #[error("cannot {doing} {}: {error}", path.display())]
    Io {
        /// The operation.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// There is no key yet.
    #[error("you have no key yet: there is no {}", .0.display())]
    NoKey(PathBuf),
    /// There is a key already, and `--force` is missing.
    #[error("you have a key already, {fingerprint} in {}", path.display())]
    KeyExists {
        /// The file.
        path: PathBuf,
        /// The key's fingerprint.
        fingerprint: String,
    },
    /// The key file does not contain a key.
    #[error("{} contains no key: a key is 44 characters of base64, ending in `=`", .0.display())]
    NotAKey(PathBuf),
    /// A secret that others can read.
    #[error("{what} of {} is accessible to others (mode {mode:04o})", path.display())]
    Exposed {
        /// The file itself, or the folder.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A secret that belongs to another user, who could replace it.
    #[error("{what} of {} belongs to another user", path.display())]
    Foreign {
        /// The file itself, or the folder.
        what: &'static str,
        /// Its path.
        path: PathBuf,
    },
    /// Another run holds the lock for too long.
    #[error("another postwire has locked {} for {} s", path.display(), waited.as_secs_f32())]
    Locked {
        /// The file.
        path: PathBuf,
        /// How long.
        waited: Duration,
    },
    /// The user pressed Ctrl-C during the wait for another run.
    #[error("interrupted")]
    Interrupted,
    /// The stamp file does not contain a number.
    #[error("{} contains no number", .0.display())]
    NotAStamp(PathBuf),
    /// The list of routers cannot be read.
    #[error("{}:{line}: {message}", path.display())]
    Routers {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The error.
        message: String,
    },
    /// A name that is invalid.
    #[error(
        "`{0}` is not a valid name for a router: 1 to 64 visible characters without spaces, no key, not starting with `-`"
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
    /// A key that has a name already.
    #[error("this router is known already, as {0}")]
    KeyKnown(String),
    /// The operator's own key in place of a router's.
    #[error("this is your own public key, and no router has it")]
    OwnKey,
    /// No router is known.
    #[error("no router is known yet, and an unowned router does not answer over UDP")]
    NoRouter,
    /// No router with this name or key is known.
    #[error("no router called {0} is known")]
    Unknown(String),
}

impl HomeError {
    /// The hint.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        // The folder of --key, which is not made.
        if let Self::Io { doing: "write", path, .. } = self
            && let Some(folder) = path.parent().filter(|folder| *folder != Path::new(""))
            && !folder.exists()
        {
            return Some(format!("there is no folder {}", folder.display()));
        }
        Some(match self {
            Self::NoFolder => "name a folder with --home DIR".into(),
            Self::NoKey(_) => "`postwire keygen` generates one".into(),
            Self::KeyExists { .. } => {
                "--force replaces it: routers that know you only by this key no longer let you in, \
                 until another owner adds the new key, or `postwired reset-owner` is run \
                 on each of them"
                    .into()
            }
            Self::NotAKey(path) => format!(
                "put the key back from a copy, or move {} away and run `postwire keygen`",
                path.display()
            ),
            Self::Exposed { what: "the folder", path, .. } => {
                format!("if no other user wrote to it: `chmod 700 {}`", word(path.display()))
            }
            Self::Exposed { path, .. } => format!(
                "if no other user has read it: `chmod 600 {}`; otherwise generate a new key with \
                 `postwire keygen --force`",
                word(path.display())
            ),
            Self::Foreign { path, .. } => format!(
                "if you trust its contents: `sudo chown $USER {}`",
                word(path.display())
            ),
            Self::Locked { path, .. } => format!(
                "one of them may be stopped: `fuser {}` shows the process",
                word(path.display())
            ),
            Self::NotAStamp(path) => {
                format!("delete {}: the stamps then start from the clock", path.display())
            }
            Self::Routers { .. } => {
                "correct the line; the file was not changed. Lost entries can be added again \
                 with `postwire routers add`"
                    .into()
            }
            Self::NameTaken { name, .. } => {
                format!("choose another name, or run `postwire routers forget {}` first", word(name))
            }
            Self::KeyKnown(name) => format!("to rename it, run `postwire routers forget {}` first", word(name)),
            Self::OwnKey => "`postwired identity` on the router prints its key".into(),
            Self::NoRouter => "claim it with `postwire claim --serial DEV`; if another owner added you, name \
                               the router with --router KEY, which that owner sees in `postwire routers`"
                .into(),
            Self::Unknown(_) => "`postwire routers` lists the known routers; you can also give the router's key, which \
                                 `postwired identity` prints on the router"
                .into(),
            Self::Io { doing: "make" | "open" | "write", .. } => {
                "choose another folder with --home DIR, such as one of your own".into()
            }
            Self::Io { .. } | Self::BadName(_) | Self::Interrupted => return None,
        })
    }
}
