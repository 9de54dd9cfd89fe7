//! `postwire records`.

use serde::Serialize;

use super::fleet::warn;
use crate::cli::{self, Own};
use crate::exit;
use crate::ops::Kind;
use crate::records::{self, Filter, Record, Yield, csv};
use crate::report::{Done, Failed};

/// Records, as `--json` prints them.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    #[serde(rename = "yield")]
    summary: Yield,
    /// Empty with `--summary`.
    records: Vec<Record>,
    /// A sentence for each line of the files that was passed over.
    warnings: Vec<String>,
}

pub(super) fn run(own: &Own, args: &cli::Records) -> Result<Done<Listed>, Failed> {
    let (mut all, mut warnings) = (Vec::new(), Vec::new());
    for file in &args.files {
        let found = records::read(file).map_err(|why| Failed::new(Kind::File, why))?;
        all.push(found.records);
        warnings.extend(found.warnings);
    }
    warn(own, &warnings);
    let filter = Filter {
        units: args.units.clone(),
        outcomes: args.outcomes.clone(),
        runs: args.runs.clone(),
        last: args.last,
    };
    // The records of shards are one record when joined. Which of them are listed does not change the yield.
    let all = filter.of_units(all);
    let summary = Yield::of(&all);
    let records = filter.apply(all);
    let text = match (args.csv, args.summary) {
        (true, _) => csv(&records),
        (_, true) => summary.text(),
        _ => {
            let mut text = String::new();
            for record in &records {
                text += &line(record);
            }
            text + &summary.text()
        }
    };
    let records = if args.summary { Vec::new() } else { records };
    Ok(Done { code: exit::DONE, text, result: Listed { summary, records, warnings } })
}

fn line(record: &Record) -> String {
    let Record { ended, unit, outcome, operation, message, .. } = record;
    let place = record.port.as_deref().or(record.address.as_deref()).unwrap_or("-");
    let message = message.replace('\n', " ");
    format!("{ended} {unit} {place} {operation}: {}: {message}\n", outcome.name())
}
