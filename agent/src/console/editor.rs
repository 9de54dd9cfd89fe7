//! The line editor: bytes from a terminal in, the edited line and the echo out. Fixed memory, no
//! clock, and no queries to the terminal.
//!
//! The line stays on one row of 80 columns: a longer line scrolls sideways, because a dumb terminal
//! does not report where it wraps. A byte that is neither text nor a known key is kept as
//! [`SUBSTITUTE`], so that a line with noise in it visibly differs from the typed one, and is
//! refused.

use core::fmt::Write;

use heapless::{String, Vec};

/// Largest size of a line in bytes.
pub const LINE: usize = 256;
/// Largest size of a prompt in bytes.
pub const PROMPT: usize = 64;
/// Bytes of the history.
const HISTORY: usize = 512;
/// Number of columns in use: two stay free for `^C`, and the last one because terminals differ in the
/// wrapping after it.
const COLUMNS: usize = 77;

/// Replaces a byte that is not text. Displayed as `?`.
pub const SUBSTITUTE: u8 = 0x1a;

const BELL: &[u8] = b"\x07";

/// Takes the bytes for the terminal.
pub type Echo<'e> = dyn FnMut(&[u8]) + 'e;

/// The effect of a byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Typed {
    /// Only echo.
    Nothing,
    /// The line is complete: [`Editor::line`]. [`Editor::clear`] starts the next one.
    Line,
    /// The line is full without an end; only while pasting.
    Piece,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D on an empty line.
    End,
    /// Tab.
    Tab,
    /// `?`, which is not part of the line.
    Help,
}

/// The interpretation of the bytes of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// A command: history, `?` and Tab.
    Command,
    /// An answer to a question.
    Answer,
    /// Lines of a file: tabs and bytes beyond ASCII are text. The echo is not longer than the
    /// input.
    Paste,
}

/// The state of a control sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Escape {
    None,
    Began,
    /// `ESC O`
    Single,
    /// `ESC [`, its first number, and whether the number is complete.
    Sequence(u8, bool),
}

/// The editor.
#[derive(Debug)]
pub struct Editor {
    line: Vec<u8, LINE>,
    /// Position of the cursor in the line.
    at: usize,
    /// The first byte of the line that is visible.
    from: usize,
    /// Whether a byte did not fit.
    overlong: bool,
    prompt: String<PROMPT>,
    manner: Manner,
    escape: Escape,
    /// Whether the last byte was a CR: an LF that follows belongs to it.
    after_cr: bool,
    /// Lines, each ended by LF, the newest last.
    history: Vec<u8, HISTORY>,
    /// The displayed line of the history, from 1; 0 for the line itself.
    shown: usize,
}

impl Default for Editor {
    fn default() -> Self {
        Self::new()
    }
}

