//! The client as state machines: they decide what to send and how long to wait, and they take the
//! packets that arrive. No I/O, no clock, no allocation: the host tool and a bare-metal jig run the
//! same code.
//!
//! - [`Call`]: one request, resent until a reply arrives.
//! - [`Upload`]: a configuration image, sent in a window of pieces.
//! - [`Download`]: a file of the router, fetched in a window of reads.
//!
//! Times are milliseconds of any monotonic clock. A caller drives all three in the same way: call
//! `poll`; send the packet that `poll` wrote, or wait for a packet until the time that `poll`
//! returned; pass every packet that arrives to `receive`.

mod flight;

use core::fmt;

use flight::{Flight, Next};
use zeroize::Zeroizing;

use super::envelope;
use super::message::{Answer, Ask, ClientId, Code, Failure, Name, Patch, Phase, Reply, Request};
use super::packed::{MAX_UNPACKED, pack};
use super::window::{self, Arrived};
use super::{Digest, HELLO_REPLY_VERSIONS, digest};

/// Timeouts of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// Milliseconds until a request is resent, as long as no round trip has been measured. On a
    /// line of known speed, the transmission time of the bytes is added.
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

/// The reason why an exchange failed.
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
    /// The [`Source`] did not return its bytes, or the [`Sink`] refused a piece.
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
            Self::WeakKey => "the router's public key or the private key cannot be used",
            Self::Memory => {
                "the bytes to send cannot be read, or the received bytes cannot be stored"
            }
        })
    }
}

impl core::error::Error for ClientError {}

/// The known properties of the path to the router.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Line {
    /// Speed in bits per second at which the client writes to the line, with ten bits per byte;
    /// `None` if the speed is unknown.
    pub baud: Option<u32>,
    /// Whether the path preserves the order of packets: a reply to a later request then shows that
    /// the earlier request or its reply is lost.
    pub in_order: bool,
}

/// A client's identity, its request numbers, and the properties of its path to the router.
#[derive(Clone, Debug)]
pub struct Caller {
    client: ClientId,
    version: u8,
    next_id: u32,
    patience: Patience,
    line: Line,
    timing: Option<Timing>,
}

/// Measured round trips, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Timing {
    smoothed: u32,
    deviation: u32,
    /// The shortest round trip: without the time in queues.
    least: u32,
}

/// The time between replies.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// The longest recent time between two replies, in milliseconds.
    gap: u32,
    /// Even the shortest time between two replies is long: the line itself is slow.
    crawls: bool,
}

