//! Fleets: where a run stops, what its records say, and that this is what the routers say.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use postwire::records::Outcome;
use proto_core::key::PublicKey;
use proto_core::protocol::message::{Code, Failure};
use serde_json::Value;

use super::OTHER;
use super::bench::{Bench, Ran, SITE, Typed};
use super::fake::{Manners, Many};

struct Fleet {
    bench: Bench,
    many: Many,
}

fn refusing() -> Manners {
    Manners { fail_commit: Some(Failure::new(Code::NoWireGuard, "")), ..Manners::default() }
}

fn silent() -> Manners {
    Manners { silent: true, ..Manners::default() }
}

impl Fleet {
    fn new(name: &str, count: usize, manners: impl Fn(usize) -> Manners) -> Self {
        let (bench, many) = (Bench::new(name, ""), Many::new(count, manners));
        let mut csv = String::from("name,key,udp,address,tags\n");
        for (nth, address) in many.addresses.iter().enumerate() {
            let (key, tag) = (Many::key(nth), ["north", "south"][nth % 2]);
            let _ =
                writeln!(csv, "r{nth},{key},{address},10.7.{}.{}/32,{tag}", nth / 250, nth % 250);
        }
        bench.manifest("fleet.toml", &csv);
        Self { bench, many }
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.bench.run(args)
    }

    /// The records of a file, in its order.
    fn records(&self, file: &str) -> Vec<Value> {
        self.bench.records(file)
    }

    /// Checks that the records are the truth: one for each unit of a run, and what a router runs.
    fn check(&self, file: &str) {
        let mut last: BTreeMap<(String, String), u32> = BTreeMap::new();
        for record in self.records(file) {
            let text = |field: &str| record[field].as_str().unwrap().to_owned();
            *last.entry((text("run"), text("unit"))).or_insert(0) += 1;
            let nth: usize = text("unit")[1..].parse().unwrap();
            let running = self.many.with(nth, |seen| !seen.running.is_empty());
            let pending = self.many.with(nth, |seen| seen.waiting.is_some());
            match text("outcome").as_str() {
                "applied" | "unchanged" => assert!(running && !pending, "{record}"),
                // A later run may have been there.
                "interrupted" | "unreachable" | "failed" => {}
                "unknown" | "unconfirmed" => {}
                other => panic!("{other}: {record}"),
            }
        }
        assert!(last.values().all(|&count| count == 1), "{last:?}");
    }
}

