//! Changes that must be confirmed: the router is reached again, or not, or too late.

use std::time::{Duration, Instant};

use proto_core::protocol::config::Record;

use crate::bench::{Bench, Ran};
use crate::fake::{Belongs, Manners, Pty, Udp};
use crate::{PUBLIC, WG0};

/// A file like `WG0` with another MTU.
fn other() -> String {
    WG0.replace("1400", "1380")
}

/// A bench whose router runs and stores `WG0`, and then behaves as set; after that the file is
/// changed.
fn bench(name: &str, manners: Manners) -> (Bench, Udp) {
    let (bench, router) = (Bench::new(name, WG0), Udp::new(manners));
    bench.run(&["push", "wg0.conf", "--udp", &router.address]).ends(0).says("stored as number 1\n");
    std::fs::write(bench.dir().join("wg0.conf"), other()).unwrap();
    (bench, router)
}

fn push(bench: &Bench, router: &Udp, more: &[&str]) -> Ran {
    push_patiently(bench, router, "1s", more)
}

fn push_patiently(bench: &Bench, router: &Udp, timeout: &str, more: &[&str]) -> Ran {
    let push = ["push", "wg0.conf", "--udp", router.address.as_str(), "--timeout", timeout];
    bench.run(&[&push[..], more].concat())
}

fn mtu(router: &Udp) -> u32 {
    router.with(|seen| match seen.running.first() {
        Some(Record::Interface(interface)) => interface.mtu,
        other => panic!("{other:?}"),
    })
}

/// The stored numbers.
fn numbers(router: &Udp) -> Vec<u32> {
    router.with(|seen| seen.history.iter().map(|(head, _)| head.number).collect())
}

fn away(away: Duration, loses_applied: bool) -> Manners {
    Manners { away: Some(away), loses_applied, ..Manners::default() }
}

const FOR_EVER: Duration = Duration::from_secs(3_600);

#[test]
fn a_router_that_is_reached_again_is_told_to_stay() {
    let (bench, router) = bench("confirm", Manners::default());
    let sessions = router.with(|seen| seen.sessions);
    let ran = push(&bench, &router, &["--confirm-within", "60s"]);
    let expected = format!(
        "applied to wg0 on OpenWrt: MTU changed; no peer changed; public key \
         {PUBLIC}; port 51820\n\
         OpenWrt was reached again through a new session, and the change is confirmed: stored as \
         number 2\n"
    );
    assert_eq!(ran.ends(0).out, expected);
    assert_eq!((mtu(&router), numbers(&router)), (1_380, vec![1, 2]));
    assert_eq!(router.with(|seen| seen.sessions), sessions + 2, "the push's, and a fresh one");
    // Pushing the same again needs no confirmation.
    let ran = push(&bench, &router, &["--confirm-within", "60s"]);
    assert_eq!(
        ran.ends(0).out,
        "wg0 already runs this configuration: nothing changed\nalready stored as number 2\n"
    );
    let json = push(&bench, &router, &["--confirm-within", "5m", "--json"]).ends(0).json();
    let result = &json["result"];
    assert_eq!((&result["number"], &result["stored"]), (&2.into(), &false.into()));
    assert_eq!((&result["confirmed"], &result["confirm_within"]), (&false.into(), &0.into()));
    std::fs::write(bench.dir().join("wg0.conf"), WG0).unwrap();
    let json = push(&bench, &router, &["--confirm-within", "5m", "--json"]).ends(0).json();
    let result = &json["result"];
    assert_eq!((&result["number"], &result["stored"]), (&3.into(), &true.into()));
    assert_eq!((&result["confirmed"], &result["confirm_within"]), (&true.into(), &0.into()));
}

#[test]
fn it_works_over_a_serial_line() {
    let (bench, router) = (Bench::new("confirm-line", WG0), Pty::new(Manners::default()));
    let to = ["--serial", router.device.as_str()];
    let ran = bench.run(&["push", "wg0.conf", "--confirm-within", "20", to[0], to[1]]);
    ran.ends(0).says("the change is confirmed: stored as number 1\n");
    assert_eq!(router.with(|seen| seen.history.len()), 1);
}

