//! The items of an image in a file: one entry of fixed size each, in the order of their keys, so
//! that any item is found by halving, however many there are, in the memory of one window.
//!
//! The kernel lists peers in the order they were made. An agent that made them in the order of their
//! keys finds each one directly behind the last, so the entry after the last one is tried first.

use proto_core::protocol::config::{ITEM_KEY_LEN, ItemKey};

use crate::fault::{Fault, Slot};
use crate::keep::{put, take};
use crate::set_sum::SetSum;
use crate::system::File;

/// What is known about an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// The kernel does not have it (or was not asked yet).
    Missing,
    /// The kernel has it just so.
    Same,
    /// The kernel has it, but these fields of it differ ([`proto_core::protocol::message::peer`], and
    /// [`REMAKE`]).
    Differs(u8),
}

/// A field of a peer that cannot be changed back: it is made anew.
pub const REMAKE: u8 = 0x40;

impl Mark {
    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Missing => 0,
            Self::Same => 0x80,
            Self::Differs(fields) => 0x80 | fields,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Missing,
            0x80 => Self::Same,
            fields => Self::Differs(fields & 0x7f),
        }
    }
}

/// An item of the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its key.
    pub key: ItemKey,
    /// Where its record starts in the image.
    pub offset: u32,
    /// The sum of its allowed IPs, if it is a peer.
    pub allowed_ips: SetSum,
    /// What is known about it.
    pub mark: Mark,
}

/// key, offset, count, sum, mark
const ENTRY: usize = ITEM_KEY_LEN + 4 + 4 + 8 + 1;
const MARK_AT: u32 = (ENTRY - 1) as u32;
/// Entries in the window.
const WINDOW: usize = 16;

impl Entry {
    fn to_bytes(self) -> [u8; ENTRY] {
        let (mut bytes, mut at) = ([0; ENTRY], 0);
        let mut put = |field: &[u8]| put(&mut bytes, &mut at, field);
        put(&self.key.0);
        put(&self.offset.to_le_bytes());
        put(&self.allowed_ips.count.to_le_bytes());
        put(&self.allowed_ips.sum.to_le_bytes());
        put(&[self.mark.to_byte()]);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let key = ItemKey(*take(&mut rest)?);
        let offset = u32::from_le_bytes(*take(&mut rest)?);
        let count = u32::from_le_bytes(*take(&mut rest)?);
        let sum = u64::from_le_bytes(*take(&mut rest)?);
        let mark = Mark::from_byte(*rest.first()?);
        Some(Self { key, offset, allowed_ips: SetSum { count, sum }, mark })
    }
}

/// The index in its file.
#[derive(Debug)]
pub struct Index<'f, F> {
    slot: &'f Slot,
    file: &'f mut F,
    len: u32,
    /// Where the entry is that is expected next.
    hint: u32,
    /// Entries from `from` on, `held` of them: what was read, or what is still to be written.
    window: [u8; ENTRY * WINDOW],
    from: u32,
    held: u32,
}

/// A row of entries that is being merged with another.
struct Cursor {
    next: u32,
    end: u32,
    window: [u8; ENTRY * WINDOW],
    from: u32,
    held: u32,
}

impl Cursor {
    const fn new(next: u32, end: u32) -> Self {
        Self { next, end, window: [0; ENTRY * WINDOW], from: 0, held: 0 }
    }

    /// The first entry that is left.
    fn peek<F: File>(&mut self, slot: &Slot, file: &mut F) -> Result<Option<Entry>, Fault> {
        if self.next >= self.end {
            return Ok(None);
        }
        if self.next.checked_sub(self.from).is_none_or(|at| at >= self.held) {
            let got = file.read_at(place(self.next), &mut self.window);
            let got = got.map_err(|errno| slot.storage(errno))?;
            self.from = self.next;
            self.held = u32::try_from(got.checked_div(ENTRY).unwrap_or(0)).unwrap_or(0);
        }
        let at = place(self.next.saturating_sub(self.from)) as usize;
        Ok(self.window.get(at..).and_then(Entry::from_bytes))
    }
}

