//! Many routers from one process and one thread: which units of a manifest a run takes, in which order, and when it
//! stops. `hub` carries the packets of all of them, `run` is the run.
//!
//! Memory is bounded by the number of units at a time (`-j`), not by the number of units: the image of a unit is made when
//! its turn comes.

pub(crate) mod hub;
mod pace;
mod record;
mod run;
mod unit;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use proto_core::key::PublicKey;

use crate::conf::{Lookup, look_up_all};
use crate::home::{Place, Router, Routers};
use crate::manifest::{LOOKUP, Manifest, Mistake, Unit};
use crate::records::{self, Record};
use crate::units::{self, UdpAddress};

pub use pace::{Batch, MaxFail, Shard, batches};
pub(crate) use record::{Times, base};
pub use run::{Brief, Event, Options, Reporter, Stopped, Summary, run};
pub(crate) use unit::{Finished, judge, push};
pub use unit::{How, Operation};

/// A unit that can be reached.
#[derive(Clone, Debug)]
pub struct Planned<'m> {
    /// The unit.
    pub unit: &'m Unit,
    /// Its router's key.
    pub key: PublicKey,
    /// Its router's address, as the person gave it.
    pub udp: UdpAddress,
    /// The same, looked up.
    pub address: SocketAddr,
}

/// Whether a text matches a pattern in which `*` stands for any characters and `?` for one.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|&c| c == '*')
}

/// The units that selectors name, in the order of the manifest. A selector is a name, a pattern of names, or `tag=NAME`;
/// with `!` in front it takes units away.
///
/// # Errors
/// A selector that matches no unit.
pub fn select<'m>(manifest: &'m Manifest, selectors: &[String]) -> Result<Vec<&'m Unit>, String> {
    let is = |selector: &str, unit: &Unit| match selector.strip_prefix("tag=") {
        Some(tag) => unit.tags.iter().any(|known| matches(tag, known)),
        None => matches(selector, &unit.name),
    };
    for selector in selectors {
        let plain = selector.strip_prefix('!').unwrap_or(selector);
        if !manifest.units.iter().any(|unit| is(plain, unit)) {
            return Err(format!("no unit of {} is `{plain}`", manifest.path.display()));
        }
    }
    let (out, of): (Vec<&String>, Vec<&String>) =
        selectors.iter().partition(|selector| selector.starts_with('!'));
    let selected = manifest.units.iter().filter(|unit| {
        (of.is_empty() || of.iter().any(|selector| is(selector, unit)))
            && !out.iter().any(|selector| is(selector.trim_start_matches('!'), unit))
    });
    Ok(selected.collect())
}

/// The key of a unit's router and its address, from the manifest or from the operator's list of routers.
///
/// # Errors
/// What is missing.
pub fn locate(unit: &Unit, routers: &Routers) -> Result<(PublicKey, UdpAddress), Mistake> {
    locate_in(unit, &Known::new(routers))
}

/// The operator's list of routers, by name and by key.
struct Known<'r> {
    by_name: HashMap<&'r str, &'r Router>,
    by_key: HashMap<PublicKey, &'r Router>,
}

impl<'r> Known<'r> {
    fn new(routers: &'r Routers) -> Self {
        Self {
            by_name: routers.iter().map(|router| (router.name.as_str(), router)).collect(),
            by_key: routers.iter().map(|router| (router.key, router)).collect(),
        }
    }
}

fn locate_in(unit: &Unit, known: &Known<'_>) -> Result<(PublicKey, UdpAddress), Mistake> {
    let named = known.by_name.get(unit.name.as_str());
    let Some(key) = unit.key.or_else(|| named.map(|router| router.key)) else {
        let name = &unit.name;
        let message = format!("{name} has no key, and no router of that name is in your list");
        let help = "`postwire line` and `postwire claim` put a router into your list; or `key = \"...\"` in the unit, \
                    which `postwired identity` on the router prints";
        return Err(Mistake::at(&unit.at, message).help(help));
    };
    let place = known.by_key.get(&key).and_then(|router| router.place());
    let udp = unit.udp.clone().or_else(|| match place? {
        Place::Udp(host) => units::udp(&host).ok(),
        Place::Serial(_) => None,
    });
    match udp {
        Some(udp) => Ok((key, udp)),
        None => Err(Mistake::at(&unit.at, format!("no address of {} is known", unit.name))
            .help("`udp = \"HOST\"` in the unit; a fleet is reached over UDP")),
    }
}

