//! Undo restores the former state: any running state, manual settings included, and a change of
//! which any request is refused, or which ends with the agent. The full dump afterwards equals the
//! one before, with every attribute.

#![expect(clippy::result_large_err, reason = "tests have room")]

use proto_core::netlink::route;
use proto_core::netlink::route::addr::RTM_NEWADDR;
use proto_core::netlink::route::route::{RTM_DELROUTE, RTM_NEWROUTE};
use proto_core::netlink::route::rule::RTM_NEWRULE;
use proto_core::netlink::{Errno, Writer};
use proto_core::protocol::config::Item;
use proto_core::protocol::message::{Code, Failure, State};
use proto_core::protocol::report::Act;

use super::edits::config;
use super::ownership::Dice;
use super::tests::{Config, Router, silent};
use super::{Adopt, Change};
use crate::testing::{DevicePeer, Incident, Seen, World};

fn send(world: &World, ty: u16, header: &[u8], attributes: &[(u16, Vec<u8>)]) {
    // Items that the kernel refuses are missing.
    let _ = world.by_hand(|buf| {
        let mut writer = Writer::new(buf);
        writer.message(ty, 0xc05, 1, 0).unwrap();
        writer.header(header).unwrap();
        for (ty, payload) in attributes {
            writer.bytes(*ty, payload).unwrap();
        }
        writer.finish()
    });
}

fn v4(text: &str) -> Vec<u8> {
    text.parse::<core::net::Ipv4Addr>().unwrap().octets().to_vec()
}

fn v6(text: &str) -> Vec<u8> {
    text.parse::<core::net::Ipv6Addr>().unwrap().octets().to_vec()
}

fn word(n: u32) -> Vec<u8> {
    n.to_ne_bytes().to_vec()
}

