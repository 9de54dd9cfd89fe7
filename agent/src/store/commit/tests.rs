//! Changes that are cut at every request to the kernel and at every step of the disk: what runs and what is
//! stored is then the old or the new, and both are the same.

#![expect(clippy::result_large_err, reason = "tests have room")]

use core::net::SocketAddr;

use super::*;
use crate::kernel::exchange::Buffers;
use crate::store::start::{Occasion, Pass};
use crate::system::Disk;
use crate::testing::{
    Bench, Cellar, Incident, Mishap, Seen, Shelf, UNSYNCED, Wire, World, record_bytes,
};
use proto_core::ip::IpNet;
use proto_core::netlink::{Errno, route};
use proto_core::protocol::config::{Host, Item, Peer, Route, Rule};
use proto_core::protocol::digest;
use proto_core::protocol::message::cut;

mod cuts;
mod undone;

type Agent<'b> = Committer<'b, (Wire, Cellar, Bench)>;

/// A router: what its kernel has, and its two folders.
#[derive(Default)]
pub(super) struct Router {
    pub(super) world: World,
    pub(super) keep: Cellar,
    pub(super) state: Cellar,
    pub(super) bench: Bench,
}

/// What is to be configured.
#[derive(Clone, Default, Debug)]
pub(super) struct Config {
    pub(super) key: Option<u8>,
    pub(super) port: Option<u16>,
    pub(super) fwmark: u32,
    pub(super) mtu: u32,
    pub(super) items: Vec<Item>,
    /// The first byte of a key, what goes with it, and the last bytes of its allowed IPs.
    pub(super) peers: Vec<(u8, Option<u16>, Vec<u8>)>,
}

pub(super) fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

impl Config {
    /// With routes, rules for a default route, and peers.
    pub(super) fn old() -> Self {
        let items = vec![
            Item::Address(net("10.0.0.1/24")),
            Item::Address(net("fd00::1/64")),
            Item::Route(Route { table: 51820, metric: 0, to: net("0.0.0.0/0") }),
            Item::Route(Route { table: 254, metric: 5, to: net("10.9.0.0/16") }),
            Item::Rule(rule(51820, Some(51820))),
            Item::Rule(rule(254, None)),
        ];
        let peers =
            vec![(1, Some(1001), vec![1, 2, 3]), (2, None, vec![4]), (3, Some(1003), vec![5])];
        Self { key: Some(7), port: Some(51820), fwmark: 51820, mtu: 1420, items, peers }
    }

    /// With everything that can be otherwise.
    pub(super) fn new() -> Self {
        let items = vec![
            Item::Address(net("10.0.0.2/24")),
            Item::Address(net("fd00::1/64")),
            Item::Route(Route { table: 51821, metric: 0, to: net("0.0.0.0/0") }),
            Item::Route(Route { table: 254, metric: 5, to: net("10.8.0.0/16") }),
            Item::Rule(rule(51821, Some(51821))),
        ];
        // 1 loses an address to 2, 3 goes, 4 and 5 come.
        let peers = vec![
            (1, Some(2001), vec![2, 3]),
            (2, Some(2002), vec![1, 4, 9]),
            (4, None, vec![5]),
            (5, Some(2005), (20..60).collect()),
        ];
        Self { key: Some(8), port: Some(51821), fwmark: 51821, mtu: 1380, items, peers }
    }

    fn image(&self) -> Vec<u8> {
        self.image_of("wg0")
    }

    pub(super) fn image_of(&self, name: &str) -> Vec<u8> {
        let private_key = match self.key {
            None => PrivateKey::Generate,
            Some(key) => PrivateKey::Given(SecretKey::new([key; 32])),
        };
        let Self { port: listen_port, fwmark, mtu, .. } = *self;
        let name = name.parse().unwrap();
        let mut records =
            vec![Record::Interface(Interface { name, private_key, listen_port, fwmark, mtu })];
        let mut items = self.items.clone();
        items.sort_by_key(Item::key);
        records.extend(items.iter().map(|item| item.record().unwrap()));
        for (key, endpoint, ips) in &self.peers {
            records.push(Record::Peer(Peer {
                public_key: PublicKey([*key; 32]),
                preshared_key: endpoint.map(|_| SecretKey::new([*key | 0x80; 32])),
                endpoint: endpoint.map(|port| SocketAddr::from(([192, 0, 2, *key], port)).into()),
                persistent_keepalive: endpoint.unwrap_or(0),
            }));
            let ips = ips.iter().map(|n| Record::AllowedIp(net(&format!("10.1.0.{n}/32"))));
            records.extend(ips);
        }
        let mut image = Vec::new();
        for record in records {
            image.extend(record_bytes(&record));
        }
        image
    }
}

