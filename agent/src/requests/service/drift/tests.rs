//! Other programs beside the agent, in virtual time: every difference is reported, no change of the agent's own is, and
//! a repair is made where it was asked for and not without end.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::string::String;
use std::vec::Vec;

use proto_core::netlink::Errno;
use proto_core::netlink::route::addr::{RTM_DELADDR, RTM_NEWADDR};
use proto_core::netlink::route::{Addr, IfExists, Route, link};
use proto_core::protocol::message::{Answer, Ask, Status};

use super::super::model::Run;
use super::*;
use crate::testing::{Content, FACES, Incident, Router, RouterAgent as Agent};

/// A port ID of another program.
const OTHER: u32 = 4_711;

/// Lets time pass, with a tick whenever one is due.
fn pass(router: &Router, agent: &mut Agent<'_>, millis: u64) {
    let now = &router.bench.now;
    let until = now.get() + millis;
    for _ in 0..100_000 {
        let Some(due) = agent.deadline().filter(|due| *due <= until) else {
            now.set(until);
            return;
        };
        now.set(now.get().max(due));
        agent.tick();
    }
    panic!("it never rests: {:?}", agent.drift);
}

/// Another program sends the kernel a request, which is announced as `ty` unless that is 0.
fn by_hand(
    router: &Router,
    agent: &mut Agent<'_>,
    ty: u16,
    request: impl Fn(&mut [u8]) -> &[u8],
) -> bool {
    let done = router.world.by_hand(|buf| request(buf)).is_ok();
    if done && ty != 0 {
        let mut buf = [0; 4096];
        let mut bytes = request(&mut buf).to_vec();
        bytes[4..6].copy_from_slice(&ty.to_ne_bytes());
        bytes[12..16].copy_from_slice(&OTHER.to_ne_bytes());
        agent.notified(&bytes, bytes.len(), 0);
    } else if done {
        lost(agent);
    }
    done
}

/// Notifications were lost.
fn lost(agent: &mut Agent<'_>) {
    agent.notified(&[], 1, 0);
}

fn address(router: &Router, face: usize, text: &str) -> Addr {
    Addr::new(router.world.index(FACES[face]), text.parse().unwrap())
}

/// What another program does to an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Move {
    TakesAddress,
    GivesAddress,
    Down,
    Up,
    Mtu(u32),
    Deletes,
    Makes,
    TakesPeers,
    ChangesPeer,
    Port,
}

const MOVES: [Move; 11] = [
    Move::TakesAddress,
    Move::GivesAddress,
    Move::Down,
    Move::Up,
    Move::Mtu(1300),
    Move::Mtu(1401),
    Move::Deletes,
    Move::Makes,
    Move::TakesPeers,
    Move::ChangesPeer,
    Move::Port,
];

impl Move {
    /// Makes the move. Returns `false` if the kernel announces nothing.
    fn make(self, router: &Router, agent: &mut Agent<'_>, face: usize, port: u16) -> bool {
        let world = &router.world;
        let there = world.seen().links.iter().any(|link| link.0 == FACES[face]);
        if self == Self::Makes {
            let name = FACES[face].parse().unwrap();
            by_hand(router, agent, 0, |buf| link::create(buf, 1, name, "wireguard").unwrap());
            return true;
        }
        if !there {
            return true;
        }
        let index = world.index(FACES[face]);
        match self {
            Self::TakesAddress => {
                let net = address(router, face, &format!("10.{face}.0.{port}/24"));
                by_hand(router, agent, RTM_DELADDR, |buf| net.delete(buf, 1).unwrap());
            }
            Self::GivesAddress => {
                let net = address(router, face, "10.99.0.1/24");
                by_hand(router, agent, RTM_NEWADDR, |buf| net.add(buf, 1, IfExists::Fail).unwrap());
            }
            Self::Down | Self::Up => {
                let up = self == Self::Up;
                by_hand(router, agent, 0, |buf| link::set_up(buf, 1, index, up).unwrap());
            }
            Self::Mtu(mtu) => {
                by_hand(router, agent, 0, |buf| link::set_mtu(buf, 1, index, mtu).unwrap());
            }
            Self::Deletes => {
                by_hand(router, agent, 0, |buf| link::delete(buf, 1, index).unwrap());
            }
            Self::TakesPeers => world.meddle(FACES[face], |device| device.peers.clear()),
            Self::ChangesPeer => world.meddle(FACES[face], |device| {
                device.peers.iter_mut().for_each(|peer| peer.keepalive ^= 0x100);
            }),
            Self::Port => world.meddle(FACES[face], |device| device.port ^= 0x100),
            Self::Makes => unreachable!(),
        }
        !matches!(self, Self::TakesPeers | Self::ChangesPeer | Self::Port)
    }
}

