//! Records, held against their JSON Schema: a checker for the keywords and the patterns that the schema uses, which
//! panics at any other one.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;
use std::sync::{Mutex, OnceLock, PoisonError};

use postwire::records::SCHEMA;
use serde_json::Value;

fn schema() -> &'static Value {
    static PARSED: OnceLock<Value> = OnceLock::new();
    PARSED.get_or_init(|| serde_json::from_str(SCHEMA).unwrap())
}

/// Checks a record, and that each of its fields is described.
#[track_caller]
pub(super) fn describes(record: &Value) {
    if let Err(why) = check(record, schema(), "record") {
        panic!("{why}: {record}");
    }
    for field in record.as_object().unwrap().keys() {
        assert!(schema()["properties"].get(field).is_some(), "{field} is not described");
    }
}

/// As [`describes`], for a line of a file that may be read again and again.
#[track_caller]
pub(super) fn describes_line(line: &str, record: &Value) {
    static CHECKED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let is_new = !CHECKED.lock().unwrap_or_else(PoisonError::into_inner).contains(line);
    if is_new {
        describes(record);
        CHECKED.lock().unwrap_or_else(PoisonError::into_inner).insert(line.into());
    }
}

/// Whether a value is as a schema says; otherwise why not.
fn check(value: &Value, schema: &Value, name: &str) -> Result<(), String> {
    for (keyword, wanted) in schema.as_object().expect("a schema is an object") {
        let is_right = match keyword.as_str() {
            "$schema" | "title" | "description" => true,
            "type" => match wanted {
                Value::Array(types) => types.iter().any(|wanted| is_of_type(value, wanted)),
                wanted => is_of_type(value, wanted),
            },
            "const" => value == wanted,
            "enum" => wanted.as_array().unwrap().contains(value),
            "required" => {
                for field in wanted.as_array().unwrap() {
                    if value.get(field.as_str().unwrap()).is_none() {
                        return Err(format!("{name}: {field} is missing"));
                    }
                }
                true
            }
            "properties" => {
                for (field, schema) in wanted.as_object().unwrap() {
                    if let Some(value) = value.get(field) {
                        check(value, schema, field)?;
                    }
                }
                true
            }
            // These say nothing of values of other types.
            "minLength" => value
                .as_str()
                .is_none_or(|text| text.chars().count() as u64 >= wanted.as_u64().unwrap()),
            "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| is_found(wanted.as_str().unwrap(), text)),
            other => panic!("the checker does not know the keyword {other} of {name}"),
        };
        if !is_right {
            return Err(format!("{name}: {value} is not as {keyword} says: {wanted}"));
        }
    }
    Ok(())
}

fn is_of_type(value: &Value, wanted: &Value) -> bool {
    match wanted.as_str().expect("the name of a type") {
        "object" => value.is_object(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        other => panic!("the checker does not know the type {other}"),
    }
}

/// What a part of a pattern stands for.
enum Part {
    Start,
    End,
    /// A character of these ranges.
    One(Vec<(char, char)>),
    Group(Vec<Piece>),
}

/// A part of a pattern, and how often it comes.
struct Piece {
    part: Part,
    least: usize,
    most: usize,
}

/// Whether a pattern is somewhere in a text.
fn is_found(pattern: &str, text: &str) -> bool {
    let mut rest = pattern.chars().peekable();
    let pieces = pieces(&mut rest);
    assert_eq!(rest.next(), None, "a `)` without `(` in {pattern}");
    let text: Vec<char> = text.chars().collect();
    !ends(&pieces, &text, (0..=text.len()).collect()).is_empty()
}

fn pieces(rest: &mut Peekable<Chars<'_>>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while let Some(c) = rest.next_if(|c| *c != ')') {
        let part = match c {
            '^' => Part::Start,
            '$' => Part::End,
            '[' => Part::One(ranges(rest)),
            '(' => {
                let group = self::pieces(rest);
                assert_eq!(rest.next(), Some(')'), "a `(` without `)`");
                Part::Group(group)
            }
            '.' | '|' | '\\' | '*' | '+' | '?' | '{' | '}' | ']' => {
                panic!("the checker does not know `{c}` here")
            }
            c => Part::One(vec![(c, c)]),
        };
        let (least, most) = match rest.next_if(|c| matches!(c, '+' | '?' | '{' | '*')) {
            None => (1, 1),
            Some('+') => (1, usize::MAX),
            Some('?') => (0, 1),
            Some('{') => {
                let mut digits = String::new();
                while let Some(c) = rest.next_if(|c| *c != '}') {
                    digits.push(c);
                }
                assert_eq!(rest.next(), Some('}'), "a `{{` without `}}`");
                let count = digits.parse().expect("one number between `{` and `}`");
                (count, count)
            }
            Some(c) => panic!("the checker does not know `{c}`"),
        };
        pieces.push(Piece { part, least, most });
    }
    pieces
}

/// The characters between `[` and `]`.
fn ranges(rest: &mut Peekable<Chars<'_>>) -> Vec<(char, char)> {
    let mut ranges = Vec::new();
    loop {
        match rest.next().expect("a `[` has its `]`") {
            ']' => return ranges,
            c @ ('^' | '\\' | '[' | '-') => panic!("the checker does not know `{c}` in `[]`"),
            first if rest.next_if_eq(&'-').is_some() => {
                ranges.push((first, rest.next().expect("the end of a range")));
            }
            one => ranges.push((one, one)),
        }
    }
}

