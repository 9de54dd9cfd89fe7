//! Lines of a wg-quick file, and the parts of them that may be shown.

use std::ops::Range;

use proto_core::conf::Field;
use proto_core::text::misleads;

use super::field::FieldExt as _;

/// Replaces bytes of a file that are not UTF-8. It is not a character, so no text contains it.
pub(crate) const NOT_TEXT: char = '\u{ffff}';

/// The kind of a line. Ranges are bytes of the line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Line {
    /// Empty, or a comment.
    Blank,
    /// `[...]`, with the brackets.
    Section(Range<usize>),
    /// `KEY = VALUE`.
    Pair {
        /// The key.
        key: Range<usize>,
        /// The value; empty, at the end of the line, if there is none.
        value: Range<usize>,
    },
    /// Anything else.
    Junk(Range<usize>),
}

/// The part of `line[range]` without ASCII white space around it, as on the router.
pub(super) fn trim(line: &str, range: Range<usize>) -> Range<usize> {
    let text = &line[range.clone()];
    let start = range.start + (text.len() - text.trim_ascii_start().len());
    start..start + text.trim_ascii().len()
}

/// The text without white space, which wg(8) ignores everywhere.
pub(super) fn squeeze(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '\t'..='\r' | ' ')).collect()
}

/// Returns the kind of a line. The `#` of a comment ends it.
pub(super) fn classify(line: &str) -> Line {
    let end = line.find('#').unwrap_or(line.len());
    let all = trim(line, 0..end);
    let text = &line[all.clone()];
    if text.is_empty() {
        return Line::Blank;
    }
    if text.starts_with('[') {
        return Line::Section(all);
    }
    match text.find('=') {
        Some(at) => Line::Pair {
            key: trim(line, all.start..all.start + at),
            value: trim(line, all.start + at + 1..all.end),
        },
        None => Line::Junk(all),
    }
}

/// A line as it may be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shown {
    /// The text, without comment, control characters and secrets.
    pub(crate) text: String,
    /// The line, and the bytes of it that a mask replaces.
    line: String,
    hidden: Option<Range<usize>>,
}

const MASK: &str = "(hidden)";

/// Removes what must not be shown from a line: values of secret and of unknown keys, and all of a
/// line that cannot be parsed, because it may be a part of a key.
pub(crate) fn hide(line: &str) -> Shown {
    let hidden = match classify(line) {
        Line::Blank => 0..0,
        Line::Section(all) => {
            let name = line[all.clone()].trim_matches(['[', ']']);
            let plain = name.len() <= 20 && name.chars().all(|c| c.is_ascii_alphabetic());
            if plain { 0..0 } else { all }
        }
        Line::Pair { key, value } => match Field::of_line(&line[key.clone()]) {
            Some(known) if known.is_secret() => value,
            Some(_) => 0..0,
            None if plain_name(&line[key.clone()]) && !value.is_empty() => value,
            None => after_known_word(line, key.start),
        },
        Line::Junk(all) => after_known_word(line, all.start),
    };
    let end = line.find('#').unwrap_or(line.len());
    let end = line[..end].trim_end().len().max(hidden.end);
    let text = if hidden.is_empty() {
        clean(&line[..end])
    } else {
        format!("{}{MASK}{}", clean(&line[..hidden.start]), clean(&line[hidden.end..end]))
    };
    Shown { text, line: line.into(), hidden: (!hidden.is_empty()).then_some(hidden) }
}

/// Whether a text is a name rather than a part of a key: a few letters, or so few letters and
/// digits that they are no part of a key.
pub(super) fn plain_name(text: &str) -> bool {
    let short = text.len() <= 3 && text.chars().all(|c| c.is_ascii_alphanumeric());
    (1..=24).contains(&text.len())
        && (short || text.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, ' ' | '-' | '_')))
}

/// Everything from `start` on, except a leading word that is a known key or a near match.
fn after_known_word(line: &str, start: usize) -> Range<usize> {
    let end = line.find('#').unwrap_or(line.len());
    let word = line[start..end].split([' ', '\t', '=', ':']).next().unwrap_or_default();
    let start = if Field::near(word).is_some() { start + word.len() } else { start };
    trim(line, start..end.max(start))
}

fn clean(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_whitespace() {
                ' '
            } else if misleads(c) {
                '?'
            } else if c == NOT_TEXT {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

impl Shown {
    /// The position in the text, in characters, of a byte of the line.
    pub(crate) fn chars_before(&self, byte: usize) -> usize {
        self.map(&(byte..byte)).0
    }

    /// The range in the text, in characters, of bytes of the line. A range that touches hidden
    /// bytes becomes the mask.
    pub(crate) fn map(&self, span: &Range<usize>) -> (usize, usize) {
        let chars = |byte: usize| self.line.char_indices().take_while(|&(at, _)| at < byte).count();
        let Some(hidden) = &self.hidden else { return (chars(span.start), chars(span.end)) };
        let (mask_start, mask_end) = (chars(hidden.start), chars(hidden.start) + MASK.len());
        let shift = |byte: usize| mask_end + chars(byte) - chars(hidden.end);
        let start = match span.start {
            at if at < hidden.start => chars(at),
            at if at < hidden.end => mask_start,
            at => shift(at),
        };
        let end = match span.end {
            at if at <= hidden.start => chars(at),
            at if at <= hidden.end => mask_end,
            at => shift(at),
        };
        (start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        hide(line).text
    }

    #[test]
    fn secrets_are_hidden_however_they_are_written() {
        for (line, text) in [
            ("PrivateKey = abc=", "PrivateKey = (hidden)"),
            ("  privatekey=abc # comment", "  privatekey=(hidden)"),
            ("PresharedKey = a b c", "PresharedKey = (hidden)"),
            ("PostUp = wg set wg0 x", "PostUp = (hidden)"),
            ("PrivatKey = abc", "PrivatKey = (hidden)"),
            ("PrivateKey yAnz5TF+lXXJte14tji3zlMNq=", "PrivateKey (hidden)"),
            ("PrivateKey: yAnz5TF", "PrivateKey(hidden)"),
            ("yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", "(hidden)"),
            ("yAnz5TF", "(hidden)"),
            ("abc=", "(hidden)"),
            ("[yAnz5TF+lXXJte14tji3zlMNq]", "(hidden)"),
            ("[yAnzTFlXXJtetjizlMNqhdrYUIg]", "(hidden)"),
            ("Key1 = abc", "(hidden)"),
            ("Secret = abc", "Secret = (hidden)"),
            ("S1 = 61", "S1 = (hidden)"),
            ("Private Key = abc", "Private Key = (hidden)"),
            ("a1b", "(hidden)"),
        ] {
            assert_eq!(shown(line), text, "{line}");
        }
    }

    #[test]
    fn the_rest_is_shown_as_it_is() {
        assert_eq!(shown("\tMTU\t=\t1 # x\r"), " MTU = 1");
        assert_eq!(shown("Endpoint = \x1b[31mx"), "Endpoint = ?[31mx");
        assert_eq!(shown("[Interfaces]"), "[Interfaces]");
        assert_eq!(shown("# PrivateKey = abc"), "");
    }

    #[test]
    fn places_follow_the_text() {
        let line = hide("PrivateKey = abcdefghijklmnop");
        assert_eq!(line.map(&(0..10)), (0, 10));
        assert_eq!(line.map(&(13..29)), (13, 21));
        assert_eq!(line.map(&(15..16)), (13, 21));
        assert_eq!(line.map(&(29..29)), (21, 21));
        assert_eq!(hide("Endpoint = \u{e4}b:1").map(&(13..14)), (12, 13));
    }
}
