//! The kinds of machine that routers are, but for x86_64, which all other suites run on: a push from the claim to the way
//! back, `wg` and `wg-quick`, and what a long configuration costs in memory.
//!
//! Emulation is slow, so `cargo xtask test` runs the short list on one of them ([`Turn`]); `--arch NAME` and `--all-arch`
//! run both lists, and the pushes that x86_64 has.

use super::lanes::Part;
use anyhow::{Context, Result, ensure};
use board::Tried;
use clap::ValueEnum;
use fastrand::Rng;
use lab::{
    Arch, Lab,
    routers::{Config, KEEP, Keeper, Reach},
    wg_diff,
};
use pack::{ipk, tree::Node};
use std::{fmt, fs, process::Command, time::Instant};
use xtask::{build, openwrt::recipes::RECIPES};

type Test = fn(&mut Keeper<'_>, Arch) -> Result<String>;

const SHORT: &[(&str, Test)] = &[
    ("a router is claimed, and configured over serial and UDP", claimed_and_pushed),
    ("it starts again with what it has stored, and goes back", comes_back),
    ("wg and wg-quick", commands),
    ("a few dozen commands of wg-diff", few_of_wg_diff),
    ("the package's service, claimed and pushed to", service),
];

const LONG: &[(&str, Test)] = &[
    ("1,000 peers over serial and UDP in the memory there is", memory),
    ("the power is cut, and it comes back with what it has stored", power_cut),
    ("a larger piece of wg-diff", more_of_wg_diff),
];

/// The machines that have these tests.
pub(super) const MACHINES: [Arch; 3] = [Arch::Mipsel, Arch::Armv7, Arch::Aarch64];

/// The machines of one run of all suites.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// All, as `--machines all` asks.
    All,
    /// The one that `--machines` names.
    Named(Arch),
    /// The next one with each commit, so that the same commit has the same tests everywhere.
    Commits(usize),
    /// The first one, in a folder without git's history.
    First,
}

impl Turn {
    /// From the setting, or else from the number of commits.
    ///
    /// # Errors
    /// The setting names no machine.
    pub(super) fn new(setting: Option<&str>) -> Result<Self> {
        let Some(name) = setting else { return Ok(commits().map_or(Self::First, Self::Commits)) };
        if name == "all" {
            return Ok(Self::All);
        }
        let named = Arch::from_str(name, false).ok().filter(|arch| MACHINES.contains(arch));
        let names = MACHINES.map(Arch::name).join(", ");
        Ok(Self::Named(named.with_context(|| format!("none of {names}, all"))?))
    }

    pub(super) fn has(self, arch: Arch) -> bool {
        match self {
            Self::All => true,
            Self::Named(named) => named == arch,
            Self::Commits(count) => MACHINES.get(count % MACHINES.len()) == Some(&arch),
            Self::First => MACHINES.first() == Some(&arch),
        }
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [is, not] = [true, false].map(|has| {
            let names = MACHINES.into_iter().filter(|arch| self.has(*arch) == has);
            names.map(Arch::name).collect::<Vec<_>>().join(", ")
        });
        write!(f, "routers beside x86_64 in this run: {is}")?;
        match self {
            Self::All => return Ok(()),
            Self::Named(_) => write!(f, "; not {not}")?,
            Self::Commits(count) => write!(f, ", whose turn it is at commit {count}; not {not}")?,
            Self::First => write!(f, "; not {not}")?,
        }
        write!(f, " (`cargo xtask test --machines NAME`, or `all`)")
    }
}

/// The number of commits up to this one; `None` without git, or with a part of the history.
fn commits() -> Option<usize> {
    let git = |what: &[&str]| {
        let mut command = Command::new("git");
        // In a container the files may belong to another user.
        let folder = build::workspace();
        command.args(["-c", "safe.directory=*"]).args(what).current_dir(folder);
        build::quietly(&mut command).ok()
    };
    if git(&["rev-parse", "--is-shallow-repository"])?.trim() != "false" {
        return None;
    }
    git(&["rev-list", "--count", "HEAD"])?.trim().parse().ok()
}

/// Fails unless each machine has its turn, and what a run says of itself names each once.
pub(super) fn each_in_turn() -> Result<String> {
    for first in [0, 1, 629] {
        let turns = [first, first + 1, first + 2].map(Turn::Commits);
        for arch in MACHINES {
            let count = turns.iter().filter(|turn| turn.has(arch)).count();
            ensure!(count == 1, "{} has {count} turns of three", arch.name());
        }
        for turn in turns.into_iter().chain([Turn::First, Turn::All]) {
            let said = turn.to_string();
            let told = MACHINES.iter().all(|arch| said.matches(arch.name()).count() == 1);
            ensure!(told, "{said}");
        }
    }
    ensure!(Turn::new(Some("armv7"))? == Turn::Named(Arch::Armv7), "not by its short name");
    for name in ["mips", "x86_64", ""] {
        ensure!(Turn::new(Some(name)).is_err(), "{name} is no machine of these");
    }
    let wrong = Turn::new(Some("mips")).err().context("no machine is mips")?;
    Ok(format!("{wrong}; {}", Turn::new(None)?))
}

