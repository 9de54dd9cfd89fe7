//! Changes that fail in the middle, and are reverted.
//!
//! The kernel seldom refuses a change, so strace makes a system call with a change fail; for the
//! agent that is the same as a refusal. The kernel's own refusals are tested too.

use anyhow::{Context, Result, anyhow, ensure};
use fastrand::Rng;
use lab::routers::{Config, KEEP, Keeper, Peer, Reach, STATE, Said, TRACE, is_change};
use std::{ops::RangeInclusive, thread};

/// Number of peers where it matters, and where it does not.
const PEERS: u32 = 150;
const FEWER: u32 = 100;

/// Traces the agent's messages to the kernel, which over the serial line are all that it sends;
/// `inject` are faults for some of them.
fn trace(keeper: &Keeper<'_>, inject: &str) -> Result<()> {
    let inject = if inject.is_empty() { String::new() } else { format!("sendto:{inject}") };
    keeper.router.trace("sendto", &inject)
}

/// State that a failed change must not touch.
struct Before {
    state: Vec<String>,
    files: String,
}

fn files(keeper: &Keeper<'_>) -> Result<String> {
    keeper.sh(&format!(
        "cd {KEEP}; stat -c '%n %i %s %Y %Z' * | grep -v -e lost -e starts; ls {STATE}/next 2>&1; true"
    ))
}

impl Before {
    fn see(keeper: &Keeper<'_>) -> Result<Self> {
        Ok(Self { state: keeper.router.state()?, files: files(keeper)? })
    }

    fn is_left(&self, keeper: &Keeper<'_>) -> Result<()> {
        keeper.router.is_in(&self.state)?;
        let files = files(keeper)?;
        ensure!(files == self.files, "files changed:\n{}\n{files}", self.files);
        Ok(())
    }
}

fn push(keeper: &Keeper<'_>, config: &Config) -> Result<Said> {
    keeper.router.push(&Reach::Serial, &config.text())
}

/// Fails unless the reply reports that the change was reverted (or never made), and why.
fn undone<'s>(said: &'s Said, code: &str, changed: bool) -> Result<&'s str> {
    let message = said.failed(1, code)?;
    let state = if changed { "undone" } else { "unchanged" };
    ensure!(said.text("/error/state") == state, "not {state}: {}", said.json);
    Ok(message)
}

/// Two configurations of many peers, which differ by added, removed and changed items of every
/// kind.
fn configs(keeper: &Keeper<'_>, peers: u32) -> Result<(Config, Config)> {
    let mut rng = Rng::with_seed(keeper.seed);
    let old = Config::random(&mut rng, peers, 3);
    let mut new = old.changed(&mut rng, 1);
    new.addresses = ["10.77.0.1/24", "10.79.0.1/24", "fd79::1/64"].map(str::to_owned).into();
    new.listen_port += 1;
    new.private_key = Config::random(&mut rng, 0, 0).private_key;
    let peer = new.peers.values_mut().next().context("a peer")?;
    peer.allowed_ips.insert("0.0.0.0/0".to_owned());
    Ok((old, new))
}

/// Lets messages to the kernel fail, of which the first is the change with `before` others before it.
///
/// On a busy machine a session may begin twice, and each beginning sends queries of its own: in this try, or when the
/// messages were counted. When a query or another change failed in place of the change, `again` brings the router back to where it was and
/// counts the messages again, and `act` is tried again.
fn refuse(
    keeper: &Keeper<'_>,
    mut numbers: RangeInclusive<usize>,
    before: usize,
    act: &dyn Fn() -> Result<Said>,
    again: &mut dyn FnMut(&Said) -> Result<RangeInclusive<usize>>,
) -> Result<Said> {
    const TRIES: usize = 8;
    let mut hit = String::new();
    for _ in 0..TRIES {
        trace(keeper, &format!("error=ENOBUFS:when={}..{}", numbers.start(), numbers.end()))?;
        let said = act()?;
        let lines = keeper.router.traced()?;
        let (earlier, rest) = lines.split_at(lines.len().min(numbers.start() - 1));
        hit = rest.first().cloned().unwrap_or_else(|| "nothing".to_owned());
        let changes = earlier.iter().filter(|line| is_change(line)).count();
        if hit.contains("INJECTED") && is_change(&hit) && changes == before {
            return Ok(said);
        }
        numbers = again(&said)?;
    }
    Err(anyhow!("no change was hit {TRIES} times; the last time: {hit}"))
}

/// The numbers of the messages that change something, when nothing fails.
fn changes(keeper: &Keeper<'_>, act: &dyn Fn() -> Result<Said>) -> Result<Vec<usize>> {
    trace(keeper, "")?;
    act()?.ok()?;
    let lines = keeper.router.traced()?;
    let changes = lines.iter().enumerate().filter(|(_, line)| is_change(line));
    Ok(changes.map(|(at, _)| at + 1).collect())
}

