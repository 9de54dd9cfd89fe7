//! Fleets and lines over the real agent: its library, with kernels and disks in memory. What a record says is compared
//! with what the kernel runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use postwired::simulated::{self, Plugged};
use serde_json::{Value, json};

use super::bench::Bench;
use super::fake::{OPERATOR, public};

pub(super) struct Fleet {
    pub(super) bench: Bench,
    pub(super) agents: simulated::Fleet,
}

impl Fleet {
    pub(super) fn new(name: &str, count: usize) -> Self {
        let (bench, agents) =
            (Bench::new(name, ""), simulated::Fleet::new(public(&OPERATOR), count));
        let mut csv = String::from("name,key,udp,address\n");
        for (nth, (key, address)) in agents.routers.iter().enumerate() {
            let _ = writeln!(csv, "r{nth},{key},{address},10.7.{}.{}/32", nth / 250, nth % 250);
        }
        bench.manifest("fleet.toml", &csv);
        Self { bench, agents }
    }

    /// Checks that the last record of each unit is what its kernel runs.
    fn check(&self) {
        let records = self.bench.records("fleet.records.jsonl");
        let last: BTreeMap<&str, &Value> =
            records.iter().map(|record| (record["unit"].as_str().unwrap(), record)).collect();
        for nth in 0..self.agents.routers.len() {
            let running = self.agents.running(nth);
            let record = last.get(format!("r{nth}").as_str());
            let outcome = record.map_or("none", |record| record["outcome"].as_str().unwrap());
            let is_told = match outcome {
                "applied" | "unchanged" => !running.is_empty(),
                "none" | "failed" | "unreachable" | "interrupted" => running.is_empty(),
                "unknown" => true,
                _ => false,
            };
            assert!(is_told, "{record:?}: {running}");
        }
    }
}

#[test]
fn three_hundred_agents_some_unreachable_some_refusing_and_the_rest_is_resumed() {
    let fleet = Fleet::new("real-300", 300);
    // 5 % are unreachable, and 3 % refuse.
    let all = |of: [usize; 5], left: usize| {
        (0..300).filter(move |nth| of[..left].contains(&(nth % 100))).collect::<Vec<_>>()
    };
    let (deaf, refusing) = (all([3, 23, 43, 63, 83], 5), all([7, 37, 77, 0, 0], 3));
    deaf.iter().for_each(|&nth| fleet.agents.deaf(nth, true));
    refusing.iter().for_each(|&nth| fleet.agents.refuse(nth, true));
    let push = ["fleet", "push", "fleet.toml", "--timeout", "6s", "-j", "40", "--json"];
    // A batch with more failures than are allowed is the last one.
    let stopped = [&push[..], &["--batch", "10%", "--max-fail", "5%"]].concat();
    let ran = fleet.bench.run(&stopped).ends(6).json();
    assert_eq!(ran["result"]["left"], 270, "{ran}");
    fleet.check();
    let resume = [&push[..], &["--resume"]].concat();
    let ran = fleet.bench.run(&resume).ends(1).json();
    let outcomes = json!({ "applied": 249, "failed": 9, "unreachable": 15 });
    assert_eq!(ran["result"]["outcomes"], outcomes, "{ran}");
    let records = fleet.bench.records("fleet.records.jsonl");
    let failed = records.iter().find(|record| record["outcome"] == "failed").unwrap();
    assert_eq!((&failed["code"], &failed["state"]), (&json!("permission"), &json!("unchanged")));
    // A router that refuses has told which router it is.
    assert_eq!(failed["hostname"], "simulated", "{failed}");
    fleet.check();
    deaf.iter().for_each(|&nth| fleet.agents.deaf(nth, false));
    refusing.iter().for_each(|&nth| fleet.agents.refuse(nth, false));
    let ran = fleet.bench.run(&resume).ends(0).json();
    assert_eq!(ran["result"]["outcomes"], json!({ "applied": 24 }), "{ran}");
    fleet.check();
    fleet.bench.run(&["fleet", "status", "fleet.toml"]).ends(0).says("300 same");
    fleet.bench.run(&push).ends(0).says("\"unchanged\":300");
    let told = fleet.bench.records("fleet.records.jsonl");
    assert_eq!(told.last().unwrap()["serial_number"].as_str().map(|told| &told[..2]), Some("8J"));
}

