//! A short text that is copied out of a message, so that it can outlive the buffer.
//!
//! `heapless::String` would serve except that it is not `Copy`, as errors here are.

use core::fmt;
use core::ops::Deref;

use super::prefix;

/// At most `N` bytes of UTF-8, stored in place. `N` is at most 255.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const N: usize> {
    // The bytes after `len` are zero, so that comparing all bytes compares the texts.
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Text<N> {
    /// The longest prefix of a text that fits, cut between two characters.
    #[must_use]
    pub fn cut(text: &str) -> Self {
        const { assert!(N <= 255, "its length is a byte") };
        let mut bytes = [0; N];
        let len = fill(&mut bytes, text);
        Self { bytes, len }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        // The bytes came from a `str` and were cut at a character boundary.
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// Copies the longest prefix of `text` that fits, and returns its length.
#[cfg_attr(feature = "small", inline(never))]
fn fill(bytes: &mut [u8], text: &str) -> u8 {
    let text = prefix(text, bytes.len().min(usize::from(u8::MAX)));
    for (to, from) in bytes.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    u8::try_from(text.len()).unwrap_or(u8::MAX)
}

impl<const N: usize> Deref for Text<N> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_characters() {
        assert_eq!(&*Text::<4>::cut("abc"), "abc");
        assert_eq!(&*Text::<4>::cut("abcd"), "abcd");
        assert_eq!(&*Text::<4>::cut("abcde"), "abcd");
        assert_eq!(&*Text::<4>::cut("abc\u{e9}"), "abc");
        assert_eq!(&*Text::<2>::cut("\u{20ac}"), "");
        assert_eq!(Text::<4>::cut("ab"), Text::<4>::cut("ab"));
    }
}
