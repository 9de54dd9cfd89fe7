//! `wg-quick` of the agent on a real kernel: every step is done twice in one machine, by Debian's
//! `wg-quick` and by ours, and the states after each step are compared.

mod generate;
mod generated;
mod programs;
mod tunnel;

use super::{Tally, lanes::Part};
use anyhow::{Context, Result, ensure};
use lab::{
    Arch, Lab, Vm,
    programs::{BASH, IP, IPTABLES, NFT, WG_QUICK, WIREGUARD_GO},
};
use std::{fs, time::Duration};
use xtask::build;

/// The router, with Debian's `wg-quick` and ours.
struct Bench {
    vm: Vm,
    /// Of the generated configurations.
    seed: u64,
}

type Test = fn(&Bench) -> Result<String>;

const TESTS: &[(&str, Test)] = &[
    ("up and down", up_and_down),
    ("generated configurations", generated::same),
    ("a failure leaves nothing", failures),
    ("strip", strip),
    ("save", saved),
    ("the route with the smallest MTU", narrowest),
    ("hooks", hooks),
    ("name servers", programs::dns),
    ("a firewall without nft", programs::iptables),
    ("a default route", tunnel::default_route),
    ("programs in its own folder", programs::beside),
    ("without WireGuard in the kernel", programs::in_user_space),
];

const MODULES: &[&str] = &[
    "dummy",
    "tun",
    "veth",
    "nf_tables",
    "nft_ct",
    "nft_fib_ipv4",
    "nft_fib_ipv6",
    "iptable_raw",
    "iptable_mangle",
    "ip6table_raw",
    "ip6table_mangle",
    "xt_addrtype",
    "xt_comment",
    "xt_connmark",
    "xt_mark",
];

fn named(test: &str) -> String {
    format!("wg-quick: {test}")
}

pub(super) fn part(seed: u64) -> Part {
    Part::new("wg-quick", TESTS.iter().map(|(test, _)| named(test)), move |tally| run(tally, seed))
}

fn run(tally: &Tally, seed: u64) -> Result<()> {
    let agent = fs::read(build::agent(Arch::X86_64)?)?;
    let others = [BASH, IP, NFT, IPTABLES[0], WIREGUARD_GO];
    let lab = Lab::prepare(Arch::X86_64)?.and_programs(&others)?;
    let mut machine = lab.machine("quick").with_wireguard_tools().with_strace();
    for program in [WG_QUICK, BASH, IP, NFT, WIREGUARD_GO].into_iter().chain(IPTABLES) {
        machine = machine.with_program(program);
    }
    for module in MODULES {
        machine = machine.module(module);
    }
    let machine = machine.file("/opt/wg-quick", 0o755, agent);
    let bench = Bench { vm: machine.boot()?, seed };
    bench.vm.sh(PREPARE)?.ok()?;
    for (test, run) in TESTS {
        tally.test(&named(test), || run(&bench));
    }
    Ok(())
}

const PREPARE: &str = "mkdir -p /etc/wireguard /tmp/s; ln -s /proc/self/fd /dev/fd; \
    ln -s /proc/self/fd/0 /dev/stdin; \
    mkdir -p /etc/iproute2; echo '77 lab' >/etc/iproute2/rt_tables; \
    ip link add eth9 type dummy; ip link set eth9 mtu 1400 up; ip address add 192.0.2.1/24 dev eth9; \
    ip address add 2001:db8:9::1/64 dev eth9";

/// A script that prints everything that wg-quick could leave behind, without interface numbers and
/// times.
fn state(interface: &str) -> String {
    format!(
        "ip=/usr/bin/ip; exec 2>&1; $ip -d link show dev {interface} | sed 's/^[0-9]*: //'; \
         $ip -o address show dev {interface} | sed 's/^[0-9]*: //'; \
         for f in 4 6; do $ip -d -$f route show table all | sort; $ip -d -$f rule; done; \
         nft list ruleset 2>/dev/null; for t in raw mangle; do \
         iptables -t $t -S; ip6tables -t $t -S; done 2>/dev/null; cat /tmp/s/programs; \
         wg showconf {interface}; cat /proc/sys/net/ipv4/conf/all/src_valid_mark"
    )
}