pub(super) fn rule(table: u32, fwmark: Option<u32>) -> Rule {
    let (invert, suppress_prefixlength) = (fwmark.is_some(), fwmark.is_none().then_some(0));
    Rule { v6: false, priority: table / 2, table, fwmark, invert, suppress_prefixlength }
}

pub(super) fn silent(_: Phase, _: u32, _: u32) {}

impl Router {
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Agent<'_>) -> T) -> T {
        let slot = Slot::default();
        let (mut buffers, mut set) = (Buffers::default(), [0; SET]);
        let kernel =
            Kernel::new(self.world.socket(false), self.world.socket(true), &slot, &mut buffers);
        let mut scratch = Cellar::default();
        let mut file = |name| scratch.create(name).unwrap();
        let files = Files { index: file(c"i"), extras: file(c"x"), report: file(c"r") };
        let folders = (self.keep.clone(), self.state.clone());
        act(&mut Committer::new(kernel, files, &self.bench, &mut set, folders))
    }

    fn push_with(&self, config: &Config, confirm: bool) -> Result<Done, Failure> {
        self.with(|agent| push(agent, config, confirm))
    }

    fn push(&self, config: &Config) -> Result<Done, Failure> {
        self.push_with(config, false)
    }

    /// Pushes an image, confirmed or not, or puts back what is stored.
    pub(super) fn push_image(
        &self,
        image: &[u8],
        act: Option<Act>,
        confirm: bool,
    ) -> Result<Done, Failure> {
        self.with(|agent| commit(agent, image, act, confirm))
    }

    /// Starts the agent: whether all that is stored runs then.
    pub(super) fn start(&self) -> bool {
        self.with(|agent| {
            let _ = agent.take_back_unfinished();
            let mut pass = Pass::default();
            let mut more = true;
            while more {
                more =
                    agent.apply_next(&mut pass, &|_| true, &mut |_, _| Ok(()), &mut |_, _, _| {});
            }
            !pass.failed
        })
    }

    /// Removes an interface.
    pub(super) fn remove(&self, name: &str, confirm: bool) -> Result<Done, Failure> {
        self.with(|agent| {
            let change = Change { act: Some(Act::Removed), confirm, ..Change::REPAIR };
            let done = agent.remove(&name.parse().unwrap(), &change, &mut silent);
            done.map_err(|fault| agent.slot.take(fault))
        })
    }

    fn newest(&self) -> Option<u32> {
        self.with(|agent| agent.newest_whole("wg0").unwrap().map(|(head, _)| head.number))
    }

    pub(super) fn seen(&self) -> Seen {
        self.world.seen()
    }

    /// A router with the old configuration, where peers were also made in another order.
    fn old() -> Self {
        let router = Self::default();
        router.push(&Config::old()).unwrap();
        router.world.meddle("wg0", |device| device.peers.reverse());
        router
    }

    /// The same router after a reboot, with what a power cut left on its disk.
    fn rebooted(&self, changes: usize, unsynced: crate::testing::Unsynced) -> Self {
        let keep = self.keep.after_cut(changes, unsynced);
        let router = Self { keep, ..Self::default() };
        router.bench.boot.set(self.bench.boot.get() + 1);
        router
    }
}

fn push(agent: &mut Agent<'_>, config: &Config, confirm: bool) -> Result<Done, Failure> {
    commit(agent, &config.image(), Some(Act::Pushed), confirm)
}

fn commit(
    agent: &mut Agent<'_>,
    bytes: &[u8],
    act: Option<Act>,
    confirm: bool,
) -> Result<Done, Failure> {
    let mut image: Shelf = Cellar::default().create(c"stage").unwrap();
    image.write_at(0, bytes).unwrap();
    let span = Span { from: 0, end: bytes.len() as u32 };
    let by = cut("anne");
    let change =
        Change { act, key: PublicKey([3; 32]), by, confirm, adopt: Adopt::Link, ..Change::REPAIR };
    let done = agent.commit(&mut image, span, &change, &mut silent);
    done.map_err(|fault| agent.slot.take(fault))
}

