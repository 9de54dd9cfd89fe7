//! Stored configurations of a router: it starts with them, keeps a history, and reports differences
//! of the kernel.

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use lab::routers::{Config, EMPTY, KEEP, Keeper, Peer};
use proto_core::protocol::digest;
use serde_json::Value;

/// A configuration whose private key the router generates.
fn keyless(config: &Config) -> String {
    config.text().replacen(&config.private_key, "generate", 1)
}

/// Configurations that can exist side by side: the `nth` of them on one router.
fn beside(config: &Config, nth: u16) -> Config {
    let listen_port = config.listen_port + nth;
    let addresses = [format!("10.78.{nth}.1/24")].into();
    Config { listen_port, addresses, table: "off", ..config.clone() }
}

pub(super) fn comes_back(keeper: &mut Keeper<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::with_seed(keeper.seed), 40, 3);
    let said = keeper.push("wg0", &keyless(&config), &[])?.ok()?;
    let key = said.text("/result/public_key").to_owned();
    ensure!(key.len() == 44, "no key was made: {}", said.json);
    let state = keeper.router.state()?;
    let has_key = |keeper: &Keeper<'_>| -> Result<()> {
        let now = keeper.sh("wg show wg0 public-key")?;
        ensure!(now == key, "the key is {now} and was {key}");
        keeper.router.is_in(&state)
    };
    keeper.restart()?;
    has_key(keeper).context("restarted")?;
    ensure!(!keeper.router.log()?.contains("applied"), "it applied what was there");
    keeper.restart_empty()?;
    has_key(keeper).context("restarted without an interface")?;
    ensure!(
        keeper.router.log()?.contains("wg0: applied the stored configuration"),
        "no word of it"
    );
    for round in 1..=2 {
        keeper.reboot()?;
        has_key(keeper).with_context(|| format!("power cut {round}"))?;
    }
    // The same file again is the same configuration, including the key.
    let said = keeper.push("wg0", &keyless(&config), &[])?.ok()?;
    ensure!(said.is("/result/stored", false) && said.is("/result/changed", false), "{}", said.json);
    Ok("after kill -9, without its interface, and after two power cuts".to_owned())
}

pub(super) fn unchanged(keeper: &mut Keeper<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::with_seed(keeper.seed), 200, 3);
    keeper.store(&config, 1)?;
    let files = |keeper: &Keeper<'_>| {
        keeper.sh(&format!("sync; cd {KEEP}; stat -c '%n %i %s %Y %Z %a' . * | grep -v lost"))
    };
    let sectors = |keeper: &Keeper<'_>| -> Result<u64> {
        Ok(keeper.sh("sync; awk '{ print $7 }' /sys/block/vda/stat")?.trim().parse()?)
    };
    // The first read of a new file writes its access time.
    keeper.push("wg0", &config.text(), &[])?.ok()?;
    let (before, written) = (files(keeper)?, sectors(keeper)?);
    for line in before.lines().filter(|line| line.starts_with("wg0.")) {
        ensure!(line.ends_with(" 600"), "others can read it: {line}");
    }
    ensure!(before.contains("wg0.1 ") && !before.contains("next"), "{before}");
    for _ in 0..3 {
        let said = keeper.push("wg0", &config.text(), &[])?.ok()?;
        ensure!(said.is("/result/stored", false), "{}", said.json);
        ensure!(said.number("/result/number") == Some(1), "{}", said.json);
    }
    let after = files(keeper)?;
    ensure!(before == after, "files changed:\n{before}\n{after}");
    let more = sectors(keeper)? - written;
    ensure!(more == 0, "{more} sectors were written");
    // The same check must find the writes of a change.
    let changed = config.changed(&mut Rng::with_seed(7), 1);
    keeper.store(&changed, 2)?;
    let more = sectors(keeper)? - written;
    ensure!(more > 0, "not even a change writes anything");
    Ok(format!("no file and no sector in 3 pushes; one change writes {} KiB", more / 2))
}

/// The numbers in the history of an interface.
fn numbers(keeper: &Keeper<'_>, interface: &str) -> Result<Vec<u64>> {
    let said = keeper.ask(&["history", interface])?.ok()?;
    let list = said.json.pointer("/result/configurations").and_then(Value::as_array);
    let list = list.context("no list")?;
    Ok(list.iter().filter_map(|one| one.pointer("/number")?.as_u64()).collect())
}