fn place(n: u32) -> u32 {
    n.saturating_mul(ENTRY as u32)
}

impl<'f, F: File> Index<'f, F> {
    /// An index that is about to be made, in `file`.
    pub const fn new(slot: &'f Slot, file: &'f mut F) -> Self {
        Self { slot, file, len: 0, hint: 0, window: [0; ENTRY * WINDOW], from: 0, held: 0 }
    }

    /// An index that was made before, of so many entries, in `file`.
    pub const fn again(slot: &'f Slot, file: &'f mut F, len: u32) -> Self {
        Self { len, ..Self::new(slot, file) }
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is no entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all entries.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn clear(&mut self) -> Result<(), Fault> {
        (self.len, self.hint, self.from, self.held) = (0, 0, 0, 0);
        self.file.clear().map_err(|errno| self.slot.storage(errno))
    }

    /// Adds an entry behind the last one. The caller keeps the order.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn push(&mut self, entry: &Entry) -> Result<(), Fault> {
        if self.held as usize == WINDOW {
            self.flush()?;
        }
        let at = place(self.held) as usize;
        if let Some(slot) = self.window.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *slot = entry.to_bytes();
        }
        self.held = self.held.saturating_add(1);
        self.len = self.len.saturating_add(1);
        Ok(())
    }

    /// Writes what was pushed.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn flush(&mut self) -> Result<(), Fault> {
        let bytes = self.window.get(..place(self.held) as usize).unwrap_or_default();
        self.file.write_at(place(self.from), bytes).map_err(|errno| self.slot.storage(errno))?;
        self.from = self.from.saturating_add(self.held);
        self.held = 0;
        Ok(())
    }

    /// The entry number `n`, from 0, or nothing behind the last.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn get(&mut self, n: u32) -> Result<Option<Entry>, Fault> {
        if n >= self.len {
            return Ok(None);
        }
        if n.checked_sub(self.from).is_none_or(|at| at >= self.held) {
            self.held = 0;
            let got = self
                .file
                .read_at(place(n), &mut self.window)
                .map_err(|errno| self.slot.storage(errno))?;
            self.from = n;
            self.held = u32::try_from(got.checked_div(ENTRY).unwrap_or(0)).unwrap_or(0);
        }
        let at = place(n.saturating_sub(self.from)) as usize;
        Ok(self.window.get(at..).and_then(Entry::from_bytes))
    }

    /// Finds the entry of `key` and its number.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn find(&mut self, key: &ItemKey) -> Result<Option<(u32, Entry)>, Fault> {
        let hint = self.hint;
        if let Some(entry) = self.get(hint)?.filter(|entry| entry.key == *key) {
            self.hint = hint.saturating_add(1);
            return Ok(Some((hint, entry)));
        }
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low.midpoint(high);
            // Straight from the file: probes all over it would only empty the window.
            let mut bytes = [0; ENTRY];
            self.file
                .read_at(place(middle), &mut bytes)
                .map_err(|errno| self.slot.storage(errno))?;
            let Some(entry) = Entry::from_bytes(&bytes) else { break };
            match entry.key.cmp(key) {
                core::cmp::Ordering::Less => low = middle.saturating_add(1),
                core::cmp::Ordering::Greater => high = middle,
                core::cmp::Ordering::Equal => {
                    self.hint = middle.saturating_add(1);
                    return Ok(Some((middle, entry)));
                }
            }
        }
        Ok(None)
    }

    /// Notes what is known about entry `n`.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn mark(&mut self, n: u32, mark: Mark) -> Result<(), Fault> {
        let byte = [mark.to_byte()];
        self.file
            .write_at(place(n).saturating_add(MARK_AT), &byte)
            .map_err(|errno| self.slot.storage(errno))?;
        if let Some(at) = n.checked_sub(self.from).filter(|at| *at < self.held) {
            let at = place(at).saturating_add(MARK_AT) as usize;
            if let Some(slot) = self.window.get_mut(at) {
                *slot = mark.to_byte();
            }
        }
        Ok(())
    }

    /// Puts the entries in the order of their keys, with the help of another file.
    ///
    /// Rows of two, four, eight and so on are merged from one file into the other: each pass reads and
    /// writes everything once, a window at a time.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn sort(&mut self, other: &mut F) -> Result<(), Fault> {
        let len = self.len;
        let mut row = 1_u32;
        while row < len {
            self.merge_rows(other, row)?;
            row = row.saturating_mul(2);
        }
        (self.hint, self.held) = (0, 0);
        Ok(())
    }

    fn merge_rows(&mut self, other: &mut F, row: u32) -> Result<(), Fault> {
        let len = self.len;
        let mut merged = Index::new(self.slot, other);
        merged.clear()?;
        let mut at = 0_u32;
        while at < len {
            let middle = at.saturating_add(row).min(len);
            let end = middle.saturating_add(row).min(len);
            let (mut left, mut right) = (Cursor::new(at, middle), Cursor::new(middle, end));
            loop {
                let first = left.peek(self.slot, self.file)?;
                let second = right.peek(self.slot, self.file)?;
                let (entry, cursor) = match (first, second) {
                    (Some(first), Some(second)) if second.key < first.key => (second, &mut right),
                    (Some(first), _) => (first, &mut left),
                    (None, Some(second)) => (second, &mut right),
                    (None, None) => break,
                };
                cursor.next = cursor.next.saturating_add(1);
                merged.push(&entry)?;
            }
            at = end;
        }
        merged.flush()?;
        // Back to the file that the index is in.
        let mut buf = [0; ENTRY * WINDOW];
        let mut at = 0_u32;
        while at < place(len) {
            let got =
                merged.file.read_at(at, &mut buf).map_err(|errno| self.slot.storage(errno))?;
            let got = buf.get(..got).filter(|got| !got.is_empty());
            let got = got.ok_or_else(|| self.slot.storage(proto_core::netlink::Errno::EIO))?;
            self.file.write_at(at, got).map_err(|errno| self.slot.storage(errno))?;
            at = at.saturating_add(u32::try_from(got.len()).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    /// Forgets all marks: the kernel is about to be asked again.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn unmark(&mut self) -> Result<(), Fault> {
        (self.hint, self.held) = (0, 0);
        let mut n = 0_u32;
        while self.get(n)?.is_some() {
            let held = place(self.held) as usize;
            let entries = self.window.get_mut(..held).unwrap_or_default();
            for entry in entries.chunks_exact_mut(ENTRY) {
                if let Some(mark) = entry.last_mut() {
                    *mark = Mark::Missing.to_byte();
                }
            }
            self.file.write_at(place(n), entries).map_err(|errno| self.slot.storage(errno))?;
            n = n.saturating_add(self.held);
        }
        Ok(())
    }
}

/// Keys of items that the kernel has and the image does not, in a file.
#[derive(Debug)]
pub struct Extras<'f, F> {
    slot: &'f Slot,
    file: &'f mut F,
    len: u32,
}

