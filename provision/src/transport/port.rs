//! A serial port, opened without disturbing a program that uses it already: locked first,
//! configured after that.
//!
//! Not here: the data on it (`serial`), and the lock files of other programs (`uucp`).

use std::io;
use std::path::Path;

use serial2::{SerialPort, Settings};

#[cfg(unix)]
use super::uucp::{Holder, LockFile};
use super::{TransportError, ports};
use crate::ui::word;

/// A port that is open.
pub(super) struct Opened {
    pub(super) port: SerialPort,
    /// Whether it is a pseudo-terminal, which has no speed.
    pub(super) pseudo: bool,
    pub(super) lock: Lock,
}

/// What is held as long as the port is open, besides the port.
#[cfg(unix)]
pub(super) type Lock = LockFile;
#[cfg(not(unix))]
pub(super) type Lock = ();

/// Why a port cannot be opened.
pub(super) enum Refused {
    /// The system's error; `EBUSY` if another program uses the port.
    System(io::Error),
    /// The port does not have the speed; its actual speed, if known.
    Speed(Option<u32>),
    /// Another program has a lock file.
    #[cfg(unix)]
    Locked(Holder),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Opens a device raw, 8N1, without flow control and at `baud`, and locks it.
///
/// # Errors
/// [`Refused`].
#[cfg(unix)]
pub(super) fn open(device: &Path, baud: u32, dtr: Option<bool>) -> Result<Opened, Refused> {
    use std::fs::OpenOptions;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::OpenOptionsExt as _;

    use rustix::fs::{FlockOperation, OFlags, flock};
    use rustix::io::Errno;
    use rustix::termios::{ControlModes, OptionalActions, tcgetattr, tcsetattr};

    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(device)?;
    let mut modes = tcgetattr(&file).map_err(io::Error::from)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Err(io::Error::from(Errno::BUSY).into()),
        outcome => outcome.map_err(io::Error::from)?,
    }
    let lock = LockFile::take(device).map_err(Refused::Locked)?;
    // The kernel would drop DTR at the end of each command, and boards that reset on DTR would
    // restart.
    if modes.control_modes.contains(ControlModes::HUPCL) {
        modes.control_modes.remove(ControlModes::HUPCL);
        tcsetattr(&file, OptionalActions::Now, &modes).map_err(io::Error::from)?;
    }
    let port = SerialPort::from(OwnedFd::from(file));
    let pseudo = errno::is_pseudo(&port);
    if !pseudo {
        // Excludes programs that do not lock. A pseudo-terminal would stay exclusive after this
        // program. A driver without this function still works.
        let _ = rustix::termios::ioctl_tiocexcl(&port);
    }
    Ok(Opened { port: set_up(port, baud, dtr, pseudo)?, pseudo, lock })
}

/// The same on systems where an open port is exclusive.
#[cfg(not(unix))]
pub(super) fn open(device: &Path, baud: u32, dtr: Option<bool>) -> Result<Opened, Refused> {
    let port = SerialPort::open(device, |settings: Settings| Ok(settings))?;
    Ok(Opened { port: set_up(port, baud, dtr, false)?, pseudo: false, lock: () })
}

fn set_up(
    mut port: SerialPort,
    baud: u32,
    dtr: Option<bool>,
    pseudo: bool,
) -> Result<SerialPort, Refused> {
    let mut settings: Settings = port.get_configuration()?;
    settings.set_raw();
    let set = settings.set_baud_rate(baud).and_then(|()| port.set_configuration(&settings));
    if pseudo {
        // The speed has no effect there, and the system may not support it.
        let mut raw: Settings = port.get_configuration()?;
        raw.set_raw();
        port.set_configuration(&raw)?;
        return Ok(port);
    }
    if let Err(error) = set {
        // A driver takes the settings and runs at the speed that it has.
        let actual = port.get_configuration().and_then(|settings| settings.get_baud_rate()).ok();
        return Err(match actual == Some(baud) {
            true => Refused::System(error),
            false => Refused::Speed(actual),
        });
    }
    if let Some(dtr) = dtr {
        port.set_dtr(dtr)?;
    }
    Ok(port)
}

/// Changes the speed of an open port.
///
/// # Errors
/// The system's error; `InvalidInput` for a speed that the port does not have.
pub(super) fn set_speed(port: &mut SerialPort, baud: u32) -> io::Result<()> {
    let mut settings: Settings = port.get_configuration()?;
    settings.set_baud_rate(baud)?;
    port.set_configuration(&settings)
}

