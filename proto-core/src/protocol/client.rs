//! The asking side, as state machines: they say what to send and how long to wait, and are told
//! what arrived. No I/O, no clock, no allocation, so that the same code runs in the host tool and
//! on a bare-metal jig.
//!
//! - [`Call`]: one request, sent again until it is answered.
//! - [`Upload`]: a configuration image, in a window of pieces.
//! - [`Download`]: a file of the router, in a window of reads.
//!
//! Times are milliseconds of any clock that does not go back. All three are driven alike: call
//! `poll`; send what it wrote, or wait for a packet until the time it says; hand every packet to
//! `receive`.

use super::envelope;
use super::message::{Answer, Ask, ClientId, Code, Failure, Name, Reply, Request};
use super::window::{self, Arrived, WINDOW};
use super::{Digest, HELLO_REPLY_VERSIONS, digest};

/// How patient a client is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// After how many milliseconds to send again before any answer was timed. On a slow serial line
    /// it has to cover the time that a full window takes on the wire.
    pub resend: u32,
    /// After how many milliseconds without a sign of life to give up.
    pub give_up: u32,
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Send the packet of this many bytes that was written to the front of the buffer.
    Send(usize),
    /// Wait for a packet, but not longer than until then.
    Wait(u64),
    /// It is over, well or not: see what `receive` returned.
    Done,
}

/// Why an exchange ended without what was asked for.
#[expect(clippy::large_enum_variant, reason = "there is no allocator to box a failure with")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientError {
    /// Nothing was heard for as long as [`Patience::give_up`].
    Silence,
    /// The router answered, and it was a failure.
    Failed(Failure),
    /// The router answered something that does not belong to the request.
    Unexpected,
    /// The router lost the stage or the file too often.
    Restarts,
    /// The request does not fit a packet.
    TooLong,
}

/// A client's identity, its request numbers, and what it knows about the way to the router.
#[derive(Clone, Debug)]
pub struct Caller {
    client: ClientId,
    version: u8,
    next_id: u32,
    patience: Patience,
    /// Smoothed round trip in milliseconds, once there was one.
    round_trip: Option<u32>,
}

/// The shortest time before a request is sent again: a router may be busy for a moment.
const MIN_RESEND: u32 = 150;
/// The longest time between two tries. On a noisy line most tries are lost, and waiting longer makes
/// none of them better.
const MAX_RESEND: u32 = 1_000;
/// How often the time to the next try stays doubled after it was too short. Four times the first
/// guess is as wrong as a guess about a line gets.
const MAX_BACKOFF: u32 = 2;
/// How often an upload starts anew when the router forgot it.
const MAX_RESTARTS: u8 = 5;
/// A piece counts as lost when one that was sent this many sends later has arrived.
const REORDER: u32 = 4;

impl Caller {
    /// A client that knows nothing yet. `client` should be random.
    #[must_use]
    pub const fn new(client: ClientId, patience: Patience) -> Self {
        Self { client, version: super::VERSION, next_id: 1, patience, round_trip: None }
    }

    /// Changes how patient the client is, as once the hello has said how much may be under way. What
    /// was timed before is forgotten: a hello alone on the line says little about a full window.
    pub const fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
        self.round_trip = None;
    }

    /// Takes `count` request numbers and returns the first.
    fn take_ids(&mut self, count: u32) -> u32 {
        let id = self.next_id;
        self.next_id = id.wrapping_add(count);
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

    /// Reads a packet as a reply to this client. `None` for anything else.
    #[must_use]
    pub fn reply<'p>(&self, packet: &'p [u8]) -> Option<Reply<'p>> {
        let known = |version| HELLO_REPLY_VERSIONS.contains(&version);
        let (_, reply): (u8, Reply<'p>) = envelope::read(packet, known).ok()?;
        (reply.client == self.client).then_some(reply)
    }

    fn resend_after(&self, tries: u32) -> u32 {
        let first = match self.round_trip {
            Some(time) => time.saturating_mul(2).clamp(MIN_RESEND, MAX_RESEND),
            None => self.patience.resend,
        };
        let doubled = first.saturating_mul(1_u32.checked_shl(tries).unwrap_or(u32::MAX));
        doubled.min(MAX_RESEND.max(first))
    }

    fn timed(&mut self, took: u64) {
        let took = u32::try_from(took).unwrap_or(u32::MAX);
        self.round_trip = Some(match self.round_trip {
            None => took,
            // An eighth of the news each time, as in RFC 6298; longer ones count at once.
            Some(old) if took > old => took,
            Some(old) => old.saturating_sub(old.saturating_sub(took) >> 3),
        });
    }
}

