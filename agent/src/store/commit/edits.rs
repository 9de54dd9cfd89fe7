//! Any image to any other: the first push applies the differences, the second finds none, and items
//! of both images exist all the time. The kernel in memory has Linux's side effects
//! (`testing/world`).

#![expect(clippy::result_large_err, reason = "tests have room")]

use std::collections::BTreeSet;

use proto_core::ip::IpNet;
use proto_core::protocol::config::{Item, Route};
use proto_core::protocol::report::Act;

use super::ownership::{Dice, Texts, plain};
use super::tests::{Config, Router, net, rule};

const ADDRESSES: [&str; 10] = [
    "10.0.0.1/24",
    "10.0.0.1/32",
    "10.0.0.1/25",
    "10.0.0.2/24",
    "10.0.0.200/24",
    "10.0.1.1/24",
    "172.16.0.1/12",
    "10.0.0.3/32",
    "192.0.2.1/24",
    "10.0.0.9/30",
];
const ADDRESSES_6: [&str; 7] = [
    "fd00::1/64",
    "fd00::1/128",
    "fd00::2/64",
    "fd00::3/48",
    "fd01::1/64",
    "fe80::1/64",
    "fe80::2/128",
];
const ROUTES: [(&str, u32, u32); 8] = [
    ("10.0.0.0/24", 254, 0),
    ("10.9.0.0/16", 254, 0),
    ("10.9.0.0/16", 254, 5),
    ("0.0.0.0/0", 51820, 0),
    ("0.0.0.0/0", 7, 0),
    ("10.0.0.0/24", 7, 0),
    ("10.0.1.0/24", 254, 0),
    ("172.16.5.0/24", 254, 0),
];
const ROUTES_6: [(&str, u32, u32); 5] = [
    ("::/0", 51820, 0),
    ("fd00::/64", 254, 0),
    ("fd09::/64", 254, 0),
    ("fd09::/64", 254, 7),
    ("fd00::/64", 7, 0),
];

fn some<T: Clone>(dice: &mut Dice, from: &[T]) -> Vec<T> {
    let sparse = 1 + dice.below(4);
    from.iter().filter(|_| dice.one_in(1 + sparse)).cloned().collect()
}

pub(super) fn config(dice: &mut Dice) -> Config {
    let mtu = dice.pick(&[576, 1279, 1280, 1420, 1420, 1420]);
    let v6 = mtu >= 1280;
    let mut items: Vec<Item> =
        some(dice, &ADDRESSES).iter().map(|text| Item::Address(net(text))).collect();
    let route = |(to, table, metric): &(&str, u32, u32)| {
        Item::Route(Route { table: *table, metric: *metric, to: net(to) })
    };
    items.extend(some(dice, &ROUTES).iter().map(route));
    if v6 {
        let mut seen = BTreeSet::new();
        let nets: Vec<IpNet> = some(dice, &ADDRESSES_6).iter().map(|text| net(text)).collect();
        // An address has only one prefix.
        items.extend(nets.into_iter().filter(|net| seen.insert(net.addr)).map(Item::Address));
        items.extend(some(dice, &ROUTES_6).iter().map(route));
    }
    let mark = dice.pick(&[0, 51820, 51821]);
    if mark != 0 && dice.one_in(2) {
        items.extend([Item::Rule(rule(mark, Some(mark))), Item::Rule(rule(254, None))]);
    }
    let peers = (1..=dice.below(4) as u8)
        .map(|n| (n, dice.pick(&[Some(1000), Some(1001)]), vec![n, n + 100]))
        .collect();
    Config { key: Some(7 + dice.below(2) as u8), port: None, fwmark: mark, mtu, items, peers }
}

fn texts(all: &[String]) -> Texts {
    all.iter().filter(|text| !is_the_kernels(text)).map(|text| plain(text)).collect()
}

/// A route that the kernel made for an address.
fn is_the_kernels(text: &str) -> bool {
    let Some((_, header)) = text.split_once(" route ").and_then(|(_, rest)| rest.split_once(" ["))
    else {
        return false;
    };
    header.split(", ").nth(5) == Some("2")
}

fn v4_addresses(config: &Config) -> usize {
    config.items.iter().filter(|i| matches!(i, Item::Address(net) if net.addr.is_ipv4())).count()
}

/// The addresses, routes and rules of a configuration.
fn said(config: &Config) -> Texts {
    config
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Address(net) => Some(format!("wg0 address {net}")),
            Item::Route(Route { table, metric, to }) => {
                let metric = if to.addr.is_ipv6() && *metric == 0 { 1024 } else { *metric };
                Some(format!("wg0 route {to} table {table} metric {metric}"))
            }
            _ => None,
        })
        .collect()
}

fn push(router: &Router, config: &Config) -> Result<super::Done, super::Failure> {
    router.push_image(&config.image_of("wg0"), Some(Act::Pushed), false)
}

