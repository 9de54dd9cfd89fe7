//! Manual settings on the router, with attributes that an image cannot express, on a real kernel: a
//! change that is refused at any request restores them exactly. And a kernel without IPv6.

use super::Setting;
use anyhow::{Context, Result, ensure};
use lab::{
    Arch, Lab, Machine, programs,
    routers::{ALONE, Reach, Router, is_change},
};
use xtask::build;

/// Everything that a change may touch, printed by Debian's `ip`, without lifetimes.
const SEE: &str = "I=/usr/bin/ip; wg showconf wg0 2>&1 | sort; wg show wg0 endpoints 2>&1 | sort; \
    { $I -d link show wg0 2>&1 | grep mtu; $I -d address show; } | \
    sed 's/^[0-9]*: //; s/valid_lft [0-9]*sec preferred_lft [0-9]*sec/for a time/'; \
    $I -4 -d route show table all; \
    $I -6 -d route show table all | sed 's/expires [0-9]*sec/for a time/' | sort; $I rule; $I -6 rule";

/// An interface that was set up by hand with `ip`.
const BY_HAND: &str = "set -e; I=/usr/bin/ip; $I link add eth9 type dummy; $I link set eth9 up; \
    $I address add 198.51.100.2/24 dev eth9; $I link add wg0 type wireguard; \
    wg genkey >/tmp/key; wg set wg0 private-key /tmp/key listen-port 1234 fwmark 7 \
      peer $(wg genkey | wg pubkey) endpoint [fe80::1%eth9]:51820 allowed-ips 10.8.0.0/24 \
      peer $(wg genkey | wg pubkey) endpoint [fe80::2%eth0]:51820 persistent-keepalive 5 \
      peer $(wg genkey | wg pubkey) endpoint 192.0.2.77:5 allowed-ips fd08::/64; \
    $I link set wg0 mtu 70000 up; \
    $I address add 10.0.0.1/24 broadcast 10.0.0.255 label wg0:a dev wg0; \
    $I address add 10.0.0.2/24 dev wg0; \
    $I address add 10.0.0.3/24 dev wg0 valid_lft 5000 preferred_lft 4000; \
    $I address add 10.6.0.1 peer 10.6.0.9/32 scope link dev wg0; \
    $I address add 10.7.0.1/24 noprefixroute dev wg0; \
    $I address add fd00::1/64 nodad dev wg0; $I address add fd00::2/64 noprefixroute dev wg0; \
    $I address add fd06::1 peer fd06::9/128 dev wg0; $I address add fe80::5/64 dev wg0; \
    $I route add 10.9.0.0/16 dev wg0 src 10.0.0.2 mtu 1300 advmss 1200; \
    $I route add 10.9.0.0/16 tos 8 dev wg0; \
    $I route add 10.10.0.0/16 via 10.0.0.77 proto 87; \
    $I route add 10.11.0.0/16 nexthop via 10.0.0.77 weight 3 nexthop via 10.6.0.9 dev wg0; \
    $I route add 10.12.0.0/16 dev eth9 src 10.0.0.1 table 7; \
    $I -6 route add fd09::/64 dev wg0 expires 5000 metric 7; \
    $I -6 route add fd0a::/64 nexthop via fd00::77 dev wg0 nexthop via fd00::78 dev wg0 weight 2; \
    $I -6 route add fd0b::/64 via fd00::77 src fd00::2 dev wg0; \
    $I rule add fwmark 0/0xffffffff table 7 priority 900; $I rule add from 10.0.0.1 table 7 priority 901";

/// A completely different configuration: it removes or changes each address, each route and the
/// MTU.
const OTHER: &str = "[Interface]\nPrivateKey = GBCfUjSBUFtkuOsQgEMkHO+Ke+ulxyxaJKJdX9TmW1c=\nAddress = 10.0.0.9/24\n\
    ListenPort = 4321\nMTU = 1200\n[Peer]\nPublicKey = jqGEnJGQqHHCLpCjFiBWgpLG2gmNy7tPURVvqUwXXzA=\n\
    AllowedIPs = 10.99.0.0/16\n";