/// What a router has with a configuration.
fn target(config: &Config) -> Seen {
    let router = Router::default();
    router.push(config).unwrap();
    router.seen()
}

/// How many requests a push of the new configuration to the old router is, and how many steps of the disk.
fn whole_push() -> (usize, usize) {
    let router = Router::old();
    let (changes, steps) = (router.world.changes(), router.keep.steps());
    router.push(&Config::new()).unwrap();
    assert_eq!(router.seen(), target(&Config::new()));
    (router.world.changes() - changes, router.keep.steps() - steps)
}

#[test]
fn a_configuration_that_no_start_would_find_is_not_stored() {
    let router = Router::default();
    let name = c"wg0.4294967294";
    router.keep.clone().create(name).unwrap().write_at(0, b"restored from a wrong backup").unwrap();
    let failure = router.push(&Config::old()).unwrap_err();
    assert_eq!((failure.code, failure.state), (Code::Storage, State::Unchanged), "{failure:?}");
    assert_eq!(router.seen(), Router::default().seen());
    router.keep.clone().unlink(name).unwrap();
    router.push(&Config::old()).unwrap();
    assert_eq!(router.newest(), Some(1));
}

#[test]
fn a_refusal_of_any_request_changes_nothing() {
    let (mut undone, mut unchanged) = (0, 0);
    for at in 0..whole_push().0 {
        for incident in [Incident::Refused(Errno::ENOMEM), Incident::Deleted] {
            let router = Router::old();
            let before = router.seen();
            router.world.incident(at, incident);
            match router.push(&Config::new()) {
                // A refused message of peers is sent again, one by one.
                Ok(_) => assert_eq!(router.seen(), target(&Config::new()), "{at}"),
                Err(failure) => {
                    assert_eq!(router.seen(), before, "{at} {incident:?}: {failure:?}");
                    match failure.state {
                        State::Undone => undone += 1,
                        State::Unchanged => unchanged += 1,
                        State::Partly | State::Unknown(_) => panic!("{at}: {failure:?}"),
                    }
                    assert_eq!(router.newest(), Some(1));
                }
            }
            for folder in [&router.keep, &router.state] {
                assert!(!folder.names().contains(&"next".to_owned()), "{at}");
            }
            router.push(&Config::new()).unwrap();
            assert_eq!(router.seen(), target(&Config::new()));
            assert_eq!(router.newest(), Some(2));
        }
    }
    assert!(undone > 10 && unchanged > 0, "{undone} {unchanged}");
}

#[test]
fn a_peer_that_the_kernel_does_not_take_is_named_and_nothing_changes() {
    for refused in [1, 2, 4, 5] {
        let router = Router::old();
        let before = router.seen();
        router.world.meddle("wg0", |device| device.refuse = Some(refused));
        let failure = router.push(&Config::new()).unwrap_err();
        assert_eq!(router.seen(), before);
        assert_eq!(failure.state, State::Undone);
        assert_eq!(failure.subject, Subject::Peer(PublicKey([refused; 32])));
        assert_eq!(router.newest(), Some(1));
    }
}

#[test]
fn what_cannot_be_taken_back_is_said_and_done_at_the_next_start() {
    let mut stuck = 0;
    for at in 0..whole_push().0 {
        let router = Router::old();
        let before = router.seen();
        router.world.incident(at, Incident::Broken(Errno::ENOMEM));
        let failure = router.push(&Config::new()).unwrap_err();
        if router.seen() == before {
            assert_ne!(failure.state, State::Partly, "{at}: {failure:?}");
        } else {
            stuck += 1;
            assert_eq!(failure.state, State::Partly);
            assert!(failure.text.contains("; reverting failed too: "), "{}", failure.text);
            assert!(failure.text.ends_with("not as they were before"), "{}", failure.text);
        }
        assert_eq!(router.newest(), Some(1));
        router.world.revive();
        assert!(router.start());
        assert_eq!(router.seen(), before, "{at}");
    }
    assert!(stuck > 5);
}

