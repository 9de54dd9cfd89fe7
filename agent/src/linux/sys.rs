//! The program's entry and the system interfaces that rustix does not have. All of the agent's
//! `unsafe` is here.
#![allow(unsafe_code, reason = "this is the one module for it")]

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use linux_raw_sys::general::{
    BOTHER, BRKINT, CBAUD, CIBAUD, CLOCAL, CREAD, CRTSCTS, CS8, CSIZE, CSTOPB, ECHO, ECHONL,
    ICANON, ICRNL, IEXTEN, IGNBRK, IGNCR, INLCR, INPCK, ISIG, ISTRIP, IXANY, IXOFF, IXON, OPOST,
    PARENB, PARMRK, VMIN, VTIME, termios2,
};
use linux_raw_sys::ioctl::{
    TCGETS2, TCSETS2, TIOCEXCL, TIOCGPTPEER, TIOCOUTQ, TIOCSCTTY, TIOCSPTLCK, TIOCSWINSZ,
};
use postwired::access::filter::Instruction;
use postwired::wg::Memory;
use proto_core::netlink::Errno;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use crate::linux::log::To;

#[link(name = "c")]
unsafe extern "C" {
    fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, len: c_uint)
    -> c_int;
    // The variant with 64-bit times, which musl has under this name on every architecture.
    #[cfg_attr(target_pointer_width = "32", link_name = "__clock_gettime64")]
    fn clock_gettime(clock: c_int, time: *mut Time) -> c_int;
    fn recvmsg(fd: c_int, message: *mut Message, flags: c_int) -> isize;
    fn sendmsg(fd: c_int, message: *const Message, flags: c_int) -> isize;
    fn ioctl(fd: c_int, request: c_int, ...) -> c_int;
    fn getenv(name: *const c_char) -> *const c_char;
    // The variant without fork handlers: the program has none, and no other threads whose locks
    // they would protect.
    fn _Fork() -> c_int;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn execve(path: *const c_char, argv: *const *const c_char, envp: *const *const c_char)
    -> c_int;
    fn _exit(code: c_int) -> !;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn setpgid(pid: c_int, group: c_int) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    // A handler is the address of a function, or 1 for none: the signal is ignored (SIG_IGN).
    fn signal(number: c_int, handler: usize) -> *const c_void;
    #[cfg(target_env = "musl")]
    fn sigaction(number: c_int, new: *const SignalAction, old: *mut SignalAction) -> c_int;
    fn write(fd: c_int, bytes: *const c_void, len: usize) -> isize;
    fn setsid() -> c_int;
    static environ: *const *const c_char;
    #[link_name = "abort"]
    fn c_abort() -> !;
    fn __errno_location() -> *mut c_int;
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

/// `SOL_NETLINK` (`linux/socket.h`), the same on every architecture.
const SOL_NETLINK: c_int = 270;

/// An option of a netlink socket (`linux/netlink.h`).
#[derive(Clone, Copy)]
#[repr(i32)]
pub(crate) enum NetlinkOption {
    /// `NETLINK_CAP_ACK`: an acknowledgement does not repeat the request.
    CapAck = 10,
    /// `NETLINK_EXT_ACK`: an acknowledgement may have the kernel's error text.
    ExtAck = 11,
    /// `NETLINK_GET_STRICT_CHK`: the kernel filters a list as requested.
    GetStrictChk = 12,
}

/// Sets an option of a socket. The kernel only reads `value`, and gets its size.
fn set_option<T>(fd: BorrowedFd<'_>, level: c_int, name: c_int, value: &T) -> Result<(), Errno> {
    let len = size_of::<T>() as c_uint;
    // SAFETY: `fd` is open for the length of the call, and `value` points to as many bytes as `len` says,
    // which the call only reads.
    checked(unsafe { setsockopt(fd.as_raw_fd(), level, name, (&raw const *value).cast(), len) })
}

/// Enables an option of a netlink socket.
pub(crate) fn netlink_option(fd: BorrowedFd<'_>, option: NetlinkOption) -> Result<(), Errno> {
    let on: c_int = 1;
    set_option(fd, SOL_NETLINK, option as c_int, &on)
}

/// Makes the kernel report the local address of each datagram: `IP_PKTINFO` (`linux/in.h`) or
/// `IPV6_RECVPKTINFO` (`linux/in6.h`).
pub(crate) fn tell_address(fd: BorrowedFd<'_>, v6: bool) -> Result<(), Errno> {
    let (level, name) = if v6 { (41, 49) } else { (0, 8) };
    let on: c_int = 1;
    set_option(fd, level, name, &on)
}

