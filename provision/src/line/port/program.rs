//! The user's program for routers that were done.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::interrupt;
use crate::records::Record;
use crate::session::printable;

/// Pause between two looks at the program.
const PAUSE: Duration = Duration::from_millis(20);
/// How long to wait for what an ended program has said: a program that it has left behind may keep the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// The most bytes of standard error that are kept: the first line is shown.
const KEPT: usize = 4_096;

/// The most characters of this line.
const SHOWN: usize = 200;

/// Runs the user's program with a record on its standard input, until it ends or the user stops the line.
pub(super) fn run(program: &str, record: &Record) -> Result<(), String> {
    let mut command = Command::new(program);
    command
        .env("POSTWIRE_UNIT", &record.unit)
        .env("POSTWIRE_OUTCOME", record.outcome.name())
        .env("POSTWIRE_PORT", record.port.as_deref().unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // The first Ctrl-C lets it end: the terminal's signal is not for it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().map_err(|error| format!("cannot be started: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        let line = serde_json::to_string(record).unwrap_or_default();
        std::thread::spawn(move || {
            use std::io::Write as _;
            // A program that reads nothing has closed the pipe.
            let _ = writeln!(stdin, "{line}");
        });
    }
    let (sender, said) = mpsc::channel();
    if let Some(stderr) = child.stderr.take() {
        std::thread::spawn(move || sender.send(first_bytes(stderr)));
    }
    let status = wait(&mut child)?;
    if status.success() {
        return Ok(());
    }
    let said = said.recv_timeout(LAST_WORDS).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let said: String = said.lines().next().unwrap_or_default().chars().take(SHOWN).collect();
    let said = printable(&said);
    Err(format!("ended with {status}: {said}").trim_end_matches(": ").into())
}

/// Waits for the end of the program. The user's second Ctrl-C ends it.
fn wait(child: &mut Child) -> Result<ExitStatus, String> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if interrupt::requested() => {
                let _ = child.kill();
                let _ = child.wait();
                return Err("was stopped".into());
            }
            Ok(None) => std::thread::sleep(PAUSE),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// The first bytes of a stream. The rest is read, so that the program can write it, and dropped.
fn first_bytes(mut from: impl Read) -> Vec<u8> {
    let (mut kept, mut buf) = (Vec::new(), [0; KEPT]);
    while let Ok(length @ 1..) = from.read(&mut buf) {
        let room = KEPT - kept.len();
        kept.extend_from_slice(&buf[..length.min(room)]);
    }
    kept
}