pub(super) fn several(keeper: &mut Keeper<'_>) -> Result<String> {
    let mut rng = Rng::with_seed(keeper.seed);
    let first = Config::random(&mut rng, 10, 3);
    let mut with_rules = first.clone();
    let peer = with_rules.peers.values_mut().next().context("a peer")?;
    peer.allowed_ips = ["0.0.0.0/0".to_owned(), "::/0".to_owned()].into();
    let without = keeper.router.state()?;
    let second = beside(&Config::random(&mut rng, 5, 2), 1);
    keeper.push("wg1", &second.text(), &[])?.ok()?;
    let only_second = keeper.router.state()?;
    keeper.store(&first, 1)?;
    keeper.store(&with_rules, 2)?;
    ensure!(numbers(keeper, "wg0")? == [2, 1] && numbers(keeper, "wg1")? == [1], "histories");
    let both = keeper.router.state()?;
    keeper.restart_empty()?;
    keeper.router.is_in(&both).context("both after a restart")?;

    let said = keeper.ask(&["remove", "wg0"])?.ok()?;
    ensure!(said.number("/result/number") == Some(3), "{}", said.json);
    keeper.router.is_in(&only_second).context("something of wg0 is left")?;
    keeper.ask(&["remove", "wg0"])?.failed(1, "no_interface")?;
    keeper.ask(&["repair", "wg0"])?.failed(1, "not_stored")?;
    keeper.restart()?;
    keeper.router.is_in(&only_second).context("wg0 came back after a restart")?;
    keeper.reboot()?;
    keeper.router.is_in(&only_second).context("wg0 came back after a power cut")?;
    keeper.ask(&["rollback", "wg0"])?.ok()?;
    keeper.router.is_in(&both).context("rolled back to before it was removed")?;

    // An interface that is not stored, and a stored one that does not exist.
    keeper.sh("ip link add wg7 type wireguard; ip link delete wg1")?;
    // Another program created the interface: the agent must not remove it. With our mark it may.
    keeper.ask(&["remove", "wg7"])?.failed(1, "foreign")?;
    keeper.sh("echo postwired >/sys/class/net/wg7/ifalias")?;
    keeper.ask(&["remove", "wg7"])?.ok()?;
    keeper.ask(&["remove", "wg1"])?.ok()?;
    keeper.ask(&["remove", "wg0"])?.ok()?;
    keeper.restart()?;
    keeper.router.is_in(&without).context("all are removed")?;
    Ok("removed, came back by a rollback; one only stored, one only running".to_owned())
}

pub(super) fn history(keeper: &mut Keeper<'_>) -> Result<String> {
    let mut rng = Rng::with_seed(keeper.seed);
    // A push leaves an endpoint that is not in the file unchanged, so every peer has one.
    let mut configs = vec![Config::random(&mut rng, 20, 3).with_endpoints()];
    for round in 0..6 {
        let next = configs[round as usize].changed(&mut rng, round);
        configs.push(next.with_endpoints());
    }
    for (config, number) in configs.iter().zip(1..) {
        keeper.store(config, number)?;
    }
    ensure!(numbers(keeper, "wg0")? == [7, 6, 5, 4, 3], "{:?}", numbers(keeper, "wg0")?);
    let roll = |keeper: &Keeper<'_>, to: &[&str], from: u64, number: u64| -> Result<()> {
        let said = keeper.ask(&[&["rollback", "wg0"], to].concat())?.ok()?;
        ensure!(said.number("/result/number") == Some(number), "{}", said.json);
        keeper.router.sees(&configs[from as usize - 1])?;
        let said = keeper.ask(&["history", "wg0"])?.ok()?;
        ensure!(said.text("/result/configurations/0/act") == "rolled_back", "{}", said.json);
        ensure!(said.is("/result/configurations/0/rolled_back_to", from), "{}", said.json);
        ensure!(said.text("/result/configurations/0/public_key") == keeper.router.owner.key());
        Ok(())
    };
    roll(keeper, &[], 6, 8)?;
    roll(keeper, &["4"], 4, 9)?;
    // Of the numbers 5 to 9, the one that is a copy of 6.
    roll(keeper, &["6"], 6, 10)?;
    keeper.restart_empty()?;
    keeper.router.sees(&configs[5])?;
    keeper.ask(&["rollback", "wg0", "2"])?.failed(1, "not_stored")?;
    keeper.router.sees(&configs[5])?;
    ensure!(numbers(keeper, "wg0")? == [10, 9, 8, 7, 6], "{:?}", numbers(keeper, "wg0")?);
    // The running configuration is not stored again.
    let said = keeper.push("wg0", &configs[5].text(), &[])?.ok()?;
    ensure!(said.is("/result/stored", false), "{}", said.json);
    let modes = keeper.sh(&format!("stat -c %a {KEEP}/wg0.* | sort -u"))?;
    ensure!(modes == "600", "modes: {modes}");
    Ok("7 pushes, 3 rollbacks, the last 5 kept".to_owned())
}

