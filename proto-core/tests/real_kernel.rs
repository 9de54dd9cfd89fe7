//! Notifications and batches with the running kernel, in a network namespace: the test runs itself
//! again under `unshare -rn`. Where namespaces are not allowed, the test prints a note, which `cargo xtask test` shows, and passes.

#[allow(dead_code, reason = "the examples use other parts of it")]
#[path = "../examples/socket/mod.rs"]
mod socket;

use std::process::Command;

use proto_core::ip::{AF_INET, IpNet};
use proto_core::netlink::route::notification::GROUPS;
use proto_core::netlink::route::{Addr, IfExists, Notifications, Object, Route, Rule, link};
use proto_core::netlink::socket::{Client, NetlinkSocket};
use proto_core::netlink::{Errno, KernelError};
use socket::Netlink;

const INSIDE: &str = "PROTO_CORE_IN_A_NAMESPACE";
/// The loopback interface.
const LO: u32 = 1;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

#[test]
fn notifications_and_batches() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    // An emulated test cannot be run again by the machine's own `unshare`.
    if cfg!(target_endian = "big") {
        println!("skipped: emulated");
        return;
    }
    if !Command::new("unshare").args(["-rn", "true"]).status().is_ok_and(|done| done.success()) {
        println!("skipped: cannot create a network namespace");
        return;
    }
    let own = std::env::current_exe().unwrap();
    let again = Command::new("unshare")
        .arg("-rn")
        .arg(own)
        .args(["--exact", "notifications_and_batches", "--nocapture"])
        .env(INSIDE, "1")
        .status();
    assert!(again.unwrap().success());
}

/// The notifications of one change.
#[derive(PartialEq, Debug)]
enum Seen {
    Link(bool),
    Addr(bool, IpNet),
    Route(bool, IpNet),
    Rule(bool, Option<u32>),
}

fn seen(events: &mut Netlink, buf: &mut [u8], until: &Seen) -> Vec<(Seen, u32)> {
    let mut all = Vec::new();
    loop {
        let got = events.receive(buf).expect("a notification");
        for one in Notifications::new(&buf[..got.len], got.full_len, got.sender) {
            let one = one.unwrap();
            let found = match one.object {
                Object::Link(_) => Seen::Link(one.deleted),
                Object::Addr(addr) => Seen::Addr(one.deleted, addr.net),
                Object::Route(route) => Seen::Route(one.deleted, route.dst),
                Object::Rule(rule) => Seen::Rule(one.deleted, rule.priority),
                _ => continue,
            };
            all.push((found, one.port));
        }
        if all.iter().any(|(found, _)| found == until) {
            return all;
        }
    }
}

fn inside() {
    let (mut request, mut answer, mut buf) = (vec![0; 8192], vec![0; 32 << 10], vec![0; 32 << 10]);
    let mut events = Netlink::open(None, GROUPS).unwrap();
    let mut client = Client::new(Netlink::open(None, 0).unwrap(), &mut request, &mut answer);
    let port = client.socket().port();

    client.change(|buf, seq| link::set_up(buf, seq, LO, true)).unwrap();
    let all = seen(&mut events, &mut buf, &Seen::Link(false));
    assert!(!all.contains(&(Seen::Link(true), port)), "{all:?}");

    // Three addresses in one datagram, one of them twice.
    let addresses =
        ["10.9.0.1/24", "10.9.1.1/24", "10.9.0.1/24"].map(|text| Addr::new(LO, net(text)));
    let mut batch = client.batch();
    for address in &addresses {
        batch.push(|buf, seq| address.add(buf, seq, IfExists::Fail)).unwrap();
    }
    let mut outcomes = Vec::new();
    let mut take = |nth, result: Result<(), KernelError>| {
        outcomes.push((nth, result.map_err(|error| error.errno)));
    };
    batch.send(&mut take).unwrap();
    assert_eq!(outcomes, [(0, Ok(())), (1, Ok(())), (2, Err(Errno::EEXIST))]);
    let all = seen(&mut events, &mut buf, &Seen::Addr(false, net("10.9.1.1/24")));
    assert!(all.contains(&(Seen::Addr(false, net("10.9.0.1/24")), port)), "{all:?}");

    // As many routes as a batch takes.
    let routes: Vec<Route> = (0..128_u8)
        .map(|nth| Route::device(net(&format!("10.10.{nth}.0/24")), LO, 254, 87))
        .collect();
    let mut batch = client.batch();
    let mut done = 0;
    for route in &routes {
        batch.push(|buf, seq| route.add(buf, seq, IfExists::Fail)).unwrap();
    }
    batch.send(&mut |_, result| done += u32::from(result.is_ok())).unwrap();
    assert_eq!(done, 128);
    let all = seen(&mut events, &mut buf, &Seen::Route(false, net("10.10.127.0/24")));
    let added =
        all.iter().filter(|(one, _)| matches!(one, Seen::Route(false, to) if to.prefix == 24));
    assert!(added.count() >= 128, "{all:?}");

    client.change(|buf, seq| routes[0].delete(buf, seq)).unwrap();
    let all = seen(&mut events, &mut buf, &Seen::Route(true, net("10.10.0.0/24")));
    assert!(!all.contains(&(Seen::Route(true, net("10.10.1.0/24")), port)), "{all:?}");
    client.change(|buf, seq| addresses[1].delete(buf, seq)).unwrap();
    seen(&mut events, &mut buf, &Seen::Addr(true, net("10.9.1.1/24")));

    let mut rule = Rule::new(AF_INET, 51820);
    rule.priority = Some(77);
    client.change(|buf, seq| rule.add(buf, seq)).unwrap();
    seen(&mut events, &mut buf, &Seen::Rule(false, Some(77)));
    client.change(|buf, seq| rule.delete(buf, seq)).unwrap();
    seen(&mut events, &mut buf, &Seen::Rule(true, Some(77)));
    println!("{done} requests in one datagram; every change was announced");
}
