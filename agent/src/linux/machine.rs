//! The machine, by system calls: netlink sockets, files, clock, identity.

use core::ffi::CStr;
use core::fmt;
use core::mem::MaybeUninit;
use core::time::Duration;

use heapless::String;
use postwired::requests::service::OwnFiles;
use postwired::store::{keep, netifd};
use postwired::system::{Datagram, Disk, File, Files, Folder, Machine, NetlinkSocket, System};
use proto_core::netlink::Errno;
use proto_core::netlink::route::notification;
use proto_core::protocol::digest;
use proto_core::protocol::message::{Status, cut};
use proto_core::text::{number, split, split_last};
use rustix::event::{Timespec, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RawDir, SeekFrom, readlinkat_raw};
use rustix::io;
use rustix::net::netlink::{GENERIC, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, getsockname,
    recvfrom, send, socket_with, sockopt,
};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::linux::log;
use crate::linux::resolver::Local;
use crate::linux::sys::{Clock, NetlinkOption, netlink_option};

pub(crate) fn errno(error: io::Errno) -> Errno {
    Errno(error.raw_os_error())
}

/// Converts a time in milliseconds for system calls.
pub(crate) fn timespec(millis: u64) -> Timespec {
    let (seconds, millis) = (millis.div_euclid(1_000), millis.rem_euclid(1_000));
    Timespec {
        tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX),
        // The width of the field depends on the machine.
        tv_nsec: millis.saturating_mul(1_000_000).try_into().unwrap_or(0),
    }
}

/// Repeats a call that a signal interrupted.
pub(crate) fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(io::Errno::INTR) => {}
            other => return other.map_err(errno),
        }
    }
}

/// A netlink socket.
#[derive(Debug)]
pub(crate) struct Netlink {
    fd: OwnedFd,
    port: u32,
    protocol: Option<Protocol>,
}

impl Netlink {
    fn open(protocol: Option<Protocol>) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC;
        let fd =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol).map_err(errno)?;
        bind(&fd, &SocketAddrNetlink::new(0, 0)).map_err(errno)?;
        let own = getsockname(&fd).and_then(SocketAddrNetlink::try_from).map_err(errno)?;
        // The kernel answers at once. If it does not, the agent reports that before the client gives up (10 s).
        let patience = Some(Duration::from_secs(5));
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, patience).map_err(errno)?;
        // Best effort: kernels before 4.12 lack the error texts, and kernels before 4.20 lack the filters.
        let _ = netlink_option(fd.as_fd(), NetlinkOption::ExtAck);
        let _ = netlink_option(fd.as_fd(), NetlinkOption::CapAck);
        // Lists of links, addresses, routes and rules are filtered as requested.
        if protocol.is_none() {
            let _ = netlink_option(fd.as_fd(), NetlinkOption::GetStrictChk);
        }
        Ok(Self { fd, port: own.pid(), protocol })
    }

    /// A socket for links, addresses, routes and rules.
    pub(crate) fn route() -> Result<Self, Errno> {
        Self::open(None)
    }

    /// A socket for WireGuard.
    pub(crate) fn generic() -> Result<Self, Errno> {
        Self::open(Some(GENERIC))
    }
}

/// A socket that hears of changes of links, addresses, routes and rules, by any program.
pub(crate) fn network_changes() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&fd, &SocketAddrNetlink::new(0, notification::GROUPS))?;
    Ok(fd)
}

/// Takes the notifications that are there: the bytes of a datagram, its full length, and its sender. No bytes and a
/// greater length if some were lost.
pub(crate) fn notifications(fd: BorrowedFd<'_>, take: &mut dyn FnMut(&[u8], usize, u32)) {
    let mut buf = [0; 4 * 1024];
    // A storm of them must not keep the loop here.
    for _ in 0..64 {
        match rustix::net::recvfrom(fd, &mut buf, RecvFlags::TRUNC) {
            Ok((len, full_len, sender)) => {
                let sender = sender.and_then(|addr| SocketAddrNetlink::try_from(addr).ok());
                let sender = sender.map_or(u32::MAX, |addr| addr.pid());
                take(buf.get(..len).unwrap_or_default(), full_len, sender);
            }
            Err(io::Errno::INTR) => {}
            // There was no room for some of them; those behind it are there.
            Err(io::Errno::NOBUFS) => take(&[], 1, 0),
            Err(_) => return,
        }
    }
}

