//! Sends frames at a rate, and counts the replies.

use super::shots::Shots;
use crate::{AGENT_PORT, Datagram, Frames};
use anyhow::Result;
use std::{
    fmt, thread,
    time::{Duration, Instant},
};

/// Interval between bursts of frames, long enough for a sleep.
const TICK: Duration = Duration::from_millis(1);
/// Time to wait for replies after the last frame.
const ECHO: Duration = Duration::from_millis(500);

pub(super) struct Barrage<'a> {
    frames: &'a Frames,
    shots: &'a Shots,
    /// Frames per second.
    rate: u32,
}

/// The frames that were sent, and the replies.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) offered: u64,
    pub(super) took: Duration,
    pub(super) answers: Answers,
}

impl Sent {
    /// Frames per second.
    pub(super) fn rate(&self) -> u64 {
        (self.offered as f64 / self.took.as_secs_f64()).round() as u64
    }
}

/// The replies of the router's agent.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) count: u64,
    /// Length of the longest reply.
    pub(super) longest: usize,
    /// The first byte of each kind of packet among the replies.
    pub(super) kinds: Vec<u8>,
}

impl Answers {
    fn note(&mut self, payload: &[u8]) {
        self.count += 1;
        self.longest = self.longest.max(payload.len());
        let kind = payload.first().copied().unwrap_or_default();
        if !self.kinds.contains(&kind) {
            self.kinds.push(kind);
        }
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            0 => f.write_str("no answer"),
            count => write!(
                f,
                "{count} answers of at most {} bytes, of the kinds {:?}",
                self.longest, self.kinds
            ),
        }
    }
}

impl<'a> Barrage<'a> {
    /// A barrage at `rate`, unless the shots have a rate of their own.
    pub(super) fn new(frames: &'a Frames, shots: &'a Shots, rate: u32) -> Self {
        Self { frames, shots, rate: shots.rate.unwrap_or(rate) }
    }

    /// Frames per second.
    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    /// Sends frames as long as `on` returns `true`; its argument is the time so far.
    pub(super) fn fire(&self, on: impl Fn(Duration) -> bool) -> Result<Sent> {
        let started = Instant::now();
        let mut sent = Sent::default();
        let mut shots = self.shots.frames.iter().cycle();
        while on(started.elapsed()) {
            let due = (started.elapsed().as_secs_f64() * f64::from(self.rate)) as u64;
            while sent.offered < due {
                if let Some(frame) = shots.next() {
                    self.frames.send(frame);
                }
                sent.offered += 1;
            }
            self.listen(&mut sent.answers)?;
            thread::sleep(TICK);
        }
        sent.took = started.elapsed();
        let end = Instant::now();
        while end.elapsed() < ECHO {
            self.listen(&mut sent.answers)?;
            thread::sleep(TICK);
        }
        Ok(sent)
    }

    fn listen(&self, answers: &mut Answers) -> Result<()> {
        let mut buffer = [0; 2_000];
        while let Some(frame) = self.frames.receive(&mut buffer)? {
            // The machine also sends traffic of its own, such as neighbour discovery.
            if let Some(datagram) = Datagram::parse(frame)
                && datagram.from.port() == AGENT_PORT
            {
                answers.note(datagram.payload);
            }
        }
        Ok(())
    }
}
