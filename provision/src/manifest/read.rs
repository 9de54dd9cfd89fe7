//! A manifest's text to units: TOML with the place of every value. Nothing is skipped in silence: what is not known is a
//! mistake. The table beside it is in `csv`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::template::is_name;
use super::{At, Mistake, Text, csv};

/// The most bytes of a manifest, or of a file that it names.
pub(super) const MAX_FILE: u64 = 64 << 20;

/// What a manifest says, not checked yet.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) defaults: Entry,
    pub(super) vars: Vec<(String, Text)>,
    pub(super) units: Vec<Entry>,
    pub(super) jobs: Option<usize>,
    /// The columns of the table, and their places.
    pub(super) columns: Vec<(String, At)>,
    /// The manifest is no TOML: there is nothing to check.
    pub(super) broken: bool,
}

/// A unit, or the defaults.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) at: Option<At>,
    pub(super) name: Option<Text>,
    pub(super) key: Option<Text>,
    pub(super) udp: Option<Text>,
    pub(super) serial_number: Option<Text>,
    pub(super) mac: Option<Text>,
    pub(super) interface: Option<Text>,
    pub(super) template: Option<Text>,
    pub(super) config: Option<Text>,
    pub(super) confirm_within: Option<Text>,
    pub(super) tags: Vec<Text>,
    pub(super) vars: Vec<(String, Text)>,
}

impl Entry {
    /// The place of a key that a unit may have.
    pub(super) fn slot(&mut self, key: &str) -> Option<&mut Option<Text>> {
        Some(match key {
            "name" => &mut self.name,
            "key" => &mut self.key,
            "udp" => &mut self.udp,
            "serial_number" => &mut self.serial_number,
            "mac" => &mut self.mac,
            "interface" => &mut self.interface,
            "template" => &mut self.template,
            "config" => &mut self.config,
            _ => return None,
        })
    }
}

const TOP: &str = "version, csv, defaults, vars, unit";
const DEFAULTS: &str = "template, config, interface, confirm_within, jobs";
const UNIT: &str = "name, key, udp, serial_number, mac, tags, interface, template, config, vars";

/// The key of another place in a manifest that a name is, or almost is, and where it stands: a unit's value of it would be
/// without effect.
pub(super) fn elsewhere(name: &str) -> Option<(&'static str, &'static str)> {
    const PLACES: [(&str, &str); 3] = [
        ("confirm_within", "stands in [defaults]"),
        ("jobs", "stands in [defaults]"),
        ("vars", "is a table of a [[unit]], and a column is a variable"),
    ];
    PLACES.into_iter().find(|(key, _)| folded(key) == folded(name))
}

/// A name without case and punctuation.
fn folded(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect()
}

/// The key of units that a name means which is almost that key: `Serial-Number` for `serial_number`.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    let keys = UNIT.split(", ").filter(|key| *key != "vars");
    keys.filter(|key| *key != name).find(|key| folded(key) == folded(name))
}

/// Whether a name is a key of units.
pub(super) fn is_key(name: &str) -> bool {
    UNIT.split(", ").any(|key| key == name)
}

/// The value of a variable.
pub(super) fn value<'v>(vars: &'v [(String, Text)], name: &str) -> Option<&'v str> {
    vars.iter().find(|(known, _)| known == name).map(|(_, text)| text.value.as_str())
}

