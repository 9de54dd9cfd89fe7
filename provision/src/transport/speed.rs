//! The speed of a serial line that the person does not know: `--serial DEV@auto`.
//!
//! What the line says tells its speed: text or a packet at the right one, anything else at the others. A line that is silent
//! gets a handshake at each speed in turn.

/// The speeds, the most likely first: 115200 is nearly every router's, 57600 that of many MediaTek ones, 1500000 that
/// of Rockchip's.
pub(super) const SPEEDS: [u32; 8] =
    [115_200, 57_600, 9_600, 38_400, 230_400, 460_800, 921_600, 1_500_000];

/// Bytes that tell whether a speed is right.
const ENOUGH: u32 = 24;
/// Rounds through all speeds while the line says nothing that is understood. Then it is noise.
const ROUNDS: usize = 3;

/// A guess, and what came in under it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Guess {
    nth: usize,
    /// Bytes that a text has, and others.
    text: u32,
    other: u32,
    /// How many speeds were given up because of what came in, and how many because nothing came.
    heard: usize,
    tried: usize,
}

impl Guess {
    /// The speed to use.
    pub(super) fn baud(&self) -> u32 {
        SPEEDS.get(self.nth).copied().unwrap_or(SPEEDS[0])
    }

    /// Takes bytes that came in at this speed.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let text = matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t' | 7 | 8 | 27);
            let count = if text { &mut self.text } else { &mut self.other };
            *count = count.saturating_add(1);
        }
    }

    /// Whether the speed is the right one: `None` if too little came in to tell.
    pub(super) fn is_right(&self) -> Option<bool> {
        let all = self.text.saturating_add(self.other);
        if all < ENOUGH || self.heard >= ROUNDS * SPEEDS.len() {
            return None;
        }
        Some(u64::from(self.text) * 100 >= u64::from(all) * 85)
    }

    fn next(&mut self) {
        self.nth = (self.nth + 1) % SPEEDS.len();
        (self.text, self.other) = (0, 0);
    }

    /// Goes on to the next speed because of what came in.
    pub(super) fn refuse(&mut self) {
        self.heard += 1;
        self.next();
    }

    /// Goes on to the next speed because nothing came in. Returns `false` when all have been tried.
    pub(super) fn pass(&mut self) -> bool {
        self.tried += 1;
        self.next();
        self.tried < SPEEDS.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_right_and_what_a_wrong_speed_makes_of_it_is_not() {
        let mut guess = Guess::default();
        guess.take(b"[    0.000000] Linux");
        assert_eq!(guess.is_right(), None, "too little");
        guess.take(b" version 6.6.93\r\n");
        assert_eq!(guess.is_right(), Some(true));
        guess.refuse();
        assert_eq!((guess.baud(), guess.is_right()), (57_600, None));
        guess.take(&[0, 0x80, 0xfe, 0x1c, b'a', 0, 0xf0, 0xe3].repeat(4));
        assert_eq!(guess.is_right(), Some(false));
    }

    #[test]
    fn every_speed_has_its_turn_once() {
        let mut guess = Guess::default();
        let mut tried = vec![guess.baud()];
        while guess.pass() {
            tried.push(guess.baud());
        }
        assert_eq!(tried, SPEEDS);
        // Noise is not listened to for ever.
        let mut rounds = 0;
        loop {
            guess.take(&[0xff; 100]);
            let Some(right) = guess.is_right() else { break };
            assert!(!right);
            guess.refuse();
            rounds += 1;
        }
        assert_eq!(rounds, ROUNDS * SPEEDS.len());
    }
}
