//! Every packet with each byte changed, truncated at every length, and extended: no side replies,
//! nothing changes, and the intact packet is still accepted afterwards.

use super::super::*;
use super::{Keys, keys, opened, sealed};

/// All damaged forms of a packet: some flipped bits in each byte, each shorter length, and some
/// bytes added.
fn damaged(packet: &[u8], flips: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for at in 0..packet.len() {
        for flip in flips {
            let mut changed = packet.to_vec();
            changed[at] ^= flip;
            all.push(changed);
        }
        all.push(packet[..at].to_vec());
    }
    for more in [1, 2, 16, 1000] {
        for byte in [0, 0xff] {
            all.push([packet, &vec![byte; more]].concat());
        }
    }
    all.push([packet, packet].concat());
    all
}

const BITS: [u8; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 0xff];

impl Keys {
    /// Whether a router accepts an initiation, after it sent this cookie to this address.
    fn works_on(&self, packet: &[u8], wire: Wire, cookie: &Cookie) -> bool {
        Initiation::parse(packet, &self.gate)
            .filter(|initiation| initiation.is_bare() || initiation.has_cookie(cookie))
            .and_then(|initiation| initiation.open(&self.router, wire, &SecretKey::new([4; 32])))
            .is_some()
    }
}

#[test]
fn no_damaged_initiation_gets_further_than_the_first_check() {
    let keys = keys();
    let cookie = Cookie::of(&[9; 32], b"here", *b"tokn");
    for given in [None, Some(&cookie)] {
        let (packet, _) = keys.initiation(Wire::Udp, given);
        assert!(keys.works_on(&packet, Wire::Udp, &cookie));
        for damaged in damaged(&packet, &BITS) {
            let parsed = Initiation::parse(&damaged, &keys.gate);
            let worked_on =
                parsed.filter(|initiation| initiation.is_bare() || initiation.has_cookie(&cookie));
            assert!(worked_on.is_none(), "{damaged:02x?}");
            // `mac2` is authenticated on a serial line too.
            if let Some(initiation) = parsed {
                let ephemeral = SecretKey::new([4; 32]);
                assert!(initiation.open(&keys.router, Wire::Serial, &ephemeral).is_none());
            }
        }
    }
}

/// The damage comes from an attacker who knows the router's public key and can recompute `mac1`.
#[test]
fn no_damaged_initiation_is_opened() {
    let keys = keys();
    let cookie = Cookie::of(&[9; 32], b"here", *b"tokn");
    let (packet, _) = keys.initiation(Wire::Udp, None);
    for damaged in damaged(&packet[..110], &[0x80]) {
        let mac1 = keys.gate.mac1(&damaged);
        let repaired = [&damaged[..], &mac1, &[0; 16]].concat();
        assert!(!keys.works_on(&repaired, Wire::Udp, &cookie), "{damaged:02x?}");
    }
    let mac1 = keys.gate.mac1(&packet[..110]);
    let same = [&packet[..110], &mac1, &[0; 16]].concat();
    assert!(keys.works_on(&same, Wire::Udp, &cookie));
}

#[test]
fn no_damaged_response_makes_a_session() {
    let keys = keys();
    let (initiation, mut initiator) = keys.initiation(Wire::Udp, None);
    let (response, mut router) = keys.response(&initiation, Wire::Udp);
    for damaged in damaged(&response, &[0x01]) {
        assert!(initiator.response(&damaged).is_none(), "{damaged:02x?}");
        assert!(initiator.cookie(&damaged).is_none());
    }
    let mut client = initiator.response(&response).unwrap();
    assert_eq!(opened(&mut router, &sealed(&mut client, b"still")).unwrap(), b"still");
}

#[test]
fn no_damaged_transport_packet_is_opened() {
    let (mut client, mut router) = keys().session();
    for plain in [&b""[..], b"x", b"a request of some length"] {
        // Not the first packet: a changed counter may be lower, too.
        for _ in 0..2 {
            sealed(&mut client, plain);
            sealed(&mut router, plain);
        }
        let there = sealed(&mut client, plain);
        let back = sealed(&mut router, plain);
        for damaged in damaged(&there, &BITS) {
            assert_eq!(opened(&mut router, &damaged), None, "{damaged:02x?}");
        }
        for damaged in damaged(&back, &BITS) {
            assert_eq!(opened(&mut client, &damaged), None, "{damaged:02x?}");
        }
        assert_eq!(opened(&mut router, &there).unwrap(), plain);
        assert_eq!(opened(&mut client, &back).unwrap(), plain);
    }
}

