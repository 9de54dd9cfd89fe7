//! The kernel's error numbers, by name.
//!
//! Sources: `asm-generic/errno-base.h`, `asm-generic/errno.h`, and for MIPS, whose numbers differ
//! from 35 on, `arch/mips/include/uapi/asm/errno.h`.

use core::fmt;

use crate::text::split;

/// A positive error number of the machine for which the program was compiled.
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

        /// The number on all machines but MIPS (`asm-generic`), and the number on MIPS.
        const NUMBERS: &[(u8, u16)] = &[$(($generic, $mips),)*];

        /// A line for each of [`NUMBERS`]: name and message. In one text, because a table of texts
        /// would need as many bytes again for pointers.
        const WORDS: &str = concat!($(stringify!($name), " ", $text, "\n",)*);
    };
}

errnos! {
    EPERM             1    1 "Operation not permitted"
    ENOENT            2    2 "No such file or directory"
    ESRCH             3    3 "No such process"
    EINTR             4    4 "Interrupted system call"
    EIO               5    5 "Input/output error"
    ENXIO             6    6 "No such device or address"
    E2BIG             7    7 "Argument list too long"
    ENOEXEC           8    8 "Exec format error"
    EBADF             9    9 "Bad file descriptor"
    ECHILD           10   10 "No child processes"
    EAGAIN           11   11 "Resource temporarily unavailable"
    ENOMEM           12   12 "Cannot allocate memory"
    EACCES           13   13 "Permission denied"
    EFAULT           14   14 "Bad address"
    ENOTBLK          15   15 "Block device required"
    EBUSY            16   16 "Device or resource busy"
    EEXIST           17   17 "File exists"
    EXDEV            18   18 "Invalid cross-device link"
    ENODEV           19   19 "No such device"
    ENOTDIR          20   20 "Not a directory"
    EISDIR           21   21 "Is a directory"
    EINVAL           22   22 "Invalid argument"
    ENFILE           23   23 "Too many open files in system"
    EMFILE           24   24 "Too many open files"
    ENOTTY           25   25 "Inappropriate ioctl for device"
    ETXTBSY          26   26 "Text file busy"
    EFBIG            27   27 "File too large"
    ENOSPC           28   28 "No space left on device"
    ESPIPE           29   29 "Illegal seek"
    EROFS            30   30 "Read-only file system"
    EMLINK           31   31 "Too many links"
    EPIPE            32   32 "Broken pipe"
    EDOM             33   33 "Numerical argument out of domain"
    ERANGE           34   34 "Numerical result out of range"
    EDEADLK          35   45 "Resource deadlock avoided"
    ENAMETOOLONG     36   78 "File name too long"
    ENOLCK           37   46 "No locks available"
    ENOSYS           38   89 "Function not implemented"
    ENOTEMPTY        39   93 "Directory not empty"
    ELOOP            40   90 "Too many levels of symbolic links"
    ENOMSG           42   35 "No message of desired type"
    EIDRM            43   36 "Identifier removed"
    ECHRNG           44   37 "Channel number out of range"
    EL2NSYNC         45   38 "Level 2 not synchronized"
    EL3HLT           46   39 "Level 3 halted"
    EL3RST           47   40 "Level 3 reset"
    ELNRNG           48   41 "Link number out of range"
    EUNATCH          49   42 "Protocol driver not attached"
    ENOCSI           50   43 "No CSI structure available"
    EL2HLT           51   44 "Level 2 halted"
    EBADE            52   50 "Invalid exchange"
    EBADR            53   51 "Invalid request descriptor"
    EXFULL           54   52 "Exchange full"
    ENOANO           55   53 "No anode"
    EBADRQC          56   54 "Invalid request code"
    EBADSLT          57   55 "Invalid slot"
    EBFONT           59   59 "Bad font file format"
    ENOSTR           60   60 "Device not a stream"
    ENODATA          61   61 "No data available"
    ETIME            62   62 "Timer expired"
    ENOSR            63   63 "Out of streams resources"
    ENONET           64   64 "Machine is not on the network"
    ENOPKG           65   65 "Package not installed"
    EREMOTE          66   66 "Object is remote"
    ENOLINK          67   67 "Link has been severed"
    EADV             68   68 "Advertise error"
    ESRMNT           69   69 "Srmount error"
    ECOMM            70   70 "Communication error on send"
    EPROTO           71   71 "Protocol error"
    EMULTIHOP        72   74 "Multihop attempted"
    EDOTDOT          73   73 "RFS specific error"
    EBADMSG          74   77 "Bad message"
    EOVERFLOW        75   79 "Value too large for defined data type"
    ENOTUNIQ         76   80 "Name not unique on network"
    EBADFD           77   81 "File descriptor in bad state"
    EREMCHG          78   82 "Remote address changed"
    ELIBACC          79   83 "Can not access a needed shared library"
    ELIBBAD          80   84 "Accessing a corrupted shared library"
    ELIBSCN          81   85 ".lib section in a.out corrupted"
    ELIBMAX          82   86 "Attempting to link in too many shared libraries"
    ELIBEXEC         83   87 "Cannot exec a shared library directly"
    EILSEQ           84   88 "Invalid or incomplete multibyte or wide character"
    ERESTART         85   91 "Interrupted system call should be restarted"
    ESTRPIPE         86   92 "Streams pipe error"
    EUSERS           87   94 "Too many users"
    ENOTSOCK         88   95 "Socket operation on non-socket"
    EDESTADDRREQ     89   96 "Destination address required"
    EMSGSIZE         90   97 "Message too long"
    EPROTOTYPE       91   98 "Protocol wrong type for socket"
    ENOPROTOOPT      92   99 "Protocol not available"
    EPROTONOSUPPORT  93  120 "Protocol not supported"
    ESOCKTNOSUPPORT  94  121 "Socket type not supported"
    EOPNOTSUPP       95  122 "Operation not supported"
    EPFNOSUPPORT     96  123 "Protocol family not supported"
    EAFNOSUPPORT     97  124 "Address family not supported by protocol"
    EADDRINUSE       98  125 "Address already in use"
    EADDRNOTAVAIL    99  126 "Cannot assign requested address"
    ENETDOWN        100  127 "Network is down"
    ENETUNREACH     101  128 "Network is unreachable"
    ENETRESET       102  129 "Network dropped connection on reset"
    ECONNABORTED    103  130 "Software caused connection abort"
    ECONNRESET      104  131 "Connection reset by peer"
    ENOBUFS         105  132 "No buffer space available"
    EISCONN         106  133 "Transport endpoint is already connected"
    ENOTCONN        107  134 "Transport endpoint is not connected"
    ESHUTDOWN       108  143 "Cannot send after transport endpoint shutdown"
    ETOOMANYREFS    109  144 "Too many references: cannot splice"
    ETIMEDOUT       110  145 "Connection timed out"
    ECONNREFUSED    111  146 "Connection refused"
    EHOSTDOWN       112  147 "Host is down"
    EHOSTUNREACH    113  148 "No route to host"
    EALREADY        114  149 "Operation already in progress"
    EINPROGRESS     115  150 "Operation now in progress"
    ESTALE          116  151 "Stale file handle"
    EUCLEAN         117  135 "Structure needs cleaning"
    ENOTNAM         118  137 "Not a XENIX named type file"
    ENAVAIL         119  138 "No XENIX semaphores available"
    EISNAM          120  139 "Is a named type file"
    EREMOTEIO       121  140 "Remote I/O error"
    EDQUOT          122 1133 "Disk quota exceeded"
    ENOMEDIUM       123  159 "No medium found"
    EMEDIUMTYPE     124  160 "Wrong medium type"
    ECANCELED       125  158 "Operation canceled"
    ENOKEY          126  161 "Required key not available"
    EKEYEXPIRED     127  162 "Key has expired"
    EKEYREVOKED     128  163 "Key has been revoked"
    EKEYREJECTED    129  164 "Key was rejected by service"
    EOWNERDEAD      130  165 "Owner died"
    ENOTRECOVERABLE 131  166 "State not recoverable"
    ERFKILL         132  167 "Operation not possible due to RF-kill"
    EHWPOISON       133  168 "Memory page has hardware error"
}

