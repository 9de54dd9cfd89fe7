//! `wg-quick` of the agent on a real kernel: everything is done twice in one machine, by Debian's
//! `wg-quick` and by ours, one after the other, and what is there after each step is held against each other.

use super::Tally;
use crate::{
    build,
    lab::{
        Arch, Lab, Vm,
        programs::{BASH, IP, NFT, WG_QUICK},
    },
};
use anyhow::{Context, Result, ensure};
use std::{fs, time::Duration};

/// The router, with Debian's `wg-quick` and ours.
struct Bench {
    vm: Vm,
}

type Test = fn(&Bench) -> Result<String>;

const TESTS: &[(&str, Test)] = &[("up and down", up_and_down)];

const MODULES: &[&str] = &["dummy", "nf_tables", "nft_ct", "nft_fib_ipv4", "nft_fib_ipv6"];

pub(super) fn run(tally: &mut Tally) -> Result<()> {
    let named = |test: &str| format!("wg-quick: {test}");
    if !TESTS.iter().any(|(test, _)| tally.wants(&named(test))) {
        return Ok(());
    }
    let agent = fs::read(build::agent(Arch::X86_64)?)?;
    let lab = Lab::prepare(Arch::X86_64)?.and_programs(&[BASH, IP, NFT])?;
    let mut machine = lab.machine("quick").with_wireguard_tools().with_strace();
    for program in [WG_QUICK, BASH, IP, NFT] {
        machine = machine.with_program(program);
    }
    for module in MODULES {
        machine = machine.module(module);
    }
    let machine = machine.file("/opt/wg-quick", 0o755, agent);
    let bench = Bench { vm: machine.boot()? };
    bench.vm.sh(PREPARE)?.ok()?;
    for (test, run) in TESTS {
        tally.test(&named(test), || run(&bench));
    }
    Ok(())
}

const PREPARE: &str = "mkdir -p /etc/wireguard /tmp/s; ln -s /proc/self/fd /dev/fd; \
    ln -s /proc/self/fd/0 /dev/stdin; \
    ip link add eth9 type dummy; ip link set eth9 mtu 1400 up; ip address add 192.0.2.1/24 dev eth9; \
    ip address add 2001:db8:9::1/64 dev eth9";

/// All that wg-quick could leave something in. Numbers of interfaces and times are left out.
const STATE: &str = "ip=/usr/bin/ip; exec 2>&1; $ip -d link show dev wg0 | sed 's/^[0-9]*: //'; \
    $ip -o address show dev wg0 | sed 's/^[0-9]*: //'; \
    for f in 4 6; do $ip -d -$f route show table all | sort; $ip -d -$f rule; done; \
    nft list ruleset; wg showconf wg0; cat /proc/sys/net/ipv4/conf/all/src_valid_mark";

/// What a command did, and what is there after it.
#[derive(PartialEq, Eq, Debug)]
struct Did {
    status: i32,
    stdout: String,
    /// The lines that say what is done.
    echo: Vec<String>,
    state: String,
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
        let script = format!("quick={program}\n{script}");
        let out = self.vm.sh_with(&script, b"", Duration::from_secs(120))?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let stdout = String::from_utf8_lossy(&out.stdout).into_owned();
        let mut echo: Vec<String> = said
            .lines()
            .filter(|line| line.starts_with("[#] "))
            .map(|line| line.replace("nft -f /dev/fd/63", "nft -f -"))
            .collect();
        // The order of routes of one length, and of rules and routes, is nobody's business.
        echo.sort();
        let state = self.vm.sh_with(STATE, b"", Duration::from_secs(120))?.text();
        Ok((Did { status: out.status, stdout, echo, state }, said))
    }

    /// Runs scripts one after the other, first all of them with Debian's and then all with ours, and fails
    /// where a step differs.
    fn same(&self, conf: &str, scripts: &[&str]) -> Result<Vec<Did>> {
        let mut both = Vec::new();
        for program in ["/usr/bin/wg-quick", "/opt/wg-quick"] {
            self.vm.sh(
                "/usr/bin/wg-quick down wg0; ip link delete wg0; rm -rf /tmp/s; mkdir -p /tmp/s; \
                 nft flush ruleset; echo 0 >/proc/sys/net/ipv4/conf/all/src_valid_mark",
            )?;
            self.vm.put("/etc/wireguard/wg0.conf", 0o600, conf.as_bytes())?;
            let steps = scripts.iter().map(|script| self.run(program, script));
            both.push(steps.collect::<Result<Vec<_>>>()?);
        }
        let ours = both.pop().context("ours")?;
        let debian = both.pop().context("Debian's")?;
        for (script, ((debian, debian_said), (ours, said))) in
            scripts.iter().zip(debian.iter().zip(&ours))
        {
            ensure!(
                debian == ours,
                "{script}\nDebian's ended with {}:\n{debian_said}ours with {}:\n{said}\n{}{}{}",
                debian.status,
                ours.status,
                difference(&debian.state, &ours.state),
                difference(&debian.stdout, &ours.stdout),
                difference(&debian.echo.join("\n"), &ours.echo.join("\n")),
            );
        }
        Ok(ours.into_iter().map(|(did, _)| did).collect())
    }
}

const KEY: &str = "PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\nListenPort = 7\n";
const PEER: &str = "[Peer]\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\n";

fn up_and_down(bench: &Bench) -> Result<String> {
    let conf = format!(
        "[Interface]\nAddress = 10.9.0.1/24, fd09::1/64\n{KEY}{PEER}\
         AllowedIPs = 10.9.0.0/24, 10.8.0.0/16, fd08::/64\nEndpoint = 192.0.2.9:7\n"
    );
    let did = bench.same(&conf, &["$quick up wg0", "$quick down wg0"])?;
    ensure!(did.iter().all(|did| did.status == 0), "{did:?}");
    Ok(String::new())
}
