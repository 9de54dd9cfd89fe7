//! One request and its answers, without the socket.
//!
//! The caller sends a request, passes each datagram that arrives to [`Exchange::datagram`] and
//! visits the [`Answers`], until [`Exchange::state`] is no longer [`State::Pending`]. Messages of
//! earlier requests are skipped, so an abandoned request does not disturb the next one, as long as
//! each has its own sequence number.
//!
//! Not here: the meaning of an answer, and timeouts.

use core::fmt;

use super::control::{Ack, Control};
use super::read::{Malformed, Message, Messages};
use super::{Errno, NLM_F_DUMP_INTR};
use crate::text::Text;

/// Number of bytes of the kernel's message that an error keeps. The kernel limits formatted messages to the same
/// number (`NETLINK_MAX_FMTMSG_LEN`, `include/linux/netlink.h`).
pub const EXT_ACK_TEXT_MAX: usize = 80;

/// Number of foreign messages that an exchange skips. A dump that was abandoned can leave many in the socket; more than
/// this is an error.
pub const STRAYS_MAX: u32 = 1 << 16;

/// The answer that a request expects. Every request written in this crate asks for an
/// acknowledgement (`NLM_F_ACK`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// An acknowledgement and nothing else.
    Ack,
    /// One message, then an acknowledgement.
    Reply,
    /// Any number of messages, then `NLMSG_DONE`.
    Dump,
}

/// State of an exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// More datagrams are expected.
    Pending,
    /// All answers have arrived.
    Done,
    /// All answers have arrived, but the list changed while it was read: repeat the request
    /// ([`Attempts`]).
    Interrupted,
    /// The exchange failed; see [`Exchange::failure`].
    Failed,
}

/// The kernel's refusal of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct KernelError {
    /// The error number.
    pub errno: Errno,
    /// The kernel's message, truncated to [`EXT_ACK_TEXT_MAX`] bytes; empty if there was none.
    pub message: Text<EXT_ACK_TEXT_MAX>,
    /// Offset of the offending attribute, in bytes from the start of the request.
    pub offset: Option<u32>,
    /// Type of a missing attribute.
    pub missing_type: Option<u32>,
    /// Offset of the nest in which that attribute is missing.
    pub missing_nest: Option<u32>,
}

/// The reason why an exchange failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The kernel refused.
    Kernel(KernelError),
    /// A datagram was longer than the buffer; its rest is lost.
    Truncated {
        /// Its length in bytes.
        needed: usize,
    },
    /// A datagram cannot be parsed.
    Malformed,
    /// The kernel reports that it lost data (`NLMSG_OVERRUN`).
    Overrun,
    /// The kernel acknowledged a request for data without sending any.
    NoReply,
    /// Over [`STRAYS_MAX`] messages of other requests arrived.
    Strays,
    /// The list changed during every attempt.
    Unsteady {
        /// Number of attempts.
        attempts: u8,
    },
}

impl KernelError {
    /// Copies the explanation of `errno` from `ack`.
    #[must_use]
    pub fn new(errno: Errno, ack: &Ack<'_>) -> Self {
        Self {
            errno,
            message: Text::cut(ack.ext.message.unwrap_or_default()),
            offset: ack.ext.offset,
            missing_type: ack.ext.missing_type,
            missing_nest: ack.ext.missing_nest,
        }
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.errno, f)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        if let Some(offset) = self.offset {
            write!(f, ", at byte {offset} of the request")?;
        }
        if let Some(ty) = self.missing_type {
            write!(f, ", attribute {ty} is missing")?;
        }
        if let Some(nest) = self.missing_nest {
            write!(f, " from the nest at byte {nest}")?;
        }
        Ok(())
    }
}

impl core::error::Error for KernelError {}

impl ExchangeError {
    /// The kernel's error number, if the kernel refused.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Kernel(error) => Some(error.errno),
            _ => None,
        }
    }
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(error) => fmt::Display::fmt(error, f),
            Self::Truncated { needed } => {
                write!(f, "the kernel's answer of {needed} bytes is longer than the buffer")
            }
            Self::Malformed => f.write_str("the kernel's answer cannot be read"),
            Self::Overrun => f.write_str("the kernel lost part of its answer"),
            Self::NoReply => f.write_str("the kernel acknowledged the request, but sent no answer"),
            Self::Strays => f.write_str("too many unrelated messages"),
            Self::Unsteady { attempts } => {
                write!(f, "the list changed during each of {attempts} attempts")
            }
        }
    }
}

impl core::error::Error for ExchangeError {}

/// Counts attempts of a dump that ends in [`State::Interrupted`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempts {
    most: u8,
    made: u8,
}

impl Attempts {
    /// At most `most` attempts, including the first.
    #[must_use]
    pub const fn new(most: u8) -> Self {
        Self { most, made: 1 }
    }

    /// Starts another attempt, if one is left.
    ///
    /// # Errors
    /// [`ExchangeError::Unsteady`] if no attempt is left.
    pub const fn again(&mut self) -> Result<(), ExchangeError> {
        if self.made >= self.most {
            return Err(ExchangeError::Unsteady { attempts: self.made });
        }
        self.made = self.made.saturating_add(1);
        Ok(())
    }
}

