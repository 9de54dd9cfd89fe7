//! Handshakes between our own two halves, and packets through the channels.

use super::*;

mod damage;
mod properties;

const STAMP: u64 = 1_700_000_000_000;
const INDEX: u32 = 0x1234_5678;

struct Keys {
    client: StaticKey,
    router: StaticKey,
    gate: Gatekeys,
}

fn keys() -> Keys {
    let router = StaticKey::new(SecretKey::new([2; 32]));
    let gate = Gatekeys::of(&router.public());
    Keys { client: StaticKey::new(SecretKey::new([1; 32])), router, gate }
}

impl Keys {
    fn initiation(&self, wire: Wire, cookie: Option<&Cookie>) -> (Vec<u8>, Initiator) {
        let mut out = [0xff; 200];
        let (client, router) = (&self.client, &self.router.public());
        let ephemeral = SecretKey::new([3; 32]);
        let (len, initiator) =
            Initiator::begin(client, router, wire, INDEX, STAMP, &ephemeral, cookie, &mut out)
                .unwrap();
        (out[..len].to_vec(), initiator)
    }

    fn opened(&self, packet: &[u8], wire: Wire) -> Option<Opened> {
        Initiation::parse(packet, &self.gate)?.open(&self.router, wire, &SecretKey::new([4; 32]))
    }

    fn response(&self, packet: &[u8], wire: Wire) -> (Vec<u8>, Channel) {
        let mut out = [0xff; 100];
        let (len, channel) = self.opened(packet, wire).unwrap().respond(&mut out).unwrap();
        (out[..len].to_vec(), channel)
    }

    /// Both ends of a session: the client's, then the router's.
    fn session(&self) -> (Channel, Channel) {
        let (initiation, mut initiator) = self.initiation(Wire::Udp, None);
        let (response, router) = self.response(&initiation, Wire::Udp);
        (initiator.response(&response).unwrap(), router)
    }
}

fn sealed(channel: &mut Channel, plain: &[u8]) -> Vec<u8> {
    let mut out = [0xff; 1300];
    let len = channel.seal(plain, &mut out).unwrap();
    out[..len].to_vec()
}

fn opened(channel: &mut Channel, packet: &[u8]) -> Option<Vec<u8>> {
    let mut out = [0xee; 1300];
    let len = channel.open(packet, &mut out);
    assert!(out[len.unwrap_or(0)..].iter().all(|byte| *byte == 0xee));
    len.map(|len| out[..len].to_vec())
}

#[test]
fn a_session_carries_packets_both_ways() {
    let keys = keys();
    for wire in [Wire::Serial, Wire::Udp] {
        let (initiation, mut initiator) = keys.initiation(wire, None);
        assert_eq!(initiation.len(), INITIATION_LEN);
        let parsed = Initiation::parse(&initiation, &keys.gate).unwrap();
        assert_eq!((parsed.sender(), parsed.stamp(), parsed.is_bare()), (INDEX, STAMP, true));
        let known = keys.opened(&initiation, wire).unwrap();
        assert_eq!((known.client, known.stamp), (keys.client.public(), STAMP));
        let (response, mut router) = keys.response(&initiation, wire);
        assert_eq!(response.len(), RESPONSE_LEN);
        let mut client = initiator.response(&response).unwrap();
        assert_eq!(client.handshake_hash(), router.handshake_hash());
        assert_eq!((client.local(), router.remote()), (INDEX, INDEX));
        assert_eq!(client.remote(), router.local());
        for plain in [&b""[..], b"x", &[7; 200], &[8; crate::protocol::MAX_PACKET]] {
            let there = sealed(&mut client, plain);
            assert_eq!(there.len(), plain.len() + OVERHEAD);
            assert_eq!(receiver(&there), Some((TO_ROUTER, router.local())));
            assert_eq!(opened(&mut client, &there), None);
            assert_eq!(opened(&mut router, &there).unwrap(), plain);
            assert_eq!(opened(&mut router, &there), None, "a replay");
            let back = sealed(&mut router, plain);
            assert_eq!(receiver(&back), Some((TO_CLIENT, INDEX)));
            assert_eq!(opened(&mut client, &back).unwrap(), plain);
            assert_eq!(opened(&mut client, &back), None, "a replay");
        }
        assert_eq!((client.sent(), router.sent()), (4, 4));
    }
}

