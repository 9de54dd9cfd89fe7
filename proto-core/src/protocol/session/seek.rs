//! How a client learns the key of an unowned router, and how the secret on the router's label is
//! used.
//!
//! Over a serial line an unowned router answers every client. Over UDP it answers only clients that
//! know the secret on its label. A router with an owner answers none. The agent decides when to
//! answer.

use core::fmt;

use zeroize::Zeroize as _;

use super::mac::{hash, keyed, same};
use super::noise::Wiped;
use super::{FOUND, FOUND_LEN, SEEK, SEEK_LEN, SESSION_VERSION, is, put, take};
use crate::key::PublicKey;

/// Smallest number of characters of a label secret, without spaces and dashes.
pub const MIN_LABEL: usize = 16;

/// The key derived from the secret on a label. It is wiped when it is dropped.
#[derive(Clone)]
pub struct LabelKey(Wiped<32>);

impl fmt::Debug for LabelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl LabelKey {
    /// The key of a secret as typed: in any case, with or without spaces and dashes. `None` if the
    /// secret has fewer than [`MIN_LABEL`] characters, or over 128 bytes.
    #[must_use]
    #[cfg_attr(feature = "small", inline(never))]
    pub fn of(text: &str) -> Option<Self> {
        let mut plain = Wiped([0; 128]);
        let mut bytes = plain.0.iter_mut();
        let (mut len, mut characters) = (0_usize, 0_usize);
        for byte in text.bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
            *bytes.next()? = byte.to_ascii_uppercase();
            len = len.saturating_add(1);
            // Counts the first byte of each character in UTF-8.
            characters = characters.saturating_add(usize::from(byte & 0xc0 != 0x80));
        }
        let key = hash(&[b"Postwire label", plain.0.get(..len)?]);
        (characters >= MIN_LABEL).then_some(Self(Wiped(key)))
    }

    /// Proof of knowledge of the label secret, bound to this session.
    #[must_use]
    pub fn proof(&self, handshake_hash: &[u8; 32]) -> [u8; 32] {
        keyed(&self.0.0, &[b"claim", handshake_hash])
    }

    /// Whether `proof` is the [`proof`](Self::proof) for this session.
    #[must_use]
    pub fn proves(&self, handshake_hash: &[u8; 32], proof: &[u8; 32]) -> bool {
        same(&self.proof(handshake_hash), proof)
    }

    fn seek(&self, nonce: &[u8; 16]) -> [u8; 32] {
        keyed(&self.0.0, &[b"seek", nonce])
    }

    fn found(&self, nonce: &[u8; 16], key: &PublicKey) -> [u8; 32] {
        keyed(&self.0.0, &[b"found", nonce, &key.0])
    }
}

/// Writes a search for an unowned router with a `nonce` of 16 new random bytes, and returns its
/// length; `None` if there is no room.
#[must_use]
pub fn seek(nonce: &[u8; 16], label: Option<&LabelKey>, out: &mut [u8]) -> Option<usize> {
    let out: &mut [u8; SEEK_LEN] = out.first_chunk_mut()?;
    // As long as the answer, so that the router cannot amplify traffic.
    out.zeroize();
    put(out, 0, &[SEEK, SESSION_VERSION]);
    put(out, 2, nonce);
    put(out, 18, &label.map_or([0; 32], |label| label.seek(nonce)));
    Some(SEEK_LEN)
}

/// A search for an unowned router.
#[derive(Clone, Copy, Debug)]
pub struct Seek {
    nonce: [u8; 16],
    mac: [u8; 32],
}

