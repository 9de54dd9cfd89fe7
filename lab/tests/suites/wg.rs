//! `wg` of the agent on a real kernel: the calls of LuCI, netifd and scripts, from busybox ash.
//! Every step is done twice, by Debian's `wg` and by ours, each on its own interface; then much of
//! it on user space interfaces of Debian's `wireguard-go`.

use super::{Tally, lanes::Part};
use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use lab::routers::Config;
use lab::{Arch, Lab, Vm, programs::WIREGUARD_GO};
use std::{fs, time::Duration};
use xtask::build;

/// The router, with Debian's `wg` and ours.
struct Bench {
    vm: Vm,
    seed: u64,
    /// Whether the interfaces are in user space. The program lists its peers in random order.
    user_space: bool,
}

type Test = fn(&Bench) -> Result<String>;

const TESTS: &[(&str, Test)] = &[
    ("LuCI's and netifd's calls", openwrt),
    ("keys", keys),
    ("every field of a device is shown", fields),
    ("files, standard input, FIFOs and processes", inputs),
    ("allowed IPs are added and removed", signs),
    ("an endpoint without address", unresolved),
    ("an unchanged peer is not touched", undisturbed),
    ("10,000 peers, and 10,000 allowed IPs of one", long),
    ("proto-core's examples: set_peer, and list_devices", examples),
];

/// The tests on user space interfaces.
const IN_USER_SPACE: &[(&str, Test)] = &[
    ("every field of a device is shown", fields),
    ("files, standard input, FIFOs and processes", inputs),
    ("allowed IPs are added and removed", signs),
    ("an endpoint without address", unresolved),
    ("1,000 peers, and 1,000 allowed IPs of one", long),
    ("sockets of running programs, and of ended ones", sockets),
    ("refusals of a program", refused),
];

/// All tests, and whether they run in user space.
const ALL: [(bool, &[(&str, Test)]); 2] = [(false, TESTS), (true, IN_USER_SPACE)];

fn named(user_space: bool, test: &str) -> String {
    format!("wg{}: {test}", if user_space { " in user space" } else { "" })
}

pub(super) fn part(seed: u64) -> Part {
    let names = ALL.iter().flat_map(|(place, tests)| tests.iter().map(|(t, _)| named(*place, t)));
    Part::new("wg", names, move |tally| run(tally, seed))
}

fn run(tally: &Tally, seed: u64) -> Result<()> {
    let agent = fs::read(build::agent(Arch::X86_64)?)?;
    let lab = Lab::prepare(Arch::X86_64)?.and_programs(&[WIREGUARD_GO])?;
    let machine = lab.machine("wg").with_wireguard_tools().with_strace().with_netcat();
    let machine = machine.with_program(WIREGUARD_GO).module("tun");
    let mut machine = machine.file("/opt/wg", 0o755, agent).file("/etc/hosts", 0o644, HOSTS);
    for example in ["set_peer", "list_devices"] {
        let path = format!("/opt/{example}");
        machine = machine.file(&path, 0o755, fs::read(build::example(example)?)?);
    }
    let mut bench = Bench { vm: machine.boot()?, seed, user_space: false };
    for (place, tests) in ALL {
        bench.user_space = place;
        for (test, run) in tests {
            tally.test(&named(place, test), || {
                bench.fresh()?;
                run(&bench).with_context(|| format!("seed {seed}"))
            });
        }
    }
    Ok(())
}

const HOSTS: &str = "127.0.0.1 localhost\n192.0.2.77 host.example\n2001:db8::77 six.example\n";

