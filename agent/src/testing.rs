//! Plain memory in place of the machine, for the tests of this library.

use proto_core::netlink::Errno;

use crate::system::File;

/// A file in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(pub(crate) Vec<u8>);

impl File for Memory {
    fn read_at(&mut self, offset: u32, buf: &mut [u8]) -> Result<usize, Errno> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Errno> {
        let end = offset as usize + bytes.len();
        if self.0.len() < end {
            self.0.resize(end, 0);
        }
        self.0[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Errno> {
        self.0.clear();
        Ok(())
    }
}
