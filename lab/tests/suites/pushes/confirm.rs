//! Changes that wait to be confirmed, and an operator who loses the connection by a change.

use anyhow::{Context, Result, anyhow, ensure};
use fastrand::Rng;
use lab::routers::{Config, Keeper, Peer, Reach};
use std::{
    thread,
    time::{Duration, Instant},
};

const BY_HAND: [&str; 3] = ["--confirm-within", "3600s", "--confirm-by-hand"];

/// Two configurations, the first of which is stored as number 1.
fn two(keeper: &Keeper<'_>) -> Result<(Config, Config)> {
    let mut rng = Rng::with_seed(keeper.seed);
    let old = Config::random(&mut rng, 30, 3);
    let new = old.changed(&mut rng, 1);
    keeper.store(&old, 1)?;
    Ok((old, new))
}

/// Waits until the router has reverted by itself, and checks that it was in time. Returns the
/// duration.
fn goes_back(keeper: &Keeper<'_>, state: &[String], within: Duration) -> Result<Duration> {
    let started = Instant::now();
    while keeper.router.state()? != state {
        ensure!(started.elapsed() < within, "it does not go back by itself");
        thread::sleep(Duration::from_millis(200));
    }
    Ok(started.elapsed())
}

/// Fails unless no change is pending and the newest configuration of wg0 has this number.
fn settled(keeper: &Keeper<'_>, number: u64) -> Result<()> {
    let status = keeper.ask(&["status"])?.ok()?;
    ensure!(status.is("/result/pending", serde_json::Value::Null), "{}", status.json);
    ensure!(status.number("/result/stored/0/number") == Some(number), "{}", status.json);
    ensure!(status.is("/result/stored/0/agrees", true), "{}", status.json);
    ensure!(status.text("/result/trouble").is_empty(), "{}", status.json);
    Ok(())
}

pub(super) fn confirmed(keeper: &mut Keeper<'_>) -> Result<String> {
    let (old, new) = two(keeper)?;
    // The tool confirms by itself.
    let said = keeper.push("wg0", &new.text(), &["--confirm-within", "60s"])?.ok()?;
    ensure!(said.is("/result/confirmed", true) && said.is("/result/stored", true), "{}", said.json);
    settled(keeper, 2)?;
    keeper.router.sees(&new)?;
    // A person confirms.
    let said = keeper.push("wg0", &old.clone().with_endpoints().text(), &BY_HAND)?.ok()?;
    ensure!(
        said.is("/result/confirmed", false) && said.is("/result/stored", false),
        "{}",
        said.json
    );
    let left = said.number("/result/confirm_within").unwrap_or(0);
    ensure!((3_590..=3_600).contains(&left), "{}", said.json);
    let status = keeper.ask(&["status"])?.ok()?;
    ensure!(status.number("/result/pending/number") == Some(3), "{}", status.json);
    ensure!(status.number("/result/stored/0/number") == Some(2), "{}", status.json);
    keeper.ask(&["confirm"])?.ok()?;
    settled(keeper, 3)?;
    keeper.ask(&["confirm"])?.failed(1, "not_pending")?;
    keeper.ask(&["revert"])?.failed(1, "not_pending")?;
    keeper.restart_empty()?;
    keeper.router.sees(&old.with_endpoints())?;
    // A push that changes nothing leaves nothing to confirm.
    let state = keeper.router.state()?;
    let text = std::fs::read_to_string(keeper.router.folder.join("wg0.conf"))?;
    let said = keeper.push("wg0", &text, &["--confirm-within", "60s"])?.ok()?;
    ensure!(
        said.is("/result/stored", false) && said.number("/result/number") == Some(3),
        "{}",
        said.json
    );
    keeper.router.is_in(&state)?;
    // A rollback waits as well.
    keeper.ask(&[&["rollback", "wg0", "1"], &BY_HAND[..]].concat())?.ok()?;
    keeper.ask(&["revert"])?.ok()?;
    keeper.router.is_in(&state)?;
    keeper.ask(&["rollback", "wg0", "2", "--confirm-within", "60s"])?.ok()?;
    settled(keeper, 4)?;
    Ok("by the tool, by hand, and by a rollback".to_owned())
}

pub(super) fn unconfirmed(keeper: &mut Keeper<'_>) -> Result<String> {
    let (_, new) = two(keeper)?;
    let state = keeper.router.state()?;
    let words = |seconds: &'static str| ["--confirm-within", seconds, "--confirm-by-hand"];
    let begun = Instant::now();
    keeper.push("wg0", &new.text(), &words("4s"))?.ok()?;
    goes_back(keeper, &state, Duration::from_secs(300))?;
    let took = begun.elapsed();
    ensure!(took > Duration::from_millis(3_900), "it went back after {:.1} s", took.as_secs_f32());
    settled(keeper, 1)?;

    // The agent is killed and restarted: it reverts at once.
    for emptied in [false, true] {
        keeper.push("wg0", &new.text(), &BY_HAND)?.ok()?;
        if emptied {
            keeper.restart_empty()?
        } else {
            keeper.restart()?
        }
        keeper.router.is_in(&state).with_context(|| format!("agent killed, emptied: {emptied}"))?;
        settled(keeper, 1)?;
    }
    // The machine reboots: the same.
    keeper.push("wg0", &new.text(), &BY_HAND)?.ok()?;
    keeper.reboot()?;
    keeper.router.is_in(&state).context("power cut")?;
    settled(keeper, 1)?;
    // A new interface is removed again.
    let other = Config { listen_port: 4_444, addresses: [].into(), table: "off", ..new.clone() };
    keeper.push("wg3", &other.text(), &BY_HAND)?.ok()?;
    keeper.restart()?;
    keeper.router.is_in(&state).context("an interface that was new")?;
    keeper.push("wg3", &other.text(), &words("2s"))?.ok()?;
    goes_back(keeper, &state, Duration::from_secs(300))?;
    Ok(format!("after {:.1} s of 4, a killed agent, and a power cut", took.as_secs_f32()))
}