/// The effects of a script.
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
    /// Creates two new interfaces.
    fn fresh(&self) -> Result<()> {
        let make = if self.user_space {
            // Each in a network of its own, because they would compete for ports.
            "unshare -n wireguard-go $i >/dev/null 2>&1 || exit 1"
        } else {
            "ip link add $i type wireguard"
        };
        self.vm
            .sh(&format!(
                "killall wireguard-go 2>/dev/null; for i in wgd wgo; do \
                 while [ -e /var/run/wireguard/$i.sock ]; do usleep 20000; done; \
                 wg setconf $i /dev/null 2>/dev/null; ip link delete $i 2>/dev/null; {make}; done; \
                 rm -rf /tmp/t; mkdir /tmp/t; ln -sf /proc/self/fd/0 /dev/stdin; \
                 ln -sfn /proc/self/fd /dev/fd"
            ))?
            .ok()?;
        Ok(())
    }

    /// The output without the parts that are random for a user space interface: the order of the
    /// peers, and the listen port.
    fn ordered(&self, text: &str) -> String {
        if !self.user_space {
            return text.to_owned();
        }
        let chosen = |word: &str| {
            word.parse().is_ok_and(|port: u16| (32_768..61_000).contains(&port) && port != 51_820)
        };
        let mut lines: Vec<String> = text
            .lines()
            .map(|line| {
                let words = line.split_inclusive(['\t', ' ']);
                words.map(|word| if chosen(word.trim_end()) { "PORT " } else { word }).collect()
            })
            .collect();
        lines.sort_unstable();
        lines.join("\n")
    }

    /// Runs a script with a `wg` (`$wg`) on an interface (`$i`).
    fn run(&self, wg: &str, interface: &str, script: &str, input: &[u8]) -> Result<(Did, String)> {
        let script = format!("wg={wg} i={interface}\ncd /tmp/t\n{script}");
        let out = self.vm.sh_with(&script, input, Duration::from_secs(120))?;
        let stdout = String::from_utf8_lossy(&out.stdout).replace(interface, "$i");
        let stdout = self.ordered(&stdout);
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

    /// The state of the kernel, as Debian's `wg` prints it.
    fn state(&self, interface: &str) -> Result<String> {
        let limit = Duration::from_secs(120);
        let script = format!("/usr/bin/wg show {interface} dump");
        Ok(self.ordered(&self.vm.sh_with(&script, b"", limit)?.ok()?.text()))
    }

    /// The same for a script that succeeds.
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

/// `set_peer` does what `wg set` does, and `list_devices` shows what it did.
fn examples(bench: &Bench) -> Result<String> {
    let peer = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
    let port = "listen-port 51821";
    // More allowed IPs than one message holds.
    let nets: Vec<String> = (0..2_000)
        .map(|n| format!("10.{}.{}.0/24", n / 256, n % 256))
        .chain(["fd00::/64".into()])
        .collect();
    let (words, list) = (nets.join(" "), nets.join(","));
    bench.vm.sh(&format!("wg set wgd {port} peer {peer} allowed-ips {list}"))?.ok()?;
    bench.vm.sh(&format!("wg set wgo {port} && /opt/set_peer wgo {peer} {words}"))?.ok()?;
    ensure!(bench.state("wgd")? == bench.state("wgo")?, "set_peer did something else than wg set");
    let shown = bench.vm.sh("/opt/list_devices")?.ok()?.text();
    let (_, shown) = shown.split_once("interface: wgo\n").context("wgo is not listed")?;
    let shown = shown.split("interface: ").next().unwrap_or_default();
    let mut wanted =
        format!("  listening port: 51821\n  peer: {peer}\n    transfer: 0 B received, 0 B sent\n");
    for net in &nets {
        wanted += &format!("    allowed IP: {net}\n");
    }
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    ensure!(sorted(shown) == sorted(&wanted), "{shown}");
    // ENODEV.
    let refused = bench.vm.sh(&format!("/opt/set_peer wgx {peer}"))?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status != 0 && said.contains("Errno(19)"), "{} {said}", refused.status);
    Ok(format!("{} allowed IPs", nets.len()))
}

/// The calls of LuCI's `luci.wireguard`, netifd's `wireguard.sh`, and its watchdog.
fn openwrt(bench: &Bench) -> Result<String> {
    let made = bench.vm.sh("PATH=/opt:$PATH; wg genkey 2>/dev/null | wg pubkey 2>/dev/null")?;
    ensure!(made.ok()?.text().trim().len() == 44, "no key");
    bench.well("cat >c; cat c | $wg syncconf $i /dev/stdin", CONF.as_bytes())?;
    bench.well("cat >c; $wg setconf $i c", CONF.as_bytes())?;
    let peer = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
    bench.well(&format!("$wg set $i peer {peer} endpoint '192.0.2.9:7'"), b"")?;
    bench.well("$wg show $i latest-handshakes | cut -f2; $wg show $i endpoints", b"")?;
    // One interface at a time, so that no other is shown.
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
    // Keys are random, so each program reads the keys that the other made.
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

/// A device with every field.
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
            bench.ordered(&plain(&debian.stdout)) == bench.ordered(&plain(&ours.stdout)),
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
    let many = if bench.user_space { 1_000 } else { 10_000 };
    let config = Config::random(&mut Rng::with_seed(bench.seed), many, 1).text();
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
    let ips: Vec<String> = (0..many).map(|n| format!("10.{}.{}.0/24", n >> 8, n & 255)).collect();
    let one = format!("{CONF}AllowedIPs = {}", ips.join(", "));
    for command in ["setconf", "syncconf", "addconf"] {
        bench.well(&format!("cat | $wg {command} $i /dev/stdin"), one.as_bytes())?;
        count += 1;
    }
    Ok(format!("{count} times the same"))
}

/// This kernel is older than 6.16 and has no flag for this.
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
    // A word that is not a port is not one at the next try either.
    let peer = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
    let script = format!("/opt/wg set wgo peer {peer} endpoint 192.0.2.1:nosuch");
    let out = bench.vm.sh_with(&script, b"", Duration::from_secs(30))?;
    let port = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(
        out.status == 1 && port.lines().count() == 1 && port.contains("no such port"),
        "{port}"
    );
    Ok(said.lines().next().unwrap_or_default().to_owned())
}