impl Seek {
    /// Accepts a packet that is a search. `None` for any other packet.
    #[must_use]
    #[cfg_attr(feature = "small", inline(never))]
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let zeros: [u8; 32] = take(packet, 50);
        (is(packet, SEEK, SEEK_LEN) && zeros == [0; 32])
            .then(|| Self { nonce: take(packet, 2), mac: take(packet, 18) })
    }

    /// Whether the client knows the secret of the label.
    #[must_use]
    pub fn knows(&self, label: &LabelKey) -> bool {
        same(&label.seek(&self.nonce), &self.mac)
    }

    /// Writes the answer and returns its length; `None` if there is no room.
    #[must_use]
    #[cfg_attr(feature = "small", inline(never))]
    pub fn answer(
        &self,
        key: &PublicKey,
        label: Option<&LabelKey>,
        out: &mut [u8],
    ) -> Option<usize> {
        let out = out.get_mut(..FOUND_LEN)?;
        put(out, 0, &[FOUND, SESSION_VERSION]);
        put(out, 2, &self.nonce);
        put(out, 18, &key.0);
        put(out, 50, &label.map_or([0; 32], |label| label.found(&self.nonce, key)));
        Some(FOUND_LEN)
    }
}

/// The key of an unowned router, if the packet answers the search with this nonce. With a label,
/// only from a router that knows its secret too. `None` for any other packet.
#[must_use]
pub fn found(packet: &[u8], nonce: &[u8; 16], label: Option<&LabelKey>) -> Option<PublicKey> {
    if !is(packet, FOUND, FOUND_LEN) || take(packet, 2) != *nonce {
        return None;
    }
    let (key, mac): (_, [u8; 32]) = (PublicKey(take(packet, 18)), take(packet, 50));
    let right = label.is_none_or(|label| same(&label.found(nonce, &key), &mac));
    right.then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; 16] = [7; 16];
    const ROUTER: PublicKey = PublicKey([9; 32]);

    fn label(text: &str) -> LabelKey {
        LabelKey::of(text).unwrap()
    }

    #[test]
    fn a_secret_is_the_same_however_it_is_typed() {
        let proof = |text| label(text).proof(&[1; 32]);
        assert_eq!(proof("ABCD-EFGH-IJKL-MNOP"), proof("abcd efghijkl mnop"));
        assert_ne!(proof("ABCD-EFGH-IJKL-MNOP"), proof("ABCD-EFGH-IJKL-MNOQ"));
        assert!(LabelKey::of("ABCD-EFGH-IJKL-MNO").is_none());
        assert!(LabelKey::of(&"é".repeat(15)).is_none());
        assert!(LabelKey::of(&"é".repeat(16)).is_some());
        assert!(LabelKey::of(&"a".repeat(128)).is_some());
        assert!(LabelKey::of(&"a".repeat(129)).is_none());
        let (key, hash) = (label("0123456789abcdef"), [1; 32]);
        assert!(key.proves(&hash, &key.proof(&hash)));
        assert!(!key.proves(&[2; 32], &key.proof(&hash)));
        assert_eq!(format!("{key:?}"), "(hidden)");
    }

    #[test]
    fn who_seeks_finds_with_and_without_a_label() {
        let key = label("0123456789abcdef");
        let other = label("0123456789abcdeF-other");
        for known in [None, Some(&key)] {
            let (mut question, mut answer) = ([0xff; 90], [0xff; 90]);
            let len = seek(&NONCE, known, &mut question).unwrap();
            let asked = Seek::parse(&question[..len]).unwrap();
            assert_eq!(asked.knows(&key), known.is_some());
            assert!(!asked.knows(&other));
            let len = asked.answer(&ROUTER, known, &mut answer).unwrap();
            let answer = &answer[..len];
            assert_eq!(found(answer, &NONCE, known), Some(ROUTER));
            assert_eq!(found(answer, &NONCE, Some(&key)).is_some(), known.is_some());
            assert_eq!(found(answer, &NONCE, Some(&other)), None);
            assert_eq!(found(answer, &[8; 16], known), None);
            assert!(Seek::parse(answer).is_none());
            assert!(found(&question[..82], &NONCE, None).is_none());
        }
        assert_eq!(seek(&NONCE, None, &mut [0; SEEK_LEN - 1]), None);
    }
}
