//! `cargo xtask bench fleet`: fleets and serial lines of the real agent in numbers, for docs/fleet.md.

use std::process::Stdio;
use std::time::{Duration, Instant};

use postwired::simulated::{Plugged, Worker};
use proto_core::key::PublicKey;
use proto_core::protocol::digest;

use super::bench::{Bench, SITE};
use super::real::Fleet;

/// What a run of the program cost.
struct Cost {
    seconds: f64,
    /// Peak resident memory in KiB.
    memory: u64,
    /// Processor time of the program, in seconds.
    processor: f64,
    /// Processor time of the routers, which are threads of this process, in seconds.
    routers: f64,
}

/// Processor time of a process in seconds; 0 for one that has ended.
fn processor(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split(' ').collect();
    let field = |nth: usize| fields.get(nth).and_then(|text| text.parse::<f64>().ok());
    (field(12).unwrap_or(0.0) + field(13).unwrap_or(0.0)) / 100.0
}

/// Runs the program in the directory of the bench.
fn cost(bench: &Bench, args: &[&str]) -> Cost {
    let (begun, before) = (Instant::now(), processor("self"));
    let quiet = || Stdio::null();
    let mut child = bench.command(args).stdout(quiet()).stderr(quiet()).spawn().unwrap();
    let id = child.id().to_string();
    let (mut memory, mut used) = (0, 0.0);
    loop {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok());
        memory = memory.max(peak.unwrap_or(0));
        used = f64::max(used, processor(&id));
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success(), "{args:?}");
            let (seconds, routers) = (begun.elapsed().as_secs_f64(), processor("self") - before);
            return Cost { seconds, memory, processor: used, routers };
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The wire's own time in seconds: as many datagrams of the same size through the simplest pair of sockets on loopback, 64
/// under way, each echoed by another thread.
fn echoed((count, bytes): (u64, u64)) -> f64 {
    use std::net::UdpSocket;
    use std::sync::atomic::Ordering::Relaxed;

    let [near, far] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    near.connect(far.local_addr().unwrap()).unwrap();
    far.connect(near.local_addr().unwrap()).unwrap();
    far.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let _echo = Worker::new(move |stop| {
        let mut buf = [0; 2_048];
        while !stop.load(Relaxed) {
            if let Ok(len) = far.recv(&mut buf) {
                far.send(&buf[..len]).unwrap();
            }
        }
    });
    let datagram = vec![7; (bytes / count) as usize];
    let mut buf = [0; 2_048];
    let begun = Instant::now();
    for nth in 0..count + 64 {
        if nth >= 64 {
            near.recv(&mut buf).unwrap();
        }
        if nth < count {
            near.send(&datagram).unwrap();
        }
    }
    begun.elapsed().as_secs_f64()
}

/// A fleet beside a loop over the same routers with one `postwire push` for each, and beside the wire's own time.
#[test]
#[ignore = "numbers for people"]
fn fleets() {
    println!(
        "routers  run                      seconds  routers/s  memory      processor  the routers' processor  \
         the wire's own"
    );
    for count in [10, 100, 1_000, 10_000] {
        let fleet = Fleet::new("numbers", count);
        for (run, option) in [
            ("fleet push", "--jobs=64"),
            ("fleet push, no change", "--jobs=64"),
            ("fleet push --resume", "--resume"),
        ] {
            let args = ["fleet", "push", "fleet.toml", option];
            let before = fleet.agents.load();
            let Cost { seconds, memory, processor, routers } = cost(&fleet.bench, &args);
            let rate = count as f64 / seconds;
            let after = fleet.agents.load();
            let carried = (after.0 - before.0, after.1 - before.1);
            let wire = if carried.0 < 64 { f64::NAN } else { echoed(carried) };
            println!(
                "{count:7}  {run:23}  {seconds:7.2}  {rate:9.0}  {memory:6} KiB  {processor:6.2} s  {routers:6.2} s  {wire:6.2} s, {:.1} times for {} datagrams",
                seconds / wire,
                carried.0,
            );
        }
        assert_eq!(fleet.bench.records("fleet.records.jsonl").len(), 2 * count);
        if count <= 100 {
            // The same routers, one after the other and many at a time, and nothing to change.
            for at_once in [1, 64] {
                let begun = Instant::now();
                let next = std::sync::atomic::AtomicUsize::new(0);
                std::fs::write(
                    fleet.bench.dir().join("wg0.conf"),
                    SITE.replace("{{address}}", "10.7.0.1/32"),
                )
                .unwrap();
                std::thread::scope(|scope| {
                    for _ in 0..at_once {
                        scope.spawn(|| {
                            loop {
                                let nth = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                                let Some((key, to)) = fleet.agents.routers.get(nth) else { return };
                                let key = key.to_string();
                                let args = ["push", "wg0.conf", "--udp", to, "--router", &key];
                                fleet.bench.run(&args).ends(0);
                            }
                        });
                    }
                });
                let run = format!("postwire push, {at_once} at a time");
                println!("{count:7}  {run:23}  {:7.2}", begun.elapsed().as_secs_f64());
            }
        }
    }
}