/// The process id of the program that has an interface.
const PID: &str = "pid() { for p in $(pidof wireguard-go); do \
    tr '\\0' ' ' </proc/$p/cmdline | grep -q \" $1 \" && echo $p; done; }";

/// The interfaces, and their order.
fn sockets(bench: &Bench) -> Result<String> {
    let folder = "/var/run/wireguard";
    bench.vm.sh("ip link add wgk type wireguard; wg set wgk listen-port 7")?.ok()?;
    // A name for a kernel interface and a program: requests go to the program.
    bench.vm.sh("ip link add wgb type wireguard")?.ok()?;
    let listens = format!(
        "ln -s wgd.sock {folder}/wgb.sock; wg set wgd fwmark 5 peer \
        yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
    );
    bench.vm.sh(&listens)?.ok()?;
    // A file that is not a socket, an invalid name, and the socket of a killed program.
    bench.vm.sh(&format!(
        "touch {folder}/wgx.sock {folder}/.sock {folder}/sock; wireguard-go wgz 2>/dev/null; \
         {PID}; kill -9 $(pid wgz); usleep 200000"
    ))?;
    let mut seen = Vec::new();
    for wg in ["/usr/bin/wg", "/opt/wg"] {
        let script = format!(
            "ls {folder}; {wg} show interfaces; ls {folder}; {wg} show all fwmark; \
             {wg} show wgb fwmark; {wg} set wgb fwmark 6; {wg} show wgb fwmark; {wg} show wgk dump; \
             for i in wgx wgz .. sock ''; do {wg} show $i fwmark 2>/dev/null; echo $?; \
             {wg} set $i fwmark 7 2>/dev/null; echo $?; done; {wg} set wgb fwmark 5"
        );
        // The first command removes the socket of the killed program.
        bench
            .vm
            .sh("cd /var/run/wireguard; [ -e /tmp/wgz.sock ] || cp -a wgz.sock /tmp/; \
             [ -e wgz.sock ] || cp -a /tmp/wgz.sock .")?
            .ok()?;
        seen.push(bench.vm.sh(&script)?.text());
    }
    let gone =
        bench.vm.sh("rm -rf /tmp/wgz.sock /var/run/wireguard/[!w]* /var/run/wireguard/.sock \
         /var/run/wireguard/wg[bx].sock; for i in wgk wgb; do ip link delete $i; done; \
         ls -a /var/run/wireguard")?;
    ensure!(seen[0] == seen[1], "Debian's:\n{}ours:\n{}", seen[0], seen[1]);
    ensure!(gone.text().split_whitespace().eq([".", "..", "wgd.sock", "wgo.sock"]), "{gone:?}");
    let list = seen[0].lines().find(|line| line.starts_with("wg") && line.contains(' '));
    let list = list.context("no list")?.to_owned();
    // The interfaces of the kernel, then those of programs.
    let (kernel, programs) = list.split_at(8);
    let mut programs: Vec<&str> = programs.split_whitespace().collect();
    programs.sort_unstable();
    let both = ["wgb wgk ", "wgk wgb "].contains(&kernel) && programs == ["wgb", "wgd", "wgo"];
    ensure!(both, "{list}");
    Ok(list)
}

/// Both report an error, and ours names the cause.
fn refused(bench: &Bench) -> Result<String> {
    let peer = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
    let port = format!(
        "$wg set $i listen-port 7 && $wg show $i listen-port
         {PID}; nsenter --net=/proc/$(pid $i)/ns/net nc.traditional -u -l -p 8 &
         sleep 1; $wg set $i listen-port 8 peer {peer}; s=$?; kill $!; exit $s"
    );
    let (debian, debian_said) = bench.debian(&port, b"")?;
    let (ours, said) = bench.ours(&port, b"")?;
    ensure!(debian.status == 1, "{debian:?} {debian_said}");
    ensure!(ours == debian, "{debian:?} {ours:?} {said}");
    ensure!(said.contains("another program or interface has this port"), "{said}");
    Ok(said.trim_end().to_owned())
}

/// Counts the messages to the kernel: a dump, and no more if nothing differs.
fn undisturbed(bench: &Bench) -> Result<String> {
    let sent = |text: &str| -> Result<usize> {
        let script = "cat >c; strace -e trace=sendto $wg syncconf $i c";
        let (did, said) = bench.ours(script, text.as_bytes())?;
        ensure!(did.status == 0, "{said}");
        Ok(said.matches("sendto(").count())
    };
    let changed = CONF.replace("ListenPort = 7", "ListenPort = 8");
    let counts = [sent(CONF)?, sent(CONF)?, sent(&changed)?, sent(&changed)?];
    // The family's number and the dump; the change, and the dump that verifies it.
    ensure!(counts == [4, 2, 4, 2], "{counts:?}");
    Ok("2 messages to compare, 2 more to change and verify".to_owned())
}
