//! Which records, and what they say together: yield, times and throughput.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::Serialize;

use super::{Outcome, Record, UNKNOWN_UNIT, told};
use crate::fleet::matches;

/// Which records.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Patterns of units' names; none takes all.
    pub units: Vec<String>,
    /// Outcomes; none takes all.
    pub outcomes: Vec<Outcome>,
    /// Runs; none takes all.
    pub runs: Vec<String>,
    /// Only the last of each unit.
    pub last: bool,
}

impl Filter {
    /// The records of the units and runs that pass, by the time of their ends. Those of one file stay in its order, in
    /// which they were written: the clock may have been set back in between.
    #[must_use]
    pub fn of_units(&self, files: Vec<Vec<Record>>) -> Vec<Record> {
        let mut timed = Vec::new();
        for file in files {
            let mut latest = None;
            for record in file {
                latest = latest.max(time(&record.ended));
                timed.push((latest, record));
            }
        }
        timed.retain(|(_, record)| {
            let unit = self.units.iter().any(|pattern| matches(pattern, &record.unit));
            (self.units.is_empty() || unit)
                && (self.runs.is_empty() || self.runs.contains(&record.run))
        });
        timed.sort_by_key(|(time, _)| *time);
        timed.into_iter().map(|(_, record)| record).collect()
    }

    /// The records that pass, of those of the units and runs that pass.
    #[must_use]
    pub fn apply(&self, mut records: Vec<Record>) -> Vec<Record> {
        if self.last {
            let last: HashMap<String, usize> =
                records.iter().enumerate().map(|(at, record)| (record.unit.clone(), at)).collect();
            let mut at = 0;
            records.retain(|record| {
                at += 1;
                last.get(&record.unit) == Some(&(at - 1))
            });
        }
        records
            .retain(|record| self.outcomes.is_empty() || self.outcomes.contains(&record.outcome));
        records
    }
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// What records say together: those of operations that change routers, if there are any.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Yield {
    /// How many records.
    pub records: usize,
    /// How many units.
    pub units: usize,
    /// How many of them are done: see [`super::Told::is_complete`].
    pub done: usize,
    /// How many were done at the first attempt: by their first record, and by the first run of the user's program.
    pub first_pass: usize,
    /// How many units have each outcome, by their last record.
    pub outcomes: BTreeMap<&'static str, usize>,
    /// How many units failed for each cause, by their last record.
    pub codes: BTreeMap<String, usize>,
    /// From the first start to the last end, in seconds; runs that follow each other have their pauses in it.
    pub seconds: f64,
    /// Units done in an hour.
    pub per_hour: Option<f64>,
    /// The middle and the 95th percentile of the times of units, in milliseconds.
    pub median_ms: u64,
    /// See `median_ms`.
    pub p95_ms: u64,
}

/// The first attempt at a unit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Done,
    Failed,
    /// The router is done, and the user's program has not ended.
    Program,
}

