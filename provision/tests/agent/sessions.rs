//! Sessions from the command line: finding the router, and a router that restarts.

use std::time::{Duration, Instant};

use proto_core::key::SecretKey;

use crate::bench::Bench;
use crate::fake::{Belongs, Manners, OPERATOR, Pty, ROUTER, Udp, public};
use crate::{WG0, many_peers};

#[test]
fn a_router_that_restarts_is_found_again() {
    let conf = many_peers(300);
    // In the greeting, in the upload, and at the commit.
    for at in [2, 5, 12] {
        let bench = Bench::new("restart", &conf);
        let router = Udp::new(Manners { restart_at: Some(at), ..Manners::default() });
        let started = Instant::now();
        bench.run(&["push", "wg0.conf", "--udp", &router.address]).ends(0).says("300 peers added");
        assert!(started.elapsed() < Duration::from_secs(9), "{:?}", started.elapsed());
        assert_eq!(router.with(|seen| seen.commits), 1);
        assert!(router.with(|seen| seen.sessions) >= 2);
    }
    let bench = Bench::new("restart-line", &conf);
    let router = Pty::new(Manners { restart_at: Some(9), ..Manners::default() });
    bench.run(&["push", "wg0.conf", "--serial", &router.device]).ends(0).says("300 peers added");
    assert_eq!(router.with(|seen| seen.commits), 1);
}

/// Adds `count` absent routers to the operator's list, and then the real one.
fn crowd(bench: &Bench, count: u8) {
    for n in 1..=count {
        bench.know(&format!("r{n}"), &public(&SecretKey::new([n; 32])));
    }
    bench.know("last", &public(&ROUTER));
}

#[test]
fn the_right_one_of_many_is_found_and_comes_first_the_next_time() {
    let bench = Bench::bare("crowd");
    bench.write_key(&OPERATOR);
    crowd(&bench, 30);
    let router = Udp::new(Manners::default());
    let status = ["status", "--udp", &router.address];
    bench.run(&status).ends(0).says("known as       last\n");
    // One initiation each, a hello, a status and what is stored. Some packets were resent, more on
    // a slow machine.
    let tried = router.with(|seen| seen.packets);
    assert!(tried >= 34, "{tried}");
    bench.run(&status).ends(0).says("known as       last\n");
    let again = router.with(|seen| seen.packets) - tried;
    assert!((4..30).contains(&again), "{again}: others were tried before it");
    // Also at a new address: the router that was heard last is the most likely.
    let line = Pty::new(Manners::default());
    bench.run(&["status", "--serial", &line.device]).ends(0);
    let first = line.with(|seen| seen.packets);
    assert!((4..30).contains(&first), "{first}: others were tried before it");
}

#[test]
fn a_router_is_found_among_all_that_are_known() {
    let bench = Bench::bare("crowd-40");
    bench.write_key(&OPERATOR);
    crowd(&bench, 40);
    let router = Udp::new(Manners::default());
    let run = |more: &[&str]| bench.run(&[&["status", "--udp", &router.address], more].concat());
    run(&["--timeout", "20s"]).ends(0).says("known as       last\n");
    run(&["--router", "last"]).ends(0).says("known as       last\n");
    run(&[]).ends(0);
    let ran = run(&["--router", "r7", "--timeout", "500ms"]);
    ran.ends(3).says("no answer from r7 on ");
    run(&["--router", "r99"]).ends(2).says("no router called r99 is known").says("hint: ");
}

#[test]
fn a_key_alone_is_enough_and_is_remembered() {
    let bench = Bench::bare("by-key");
    bench.write_key(&OPERATOR);
    let router = Udp::new(Manners::default());
    let status = ["status", "--udp", router.address.as_str()];
    let ran = bench.run(&status);
    ran.ends(2).says("no router is known yet").says("postwire claim --serial").says("--router KEY");
    assert_eq!(router.with(|seen| seen.packets), 0);
    let key = public(&ROUTER).to_string();
    bench
        .run(&[&status[..], &["--router", &key]].concat())
        .ends(0)
        .says("known as       OpenWrt\n");
    bench.run(&status).ends(0);
    let none = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let ran = bench.run(&[&status[..], &["--router", none]].concat());
    ran.ends(3).says("is not a valid public key").says("postwired identity");
}

#[test]
fn a_router_of_others_is_silent_and_the_hint_says_whom_to_ask() {
    let manners = Manners { belongs: Belongs::Others, ..Manners::default() };
    let (bench, router) = (Bench::new("others", WG0), Udp::new(manners.clone()));
    let ran = bench.run(&["push", "wg0.conf", "--udp", &router.address, "--timeout", "700ms"]);
    ran.ends(3).says("no answer from router on ").says("running configuration is unchanged");
    ran.says(&format!("`postwire owner add {} ", public(&OPERATOR)))
        .says("does not answer over UDP");
    assert_eq!(router.with(|seen| (seen.sessions, seen.requests)), (0, 0));
    let router = Pty::new(manners);
    let args = ["status", "--serial", &router.device, "--timeout", "700ms"];
    bench.run(&args).ends(3).says("no answer from router on ").says("`postwire owner add ");
    assert_eq!(router.with(|seen| seen.sessions), 0);
}

#[test]
fn two_runs_at_once_both_get_in() {
    let (bench, router) = (Bench::new("two", WG0), Udp::new(Manners::default()));
    let args = ["status", "--udp", &router.address];
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| bench.run(&args))).collect();
        for run in runs {
            run.join().unwrap().ends(0);
        }
    });
}

/// The same key on a second machine, whose clock is behind or was never set.
#[test]
fn a_clock_that_is_behind_costs_a_line_and_not_the_router() {
    let router = Udp::new(Manners::default());
    let status = ["status", "--udp", &router.address];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let ahead = u64::try_from(now.as_millis()).unwrap() + 3_600_000;
    let first = Bench::new("clock-ahead", WG0);
    std::fs::write(first.home().join("stamp"), format!("{ahead}\n")).unwrap();
    first.run(&status).ends(0);
    let second = Bench::new("clock-behind", WG0);
    let ran = second.run(&status);
    ran.ends(0);
    let told = "behind the last session with your key";
    assert!(ran.err.contains(told) && ran.err.contains("minutes"), "{}", ran.err);
    let ran = second.run(&status);
    ran.ends(0);
    assert!(!ran.err.contains(told), "only once: {}", ran.err);
    for absurd in ["18446744073709551615", "9223372036854775807"] {
        std::fs::write(second.home().join("stamp"), absurd).unwrap();
        second.run(&status).ends(0);
    }
}