/// The effects of a command, and the state after it.
#[derive(PartialEq, Eq, Debug)]
struct Did {
    status: i32,
    stdout: String,
    /// The lines that show the steps.
    echo: Vec<String>,
    state: String,
}

fn effects(status: i32, stdout: &str, said: &str, state: &str) -> Did {
    let mut echo: Vec<String> = said
        .lines()
        .filter(|line| line.starts_with("[#] "))
        .map(|line| line.replace("nft -f /dev/fd/63", "nft -f -"))
        .collect();
    // The order of routes of one length, and of rules and routes, does not matter.
    echo.sort();
    if status != 0 {
        // The message about a failed step has other words, and may come before the step.
        echo.clear();
    }
    Did { status, stdout: stdout.to_owned(), echo, state: state.to_owned() }
}

/// The first lines that differ.
fn difference(debian: &str, ours: &str) -> String {
    let mut out = String::new();
    for line in debian.lines().filter(|line| !ours.lines().any(|other| other == *line)) {
        out.push_str(&format!("- {line}\n"));
    }
    for line in ours.lines().filter(|line| !debian.lines().any(|other| other == *line)) {
        out.push_str(&format!("+ {line}\n"));
    }
    out
}

impl Bench {
    fn run(&self, program: &str, script: &str) -> Result<(Did, String)> {
        // Without retries, because there is no name server.
        let script = format!("export WG_ENDPOINT_RESOLUTION_RETRIES=0 quick={program}\n{script}");
        let out = self.vm.sh_with(&script, b"", Duration::from_secs(120))?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let stdout = String::from_utf8_lossy(&out.stdout);
        let state = self.vm.sh_with(&state("wg0"), b"", Duration::from_secs(120))?.text();
        Ok((effects(out.status, &stdout, &said, &state), said))
    }

    /// Runs scripts in sequence, first all of them with Debian's and then all with ours, and fails
    /// where a step differs.
    fn same(&self, conf: &str, scripts: &[&str]) -> Result<Vec<Did>> {
        let mut both = Vec::new();
        for program in ["/usr/bin/wg-quick", "/opt/wg-quick"] {
            self.vm.sh(
                "ip link delete wg0; rm -rf /tmp/s /etc/wireguard; mkdir -p /tmp/s /etc/wireguard; \
                 nft flush ruleset; echo 0 >/proc/sys/net/ipv4/conf/all/src_valid_mark",
            )?;
            self.vm.put("/etc/wireguard/wg0.conf", 0o600, conf.as_bytes())?;
            let steps = scripts.iter().map(|script| self.run(program, script));
            both.push(steps.collect::<Result<Vec<_>>>()?);
        }
        let ours = both.pop().context("ours")?;
        let debian = both.pop().context("Debian's")?;
        for (script, (debian, ours)) in scripts.iter().zip(debian.iter().zip(&ours)) {
            ensure!(debian.0 == ours.0, "{script}\n{}", generated::differs(debian, ours));
        }
        Ok(ours.into_iter().map(|(did, _)| did).collect())
    }
}

const KEY: &str = "PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\nListenPort = 7\n";
const PEER: &str = "[Peer]\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\n";
const OTHER: &str = "[Peer]\nPublicKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n";

/// A file with these lines for the interface and for its peer.
fn conf(interface: &str, peer: &str) -> String {
    format!("[Interface]\n{KEY}{interface}\n{PEER}{peer}\n")
}