impl Yield {
    /// Adds records up.
    #[must_use]
    pub fn of(all: &[Record]) -> Self {
        let changing = |record: &Record| matches!(&*record.operation, "push" | "claim" | "repair");
        // A unit that was only asked is not done.
        let only_asked = !all.iter().any(changing);
        let records: Vec<&Record> =
            all.iter().filter(|record| only_asked || changing(record)).collect();
        // The end of the user's program belongs to the attempt that it follows.
        let is_counted =
            |record: &&Record| only_asked || changing(record) || record.operation == "program";
        let (mut first, mut last) = (HashMap::new(), HashMap::new());
        let known = all.iter().filter(|record| record.unit != UNKNOWN_UNIT);
        for record in known.filter(is_counted) {
            let (unit, is_end) = (record.unit.as_str(), record.operation == "program");
            let state = match (first.get(unit), record.outcome.is_done()) {
                (None, true) if record.program.is_some() && !is_end => First::Program,
                (None, true) => First::Done,
                (Some(First::Program), true) if is_end => First::Done,
                (Some(First::Done), _) => First::Done,
                _ => First::Failed,
            };
            first.insert(unit, state);
            last.insert(unit, record);
        }
        let (mut outcomes, mut codes) = (BTreeMap::new(), BTreeMap::new());
        for record in last.values() {
            *outcomes.entry(record.outcome.name()).or_insert(0) += 1;
            if let (false, Some(code)) = (record.outcome.is_done(), &record.code) {
                *codes.entry(code.clone()).or_insert(0) += 1;
            }
        }
        let done = match only_asked {
            true => last.values().filter(|record| record.outcome.is_done()).count(),
            false => told(all).values().filter(|told| told.is_complete()).count(),
        };
        let begin = records.iter().filter_map(|record| time(&record.started)).min();
        let end = records.iter().filter_map(|record| time(&record.ended)).max();
        let seconds = match (begin, end) {
            (Some(begin), Some(end)) => end.duration_since(begin).as_secs_f64().max(0.0),
            _ => 0.0,
        };
        let mut times: Vec<u64> = records.iter().map(|record| record.milliseconds).collect();
        times.sort_unstable();
        let at = |hundredths: usize| {
            times
                .get((times.len() * hundredths).div_ceil(100).saturating_sub(1))
                .copied()
                .unwrap_or(0)
        };
        #[expect(clippy::cast_precision_loss, reason = "a count of units is small")]
        let per_hour = (seconds > 0.0).then(|| done as f64 * 3_600.0 / seconds);
        Self {
            records: records.len(),
            units: last.len(),
            done,
            first_pass: first.values().filter(|first| **first == First::Done).count(),
            outcomes,
            codes,
            seconds,
            per_hour,
            median_ms: at(50),
            p95_ms: at(95),
        }
    }

