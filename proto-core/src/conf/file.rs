//! The file that `wg setconf` reads and `wg showconf` writes: sections, `Key = value` lines and
//! comments. White space is ignored everywhere, and keys may be in any case.

use super::field::{Names, is_name};
use super::span::{Place, Span};
use super::value::allowed_ip;
use super::{ConfError, Field, Item, Problem, Section, Take, text_of};

/// The longest value, other than a list: a host name has at most 253 bytes.
pub const VALUE_MAX: usize = 320;

/// Whether a byte has no special meaning: neither `=`, nor `,` or a byte with a smaller value.
const fn is_plain(byte: u8) -> bool {
    byte > b',' && byte != b'='
}

/// Number of bytes before the first special one. It tests eight bytes at a time, because most bytes
/// of a file are plain.
#[cfg_attr(feature = "small", inline(never))]
fn plain(bytes: &[u8]) -> usize {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = EACH << 7;
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut at = 0_usize;
    for eight in eights {
        let eight = u64::from_le_bytes(*eight);
        // The high bit of each byte that is small, or zero; no bit before the first of these bytes.
        let small = eight.wrapping_sub(EACH.wrapping_mul(0x2d)) & !eight;
        let equals = eight ^ EACH.wrapping_mul(0x3d);
        let equals = equals.wrapping_sub(EACH) & !equals;
        let found = (small | equals) & HIGH;
        if found != 0 {
            return at.saturating_add((found.trailing_zeros() / 8) as usize);
        }
        at = at.saturating_add(8);
    }
    let more = rest.iter().take_while(|byte| is_plain(**byte)).count();
    at.saturating_add(more)
}

