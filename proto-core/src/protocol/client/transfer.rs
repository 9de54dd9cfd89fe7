//! Uploads and downloads: a configuration image in a window of pieces, and a file of the router in a
//! window of reads. The bytes come from a [`Source`] and go to a [`Sink`].
//!
//! Not here: the window itself (`flight`), and the request that starts an upload ([`Call`]).

use zeroize::Zeroizing;

use super::flight::{Flight, Next};
use super::{Call, Caller, ClientError, Progress, Step};
use crate::protocol::message::{Answer, Ask, Code, Failure, Name, Patch, Reply};
use crate::protocol::packed::{MAX_UNPACKED, pack};
use crate::protocol::window::{self, Arrived};
use crate::protocol::{Digest, MAX_DATA, MAX_PACKET, digest};

/// Number of bytes that fit beside an announcement: the packet also has 2 bytes of envelope, and at
/// most 84 bytes of head and fields.
const MAX_FIRST: usize = MAX_PACKET - 2 - 84;
/// Largest size of a piece in bytes.
pub(super) const MAX_PIECE: u16 = MAX_DATA as u16;
/// Number of restarts of an upload whose stage the router lost.
const MAX_RESTARTS: u8 = 5;

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
    /// A piece and its packed size, so that a piece that waits for room is packed twice at most.
    sized: Option<(u32, u16)>,
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

/// A piece as it is sent.
struct Piece {
    plain: Zeroizing<[u8; MAX_PIECE as usize]>,
    len: usize,
    packed: Packed<{ MAX_PIECE as usize }>,
}

impl Piece {
    fn read(
        source: &mut impl Source,
        length: u32,
        piece_size: u16,
        index: u32,
    ) -> Result<Self, ClientError> {
        let (offset, len) =
            window::span(length, piece_size, index).ok_or(ClientError::Unexpected)?;
        let mut plain = Zeroizing::new([0; MAX_PIECE as usize]);
        let data = plain.get_mut(..len.into()).ok_or(ClientError::TooLong)?;
        if !source.read(offset, data) {
            return Err(ClientError::Memory);
        }
        let packed = Packed::new(data, usize::MAX);
        Ok(Self { plain, len: len.into(), packed })
    }

    fn data(&self) -> &[u8] {
        self.packed.get().or_else(|| self.plain.get(..self.len)).unwrap_or_default()
    }

    fn size(&self) -> u16 {
        u16::try_from(self.data().len()).unwrap_or(u16::MAX)
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
            sized: None,
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
    /// [`ClientError::Silence`] after [`Patience::give_up`](super::Patience::give_up) without a reply.
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
        let Self { source, length, piece_size, sized, .. } = self;
        let mut size = |index| match *sized {
            Some((sized, size)) if sized == index => size,
            _ => {
                // A source that fails does so again when the piece is sent.
                let piece = Piece::read(source, *length, *piece_size, index);
                let size = piece.map_or(*piece_size, |piece| piece.size());
                *sized = Some((index, size));
                size
            }
        };
        match self.flight.next(caller, now, &mut size)? {
            Next::Complete => Ok(Step::Done),
            Next::Wait(until) => Ok(Step::Wait(until)),
            Next::Send(index) => {
                let piece = Piece::read(&mut self.source, self.length, self.piece_size, index)?;
                let id = caller.take_id();
                let len = caller.write(id, Ask::Piece { stage, index, data: piece.data() }, buf)?;
                self.flight.sent(index, id, piece.size(), now);
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
                self.sized = None;
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
    /// [`ClientError::Silence`] after [`Patience::give_up`](super::Patience::give_up) without a reply.
    pub fn poll(
        &mut self,
        caller: &mut Caller,
        now: u64,
        buf: &mut [u8],
    ) -> Result<Step, ClientError> {
        let piece_size = self.piece_size;
        match self.flight.next(caller, now, &mut |_| piece_size)? {
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