impl NetlinkSocket for Netlink {
    fn port(&self) -> u32 {
        self.port
    }

    fn send(&mut self, datagram: &[u8]) -> Result<(), Errno> {
        again(|| send(&self.fd, datagram, SendFlags::empty())).map(|_| ())
    }

    fn receive(&mut self, buf: &mut [u8]) -> Result<Datagram, Errno> {
        let (len, full_len, sender) = again(|| recvfrom(&self.fd, &mut *buf, RecvFlags::TRUNC))?;
        let sender = sender.and_then(|addr| SocketAddrNetlink::try_from(addr).ok());
        // A datagram whose sender is not netlink cannot come from the kernel.
        Ok(Datagram { len, full_len, sender: sender.map_or(u32::MAX, |addr| addr.pid()) })
    }

    fn reopen(&mut self) -> Result<(), Errno> {
        *self = Self::open(self.protocol)?;
        Ok(())
    }

    fn pause(&self, millis: u32) {
        let _ = poll(&mut [], Some(&timespec(millis.into())));
    }
}

/// An unlinked file, which disappears with the agent.
#[derive(Debug)]
pub(crate) struct Scratch(pub(crate) OwnedFd);

impl File for Scratch {
    fn read_some(&mut self, offset: u32, buf: &mut [u8]) -> Result<usize, Errno> {
        again(|| io::pread(&self.0, &mut *buf, offset.into()))
    }

    fn write_some(&mut self, offset: u32, bytes: &[u8]) -> Result<usize, Errno> {
        again(|| io::pwrite(&self.0, bytes, offset.into()))
    }

    fn clear(&mut self) -> Result<(), Errno> {
        again(|| rustix::fs::ftruncate(&self.0, 0))
    }
}

/// The files of the service.
pub(crate) type Own = OwnFiles<Scratch>;

/// The name of a serial port in `/dev`. The port may be given as a link, such as those of udev.
pub(crate) fn port_name<'n>(port: &'n str, link: &'n mut [MaybeUninit<u8>; 256]) -> &'n str {
    let path = Path::new(port).ok();
    let target = path.and_then(|path| readlinkat_raw(CWD, path.as_c(), link).ok());
    let port = target.and_then(|(target, _)| core::str::from_utf8(target).ok()).unwrap_or(port);
    split_last(port, b'/').map_or(port, |(_, name)| name)
}

/// A path or a word that ends in NUL, for system calls.
pub(crate) struct Path<const N: usize = 256>([u8; N]);

impl Path {
    /// `ENAMETOOLONG` for more than 255 bytes, which no path on the command line has.
    pub(crate) fn new(text: &str) -> Result<Self, Errno> {
        Self::of(text)
    }
}

impl Path<4096> {
    /// A path of any length that Linux accepts.
    pub(crate) fn long(text: &str) -> Result<Self, Errno> {
        Self::of(text)
    }
}

impl<const N: usize> Path<N> {
    fn of(text: &str) -> Result<Self, Errno> {
        let mut bytes = [0; N];
        // The last zero stays.
        let room = bytes.get_mut(..text.len()).filter(|room| room.len() < N);
        room.ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(text.as_bytes());
        Ok(Self(bytes))
    }

    pub(crate) fn as_c(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

/// The most names that a folder of our own may have.
const MAX_NAMES: u32 = 20_000;

/// A folder of our own, with mode 0700.
#[derive(Debug)]
pub(crate) struct Dir(pub(crate) OwnedFd);

impl Dir {
    /// Opens a folder, and creates it if it is missing.
    pub(crate) fn open(path: &str) -> Result<Self, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |path: &CStr| rustix::fs::open(path, flags, Mode::empty()).map_err(errno);
        let dir = Path::new(path)?;
        match rustix::fs::mkdir(dir.as_c(), Mode::RWXU) {
            // Sync the parent: after a power cut, a folder that is not on the disk would be lost with its files.
            Ok(()) => {
                let (parent, _) = split_last(path.trim_end_matches('/'), b'/').unwrap_or_default();
                let parent = if parent.is_empty() { "/" } else { parent };
                let parent = open(Path::new(parent)?.as_c())?;
                again(|| rustix::fs::fsync(&parent))?;
            }
            Err(io::Errno::EXIST) => {}
            Err(error) => return Err(errno(error)),
        }
        open(dir.as_c()).map(Self)
    }

    /// Whether both are the same folder, whatever their paths.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let place = |dir: &Self| rustix::fs::fstat(&dir.0).map(|stat| (stat.st_dev, stat.st_ino));
        place(self).is_ok_and(|place_of| place(other) == Ok(place_of))
    }

