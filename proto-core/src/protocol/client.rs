//! The client as state machines: they decide what to send and how long to wait, and take the packets that
//! arrive. No I/O, no clock, no allocation, so that the same code runs in the host tool and
//! on a bare-metal jig.
//!
//! - [`Call`]: one request, sent again until it is answered.
//! - [`Upload`]: a configuration image, in a window of pieces.
//! - [`Download`]: a file of the router, in a window of reads.
//!
//! Times are milliseconds of any clock that does not go back. All three are driven alike: call
//! `poll`; send what it wrote, or wait for a packet until the time it says; hand every packet to
//! `receive`.

mod flight;

use core::fmt;

use flight::{Flight, Next};

use super::envelope;
use super::message::{Answer, Ask, ClientId, Code, Failure, Name, Patch, Phase, Reply, Request};
use super::window::{self, Arrived};
use super::{Digest, HELLO_REPLY_VERSIONS, digest};

/// Timeouts of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// Milliseconds until a request is resent, before a round trip was measured. The time that the bytes take on a line of
    /// known speed is added.
    pub resend: u32,
    /// Milliseconds without any reply after which the client gives up.
    pub give_up: u32,
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Send the packet of this many bytes that was written to the front of the buffer.
    Send(usize),
    /// Wait for a packet until this time at the latest.
    Wait(u64),
    /// The exchange has ended; `receive` returned its outcome.
    Done,
}

/// Why an exchange failed.
#[expect(clippy::large_enum_variant, reason = "there is no allocator to box a failure with")]
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// No reply for [`Patience::give_up`].
    Silence,
    /// The router reported a failure.
    Failed(Failure),
    /// The reply does not fit the request.
    Unexpected,
    /// The router lost the stage or the file too often.
    Restarts,
    /// The kind of the reply is unknown: the router is newer than this client.
    NotUnderstood,
    /// The request does not fit a packet.
    TooLong,
    /// The router's public key has small order, or the client's private key is zero.
    WeakKey,
    /// The [`Source`] did not give its bytes, or the [`Sink`] did not take a piece.
    Memory,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silence => "the router does not answer",
            Self::Failed(failure) => return write!(f, "{}: {}", failure.code, failure.text),
            Self::Unexpected => "the router's answer does not belong to the request",
            Self::Restarts => "the router lost the stage or the file too often",
            Self::NotUnderstood => "the router is newer than this client: its answer is unknown",
            Self::TooLong => "the request does not fit a packet",
            Self::WeakKey => "the router's public key or the private key is unusable",
            Self::Memory => "the bytes to send cannot be read, or those that came cannot be kept",
        })
    }
}

impl core::error::Error for ClientError {}

/// What is known about the way to the router.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Line {
    /// The speed in bits per second at which the client hands bytes to the line, ten bits a byte;
    /// `None` when the speed is not known.
    pub baud: Option<u32>,
    /// The way never swaps packets: a request that was answered before an earlier one means that
    /// the earlier one or its reply is lost.
    pub in_order: bool,
}

/// A client's identity, its request numbers, and what it knows about the way to the router.
#[derive(Clone, Debug)]
pub struct Caller {
    client: ClientId,
    version: u8,
    next_id: u32,
    patience: Patience,
    line: Line,
    timing: Option<Timing>,
}

/// Round trips that were timed, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Timing {
    smoothed: u32,
    deviation: u32,
    /// The shortest one: without what waits in queues.
    least: u32,
}

/// How far apart replies come.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// The longest time between two replies of late, in milliseconds.
    gap: u32,
    /// Even the shortest time between two replies is long: the line itself is slow.
    crawls: bool,
}

/// The shortest time before a request is sent again: a router may be busy for a moment.
const MIN_RESEND: u32 = 150;
/// How often the time to the next try is doubled. Four times the first guess is as wrong as a guess
/// about a line gets.
const MAX_BACKOFF: u32 = 2;
/// Bytes of a request with its reply on a line, where the reply is one of the longer ones.
const CALL_BYTES: u32 = 500;
/// The most bytes that go along with an announcement: the packet also has 2 bytes of envelope, and 84 of the
/// longest head and fields.
const MAX_FIRST: usize = super::MAX_PACKET - 2 - 84;
/// The most bytes of one piece.
const MAX_PIECE: u16 = super::MAX_DATA as u16;
/// How often an upload starts again when the router forgot it.
const MAX_RESTARTS: u8 = 5;