/// A file that is being read.
#[derive(Debug)]
pub struct File {
    /// Whether mistakes are passed to the taker.
    all_errors: bool,
    place: Place,
    line: u32,
    section: Section,
    /// The setting whose value is being read, with its name.
    field: Option<(&'static str, Field)>,
    /// Whether everything up to the end of the line is skipped.
    comment: bool,
    /// The place at which the last peer started, until its key is known.
    keyless: Option<Span>,
    text: [u8; VALUE_MAX],
    len: usize,
}

impl Default for File {
    fn default() -> Self {
        Self {
            all_errors: false,
            place: Place::default(),
            line: 1,
            section: Section::None,
            field: None,
            comment: false,
            keyless: None,
            text: [0; VALUE_MAX],
            len: 0,
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl File {
    /// A reader before the first byte, which stops at the first mistake.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A reader before the first byte that passes each mistake to the taker, as [`Item::Mistake`], and continues
    /// with the rest of the line or of the list.
    #[must_use]
    pub fn all_errors() -> Self {
        Self { all_errors: true, ..Self::default() }
    }

    /// Wipes the last value, which may be a key.
    fn wipe(&mut self) {
        zeroize::Zeroize::zeroize(self.text.as_mut_slice());
    }

    /// Takes the next bytes, in any number.
    ///
    /// # Errors
    /// The first error; the rest is not read. From [`File::all_errors`]: only that the taker stopped.
    pub fn feed(&mut self, bytes: &[u8], take: &mut Take<'_>) -> Result<(), ConfError> {
        // The name or value that is being read stays in the input, in this range, as long as it is
        // in one piece.
        let (mut from, mut to) = (0, 0);
        let mut at = 0_usize;
        while let Some(byte) = bytes.get(at) {
            let here = at;
            // Plain bytes are the most common, and are skipped together.
            let length =
                if is_plain(*byte) { plain(bytes.get(at..).unwrap_or_default()) } else { 1 };
            at = at.saturating_add(length);
            let run = || bytes.get(from..to).unwrap_or_default();
            match byte {
                b'\n' => {
                    self.end_line(run(), take)?;
                    self.place.newline(at);
                    self.line = self.line.saturating_add(1);
                    from = to;
                }
                _ if self.comment => {}
                // As in `wg`, which reads lines as C strings.
                b'#' | 0 => self.comment = true,
                b'\t'..=b'\r' | b' ' => {}
                b'=' if self.field.is_none() => {
                    match self.begin_value(run(), at, take) {
                        Ok(()) => {}
                        Err(error) => self.pass_line(error, take)?,
                    }
                    from = to;
                }
                b',' if self.in_list() => {
                    self.end_entry(run(), take)?;
                    self.place.entry(at);
                    from = to;
                }
                _ => {
                    if from != to && to != here {
                        let kept = self.put(run());
                        from = to;
                        if let Err(error) = kept {
                            self.pass_line(error, take)?;
                            continue;
                        }
                    }
                    self.place.text(here, at);
                    if from == to {
                        from = here;
                    }
                    to = at;
                }
            }
        }
        let kept = self.put(bytes.get(from..to).unwrap_or_default());
        let kept = kept.or_else(|error| self.pass_line(error, take));
        self.place.fed(bytes.len());
        kept
    }

    /// Handles a mistake in the text that is being read.
    fn mistake(&self, error: ConfError, take: &mut Take<'_>) -> Result<(), ConfError> {
        match error.problem {
            Problem::Stopped => Err(error),
            _ => self.mistake_at(self.place.span(self.line), error, take),
        }
    }

    fn mistake_at(
        &self,
        mut place: Span,
        error: ConfError,
        take: &mut Take<'_>,
    ) -> Result<(), ConfError> {
        if !self.all_errors {
            return Err(error);
        }
        if error.problem == Problem::TooLong {
            // The end depends on how the file was split.
            place.text.to = place.text.from;
        }
        let stopped = ConfError::new(place.line, "", Problem::Stopped);
        take(place, &Item::Mistake(error)).map_err(|_| stopped)
    }

    /// Handles a mistake, and skips the rest of the line.
    fn pass_line(&mut self, error: ConfError, take: &mut Take<'_>) -> Result<(), ConfError> {
        self.mistake(error, take)?;
        self.forget_line();
        Ok(())
    }

    /// Skips the rest of the line.
    fn forget_line(&mut self) {
        if matches!(self.field, Some((_, Field::PublicKey))) {
            self.keyless = None;
        }
        (self.field, self.len, self.comment) = (None, 0, true);
    }

    /// Appends to the name or value that is being read.
    #[cfg_attr(feature = "small", inline(never))]
    fn put(&mut self, run: &[u8]) -> Result<(), ConfError> {
        let end = self.len.saturating_add(run.len());
        match self.text.get_mut(self.len..end) {
            Some(place) => place.copy_from_slice(run),
            // Without the part that fitted, which depends on how the file was split.
            None => {
                let name = self.field.map_or("", |(name, _)| name);
                return Err(ConfError::new(self.line, name, Problem::TooLong));
            }
        }
        self.len = end;
        Ok(())
    }

    /// Completes the name or value. The part of it in `run` is appended unless `run` has all of it.
    fn whole(&mut self, run: &[u8]) -> Result<(), ConfError> {
        if self.len == 0 && run.len() <= VALUE_MAX { Ok(()) } else { self.put(run) }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// An error in its last line, or in the last peer.
    pub fn end(&mut self, take: &mut Take<'_>) -> Result<(), ConfError> {
        self.end_line(&[], take)?;
        self.peer_is_known(take)
    }

    const fn in_list(&self) -> bool {
        matches!(self.field, Some((_, Field::AllowedIps)))
    }

    /// The complete name or value.
    fn text<'t>(&'t self, run: &'t [u8]) -> &'t [u8] {
        if self.len == 0 { run } else { self.text.get(..self.len).unwrap_or_default() }
    }

    /// The error about the text that is being read.
    #[cfg_attr(feature = "small", inline(never))]
    fn wrong(&self, run: &[u8], problem: Problem) -> ConfError {
        let text = text_of(self.text(run));
        let Some((name, field)) = self.field else {
            return ConfError::new(self.line, text, problem);
        };
        let error = ConfError::new(self.line, name, problem);
        if field.is_key() { error } else { error.with(text) }
    }

    /// An `=`: the text before it is the name of a setting.
    fn begin_value(&mut self, run: &[u8], at: usize, take: &mut Take<'_>) -> Result<(), ConfError> {
        self.whole(run)?;
        if self.section == Section::Other {
            self.forget_line();
            return Ok(());
        }
        let text = self.text(run);
        let problem = match Field::of_wg(text) {
            None => Problem::Unknown,
            Some(_) if self.section == Section::None => Problem::NoSection,
            Some(names) if names.section != self.section => Problem::Misplaced,
            Some(Names { file, field, .. }) => {
                self.field = Some((file, *field));
                self.len = 0;
                self.place.named(at);
                if !self.in_list() {
                    return Ok(());
                }
                return self.tell(&[], take, &Item::AllowedIps);
            }
        };
        Err(self.wrong(run, problem))
    }

    fn tell(&self, run: &[u8], take: &mut Take<'_>, item: &Item<'_>) -> Result<(), ConfError> {
        take(self.place.span(self.line), item).map_err(|stop| self.wrong(run, stop.into()))
    }

    /// The end of an entry of a list.
    fn end_entry(&mut self, run: &[u8], take: &mut Take<'_>) -> Result<(), ConfError> {
        match self.entry(run, take) {
            // How much of it is there depends on how the file was split.
            Err(error) if error.problem == Problem::TooLong => self.pass_line(error, take)?,
            Err(error) => self.mistake(error, take)?,
            Ok(()) => {}
        }
        self.len = 0;
        Ok(())
    }

    fn entry(&mut self, run: &[u8], take: &mut Take<'_>) -> Result<(), ConfError> {
        self.whole(run)?;
        let item = allowed_ip(self.text(run), false);
        let item = item.map_err(|problem| self.wrong(run, problem))?;
        self.tell(run, take, &item)
    }

    fn end_line(&mut self, run: &[u8], take: &mut Take<'_>) -> Result<(), ConfError> {
        if let Err(error) = self.line_ends(run, take) {
            self.pass_line(error, take)?;
        }
        (self.field, self.len, self.comment) = (None, 0, false);
        Ok(())
    }

    fn line_ends(&mut self, run: &[u8], take: &mut Take<'_>) -> Result<(), ConfError> {
        match self.field {
            Some((_, field)) if field != Field::AllowedIps => {
                self.whole(run)?;
                let text = self.text(run);
                if text.is_empty() {
                    return Err(self.wrong(run, Problem::NoValue));
                }
                // For wg(8) this is a mistake.
                let generate = self.all_errors
                    && field == Field::PrivateKey
                    && text.eq_ignore_ascii_case(b"generate");
                let item = if generate { Ok(Item::GeneratePrivateKey) } else { field.item(text) };
                let item = item.map_err(|problem| self.wrong(run, problem))?;
                self.tell(run, take, &item)?;
                match field {
                    Field::PublicKey => self.keyless = None,
                    // The caller wipes the input.
                    _ if field.is_key() && self.len > 0 => self.wipe(),
                    _ => {}
                }
            }
            Some(_) => self.end_entry(run, take)?,
            None if self.len == 0 && run.is_empty() => {}
            None => self.begin_section(run, take)?,
        }
        Ok(())
    }

    fn begin_section(&mut self, run: &[u8], take: &mut Take<'_>) -> Result<(), ConfError> {
        self.whole(run)?;
        let text = self.text(run);
        let name = match text {
            [b'[', name @ .., b']'] => name,
            [b'[', ..] => &[],
            _ => return Err(self.wrong(run, Problem::NoEquals)),
        };
        if is_name(name, "Interface") {
            self.section = Section::Interface;
            if self.all_errors {
                self.tell(&[], take, &Item::Interface)?;
            }
        } else if is_name(name, "Peer") {
            self.peer_is_known(take)?;
            self.keyless = Some(self.place.span(self.line));
            self.section = Section::Peer;
            self.tell(run, take, &Item::Peer)?;
        } else {
            let error = self.wrong(run, Problem::UnknownSection);
            self.section = Section::Other;
            return Err(error);
        }
        Ok(())
    }

    fn peer_is_known(&self, take: &mut Take<'_>) -> Result<(), ConfError> {
        let Some(place) = self.keyless else { return Ok(()) };
        let error = ConfError::new(place.line, "", Problem::NoPublicKey);
        self.mistake_at(place, error, take)
    }
}

#[cfg(test)]
mod tests;