#[test]
fn a_router_that_is_away_for_a_while_is_confirmed_when_it_is_back() {
    for loses_applied in [false, true] {
        let manners = away(Duration::from_secs(4), loses_applied);
        let (bench, router) = bench("confirm-away", manners);
        let ran = push(&bench, &router, &["--confirm-within", "30s"]);
        ran.ends(0).says("OpenWrt has not answered since the change. Unless it is reached, it reverts the change at");
        ran.says("the change is confirmed: stored as number 2\n");
        assert_eq!((mtu(&router), numbers(&router)), (1_380, vec![1, 2]));
        assert_eq!(
            ran.out.contains("the router's answer to it was lost"),
            loses_applied,
            "{ran:?}"
        );
        assert_eq!(router.with(|seen| seen.commits), 2, "it is not pushed again");
    }
}

#[test]
fn patience_with_a_silent_router_ends_while_there_is_time_to_confirm() {
    let (bench, router) = bench("confirm-half", away(Duration::from_secs(4), true));
    let ran = push_patiently(&bench, &router, "20s", &["--confirm-within", "8s"]);
    ran.ends(0).says("the change is confirmed: stored as number 2\n");
}

#[test]
fn a_lost_answer_to_the_confirmation_is_made_out_from_the_history() {
    let manners = Manners { loses_confirmed: true, ..Manners::default() };
    let (bench, router) = bench("confirm-lost", manners);
    push(&bench, &router, &["--confirm-within", "30s"])
        .ends(0)
        .says("the change is confirmed: stored as number 2\n");
    assert_eq!(numbers(&router), [1, 2]);
}

#[test]
fn a_router_that_is_reached_too_late_has_gone_back() {
    for loses_applied in [false, true] {
        let manners = away(Duration::from_millis(4_500), loses_applied);
        let (bench, router) = bench("confirm-late", manners);
        let started = Instant::now();
        let ran = push_patiently(&bench, &router, "3s", &["--confirm-within", "3s"]);
        let start = "OpenWrt has reverted to its previous configuration: wg0 is number 1 again, pushed by \
                     us@bench on 2023-11-14 22:13:20 +00:00; the change of wg0 was not confirmed in time";
        let end = if loses_applied { ", if it arrived at all\n" } else { "\n" };
        ran.ends(1).says(&format!("error: {start}{end}"));
        assert_eq!((mtu(&router), numbers(&router)), (1_400, vec![1]));
        assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    }
    let (bench, router) = bench("confirm-late-json", away(Duration::from_millis(3_500), false));
    let ran = push_patiently(&bench, &router, "3s", &["--confirm-within", "2s", "--json"]);
    let error = &ran.ends(1).json()["error"];
    assert_eq!((&error["kind"], &error["state"]), (&"router".into(), &"taken_back".into()));
    assert_eq!(ran.err, "");
    drop(router);
}

/// What is stored already keeps its number through a revert: the number alone does not say that a change was confirmed.
#[test]
fn a_change_to_what_is_stored_already_that_was_reverted_is_not_called_confirmed() {
    for change in [["repair", "wg0"], ["push", "wg0.conf"]] {
        let (bench, router) =
            (Bench::new("confirm-drift", WG0), Udp::new(away(Duration::from_millis(3_500), false)));
        let to = ["--udp", router.address.as_str()];
        bench.run(&["push", "wg0.conf", to[0], to[1]]).ends(0).says("stored as number 1\n");
        router.by_hand(|seen| seen.running.truncate(1));
        let within = ["--timeout", "3s", "--confirm-within", "2s", "--json"];
        let ran = bench.run(&[&change[..], &to, &within].concat());
        let error = &ran.ends(1).json()["error"];
        assert_eq!((&error["code"], &error["state"]), (&"reverted".into(), &"taken_back".into()));
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("wg0 differs again from number 1, which is stored"), "{message}");
        assert_eq!(router.with(|seen| seen.running.len()), 1);
    }
}

