//! Long configurations: their cost in memory and time, and the cost of one change among many peers.

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use lab::{
    Arch,
    routers::{ALONE, Config, Keeper, Peer, is_change, is_sent},
};
use std::{
    fmt,
    time::{Duration, Instant},
};
use xtask::build;

const MANY: u32 = 10_000;
const FEW: u32 = 10;
/// Allowed difference from the memory with few peers in KiB: the buffers of netlink, 40 KiB, are resident once long
/// answers have filled them, and the depth of a call may add a page or two.
const NEAR: u32 = 56;

/// Bytes of queries. On a busy machine the bench asks again for the state of a router that takes long, and the agent asks
/// the kernel again: that is a few messages, and none for each peer.
const AGAIN: u64 = 512;

/// After two minutes WireGuard makes new keys for a session by another handshake. Only a slow machine needs as long.
const REKEYED: Duration = Duration::from_secs(110);

/// The messages between the agent and the kernel.
#[derive(Debug)]
struct Traffic {
    changes: usize,
    change_bytes: u64,
    sent: usize,
    sent_bytes: u64,
    received: usize,
    received_bytes: u64,
}

impl Traffic {
    fn of(lines: &[String]) -> Self {
        let bytes = |lines: &[&String]| -> u64 {
            let of =
                |line: &&String| line.rsplit_once(" = ")?.1.split(' ').next()?.parse::<u64>().ok();
            lines.iter().filter_map(of).sum::<u64>()
        };
        let only = |is: &dyn Fn(&str) -> bool| -> Vec<&String> {
            lines.iter().filter(|line| is(line)).collect()
        };
        let (changes, sent) = (only(&is_change), only(&is_sent));
        let received = only(&|line| line.starts_with("recvfrom(") && line.contains("AF_NETLINK"));
        Self {
            changes: changes.len(),
            change_bytes: bytes(&changes),
            sent: sent.len(),
            sent_bytes: bytes(&sent),
            received: received.len(),
            received_bytes: bytes(&received),
        }
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { changes, change_bytes, sent, sent_bytes, received, received_bytes } = self;
        write!(
            f,
            "{changes} changes of {change_bytes} bytes among {sent} messages of {sent_bytes}, and {received} \
             datagrams of {} KiB read",
            received_bytes / 1024
        )
    }
}

/// The cost of a number of peers.
#[derive(Debug)]
struct Cost {
    /// Memory in KiB, after pushes and diffs, and after a start and a rollback.
    memory: [u32; 2],
    took: Vec<(&'static str, Duration)>,
    one_change: Traffic,
}

impl Cost {
    fn timed<T>(&mut self, what: &'static str, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let begun = Instant::now();
        let done = run().context(what)?;
        self.took.push((what, begun.elapsed()));
        Ok(done)
    }

