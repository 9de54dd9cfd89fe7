//! The line: routers behind pseudo-terminals that are plugged in and pulled out while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use postwired::simulated::Plugged;
use proto_core::key::SecretKey;
use proto_core::protocol::message::{Code, Failure};
use proto_core::protocol::session::fingerprint;
use serde_json::Value;

use super::bench::{Bench, Ran, Running, Typed};
use super::fake::{Belongs, Manners, Unit, public};

struct Line {
    bench: Bench,
}

/// An unclaimed router with a key of its own.
fn fresh(nth: u8) -> Manners {
    let key = Some(SecretKey::new([nth + 0x40; 32]));
    Manners { key, belongs: Belongs::Nobody(None), ..Manners::default() }
}

impl Line {
    fn new(name: &str, units: usize) -> Self {
        let bench = Bench::new(name, "");
        let mut csv = String::from("name,address\n");
        for nth in 1..=units {
            let _ = writeln!(csv, "u{nth},10.7.0.{nth}/24");
        }
        bench.manifest("batch.toml", &csv);
        std::fs::create_dir(bench.dir().join("ports")).unwrap();
        Self { bench }
    }

    fn port(&self, number: usize) -> PathBuf {
        self.bench.dir().join(format!("ports/p{number:02}"))
    }

    fn start(&self, more: &[&str]) -> Running {
        self.start_with("8s", more)
    }

    fn start_with(&self, patience: &str, more: &[&str]) -> Running {
        let ports = self.bench.dir().join("ports/p*").display().to_string();
        let line =
            ["line", "batch.toml", "--ports", &ports, "--patience", patience, "--timeout", "5s"];
        self.bench.start(&[&line, more].concat())
    }

    fn records(&self) -> Vec<Value> {
        self.bench.records("batch.records.jsonl")
    }

