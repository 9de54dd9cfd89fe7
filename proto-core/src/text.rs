//! Splitting text at ASCII characters, parsing numbers, and a short text that is `Copy`.
//!
//! `core` has all of these functions, but its searches are generic and inlined at every use: 100 to
//! 300 bytes of program each.

mod short;

pub use short::Text;

/// Returns `true` for characters that can disguise text: control characters, line ends, invisible characters and those
/// that change the writing direction.
#[must_use]
pub fn misleads(c: char) -> bool {
    let unseen = matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}');
    c.is_control() || unseen
}

/// The longest prefix of `text` within `most` bytes, cut between two characters.
#[must_use]
#[cfg_attr(feature = "small", inline(never))]
pub fn prefix(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

/// The parts before and after the first `at`, an ASCII character. `None` if the text does not
/// contain it.
#[must_use]
#[cfg_attr(feature = "small", inline(never))]
pub fn split(text: &str, at: u8) -> Option<(&str, &str)> {
    halves(text, text.bytes().position(|byte| byte == at)?)
}

/// The parts before and after the last `at`, an ASCII character. `None` if the text does not
/// contain it.
#[must_use]
#[cfg_attr(feature = "small", inline(never))]
pub fn split_last(text: &str, at: u8) -> Option<(&str, &str)> {
    halves(text, text.bytes().rposition(|byte| byte == at)?)
}

fn halves(text: &str, at: usize) -> Option<(&str, &str)> {
    Some((text.get(..at)?, text.get(at.checked_add(1)?..)?))
}

/// A number of digits only, without a sign. `None` for any other text.
#[must_use]
pub fn number(text: &str) -> Option<u32> {
    digits(text.as_bytes())
}

/// A number of digits in bytes that may not be text.
#[cfg_attr(feature = "small", inline(never))]
pub(crate) fn digits(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    let mut number = 0_u32;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(digit.into())?;
    }
    Some(number)
}

/// The maximum number of digits of a number.
pub const DECIMAL_LEN: usize = 20;

/// Writes a number in digits into `buf`.
#[cfg_attr(feature = "small", inline(never))]
pub fn decimal(number: u64, buf: &mut [u8; DECIMAL_LEN]) -> &[u8] {
    let (mut number, mut from) = (number, DECIMAL_LEN);
    while let Some(place) = from.checked_sub(1).and_then(|at| buf.get_mut(at)) {
        *place = b'0' | (number % 10) as u8;
        number /= 10;
        from = from.saturating_sub(1);
        if number == 0 {
            break;
        }
    }
    buf.get(from..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers() {
        for text in ["0", "007", "4294967295", "4294967296", "", "+1", "-1", "1a", "\u{661}"] {
            let plain = text.bytes().all(|byte| byte.is_ascii_digit());
            assert_eq!(number(text), text.parse().ok().filter(|_| plain), "{text}");
        }
    }

    proptest! {
        #[test]
        fn numbers_as_core_shows_them(number: u64, shift in 0..64_u32) {
            for number in [number >> shift, u64::MAX, 0] {
                let mut buf = [0; DECIMAL_LEN];
                let text = core::str::from_utf8(decimal(number, &mut buf)).unwrap();
                prop_assert_eq!(text, number.to_string());
            }
        }

        #[test]
        fn as_str_does_it(text in "[ab:é=]{0,9}", most in 0..12_usize) {
            prop_assert_eq!(split(&text, b':'), text.split_once(':'));
            prop_assert_eq!(split_last(&text, b'='), text.rsplit_once('='));
            let longest = (0..=most).filter_map(|end| text.get(..end)).next_back();
            prop_assert_eq!(Some(prefix(&text, most)), longest.filter(|_| most <= text.len()).or(
                longest.or(Some(&text))));
        }
    }
}
