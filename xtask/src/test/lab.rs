//! Pushes to routers with real kernels, one test after the other on the same two machines.

use super::{
    Tally,
    config::{Config, Peer},
    router::{Reach, Router, said},
};
use crate::{
    build,
    lab::{Arch, Direction, Faults, Lab, Loss, LossyUdp, Noise, Wire},
    rng::Rng,
};
use anyhow::{Context, Result, anyhow, ensure};
use std::{fs, path::Path, thread, time::Duration};

/// The two routers.
struct Bench<'t> {
    alice: Router<'t>,
    bob: Router<'t>,
    seed: u64,
}

type Test = fn(&Bench<'_>) -> Result<String>;

/// What has to hold on every kind of machine.
const EVERYWHERE: &[(&str, Test)] = &[
    ("a push over serial is in the kernel", push_serial),
    ("a push over UDP is in the kernel", push_udp),
    ("a second push changes nothing", second_push),
    ("only what differs is changed", only_differences),
];

/// What is tried on the first kind of machine only.
const FULL: &[(&str, Test)] = &[
    ("a tunnel between two routers, and sessions are left alone", tunnel),
    ("2,000 peers in the memory of 2", long_configuration),
    ("pushes through a network that loses, doubles and reorders", bad_network),
    ("pushes through a serial line with log lines and noise", noisy_line),
    ("a cable pulled in the middle", pulled_cable),
    ("an agent that dies in the middle", killed_agent),
    ("two at the same time", two_clients),
    ("a key made by the router stays and is not told", generated_key),
    ("a default route through the tunnel", default_route),
    ("removing an interface with 1,000 peers", remove),
    ("an address that is taken away by hand comes back", repaired),
    ("a port that is taken", taken_port),
    ("an interface of another kind", other_kind),
    ("an interface that is not allowed", not_allowed),
    ("an agent without rights", no_rights),
    ("a kernel without WireGuard", no_wireguard),
    ("files that are wrong", wrong_files),
];

pub(super) fn run(tally: &mut Tally, arch: Arch, seed: u64) -> Result<()> {
    let full = if arch == Arch::X86_64 { FULL } else { &[] };
    let name = arch.profile().name;
    let named = |test: &str| format!("{name}: {test}");
    let mut tests = EVERYWHERE.iter().chain(full);
    // Nothing is built and booted for nothing.
    if !tests.any(|(test, _)| tally.wants(&named(test))) {
        return Ok(());
    }
    let agent = fs::read(build::agent(arch)?)?;
    let tool = build::postwire()?;
    let lab = Lab::prepare(arch)?;
    let bench = boot(&lab, &agent, &tool, seed)?;
    for (test, run) in EVERYWHERE.iter().chain(full) {
        if !tally.wants(&named(test)) {
            continue;
        }
        tally.test(&named(test), || {
            let outcome = bench.alice.fresh("").and_then(|()| run(&bench));
            outcome.map_err(|error| {
                let log = bench.alice.log().unwrap_or_else(|error| format!("{error:#}"));
                error.context(format!("seed {seed}; alice's agent said:\n{log}"))
            })
        });
    }
    Ok(())
}

/// Both side by side: most of a boot is waiting for one processor.
fn boot<'t>(lab: &Lab, agent: &[u8], tool: &'t Path, seed: u64) -> Result<Bench<'t>> {
    let wire = Wire::new()?;
    let folder = build::target_folder().join("lab").join("test").join(lab.arch().profile().name);
    let router = |name: &str, address: &str| -> Result<Router<'t>> {
        let machine = lab.machine(name).file("/bin/postwired", 0o755, agent);
        let machine = machine.file("/etc/passwd", 0o644, "nobody:x:65534:65534::/:/bin/sh\n");
        let vm = machine.with_wireguard_tools().module("dummy").wire(&wire, address).boot()?;
        Router::new(vm, tool, folder.join(name))
    };
    let (alice, bob) = thread::scope(|scope| {
        let alice = scope.spawn(|| router("alice", "192.0.2.1/24"));
        let bob = router("bob", "192.0.2.2/24");
        (alice.join(), bob)
    });
    let alice = alice.map_err(|_| anyhow!("the thread that boots alice died"))??;
    let bob = bob?;
    bob.fresh("")?;
    Ok(Bench { alice, bob, seed })
}

fn push_serial(bench: &Bench<'_>) -> Result<String> {
    push_over(bench, &Reach::Serial)
}

fn push_udp(bench: &Bench<'_>) -> Result<String> {
    push_over(bench, &Reach::Udp)
}

