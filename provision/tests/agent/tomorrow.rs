//! Today's tool with a router of a later release: unknown parts are skipped or shown, and never
//! dropped silently.

use super::bench::{Bench, Ran};
use super::fake::{Manners, UNKNOWN_KINDS, Udp};
use super::{PEER, WG0};
use proto_core::protocol::message::{Code, Failure, State, Subject};
use serde_json::Value;

fn later() -> Manners {
    Manners { tomorrow: true, working: 2, ..Manners::default() }
}

#[test]
fn everything_works_with_a_router_that_says_more() {
    let (bench, router) = (Bench::new("tomorrow", WG0), Udp::new(later()));
    let udp = ["--udp", &router.address];
    let run = |args: &[&str]| bench.run(&[args, &udp].concat());
    run(&["diff", "wg0.conf"]).ends(4).says(&format!("+ peer: {PEER}\n"));
    let ran = run(&["push", "wg0.conf"]);
    ran.ends(0).says("2 peers added").says("\nworking (phase 77) 2 items\n");
    run(&["push", "wg0.conf"]).ends(0).says("nothing changed");
    run(&["show"]).ends(0).says(&format!("peer: {PEER}\n"));
    run(&["status"]).ends(0).says("the kernel matches");
    run(&["history"]).ends(0).says("wg0 number 1: made by act number 9, ");
    run(&["owner", "list"]).ends(0).says("us@bench");
    assert_eq!(router.with(|seen| seen.commits), 2);
}

/// What the tool says to a router of tomorrow, and to the same router of today.
fn both(name: &str, args: &[&str], before: impl Fn(&Bench, &Udp)) -> [Ran; 2] {
    [Manners::default(), later()].map(|manners| {
        let (bench, router) = (Bench::new(name, WG0), Udp::new(manners));
        before(&bench, &router);
        bench.run(&[args, &["--udp", &router.address]].concat())
    })
}

fn push(bench: &Bench, router: &Udp) {
    bench.run(&["push", "wg0.conf", "--udp", &router.address]).ends(0);
}

/// Pushes a file, and writes another one that changes something of each kind.
fn push_and_edit(bench: &Bench, router: &Udp) {
    push(bench, router);
    let file = WG0.replace("1400", "1380").replace("10.0.0.1/24, ", "").replace("51821", "7");
    std::fs::write(bench.dir().join("wg0.conf"), file).unwrap();
}

/// The lines of tomorrow's text without those that only it has.
fn without(text: &str, more: &[String]) -> String {
    let lines = text.split_inclusive('\n');
    lines.filter(|line| !more.iter().any(|more| more == line.trim_end())).collect()
}

#[test]
fn records_of_unknown_kinds_are_shown_and_the_others_are_as_ever() {
    let unknown = UNKNOWN_KINDS.map(|kind| {
        format!("  unknown: a record of kind {kind}, unknown to this version of postwire")
    });
    let [today, tomorrow] = both("tomorrow-show", &["show"], push);
    for line in &unknown {
        tomorrow.ends(0).says(line);
    }
    assert_eq!(without(&tomorrow.out, &unknown), today.out);
    let [today, tomorrow] = both("tomorrow-show-json", &["show", "--json"], push);
    let mut json = tomorrow.ends(0).json();
    let wg0 = json["result"]["interfaces"][0].as_object_mut().unwrap();
    assert_eq!(wg0.remove("unknown_records"), Some(serde_json::json!(UNKNOWN_KINDS)));
    assert_eq!(json, today.json());
}

#[test]
fn changes_of_unknown_kinds_are_shown_and_the_others_are_as_ever() {
    let unknown = UNKNOWN_KINDS.map(|kind| {
        format!("? a change of kind {kind}, which this version of postwire does not know")
    });
    let diff = ["diff", "wg0.conf"];
    let status = ["status", "--changes"];
    for (name, [today, tomorrow]) in [
        ("diff", both("tomorrow-diff", &diff, push_and_edit)),
        ("first", both("tomorrow-first", &diff, |_, _| ())),
        ("status", both("tomorrow-status", &status, drift)),
    ] {
        for line in &unknown {
            let count = tomorrow.ends(4).out.lines().filter(|said| said == line).count();
            assert_eq!(count, 2, "{name}: {tomorrow:#?}");
        }
        let act = "made by act number 9, which this version of postwire does not know,";
        let rest = without(&tomorrow.out, &unknown).replace(act, "pushed");
        assert_eq!(rest, today.ends(4).out, "{name}");
    }
    for (args, before, changes) in [
        (&diff, push_and_edit as fn(&Bench, &Udp), "/result/changes"),
        (&status, drift as fn(&Bench, &Udp), "/result/stored/0/changes"),
    ] {
        let [mut today, mut tomorrow] =
            both("tomorrow-json", &[&args[..], &["--json"]].concat(), before).map(|ran| ran.json());
        let list = tomorrow.pointer_mut(changes).unwrap().as_array_mut().unwrap();
        let is_unknown = |change: &Value| change["change"] == "unknown";
        let kinds: Vec<Value> = list
            .iter()
            .filter(|change| is_unknown(change))
            .map(|one| one["kind"].clone())
            .collect();
        assert_eq!(kinds, [99, 200, 99, 200], "{changes}");
        list.retain(|change| !is_unknown(change));
        for json in [&mut today, &mut tomorrow] {
            // The act is another test's.
            json.pointer_mut("/result/stored/0/act").map(Value::take);
        }
        assert_eq!(tomorrow, today);
    }
}

