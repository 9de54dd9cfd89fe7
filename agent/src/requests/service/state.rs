//! The one state of the service, and its named transitions.
//!
//! ```text
//!           begin              wait (a change runs that is not stored)
//!    Idle --------> Staging ------------------------------------------> Waiting
//!     ^  <-------- end (abort, commit)                                     |
//!     |                                                                    | deadline, Revert
//!     +------------------------- Reverting <-------------------------------+
//! end (reverted, or given up)  ^-- revert_failed (again after a while)
//! ```
//!
//! A commit that need not be confirmed goes from `Staging` to `Idle`. Every state carries the state of the stored
//! configurations ([`Stored`]): they are applied again in `Idle`, and beside a stage that its client has left, and in
//! no other state. The one snapshot belongs to the change that is pending or being reverted.

use proto_core::key::PublicKey;
use proto_core::netlink::Errno;
use proto_core::protocol::message::{self, ClientId, Code, Name, Subject, copy};

use crate::fault::{Fault, Slot};
use crate::requests::stage::Stage;
use crate::store::configurations::Head;

/// Milliseconds before the stored configurations are applied again: at first, and at most.
const RETRY: (u64, u64) = (1_000, 60_000);
/// Milliseconds before a failed revert is retried: at first, and at most.
const REVERT: (u64, u64) = (5_000, 60_000);
/// Number of attempts to revert a change before giving up: seven minutes in all.
const REVERTS: u8 = 10;

/// Whether the stored configurations run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stored {
    /// All were applied.
    Applied,
    /// Applying one of them failed: all are applied again at time `at`, and `wait` ms later if that
    /// fails too.
    Retry { at: u64, wait: u64 },
}

/// An applied change, which is reverted unless a new session confirms it.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// The configuration that is stored when the change is confirmed.
    pub(super) head: Head,
    /// The newest session at the time of the change: only a later session can confirm it.
    pub(super) newest: u32,
    /// The deadline for the confirmation.
    pub(super) deadline: u64,
}

/// A change whose revert failed at least once.
#[derive(Clone, Debug)]
pub(super) struct Reverting {
    pub(super) interface: Name,
    at: u64,
    wait: u64,
    left: u8,
}

/// The state of the service.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// No timer is due.
    Idle(Stored),
    /// An image is arriving.
    Staging(Stored, Stage),
    /// A change is pending.
    Waiting(Stored, Waiting),
    /// A change could not be reverted yet.
    Reverting(Stored, Reverting),
}

/// The work that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    Nothing,
    /// Reverting a change.
    Revert,
    /// Applying the stored configurations.
    Apply,
}

impl Waiting {
    /// Remaining seconds, at least 1.
    fn seconds(&self, now: u64) -> u16 {
        let left = self.deadline.saturating_sub(now).div_ceil(1000).max(1);
        u16::try_from(left).unwrap_or(u16::MAX)
    }
}

impl State {
    const fn stored(&mut self) -> &mut Stored {
        match self {
            Self::Idle(stored)
            | Self::Staging(stored, _)
            | Self::Waiting(stored, _)
            | Self::Reverting(stored, _) => stored,
        }
    }

    /// An image is announced. It replaces an earlier stage.
    pub(super) fn begin(&mut self, stage: Stage) {
        *self = Self::Staging(*self.stored(), stage);
    }

    /// A change was made that must be confirmed.
    pub(super) fn wait(&mut self, waiting: Waiting) {
        *self = Self::Waiting(*self.stored(), waiting);
    }

    /// The push or the change has ended.
    pub(super) fn end(&mut self) {
        *self = Self::Idle(*self.stored());
    }

    /// Reverting a change failed. Returns `false` after the last attempt: the stored configuration is then applied
    /// instead, and the state is `Idle`.
    #[must_use]
    pub(super) fn revert_failed(&mut self, interface: &Name, now: u64) -> bool {
        let (wait, left) = match self {
            Self::Reverting(_, Reverting { wait, left, .. }) => {
                (wait.saturating_mul(2).min(REVERT.1), left.saturating_sub(1))
            }
            _ => (REVERT.0, REVERTS),
        };
        if left == 0 {
            self.give_up(now);
            return false;
        }
        let (interface, at) = (*interface, now.saturating_add(wait));
        *self = Self::Reverting(*self.stored(), Reverting { interface, at, wait, left });
        true
    }

    /// The change cannot be reverted any more. The stored configuration is applied in its place.
    pub(super) fn give_up(&mut self, now: u64) {
        *self = Self::Idle(Stored::Retry { at: now, wait: RETRY.0 });
    }

