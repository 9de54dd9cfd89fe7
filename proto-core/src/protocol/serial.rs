//! Packets over any byte stream with the traits of `embedded_io`: a UART of a microcontroller, a serial port of the
//! host, a pipe.
//!
//! Not here: timeouts, which belong to the stream, and pacing.

use embedded_io::{Read, Write};

use super::frame::{Deframer, MAX_SEALED, Received, WriteError, write_serial};

/// A stream that carries frames, with text between them.
#[derive(Debug)]
pub struct SerialLine<T> {
    stream: T,
    deframer: Deframer,
}

impl<T> SerialLine<T> {
    /// A line before the first byte.
    #[must_use]
    pub const fn new(stream: T) -> Self {
        Self { stream, deframer: Deframer::new() }
    }

    /// The stream.
    pub const fn stream(&mut self) -> &mut T {
        &mut self.stream
    }

    /// Drops an unfinished frame, as [`Deframer::abandon`].
    pub fn abandon(&mut self) -> bool {
        self.deframer.abandon()
    }
}

impl<T: Read> SerialLine<T> {
    /// Reads from the stream once, into `buf`, and passes every piece of the bytes to `take`:
    /// packets, text and garbage. Returns the number of bytes read; 0 is the end of the stream.
    ///
    /// # Errors
    /// The error of the stream.
    pub fn read(
        &mut self,
        buf: &mut [u8],
        take: &mut dyn FnMut(Received<'_>),
    ) -> Result<usize, T::Error> {
        let len = self.stream.read(buf)?;
        let mut input = buf.get(..len).unwrap_or_default();
        while let Some(received) = self.deframer.next(&mut input) {
            take(received);
        }
        Ok(len)
    }
}

impl<T: Write> SerialLine<T> {
    /// Sends a packet as one frame.
    ///
    /// # Errors
    /// [`WriteError`] if the packet is too long or the stream fails.
    pub fn send(&mut self, packet: &[u8]) -> Result<(), WriteError<T::Error>> {
        let mut buf = [0; MAX_SEALED];
        buf.get_mut(..packet.len()).ok_or(WriteError::TooLong)?.copy_from_slice(packet);
        write_serial(&mut self.stream, &mut buf, packet.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::MAX_OUTER;
    use std::collections::VecDeque;

    /// A line that returns the bytes that are written to it, a few at a time.
    #[derive(Default)]
    struct Loop(VecDeque<u8>);

    impl embedded_io::ErrorType for Loop {
        type Error = core::convert::Infallible;
    }

    impl Read for Loop {
        fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
            let len = buf.len().min(self.0.len()).min(7);
            buf.iter_mut().zip(self.0.drain(..len)).for_each(|(to, from)| *to = from);
            Ok(len)
        }
    }

    impl Write for Loop {
        fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
            let len = buf.len().min(5);
            self.0.extend(&buf[..len]);
            Ok(len)
        }

        fn flush(&mut self) -> Result<(), Self::Error> {
            Ok(())
        }
    }

    #[test]
    fn packets_and_text_come_out_as_they_went_in() {
        let mut line = SerialLine::new(Loop::default());
        let packets = [vec![1, 0, 2], vec![0; MAX_OUTER], (0..=255).collect()];
        for packet in &packets {
            line.stream().0.extend(b"login: ");
            line.send(packet).unwrap();
        }
        let (mut text, mut found) = (Vec::new(), Vec::new());
        let mut take = |received: Received<'_>| match received {
            Received::Text(bytes) => text.extend_from_slice(bytes),
            Received::Packet(packet) => found.push(packet.to_vec()),
            Received::Garbage => panic!(),
        };
        while line.read(&mut [0; 64], &mut take).unwrap() > 0 {}
        assert_eq!(found, packets);
        assert_eq!(text, b"login: ".repeat(3));
        assert!(!line.abandon());
        assert_eq!(line.send(&[0; MAX_OUTER + 1]), Err(WriteError::TooLong));
        assert!(line.stream().0.is_empty());
    }
}