fn up_and_down(bench: &Bench) -> Result<String> {
    let mut count = 0;
    let address = "Address = 10.9.0.1/24, fd09::1/64\n";
    let ways = [
        (
            "Address = 10.9.0.1/24, fd09::1/64",
            "AllowedIPs = 10.9.0.0/24, 10.8.0.0/16, fd08::/64\nEndpoint = 192.0.2.9:7",
        ),
        ("", ""),
        ("Address = 10.9.0.1", "AllowedIPs = 10.9.0.0/24\nEndpoint = [2001:db8:9::9]:7"),
        (
            "Address = 10.9.0.1/24\nADDRESS=10.9.1.1/24,,10.9.2.1/32 , fd09::1\n address = fd09:1::1/64 # more",
            "AllowedIPs = 10.9.1.5/32, 10.0.0.0/8",
        ),
        ("Address = 10.9.0.1/24\nMTU = 1280", "AllowedIPs = 10.8.0.0/16\nEndpoint = 192.0.2.9:7"),
        (
            "Address = 10.9.0.1/24\nMTU = 1280\nMTU =",
            "AllowedIPs = 10.8.0.0/16\nEndpoint = 10.0.2.9:7",
        ),
        ("Address = 10.9.0.1/24\nTable = off", "AllowedIPs = 10.8.0.0/16, 0.0.0.0/0"),
        (
            "Address = 10.9.0.1/24\nTable = 1234",
            "AllowedIPs = 10.8.0.0/16, 0.0.0.0/0, ::/0, fd08::/64",
        ),
        ("Address = 10.9.0.1/24\nTable = main", "AllowedIPs = 10.8.0.0/16, fd08::/64"),
        ("Address = 10.9.0.1/24\nTable = lab", "AllowedIPs = 10.8.0.0/16"),
        ("Address = 10.9.0.1/24\nTable = 0x77\nMTU = 02600", "AllowedIPs = 10.8.0.0/16"),
        ("Address = 10.9.0.1/24\nTable = 077\nMTU = 0X580", "AllowedIPs = 10.8.0.0/16"),
        (address, "AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 192.0.2.9:7"),
        (address, "AllowedIPs = 0.0.0.0/0\nEndpoint = 192.0.2.9:7"),
        (address, "AllowedIPs = ::/0, 10.8.0.0/16\nEndpoint = 192.0.2.9:7"),
        ("Address = 10.9.0.1/24\nFwMark = 0x99", "AllowedIPs = 0.0.0.0/0, ::/0"),
        ("Address = 10.9.0.1/24\nFwMark = 0x99", "AllowedIPs = 10.8.0.0/16"),
    ];
    for (interface, peer) in ways {
        let conf = conf(interface, peer);
        let did = bench.same(&conf, &["$quick up wg0", "$quick down wg0"])?;
        ensure!(did.iter().all(|did| did.status == 0), "{conf}\n{did:?}");
        count += 1;
    }
    Ok(format!("{count} configurations"))
}

/// Configurations that fail, and must leave nothing.
fn failures(bench: &Bench) -> Result<String> {
    let ways = [
        ("Address = 10.9.0.1/33", ""),
        ("Address = nonsense", ""),
        ("Address = 10.9.0.1/24, 10.9.0.1/24", ""),
        ("MTU = abc", ""),
        ("Table = nonsense", "AllowedIPs = 10.8.0.0/16"),
        ("SaveConfig = maybe", ""),
        ("Bogus = 1", ""),
        ("PostUp = false", "AllowedIPs = 0.0.0.0/0, ::/0"),
        ("PostUp = exit 7", "AllowedIPs = 0.0.0.0/0, ::/0"),
        ("PostUp = true; false; true", ""),
        ("PostUp = no-such-program", ""),
        ("DNS = 192.0.2.53", ""),
        ("", "Endpoint = 300.0.0.1:x"),
    ];
    for (interface, peer) in ways {
        let conf = conf(interface, peer);
        let did = bench.same(&conf, &["$quick up wg0; s=$?; $quick down wg0; echo $?; exit $s"])?;
        ensure!(did[0].status != 0 && did[0].stdout == "1\n", "{conf}\n{did:?}");
    }
    let good = conf("", "");
    let words = [
        "up nobody",
        "up /etc/wireguard/nobody.conf",
        "up /etc/wireguard",
        "up /etc/hosts",
        "down wg0",
        "save wg0",
        "up a-name-that-is-too-long",
        "",
        "up",
        "up wg0 wg0",
        "bogus wg0",
        "--help",
        "-h",
        "help",
    ];
    let script: Vec<String> =
        words.iter().map(|words| format!("$quick {words}; echo $?")).collect();
    let did = bench.same(&good, &[&script.join("\n")])?;
    ensure!(did[0].stdout == "1\n".repeat(11) + &"0\n".repeat(3), "{did:?}");
    let dummy = "/usr/bin/ip link add wg0 address 02:00:00:00:00:01 type dummy; \
                 $quick up wg0; echo $?; $quick down wg0";
    let did = bench.same(&good, &[dummy])?;
    ensure!(did[0].status == 1 && did[0].stdout == "1\n", "{did:?}");
    Ok(String::new())
}

