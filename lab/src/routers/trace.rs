//! System calls of a router's agent, as strace sees them or makes them fail.

use super::Router;
use crate::demo::wires;
use anyhow::Result;
use std::time::Duration;

/// The output file of strace.
pub const TRACE: &str = "/tmp/trace";

/// An emulated machine takes long to attach strace, and to end it.
const LIMIT: Duration = Duration::from_secs(300);

impl Router<'_> {
    pub(super) fn traces(&self, script: &str) -> Result<String> {
        Ok(self.vm.sh_with(script, b"", LIMIT)?.ok()?.text())
    }

    /// Traces these calls of the agent with strace; `inject` are faults for some of them.
    pub fn trace(&self, calls: &str, inject: &str) -> Result<()> {
        let inject = if inject.is_empty() { String::new() } else { format!("-e inject={inject}") };
        self.trace_with(&format!("-qq -e trace={calls} {inject}"))
    }

    /// Traces the agent with these options.
    pub fn trace_with(&self, options: &str) -> Result<()> {
        self.traces(&format!(
            "p=$(pidof postwired); rm -f {TRACE}; setsid strace -p $p {options} -o {TRACE} \
             >/tmp/strace.log 2>&1 </dev/null & p=$(pidof postwired); for i in $(seq 2000); do \
             grep -q 'TracerPid:.[1-9]' /proc/$p/status && exit; usleep 50000; done; \
             cat /tmp/strace.log; exit 1"
        ))?;
        Ok(())
    }

    /// Starts the agent under strace with these options, without waiting for it.
    pub fn start_traced(&self, options: &str) -> Result<()> {
        self.start_traced_with(options, "")
    }

    fn start_traced_with(&self, strace: &str, agent: &str) -> Result<()> {
        let wires = wires(&self.vm);
        self.traces(&format!(
            "mkdir -p /var/run; rm -f /tmp/postwired.log {TRACE}; setsid strace -I 1 -o {TRACE} {strace} \
             postwired serve {wires} {agent} >/tmp/postwired.log 2>&1 </dev/null & \
             for i in $(seq 2000); do [ -s {TRACE} ] && exit; usleep 50000; done; exit 1"
        ))?;
        Ok(())
    }

    /// Starts the agent under strace, and returns when the agent is ready. The kernel stops it at these calls alone:
    /// [`Router::trace`] joins a running agent, which is then stopped twice at every call that it makes. When strace
    /// ends, the agent cannot go on.
    pub fn start_filtered(&self, calls: &str, options: &str) -> Result<()> {
        self.start_traced_with(&format!("-f --seccomp-bpf -qq -e trace={calls}"), options)?;
        self.is_ready(250)
    }

    /// Waits until the agent reports that it is ready, at most `seconds` seconds.
    pub fn is_ready(&self, seconds: u32) -> Result<()> {
        let looks = seconds * 20;
        self.traces(&format!(
            "for i in $(seq {looks}); do grep -q ': ready' /tmp/postwired.log && exit; usleep 50000; done; \
             cat /tmp/postwired.log; tail -n 5 {TRACE}; exit 1"
        ))?;
        Ok(())
    }

    /// The output of strace so far.
    pub fn trace_so_far(&self) -> Result<Vec<String>> {
        Ok(lines(&self.traces(&format!("cat {TRACE}"))?))
    }

    /// Ends the trace, and returns its lines.
    pub fn traced(&self) -> Result<Vec<String>> {
        let script = format!(
            "killall strace 2>/dev/null; while pidof strace >/dev/null; do usleep 20000; done; cat {TRACE}"
        );
        Ok(lines(&self.traces(&script)?))
    }
}

/// The lines of a trace, without the numbers of processes that strace adds if it follows new ones.
pub(super) fn lines(trace: &str) -> Vec<String> {
    let line = |line: &str| {
        let call = line.trim_start_matches(|byte: char| byte.is_ascii_digit());
        if call.len() < line.len() { call.trim_start().to_owned() } else { line.to_owned() }
    };
    trace.lines().map(line).collect()
}

/// Whether a line of strace is a change sent to the kernel, and not a dump (flags 0x300) or a
/// request for a link (type 0x12): for a socket whose opening strace did not see, it has no names
/// for them.
pub fn is_change(line: &str) -> bool {
    is_sent(line) && !line.contains("|0x300") && !line.contains("nlmsg_type=0x12 ")
}

/// Whether a line is a datagram sent to the kernel.
pub fn is_sent(line: &str) -> bool {
    line.starts_with("sendto(") && line.contains("nlmsg_type=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_no_numbers_of_processes() {
        let trace = "142   sendto(3, 5) = 5\nsendto(3, 5) = 5\n--- stopped by SIGSTOP ---\n";
        let expected = ["sendto(3, 5) = 5", "sendto(3, 5) = 5", "--- stopped by SIGSTOP ---"];
        assert_eq!(lines(trace), expected);
    }
}
