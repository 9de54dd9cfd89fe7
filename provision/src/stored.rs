//! A stored configuration of a router, as JSON and as text.

use std::borrow::Cow;

use proto_core::protocol::Digest;
use proto_core::protocol::report::{Act, Stored};
use serde::Serialize;

use crate::clock;
use crate::session::printable;

/// A stored configuration, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct Record {
    interface: String,
    number: u32,
    time: u64,
    public_key: String,
    by: String,
    act: Cow<'static, str>,
    rolled_back_to: Option<u32>,
    length: u32,
    damaged: bool,
    digest: String,
}

/// A digest in hexadecimal.
pub(crate) fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn json(stored: &Stored) -> Record {
    let (act, rolled_back_to) = match stored.act {
        Act::Pushed => ("pushed".into(), None),
        Act::RolledBack { number } => ("rolled_back".into(), Some(number)),
        Act::Removed => ("removed".into(), None),
        Act::Unknown(act, _) => (format!("act_{act}").into(), None),
    };
    Record {
        interface: printable(&stored.interface),
        number: stored.number,
        time: stored.time,
        public_key: stored.key.to_string(),
        by: printable(&stored.by),
        act,
        rolled_back_to,
        length: stored.length,
        damaged: stored.damaged,
        digest: hex(&stored.digest),
    }
}

/// The origin of a configuration: `pushed by anne@bench on 2026-11-24 03:31:55`.
pub(crate) fn words(stored: &Stored) -> String {
    if stored.damaged {
        return "damaged, and not used".into();
    }
    let by = match printable(&stored.by) {
        name if name.is_empty() => stored.key.to_string(),
        name => name,
    };
    let act = match stored.act {
        Act::Pushed => "pushed".into(),
        Act::RolledBack { number } => format!("rolled back to number {number}"),
        Act::Removed => "removed".into(),
        Act::Unknown(act, _) => {
            format!("made by act number {act}, which this version of postwire does not know,")
        }
    };
    format!("{act} by {by} {}", clock::date(stored.time))
}
