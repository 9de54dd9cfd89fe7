//! What is stored: history, rollback, drift and repair, and host names.

use proto_core::protocol::config::Record;

use crate::bench::Bench;
use crate::fake::{Belongs, Manners, Pty, Udp};
use crate::{PEER, WG0};

/// Pushes files with these MTUs, one after another.
fn push_all(bench: &Bench, router: &Udp, mtus: &[u32]) {
    for mtu in mtus {
        let conf = WG0.replace("1400", &mtu.to_string());
        std::fs::write(bench.dir().join("wg0.conf"), conf).unwrap();
        bench.run(&["push", "wg0.conf", "--udp", &router.address]).ends(0);
    }
}

/// Changes the MTU of the running configuration.
fn set_mtu(router: &Udp, mtu: u32) {
    router.by_hand(|seen| match seen.running.first_mut() {
        Some(Record::Interface(interface)) => interface.mtu = mtu,
        other => panic!("{other:?}"),
    });
}

fn mtu(router: &Udp) -> Option<u32> {
    router.with(|seen| match seen.running.first() {
        Some(Record::Interface(interface)) => Some(interface.mtu),
        _ => None,
    })
}

#[test]
fn the_history_says_who_did_what_and_any_of_it_runs_again() {
    let (bench, router) = (Bench::new("history", WG0), Udp::new(Manners::default()));
    let to = ["--udp", router.address.as_str()];
    let run = |args: &[&str]| bench.run(&[args, &to[..]].concat());
    run(&["history"]).ends(0).says("OpenWrt stores no configuration\n");
    run(&["history", "wg0"]).ends(0).says("OpenWrt stores no configuration of wg0\n");
    let words = "error: interface wg0: no configuration of it is stored\n";
    run(&["rollback", "wg0"]).ends(1).says(words);
    let words = "error: interface wg0: no stored configuration has that interface and number\n";
    run(&["repair", "wg0"]).ends(1).says(words);
    push_all(&bench, &router, &[1_400, 1_390, 1_380]);
    let ran = run(&["rollback", "wg0"]);
    ran.ends(0).says("wg0 on OpenWrt is rolled back: MTU changed; ").says("\nstored as number 4\n");
    assert_eq!(mtu(&router), Some(1_390));
    run(&["rollback", "wg0", "1"]).ends(0).says("wg0 on OpenWrt is number 1 again: MTU changed;");
    assert_eq!(mtu(&router), Some(1_400));
    run(&["rollback", "wg0", "5"])
        .ends(0)
        .says("wg0 on OpenWrt already runs that configuration: nothing changed\nalready stored as number 5\n");
    let ran = run(&["remove", "wg0"]);
    ran.ends(0).says("removed wg0 from OpenWrt: ").says("`postwire rollback wg0` restores");
    assert_eq!(mtu(&router), None);
    let at = "on 2023-11-14 22:13:20 +00:00\n";
    let expected = format!(
        "wg0 number 6: removed by us@bench {at}\
         wg0 number 5: rolled back to number 1 by us@bench {at}\
         wg0 number 4: rolled back to number 2 by us@bench {at}\
         wg0 number 3: pushed by us@bench {at}\
         wg0 number 2: pushed by us@bench {at}\
         wg0 number 1: pushed by us@bench {at}"
    );
    assert_eq!(run(&["history", "wg0"]).ends(0).out, expected);
    let newest = expected.lines().next().unwrap();
    assert_eq!(run(&["history"]).ends(0).out.trim_end(), newest);
    run(&["status"])
        .ends(0)
        .says(&format!("stored         wg0 number 6, removed by us@bench {at}"));
    let json = run(&["history", "wg0", "--json"]).ends(0).json();
    let all = json["result"]["configurations"].as_array().unwrap();
    assert_eq!(all.len(), 6);
    assert_eq!((&all[0]["act"], &all[0]["number"]), (&"removed".into(), &6.into()));
    assert_eq!((&all[1]["act"], &all[1]["rolled_back_to"]), (&"rolled_back".into(), &1.into()));
    assert_eq!((&all[5]["by"], &all[5]["time"]), (&"us@bench".into(), &1_700_000_000.into()));
    // A removed peer is restored.
    let ran = run(&["rollback", "wg0", "--confirm-within", "30s"]);
    ran.ends(0).says("interface created").says("the change is confirmed: stored as number 7\n");
    assert_eq!(mtu(&router), Some(1_400));
    let json = run(&["rollback", "wg0", "99", "--json"]).ends(1).json();
    assert_eq!(json["error"]["code"], "not_stored");
    run(&["rollback", "wg0", "0"]).ends(2);
}