impl Caller {
    /// A client without measured round trips. `client` should be random.
    #[must_use]
    pub const fn new(client: ClientId, patience: Patience) -> Self {
        Self {
            client,
            version: super::VERSION,
            next_id: 1,
            patience,
            line: Line { baud: None, in_order: false },
            timing: None,
        }
    }

    /// Changes the timeouts.
    pub const fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// Sets what is known about the line.
    pub const fn set_line(&mut self, line: Line) {
        self.line = line;
    }

    /// Takes the next request number.
    const fn take_id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        id
    }

    fn write(&self, id: u32, ask: Ask<'_>, buf: &mut [u8]) -> Result<usize, ClientError> {
        let version = match ask {
            Ask::Hello { .. } => envelope::HELLO_VERSION,
            _ => self.version,
        };
        let request = Request { client: self.client, id, ask };
        envelope::write(version, &request, buf).map_err(|_| ClientError::TooLong)
    }

    /// Reads a packet as a reply to this client. `None` for anything else. An answer to this client that cannot be
    /// read is [`Answer::Unknown`], and bytes behind an answer are passed over: a router of tomorrow may say more.
    #[must_use]
    pub fn reply<'p>(&self, packet: &'p [u8]) -> Option<Reply<'p>> {
        let known = |version| HELLO_REPLY_VERSIONS.contains(&version);
        let (_, body) = envelope::open(envelope::REPLY, packet, known).ok()?;
        let ((client, id), rest) = postcard::take_from_bytes::<(ClientId, u32)>(body).ok()?;
        if client != self.client {
            return None;
        }
        let answer = postcard::take_from_bytes(rest).map_or_else(
            |_| Answer::Unknown(rest.first().copied().unwrap_or(u8::MAX)),
            |(answer, _)| answer,
        );
        Some(Reply { client, id, answer })
    }

    /// After how many milliseconds to send again what was sent `tries` times after the first, whose
    /// request and reply are `bytes` on the line.
    ///
    /// That is the measured round trip with its deviation (before one was measured, the patience's
    /// first guess) and the time that these bytes take on the line, doubled with each try. Some
    /// tries have to fit before it is time to give up, so there is a limit, but for a way that is
    /// known to be slower: of a longer shortest round trip, or where replies come further apart.
    fn resend_after(&self, tries: u32, lossy: bool, bytes: u32, pace: Pace) -> u64 {
        let line = self.line.baud.map_or(0, |baud| line_time(bytes, baud));
        let (base, least) = self.timing.map_or((self.patience.resend, 0), |timing| {
            let spread = timing.deviation.saturating_mul(4).max(timing.smoothed / 4);
            (timing.smoothed.saturating_add(spread), timing.least)
        });
        let slow = least.max(pace.gap).saturating_add(line);
        let slow = slow.saturating_add(slow / 4);
        let first = base.max(MIN_RESEND).saturating_add(line);
        let first = first.min(slow.max(self.patience.give_up / 3)).max(MIN_RESEND);
        if tries == 0 && !lossy {
            return first.into();
        }
        let again = match lossy {
            true => self.patience.give_up / 10,
            false => self.patience.give_up / 6,
        };
        let again = again.max(line.saturating_mul(2)).max(MIN_RESEND);
        // Where packets are lost, waiting longer makes no try better.
        let doublings = if lossy { 0 } else { tries.min(MAX_BACKOFF) };
        let doubled = first.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(1));
        let pace = if pace.crawls { slow } else { 0 };
        doubled.min(again.max(pace)).into()
    }

    /// Takes a round trip that was timed, such as that of a handshake.
    pub fn timed(&mut self, took: u64) {
        let took = u32::try_from(took).unwrap_or(u32::MAX);
        self.timing = Some(match self.timing {
            // Together this waits twice the first round trip for the next one.
            None => Timing { smoothed: took, deviation: took / 4, least: took },
            // An eighth of the news each time, as in RFC 6298; longer ones count at once.
            Some(Timing { smoothed, deviation, least }) => Timing {
                smoothed: match smoothed.checked_sub(took) {
                    Some(shorter) => smoothed.saturating_sub(shorter >> 3),
                    None => took,
                },
                deviation: deviation
                    .saturating_sub(deviation >> 2)
                    .saturating_add(smoothed.abs_diff(took) >> 2),
                least: least.min(took),
            },
        });
    }

    /// The smoothed round trip in milliseconds; 0 before one was timed.
    fn smoothed(&self) -> u32 {
        self.timing.map_or(0, |timing| timing.smoothed)
    }
}

