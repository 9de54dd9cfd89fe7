//! The file that `wg-quick` reads: its own settings in `[Interface]`, one a line, and between them
//! the text for wg(8), which is passed on byte for byte.
//!
//! Not here: the meaning of the values; only the white space and the comments around them are
//! removed.

use super::span::Columns;
use super::{ConfError, Field, Problem, Span, Stop};

/// The longest value of a setting, and so the longest hook.
pub const QUICK_VALUE_MAX: usize = 16 * 1024;

/// The byte order mark of UTF-8, which is removed at the start of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A part of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part<'t> {
    /// A setting, and its value without white space around it.
    Setting(Field, &'t str),
    /// A piece of a line for wg(8). The end of the line is a piece of its own. The white space at
    /// both ends of the line is removed, and so are NULs.
    Wg(&'t [u8]),
}

/// Takes a part and its place. `Err` stops the reader.
///
/// The place of [`Part::Setting`] has the columns of the name and of the value. The place of [`Part::Wg`] has in
/// `text.from` where the line's text begins: the reader of the line does not see the white space before it.
pub type TakePart<'s> = dyn FnMut(Span, &Part<'_>) -> Result<(), Stop> + 's;

/// The reader's position in a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Before the text that decides about the line.
    Name,
    /// In the value of a setting.
    Value(Field),
    /// After the value of a setting.
    Comment(Field),
    /// In a line for wg(8).
    Wg,
}

/// A file that is being read.
#[derive(Debug)]
pub struct QuickFile<'b> {
    /// The line, and the columns of the name and of the value, or of the line's text.
    at: Span,
    /// Number of bytes of the line so far.
    column: usize,
    in_interface: bool,
    place: Place,
    /// The name or the value so far, or white space that may be the end of a line for wg(8).
    text: &'b mut [u8],
    len: usize,
}

impl Drop for QuickFile<'_> {
    fn drop(&mut self) {
        // A hook may contain a key.
        zeroize::Zeroize::zeroize(self.text);
    }
}

/// Without trailing blanks.
fn without_blanks(bytes: &[u8]) -> &[u8] {
    let last = bytes.iter().rposition(|byte| !matches!(byte, b' ' | b'\t'));
    bytes.get(..last.map_or(0, |last| last.saturating_add(1))).unwrap_or_default()
}

impl<'b> QuickFile<'b> {
    /// A reader before the first byte, of values that fit into `text`: [`QUICK_VALUE_MAX`] bytes for wg-quick(8).
    #[must_use]
    pub const fn new(text: &'b mut [u8]) -> Self {
        let none = Columns { from: 0, to: 0 };
        let at = Span { line: 1, name: none, text: none };
        Self { at, column: 0, in_interface: false, place: Place::Name, text, len: 0 }
    }

    /// The place of the setting that is being read, or that an error is about.
    #[must_use]
    pub const fn span(&self) -> Span {
        self.at
    }

