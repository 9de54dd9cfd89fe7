//! Terminals: the settings of a serial port.

use core::ffi::c_int;

use linux_raw_sys::general::{
    BOTHER, BRKINT, CBAUD, CIBAUD, CLOCAL, CREAD, CRTSCTS, CS8, CSIZE, CSTOPB, ECHO, ECHONL,
    ICANON, ICRNL, IEXTEN, IGNBRK, IGNCR, INLCR, INPCK, ISIG, ISTRIP, IXANY, IXOFF, IXON, OPOST,
    PARENB, PARMRK, VMIN, VTIME, termios2,
};
use linux_raw_sys::ioctl::{TCGETS2, TCSETS2, TIOCEXCL, TIOCOUTQ};
use proto_core::netlink::Errno;
use rustix::fd::{AsRawFd, BorrowedFd};

use super::c::{checked, ioctl};

/// The settings of a terminal.
#[derive(Clone, Copy)]
pub(crate) struct Modes(termios2);

impl Modes {
    /// Reads the settings of a terminal.
    pub(crate) fn of(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        let mut modes = termios2 {
            c_iflag: 0,
            c_oflag: 0,
            c_cflag: 0,
            c_lflag: 0,
            c_line: 0,
            c_cc: Default::default(),
            c_ispeed: 0,
            c_ospeed: 0,
        };
        // SAFETY: `fd` is open for the length of the call, and `modes` is the struct that the
        // request fills in.
        checked(unsafe { ioctl(fd.as_raw_fd(), TCGETS2 as c_int, &raw mut modes) })?;
        Ok(Self(modes))
    }

    /// These settings for a plain wire: raw, 8N1, no flow control, `baud` bits per second.
    ///
    /// `termios2` has the speed as a number. rustix supports it too, with two tables of named
    /// speeds.
    fn raw(mut self, baud: u32) -> Self {
        let modes = &mut self.0;
        // A break would arrive as a zero, and a zero opens a frame: IGNBRK.
        modes.c_iflag &=
            !(BRKINT | PARMRK | INPCK | ISTRIP | INLCR | IGNCR | ICRNL | IXON | IXOFF | IXANY);
        modes.c_iflag |= IGNBRK;
        modes.c_oflag &= !OPOST;
        modes.c_lflag &= !(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
        modes.c_cflag &= !(CBAUD | CIBAUD | CSIZE | PARENB | CSTOPB | CRTSCTS);
        modes.c_cflag |= BOTHER | CS8 | CLOCAL | CREAD;
        for (place, value) in [(VMIN, 1), (VTIME, 0)] {
            if let Some(place) = modes.c_cc.get_mut(place as usize) {
                *place = value;
            }
        }
        (modes.c_ispeed, modes.c_ospeed) = (baud, baud);
        self
    }

    /// Sets a terminal up for a program that reads each key: no echo, no lines, no signals. Returns
    /// the settings to restore with [`Modes::put_back`].
    #[cfg(feature = "console")]
    pub(crate) fn keys(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        let before = Self::of(fd)?;
        let mut modes = before;
        modes.0.c_iflag &= !(ICRNL | INLCR | IGNCR | IXON | ISTRIP);
        modes.0.c_lflag &= !(ECHO | ICANON | ISIG | IEXTEN);
        modes.put_back(fd);
        Ok(before)
    }

    /// Restores these settings of a terminal. Best effort.
    #[cfg(feature = "console")]
    pub(crate) fn put_back(&self, fd: BorrowedFd<'_>) {
        // SAFETY: `fd` is open for the length of the call, and the settings are the struct that the
        // request reads.
        unsafe { ioctl(fd.as_raw_fd(), TCSETS2 as c_int, &raw const self.0) };
    }

    /// Makes a terminal a plain wire. Returns the actual settings: a driver may not support all.
    pub(crate) fn set(fd: BorrowedFd<'_>, baud: u32) -> Result<Self, Errno> {
        let Self(modes) = Self::of(fd)?.raw(baud);
        // SAFETY: `fd` is open for the length of the call, and `modes` is the struct that the
        // request reads.
        checked(unsafe { ioctl(fd.as_raw_fd(), TCSETS2 as c_int, &raw const modes) })?;
        Self::of(fd)
    }

    /// The actual speed in bits per second.
    pub(crate) fn speed(&self) -> u32 {
        self.0.c_ospeed
    }

    /// Whether a terminal with these settings carries frames unchanged.
    pub(crate) fn are_raw(&self) -> bool {
        let Self(raw) = self.raw(self.0.c_ospeed);
        let Self(modes) = self;
        // CBAUD encodes the speed, and does not affect the bytes.
        let lines = |flags: u32| flags & !(CBAUD | CIBAUD);
        let at = |modes: &termios2, place: u32| modes.c_cc.get(place as usize).copied();
        modes.c_iflag == raw.c_iflag
            && modes.c_oflag == raw.c_oflag
            && modes.c_lflag == raw.c_lflag
            && lines(modes.c_cflag) == lines(raw.c_cflag)
            && at(modes, VMIN) == at(&raw, VMIN)
            && at(modes, VTIME) == at(&raw, VTIME)
    }
}

/// Keeps other programs from opening a terminal. The kernel does not enforce it for root.
pub(crate) fn exclusive(fd: BorrowedFd<'_>) {
    // SAFETY: `fd` is open for the length of the call, and the request has no argument. A failure
    // leaves the terminal unchanged.
    unsafe { ioctl(fd.as_raw_fd(), TIOCEXCL as c_int) };
}

/// Number of bytes that a terminal has not sent yet; 0 if unknown.
pub(crate) fn unsent(fd: BorrowedFd<'_>) -> c_int {
    let mut bytes: c_int = 0;
    // SAFETY: `fd` is open for the length of the call, and `bytes` is the int that the request fills in.
    unsafe { ioctl(fd.as_raw_fd(), TIOCOUTQ as c_int, &raw mut bytes) };
    bytes
}

/// Whether this is a terminal.
pub(crate) fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    Modes::of(fd).is_ok()
}
