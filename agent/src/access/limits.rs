//! Limits on the handshakes of unauthenticated senders.
//!
//! The work of a handshake is two multiplications on Curve25519, thousands of times that of dropping a
//! packet. All senders share one budget. When it is spent, the router works only on initiations with a cookie, which
//! proves that the sender receives at its source address. Each of these addresses has a budget of its own: a sender
//! that forges addresses gets no cookie, and a sender with a cookie is rate limited.

use crate::access::filter::Origin;

/// A budget: one more every `every` milliseconds, up to `most`.
#[derive(Clone, Copy, Debug)]
struct Rate {
    every: u64,
    most: u64,
}

/// All initiations without a cookie together: ten a second.
const OPEN: Rate = Rate { every: 100, most: 10 };
/// All initiations with a cookie together: fifty a second.
const PROVEN: Rate = Rate { every: 20, most: 50 };
/// Initiations with a cookie from one address: two a second.
const SOURCE: Rate = Rate { every: 500, most: 6 };
/// All answers to owners with an old stamp together: one a second.
const STAMPS: Rate = Rate { every: 1_000, most: 5 };
/// Log lines caused by unauthenticated senders: one in ten seconds.
const LINES: Rate = Rate { every: 10_000, most: 5 };
/// Number of remembered addresses. The address idle for longest makes room.
const SOURCES: usize = 32;

/// A budget that fills up with time.
///
/// Stored as the time at which the budget was empty: a full budget was empty `most` times `every` ago.
#[derive(Clone, Copy, Debug, Default)]
struct Budget(u64);

impl Budget {
    /// Takes one from the budget; returns `false` if it is spent.
    fn take(&mut self, rate: Rate, now: u64) -> bool {
        let full = now.saturating_sub(rate.every.saturating_mul(rate.most));
        let next = self.0.max(full).saturating_add(rate.every);
        let there = next <= now;
        if there {
            self.0 = next;
        }
        there
    }
}

/// What to do with a handshake initiation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Work on it.
    Work,
    /// Send a cookie to its sender.
    Cookie,
    /// Drop it.
    Drop,
}

/// The budgets.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    open: Budget,
    proven: Budget,
    stamps: Budget,
    lines: Budget,
    sources: [(Origin, Budget); SOURCES],
}

impl Limits {
    /// Whether an owner with an old stamp may be answered now.
    pub fn stamp(&mut self, now: u64) -> bool {
        self.stamps.take(STAMPS, now)
    }

    /// Whether an event caused by an unauthenticated sender may be logged now.
    pub fn line(&mut self, now: u64) -> bool {
        self.lines.take(LINES, now)
    }

    /// Counts an initiation from `source`; `proven` says whether it carried a valid cookie.
    pub fn handshake(&mut self, source: Origin, proven: bool, now: u64) -> Verdict {
        if !proven {
            return if self.open.take(OPEN, now) { Verdict::Work } else { Verdict::Cookie };
        }
        let known = self.sources.iter_mut().find(|(known, _)| *known == source);
        let budget = match known {
            Some((_, budget)) => budget,
            None => {
                let Some(oldest) = self.sources.iter_mut().min_by_key(|(_, budget)| budget.0)
                else {
                    return Verdict::Drop;
                };
                *oldest = (source, Budget(0));
                &mut oldest.1
            }
        };
        if budget.take(SOURCE, now) && self.proven.take(PROVEN, now) {
            Verdict::Work
        } else {
            Verdict::Drop
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(source: u64) -> Origin {
        Origin { v4: false, net: [source as u32, (source >> 32) as u32] }
    }

    fn works(limits: &mut Limits, source: u64, proven: bool, times: std::ops::Range<u64>) -> usize {
        times.filter(|now| limits.handshake(from(source), proven, *now) == Verdict::Work).count()
    }

    #[test]
    fn without_a_cookie_all_share_one_budget() {
        let mut limits = Limits::default();
        let works = (100_000..110_000_u64)
            .filter(|now| limits.handshake(from(*now), false, *now) == Verdict::Work)
            .count();
        assert!((100..=110).contains(&works), "{works}");
        assert_eq!(limits.handshake(from(9), false, 109_999), Verdict::Cookie);
        assert_eq!(limits.handshake(from(9), true, 109_999), Verdict::Work, "a cookie helps");
    }

    #[test]
    fn one_address_does_not_use_up_what_is_for_all() {
        let mut limits = Limits::default();
        let one = works(&mut limits, 1, true, 100_000..110_000);
        assert!((20..=26).contains(&one), "{one}");
        assert_eq!(limits.handshake(from(2), true, 110_000), Verdict::Work);
    }

    #[test]
    fn many_addresses_have_a_limit_together() {
        let mut limits = Limits::default();
        let works = (0..20_000_u64)
            .filter(|n| limits.handshake(from(*n), true, 100_000 + n / 2) == Verdict::Work)
            .count();
        assert!((500..=560).contains(&works), "{works}");
    }

    #[test]
    fn a_quiet_time_fills_the_budget_but_no_more() {
        let mut limits = Limits::default();
        assert_eq!(works(&mut limits, 1, false, 100_000..100_001), 1);
        let burst = std::iter::repeat_n(900_000_u64, 100)
            .filter(|now| limits.handshake(from(1), false, *now) == Verdict::Work)
            .count();
        assert_eq!(burst, 10);
    }
}