fn strip(bench: &Bench) -> Result<String> {
    let odd = "# one\r\n\n  [interface]  \n\tMTU = 7 # x\nPrivateKey=  a b \t\nPostUp = x # y\n[Peer]\n\
               Address = 1\n\0\0[Interface]x\nDNS = 1\n [Interface] # z\r\nDNS=1\r\nlast = \\n\\\\";
    for conf in [odd, "", "\n", "[Interface]\n", "[Interface]", &conf("MTU = 3", "Endpoint = a:1")]
    {
        let did =
            bench.same(conf, &["$quick strip wg0 && $quick strip /etc/wireguard/wg0.conf"])?;
        ensure!(did.iter().all(|did| did.status == 0), "{conf}\n{did:?}");
    }
    Ok(String::new())
}

fn saved(bench: &Bench) -> Result<String> {
    let ls = "; s=$?; cat /etc/wireguard/wg0.conf; ls -ln /etc/wireguard | awk '{ print $1, $9 }'; exit $s";
    let with = |script: &str| format!("{script}{ls}");
    let change = "/usr/bin/wg set wg0 listen-port 9 fwmark 8; /usr/bin/ip address add 10.9.5.1/32 dev wg0; \
                  /usr/bin/ip link set wg0 mtu 1300;";
    let full = format!(
        "[Interface]\n{KEY}Address = 10.9.0.1/24, fd09::1/64\nTable = 77\nMTU = 1400\n\
         PreUp = true 1\nPostUp=true 2;  true 3\nPreDown =true %i\nPostDown = true 4\nPostUp = true 5\n\
         {PEER}AllowedIPs = 10.8.0.0/16, ::/0\nEndpoint = 192.0.2.9:7\n{OTHER}PersistentKeepalive = 5\n"
    );
    let saves = full.replace("MTU = 1400", "SaveConfig = True");
    let no = full.replace("MTU = 1400", "SaveConfig = false");
    for conf in [full.as_str(), &saves, &no, &format!("[Interface]\n{KEY}SaveConfig = true\n")] {
        let steps = [
            with("$quick up wg0"),
            with(&format!("{change} $quick save wg0")),
            with("$quick save /etc/wireguard/wg0.conf"),
            with("chmod 644 /etc/wireguard/wg0.conf; $quick down wg0"),
        ];
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let did = bench.same(conf, &steps)?;
        ensure!(did.iter().all(|did| did.status == 0), "{conf}\n{did:?}");
    }
    // A file left over from a power cut may be readable for everyone; the keys are not written
    // there.
    let left = "echo x >/etc/wireguard/wg0.conf.tmp; chmod 644 /etc/wireguard/wg0.conf.tmp; \
                $quick up wg0 && $quick save wg0 && $quick down wg0; stat -c '%a %n' /etc/wireguard/*";
    bench.vm.put("/etc/wireguard/wg0.conf", 0o600, full.as_bytes())?;
    let (did, said) = bench.run("/opt/wg-quick", left)?;
    ensure!(did.stdout == "600 /etc/wireguard/wg0.conf\n", "{did:?} {said}");
    // The file is the target of the link, and the interface has the name of the link.
    bench.same(
        &full,
        &["mkdir -p /tmp/s/real; mv /etc/wireguard/wg0.conf /tmp/s/real/x; ln -s real/x /tmp/s/wg0.conf; \
           $quick up /tmp/s/wg0.conf", "cd /tmp/s; $quick save wg0.conf; s=$?; ls -R /tmp/s; cat real/x; exit $s",
          "cd /tmp/s; $quick down ./wg0.conf"],
    )?;
    Ok(String::new())
}