/// `SOL_SOCKET`: the only option level with another number on MIPS.
const SOL_SOCKET: c_int =
    if cfg!(any(target_arch = "mips", target_arch = "mips64")) { 0xffff } else { 1 };

/// Binds a socket to an interface by its index: `SO_BINDTOIFINDEX` (Linux 5.0), the same on every architecture.
pub(crate) fn bind_to_interface(fd: BorrowedFd<'_>, index: u32) -> Result<(), Errno> {
    set_option(fd, SOL_SOCKET, 62, &index)
}

/// `struct sock_fprog` (`linux/filter.h`).
#[repr(C)]
struct FilterProgram {
    len: u16,
    filter: *const Instruction,
}

/// Attaches a packet filter to a socket, or detaches it.
pub(crate) fn filter(fd: BorrowedFd<'_>, program: Option<&[Instruction]>) -> Result<(), Errno> {
    let program = program.map(|program| FilterProgram {
        // No program is longer (MAX_PROGRAM).
        len: u16::try_from(program.len()).unwrap_or(u16::MAX),
        filter: program.as_ptr(),
    });
    match program {
        // SO_ATTACH_FILTER and SO_DETACH_FILTER. The kernel copies the instructions, which `program` borrows until the end of this call.
        Some(program) => set_option(fd, SOL_SOCKET, 26, &program),
        None => set_option(fd, SOL_SOCKET, 27, &0_i32),
    }
}

/// `struct iovec`.
#[repr(C)]
struct Part {
    base: *mut c_void,
    len: usize,
}

/// The kernel's `struct msghdr`. musl's has lengths of 32 bits, with padding that makes them the
/// low half of these.
#[repr(C)]
struct Message {
    name: *mut c_void,
    name_len: c_uint,
    parts: *mut Part,
    part_count: usize,
    control: *mut c_void,
    control_len: usize,
    flags: c_int,
}

/// A buffer for control messages, with their alignment.
#[repr(C, align(8))]
pub(crate) struct Control<const N: usize>(pub(crate) [u8; N]);

/// Receives a datagram. Returns its length, that of its sender's `struct sockaddr`, and that of its
/// control messages. Data that does not fit is truncated.
pub(crate) fn receive(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
    sender: &mut [u8; 28],
    control: &mut Control<128>,
) -> Result<[usize; 3], Errno> {
    let mut part = Part { base: buf.as_mut_ptr().cast(), len: buf.len() };
    let mut message = Message {
        name: sender.as_mut_ptr().cast(),
        name_len: sender.len() as c_uint,
        parts: &raw mut part,
        part_count: 1,
        control: control.0.as_mut_ptr().cast(),
        control_len: control.0.len(),
        flags: 0,
    };
    // SAFETY: `fd` is open for the length of the call; `message` points to buffers with the lengths
    // in it, which are borrowed for writing until the end of this function.
    let len = unsafe { recvmsg(fd.as_raw_fd(), &raw mut message, 0) };
    match usize::try_from(len) {
        Ok(len) => Ok([len, message.name_len as usize, message.control_len]),
        Err(_) => Err(failure()),
    }
}

/// Sends a datagram to a `struct sockaddr`, with these control messages.
pub(crate) fn send(
    fd: BorrowedFd<'_>,
    bytes: &[u8],
    receiver: &[u8],
    control: &Control<40>,
    control_len: usize,
) -> Result<(), Errno> {
    let mut part = Part { base: bytes.as_ptr().cast_mut().cast(), len: bytes.len() };
    let message = Message {
        name: receiver.as_ptr().cast_mut().cast(),
        name_len: receiver.len() as c_uint,
        parts: &raw mut part,
        part_count: 1,
        control: control.0.as_ptr().cast_mut().cast(),
        control_len: control_len.min(control.0.len()),
        flags: 0,
    };
    // SAFETY: `fd` is open for the length of the call; `message` points to buffers with the lengths
    // in it, which the call only reads.
    let sent = unsafe { sendmsg(fd.as_raw_fd(), &raw const message, 0) };
    if sent < 0 { Err(failure()) } else { Ok(()) }
}

/// The error of the last call of the C library.
fn failure() -> Errno {
    // SAFETY: the C library returns a valid pointer to this thread's errno.
    Errno(unsafe { *__errno_location() })
}

