//! The routers that are known. What a person decides is in `routers.toml`: names, keys, and addresses that were given.
//! What the tool saw, the last address and the order, is in `seen` (see [`super::seen`]).
//!
//! A claimed router answers only who knows its key, so a key that is not here (or on the command
//! line) cannot be asked for. `routers.toml` is for people to read and to edit: the tool adds, renames and removes
//! entries, and leaves every other line of it alone.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use proto_core::key::PublicKey;
use proto_core::protocol::session::fingerprint;
use proto_core::text::misleads;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::seen::Seen;
use super::{Home, HomeError, read, write};
use crate::units;

/// The maximum number of characters of a name.
const MAX_NAME: usize = 64;

/// Where a router is reached, as the command line has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// `HOST:PORT`.
    Udp(String),
    /// `DEV[@BAUD]`.
    Serial(String),
}

impl Place {
    /// Whether this is the other place, at whatever speed.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Udp(one), Self::Udp(other)) => udp(one) == udp(other),
            (Self::Serial(one), Self::Serial(other)) => device(one) == device(other),
            _ => false,
        }
    }
}

/// `HOST:PORT`, also of a text without the port.
fn udp(text: &str) -> String {
    units::udp(text).map_or_else(|_| text.into(), |address| address.canonical())
}

/// The device of `DEV[@BAUD]`.
fn device(text: &str) -> String {
    units::serial(text).map_or_else(|_| text.into(), |line| line.device.display().to_string())
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(host) => write!(f, "--udp {host}"),
            Self::Serial(device) => write!(f, "--serial {device}"),
        }
    }
}

/// A known router.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Router {
    /// Its name in the operator's list.
    pub name: String,
    /// Its public key.
    pub key: PublicKey,
    /// The host that the operator gave for it.
    pub udp: Option<String>,
    /// The serial port that the operator gave for it.
    pub serial: Option<String>,
    /// Where it was last met, the latest place first.
    pub seen: Vec<Place>,
}

impl Router {
    fn new(name: &str, key: PublicKey) -> Self {
        Self { name: name.into(), key, udp: None, serial: None, seen: Vec::new() }
    }

    /// The form in which people compare keys.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.key).to_string()
    }

    /// The places that were given for it.
    pub fn given(&self) -> impl Iterator<Item = Place> {
        let udp = self.udp.clone().map(Place::Udp);
        udp.into_iter().chain(self.serial.clone().map(Place::Serial))
    }

    /// Where to look for it: at the place that was given for it, or else where it was last met.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.given().next().or_else(|| self.seen.first().cloned())
    }

    fn was_at(&self, place: &Place) -> bool {
        self.given().chain(self.seen.iter().cloned()).any(|at| at.is(place))
    }
}

/// The file's structure for serde.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File<T> {
    #[serde(default = "Vec::new")]
    router: Vec<Entry<T>>,
}

/// An entry. Texts know their place in a file that was read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<T> {
    name: T,
    key: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    udp: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<T>,
}

/// All routers that are known, the one met last first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Routers {
    list: Vec<Router>,
    /// The file, and for each router of it, by key, where its name stands.
    text: String,
    names: HashMap<PublicKey, Range<usize>>,
}

impl Routers {
    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Router> {
        self.list.iter()
    }

