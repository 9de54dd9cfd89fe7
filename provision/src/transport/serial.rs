//! Packets as frames on a serial line.
//!
//! Frames should be passed to the kernel no faster than the line carries them. Otherwise thousands
//! of bytes wait in the kernel's buffer, and resent frames cannot overtake them.
//! [`Transport::busy`] gives the time to wait. A device without modem lines is a pseudo-terminal,
//! which has no speed of its own. It is paced only if the user gives a speed, that of a line behind
//! it.
//!
//! While the router starts, nothing is sent (`boot`).

use std::io;
use std::time::{Duration, Instant};

use proto_core::protocol::MAX_DATA;
use proto_core::protocol::frame::{self, Deframer, Received};
use proto_core::protocol::session::{self, Wire};
use serial2::SerialPort;

use super::boot::{Boot, Hold};
use super::speed::Guess;
use super::{ANSWERED, Stray, Transport, TransportError, port};
use crate::interrupt;
use crate::units::{DEFAULT_BAUD, SerialAddress};

/// The time on the line for which bytes may wait in the kernel: enough to keep the line busy.
const QUEUE: Duration = Duration::from_millis(30);
/// The maximum bytes of a piece, which are about 680 when packed: a seventeenth of a second at 115,200 baud.
const MAX_PIECE: u16 = MAX_DATA as u16;
/// The minimum: packed these are about 280, and the other bytes of a frame, about 60, are then about a fifth.
const MIN_PIECE: u16 = 480;
/// A piece has at most this part of a baud in bytes: packed, about half a second on the line.
const PIECE_BAUDS: u32 = 12;
/// The wait for the line to accept more bytes before received bytes are read.
const WRITE_WAIT: Duration = Duration::from_millis(10);
/// The time after which a line that accepts no bytes is given up.
const STUCK: Duration = Duration::from_secs(10);

/// Bytes of a piece on a line of this speed, before it is packed.
#[must_use]
pub fn piece_size(baud: u32) -> u16 {
    let piece = u16::try_from(baud / PIECE_BAUDS).unwrap_or(u16::MAX);
    piece.clamp(MIN_PIECE, MAX_PIECE)
}

/// A serial port.
#[derive(Debug)]
pub struct SerialLine {
    port: SerialPort,
    _lock: port::Lock,
    device: String,
    name: String,
    /// The speed by which the line is paced, if any.
    baud: Option<u32>,
    deframer: Box<Deframer>,
    input: Vec<u8>,
    stray: Stray,
    /// The time when the line will have carried all written bytes.
    free_at: Instant,
    boot: Boot,
    /// The speed under trial, until it proves right.
    guess: Option<Guess>,
    /// Whether a router's packet was received.
    answered: bool,
    /// The time to listen before the first packet. Zero once a packet was sent.
    listen: Duration,
}

impl SerialLine {
    /// Opens a device raw, 8N1, without flow control, and locks it. `dtr` sets the DTR line; `None` leaves it
    /// unchanged. `listen` is how long to listen before the first packet.
    ///
    /// # Errors
    /// [`TransportError::Open`].
    pub fn open(
        address: &SerialAddress,
        dtr: Option<bool>,
        listen: Duration,
    ) -> Result<Self, TransportError> {
        let guess = address.auto.then(Guess::default);
        let named = guess.map_or(address.baud, |guess| Some(guess.baud()));
        let device = &address.device;
        let baud = named.unwrap_or(DEFAULT_BAUD);
        let port::Opened { mut port, pseudo, lock } =
            port::open(device, baud, dtr).map_err(|refused| port::error(device, baud, refused))?;
        let baud = if pseudo { named } else { Some(baud) };
        let written = port.set_write_timeout(WRITE_WAIT);
        written.map_err(|error| TransportError::Lost(device.display().to_string(), error))?;
        let mut line = Self {
            port,
            _lock: lock,
            device: device.display().to_string(),
            name: String::new(),
            baud,
            deframer: Box::default(),
            input: Vec::new(),
            stray: Stray::default(),
            free_at: Instant::now(),
            boot: Boot::new(Instant::now()),
            guess,
            answered: false,
            listen,
        };
        line.rename();
        Ok(line)
    }

