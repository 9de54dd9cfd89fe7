//! Parts that run side by side.
//!
//! A part is a sequence of tests on machines of their own. An emulated machine keeps at most one
//! processor busy, and often waits. So there are more lanes than processors ([`super::LANES`]), and a free lane takes the
//! next part of the list. Parts meet by chance, and no test may depend on the part beside it.
//!
//! Shared resources are locked where they are used: packages (`xtask::packages`), Rust targets and
//! the host tool (`xtask::build`), and cargo, which locks its folders.

use super::Tally;
use anyhow::{Error, Result};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
    thread,
};

type Run = Box<dyn FnOnce(&Tally) -> Result<()> + Send>;

/// A sequence of tests.
pub(crate) struct Part {
    pub(super) name: String,
    pub(super) tests: Vec<String>,
    pub(super) ignored: bool,
    alone: bool,
    run: Run,
}

impl Part {
    /// A part with the names of its tests: if none of them is wanted, nothing is built or booted.
    pub(crate) fn new(
        name: &str,
        tests: impl IntoIterator<Item = String>,
        run: impl FnOnce(&Tally) -> Result<()> + Send + 'static,
    ) -> Self {
        let tests = tests.into_iter().collect();
        Self { name: name.to_owned(), tests, ignored: false, alone: false, run: Box::new(run) }
    }

    /// Marks a part that only `cargo xtask test` and `--include-ignored` run.
    pub(crate) fn ignored(self) -> Self {
        Self { ignored: true, ..self }
    }

    /// Marks a part that runs after all others, alone.
    pub(crate) fn alone(self) -> Self {
        Self { alone: true, ..self }
    }
}

/// Runs the parts with a wanted test, in `lanes` lanes. Every wanted test has an outcome
/// afterwards.
pub(super) fn run(tally: &Tally, parts: Vec<Part>, lanes: usize) {
    let wanted = |part: &Part| part.tests.iter().any(|test| tally.wants(test));
    let parts = parts.into_iter().filter(wanted);
    let (alone, beside): (Vec<_>, Vec<_>) = parts.partition(|part| part.alone);
    let waiting = Mutex::new(VecDeque::from(beside));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                while let Some(part) = next() {
                    one(tally, part);
                }
            });
        }
    });
    alone.into_iter().for_each(|part| one(tally, part));
}

fn one(tally: &Tally, part: Part) {
    let Part { name, tests, run, .. } = part;
    let outcome = catch_unwind(AssertUnwindSafe(|| run(tally)));
    let outcome = outcome.unwrap_or_else(|_| Err(Error::msg("it panicked")));
    // The harness would wait for a test without an outcome for ever.
    let error = outcome.err().unwrap_or_else(|| Error::msg("it did not run this test"));
    tally.fail(&name, &tests, &error);
}
