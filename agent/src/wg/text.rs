//! The formats of `wg` for keys, addresses, times and sizes.

use core::fmt::Write;
use core::net::{IpAddr, Ipv4Addr};

use proto_core::ip::{IP_TEXT_LEN, ip_text};
use proto_core::key::{KEY_LEN, KEY_TEXT_LEN, SecretKey};
use proto_core::text::{DECIMAL_LEN, decimal};
use zeroize::Zeroize;

pub(super) const RESET: &str = "\x1b[0m";
pub(super) const BOLD: &str = "\x1b[1m";
pub(super) const RED: &str = "\x1b[31m";
pub(super) const GREEN: &str = "\x1b[32m";
pub(super) const YELLOW: &str = "\x1b[33m";
pub(super) const CYAN: &str = "\x1b[36m";

/// A destination for text. Most text comes as bytes: validating UTF-8 would take longer than
/// writing them.
pub(crate) trait Sink: Write {
    fn bytes(&mut self, bytes: &[u8]);
}

/// A key, in constant time.
#[inline(never)]
pub(super) fn key(out: &mut dyn Sink, key: &[u8; KEY_LEN]) {
    let mut text = [0; KEY_TEXT_LEN];
    SecretKey::new(*key).write(&mut text);
    out.bytes(&text);
    text.as_mut_slice().zeroize();
}

/// A number.
pub(super) fn number(out: &mut dyn Sink, number: u64) {
    out.bytes(decimal(number, &mut [0; DECIMAL_LEN]));
}

/// An address, as inet_ntop(3) of glibc writes it: an IPv6 address with only its last 32 bits set,
/// and not only the last 16, ends as an IPv4 address.
#[inline(never)]
pub(crate) fn ip(out: &mut dyn Sink, mut ip: IpAddr) {
    if let IpAddr::V6(v6) = ip
        && let [0, 0, 0, 0, 0, 0, high, low] = v6.segments()
        && high != 0
    {
        out.bytes(b"::");
        ip = IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    }
    out.bytes(ip_text(ip, &mut [0; IP_TEXT_LEN]));
}

/// Text in a colour, if colours are on.
pub(super) fn paint(out: &mut dyn Write, colour: bool, codes: &[&str], text: &str) {
    let show = |out: &mut dyn Write, code: &str| {
        if colour {
            let _ = out.write_str(code);
        }
    };
    for code in codes {
        show(out, code);
    }
    let _ = out.write_str(text);
    show(out, RESET);
}

/// A duration, in years, days, hours, minutes and seconds. Empty for 0.
#[inline(never)]
pub(super) fn time(out: &mut dyn Write, colour: bool, mut left: u64) {
    let mut comma = "";
    for (unit, seconds) in [
        ("years", 365 * 24 * 60 * 60),
        ("days", 24 * 60 * 60),
        ("hours", 60 * 60),
        ("minutes", 60),
        ("seconds", 1),
    ] {
        let count = left.checked_div(seconds).unwrap_or(0);
        left = left.checked_rem(seconds).unwrap_or(0);
        if count == 0 {
            continue;
        }
        let _ = write!(out, "{comma}{count} ");
        let one = unit.strip_suffix('s').filter(|_| count == 1);
        paint(out, colour, &[CYAN], one.unwrap_or(unit));
        comma = ", ";
    }
}

/// The time since an event.
pub(super) fn ago(out: &mut dyn Write, colour: bool, now: u64, then: u64) {
    if now == then {
        let _ = out.write_str("Now");
    } else if now < then {
        let _ = out.write_str("(");
        let words = "System clock wound backward; connection problems may ensue.";
        paint(out, colour, &[RED], words);
        let _ = out.write_str(")");
    } else {
        time(out, colour, now.saturating_sub(then));
        let _ = out.write_str(" ago");
    }
}

/// A number of bytes with two decimals, rounded as printf(3) does: to the nearest, and halfway to
/// even.
#[inline(never)]
pub(super) fn bytes(out: &mut dyn Write, colour: bool, bytes: u64) {
    if bytes < 1024 {
        let _ = write!(out, "{bytes} ");
        paint(out, colour, &[CYAN], "B");
        return;
    }
    let (unit, shift) = match bytes {
        0x100_0000_0000.. => ("TiB", 40_u32),
        0x4000_0000.. => ("GiB", 30),
        0x10_0000.. => ("MiB", 20),
        _ => ("KiB", 10),
    };
    let one = 1_u64.unbounded_shl(shift);
    let rest = bytes & one.wrapping_sub(1);
    // At most 100 times 2^40, which fits.
    let rest = rest.saturating_mul(100);
    let (mut digits, beyond) = (rest.unbounded_shr(shift), rest & one.wrapping_sub(1));
    let half = one / 2;
    if beyond > half || (beyond == half && digits & 1 == 1) {
        digits = digits.saturating_add(1);
    }
    let whole = bytes.unbounded_shr(shift).saturating_add(digits / 100);
    let _ = write!(out, "{whole}.{:02} ", digits % 100);
    paint(out, colour, &[CYAN], unit);
}
