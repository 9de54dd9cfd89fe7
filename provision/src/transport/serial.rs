//! Packets as frames on a serial line.
//!
//! Frames are handed to the kernel no faster than the line carries them, or else thousands of bytes
//! would wait in its buffer, and what is sent again could not overtake them. A pseudo-terminal has
//! no speed; it is neither set nor waited for there.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use proto_core::protocol::frame::{self, Deframer, Received};
use proto_core::protocol::session::Wire;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serial2::{SerialPort, Settings};

use super::{Stray, Transport, TransportError};
use crate::units::SerialAddress;

/// How much of the line's time may wait in the kernel: enough to never let the line rest.
const QUEUE: Duration = Duration::from_millis(30);
/// The most bytes of a piece: a twenty-fourth of a second at 115,200 baud. A slower line takes
/// shorter ones, and a noisy line loses less with them.
const MAX_PIECE: u16 = 480;
/// After how long a line that takes no bytes is given up.
const STUCK: Duration = Duration::from_secs(10);

/// A serial port.
#[derive(Debug)]
pub struct SerialLine {
    port: SerialPort,
    name: String,
    baud: u32,
    pseudo: bool,
    deframer: Box<Deframer>,
    input: Vec<u8>,
    stray: Stray,
    /// When the line will have carried everything that was written.
    free_at: Instant,
}

impl SerialLine {
    /// Opens a device raw, 8N1, without flow control, and locks it.
    ///
    /// # Errors
    /// [`TransportError::Open`].
    pub fn open(address: &SerialAddress) -> Result<Self, TransportError> {
        let (device, baud) = (&address.device, address.baud);
        let pseudo = device.canonicalize().is_ok_and(|path| path.starts_with("/dev/pts"));
        let port = SerialPort::open(device, |mut settings: Settings| {
            settings.set_raw();
            if !pseudo {
                settings.set_baud_rate(baud)?;
            }
            Ok(settings)
        })
        .map_err(|error| open_error(device, baud, &error))?;
        if flock(&port, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            return Err(open_error(device, baud, &Errno::BUSY.into()));
        }
        if !pseudo {
            // Keeps out programs that do not lock. A pseudo-terminal would stay closed after us. A
            // driver that has no such thing still works.
            let _ = rustix::termios::ioctl_tiocexcl(&port);
        }
        Ok(Self {
            port,
            name: match pseudo {
                true => device.display().to_string(),
                false => format!("{} at {baud} baud", device.display()),
            },
            baud,
            pseudo,
            deframer: Box::default(),
            input: Vec::new(),
            stray: Stray::default(),
            free_at: Instant::now(),
        })
    }

    fn lost(&self, error: io::Error) -> TransportError {
        TransportError::Lost(self.name.clone(), error)
    }

    /// The next packet in the bytes that are here.
    fn deframe(&mut self) -> Option<Vec<u8>> {
        let mut rest = self.input.as_slice();
        let mut packet = None;
        while let Some(received) = self.deframer.next(&mut rest) {
            match received {
                Received::Text(text) => self.stray.take_text(text),
                Received::Garbage => self.stray.garbage += 1,
                Received::Packet(bytes) => {
                    packet = Some(bytes.to_vec());
                    break;
                }
            }
        }
        let used = self.input.len() - rest.len();
        self.input.drain(..used);
        packet
    }

    fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        let started = Instant::now();
        while !bytes.is_empty() {
            match self.port.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                        if started.elapsed() < STUCK => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        return Err(io::Error::other("the line takes no bytes"));
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }

    /// Waits until little enough is queued, and books the time of `len` more bytes.
    fn pace(&mut self, len: usize) {
        if self.pseudo {
            return;
        }
        let now = Instant::now();
        std::thread::sleep(self.free_at.saturating_duration_since(now).saturating_sub(QUEUE));
        let bits = u32::try_from(len).unwrap_or(u32::MAX).saturating_mul(10);
        self.free_at = self.free_at.max(now) + Duration::from_secs(1) * bits / self.baud;
    }
}

