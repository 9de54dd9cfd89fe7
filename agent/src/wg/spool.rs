//! Bytes in a file of any length, seen through a window. Data that fits the window never reaches
//! the file.

use proto_core::netlink::Errno;
use zeroize::Zeroize;

use crate::fault::{Fault, Slot};
use crate::system::File;

/// The bytes.
#[derive(Debug)]
pub(crate) struct Spool<'w, F> {
    slot: &'w Slot,
    file: F,
    window: &'w mut [u8],
    /// The offset of the window, and the number of bytes in use.
    from: u32,
    held: usize,
    /// The largest number of bytes that was in use before.
    used: usize,
    /// Whether the window has bytes that the file lacks.
    dirty: bool,
    len: u32,
}

impl<F> Drop for Spool<'_, F> {
    fn drop(&mut self) {
        // Keys pass through this buffer.
        if let Some(used) = self.window.get_mut(..self.used.max(self.held)) {
            used.zeroize();
        }
    }
}

impl<'w, F: File> Spool<'w, F> {
    /// An empty spool.
    pub(crate) const fn new(slot: &'w Slot, file: F, window: &'w mut [u8]) -> Self {
        Self { slot, file, window, from: 0, held: 0, used: 0, dirty: false, len: 0 }
    }

    /// Number of bytes.
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// Number of records of `size` bytes.
    pub(crate) fn records(&self, size: usize) -> u32 {
        self.len.checked_div(size as u32).unwrap_or(0)
    }

    /// Drops all bytes.
    pub(crate) const fn clear(&mut self) {
        self.move_to(0, 0);
        (self.dirty, self.len) = (false, 0);
    }

    /// Drops the bytes from `len`.
    pub(crate) const fn cut(&mut self, len: u32) {
        if len >= self.len {
            return;
        }
        if len < self.from {
            self.move_to(len, 0);
            self.dirty = false;
        } else {
            let held = len.saturating_sub(self.from) as usize;
            self.move_to(self.from, if held < self.held { held } else { self.held });
        }
        self.len = len;
    }

    /// Writes the window back.
    #[inline(never)]
    fn flush(&mut self) -> Result<(), Fault> {
        if core::mem::take(&mut self.dirty) {
            let bytes = self.window.get(..self.held).unwrap_or_default();
            self.file.write_at(self.from, bytes).map_err(|errno| self.slot.storage(errno))?;
        }
        Ok(())
    }