/// Converts the result of a call of the C library, which is 0 on success.
fn checked(failed: c_int) -> Result<(), Errno> {
    if failed == 0 { Ok(()) } else { Err(failure()) }
}

/// The settings of a terminal.
#[derive(Clone, Copy)]
pub(crate) struct Modes(termios2);

impl Modes {
    /// Reads the settings of a terminal.
    pub(crate) fn of(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        let mut modes = termios2 {
            c_iflag: 0,
            c_oflag: 0,
            c_cflag: 0,
            c_lflag: 0,
            c_line: 0,
            c_cc: Default::default(),
            c_ispeed: 0,
            c_ospeed: 0,
        };
        // SAFETY: `fd` is open for the length of the call, and `modes` is the struct that the
        // request fills in.
        checked(unsafe { ioctl(fd.as_raw_fd(), TCGETS2 as c_int, &raw mut modes) })?;
        Ok(Self(modes))
    }

    /// These settings for a plain wire: raw, 8N1, no flow control, `baud` bits per second.
    ///
    /// `termios2` has the speed as a number. rustix supports it too, with two tables of named
    /// speeds.
    fn raw(mut self, baud: u32) -> Self {
        let modes = &mut self.0;
        // A break would arrive as a zero, and a zero opens a frame: IGNBRK.
        modes.c_iflag &=
            !(BRKINT | PARMRK | INPCK | ISTRIP | INLCR | IGNCR | ICRNL | IXON | IXOFF | IXANY);
        modes.c_iflag |= IGNBRK;
        modes.c_oflag &= !OPOST;
        modes.c_lflag &= !(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
        modes.c_cflag &= !(CBAUD | CIBAUD | CSIZE | PARENB | CSTOPB | CRTSCTS);
        modes.c_cflag |= BOTHER | CS8 | CLOCAL | CREAD;
        for (place, value) in [(VMIN, 1), (VTIME, 0)] {
            if let Some(place) = modes.c_cc.get_mut(place as usize) {
                *place = value;
            }
        }
        (modes.c_ispeed, modes.c_ospeed) = (baud, baud);
        self
    }

    /// Sets a terminal up for a program that reads each key: no echo, no lines, no signals. Returns
    /// the settings to restore with [`Modes::put_back`].
    pub(crate) fn keys(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        let before = Self::of(fd)?;
        let mut modes = before;
        modes.0.c_iflag &= !(ICRNL | INLCR | IGNCR | IXON | ISTRIP);
        modes.0.c_lflag &= !(ECHO | ICANON | ISIG | IEXTEN);
        modes.put_back(fd);
        Ok(before)
    }

    /// Restores these settings of a terminal. Best effort.
    pub(crate) fn put_back(&self, fd: BorrowedFd<'_>) {
        // SAFETY: `fd` is open for the length of the call, and the settings are the struct that the
        // request reads.
        unsafe { ioctl(fd.as_raw_fd(), TCSETS2 as c_int, &raw const self.0) };
    }

    /// Makes a terminal a plain wire. Returns the actual settings: a driver may not support all.
    pub(crate) fn set(fd: BorrowedFd<'_>, baud: u32) -> Result<Self, Errno> {
        let Self(modes) = Self::of(fd)?.raw(baud);
        // SAFETY: `fd` is open for the length of the call, and `modes` is the struct that the
        // request reads.
        checked(unsafe { ioctl(fd.as_raw_fd(), TCSETS2 as c_int, &raw const modes) })?;
        Self::of(fd)
    }

    /// The actual speed in bits per second.
    pub(crate) fn speed(&self) -> u32 {
        self.0.c_ospeed
    }

    /// Whether a terminal with these settings carries frames unchanged.
    pub(crate) fn are_raw(&self) -> bool {
        let Self(raw) = self.raw(self.0.c_ospeed);
        let Self(modes) = self;
        // CBAUD encodes the speed, and does not affect the bytes.
        let lines = |flags: u32| flags & !(CBAUD | CIBAUD);
        let at = |modes: &termios2, place: u32| modes.c_cc.get(place as usize).copied();
        modes.c_iflag == raw.c_iflag
            && modes.c_oflag == raw.c_oflag
            && modes.c_lflag == raw.c_lflag
            && lines(modes.c_cflag) == lines(raw.c_cflag)
            && at(modes, VMIN) == at(&raw, VMIN)
            && at(modes, VTIME) == at(&raw, VTIME)
    }
}

/// Keeps other programs from opening a terminal. The kernel does not enforce it for root.
pub(crate) fn exclusive(fd: BorrowedFd<'_>) {
    // SAFETY: `fd` is open for the length of the call, and the request has no argument. A failure
    // leaves the terminal unchanged.
    unsafe { ioctl(fd.as_raw_fd(), TIOCEXCL as c_int) };
}

/// Number of bytes that a terminal has not sent yet; 0 if unknown.
pub(crate) fn unsent(fd: BorrowedFd<'_>) -> c_int {
    let mut bytes: c_int = 0;
    // SAFETY: `fd` is open for the length of the call, and `bytes` is the int that the request fills in.
    unsafe { ioctl(fd.as_raw_fd(), TIOCOUTQ as c_int, &raw mut bytes) };
    bytes
}

/// Whether this is a terminal.
pub(crate) fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    Modes::of(fd).is_ok()
}

