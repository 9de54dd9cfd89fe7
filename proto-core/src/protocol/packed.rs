//! Packed bytes: what an upload sends in place of bytes that repeat themselves.
//!
//! The format is that of heatshrink (`heatshrink -w 7 -l 4`), an LZSS for small memories. The bits of each byte are read
//! from the highest to the lowest. A 1 is followed by the 8 bits of a byte. A 0 is followed by 7 bits, a distance less
//! one, and 4 bits, a length less one: that many bytes are copied from that distance back. Bytes before the first one
//! are zero. The last byte is filled with zeros.
//!
//! Half of an image are keys, which have no pattern; the rest are headers, prefixes and zeros, which a distance of 128
//! reaches as well as a longer one. Pieces are packed one by one, because they arrive in any order.
//!
//! Not here: which bytes are packed (`docs/protocol.md`, "Pieces").

use super::MAX_DATA;

/// The most bytes that packed bytes stand for: more than fit one packet, so that a short image
/// travels with its announcement.
pub const MAX_UNPACKED: usize = 2 * MAX_DATA;

/// Bits of a distance and of a length.
const DISTANCE: u32 = 7;
const LENGTH: u32 = 4;

/// The longest distance, and the longest length.
const WINDOW: usize = 1 << DISTANCE;
const LONGEST: usize = 1 << LENGTH;

/// Packs at most [`MAX_UNPACKED`] bytes into `out`. Returns the length of the result, or `None` if that would not be
/// shorter than `bytes`, or does not fit `out`.
#[must_use]
pub fn pack(bytes: &[u8], out: &mut [u8]) -> Option<usize> {
    let most = out.len().min(bytes.len().checked_sub(1)?);
    if bytes.len() > MAX_UNPACKED {
        return None;
    }
    let mut writer = Writer { out: out.get_mut(..most)?, len: 0, bits: 0, free: 8 };
    let mut pairs = Pairs { last: [0; 256], before: [0; WINDOW] };
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let (distance, length) = pairs.longest(bytes, at);
        // Two bytes have 18 bits, and a copy has 12.
        if length < 2 {
            writer.put(0x100 | u32::from(byte), 9)?;
        } else {
            writer.put(distance.saturating_sub(1) as u32, DISTANCE.saturating_add(1))?;
            writer.put(length.saturating_sub(1) as u32, LENGTH)?;
        }
        for _ in 0..length.max(1) {
            pairs.put(bytes, at);
            at = at.saturating_add(1);
        }
    }
    writer.end()
}

/// Where pairs of bytes were seen, as positions plus one; 0 is nowhere.
struct Pairs {
    /// The last place of the pairs with each hash.
    last: [u16; 256],
    /// For each place in the window, the last one before it with the same hash.
    before: [u16; WINDOW],
}

impl Pairs {
    /// The places for the pair at `at`, and for `at` itself.
    fn places(&mut self, bytes: &[u8], at: usize) -> Option<(&mut u16, &mut u16)> {
        let &[a, b] = bytes.get(at..)?.first_chunk()?;
        let hash = usize::from(a.wrapping_mul(31) ^ b);
        Some((self.last.get_mut(hash)?, self.before.get_mut(at % WINDOW)?))
    }

    /// Notes the pair at `at`.
    fn put(&mut self, bytes: &[u8], at: usize) {
        if let Some((last, before)) = self.places(bytes, at) {
            *before = core::mem::replace(last, at.saturating_add(1) as u16);
        }
    }

    /// The distance and length of the longest copy of at least two bytes that continues `bytes` at `at`, the nearest
    /// of several; length 0 if there is none.
    fn longest(&mut self, bytes: &[u8], at: usize) -> (usize, usize) {
        let mut best = (0, 0);
        let mut place = self.places(bytes, at).map_or(0, |(last, _)| *last);
        let next = bytes.get(at..).unwrap_or_default();
        while let Some(from) = usize::from(place).checked_sub(1)
            && at.saturating_sub(from) <= WINDOW
        {
            let before = bytes.get(from..).unwrap_or_default();
            let same = before.iter().zip(next).take(LONGEST).take_while(|(a, b)| a == b).count();
            if same > best.1.max(1) {
                best = (at.saturating_sub(from), same);
            }
            place = self.before.get(from % WINDOW).copied().unwrap_or(0);
        }
        best
    }
}

struct Writer<'o> {
    out: &'o mut [u8],
    len: usize,
    /// The byte under way, and the number of its lower bits that are free.
    bits: u8,
    free: u32,
}

impl Writer<'_> {
    /// Adds the lowest `count` bits of `value`.
    fn put(&mut self, value: u32, count: u32) -> Option<()> {
        for bit in (0..count).rev() {
            let bit = value.checked_shr(bit).unwrap_or(0) & 1;
            self.bits = self.bits << 1 | u8::from(bit == 1);
            self.free = self.free.saturating_sub(1);
            if self.free == 0 {
                *self.out.get_mut(self.len)? = self.bits;
                self.len = self.len.saturating_add(1);
                self.free = 8;
            }
        }
        Some(())
    }

    /// Fills the last byte, and returns the number of bytes.
    fn end(mut self) -> Option<usize> {
        let fill = self.free & 7;
        self.put(0, fill)?;
        Some(self.len)
    }
}

