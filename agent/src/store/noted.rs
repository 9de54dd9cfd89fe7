//! A scratch file whose failures are recorded where they happen. Its contents belong to its users (`image`, `index`,
//! `records`).

use crate::fault::{Fault, Slot};
use crate::system::File;

/// A file, with the place where its failures are recorded.
#[derive(Debug)]
pub struct Noted<'f, F> {
    /// Where failures are recorded.
    pub slot: &'f Slot,
    /// The file.
    pub file: &'f mut F,
}

impl<F: File> Noted<'_, F> {
    /// Reads at `offset`; fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// `Code::Storage`.
    #[inline(never)]
    pub fn read(&mut self, offset: u32, buf: &mut [u8]) -> Result<usize, Fault> {
        self.file.read_at(offset, buf).map_err(|errno| self.slot.storage(errno))
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// `Code::Storage`.
    #[inline(never)]
    pub fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
        self.file.write_at(offset, bytes).map_err(|errno| self.slot.storage(errno))
    }

    /// Truncates the file to zero bytes.
    ///
    /// # Errors
    /// `Code::Storage`.
    #[inline(never)]
    pub fn clear(&mut self) -> Result<(), Fault> {
        self.file.clear().map_err(|errno| self.slot.storage(errno))
    }
}