/// One request, sent again until it is answered.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    id: u32,
    sent: Option<u64>,
    tries: u32,
    heard: u64,
    over: bool,
}

impl Call {
    /// A request that is about to be sent.
    pub fn new(caller: &mut Caller, now: u64) -> Self {
        Self { id: caller.take_ids(1), sent: None, tries: 0, heard: now, over: false }
    }

    /// What to do at the time `now`. `ask` has to be the same every time.
    ///
    /// # Errors
    /// [`ClientError::Silence`] when it is time to give up, [`ClientError::TooLong`].
    pub fn poll(
        &mut self,
        caller: &Caller,
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
        if let Some(sent) = self.sent {
            let due = sent.saturating_add(caller.resend_after(self.tries.saturating_sub(1)).into());
            if now < due {
                return Ok(Step::Wait(due.min(give_up)));
            }
        }
        self.sent = Some(now);
        self.tries = self.tries.saturating_add(1);
        caller.write(self.id, ask.clone(), buf).map(Step::Send)
    }

    /// Takes a reply. The answer, if it is the one to this request and not just a sign of life.
    ///
    /// # Errors
    /// [`ClientError::Failed`] when the router could not do it.
    pub fn receive<'p>(
        &mut self,
        caller: &mut Caller,
        now: u64,
        reply: Reply<'p>,
    ) -> Result<Option<Answer<'p>>, ClientError> {
        if reply.id != self.id || self.over {
            return Ok(None);
        }
        self.heard = now;
        match reply.answer {
            Answer::Working { .. } => {
                // It is at it: there is no need to ask again soon.
                self.sent = Some(now);
                Ok(Some(reply.answer))
            }
            Answer::Failed(failure) => {
                self.over = true;
                Err(ClientError::Failed(failure))
            }
            answer => {
                // Not timed: how long a commit takes says nothing about the way to the router.
                self.over = true;
                if let Answer::Hello(hello) = &answer {
                    // Only what was offered can be agreed upon.
                    if hello.version != super::VERSION {
                        return Err(ClientError::Unexpected);
                    }
                    caller.version = hello.version;
                }
                Ok(Some(answer))
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// The piece that was sent from this slot, plus one; 0 for none.
    piece: u32,
    sent: u64,
    tries: u32,
    order: u32,
}

/// A window of pieces under way: which to send next, and which are lost.
#[derive(Clone, Debug)]
struct Flight {
    total: u32,
    window: u32,
    arrived: Arrived,
    slots: [Slot; WINDOW as usize],
    order: u32,
    newest_arrived: u32,
    heard: u64,
    /// How often the time to the next try was doubled, since a piece was answered at its first try.
    /// Without this a line that is slower than it looked would be sent everything twice for ever:
    /// what was sent twice cannot be timed.
    backoff: u32,
}

enum Next {
    Send(u32),
    Wait(u64),
    Complete,
}

impl Flight {
    fn new(total: u32, window: u32, now: u64) -> Self {
        Self {
            total,
            window: window.clamp(1, WINDOW),
            arrived: Arrived::default(),
            slots: [Slot::default(); WINDOW as usize],
            order: 0,
            newest_arrived: 0,
            heard: now,
            backoff: 0,
        }
    }

    fn slot(&mut self, index: u32) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(index % WINDOW).ok()?)
    }

    fn next(&mut self, caller: &Caller, now: u64) -> Result<Next, ClientError> {
        if self.arrived.base >= self.total {
            return Ok(Next::Complete);
        }
        let give_up = self.heard.saturating_add(caller.patience.give_up.into());
        if now >= give_up {
            return Err(ClientError::Silence);
        }
        let mut due = give_up;
        let (newest, backoff) = (self.newest_arrived, self.backoff);
        for index in
            self.arrived.base..self.arrived.base.saturating_add(self.window).min(self.total)
        {
            if self.arrived.has(index) {
                continue;
            }
            let Some(slot) = self.slot(index) else { continue };
            if slot.piece == index.saturating_add(1) {
                let tries = slot.tries.saturating_sub(1).max(backoff);
                let timeout = slot.sent.saturating_add(caller.resend_after(tries).into());
                let overtaken = newest >= slot.order.saturating_add(REORDER);
                if now < timeout && !overtaken {
                    due = due.min(timeout);
                    continue;
                }
                if !overtaken {
                    self.backoff = backoff.saturating_add(1).min(MAX_BACKOFF);
                }
            }
            return Ok(Next::Send(index));
        }
        Ok(Next::Wait(due))
    }

    fn sent(&mut self, index: u32, now: u64) {
        self.order = self.order.saturating_add(1);
        let order = self.order;
        if let Some(slot) = self.slot(index) {
            let piece = index.saturating_add(1);
            let tries = if slot.piece == piece { slot.tries.saturating_add(1) } else { 1 };
            *slot = Slot { piece, sent: now, tries, order };
        }
    }

    /// Notes that something was heard in answer to piece `index`.
    fn heard(&mut self, caller: &mut Caller, index: u32, now: u64) {
        self.heard = now;
        let Some(slot) = self.slot(index).map(|slot| *slot) else { return };
        if slot.piece == index.saturating_add(1) {
            self.newest_arrived = self.newest_arrived.max(slot.order);
            if slot.tries == 1 {
                self.backoff = 0;
                caller.timed(now.saturating_sub(slot.sent));
            }
        }
    }

    fn merge(&mut self, arrived: Arrived) {
        match arrived.base.cmp(&self.arrived.base) {
            core::cmp::Ordering::Less => {}
            core::cmp::Ordering::Equal => self.arrived.ahead |= arrived.ahead,
            core::cmp::Ordering::Greater => self.arrived = arrived,
        }
    }
}

