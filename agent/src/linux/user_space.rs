//! The sockets of WireGuard programs in user space, in one folder under the names of their interfaces. Not here: the
//! protocol on these sockets (the library).

use core::fmt::Write;
use core::time::Duration;

use postwired::system::Disk;
use proto_core::netlink::Errno;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with,
    sockopt,
};

use crate::linux::machine::{Dir, Path, again, errno};

/// Lists the names of all sockets, including stale ones.
pub(crate) fn each(take: &mut dyn FnMut(&str)) -> Result<(), Errno> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = match again(|| rustix::fs::open(c"/var/run/wireguard", flags, Mode::empty())) {
        Err(Errno::ENOENT) => return Ok(()),
        other => other?,
    };
    Dir(folder).each_name(&mut |file| {
        if let Ok(file) = file.to_str()
            && let Some(name) = file.strip_suffix(".sock")
        {
            take(name);
        }
    })
}

/// Connects to the socket of an interface.
pub(crate) fn find(name: &str) -> Result<Option<OwnedFd>, Errno> {
    let mut path: heapless::String<64> = heapless::String::new();
    // The name of an interface always fits.
    let _ = write!(path, "/var/run/wireguard/{name}.sock");
    let path = Path::new(&path)?;
    let path = path.as_c();
    let stat = rustix::fs::statat(CWD, path, AtFlags::empty());
    if !stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_socket()) {
        return Ok(None);
    }
    let flags = SocketFlags::CLOEXEC;
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(errno)?;
    // The program may set thousands of peers before it answers.
    let patience = Some(Duration::from_secs(120));
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, patience).map_err(errno)?;
    match SocketAddrUnix::new(path).and_then(|to| connect(&socket, &to)) {
        Ok(()) => Ok(Some(socket)),
        Err(io::Errno::CONNREFUSED) => {
            // A stale socket of a program that has ended.
            let _ = rustix::fs::unlinkat(CWD, path, AtFlags::empty());
            Ok(None)
        }
        Err(error) => Err(errno(error)),
    }
}

/// Writes all of `bytes`. If the program has ended, this is an error and not a signal.
pub(crate) fn tell(socket: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let sent = again(|| send(socket, rest, SendFlags::NOSIGNAL))?;
        rest = rest.get(sent..).unwrap_or_default();
    }
    Ok(())
}
