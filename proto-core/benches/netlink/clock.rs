//! Runs contenders in turns and prints medians. Only this thread's CPU time counts, so other load
//! on the machine does not.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Number of turns of each contender.
const ROUNDS: usize = 41;
/// Length of a turn, long enough that the clock's resolution does not matter.
const TURN: Duration = Duration::from_millis(10);

fn now() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// A contender: a name and the work to measure.
pub(crate) struct Contender<'w> {
    name: String,
    work: Box<dyn FnMut() + 'w>,
    /// How often the work is repeated in a turn.
    times: u32,
    /// Nanoseconds for one repetition, for each turn.
    took: Vec<f64>,
}

impl<'w> Contender<'w> {
    pub(crate) fn new(name: &str, work: impl FnMut() + 'w) -> Self {
        Self { name: name.into(), work: Box::new(work), times: 1, took: Vec::new() }
    }

    fn turn(&mut self) -> Duration {
        let start = now();
        for _ in 0..self.times {
            (self.work)();
        }
        now().saturating_sub(start)
    }

    /// Determines how often the work fits into a turn.
    fn warm_up(&mut self) {
        while self.turn() < TURN {
            self.times = self.times.saturating_mul(2);
        }
    }

    fn median(&self) -> f64 {
        let mut took = self.took.clone();
        took.sort_by(f64::total_cmp);
        took[took.len() / 2]
    }
}

/// Runs all contenders in turns, and prints their medians: the time, the multiple of the first
/// contender's, and the multiple of the second's.
pub(crate) fn race(contenders: &mut [Contender<'_>]) {
    contenders.iter_mut().for_each(Contender::warm_up);
    for _ in 0..ROUNDS {
        for contender in contenders.iter_mut() {
            let nanos = contender.turn().as_secs_f64() * 1e9 / f64::from(contender.times);
            contender.took.push(nanos);
        }
    }
    let [copy, ours, ..] = contenders else { return };
    let (copy, ours) = (copy.median(), ours.median());
    for contender in contenders.iter() {
        let median = contender.median();
        println!(
            "  {:48} {:>9.1} us {:>7.1} x copy {:>7.2} x proto-core",
            contender.name,
            median / 1e3,
            median / copy,
            median / ours
        );
    }
}
