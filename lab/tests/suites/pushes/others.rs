//! Several interfaces on a real kernel: a change of one does not affect the others. And any edit of
//! one: one push is enough, a second changes nothing, and the traffic that both files have goes on.

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use lab::routers::{Config, Keeper};
use std::{collections::BTreeSet, fmt::Write as _};

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

/// The link of the router's default routes, and the commands that add and remove the one of IPv6.
const UPLINK: &str = "eth0";
const WITH_IPV6: &str = "ip -6 route add default dev eth0";
const WITHOUT_IPV6: &str = "ip -6 route delete default dev eth0";

/// An interface, the questions to the kernel about its packets (WireGuard's own ones have a mark), and the rules that it
/// has.
struct Tunnel {
    name: &'static str,
    ways: &'static [&'static str],
    rules: &'static [&'static str],
}

/// A full tunnel, and its own packets.
const WG0: Tunnel = Tunnel {
    name: "wg0",
    ways: &["203.0.113.5", "2001:db8::5", "203.0.113.6 mark 0xca6c", "2001:db8::6 mark 0xca6c"],
    rules: &[
        "from all fwmark 0xca6c lookup main",
        "from all lookup main suppress_prefixlength 0",
        "not from all fwmark 0xca6c lookup 51820",
    ],
};
/// A second full tunnel, and its own packets. The first one has all packets without a mark.
const WG1: Tunnel = Tunnel {
    name: "wg1",
    ways: &["10.89.0.9", "203.0.113.7 mark 0x64", "2001:db8::7 mark 0x64"],
    rules: &["from all fwmark 0x64 lookup main", "not from all fwmark 0x64 lookup 100"],
};
/// A split tunnel with the mark of the first one, and without rules.
const WGS: Tunnel = Tunnel { name: "wgs", ways: &["10.88.0.9"], rules: &[] };

impl Tunnel {
    /// What is missing of it in the kernel's answers.
    fn missing(&self, probe: &str) -> Vec<String> {
        let is_way = |line: &str, to: &str, by: &str| {
            let mut words = line.split_whitespace();
            words.next() == Some(to) && words.skip_while(|word| *word != "dev").nth(1) == Some(by)
        };
        let ways = self.ways.iter().filter(|way| {
            let (to, by) = match way.split_once(' ') {
                Some((to, _)) => (to, UPLINK),
                None => (**way, self.name),
            };
            !probe.lines().any(|line| is_way(line, to, by))
        });
        // Of each family.
        let rules = self.rules.iter().filter(|rule| probe.matches(**rule).count() != 2);
        ways.chain(rules).map(|&what| format!("{}: {what}", self.name)).collect()
    }
}

/// The script that asks for the ways of all packets, and for all rules.
fn questions() -> String {
    let mut script = String::new();
    for (family, colon) in [("-4", false), ("-6", true)] {
        let ways = [WG0, WG1, WGS].into_iter().flat_map(|tunnel| tunnel.ways);
        let ways = ways.filter(|way| way.contains(':') == colon);
        let lines: String = ways.map(|way| format!("route get {way}\n")).collect();
        let _ = writeln!(script, "/usr/bin/ip {family} -force -batch - <<'END'\n{lines}rule\nEND");
    }
    script
}

