//! An animated SVG: each line of the terminal appears at its time, and stays.

use super::cast::{COLUMNS, Event};
use std::fmt::Write;

/// Pixels of a character and a line, and around all of them.
const WIDE: f64 = 8.43;
const HIGH: usize = 19;
const EDGE: usize = 14;

/// Lines as the terminal shows them, and when each began.
fn lines(events: &[Event]) -> Vec<(f64, String)> {
    let mut lines = vec![(0.0, String::new())];
    for Event { at, text } in events {
        for character in text.chars() {
            let full = lines.last().is_some_and(|(_, line)| line.chars().count() == COLUMNS);
            if full && character != '\n' {
                lines.push((*at, String::new()));
            }
            let Some((time, line)) = lines.last_mut() else { continue };
            if character == '\n' {
                lines.push((*at, String::new()));
                continue;
            }
            if line.is_empty() {
                *time = *at;
            }
            line.push(character);
        }
    }
    while lines.last().is_some_and(|(_, line)| line.is_empty()) {
        lines.pop();
    }
    lines
}

/// The picture.
pub(super) fn svg(events: &[Event]) -> String {
    let lines = lines(events);
    let width = (COLUMNS as f64 * WIDE) as usize + 2 * EDGE;
    let height = lines.len() * HIGH + 2 * EDGE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <style>\n\
         text {{ font: 14px ui-monospace, Menlo, Consolas, monospace; fill: #d8dee9; white-space: pre }}\n\
         .command {{ fill: #ffffff; font-weight: bold }}\n\
         .remark {{ fill: #8fbcbb }}\n\
         @media (prefers-reduced-motion: no-preference) {{\n\
         text {{ opacity: 0; animation: show 0.01s forwards }}\n\
         @keyframes show {{ to {{ opacity: 1 }} }}\n\
         }}\n\
         </style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#20242c\"/>\n"
    );
    for (number, (at, line)) in lines.iter().enumerate() {
        let class = match line {
            line if line.starts_with("$ #") => " class=\"remark\"",
            line if line.starts_with("$ ") => " class=\"command\"",
            _ => "",
        };
        let y = EDGE + HIGH * number + HIGH * 3 / 4;
        let line = line.strip_prefix("$ #").map_or(line.clone(), |remark| format!("#{remark}"));
        let line = line.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            svg,
            "<text x=\"{EDGE}\" y=\"{y}\"{class} style=\"animation-delay:{at:.2}s\">{line}</text>"
        );
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_appears_when_it_begins_and_goes_on_in_the_next_when_it_is_full() {
        let event = |at, text: &str| Event { at, text: text.to_owned() };
        let long = "x".repeat(COLUMNS);
        let events = [event(1.0, "$ "), event(2.0, "a\n"), event(3.0, &long), event(4.0, "<\n")];
        let wanted = [(1.0, "$ a".to_owned()), (3.0, long), (4.0, "<".to_owned())];
        assert_eq!(lines(&events), wanted);
        assert!(svg(&events).contains("animation-delay:4.00s\">&lt;</text>"));
    }
}
