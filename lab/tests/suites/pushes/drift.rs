//! Another program changes interfaces that are stored, as netifd does: the agent reports each change, puts the stored
//! configuration back if it was asked to, and does not fight without end. And the program of `--applied`.

use anyhow::{Context, Result, ensure};
use lab::{demo, routers::Keeper};
use std::collections::BTreeSet;

/// An interface with everything that another program can take: two addresses, routes, rules and a peer.
const WG0: &str = "[Interface]\nPrivateKey = GBCfUjSBUFtkuOsQgEMkHO+Ke+ulxyxaJKJdX9TmW1c=\n\
    Address = 10.0.0.1/24, fd00:5::1/64\nListenPort = 51820\n[Peer]\n\
    PublicKey = jqGEnJGQqHHCLpCjFiBWgpLG2gmNy7tPURVvqUwXXzA=\nEndpoint = 192.0.2.77:5\n\
    AllowedIPs = 10.99.0.0/16, 0.0.0.0/0\n";

/// A change by another program.
struct Move {
    what: &'static str,
    /// The commands, which leave something to report.
    script: &'static str,
    /// Words of the report.
    report: &'static str,
}

const MOVES: &[Move] = &[
    Move {
        what: "addresses flushed, as for `proto none`",
        script: "ip address flush dev wg0",
        report: "2 addresses are gone",
    },
    Move {
        what: "a route removed",
        script: "ip route del 10.99.0.0/16 dev wg0",
        report: "route 10.99.0.0/16 is gone",
    },
    Move {
        what: "rules removed",
        script: "for p in $(ip rule | awk -F: '$1 > 0 && $1 < 32766 { print $1 }'); do ip rule del priority $p; done",
        report: "3 rules are gone",
    },
    Move { what: "ifdown", script: "ip link set wg0 down", report: "the link is down" },
    Move { what: "the MTU changed", script: "ip link set wg0 mtu 1300", report: "the MTU is 1300" },
    Move { what: "the link deleted", script: "ip link delete wg0", report: "the link was deleted" },
    Move {
        what: "the link deleted and made again, as `proto wireguard` of 24.10 does",
        script: MADE_AGAIN,
        report: "another program made the link",
    },
    Move {
        what: "the peers taken, as `wg syncconf` of 25.12 does, which no kernel announces",
        script: "wg set wg0 peer jqGEnJGQqHHCLpCjFiBWgpLG2gmNy7tPURVvqUwXXzA= remove",
        report: "peer jqGEnJGQqHHCLpCjFiBWgpLG2gmNy7tPURVvqUwXXzA= is gone",
    },
];

/// A program of `--applied` that records its arguments and what it got from the agent, and then does as /tmp/then says.
const HOOK: &str = "cat >/tmp/hook <<'END'\n#!/bin/sh\n\
    echo \"$* ($#, input $(cat | wc -c), PATH ${PATH:+set})\" >>/tmp/told\n[ ! -e /tmp/then ] || . /tmp/then\nEND\n\
    chmod +x /tmp/hook; rm -f /tmp/told /tmp/then";

/// Ends the agent in order: the guard does not count its start.
fn end(keeper: &Keeper<'_>) -> Result<()> {
    keeper.sh("killall postwired; while pidof postwired >/dev/null; do usleep 20000; done")?;
    Ok(())
}

/// Starts the agent again with other options.
pub(super) fn again(keeper: &Keeper<'_>, options: &str) -> Result<()> {
    end(keeper)?;
    demo::start_agent(&keeper.router.vm, options)
}

/// The calls that show how long the agent waits between a notification and its report.
const WAITS: &str = "epoll_wait,epoll_pwait,epoll_pwait2,sendto,recvfrom,write";

/// The most milliseconds that it may wait.
const SOON: u64 = 1_000;

