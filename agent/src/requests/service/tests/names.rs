//! Names of endpoints whose addresses the kernel refuses.

use super::super::model::Run;
use super::*;
use crate::testing::RouterAgent;

/// The image of an interface with a peer that has a name, or an endpoint.
fn image_with_peer(endpoint: Option<&str>) -> Vec<u8> {
    let peer = config::Peer {
        public_key: PublicKey([9; 32]),
        preshared_key: None,
        endpoint: endpoint.map(|endpoint| endpoint.parse().unwrap()),
        persistent_keepalive: 0,
    };
    let host = config::Host { name: cut("vpn.example"), port: 5 };
    let mut image = image();
    image.extend(record_bytes(&config::Record::Peer(peer)));
    if endpoint.is_none() {
        image.extend(record_bytes(&config::Record::Host(host)));
    }
    image
}

/// Runs a router whose kernel refuses every change, once it has a peer with a name.
fn with_refused_name(test: impl FnOnce(&mut Run, &Router, &mut RouterAgent<'_>)) {
    let mut run = Run::new(&std::rc::Rc::default(), None);
    let router = run.router.clone();
    router.with(|agent| {
        agent.start();
        run.hello(agent);
        run.push_image(agent, name(), &image_with_peer(None));
        router.world.incident(0, Incident::Broken(Errno::ENOMEM));
        test(&mut run, &router, agent);
    });
}

/// A name whose address the kernel refuses is a fault only until it is set, or not wanted any more.
#[test]
fn the_fault_of_a_name_ends_with_the_name() {
    let address = Some("192.0.2.7:5".parse().unwrap());
    for ends in 0..3 {
        with_refused_name(|run, router, agent| {
            let (number, _) = agent.next_host().unwrap();
            agent.found(number, address);
            router.world.revive();
            let status = run.status(agent);
            assert!(!status.trouble.is_empty() && status.unresolved == 1, "{}", status.trouble);
            match ends {
                0 => {
                    assert!(agent.next_host().is_none());
                    router.bench.now.set(agent.deadline().unwrap().max(60_000));
                    let (number, _) = agent.next_host().unwrap();
                    agent.found(number, address);
                }
                1 => {
                    let remove = Ask::Remove { interface: name(), confirm_within: 0 };
                    let answer = run.ask(agent, 1, 1, remove);
                    assert!(matches!(answer, Answer::Applied(_)), "{answer:?}");
                }
                _ => run.push_image(agent, name(), &image_with_peer(Some("192.0.2.7:5"))),
            }
            let status = run.status(agent);
            assert_eq!((status.trouble.as_str(), status.unresolved), ("", 0), "{ends}");
        });
    }
}

/// A name is looked up again and again.
#[test]
fn an_address_that_the_kernel_refuses_each_time_is_logged_once() {
    with_refused_name(|run, router, agent| {
        for _ in 0..3 {
            let (number, _) = agent.next_host().unwrap();
            agent.found(number, Some("192.0.2.7:5".parse().unwrap()));
            assert!(agent.next_host().is_none());
            router.bench.now.set(router.bench.now.get() + 3_600_000);
        }
        router.world.revive();
        let trouble = run.status(agent).trouble;
        let log = router.bench.log.borrow();
        assert_eq!(log.iter().filter(|line| **line == *trouble).count(), 1, "{trouble}: {log:?}");
    });
}
