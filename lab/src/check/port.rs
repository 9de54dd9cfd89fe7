//! A serial port of the bench as a client opens it, whose reads and writes have a time limit.

use anyhow::{Context, Result, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
};
use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    path::Path,
    time::Duration,
};

pub(super) struct Port(File);

impl Port {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let port = rustix::fs::open(path, flags, Mode::empty())
            .with_context(|| format!("opening {}", path.display()))?;
        Ok(Self(File::from(port)))
    }

    /// Writes all of `bytes`; an error if the line accepts none for `patience`.
    pub(super) fn write(&self, bytes: &[u8], patience: Duration) -> Result<()> {
        let mut left = bytes;
        while !left.is_empty() {
            let ready = poll(
                &mut [PollFd::new(&self.0, PollFlags::OUT)],
                Some(&Timespec::try_from(patience)?),
            )?;
            ensure!(ready > 0, "the line takes no more after {} bytes", bytes.len() - left.len());
            match (&self.0).write(left) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                count => left = &left[count?..],
            }
        }
        Ok(())
    }

    /// Reads exactly `count` bytes; an error if the line is silent for `patience` before that.
    pub(super) fn read(&self, count: usize, patience: Duration) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            let before = bytes.len();
            self.read_some(&mut bytes, count - before, patience)?;
            ensure!(bytes.len() > before, "silence after {before} of {count} bytes");
        }
        Ok(bytes)
    }

    /// Reads all bytes until the line is silent for `patience`.
    pub(super) fn read_until_silence(&self, patience: Duration) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let before = bytes.len();
            self.read_some(&mut bytes, 65536, patience)?;
            if bytes.len() == before {
                return Ok(bytes);
            }
        }
    }

    fn read_some(&self, bytes: &mut Vec<u8>, limit: usize, patience: Duration) -> Result<()> {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        if poll(&mut fds, Some(&Timespec::try_from(patience)?))? > 0 {
            let mut chunk = vec![0; limit.min(65536)];
            let count = (&self.0).read(&mut chunk)?;
            bytes.extend(&chunk[..count]);
        }
        Ok(())
    }
}