/// The milliseconds that the agent waited from the first notification of the kernel after `before` to its report. A
/// slow machine makes it work for longer, and not wait.
fn waited(lines: &[String], before: usize) -> Result<u64> {
    let socket = |line: &str, call: &str| -> Option<String> {
        let (number, _) = line.strip_prefix(call)?.strip_prefix('(')?.split_once(',')?;
        Some(number.to_owned())
    };
    // It asks nothing on the socket of the notifications.
    let asked: BTreeSet<String> = lines.iter().filter_map(|line| socket(line, "sendto")).collect();
    let is_notification = |line: &String| {
        let from = socket(line, "recvfrom").filter(|_| line.contains("nlmsg_type="));
        from.is_some_and(|from| !asked.contains(&from))
    };
    let lines = lines.get(before..).context("the trace became shorter")?;
    let noticed = lines.iter().position(is_notification).context("no notification")?;
    let lines = lines.get(noticed..).context("no notification")?;
    let reported = |line: &String| line.starts_with("write(") && line.contains("differs from");
    let reported = lines.iter().position(reported).context("no report")?;
    let mut waited = 0;
    for line in
        lines.get(..reported).context("no report")?.iter().filter(|line| line.starts_with("epoll_"))
    {
        let limit = limit(line).with_context(|| format!("it waits without a limit: {line}"))?;
        ensure!(limit <= SOON, "it waits too long: {line}");
        if line.rsplit(" = ").next().is_some_and(|result| result.starts_with('0')) {
            waited += limit;
        }
    }
    Ok(waited)
}

/// The limit of a call of the family of epoll_wait(2), in milliseconds.
fn limit(line: &str) -> Option<u64> {
    if let Some((_, time)) = line.split_once("tv_sec=") {
        let (seconds, rest) = time.split_once(", tv_nsec=")?;
        let nanoseconds: u64 = rest.split_once('}')?.0.parse().ok()?;
        return Some(seconds.parse::<u64>().ok()? * 1_000 + nanoseconds.div_ceil(1_000_000));
    }
    // After the descriptor, the events and their number.
    let (_, rest) = line.split_once(']')?;
    rest.split(", ").nth(2)?.split(')').next()?.parse().ok()
}

/// The link deleted and made again, with the file of another program's key.
const MADE_AGAIN: &str = "ip link del dev wg0 && ip link add dev wg0 type wireguard && \
    wg genkey >/tmp/other && wg set wg0 private-key /tmp/other && ip link set wg0 up";

/// Runs a script, then waits until `condition` holds. The seconds between.
fn until(keeper: &Keeper<'_>, script: &str, condition: &str) -> Result<String> {
    let seconds = keeper.sh(&format!(
        "{{ {script}; }} >/dev/null || exit 9; \
         read t0 rest </proc/uptime; for i in $(seq 6000); do {condition} && break; usleep 20000; done; \
         {condition} || {{ cat /tmp/postwired.log /tmp/told; exit 1; }}; read t1 rest </proc/uptime; \
         echo $t0 $t1 | awk '{{ printf \"%.2f s\", $2 - $1 }}'"
    ))?;
    Ok(seconds)
}

