//! The names of the settings of a wg-quick file, and their likely misspellings.

use proto_core::conf::field::{FIELDS, Field, Section};

use super::lines::squeeze;

/// The host tool's additions to the settings of proto-core.
pub(super) trait FieldExt: Sized {
    /// The setting with this name, in any case. wg(8) ignores white space in the names of its
    /// settings.
    fn of_line(name: &str) -> Option<Self>;

    /// Whether the value must not be shown: keys, and commands, which may contain keys.
    fn is_secret(&self) -> bool;

    /// The setting that `name` may be a misspelling of.
    fn near(name: &str) -> Option<Self>;
}

/// The header of a section.
pub(super) const fn section_name(section: Section) -> &'static str {
    match section {
        Section::Peer => "[Peer]",
        Section::Interface | Section::None | Section::Other => "[Interface]",
    }
}

/// The settings that a file may have.
fn all() -> impl Iterator<Item = (&'static str, Field)> {
    FIELDS.iter().map(|names| (names.file, names.field)).filter(|(name, _)| !name.is_empty())
}

impl FieldExt for Field {
    fn of_line(name: &str) -> Option<Self> {
        let squeezed =
            || Self::named(squeeze(name).as_bytes()).filter(|field| !field.is_of_quick());
        Self::named(name.as_bytes()).or_else(squeezed)
    }

    fn is_secret(&self) -> bool {
        self.is_key() || self.is_command()
    }

    fn near(name: &str) -> Option<Self> {
        let squeezed: String =
            name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        all()
            .map(|(known, key)| (distance(&squeezed, &known.to_lowercase()), known.len(), key))
            .filter(|&(distance, len, _)| distance <= (len / 4).clamp(1, 3))
            .min_by_key(|&(distance, ..)| distance)
            .map(|(.., key)| key)
    }
}

/// The number of letters to insert, delete, replace or swap with their neighbour to get from `a` to
/// `b` (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > 3 {
        return usize::MAX;
    }
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_a_file_is_near_itself() {
        for (name, field) in all() {
            assert_eq!(Field::of_line(&name.to_uppercase()), Some(field));
            assert_eq!(Field::near(name), Some(field));
        }
    }

    #[test]
    fn slips_are_recognised_and_words_are_not() {
        for (slip, key) in [
            ("AlowedIPs", Field::AllowedIps),
            ("AllowedIP", Field::AllowedIps),
            ("Allowed IPs", Field::AllowedIps),
            ("PrivatKey", Field::PrivateKey),
            ("PreSharedKeys", Field::PresharedKey),
            ("Endpiont", Field::Endpoint),
            ("Persistent-Keep-Alive", Field::PersistentKeepalive),
            ("Adress", Field::Address),
        ] {
            assert_eq!(Field::near(slip), Some(key), "{slip}");
        }
        for word in ["Hello", "", "Key", "Peer", "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="] {
            assert_eq!(Field::near(word), None, "{word}");
        }
    }
}
