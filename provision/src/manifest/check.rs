//! What has to hold in a manifest: values that can be what they are, names, keys and addresses that are there once, and
//! for every unit a file. What is in these files is the subject of `images`.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use proto_core::key::PublicKey;
use proto_core::protocol::message::Name;

use super::read::{Entry, Read, beside, is_key, text, value};
use super::template::{names, render, unfit};
use super::{At, File, Manifest, Mistake, Text, Unit, images};
use crate::{name, units};

/// The most characters of a unit's name.
const MAX_NAME: usize = 64;

/// Checks everything, as far as it was understood.
pub(super) fn check(
    path: &Path,
    read: Read,
    names: images::Names<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Manifest {
    let Read { defaults, vars, units: entries, jobs, columns, broken } = read;
    if broken {
        return Manifest::empty(path);
    }
    let confirm_within = defaults
        .confirm_within
        .as_ref()
        .and_then(|text| parsed(text, "confirm_within", units::confirm_within, mistakes));
    let mut checker = Checker {
        path,
        files: HashMap::new(),
        once: Once::default(),
        used: HashSet::new(),
        mistakes,
    };
    for (name, value) in &vars {
        checker.mistakes.extend(unfit(name, value));
    }
    let mut units: Vec<Unit> = Vec::with_capacity(entries.len());
    for (nth, entry) in entries.into_iter().enumerate() {
        units.extend(checker.unit(entry, &defaults, &vars, nth + 1));
    }
    let unused = columns.into_iter().filter(|(name, _)| !checker.used.contains(name));
    let unused: Vec<(String, At)> = unused.collect();
    let mistakes = checker.mistakes;
    let mut manifest = Manifest { jobs, confirm_within, ..Manifest::empty(path) };
    images::check(&mut units, &mut manifest, names, mistakes);
    manifest.units = units;
    manifest.warnings.extend(unused.into_iter().filter(|(name, _)| !is_key(name)).map(
        |(name, at)| {
            let At { file, line, column } = at;
            format!("{file}:{line}:{column}: warning: no file of a unit uses the column `{name}`")
        },
    ));
    // A mistake of the defaults is found again with each unit.
    let mut told = HashSet::new();
    mistakes.retain(|mistake| told.insert(mistake.clone()));
    manifest
}

/// Parses the value of a key.
fn parsed<T>(
    text: &Text,
    key: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
    mistakes: &mut Vec<Mistake>,
) -> Option<T> {
    match parse(&text.value) {
        Ok(value) => Some(value),
        Err(why) => {
            mistakes.push(Mistake::at(&text.at, format!("{key}: {why}")));
            None
        }
    }
}

/// Values that only one unit may have.
#[derive(Default)]
pub(super) struct Once(HashMap<(&'static str, String), (String, At)>);

impl Once {
    /// Takes a value of a unit. A mistake, if another unit has it.
    pub(super) fn take(
        &mut self,
        kind: &'static str,
        value: &str,
        unit: &str,
        at: &At,
    ) -> Option<Mistake> {
        self.take_as(kind, value, value, unit, at)
    }

    /// As [`Once::take`], for a value that has several texts: `canonical` is the same for all of them.
    fn take_as(
        &mut self,
        kind: &'static str,
        canonical: &str,
        value: &str,
        unit: &str,
        at: &At,
    ) -> Option<Mistake> {
        let key = (kind, canonical.to_owned());
        if let Some((other, first)) = self.0.get(&key) {
            let place = match first.file == at.file {
                true => format!("line {}", first.line),
                false => format!("{}:{}", first.file, first.line),
            };
            let value = value.escape_debug();
            let message = match kind {
                "name" => format!("two units are called {value}, the first in {place}"),
                _ => format!("the {kind} {value} is that of {other} already, in {place}"),
            };
            return Some(Mistake::at(at, message));
        }
        self.0.insert(key, (unit.to_owned(), at.clone()));
        None
    }
}

struct Checker<'p, 'm> {
    path: &'p Path,
    /// The files that units name, each read once.
    files: HashMap<(String, bool), Option<Arc<File>>>,
    once: Once,
    /// The variables that paths and templates use.
    used: HashSet<String>,
    mistakes: &'m mut Vec<Mistake>,
}

impl Checker<'_, '_> {
    fn unit(
        &mut self,
        entry: Entry,
        defaults: &Entry,
        common: &[(String, Text)],
        row: usize,
    ) -> Option<Unit> {
        let whole = || At { file: self.path.display().to_string().into(), line: 0, column: 0 };
        let at = entry.at.clone().unwrap_or_else(whole);
        let Some(name) = &entry.name else {
            self.mistakes.push(Mistake::at(&at, "this unit has no name"));
            return None;
        };
        let called = name.value.clone();
        if let Err(why) = check_name(&called) {
            self.mistakes.push(Mistake::at(&name.at, why));
            return None;
        }
        self.mistakes.extend(self.once.take("name", &called, &called, &name.at));
        let key = entry.key.as_ref().and_then(|text| {
            let key = |text: &str| text.parse::<PublicKey>().map_err(|error| error.to_string());
            parsed(
                text,
                "key",
                |text| key(text).map_err(|why| format!("this is {why}")),
                self.mistakes,
            )
        });
        if let (Some(key), Some(text)) = (key, &entry.key) {
            self.mistakes.extend(self.once.take("key", &key.to_string(), &called, &text.at));
        }
        let udp =
            entry.udp.as_ref().and_then(|text| parsed(text, "udp", units::udp, self.mistakes));
        if let (Some(udp), Some(text)) = (&udp, &entry.udp) {
            let (canonical, shown) = (udp.canonical(), udp.to_string());
            let taken = self.once.take_as("address", &canonical, &shown, &called, &text.at);
            self.mistakes.extend(taken);
        }
        let serial_number = entry.serial_number.as_ref().map(|text| {
            let (number, canonical) = (&text.value, units::folded(&text.value));
            let taken = self.once.take_as("serial number", &canonical, number, &called, &text.at);
            self.mistakes.extend(taken);
            number.clone()
        });
        let mac =
            entry.mac.as_ref().and_then(|text| parsed(text, "mac", units::mac, self.mistakes));
        if let (Some(mac), Some(text)) = (&mac, &entry.mac) {
            let mac = units::mac_text(mac);
            self.mistakes.extend(self.once.take("MAC address", &mac, &called, &text.at));
        }
        let mut tags = Vec::new();
        for tag in &entry.tags {
            match check_name(&tag.value) {
                Ok(()) => tags.push(tag.value.clone()),
                Err(_) => self.mistakes.push(Mistake::at(
                    &tag.at,
                    format!("`{}` cannot be a tag: it is one word", tag.value.escape_debug()),
                )),
            }
        }
        let mut vars = entry.vars.clone();
        for (name, value) in &vars {
            self.mistakes.extend(unfit(name, value));
        }
        for (name, value) in common {
            if !vars.iter().any(|(known, _)| known == name) {
                vars.push((name.clone(), value.clone()));
            }
        }
        // What a unit is known by can be used like a variable.
        let known = [
            ("name", &entry.name),
            ("key", &entry.key),
            ("udp", &entry.udp),
            ("serial_number", &entry.serial_number),
            ("mac", &entry.mac),
        ];
        for (name, value) in known {
            if let Some(value) = value
                && !vars.iter().any(|(known, _)| known == name)
            {
                vars.push((name.into(), value.clone()));
            }
        }
        let file = self.file(&entry, defaults, &vars, &at)?;
        let interface = self.interface(&entry, defaults, &file, &at)?;
        let unit = Unit {
            name: called,
            row,
            key,
            udp,
            serial_number,
            mac,
            tags,
            interface,
            digest: [0; 32],
            public_key: None,
            at,
            file,
            vars,
        };
        Some(unit)
    }

    fn interface(&mut self, entry: &Entry, defaults: &Entry, file: &File, at: &At) -> Option<Name> {
        let given = entry.interface.as_ref().or(defaults.interface.as_ref());
        if let Some(text) = given {
            let interface = |text: &str| name::interface(text).map_err(|error| error.to_string());
            return parsed(text, "interface", interface, self.mistakes);
        }
        match name::of_file(Path::new(&*file.shown)) {
            Ok(name) => Some(name),
            Err(_) => {
                let message = format!("which interface? The name of {} does not say", file.shown);
                let help = "`interface = \"wg0\"` in the unit, or under [defaults]";
                self.mistakes.push(Mistake::at(at, message).help(help));
                None
            }
        }
    }

    /// The file of a unit: its own, or the default.
    fn file(
        &mut self,
        entry: &Entry,
        defaults: &Entry,
        vars: &[(String, Text)],
        at: &At,
    ) -> Option<Arc<File>> {
        let own = |entry: &Entry| match (&entry.template, &entry.config) {
            (Some(_), Some(config)) => {
                Err(Mistake::at(&config.at, "`template` and `config`: a unit has one file"))
            }
            (Some(template), None) => Ok(Some((template.clone(), true))),
            (None, Some(config)) => Ok(Some((config.clone(), false))),
            (None, None) => Ok(None),
        };
        let found = match own(entry) {
            Ok(Some(found)) => Ok(Some(found)),
            Ok(None) => own(defaults),
            Err(mistake) => Err(mistake),
        };
        let (path, is_template) = match found {
            Ok(Some(found)) => found,
            Ok(None) => {
                let help = "`template = \"site.conf\"` in the unit, or under [defaults]";
                self.mistakes.push(Mistake::at(at, "this unit has no file").help(help));
                return None;
            }
            Err(mistake) => {
                self.mistakes.push(mistake);
                return None;
            }
        };
        self.used.extend(names(&path.value));
        let look_up = |name: &str| value(vars, name);
        let rendered = match render(&path.at.file, &path.value, look_up) {
            Ok(rendered) => rendered,
            Err(wrong) => {
                let name = entry.name.as_ref().map_or("", |name| name.value.as_str());
                self.mistakes.extend(wrong.into_iter().map(|mistake| {
                    Mistake::at(&path.at, format!("{} for unit {name}", mistake.message))
                }));
                return None;
            }
        };
        let key = (rendered, is_template);
        if let Some(known) = self.files.get(&key) {
            return known.clone();
        }
        let full = beside(self.path, &key.0);
        let shown: Arc<str> = full.display().to_string().into();
        let file = match text(&full) {
            Ok(bytes) if is_template => {
                self.used.extend(names(&String::from_utf8_lossy(&bytes)));
                Some(Arc::new(File { shown, bytes, is_template }))
            }
            Ok(bytes) => Some(Arc::new(File { shown, bytes, is_template })),
            Err(why) => {
                self.mistakes.push(Mistake::at(&path.at, format!("{shown} {why}")));
                None
            }
        };
        self.files.insert(key, file.clone());
        file
    }
}

/// Whether a character can be seen: no control character, and none that turns the text around it.
fn is_shown(c: char) -> bool {
    // Behind another character, one that combines with it is not escaped.
    matches!(c, '\'' | '"' | '\\') || format!("x{c}").escape_debug().count() == 2
}

fn check_name(name: &str) -> Result<(), String> {
    let one_word = (1..=MAX_NAME).contains(&name.chars().count())
        && !name.starts_with(['-', '!'])
        && !name.chars().any(|c| !is_shown(c) || c.is_whitespace() || matches!(c, '*' | '?' | '='));
    match one_word {
        true => Ok(()),
        false => Err(format!(
            "`{}` cannot be a name: 1 to 64 characters without spaces, `*`, `?` and `=`, not beginning with `-` or `!`",
            name.escape_debug()
        )),
    }
}
