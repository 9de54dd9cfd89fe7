//! WireGuard in user space: the text that its programs read and write on a socket
//! (wireguard.com/xplatform), in place of the kernel's generic netlink.
//!
//! A request is lines of `key=value` and an empty line, and so is its answer, in which one line says
//! `errno=0`, or what went wrong. Keys of WireGuard are hexadecimal.
//!
//! - [`set`]: a change, which [`SetEncoder`] writes where the family is [`NO_FAMILY`].
//! - [`get`]: an answer, decoded as it arrives into the events that a dump of the kernel's becomes.
//!
//! Both stream: neither holds more than one piece or one line, however many peers there are.
//!
//! Not here: sockets, and the addresses of host names.
//!
//! [`SetEncoder`]: crate::netlink::wireguard::SetEncoder

use crate::key::KEY_LEN;

pub mod get;
pub(crate) mod set;

pub use get::{Answer, AnswerError, Sink};

/// In the place of the number of the kernel's family: what is written is text. No family has this
/// number, because netlink has those below 16 for itself.
pub const NO_FAMILY: u16 = 0;
/// The request for a device and its peers, without its [`END`].
pub const GET: &[u8] = b"get=1\n";
/// The end of each request.
pub const END: &[u8] = b"\n";

/// The length of a key in hexadecimal digits.
const HEX_LEN: usize = 2 * KEY_LEN;

/// A key in hexadecimal digits, in a time that does not depend on it.
#[cfg_attr(feature = "small", inline(never))]
fn hex(key: &[u8; KEY_LEN]) -> [u8; HEX_LEN] {
    let mut text = [0; HEX_LEN];
    for (two, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(key) {
        // From ten on, a letter.
        *two = [byte >> 4, byte & 15].map(|digit| {
            let letter = (9_u8.wrapping_sub(digit) >> 7).wrapping_mul(b'a' - b'0' - 10);
            digit.wrapping_add(b'0').wrapping_add(letter)
        });
    }
    text
}

/// Reads a key from hexadecimal digits, in a time that does not depend on it. `None` if the text is not
/// that of a key.
#[cfg_attr(feature = "small", inline(never))]
fn unhex(text: &[u8], key: &mut [u8; KEY_LEN]) -> Option<()> {
    let text: &[u8; HEX_LEN] = text.try_into().ok()?;
    let mut good = 0xff;
    // All ones below the bound, else zeros.
    let below = |number: u8, bound: u16| (u16::from(number).wrapping_sub(bound) >> 8) as u8;
    for (byte, two) in key.iter_mut().zip(text.as_chunks::<2>().0) {
        for char in two {
            let (digit, letter) = (char.wrapping_sub(b'0'), (char | 0x20).wrapping_sub(b'a'));
            let (is_digit, is_letter) = (below(digit, 10), below(letter, 6));
            good &= is_digit | is_letter;
            *byte = *byte << 4 | digit & is_digit | letter.wrapping_add(10) & is_letter;
        }
    }
    (good == 0xff).then_some(())
}

#[cfg(test)]
mod tests;
