//! The receiver's side of a windowed transfer: records, in fixed memory, which pieces have arrived.
//!
//! A file is sent as numbered pieces of one size, the last one shorter. Pieces may come in any
//! order and more than once; at most [`WINDOW`] of them are ahead of the first missing one. The
//! caller stores the bytes.

/// Largest number of pieces in flight.
pub const WINDOW: u32 = 64;

use super::codec::wire;

wire! {
    /// The pieces that have arrived: every one below `base`, and those ahead of it whose bit is set
    /// (bit `n` is piece `base + n`; bit 0 is never set, because the base would then be higher).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Arrived {
        /// The first missing piece.
        pub base: u32,
        /// The pieces from `base` on that have arrived.
        pub ahead: u64,
    }
}

impl Arrived {
    /// Whether piece `index` has arrived.
    #[must_use]
    pub fn has(&self, index: u32) -> bool {
        match index.checked_sub(self.base) {
            None => true,
            Some(n) => self.ahead.checked_shr(n).unwrap_or(0) & 1 == 1,
        }
    }

    /// Whether piece `index` may be accepted now: missing, and not beyond the window.
    #[must_use]
    pub fn wants(&self, index: u32) -> bool {
        index.checked_sub(self.base).is_some_and(|n| n < WINDOW) && !self.has(index)
    }

    /// Records that piece `index` has arrived. A piece that is not wanted changes nothing.
    pub fn insert(&mut self, index: u32) {
        if !self.wants(index) {
            return;
        }
        let bit = index.checked_sub(self.base).and_then(|n| 1_u64.checked_shl(n));
        self.ahead |= bit.unwrap_or(0);
        let run = self.ahead.trailing_ones();
        self.base = self.base.saturating_add(run);
        // All 64 bits set: the shift is as wide as the word.
        self.ahead = self.ahead.checked_shr(run).unwrap_or(0);
    }
}

/// Number of pieces of `piece_size` bytes in a file of `length` bytes.
#[must_use]
pub fn pieces(length: u32, piece_size: u16) -> u32 {
    length.div_ceil(u32::from(piece_size.max(1)))
}

/// Offset and size of piece `index` in a file of `length` bytes; `None` if the file has no such
/// piece.
#[must_use]
pub fn span(length: u32, piece_size: u16, index: u32) -> Option<(u32, u16)> {
    if piece_size == 0 {
        return None;
    }
    let offset = index.checked_mul(u32::from(piece_size))?;
    let left = length.checked_sub(offset).filter(|&left| left > 0)?;
    let size = u16::try_from(left).unwrap_or(u16::MAX).min(piece_size);
    Some((offset, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_order_within_the_window_ends_complete() {
        let mut arrived = Arrived::default();
        for index in (0..64).rev() {
            assert!(arrived.wants(index));
            arrived.insert(index);
            assert!(arrived.has(index));
            arrived.insert(index);
        }
        assert_eq!(arrived, Arrived { base: 64, ahead: 0 });
        assert!(!arrived.wants(63));
        assert!(arrived.wants(64 + 63));
        assert!(!arrived.wants(64 + 64));
        arrived.insert(64 + 64);
        assert_eq!(arrived, Arrived { base: 64, ahead: 0 });
    }

    #[test]
    fn the_last_number_does_not_overflow() {
        let mut arrived = Arrived { base: u32::MAX, ahead: 0 };
        arrived.insert(u32::MAX);
        assert_eq!(arrived.base, u32::MAX);
    }

    #[test]
    fn spans_cover_a_file_exactly() {
        assert_eq!(pieces(0, 100), 0);
        assert_eq!(span(0, 100, 0), None);
        assert_eq!(pieces(201, 100), 3);
        assert_eq!(span(201, 100, 2), Some((200, 1)));
        assert_eq!(span(201, 100, 3), None);
        assert_eq!(span(200, 100, 2), None);
        assert_eq!(span(u32::MAX, 1, u32::MAX), None);
        assert_eq!(span(100, 0, 0), None);
    }
}
