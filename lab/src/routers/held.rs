//! An agent that stands still after each change of the kernel until a script has run, so that a test sees every state
//! between two changes, on a machine of any speed.
//!
//! strace stops the agent (SIGSTOP) after every message that it sends, and writes its trace to a shell. After a change,
//! the shell runs the script; then it lets the agent go on.

use super::{Router, TRACE, is_change, trace::lines};
use crate::demo::wires;
use anyhow::{Result, ensure};

/// The script that runs after each change.
const SCRIPT: &str = "/tmp/held";
/// The outputs of the script.
const SEEN: &str = "/tmp/seen";
/// The line before each of them.
const BETWEEN: &str = "== held";

/// The shell that reads the trace. What is a change is also in [`is_change`].
const HOLDER: &str = "#!/bin/sh\n\
    agent=; change=\n\
    while IFS= read -r line; do\n\
    echo \"$line\"\n\
    case $line in\n\
    'sendto('*'|0x300'* | 'sendto('*'nlmsg_type=0x12 '*) ;;\n\
    'sendto('*'nlmsg_type='*) change=1 ;;\n\
    *'stopped by SIGSTOP'*)\n\
    : \"${agent:=$(pidof postwired)}\"\n\
    [ -z \"$change\" ] || { echo '== held'; . /tmp/held; } >>/tmp/seen 2>&1\n\
    change=\n\
    kill -CONT $agent ;;\n\
    esac\n\
    done >/tmp/trace\n\
    kill -CONT $agent 2>/dev/null\n";

const STRACE: &str =
    "strace -I 1 -o '|sh /tmp/holder' -e trace=sendto -e inject=sendto:signal=SIGSTOP";

impl Router<'_> {
    fn holds(&self, script: &str, start: &str) -> Result<()> {
        self.vm.put(SCRIPT, 0o644, script.as_bytes())?;
        self.vm.put("/tmp/holder", 0o755, HOLDER.as_bytes())?;
        self.traces(&format!("rm -f {TRACE} {SEEN}; : >{SEEN}; {start}"))?;
        Ok(())
    }

    /// From now on the agent stands still after each change of the kernel until `script` has run.
    pub fn hold(&self, script: &str) -> Result<()> {
        self.holds(
            script,
            &format!(
                "p=$(pidof postwired); setsid {STRACE} -p $p >/tmp/strace.log 2>&1 </dev/null & \
                 p=$(pidof postwired); for i in $(seq 2000); do \
                 grep -q 'TracerPid:.[1-9]' /proc/$p/status && exit; usleep 50000; done; cat /tmp/strace.log; exit 1"
            ),
        )
    }

    /// Starts an agent that stands still after each change of the kernel until `script` has run, and waits until the
    /// agent is ready.
    pub fn start_held(&self, script: &str, options: &str) -> Result<()> {
        let wires = wires(&self.vm);
        self.holds(
            script,
            &format!(
                "mkdir -p /var/run; rm -f /tmp/postwired.log; setsid {STRACE} postwired serve {wires} {options} \
                 >/tmp/postwired.log 2>&1 </dev/null &"
            ),
        )?;
        self.is_ready(250)
    }

    /// Lets the agent run freely again, and returns the output of each run of the script. If strace started the agent,
    /// the agent ends too.
    pub fn released(&self) -> Result<Vec<String>> {
        let shown = self.traces(&format!(
            "killall strace 2>/dev/null; while pidof strace >/dev/null; do usleep 20000; done; cat {SEEN}; \
             echo {BETWEEN}; cat {TRACE}"
        ))?;
        let mut parts: Vec<&str> = shown.split(&format!("{BETWEEN}\n")).collect();
        let changes = lines(parts.pop().unwrap_or_default());
        let changes = changes.iter().filter(|line| is_change(line)).count();
        let seen: Vec<String> = parts.into_iter().skip(1).map(str::to_owned).collect();
        ensure!(seen.len() == changes, "the script ran {} times for {changes} changes", seen.len());
        Ok(seen)
    }
}
