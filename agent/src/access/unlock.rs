//! Opening the console of an owned router with a code from one of its owners: who may do what on the serial line.
//!
//! `proto_core::protocol::unlock` has challenge and code. Here is how long they are good for, what a wrong code costs,
//! and when the console closes again. One of these belongs to each console; it survives a hang-up, so that wrong codes
//! are not forgiven by one.
//!
//! A challenge is good for one success, for fifteen minutes, and stays the same while it is good: asking again does not
//! spoil a code that is being read out. After a wrong code the next one is judged only after a wait, 1 s at first and
//! twice as long each time up to half a minute: a guesser gets some 240 guesses in two hours, and the right person
//! waits for half a minute at most. A mistyped code is no guess: its check symbols tell.
//!
//! Not here: the words of the console, randomness, time, and the log.

use core::fmt;

use proto_core::key::PublicKey;
use proto_core::protocol::message::Role;
use proto_core::protocol::session::{StaticKey, Wire};
use proto_core::protocol::unlock::{CHALLENGE_BYTES, Challenge, Code, Pairing, SpokenError};

use crate::access::owners::{Ownership, Standing};

/// How long a challenge is good for, in milliseconds.
pub const CHALLENGE_LIFE: u64 = 15 * 60_000;
/// How long a code opens the console, in milliseconds.
pub const OPEN: u64 = 10 * 60_000;
/// How long the console stays open without a key pressed, in milliseconds.
pub const QUIET: u64 = 3 * 60_000;
/// The longest wait after a wrong code, in milliseconds. The first one is a second.
pub const LONGEST_WAIT: u64 = 30_000;

/// What a code was worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The console is open.
    Opened {
        /// The owner who made the code.
        owner: PublicKey,
        /// What may be done.
        role: Role,
    },
    /// The text is no code; it does not count as a guess.
    Misread(SpokenError),
    /// No challenge was asked for, or it was used.
    NoChallenge,
    /// The challenge is too old.
    TooOld,
    /// Too soon after a wrong code: the code was not looked at. Seconds until it is.
    Wait(u64),
    /// Not the code of any owner for this challenge. Seconds until the next one is looked at.
    Wrong(u64),
    /// The code of an owner who may only look, made to do everything.
    MayOnlyLook,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Opened { role: Role::ReadOnly, .. } => "open for 10 minutes, to look",
            Self::Opened { .. } => "open for 10 minutes",
            Self::Misread(error) => {
                return write!(f, "{error}; this did not count as a guess: type the code again");
            }
            Self::NoChallenge => "there is no challenge: type `unlock` first",
            Self::TooOld => "the challenge is too old: type `unlock` for a new one",
            Self::Wait(seconds) => {
                return write!(
                    f,
                    "wait {seconds} s, then type the code again; it was not looked at"
                );
            }
            Self::Wrong(seconds) => {
                return write!(
                    f,
                    "wrong code: was it made for this challenge and this router, by one of its owners? Wait \
                     {seconds} s before the next one"
                );
            }
            Self::MayOnlyLook => "this owner may only look: ask for a code with `--role read-only`",
        };
        f.write_str(text)
    }
}

/// Why the console closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closed {
    /// The ten minutes are over.
    Time,
    /// No key was pressed for three minutes.
    Quiet,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Time => "locked: the 10 minutes are over",
            Self::Quiet => "locked: nothing was typed for 3 minutes",
        })
    }
}

/// An open console.
#[derive(Clone, Copy, Debug)]
struct Opening {
    owner: PublicKey,
    role: Role,
    until: u64,
    /// Time of the last key.
    typed: u64,
}

/// Who may do what on one console.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlock {
    /// The challenge, and when it was made.
    challenge: Option<(Challenge, u64)>,
    /// How long the next wrong code makes wait; 0 before the first one.
    wait: u64,
    /// When the next code is looked at.
    next: u64,
    opening: Option<Opening>,
}

const fn seconds(milliseconds: u64) -> u64 {
    milliseconds.div_ceil(1_000)
}

