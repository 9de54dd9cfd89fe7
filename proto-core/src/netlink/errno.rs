//! The kernel's error numbers, by name.
//!
//! Sources: `asm-generic/errno-base.h`, `asm-generic/errno.h`, and for MIPS, whose numbers from 35
//! on are its own, `arch/mips/include/uapi/asm/errno.h`.

use core::fmt;

use crate::text::split;

/// A positive error number of the machine this was compiled for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Errno(pub i32);

/// MIPS kept the numbers of IRIX.
const MIPS: bool = cfg!(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6"
));

macro_rules! errnos {
    ($($name:ident $generic:literal $mips:literal $text:literal)*) => {
        impl Errno {
            $(
                #[doc = $text]
                pub const $name: Self = Self(if MIPS { $mips } else { $generic });
            )*
        }

        /// Number everywhere but on MIPS, number on MIPS.
        const NUMBERS: &[(u8, u8)] = &[$(($generic, $mips),)*];

        /// A line for each of [`NUMBERS`]: name, what it says. In one piece, because a table of
        /// texts would be as long again in pointers.
        const WORDS: &str = concat!($(stringify!($name), " ", $text, "\n",)*);
    };
}

errnos! {
    EPERM             1   1 "Operation not permitted"
    ENOENT            2   2 "No such file or directory"
    ESRCH             3   3 "No such process"
    EINTR             4   4 "Interrupted system call"
    EIO               5   5 "Input/output error"
    ENXIO             6   6 "No such device or address"
    E2BIG             7   7 "Argument list too long"
    EBADF             9   9 "Bad file descriptor"
    EAGAIN           11  11 "Resource temporarily unavailable"
    ENOMEM           12  12 "Cannot allocate memory"
    EACCES           13  13 "Permission denied"
    EBUSY            16  16 "Device or resource busy"
    EEXIST           17  17 "File exists"
    ENODEV           19  19 "No such device"
    ENOTDIR          20  20 "Not a directory"
    EISDIR           21  21 "Is a directory"
    EINVAL           22  22 "Invalid argument"
    ENFILE           23  23 "Too many open files in system"
    EMFILE           24  24 "Too many open files"
    ENOSPC           28  28 "No space left on device"
    EPIPE            32  32 "Broken pipe"
    ERANGE           34  34 "Numerical result out of range"
    ENAMETOOLONG     36  78 "File name too long"
    ENOSYS           38  89 "Function not implemented"
    EBADR            53  51 "Invalid request descriptor"
    EPROTO           71  71 "Protocol error"
    EBADMSG          74  77 "Bad message"
    EOVERFLOW        75  79 "Value too large for defined data type"
    EDESTADDRREQ     89  96 "Destination address required"
    EMSGSIZE         90  97 "Message too long"
    EPROTONOSUPPORT  93 120 "Protocol not supported"
    EOPNOTSUPP       95 122 "Operation not supported"
    EPFNOSUPPORT     96 123 "Protocol family not supported"
    EAFNOSUPPORT     97 124 "Address family not supported by protocol"
    EADDRINUSE       98 125 "Address already in use"
    EADDRNOTAVAIL    99 126 "Cannot assign requested address"
    ENETDOWN        100 127 "Network is down"
    ENETUNREACH     101 128 "Network is unreachable"
    ENOBUFS         105 132 "No buffer space available"
    ENOTCONN        107 134 "Transport endpoint is not connected"
    ETIMEDOUT       110 145 "Connection timed out"
    ECONNREFUSED    111 146 "Connection refused"
    EHOSTUNREACH    113 148 "No route to host"
    EALREADY        114 149 "Operation already in progress"
}

impl Errno {
    /// From the number a netlink message carries: subsystems differ in its sign.
    #[must_use]
    pub const fn from_signed(number: i32) -> Self {
        Self(number.saturating_abs())
    }

    fn entry(self) -> Option<(&'static str, &'static str)> {
        let number = |(generic, mips): &(u8, u8)| i32::from(if MIPS { *mips } else { *generic });
        let at = NUMBERS.iter().position(|both| number(both) == self.0)?;
        let (mut line, mut rest) = split(WORDS, b'\n')?;
        for _ in 0..at {
            (line, rest) = split(rest, b'\n')?;
        }
        split(line, b' ')
    }

    /// The name (`ENODEV`), if this is one of the numbers met on this path.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        self.entry().map(|(name, _)| name)
    }

    /// What the number says (`No such device`), as `strerror` words it.
    #[must_use]
    pub fn text(self) -> Option<&'static str> {
        self.entry().map(|(_, text)| text)
    }
}

impl fmt::Display for Errno {
    /// `No such device (ENODEV)`, or `errno 524` where the number has no name here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry() {
            Some((name, text)) => write!(f, "{text} ({name})"),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl core::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_name_and_text() {
        assert_eq!(Errno::ENODEV.to_string(), "No such device (ENODEV)");
        assert_eq!(Errno::from_signed(-19), Errno::ENODEV);
        assert_eq!(Errno::from_signed(19), Errno::ENODEV);
        assert_eq!(Errno(524).to_string(), "errno 524");
        assert_eq!(Errno::from_signed(i32::MIN).to_string(), "errno 2147483647");
    }

    #[test]
    fn no_number_stands_for_two_names() {
        assert_eq!(WORDS.lines().count(), NUMBERS.len());
        for mips in [false, true] {
            let mut numbers: Vec<u8> =
                NUMBERS.iter().map(|&(g, m)| if mips { m } else { g }).collect();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), NUMBERS.len());
        }
    }

    #[test]
    fn mips_differs_from_35_on() {
        for &(generic, mips) in NUMBERS {
            if generic < 35 {
                assert_eq!(generic, mips);
            }
        }
        let mips = |name: &str| {
            let at = WORDS.lines().position(|line| line.starts_with(&format!("{name} ")));
            at.map(|at| NUMBERS[at].1)
        };
        assert_eq!(mips("EOPNOTSUPP"), Some(122));
        assert_eq!(mips("EADDRINUSE"), Some(125));
        assert_eq!(mips("ENOBUFS"), Some(132));
        assert_eq!(mips("EPROTO"), Some(71));
        assert_eq!(mips("EBADR"), Some(51));
    }
}
