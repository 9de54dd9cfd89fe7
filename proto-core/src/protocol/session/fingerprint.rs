//! Fingerprints: a public key in few enough characters for two people to compare.

use heapless::String;

use super::mac::hash;
use crate::encoding::base32;
use crate::key::PublicKey;

/// The fingerprint of a public key: 100 bits of its BLAKE2s in base32 (RFC 4648), such as
/// `ABCD-EFGH-IJKL-MNOP-QRST`.
#[must_use]
#[cfg_attr(feature = "small", inline(never))]
pub fn fingerprint(key: &PublicKey) -> String<24> {
    let mut digits = [0; 20];
    base32(&hash(&[b"Postwire fingerprint", &key.0]), &mut digits);
    let mut text = String::new();
    for (nth, digit) in digits.into_iter().enumerate() {
        // The string has room for 20 digits and 4 dashes.
        if nth != 0 && nth % 4 == 0 {
            let _ = text.push('-');
        }
        let _ = text.push(char::from(digit));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_digits_of_base32() {
        let key = PublicKey([3; 32]);
        // The same 100 bits, computed as one number, five bits at a time.
        let mut number = [0; 16];
        number.copy_from_slice(&hash(&[b"Postwire fingerprint", &key.0])[..16]);
        let number = u128::from_be_bytes(number);
        let digits: Vec<char> = (0..20)
            .map(|nth| (number >> (123 - 5 * nth) & 31) as u8)
            .map(|five| char::from(if five < 26 { b'A' + five } else { b'2' + five - 26 }))
            .collect();
        let groups: Vec<String<4>> = digits.chunks(4).map(|four| four.iter().collect()).collect();
        assert_eq!(*fingerprint(&key), *groups.join("-"));
    }
}