    /// The same as text.
    #[must_use]
    pub fn text(&self) -> String {
        #[expect(clippy::cast_precision_loss, reason = "a count of units is small")]
        let percent = |count: usize| match self.units {
            0 => String::new(),
            units => format!(" ({:.1} %)", count as f64 * 100.0 / units as f64),
        };
        let mut text = format!(
            "{} of {} units done{}, {} at the first attempt{}",
            self.done,
            self.units,
            percent(self.done),
            self.first_pass,
            percent(self.first_pass)
        );
        if self.units == 0 {
            return text;
        }
        let counts = |counts: Vec<String>| counts.join(", ");
        text += "\n";
        text +=
            &counts(self.outcomes.iter().map(|(name, count)| format!("{count} {name}")).collect());
        if !self.codes.is_empty() {
            text += "\ncauses: ";
            text +=
                &counts(self.codes.iter().map(|(code, count)| format!("{count} {code}")).collect());
        }
        if let Some(per_hour) = self.per_hour {
            text += &format!(
                "\n{per_hour:.0} units an hour; a unit took {} ms (median), {} ms (95 %)",
                self.median_ms, self.p95_ms
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::writer::tests::record;
    use super::*;

    fn at(unit: &str, outcome: Outcome, ended: &str) -> Record {
        let time = |second: &str| format!("2026-11-29T08:00:{second}Z");
        Record { started: time("00"), ended: time(ended), ..record(unit, outcome) }
    }

    #[test]
    fn records_are_ordered_by_time_and_not_by_its_text() {
        // A time of a whole second has no fraction in the records of earlier versions.
        let all = vec![
            at("a", Outcome::Applied, "07"),
            at("b", Outcome::Failed, "06.5"),
            at("a", Outcome::Failed, "06.999"),
            at("b", Outcome::Applied, "06.51"),
            at("c", Outcome::Applied, "06"),
        ];
        let filter = Filter { last: true, ..Filter::default() };
        let files = all.into_iter().map(|record| vec![record]).collect();
        let last = filter.apply(filter.of_units(files));
        let told: Vec<_> = last.iter().map(|record| (&*record.unit, record.outcome)).collect();
        let done = Outcome::Applied;
        assert_eq!(told, [("c", done), ("b", done), ("a", done)]);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_earlier_record_the_last_one() {
        let told = |files: Vec<Vec<Record>>| {
            let filter = Filter { last: true, ..Filter::default() };
            let last = filter.apply(filter.of_units(files));
            last.into_iter().map(|record| (record.unit, record.outcome)).collect::<Vec<_>>()
        };
        let bench = vec![
            at("a", Outcome::Failed, "40"),
            at("b", Outcome::Failed, "41"),
            at("a", Outcome::Applied, "02"),
            at("b", Outcome::Applied, "42"),
        ];
        let done = |unit: &str| (unit.to_owned(), Outcome::Applied);
        assert_eq!(told(vec![bench.clone()]), [done("a"), done("b")]);
        let other = vec![at("c", Outcome::Applied, "03")];
        assert_eq!(told(vec![bench, other]), [done("c"), done("a"), done("b")]);
    }

    #[test]
    fn which_records_are_listed_does_not_change_the_yield() {
        let all = vec![
            at("a", Outcome::Failed, "01"),
            at("a", Outcome::Applied, "02"),
            at("b", Outcome::Applied, "03"),
        ];
        let filter = |last, outcomes| Filter { last, outcomes, ..Filter::default() };
        for filter in
            [filter(false, vec![]), filter(true, vec![]), filter(false, vec![Outcome::Failed])]
        {
            let sum = Yield::of(&filter.of_units(vec![all.clone()]));
            assert_eq!((sum.units, sum.done, sum.first_pass), (2, 2, 1), "{filter:?}");
        }
        assert_eq!(filter(false, vec![Outcome::Failed]).apply(all).len(), 1);
    }

    #[test]
    fn a_unit_whose_program_failed_or_did_not_end_is_not_done() {
        let is = |operation: &str, outcome, code: Option<&str>| Record {
            operation: operation.into(),
            program: Some("./label".into()),
            code: code.map(Into::into),
            ..at("a", outcome, "01").of_router(proto_core::key::PublicKey([1; 32]))
        };
        let (pushed, again) =
            (is("claim", Outcome::Applied, None), is("claim", Outcome::Unchanged, None));
        let (good, bad) = (
            is("program", Outcome::Applied, None),
            is("program", Outcome::Failed, Some("program")),
        );
        for (records, done, first_pass, outcome, cause) in [
            (vec![&pushed], 0, 0, "applied", None),
            (vec![&pushed, &bad], 0, 0, "failed", Some("program")),
            (vec![&pushed, &good], 1, 1, "applied", None),
            (vec![&pushed, &bad, &again, &good], 1, 0, "applied", None),
            (vec![&pushed, &again, &good], 1, 0, "applied", None),
            (vec![&pushed, &good, &pushed, &bad], 0, 1, "failed", Some("program")),
        ] {
            let all: Vec<Record> = records.into_iter().cloned().collect();
            let sum = Yield::of(&all);
            assert_eq!((sum.units, sum.done, sum.first_pass), (1, done, first_pass), "{all:?}");
            assert_eq!(sum.outcomes.into_keys().collect::<Vec<_>>(), [outcome], "{all:?}");
            assert_eq!(sum.codes.into_keys().next().as_deref(), cause, "{all:?}");
        }
    }

    #[test]
    fn a_unit_that_was_only_asked_is_not_done() {
        let asked = |unit: &str, operation: &str, outcome| Record {
            operation: operation.into(),
            ..at(unit, outcome, "09")
        };
        let diff = asked("a", "diff", Outcome::Differs);
        let all =
            [at("a", Outcome::Failed, "01"), diff.clone(), asked("a", "status", Outcome::Same)];
        assert_eq!(Yield::of(&all).done, 0);
        assert_eq!(Yield::of(&[diff]).units, 1);
        // A repair applies what is stored, and not the file whose push failed.
        let repaired = [at("a", Outcome::Failed, "01"), asked("a", "repair", Outcome::Unchanged)];
        assert_eq!(Yield::of(&repaired).done, 0);
    }
}
