//! Records as CSV (RFC 4180): the columns are the fields of a record, in its order.

use serde_json::Value;

use super::Record;

/// Records with a header, without a final line end.
#[must_use]
pub fn csv(records: &[Record]) -> String {
    let mut lines = vec![COLUMNS.join(",")];
    for record in records {
        let object = serde_json::to_value(record).unwrap_or_default();
        let cells = COLUMNS.iter().map(|column| cell(object.get(column)));
        lines.push(cells.collect::<Vec<_>>().join(","));
    }
    lines.join("\n")
}

/// The fields of a record.
const COLUMNS: [&str; 29] = [
    "version",
    "run",
    "shard",
    "operation",
    "unit",
    "row",
    "address",
    "port",
    "router_key",
    "fingerprint",
    "hostname",
    "board",
    "serial_number",
    "macs",
    "agent",
    "tool",
    "operator",
    "interface",
    "image",
    "public_key",
    "number",
    "outcome",
    "code",
    "state",
    "program",
    "message",
    "started",
    "ended",
    "milliseconds",
];

fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => return String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    // A spreadsheet would run a cell that begins like a formula.
    let text = match text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        true => format!("'{text}"),
        false => text,
    };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::writer::tests::record;
    use super::super::{Outcome, SCHEMA};
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        let text = csv(&[record("=cmd()", Outcome::Applied)]);
        let (header, row) = text.split_once('\n').unwrap();
        assert_eq!(header.split(',').count(), COLUMNS.len());
        assert!(row.contains(",'=cmd(),"), "{row}");
        for front in ["\t", "\r", "+", "-", "@"] {
            let text = csv(&[record(&format!("{front}=cmd()"), Outcome::Applied)]);
            assert!(text.contains(&format!("'{front}=cmd()")), "{text}");
        }
        assert!(row.contains(",\"line\nwith \"\"quotes\"\"\","), "{row}");
    }

    #[test]
    fn columns_schema_and_records_have_the_same_fields() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let named = |value: &Value| -> std::collections::BTreeSet<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        let columns = COLUMNS.iter().map(ToString::to_string).collect();
        let record = serde_json::to_value(record("u", Outcome::Applied)).unwrap();
        assert_eq!(named(&schema["properties"]), columns);
        assert_eq!(named(&record), columns);
        let required = schema["required"].as_array().unwrap();
        assert_eq!(required.len(), columns.len());
        let outcomes: Vec<Value> = <Outcome as clap::ValueEnum>::value_variants()
            .iter()
            .map(|outcome| outcome.name().into())
            .collect();
        assert_eq!(schema["properties"]["outcome"]["enum"], Value::Array(outcomes));
    }
}
