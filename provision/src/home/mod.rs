//! The operator's own folder: the key, the last stamp, and the known routers.
//!
//! ```text
//! key           the private key, base64, mode 0600 (or wherever --key says)
//! stamp         the greatest stamp that was ever put on a handshake
//! routers.toml  routers: what the operator decides, their names, keys and addresses
//! seen.toml     where each was last met
//! console       the last commands that were typed on routers' consoles
//! lock          held while one of them is changed
//! ```
//!
//! Every file is replaced as a whole, so that a run that is killed leaves the old file. Not here:
//! communication with a router ([`crate::transport`] and [`crate::session`]).

mod access;
mod error;
mod key;
mod routers;
mod seen;
pub(crate) mod stamp;

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use proto_core::key::PublicKey;

use crate::interrupt::{self, Waited};
use crate::ui::say;

pub use error::HomeError;
pub use key::{Operator, Replaced};
pub(crate) use routers::is_name;
pub use routers::{Place, Router, Routers};

/// The operator's folder.
#[derive(Clone, Debug)]
pub struct Home {
    folder: PathBuf,
    key: PathBuf,
}

impl Home {
    /// The folder and the key file, from the command line or else from the environment.
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

    /// The list of known routers.
    #[must_use]
    pub fn routers_file(&self) -> PathBuf {
        self.folder.join("routers.toml")
    }

    /// The file with the last commands of consoles.
    #[must_use]
    pub fn console_history(&self) -> PathBuf {
        self.folder.join("console")
    }

    /// Checks that a key that was given for a router is not the operator's own, if there is one.
    ///
    /// # Errors
    /// [`HomeError::OwnKey`].
    pub fn is_no_own_key(&self, key: &PublicKey) -> Result<(), HomeError> {
        match self.operator() {
            Ok(operator) if operator.public() == *key => Err(HomeError::OwnKey),
            _ => Ok(()),
        }
    }

    /// Makes the folder, for the operator alone.
    fn make(&self) -> Result<(), HomeError> {
        access::make_folder(&self.folder).map_err(|error| failed("make", &self.folder, error))
    }

    /// Locks the folder against other runs, waiting at most [`LOCK_PATIENCE`].
    fn lock(&self) -> Result<File, HomeError> {
        self.lock_within(LOCK_PATIENCE)
    }

    fn lock_within(&self, patience: Duration) -> Result<File, HomeError> {
        self.make()?;
        let path = self.folder.join("lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let file = access::private(&mut options)
            .open(&path)
            .and_then(|file| access::give_to_owner_of(&self.folder, &file).map(|()| file))
            .map_err(|error| failed("open", &path, error))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path, error)),
            Err(TryLockError::WouldBlock) => {}
        }
        // The kernel serves those who wait in order. A program that tries again and again may never be served among
        // many others.
        let (give, taken) = mpsc::channel();
        std::thread::spawn(move || give.send(file.lock().map(|()| file)));
        let quiet = LOCK_QUIET.min(patience);
        let taken = interrupt::wait(&taken, quiet).or_else(|waited| match waited {
            Waited::Interrupted => Err(waited),
            Waited::Late => {
                say(&format!("another postwire uses {}: waiting for it", self.folder.display()));
                interrupt::wait(&taken, patience - quiet)
            }
        });
        match taken {
            Ok(locked) => locked.map_err(|error| failed("lock", &path, error)),
            Err(Waited::Interrupted) => Err(HomeError::Interrupted),
            Err(Waited::Late) => Err(HomeError::Locked { path, waited: patience }),
        }
    }
}

/// The longest wait for another run's lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);
/// The wait after which the user gets a message.
const LOCK_QUIET: Duration = Duration::from_secs(1);

/// The folder from the environment: the tool's own variable, the desktop's, or the usual place.
fn by_environment(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| variable(name).map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
    path("POSTWIRE_HOME")
        // The XDG base directory specification says to ignore a relative path.
        .or_else(|| {
            Some(path("XDG_CONFIG_HOME").filter(|path| path.is_absolute())?.join("postwire"))
        })
        .or_else(|| Some(path("HOME")?.join(".config/postwire")))
}

