//! Screens as recorded in `tests/screens`. After an intended change:
//!
//! ```sh
//! UPDATE_SCREENS=1 cargo test -p postwire --lib screen
//! ```

use std::path::Path;
use std::time::Duration;

use ratatui_core::backend::TestBackend;
use ratatui_core::terminal::Terminal;

use super::*;

fn terminal(board: &Board, now: Instant, (width, height): (u16, u16)) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, board, now)).unwrap();
    terminal
}

/// Sixteen ports in all states.
fn board(now: Instant) -> Board {
    let ago = |seconds: u64| now.checked_sub(Duration::from_secs(seconds));
    let tile = |nth: usize| Tile::new(format!("usb-0:3.{}:1.0", nth + 1));
    let mut tiles: Vec<Tile> = (0..16).map(tile).collect();
    let mut set = |nth: usize, look, unit: &str, text: &str| {
        let tile = &mut tiles[nth];
        (tile.look, tile.unit, tile.text) = (look, unit.into(), text.into());
    };
    set(1, Look::Empty, "", "waiting for a router");
    set(2, Look::Busy, "shed-17", "uploading");
    set(3, Look::Busy, "shed-18", "claiming");
    set(4, Look::Done, "shed-19", "stored as number 1");
    set(5, Look::Failed, "shed-20", "interface wg0: the kernel has no WireGuard");
    set(6, Look::Asks, "", "scan the code of the unit");
    set(7, Look::Done, "shed-21", "was done before, and is right");
    set(
        8,
        Look::Failed,
        "",
        "the router is on, and did not answer for 60 s: it belongs to another owner, or postwired does not run on this port",
    );
    set(9, Look::Busy, "a-unit-whose-name-is-too-long-for-a-tile", "verifying");
    (tiles[2].since, tiles[2].progress) = (ago(3), Some(470));
    tiles[3].since = ago(1);
    tiles[3].error = "the device has disappeared".into();
    (tiles[4].since, tiles[4].took) = (ago(90), Some(Duration::from_millis(8_400)));
    (tiles[5].since, tiles[5].took) = (ago(90), Some(Duration::from_secs(12)));
    tiles[5].error = tiles[5].text.clone();
    (tiles[9].since, tiles[9].progress) = (ago(125), Some(1_000));
    Board {
        title: "postwire line batch7".into(),
        tiles,
        done: 19,
        failed: 2,
        units: 500,
        note: "no unit of the manifest is called `shed-999`".into(),
    }
}

fn is_recorded(name: &str, screen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/screens").join(name);
    if std::env::var_os("UPDATE_SCREENS").is_some() {
        std::fs::write(&path, screen).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(screen, recorded, "{} differs", path.display());
}

#[test]
fn screens_are_as_recorded() {
    let now = Instant::now() + Duration::from_secs(1_000);
    for size in [(80, 24), (200, 50)] {
        let screen = terminal(&board(now), now, size).backend().to_string();
        is_recorded(&format!("line-{}x{}.txt", size.0, size.1), &screen);
    }
    let few = Board { tiles: board(now).tiles[4..7].to_vec(), ..board(now) };
    is_recorded("line-3-ports.txt", &terminal(&few, now, (80, 24)).backend().to_string());
}

#[test]
fn the_colour_fills_the_tile() {
    let now = Instant::now() + Duration::from_secs(1_000);
    let few = Board { tiles: board(now).tiles[4..7].to_vec(), ..board(now) };
    let terminal = terminal(&few, now, (80, 24));
    let buffer = terminal.backend().buffer();
    let count = |colour: Color| buffer.content().iter().filter(|cell| cell.bg == colour).count();
    for colour in [Color::Green, Color::Red, Color::Yellow] {
        assert!(count(colour) > 300, "{colour}: {}", count(colour));
    }
}

#[test]
fn no_screen_is_too_small() {
    let now = Instant::now() + Duration::from_secs(1_000);
    for size in [(1, 1), (5, 3), (19, 4), (40, 12), (300, 2)] {
        let _ = terminal(&board(now), now, size);
        let _ = terminal(&Board::default(), now, size);
    }
    let area = Rect::new(0, 0, 80, 22);
    assert_eq!(
        [1, 2, 3, 4, 16].map(|ports| grid(ports, area)),
        [(1, 1), (2, 1), (2, 2), (2, 2), (4, 4)]
    );
}
