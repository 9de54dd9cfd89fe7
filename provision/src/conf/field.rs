//! The keys a wg-quick file may hold.

use super::lines::squeeze;

/// A key, by its usual spelling.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    PrivateKey,
    ListenPort,
    FwMark,
    Address,
    Dns,
    Mtu,
    Table,
    PreUp,
    PostUp,
    PreDown,
    PostDown,
    SaveConfig,
    PublicKey,
    PresharedKey,
    AllowedIps,
    Endpoint,
    PersistentKeepalive,
}

/// Which section something stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Section {
    Interface,
    Peer,
}

impl Section {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Interface => "[Interface]",
            Self::Peer => "[Peer]",
        }
    }
}

const ALL: [(&str, Field, Section); Field::COUNT] = [
    ("PrivateKey", Field::PrivateKey, Section::Interface),
    ("ListenPort", Field::ListenPort, Section::Interface),
    ("FwMark", Field::FwMark, Section::Interface),
    ("Address", Field::Address, Section::Interface),
    ("DNS", Field::Dns, Section::Interface),
    ("MTU", Field::Mtu, Section::Interface),
    ("Table", Field::Table, Section::Interface),
    ("PreUp", Field::PreUp, Section::Interface),
    ("PostUp", Field::PostUp, Section::Interface),
    ("PreDown", Field::PreDown, Section::Interface),
    ("PostDown", Field::PostDown, Section::Interface),
    ("SaveConfig", Field::SaveConfig, Section::Interface),
    ("PublicKey", Field::PublicKey, Section::Peer),
    ("PresharedKey", Field::PresharedKey, Section::Peer),
    ("AllowedIPs", Field::AllowedIps, Section::Peer),
    ("Endpoint", Field::Endpoint, Section::Peer),
    ("PersistentKeepalive", Field::PersistentKeepalive, Section::Peer),
];

impl Field {
    pub(super) const COUNT: usize = 17;

    /// The key of this name, in any case. In the names of wg(8)'s keys white space means nothing.
    pub(super) fn named(name: &str) -> Option<Self> {
        let find = |name: &str| {
            ALL.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name)).map(|&(_, key, _)| key)
        };
        find(name).or_else(|| find(&squeeze(name)).filter(|key| !key.is_of_quick()))
    }

    /// Whether it is a setting of wg-quick(8), which wg(8) does not know.
    pub(super) const fn is_of_quick(self) -> bool {
        use Field::{Address, Dns, Mtu, SaveConfig, Table};
        matches!(self, Address | Dns | Mtu | Table | SaveConfig) || self.is_hook()
    }

    /// Whether its value is a command.
    pub(super) const fn is_hook(self) -> bool {
        matches!(self, Self::PreUp | Self::PostUp | Self::PreDown | Self::PostDown)
    }

    fn entry(self) -> (&'static str, Section) {
        // Every key stands in the table once: `the_table_is_complete`.
        ALL.iter()
            .find(|&&(_, key, _)| key == self)
            .map_or(("", Section::Interface), |&(name, _, section)| (name, section))
    }

    pub(super) fn name(self) -> &'static str {
        self.entry().0
    }

    pub(super) fn section(self) -> Section {
        self.entry().1
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// Whether the value must not be shown: keys, and commands, which may have keys in them.
    pub(super) const fn is_secret(self) -> bool {
        matches!(
            self,
            Self::PrivateKey
                | Self::PresharedKey
                | Self::PreUp
                | Self::PostUp
                | Self::PreDown
                | Self::PostDown
        )
    }

    /// The key that somebody may have meant who wrote `name`.
    pub(super) fn near(name: &str) -> Option<Self> {
        let squeezed: String =
            name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        ALL.iter()
            .map(|&(known, key, _)| (distance(&squeezed, &known.to_lowercase()), known.len(), key))
            .filter(|&(distance, len, _)| distance <= (len / 4).clamp(1, 3))
            .min_by_key(|&(distance, ..)| distance)
            .map(|(.., key)| key)
    }
}

/// How many letters to insert, delete, replace or swap with their neighbour to get from `a` to `b`
/// (optimal string alignment).
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
    fn the_table_is_complete() {
        for (index, (name, key, section)) in ALL.into_iter().enumerate() {
            assert_eq!(key.index(), index);
            assert_eq!((key.name(), key.section()), (name, section));
            assert_eq!(Field::named(&name.to_uppercase()), Some(key));
            assert_eq!(Field::near(name), Some(key));
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
