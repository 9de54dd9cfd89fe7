//! A session with a router. It drives the state machines of `proto_core::protocol::client` with a real clock and a
//! real transport.
//!
//! The session starts with a hello and a status. The hello says how many bytes may be in flight; the status
//! identifies the router, for every later message to the user.

pub mod console;
mod machine;
mod opening;
mod owners;
mod patch;
mod push;
mod read;
mod stored;

use std::time::{Duration, Instant};

use proto_core::key::PublicKey;
use proto_core::protocol::client::{Call, Caller, ClientError, Line, Patience, Step, Upload};
use proto_core::protocol::envelope;
use proto_core::protocol::message::{Answer, Applied, Ask, Code, Failure, Hello, Status};
use proto_core::protocol::session::{Wire, fingerprint};
use proto_core::protocol::{MAX_DATA, MAX_PACKET, VERSION, digest};

use crate::home::HomeError;
use crate::image::Image;
use crate::observe::{Event, Observer};
use crate::transport::{Reason, Refusals, Secure, TransportError};
use machine::{Asking, Machine, Ranging};
use opening::{Begun, Opening};
use patch::Items;

pub use push::Diff;

/// The reason why a session ended early.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The transport failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The router did not reply.
    #[error("no answer from the router on {name} for {} s{reason}", waited.as_secs_f32())]
    Silence {
        /// The transport.
        name: String,
        /// The last error of the network, if any.
        reason: Reason,
        /// How long.
        waited: Duration,
        /// The hint for the user.
        hint: String,
    },
    /// No session could be opened.
    #[error("no answer from {who} on {name} for {} s{reason}", waited.as_secs_f32())]
    Nobody {
        /// The router or routers that were tried.
        who: String,
        /// The transport.
        name: String,
        /// The last error of the network, if any.
        reason: Reason,
        /// How long.
        waited: Duration,
        /// The hint for the user.
        hint: String,
    },
    /// The router has no owner.
    #[error("the router on {line} is unclaimed; its fingerprint is {}", fingerprint(key))]
    Unowned {
        /// The transport.
        line: String,
        /// Its key.
        key: PublicKey,
    },
    /// The operator's own files cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The router reported a failure.
    #[error("the router failed: {}", .0.text)]
    Failed(Box<Failure>),
    /// The router keeps losing the upload or download.
    #[error(
        "the router lost the transfer several times: check whether the router keeps restarting"
    )]
    Restarts,
    /// The router violated the protocol.
    #[error("protocol error: {0}")]
    Nonsense(&'static str),
    /// No random numbers for the client's identity.
    #[error("cannot get random numbers from this machine: {0}")]
    Random(getrandom::Error),
}

/// How often a push is retried when its stage on the router has expired.
const MAX_RESTARTS: u32 = 3;
/// Overhead of a request and its reply on the line, in bytes.
const OVERHEAD: u32 = 200;
/// The longest accepted report, in bytes.
const MAX_REPORT: u32 = 64 << 20;

/// A session with a router.
pub struct Session<'u> {
    transport: Secure,
    known_as: String,
    observer: &'u mut dyn Observer,
    caller: Caller,
    started: Instant,
    timeout: Duration,
    refusals: Refusals,
    commit_sent: bool,
    /// A push that began together with the hello.
    begun: Option<Begun>,
    hello: Hello,
    status: Status,
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("hello", &self.hello).finish_non_exhaustive()
    }
}

