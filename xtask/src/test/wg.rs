//! `wg` of the agent on a real kernel: what LuCI, netifd and people's scripts call, from busybox ash.
//! Everything is done twice, by Debian's `wg` and by ours, each on its own interface.

use super::{Tally, config::Config, lanes::Part};
use crate::{
    build,
    lab::{Arch, Lab, Vm},
    rng::Rng,
};
use anyhow::{Context, Result, bail, ensure};
use std::{fs, time::Duration};

/// The router, with Debian's `wg` and ours.
struct Bench {
    vm: Vm,
    seed: u64,
}

type Test = fn(&Bench) -> Result<String>;

const TESTS: &[(&str, Test)] = &[
    ("LuCI's and netifd's calls", openwrt),
    ("keys", keys),
    ("every field of a device is shown", fields),
    ("files, standard input, FIFOs and processes", inputs),
    ("allowed IPs are added and taken away", signs),
    ("an endpoint without address", unresolved),
    ("a peer that is the same is not touched", undisturbed),
    ("10,000 peers, and 10,000 allowed IPs of one", long),
];

fn named(test: &str) -> String {
    format!("wg: {test}")
}

pub(super) fn part(tally: &Tally, seed: u64) -> Part<'_> {
    Part::new("wg", TESTS.iter().map(|(test, _)| named(test)), move || run(tally, seed))
}

fn run(tally: &Tally, seed: u64) -> Result<()> {
    let agent = fs::read(build::agent(Arch::X86_64)?)?;
    let lab = Lab::prepare(Arch::X86_64)?;
    let machine = lab.machine("wg").with_wireguard_tools().with_strace();
    let machine = machine.file("/opt/wg", 0o755, agent).file("/etc/hosts", 0o644, HOSTS);
    let bench = Bench { vm: machine.boot()?, seed };
    for (test, run) in TESTS {
        tally.test(&named(test), || {
            bench.fresh()?;
            run(&bench).with_context(|| format!("seed {seed}"))
        });
    }
    Ok(())
}

const HOSTS: &str = "127.0.0.1 localhost\n192.0.2.77 host.example\n2001:db8::77 six.example\n";

/// What a script did.
#[derive(PartialEq, Eq, Debug)]
struct Did {
    status: i32,
    stdout: String,
}

/// The first lines that differ.
fn difference(debian: &str, ours: &str) -> String {
    let mut lines = debian.lines().zip(ours.lines()).filter(|(debian, ours)| debian != ours);
    let (lengths, first) = ((debian.len(), ours.len()), lines.next());
    format!("{first:?}, {} more; bytes: {lengths:?}", lines.count())
}

impl Bench {
    /// Two new interfaces.
    fn fresh(&self) -> Result<()> {
        self.vm.sh("for i in wgd wgo; do wg setconf $i /dev/null 2>/dev/null; \
             ip link delete $i 2>/dev/null; ip link add $i type wireguard; done; rm -rf /tmp/t; \
             mkdir /tmp/t; ln -sf /proc/self/fd/0 /dev/stdin; ln -sf /proc/self/fd /dev/fd")?;
        Ok(())
    }

    /// Runs a script with a `wg` (`$wg`) on an interface (`$i`).
    fn run(&self, wg: &str, interface: &str, script: &str, input: &[u8]) -> Result<(Did, String)> {
        let script = format!("wg={wg} i={interface}\ncd /tmp/t\n{script}");
        let out = self.vm.sh_with(&script, input, Duration::from_secs(120))?;
        let stdout = String::from_utf8_lossy(&out.stdout).replace(interface, "$i");
        let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
        Ok((Did { status: out.status, stdout }, stderr))
    }

    fn debian(&self, script: &str, input: &[u8]) -> Result<(Did, String)> {
        self.run("/usr/bin/wg", "wgd", script, input)
    }

    fn ours(&self, script: &str, input: &[u8]) -> Result<(Did, String)> {
        self.run("/opt/wg", "wgo", script, input)
    }

    /// Runs a script with each of the two, and fails where they differ.
    fn same_with(&self, script: &str, input: &[u8]) -> Result<Did> {
        let (debian, debian_said) = self.debian(script, input)?;
        let (ours, ours_said) = self.ours(script, input)?;
        ensure!(
            debian == ours,
            "{script}\nDebian's: {} {debian_said}\nours: {} {ours_said}\n{}",
            debian.status,
            ours.status,
            difference(&debian.stdout, &ours.stdout)
        );
        let (left, ours) = (self.state("wgd")?, self.state("wgo")?);
        ensure!(
            left == ours,
            "{script}
{ours_said}
{}",
            difference(&left, &ours)
        );
        Ok(debian)
    }