type Damage = fn(&mut Vec<u8>);

/// The damage to a file, and the expected report of the router.
const DAMAGES: &[(&str, Damage, &str)] = &[
    ("a flipped bit in the image", |file| flip(file, HEAD + 60), "is damaged"),
    ("a flipped bit in the last byte", |file| flip_last(file), "is damaged"),
    ("a flipped bit in the head", |file| flip(file, 40), "is damaged"),
    ("a flipped bit in the checksum", |file| flip(file, HEAD - 3), "is damaged"),
    ("half a file", |file| file.truncate(file.len() / 2), "is damaged"),
    ("a file without its last byte", |file| file.truncate(file.len() - 1), "is damaged"),
    ("half a head", |file| file.truncate(HEAD / 2), "is damaged"),
    ("an empty file", Vec::clear, "is damaged"),
    ("zeros", |file| file.fill(0), "is damaged"),
    ("another format", |file| other_format(file), "another version of the agent (format 2)"),
];

/// Length of the head of a stored configuration, with its checksum of 16 bytes.
const HEAD: usize = 175;

fn flip(file: &mut [u8], at: usize) {
    file[at] ^= 16;
}

fn flip_last(file: &mut [u8]) {
    let last = file.len() - 1;
    flip(file, last);
}

/// The format follows the magic number, and the checksum is valid.
fn other_format(file: &mut [u8]) {
    file[4] += 1;
    let sum = digest(&file[..HEAD - 16]);
    file[HEAD - 16..HEAD].copy_from_slice(&sum[..16]);
}

pub(super) fn damaged(keeper: &mut Keeper<'_>) -> Result<String> {
    let mut rng = Rng::with_seed(keeper.seed);
    let old = Config::random(&mut rng, 20, 3);
    let new = old.changed(&mut rng, 1);
    keeper.store(&old, 1)?;
    keeper.store(&new, 2)?;
    let (path, mut said_of_it) = (format!("{KEEP}/wg0.2"), String::new());
    let whole = keeper.router.vm.get(&path)?;
    for (what, damage, says) in DAMAGES {
        keeper.router.stop()?;
        let mut file = whole.clone();
        damage(&mut file);
        ensure!(file != whole, "{what} is no damage");
        keeper.router.vm.put(&path, 0o600, &file)?;
        keeper.restart_empty()?;
        let look = || -> Result<String> {
            keeper.router.sees(&old)?;
            let status = keeper.ask(&["status"])?.ok()?;
            let (trouble, log) = (status.text("/result/trouble"), keeper.router.log()?);
            ensure!(trouble.contains(says) && trouble.contains("wg0"), "status: {}", status.json);
            ensure!(log.contains(says), "the log: {log}");
            let history = keeper.ask(&["history", "wg0"])?.ok()?;
            ensure!(history.is("/result/configurations/0/damaged", true), "{}", history.json);
            ensure!(history.is("/result/configurations/1/damaged", false), "{}", history.json);
            keeper.ask(&["rollback", "wg0", "2"])?.failed(1, "damaged")?;
            Ok(trouble.to_owned())
        };
        said_of_it = look().with_context(|| (*what).to_owned())?;
    }
    // The next push does not take the number of the damaged configuration.
    keeper.store(&new, 3)?;
    keeper.restart_empty()?;
    keeper.router.sees(&new)?;
    let status = keeper.ask(&["status"])?.ok()?;
    ensure!(status.text("/result/trouble").is_empty(), "{}", status.json);
    Ok(format!("{} kinds; the last: {said_of_it}", DAMAGES.len()))
}