/// The exchange failed; [`Exchange::failure`] has the reason, because an [`ExchangeError`] has over 100 bytes.
struct Failed;

/// One request in progress.
#[derive(Clone, Debug)]
pub struct Exchange {
    seq: u32,
    port: u32,
    expect: Expect,
    state: State,
    /// A message had `NLM_F_DUMP_INTR`: the dump is not one consistent snapshot.
    interrupted: bool,
    replied: bool,
    strays: u32,
    failure: Option<ExchangeError>,
}

impl Exchange {
    /// Waits for the answers to the request with the sequence number `seq`, sent from our `port`
    /// (as `getsockname` reports it; 0 skips the check).
    #[must_use]
    pub const fn new(seq: u32, port: u32, expect: Expect) -> Self {
        Self {
            seq,
            port,
            expect,
            state: State::Pending,
            interrupted: false,
            replied: false,
            strays: 0,
            failure: None,
        }
    }

    /// The state, after the [`Answers`] of the last datagram were visited or dropped.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The reason of the failure; `None` unless the state is [`State::Failed`].
    #[must_use]
    pub const fn failure(&self) -> Option<&ExchangeError> {
        self.failure.as_ref()
    }

    /// Takes a datagram.
    ///
    /// `bytes` are the received bytes, `full_len` is the full length of the datagram as the socket
    /// reports it (`MSG_TRUNC`), and `sender` is the sender's port (`nl_pid` of its address). A
    /// datagram from another port than the kernel's, which is zero, has no answers and is not an
    /// error. Neither is a datagram after the end.
    pub fn datagram<'x, 'b>(
        &'x mut self,
        bytes: &'b [u8],
        full_len: usize,
        sender: u32,
    ) -> Result<Answers<'x, 'b>, ExchangeError> {
        let messages = if self.state != State::Pending {
            Messages::new(&[])
        } else if sender != 0 {
            self.stray().map_err(|Failed| self.error())?;
            Messages::new(&[])
        } else if full_len > bytes.len() {
            let Failed = self.fail(ExchangeError::Truncated { needed: full_len });
            return Err(self.error());
        } else {
            Messages::new(bytes)
        };
        Ok(Answers { exchange: self, messages })
    }

    fn fail(&mut self, error: ExchangeError) -> Failed {
        self.state = State::Failed;
        self.failure = Some(error);
        Failed
    }

    /// The failure, as an error for the caller.
    fn error(&self) -> ExchangeError {
        self.failure.unwrap_or(ExchangeError::Malformed)
    }

    fn stray(&mut self) -> Result<(), Failed> {
        self.strays = self.strays.saturating_add(1);
        if self.strays > STRAYS_MAX {
            return Err(self.fail(ExchangeError::Strays));
        }
        Ok(())
    }

    /// Handles a message; returns `true` if it is for the caller.
    fn message(&mut self, message: &Message<'_>) -> Result<bool, Failed> {
        let ours = message.seq == self.seq && (self.port == 0 || message.port == self.port);
        if !ours {
            self.stray()?;
            return Ok(false);
        }
        self.interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
        match Control::parse(message) {
            Ok(Control::Data) => {
                self.replied = true;
                return Ok(true);
            }
            Ok(Control::Noop) => {}
            Ok(Control::Ack(ack) | Control::Done(ack)) => self.end(&ack)?,
            Ok(Control::Overrun) => return Err(self.fail(ExchangeError::Overrun)),
            Err(Malformed) => return Err(self.fail(ExchangeError::Malformed)),
        }
        Ok(false)
    }

    fn end(&mut self, ack: &Ack<'_>) -> Result<(), Failed> {
        if let Some(errno) = ack.errno {
            return Err(self.fail(ExchangeError::Kernel(KernelError::new(errno, ack))));
        }
        if self.expect == Expect::Reply && !self.replied {
            return Err(self.fail(ExchangeError::NoReply));
        }
        self.state = if self.interrupted { State::Interrupted } else { State::Done };
        Ok(())
    }
}

/// The answers in one datagram. Dropping them processes the rest: an end or an error among them
/// still shows in [`Exchange::state`].
#[derive(Debug)]
pub struct Answers<'x, 'b> {
    exchange: &'x mut Exchange,
    messages: Messages<'b>,
}

impl<'b> Iterator for Answers<'_, 'b> {
    type Item = Result<Message<'b>, ExchangeError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.exchange.state == State::Pending {
            let taken = match self.messages.next()? {
                Ok(message) => self.exchange.message(&message).map(|ours| ours.then_some(message)),
                Err(Malformed) => Err(self.exchange.fail(ExchangeError::Malformed)),
            };
            match taken {
                Ok(Some(message)) => return Some(Ok(message)),
                Ok(None) => {}
                Err(Failed) => return Some(Err(self.exchange.error())),
            }
        }
        None
    }
}

impl Drop for Answers<'_, '_> {
    fn drop(&mut self) {
        self.by_ref().for_each(drop);
    }
}

#[cfg(test)]
mod tests;
