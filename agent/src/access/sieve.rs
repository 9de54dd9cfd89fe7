//! Counts the initiations that arrive and decides which of them the kernel drops: all from an address that sends too
//! many, and a share of the rest while there are too many in total.
//!
//! Packets of open sessions always pass ([`crate::access::filter`]).

use heapless::Vec;

use crate::access::filter::{Origin, Program, Rules};

/// Length of a counting period, in milliseconds; the rules change at its end.
const WINDOW: u64 = 100;
/// Target number of initiations in a period, without a cookie and with one: what a slow router can check beside its
/// other work.
const WANTED: [u32; 2] = [100, 40];
/// Initiations in a period that deny an address. A client that tries the keys of a hundred routers sends fewer.
const TOO_MANY: u32 = 64;
/// Time for which an address is denied, in milliseconds.
const DENIED: u64 = 1_000;
/// Number of addresses that are counted, and can be denied, at the same time.
const ADDRESSES: usize = 16;
/// Number of remembered addresses that had a session.
const FRIENDS: usize = 8;
/// The smallest share that passes: one in a thousand.
const LEAST: u32 = u32::MAX / 1_024;

/// An address, and whether its initiations carried a cookie.
type Kind = (Origin, bool);

/// Counts of recent initiations, and the rules made from them.
#[derive(Debug)]
pub struct Sieve {
    /// Start of the counting period.
    since: u64,
    /// Initiations in this period, without a cookie and with one.
    came: [u32; 2],
    /// Initiations by address. The address that sent the fewest makes room.
    talkers: [(Kind, u32); ADDRESSES],
    /// Denied addresses, with the time at which each is admitted again.
    denied: Vec<(Kind, u64), ADDRESSES>,
    /// Addresses that had a session, most recent first.
    friends: Vec<Origin, FRIENDS>,
    /// The share that passes, of `u32::MAX`: without a cookie and with one.
    keep: [u32; 2],
}

impl Default for Sieve {
    fn default() -> Self {
        let (denied, friends) = (Vec::new(), Vec::new());
        let talkers = [(Kind::default(), 0); ADDRESSES];
        Self { since: 0, came: [0; 2], talkers, denied, friends, keep: [u32::MAX; 2] }
    }
}

impl Sieve {
    /// Counts an initiation. Returns `None` if its address is denied and the initiation has to be dropped, else
    /// whether the filter has changed.
    #[inline(never)]
    pub fn note(&mut self, origin: Origin, proven: bool, now: u64) -> Option<bool> {
        let kind = (origin, proven);
        let mut changed = self.tick(now);
        if self.denied.iter().any(|(denied, _)| *denied == kind) {
            return None;
        }
        let [bare, with] = &mut self.came;
        let came = if proven { with } else { bare };
        *came = came.saturating_add(1);
        let known = self.talkers.iter().position(|(talker, count)| *talker == kind && *count > 0);
        let talker = match known {
            Some(at) => self.talkers.get_mut(at),
            None => self.talkers.iter_mut().min_by_key(|(_, count)| *count),
        };
        if let Some((talker, count)) = talker {
            if *talker != kind {
                (*talker, *count) = (kind, 0);
            }
            *count = count.saturating_add(1);
            if *count > TOO_MANY {
                *count = 0;
                changed = true;
                // A forged address of an owner is thinned out like any other.
                let friend = self.friends.iter().position(|friend| !proven && *friend == origin);
                match friend {
                    Some(at) => {
                        self.friends.remove(at);
                    }
                    None => self.deny(kind, now),
                }
            }
        }
        Some(changed)
    }

    fn deny(&mut self, kind: Kind, now: u64) {
        if self.denied.is_full() {
            self.denied.remove(0);
        }
        let _ = self.denied.push((kind, now.saturating_add(DENIED)));
    }

    /// Records an address that has a session. Returns whether the filter has changed.
    pub fn befriend(&mut self, origin: Origin) -> bool {
        let known = self.friends.iter().position(|friend| *friend == origin);
        match known {
            Some(0) => return false,
            Some(at) => {
                self.friends.remove(at);
            }
            None if self.friends.is_full() => {
                self.friends.pop();
            }
            None => {}
        }
        let _ = self.friends.insert(0, origin);
        known.is_none()
    }

