//! Draws a board so that it can be read from two metres: a tile for each port, filled with its colour.

use std::time::Instant;

use ratatui_core::layout::{Alignment, Constraint, Layout, Rect};
use ratatui_core::style::{Color, Modifier, Style};
use ratatui_core::terminal::Frame;
use ratatui_core::text::{Line, Span};
use ratatui_widgets::block::Block;
use ratatui_widgets::paragraph::{Paragraph, Wrap};

use super::board::{Board, Look, Tile};

/// The least columns of a tile.
const WIDTH: u16 = 20;
/// The least lines of a tile.
const HEIGHT: u16 = 5;

const fn colours(look: Look) -> (Color, Color) {
    match look {
        Look::Empty => (Color::Gray, Color::Reset),
        Look::Busy => (Color::White, Color::Blue),
        Look::Asks => (Color::Black, Color::Yellow),
        Look::Done => (Color::Black, Color::Green),
        Look::Failed => (Color::White, Color::Red),
    }
}

/// The columns and rows of tiles for so many ports: as large as the screen allows.
fn grid(ports: u16, area: Rect) -> (u16, u16) {
    let most = (area.width / WIDTH).clamp(1, ports.max(1));
    let fits = |columns: u16| ports.div_ceil(columns) * HEIGHT <= area.height;
    // The fewest columns of which all rows fit are the widest tiles; words need width more than height.
    let square = (1..=most).find(|&columns| columns * columns >= ports && fits(columns));
    let columns = square.or_else(|| (1..=most).find(|&columns| fits(columns))).unwrap_or(most);
    (columns, ports.div_ceil(columns).max(1))
}

/// Draws a board.
pub(super) fn draw(frame: &mut Frame<'_>, board: &Board, now: Instant) {
    let [head, tiles, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(Line::from(sums(board)).style(Modifier::BOLD), head);
    frame.render_widget(Line::from(board.note.as_str()), foot);
    let ports = u16::try_from(board.tiles.len()).unwrap_or(u16::MAX);
    if ports == 0 {
        let text = Paragraph::new("no port yet: plug in a cable").alignment(Alignment::Center);
        frame.render_widget(text, tiles);
        return;
    }
    let (columns, rows) = grid(ports, tiles);
    let lines = Layout::vertical(vec![Constraint::Fill(1); usize::from(rows)]).split(tiles);
    for (row, (line, all)) in lines.iter().zip(board.tiles.chunks(usize::from(columns))).enumerate()
    {
        let cells =
            Layout::horizontal(vec![Constraint::Fill(1); usize::from(columns)]).split(*line);
        for (column, (cell, tile)) in cells.iter().zip(all).enumerate() {
            draw_tile(frame, *cell, row * usize::from(columns) + column + 1, tile, now);
        }
    }
}

fn sums(board: &Board) -> String {
    let Board { title, done, failed, units, .. } = board;
    format!("{title}   {done} of {units} done   {failed} failed")
}

fn draw_tile(frame: &mut Frame<'_>, area: Rect, number: usize, tile: &Tile, now: Instant) {
    let (fg, bg) = colours(tile.look);
    let style = Style::new().fg(fg).bg(bg);
    let title = Line::from(vec![
        Span::styled(format!(" {number} "), Modifier::BOLD),
        Span::raw(format!("{} ", tile.label)),
    ]);
    let block = Block::bordered().title(title).style(style);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let mut first = String::from(tile.look.word());
    if !tile.unit.is_empty() {
        first = format!("{first} {}", tile.unit);
    }
    if let Some(time) = tile.time(now) {
        let time = format!("{} s", time.as_secs());
        let room = usize::from(inner.width).saturating_sub(first.chars().count() + time.len());
        if room > 0 {
            first = format!("{first}{}{time}", " ".repeat(room));
        }
    }
    let mut lines = vec![Line::from(first).style(Modifier::BOLD)];
    if let Some(progress) = tile.progress.filter(|_| tile.look == Look::Busy) {
        lines.push(Line::from(bar(progress, inner.width)));
    }
    lines.push(Line::from(tile.text.as_str()));
    if !tile.error.is_empty() && tile.error != tile.text {
        lines.push(Line::from(format!("last error: {}", tile.error)));
    }
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }), inner);
}

/// A bar of so many thousandths.
fn bar(progress: u16, width: u16) -> String {
    let full = u32::from(width) * u32::from(progress.min(1_000)) / 1_000;
    let full = usize::try_from(full).unwrap_or(0);
    "\u{2588}".repeat(full) + &"\u{2591}".repeat(usize::from(width) - full)
}

#[cfg(test)]
mod tests;
