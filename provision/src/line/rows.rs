//! Which router becomes which unit. A router that was seen before stays the unit that it is; others take the next unit
//! in the order of the manifest, or the one whose code is scanned.

use std::collections::{HashMap, HashSet, VecDeque};

use proto_core::key::PublicKey;
use proto_core::protocol::message::{Mac, Status};

use crate::home::Routers;
use crate::label::Label;
use crate::manifest::{Manifest, Mistake, Unit};
use crate::records::Record;
use crate::session::printable;
use crate::units::{self, folded, mac_text};

/// How units are chosen for new routers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Assign {
    /// In the order of the manifest
    #[default]
    Order,
    /// By its code, scanned or typed on standard input: `CODE`, or `PORT CODE`. A code is a unit's name, `serial_number`
    /// or `mac`
    Scan,
    /// By the serial number that the router tells: the unit with this `serial_number`
    SerialNumber,
    /// By the MAC addresses that the router tells: the unit whose `mac` is one of them
    Mac,
}

impl Assign {
    /// The key of a unit that is compared with what the router tells of itself, if any is.
    #[must_use]
    pub const fn key(self) -> Option<&'static str> {
        match self {
            Self::SerialNumber => Some("serial_number"),
            Self::Mac => Some("mac"),
            Self::Order | Self::Scan => None,
        }
    }

    /// The units to which no router could ever be assigned.
    #[must_use]
    pub fn mistakes(self, units: &[Unit]) -> Vec<Mistake> {
        let lacks = |unit: &&Unit| match self {
            Self::SerialNumber => unit.serial_number.is_none(),
            Self::Mac => unit.mac.is_none(),
            Self::Order | Self::Scan => false,
        };
        if self == Self::Scan {
            return ambiguous(units);
        }
        let lacking = units.iter().filter(|unit| unit.key.is_none()).filter(lacks);
        let key = self.key().unwrap_or_default();
        let mistake =
            |unit: &Unit| Mistake::at(&unit.at, format!("unit {} has no {key}", unit.name));
        lacking.map(mistake).collect()
    }
}

fn unknown(code: &str) -> String {
    if Label::is_meant(code) {
        return match Label::parse(code) {
            Ok(label) => format!(
                "no unit of the manifest has the name or serial_number `{}`, the number on the label",
                label.number()
            ),
            Err(why) => why.to_string(),
        };
    }
    let code = code.escape_debug();
    format!("no unit of the manifest has the name, serial_number or mac `{code}`")
}

/// Codes that are those of two units: a name that is the serial number of another one, for example.
fn ambiguous(units: &[Unit]) -> Vec<Mistake> {
    let (mut codes, mut mistakes) = (HashMap::new(), Vec::new());
    for unit in units {
        let name = Some(("name", folded(&unit.name)));
        let number = unit.serial_number.as_ref().map(|number| ("serial_number", folded(number)));
        let mac = unit.mac.map(|mac| ("mac", folded(&mac_text(&mac))));
        for (kind, code) in [name, number, mac].into_iter().flatten() {
            let (other, other_kind) = *codes.entry(code.clone()).or_insert((unit, kind));
            if other.name != unit.name && other_kind != kind {
                let code = code.escape_debug();
                let message = format!(
                    "the code {code} is the {kind} of {} and the {other_kind} of {}",
                    unit.name, other.name
                );
                mistakes.push(Mistake::at(&unit.at, message));
            }
        }
    }
    mistakes
}

/// Units and their routers. Units are numbers: their places in the manifest.
#[derive(Debug)]
pub struct Rows {
    assign: Assign,
    /// The unit of each name, serial number and MAC address.
    names: HashMap<String, usize>,
    serial_numbers: HashMap<String, usize>,
    macs: HashMap<Mac, usize>,
    by_router: HashMap<PublicKey, usize>,
    /// The same the other way round.
    routers: HashMap<usize, PublicKey>,
    /// Routers that were a unit until another router took their place.
    former: HashMap<PublicKey, usize>,
    /// Units that get another router, until they have it.
    replaced: HashSet<usize>,
    /// Units that have a router, or are promised to one at a port.
    taken: HashSet<usize>,
    /// Units of routers to come, in order.
    free: VecDeque<usize>,
    /// Scanned units, by port; `None` for the port that has waited longest.
    scanned: Vec<(Option<usize>, usize)>,
    /// Ports that wait for a code, the one that has waited longest first.
    waiting: VecDeque<usize>,
}

