//! Variables in wg-quick files: `{{address}}` stands for a value of the unit.

use super::{At, Mistake, Text};

/// The characters of a variable's name.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

/// Replaces variables. `look_up` gives their values. Lines stay lines, so that a mistake in the result has the line of
/// the template.
pub(super) fn render<'v>(
    file: &str,
    text: &str,
    look_up: impl Fn(&str) -> Option<&'v str>,
) -> Result<String, Vec<Mistake>> {
    let mut out = String::with_capacity(text.len());
    let mut mistakes = Vec::new();
    for (nth, line) in text.split_inclusive('\n').enumerate() {
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("{{") {
            out.push_str(before);
            let at = |text: &str| {
                let column = line.len() - text.len();
                At {
                    file: file.into(),
                    line: nth + 1,
                    column: line.get(..column).unwrap_or_default().chars().count() + 1,
                }
            };
            let Some((name, behind)) = after.split_once("}}") else {
                mistakes.push(Mistake::at(&at(after), "`{{` without `}}` in the same line"));
                rest = "";
                break;
            };
            let name = name.trim();
            match look_up(name) {
                Some(value) => out.push_str(value),
                None if is_name(name) => {
                    mistakes.push(Mistake::at(&at(after), format!("no variable `{name}`")));
                }
                None => mistakes.push(
                    Mistake::at(&at(after), "this is no variable")
                        .help("a variable is letters, digits, `_` and `-` between `{{` and `}}`"),
                ),
            }
            rest = behind;
        }
        out.push_str(rest);
    }
    if mistakes.is_empty() { Ok(out) } else { Err(mistakes) }
}

/// The variables in a text.
pub(super) fn names(text: &str) -> impl Iterator<Item = String> {
    let name = |rest: &str| Some(rest.split_once("}}")?.0.trim().to_owned());
    text.split("{{").skip(1).filter_map(name)
}

/// Why a value cannot stand in a line of a wg-quick file.
pub(super) fn unfit(name: &str, value: &Text) -> Option<Mistake> {
    let mistake = |what: &str| {
        Some(Mistake::at(&value.at, format!("the value of `{name}` has {what} in it")))
    };
    if value.value.chars().any(char::is_control) {
        return mistake("a control character or the end of a line");
    }
    if value.value.contains('#') {
        return mistake("a `#`, which begins a comment,");
    }
    if value.value.contains("{{") {
        return mistake("`{{`, which would be a variable,");
    }
    None
}