    /// Schedules the stored configurations to be applied as soon as the service is idle.
    pub(super) const fn owe(&mut self, now: u64) {
        *self.stored() = Stored::Retry { at: now, wait: RETRY.0 };
    }

    /// The stored configurations were applied; `whole` says whether all of them run.
    pub(super) fn applied(&mut self, whole: bool, now: u64) {
        let stored = self.stored();
        *stored = match stored {
            _ if whole => Stored::Applied,
            Stored::Applied => Stored::Retry { at: now.saturating_add(RETRY.0), wait: RETRY.0 },
            Stored::Retry { wait, .. } => {
                let wait = wait.saturating_mul(2).min(RETRY.1);
                Stored::Retry { at: now.saturating_add(wait), wait }
            }
        };
    }

    /// The stage, if there is one.
    pub(super) const fn stage(&self) -> Option<&Stage> {
        match self {
            Self::Staging(_, stage) => Some(stage),
            _ => None,
        }
    }

    /// The stage, if there is one.
    pub(super) const fn stage_mut(&mut self) -> Option<&mut Stage> {
        match self {
            Self::Staging(_, stage) => Some(stage),
            _ => None,
        }
    }

    /// The pending change, as `status` shows it.
    pub(super) fn shown(&self, now: u64) -> Option<message::Pending> {
        let Self::Waiting(_, waiting) = self else { return None };
        Some(message::Pending {
            interface: waiting.head.interface,
            number: waiting.head.number,
            by: copy(&waiting.head.by),
            seconds: waiting.seconds(now),
            digest: waiting.head.digest,
        })
    }

    /// Whether a change waits to be confirmed, or to be reverted.
    #[cfg(feature = "console")]
    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::Waiting(..) | Self::Reverting(..))
    }

    /// Time of the next timer, if there is one.
    pub(super) fn deadline(&self) -> Option<u64> {
        let retry = |stored: &Stored| match stored {
            Stored::Applied => None,
            Stored::Retry { at, .. } => Some(*at),
        };
        match self {
            Self::Idle(stored) => retry(stored),
            Self::Staging(stored, stage) => retry(stored).map(|at| at.max(stage.stale_at())),
            Self::Waiting(_, waiting) => Some(waiting.deadline),
            Self::Reverting(_, reverting) => Some(reverting.at),
        }
    }

    /// Time at which stored configurations may be applied, if they may.
    pub(super) fn free_at(&self) -> Option<u64> {
        match self {
            Self::Idle(_) => Some(0),
            Self::Staging(_, stage) => Some(stage.stale_at()),
            Self::Waiting(..) | Self::Reverting(..) => None,
        }
    }

    /// Returns the work that is due.
    pub(super) fn due(&self, now: u64) -> Due {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Due::Nothing;
        }
        match self {
            Self::Idle(_) | Self::Staging(..) => Due::Apply,
            Self::Waiting(..) | Self::Reverting(..) => Due::Revert,
        }
    }

    /// Fails unless this client may start a push or make a change now.
    ///
    /// # Errors
    /// [`Code::Busy`]: the client that is making a change, or the deadline of the pending change.
    pub(super) fn check_free(
        &self,
        slot: &Slot,
        owner: (&PublicKey, &ClientId),
        now: u64,
    ) -> Result<(), Fault> {
        match self {
            Self::Waiting(_, waiting) => {
                let Head { by, interface, .. } = &waiting.head;
                let seconds = waiting.seconds(now);
                let words = format_args!(
                    "{by}'s change of {interface} waits to be confirmed for another {seconds} s"
                );
                Err(slot.say(Code::Busy, Subject::None, Errno(0), words))
            }
            Self::Staging(_, stage) if !stage.is_of(owner) && now < stage.stale_at() => {
                let words = format_args!("{} is pushing {}", stage.by, stage.announced.interface);
                Err(slot.say(Code::Busy, Subject::None, Errno(0), words))
            }
            _ => Ok(()),
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self::Idle(Stored::Applied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taking_back_is_given_up_after_a_while_and_what_is_stored_is_applied() {
        let mut state = State::default();
        let (mut now, mut tries) = (0, 0);
        while state.revert_failed(&"wg0".parse().unwrap(), now) {
            assert_eq!(state.due(now), Due::Nothing);
            now = state.deadline().unwrap();
            assert_eq!(state.due(now), Due::Revert);
            tries += 1;
        }
        assert_eq!((tries, now), (10, 5_000 + 10_000 + 20_000 + 40_000 + 6 * 60_000));
        assert!(matches!(state, State::Idle(_)));
        assert_eq!(state.due(now), Due::Apply);
    }
}