impl Editor {
    /// An empty line.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            line: Vec::new(),
            at: 0,
            from: 0,
            overlong: false,
            prompt: String::new(),
            manner: Manner::Command,
            escape: Escape::None,
            after_cr: false,
            history: Vec::new(),
            shown: 0,
        }
    }

    /// The bytes of the line.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// The bytes before the cursor.
    #[must_use]
    pub fn before_cursor(&self) -> &[u8] {
        self.line.get(..self.at).unwrap_or_default()
    }

    /// Whether the line is the typed text: no byte was lost, and none is noise.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.overlong && !self.line.contains(&SUBSTITUTE)
    }

    /// Whether all bytes of the line are text, and some did not fit.
    #[must_use]
    pub fn is_overlong(&self) -> bool {
        self.overlong && !self.line.contains(&SUBSTITUTE)
    }

    /// Whether the line is empty, or consists only of noise.
    #[must_use]
    pub fn is_noise(&self) -> bool {
        self.line.iter().all(|byte| *byte == SUBSTITUTE)
    }

    /// Starts a line.
    pub fn clear(&mut self) {
        // The old line may have been a key.
        zeroize::Zeroize::zeroize(&mut *self.line);
        self.line.clear();
        (self.at, self.from, self.overlong, self.shown) = (0, 0, false, 0);
    }

    /// Drops the history and the line.
    pub fn forget(&mut self) {
        self.clear();
        self.history.clear();
    }

    /// Sets the prompt.
    pub fn set_prompt(&mut self, prompt: &str, manner: Manner) {
        self.prompt.clear();
        let _ = self.prompt.push_str(proto_core::text::prefix(prompt, PROMPT));
        self.manner = manner;
    }

    /// Writes prompt and line again, from the start of the row.
    #[inline(never)]
    pub fn redraw(&mut self, echo: &mut Echo<'_>) {
        let room = COLUMNS.saturating_sub(self.prompt.len());
        if self.at < self.from || self.at.saturating_sub(self.from) >= room {
            // A third of the row stays in view on the side that the cursor left.
            self.from = self.at.saturating_sub(room.saturating_mul(2).div_euclid(3));
        }
        echo(b"\r");
        echo(self.prompt.as_bytes());
        let visible = self.line.get(self.from..).unwrap_or_default();
        let visible = visible.get(..visible.len().min(room)).unwrap_or_default();
        for byte in visible {
            echo(&[shown(*byte)]);
        }
        echo(b"\x1b[K");
        let back = self.from.saturating_add(visible.len()).saturating_sub(self.at);
        if back > 0 {
            let mut left = String::<16>::new();
            let _ = write!(left, "\x1b[{back}D");
            echo(left.as_bytes());
        }
    }

    /// Inserts text at the cursor, as if it were typed.
    pub fn insert(&mut self, text: &[u8], echo: &mut Echo<'_>) {
        for byte in text {
            self.put(*byte, echo);
        }
    }

    /// Marks the line as disturbed at the cursor.
    pub fn disturb(&mut self, echo: &mut Echo<'_>) {
        (self.escape, self.after_cr) = (Escape::None, false);
        if self.before_cursor().last() != Some(&SUBSTITUTE) {
            self.put(SUBSTITUTE, echo);
        }
    }

    /// Adds the line to the history.
    pub fn remember(&mut self) {
        let Self { line, history, .. } = self;
        let newest = entry(history, 1);
        if line.is_empty() || newest == line.as_slice() {
            return;
        }
        while history.capacity().saturating_sub(history.len()) <= line.len() {
            let Some(end) = history.iter().position(|byte| *byte == b'\n') else { return };
            let rest = history.len().saturating_sub(end).saturating_sub(1);
            history.copy_within(end.saturating_add(1).., 0);
            history.truncate(rest);
        }
        // There is room for both.
        let _ = history.extend_from_slice(line);
        let _ = history.push(b'\n');
    }

    /// Displays a line of the history.
    fn show(&mut self, nth: usize, echo: &mut Echo<'_>) {
        let Self { line, history, .. } = self;
        let found = entry(history, nth);
        if nth > 0 && found.is_empty() {
            echo(BELL);
            return;
        }
        line.clear();
        let _ = line.extend_from_slice(found);
        (self.shown, self.at, self.overlong) = (nth, self.line.len(), false);
        self.redraw(echo);
    }

    /// The line of the history before the displayed one.
    fn older(&mut self, echo: &mut Echo<'_>) {
        let mut next = self.shown.saturating_add(1);
        if self.shown == 0 && !self.line.is_empty() && self.is_whole() {
            // The unfinished line becomes the newest of the history, and Down returns to it.
            self.remember();
            next = 2;
        }
        self.show(next, echo);
    }

    fn move_to(&mut self, at: usize, echo: &mut Echo<'_>) {
        self.at = at.min(self.line.len());
        self.redraw(echo);
    }

    /// Removes the bytes between two positions of the line.
    fn cut(&mut self, from: usize, to: usize, echo: &mut Echo<'_>) {
        let (from, to) = (from.min(self.line.len()), to.min(self.line.len()));
        if from >= to {
            echo(BELL);
            return;
        }
        self.line.copy_within(to.., from);
        let left = self.line.len().saturating_sub(to.saturating_sub(from));
        self.line.truncate(left);
        self.overlong = false;
        let at_end = self.at == to && left == from;
        self.at = from;
        let same = from >= self.from && to == from.saturating_add(1);
        if at_end && same && from > self.from {
            echo(b"\x08 \x08");
        } else {
            self.redraw(echo);
        }
    }

    /// Inserts a byte at the cursor.
    fn put(&mut self, byte: u8, echo: &mut Echo<'_>) {
        let at = self.at;
        if self.line.insert(at, byte).is_err() {
            self.overlong = true;
            echo(BELL);
            return;
        }
        self.at = at.saturating_add(1);
        let room = COLUMNS.saturating_sub(self.prompt.len());
        let at_end = self.at == self.line.len();
        match self.at.saturating_sub(self.from) < room {
            true if at_end => echo(&[shown(byte)]),
            // Scrolling sends more bytes than arrive, and a paste does not wait.
            false if at_end && self.manner == Manner::Paste => {}
            _ => self.redraw(echo),
        }
    }

    /// Takes a byte.
    #[inline(never)]
    pub fn byte(&mut self, byte: u8, echo: &mut Echo<'_>) -> Typed {
        let after_cr = core::mem::take(&mut self.after_cr);
        let escape = core::mem::replace(&mut self.escape, Escape::None);
        match escape {
            Escape::None => {}
            _ if matches!(byte, b'\r' | b'\n' | 3) => {}
            _ => return self.escaped(escape, byte, echo),
        }
        match byte {
            b'\n' if after_cr => {}
            b'\r' | b'\n' => {
                self.after_cr = byte == b'\r';
                return Typed::Line;
            }
            3 => return Typed::Interrupt,
            4 if self.line.is_empty() => return Typed::End,
            _ if self.manner == Manner::Paste && self.line.is_full() && byte >= b' ' => {
                self.escape = Escape::None;
                return Typed::Piece;
            }
            b'\t' if self.manner == Manner::Paste => self.put(byte, echo),
            b'\t' => return Typed::Tab,
            b'?' if self.manner == Manner::Command => return Typed::Help,
            b' '..=b'~' => self.put(byte, echo),
            0x80.. if self.manner == Manner::Paste => self.put(byte, echo),
            0x1b => self.escape = Escape::Began,
            0x7f | 8 => self.cut(self.at.wrapping_sub(1), self.at, echo),
            1 => self.move_to(0, echo),
            2 => self.move_to(self.at.saturating_sub(1), echo),
            4 => self.cut(self.at, self.at.saturating_add(1), echo),
            5 => self.move_to(LINE, echo),
            6 => self.move_to(self.at.saturating_add(1), echo),
            11 => self.cut(self.at, LINE, echo),
            12 => {
                echo(b"\x1b[H\x1b[2J");
                self.redraw(echo);
            }
            14 => self.down(echo),
            16 => self.up(echo),
            21 => self.cut(0, self.at, echo),
            23 => {
                let before = self.before_cursor();
                let word = before.iter().rposition(|byte| *byte != b' ').unwrap_or(0);
                let word = before.get(..word).unwrap_or_default();
                let from = word.iter().rposition(|byte| *byte == b' ');
                self.cut(from.map_or(0, |from| from.saturating_add(1)), self.at, echo);
            }
            // Flow control of a terminal, which may have it enabled.
            0x11 | 0x13 => {}
            _ => self.put(SUBSTITUTE, echo),
        }
        Typed::Nothing
    }

    fn up(&mut self, echo: &mut Echo<'_>) {
        if self.manner == Manner::Command { self.older(echo) } else { echo(BELL) }
    }

    fn down(&mut self, echo: &mut Echo<'_>) {
        match self.shown.checked_sub(1) {
            Some(newer) if self.manner == Manner::Command => self.show(newer, echo),
            _ => echo(BELL),
        }
    }

    /// A byte of a control sequence.
    fn escaped(&mut self, escape: Escape, byte: u8, echo: &mut Echo<'_>) -> Typed {
        match (escape, byte) {
            (Escape::Began, b'[') => self.escape = Escape::Sequence(0, false),
            (Escape::Began, b'O') => self.escape = Escape::Single,
            (Escape::Began, b' '..=b'~') => echo(BELL),
            (Escape::Sequence(number, false), b'0'..=b'9') => {
                let number = number.saturating_mul(10).saturating_add(byte.wrapping_sub(b'0'));
                self.escape = Escape::Sequence(number, false);
            }
            (Escape::Sequence(number, _), b' '..=b'?') => {
                self.escape = Escape::Sequence(number, true);
            }
            (Escape::Sequence(number, _), b'~') => match number {
                1 | 7 => self.move_to(0, echo),
                4 | 8 => self.move_to(LINE, echo),
                3 if self.at < self.line.len() => {
                    self.cut(self.at, self.at.saturating_add(1), echo);
                }
                _ => echo(BELL),
            },
            (Escape::Sequence(..) | Escape::Single, b'@'..=b'~') => match byte {
                b'A' => self.up(echo),
                b'B' => self.down(echo),
                b'C' => self.move_to(self.at.saturating_add(1), echo),
                b'D' => self.move_to(self.at.saturating_sub(1), echo),
                b'H' => self.move_to(0, echo),
                b'F' => self.move_to(LINE, echo),
                _ => echo(BELL),
            },
            _ => self.put(SUBSTITUTE, echo),
        }
        Typed::Nothing
    }
}

/// The displayed form of a byte of the line.
const fn shown(byte: u8) -> u8 {
    match byte {
        b'\t' => b' ',
        SUBSTITUTE => b'?',
        byte => byte,
    }
}

/// A line of the history, counted from the newest, which is 1.
fn entry(history: &[u8], nth: usize) -> &[u8] {
    let Some(nth) = nth.checked_sub(1) else { return &[] };
    let lines = history.strip_suffix(b"\n").unwrap_or_default();
    if lines.is_empty() {
        return &[];
    }
    lines.rsplit(|byte| *byte == b'\n').nth(nth).unwrap_or_default()
}