fn add_address(world: &World, dice: &mut Dice, index: u32) {
    let [i0, i1, i2, i3] = index.to_ne_bytes();
    let wide = dice.one_in(3);
    let (own, far, prefix) = if wide {
        let own = dice.pick(&["fd00::1", "fd00::2", "fd01::1", "fe80::9"]);
        (v6(own), v6("fd0f::1"), dice.pick(&[64, 128]))
    } else {
        let own = dice.pick(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.1.0.1", "192.0.2.1"]);
        (v4(own), v4("10.9.9.9"), dice.pick(&[24, 24, 32, 25]))
    };
    let far = if dice.one_in(5) { far } else { own.clone() };
    let mut attributes = vec![(2, own), (1, far)];
    if dice.one_in(4) {
        attributes.push((8, word(dice.pick(&[0x200, 0x202, 0]))));
    }
    if dice.one_in(4) {
        attributes.push((6, [word(100), word(200), word(0), word(0)].concat()));
    }
    if !wide && dice.one_in(4) {
        attributes.push((3, b"wg0:1\0".to_vec()));
    }
    if !wide && prefix == 24 && attributes[0].1[..3] == [10, 0, 0] && dice.one_in(4) {
        attributes.push((4, v4("10.0.0.255")));
    }
    let scope = if !wide && dice.one_in(6) { 253 } else { 0 };
    let family = if wide { 10 } else { 2 };
    send(world, RTM_NEWADDR, &[family, prefix, 0, scope, i0, i1, i2, i3], &attributes);
}

fn hop(index: u32, gateway: Option<Vec<u8>>) -> Vec<u8> {
    let attribute = gateway.map_or(Vec::new(), |to| {
        [&(4 + to.len() as u16).to_ne_bytes()[..], &5_u16.to_ne_bytes(), &to].concat()
    });
    let len = (8 + attribute.len() as u16).to_ne_bytes();
    [&len[..], &[0, 3], &index.to_ne_bytes(), &attribute].concat()
}

fn add_route(world: &World, dice: &mut Dice, index: u32, other: u32) {
    let wide = dice.one_in(3);
    let (to, prefix) = if wide {
        (v6(dice.pick(&["fd09::", "fd0a::"])), 64)
    } else {
        (v4(dice.pick(&["10.9.0.0", "10.8.0.0", "172.16.0.0"])), 16)
    };
    let mut attributes = vec![(1, to)];
    let (near, gateway) =
        if wide { (v6("fd00::1"), v6("fd00::77")) } else { (v4("10.0.0.1"), v4("10.0.0.77")) };
    match dice.below(6) {
        0 => attributes.extend([(4, word(index)), (5, gateway)]),
        1 if wide => {
            let hops = [hop(index, Some(gateway)), hop(index, Some(v6("fd00::78")))];
            attributes.push((9, hops.concat()));
        }
        1 => attributes.push((9, [hop(index, Some(gateway)), hop(index, None)].concat())),
        2 => attributes.extend([(4, word(index)), (7, near)]),
        3 if !wide => attributes.extend([(4, word(other)), (7, near)]),
        _ => attributes.push((4, word(index))),
    }
    if dice.one_in(4) {
        // RTA_METRICS with RTAX_MTU.
        attributes.push((8, [&[8, 0, 2, 0][..], &1300_u32.to_ne_bytes()].concat()));
    }
    if wide && dice.one_in(4) {
        attributes.push((23, word(500)));
    }
    attributes.push((15, word(dice.pick(&[254, 254, 7, 51820]))));
    attributes.push((6, word(dice.pick(&[0, 5, 9]))));
    let tos = if !wide && dice.one_in(5) { 8 } else { 0 };
    let protocol = dice.pick(&[3, 4, 4, 87, 186]);
    let family = if wide { 10 } else { 2 };
    let scope = if wide { 0 } else { 253 };
    let header = [family, prefix, 0, tos, 0, protocol, scope, 1, 0, 0, 0, 0];
    send(world, RTM_NEWROUTE, &header, &attributes);
}

/// A state with manual settings over the existing ones.
fn meddle(world: &World, dice: &mut Dice) {
    let (name, other) = ("wg0".parse().unwrap(), "eth0".parse().unwrap());
    let _ = world.by_hand(|buf| route::link::create(buf, 1, other, "dummy").unwrap());
    let eth0 = world.index("eth0");
    world.by_hand(|buf| route::link::set_up(buf, 1, eth0, true).unwrap()).unwrap();
    let header = [&[2, 24, 0, 0][..], &eth0.to_ne_bytes()].concat();
    send(world, RTM_NEWADDR, &header, &[(2, v4("198.51.100.2")), (1, v4("198.51.100.2"))]);
    let _ = world.by_hand(|buf| route::link::create(buf, 1, name, "wireguard").unwrap());
    let index = world.index("wg0");
    if dice.one_in(2) {
        let alias = dice.pick(&["postwired", "postwired uplink of shed", "uplink of shed"]);
        let alias = alias.as_bytes();
        world.by_hand(|buf| route::link::set_alias(buf, 1, index, alias).unwrap()).unwrap();
    }
    if dice.one_in(2) {
        let mtu = dice.pick(&[60, 70, 1200, 1280, 1420, 9000, 70_000, 0x7fff_0000]);
        world.by_hand(|buf| route::link::set_mtu(buf, 1, index, mtu).unwrap()).unwrap();
    }
    let up = !dice.one_in(4);
    world.by_hand(|buf| route::link::set_up(buf, 1, index, up).unwrap()).unwrap();
    world.meddle("wg0", |device| {
        if dice.one_in(2) {
            device.port = dice.pick(&[0, 1, 65535]);
        }
        device.fwmark = dice.pick(&[device.fwmark, 0, 5, 51820]);
        if device.private_key.is_empty() && dice.one_in(2) {
            device.private_key = [&[64][..], &[9; 30], &[64]].concat();
        }
        for n in 0..dice.below(4) as u8 {
            let scope = dice.pick(&[0_u32, 2, 7]).to_ne_bytes();
            // A `struct sockaddr_in6`.
            let to = [&v6("fe80::1")[..], &scope[..4]].concat();
            let family = 10_u16.to_ne_bytes();
            let endpoint = [&family[..], &51820_u16.to_be_bytes(), &[0; 4], &to].concat();
            let peer = DevicePeer {
                key: vec![200 + n; 32],
                preshared_key: vec![if dice.one_in(2) { 0 } else { 7 }; 32],
                endpoint: if dice.one_in(4) { Vec::new() } else { endpoint },
                keepalive: dice.pick(&[0, 25]),
                ips: vec![super::tests::net(&format!("10.77.0.{n}/32"))],
                ..DevicePeer::default()
            };
            device.peers.retain(|other| other.key != peer.key);
            let at = dice.below(device.peers.len() + 1);
            device.peers.insert(at, peer);
        }
    });
    for _ in 0..dice.below(5) {
        add_address(world, dice, index);
    }
    for _ in 0..dice.below(7) {
        add_route(world, dice, index, eth0);
    }
    if dice.one_in(3) {
        // With a source, and of our protocol number, but in no image.
        let attributes = [(2, v4("10.0.0.1")), (6, word(77)), (15, word(7)), (21, vec![87])];
        send(world, RTM_NEWRULE, &[2, 0, 32, 0, 0, 0, 0, 1, 0, 0, 0, 0], &attributes);
    }
}

/// A running state: manual settings only, or over a stored configuration.
fn running(seed: u64) -> Router {
    let mut dice = Dice::new(seed);
    let router = Router::default();
    if dice.one_in(2) {
        router.push_image(&Config::old().image_of("wg0"), Some(Act::Pushed), false).unwrap();
    }
    meddle(&router.world, &mut dice);
    if seed % 6 == 5 {
        // Without its link, what is stored still has rules.
        let wg0 = router.world.index("wg0");
        router.world.by_hand(|buf| route::link::delete(buf, 1, wg0).unwrap()).unwrap();
    }
    router
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Push,
    PushAndRevert,
    Remove,
    RemoveAndRevert,
    Repair,
}

impl What {
    fn reverts(self) -> bool {
        matches!(self, Self::PushAndRevert | Self::RemoveAndRevert)
    }
}

fn change(router: &Router, what: What, image: &[u8]) -> Result<(), Failure> {
    let done = match what {
        What::Push => router.push_image(image, Some(Act::Pushed), false),
        What::PushAndRevert => router.push_image(image, Some(Act::Pushed), true),
        What::Repair => router.push_image(image, None, false),
        What::Remove | What::RemoveAndRevert => router.with(|agent| {
            let confirm = what.reverts();
            let change =
                Change { act: Some(Act::Removed), adopt: Adopt::Link, confirm, ..Change::REPAIR };
            let done = agent.remove(&"wg0".parse().unwrap(), &change, &mut silent);
            done.map_err(|fault| agent.slot.take(fault))
        }),
    };
    done.map(|_| ())
}

type Before = (Seen, Vec<String>);

fn look(router: &Router) -> Before {
    (router.seen(), router.world.order("wg0"))
}

/// Fails after collecting some more differences.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn same(&mut self, before: &Before, router: &Router, about: &dyn core::fmt::Debug) {
        let after = look(router);
        let lines = |(seen, order): &Before| {
            let mut lines = seen.others.clone();
            lines.extend(seen.links.iter().map(|link| format!("{link:?}")));
            lines.extend(seen.peers.iter().map(|peer| format!("{peer:?}")));
            lines.push(format!("{order:?}"));
            let aliases = seen.aliases.iter().map(|alias| String::from_utf8_lossy(alias));
            lines.push(format!("{:?}", aliases.collect::<Vec<_>>()));
            lines
        };
        let (was, is) = (lines(before), lines(&after));
        let lost: Vec<_> = was.iter().filter(|line| !is.contains(line)).collect();
        let new: Vec<_> = is.iter().filter(|line| !was.contains(line)).collect();
        self.must(
            lost.is_empty() && new.is_empty(),
            &format!("{about:?}: lost {lost:#?}\nnew {new:#?}"),
        );
        assert!(before == &after || !lost.is_empty() || !new.is_empty());
    }

    fn must(&mut self, right: bool, what: &str) {
        if !right {
            self.0.push(what.to_owned());
        }
        assert!(self.0.len() < 6, "{}", self.0.join("\n"));
    }
}