/// The reason why a device cannot be opened, and the next step.
pub(super) fn error(device: &Path, baud: u32, refused: Refused) -> TransportError {
    let name = device.display();
    let error = match refused {
        Refused::System(error) => error,
        Refused::Speed(actual) => return other_speed(device, baud, actual),
        #[cfg(unix)]
        Refused::Locked(holder) => return locked(device, &holder),
    };
    let error = &error;
    let (code, message, hint) = if is_busy(error) {
        (
            "port_busy",
            format!("{name} is in use by another program"),
            Some(format!("close that program first; `fuser {}` shows which one it is", word(name))),
        )
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        ("permission", format!("no permission to open {name}"), Some(permission_hint(device)))
    } else if error.kind() == io::ErrorKind::NotFound || is_gone(error) {
        ("no_port", format!("there is no {name}"), Some(ports::hint()))
    } else if is_no_tty(error) {
        ("not_serial", format!("{name} is not a serial device"), None)
    } else {
        ("open", format!("cannot open {name} at {baud} baud: {error}"), None)
    };
    TransportError::Open { code, message, hint }
}

fn other_speed(device: &Path, baud: u32, actual: Option<u32>) -> TransportError {
    let name = device.display();
    let runs = actual.map_or(String::new(), |actual| format!(": it runs at {actual}"));
    TransportError::Open {
        code: "speed",
        message: format!("{name} does not support {baud} baud{runs}"),
        hint: Some(format!(
            "set a speed that this port and the router have: `--serial {}@115200`",
            word(name)
        )),
    }
}

#[cfg(unix)]
fn locked(device: &Path, holder: &Holder) -> TransportError {
    let (name, file) = (device.display(), holder.file.display());
    let by = match (&holder.program, holder.process) {
        (Some(program), Some(process)) => format!("{program} (process {process})"),
        (None, Some(process)) => format!("process {process}"),
        (_, None) => "another program".into(),
    };
    TransportError::Open {
        code: "port_busy",
        message: format!("{name} is in use by {by}: it has the lock file {file}"),
        hint: Some(format!("close that program first; if it is not running, remove {file}")),
    }
}

#[cfg(unix)]
mod errno {
    use std::io;

    use rustix::io::Errno;

    fn is(error: &io::Error, known: &[Errno]) -> bool {
        known.iter().any(|known| error.raw_os_error() == Some(known.raw_os_error()))
    }

    pub(super) fn is_busy(error: &io::Error) -> bool {
        is(error, &[Errno::BUSY])
    }

    pub(super) fn is_gone(error: &io::Error) -> bool {
        is(error, &[Errno::NODEV, Errno::NXIO])
    }

    pub(super) fn is_no_tty(error: &io::Error) -> bool {
        is(error, &[Errno::NOTTY])
    }

    /// Whether a terminal has no modem lines, and so no physical line: a pseudo-terminal.
    pub(super) fn is_pseudo(port: &serial2::SerialPort) -> bool {
        port.read_dsr().is_err_and(|error| is(&error, &[Errno::NOTTY, Errno::INVAL]))
    }
}

#[cfg(not(unix))]
mod errno {
    use std::io;

    /// Windows reports a port that another program uses in this way.
    pub(super) fn is_busy(error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::PermissionDenied
    }

    pub(super) fn is_gone(_: &io::Error) -> bool {
        false
    }

    pub(super) fn is_no_tty(_: &io::Error) -> bool {
        false
    }
}

use errno::{is_busy, is_gone, is_no_tty};

/// How to get access to a device: through its group, which differs between systems.
#[cfg(unix)]
fn permission_hint(device: &Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let group = || -> Option<String> {
        let gid = device.metadata().ok()?.gid();
        let groups = std::fs::read_to_string("/etc/group").ok()?;
        let line = groups.lines().find(|line| line.split(':').nth(2) == Some(&gid.to_string()))?;
        line.split(':').next().filter(|name| *name != "root").map(String::from)
    };
    match group() {
        Some(group) => format!(
            "add yourself to its group: `sudo usermod -aG {group} $USER`, then log in again"
        ),
        None => "only root may open it".into(),
    }
}

#[cfg(not(unix))]
fn permission_hint(_: &Path) -> String {
    "is it in use by another program?".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_that_the_driver_does_not_take_is_told() {
        let refused = Refused::Speed(Some(115_200));
        let TransportError::Open { code, message, hint } =
            error(Path::new("/dev/ttyX0"), 250_000, refused)
        else {
            panic!("another error");
        };
        assert_eq!(code, "speed");
        assert_eq!(message, "/dev/ttyX0 does not support 250000 baud: it runs at 115200");
        assert!(hint.unwrap().contains("/dev/ttyX0@115200"));
    }
}
