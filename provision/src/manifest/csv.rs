//! The table of units beside a manifest: CSV (RFC 4180) whose first line names keys of units, and variables.

use std::path::Path;
use std::sync::Arc;

use super::read::{Entry, Read, beside, elsewhere, meant, text};
use super::template::is_name;
use super::{At, Mistake, Text};

/// Reads the table of units.
pub(super) fn read(manifest: &Path, csv: &Text, read: &mut Read, mistakes: &mut Vec<Mistake>) {
    let path = beside(manifest, &csv.value);
    let file: Arc<str> = path.display().to_string().into();
    let bytes = match text(&path) {
        Ok(bytes) => bytes,
        Err(why) => {
            mistakes.push(Mistake::at(&csv.at, format!("{file} {why}")));
            return;
        }
    };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let whole = |line, column| At { file: Arc::clone(&file), line, column };
    let Ok(text) = std::str::from_utf8(bytes) else {
        mistakes.push(
            Mistake::at(&whole(0, 0), "is not UTF-8 text")
                .help("save the table as \"CSV UTF-8\", with commas"),
        );
        return;
    };
    let rows = Rows { text, at: 0, line: 1 };
    let mut header: Vec<String> = Vec::new();
    let mut has_unit = false;
    for (line, row) in rows {
        let cells = match row {
            Ok(cells) => cells,
            Err(column) => {
                mistakes.push(
                    Mistake::at(&whole(line, column), "a `\"` that does not end its cell")
                        .help("a cell with a comma or a quote in it is in quotes, and quotes in it are doubled"),
                );
                return;
            }
        };
        if cells.iter().all(|(cell, _)| cell.trim().is_empty()) {
            continue;
        }
        if header.is_empty() {
            header = cells.iter().map(|(cell, _)| cell.trim().to_owned()).collect();
            let columns: Vec<usize> = cells.iter().map(|(_, column)| *column).collect();
            let wrong = wrong_header(&header, |nth| whole(line, columns[nth]));
            let named =
                header.iter().cloned().zip(columns.iter().map(|column| whole(line, *column)));
            read.columns = named.collect();
            // Each row would be wrong for the same reason.
            if !wrong.is_empty() {
                mistakes.extend(wrong);
                return;
            }
            continue;
        }
        if cells.len() != header.len() {
            let message = format!("{} cells, and {} columns", cells.len(), header.len());
            mistakes.push(Mistake::at(&whole(line, 1), message));
            continue;
        }
        let mut unit = Entry { at: Some(whole(line, 1)), ..Entry::default() };
        for (name, (cell, column)) in header.iter().zip(cells) {
            let (value, at) = (cell.trim().to_owned(), whole(line, column));
            if value.is_empty() {
                continue;
            }
            let text = Text { value, at };
            if name == "tags" {
                let tags = text.value.split([' ', ';']).filter(|tag| !tag.is_empty());
                unit.tags =
                    tags.map(|tag| Text { value: tag.into(), at: text.at.clone() }).collect();
            } else if let Some(slot) = unit.slot(name) {
                *slot = Some(text);
            } else {
                unit.vars.push((name.clone(), text));
            }
        }
        read.units.push(unit);
        has_unit = true;
    }
    if !has_unit && mistakes.is_empty() {
        let (message, help) = match header.is_empty() {
            true => (
                "the table is empty",
                "the first line names the columns, and each other line is a unit",
            ),
            false => ("the table has no unit", "each line after the first one is a unit"),
        };
        let help = format!("{help}; without a table, take `csv` out of the manifest");
        mistakes.push(Mistake::at(&whole(0, 0), message).help(help));
    }
}

/// The mistakes of the first line. `at` gives the place of a column.
fn wrong_header(header: &[String], at: impl Fn(usize) -> At) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for (nth, name) in header.iter().enumerate() {
        let shown = name.escape_debug();
        let mistake = |message: String| Mistake::at(&at(nth), message);
        if header.iter().take(nth).any(|other| other == name) {
            mistakes.push(mistake(format!("the column `{shown}` appears twice")));
        } else if name.is_empty() {
            mistakes.push(mistake(format!("column {} has no name", nth + 1)));
        } else if let Some(key) = meant(name) {
            let help = format!("the key is `{key}`; a variable needs another name");
            mistakes.push(mistake(format!("`{shown}` is no key of units")).help(help));
        } else if let Some((key, table)) = elsewhere(name) {
            let help = format!("a column has another name; `{key}` {table}");
            mistakes.push(mistake(format!("`{shown}` is no key of units in a table")).help(help));
        } else if name.contains([';', '\t']) {
            mistakes.push(
                mistake(format!("`{shown}` names no column"))
                    .help("a comma stands between two columns: save the table as CSV with commas"),
            );
        } else if !is_name(name) {
            mistakes.push(
                mistake(format!("`{shown}` names no column"))
                    .help("the first line names a key of units or a variable for each column"),
            );
        }
    }
    if mistakes.is_empty() && !header.iter().any(|name| name == "name") {
        let message = "no column is called `name`";
        mistakes.push(
            Mistake::at(&at(0), message)
                .help("the first line names the columns, and each unit has a name"),
        );
    }
    mistakes
}

/// The rows of a CSV file (RFC 4180): cells with their columns, or the column of a quote that is not closed.
struct Rows<'t> {
    text: &'t str,
    at: usize,
    line: usize,
}

type Cells = Vec<(String, usize)>;

impl Iterator for Rows<'_> {
    type Item = (usize, Result<Cells, usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let (line, mut cells) = (self.line, Vec::new());
        let (mut cell, mut begin, mut column) = (String::new(), 1, 0);
        let (mut quoted, mut opened, mut closed) = (false, 0, false);
        let mut chars = rest.char_indices().peekable();
        let mut end = rest.len();
        while let Some((at, c)) = chars.next() {
            column += 1;
            match c {
                '"' if quoted && chars.peek().is_some_and(|&(_, next)| next == '"') => {
                    chars.next();
                    column += 1;
                    cell.push('"');
                }
                '"' if quoted => (quoted, closed) = (false, true),
                '"' if cell.trim().is_empty() && !closed => {
                    cell.clear();
                    (quoted, opened) = (true, column);
                }
                '"' => return Some((line, self.give_up(column))),
                ',' if !quoted => {
                    cells.push((std::mem::take(&mut cell), begin));
                    (begin, closed) = (column + 1, false);
                }
                '\n' if !quoted => {
                    end = at + 1;
                    self.line += 1;
                    break;
                }
                '\n' => {
                    self.line += 1;
                    cell.push(c);
                }
                // The end of a line of Windows, or of an old Macintosh.
                '\r' if !quoted && chars.peek().is_some_and(|&(_, next)| next == '\n') => {}
                '\r' if !quoted => {
                    end = at + 1;
                    self.line += 1;
                    break;
                }
                c if closed && !c.is_whitespace() => return Some((line, self.give_up(column))),
                c => cell.push(c),
            }
        }
        if quoted {
            return Some((line, self.give_up(opened)));
        }
        cells.push((cell, begin));
        self.at += end;
        Some((line, Ok(cells)))
    }
}

impl Rows<'_> {
    fn give_up(&mut self, column: usize) -> Result<Cells, usize> {
        self.at = self.text.len();
        Err(column)
    }
}