#[test]
fn a_handshake_is_for_one_router_and_one_wire() {
    let keys = keys();
    let (initiation, mut initiator) = keys.initiation(Wire::Udp, None);
    assert!(keys.opened(&initiation, Wire::Serial).is_none());
    let other = StaticKey::new(SecretKey::new([5; 32]));
    assert!(Initiation::parse(&initiation, &Gatekeys::of(&other.public())).is_none());
    // A client that knows the router's public key but has another private key.
    let parsed = Initiation::parse(&initiation, &keys.gate).unwrap();
    assert!(parsed.open(&other, Wire::Udp, &SecretKey::new([4; 32])).is_none());
    // A second handshake of the same client has another ephemeral key.
    let mut out = [0; 200];
    let (client, router) = (&keys.client, &keys.router.public());
    let again = SecretKey::new([6; 32]);
    let (_, mut second) =
        Initiator::begin(client, router, Wire::Udp, INDEX, STAMP, &again, None, &mut out).unwrap();
    let (response, _) = keys.response(&initiation, Wire::Udp);
    assert!(second.response(&response).is_none());
    assert!(initiator.response(&response).is_some());
    assert!(initiator.response(&response).is_none(), "one session of one handshake");
}

#[test]
fn a_cookie_is_for_one_address_and_one_initiation() {
    let keys = keys();
    let (bare, initiator) = keys.initiation(Wire::Udp, None);
    let cookie = Cookie::of(&[9; 32], b"192.0.2.1:4000", *b"tokn");
    let parsed = Initiation::parse(&bare, &keys.gate).unwrap();
    assert!(!parsed.has_cookie(&cookie));
    let mut out = [0xff; 60];
    let len = parsed.cookie_reply(&cookie, &keys.gate, &mut out).unwrap();
    assert!(len == COOKIE_LEN && len < bare.len());
    let reply = &out[..len];
    let given = initiator.cookie(reply).unwrap();
    let (with, second) = keys.initiation(Wire::Udp, Some(&given));
    let parsed = Initiation::parse(&with, &keys.gate).unwrap();
    assert!(parsed.has_cookie(&cookie) && !parsed.is_bare());
    assert!(!parsed.has_cookie(&Cookie::of(&[9; 32], b"192.0.2.1:4001", *b"tokn")));
    assert!(!parsed.has_cookie(&Cookie::of(&[8; 32], b"192.0.2.1:4000", *b"tokn")));
    assert!(keys.opened(&with, Wire::Udp).is_some());
    let (serial, _) = keys.initiation(Wire::Serial, Some(&given));
    assert!(keys.opened(&serial, Wire::Serial).is_none());
    // The cookie is for this initiation only: an initiation with another `mac1` rejects it.
    let mut out = [0; 200];
    let (client, router) = (&keys.client, &keys.router.public());
    let (_, third) = Initiator::begin(
        client,
        router,
        Wire::Udp,
        INDEX,
        STAMP + 1,
        &SecretKey::new([3; 32]),
        None,
        &mut out,
    )
    .unwrap();
    assert!(second.cookie(reply).is_some(), "the same initiation but for the cookie");
    assert!(third.cookie(reply).is_none());
    for at in 0..reply.len() {
        let mut changed = reply.to_vec();
        changed[at] ^= 1;
        assert!(initiator.cookie(&changed).is_none(), "byte {at}");
        assert!(initiator.cookie(&reply[..at]).is_none(), "{at} bytes");
    }
}

#[test]
fn what_does_not_fit_is_not_written() {
    let keys = keys();
    let (client, router) = (&keys.client, &keys.router.public());
    let key = SecretKey::new([3; 32]);
    let begin = |out: &mut [u8]| {
        Initiator::begin(client, router, Wire::Udp, INDEX, STAMP, &key, None, out).is_some()
    };
    assert!(!begin(&mut [0; INITIATION_LEN - 1]));
    let (initiation, _) = keys.initiation(Wire::Udp, None);
    let short = &mut [0; RESPONSE_LEN - 1];
    assert!(keys.opened(&initiation, Wire::Udp).unwrap().respond(short).is_none());
    let (mut client, mut router) = keys.session();
    assert_eq!(client.seal(b"four", &mut [0; OVERHEAD + 3]), None);
    let long = [0; crate::protocol::MAX_PACKET + 1];
    assert_eq!(client.seal(&long, &mut [0; 2000]), None);
    assert_eq!(client.sent(), 0);
    let packet = sealed(&mut client, b"four");
    client.skip_to(u64::MAX);
    assert_eq!(client.seal(b"", &mut [0; OVERHEAD]), None, "the last counter is not used");
    assert_eq!(router.open(&packet, &mut [0; 3]), None);
    assert_eq!(router.open(&packet, &mut [0; 4]), Some(4));
}

#[test]
fn no_secret_is_printed() {
    let keys = keys();
    let (initiation, initiator) = keys.initiation(Wire::Udp, None);
    let (client, _) = keys.session();
    let opened = keys.opened(&initiation, Wire::Udp).unwrap();
    let cookie = Cookie::of(&[9; 32], b"", *b"tokn");
    let text = format!("{:?} {initiator:?} {client:?} {opened:?} {cookie:?}", keys.client);
    let public = keys.client.public();
    let expected = format!(
        "StaticKey({public}) Initiator {{ index: {INDEX}, .. }} Channel(Client, {INDEX:08x}, 0 sent) \
         Opened {{ client: {public:?}, .. }} Cookie"
    );
    assert_eq!(text, expected);
}
