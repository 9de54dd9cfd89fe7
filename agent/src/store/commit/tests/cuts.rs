//! Kills, power cuts and failing disks at every step of a push.

use super::*;

#[test]
fn an_agent_that_is_killed_at_any_request_leaves_the_old_or_the_new() {
    let (mut old, mut new) = (0, 0);
    for at in 0..=whole_push().0 {
        let router = Router::old();
        let before = router.seen();
        router.world.incident(at, Incident::Gone);
        let told = router.push(&Config::new()).is_ok();
        router.world.revive();
        assert!(router.start(), "{at}");
        match router.newest() {
            Some(1) if !told => {
                old += 1;
                assert_eq!(router.seen(), before, "{at}");
            }
            Some(2) => {
                new += 1;
                assert_eq!(router.seen(), target(&Config::new()), "{at}");
            }
            other => panic!("{at}: {other:?}"),
        }
        assert!(router.state.names().is_empty());
    }
    assert!(old > 10 && new > 0);
}

#[test]
fn a_power_cut_at_any_moment_leaves_the_old_or_the_new() {
    let (requests, steps) = whole_push();
    let (old, new) = (target(&Config::old()), target(&Config::new()));
    let check = |router: &Router, told: bool| {
        for changes in 0..router.keep.outcomes() {
            for unsynced in UNSYNCED {
                let router = router.rebooted(changes, unsynced);
                assert!(router.start());
                let seen = router.seen();
                assert!(seen == new || (seen == old && !told), "{seen:?}");
                assert!(!router.keep.names().contains(&"next".to_owned()));
            }
        }
    };
    for at in 0..=requests {
        let router = Router::old();
        router.world.incident(at, Incident::Gone);
        check(&router, router.push(&Config::new()).is_ok());
    }
    for step in 0..=steps {
        let router = Router::old();
        router.keep.mishap(step, Mishap::Cut);
        let told = router.push(&Config::new()).is_ok();
        check(&router, told);
    }
}

#[test]
fn a_disk_that_fails_at_any_step_changes_nothing() {
    let steps = whole_push().1;
    for step in 0..steps {
        for mishap in [Mishap::Fails(Errno::EIO), Mishap::Torn(Errno::ENOSPC)] {
            let router = Router::old();
            let before = router.seen();
            router.keep.mishap(step, mishap);
            match router.push(&Config::new()) {
                Ok(_) => assert_eq!(router.seen(), target(&Config::new())),
                Err(failure) => {
                    assert_eq!(failure.code, Code::Storage);
                    assert_ne!(failure.state, State::Partly);
                    assert_eq!(router.seen(), before, "{step} {mishap:?}");
                }
            }
        }
    }
    // The same for the folder with the snapshot.
    for step in 0..20 {
        let router = Router::old();
        let before = router.seen();
        router.state.mishap(step, Mishap::Torn(Errno::ENOSPC));
        match router.push(&Config::new()) {
            Ok(_) => assert_eq!(router.seen(), target(&Config::new())),
            Err(failure) => {
                assert_eq!((failure.code, failure.state), (Code::Storage, State::Unchanged));
                assert_eq!(router.seen(), before);
            }
        }
    }
}
