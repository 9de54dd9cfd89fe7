//! Plain memory in place of the machine, for the tests of this library.

mod kernel;

pub(crate) use kernel::{Script, deliver};

use core::cell::{Cell, RefCell};
use core::ffi::CStr;
use core::fmt;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::rc::Rc;

use proto_core::netlink::Errno;
use proto_core::protocol::message::{Status, cut};

use crate::service::{Outlet, SCRATCH};
use crate::system::{File, Folder, Machine};

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

/// A folder in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drawer {
    pub(crate) files: BTreeMap<CString, Vec<u8>>,
    /// Takes nothing more.
    pub(crate) full: bool,
    /// Cannot be read at all.
    pub(crate) broken: Rc<Cell<bool>>,
    pub(crate) changes: u64,
}

impl Folder for Drawer {
    fn read(&mut self, name: &CStr, buf: &mut [u8]) -> Result<usize, Errno> {
        if self.broken.get() {
            return Err(Errno::EAGAIN);
        }
        let file = self.files.get(name).ok_or(Errno::ENOENT)?;
        let len = file.len().min(buf.len());
        buf[..len].copy_from_slice(&file[..len]);
        Ok(len)
    }

    fn replace(&mut self, name: &CStr, bytes: &[u8]) -> Result<(), Errno> {
        if self.full {
            return Err(Errno::ENOSPC);
        }
        self.changes += 1;
        self.files.insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn version(&mut self, name: &CStr) -> Result<u64, Errno> {
        if self.broken.get() {
            return Err(Errno::EAGAIN);
        }
        Ok(if self.files.contains_key(name) { self.changes } else { 0 })
    }

    fn lock(&mut self) -> Result<(), Errno> {
        Ok(())
    }

    fn unlock(&mut self) {}
}

/// A machine whose clock is set by hand, and whose random bytes count.
#[derive(Debug, Default)]
pub(crate) struct Bench {
    pub(crate) now: Cell<u64>,
    pub(crate) log: RefCell<Vec<String>>,
    pub(crate) random: Cell<u8>,
}

impl Machine for &Bench {
    fn now(&self) -> u64 {
        self.now.get()
    }

    fn unix_time(&self) -> u64 {
        0
    }

    fn random(&self, buf: &mut [u8]) -> Result<(), Errno> {
        self.random.set(self.random.get().wrapping_add(1));
        buf.fill(self.random.get());
        Ok(())
    }

    fn identify(&self, status: &mut Status) {
        status.hostname = cut("bench");
    }

    fn set_src_valid_mark(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn log(&self, line: fmt::Arguments<'_>) {
        self.log.borrow_mut().push(line.to_string());
    }
}

/// What an agent sent.
#[derive(Debug, Default)]
pub(crate) struct Sent(pub(crate) Vec<Vec<u8>>);

impl Outlet for Sent {
    fn send(&mut self, packet: &mut [u8; SCRATCH], len: usize) {
        self.0.push(packet[..len].to_vec());
    }

    fn in_flight(&self) -> u32 {
        1000
    }

    fn from(&self) -> &dyn fmt::Display {
        &"the wire"
    }
}
