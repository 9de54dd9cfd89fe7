//! Finds the router to which a line leads. A claimed router answers only clients that know its key,
//! so all candidate keys are tried, the most likely key with a head start. An unowned router
//! answers a query on a serial line, and over UDP a query with the secret of its label.
//!
//! While a router starts, nothing is sent and the time for the search stands still. If the speed of
//! the line is unknown, each speed has a search of its own.

use std::time::{Duration, Instant};

use proto_core::key::PublicKey;
use proto_core::protocol::client::Patience;
use proto_core::protocol::session::{self, Heard, INITIATION_LEN, LabelKey, RESPONSE_LEN, Wire};
use proto_core::protocol::{MAX_OUTER, MAX_PACKET};

use super::secure::{Shaker, Tended, random};
use super::{Hold, Reason, Refusals, Secure, Transport, TransportError};
use crate::drive;
use crate::home::Operator;
use crate::home::stamp::clock;
use crate::observe::Observer;

/// The head start of the most likely router.
const HEAD_START: Duration = Duration::from_millis(300);
/// The longest pause between other candidates: a router must not take them for a flood.
const APART: Duration = Duration::from_millis(25);
/// The time on a serial line that the framing adds to a handshake.
const FRAMES: u32 = 20;
/// The pause between two queries for an unowned router, at first and at most.
const SEEK_AGAIN: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];
/// How long to search at each speed where the speed is guessed: a slow line needs half a second for a handshake.
const EACH_SPEED: Duration = Duration::from_millis(1_500);
/// How often the line is looked at while nothing may be sent.
const HOLD_SLICE: Duration = Duration::from_millis(50);
/// How long a router that starts again and again is waited for.
const STARTS_LIMIT: Duration = Duration::from_secs(360);

/// The reason why there is no session.
#[derive(Debug)]
pub enum FindError {
    /// The line failed, or the operator's own files did.
    Transport(TransportError),
    /// The router is unowned.
    Unowned {
        /// The line.
        line: String,
        /// The router.
        key: PublicKey,
    },
    /// No router answered.
    Silence {
        /// The line.
        line: String,
        /// Its kind.
        wire: Wire,
        /// The last error of the network, if any.
        reason: Reason,
        /// The hint for the user.
        hint: String,
        /// Number of routers that were not tried for lack of time.
        left_out: usize,
    },
}

impl From<TransportError> for FindError {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl Secure {
    /// Opens a session with the first of these routers that answers. The most likely router comes
    /// first.
    ///
    /// # Errors
    /// [`FindError`].
    pub async fn find(
        mut line: Box<dyn Transport>,
        operator: &Operator,
        routers: &[PublicKey],
        timeout: Duration,
        observer: &mut dyn Observer,
    ) -> Result<Self, FindError> {
        // Before time counts: it may have to wait for other runs. A second attempt at each router is usual.
        operator.prepare_stamps(2 * routers.len()).map_err(TransportError::from)?;
        let search = Search::begin(line.as_ref());
        let found = loop {
            search.wait(line.as_mut(), observer).await?;
            let patience = patience_at(line.as_ref(), timeout);
            match find(line.as_mut(), operator, routers, patience, observer).await {
                Ok(found) => break Ok(found),
                Err(Ended::Held) => {}
                Err(Ended::Error(error @ FindError::Silence { .. })) if !line.next_speed()? => {
                    break Err(error);
                }
                Err(Ended::Error(FindError::Silence { .. })) => {}
                Err(Ended::Error(error)) => break Err(error),
            }
        };
        observer.stray(line.stray(), found.is_err());
        search.end(line.as_ref(), observer);
        Ok(Self::new(line, found?))
    }
}

/// Why [`find`] ended without a session.
enum Ended {
    /// The router has begun to start.
    Held,
    Error(FindError),
}

impl<E: Into<FindError>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// How long to search at the present speed.
fn patience_at(line: &dyn Transport, timeout: Duration) -> Duration {
    if line.guesses() { timeout.min(EACH_SPEED) } else { timeout }
}

/// A search on a line, while the router may be starting and the speed may be unknown.
struct Search {
    began: Instant,
    guessed: bool,
}

impl Search {
    fn begin(line: &dyn Transport) -> Self {
        Self { began: line.now(), guessed: line.guesses() }
    }