/// Milliseconds that `bytes` take at `baud` bits per second.
fn line_time(bytes: u32, baud: u32) -> u32 {
    bytes.saturating_mul(10_000).checked_div(baud).unwrap_or(u32::MAX)
}

/// One request, resent until it is answered. It takes its number when it is first sent.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    id: Option<u32>,
    /// When it was sent first and last.
    sent: Option<(u64, u64)>,
    tries: u32,
    heard: u64,
    worked: bool,
    over: bool,
}

/// Outcome of a reply for a [`Call`].
#[expect(clippy::large_enum_variant, reason = "there is no allocator to box an answer with")]
#[derive(Clone, PartialEq, Debug)]
pub enum Progress<'p> {
    /// The reply belongs to another request.
    Foreign,
    /// The router is still working on the request.
    Working {
        /// What is being done.
        phase: Phase,
        /// How much of it is done.
        done: u32,
        /// Of how much; 0 when that is not known.
        total: u32,
    },
    /// The answer.
    Answered(Answer<'p>),
}

impl Call {
    /// A request that is about to be sent.
    #[must_use]
    pub const fn new(now: u64) -> Self {
        Self { id: None, sent: None, tries: 0, heard: now, worked: false, over: false }
    }

    /// What to do at the time `now`. `ask` has to be the same every time.
    ///
    /// # Errors
    /// [`ClientError::Silence`] when it is time to give up, [`ClientError::TooLong`].
    pub fn poll(
        &mut self,
        caller: &mut Caller,
        now: u64,
        ask: &Ask<'_>,
        buf: &mut [u8],
    ) -> Result<Step, ClientError> {
        if self.over {
            return Ok(Step::Done);
        }
        let give_up = self.heard.saturating_add(caller.patience.give_up.into());
        if now >= give_up {
            return Err(ClientError::Silence);
        }
        let mut first = now;
        if let Some((sent_first, sent)) = self.sent {
            first = sent_first;
            let tries = self.tries.saturating_sub(1);
            let due =
                sent.saturating_add(caller.resend_after(tries, false, CALL_BYTES, Pace::default()));
            if now < due {
                return Ok(Step::Wait(due.min(give_up)));
            }
        }
        self.sent = Some((first, now));
        self.tries = self.tries.saturating_add(1);
        let id = *self.id.get_or_insert_with(|| caller.take_id());
        caller.write(id, ask.clone(), buf).map(Step::Send)
    }

    /// Whether a reply is to this request.
    #[must_use]
    pub fn is_about(&self, reply: &Reply<'_>) -> bool {
        Some(reply.id) == self.id
    }

    /// Takes a reply.
    ///
    /// # Errors
    /// [`ClientError::Failed`] when the router could not do it.
    pub fn receive<'p>(
        &mut self,
        caller: &mut Caller,
        now: u64,
        reply: Reply<'p>,
    ) -> Result<Progress<'p>, ClientError> {
        if Some(reply.id) != self.id || self.over {
            return Ok(Progress::Foreign);
        }
        self.heard = now;
        match reply.answer {
            Answer::Working { phase, done, total } => {
                // The router has the request: there is no need to ask again soon.
                self.sent = self.sent.map(|(first, _)| (first, now));
                self.worked = true;
                Ok(Progress::Working { phase, done, total })
            }
            Answer::Failed(failure) => {
                self.over = true;
                Err(ClientError::Failed(failure))
            }
            Answer::Unknown(_) => {
                self.over = true;
                Err(ClientError::NotUnderstood)
            }
            answer => {
                self.over = true;
                // How long a commit takes says nothing about the way to the router, but where
                // nothing else was timed it is a safe guess. Which try was answered is not known:
                // the first one makes the guess too long, never too short.
                if caller.timing.is_none()
                    && !self.worked
                    && let Some((first, _)) = self.sent
                {
                    caller.timed(now.saturating_sub(first));
                }
                if let Answer::Hello(hello) = &answer {
                    // Only what was offered can be agreed upon.
                    if hello.version != super::VERSION {
                        return Err(ClientError::Unexpected);
                    }
                    caller.version = hello.version;
                }
                Ok(Progress::Answered(answer))
            }
        }
    }
}

