//! Owners of a router: claiming it, permissions, and what unauthenticated senders and replays get.
//!
//! Each test gives the agent a folder of its own for identity and owners, so that the router of the
//! other tests keeps its owner.

use super::Bench;
use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use lab::{
    Loss, LossyUdp,
    routers::{Config, Person, Reach, Router, Said, identity},
};
use proto_core::protocol::{frame::CRC_LEN, session::STAMP_LEN};
use std::{net::UdpSocket, time::Duration};

const LABEL: &str = "TEST-ONLY-9KQ2-MXTB-94RC-WD5F";

/// Starts alice's agent with an empty folder, or one that `owner` owns.
pub(super) fn begin(bench: &Bench<'_>, owner: Option<&Person<'_>>, options: &str) -> Result<()> {
    begin_on(&bench.alice, owner, options)
}

/// Starts a router's agent with an empty folder, or one that `owner` owns.
pub(super) fn begin_on(
    router: &Router<'_>,
    owner: Option<&Person<'_>>,
    options: &str,
) -> Result<()> {
    let vm = &router.vm;
    vm.sh("rm -rf /tmp/owners")?.ok()?;
    if let Some(owner) = owner {
        vm.sh(&format!("postwired reset-owner {} --keep /tmp/owners", owner.key()))?.ok()?;
        owner.meets(vm.name(), &identity(vm, "--keep /tmp/owners")?)?;
    }
    router.fresh(&format!("--keep /tmp/owners {options}"))
}

fn failed(said: &Said, code: i32, error: &str) -> Result<String> {
    ensure!(said.code == code, "exit code {}: {}", said.code, said.json);
    ensure!(error.is_empty() || said.text("/error/code") == error, "{}", said.json);
    Ok(said.text("/error/message").to_owned())
}

/// Sends a request that must stay unanswered, with a short timeout. If there is a reply after all,
/// the client waits for as long as the request takes.
fn silence(bench: &Bench<'_>, who: &Person<'_>, reach: &Reach, words: &[&str]) -> Result<String> {
    let words = [words, &["--timeout", "2s"]].concat();
    failed(&bench.alice.postwire_by(who, reach, &words)?, 3, "")
}

const STATUS: &[&str] = &["status"];
const CLAIM: &[&str] = &["claim", "--as", "somebody"];

fn status(bench: &Bench<'_>, person: &Person<'_>, reach: &Reach) -> Result<Said> {
    bench.alice.postwire_by(person, reach, STATUS)
}

fn with_secret(secret: &str) -> Vec<&str> {
    [CLAIM, &["--secret", secret]].concat()
}

pub(super) fn claimed_over_serial(bench: &Bench<'_>) -> Result<String> {
    let (anne, ben) = (bench.alice.owner.other("anne")?, bench.alice.owner.other("ben")?);
    begin(bench, None, "")?;
    failed(&status(bench, &anne, &Reach::Udp)?, 2, "").context("she knows no router")?;
    anne.meets("alice", &identity(&bench.alice.vm, "--keep /tmp/owners")?)?;
    silence(bench, &anne, &Reach::Udp, STATUS).context("silent over UDP")?;
    silence(bench, &anne, &Reach::Udp, &with_secret(LABEL)).context("no label")?;
    let show = bench.alice.postwire_by(&anne, &Reach::Serial, &["show", "wg0"])?;
    failed(&show, 1, "unclaimed")?;
    bench.alice.postwire_by(&anne, &Reach::Serial, CLAIM)?.ok()?;
    status(bench, &anne, &Reach::Udp)?.ok()?;
    let config = Config::random(&mut Rng::with_seed(bench.seed), 3, 2);
    let path = bench.alice.file(&config.text())?;
    let path = path.to_str().context("a path that is no text")?;
    bench.alice.postwire_by(&anne, &Reach::Udp, &["push", path])?.ok()?;
    bench.alice.sees(&config)?;
    silence(bench, &ben, &Reach::Serial, CLAIM).context("the router is owned")?;
    // Also after a restart.
    bench.alice.fresh("--keep /tmp/owners")?;
    status(bench, &anne, &Reach::Serial)?.ok()?;
    silence(bench, &ben, &Reach::Serial, STATUS)
}