    /// Locks the folder for the life of this process. Fails with `EAGAIN` if another process holds the lock.
    pub(crate) fn own(&self) -> Result<(), Errno> {
        again(|| rustix::fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive))
    }

    /// Whether the previous agent was killed while the machine stayed up. From now on this agent counts as killed,
    /// until [`Dir::end_well`].
    pub(crate) fn last_ended_without_a_word(&mut self) -> bool {
        let boot = Linux.boot_id();
        let mut before = [0; 16];
        let read = self.read(c"running", &mut before);
        // Best effort: without the file, a kill is not detected.
        let _ = self.replace(c"running", &boot);
        read == Ok(boot.len()) && before == boot
    }

    /// Records that the agent ended on request.
    pub(crate) fn end_well(&mut self) {
        let _ = self.unlink(c"running");
    }

    /// Creates a file in this folder that ends with the agent.
    #[cfg(feature = "console")]
    pub(crate) fn temporary(&self, name: &CStr) -> Result<Scratch, Errno> {
        scratch(self.0.as_fd(), name)
    }

    /// Creates the agent's scratch files in this folder, and the files of the service.
    pub(crate) fn scratch(&self) -> Result<(Files<Scratch>, Own), Errno> {
        let dir = self.0.as_fd();
        let files = Files {
            index: scratch(dir, c"index")?,
            extras: scratch(dir, c"extras")?,
            report: scratch(dir, c"report")?,
        };
        let mut reports = heapless::Vec::new();
        while !reports.is_full() {
            let _ = reports.push(scratch(dir, c"report")?);
        }
        let console = [scratch(dir, c"output")?, scratch(dir, c"paste")?];
        Ok((files, (scratch(dir, c"stage")?, scratch(dir, c"hosts")?, reports, console)))
    }
}

impl Disk for Dir {
    type File = Scratch;

    fn open(&mut self, name: &CStr) -> Result<Scratch, Errno> {
        // O_NONBLOCK: opening a pipe of that name would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::openat(&self.0, name, flags, Mode::empty()).map(Scratch).map_err(errno)
    }

    fn create(&mut self, name: &CStr) -> Result<Scratch, Errno> {
        create(self.0.as_fd(), name)
    }

    fn sync(&mut self, file: &mut Scratch) -> Result<(), Errno> {
        again(|| rustix::fs::fsync(&file.0))
    }

    fn rename(&mut self, from: &CStr, to: &CStr) -> Result<(), Errno> {
        rustix::fs::renameat(&self.0, from, &self.0, to).map_err(errno)
    }

    fn unlink(&mut self, name: &CStr) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.0, name, AtFlags::empty()).map_err(errno)
    }

    fn sync_names(&mut self) -> Result<(), Errno> {
        again(|| rustix::fs::fsync(&self.0))
    }

    fn each_name(&mut self, take: &mut dyn FnMut(&CStr)) -> Result<(), Errno> {
        let mut buf = [MaybeUninit::uninit(); 1024];
        rustix::fs::seek(&self.0, SeekFrom::Start(0)).map_err(errno)?;
        let mut names = RawDir::new(&self.0, &mut buf);
        // The limit ends the loop even if the folder grows while it is read.
        for _ in 0..MAX_NAMES {
            let Some(entry) = names.next() else { return Ok(()) };
            take(entry.map_err(errno)?.file_name());
        }
        Err(Errno::EOVERFLOW)
    }
}

impl Folder for Dir {
    fn read(&mut self, name: &CStr, buf: &mut [u8]) -> Result<usize, Errno> {
        self.open(name)?.read_at(0, buf)
    }

    fn replace(&mut self, name: &CStr, bytes: &[u8]) -> Result<(), Errno> {
        keep::replace(self, name, bytes)
    }

