//! Changes that wait for a confirmation, and removals.

use super::*;

#[test]
fn a_change_that_waits_goes_back_unless_it_is_confirmed() {
    let (old, new) = (target(&Config::old()), target(&Config::new()));
    let wait = || {
        let router = Router::old();
        let done = router.push_with(&Config::new(), true).unwrap();
        assert_eq!((done.number, done.stored), (2, false));
        assert_eq!((router.seen(), router.newest()), (new.clone(), Some(1)));
        (router, done.pending.unwrap())
    };
    // Confirmed, and confirmed at a power cut.
    let (router, head) = wait();
    router.with(|agent| agent.confirm(&head, &mut silent)).unwrap();
    assert_eq!(router.newest(), Some(2));
    assert!(router.start());
    assert_eq!(router.seen(), new);
    for step in 0..4 {
        let (router, head) = wait();
        router.keep.mishap(step, Mishap::Cut);
        let told = router.with(|agent| agent.confirm(&head, &mut silent).is_ok());
        for changes in 0..router.keep.outcomes() {
            for unsynced in UNSYNCED {
                let router = router.rebooted(changes, unsynced);
                assert!(router.start());
                assert!(router.seen() == new || (router.seen() == old && !told));
            }
        }
    }
    // Taken back.
    let (router, _) = wait();
    router.with(|agent| agent.revert(&mut silent)).unwrap();
    assert_eq!((router.seen(), router.newest()), (old.clone(), Some(1)));
    assert!(router.keep.names() == ["wg0.1"] && router.state.names().is_empty());
    // The agent was killed while the change was pending, or while it was reverted.
    let (router, _) = wait();
    assert!(router.start());
    assert_eq!(router.seen(), old);
    for at in 0..whole_push().0 {
        let (router, _) = wait();
        router.world.incident(at, Incident::Gone);
        let _ =
            router.with(|agent| agent.revert(&mut silent).map_err(|fault| agent.slot.take(fault)));
        router.world.revive();
        assert!(router.start());
        assert_eq!(router.seen(), old, "{at}");
        // A kernel that refuses once.
        let (router, _) = wait();
        router.world.incident(at, Incident::Refused(Errno::ENOMEM));
        router.with(|agent| agent.revert(&mut silent)).unwrap();
        assert_eq!(router.seen(), old, "{at}");
    }
    // The power was cut while it waited.
    let (router, _) = wait();
    let router = router.rebooted(0, UNSYNCED[0]);
    assert!(router.start());
    assert_eq!(router.seen(), old);
}

#[test]
fn a_removed_interface_is_gone_or_as_it_was() {
    let empty = World::default().seen();
    let remove = |router: &Router| router.remove("wg0", false);
    let router = Router::old();
    let changes = router.world.changes();
    let done = remove(&router).unwrap();
    assert_eq!((done.summary.peers.removed, done.summary.rules.removed), (3, 2));
    assert_eq!((router.seen(), router.newest()), (empty.clone(), Some(2)));
    assert!(router.start());
    assert_eq!(router.seen(), empty);
    assert_eq!(remove(&router).unwrap_err().code, Code::NoInterface);
    for at in 0..router.world.changes() - changes {
        for incident in [Incident::Refused(Errno::EBUSY), Incident::Gone, Incident::Deleted] {
            let router = Router::old();
            let before = router.seen();
            router.world.incident(at, incident);
            let done = remove(&router);
            router.world.revive();
            if incident == Incident::Gone {
                assert!(router.start());
            }
            let (seen, newest) = (router.seen(), router.newest());
            match done {
                Ok(_) => assert_eq!((seen, newest), (empty.clone(), Some(2))),
                Err(failure) => {
                    assert_eq!((seen, newest), (before, Some(1)), "{at} {incident:?} {failure:?}");
                }
            }
        }
    }
}

