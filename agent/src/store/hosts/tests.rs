use super::*;
use crate::kernel::exchange::Buffers;
use crate::testing::{DevicePeer, Memory, World, record_bytes};
use proto_core::netlink::route::link;
use proto_core::protocol::config::Peer;
use proto_core::protocol::message::cut;

fn image(interface: &str, names: &[(&str, bool)]) -> Vec<u8> {
    let mut image = Vec::new();
    for (n, (name, known)) in (0..).zip(names) {
        let endpoint = known.then(|| "192.0.2.1:5".parse().unwrap());
        let peer = Peer {
            public_key: PublicKey([n; 32]),
            preshared_key: None,
            endpoint,
            persistent_keepalive: 0,
        };
        let host = Host { name: cut(name), port: 7 };
        let _ = interface;
        for record in [Record::Peer(peer), Record::Host(host)] {
            image.extend(record_bytes(&record));
        }
    }
    image
}

fn take(hosts: &mut Hosts<Memory>, interface: &str, names: &[(&str, bool)], all: bool) {
    let mut file = Memory::default();
    let image = image(interface, names);
    file.write_at(0, &image).unwrap();
    let span = Span { from: 0, end: image.len() as u32 };
    hosts.take(&Slot::default(), &interface.parse().unwrap(), (&mut file, span), all, 0).unwrap();
}

/// Looks the next one up, in vain.
fn fail(hosts: &mut Hosts<Memory>, now: u64) -> Option<String> {
    let (number, host) = hosts.next(now)?;
    hosts.flights[number] = Flight::Free;
    Some(host.name.as_str().to_owned())
}

#[test]
fn what_the_bench_has_found_is_not_looked_up_after_a_push() {
    let mut hosts = Hosts::new(Memory::default());
    take(&mut hosts, "wg0", &[("a", true), ("b", false)], false);
    assert_eq!((hosts.left(), fail(&mut hosts, 0).as_deref()), (1, Some("b")));
    take(&mut hosts, "wg0", &[("a", true), ("b", false)], true);
    assert_eq!(hosts.left(), 2);
}

#[test]
fn what_is_left_is_tried_again_after_a_while_that_grows() {
    let mut hosts = Hosts::new(Memory::default());
    take(&mut hosts, "wg0", &[("a", false), ("b", false)], true);
    take(&mut hosts, "wg1", &[("c", false)], true);
    let mut now = 0;
    for wait in [5_000, 10_000, 20_000] {
        for name in ["a", "b", "c"] {
            assert_eq!(fail(&mut hosts, now).as_deref(), Some(name));
        }
        assert_eq!(fail(&mut hosts, now), None);
        assert_eq!(hosts.deadline(), Some(now + wait));
        now += wait;
    }
    hosts.forget("wg0");
    assert_eq!(fail(&mut hosts, now).as_deref(), Some("c"));
    hosts.forget("wg1");
    assert_eq!((hosts.deadline(), hosts.len), (None, 0));
}

#[test]
fn stale_endpoints_are_looked_up_again() {
    let (world, slot) = (World::default(), Slot::default());
    let name = "wg0".parse().unwrap();
    world.by_hand(|buf| link::create(buf, 1, name, "wireguard").unwrap()).unwrap();
    // The endpoint in `image`. No peer has had a handshake.
    let was: SocketAddr = "192.0.2.1:5".parse().unwrap();
    let raw = |address: SocketAddr| {
        let IpAddr::V4(ip) = address.ip() else { unreachable!() };
        let family = 2_u16.to_ne_bytes();
        [&family[..], &address.port().to_be_bytes(), &ip.octets(), &[0; 8]].concat()
    };
    let peer = |n: u8| DevicePeer {
        key: vec![n; 32],
        endpoint: raw(was),
        preshared_key: vec![0; 32],
        ..DevicePeer::default()
    };
    world.meddle("wg0", |device| device.peers = (0..4).rev().map(peer).collect());
    let mut hosts = Hosts::new(Memory::default());
    take(&mut hosts, "gone", &[("x", true)], false);
    take(&mut hosts, "wg0", &[("a", true), ("b", true), ("c", true)], false);
    assert_eq!((hosts.left(), hosts.deadline()), (0, None));

    let (mut buffers, mut set) = (Buffers::default(), [0; SET]);
    let mut kernel = Kernel::new(world.socket(false), world.socket(true), &slot, &mut buffers);
    let mut now = 0;
    // Lets time pass to `until`; look-ups find `to`. Returns the names that are looked up.
    let mut pass = |hosts: &mut Hosts<Memory>, until: u64, to: Option<SocketAddr>| {
        let mut names = Vec::new();
        while now < until {
            now += 1_000;
            if hosts.check_deadline().unwrap() <= now {
                hosts.check(&mut kernel, now, 1_000_000 + now / 1_000);
                hosts.checked(now, 0);
            }
            while let Some((number, host)) = hosts.next(now) {
                names.push(format!("{} {}", now / 1_000, host.name));
                hosts.found(&mut kernel, &mut set, number, to, now).unwrap();
            }
        }
        names
    };
    let endpoints = || {
        let seen = world.seen();
        seen.peers.into_iter().map(|(_, peer)| peer.endpoint).collect::<Vec<_>>()
    };
    let other: SocketAddr = "192.0.2.9:9".parse().unwrap();
    let meddle = |n: u8, change: &dyn Fn(&mut DevicePeer)| {
        world.meddle("wg0", |device| {
            change(device.peers.iter_mut().find(|peer| peer.key == [n; 32]).unwrap());
        });
    };
    // `b` has had a handshake; `c` has roamed, and has handshakes all the time.
    meddle(1, &|peer| peer.handshake = 1_000_100);
    meddle(2, &|peer| (peer.endpoint, peer.handshake) = (raw(other), 1_009_000));
    assert_eq!(pass(&mut hosts, 149_000, Some(was)), [""; 0]);
    assert_eq!(pass(&mut hosts, 239_000, Some(was)), ["150 a"]);
    // Without an address, or with the same one, the wait grows.
    assert_eq!(pass(&mut hosts, 659_000, None), ["240 b", "300 a", "390 b", "570 a"]);
    let moved: SocketAddr = "198.51.100.7:7".parse().unwrap();
    assert_eq!(pass(&mut hosts, 670_000, Some(moved)), ["660 b"]);
    assert_eq!(endpoints(), [raw(was), raw(moved), raw(other), raw(was)]);
    // After a handshake the waits begin again.
    meddle(1, &|peer| peer.handshake = 1_000_700);
    assert_eq!(pass(&mut hosts, 839_000, Some(moved)), [""; 0]);
    assert_eq!(pass(&mut hosts, 841_000, Some(moved)), ["840 b"]);
    // The peer roamed and then fell silent: the address of its name is tried again, as by `reresolve-dns.sh`.
    meddle(2, &|peer| peer.handshake = 1_000_800);
    assert_eq!(pass(&mut hosts, 961_000, Some(moved)), ["960 c"]);
    assert_eq!(endpoints(), [raw(was), raw(moved), raw(moved), raw(was)]);
    hosts.forget("wg0");
    assert_eq!(pass(&mut hosts, 2_000_000, Some(moved)), [""; 0]);
}

