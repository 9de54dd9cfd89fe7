//! Endpoints with a scope: the image names a link, and the kernel has its number.

use proto_core::netlink::route::link;

use super::tests::{Config, Router};
use super::*;
use crate::system::Disk;
use crate::testing::{Cellar, Shelf, record_bytes};
use proto_core::ip::parse_endpoint;
use proto_core::protocol::codec;
use proto_core::protocol::config::Peer;
use proto_core::protocol::endpoint::PeerEndpoint;
use proto_core::protocol::report::Running;

const PEER: PublicKey = PublicKey([9; 32]);

/// An image with a peer there.
fn image(endpoint: &str) -> Vec<u8> {
    let mut image = Config { peers: Vec::new(), ..Config::old() }.image_of("wg0");
    image.extend(record_bytes(&Record::Peer(Peer {
        public_key: PEER,
        preshared_key: None,
        endpoint: Some(endpoint.parse().unwrap()),
        persistent_keepalive: 0,
    })));
    image
}

#[expect(clippy::result_large_err, reason = "a test returns it")]
fn push(router: &Router, endpoint: &str) -> Result<Done, Failure> {
    router.push_image(&image(endpoint), Some(Act::Pushed), false)
}

fn add_link(router: &Router, name: &str) -> u32 {
    let name = name.parse().unwrap();
    router.world.by_hand(|buf| link::create(buf, 1, name, "dummy").unwrap()).unwrap();
    router.world.index(&name)
}

/// The scope that the kernel has: the end of a `struct sockaddr_in6`.
fn scope(router: &Router) -> u32 {
    let mut scope = 0;
    router.world.meddle("wg0", |device| {
        let bytes = &device.peers[0].endpoint[24..28];
        scope = u32::from_ne_bytes(bytes.try_into().unwrap());
    });
    scope
}

fn set_scope(router: &Router, scope: u32) {
    router.world.meddle("wg0", |device| {
        device.peers[0].endpoint[24..28].copy_from_slice(&scope.to_ne_bytes());
    });
}

/// The endpoint in a report of the running state.
fn shown(router: &Router) -> std::string::String {
    router.with(|agent| {
        let mut cellar = Cellar::default();
        let (mut file, mut extras): (Shelf, Shelf) =
            (cellar.create(c"r").unwrap(), cellar.create(c"x").unwrap());
        let name = "wg0".parse().unwrap();
        let files = (&mut file, &mut extras);
        let (length, _) =
            report::running(&mut agent.kernel, files, name, 0, &mut |_| Ok(())).unwrap();
        let mut bytes = vec![0; length as usize];
        file.read_at(0, &mut bytes).unwrap();
        let mut rest = &bytes[..];
        while let Some((record, behind)) = proto_core::protocol::sized::split(rest) {
            if let Some(Running::Peer { endpoint: Some(endpoint), .. }) =
                proto_core::protocol::report::Record::read(record)
            {
                return endpoint.to_string();
            }
            rest = behind;
        }
        std::string::String::new()
    })
}

#[test]
fn the_scope_is_the_number_that_the_link_has_here() {
    let router = Router::default();
    add_link(&router, "eth7");
    let lan = add_link(&router, "br-lan");
    push(&router, "[fe80::1%br-lan]:51820").unwrap();
    assert_eq!((scope(&router), shown(&router)), (lan, "[fe80::1%br-lan]:51820".into()));
    assert!(push(&router, "[fe80::1%br-lan]:51820").unwrap().summary.is_quiet());
    // The same address on another link is another endpoint.
    for other in [0, lan + 100] {
        set_scope(&router, other);
        let done = router.push_image(&image("[fe80::1%br-lan]:51820"), None, false).unwrap();
        assert_eq!((done.summary.peers.changed, scope(&router)), (1, lan));
    }
    assert_eq!(push(&router, "[fe80::1%eth7]:51820").unwrap().summary.peers.changed, 1);
    assert_eq!(shown(&router), "[fe80::1%eth7]:51820");
    // A scope that is a number stays a number, and a link without a name is shown by its number.
    push(&router, "[fe80::1%4000]:51820").unwrap();
    assert_eq!((scope(&router), shown(&router)), (4000, "[fe80::1%4000]:51820".into()));
}

