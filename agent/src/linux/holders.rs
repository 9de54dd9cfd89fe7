//! Other programs that have the serial port open. OpenWrt's askfirst, which waits for a person on the console, takes all
//! bytes that arrive; and the agent's settings of the port would make the console useless to that person.

use core::fmt::Write;

use heapless::String;
use postwired::options::SerialPort;
use postwired::system::Disk;
use proto_core::protocol::message::cut;
use proto_core::text::{number, split, split_last};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, major, minor, statat};
use rustix::process::getpid;

use crate::linux::log::log;
use crate::linux::machine::{Dir, Path, read_file};

/// A program that has a device open.
pub(crate) struct Holder {
    pub(crate) pid: u32,
    /// Its name, at most 15 bytes.
    pub(crate) name: String<16>,
}

/// The first running program beside this one that has a character device open, or as its terminal.
pub(crate) fn holder(device: &str) -> Option<Holder> {
    let device = statat(CWD, Path::new(device).ok()?.as_c(), AtFlags::empty()).ok()?.st_rdev;
    if device == 0 {
        return None;
    }
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = rustix::fs::open(c"/proc", flags, Mode::empty()).ok()?;
    let mut found = None;
    let _ = Dir(proc).each_name(&mut |pid| {
        let Some(pid) = pid.to_str().ok().and_then(number) else { return };
        if found.is_some() || pid.cast_signed() == getpid().as_raw_pid() {
            return;
        }
        let mut path = String::<32>::new();
        let _ = write!(path, "/proc/{pid}/stat");
        let mut buf = [0; 256];
        let Ok(c_path) = Path::new(&path) else { return };
        let stat = read_file(c_path.as_c(), &mut buf);
        // `PID (NAME) STATE PARENT GROUP SESSION TERMINAL ...`, see proc(5).
        let Some((head, fields)) = split_last(stat, b')') else { return };
        let name = split(head, b'(').map_or("", |(_, name)| name);
        let mut fields = fields.split_ascii_whitespace();
        if fields.next() == Some("T") {
            return;
        }
        let terminal = fields.nth(3).and_then(number).unwrap_or(0);
        let (high, low) = (major(device), minor(device));
        let is_terminal = terminal == ((low & 0xff) | (high << 8) | ((low & !0xff) << 12));
        if is_terminal || has_open(pid, device) {
            found = Some(Holder { pid, name: cut(name) });
        }
    });
    found
}

/// Whether a process has a device open.
fn has_open(pid: u32, device: u64) -> bool {
    let mut path = String::<32>::new();
    let _ = write!(path, "/proc/{pid}/fd");
    let Ok(path) = Path::new(&path) else { return false };
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(folder) = rustix::fs::open(path.as_c(), flags, Mode::empty()) else { return false };
    let (mut found, mut folder) = (false, Dir(folder));
    let Ok(files) = rustix::io::dup(&folder.0) else { return false };
    let _ = folder.each_name(&mut |fd| {
        found =
            found || statat(&files, fd, AtFlags::empty()).is_ok_and(|stat| stat.st_rdev == device);
    });
    found
}

/// The program that has the port as the router's console, if there is one. A stopped program does not count: it
/// reads nothing.
pub(crate) fn console(port: &SerialPort<'_>) -> Option<Holder> {
    let names = "askfirst login login.sh ash sh bash getty agetty";
    holder(port.device).filter(|holder| names.split(' ').any(|name| holder.name == name))
}

/// Logs that a program has the port as the router's console, and what to do about it.
#[cold]
pub(crate) fn complain(port: &SerialPort<'_>, Holder { pid, name }: &Holder) {
    log(format_args!(
        "{} is the router's console, where {name} (process {pid}) reads what is typed; the agent leaves it alone. \
         `postwired console take` gives it to the agent",
        port.device
    ));
}