impl Errno {
    /// From the number in a netlink message: subsystems differ in its sign.
    #[must_use]
    pub const fn from_signed(number: i32) -> Self {
        Self(number.saturating_abs())
    }

    /// Its index in the table.
    fn place(self) -> Option<usize> {
        let number =
            |(generic, mips): &(u8, u16)| i32::from(if MIPS { *mips } else { u16::from(*generic) });
        NUMBERS.iter().position(|both| number(both) == self.0)
    }

    /// The `asm-generic` number of this error, for messages to readers on other machines. A number
    /// without a name is the same for both.
    #[must_use]
    pub fn generic(self) -> u16 {
        let known = self.place().filter(|_| MIPS).and_then(|at| NUMBERS.get(at));
        known.map_or(self.0 as u16, |(generic, _)| u16::from(*generic))
    }

    /// The error of this machine with this `asm-generic` number.
    #[must_use]
    pub fn from_generic(number: u16) -> Self {
        let known = NUMBERS.iter().find(|(generic, _)| u16::from(*generic) == number);
        let mips = known.filter(|_| MIPS).map(|(_, mips)| i32::from(*mips));
        Self(mips.unwrap_or(number.into()))
    }

    fn entry(self) -> Option<(&'static str, &'static str)> {
        let at = self.place()?;
        let (mut line, mut rest) = split(WORDS, b'\n')?;
        for _ in 0..at {
            (line, rest) = split(rest, b'\n')?;
        }
        split(line, b' ')
    }

    /// The name (`ENODEV`); `None` if the number has no name.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        self.entry().map(|(name, _)| name)
    }

    /// The message (`No such device`), in the words of `strerror`.
    #[must_use]
    pub fn text(self) -> Option<&'static str> {
        self.entry().map(|(_, text)| text)
    }
}

impl fmt::Display for Errno {
    /// `No such device (ENODEV)`, or `errno 524` for a number without a name.
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
    fn every_number_of_linux_has_its_name() {
        // 41 and 58 are second names of EAGAIN and EDEADLK (`asm-generic/errno.h`).
        for number in (1..=133).filter(|number| ![41, 58].contains(number)) {
            let errno = Errno::from_generic(number);
            assert_eq!(errno.generic(), number);
            assert!(errno.name().is_some_and(|name| name.starts_with('E')), "{number}");
        }
        assert_eq!(Errno::EROFS.to_string(), "Read-only file system (EROFS)");
        assert_eq!((Errno(524).generic(), Errno::from_generic(524)), (524, Errno(524)));
    }

    #[test]
    fn no_number_stands_for_two_names() {
        assert_eq!(WORDS.lines().count(), NUMBERS.len());
        for mips in [false, true] {
            let mut numbers: Vec<u16> =
                NUMBERS.iter().map(|&(g, m)| if mips { m } else { g.into() }).collect();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), NUMBERS.len());
        }
    }

    #[test]
    fn mips_differs_from_35_on() {
        for &(generic, mips) in NUMBERS {
            if generic < 35 {
                assert_eq!(u16::from(generic), mips);
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
        assert_eq!(mips("EDQUOT"), Some(1133));
    }
}