/// Reads a text file, or says why not.
pub(super) fn text(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    if path.as_os_str().is_empty() {
        return Err("is an empty path".into());
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 == MAX_FILE {
        return Err("is too long".into());
    }
    Ok(bytes)
}

/// A path as a manifest has it: from the folder of the manifest.
pub(super) fn beside(manifest: &Path, path: &str) -> PathBuf {
    if path.is_empty() {
        return PathBuf::new();
    }
    manifest.parent().unwrap_or(Path::new("")).join(path)
}

/// Reads a manifest.
pub(super) fn read(path: &Path, mistakes: &mut Vec<Mistake>) -> Read {
    let file: Arc<str> = path.display().to_string().into();
    let whole = At { file: Arc::clone(&file), line: 0, column: 0 };
    let bytes = match text(path) {
        Ok(bytes) => bytes,
        Err(why) => {
            mistakes.push(Mistake::at(&whole, why));
            return Read::default();
        }
    };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        mistakes.push(Mistake::at(&whole, "is not UTF-8 text").help("save the file as UTF-8"));
        return Read::default();
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader::new(file, text, mistakes);
    for error in &errors {
        let at = reader.at(error.span().map_or(0, |span| span.start));
        reader.mistakes.push(Mistake::at(&at, error.message().replace('\n', "; ")));
    }
    // What was recovered would be wrong again, for want of what was not.
    if !errors.is_empty() {
        return Read { broken: true, ..Read::default() };
    }
    let (mut read, table) = reader.top(table.get_ref());
    if let Some(table) = table {
        csv::read(path, &table, &mut read, mistakes);
    }
    if read.units.is_empty() && mistakes.is_empty() {
        mistakes.push(
            Mistake::at(&whole, "has no unit")
                .help("a unit is a [[unit]], or a line of the file that `csv` names"),
        );
    }
    read
}

struct Reader<'t, 'm> {
    file: Arc<str>,
    text: &'t str,
    starts: Vec<usize>,
    mistakes: &'m mut Vec<Mistake>,
}

type Value<'t> = Spanned<DeValue<'t>>;

impl<'t, 'm> Reader<'t, 'm> {
    fn new(file: Arc<str>, text: &'t str, mistakes: &'m mut Vec<Mistake>) -> Self {
        let ends = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        let starts = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Self { file, text, starts, mistakes }
    }

    fn at(&self, offset: usize) -> At {
        let line = self.starts.partition_point(|&start| start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or_default();
        At { file: Arc::clone(&self.file), line, column: before.chars().count() + 1 }
    }

    fn wrong(&mut self, offset: usize, message: impl Into<String>) {
        let mistake = Mistake::at(&self.at(offset), message);
        self.mistakes.push(mistake);
    }

    fn unknown(&mut self, key: &Spanned<std::borrow::Cow<'_, str>>, known: &str) {
        let mistake = Mistake::at(
            &self.at(key.span().start),
            format!("unknown key `{}`", key.get_ref().escape_debug()),
        )
        .help(format!("known here: {known}"));
        self.mistakes.push(mistake);
    }

    fn text(&mut self, key: &str, value: &Value<'_>) -> Option<Text> {
        let at = self.at(value.span().start);
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            other => {
                let what = other.type_str();
                self.wrong(
                    value.span().start,
                    format!("`{key}` is a text, not a value of type {what}"),
                );
                return None;
            }
        };
        Some(Text { value: text, at })
    }

    fn table<'v>(&mut self, key: &str, value: &'v Value<'t>) -> Option<&'v DeTable<'t>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong(value.span().start, format!("`{key}` is a table"));
        }
        table
    }

    fn top(&mut self, table: &DeTable<'t>) -> (Read, Option<Text>) {
        let (mut read, mut csv, mut version) = (Read::default(), None, false);
        for (key, value) in table.iter() {
            match key.get_ref().as_ref() {
                "version" => {
                    version = true;
                    let number = value.get_ref().as_integer().map(ToString::to_string);
                    if number.as_deref() != Some("1") {
                        self.wrong(value.span().start, "the only version of manifests is 1");
                    }
                }
                "csv" => csv = self.text("csv", value),
                "defaults" => {
                    if let Some(table) = self.table("defaults", value) {
                        self.defaults(table, &mut read);
                    }
                }
                "vars" => read.vars = self.vars(value),
                "unit" => match value.get_ref().as_array() {
                    Some(units) => {
                        for unit in units.iter() {
                            if let Some(table) = self.table("unit", unit) {
                                let at = self.at(unit.span().start);
                                let unit = self.unit(table, at);
                                read.units.push(unit);
                            }
                        }
                    }
                    None => self.wrong(value.span().start, "a unit begins with [[unit]]"),
                },
                _ => self.unknown(key, TOP),
            }
        }
        if !version && self.mistakes.is_empty() {
            let at = At { file: Arc::clone(&self.file), line: 0, column: 0 };
            self.mistakes
                .push(Mistake::at(&at, "has no version").help("the first line is `version = 1`"));
        }
        (read, csv)
    }

    fn defaults(&mut self, table: &DeTable<'t>, read: &mut Read) {
        for (key, value) in table.iter() {
            match key.get_ref().as_ref() {
                "jobs" => {
                    let number = value.get_ref().as_integer().map(ToString::to_string);
                    let number = number.and_then(|jobs| jobs.parse::<u16>().ok());
                    read.jobs = number.filter(|&jobs| jobs > 0).map(usize::from);
                    if read.jobs.is_none() {
                        self.wrong(value.span().start, "`jobs` is a number from 1 to 65535");
                    }
                }
                "confirm_within" => {
                    read.defaults.confirm_within = self.text("confirm_within", value);
                }
                name @ ("interface" | "template" | "config") => {
                    let text = self.text(name, value);
                    if let Some(slot) = read.defaults.slot(name) {
                        *slot = text;
                    }
                }
                _ => self.unknown(key, DEFAULTS),
            }
        }
    }

    fn vars(&mut self, value: &Value<'t>) -> Vec<(String, Text)> {
        let mut vars = Vec::new();
        let Some(table) = self.table("vars", value) else { return vars };
        for (key, value) in table.iter() {
            let name = key.get_ref().to_string();
            if !is_name(&name) {
                self.wrong(
                    key.span().start,
                    format!("`{}` cannot be a variable", name.escape_debug()),
                );
            } else if is_key(&name) {
                // It would hide the key, and for all units if it is one of `[vars]`.
                self.wrong(
                    key.span().start,
                    format!("`{name}` is a key of units, and cannot be a variable"),
                );
            } else if let Some(text) = self.text(&name, value) {
                vars.push((name, text));
            }
        }
        vars
    }

    fn unit(&mut self, table: &DeTable<'t>, at: At) -> Entry {
        let mut unit = Entry { at: Some(at), ..Entry::default() };
        for (key, value) in table.iter() {
            match key.get_ref().as_ref() {
                "vars" => unit.vars = self.vars(value),
                "tags" => match value.get_ref().as_array() {
                    Some(tags) => {
                        for tag in tags.iter() {
                            unit.tags.extend(self.text("tags", tag));
                        }
                    }
                    None => self.wrong(value.span().start, "`tags` is a list of texts"),
                },
                name if unit.slot(name).is_some() => {
                    let text = self.text(name, value);
                    if let Some(slot) = unit.slot(name) {
                        *slot = text;
                    }
                }
                _ => self.unknown(key, UNIT),
            }
        }
        unit
    }
}
