//! The program's entry and the system interfaces that rustix does not have. All of the agent's
//! `unsafe` is here.
#![allow(unsafe_code, reason = "this is the one module for it")]

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use core::panic::PanicInfo;

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

#[link(name = "c")]
unsafe extern "C" {
    fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, len: c_uint)
    -> c_int;
    fn abort() -> !;
    fn __errno_location() -> *mut c_int;
}

/// `SOL_NETLINK` (`linux/socket.h`), the same on every architecture.
const SOL_NETLINK: c_int = 270;

/// A switch of a netlink socket (`linux/netlink.h`).
#[derive(Clone, Copy)]
#[repr(i32)]
pub(crate) enum NetlinkOption {
    /// `NETLINK_CAP_ACK`: an acknowledgement does not repeat the request.
    CapAck = 10,
    /// `NETLINK_EXT_ACK`: an acknowledgement may carry the kernel's own words.
    ExtAck = 11,
    /// `NETLINK_GET_STRICT_CHK`: a list is filtered as it was asked for.
    GetStrictChk = 12,
}

/// Turns a switch of a netlink socket on.
pub(crate) fn netlink_option(fd: BorrowedFd<'_>, option: NetlinkOption) -> Result<(), Errno> {
    let on: c_int = 1;
    // SAFETY: `fd` is open for the length of the call, and `value` points to an int of which the
    // length is given; the call only reads it.
    let failed = unsafe {
        setsockopt(
            fd.as_raw_fd(),
            SOL_NETLINK,
            option as c_int,
            (&raw const on).cast(),
            size_of::<c_int>() as c_uint,
        )
    };
    if failed == 0 {
        return Ok(());
    }
    // SAFETY: the C library gives a valid pointer to this thread's errno.
    Err(Errno::from_raw_os_error(unsafe { *__errno_location() }))
}

/// Standard output.
pub(crate) fn stdout() -> BorrowedFd<'static> {
    // SAFETY: nothing in the agent closes it.
    unsafe { rustix::stdio::stdout() }
}

/// Standard error.
pub(crate) fn stderr() -> BorrowedFd<'static> {
    // SAFETY: nothing in the agent closes it.
    unsafe { rustix::stdio::stderr() }
}

/// The arguments of the program: text, or `None` where one is not UTF-8.
pub(crate) struct Args {
    argv: *const *const c_char,
    left: usize,
}

impl Iterator for Args {
    type Item = Option<&'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: `Args` is made by `main` alone, of an array with `left` pointers to strings that
        // end in NUL and stay for the life of the process (C11, 5.1.2.2.1); `left` was not yet 0.
        let word = unsafe {
            let word = CStr::from_ptr(*self.argv);
            self.argv = self.argv.add(1);
            word
        };
        Some(word.to_str().ok())
    }
}

/// Where the C library's start code goes.
// SAFETY: `main` is what the C library calls, with this signature, and nothing else here has the
// name.
#[unsafe(no_mangle)]
extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    crate::run(Args { argv, left: usize::try_from(argc).unwrap_or(0) })
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    crate::linux::log(format_args!("a bug in postwired: {info}"));
    // SAFETY: takes nothing and does not return.
    unsafe { abort() }
}