    /// What the kernel has, by Debian's `wg`.
    fn state(&self, interface: &str) -> Result<String> {
        let limit = Duration::from_secs(120);
        let script = format!("/usr/bin/wg show {interface} dump");
        Ok(self.vm.sh_with(&script, b"", limit)?.ok()?.text())
    }

    /// The same for a script that goes well.
    fn well(&self, script: &str, input: &[u8]) -> Result<Did> {
        let did = self.same_with(script, input)?;
        if did.status != 0 {
            let (_, said) = self.debian(script, input)?;
            bail!("{script} ended with {}: {said}", did.status);
        }
        Ok(did)
    }

    fn same(&self, script: &str) -> Result<Did> {
        self.same_with(script, b"")
    }
}

/// As LuCI's `luci.wireguard` and netifd's `wireguard.sh` call it, and its watchdog.
fn openwrt(bench: &Bench) -> Result<String> {
    let made = bench.vm.sh("PATH=/opt:$PATH; wg genkey 2>/dev/null | wg pubkey 2>/dev/null")?;
    ensure!(made.ok()?.text().trim().len() == 44, "no key");
    bench.well("cat >c; cat c | $wg syncconf $i /dev/stdin", CONF.as_bytes())?;
    bench.well("cat >c; $wg setconf $i c", CONF.as_bytes())?;
    let peer = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
    bench.well(&format!("$wg set $i peer {peer} endpoint '192.0.2.9:7'"), b"")?;
    bench.well("$wg show $i latest-handshakes | cut -f2; $wg show $i endpoints", b"")?;
    // One interface at a time, so that there is nothing else to show.
    let mut shown = Vec::new();
    for (wg, interface, other) in [("/usr/bin/wg", "wgd", "wgo"), ("/opt/wg", "wgo", "wgd")] {
        let script = format!(
            "ip link delete {other}; for what in 'show all dump' 'show interfaces' show; do \
             {wg} $what; done; {wg} show all dump | awk -F'\t' 'NF == 5' | wc -l; \
             ip link add {other} type wireguard; {wg} setconf {other} /tmp/t/c; \
             {wg} set {other} peer {peer} endpoint 192.0.2.9:7"
        );
        let out = bench.vm.sh(&script)?.ok()?.text();
        ensure!(out.contains("\n1"), "{out}");
        shown.push(out.replace(interface, "$i"));
    }
    ensure!(shown[0] == shown[1], "{}", difference(&shown[0], &shown[1]));
    Ok(String::new())
}

fn keys(bench: &Bench) -> Result<String> {
    // Keys are random: only what the one makes of the other's can be compared.
    for (maker, taker) in [("/usr/bin/wg", "/opt/wg"), ("/opt/wg", "/usr/bin/wg")] {
        let script = format!(
            "for n in 1 2 3 4 5 6 7 8; do k=$({maker} genkey); \
             echo $(echo $k | {maker} pubkey) $(echo $k | {taker} pubkey); done; \
             {maker} genkey | {taker} pubkey | wc -c; {maker} genpsk | wc -c"
        );
        let out = bench.vm.sh(&script)?.ok()?.text();
        let mut lines: Vec<&str> = out.lines().collect();
        ensure!(lines.split_off(8) == ["45", "45"], "{out}");
        for line in lines {
            let (one, other) = line.split_once(' ').context("two keys")?;
            ensure!(one == other && one.len() == 44, "{line}");
        }
    }
    for wrong in [
        "echo | $wg pubkey",
        "echo x | $wg pubkey",
        "$wg pubkey </dev/null",
        "(wg genkey; echo x) | $wg pubkey",
        "wg genkey | tr -d '\\n=' | $wg pubkey",
        "$wg genkey x",
    ] {
        ensure!(bench.same(wrong)?.status == 1, "{wrong}");
    }
    bench.same("printf 'AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\\0 \\n' | $wg pubkey")?;
    Ok("16 of them, both ways".to_owned())
}

/// A device with all there is.
const FULL: &str = "k1=$(head -c 32 /dev/zero | tr '\\0' 'a' | base64) k2=$(head -c 32 /dev/zero | tr '\\0' 'b' | base64)
echo $k1 >k1; echo $k2 >k2
$wg set $i listen-port 51820 fwmark 0xca6c private-key k1 peer $k1 peer $k2 preshared-key k2 endpoint 192.0.2.1:7 \
persistent-keepalive 25 allowed-ips 10.0.0.0/8,fd00::/64,::1.2.3.4/128,::/0 peer ${k2%=}A= remove 2>/dev/null
$wg set $i peer yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk= endpoint [2001:db8::1]:65535 \
peer xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg= endpoint [fe80::1%lo]:1 persistent-keepalive 65535 || exit 1
";

