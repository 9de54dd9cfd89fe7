//! One session with fixed keys, from the search for the router to packets in both directions: the
//! example of `docs/protocol.md`.

use blake2::Blake2sMac256;
use blake2::digest::Mac as _;
use proto_core::key::{PublicKey, SecretKey};
use proto_core::protocol::message::Role;
use proto_core::protocol::session::{
    Channel, Cookie, Gatekeys, Initiation, Initiator, LabelKey, StaticKey, Wire, seek,
};
use proto_core::protocol::unlock::{Challenge, Code, Pairing};

/// The client's index.
pub const SENDER: u32 = 0x1122_3344;
/// The client's time: 2023-11-14 22:13:20.
pub const STAMP: u64 = 1_700_000_000_000;
/// The secret on the router's label.
pub const LABEL: &str = "Kx4t 9qwe 72mn plrd";
/// The nonce of the client's search.
pub const NONCE: [u8; 16] = *b"sixteen bytes ok";
/// The router's secret for cookies.
pub const COOKIE_SECRET: [u8; 32] = [0xc0; 32];
/// The token in the cookie.
pub const COOKIE_TOKEN: [u8; 4] = *b"tokn";
/// The last stamp that the router accepted from this client, when it reports a wrong one.
pub const LAST_STAMP: u64 = 1_800_000_000_000;
/// The nonce of that report.
pub const STAMP_NONCE: [u8; 16] = *b"stamp nonce 16 b";
/// The client's address: address and port as a router may write them.
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

/// Passes a buffer to `write`, and returns the bytes up to the length that it returned.
pub fn written(write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Vec<u8> {
    let mut out = [0xff; 1300];
    let len = write(&mut out).unwrap();
    assert!(out[len..].iter().all(|byte| *byte == 0xff), "written after the end");
    out[..len].to_vec()
}

/// The initiation, with or without the cookie of the example.
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

/// The router's response to an initiation, and its end of the session.
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

/// The router's reply to the initiation after it had accepted a later stamp.
pub fn wrong_stamp() -> Vec<u8> {
    let (initiation, initiator) = initiation(Wire::Udp, None);
    let parsed = Initiation::parse(&initiation, &Gatekeys::of(&router_public())).unwrap();
    let opened = parsed.open(&router(), Wire::Udp, &router_ephemeral()).unwrap();
    let packet = written(|out| opened.wrong_stamp(LAST_STAMP, &STAMP_NONCE, out));
    assert_eq!(initiator.wrong_stamp(&packet), Some(LAST_STAMP));
    packet
}

/// The cookie as the router sends it for the initiation, and its packet.
pub fn cookie() -> (Cookie, Vec<u8>) {
    let (initiation, _) = initiation(Wire::Udp, None);
    let gate = Gatekeys::of(&router_public());
    let cookie = Cookie::of(&COOKIE_SECRET, SOURCE, COOKIE_TOKEN);
    let parsed = Initiation::parse(&initiation, &gate).unwrap();
    let packet = written(|out| parsed.cookie_reply(&cookie, &gate, out));
    (cookie, packet)
}

/// The search for an unowned router.
pub fn question(label: Option<&LabelKey>) -> Vec<u8> {
    written(|out| seek(&NONCE, label, out))
}

/// The challenge of the router's console, from these random bytes.
pub fn challenge() -> Challenge {
    Challenge::new([19, 7, 23, 2, 9, 29, 20, 4, 26])
}

/// The code for the challenge.
pub fn code(role: Role) -> Code {
    Pairing::at_office(&client(), &router_public()).unwrap().code(&challenge(), role)
}

/// The same with the crates alone: the shared secret, the bytes to hash under it, and the hash.
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