#[test]
fn no_damaged_seek_or_found_is_taken() {
    let label = LabelKey::of("0123456789abcdef").unwrap();
    let (key, nonce) = (PublicKey([9; 32]), [7; 16]);
    let (mut question, mut answer) = ([0; SEEK_LEN], [0; FOUND_LEN]);
    seek(&nonce, Some(&label), &mut question).unwrap();
    let asked = Seek::parse(&question).unwrap();
    asked.answer(&key, Some(&label), &mut answer).unwrap();
    for damaged in damaged(&question, &BITS) {
        assert!(Seek::parse(&damaged).is_none_or(|seek| !seek.knows(&label)), "{damaged:02x?}");
    }
    for damaged in damaged(&answer, &BITS) {
        assert_eq!(found(&damaged, &nonce, Some(&label)), None, "{damaged:02x?}");
    }
    assert!(asked.knows(&label));
    assert_eq!(found(&answer, &nonce, Some(&label)), Some(key));
}

/// No packet of a session is accepted as a packet of another kind.
#[test]
fn no_packet_is_taken_for_another() {
    let keys = keys();
    let (initiation, mut initiator) = keys.initiation(Wire::Udp, None);
    let (response, mut router) = keys.response(&initiation, Wire::Udp);
    let mut client = initiator.response(&response).unwrap();
    let (_, mut initiator) = keys.initiation(Wire::Udp, None);
    let there = sealed(&mut client, b"there");
    let back = sealed(&mut router, b"back");
    let parsed = Initiation::parse(&initiation, &keys.gate).unwrap();
    let mut cookie = [0; COOKIE_LEN];
    parsed.cookie_reply(&Cookie::of(&[9; 32], b"", *b"tokn"), &keys.gate, &mut cookie).unwrap();
    let mut question = [0; SEEK_LEN];
    seek(&[7; 16], None, &mut question).unwrap();
    let mut answer = [0; FOUND_LEN];
    Seek::parse(&question).unwrap().answer(&keys.router.public(), None, &mut answer).unwrap();
    let packets: [(u8, &[u8]); 7] = [
        (INITIATION, &initiation),
        (RESPONSE, &response),
        (TO_ROUTER, &there),
        (TO_CLIENT, &back),
        (SEEK, &question),
        (FOUND, &answer),
        (COOKIE, &cookie),
    ];
    for (kind, packet) in packets {
        assert_eq!(packet[..2], [kind, SESSION_VERSION]);
        assert_eq!(Initiation::parse(packet, &keys.gate).is_some(), kind == INITIATION);
        assert_eq!(initiator.response(packet).is_some(), kind == RESPONSE);
        assert_eq!(initiator.cookie(packet).is_some(), kind == COOKIE);
        assert_eq!(Seek::parse(packet).is_some(), kind == SEEK);
        assert_eq!(found(packet, &[7; 16], None).is_some(), kind == FOUND);
        assert_eq!(receiver(packet).is_some(), kind == TO_ROUTER || kind == TO_CLIENT);
        assert_eq!(opened(&mut router, packet).is_some(), kind == TO_ROUTER);
        assert_eq!(opened(&mut client, packet).is_some(), kind == TO_CLIENT);
        // Nor is it a request or a reply, which appear only inside a session.
        let reply =
            crate::protocol::envelope::open(crate::protocol::envelope::REPLY, packet, |_| true);
        assert!(reply.is_err());
    }
}

#[test]
fn packets_in_any_order_are_taken_once() {
    let (mut client, mut router) = keys().session();
    let packets: Vec<Vec<u8>> =
        (0..300_u32).map(|n| sealed(&mut client, &n.to_le_bytes())).collect();
    let take = |router: &mut Channel, n: usize| {
        opened(router, &packets[n]).inspect(|plain| assert_eq!(plain[..], (n as u32).to_le_bytes()))
    };
    // As over a line with several routes: every other packet late, all of them twice.
    for n in (0..100).filter(|n| n % 2 == 0) {
        assert!(take(&mut router, n).is_some());
    }
    for n in 0..100 {
        assert_eq!(take(&mut router, n).is_some(), n % 2 == 1, "packet {n}");
    }
    assert!(take(&mut router, 299).is_some());
    for n in 100..299 {
        assert_eq!(take(&mut router, n).is_some(), n >= 299 - 127, "packet {n}");
    }
    assert!((0..300).all(|n| take(&mut router, n).is_none()));
    // A session of the same keys with another handshake accepts none of them.
    let (initiation, _) = keys().initiation(Wire::Serial, None);
    let (_, mut other) = keys().response(&initiation, Wire::Serial);
    assert!(packets.iter().all(|packet| opened(&mut other, packet).is_none()));
}
