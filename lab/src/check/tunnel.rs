//! WireGuard itself, driven by the reference tools.

use super::{Bench, seconds};
use anyhow::{Result, ensure};
use std::time::Instant;

pub(super) fn strace(bench: &Bench) -> Result<String> {
    let out = bench.alice.sh("strace -e trace=socket,sendto wg show interfaces")?.ok()?;
    let trace = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(trace.contains("socket(AF_NETLINK"), "{trace}");
    Ok(format!("{} calls", trace.matches("sendto(").count()))
}

pub(super) fn tunnel(bench: &Bench) -> Result<String> {
    let routers = [(&bench.alice, "10.77.0.1"), (&bench.bob, "10.77.0.2")];
    let mut keys = Vec::new();
    for (vm, address) in routers {
        let key = vm.sh(&format!(
            "ip link add wg0 type wireguard && umask 77 && wg genkey >/tmp/key && \
             wg set wg0 listen-port 51820 private-key /tmp/key && \
             ip address add {address}/24 dev wg0 && ip link set wg0 up && wg show wg0 public-key"
        ))?;
        keys.push(key.ok()?.text());
    }
    for (vm, key, endpoint, allowed) in [
        (&bench.alice, &keys[1], "192.0.2.2", "10.77.0.2"),
        (&bench.bob, &keys[0], "192.0.2.1", "10.77.0.1"),
    ] {
        vm.sh(&format!(
            "wg set wg0 peer {key} endpoint {endpoint}:51820 allowed-ips {allowed}/32"
        ))?
        .ok()?;
    }
    let started = Instant::now();
    bench.alice.sh("ping -c 1 -w 10 10.77.0.2")?.ok()?;
    let took = started.elapsed();
    let shown = bench.bob.sh("wg show wg0 latest-handshakes")?.ok()?.text();
    let handshake = shown.split_whitespace().nth(1).unwrap_or("0");
    ensure!(handshake != "0", "no handshake: {shown}");
    for (vm, _) in routers {
        vm.sh("ip link delete wg0")?.ok()?;
    }
    Ok(format!("first ping answered in {}", seconds(took)))
}
