//! Bytes as text: base64 and hexadecimal digits of keys, and base32 of fingerprints.
//!
//! Keys are converted in constant time: neither branches nor table lookups depend on the key. The crate
//! `base64ct` does the same for base64 and adds 2.6 KB to the agent; the tests of `key` compare the two.

use zeroize::Zeroize;

/// The length of every WireGuard key in bytes (`WG_KEY_LEN`).
pub const KEY_LEN: usize = 32;
/// The length of a key in base64, with its one `=`.
pub const KEY_TEXT_LEN: usize = 44;

/// Characters or numbers of six bits, eight at a time, each in a byte of its own.
const EACH: u64 = u64::from_ne_bytes([1; 8]);
/// A key followed by zeros, and its characters: eight characters are six bytes.
const ROOM: usize = 36;
const TEXT_ROOM: usize = 48;

/// A one in each byte of `bytes` that is `bound` or more, and a zero in each other byte. All are
/// below 128.
#[inline(always)]
const fn reach(bytes: u64, bound: u8) -> u64 {
    bytes.wrapping_add(EACH.wrapping_mul(0x80_u8.wrapping_sub(bound) as u64)) >> 7 & EACH
}

/// Reads a key from base64; `None` if the text does not encode 32 bytes. Constant time: the
/// conversion is computed and uses no table.
#[cfg_attr(feature = "small", inline(never))]
pub(crate) fn from_base64(text: &[u8]) -> Option<[u8; KEY_LEN]> {
    let (digits, [b'=']) = text.split_last_chunk()? else { return None };
    // An `A` stands for six zero bits.
    let mut padded = [b'A'; TEXT_ROOM];
    let front = padded.first_chunk_mut::<{ KEY_TEXT_LEN - 1 }>();
    let (Some(front), Ok(digits)) = (front, digits.try_into()) else { return None };
    *front = digits;
    let mut room = [0; ROOM];
    let mut wrong = 0;
    for (six, eight) in room.as_chunks_mut::<6>().0.iter_mut().zip(padded.as_chunks().0) {
        let chars = u64::from_be_bytes(*eight);
        wrong |= chars >> 7 & EACH;
        let chars = chars & EACH.wrapping_mul(0x7f);
        let (slash, zero) = (reach(chars, b'/'), reach(chars, b'0'));
        let (upper, lower) = (reach(chars, b'A'), reach(chars, b'a'));
        // Each range of the alphabet starts at one bound and ends before another.
        let inside = reach(chars, b'+') ^ reach(chars, b'+' + 1) ^ slash ^ reach(chars, b'9' + 1);
        let inside = inside ^ upper ^ reach(chars, b'Z' + 1) ^ lower ^ reach(chars, b'z' + 1);
        wrong |= EACH ^ inside;
        // The difference between a character and its number, modulo 64.
        let add = EACH.wrapping_mul(19).wrapping_sub(slash.wrapping_mul(3));
        let add = add.wrapping_sub(zero.wrapping_mul(12)).wrapping_add(upper.wrapping_mul(59));
        let add = add.wrapping_sub(lower.wrapping_mul(6));
        let bits = chars.wrapping_add(add) & EACH.wrapping_mul(63);
        let bits = bits >> 2 & 0x0fc0_0fc0_0fc0_0fc0 | bits & 0x003f_003f_003f_003f;
        let bits = bits >> 4 & 0x00ff_f000_00ff_f000 | bits & 0x0000_0fff_0000_0fff;
        let bits = bits >> 8 & 0xffff_ff00_0000 | bits & 0x00ff_ffff;
        let [_, _, bytes @ ..] = bits.to_be_bytes();
        *six = bytes;
    }
    let (key, behind) = room.split_first_chunk()?;
    // There are bits after the last byte.
    let read = (wrong == 0 && behind == [0; ROOM - KEY_LEN]).then_some(*key);
    room.zeroize();
    padded.zeroize();
    read
}

/// Writes a key as base64 into `buf`, in constant time.
#[cfg_attr(feature = "small", inline(never))]
pub(crate) fn to_base64(key: &[u8; KEY_LEN], buf: &mut [u8; KEY_TEXT_LEN]) {
    let mut room = [0; ROOM];
    let mut padded = [0; TEXT_ROOM];
    if let Some(front) = room.first_chunk_mut() {
        *front = *key;
    }
    for (eight, six) in padded.as_chunks_mut().0.iter_mut().zip(room.as_chunks().0) {
        let [a, b, c, d, e, f] = *six;
        let bits = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        let bits = bits << 8 & 0x00ff_ffff_0000_0000 | bits & 0x00ff_ffff;
        let bits = bits << 4 & 0x0fff_0000_0fff_0000 | bits & 0x0000_0fff_0000_0fff;
        let bits = bits << 2 & 0x3f00_3f00_3f00_3f00 | bits & 0x003f_003f_003f_003f;
        // The difference between a number and its character.
        let add = EACH.wrapping_mul(65).wrapping_add(reach(bits, 26).wrapping_mul(6));
        let add = add.wrapping_sub(reach(bits, 52).wrapping_mul(75));
        let add = add.wrapping_sub(reach(bits, 62).wrapping_mul(15));
        let add = add.wrapping_add(reach(bits, 63).wrapping_mul(3));
        *eight = bits.wrapping_add(add).to_be_bytes();
    }
    if let Some(front) = padded.first_chunk() {
        *buf = *front;
    }
    if let Some(last) = buf.last_mut() {
        *last = b'=';
    }
    room.zeroize();
    padded.zeroize();
}

/// The length of a key in hexadecimal digits.
#[cfg(feature = "wireguard")]
const HEX_LEN: usize = 2 * KEY_LEN;

/// A key in hexadecimal digits, in constant time.
#[cfg(feature = "wireguard")]
#[cfg_attr(feature = "small", inline(never))]
pub(crate) fn hex(key: &[u8; KEY_LEN]) -> [u8; HEX_LEN] {
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

/// Reads a key from hexadecimal digits, in constant time. `None` if the text is not a key.
#[cfg(feature = "wireguard")]
#[cfg_attr(feature = "small", inline(never))]
pub(crate) fn unhex(text: &[u8], key: &mut [u8; KEY_LEN]) -> Option<()> {
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

/// The base32 digits (RFC 4648) of the first bits of `bytes`: as many as `digits` holds, with zero
/// bits after the end of the bytes.
#[cfg(feature = "protocol")]
#[cfg_attr(feature = "small", inline(never))]
pub(crate) fn base32(bytes: &[u8], digits: &mut [u8]) {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bytes = bytes.iter();
    // The next bits, highest first, and their number.
    let (mut bits, mut count) = (0_u32, 0_u32);
    for place in digits {
        if count < 5 {
            bits = bits << 8 | u32::from(bytes.next().copied().unwrap_or(0));
            count = count.saturating_add(8);
        }
        count = count.saturating_sub(5);
        let digit = bits.checked_shr(count).unwrap_or(0) & 31;
        *place = ALPHABET.get(digit as usize).copied().unwrap_or(b'=');
    }
}