#[test]
fn a_lost_answer_to_the_confirmation_of_any_change_is_made_out_from_what_runs() {
    let manners = || Manners { loses_confirmed: true, ..Manners::default() };
    for change in [&["repair", "wg0"][..], &["push", "wg0.conf"], &["remove", "wg0"]] {
        let (bench, router) = (Bench::new("confirm-lost-any", WG0), Udp::new(manners()));
        let to = ["--udp", router.address.as_str()];
        bench.run(&["push", "wg0.conf", to[0], to[1]]).ends(0).says("stored as number 1\n");
        router.by_hand(|seen| seen.running.truncate(1));
        let within = ["--timeout", "1s", "--confirm-within", "30s"];
        bench.run(&[change, &to, &within].concat()).ends(0);
        assert!(router.with(|seen| seen.waiting.is_none()));
    }
}

#[test]
fn the_number_of_a_reverted_change_may_be_that_of_another_one() {
    let (bench, router) = bench("confirm-number", away(Duration::from_millis(3_500), false));
    std::thread::scope(|scope| {
        let ran =
            scope.spawn(|| push_patiently(&bench, &router, "3s", &["--confirm-within", "2s"]));
        while router.with(|seen| seen.waiting.is_none()) {
            std::thread::sleep(Duration::from_millis(20));
        }
        // It is reverted, and another owner's change is stored before the tool is back.
        router.by_hand(|seen| {
            seen.waiting = None;
            let (mut head, records) = seen.history[0].clone();
            (head.number, head.digest) = (2, [1; 32]);
            seen.running.clone_from(&records);
            seen.history.push((head, records));
        });
        ran.join().unwrap().ends(1).says("wg0 is number 2 now, ");
    });
}

#[test]
fn a_router_that_stays_away_is_code_3() {
    for loses_applied in [false, true] {
        let (bench, router) = bench("confirm-gone", away(FOR_EVER, loses_applied));
        let started = Instant::now();
        let ran = push(&bench, &router, &["--confirm-within", "2s"]);
        ran.ends(3).says("OpenWrt was not reached again after the change.").says("hint: ");
        assert!(started.elapsed() < Duration::from_secs(9));
    }
    let (bench, router) = bench("confirm-gone-json", away(FOR_EVER, false));
    let ran = push(&bench, &router, &["--confirm-within", "1s", "--json"]);
    assert_eq!(ran.ends(3).json()["error"]["state"], "unconfirmed");
    drop(router);
}

#[test]
fn a_change_that_was_not_needed_is_not_reverted_if_its_answer_is_lost() {
    let manners = Manners { loses_unchanged: true, ..away(Duration::from_secs(4), false) };
    let (bench, router) = (Bench::new("confirm-unchanged", WG0), Udp::new(manners));
    push(&bench, &router, &[]).ends(0).says("stored as number 1\n");
    let ran = push(&bench, &router, &["--confirm-within", "30s"]);
    ran.ends(0).says("the router's answer to it was lost\n");
    ran.says("was reached again through a new session, and runs this configuration: stored as number 1\n");
    assert_eq!(numbers(&router), [1]);
}

/// Its absence is stored at once, whether it should be confirmed or not.
#[test]
fn a_removal_beside_another_programs_link_is_kept_and_gives_no_advice_that_fails() {
    for (loses_applied, within) in [
        (false, &[][..]),
        (false, &["--confirm-within", "30s"]),
        (true, &["--confirm-within", "30s"]),
    ] {
        let manners = Manners { foreign: true, loses_applied, ..Manners::default() };
        let (bench, router) = (Bench::new("remove-beside", WG0), Udp::new(manners));
        let to = ["--udp", router.address.as_str(), "--timeout", "700ms"];
        bench.run(&["push", "wg0.conf", to[0], to[1]]).ends(0);
        let ran = bench.run(&[&["remove", "wg0"], &to[..], within].concat());
        ran.ends(0).says("; the link of that name is another program's, and was left alone");
        ran.says("the router no longer stores a configuration of wg0\n");
        assert!(!ran.out.contains("rollback"), "{ran:?}");
        assert_eq!(
            ran.out.contains("the router's answer to it was lost"),
            loses_applied,
            "{ran:?}"
        );
        assert_eq!(
            (numbers(&router), router.with(|seen| seen.running.len() > 1)),
            (vec![1, 2], true)
        );
    }
    let (bench, router) =
        (Bench::new("remove-json", WG0), Udp::new(Manners { foreign: true, ..Manners::default() }));
    let to = ["--udp", router.address.as_str()];
    bench.run(&["push", "wg0.conf", to[0], to[1]]).ends(0);
    let json = bench.run(&["remove", "wg0", to[0], to[1], "--json"]).ends(0).json();
    let result = &json["result"];
    assert_eq!((&result["changed"], &result["stored"]), (&false.into(), &true.into()));
}

