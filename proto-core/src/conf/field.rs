//! The settings of wg(8) and wg-quick(8): one table of their names, in files and on command lines.

/// A setting, in a file or on a command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// The device's private key.
    PrivateKey,
    /// The device's UDP port.
    ListenPort,
    /// The mark on the device's packets.
    Fwmark,
    /// Addresses of the interface, separated by commas or white space.
    Address,
    /// Name servers and search domains, separated by commas or white space.
    Dns,
    /// The MTU of the interface.
    Mtu,
    /// The routing table: a number, a name, `auto` or `off`.
    Table,
    /// A command.
    PreUp,
    /// A command.
    PostUp,
    /// A command.
    PreDown,
    /// A command.
    PostDown,
    /// `true` or `false`.
    SaveConfig,
    /// The key of a peer.
    PublicKey,
    /// The preshared key of a peer.
    PresharedKey,
    /// The allowed IPs of a peer.
    AllowedIps,
    /// The address and port of a peer.
    Endpoint,
    /// Seconds between two keepalives.
    PersistentKeepalive,
    /// On a command line: the key that starts a peer.
    Peer,
    /// On a command line: removes the peer.
    Remove,
    /// On a command line: the file with the private key.
    PrivateKeyFile,
    /// On a command line: the file with the preshared key.
    PresharedKeyFile,
}

/// The section of a file, or the part of a command line, that a setting belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Section {
    #[default]
    /// Before any section. On a command line: a word that may follow any other word.
    None,
    /// `[Interface]`.
    Interface,
    /// `[Peer]`.
    Peer,
    /// A section with an unknown name.
    Other,
}

/// A setting with its names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Names {
    /// The name in a file; empty if files do not have the setting.
    pub file: &'static str,
    /// The word of `wg set`; empty if command lines do not have the setting.
    pub word: &'static str,
    /// The section of the setting.
    pub section: Section,
    /// The setting.
    pub field: Field,
}

const fn names(file: &'static str, word: &'static str, section: Section, field: Field) -> Names {
    Names { file, word, section, field }
}

/// Every setting, in the order of [`Field`].
pub static FIELDS: [Names; 21] = [
    names("PrivateKey", "", Section::Interface, Field::PrivateKey),
    names("ListenPort", "listen-port", Section::Interface, Field::ListenPort),
    names("FwMark", "fwmark", Section::Interface, Field::Fwmark),
    names("Address", "", Section::Interface, Field::Address),
    names("DNS", "", Section::Interface, Field::Dns),
    names("MTU", "", Section::Interface, Field::Mtu),
    names("Table", "", Section::Interface, Field::Table),
    names("PreUp", "", Section::Interface, Field::PreUp),
    names("PostUp", "", Section::Interface, Field::PostUp),
    names("PreDown", "", Section::Interface, Field::PreDown),
    names("PostDown", "", Section::Interface, Field::PostDown),
    names("SaveConfig", "", Section::Interface, Field::SaveConfig),
    names("PublicKey", "", Section::Peer, Field::PublicKey),
    names("PresharedKey", "", Section::Peer, Field::PresharedKey),
    names("AllowedIPs", "allowed-ips", Section::Peer, Field::AllowedIps),
    names("Endpoint", "endpoint", Section::Peer, Field::Endpoint),
    names("PersistentKeepalive", "persistent-keepalive", Section::Peer, Field::PersistentKeepalive),
    names("", "peer", Section::None, Field::Peer),
    names("", "remove", Section::Peer, Field::Remove),
    names("", "private-key", Section::Interface, Field::PrivateKeyFile),
    names("", "preshared-key", Section::Peer, Field::PresharedKeyFile),
];

/// Whether `text` is the name, made of letters only, in any case.
#[inline]
pub(super) fn is_name(text: &[u8], name: &str) -> bool {
    // The two cases of a letter differ in one bit.
    let same = |(a, b): (&u8, &u8)| (a ^ b) & !0x20 == 0;
    // Fast path for the usual spelling.
    let name = name.as_bytes();
    text == name || text.len() == name.len() && text.iter().zip(name).all(same)
}

impl Field {
    /// The setting of wg(8) with this name in a file, in any case.
    pub(super) fn of_wg(name: &[u8]) -> Option<&'static Names> {
        // Backwards, because a large file consists mostly of settings of peers.
        FIELDS.iter().rev().find(|names| !names.field.is_of_quick() && names.is_in_file(name))
    }

    /// The setting of wg-quick(8) with this name in a file, in any case.
    pub(super) fn of_quick(name: &[u8]) -> Option<Self> {
        let found = FIELDS.iter().find(|names| names.field.is_of_quick() && names.is_in_file(name));
        found.map(|names| names.field)
    }

    /// The setting with this word on a command line.
    pub(super) fn of_word(word: &str) -> Option<&'static Names> {
        FIELDS.iter().find(|names| !names.word.is_empty() && names.word == word)
    }

    /// The setting with this name in a file, in any case. `None` for settings of command lines.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::of_wg(name).map(|names| names.field).or_else(|| Self::of_quick(name))
    }

    fn names(self) -> Option<&'static Names> {
        FIELDS.get(self as usize)
    }

    /// The name in a file. Empty for settings of command lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.names().map_or("", |names| names.file)
    }

    /// The section of the setting.
    #[must_use]
    pub fn section(self) -> Section {
        self.names().map_or(Section::None, |names| names.section)
    }

    /// Whether the setting belongs to wg-quick(8) and is unknown to wg(8).
    #[must_use]
    pub const fn is_of_quick(self) -> bool {
        matches!(self, Self::Address | Self::Dns | Self::Mtu | Self::Table | Self::SaveConfig)
            || self.is_command()
    }

    /// Whether the value is a command, which may contain a `#`.
    #[must_use]
    pub const fn is_command(self) -> bool {
        matches!(self, Self::PreUp | Self::PostUp | Self::PreDown | Self::PostDown)
    }

    /// Whether the value is a secret key.
    #[must_use]
    pub const fn is_key(self) -> bool {
        matches!(self, Self::PrivateKey | Self::PresharedKey)
    }
}

impl Names {
    #[inline]
    fn is_in_file(&self, name: &[u8]) -> bool {
        !self.file.is_empty() && is_name(name, self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_fields() {
        for (index, names) in FIELDS.iter().enumerate() {
            let field = names.field;
            assert_eq!(field as usize, index);
            assert_eq!((field.name(), field.section()), (names.file, names.section));
            assert!(!names.file.is_empty() || !names.word.is_empty());
            if !names.file.is_empty() {
                assert_eq!(Field::named(names.file.to_uppercase().as_bytes()), Some(field));
            }
            if !names.word.is_empty() {
                assert_eq!(Field::of_word(names.word), Some(names));
            }
        }
        assert_eq!(Field::named(b""), None);
        assert_eq!(Field::of_word(""), None);
        assert_eq!(Field::named(b"peer"), None);
    }
}
