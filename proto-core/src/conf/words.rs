//! The words of `wg set` after the name of the interface.

use super::field::Names;
use super::span::Span;
use super::value::allowed_ip;
use super::{ConfError, Field, Item, Problem, Section, Take, text_of};

/// The longest entry of a list of allowed IPs without its white space, with room for leading zeros.
const ENTRY_MAX: usize = 64;

/// Reads the words of a command line.
///
/// # Errors
/// The first error. The rest is not read.
pub fn words(words: &mut dyn Iterator<Item = &str>, take: &mut Take<'_>) -> Result<(), ConfError> {
    let mut section = Section::Interface;
    while let Some(word) = words.next() {
        let wrong = |problem| ConfError::new(0, word, problem);
        let names = Field::of_word(word).ok_or(wrong(Problem::Unknown))?;
        let Names { section: place, field, .. } = names;
        if *place != section && *place != Section::None {
            return Err(wrong(Problem::Misplaced));
        }
        let mut told =
            |item: &Item<'_>| take(Span::default(), item).map_err(|stop| wrong(stop.into()));
        if *field == Field::Remove {
            told(&Item::Remove)?;
            continue;
        }
        let value = words.next().ok_or(wrong(Problem::NoValue))?;
        match field {
            Field::AllowedIps => list(value, &mut told)?,
            _ => {
                if *field == Field::Peer {
                    section = Section::Peer;
                    told(&Item::Peer)?;
                }
                told(&field.item(value.as_bytes()).map_err(|problem| wrong(problem).with(value))?)?;
            }
        }
    }
    Ok(())
}

/// Splits a list. An empty list has no entries.
fn list(
    text: &str,
    tell: &mut dyn FnMut(&Item<'_>) -> Result<(), ConfError>,
) -> Result<(), ConfError> {
    tell(&Item::AllowedIps)?;
    let space = |byte: &u8| matches!(byte, b'\t'..=b'\r' | b' ');
    if text.bytes().all(|byte| space(&byte)) {
        return Ok(());
    }
    for entry in text.as_bytes().split(|byte| *byte == b',') {
        let mut place = [0; ENTRY_MAX];
        let mut len = 0_usize;
        for byte in entry.iter().filter(|byte| !space(byte)) {
            let wrong = || ConfError::new(0, "allowed-ips", Problem::TooLong);
            *place.get_mut(len).ok_or_else(wrong)? = *byte;
            len = len.saturating_add(1);
        }
        let entry = place.get(..len).unwrap_or_default();
        let wrong = |problem| ConfError::new(0, "allowed-ips", problem).with(text_of(entry));
        tell(&allowed_ip(entry, true).map_err(wrong)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
