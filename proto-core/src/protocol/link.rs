//! A client that waits for its answers, over any serial stream of `embedded_io`: what a program does that has one
//! router and nothing else to do, such as a jig without an operating system. All of it is in fixed memory.
//!
//! Not here: many routers at a time, and wires other than a serial line. The host tool drives the same state machines
//! ([`super::client`], [`super::session`]) by itself.

use core::fmt;

use embedded_io::{Read, ReadReady, Write};

use super::client::{Call, Caller, ClientError, Patience, Progress, Source, Step, Upload};
use super::frame::{Received, WriteError};
use super::message::{Answer, Applied, Ask, Name, OwnerName, Reply, Role};
use super::serial::SerialLine;
use super::session::{Connector, Fresh, Heard, SEEK_LEN, StaticKey, Wire, found, seek};
use super::{MAX_OUTER, MAX_PACKET, VERSION};
use crate::key::{PublicKey, SecretKey};

/// The largest piece and the bytes in flight that suit a slow line.
const PIECE: u16 = 256;
const IN_FLIGHT: u32 = 1024;

/// What the machine has to bring.
pub trait Platform {
    /// Milliseconds of a clock that does not go back.
    fn now(&mut self) -> u64;
    /// Fills `out` with random bytes. Private keys are made of them.
    fn random(&mut self, out: &mut [u8]);
    /// A number above 0 that grows with each call; the time in milliseconds since 1970 where there is a clock. A router
    /// that has seen a greater one of the same client says so, and the client continues from there.
    fn stamp(&mut self) -> u64;
    /// Called while nothing has arrived, for a short sleep: until the next interrupt, or for a millisecond.
    fn idle(&mut self) {}
}

fn random<const N: usize>(platform: &mut impl Platform) -> [u8; N] {
    let mut bytes = [0; N];
    platform.random(&mut bytes);
    bytes
}

fn fresh(platform: &mut impl Platform) -> Fresh {
    Fresh {
        ephemeral: SecretKey::new(random(platform)),
        index: u32::from_ne_bytes(random(platform)),
        stamp: platform.stamp(),
    }
}

/// Why an exchange over a [`Link`] failed.
#[expect(clippy::large_enum_variant, reason = "there is no allocator to box a failure with")]
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LinkError<E> {
    /// The stream failed.
    Line(E),
    /// The stream has ended.
    Closed,
    /// The router did not answer, or refused.
    Client(ClientError),
}

impl<E> From<ClientError> for LinkError<E> {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl<E> From<WriteError<E>> for LinkError<E> {
    fn from(error: WriteError<E>) -> Self {
        match error {
            WriteError::TooLong => Self::Client(ClientError::TooLong),
            WriteError::Line(error) => Self::Line(error),
        }
    }
}

impl<E: fmt::Display> fmt::Display for LinkError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(error) => error.fmt(f),
            Self::Closed => f.write_str("the line was closed"),
            Self::Client(error) => error.fmt(f),
        }
    }
}

impl<E: core::error::Error> core::error::Error for LinkError<E> {}

/// Waits until bytes have arrived, `until` at the latest. Returns `true` if there are any.
fn wait<T: ReadReady>(
    stream: &mut T,
    platform: &mut impl Platform,
    until: u64,
) -> Result<bool, T::Error> {
    while !stream.read_ready()? {
        if platform.now() >= until {
            return Ok(false);
        }
        platform.idle();
    }
    Ok(true)
}

/// Asks for an unowned router at the end of the line, and returns its public key. A router that has an owner does not
/// answer.
///
/// # Errors
/// [`LinkError`]; [`ClientError::Silence`] if no such router answers.
pub fn find_unowned<T: Read + Write + ReadReady>(
    line: &mut SerialLine<T>,
    platform: &mut impl Platform,
    patience: Patience,
) -> Result<PublicKey, LinkError<T::Error>> {
    let (nonce, mut question, mut input) = (random(platform), [0; SEEK_LEN], [0; 64]);
    let len = seek(&nonce, None, &mut question).ok_or(ClientError::TooLong)?;
    let end = platform.now().saturating_add(patience.give_up.into());
    loop {
        let now = platform.now();
        if now >= end {
            return Err(ClientError::Silence.into());
        }
        line.send(question.get(..len).unwrap_or_default())?;
        let until = now.saturating_add(patience.resend.into()).min(end);
        // A line on which bytes never stop to arrive has a time too.
        while platform.now() < until
            && wait(line.stream(), platform, until).map_err(LinkError::Line)?
        {
            let mut key = None;
            let read = line.read(&mut input, &mut |received| {
                if let Received::Packet(packet) = received {
                    key = key.or_else(|| found(packet, &nonce, None));
                }
            });
            if read.map_err(LinkError::Line)? == 0 {
                return Err(LinkError::Closed);
            }
            if let Some(key) = key {
                return Ok(key);
            }
        }
    }
}