#[test]
fn the_removal_of_what_is_not_stored_waits_and_can_be_confirmed() {
    let bare = Config { key: Some(7), mtu: 1420, ..Config::default() };
    // The files were lost, or are damaged, or say that the interface was removed.
    for (config, lost) in [(&Config::old(), 0), (&bare, 0), (&bare, 1), (&bare, 2)] {
        let lose = |router: &Router| match lost {
            0 => router.keep.lose(),
            1 => router.keep.damage(c"wg0.1", |bytes| bytes.truncate(9)),
            _ => {
                let world = router.world.clone();
                let beside = Router { world, keep: router.keep.clone(), ..Router::default() };
                beside.world.delete_links();
                beside.remove("wg0", false).unwrap();
                beside.world.make("wg0", "wireguard");
                let index = beside.world.index("wg0");
                beside
                    .world
                    .by_hand(|buf| route::link::set_alias(buf, 1, index, b"postwired").unwrap())
                    .unwrap();
            }
        };
        for confirm in [true, false] {
            let router = Router::default();
            router.push(config).unwrap();
            lose(&router);
            let before = router.seen();
            let head = router.remove("wg0", true).unwrap().pending.expect("it waits");
            assert!(router.seen().links.is_empty());
            if confirm {
                router.with(|agent| {
                    let confirmed = agent.confirm(&head, &mut silent);
                    confirmed.map_err(|fault| agent.slot.take(fault)).unwrap();
                });
                assert!(router.start() && router.seen().links.is_empty());
            } else {
                router.with(|agent| agent.revert(&mut silent)).unwrap();
                assert_eq!(router.seen(), before);
            }
        }
    }
}

#[test]
fn what_is_stored_under_the_name_of_another_programs_link_can_be_removed() {
    for kind in ["wireguard", "dummy"] {
        for confirm in [false, true] {
            let router = Router::old();
            router.world.delete_links();
            router.world.make("wg0", kind);
            let index = router.world.index("wg0");
            router.world.by_hand(|buf| route::link::set_up(buf, 1, index, true).unwrap()).unwrap();
            assert!(!router.start(), "it cannot run");
            let before = router.seen();
            let rules =
                |seen: &Seen| seen.others.iter().filter(|text| text.contains("rule")).count();
            assert_eq!(rules(&before), 2);
            // A request that fails leaves the rest to the next attempt.
            for (request, state) in [(0, State::Unchanged), (1, State::Partly)] {
                router.world.incident(request, Incident::Refused(Errno::ENOMEM));
                let failure = router.remove("wg0", confirm).unwrap_err();
                assert_eq!((failure.state, router.newest()), (state, Some(1)));
            }
            let done = router.remove("wg0", confirm).unwrap();
            assert!(done.stored && done.pending.is_none() && done.number == 2);
            assert!(done.summary.device & device::FOREIGN != 0 && done.summary.rules.removed == 1);
            let after = router.seen();
            assert_eq!((after.links, after.aliases), (before.links, before.aliases));
            assert_eq!((rules(&router.seen()), router.world.index("wg0")), (0, index));
            assert!(router.start());
            // Nothing is stored any more.
            let code = if kind == "dummy" { Code::WrongKind } else { Code::Foreign };
            assert_eq!(router.remove("wg0", confirm).unwrap_err().code, code);
        }
    }
}

#[test]
fn a_change_that_is_given_up_leaves_no_rules_of_its_own() {
    let rules = |router: &Router| {
        let mut rules = router.seen().others;
        rules.retain(|text| text.contains(" rule "));
        rules
    };
    let router = Router::old();
    router.push_with(&Config::new(), true).unwrap();
    router.with(|agent| agent.give_up_change());
    assert!(router.start() && router.keep.names() == ["wg0.1"] && router.state.names().is_empty());
    assert_eq!(router.seen().others, target(&Config::old()).others);
    // A rule that another interface has too stays, and so does one that nobody asked for.
    let router = Router::default();
    let beside = Config { key: Some(9), mtu: 1420, items: vec![], ..Config::default() };
    let beside = Config { items: vec![Item::Rule(rule(51821, Some(51821)))], ..beside };
    router.push_image(&beside.image_of("wg1"), Some(Act::Pushed), false).unwrap();
    let before = rules(&router);
    router.push_with(&Config::old(), true).unwrap();
    assert_eq!(rules(&router).len(), before.len() + 2);
    router.with(|agent| agent.give_up_change());
    assert_eq!(rules(&router), before);
    // A rule that the kernel keeps costs no other.
    router.push_with(&Config::old(), true).unwrap();
    router.world.incident(0, Incident::Refused(Errno::ENOMEM));
    router.with(|agent| agent.give_up_change());
    assert_eq!(rules(&router).len(), before.len() + 1);
}
