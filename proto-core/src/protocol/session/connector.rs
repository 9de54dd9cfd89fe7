//! The client's side of sessions as a state machine: connects, tries again, takes cookies, makes a new
//! session in time and when the router seems to have lost the old one. No I/O, no clock and no
//! randomness of its own.
//!
//! It is driven like the machines of [`crate::protocol::client`], and lies under them: what those
//! want to send goes through [`Connector::seal`], every packet that arrives goes to
//! [`Connector::receive`], and what comes out of that goes to them.

use super::{
    Channel, Cookie, INITIATION_LEN, Initiator, MAX_STAMP_STEP, REKEY_AFTER, REKEY_PACKETS,
    SESSION_LIFE, StaticKey, Wire, receiver,
};
use crate::key::{PublicKey, SecretKey};
use crate::protocol::client::{ClientError, Patience, Step};

/// After how many milliseconds the first initiation is sent again.
const FIRST_RESEND: u64 = 400;
/// After how many the others are.
const RESEND: u64 = 1_000;
/// How much longer, in powers of two, they become while there is a session that may still live: the
/// router may just be busy, and has to work through all that piles up.
const MAX_BACKOFF: u32 = 2;
/// Number of initiations that are remembered: an answer may take as long as it takes to send them,
/// over five seconds.
const TRIES: usize = 7;
/// The longest round trip, in milliseconds, that is believed when a session seems to be lost: a response that was held
/// back for minutes must not keep a client from connecting again.
const LONGEST_TRIP: u32 = 4_000;
/// After how many milliseconds without an answer a session may be lost: two tries of a request.
const SILENCE: u64 = 600;

/// What the caller provides for each new handshake.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// 32 random bytes.
    pub ephemeral: SecretKey,
    /// A random number.
    pub index: u32,
    /// The time in milliseconds since 1970, greater than it was in any handshake of this client's key
    /// before, also by another program.
    pub stamp: u64,
}

/// Outcome of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Nothing for this client, or part of a handshake that is still under way: poll.
    Nothing,
    /// There is a new session. If there was none before, now requests can be sent; what is under way
    /// unanswered may be sent again at once.
    Up,
    /// A packet of the router, written to the front of the buffer: its length.
    Packet(usize),
    /// The router took a later stamp of this client's key before, which is this one: poll. The next
    /// stamps follow it; see to it that those of other programs with this key do, too.
    Stamp(u64),
}

/// A session that is up.
#[derive(Debug)]
struct Session {
    channel: Channel,
    since: u64,
}

/// A handshake under way.
#[derive(Debug, Default)]
struct Attempt {
    /// The last initiations and when they were sent, the latest first: an answer may be slow.
    tries: [Option<(Initiator, u64)>; TRIES],
    /// When to send again.
    due: u64,
    count: u32,
    /// Whether the router said that a stamp was wrong: that is answered at once one time.
    corrected: bool,
}

/// The way to one router: at most one session to send through, and the one before, whose last
/// packets may still be coming.
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
    /// The last stamp that was sent, or that the router took of this key.
    stamp: u64,
    /// The greatest stamp that the router takes, as far as is known.
    max_stamp: u64,
    /// Since when there has been no session, or nothing was heard of what was sent.
    waiting: Option<u64>,
    /// How long the last handshake took, in milliseconds.
    round_trip: Option<u32>,
}

impl Connector {
    /// A client that has no session yet. Of `patience`, `resend` is how long an answer may take on a
    /// slow line, and `give_up` how long to try.
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

    /// Returns `true` if there is a session to send through.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.session.is_some()
    }

    /// How long the last handshake took from the initiation that was answered to its response, in
    /// milliseconds.
    #[must_use]
    pub const fn round_trip(&self) -> Option<u32> {
        self.round_trip
    }

    /// The handshake hash of the session, which a claim's proof is made for.
    #[must_use]
    pub fn handshake_hash(&self) -> Option<&[u8; 32]> {
        self.session.as_ref().map(|session| session.channel.handshake_hash())
    }

    /// The last stamp that was sent, or that the router took. The next one of this client's key has to be greater, also in
    /// another program and with a clock that was set back.
    #[must_use]
    pub const fn last_stamp(&self) -> u64 {
        self.stamp
    }

    /// What to do at the time `now`: send an initiation, or wait. Never [`Step::Done`].
    ///
    /// `fresh` is asked for each initiation; `out` needs room for one.
    ///
    /// # Errors
    /// [`ClientError::Silence`] when there has been no session for as long as the patience lasts.
    /// [`ClientError::TooLong`] when `out` is too short. [`ClientError::WeakKey`] when the router's
    /// key has small order or a private key is zero.
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

    /// When to send the next initiation.
    fn due(&self, waiting: u64) -> u64 {
        // Four round trips: on a slow line more goes by than the short packets of a handshake.
        let slow = u64::from(self.round_trip.unwrap_or(0).min(LONGEST_TRIP)).saturating_mul(4);
        let silence = SILENCE.max(u64::from(self.patience.resend).saturating_mul(2)).max(slow);
        // Without a session now; with one when it is old, or when it seems to be lost.
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
        // A clock that is behind what the router knows, or absurdly far ahead of it, is no help.
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
        attempt.due = now.saturating_add(usual.max(self.patience.resend.into()));
        attempt.count = attempt.count.saturating_add(1);
        attempt.tries.rotate_right(1);
        if let Some(last) = attempt.tries.first_mut() {
            *last = Some((initiator, now));
        }
        Ok(Step::Send(len))
    }

    /// Takes a packet that arrived at the time `now`. What was in it is written to `out`.
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
        // Worth one more initiation, which goes out at once, and no second one for the same.
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

    /// Writes a packet as it goes through the session: its length, or nothing when there is no session
    /// or no room.
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
