//! Sequences of records in files: written one by one, and digested on the way. Not here: the
//! meaning of the records (`report`, `snapshot`, `store`).

use proto_core::protocol::codec::{self, Put};
use proto_core::protocol::config::MAX_RECORD;
use proto_core::protocol::message::{Code, Subject};
use proto_core::protocol::{Digest, Digester};

use crate::fault::{Fault, Slot};
use crate::store::noted::Noted;
use crate::system::File;

/// Writes records in sequence.
#[derive(Debug)]
pub struct RecordWriter<'f, F> {
    slot: &'f Slot,
    /// The file; `None` when only the digest is wanted.
    file: Option<Noted<'f, F>>,
    from: u32,
    buf: [u8; 512],
    held: usize,
    length: u32,
    digester: Digester,
}

impl<'f, F: File> RecordWriter<'f, F> {
    /// Writes into a file from the byte `from`. The old contents of the file are dropped.
    ///
    /// # Errors
    /// [`Code::Storage`].
    #[inline(never)]
    pub fn new(slot: &'f Slot, file: Option<&'f mut F>, from: u32) -> Result<Self, Fault> {
        let mut this = Self::behind(slot, file, from);
        if let Some(file) = &mut this.file {
            file.clear()?;
        }
        Ok(this)
    }

    /// Writes into a file from the byte `from`. The bytes before it stay.
    pub fn behind(slot: &'f Slot, file: Option<&'f mut F>, from: u32) -> Self {
        let (file, digester) = (file.map(|file| Noted { slot, file }), Digester::default());
        Self { slot, file, from, buf: [0; 512], held: 0, length: 0, digester }
    }

    /// Writes a record.
    ///
    /// # Errors
    /// [`Code::Storage`].
    pub fn record(&mut self, record: &dyn Put) -> Result<(), Fault> {
        if self.buf.len().saturating_sub(self.held) < MAX_RECORD {
            self.flush()?;
        }
        let room = self.buf.get_mut(self.held..).unwrap_or_default();
        let len = codec::write_record(record, room)
            .ok_or_else(|| self.slot.fail(Code::Storage, Subject::None, "a record is too long"))?;
        self.held = self.held.saturating_add(len);
        Ok(())
    }

    /// Writes bytes that are not a record of an image, at most as many as fit into the buffer.
    ///
    /// # Errors
    /// [`Code::Storage`].
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.buf.len().saturating_sub(self.held) < bytes.len() {
            self.flush()?;
        }
        crate::bytes::put(&mut self.buf, &mut self.held, bytes);
        Ok(())
    }

    /// The offset of the next record.
    #[must_use]
    pub fn at(&self) -> u32 {
        self.length.saturating_add(u32::try_from(self.held).unwrap_or(0))
    }

    /// Copies the records between two offsets of another file.
    ///
    /// # Errors
    /// [`Code::Storage`].
    pub fn copy<G: File>(&mut self, file: &mut G, from: u32, end: u32) -> Result<(), Fault> {
        let mut at = from;
        while at < end {
            self.flush()?;
            let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            let room = left.min(self.buf.len());
            let room = self.buf.get_mut(..room).unwrap_or_default();
            self.held = Noted { slot: self.slot, file: &mut *file }.read(at, room)?;
            if self.held == 0 {
                let text = "the configuration was truncated while it was read";
                return Err(self.slot.fail(Code::Storage, Subject::None, text));
            }
            at = at.saturating_add(u32::try_from(self.held).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    /// The file, with everything that was written, and the offset at which this writer began.
    ///
    /// # Errors
    /// [`Code::Storage`].
    pub fn written(&mut self) -> Result<Option<(&mut Noted<'f, F>, u32)>, Fault> {
        self.flush()?;
        let from = self.from;
        Ok(self.file.as_mut().map(|file| (file, from)))
    }

    fn flush(&mut self) -> Result<(), Fault> {
        let bytes = self.buf.get(..self.held).unwrap_or_default();
        if let Some(file) = &mut self.file {
            file.write(self.from.saturating_add(self.length), bytes)?;
        }
        self.digester.update(bytes);
        self.length = self.length.saturating_add(u32::try_from(self.held).unwrap_or(0));
        self.held = 0;
        Ok(())
    }

    /// Writes the buffered bytes. Returns the length of all records in bytes, and their digest.
    ///
    /// # Errors
    /// [`Code::Storage`].
    pub fn finish(mut self) -> Result<(u32, Digest), Fault> {
        self.flush()?;
        Ok((self.length, core::mem::take(&mut self.digester).finish()))
    }
}

impl<F> Drop for RecordWriter<'_, F> {
    fn drop(&mut self) {
        // Keys pass through this buffer.
        zeroize::Zeroize::zeroize(&mut self.buf);
    }
}
