//! Pushes, and the state of the kernel afterwards.

use super::Bench;
use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use lab::routers::{Config, Peer, Reach, Router};

pub(super) fn push_serial(bench: &Bench<'_>) -> Result<String> {
    push_over(bench, &Reach::Serial)
}

pub(super) fn push_udp(bench: &Bench<'_>) -> Result<String> {
    push_over(bench, &Reach::Udp)
}

fn push_over(bench: &Bench<'_>, reach: &Reach) -> Result<String> {
    let mut rng = Rng::with_seed(bench.seed);
    for peers in [0, 1, 3, 40] {
        let config = Config::random(&mut rng, peers, 7);
        bench.alice.push_and_see(reach, &config)?;
    }
    let routes = bench.alice.vm.sh("ip route show dev wg0 | wc -l")?.ok()?.text();
    ensure!(routes.trim().parse::<u32>()? > 40, "only {routes} routes");
    let shown = bench.alice.postwire(reach, &["show", "wg0"])?.ok()?.json.to_string();
    ensure!(shown.contains("10.77.0.1/24"), "{shown}");
    let status = bench.alice.postwire(reach, &["status"])?.ok()?;
    ensure!(status.text("/result/hostname") == "alice", "{}", status.json);
    Ok("configurations of 0, 1, 3 and 40 peers".to_owned())
}

pub(super) fn second_push(bench: &Bench<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::with_seed(bench.seed), 20, 5);
    bench.alice.push_and_see(&Reach::Udp, &config)?;
    let before = bench.alice.everything()?;
    for reach in [Reach::Serial, Reach::Udp] {
        let said = bench.alice.push_and_see(&reach, &config)?;
        let changed = said.json.pointer("/result/changed");
        ensure!(changed == Some(&false.into()), "{}", said.json);
    }
    let path = bench.alice.file(&config.text())?;
    let path = path.to_str().context("path")?;
    bench.alice.postwire(&Reach::Udp, &["diff", path])?.ok()?;
    bench.alice.is_still(&before)?;
    Ok(String::new())
}

pub(super) fn only_differences(bench: &Bench<'_>) -> Result<String> {
    let mut rng = Rng::with_seed(bench.seed);
    let mut config = Config::random(&mut rng, 30, 4);
    bench.alice.push_and_see(&Reach::Udp, &config)?;
    for round in 0..6 {
        config = config.changed(&mut rng, round);
        let path = bench.alice.file(&config.text())?;
        let before = bench.alice.everything()?;
        let diff = bench.alice.postwire(&Reach::Udp, &["diff", path.to_str().context("path")?])?;
        ensure!(diff.code == 4, "diff ended with {}: {}", diff.code, diff.json);
        bench.alice.is_still(&before).context("a diff")?;
        let reach = if round % 2 == 0 { Reach::Serial } else { Reach::Udp };
        bench.alice.push_and_see(&reach, &config)?;
    }
    Ok("6 rounds".to_owned())
}

/// The public key of the key that a router generated.
fn made_key(router: &Router<'_>, reach: &Reach) -> Result<String> {
    let said =
        router.push(reach, "[Interface]\nPrivateKey = generate\nListenPort = 51820\n")?.ok()?;
    let key = said.text("/result/public_key").to_owned();
    ensure!(key.len() == 44, "no public key: {}", said.json);
    Ok(key)
}

pub(super) fn tunnel(bench: &Bench<'_>) -> Result<String> {
    let Bench { alice, bob, .. } = bench;
    let keys = [made_key(alice, &Reach::Serial)?, made_key(bob, &Reach::Udp)?];
    let file = |own: u8, other: u8, key: &str, more: &str| {
        format!(
            "[Interface]\nPrivateKey = generate\nListenPort = 51820\nAddress = 10.77.0.{own}/24\n\
             [Peer]\nPublicKey = {key}\nEndpoint = 192.0.2.{other}:51820\n\
             AllowedIPs = 10.77.0.{other}/32\n{more}"
        )
    };
    alice.push(&Reach::Serial, &file(1, 2, &keys[1], ""))?.ok()?;
    bob.push(&Reach::Udp, &file(2, 1, &keys[0], ""))?.ok()?;
    alice.vm.sh("ping -c 3 -w 20 10.77.0.2")?.ok()?;
    let handshake = || -> Result<String> {
        let shown = alice.vm.sh(&format!("wg show wg0 latest-handshakes | grep {}", keys[1]))?;
        Ok(shown.ok()?.text())
    };
    let before = handshake()?;
    ensure!(!before.trim_end().ends_with("\t0"), "no handshake: {before}");
    // A peer is added, and the session with this one continues.
    let other = "[Peer]\nPublicKey = AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n";
    alice.push(&Reach::Serial, &file(1, 2, &keys[1], other))?.ok()?;
    alice.push(&Reach::Udp, &file(1, 2, &keys[1], other))?.ok()?;
    alice.vm.sh("ping -c 1 -w 20 10.77.0.2")?.ok()?;
    ensure!(handshake()? == before, "the handshake was lost: {before} then {}", handshake()?);
    let shown = alice.postwire(&Reach::Udp, &["show", "wg0"])?.ok()?.json.to_string();
    ensure!(shown.contains(&keys[1]), "{shown}");
    Ok("one handshake over three pushes".to_owned())
}