    fn of(keeper: &mut Keeper<'_>, peers: u32) -> Result<Self> {
        keeper.fresh()?;
        let traffic = Traffic::of(&[]);
        let mut cost = Self { memory: [0; 2], took: Vec::new(), one_change: traffic };
        let mut config = Config::random(&mut Rng::with_seed(keeper.seed), peers, 3);
        config.table = "off";
        // Without keepalives no peer sends anything by itself.
        config.peers.values_mut().for_each(|peer| peer.persistent_keepalive = 0);
        let live = keeper.live_key()?;
        config.peers.insert(live.clone(), Peer::quiet("10.200.0.2/32"));
        let mut changed = config.clone();
        let mut quiet = changed.peers.iter_mut().filter(|(key, _)| **key != live);
        let (_, peer) = quiet.nth(peers as usize / 2).context("a peer")?;
        peer.persistent_keepalive = 77;
        let text = changed.text();

        cost.timed("push", || keeper.store(&config, 1))?;
        let session = Instant::now();
        keeper.live(&live)?;
        let file = keeper.router.folder.join("changed.conf");
        std::fs::write(&file, &text)?;
        let words = ["diff", file.to_str().context("path")?, "--interface", "wg0"];
        let diff = cost.timed("diff", || keeper.ask(&words))?;
        ensure!(
            diff.code == 4 && diff.number("/result/summary/peers/changed") == Some(1),
            "{}",
            diff.json
        );
        cost.memory[0] = keeper.router.memory()?;
        let (before, handshake) = (others(keeper)?, handshake(keeper, &live)?);
        keeper.router.stop()?;
        keeper.router.start_filtered("sendto,recvfrom", ALONE)?;
        let earlier = keeper.router.trace_so_far()?.len();
        let said = cost
            .timed("push of one change under strace", || keeper.push("wg0", &text, &[]))?
            .ok()?;
        let lines = keeper.router.traced()?;
        cost.one_change = Traffic::of(lines.get(earlier..).context("the trace became shorter")?);
        ensure!(said.number("/result/summary/peers/changed") == Some(1), "{}", said.json);
        let after = others(keeper)?;
        let touched = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        ensure!(touched == 1 && before.len() == after.len(), "{touched} peers were touched");
        let now = self::handshake(keeper, &live)?;
        let renewed = session.elapsed() > REKEYED;
        ensure!(
            (now.0 == handshake.0 || renewed) && now.1 >= handshake.1,
            "{handshake:?} and then {now:?}"
        );

        let seen = |config: &Config| match keeper.router.kernel()?.difference(&config.kernel()) {
            None => Ok(()),
            Some(difference) => anyhow::bail!("the kernel has something else: {difference}"),
        };
        cost.timed("start", || keeper.restart_empty())?;
        seen(&changed)?;
        cost.timed("rollback", || keeper.ask(&["rollback", "wg0"])?.ok())?;
        seen(&config)?;
        cost.memory[1] = keeper.router.memory()?;
        Ok(cost)
    }
}

/// The output of `wg` for all peers without traffic: endpoints, counters and all.
fn others(keeper: &Keeper<'_>) -> Result<Vec<String>> {
    let shown = keeper.sh("wg show wg0 dump | grep -v 10.200.0.2/32 | sort")?;
    Ok(shown.lines().map(str::to_owned).collect())
}

/// The last handshake with a peer, and the bytes received from it.
fn handshake(keeper: &Keeper<'_>, key: &str) -> Result<(String, u64)> {
    let shown = keeper.sh(&format!("wg show wg0 dump | grep {key}"))?;
    let fields: Vec<&str> = shown.split('\t').collect();
    Ok((
        fields.get(4).context("no handshake")?.to_string(),
        fields.get(5).context("no count")?.parse()?,
    ))
}

/// The time of Debian's `wg syncconf` for all peers, and for one that changed.
fn syncconf(keeper: &Keeper<'_>) -> Result<[f32; 2]> {
    let script = "now() { cut -d ' ' -f 1 /proc/uptime; }; wg showconf wg0 | grep -v ListenPort >/tmp/c; \
        awk '!done && /^Endpoint/ { print \"PersistentKeepalive = 26\"; done = 1 } { print }' /tmp/c >/tmp/d; \
        ip link add wgs type wireguard && ip link set wgs up; a=$(now); wg syncconf wgs /tmp/c && b=$(now) && \
        wg syncconf wgs /tmp/d && c=$(now); echo $a $b $c; wg setconf wgs /dev/null; ip link delete wgs";
    let printed = keeper.sh(script)?;
    let times: Vec<f32> = printed.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [a, b, c] = times[..] else { anyhow::bail!("not three times: {printed}") };
    Ok([b - a, c - b])
}

pub(super) fn many(keeper: &mut Keeper<'_>) -> Result<String> {
    let few = Cost::of(keeper, FEW)?;
    let many = Cost::of(keeper, MANY)?;
    let [all, one] = syncconf(keeper)?;
    let took: Vec<String> = many
        .took
        .iter()
        .map(|(what, took)| format!("{what} {:.1} s", took.as_secs_f32()))
        .collect();
    let shown = format!(
        "peak memory {:?} KiB, and {:?} with {FEW} peers; {} (wg syncconf: all {all:.1} s, one change {one:.1} s); \
         one change: {}; with {FEW} peers: {}",
        many.memory,
        few.memory,
        took.join(", "),
        many.one_change,
        few.one_change
    );
    let budget = build::target_of(Arch::X86_64)?.memory;
    for (few, many) in few.memory.iter().zip(&many.memory) {
        ensure!(*many <= budget && many.abs_diff(*few) <= NEAR, "too much memory: {shown}");
    }
    let (few, many) = (&few.one_change, &many.one_change);
    ensure!(many.changes == 1 && few.changes == 1, "more than one change: {shown}");
    let asked = many.sent_bytes.abs_diff(few.sent_bytes);
    ensure!(many.change_bytes == few.change_bytes && asked <= AGAIN, "{shown}");
    ensure!(many.received_bytes > few.received_bytes, "nothing was read: {shown}");
    Ok(shown)
}
