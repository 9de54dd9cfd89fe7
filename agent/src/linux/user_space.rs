//! The sockets of programs with WireGuard in them, which lie in one folder under the names of their
//! interfaces. What is said through them is the library's.

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

/// Tells the names of all that are there, also of those that nobody listens on any more.
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

/// Connects to the one of that name.
pub(crate) fn find(name: &str) -> Result<Option<OwnedFd>, Errno> {
    let mut path: heapless::String<64> = heapless::String::new();
    // It fits: the name of an interface is short.
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
    // Before it answers it may set thousands of peers.
    let patience = Some(Duration::from_secs(120));
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, patience).map_err(errno)?;
    match SocketAddrUnix::new(path).and_then(|to| connect(&socket, &to)) {
        Ok(()) => Ok(Some(socket)),
        Err(io::Errno::CONNREFUSED) => {
            // What is left of a program that is gone.
            let _ = rustix::fs::unlinkat(CWD, path, AtFlags::empty());
            Ok(None)
        }
        Err(error) => Err(errno(error)),
    }
}

/// Writes all of `bytes`. A program that is gone is an error, and no signal.
pub(crate) fn tell(socket: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let sent = again(|| send(socket, rest, SendFlags::NOSIGNAL))?;
        rest = rest.get(sent..).unwrap_or_default();
    }
    Ok(())
}