/// A router with an observer who knows what each interface should be.
struct Story {
    run: Run,
    router: Router,
    /// What each interface should be; `None` if nothing is stored of it.
    expected: [Option<Content>; 2],
    ports: [u16; 2],
    /// The pending change: its interface, and what was expected before.
    pending: Option<(usize, Option<Content>)>,
    meddled: bool,
    told: Vec<String>,
}

impl Story {
    fn new() -> Self {
        let run = Run::new(&Rc::default(), None);
        let router = run.router.clone();
        let (expected, ports) = ([None, None], [1, 1]);
        Self { run, router, expected, ports, pending: None, meddled: false, told: Vec::new() }
    }

    fn status(&mut self, agent: &mut Agent<'_>) -> Status {
        let status = self.run.status(agent);
        if status.pending.is_none()
            && let Some((face, before)) = self.pending.take()
        {
            self.expected[face] = before;
        }
        status
    }

    fn differing(&self) -> BTreeSet<String> {
        let differs = |face: &usize| {
            let expected = self.expected[*face].as_ref();
            expected.is_some_and(|expected| *expected != self.router.content(*face))
        };
        (0..2).filter(differs).map(|face| FACES[face].to_owned()).collect()
    }

    /// A difference is shown if there is one.
    fn check(&mut self, agent: &mut Agent<'_>) {
        let status = self.status(agent);
        let shown: BTreeSet<String> =
            status.drift.iter().map(|drift| drift.interface.as_str().to_owned()).collect();
        assert!(status.drift.iter().all(|drift| !drift.what.is_empty()));
        assert_eq!(status.drifting as usize, shown.len());
        let log = self.router.bench.log.borrow().join("\n");
        assert_eq!(shown, self.differing(), "{:#?}\n{log}\n{:?}", self.told, agent.drift);
        assert!(self.meddled || !log.contains("differs"), "{:#?}\n{log}", self.told);
    }

    fn own(&mut self, agent: &mut Agent<'_>, choice: u64) {
        let face = (choice & 1) as usize;
        let interface = FACES[face].parse().unwrap();
        let confirm_within = if choice & 2 == 0 { 0 } else { 60 };
        let before = self.expected[face].clone();
        let (answer, after, what) = match choice >> 2 & 7 {
            0..3 => {
                let port = 1 + (choice >> 5 & 3) as u16;
                let answer = self.run.push(agent, face, port, confirm_within);
                if matches!(answer, Answer::Applied(_)) {
                    self.ports[face] = port;
                }
                (answer, Some(self.router.content(face)), format!("push {port}"))
            }
            3 => {
                let ask = Ask::Repair { interface, confirm_within };
                let answer = self.run.ask(agent, 1, 1, ask);
                (answer, Some(self.router.content(face)), "repair".into())
            }
            4 => {
                let ask = Ask::Remove { interface, confirm_within };
                (self.run.ask(agent, 1, 1, ask), None, "remove".into())
            }
            5 => {
                let answer = self.run.ask(agent, 1, 1, Ask::Revert);
                self.status(agent);
                return self.told.push(format!("revert: {answer:?}"));
            }
            _ => {
                let nth = 1_000 + self.told.len() as u32;
                let answer = self.run.ask(agent, 1, nth, Ask::Confirm);
                if matches!(answer, Answer::Confirmed { .. }) {
                    self.pending = None;
                }
                return self.told.push(format!("confirm: {answer:?}"));
            }
        };
        self.told.push(format!("{what} {} {confirm_within}: {answer:?}", FACES[face]));
        if let Answer::Applied(applied) = answer {
            if applied.confirm_within > 0 {
                self.pending = Some((face, before));
            }
            self.expected[face] = after;
        }
    }
}

