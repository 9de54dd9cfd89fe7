//! Faults of a serial line: bits flip, bytes are lost, and a kernel that uses the same port as its
//! console prints between the bytes. Pure code: bytes in, bytes out.

use fastrand::Rng;
use std::iter::repeat_with;

/// The direction of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToGuest,
    ToHost,
}

/// The faults of a line. The default has none.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The seed: the same seed gives the same faults for the same bytes.
    pub seed: u64,
    pub to_guest: Noise,
    pub to_host: Noise,
}

/// The faults of one direction; zero means never.
#[derive(Clone, Debug, Default)]
pub struct Noise {
    /// The probability that one bit of a byte flips.
    pub flip: f64,
    /// The probability that a byte is lost.
    pub drop: f64,
    /// Mean number of bytes between insertions of one to eight random bytes.
    pub garbage_every: u32,
    /// Text to insert ...
    pub text: String,
    /// ... and the mean number of bytes between its insertions.
    pub text_every: u32,
}

/// The faults of one direction so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Bytes that came from the sender.
    pub bytes: u64,
    pub flipped: u64,
    pub dropped: u64,
    /// Number of insertions of garbage or text.
    pub inserted: u64,
    /// Bytes dropped by a cut line, or because no program read them.
    pub swallowed: u64,
}

/// Applies the faults of one direction.
pub(crate) struct Noisy {
    noise: Noise,
    rng: Rng,
    pub counts: FaultCounts,
}

impl Noisy {
    pub(crate) fn new(noise: Noise, seed: u64) -> Self {
        Self { noise, rng: Rng::with_seed(seed), counts: FaultCounts::default() }
    }

    /// Appends to `out` the bytes that arrive when `bytes` are sent.
    pub(crate) fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.counts.bytes += bytes.len() as u64;
        for byte in bytes {
            if self.once_in(self.noise.garbage_every) {
                let len = self.rng.usize(1..=8);
                out.extend(repeat_with(|| self.rng.u8(..)).take(len));
                self.counts.inserted += 1;
            }
            if self.once_in(self.noise.text_every) {
                out.extend(self.noise.text.as_bytes());
                self.counts.inserted += 1;
            }
            if self.rng.f64() < self.noise.drop {
                self.counts.dropped += 1;
            } else if self.rng.f64() < self.noise.flip {
                out.push(byte ^ (1 << (self.rng.u64(..8))));
                self.counts.flipped += 1;
            } else {
                out.push(*byte);
            }
        }
    }

    fn once_in(&mut self, bytes: u32) -> bool {
        bytes != 0 && self.rng.f64() < 1.0 / f64::from(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(noise: &Noise, seed: u64, bytes: &[u8]) -> (Vec<u8>, FaultCounts) {
        let mut noisy = Noisy::new(noise.clone(), seed);
        let mut out = Vec::new();
        // The faults must not depend on how the bytes were split into reads.
        for piece in bytes.chunks(7) {
            noisy.pass(piece, &mut out);
        }
        (out, noisy.counts)
    }

    #[test]
    fn no_faults_change_nothing() {
        let mut bytes = [0; 10_000];
        Rng::with_seed(1).fill(&mut bytes);
        let (out, counts) = pass(&Noise::default(), 1, &bytes);
        assert_eq!(out, bytes);
        assert_eq!(counts, FaultCounts { bytes: 10_000, ..FaultCounts::default() });
    }

    #[test]
    fn the_seed_decides() {
        let noise = Noise { flip: 0.01, drop: 0.01, garbage_every: 100, ..Noise::default() };
        let bytes = [0x55; 5000];
        assert_eq!(pass(&noise, 9, &bytes), pass(&noise, 9, &bytes));
        assert_ne!(pass(&noise, 9, &bytes).0, pass(&noise, 10, &bytes).0);
    }

    #[test]
    fn each_fault_comes_at_its_rate() {
        let bytes = [0; 100_000];
        let (out, counts) = pass(&Noise { flip: 0.01, ..Noise::default() }, 1, &bytes);
        let changed = out.iter().filter(|byte| byte.count_ones() == 1).count() as u64;
        assert_eq!((out.len(), changed), (bytes.len(), counts.flipped));
        assert!((800..1200).contains(&counts.flipped), "{counts:?}");

        let (out, counts) = pass(&Noise { drop: 0.01, ..Noise::default() }, 2, &bytes);
        assert_eq!(out.len() as u64, counts.bytes - counts.dropped);
        assert!((800..1200).contains(&counts.dropped), "{counts:?}");

        let text = Noise { text: "noise\n".into(), text_every: 1000, ..Noise::default() };
        let (out, counts) = pass(&text, 3, &bytes);
        assert_eq!(out.len() as u64, counts.bytes + 6 * counts.inserted);
        assert!((70..130).contains(&counts.inserted), "{counts:?}");
    }
}
