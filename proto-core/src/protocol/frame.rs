//! Packets on a wire. On a serial line a packet and its CRC are COBS-encoded between two zero
//! bytes; in a datagram they are sent unencoded.
//!
//! ```text
//! serial:    00  COBS(packet, crc)  00        every frame has its own two zeros
//! datagram:  packet, crc
//! crc:       CRC-32/ISO-HDLC of the packet, little-endian
//! ```
//!
//! A serial line is shared: kernel log lines and a person's typing arrive between frames, and a
//! frame can lose or gain bytes. The deframer therefore separates the bytes outside frames
//! ([`Received::Text`]), and takes the zero that ends a broken frame as the start of the next one:
//! one good frame after any garbage is enough to resynchronize.
//!
//! COBS: Cheshire and Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Transactions on
//! Networking 7(2), 1999.
//!
//! Not here: the content of packets (`envelope`, `message`).

use core::fmt;

use super::MAX_OUTER;

/// Number of bytes that the CRC adds to a packet.
pub const CRC_LEN: usize = 4;
/// Largest size of a packet with its CRC in bytes: also the largest datagram.
pub const MAX_SEALED: usize = MAX_OUTER + CRC_LEN;
/// Largest number of bytes between the zeros of a frame: COBS adds one byte per 254, and one.
const MAX_STUFFED: usize = MAX_SEALED + MAX_SEALED / 254 + 1;
/// Largest size of a serial frame in bytes, including both zeros.
pub const MAX_FRAME: usize = MAX_STUFFED + 2;

/// The error for a packet longer than [`MAX_OUTER`], or a buffer that is too short.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the packet is too long for a frame")
    }
}

impl core::error::Error for TooLong {}

/// The reason why a frame was not written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WriteError<E> {
    /// The packet cannot be framed: [`TooLong`].
    TooLong,
    /// The line refused the bytes.
    Line(E),
}

impl<E: fmt::Display> fmt::Display for WriteError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => TooLong.fmt(f),
            Self::Line(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for WriteError<E> {}

fn crc32(bytes: &[u8]) -> [u8; CRC_LEN] {
    // Bit by bit: packets are short, and the table would be a kilobyte.
    const CRC: crc::Crc<u32, crc::NoTable> =
        crc::Crc::<u32, crc::NoTable>::new(&crc::CRC_32_ISO_HDLC);
    CRC.checksum(bytes).to_le_bytes()
}

/// Adds the CRC to the packet in `buf[..len]` and returns the sealed bytes: a whole datagram. A packet of no bytes
/// cannot be opened.
///
/// # Errors
/// [`TooLong`] if the packet is longer than [`MAX_OUTER`] or the CRC does not fit after it.
pub fn seal(buf: &mut [u8], len: usize) -> Result<&[u8], TooLong> {
    if len > MAX_OUTER {
        return Err(TooLong);
    }
    let (packet, rest) = buf.split_at_mut_checked(len).ok_or(TooLong)?;
    let crc = crc32(packet);
    *rest.first_chunk_mut().ok_or(TooLong)? = crc;
    buf.get(..len.saturating_add(CRC_LEN)).ok_or(TooLong)
}

/// Returns the packet in sealed bytes; `None` if the CRC is wrong, or if there is only a CRC.
#[must_use]
pub fn open(sealed: &[u8]) -> Option<&[u8]> {
    let (packet, crc) = sealed.split_at_checked(sealed.len().checked_sub(CRC_LEN)?)?;
    // The CRC of no bytes is four zeros: noise makes that of any frame with a few zeros in a row.
    let has_size = (1..=MAX_OUTER).contains(&packet.len());
    (has_size && crc32(packet) == crc).then_some(packet)
}

/// Writes the packet in `buf[..len]` to a serial line as one frame, in one `write_all`.
///
/// `buf` needs room for [`CRC_LEN`] bytes after the packet.
///
/// # Errors
/// [`WriteError::TooLong`] if the packet cannot be framed, [`WriteError::Line`] if the line refused the bytes.
pub fn write_serial<W: embedded_io::Write>(
    line: &mut W,
    buf: &mut [u8],
    len: usize,
) -> Result<(), WriteError<W::Error>> {
    let mut frame = [0; MAX_FRAME];
    let Some(frame) = seal(buf, len).ok().and_then(|sealed| stuff(sealed, &mut frame)) else {
        return Err(WriteError::TooLong);
    };
    line.write_all(frame).map_err(WriteError::Line)?;
    line.flush().map_err(WriteError::Line)
}

/// COBS-encodes `bytes` into `frame` between two zeros.
fn stuff<'f>(bytes: &[u8], frame: &'f mut [u8]) -> Option<&'f [u8]> {
    let mut at = 0_usize;
    let mut put = |byte: u8| {
        *frame.get_mut(at)? = byte;
        at = at.checked_add(1)?;
        Some(())
    };
    put(0)?;
    let mut rest = bytes;
    loop {
        let run = rest.iter().take(254).take_while(|&&byte| byte != 0).count();
        let (head, tail) = rest.split_at_checked(run)?;
        put(u8::try_from(run).ok()?.checked_add(1)?)?;
        for &byte in head {
            put(byte)?;
        }
        rest = match tail.split_first() {
            None => break,
            // A run of 254 has no zero after it: the next code starts at the same byte.
            Some(_) if run == 254 => tail,
            Some((_zero, tail)) => tail,
        };
    }
    put(0)?;
    frame.get(..at)
}