/// There is no number 0, and nothing to roll back to.
#[test]
fn a_confirmed_removal_of_what_was_never_stored_has_no_number() {
    for loses_confirmed in [false, true] {
        let manners = Manners { loses_confirmed, ..Manners::default() };
        let (bench, router) = (Bench::new("remove-unstored", WG0), Udp::new(manners));
        let to = ["--udp", router.address.as_str(), "--timeout", "1s"];
        bench.run(&["push", "wg0.conf", to[0], to[1]]).ends(0);
        router.by_hand(|seen| seen.history.clear());
        let ran = bench.run(&["remove", "wg0", to[0], to[1], "--confirm-within", "30s"]);
        ran.ends(0).says("the router stored no configuration of it\n");
        assert!(!ran.out.contains("number 0") && !ran.out.contains("rollback"), "{ran:?}");
        assert_eq!(numbers(&router), [0; 0]);
    }
}

/// Two owners may have one name.
#[test]
fn the_change_of_somebody_else_is_not_confirmed() {
    for author in ["other@bench", "us@bench"] {
        let (bench, router) = bench("confirm-theirs", away(Duration::from_secs(3), true));
        std::thread::scope(|scope| {
            let ran = scope.spawn(|| push(&bench, &router, &["--confirm-within", "30s"]));
            // Meanwhile the change was reverted, and another owner made one.
            while router.with(|seen| seen.waiting.is_none()) {
                std::thread::sleep(Duration::from_millis(20));
            }
            router.by_hand(|seen| seen.waiting.as_mut().unwrap().made_by(author));
            let ran = ran.join().unwrap();
            ran.ends(1)
                .says("OpenWrt no longer has the change of wg0, if the change ever arrived: ");
            ran.says(&format!("a change of wg0 by {author} is pending there\n"));
        });
        assert_eq!(numbers(&router), [1]);
        assert!(router.with(|seen| seen.waiting.is_some()));
    }
}

#[test]
fn by_hand_it_waits_for_the_person() {
    let (bench, router) = bench("by-hand", Manners::default());
    let to = ["--udp", router.address.as_str()];
    let ran = push(&bench, &router, &["--confirm-within", "60", "--confirm-by-hand"]);
    let lines: Vec<&str> = ran.ends(0).out.lines().collect();
    assert!(lines[1].starts_with("not confirmed yet: OpenWrt reverts the change at "), "{lines:?}");
    assert!(lines[1].ends_with(", in 60 s, unless you run"), "{lines:?}");
    let typed = format!("postwire confirm --udp {}", router.address);
    assert_eq!(lines[2].trim(), typed);
    assert_eq!(numbers(&router), [1]);

    let ran = bench.run(&["status", to[0], to[1]]);
    ran.ends(0).says("pending        wg0 number 2, by us@bench: ").says(" s unless confirmed");
    ran.says("the kernel has the pending change\n");
    let pending = bench.run(&["status", to[0], to[1], "--json"]).ends(0).json();
    assert_eq!(pending["result"]["pending"]["number"], 2);

    // No other change gets in between.
    let wait = "us@bench's change of wg0 waits to be confirmed for another ";
    push(&bench, &router, &[]).ends(1).says(wait).says("`postwire revert`");
    bench.run(&["repair", "wg0", to[0], to[1]]).ends(1).says(wait);
    bench.run(&["remove", "wg0", to[0], to[1]]).ends(1).says(wait);
    let json = bench.run(&["rollback", "wg0", to[0], to[1], "--json"]).ends(1).json();
    assert_eq!(json["error"]["code"], "busy");

    // The printed command works as typed.
    let typed: Vec<&str> = typed.split(' ').skip(1).collect();
    let ran = bench.run(&typed);
    assert_eq!(ran.ends(0).out, "confirmed: wg0 on OpenWrt keeps the change, stored as number 2\n");
    assert_eq!(numbers(&router), [1, 2]);
    bench.run(&typed).ends(1).says("no change is pending").says("postwire history");
}

