//! The operator's key pair.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto_core::key::{KEY_TEXT_LEN, PublicKey, SecretKey};
use proto_core::protocol::session::{StaticKey, fingerprint};
use zeroize::{Zeroize as _, Zeroizing};

use super::stamp::Stamps;
use super::{Home, HomeError, access, failed, read, write};

/// The operator: a key pair, and the folder of the operator's files.
#[derive(Clone, Debug)]
pub struct Operator {
    /// The key pair.
    pub key: StaticKey,
    home: Arc<Home>,
    stamps: Arc<Stamps>,
}

impl Operator {
    fn new(secret: SecretKey, home: &Home) -> Self {
        let (home, stamps) = (Arc::new(home.clone()), Arc::default());
        Self { key: StaticKey::new(secret), home, stamps }
    }

    /// The public key, by which routers know the operator.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// The fingerprint, which people compare.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.public()).to_string()
    }

    /// Reserves stamps in blocks of this size from now on, for an operator who opens many sessions.
    pub fn reserve_stamps(&self, block: u32) {
        self.stamps.set_block(block);
    }

    /// Reserves as many stamps as `count`, and waits for other runs with this folder now and not later.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn prepare_stamps(&self, count: usize) -> Result<(), HomeError> {
        self.stamps.prepare(u32::try_from(count).unwrap_or(u32::MAX), &self.home)
    }

    /// A stamp for a handshake, greater than any before.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn stamp(&self) -> Result<u64, HomeError> {
        self.stamps.take(&self.home)
    }

    /// Makes the next stamps greater than `last`, the last stamp that a router has of this
    /// operator.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn stamp_after(&self, last: u64) -> Result<(), HomeError> {
        self.stamps.follow(last, &self.home)
    }
}

/// A key that was replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replaced {
    /// Its fingerprint; `None` if the file had no key that could be used.
    pub fingerprint: Option<String>,
    /// The file that has it now.
    pub file: PathBuf,
}

impl Home {
    /// The file with the key.
    #[must_use]
    pub fn key_file(&self) -> &Path {
        &self.key
    }

    /// A path for the old key when a new key replaces it. Older keys stay where they are: a router may know one of them.
    fn old_key_file(&self) -> PathBuf {
        let path = |nth: u32| {
            let mut name = self.key.clone().into_os_string();
            name.push(if nth == 1 { ".old".into() } else { format!(".old{nth}") });
            PathBuf::from(name)
        };
        (1..).map(path).find(|path| path.symlink_metadata().is_err()).unwrap_or_else(|| path(1))
    }

    /// Generates a key pair and stores it. `force` replaces an existing key, and returns what became of it.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn generate(&self, force: bool) -> Result<(Operator, Option<Replaced>), HomeError> {
        let _lock = self.lock()?;
        let old = match self.operator() {
            Err(HomeError::NoKey(_)) => None,
            Err(_) if force => None,
            Err(error) => return Err(error),
            Ok(old) if force => Some(old.fingerprint()),
            Ok(old) => {
                let (path, fingerprint) = (self.key.clone(), old.fingerprint());
                return Err(HomeError::KeyExists { path, fingerprint });
            }
        };
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut())
            .map_err(|error| failed("fill", &self.key, std::io::Error::other(error.to_string())))?;
        let secret = SecretKey::new(*bytes).clamped();
        let mut text = [0; KEY_TEXT_LEN];
        let line = Zeroizing::new(format!("{}\n", secret.reveal(&mut text)));
        text.zeroize();
        let mut replaced = None;
        if force && let Some(text) = read(&self.key)?.map(Zeroizing::new) {
            let file = self.old_key_file();
            write(&file, text.as_bytes())?;
            replaced = Some(Replaced { fingerprint: old, file });
        }
        write(&self.key, line.as_bytes())?;
        Ok((Operator::new(secret, self), replaced))
    }

    /// The operator's key pair. A key file that others can read is refused.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn operator(&self) -> Result<Operator, HomeError> {
        let none = || HomeError::NoKey(self.key.clone());
        if self.key.starts_with(&self.folder) {
            closed("the folder", &self.folder, 0o022)?;
        }
        closed("the key", &self.key, 0o077)?.ok_or_else(none)?;
        let text = Zeroizing::new(read(&self.key)?.ok_or_else(none)?);
        let secret = text.trim().parse().map_err(|_| HomeError::NotAKey(self.key.clone()))?;
        Ok(Operator::new(secret, self))
    }
}