#[test]
fn drift_is_reported_if_and_only_if_the_kernel_differs() {
    let stories = std::env::var("POSTWIRE_STORIES").map_or(400, |stories| stories.parse().unwrap());
    let mut dice = fastrand::Rng::with_seed(1);
    let (mut events, mut differences) = (0, 0);
    for nth in 0..stories {
        let mut story = Story::new();
        let router = story.router.clone();
        let on = if nth % 2 == 0 { OnDrift::Report } else { OnDrift::Repair };
        // Without a tenth of them, nothing but the agent changes anything.
        let alone = nth % 10 < 3;
        router.with(|agent| {
            agent.start();
            agent.watch(on);
            story.run.hello(agent);
            for _ in 0..14 {
                events += 1;
                let roll = dice.u64(..);
                if alone || roll & 1 == 0 {
                    story.own(agent, roll >> 1);
                    // The echo, on kernels that do not say which program made a change.
                    lost(agent);
                    pass(&router, agent, 1_000);
                } else {
                    let face = (roll >> 1 & 1) as usize;
                    let other = MOVES[(roll >> 2) as usize % MOVES.len()];
                    story.meddled = true;
                    story.told.push(format!("other: {other:?} {}", FACES[face]));
                    let port = story.ports[face];
                    let announced = other.make(&router, agent, face, port);
                    pass(&router, agent, if announced { 999 } else { 31_000 });
                }
                differences += story.differing().len();
                story.check(agent);
                pass(&router, agent, dice.u64(..30_000));
                story.check(agent);
            }
            // In the end everything is repaired, if that was asked for.
            pass(&router, agent, 3 * 3_600_000);
            story.check(agent);
            let log = router.bench.log.borrow().join("\n");
            if on == OnDrift::Repair {
                assert_eq!(story.differing(), BTreeSet::new(), "{:#?}\n{log}", story.told);
            } else {
                assert!(!log.contains("put back"), "{log}");
            }
        });
    }
    println!("{stories} stories, {events} events, {differences} differences");
    assert!(differences > stories);
}

/// A router with both interfaces pushed.
fn pushed(on: OnDrift, act: impl FnOnce(&mut Story, &Router, &mut Agent<'_>)) {
    let mut story = Story::new();
    let router = story.router.clone();
    router.with(|agent| {
        agent.start();
        agent.watch(on);
        story.run.hello(agent);
        for face in [0, 1] {
            let answer = story.run.push(agent, face, 1, 0);
            assert!(matches!(answer, Answer::Applied(_)), "{answer:?}");
            story.expected[face] = Some(router.content(face));
        }
        lost(agent);
        pass(&router, agent, 1_000);
        story.check(agent);
        story.meddled = true;
        act(&mut story, &router, agent);
    });
}

/// A program that takes the address away whenever it is there, for an hour.
#[test]
fn a_fighter_is_met_less_and_less_often() {
    pushed(OnDrift::Repair, |story, router, agent| {
        let (mut takes, mut times) = (0, Vec::new());
        for at in 0..36_000_u64 {
            let net = address(router, 0, "10.0.0.1/24");
            if by_hand(router, agent, RTM_DELADDR, |buf| net.delete(buf, 1).unwrap()) {
                takes += 1;
                times.push(at / 10);
            }
            pass(router, agent, 100);
        }
        // The first one, and one after each repair.
        assert_eq!((takes, &times[..4]), (9, &[0, 1, 2, 3][..]), "{times:?}");
        let status = story.run.status(agent);
        let [drift] = &status.drift[..] else { panic!("{status:?}") };
        assert_eq!((&*drift.interface, &*drift.what), ("wg0", "address 10.0.0.1/24 is gone"));
        assert_eq!(drift.repairs, 8);
        assert!(drift.next_repair.is_some_and(|seconds| (1..3_600).contains(&seconds)));
        let log = router.bench.log.borrow().join("\n");
        let pause =
            "wg0: 3 repairs, and it differs again and again: the next one in 60 s at the earliest";
        assert!(log.contains(pause), "{log}");
        assert!(log.lines().count() < 40, "{log}");
        // It stops: the next repair stays, and ten minutes later the memory of the fight is gone.
        pass(router, agent, 3_600_000);
        story.check(agent);
        assert_eq!(story.differing().len(), 0);
        let net = address(router, 0, "10.0.0.1/24");
        pass(router, agent, 600_000);
        by_hand(router, agent, RTM_DELADDR, |buf| net.delete(buf, 1).unwrap());
        pass(router, agent, 1_500);
        assert_eq!(story.differing().len(), 0);
    });
}

#[test]
fn only_notifications_about_stored_interfaces_lead_to_a_comparison() {
    pushed(OnDrift::Report, |_, router, agent| {
        let due = |agent: &Agent<'_>| agent.deadline().unwrap() - router.bench.now.get();
        pass(router, agent, 100);
        let quiet = due(agent);
        assert!(quiet > 20_000, "{quiet}");
        let announce = |agent: &mut Agent<'_>, index: u32, port: u32| {
            let net = Addr::new(index, "10.0.0.9/24".parse().unwrap());
            let mut buf = [0; 512];
            let mut bytes = net.add(&mut buf, 1, IfExists::Fail).unwrap().to_vec();
            bytes[12..16].copy_from_slice(&port.to_ne_bytes());
            agent.notified(&bytes, bytes.len(), 0);
        };
        let index = router.world.index("wg0");
        // Our own change, that of another link, and a datagram that is not the kernel's.
        announce(agent, index, 7);
        announce(agent, index + 40, OTHER);
        agent.notified(&[], 1, 99);
        assert_eq!(due(agent), quiet);
        // A thousand notifications, one comparison.
        for _ in 0..1_000 {
            announce(agent, index, OTHER);
        }
        assert_eq!(due(agent), 200);
        pass(router, agent, 300);
        assert!(due(agent) > 20_000);
        let route = Route::device("10.7.0.0/24".parse().unwrap(), index, 254, 4);
        let mut buf = [0; 512];
        let bytes = route.add(&mut buf, 1, IfExists::Fail).unwrap().to_vec();
        agent.notified(&bytes, bytes.len(), 0);
        assert_eq!(due(agent), 200);
    });
}

