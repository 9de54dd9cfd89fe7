//! What records say of each unit: whether it is done, and what is on its router.

use std::collections::HashMap;

use super::{Outcome, Record, UNKNOWN_UNIT};

/// The records of a unit that count.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told<'r> {
    /// The last one of a push, or of a claim and its push.
    pushed: Option<&'r Record>,
    /// The last one of an operation that changes routers.
    changed: Option<&'r Record>,
    /// The last `diff` and the last `status`, if the router was not changed since.
    diff: Option<&'r Record>,
    status: Option<&'r Record>,
    /// The router was found to differ, and was not changed since.
    differs: bool,
    /// The router that was done last, and whether the user's program is to be run for it.
    program: Option<(&'r str, bool)>,
}

/// What records say of each unit, by its name. They are in the order in which they were written.
#[must_use]
pub fn told(records: &[Record]) -> HashMap<&str, Told<'_>> {
    let mut units: HashMap<&str, Told<'_>> = HashMap::new();
    for record in records.iter().filter(|record| record.unit != UNKNOWN_UNIT) {
        units.entry(&record.unit).or_default().hear(record);
    }
    units
}

impl<'r> Told<'r> {
    fn hear(&mut self, record: &'r Record) {
        self.hear_program(record);
        let program = self.program;
        match &*record.operation {
            "diff" => self.diff = Some(record),
            "status" => self.status = Some(record),
            "repair" => {
                *self =
                    Self { changed: Some(record), pushed: self.pushed, program, ..Self::default() }
            }
            "push" | "claim" => {
                *self = Self {
                    changed: Some(record),
                    pushed: Some(record),
                    program,
                    ..Self::default()
                };
            }
            _ => return,
        }
        match record.outcome {
            Outcome::Differs => self.differs = true,
            Outcome::Same => self.differs = false,
            _ => {}
        }
    }

    fn hear_program(&mut self, record: &'r Record) {
        let Some(router) = record.router_key.as_deref() else { return };
        let is_due = match (&*record.operation, record.outcome.is_done()) {
            ("program", is_done) => !is_done,
            ("push" | "claim", true) => match self.program {
                // A run without a program leaves it to the next one that has one.
                Some((known, is_due)) if known == router => is_due || record.program.is_some(),
                _ => record.program.is_some(),
            },
            _ => return,
        };
        self.program = Some((router, is_due));
    }

    /// Whether the user's program is to be run for this router: it was not done before, or it was, and the program did not
    /// end well.
    #[must_use]
    pub fn is_program_due(&self, router: &str) -> bool {
        self.program.is_none_or(|(known, is_due)| known != router || is_due)
    }

