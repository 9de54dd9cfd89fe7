//! The search for an unowned router, and the secret on its label, from random bytes.
//!
//! Promised: no panic; a search and an answer are accepted only with the MAC of the right secret;
//! and a secret is the same however it is typed.

use proto_core::key::PublicKey;
use proto_core::protocol::session::{
    FOUND_LEN, LabelKey, MIN_LABEL, SEEK_LEN, Seek, fingerprint, found, seek,
};

use super::Seeds;
use super::input::{Input, chunk};

const NONCE: [u8; 16] = [7; 16];

fn label() -> LabelKey {
    LabelKey::of("0123456789abcdef").expect("long enough")
}

fn question(label: Option<&LabelKey>) -> [u8; SEEK_LEN] {
    let mut packet = [0xee; SEEK_LEN];
    assert_eq!(seek(&NONCE, label, &mut packet), Some(SEEK_LEN));
    packet
}

fn answer(key: &PublicKey, label: Option<&LabelKey>) -> [u8; FOUND_LEN] {
    let mut packet = [0xee; FOUND_LEN];
    let asked = Seek::parse(&question(label)).expect("a valid search");
    assert_eq!(asked.answer(key, label, &mut packet), Some(FOUND_LEN));
    packet
}

fn changed(packet: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let at = usize::from(input.byte()) % packet.len();
    packet[at] ^= input.byte();
    match input.byte() {
        0..128 => {}
        cut @ 128.. => packet.truncate(usize::from(cut) - 128),
    }
    packet.extend(input.bytes(9));
    packet
}

fn asked(packet: &[u8]) {
    let label = label();
    let Some(seek) = Seek::parse(packet) else { return };
    assert_eq!(seek.knows(&label), packet[2..50] == label_question(packet)[2..50]);
    let mut out = [0xee; FOUND_LEN + 4];
    assert_eq!(seek.answer(&PublicKey([9; 32]), Some(&label), &mut out), Some(FOUND_LEN));
    assert!(packet.len() >= FOUND_LEN, "the answer is longer than the search");
    assert_eq!(out[FOUND_LEN..], [0xee; 4]);
    let nonce = packet[2..18].try_into().expect("16 bytes");
    assert_eq!(found(&out[..FOUND_LEN], &nonce, Some(&label)), Some(PublicKey([9; 32])));
}

/// The search with the nonce of this packet, by a client that knows the secret.
fn label_question(packet: &[u8]) -> [u8; SEEK_LEN] {
    let nonce = packet[2..18].try_into().expect("16 bytes");
    let mut real = [0; SEEK_LEN];
    seek(&nonce, Some(&label()), &mut real).expect("room");
    real
}

fn secret(text: &str) {
    let plain: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let plain = plain.to_ascii_uppercase();
    let key = LabelKey::of(text);
    assert_eq!(key.is_some(), plain.chars().count() >= MIN_LABEL && plain.len() <= 128);
    if let Some(key) = key {
        let again = LabelKey::of(&plain).expect("the same");
        let proof = key.proof(&[1; 32]);
        assert!(again.proves(&[1; 32], &proof));
        assert!(!again.proves(&[2; 32], &proof));
        assert_eq!(label().proves(&[1; 32], &proof), plain == "0123456789ABCDEF");
    }
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() {
        b'S' => asked(input.0),
        b'Q' => asked(&changed(&question(Some(&label())), &mut input)),
        b'F' => {
            let key = PublicKey(input.array());
            let real = answer(&key, Some(&label()));
            assert_eq!(found(&real, &NONCE, Some(&label())), Some(key));
            let packet = changed(&real, &mut input);
            let taken = found(&packet, &NONCE, Some(&label()));
            assert_eq!(taken, (packet == real).then_some(key));
            // Without a secret only the nonce must match.
            if let Some(key) = found(&packet, &NONCE, None) {
                assert!(packet.len() == FOUND_LEN && packet[2..18] == NONCE);
                assert_eq!(packet[18..50], key.0);
            }
        }
        b'L' => secret(&String::from_utf8_lossy(input.0)),
        b'K' => {
            let (one, other) = (PublicKey(input.array()), PublicKey(input.array()));
            let text = fingerprint(&one);
            assert_eq!(text == fingerprint(&other), one == other);
            assert_eq!(text.len(), 24);
            for (nth, byte) in text.bytes().enumerate() {
                let digit = byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7');
                assert!(if nth % 5 == 4 { byte == b'-' } else { digit });
            }
        }
        _ => {
            assert_eq!(found(input.chunk(), &NONCE, Some(&label())), None);
        }
    }
}

pub fn seeds() -> Seeds {
    let mut seeds: Seeds = Vec::new();
    let mut push = |name: &str, parts: &[&[u8]]| seeds.push((name.into(), parts.concat()));
    push("seek", &[b"S", &question(Some(&label()))]);
    push("seek-serial", &[b"S", &question(None)]);
    push("seek-changed", &[b"Q", &[0, 0, 0]]);
    for at in [0, 1, 2, 17, 18, 49, 50, 81] {
        push(&format!("seek-byte-{at}"), &[b"Q", &[at, 1, 0]]);
        push(&format!("found-byte-{at}"), &[b"F", &[3; 32], &[at, 1, 0]]);
    }
    push("seek-cut", &[b"Q", &[0, 0, 200]]);
    push("seek-more", &[b"Q", &[0, 0, 0, 0]]);
    push("found", &[b"F", &[3; 32], &[0, 0, 0]]);
    push("found-cut", &[b"F", &[3; 32], &[0, 0, 209]]);
    push("found-more", &[b"F", &[3; 32], &[0, 0, 0, 5]]);
    push("label", &[b"L0123-4567 89ab-cdef"]);
    push("label-short", &[b"L0123-4567 89ab-cde"]);
    push("label-letters", &[b"L", "\u{e9}\u{e8} \u{e9}\u{e8}-".repeat(4).as_bytes()]);
    push("label-longest", &[b"L", &[b'a'; 128]]);
    push("label-too-long", &[b"L", &[b'a'; 129]]);
    push("fingerprint", &[b"K", &[1; 64]]);
    push("fingerprints", &[b"K", &[1; 63], &[2]]);
    push("answer", &[b"A", &chunk(&answer(&PublicKey([3; 32]), None))]);
    seeds
}