pub(super) fn long_configuration(bench: &Bench<'_>) -> Result<String> {
    let mut rng = Rng::with_seed(bench.seed);
    let (two, many) = (Config::random(&mut rng, 2, 5), Config::random(&mut rng, 2_000, 5));
    let mut memory = Vec::new();
    let mut took = Vec::new();
    for config in [&two, &many] {
        for reach in [Reach::Udp, Reach::Serial] {
            bench.alice.fresh("")?;
            let started = std::time::Instant::now();
            bench.alice.push_and_see(&reach, config)?;
            took.push(started.elapsed().as_secs_f32());
            memory.push(bench.alice.memory()?);
        }
    }
    let [two_udp, two_serial, many_udp, many_serial] = memory[..] else { return Ok(String::new()) };
    let shown = format!(
        "peak memory over UDP {two_udp} KiB for 2 peers and {many_udp} for 2,000, over serial \
         {two_serial} and {many_serial}; 2,000 took {:.1} s and {:.1} s",
        took[2], took[3]
    );
    // The buffers of netlink, 40 KiB, are resident once long answers have filled them, and the depth of a call may
    // add a page or two; a configuration would be hundreds of pages.
    let same = |few: u32, many: u32| many.abs_diff(few) <= 56;
    ensure!(same(two_udp, many_udp) && same(two_serial, many_serial), "{shown}");
    Ok(shown)
}

pub(super) fn generated_key(bench: &Bench<'_>) -> Result<String> {
    let key = made_key(&bench.alice, &Reach::Serial)?;
    ensure!(made_key(&bench.alice, &Reach::Udp)? == key, "the second push made another key");
    let private = bench.alice.vm.sh("wg show wg0 private-key")?.ok()?.text();
    let private = private.trim();
    ensure!(private.len() == 44, "no private key: {private}");
    let derived = bench.alice.vm.sh(&format!("echo {private} | wg pubkey"))?.ok()?.text();
    ensure!(derived.trim() == key, "the public key that was told is not the device's");
    let shown = bench.alice.postwire(&Reach::Serial, &["show", "wg0"])?.ok()?.json.to_string();
    let log = bench.alice.log()?;
    ensure!(!shown.contains(private) && !log.contains(private), "the private key was told");
    Ok(String::new())
}

pub(super) fn default_route(bench: &Bench<'_>) -> Result<String> {
    let mut config = Config::random(&mut Rng::with_seed(bench.seed), 2, 2);
    bench.alice.push_and_see(&Reach::Udp, &config)?;
    let rules = |bench: &Bench<'_>| -> Result<String> {
        Ok(bench.alice.vm.sh("ip rule; ip -6 rule")?.ok()?.text())
    };
    let before = rules(bench)?;
    let all: Peer = Peer {
        preshared_key: None,
        endpoint: Some("192.0.2.2:51820".to_owned()),
        persistent_keepalive: 0,
        allowed_ips: ["0.0.0.0/0", "::/0"].map(str::to_owned).into(),
    };
    let key = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
    config.peers.insert(key.to_owned(), all);
    bench.alice.push_and_see(&Reach::Udp, &config)?;
    let with = rules(bench)?;
    ensure!(with.matches("51820").count() >= 2, "no rules:\n{with}");
    let route =
        bench.alice.vm.sh("ip route get 198.51.100.1; ip route get 192.0.2.2")?.ok()?.text();
    ensure!(route.lines().next().unwrap_or_default().contains("wg0"), "not through it: {route}");
    let mark = bench.alice.vm.sh("wg show wg0 fwmark")?.ok()?.text();
    ensure!(mark.trim() == "0xca6c", "the mark is {mark}");
    let said = bench.alice.push_and_see(&Reach::Udp, &config)?;
    ensure!(said.json.pointer("/result/changed") == Some(&false.into()), "{}", said.json);
    config.peers.remove(key);
    bench.alice.push_and_see(&Reach::Udp, &config)?;
    ensure!(rules(bench)? == before, "rules are left:\n{}", rules(bench)?);
    Ok(String::new())
}

pub(super) fn remove(bench: &Bench<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::with_seed(bench.seed), 1_000, 2);
    bench.alice.push_and_see(&Reach::Udp, &config)?;
    bench.alice.postwire(&Reach::Udp, &["remove", "wg0"])?.ok()?;
    let gone = bench.alice.vm.sh("ip link show wg0")?;
    ensure!(gone.status != 0, "it is still there");
    let again = bench.alice.postwire(&Reach::Udp, &["remove", "wg0"])?;
    ensure!(again.code == 1 && again.text("/error/code") == "no_interface", "{}", again.json);
    Ok(String::new())
}

pub(super) fn repaired(bench: &Bench<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::with_seed(bench.seed), 5, 3);
    bench.alice.push_and_see(&Reach::Udp, &config)?;
    let peer = config.peers.keys().next().context("peer")?;
    bench.alice.vm.sh(&format!(
        "ip address del 10.77.0.1/24 dev wg0; ip address add 10.99.0.1/24 dev wg0; \
         ip link set wg0 mtu 1300; wg set wg0 peer '{peer}' remove; \
         wg set wg0 peer AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA= allowed-ips 10.5.5.5/32"
    ))?;
    bench.alice.push_and_see(&Reach::Serial, &config)?;
    Ok(String::new())
}