pub(super) fn reported(keeper: &mut Keeper<'_>) -> Result<String> {
    keeper.push("wg0", WG0, &[])?.ok()?;
    let state = keeper.router.state()?;
    let path = keeper.router.file(WG0)?;
    let path = path.to_str().context("a path that is no text")?;
    let mut shown = String::new();
    for Move { what, script, report } in MOVES {
        // A new agent has no brake for its log yet, and need not rest after a comparison. Nor does it know any link: those
        // are there already.
        end(keeper)?;
        keeper.router.start_filtered(WAITS, "")?;
        keeper.router.is_in(&state).with_context(|| format!("before {what}"))?;
        let before = keeper.router.trace_so_far()?.len();
        let condition =
            format!("grep -q 'wg0: differs from what is stored: .*{report}' /tmp/postwired.log");
        let seconds = match report.starts_with("peer ") {
            false => {
                let seconds =
                    until(keeper, script, &condition).with_context(|| what.to_string())?;
                let lines = keeper.router.trace_so_far()?;
                let waited =
                    waited(&lines, before).with_context(|| format!("{what}: {lines:#?}"))?;
                ensure!(
                    waited <= SOON,
                    "{what}: {waited} ms from notification to report: {lines:#?}"
                );
                format!("{seconds}, of which it waited {waited} ms")
            }
            // The kernel announces nothing. The agent looks twice a minute, and when a client has seen a difference.
            true => {
                keeper.sh(script)?;
                keeper.sh("postwired diff wg0")?;
                until(keeper, "true", &condition).with_context(|| what.to_string())?
            }
        };
        let said = keeper.ask(&["status"])?;
        ensure!(said.code == 4, "{what}: exit code {}: {}", said.code, said.json);
        let words = said.text("/result/drift/0/what").to_owned();
        ensure!(words.contains(report), "{what}: {}", said.json);
        ensure!(said.is("/result/drift/0/next_repair", serde_json::Value::Null), "{}", said.json);
        shown += &format!("\n{what}: after {seconds}: {words}");
        if *script == MADE_AGAIN {
            // What a push would need is in the diff.
            let diff = keeper.ask(&["diff", path])?;
            ensure!(diff.code == 4 && diff.is("/result/needs_adopt", true), "{}", diff.json);
            let push = keeper.push("wg0", WG0, &[])?;
            ensure!(push.code == 1, "a push took the link without --adopt: {}", push.json);
            keeper.push("wg0", WG0, &["--adopt"])?.ok()?;
        } else {
            keeper.ask(&["repair", "wg0"])?.ok()?;
        }
        keeper.router.is_in(&state).with_context(|| format!("repaired after {what}"))?;
        let said = keeper.ask(&["status"])?.ok()?;
        ensure!(said.number("/result/drifting") == Some(0), "{what}: {}", said.json);
    }
    Ok(shown)
}

/// As many moves as are repaired at once.
pub(super) fn put_back(keeper: &mut Keeper<'_>) -> Result<String> {
    const OPTIONS: &str = "--on-drift repair --applied /tmp/hook";
    keeper.sh(HOOK)?;
    keeper.push("wg0", WG0, &[])?.ok()?;
    let state = keeper.router.state()?;
    again(keeper, OPTIONS)?;
    let mut shown = String::new();
    for script in ["ip address flush dev wg0", "ip link delete wg0", MADE_AGAIN] {
        let script = format!("rm -f /tmp/told; {script}");
        let seconds = until(keeper, &script, "grep -q 'wg0 repair' /tmp/told 2>/dev/null")
            .with_context(|| script.clone())?;
        keeper.router.is_in(&state).with_context(|| format!("put back after {script}"))?;
        let said = keeper.ask(&["status"])?.ok()?;
        ensure!(said.number("/result/drifting") == Some(0), "{script}: {}", said.json);
        shown += &format!("\nafter {seconds}: {script}");
    }
    Ok(shown)
}