/// Finds key and address of each unit, in the manifest or in the operator's list of routers, and looks up all host
/// names in parallel.
///
/// # Errors
/// All mistakes that were found.
pub fn plan<'m>(
    units: &[&'m Unit],
    routers: &Routers,
    lookup: &Lookup,
    tell: &mut dyn FnMut(&str),
) -> Result<Vec<Planned<'m>>, Vec<Mistake>> {
    let known = Known::new(routers);
    let (mut mistakes, mut found) = (Vec::new(), Vec::new());
    for unit in units {
        match locate_in(unit, &known) {
            Ok((key, udp)) => found.push((*unit, key, udp)),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    let mut names = BTreeMap::new();
    for (_, _, udp) in &found {
        if udp.host.parse::<std::net::IpAddr>().is_err() {
            names.entry(udp.host.clone()).or_insert(udp.port);
        }
    }
    let addresses = match names.len() {
        0 => BTreeMap::new(),
        count => {
            tell(&format!("looking up {count} router{}", if count == 1 { "" } else { "s" }));
            look_up_all(names, &Arc::clone(lookup), LOOKUP)
        }
    };
    let (mut planned, mut taken) = (Vec::with_capacity(found.len()), HashMap::new());
    let mut keys: HashMap<PublicKey, &str> = HashMap::new();
    for (unit, key, udp) in found {
        let address = match udp.host.parse() {
            Ok(ip) => Ok(SocketAddr::new(ip, udp.port)),
            Err(_) => match addresses.get(&udp.host) {
                Some(Ok(address)) => Ok(SocketAddr::new(address.ip(), udp.port)),
                Some(Err(why)) => Err(why.clone()),
                None => Err(format!("no name server answers within {} s", LOOKUP.as_secs())),
            },
        };
        let address = match address {
            Ok(address) => address,
            Err(why) => {
                let message = format!("{}: {} does not resolve here: {why}", unit.name, udp.host);
                mistakes.push(Mistake::at(&unit.at, message));
                continue;
            }
        };
        if let Some(other) = taken.insert(address, unit.name.as_str()) {
            let message = format!("{} and {other} are both at {address}", unit.name);
            mistakes.push(Mistake::at(&unit.at, message));
        }
        if let Some(other) = keys.insert(key, unit.name.as_str()) {
            let message =
                format!("{} and {other} are both the router with the key {key}", unit.name);
            mistakes.push(Mistake::at(&unit.at, message));
        }
        planned.push(Planned { unit, key, udp, address });
    }
    if mistakes.is_empty() { Ok(planned) } else { Err(mistakes) }
}

/// The units that are still to be done after the runs of these records: all but those whose last record of the same
/// operation says that the same image is on the same router.
#[must_use]
pub fn remaining<'m>(
    planned: Vec<Planned<'m>>,
    operation: Operation,
    records: &[Record],
) -> Vec<Planned<'m>> {
    let same: Vec<Record> =
        records.iter().filter(|record| record.operation == operation.name()).cloned().collect();
    let last = records::last(&same);
    planned
        .into_iter()
        .filter(|planned| {
            let Some(record) = last.get(planned.unit.name.as_str()) else { return true };
            let image = operation.has_image().then(|| hex(&planned.unit.digest));
            !(record.outcome.is_done()
                && record.image == image
                && record.interface == *planned.unit.interface
                && record.router_key.as_deref() == Some(&planned.key.to_string()))
        })
        .collect()
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text) in [
            ("shed", "shed"),
            ("*", ""),
            ("s*d", "shed"),
            ("s*", "s"),
            ("*-?", "a-b-c"),
            ("?", "\u{e9}"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("shed", "sheds"), ("?", ""), ("s*d", "sheds"), ("", "a"), ("a?", "a")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
