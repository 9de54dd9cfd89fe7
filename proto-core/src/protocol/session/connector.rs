//! The client's side of sessions as a state machine: connects, retries, accepts cookies, and renews
//! a session in time or when the router seems to have lost it. No I/O, no clock, and no randomness
//! of its own.
//!
//! A connector is driven like the machines of [`crate::protocol::client`], and sits below them:
//! their packets go through [`Connector::seal`], every packet that arrives goes to
//! [`Connector::receive`], and the packets that it returns go to them.

use super::{
    Channel, Cookie, INITIATION_LEN, Initiator, MAX_INITIATIONS, MAX_STAMP_STEP, REKEY_AFTER,
    REKEY_PACKETS, SESSION_LIFE, StaticKey, Wire, receiver,
};
use crate::key::{PublicKey, SecretKey};
use crate::protocol::client::{ClientError, Patience, Step};

/// Milliseconds after which the first initiation is resent.
const FIRST_RESEND: u64 = 400;
/// Milliseconds after which later initiations are resent.
const RESEND: u64 = 1_000;
/// Largest power of two by which these times grow while an old session may still be alive: a busy
/// router must process every initiation.
const MAX_BACKOFF: u32 = 2;
/// Number of stored initiations: a response may arrive as late as the time for sending them, over
/// five seconds.
const TRIES: usize = MAX_INITIATIONS;
/// Longest round trip in milliseconds that counts when a session seems to be lost: a response that
/// was delayed for minutes must not stop the client from connecting again.
const LONGEST_TRIP: u32 = 4_000;
/// Milliseconds without a reply after which a session may be lost: two tries of a request.
const SILENCE: u64 = 600;

/// The caller's input for each new handshake.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// 32 random bytes.
    pub ephemeral: SecretKey,
    /// A random number.
    pub index: u32,
    /// The time in milliseconds since 1970, greater than in every earlier handshake with this
    /// client's key, in this program or another.
    pub stamp: u64,
}

/// The result of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Nothing for this client, or a step of a handshake: call `poll`.
    Nothing,
    /// A new session is up. If there was none before, requests can be sent now; unanswered requests
    /// may be resent at once.
    Up,
    /// A packet of the router, written to the front of the buffer; contains its length in bytes.
    Packet(usize),
    /// The router had accepted a later stamp of this client's key; contains that stamp: call
    /// `poll`. The next stamps follow it. The caller must ensure the same for other programs with
    /// this key.
    Stamp(u64),
}

/// A session that is up.
#[derive(Debug)]
struct Session {
    channel: Channel,
    since: u64,
}

/// A handshake in progress.
#[derive(Debug, Default)]
struct Attempt {
    /// The last initiations and the times when they were sent, latest first, because a response may
    /// be slow.
    tries: [Option<(Initiator, u64)>; TRIES],
    /// The time at which to resend.
    due: u64,
    count: u32,
    /// Whether the router reported a wrong stamp: only the first report is answered at once.
    corrected: bool,
}

/// The connection to one router: at most one session for sending, and the session before it, whose
/// last packets may still arrive.
#[derive(Debug)]
pub struct Connector {
    own: StaticKey,
    router: PublicKey,
    wire: Wire,
    patience: Patience,
    session: Option<Session>,
    previous: Option<Session>,
    attempt: Option<Attempt>,
    cookie: Option<Cookie>,
    /// The last stamp of this key that was sent, or that the router accepted.
    stamp: u64,
    /// The greatest stamp that the router accepts, as far as known.
    max_stamp: u64,
    /// The time since which there has been no session, or no reply.
    waiting: Option<u64>,
    /// Duration of the last handshake in milliseconds.
    round_trip: Option<u32>,
}

