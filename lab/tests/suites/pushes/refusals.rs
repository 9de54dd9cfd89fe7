//! Refusals of a router or the host tool, and their messages.

use super::Bench;
use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use lab::routers::{Config, Reach, Router};

/// Pushes an invalid configuration, and checks that nothing was changed.
fn refused(router: &Router<'_>, text: &str, code: &str, mentions: &str) -> Result<String> {
    left(router, text, code, mentions, "unchanged")
}

/// Pushes an invalid configuration, checks the reported state, and checks that the kernel is as
/// before.
fn left(
    router: &Router<'_>,
    text: &str,
    code: &str,
    mentions: &str,
    state: &str,
) -> Result<String> {
    let before = router.everything()?;
    let said = router.push(&Reach::Udp, text)?;
    ensure!(said.code == 1, "postwire ended with {}: {}", said.code, said.json);
    ensure!(said.text("/error/code") == code, "{}", said.json);
    let message = said.text("/error/message");
    ensure!(message.contains(mentions), "the message does not say {mentions}: {message}");
    ensure!(said.text("/error/state") == state, "{}", said.json);
    router.is_still(&before)?;
    Ok(message.to_owned())
}

pub(super) fn taken_port(bench: &Bench<'_>) -> Result<String> {
    let mut config = Config::random(&mut Rng::with_seed(bench.seed), 3, 2);
    let taken = "ip link add wg9 type wireguard; wg set wg9 listen-port 40404; ip link set wg9 up";
    bench.alice.vm.sh(taken)?.ok()?;
    config.listen_port = 40_404;
    // With an interface that is created for the push, and with an existing one.
    left(&bench.alice, &config.text(), "kernel", "ListenPort", "undone")?;
    config.listen_port = 51_820;
    bench.alice.push_and_see(&Reach::Udp, &config)?;
    config.listen_port = 40_404;
    refused(&bench.alice, &config.text(), "kernel", "ListenPort")
}

pub(super) fn other_kind(bench: &Bench<'_>) -> Result<String> {
    bench.alice.vm.sh("ip link add wg0 type dummy")?.ok()?;
    let config = Config::random(&mut Rng::with_seed(bench.seed), 1, 1);
    let message = refused(&bench.alice, &config.text(), "wrong_kind", "not a WireGuard interface");
    bench.alice.vm.sh("ip link delete wg0")?.ok()?;
    message
}

pub(super) fn not_allowed(bench: &Bench<'_>) -> Result<String> {
    bench.alice.fresh("--interface 'vpn*'")?;
    let config = Config::random(&mut Rng::with_seed(bench.seed), 1, 1);
    refused(&bench.alice, &config.text(), "not_allowed", "not allowed to change")
}

pub(super) fn no_rights(bench: &Bench<'_>) -> Result<String> {
    bench.alice.stop()?;
    bench
        .alice
        .vm
        .sh(
            "rm -f /tmp/postwired.log; cp -r /etc/postwired /tmp/keep; chown -R nobody /tmp/keep; \
         start-stop-daemon -S -c nobody -x /bin/postwired -- serve --udp 0.0.0.0 --state /tmp/n \
         --keep /tmp/keep >/tmp/postwired.log 2>&1 </dev/null & \
         for i in $(seq 600); do grep -q ': ready' /tmp/postwired.log && exit; sleep 0.1; \
         done; cat /tmp/postwired.log; exit 1",
        )?
        .ok()?;
    let config = Config::random(&mut Rng::with_seed(bench.seed), 1, 1);
    refused(&bench.alice, &config.text(), "permission", "")
}

pub(super) fn no_wireguard(bench: &Bench<'_>) -> Result<String> {
    bench.alice.stop()?;
    bench
        .alice
        .vm
        .sh("for i in $(wg show interfaces); do ip link delete $i; done; rmmod wireguard")?
        .ok()?;
    lab::demo::start_agent(&bench.alice.vm, "")?;
    let config = Config::random(&mut Rng::with_seed(bench.seed), 1, 1);
    let message = refused(&bench.alice, &config.text(), "no_wire_guard", "no WireGuard");
    bench.alice.vm.sh("insmod /lib/modules/wireguard.ko")?.ok()?;
    message
}

pub(super) fn wrong_files(bench: &Bench<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::with_seed(bench.seed), 2, 2);
    bench.alice.push_and_see(&Reach::Udp, &config)?;
    let good = config.text();
    let first = config.peers.keys().next().context("peer")?.clone();
    let cases: &[(String, usize)] = &[
        (good.replacen(&config.private_key, "c2hvcnQ=", 1), 2),
        (good.replacen("10.77.0.1/24", "10.77.0.1/33", 1), 6),
        (good.replacen("ListenPort", "ListenPorts", 1), 3),
        (format!("{good}\n[Peer]\nPublicKey = {first}\n"), good.lines().count() + 3),
        (good.replacen("MTU = ", "MTU = many", 1), 4),
    ];
    for (text, line) in cases {
        let said = bench.alice.push(&Reach::Udp, text)?;
        ensure!(said.code == 2, "exit code {} for\n{text}\n{}", said.code, said.json);
        let named = said.json.to_string().contains(&format!("\"line\":{line}"));
        ensure!(named, "line {line} is not named: {}", said.json);
        bench.alice.sees(&config)?;
    }
    Ok(format!("{} files", cases.len()))
}