impl Drop for Wrong {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.is_empty(), "{}", self.0.join("\n"));
        }
    }
}

#[test]
fn any_state_comes_back_whatever_request_is_refused() {
    let mut wrong = Wrong::default();
    let (mut states, mut refusals, mut undone, mut deaths, mut reverted) = (0, 0, 0, 0, 0);
    for seed in 0..60 {
        let before = look(&running(seed));
        states += 1;
        for what in
            [What::Push, What::PushAndRevert, What::Remove, What::RemoveAndRevert, What::Repair]
        {
            let image = config(&mut Dice::new(seed + 1000)).image_of("wg0");
            let router = running(seed);
            let from = router.world.changes();
            let plain = change(&router, what, &image);
            if let Err(failure) = &plain {
                wrong.same(&before, &router, &(seed, what, failure));
            }
            // Reverted after all of it, whatever request of the revert is refused.
            let reverts = if plain.is_ok() && what.reverts() { 8 } else { 0 };
            // If the link cannot get its old index, which is the first request then, it gets another.
            for at in usize::from(what == What::RemoveAndRevert)..reverts {
                let router = running(seed);
                change(&router, what, &image).unwrap();
                router.world.incident(at, Incident::Refused(Errno::ENOMEM));
                router.with(|agent| agent.revert(&mut silent)).unwrap();
                wrong.same(&before, &router, &(seed, what, at));
                reverted += 1;
            }
            if what == What::RemoveAndRevert {
                // Its requests are those of a removal.
                continue;
            }
            for at in 0..router.world.changes() - from {
                for incident in [
                    Incident::Refused(Errno::ENOMEM),
                    Incident::Refused(Errno::EINVAL),
                    Incident::Gone,
                ] {
                    let router = running(seed);
                    router.world.incident(at, incident);
                    let about = (seed, what, at, incident);
                    match change(&router, what, &image) {
                        Err(failure) if incident != Incident::Gone => {
                            refusals += 1;
                            undone += usize::from(failure.state == State::Undone);
                            let partly = failure.state == State::Partly;
                            wrong.must(!partly, &format!("{about:?} {failure:?}"));
                            wrong.same(&before, &router, &(about, failure));
                        }
                        Err(_) => {
                            deaths += 1;
                            router.world.revive();
                            let _ = router.with(|agent| agent.take_back_unfinished());
                            wrong.same(&before, &router, &about);
                        }
                        Ok(()) if what.reverts() => {
                            router.world.revive();
                            refusals += 1;
                            let at = at % 7;
                            router.world.incident(at, Incident::Refused(Errno::ENOMEM));
                            router.with(|agent| agent.revert(&mut silent)).unwrap();
                            wrong.same(&before, &router, &(about, at));
                        }
                        Ok(()) => {}
                    }
                }
            }
        }
    }
    println!(
        "{states} states, {refusals} refusals ({undone} undone), {deaths} deaths, {reverted} reverts"
    );
    assert!(undone > 1000 && deaths > 1000 && reverted > 500);
}