/// A configuration image on its way to the router.
#[derive(Clone, Debug)]
pub struct Upload<'i> {
    image: &'i [u8],
    interface: Name,
    digest: Digest,
    piece_size: u16,
    window: u32,
    stage: Option<u32>,
    begin: Call,
    first_id: u32,
    flight: Flight,
    restarts: u8,
}

impl<'i> Upload<'i> {
    /// An upload that is about to begin. `piece_size` and `in_flight` are bytes, at most what the
    /// router's hello allows.
    ///
    /// # Errors
    /// [`ClientError::TooLong`] when the image is over 4 GiB.
    pub fn new(
        caller: &mut Caller,
        now: u64,
        interface: Name,
        image: &'i [u8],
        piece_size: u16,
        in_flight: u32,
    ) -> Result<Self, ClientError> {
        let length = u32::try_from(image.len()).map_err(|_| ClientError::TooLong)?;
        let piece_size = piece_size.max(1);
        let total = window::pieces(length, piece_size);
        let window = in_flight.checked_div(piece_size.into()).unwrap_or(1);
        Ok(Self {
            image,
            interface,
            digest: digest(image),
            piece_size,
            window,
            stage: None,
            begin: Call::new(caller, now),
            first_id: caller.take_ids(total),
            flight: Flight::new(total, window, now),
            restarts: 0,
        })
    }

    fn length(&self) -> u32 {
        u32::try_from(self.image.len()).unwrap_or(u32::MAX)
    }

    /// The number of the stage, once all pieces have arrived.
    #[must_use]
    pub fn stage(&self) -> Option<u32> {
        self.stage.filter(|_| self.flight.arrived.base >= self.flight.total)
    }

    /// How many bytes have arrived, and of how many.
    #[must_use]
    pub fn progress(&self) -> (u32, u32) {
        let done = self.flight.arrived.base.saturating_mul(self.piece_size.into());
        (done.min(self.length()), self.length())
    }