fn fields(bench: &Bench) -> Result<String> {
    bench.same(FULL)?;
    let mut count = 0;
    for field in [
        "",
        "public-key",
        "private-key",
        "listen-port",
        "fwmark",
        "peers",
        "preshared-keys",
        "endpoints",
        "allowed-ips",
        "latest-handshakes",
        "transfer",
        "persistent-keepalive",
        "dump",
        "bogus",
    ] {
        for environment in [
            "",
            "WG_COLOR_MODE=always WG_HIDE_KEYS=never",
            "WG_COLOR_MODE=never WG_HIDE_KEYS=always",
        ] {
            let shown = bench.same(&format!("{environment} $wg show $i {field}"))?;
            ensure!((shown.status == 1) == (field == "bogus"), "{shown:?}");
            count += 1;
        }
    }
    bench.same("$wg showconf $i")?;
    bench.same("$wg showconf $i >conf; $wg setconf $i conf")?;
    for script in [
        "$wg show nobody",
        "$wg show nobody dump",
        "$wg showconf",
        "$wg showconf all",
        "$wg show all bogus",
        "$wg show interfaces x",
        "$wg show a b c",
        "$wg show --help",
        "$wg setconf --help",
        "$wg bogus",
        "$wg help x",
        "$wg set",
        "$wg set $i",
        "$wg show lo",
    ] {
        bench.same(script)?;
    }
    for script in [
        "$wg",
        "$wg show",
        "$wg show all",
        "$wg show all dump",
        "$wg show interfaces",
        "$wg show all transfer",
    ] {
        let (debian, _) = bench.debian(script, b"")?;
        let (ours, said) = bench.ours(&script.replace("$i", "wgd"), b"")?;
        let plain = |text: &str| text.replace("wgo", "$i").replace("wgd", "$i");
        ensure!(
            plain(&debian.stdout) == plain(&ours.stdout),
            "{script}: {debian:?} {ours:?} {said}"
        );
    }
    let (help, _) = bench.run("wg", "wgd", "alias wg=/usr/bin/wg; wg --help", b"")?;
    let (ours, _) = bench.run("wg", "wgd", "PATH=/opt:$PATH wg --help", b"")?;
    ensure!(help == ours, "{}", ours.stdout);
    Ok(format!("{count} ways"))
}

const CONF: &str = "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n\
    ListenPort = 7\n[Peer]\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\n\
    AllowedIPs = 10.1.2.3/8 , fd00::/64\nEndpoint = host.example:7\n";

fn inputs(bench: &Bench) -> Result<String> {
    let input = CONF.as_bytes();
    let hosts = "[Peer]\nPublicKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n\
                 Endpoint = HOST:7\n";
    for command in ["setconf", "syncconf", "addconf"] {
        for script in [
            "cat | $wg COMMAND $i /dev/stdin",
            "cat >conf; $wg COMMAND $i conf",
            "cat | $wg COMMAND $i /proc/self/fd/0",
            "cat >conf; mkfifo f; (cat conf >f)& $wg COMMAND $i f; s=$?; rm f; exit $s",
            "cat >conf; $wg COMMAND $i <(cat conf)",
            "cat >/dev/null; $wg COMMAND $i /dev/null",
        ] {
            bench.well(&script.replace("COMMAND", command), input)?;
        }
        for host in ["six.example", "host.example", "[fe80::1%lo]", "[192.0.2.3]", "10.1", "::1"] {
            let text = hosts.replace("HOST", host);
            bench.well(&format!("cat | $wg {command} $i /dev/stdin"), text.as_bytes())?;
        }
        for script in [
            "cat >/dev/null; $wg COMMAND $i /no/such/file",
            "cat >/dev/null; $wg COMMAND nobody /dev/null",
            "cat >/dev/null; $wg COMMAND lo /dev/null",
            "$wg COMMAND $i",
        ] {
            bench.same_with(&script.replace("COMMAND", command), input)?;
        }
    }
    Ok(String::new())
}

