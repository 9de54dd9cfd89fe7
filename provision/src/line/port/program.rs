//! The user's program for routers that were done.

use std::process::{Command, Stdio};

use crate::records::Record;

/// Runs the user's program with a record on its standard input.
pub(super) fn run(program: &str, record: &Record) -> Result<(), String> {
    use std::io::Write as _;
    let mut child = Command::new(program)
        .env("POSTWIRE_UNIT", &record.unit)
        .env("POSTWIRE_OUTCOME", record.outcome.name())
        .env("POSTWIRE_PORT", record.port.as_deref().unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot be started: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        let line = serde_json::to_string(record).unwrap_or_default();
        // A program that reads nothing has closed the pipe.
        let _ = writeln!(stdin, "{line}");
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or_default();
    Err(format!("ended with {}: {said}", output.status).trim_end_matches(": ").into())
}