/// Fails unless `board`, from which the page of routers is made, names these machines and that of the other suites.
pub(super) fn as_the_board_says() -> Result<String> {
    let machines = || MACHINES.into_iter().chain([Arch::X86_64]).map(Arch::name);
    for target in build::routers() {
        let is_here = machines().any(|name| name == target.name);
        ensure!(
            is_here == (target.tried == Tried::Machine),
            "board: {} is tried on {:?}, and the lab's machines are {:?}",
            target.name,
            target.tried,
            machines().collect::<Vec<_>>()
        );
    }
    Ok(machines().collect::<Vec<_>>().join(", "))
}

/// The tests on one machine; `long` adds those that take longer.
pub(super) fn part(arch: Arch, seed: u64, long: bool) -> Part {
    let tests = move || SHORT.iter().chain(if long { LONG } else { &[] });
    let named = move |test: &str| format!("{}: {test}", arch.name());
    let names: Vec<String> = tests().map(|(test, _)| named(test)).collect();
    Part::new(&named("a router"), names, move |tally| {
        let agent = fs::read(build::agent(arch)?)?;
        let tool = build::postwire()?;
        let lab = Lab::prepare(arch)?;
        let mut keeper =
            Keeper::boot(&lab, &format!("router-{}", arch.name()), &agent, &tool, seed)?;
        for (test, run) in tests() {
            tally.test(&named(test), || {
                let outcome = run(&mut keeper, arch);
                super::pushes::explained(outcome, seed, &keeper.router)
            });
        }
        Ok(())
    })
}

/// Gives the machine a serial number, as a boot loader adds it to the device tree.
const SERIAL_NUMBER: &str = "\
    cd /sys/firmware/devicetree/base && cp compatible /tmp/compatible && mount -t tmpfs none . && \
    cd /sys/firmware/devicetree/base && cp /tmp/compatible . && printf 'GL-7/b\\0' >serial-number";

fn claimed_and_pushed(keeper: &mut Keeper<'_>, arch: Arch) -> Result<String> {
    // As it comes from the shop: without an owner, and the port is that of its board.
    keeper.sh(&format!("rm -f {KEEP}/owners"))?;
    let device = keeper.router.vm.serial_device();
    let shown = keeper.sh(&format!("readlink -f {device}; postwired check --serial auto"))?;
    let words: Vec<&str> = shown.split_whitespace().collect();
    let [device, "serial", port, ..] = words[..] else { anyhow::bail!("not a port: {shown}") };
    ensure!(device == port, "--serial auto takes {port}, and the line is {device}");
    keeper.sh(SERIAL_NUMBER)?;
    keeper.start()?;
    let router = &keeper.router;
    let before = router.postwire(&Reach::Serial, &["show", "wg0"])?;
    before.failed(1, "unclaimed")?;
    router.postwire(&Reach::Serial, &["claim", "--as", "anne"])?.ok()?;
    let mut rng = Rng::with_seed(keeper.seed);
    for (reach, peers) in [(Reach::Serial, 3), (Reach::Udp, 20)] {
        router.push_and_see(&reach, &Config::random(&mut rng, peers, 7))?;
        let status = router.postwire(&reach, &["status"])?.ok()?;
        ensure!(status.text("/result/hostname") == router.vm.name(), "{}", status.json);
        ensure!(status.text("/result/router/serial_number") == "GL-7/b", "{}", status.json);
    }
    let [rss, _] = resident(keeper)?;
    let budget = build::target_of(arch)?.memory;
    let shown = format!("{rss} KiB resident of {budget} allowed");
    ensure!(rss <= budget, "too much memory: {shown}");
    Ok(format!("configurations of 3 and 20 peers; {port} by the board's name; {shown}"))
}

fn comes_back(keeper: &mut Keeper<'_>, _: Arch) -> Result<String> {
    keeper.fresh()?;
    let mut rng = Rng::with_seed(keeper.seed);
    // A rollback leaves an endpoint that the older file does not have.
    let first = Config::random(&mut rng, 10, 3).with_endpoints();
    keeper.store(&first, 1)?;
    let second = first.changed(&mut rng, 1);
    keeper.store(&second, 2)?;
    keeper.restart_empty()?;
    keeper.router.sees(&second).context("after kill -9, without its interface")?;
    keeper.ask(&["rollback", "wg0"])?.ok()?;
    keeper.router.sees(&first).context("after a rollback")?;
    keeper.ask(&["remove", "wg0"])?.ok()?;
    keeper.sh("! ip link show wg0 2>/dev/null")?;
    Ok(String::new())
}