impl Unlock {
    /// The challenge to show: the present one if it is good, or else a new one of `random` bytes.
    pub fn begin(&mut self, now: u64, random: [u8; CHALLENGE_BYTES]) -> Challenge {
        match self.challenge {
            Some((challenge, made)) if now.saturating_sub(made) < CHALLENGE_LIFE => challenge,
            _ => {
                let challenge = Challenge::new(random);
                self.challenge = Some((challenge, now));
                challenge
            }
        }
    }

    /// Judges a code, and opens the console if it is right. The work is the same whichever owner made the code: one
    /// multiplication on Curve25519 for each owner.
    #[inline(never)]
    pub fn judge(
        &mut self,
        now: u64,
        text: &str,
        identity: &StaticKey,
        ownership: &mut Ownership<'_>,
    ) -> Verdict {
        let code: Code = match text.parse() {
            Ok(code) => code,
            Err(error) => return Verdict::Misread(error),
        };
        let Some((challenge, made)) = self.challenge else { return Verdict::NoChallenge };
        if now.saturating_sub(made) >= CHALLENGE_LIFE {
            self.challenge = None;
            return Verdict::TooOld;
        }
        if now < self.next {
            return Verdict::Wait(seconds(self.next.saturating_sub(now)));
        }
        // The owners may have changed since the last look.
        ownership.refresh();
        let mut found = None;
        for owner in ownership.owners() {
            let Some(pairing) = Pairing::on_router(identity, &owner.key) else { continue };
            for role in [Role::Admin, Role::ReadOnly] {
                if pairing.code(&challenge, role) == code {
                    found = Some((owner.key, role));
                }
            }
        }
        let allowed = found.map(|(owner, role)| {
            (owner, role, lesser(role, ownership.standing(&owner, Wire::Serial)))
        });
        match allowed {
            Some((owner, role, Some(may))) if may == role => {
                self.challenge = None;
                (self.wait, self.next) = (0, 0);
                self.opening =
                    Some(Opening { owner, role, until: now.saturating_add(OPEN), typed: now });
                Verdict::Opened { owner, role }
            }
            Some((_, _, Some(_))) => Verdict::MayOnlyLook,
            // Also while the list of owners cannot be read.
            _ => {
                self.wait = self.wait.saturating_mul(2).clamp(1_000, LONGEST_WAIT);
                self.next = now.saturating_add(self.wait);
                Verdict::Wrong(seconds(self.wait))
            }
        }
    }

    /// The owner in whose name the console is open, and what may be done now; `None` for a guest. An owner who was
    /// removed, or whose role was reduced, loses at once what the code had opened.
    pub fn standing(
        &mut self,
        now: u64,
        ownership: &mut Ownership<'_>,
    ) -> Option<(PublicKey, Role)> {
        self.tick(now);
        let Opening { owner, role, .. } = self.opening?;
        ownership.refresh();
        let may = lesser(role, ownership.standing(&owner, Wire::Serial));
        if may.is_none() {
            self.opening = None;
        }
        may.map(|role| (owner, role))
    }

    /// Whether the console is open, by the clock alone: for the prompt.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.opening.is_some()
    }

    /// Notes that a key was pressed, which keeps an open console open.
    pub fn typed(&mut self, now: u64) {
        self.tick(now);
        if let Some(opening) = &mut self.opening {
            opening.typed = now;
        }
    }

    /// Closes the console: at `exit`, and when the line hangs up.
    pub const fn lock(&mut self) {
        self.opening = None;
    }

    /// When [`Self::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.opening.map(|opening| opening.until.min(opening.typed.saturating_add(QUIET)))
    }

    /// Closes the console when its time is over. Returns why, once.
    pub fn tick(&mut self, now: u64) -> Option<Closed> {
        let opening = self.opening?;
        let why = match opening {
            Opening { until, .. } if now >= until => Closed::Time,
            Opening { typed, .. } if now.saturating_sub(typed) >= QUIET => Closed::Quiet,
            _ => return None,
        };
        self.opening = None;
        Some(why)
    }
}

/// The role that is left of `role` for a key of this standing.
fn lesser(role: Role, standing: Standing) -> Option<Role> {
    match standing {
        Standing::Owner(Role::Admin) => Some(role),
        Standing::Owner(_) => Some(Role::ReadOnly),
        Standing::Candidate | Standing::Local | Standing::Stranger => None,
    }
}

#[cfg(test)]
mod tests;
