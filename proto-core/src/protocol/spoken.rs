//! Text that people read to each other over a phone: base32 in groups of four symbols, the last of
//! which is a check symbol.
//!
//! The symbols are those of Douglas Crockford's base32: digits and capital letters without `I`,
//! `L`, `O` and `U`. The reader accepts either case, `O` for `0`, `I` and `L` for `1`, and dashes
//! and spaces anywhere.
//!
//! # The check symbol
//!
//! Symbols are elements of the field GF(32) with the polynomial x^5 + x^2 + 1, and α = 2 (x). A
//! group of the symbols a, b, c and the check symbol d is valid if `α⁴·n + α³·a + α²·b + α·c + d =
//! 0`, where `n` is the group's number: the first group of a kind of text has the number of
//! [`Kind`], and the number grows by one for each further group. All weights differ and none is
//! zero, so every wrong symbol, every swap of two symbols of a group, and every swap of two groups
//! is detected. A swap across two groups is a wrong symbol in each. Each kind has its own numbers,
//! so a text of one kind is not valid as another.

use core::fmt;

/// The symbols, in the order of their values.
const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Number of symbols in a group, including the check symbol.
pub const GROUP: usize = 4;

/// A group without its check symbol: values below 32.
pub(super) type Group = [u8; GROUP - 1];

/// The number of the first group of each kind of text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A challenge.
    Challenge = 1,
    /// A code.
    Code = 17,
}

/// The reason why a text is not valid. Groups are counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SpokenError {
    /// A character that is not a symbol.
    Symbol {
        /// The group.
        group: u8,
        /// The character.
        found: char,
    },
    /// A group with a wrong symbol, or with two swapped symbols.
    Typo {
        /// The group.
        group: u8,
    },
    /// A group with too few or too many symbols.
    GroupLength {
        /// The group.
        group: u8,
        /// Number of symbols in the group.
        found: u8,
    },
    /// Too few or too many symbols.
    Length {
        /// Number of symbols in the text.
        found: u8,
        /// The expected number.
        wanted: u8,
    },
}

impl fmt::Display for SpokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Symbol { group, found } if found.is_ascii_graphic() => {
                write!(f, "there is a typo in group {group}: `{found}` is never used")
            }
            Self::Symbol { group, .. } => {
                write!(f, "there is a typo in group {group}: only letters and digits are used")
            }
            Self::Typo { group } => write!(f, "there is a typo in group {group}"),
            Self::GroupLength { group, found } => {
                write!(
                    f,
                    "there is a typo in group {group}: it has {found} symbols instead of {GROUP}"
                )
            }
            Self::Length { found, wanted } => {
                write!(f, "it has {found} symbols instead of {wanted}")
            }
        }
    }
}

impl core::error::Error for SpokenError {}

/// Multiplies by α.
const fn times_alpha(value: u8) -> u8 {
    let doubled = value.wrapping_shl(1);
    if doubled & 32 == 0 { doubled } else { doubled ^ 0b10_0101 }
}

/// The check symbol of the group with this number.
pub(super) fn check(number: u8, group: &Group) -> u8 {
    times_alpha(group.iter().fold(number, |sum, symbol| times_alpha(sum) ^ symbol))
}

/// The value of a character; `None` if it is not a symbol.
fn value(found: char) -> Option<u8> {
    let symbol = match found.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let at = SYMBOLS.iter().position(|known| char::from(*known) == symbol)?;
    u8::try_from(at).ok()
}

/// Pairs each group with its number.
fn numbered(kind: Kind, groups: &[Group]) -> impl Iterator<Item = (u8, &Group)> {
    (kind as u8..).zip(groups)
}

