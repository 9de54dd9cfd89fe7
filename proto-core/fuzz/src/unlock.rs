//! Challenges and codes of a console from any text.
//!
//! Promised: no panic; a text that was read is displayed in its plain form, whatever the case,
//! dashes and spaces; a text that differs from a valid one in one symbol, in two swapped symbols,
//! or in the order of groups is refused, and the error names the group; and both ends compute the
//! same code.

use proto_core::key::SecretKey;
use proto_core::protocol::message::Role;
use proto_core::protocol::session::StaticKey;
use proto_core::protocol::unlock::{Challenge, Code, Pairing, SpokenError};

use super::Seeds;
use super::input::Input;

/// The canonical form of a text whose characters are symbols.
fn plain(text: &str) -> String {
    let symbols: Vec<char> = text
        .trim()
        .chars()
        .filter(|c| !matches!(c, '-' | ' '))
        .map(|c| match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        })
        .collect();
    symbols.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

fn any(text: &str) {
    let challenge: Result<Challenge, _> = text.parse();
    let code: Result<Code, _> = text.parse();
    assert!(challenge.is_err() || code.is_err(), "{text:?} is both");
    if let Ok(challenge) = challenge {
        assert_eq!(challenge.to_string(), plain(text));
    }
    if let Ok(code) = code {
        assert_eq!(code.to_string(), plain(text));
    }
    for error in [challenge.err(), code.err()].into_iter().flatten() {
        assert!(!error.to_string().is_empty());
        if let SpokenError::Symbol { found, .. } = error {
            assert!(text.contains(found));
        }
    }
}

/// A valid text with two swapped symbols, or with one changed symbol.
fn changed(right: &str, input: &mut Input<'_>, read: &dyn Fn(&str) -> Result<(), SpokenError>) {
    assert_eq!(read(right), Ok(()));
    let mut symbols: Vec<char> = right.chars().filter(|c| *c != '-').collect();
    let count = symbols.len();
    let at = usize::from(input.byte()) % count;
    match input.byte() {
        0 => symbols.swap(at, (at + 1) % count),
        1 => {
            let (here, there) = (at / 4 * 4, usize::from(input.byte()) % (count / 4) * 4);
            for nth in 0..4 {
                symbols.swap(here + nth, there + nth);
            }
        }
        other => symbols[at] = char::from(other),
    }
    let text: String = symbols.into_iter().collect();
    let same = plain(&text) == right;
    // The last symbol of a text and the first are not adjacent, but each of the two groups has one
    // wrong symbol.
    assert_eq!(read(&text).is_ok(), same, "{right} {text}");
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let keys = |byte: u8| StaticKey::new(SecretKey::new([byte | 1; 32]));
    match input.byte() {
        b'C' => {
            let challenge = Challenge::new(input.array());
            changed(&challenge.to_string(), &mut input, &|text| {
                text.parse().map(|_: Challenge| ())
            });
        }
        b'K' => {
            let (owner, router) = (keys(input.byte()), keys(input.byte()));
            let role = if input.byte() & 1 == 0 { Role::Admin } else { Role::ReadOnly };
            let challenge = Challenge::new(input.array());
            let office = Pairing::at_office(&owner, &router.public()).expect("a valid key");
            let there = Pairing::on_router(&router, &owner.public()).expect("a valid key");
            let code = office.code(&challenge, role);
            assert!(code == there.code(&challenge, role));
            changed(&code.to_string(), &mut input, &|text| text.parse().map(|_: Code| ()));
        }
        _ => any(&String::from_utf8_lossy(input.0)),
    }
}

pub fn seeds() -> Seeds {
    let mut seeds: Seeds = Vec::new();
    let mut push = |name: &str, parts: &[&[u8]]| seeds.push((name.into(), parts.concat()));
    let challenge = Challenge::new([19, 7, 23, 2, 9, 29, 20, 4, 26]).to_string();
    let owner = StaticKey::new(SecretKey::new([1; 32]));
    let router = StaticKey::new(SecretKey::new([3; 32]));
    let office = Pairing::at_office(&owner, &router.public()).expect("a valid key");
    let code = office.code(&Challenge::new([5; 9]), Role::Admin).to_string();
    push("challenge", &[b"T", challenge.as_bytes()]);
    push("challenge-lower", &[b"T ", challenge.to_lowercase().replace('-', " ").as_bytes()]);
    push("challenge-short", &[b"T", &challenge.as_bytes()[..13]]);
    push("challenge-bad-symbol", &[b"T", challenge.replace('7', "U").as_bytes()]);
    push("challenge-no-ascii", &[b"T", challenge.replace('7', "\u{e9}").as_bytes()]);
    push("code", &[b"T", code.as_bytes()]);
    push("code-forgiving", &[b"T", code.replace('0', "o").replace('1', "l").as_bytes()]);
    push("code-long", &[b"T", code.as_bytes(), b"0"]);
    push("empty", &[b"T"]);
    for at in [0, 3, 4, 11] {
        push(&format!("challenge-swap-{at}"), &[b"C", &[3, 1, 4, 1, 5, 9, 2, 6, 5], &[at, 0]]);
        push(&format!("code-swap-{at}"), &[b"K", &[5, 7, 0], &[8; 9], &[at + 4, 0]]);
        push(&format!("code-symbol-{at}"), &[b"K", &[5, 7, 1], &[8; 9], &[at, b'Z']]);
    }
    push("challenge-groups", &[b"C", &[3, 1, 4, 1, 5, 9, 2, 6, 5], &[0, 1, 2]]);
    push("code-groups", &[b"K", &[5, 7, 0], &[8; 9], &[4, 1, 3]]);
    seeds
}
