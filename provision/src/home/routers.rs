//! The routers that are known: `routers.toml`, the one last heard from first.
//!
//! A claimed router answers only who knows its key, so a key that is not here (or on the command
//! line) cannot be asked for. The file is for people to read and to put right; comments in it are
//! lost when the tool writes it anew.

use std::collections::HashMap;
use std::fmt;

use proto_core::key::PublicKey;
use proto_core::protocol::session::fingerprint;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{Home, HomeError, read, write};

/// The most characters of a name.
const MAX_NAME: usize = 64;

/// Where a router was met, as the person writes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// `HOST:PORT`.
    Udp(String),
    /// A device.
    Serial(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(host) => write!(f, "--udp {host}"),
            Self::Serial(device) => write!(f, "--serial {device}"),
        }
    }
}

/// A router that is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Router {
    /// What the person calls it.
    pub name: String,
    /// Its public key.
    pub key: PublicKey,
    /// The host it was last seen on over UDP.
    pub udp: Option<String>,
    /// The device it was last seen on.
    pub serial: Option<String>,
}

impl Router {
    /// What people compare.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.key).to_string()
    }

    fn was_at(&self, place: &Place) -> bool {
        match place {
            Place::Udp(host) => self.udp.as_ref() == Some(host),
            Place::Serial(device) => self.serial.as_ref() == Some(device),
        }
    }
}

/// The file as serde has it.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File<T> {
    #[serde(default = "Vec::new")]
    router: Vec<Entry<T>>,
}

/// An entry, whose texts know their place when it was read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<T> {
    name: T,
    key: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    udp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
}

/// All routers that are known, the one last heard from first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Routers(Vec<Router>);

impl Routers {
    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Router> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The router of a name, a key or a fingerprint. A name goes first.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<&Router> {
        let key = text.parse().ok();
        let by_fingerprint = || {
            let wanted = crate::units::fingerprint(text).ok()?;
            self.iter().find(|router| router.fingerprint() == wanted)
        };
        let known = self.iter().find(|router| router.name == text || Some(router.key) == key);
        known.or_else(by_fingerprint)
    }

    /// The router of a key.
    #[must_use]
    pub fn of_key(&self, key: &PublicKey) -> Option<&Router> {
        self.iter().find(|router| router.key == *key)
    }

    /// All of them, those first that were last seen at this place.
    #[must_use]
    pub fn likely_at(&self, place: &Place) -> Vec<&Router> {
        let (mut there, other): (Vec<_>, Vec<_>) =
            self.iter().partition(|router| router.was_at(place));
        there.extend(other);
        there
    }

    /// Adds a router.
    ///
    /// # Errors
    /// [`HomeError::BadName`], [`HomeError::NameTaken`], [`HomeError::KeyKnown`].
    pub fn add(&mut self, name: &str, key: PublicKey) -> Result<&Router, HomeError> {
        match self.of_key(&key) {
            Some(known) => Err(HomeError::KeyKnown(known.name.clone())),
            None => self.call(name, key),
        }
    }

    /// Gives a router a name, whether it was known or not.
    ///
    /// # Errors
    /// [`HomeError::BadName`], [`HomeError::NameTaken`].
    pub fn call(&mut self, name: &str, key: PublicKey) -> Result<&Router, HomeError> {
        self.check_name(name, &key)?;
        let known = self.0.iter().position(|router| router.key == key);
        let at = known.unwrap_or_else(|| {
            self.0.push(Router { name: String::new(), key, udp: None, serial: None });
            self.0.len() - 1
        });
        let router = &mut self.0[at];
        router.name = name.into();
        Ok(router)
    }

    /// Demands that a router may be called this.
    ///
    /// # Errors
    /// [`HomeError::BadName`], [`HomeError::NameTaken`].
    pub fn check_name(&self, name: &str, key: &PublicKey) -> Result<(), HomeError> {
        if !is_name(name) {
            return Err(HomeError::BadName(name.escape_debug().collect()));
        }
        match self.iter().find(|router| router.name == name && router.key != *key) {
            Some(other) => {
                let fingerprint = other.fingerprint();
                Err(HomeError::NameTaken { name: name.into(), fingerprint })
            }
            None => Ok(()),
        }
    }

    /// Takes a router out of the list.
    ///
    /// # Errors
    /// [`HomeError::Unknown`].
    pub fn forget(&mut self, text: &str) -> Result<Router, HomeError> {
        let unknown = || HomeError::Unknown(text.escape_debug().collect());
        let key = self.find(text).ok_or_else(unknown)?.key;
        let at = self.0.iter().position(|router| router.key == key).ok_or_else(unknown)?;
        Ok(self.0.remove(at))
    }

