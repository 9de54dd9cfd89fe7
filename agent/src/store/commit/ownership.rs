//! Changes of one interface among others: whatever is pushed, refused, killed or removed, the rules
//! and routes of other interfaces, and manual ones, exist after every single request.

#![expect(clippy::result_large_err, reason = "tests have room")]

use std::collections::{BTreeMap, BTreeSet};

use proto_core::netlink::Errno;
use proto_core::netlink::route::{self, Rule as KernelRule};
use proto_core::protocol::config::{Item, Route, Rule};
use proto_core::protocol::message::{Code, Failure, Name, State};
use proto_core::protocol::report::Act;

use super::tests::{Config, Router, net, rule, silent};
use super::{Change, Done};
use crate::kernel::write::PROTOCOL;
use crate::testing::Incident;

/// Numbers that look random and are the same in each run.
pub(super) struct Dice(fastrand::Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0.usize(..n)
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

/// The identity of an address, route or rule in the tests, without the attributes that the kernel
/// adds.
pub(super) fn plain(text: &str) -> String {
    match text.split_once(" rule ") {
        Some(_) => text.to_owned(),
        None => text.split(" [").next().unwrap().to_owned(),
    }
}

pub(super) type Texts = BTreeSet<String>;

fn texts(all: &[String]) -> Texts {
    all.iter().map(|text| plain(text)).collect()
}

fn is_rule(text: &str) -> bool {
    text.starts_with(" rule ")
}

/// The state that a configuration gives an empty router.
fn expected(name: &str, config: &Config) -> Texts {
    let router = Router::default();
    router.push_image(&config.image_of(name), Some(Act::Pushed), false).unwrap();
    texts(&router.seen().others)
}

fn full_tunnel(mark: u32, n: u8) -> Config {
    let route = Route { table: mark, metric: 0, to: net("0.0.0.0/0") };
    let address = Item::Address(net(&format!("10.7{n}.0.2/32")));
    let rules = [Item::Rule(rule(mark, Some(mark))), Item::Rule(rule(254, None))];
    let items = [&[address, Item::Route(route)][..], &rules].concat();
    let peers = vec![(40 + n, Some(1000), vec![n])];
    Config { key: Some(n + 7), port: None, fwmark: mark, mtu: 1420, items, peers }
}

/// A configuration with a mark, and without rules.
fn split_tunnel(mark: u32, n: u8) -> Config {
    let full = full_tunnel(mark, n);
    Config { items: full.items[..1].to_vec(), ..full }
}

/// Puts a stored configuration back, or the state without the interface.
fn rolled_back(router: &Router, name: &str, number: u32, confirm: bool) -> Result<Done, Failure> {
    router.with(|agent| {
        let name: Name = name.parse().unwrap();
        let opened = agent.store.open(&name, number);
        let (head, mut image) = opened.map_err(|fault| agent.slot.take(fault))?;
        let act = Some(Act::RolledBack { number });
        let change = Change { act, confirm, pushed: head.pushed, ..Change::REPAIR };
        let done = if head.has_image() {
            agent.commit(&mut image, head.span(), &change, &mut silent)
        } else {
            agent.remove(&name, &change, &mut silent)
        };
        done.map_err(|fault| agent.slot.take(fault))
    })
}

fn push(router: &Router, name: &str, config: &Config) -> Result<Done, Failure> {
    router.push_image(&config.image_of(name), Some(Act::Pushed), false)
}

#[test]
fn a_second_full_tunnel_is_refused_before_anything_is_touched() {
    let router = Router::default();
    push(&router, "wg0", &full_tunnel(51820, 0)).unwrap();
    let before = router.seen();
    let requests = router.world.changes();
    let failure = push(&router, "wg1", &full_tunnel(51820, 1)).unwrap_err();
    assert_eq!((failure.code, failure.state), (Code::Config, State::Unchanged));
    assert_eq!(
        failure.text,
        "wg0 has the default route of table 51820: give this interface `FwMark = 51821`"
    );
    assert_eq!((router.seen(), router.world.changes()), (before, requests));
    push(&router, "wg1", &full_tunnel(51821, 1)).unwrap();
    let failure = push(&router, "wg2", &full_tunnel(51820, 2)).unwrap_err();
    assert!(failure.text.ends_with("`FwMark = 51822`"), "{}", failure.text);
    // Items that the kernel adds without an image count too.
    let router = Router::default();
    let eth9 = "eth9".parse().unwrap();
    router.world.by_hand(|buf| route::link::create(buf, 1, eth9, "dummy").unwrap()).unwrap();
    let index = router.world.index("eth9");
    router.world.by_hand(|buf| route::link::set_up(buf, 1, index, true).unwrap()).unwrap();
    let by_hand = route::Route::device(net("0.0.0.0/0"), index, 51820, 4);
    let fails = route::IfExists::Fail;
    router.world.by_hand(|buf| by_hand.add(buf, 1, fails).unwrap()).unwrap();
    let requests = router.world.changes();
    let failure = push(&router, "wg0", &full_tunnel(51820, 0)).unwrap_err();
    assert_eq!(
        failure.text,
        "eth9 has the default route of table 51820: give this interface `FwMark = 51821`"
    );
    assert_eq!(router.world.changes(), requests);
}

#[test]
fn a_route_of_another_interface_is_found_before_anything_is_touched() {
    let router = Router::default();
    let with_route = |n| {
        let mut config = split_tunnel(0, n);
        let to = net("10.9.0.0/16");
        config.items.push(Item::Route(Route { table: 254, metric: 0, to }));
        config
    };
    push(&router, "wg0", &with_route(0)).unwrap();
    let requests = router.world.changes();
    let failure = push(&router, "wg1", &with_route(1)).unwrap_err();
    assert_eq!((failure.code, failure.state), (Code::Config, State::Unchanged));
    assert!(failure.text.starts_with("wg0 has the same route of table 254"), "{}", failure.text);
    assert_eq!(router.world.changes(), requests);
}

/// Addresses bring routes of their own, and take them along: `eth9` and `wg0` have networks in common.
#[test]
fn a_network_of_another_interface_is_a_clash_before_anything_is_touched() {
    let networks = ["192.0.2.0/24", "192.0.2.0/25", "10.0.0.0/24", "fd05::/64", "fd06::/64"];
    let hosts = ["192.0.2.1/24", "192.0.2.2/24", "192.0.2.3/25", "192.0.2.4/32", "10.0.0.1/24"];
    let (mut applied, mut refused) = (0, 0);
    for seed in 0..600 {
        let mut dice = Dice::new(seed);
        let mut config = || {
            let mut items = Vec::new();
            for host in hosts.iter().chain(&["fd05::1/64", "fd05::2/128", "fd06::1/64"]) {
                items.extend(dice.one_in(3).then(|| Item::Address(net(host))));
            }
            for network in networks {
                let to = net(network);
                let metric = if network.contains(':') { dice.pick(&[0, 256]) } else { 0 };
                let route = Route { table: 254, metric, to };
                items.extend(dice.one_in(3).then_some(Item::Route(route)));
            }
            Config { key: Some(7), mtu: 1420, items, ..Config::default() }
        };
        let (old, new) = (config(), config());
        let router = Router::default();
        let eth9 = "eth9".parse().unwrap();
        router.world.by_hand(|buf| route::link::create(buf, 1, eth9, "dummy").unwrap()).unwrap();
        let index = router.world.index("eth9");
        router.world.by_hand(|buf| route::link::set_up(buf, 1, index, true).unwrap()).unwrap();
        for host in ["192.0.2.9/24", "fd05::9/64"] {
            let address = route::Addr::new(index, net(host));
            let fails = route::IfExists::Fail;
            router.world.by_hand(|buf| address.add(buf, 1, fails).unwrap()).unwrap();
        }
        let others = texts(&router.seen().others);
        for config in [&old, &new, &new] {
            let before = router.seen();
            match push(&router, "wg0", config) {
                Ok(_) => {
                    applied += 1;
                    assert!(push(&router, "wg0", config).unwrap().summary.is_quiet(), "{seed}");
                }
                Err(failure) => {
                    refused += 1;
                    let what = (failure.code, failure.state);
                    let clash = (Code::Config, State::Unchanged);
                    assert_eq!(what, clash, "{seed}: {failure:?}\n{old:?}\n{new:?}");
                    assert_eq!(router.seen(), before);
                }
            }
            assert!(texts(&router.seen().others).is_superset(&others), "{seed}");
        }
    }
    println!("{applied} applied, {refused} refused");
    assert!(applied > 100 && refused > 100, "{applied} {refused}");
}

#[test]
fn two_interfaces_with_one_mark_keep_the_rules_of_the_one_that_has_them() {
    let (full, split) = (full_tunnel(51820, 0), split_tunnel(51820, 1));
    for full_first in [true, false] {
        let router = Router::default();
        let (first, second) = if full_first { ("wg0", "wgs") } else { ("wgs", "wg0") };
        let config = |name| if name == "wg0" { &full } else { &split };
        push(&router, first, config(first)).unwrap();
        push(&router, second, config(second)).unwrap();
        let both = router.seen();
        for name in [first, second] {
            assert!(push(&router, name, config(name)).unwrap().summary.is_quiet());
        }
        assert!(router.start());
        assert_eq!(router.seen(), both);
        assert_eq!(router.remove("wgs", false).unwrap().summary.rules.removed, 0);
        let rules = router.seen().others.iter().filter(|text| is_rule(text)).count();
        assert_eq!(rules, 2);
        assert_eq!(router.remove("wg0", false).unwrap().summary.rules.removed, 2);
    }
}

#[test]
fn a_shared_rule_goes_with_the_last_interface_that_has_it() {
    let router = Router::default();
    push(&router, "wg0", &full_tunnel(51820, 0)).unwrap();
    push(&router, "wg1", &full_tunnel(51821, 1)).unwrap();
    let rules = |router: &Router| router.seen().others.iter().filter(|text| is_rule(text)).count();
    assert_eq!(rules(&router), 3);
    assert_eq!(router.remove("wg0", false).unwrap().summary.rules.removed, 1);
    assert_eq!(rules(&router), 2);
    push(&router, "wg1", &split_tunnel(51821, 1)).unwrap();
    assert_eq!(rules(&router), 0);
}

#[test]
fn any_rule_is_known_again_and_goes_with_its_interface() {
    let odd = |priority, table, fwmark, suppress| {
        Item::Rule(Rule {
            v6: false,
            priority,
            table,
            fwmark,
            invert: false,
            suppress_prefixlength: suppress,
        })
    };
    let rules = [odd(5, 7, None, None), odd(6, 254, None, Some(0)), odd(7, 8, Some(5), None)];
    let without = split_tunnel(0, 0);
    let mut with = without.clone();
    with.items.extend(rules);
    let router = Router::default();
    push(&router, "wg0", &with).unwrap();
    assert_eq!(push(&router, "wg0", &without).unwrap().summary.rules.removed, 3);
    assert_eq!(push(&router, "wg0", &with).unwrap().summary.rules.added, 3);
    assert_eq!(router.remove("wg0", false).unwrap().summary.rules.removed, 3);
    assert_eq!(router.seen().others, [""; 0]);
    // A rule that the kernel could take for another one's is refused.
    let alike = |mark| {
        let mut config = split_tunnel(0, 1);
        config.items.push(odd(7, 8, mark, None));
        config
    };
    push(&router, "wg0", &with).unwrap();
    assert_eq!(push(&router, "wg1", &alike(None)).unwrap_err().code, Code::Config);
    push(&router, "wg1", &alike(Some(5))).unwrap();
}

#[test]
fn what_can_never_be_applied_is_refused_before_anything_is_touched() {
    let router = Router::default();
    push(&router, "wg0", &full_tunnel(51820, 0)).unwrap();
    let requests = router.world.changes();
    let wide = Config { mtu: 1420, ..full_tunnel(51820, 0) };
    let with = |mtu, item| Config { mtu, items: vec![item], ..wide.clone() };
    let address = |text| Item::Address(net(text));
    let mut wrong = vec![
        Config { port: Some(0), ..wide.clone() },
        Config { key: Some(0), ..wide.clone() },
        with(1420, address("0.0.0.0/24")),
        with(1279, address("fd00::1/64")),
        with(1420, Item::Route(Route { table: 0, metric: 0, to: net("10.0.0.0/8") })),
        with(1420, Item::Rule(Rule { priority: 0, ..rule(7, Some(1)) })),
        with(1420, Item::Rule(Rule { table: 0, ..rule(7, Some(1)) })),
        // An allowed IP twice, in one peer and in two.
        Config { peers: vec![(1, Some(5), vec![1, 2, 1])], ..wide.clone() },
    ];
    for last in [9, 40] {
        let ips = |n: u8| (n..n + 8).collect::<Vec<u8>>();
        let mut peers: Vec<_> = (1..6).map(|n| (n, Some(5), ips(n * 8))).collect();
        peers[4].2.push(last);
        wrong.push(Config { peers, ..wide.clone() });
    }
    for config in &wrong {
        let failure = push(&router, "wg0", config).unwrap_err();
        let what = (failure.code, failure.state);
        assert_eq!(what, (Code::Config, State::Unchanged), "{config:?}: {failure:?}");
        assert!(!failure.text.is_empty());
        assert_eq!(router.world.changes(), requests);
    }
}

#[test]
fn rules_that_no_image_has_stay_and_are_logged() {
    let router = Router::default();
    push(&router, "wg0", &full_tunnel(51820, 0)).unwrap();
    // The stored configurations were lost.
    let router = Router { world: router.world, ..Router::default() };
    push(&router, "wg1", &full_tunnel(51821, 1)).unwrap();
    let before = router.seen();
    assert!(router.start());
    let log = router.bench.log.borrow();
    let words = "policy rules of protocol 87 that no stored configuration has: 1;";
    assert!(log.iter().any(|line| line.starts_with(words)), "{log:?}");
    assert_eq!(router.seen(), before);
    assert_eq!(router.remove("wg1", false).unwrap().summary.rules.removed, 2);
}

/// A router with a few interfaces on which things are done, and what should be on it.
struct Play {
    router: Router,
    dice: Dice,
    stored: BTreeMap<&'static str, Config>,
    /// The stored configurations by interface and number; `None` for a removal.
    history: BTreeMap<(&'static str, u32), Option<Config>>,
    /// Rules that belong to no interface of the agent.
    by_hand: Texts,
    steps: usize,
    requests: usize,
    /// Repairs that changed something, and rollbacks.
    repaired: usize,
    rolled_back: usize,
}

/// A change in a [`Play`].
#[derive(Clone, Copy, Debug)]
enum Way {
    Push,
    Remove,
    Repair,
    Rollback(u32),
}

const NAMES: [&str; 3] = ["wg0", "wg1", "wg2"];

impl Play {
    fn config(&mut self, name: &str) -> Config {
        let n = NAMES.iter().position(|other| *other == name).unwrap() as u8;
        let mark = self.dice.pick(&[51820, 51821, 100]);
        let mut config = match self.dice.below(4) {
            0 => split_tunnel(mark, n),
            1 => split_tunnel(0, n),
            _ => full_tunnel(mark, n),
        };
        for _ in 0..self.dice.below(3) {
            let item = match self.dice.below(4) {
                0 => Item::Rule(rule(254, None)),
                1 => Item::Rule(Rule { v6: true, ..rule(254, None) }),
                2 => Item::Rule(rule(self.dice.pick(&[20, 30]), Some(mark))),
                _ => Item::Route(Route {
                    table: 254,
                    metric: 0,
                    to: net(self.dice.pick(&["10.8.0.0/16", "10.9.0.0/16"])),
                }),
            };
            if !config.items.contains(&item) {
                config.items.push(item);
            }
        }
        config
    }

    /// Rules and routes that no request may remove while `name` is changed, and those that may
    /// change.
    fn bounds(&self, name: &str, new: Option<&Config>) -> (Texts, Texts) {
        let own = |name: &str, config: &Config| expected(name, config);
        let mut may_change = Texts::new();
        for config in self.stored.get(name).into_iter().chain(new) {
            may_change.extend(own(name, config));
        }
        let mut protected = texts(&self.router.seen().others);
        protected
            .retain(|text| !may_change.contains(text) && !text.starts_with(&format!("{name} ")));
        for (other, config) in self.stored.iter().filter(|(other, _)| **other != name) {
            protected.extend(own(other, config));
        }
        protected.extend(self.by_hand.iter().cloned());
        (protected, may_change)
    }

    /// Does to an interface what another program may do, and a repair undoes.
    fn meddle(&mut self, name: &str, config: &Config) {
        let world = &self.router.world;
        let index = world.index(name);
        match self.dice.below(4) {
            0 => world.by_hand(|buf| route::link::set_up(buf, 1, index, false).unwrap()).unwrap(),
            1 => {
                for item in &config.items {
                    if let Item::Address(net) = item {
                        let address = route::Addr::new(index, *net);
                        world.by_hand(|buf| address.delete(buf, 1).unwrap()).unwrap();
                    }
                }
            }
            2 => {
                let others = self.stored.iter().filter(|(other, _)| **other != name);
                let others: Vec<&Config> = others.map(|(_, config)| config).collect();
                for item in &config.items {
                    let Item::Rule(rule) = item else { continue };
                    if others.iter().any(|other| other.items.contains(item)) {
                        continue;
                    }
                    let rule = KernelRule {
                        priority: Some(rule.priority),
                        fwmark: rule.fwmark,
                        invert: rule.invert,
                        suppress_prefixlen: rule.suppress_prefixlength,
                        protocol: PROTOCOL,
                        ..KernelRule::new(rule.family(), rule.table)
                    };
                    world.by_hand(|buf| rule.delete(buf, 1).unwrap()).unwrap();
                }
            }
            // There is nothing to repair.
            _ => {}
        }
    }

    fn step(&mut self) {
        let name = self.dice.pick(&NAMES);
        let is_stored = self.stored.contains_key(name);
        let numbers: Vec<u32> =
            self.history.keys().filter(|(of, _)| *of == name).map(|(_, number)| *number).collect();
        let (way, new) = match self.dice.below(9) {
            0 if is_stored => (Way::Remove, None),
            1 if is_stored => (Way::Push, self.stored.get(name).cloned()),
            2 if is_stored => (Way::Repair, self.stored.get(name).cloned()),
            3 | 4 if !numbers.is_empty() => {
                let number = self.dice.pick(&numbers);
                (Way::Rollback(number), self.history[&(name, number)].clone())
            }
            _ => (Way::Push, Some(self.config(name))),
        };
        let untouched = self.router.seen();
        if let (Way::Repair, Some(config)) = (way, &new) {
            self.meddle(name, config);
        }
        let confirm = new.is_some() && self.dice.one_in(4);
        let incident = match self.dice.below(6) {
            0 => Some(Incident::Refused(Errno::ENOMEM)),
            1 => Some(Incident::Gone),
            2 => Some(Incident::Broken(Errno::EPERM)),
            _ => None,
        };
        let (protected, may_change) = self.bounds(name, new.as_ref());
        let before = self.router.seen();
        let all_before = texts(&before.others);
        let at = self.router.world.changes();
        self.router.world.watch();
        if let Some(incident) = incident {
            self.router.world.incident(self.dice.below(12), incident);
        }
        let mut done = match (way, &new) {
            (Way::Rollback(number), _) => rolled_back(&self.router, name, number, confirm),
            (_, None) => self.router.remove(name, false),
            (_, Some(config)) => {
                let act = matches!(way, Way::Push).then_some(Act::Pushed);
                self.router.push_image(&config.image_of(name), act, confirm)
            }
        };
        let mut what = format!("{way:?} {name} {new:?} {incident:?} {done:?}");
        self.router.world.revive();
        let waits = done.as_ref().is_ok_and(|done| done.pending.is_some());
        let mut restarts = incident.is_some() && self.dice.one_in(2);
        restarts |= matches!(incident, Some(Incident::Gone | Incident::Broken(_))) && done.is_err();
        if waits {
            let head = done.as_ref().unwrap().pending.clone().unwrap();
            match self.dice.below(3) {
                0 => self.router.with(|agent| agent.confirm(&head, &mut silent)).unwrap(),
                1 => {
                    self.router.with(|agent| agent.revert(&mut silent)).unwrap();
                    done = Err(Failure::new(Code::NotPending, "taken back"));
                }
                _ => {
                    restarts = true;
                    done = Err(Failure::new(Code::NotPending, "killed while it waited"));
                }
            }
        }
        if restarts {
            assert!(self.router.start(), "{what}");
            what += " and started";
        }
        let watched = self.router.world.watched();
        for (n, seen) in watched.iter().enumerate() {
            let seen = texts(seen);
            let lost: Vec<_> = protected.difference(&seen).collect();
            assert!(lost.is_empty(), "request {n} of {what} took {lost:?} away");
            let strange: Vec<_> = seen
                .difference(&all_before)
                .filter(|text| {
                    !may_change.contains(*text) && !text.starts_with(&format!("{name} "))
                })
                .collect();
            assert!(strange.is_empty(), "request {n} of {what} made {strange:?}");
        }
        self.requests += self.router.world.changes() - at;
        self.steps += 1;
        let mut now = self.router.seen();
        // The next start finds the change complete if the agent was killed after the last step.
        let stands = done.is_ok() || (restarts && now != before);
        match (&new, stands) {
            (Some(config), true) => {
                self.stored.insert(name, config.clone());
            }
            (None, true) => {
                self.stored.remove(name);
            }
            (_, false) => {
                if let Err(failure) = &done
                    && failure.code == Code::Config
                {
                    assert_eq!(failure.state, State::Unchanged);
                    assert!(watched.is_empty() || restarts, "{what}");
                }
                assert_eq!(now, before, "{what}");
                if let Way::Repair = way {
                    assert!(self.router.start(), "{what}");
                    now = self.router.seen();
                }
            }
        }
        match way {
            Way::Repair => {
                assert_eq!(now, untouched, "{what}");
                self.repaired += usize::from(now != before);
            }
            Way::Rollback(_) => self.rolled_back += usize::from(stands),
            Way::Push | Way::Remove => {}
        }
        let newest = self.router.with(|agent| agent.newest_whole(name).unwrap());
        if let Some((head, _)) = newest {
            let config = self.stored.get(name).cloned();
            assert_eq!(head.has_image(), config.is_some(), "{what}");
            self.history.entry((name, head.number)).or_insert(config);
        }
        // The running state is that of the images, and contains nothing else.
        let mut all: Texts = self.by_hand.clone();
        for (name, config) in &self.stored {
            all.extend(expected(name, config));
        }
        assert_eq!(texts(&now.others), all, "{what}");
    }
}

#[test]
fn no_request_touches_rules_and_routes_of_other_interfaces() {
    let (mut steps, mut requests, mut repaired, mut rolled_back) = (0, 0, 0, 0);
    for seed in 1..=150 {
        let router = Router::default();
        // A rule with our number that no image has, and a rule of another program.
        for protocol in [PROTOCOL, 4] {
            let by_hand = KernelRule {
                priority: Some(100 + u32::from(protocol)),
                fwmark: Some(51820),
                protocol,
                ..KernelRule::new(2, 51820)
            };
            router.world.by_hand(|buf| by_hand.add(buf, 1).unwrap()).unwrap();
        }
        let by_hand = texts(&router.seen().others);
        let dice = Dice::new(seed);
        let (stored, history) = (BTreeMap::new(), BTreeMap::new());
        let mut play = Play {
            router,
            dice,
            stored,
            history,
            by_hand,
            steps: 0,
            requests: 0,
            repaired: 0,
            rolled_back: 0,
        };
        for _ in 0..25 {
            play.step();
        }
        steps += play.steps;
        requests += play.requests;
        repaired += play.repaired;
        rolled_back += play.rolled_back;
    }
    println!(
        "{steps} changes of one of three interfaces, {requests} requests, each looked at; {repaired} repairs and \
         {rolled_back} rollbacks"
    );
    assert!(repaired > 50 && rolled_back > 50, "{repaired} {rolled_back}");
}