impl Rows {
    /// The units of a manifest, with the routers that are known from it, from the operator's list, and from records.
    #[must_use]
    pub fn new(manifest: &Manifest, routers: &Routers, records: &[Record], assign: Assign) -> Self {
        let names: HashMap<String, usize> =
            manifest.units.iter().enumerate().map(|(at, unit)| (unit.name.clone(), at)).collect();
        // A unit is one router: the last one of its records, or the one that the operator's list or the manifest names.
        let (mut routers_of, mut former) = (HashMap::new(), HashMap::new());
        let mut is = |unit: usize, key: PublicKey| {
            if let Some(other) = routers_of.insert(unit, key).filter(|other| *other != key) {
                former.insert(other, unit);
            }
        };
        for record in records {
            // A record without an answer says nothing about who is whose.
            let key = record.router_key.as_ref().and_then(|key| key.parse().ok());
            if let (Some(key), Some(&unit)) = (key, names.get(&record.unit)) {
                is(unit, key);
            }
        }
        for router in routers.iter() {
            if let Some(&unit) = names.get(&router.name) {
                is(unit, router.key);
            }
        }
        for (at, unit) in manifest.units.iter().enumerate() {
            if let Some(key) = unit.key {
                is(at, key);
            }
        }
        let by_router: HashMap<PublicKey, usize> =
            routers_of.into_iter().map(|(unit, key)| (key, unit)).collect();
        let routers = by_router.iter().map(|(key, unit)| (*unit, *key)).collect();
        former.retain(|key, _| !by_router.contains_key(key));
        let units = || manifest.units.iter().enumerate();
        let number = |(at, unit): (usize, &Unit)| Some((folded(unit.serial_number.as_ref()?), at));
        let taken: HashSet<usize> = by_router.values().copied().collect();
        let free = (0..manifest.units.len()).filter(|at| !taken.contains(at)).collect();
        Self {
            assign,
            names,
            serial_numbers: units().filter_map(number).collect(),
            macs: units().filter_map(|(at, unit)| Some((unit.mac?, at))).collect(),
            by_router,
            routers,
            former,
            replaced: HashSet::new(),
            taken,
            free,
            scanned: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// The unit of a router that is known.
    #[must_use]
    pub fn of(&self, router: &PublicKey) -> Option<usize> {
        self.by_router.get(router).copied()
    }

    /// The router of a unit.
    #[must_use]
    pub fn router(&self, unit: usize) -> Option<PublicKey> {
        self.routers.get(&unit).copied()
    }

    /// The unit that a router was until another one took its place.
    #[must_use]
    pub fn formerly(&self, router: &PublicKey) -> Option<usize> {
        self.former.get(router).copied()
    }

    /// The keys of all routers that are known, those of units first.
    #[must_use]
    pub fn keys(&self) -> Vec<PublicKey> {
        let mut keys: Vec<PublicKey> =
            self.by_router.keys().chain(self.former.keys()).copied().collect();
        keys.sort_unstable_by_key(|key| {
            (self.former.get(key).copied(), self.by_router.get(key).copied())
        });
        keys
    }

    /// Takes a unit's router away, so that the unit gets another one. Returns the key of the former one; `None` if the unit
    /// has no router.
    pub fn replace(&mut self, unit: usize) -> Option<PublicKey> {
        let key = self.router(unit)?;
        self.by_router.remove(&key);
        self.routers.remove(&unit);
        self.former.insert(key, unit);
        self.replaced.insert(unit);
        self.give_back(unit);
        Some(key)
    }

    /// Whether a unit gets another router in place of the one that it had.
    #[must_use]
    pub fn is_replaced(&self, unit: usize) -> bool {
        self.replaced.contains(&unit)
    }

    /// Number of units that have no router yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.free.len()
    }

    /// Takes the unit of a new router by what the router tells of itself.
    ///
    /// # Errors
    /// Why it is no unit, for the person at the line.
    pub fn take_told(&mut self, status: &Status) -> Result<usize, String> {
        let number = printable(&status.serial_number);
        let macs = status.macs.iter().map(mac_text).collect::<Vec<_>>().join(" ");
        let (unit, told) = match self.assign {
            Assign::Mac => (status.macs.iter().find_map(|mac| self.macs.get(mac)), macs),
            _ => (self.serial_numbers.get(&folded(&number)), number),
        };
        let key = self.assign.key().unwrap_or_default();
        if told.is_empty() {
            return Err(format!(
                "the router does not tell its {key}: use --assign scan for this board"
            ));
        }
        let Some(&unit) = unit else {
            return Err(format!("no unit of the manifest has the {key} of this router: {told}"));
        };
        if !self.taken.insert(unit) {
            return Err(format!(
                "the unit with the {key} of this router has another router already: {told}; --replace gives it this one"
            ));
        }
        self.free.retain(|&free| free != unit);
        Ok(unit)
    }

    /// Takes a unit for a new router at a port. `None` if there is none, or none yet.
    pub fn take(&mut self, port: usize) -> Option<usize> {
        let unit = match self.assign {
            // The others are taken by what the router tells.
            Assign::Order | Assign::SerialNumber | Assign::Mac => *self.free.front()?,
            Assign::Scan => {
                if !self.waiting.contains(&port) {
                    self.waiting.push_back(port);
                }
                let is_first = self.waiting.front() == Some(&port);
                let at = self.scanned.iter().position(|&(named, _)| match named {
                    Some(named) => named == port,
                    None => is_first,
                })?;
                self.scanned.remove(at).1
            }
        };
        self.stop_waiting(port);
        self.free.retain(|&free| free != unit);
        self.taken.insert(unit);
        Some(unit)
    }

    /// The router at a port is gone, and waits for no code any more.
    pub fn stop_waiting(&mut self, port: usize) {
        self.waiting.retain(|&waiting| waiting != port);
    }

    /// Gives back a unit whose router was not claimed. One that has a router keeps it.
    pub fn give_back(&mut self, unit: usize) {
        if self.router(unit).is_some() {
            return;
        }
        if self.taken.remove(&unit) {
            let at = self.free.partition_point(|&free| free < unit);
            self.free.insert(at, unit);
        }
    }

    /// Notes which router a unit is.
    pub fn bind(&mut self, router: PublicKey, unit: usize) {
        if let Some(other) = self.by_router.insert(router, unit) {
            self.routers.remove(&other);
        }
        self.routers.insert(unit, router);
        self.former.remove(&router);
        self.replaced.remove(&unit);
        self.taken.insert(unit);
        self.free.retain(|&free| free != unit);
    }

    /// Takes a line from standard input: `CODE`, or `PORT CODE` with the number of a port, from 1. `ports` is
    /// the number of ports now. Returns the note for the person at the line.
    ///
    /// # Errors
    /// The mistake in the line, as a note for the same person.
    pub fn scan<'u>(
        &mut self,
        line: &str,
        ports: usize,
        name: impl Fn(usize) -> &'u str,
    ) -> Result<String, String> {
        if self.assign != Assign::Scan {
            return Err("codes are read only with --assign scan".into());
        }
        let line = line.trim();
        // A serial number may have a space in it.
        let (port, unit) = match (self.of_code(line), line.split_once(char::is_whitespace)) {
            (Some(unit), _) => (None, unit),
            (None, Some((port, code))) => {
                let number = port.parse::<usize>().ok().filter(|&number| number > 0);
                let number = number.ok_or_else(|| match Label::is_meant(line) {
                    true => unknown(line),
                    false => format!("`{}` is not the number of a port", port.escape_debug()),
                })?;
                let code = code.trim();
                (Some(number - 1), self.of_code(code).ok_or_else(|| unknown(code))?)
            }
            (None, None) => return Err(unknown(line)),
        };
        let name = name(unit);
        if self.taken.contains(&unit) {
            return Err(format!(
                "{name} has a router already: `postwire line --replace {name}` gives it another one"
            ));
        }
        // The last scan of a unit counts: the one before may have named the wrong port.
        self.scanned.retain(|&(_, other)| other != unit);
        self.scanned.push((port, unit));
        Ok(match port.map(|port| port + 1) {
            None => format!("scanned {name}"),
            Some(port) if port > ports => {
                format!("scanned {name} for port {port}, which is not there yet")
            }
            Some(port) => format!("scanned {name} for port {port}"),
        })
    }

