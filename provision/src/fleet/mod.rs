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
use std::path::Path;
use std::sync::Arc;

use proto_core::key::PublicKey;

use crate::conf::{Lookup, first, look_up_all};
use crate::home::{Place, Router, Routers};
use crate::manifest::{LOOKUP, Mistake, Unit};
use crate::records::{self, Record, Told};
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
/// A selector that matches no unit, or selectors that leave none.
pub fn select<'m>(
    units: &'m [Unit],
    manifest: &Path,
    selectors: &[String],
) -> Result<Vec<&'m Unit>, String> {
    let is = |selector: &str, unit: &Unit| match selector.strip_prefix("tag=") {
        Some(tag) => unit.tags.iter().any(|known| matches(tag, known)),
        None => matches(selector, &unit.name),
    };
    for selector in selectors {
        let plain = selector.strip_prefix('!').unwrap_or(selector);
        if !units.iter().any(|unit| is(plain, unit)) {
            let shown = manifest.display();
            return Err(match plain.strip_prefix("tag=") {
                Some(tag) => format!("no unit of {shown} has the tag `{}`", tag.escape_debug()),
                None => format!("no unit of {shown} is called `{}`", plain.escape_debug()),
            });
        }
    }
    let (out, of): (Vec<&String>, Vec<&String>) =
        selectors.iter().partition(|selector| selector.starts_with('!'));
    let selected = units.iter().filter(|unit| {
        (of.is_empty() || of.iter().any(|selector| is(selector, unit)))
            && !out.iter().any(|selector| is(selector.trim_start_matches('!'), unit))
    });
    let selected: Vec<&Unit> = selected.collect();
    if selected.is_empty() && !selectors.is_empty() {
        return Err("the selectors with `!` leave no unit".into());
    }
    Ok(selected)
}

/// The key of a unit's router, and its address.
pub type Located = (PublicKey, UdpAddress);

/// The key of each unit's router and its address, from the manifest or from the operator's list of routers, or what is
/// missing.
pub fn locate<'m>(
    units: &[&'m Unit],
    routers: &Routers,
) -> Vec<(&'m Unit, Result<Located, Mistake>)> {
    let known = Known::new(routers);
    units.iter().map(|unit| (*unit, locate_in(unit, &known))).collect()
}

