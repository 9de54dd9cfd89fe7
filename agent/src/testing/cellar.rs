//! A disk whose every operation can fail, and whose power can be cut: bytes that were not synced
//! may survive, or not, or in part.

use core::cell::RefCell;
use core::ffi::CStr;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::rc::Rc;

use proto_core::netlink::Errno;

use crate::system::{Disk, File};

type Names = BTreeMap<CString, usize>;

/// What goes wrong at an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mishap {
    /// It fails and has no effect; a write writes nothing.
    Fails(Errno),
    /// It fails with its effect; a write writes half.
    Torn(Errno),
    /// The power is cut: this and all later operations have no effect.
    Cut,
}

/// What happens to written bytes that were not synced when the power is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unsynced {
    /// They are lost.
    Lost,
    /// The file has its length, and zeros.
    Zeros,
    /// The first half survives.
    Half,
    /// All of them survive.
    There,
}

pub(crate) const UNSYNCED: [Unsynced; 4] =
    [Unsynced::Lost, Unsynced::Zeros, Unsynced::Half, Unsynced::There];

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// It is a folder.
    folder: bool,
    /// Reads from this offset on fail; without an offset, it cannot be opened.
    bad: Option<(Option<usize>, Errno)>,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Content>,
    names: Names,
    /// The names that are on the disk, and the names after each later change.
    synced: Names,
    since: Vec<Names>,
    steps: usize,
    mishap: Option<(usize, Mishap)>,
    /// Maximum number of bytes of one write.
    most: Option<usize>,
    /// Maximum number of bytes in all named files together.
    room: Option<usize>,
    dead: bool,
    /// The names cannot be listed.
    unlisted: bool,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cellar(Rc<RefCell<State>>);

/// A file on it.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    cellar: Cellar,
    file: usize,
}

/// Whether the operation still has its effect, and its result.
type Step = (bool, Result<(), Errno>);

impl State {
    fn step(&mut self) -> Step {
        let step = self.steps;
        self.steps += 1;
        if self.dead {
            return (false, Err(Errno::EIO));
        }
        match self.mishap {
            Some((at, Mishap::Fails(errno))) if at == step => (false, Err(errno)),
            Some((at, Mishap::Torn(errno))) if at == step => (true, Err(errno)),
            Some((at, Mishap::Cut)) if at == step => {
                self.dead = true;
                (false, Err(Errno::EIO))
            }
            _ => (true, Ok(())),
        }
    }

    fn rename(
        &mut self,
        change: impl FnOnce(&mut Names) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let (done, result) = self.step();
        if done {
            change(&mut self.names)?;
            self.since.push(self.names.clone());
        }
        result
    }
}

impl Cellar {
    /// Number of operations so far.
    pub(crate) fn steps(&self) -> usize {
        self.0.borrow().steps
    }

    /// Sets what goes wrong at the operation of that number, counted from now on.
    pub(crate) fn mishap(&self, step: usize, mishap: Mishap) {
        let mut state = self.0.borrow_mut();
        state.mishap = Some((state.steps + step, mishap));
    }

    /// Nothing goes wrong any more.
    pub(crate) fn mend(&self) {
        self.0.borrow_mut().mishap = None;
    }

    /// Number of operations until something goes wrong.
    pub(crate) fn left(&self) -> Option<usize> {
        let state = self.0.borrow();
        state.mishap.and_then(|(at, _)| at.checked_sub(state.steps))
    }

    /// Deletes all files.
    pub(crate) fn lose(&self) {
        let mut state = self.0.borrow_mut();
        state.names.clear();
        state.synced.clear();
        state.since.clear();
    }

    /// Whether the names can be listed from now on.
    pub(crate) fn can_list(&self, can: bool) {
        self.0.borrow_mut().unlisted = !can;
    }

    /// Limits the bytes of each write.
    pub(crate) fn at_most(&self, most: usize) {
        self.0.borrow_mut().most = Some(most);
    }

    /// Limits the bytes of all files together from now on.
    pub(crate) fn has_room(&self, bytes: usize) {
        self.0.borrow_mut().room = Some(bytes);
    }

    /// Number of bytes in all files.
    pub(crate) fn used(&self) -> usize {
        let state = self.0.borrow();
        state.names.values().map(|file| state.files[*file].now.len()).sum()
    }

    /// Number of states of the names that a power cut may leave.
    pub(crate) fn outcomes(&self) -> usize {
        self.0.borrow().since.len() + 1
    }

    /// The disk after a power cut: with the names after this many of the unsynced changes.
    pub(crate) fn after_cut(&self, changes: usize, unsynced: Unsynced) -> Self {
        let state = self.0.borrow();
        let survive = |content: &Content| {
            let Content { now, synced, .. } = content;
            let half = now.len().midpoint(synced.len());
            let left = match unsynced {
                _ if now == synced => now.clone(),
                Unsynced::Lost => synced.clone(),
                Unsynced::Zeros => vec![0; now.len()],
                Unsynced::Half => now[..half.min(now.len())].to_vec(),
                Unsynced::There => now.clone(),
            };
            Content { now: left.clone(), synced: left, ..content.clone() }
        };
        let names = match changes.checked_sub(1) {
            None => state.synced.clone(),
            Some(nth) => state.since[nth].clone(),
        };
        let files = state.files.iter().map(survive).collect();
        let state = State { files, synced: names.clone(), names, ..State::default() };
        Self(Rc::new(RefCell::new(state)))
    }