pub(super) fn refused(keeper: &mut Keeper<'_>) -> Result<String> {
    let (old, new) = configs(keeper, PEERS)?;
    // The rollback must restore exactly the same.
    let old = old.with_endpoints();
    keeper.store(&old, 1)?;
    let push_new = || push(keeper, &new);
    let mut numbers = changes(keeper, &push_new)?;
    ensure!(numbers.len() > 100, "only {} changes", numbers.len());
    let roll_back = || -> Result<Before> {
        keeper.ask(&["rollback", "wg0"])?.ok()?;
        Before::see(keeper)
    };
    let mut before = roll_back()?;
    let last = numbers.len() - 1;
    let mut said_of_one = String::new();
    let some = Rng::with_seed(keeper.seed).usize(..last);
    let nths = [0, some, last / 2, last];
    for nth in nths {
        let mut tried = || -> Result<String> {
            // After a refusal, a message about many peers is sent again peer by peer.
            let two = |numbers: &[usize]| -> Result<RangeInclusive<usize>> {
                let at = *numbers.get(nth).context("fewer changes than before")?;
                Ok(at..=at + 1)
            };
            let said = refuse(keeper, two(&numbers)?, nth, &push_new, &mut |said| {
                if said.code == 0 {
                    before = roll_back()?;
                }
                before.is_left(keeper)?;
                numbers = changes(keeper, &push_new)?;
                before = roll_back()?;
                two(&numbers)
            })?;
            let message = undone(&said, "kernel", nth > 0)?.to_owned();
            before.is_left(keeper)?;
            let named = said.text("/error/subject");
            ensure!(!named.is_empty() && message.contains("ENOBUFS"), "{}", said.json);
            Ok(message)
        };
        said_of_one = tried().with_context(|| format!("change {} of {}", nth + 1, last + 1))?;
    }
    let last_said = said_of_one.rsplit("wg0.conf").next().unwrap_or_default().to_owned();
    Ok(format!(
        "{PEERS} peers, {} changes of which {} were refused in turn; the last: {last_said}",
        last + 1,
        nths.len()
    ))
}

pub(super) fn kernel_refuses(keeper: &mut Keeper<'_>) -> Result<String> {
    let (mut old, mut new) = configs(keeper, FEWER)?;
    // A peer with constant traffic; with another key it could not communicate.
    let live = keeper.live_key()?;
    new.private_key.clone_from(&old.private_key);
    for config in [&mut old, &mut new] {
        config.peers.insert(live.clone(), Peer::quiet("10.200.0.2/32"));
    }
    keeper.push("wg0", &old.text(), &[])?.ok()?;
    keeper.live(&live)?;
    let handshake = || keeper.sh(&format!("wg show wg0 latest-handshakes | grep {live}"));
    let shaken = handshake()?;
    // The last route of all: a network that another interface has, of the peer with the greatest
    // key.
    let route = "fdff:ffff::/64";
    let peer = new.peers.values_mut().next_back().context("a peer")?;
    peer.allowed_ips.insert(route.to_owned());
    keeper.sh(&format!("ip -6 route add {route} dev eth0 metric 1024"))?;
    let before = Before::see(keeper)?;
    let said = push(keeper, &new)?;
    let message = undone(&said, "config", false)?.to_owned();
    ensure!(message.contains(route) && message.contains("eth0 has"), "{}", said.json);
    before.is_left(keeper).context("a route that is taken")?;
    keeper.sh(&format!("ip -6 route delete {route} dev eth0"))?;

    // The kernel removes IPv6 from a link with this MTU: the file is invalid.
    let before = Before::see(keeper)?;
    let small = Config { mtu: 1_200, ..new.clone() };
    let said = push(keeper, &small)?;
    ensure!(said.code == 2 && said.json.to_string().contains("1280"), "{}", said.json);
    before.is_left(keeper).context("an MTU that is too small for IPv6")?;

    // The port, which is the first change, is refused before anything is changed.
    keeper
        .sh("ip link add wg9 type wireguard; wg set wg9 listen-port 40404; ip link set wg9 up")?;
    let before = Before::see(keeper)?;
    let said = push(keeper, &Config { listen_port: 40_404, ..new.clone() })?;
    undone(&said, "kernel", false)?;
    before.is_left(keeper).context("a port that is taken")?;
    let now = handshake()?;
    ensure!(now == shaken, "the handshake was lost: {shaken} and then {now}");
    keeper.sh("ip link delete live")?;
    Ok(format!("a handshake kept; {}", message.rsplit("wg0.conf").next().unwrap_or_default()))
}