/// The units that have the operator's own key in place of their router's.
#[must_use]
pub fn own_keys(units: &[&Unit], own: &PublicKey) -> Vec<Mistake> {
    let has = |unit: &&&Unit| unit.key.as_ref() == Some(own);
    let mistake = |unit: &&Unit| {
        Mistake::at(&unit.at, format!("the key of {} is your own, and no router has it", unit.name))
            .help("`postwired identity` on the router prints its key")
    };
    units.iter().filter(has).map(mistake).collect()
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

fn locate_in(unit: &Unit, known: &Known<'_>) -> Result<Located, Mistake> {
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

/// The units that are the router of another unit, by its key or at its address. One may have them from the manifest, and
/// the other from the operator's list.
#[must_use]
pub fn twice(found: &[(&Unit, PublicKey, UdpAddress)]) -> Vec<Mistake> {
    let (mut keys, mut places) = (HashMap::new(), HashMap::new());
    let mut mistakes = Vec::new();
    for (unit, key, udp) in found {
        let name = unit.name.as_str();
        if let Some(other) = keys.insert(key, name) {
            let message = format!("{name} and {other} are both the router with the key {key}");
            mistakes.push(Mistake::at(&unit.at, message));
        }
        if let Some(other) = places.insert(udp.canonical(), name) {
            mistakes.push(Mistake::at(&unit.at, format!("{name} and {other} are both at {udp}")));
        }
    }
    mistakes
}

/// The key of each unit's router and its address, as [`locate`] finds them. `own` is the operator's key.
///
/// # Errors
/// All mistakes that were found.
pub fn located<'m>(
    units: &[&'m Unit],
    routers: &Routers,
    own: &PublicKey,
) -> Result<Vec<(&'m Unit, PublicKey, UdpAddress)>, Vec<Mistake>> {
    let (mut mistakes, mut found) = (Vec::new(), Vec::new());
    for (unit, located) in locate(units, routers) {
        match located {
            Ok((key, udp)) => found.push((unit, key, udp)),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    mistakes.extend(twice(&found));
    mistakes.extend(own_keys(units, own));
    if mistakes.is_empty() { Ok(found) } else { Err(mistakes) }
}

/// Finds key and address of each unit, in the manifest or in the operator's list of routers, and looks up all host
/// names in parallel.
///
/// # Errors
/// All mistakes that were found.
pub fn plan<'m>(
    units: &[&'m Unit],
    routers: &Routers,
    own: &PublicKey,
    lookup: &Lookup,
    tell: &mut dyn FnMut(&str),
) -> Result<Vec<Planned<'m>>, Vec<Mistake>> {
    let (mut mistakes, found) = (Vec::new(), located(units, routers, own)?);
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
            look_up_all(names, &Arc::clone(lookup), LOOKUP, first)
        }
    };
    let (mut planned, mut taken) = (Vec::with_capacity(found.len()), HashMap::new());
    for (unit, key, udp) in found {
        let address = match udp.host.parse() {
            Ok(ip) => Ok(SocketAddr::new(ip, udp.port)),
            Err(_) => match addresses.get(&udp.host) {
                // With the interface of a link-local address.
                Some(Ok(address)) => {
                    let mut address = *address;
                    address.set_port(udp.port);
                    Ok(address)
                }
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
        let ip = address.ip().to_canonical();
        let place = if ip.is_ipv4() { SocketAddr::new(ip, udp.port) } else { address };
        if let Some((other, text)) = taken.insert(place, (unit.name.as_str(), udp.canonical()))
            && text != udp.canonical()
        {
            let message = format!("{} and {other} are both at {address}", unit.name);
            mistakes.push(Mistake::at(&unit.at, message));
        }
        planned.push(Planned { unit, key, udp, address });
    }
    if mistakes.is_empty() { Ok(planned) } else { Err(mistakes) }
}

/// The units that are still to be done after the runs of these records: all but those of which they say that the same
/// image is on the same router.
#[must_use]
pub fn remaining<'m>(
    planned: Vec<Planned<'m>>,
    operation: Operation,
    records: &[Record],
) -> Vec<Planned<'m>> {
    let told = records::told(records);
    planned
        .into_iter()
        .filter(|planned| !is_settled(&told, planned.unit, Some(planned.key), operation))
        .collect()
}

/// Whether records say that an operation has nothing left to do on a unit, whose router has this key.
pub(crate) fn is_settled(
    told: &HashMap<&str, Told<'_>>,
    unit: &Unit,
    router: Option<PublicKey>,
    operation: Operation,
) -> bool {
    let told = told.get(unit.name.as_str());
    let Some(record) = told.and_then(|told| told.settled(operation.name())) else { return false };
    let image = operation.has_image().then(|| hex(&unit.digest));
    router.is_some_and(|key| record.router_key == Some(key.to_string()))
        && record.image == image
        && record.interface == *unit.interface
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;
    use crate::manifest::Manifest;

    /// The plan of two units at these addresses, with a name server that knows every name.
    fn planned(hosts: [&str; 2]) -> Result<Vec<SocketAddr>, Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet.toml");
        let keys = [
            "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
            "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=",
        ];
        let mut text = String::from("version = 1\n[defaults]\nconfig = \"wg0.conf\"\n");
        for (nth, (host, key)) in hosts.iter().zip(keys).enumerate() {
            text += &format!("[[unit]]\nname = \"u{nth}\"\nudp = \"{host}\"\nkey = \"{key}\"\n");
        }
        std::fs::write(&path, text).unwrap();
        std::fs::write(dir.path().join("wg0.conf"), "[Interface]\nPrivateKey = generate\n")
            .unwrap();
        let manifest = Manifest::load(&path, None, &mut |_| {}).unwrap();
        let units: Vec<&Unit> = manifest.units.iter().collect();
        let lookup: Lookup = Arc::new(|name: &str, port| {
            Ok(vec![match name.split_once('%') {
                Some((ip, _)) => SocketAddrV6::new(ip.parse().unwrap(), port, 0, 7).into(),
                None => SocketAddr::new([10, 0, 0, 1].into(), port),
            }])
        });
        let own = PublicKey([9; 32]);
        let planned = plan(&units, &Routers::default(), &own, &lookup, &mut |_| {});
        planned
            .map(|units| units.iter().map(|planned| planned.address).collect())
            .map_err(|mistakes| mistakes.into_iter().map(|mistake| mistake.message).collect())
    }

    #[test]
    fn a_link_local_address_keeps_its_interface() {
        let addresses = planned(["fe80::1%eth0", "[fe80::2%eth0]:99"]).unwrap();
        let scoped: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(scoped, ["[fe80::1%7]:5182", "[fe80::2%7]:99"]);
    }

    #[test]
    fn two_units_at_one_address_are_found_behind_names_too() {
        for other in ["10.0.0.1", "::ffff:10.0.0.1", "other.lan"] {
            let mistakes = planned(["shed.lan", other]).unwrap_err();
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].contains("are both at"), "{mistakes:?}");
        }
        planned(["shed.lan", "10.0.0.1:99"]).unwrap();
    }

    /// A manifest of one unit with this name, its path, and the folder of both its files.
    fn of_one_unit(name: &str) -> (tempfile::TempDir, std::path::PathBuf, Manifest) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet.toml");
        let unit = format!("[[unit]]\nname = \"{name}\"\nconfig = \"wg0.conf\"\n");
        std::fs::write(&path, format!("version = 1\n{unit}")).unwrap();
        std::fs::write(dir.path().join("wg0.conf"), "[Interface]\nPrivateKey = generate\n")
            .unwrap();
        let manifest = Manifest::load(&path, None, &mut |_| {}).unwrap();
        (dir, path, manifest)
    }

    #[test]
    fn a_unit_is_passed_over_only_if_its_image_is_on_its_router() {
        use crate::records::{Outcome, tests::record};
        let (_dir, _, manifest) = of_one_unit("u");
        let (unit, key) = (&manifest.units[0], PublicKey([7; 32]));
        let left = |operation, records: &[Record]| {
            let address = SocketAddr::new([10, 0, 0, 1].into(), 1);
            let udp = units::udp("10.0.0.1").unwrap();
            remaining(vec![Planned { unit, key, udp, address }], operation, records).len()
        };
        let is = |operation: Operation, outcome| {
            let image = operation.has_image().then(|| hex(&unit.digest));
            let operation = operation.name().into();
            Record { operation, image, ..record("u", outcome) }.of_router(key)
        };
        let pushed = is(Operation::Push, Outcome::Applied);
        let other = Record { image: Some("00".into()), ..pushed.clone() };
        let claimed = Record { operation: "claim".into(), ..other.clone() };
        let moved = pushed.clone().of_router(PublicKey([8; 32]));
        let elsewhere = Record { interface: "wg1".into(), ..pushed.clone() };
        for wrong in [&other, &claimed, &moved, &elsewhere] {
            assert_eq!(left(Operation::Push, &[pushed.clone(), wrong.clone()]), 1, "{wrong:?}");
            assert_eq!(left(Operation::Push, &[wrong.clone(), pushed.clone()]), 0, "{wrong:?}");
        }
        let (repair, diff) = (Operation::Repair, Operation::Diff);
        for (operation, records, expected) in [
            (Operation::Push, vec![], 1),
            (Operation::Push, vec![pushed.clone(), is(repair, Outcome::Reverted)], 1),
            (Operation::Push, vec![pushed.clone(), is(repair, Outcome::Applied)], 0),
            (Operation::Push, vec![pushed.clone(), is(diff, Outcome::Differs)], 1),
            // It was asked, and is to be told again.
            (diff, vec![is(diff, Outcome::Differs)], 1),
            (diff, vec![is(diff, Outcome::Same)], 0),
            (diff, vec![is(diff, Outcome::Same), other.clone()], 1),
        ] {
            assert_eq!(left(operation, &records), expected, "{operation:?} {records:?}");
        }
    }

    #[test]
    fn selectors_that_leave_no_unit_are_a_mistake() {
        let (_dir, path, manifest) = of_one_unit("a");
        let select = |selectors: &[&str]| {
            let selectors: Vec<String> = selectors.iter().map(ToString::to_string).collect();
            select(&manifest.units, &path, &selectors).map(|units| units.len())
        };
        assert_eq!((select(&[]), select(&["a"])), (Ok(1), Ok(1)));
        for selectors in [&["a", "!a"][..], &["!*"]] {
            assert_eq!(select(selectors), Err("the selectors with `!` leave no unit".into()));
        }
    }

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
