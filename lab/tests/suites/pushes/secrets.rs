//! The agent's secrets: places where they must not be found.

use super::Bench;
use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use lab::{
    Vm,
    routers::{Config, Reach},
};
use proto_core::key::{KEY_TEXT_LEN, SecretKey};
use std::{collections::BTreeMap, str::FromStr};

/// The secrets of a router after a push, with their names.
fn secrets(config: &Config) -> Result<BTreeMap<String, SecretKey>> {
    let key = |text: &str| SecretKey::from_str(text).map_err(|_| anyhow::anyhow!("no key: {text}"));
    let mut secrets = BTreeMap::new();
    secrets.insert("the interface's private key".to_owned(), key(&config.private_key)?);
    for peer in config.peers.values() {
        if let Some(psk) = &peer.preshared_key {
            secrets.insert(format!("a preshared key ({})", secrets.len()), key(psk)?);
        }
    }
    ensure!(secrets.len() > 3, "no preshared keys in the configuration");
    Ok(secrets)
}

/// The router's own private key, from its file: a header, the key, a checksum.
fn own_key(vm: &Vm) -> Result<SecretKey> {
    let kept = vm.get("/etc/postwired/identity")?;
    let key = kept.get(5..37).context("a short file")?;
    Ok(SecretKey::new(key.try_into()?))
}

fn text(key: &SecretKey) -> String {
    key.reveal(&mut [0; KEY_TEXT_LEN]).to_owned()
}

fn hex(key: &SecretKey) -> String {
    key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn not_told(bench: &Bench<'_>) -> Result<String> {
    let router = &bench.alice;
    let config = Config::random(&mut Rng::with_seed(bench.seed), 20, 3);
    router.push_and_see(&Reach::Udp, &config)?;
    router.push_and_see(&Reach::Serial, &config.changed(&mut Rng::with_seed(2), 1))?;
    router.push_and_see(&Reach::Udp, &config)?;
    let mut secrets = secrets(&config)?;
    secrets.insert("the router's own key".to_owned(), own_key(&router.vm)?);

    let mut places = BTreeMap::new();
    places.insert("the log", router.log()?);
    let mut said = router.postwire(&Reach::Udp, &["show"])?.ok()?.json.to_string();
    said += &router.postwire(&Reach::Udp, &["status"])?.ok()?.json.to_string();
    places.insert("what the host tool shows", said);
    let proc = router.vm.sh("cd /proc/$(pidof postwired); cat cmdline environ")?.ok()?;
    places.insert("the command line", String::from_utf8_lossy(&proc.stdout).into_owned());
    places.insert("the kernel's log", router.vm.sh("dmesg")?.ok()?.text());
    // The same search must find a secret where there is one.
    let kernel = router.vm.sh("wg showconf wg0")?.ok()?.text();
    for (what, secret) in &secrets {
        ensure!(
            kernel.contains(&text(secret)) || what.contains("router's own"),
            "{what} is not in the kernel either"
        );
        for (place, content) in &places {
            let found = content.contains(&text(secret)) || content.contains(&hex(secret));
            ensure!(!found, "{what} is in {place}:\n{content}");
        }
    }
    let modes = router.vm.sh("stat -c '%a %n' /etc/postwired /etc/postwired/*")?.ok()?.text();
    for line in modes.lines() {
        ensure!(line.starts_with("600 ") || line.starts_with("700 "), "others can read {line}");
    }
    Ok(format!("{} secrets in {} places", secrets.len(), places.len()))
}

pub(super) fn wiped(bench: &Bench<'_>) -> Result<String> {
    let router = &bench.alice;
    let config = Config::random(&mut Rng::with_seed(bench.seed), 20, 3);
    for reach in [Reach::Udp, Reach::Serial] {
        router.push_and_see(&reach, &config)?;
    }
    // Another command over each wire: buffers then do not contain the push any more.
    let memory = memory(&router.vm)?;
    let finds = |bytes: &[u8]| memory.windows(bytes.len()).any(|window| window == bytes);
    // The same search must find a known key.
    let own = own_key(&router.vm)?;
    ensure!(finds(own.as_bytes()), "not even the router's own key is in {} bytes", memory.len());
    let secrets = secrets(&config)?;
    let left: Vec<&str> = secrets
        .iter()
        .filter(|(_, key)| finds(key.as_bytes()) || finds(text(key).as_bytes()))
        .map(|(what, _)| what.as_str())
        .collect();
    ensure!(left.is_empty(), "left in the agent's memory: {}", left.join(", "));
    Ok(format!("{} secrets, {} KiB", secrets.len(), memory.len() / 1024))
}

/// All writable memory of the agent.
fn memory(vm: &Vm) -> Result<Vec<u8>> {
    let maps = vm.sh("cat /proc/$(pidof postwired)/maps")?.ok()?.text();
    let mut memory = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) =
            line.split(' ').next().and_then(|r| r.split_once('-')).context("a range")?;
        let (from, to) = (u64::from_str_radix(from, 16)?, u64::from_str_radix(to, 16)?);
        let script = format!(
            "dd if=/proc/$(pidof postwired)/mem bs=4096 skip={} count={} status=none",
            from / 4096,
            (to - from) / 4096
        );
        memory.extend(vm.sh(&script)?.ok()?.stdout);
    }
    Ok(memory)
}