    fn wait_for(&self, what: impl Fn(&[Value]) -> bool) {
        for _ in 0..6_000 {
            if what(&self.records()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("waited for a minute: {:#?}", self.records());
    }
}

fn stop(mut line: Running) -> Ran {
    line.interrupt();
    line.ran()
}

fn is_done(record: &Value) -> bool {
    matches!(record["outcome"].as_str(), Some("applied" | "unchanged"))
}

/// Checks that the records of a line are the attempts that were made, each once: a router whose push ended has a record
/// of it, and nothing else has the name of a unit. How often a router is met again depends on how busy this machine is,
/// so the routers themselves count: a router executes or refuses a commit once, however often it hears of it.
fn check_attempts(records: &[Value], units: &[Unit]) {
    let text = |record: &Value, field: &str| record[field].as_str().unwrap_or("null").to_owned();
    let of_units: Vec<&Value> = records.iter().filter(|record| record["unit"] != "?").collect();
    for record in records.iter().filter(|record| record["unit"] == "?") {
        assert!(!is_done(record) && record["row"] == 0, "{record}");
    }
    let mut all = 0;
    for (nth, unit) in (0..).zip(units) {
        let key = public(fresh(nth).key.as_ref().unwrap()).to_string();
        let mine: Vec<&&Value> = of_units.iter().filter(|r| r["router_key"] == *key).collect();
        all += mine.len();
        let outcomes: Vec<String> = mine.iter().map(|r| text(r, "outcome")).collect();
        let is_final =
            |outcome: &&String| matches!(&***outcome, "applied" | "unchanged" | "failed");
        let ended = u32::try_from(outcomes.iter().filter(is_final).count()).unwrap();
        let begun = u32::try_from(outcomes.len()).unwrap();
        let commits = unit.with(|seen| seen.commits + seen.refused);
        // Without a record of a lost connection, the three are equal.
        assert!(ended <= commits && commits <= begun, "{nth}: {commits} of {mine:#?}");
        let names: BTreeSet<String> = mine.iter().map(|r| text(r, "unit")).collect();
        assert!(names.len() <= 1, "{nth}: {names:?}");
        // It is applied once: what comes later finds nothing to do, as does what follows an attempt whose end was lost.
        if let Some(at) = outcomes.iter().position(|o| matches!(&**o, "applied" | "unchanged")) {
            assert!(at > 0 || outcomes[at] == "applied", "{nth}: {outcomes:?}");
            assert!(!outcomes[at + 1..].contains(&"applied".into()), "{nth}: {outcomes:?}");
        }
    }
    assert_eq!(all, of_units.len(), "{records:#?}");
}

#[test]
fn sixteen_ports_and_every_router_ends_right_or_red_with_words() {
    let line = Line::new("line-16", 14);
    let broken = Manners { fail_commit: Some(Failure::new(Code::NoWireGuard, "")), ..fresh(12) };
    let others = Manners { belongs: Belongs::Others, talks: true, ..fresh(13) };
    let silent = Manners { silent: true, ..fresh(14) };
    let slow = Manners { working: 40, loss: 10, ..fresh(15) };
    let units: Vec<Unit> =
        (0..12).map(fresh).chain([broken, others, silent, slow]).map(Unit::new).collect();
    let child = line.start(&[]);
    // Not in the order of their ports.
    let order = [5, 0, 13, 9, 2, 15, 7, 12, 1, 14, 3, 11, 4, 8, 10, 6];
    let mut plugged: BTreeMap<usize, Plugged> = BTreeMap::new();
    for nth in order {
        plugged.insert(nth, units[nth].plug(&line.port(nth)));
        std::thread::sleep(Duration::from_millis(40));
        // A cable that is pulled out in the middle, and plugged in again.
        if nth == 9 || nth == 3 {
            plugged.remove(&nth);
            std::thread::sleep(Duration::from_millis(300));
            plugged.insert(nth, units[nth].plug(&line.port(nth)));
        }
    }
    // All that can be done are, and three ports are red.
    line.wait_for(|records| {
        let done: BTreeSet<&str> = records
            .iter()
            .filter(|record| is_done(record))
            .map(|record| record["unit"].as_str().unwrap())
            .collect();
        let has = |code: &str| records.iter().any(|record| record["code"] == code);
        done.len() == 13 && has("no_wire_guard") && has("another_owner") && has("silence")
    });
    let ran = stop(child);
    ran.ends(1).says("13 of 14 units done").says("failed: u");
    ran.says("belongs to another owner: your key is none of its owners'")
        .says("nothing was heard for 8 s");
    ran.says("the kernel has no WireGuard");
    let records = line.records();
    check_attempts(&records, &units);
    // What is no unit is told once for each port, however long it stays there.
    let at = |port: &str| -> Vec<&Value> {
        records.iter().filter(|r| r["port"].as_str().unwrap().ends_with(port)).collect()
    };
    let others = at("/p13").iter().filter(|r| r["code"] == "another_owner").count();
    assert_eq!(others, 1, "{records:#?}");
    let silent: Vec<&Value> = at("/p14").iter().map(|r| &r["code"]).collect();
    assert_eq!(silent, ["silence"], "{records:#?}");
    // A unit is one router, and a router is one unit. A router that was slow to answer may have been verified again.
    let pairs: BTreeSet<(&str, &str)> = records
        .iter()
        .filter(|record| is_done(record))
        .map(|r| (r["unit"].as_str().unwrap(), r["router_key"].as_str().unwrap()))
        .collect();
    let count = |pairs: BTreeSet<&str>| pairs.len();
    assert_eq!(pairs.len(), 13, "{records:#?}");
    assert_eq!(count(pairs.iter().map(|pair| pair.0).collect()), 13, "{pairs:?}");
    assert_eq!(count(pairs.iter().map(|pair| pair.1).collect()), 13, "{pairs:?}");
    for (nth, unit) in units.iter().enumerate() {
        let stored = unit.with(|seen| seen.history.len());
        assert_eq!(stored, usize::from(!(12..15).contains(&nth)), "unit {nth}");
    }
    drop(plugged);

    // The next day: routers that were done are verified, and not done again. The broken one was mended.
    let child = line.start(&["--until-done"]);
    // They stay plugged in: on a busy machine a line may stand still, and its router is then verified once more.
    let _again = [0, 4, 15].map(|nth| units[nth].plug(&line.port(nth)));
    line.wait_for(|records| {
        records.iter().filter(|record| record["outcome"] == "unchanged").count() >= 3
    });
    units[12].behave(|manners| manners.fail_commit = None);
    let _mended = units[12].plug(&line.port(1));
    child.ran().ends(0).says("14 of 14 units done");
    check_attempts(&line.records(), &units);
    for (nth, unit) in units.iter().enumerate() {
        let stored = unit.with(|seen| seen.history.len());
        assert_eq!(stored, usize::from(nth != 13 && nth != 14), "unit {nth}");
    }
}

#[test]
fn a_router_that_was_claimed_when_the_bench_lost_power_is_the_same_unit_afterwards() {
    let line = Line::new("line-power", 2);
    let unit = Unit::new(Manners { silent_once_claimed: true, ..fresh(0) });
    let mut child = line.start(&["--assign", "scan"]);
    let plugged = unit.plug(&line.port(1));
    writeln!(child.stdin(), "u2").unwrap();
    wait_until(|| unit.with(|seen| !seen.owners.is_empty()));
    // No record, and no reply to the claim.
    child.kill();
    assert_eq!(line.records(), [Value::Null; 0]);
    unit.behave(|manners| (manners.silent, manners.silent_once_claimed) = (false, false));
    drop(plugged);
    let _plugged = unit.plug(&line.port(2));
    let child = line.start(&[]);
    line.wait_for(|records| !records.is_empty());
    stop(child).ends(0).says("u2");
    let records = line.records();
    assert_eq!((&records[0]["unit"], &records[0]["outcome"]), (&"u2".into(), &"applied".into()));
}

/// Only the console tells them apart: no packet is answered before, between and after.
#[test]
fn a_second_router_of_another_owner_at_the_same_port_is_named_too() {
    let line = Line::new("line-others", 1);
    let unit = Unit::new(Manners { belongs: Belongs::Others, talks: true, ..fresh(1) });
    let child = line.start_with("1s", &[]);
    let _plugged = unit.plug(&line.port(1));
    let named = |records: &[Value], nth: u8| {
        let key = public(fresh(nth).key.as_ref().unwrap());
        let name = fingerprint(&key).to_string();
        records.iter().filter(|r| r["message"].as_str().unwrap().contains(&name)).count()
    };
    for nth in [1, 2, 1] {
        // The cable stays: another router is behind the same port.
        unit.behave(|manners| manners.key = fresh(nth).key);
        let before = named(&line.records(), nth);
        line.wait_for(|records| named(records, nth) == before + 1);
    }
    stop(child).ends(0);
    assert_eq!([1, 2].map(|nth| named(&line.records(), nth)), [2, 1]);
}

/// Writes a program for `--on-done`.
fn program(line: &Line, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = line.bench.dir().join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn wait_until(what: impl Fn() -> bool) {
    for _ in 0..6_000 {
        if what() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("waited for a minute");
}

#[test]
fn a_program_that_hangs_is_ended_by_the_second_ctrl_c_and_not_by_the_first() {
    let line = Line::new("line-hangs", 1);
    // As at a terminal, the first Ctrl-C is for the line alone.
    program(&line, "hang", "echo begun > begun\nexec sleep 1000\n");
    let unit = Unit::new(fresh(0));
    let mut child = line.start(&["--on-done", "./hang"]);
    let _plugged = unit.plug(&line.port(1));
    wait_until(|| line.bench.dir().join("begun").exists());
    child.interrupt();
    std::thread::sleep(Duration::from_millis(500));
    assert!(!child.has_ended());
    child.interrupt();
    let ran = child.ran();
    ran.ends(130).says("running ./hang").says("./hang: was stopped");
    assert_eq!(line.records()[0]["outcome"], "applied");
}

#[test]
fn however_a_line_is_stopped_the_terminal_is_as_before() {
    let line = Line::new("line-terminal", 1);
    let ports = line.bench.dir().join("ports/p*").display().to_string();
    let args = ["line", "batch.toml", "--ports", &ports];
    // One signal, and so many that the program ends at once.
    for most in [1, 10_000] {
        let mut typed = Typed::new(&line.bench, &args);
        typed.sees("\x1b[?1049h");
        typed.sees("postwire line batch");
        assert!(!typed.echoes());
        for _ in 0..most {
            typed.interrupt();
            if typed.has_ended().is_some() {
                break;
            }
        }
        typed.ends();
        assert!(typed.rest().contains("\x1b[0m\x1b[?25h\x1b[?1049l"), "{:?}", typed.rest());
        assert!(typed.echoes());
    }
}

#[test]
fn the_bell_rings_at_a_terminal_when_a_router_has_ended_unless_it_is_to_be_quiet() {
    for is_quiet in [false, true] {
        let line = Line::new(&format!("line-bell-{is_quiet}"), 1);
        let ports = line.bench.dir().join("ports/p*").display().to_string();
        let args = ["line", "batch.toml", "--ports", &ports, "--no-bell"];
        let mut typed = Typed::new(&line.bench, &args[..if is_quiet { 5 } else { 4 }]);
        typed.sees("postwire line batch");
        let unit = Unit::new(fresh(0));
        let _plugged = unit.plug(&line.port(1));
        line.wait_for(|records| records.len() == 1);
        if !is_quiet {
            typed.sees("\x07");
        }
        typed.interrupt();
        typed.ends();
        assert!(!typed.rest().contains('\x07'), "{:?}", typed.rest());
    }
}

#[test]
fn a_program_that_failed_is_run_again_when_its_router_comes_back() {
    let line = Line::new("line-again", 1);
    // What it leaves running does not hold the line up, and what it says does not fill a pipe.
    program(
        &line,
        "label",
        "head -c 300000 /dev/zero >&2\nsleep 1000 & echo $! > left\ntest -e paper || { touch tried; exit 3; }\n\
         echo $POSTWIRE_UNIT >> labels\n",
    );
    let unit = Unit::new(fresh(0));
    let child = line.start(&["--on-done", "./label"]);
    let plugged = unit.plug(&line.port(1));
    wait_until(|| line.bench.dir().join("tried").exists());
    std::fs::write(line.bench.dir().join("paper"), "").unwrap();
    drop(plugged);
    let _plugged = unit.plug(&line.port(2));
    wait_until(|| line.bench.dir().join("labels").exists());
    let ran = stop(child);
    ran.ends(0).says("./label: ended with exit status: 3").says("was done before, and is right");
    let left = std::fs::read_to_string(line.bench.dir().join("left")).unwrap();
    let _ = std::process::Command::new("kill").arg(left.trim()).status();
}

/// The end of the push was lost, the program failed, or the line was started anew: the label is printed, and once.
#[test]
fn a_program_is_run_until_it_has_ended_well_for_a_router_whatever_was_lost() {
    let line = Line::new("line-labels", 1);
    program(&line, "label", "test -e paper || exit 3\necho $POSTWIRE_UNIT >> labels\n");
    let unit = Unit::new(Manners { silent_once_committed: true, ..fresh(0) });
    let on_done = ["--on-done", "./label"];
    let child = line.start(&on_done);
    let plugged = unit.plug(&line.port(1));
    line.wait_for(|records| records.iter().any(|record| record["outcome"] == "unknown"));
    unit.behave(|manners| (manners.silent, manners.silent_once_committed) = (false, false));
    let ended = |records: &[Value], outcome: &str| {
        records.iter().any(|r| r["operation"] == "program" && r["outcome"] == outcome)
    };
    line.wait_for(|records| ended(records, "failed"));
    stop(child).ends(1).says("0 of 1 units done\nfailed: u1\n");
    drop(plugged);
    std::fs::write(line.bench.dir().join("paper"), "").unwrap();
    // Another day.
    let child = line.start(&["--until-done", on_done[0], on_done[1]]);
    let plugged = unit.plug(&line.port(1));
    child.ran().ends(0).says("1 of 1 units done");
    drop(plugged);
    assert!(ended(&line.records(), "unchanged"), "{:#?}", line.records());
    let before = line.records().len();
    let child = line.start(&on_done);
    let _plugged = unit.plug(&line.port(1));
    line.wait_for(|records| records.len() > before);
    stop(child).ends(0);
    assert_eq!(std::fs::read_to_string(line.bench.dir().join("labels")).unwrap(), "u1\n");
}

#[test]
fn codes_are_scanned_and_programs_run_with_records() {
    let line = Line::new("line-scan", 3);
    let script = line.bench.dir().join("label");
    std::fs::write(
        &script,
        "#!/bin/sh\ncat >> labels\ntest $POSTWIRE_UNIT != u2 || { echo no paper >&2; exit 3; }\n",
    )
    .unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (one, two) = (Unit::new(fresh(0)), Unit::new(fresh(1)));
    let mut child = line.start(&["--assign", "scan", "--on-done", "./label"]);
    let mut stdin = child.stdin();
    let _one = one.plug(&line.port(1));
    writeln!(stdin, "nobody\nu3").unwrap();
    line.wait_for(|records| records.len() == 2);
    let _two = two.plug(&line.port(2));
    writeln!(stdin, "u3\n2 u2").unwrap();
    line.wait_for(|records| records.len() == 4);
    let labels = line.bench.dir().join("labels");
    for _ in 0..6_000 {
        if std::fs::read_to_string(&labels).is_ok_and(|text| text.lines().count() == 2) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let ran = stop(child);
    ran.ends(1)
        .says("1 of 3 units done\nfailed: u2\n")
        .says("no unit of the manifest has the name, serial_number or mac `nobody`");
    ran.says("u3 has a router already").says("./label: ended with exit status: 3: no paper");
    let text = std::fs::read_to_string(labels).unwrap();
    let units: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["unit"].as_str().unwrap().into())
        .collect();
    assert_eq!(units, ["u3", "u2"]);
}

#[test]
fn a_router_s_own_words_choose_its_unit() {
    let line = Line::new("line-told", 0);
    let csv = |text: &str| std::fs::write(line.bench.dir().join("units.csv"), text).unwrap();
    let is = |key, device| Unit::new(Manners { device, ..fresh(key) });
    let units = |key: u8| {
        let devices = [Some(("8J-3", 3)), Some(("8J-2", 2)), None, Some(("8J-1", 1))];
        (key..).zip(devices).map(|(key, device)| is(key, device)).collect::<Vec<Unit>>()
    };
    // Which router each unit has become, by the serial numbers in the records.
    let told = |run: &str| -> BTreeSet<String> {
        let records = line.records().into_iter().filter(|record| record["run"] == run);
        let pair = |r: Value| {
            format!("{} {} {}", r["unit"].as_str().unwrap(), r["serial_number"], r["code"])
        };
        records.map(pair).collect()
    };
    let all = |assign: &str, units: &[Unit]| {
        let child = line.start(&["--assign", assign, "--run", assign]);
        let plugged: Vec<Plugged> =
            (0..).zip(units).map(|(nth, unit)| unit.plug(&line.port(nth))).collect();
        line.wait_for(|records| {
            records.iter().filter(|record| record["run"] == assign).count() == 4
        });
        drop(plugged);
        stop(child)
    };

    csv("name,address,serial_number\nu1,10.7.0.1/24,8j-1\nu2,10.7.0.2/24,8J-2\n");
    let ran = all("serial-number", &units(0));
    ran.says("no unit of the manifest has the serial_number of this router: 8J-3");
    ran.says("the router does not tell its serial_number: use --assign scan");
    assert_eq!(told("serial-number").iter().filter(|told| told.ends_with(" null")).count(), 2);
    assert!(told("serial-number").contains("u1 \"8J-1\" null"), "{:?}", told("serial-number"));
    assert!(told("serial-number").contains("u2 \"8J-2\" null"));

    // The address on the label is that of any of the interfaces.
    std::fs::remove_file(line.bench.dir().join("batch.records.jsonl")).unwrap();
    csv("name,address,mac\nm1,10.7.0.1/24,94-83-C4-00-01-01\nm2,10.7.0.2/24,9483c4000002\n");
    all("mac", &units(8)).says("the mac of this router: 94:83:c4:00:00:03 94:83:c4:00:01:03");
    assert!(told("mac").contains("m1 \"8J-1\" null"), "{:?}", told("mac"));
    assert!(told("mac").contains("m2 \"8J-2\" null"));

    csv("name,address,mac\nm1,10.7.0.1/24,94-83-C4-00-01-01\nm2,10.7.0.2/24,\n");
    let refused = line.start(&["--assign", "mac"]).ran();
    refused.ends(2).says("units.csv:3:1: error: unit m2 has no mac");
}

#[test]
fn a_record_that_cannot_be_written_stops_the_line() {
    let line = Line::new("line-full", 2);
    let refused = |args: &[&str]| line.start(args).ran();
    refused(&["--record", "no/such"]).ends(2);
    refused(&["--on-done", "./nothing"]).ends(2).says("there is no program: `./nothing`");
    std::fs::write(line.bench.dir().join("text"), "").unwrap();
    refused(&["--on-done", "./text"]).ends(2).says("this is no program: `./text`");
    let unit = Unit::new(fresh(0));
    let child = line.start(&["--record", "/dev/full"]);
    let _plugged = unit.plug(&line.port(1));
    child.ran().ends(5).says("No space left");
}

#[test]
fn a_disk_that_fills_up_stops_the_line_and_the_next_one_goes_on() {
    let line = Line::new("line-fills", 6);
    let units: Vec<Unit> = (0..6).map(|nth| Unit::new(fresh(nth))).collect();
    let ports = line.bench.dir().join("ports/p*").display().to_string();
    // There is room to try the file, and for some records, the last of which is cut short and taken away again.
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$@\"";
    let args = ["line", "batch.toml", "--ports", &ports, "--patience", "8s"];
    let child = line.bench.start_in(&["sh", "-c", script, "line"], &args);
    let plugged: Vec<Plugged> =
        (0..).zip(&units).map(|(nth, unit)| unit.plug(&line.port(nth))).collect();
    let ran = child.ran();
    ran.ends(5).says("cannot write records to batch.records.jsonl: File too large");
    ran.says("FAIL u").says("the record cannot be written");
    let recorded = line.records().iter().filter(|record| is_done(record)).count();
    assert!((1..6).contains(&recorded), "{recorded}");
    drop(plugged);
    let child = line.start(&["--until-done"]);
    let _plugged: Vec<Plugged> =
        (0..).zip(&units).map(|(nth, unit)| unit.plug(&line.port(nth))).collect();
    let ran = child.ran();
    ran.ends(0).says("6 of 6 units done");
    assert!(!ran.out.contains("cut short") && !ran.err.contains("cut short"), "{ran:?}");
    // No router was another unit in between.
    assert!(units.iter().all(|unit| unit.with(|seen| seen.history.len()) == 1));
}

#[test]
fn a_board_that_died_is_replaced_and_comes_back_as_nothing_else() {
    let line = Line::new("line-replace", 2);
    let (dead, other) = (Unit::new(fresh(0)), Unit::new(fresh(1)));
    let plugged = dead.plug(&line.port(1));
    let child = line.start(&[]);
    line.wait_for(|records| records.len() == 1);
    stop(child).ends(0);
    let refused = |name: &str| line.start(&["--replace", name]).ran();
    refused("u9").ends(2).says("--replace: no unit of batch.toml is called `u9`");
    refused("u2").ends(2).says("--replace: u2 has no router yet");

    let child = line.start(&["--replace", "u1", "--replace", "u1"]);
    line.wait_for(|records| records.len() == 2);
    let again = &line.records()[1];
    assert_eq!((&again["unit"], &again["code"]), (&"?".into(), &"replaced".into()));
    assert!(again["message"].as_str().unwrap().contains("was u1 until another one took its place"));
    let _other = other.plug(&line.port(2));
    line.wait_for(|records| records.len() == 3);
    stop(child).ends(0).says("1 of 2 units done");
    let key = public(fresh(1).key.as_ref().unwrap()).to_string();
    let record = &line.records()[2];
    assert_eq!((&record["unit"], &record["router_key"]), (&"u1".into(), &key.clone().into()));
    let list = line.bench.run(&["routers", "--json"]).ends(0).json();
    let list = list["result"]["routers"].as_array().unwrap().clone();
    let named = |name: &str| {
        list.iter().filter(|router| router["name"] == name).cloned().collect::<Vec<_>>()
    };
    assert_eq!((named("u1").len(), &named("u1")[0]["public_key"]), (1, &key.into()));

    // Without the option, both are known for what they are.
    let child = line.start(&[]);
    line.wait_for(|records| records.len() == 5);
    stop(child).ends(0);
    drop(plugged);
    // Without an owner, it is a router like any other.
    let fresh_again = Unit::new(fresh(0));
    let child = line.start(&[]);
    let _plugged = fresh_again.plug(&line.port(1));
    line.wait_for(|records| records.iter().any(|r| r["unit"] == "u2" && is_done(r)));
    stop(child).ends(0).says("2 of 2 units done");
}

/// The outcome of a record alone says nothing of what was pushed.
#[test]
fn a_unit_whose_file_was_changed_is_not_done() {
    let line = Line::new("line-edited", 1);
    let unit = Unit::new(fresh(0));
    let plugged = unit.plug(&line.port(1));
    line.start(&["--until-done"]).ran().ends(0).says("1 of 1 units done");
    drop(plugged);
    line.start(&["--until-done"]).ran().ends(0).says("1 of 1 units done");
    assert_eq!(line.records().len(), 1, "nothing was left to do");
    let site = line.bench.dir().join("site.conf");
    let text = std::fs::read_to_string(&site).unwrap();
    std::fs::write(&site, text.replace("[Interface]\n", "[Interface]\nMTU = 1380\n")).unwrap();
    let child = line.start(&["--until-done"]);
    let _plugged = unit.plug(&line.port(1));
    child.ran().ends(0).says("1 of 1 units done");
    assert_eq!(line.records().len(), 2);
    assert_eq!(unit.with(|seen| seen.history.len()), 2);
}

/// The way of `docs/factory.md` for a unit whose router the manifest names.
#[test]
fn a_unit_whose_key_was_changed_in_the_manifest_has_the_other_router() {
    let line = Line::new("line-key", 0);
    let key = |nth| public(fresh(nth).key.as_ref().unwrap());
    let csv = |key| {
        let text = format!("name,address,key\nu1,10.7.0.1/24,{key}\nu2,10.7.0.2/24,\n");
        std::fs::write(line.bench.dir().join("units.csv"), text).unwrap();
    };
    line.bench.know("u1", &key(0));
    csv(key(1));
    // Another router is not that unit, whatever comes first.
    let units: Vec<Unit> = [2, 1].map(|nth| Unit::new(fresh(nth))).into();
    let child = line.start(&["--until-done"]);
    let mut plugged = vec![units[0].plug(&line.port(1))];
    line.wait_for(|records| records.len() == 1);
    plugged.push(units[1].plug(&line.port(2)));
    child.ran().ends(0).says("2 of 2 units done");
    let told: BTreeSet<(String, String)> = line
        .records()
        .iter()
        .map(|r| (r["unit"].as_str().unwrap().into(), r["router_key"].as_str().unwrap().into()))
        .collect();
    let is = |name: &str, nth| (name.to_owned(), key(nth).to_string());
    assert_eq!(told, BTreeSet::from([is("u1", 1), is("u2", 2)]));
    let list = line.bench.run(&["routers"]).ends(0).out.clone();
    assert!(!list.contains(&key(0).to_string()), "{list}");
}

/// `--replace` gave the unit to a router of the operator, whose list has the name for the former one.
#[test]
fn a_router_of_the_operator_takes_the_place_and_the_name_of_another_one() {
    let line = Line::new("line-replace-ours", 1);
    let ours = |nth| Unit::new(Manners { belongs: Belongs::Us, talks: true, ..fresh(nth) });
    let key = |nth| public(fresh(nth).key.as_ref().unwrap());
    line.bench.know("u1", &key(0));
    line.bench.know("spare", &key(1));
    let child = line.start_with("1s", &["--replace", "u1", "--until-done"]);
    let spare = ours(1);
    let _plugged = spare.plug(&line.port(1));
    child.ran().ends(0).says("1 of 1 units done");
    let list = line.bench.run(&["routers"]).ends(0).out.clone();
    assert!(list.contains("u1\n") && !list.contains("spare"), "{list}");
}

/// A router that refused its claim took the former one out of the operator's list.
#[test]
fn a_replaced_router_keeps_its_name_until_the_other_one_is_claimed() {
    let line = Line::new("line-replace-refused", 1);
    let former = public(fresh(0).key.as_ref().unwrap());
    line.bench.know("u1", &former);
    let full = Failure::new(Code::Full, "");
    let refusing = Unit::new(Manners { fail_owners: Some(full), ..fresh(1) });
    let child = line.start(&["--replace", "u1"]);
    let _plugged = refusing.plug(&line.port(1));
    line.wait_for(|records| records.len() == 1);
    stop(child);
    let list = line.bench.run(&["routers", "--json"]).ends(0).json();
    let list = list["result"]["routers"].as_array().unwrap().clone();
    let named = list.iter().find(|router| router["name"] == "u1").unwrap();
    assert_eq!(named["public_key"], former.to_string());
}

#[test]
fn own_files_that_cannot_be_used_stop_the_line_and_are_told() {
    let line = Line::new("line-own", 2);
    let unit = Unit::new(fresh(0));
    let child = line.start(&["--json"]);
    // The folder of the operator's files is gone when the router comes.
    wait_until(|| line.bench.dir().join("batch.records.jsonl").exists());
    std::fs::remove_dir_all(line.bench.home()).unwrap();
    std::fs::write(line.bench.dir().join("home"), "").unwrap();
    let _plugged = unit.plug(&line.port(1));
    let ran = child.ran();
    let json = ran.ends(2).json();
    assert_eq!(json["result"]["stopped"], "own");
    assert!(json["result"]["reason"].as_str().unwrap().starts_with("cannot "), "{json}");
}

#[test]
fn a_router_that_was_claimed_by_hand_or_whose_list_was_lost_is_the_operators_all_the_same() {
    let line = Line::new("line-by-hand", 2);
    let ours = |nth| Unit::new(Manners { belongs: Belongs::Us, talks: true, ..fresh(nth) });
    let (listed, lost) = (ours(0), ours(1));
    line.bench.know("attic", &public(fresh(0).key.as_ref().unwrap()));
    let child = line.start_with("1s", &[]);
    let _listed = listed.plug(&line.port(1));
    line.wait_for(|records| records.iter().filter(|r| is_done(r)).count() == 1);
    let _lost = lost.plug(&line.port(2));
    line.wait_for(|records| records.iter().filter(|r| is_done(r)).count() == 2);
    stop(child).ends(0).says("2 of 2 units done");
    let list = line.bench.run(&["routers"]).ends(0).out.clone();
    assert!(list.contains("u1\n") && list.contains("u2\n") && !list.contains("attic"), "{list}");
}

#[test]
fn a_router_that_refuses_to_be_claimed_is_no_unit_in_the_records() {
    let line = Line::new("line-refuses", 1);
    let full = Failure::new(Code::Storage, "no space left");
    let refusing = Unit::new(Manners { fail_owners: Some(full), ..fresh(0) });
    let child = line.start(&[]);
    let plugged = refusing.plug(&line.port(1));
    line.wait_for(|records| records.len() == 1);
    stop(child).ends(0);
    let key = public(fresh(0).key.as_ref().unwrap()).to_string();
    let record = &line.records()[0];
    assert_eq!((&record["unit"], &record["outcome"]), (&"?".into(), &"failed".into()));
    assert_eq!(record["router_key"], key);
    assert!(!line.bench.run(&["routers"]).ends(0).out.contains(&key));
    drop(plugged);
    // The unit is free for another router, also in the next run.
    let good = Unit::new(fresh(1));
    let _plugged = good.plug(&line.port(1));
    line.start(&["--until-done"]).ran().ends(0).says("1 of 1 units done");
}

#[test]
fn a_bench_that_loses_power_at_any_moment_goes_on_and_its_records_are_true() {
    for at in [1, 5, 9, 14, 20, 27, 35, 44] {
        let line = Line::new(&format!("line-kill-{at}"), 3);
        let units: Vec<Unit> = (0..3).map(|nth| Unit::new(fresh(nth))).collect();
        let plug = || -> Vec<Plugged> {
            (0..).zip(&units).map(|(nth, unit)| unit.plug(&line.port(nth))).collect()
        };
        let child = line.start(&[]);
        let plugged = plug();
        let requests = || units.iter().map(|unit| unit.with(|seen| seen.requests)).sum::<u32>();
        let is_over = || line.records().len() == 3;
        wait_until(|| requests() >= at || is_over());
        child.kill();
        drop(plugged);
        // What is recorded as done is done.
        let pair = |record: &Value| {
            let text = |field: &str| record[field].as_str().unwrap().to_owned();
            (text("unit"), text("router_key"))
        };
        let before: BTreeSet<_> = line.records().iter().filter(|r| is_done(r)).map(pair).collect();
        for (_, key) in &before {
            let of = |unit: &&Unit| unit.with(|seen| seen.history.len() == 1);
            let key_of = |nth: u8| public(fresh(nth).key.as_ref().unwrap()).to_string();
            let nth = (0..3).find(|nth| key_of(*nth) == *key).unwrap();
            assert!(units.get(usize::from(nth)).filter(of).is_some(), "{key} at {at}");
        }
        let child = line.start(&["--until-done"]);
        let _plugged = plug();
        child.ran().ends(0).says("3 of 3 units done");
        let after: BTreeSet<_> = line.records().iter().filter(|r| is_done(r)).map(pair).collect();
        let names: BTreeSet<&String> = after.iter().map(|pair| &pair.0).collect();
        assert_eq!((after.len(), names.len()), (3, 3), "at {at}: {after:?}");
        assert!(before.is_subset(&after), "at {at}: {before:?} {after:?}");
        // Each router got the configuration of one unit, once.
        assert!(units.iter().all(|unit| unit.with(|seen| seen.history.len()) == 1), "at {at}");
    }
}