/// The bytes that an [`Upload`] sends. A slice is one; a jig without room for a whole image reads from its flash, or
/// generates the bytes again.
pub trait Source {
    /// Fills `buf` with the bytes from `offset` on. Returns `false` if it cannot, which ends the upload. The same bytes may
    /// be asked for more than once.
    fn read(&mut self, offset: u32, buf: &mut [u8]) -> bool;

    /// All bytes, if they are in memory: few bytes then travel with the announcement.
    fn whole(&self) -> Option<&[u8]> {
        None
    }
}

impl Source for &[u8] {
    fn read(&mut self, offset: u32, buf: &mut [u8]) -> bool {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.get(start..start.saturating_add(buf.len()));
        bytes.is_some_and(|bytes| {
            buf.copy_from_slice(bytes);
            true
        })
    }

    fn whole(&self) -> Option<&[u8]> {
        Some(self)
    }
}

/// Where a [`Download`] puts what arrives. A mutable slice as long as the file is one.
pub trait Sink {
    /// Takes the piece at `offset`. Each piece comes once. Pieces come in any order, and in ascending order if no more than
    /// one piece may be in flight. Returns `false` if it cannot take the piece, which ends the download.
    fn piece(&mut self, offset: u32, data: &[u8]) -> bool;
}

impl Sink for &mut [u8] {
    fn piece(&mut self, offset: u32, data: &[u8]) -> bool {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let place = self.get_mut(start..start.saturating_add(data.len()));
        place.is_some_and(|place| {
            place.copy_from_slice(data);
            true
        })
    }
}

/// A configuration image on its way to the router.
#[derive(Clone, Debug)]
pub struct Upload<S> {
    /// The bytes that are sent: the image, or a patch.
    source: S,
    /// Number of bytes that are sent.
    length: u32,
    interface: Name,
    /// Length and digest of the image.
    announced: (u32, Digest),
    patch: Option<Patch>,
    piece_size: u16,
    in_flight: u32,
    stage: Option<u32>,
    begin: Call,
    flight: Flight,
    restarts: u8,
}

impl<'i> Upload<&'i [u8]> {
    /// An upload of an image in memory. `piece_size` and `in_flight` are bytes, at most what the
    /// router's hello allows.
    ///
    /// # Errors
    /// [`ClientError::TooLong`] when the image is over 4 GiB.
    pub fn new(
        now: u64,
        interface: Name,
        image: &'i [u8],
        piece_size: u16,
        in_flight: u32,
    ) -> Result<Self, ClientError> {
        let length = u32::try_from(image.len()).map_err(|_| ClientError::TooLong)?;
        let announced = (length, digest(image));
        Ok(Self::stream(now, interface, image, announced, piece_size, in_flight))
    }

    /// An upload of a patch that makes `image` out of the stored configuration number `base`.
    ///
    /// # Errors
    /// As for [`Upload::new`].
    pub fn patch(
        now: u64,
        interface: Name,
        (image, base): (&[u8], u32),
        patch: &'i [u8],
        piece_size: u16,
        in_flight: u32,
    ) -> Result<Self, ClientError> {
        let length = u32::try_from(image.len()).map_err(|_| ClientError::TooLong)?;
        let upload = Self::new(now, interface, patch, piece_size, in_flight)?;
        let patch = Some(Patch { base, length: upload.length });
        Ok(Self { announced: (length, digest(image)), patch, ..upload })
    }
}