/// Asks for all ways and rules after each change of the kernel in `act`: the tunnels that it does not change keep
/// theirs. Returns the number of changes.
fn probed(
    keeper: &Keeper<'_>,
    others: &[Tunnel],
    act: impl FnOnce(&Keeper<'_>) -> Result<()>,
) -> Result<usize> {
    keeper.router.hold(&questions())?;
    let done = act(keeper);
    let probes = keeper.router.released()?;
    done?;
    keep(&probes, others)?;
    Ok(probes.len())
}

/// Fails unless each tunnel has all it needs in each probe.
fn keep(probes: &[String], others: &[Tunnel]) -> Result<()> {
    for (nth, probe) in probes.iter().enumerate() {
        let missing: Vec<_> = others.iter().flat_map(|other| other.missing(probe)).collect();
        let count = probes.len();
        ensure!(missing.is_empty(), "after change {} of {count}: {missing:?}:\n{probe}", nth + 1);
    }
    Ok(())
}

pub(super) fn others(keeper: &mut Keeper<'_>) -> Result<String> {
    let full = |more: &str| file(1, "10.71.0.2/32 fd71::2/128", "0.0.0.0/0, ::/0", more);
    let split = file(2, "10.88.0.1/24", "10.88.0.0/24", "FwMark = 51820\n");
    let second =
        |more: &str| file(3, "10.71.1.2/32 fd71:1::2/128", "0.0.0.0/0, ::/0, 10.89.0.0/24", more);
    let marked = |mark: u32| second(&format!("FwMark = {mark}\n"));
    keeper.sh(WITH_IPV6)?;
    // The split tunnel first and last: it shares the mark, and has no rules.
    for (name, text) in [("wgs", &split), ("wg0", &full("")), ("wgs", &split)] {
        keeper.push(name, text, &[])?.ok()?;
    }
    let mut changes = 0;
    let state = keeper.router.state()?;
    probed(keeper, &[WG0, WGS], |keeper| {
        let said = keeper.push("wg1", &second(""), &[])?;
        let message = said.failed(1, "config")?;
        let words =
            "wg0 has the default route of table 51820: give this interface `FwMark = 51821`";
        ensure!(message.contains(words), "{message}");
        ensure!(said.text("/error/state") == "unchanged", "{}", said.json);
        Ok(())
    })?;
    keeper.router.is_in(&state)?;
    // A moment of an interface's own change is not one of another's: each interface is changed beside the others.
    changes += probed(keeper, &[WG0, WGS], |keeper| {
        keeper.push("wg1", &marked(51_821), &[])?.ok()?;
        keeper.push("wg1", &marked(100), &[])?.ok()?;
        let said = keeper.push("wg1", &marked(100), &[])?.ok()?;
        ensure!(said.is("/result/changed", false), "{}", said.json);
        Ok(())
    })?;
    changes += probed(keeper, &[WG0, WG1], |keeper| {
        let other = file(2, "10.88.0.2/24", "10.88.0.0/24", "FwMark = 51820\n");
        keeper.push("wgs", &other, &[])?.ok()?;
        keeper.sh("ip address flush dev wgs")?;
        keeper.ask(&["repair", "wgs"])?.ok()?;
        Ok(())
    })?;
    changes += probed(keeper, &[WG1, WGS], |keeper| {
        let other = "0.0.0.0/0, ::/0, 10.90.0.0/16";
        let other = file(1, "10.71.0.3/32 fd71::2/128", other, "MTU = 1400\n");
        keeper.push("wg0", &other, &[])?.ok()?;
        keeper.ask(&["rollback", "wg0"])?.ok()?;
        Ok(())
    })?;
    changes += probed(keeper, &[WG0, WGS], |keeper| {
        keeper.ask(&["remove", "wg1"])?.ok()?;
        Ok(())
    })?;
    keeper.push("wg1", &marked(100), &[])?.ok()?;

    // A start with several stored configurations over existing interfaces, and from nothing.
    let all = || [WG0, WG1, WGS];
    let state = keeper.router.state()?;
    keeper.router.stop()?;
    keeper.router.start_held(&questions(), keeper.options)?;
    keep(&keeper.router.released()?, &all()).context("a start over existing interfaces")?;
    keeper.router.is_in(&state)?;
    keeper.router.stop()?;
    keeper.sh(lab::routers::EMPTY)?;
    keeper.router.start_held(&questions(), keeper.options)?;
    let probes = keeper.router.released()?;
    for tunnel in all() {
        let begun = probes.iter().position(|probe| tunnel.missing(probe).is_empty());
        let begun = begun.with_context(|| format!("{} does not start", tunnel.name))?;
        keep(probes.get(begun..).unwrap_or_default(), &[tunnel]).context("a start from nothing")?;
    }
    changes += probes.len();
    keeper.restart()?;
    keeper.ask(&["status"])?.ok()?;
    changes += probed(keeper, &[WG0, WG1], |keeper| {
        keeper.ask(&["remove", "wgs"])?.ok()?;
        Ok(())
    })?;
    changes += probed(keeper, &[WG1], |keeper| {
        keeper.ask(&["remove", "wg0"])?.ok()?;
        Ok(())
    })?;
    let rules = keeper.sh("ip rule; ip -6 rule")?;
    ensure!(rules.contains("lookup 100") && !rules.contains("lookup 51820"), "{rules}");
    keeper.ask(&["remove", "wg1"])?.ok()?;
    let rules = keeper.sh("ip rule; ip -6 rule")?;
    ensure!(!rules.contains("suppress") && !rules.contains("fwmark"), "{rules}");
    keeper.sh(WITHOUT_IPV6)?;
    Ok(format!("{changes} changes, and all packets on their way after each"))
}

/// An interface: its addresses, and the networks of one peer.
type Image = (&'static str, &'static str);

/// Edits for which the kernel changes more than was requested.
const EDITS: [Image; 12] = [
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

/// The other end of the tunnel that all images have: a network namespace behind an interface `far`. Packets come from
/// addresses of the router that belong to no image.
const FAR: &str = "set -e; I=/usr/bin/ip; $I netns add far; ip link add far type wireguard; \
    wg set far private-key /tmp/live peer $(wg show wg0 public-key) endpoint 127.0.0.1:51820 \
    allowed-ips 0.0.0.0/0,::/0; $I link set far netns far; \
    for a in 10.200.0.2/32 fd20::2/128; do $I -n far address add $a dev far; done; \
    $I -n far link set far up; $I -n far route add default dev far; $I -n far -6 route add default dev far; \
    ip address add 10.250.0.1/32 dev lo; ip -6 address add fd25::1/128 dev lo; \
    ip route add unreachable 10.200.0.0/24; ip -6 route add unreachable fd20::/64; \
    $I netns exec far ping -q -c 1 -W 60 10.250.0.1 >/dev/null";
const NO_FAR: &str = "/usr/bin/ip netns delete far; \
    ip route del unreachable 10.200.0.0/24; ip -6 route del unreachable fd20::/64; \
    ip address del 10.250.0.1/32 dev lo; ip -6 address del fd25::1/128 dev lo; true";

/// Packets of the tunnel: their source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flow(String);

/// The address in front of its length.
fn bare(address: &str) -> &str {
    address.split('/').next().unwrap_or_default()
}

impl Flow {
    /// The flows that an image with these addresses and this MTU has.
    fn of(addresses: &str, mtu: u32) -> BTreeSet<Self> {
        let global = addresses.split(' ').filter(|address| !address.starts_with("fe80:"));
        let sources = ["10.250.0.1", "fd25::1"].into_iter().chain(global.map(bare));
        let sources = sources.filter(|source| mtu >= 1280 || !source.contains(':'));
        sources.map(|source| Self(source.to_owned())).collect()
    }

    /// A shell script that sends one packet, waits for the reply, and prints the source if none came.
    fn ping(&self, patience: u32) -> String {
        let Self(source) = self;
        let to = if source.contains(':') { "-6 fd20::2" } else { "10.200.0.2" };
        format!("ping -q -c 1 -W {patience} -I {source} {to} >/dev/null 2>&1 || echo {source}\n")
    }

    /// Whether Linux itself interrupts the packets of this flow when these addresses of an interface become those: its
    /// IPv4 routes go with its last IPv4 address, and an IPv6 address cannot be there twice, with two lengths.
    fn breaks(&self, old: &str, new: &str) -> bool {
        let Self(source) = self;
        if source.contains(':') {
            let of = |addresses: &str| -> Vec<String> {
                let own = addresses.split(' ').filter(|address| bare(address) == source);
                own.map(str::to_owned).collect()
            };
            return of(old) != of(new);
        }
        old.contains('.') && !new.contains('.')
    }
}

pub(super) fn edits(keeper: &mut Keeper<'_>) -> Result<String> {
    let mut rng = Rng::with_seed(keeper.seed);
    let far = keeper.live_key()?;
    let (mut pushes, mut packets, mut lost) = (0, 0, 0);
    // The image before.
    let mut before: Option<(&str, u32)> = None;
    let mut push = |addresses: &'static str, allowed: &str, mtu: u32| -> Result<()> {
        let six = if mtu >= 1280 { ", fd20::2/128" } else { "" };
        let text = file(1, addresses, allowed, &format!("ListenPort = 51820\nMTU = {mtu}\n"));
        let text = format!("{text}[Peer]\nPublicKey = {far}\nAllowedIPs = 10.200.0.2/32{six}\n");
        let now = Flow::of(addresses, mtu);
        let flows: Vec<Flow> = match before {
            Some((addresses, mtu)) => {
                Flow::of(addresses, mtu).intersection(&now).cloned().collect()
            }
            None => Vec::new(),
        };
        let breaks = |flow: &Flow| before.is_some_and(|(old, _)| flow.breaks(old, addresses));
        let script: String =
            flows.iter().map(|flow| flow.ping(if breaks(flow) { 1 } else { 60 })).collect();
        keeper.router.hold(&script)?;
        let said = keeper.push("wg0", &text, &[]);
        let seen = keeper.router.released()?;
        said?.ok()?;
        packets += seen.len() * flows.len();
        for (nth, said) in seen.iter().enumerate() {
            for source in said.lines() {
                let flow = Flow(source.to_owned());
                ensure!(
                    flows.contains(&flow) && breaks(&flow),
                    "{before:?} -> {addresses}, {allowed}: packets from {source} are lost after change {} of {}",
                    nth + 1,
                    seen.len()
                );
                lost += 1;
            }
        }
        let said = keeper.push("wg0", &text, &[])?.ok()?;
        ensure!(said.is("/result/changed", false), "{addresses} {allowed}: {}", said.json);
        if before.is_none() {
            keeper.sh(FAR)?;
        }
        // After each edit all of its packets come through.
        let script: String = now.iter().map(|flow| flow.ping(60)).collect();
        let silent = keeper.sh(&script)?;
        ensure!(silent.is_empty(), "after {addresses} {allowed} no reply to {silent}");
        before = Some((addresses, mtu));
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
    for _ in 0..6 {
        let (address, allowed) = EDITS[rng.usize(..EDITS.len())];
        push(address, allowed, 1280 + rng.u32(..200))?;
    }
    keeper.sh(NO_FAR)?;
    Ok(format!(
        "{pushes} edits, each pushed twice; {packets} packets at each change, {lost} lost while Linux had no way"
    ))
}
