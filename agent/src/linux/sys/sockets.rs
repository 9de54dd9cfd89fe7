//! Sockets: options, packet filters, and datagrams with their control messages.

use core::ffi::{c_int, c_uint};

use postwired::access::filter::Instruction;
use proto_core::netlink::Errno;
use rustix::fd::{AsRawFd, BorrowedFd};

use super::c::{Message, Part, checked, failure, recvmsg, sendmsg, setsockopt};

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