/// Changes one configuration to another. Returns the number of items that existed all the time.
fn edit(router: &Router, from: &Config, to: &Config) -> usize {
    let before = router.seen();
    router.world.watch();
    let done = push(router, to);
    let watched = router.world.watched();
    let done = done.unwrap_or_else(|failure| panic!("{from:?}\n-> {to:?}\n{failure:?}"));
    let again = push(router, to).unwrap();
    assert!(again.summary.is_quiet(), "{from:?}\n-> {to:?}\n{done:?}\n{again:?}");
    let now = router.seen();
    let has: Texts = now.others.iter().map(|text| plain(text)).collect();
    let lacks: Vec<_> = said(to).difference(&has).cloned().collect();
    assert!(lacks.is_empty(), "{from:?}\n-> {to:?}\n{lacks:?}");
    let fresh = Router::default();
    push(&fresh, to).unwrap();
    let fresh = fresh.seen();
    assert_eq!((&now.links, &now.peers), (&fresh.links, &fresh.peers));
    let extra: Vec<_> = texts(&now.others).difference(&texts(&fresh.others)).cloned().collect();
    // A route that the kernel adds too belongs to the agent or to the kernel, whichever was first.
    let extra: Vec<_> = extra.into_iter().filter(|text| !said(to).contains(text)).collect();
    assert!(extra.is_empty(), "{from:?}\n-> {to:?}\n{extra:?}");
    let both: Texts = said(from).intersection(&said(to)).cloned().collect();
    // The kernel removes all IPv4 routes with the last IPv4 address.
    let loses_all = v4_addresses(from) > 0 && v4_addresses(to) == 0;
    let own = texts(&before.others);
    let both: Texts = both
        .into_iter()
        // A route of the kernel is removed with its address.
        .filter(|text| own.contains(text))
        .filter(|text| !loses_all || !text.contains(" route ") || text.contains(':'))
        .collect();
    for (n, seen) in watched.iter().enumerate() {
        let seen: Texts = seen.iter().map(|text| plain(text)).collect();
        let lost: Vec<_> = both.difference(&seen).collect();
        assert!(lost.is_empty(), "{from:?}\n-> {to:?}\nrequest {n} took {lost:?} away");
    }
    both.len()
}

#[test]
fn any_image_to_any_other_is_one_push() {
    let mut dice = Dice::new(11);
    let (mut pairs, mut kept) = (0, 0);
    for _ in 0..300 {
        let router = Router::default();
        let mut from = config(&mut dice);
        push(&router, &from).unwrap_or_else(|failure| panic!("{from:?}: {failure:?}"));
        for _ in 0..4 {
            let to = config(&mut dice);
            kept += edit(&router, &from, &to);
            pairs += 1;
            from = to;
        }
    }
    println!("{pairs} pairs of images, {kept} things that both have");
}

fn with(mtu: u32, addresses: &[&str], routes: &[&str]) -> Config {
    let addresses = addresses.iter().map(|text| Item::Address(net(text)));
    let routes = routes.iter().map(|to| Item::Route(Route { table: 254, metric: 0, to: net(to) }));
    let items = addresses.chain(routes).collect();
    Config { key: Some(7), mtu, items, ..Config::default() }
}

#[test]
fn another_address_keeps_the_routes() {
    let route = &["10.62.0.0/16"][..];
    for (from, to) in [
        (with(1420, &["10.51.0.1/24"], route), with(1420, &["10.52.0.1/24"], route)),
        (with(1420, &["10.51.0.1/24"], route), with(1420, &["10.51.0.2/24"], route)),
        (
            with(1420, &["10.51.0.1/24", "10.51.0.2/24"], route),
            with(1420, &["10.51.0.2/24"], route),
        ),
    ] {
        let router = Router::default();
        push(&router, &from).unwrap();
        assert!(edit(&router, &from, &to) > 0);
    }
    let router = Router::default();
    let from = with(1420, &["10.50.0.1/24"], &[]);
    push(&router, &from).unwrap();
    edit(&router, &from, &with(1420, &["10.50.0.1/32"], &["10.50.0.0/24"]));
}

#[test]
fn an_mtu_below_1280_and_back_is_two_pushes() {
    let narrow = with(1200, &["10.0.0.1/24"], &[]);
    let wide = with(1280, &["10.0.0.1/24", "fd00::1/64"], &["fd09::/64"]);
    let router = Router::default();
    push(&router, &narrow).unwrap();
    edit(&router, &narrow, &wide);
    edit(&router, &wide, &narrow);
    edit(&router, &narrow, &wide);
    // The same by hand, and a repair.
    let index = router.world.index("wg0");
    for mtu in [1200, 1420] {
        let by_hand = router
            .world
            .by_hand(|buf| proto_core::netlink::route::link::set_mtu(buf, 1, index, mtu).unwrap());
        by_hand.unwrap();
        router.push_image(&wide.image_of("wg0"), None, false).unwrap();
        assert!(push(&router, &wide).unwrap().summary.is_quiet());
    }
}