#[test]
fn records_of_an_interrupted_run_are_what_the_kernels_run() {
    let fleet = Fleet::new("real-ctrl-c", 60);
    let push = ["fleet", "push", "fleet.toml", "-j", "12", "--timeout", "6s"];
    // Interrupted after ever more records, once and twice.
    for (nth, count) in [1, 3, 9, 14, 30].into_iter().enumerate() {
        let mut child = fleet.bench.start(&[&push[..], &["--resume"]].concat());
        let before = fleet.bench.records("fleet.records.jsonl").len();
        let begun = Instant::now();
        while fleet.bench.records("fleet.records.jsonl").len() < before + count
            && begun.elapsed() < Duration::from_secs(20)
            && !child.has_ended()
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        for _ in 0..=(nth % 2) {
            child.interrupt();
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.ran();
        fleet.check();
    }
    fleet.bench.run(&push).ends(0);
    fleet.check();
}

#[test]
fn a_line_claims_agents_by_their_serial_numbers() {
    let bench = Bench::new("real-line", "");
    let units = "name,address,serial_number\nu1,10.7.0.1/24,8J-1\nu2,10.7.0.2/24,8J-2\n";
    bench.manifest("fleet.toml", units);
    std::fs::create_dir(bench.dir().join("ports")).unwrap();
    let port = |name: &str| bench.dir().join("ports").join(name);
    let ports = bench.dir().join("ports/p*").display().to_string();
    let args =
        ["line", "fleet.toml", "--assign", "serial-number", "--until-done", "--ports", &ports];
    let line = bench.start(&args);
    let _two = Plugged::router("8j-2", &port("p1"), None);
    let _one = Plugged::router("8J-1", &port("p2"), None);
    line.ran().ends(0).says("2 of 2 units done");
    let records = bench.records("fleet.records.jsonl");
    let told = |record: &Value| format!("{} {}", record["unit"], record["serial_number"]);
    let mut told: Vec<String> = records.iter().map(told).collect();
    told.sort();
    assert_eq!(told, [r#""u1" "8J-1""#, r#""u2" "8j-2""#]);
}

#[test]
fn a_device_with_two_names_is_one_port() {
    let bench = Bench::new("real-names", "");
    bench.manifest("fleet.toml", "name,address\nu1,10.7.0.1/24\nu2,10.7.0.2/24\n");
    std::fs::create_dir(bench.dir().join("ports")).unwrap();
    let port = |name: &str| bench.dir().join("ports").join(name);
    let _one = Plugged::router("8J-1", &port("a"), None);
    std::os::unix::fs::symlink("a", port("b")).unwrap();
    let mut line =
        bench.start(&["line", "fleet.toml", "--ports", &port("*").display().to_string()]);
    bench.wait_for("fleet.records.jsonl", 1);
    // The other name is looked at again.
    std::thread::sleep(Duration::from_millis(500));
    line.interrupt();
    line.ran().ends(0).says("the same device as port").says("1 of 2 units done");
    let records = bench.records("fleet.records.jsonl");
    assert_eq!(records.len(), 1, "{records:#?}");
}

/// The real agent at every port, as on a full bench. Two units are plugged in after others are done.
#[test]
fn sixteen_real_agents_on_one_line() {
    const COUNT: usize = 16;
    let bench = Bench::new("real-16", "");
    let mut units = String::from("name,address,serial_number\n");
    for nth in 0..COUNT {
        let _ = writeln!(units, "u{nth},10.7.0.{}/24,8J-{nth}", nth + 1);
    }
    bench.manifest("fleet.toml", &units);
    std::fs::create_dir(bench.dir().join("ports")).unwrap();
    let port = |nth: usize| bench.dir().join(format!("ports/p{nth:02}"));
    let ports = bench.dir().join("ports/p*").display().to_string();
    let how = ["--assign", "serial-number", "--until-done", "--ports", &ports];
    let line = bench.start(&[&["line", "fleet.toml"], &how[..]].concat());
    let plug = |nth: usize| Plugged::router(&format!("8J-{nth}"), &port(nth), None);
    let mut plugged: Vec<Plugged> = (0..COUNT - 2).rev().map(plug).collect();
    bench.wait_for("fleet.records.jsonl", 3);
    plugged.extend([COUNT - 1, COUNT - 2].map(plug));
    line.ran().ends(0).says("16 of 16 units done");
    let records = bench.records("fleet.records.jsonl");
    let mut told: Vec<(u64, &str)> = records
        .iter()
        .filter(|record| record["outcome"] == "applied")
        .map(|record| (record["row"].as_u64().unwrap(), record["serial_number"].as_str().unwrap()))
        .collect();
    told.sort_unstable();
    let right: Vec<String> = (0..COUNT).map(|nth| format!("8J-{nth}")).collect();
    assert_eq!(told.iter().map(|told| told.1).collect::<Vec<_>>(), right, "{records:#?}");
    for (nth, plugged) in (0..COUNT).zip(&plugged) {
        assert!(plugged.load().bytes > 1_000, "port {nth}");
    }
}
