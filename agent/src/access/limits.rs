//! How many handshakes a stranger can make the router work on.
//!
//! The work of a handshake is two multiplications on Curve25519, thousands of times that of dropping a
//! packet. There is a budget for everybody together. When it is spent, only those are worked on who have
//! shown that they receive at the address they send from (a cookie), and each of these addresses has a
//! budget of its own: whoever invents addresses gets no cookies, and whoever has one is slow.

use crate::access::filter::Origin;

/// How often each budget gets one more, in milliseconds, and how many it holds at most.
#[derive(Clone, Copy, Debug)]
struct Rate {
    every: u64,
    most: u64,
}

/// For all that show no cookie, together: ten a second.
const OPEN: Rate = Rate { every: 100, most: 10 };
/// For all that show a cookie, together: fifty a second.
const PROVEN: Rate = Rate { every: 20, most: 50 };
/// For one address that shows a cookie: two a second.
const SOURCE: Rate = Rate { every: 500, most: 6 };
/// For answers to owners whose stamp is wrong, all together: one a second.
const STAMPS: Rate = Rate { every: 1_000, most: 5 };
/// For lines of the log that strangers cause: one in ten seconds.
const LINES: Rate = Rate { every: 10_000, most: 5 };
/// How many addresses are remembered. The one that was quiet longest makes room.
const SOURCES: usize = 32;

/// A budget that fills up with time.
///
/// It is kept as the time at which it would be empty if nothing had been taken: a full one is `most` times
/// `every` back from now.
#[derive(Clone, Copy, Debug, Default)]
struct Budget(u64);

impl Budget {
    /// Takes one, if there is one left.
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

/// What is done with a handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is worked on.
    Work,
    /// Its sender is asked for a cookie.
    Cookie,
    /// It is dropped.
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
    /// Whether an owner may be answered that his stamp is wrong.
    pub fn stamp(&mut self, now: u64) -> bool {
        self.stamps.take(STAMPS, now)
    }

    /// Whether something that a stranger did may be written to the log.
    pub fn line(&mut self, now: u64) -> bool {
        self.lines.take(LINES, now)
    }

    /// Takes note of a handshake from `source` that may have `proven` its address.
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
