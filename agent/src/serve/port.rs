//! `postwired console take` and `give`: whether OpenWrt's login or the agent has the serial console.
//!
//! procd reads `/etc/inittab` once, at boot, and keeps `askfirst` on the console, which would take the bytes that are
//! meant for the agent. `take` comments its lines out, with a mark, for the next boot, and stops the one that runs;
//! `give` undoes both. Either may be repeated.

use core::cell::Cell;
use core::ffi::CStr;
use core::fmt::Write;
use core::mem::MaybeUninit;

use heapless::String;
use postwired::system::Disk;
use proto_core::netlink::Errno;
use proto_core::text::{number, split};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};

use crate::linux::holders::Holder;
use crate::linux::log::{Stream, log};
use crate::linux::machine::{Dir, Path, Scratch, errno, port_name, read_file};
use crate::linux::sys;
use postwired::system::File;

/// The text before a line that `take` commented out.
const MARK: &str = "#postwired# ";
/// The most bytes of `/etc/inittab`.
const MOST: usize = 4096;

const INITTAB: &CStr = c"/etc/inittab";
const NEW: &CStr = c"/etc/inittab.postwired";

/// Whether a line of the table starts a login on the port of this name; of any serial console if there is none.
fn is_login(line: &str, name: &str) -> bool {
    let Some((tty, rest)) = split(line, b':') else { return false };
    let Some((_, rest)) = split(rest, b':') else { return false };
    let Some((action, _)) = split(rest, b':') else { return false };
    match action.strip_suffix("late").unwrap_or(action) {
        // On the kernel's console, whichever that is.
        "askconsole" => true,
        "askfirst" => match name {
            "" => matches!(tty.as_bytes(), [b't', b't', b'y', b'S' | b'A' | b'M', ..]),
            name => tty == name,
        },
        _ => false,
    }
}

/// Writes the table again, with each line converted by `change`, whose second argument is whether
/// it has the mark. Returns the number of changed lines.
fn edit(change: &dyn Fn(&str, bool) -> bool) -> Result<u32, Errno> {
    let mut buf = [0; MOST];
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let old = match rustix::fs::open(INITTAB, flags, Mode::empty()).map_err(errno) {
        Ok(file) => Scratch(file).read_at(0, &mut buf)?,
        // A system without the table starts no logins by it.
        Err(Errno::ENOENT) => 0,
        Err(errno) => return Err(errno),
    };
    let old = core::str::from_utf8(buf.get(..old).unwrap_or_default());
    let old = old.map_err(|_| Errno::EINVAL)?;
    let mut new = String::<{ 2 * MOST }>::new();
    let mut changed = 0_u32;
    for line in old.split_inclusive('\n') {
        let (plain, marked) = match line.strip_prefix(MARK) {
            Some(plain) => (plain, true),
            None => (line, false),
        };
        let marks = change(plain, marked);
        changed = changed.saturating_add(u32::from(marks != marked));
        let written = write!(new, "{}{plain}", if marks { MARK } else { "" });
        written.map_err(|_| Errno::EFBIG)?;
    }
    // The rest, which was not read, may have a login.
    if old.len() >= MOST {
        return Err(Errno::EFBIG);
    }
    if changed == 0 {
        return Ok(0);
    }
    if let Err(errno) = replace(new.as_bytes()) {
        // The rejected file uses space.
        let _ = rustix::fs::unlink(NEW);
        return Err(errno);
    }
    Ok(changed)
}

/// Replaces the table. When this returns, the new one is on the disk.
fn replace(table: &[u8]) -> Result<(), Errno> {
    // A link of that name would lead to another file.
    let _ = rustix::fs::unlink(NEW);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
    let file = rustix::fs::open(NEW, flags, mode).map_err(errno)?;
    let mut file = Scratch(file);
    file.write_at(0, table)?;
    rustix::fs::fsync(&file.0).map_err(errno)?;
    rustix::fs::rename(NEW, INITTAB).map_err(errno)?;
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(c"/etc", flags, Mode::empty()).map_err(errno)?;
    rustix::fs::fsync(&folder).map_err(errno)
}

