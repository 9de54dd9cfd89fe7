//! Tests the comparison itself: Debian's `wg` behind scripts, each of which breaks it in one way.

use super::{
    case::{self, Case},
    compare, keys, run,
};
use crate::Vm;
use anyhow::{Result, ensure};

/// Name, expected words of the failure, and script.
const BROKEN: &[(&str, &str, &str)] = &[
    ("status", "exit status", "/usr/bin/wg \"$@\" || exit 3"),
    ("more", "standard output", "/usr/bin/wg \"$@\"; s=$?; [ \"$1\" = show ] && echo; exit $s"),
    ("order", "what the kernel has", "/usr/bin/wg \"$@\"; s=$?; $peer remove peer $k1; exit $s"),
    ("silent", "standard error", "/usr/bin/wg \"$@\" 2>/dev/null"),
    ("chatty", "standard error", "echo done >&2; exec /usr/bin/wg \"$@\""),
    (
        "extra",
        "what the kernel has",
        "/usr/bin/wg \"$@\"; s=$?; /usr/bin/wg set wg0 fwmark 7; exit $s",
    ),
    ("secret", "shows a secret", "/usr/bin/wg \"$@\" || { cat /diff/p1 >&2; exit 1; }"),
    (
        "reader",
        "what the kernel has",
        "/usr/bin/wg \"$@\"; s=$?; [ \"$1\" = showconf ] && /usr/bin/wg set wg0 fwmark 7; exit $s",
    ),
];

/// The cases that are enough to find the faults.
const CASES: &[&str] = &["show: a preshared key", "set: everything at once", "set: nothing to set"];

/// Fails if a fault is not found, or if an intact `wg` fails.
pub(super) fn check(vm: &Vm) -> Result<String> {
    let cases: Vec<Case> =
        case::fixed().into_iter().filter(|case| CASES.contains(&&*case.name)).collect();
    ensure!(cases.len() == CASES.len(), "a case has another name now: {CASES:?}");
    let debian = run::side(vm, "debian", &cases)?;
    let found = |side: &str, script: &str| -> Result<String> {
        let text = format!(
            "#!/bin/sh\npeer='/usr/bin/wg set wg0 peer {k1}' k1={k1}\n{script}\n",
            k1 = keys::public(1)
        );
        vm.put(&format!("/diff/{side}/wg"), 0o755, text.as_bytes())?;
        let ours = run::side(vm, side, &cases)?;
        let verdicts = cases.iter().zip(&debian).zip(&ours);
        let secrets = keys::secrets();
        let failures = verdicts.filter_map(|((case, debian), ours)| {
            compare::case(case, debian, ours, &secrets).failure
        });
        Ok(failures.collect())
    };
    let failures = found("whole", "exec /usr/bin/wg \"$@\"")?;
    ensure!(failures.is_empty(), "a wg that is not broken differs:\n{failures}");
    for (side, what, script) in BROKEN {
        let failures = found(side, script)?;
        ensure!(
            failures.contains(what),
            "a wg with `{script}` passes, or not for {what}:\n{failures}"
        );
    }
    Ok(format!("{} of {} are found", BROKEN.len(), BROKEN.len()))
}