    /// What to do at the time `now`.
    ///
    /// # Errors
    /// [`ClientError::Silence`] when it is time to give up.
    pub fn poll(&mut self, caller: &Caller, now: u64, buf: &mut [u8]) -> Result<Step, ClientError> {
        let Some(stage) = self.stage else {
            let ask = Ask::Begin {
                interface: self.interface.clone(),
                length: self.length(),
                digest: self.digest,
                piece_size: self.piece_size,
            };
            return self.begin.poll(caller, now, &ask, buf);
        };
        match self.flight.next(caller, now)? {
            Next::Complete => Ok(Step::Done),
            Next::Wait(until) => Ok(Step::Wait(until)),
            Next::Send(index) => {
                let (offset, size) = window::span(self.length(), self.piece_size, index)
                    .ok_or(ClientError::Unexpected)?;
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let data = self
                    .image
                    .get(start..start.saturating_add(size.into()))
                    .ok_or(ClientError::Unexpected)?;
                let id = self.first_id.wrapping_add(index);
                let len = caller.write(id, Ask::Piece { stage, index, data }, buf)?;
                self.flight.sent(index, now);
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
                None | Some(Answer::Working { .. }) => Ok(()),
                Some(Answer::Received { stage, arrived }) => {
                    self.stage = Some(stage);
                    self.flight.heard = now;
                    self.flight.merge(arrived);
                    Ok(())
                }
                Some(_) => Err(ClientError::Unexpected),
            };
        };
        let index = reply.id.wrapping_sub(self.first_id);
        if index >= self.flight.total {
            return Ok(());
        }
        match reply.answer {
            Answer::Received { stage, arrived } if stage == old => {
                self.flight.heard(caller, index, now);
                self.flight.merge(arrived);
                Ok(())
            }
            Answer::Failed(Failure { code: Code::Gone, .. }) => {
                self.restarts = self.restarts.saturating_add(1);
                if self.restarts > MAX_RESTARTS {
                    return Err(ClientError::Restarts);
                }
                // New numbers: an answer to the old ones says nothing about the new stage.
                let total = self.flight.total;
                self.stage = None;
                self.begin = Call::new(caller, now);
                self.first_id = caller.take_ids(total);
                self.flight = Flight::new(total, self.window, now);
                Ok(())
            }
            Answer::Failed(failure) => Err(ClientError::Failed(failure)),
            _ => Ok(()),
        }
    }
}

/// A file of the router on its way to the client.
#[derive(Debug)]
pub struct Download<'f> {
    file: u32,
    into: &'f mut [u8],
    piece_size: u16,
    first_id: u32,
    flight: Flight,
}

impl<'f> Download<'f> {
    /// A download that is about to begin: `into` is as long as the file, `piece_size` and
    /// `in_flight` are bytes, at most what the router's hello allows.
    pub fn new(
        caller: &mut Caller,
        now: u64,
        file: u32,
        into: &'f mut [u8],
        piece_size: u16,
        in_flight: u32,
    ) -> Self {
        let piece_size = piece_size.max(1);
        let total = window::pieces(u32::try_from(into.len()).unwrap_or(u32::MAX), piece_size);
        let window = in_flight.checked_div(piece_size.into()).unwrap_or(1);
        Self {
            file,
            into,
            piece_size,
            first_id: caller.take_ids(total),
            flight: Flight::new(total, window, now),
        }
    }

    fn span(&self, index: u32) -> Option<(u32, u16)> {
        let length = u32::try_from(self.into.len()).unwrap_or(u32::MAX);
        window::span(length, self.piece_size, index)
    }

    /// What to do at the time `now`.
    ///
    /// # Errors
    /// [`ClientError::Silence`] when it is time to give up.
    pub fn poll(&mut self, caller: &Caller, now: u64, buf: &mut [u8]) -> Result<Step, ClientError> {
        match self.flight.next(caller, now)? {
            Next::Complete => Ok(Step::Done),
            Next::Wait(until) => Ok(Step::Wait(until)),
            Next::Send(index) => {
                let (offset, length) = self.span(index).ok_or(ClientError::Unexpected)?;
                let ask = Ask::Read { file: self.file, offset, length };
                let len = caller.write(self.first_id.wrapping_add(index), ask, buf)?;
                self.flight.sent(index, now);
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
        let index = reply.id.wrapping_sub(self.first_id);
        let Some((expected, size)) = self.span(index) else { return Ok(()) };
        match reply.answer {
            Answer::Data { offset, data } if offset == expected && data.len() == size.into() => {
                self.flight.heard(caller, index, now);
                if self.flight.arrived.wants(index) {
                    let start = usize::try_from(offset).unwrap_or(usize::MAX);
                    let place = self.into.get_mut(start..start.saturating_add(data.len()));
                    place.ok_or(ClientError::Unexpected)?.copy_from_slice(data);
                    self.flight.arrived.insert(index);
                }
                Ok(())
            }
            Answer::Failed(failure) => Err(ClientError::Failed(failure)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