#[test]
fn a_first_push_that_is_refused_leaves_nothing() {
    let empty = World::default().seen();
    let router = Router::default();
    router.push(&Config::old()).unwrap();
    for at in 0..router.world.changes() {
        for incident in [Incident::Refused(Errno::EPERM), Incident::Deleted] {
            let router = Router::default();
            router.world.incident(at, incident);
            if let Err(failure) = router.push(&Config::old()) {
                assert_eq!(router.seen(), empty, "{at} {failure:?}");
                assert_eq!(router.newest(), None);
            }
        }
        let router = Router::default();
        router.world.incident(at, Incident::Gone);
        router.push(&Config::old()).unwrap_err();
        router.world.revive();
        assert!(router.start());
        assert_eq!(router.seen(), empty, "{at}");
    }
}

#[test]
fn what_was_made_by_hand_comes_back() {
    // Nothing is stored of it.
    let by_hand = || {
        let router = Router::old();
        Router { world: router.world.clone(), ..Router::default() }
    };
    let router = by_hand();
    let before = router.seen();
    router.world.meddle("wg0", |device| device.refuse = Some(5));
    assert_eq!(router.push(&Config::new()).unwrap_err().state, State::Undone);
    assert_eq!(router.seen(), before);
    let router = by_hand();
    let requests = router.world.changes();
    router.push(&Config::new()).unwrap();
    for at in 0..router.world.changes() - requests {
        let router = by_hand();
        router.world.incident(at, Incident::Gone);
        router.push(&Config::new()).unwrap_err();
        router.world.revive();
        assert!(router.start());
        assert_eq!(router.seen(), before, "{at}");
    }
}

#[test]
fn an_unchanged_push_writes_nothing() {
    let router = Router::old();
    let (changes, steps) = (router.world.changes(), router.keep.steps());
    let done = router.push(&Config::old()).unwrap();
    assert!(done.summary.is_quiet() && !done.stored && done.number == 1);
    // Each new agent syncs the names once, because one that was killed may not have.
    assert_eq!((router.world.changes(), router.keep.steps()), (changes, steps + 1));
    // What somebody changed by hand is put back, and the disk is left alone.
    router.world.meddle("wg0", |device| device.peers[0].keepalive = 99);
    let done = router.push(&Config::old()).unwrap();
    assert_eq!((done.summary.peers.changed, done.stored), (1, false));
    assert_eq!(router.keep.steps(), steps + 2);
}

#[test]
fn a_generated_key_is_stored() {
    let config = Config { key: None, ..Config::old() };
    let router = Router::default();
    router.push(&config).unwrap();
    let before = router.seen();
    assert!(!before.links[0].3.is_empty());
    let router = router.rebooted(0, UNSYNCED[0]);
    assert!(router.start());
    assert_eq!(router.seen(), before);
    // The device has it, and it is what is stored.
    let steps = router.keep.steps();
    assert!(!router.push(&config).unwrap().stored);
    assert_eq!((router.seen(), router.keep.steps()), (before, steps + 1));
}

#[test]
fn a_snapshot_of_an_earlier_start_of_the_machine_is_not_gone_back_to() {
    let router = Router::old();
    router.push_with(&Config::new(), true).unwrap();
    // The folder with the snapshot outlived a reboot, as it does where it is on a disk.
    router.bench.boot.set(9);
    router.world.reboot();
    router.push_with(&Config::old(), false).unwrap();
    assert!(router.start());
    assert_eq!(router.seen(), target(&Config::old()));
}

/// A router with two interfaces, of which the newest file of wg1 cannot be read, after a reboot.
fn with_an_unreadable_file(older: bool) -> (Router, Config) {
    let beside = Config { key: Some(9), mtu: 1420, ..Config::default() };
    let router = Router::default();
    router.push(&Config::old()).unwrap();
    if older {
        router.push_image(&beside.image_of("wg1"), Some(Act::Pushed), false).unwrap();
    }
    let newer = Config { mtu: 1400, ..beside.clone() };
    router.push_image(&newer.image_of("wg1"), Some(Act::Pushed), false).unwrap();
    let router = router.rebooted(0, UNSYNCED[0]);
    let name = if older { c"wg1.2" } else { c"wg1.1" };
    router.keep.unreadable(name, Some(100), Errno::EIO);
    (router, beside)
}

#[test]
fn an_unreadable_file_of_one_interface_keeps_no_tunnel_down() {
    for older in [true, false] {
        let (router, beside) = with_an_unreadable_file(older);
        // What cannot be read now may be read later.
        assert_eq!(router.start(), older);
        let expected = Router::default();
        expected.push(&Config::old()).unwrap();
        if older {
            expected.push_image(&beside.image_of("wg1"), Some(Act::Pushed), false).unwrap();
        }
        assert_eq!(router.seen(), expected.seen());
    }
}