/// Unpacks `packed` into `out`. Returns whether it is exactly the packed form of as many bytes as `out` has; otherwise
/// the content of `out` is undefined.
#[must_use]
#[cfg_attr(feature = "small", inline(never))]
pub fn unpack(packed: &[u8], out: &mut [u8]) -> bool {
    let mut reader = Reader { packed, at: 0 };
    let mut len = 0_usize;
    while len < out.len() {
        let Some(plain) = reader.take(1) else { return false };
        let (mut distance, mut length) = (0, 1);
        if plain == 0 {
            let Some(copy) = reader.take(DISTANCE.saturating_add(LENGTH)) else { return false };
            distance = (copy >> LENGTH).saturating_add(1);
            length = (copy & 15).saturating_add(1);
        }
        for _ in 0..length {
            let byte = match distance {
                0 => reader.take(8),
                _ => Some(
                    len.checked_sub(distance).and_then(|at| out.get(at)).map_or(0, |&b| b.into()),
                ),
            };
            let (Some(byte), Some(place)) = (byte, out.get_mut(len)) else { return false };
            *place = byte as u8;
            len = len.saturating_add(1);
        }
    }
    reader.is_at_end()
}

/// The bytes that `data` stands for: `data` itself if it has `size` bytes, or what it unpacks to if it is shorter, which
/// is put into `room`. `None` if it stands for another number of bytes, or for more than fit `room`.
#[must_use]
pub fn bytes<'b>(data: &'b [u8], size: usize, room: &'b mut [u8]) -> Option<&'b [u8]> {
    if data.len() == size {
        return Some(data);
    }
    let room = room.get_mut(..size)?;
    (data.len() < size && unpack(data, room)).then_some(room)
}

struct Reader<'p> {
    packed: &'p [u8],
    /// Number of bits read.
    at: usize,
}

impl Reader<'_> {
    /// The next `count` bits.
    fn take(&mut self, count: u32) -> Option<usize> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.packed.get(self.at >> 3)?;
            let bit = byte.checked_shl(u32::try_from(self.at & 7).unwrap_or(0)).unwrap_or(0) >> 7;
            value = value << 1 | usize::from(bit);
            self.at = self.at.saturating_add(1);
        }
        Some(value)
    }

    /// Whether nothing follows but the zeros that fill the last byte.
    fn is_at_end(&mut self) -> bool {
        let fill = self.at.wrapping_neg() & 7;
        let fill = u32::try_from(fill).ok().and_then(|fill| self.take(fill));
        fill == Some(0) && self.packed.len() == self.at >> 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; bytes.len()];
        let len = pack(bytes, &mut out)?;
        out.truncate(len);
        Some(out)
    }

    fn unpacked(packed: &[u8], size: usize) -> Option<Vec<u8>> {
        let mut out = vec![0x55; size];
        unpack(packed, &mut out).then_some(out)
    }

    /// Bytes as an image has them: keys, zeros, and records that resemble the last ones.
    fn alike() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            (0..4_u8, 1..30_usize).prop_map(|(byte, count)| vec![byte; count]),
            Just(vec![5, 0, 10, 0x79, 0x42, 0xe1, 0x20, 7, 5, 0, 0xac]),
        ];
        prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
    }

    #[test]
    fn every_form_is_read_as_the_document_says() {
        // 1 01100001, 1 01100010, 0 0000001 0011 (2 back, 4 bytes), 00.
        let bytes = [0b1011_0000, 0b1101_1000, 0b1000_0000, 0b0100_1100];
        assert_eq!(unpacked(&bytes, 6).unwrap(), b"ababab");
        assert_eq!(packed(b"ababab").unwrap(), bytes);
        // Another length, more bytes, and a last byte that is not filled with zeros.
        assert_eq!(unpacked(&bytes, 5), None);
        assert_eq!(unpacked(&bytes, 7), None);
        assert_eq!(unpacked(&[&bytes[..], &[0]].concat(), 6), None);
        assert_eq!(unpacked(&[&bytes[..3], &[0b0100_1101]].concat(), 6), None);
        // Bytes before the first one are zero.
        assert_eq!(unpacked(&[0b0000_0001, 0b0010_0000], 3).unwrap(), [0; 3]);
        // What does not become shorter is not packed.
        assert_eq!([packed(b""), packed(b"a"), packed(b"abcdefgh")], [None, None, None]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// What was packed unpacks to the same bytes here and in another implementation of the format, which also packs
        /// what we unpack.
        #[test]
        fn both_ways_and_by_others(bytes in alike()) {
            let config = heatshrink::Config::new(7, 4).unwrap();
            let mut room = vec![0; bytes.len() * 2 + 2];
            if let Some(packed) = packed(&bytes) {
                prop_assert!(packed.len() < bytes.len());
                prop_assert_eq!(unpacked(&packed, bytes.len()).unwrap(), &bytes[..]);
                // It wants room for one byte more than it writes.
                let theirs = heatshrink::decode(&packed, &mut room, &config).unwrap();
                prop_assert_eq!(&theirs[..bytes.len()], &bytes[..]);
            }
            let theirs = heatshrink::encode(&bytes, &mut room, &config).unwrap();
            prop_assert_eq!(unpacked(theirs, bytes.len()).unwrap(), &bytes[..]);
        }

        #[test]
        fn any_bytes_are_unpacked_or_refused(data in prop::collection::vec(any::<u8>(), 0..200), size in 0..300_usize) {
            let mut room = [0; 250];
            if let Some(found) = super::bytes(&data, size, &mut room) {
                prop_assert_eq!(found.len(), size);
                prop_assert!(data.len() <= size);
            }
        }
    }
}
