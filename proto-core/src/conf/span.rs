//! Places in a configuration file: the line, and columns in the line.

/// Bytes of a line, from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Columns {
    /// The first byte.
    pub from: usize,
    /// The byte after the last one.
    pub to: usize,
}

/// The place of an item or a mistake in its line. All zeros for words of a command line.
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

/// The columns of the text that is being read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// The byte of the piece at which the line starts. Wraps around zero for a line that started in
    /// an earlier piece.
    start: usize,
    name: Columns,
    text: Columns,
}

impl Place {
    pub(super) const fn span(&self, line: u32) -> Span {
        Span { line, name: self.name, text: self.text }
    }

    const fn empty(&self, at: usize) -> Columns {
        let column = at.wrapping_sub(self.start);
        Columns { from: column, to: column }
    }

    /// The bytes `from..to` of the piece belong to the text that is being read.
    pub(super) const fn text(&mut self, from: usize, to: usize) {
        if self.text.from == self.text.to {
            self.text.from = from.wrapping_sub(self.start);
        }
        self.text.to = to.wrapping_sub(self.start);
    }

    /// The text that was read is a name. Its value starts at byte `at` of the piece.
    pub(super) const fn named(&mut self, at: usize) {
        self.name = self.text;
        self.text = self.empty(at);
    }

    /// The next entry of a list starts at byte `at` of the piece.
    pub(super) const fn entry(&mut self, at: usize) {
        self.text = self.empty(at);
    }

    /// The next line starts at byte `at` of the piece.
    pub(super) fn newline(&mut self, at: usize) {
        *self = Self { start: at, ..Self::default() };
    }

    /// A piece of `len` bytes ends.
    pub(super) const fn fed(&mut self, len: usize) {
        self.start = self.start.wrapping_sub(len);
    }
}
