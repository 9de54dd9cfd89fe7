//! The items of an image in a file: one entry of fixed size each, in the order of their keys. A
//! binary search finds any item in the memory of one window, whatever the number of items.
//!
//! The kernel lists peers in the order in which they were added. An agent that added them in the
//! order of their keys finds each one directly after the last, so the next entry is tried first.

use proto_core::protocol::config::{ITEM_KEY_LEN, ItemKey};

use crate::bytes::{put, take};
use crate::config::set_sum::SetSum;
use crate::fault::{Fault, Slot};
use crate::store::noted::Noted;
use crate::system::File;

/// The state of an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// The kernel does not have it (or was not read yet).
    Missing,
    /// The kernel has it with equal values.
    Same,
    /// The kernel has it, but these fields of it differ ([`proto_core::protocol::message::peer`], and
    /// [`REMAKE`]).
    Differs(u8),
}

/// A field of a peer that cannot be restored in place: the peer is removed and added again.
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
    /// The offset of its record in the image.
    pub offset: u32,
    /// The sum of its allowed IPs, if it is a peer.
    pub allowed_ips: SetSum,
    /// Its state.
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

/// Consecutive entries of a file: read ones, or ones still to be written.
#[derive(Debug)]
struct Window {
    bytes: [u8; ENTRY * WINDOW],
    /// The number of the first entry, and the number of entries.
    from: u32,
    held: u32,
}

impl Window {
    const fn new() -> Self {
        Self { bytes: [0; ENTRY * WINDOW], from: 0, held: 0 }
    }

    /// The bytes of entry `n`; reads the entry and those after it unless they are in memory.
    #[inline(never)]
    fn entry<F: File>(&mut self, file: &mut Noted<'_, F>, n: u32) -> Result<&[u8], Fault> {
        if n.checked_sub(self.from).is_none_or(|at| at >= self.held) {
            self.held = 0;
            let got = file.read(place(n), &mut self.bytes)?;
            self.from = n;
            self.held = (got / ENTRY) as u32;
        }
        let at = place(n.saturating_sub(self.from)) as usize;
        let entry = self.bytes.get(at..).and_then(|rest| rest.get(..ENTRY));
        Ok(entry.unwrap_or_default())
    }
}

/// The index in its file.
#[derive(Debug)]
pub struct Index<'f, F> {
    file: Noted<'f, F>,
    len: u32,
    /// The entry that is expected next.
    hint: u32,
    window: Window,
}

/// A run of entries that is being merged with another.
struct Cursor {
    next: u32,
    end: u32,
    window: Window,
}

impl Cursor {
    const fn new() -> Self {
        Self { next: 0, end: 0, window: Window::new() }
    }

    /// The bytes of the first remaining entry; `None` at the end.
    fn peek<F: File>(&mut self, file: &mut Noted<'_, F>) -> Result<&[u8], Fault> {
        if self.next >= self.end { Ok(&[]) } else { self.window.entry(file, self.next) }
    }
}

fn place(n: u32) -> u32 {
    n.saturating_mul(ENTRY as u32)
}

impl<'f, F: File> Index<'f, F> {
    /// A new, empty index in `file`.
    pub const fn new(slot: &'f Slot, file: &'f mut F) -> Self {
        Self::again(slot, file, 0)
    }

    /// An index of `len` entries that was written to `file` before.
    pub const fn again(slot: &'f Slot, file: &'f mut F, len: u32) -> Self {
        Self { file: Noted { slot, file }, len, hint: 0, window: Window::new() }
    }