/// Where pieces can end that begin at one of these places.
fn ends(pieces: &[Piece], text: &[char], starts: BTreeSet<usize>) -> BTreeSet<usize> {
    let mut here = starts;
    for piece in pieces {
        let mut found = if piece.least == 0 { here.clone() } else { BTreeSet::new() };
        let mut count = 0;
        // Each time is a character at least, but for the ends of the text.
        while count < piece.most && count <= text.len() && !here.is_empty() {
            here = match &piece.part {
                Part::Start => here.into_iter().filter(|at| *at == 0).collect(),
                Part::End => here.into_iter().filter(|at| *at == text.len()).collect(),
                Part::One(ranges) => {
                    let is_one = |c: &char| ranges.iter().any(|(a, z)| (a..=z).contains(&c));
                    here.into_iter()
                        .filter(|at| text.get(*at).is_some_and(is_one))
                        .map(|at| at + 1)
                        .collect()
                }
                Part::Group(pieces) => ends(pieces, text, here),
            };
            count += 1;
            if count >= piece.least {
                found.extend(&here);
            }
        }
        here = found;
    }
    here
}

/// A record with which everything is right.
fn right() -> Value {
    let key = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=";
    serde_json::json!({
        "version": 1, "run": "night", "shard": "2/3", "operation": "push", "unit": "u1", "row": 1,
        "address": "192.0.2.1:5182", "port": null, "router_key": key,
        "fingerprint": "KG34-RCYV-6L5U-VY7V-SWPM", "hostname": "OpenWrt", "board": "acme,router-1",
        "serial_number": "8J0042", "macs": "94:83:c4:00:00:07 94:83:c4:00:01:07", "agent": "0.1.0",
        "tool": "0.1.0", "operator": key, "interface": "wg0", "image": "0f".repeat(32),
        "public_key": null, "number": 7, "outcome": "failed", "code": "kernel", "state": "partly", "program": null,
        "message": "words", "started": "2026-11-29T08:00:00Z", "ended": "2026-11-29T08:00:01.5Z",
        "milliseconds": 1500,
    })
}

#[test]
fn the_checker_refuses_what_the_schema_forbids() {
    describes(&right());
    let with = |field: &str, value: &Value| {
        let mut record = right();
        record[field] = value.clone();
        check(&record, schema(), "record")
    };
    let null = Value::Null;
    let may_be_null = [
        "shard",
        "address",
        "port",
        "router_key",
        "fingerprint",
        "hostname",
        "board",
        "serial_number",
        "macs",
        "agent",
        "image",
        "public_key",
        "number",
        "code",
        "state",
        "program",
    ];
    for field in right().as_object().unwrap().keys() {
        let mut record = right();
        record.as_object_mut().unwrap().remove(field);
        assert!(check(&record, schema(), "record").unwrap_err().contains(field.as_str()));
        assert_eq!(with(field, &null).is_ok(), may_be_null.contains(&field.as_str()), "{field}");
        // Whatever it is, it is no list and no number with a fraction.
        assert!(with(field, &serde_json::json!([])).is_err(), "{field}");
        assert!(with(field, &serde_json::json!(1.5)).is_err(), "{field}");
    }
    for (field, values) in [
        ("version", serde_json::json!([0, 2, "1"])),
        ("run", serde_json::json!([""])),
        ("shard", serde_json::json!(["", "2", "/3", "2/", "2/3/4", "a/b"])),
        ("operation", serde_json::json!(["", "pull", "Push"])),
        ("unit", serde_json::json!([""])),
        ("row", serde_json::json!([-1, "1"])),
        ("router_key", serde_json::json!(["", "k", "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw"])),
        ("fingerprint", serde_json::json!(["KG34-RCYV-6L5U-VY7V", "kg34-rcyv-6l5u-vy7v-swpm"])),
        (
            "macs",
            serde_json::json!(["", "94:83:c4:00:00", "94:83:C4:00:00:07", "94:83:c4:00:00:07,"]),
        ),
        ("operator", serde_json::json!(["k"])),
        ("image", serde_json::json!(["", "0f", "0F".repeat(32), "0f".repeat(33)])),
        ("number", serde_json::json!([-1, "7"])),
        ("outcome", serde_json::json!(["", "done"])),
        ("state", serde_json::json!(["", "gone"])),
        ("started", serde_json::json!(["", "2026-11-29 08:00:00Z", "2026-11-29T08:00:00+01:00"])),
        ("ended", serde_json::json!(["2026-11-29T08:00:00", "x2026-11-29T08:00:00Z"])),
        ("milliseconds", serde_json::json!([-1])),
    ] {
        for value in values.as_array().unwrap() {
            assert!(with(field, value).is_err_and(|why| why.starts_with(field)), "{field} {value}");
        }
    }
}

#[test]
#[should_panic = "does not know the keyword maxLength"]
fn a_keyword_that_the_checker_does_not_know_is_no_silent_yes() {
    let schema = serde_json::json!({ "properties": { "run": { "maxLength": 1 } } });
    let _ = check(&right(), &schema, "record");
}

#[test]
#[should_panic = "does not know `|`"]
fn nor_is_a_pattern_that_it_does_not_know() {
    is_found("^(a|b)$", "a");
}