pub(super) fn ends_the_agent(keeper: &mut Keeper<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::with_seed(keeper.seed), 20, 3);
    let other = beside(&config, 1);
    keeper.store(&config, 1)?;
    keeper.push("wg1", &other.text(), &[])?.ok()?;
    for nth in 1..=3 {
        keeper.router.stop()?;
        keeper.sh(EMPTY)?;
        // Killed by its twentieth message: to the kernel, in the middle of the first interface.
        let script = "rm -f /tmp/killed.log; strace -qq -e trace=sendto -e inject=sendto:signal=KILL:when=20 \
                      -o /dev/null postwired serve --udp 0.0.0.0 >/tmp/killed.log 2>&1 </dev/null; \
                      cat /tmp/killed.log";
        let log = keeper.router.vm.sh(script)?.text();
        ensure!(!log.contains(": ready"), "start {nth} was not killed: {log}");
    }
    keeper.start()?;
    let log = keeper.router.log()?;
    let words = "wg0 is not applied: 3 starts in a row ended";
    ensure!(log.contains(words) && log.contains("wg1: applied the stored configuration"), "{log}");
    ensure!(keeper.sh("ls /sys/class/net")?.contains("wg1"), "wg1 is not there");
    ensure!(!keeper.sh("ls /sys/class/net")?.contains("wg0"), "wg0 was applied");
    let trouble = |keeper: &Keeper<'_>| -> Result<String> {
        // The exit code is 4 if the running configuration differs from the stored one.
        let said = keeper.ask(&["status"])?;
        ensure!(said.is("/ok", true), "{}", said.json);
        Ok(said.text("/result/trouble").to_owned())
    };
    let says = trouble(keeper)?;
    ensure!(says.contains(words), "status: {says}");
    // Not at the next start either, nor after a power cut, until it is repaired.
    keeper.reboot()?;
    ensure!(trouble(keeper)?.contains(words), "it is forgotten");
    keeper.ask(&["repair", "wg0"])?.ok()?;
    keeper.router.sees(&config)?;
    ensure!(trouble(keeper)?.is_empty(), "it is still held: {}", trouble(keeper)?);
    keeper.restart_empty()?;
    keeper.router.sees(&config)?;
    keeper.ask(&["remove", "wg1"])?.ok()?;
    Ok(says)
}

pub(super) fn drift(keeper: &mut Keeper<'_>) -> Result<String> {
    let mut config = Config::random(&mut Rng::with_seed(keeper.seed), 10, 3);
    let live = keeper.live_key()?;
    config.peers.insert(live.clone(), Peer::quiet("10.200.0.2/32"));
    keeper.push("wg0", &config.text(), &[])?.ok()?;
    keeper.live(&live)?;
    // The endpoint comes from received packets; the file has none.
    let handshakes = format!("wg show wg0 latest-handshakes | grep {live}");
    let handshake = keeper.sh(&handshakes)?;
    let state = keeper.router.state()?;
    let agrees = |keeper: &Keeper<'_>| -> Result<bool> {
        let said = keeper.ask(&["status"])?;
        let agrees = said.json.pointer("/result/stored/0/agrees").and_then(Value::as_bool);
        agrees.with_context(|| format!("no word of it: {}", said.json))
    };
    ensure!(agrees(keeper)?, "it differs before anybody touched it");
    let gone = config.peers.keys().find(|key| **key != live).context("a peer")?;
    let by_hand = [
        format!("wg set wg0 peer {gone} remove"),
        "wg set wg0 peer AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA= allowed-ips 10.5.5.5/32"
            .to_owned(),
        "wg set wg0 listen-port 4444".to_owned(),
        "ip address del 10.77.0.1/24 dev wg0".to_owned(),
        "ip address add 10.99.0.1/24 dev wg0".to_owned(),
        "ip link set wg0 mtu 1333".to_owned(),
        "ip link set wg0 down".to_owned(),
    ];
    for hand in &by_hand {
        keeper.sh(hand)?;
        ensure!(!agrees(keeper)?, "nobody noticed: {hand}");
        let said = keeper.ask(&["repair", "wg0"])?.ok()?;
        ensure!(
            said.is("/result/changed", true) && said.is("/result/stored", false),
            "{}",
            said.json
        );
        keeper.router.is_in(&state).with_context(|| format!("repaired after {hand}"))?;
        ensure!(agrees(keeper)?, "it still differs after {hand}");
    }
    keeper.sh(&by_hand.join(";"))?;
    let said = keeper.ask(&["status", "--changes"])?;
    let changes = said.json.pointer("/result/stored/0/changes").and_then(Value::as_array);
    let changes = changes.map_or(0, Vec::len);
    ensure!(changes >= 5, "only {changes} changes are listed: {}", said.json);
    keeper.ask(&["repair", "wg0"])?.ok()?;
    keeper.router.is_in(&state)?;
    let said = keeper.ask(&["repair", "wg0"])?.ok()?;
    ensure!(said.is("/result/changed", false), "{}", said.json);
    let now = keeper.sh(&handshakes)?;
    ensure!(now == handshake, "the handshake was lost: {handshake} then {now}");
    keeper.sh("ip link delete live")?;
    Ok(format!("{} changes by hand seen and repaired, a handshake kept", by_hand.len()))
}
