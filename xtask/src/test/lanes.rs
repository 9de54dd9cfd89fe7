//! What runs side by side.
//!
//! A part is tests that follow one another, on machines of their own. An emulated machine keeps one
//! processor busy at most, and waits much: so there are two lanes, and whichever is free takes the next
//! part of the list. Who is beside whom is left to chance, and no test may depend on it.
//!
//! What may stand in each other's way takes turns where it happens: packages (`apt`), Rust targets and the
//! host tool (`build`), and cargo, which locks its folders.

use super::Tally;
use anyhow::Result;
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    thread,
};

/// Three would each have too little of two processors.
const LANES: usize = 2;

/// Tests that follow one another.
pub(crate) struct Part<'t> {
    name: String,
    tests: Vec<String>,
    run: Box<dyn FnOnce() -> Result<()> + Send + 't>,
}

impl<'t> Part<'t> {
    /// The names of its tests are there to know whether any is wanted: nothing is built and booted for
    /// nothing.
    pub(crate) fn new(
        name: &str,
        tests: impl IntoIterator<Item = String>,
        run: impl FnOnce() -> Result<()> + Send + 't,
    ) -> Self {
        Self { name: name.to_owned(), tests: tests.into_iter().collect(), run: Box::new(run) }
    }
}

/// Runs the parts in which something is wanted. One that cannot begin is a failure of its own.
pub(super) fn run(tally: &Tally, parts: Vec<Part<'_>>) {
    let wanted = |part: &Part<'_>| part.tests.iter().any(|test| tally.wants(test));
    let waiting: VecDeque<Part<'_>> = parts.into_iter().filter(wanted).collect();
    let waiting = Mutex::new(waiting);
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                while let Some(part) = next() {
                    if let Err(error) = (part.run)() {
                        tally.fail(&part.name, &part.name, &error);
                    }
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn only_parts_with_a_wanted_test_run_and_all_are_counted() {
        let tally = Tally::new(Some("b".to_owned()));
        let part = |name: &'static str, good: bool| {
            let tally = &tally;
            Part::new(name, ["x: a".to_owned(), format!("{name}: b")], move || {
                tally.test("x: a", || bail!("nobody wants it"));
                tally.test(&format!("{name}: b"), || Ok(String::new()));
                if good { Ok(()) } else { bail!("it goes no further") }
            })
        };
        let unwanted = Part::new("y", ["y: c".to_owned()], || panic!("nobody wants it"));
        let parts = vec![part("one", true), unwanted, part("two", false), part("three", true)];
        run(&tally, parts);
        let count = tally.count();
        assert_eq!((count.passed, &*count.failed), (3, &["two".to_owned()][..]));
    }
}
