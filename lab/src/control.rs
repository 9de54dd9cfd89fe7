//! The control channel: runs scripts in a machine and returns their exact output.
//!
//! The channel is a virtio serial port (which loses nothing, unlike a virtio console), served by
//! `init.sh`. Requests are sent one at a time, each a line of numbers and then as many bytes as the
//! line says, so scripts, files and output may contain any byte.

use anyhow::{Context, Result, bail, ensure};
use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

/// The exit status and output of a script.
#[derive(Debug)]
pub struct Output {
    /// The exit status in a shell's notation: above 128 for a signal.
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    script: String,
}

impl Output {
    /// Returns the output if the script succeeded, and otherwise an error that shows all of it.
    pub fn ok(self) -> Result<Self> {
        ensure!(
            self.status == 0,
            "`{}` ended with status {}\nstdout: {}\nstderr: {}",
            self.script,
            self.status,
            String::from_utf8_lossy(&self.stdout).trim_end(),
            String::from_utf8_lossy(&self.stderr).trim_end()
        );
        Ok(self)
    }

    /// Standard output as text, without the last newline.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

/// The start of a script, to recognise it in an error.
pub(crate) fn excerpt(script: &str) -> String {
    let line = script.trim().lines().next().unwrap_or_default();
    let mut text: String = line.chars().take(100).collect();
    if text.len() < script.trim().len() {
        text.push_str(" ...");
    }
    text
}

/// Time for the reply to arrive, beyond the time limit of the script.
const TRANSFER: Duration = Duration::from_secs(120);

pub(crate) struct Control {
    stream: UnixStream,
    /// Bytes received and not used yet.
    buffer: Vec<u8>,
    requests: u64,
    /// Set after a request without a reply, because the next reply could belong to either request.
    broken: bool,
}

impl Control {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, buffer: Vec::new(), requests: 0, broken: false }
    }

    /// Waits until `init` reports that the machine is up. Returns `false` if that takes longer than
    /// `limit`.
    pub(crate) fn ready(&mut self, limit: Duration) -> Result<bool> {
        match self.line(Instant::now() + limit)? {
            None => Ok(false),
            Some(line) if line == "ready" => Ok(true),
            Some(line) => bail!("the machine said {line:?} instead of `ready`"),
        }
    }

    pub(crate) fn run(&mut self, script: &str, input: &[u8], limit: Duration) -> Result<Output> {
        ensure!(!self.broken, "an earlier script went without an answer");
        self.broken = true;
        self.requests += 1;
        let id = self.requests;
        let seconds = limit.as_secs().max(1);
        let header = format!("{id} {seconds} {} {}\n", script.len(), input.len());
        let deadline = Instant::now() + limit + TRANSFER;
        self.stream.set_write_timeout(Some(limit + TRANSFER))?;
        for part in [header.as_bytes(), script.as_bytes(), input] {
            self.stream.write_all(part)?;
        }

        let line = self.line(deadline)?.context("the machine does not answer")?;
        let fields: Vec<&str> = line.split(' ').collect();
        let [answered, status, stdout, stderr] = fields[..] else {
            bail!("the machine answered {line:?}");
        };
        ensure!(answered == id.to_string(), "the machine answered request {answered}, not {id}");
        let stdout = self.bytes(stdout.parse()?, deadline)?;
        let stderr = self.bytes(stderr.parse()?, deadline)?;
        self.broken = false;
        let script = excerpt(script);
        if status == "timeout" {
            bail!(
                "`{script}` was killed after {seconds} s\nstdout: {}\nstderr: {}",
                String::from_utf8_lossy(&stdout).trim_end(),
                String::from_utf8_lossy(&stderr).trim_end()
            );
        }
        Ok(Output { status: status.parse()?, stdout, stderr, script })
    }

    fn line(&mut self, deadline: Instant) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).take(end).collect();
                return Ok(Some(String::from_utf8(line)?));
            }
            ensure!(self.buffer.len() < 200, "the machine's answer is not a line");
            if !self.receive(deadline)? {
                return Ok(None);
            }
        }
    }

    fn bytes(&mut self, count: usize, deadline: Instant) -> Result<Vec<u8>> {
        while self.buffer.len() < count {
            ensure!(self.receive(deadline)?, "the machine's answer stopped half-way");
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Receives bytes into the buffer; `false` if the deadline passes first.
    fn receive(&mut self, deadline: Instant) -> Result<bool> {
        let mut chunk = [0; 65536];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut chunk) {
                Ok(0) => bail!("its control channel closed"),
                Ok(count) => {
                    self.buffer.extend(&chunk[..count]);
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::thread;

    /// Answers one request with `answer`, the part after the request's number.
    fn machine(answer: &'static [u8]) -> Control {
        let (ours, theirs) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            let mut reader = BufReader::new(theirs.try_clone().unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let id = line.split(' ').next().unwrap();
            (&theirs).write_all(id.as_bytes()).unwrap();
            (&theirs).write_all(answer).unwrap();
            // Stay connected until the host is done.
            let _ = reader.read_line(&mut line);
        });
        Control::new(ours)
    }

    #[test]
    fn output_may_hold_any_byte() {
        let mut control = machine(b" 3 4 2\na\n\0\xffe\n");
        let output = control.run("x", b"", Duration::from_secs(1)).unwrap();
        assert_eq!(output.status, 3);
        assert_eq!(output.stdout, b"a\n\0\xff");
        assert_eq!(output.stderr, b"e\n");
        assert!(output.ok().unwrap_err().to_string().contains("`x` ended with status 3"));
    }

    #[test]
    fn a_killed_script_is_an_error_with_its_output() {
        let mut control = machine(b" timeout 4 0\nhalf");
        let error = control.run("sleep 9", b"", Duration::from_secs(1)).unwrap_err().to_string();
        assert!(error.contains("`sleep 9` was killed after 1 s") && error.contains("half"));
    }

    #[test]
    fn nonsense_breaks_the_channel_for_good() {
        let mut control = machine(b" what\n");
        assert!(control.run("x", b"", Duration::from_secs(1)).is_err());
        let error = control.run("x", b"", Duration::from_secs(1)).unwrap_err();
        assert!(error.to_string().contains("went without an answer"));
    }
}
