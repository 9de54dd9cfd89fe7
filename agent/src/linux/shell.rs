//! The process functions that `wg` and `wg-quick` need, by system calls.

use core::ffi::CStr;
use core::fmt::Write;
use core::net::{Ipv4Addr, SocketAddr};

use postwired::kernel::exchange::Protocol;
use postwired::names::files;
use postwired::names::lookup::NoAddress;
use postwired::quick::process::{NO_PROGRAM, Next, QuickProcess};
use postwired::system::{File, Machine};
use postwired::wg::process::{Output, Process, Unresolved};
use proto_core::conf::Host;
use proto_core::netlink::{Errno, IfName};
use proto_core::text::{split, split_last};
use rustix::event::poll;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Access, AtFlags, CWD, FileType, MemfdFlags, Mode, OFlags};
use rustix::io;
use rustix::net::{AddressFamily, SocketType, netdevice};
use rustix::rand::GetRandomFlags;

use crate::linux::log::Stream;
use crate::linux::machine::{Linux, Netlink, Path, Scratch, again, errno, random, timespec};
use crate::linux::resolver::{self, Local};
use crate::linux::sys;
use crate::linux::user_space;

/// This process.
pub(crate) struct Shell;

/// A file in memory that is created at the first write.
pub(crate) struct Late(Option<Scratch>);

impl Late {
    /// The file, created if it does not exist yet.
    fn made(&mut self) -> Result<&mut Scratch, Errno> {
        if self.0.is_none() {
            let file = rustix::fs::memfd_create(c"wg", MemfdFlags::CLOEXEC).map_err(errno)?;
            self.0 = Some(Scratch(file));
        }
        self.0.as_mut().ok_or(Errno::EBADF)
    }
}

impl File for Late {
    fn read_some(&mut self, offset: u32, buf: &mut [u8]) -> Result<usize, Errno> {
        self.0.as_mut().map_or(Ok(0), |file| file.read_some(offset, buf))
    }

    fn write_some(&mut self, offset: u32, bytes: &[u8]) -> Result<usize, Errno> {
        self.made()?.write_some(offset, bytes)
    }

    fn clear(&mut self) -> Result<(), Errno> {
        self.0.as_mut().map_or(Ok(()), File::clear)
    }
}

impl Process for Shell {
    type Netlink = Netlink;
    type File = Late;
    /// `None` is the process's own standard input.
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
        let path = Path::long(path)?;
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
        // A key is worth waiting for.
        random(buf, GetRandomFlags::empty())
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
        let refused = |permanent, words| Err(Unresolved { permanent, words });
        let port = match host.service {
            "" => Some(host.port),
            service => files::service(&Local, service),
        };
        let Some(port) = port else {
            return refused(true, "no such port: neither a number nor a service");
        };
        if host.name.is_empty() {
            return Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
        }
        match resolver::resolve(host.name) {
            Ok(mut address) => {
                address.set_port(port);
                Ok(address)
            }
            Err(None) => refused(true, "a signal came"),
            Err(Some(NoAddress::Denied)) => refused(true, "no such host"),
            Err(Some(NoAddress::Silent)) => refused(false, "the name server does not answer"),
            Err(Some(NoAddress::Failed)) => refused(false, "the name server failed"),
        }
    }

    fn programs(&self, take: &mut dyn FnMut(&str)) -> Result<(), Errno> {
        user_space::each(take)
    }

    fn program(&self, name: &str) -> Result<Option<Self::Input>, Errno> {
        Ok(user_space::find(name)?.map(Some))
    }

    fn tell(&self, program: &mut Self::Input, bytes: &[u8]) -> Result<(), Errno> {
        program.as_ref().map_or(Ok(()), |socket| user_space::tell(socket, bytes))
    }

    fn sleep(&self, millis: u32) {
        let _ = poll(&mut [], Some(&timespec(millis.into())));
    }
}

/// The path for programs if the environment has none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Finds a program in the path.
fn find(program: &str) -> Option<Path<4096>> {
    if program.contains('/') {
        return Path::long(program).ok();
    }
    let mut rest = Shell.variable(c"PATH").unwrap_or(PATH);
    loop {
        let (folder, more) = split(rest, b':').map_or((rest, None), |(a, b)| (a, Some(b)));
        let mut path: heapless::String<1024> = heapless::String::new();
        if write!(path.as_mut_view(), "{folder}/{program}").is_ok()
            && let Ok(path) = Path::long(&path)
            && rustix::fs::access(path.as_c(), Access::EXEC_OK).is_ok()
        {
            return Some(path);
        }
        rest = more?;
    }
}