    /// Whether no router is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The router with this name, key or fingerprint. A name takes precedence.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<&Router> {
        let key = text.parse().ok();
        let by_fingerprint = || {
            let wanted = units::fingerprint(text).ok()?;
            self.iter().find(|router| router.fingerprint() == wanted)
        };
        let known = self.iter().find(|router| router.name == text || Some(router.key) == key);
        known.or_else(by_fingerprint)
    }

    /// The router with this key.
    #[must_use]
    pub fn of_key(&self, key: &PublicKey) -> Option<&Router> {
        self.iter().find(|router| router.key == *key)
    }

    /// All routers, those first that are or were at this place.
    #[must_use]
    pub fn likely_at(&self, place: &Place) -> Vec<&Router> {
        let (mut there, other): (Vec<_>, Vec<_>) =
            self.iter().partition(|router| router.was_at(place));
        there.extend(other);
        there
    }

    /// Adds a router, and the place to look for it.
    ///
    /// # Errors
    /// [`HomeError::BadName`], [`HomeError::NameTaken`], [`HomeError::KeyKnown`].
    pub fn add(
        &mut self,
        name: &str,
        key: PublicKey,
        at: Option<&Place>,
    ) -> Result<&Router, HomeError> {
        if let Some(known) = self.of_key(&key) {
            return Err(HomeError::KeyKnown(known.name.clone()));
        }
        self.check_name(name, &key)?;
        let mut router = Router::new(name, key);
        match at {
            Some(Place::Udp(host)) => router.udp = Some(host.clone()),
            Some(Place::Serial(device)) => router.serial = Some(device.clone()),
            None => {}
        }
        let file = File { router: vec![entry(&router)] };
        let block = toml::to_string(&file).unwrap_or_default();
        let mut text = self.text.clone();
        if text.is_empty() {
            text.push_str(
                "# The routers that you know. postwire adds to this file; it is yours to edit.\n",
            );
        } else if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&block);
        self.list.push(router);
        self.edited(text);
        self.of_key(&key).ok_or_else(|| HomeError::Unknown(name.into()))
    }

    /// Gives a router a name, whether it was known or not.
    ///
    /// # Errors
    /// [`HomeError::BadName`], [`HomeError::NameTaken`].
    pub fn call(&mut self, name: &str, key: PublicKey) -> Result<&Router, HomeError> {
        self.check_name(name, &key)?;
        let Some(at) = self.list.iter().position(|router| router.key == key) else {
            return self.add(name, key, None);
        };
        if self.list[at].name != name {
            self.list[at].name = name.into();
            let mut text = self.text.clone();
            if let Some(span) = self.names.get(&key) {
                text.replace_range(span.clone(), &toml::Value::from(name).to_string());
            }
            self.edited(text);
        }
        self.of_key(&key).ok_or_else(|| HomeError::Unknown(name.into()))
    }

    /// Checks that a router may have this name.
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

    /// Removes a router from the list.
    ///
    /// # Errors
    /// [`HomeError::Unknown`].
    pub fn forget(&mut self, text: &str) -> Result<Router, HomeError> {
        let unknown = || HomeError::Unknown(text.escape_debug().collect());
        let key = self.find(text).ok_or_else(unknown)?.key;
        let at = self.list.iter().position(|router| router.key == key).ok_or_else(unknown)?;
        let router = self.list.remove(at);
        let mut text = self.text.clone();
        if let Some(block) = self.names.get(&key).and_then(|name| block(&text, name.start)) {
            text.replace_range(block, "");
        }
        self.edited(text);
        Ok(router)
    }

    /// The name of a router that was met: the one it has, or else a free one, under which it is added.
    pub(crate) fn met(&mut self, key: PublicKey, names: &[&str]) -> Result<String, HomeError> {
        if let Some(known) = self.of_key(&key) {
            return Ok(known.name.clone());
        }
        let name = self.free_name(&key, names);
        Ok(self.add(&name, key, None)?.name.clone())
    }

    /// Takes a text that was edited. If it does not say what the list says, because the file is laid out in a way
    /// that the tool does not write, the whole file is written again.
    fn edited(&mut self, text: String) {
        let mut wanted = self.list.clone();
        let same = |read: &Self| {
            let mut read = read.list.clone();
            for list in [&mut read, &mut wanted] {
                list.iter_mut().for_each(|router| router.seen.clear());
                list.sort_by(|one, other| one.name.cmp(&other.name));
            }
            read == wanted
        };
        let read = Self::parse(&text).ok().filter(same);
        let read = read.or_else(|| Self::parse(&self.whole_text()).ok());
        if let Some(Self { text, names, .. }) = read {
            (self.text, self.names) = (text, names);
        }
    }

    fn whole_text(&self) -> String {
        let file = File { router: self.iter().map(entry).collect() };
        toml::to_string(&file).unwrap_or_default()
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

    pub(super) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let line = |at: usize| text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1;
        let file: File<Spanned<String>> = toml::from_str(text).map_err(|error| {
            (line(error.span().map_or(0, |span| span.start)), error.message().to_string())
        })?;
        let mut routers = Self { text: text.into(), ..Self::default() };
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
            let checked = |text: Option<Spanned<String>>, check: fn(&str) -> Option<String>| {
                let Some(text) = text else { return Ok(None) };
                match check(text.get_ref()) {
                    Some(why) => Err((line(text.span().start), why)),
                    None => Ok(Some(text.into_inner())),
                }
            };
            routers.names.insert(key, entry.name.span());
            routers.list.push(Router {
                name: name.clone(),
                key,
                udp: checked(entry.udp, |text| units::udp(text).err())?,
                serial: checked(entry.serial, |text| units::serial(text).err())?,
                seen: Vec::new(),
            });
        }
        Ok(routers)
    }

    /// Adds what was seen, and sorts by it.
    fn seen(&mut self, seen: &Seen) {
        let by_key = seen.by_key();
        for router in &mut self.list {
            router.seen = by_key.get(&router.key).map(|(_, at)| at.to_vec()).unwrap_or_default();
        }
        self.list.sort_by_key(|router| by_key.get(&router.key).map_or(usize::MAX, |(nth, _)| *nth));
    }
}

