//! Plain memory instead of the machine, for the tests of this library.

mod cellar;
pub(crate) mod client;
mod mortal;
mod router;
#[cfg(test)]
pub(crate) mod shell;
#[cfg(feature = "testing")]
pub mod simulated;
mod world;

pub(crate) use cellar::{Cellar, Mishap, Shelf, UNSYNCED, Unsynced};
pub(crate) use mortal::{Life, Mortal};
pub(crate) use router::{Content, FACES, Router, RouterAgent, image};
pub(crate) use world::{Device, DevicePeer, Incident, Seen, Wire, World};

use core::cell::{Cell, RefCell};
use core::ffi::CStr;
use core::fmt;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::rc::Rc;

use proto_core::netlink::Errno;
use proto_core::protocol::codec;
use proto_core::protocol::config::{MAX_RECORD, Record};
use proto_core::protocol::message::{Status, cut};

use crate::fault::Slot;
use crate::kernel::exchange::{Buffers, Kernel, SET};
use crate::options::Policy;
use crate::requests::service::{Outlet, OwnFiles, REPORTS, SCRATCH, Service};
use crate::store::commit::Committer;
use crate::store::keep;
use crate::system::{Disk, File, Files, Folder, Machine, NetlinkSocket, System};

/// The bytes of a record in an image.
pub(crate) fn record_bytes(record: &Record) -> Vec<u8> {
    let mut buf = [0; MAX_RECORD];
    let len = codec::write_record(record, &mut buf).unwrap();
    buf[..len].to_vec()
}

/// A file in memory. Clones are the same file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(pub(crate) Rc<RefCell<Vec<u8>>>);

