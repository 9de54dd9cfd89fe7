//! Counters of a router's kernel: datagrams, and the agent's CPU time.

use crate::Vm;
use anyhow::{Context, Result};

/// Counters since the machine or the agent started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gauge {
    /// Datagrams that a program has read.
    pub(super) received: u64,
    /// Datagrams that the kernel dropped before a program read them: by its filter, a full queue,
    /// or a wrong checksum.
    pub(super) dropped: u64,
    /// The agent's CPU time in nanoseconds. The times in `/proc/PID/stat` are in hundredths of a
    /// second, and sampled.
    cpu: u64,
}

impl Gauge {
    pub(super) fn read(vm: &Vm) -> Result<Self> {
        let script =
            "grep ^Udp: /proc/net/snmp | tail -n 1; cat /proc/$(pidof postwired)/schedstat";
        let shown = vm.sh(script)?.ok()?.text();
        let (udp, cpu) = shown.split_once('\n').with_context(|| format!("cannot read {shown}"))?;
        let number = |line: &str, word: usize| -> Result<u64> {
            let word = line.split_whitespace().nth(word);
            Ok(word.with_context(|| format!("cannot read {line}"))?.parse()?)
        };
        Ok(Self { received: number(udp, 1)?, dropped: number(udp, 3)?, cpu: number(cpu, 0)? })
    }

    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self {
            received: self.received - earlier.received,
            dropped: self.dropped - earlier.dropped,
            cpu: self.cpu - earlier.cpu,
        }
    }

    /// Number of datagrams that reached the kernel.
    pub(super) fn arrived(&self) -> u64 {
        self.received + self.dropped
    }

    /// The agent's time per datagram that arrived, in microseconds.
    pub(super) fn micros_each(&self) -> f64 {
        self.cpu as f64 / 1_000.0 / self.arrived().max(1) as f64
    }
}