/// Writes a new file at this path, readable only for its owner.
fn write_new(path: &CStr, next: &mut Next<'_>) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let mut file = Scratch(again(|| rustix::fs::open(path, flags, mode))?);
    let mut piece = [0; 4096];
    let mut at = 0_u32;
    loop {
        let got = next(&mut piece)?;
        if got == 0 {
            return again(|| rustix::fs::fsync(&file.0));
        }
        file.write_at(at, piece.get(..got).unwrap_or_default())?;
        at = at.saturating_add(got as u32);
    }
}

impl QuickProcess for Shell {
    fn is_root(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    fn real_path<'b>(&self, path: &str, buf: &'b mut [u8]) -> Result<&'b str, Errno> {
        let path = Path::long(path)?;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = again(|| rustix::fs::open(path.as_c(), flags, Mode::empty()))?;
        let mut link: heapless::String<32> = heapless::String::new();
        // Fits: a number after a short path.
        let _ =
            write!(link.as_mut_view(), "/proc/self/fd/{}", rustix::fd::AsRawFd::as_raw_fd(&file));
        let link = Path::new(&link)?;
        let len = rustix::fs::readlinkat_raw(CWD, link.as_c(), &mut *buf).map_err(errno)?;
        core::str::from_utf8(buf.get(..len).unwrap_or_default()).map_err(|_| Errno::EINVAL)
    }

    fn mode(&self, path: &str) -> Result<u32, Errno> {
        let path = Path::long(path)?;
        let stat = rustix::fs::statat(CWD, path.as_c(), AtFlags::empty()).map_err(errno)?;
        Ok(Mode::from_raw_mode(stat.st_mode).bits())
    }

    fn has(&self, program: &str) -> bool {
        find(program).is_some()
    }

    fn run(
        &self,
        program: &str,
        words: &[u8],
        input: Option<&mut Late>,
        output: Option<&mut Late>,
    ) -> Result<i32, Errno> {
        let Some(path) = find(program) else { return Ok(NO_PROGRAM) };
        // Discard the output of programs whose output is captured elsewhere.
        let silent = match output {
            Some(_) => Some(again(|| {
                rustix::fs::open(c"/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            })?),
            None => None,
        };
        let input = input.map(Late::made).transpose()?;
        let output = output.map(Late::made).transpose()?;
        let files = [
            input.as_ref().map(|file| file.0.as_fd()),
            output.as_ref().map(|file| file.0.as_fd()),
            silent.as_ref().map(AsFd::as_fd),
        ];
        sys::run(path.as_c(), words, files)
    }

    fn replace(&self, path: &str, next: &mut Next<'_>) -> Result<(), Errno> {
        let mut new: heapless::String<4096> = heapless::String::new();
        write!(new.as_mut_view(), "{path}.tmp").map_err(|_| Errno::ENAMETOOLONG)?;
        let new = Path::long(&new)?;
        let old = Path::long(path)?;
        // A file left over from before may be readable for everyone.
        let _ = rustix::fs::unlinkat(CWD, new.as_c(), AtFlags::empty());
        let written = write_new(new.as_c(), next)
            .and_then(|()| rustix::fs::renameat(CWD, new.as_c(), CWD, old.as_c()).map_err(errno));
        if written.is_err() {
            let _ = rustix::fs::unlinkat(CWD, new.as_c(), AtFlags::empty());
            return written;
        }
        let (folder, _) = split_last(path, b'/').unwrap_or((".", path));
        let folder = Path::long(if folder.is_empty() { "/" } else { folder })?;
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = again(|| rustix::fs::open(folder.as_c(), flags, Mode::empty()))?;
        again(|| rustix::fs::fsync(&folder))
    }

    fn hold_signals(&self) {
        sys::hold_signals();
    }

    fn held_signal(&self) -> i32 {
        sys::held_signal()
    }

    fn src_valid_mark(&self) -> bool {
        crate::linux::machine::src_valid_mark()
    }

    fn set_src_valid_mark(&self) -> Result<(), Errno> {
        Machine::set_src_valid_mark(&Linux)
    }
}