    /// Appends bytes.
    #[inline(never)]
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let end = self.held.saturating_add(bytes.len());
        let len = self.len.checked_add(bytes.len() as u32);
        // Most often the window is at the end and has room.
        match (self.window.get_mut(self.held..end), len) {
            (Some(room), Some(len)) if self.from.saturating_add(self.held as u32) == self.len => {
                room.copy_from_slice(bytes);
                (self.held, self.len, self.dirty) = (end, len, true);
                Ok(())
            }
            _ => self.append_pieces(bytes),
        }
    }

    #[inline(never)]
    fn append_pieces(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let behind = self.from.saturating_add(self.held as u32) == self.len;
            if !behind || self.held == self.window.len() {
                self.flush()?;
                self.move_to(self.len, 0);
            }
            let room = self.window.get_mut(self.held..).unwrap_or_default();
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            if let Some(room) = room.get_mut(..now.len()) {
                room.copy_from_slice(now);
            }
            bytes = later;
            self.dirty = true;
            self.held = self.held.saturating_add(now.len());
            let len = self.len.checked_add(now.len() as u32);
            self.len = len.ok_or_else(|| self.slot.storage(Errno::EOVERFLOW))?;
        }
        Ok(())
    }

    /// Moves the window.
    const fn move_to(&mut self, from: u32, held: usize) {
        if self.used < self.held {
            self.used = self.held;
        }
        (self.from, self.held) = (from, held);
    }

    /// The bytes from `at` that the window has, at most `most`: none only at the end.
    #[inline(never)]
    pub(crate) fn piece(&mut self, at: u32, most: usize) -> Result<&mut [u8], Fault> {
        let inside = |from: u32, held: usize| {
            let at = at.checked_sub(from)? as usize;
            (at < held).then_some(at)
        };
        if inside(self.from, self.held).is_none() && at < self.len {
            self.flush()?;
            let got = self.file.read_at(at, self.window);
            self.used = self.window.len();
            self.held = got.map_err(|errno| self.slot.storage(errno))?;
            // The file may have had more bytes before they were dropped.
            self.held = self.held.min(self.len.saturating_sub(at) as usize);
            self.from = at;
        }
        let Some(at) = inside(self.from, self.held) else { return Ok(&mut []) };
        let end = at.saturating_add(most).min(self.held);
        Ok(self.window.get_mut(at..end).unwrap_or_default())
    }

    /// Reads bytes at `at`.
    #[inline(never)]
    pub(crate) fn read(&mut self, mut at: u32, mut buf: &mut [u8]) -> Result<(), Fault> {
        while !buf.is_empty() {
            let piece = self.piece(at, buf.len())?;
            let len = piece.len();
            let Some(room) = buf.split_off_mut(..len).filter(|_| len > 0) else {
                return Err(self.slot.storage(Errno::EIO));
            };
            room.copy_from_slice(piece);
            at = at.saturating_add(len as u32);
        }
        Ok(())
    }

    /// Reads bytes at `at` without moving the window.
    pub(crate) fn read_far(&mut self, at: u32, buf: &mut [u8]) -> Result<(), Fault> {
        let end = at.saturating_add(buf.len() as u32);
        let held = self.from.saturating_add(self.held as u32);
        if at >= self.from && end <= held {
            return self.read(at, buf);
        }
        if at < held && end > self.from {
            self.flush()?;
        }
        match self.file.read_at(at, buf) {
            Ok(got) if got == buf.len() => Ok(()),
            Ok(_) => Err(self.slot.storage(Errno::EIO)),
            Err(errno) => Err(self.slot.storage(errno)),
        }
    }

    /// Overwrites existing bytes.
    #[inline(never)]
    pub(crate) fn write(&mut self, mut at: u32, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let piece = self.piece(at, bytes.len())?;
            let len = piece.len();
            let Some(now) = bytes.split_off(..len).filter(|_| len > 0) else {
                return Err(self.slot.storage(Errno::EIO));
            };
            piece.copy_from_slice(now);
            self.dirty = true;
            at = at.saturating_add(len as u32);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;

    #[test]
    fn bytes_come_back_from_any_place() {
        let slot = Slot::default();
        let mut window = [0; 7];
        let mut spool = Spool::new(&slot, Memory::default(), &mut window);
        let mut all: Vec<u8> = Vec::new();
        for n in 0..50_u8 {
            let piece = vec![n; usize::from(n % 11)];
            spool.append(&piece).unwrap();
            all.extend(&piece);
            if n % 7 == 3 {
                let at = all.len() / 2;
                spool.write(at as u32, &[0xaa, n, 0xbb]).unwrap();
                all[at..at + 3].copy_from_slice(&[0xaa, n, 0xbb]);
            }
        }
        assert_eq!(spool.len() as usize, all.len());
        for (at, len) in [(0, 1), (3, 20), (all.len() - 5, 5), (0, all.len()), (10, 0)] {
            let mut got = vec![0; len];
            spool.read(at as u32, &mut got).unwrap();
            assert_eq!(got, all[at..at + len]);
        }
        let mut behind = [0; 2];
        assert!(spool.read(spool.len() - 1, &mut behind).is_err());
        spool.clear();
        assert!(spool.piece(0, 9).unwrap().is_empty());
        spool.append(b"new").unwrap();
        assert_eq!(spool.piece(0, 9).unwrap(), b"new");
    }

    #[test]
    fn what_fits_the_window_never_reaches_the_file() {
        struct None;
        impl File for None {
            fn read_some(&mut self, _: u32, _: &mut [u8]) -> Result<usize, Errno> {
                panic!("read")
            }
            fn write_some(&mut self, _: u32, _: &[u8]) -> Result<usize, Errno> {
                panic!("written")
            }
            fn clear(&mut self) -> Result<(), Errno> {
                panic!("cleared")
            }
        }
        let slot = Slot::default();
        let mut window = [0; 8];
        let mut spool = Spool::new(&slot, None, &mut window);
        spool.append(b"12345678").unwrap();
        let mut got = [0; 8];
        spool.read(0, &mut got).unwrap();
        assert_eq!(&got, b"12345678");
    }
}