#[test]
fn a_damaged_configuration_is_told_and_not_taken() {
    let (bench, router) = (Bench::new("damaged", WG0), Udp::new(Manners::default()));
    let to = ["--udp", router.address.as_str()];
    push_all(&bench, &router, &[1_400, 1_390]);
    router.by_hand(|seen| {
        let (head, _) = seen.history.last_mut().unwrap();
        (head.damaged, head.time, head.by) = (true, 0, "".try_into().unwrap());
    });
    let expected = "wg0 number 2: damaged, and not used\n\
                    wg0 number 1: pushed by us@bench on 2023-11-14 22:13:20 +00:00\n";
    assert_eq!(bench.run(&["history", to[0], to[1]]).ends(0).out, expected);
    let ran = bench.run(&["status", to[0], to[1]]);
    ran.ends(4).says("stored         wg0 number 2, damaged, and not used\n");
    ran.says(
        "             wg0 number 1, pushed by us@bench on 2023-11-14 22:13:20 +00:00: the kernel differs",
    );
    let ran = bench.run(&["rollback", "wg0", "2", to[0], to[1]]);
    ran.ends(1).says("the stored configuration is damaged").says("push the configuration again");
}

#[test]
fn what_was_changed_by_hand_is_shown_and_put_back() {
    let (bench, router) = (Bench::new("drift", WG0), Udp::new(Manners::default()));
    let to = ["--udp", router.address.as_str()];
    let run = |args: &[&str]| bench.run(&[args, &to[..]].concat());
    run(&["repair", "wg0"]).ends(1).says("no stored configuration has that interface and number");
    push_all(&bench, &router, &[1_400]);
    run(&["status"]).ends(0).says(": the kernel matches\n");
    run(&["repair", "wg0"])
        .ends(0)
        .says("wg0 on OpenWrt matches the stored configuration, number 1: nothing to repair\n");
    set_mtu(&router, 1_300);
    router.by_hand(|seen| {
        let peer = |record: &Record| {
            matches!(record, Record::Peer(peer) if peer.public_key == PEER.parse().unwrap())
        };
        let at = seen.running.iter().position(peer).unwrap();
        // With its allowed IPs.
        seen.running.drain(at..at + 3);
    });
    let ran = run(&["status"]);
    ran.ends(4).says(": the kernel differs; a repair would change: MTU changed; 1 peer added\n");
    assert!(!ran.out.contains("+ peer"));
    let changes = format!("\n\na repair would change wg0:\n~ mtu: 1300 -> 1400\n+ peer: {PEER}\n");
    run(&["status", "--changes"]).ends(4).says(&changes);
    let json = run(&["status", "--changes", "--json"]).ends(4).json();
    let stored = &json["result"]["stored"][0];
    assert_eq!((&stored["interface"], &stored["agrees"]), (&"wg0".into(), &false.into()));
    assert_eq!(stored["drift"]["peers"]["added"], 1);
    assert_eq!(stored["changes"][0]["change"], "mtu");
    assert!(run(&["status", "--json"]).json()["result"]["stored"][0]["changes"].is_null());
    let ran = run(&["repair", "wg0"]);
    ran.ends(0).says("wg0 on OpenWrt is repaired: MTU changed; 1 peer added").says("number 1\n");
    assert_eq!(mtu(&router), Some(1_400));
    let json = run(&["status", "--json"]).ends(0).json();
    assert_eq!(json["result"]["stored"][0]["agrees"], true);
    assert_eq!(router.with(|seen| seen.history.len()), 1, "a repair stores nothing");
}