    /// Listens before the first packet, and waits while the router starts.
    async fn wait(
        &self,
        line: &mut dyn Transport,
        observer: &mut dyn Observer,
    ) -> Result<(), TransportError> {
        let (started, mut told) = (line.now(), false);
        loop {
            match line.hold() {
                Some(Hold::Stopped(prompt)) => return Err(stopped(line, &prompt)),
                Some(Hold::Starting) if line.now() - self.began < STARTS_LIMIT => {
                    if !told {
                        observer.note("waiting for the router to start");
                        told = true;
                    }
                }
                Some(Hold::Starting | Hold::TooLong) => {
                    observer.stray(line.stray(), true);
                    return Err(starts_for_ever(line, line.now() - self.began));
                }
                None if line.now() - started >= line.listens() => {
                    if told {
                        observer.note("the router has started");
                    }
                    return Ok(());
                }
                Some(Hold::Text) | None => {}
            }
            // Nothing was asked, so no packet is an answer.
            drive::receive(line, HOLD_SLICE).await?;
            observer.stray(line.stray(), false);
        }
    }

    fn end(&self, line: &dyn Transport, observer: &mut dyn Observer) {
        if self.guessed && !line.guesses() {
            observer.note(&format!("found the speed: {}", line.name()));
        }
    }
}

fn stopped(line: &dyn Transport, prompt: &str) -> TransportError {
    TransportError::Open {
        code: "boot_loader",
        message: format!(
            "the router on {} does not start: its boot loader has stopped at the prompt `{prompt}`",
            line.name()
        ),
        hint: Some(
            "switch the router off and on and leave the line alone until it has started; or type `boot` (RedBoot: \
             `fis load linux` and `exec`) at the prompt, with a terminal program such as picocom"
                .into(),
        ),
    }
}

fn starts_for_ever(line: &dyn Transport, waited: Duration) -> TransportError {
    TransportError::Open {
        code: "starting",
        message: format!(
            "the router on {} has been starting for {} s and is not up",
            line.name(),
            waited.as_secs()
        ),
        hint: Some("-v shows what it says; does it restart again and again?".into()),
    }
}

async fn find(
    line: &mut dyn Transport,
    operator: &Operator,
    routers: &[PublicKey],
    timeout: Duration,
    observer: &mut dyn Observer,
) -> Result<Shaker, Ended> {
    let (started, wire) = (line.now(), line.wire());
    let patience = patience(line.baud(), timeout);
    let line_time = Duration::from_millis(patience.resend.into());
    let (apart, can) = spread(line_time, timeout, routers.len());
    let start = |nth: u32| match nth {
        0 => started,
        nth => started + line_time + HEAD_START + apart * nth,
    };
    let left_out = routers.len() - can;
    let mut shakers: Vec<(Instant, Shaker)> = (0..)
        .zip(routers.iter().take(can))
        .map(|(nth, key)| (start(nth), Shaker::new(operator, *key, wire, patience, started)))
        .collect();
    // A user with the wrong router should not have to wait for the whole timeout.
    let mut seeking = match wire {
        Wire::Serial => Some(Seeking::new(None, start(u32::from(!routers.is_empty())))?),
        Wire::Udp => None,
    };
    let (until, mut refusals) = (started + timeout, Refusals::default());
    let mut out = [0; MAX_PACKET];
    loop {
        if line.hold().is_some() {
            return Err(Ended::Held);
        }
        let now = line.now();
        if now >= until {
            let (line, hint) = (line.name().into(), line.silence_hint());
            let reason = refusals.reason();
            return Err(FindError::Silence { line, wire, reason, hint, left_out }.into());
        }
        let mut wait = until - now;
        let busy = line.busy();
        for (start, shaker) in &mut shakers {
            // The next router is tried only after the line has carried the last attempt.
            if !busy.is_zero() {
                wait = wait.min(busy);
                break;
            }
            if now < *start {
                wait = wait.min(*start - now);
                continue;
            }
            let tended = shaker.tend(line);
            match refusals.pass(tended)? {
                Some(Tended::Rests(rest)) => wait = wait.min(rest),
                Some(Tended::GaveUp) => {}
                // Check received packets before trying the next router.
                Some(Tended::Sent) | None => {
                    wait = Duration::ZERO;
                    break;
                }
            }
        }
        if let Some(seeking) = seeking.as_mut().filter(|_| busy.is_zero()) {
            let rest = seeking.tend(line);
            wait = wait.min(refusals.pass(rest)?.unwrap_or_default());
        }
        let received = drive::receive(line, wait).await;
        observer.stray(line.stray(), false);
        let Some(packet) = refusals.pass(received)?.flatten() else { continue };
        refusals = Refusals::default();
        for at in 0..shakers.len() {
            let shaker = &mut shakers[at].1;
            match shaker.receive(line.now(), &packet, &mut out) {
                Heard::Up => return Ok(shakers.swap_remove(at).1),
                Heard::Stamp(last) => tell_clock(last, observer),
                Heard::Nothing | Heard::Packet(_) => {}
            }
        }
        if let Some(key) = seeking.as_ref().and_then(|seeking| seeking.found(&packet)) {
            // If it is one of the candidates, it answers the handshake too.
            if !routers.contains(&key) {
                return Err(FindError::Unowned { line: line.name().into(), key }.into());
            }
        }
    }
}

/// The time between two of `count` routers, and how many of them are tried: whatever their number, each is tried in the
/// first half of the time, as far as the line can carry it.
fn spread(line_time: Duration, timeout: Duration, count: usize) -> (Duration, usize) {
    let most = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    let apart = APART.min(timeout / 2 / most).max(line_time);
    let can = match apart.as_nanos() {
        0 => usize::MAX,
        apart => usize::try_from(timeout.as_nanos() / 2 / apart).unwrap_or(usize::MAX).max(1),
    };
    (apart, can.min(count))
}

/// How many of `count` routers a search of this time tries on a line of this speed, in bits per second.
#[must_use]
pub fn tried(baud: u32, timeout: Duration, count: usize) -> usize {
    let patience = patience(Some(baud), timeout);
    spread(Duration::from_millis(patience.resend.into()), timeout, count).1
}

/// Tells the person that the clock is behind the last handshake with this key, if that is what it is: another run may
/// just have been faster.
fn tell_clock(last: u64, observer: &mut dyn Observer) {
    let behind = last.saturating_sub(clock()) / 1_000;
    if behind > 0 {
        let behind = match behind {
            0..120 => format!("{behind} s"),
            120..7_200 => format!("{} minutes", behind / 60),
            7_200..172_800 => format!("{} hours", behind / 3_600),
            _ => format!("{} days", behind / 86_400),
        };
        observer.note(&format!(
            "note: the clock of this machine is {behind} behind the last session with your key, from here or from \
             another machine; going on from there"
        ));
    }
}

fn patience(baud: Option<u32>, timeout: Duration) -> Patience {
    let bytes = u32::try_from(INITIATION_LEN + RESPONSE_LEN).unwrap_or(0) + FRAMES;
    let line = baud.map_or(0, |baud| bytes * 10 * 1_000 / baud.max(1));
    Patience { resend: line, give_up: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX) }
}