impl Transport for SerialLine {
    fn send(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        let mut buf = [0; frame::MAX_SEALED];
        if let Some(room) = buf.get_mut(..packet.len()) {
            room.copy_from_slice(packet);
        }
        let mut framed = Vec::with_capacity(frame::MAX_FRAME);
        let written = frame::write_serial(&mut framed, &mut buf, packet.len());
        if !matches!(written, Ok(Ok(()))) {
            return Err(self.lost(io::ErrorKind::InvalidInput.into()));
        }
        self.pace(framed.len());
        self.write(&framed).map_err(|error| self.lost(error))
    }

    fn recv(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        let until = Instant::now() + timeout.max(Duration::from_millis(1));
        loop {
            if let Some(packet) = self.deframe() {
                return Ok(Some(packet));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            // Timeouts are whole milliseconds, and none at all would not wait.
            let left = left + Duration::from_micros(999);
            self.port.set_read_timeout(left).map_err(|error| self.lost(error))?;
            let mut buf = [0; 4_096];
            match self.port.read(&mut buf) {
                Ok(0) => return Err(self.lost(io::Error::other("the device is gone"))),
                Ok(count) => self.input.extend_from_slice(buf.get(..count).unwrap_or_default()),
                Err(error) => match error.kind() {
                    io::ErrorKind::TimedOut => return Ok(None),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                    _ => return Err(self.lost(error)),
                },
            }
        }
    }

    fn stray(&mut self) -> &mut Stray {
        &mut self.stray
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn baud(&self) -> Option<u32> {
        (!self.pseudo).then_some(self.baud)
    }

    fn max_piece(&self) -> u16 {
        match self.baud() {
            None => MAX_PIECE,
            Some(baud) => u16::try_from(baud / 240).unwrap_or(u16::MAX).clamp(64, MAX_PIECE),
        }
    }

    fn wire(&self) -> Wire {
        Wire::Serial
    }

    fn silence_hint(&self) -> String {
        let Stray { text, noise, garbage, .. } = self.stray;
        if text + garbage == 0 {
            "not one byte came: is the cable in, are RX and TX crossed, is the router on?".into()
        } else if garbage > 0 || noise * 4 > text {
            format!(
                "{text} bytes came that are neither text nor frames: is {} baud the router's speed?",
                self.baud
            )
        } else {
            format!(
                "the line is alive ({text} bytes of text came, -v shows them): is postwired running on it?"
            )
        }
    }
}

/// Why a device does not open, and what to do next.
fn open_error(device: &Path, baud: u32, error: &io::Error) -> TransportError {
    let name = device.display();
    let errno = error.raw_os_error();
    let is = |known: Errno| errno == Some(known.raw_os_error());
    let (message, hint) = if is(Errno::BUSY) {
        (
            format!("{name} is in use by another program"),
            Some(format!("close it first; `fuser {name}` shows which one it is")),
        )
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        (
            format!("no permission to open {name}"),
            Some(
                "add yourself to its group: `sudo usermod -aG dialout $USER`, then log in again"
                    .into(),
            ),
        )
    } else if error.kind() == io::ErrorKind::NotFound || is(Errno::NODEV) || is(Errno::NXIO) {
        let ports: Vec<String> = SerialPort::available_ports()
            .unwrap_or_default()
            .iter()
            .map(|port| port.display().to_string())
            .collect();
        let hint = match ports.as_slice() {
            [] => "this machine has no serial port now: is the adapter plugged in?".into(),
            some => format!("there are {}", some.join(", ")),
        };
        (format!("there is no {name}"), Some(hint))
    } else if is(Errno::NOTTY) {
        (format!("{name} is not a serial device"), None)
    } else {
        (format!("cannot open {name} at {baud} baud: {error}"), None)
    };
    TransportError::Open { message, hint }
}