fn seen(router: &Router<'_>) -> Result<String> {
    Ok(router.vm.sh(SEE)?.ok()?.text())
}

fn is_still(router: &Router<'_>, before: &str) -> Result<()> {
    let after = seen(router)?;
    // The kernel generates a random address for a link, which differs afterwards.
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (was, is) = (lines(before), lines(&after));
    let lost: Vec<_> = was.iter().filter(|line| !is.contains(line)).collect();
    let new: Vec<_> = is.iter().filter(|line| !was.contains(line)).collect();
    ensure!(lost.is_empty() && new.is_empty(), "lost {lost:#?}\nnew {new:#?}");
    ensure!(before == after, "in another order:\n{before}\n\n{after}");
    Ok(())
}

/// The lab, with Debian's `ip`.
fn lab() -> Result<Lab> {
    Lab::prepare(Arch::X86_64)?.and_programs(&[programs::IP])
}

fn machine<'l>(lab: &'l Lab, agent: &[u8], name: &str) -> Machine<'l> {
    let machine = lab.machine(name).file("/bin/postwired", 0o755, agent);
    let machine = machine.with_wireguard_tools().with_strace().with_program(programs::IP);
    machine.module("dummy")
}

fn router<'l>(
    setting: &'l Setting,
    machine: &Machine<'_>,
    name: &str,
    options: &str,
) -> Result<Router<'l>> {
    let folder = build::target_folder().join("lab").join("test").join(name);
    let router = Router::new(machine.boot()?, &setting.tool, folder)?;
    router.fresh(options)?;
    Ok(router)
}

pub(super) fn comes_back(setting: &Setting) -> Result<String> {
    let lab = lab()?;
    let router = router(setting, &machine(&lab, &setting.agent, "byhand"), "byhand", ALONE)?;
    let made = router.vm.sh(BY_HAND)?;
    ensure!(made.status == 0, "{made:?}");
    let before = seen(&router)?;
    let words = ["push", "--confirm-within", "3600s", "--confirm-by-hand"];
    let path = router.file(OTHER)?;
    let path = path.to_str().context("a path that is no text")?;
    let push = || {
        router.postwire(&Reach::Serial, &[words[0], path, "--adopt", words[1], words[2], words[3]])
    };
    // Another program created the interface: the agent does not touch it unless the owner adopts
    // it.
    let refused = router.postwire(&Reach::Serial, &["push", path])?;
    ensure!(refused.code == 1 && refused.json.to_string().contains("--adopt"), "{}", refused.json);
    is_still(&router, &before).context("after a push without --adopt")?;
    router.trace("sendto", "")?;
    push()?.ok()?;
    let lines = router.traced()?;
    ensure!(seen(&router)? != before, "nothing was changed");
    router.postwire(&Reach::Serial, &["revert"])?.ok()?;
    is_still(&router, &before).context("after an unconfirmed change")?;
    let changes: Vec<usize> = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| is_change(line))
        .map(|(at, _)| at + 1)
        .collect();
    for (nth, at) in changes.iter().enumerate() {
        let tried = || -> Result<()> {
            router.trace("sendto", &format!("sendto:error=ENOBUFS:when={at}..{}", at + 1))?;
            let said = push()?;
            router.traced()?;
            if said.code == 0 {
                // After a refusal, a message about several peers is sent again in parts.
                router.postwire(&Reach::Serial, &["revert"])?.ok()?;
            } else {
                ensure!(said.text("/error/state") != "partly", "{}", said.json);
            }
            is_still(&router, &before)
        };
        tried().with_context(|| format!("change {} of {}", nth + 1, changes.len()))?;
    }
    // The agent may remove an adopted interface.
    router.postwire(&Reach::Serial, &["push", path, "--adopt"])?.ok()?;
    let remove = ["remove", "wg0"];
    router.postwire(&Reach::Serial, &remove)?.ok()?;
    Ok(format!("{} refusals, {} lines each time the same", changes.len(), before.lines().count()))
}

