//! A default route through the tunnel: the path of packets, and the state after its removal.

use super::Bench;
use anyhow::{Result, ensure};

/// Two namespaces with a wire between them. The near one is the router; the far one is its
/// provider, the other end of the tunnel and all of the internet. The endpoint is reached by the
/// default route.
const WORLD: &str = "set -e; ip=/usr/bin/ip
for ns in near far; do $ip netns del $ns 2>/dev/null || true; $ip netns add $ns; done
$ip link add v0 netns near type veth peer name v0 netns far
for ns in near far; do $ip -n $ns link set v0 addrgenmode none; done
$ip -n near address add 192.0.2.1/24 dev v0; $ip -n near address add 2001:db8:9::1/64 dev v0 nodad
$ip -n far address add 192.0.2.2/24 dev v0; $ip -n far address add 2001:db8:9::2/64 dev v0 nodad
for ns in near far; do $ip -n $ns link set lo up; $ip -n $ns link set v0 up; done
for a in 198.51.100.2/32 203.0.113.1/32 2001:db8:5::1/128; do $ip -n far address add $a dev lo; done
$ip -n near route add default via 192.0.2.2; $ip -n near route add default via 2001:db8:9::2
$ip -n far link add wgf type wireguard
wg genkey >/tmp/s/far; wg genkey >/tmp/s/near
$ip netns exec far wg set wgf listen-port 7 private-key /tmp/s/far peer $(wg pubkey </tmp/s/near) allowed-ips 10.9.0.1/32,fd09::1/128
$ip -n far address add 10.9.0.2/24 dev wgf; $ip -n far address add fd09::2/64 dev wgf nodad; $ip -n far link set wgf up
cat >/tmp/s/wg0.conf <<END
[Interface]
PrivateKey = $(cat /tmp/s/near)
Address = 10.9.0.1/24, fd09::1/64
[Peer]
PublicKey = $(wg pubkey </tmp/s/far)
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = 198.51.100.2:7
END
# The strictest filter of a router: a packet must arrive from the link of its return route.
for i in all default v0; do $ip netns exec near sysctl -q net.ipv4.conf.$i.rp_filter=1; done
$ip netns exec far nft 'add table inet seen; add chain inet seen in { type filter hook input priority 0; };
add rule inet seen in iifname \"v0\" icmp type echo-request drop;
add rule inet seen in iifname \"v0\" icmpv6 type echo-request drop'";

const STATE: &str = "ip=/usr/bin/ip; for f in 4 6; do $ip -n near -d -$f route show table all | sort; \
    $ip -n near -d -$f rule; done; $ip netns exec near nft list ruleset; $ip -n near -br address";

pub(super) fn default_route(bench: &Bench) -> Result<String> {
    let vm = &bench.vm;
    let mut shown = String::new();
    for program in ["/usr/bin/wg-quick", "/opt/wg-quick"] {
        vm.sh("rm -rf /tmp/s; mkdir -p /tmp/s /run/netns")?;
        vm.sh(WORLD)?.ok()?;
        let near = |script: &str| vm.sh(&format!("/usr/bin/ip netns exec near {script}"));
        let before = vm.sh(STATE)?.ok()?.text();
        // Without the tunnel no packet passes: the far end drops packets that arrive in the clear.
        ensure!(
            near("ping -c 1 -W 1 203.0.113.1")?.status != 0,
            "the far end answers in the clear"
        );
        near(&format!("{program} up /tmp/s/wg0.conf"))?.ok()?;
        for host in ["203.0.113.1", "2001:db8:5::1", "10.9.0.2", "fd09::2"] {
            let ping = near(&format!("ping -c 2 -W 5 {host}"))?.ok()?.text();
            ensure!(ping.contains("2 packets received"), "{ping}");
        }
        let sent = vm.sh("/usr/bin/ip -n near -s link show dev wg0 | tail -1")?.ok()?.text();
        let sent: Vec<u32> = sent.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        // Eight pings, and IPv6's own traffic. A packet of the tunnel that was routed into the
        // tunnel would be sent again and again, each time larger.
        ensure!(sent.get(1).is_some_and(|packets| (8..20).contains(packets)), "{sent:?}");
        for (to, dev) in [("198.51.100.2 mark 51820", "v0"), ("198.51.100.2", "wg0")] {
            let route = near(&format!("/usr/bin/ip route get {to}"))?.ok()?.text();
            ensure!(route.contains(&format!("dev {dev} ")), "to {to}: {route}");
        }
        // The address in the tunnel is reachable only through the tunnel.
        let reached = vm.sh("/usr/bin/ip -n far route add 10.9.0.1/32 via 192.0.2.1 dev v0; \
             /usr/bin/ip netns exec far ping -c 1 -W 1 10.9.0.1")?;
        ensure!(reached.status != 0, "{}", reached.text());
        near(&format!("{program} down /tmp/s/wg0.conf"))?.ok()?;
        let after = vm.sh(STATE)?.ok()?.text();
        ensure!(before == after, "{program} left\n{}", super::difference(&before, &after));
        shown = format!("{} packets sent for 8 pings", sent.get(1).copied().unwrap_or(0));
    }
    Ok(shown)
}
