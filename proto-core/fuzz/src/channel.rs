//! Both ends of a session, whose packets arrive in any order, more than once, changed, or not at
//! all.
//!
//! Promised: no panic; a packet is decrypted unchanged, once, and never if it is older than the
//! window; a packet that was changed, forged or sent by the same end is refused, and changes
//! nothing.

use std::collections::BTreeSet;

use proto_core::key::SecretKey;
use proto_core::protocol::MAX_PACKET;
use proto_core::protocol::session::{
    Channel, Gatekeys, INITIATION_LEN, Initiation, Initiator, OVERHEAD, RESPONSE_LEN, StaticKey,
    Wire, receiver,
};

use super::Seeds;
use super::input::{Input, chunk};

fn session() -> (Channel, Channel) {
    let client = StaticKey::new(SecretKey::new([1; 32]));
    let router = StaticKey::new(SecretKey::new([2; 32]));
    let public = router.public();
    let (mut there, mut back) = ([0; INITIATION_LEN], [0; RESPONSE_LEN]);
    let key = SecretKey::new([3; 32]);
    let begun = Initiator::begin(&client, &public, Wire::Udp, 7, 1, &key, None, &mut there);
    let initiation = Initiation::parse(&there, &Gatekeys::of(&public)).expect("a valid initiation");
    let opened =
        initiation.open(&router, Wire::Udp, &SecretKey::new([4; 32])).expect("a valid initiation");
    let (_, router) = opened.respond(&mut back).expect("room");
    let client = begun.and_then(|(_, mut initiator)| initiator.response(&back));
    (client.expect("a valid response"), router)
}

/// The packets that one end has sent, and those that the other end has accepted.
#[derive(Default)]
struct Way {
    sent: Vec<(Vec<u8>, Vec<u8>)>,
    taken: BTreeSet<usize>,
}

impl Way {
    fn send(&mut self, from: &mut Channel, plain: &[u8], room: usize) {
        let mut out = vec![0xee; room];
        let fits = plain.len() <= MAX_PACKET && room >= plain.len() + OVERHEAD;
        let len = from.seal(plain, &mut out);
        assert_eq!(len, fits.then_some(plain.len() + OVERHEAD));
        let len = len.unwrap_or(0);
        assert!(out[len..].iter().all(|byte| *byte == 0xee));
        if fits {
            out.truncate(len);
            self.sent.push((plain.to_vec(), out));
        }
        assert_eq!(from.sent(), self.sent.len() as u64);
    }

    /// One of the last packets arrives unchanged.
    fn arrive(&mut self, to: &mut Channel, from: &mut Channel, back: usize) {
        let Some(nth) = self.sent.len().checked_sub(back + 1) else { return };
        let (plain, packet) = &self.sent[nth];
        assert_eq!(from.open(packet, &mut [0; MAX_PACKET]), None, "its own packet");
        let oldest = self.taken.last().map_or(0, |newest| newest.saturating_sub(127));
        let wanted = nth >= oldest && self.taken.insert(nth);
        let mut out = vec![0xee; MAX_PACKET];
        let len = to.open(packet, &mut out);
        assert_eq!(len, wanted.then_some(plain.len()), "packet {nth}");
        let len = len.unwrap_or(0);
        assert!(out[..len] == plain[..len] && out[len..].iter().all(|byte| *byte == 0xee));
    }

    fn damaged(&self, to: &mut Channel, back: usize, input: &mut Input<'_>) {
        let Some(nth) = self.sent.len().checked_sub(back + 1) else { return };
        let real = &self.sent[nth].1;
        let mut packet = real.clone();
        let at = usize::from(input.u16()) % packet.len();
        packet[at] ^= input.byte();
        match input.byte() {
            0..128 => {}
            cut @ 128..255 => packet.truncate(packet.len().saturating_sub(usize::from(cut) - 127)),
            255 => packet.extend(input.chunk()),
        }
        if packet != *real {
            nothing(to, &packet);
        }
    }
}

fn nothing(to: &mut Channel, packet: &[u8]) {
    let mut out = [0xee; MAX_PACKET];
    assert_eq!(to.open(packet, &mut out), None);
    assert_eq!(out, [0xee; MAX_PACKET]);
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (mut client, mut router) = session();
    assert_eq!(client.handshake_hash(), router.handshake_hash());
    let (mut there, mut back) = (Way::default(), Way::default());
    while !input.is_empty() {
        let what = input.byte();
        let to_router = what & 1 == 0;
        let (way, from, to) = if to_router {
            (&mut there, &mut client, &mut router)
        } else {
            (&mut back, &mut router, &mut client)
        };
        match what >> 1 & 7 {
            0 => {
                let (room, plain) = (usize::from(input.u16()) % 1_400, input.chunk());
                way.send(from, plain, room);
            }
            // Many short packets, to go beyond the window.
            1 => {
                let many = input.byte();
                for n in 0..many {
                    way.send(from, &[n], 31);
                }
            }
            2 | 3 => way.arrive(to, from, input.byte().into()),
            4 => {
                let last = usize::from(input.byte());
                (0..last).rev().for_each(|back| way.arrive(to, from, back));
            }
            5 => way.damaged(to, input.byte().into(), &mut input),
            6 => nothing(to, input.chunk()),
            _ => {
                // Random bytes after the head of a packet that is addressed to this end.
                let kind = if to_router { 5 } else { 6 };
                let head = [&[kind, 1][..], &to.local().to_le_bytes()].concat();
                let packet = [&head, input.chunk()].concat();
                assert_eq!(receiver(&packet).is_some(), packet.len() >= OVERHEAD);
                nothing(to, &packet);
            }
        }
    }
}

pub fn seeds() -> Seeds {
    let send =
        |side: u8, plain: &[u8]| [&[side][..], &1_300_u16.to_le_bytes(), &chunk(plain)].concat();
    let mut seeds: Seeds = Vec::new();
    for (name, side) in [("to-router", 0), ("to-client", 1)] {
        let mut push = |what: &str, parts: &[&[u8]]| {
            seeds.push((format!("{name}-{what}"), parts.concat()));
        };
        let one = send(side, b"a packet");
        push("one", &[&one, &[4 | side, 0], &[4 | side, 0]]);
        push("empty", &[&send(side, b""), &[4 | side, 0]]);
        push("longest", &[&send(side, &[7; MAX_PACKET]), &[4 | side, 0]]);
        push("too-long", &[&send(side, &[7; MAX_PACKET + 1]), &[4 | side, 0]]);
        push("no-room", &[&[side, 10, 0], &chunk(b"a packet")]);
        push("reversed", &[&[2 | side, 200], &[4 | side, 0], &[8 | side, 200]]);
        push("window", &[&[2 | side, 140], &[4 | side, 0], &[4 | side, 127], &[4 | side, 128]]);
        push("far-ahead", &[&[2 | side, 255], &[4 | side, 254], &[4 | side, 0], &[8 | side, 255]]);
        for at in [0, 1, 2, 6, 13, 14, 37] {
            push(&format!("byte-{at}"), &[&one, &[10 | side, 0, at, 0, 0x80, 0], &[4 | side, 0]]);
        }
        push("cut", &[&one, &[10 | side, 0, 0, 0, 0, 140], &[4 | side, 0]]);
        push("more", &[&one, &[10 | side, 0, 0, 0, 0, 255], &chunk(b"more"), &[4 | side, 0]]);
        push("made-up", &[&[12 | side], &chunk(&[5; 40])]);
        push("made-up-head", &[&[14 | side], &chunk(&[0; 24]), &[14 | side], &chunk(&[0; 23])]);
    }
    seeds
}