impl<'f, F: File> Extras<'f, F> {
    /// None yet, in `file`.
    pub const fn new(slot: &'f Slot, file: &'f mut F) -> Self {
        Self { slot, file, len: 0 }
    }

    /// Keys that were noted before, so many, in `file`.
    pub const fn again(slot: &'f Slot, file: &'f mut F, len: u32) -> Self {
        Self { slot, file, len }
    }

    fn place(n: u32) -> u32 {
        n.saturating_mul(ITEM_KEY_LEN as u32)
    }

    /// Forgets all keys.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn clear(&mut self) -> Result<(), Fault> {
        self.len = 0;
        self.file.clear().map_err(|errno| self.slot.storage(errno))
    }

    /// Adds a key.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn push(&mut self, key: &ItemKey) -> Result<(), Fault> {
        self.file
            .write_at(Self::place(self.len), &key.0)
            .map_err(|errno| self.slot.storage(errno))?;
        self.len = self.len.saturating_add(1);
        Ok(())
    }

    /// The key number `n`, from 0, or nothing behind the last.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn get(&mut self, n: u32) -> Result<Option<ItemKey>, Fault> {
        if n >= self.len {
            return Ok(None);
        }
        let mut key = [0; ITEM_KEY_LEN];
        self.file.read_at(Self::place(n), &mut key).map_err(|errno| self.slot.storage(errno))?;
        Ok(Some(ItemKey(key)))
    }

    /// How many keys there are.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is no key.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;
    use proto_core::key::PublicKey;
    use proto_core::protocol::config::Item;

    fn entry(n: u8) -> Entry {
        Entry {
            key: Item::Peer(PublicKey([n; 32])).key(),
            offset: u32::from(n) * 1000,
            allowed_ips: SetSum { count: n.into(), sum: u64::MAX - u64::from(n) },
            mark: Mark::Missing,
        }
    }

    fn filled<'f>(
        slot: &'f Slot,
        file: &'f mut Memory,
        keys: impl Iterator<Item = u8>,
    ) -> Index<'f, Memory> {
        let mut index = Index::new(slot, file);
        index.clear().unwrap();
        for n in keys {
            index.push(&entry(n)).unwrap();
        }
        index.flush().unwrap();
        index
    }

    #[test]
    fn entries_are_found_in_any_order() {
        let (slot, mut file) = (Slot::default(), Memory::default());
        let mut index = filled(&slot, &mut file, (0..200).step_by(2));
        assert_eq!(index.len(), 100);
        for n in (0..200_u8).chain((0..200).rev()).chain([7, 100, 0, 198, 50, 51]) {
            let found = index.find(&entry(n).key).unwrap();
            let expected = (n % 2 == 0).then(|| (u32::from(n) / 2, entry(n)));
            assert_eq!(found, expected, "{n}");
        }
        assert_eq!(index.get(100).unwrap(), None);
    }

    #[test]
    fn marks_stay_and_go() {
        let (slot, mut file) = (Slot::default(), Memory::default());
        let mut index = filled(&slot, &mut file, 0..50);
        index.mark(3, Mark::Same).unwrap();
        index.mark(49, Mark::Differs(0x0f)).unwrap();
        let marks = |index: &mut Index<'_, Memory>| {
            (0..50).map(|n| index.get(n).unwrap().unwrap().mark).collect::<Vec<_>>()
        };
        let seen = marks(&mut index);
        assert_eq!((seen[2], seen[3], seen[49]), (Mark::Missing, Mark::Same, Mark::Differs(15)));
        index.unmark().unwrap();
        assert!(marks(&mut index).iter().all(|mark| *mark == Mark::Missing));
        let untouched = Entry { mark: Mark::Missing, ..entry(49) };
        assert_eq!(index.get(49).unwrap(), Some(untouched));
    }

    #[test]
    fn any_order_is_sorted() {
        for len in [0_u8, 1, 2, 3, 15, 16, 17, 100, 251] {
            let (slot, mut file, mut other) =
                (Slot::default(), Memory::default(), Memory::default());
            let shuffled = (0..len).map(|n| (u32::from(n) * 89 % 251) as u8);
            let mut sorted: Vec<u8> = shuffled.clone().collect();
            sorted.sort_unstable();
            let mut index = filled(&slot, &mut file, shuffled);
            index.sort(&mut other).unwrap();
            for (nth, n) in sorted.iter().enumerate() {
                let found = index.find(&entry(*n).key).unwrap();
                assert_eq!(found, Some((nth as u32, entry(*n))), "{len}");
            }
            assert_eq!(index.len(), u32::from(len));
        }
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        let (slot, mut file) = (Slot::default(), Memory::default());
        let mut index = filled(&slot, &mut file, 0..0);
        assert!(index.is_empty());
        assert_eq!(index.find(&entry(1).key).unwrap(), None);
    }
}
