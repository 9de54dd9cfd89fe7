//! Which router becomes which unit. A router that was seen before stays the unit that it is; others take the next unit
//! in the order of the manifest, or the one whose code is scanned.

use std::collections::{HashMap, HashSet, VecDeque};

use proto_core::key::PublicKey;
use proto_core::protocol::message::{Mac, Status};

use crate::home::Routers;
use crate::manifest::{Manifest, Mistake, Unit};
use crate::records::Record;
use crate::session::printable;
use crate::units::{self, mac_text};

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
    pub fn mistakes(self, manifest: &Manifest) -> Vec<Mistake> {
        let lacks = |unit: &&Unit| match self {
            Self::SerialNumber => unit.serial_number.is_none(),
            Self::Mac => unit.mac.is_none(),
            Self::Order | Self::Scan => false,
        };
        let lacking = manifest.units.iter().filter(|unit| unit.key.is_none()).filter(lacks);
        let key = self.key().unwrap_or_default();
        let mistake =
            |unit: &Unit| Mistake::at(&unit.at, format!("unit {} has no {key}", unit.name));
        lacking.map(mistake).collect()
    }
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
        let mut by_router = HashMap::new();
        for record in records {
            // A record without an answer says nothing about who is whose.
            let key = record.router_key.as_ref().and_then(|key| key.parse().ok());
            if let (Some(key), Some(&unit)) = (key, names.get(&record.unit)) {
                by_router.insert(key, unit);
            }
        }
        for router in routers.iter() {
            if let Some(&unit) = names.get(&router.name) {
                by_router.insert(router.key, unit);
            }
        }
        for (at, unit) in manifest.units.iter().enumerate() {
            if let Some(key) = unit.key {
                by_router.insert(key, at);
            }
        }
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

    /// The keys of all routers that are known.
    #[must_use]
    pub fn keys(&self) -> Vec<PublicKey> {
        let mut keys: Vec<PublicKey> = self.by_router.keys().copied().collect();
        keys.sort_unstable_by_key(|key| self.by_router.get(key).copied());
        keys
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
                "the unit with the {key} of this router has another router already: {told}"
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

    /// Gives back a unit whose router was not claimed.
    pub fn give_back(&mut self, unit: usize) {
        if self.taken.remove(&unit) {
            let at = self.free.partition_point(|&free| free < unit);
            self.free.insert(at, unit);
        }
    }

    /// Notes which router a unit is.
    pub fn bind(&mut self, router: PublicKey, unit: usize) {
        self.by_router.insert(router, unit);
        self.taken.insert(unit);
        self.free.retain(|&free| free != unit);
    }

    /// Takes a line from standard input: `CODE`, or `PORT CODE` with the number of a port, from 1.
    ///
    /// # Errors
    /// What is wrong with it, for the person at the line.
    pub fn scan(&mut self, line: &str) -> Result<(), String> {
        let (port, name) = match line.trim().split_once(char::is_whitespace) {
            None => (None, line.trim()),
            Some((port, name)) => {
                let number = port.parse::<usize>().ok().filter(|&number| number > 0);
                let number =
                    number.ok_or_else(|| format!("`{port}` is not the number of a port"))?;
                (Some(number - 1), name.trim())
            }
        };
        if self.assign != Assign::Scan {
            return Err("codes are read only with --assign scan".into());
        }
        let mac = || units::mac(name).ok().and_then(|mac| self.macs.get(&mac));
        let found =
            self.names.get(name).or_else(|| self.serial_numbers.get(&folded(name))).or_else(mac);
        let Some(&unit) = found else {
            let name = name.escape_debug();
            return Err(format!(
                "no unit of the manifest has the name, serial_number or mac `{name}`"
            ));
        };
        if self.taken.contains(&unit) || self.scanned.iter().any(|&(_, other)| other == unit) {
            return Err(format!("{name} has a router already"));
        }
        self.scanned.push((port, unit));
        Ok(())
    }
}

/// A serial number for comparison: scanners and firmware differ in case.
fn folded(number: &str) -> String {
    number.trim().to_ascii_uppercase()
}