/// What the kernel says of the agent's memory, in KiB: what is resident, and what of that belongs to no file. Not the
/// counters in `status`, which the kernel updates in steps of 64 pages. The agent never returns a page, so this is its
/// peak too.
fn resident(keeper: &Keeper<'_>) -> Result<[u32; 2]> {
    let shown = keeper.sh("grep -E '^(Rss|Anonymous):' /proc/$(pidof postwired)/smaps_rollup")?;
    let numbers: Vec<u32> =
        shown.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).collect();
    numbers.try_into().map_err(|_| anyhow::anyhow!("not two numbers: {shown}"))
}

fn memory(keeper: &mut Keeper<'_>, arch: Arch) -> Result<String> {
    let budget = build::target_of(arch)?.memory;
    let mut shown = Vec::new();
    let mut most = 0;
    for (reach, peers) in [(Reach::Udp, 2), (Reach::Serial, 1_000), (Reach::Udp, 1_000)] {
        keeper.fresh()?;
        let mut config = Config::random(&mut Rng::with_seed(keeper.seed), peers, 3);
        config.table = "off";
        let begun = Instant::now();
        keeper.router.push(&reach, &config.text())?.ok()?;
        let took = begun.elapsed().as_secs_f32();
        keeper.router.sees(&config)?;
        let [rss, anonymous] = resident(keeper)?;
        shown.push(format!(
            "{peers} over {reach:?} in {took:.1} s: {rss} KiB resident, {anonymous} of them not in the file"
        ));
        most = most.max(rss);
    }
    let shown = format!("{} (budget {budget})", shown.join("; "));
    ensure!(most <= budget, "too much memory: {shown}");
    // The kernel maps pages of the file by chance, in groups of 16.
    let told = build::target_of(arch)?.measured.context("board has no measured memory")?;
    ensure!(most <= told + 64, "`board` says {told} KiB were measured: {shown}");
    Ok(shown)
}

/// The files of the package with OpenWrt's shell functions as stand-ins: the init script starts the agent with the
/// command line that it gives procd, and the router is then claimed over the cable and pushed to, as
/// `docs/openwrt.md` has it; then it is claimed without a cable, by the commands of that page.
fn service(keeper: &mut Keeper<'_>, arch: Arch) -> Result<String> {
    let (router, target) = (&keeper.router, build::target_of(arch)?);
    router.stop()?;
    router.empty()?;
    let package = target.packages.first().context("no package")?;
    let recipe = RECIPES.iter().find(|recipe| recipe.name == "postwired").context("no recipe")?;
    let ipk = xtask::openwrt::ipk(recipe, package, Some(&fs::read(build::agent(arch)?)?))?;
    for (path, entry) in ipk::Package::read(&ipk.write()?)?.tree.iter() {
        if let Node::File(bytes) = &entry.node {
            router.vm.put(&format!("/{path}"), entry.mode, bytes)?;
        }
    }
    for (path, bytes) in super::openwrt::STAND_INS {
        router.vm.put(&format!("/{path}"), 0o755, bytes)?;
    }
    let check = keeper
        .sh("sed -i s/br-lan/eth0/ /etc/config/postwired; rm -f /etc/postwired/owners; \
         readlink -f /dev/postwire-serial; /etc/init.d/postwired check")?;
    let lines: Vec<&str> = check.lines().collect();
    let [port, serial, "udp port 5182"] = lines[..] else { anyhow::bail!("check: {check}") };
    ensure!(serial == format!("serial {port}"), "check: {check}");
    let command = as_procd(keeper, "/etc/init.d/postwired start")?;
    router.postwire(&Reach::Serial, &["claim", "--as", "anne"])?.ok()?;
    router.push_and_see(&Reach::Udp, &Config::random(&mut Rng::with_seed(keeper.seed), 5, 3))?;

    // Without a cable.
    router.stop()?;
    let words = on_the_page("Without a cable", "router$ ")?.join("\n");
    let script = format!(
        "service() {{ \"/etc/init.d/$1\" \"$2\"; }}; rm -f /record /etc/postwired/owners\n{words}"
    );
    as_procd(keeper, &script)?;
    let secret = keeper.sh("cat /etc/postwired/label")?;
    let claim = on_the_page("Without a cable", "bench$ ")?;
    let claim: Vec<&str> = claim.first().context("no claim")?.split_whitespace().collect();
    let ["postwire", "claim", "--udp", _, "--secret", "THE-SECRET"] = claim[..] else {
        anyhow::bail!("the page has another claim: {claim:?}")
    };
    router.postwire(&Reach::Udp, &["claim", "--as", "anne", "--secret", secret.trim()])?.ok()?;
    router.postwire(&Reach::Udp, &["status"])?.ok()?;
    Ok(command)
}