fn failed(doing: &'static str, path: &Path, error: io::Error) -> HomeError {
    HomeError::Io { doing, path: path.into(), error }
}

/// Writes a file that only the operator can read, atomically.
fn write(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    replace(path, bytes, true).map_err(|error| failed("write", path, error))
}

/// Writes a file atomically; `is_private` lets only the operator read it. A symbolic link is kept, and its target is
/// replaced.
///
/// # Errors
/// That of the system; the file is as it was, unless only the last sync failed.
pub(crate) fn replace(path: &Path, bytes: &[u8], is_private: bool) -> io::Result<()> {
    let path = behind_links(path)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".postwire-");
    let builder = match is_private {
        true => access::private_temporary(&mut builder),
        false => access::shared_temporary(&mut builder),
    };
    // The error of `tempfile` has the temporary name in it, which says nothing to the operator.
    let mut file = builder.tempfile_in(folder).map_err(plain)?;
    file.write_all(bytes)?;
    // The tool may run under sudo, for access to a serial port.
    access::give_to_owner_of(folder, file.as_file())?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    access::sync_folder(folder)
}

/// An error of `tempfile` without the path.
fn plain(error: io::Error) -> io::Error {
    match error.to_string().split_once(" at path ") {
        Some((text, _)) => io::Error::new(error.kind(), text),
        None => error,
    }
}

/// The target of a path, which need not exist.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    // The number of links that Linux follows.
    const MOST: usize = 40;
    let mut path = path.to_path_buf();
    for _ in 0..MOST {
        match std::fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            // Not a link, or does not exist.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

/// Reads a text file; `None` if it does not exist.
fn read(path: &Path) -> Result<Option<String>, HomeError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, error)),
    }
}

#[cfg(test)]
pub(in crate::home) mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A folder for one test.
    pub(in crate::home) fn home() -> (tempfile::TempDir, Home) {
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
        // No temporary file is left.
        let mut names: Vec<_> =
            home.folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["file", "lock"]);
        let error = write(&home.folder.join("none/file"), b"").unwrap_err();
        assert!(error.to_string().starts_with("cannot write "), "{error}");
        assert!(error.to_string().ends_with("none/file: No such file or directory (os error 2)"));
        let folder = home.folder.join("none");
        assert_eq!(error.hint().unwrap(), format!("there is no folder {}", folder.display()));
    }

    #[test]
    fn a_symbolic_link_stays_and_the_file_behind_it_is_replaced() {
        let (dir, home) = home();
        home.make().unwrap();
        let dotfiles = dir.path().join("dotfiles");
        std::fs::create_dir(&dotfiles).unwrap();
        let link = home.folder.join("routers.toml");
        std::os::unix::fs::symlink("../dotfiles/r.toml", &link).unwrap();
        for text in ["one", "two"] {
            write(&link, text.as_bytes()).unwrap();
            assert!(link.symlink_metadata().unwrap().is_symlink());
            assert_eq!(read(&dotfiles.join("r.toml")).unwrap().as_deref(), Some(text));
        }
        let circle = home.folder.join("circle");
        std::os::unix::fs::symlink("circle", &circle).unwrap();
        assert!(write(&circle, b"x").unwrap_err().to_string().contains("too many levels"));
    }

    #[test]
    fn a_lock_that_is_never_given_back_is_not_waited_for_for_ever() {
        let (_dir, home) = home();
        let held = home.lock().unwrap();
        let error = home.lock_within(Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, HomeError::Locked { .. }) && error.hint().is_some(), "{error}");
        drop(held);
        home.lock_within(Duration::from_millis(50)).unwrap();
    }

    #[test]
    fn what_root_writes_belongs_to_the_owner_of_the_folder() {
        use std::os::unix::fs::{MetadataExt as _, chown};
        let (_dir, home) = home();
        home.make().unwrap();
        // Only root can test this.
        if chown(&home.folder, Some(4321), Some(4321)).is_err() {
            return;
        }
        let _lock = home.lock().unwrap();
        write(&home.folder.join("file"), b"x").unwrap();
        for name in ["lock", "file"] {
            let metadata = home.folder.join(name).metadata().unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (4321, 4321), "{name}");
        }
    }
}
