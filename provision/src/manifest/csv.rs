//! The table of units beside a manifest: CSV (RFC 4180) whose first line names keys of units, and variables.

use std::path::Path;
use std::sync::Arc;

use super::read::{Entry, Read, beside, text};
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
        mistakes.push(Mistake::at(&whole(0, 0), "is not UTF-8 text"));
        return;
    };
    let rows = Rows { text, at: 0, line: 1 };
    let mut header: Vec<String> = Vec::new();
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
            for (nth, (name, (_, column))) in header.iter().zip(&cells).enumerate() {
                if header.iter().take(nth).any(|other| other == name) {
                    let message = format!("the column `{}` stands twice", name.escape_debug());
                    mistakes.push(Mistake::at(&whole(line, *column), message));
                } else if !is_name(name) {
                    let message = format!("`{}` names no column", name.escape_debug());
                    mistakes.push(
                        Mistake::at(&whole(line, *column), message).help(
                            "the first line names a key of units or a variable for each column",
                        ),
                    );
                }
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
    }
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
                '\r' if !quoted => {}
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