pub(super) fn claimed_over_udp(bench: &Bench<'_>) -> Result<String> {
    let (anne, ben) = (bench.alice.owner.other("anne")?, bench.alice.owner.other("ben")?);
    bench.alice.vm.put("/tmp/label", 0o600, LABEL.as_bytes())?;
    begin(bench, None, "--label-secret /tmp/label")?;
    let wrong = LABEL.replace('9', "8");
    silence(bench, &ben, &Reach::Udp, &with_secret(&wrong))?;
    let right = LABEL.to_lowercase();
    bench.alice.postwire_by(&anne, &Reach::Udp, &with_secret(&right))?.ok()?;
    status(bench, &anne, &Reach::Udp)?.ok()?;
    // The secret can be used once, even if the owner is lost.
    bench.alice.vm.sh("postwired reset-owner --keep /tmp/owners")?.ok()?;
    silence(bench, &ben, &Reach::Udp, &with_secret(LABEL))?;
    bench.alice.postwire_by(&ben, &Reach::Serial, CLAIM)?.ok()?;
    Ok(String::new())
}

pub(super) fn who_may_do_what(bench: &Bench<'_>) -> Result<String> {
    let person = |name| bench.alice.owner.other(name);
    let (anne, ben, carl) = (person("anne")?, person("ben")?, person("carl")?);
    let (dora, eve) = (person("dora")?, person("eve")?);
    begin(bench, Some(&anne), "")?;
    let router = identity(&bench.alice.vm, "--keep /tmp/owners")?;
    let by = |who: &Person<'_>, words: &[&str]| bench.alice.postwire_by(who, &Reach::Udp, words);
    for (who, role) in [(&ben, "admin"), (&carl, "read-only"), (&dora, "admin")] {
        who.meets("alice", &router)?;
        by(&anne, &["owner", "add", who.key(), "--role", role, "--name", role])?.ok()?;
    }
    eve.meets("alice", &router)?;
    by(&anne, &["owner", "remove", dora.key()])?.ok()?;
    let config = Config::random(&mut Rng::with_seed(bench.seed), 2, 2);
    let path = bench.alice.file(&config.text())?;
    let path = path.to_str().context("a path that is no text")?;
    by(&ben, &["push", path])?.ok()?;
    let before = bench.alice.everything()?;
    // The commands, and their exit codes for a reader and for an admin.
    let rows: &[(&[&str], i32, i32)] = &[
        (&["status"], 0, 0),
        (&["show", "wg0"], 0, 0),
        (&["owner", "list"], 0, 0),
        (&["diff", path], 1, 0),
        (&["push", path], 1, 0),
        (&["owner", "add", eve.key(), "--role", "admin", "--name", "eve"], 1, 0),
        (&["owner", "remove", eve.key()], 1, 0),
        (&["remove", "wg0"], 1, 0),
    ];
    for (words, _, _) in rows {
        silence(bench, &dora, &Reach::Udp, words)
            .with_context(|| format!("{words:?} by nobody"))?;
    }
    silence(bench, &eve, &Reach::Udp, STATUS)?;
    for (words, reader, _) in rows {
        let error = if *reader == 0 { "" } else { "forbidden" };
        failed(&by(&carl, words)?, *reader, error)
            .with_context(|| format!("{words:?} by a reader"))?;
    }
    bench.alice.is_still(&before)?;
    for (words, _, admin) in rows {
        failed(&by(&ben, words)?, *admin, "").with_context(|| format!("{words:?} by an admin"))?;
    }
    by(&ben, &["owner", "remove", anne.key()])?.ok()?;
    failed(&by(&ben, &["owner", "remove", ben.key()])?, 1, "last_admin")?;
    silence(bench, &anne, &Reach::Udp, STATUS)?;
    Ok(format!("{} rows of 5 persons", rows.len()))
}