#[test]
fn an_unknown_act_in_the_history_has_its_number() {
    let [today, tomorrow] = both("tomorrow-act", &["history", "wg0"], push_and_push);
    let act = "made by act number 9, which this version of postwire does not know,";
    let newest = format!("wg0 number 2: {act} by us@bench on ");
    tomorrow.ends(0).says(&newest).says("wg0 number 1: pushed by us@bench on ");
    assert_eq!(tomorrow.out.replace(act, "pushed"), today.out);
    let [today, tomorrow] = both("tomorrow-act-json", &["history", "wg0", "--json"], push_and_push);
    let (mut today, tomorrow) = (today.json(), tomorrow.json());
    assert_eq!(tomorrow["result"]["configurations"][0]["act"], "act_9");
    today["result"]["configurations"][0]["act"] = "act_9".into();
    assert_eq!(tomorrow, today);
    // It is a configuration like any other.
    let [_, tomorrow] = both("tomorrow-act-back", &["rollback", "wg0"], push_and_push);
    tomorrow.ends(0).says("stored as number 3");
    let [_, tomorrow] = both("tomorrow-act-status", &["status"], push_and_push);
    tomorrow.ends(0).says(&format!("wg0 number 2, {act} by us@bench on "));
}

/// Pushes a file, and removes most of it from the kernel.
fn drift(bench: &Bench, router: &Udp) {
    push(bench, router);
    router.by_hand(|seen| seen.running.truncate(2));
}

fn push_and_push(bench: &Bench, router: &Udp) {
    push_and_edit(bench, router);
    push(bench, router);
}

#[test]
fn an_owner_with_an_unknown_role_is_listed_with_its_number_and_can_be_removed() {
    let (bench, router) = (Bench::new("tomorrow-role", WG0), Udp::new(later()));
    let run = |args: &[&str]| bench.run(&[args, &["--udp", &router.address]].concat());
    let role = "tomorrow@bench\n  role: role_7, which this version of postwire does not know\n";
    run(&["owners"]).ends(0).says(role).says("us@bench (you)\n  role: admin\n");
    let json = run(&["owner", "list", "--json"]).ends(0).json();
    let owners = json["result"]["owners"].as_array().unwrap();
    let roles: Vec<&Value> = owners.iter().map(|owner| &owner["role"]).collect();
    assert_eq!(roles, ["admin", "role_7"]);
    run(&["owner", "remove", "tomorrow@bench"]).ends(0).says("; 1 left");
    assert_eq!(router.with(|seen| seen.owners.len()), 1);
}

#[test]
fn a_failure_of_a_kind_that_is_not_known_is_shown_with_its_words() {
    let failure = Failure {
        state: State::Unknown(9),
        ..Failure::new(Code::Unknown(200), "the moon is full").about(Subject::Unknown(99))
    };
    let router = Udp::new(Manners { fail_commit: Some(failure), ..later() });
    let bench = Bench::new("unknown", WG0);
    let push = ["push", "wg0.conf", "--udp", &router.address];
    let ran = bench.run(&push);
    assert!(ran.err.contains("subject number 99: the moon is full (state 9)"), "{}", ran.err);
    assert!(ran.err.contains("newer than this postwire: update postwire"), "{}", ran.err);
    let json = bench.run(&[&push[..], &["--json"]].concat()).json();
    assert_eq!(json["error"]["code"], "code_200");
    assert_eq!(json["error"]["state"], "unknown");
}

#[test]
fn an_answer_that_is_not_known_ends_the_command_at_once_and_says_why() {
    let router = Udp::new(Manners { strange: true, ..Manners::default() });
    let bench = Bench::new("strange", WG0);
    let started = std::time::Instant::now();
    let ran = bench.run(&["push", "wg0.conf", "--udp", &router.address, "--timeout", "30s"]);
    assert!(ran.err.contains("is newer than this postwire"), "{}", ran.err);
    // Not after the timeout, as for a silent router.
    assert!(started.elapsed().as_secs() < 25);
}
