//! Changes that wait, by the clock and by the sessions of those who confirm them.

use super::*;
use crate::access::owners::{Ownership, Standing};
use crate::requests::service::answered::Answered;
use crate::store::commit::Change;
use crate::testing::{
    Agent, Bench, Drawer, Incident, Sent, Wire, World, client, record_bytes, with_agent_on,
};
use proto_core::key::PublicKey;
use proto_core::netlink::Errno;
use proto_core::protocol::config::{Interface, PrivateKey, Record};
use proto_core::protocol::digest;
use proto_core::protocol::envelope;
use proto_core::protocol::message::{Applied, Ask, Failure, Owner, Reply, Role, cut};
use proto_core::protocol::report::Act;

/// A router, and what has become of it.
#[derive(Default)]
struct Router {
    world: World,
    bench: Bench,
    keep: Drawer,
    state: Drawer,
}

/// An owner at the bench: the session in use, and the newest one.
#[derive(Clone, Copy)]
struct Anne {
    nth: u32,
    newest: u32,
}

const FIRST: Anne = Anne { nth: 1, newest: 1 };

impl Router {
    fn with<T>(&self, act: impl FnOnce(&mut Agent<'_, Wire>) -> T) -> T {
        let sockets = (self.world.socket(false), self.world.socket(true));
        let folders = (self.keep.clone(), self.state.clone());
        with_agent_on(sockets, &self.bench, folders, |mut agent| act(&mut agent))
    }

    fn ask(&self, agent: &mut Agent<'_, Wire>, id: u32, anne: Anne, ask: Ask<'_>) -> Outcome {
        let key = PublicKey([1; 32]);
        let (mut keep, mut state) = (Drawer::default(), Drawer::default());
        let mut ownership = Ownership::load(&mut keep, &mut state);
        let owner = Owner { key, role: Role::Admin, name: cut("anne") };
        let _ = ownership.add(agent.slot, &owner).map_err(|fault| agent.slot.take(fault));
        let (admin, session) = (Standing::Owner(Role::Admin), (anne.nth, anne.newest));
        let mut visitor = client::visitor(key, admin, session, &mut ownership);
        // A client of its own for each, so that none is taken for another.
        let packet = client::packet([id as u8; 8], id, ask);
        agent.answered.greet(&key, (&[id as u8; 8], 0), &|_| true);
        let mut sent = Sent::default();
        let _ = agent.packet(&packet, &mut visitor, &mut sent);
        let packet = sent.0.pop().unwrap().leak();
        let (_, reply) = envelope::read::<Reply<'_>>(packet, |_| true).unwrap();
        match reply.answer {
            Answer::Failed(failure) => Outcome::Failed(failure),
            answer => Outcome::Done(answer),
        }
    }

    /// Pushes wg0 with this port.
    fn push(&self, agent: &mut Agent<'_, Wire>, port: u16, confirm_within: u16) -> Outcome {
        self.push_to(agent, "wg0", port, confirm_within)
    }

    /// Pushes an interface with this port.
    fn push_to(
        &self,
        agent: &mut Agent<'_, Wire>,
        interface: &str,
        port: u16,
        confirm_within: u16,
    ) -> Outcome {
        let record = Record::Interface(Interface {
            name: interface.parse().unwrap(),
            private_key: PrivateKey::Generate,
            listen_port: Some(port),
            fwmark: 0,
            mtu: 1420,
        });
        let image = &*record_bytes(&record);
        let begin = Ask::Begin {
            interface: interface.parse().unwrap(),
            length: image.len() as u32,
            digest: digest(image),
            piece_size: 100,
            patch: None,
            data: &[],
        };
        agent.answered = Answered::default();
        let stage = match self.ask(agent, 7, FIRST, begin) {
            Outcome::Done(Answer::Received { stage, .. }) => stage,
            other => return other,
        };
        // All in the name of one client.
        let piece = Ask::Piece { stage, index: 0, data: image };
        self.ask(agent, 7, FIRST, piece);
        agent.answered = Answered::default();
        self.ask(agent, 7, FIRST, Ask::Commit { stage, confirm_within, adopt: false })
    }

    fn port(&self) -> Option<u16> {
        self.world.seen().links.first().map(|link| link.4)
    }
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "tests have room")]
enum Outcome {
    Done(Answer<'static>),
    Failed(Failure),
}

impl Outcome {
    #[track_caller]
    fn applied(self) -> Applied {
        match self {
            Self::Done(Answer::Applied(applied)) => applied,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn failed(self) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::Done(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn only_a_session_after_the_change_confirms_it() {
    let router = Router::default();
    router.with(|agent| {
        assert!(router.push(agent, 1, 0).applied().stored);
        assert_eq!(router.ask(agent, 9, FIRST, Ask::Confirm).failed().code, Code::NotPending);
        let applied = router.push(agent, 2, 60).applied();
        assert_eq!((applied.number, applied.stored, applied.confirm_within), (2, false, 60));
        for old in
            [Anne { nth: 1, newest: 1 }, Anne { nth: 1, newest: 2 }, Anne { nth: 0, newest: 5 }]
        {
            let failure =
                router.ask(agent, 10 + old.nth * 9 + old.newest, old, Ask::Confirm).failed();
            assert_eq!(failure.code, Code::NotFresh);
        }
        let fresh = Anne { nth: 2, newest: 2 };
        let Outcome::Done(Answer::Confirmed { interface, number }) =
            router.ask(agent, 30, fresh, Ask::Confirm)
        else {
            panic!()
        };
        assert_eq!((&*interface, number), ("wg0", 2));
        router.bench.now.set(100_000);
        agent.tick();
        assert_eq!((router.port(), agent.deadline()), (Some(2), None));
    });
}

#[test]
fn a_change_that_nobody_confirms_is_taken_back_in_time() {
    let router = Router::default();
    router.with(|agent| {
        router.push(agent, 1, 0).applied();
        router.push(agent, 2, 60).applied();
        assert_eq!(agent.deadline(), Some(60_000));
        router.bench.now.set(26_001);
        agent.tick();
        assert_eq!(router.port(), Some(2));
        // Meanwhile everybody else is told.
        let failure = router.push(agent, 3, 0).failed();
        assert_eq!(failure.code, Code::Busy);
        assert_eq!(failure.text, "anne's change of wg0 waits to be confirmed for another 34 s");
        let busy = [
            Ask::Remove { interface: "wg0".parse().unwrap(), confirm_within: 0 },
            Ask::Repair { interface: "wg0".parse().unwrap(), confirm_within: 0 },
            Ask::Rollback { interface: "wg0".parse().unwrap(), number: 1, confirm_within: 0 },
        ];
        for (id, ask) in (40..).zip(busy) {
            assert_eq!(router.ask(agent, id, FIRST, ask).failed().code, Code::Busy);
        }
        let Outcome::Done(Answer::Status(status)) = router.ask(agent, 50, FIRST, Ask::Status)
        else {
            panic!()
        };
        let pending = status.pending.unwrap();
        assert_eq!((&*pending.by, pending.number, pending.seconds), ("anne", 2, 34));
        router.bench.now.set(60_000);
        agent.tick();
        assert_eq!((router.port(), agent.deadline()), (Some(1), None));
        assert!(router.bench.log.borrow().last().unwrap().contains("not confirmed in time"));
        // Nothing waits any more, and the way is free.
        assert_eq!(router.ask(agent, 60, FIRST, Ask::Revert).failed().code, Code::NotPending);
        assert_eq!(router.push(agent, 3, 0).applied().number, 2);
    });
}

#[test]
fn a_change_is_taken_back_at_once_when_asked() {
    let router = Router::default();
    router.with(|agent| {
        router.push(agent, 2, 60).applied();
        let reverted = router.ask(agent, 20, FIRST, Ask::Revert);
        assert!(matches!(reverted, Outcome::Done(Answer::Reverted { .. })), "{reverted:?}");
        assert_eq!((router.port(), agent.deadline()), (None, None));
    });
}

#[test]
fn a_change_that_changes_nothing_needs_no_confirming() {
    let router = Router::default();
    router.with(|agent| {
        router.push(agent, 1, 0).applied();
        let applied = router.push(agent, 1, 60).applied();
        assert_eq!((applied.confirm_within, applied.stored, applied.number), (0, false, 1));
        assert_eq!(router.push(agent, 1, 3_601).failed().code, Code::Malformed);
    });
}

/// Does all that is due.
fn tick(agent: &mut Agent<'_, Wire>, now: u64) {
    while agent.deadline().is_some_and(|deadline| deadline <= now) {
        agent.tick();
    }
}

#[test]
fn what_cannot_be_applied_at_the_start_is_tried_again() {
    let router = Router::default();
    router.with(|agent| router.push(agent, 1, 0).applied());
    router.world.reboot();
    router.world.incident(0, Incident::Broken(Errno::EPERM));
    router.with(|agent| {
        agent.start();
        assert_eq!((router.port(), agent.deadline()), (None, Some(1_000)));
        assert!(agent.committer.trouble.text().starts_with("wg0: "));
        for (now, next) in [(1_000, 3_000), (3_000, 7_000)] {
            router.bench.now.set(now);
            tick(agent, now);
            assert_eq!(agent.deadline(), Some(next));
        }
        router.world.revive();
        router.bench.now.set(7_000);
        tick(agent, 7_000);
        assert_eq!((router.port(), agent.deadline()), (Some(1), None));
        assert!(agent.committer.trouble.is_empty());
    });
}

/// A router whose stored configuration (port 1) could not be applied when it started, where a change to port 2 waits to
/// be confirmed, and the time has come to apply what is stored again.
fn waits_after_a_bad_start(
    retry: Option<Incident>,
    then: impl FnOnce(&Router, &mut Agent<'_, Wire>),
) {
    let router = Router::default();
    router.with(|agent| router.push(agent, 1, 0).applied());
    router.world.reboot();
    router.world.incident(0, Incident::Broken(Errno::EPERM));
    router.with(|agent| {
        agent.start();
        router.world.revive();
        assert_eq!(router.push(agent, 2, 60).applied().number, 2);
        if let Some(incident) = retry {
            router.world.incident(0, incident);
        }
        router.bench.now.set(30_000);
        agent.tick();
        router.world.revive();
        assert_eq!(router.port(), Some(2));
        then(&router, agent);
    });
}

#[test]
fn a_retry_does_not_put_the_old_configuration_back_over_a_change_that_waits() {
    for retry in [None, Some(Incident::Broken(Errno::EPERM))] {
        waits_after_a_bad_start(retry, |router, agent| {
            let confirmed = router.ask(agent, 30, Anne { nth: 2, newest: 2 }, Ask::Confirm);
            assert!(
                matches!(confirmed, Outcome::Done(Answer::Confirmed { number: 2, .. })),
                "{confirmed:?}"
            );
            assert_eq!(router.port(), Some(2));
            // What is stored is applied once more, and is what runs.
            tick(agent, 30_000);
            assert_eq!((router.port(), agent.deadline()), (Some(2), None));
        });
    }
}

#[test]
fn a_change_that_nobody_confirms_after_a_bad_start_ends() {
    waits_after_a_bad_start(None, |router, agent| {
        router.bench.now.set(61_000);
        tick(agent, 61_000);
        assert_eq!((router.port(), agent.deadline()), (Some(1), None));
        assert_eq!(router.push(agent, 3, 0).applied().number, 2);
    });
}

#[test]
fn a_change_without_its_snapshot_ends_and_is_told() {
    let router = Router::default();
    router.with(|agent| {
        router.push(agent, 2, 60).applied();
        router.state.files.borrow_mut().clear();
        router.bench.now.set(61_000);
        tick(agent, 61_000);
        assert_eq!(agent.deadline(), None);
        assert!(agent.committer.trouble.text().contains("wg0: a change could not be reverted"));
        assert!(router.push(agent, 3, 0).applied().stored);
        assert!(agent.committer.trouble.is_empty());
    });
}

#[test]
fn what_the_kernel_does_not_have_any_more_is_not_confirmed() {
    let router = Router::default();
    router.with(|agent| {
        router.push(agent, 1, 0).applied();
        router.push(agent, 2, 60).applied();
        router.world.meddle("wg0", |device| device.port = 7);
        let fresh = Anne { nth: 2, newest: 2 };
        assert_eq!(router.ask(agent, 30, fresh, Ask::Confirm).failed().code, Code::Verify);
        router.world.meddle("wg0", |device| device.port = 2);
        let confirmed = router.ask(agent, 31, fresh, Ask::Confirm);
        assert!(matches!(confirmed, Outcome::Done(Answer::Confirmed { .. })), "{confirmed:?}");
    });
}

/// A router that has just started, with a stored configuration of each of three interfaces.
fn three_stored() -> Router {
    let router = Router::default();
    router.with(|agent| {
        for (interface, port) in [("wg0", 1), ("wg1", 2), ("wg2", 3)] {
            router.push_to(agent, interface, port, 0).applied();
        }
    });
    router.world.reboot();
    router
}

#[test]
fn requests_are_answered_between_two_interfaces_of_a_start() {
    let router = three_stored();
    router.with(|agent| {
        agent.begin_to_work();
        for applied in 0..3 {
            assert_eq!(router.world.seen().links.len(), applied);
            assert!(agent.is_starting() && agent.deadline() == Some(0));
            let status = router.ask(agent, 30 + applied as u32, FIRST, Ask::Status);
            assert!(matches!(status, Outcome::Done(Answer::Status(_))));
            agent.tick();
        }
        tick(agent, 0);
        assert!(!agent.is_starting() && agent.deadline().is_none());
        assert_eq!(router.world.seen().links.len(), 3);
    });
}

#[test]
fn a_push_that_waits_to_be_confirmed_keeps_no_stored_interface_waiting() {
    let router = three_stored();
    router.with(|agent| {
        agent.begin_to_work();
        agent.tick();
        router.push_to(agent, "wg0", 9, 60).applied();
        assert!(!agent.is_starting());
        assert_eq!(router.world.seen().links.len(), 3);
    });
}

#[test]
fn a_configuration_that_ended_three_starts_is_held_until_an_owner_mends_it() {
    let router = three_stored();
    let start = |act: &dyn Fn(&mut Agent<'_, Wire>)| {
        router.world.reboot();
        router.with(|agent| {
            agent.count_starts();
            agent.begin_to_work();
            act(agent);
        });
    };
    // The agent ends before wg2 is done: that it was wg2 is known from the second time on.
    for _ in 0..3 {
        start(&|agent| {
            agent.tick();
            agent.tick();
            let guard = agent.committer.guard.as_mut().unwrap();
            let disk = agent.committer.store.disk();
            assert!(guard.may_apply(disk, "wg2", 1));
        });
    }
    start(&|agent| {
        tick(agent, 0);
        assert_eq!(router.world.seen().links.len(), 2);
        let trouble = agent.committer.trouble.text();
        assert!(trouble.starts_with("wg2 is not applied: 3 starts in a row ended"), "{trouble}");
        // The others do not wait for it.
        router.push_to(agent, "wg1", 7, 0).applied();
        assert!(!agent.committer.trouble.is_empty());
        router.push_to(agent, "wg2", 8, 0).applied();
        assert!(agent.committer.trouble.is_empty());
    });
    start(&|agent| {
        tick(agent, 0);
        assert_eq!(router.world.seen().links.len(), 3);
        assert!(agent.committer.trouble.is_empty());
    });
}

#[test]
fn what_is_only_stored_is_removed_on_a_kernel_without_wireguard() {
    let router = Router::default();
    router.with(|agent| router.push(agent, 1, 0).applied());
    let bare = World::default();
    bare.without_wireguard();
    let sockets = (bare.socket(false), bare.socket(true));
    let folders = (router.keep.clone(), router.state.clone());
    with_agent_on(sockets, &router.bench, folders, |mut agent| {
        let owner = &Change { act: Some(Act::Removed), ..Change::REPAIR };
        let wg0 = "wg0".parse().unwrap();
        let done = agent.committer.remove(&wg0, owner, &mut |_, _, _| {});
        let done = done.map_err(|fault| agent.slot.take(fault)).unwrap();
        assert_eq!((done.number, done.stored), (2, true));
        let again = agent.committer.remove(&wg0, owner, &mut |_, _, _| {});
        let code = again.map_err(|fault| agent.slot.take(fault).code).map(|_| ());
        assert_eq!(code, Err(Code::NoWireGuard));
    });
    let history = router.keep.files.borrow().keys().len();
    assert_eq!(history, 2, "the history stays");
}
