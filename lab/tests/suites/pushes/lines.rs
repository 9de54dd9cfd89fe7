//! Pushes over wires that lose and garble bytes, are cut, or are shared.

use super::Bench;
use anyhow::{Context, Result, anyhow, ensure};
use fastrand::Rng;
use lab::{
    Direction, Faults, Loss, LossyUdp, Noise,
    routers::{Config, Reach, Router, said},
};
use std::{thread, time::Duration};

/// Pushes a new configuration over an old one, and checks that the router has the new one if the
/// tool reports success, and the old one otherwise.
fn new_or_old(router: &Router<'_>, reach: &Reach, old: &Config, new: &Config) -> Result<bool> {
    let said = router.push(reach, &new.text())?;
    match said.code {
        0 => router.sees(new)?,
        1 | 3 => router.sees(old).or_else(|error| {
            // The reply was lost after the change was made: the tool must say that the result is
            // unknown.
            router.sees(new).map_err(|_| error)
        })?,
        code => anyhow::bail!("postwire ended with {code}: {}\n{}", said.json, said.stderr),
    }
    Ok(said.code == 0)
}

/// Pushes over UDP once the router has given up a client that is gone.
fn push_when_free(router: &Router<'_>, config: &Config) -> Result<()> {
    for _ in 0..20 {
        let said = router.push(&Reach::Udp, &config.text())?;
        if said.text("/error/code") != "busy" {
            said.ok()?;
            return router.sees(config);
        }
        thread::sleep(Duration::from_secs(1));
    }
    Err(anyhow!("the router stays busy with a client that is gone"))
}

pub(super) fn bad_network(bench: &Bench<'_>) -> Result<String> {
    let mut rng = Rng::with_seed(bench.seed);
    let loss = Loss { seed: bench.seed, drop: 0.10, duplicate: 0.10, reorder: 0.10 };
    let proxy = LossyUdp::start(bench.alice.vm.udp_port(), loss)?;
    let mut old = Config::random(&mut rng, 10, 3);
    bench.alice.push_and_see(&Reach::Udp, &old)?;
    let reach = Reach::Port(proxy.address().port());
    let mut applied = 0;
    for round in 0..10 {
        let new = Config::random(&mut rng, 50 * round, 3);
        if new_or_old(&bench.alice, &reach, &old, &new)? {
            applied += 1;
            old = new;
        } else {
            push_when_free(&bench.alice, &old)?;
        }
    }
    let counts = proxy.counts();
    ensure!(counts.dropped > 50, "nothing was lost: {counts:?}");
    ensure!(applied >= 8, "only {applied} of 10 pushes were applied");
    Ok(format!("{applied} of 10 applied; {counts:?}"))
}

pub(super) fn noisy_line(bench: &Bench<'_>) -> Result<String> {
    let mut rng = Rng::with_seed(bench.seed);
    let mut old = Config::random(&mut rng, 10, 3);
    bench.alice.push_and_see(&Reach::Serial, &old)?;
    let noise = Noise {
        flip: 0.0002,
        drop: 0.0002,
        garbage_every: 3_000,
        text: "\r\n[   12.345678] random: crng init done\r\n".to_owned(),
        text_every: 2_000,
    };
    let faults = Faults { seed: bench.seed, to_guest: noise.clone(), to_host: noise };
    bench.alice.vm.serial().set_faults(faults);
    let mut applied = 0;
    for round in 0..8 {
        let new = Config::random(&mut rng, 20 * round, 3);
        if new_or_old(&bench.alice, &Reach::Serial, &old, &new)? {
            applied += 1;
            old = new;
        } else {
            push_when_free(&bench.alice, &old)?;
        }
    }
    let counts = bench.alice.vm.serial().counts(Direction::ToGuest);
    bench.alice.vm.serial().set_faults(Faults::default());
    ensure!(counts.inserted > 5, "nothing was injected: {counts:?}");
    ensure!(applied >= 6, "only {applied} of 8 pushes were applied");
    Ok(format!("{applied} of 8 applied; toward the router {counts:?}"))
}

