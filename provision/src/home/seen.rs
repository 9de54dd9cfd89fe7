//! What the tool saw: where each router was last met, the latest first. The file is a cache that the tool writes and
//! can do without; one that cannot be read counts as empty.

use std::collections::{HashMap, HashSet};

use proto_core::key::PublicKey;
use serde::{Deserialize, Serialize};

use super::{Home, HomeError, Place, read, write};

/// The routers that were met, the latest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Seen(Vec<Met>);

/// Where a router was met, the latest place first.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Met {
    key: PublicKey,
    places: Vec<Place>,
}

/// The file as serde has it.
#[derive(Default, Serialize, Deserialize)]
struct File {
    #[serde(default)]
    seen: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    key: String,
    /// Options of the command line: `--udp HOST:PORT`, `--serial DEV`.
    at: Vec<String>,
}

impl Seen {
    /// For each router its place in the order, and where it was met, the latest place first.
    pub(super) fn by_key(&self) -> HashMap<PublicKey, (usize, &[Place])> {
        let met = self.0.iter().enumerate();
        met.map(|(nth, met)| (met.key, (nth, met.places.as_slice()))).collect()
    }

    /// Notes that routers were met, each once, the latest of them first.
    fn meet(&mut self, met: &[(PublicKey, Place)]) {
        let keys: HashSet<PublicKey> = met.iter().map(|(key, _)| *key).collect();
        let (known, others): (Vec<Met>, Vec<Met>) =
            self.0.drain(..).partition(|met| keys.contains(&met.key));
        let mut known: HashMap<PublicKey, Vec<Place>> =
            known.into_iter().map(|met| (met.key, met.places)).collect();
        self.0 = met
            .iter()
            .map(|(key, place)| {
                let mut places = known.remove(key).unwrap_or_default();
                // One of each kind is enough.
                places.retain(|old| std::mem::discriminant(old) != std::mem::discriminant(place));
                places.insert(0, place.clone());
                Met { key: *key, places }
            })
            .collect();
        self.0.extend(others);
    }

    fn parse(text: &str) -> Self {
        let file: File = toml::from_str(text).unwrap_or_default();
        let place = |option: &String| match option.split_once(' ')? {
            ("--udp", host) => Some(Place::Udp(host.into())),
            ("--serial", device) => Some(Place::Serial(device.into())),
            _ => None,
        };
        let met = |entry: &Entry| {
            let places = entry.at.iter().filter_map(place).collect();
            Some(Met { key: entry.key.parse().ok()?, places })
        };
        Self(file.seen.iter().filter_map(met).collect())
    }

    fn text(&self) -> String {
        let entry = |met: &Met| Entry {
            key: met.key.to_string(),
            at: met.places.iter().map(ToString::to_string).collect(),
        };
        let file = File { seen: self.0.iter().map(entry).collect() };
        let entries = toml::to_string(&file).unwrap_or_default();
        format!(
            "# Where postwire met each router, the latest first. postwire writes this file.\n\n{entries}"
        )
    }
}

impl Home {
    pub(super) fn seen(&self) -> Result<Seen, HomeError> {
        Ok(Seen::parse(&read(&self.folder.join("seen.toml"))?.unwrap_or_default()))
    }

    /// Notes that routers were met, each once, the latest of them first.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn see(&self, met: &[(PublicKey, Place)]) -> Result<(), HomeError> {
        let _lock = self.lock()?;
        self.see_locked(met)
    }

    pub(super) fn see_locked(&self, met: &[(PublicKey, Place)]) -> Result<(), HomeError> {
        let old = self.seen()?;
        let mut new = old.clone();
        new.meet(met);
        if new == old {
            return Ok(());
        }
        write(&self.folder.join("seen.toml"), new.text().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_comes_first_and_a_damaged_file_counts_as_empty() {
        let [a, b] = [PublicKey([1; 32]), PublicKey([2; 32])];
        let udp = |host: &str| Place::Udp(host.into());
        let mut seen = Seen::default();
        seen.meet(&[(a, udp("h:1"))]);
        seen.meet(&[(b, udp("h:2"))]);
        seen.meet(&[(a, Place::Serial("/dev/ttyS0".into()))]);
        seen.meet(&[(a, udp("h:3"))]);
        let read = Seen::parse(&seen.text());
        assert_eq!(read, seen);
        let by_key = read.by_key();
        assert_eq!(by_key[&a], (0, &[udp("h:3"), Place::Serial("/dev/ttyS0".into())][..]));
        assert_eq!(by_key[&b], (1, &[udp("h:2")][..]));
        for damaged in ["nonsense", "[[seen]]\nkey = 7\n", "\0\0"] {
            assert_eq!(Seen::parse(damaged), Seen::default());
        }
    }
}
