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
mod transfer;

use core::fmt;

pub use transfer::{Download, Sink, Source, Upload};

use super::HELLO_REPLY_VERSIONS;
use super::envelope;
use super::message::{Answer, Ask, ClientId, Failure, Phase, Reply, Request};

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
            // A second wait that is shorter than the first would repeat what a slow line still carries.
            false => first.max(self.patience.give_up / 6),
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

#[cfg(test)]
mod tests;
