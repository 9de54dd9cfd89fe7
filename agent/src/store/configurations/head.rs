//! The head of a configuration's file: everything but its image.

use proto_core::key::PublicKey;
use proto_core::protocol::Digest;
use proto_core::protocol::message::{Name, OwnerName, copy, cut};
use proto_core::protocol::report::{Act, Stored};

use crate::bytes::{put, put_text, take, text};
use crate::config::image::Span;
use crate::store::keep::{Kind, Wrong, file_len, payload};

const KIND: Kind = Kind { name: c"", magic: *b"PWCF", what: "stored configuration" };

/// act, number, its origin, time, key, length and digest of the image, digest as it was pushed, boot id, flags, added, and two texts
/// behind their lengths
const PAYLOAD: usize = 1 + 4 + 4 + 8 + 32 + 4 + 32 + 32 + 16 + 1 + 4 + 1 + 15 + 1 + 31;
/// Bytes of a head; the image follows it.
pub(super) const HEAD: usize = file_len(PAYLOAD);

const EXISTED: u8 = 1;
const UP: u8 = 2;
const GENERATED: u8 = 4;

/// A configuration, without its image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// Its interface.
    pub interface: Name,
    /// Its number in the history of the interface.
    pub number: u32,
    /// The kind of change that stored it.
    pub act: Act,
    /// Time of the change: Unix time in seconds.
    pub time: u64,
    /// The key of the owner who made it.
    pub key: PublicKey,
    /// The name of that owner at the time.
    pub by: OwnerName,
    /// The length of the image in bytes; 0 if there is no image.
    pub length: u32,
    /// The digest of the image.
    pub digest: Digest,
    /// The digest of the image as it was pushed.
    pub pushed: Digest,
    /// Whether the pushed image left the private key to the router.
    pub generated: bool,
    /// Of a snapshot: the machine's boot in which it was made.
    pub boot: [u8; 16],
    /// Of a snapshot: whether the interface existed.
    pub existed: bool,
    /// Of a snapshot: whether it was up.
    pub up: bool,
    /// Of a snapshot: number of bytes at its end that are rules which the change adds.
    pub added: u32,
}

impl Head {
    /// The head of an image that a change puts into force.
    #[must_use]
    pub const fn new(interface: Name, number: u32, act: Act) -> Self {
        Self {
            interface,
            number,
            act,
            time: 0,
            key: PublicKey([0; 32]),
            by: OwnerName::new(),
            length: 0,
            digest: [0; 32],
            pushed: [0; 32],
            generated: false,
            boot: [0; 16],
            existed: false,
            up: false,
            added: 0,
        }
    }

    /// Place of the image in the file.
    #[must_use]
    pub const fn span(&self) -> Span {
        Span { from: HEAD as u32, end: (HEAD as u32).saturating_add(self.length) }
    }

    /// Whether the interface must exist.
    #[must_use]
    pub const fn has_image(&self) -> bool {
        self.length > 0
    }

    /// Encodes a head.
    pub(super) fn to_bytes(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        self.write(payload(&mut bytes));
        // The buffer has just that length.
        let _ = KIND.seal(&mut bytes, PAYLOAD);
        bytes
    }

    /// Decodes the head at the start of a file.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Wrong> {
        let payload = KIND.parse(bytes).map_err(|error| {
            // The head of another version may have another length, so its checksum cannot be found.
            KIND.version(bytes).map_or(error.wrong, Wrong::Version)
        })?;
        Self::parse(payload).ok_or(Wrong::Damaged)
    }

    fn write(&self, out: &mut [u8]) {
        let (act, origin) = self.act.numbers();
        let flag = |set, bit| if set { bit } else { 0 };
        let flags =
            flag(self.existed, EXISTED) | flag(self.up, UP) | flag(self.generated, GENERATED);
        let mut at = 0;
        let mut put = |field: &[u8]| put(out, &mut at, field);
        put(&[act]);
        put(&self.number.to_le_bytes());
        put(&origin.to_le_bytes());
        put(&self.time.to_le_bytes());
        put(&self.key.0);
        put(&self.length.to_le_bytes());
        put(&self.digest);
        put(&self.pushed);
        put(&self.boot);
        put(&[flags]);
        put(&self.added.to_le_bytes());
        put_text(out, &mut at, &self.interface, 15);
        put_text(out, &mut at, &self.by, 31);
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let mut rest = payload;
        let [act] = *take(&mut rest)?;
        let number = u32::from_le_bytes(*take(&mut rest)?);
        let origin = u32::from_le_bytes(*take(&mut rest)?);
        let time = u64::from_le_bytes(*take(&mut rest)?);
        let key = PublicKey(*take(&mut rest)?);
        let length = u32::from_le_bytes(*take(&mut rest)?);
        let (digest, pushed, boot) = (*take(&mut rest)?, *take(&mut rest)?, *take(&mut rest)?);
        let [flags] = *take(&mut rest)?;
        let added = u32::from_le_bytes(*take(&mut rest)?);
        let interface = text(&mut rest, 15)?.parse().ok()?;
        let by = cut(text(&mut rest, 31)?);
        let act = Act::from_numbers(act, origin);
        if matches!(act, Act::Unknown(..)) {
            return None;
        }
        let (existed, up) = (flags & EXISTED != 0, flags & UP != 0);
        let generated = flags & GENERATED != 0;
        rest.is_empty().then_some(Self {
            interface,
            number,
            act,
            time,
            key,
            by,
            length,
            digest,
            pushed,
            generated,
            boot,
            existed,
            up,
            added,
        })
    }

    /// The configuration in the form for clients.
    #[must_use]
    pub fn shown(&self, damaged: bool) -> Stored {
        Stored {
            interface: self.interface,
            number: self.number,
            time: self.time,
            key: self.key,
            by: copy(&self.by),
            act: self.act,
            length: self.length,
            damaged,
            digest: self.pushed,
        }
    }
}