impl<S: Source> Upload<S> {
    /// An upload of an image of `announced.0` bytes with the digest `announced.1`, which is read from `source` piece by
    /// piece. `piece_size` and `in_flight` are bytes, at most what the router's hello allows.
    #[must_use]
    pub fn stream(
        now: u64,
        interface: Name,
        source: S,
        announced: (u32, Digest),
        piece_size: u16,
        in_flight: u32,
    ) -> Self {
        let piece_size = piece_size.clamp(1, MAX_PIECE);
        let (length, _) = announced;
        let total = window::pieces(length, piece_size);
        Self {
            source,
            length,
            interface,
            announced,
            patch: None,
            piece_size,
            in_flight,
            stage: None,
            begin: Call::new(now),
            flight: Flight::new(total, piece_size, in_flight, now),
            restarts: 0,
        }
    }

    /// The number of the stage, once all pieces have arrived.
    #[must_use]
    pub fn stage(&self) -> Option<u32> {
        self.stage.filter(|_| self.flight.is_complete())
    }

    /// The number of the stage as soon as the router has named one, whether or not all pieces are there.
    #[must_use]
    pub const fn begun(&self) -> Option<u32> {
        self.stage
    }

    /// The request that begins it.
    #[must_use]
    pub fn ask(&self) -> Ask<'_> {
        Ask::Begin {
            interface: self.interface,
            length: self.announced.0,
            digest: self.announced.1,
            piece_size: self.piece_size,
            patch: self.patch,
            data: self.first(),
        }
    }

    /// Goes on with a stage that this very request has begun.
    pub fn adopt(&mut self, now: u64, stage: u32, arrived: Arrived) {
        self.stage = Some(stage);
        self.flight.restart(now);
        self.flight.merge(arrived);
    }

    /// How many bytes have arrived, and of how many.
    #[must_use]
    pub fn progress(&self) -> (u32, u32) {
        let done = self.flight.arrived.base.saturating_mul(self.piece_size.into());
        (done.min(self.length), self.length)
    }

    /// The bytes that go along with the announcement: all of them, if they are no more than two pieces.
    fn first(&self) -> &[u8] {
        let most = usize::from(self.piece_size).saturating_mul(2).min(MAX_FIRST);
        self.source.whole().filter(|all| all.len() <= most).unwrap_or_default()
    }

    /// What to do at the time `now`.
    ///
    /// # Errors
    /// [`ClientError::Silence`] when it is time to give up.
    pub fn poll(
        &mut self,
        caller: &mut Caller,
        now: u64,
        buf: &mut [u8],
    ) -> Result<Step, ClientError> {
        let Some(stage) = self.stage else {
            let mut begin = self.begin;
            let step = begin.poll(caller, now, &self.ask(), buf);
            self.begin = begin;
            return step;
        };
        match self.flight.next(caller, now)? {
            Next::Complete => Ok(Step::Done),
            Next::Wait(until) => Ok(Step::Wait(until)),
            Next::Send(index) => {
                let (offset, size) = window::span(self.length, self.piece_size, index)
                    .ok_or(ClientError::Unexpected)?;
                let mut piece = [0; MAX_PIECE as usize];
                let data = piece.get_mut(..size.into()).ok_or(ClientError::TooLong)?;
                if !self.source.read(offset, data) {
                    return Err(ClientError::Memory);
                }
                let id = caller.take_id();
                let len = caller.write(id, Ask::Piece { stage, index, data }, buf)?;
                self.flight.sent(index, id, now);
                Ok(Step::Send(len))
            }
        }
    }

    /// Takes a reply.
    ///
    /// # Errors
    /// [`ClientError::Failed`] when the router does not take the image, [`ClientError::Restarts`]
    /// when it keeps losing it.
    pub fn receive(
        &mut self,
        caller: &mut Caller,
        now: u64,
        reply: Reply<'_>,
    ) -> Result<(), ClientError> {
        let Some(old) = self.stage else {
            return match self.begin.receive(caller, now, reply)? {
                Progress::Foreign | Progress::Working { .. } => Ok(()),
                Progress::Answered(Answer::Received { stage, arrived }) => {
                    self.adopt(now, stage, arrived);
                    Ok(())
                }
                Progress::Answered(_) => Err(ClientError::Unexpected),
            };
        };
        if !self.flight.has_sent(reply.id) {
            return Ok(());
        }
        match reply.answer {
            Answer::Received { stage, arrived } if stage == old => {
                self.flight.heard(caller, reply.id, now);
                self.flight.merge(arrived);
                Ok(())
            }
            Answer::Failed(Failure { code: Code::Gone, .. }) => {
                self.restarts = self.restarts.saturating_add(1);
                if self.restarts > MAX_RESTARTS {
                    return Err(ClientError::Restarts);
                }
                // New numbers: an answer to the old ones says nothing about the new stage.
                let total = window::pieces(self.length, self.piece_size);
                self.stage = None;
                self.begin = Call::new(now);
                self.flight = Flight::new(total, self.piece_size, self.in_flight, now);
                Ok(())
            }
            Answer::Failed(failure) => Err(ClientError::Failed(failure)),
            Answer::Unknown(_) => Err(ClientError::NotUnderstood),
            _ => Ok(()),
        }
    }
}

