//! The control channel: scripts and files.

use super::{Bench, random_bytes, seconds};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

pub(super) fn round_trip(bench: &Bench) -> Result<String> {
    let every_byte: Vec<u8> = (0..=255).collect();
    let script =
        "cat >/tmp/in\ncat /tmp/in; cat /tmp/in >&2 # it's \"quoted\" $(true) \\ é\nexit 3";
    let out = bench.alice.sh_with(script, &every_byte, Duration::from_secs(10))?;
    ensure!(out.status == 3, "status {}", out.status);
    ensure!(out.stdout == every_byte, "stdout: {:?}", out.stdout);
    ensure!(out.stderr == every_byte, "stderr: {:?}", out.stderr);
    ensure!(out.ok().is_err(), "status 3 is ok");

    ensure!(bench.alice.sh("kill -9 $$")?.status == 137, "the status of a signal");
    ensure!(bench.alice.sh("no-such-program")?.status == 127, "the status of a missing program");
    ensure!(bench.alice.sh("")?.ok()?.stdout.is_empty(), "output of nothing");
    let long = format!("# {}\nhostname", "x".repeat(100_000));
    ensure!(bench.alice.sh(&long)?.ok()?.text() == "alice", "a long script");

    let started = Instant::now();
    for _ in 0..10 {
        bench.alice.sh("true")?.ok()?;
    }
    Ok(format!("{} ms a script", started.elapsed().as_millis() / 10))
}

pub(super) fn background(bench: &Bench) -> Result<String> {
    let started = Instant::now();
    bench.alice.sh("setsid sleep 1001 >/tmp/log 2>&1 </dev/null &")?.ok()?;
    // The background program keeps the script's output open, but the script must not hang.
    bench.alice.sh("(while usleep 1000; do echo x; done) & echo $! >/tmp/noisy")?.ok()?;
    for _ in 0..5 {
        let out = bench.alice.sh("pgrep() { ps | grep -c '[s]leep 1001'; }; pgrep")?.ok()?;
        ensure!(out.text() == "1", "the program in the background is gone: {}", out.text());
    }
    bench.alice.sh("kill $(cat /tmp/noisy)")?.ok()?;
    let took = started.elapsed();
    ensure!(took < Duration::from_secs(10), "took {}", seconds(took));
    Ok(format!("7 scripts in {}", seconds(took)))
}

pub(super) fn timeout(bench: &Bench) -> Result<String> {
    let script = "echo begun; sleep 1002; echo over";
    let error = match bench.alice.sh_with(script, b"", Duration::from_secs(2)) {
        Ok(out) => anyhow::bail!("it ended: {out:?}"),
        Err(error) => format!("{error:#}"),
    };
    ensure!(error.contains("was killed after 2 s") && error.contains("begun"), "{error}");
    let left = bench.alice.sh("ps | grep '[s]leep 1002'")?;
    ensure!(left.status == 1, "left behind: {}", left.text());
    Ok("and what it waited for, too".to_owned())
}

pub(super) fn files(bench: &Bench) -> Result<String> {
    let bytes = random_bytes(11, 1 << 20);
    let started = Instant::now();
    bench.alice.put("/tmp/it's a/file", 0o640, &bytes)?;
    let put = started.elapsed();
    let started = Instant::now();
    ensure!(bench.alice.get("/tmp/it's a/file")? == bytes, "it came back different");
    let get = started.elapsed();
    let mode = bench.alice.sh("stat -c %a \"/tmp/it's a/file\"")?.ok()?.text();
    ensure!(mode == "640", "mode {mode}");
    ensure!(bench.alice.get("/no/such/file").is_err(), "a missing file is no error");
    bench.alice.sh("rm -r \"/tmp/it's a\"")?.ok()?;
    Ok(format!("1 MiB put in {}, got in {}", seconds(put), seconds(get)))
}