    /// Takes the next bytes, in any number.
    ///
    /// # Errors
    /// The first error. The rest is not read.
    pub fn feed(&mut self, bytes: &[u8], take: &mut TakePart<'_>) -> Result<(), ConfError> {
        let mut rest = bytes;
        while let Some((byte, behind)) = rest.split_first() {
            if self.place == Place::Wg {
                let run = rest.iter().take_while(|byte| !matches!(byte, 0 | b'\n')).count();
                if let (1.., Some((run, behind))) = (run, rest.split_at_checked(run)) {
                    rest = behind;
                    self.column = self.column.saturating_add(run.len());
                    self.pass(run, take)?;
                    continue;
                }
            }
            rest = behind;
            match byte {
                0 => {}
                b'\n' => self.end_line(take)?,
                byte => self.byte(*byte, take)?,
            }
            if *byte != b'\n' {
                self.column = self.column.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// An error in its last line.
    pub fn end(&mut self, take: &mut TakePart<'_>) -> Result<(), ConfError> {
        if self.place == Place::Name && self.len == 0 { Ok(()) } else { self.end_line(take) }
    }

    fn byte(&mut self, byte: u8, take: &mut TakePart<'_>) -> Result<(), ConfError> {
        match (self.place, byte) {
            (Place::Comment(_), _) => Ok(()),
            (Place::Value(setting), b'#') if !setting.is_command() => {
                self.place = Place::Comment(setting);
                Ok(())
            }
            (Place::Value(setting), byte) => match self.push(byte) {
                true => {
                    self.mark(byte);
                    Ok(())
                }
                false => {
                    // A reader that continues does so at the next line.
                    (self.place, self.len) = (Place::Name, 0);
                    Err(ConfError::new(self.at.line, setting.name(), Problem::TooLong))
                }
            },
            (Place::Name, b' ' | b'\t') if self.len == 0 => Ok(()),
            (Place::Name, b'=') => {
                self.enter();
                match self.named() {
                    Some(setting) if self.in_interface => {
                        (self.place, self.len) = (Place::Value(setting), 0);
                        let behind = self.column.saturating_add(1);
                        self.at.name = self.at.text;
                        self.at.text = Columns { from: behind, to: behind };
                        Ok(())
                    }
                    _ => self.leave(byte, take),
                }
            }
            (Place::Name, b'#') => {
                self.enter();
                self.leave(byte, take)
            }
            // In a line for wg(8) every special byte belongs to a longer text.
            (Place::Name | Place::Wg, byte) => match self.push(byte) {
                true => {
                    self.mark(byte);
                    // Windows editors start files with it.
                    if self.at.line == 1 && self.text.get(..self.len) == Some(BYTE_ORDER_MARK) {
                        self.len = 0;
                        self.at.text = Columns::default();
                    }
                    Ok(())
                }
                false => self.leave(byte, take),
            },
        }
    }

    /// Appends a byte, if there is room.
    fn push(&mut self, byte: u8) -> bool {
        let place = self.text.get_mut(self.len);
        let fits = place.is_some();
        if let Some(place) = place {
            *place = byte;
            self.len = self.len.saturating_add(1);
        }
        fits
    }

    /// A byte of the name, of the value or of the line's text was read.
    fn mark(&mut self, byte: u8) {
        if !byte.is_ascii_whitespace() {
            if self.at.text.from == self.at.text.to {
                self.at.text.from = self.column;
            }
            self.at.text.to = self.column.saturating_add(1);
        }
    }

    fn text(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default().trim_ascii()
    }

    /// The setting with the name that was read.
    fn named(&self) -> Option<Field> {
        Field::of_quick(self.text())
    }

    /// Checks whether the line starts a section.
    fn enter(&mut self) {
        let text = self.text();
        if text.first() == Some(&b'[') {
            self.in_interface = text.eq_ignore_ascii_case(b"[Interface]");
        }
    }

    /// The line is for wg(8), and `byte` is its next byte.
    fn leave(&mut self, byte: u8, take: &mut TakePart<'_>) -> Result<(), ConfError> {
        self.place = Place::Wg;
        self.mark(byte);
        let line = self.text.get(..self.len).unwrap_or_default();
        let kept = without_blanks(line).len();
        tell(self.at, &Part::Wg(line.get(..kept).unwrap_or_default()), take)?;
        self.text.copy_within(kept..self.len, 0);
        self.len = self.len.saturating_sub(kept);
        self.pass(&[byte], take)
    }

    /// Passes on a piece of a line for wg(8), without blanks that may be its end.
    fn pass(&mut self, piece: &[u8], take: &mut TakePart<'_>) -> Result<(), ConfError> {
        let kept = without_blanks(piece);
        if !kept.is_empty() {
            self.pass_held(take)?;
            tell(self.at, &Part::Wg(kept), take)?;
        }
        for blank in piece.get(kept.len()..).unwrap_or_default() {
            if !self.push(*blank) {
                // This many blanks do not matter.
                self.pass_held(take)?;
                let _ = self.push(*blank);
            }
        }
        Ok(())
    }

    fn pass_held(&mut self, take: &mut TakePart<'_>) -> Result<(), ConfError> {
        let held = self.text.get(..core::mem::take(&mut self.len)).unwrap_or_default();
        if held.is_empty() { Ok(()) } else { tell(self.at, &Part::Wg(held), take) }
    }

    fn end_line(&mut self, take: &mut TakePart<'_>) -> Result<(), ConfError> {
        let told = self.tell_line(take);
        // Also after a mistake: a reader that continues does so at the next line.
        (self.place, self.len, self.column) = (Place::Name, 0, 0);
        self.at = Span { line: self.at.line.saturating_add(1), ..Span::default() };
        told
    }

    fn tell_line(&mut self, take: &mut TakePart<'_>) -> Result<(), ConfError> {
        match self.place {
            Place::Value(setting) | Place::Comment(setting) => {
                let wrong = |problem| ConfError::new(self.at.line, setting.name(), problem);
                let value = core::str::from_utf8(self.text());
                let value = value.map_err(|_| wrong(Problem::Value("is not UTF-8 text")))?;
                tell(self.at, &Part::Setting(setting, value), take)?;
            }
            Place::Name => {
                self.enter();
                let line = without_blanks(self.text.get(..self.len).unwrap_or_default());
                if !line.is_empty() {
                    tell(self.at, &Part::Wg(line), take)?;
                }
                tell(self.at, &Part::Wg(b"\n"), take)?;
            }
            Place::Wg => tell(self.at, &Part::Wg(b"\n"), take)?,
        }
        Ok(())
    }
}

fn tell(at: Span, part: &Part<'_>, take: &mut TakePart<'_>) -> Result<(), ConfError> {
    take(at, part).map_err(|Stop| ConfError::new(at.line, "", Problem::Stopped))
}

#[cfg(test)]
mod tests;