pub(super) fn waiting(keeper: &mut Keeper<'_>) -> Result<String> {
    let (old, new) = two(keeper)?;
    let state = keeper.router.state()?;
    let ben = keeper.router.owner.other("ben")?;
    let router = lab::routers::identity(&keeper.router.vm, "")?;
    ben.meets("keeper", &router)?;
    let words = ["owner", "add", ben.key(), "--role", "admin", "--name", "ben"];
    keeper.ask(&words)?.ok()?;
    keeper.push_by(&ben, "wg0", &new.text(), &BY_HAND)?.ok()?;
    let path = keeper.router.folder.join("wg0.conf");
    std::fs::write(&path, old.text())?;
    let path = path.to_str().context("a path that is no text")?;
    let all: [&[&str]; 5] = [
        &["push", path],
        &["diff", path],
        &["remove", "wg0"],
        &["repair", "wg0"],
        &["rollback", "wg0"],
    ];
    let mut message = String::new();
    for words in all {
        let said = keeper.ask(words)?;
        message = said.failed(1, "busy").with_context(|| format!("{words:?}"))?.to_owned();
        ensure!(message.contains("ben's change of wg0"), "{}", said.json);
    }
    let status = keeper.ask(&["status"])?.ok()?;
    ensure!(status.text("/result/pending/by") == "ben", "{}", status.json);
    keeper.ask(&["history", "wg0"])?.ok()?;
    // Any owner who may make changes may revert.
    keeper.ask(&["revert"])?.ok()?;
    keeper.router.is_in(&state)?;
    settled(keeper, 1)?;

    // While ben's push is still in progress.
    let many = Config::random(&mut Rng::with_seed(7), 800, 5);
    let path = keeper.router.folder.join("wg1.conf");
    std::fs::write(&path, Config { table: "off", listen_port: 4_444, ..many }.text())?;
    let path = path.to_str().context("a path that is no text")?;
    let words = ["push", path];
    let (pushed, busy) = thread::scope(|scope| -> Result<_> {
        let pushing = scope.spawn(|| keeper.router.postwire_by(&ben, &Reach::Serial, &words));
        keeper
            .sh("until grep -q 'begins to push wg1' /tmp/postwired.log; do usleep 20000; done")?;
        let busy = keeper.push("wg0", &new.text(), &[])?;
        Ok((pushing.join().map_err(|_| anyhow!("the push died"))??, busy))
    })?;
    let second = busy.failed(1, "busy")?;
    ensure!(second.contains("ben is pushing wg1"), "{}", busy.json);
    pushed.ok()?;
    Ok(format!("{message}; {second}"))
}

/// A peer whose allowed IPs contain the operator's address: replies go into the tunnel.
fn cutting_off(config: &Config) -> Config {
    let endpoint = Some("192.0.2.9:9".to_owned());
    let peer = Peer { endpoint, ..Peer::quiet("10.0.2.2/32") };
    let mut config = config.clone();
    config.peers.insert("AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=".to_owned(), peer);
    config
}

pub(super) fn cut_off(keeper: &mut Keeper<'_>) -> Result<String> {
    let (old, _) = two(keeper)?;
    let state = keeper.router.state()?;
    let bad = cutting_off(&old).text();
    let path = keeper.router.folder.join("wg0.conf");
    std::fs::write(&path, &bad)?;
    let words =
        ["push", path.to_str().context("path")?, "--confirm-within", "20s", "--timeout", "8s"];
    // While the router has power.
    let begun = Instant::now();
    let said = keeper.ask(&words)?;
    let took = begun.elapsed();
    ensure!(said.code == 1, "exit code {}: {}\n{}", said.code, said.json, said.stderr);
    ensure!(said.text("/error/state") == "taken_back", "{}", said.json);
    let message = said.text("/error/message").to_owned();
    ensure!(message.contains("wg0 is number 1 again"), "{message}");
    ensure!(took.as_secs() >= 19, "it took only {} s", took.as_secs());
    keeper.router.is_in(&state)?;
    settled(keeper, 1)?;

    // The log shows that the client was cut off, and not only slow.
    let log = keeper.router.log()?;
    ensure!(
        log.contains("waits to be confirmed") && log.contains("not confirmed in time"),
        "{log}"
    );

    // With a power cut meanwhile.
    let output = thread::scope(|scope| -> Result<_> {
        let mut command = keeper.router.postwire_command(&Reach::Udp, &words);
        let pushing = scope.spawn(move || command.output());
        keeper.sh("until [ $(grep -c 'waits to be confirmed' /tmp/postwired.log) = 2 ]; do usleep 50000; done")?;
        keeper.sh("ip route get 10.0.2.2 | grep wg0").context("the operator is not cut off")?;
        keeper.router.vm.kill();
        pushing.join().map_err(|_| anyhow!("the push died"))?.context("postwire")
    })?;
    let said = lab::routers::said(&output)?;
    ensure!(said.code == 3, "exit code {}: {}\n{}", said.code, said.json, said.stderr);
    ensure!(said.text("/error/state") == "unconfirmed", "{}", said.json);
    keeper.reboot()?;
    keeper.router.is_in(&state).context("after a power cut")?;
    settled(keeper, 1)?;
    Ok(format!("after {:.0} s: {message}", took.as_secs_f32()))
}
