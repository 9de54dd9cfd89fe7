//! Signals that ask the process to end, signals that it ignores, and those of a panic.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicI32, Ordering};

use rustix::fd::{BorrowedFd, IntoRawFd, OwnedFd};

#[cfg(target_env = "musl")]
use super::abort;
use super::c::{__errno_location, signal, write};
#[cfg(target_env = "musl")]
use super::c::{SignalAction, sigaction};

/// The signal that asked the process to end, since [`hold_signals`].
static HELD: AtomicI32 = AtomicI32::new(0);

extern "C" fn hold(number: c_int) {
    HELD.store(number, Ordering::Relaxed);
}

/// Makes `SIGINT` and `SIGTERM` no longer end this process; they still end programs that it runs.
pub(crate) fn hold_signals() {
    on_signals(hold);
}

fn on_signals(handler: extern "C" fn(c_int)) {
    for number in [2, 15] {
        // SAFETY: each `handler` here is async-signal-safe.
        unsafe { signal(number, handler as *const () as usize) };
    }
}

/// Ignores `SIGPIPE` and `SIGHUP`: the process continues when the reader of a pipe or the terminal
/// is gone.
pub(crate) fn outlive_outputs() {
    for number in [1, 13] {
        // SAFETY: 1 is SIG_IGN, which runs no code of ours.
        unsafe { signal(number, 1) };
    }
}

/// Logs where the program stopped, and ends it. The released agent has no messages of panics: a panic is an invalid
/// instruction (`-Cpanic=immediate-abort`).
#[cfg(target_env = "musl")]
extern "C" fn stopped(_: c_int, info: *const u8, _: *const c_void) {
    // `si_addr` is behind three integers, and aligned.
    let offset = if cfg!(target_pointer_width = "64") { 16 } else { 12 };
    // SAFETY: the kernel calls a handler with SA_SIGINFO with a `siginfo_t`, which has `si_addr` at this offset.
    let at = unsafe { info.add(offset).cast::<usize>().read_unaligned() };
    let version = env!("CARGO_PKG_VERSION");
    crate::linux::log::log(format_args!("a bug in postwired {version}: it stopped at {at:#x}"));
    abort()
}

/// Reports a panic of the released agent in the log.
pub(crate) fn report_bugs() {
    // SIGILL and SIGTRAP: the architectures differ in the signal of such an instruction.
    #[cfg(target_env = "musl")]
    for number in [4, 5] {
        let siginfo = if cfg!(target_arch = "mips") { 8 } else { 4 };
        let action = SignalAction {
            handler: stopped,
            mask: [0; 16],
            flags: siginfo,
            restorer: core::ptr::null(),
        };
        // SAFETY: `action` has the layout that musl reads, and lives until the end of the call. The signals come
        // only from a panic, which is not inside the log's own code and holds no lock.
        unsafe { sigaction(number, &raw const action, core::ptr::null_mut()) };
    }
}

/// The eventfd for signals that ask the process to end, since [`end_event`].
static END: AtomicI32 = AtomicI32::new(-1);

extern "C" fn end(_: c_int) {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: the C library returns a valid pointer to this thread's errno, which the interrupted
    // code may be about to read; write(2) is async-signal-safe, and `one` has the bytes that it
    // reads.
    unsafe {
        let errno = *__errno_location();
        write(END.load(Ordering::Relaxed), (&raw const one).cast(), one.len());
        *__errno_location() = errno;
    }
}

/// Makes `SIGINT` and `SIGTERM` write to this eventfd, which stays open.
pub(crate) fn end_event(event: OwnedFd) -> BorrowedFd<'static> {
    let fd = event.into_raw_fd();
    END.store(fd, Ordering::Relaxed);
    on_signals(end);
    // SAFETY: the descriptor is never closed from here on.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// The last such signal, or 0.
pub(crate) fn held_signal() -> i32 {
    HELD.load(Ordering::Relaxed)
}