    /// Whether the unit is done: its file was pushed, and no later change of its router has failed. A unit that was only
    /// repaired is done if that went well.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let is_done = |record: &Record| record.outcome.is_done();
        self.changed.is_some_and(is_done) && self.pushed.is_none_or(is_done)
    }

    /// Whether nothing is left to do for the unit: it is done, and so is the user's program, where one was to be run.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_done() && self.program.is_none_or(|(_, is_due)| !is_due)
    }

    /// The record that says that an operation has nothing left to do, if the image, the interface and the router that it
    /// names are those of the unit. A router that was found to differ since is to be changed again.
    #[must_use]
    pub fn settled(&self, operation: &str) -> Option<&'r Record> {
        let is_same = |record: &&Record| record.outcome == Outcome::Same;
        match operation {
            "diff" => self.diff.filter(is_same),
            "status" => self.status.filter(is_same),
            _ if self.differs || !self.is_done() => None,
            "repair" => self.changed.filter(|record| record.operation == "repair"),
            _ => self.pushed.filter(|pushed| self.is_on_the_router_of(pushed)),
        }
    }

    /// Whether the last change was of the router of a push.
    fn is_on_the_router_of(&self, pushed: &Record) -> bool {
        self.changed.is_some_and(|changed| changed.router_key == pushed.router_key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;

    /// The first end may be lost, and the program may fail or be killed.
    #[test]
    fn a_program_is_due_until_a_record_says_that_it_ended_well() {
        let is = |operation: &str, outcome, program: bool| {
            let program = program.then(|| "./label".into());
            let record = Record { operation: operation.into(), program, ..record("u", outcome) };
            Record { router_key: Some("k".into()), ..record }
        };
        let pushed = |program| is("push", Outcome::Applied, program);
        let again = |program| is("push", Outcome::Unchanged, program);
        let ended = |outcome| is("program", outcome, true);
        let (good, bad) = (Outcome::Applied, Outcome::Failed);
        for (records, expected) in [
            (vec![], true),
            (vec![is("claim", Outcome::Unknown, false)], true),
            (vec![pushed(false)], false),
            (vec![pushed(true)], true),
            (vec![pushed(true), ended(bad)], true),
            (vec![pushed(true), ended(good)], false),
            (vec![pushed(true), ended(good), again(false)], false),
            (vec![pushed(true), ended(bad), again(false)], true),
            (vec![pushed(true), again(true), ended(good)], false),
            (vec![pushed(true), ended(good), pushed(true)], true),
        ] {
            let told = told(&records).get("u").copied().unwrap_or_default();
            assert_eq!(told.is_program_due("k"), expected, "{records:?}");
            assert!(told.is_program_due("another one"));
        }
    }

    /// Every sequence of up to three records: what is said to be done was done last, and nothing else was.
    #[test]
    fn a_unit_is_done_only_if_its_last_records_say_so() {
        let outcomes = [Outcome::Applied, Outcome::Unchanged, Outcome::Failed, Outcome::Unknown];
        let mut kinds: Vec<(&str, Outcome)> = Vec::new();
        for operation in ["push", "claim", "repair"] {
            kinds.extend(outcomes.map(|outcome| (operation, outcome)));
        }
        for operation in ["diff", "status"] {
            kinds.extend(
                [Outcome::Same, Outcome::Differs, Outcome::Unreachable].map(|o| (operation, o)),
            );
        }
        let mut all: Vec<Vec<(&str, Outcome)>> = vec![Vec::new()];
        let mut from = 0;
        for _ in 0..3 {
            let end = all.len();
            for nth in from..end {
                all.extend(
                    kinds.iter().map(|kind| [&all[nth][..], &[*kind]].concat()).collect::<Vec<_>>(),
                );
            }
            from = end;
        }
        for kinds in all {
            let records: Vec<Record> = kinds
                .iter()
                .map(|(operation, outcome)| Record {
                    operation: (*operation).into(),
                    ..record("u", *outcome)
                })
                .collect();
            let told = told(&records).get("u").copied().unwrap_or_default();
            let last =
                |of: &[&str]| kinds.iter().rposition(|(operation, _)| of.contains(operation));
            let good = |at: usize| kinds[at].1.is_done();
            let pushed = last(&["push", "claim"]);
            let changed = last(&["push", "claim", "repair"]);
            let differs = kinds.iter().rposition(|(_, outcome)| *outcome == Outcome::Differs);
            let same = kinds.iter().rposition(|(_, outcome)| *outcome == Outcome::Same);
            let is_differing = differs > changed && differs > same;
            let is_done = changed.is_some_and(good) && pushed.is_none_or(good);
            assert_eq!(told.is_done(), is_done, "{kinds:?}");
            for operation in ["push", "claim"] {
                let is = is_done && pushed.is_some() && !is_differing;
                assert_eq!(told.settled(operation).is_some(), is, "{operation} {kinds:?}");
            }
            for operation in ["diff", "status"] {
                let at = last(&[operation]).filter(|at| kinds[*at].1 == Outcome::Same);
                let is = at.is_some() && at > changed;
                assert_eq!(told.settled(operation).is_some(), is, "{operation} {kinds:?}");
            }
            let is = is_done && changed.is_some_and(|at| kinds[at].0 == "repair") && !is_differing;
            assert_eq!(told.settled("repair").is_some(), is, "{kinds:?}");
        }
    }
}