/// A file with IPv4 only.
const IPV4: &str = "[Interface]\nPrivateKey = GBCfUjSBUFtkuOsQgEMkHO+Ke+ulxyxaJKJdX9TmW1c=\nAddress = 10.73.0.1/24\n\
    ListenPort = 51877\n[Peer]\nPublicKey = jqGEnJGQqHHCLpCjFiBWgpLG2gmNy7tPURVvqUwXXzA=\n\
    Endpoint = 192.0.2.7:51820\nAllowedIPs = 10.73.0.0/24\n";

pub(super) fn no_ipv6(setting: &Setting) -> Result<String> {
    let lab = lab()?;
    let machine = machine(&lab, &setting.agent, "noipv6").kernel_argument("ipv6.disable=1");
    let router = router(setting, &machine, "noipv6", "")?;
    ensure!(router.vm.sh("cat /proc/net/if_inet6")?.status != 0, "this kernel has IPv6");
    router.push(&Reach::Udp, IPV4)?.ok()?;
    let again = router.push(&Reach::Udp, IPV4)?.ok()?;
    let before = router.everything()?;
    // A default route has rules, here for IPv4 only.
    let full = IPV4.replace("AllowedIPs = 10.73.0.0/24", "AllowedIPs = 0.0.0.0/0");
    router.push(&Reach::Udp, &full)?.ok()?;
    router.push(&Reach::Udp, IPV4)?.ok()?;
    router.is_still(&before)?;
    let mut words = String::new();
    for (from, to) in [
        ("10.73.0.1/24", "10.73.0.1/24, fd73::1/64"),
        ("10.73.0.0/24", "10.73.0.0/24, fd73::/64"),
        ("10.73.0.0/24", "0.0.0.0/0, ::/0"),
    ] {
        let (head, tail) = IPV4.split_at(IPV4.find(from).context("the file is another one")?);
        let said = router.push(&Reach::Udp, &format!("{head}{}", tail.replacen(from, to, 1)))?;
        ensure!(said.code == 1 && said.text("/error/state") == "unchanged", "{}", said.json);
        let message = said.text("/error/message");
        ensure!(message.contains("kernel has no") && message.contains("IPv6"), "{message}");
        message.clone_into(&mut words);
        router.is_still(&before)?;
    }
    router
        .postwire(&Reach::Udp, &["diff", &router.folder.join("wg0.conf").display().to_string()])?;
    router.postwire(&Reach::Udp, &["remove", "wg0"])?.ok()?;
    // wg-quick must do all its steps.
    let quick = "mkdir -p /etc/wireguard /tmp/bin; ln -s /bin/postwired /tmp/bin/wg-quick; \
        printf '[Interface]\\nPrivateKey = %s\\nAddress = 10.71.0.2/32\\nPostDown = echo gone >/tmp/gone\\n[Peer]\\n\
        PublicKey = %s\\nAllowedIPs = 0.0.0.0/0\\n' $(wg genkey) $(wg genkey | wg pubkey) >/etc/wireguard/wg5.conf; \
        printf '#!/bin/sh\\ncat >/dev/null\\n' >/bin/nft; chmod +x /bin/nft; \
        /tmp/bin/wg-quick up wg5 && /tmp/bin/wg-quick down wg5 && cat /tmp/gone && ip rule";
    let done = router.vm.sh(quick)?;
    ensure!(done.status == 0 && !done.text().contains("51820"), "{done:?}");
    ensure!(again.code == 0, "{}", again.json);
    Ok(words.rsplit("wg0.conf").next().unwrap_or_default().to_owned())
}