/// Reads a text of `groups.len()` groups.
///
/// # Errors
/// [`SpokenError`]; the contents of `groups` are then undefined.
#[cfg_attr(feature = "small", inline(never))]
pub(super) fn read(text: &str, kind: Kind, groups: &mut [Group]) -> Result<(), SpokenError> {
    let wanted = u8::try_from(groups.len().saturating_mul(GROUP)).unwrap_or(u8::MAX);
    let mut checks = [0; 8];
    let mut found = 0_u8;
    // The symbols since the last dash or space, and the first such part that is not a whole group.
    let (mut part, mut parts, mut odd) = (0_u8, 0_u8, None);
    let mut end = |part: u8| {
        if part != 0 {
            parts = parts.saturating_add(1);
            if part != 4 && odd.is_none() {
                odd = Some(SpokenError::GroupLength { group: parts, found: part });
            }
        }
        (parts, odd)
    };
    for c in text.trim().chars() {
        if matches!(c, '-' | ' ') {
            end(core::mem::take(&mut part));
            continue;
        }
        let group = usize::from(found / 4);
        let Some(symbol) = value(c) else {
            let group = (found / 4).saturating_add(1);
            return Err(SpokenError::Symbol { group, found: c });
        };
        let place = match found % 4 {
            3 => checks.get_mut(group),
            at => groups.get_mut(group).and_then(|group| group.get_mut(usize::from(at))),
        };
        if let Some(place) = place {
            *place = symbol;
        }
        (found, part) = (found.saturating_add(1), part.saturating_add(1));
    }
    let (parts, odd) = end(part);
    if found != wanted {
        let length = SpokenError::Length { found, wanted };
        // Without dashes, the group with a missing or extra symbol is unknown.
        return Err(odd.filter(|_| parts > 1).unwrap_or(length));
    }
    for ((nth, (number, group)), given) in (1..).zip(numbered(kind, groups)).zip(checks) {
        if check(number, group) != given {
            return Err(SpokenError::Typo { group: nth });
        }
    }
    Ok(())
}

/// Calls `push` with each symbol, including the check symbols.
pub(super) fn symbols(kind: Kind, groups: &[Group], push: &mut dyn FnMut(u8)) {
    for (number, group) in numbered(kind, groups) {
        let check = check(number, group);
        for value in group.iter().chain([&check]) {
            push(SYMBOLS.get(usize::from(*value)).copied().unwrap_or(b'?'));
        }
    }
}

