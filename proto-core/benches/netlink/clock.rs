//! Takes turns and tells the middle. Time is this thread's own: what else the machine does in
//! between does not count.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How many turns each contender has.
const ROUNDS: usize = 41;
/// How long a turn takes, so that the clock's own error does not count.
const TURN: Duration = Duration::from_millis(10);

fn now() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// Somebody who does the work.
pub(crate) struct Contender<'w> {
    name: String,
    work: Box<dyn FnMut() + 'w>,
    /// How often the work is done in a turn.
    times: u32,
    /// Nanoseconds for the work once, of each turn.
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

    /// Finds out how often the work fits into a turn.
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

/// Lets all contenders work in turn, and prints the middle of their times: by itself, as a multiple
/// of the first contender's, and as a multiple of the second's.
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