pub(super) fn deleted(keeper: &mut Keeper<'_>) -> Result<String> {
    let (old, new) = configs(keeper, FEWER)?;
    keeper.store(&old, 1)?;
    let before = Before::see(keeper)?;
    let mut shown = String::new();
    // In the middle of the changes: queries and lines of the log are calls of the same kind.
    for further in [24, 50] {
        trace(keeper, "")?;
        let at = {
            // A change that is refused at its end shows the number of changes.
            let said = push(keeper, &Config { listen_port: 5_182, ..new.clone() })?;
            ensure!(said.code == 1, "{}", said.json);
            let lines = keeper.router.traced()?;
            lines.iter().position(|line| is_change(line)).context("no change")? + 1
        };
        let at = at + further;
        trace(keeper, &format!("delay_enter=4000000:when={at}"))?;
        let said = thread::scope(|scope| -> Result<Said> {
            let pushing = scope.spawn(|| push(keeper, &new));
            keeper.sh(&format!(
                "until [ $(grep -c sendto {TRACE}) -ge {} ]; do usleep 20000; done; sleep 1; \
                 wg setconf wg0 /dev/null; ip link delete wg0",
                at - 1
            ))?;
            pushing.join().map_err(|_| anyhow!("the push died"))?
        })?;
        keeper.router.traced()?;
        shown = undone(&said, said.text("/error/code"), true)?.to_owned();
        before.is_left(keeper)?;
    }
    Ok(shown.rsplit("wg0.conf").next().unwrap_or_default().to_owned())
}

pub(super) fn new_interface(keeper: &mut Keeper<'_>) -> Result<String> {
    let (old, _) = configs(keeper, FEWER)?;
    let before = Before::see(keeper)?;
    for at in [60, 300] {
        trace(keeper, &format!("error=ENOBUFS:when={at}..{}", at + 1))?;
        let said = push(keeper, &old)?;
        keeper.router.traced()?;
        undone(&said, "kernel", true)?;
        before.is_left(keeper).with_context(|| format!("message {at}"))?;
    }
    keeper.store(&old, 1)?;
    let before = Before::see(keeper)?;
    // Removing the interface again fails as well: at its last message.
    let state = before.state;
    let remove = || keeper.router.postwire(&Reach::Serial, &["remove", "wg0"]);
    let last = || -> Result<(RangeInclusive<usize>, usize, Before)> {
        let mut all = changes(keeper, &remove)?;
        let last = all.pop().context("no change")?;
        keeper.fresh()?;
        keeper.store(&old, 1)?;
        keeper.router.is_in(&state)?;
        Ok((last..=last, all.len(), Before::see(keeper)?))
    };
    let (numbers, others, mut before) = last()?;
    let said = refuse(keeper, numbers, others, &remove, &mut |said| {
        if said.code != 0 {
            before.is_left(keeper)?;
        }
        let (numbers, _, seen) = last()?;
        before = seen;
        Ok(numbers)
    })?;
    undone(&said, "kernel", true)?;
    before.is_left(keeper).context("a removal that failed")?;
    keeper.restart()?;
    before.is_left(keeper)?;
    Ok("an interface that was new is gone again, one that was to go is back".to_owned())
}

pub(super) fn stuck(keeper: &mut Keeper<'_>) -> Result<String> {
    let (old, new) = configs(keeper, FEWER)?;
    keeper.store(&old, 1)?;
    let before = Before::see(keeper)?;
    let mut message = String::new();
    for restarted in [true, false] {
        // Every message fails from here on.
        trace(keeper, "error=ENOBUFS:when=40+")?;
        let said = push(keeper, &new)?;
        keeper.router.traced()?;
        message = said.failed(1, "kernel")?.to_owned();
        ensure!(said.text("/error/state") == "partly", "{}", said.json);
        ensure!(message.contains("reverting failed too"), "{}", said.json);
        ensure!(keeper.router.state()? != before.state, "nothing was changed");
        if restarted {
            keeper.restart()?;
        } else {
            keeper.ask(&["repair", "wg0"])?.ok()?;
        }
        before.is_left(keeper).with_context(|| format!("restarted: {restarted}"))?;
    }
    Ok(message.rsplit("wg0.conf").next().unwrap_or_default().to_owned())
}

/// A peer that had no endpoint has none again, although the kernel cannot unset one.
pub(super) fn endpoints(keeper: &mut Keeper<'_>) -> Result<String> {
    let mut old = Config::random(&mut Rng::with_seed(keeper.seed), 30, 2);
    old.peers.values_mut().for_each(|peer: &mut Peer| peer.endpoint = None);
    keeper.store(&old, 1)?;
    let before = Before::see(keeper)?;
    let words = ["--confirm-within", "3600s", "--confirm-by-hand"];
    keeper.push("wg0", &old.clone().with_endpoints().text(), &words)?.ok()?;
    ensure!(keeper.router.state()? != before.state, "nothing was changed");
    keeper.ask(&["revert"])?.ok()?;
    before.is_left(keeper)?;
    Ok(String::new())
}