/// Writes groups separated by dashes.
#[cfg_attr(feature = "small", inline(never))]
pub(super) fn show(kind: Kind, groups: &[Group], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (mut written, mut outcome) = (0_usize, Ok(()));
    symbols(kind, groups, &mut |symbol| {
        if outcome.is_ok() && written != 0 && written.is_multiple_of(GROUP) {
            outcome = f.write_str("-");
        }
        if outcome.is_ok() {
            outcome = fmt::Write::write_char(f, char::from(symbol));
        }
        written = written.saturating_add(1);
    });
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Shown(Kind, Vec<Group>);

    impl fmt::Display for Shown {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            show(self.0, &self.1, f)
        }
    }

    /// All valid groups with this number.
    fn right(number: u8) -> impl Iterator<Item = [u8; 4]> {
        (0..32).flat_map(move |a| {
            (0..32).flat_map(move |b| (0..32).map(move |c| [a, b, c, check(number, &[a, b, c])]))
        })
    }

    fn is_right(number: u8, word: [u8; 4]) -> bool {
        check(number, &[word[0], word[1], word[2]]) == word[3]
    }

    #[test]
    fn every_wrong_symbol_and_every_swap_in_a_group_is_found() {
        let mut tried = 0_u64;
        for number in [1, 2, 3, 17, 18, 19, 20] {
            for word in right(number) {
                assert!(is_right(number, word));
                for at in 0..4 {
                    for error in 1..32 {
                        let mut wrong = word;
                        wrong[at] ^= error;
                        assert!(!is_right(number, wrong), "{number} {word:?} {wrong:?}");
                        tried += 1;
                    }
                    for other in (at + 1..4).filter(|other| word[at] != word[*other]) {
                        let mut swapped = word;
                        swapped.swap(at, other);
                        assert!(!is_right(number, swapped), "{number} {word:?} {swapped:?}");
                        tried += 1;
                    }
                }
            }
        }
        println!("{tried} wrong symbols and swaps of two symbols in a group, all found");
    }

    #[test]
    fn every_swap_across_a_group_and_every_swap_of_groups_is_found() {
        let mut tried = 0_u64;
        // The last symbol of a group and the first of the next: each gets a wrong symbol.
        for (first, second) in [(1, 2), (2, 3), (17, 18), (18, 19), (19, 20)] {
            for left in right(first) {
                // One valid group for each first symbol of the second group is enough: only that
                // symbol changes.
                for start in (0..32).filter(|start| *start != left[3]) {
                    let mut right = [start, 0, 0, check(second, &[start, 0, 0])];
                    let mut left = left;
                    core::mem::swap(&mut left[3], &mut right[0]);
                    assert!(!is_right(first, left) && !is_right(second, right));
                    tried += 1;
                }
            }
        }
        for numbers in [&[1, 2, 3][..], &[17, 18, 19, 20]] {
            for here in numbers {
                for there in numbers.iter().filter(|there| *there != here) {
                    assert!(right(*here).all(|word| !is_right(*there, word)), "{here} {there}");
                    tried += 32 * 32 * 32;
                }
            }
        }
        // A text of one kind is no text of another kind, in any group.
        for (challenge, code) in [1, 2, 3].into_iter().zip([17, 18, 19]) {
            assert!(right(challenge).all(|word| !is_right(code, word)));
        }
        println!("{tried} swaps across groups and of groups, all found");
    }

    #[test]
    fn reading_is_forgiving() {
        let groups = [[0, 1, 31], [16, 17, 18], [0, 0, 1]];
        let shown = Shown(Kind::Challenge, groups.into()).to_string();
        let plain: String = shown.chars().filter(|c| *c != '-').collect();
        let lower = shown.to_lowercase();
        let spoken = [
            shown.clone(),
            plain.clone(),
            lower.replace('0', "o").replace('1', "l"),
            shown.replace('0', "O").replace('1', "I").replace('-', " "),
            shown.replace('1', "i").replace('-', " - "),
            format!("  {} ", plain.split_at(5).0) + plain.split_at(5).1,
        ];
        for text in spoken {
            let mut read_back = [[9; 3]; 3];
            assert_eq!(read(&text, Kind::Challenge, &mut read_back), Ok(()), "{text}");
            assert_eq!(read_back, groups, "{text}");
        }
    }

    #[test]
    fn the_group_of_a_typo_is_named() {
        use SpokenError as E;
        let groups = [[7, 8, 9], [10, 11, 12], [13, 14, 15]];
        let shown = Shown(Kind::Challenge, groups.into()).to_string();
        let read = |text: &str| super::read(text, Kind::Challenge, &mut [[0; 3]; 3]);
        for (at, c) in shown.char_indices().filter(|(_, c)| *c != '-') {
            let other = if c == '7' { "8" } else { "7" };
            let group = u8::try_from(at / 5 + 1).unwrap();
            let (before, behind) = (&shown[..at], &shown[at + 1..]);
            assert_eq!(read(&format!("{before}{other}{behind}")), Err(E::Typo { group }));
            for found in ['U', 'u', '!', '\u{e9}', '\t'] {
                let text = format!("{before}{found}{behind}");
                // White space around a text is ignored.
                if text.trim() == text {
                    assert_eq!(read(&text), Err(E::Symbol { group, found }), "{text}");
                }
            }
            let short = format!("{before}{behind}");
            assert_eq!(read(&short), Err(E::GroupLength { group, found: 3 }), "{short}");
            let long = format!("{before}{c}{c}{behind}");
            assert_eq!(read(&long), Err(E::GroupLength { group, found: 5 }), "{long}");
        }
        assert_eq!(read(""), Err(E::Length { found: 0, wanted: 12 }));
        assert_eq!(read("ABC"), Err(E::Length { found: 3, wanted: 12 }));
        assert_eq!(read(&"A".repeat(1_000)), Err(E::Length { found: 255, wanted: 12 }));
        assert_eq!(read(&shown[..9]), Err(E::Length { found: 8, wanted: 12 }));
        let code = Shown(Kind::Code, vec![[7, 8, 9], [10, 11, 12], [13, 14, 15]]).to_string();
        assert_eq!(read(&code), Err(E::Typo { group: 1 }), "a code is no challenge");
        assert_eq!(E::Typo { group: 2 }.to_string(), "there is a typo in group 2");
    }
}
