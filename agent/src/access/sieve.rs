//! Watches the initiations that arrive, and finds out which of them the kernel should drop: all of an address
//! that sends too many, and a part of all when there are too many together.
//!
//! Sessions have nothing to do with this: their packets always pass ([`crate::access::filter`]).

use heapless::Vec;

use crate::access::filter::{Origin, Program, Rules};

/// Initiations are counted for so many milliseconds, and then it is decided what to do.
const WINDOW: u64 = 100;
/// How many initiations are wanted in that time, without a cookie and with one: what a slow router can look at
/// beside its other work.
const WANTED: [u32; 2] = [100, 40];
/// How many of one address are too many in that time. A client that tries the keys of a hundred routers sends less.
const TOO_MANY: u32 = 64;
/// How long nothing passes of an address that sent too many, in milliseconds.
const DENIED: u64 = 1_000;
/// How many addresses can be denied, and are counted, at once.
const ADDRESSES: usize = 16;
/// How many addresses with a session are remembered.
const FRIENDS: usize = 8;
/// The smallest part that passes: one in a thousand.
const LEAST: u32 = u32::MAX / 1_024;

/// An address, and whether its initiations had a cookie.
type Kind = (Origin, bool);

/// What is known about the initiations of late.
#[derive(Debug)]
pub struct Sieve {
    /// When counting began.
    since: u64,
    /// How many came, without a cookie and with one.
    came: [u32; 2],
    /// How many came from each address. The one that sent least makes room.
    talkers: [(Kind, u32); ADDRESSES],
    /// Who is denied, and until when.
    denied: Vec<(Kind, u64), ADDRESSES>,
    /// Addresses that had a session, the last one first.
    friends: Vec<Origin, FRIENDS>,
    /// Which part passes, of `u32::MAX`.
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
    /// Takes note of an initiation. `None` if its address is denied: then it is to be dropped. Or else whether the
    /// filter is another one now.
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
                // An owner's address that somebody else writes on his packets is thinned out as all others.
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

    /// Takes note of an address that has a session. Whether the filter is another one now.
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

    /// When to look again though nothing arrives.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        let thinned = self.keep != [u32::MAX; 2];
        let thinned = thinned.then(|| self.since.saturating_add(WINDOW));
        let denied = self.denied.iter().map(|(_, until)| *until).min();
        crate::system::sooner(thinned, denied)
    }

    /// Decides anew, if it is time to. Whether the filter is another one now.
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
        // In hundredths of the wanted number.
        let passed = passed.max(WINDOW);
        for ((keep, came), wanted) in self.keep.iter_mut().zip(self.came).zip(WANTED) {
            let full = u64::from(wanted).saturating_mul(passed).checked_div(WINDOW).unwrap_or(1);
            let came = u64::from(came);
            // Neither is changed for a little.
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

    /// The filter of these rules and of what is known here.
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

    /// A flood of so many each millisecond through the filter as it is. How many came through in the last second.
    fn flood(
        sieve: &mut Sieve,
        each: u32,
        times: std::ops::Range<u64>,
        from: impl Fn(u32) -> Origin,
    ) -> u32 {
        let (mut random, mut through) = (1_u32, 0);
        for now in times.clone() {
            for n in 0..each {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
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
