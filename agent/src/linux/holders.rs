//! Other programs that have the serial port open: each takes bytes that are meant for the agent. OpenWrt's askfirst
//! takes all of them.

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

/// The first program beside this one that has a character device open, or as its terminal.
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
        let terminal = fields.split_ascii_whitespace().nth(4).and_then(number).unwrap_or(0);
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

/// Logs which program takes the port's bytes, and what to do about it.
#[inline(never)]
pub(crate) fn complain(port: &SerialPort<'_>) {
    let Some(Holder { pid, name }) = holder(port.device) else { return };
    let device = port.device;
    let advice = match name.as_str() {
        "askfirst" | "login" | "ash" | "getty" => {
            "the router's console: `postwired console take` gives the port to the agent"
        }
        _ => "end that program",
    };
    log(format_args!(
        "{device} is also open in {name} (process {pid}), which takes bytes that are sent to the agent; {advice}"
    ));
}
