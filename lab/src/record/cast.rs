//! asciicast v2: a line of JSON for the terminal, and one for each piece of output.

use anyhow::Result;
use serde_json::json;

/// Output of the terminal.
#[derive(Debug)]
pub(super) struct Event {
    /// Seconds since the beginning.
    pub at: f64,
    /// What was printed.
    pub text: String,
}

/// Size of the terminal, in characters.
pub(super) const COLUMNS: usize = 100;
pub(super) const ROWS: usize = 50;

/// The recording.
pub(super) fn text(events: &[Event]) -> Result<String> {
    let title = "Postwire: claim, push, and a cut-off that takes itself back";
    let head = json!({ "version": 2, "width": COLUMNS, "height": ROWS, "title": title });
    let mut lines = serde_json::to_string(&head)? + "\n";
    for Event { at, text } in events {
        let at = (at * 1e3).round() / 1e3;
        lines += &serde_json::to_string(&json!([at, "o", text.replace('\n', "\r\n")]))?;
        lines += "\n";
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_a_head_and_a_line_for_each_event() {
        let events = [(0.5, "$ \"a\"\n"), (1.23456, "b")];
        let events = events.map(|(at, text)| Event { at, text: text.to_owned() });
        let text = text(&events).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("\"version\":2"), "{text}");
        assert_eq!(lines[1..], [r#"[0.5,"o","$ \"a\"\r\n"]"#, r#"[1.235,"o","b"]"#]);
    }
}
