//! The program's entry and the system interfaces that rustix does not have. All of the agent's
//! `unsafe` is in this folder.
//!
//! | module | contents |
//! |---|---|
//! | [`c`] | the functions of the C library, and their types |
//! | [`sockets`] | options, filters and datagrams |
//! | [`terminal`] | serial ports |
//! | `shell` | a program on a pseudo-terminal |
//! | [`process`] | other programs |
//! | [`signals`] | signals that arrive |
//! | here | the entry and the end of the program, its memory, the clocks, and its standard streams |
#![allow(unsafe_code, reason = "this is the one module for it")]

mod c;
mod process;
#[cfg(feature = "console")]
mod shell;
mod signals;
mod sockets;
mod terminal;

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int};
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use postwired::wg::Memory;
use rustix::fd::{BorrowedFd, IntoRawFd, OwnedFd};

use crate::linux::log::To;
use c::{_exit, Time, c_abort, clock_gettime, getenv};
pub(crate) use process::{kill_group, reap_group, run, start};
#[cfg(feature = "console")]
pub(crate) use shell::{reap, start_on, terminals};
pub(crate) use signals::{end_event, held_signal, hold_signals, outlive_outputs, report_bugs};
pub(crate) use sockets::{
    Control, NetlinkOption, bind_to_interface, filter, netlink_option, receive, send, tell_address,
};
pub(crate) use terminal::{Modes, exclusive, is_terminal, unsent};

/// The memory of `wg` and of the serving agent. Pages that are never written take no memory.
struct OnlyOne(UnsafeCell<Memory>);

// SAFETY: the cell is reached only through `memory`, which returns it once.
unsafe impl Sync for OnlyOne {}

/// This memory, for the first caller.
pub(crate) fn memory() -> Option<&'static mut Memory> {
    static MEMORY: OnlyOne = OnlyOne(UnsafeCell::new(Memory::new()));
    static GIVEN: AtomicBool = AtomicBool::new(false);
    // SAFETY: `GIVEN` was false, so this is the only reference, and no later call returns another.
    (!GIVEN.swap(true, Ordering::Relaxed)).then(|| unsafe { &mut *MEMORY.0.get() })
}

/// An environment variable.
pub(crate) fn variable(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: `name` ends in NUL.
    let value = unsafe { getenv(name.as_ptr()) };
    // SAFETY: a non-null result is a string that ends in NUL, and this program does not change the
    // environment.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) })
}

/// A clock (`linux/time.h`). rustix reads clocks through the vDSO, which takes two kilobytes of
/// program.
#[derive(Clone, Copy)]
#[repr(i32)]
pub(crate) enum Clock {
    /// `CLOCK_REALTIME`: the wall clock.
    Realtime = 0,
    /// `CLOCK_MONOTONIC`: never goes back.
    Monotonic = 1,
}

impl Clock {
    /// Seconds and nanoseconds, or zeros for a time before 1970.
    pub(crate) fn read(self) -> (u64, u64) {
        let mut time = Time::default();
        // SAFETY: `time` lives through the call and has the layout of musl's `struct timespec`,
        // which the call writes; both clocks exist on every Linux, so the call cannot fail.
        unsafe { clock_gettime(self as c_int, &raw mut time) };
        (u64::try_from(time.seconds).unwrap_or(0), u64::try_from(time.nanos).unwrap_or(0))
    }
}

/// The log's outputs if they are not the standard streams themselves, or -1.
static LOG: [AtomicI32; 2] = [AtomicI32::new(-1), AtomicI32::new(-1)];

/// Redirects lines to `to` to this descriptor.
pub(crate) fn log_to(to: To, output: OwnedFd) {
    if let Some(place) = LOG.get(to as usize) {
        place.store(output.into_raw_fd(), Ordering::Relaxed);
    }
}

/// The non-blocking output of the log, if there is one.
pub(crate) fn log_output(to: To) -> Option<BorrowedFd<'static>> {
    let fd = LOG.get(to as usize)?.load(Ordering::Relaxed);
    // SAFETY: a number other than -1 is that of a descriptor which `log_to` took and which is never
    // closed.
    (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Standard output.
pub(crate) fn stdout() -> BorrowedFd<'static> {
    // SAFETY: `linux::open_standard_streams` reserves the number, and the agent never closes it.
    unsafe { rustix::stdio::stdout() }
}

/// Standard error.
pub(crate) fn stderr() -> BorrowedFd<'static> {
    // SAFETY: `linux::open_standard_streams` reserves the number, and the agent never closes it.
    unsafe { rustix::stdio::stderr() }
}

/// Standard input.
pub(crate) fn stdin() -> BorrowedFd<'static> {
    // SAFETY: `linux::open_standard_streams` reserves the number, and the agent never closes it.
    unsafe { rustix::stdio::stdin() }
}

/// The arguments of the program: text, or `None` where one is not UTF-8.
#[derive(Clone)]
pub(crate) struct Args {
    argv: *const *const c_char,
    left: usize,
}

impl Iterator for Args {
    type Item = Option<&'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: only `main` creates `Args`, from an array with `left` pointers to strings that
        // end in NUL and live as long as the process (C11, 5.1.2.2.1); `left` was not yet 0.
        let word = unsafe {
            let word = CStr::from_ptr(*self.argv);
            self.argv = self.argv.add(1);
            word
        };
        Some(word.to_str().ok())
    }
}

/// The entry point that the C library's start code calls.
// SAFETY: `main` has the name and signature that the C library calls, and the name is used only
// once.
#[unsafe(no_mangle)]
extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    crate::run(Args { argv, left: usize::try_from(argc).unwrap_or(0) })
}

/// Ends the program.
pub(crate) fn exit(code: c_int) -> ! {
    // SAFETY: the call takes a number and does not return.
    unsafe { _exit(code) }
}

/// Aborts the program after an internal error.
pub(crate) fn abort() -> ! {
    // SAFETY: the call has no arguments and does not return.
    unsafe { c_abort() }
}
