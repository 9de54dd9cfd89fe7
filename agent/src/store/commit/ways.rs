//! The ways of packets while full tunnels change beside each other: the machine is stopped after each
//! single change of its kernel, and the rules are followed as the kernel does.

#![expect(clippy::result_large_err, reason = "tests have room")]

use proto_core::conf::routing::MAIN_TABLE;
use proto_core::conf::setting::Table;
use proto_core::protocol::config::Item;
use proto_core::protocol::draft;
use proto_core::protocol::message::Failure;
use proto_core::protocol::report::Act;

use super::tests::{Config, Router, net};
use crate::testing::Incident;

/// A full tunnel with the rules that a file gets, and this `FwMark`; 0 is no full tunnel.
fn tunnel(mark: u32, n: u8) -> Config {
    let mut items = vec![Item::Address(net(&format!("10.7{n}.0.2/32")))];
    let mut fwmark = mark;
    if mark != 0 {
        let all = net("0.0.0.0/0");
        let put: Result<(), ()> = draft::route(all, Table::Auto, &[], &mut fwmark, &mut |item| {
            items.push(item);
            Ok(())
        });
        put.unwrap();
    }
    let peers = vec![(40 + n, Some(1000), vec![n])];
    Config { key: Some(n + 7), port: None, fwmark, mtu: 1420, items, peers }
}

/// A change of an interface: a new configuration, or its removal.
type Step = (&'static str, Option<u32>);

fn make(router: &Router, (name, mark): Step) -> Result<(), Failure> {
    let n = name.as_bytes()[2] - b'0';
    let done = match mark {
        Some(mark) => router.push_image(&tunnel(mark, n).image_of(name), Some(Act::Pushed), false),
        None => router.remove(name, false),
    };
    done.map(|_| ())
}

/// The router after some of the changes that the last step makes, and whether these are all.
fn stopped(before: &[Step], last: Step, changes: usize) -> (Router, bool) {
    let router = Router::default();
    for step in before {
        make(&router, *step).unwrap();
    }
    router.world.incident(changes, Incident::Gone);
    let done = make(&router, last);
    router.world.revive();
    (router, done.is_ok())
}

/// Calls `check` after each change that the last step makes. Returns the number of changes.
fn after_each(before: &[Step], last: Step, check: &dyn Fn(&Router, &str)) -> usize {
    for changes in 0..100 {
        let (router, all) = stopped(before, last, changes);
        check(&router, &format!("{before:?}, then {changes} changes of {last:?}"));
        if all {
            return changes;
        }
    }
    unreachable!("a step has fewer changes")
}

#[test]
fn a_second_full_tunnel_takes_no_packet_of_the_first_one() {
    let (wg0, wg1) = (("wg0", Some(51820)), ("wg1", Some(51821)));
    let both = [wg0, wg1];
    let mut changes = 0;
    for (before, last) in [
        (&both[..1], wg1),
        (&both, ("wg1", Some(51822))),
        (&both, ("wg1", Some(0))),
        (&both, ("wg1", None)),
        (&[wg0, ("wg1", Some(0))], wg1),
    ] {
        changes += after_each(before, last, &|router, what| {
            assert_eq!(router.world.way(0), 51820, "a packet without a mark, {what}");
            assert_eq!(router.world.way(51820), MAIN_TABLE, "WireGuard's own packet, {what}");
        });
    }
    assert!(changes > 20, "{changes}");
}

#[test]
fn an_edit_of_the_mark_sends_no_packet_of_wireguard_into_the_tunnel() {
    let other = ("wg1", Some(51821));
    for (before, last) in [
        (vec![other], ("wg0", Some(51820))),
        (vec![("wg0", Some(0))], ("wg0", Some(51820))),
        (vec![("wg0", Some(51820))], ("wg0", Some(0))),
        (vec![("wg0", Some(51820))], ("wg0", Some(51822))),
        (vec![("wg0", Some(51820)), other], ("wg0", Some(51822))),
        (vec![("wg0", Some(51820)), other], ("wg1", Some(51823))),
    ] {
        let changes = after_each(&before, last, &|router, what| {
            // Without a peer there are no packets.
            let device = router.world.kind(last.0).map(|_| router.world.device(last.0));
            let Some(device) = device.filter(|device| !device.peers.is_empty()) else { return };
            let mark = device.fwmark;
            assert_eq!(router.world.way(mark), MAIN_TABLE, "mark {mark}, {what}");
        });
        assert!(changes >= 4, "{changes}");
    }
}