    fn rename(&mut self) {
        self.name = match (self.baud, self.guess) {
            (None, _) => self.device.clone(),
            (Some(_), Some(_)) => format!("{} at any speed", self.device),
            (Some(baud), None) => format!("{} at {baud} baud", self.device),
        };
    }

    /// Goes on at the speed that is guessed now.
    fn change_speed(&mut self) -> io::Result<()> {
        let Some(guess) = self.guess else { return Ok(()) };
        self.baud = Some(guess.baud());
        port::set_speed(&mut self.port, guess.baud())?;
        // What is here came in at another speed.
        self.port.discard_input_buffer()?;
        *self.deframer = Deframer::default();
        self.input.clear();
        self.boot = Boot::new(Instant::now());
        Ok(())
    }

    /// Keeps the speed that was guessed.
    fn settle(&mut self) {
        if self.guess.take().is_some() {
            self.rename();
        }
    }

    fn lost(&self, error: io::Error) -> TransportError {
        TransportError::Lost(self.name.clone(), error)
    }

    /// The next packet in the received bytes.
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
        // A line may send back what was sent to it.
        if packet.as_ref().is_some_and(|packet| session::is_from_router(packet)) {
            self.answered = true;
            self.boot.packet();
            self.settle();
        }
        packet
    }

    /// Reads received bytes, waiting at most `timeout`. Returns whether there were any.
    fn fill(&mut self, timeout: Duration) -> io::Result<bool> {
        self.port.set_read_timeout(timeout)?;
        let mut buf = [0; 4_096];
        match self.port.read(&mut buf) {
            Ok(0) => Err(io::Error::other("the device has disappeared")),
            Ok(count) => {
                let bytes = buf.get(..count).unwrap_or_default();
                self.input.extend_from_slice(bytes);
                self.boot.take(bytes, Instant::now());
                if let Some(guess) = &mut self.guess {
                    guess.take(bytes);
                }
                Ok(true)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::TimedOut
                | io::ErrorKind::WouldBlock
                | io::ErrorKind::Interrupted => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// Writes, and reads while the line accepts no bytes: the other end may wait for us to read.
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let mut progress = Instant::now();
        while !bytes.is_empty() {
            match self.port.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    progress = Instant::now();
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        if progress.elapsed() >= STUCK {
                            return Err(io::Error::other("the line accepts no bytes"));
                        }
                        self.fill(Duration::ZERO)?;
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }

    /// Writes bytes outside of packets.
    pub(super) fn type_text(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        self.book(bytes.len());
        self.write(bytes).map_err(|error| self.lost(error))
    }

    /// Adds the time of `len` more bytes.
    fn book(&mut self, len: usize) {
        if let Some(baud) = self.baud {
            let bits = u32::try_from(len).unwrap_or(u32::MAX).saturating_mul(10);
            self.free_at = self.free_at.max(Instant::now()) + Duration::from_secs(1) * bits / baud;
        }
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
        if written.is_err() {
            return Err(self.lost(io::ErrorKind::InvalidInput.into()));
        }
        // A boot loader may have begun to talk meanwhile.
        self.fill(Duration::ZERO).map_err(|error| self.lost(error))?;
        if self.boot.hold(Instant::now()).is_some() {
            return Ok(());
        }
        self.boot.sent();
        self.listen = Duration::ZERO;
        self.book(framed.len());
        self.write(&framed).map_err(|error| self.lost(error))
    }

    fn recv(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        let until = Instant::now() + timeout;
        loop {
            if let Some(packet) = self.deframe() {
                return Ok(Some(packet));
            }
            if interrupt::requested() {
                return Err(TransportError::Interrupted);
            }
            let left = until.saturating_duration_since(Instant::now());
            // Timeouts are whole milliseconds; zero does not wait.
            let wait = match left.min(interrupt::SLICE) {
                Duration::ZERO => Duration::ZERO,
                left => left + Duration::from_micros(999),
            };
            if !self.fill(wait).map_err(|error| self.lost(error))? && left.is_zero() {
                return Ok(None);
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
        self.baud
    }

    fn busy(&self) -> Duration {
        self.free_at.saturating_duration_since(Instant::now()).saturating_sub(QUEUE)
    }

    fn max_piece(&self) -> u16 {
        self.baud().map_or(MAX_PIECE, piece_size)
    }

    fn wire(&self) -> Wire {
        Wire::Serial
    }

    fn hold(&mut self) -> Option<Hold> {
        match self.guess.as_ref().and_then(Guess::is_right) {
            Some(true) => self.settle(),
            Some(false) => {
                if let Some(guess) = &mut self.guess {
                    guess.refuse();
                }
                // A speed that the adapter does not have is passed over by the next call.
                let _ = self.change_speed();
                return Some(Hold::Text);
            }
            None => {}
        }
        self.boot.hold(Instant::now())
    }

    fn listens(&self) -> Duration {
        self.listen
    }

    fn skip_listening(&mut self) {
        self.listen = Duration::ZERO;
    }

    fn guesses(&self) -> bool {
        self.guess.is_some()
    }

    fn next_speed(&mut self) -> Result<bool, TransportError> {
        while let Some(guess) = &mut self.guess {
            if !guess.pass() {
                return Ok(false);
            }
            match self.change_speed() {
                Ok(()) => return Ok(true),
                // The adapter does not have this speed.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                Err(error) => return Err(self.lost(error)),
            }
        }
        Ok(false)
    }

    fn silence_hint_later(&self) -> String {
        let starts = self.boot.starts();
        if starts { "the router is starting: try again when it is up" } else { ANSWERED }.into()
    }

    fn silence_hint(&self) -> String {
        if self.boot.starts() || self.answered {
            return self.silence_hint_later();
        }
        if self.guess.is_some() {
            let speeds: Vec<String> = super::speed::SPEEDS.iter().map(u32::to_string).collect();
            return format!(
                "none of the speeds {} got an answer: is the cable plugged in, are RX and TX crossed, is the router on?",
                speeds.join(", ")
            );
        }
        let Stray { text, noise, garbage, .. } = self.stray;
        if text + garbage == 0 {
            "not one byte was received: is the cable plugged in, are RX and TX crossed, is the router on?".into()
        } else if garbage > 0 || noise * 4 > text {
            format!(
                "{text} bytes were received that are neither text nor frames: is {} baud the router's speed?",
                self.baud.unwrap_or(DEFAULT_BAUD)
            )
        } else {
            format!(
                "the line is alive ({text} bytes of text were received, -v shows them): is postwired running on it?"
            )
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Write as _};

    use proto_core::protocol::MAX_OUTER;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    /// RX and TX of the adapter are connected, or the router's console echoes.
    #[test]
    fn what_a_line_sends_back_proves_no_speed() {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let device = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let mut wire = File::from(master);
        let address = SerialAddress { device: device.into(), baud: None, auto: true };
        let mut line = SerialLine::open(&address, None, Duration::ZERO).unwrap();
        let mut packet = [0; MAX_OUTER];
        let len = session::seek(&[7; 16], None, &mut packet).unwrap();
        line.send(&packet[..len]).unwrap();
        let mut echo = [0; 1_024];
        let count = wire.read(&mut echo).unwrap();
        wire.write_all(&echo[..count]).unwrap();
        let received = line.recv(Duration::from_secs(10)).unwrap().unwrap();
        assert_eq!(received, packet[..len]);
        assert!(line.guesses() && !line.answered);
    }
}
