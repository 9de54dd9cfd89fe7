//! System calls of a router's agent, as strace sees them or makes them fail.

use super::Router;
use anyhow::Result;
use std::time::Duration;

/// The output file of strace.
pub const TRACE: &str = "/tmp/trace";

/// An emulated machine takes long to attach strace, and to end it.
const LIMIT: Duration = Duration::from_secs(300);

impl Router<'_> {
    fn traces(&self, script: &str) -> Result<String> {
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
        let device = self.vm.serial_device();
        self.traces(&format!(
            "mkdir -p /var/run; rm -f /tmp/postwired.log {TRACE}; setsid strace -I 1 -o {TRACE} {options} \
             postwired serve --serial {device} --udp 0.0.0.0 >/tmp/postwired.log 2>&1 </dev/null & \
             for i in $(seq 2000); do [ -s {TRACE} ] && exit; usleep 50000; done; exit 1"
        ))?;
        Ok(())
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
        Ok(self.traces(&format!("cat {TRACE}"))?.lines().map(str::to_owned).collect())
    }

    /// Ends the trace, and returns its lines.
    pub fn traced(&self) -> Result<Vec<String>> {
        let script = format!(
            "killall strace 2>/dev/null; while pidof strace >/dev/null; do usleep 20000; done; cat {TRACE}"
        );
        Ok(self.traces(&script)?.lines().map(str::to_owned).collect())
    }
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