pub(super) fn way_back(bench: &Bench<'_>) -> Result<String> {
    let (anne, ben) = (bench.alice.owner.other("anne")?, bench.alice.owner.other("ben")?);
    begin(bench, Some(&anne), "")?;
    status(bench, &anne, &Reach::Udp)?.ok()?;
    let router = identity(&bench.alice.vm, "--keep /tmp/owners")?;
    ben.meets("alice", &router)?;
    silence(bench, &ben, &Reach::Udp, STATUS)?;
    // While the agent runs.
    let reset = format!("postwired reset-owner {} --keep /tmp/owners", ben.key());
    bench.alice.vm.sh(&reset)?.ok()?;
    status(bench, &ben, &Reach::Udp)?.ok()?;
    silence(bench, &anne, &Reach::Udp, STATUS)?;
    let same = identity(&bench.alice.vm, "--keep /tmp/owners")? == router;
    ensure!(same, "the router is another one");
    Ok(String::new())
}

/// Sends datagrams to a port of this machine. Returns the length of each reply.
fn send(port: u16, datagrams: &[Vec<u8>]) -> Result<Vec<usize>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(("127.0.0.1", port))?;
    for datagram in datagrams {
        socket.send(datagram)?;
    }
    socket.set_read_timeout(Some(Duration::from_millis(700)))?;
    let mut answers = Vec::new();
    let mut buf = [0; 2048];
    while let Ok(len) = socket.recv(&mut buf) {
        answers.push(len);
    }
    Ok(answers)
}

pub(super) fn replays(bench: &Bench<'_>) -> Result<String> {
    let alice = &bench.alice;
    let mut rng = Rng::with_seed(bench.seed);
    let proxy = LossyUdp::start(alice.vm.udp_port(), Loss::default())?;
    let reach = Reach::Port(proxy.address().port());
    proxy.record();
    alice.push_and_see(&reach, &Config::random(&mut rng, 20, 3))?;
    let recorded: Vec<Vec<u8>> = proxy.recorded().into_iter().map(|one| one.bytes).collect();
    ensure!(recorded.len() > 8, "only {} datagrams", recorded.len());
    // The configuration at the time of the recording is not the running one.
    let config = Config::random(&mut rng, 5, 2);
    alice.push_and_see(&Reach::Udp, &config)?;
    let before = alice.everything()?;
    let mut orders = vec![recorded.clone(), recorded.iter().rev().cloned().collect()];
    let mut shuffled = recorded.clone();
    rng.shuffle(&mut shuffled);
    orders.push(shuffled);
    for restarted in [false, true] {
        if restarted {
            alice.stop()?;
            lab::demo::start_agent(&alice.vm, "")?;
        }
        for order in &orders {
            let answers = send(alice.vm.udp_port(), order)?;
            // A restarted agent does not know which initiations it has seen: it may report the last
            // stamp to their sender, and to no other client.
            let stamps = answers.iter().filter(|len| **len == STAMP_LEN + CRC_LEN).count();
            let told = if restarted { 2 } else { 0 };
            ensure!(
                stamps <= told && stamps == answers.len(),
                "answers to replays: {answers:?}, restarted: {restarted}"
            );
            alice.is_still(&before)?;
        }
        // The agent was reachable the whole time.
        alice.postwire(&Reach::Udp, &["status"])?.ok()?;
    }
    Ok(format!("{} datagrams in 3 orders, before and after a restart", recorded.len()))
}

pub(super) fn no_core_dumps(bench: &Bench<'_>) -> Result<String> {
    let modes = "stat -c %a /etc/postwired/identity /etc/postwired/owners";
    let modes = bench.alice.vm.sh(modes)?.ok()?.text();
    ensure!(modes.split_whitespace().eq(["600", "600"]), "modes: {modes}");
    let cores = |program: &str| -> Result<String> {
        let script = format!(
            "rm -rf /tmp/cores; mkdir -p /tmp/cores; cd /tmp/cores; ulimit -c unlimited; \
             {program} >/dev/null 2>&1 & sleep 0.5; kill -ABRT $!; wait; ls /tmp/cores | wc -l"
        );
        Ok(bench.alice.vm.sh(&script)?.ok()?.text().trim().to_owned())
    };
    let serve = "postwired serve --udp 127.0.0.1:5999 --keep /tmp/k --state /tmp/s";
    ensure!(cores("sleep 100")? == "1", "this machine writes no core dumps: nothing was tested");
    ensure!(cores(serve)? == "0", "the agent leaves a core dump");
    Ok(String::new())
}