pub(super) fn no_fight(keeper: &mut Keeper<'_>) -> Result<String> {
    keeper.sh(HOOK)?;
    again(keeper, "--on-drift repair --applied /tmp/hook")?;
    keeper.push("wg0", WG0, &[])?.ok()?;
    let state = keeper.router.state()?;
    // It ends with the agent, so that a failure here does not disturb the next test.
    let script = "agent=$(pidof postwired); (trap 'exit 0' TERM; while kill -0 $agent; do \
                  ip address del 10.0.0.1/24 dev wg0; usleep 50000; done) \
                  >/dev/null 2>&1 </dev/null & echo $! >/tmp/fighter";
    let braked = "grep -q 'wg0: 3 repairs, and it differs again and again' /tmp/postwired.log";
    let seconds = until(keeper, script, braked)?;
    // The pause is a minute: the difference stays. The agent sees it a moment after the kernel has it.
    let seen = "[ $(grep -c 'wg0: differs from what is stored' /tmp/postwired.log) -ge 4 ]";
    until(keeper, "true", seen)?;
    let shown = "grep -c 'wg0 repair' /tmp/told";
    ensure!(keeper.sh(shown)?.trim() == "3", "not three repairs: {}", keeper.sh("cat /tmp/told")?);
    let said = keeper.ask(&["status"])?;
    ensure!(said.code == 4, "exit code {}: {}", said.code, said.json);
    ensure!(said.number("/result/drift/0/repairs") == Some(3), "{}", said.json);
    let pause = said.number("/result/drift/0/next_repair").context("no next repair")?;
    ensure!((1..=60).contains(&pause), "{}", said.json);
    // An owner need not wait for it.
    keeper.sh("kill $(cat /tmp/fighter); while kill -0 $(cat /tmp/fighter) 2>/dev/null; do usleep 20000; done")?;
    keeper.ask(&["repair", "wg0"])?.ok()?;
    keeper.router.is_in(&state)?;
    keeper.ask(&["status"])?.ok()?;
    Ok(format!("three repairs in {seconds}, the next one in {pause} s"))
}

pub(super) fn applied(keeper: &mut Keeper<'_>) -> Result<String> {
    keeper.sh(HOOK)?;
    again(keeper, "--applied /tmp/hook")?;
    let mut expected = Vec::new();
    let mut is_told = |keeper: &Keeper<'_>, what: &str| -> Result<()> {
        expected.push(format!("wg0 {what} (2, input 0, PATH set)"));
        let count = expected.len();
        until(keeper, "true", &format!("[ \"$(cat /tmp/told 2>/dev/null | wc -l)\" -ge {count} ]"))
            .with_context(|| format!("after {what}"))?;
        let told = keeper.sh("cat /tmp/told")?;
        ensure!(told.lines().eq(&expected), "expected {expected:#?}\ntold {told}");
        Ok(())
    };
    let other = WG0.replace("51820", "51821");
    keeper.push("wg0", WG0, &[])?.ok()?;
    is_told(keeper, "push")?;
    keeper.push("wg0", &other, &["--confirm-within", "3600s", "--confirm-by-hand"])?.ok()?;
    is_told(keeper, "push")?;
    keeper.ask(&["revert"])?.ok()?;
    is_told(keeper, "revert")?;
    keeper.push("wg0", &other, &[])?.ok()?;
    is_told(keeper, "push")?;
    keeper.ask(&["rollback", "wg0"])?.ok()?;
    is_told(keeper, "rollback")?;
    keeper.ask(&["repair", "wg0"])?.ok()?;
    is_told(keeper, "repair")?;
    again(keeper, "--applied /tmp/hook")?;
    is_told(keeper, "start")?;
    // A program that does not end keeps no owner waiting.
    keeper.sh("echo 'echo $$ >/tmp/hook.pid; exec sleep 1000' >/tmp/then")?;
    keeper.ask(&["repair", "wg0"])?.ok()?;
    is_told(keeper, "repair")?;
    keeper.ask(&["remove", "wg0"])?.ok()?;
    keeper.ask(&["status"])?.ok()?;
    until(keeper, "true", "[ -s /tmp/hook.pid ]")?;
    keeper.sh("echo 'exit 3' >/tmp/then; kill $(cat /tmp/hook.pid)")?;
    is_told(keeper, "remove")?;
    for line in ["--applied wg0 repair: exit code 143", "--applied wg0 remove: exit code 3"] {
        until(keeper, "true", &format!("grep -q -e '{line}' /tmp/postwired.log"))?;
    }
    // The processes that it left are reaped.
    ensure!(keeper.sh("ps | grep -c '[Z]ombie\\|\\[hook\\]' || true")?.trim() == "0", "zombies");
    Ok(format!("{} calls", expected.len()))
}
