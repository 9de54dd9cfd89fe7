//! Today's tool with a router of a later release: unknown parts are skipped or shown, and never
//! dropped silently.

use super::bench::Bench;
use super::fake::{Manners, Udp};
use super::{PEER, WG0};
use proto_core::protocol::message::{Code, Failure, State, Subject};

fn later() -> Manners {
    Manners { tomorrow: true, working: 2, ..Manners::default() }
}

#[test]
fn everything_works_with_a_router_that_says_more() {
    let (bench, router) = (Bench::new("tomorrow", WG0), Udp::new(later()));
    let udp = ["--udp", &router.address];
    let run = |args: &[&str]| bench.run(&[args, &udp].concat());
    run(&["diff", "wg0.conf"]).ends(4).says(&format!("+ peer: {PEER}\n"));
    run(&["push", "wg0.conf"]).ends(0).says("2 peers added");
    run(&["push", "wg0.conf"]).ends(0).says("nothing changed");
    run(&["show"]).ends(0).says(&format!("peer: {PEER}\n"));
    run(&["status"]).ends(0).says("the kernel matches");
    run(&["history"]).ends(0).says("wg0 number 1: pushed by us@bench");
    run(&["owner", "list"]).ends(0).says("us@bench");
    assert_eq!(router.with(|seen| seen.commits), 2);
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
    assert!(ran.err.contains("subject number 99: the moon is full"), "{}", ran.err);
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
