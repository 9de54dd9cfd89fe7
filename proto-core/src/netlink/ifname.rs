//! The name of a network interface.

use core::fmt;
use core::str::FromStr;

use super::text::Text;

/// The longest name in bytes: `IFNAMSIZ` (`linux/if.h`) without its NUL.
pub const IFNAME_MAX: usize = 15;

/// An interface name the kernel would take: 1 to 15 bytes of UTF-8 without `/`, `:`, NUL or white
/// space, and neither `.` nor `..` (`dev_valid_name` in `net/core/dev.c`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfName(Text<IFNAME_MAX>);

/// A text cannot be the name of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IfNameError;

impl fmt::Display for IfNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an interface name: 1 to 15 bytes without `/`, `:` or white space")
    }
}

impl core::error::Error for IfNameError {}

impl IfName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// The bytes the kernel refuses inside a name. Its `isspace` is that of Latin-1, so 0xa0, which
/// also occurs inside UTF-8 characters, is among them.
const fn refused(byte: u8) -> bool {
    matches!(byte, 0 | b'/' | b':' | b'\t'..=b'\r' | b' ' | 0xa0)
}

impl FromStr for IfName {
    type Err = IfNameError;

    fn from_str(s: &str) -> Result<Self, IfNameError> {
        let length = 1..=IFNAME_MAX;
        if !length.contains(&s.len()) || matches!(s, "." | "..") || s.bytes().any(refused) {
            return Err(IfNameError);
        }
        Ok(Self(Text::cut(s)))
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_the_kernel_takes() {
        for good in ["wg0", "a", "...", "br-lan.1", "exactly15bytes!", "wg\u{e9}"] {
            assert_eq!(good.parse::<IfName>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "a\tb",
            "a\nb",
            "a:1",
            "a\0b",
            "sixteen bytes ok",
            "\u{e0}",
        ] {
            assert_eq!(bad.parse::<IfName>(), Err(IfNameError), "{bad:?}");
        }
        assert_eq!("sixteen-bytes-ok".parse::<IfName>(), Err(IfNameError));
    }
}