#[test]
fn what_could_not_come_back_is_refused_before_anything_changes() {
    let mut wrong = Wrong::default();
    let router = running(1);
    let index = router.world.index("wg0");
    router.world.by_hand(|buf| route::link::set_up(buf, 1, index, true).unwrap()).unwrap();
    router.world.by_hand(|buf| route::link::set_mtu(buf, 1, index, 1420).unwrap()).unwrap();
    let hops = (0..40).map(|_| hop(index, Some(v4("10.0.0.77")))).collect::<Vec<_>>().concat();
    let header = [2, 16, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
    send(&router.world, RTM_NEWROUTE, &header, &[(1, v4("10.200.0.0")), (9, hops)]);
    let (before, changes) = (look(&router), router.world.changes());
    for what in [What::Push, What::Remove] {
        let failure = change(&router, what, &Config::new().image_of("wg0")).unwrap_err();
        assert_eq!((failure.code, failure.state), (Code::Config, State::Unchanged));
        assert!(failure.text.contains("next hops") && failure.text.contains("remove it first"));
        assert_eq!(router.world.changes(), changes);
        wrong.same(&before, &router, &what);
    }
}

/// Every Linux has a route with a source on another link: that of `lo` to itself.
#[test]
fn an_interface_of_many_addresses_can_be_changed_and_removed() {
    let address = |n: u8| Item::Address(super::tests::net(&format!("10.0.{n}.1/24")));
    let from = Config { key: Some(7), mtu: 1420, ..Config::default() };
    let from = Config { items: (0..40).map(address).collect(), ..from };
    let to = Config { items: (0..39).map(address).collect(), ..from.clone() };
    let router = Router::default();
    router.world.make("eth0", "dummy");
    let eth0 = router.world.index("eth0");
    router.world.by_hand(|buf| route::link::set_up(buf, 1, eth0, true).unwrap()).unwrap();
    let header = [&[2, 24, 0, 0][..], &eth0.to_ne_bytes()].concat();
    send(&router.world, RTM_NEWADDR, &header, &[(2, v4("198.51.100.2")), (1, v4("198.51.100.2"))]);
    let push = |config: &Config, confirm| {
        router.push_image(&config.image_of("wg0"), Some(Act::Pushed), confirm).unwrap()
    };
    push(&from, false);
    // Routes of the other link, with sources of ours and of its own.
    let by_hand = |ty, to: &str, source: &str| {
        let attributes = [(1, v4(to)), (4, word(eth0)), (7, v4(source))];
        send(&router.world, ty, &[2, 24, 0, 0, 254, 4, 253, 1, 0, 0, 0, 0], &attributes);
    };
    by_hand(RTM_NEWROUTE, "10.77.0.0", "10.0.0.1");
    by_hand(RTM_NEWROUTE, "10.77.39.0", "10.0.39.1");
    by_hand(RTM_NEWROUTE, "10.78.0.0", "198.51.100.2");
    let has = |to: &str| router.seen().others.iter().any(|text| text.contains(to));
    assert!(has("10.77.0.0") && has("10.77.39.0") && has("10.78.0.0"));
    let revert = || {
        let reverted = router.with(|agent| agent.revert(&mut silent).map_err(|_| ()));
        reverted.unwrap();
    };
    let before = router.seen();
    push(&to, true);
    assert!(has("10.77.0.0") && !has("10.77.39.0") && has("10.78.0.0"));
    revert();
    assert_eq!(router.seen(), before);
    // What another program does to routes of other sources meanwhile is left alone.
    push(&to, true);
    by_hand(RTM_DELROUTE, "10.78.0.0", "198.51.100.2");
    revert();
    assert!(has("10.77.39.0") && !has("10.78.0.0"));
    push(&to, false);
    router.push_image(&to.image_of("wg0"), None, false).unwrap();
    change(&router, What::Remove, &[]).unwrap();
    assert_eq!(router.world.kind("wg0"), None);
}