fn entry(router: &Router) -> Entry<String> {
    Entry {
        name: router.name.clone(),
        key: router.key.to_string(),
        udp: router.udp.clone(),
        serial: router.serial.clone(),
    }
}

/// The lines of the entry with a value at `at`: from its header to its last value. Comments between entries stay.
fn block(text: &str, at: usize) -> Option<Range<usize>> {
    let start = text.get(..at)?.rfind("[[router]]")?;
    let mut end = text.len().min(at);
    let mut from = at;
    for line in text.get(at..)?.split_inclusive('\n') {
        let trimmed = line.trim_start();
        if trimmed.starts_with('[') {
            break;
        }
        from += line.len();
        if !trimmed.is_empty() && !trimmed.starts_with('#') {
            end = from;
        }
    }
    Some(start..end)
}

/// Whether a router can have this name: one word of a command line, and not a key.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.chars().count())
        && !name.starts_with('-')
        && !name.chars().any(|c| misleads(c) || c.is_whitespace())
        && name.parse::<PublicKey>().is_err()
}

impl Home {
    /// The known routers.
    ///
    /// # Errors
    /// [`HomeError::Routers`] if the file is damaged.
    pub fn routers(&self) -> Result<Routers, HomeError> {
        let path = self.folder.join("routers.toml");
        let text = read(&path)?.unwrap_or_default();
        let parsed = Routers::parse(&text);
        let mut routers =
            parsed.map_err(|(line, message)| HomeError::Routers { path, line, message })?;
        routers.seen(&self.seen()?);
        Ok(routers)
    }

    /// Changes the list of routers, under the lock.
    ///
    /// # Errors
    /// Errors of `change`, after which the file is unchanged, and [`HomeError`].
    pub fn change_routers<T>(
        &self,
        change: impl FnOnce(&mut Routers) -> Result<T, HomeError>,
    ) -> Result<T, HomeError> {
        let _lock = self.lock()?;
        self.change_locked(change)
    }

    fn change_locked<T>(
        &self,
        change: impl FnOnce(&mut Routers) -> Result<T, HomeError>,
    ) -> Result<T, HomeError> {
        let mut routers = self.routers()?;
        let old = routers.text.clone();
        let done = change(&mut routers)?;
        if routers.text != old {
            write(&self.folder.join("routers.toml"), routers.text.as_bytes())?;
        }
        Ok(done)
    }

    /// Notes that a router was met at a place: its name in the list. A new name is given if there is one; a router
    /// that was not known is added under the first of `names` that is free.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn note(
        &self,
        key: PublicKey,
        place: &Place,
        name: Option<&str>,
        names: &[&str],
    ) -> Result<String, HomeError> {
        let _lock = self.lock()?;
        let known_as = self.change_locked(|routers| {
            if let Some(name) = name {
                routers.call(name, key)?;
            }
            routers.met(key, names)
        })?;
        self.see_locked(&[(key, place.clone())])?;
        Ok(known_as)
    }
}

#[cfg(test)]
mod tests;
