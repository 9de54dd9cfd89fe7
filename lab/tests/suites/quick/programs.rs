//! Steps that other programs do: resolvconf, the firewall without `nft`, and WireGuard without the
//! kernel module.

use super::{Bench, conf};
use anyhow::{Result, ensure};

/// A resolvconf that records its arguments and input.
pub(super) const RESOLVCONF: &str = r#"#!/bin/sh
echo "resolvconf $*" >>/tmp/s/programs
case $1 in
-a) cat >>/tmp/s/programs; [ ! -e /tmp/refuse ] || exit 6 ;;
-l) printf '# for %s\nnameserver 192.0.2.53\nsearch a.example\nnameserver 2001:db8::53\n' "$2" ;;
esac
"#;

pub(super) fn dns(bench: &Bench) -> Result<String> {
    bench.vm.put("/usr/bin/resolvconf", 0o755, RESOLVCONF.as_bytes())?;
    let done = dns_with(bench);
    bench.vm.sh("rm -rf /usr/bin/resolvconf /etc/resolvconf /tmp/refuse")?;
    done
}

fn dns_with(bench: &Bench) -> Result<String> {
    let servers = "DNS = 192.0.2.53,a.example  2001:db8::53\ndns = b.example, 1.1, x\nDNS =";
    let mut count = 0;
    for interface in [servers, "DNS = a.example", "DNS ="] {
        let conf = conf(interface, "AllowedIPs = 10.8.0.0/16");
        let did = bench.same(&conf, &["$quick up wg0", "$quick down wg0"])?;
        ensure!(did.iter().all(|did| did.status == 0), "{conf}\n{did:?}");
        let asked = did.iter().any(|did| did.state.contains("resolvconf -d wg0 -f"));
        ensure!(asked == (interface == servers), "{conf}\n{did:?}");
        count += 1;
    }
    let cat = "; s=$?; cat /etc/wireguard/wg0.conf; exit $s";
    let down = format!("$quick down wg0{cat}");
    let saves = conf(&format!("{servers}\nSaveConfig = true"), "");
    let did = bench.same(&saves, &["$quick up wg0", &down])?;
    ensure!(did[1].stdout.contains("DNS = 192.0.2.53\nDNS = 2001:db8::53\n"), "{did:?}");
    // Debian's resolvconf has an order of interface names.
    bench.vm.put("/etc/resolvconf/interface-order", 0o644, b"lo.inet*\nlo*x\ntun-0*\nwg*\n")?;
    let did = bench.same(&conf(servers, ""), &["$quick up wg0", "$quick down wg0"])?;
    ensure!(did[0].state.contains("resolvconf -a tun-0.wg0 -m 0 -x\nnameserver"), "{did:?}");
    // A resolvconf that fails reverts everything.
    bench.vm.sh("touch /tmp/refuse")?.ok()?;
    let did = bench.same(&conf(servers, ""), &["$quick up wg0"])?;
    ensure!(did[0].status == 6 && did[0].state.contains("does not exist"), "{did:?}");
    Ok(format!("{} configurations", count + 3))
}

/// Rules of others must stay.
const OTHERS: &str = "for p in iptables ip6tables; do $p -t raw -F; $p -t mangle -F; done; \
    iptables -t raw -A PREROUTING -i nobody -j ACCEPT; \
    iptables -t mangle -A POSTROUTING -m mark --mark 7 -m comment --comment \"wg-quick(8) rule for wg00\" -j ACCEPT; \
    ip6tables -t mangle -A PREROUTING -p udp -j CONNMARK --restore-mark; ";

pub(super) fn iptables(bench: &Bench) -> Result<String> {
    bench.vm.sh(
        "mv /usr/sbin/nft /usr/sbin/nft.away; for p in iptables ip6tables; do for f in '' -save \
         -restore; do ln -s xtables-legacy-multi /usr/sbin/$p$f; done; done",
    )?;
    let done = iptables_with(bench);
    let back = "for p in iptables ip6tables; do for f in '' -save -restore; do \
                $p -t raw -F; $p -t mangle -F; rm -f /usr/sbin/$p$f; done; done";
    bench.vm.sh(back)?;
    let neither = conf("Address = 10.9.0.1/24", "AllowedIPs = 0.0.0.0/0");
    let neither = bench.same(&neither, &["$quick up wg0"]);
    bench.vm.sh("mv /usr/sbin/nft.away /usr/sbin/nft")?;
    done?;
    let neither = neither?;
    ensure!(neither[0].status == 127, "{neither:?}");
    Ok(String::new())
}

fn iptables_with(bench: &Bench) -> Result<()> {
    let conf =
        conf("Address = 10.9.0.1/24, 10.9.1.1/32, fd09::1/64", "AllowedIPs = 0.0.0.0/0, ::/0");
    let up = format!("{OTHERS}$quick up wg0");
    let did = bench.same(&conf, &[&up, "$quick down wg0"])?;
    ensure!(did.iter().all(|did| did.status == 0), "{did:?}");
    let rules = |n: usize| did[n].state.matches("wg-quick(8) rule for wg0\"").count();
    ensure!((rules(0), rules(1)) == (7, 0), "{did:?}");
    ensure!(did[1].state.contains("wg-quick(8) rule for wg00"), "{did:?}");
    Ok(())
}

