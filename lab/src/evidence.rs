//! Evidence for an error of a machine: the messages of QEMU and the end of the kernel's console.

use std::{fs, path::Path};

/// Number of lines to show from the end.
const TAIL: usize = 20;

/// Words that start an error in a log. A panic prints many lines after its message, so the message
/// is searched for.
const BEGINNINGS: &[&str] = &["lab: ", "Kernel panic", "BUG:", "Oops", "Unable to handle"];

/// Returns the evidence that a run left in `folder`.
pub(super) fn evidence(folder: &Path) -> String {
    let mut text = String::new();
    for (what, file) in [("QEMU said", "qemu.log"), ("its console ended with", "console.log")] {
        let path = folder.join(file);
        let content = fs::read(&path).unwrap_or_default();
        let content = interesting(&String::from_utf8_lossy(&content));
        if !content.is_empty() {
            text.push_str(&format!("--- {what} ({}):\n{content}", path.display()));
        }
    }
    text + "---"
}

/// The first line with an error, and the end of the log.
fn interesting(log: &str) -> String {
    let clean: String = log.chars().filter(|c| !c.is_control() || *c == '\n').collect();
    let lines: Vec<&str> = clean.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = lines.len().saturating_sub(TAIL);
    let begins = |line: &&str| BEGINNINGS.iter().any(|word| line.contains(word));
    let mut text = String::new();
    let mut show = |lines: &[&str]| {
        for line in lines {
            text.push_str(&format!("    {line}\n"));
        }
    };
    if let Some(start) = lines[..tail].iter().position(begins) {
        let start = start.saturating_sub(2);
        let end = (start + 8).min(tail);
        show(&lines[start..end]);
        if end < tail {
            show(&["..."]);
        }
    }
    show(&lines[tail..]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: usize, story: usize) -> String {
        let line =
            |n| if n == story { "Kernel panic - x\n".into() } else { format!("\x1b{n}\r\n\n") };
        (0..lines).map(line).collect()
    }

    #[test]
    fn the_end_is_shown_and_the_start_of_a_panic_before_it() {
        let shown = interesting(&log(100, 10));
        assert_eq!(shown.lines().count(), 8 + 1 + TAIL);
        assert!(shown.contains("Kernel panic") && shown.ends_with("    99\n"), "{shown}");
        assert!(shown.starts_with("    8\n    9\n    Kernel"), "{shown}");
    }

    #[test]
    fn nothing_is_shown_twice() {
        for story in [0, 3, 70, 78, 79, 80, 99] {
            let shown = interesting(&log(100, story));
            assert_eq!(shown.matches("Kernel panic").count(), 1, "{shown}");
        }
        assert_eq!(interesting(&log(5, 2)).lines().count(), 5);
        assert_eq!(interesting(""), "");
    }
}
