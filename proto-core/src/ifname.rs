//! The name of a network interface.

use core::fmt;
use core::ops::Deref;
use core::str::FromStr;

use crate::text::Text;

/// The longest name in bytes: `IFNAMSIZ` (`linux/if.h`) without its NUL.
pub const IFNAME_MAX: usize = 15;

/// A name that an interface can have: 1 to 15 bytes of UTF-8 without `/`, `:`, `%`, NUL or white space, and
/// neither `.` nor `..` (`dev_valid_name` in `net/core/dev.c`).
///
/// The kernel accepts a `%` only in `%d`, which it replaces by a number: the interface then has
/// another name than requested. So no interface has a `%` in its name, and no request may contain
/// one.
///
/// `parse` accepts every name that the kernel may report. A name from a file or an image goes
/// through [`IfName::plain`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfName(Text<IFNAME_MAX>);

/// A text cannot be the name of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IfNameError;

impl IfNameError {
    /// The format of a name.
    pub const WORDS: &str =
        "not an interface name: 1 to 15 of the letters a-z A-Z, digits and _ = + . -";
}

impl fmt::Display for IfNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::WORDS)
    }
}

impl core::error::Error for IfNameError {}

impl IfName {
    /// Parses an interface name in a file or an image, as wg-quick(8) does: letters, digits and
    /// `_=+.-`.
    ///
    /// # Errors
    /// [`IfNameError`] for any other text.
    pub fn plain(text: &str) -> Result<Self, IfNameError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_=+.-".contains(&byte);
        if text.bytes().all(plain) { text.parse() } else { Err(IfNameError) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// The bytes that are not allowed inside a name. The kernel's `isspace` is that of Latin-1, so
/// 0xa0, which also occurs inside UTF-8 characters, is among them.
const fn refused(byte: u8) -> bool {
    matches!(byte, 0 | b'%' | b'/' | b':' | b'\t'..=b'\r' | b' ' | 0xa0)
}

impl Default for IfName {
    /// The loopback interface, as a placeholder.
    fn default() -> Self {
        Self(Text::cut("lo"))
    }
}

impl Deref for IfName {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for IfName {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for IfName {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl TryFrom<&str> for IfName {
    type Error = IfNameError;

    fn try_from(s: &str) -> Result<Self, IfNameError> {
        s.parse()
    }
}

#[cfg(feature = "serde")]
mod with_serde {
    use core::fmt;

    use serde::de::{Deserialize, Deserializer, Visitor};
    use serde::ser::{Serialize, Serializer};

    use super::IfName;

    impl Serialize for IfName {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(self)
        }
    }

    impl<'de> Deserialize<'de> for IfName {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Name;

            impl Visitor<'_> for Name {
                type Value = IfName;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("the name of an interface")
                }

                fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<IfName, E> {
                    text.parse().map_err(E::custom)
                }
            }

            deserializer.deserialize_str(Name)
        }
    }
}

impl FromStr for IfName {
    type Err = IfNameError;

    #[cfg_attr(feature = "small", inline(never))]
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
            "wg%d",
            "%",
            "sixteen bytes ok",
            "\u{e0}",
        ] {
            assert_eq!(bad.parse::<IfName>(), Err(IfNameError), "{bad:?}");
        }
        assert_eq!("sixteen-bytes-ok".parse::<IfName>(), Err(IfNameError));
    }

    #[test]
    fn a_percent_sign_would_make_an_interface_of_another_name() {
        for bad in ["wg%d", "%", "wg%", "%d%d", "wg%s", "wg0%"] {
            assert_eq!(bad.parse::<IfName>(), Err(IfNameError), "{bad}");
            assert_eq!(IfName::plain(bad), Err(IfNameError), "{bad}");
        }
    }

    #[test]
    fn files_and_images_give_the_names_that_wg_quick_takes() {
        for good in ["wg0", "a", "_=+.-", "fifteen-letters", "..."] {
            assert_eq!(IfName::plain(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "wg\u{e9}", "wg@2", "exactly15bytes!", "sixteen-letters-", "a b"]
        {
            assert_eq!(IfName::plain(bad), Err(IfNameError), "{bad:?}");
        }
    }
}