/// A file of the router on its way to the client.
#[derive(Debug)]
pub struct Download<S> {
    file: u32,
    length: u32,
    sink: S,
    piece_size: u16,
    flight: Flight,
}

impl<'f> Download<&'f mut [u8]> {
    /// A download into memory: `into` is as long as the file, `piece_size` and `in_flight` are bytes, at most what the
    /// router's hello allows.
    #[must_use]
    pub fn new(now: u64, file: u32, into: &'f mut [u8], piece_size: u16, in_flight: u32) -> Self {
        let length = u32::try_from(into.len()).unwrap_or(u32::MAX);
        Self::stream(now, file, length, into, piece_size, in_flight)
    }
}

impl<S: Sink> Download<S> {
    /// A download of a file of `length` bytes whose pieces go to `sink` as they arrive.
    #[must_use]
    pub fn stream(
        now: u64,
        file: u32,
        length: u32,
        sink: S,
        piece_size: u16,
        in_flight: u32,
    ) -> Self {
        let piece_size = piece_size.max(1);
        let flight = Flight::new(window::pieces(length, piece_size), piece_size, in_flight, now);
        Self { file, length, sink, piece_size, flight }
    }

    fn span(&self, index: u32) -> Option<(u32, u16)> {
        window::span(self.length, self.piece_size, index)
    }

    /// What to do at the time `now`.
    ///
    /// # Errors
    /// [`ClientError::Silence`] when it is time to give up.
    pub fn poll(
        &mut self,
        caller: &mut Caller,
        now: u64,
        buf: &mut [u8],
    ) -> Result<Step, ClientError> {
        match self.flight.next(caller, now)? {
            Next::Complete => Ok(Step::Done),
            Next::Wait(until) => Ok(Step::Wait(until)),
            Next::Send(index) => {
                let (offset, length) = self.span(index).ok_or(ClientError::Unexpected)?;
                let ask = Ask::Read { file: self.file, offset, length };
                let id = caller.take_id();
                let len = caller.write(id, ask, buf)?;
                self.flight.sent(index, id, now);
                Ok(Step::Send(len))
            }
        }
    }

    /// Takes a reply.
    ///
    /// # Errors
    /// [`ClientError::Failed`] when the router does not give the file.
    pub fn receive(
        &mut self,
        caller: &mut Caller,
        now: u64,
        reply: Reply<'_>,
    ) -> Result<(), ClientError> {
        if !self.flight.has_sent(reply.id) {
            return Ok(());
        }
        match reply.answer {
            Answer::Data { offset, data } => {
                let Some(index) = offset.checked_div(self.piece_size.into()) else { return Ok(()) };
                let Some((expected, size)) = self.span(index) else { return Ok(()) };
                if offset != expected || data.len() != usize::from(size) {
                    return Ok(());
                }
                self.flight.heard(caller, reply.id, now);
                if self.flight.arrived.wants(index) {
                    if !self.sink.piece(offset, data) {
                        return Err(ClientError::Memory);
                    }
                    self.flight.arrived.insert(index);
                }
                Ok(())
            }
            Answer::Failed(failure) => Err(ClientError::Failed(failure)),
            Answer::Unknown(_) => Err(ClientError::NotUnderstood),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod lines;
#[cfg(test)]
mod tests;