#[test]
fn a_change_of_the_network_is_a_reason_to_try_again_soon() {
    let mut hosts = Hosts::new(Memory::default());
    take(&mut hosts, "wg0", &[("a", false)], true);
    let mut now = 0;
    for _ in 0..6 {
        assert_eq!(fail(&mut hosts, now).as_deref(), Some("a"));
        assert_eq!(fail(&mut hosts, now), None);
        now = hosts.deadline().unwrap();
    }
    assert_eq!(fail(&mut hosts, now).as_deref(), Some("a"));
    assert_eq!(fail(&mut hosts, now), None);
    assert_eq!(hosts.deadline(), Some(now + 60_000));
    for _ in 0..3 {
        hosts.wake(now);
        assert_eq!(hosts.deadline(), Some(now + 1_000));
    }
    now += 1_000;
    assert_eq!(fail(&mut hosts, now).as_deref(), Some("a"));
    assert_eq!(fail(&mut hosts, now), None);
    assert_eq!(hosts.deadline(), Some(now + 5_000));
}

#[test]
fn a_name_that_no_server_answers_for_holds_up_no_other() {
    let mut hosts = Hosts::new(Memory::default());
    let names = ["a", "b", "c", "d", "e"].map(|name| (name, false));
    take(&mut hosts, "wg0", &names, true);
    let begun: Vec<_> = (0..AT_ONCE).map(|_| hosts.next(0).unwrap()).collect();
    assert!(hosts.next(0).is_none() && hosts.deadline().is_none());
    // Only the first is never answered.
    for (number, _) in &begun[1..] {
        hosts.flights[*number] = Flight::Free;
    }
    assert_eq!(fail(&mut hosts, 0).as_deref(), Some("e"));
    assert_eq!(hosts.next(0), None);
    for name in ["b", "c", "d", "e"] {
        assert_eq!(fail(&mut hosts, 5_000).as_deref(), Some(name));
    }
}

#[test]
fn what_is_looked_up_while_a_push_comes_stays_with_its_entry() {
    let mut hosts = Hosts::new(Memory::default());
    take(&mut hosts, "wg0", &[("a", false), ("b", false)], true);
    take(&mut hosts, "wg1", &[("c", false)], true);
    assert!(["a", "b", "c"].map(|_| hosts.next(0).unwrap().0) == [0, 1, 2]);
    take(&mut hosts, "wg0", &[("d", false)], true);
    assert_eq!(hosts.flights[..3], [Flight::Gone, Flight::Gone, Flight::Entry(0)]);
    assert_eq!((hosts.left(), hosts.next(0).unwrap().1.name.as_str()), (2, "d"));
}

#[test]
fn the_file_does_not_grow_with_each_push_beside_a_name_that_never_resolves() {
    let mut hosts = Hosts::new(Memory::default());
    take(&mut hosts, "wg0", &[("never", false)], true);
    for _ in 0..1_000 {
        take(&mut hosts, "wg1", &[("a", false), ("b", false)], true);
    }
    assert_eq!((hosts.len, hosts.left()), (3, 3));
    assert_eq!(hosts.file.0.borrow().len(), 3 * ENTRY);
    let names = [(); 3].map(|()| fail(&mut hosts, 0).unwrap());
    assert_eq!(names, ["never", "a", "b"]);
}