    #[allow(clippy::unnecessary_cast, reason = "the fields have other widths on other machines")]
    fn version(&mut self, name: &CStr) -> Result<u64, Errno> {
        match rustix::fs::statat(&self.0, name, AtFlags::empty()) {
            Ok(stat) => {
                let time = (stat.st_ctime as u64).wrapping_mul(1_000_000_000);
                let time = time.wrapping_add(stat.st_ctime_nsec as u64);
                // A file of the same number and time would still have to be as long.
                let file = (stat.st_ino as u64).rotate_left(40) ^ stat.st_size as u64;
                Ok((time ^ file).max(1))
            }
            Err(io::Errno::NOENT) => Ok(0),
            Err(error) => Err(errno(error)),
        }
    }

    fn lock(&mut self) -> Result<(), Errno> {
        again(|| rustix::fs::flock(&self.0, FlockOperation::LockExclusive))
    }

    fn unlock(&mut self) {
        // Unlocking a held lock cannot fail.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// Creates a file that only root can read. What has the name is removed first: a file that a crash or a backup left
/// would keep its permissions, a link would lead to another file, and a pipe takes no file.
#[inline(never)]
fn create(dir: BorrowedFd<'_>, name: &CStr) -> Result<Scratch, Errno> {
    if rustix::fs::unlinkat(dir, name, AtFlags::empty()) == Err(io::Errno::ISDIR) {
        rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR).map_err(errno)?;
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR).map(Scratch).map_err(errno)
}

/// Creates a file that ends with the agent.
fn scratch(dir: BorrowedFd<'_>, name: &CStr) -> Result<Scratch, Errno> {
    let file = create(dir, name)?;
    rustix::fs::unlinkat(dir, name, AtFlags::empty()).map_err(errno)?;
    Ok(file)
}

/// Fills `buf` with random bytes. Waits for the kernel to have some, unless `flags` say otherwise.
pub(crate) fn random(buf: &mut [u8], flags: GetRandomFlags) -> Result<(), Errno> {
    let mut filled = 0_usize;
    while filled < buf.len() {
        let room = buf.get_mut(filled..).unwrap_or_default();
        filled = filled.saturating_add(again(|| getrandom(&mut *room, flags))?);
    }
    Ok(())
}

/// This machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linux;

impl System for Linux {
    type Netlink = Netlink;
    type File = Scratch;
    type Disk = Dir;
    type Machine = Self;
}

impl Machine for Linux {
    fn now(&self) -> u64 {
        let (seconds, nanos) = Clock::Monotonic.read();
        seconds.saturating_mul(1000).saturating_add(nanos.div_euclid(1_000_000))
    }

    fn unix_time(&self) -> u64 {
        Clock::Realtime.read().0
    }

    fn random(&self, buf: &mut [u8]) -> Result<(), Errno> {
        // Early after power on, the kernel may have no random numbers yet. Do not wait: the caller retries, and
        // reports the error.
        random(buf, GetRandomFlags::NONBLOCK)
    }

    fn identify(&self, status: &mut Status) {
        let uname = rustix::system::uname();
        status.hostname = cut(uname.nodename().to_str().unwrap_or_default());
        status.kernel = cut(uname.release().to_str().unwrap_or_default());
        status.machine = cut(uname.machine().to_str().unwrap_or_default());
        status.board = cut(&board_name());
        status.serial_number = cut(&first_text(&SERIAL_NUMBER));
        status.peak_memory = peak_memory();
    }

    fn boot_id(&self) -> [u8; 16] {
        let mut text = [0; 64];
        let text = read_file(c"/proc/sys/kernel/random/boot_id", &mut text);
        // The text of a UUID has 36 characters; 16 bytes of its digest identify the boot.
        digest(text.as_bytes()).first_chunk().copied().unwrap_or_default()
    }

    fn is_managed(&self, interface: &str) -> bool {
        netifd::manages(&Local, interface)
    }

    fn set_src_valid_mark(&self) -> Result<(), Errno> {
        if src_valid_mark() {
            return Ok(());
        }
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(SRC_VALID_MARK, flags, Mode::empty()).map_err(errno)?;
        again(|| io::write(&fd, b"1")).map(|_| ())
    }

    fn host_name(&self) -> String<32> {
        cut(rustix::system::uname().nodename().to_str().unwrap_or_default())
    }