/// Debian's looks for programs first in its own folder.
pub(super) fn beside(bench: &Bench) -> Result<String> {
    let hook = conf("PostUp = beside", "");
    bench.vm.put("/etc/wireguard/wg0.conf", 0o600, hook.as_bytes())?;
    bench
        .vm
        .sh(
            "mkdir -p /tmp/b; cp /usr/bin/wg-quick /tmp/b/wg-quick; cp /opt/wg-quick /tmp/b/ours; \
         mkdir -p /tmp/o; ln -sf /tmp/b/ours /tmp/o/wg-quick; \
         printf '#!/bin/sh\\necho beside\\n' >/tmp/b/beside; chmod 755 /tmp/b/*",
        )?
        .ok()?;
    let (debian, said) = bench.run("/tmp/b/wg-quick", "$quick up wg0 && $quick down wg0")?;
    ensure!((debian.status, debian.stdout.as_str()) == (0, "beside\n"), "{debian:?} {said}");
    let (ours, said) = bench.run("/tmp/o/wg-quick", "$quick up wg0")?;
    ensure!(ours.status == 127 && ours.state.contains("does not exist"), "{ours:?} {said}");
    let found = "PATH=/tmp/b:$PATH; $quick up wg0 && $quick down wg0";
    let (ours, said) = bench.run("/tmp/o/wg-quick", found)?;
    ensure!((ours.status, ours.stdout.as_str()) == (0, "beside\n"), "{ours:?} {said}");
    Ok(String::new())
}

pub(super) fn in_user_space(bench: &Bench) -> Result<String> {
    let good = conf("Address = 10.9.0.1/24, fd09::1/64", "AllowedIPs = 10.8.0.0/16, fd08::/64");
    // A link of another kind would get a random address of its own.
    let own = "/proc/sys/net/ipv6/conf/default/addr_gen_mode";
    bench
        .vm
        .sh(&format!(
            "ip link delete wg0; echo 1 >{own}; rmmod wireguard && [ ! -e /sys/module/wireguard ]"
        ))?
        .ok()?;
    let done = in_user_space_with(bench, &good);
    bench
        .vm
        .sh(&format!("killall wireguard-go; echo 0 >{own}; insmod /lib/modules/wireguard.ko"))?
        .ok()?;
    done
}

/// Waits until the program of a removed interface has ended.
const GONE: &str = "; s=$?; n=0; while [ -e /var/run/wireguard/wg0.sock ] && [ $n -lt 100 ]; do n=$((n + 1)); \
    usleep 50000; done; exit $s";

fn in_user_space_with(bench: &Bench, good: &str) -> Result<String> {
    let default = conf(
        "Address = 10.9.0.1/24\nMTU = 1380\nPostUp = echo up %i\nSaveConfig = true",
        "AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 192.0.2.9:7",
    );
    let down = format!("$quick down wg0{GONE}");
    let saved = "$quick save wg0; s=$?; cat /etc/wireguard/wg0.conf; exit $s";
    let twice = "$quick up wg0; echo $?; $quick up wg0; echo $?";
    let mut count = 0;
    for conf in [good, &default] {
        let did = bench.same(conf, &[twice, saved, &down])?;
        ensure!(
            did.iter().all(|did| did.status == 0) && did[0].stdout.ends_with("0\n1\n"),
            "{did:?}"
        );
        ensure!(did[0].state.contains("tun type tun"), "{did:?}");
        ensure!(did[2].state.contains("does not exist"), "{did:?}");
        count += 1;
    }
    let named = "export WG_QUICK_USERSPACE_IMPLEMENTATION";
    let wrapped = "printf '#!/bin/sh\\necho wrapped $*; exec wireguard-go $*\\n' >/tmp/s/go; chmod 755 /tmp/s/go";
    for (name, status) in [("=/tmp/s/go", 0), ("=no-such-program", 1), ("=", 0), ("=false", 1)] {
        let up = format!("{wrapped}; {named}{name}; $quick up wg0 && $quick down wg0{GONE}");
        for program in ["/usr/bin/wg-quick", "/opt/wg-quick"] {
            bench.vm.sh("mkdir -p /tmp/s")?;
            bench.vm.put("/etc/wireguard/wg0.conf", 0o600, good.as_bytes())?;
            let (did, said) = bench.run(program, &up)?;
            let fits = (did.status == 0) == (status == 0) && did.state.contains("does not exist");
            ensure!(fits, "{name} {program} {} {}\n{said}\n{}", did.status, did.stdout, did.state);
            let wanted = if name == "=/tmp/s/go" { "wrapped wg0\n" } else { "" };
            ensure!(did.stdout == wanted, "{}", did.stdout);
            count += 1;
        }
    }
    Ok(format!("{count} times"))
}