#[test]
fn an_unreadable_file_is_replaced_by_any_change() {
    for older in [true, false] {
        let (router, beside) = with_an_unreadable_file(older);
        router.start();
        router.push(&Config::new()).unwrap();
        let done = router.push_image(&beside.image_of("wg1"), Some(Act::Pushed), false).unwrap();
        assert_eq!((done.stored, done.number), (true, if older { 3 } else { 2 }));
        let (router, _) = with_an_unreadable_file(older);
        router.start();
        assert!(router.remove("wg1", false).unwrap().stored);
        assert!(router.start());
        assert_eq!(router.seen(), target(&Config::old()));
    }
}

#[test]
fn endpoints_with_names_are_stored() {
    let router = Router::default();
    let mut bytes = Config { peers: vec![(1, Some(5), vec![])], ..Config::old() }.image();
    let host = Record::Host(Host { name: cut("vpn.example"), port: 51820 });
    bytes.extend(record_bytes(&host));
    router.with(|agent| {
        let mut image: Shelf = Cellar::default().create(c"stage").unwrap();
        image.write_at(0, &bytes).unwrap();
        let span = Span { from: 0, end: bytes.len() as u32 };
        let change = Change { act: Some(Act::Pushed), ..Change::REPAIR };
        assert!(agent.commit(&mut image, span, &change, &mut silent).unwrap().stored);
        let (head, mut file) = agent.newest_whole("wg0").unwrap().unwrap();
        assert_eq!((head.length, head.digest), (bytes.len() as u32, digest(&bytes)));
        let mut read = vec![0; bytes.len()];
        file.read_at(head.span().from, &mut read).unwrap();
        assert_eq!(read, bytes);
        // The address that the router has looked up since is no difference.
        router.world.meddle("wg0", |device| device.peers[0].endpoint[4] ^= 1);
        let plan = |agent: &mut Agent<'_>, image: &mut Shelf, purpose| {
            agent.plan(image, span, purpose, &mut silent).unwrap().0
        };
        assert!(plan(agent, &mut image, Purpose::Repair).is_quiet());
        assert!(!plan(agent, &mut image, Purpose::Change).is_quiet());
    });
}

#[test]
fn a_kernel_without_ipv6_takes_what_needs_none() {
    let v4_only = |config: Config| Config {
        items: config
            .items
            .into_iter()
            .filter(|item| *item != Item::Address(net("fd00::1/64")))
            .collect(),
        ..config
    };
    let router = Router::default();
    router.world.without_ipv6(false);
    router.push(&v4_only(Config::old())).unwrap();
    router.push(&v4_only(Config::new())).unwrap();
    let before = router.seen();
    assert!(router.push(&v4_only(Config::new())).unwrap().summary.is_quiet());
    let wants = [
        Item::Address(net("fd00::1/64")),
        Item::Route(Route { table: 254, metric: 0, to: net("fd09::/64") }),
        Item::Rule(Rule { v6: true, ..rule(51821, Some(51821)) }),
    ];
    for rules_only in [false, true] {
        router.world.without_ipv6(rules_only);
        for item in wants {
            let mut config = v4_only(Config::new());
            config.items.push(item);
            let changes = router.world.changes();
            match router.push(&config) {
                Ok(_) => {
                    assert!(rules_only && !matches!(item, Item::Rule(_)), "{item:?}");
                    router.push(&v4_only(Config::new())).unwrap();
                }
                Err(failure) => {
                    let Failure { text, errno, state, .. } = failure;
                    assert!(text.contains("kernel has no") && text.contains("IPv6"), "{text}");
                    assert_eq!((i32::from(errno), state), (97, State::Unchanged));
                    assert_eq!(router.world.changes(), changes);
                }
            }
            assert_eq!(router.seen(), before);
        }
    }
}

