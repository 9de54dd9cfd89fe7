//! Faults of stored configurations and of the running state, by interface, for `status`.

use core::fmt::{self, Write};

use heapless::{String, Vec};
use proto_core::protocol::message::{MAX_TEXT, cut};
use proto_core::text::prefix;

/// Number of interfaces whose faults are kept as text; further interfaces are only counted.
const NOTES: usize = 4;
/// The longest name of an interface in bytes.
const NAME: usize = 15;
/// Bytes for the text "and N more".
const MORE: usize = 16;

/// The name of the interface, or an empty name, and its fault.
type Note = (String<NAME>, String<MAX_TEXT>);

/// The present faults.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    notes: Vec<Note, NOTES>,
    /// A bit for each further interface, so that a fault that is noted again is counted once.
    more: u64,
}

/// The bit of an interface in [`Trouble::more`]. Two interfaces of one bit count as one.
fn bit(about: &str) -> u64 {
    let hash = about.bytes().fold(0_u8, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte));
    1 << (hash & 63)
}

impl Trouble {
    /// No faults.
    #[must_use]
    pub const fn new() -> Self {
        Self { notes: Vec::new(), more: 0 }
    }

    /// Whether there are no faults.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty() && self.more == 0
    }

    /// Notes a fault of an interface, in place of an earlier one. Returns `false` if the same fault was noted before,
    /// or any fault of an interface that is only counted.
    #[inline(never)]
    pub fn note(&mut self, about: &str, words: fmt::Arguments<'_>) -> bool {
        let mut text = String::new();
        // Text that does not fit is truncated.
        let _ = text.as_mut_view().write_fmt(words);
        match self.notes.iter_mut().find(|(name, _)| name == about) {
            Some((_, known)) if *known == text => return false,
            Some((_, known)) => *known = text,
            None => return self.put(cut(about), text),
        }
        true
    }

    /// Adds a fault. Returns `false` if there is no room, and the interface was counted before.
    fn put(&mut self, about: String<NAME>, text: String<MAX_TEXT>) -> bool {
        let (bit, before) = (bit(&about), self.more);
        if self.notes.push((about, text)).is_ok() {
            self.more &= !bit;
            return true;
        }
        self.more |= bit;
        self.more != before
    }

    /// Removes the fault of an interface, and returns it unless it was only counted.
    pub fn take(&mut self, about: &str) -> Option<Note> {
        self.more &= !bit(about);
        let at = self.notes.iter().position(|(name, _)| name == about)?;
        Some(self.notes.remove(at))
    }

    /// Restores a removed fault, unless another was noted since.
    pub fn put_back(&mut self, note: Option<Note>) {
        if let Some((about, text)) = note
            && !self.notes.iter().any(|(name, _)| *name == about)
        {
            self.put(about, text);
        }
    }

    /// Resets the count of further faults, because all interfaces are checked again.
    pub const fn count_again(&mut self) {
        self.more = 0;
    }

    /// All faults as text, each truncated so that every fault is visible.
    #[must_use]
    pub fn text(&self) -> String<MAX_TEXT> {
        let mut text = String::new();
        let count = self.notes.len().max(1);
        let all = self
            .notes
            .iter()
            .fold(MORE, |sum, (_, note)| sum.saturating_add(note.len()).saturating_add(2));
        let share = match all {
            _ if all <= MAX_TEXT => MAX_TEXT,
            _ => MAX_TEXT.saturating_sub(MORE).checked_div(count).unwrap_or(0).saturating_sub(2),
        };
        let to = text.as_mut_view();
        let mut separator = "";
        for (_, note) in &self.notes {
            let _ = write!(to, "{separator}{}", prefix(note, share));
            separator = "; ";
        }
        if self.more > 0 {
            let _ = write!(to, "{separator}and {} more", self.more.count_ones());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_is_named_or_counted() {
        let mut trouble = Trouble::new();
        assert!(trouble.note("wg0", format_args!("wg0: it is damaged")));
        assert!(!trouble.note("wg0", format_args!("wg0: it is damaged")));
        assert!(trouble.note("wg1", format_args!("wg1: the port is taken")));
        assert_eq!(trouble.text(), "wg0: it is damaged; wg1: the port is taken");
        let long = "x".repeat(150);
        for face in 0..7 {
            let name = std::format!("wg{face}");
            trouble.note(&name, format_args!("{name}: {long}"));
        }
        let text = trouble.text();
        for face in 0..4 {
            assert!(text.contains(&std::format!("wg{face}: x")), "{text}");
        }
        assert!(text.ends_with("; and 3 more"), "{text}");
        for face in 0..4 {
            trouble.take(&std::format!("wg{face}"));
        }
        trouble.count_again();
        assert!(trouble.is_empty() && trouble.text().is_empty());
    }

    #[test]
    fn a_fault_without_room_is_counted_once() {
        let mut trouble = Trouble::new();
        for face in 0..6 {
            let name = std::format!("wg{face}");
            for again in [false, true] {
                let new = trouble.note(&name, format_args!("{name}: it is damaged"));
                assert_ne!(new, again, "{name}");
            }
        }
        assert!(trouble.text().ends_with("; and 2 more"), "{}", trouble.text());
        // One is repaired; and one of the texts makes room for another fault, which was only counted.
        trouble.take("wg5");
        assert!(trouble.text().ends_with("; and 1 more"), "{}", trouble.text());
        trouble.take("wg0");
        assert!(trouble.note("wg4", format_args!("wg4: it is damaged")));
        assert!(trouble.text().ends_with("; wg4: it is damaged"), "{}", trouble.text());
    }
}
