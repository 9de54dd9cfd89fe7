//! How a failure is returned inside the agent: it is recorded once, in a [`Slot`], and the calls
//! return a zero-sized token.
//!
//! A [`Failure`] has over 200 bytes, because it carries the kernel's own text and there is no
//! allocator to box it. Returning it by value through every `?` made up half of the program.

use core::cell::Cell;
use core::fmt::{self, Write};

use proto_core::netlink::{Errno, ExchangeError};
use proto_core::protocol::config::ConfigError;
use proto_core::protocol::message::{Code, Failure, MAX_TEXT, Subject, cut};

/// The token of a failure; the [`Slot`] has its details.
#[derive(Debug)]
#[must_use]
pub struct Fault(());

/// Holds a failure until it is sent.
#[derive(Default)]
pub struct Slot(Cell<Option<Failure>>);

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

impl Slot {
    /// Records a failure.
    #[inline(never)]
    pub fn fail(&self, code: Code, subject: Subject, text: &str) -> Fault {
        self.0.set(Some(Failure::new(code, text).about(subject)));
        Fault(())
    }

    /// Records a failure with formatted text.
    #[inline(never)]
    pub fn say(
        &self,
        code: Code,
        subject: Subject,
        errno: Errno,
        words: fmt::Arguments<'_>,
    ) -> Fault {
        let mut text = heapless::String::<MAX_TEXT>::new();
        // Text that does not fit is truncated.
        let _ = text.as_mut_view().write_fmt(words);
        let errno = errno.generic();
        self.0.set(Some(Failure { errno, text, ..Failure::new(code, "") }.about(subject)));
        Fault(())
    }

    /// Records that the kernel refused, or a fault of its answer.
    #[inline(never)]
    pub fn exchange(&self, subject: Subject, error: &ExchangeError) -> Fault {
        let code = match (error, error.errno()) {
            (_, Some(Errno::EPERM | Errno::EACCES)) => Code::Permission,
            (ExchangeError::Unsteady { .. }, _) => Code::Unsteady,
            _ => Code::Kernel,
        };
        let errno = error.errno().unwrap_or(Errno(0));
        match error {
            ExchangeError::Kernel(kernel) if !kernel.message.is_empty() => {
                self.say(code, subject, errno, format_args!("{}", kernel.message))
            }
            ExchangeError::Kernel(kernel) => {
                self.say(code, subject, errno, format_args!("{}", kernel.errno))
            }
            other => self.say(code, subject, errno, format_args!("{other}")),
        }
    }

    /// Records that the kernel's answer is malformed.
    #[inline(never)]
    pub fn unreadable(&self, error: &dyn fmt::Display) -> Fault {
        self.say(Code::Kernel, Subject::None, Errno(0), format_args!("{error}"))
    }

    /// Records that one of our own files failed.
    #[inline(never)]
    pub fn storage(&self, errno: Errno) -> Fault {
        let words = format_args!("the router cannot keep the configuration: {errno}");
        self.say(Code::Storage, Subject::None, errno, words)
    }

    /// Records a fault of an image.
    #[inline(never)]
    pub fn config(&self, subject: Subject, error: ConfigError) -> Fault {
        self.say(Code::Config, subject, Errno(0), format_args!("{error}"))
    }

    /// Adds details to a recorded failure.
    #[inline(never)]
    pub fn amend(&self, fault: Fault, change: &dyn Fn(&mut Failure)) -> Fault {
        let mut failure = self.take(fault);
        change(&mut failure);
        self.0.set(Some(failure));
        Fault(())
    }

    /// Replaces text and subject of a failure with this errno.
    #[inline(never)]
    pub fn reword(
        &self,
        fault: Fault,
        errno: Errno,
        subject: Option<Subject>,
        text: &str,
    ) -> Fault {
        self.amend(fault, &|failure| {
            if failure.errno == errno.generic() {
                failure.text = cut(text);
                failure.subject = subject.unwrap_or(failure.subject);
            }
        })
    }

    /// Whether the failure has this errno.
    #[must_use]
    pub fn is(&self, errno: Errno) -> bool {
        let failure = self.0.take();
        let is = failure.as_ref().is_some_and(|failure| failure.errno == errno.generic());
        self.0.set(failure);
        is
    }

    /// Whether the kernel lacks an address family.
    #[must_use]
    pub fn lacks_family(&self) -> bool {
        [Errno::EAFNOSUPPORT, Errno::EOPNOTSUPP, Errno::EPROTONOSUPPORT]
            .iter()
            .any(|errno| self.is(*errno))
    }

    /// The code of the failure.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        let failure = self.0.take();
        let code = failure.as_ref().map(|failure| failure.code);
        self.0.set(failure);
        code
    }

    /// Records a failure again that was taken out before.
    pub fn restore(&self, failure: Failure) -> Fault {
        self.0.set(Some(failure));
        Fault(())
    }

    /// Takes a failure out, to send it.
    #[inline(never)]
    pub fn take(&self, Fault(()): Fault) -> Failure {
        self.0.take().unwrap_or_else(|| Failure::new(Code::Kernel, ""))
    }
}
