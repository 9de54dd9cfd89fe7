//! What other programs changed on a router, as the agent noticed it.

use proto_core::protocol::message::{Drift, Status};
use serde::Serialize;

use crate::session::printable;
use crate::show::span;

/// An interface that another program changed, as `--json` gives it.
#[derive(Debug, Serialize)]
pub(super) struct DriftJson {
    interface: String,
    what: String,
    seconds: u32,
    repairs: u16,
    next_repair: Option<u32>,
}

impl DriftJson {
    fn of(drift: &Drift) -> Self {
        Self {
            interface: printable(&drift.interface),
            what: printable(&drift.what),
            seconds: drift.seconds,
            repairs: drift.repairs,
            next_repair: drift.next_repair,
        }
    }

    /// One line for a person.
    fn line(&self) -> String {
        let Self { interface, what, seconds, repairs, next_repair } = self;
        let ago = span((*seconds).into());
        let made = match repairs {
            0 => String::new(),
            1 => "; repaired once since".into(),
            count => format!("; repaired {count} times since"),
        };
        let next = match next_repair {
            Some(0) => "; the router repairs it now".into(),
            Some(seconds) => format!("; the router repairs it in {}", span((*seconds).into())),
            None => format!("; `postwire repair {interface}` puts back what is stored"),
        };
        format!("another program changed {interface} {ago} ago: {what}{made}{next}")
    }
}

/// All of them.
pub(super) fn json(status: &Status) -> Vec<DriftJson> {
    status.drift.iter().map(DriftJson::of).collect()
}

/// A line for each of them, and one for those that did not fit.
pub(super) fn lines(drift: &[DriftJson], drifting: u32) -> Vec<String> {
    let mut lines: Vec<String> = drift.iter().map(DriftJson::line).collect();
    let more = usize::try_from(drifting).unwrap_or(0).saturating_sub(drift.len());
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

/// What another program changed on an interface, and a note about it.
pub(super) fn noted(drift: &Drift) -> (DriftJson, String) {
    let json = DriftJson::of(drift);
    let DriftJson { interface, what, .. } = &json;
    let note = format!(
        "\n\nnote: another program changed {interface} on the router since it was pushed: {what}; `postwire repair \
         {interface}` puts back what is stored"
    );
    (json, note)
}