/// Looks for an unowned router: its key, or the network's error if no router answered.
///
/// # Errors
/// [`TransportError`].
pub async fn seek(
    line: &mut dyn Transport,
    label: Option<&LabelKey>,
    timeout: Duration,
    observer: &mut dyn Observer,
) -> Result<Result<PublicKey, Reason>, TransportError> {
    let search = Search::begin(line);
    let found = loop {
        search.wait(line, observer).await?;
        let patience = patience_at(line, timeout);
        match seek_once(line, label, patience, observer).await? {
            Some(Ok(key)) => break Ok(key),
            Some(Err(reason)) if !line.next_speed()? => break Err(reason),
            Some(Err(_)) | None => {}
        }
    };
    observer.stray(line.stray(), true);
    search.end(line, observer);
    Ok(found)
}

/// One search; `None` if the router has begun to start.
async fn seek_once(
    line: &mut dyn Transport,
    label: Option<&LabelKey>,
    timeout: Duration,
    observer: &mut dyn Observer,
) -> Result<Option<Result<PublicKey, Reason>>, TransportError> {
    let started = line.now();
    let mut seeking = Seeking::new(label, started)?;
    let mut refusals = Refusals::default();
    while let Some(left) = timeout.checked_sub(line.now() - started) {
        if line.hold().is_some() {
            return Ok(None);
        }
        let rest = seeking.tend(line);
        let wait = refusals.pass(rest)?.unwrap_or_default().min(left);
        let received = drive::receive(line, wait).await;
        observer.stray(line.stray(), false);
        if let Some(packet) = refusals.pass(received)?.flatten() {
            refusals = Refusals::default();
            if let Some(key) = seeking.found(&packet) {
                return Ok(Some(Ok(key)));
            }
        }
    }
    Ok(Some(Err(refusals.reason())))
}

/// A query that is repeated.
struct Seeking<'l> {
    nonce: [u8; 16],
    label: Option<&'l LabelKey>,
    due: Instant,
    again: Duration,
}

impl<'l> Seeking<'l> {
    fn new(label: Option<&'l LabelKey>, due: Instant) -> Result<Self, TransportError> {
        Ok(Self { nonce: random()?, label, due, again: SEEK_AGAIN[0] })
    }

    /// Sends the query when it is due. Returns the time until the next one.
    fn tend(&mut self, line: &mut dyn Transport) -> Result<Duration, TransportError> {
        let now = line.now();
        if now >= self.due {
            self.due = now + self.again;
            self.again = (self.again * 2).min(SEEK_AGAIN[1]);
            let mut out = [0; MAX_OUTER];
            let len = session::seek(&self.nonce, self.label, &mut out).unwrap_or(0);
            line.send(out.get(..len).unwrap_or_default())?;
        }
        Ok(self.due.saturating_duration_since(now))
    }

    fn found(&self, packet: &[u8]) -> Option<PublicKey> {
        session::found(packet, &self.nonce, self.label)
    }
}
