//! The routers that are known: `routers.toml`, the one last heard from first.
//!
//! A claimed router answers only who knows its key, so a key that is not here (or on the command
//! line) cannot be asked for. The file is for people to read and to put right; comments in it are
//! lost when the tool writes it anew.

use std::fmt;

use proto_core::key::PublicKey;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{Home, HomeError, fingerprint, read, write};

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
        fingerprint(&self.key)
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

    /// The router of a name or key.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<&Router> {
        let key = text.parse().ok();
        self.iter().find(|router| router.name == text || Some(router.key) == key)
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
    pub fn add(&mut self, name: &str, key: PublicKey) -> Result<(), HomeError> {
        if let Some(known) = self.of_key(&key) {
            return Err(HomeError::KeyKnown(known.name.clone()));
        }
        self.check_name(name, &key)?;
        self.0.push(Router { name: name.into(), key, udp: None, serial: None });
        Ok(())
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
            .map_or_else(|| fingerprint.clone(), Into::into)
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let line = |at: usize| text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1;
        let file: File<Spanned<String>> = toml::from_str(text).map_err(|error| {
            (line(error.span().map_or(0, |span| span.start)), error.message().to_string())
        })?;
        let mut routers = Self::default();
        for entry in file.router {
            let key = entry.key.get_ref().parse().map_err(|error| {
                (line(entry.key.span().start), format!("`{}` is {error}", entry.key.get_ref()))
            })?;
            routers.add(entry.name.get_ref(), key).map_err(|error| {
                let place = match error {
                    HomeError::KeyKnown(_) => entry.key.span(),
                    _ => entry.name.span(),
                };
                (line(place.start), error.to_string())
            })?;
            if let Some(router) = routers.0.last_mut() {
                (router.udp, router.serial) = (entry.udp, entry.serial);
            }
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
mod tests {
    use super::super::tests::home;
    use super::*;

    const A: PublicKey = PublicKey([1; 32]);
    const B: PublicKey = PublicKey([2; 32]);
    const C: PublicKey = PublicKey([3; 32]);

    fn udp(host: &str) -> Place {
        Place::Udp(host.into())
    }

    fn names(routers: &Routers) -> Vec<&str> {
        routers.iter().map(|router| router.name.as_str()).collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (_dir, home) = home();
        assert!(home.routers().unwrap().is_empty());
        let odd = "caf\u{e9}\"\\";
        home.change_routers(|routers| {
            routers.add("one", A)?;
            routers.add(odd, B)?;
            routers.heard(B, &udp("[fe80::1]:5182"), &[]);
            routers.heard(B, &Place::Serial("/dev/ttyUSB0".into()), &[]);
            Ok(())
        })
        .unwrap();
        let routers = home.routers().unwrap();
        assert_eq!(names(&routers), [odd, "one"]);
        let expected = Router {
            name: odd.into(),
            key: B,
            udp: Some("[fe80::1]:5182".into()),
            serial: Some("/dev/ttyUSB0".into()),
        };
        assert_eq!(routers.find(odd), Some(&expected));
        assert_eq!(routers.find(&B.to_string()), Some(&expected));
        assert_eq!(routers.find("two"), None);
        home.change_routers(|routers| routers.forget(odd)).unwrap();
        assert_eq!(names(&home.routers().unwrap()), ["one"]);
    }

    #[test]
    fn the_most_likely_comes_first() {
        let mut routers = Routers::default();
        for (key, host, name) in [(A, "h1:1", "a"), (B, "h2:1", "b"), (C, "h1:1", "c")] {
            routers.heard(key, &udp(host), &[name]);
        }
        let likely = |place: &Place| -> Vec<String> {
            routers.likely_at(place).iter().map(|router| router.name.clone()).collect()
        };
        assert_eq!(likely(&udp("h1:1")), ["c", "a", "b"]);
        assert_eq!(likely(&udp("h2:1")), ["b", "c", "a"]);
        assert_eq!(likely(&Place::Serial("h1:1".into())), ["c", "b", "a"]);
    }

    #[test]
    fn a_router_gets_a_name_nobody_has() {
        let mut routers = Routers::default();
        assert_eq!(routers.heard(A, &udp("h:1"), &["", "OpenWrt"]).name, "OpenWrt");
        assert_eq!(routers.heard(A, &udp("h:2"), &["other"]).name, "OpenWrt");
        let fingerprint = fingerprint(&B);
        assert_eq!(routers.heard(B, &udp("h:1"), &["two words", "OpenWrt"]).name, fingerprint[..4]);
        let mut routers = Routers::default();
        routers.add(&fingerprint[..4], A).unwrap();
        assert_eq!(routers.heard(B, &udp("h:1"), &[]).name, fingerprint[..9]);
    }

    #[test]
    fn names_and_keys_are_there_once() {
        let mut routers = Routers::default();
        routers.add("a", A).unwrap();
        assert!(matches!(routers.add("a", B), Err(HomeError::NameTaken { .. })));
        assert!(matches!(routers.add("b", A), Err(HomeError::KeyKnown(name)) if name == "a"));
        assert!(matches!(routers.forget("b"), Err(HomeError::Unknown(_))));
        let long = "x".repeat(65);
        for bad in ["", "-a", "a b", "a\u{7}", &long, &B.to_string()] {
            assert!(matches!(routers.add(bad, B), Err(HomeError::BadName(_))), "{bad}");
        }
        assert_eq!(names(&routers), ["a"]);
    }

    #[test]
    fn a_damaged_file_is_shown_and_kept() {
        let (_dir, home) = home();
        home.make().unwrap();
        let (a, path) = (A.to_string(), home.folder.join("routers.toml"));
        let one = format!("[[router]]\nname = \"a\"\nkey = \"{a}\"\n");
        let cases = [
            (format!("{one}\n[[router]\n"), 5, ""),
            (format!("{one}colour = \"red\"\n"), 4, "unknown field `colour`"),
            ("[[router]]\nname = \"a\"\n".into(), 1, "missing field `key`"),
            (one.replace("\"a\"", "7"), 2, "expected a string"),
            (one.replace("AQEB", ""), 3, "is not a key: "),
            (format!("{one}{one}"), 6, "known already, as a"),
            (format!("{one}{}", one.replace("AQEB", "AQEC")), 5, "called a already"),
            (one.replace("\"a\"", "\"a b\""), 2, "cannot be a router's name"),
        ];
        for (text, line, words) in cases {
            std::fs::write(&path, &text).unwrap();
            let error = home.change_routers(|routers| routers.add("new", C)).unwrap_err();
            let shown = error.to_string();
            assert!(shown.contains(&format!("routers.toml:{line}: ")), "{text}\n{shown}");
            assert!(shown.contains(words), "{text}\n{shown}");
            assert!(error.hint().unwrap().contains("left as it was"));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