    fn each_log_line(&self, take: &mut dyn FnMut(&str)) {
        log::each_line(take);
    }

    fn log(&self, line: fmt::Arguments<'_>) {
        log::log(line);
    }

    fn info(&self, line: fmt::Arguments<'_>) {
        log::info(line);
    }
}

const SRC_VALID_MARK: &CStr = c"/proc/sys/net/ipv4/conf/all/src_valid_mark";

/// Whether the reverse path filter sees packet marks.
pub(crate) fn src_valid_mark() -> bool {
    read_file(SRC_VALID_MARK, &mut [0; 4]).starts_with('1')
}

/// Reads the beginning of a small file.
pub(crate) fn read_file<'b>(path: &CStr, buf: &'b mut [u8]) -> &'b str {
    let read = || {
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut filled = 0_usize;
        loop {
            let room = buf.get_mut(filled..).unwrap_or_default();
            match io::read(&fd, &mut *room)? {
                0 => return Ok::<usize, io::Errno>(filled),
                got => filled = filled.saturating_add(got),
            }
        }
    };
    let len = { read }().unwrap_or(0);
    core::str::from_utf8(buf.get(..len).unwrap_or_default()).unwrap_or_default()
}

/// Reads a short secret from a file, without the white space around it.
pub(crate) fn read_secret<'b>(path: &str, buf: &'b mut [u8]) -> Result<&'b str, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(Path::new(path)?.as_c(), flags, Mode::empty()).map_err(errno)?;
    let len = Scratch(fd).read_at(0, buf)?;
    let text = core::str::from_utf8(buf.get(..len).unwrap_or_default());
    text.map(str::trim_ascii).map_err(|_| Errno::EINVAL)
}

/// Opens standard input, output and error if the process was started without them: otherwise one of
/// the agent's files would get such a number, and output would be written into it. Writing to them
/// fails as before.
pub(crate) fn open_standard_streams() {
    loop {
        // A new descriptor has the lowest number that is free.
        match rustix::fs::open(c"/dev/null", OFlags::RDONLY, Mode::empty()) {
            Ok(fd) if fd.as_raw_fd() <= 2 => {
                let _ = fd.into_raw_fd();
            }
            _ => return,
        }
    }
}

/// Keeps this process's memory out of core dumps, and keeps other processes from reading it.
pub(crate) fn keep_secrets() {
    // Every kernel since 2.4 has this call.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// The board's name from OpenWrt's sysinfo, or from where OpenWrt has it: the first `compatible` of the device tree.
/// An empty string on machines that have neither.
pub(crate) fn board_name() -> String<64> {
    first_text(&[c"/tmp/sysinfo/board_name", c"/proc/device-tree/compatible"])
}

/// Where the kernel has the device's serial number: from the device tree, to which the boot loader adds it, or from DMI.
const SERIAL_NUMBER: [&CStr; 2] =
    [c"/proc/device-tree/serial-number", c"/sys/class/dmi/id/product_serial"];

/// The first text of the first of these files that has one.
#[inline(never)]
fn first_text(paths: &[&CStr]) -> String<64> {
    let mut text = [0; 64];
    for path in paths {
        let name = read_file(path, &mut text).split('\0').next().unwrap_or_default().trim_ascii();
        if !name.is_empty() {
            return cut(name);
        }
    }
    String::new()
}

/// Peak resident memory in KiB; 0 if proc(5) does not report it.
///
/// Kernels before 6.2 update `VmHWM` only every 64 pages, and the agent has fewer. The current
/// resident memory is exact, and the agent never returns memory, so it is the peak too.
fn peak_memory() -> u32 {
    let peak = kilobytes(c"/proc/self/status", "VmHWM:");
    peak.max(kilobytes(c"/proc/self/smaps_rollup", "Rss:"))
}

/// The number after `name` in a file of proc(5), in kB.
fn kilobytes(path: &CStr, name: &str) -> u32 {
    let mut buf = [0; 2048];
    let mut rest = read_file(path, &mut buf);
    while let Some((line, next)) = split(rest, b'\n') {
        if let Some(value) = line.strip_prefix(name) {
            let value = value.strip_suffix(" kB").unwrap_or(value);
            return number(value.trim_ascii()).unwrap_or(0);
        }
        rest = next;
    }
    0
}
