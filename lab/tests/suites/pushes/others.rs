//! Several interfaces on a real kernel: a change of one does not affect the others. And any edit of
//! one: one push is enough, and a second changes nothing.

use anyhow::{Result, ensure};
use fastrand::Rng;
use lab::routers::{Config, Keeper, is_sent};
use std::fmt::Write as _;

const PROBES: &str = "/tmp/probes";
/// The repeated query to the kernel: the routes of two packets, and all rules.
const PROBE: &str = "ip route get 203.0.113.5; ip route get 10.88.0.9; ip rule; ip -6 rule";
/// Time that the agent waits after each request, in microseconds: long enough for a probe.
const WAIT: u32 = 120_000;

/// A file for one peer.
fn file(seed: u64, address: &str, allowed: &str, more: &str) -> String {
    let mut rng = Rng::with_seed(seed);
    let mut config = Config::random(&mut rng, 1, 0);
    config.addresses.clear();
    let key = config.peers.keys().next().cloned().unwrap_or_default();
    let mut text = format!("[Interface]\nPrivateKey = {}\n", config.private_key);
    for address in address.split_whitespace() {
        let _ = writeln!(text, "Address = {address}");
    }
    let _ = write!(
        text,
        "{more}[Peer]\nPublicKey = {key}\nEndpoint = 192.0.2.77:51820\nAllowedIPs = {allowed}\n"
    );
    text
}