#[test]
fn a_change_can_be_taken_back_at_once() {
    let (bench, router) = bench("revert", Manners::default());
    let to = ["--udp", router.address.as_str()];
    push(&bench, &router, &["--confirm-within", "60", "--confirm-by-hand"]).ends(0);
    assert_eq!(mtu(&router), 1_380);
    let ran = bench.run(&["revert", to[0], to[1]]);
    assert_eq!(ran.ends(0).out, "reverted: wg0 on OpenWrt is as it was before the change\n");
    assert_eq!((mtu(&router), numbers(&router)), (1_400, vec![1]));
    let json = bench.run(&["revert", to[0], to[1], "--json"]).ends(1).json();
    assert_eq!(json["error"]["code"], "not_pending");
}

#[test]
fn by_hand_a_lost_answer_is_told_with_what_to_type() {
    let (bench, router) = bench("by-hand-lost", away(FOR_EVER, true));
    let ran = push(&bench, &router, &["--confirm-within", "60", "--confirm-by-hand"]);
    ran.ends(3).says("If the router made the change, it reverts the change by ");
    ran.says(&format!("postwire confirm --udp {}", router.address));
}

#[test]
fn who_may_only_look_confirms_nothing() {
    let manners = Manners { belongs: Belongs::OthersAndWeLook, ..Manners::default() };
    let (bench, router) = (Bench::new("confirm-look", WG0), Udp::new(manners));
    let to = ["--udp", router.address.as_str()];
    for command in ["confirm", "revert"] {
        bench.run(&[command, to[0], to[1]]).ends(1).says("your role on this router");
    }
    bench.run(&["repair", "wg0", to[0], to[1]]).ends(1).says("your role on this router");
    bench.run(&["rollback", "wg0", to[0], to[1]]).ends(1).says("your role on this router");
    bench.run(&["history", to[0], to[1]]).ends(0).says("OpenWrt stores no configuration\n");
    bench.run(&["status", to[0], to[1]]).ends(0).says("stored         (none)\n");
}

#[test]
fn the_time_has_bounds_and_by_hand_needs_one() {
    let bench = Bench::new("confirm-usage", WG0);
    let push = |more: &[&str]| {
        bench.run(&[&["push", "wg0.conf", "--udp", "127.0.0.1:9"][..], more].concat())
    };
    for bad in ["0", "500ms", "2h", "soon"] {
        push(&["--confirm-within", bad]).ends(2).says("--confirm-within");
    }
    push(&["--confirm-by-hand"]).ends(2).says("--confirm-within <TIME>");
}

#[test]
fn a_removal_and_a_repair_can_wait_to_be_confirmed() {
    let (bench, router) = (Bench::new("confirm-more", WG0), Udp::new(Manners::default()));
    let to = ["--udp", router.address.as_str()];
    let run = |args: &[&str]| bench.run(&[args, &to[..]].concat());
    run(&["push", "wg0.conf"]).ends(0);
    router.by_hand(|seen| seen.running.truncate(1));
    run(&["repair", "wg0", "--confirm-within", "60s"]).ends(0).says("the change is confirmed");
    run(&["remove", "wg0", "--confirm-within", "60s"])
        .ends(0)
        .says("restores the stored configuration");
    assert!(router.with(|seen| seen.waiting.is_none() && seen.running.is_empty()));
    // Left to the user.
    run(&["rollback", "wg0"]).ends(0);
    let by_hand = ["--confirm-within", "60s", "--confirm-by-hand"];
    run(&[&["remove", "wg0"], &by_hand[..]].concat()).ends(0).says("not confirmed yet");
    assert!(router.with(|seen| seen.waiting.is_some()));
    run(&["confirm"]).ends(0);
    assert!(router.with(|seen| seen.waiting.is_none() && seen.running.is_empty()));
}
