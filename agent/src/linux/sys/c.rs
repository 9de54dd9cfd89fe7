//! The functions of the C library that rustix does not have, with their types, and the conversion of
//! their errors.
//!
//! Not here: the safe functions over them, which are in the other modules of this folder.

use core::ffi::{c_char, c_int, c_uint, c_void};

use proto_core::netlink::Errno;

#[link(name = "c")]
unsafe extern "C" {
    pub(super) fn setsockopt(
        fd: c_int,
        level: c_int,
        name: c_int,
        value: *const c_void,
        len: c_uint,
    ) -> c_int;
    // The variant with 64-bit times, which musl has under this name on every architecture.
    #[cfg_attr(target_pointer_width = "32", link_name = "__clock_gettime64")]
    pub(super) fn clock_gettime(clock: c_int, time: *mut Time) -> c_int;
    pub(super) fn recvmsg(fd: c_int, message: *mut Message, flags: c_int) -> isize;
    pub(super) fn sendmsg(fd: c_int, message: *const Message, flags: c_int) -> isize;
    pub(super) fn ioctl(fd: c_int, request: c_int, ...) -> c_int;
    pub(super) fn getenv(name: *const c_char) -> *const c_char;
    // The variant without fork handlers: the program has none, and no other threads whose locks
    // they would protect.
    pub(super) fn _Fork() -> c_int;
    pub(super) fn dup2(from: c_int, to: c_int) -> c_int;
    pub(super) fn execve(
        path: *const c_char,
        argv: *const *const c_char,
        envp: *const *const c_char,
    ) -> c_int;
    pub(super) fn _exit(code: c_int) -> !;
    pub(super) fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    pub(super) fn setpgid(pid: c_int, group: c_int) -> c_int;
    pub(super) fn kill(pid: c_int, signal: c_int) -> c_int;
    // A handler is the address of a function, or 1 for none: the signal is ignored (SIG_IGN).
    pub(super) fn signal(number: c_int, handler: usize) -> *const c_void;
    #[cfg(target_env = "musl")]
    pub(super) fn sigaction(
        number: c_int,
        new: *const SignalAction,
        old: *mut SignalAction,
    ) -> c_int;
    pub(super) fn write(fd: c_int, bytes: *const c_void, len: usize) -> isize;
    #[cfg(feature = "console")]
    pub(super) fn setsid() -> c_int;
    pub(super) static environ: *const *const c_char;
    #[link_name = "abort"]
    pub(super) fn c_abort() -> !;
    pub(super) fn __errno_location() -> *mut c_int;
}

/// Returns null for every name. On MIPS rustix calls the C library, and asks `dlsym` for functions
/// that an old C library may lack; with null, rustix makes the system call itself. The `dlsym` of a
/// static musl always fails too, but it expects its own address in `$t9`, which position-dependent
/// code does not set.
#[cfg(target_arch = "mips")]
#[unsafe(no_mangle)]
extern "C" fn dlsym(_: *const c_void, _: *const c_char) -> *const c_void {
    core::ptr::null()
}

/// `struct iovec`.
#[repr(C)]
pub(super) struct Part {
    pub(super) base: *mut c_void,
    pub(super) len: usize,
}

/// The kernel's `struct msghdr`. musl's has lengths of 32 bits, with padding that makes them the
/// low half of these.
#[repr(C)]
pub(super) struct Message {
    pub(super) name: *mut c_void,
    pub(super) name_len: c_uint,
    pub(super) parts: *mut Part,
    pub(super) part_count: usize,
    pub(super) control: *mut c_void,
    pub(super) control_len: usize,
    pub(super) flags: c_int,
}

/// musl's `struct sigaction`, the same on every architecture.
#[cfg(target_env = "musl")]
#[repr(C)]
pub(super) struct SignalAction {
    pub(super) handler: extern "C" fn(c_int, *const u8, *const c_void),
    pub(super) mask: [u64; 16],
    pub(super) flags: c_int,
    pub(super) restorer: *const c_void,
}

/// musl's `struct timespec`. On 32-bit machines its nanoseconds are a `long` with padding that
/// makes them the low half of this field.
#[repr(C)]
#[derive(Default)]
pub(super) struct Time {
    pub(super) seconds: i64,
    pub(super) nanos: i64,
}

/// The error of the last call of the C library.
pub(super) fn failure() -> Errno {
    // SAFETY: the C library returns a valid pointer to this thread's errno.
    Errno(unsafe { *__errno_location() })
}

/// Converts the result of a call of the C library, which is 0 on success.
pub(super) fn checked(failed: c_int) -> Result<(), Errno> {
    if failed == 0 { Ok(()) } else { Err(failure()) }
}