fn push_over(bench: &Bench<'_>, reach: &Reach) -> Result<String> {
    let mut rng = Rng::new(bench.seed);
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

fn second_push(bench: &Bench<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::new(bench.seed), 20, 5);
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

fn only_differences(bench: &Bench<'_>) -> Result<String> {
    let mut rng = Rng::new(bench.seed);
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

/// The public key that a router made for itself.
fn made_key(router: &Router<'_>, reach: &Reach) -> Result<String> {
    let said =
        router.push(reach, "[Interface]\nPrivateKey = generate\nListenPort = 51820\n")?.ok()?;
    let key = said.text("/result/public_key").to_owned();
    ensure!(key.len() == 44, "no public key: {}", said.json);
    Ok(key)
}

fn tunnel(bench: &Bench<'_>) -> Result<String> {
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
    // Another peer comes, and the session with this one goes on.
    let other = "[Peer]\nPublicKey = AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n";
    alice.push(&Reach::Serial, &file(1, 2, &keys[1], other))?.ok()?;
    alice.push(&Reach::Udp, &file(1, 2, &keys[1], other))?.ok()?;
    alice.vm.sh("ping -c 1 -w 20 10.77.0.2")?.ok()?;
    ensure!(handshake()? == before, "the handshake was lost: {before} then {}", handshake()?);
    let shown = alice.postwire(&Reach::Udp, &["show", "wg0"])?.ok()?.json.to_string();
    ensure!(shown.contains(&keys[1]), "{shown}");
    Ok("one handshake over three pushes".to_owned())
}

fn long_configuration(bench: &Bench<'_>) -> Result<String> {
    let mut rng = Rng::new(bench.seed);
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
    // A page or two is the depth of a call; a configuration would be hundreds of them.
    let same = |few: u32, many: u32| many.abs_diff(few) <= 16;
    ensure!(same(two_udp, many_udp) && same(two_serial, many_serial), "{shown}");
    Ok(shown)
}

/// Pushes a new configuration over an old one, and sees that the router has the new one if the tool
/// says so, and the old one if it does not.
fn new_or_old(router: &Router<'_>, reach: &Reach, old: &Config, new: &Config) -> Result<bool> {
    let said = router.push(reach, &new.text())?;
    match said.code {
        0 => router.sees(new)?,
        1 | 3 => router.sees(old).or_else(|error| {
            // The answer was lost, and the work was done: the tool has to say that it cannot know.
            router.sees(new).map_err(|_| error)
        })?,
        code => anyhow::bail!("postwire ended with {code}: {}\n{}", said.json, said.stderr),
    }
    Ok(said.code == 0)
}

/// Pushes over UDP once the router has given up on a client that is gone.
fn push_when_free(router: &Router<'_>, config: &Config) -> Result<()> {
    for _ in 0..20 {
        let said = router.push(&Reach::Udp, &config.text())?;
        if said.text("/error/code") != "busy" {
            said.ok()?;
            return router.sees(config);
        }
        thread::sleep(Duration::from_secs(1));
    }
    Err(anyhow!("the router stays busy with a client that is gone"))
}

fn bad_network(bench: &Bench<'_>) -> Result<String> {
    let mut rng = Rng::new(bench.seed);
    let loss = Loss { seed: bench.seed, drop: 0.10, duplicate: 0.10, reorder: 0.10 };
    let proxy = LossyUdp::start(bench.alice.vm.udp_port(), loss)?;
    let mut old = Config::random(&mut rng, 10, 3);
    bench.alice.push_and_see(&Reach::Udp, &old)?;
    let reach = Reach::Port(proxy.address().port());
    let mut applied = 0;
    for round in 0..10 {
        let new = Config::random(&mut rng, 50 * round, 3);
        if new_or_old(&bench.alice, &reach, &old, &new)? {
            applied += 1;
            old = new;
        } else {
            push_when_free(&bench.alice, &old)?;
        }
    }
    let counts = proxy.counts();
    ensure!(counts.dropped > 50, "nothing was lost: {counts:?}");
    ensure!(applied >= 8, "only {applied} of 10 pushes were applied");
    Ok(format!("{applied} of 10 applied; {counts:?}"))
}

fn noisy_line(bench: &Bench<'_>) -> Result<String> {
    let mut rng = Rng::new(bench.seed);
    let mut old = Config::random(&mut rng, 10, 3);
    bench.alice.push_and_see(&Reach::Serial, &old)?;
    let noise = Noise {
        flip: 0.0002,
        drop: 0.0002,
        garbage_every: 3_000,
        text: "\r\n[   12.345678] random: crng init done\r\n".to_owned(),
        text_every: 2_000,
    };
    let faults = Faults { seed: bench.seed, to_guest: noise.clone(), to_host: noise };
    bench.alice.vm.serial().set_faults(faults);
    let mut applied = 0;
    for round in 0..8 {
        let new = Config::random(&mut rng, 20 * round, 3);
        if new_or_old(&bench.alice, &Reach::Serial, &old, &new)? {
            applied += 1;
            old = new;
        } else {
            push_when_free(&bench.alice, &old)?;
        }
    }
    let counts = bench.alice.vm.serial().counts(Direction::ToGuest);
    bench.alice.vm.serial().set_faults(Faults::default());
    ensure!(counts.inserted > 5, "nothing was injected: {counts:?}");
    ensure!(applied >= 6, "only {applied} of 8 pushes were applied");
    Ok(format!("{applied} of 8 applied; toward the router {counts:?}"))
}

/// Waits until so many bytes more went over alice's serial line, or the push is over.
fn underway<T>(bench: &Bench<'_>, bytes: u64, pushing: &thread::ScopedJoinHandle<'_, T>) {
    let serial = bench.alice.vm.serial();
    let enough = serial.counts(Direction::ToGuest).bytes + bytes;
    while serial.counts(Direction::ToGuest).bytes < enough && !pushing.is_finished() {
        thread::sleep(Duration::from_millis(2));
    }
}

fn pulled_cable(bench: &Bench<'_>) -> Result<String> {
    let mut rng = Rng::new(bench.seed);
    let (old, new) = (Config::random(&mut rng, 10, 3), Config::random(&mut rng, 600, 5));
    bench.alice.push_and_see(&Reach::Serial, &old)?;
    let path = bench.alice.file(&new.text())?;
    let words = ["push", path.to_str().context("path")?, "--timeout", "2s"];
    let serial = bench.alice.vm.serial();
    let output = thread::scope(|scope| {
        let pushing = scope.spawn(|| bench.alice.postwire_command(&Reach::Serial, &words).output());
        // A tenth of the image is on its way.
        underway(bench, 5_000, &pushing);
        serial.cut(true);
        pushing.join().map_err(|_| anyhow!("the push died"))
    })?;
    let said = said(&output?)?;
    ensure!(said.code == 3, "postwire ended with {}: {}", said.code, said.json);
    bench.alice.sees(&old)?;
    serial.cut(false);
    // Somebody else has to wait until the router gives up on the one that is gone; the same file goes
    // on where it stopped.
    let other = bench.alice.push(&Reach::Udp, &old.text())?;
    ensure!(other.text("/error/code") == "busy", "{}", other.json);
    bench.alice.push_and_see(&Reach::Serial, &new)?;
    Ok("nothing changed, and the next push went on where it stopped".to_owned())
}

fn killed_agent(bench: &Bench<'_>) -> Result<String> {
    let mut rng = Rng::new(bench.seed);
    let config = Config::random(&mut rng, 1_500, 5);
    let path = bench.alice.file(&config.text())?;
    let words = ["push", path.to_str().context("path")?];
    let output = thread::scope(|scope| -> Result<_> {
        let pushing = scope.spawn(|| bench.alice.postwire_command(&Reach::Serial, &words).output());
        underway(bench, 20_000, &pushing);
        bench.alice.stop()?;
        ensure!(!pushing.is_finished(), "the push was over before the agent died");
        crate::demo::start_agent(&bench.alice.vm, "")?;
        pushing.join().map_err(|_| anyhow!("the push died"))?.context("postwire")
    })?;
    said(&output)?.ok()?;
    bench.alice.sees(&config)?;
    Ok("the push started again by itself".to_owned())
}

fn two_clients(bench: &Bench<'_>) -> Result<String> {
    let mut rng = Rng::new(bench.seed);
    let config = Config::random(&mut rng, 800, 5);
    let path = bench.alice.file(&config.text())?;
    let words = ["push", path.to_str().context("path")?];
    let (output, other) = thread::scope(|scope| -> Result<_> {
        let pushing = scope.spawn(|| bench.alice.postwire_command(&Reach::Serial, &words).output());
        underway(bench, 10_000, &pushing);
        let other = bench.alice.postwire(&Reach::Udp, &words)?;
        Ok((pushing.join().map_err(|_| anyhow!("the push died"))??, other))
    })?;
    ensure!(other.code == 1 && other.text("/error/code") == "busy", "{}", other.json);
    said(&output)?.ok()?;
    bench.alice.sees(&config)?;
    Ok(other.text("/error/message").to_owned())
}

fn generated_key(bench: &Bench<'_>) -> Result<String> {
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

fn default_route(bench: &Bench<'_>) -> Result<String> {
    let mut config = Config::random(&mut Rng::new(bench.seed), 2, 2);
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

fn remove(bench: &Bench<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::new(bench.seed), 1_000, 2);
    bench.alice.push_and_see(&Reach::Udp, &config)?;
    bench.alice.postwire(&Reach::Udp, &["remove", "wg0"])?.ok()?;
    let gone = bench.alice.vm.sh("ip link show wg0")?;
    ensure!(gone.status != 0, "it is still there");
    let again = bench.alice.postwire(&Reach::Udp, &["remove", "wg0"])?;
    ensure!(again.code == 1 && again.text("/error/code") == "no_interface", "{}", again.json);
    Ok(String::new())
}

fn repaired(bench: &Bench<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::new(bench.seed), 5, 3);
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

/// Pushes what cannot be, and sees that nothing changed.
fn refused(router: &Router<'_>, text: &str, code: &str, mentions: &str) -> Result<String> {
    let before = router.everything()?;
    let said = router.push(&Reach::Udp, text)?;
    ensure!(said.code == 1, "postwire ended with {}: {}", said.code, said.json);
    ensure!(said.text("/error/code") == code, "{}", said.json);
    let message = said.text("/error/message");
    ensure!(message.contains(mentions), "the message does not say {mentions}: {message}");
    ensure!(said.text("/error/state") == "unchanged", "{}", said.json);
    router.is_still(&before)?;
    Ok(message.to_owned())
}

fn taken_port(bench: &Bench<'_>) -> Result<String> {
    let mut config = Config::random(&mut Rng::new(bench.seed), 3, 2);
    let taken = "ip link add wg9 type wireguard; wg set wg9 listen-port 40404; ip link set wg9 up";
    bench.alice.vm.sh(taken)?.ok()?;
    config.listen_port = 40_404;
    // On an interface that is made for the push, and on one that is there.
    refused(&bench.alice, &config.text(), "kernel", "ListenPort")?;
    config.listen_port = 51_820;
    bench.alice.push_and_see(&Reach::Udp, &config)?;
    config.listen_port = 40_404;
    refused(&bench.alice, &config.text(), "kernel", "ListenPort")
}

fn other_kind(bench: &Bench<'_>) -> Result<String> {
    bench.alice.vm.sh("ip link add wg0 type dummy")?.ok()?;
    let config = Config::random(&mut Rng::new(bench.seed), 1, 1);
    let message = refused(&bench.alice, &config.text(), "wrong_kind", "not a WireGuard interface");
    bench.alice.vm.sh("ip link delete wg0")?.ok()?;
    message
}

fn not_allowed(bench: &Bench<'_>) -> Result<String> {
    bench.alice.fresh("--interface 'vpn*'")?;
    let config = Config::random(&mut Rng::new(bench.seed), 1, 1);
    refused(&bench.alice, &config.text(), "not_allowed", "leave to touch")
}

fn no_rights(bench: &Bench<'_>) -> Result<String> {
    bench.alice.stop()?;
    bench
        .alice
        .vm
        .sh("cp -r /etc/postwired /tmp/keep; chown -R nobody /tmp/keep; \
         start-stop-daemon -S -c nobody -x /bin/postwired -- serve --udp 0.0.0.0 --state /tmp/n \
         --keep /tmp/keep >/tmp/postwired.log 2>&1 </dev/null & \
         for i in 1 2 3 4 5 6 7 8 9 10; do grep -q UDP /tmp/postwired.log && exit; sleep 0.1; \
         done; cat /tmp/postwired.log; exit 1")?
        .ok()?;
    let config = Config::random(&mut Rng::new(bench.seed), 1, 1);
    refused(&bench.alice, &config.text(), "permission", "")
}

fn no_wireguard(bench: &Bench<'_>) -> Result<String> {
    bench.alice.stop()?;
    bench
        .alice
        .vm
        .sh("for i in $(wg show interfaces); do ip link delete $i; done; rmmod wireguard")?
        .ok()?;
    crate::demo::start_agent(&bench.alice.vm, "")?;
    let config = Config::random(&mut Rng::new(bench.seed), 1, 1);
    let message = refused(&bench.alice, &config.text(), "no_wire_guard", "no WireGuard");
    bench.alice.vm.sh("insmod /lib/modules/wireguard.ko")?.ok()?;
    message
}

fn wrong_files(bench: &Bench<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::new(bench.seed), 2, 2);
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
