//! The brake on repairs of one interface: another program may undo every repair, and neither would ever stop.
//!
//! Three repairs are free. From the third on, each is followed by a pause: a minute at first, twice as long each time,
//! an hour at most. Ten minutes without a difference release the brake. So whatever the other program does, there are
//! at most six repairs in ten minutes, and where it never rests one an hour in the end; and a difference that stays is
//! always repaired after the pause.

/// Number of repairs without a pause between them.
const FREE: u16 = 3;
/// Milliseconds of the first pause, and of the longest.
const PAUSE: (u64, u64) = (60_000, 3_600_000);
/// Milliseconds without a difference after which the brake is released.
const CALM: u64 = 600_000;

/// The brake of an interface.
#[derive(Clone, Debug, Default)]
pub struct Brake {
    /// Number of repairs since the brake was released.
    repairs: u16,
    pause: u64,
    /// Time from which the next repair is allowed.
    until: u64,
    /// Time since which there is no difference.
    calm: Option<u64>,
}

impl Brake {
    /// Number of repairs since the brake was released.
    #[must_use]
    pub const fn repairs(&self) -> u16 {
        self.repairs
    }

    /// Time from which the next repair is allowed.
    #[must_use]
    pub const fn until(&self) -> u64 {
        self.until
    }

    fn release(&mut self, now: u64) {
        if self.calm.is_some_and(|since| now.saturating_sub(since) >= CALM) {
            let calm = self.calm;
            *self = Self { calm, ..Self::default() };
        }
    }

    /// A comparison found no difference.
    pub fn agrees(&mut self, now: u64) {
        self.calm.get_or_insert(now);
        self.release(now);
    }

    /// A comparison found a difference.
    pub fn differs(&mut self, now: u64) {
        self.release(now);
        self.calm = None;
    }

    /// A repair was made, or was refused.
    pub fn repaired(&mut self, now: u64) {
        self.repairs = self.repairs.saturating_add(1);
        if self.repairs >= FREE {
            self.pause = self.pause.saturating_mul(2).clamp(PAUSE.0, PAUSE.1);
            self.until = now.saturating_add(self.pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the other program does after each step of time: nothing, undo what was repaired, or put it right itself.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum Other {
        Rests,
        Undoes,
        Mends,
    }

    /// A repairer and another program in virtual time.
    #[derive(Default)]
    struct Fight {
        now: u64,
        differs: bool,
        brake: Brake,
        /// Times of the repairs.
        repairs: Vec<u64>,
        /// Since when there is a difference.
        since: u64,
    }

    impl Fight {
        fn step(&mut self, other: Other, millis: u64) {
            self.now += millis;
            match other {
                Other::Rests => {}
                Other::Undoes if !self.differs => (self.differs, self.since) = (true, self.now),
                Other::Undoes => {}
                Other::Mends => self.differs = false,
            }
            if self.differs {
                self.brake.differs(self.now);
                if self.now >= self.brake.until() {
                    self.brake.repaired(self.now);
                    self.repairs.push(self.now);
                    self.differs = false;
                }
            } else {
                self.brake.agrees(self.now);
            }
            self.holds();
        }

        fn holds(&self) {
            // At most six repairs in any ten minutes.
            if let Some(from) = self.repairs.len().checked_sub(7) {
                assert!(self.now - self.repairs[from] >= CALM, "{:?}", &self.repairs[from..]);
            }
            // The next repair is never more than an hour away.
            assert!(self.brake.until() <= self.now + PAUSE.1);
            let waited = self.now.saturating_sub(self.since);
            assert!(!self.differs || waited <= PAUSE.1, "a difference stays for {waited} ms");
        }
    }

    /// Every order of three moves and four lengths of time, ten steps deep, and long random stories.
    #[test]
    fn there_is_no_fight_without_end_and_no_difference_that_stays() {
        let moves = [Other::Rests, Other::Undoes, Other::Mends];
        let lengths = [100, 59_000, 601_000, 3_600_000];
        let choices: Vec<_> =
            moves.iter().flat_map(|other| lengths.map(|length| (*other, length))).collect();
        let (mut stories, mut steps) = (0_u64, 0_u64);
        let mut go = |path: &mut dyn FnMut(u64) -> Option<usize>, depth: u64| {
            let mut fight = Fight::default();
            for nth in 0..depth {
                let Some(choice) = path(nth) else { break };
                let (other, length) = choices[choice];
                fight.step(other, length);
                steps += 1;
            }
            stories += 1;
        };
        let all = (choices.len() as u64).pow(5);
        for story in 0..all {
            let mut rest = story;
            go(
                &mut |_| {
                    let choice = rest % choices.len() as u64;
                    rest /= choices.len() as u64;
                    Some(choice as usize)
                },
                5,
            );
        }
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..3_000 {
            go(&mut |_| Some(rng.usize(..choices.len())), 300);
        }
        println!("{stories} stories, {steps} steps");
    }

    /// A loop that undoes each repair at once, as the fighter in the lab.
    #[test]
    fn a_fighter_that_never_rests_is_met_once_an_hour_in_the_end() {
        let mut fight = Fight::default();
        while fight.now < 24 * 3_600_000 {
            fight.step(Other::Undoes, 100);
        }
        let seconds: Vec<u64> = fight.repairs.iter().map(|at| at / 1_000).collect();
        assert_eq!(seconds[..8], [0, 0, 0, 60, 180, 420, 900, 1_860]);
        assert_eq!(seconds.len(), 31);
        // It rests for ten minutes, and the next difference is repaired at once.
        fight.step(Other::Mends, 100);
        fight.step(Other::Rests, CALM);
        let before = fight.repairs.len();
        fight.step(Other::Undoes, 100);
        assert_eq!(fight.repairs.len(), before + 1);
    }
}