#[test]
fn a_link_that_is_not_there_is_named_before_anything_changes() {
    let router = Router::default();
    add_link(&router, "eth7");
    push(&router, "[fe80::1%eth7]:51820").unwrap();
    let (before, requests) = (router.seen(), router.world.changes());
    let failure = push(&router, "[fe80::1%eth8]:51820").unwrap_err();
    assert_eq!(failure.text, "the router has no interface eth8");
    assert_eq!((failure.code, failure.subject), (Code::Config, Subject::Endpoint(PEER)));
    assert_eq!(failure.state, State::Unchanged);
    assert_eq!((router.seen(), router.world.changes()), (before, requests));
}

#[test]
fn a_link_has_another_number_after_a_restart() {
    let router = Router::default();
    let was = add_link(&router, "eth7");
    push(&router, "[fe80::1%eth7]:51820").unwrap();
    let next = Router { keep: router.keep.clone(), ..Router::default() };
    next.bench.boot.set(router.bench.boot.get() + 1);
    // Without the link, the start fails and leaves nothing by halves; the next one is whole.
    assert!(!next.start());
    for name in ["usb0", "usb1"] {
        add_link(&next, name);
    }
    let is = add_link(&next, "eth7");
    assert!(next.start());
    assert_ne!(was, is);
    assert_eq!((scope(&next), shown(&next)), (is, "[fe80::1%eth7]:51820".into()));
}

#[test]
fn going_back_gives_a_peer_its_scope_even_if_its_link_is_gone() {
    let router = Router::default();
    let lan = add_link(&router, "br-lan");
    push(&router, "[fe80::1%br-lan]:51820").unwrap();
    router.push_image(&image("[fe80::2]:51820"), Some(Act::Pushed), true).unwrap();
    assert_eq!(scope(&router), 0);
    router.world.by_hand(|buf| link::delete(buf, 1, lan).unwrap()).unwrap();
    router.with(|agent| agent.take_back_unfinished()).unwrap();
    assert_eq!((scope(&router), shown(&router)), (lan, format!("[fe80::1%{lan}]:51820")));
}

#[test]
fn an_image_has_scopes_only_where_they_mean_something() {
    let router = Router::default();
    let to = parse_endpoint("[2001:db8::1]:1").unwrap();
    let std::net::SocketAddr::V6(to) = to else { unreachable!() };
    let mut bytes = Config { peers: Vec::new(), ..Config::old() }.image_of("wg0");
    bytes.extend(record_bytes(&Record::Peer(Peer {
        public_key: PEER,
        preshared_key: None,
        endpoint: Some(PeerEndpoint::Scoped(to, "lo".parse().unwrap())),
        persistent_keepalive: 0,
    })));
    assert!(codec::record(&bytes).is_ok());
    let failure = router.push_image(&bytes, Some(Act::Pushed), false).unwrap_err();
    assert_eq!((failure.code, failure.subject), (Code::Config, Subject::Endpoint(PEER)));
}

#[test]
fn endpoints_are_on_sixteen_links_at_the_most() {
    for (links, fits) in [(16, true), (17, false)] {
        let router = Router::default();
        let mut bytes = Config { peers: Vec::new(), ..Config::old() }.image_of("wg0");
        for n in 0..links {
            add_link(&router, &format!("eth{n}"));
            // Two peers on each.
            for second in [false, true] {
                bytes.extend(record_bytes(&Record::Peer(Peer {
                    public_key: PublicKey([0x40 + 2 * n + u8::from(second); 32]),
                    preshared_key: None,
                    endpoint: Some(format!("[fe80::1%eth{n}]:1").parse().unwrap()),
                    persistent_keepalive: 0,
                })));
            }
        }
        let done = router.push_image(&bytes, Some(Act::Pushed), false);
        match done {
            Ok(done) => assert!(fits && done.summary.peers.added == 32),
            Err(failure) => {
                assert!(!fits, "{failure:?}");
                assert_eq!(failure.text, "the endpoints are on more than 16 links");
                assert_eq!(failure.subject, Subject::Endpoint(PublicKey([0x60; 32])));
            }
        }
    }
}
