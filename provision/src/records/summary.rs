//! Which records, and what they say together: yield, times and throughput.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::Serialize;

use super::{Outcome, Record, UNKNOWN_UNIT};
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
    /// The records that pass, in their order.
    #[must_use]
    pub fn apply(&self, records: Vec<Record>) -> Vec<Record> {
        let mut records: Vec<Record> = records
            .into_iter()
            .filter(|record| {
                let unit = self.units.iter().any(|pattern| matches(pattern, &record.unit));
                (self.units.is_empty() || unit)
                    && (self.runs.is_empty() || self.runs.contains(&record.run))
            })
            .collect();
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

/// What records say together.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Yield {
    /// How many records.
    pub records: usize,
    /// How many units.
    pub units: usize,
    /// How many of them are done, by their last record.
    pub done: usize,
    /// How many were done by their first record.
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

impl Yield {
    /// Adds records up.
    #[must_use]
    pub fn of(records: &[Record]) -> Self {
        let (mut first, mut last) = (HashMap::new(), HashMap::new());
        for record in records.iter().filter(|record| record.unit != UNKNOWN_UNIT) {
            first.entry(record.unit.as_str()).or_insert(record);
            last.insert(record.unit.as_str(), record);
        }
        let (mut outcomes, mut codes) = (BTreeMap::new(), BTreeMap::new());
        for record in last.values() {
            *outcomes.entry(record.outcome.name()).or_insert(0) += 1;
            if let (false, Some(code)) = (record.outcome.is_done(), &record.code) {
                *codes.entry(code.clone()).or_insert(0) += 1;
            }
        }
        let done = last.values().filter(|record| record.outcome.is_done()).count();
        let time = |text: &str| text.parse::<Timestamp>().ok();
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
            first_pass: first.values().filter(|record| record.outcome.is_done()).count(),
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