impl File for Memory {
    fn read_some(&mut self, offset: u32, buf: &mut [u8]) -> Result<usize, Errno> {
        let file = self.0.borrow();
        let rest = file.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_some(&mut self, offset: u32, bytes: &[u8]) -> Result<usize, Errno> {
        let mut file = self.0.borrow_mut();
        let end = offset as usize + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[offset as usize..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn clear(&mut self) -> Result<(), Errno> {
        self.0.borrow_mut().clear();
        Ok(())
    }
}

/// A folder in memory. Clones are the same folder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drawer {
    pub(crate) files: Rc<RefCell<BTreeMap<CString, Memory>>>,
    /// Refuses every write.
    pub(crate) full: Rc<Cell<bool>>,
    /// Cannot be read at all.
    pub(crate) broken: Rc<Cell<bool>>,
    pub(crate) changes: Rc<Cell<u64>>,
}

impl Drawer {
    /// The contents of a file.
    pub(crate) fn bytes(&self, name: &CStr) -> Vec<u8> {
        self.files.borrow()[name].0.borrow().clone()
    }

    /// Writes a file.
    pub(crate) fn put(&self, name: &CStr, bytes: &[u8]) {
        let file = Memory(Rc::new(RefCell::new(bytes.to_vec())));
        self.files.borrow_mut().insert(name.to_owned(), file);
        self.changes.set(self.changes.get() + 1);
    }
}

impl Disk for Drawer {
    type File = Memory;

    fn open(&mut self, name: &CStr) -> Result<Memory, Errno> {
        self.files.borrow().get(name).cloned().ok_or(Errno::ENOENT)
    }

    fn create(&mut self, name: &CStr) -> Result<Memory, Errno> {
        if self.full.get() {
            return Err(Errno::ENOSPC);
        }
        self.put(name, &[]);
        self.open(name)
    }

    fn sync(&mut self, _: &mut Memory) -> Result<(), Errno> {
        Ok(())
    }

    fn rename(&mut self, from: &CStr, to: &CStr) -> Result<(), Errno> {
        let mut files = self.files.borrow_mut();
        let file = files.remove(from).ok_or(Errno::ENOENT)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn unlink(&mut self, name: &CStr) -> Result<(), Errno> {
        self.files.borrow_mut().remove(name).map(|_| ()).ok_or(Errno::ENOENT)
    }

    fn sync_names(&mut self) -> Result<(), Errno> {
        Ok(())
    }

    fn each_name(&mut self, take: &mut dyn FnMut(&CStr)) -> Result<(), Errno> {
        self.files.borrow().keys().for_each(|name| take(name));
        Ok(())
    }
}

impl Folder for Drawer {
    fn read(&mut self, name: &CStr, buf: &mut [u8]) -> Result<usize, Errno> {
        if self.broken.get() {
            return Err(Errno::EAGAIN);
        }
        self.open(name)?.read_at(0, buf)
    }

    fn replace(&mut self, name: &CStr, bytes: &[u8]) -> Result<(), Errno> {
        keep::replace(self, name, bytes)
    }

    fn version(&mut self, name: &CStr) -> Result<u64, Errno> {
        if self.broken.get() {
            return Err(Errno::EAGAIN);
        }
        let there = self.files.borrow().contains_key(name);
        Ok(if there { self.changes.get() } else { 0 })
    }

    fn lock(&mut self) -> Result<(), Errno> {
        Ok(())
    }

    fn unlock(&mut self) {}
}

/// A machine whose clock is set by hand, and whose random bytes are a counter.
#[derive(Debug, Default)]
pub(crate) struct Bench {
    pub(crate) now: Cell<u64>,
    pub(crate) log: RefCell<Vec<String>>,
    pub(crate) random: Cell<u8>,
    /// The kernel has no random numbers yet.
    pub(crate) no_random: Cell<bool>,
    pub(crate) boot: Cell<u8>,
    /// The kernel's filter for UDP datagrams.
    pub(crate) filter: RefCell<Option<crate::access::filter::Program>>,
    /// The interfaces that another program has in its configuration, each followed by a space.
    pub(crate) managed: RefCell<String>,
}

impl Machine for Bench {
    fn now(&self) -> u64 {
        self.now.get()
    }

    fn unix_time(&self) -> u64 {
        0
    }

    fn random(&self, buf: &mut [u8]) -> Result<(), Errno> {
        if self.no_random.get() {
            return Err(Errno::EAGAIN);
        }
        self.random.set(self.random.get().wrapping_add(1));
        buf.fill(self.random.get());
        Ok(())
    }

    fn identify(&self, status: &mut Status) {
        status.hostname = cut("bench");
        status.serial_number = cut("8J0042");
    }

    fn boot_id(&self) -> [u8; 16] {
        [self.boot.get(); 16]
    }

    fn set_src_valid_mark(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn is_managed(&self, interface: &str) -> bool {
        self.managed.borrow().split(' ').any(|name| name == interface)
    }

    fn each_log_line(&self, take: &mut dyn FnMut(&str)) {
        self.log.borrow().iter().for_each(|line| take(line));
    }

    fn log(&self, line: fmt::Arguments<'_>) {
        self.log.borrow_mut().push(line.to_string());
    }
}

/// Any kernel, disk and machine are a system.
impl<N, D, M> System for (N, D, M)
where
    N: NetlinkSocket + fmt::Debug,
    D: Disk + fmt::Debug,
    M: Machine + fmt::Debug,
{
    type Netlink = N;
    type File = D::File;
    type Disk = D;
    type Machine = M;
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

/// An agent for tests.
pub(crate) type Agent<'b, N = Wire> = Service<'b, (N, Drawer, Bench)>;

/// Runs a test with an agent over two folders, and a kernel that has WireGuard and no interface, and refuses all
/// changes.
pub(crate) fn with_agent<T>(
    bench: &Bench,
    folders: (Drawer, Drawer),
    act: impl FnOnce(Agent<'_>) -> T,
) -> T {
    let world = World::default();
    world.refuse_changes(Errno::EPERM, "not on my watch");
    with_agent_on((world.socket(false), world.socket(true)), bench, folders, act)
}

/// The same with another kernel, given by its two sockets.
pub(crate) fn with_agent_on<N: NetlinkSocket + fmt::Debug, T>(
    (route, generic): (N, N),
    bench: &Bench,
    folders: (Drawer, Drawer),
    act: impl FnOnce(Agent<'_, N>) -> T,
) -> T {
    let slot = Slot::default();
    let (mut buffers, mut set) = (Buffers::default(), [0; SET]);
    let kernel = Kernel::new(route, generic, &slot, &mut buffers);
    let files = Files::default();
    let committer = Committer::new(kernel, files, bench, &mut set, folders);
    act(Service::new(committer, own(), Policy::default()))
}

/// The service's own files, empty.
pub(crate) fn own<F: File + Default>() -> OwnFiles<F> {
    let reports = core::iter::repeat_with(F::default).take(REPORTS).collect();
    (F::default(), F::default(), reports, [F::default(), F::default()])
}
