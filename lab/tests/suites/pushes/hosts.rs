//! Endpoints that only the router can complete: host names, and names of links as scopes.

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use lab::routers::{Config, Keeper, Peer};
use std::{
    thread,
    time::{Duration, Instant},
};

const KEY: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
/// Longest time until a name is tried again, with some more for a busy bench.
const PATIENCE: Duration = Duration::from_secs(400);

/// Sets the router's sources of names: no server that answers, and these lines of /etc/hosts.
fn knows(keeper: &Keeper<'_>, lines: &str) -> Result<()> {
    keeper.sh(&format!(
        "printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' >/etc/resolv.conf; \
         printf '{lines}' >/etc/hosts"
    ))?;
    Ok(())
}

/// Number of names that the router could not look up yet.
fn unresolved(keeper: &Keeper<'_>) -> Result<u64> {
    let status = keeper.ask(&["status"])?.ok()?;
    ensure!(status.is("/result/stored/0/agrees", true), "{}", status.json);
    status.number("/result/unresolved").with_context(|| format!("no number: {}", status.json))
}

/// Waits for the endpoint of the peer.
fn comes(keeper: &Keeper<'_>, endpoint: &str) -> Result<f32> {
    let begun = Instant::now();
    loop {
        let shown = keeper.sh(&format!("wg show wg0 endpoints 2>&1 | grep -e {KEY} -e Unable"))?;
        if shown.ends_with(endpoint) {
            return Ok(begun.elapsed().as_secs_f32());
        }
        ensure!(begun.elapsed() < PATIENCE, "{shown} and not {endpoint}");
        thread::sleep(Duration::from_millis(300));
    }
}

pub(super) fn late(keeper: &mut Keeper<'_>) -> Result<String> {
    knows(keeper, "")?;
    let mut config = Config::random(&mut Rng::with_seed(keeper.seed), 10, 2).with_endpoints();
    let peer =
        |name: &str| Peer { endpoint: Some(format!("{name}:7")), ..Peer::quiet("10.200.0.2/32") };
    config.peers.insert(KEY.to_owned(), peer("late.invalid"));
    let said = keeper.push("wg0", &config.text(), &[])?.ok()?;
    let warning = said.text("/warnings/0/message").to_owned();
    ensure!(warning.contains("late.invalid"), "no warning: {}", said.json);
    let mut without = config.clone();
    without.peers.get_mut(KEY).context("the peer")?.endpoint = None;
    keeper.router.sees(&without)?;
    ensure!(unresolved(keeper)? == 1, "it is not counted");
    knows(keeper, "192.0.2.50 late.invalid\n")?;
    let pushed = comes(keeper, "192.0.2.50:7")?;
    ensure!(unresolved(keeper)? == 0, "it is still counted");

    // At a start, while the name cannot be looked up yet.
    keeper.cut_power()?;
    knows(keeper, "")?;
    keeper.start()?;
    keeper.router.sees(&without)?;
    ensure!(unresolved(keeper)? == 1, "it is not counted after a start");
    knows(keeper, "192.0.2.51 late.invalid\n")?;
    let started = comes(keeper, "192.0.2.51:7")?;
    ensure!(unresolved(keeper)? == 0, "it is still counted after a start");

    // A push uses the address that the bench has found; a start looks the name up again.
    knows(keeper, "192.0.2.52 localhost\n")?;
    config.peers.insert(KEY.to_owned(), peer("localhost"));
    let said = keeper.push("wg0", &config.text(), &[])?.ok()?;
    ensure!(said.is("/result/changed", true), "{}", said.json);
    let shown = keeper.sh(&format!("wg show wg0 endpoints | grep {KEY}"))?;
    ensure!(shown.ends_with("127.0.0.1:7") || shown.ends_with("[::1]:7"), "{shown}");
    keeper.restart_empty()?;
    comes(keeper, "192.0.2.52:7")?;
    ensure!(unresolved(keeper)? == 0, "it is counted");
    Ok(format!(
        "there {pushed:.1} s after the name after a push, {started:.1} s after a start; {warning}"
    ))
}

/// The scope of a link-local endpoint is the name of a link of the router. The kernel knows links by number, and the
/// number is another one when the link is made again.
pub(super) fn scoped(keeper: &mut Keeper<'_>) -> Result<String> {
    keeper.fresh()?;
    let make = "ip link add uplink type wireguard && ip link set uplink up && cat /sys/class/net/uplink/ifindex";
    let first = keeper.sh(make)?;
    let config = Config::random(&mut Rng::with_seed(keeper.seed), 1, 1);
    let text = |link: &str| {
        let peer = format!("[Peer]\nPublicKey = {KEY}\nAllowedIPs = 10.200.0.2/32\n");
        format!("{}\n{peer}Endpoint = [fe80::77%{link}]:7\n", config.text())
    };
    let endpoint = "[fe80::77%uplink]:7";
    keeper.push("wg0", &text("uplink"), &[])?.ok()?;
    comes(keeper, endpoint)?;
    for (same, link) in [(true, "uplink"), (true, first.trim()), (false, "lo")] {
        let said = keeper.push("wg0", &text(link), &[])?.ok()?;
        ensure!(said.is("/result/changed", !same), "{link}: {}", said.json);
    }
    keeper.push("wg0", &text("uplink"), &[])?.ok()?;
    let said = keeper.push("wg0", &text("nolink"), &[])?;
    let message = said.failed(1, "config")?.to_owned();
    ensure!(message.contains("Endpoint") && message.contains(KEY), "{message}");
    ensure!(said.text("/error/state") == "unchanged", "{}", said.json);
    comes(keeper, endpoint)?;
    // The link comes long after the agent, and with another number. What is stored has its name.
    keeper.restart_empty()?;
    ensure!(
        keeper.router.log()?.contains("Endpoint: the router has no interface uplink"),
        "no word"
    );
    let second = keeper.sh(&format!("ip link add other type wireguard; {make}"))?;
    ensure!(first != second, "the link has the number {first} again");
    let late = comes(keeper, endpoint)?;
    let status = keeper.ask(&["status"])?.ok()?;
    ensure!(status.is("/result/stored/0/agrees", true), "{}", status.json);
    keeper.sh("ip link del uplink; ip link del other")?;
    Ok(format!("there {late:.1} s after the link; {message}"))
}