impl<'u> Session<'u> {
    /// Opens the session: hello and status.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn open(
        transport: Secure,
        timeout: Duration,
        observer: &'u mut dyn Observer,
    ) -> Result<Self, SessionError> {
        Self::open_to_push(transport, timeout, observer, None).await
    }

    /// Opens the session and begins the push of an image in the same round trip.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn open_to_push(
        transport: Secure,
        timeout: Duration,
        observer: &'u mut dyn Observer,
        image: Option<&Image>,
    ) -> Result<Self, SessionError> {
        let mut client = [0; 8];
        getrandom::fill(&mut client).map_err(SessionError::Random)?;
        let mut caller = Caller::new(client, patience(timeout));
        caller.set_line(Line {
            baud: transport.line().baud(),
            in_order: transport.line().wire() == Wire::Serial,
        });
        if let Some(round_trip) = transport.round_trip() {
            caller.timed(round_trip.into());
        }
        let started = transport.line().now();
        let mut session = Self {
            transport,
            known_as: String::new(),
            observer,
            caller,
            started,
            timeout,
            refusals: Refusals::default(),
            commit_sent: false,
            begun: None,
            hello: Hello {
                version: VERSION,
                agent: Default::default(),
                max_data: 0,
                in_flight: 0,
                features: 0,
            },
            status: Status {
                hostname: Default::default(),
                board: Default::default(),
                kernel: Default::default(),
                machine: Default::default(),
                uptime: 0,
                wireguard: false,
                peak_memory: 0,
                applied: 0,
                failed: 0,
                garbage: 0,
                text: 0,
                interfaces: Default::default(),
                pending: None,
                unresolved: 0,
                trouble: Default::default(),
                links: 0,
                longest_turn: Default::default(),
                drift: Default::default(),
                drifting: 0,
                serial_number: Default::default(),
                macs: Default::default(),
            },
        };
        session.greet(image).await?;
        Ok(session)
    }

    async fn greet(&mut self, image: Option<&Image>) -> Result<(), SessionError> {
        let now = self.now();
        let asking = |ask| Asking { call: Call::new(now), ask, answer: None };
        let bounds = match (
            image.and_then(|image| Items::new(&image.bytes)),
            self.transport.line().wire(),
        ) {
            // On a serial line a round trip is short, but these bytes take long.
            (Some(items), Wire::Udp) => items.encode(&items.first_bounds()),
            _ => Vec::new(),
        };
        let (mut begin, mut ranging, mut begun) = (None, None, None);
        let piece_size = self.likely_piece();
        let upload = match image {
            Some(Image { interface, bytes, .. }) => {
                let upload = Upload::new(now, *interface, bytes, piece_size, 1);
                Some(upload.map_err(|error| self.ended(error))?)
            }
            None => None,
        };
        if let (Some(image), Some(upload)) = (image, &upload) {
            begin = Some(asking(upload.ask()));
            if !bounds.is_empty() && !upload.is_announced_whole() {
                let ask = Ask::Ranges { interface: image.interface, bounds: &bounds };
                ranging = Some(Ranging { call: Call::new(now), ask, ranges: None });
            }
            begun = Some((digest(&image.bytes), piece_size));
        }
        let hello = asking(Ask::Hello { min: VERSION, max: VERSION, features: 0 });
        let mut opening = Opening { hello, status: asking(Ask::Status), begin, ranging };
        self.drive(&mut opening).await?;
        match opening.hello.answer {
            Some(Answer::Hello(hello)) if hello.version != VERSION => {
                let text = "the router chose a protocol version that was not offered";
                return Err(SessionError::Nonsense(text));
            }
            Some(Answer::Hello(hello)) if hello.max_data == 0 => {
                return Err(SessionError::Nonsense("the router accepts no data"));
            }
            Some(Answer::Hello(hello)) => self.hello = hello,
            _ => return Err(SessionError::Nonsense("unexpected reply to the hello")),
        }
        match opening.status.answer {
            Some(Answer::Status(status)) => self.status = status,
            _ => {
                return Err(SessionError::Nonsense(
                    "unexpected reply to the request for the status",
                ));
            }
        }
        let answer = opening.begin.and_then(|begin| begin.answer);
        if let (Some(Answer::Received { stage, arrived }), Some((digest, piece_size))) =
            (answer, begun)
        {
            let ranges = opening.ranging.map(|ranging| ranging.ranges);
            self.begun = Some(Begun { digest, piece_size, stage, arrived, ranges });
        }
        let in_flight = self.hello.in_flight;
        let mut patience = patience(self.timeout);
        if let Some(baud) = self.transport.line().baud() {
            let bytes = OVERHEAD.saturating_add(self.piece_size().into());
            patience.resend = patience.resend.saturating_add(bytes.saturating_mul(10_000) / baud);
        }
        self.transport.set_patience(patience);
        self.observer.detail(&format!(
            "postwired {} on {}: pieces of {} bytes, {in_flight} bytes under way",
            printable(&self.hello.agent),
            self.transport.line().name(),
            self.piece_size(),
        ));
        Ok(())
    }

    /// The router's early replies about an image.
    fn take_begun(&mut self, image: &Image) -> Option<Begun> {
        let piece_size = self.piece_size();
        let same =
            |begun: &Begun| begun.piece_size == piece_size && begun.digest == digest(&image.bytes);
        self.begun.take().filter(same)
    }

    /// The router's hello.
    #[must_use]
    pub const fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The router's status at the start of the session.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// The router's key.
    #[must_use]
    pub const fn router_key(&self) -> PublicKey {
        self.transport.router()
    }

    /// The operator's key.
    #[must_use]
    pub fn own_key(&self) -> PublicKey {
        self.transport.own()
    }

    /// The router's name in the operator's list, once saved.
    #[must_use]
    pub fn known_as(&self) -> &str {
        &self.known_as
    }

    /// Removes the progress display before output is printed.
    pub fn clear(&mut self) {
        self.observer.event(Event::Idle);
    }

    /// Prints a line before the command ends.
    pub fn tell(&mut self, line: &str) {
        self.observer.note(line);
    }

    /// Sets the router's name in the operator's list.
    pub fn set_known_as(&mut self, name: String) {
        self.known_as = name;
    }

    /// Notes that a change is about to be requested.
    pub(super) fn committing(&mut self) {
        self.commit_sent = true;
        self.observer.event(Event::Committing);
    }

    /// Whether a change was requested, so that its outcome is unknown if the router does not reply.
    #[must_use]
    pub const fn commit_sent(&self) -> bool {
        self.commit_sent
    }

    /// Bytes in one piece: the smaller of the limits of the router and the line.
    fn piece_size(&self) -> u16 {
        self.hello.max_data.min(self.likely_piece())
    }

    /// As above, before the router has given its limit: every router accepts the maximum.
    fn likely_piece(&self) -> u16 {
        u16::try_from(MAX_DATA).unwrap_or(u16::MAX).min(self.transport.line().max_piece())
    }

    fn now(&self) -> u64 {
        let since = self.transport.line().now().saturating_duration_since(self.started);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Sends one request and returns the reply.
    async fn call(&mut self, ask: Ask<'_>) -> Result<Answer<'static>, SessionError> {
        let now = self.now();
        let mut asking = Asking { call: Call::new(now), ask, answer: None };
        self.drive(&mut asking).await?;
        asking.answer.ok_or(SessionError::Nonsense("the reply is missing"))
    }

    /// Sends one request that changes the router. If the change must be confirmed, the reply is awaited for at most
    /// half the time: the rest is needed to find the router again.
    async fn change(&mut self, ask: Ask<'_>, confirm_within: u16) -> Result<Applied, SessionError> {
        self.committing();
        let half = Duration::from_millis(u64::from(confirm_within) * 500);
        let timeout = if confirm_within == 0 { self.timeout } else { self.timeout.min(half) };
        self.caller.set_patience(patience(timeout));
        let answer = self.call(ask).await;
        self.caller.set_patience(patience(self.timeout));
        match answer? {
            Answer::Applied(applied) => Ok(applied),
            _ => Err(SessionError::Nonsense("unexpected reply to a change")),
        }
    }

    /// Runs a machine until it is done.
    ///
    /// Reads all received packets before sending the next one, also while the line is busy with the last one:
    /// an unread reply looks like a lost reply, and two ends that only write would wait for each other.
    async fn drive(&mut self, machine: &mut dyn Machine) -> Result<(), SessionError> {
        let mut buf = [0; MAX_PACKET];
        loop {
            let busy = self.transport.line().busy();
            if self.receive(machine, busy).await? || !self.transport.line().busy().is_zero() {
                continue;
            }
            let now = self.now();
            let step = machine.poll(&mut self.caller, now, &mut buf);
            match step.map_err(|error| self.ended(*error))? {
                Step::Done => return Ok(()),
                Step::Send(len) => {
                    let packet = buf.get(..len).unwrap_or_default();
                    let sent = self.transport.send(packet);
                    self.refusals.pass(sent)?;
                }
                Step::Wait(until) => {
                    let wait = Duration::from_millis(until.saturating_sub(now).max(1));
                    self.receive(machine, wait).await?;
                }
            }
        }
    }

    /// Receives a packet, waiting no longer than `wait`. Returns whether a packet arrived.
    async fn receive(
        &mut self,
        machine: &mut dyn Machine,
        wait: Duration,
    ) -> Result<bool, SessionError> {
        let received = self.transport.recv(wait).await;
        self.observer.stray(self.transport.stray(), false);
        let Some(packet) = self.refusals.pass(received)?.flatten() else { return Ok(false) };
        self.refusals = Refusals::default();
        let now = self.now();
        match self.caller.reply(&packet) {
            Some(reply) => machine
                .receive(&mut self.caller, now, reply, self.observer)
                .map_err(|error| self.ended(*error))?,
            None => self.foreign(&packet),
        }
        Ok(true)
    }

    fn foreign(&mut self, packet: &[u8]) {
        let what =
            match envelope::read::<proto_core::protocol::message::Reply<'_>>(packet, |_| true) {
                Ok(_) => "a reply to another client",
                Err(_) => "a packet that is not a reply",
            };
        self.observer.detail(&format!("dropped {what} ({} bytes)", packet.len()));
    }

    fn ended(&mut self, error: ClientError) -> SessionError {
        self.observer.stray(self.transport.stray(), true);
        match error {
            ClientError::Silence => SessionError::Silence {
                name: self.transport.line().name().into(),
                waited: self.timeout,
                hint: self.refusals.reason().hint(self.transport.line().silence_hint_later()),
                reason: self.refusals.reason(),
            },
            ClientError::Failed(failure) => SessionError::Failed(failure.into()),
            ClientError::Restarts => SessionError::Restarts,
            ClientError::Unexpected => SessionError::Nonsense("unexpected reply"),
            ClientError::NotUnderstood => {
                SessionError::Nonsense("the reply is newer than this postwire: update postwire")
            }
            ClientError::TooLong => SessionError::Nonsense("the request does not fit a packet"),
            ClientError::WeakKey => SessionError::Nonsense("the router's key has small order"),
            _ => SessionError::Nonsense(
                "the length of the router's file does not match its announcement",
            ),
        }
    }
}