#[test]
fn trouble_and_names_that_are_not_looked_up_yet_are_in_the_status() {
    let conf = WG0.replace("192.0.2.7:51821", "vpn.invalid:51821");
    let manners = Manners { trouble: "no room for wg1, number 4", ..Manners::default() };
    let (bench, router) = (Bench::new("trouble", &conf), Udp::new(manners));
    let to = ["--udp", router.address.as_str()];
    let ran = bench.run(&["push", "wg0.conf", to[0], to[1]]);
    ran.ends(0).says("wg0.conf:15:12: warning: Endpoint of peer TrMvSoP4jYQlY6RIzBgbssQqY3vx");
    ran.says("vpn.invalid does not resolve here (").says("; the router looks the name up itself\n");
    router.with(|seen| {
        let host = seen.running.iter().find_map(|record| match record {
            Record::Host(host) => Some((host.name.as_str().to_owned(), host.port)),
            _ => None,
        });
        assert_eq!(host, Some(("vpn.invalid".into(), 51_821)));
    });
    let ran = bench.run(&["status", to[0], to[1]]);
    ran.ends(0).says("host names     1 not resolved yet\n");
    ran.says("trouble        no room for wg1, number 4\n");
    let json = bench.run(&["status", to[0], to[1], "--json"]).ends(0).json();
    assert_eq!(json["result"]["unresolved"], 1);
    assert_eq!(json["result"]["trouble"], "no room for wg1, number 4");
}

#[test]
fn changes_by_other_programs_are_in_status_and_diff() {
    let manners = Manners { drift: "address 10.0.0.1/24 is gone", ..Manners::default() };
    let (bench, router) = (Bench::new("drift", WG0), Udp::new(manners));
    let to = ["--udp", router.address.as_str()];
    bench.run(&["push", "wg0.conf", to[0], to[1]]).ends(0);
    bench.run(&["status", to[0], to[1]]).ends(4).says(
        "drift          another program changed wg0 1 minute, 15 seconds ago: address 10.0.0.1/24 is gone; repaired 3 \
         times since; the router repairs it in 48 seconds\n               and 1 more\n",
    );
    let json = bench.run(&["status", to[0], to[1], "--json"]).ends(4).json();
    assert_eq!(json["result"]["drift"][0]["what"], "address 10.0.0.1/24 is gone");
    assert_eq!(json["result"]["drift"][0]["next_repair"], 48);
    assert_eq!(json["result"]["drifting"], 2);
    let diff = ["diff", "wg0.conf", to[0], to[1]];
    bench.run(&diff).ends(0).says("nothing would change").says(
        "note: another program changed wg0 on the router since it was pushed: address 10.0.0.1/24 is gone; \
         `postwire repair wg0` puts back what is stored\n",
    );
    let json = bench.run(&[&diff[..], &["--json"]].concat()).ends(0).json();
    assert_eq!(json["result"]["drift"]["interface"], "wg0");
}

#[test]
fn a_diff_says_when_a_push_needs_adopt() {
    let manners = Manners { foreign: true, ..Manners::default() };
    let (bench, router) = (Bench::new("adopt", WG0), Udp::new(manners));
    let to = ["--udp", router.address.as_str()];
    bench.run(&["push", "wg0.conf", to[0], to[1]]).ends(0);
    let diff = ["diff", "wg0.conf", to[0], to[1]];
    bench.run(&diff).ends(4).says(
        "wg0 already runs this configuration: nothing would change\n\nnote: another program or a person made wg0 on \
         the router: stop what manages it, then take it over with `postwire push --adopt`\n",
    );
    let json = bench.run(&[&diff[..], &["--json"]].concat()).ends(4).json();
    assert_eq!(json["result"]["needs_adopt"], true);
    assert_eq!(json["result"]["summary"]["device"][0], "foreign");
}

#[test]
fn the_status_of_a_router_that_was_reset_can_still_be_asked() {
    let manners = Manners { belongs: Belongs::Nobody(None), ..Manners::default() };
    let (bench, router) = (Bench::new("reset", WG0), Pty::new(manners));
    let to = ["--serial", router.device.as_str()];
    bench.run(&["status", to[0], to[1]]).ends(0).says("stored         (none)\n");
    bench.run(&["history", to[0], to[1]]).ends(1).says("the router is unclaimed");
}
