//! The terminal of a line: a screen on a terminal, plain lines elsewhere, and the bell.
//!
//! The terminal keeps its line discipline, so that Ctrl-C stays a signal and a scanner's code stays a line; only the echo
//! is off. Colours and cursor movements are those that every terminal of the last decades has.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use ratatui_core::backend::{Backend, ClearType, WindowSize};
use ratatui_core::buffer::Cell;
use ratatui_core::layout::{Position, Size};
use ratatui_core::style::{Color, Modifier};
use ratatui_core::terminal::Terminal;

use super::board::Board;
use super::screen::draw;
use crate::interrupt;
use crate::ui::say;

/// The shortest time between two frames.
const FRAME: Duration = Duration::from_millis(100);

/// Shows a board.
pub(super) struct Display {
    screen: Option<Terminal<Ansi>>,
    drawn: Option<Instant>,
    bell: bool,
}

impl std::fmt::Debug for Display {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Display").field("screen", &self.screen.is_some()).finish_non_exhaustive()
    }
}

impl Display {
    /// Begins a screen if stderr is a terminal and `plain` is not set.
    #[must_use]
    pub(super) fn new(plain: bool, bell: bool) -> Self {
        let moves = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let is_terminal = io::stderr().is_terminal();
        let is_screen = is_terminal && moves && !plain && size().is_some();
        let screen = is_screen.then(|| Terminal::new(Ansi::default()).ok()).flatten();
        if screen.is_some() {
            // The other screen, without a cursor.
            put("\x1b[?1049h\x1b[?25l\x1b[2J");
            #[cfg(unix)]
            let echo = without_echo();
            interrupt::restore_with(move || {
                put("\x1b[0m\x1b[?25h\x1b[?1049l");
                #[cfg(unix)]
                if let Some(modes) = echo {
                    use rustix::termios::{OptionalActions, tcsetattr};
                    let _ = tcsetattr(io::stdin(), OptionalActions::Now, &modes);
                }
            });
        }
        Self { screen, drawn: None, bell: bell && is_terminal }
    }

    /// Shows a board, unless the last frame was shown just now.
    pub(super) fn show(&mut self, board: &Board) {
        let now = Instant::now();
        let Some(screen) = &mut self.screen else { return };
        if self.drawn.is_some_and(|drawn| now < drawn + FRAME) {
            return;
        }
        self.drawn = Some(now);
        // A terminal that cannot be written to has no reader.
        let _ = screen.draw(|frame| draw(frame, board, now));
    }

    /// Says a line, if there is no screen.
    pub(super) fn line(&self, line: &str) {
        if self.screen.is_none() {
            say(line);
        }
    }

    /// Rings the bell.
    pub(super) fn ring(&self) {
        if self.bell {
            put("\x07");
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        interrupt::restore();
    }
}

/// Writes to the terminal, best effort.
fn put(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Switches the echo of standard input off, and returns the modes from before.
#[cfg(unix)]
fn without_echo() -> Option<rustix::termios::Termios> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let before = tcgetattr(io::stdin()).ok()?;
    let mut modes = before.clone();
    modes.local_modes.remove(LocalModes::ECHO);
    tcsetattr(io::stdin(), OptionalActions::Now, &modes).ok()?;
    Some(before)
}

#[cfg(unix)]
fn size() -> Option<Size> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then(|| Size::new(size.ws_col, size.ws_row))
}

#[cfg(not(unix))]
fn size() -> Option<Size> {
    None
}

/// A terminal that understands the usual escape codes.
#[derive(Debug, Default)]
struct Ansi {
    out: String,
}

/// The number of a colour after 30 or 40.
const fn number(colour: Color) -> u8 {
    match colour {
        Color::Black => 0,
        Color::Red => 1,
        Color::Green => 2,
        Color::Yellow => 3,
        Color::Blue => 4,
        Color::Gray | Color::White => 7,
        _ => 9,
    }
}

impl Backend for Ansi {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let (mut style, mut cursor) = (None, None);
        for (x, y, cell) in content {
            if cursor != Some((x, y)) {
                let _ = write!(self.out, "\x1b[{};{}H", y + 1, x + 1);
            }
            // Where the cursor stands after other symbols depends on the terminal.
            let is_one_wide = |c| matches!(c, ' '..='~' | '\u{2500}'..='\u{259f}');
            cursor = cell.symbol().chars().all(is_one_wide).then_some((x + 1, y));
            let wanted = (cell.fg, cell.bg, cell.modifier);
            if style != Some(wanted) {
                let bold = if cell.modifier.contains(Modifier::BOLD) { ";1" } else { "" };
                let (fg, bg) = (number(cell.fg), number(cell.bg));
                let _ = write!(self.out, "\x1b[0{bold};3{fg};4{bg}m");
                style = Some(wanted);
            }
            self.out.push_str(cell.symbol());
        }
        self.out.push_str("\x1b[0m");
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.out.push_str("\x1b[?25l");
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.out.push_str("\x1b[?25h");
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        let Position { x, y } = position.into();
        let _ = write!(self.out, "\x1b[{};{}H", y + 1, x + 1);
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.out.push_str("\x1b[0m\x1b[2J");
        Ok(())
    }

    fn clear_region(&mut self, _: ClearType) -> io::Result<()> {
        self.clear()
    }

    fn size(&self) -> io::Result<Size> {
        size().ok_or_else(|| io::Error::other("no terminal"))
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size()?, pixels: Size::ZERO })
    }

    fn flush(&mut self) -> io::Result<()> {
        put(&self.out);
        self.out.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_beside_each_other_need_no_move_between_them() {
        let cells = ["a", "─", "宽", "b", "c"].map(Cell::new);
        let at = [(0, 0), (1, 0), (2, 0), (4, 0), (0, 1)];
        let mut ansi = Ansi::default();
        ansi.draw(at.iter().zip(&cells).map(|(&(x, y), cell)| (x, y, cell))).unwrap();
        let shown = "\x1b[1;1H\x1b[0;39;49ma─宽\x1b[1;5Hb\x1b[2;1Hc\x1b[0m";
        assert_eq!(ansi.out, shown);
    }
}