#[test]
fn an_address_that_is_taken_right_after_a_restart_is_noticed_at_once() {
    let mut story = Story::new();
    let router = story.router.clone();
    router.with(|agent| {
        agent.start();
        story.run.hello(agent);
        let answer = story.run.push(agent, 0, 1, 0);
        assert!(matches!(answer, Answer::Applied(_)), "{answer:?}");
    });
    router.with(|agent| {
        agent.start();
        agent.watch(OnDrift::Report);
        pass(&router, agent, 100);
        assert!(Move::TakesAddress.make(&router, agent, 0, 1));
        pass(&router, agent, 1_000);
        story.run.hello(agent);
        assert_eq!(story.status(agent).drifting, 1);
    });
}

#[test]
fn what_differs_is_said_in_words() {
    pushed(OnDrift::Report, |story, router, agent| {
        let index = router.world.index("wg0");
        let mut says = |agent: &mut Agent<'_>, words: &str| {
            pass(router, agent, 31_000);
            let status = story.run.status(agent);
            assert_eq!(status.drift.first().map(|drift| &*drift.what), Some(words));
        };
        let extra = address(router, 0, "10.99.0.1/24");
        by_hand(router, agent, RTM_NEWADDR, |buf| extra.add(buf, 1, IfExists::Fail).unwrap());
        says(agent, "address 10.99.0.1/24 was added");
        let more = address(router, 0, "10.98.0.1/24");
        by_hand(router, agent, RTM_NEWADDR, |buf| more.add(buf, 1, IfExists::Fail).unwrap());
        says(agent, "2 addresses were added");
        for net in [&extra, &more] {
            by_hand(router, agent, RTM_DELADDR, |buf| net.delete(buf, 1).unwrap());
        }
        router.world.meddle("wg0", |device| device.port = 9);
        says(agent, "the port is 9");
        by_hand(router, agent, 0, |buf| link::set_up(buf, 1, index, false).unwrap());
        says(agent, "the link is down, the port is 9");
        by_hand(router, agent, 0, |buf| link::set_mtu(buf, 1, index, 1300).unwrap());
        router.world.meddle("wg0", |device| device.peers.clear());
        let peer = proto_core::key::PublicKey([1; 32]);
        // What does not fit is left out.
        says(agent, "the link is down, the MTU is 1300, the port is 9 ...");
        by_hand(router, agent, 0, |buf| link::set_mtu(buf, 1, index, 1401).unwrap());
        says(agent, &format!("the link is down, the port is 9, peer {peer} is gone"));
        router.world.meddle("wg0", |device| (device.fwmark, device.port) = (7, 1));
        says(agent, &format!("the link is down, the mark is 0x7, peer {peer} is gone"));
        by_hand(router, agent, 0, |buf| link::delete(buf, 1, index).unwrap());
        says(agent, "the link was deleted");
        let name = "wg0".parse().unwrap();
        by_hand(router, agent, 0, |buf| link::create(buf, 1, name, "dummy").unwrap());
        says(agent, "there is an interface of that name that is not a WireGuard interface");
        let log = router.bench.log.borrow().join("\n");
        assert!(log.contains("wg0: differs from what is stored: the link was deleted"), "{log}");
    });
}