    /// Number of entries.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether the index is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Drops all entries.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn clear(&mut self) -> Result<(), Fault> {
        (self.len, self.hint, self.window.from, self.window.held) = (0, 0, 0, 0);
        self.file.clear()
    }

    /// Appends an entry. The caller keeps the order.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn push(&mut self, entry: &Entry) -> Result<(), Fault> {
        self.push_bytes(&entry.to_bytes())
    }

    fn push_bytes(&mut self, entry: &[u8]) -> Result<(), Fault> {
        if self.window.held as usize == WINDOW {
            self.flush()?;
        }
        let mut at = place(self.window.held) as usize;
        put(&mut self.window.bytes, &mut at, entry);
        self.window.held = self.window.held.saturating_add(1);
        self.len = self.len.saturating_add(1);
        Ok(())
    }

    /// Writes the buffered entries.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn flush(&mut self) -> Result<(), Fault> {
        let Window { bytes, from, held } = &mut self.window;
        let bytes = bytes.get(..place(*held) as usize).unwrap_or_default();
        self.file.write(place(*from), bytes)?;
        *from = from.saturating_add(*held);
        *held = 0;
        Ok(())
    }

    /// The entry number `n`, from 0; `None` after the last.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn get(&mut self, n: u32) -> Result<Option<Entry>, Fault> {
        if n >= self.len {
            return Ok(None);
        }
        Ok(Entry::from_bytes(self.window.entry(&mut self.file, n)?))
    }

    /// Finds the entry of `key` and its number.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn find(&mut self, key: &ItemKey) -> Result<Option<(u32, Entry)>, Fault> {
        let Some(n) = self.number_of(&key.0)? else { return Ok(None) };
        Ok(self.get(n)?.map(|entry| (n, entry)))
    }

    /// Finds the number of the entry of `key`, or of an entry whose key begins with `key`.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn number_of(&mut self, key: &[u8]) -> Result<Option<u32>, Fault> {
        let mut middle = self.hint;
        let (mut low, mut high) = (0, self.len);
        let mut bytes = [0; ENTRY];
        // An entry starts with its key.
        if middle >= high || !self.window.entry(&mut self.file, middle)?.starts_with(key) {
            loop {
                if low >= high {
                    return Ok(None);
                }
                middle = low.midpoint(high);
                // Straight from the file: probes at distant places would only replace the window.
                self.file.read(place(middle), &mut bytes)?;
                match bytes.get(..key.len()).map(|found| found.cmp(key)) {
                    Some(core::cmp::Ordering::Less) => low = middle.saturating_add(1),
                    Some(core::cmp::Ordering::Greater) => high = middle,
                    _ => break,
                }
            }
        }
        self.hint = middle.saturating_add(1);
        Ok(Some(middle))
    }

    /// Sets the state of entry `n`.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn mark(&mut self, n: u32, mark: Mark) -> Result<(), Fault> {
        let byte = [mark.to_byte()];
        self.file.write(place(n).saturating_add(MARK_AT), &byte)?;
        if let Some(at) = n.checked_sub(self.window.from).filter(|at| *at < self.window.held) {
            let mut at = place(at).saturating_add(MARK_AT) as usize;
            put(&mut self.window.bytes, &mut at, &byte);
        }
        Ok(())
    }

    /// Sorts the entries by their keys, with the help of another file.
    ///
    /// A merge sort: runs of one window are sorted in memory. Runs of one, two, four and more windows are then merged
    /// from one file into the other, and the files change places. Each pass reads and writes everything once, a window
    /// at a time.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn sort(&mut self, other: &mut F) -> Result<(), Fault> {
        self.each_window(&mut |entries| {
            let (mut rest, _) = entries.as_chunks_mut::<ENTRY>();
            while let Some((first, others)) = rest.split_first_mut() {
                for entry in others.iter_mut() {
                    // An entry starts with its key.
                    if *entry < *first {
                        core::mem::swap(first, entry);
                    }
                }
                rest = others;
            }
        })?;
        let mut row = WINDOW as u32;
        while row < self.len {
            self.merge_rows(other, row)?;
            core::mem::swap(self.file.file, other);
            row = row.saturating_mul(2);
        }
        (self.hint, self.window.held) = (0, 0);
        Ok(())
    }

    fn merge_rows(&mut self, other: &mut F, row: u32) -> Result<(), Fault> {
        let len = self.len;
        let mut merged = Index::new(self.file.slot, other);
        merged.clear()?;
        let (mut left, mut right) = (Cursor::new(), Cursor::new());
        let mut at = 0_u32;
        while at < len {
            let middle = at.saturating_add(row).min(len);
            let end = middle.saturating_add(row).min(len);
            (left.next, left.end) = (at, middle);
            (right.next, right.end) = (middle, end);
            loop {
                let first = left.peek(&mut self.file)?;
                let second = right.peek(&mut self.file)?;
                let turned = first.is_empty() || (!second.is_empty() && second < first);
                let entry = if turned { second } else { first };
                if entry.is_empty() {
                    break;
                }
                merged.push_bytes(entry)?;
                let next = if turned { &mut right.next } else { &mut left.next };
                *next = next.saturating_add(1);
            }
            at = end;
        }
        merged.flush()
    }

    /// Resets all states, before the kernel is read again.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn unmark(&mut self) -> Result<(), Fault> {
        self.each_window(&mut |entries| {
            for mark in entries.iter_mut().skip(MARK_AT as usize).step_by(ENTRY) {
                *mark = Mark::Missing.to_byte();
            }
        })
    }

    /// Lets `change` edit all entries, a window at a time.
    fn each_window(&mut self, change: &mut dyn FnMut(&mut [u8])) -> Result<(), Fault> {
        (self.hint, self.window.held) = (0, 0);
        let mut n = 0_u32;
        while n < self.len {
            self.window.entry(&mut self.file, n)?;
            let held = place(self.window.held) as usize;
            let entries = self.window.bytes.get_mut(..held).unwrap_or_default();
            if entries.is_empty() {
                break;
            }
            change(entries);
            self.file.write(place(n), entries)?;
            n = n.saturating_add(self.window.held);
        }
        Ok(())
    }
}

