//! Records: one line of JSON for each unit that a run has finished, appended to a file and synced before the next unit is
//! reported. What a record says is true of the router at that time; what is not known is said to be unknown. No record
//! contains a private key.
//!
//! `schema/record.schema.json` describes a line. Fields may be added; none changes its meaning.

mod csv;
mod summary;
mod told;
mod writer;

use std::io::{BufRead as _, Read as _};
use std::path::Path;

use proto_core::key::PublicKey;
use proto_core::protocol::session::fingerprint;
use serde::{Deserialize, Serialize};

pub use csv::csv;
pub use summary::{Filter, Yield};
pub use told::{Told, told};
pub use writer::Writer;
#[cfg(test)]
pub(crate) use writer::tests;

/// The JSON Schema of a record.
pub const SCHEMA: &str = include_str!("../../schema/record.schema.json");

/// The name of the unit in records of routers that could not be asked which one they are.
pub const UNKNOWN_UNIT: &str = "?";

/// What has become of a unit.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[value(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The change was made, verified and stored.
    Applied,
    /// The router ran and stored this configuration already.
    Unchanged,
    /// `diff` and `status`: nothing differs.
    Same,
    /// `diff` and `status`: something differs.
    Differs,
    /// The router refused or failed; `state` says what it runs.
    Failed,
    /// The change was not confirmed in time, and the router has its previous configuration again.
    Reverted,
    /// The router was not reached after the change, and reverts it by itself.
    Unconfirmed,
    /// The change was requested, and nothing was heard since.
    Unknown,
    /// The router could not be reached; nothing was changed.
    Unreachable,
    /// The run was interrupted before the change was requested; nothing was changed.
    Interrupted,
}

impl Outcome {
    /// Whether the unit is done.
    #[must_use]
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Applied | Self::Unchanged | Self::Same | Self::Differs)
    }

    /// The name in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Same => "same",
            Self::Differs => "differs",
            Self::Failed => "failed",
            Self::Reverted => "reverted",
            Self::Unconfirmed => "unconfirmed",
            Self::Unknown => "unknown",
            Self::Unreachable => "unreachable",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What has become of one unit in one run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The version of this format: 1.
    pub version: u32,
    /// The run.
    pub run: String,
    /// The part of the run, such as `2/3`; null for a whole one.
    pub shard: Option<String>,
    /// `push`, `diff`, `status`, `repair` or `claim`; `program` for the end of the user's program.
    pub operation: String,
    /// The unit's name in the manifest; [`UNKNOWN_UNIT`] if it is not known.
    pub unit: String,
    /// The unit's place in the manifest, from 1; 0 if the unit is not known.
    pub row: usize,
    /// Where the router was reached over UDP.
    pub address: Option<String>,
    /// Where it was reached over a serial port.
    pub port: Option<String>,
    /// The router's public key.
    pub router_key: Option<String>,
    /// Its fingerprint.
    pub fingerprint: Option<String>,
    /// Its host name.
    pub hostname: Option<String>,
    /// Its board.
    pub board: Option<String>,
    /// The device's serial number.
    pub serial_number: Option<String>,
    /// Its MAC addresses, with spaces between them.
    pub macs: Option<String>,
    /// The version of its agent.
    pub agent: Option<String>,
    /// The version of the tool.
    pub tool: String,
    /// The public key of the operator.
    pub operator: String,
    /// The interface.
    pub interface: String,
    /// The digest of the image, in hexadecimal; null if there is none.
    pub image: Option<String>,
    /// The public key of the interface, if known.
    pub public_key: Option<String>,
    /// The number of the configuration in the router's history.
    pub number: Option<u32>,
    /// What has become of the unit.
    pub outcome: Outcome,
    /// The name of the cause, if it failed: that of `ops::Error`, or one of the table in `docs/fleet.md`.
    pub code: Option<String>,
    /// The state of the running configuration after a failed change.
    pub state: Option<String>,
    /// The user's program that is run for the unit: it is due from this record on, or has ended, if that is the operation.
    pub program: Option<String>,
    /// The outcome in words.
    pub message: String,
    /// When the unit was begun, UTC.
    pub started: String,
    /// When it ended, UTC.
    pub ended: String,
    /// How long it took.
    pub milliseconds: u64,
}

impl Record {
    /// The same with the key of the router, which is known even if the router did not answer.
    pub(crate) fn of_router(self, key: PublicKey) -> Self {
        let fingerprint = Some(fingerprint(&key).to_string());
        Self { router_key: Some(key.to_string()), fingerprint, ..self }
    }
}

/// The most bytes of a line with a record.
const MAX_LINE: u64 = 1 << 20;

/// The version of the format.
pub(crate) const VERSION: u32 = 1;

/// A line of a file of records.
enum Line {
    Record(Box<Record>),
    Empty,
    /// What a crash has left of a line: its front, or zeros.
    Torn,
}

/// Reads a line.
fn line(bytes: &[u8]) -> Result<Line, String> {
    #[derive(Deserialize)]
    struct Front {
        version: u32,
    }
    let line = bytes.trim_ascii();
    if line.is_empty() {
        return Ok(Line::Empty);
    }
    if line.contains(&0) {
        return Ok(Line::Torn);
    }
    let error = match serde_json::from_slice::<Record>(line) {
        Ok(record) if record.version == VERSION => return Ok(Line::Record(Box::new(record))),
        Ok(_) => None,
        Err(error) if error.is_eof() => return Ok(Line::Torn),
        Err(error) => Some(error),
    };
    match (serde_json::from_slice(line), error) {
        (Ok(Front { version }), _) if version != VERSION => Err(format!(
            "a record of version {version}, and this version of postwire reads version {VERSION}: update postwire"
        )),
        (_, error) => {
            let why = error.map(|error| error.to_string()).unwrap_or_default();
            let why = why.split(" at line ").next().unwrap_or_default();
            Err(format!("this is no record: {why}"))
        }
    }
}

/// What a file of records says.
#[derive(Debug, Default)]
pub struct Found {
    /// Its records, in its order.
    pub records: Vec<Record>,
    /// A sentence for each line that was passed over.
    pub warnings: Vec<String>,
}

/// Reads records. Empty lines are passed over, and so is what a crash has left of a line.
///
/// # Errors
/// What cannot be read, with file and line.
pub fn read(path: &Path) -> Result<Found, String> {
    let shown = path.display();
    let file =
        std::fs::File::open(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let mut found = Found::default();
    let mut bytes = Vec::new();
    let mut reader = std::io::BufReader::new(file);
    let mut number = 0;
    loop {
        bytes.clear();
        number += 1;
        let length = reader
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut bytes)
            .map_err(|error| format!("cannot read {shown}: {error}"))?;
        if length == 0 {
            return Ok(found);
        }
        match line(&bytes).map_err(|why| format!("{shown}:{number}: {why}"))? {
            Line::Record(record) => found.records.push(*record),
            Line::Empty => {}
            Line::Torn => found.warnings.push(format!(
                "{shown}:{number}: warning: a record that a crash has cut short is passed over: its unit counts as it \
                 did before"
            )),
        }
    }
}

/// As [`read`]; a file that does not exist has no records, nor has a device or a pipe.
///
/// # Errors
/// As [`read`].
pub fn read_if_any(path: &Path) -> Result<Found, String> {
    if path.is_file() { read(path) } else { Ok(Found::default()) }
}
