//! The agent's table of boards, by board name, in as few bytes as possible.
//!
//! The agent needs a port and an LED of [`BOARDS`], not the names of packages and sources. The compiler packs these
//! into one text, a line for each board: `/dev/ttyS0@57600 green:power NAME NAME`, with `-` for no LED.

use crate::{BOARDS, boards::X86};

const LEN: usize = pack::<0>().1;
const PACKED: [u8; LEN] = pack::<LEN>().0;

/// The packed text, and its length. Bytes beyond `N` are only counted.
const fn pack<const N: usize>() -> ([u8; N], usize) {
    let (mut out, mut len) = ([0; N], 0);
    let mut at = 0;
    while at < BOARDS.len() {
        let board = &BOARDS[at];
        len = text(&mut out, len, board.serial.device);
        len = text(&mut out, len, "@");
        len = decimal(&mut out, len, board.serial.baud);
        len = text(&mut out, len, " ");
        len = text(&mut out, len, if let Some(led) = board.led { led } else { "-" });
        let mut name = 0;
        while name < board.names.len() {
            len = text(&mut out, len, " ");
            len = text(&mut out, len, board.names[name]);
            name += 1;
        }
        len = text(&mut out, len, "\n");
        at += 1;
    }
    (out, len)
}

const fn text<const N: usize>(out: &mut [u8; N], mut len: usize, text: &str) -> usize {
    let mut at = 0;
    while at < text.len() {
        if len < N {
            out[len] = text.as_bytes()[at];
        }
        len += 1;
        at += 1;
    }
    len
}

const fn decimal<const N: usize>(out: &mut [u8; N], len: usize, number: u32) -> usize {
    let len = if number < 10 { len } else { decimal(out, len, number / 10) };
    if len < N {
        out[len] = b'0' + (number % 10) as u8;
    }
    len + 1
}

/// The fields of a board's line.
fn fields(name: &str) -> Option<impl Iterator<Item = &'static str>> {
    let packed = core::str::from_utf8(&PACKED).unwrap_or_default();
    let mut lines = packed.split('\n').map(|line| line.split(' '));
    lines.find(|fields| fields.clone().skip(2).any(|known| known == name))
}

/// The serial port of a board, in the form of `--serial`, and its status LED.
///
/// On x86, OpenWrt derives the name from the firmware's description of the machine, and the console
/// is the same on all machines: every name of that form is known there. Names from device trees
/// contain a comma.
#[must_use]
pub fn auto(name: &str) -> Option<(&'static str, Option<&'static str>)> {
    let firmware = cfg!(any(target_arch = "x86", target_arch = "x86_64"));
    let firmware = firmware && !name.is_empty() && !name.contains(',');
    let mut fields = fields(name).or_else(|| fields(if firmware { X86 } else { return None }))?;
    Some((fields.next()?, fields.next().filter(|led| *led != "-")))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;

    #[test]
    fn every_name_leads_to_the_port_and_the_led_of_its_board() {
        for board in BOARDS {
            let port = format!("{}@{}", board.serial.device, board.serial.baud);
            for name in board.names {
                assert_eq!(auto(name), Some((port.as_str(), board.led)), "{name}");
            }
        }
        std::println!("{} boards in {LEN} bytes", BOARDS.len());
    }

    #[test]
    fn parts_of_the_table_are_no_names() {
        for name in ["", "-", "PWR", "/dev/ttyS0@115200", "openwrt", "openwrt,one\n", "nobody,s"] {
            let known = auto(name).filter(|_| name.is_empty() || name.contains(','));
            assert_eq!(known, None, "{name:?}");
        }
    }

    #[test]
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    fn every_pc_has_its_console() {
        let port = auto("qemu-standard-pc-q35-ich9-2009");
        assert_eq!(port, Some(("/dev/ttyS0@115200", None)));
        assert_eq!(auto("dell-inc,x"), None);
    }
}