/// Decodes COBS in place and returns the length; `None` if the bytes are not COBS.
fn unstuff(bytes: &mut [u8]) -> Option<usize> {
    let (mut from, mut to) = (0_usize, 0_usize);
    while let Some(&code) = bytes.get(from) {
        let run = usize::from(code.checked_sub(1)?);
        let start = from.checked_add(1)?;
        let end = start.checked_add(run)?;
        bytes.get(start..end)?;
        for at in start..end {
            *bytes.get_mut(to)? = *bytes.get(at)?;
            to = to.checked_add(1)?;
        }
        from = end;
        if code != u8::MAX && from < bytes.len() {
            *bytes.get_mut(to)? = 0;
            to = to.checked_add(1)?;
        }
    }
    Some(to)
}

/// A piece of the input of a deframer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received<'a> {
    /// Bytes outside frames: kernel log lines, or a person typing.
    Text(&'a [u8]),
    /// A packet with a valid CRC.
    Packet(&'a [u8]),
    /// A frame that was too long, not COBS, or had a wrong CRC. Its bytes are dropped.
    Garbage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Between frames: bytes are text, and a zero starts a frame.
    Outside,
    /// Inside a frame; bytes buffered so far.
    Inside(usize),
    /// Inside a frame that is too long; waiting for its end.
    Overlong,
}

/// Finds packets in the bytes of a serial line.
#[derive(Debug)]
pub struct Deframer {
    state: State,
    buf: [u8; MAX_STUFFED],
}

impl Default for Deframer {
    fn default() -> Self {
        Self::new()
    }
}

impl Deframer {
    /// A deframer before the first byte.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Outside, buf: [0; MAX_STUFFED] }
    }

    /// Takes bytes from the front of `input` up to the next piece. `None` if all bytes are taken.
    ///
    /// Call it in a loop until it returns `None`; the result borrows this deframer or the input.
    pub fn next<'r, 's: 'r, 'i: 'r>(&'s mut self, input: &mut &'i [u8]) -> Option<Received<'r>> {
        loop {
            let len = input.iter().position(|&byte| byte == 0);
            let (run, zero) = match len {
                Some(len) => (len, true),
                None => (input.len(), false),
            };
            let (bytes, rest) = input.split_at_checked(run)?;
            if self.state == State::Outside && !bytes.is_empty() {
                // The zero, if any, stays in the input and starts a frame in the next call.
                *input = rest;
                return Some(Received::Text(bytes));
            }
            *input = rest.get(usize::from(zero)..).unwrap_or_default();
            self.keep(bytes);
            if !zero {
                return None;
            }
            let ended = core::mem::replace(&mut self.state, State::Inside(0));
            match ended {
                State::Outside | State::Inside(0) => {}
                State::Overlong => return Some(Received::Garbage),
                State::Inside(len) => {
                    let Some(len) = self.buf.get_mut(..len).and_then(unstuff) else {
                        return Some(Received::Garbage);
                    };
                    return Some(match self.buf.get(..len).and_then(open) {
                        Some(packet) => {
                            self.state = State::Outside;
                            Received::Packet(packet)
                        }
                        None => Received::Garbage,
                    });
                }
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let State::Inside(len) = self.state {
            let room = self.buf.get_mut(len..).and_then(|room| room.get_mut(..bytes.len()));
            self.state = match room {
                Some(room) => {
                    for (to, from) in room.iter_mut().zip(bytes) {
                        *to = *from;
                    }
                    State::Inside(len.saturating_add(bytes.len()))
                }
                None => State::Overlong,
            };
        }
    }

    /// Whether a frame has started and not ended yet.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.state != State::Outside
    }

    /// Drops an unfinished frame, so that the next bytes are text again. Returns `true` if there
    /// was one. For a line on which no byte has arrived for a while.
    pub fn abandon(&mut self) -> bool {
        core::mem::replace(&mut self.state, State::Outside) != State::Outside
    }
}

#[cfg(test)]
mod tests;
