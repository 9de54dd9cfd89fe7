//! The operator's own folder: the key, the last stamp, and the routers that are known.
//!
//! ```text
//! key           the private key, base64, mode 0600 (or wherever --key says)
//! stamp         the greatest stamp that was ever put on a handshake
//! routers.toml  names, keys and last addresses of routers
//! lock          held while one of them is changed
//! ```
//!
//! Every file is replaced as a whole, so that a run that is killed leaves the old one. What goes to
//! a router is not here: that is [`crate::transport`] and [`crate::session`].

mod key;
mod routers;
mod stamp;

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use proto_core::key::PublicKey;
use rustix::fs::{FlockOperation, flock};

pub use key::Operator;
pub use routers::{Place, Router, Routers};

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
            Self::Unknown(_) => "`postwire routers` lists those that are; a router's key, as \
                                 `postwired identity` prints it there, does as well"
                .into(),
            Self::Io { .. } | Self::BadName(_) => return None,
        })
    }
}

/// The first 100 bits of a digest of a key, for people to compare.
#[must_use]
pub fn fingerprint(key: &PublicKey) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bytes = b"Postwire fingerprint".to_vec();
    bytes.extend_from_slice(&key.0);
    let digest = proto_core::protocol::digest(&bytes);
    let mut out = String::new();
    for at in 0..20 {
        if at > 0 && at % 4 == 0 {
            out.push('-');
        }
        let digit = (0..5).fold(0, |digit, bit| {
            let bit = at * 5 + bit;
            digit << 1 | (digest[bit / 8] >> (7 - bit % 8) & 1)
        });
        out.push(char::from(ALPHABET[usize::from(digit)]));
    }
    out
}

/// Where the operator's files are.
#[derive(Clone, Debug)]
pub struct Home {
    folder: PathBuf,
    key: PathBuf,
}

impl Home {
    /// The folder and the file with the key, as the command line says or else the environment.
    ///
    /// # Errors
    /// [`HomeError::NoFolder`].
    pub fn find(folder: Option<&Path>, key: Option<&Path>) -> Result<Self, HomeError> {
        let folder = match folder {
            Some(folder) => folder.to_path_buf(),
            None => by_environment(|name| std::env::var_os(name)).ok_or(HomeError::NoFolder)?,
        };
        let key = key.map_or_else(|| folder.join("key"), Path::to_path_buf);
        Ok(Self { folder, key })
    }

    /// Makes the folder, for nobody else.
    fn make(&self) -> Result<(), HomeError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|error| failed("make", &self.folder, error))
    }

    /// Waits until no other run changes anything here.
    fn lock(&self) -> Result<File, HomeError> {
        self.make()?;
        let path = self.folder.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| failed("open", &path, error))?;
        flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| failed("lock", &path, error.into()))?;
        Ok(file)
    }
}

/// What the environment says: the tool's own variable, the desktop's, or the usual place.
fn by_environment(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| variable(name).map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
    path("POSTWIRE_HOME")
        // One that is not absolute is to be ignored, says the specification of base directories.
        .or_else(|| {
            Some(path("XDG_CONFIG_HOME").filter(|path| path.is_absolute())?.join("postwire"))
        })
        .or_else(|| Some(path("HOME")?.join(".config/postwire")))
}

fn failed(doing: &'static str, path: &Path, error: io::Error) -> HomeError {
    HomeError::Io { doing, path: path.into(), error }
}

/// Writes a file that only the operator can read: all of it or nothing.
fn write(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let write = || {
        let mut file = tempfile::Builder::new()
            .prefix(".postwire-")
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| failed("write", path, error))
}

/// Reads a text file; nothing if there is none.
fn read(path: &Path) -> Result<Option<String>, HomeError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder for one test.
    pub(super) fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::find(Some(&dir.path().join("home")), None).unwrap();
        (dir, home)
    }

    #[test]
    fn the_folder_is_found_as_people_expect() {
        let find = |set: &[(&str, &str)]| {
            by_environment(|name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
            })
        };
        let all = [("HOME", "/h"), ("XDG_CONFIG_HOME", "/x"), ("POSTWIRE_HOME", "p")];
        assert_eq!(find(&all), Some("p".into()));
        assert_eq!(find(&all[..2]), Some("/x/postwire".into()));
        assert_eq!(find(&all[..1]), Some("/h/.config/postwire".into()));
        let odd = [("HOME", "/h"), ("XDG_CONFIG_HOME", "relative"), ("POSTWIRE_HOME", "")];
        assert_eq!(find(&odd), Some("/h/.config/postwire".into()));
        assert_eq!(find(&[("HOME", "")]), None);
    }

    #[test]
    fn files_are_replaced_whole_and_are_nobody_elses() {
        let (_dir, home) = home();
        let _lock = home.lock().unwrap();
        let path = home.folder.join("file");
        assert_eq!(read(&path).unwrap(), None);
        for text in ["one", "two and more", ""] {
            write(&path, text.as_bytes()).unwrap();
            assert_eq!(read(&path).unwrap().as_deref(), Some(text));
        }
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&home.folder)), (0o600, 0o700));
        // Nothing is left of what was written on the side.
        let mut names: Vec<_> =
            home.folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["file", "lock"]);
        let error = write(&home.folder.join("none/file"), b"").unwrap_err();
        assert!(error.to_string().starts_with("cannot write "), "{error}");
    }
}
