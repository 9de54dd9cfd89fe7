//! One session with fixed keys, from the search for the router to packets both ways: the example of
//! `docs/protocol.md`.

use blake2::Blake2sMac256;
use blake2::digest::Mac as _;
use proto_core::key::{PublicKey, SecretKey};
use proto_core::protocol::message::Role;
use proto_core::protocol::session::{
    Channel, Cookie, Gatekeys, Initiation, Initiator, LabelKey, StaticKey, Wire, seek,
};
use proto_core::protocol::unlock::{Challenge, Code, Pairing};

/// The number that the client has chosen.
pub const SENDER: u32 = 0x1122_3344;
/// The client's time: 2023-11-14 22:13:20.
pub const STAMP: u64 = 1_700_000_000_000;
/// What is on the router's label.
pub const LABEL: &str = "Kx4t 9qwe 72mn plrd";
/// Of the client's question for the router.
pub const NONCE: [u8; 16] = *b"sixteen bytes ok";
/// What the router makes cookies with.
pub const COOKIE_SECRET: [u8; 32] = [0xc0; 32];
/// The token in that cookie.
pub const COOKIE_TOKEN: [u8; 4] = *b"tokn";
/// The last stamp that the router took of this client, when it answers with that.
pub const LAST_STAMP: u64 = 1_800_000_000_000;
/// What that answer is drawn with.
pub const STAMP_NONCE: [u8; 16] = *b"stamp nonce 16 b";
/// Where the client is: address and port as a router may write them.
pub const SOURCE: &[u8] = b"192.0.2.1:40000";

/// 32 bytes that count up from `first`.
fn counting(first: u8) -> SecretKey {
    SecretKey::new(core::array::from_fn(|nth| first + nth as u8))
}

pub fn client_private() -> SecretKey {
    counting(0x01)
}

pub fn client_ephemeral() -> SecretKey {
    counting(0x21)
}

pub fn router_private() -> SecretKey {
    counting(0x41)
}

pub fn router_ephemeral() -> SecretKey {
    counting(0x61)
}

pub fn client() -> StaticKey {
    StaticKey::new(client_private())
}

pub fn router() -> StaticKey {
    StaticKey::new(router_private())
}

pub fn router_public() -> PublicKey {
    router().public()
}

pub fn label() -> LabelKey {
    LabelKey::of(LABEL).unwrap()
}

/// What `write` writes to a buffer, which says how long it is.
pub fn written(write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Vec<u8> {
    let mut out = [0xff; 1300];
    let len = write(&mut out).unwrap();
    assert!(out[len..].iter().all(|byte| *byte == 0xff), "written behind the end");
    out[..len].to_vec()
}

/// The initiation, with the cookie of the example or without.
pub fn initiation(wire: Wire, cookie: Option<&Cookie>) -> (Vec<u8>, Initiator) {
    let mut initiator = None;
    let packet = written(|out| {
        let (own, router) = (client(), router_public());
        let key = client_ephemeral();
        let (len, begun) = Initiator::begin(&own, &router, wire, SENDER, STAMP, &key, cookie, out)?;
        initiator = Some(begun);
        Some(len)
    });
    (packet, initiator.unwrap())
}

/// What the router answers to an initiation, and its end of the session.
pub fn answer(initiation: &[u8], wire: Wire) -> Option<(Vec<u8>, Channel)> {
    let router = router();
    let parsed = Initiation::parse(initiation, &Gatekeys::of(&router.public()))?;
    let opened = parsed.open(&router, wire, &router_ephemeral())?;
    let mut channel = None;
    let packet = written(|out| {
        let (len, made) = opened.respond(out)?;
        channel = Some(made);
        Some(len)
    });
    Some((packet, channel.unwrap()))
}

/// The router's answer to the initiation when it took a later stamp before.
pub fn wrong_stamp() -> Vec<u8> {
    let (initiation, initiator) = initiation(Wire::Udp, None);
    let parsed = Initiation::parse(&initiation, &Gatekeys::of(&router_public())).unwrap();
    let opened = parsed.open(&router(), Wire::Udp, &router_ephemeral()).unwrap();
    let packet = written(|out| opened.wrong_stamp(LAST_STAMP, &STAMP_NONCE, out));
    assert_eq!(initiator.wrong_stamp(&packet), Some(LAST_STAMP));
    packet
}

/// The cookie, as the router gives it for the initiation, and as a packet.
pub fn cookie() -> (Cookie, Vec<u8>) {
    let (initiation, _) = initiation(Wire::Udp, None);
    let gate = Gatekeys::of(&router_public());
    let cookie = Cookie::of(&COOKIE_SECRET, SOURCE, COOKIE_TOKEN);
    let parsed = Initiation::parse(&initiation, &gate).unwrap();
    let packet = written(|out| parsed.cookie_reply(&cookie, &gate, out));
    (cookie, packet)
}

/// The question for a router that nobody owns.
pub fn question(label: Option<&LabelKey>) -> Vec<u8> {
    written(|out| seek(&NONCE, label, out))
}

/// The challenge of the router's console: of these random bytes.
pub fn challenge() -> Challenge {
    Challenge::new([19, 7, 23, 2, 9, 29, 20, 4, 26])
}

/// The code that answers it.
pub fn code(role: Role) -> Code {
    Pairing::at_office(&client(), &router_public()).unwrap().code(&challenge(), role)
}

/// The same with the crates alone: the shared secret, what is hashed under it, and the hash.
pub fn unlock_by_hand(role: Role) -> ([u8; 32], Vec<u8>, [u8; 32]) {
    let shared = x25519_dalek::x25519(*client_private().as_bytes(), router_public().0);
    let challenge = challenge().to_string().replace('-', "");
    let mut input = b"Postwire unlock".to_vec();
    input.push(role.number());
    input.extend(challenge.as_bytes());
    input.extend(router_public().0);
    input.extend(client().public().0);
    let mut mac = Blake2sMac256::new_with_salt_and_personal(Some(&shared), &[], &[]).unwrap();
    mac.update(&input);
    (shared, input, mac.finalize().into_bytes().into())
}
