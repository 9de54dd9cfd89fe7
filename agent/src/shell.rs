//! What `wg` asks of its process, by system calls and the C library's resolver.

use core::ffi::CStr;
use core::net::SocketAddr;

use postwired::kernel::Protocol;
use postwired::system::{File, Machine};
use postwired::wg::process::{Output, Process, Unresolved};
use proto_core::conf::Host;
use proto_core::netlink::wireguard::read_endpoint;
use proto_core::netlink::{Errno, IfName};
use rustix::event::{Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, MemfdFlags, Mode, OFlags};
use rustix::io;
use rustix::net::{AddressFamily, SocketType, netdevice};

use crate::linux::{Linux, Netlink, Scratch, again, errno};
use crate::log::Stream;
use crate::sys;

/// This process.
pub(crate) struct Shell;

/// A file in memory that is made when something is written to it.
pub(crate) struct Late(Option<Scratch>);

impl File for Late {
    fn read_some(&mut self, offset: u32, buf: &mut [u8]) -> Result<usize, Errno> {
        self.0.as_mut().map_or(Ok(0), |file| file.read_some(offset, buf))
    }

    fn write_some(&mut self, offset: u32, bytes: &[u8]) -> Result<usize, Errno> {
        if self.0.is_none() {
            let file = rustix::fs::memfd_create(c"wg", MemfdFlags::CLOEXEC).map_err(errno)?;
            self.0 = Some(Scratch(file));
        }
        self.0.as_mut().map_or(Ok(0), |file| file.write_some(offset, bytes))
    }

    fn clear(&mut self) -> Result<(), Errno> {
        self.0.as_mut().map_or(Ok(()), File::clear)
    }
}

/// Text as the C library takes it.
struct CText([u8; 4096]);

impl CText {
    /// Nothing if it is too long.
    fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; 4096];
        // The last zero stays.
        let (_, room) = bytes.split_last_mut()?;
        room.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self(bytes))
    }

    fn as_c(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

impl Process for Shell {
    type Netlink = Netlink;
    type File = Late;
    /// Nothing is standard input.
    type Input = Option<OwnedFd>;

    fn netlink(&self, protocol: Protocol) -> Result<Netlink, Errno> {
        match protocol {
            Protocol::Route => Netlink::route(),
            Protocol::Generic => Netlink::generic(),
        }
    }

    fn scratch(&self) -> Late {
        Late(None)
    }

    fn variable(&self, name: &CStr) -> Option<&str> {
        sys::variable(name)?.to_str().ok()
    }

    fn open(&self, path: Option<&str>) -> Result<Option<OwnedFd>, Errno> {
        let Some(path) = path else { return Ok(None) };
        let path = CText::new(path).ok_or(Errno::ENAMETOOLONG)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        again(|| rustix::fs::open(path.as_c(), flags, Mode::empty())).map(Some)
    }

    fn read(&self, input: &mut Option<OwnedFd>, buf: &mut [u8]) -> Result<usize, Errno> {
        let fd = input.as_ref().map_or(sys::stdin(), AsFd::as_fd);
        again(|| io::read(fd, &mut *buf))
    }

    fn write(&self, output: Output, bytes: &[u8]) -> Result<(), Errno> {
        let fd = match output {
            Output::Out => sys::stdout(),
            Output::Err => sys::stderr(),
        };
        Stream(fd).bytes(bytes)
    }

    fn is_terminal(&self) -> bool {
        sys::is_terminal(sys::stdout())
    }

    fn is_exposed(&self) -> bool {
        rustix::fs::fstat(sys::stdout()).is_ok_and(|stat| {
            FileType::from_raw_mode(stat.st_mode).is_file() && stat.st_mode & 0o7 != 0
        })
    }

    fn random(&self, buf: &mut [u8]) -> Result<(), Errno> {
        Linux.random(buf)
    }

    fn unix_time(&self) -> u64 {
        Linux.unix_time()
    }

    fn interface_name(&self, index: u32) -> Option<IfName> {
        let any = rustix::net::socket(AddressFamily::INET6, SocketType::DGRAM, None).ok()?;
        let name = netdevice::index_to_name_inlined(any, index).ok()?;
        core::str::from_utf8(name.as_bytes()).ok()?.parse().ok()
    }

    fn resolve(&self, host: &Host<'_>) -> Result<SocketAddr, Unresolved> {
        let mut sockaddr = [0; 28];
        let error = match CText::new(host.name) {
            Some(name) => match sys::resolve(name.as_c(), &mut sockaddr) {
                Ok(len) => match read_endpoint(sockaddr.get(..len).unwrap_or_default()) {
                    Some(mut address) => {
                        address.set_port(host.port);
                        return Ok(address);
                    }
                    None => 0,
                },
                Err(error) => error,
            },
            None => NO_NAME,
        };
        // EAI_NONAME, EAI_NODATA and EAI_FAIL stay what they are, however often one asks.
        let (permanent, words) = match error {
            NO_NAME | -5 => (true, "no such host"),
            -4 => (true, "the name server failed"),
            -3 => (false, "the name server does not answer"),
            0 => (true, "neither an IPv4 nor an IPv6 address"),
            _ => (false, "the resolver failed"),
        };
        Err(Unresolved { permanent, words })
    }

    fn sleep(&self, millis: u32) {
        let tv_nsec = i64::from(millis % 1_000).saturating_mul(1_000_000);
        let time = Timespec { tv_sec: i64::from(millis / 1_000), tv_nsec: tv_nsec as _ };
        let _ = poll(&mut [], Some(&time));
    }
}

/// `EAI_NONAME`.
const NO_NAME: i32 = -2;