/// Sends a signal to every `askfirst` on the port of this name, or on any console if there is none. Returns their number.
fn signal(name: &str, signal: Signal) -> u32 {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(proc) = rustix::fs::open(c"/proc", flags, Mode::empty()) else { return 0 };
    let mut count = 0_u32;
    let _ = Dir(proc).each_name(&mut |pid| {
        let Some(pid) = pid.to_str().ok().and_then(number) else { return };
        let (mut path, mut buf) = (String::<40>::new(), [0; 64]);
        let _ = write!(path, "/proc/{pid}/comm");
        let Ok(comm) = Path::new(&path) else { return };
        if read_file(comm.as_c(), &mut buf).trim_ascii() != "askfirst" {
            return;
        }
        path.clear();
        let _ = write!(path, "/proc/{pid}/fd/0");
        let mut link = [MaybeUninit::uninit(); 256];
        let tty = port_name(&path, &mut link);
        if !name.is_empty() && tty != name && tty != "console" {
            return;
        }
        let pid = Pid::from_raw(pid.cast_signed());
        if pid.is_some_and(|pid| kill_process(pid, signal).is_ok()) {
            count = count.saturating_add(1);
        }
    });
    count
}

/// Stops an `askfirst` that started on this port after `take`, as it does behind the login in which `take` was typed:
/// procd has not read the table again. Returns `true` if it was stopped.
#[cold]
pub(crate) fn take_late(port: &str, holder: &Holder) -> bool {
    let mut link = [MaybeUninit::uninit(); 256];
    let name = port_name(port, &mut link);
    let taken = Cell::new(false);
    let read = edit(&|line, marked| {
        taken.set(taken.get() || (marked && is_login(line, name)));
        marked
    });
    read.is_ok() && taken.get() && holder.name == "askfirst" && signal(name, Signal::STOP) > 0
}

fn finish(edited: Result<u32, Errno>, what: &str, now: u32) -> i32 {
    let mut out = Stream(sys::stdout());
    match edited {
        Ok(lines) => {
            let _ = writeln!(
                out,
                "{what}: {lines} lines of /etc/inittab changed, {now} running logins told"
            );
            0
        }
        Err(errno) => {
            log(format_args!("/etc/inittab: {errno}"));
            1
        }
    }
}

/// Takes the serial console from the login.
pub(crate) fn take(port: &str) -> i32 {
    let mut link = [MaybeUninit::uninit(); 256];
    let name = port_name(port, &mut link);
    let edited = edit(&|line, marked| marked || is_login(line, name));
    let now = if edited.is_ok() { signal(name, Signal::STOP) } else { 0 };
    if now == 0 && edited.is_ok() {
        // The login that started this, too. `take_late` takes the next one.
        let _ = Stream(sys::stdout())
            .write_str("a login that uses the port keeps it until its `exit`\n");
    }
    finish(edited, "the agent has the console", now)
}

/// Returns the serial console to the login.
pub(crate) fn give() -> i32 {
    let edited = edit(&|_, _| false);
    let now = signal("", Signal::CONT);
    finish(edited, "the login has the console", now)
}

/// Executes `console take` and `give` in a build that has no console, which needs the port too. Returns the exit code,
/// or `None` for another command.
#[cfg(not(feature = "console"))]
pub(crate) fn run(mut args: sys::Args) -> Option<i32> {
    if args.next()?? != "console" {
        return None;
    }
    let mut word = || args.next().map_or("", |word| word.unwrap_or("\u{fffd}"));
    Some(match (word(), word(), word()) {
        ("give", "", "") => give(),
        ("take", port, "") if port.is_empty() || port.starts_with('/') => take(port),
        _ => {
            log(format_args!(
                "this build has no console: `postwired console` takes `take [DEVICE]` or `give`"
            ));
            2
        }
    })
}