/// Checks that a file belongs to the operator and has none of these permissions. `None` if the file
/// does not exist.
fn closed(what: &'static str, path: &Path, bits: u32) -> Result<Option<()>, HomeError> {
    match path.metadata() {
        Ok(metadata) => {
            if let Some(mode) = access::exposed(&metadata, bits) {
                return Err(HomeError::Exposed { what, path: path.into(), mode });
            }
            if access::is_foreign(&metadata) {
                return Err(HomeError::Foreign { what, path: path.into() });
            }
            Ok(Some(()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("examine", path, error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::tests::home;
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_again() {
        let (_dir, home) = home();
        assert!(matches!(home.operator(), Err(HomeError::NoKey(path)) if path == home.key));
        let (made, _) = home.generate(false).unwrap();
        let mode = home.key.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(home.operator().unwrap().public(), made.public());
        match home.generate(false) {
            Err(HomeError::KeyExists { fingerprint, .. }) => {
                assert_eq!(fingerprint, made.fingerprint());
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(home.operator().unwrap().public(), made.public());
        let (other, old) = home.generate(true).unwrap();
        let old = old.unwrap();
        assert_eq!(old.fingerprint, Some(made.fingerprint()));
        assert_ne!(other.public(), made.public());
        assert_eq!(home.operator().unwrap().public(), other.public());
        // The previous key is kept.
        std::fs::rename(old.file, &home.key).unwrap();
        assert_eq!(home.operator().unwrap().public(), made.public());
        assert!(!format!("{other:?}").contains(&std::fs::read_to_string(&home.key).unwrap()[..8]));
    }

    #[test]
    fn no_key_is_lost_however_often_it_is_replaced() {
        let (_dir, home) = home();
        let mut made = vec![home.generate(false).unwrap().0.fingerprint()];
        let mut kept = Vec::new();
        for nth in 0..4 {
            if nth == 2 {
                write(&home.key, b"damaged, but perhaps not beyond repair").unwrap();
            }
            let (new, replaced) = home.generate(true).unwrap();
            let Replaced { fingerprint, file } = replaced.unwrap();
            assert_eq!(fingerprint, Some(made[nth].clone()).filter(|_| nth != 2));
            made.push(new.fingerprint());
            kept.push(file);
        }
        for (nth, file) in kept.iter().enumerate().filter(|(nth, _)| *nth != 2) {
            let old = Home { key: file.clone(), ..home.clone() };
            assert_eq!(old.operator().unwrap().fingerprint(), made[nth]);
        }
        assert!(read(&kept[2]).unwrap().unwrap().starts_with("damaged"));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let (_dir, home) = home();
        home.generate(false).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o601] {
            set_permissions(&home.key, Permissions::from_mode(mode)).unwrap();
            let error = home.operator().unwrap_err();
            assert!(error.to_string().ends_with(&format!("(mode {mode:04o})")), "{error}");
            assert!(error.hint().unwrap().contains("chmod 600 "));
            // Damage is not a reason to generate another key.
            assert!(matches!(home.generate(false), Err(HomeError::Exposed { .. })));
        }
        set_permissions(&home.key, Permissions::from_mode(0o400)).unwrap();
        home.operator().unwrap();
        set_permissions(&home.folder, Permissions::from_mode(0o777)).unwrap();
        let error = home.operator().unwrap_err();
        assert!(error.hint().unwrap().contains("chmod 700 "), "{error}");
    }

    #[test]
    fn what_is_no_key_is_not_shown() {
        let (_dir, home) = home();
        home.generate(false).unwrap();
        for text in ["", "hunter2", "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHy"] {
            write(&home.key, text.as_bytes()).unwrap();
            let error = home.operator().unwrap_err();
            assert!(matches!(error, HomeError::NotAKey(_)));
            assert!(text.is_empty() || !error.to_string().contains(text), "{error}");
        }
    }
}