    /// Time of the next [`Self::tick`], `None` while no rule is in force.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        let thinned = self.keep != [u32::MAX; 2];
        let thinned = thinned.then(|| self.since.saturating_add(WINDOW));
        let denied = self.denied.iter().map(|(_, until)| *until).min();
        crate::system::sooner(thinned, denied)
    }

    /// Makes new rules at the end of a period. Returns whether the filter has changed.
    #[inline(never)]
    pub fn tick(&mut self, now: u64) -> bool {
        let denied = self.denied.len();
        self.denied.retain(|(_, until)| now < *until);
        let mut changed = denied != self.denied.len();
        let passed = now.saturating_sub(self.since);
        let burst =
            self.came.iter().zip(WANTED).any(|(came, wanted)| *came > wanted.saturating_mul(2));
        if passed < WINDOW && !burst {
            return changed;
        }
        // In hundredths of the target.
        let passed = passed.max(WINDOW);
        for ((keep, came), wanted) in self.keep.iter_mut().zip(self.came).zip(WANTED) {
            let full = u64::from(wanted).saturating_mul(passed).checked_div(WINDOW).unwrap_or(1);
            let came = u64::from(came);
            // A small deviation changes nothing.
            let near = came <= full && came.saturating_mul(2) > full;
            let part = u64::from(*keep).saturating_mul(full).checked_div(came).unwrap_or(u64::MAX);
            let part = part.min(u64::from(*keep).saturating_mul(2));
            let part = u32::try_from(part).unwrap_or(u32::MAX).max(LEAST);
            if !near && part != *keep {
                *keep = part;
                changed = true;
            }
        }
        (self.since, self.came) = (now, [0; 2]);
        self.talkers.iter_mut().for_each(|(_, count)| *count = 0);
        changed
    }

    /// The filter for these sessions and keys, with the rules in force.
    #[must_use]
    pub fn program(&self, rules: &Rules<'_>) -> Option<Program> {
        let mut denied = [const { Vec::<Origin, ADDRESSES>::new() }; 2];
        for ((origin, proven), _) in &self.denied {
            if let Some(list) = denied.get_mut(usize::from(*proven)) {
                let _ = list.push(*origin);
            }
        }
        let [bare, proven] = &denied;
        let denied = [bare.as_slice(), proven.as_slice()];
        Rules { denied, friends: &self.friends, keep: self.keep, ..*rules }.program()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(n: u32) -> Origin {
        Origin { v4: true, net: [n, 0] }
    }

    fn keep(sieve: &Sieve) -> f64 {
        f64::from(sieve.keep[0]) / f64::from(u32::MAX)
    }

    /// Sends `each` initiations a millisecond through the filter. Returns how many passed in the last second.
    fn flood(
        sieve: &mut Sieve,
        each: u32,
        times: std::ops::Range<u64>,
        from: impl Fn(u32) -> Origin,
    ) -> u32 {
        let (mut rng, mut through) = (fastrand::Rng::with_seed(1), 0);
        for now in times.clone() {
            for n in 0..each {
                let random = rng.u32(..);
                let origin = from(random >> 3 ^ n);
                let denied = sieve.denied.iter().any(|((denied, _), _)| *denied == origin);
                let friend = sieve.friends.contains(&origin);
                if !denied && (friend || random <= sieve.keep[0]) {
                    through += u32::from(now + 1_000 >= times.end);
                    sieve.note(origin, false, now);
                }
            }
            if sieve.deadline().is_some_and(|deadline| now >= deadline) {
                sieve.tick(now);
            }
        }
        through
    }

    #[test]
    fn a_few_initiations_change_nothing() {
        let mut sieve = Sieve::default();
        for now in 0..20_000 {
            // Five hundred a second from ten addresses.
            if now % 2 == 0 {
                assert_eq!(sieve.note(origin(now as u32 % 10), false, now), Some(false));
            }
        }
        assert_eq!((sieve.deadline(), sieve.keep), (None, [u32::MAX; 2]));
    }

    #[test]
    fn a_flood_from_everywhere_is_thinned_out_and_forgotten() {
        for each in [5, 20, 200] {
            let mut sieve = Sieve::default();
            let through = flood(&mut sieve, each, 0..3_000, origin);
            assert!((400..=2_000).contains(&through), "{each}: {through}");
            let part = 1.0 / f64::from(each);
            assert!((part / 2.0..=part * 2.0).contains(&keep(&sieve)), "{each}: {}", keep(&sieve));
            let mut now = 3_000;
            while let Some(deadline) = sieve.deadline() {
                assert!(deadline >= now && deadline <= 6_000, "at {now} until {deadline}");
                now = deadline;
                sieve.tick(now);
            }
            assert_eq!(sieve.keep, [u32::MAX; 2]);
        }
    }

    #[test]
    fn a_flood_from_one_address_costs_that_address_its_handshakes_and_others_nothing() {
        let mut sieve = Sieve::default();
        let through = flood(&mut sieve, 20, 0..5_000, |_| origin(7));
        assert!(through <= 2 * (TOO_MANY + 20), "{through}");
        assert!(keep(&sieve) > 0.99);
        assert_eq!(sieve.note(origin(8), false, 5_000), Some(false));
        assert_eq!(
            sieve.note(origin(7), true, 5_000),
            Some(false),
            "a cookie shows that it is somebody else"
        );
    }

    #[test]
    fn who_floods_in_the_name_of_an_owner_makes_him_a_stranger_and_no_enemy() {
        let mut sieve = Sieve::default();
        assert!(sieve.befriend(origin(7)) && !sieve.befriend(origin(7)));
        for now in 0..TOO_MANY {
            assert_eq!(sieve.note(origin(7), false, 0), Some(false), "{now}");
        }
        assert_eq!(sieve.note(origin(7), false, 0), Some(true));
        assert!(sieve.denied.is_empty() && sieve.friends.is_empty());
        for n in 0..20 {
            sieve.befriend(origin(n));
        }
        assert_eq!(sieve.friends.first(), Some(&origin(19)));
        assert_eq!(sieve.friends.len(), FRIENDS);
    }
}