#[test]
fn a_link_that_another_program_made_is_taken_back_only_after_it_was_ours() {
    pushed(OnDrift::Repair, |story, router, agent| {
        let index = router.world.index("wg0");
        let name = "wg0".parse().unwrap();
        by_hand(router, agent, 0, |buf| link::delete(buf, 1, index).unwrap());
        by_hand(router, agent, 0, |buf| link::create(buf, 1, name, "wireguard").unwrap());
        pass(router, agent, 3_000);
        assert_eq!(story.differing().len(), 0);
    });
    // The same before the agent starts: the interface may be the other program's.
    let mut story = Story::new();
    let router = story.router.clone();
    router.with(|agent| {
        agent.start();
        story.run.hello(agent);
        story.run.push(agent, 0, 1, 0);
    });
    router.world.reboot();
    router.bench.boot.set(9);
    let name = "wg0".parse().unwrap();
    router.world.by_hand(|buf| link::create(buf, 1, name, "wireguard").unwrap()).unwrap();
    router.with(|agent| {
        agent.start();
        agent.watch(OnDrift::Repair);
        story.run.hello(agent);
        let before = router.content(0);
        lost(agent);
        pass(&router, agent, 7_200_000);
        assert_eq!(router.content(0), before);
        let status = story.run.status(agent);
        assert!(status.trouble.contains("another program"), "{}", status.trouble);
        assert!(status.drift.is_empty());
    });
}

#[test]
fn the_program_is_told_of_each_change() {
    pushed(OnDrift::Repair, |story, router, agent| {
        let told = |agent: &mut Agent<'_>| {
            let all = core::iter::from_fn(|| agent.next_told());
            all.map(|(name, what)| format!("{name} {what}")).collect::<Vec<_>>()
        };
        assert_eq!(told(agent), ["wg0 push", "wg1 push"]);
        let net = address(router, 1, "10.1.0.1/24");
        by_hand(router, agent, RTM_DELADDR, |buf| net.delete(buf, 1).unwrap());
        pass(router, agent, 2_000);
        assert_eq!(told(agent), ["wg1 repair"]);
        story.run.push(agent, 0, 2, 60);
        story.run.ask(agent, 1, 1, Ask::Revert);
        // Only the last change of an interface that waits.
        assert_eq!(told(agent), ["wg0 revert"]);
        story.run.push(agent, 0, 2, 0);
        let interface = FACES[0].parse().unwrap();
        let ask = Ask::Rollback { interface, number: 1, confirm_within: 0 };
        story.run.ask(agent, 1, 1, ask);
        assert_eq!(told(agent), ["wg0 rollback"]);
        story.run.ask(agent, 1, 1, Ask::Repair { interface, confirm_within: 0 });
        assert_eq!(told(agent), ["wg0 repair"]);
        let interface = FACES[1].parse().unwrap();
        story.run.ask(agent, 1, 1, Ask::Remove { interface, confirm_within: 0 });
        assert_eq!(told(agent), ["wg1 remove"]);
        // A refused change is none.
        story.run.ask(agent, 1, 1, Ask::Repair { interface, confirm_within: 0 });
        assert_eq!(told(agent), [""; 0]);
    });
}

#[test]
#[cfg(feature = "console")]
fn what_the_service_is_doing_is_its_activity() {
    use crate::led::Activity;
    pushed(OnDrift::Repair, |story, router, agent| {
        let doing = |agent: &Agent<'_>, router: &Router| agent.activity(router.bench.now.get()).0;
        assert_eq!(doing(agent, router), Activity::Waiting);
        let interface = FACES[0].parse().unwrap();
        let begin = Ask::Begin {
            interface,
            length: 1_000,
            digest: [1; 32],
            piece_size: 500,
            patch: None,
            data: &[],
        };
        story.run.ask(agent, 1, 1, begin);
        assert_eq!(doing(agent, router), Activity::Push);
        story.run.push(agent, 0, 3, 60);
        assert_eq!(doing(agent, router), Activity::Pending);
        story.run.ask(agent, 1, 1, Ask::Revert);
        assert_eq!(doing(agent, router), Activity::Waiting);
        let net = address(router, 0, "10.0.0.1/24");
        by_hand(router, agent, RTM_DELADDR, |buf| net.delete(buf, 1).unwrap());
        router.world.incident(0, Incident::Broken(Errno::ENOMEM));
        pass(router, agent, 2_000);
        assert_eq!(doing(agent, router), Activity::Trouble);
    });
}

