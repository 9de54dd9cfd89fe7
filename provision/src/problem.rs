//! Problems of a configuration file, shown at their lines.
//!
//! ```text
//! wg0.conf:3:11: error: Address: `10.0.0.1/33`: the prefix length is over 32
//!     3 | Address = 10.0.0.1/33
//!       |           ^^^^^^^^^^^
//!       = help: ...
//! ```
//!
//! Lines are shown only after `conf::lines::hide` has removed their secrets, so messages need no
//! other protection.

use std::fmt::Write as _;
use std::ops::Range;

use serde::Serialize;

use crate::conf::lines;

/// A file with its name and its text.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name for messages.
    pub name: String,
    /// The text, without a byte order mark.
    pub text: String,
    /// Where each line starts.
    starts: Vec<usize>,
}

impl Source {
    /// Reads a file. A byte order mark at the start is removed, and so are NULs, as in wg-quick.
    /// Bytes that are not UTF-8 are marked; they are allowed only in a comment. A file in UTF-16
    /// gets a problem, and no text is shown.
    #[must_use]
    pub fn new(name: &str, bytes: &[u8]) -> (Self, Option<Problem>) {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let nuls = bytes.iter().filter(|&&byte| byte == 0).count();
        // Every other byte of plain text in UTF-16 is a NUL.
        let wide = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
        if wide || nuls > 1 && nuls >= bytes.len() / 3 {
            let problem = Problem::whole("this file is in UTF-16, not UTF-8")
                .help("save the file as UTF-8 (in Notepad: Save As, Encoding)");
            return (Self::from_text(name, ""), Some(problem));
        }
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            text.extend(chunk.valid().chars().filter(|&c| c != '\0'));
            if !chunk.invalid().is_empty() {
                text.push(lines::NOT_TEXT);
            }
        }
        (Self::from_text(name, &text), None)
    }

    fn from_text(name: &str, text: &str) -> Self {
        let starts = std::iter::once(0)
            .chain(
                text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at + 1),
            )
            .collect();
        Self { name: name.into(), text: text.into(), starts }
    }

    /// The lines with their numbers, without line ends.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.split('\n').enumerate().map(|(index, line)| (index + 1, line))
    }

    pub(crate) fn line(&self, number: usize) -> &str {
        let start = number.checked_sub(1).and_then(|index| self.starts.get(index));
        let rest = start.and_then(|&start| self.text.get(start..)).unwrap_or_default();
        rest.split('\n').next().unwrap_or_default()
    }

    /// The column of a place in the line as shown, from 1; in bytes if there is no text.
    fn column(&self, place: &Place) -> usize {
        match self.text.is_empty() {
            true => 1 + place.span.start,
            false => 1 + lines::hide(self.line(place.line)).chars_before(place.span.start),
        }
    }
}

/// A range of bytes in a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The number of the line, from 1.
    pub line: usize,
    /// The bytes, from 0.
    pub span: Range<usize>,
}

impl Place {
    /// The value that stands here.
    pub(crate) fn holds<T>(&self, value: T) -> At<T> {
        At { value, place: self.clone() }
    }
}

/// A value with its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub place: Place,
}

/// The severity of a problem.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file cannot be pushed.
    Error,
    /// The file can be pushed, but without a part of it.
    Warning,
    /// Information.
    Note,
}

impl Severity {
    const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A problem of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The severity.
    pub severity: Severity,
    /// Its place, if it has one.
    pub place: Option<Place>,
    /// The message.
    pub message: String,
    /// Other places that belong to it, with labels.
    pub related: Vec<(Place, &'static str)>,
    /// The help.
    pub help: Option<String>,
}

/// A problem in the form of `--json`.
#[derive(Serialize, Debug)]
pub struct ProblemJson {
    severity: Severity,
    file: String,
    line: Option<usize>,
    column: Option<usize>,
    message: String,
    related_lines: Vec<usize>,
    help: Option<String>,
}

impl Problem {
    fn new(severity: Severity, place: Option<Place>, message: String) -> Self {
        Self { severity, place, message, related: Vec::new(), help: None }
    }

    /// An error at `place`.
    pub fn error(place: Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, Some(place), message.into())
    }