const BAUD: u32 = 115_200;

/// A peer with a key that does not pack, and three allowed IPs.
fn peer(nth: u32) -> String {
    let key = digest(&nth.to_be_bytes());
    let (key, [.., a, b, c, d]) = (PublicKey(key), key);
    format!(
        "[Peer]\nPublicKey = {key}\nAllowedIPs = 10.{a}.{b}.{}/32, 172.{}.{}.0/24, fd00:{c:x}:{d:x}:{nth:x}::/64\n",
        nth % 250,
        16 + nth / 256,
        nth % 256,
    )
}

/// One unit, and then 64 at the same time, each on a line of its own: how much of the line's rate the push of a large
/// image uses, and what a unit takes besides its bytes.
#[test]
#[ignore = "numbers for people"]
fn serial_lines() {
    println!(
        "ports  peers  seconds a unit  of the line's rate  bytes a unit  the bytes alone  processor  the routers' \
         processor"
    );
    for (ports, peers) in [(1, 10), (1, 1_000), (64, 10), (64, 1_000)] {
        let bench = Bench::new("serial-lines", "");
        let row = |nth: usize| format!("u{nth},10.7.0.{nth}/24,8J-{nth}\n");
        let rows: String = (0..ports).map(row).collect();
        bench.manifest("fleet.toml", &format!("name,address,serial_number\n{rows}"));
        let peers_of: String = (0..peers).map(peer).collect();
        let site =
            format!("[Interface]\nPrivateKey = generate\nAddress = {{{{address}}}}\n{peers_of}");
        std::fs::write(bench.dir().join("site.conf"), site).unwrap();
        std::fs::create_dir(bench.dir().join("ports")).unwrap();
        let port = |nth: usize| bench.dir().join(format!("ports/p{nth}"));
        let plugged: Vec<Plugged> = (0..ports)
            .map(|nth| Plugged::router(&format!("8J-{nth}"), &port(nth), Some(BAUD)))
            .collect();
        let all = bench.dir().join(format!("ports/p*@{BAUD}")).display().to_string();
        let args = ["line", "fleet.toml", "--ports", &all, "--until-done", "--timeout", "60s"];
        let Cost { processor, routers, .. } = cost(&bench, &args);
        let records = bench.records("fleet.records.jsonl");
        let done = |record: &&serde_json::Value| record["outcome"] == "applied";
        let mut times: Vec<f64> = records
            .iter()
            .filter(done)
            .map(|record| record["milliseconds"].as_f64().unwrap() / 1_000.0)
            .collect();
        assert_eq!(times.len(), ports);
        times.sort_by(f64::total_cmp);
        let time = times[ports / 2];
        let (mut bytes, mut share) = (0, 0.0);
        for plugged in &plugged {
            let load = plugged.load();
            bytes += load.bytes / ports as u64;
            share += load.share(BAUD) / ports as f64;
        }
        let alone = bytes as f64 * 10.0 / f64::from(BAUD);
        println!(
            "{ports:5}  {peers:5}  {time:14.2}  {:17.1}%  {bytes:12}  {alone:12.2} s  {processor:8.2} s  {routers:8.2} s",
            100.0 * share
        );
    }
}
