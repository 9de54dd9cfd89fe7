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

mod error;
mod key;
mod routers;
mod stamp;

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

pub use error::HomeError;
pub use key::Operator;
pub use routers::{Place, Router, Routers};

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
pub(in crate::home) mod tests {
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
        // Nothing is left of what was written on the side.
        let mut names: Vec<_> =
            home.folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["file", "lock"]);
        let error = write(&home.folder.join("none/file"), b"").unwrap_err();
        assert!(error.to_string().starts_with("cannot write "), "{error}");
        assert!(error.hint().unwrap().contains("--home"));
    }
}
