//! The step of a change that the agent is at, derived from its system calls. So a cut can be aimed
//! at a step instead of a time; nearly all random times fall before or after the critical moments.
//!
//! strace stops the agent (SIGSTOP) right after one call; then the power is cut. The step is
//! derived from the calls that strace has seen, and not from the call that was aimed at.

use crate::routers::{KEEP, STATE};
use std::collections::BTreeMap;

/// The calls that separate the steps, or that change a file or the kernel.
pub(super) const CALLS: &str = "openat,pread64,pwrite64,write,ftruncate,fsync,fdatasync,renameat,renameat2,\
                                unlinkat,sendto";

/// The options of strace, except for its injection: `-yy` names files and kinds of sockets.
pub(super) fn options(inject: &str) -> String {
    format!("-yy -s 48 -e trace={CALLS} {inject}")
}

/// The option that stops the agent right after the `nth` call of this name.
pub(super) fn stop_after(call: &str, nth: usize) -> String {
    format!("-e inject={call}:signal=SIGSTOP:when={nth}")
}

/// The text of strace when the agent stands still.
pub(super) const STOPPED: &str = "stopped by SIGSTOP";

/// The name of the call in a line of strace; `None` for other lines.
pub(super) fn call(line: &str) -> Option<&str> {
    let name = line.split_once('(')?.0;
    CALLS.split(',').any(|call| call == name).then_some(name)
}

/// The step of the last of these calls. `confirms` and `starts` describe the request to the agent.
pub(super) fn step(lines: &[String], job: Job) -> &'static str {
    let (keep_next, state_next) = (format!("{KEEP}/next>"), format!("{STATE}/next>"));
    let keep_folder = format!("<{KEEP}>");
    let state_folder = format!("<{STATE}>");
    let (mut now, mut prepared, mut snapped, mut promoted) =
        ("before it begins", false, false, false);
    let asks_for_links = |line: &&String| line.contains("nlmsg_type=0x12 ");
    let route = lines.iter().find(asks_for_links).and_then(|line| socket(line));
    for line in lines {
        let Some(call) = call(line) else { continue };
        let in_keep = line.contains(&keep_folder) || line.contains(&format!("<{KEEP}/"));
        let in_state = line.contains(&state_folder) || line.contains(&format!("<{STATE}/"));
        now = match call {
            "sendto" => match change(line, route) {
                // A datagram to the client, or a query to the kernel.
                None => continue,
                Some(_) if job == Job::Start => "start: the kernel's state",
                Some(_) if job == Job::Back || (snapped && promoted) => "undo",
                Some(kind) => kind,
            },
            "renameat" | "renameat2" if in_keep && line.contains("\"next\"") => {
                promoted = true;
                if job == Job::Confirm { "confirm: rename" } else { "promote: rename" }
            }
            "fsync" | "fdatasync" if line.contains(&keep_next) => "prepare: sync",
            "fsync" | "fdatasync" if in_keep && promoted => {
                if job == Job::Confirm {
                    "confirm: sync"
                } else {
                    "promote: sync"
                }
            }
            "openat" if in_keep && line.contains("\"next\"") && line.contains("O_CREAT") => {
                prepared = true;
                "prepare: write"
            }
            "pwrite64" | "write" if line.contains(&keep_next) => "prepare: write",
            "openat" if in_state && line.contains("\"next\"") && line.contains("O_CREAT") => {
                snapped = true;
                if job == Job::Start { "start: snapshot" } else { "snapshot" }
            }
            "openat" if in_state && line.contains("\"next\"") && job != Job::Start => "undo",
            "pwrite64" | "write" if line.contains(&state_next) && job == Job::Start => {
                "start: snapshot"
            }
            "pwrite64" | "write" if line.contains(&state_next) => "snapshot",
            "unlinkat" if in_keep || in_state => {
                if promoted {
                    "old files go"
                } else {
                    now
                }
            }
            "pwrite64" | "ftruncate" | "pread64" if in_state && !prepared && !snapped => {
                match (job, call) {
                    (Job::Push | Job::Back, "pread64") => "check",
                    (Job::Push | Job::Back, _) => "stage",
                    _ => "compare",
                }
            }
            _ => now,
        };
    }
    now
}

/// The request to the agent, as far as the names of the steps depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Job {
    Push,
    Confirm,
    /// A revert, or a change that is not confirmed in time.
    Back,
    Start,
    /// A rollback or a removal, which have no stage.
    Other,
}

/// The kind of a change sent to the kernel; `None` for a query, and for calls that do not go to the
/// kernel.
///
/// For a socket whose opening strace did not see, it knows neither the protocol nor the names of
/// messages: `route` is the socket that requested links.
fn change(line: &str, route: Option<&str>) -> Option<&'static str> {
    if socket(line).is_none() || line.contains("NLM_F_DUMP") || line.contains("|0x300") {
        return None;
    }
    if !line.contains("NETLINK:[ROUTE") && (route.is_none() || socket(line) != route) {
        let asks_for_family = line.contains("nlmsg_type=0x10 ") || line.contains("nlctrl");
        return (!asks_for_family).then_some("kernel: WireGuard");
    }
    let has =
        |names: &[&str]| names.iter().any(|name| line.contains(&format!("nlmsg_type={name}")));
    if has(&["RTM_NEWLINK", "RTM_DELLINK", "RTM_SETLINK", "0x10 ", "0x11 ", "0x13 "]) {
        Some("kernel: link")
    } else if has(&["RTM_NEWADDR", "RTM_DELADDR", "0x14 ", "0x15 "]) {
        Some("kernel: addresses")
    } else if has(&["RTM_NEWROUTE", "RTM_DELROUTE", "0x18 ", "0x19 "]) {
        Some("kernel: routes")
    } else if has(&["RTM_NEWRULE", "RTM_DELRULE", "0x20 ", "0x21 "]) {
        Some("kernel: rules")
    } else {
        None
    }
}

/// The netlink socket in a line of strace, by its number.
fn socket(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("<NETLINK:[")?;
    rest.split_once(']').map(|(name, _)| name)
}

/// The calls of an uninterrupted job by step: the name of the call, and its count among calls of
/// that name.
pub(super) fn targets(lines: &[String], job: Job) -> BTreeMap<&'static str, Vec<(String, usize)>> {
    let mut counts = BTreeMap::<String, usize>::new();
    let mut targets = BTreeMap::<&'static str, Vec<(String, usize)>>::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(call) = call(line) else { continue };
        let nth = counts.entry(call.to_owned()).or_default();
        *nth += 1;
        let step = step(lines.get(..=at).unwrap_or_default(), job);
        targets.entry(step).or_default().push((call.to_owned(), *nth));
    }
    targets
}