impl SessionError {
    /// The name of the cause, for scripts; `None` where the router gave its own code.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::Transport(TransportError::Open { code, .. }) => code,
            Self::Transport(TransportError::Passing(..)) => "unreachable",
            Self::Transport(TransportError::Lost(..)) => "lost",
            Self::Silence { reason, .. } | Self::Nobody { reason, .. } => reason.code(),
            Self::Unowned { .. } => "unowned",
            Self::Random(_) | Self::Transport(TransportError::Random(_)) => "random",
            Self::Restarts => "restarts",
            Self::Nonsense(_) => "protocol",
            Self::Transport(TransportError::Interrupted) => "interrupted",
            Self::Home(_) | Self::Transport(TransportError::Home(_)) | Self::Failed(_) => {
                return None;
            }
        })
    }

    /// Whether the router was unreachable for now.
    #[must_use]
    pub const fn is_silence(&self) -> bool {
        match self {
            Self::Transport(error) => !matches!(
                error,
                TransportError::Home(_) | TransportError::Random(_) | TransportError::Interrupted
            ),
            Self::Silence { .. } | Self::Nobody { .. } => true,
            _ => false,
        }
    }

    /// Whether the user pressed Ctrl-C.
    pub(crate) const fn is_interrupt(&self) -> bool {
        matches!(self, Self::Transport(TransportError::Interrupted))
    }

    /// Whether the router was reachable to the end.
    const fn is_heard(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Nonsense(_))
    }

    /// Whether what the router made of what it was sent is not what was announced.
    fn is_digest(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.code == Code::Digest)
    }

    /// Whether the upload or download has expired on the router, so that it must be restarted.
    fn is_gone(&self) -> bool {
        matches!(self, Self::Failed(failure) if matches!(failure.code, Code::Gone | Code::Incomplete))
    }
}

fn patience(timeout: Duration) -> Patience {
    Patience { resend: 300, give_up: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX) }
}

/// Text from a router with control characters escaped.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
