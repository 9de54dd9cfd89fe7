//! Shared by the tests: bytes from hexadecimal text, and messages as a kernel would send them.

use super::write::{Full, Writer};
use super::{Message, Messages};

/// The bytes of `text`, captured on a little-endian machine. White space is ignored.
#[cfg(target_endian = "little")]
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|c| c.to_digit(16)).map(|d| u8::try_from(d).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// A datagram written with `put`.
pub(crate) fn datagram(put: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Vec<u8> {
    let mut buf = vec![0xaa; 1 << 14];
    let mut writer = Writer::new(&mut buf);
    put(&mut writer).unwrap();
    writer.finish().to_vec()
}

/// The messages of a well-formed datagram.
pub(crate) fn messages(datagram: &[u8]) -> Vec<Message<'_>> {
    Messages::new(datagram).map(Result::unwrap).collect()
}
