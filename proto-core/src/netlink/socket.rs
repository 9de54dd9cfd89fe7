//! The loop around a netlink socket: sends a request, receives its answers, and repeats a dump that
//! changed while it was read.
//!
//! [`NetlinkSocket`] is the loop's interface to a socket; a program implements it with its own
//! system calls, a test with bytes. [`converse`] executes one request, and [`Client`] adds the
//! buffers and sequence numbers.
//!
//! The socket should have `NETLINK_EXT_ACK` and `NETLINK_CAP_ACK` set, and `NETLINK_GET_STRICT_CHK` too where its
//! protocol is `NETLINK_ROUTE`.
//!
//! Not here: system calls, and the meaning of an answer.

use core::fmt;

use super::batch::{Batch, MAX_BATCH};
use super::{Attempts, Errno, Exchange, ExchangeError, Expect, Full, KernelError, Message, State};

/// A datagram that was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Datagram {
    /// Number of bytes that were put into the buffer.
    pub len: usize,
    /// Number of bytes of the datagram (`MSG_TRUNC`); more than `len` if the buffer was too short.
    pub full_len: usize,
    /// Port ID of the sender; 0 is the kernel.
    pub sender: u32,
}

/// A bound netlink socket of one protocol.
pub trait NetlinkSocket {
    /// The socket's own port ID, as `getsockname` reports it.
    fn port(&self) -> u32;
    /// Sends one datagram.
    ///
    /// # Errors
    /// The errno of the system call.
    fn send(&mut self, datagram: &[u8]) -> Result<(), Errno>;
    /// Waits for one datagram, at most a few seconds.
    ///
    /// # Errors
    /// `EAGAIN` if none arrived, otherwise the errno of the system call.
    fn receive(&mut self, buf: &mut [u8]) -> Result<Datagram, Errno>;
    /// Replaces the socket by a new one, so that late answers are lost.
    ///
    /// # Errors
    /// The errno of the system call; the old socket then stays in use.
    fn reopen(&mut self) -> Result<(), Errno> {
        Ok(())
    }
    /// Sleeps for this many milliseconds, so that other programs can finish their changes.
    fn pause(&self, _millis: u32) {}
}

/// A buffer for answers.
#[derive(Debug)]
pub struct AnswerBuf<'b> {
    /// The memory. 32 KiB hold every datagram of a dump.
    pub bytes: &'b mut [u8],
    /// Number of bytes that were ever written. Answers can hold private keys: wipe these bytes after use.
    pub used: usize,
}

/// The reason why [`converse`] stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stopped<E> {
    /// The socket failed.
    Socket(Errno),
    /// The exchange failed; see [`Exchange::failure`].
    Exchange,
    /// The caller's closure returned this error. The answers after it were still read, because a
    /// half-read dump keeps the next one from starting (`EBUSY`).
    Caller(E),
}