    /// Changes the contents of a file.
    pub(crate) fn damage(&self, name: &CStr, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.borrow_mut();
        let file = state.names[name];
        change(&mut state.files[file].now);
    }

    /// Bytes of a file cannot be read any more: those from an offset on, or it cannot be opened.
    pub(crate) fn unreadable(&self, name: &CStr, from: Option<usize>, errno: Errno) {
        let mut state = self.0.borrow_mut();
        let file = state.names[name];
        state.files[file].bad = Some((from, errno));
    }

    /// Makes a folder in it.
    pub(crate) fn make_folder(&self, name: &CStr) {
        let mut state = self.0.borrow_mut();
        let file = state.files.len();
        state.files.push(Content { folder: true, ..Content::default() });
        state.names.insert(name.to_owned(), file);
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.borrow().names.keys().map(|name| name.to_str().unwrap().to_owned()).collect()
    }
}

impl Disk for Cellar {
    type File = Shelf;

    fn open(&mut self, name: &CStr) -> Result<Shelf, Errno> {
        let state = self.0.borrow();
        let file = *state.names.get(name).ok_or(Errno::ENOENT)?;
        if let Some((None, errno)) = state.files[file].bad {
            return Err(errno);
        }
        Ok(Shelf { cellar: self.clone(), file })
    }

    fn create(&mut self, name: &CStr) -> Result<Shelf, Errno> {
        let mut state = self.0.borrow_mut();
        let file = state.files.len();
        state.files.push(Content::default());
        state.rename(|names| {
            names.insert(name.to_owned(), file);
            Ok(())
        })?;
        drop(state);
        Ok(Shelf { cellar: self.clone(), file })
    }

    fn sync(&mut self, file: &mut Shelf) -> Result<(), Errno> {
        let mut state = self.0.borrow_mut();
        let (done, result) = state.step();
        if done {
            let content = &mut state.files[file.file];
            content.synced.clone_from(&content.now);
        }
        result
    }

    fn rename(&mut self, from: &CStr, to: &CStr) -> Result<(), Errno> {
        self.0.borrow_mut().rename(|names| {
            let file = names.remove(from).ok_or(Errno::ENOENT)?;
            names.insert(to.to_owned(), file);
            Ok(())
        })
    }

    fn unlink(&mut self, name: &CStr) -> Result<(), Errno> {
        if !self.0.borrow().names.contains_key(name) {
            return Err(Errno::ENOENT);
        }
        self.0.borrow_mut().rename(|names| names.remove(name).map(|_| ()).ok_or(Errno::ENOENT))
    }

    fn sync_names(&mut self) -> Result<(), Errno> {
        let mut state = self.0.borrow_mut();
        let (done, result) = state.step();
        if done {
            state.synced = state.names.clone();
            state.since.clear();
        }
        result
    }

    fn each_name(&mut self, take: &mut dyn FnMut(&CStr)) -> Result<(), Errno> {
        let state = self.0.borrow();
        if state.unlisted {
            return Err(Errno::EIO);
        }
        state.names.keys().for_each(|name| take(name));
        Ok(())
    }
}

impl File for Shelf {
    fn read_some(&mut self, offset: u32, buf: &mut [u8]) -> Result<usize, Errno> {
        let state = self.cellar.0.borrow();
        if state.files[self.file].folder {
            return Err(Errno::EISDIR);
        }
        let rest = state.files[self.file].now.get(offset as usize..).unwrap_or_default();
        // Only a few bytes at once.
        let mut len = rest.len().min(buf.len()).min(100);
        if let Some((from, errno)) = state.files[self.file].bad {
            let good = from.unwrap_or(0).saturating_sub(offset as usize);
            if good == 0 && len > 0 {
                return Err(errno);
            }
            len = len.min(good);
        }
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_some(&mut self, offset: u32, bytes: &[u8]) -> Result<usize, Errno> {
        let mut state = self.cellar.0.borrow_mut();
        let (done, result) = state.step();
        if let Some(room) = state.room {
            let named = |file: &usize| *file != self.file;
            let others = state.names.values().filter(|file| named(file));
            let others: usize = others.map(|file| state.files[*file].now.len()).sum();
            let grown = state.files[self.file].now.len().max(offset as usize + bytes.len());
            if others + grown > room {
                return Err(Errno::ENOSPC);
            }
        }
        let whole = bytes.len().min(state.most.unwrap_or(usize::MAX));
        let len = match (done, result) {
            (false, _) => 0,
            (true, Ok(())) => whole,
            (true, Err(_)) => whole / 2,
        };
        let now = &mut state.files[self.file].now;
        let end = offset as usize + len;
        if now.len() < end {
            now.resize(end, 0);
        }
        now[offset as usize..end].copy_from_slice(&bytes[..len]);
        result.map(|()| len)
    }

    fn clear(&mut self) -> Result<(), Errno> {
        let mut state = self.cellar.0.borrow_mut();
        let (done, result) = state.step();
        if done {
            state.files[self.file].now.clear();
        }
        result
    }
}
