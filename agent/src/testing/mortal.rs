//! A kernel and a disk that count the agent's accesses, and end the agent at a chosen one.

use core::cell::Cell;
use core::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use proto_core::netlink::Errno;

use crate::system::{Datagram, Disk, File, NetlinkSocket};

/// The accesses of an agent. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life(Rc<Steps>);

#[derive(Debug, Default)]
struct Steps {
    done: Cell<u64>,
    /// The step before which the agent is ended.
    end: Cell<Option<u64>>,
    reads: Cell<bool>,
}

/// The agent was ended.
struct Killed;

impl Life {
    /// Number of steps so far.
    pub(crate) fn steps(&self) -> u64 {
        self.0.done.get()
    }

    /// Ends the agent before the access of that number, counted from now on.
    pub(crate) fn end_at(&self, step: u64) {
        self.0.end.set(Some(self.steps() + step));
    }

    /// Cancels the end of the agent.
    pub(crate) fn spare(&self) {
        self.0.end.set(None);
    }

    /// From now on reads count too.
    pub(crate) fn count_reads(&self) {
        self.0.reads.set(true);
    }

    /// Number of accesses until the agent is ended.
    pub(crate) fn left(&self) -> Option<u64> {
        self.0.end.get().map(|at| at.saturating_sub(self.steps()))
    }

    fn step(&self) {
        let step = self.steps();
        self.0.done.set(step + 1);
        if self.0.end.get() == Some(step) {
            self.spare();
            // Without the message of a panic: it is intended.
            resume_unwind(Box::new(Killed));
        }
    }

    /// Runs something in which the agent may be ended. `None` if it was.
    pub(crate) fn survive<T>(&self, act: impl FnOnce() -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(act)) {
            Ok(done) => Some(done),
            Err(panic) if panic.is::<Killed>() => None,
            Err(panic) => resume_unwind(panic),
        }
    }
}

/// A part of the machine, and the counter of its accesses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mortal<T>(pub(crate) T, pub(crate) Life);

impl<N: NetlinkSocket> NetlinkSocket for Mortal<N> {
    fn port(&self) -> u32 {
        self.0.port()
    }

    fn send(&mut self, datagram: &[u8]) -> Result<(), Errno> {
        self.1.step();
        self.0.send(datagram)
    }

    fn receive(&mut self, buf: &mut [u8]) -> Result<Datagram, Errno> {
        self.0.receive(buf)
    }
}

impl<F: File> File for Mortal<F> {
    fn read_some(&mut self, offset: u32, buf: &mut [u8]) -> Result<usize, Errno> {
        if self.1.0.reads.get() {
            self.1.step();
        }
        self.0.read_some(offset, buf)
    }

    fn write_some(&mut self, offset: u32, bytes: &[u8]) -> Result<usize, Errno> {
        self.1.step();
        self.0.write_some(offset, bytes)
    }

    fn clear(&mut self) -> Result<(), Errno> {
        self.1.step();
        self.0.clear()
    }
}

impl<D: Disk> Disk for Mortal<D> {
    type File = Mortal<D::File>;

    fn open(&mut self, name: &CStr) -> Result<Self::File, Errno> {
        self.0.open(name).map(|file| Mortal(file, self.1.clone()))
    }

    fn create(&mut self, name: &CStr) -> Result<Self::File, Errno> {
        self.1.step();
        self.0.create(name).map(|file| Mortal(file, self.1.clone()))
    }

    fn sync(&mut self, file: &mut Self::File) -> Result<(), Errno> {
        self.1.step();
        self.0.sync(&mut file.0)
    }

    fn rename(&mut self, from: &CStr, to: &CStr) -> Result<(), Errno> {
        self.1.step();
        self.0.rename(from, to)
    }

    fn unlink(&mut self, name: &CStr) -> Result<(), Errno> {
        self.1.step();
        self.0.unlink(name)
    }

    fn sync_names(&mut self) -> Result<(), Errno> {
        self.1.step();
        self.0.sync_names()
    }

    fn each_name(&mut self, take: &mut dyn FnMut(&CStr)) -> Result<(), Errno> {
        self.1.step();
        self.0.each_name(take)
    }
}