/// The shortest time before a request is resent, because a router may be busy for a moment.
const MIN_RESEND: u32 = 150;
/// How often the resend time is doubled. Four times the first guess is enough for any line.
const MAX_BACKOFF: u32 = 2;
/// Bytes that a request and its reply take on a line, with one of the longer replies.
const CALL_BYTES: u32 = 500;
/// Number of bytes that fit beside an announcement: the packet also has 2 bytes of envelope, and at
/// most 84 bytes of head and fields.
const MAX_FIRST: usize = super::MAX_PACKET - 2 - 84;
/// Largest size of a piece in bytes.
const MAX_PIECE: u16 = super::MAX_DATA as u16;
/// Number of restarts of an upload whose stage the router lost.
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

    /// Reads a packet as a reply to this client; `None` for any other packet. An answer of an
    /// unknown kind becomes [`Answer::Unknown`], and bytes after a known answer are ignored: a
    /// newer router may send more fields.
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

    /// Milliseconds after which to resend a request that was resent `tries` times, where request
    /// and reply take `bytes` on the line.
    ///
    /// The time is the measured round trip with its deviation (before the first measurement:
    /// [`Patience::resend`]) plus the transmission time of the bytes, doubled for each try. A limit
    /// leaves room for several tries before the client gives up. The limit is higher on a path that
    /// is known to be slower: by its shortest round trip, or by the time between replies.
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
        // Where packets are lost, a longer wait does not help.
        let doublings = if lossy { 0 } else { tries.min(MAX_BACKOFF) };
        let doubled = first.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(1));
        let pace = if pace.crawls { slow } else { 0 };
        doubled.min(again.max(pace)).into()
    }

    /// Takes a measured round trip in milliseconds, such as that of a handshake.
    pub fn timed(&mut self, took: u64) {
        let took = u32::try_from(took).unwrap_or(u32::MAX);
        self.timing = Some(match self.timing {
            // The next resend time is thus twice the first round trip.
            None => Timing { smoothed: took, deviation: took / 4, least: took },
            // Moves by an eighth of the difference, as in RFC 6298; longer round trips count at
            // once.
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

    /// The smoothed round trip in milliseconds; 0 before the first measurement.
    fn smoothed(&self) -> u32 {
        self.timing.map_or(0, |timing| timing.smoothed)
    }
}

/// Milliseconds that `bytes` take at `baud` bits per second.
fn line_time(bytes: u32, baud: u32) -> u32 {
    bytes.saturating_mul(10_000).checked_div(baud).unwrap_or(u32::MAX)
}

/// One request, resent until a reply arrives. The request gets its number when it is first sent.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    id: Option<u32>,
    /// Times of the first and the last transmission.
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
        /// The current phase.
        phase: Phase,
        /// Number of steps that are done.
        done: u32,
        /// Number of steps in all; 0 if unknown.
        total: u32,
    },
    /// The answer.
    Answered(Answer<'p>),
}

impl Call {
    /// A request that has not been sent yet.
    #[must_use]
    pub const fn new(now: u64) -> Self {
        Self { id: None, sent: None, tries: 0, heard: now, worked: false, over: false }
    }

    /// Returns what to do at the time `now`. `ask` must be the same in every call.
    ///
    /// # Errors
    /// [`ClientError::Silence`] after [`Patience::give_up`] without a reply;
    /// [`ClientError::TooLong`].
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

    /// Whether a reply belongs to this request.
    #[must_use]
    pub fn is_about(&self, reply: &Reply<'_>) -> bool {
        Some(reply.id) == self.id
    }

    /// Takes a reply.
    ///
    /// # Errors
    /// [`ClientError::Failed`] if the router reported a failure.
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
                // The router has the request, so it need not be resent soon.
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
                // The duration of a commit is not a round trip, but without any other measurement
                // it is a safe guess. The reply does not say which transmission it answers:
                // counting from the first one makes the guess too long, never too short.
                if caller.timing.is_none()
                    && !self.worked
                    && let Some((first, _)) = self.sent
                {
                    caller.timed(now.saturating_sub(first));
                }
                if let Answer::Hello(hello) = &answer {
                    // The router may choose only a version that was offered.
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

/// The bytes that an [`Upload`] sends. A slice is a source. A jig without memory for a whole image
/// can read from flash, or generate the bytes again.
pub trait Source {
    /// Fills `buf` with the bytes from `offset` on. `false` reports a failure and ends the upload.
    /// The same bytes may be requested more than once.
    fn read(&mut self, offset: u32, buf: &mut [u8]) -> bool;

    /// All bytes, if they are in memory: a short image then travels with the announcement.
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

/// The destination of a [`Download`]. A mutable slice as long as the file is a sink.
pub trait Sink {
    /// Takes the piece at `offset`. Each piece comes once. Pieces come in any order; with one piece
    /// in flight they come in ascending order. `false` refuses the piece and ends the download.
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

/// A configuration image that is sent to the router.
#[derive(Clone, Debug)]
pub struct Upload<S> {
    /// The bytes to send: the image, or a patch.
    source: S,
    /// Number of bytes to send.
    length: u32,
    interface: Name,
    /// Length and digest of the image.
    announced: (u32, Digest),
    patch: Option<Patch>,
    piece_size: u16,
    in_flight: u32,
    stage: Option<u32>,
    begin: Call,
    /// All bytes, packed, if they travel with the announcement.
    first: Packed<MAX_FIRST>,
    flight: Flight,
    restarts: u8,
}

/// The most bytes that travel with an announcement: those of two pieces, if they fit.
fn first_max(piece_size: u16) -> usize {
    usize::from(piece_size).saturating_mul(2).min(MAX_FIRST)
}

/// Packed bytes, which may hold keys.
#[derive(Clone, Debug)]
struct Packed<const N: usize> {
    bytes: Zeroizing<[u8; N]>,
    /// 0 if there are none.
    len: usize,
}

impl<const N: usize> Packed<N> {
    /// `bytes` in at most `most` bytes, if packing makes them shorter.
    fn new(bytes: &[u8], most: usize) -> Self {
        let mut packed = Self { bytes: Zeroizing::new([0; N]), len: 0 };
        if bytes.len() <= MAX_UNPACKED
            && let Some(room) = packed.bytes.get_mut(..most.min(N))
        {
            packed.len = pack(bytes, room).unwrap_or(0);
        }
        packed
    }

    fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len).filter(|packed| !packed.is_empty())
    }
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

    /// An upload of a patch that turns the stored configuration number `base` into `image`.
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
    /// An upload of an image of `announced.0` bytes with the digest `announced.1`, read piece by
    /// piece from `source`. `piece_size` and `in_flight` are bytes, at most what the router's hello
    /// allows.
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
        let first = Packed::new(source.whole().unwrap_or_default(), first_max(piece_size));
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
            first,
            flight: Flight::new(total, piece_size, in_flight, now),
            restarts: 0,
        }
    }

    /// Counts the time without a reply from `now` on, for an upload that was not begun when it was
    /// made.
    pub fn begin_at(&mut self, now: u64) {
        self.begin = Call::new(now);
        self.flight.restart(now);
    }

    /// Whether all bytes travel with the announcement.
    #[must_use]
    pub fn is_announced_whole(&self) -> bool {
        !self.first().is_empty()
    }

    /// The number of the stage, once all pieces have arrived. `None` before that.
    #[must_use]
    pub fn stage(&self) -> Option<u32> {
        self.stage.filter(|_| self.flight.is_complete())
    }

    /// The number of the stage once the router has assigned it, even if pieces are missing. `None`
    /// before that.
    #[must_use]
    pub const fn begun(&self) -> Option<u32> {
        self.stage
    }

    /// The request that starts the upload.
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

    /// Continues with a stage that this same request has started.
    pub fn adopt(&mut self, now: u64, stage: u32, arrived: Arrived) {
        self.stage = Some(stage);
        self.flight.restart(now);
        self.flight.merge(arrived);
    }

    /// Number of bytes that have arrived, and number of bytes in all.
    #[must_use]
    pub fn progress(&self) -> (u32, u32) {
        let done = self.flight.arrived.base.saturating_mul(self.piece_size.into());
        (done.min(self.length), self.length)
    }

    /// The bytes that travel with the announcement: all bytes, if they fit.
    fn first(&self) -> &[u8] {
        let most = first_max(self.piece_size);
        let plain = || self.source.whole().filter(|all| all.len() <= most);
        self.first.get().or_else(plain).unwrap_or_default()
    }

    /// Returns what to do at the time `now`.
    ///
    /// # Errors
    /// [`ClientError::Silence`] after [`Patience::give_up`] without a reply.
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
                let packed = Packed::<{ MAX_PIECE as usize }>::new(data, usize::MAX);
                let data = packed.get().unwrap_or(data);
                let len = caller.write(id, Ask::Piece { stage, index, data }, buf)?;
                let bytes = u16::try_from(data.len()).unwrap_or(u16::MAX);
                self.flight.sent(index, id, bytes, now);
                Ok(Step::Send(len))
            }
        }
    }

    /// Takes a reply.
    ///
    /// # Errors
    /// [`ClientError::Failed`] if the router refuses the image, [`ClientError::Restarts`] if the
    /// router repeatedly loses the stage.
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
                // New request numbers: a reply to an old one does not describe the new stage.
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

/// A file of the router that is fetched.
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

    /// Returns what to do at the time `now`.
    ///
    /// # Errors
    /// [`ClientError::Silence`] after [`Patience::give_up`] without a reply.
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
                self.flight.sent(index, id, length, now);
                Ok(Step::Send(len))
            }
        }
    }

    /// Takes a reply.
    ///
    /// # Errors
    /// [`ClientError::Failed`] if the router refuses to send the file.
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
