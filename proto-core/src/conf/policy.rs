//! A reader's treatment of places and mistakes. [`FirstError`] knows line numbers and stops at the
//! first mistake; [`AllErrors`] also knows columns, and continues with the rest of the line or of
//! the list.

use core::fmt;

use super::{ConfError, Item, Problem, Take};

/// A reader's treatment of places and mistakes. The default methods do nothing.
pub trait Policy: Default + fmt::Debug {
    /// Whether `PrivateKey = generate` is [`Item::GeneratePrivateKey`]. For wg(8) it is a mistake.
    const GENERATES: bool = false;
    /// The place of an item.
    type Place: Copy + fmt::Debug;

    /// Returns the place of the text that is being read.
    fn place(&self, line: u32) -> Self::Place;

    /// Returns the line of a place.
    fn line(place: Self::Place) -> u32;

    /// Handles a mistake.
    ///
    /// # Errors
    /// The error stops the reader.
    fn mistake(
        &self,
        place: Self::Place,
        error: ConfError,
        take: &mut Take<'_, Self::Place>,
    ) -> Result<(), ConfError>;

    /// An `[Interface]` starts.
    ///
    /// # Errors
    /// The error stops the reader.
    fn interface(&self, _line: u32, _take: &mut Take<'_, Self::Place>) -> Result<(), ConfError> {
        Ok(())
    }

    /// The bytes `from..to` of the piece belong to the text that is being read.
    fn text(&mut self, _from: usize, _to: usize) {}

    /// The text that was read is a name. Its value starts at byte `at` of the piece.
    fn named(&mut self, _at: usize) {}

    /// The next entry of a list starts at byte `at` of the piece.
    fn entry(&mut self, _at: usize) {}

    /// The next line starts at byte `at` of the piece.
    fn newline(&mut self, _at: usize) {}

    /// A piece of `len` bytes ends.
    fn fed(&mut self, _len: usize) {}
}

/// Stops the reader at the first mistake. A place is the number of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FirstError;

impl Policy for FirstError {
    type Place = u32;

    fn place(&self, line: u32) -> u32 {
        line
    }

    fn line(place: u32) -> u32 {
        place
    }

    fn mistake(&self, _: u32, error: ConfError, _: &mut Take<'_>) -> Result<(), ConfError> {
        Err(error)
    }
}

/// Bytes of a line, from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Columns {
    /// The first byte.
    pub from: usize,
    /// The byte after the last one.
    pub to: usize,
}

/// The place of an item or a mistake in its line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// The line, from 1.
    pub line: u32,
    /// The name of the setting. Empty if `text` is not the name of a setting that is allowed there.
    pub name: Columns,
    /// The value, the entry of a list, the section, or other text. Empty, at its place, if there is
    /// no value.
    pub text: Columns,
}

/// Passes each mistake to the taker, as [`Item::Mistake`], and continues.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AllErrors {
    /// The byte of the piece at which the line starts. Wraps around zero for a line that started in
    /// an earlier piece.
    start: usize,
    name: Columns,
    text: Columns,
}

impl AllErrors {
    const fn empty(&self, at: usize) -> Columns {
        let column = at.wrapping_sub(self.start);
        Columns { from: column, to: column }
    }

    fn stopped(line: u32) -> ConfError {
        ConfError::new(line, "", Problem::Stopped)
    }
}

impl Policy for AllErrors {
    const GENERATES: bool = true;
    type Place = Span;

    fn place(&self, line: u32) -> Span {
        Span { line, name: self.name, text: self.text }
    }

    fn line(place: Span) -> u32 {
        place.line
    }

    fn mistake(
        &self,
        mut place: Span,
        error: ConfError,
        take: &mut Take<'_, Span>,
    ) -> Result<(), ConfError> {
        if error.problem == Problem::TooLong {
            // The end depends on how the file was split.
            place.text.to = place.text.from;
        }
        take(place, &Item::Mistake(error)).map_err(|_| Self::stopped(place.line))
    }

    fn interface(&self, line: u32, take: &mut Take<'_, Span>) -> Result<(), ConfError> {
        take(self.place(line), &Item::Interface).map_err(|_| Self::stopped(line))
    }

    fn text(&mut self, from: usize, to: usize) {
        if self.text.from == self.text.to {
            self.text.from = from.wrapping_sub(self.start);
        }
        self.text.to = to.wrapping_sub(self.start);
    }

    fn named(&mut self, at: usize) {
        self.name = self.text;
        self.text = self.empty(at);
    }

    fn entry(&mut self, at: usize) {
        self.text = self.empty(at);
    }

    fn newline(&mut self, at: usize) {
        *self = Self { start: at, ..Self::default() };
    }

    fn fed(&mut self, len: usize) {
        self.start = self.start.wrapping_sub(len);
    }
}