fn long(bench: &Bench) -> Result<String> {
    let config = Config::random(&mut Rng::new(bench.seed), 10_000, 1).text();
    let strip = ["MTU", "Table", "Address"];
    let kept = |line: &&str| !strip.iter().any(|no| line.starts_with(no));
    let text: Vec<&str> = config.lines().filter(kept).collect();
    let text = text.join("\n");
    let mut changed = text.replacen("PersistentKeepalive = 25", "PersistentKeepalive = 26", 1);
    changed.push_str("\n[Peer]\nPublicKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=");
    let mut count = 0;
    for (command, text) in [("setconf", &text), ("syncconf", &text), ("syncconf", &changed)] {
        bench.well(&format!("cat | $wg {command} $i /dev/stdin"), text.as_bytes())?;
        count += 1;
    }
    let ips: Vec<String> = (0..10_000).map(|n| format!("10.{}.{}.0/24", n >> 8, n & 255)).collect();
    let one = format!("{CONF}AllowedIPs = {}", ips.join(", "));
    for command in ["setconf", "syncconf", "addconf"] {
        bench.well(&format!("cat | $wg {command} $i /dev/stdin"), one.as_bytes())?;
        count += 1;
    }
    Ok(format!("{count} times the same"))
}

/// This kernel is older than 6.16 and cannot do it itself.
fn signs(bench: &Bench) -> Result<String> {
    let peer = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
    let other = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
    let a = format!("peer {peer} allowed-ips");
    let b = format!("peer {other} allowed-ips");
    for (words, one, two) in [
        (
            format!("{a} 10.0.1.0/24,fd00::/64 {b} 10.0.2.0/24"),
            "10.0.1.0/24 fd00::/64",
            "10.0.2.0/24",
        ),
        (format!("{a} +10.0.3.0/24"), "10.0.1.0/24 10.0.3.0/24 fd00::/64", "10.0.2.0/24"),
        (format!("{a} -10.0.1.0/24,-10.0.2.0/24,-::/0"), "10.0.3.0/24 fd00::/64", "10.0.2.0/24"),
        (format!("{b} +10.0.3.0/24,-10.0.2.0/24"), "fd00::/64", "10.0.3.0/24"),
    ] {
        bench.vm.sh(&format!("/opt/wg set wgo {words}"))?.ok()?;
        let shown = bench.vm.sh("wg show wgo allowed-ips")?.ok()?.text();
        let mut left = Vec::new();
        for key in [peer, other] {
            let ips =
                shown.lines().find_map(|line| line.strip_prefix(key)).context("a peer is gone")?;
            let mut ips: Vec<&str> = ips.split_whitespace().collect();
            ips.sort_unstable();
            left.push(ips.join(" "));
        }
        ensure!(left == [one, two] && shown.lines().count() == 2, "{words} left {shown}");
    }
    Ok(String::new())
}

fn unresolved(bench: &Bench) -> Result<String> {
    let conf = "[Peer]\nPublicKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n\
                Endpoint = no-such-host.example:7\n[Peer]\n\
                PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\n\
                Endpoint = six.example:7\n";
    let set = "export WG_ENDPOINT_RESOLUTION_RETRIES=0; cat | $wg setconf $i /dev/stdin";
    let failed = bench.same_with(set, conf.as_bytes())?;
    ensure!(failed.status == 1, "{failed:?}");
    let skip = format!("export WG_ENDPOINT_RESOLUTION_SKIP=1; {set}");
    let (did, said) = bench.ours(&skip, conf.as_bytes())?;
    ensure!(did.status == 2 && said.contains("peer yAnz5TF+lXXJte14tji3zlMN"), "{did:?} {said}");
    let state = bench.state("wgo")?;
    ensure!(state.lines().count() == 3 && state.contains("[2001:db8::77]:7"), "{state}");
    Ok(said.lines().next().unwrap_or_default().to_owned())
}

/// Counts what goes to the kernel: a dump, and nothing else if nothing differs.
fn undisturbed(bench: &Bench) -> Result<String> {
    let sent = |text: &str| -> Result<usize> {
        let script = "cat >c; strace -e trace=sendto $wg syncconf $i c";
        let (did, said) = bench.ours(script, text.as_bytes())?;
        ensure!(did.status == 0, "{said}");
        Ok(said.matches("sendto(").count())
    };
    let changed = CONF.replace("ListenPort = 7", "ListenPort = 8");
    let counts = [sent(CONF)?, sent(CONF)?, sent(&changed)?, sent(&changed)?];
    // The family's number and the dump; the change, and the dump that proves it.
    ensure!(counts == [4, 2, 4, 2], "{counts:?}");
    Ok("2 messages to look, 2 more to change and look again".to_owned())
}