/// Keys of items that the kernel has and the image does not, in a file.
///
/// An item is either to be removed, or open until the images in force show whose it is (`claims`).
#[derive(Debug)]
pub struct Extras<'f, F> {
    file: Noted<'f, F>,
    len: u32,
    open: u32,
}

/// key, whether to remove it
const EXTRA: usize = ITEM_KEY_LEN + 1;
const STAYS: u8 = 0;
const GOES: u8 = 1;
const OPEN: u8 = 2;

impl<'f, F: File> Extras<'f, F> {
    /// An empty list in `file`.
    pub const fn new(slot: &'f Slot, file: &'f mut F) -> Self {
        Self::again(slot, file, 0)
    }

    /// A list of `len` keys that was written to `file` before.
    pub const fn again(slot: &'f Slot, file: &'f mut F, len: u32) -> Self {
        Self { file: Noted { slot, file }, len, open: 0 }
    }

    fn place(n: u32) -> u32 {
        n.saturating_mul(EXTRA as u32)
    }

    /// Drops all keys.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn clear(&mut self) -> Result<(), Fault> {
        (self.len, self.open) = (0, 0);
        self.file.clear()
    }

    /// Adds a key: with `sure`, of an item to remove; else of an open item.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn push(&mut self, key: &ItemKey, sure: bool) -> Result<(), Fault> {
        let (mut bytes, mut at) = ([0; EXTRA], 0);
        put(&mut bytes, &mut at, &key.0);
        put(&mut bytes, &mut at, &[if sure { GOES } else { OPEN }]);
        self.file.write(Self::place(self.len), &bytes)?;
        self.len = self.len.saturating_add(1);
        self.open = self.open.saturating_add(u32::from(!sure));
        Ok(())
    }

    /// The key number `n`, from 0, and whether to remove the item: `None` for an open item. Returns
    /// `None` after the last key.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn get(&mut self, n: u32) -> Result<Option<(ItemKey, Option<bool>)>, Fault> {
        if n >= self.len {
            return Ok(None);
        }
        let mut bytes = [0; EXTRA];
        self.file.read(Self::place(n), &mut bytes)?;
        let mut rest = &bytes[..];
        Ok(take(&mut rest).map(|key| {
            let sure = rest.first().filter(|state| **state != OPEN).map(|state| *state == GOES);
            (ItemKey(*key), sure)
        }))
    }

    /// Whether any item is open.
    #[must_use]
    pub const fn has_open(&self) -> bool {
        self.open > 0
    }

    /// Decides open item number `n`.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn settle(&mut self, n: u32, goes: bool) -> Result<(), Fault> {
        self.open = self.open.saturating_sub(1);
        let place = Self::place(n).saturating_add(ITEM_KEY_LEN as u32);
        self.file.write(place, &[if goes { GOES } else { STAYS }])
    }

    /// Number of keys.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an unused function is not in the program")]
    pub const fn len(&self) -> u32 {
        self.len
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