/// The commands of `docs/openwrt.md` in the first block after these words.
fn on_the_page(words: &str, prompt: &str) -> Result<Vec<String>> {
    let page = fs::read_to_string(build::workspace().join("docs/openwrt.md"))?;
    let (_, rest) = page.split_once(words).with_context(|| format!("no \"{words}\""))?;
    let block = rest.split("```").nth(1).context("no commands")?;
    Ok(block.lines().filter_map(|line| Some(line.strip_prefix(prompt)?.to_owned())).collect())
}

/// Runs a script that calls the init script, and then the agent with the command line for procd, as procd would.
fn as_procd(keeper: &Keeper<'_>, script: &str) -> Result<String> {
    let command = keeper.sh(&format!("{{ {script}\n}} >&2; sed -n 's/^command //p' /record"))?;
    ensure!(command.starts_with("/usr/sbin/postwired serve --udp eth0"), "{command}");
    let command = command.trim();
    keeper.sh(&format!(
        "setsid {command} >/tmp/postwired.log 2>&1 </dev/null & \
         for i in $(seq 600); do grep -q 'ready' /tmp/postwired.log && exit; usleep 100000; done; \
         cat /tmp/postwired.log; exit 1"
    ))?;
    Ok(command.to_owned())
}

/// In the guest, `wg` is Debian's, and `postwired wg` ours.
const COMMANDS: &str = r#"
set -e
cd /tmp
ln -sf /bin/postwired /tmp/wg-quick
[ -e /dev/fd ] || { ln -s /proc/self/fd /dev/fd; ln -s fd/0 /dev/stdin; }
postwired wg genkey >key
[ "$(postwired wg pubkey <key)" = "$(wg pubkey <key)" ]
cat >quick0.conf <<EOF
[Interface]
PrivateKey = $(cat key)
ListenPort = 51900
Address = 10.99.0.1/24, fd99::1/64
MTU = 1400

[Peer]
PublicKey = $(wg genkey | wg pubkey)
PresharedKey = $(postwired wg genpsk)
Endpoint = [2001:db8::7]:700
AllowedIPs = 10.99.1.0/24, 10.99.2.0/23, fd99:1::/48
PersistentKeepalive = 25
EOF
./wg-quick up ./quick0.conf 2>up.log
for word in '' dump endpoints allowed-ips listen-port; do
	[ "$(postwired wg show quick0 $word)" = "$(wg show quick0 $word)" ]
done
[ "$(postwired wg showconf quick0)" = "$(wg showconf quick0)" ]
[ "$(cat /sys/class/net/quick0/mtu)" = 1400 ]
ip address show dev quick0 | grep -q 'inet6 fd99::1/64'
ip route show dev quick0 | grep -q 10.99.2.0/23
ip -6 route show dev quick0 | grep -q fd99:1::/48
wg showconf quick0 >conf
postwired wg setconf quick0 /dev/null
[ -z "$(wg show quick0 peers)" ]
postwired wg syncconf quick0 /dev/stdin <conf
[ "$(wg showconf quick0)" = "$(cat conf)" ]
postwired wg set quick0 listen-port 51901 peer $(wg show quick0 peers) remove
[ "$(wg show quick0 listen-port) $(wg show quick0 peers)" = '51901 ' ]
./wg-quick down ./quick0.conf 2>down.log
! ip link show quick0 2>/dev/null
"#;

fn commands(keeper: &mut Keeper<'_>, _: Arch) -> Result<String> {
    let ran = keeper.router.vm.sh(&format!("set -x\n{COMMANDS}"))?;
    ensure!(ran.status == 0, "{}", String::from_utf8_lossy(&ran.stderr));
    Ok(String::new())
}

fn power_cut(keeper: &mut Keeper<'_>, _: Arch) -> Result<String> {
    keeper.fresh()?;
    let config = Config::random(&mut Rng::with_seed(keeper.seed), 40, 3);
    keeper.store(&config, 1)?;
    keeper.reboot()?;
    keeper.router.sees(&config)?;
    Ok(format!("up again after {:.1} s", keeper.router.vm.boot_time().as_secs_f32()))
}

fn few_of_wg_diff(keeper: &mut Keeper<'_>, _: Arch) -> Result<String> {
    piece_of_wg_diff(keeper, 80, 3)
}

fn more_of_wg_diff(keeper: &mut Keeper<'_>, _: Arch) -> Result<String> {
    piece_of_wg_diff(keeper, 8, 20)
}

/// Our `wg` beside Debian's on this machine's kernel: every `step`th case written by hand, and `count` generated ones.
fn piece_of_wg_diff(keeper: &mut Keeper<'_>, step: usize, count: u32) -> Result<String> {
    keeper.router.stop()?;
    wg_diff::piece(&keeper.router.vm, keeper.seed, step, count)
}