    /// Notes that a router was heard at a place, under the name it has, or else under the first one
    /// of `names` that is free, or else under the beginning of its fingerprint.
    pub fn heard(&mut self, key: PublicKey, place: &Place, names: &[&str]) -> &Router {
        let mut router = match self.0.iter().position(|router| router.key == key) {
            Some(at) => self.0.remove(at),
            None => Router { name: self.free_name(&key, names), key, udp: None, serial: None },
        };
        match place {
            Place::Udp(host) => router.udp = Some(host.clone()),
            Place::Serial(device) => router.serial = Some(device.clone()),
        }
        self.0.insert(0, router);
        &self.0[0]
    }

    fn free_name(&self, key: &PublicKey, names: &[&str]) -> String {
        let fingerprint = fingerprint(key);
        let groups = fingerprint.match_indices('-').map(|(at, _)| fingerprint.split_at(at).0);
        names
            .iter()
            .copied()
            .chain(groups)
            .find(|name| self.check_name(name, key).is_ok())
            .map_or_else(|| fingerprint.to_string(), Into::into)
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let line = |at: usize| text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1;
        let file: File<Spanned<String>> = toml::from_str(text).map_err(|error| {
            (line(error.span().map_or(0, |span| span.start)), error.message().to_string())
        })?;
        let mut routers = Self(Vec::with_capacity(file.router.len()));
        // One look-up for each, because there may be thousands.
        let (mut names, mut keys) = (HashMap::new(), HashMap::new());
        for entry in file.router {
            let (name, key_text) = (entry.name.get_ref(), entry.key.get_ref());
            let key: PublicKey = key_text.parse().map_err(|error| {
                (line(entry.key.span().start), format!("`{key_text}` is {error}"))
            })?;
            let at = |error: &HomeError| match error {
                HomeError::KeyKnown(_) => line(entry.key.span().start),
                _ => line(entry.name.span().start),
            };
            let wrong = if !is_name(name) {
                Some(HomeError::BadName(name.escape_debug().collect()))
            } else if let Some(known) = keys.insert(key, name.clone()) {
                Some(HomeError::KeyKnown(known))
            } else {
                names.insert(name.clone(), key).map(|other| HomeError::NameTaken {
                    name: name.clone(),
                    fingerprint: fingerprint(&other).to_string(),
                })
            };
            if let Some(error) = wrong {
                return Err((at(&error), error.to_string()));
            }
            let (udp, serial) = (entry.udp, entry.serial);
            routers.0.push(Router { name: name.clone(), key, udp, serial });
        }
        Ok(routers)
    }

    fn text(&self) -> Result<String, toml::ser::Error> {
        let entry = |router: &Router| Entry {
            name: router.name.clone(),
            key: router.key.to_string(),
            udp: router.udp.clone(),
            serial: router.serial.clone(),
        };
        let file = File { router: self.iter().map(entry).collect() };
        Ok(format!(
            "# The routers that postwire knows; it writes this file.\n\n{}",
            toml::to_string(&file)?
        ))
    }
}

/// Whether a router can be called this: it has to be one word of a command line, and no key.
fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.chars().count())
        && !name.starts_with('-')
        && !name.chars().any(|c| c.is_control() || c.is_whitespace())
        && name.parse::<PublicKey>().is_err()
}

impl Home {
    /// The routers that are known.
    ///
    /// # Errors
    /// [`HomeError::Routers`] if the file is damaged.
    pub fn routers(&self) -> Result<Routers, HomeError> {
        let path = self.folder.join("routers.toml");
        let text = read(&path)?.unwrap_or_default();
        Routers::parse(&text).map_err(|(line, message)| HomeError::Routers { path, line, message })
    }

    /// Changes the list of routers, while no other run does.
    ///
    /// # Errors
    /// Those of `change`, after which the file is as it was, and [`HomeError`].
    pub fn change_routers<T>(
        &self,
        change: impl FnOnce(&mut Routers) -> Result<T, HomeError>,
    ) -> Result<T, HomeError> {
        let _lock = self.lock()?;
        let old = self.routers()?;
        let mut new = old.clone();
        let done = change(&mut new)?;
        if new != old {
            let path = self.folder.join("routers.toml");
            let text = new.text().map_err(|error| {
                super::failed("write", &path, std::io::Error::other(error.to_string()))
            })?;
            write(&path, text.as_bytes())?;
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests;