/// An environment variable.
pub(crate) fn variable(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: `name` ends in NUL.
    let value = unsafe { getenv(name.as_ptr()) };
    // SAFETY: a non-null result is a string that ends in NUL, and this program does not change the
    // environment.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) })
}

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

/// musl's `struct sigaction`, the same on every architecture.
#[cfg(target_env = "musl")]
#[repr(C)]
struct SignalAction {
    handler: extern "C" fn(c_int, *const u8, *const c_void),
    mask: [u64; 16],
    flags: c_int,
    restorer: *const c_void,
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

/// Runs `act` in a copy of this process, which then ends. Returns the copy's process id, for
/// [`wait`].
fn aside(act: &mut dyn FnMut()) -> Result<c_int, Errno> {
    // SAFETY: this process has one thread, so the copy has all of it.
    let pid = unsafe { _Fork() };
    if pid == 0 {
        act();
        exit(NOT_STARTED);
    }
    if pid < 0 {
        checked(pid)?;
    }
    Ok(pid)
}

/// Waits for a copy of this process to end. Returns its exit code, or 128 plus the number of the
/// signal that killed it.
fn wait(pid: c_int) -> Result<i32, Errno> {
    let mut status: c_int = 0;
    loop {
        // SAFETY: `status` lives through the call, which writes to it.
        let done = unsafe { waitpid(pid, &raw mut status, 0) };
        if done == pid {
            break;
        }
        match checked(-1) {
            Err(Errno::EINTR) => {}
            other => other?,
        }
    }
    Ok(exit_code(status))
}

/// The exit code in a status of `waitpid`, as `WIFEXITED` and its like take it apart, the same on every Linux; 128 and
/// the number of the signal that killed the process.
const fn exit_code(status: c_int) -> i32 {
    match status & 0x7f {
        0 => status >> 8 & 0xff,
        signal => signal.saturating_add(128),
    }
}

/// Takes the exit code of a process that has ended, of this group of our children. `None` if none has ended yet;
/// `ECHILD` if there is none.
pub(crate) fn reap_group(group: c_int) -> Result<Option<(c_int, i32)>, Errno> {
    match look(group.saturating_neg()) {
        (0, _) => Ok(None),
        (pid @ 1.., status) => Ok(Some((pid, exit_code(status)))),
        _ => Err(failure()),
    }
}

/// The result of `waitpid` for a process, or for the negative number of a group, without waiting; and the status.
fn look(pid: c_int) -> (c_int, c_int) {
    const WNOHANG: c_int = 1;
    let mut status: c_int = 0;
    // SAFETY: `status` lives through the call, which writes to it.
    let found = unsafe { waitpid(pid, &raw mut status, WNOHANG) };
    (found, status)
}

/// Kills all processes of a group.
pub(crate) fn kill_group(group: c_int) {
    // SAFETY: takes numbers. A group that is gone needs no signal.
    unsafe { kill(group.saturating_neg(), 9) };
}

/// Starts a program in a new session whose terminal is `terminal`. Returns its process id, for
/// [`reap`].
pub(crate) fn start_on(path: &CStr, terminal: BorrowedFd<'_>) -> Result<c_int, Errno> {
    let argv = [path.as_ptr(), core::ptr::null()];
    let fd = terminal.as_raw_fd();
    aside(&mut || {
        for number in [1, 13] {
            // SAFETY: 0 is SIG_DFL. The agent ignores these signals, and the program must not.
            unsafe { signal(number, 0) };
        }
        // SAFETY: `fd` is open for the length of these calls, which only use its number.
        unsafe {
            setsid();
            ioctl(fd, TIOCSCTTY as c_int, 0 as c_int);
            for to in 0..3 {
                dup2(fd, to);
            }
        }
        // SAFETY: `path` and `argv` end in NUL and null, and outlive the call; `environ` is as in `run`.
        unsafe { execve(path.as_ptr(), argv.as_ptr(), environ) };
    })
}

/// Returns `true` if a program that [`start_on`] started has ended; its process id is then free.
pub(crate) fn reap(pid: c_int) -> bool {
    look(pid).0 != 0
}

/// A pair of pseudo-terminals: the agent's end, and the program's end.
pub(crate) fn terminals() -> Result<(OwnedFd, OwnedFd), Errno> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let ours = rustix::fs::open(c"/dev/ptmx", flags, Mode::empty())
        .map_err(|error| Errno(error.raw_os_error()))?;
    let unlocked: c_int = 0;
    // SAFETY: the descriptor is open, and the request reads the int.
    checked(unsafe { ioctl(ours.as_raw_fd(), TIOCSPTLCK as c_int, &raw const unlocked) })?;
    let flags = (OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC).bits() as c_int;
    // SAFETY: the descriptor is open, and the request takes flags as a number.
    let theirs = unsafe { ioctl(ours.as_raw_fd(), TIOCGPTPEER as c_int, flags) };
    if theirs < 0 {
        checked(theirs)?;
    }
    // SAFETY: the kernel has just created this descriptor, and nothing else owns it.
    let theirs = unsafe { OwnedFd::from_raw_fd(theirs) };
    let size: [u16; 4] = [24, 80, 0, 0];
    // SAFETY: the descriptor is open, and the request reads a `struct winsize`: four numbers of 16 bits. A failure
    // leaves the size unknown.
    unsafe { ioctl(ours.as_raw_fd(), TIOCSWINSZ as c_int, &raw const size) };
    Ok((ours, theirs))
}