/// An owner's repair of what the agent could not repair: nothing is wrong any more.
#[test]
fn a_fault_of_a_repair_ends_with_the_repair_of_an_owner() {
    for act in [0, 1, 2] {
        pushed(OnDrift::Repair, |story, router, agent| {
            let net = address(router, 0, "10.0.0.1/24");
            by_hand(router, agent, RTM_DELADDR, |buf| net.delete(buf, 1).unwrap());
            router.world.incident(0, Incident::Broken(Errno::ENOMEM));
            pass(router, agent, 2_000);
            let status = story.run.status(agent);
            assert!(status.trouble.starts_with("wg0: "), "{}", status.trouble);
            let interface = FACES[0].parse().unwrap();
            let repair = Ask::Repair { interface, confirm_within: 0 };
            // A repair that fails too leaves the fault.
            let answer = story.run.ask(agent, 1, 1, repair.clone());
            assert!(matches!(answer, Answer::Failed(_)), "{answer:?}");
            assert_ne!(story.run.status(agent).trouble, "");
            router.world.revive();
            let answer = match act {
                0 => story.run.ask(agent, 1, 1, repair),
                1 => story.run.push(agent, 0, 2, 0),
                _ => story.run.ask(agent, 1, 1, Ask::Remove { interface, confirm_within: 0 }),
            };
            assert!(matches!(answer, Answer::Applied(_)), "{answer:?}");
            assert_eq!(story.run.status(agent).trouble, "", "{act}");
        });
    }
}

/// A start that was settled long ago did not end because the agent is killed after a repair.
#[test]
fn a_repair_of_drift_is_no_start_that_can_end() {
    for (stored, unsettled) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut story = Story::new();
        let router = story.router.clone();
        if stored {
            router.with(|agent| {
                story.run.hello(agent);
                story.run.push(agent, 0, 1, 0);
                story.run.push(agent, 1, 1, 0);
            });
        }
        if unsettled {
            router.with(|agent| {
                agent.count_starts();
                agent.start();
            });
        }
        router.with(|agent| {
            agent.count_starts();
            agent.start();
            agent.watch(OnDrift::Repair);
            story.run.hello(agent);
            story.run.push(agent, 0, 1, 0);
            pass(&router, agent, 60_000);
            let net = address(&router, 0, "10.0.0.1/24");
            by_hand(&router, agent, RTM_DELADDR, |buf| net.delete(buf, 1).unwrap());
            pass(&router, agent, 2_000);
            assert!(router.content(0).contains("10.0.0.1/24"));
        });
        router.bench.log.borrow_mut().clear();
        router.with(|agent| agent.count_starts());
        let log = router.bench.log.borrow().join("\n");
        assert!(!log.contains("ended before"), "{stored} {unsettled}: {log}");
    }
}

#[test]
fn a_folder_that_cannot_be_read_makes_no_difference_forgotten() {
    pushed(OnDrift::Report, |story, router, agent| {
        let net = address(router, 1, "10.1.0.1/24");
        assert!(by_hand(router, agent, RTM_DELADDR, |buf| net.delete(buf, 1).unwrap()));
        pass(router, agent, 1_500);
        for can_list in [false, true] {
            router.keep.can_list(can_list);
            for _ in 0..3 {
                pass(router, agent, BEAT);
            }
            let status = story.run.status(agent);
            let names: Vec<&str> = status.drift.iter().map(|drift| &*drift.interface).collect();
            assert_eq!(names, ["wg1"], "{can_list}");
        }
        // Its changes are still noticed at once.
        router.keep.can_list(true);
        let net = address(router, 1, "10.1.0.1/24");
        by_hand(router, agent, RTM_NEWADDR, |buf| net.add(buf, 1, IfExists::Fail).unwrap());
        pass(router, agent, 1_500);
        assert!(story.run.status(agent).drift.is_empty());
    });
}