fn wait_until(what: impl Fn() -> bool) {
    for _ in 0..12_000 {
        if what() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("waited for a minute");
}

#[test]
fn three_hundred_routers_some_silent_some_refusing_and_the_rest_is_resumed() {
    // 5 % are silent, 3 % refuse.
    let fleet = Fleet::new("fleet-300", 300, |nth| match nth % 100 {
        3 | 23 | 43 | 63 | 83 => silent(),
        7 | 37 | 77 => refusing(),
        _ => Manners::default(),
    });
    fleet.run(&["fleet", "check", "fleet.toml"]).ends(0).says("fleet.toml: 300 units");
    let push = ["fleet", "push", "fleet.toml", "--timeout", "6s", "-j", "40", "--json"];
    let json = fleet.run(&push).ends(1).json();
    assert_eq!(json["result"]["outcomes"]["applied"], 276, "{json}");
    assert_eq!(json["result"]["outcomes"]["failed"], 9, "{json}");
    assert_eq!(json["result"]["outcomes"]["unreachable"], 15, "{json}");
    let records = fleet.records("fleet.records.jsonl");
    assert_eq!(records.len(), 300);
    let failed = records.iter().find(|record| record["outcome"] == "failed").unwrap();
    assert_eq!((&failed["code"], &failed["state"]), (&"no_wire_guard".into(), &"unchanged".into()));
    fleet.check("fleet.records.jsonl");
    let commits = fleet.many.commits();
    assert_eq!(commits.iter().sum::<u32>(), 276);
    // The failures have their causes mended, and only they are done now.
    for nth in 0..300 {
        fleet.many.behave(nth, |manners| {
            manners.silent = false;
            manners.fail_commit = None;
        });
    }
    let resume = [&push[..], &["--resume"]].concat();
    let json = fleet.run(&resume).ends(0).json();
    assert_eq!(json["result"]["resumed"], 276, "{json}");
    assert_eq!(json["result"]["outcomes"], serde_json::json!({ "applied": 24 }));
    assert_eq!(fleet.many.commits(), [1; 300]);
    fleet.check("fleet.records.jsonl");
    let json = fleet.run(&resume).ends(0).json();
    assert_eq!(json["result"]["outcomes"], serde_json::json!({}));
    // Another template is another image: all are to be done.
    std::fs::write(fleet.bench.dir().join("site.conf"), SITE.replace("10.0.0.0/8", "10.0.0.0/9"))
        .unwrap();
    fleet.run(&["fleet", "diff", "fleet.toml"]).ends(4).says("diff of 300 units: 300 differs");
    let json = fleet.run(&resume).ends(0).json();
    assert_eq!(json["result"]["outcomes"], serde_json::json!({ "applied": 300 }));
    fleet.run(&["fleet", "status", "fleet.toml"]).ends(0).says("status of 300 units: 300 same");
    fleet.run(&["fleet", "diff", "fleet.toml"]).ends(0).says("300 same");
    fleet
        .run(&["records", "fleet.records.jsonl", "--summary"])
        .ends(0)
        .says("300 of 300 units done (100.0 %), 276 at the first attempt (92.0 %)");
    let csv = fleet.run(&["records", "fleet.records.jsonl", "--outcome", "failed", "--csv"]);
    assert_eq!(csv.ends(0).out.lines().count(), 1 + 9);
}

/// The keys are in the table and in the images, and a failure may be about them.
#[test]
fn no_record_and_nothing_that_is_printed_has_a_private_or_preshared_key() {
    let fleet = Fleet::new("fleet-secrets", 3, |nth| match nth {
        2 => refusing(),
        _ => Manners::default(),
    });
    let write =
        |file: &str, text: &str| std::fs::write(fleet.bench.dir().join(file), text).unwrap();
    let text = std::fs::read_to_string(fleet.bench.dir().join("units.csv")).unwrap();
    let mut secrets = Vec::new();
    let mut csv = String::new();
    for (nth, line) in (0_u8..).zip(text.lines()) {
        let [private, shared] = [0x51, 0x71].map(|front| PublicKey([front + nth; 32]));
        let _ = match nth {
            0 => writeln!(csv, "{line},private,shared"),
            _ => writeln!(csv, "{line},{private},{shared}"),
        };
        for key in [private, shared].iter().filter(|_| nth > 0) {
            secrets.push(key.to_string());
            secrets.push(key.0.iter().map(|byte| format!("{byte:02x}")).collect());
        }
    }
    write("units.csv", &csv);
    let site = SITE.replace("PrivateKey = generate", "PrivateKey = {{private}}");
    write("site.conf", &site.replace("Endpoint =", "PresharedKey = {{shared}}\nEndpoint ="));
    let mut said = String::new();
    for (words, code) in [
        (&["fleet", "check", "fleet.toml"][..], 0),
        (&["fleet", "diff", "fleet.toml", "--json"], 4),
        (&["fleet", "push", "fleet.toml", "--json"], 1),
        (&["fleet", "push", "fleet.toml"], 1),
        (&["records", "fleet.records.jsonl"], 0),
    ] {
        let ran = fleet.run(words);
        said += &ran.ends(code).out;
        said += &ran.err;
    }
    // The value of a wrong key is not shown either.
    write("units.csv", &csv.replace(&secrets[0], &secrets[0].replace('=', "")));
    let ran = fleet.run(&["fleet", "check", "fleet.toml"]);
    said += &ran.ends(2).err;
    said += &std::fs::read_to_string(fleet.bench.dir().join("fleet.records.jsonl")).unwrap();
    assert!(said.contains("applied"), "{said}");
    for secret in &secrets {
        assert!(!said.contains(secret.trim_end_matches('=')), "{secret} in {said}");
    }
}

#[test]
fn a_batch_over_the_limit_ends_the_run_before_the_next_one() {
    let fleet = Fleet::new("fleet-batch", 100, |nth| match nth {
        4 | 6 | 9 => refusing(),
        _ => Manners::default(),
    });
    let push =
        ["fleet", "push", "fleet.toml", "--batch", "1,10%,100%", "--json", "--record", "r.jsonl"];
    let json = fleet.run(&[&push[..], &["--max-fail", "2"]].concat()).ends(6).json();
    assert_eq!(json["result"]["stopped"], "max_fail", "{json}");
    let seen = |nth: usize| fleet.many.with(nth, |seen| seen.packets);
    assert!((0..11).all(|nth| seen(nth) > 0) && (11..100).all(|nth| seen(nth) == 0));
    assert_eq!(json["result"]["left"], 89, "{json}");
    fleet.check("r.jsonl");
    assert_eq!(fleet.records("r.jsonl").len(), 11);
    // Within the limit, the run goes to its end.
    let json = fleet.run(&[&push[..], &["--max-fail", "3", "--resume"]].concat()).ends(1).json();
    assert_eq!(json["result"]["left"], 0, "{json}");
    let commits = fleet.many.commits();
    assert_eq!(commits.iter().sum::<u32>(), 97);
    assert!(commits.iter().all(|&count| count <= 1), "{commits:?}");
    // With batches and no limit given, the first failure ends the run.
    let fleet =
        Fleet::new("fleet-canary", 3, |nth| if nth == 0 { refusing() } else { Manners::default() });
    fleet.run(&push).ends(6);
    assert_eq!(fleet.many.commits(), [0, 0, 0]);
}

#[test]
fn ctrl_c_at_any_time_leaves_records_that_are_true_and_a_rest_that_is_resumed() {
    for at in [0, 1, 7, 20, 38, 59] {
        let fleet = Fleet::new(&format!("fleet-ctrl-c-{at}"), 60, |_| Manners::default());
        let push = ["fleet", "push", "fleet.toml", "-j", "4", "--confirm-within", "60s"];
        let mut child = fleet.bench.start(&push);
        // Not before the program has its handler.
        wait_until(|| {
            let commits: u32 = fleet.many.commits().iter().sum();
            fleet.many.with(0, |seen| seen.packets > 0) && commits >= at
        });
        child.interrupt();
        let ran = child.ran();
        assert!(matches!(ran.code, 0 | 130), "{ran:#?}");
        fleet.check("fleet.records.jsonl");
        let applied = fleet
            .records("fleet.records.jsonl")
            .iter()
            .filter(|record| record["outcome"] == "applied")
            .count();
        let commits = fleet.many.commits();
        assert_eq!(commits.iter().sum::<u32>() as usize, applied, "{ran:#?}");
        assert!((0..60).all(|nth| fleet.many.with(nth, |seen| seen.waiting.is_none())));
        fleet.run(&[&push[..], &["--resume"]].concat()).ends(0);
        assert_eq!(fleet.many.commits(), [1; 60]);
        fleet.check("fleet.records.jsonl");
    }
}

#[test]
fn a_second_ctrl_c_names_the_routers_whose_state_is_unknown() {
    let fleet = Fleet::new("fleet-twice", 3, |nth| match nth {
        0 => Manners { silent_on_commit: true, ..Manners::default() },
        1 => silent(),
        _ => Manners::default(),
    });
    let mut child = fleet.bench.start(&[
        "fleet",
        "push",
        "fleet.toml",
        "-j",
        "3",
        "--timeout",
        "60s",
        "--json",
    ]);
    let told = || fleet.many.with(0, |seen| seen.told_to_commit);
    wait_until(|| told() && fleet.many.with(1, |seen| seen.packets > 0));
    wait_until(|| !fleet.records("fleet.records.jsonl").is_empty());
    child.interrupt();
    // The one that was not told to make a change has ended; the other one is waited for.
    wait_until(|| fleet.records("fleet.records.jsonl").len() == 2);
    child.interrupt();
    let json = child.ran().ends(130).json();
    let outcomes = serde_json::json!({ "applied": 1, "interrupted": 1, "unknown": 1 });
    assert_eq!(json["result"]["outcomes"], outcomes, "{json}");
    let units = json["result"]["units"].as_array().unwrap();
    assert!(
        units.iter().any(|unit| unit["unit"] == "r0" && unit["outcome"] == "unknown"),
        "{json}"
    );
    fleet.check("fleet.records.jsonl");
}

#[test]
fn selectors_shards_and_records_that_cannot_be_written() {
    let fleet = Fleet::new("fleet-parts", 30, |_| Manners::default());
    let run = |args: &[&str]| fleet.run(&[&["fleet", "push", "fleet.toml"], args].concat());
    run(&["tag=north", "!r0", "--record", "n.jsonl"]).ends(0).says("push of 14 units: 14 applied");
    run(&["r?", "--record", "q.jsonl"]).ends(0).says("push of 10 units: 6 applied, 4 unchanged");
    run(&["nobody"]).ends(2).says("no unit of fleet.toml is called `nobody`");
    for shard in ["1/3", "2/3", "3/3"] {
        let file = format!("s{}.jsonl", &shard[..1]);
        run(&["--shard", shard, "--run", "night", "--record", &file])
            .ends(0)
            .says("push of 10 units");
    }
    let json = fleet.run(&["records", "s1.jsonl", "s2.jsonl", "s3.jsonl", "--json"]).ends(0).json();
    assert_eq!(json["result"]["yield"]["units"], 30, "{json}");
    assert_eq!(json["result"]["records"][0]["run"], "night");
    let before = fleet.many.commits();
    run(&["--record", "no/such/r.jsonl"]).ends(2).says("cannot write records to no/such/r.jsonl");
    run(&["--record", "/dev/full"]).ends(5).says("No space left");
    // Only those that were under way when the first record could not be written.
    assert!(fleet.many.commits().iter().zip(before).all(|(after, before)| *after <= before + 1));
}

#[test]
fn a_mistake_in_the_command_is_told_before_any_name_is_looked_up() {
    let fleet = Fleet::new("fleet-names", 2, |_| Manners::default());
    let dir = fleet.bench.dir();
    let write = |file: &str, text: &str| std::fs::write(dir.join(file), text).unwrap();
    write("site.conf", &SITE.replace("192.0.2.7:51821", "gateway.invalid:51820"));
    let units = std::fs::read_to_string(dir.join("units.csv")).unwrap();
    let own = super::fake::public(&super::fake::OPERATOR);
    let key = Many::key(0).to_string();
    let named = |text: &str| text.replace(&fleet.many.addresses[0], "router.invalid");
    for (units, command, says) in [
        (units.clone(), "push fleet.toml nobody", "no unit of fleet.toml is called `nobody`"),
        (units.clone(), "check fleet.toml tag=east", "no unit of fleet.toml has the tag `east`"),
        (named(&units).replace(&key, ""), "push fleet.toml", "r0 has no key, and no router"),
        (
            named(&units.replace(&key, &own.to_string())),
            "push fleet.toml",
            "the key of r0 is your own",
        ),
        (units.replace(&key, &own.to_string()), "check fleet.toml", "the key of r0 is your own"),
        (
            units.replace("10.7.0.1/32", "10.7.0.0/32"),
            "check fleet.toml",
            "tunnel address 10.7.0.0 is",
        ),
    ] {
        write("units.csv", &units);
        let args = format!("fleet {command}");
        let ran = fleet.run(&args.split(' ').collect::<Vec<_>>());
        ran.ends(2).says(says);
        assert!(!ran.err.contains("looking up"), "{command}: {ran:#?}");
    }
    write("units.csv", &units);
    let line = ["line", "fleet.toml", "--ports", "/nowhere/*", "--on-done", "./nothing"];
    let ran = fleet.run(&line);
    ran.ends(2).says("there is no program");
    assert!(!ran.err.contains("looking up"), "{ran:#?}");
    fleet.run(&["fleet", "check", "fleet.toml"]).ends(0).says("looking up 1 host name\n");
}

#[test]
fn twenty_warnings_are_told_and_all_of_them_are_in_the_result() {
    let fleet = Fleet::new("fleet-warnings", 0, |_| Manners::default());
    let dir = fleet.bench.dir();
    let check = |count: usize| {
        let mut units = String::from("name,config\n");
        for nth in 0..count {
            // Host bits, which wg clears.
            let peer = SITE.split_once("[Peer]").unwrap().1.replace("10.0.0.0/8", "10.0.0.1/8");
            let text = format!(
                "[Interface]\nPrivateKey = generate\nAddress = 10.9.0.{nth}/32\n[Peer]{peer}"
            );
            std::fs::write(dir.join(format!("w{nth}.conf")), text).unwrap();
            let _ = writeln!(units, "w{nth},w{nth}.conf");
        }
        std::fs::write(dir.join("units.csv"), units).unwrap();
        fleet.run(&["fleet", "check", "fleet.toml"]).ends(0).err.clone()
    };
    let told = |text: &str| text.matches("warning: ").count();
    let twenty = check(20);
    assert_eq!((told(&twenty), twenty.contains("more warning")), (20, false), "{twenty}");
    let more = check(21);
    assert!(told(&more) == 20 && more.ends_with("... and 1 more warning\n"), "{more}");
    assert!(check(22).ends_with("... and 2 more warnings\n"));
    let all =
        |args: &[&str]| fleet.run(args).json()["result"]["warnings"].as_array().unwrap().len();
    assert_eq!(all(&["fleet", "check", "fleet.toml", "--json"]), 22);
}

#[test]
fn warnings_and_records_that_were_cut_short_are_in_the_result_of_a_run() {
    let fleet = Fleet::new("fleet-torn", 2, |_| Manners::default());
    let site = SITE.replace("10.0.0.0/8", "10.0.0.1/8");
    std::fs::write(fleet.bench.dir().join("site.conf"), site).unwrap();
    fleet.run(&["fleet", "push", "fleet.toml", "r0"]).ends(0);
    let file = fleet.bench.dir().join("fleet.records.jsonl");
    let whole = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{whole}{}", &whole[..whole.len() / 2])).unwrap();
    let torn = "fleet.records.jsonl:2: warning: a record that a crash has cut short";
    fleet.run(&["records", "fleet.records.jsonl"]).ends(0).says(torn);
    let json = fleet.run(&["records", "fleet.records.jsonl", "--json"]).ends(0).json();
    assert!(json["result"]["warnings"][0].as_str().unwrap().starts_with(torn), "{json}");
    let push = ["fleet", "push", "fleet.toml", "--resume"];
    let json = fleet.run(&[&push[..], &["--json"]].concat()).ends(0).json();
    let warnings = json["result"]["warnings"].as_array().unwrap();
    assert!(warnings.len() == 2 && warnings[1].as_str().unwrap().starts_with(torn), "{json}");
    fleet.run(&push).ends(0).says(torn).says("2 units done by earlier runs");
    let json = fleet.run(&["fleet", "status", "fleet.toml", "--json"]).ends(0).json();
    assert_eq!(json["result"]["warnings"].as_array().unwrap().len(), 1, "{json}");
}

#[test]
fn a_run_that_is_killed_at_any_time_leaves_records_that_are_true_and_a_rest_that_is_resumed() {
    for at in [0, 3, 11, 29, 47, 59] {
        let fleet = Fleet::new(&format!("fleet-kill-{at}"), 60, |_| Manners::default());
        let push = ["fleet", "push", "fleet.toml", "-j", "8"];
        let child = fleet.bench.start(&push);
        wait_until(|| {
            let commits: u32 = fleet.many.commits().iter().sum();
            fleet.many.with(0, |seen| seen.packets > 0) && commits >= at
        });
        child.kill();
        fleet.check("fleet.records.jsonl");
        fleet.run(&[&push[..], &["--resume"]].concat()).ends(0);
        fleet.check("fleet.records.jsonl");
        let stored = |nth| fleet.many.with(nth, |seen| seen.history.len());
        assert!((0..60).all(|nth| stored(nth) == 1), "at {at}");
        fleet.run(&["fleet", "status", "fleet.toml"]).ends(0).says("status of 60 units: 60 same");
        let json = fleet.run(&[&push[..], &["--resume", "--json"]].concat()).ends(0).json();
        assert_eq!(json["result"]["resumed"], 60, "{json}");
    }
}

/// The checker of the schema sees the records of all tests; this one makes sure that no outcome is left out.
#[test]
fn records_of_every_outcome_are_as_the_schema_says() {
    let away = |away| Manners { away: Some(away), ..Manners::default() };
    let fleet = Fleet::new("fleet-outcomes", 7, |nth| match nth {
        1 => refusing(),
        2 | 6 => silent(),
        3 => Manners { silent_on_commit: true, ..Manners::default() },
        4 => away(Duration::from_secs(3_600)),
        // It has reverted the change by then.
        5 => away(Duration::from_millis(1_500)),
        _ => Manners::default(),
    });
    let start = |file: &str, args: &str| {
        let args: Vec<&str> = args.split(' ').collect();
        fleet.bench.start(&[&["fleet"][..], &args[..], &["--record", file][..]].concat())
    };
    let mut stopped = start("stopped.jsonl", "push fleet.toml r6 --timeout 60s");
    let gone = start("gone.jsonl", "push fleet.toml r4 --timeout 3s --confirm-within 1s");
    let back = start("back.jsonl", "push fleet.toml r5 --timeout 60s --confirm-within 1s");
    let some = start("some.jsonl", "push fleet.toml r0 r1 r2 r3 --timeout 4s");
    wait_until(|| fleet.many.with(6, |seen| seen.packets > 0));
    stopped.interrupt();
    stopped.ran().ends(130);
    gone.ran().ends(3).says("not confirmed, the router reverts the change: r4");
    back.ran().ends(1).says("failed: r5");
    some.ran().ends(1).says("state unknown, run `postwire fleet status`: r3");
    for (file, args, code) in [
        ("again.jsonl", "push fleet.toml r0 --shard 1/1 --run again", 0),
        ("same.jsonl", "status fleet.toml r0", 0),
        ("differs.jsonl", "diff fleet.toml r1", 4),
        ("repaired.jsonl", "repair fleet.toml r0", 0),
    ] {
        start(file, args).ran().ends(code);
    }
    let mut found: Vec<(String, String)> = Vec::new();
    for file in ["stopped", "gone", "back", "some", "again", "same", "differs", "repaired"] {
        for record in fleet.records(&format!("{file}.jsonl")) {
            let text = |field: &str| record[field].as_str().unwrap().to_owned();
            found.push((text("unit"), text("outcome")));
        }
    }
    found.sort();
    let expected = [
        ("r0", "applied"),
        ("r0", "same"),
        ("r0", "unchanged"),
        ("r0", "unchanged"),
        ("r1", "differs"),
        ("r1", "failed"),
        ("r2", "unreachable"),
        ("r3", "unknown"),
        ("r4", "unconfirmed"),
        ("r5", "reverted"),
        ("r6", "interrupted"),
    ];
    let is = |(unit, outcome): &(&str, &str)| (String::from(*unit), String::from(*outcome));
    assert_eq!(found, expected.iter().map(is).collect::<Vec<_>>());
    for outcome in <Outcome as clap::ValueEnum>::value_variants() {
        assert!(found.iter().any(|(_, found)| found == outcome.name()), "no {outcome:?}");
    }
}

#[test]
fn a_file_that_would_empty_an_interface_fails_its_unit_unless_yes_was_said() {
    let fleet = Fleet::new("fleet-empties", 2, |_| Manners::default());
    let site = |text: &str| std::fs::write(fleet.bench.dir().join("site.conf"), text).unwrap();
    let push = |args: &str| {
        let args: Vec<&str> = args.split(' ').collect();
        fleet.run(&[&["fleet", "push", "fleet.toml"][..], &args[..]].concat())
    };
    let router = || fleet.many.with(0, |seen| (seen.commits, seen.running.clone()));
    let one_more = format!("{SITE}\n[Peer]\nPublicKey = {OTHER}\nAllowedIPs = 172.16.0.0/12\n");
    let no_peers = SITE.split_once("\n[Peer]").unwrap().0.to_owned();
    let address = "Address = {{address}}\n";
    let (no_addresses, neither) = (SITE.replace(address, ""), no_peers.replace(address, ""));
    for (text, what) in [(no_peers, "peers"), (no_addresses, "addresses"), (neither, "peers")] {
        site(&one_more);
        push("r0").ends(0);
        site(SITE);
        // Less is not nothing.
        push("r0").ends(0).says("1 applied");
        let before = router();
        site(&text);
        let ran = push("r0 --record refused.jsonl");
        ran.ends(1).says("push of 1 unit: 1 failed").says("failed: r0\n");
        assert!(!ran.err.contains("[y/N]"), "{ran:?}");
        let records = fleet.records("refused.jsonl");
        let message = format!(
            "the file has no {what}, and the push would remove those of wg0; --yes pushes it"
        );
        assert_eq!(records.last().unwrap()["message"], message);
        // A terminal makes no difference: a fleet asks no questions.
        let mut typed = Typed::new(&fleet.bench, &["fleet", "push", "fleet.toml", "r0"]);
        assert_eq!(typed.ends(), 1);
        assert!(!typed.rest().contains("[y/N]"), "{:?}", typed.rest());
        assert_eq!(router(), before);
        assert!(fleet.many.with(0, |seen| seen.aborted), "the next push would be kept out");
        push("r0 --yes").ends(0).says("1 applied");
        assert_eq!(router().0, before.0 + 1);
        // There is nothing left that it would remove.
        push("r0").ends(0).says("1 unchanged");
    }
    // A router that has nothing loses nothing, and the others go on.
    site(SITE);
    push("r0").ends(0);
    site(SITE.split_once("\n[Peer]").unwrap().0);
    push("r0 r1").ends(1).says("push of 2 units: 1 applied, 1 failed").says("failed: r0\n");
}

/// Prints the time and the peak memory of pushes to many routers. See docs/fleet.md.
#[test]
#[ignore = "measures; run with --ignored --nocapture"]
fn a_fleet_in_numbers() {
    println!("routers  jobs  seconds  peak memory (KiB)");
    for (count, jobs) in [(10, "64"), (100, "64"), (1_000, "64"), (10_000, "64"), (10_000, "1000")]
    {
        let fleet = Fleet::new(&format!("fleet-{count}-{jobs}"), count, |_| Manners::default());
        let begun = std::time::Instant::now();
        let push = ["fleet", "push", "fleet.toml", "-j", jobs, "--timeout", "60s", "--json"];
        let mut child = fleet.bench.start(&push);
        let status = format!("/proc/{}/status", child.id());
        let mut peak = String::new();
        while !child.has_ended() {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            peak = line.map_or(peak, |line| line.trim_end_matches("kB").trim().into());
            std::thread::sleep(Duration::from_millis(5));
        }
        let seconds = begun.elapsed().as_secs_f32();
        let json = child.ran().ends(0).json();
        assert_eq!(json["result"]["outcomes"]["applied"], count, "{json}");
        println!("{count:>7}  {jobs:>4}  {seconds:>7.1}  {peak:>17}");
    }
}
