//! Labels of routers: a number, the secret that allows one claim over UDP, and the text in the QR code.
//!
//! | module | does |
//! |---|---|
//! | `draw` | the label as SVG, PNG and ZPL |
//!
//! Not here: the key that is made of a secret, which is `proto_core::protocol::session::LabelKey`.

mod draw;

use std::fmt;

use zeroize::Zeroizing;

pub use draw::{Dpi, png, svg, zpl};

/// The first part of the text in a QR code. All of the text is in the alphanumeric mode of QR codes, which takes a
/// third fewer dots.
const SCHEME: &str = "POSTWIRE";
/// The version of the text.
const VERSION: &str = "1";
/// The symbols of a secret: no two look alike on a small label.
const SYMBOLS: &[u8; 30] = b"23456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Number of symbols in a secret: 117 bits.
const SECRET_LEN: usize = 24;
/// Number of symbols in a group of a secret.
const GROUP: usize = 4;
/// The most characters of a label's number: those of a router's name in most lists.
pub const MAX_NUMBER: usize = 31;

/// A label. Its `Debug` output has no secret.
pub struct Label {
    number: String,
    /// In groups, as people read it.
    secret: Zeroizing<String>,
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Label").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Why a text is not that of a label.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LabelError {
    /// It begins otherwise.
    #[error("this is not a label of Postwire: its text begins with `{SCHEME}:`")]
    Other,
    /// The version is unknown.
    #[error("the label has a format that this version of postwire does not know")]
    Version,
    /// Parts are missing, or there are too many.
    #[error("the label's text is damaged: expected `{SCHEME}:{VERSION}:NUMBER:SECRET`")]
    Parts,
    /// The number has other characters, or too many.
    #[error(
        "the number on the label has other characters than letters, digits, `-` and `.`, or more than {MAX_NUMBER}"
    )]
    Number,
    /// The secret has another length, or other symbols.
    #[error("the secret on the label is damaged: expected {SECRET_LEN} letters and digits")]
    Secret,
}

impl Label {
    /// A label with a new secret.
    ///
    /// # Errors
    /// No randomness.
    pub fn generate(number: &str) -> Result<Self, getrandom::Error> {
        let mut secret = Zeroizing::new(String::with_capacity(SECRET_LEN + SECRET_LEN / GROUP));
        let mut symbols = 0;
        while symbols < SECRET_LEN {
            let mut byte = Zeroizing::new([0]);
            getrandom::fill(byte.as_mut())?;
            // 240 is a multiple of 30: every symbol is as likely.
            if byte[0] >= 240 {
                continue;
            }
            if symbols > 0 && symbols % GROUP == 0 {
                secret.push('-');
            }
            secret.push(char::from(SYMBOLS[usize::from(byte[0]) % SYMBOLS.len()]));
            symbols += 1;
        }
        Ok(Self { number: number.to_ascii_uppercase(), secret })
    }

    /// Reads what a scanner or a phone reads from the QR code.
    ///
    /// # Errors
    /// [`LabelError`]. No error contains the text.
    pub fn parse(text: &str) -> Result<Self, LabelError> {
        let text = Zeroizing::new(text.trim().to_ascii_uppercase());
        let mut parts = text.split(':');
        if parts.next() != Some(SCHEME) {
            return Err(LabelError::Other);
        }
        if parts.next() != Some(VERSION) {
            return Err(LabelError::Version);
        }
        let (Some(number), Some(secret), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(LabelError::Parts);
        };
        if !is_number(number) {
            return Err(LabelError::Number);
        }
        // A message on a phone may have broken it over two lines.
        let is_symbol = |byte: &u8| *byte != b'-' && !byte.is_ascii_whitespace();
        let plain: Zeroizing<Vec<u8>> = Zeroizing::new(secret.bytes().filter(is_symbol).collect());
        if plain.len() != SECRET_LEN || !plain.iter().all(|byte| SYMBOLS.contains(byte)) {
            return Err(LabelError::Secret);
        }
        let mut grouped = Zeroizing::new(String::with_capacity(SECRET_LEN + SECRET_LEN / GROUP));
        for (nth, byte) in plain.iter().enumerate() {
            if nth > 0 && nth % GROUP == 0 {
                grouped.push('-');
            }
            grouped.push(char::from(*byte));
        }
        Ok(Self { number: number.to_owned(), secret: grouped })
    }

    /// Whether a text is meant to be that of a label. It may have a secret in it, so it is not to be shown.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.to_ascii_uppercase().contains(&format!("{SCHEME}:"))
    }

    /// The number.
    #[must_use]
    pub fn number(&self) -> &str {
        &self.number
    }

    /// The secret, in groups of four.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The text in the QR code.
    #[must_use]
    pub fn claim(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(self.secret.replace('-', ""));
        Zeroizing::new(format!("{SCHEME}:{VERSION}:{}:{}", self.number, *secret))
    }
}

/// Whether a text can be the number of a label.
#[must_use]
pub fn is_number(text: &str) -> bool {
    let is = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    (1..=MAX_NUMBER).contains(&text.len()) && text.bytes().all(is)
}

#[cfg(test)]
mod tests {
    use proto_core::protocol::session::LabelKey;

    use super::*;

    #[test]
    fn a_scanned_label_is_the_one_that_was_made() {
        let made = Label::generate("unit-0001").unwrap();
        let read = Label::parse(&format!("{}\r\n", made.claim().to_lowercase())).unwrap();
        assert_eq!((read.number(), read.secret()), ("UNIT-0001", made.secret()));
        let broken = made.claim().replacen(
            made.secret().get(..4).unwrap(),
            &format!("{}\r\n ", &made.secret()[..4]),
            1,
        );
        assert_eq!(Label::parse(&broken).unwrap().secret(), made.secret());
        assert_eq!(
            Label::parse(&format!(" POSTWIRE:1:UNIT-0001:{} ", made.secret())).unwrap().secret(),
            made.secret()
        );
        assert_eq!(made.secret().len(), 29);
        assert_ne!(made.secret(), Label::generate("unit-0001").unwrap().secret());
        // The secret as it is typed is the secret as it is scanned.
        let proof = |text: &str| LabelKey::of(text).unwrap().proof(&[1; 32]);
        assert_eq!(proof(made.secret()), proof(&made.secret().replace('-', "")));
        assert_eq!(format!("{made:?}"), "Label { number: \"UNIT-0001\", .. }");
    }

    #[test]
    fn a_text_that_is_no_label_says_why() {
        let error = |text: &str| Label::parse(text).unwrap_err();
        assert_eq!(error("https://example.com"), LabelError::Other);
        assert_eq!(error("WIFI:T:WPA;S:x;;"), LabelError::Other);
        assert_eq!(error("POSTWIRE:2:A:B"), LabelError::Version);
        assert_eq!(error("POSTWIRE:1:A"), LabelError::Parts);
        assert_eq!(error("POSTWIRE:1:A:B:C"), LabelError::Parts);
        assert_eq!(error("POSTWIRE:1:A B:C"), LabelError::Number);
        assert_eq!(error(&format!("POSTWIRE:1:{}:C", "A".repeat(32))), LabelError::Number);
        assert_eq!(error("POSTWIRE:1:A:2345"), LabelError::Secret);
        assert_eq!(error(&format!("POSTWIRE:1:A:{}", "0".repeat(24))), LabelError::Secret);
    }
}