fn narrowest(bench: &Bench) -> Result<String> {
    let narrow = "/usr/bin/ip route replace 198.51.100.0/24 via 192.0.2.9 mtu 1300; $quick up wg0";
    let done = "$quick down wg0; /usr/bin/ip route delete 198.51.100.0/24";
    let one = conf("", "Endpoint = 198.51.100.1:7");
    let did = bench.same(&one, &[narrow, done])?;
    ensure!(did[0].state.contains("mtu 1220 "), "{did:?}");
    // Debian's uses the largest MTU, here that of the first peer.
    let two = conf("", &format!("Endpoint = 10.0.2.9:7\n{OTHER}Endpoint = 192.0.2.9:7"));
    bench.vm.put("/etc/wireguard/wg0.conf", 0o600, two.as_bytes())?;
    for (program, mtu) in [("/usr/bin/wg-quick", "mtu 1420 "), ("/opt/wg-quick", "mtu 1320 ")] {
        let (up, said) = bench.run(program, "$quick up wg0")?;
        ensure!(up.state.contains(mtu), "{said}");
        ensure!(bench.run(program, "$quick down wg0")?.0.status == 0, "{program}");
    }
    Ok(String::new())
}

fn hooks(bench: &Bench) -> Result<String> {
    let conf = conf(
        "Address = 10.9.0.1/24\n\
         PostUp = echo \"post up %i\" >>/tmp/s/log; ip -o address show dev %i | sed 's/^[0-9]*://' >>/tmp/s/log\n\
         PostUp = cat >>/tmp/s/log\nPostUp =\nPostUp = echo \"$0\" '%i%i%%i' | sed 's/.* //' >>/tmp/s/log; exit 0\n\
         PreDown = echo pre down >>/tmp/s/log\nPostDown = /usr/bin/ip link show dev %i >>/tmp/s/log 2>&1; true",
        "AllowedIPs = 10.8.0.0/16",
    );
    let log = "; s=$?; cat /tmp/s/log; exit $s";
    let up = format!("echo input | $quick up wg0{log}");
    let down = format!("$quick down wg0{log}");
    bench.same(&conf, &[&up, &down])?;
    // A signal waits for the hook, and then everything is removed.
    let slow = format!(
        "{}PostUp = sleep 2; echo slept >>/tmp/s/log\n",
        conf.split("PostUp").next().unwrap_or("")
    );
    bench.vm.sh("rm -f /tmp/s/log")?;
    bench.vm.put("/etc/wireguard/wg0.conf", 0o600, slow.as_bytes())?;
    let script = "$quick up wg0 & sleep 1; kill -TERM $!; wait $!; s=$?; cat /tmp/s/log; exit $s";
    let (did, said) = bench.run("/opt/wg-quick", script)?;
    ensure!((did.status, did.stdout.as_str()) == (143, "slept\n"), "{did:?} {said}");
    ensure!(did.state.contains("does not exist"), "{did:?} {said}");
    // A hook that fails before the end leaves the interface.
    let did = bench.same(
        &conf.replace("echo pre down", "exit 9"),
        &["$quick up wg0 </dev/null", "$quick down wg0"],
    )?;
    ensure!(did.iter().map(|did| did.status).eq([0, 9]), "{did:?}");
    Ok(String::new())
}