/// Waits until this number of further bytes went over alice's serial line, or the push has ended.
pub(super) fn underway<T>(
    bench: &Bench<'_>,
    bytes: u64,
    pushing: &thread::ScopedJoinHandle<'_, T>,
) {
    let serial = bench.alice.vm.serial();
    let enough = serial.counts(Direction::ToGuest).bytes + bytes;
    while serial.counts(Direction::ToGuest).bytes < enough && !pushing.is_finished() {
        thread::sleep(Duration::from_millis(2));
    }
}

pub(super) fn pulled_cable(bench: &Bench<'_>) -> Result<String> {
    let mut rng = Rng::with_seed(bench.seed);
    let (old, new) = (Config::random(&mut rng, 10, 3), Config::random(&mut rng, 600, 5));
    bench.alice.push_and_see(&Reach::Serial, &old)?;
    let path = bench.alice.file(&new.text())?;
    let words = ["push", path.to_str().context("path")?, "--timeout", "2s"];
    let serial = bench.alice.vm.serial();
    let output = thread::scope(|scope| {
        let pushing = scope.spawn(|| bench.alice.postwire_command(&Reach::Serial, &words).output());
        // A tenth of the image has been sent.
        underway(bench, 5_000, &pushing);
        serial.cut(true);
        pushing.join().map_err(|_| anyhow!("the push died"))
    })?;
    let said = said(&output?)?;
    ensure!(said.code == 3, "postwire ended with {}: {}", said.code, said.json);
    bench.alice.sees(&old)?;
    serial.cut(false);
    // Another client must wait until the router gives up the one that is gone; the same file
    // resumes where it stopped.
    let other = bench.alice.push(&Reach::Udp, &old.text())?;
    // On a slow machine the router may have given up the client already.
    ensure!(other.code == 0 || other.text("/error/code") == "busy", "{}", other.json);
    bench.alice.push_and_see(&Reach::Serial, &new)?;
    Ok("nothing changed, and the next push resumed where it stopped".to_owned())
}

pub(super) fn killed_agent(bench: &Bench<'_>) -> Result<String> {
    let mut rng = Rng::with_seed(bench.seed);
    let config = Config::random(&mut rng, 1_500, 5);
    let path = bench.alice.file(&config.text())?;
    let words = ["push", path.to_str().context("path")?];
    let output = thread::scope(|scope| -> Result<_> {
        let pushing = scope.spawn(|| bench.alice.postwire_command(&Reach::Serial, &words).output());
        underway(bench, 20_000, &pushing);
        bench.alice.stop()?;
        ensure!(!pushing.is_finished(), "the push was over before the agent died");
        lab::demo::start_agent(&bench.alice.vm, "")?;
        pushing.join().map_err(|_| anyhow!("the push died"))?.context("postwire")
    })?;
    said(&output)?.ok()?;
    bench.alice.sees(&config)?;
    Ok("the push started again by itself".to_owned())
}

pub(super) fn two_clients(bench: &Bench<'_>) -> Result<String> {
    let mut rng = Rng::with_seed(bench.seed);
    let config = Config::random(&mut rng, 800, 5);
    let path = bench.alice.file(&config.text())?;
    let words = ["push", path.to_str().context("path")?];
    let file = bench.alice.folder.join("other.conf");
    std::fs::write(&file, config.changed(&mut rng, 1).text())?;
    let file = file.to_str().context("path")?;
    let (output, other) = thread::scope(|scope| -> Result<_> {
        let pushing = scope.spawn(|| bench.alice.postwire_command(&Reach::Serial, &words).output());
        underway(bench, 10_000, &pushing);
        // The same configuration would be the same push, and would go on with it.
        let other = bench.alice.postwire(&Reach::Udp, &["push", file, "--interface", "wg0"])?;
        Ok((pushing.join().map_err(|_| anyhow!("the push died"))??, other))
    })?;
    ensure!(other.code == 1 && other.text("/error/code") == "busy", "{}", other.json);
    said(&output)?.ok()?;
    bench.alice.sees(&config)?;
    Ok(other.text("/error/message").to_owned())
}
