//! Both ends of a handshake, fed with random bytes and with changed packets.
//!
//! Promised: no panic; no byte is written after the reported length; the router and the client
//! accept only packets that the other one made, even if `mac1`, which needs no secret, is made
//! valid again; and after any other packet the handshake continues.

use std::sync::LazyLock;

use blake2::digest::{KeyInit, Mac};
use blake2::{Blake2s256, Blake2sMac256, Digest};
use proto_core::key::SecretKey;
use proto_core::protocol::session::{
    COOKIE_LEN, Channel, Cookie, Gatekeys, INITIATION_LEN, Initiation, Initiator, RESPONSE_LEN,
    StaticKey, Wire,
};

use super::Seeds;
use super::input::Input;

/// The same keys for all inputs, so that curve arithmetic is done once.
struct Fixed {
    client: StaticKey,
    router: StaticKey,
    gate: Gatekeys,
    cookie: Cookie,
    initiation: Vec<u8>,
    response: Vec<u8>,
    reply: Vec<u8>,
}

static FIXED: LazyLock<Fixed> = LazyLock::new(|| {
    let client = StaticKey::new(SecretKey::new([1; 32]));
    let router = StaticKey::new(SecretKey::new([2; 32]));
    let gate = Gatekeys::of(&router.public());
    let cookie = Cookie::of(&[5; 32], b"here", *b"tokn");
    let (_, initiation) = begin(&client, &router);
    let parsed = Initiation::parse(&initiation, &gate).expect("a valid initiation");
    let response = respond(&parsed, &router).expect("a valid initiation").0;
    let mut reply = vec![0; COOKIE_LEN];
    parsed.cookie_reply(&cookie, &gate, &mut reply).expect("room");
    Fixed { client, router, gate, cookie, initiation, response, reply }
});

fn begin(client: &StaticKey, router: &StaticKey) -> (Initiator, Vec<u8>) {
    let mut packet = vec![0; INITIATION_LEN];
    let (ephemeral, router) = (SecretKey::new([3; 32]), router.public());
    let begun =
        Initiator::begin(client, &router, Wire::Udp, 7, 1_000, &ephemeral, None, &mut packet);
    (begun.expect("room").1, packet)
}

fn respond(initiation: &Initiation<'_>, router: &StaticKey) -> Option<(Vec<u8>, Channel)> {
    let opened = initiation.open(router, Wire::Udp, &SecretKey::new([4; 32]))?;
    let mut response = vec![0; RESPONSE_LEN];
    let (len, channel) = opened.respond(&mut response).expect("room");
    assert_eq!(len, RESPONSE_LEN);
    Some((response, channel))
}

/// `packet` with the changes of the input: bytes, then the length.
fn changed(packet: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let mut packet = packet.to_vec();
    for _ in 0..input.byte() % 8 {
        let at = usize::from(input.byte()) % packet.len();
        packet[at] ^= input.byte();
    }
    match input.byte() {
        0 => {}
        cut @ 1..128 => packet.truncate(usize::from(cut)),
        _ => packet.extend(input.chunk()),
    }
    packet
}

/// Makes `mac1` valid, as anyone can who knows the router's public key.
fn repair(packet: &mut [u8]) {
    if let Some((before, rest)) = packet.split_at_mut_checked(110)
        && let Some(mac1) = rest.first_chunk_mut::<16>()
    {
        let router = FIXED.router.public();
        let key = Blake2s256::digest([&b"Postwire mac1"[..], &router.0].concat());
        let mac = Blake2sMac256::new(&key).chain_update(before).finalize().into_bytes();
        mac1.copy_from_slice(&mac[..16]);
    }
}

fn initiation(packet: &[u8]) {
    let Fixed { router, gate, cookie, .. } = &*FIXED;
    let Some(parsed) = Initiation::parse(packet, gate) else { return };
    assert_eq!(packet.len(), INITIATION_LEN);
    assert_eq!(parsed.is_bare(), packet[126..] == [0; 16]);
    assert!(!parsed.has_cookie(cookie), "no cookie was sent");
    let mut out = [0xee; 60];
    assert_eq!(parsed.cookie_reply(cookie, gate, &mut out), Some(COOKIE_LEN));
    assert!(out[COOKIE_LEN..].iter().all(|byte| *byte == 0xee));
    let real = packet[..110] == FIXED.initiation[..110];
    let answer = respond(&parsed, router);
    assert_eq!(answer.is_some(), real);
    if let Some((response, _)) = answer {
        assert_eq!(response, FIXED.response);
    }
    let serial = parsed.open(router, Wire::Serial, &SecretKey::new([4; 32]));
    assert!(serial.is_none(), "the initiation was made for another wire");
}

fn response(packet: &[u8]) {
    let Fixed { client, router, response, reply, .. } = &*FIXED;
    let (mut initiator, _) = begin(client, router);
    assert_eq!(initiator.cookie(packet).is_some(), packet == reply);
    assert_eq!(initiator.wrong_stamp(packet), None, "no stamp was reported");
    assert_eq!(initiator.response(packet).is_some(), packet == response);
    assert_eq!(initiator.response(response).is_some(), packet != response);
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() {
        b'I' => initiation(&changed(&FIXED.initiation, &mut input)),
        b'M' => {
            let mut packet = changed(&FIXED.initiation, &mut input);
            repair(&mut packet);
            initiation(&packet);
        }
        b'R' => response(&changed(&FIXED.response, &mut input)),
        b'C' => response(&changed(&FIXED.reply, &mut input)),
        b'B' => {
            let mut packet = input.0.to_vec();
            repair(&mut packet);
            initiation(&packet);
        }
        _ => {
            initiation(input.0);
            response(input.0);
        }
    }
}

pub fn seeds() -> Seeds {
    let mut seeds: Seeds = Vec::new();
    for (name, kind) in
        [("initiation", b'I'), ("repaired", b'M'), ("response", b'R'), ("cookie", b'C')]
    {
        seeds.push((name.into(), vec![kind, 0, 0]));
        for at in [0, 1, 2, 6, 9, 10, 14, 40, 46, 80, 100, 115, 130] {
            seeds.push((format!("{name}-byte-{at}"), vec![kind, 1, at, 0x80, 0]));
        }
        for cut in [1, 30, 57, 109, 127] {
            seeds.push((format!("{name}-cut-{cut}"), vec![kind, 0, cut]));
        }
        seeds.push((format!("{name}-more"), vec![kind, 0, 200, 2, 0, 9, 9]));
    }
    let plain = |kind: &[u8], packet: &[u8]| [kind, packet].concat();
    seeds.push(("plain-initiation".into(), plain(b"P", &FIXED.initiation)));
    seeds.push(("plain-response".into(), plain(b"P", &FIXED.response)));
    seeds.push(("plain-cookie".into(), plain(b"P", &FIXED.reply)));
    // Keys of small order in place of the client's ephemeral key.
    for (name, byte) in [("zero", 0), ("one", 1)] {
        let mut packet = FIXED.initiation.clone();
        packet[14..46].fill(0);
        packet[14] = byte;
        seeds.push((format!("order-{name}"), plain(b"B", &packet)));
    }
    seeds
}