    /// An error of the whole file.
    pub fn whole(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, None, message.into())
    }

    /// A warning about the whole file.
    pub fn about_file(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, None, message.into())
    }

    /// A warning at `place`.
    pub fn warning(place: Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, Some(place), message.into())
    }

    /// A note at `place`.
    pub fn note(place: Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, Some(place), message.into())
    }

    /// Adds another place that belongs to the problem.
    #[must_use]
    pub fn with(mut self, place: Place, label: &'static str) -> Self {
        self.related.push((place, label));
        self
    }

    /// Adds advice.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Whether the problem prevents a push.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The problem as text for the user, with the lines in question if it is an error.
    #[must_use]
    pub fn render(&self, source: &Source) -> String {
        let mut out = source.name.clone();
        if let Some(place) = &self.place {
            let _ = write!(out, ":{}:{}", place.line, source.column(place));
        }
        let _ = writeln!(out, ": {}: {}", self.severity.word(), self.message);
        if self.is_error() && !source.text.is_empty() {
            if let Some(place) = &self.place {
                snippet(&mut out, source, place, "");
            }
            for (place, label) in &self.related {
                snippet(&mut out, source, place, label);
            }
        }
        if let Some(help) = &self.help {
            let _ = writeln!(out, "      = help: {help}");
        }
        out
    }

    /// The problem in the form of `--json`.
    #[must_use]
    pub fn json(&self, source: &Source) -> ProblemJson {
        let column = self.place.as_ref().map(|place| source.column(place));
        ProblemJson {
            severity: self.severity,
            file: source.name.clone(),
            line: self.place.as_ref().map(|place| place.line),
            column,
            message: self.message.clone(),
            related_lines: self.related.iter().map(|(place, _)| place.line).collect(),
            help: self.help.clone(),
        }
    }
}

/// The maximum number of characters of a line that are shown.
const WIDTH: usize = 100;

fn snippet(out: &mut String, source: &Source, place: &Place, label: &str) {
    let shown = lines::hide(source.line(place.line));
    let chars: Vec<char> = shown.text.chars().collect();
    let (start, end) = shown.map(&place.span);
    // A long line is cut to the part around the place.
    let first = if chars.len() <= WIDTH { 0 } else { start.saturating_sub(WIDTH / 3) };
    let last = chars.len().min(first + WIDTH);
    let dots = |cut: bool| if cut { "..." } else { "" };
    let text: String = chars.get(first..last).unwrap_or_default().iter().collect();
    let (before, after) = (dots(first > 0), dots(last < chars.len()));
    let _ = writeln!(out, "{:>5} | {before}{text}{after}", place.line);
    let pad = " ".repeat(before.len() + start.saturating_sub(first));
    let marks = "^".repeat(end.min(last).saturating_sub(start).max(1));
    let _ = writeln!(out, "      | {}", format!("{pad}{marks} {label}").trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_points_at_its_text() {
        let source = Source::new("a.conf", b"\xef\xbb\xbf[Interface]\nMTU = x\n").0;
        let place = Place { line: 2, span: 6..7 };
        let problem = Problem::error(place.clone(), "no").with(place, "also").help("do");
        assert_eq!(
            problem.render(&source),
            "a.conf:2:7: error: no\n    2 | MTU = x\n      |       ^\n    2 | MTU = x\n      |       ^ also\n      = help: do\n"
        );
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let text = format!("AllowedIPs = {}bad{}", "10.0.0.0/8, ".repeat(50), ", ::/0".repeat(90));
        let source = Source::new("a", text.as_bytes()).0;
        let at = text.find("bad").unwrap();
        let shown = Problem::error(Place { line: 1, span: at..at + 3 }, "no").render(&source);
        let mut lines = shown.lines().skip(1);
        let (text, marks) = (lines.next().unwrap(), lines.next().unwrap());
        assert_eq!(text.find("bad"), marks.find("^^^"));
        assert!(text.len() < 120, "{text}");
    }

    #[test]
    fn bytes_that_are_no_text_have_a_line() {
        let (source, problem) = Source::new("t.conf", b"a\nb\xff\n");
        assert_eq!(problem, None);
        assert_eq!(source.lines().nth(1), Some((2, "b\u{ffff}")));
        for wide in [b"\xff\xfea\0", b"\xfe\xff\0a"] {
            let (source, problem) = Source::new("t.conf", wide);
            let said = problem.unwrap().render(&source);
            assert!(said.contains("UTF-16"), "{said}");
        }
    }
}
