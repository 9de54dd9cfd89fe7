//! Opening the console of an owned router with a code from one of its owners: permissions on the
//! serial line.
//!
//! `proto_core::protocol::unlock` has challenge and code. This module has their lifetimes, the cost
//! of a wrong code, and the closing of the console. Each console has one [`Unlock`], which survives
//! a hang-up, so that a hang-up does not reset the wait after wrong codes.
//!
//! A challenge is valid for one success and at most fifteen minutes, and stays the same while it is
//! valid: requesting it again does not invalidate a code that is being read out. After a wrong code
//! the next one is checked only after a wait, which is 1 s at first and doubles each time, up to
//! half a minute: an attacker gets about 240 guesses in two hours, and an owner waits for half a
//! minute at most. A mistyped code does not count as a guess: its check symbols detect it.
//!
//! Not here: the words of the console, randomness, time, and the log.

use core::fmt;

use proto_core::key::PublicKey;
use proto_core::protocol::message::Role;
use proto_core::protocol::session::{StaticKey, Wire};
use proto_core::protocol::unlock::{CHALLENGE_BYTES, Challenge, Code, Pairing, SpokenError};

use crate::access::owners::{Ownership, Standing};

/// Lifetime of a challenge, in milliseconds.
pub const CHALLENGE_LIFE: u64 = 15 * 60_000;
/// How long a code opens the console, in milliseconds.
pub const OPEN: u64 = 10 * 60_000;
/// How long the console stays open without a key pressed, in milliseconds.
pub const QUIET: u64 = 3 * 60_000;
/// The longest wait after a wrong code, in milliseconds. The first one is a second.
pub const LONGEST_WAIT: u64 = 30_000;

/// The result of a code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The console is open.
    Opened {
        /// The owner who made the code.
        owner: PublicKey,
        /// The role of the console.
        role: Role,
    },
    /// The text is not a code; it does not count as a guess.
    Misread(SpokenError),
    /// No challenge was requested, or it was already used.
    NoChallenge,
    /// The challenge has expired.
    TooOld,
    /// Too soon after a wrong code: the code was not checked. Contains the seconds to wait.
    Wait(u64),
    /// Not the code of any owner for this challenge. Contains the seconds until the next code is
    /// checked.
    Wrong(u64),
    /// The code of a read-only owner for the admin role.
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

/// The reason why the console closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closed {
    /// The ten minutes are over.
    Time,
    /// No key was pressed for three minutes.
    Quiet,
    /// The owner was removed, or may do less now.
    Gone,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Time => "locked: the 10 minutes are over",
            Self::Quiet => "locked: nothing was typed for 3 minutes",
            Self::Gone => "locked: the owner was removed, or has another role now",
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

impl Opening {
    /// Why the console is closed at this time; `None` while it is open.
    const fn closed(&self, now: u64) -> Option<Closed> {
        if now >= self.until {
            Some(Closed::Time)
        } else if now.saturating_sub(self.typed) >= QUIET {
            Some(Closed::Quiet)
        } else {
            None
        }
    }
}

/// The permissions on one console.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlock {
    /// The challenge, and the time when it was made.
    challenge: Option<(Challenge, u64)>,
    /// The wait after the next wrong code; 0 before the first one.
    wait: u64,
    /// The time from which the next code is checked.
    next: u64,
    opening: Option<Opening>,
}

const fn seconds(milliseconds: u64) -> u64 {
    milliseconds.div_ceil(1_000)
}

impl Unlock {
    /// The challenge to show: the present one if it is valid, otherwise a new one from `random`
    /// bytes.
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

    /// Checks a code, and opens the console if it is right. The work does not depend on the owner
    /// of the code: one multiplication on Curve25519 for each owner.
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
        // The owners may have changed since the last check.
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

    /// The owner in whose name the console is open, and its present role; `None` for a guest. An
    /// owner who was removed, or whose role was reduced, loses the console's permissions at once.
    pub fn standing(
        &mut self,
        now: u64,
        ownership: &mut Ownership<'_>,
    ) -> Option<(PublicKey, Role)> {
        let Opening { owner, role, .. } = self.opening.filter(|it| it.closed(now).is_none())?;
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

    /// Records a key press, which keeps an open console open.
    pub fn typed(&mut self, now: u64) {
        // A console whose time is over stays for `tick`, which reports that.
        if let Some(opening) = self.opening.as_mut().filter(|it| it.closed(now).is_none()) {
            opening.typed = now;
        }
    }

    /// Closes the console: at `exit`, and when the line hangs up.
    pub const fn lock(&mut self) {
        self.opening = None;
    }

    /// Time of the next [`Self::tick`].
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.opening.map(|opening| opening.until.min(opening.typed.saturating_add(QUIET)))
    }

    /// Closes the console when its time has expired, or its owner has lost the role. Returns the reason, once.
    pub fn tick(&mut self, now: u64, ownership: &mut Ownership<'_>) -> Option<Closed> {
        let opening = self.opening?;
        // A shell runs its commands without the agent, so the owner's role is checked here too.
        let has = |(_, role)| role == opening.role;
        let gone = || (!self.standing(now, ownership).is_some_and(has)).then_some(Closed::Gone);
        let why = opening.closed(now).or_else(gone)?;
        self.opening = None;
        Some(why)
    }
}

/// The part of `role` that a key of this standing still has.
fn lesser(role: Role, standing: Standing) -> Option<Role> {
    match standing {
        Standing::Owner(Role::Admin) => Some(role),
        Standing::Owner(_) => Some(Role::ReadOnly),
        Standing::Candidate | Standing::Local | Standing::Stranger => None,
    }
}

#[cfg(test)]
mod tests;