    /// The unit with this name, serial number or MAC address, or with the number on this label.
    fn of_code(&self, code: &str) -> Option<usize> {
        if let Ok(label) = Label::parse(code) {
            let number = label.number();
            // A label has capital letters only.
            let named = || {
                let mut names =
                    self.names.iter().filter(|(name, _)| name.to_ascii_uppercase() == number);
                names.next().filter(|_| names.next().is_none()).map(|(_, unit)| *unit)
            };
            return self
                .names
                .get(number)
                .copied()
                .or_else(named)
                .or_else(|| self.serial_numbers.get(&folded(number)).copied());
        }
        let mac = || units::mac(code).ok().and_then(|mac| self.macs.get(&mac));
        let found = self.names.get(code).or_else(|| self.serial_numbers.get(&folded(code)));
        found.or_else(mac).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(csv: &str) -> Manifest {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        let defaults = "[defaults]\ntemplate = \"wg0.conf\"\n";
        write("line.toml", &format!("version = 1\ncsv = \"u.csv\"\n{defaults}"));
        write("u.csv", csv);
        write("wg0.conf", "[Interface]\nPrivateKey = generate\n");
        Manifest::load(&dir.path().join("line.toml"), None, &mut |_| {}).unwrap()
    }

    #[test]
    fn a_scanned_code_is_for_a_router_that_comes_or_is_refused_in_words() {
        let manifest =
            manifest("name,serial_number,mac\na,SN 17,\nb,8J-2,94:83:c4:01:02:03\nc,,\nd,,\n");
        let mut rows = Rows::new(&manifest, &Routers::default(), &[], Assign::Scan);
        let mut scan = |line: &str| rows.scan(line, 2, |unit| &manifest.units[unit].name);
        let secret = "23456789ABCDEFGHJKMNPQRS";
        for (line, told) in [
            // A serial number with a space is no port and a code.
            ("sn 17", Ok("scanned a")),
            ("3 b", Ok("scanned b for port 3, which is not there yet")),
            ("0 b", Err("`0` is not the number of a port")),
            ("front b", Err("`front` is not the number of a port")),
            // A wrong port is corrected by another scan.
            (" 2  9483C4010203 ", Ok("scanned b for port 2")),
            ("e", Err("no unit of the manifest has the name, serial_number or mac `e`")),
            ("1 e", Err("no unit of the manifest has the name, serial_number or mac `e`")),
        ] {
            assert_eq!(scan(line), told.map(Into::into).map_err(Into::into), "{line}");
        }
        // What is on a label is shown to nobody.
        for wrong in [
            format!("POSTWIRE:1:E:{secret}"),
            format!("1 POSTWIRE:1:E:{secret}"),
            format!("POSTWIRE:1:C:{secret}9"),
            format!("POSTWIRE:1:C:{} {}", &secret[..9], &secret[10..]),
            format!("POSTWIRE:2:C:{secret}"),
            format!("x postwire:1:{secret}"),
            format!("9 {secret} postwire:1"),
        ] {
            let why = scan(&wrong).unwrap_err();
            assert!(!why.contains(&secret[..8]) && !why.contains(&secret[16..]), "{wrong}: {why}");
        }
        assert_eq!((rows.take(0), rows.take(1)), (Some(0), Some(1)));
        let mut scan = |line: &str| rows.scan(line, 2, |unit| &manifest.units[unit].name);
        for (line, told) in [
            (format!("postwire:1:C:{secret}"), Ok("scanned c")),
            (format!("2 POSTWIRE:1:D:{secret}\r"), Ok("scanned d for port 2")),
            (
                format!("POSTWIRE:1:8J-2:{secret}"),
                Err("b has a router already: `postwire line --replace b` gives it another one"),
            ),
        ] {
            assert_eq!(scan(&line), told.map(Into::into).map_err(Into::into), "{line}");
        }
        let told = rows.scan("b", 2, |unit| &manifest.units[unit].name);
        let has = "b has a router already: `postwire line --replace b` gives it another one";
        assert_eq!(told, Err(has.into()));
    }

    #[test]
    fn a_code_is_that_of_one_unit() {
        let of = |csv: &str| {
            let mistakes = Assign::Scan.mistakes(&manifest(csv).units);
            mistakes.into_iter().map(|mistake| mistake.message).collect::<Vec<_>>()
        };
        let twice = of("name,serial_number,mac\na,,\nb,A,\n94:83:c4:01:02:03,,\nd,,9483c4010203\n");
        assert_eq!(
            twice,
            [
                "the code A is the serial_number of b and the name of a",
                "the code 94:83:C4:01:02:03 is the mac of d and the name of 94:83:c4:01:02:03",
            ]
        );
        assert_eq!(of("name,serial_number\na,a\nA,\n"), [""; 0]);
    }

    /// A router that the manifest names refused its claim, and the next new router got its unit.
    #[test]
    fn a_unit_that_has_a_router_is_never_given_to_another_one() {
        use crate::records::{Outcome, tests::record};
        let keys = [1, 2, 3].map(|byte| PublicKey([byte; 32]));
        let manifest = manifest(&format!("name,key\na,{}\nb,\nc,\nd,\n", keys[0]));
        let mut routers = Routers::default();
        routers.add("b", keys[1], None).unwrap();
        let records = [record("c", Outcome::Unreachable).of_router(keys[2])];
        let mut rows = Rows::new(&manifest, &routers, &records, Assign::Order);
        let known = |rows: &Rows| keys.map(|key| rows.of(&key));
        assert_eq!((known(&rows), rows.left()), ([Some(0), Some(1), Some(2)], 1));
        for unit in 0..3 {
            rows.give_back(unit);
            assert_eq!((known(&rows), rows.left()), ([Some(0), Some(1), Some(2)], 1), "{unit}");
        }
        // One that was only promised is free again.
        assert_eq!((rows.take(0), rows.left()), (Some(3), 0));
        rows.give_back(3);
        assert_eq!((rows.left(), rows.take(0)), (1, Some(3)));
    }

    #[test]
    fn a_unit_is_one_router_the_last_one_whoever_names_it() {
        use crate::records::{Outcome, tests::record};
        let manifest = manifest("name\na\nb\nc\n");
        let keys = [1, 2, 3].map(|byte| PublicKey([byte; 32]));
        let was = |unit: &str, key: usize| record(unit, Outcome::Applied).of_router(keys[key]);
        let rows = |records: &[Record], listed: &[(&str, usize)]| {
            let mut routers = Routers::default();
            for (name, key) in listed {
                routers.add(name, keys[*key], None).unwrap();
            }
            Rows::new(&manifest, &routers, records, Assign::Order)
        };
        let told = |rows: &Rows| keys.map(|key| (rows.of(&key), rows.formerly(&key)));
        // Another router took the place of the first one, which is another unit later on.
        let mut all = vec![was("a", 0), was("a", 1)];
        assert_eq!(told(&rows(&all, &[])), [(None, Some(0)), (Some(0), None), (None, None)]);
        all.push(was("b", 0));
        assert_eq!(told(&rows(&all, &[])), [(Some(1), None), (Some(0), None), (None, None)]);
        // The list is newer than the records: it was claimed by hand.
        let by_hand = rows(&all, &[("a", 2)]);
        assert_eq!(told(&by_hand), [(Some(1), None), (None, Some(0)), (Some(0), None)]);

        let mut rows = rows(&all, &[]);
        assert_eq!((rows.replace(2), rows.left()), (None, 1));
        assert_eq!((rows.replace(0), rows.left()), (Some(keys[1]), 2));
        assert!(rows.is_replaced(0) && rows.formerly(&keys[1]) == Some(0));
        assert_eq!(rows.keys(), [keys[0], keys[1]], "the former one is recognized");
        assert_eq!(rows.take(0), Some(0));
        rows.bind(keys[2], 0);
        assert!(!rows.is_replaced(0));
        assert_eq!((rows.of(&keys[2]), rows.take(0), rows.take(0)), (Some(0), Some(2), None));
    }
}
