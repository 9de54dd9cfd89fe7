//! Standard output, one page at a time.

use core::fmt;

use zeroize::Zeroize;

use super::process::{Output, Process};
use super::text::Sink;
use super::{Failed, Wg};

/// Text on its way to standard output.
pub(crate) struct Out<'a, 'p, P: Process> {
    wg: &'a Wg<'p, P>,
    page: &'a mut [u8],
    len: usize,
    /// A write failed.
    failed: bool,
}

impl<P: Process> Drop for Out<'_, '_, P> {
    fn drop(&mut self) {
        // Keys pass through this buffer.
        self.page.zeroize();
    }
}

impl<'a, 'p, P: Process> Out<'a, 'p, P> {
    pub(crate) const fn new(wg: &'a Wg<'p, P>, page: &'a mut [u8]) -> Self {
        Self { wg, page, len: 0, failed: false }
    }

    fn flush(&mut self) {
        let page = core::mem::take(&mut self.page);
        let held = core::mem::take(&mut self.len);
        if held > 0 {
            self.write(page.get(..held).unwrap_or_default());
        }
        self.page = page;
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.failed {
            return;
        }
        if let Err(errno) = self.wg.process.write(Output::Out, bytes) {
            let _ = self.wg.say(format_args!("standard output: {errno}"));
            self.failed = true;
        }
    }

    /// Drops what was not written yet.
    pub(crate) const fn discard(&mut self) {
        self.len = 0;
    }

    /// Adds bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if bytes.len() > self.page.len().saturating_sub(self.len) {
            self.flush();
        }
        if bytes.len() > self.page.len() {
            return self.write(bytes);
        }
        let end = self.len.saturating_add(bytes.len());
        if let Some(room) = self.page.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
            self.len = end;
        }
    }

    /// Writes the buffered bytes.
    pub(crate) fn finish(mut self) -> Result<i32, Failed> {
        self.flush();
        if self.failed { Err(Failed) } else { Ok(0) }
    }
}

impl<P: Process> Sink for Out<'_, '_, P> {
    fn bytes(&mut self, bytes: &[u8]) {
        Self::bytes(self, bytes);
    }
}

impl<P: Process> fmt::Write for Out<'_, '_, P> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}