/// One of the state machines of [`super::client`].
trait Machine {
    fn poll(&mut self, caller: &mut Caller, now: u64, buf: &mut [u8]) -> Result<Step, ClientError>;
    fn receive(
        &mut self,
        caller: &mut Caller,
        now: u64,
        reply: Reply<'_>,
    ) -> Result<(), ClientError>;
}

impl<S: Source> Machine for Upload<S> {
    fn poll(&mut self, caller: &mut Caller, now: u64, buf: &mut [u8]) -> Result<Step, ClientError> {
        Self::poll(self, caller, now, buf)
    }

    fn receive(
        &mut self,
        caller: &mut Caller,
        now: u64,
        reply: Reply<'_>,
    ) -> Result<(), ClientError> {
        Self::receive(self, caller, now, reply)
    }
}

/// A request, and what is taken from its answer.
struct Asking<'a, R, F> {
    call: Call,
    ask: Ask<'a>,
    take: F,
    answer: Option<R>,
}

impl<R, F: FnMut(Answer<'_>) -> Option<R>> Machine for Asking<'_, R, F> {
    fn poll(&mut self, caller: &mut Caller, now: u64, buf: &mut [u8]) -> Result<Step, ClientError> {
        self.call.poll(caller, now, &self.ask, buf)
    }

    fn receive(
        &mut self,
        caller: &mut Caller,
        now: u64,
        reply: Reply<'_>,
    ) -> Result<(), ClientError> {
        if let Progress::Answered(answer) = self.call.receive(caller, now, reply)? {
            self.answer = (self.take)(answer);
        }
        Ok(())
    }
}

/// A router at the end of a serial line.
#[derive(Debug)]
pub struct Link<T, P> {
    line: SerialLine<T>,
    connector: Connector,
    caller: Caller,
    platform: P,
}

impl<T: Read + Write + ReadReady, P: Platform> Link<T, P> {
    /// A link to the router with this key. Nothing is sent yet.
    pub fn new(
        line: SerialLine<T>,
        mut platform: P,
        own: StaticKey,
        router: PublicKey,
        patience: Patience,
    ) -> Self {
        let caller = Caller::new(random(&mut platform), patience);
        let connector = Connector::new(own, router, Wire::Serial, patience);
        Self { line, connector, caller, platform }
    }

    /// Carries a machine through: connects when needed, sends, and hands it the replies.
    fn drive(&mut self, machine: &mut dyn Machine) -> Result<(), LinkError<T::Error>> {
        let Self { line, connector, caller, platform } = self;
        let (mut plain, mut outer, mut input) = ([0; MAX_PACKET], [0; MAX_OUTER], [0; 64]);
        loop {
            let now = platform.now();
            let mut until = match connector.poll(now, &mut || fresh(platform), &mut outer)? {
                Step::Send(len) => {
                    line.send(outer.get(..len).unwrap_or_default())?;
                    continue;
                }
                Step::Wait(until) => until,
                Step::Done => return Err(ClientError::Unexpected.into()),
            };
            if connector.is_up() {
                match machine.poll(caller, now, &mut plain)? {
                    Step::Done => return Ok(()),
                    Step::Wait(time) => until = until.min(time),
                    Step::Send(len) => {
                        let plain = plain.get(..len).unwrap_or_default();
                        let len =
                            connector.seal(now, plain, &mut outer).ok_or(ClientError::TooLong)?;
                        line.send(outer.get(..len).unwrap_or_default())?;
                        // What has come meanwhile is read before more is sent.
                        until = now;
                    }
                }
            }
            if !wait(line.stream(), platform, until).map_err(LinkError::Line)? {
                continue;
            }
            let now = platform.now();
            let mut done = Ok(());
            let read = line.read(&mut input, &mut |received| {
                let Received::Packet(packet) = received else { return };
                if let Heard::Packet(len) = connector.receive(now, packet, &mut plain)
                    && let Some(reply) = caller.reply(plain.get(..len).unwrap_or_default())
                    && done.is_ok()
                {
                    done = machine.receive(caller, now, reply);
                }
            });
            if read.map_err(LinkError::Line)? == 0 {
                return Err(LinkError::Closed);
            }
            done?;
        }
    }

    /// Asks one thing and passes the answer to `take`, which returns `None` for an answer to something else.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn call<R>(
        &mut self,
        ask: Ask<'_>,
        take: impl FnMut(Answer<'_>) -> Option<R>,
    ) -> Result<R, LinkError<T::Error>> {
        let now = self.platform.now();
        let mut asking = Asking { call: Call::new(now), ask, take, answer: None };
        self.drive(&mut asking)?;
        asking.answer.ok_or(LinkError::Client(ClientError::Unexpected))
    }

    /// Agrees on the protocol. Returns the most bytes of one piece, and in flight. A router answers nothing else to a
    /// client that has not said hello.
    fn hello(&mut self) -> Result<(u16, u32), LinkError<T::Error>> {
        let hello = Ask::Hello { min: VERSION, max: VERSION, features: 0 };
        self.call(hello, |answer| match answer {
            Answer::Hello(hello) => Some((hello.max_data, hello.in_flight)),
            _ => None,
        })
    }

    /// Claims the router, which has no owner. `name` is what the router's list of owners calls this client.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn claim(&mut self, name: &OwnerName) -> Result<(), LinkError<T::Error>> {
        self.hello()?;
        self.owners(Ask::Claim { name: name.clone(), proof: None })
    }

    /// Adds an owner, or changes an owner's role or name.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn add_owner(
        &mut self,
        key: PublicKey,
        role: Role,
        name: &OwnerName,
    ) -> Result<(), LinkError<T::Error>> {
        self.owners(Ask::AddOwner { key, role, name: name.clone() })
    }

    /// Removes an owner; also this client itself, after which the router does not answer it any more.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn remove_owner(&mut self, key: PublicKey) -> Result<(), LinkError<T::Error>> {
        self.owners(Ask::RemoveOwner { key })
    }

    fn owners(&mut self, ask: Ask<'_>) -> Result<(), LinkError<T::Error>> {
        self.call(ask, |answer| matches!(answer, Answer::Owned { .. }).then_some(()))
    }

    /// Pushes an image. Returns what the router changed.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn push(&mut self, interface: Name, image: &[u8]) -> Result<Applied, LinkError<T::Error>> {
        let (max_data, in_flight) = self.hello()?;
        let now = self.platform.now();
        let (piece, in_flight) = (max_data.min(PIECE), in_flight.min(IN_FLIGHT));
        let mut upload = Upload::new(now, interface, image, piece, in_flight)?;
        self.drive(&mut upload)?;
        let stage = upload.stage().ok_or(ClientError::Unexpected)?;
        let commit = Ask::Commit { stage, confirm_within: 0, adopt: false };
        self.call(commit, |answer| match answer {
            Answer::Applied(applied) => Some(applied),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;
    use core::convert::Infallible;
    use std::rc::Rc;

    use super::*;

    /// A line whose other end prints without a pause, and the time.
    struct Chatty {
        now: Rc<Cell<u64>>,
        written: Rc<Cell<usize>>,
    }

    impl embedded_io::ErrorType for Chatty {
        type Error = Infallible;
    }

    impl Read for Chatty {
        fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
            buf.fill(b'.');
            self.now.set(self.now.get() + 5);
            assert!(self.now.get() < 60_000, "it does not end");
            Ok(buf.len())
        }
    }

    impl ReadReady for Chatty {
        fn read_ready(&mut self) -> Result<bool, Infallible> {
            Ok(true)
        }
    }

    impl Write for Chatty {
        fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
            self.written.set(self.written.get() + 1);
            Ok(buf.len())
        }

        fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }

    struct Clock(Rc<Cell<u64>>);

    impl Platform for Clock {
        fn now(&mut self) -> u64 {
            self.0.get()
        }

        fn random(&mut self, out: &mut [u8]) {
            out.fill(7);
        }

        fn stamp(&mut self) -> u64 {
            1
        }
    }

    #[test]
    fn a_line_that_never_falls_silent_is_asked_again_and_given_up() {
        let (now, written) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let patience = Patience { resend: 300, give_up: 3_000 };
        let stream = Chatty { now: now.clone(), written: written.clone() };
        let mut line = SerialLine::new(stream);
        let found = find_unowned(&mut line, &mut Clock(now.clone()), patience);
        assert_eq!(found, Err(LinkError::Client(ClientError::Silence)));
        assert_eq!((now.get(), written.get()), (3_000, 10));

        let stream = Chatty { now: now.clone(), written: written.clone() };
        now.set(0);
        let own = StaticKey::new(SecretKey::new([1; 32]));
        let router = StaticKey::new(SecretKey::new([2; 32])).public();
        let mut link =
            Link::new(SerialLine::new(stream), Clock(now.clone()), own, router, patience);
        let claimed = link.claim(&OwnerName::new());
        assert_eq!(claimed, Err(LinkError::Client(ClientError::Silence)));
        assert_eq!(now.get(), 3_000);
    }
}