/// Queries routes and rules during `work`, after each request of the agent, and returns the number
/// of requests. `always` is the expected output of each probe.
fn probed(
    keeper: &Keeper<'_>,
    always: &[&str],
    act: impl FnOnce(&Keeper<'_>) -> Result<()>,
) -> Result<(usize, usize)> {
    keeper.router.trace("sendto", &format!("sendto:delay_exit={WAIT}"))?;
    keeper.sh(&format!(
        "touch /tmp/probing; setsid sh -c 'while [ -e /tmp/probing ]; do echo --; {PROBE}; done' \
         >{PROBES} 2>&1 </dev/null & sleep 0.3"
    ))?;
    let done = act(keeper);
    let probes = keeper.sh(&format!("rm /tmp/probing; sleep 0.5; cat {PROBES}"))?;
    let requests = keeper.router.traced()?.iter().filter(|line| is_sent(line)).count();
    done?;
    // The last one may be truncated.
    let probes: Vec<&str> = probes.split("--\n").skip(1).collect();
    let whole = probes.len().saturating_sub(1);
    for (n, probe) in probes.iter().take(whole).enumerate() {
        for line in always {
            ensure!(probe.contains(line), "probe {n} of {whole} has no `{line}`:\n{probe}");
        }
    }
    ensure!(requests > 0 && whole > requests / 3, "{whole} probes of {requests} requests");
    Ok((requests, whole))
}

/// The output of each probe while an interface other than wg0 and wgs is changed.
const WG0: [&str; 4] = [
    "203.0.113.5 dev wg0",
    "from all lookup main suppress_prefixlength 0",
    "from all fwmark 0xca6c lookup 51820",
    "32766",
];
const WGS: &str = "10.88.0.9 dev wgs";

pub(super) fn others(keeper: &mut Keeper<'_>) -> Result<String> {
    let full = file(1, "10.71.0.2/32", "0.0.0.0/0, ::/0", "");
    let split = file(2, "10.88.0.1/24", "10.88.0.0/24", "FwMark = 51820\n");
    let second = file(3, "10.71.1.2/32", "0.0.0.0/0, ::/0", "");
    let marked =
        |mark: u32| file(3, "10.71.1.2/32", "0.0.0.0/0, ::/0", &format!("FwMark = {mark}\n"));
    // The split tunnel first and last: it shares the mark, and has no rules.
    for (name, text) in [("wgs", &split), ("wg0", &full), ("wgs", &split)] {
        keeper.push(name, text, &[])?.ok()?;
    }
    let both = [&WG0[..], &[WGS]].concat();
    let (mut requests, mut probes) = (0, 0);
    let mut count = |(asked, seen)| {
        requests += asked;
        probes += seen;
    };
    let state = keeper.router.state()?;
    count(probed(keeper, &both, |keeper| {
        let said = keeper.push("wg1", &second, &[])?;
        let message = said.failed(1, "config")?;
        let words =
            "wg0 has the default route of table 51820: give this interface `FwMark = 51821`";
        ensure!(message.contains(words), "{message}");
        ensure!(said.text("/error/state") == "unchanged", "{}", said.json);
        Ok(())
    })?);
    keeper.router.is_in(&state)?;
    count(probed(keeper, &both, |keeper| {
        keeper.push("wg1", &marked(51_821), &[])?.ok()?;
        keeper.push("wg1", &marked(100), &[])?.ok()?;
        let said = keeper.push("wg1", &marked(100), &[])?.ok()?;
        ensure!(said.is("/result/changed", false), "{}", said.json);
        Ok(())
    })?);
    count(probed(keeper, &WG0, |keeper| {
        let other = file(2, "10.88.0.2/24", "10.88.0.0/24", "FwMark = 51820\n");
        keeper.push("wgs", &other, &[])?.ok()?;
        keeper.ask(&["repair", "wgs"])?.ok()?;
        Ok(())
    })?);
    count(probed(keeper, &both, |keeper| {
        keeper.ask(&["remove", "wg1"])?.ok()?;
        Ok(())
    })?);
    // A start with several stored configurations: over existing interfaces, and from nothing.
    keeper.push("wg1", &marked(100), &[])?.ok()?;
    let state = keeper.router.state()?;
    keeper.restart()?;
    keeper.router.is_in(&state)?;
    keeper.restart_empty()?;
    for line in &both {
        let probe = keeper.sh(PROBE)?;
        ensure!(probe.contains(line), "no `{line}` after a start:\n{probe}");
    }
    keeper.ask(&["status"])?.ok()?;
    count(probed(keeper, &WG0, |keeper| {
        keeper.ask(&["remove", "wgs"])?.ok()?;
        Ok(())
    })?);
    keeper.ask(&["remove", "wg0"])?.ok()?;
    let rules = keeper.sh("ip rule; ip -6 rule")?;
    ensure!(rules.contains("lookup 100") && !rules.contains("lookup 51820"), "{rules}");
    keeper.ask(&["remove", "wg1"])?.ok()?;
    let rules = keeper.sh("ip rule; ip -6 rule")?;
    ensure!(!rules.contains("suppress") && !rules.contains("fwmark"), "{rules}");
    Ok(format!("{requests} requests, {probes} probes"))
}

/// Edits for which the kernel changes more than was requested.
const EDITS: [(&str, &str); 12] = [
    ("10.51.0.1/24", "10.62.0.0/16"),
    ("10.52.0.1/24", "10.62.0.0/16"),
    ("10.52.0.2/24", "10.62.0.0/16"),
    ("10.52.0.1/24 10.52.0.2/24", "10.62.0.0/16"),
    ("10.52.0.2/24", "10.62.0.0/16"),
    ("10.52.0.2/32", "10.62.0.0/16, 10.52.0.0/24"),
    ("10.52.0.2/24", "10.62.0.0/16, 10.52.0.0/24"),
    ("fd00::1/64", "10.62.0.0/16"),
    ("fd00::1/128", "10.62.0.0/16, fd09::/64"),
    ("fd00::1/64 10.52.0.2/24", "0.0.0.0/0, fd09::/64"),
    ("10.52.0.2/25 fe80::1/64", "0.0.0.0/0, ::/0"),
    ("10.52.0.2/25 10.53.0.1/24", "10.0.0.0/8"),
];

pub(super) fn edits(keeper: &mut Keeper<'_>) -> Result<String> {
    let mut rng = Rng::with_seed(keeper.seed);
    let mut pushes = 0;
    let mut push = |address: &str, allowed: &str, mtu: u32| -> Result<()> {
        let text = file(1, address, allowed, &format!("MTU = {mtu}\n"));
        keeper.push("wg0", &text, &[])?.ok()?;
        let said = keeper.push("wg0", &text, &[])?.ok()?;
        ensure!(said.is("/result/changed", false), "{address} {allowed}: {}", said.json);
        pushes += 1;
        Ok(())
    };
    for (address, allowed) in EDITS {
        push(address, allowed, 1420)?;
    }
    // Below an MTU of 1280 there is no IPv6; above, IPv6 comes back with an address of the kernel's
    // own.
    for mtu in [1420, 1200, 1280, 1200, 1420] {
        push("10.52.0.1/24", "10.62.0.0/16", mtu)?;
    }
    push("10.52.0.1/24 fd00::1/64", "10.62.0.0/16, fd09::/64", 1280)?;
    keeper.sh("ip link set wg0 mtu 1200; ip link set wg0 mtu 1280")?;
    keeper.ask(&["repair", "wg0"])?.ok()?;
    keeper.ask(&["status"])?.ok()?;
    for _ in 0..12 {
        let (address, allowed) = EDITS[rng.usize(..EDITS.len())];
        push(address, allowed, 1280 + rng.u32(..200))?;
    }
    Ok(format!("{pushes} edits, each pushed twice"))
}
