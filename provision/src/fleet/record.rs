//! What has become of a unit, as a record.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::run::Options;
use super::unit::{Finished, Operation};
use super::{Planned, hex};
use crate::home::Operator;
use crate::records::{Record, VERSION};

/// When a unit was begun.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) started: Timestamp,
    pub(crate) begun: Instant,
}

impl Times {
    /// When the unit ended, `took` after its begin: the clock of the day may have been set in between.
    fn ended(self, took: Duration) -> Timestamp {
        let took = SignedDuration::try_from(took).unwrap_or(SignedDuration::MAX);
        self.started.saturating_add(took).unwrap_or(self.started)
    }
}

/// The record of a unit of a run.
pub(super) fn record(
    planned: &Planned<'_>,
    options: &Options,
    operator: &Operator,
    finished: Finished,
    times: Times,
) -> Record {
    let Options { operation, run, shard, .. } = options;
    let unit = planned.unit;
    let known = unit.public_key.filter(|_| operation.has_image()).map(|key| key.to_string());
    let base = base(run, *operation, operator, finished, times);
    Record {
        public_key: base.public_key.clone().or(known),
        shard: shard.map(|shard| shard.to_string()),
        unit: unit.name.clone(),
        row: unit.row,
        address: Some(planned.udp.to_string()),
        interface: unit.interface.to_string(),
        image: operation.has_image().then(|| hex(&unit.digest)),
        ..base
    }
    .of_router(planned.key)
}

/// The fields of a record that depend on the outcome.
pub(crate) fn base(
    run: &str,
    operation: Operation,
    operator: &Operator,
    finished: Finished,
    times: Times,
) -> Record {
    let took = times.begun.elapsed();
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let router = finished.router.as_ref();
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Record {
        version: VERSION,
        run: run.into(),
        shard: None,
        operation: operation.name().into(),
        unit: String::new(),
        row: 0,
        address: None,
        port: None,
        router_key: router.map(|router| router.key().to_string()),
        fingerprint: router.map(|router| router.fingerprint().into()),
        hostname: router.and_then(|router| text(router.hostname())),
        board: router.and_then(|router| text(router.board())),
        serial_number: router.and_then(|router| text(router.serial_number())),
        macs: router.and_then(|router| text(&router.macs())),
        agent: router.and_then(|router| text(router.agent())),
        tool: env!("CARGO_PKG_VERSION").into(),
        operator: operator.public().to_string(),
        interface: String::new(),
        image: None,
        public_key: finished.public_key,
        number: finished.number,
        outcome: finished.outcome,
        code: finished.code,
        state: finished.state.and_then(|state| serde_json::to_value(state).ok()).and_then(
            |state| match state {
                serde_json::Value::String(name) => Some(name),
                _ => None,
            },
        ),
        program: None,
        message: finished.message,
        started: time(times.started),
        ended: time(times.ended(took)),
        milliseconds,
    }
}

/// A time as records have it: UTC, in milliseconds.
fn time(at: Timestamp) -> String {
    at.round(jiff::Unit::Millisecond).unwrap_or(at).strftime("%FT%T.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_during_a_push_changes_no_duration() {
        // The clock was wrong when the unit began, and is right now.
        let started = Timestamp::UNIX_EPOCH;
        let times = Times { started, begun: Instant::now() };
        let ended = times.ended(Duration::from_millis(1_500));
        assert_eq!(time(ended), "1970-01-01T00:00:01.500Z");
        assert_eq!(times.ended(Duration::MAX), Timestamp::MAX);
    }

    #[test]
    fn every_code_of_a_record_is_in_the_document() {
        let document = include_str!("../../../docs/fleet.md");
        let sources = [
            include_str!("unit.rs"),
            include_str!("../line/port.rs"),
            include_str!("../line/port/meet.rs"),
        ];
        // Each is a field, an argument, or the first one of a pair.
        let fronts = [
            "code: Some(\"",
            "code = Some(\"",
            "Kind::Own => Some(\"",
            "Kind::Usage => Some(\"",
            "Finished::unreachable(\"",
            "                (\"",
        ];
        let mut codes = std::collections::BTreeSet::new();
        for (source, front) in sources.iter().flat_map(|source| fronts.map(|front| (source, front)))
        {
            for rest in source.split(front).skip(1) {
                codes.extend(rest.split_once('"').map(|(code, _)| code));
            }
        }
        codes.retain(|code| code.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        assert!(codes.contains("another_owner") && codes.contains("own_files"), "{codes:?}");
        let table = include_str!("../ops/error.rs");
        for kind in ["router", "connection", "own"] {
            let row = table.lines().find(|line| line.starts_with(&format!("/// | `{kind}` |")));
            // Words in backticks, of which the first one is the kind.
            let words = row.unwrap().split('`').skip(3).step_by(2);
            codes.extend(words.filter(|word| !word.contains("::")));
        }
        assert!(codes.contains("overtaken") && codes.contains("boot_loader"), "{codes:?}");
        for code in codes {
            assert!(document.contains(&format!("`{code}`")), "{code}");
        }
    }
}