impl<E: fmt::Display> fmt::Display for Stopped<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(errno) => write!(f, "netlink socket: {errno}"),
            Self::Exchange => f.write_str("the exchange with the kernel failed"),
            Self::Caller(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Stopped<E> {}

/// Maximum number of datagrams that answer one request, against a sender that never ends.
const MAX_DATAGRAMS: u32 = 1 << 20;

/// Sends a request and passes each answer to `take`, until the exchange is over. A socket on which
/// more answers may arrive is reopened.
///
/// # Errors
/// [`Stopped`], for the first of: the socket, the exchange, the closure.
pub fn converse<S: NetlinkSocket, E>(
    socket: &mut S,
    exchange: &mut Exchange,
    request: &[u8],
    answer: &mut AnswerBuf<'_>,
    take: &mut dyn FnMut(&Message<'_>) -> Result<(), E>,
) -> Result<(), Stopped<E>> {
    let mut caller = None;
    let mut failed = socket.send(request).err();
    let mut datagrams = 0_u32;
    while failed.is_none() && exchange.state() == State::Pending {
        let datagram = match socket.receive(answer.bytes) {
            Ok(datagram) => datagram,
            Err(errno) => {
                failed = Some(errno);
                break;
            }
        };
        answer.used = answer.used.max(datagram.len);
        datagrams = datagrams.saturating_add(1);
        if datagrams > MAX_DATAGRAMS {
            failed = Some(Errno::EOVERFLOW);
            break;
        }
        let bytes = answer.bytes.get(..datagram.len).unwrap_or_default();
        // The exchange keeps its failure, which ends it.
        let Ok(mut answers) = exchange.datagram(bytes, datagram.full_len, datagram.sender) else {
            break;
        };
        while let Some(Ok(message)) = answers.next() {
            if caller.is_none() {
                caller = take(&message).err();
            }
        }
    }
    let ended = matches!(
        exchange.failure(),
        None | Some(ExchangeError::Kernel(_) | ExchangeError::NoReply)
    );
    if failed.is_some() || !ended {
        // Without a new socket, the old one is used: its late answers are skipped.
        let _ = socket.reopen();
    }
    match (failed, exchange.failure(), caller) {
        (Some(errno), ..) => Err(Stopped::Socket(errno)),
        (_, Some(_), _) => Err(Stopped::Exchange),
        (.., Some(error)) => Err(Stopped::Caller(error)),
        (.., None) => Ok(()),
    }
}

/// The reason why a request of a [`Client`] failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RequestError<E> {
    /// The request does not fit its buffer.
    Full,
    /// The socket failed; `EAGAIN` means that the kernel did not answer in time.
    Socket(Errno),
    /// The kernel refused, or its answer is malformed.
    Exchange(ExchangeError),
    /// The caller's closure returned this error.
    Caller(E),
}

impl<E: fmt::Display> fmt::Display for RequestError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the request does not fit its buffer"),
            Self::Socket(Errno::EAGAIN) => f.write_str("the kernel does not answer"),
            Self::Socket(errno) => write!(f, "netlink socket: {errno}"),
            Self::Exchange(error) => fmt::Display::fmt(error, f),
            Self::Caller(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for RequestError<E> {}

/// A socket with the buffers and sequence numbers that requests need.
#[derive(Debug)]
pub struct Client<'b, S> {
    socket: S,
    request: &'b mut [u8],
    answer: AnswerBuf<'b>,
    seq: u32,
}

impl<'b, S: NetlinkSocket> Client<'b, S> {
    /// A client over `socket`. 8 KiB for requests and 32 KiB for answers are enough for everything in this crate.
    pub const fn new(socket: S, request: &'b mut [u8], answer: &'b mut [u8]) -> Self {
        Self { socket, request, answer: AnswerBuf { bytes: answer, used: 0 }, seq: 0 }
    }

    /// The socket.
    pub const fn socket(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Overwrites both buffers with zeros: keys pass through them.
    pub fn wipe(&mut self) {
        zeroize::Zeroize::zeroize(self.request);
        if let Some(used) = self.answer.bytes.get_mut(..self.answer.used) {
            zeroize::Zeroize::zeroize(used);
        }
    }

    /// Sends the request that `write` writes with the given sequence number, and passes each answer
    /// to `take`. [`State::Interrupted`] means that a dump changed while it was read.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn request<E>(
        &mut self,
        expect: Expect,
        write: impl FnOnce(&mut [u8], u32) -> Result<&[u8], Full>,
        take: &mut dyn FnMut(&Message<'_>) -> Result<(), E>,
    ) -> Result<State, RequestError<E>> {
        let seq = self.next_seq();
        let bytes = write(self.request, seq).map_err(|Full| RequestError::Full)?;
        let mut exchange = Exchange::new(seq, self.socket.port(), expect);
        match converse(&mut self.socket, &mut exchange, bytes, &mut self.answer, take) {
            Ok(()) => Ok(exchange.state()),
            Err(Stopped::Socket(errno)) => Err(RequestError::Socket(errno)),
            Err(Stopped::Caller(error)) => Err(RequestError::Caller(error)),
            Err(Stopped::Exchange) => Err(RequestError::Exchange(
                exchange.failure().copied().unwrap_or(ExchangeError::Malformed),
            )),
        }
    }

    /// Sends a request for a change and waits for its acknowledgement.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn change(
        &mut self,
        write: impl FnOnce(&mut [u8], u32) -> Result<&[u8], Full>,
    ) -> Result<(), RequestError<core::convert::Infallible>> {
        self.request(Expect::Ack, write, &mut |_| Ok(())).map(|_| ())
    }

    /// Reads a dump. When the dump changed while it was read, `restart` is called to drop what
    /// `take` has collected, and the dump is read again.
    ///
    /// # Errors
    /// [`RequestError`]; [`ExchangeError::Unsteady`] when no attempt is left.
    pub fn dump<C, E>(
        &mut self,
        mut attempts: Attempts,
        collected: &mut C,
        write: impl Fn(&mut [u8], u32) -> Result<&[u8], Full>,
        restart: impl Fn(&mut C),
        take: impl Fn(&mut C, &Message<'_>) -> Result<(), E>,
    ) -> Result<(), RequestError<E>> {
        loop {
            let mut take = |message: &Message<'_>| take(collected, message);
            if self.request(Expect::Dump, &write, &mut take)? != State::Interrupted {
                return Ok(());
            }
            attempts.again().map_err(RequestError::Exchange)?;
            self.socket.pause(5);
            restart(collected);
        }
    }

    /// An empty batch: add requests, then send it.
    pub const fn batch(&mut self) -> OpenBatch<'_, 'b, S> {
        // The numbers of a batch must be consecutive.
        if self.seq > u32::MAX - MAX_BATCH - 1 {
            self.seq = 0;
        }
        let Self { socket, request, answer, seq } = self;
        let first = seq.saturating_add(1);
        OpenBatch { socket, answer, seq, batch: Batch::new(request, first) }
    }

    /// The next sequence number; never 0, the number of notifications.
    const fn next_seq(&mut self) -> u32 {
        self.seq = match self.seq.checked_add(1) {
            Some(seq) => seq,
            None => 1,
        };
        self.seq
    }
}

/// A [`Batch`] that belongs to a [`Client`].
#[derive(Debug)]
pub struct OpenBatch<'c, 'b, S> {
    socket: &'c mut S,
    answer: &'c mut AnswerBuf<'b>,
    seq: &'c mut u32,
    batch: Batch<'c>,
}

impl<S: NetlinkSocket> OpenBatch<'_, '_, S> {
    /// As [`Batch::push`].
    ///
    /// # Errors
    /// [`Full`]: send the batch, then add the request to a new one.
    pub fn push(
        &mut self,
        write: impl FnOnce(&mut [u8], u32) -> Result<&[u8], Full>,
    ) -> Result<u32, Full> {
        self.batch.push(write)
    }

    /// Sends the requests and passes the result of each to `take`, with its place in the batch.
    ///
    /// # Errors
    /// [`RequestError`] if a result is missing. A refusal of the kernel is a result.
    pub fn send(
        self,
        take: &mut dyn FnMut(u32, Result<(), KernelError>),
    ) -> Result<(), RequestError<core::convert::Infallible>> {
        let Self { socket, answer, seq, batch } = self;
        let mut acks = batch.acks(socket.port());
        *seq = seq.saturating_add(batch.count());
        if acks.is_complete() {
            return Ok(());
        }
        let mut done = socket.send(batch.as_bytes()).map_err(RequestError::Socket);
        while done.is_ok() && !acks.is_complete() {
            done = match socket.receive(answer.bytes) {
                Ok(Datagram { len, full_len, sender }) => {
                    answer.used = answer.used.max(len);
                    let bytes = answer.bytes.get(..len).unwrap_or_default();
                    acks.datagram(bytes, full_len, sender, take).map_err(RequestError::Exchange)
                }
                Err(errno) => Err(RequestError::Socket(errno)),
            };
        }
        if done.is_err() {
            // Without a new socket, the old one is used: its late answers are skipped.
            let _ = socket.reopen();
        }
        done
    }
}

#[cfg(test)]
mod tests;