/// Largest number of arguments of a program.
const WORDS: usize = 8;

/// Runs a program to its end. `words` are its arguments, starting with its name, each ended by a
/// NUL; `files` replace standard input, output and error. Returns its exit code, as [`wait`] does.
pub(crate) fn run(
    path: &CStr,
    words: &[u8],
    files: [Option<BorrowedFd<'_>>; 3],
) -> Result<i32, Errno> {
    wait(start(path, words, files, false)?)
}

/// As [`run`], but does not wait: the number of the process. With `group`, it leads a process group of its own, and
/// the signals that the agent ignores end it.
pub(crate) fn start(
    path: &CStr,
    words: &[u8],
    files: [Option<BorrowedFd<'_>>; 3],
    group: bool,
) -> Result<c_int, Errno> {
    // One more stays null and ends the list.
    let mut argv = [core::ptr::null::<c_char>(); WORDS + 1];
    let mut rest = words;
    for place in argv.iter_mut().take(WORDS) {
        let Ok(word) = CStr::from_bytes_until_nul(rest) else { break };
        *place = word.as_ptr();
        rest = rest.get(word.count_bytes().saturating_add(1)..).unwrap_or_default();
    }
    let pid = aside(&mut || {
        if group {
            // SAFETY: takes numbers; 0 is this process, and the default handling of SIGHUP and SIGPIPE.
            unsafe { setpgid(0, 0) };
            for number in [1, 13] {
                // SAFETY: as above.
                unsafe { signal(number, 0) };
            }
        }
        for (file, to) in files.iter().zip(0..) {
            if let Some(file) = file {
                // SAFETY: `file` is open for the length of the call.
                unsafe { dup2(file.as_raw_fd(), to) };
            }
        }
        // SAFETY: `path` and all of `argv` up to its null point to strings that end in NUL and
        // outlive the call; the C library keeps `environ` in the same form, and this program does
        // not change it. The call returns only on an error, and then this copy of the process ends
        // immediately.
        unsafe { execve(path.as_ptr(), argv.as_ptr(), environ) };
    })?;
    if group {
        // The process may not have come to it yet, and `reap_group` needs the group. Once it runs the program, it has.
        // SAFETY: takes numbers.
        unsafe { setpgid(pid, pid) };
    }
    Ok(pid)
}

/// The exit code of a copy of this process that could not become another program.
const NOT_STARTED: c_int = 127;

/// musl's `struct timespec`. On 32-bit machines its nanoseconds are a `long` with padding that
/// makes them the low half of this field.
#[repr(C)]
#[derive(Default)]
struct Time {
    seconds: i64,
    nanos: i64,
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
