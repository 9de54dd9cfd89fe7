//! The image of each unit: its file with its variables, the host names in it, and what no two units may have in their
//! configurations.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use proto_core::protocol::digest;

use super::check::Once;
use super::read::value;
use super::template::render;
use super::{At, LOOKUP, Manifest, Mistake, Unit};
use crate::conf::{self, Found, Lookup, Place, Problem, Source};
use crate::image::Image;

/// The text of a unit's file.
fn source(unit: &Unit) -> Result<Source, Vec<Mistake>> {
    let file = &unit.file;
    let (source, problem) = Source::new(&file.shown, &file.bytes);
    if let Some(problem) = problem {
        return Err(vec![Mistake::at(&whole(unit), problem.message)]);
    }
    if !file.is_template {
        return Ok(source);
    }
    let text = render(&file.shown, &source.text, |name| value(&unit.vars, name))?;
    Ok(Source::new(&file.shown, text.as_bytes()).0)
}

/// The file and the image of a unit that was checked.
pub(super) fn image(
    unit: &Unit,
    names: &BTreeMap<String, Found>,
) -> Result<(Source, Image), String> {
    let source = source(unit).map_err(|mistakes| {
        mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    })?;
    let (mut config, _) = conf::parse(&source);
    conf::apply(&mut config, names, LOOKUP);
    let image = Image::new(&unit.interface, config).map_err(|error| error.to_string())?;
    Ok((source, image))
}

/// Mistakes of files, each once, with the units that have it.
#[derive(Default)]
struct Shared(BTreeMap<Told, (Option<String>, Vec<String>)>);

/// File, line, column and message.
type Told = (String, usize, usize, String);

impl Shared {
    fn add(&mut self, mistake: Mistake, unit: &str) {
        let place = (mistake.line.unwrap_or(0), mistake.column.unwrap_or(0));
        let key = (mistake.file, place.0, place.1, mistake.message);
        self.0.entry(key).or_insert((mistake.help, Vec::new())).1.push(unit.into());
    }

    fn mistakes(self) -> impl Iterator<Item = Mistake> {
        self.0.into_iter().map(|((file, line, column, message), (help, units))| {
            let first = units.first().map_or("", String::as_str);
            let units = match units.len() {
                1 => format!("unit {first}"),
                count => format!("{count} units, the first is {first}"),
            };
            let at = At { file: file.into(), line, column };
            Mistake { help, ..Mistake::at(&at, format!("{message} ({units})")) }
        })
    }
}

/// The look-up of the host names in all files.
pub(super) struct Names<'n> {
    /// The resolver; `None` leaves host names to the routers.
    pub(super) lookup: Option<&'n Lookup>,
    /// Shows what the look-up waits for.
    pub(super) tell: &'n mut dyn FnMut(&str),
    /// Whether the units have no mistake that makes a look-up useless.
    pub(super) is_ready: &'n mut dyn FnMut(&[Unit]) -> bool,
}

/// Makes the image of each unit once, looks up all host names together, and keeps what is compared later.
pub(super) fn check(
    units: &mut [Unit],
    manifest: &mut Manifest,
    Names { lookup, tell, is_ready }: Names<'_>,
    mistakes: &mut Vec<Mistake>,
) {
    let (mut shared, mut once) = (Shared::default(), Once::default());
    let (mut named, mut names) = (vec![false; units.len()], BTreeMap::new());
    let (mut warnings, mut warned) = (Vec::new(), HashSet::new());
    for (unit, named) in units.iter_mut().zip(&mut named) {
        let source = match source(unit) {
            Ok(source) => source,
            Err(wrong) => {
                wrong.into_iter().for_each(|mistake| shared.add(mistake, &unit.name));
                continue;
            }
        };
        let (config, problems) = conf::parse(&source);
        for problem in &problems {
            if problem.is_error() {
                shared.add(mistake(unit, &source, problem), &unit.name);
            } else {
                let said = problem.render(&source);
                if warned.insert(said.clone()) {
                    warnings.push(said);
                }
            }
        }
        if problems.iter().any(Problem::is_error) {
            continue;
        }
        let own_names = conf::names(&config);
        *named = !own_names.is_empty();
        names.extend(own_names);
        match Image::new(&unit.interface, config) {
            Ok(image) => {
                unit.digest = digest(&image.bytes);
                unit.public_key = image.public_key();
                mistakes.extend(taken(&mut once, unit, &image));
            }
            Err(why) => {
                let at = at(&source, why.place.as_ref());
                shared.add(Mistake::at(&at, why.to_string()), &unit.name);
            }
        }
    }
    manifest.warnings = warnings.iter().map(|text| text.trim_end().into()).collect();
    mistakes.extend(shared.mistakes());
    let is_ready = mistakes.is_empty() && is_ready(units);
    let Some(lookup) = lookup.filter(|_| is_ready && !names.is_empty()) else { return };
    let count = names.len();
    tell(&format!("looking up {count} host name{}", if count == 1 { "" } else { "s" }));
    manifest.names = conf::look_up_all(names, lookup, LOOKUP, conf::least);
    // Addresses are in the image.
    for (unit, _) in units.iter_mut().zip(named).filter(|(_, named)| *named) {
        match image(unit, &manifest.names) {
            Ok((_, image)) => unit.digest = digest(&image.bytes),
            Err(why) => mistakes.push(Mistake::at(&whole(unit), format!("{}: {why}", unit.name))),
        }
    }
}

/// The file of a unit, as the place of a mistake.
fn whole(unit: &Unit) -> At {
    At { file: Arc::clone(&unit.file.shown), line: 0, column: 0 }
}

/// What the image of a unit has, and that of another unit has already.
fn taken(once: &mut Once, unit: &Unit, image: &Image) -> Vec<Mistake> {
    let key = image.public_key().map(|key| ("WireGuard key", key.to_string()));
    let addresses = image.addresses().filter_map(|net| tunnel_address(&net.to_string()));
    // A unit may have an address twice, such as with two lengths.
    let addresses: BTreeSet<IpAddr> = addresses.collect();
    let addresses = addresses.into_iter().map(|address| ("tunnel address", address.to_string()));
    let all = key.into_iter().chain(addresses);
    all.filter_map(|(kind, value)| once.take(kind, &value, &unit.name, &unit.at)).collect()
}

/// An address that only one unit may have. Link-local ones are of a link each.
fn tunnel_address(net: &str) -> Option<IpAddr> {
    let address: IpAddr = net.split('/').next()?.parse().ok()?;
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => None,
        address => Some(address.to_canonical()),
    }
}

fn mistake(unit: &Unit, source: &Source, problem: &Problem) -> Mistake {
    let at = at(source, problem.place.as_ref());
    let line = source.text.lines().nth(at.line.saturating_sub(1)).unwrap_or_default();
    let help = match !unit.file.is_template && line.contains("{{") {
        true => Some("a file with variables is a `template`, and not a `config`".into()),
        false => problem.help.clone(),
    };
    Mistake { help, ..Mistake::at(&at, problem.message.clone()) }
}

/// A place in a unit's file, or all of it.
fn at(source: &Source, place: Option<&Place>) -> At {
    At {
        file: source.name.as_str().into(),
        line: place.map_or(0, |place| place.line),
        column: place.map_or(0, |place| place.span.start + 1),
    }
}
