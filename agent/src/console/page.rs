//! The output of a command: text of 79 columns for people, or one JSON object for programs, from
//! the same calls.

use core::fmt::{self, Write};

use proto_core::protocol::message::Name;
use proto_core::text::prefix;

use crate::cut::Cut;

/// Width of the text in columns: the last column of 80 stays free, as in the editor.
const COLUMNS: usize = 79;
/// Width of the labels of a table in columns.
const LABEL: usize = 14;

/// The destination of a page.
pub type Target<'t> = dyn Write + 't;

/// A page in progress.
pub struct Page<'t> {
    out: &'t mut Target<'t>,
    json: bool,
    /// Whether a value precedes the next one.
    comma: bool,
    /// The interface that a failure is about, if it is about the interface.
    pub interface: Option<Name>,
}

/// JSON text: characters that JSON does not allow are escaped.
struct Quoted<'q, 't>(&'q mut Target<'t>);

impl Write for Quoted<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '"' | '\\' => {
                    self.0.write_char('\\')?;
                    self.0.write_char(c)?;
                }
                c if c < ' ' => write!(self.0, "\\u{:04x}", u32::from(c))?,
                c => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page")
    }
}

// The output records its own failures.
impl<'t> Page<'t> {
    /// An empty page.
    pub fn new(out: &'t mut Target<'t>, json: bool) -> Self {
        let mut page = Self { out, json, comma: false, interface: None };
        page.mark("{");
        page
    }

    /// Whether this is JSON.
    #[must_use]
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Ends the page.
    pub fn end(mut self) {
        self.mark("}\n");
    }

    /// Writes punctuation of JSON.
    fn mark(&mut self, text: &str) {
        if self.json {
            let _ = self.out.write_str(text);
            self.comma = !matches!(text, "{" | "[");
        }
    }

    /// Writes the key of a JSON value, and the comma before it. In a list, the key is empty.
    fn key(&mut self, key: &str) {
        if self.comma {
            let _ = self.out.write_char(',');
        }
        if !key.is_empty() {
            let _ = write!(self.out, "\"{key}\":");
        }
        self.comma = true;
    }

    /// Opens an object or a list: `{` or `[`.
    pub fn open(&mut self, key: &str, bracket: &str) {
        if self.json {
            self.key(key);
            self.mark(bracket);
        }
    }

    /// Closes an object or a list.
    pub fn close(&mut self, bracket: &str) {
        self.mark(bracket);
    }

    /// Writes text that only people see, unchanged.
    pub fn text(&mut self, text: &str) {
        if !self.json {
            let _ = self.out.write_str(text);
        }
    }

    /// Writes a line that only people see, wrapped between words at the width of the screen.
    #[inline(never)]
    pub fn line(&mut self, words: fmt::Arguments<'_>) {
        if !self.json {
            self.wrap(0, 2, words);
        }
    }

    /// Writes words from a column on, and ends the line. A word that is longer than a row goes on in the next.
    #[inline(never)]
    fn wrap(&mut self, column: usize, indent: usize, words: fmt::Arguments<'_>) {
        let mut text = Cut::<400>::default();
        let _ = text.write_fmt(words);
        let mut at = column;
        for (nth, mut word) in text.0.split(' ').enumerate() {
            let mut room = COLUMNS.saturating_sub(at);
            if nth > 0 {
                if word.len() >= room && at > indent {
                    room = 0;
                } else {
                    let _ = self.out.write_char(' ');
                    (at, room) = (at.saturating_add(1), room.saturating_sub(1));
                }
            }
            while word.len() > room {
                let part = prefix(word, room);
                word = word.get(part.len()..).unwrap_or_default();
                let _ = write!(self.out, "{part}\n{:indent$}", "");
                (at, room) = (indent, COLUMNS.saturating_sub(indent));
            }
            let _ = self.out.write_str(word);
            at = at.saturating_add(word.len());
        }
        let _ = self.out.write_char('\n');
    }

    /// Writes a value. A label that ends in `:` is written before it; any other label is a column
    /// of a table.
    #[inline(never)]
    pub fn field(&mut self, key: &str, label: &str, value: fmt::Arguments<'_>) {
        if self.json {
            if !key.is_empty() {
                self.value(key, value);
            }
        } else if label.ends_with(':') {
            let _ = write!(self.out, "{label} ");
            self.wrap(label.len().saturating_add(1), 4, value);
        } else {
            let _ = write!(self.out, "{label:LABEL$}");
            self.wrap(LABEL, LABEL, value);
        }
    }

    /// Writes a value that only programs see.
    #[inline(never)]
    pub fn number(&mut self, key: &str, value: u64) {
        if self.json {
            self.key(key);
            let _ = write!(self.out, "{value}");
        }
    }

    /// Writes a boolean or null that only programs see.
    pub fn truth(&mut self, key: &str, value: Option<bool>) {
        if self.json {
            self.key(key);
            let _ = self.out.write_str(match value {
                Some(true) => "true",
                Some(false) => "false",
                None => "null",
            });
        }
    }

    /// Writes a text that only programs see. In a list, the key is empty.
    pub fn value(&mut self, key: &str, value: fmt::Arguments<'_>) {
        if self.json {
            self.key(key);
            let _ = self.out.write_char('"');
            let _ = Quoted(self.out).write_fmt(value);
            let _ = self.out.write_char('"');
        }
    }
}