impl Connector {
    /// A client without a session. `patience.resend` is the longest time for a response on a slow
    /// line, and `patience.give_up` the time after which to give up.
    #[must_use]
    pub const fn new(own: StaticKey, router: PublicKey, wire: Wire, patience: Patience) -> Self {
        Self {
            own,
            router,
            wire,
            patience,
            session: None,
            previous: None,
            attempt: None,
            cookie: None,
            stamp: 0,
            max_stamp: u64::MAX,
            waiting: None,
            round_trip: None,
        }
    }

    /// Changes the timeouts.
    pub const fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// Whether there is a session for sending.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.session.is_some()
    }

    /// Duration of the last handshake in milliseconds, from the answered initiation to its
    /// response. `None` before the first handshake.
    #[must_use]
    pub const fn round_trip(&self) -> Option<u32> {
        self.round_trip
    }

    /// The handshake hash of the session, which the proof of a claim includes. `None` without a
    /// session.
    #[must_use]
    pub fn handshake_hash(&self) -> Option<&[u8; 32]> {
        self.session.as_ref().map(|session| session.channel.handshake_hash())
    }

    /// The last stamp that was sent, or that the router accepted. The next stamp of this client's
    /// key must be greater, even in another program and with a clock that was set back.
    #[must_use]
    pub const fn last_stamp(&self) -> u64 {
        self.stamp
    }

    /// Returns what to do at the time `now`: send an initiation, or wait. Never [`Step::Done`].
    ///
    /// `fresh` is called for each initiation; `out` needs room for one.
    ///
    /// # Errors
    /// [`ClientError::Silence`] after [`Patience::give_up`] without a session.
    /// [`ClientError::TooLong`] if `out` is too short. [`ClientError::WeakKey`] if the router's key
    /// has small order or a private key is zero.
    pub fn poll(
        &mut self,
        now: u64,
        fresh: &mut dyn FnMut() -> Fresh,
        out: &mut [u8],
    ) -> Result<Step, ClientError> {
        let over = |session: &mut Session| now.saturating_sub(session.since) >= SESSION_LIFE;
        self.previous.take_if(over);
        if self.session.take_if(over).is_some() {
            self.waiting = None;
        }
        let waiting = match (&self.session, self.waiting) {
            (None, waiting) => *self.waiting.insert(waiting.unwrap_or(now)),
            (Some(_), waiting) => waiting.unwrap_or(u64::MAX),
        };
        let give_up = waiting.saturating_add(self.patience.give_up.into());
        if self.session.is_none() && now >= give_up {
            return Err(ClientError::Silence);
        }
        let due = self.due(waiting);
        if now < due {
            return Ok(Step::Wait(if self.is_up() { due } else { due.min(give_up) }));
        }
        self.initiate(now, fresh(), out)
    }

    /// The time at which to send the next initiation.
    fn due(&self, waiting: u64) -> u64 {
        // Four round trips: on a slow line other packets take longer than the short ones of a
        // handshake.
        let slow = u64::from(self.round_trip.unwrap_or(0).min(LONGEST_TRIP)).saturating_mul(4);
        let silence = SILENCE.max(u64::from(self.patience.resend).saturating_mul(2)).max(slow);
        // Without a session: now. With a session: when it is old, or seems to be lost.
        let wanted = match &self.session {
            None => 0,
            Some(session) if session.channel.sent() >= REKEY_PACKETS => 0,
            Some(session) => {
                session.since.saturating_add(REKEY_AFTER).min(waiting.saturating_add(silence))
            }
        };
        self.attempt.as_ref().map_or(wanted, |attempt| attempt.due.max(wanted))
    }

    fn initiate(&mut self, now: u64, fresh: Fresh, out: &mut [u8]) -> Result<Step, ClientError> {
        if out.len() < INITIATION_LEN {
            return Err(ClientError::TooLong);
        }
        let least = self.stamp.saturating_add(1);
        // Ignore a clock that is behind the router's stamp, or implausibly far ahead.
        let stamp = Some(fresh.stamp).filter(|stamp| (least..=self.max_stamp).contains(stamp));
        let stamp = stamp.unwrap_or(least);
        let cookie = self.cookie.take();
        let (len, initiator) = Initiator::begin(
            &self.own,
            &self.router,
            self.wire,
            fresh.index,
            stamp,
            &fresh.ephemeral,
            cookie.as_ref(),
            out,
        )
        .ok_or(ClientError::WeakKey)?;
        self.stamp = stamp;
        let up = self.is_up();
        let attempt = self.attempt.get_or_insert(Attempt::default());
        let longer = if up { attempt.count.min(MAX_BACKOFF) } else { 0 };
        let usual = match attempt.count {
            0 => FIRST_RESEND,
            _ => RESEND.checked_shl(longer).unwrap_or(RESEND),
        };
        // Sooner, the response to this one is still on its way.
        let trip = u64::from(self.round_trip.unwrap_or(0).min(LONGEST_TRIP));
        let usual = usual.max(self.patience.resend.into()).max(trip.saturating_add(trip / 4));
        attempt.due = now.saturating_add(usual);
        attempt.count = attempt.count.saturating_add(1);
        attempt.tries.rotate_right(1);
        if let Some(last) = attempt.tries.first_mut() {
            *last = Some((initiator, now));
        }
        Ok(Step::Send(len))
    }

    /// Takes a packet that arrived at the time `now`. The content of the packet is written to
    /// `out`.
    pub fn receive(&mut self, now: u64, packet: &[u8], out: &mut [u8]) -> Heard {
        if receiver(packet).is_some() {
            return self.open(packet, out);
        }
        let Some(attempt) = &mut self.attempt else { return Heard::Nothing };
        let mut tries = attempt.tries.iter_mut().flatten();
        let answered =
            tries.find_map(|(initiator, sent)| Some((initiator.response(packet)?, *sent)));
        if let Some((channel, sent)) = answered {
            self.round_trip = Some(u32::try_from(now.saturating_sub(sent)).unwrap_or(u32::MAX));
            self.attempt = None;
            self.cookie = None;
            self.waiting = None;
            self.previous = self.session.replace(Session { channel, since: now });
            return Heard::Up;
        }
        // The first report causes one more initiation at once; a second report does not.
        let mut tries = attempt.tries.iter().flatten();
        if let Some(cookie) = tries.find_map(|(initiator, _)| initiator.cookie(packet)) {
            attempt.due = now;
            attempt.tries = [const { None }; TRIES];
            self.cookie = Some(cookie);
            return Heard::Nothing;
        }
        let mut tries = attempt.tries.iter().flatten();
        if let Some(last) = tries.find_map(|(initiator, _)| initiator.wrong_stamp(packet)) {
            attempt.tries = [const { None }; TRIES];
            if !core::mem::replace(&mut attempt.corrected, true) {
                attempt.due = now;
            }
            (self.stamp, self.max_stamp) = (last, last.saturating_add(MAX_STAMP_STEP));
            return Heard::Stamp(last);
        }
        Heard::Nothing
    }

    fn open(&mut self, packet: &[u8], out: &mut [u8]) -> Heard {
        for session in [&mut self.session, &mut self.previous].into_iter().flatten() {
            if let Some(len) = session.channel.open(packet, out) {
                self.waiting = None;
                return Heard::Packet(len);
            }
        }
        Heard::Nothing
    }

    /// Encrypts a packet into `out` and returns its length. `None` if there is no session or no
    /// room.
    #[must_use]
    pub fn seal(&mut self, now: u64, plain: &[u8], out: &mut [u8]) -> Option<usize> {
        let len = self.session.as_mut()?.channel.seal(plain, out)?;
        self.waiting.get_or_insert(now);
        Some(len)
    }
}

const _: () = assert!(INITIATION_LEN <= crate::protocol::MAX_OUTER);

#[cfg(test)]
mod network;
#[cfg(test)]
mod tests;