#[test]
fn an_interface_of_another_program_is_adopted_only_when_asked() {
    let router = Router::default();
    let by_hand = |alias: &[u8]| {
        let name = "wg0".parse().unwrap();
        router
            .world
            .by_hand(|buf| route::link::create(buf, 1, name, "wireguard").unwrap())
            .unwrap();
        let index = router.world.index("wg0");
        router.world.by_hand(|buf| route::link::set_alias(buf, 1, index, alias).unwrap()).unwrap();
    };
    by_hand(b"uplink of shed");
    let before = router.seen();
    let bytes = Config::old().image_of("wg0");
    let push = |adopt: bool, confirm: bool| {
        router.with(|agent| {
            let mut image: Shelf = Cellar::default().create(c"stage").unwrap();
            image.write_at(0, &bytes).unwrap();
            let span = Span { from: 0, end: bytes.len() as u32 };
            let act = Some(Act::Pushed);
            let adopt = Adopt::asked(adopt);
            let change = Change { act, confirm, adopt, ..Change::REPAIR };
            let done = agent.commit(&mut image, span, &change, &mut silent);
            done.map_err(|fault| agent.slot.take(fault))
        })
    };
    let failure = push(false, false).unwrap_err();
    assert_eq!((failure.code, failure.state), (Code::Foreign, State::Unchanged));
    assert_eq!(router.seen(), before);
    let removed = router.remove("wg0", false).unwrap_err();
    assert!(removed.code == Code::Foreign && router.seen() == before);
    // The alias stays behind the mark, and going back takes the mark away.
    push(true, true).unwrap();
    assert_eq!(router.seen().aliases, [b"postwired uplink of shed"]);
    router.with(|agent| agent.revert(&mut silent).map_err(|fault| agent.slot.take(fault))).unwrap();
    assert_eq!(router.seen(), before);
    push(true, false).unwrap();
    assert!(push(false, false).unwrap().summary.is_quiet(), "it is ours now");
}

#[test]
fn a_name_of_netifd_is_not_taken_while_its_link_is_missing() {
    let router = Router::default();
    *router.bench.managed.borrow_mut() = "wg0".into();
    let bytes = Config::old().image_of("wg0");
    let push = |act: Option<Act>, adopt: bool| {
        router.with(|agent| {
            let mut image: Shelf = Cellar::default().create(c"stage").unwrap();
            image.write_at(0, &bytes).unwrap();
            let span = Span { from: 0, end: bytes.len() as u32 };
            let change = Change { act, adopt: Adopt::asked(adopt), ..Change::REPAIR };
            let flagged = agent.plan(&mut image, span, Purpose::Change, &mut silent);
            let flagged = flagged.unwrap().0.device & device::FOREIGN != 0;
            let done = agent.commit(&mut image, span, &change, &mut silent);
            (flagged, done.map_err(|fault| agent.slot.take(fault)))
        })
    };
    let remove = || router.remove("wg0", false).map(|_| ()).map_err(|failure| failure.code);
    let delete = || {
        let index = router.world.index("wg0");
        router.world.by_hand(|buf| route::link::delete(buf, 1, index).unwrap())
    };
    let nothing = router.seen();
    let acts = [Some(Act::Pushed), Some(Act::RolledBack { number: 1 }), None];
    for act in acts {
        let (flagged, refused) = push(act, false);
        let failure = refused.unwrap_err();
        assert_eq!((failure.code, failure.state), (Code::Foreign, State::Unchanged), "{act:?}");
        assert!(failure.text.contains("/etc/config/network") && flagged, "{}", failure.text);
        assert_eq!((router.seen(), router.newest()), (nothing.clone(), None));
    }
    // Asked, it makes the link, which is then ours.
    push(Some(Act::Pushed), true).1.unwrap();
    let running = router.seen();
    for act in acts {
        let (flagged, done) = push(act, false);
        assert!(!flagged && done.unwrap().summary.is_quiet(), "{act:?}");
    }
    // netifd takes it down. What an owner stored is applied at the next start, and is not otherwise; an owner can
    // remove it.
    delete().unwrap();
    let drift = |adopt| {
        let occasion = Occasion::Drift { adopt };
        router.with(|agent| {
            let ran =
                agent.put_back(&"wg0".parse().unwrap(), occasion, &mut |_, _| Ok(()), &mut silent);
            ran.map_err(|fault| agent.slot.take(fault).code)
        })
    };
    assert_eq!(drift(false), Err(Code::Foreign));
    assert_eq!(router.seen().links, nothing.links);
    assert!(router.start());
    assert_eq!(router.seen(), running);
    delete().unwrap();
    remove().unwrap();
    assert!(router.start());
    assert_eq!(router.seen(), nothing);
}
