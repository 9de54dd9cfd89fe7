//! Every message and record of the protocol from random bytes.
//!
//! Promised: no panic; a value that was read is written as bytes of the same value that are no
//! longer (an unknown number stays the same); no record is longer than its documented maximum; and
//! an image that the checker accepts is in order, with the key of each item. The codec of the agent
//! reads and writes the same as serde and postcard.

use std::fmt::Debug;

use proto_core::key::PublicKey;
use proto_core::protocol::codec::{self, Put};
use proto_core::protocol::config::{self, Checker, Item, ItemKey, Record};
use proto_core::protocol::envelope::{self, EnvelopeError};
use proto_core::protocol::frame::{CRC_LEN, open, seal};
use proto_core::protocol::message::{
    Answer, Ask, Code, Failure, MAX_TEXT, Phase, Reply, Request, Role, State,
};
use proto_core::protocol::report::{self, Change, Running, Stored};
use proto_core::protocol::window::{self, Arrived, WINDOW};
use proto_core::protocol::{Digester, MAX_PACKET, digest, sized};
use serde::Serialize;

use super::Seeds;
use super::input::Input;

#[path = "../../tests/examples/mod.rs"]
mod examples;

/// Compares the output of the agent's codec with postcard's.
fn written<T: Serialize + Put>(value: &T) {
    let (mut buf, mut expected) = (vec![0; 4096], vec![0; 4096]);
    let expected = postcard::to_slice(value, &mut expected).expect("room");
    let len = codec::write(value, &mut buf).expect("room");
    assert_eq!(buf[..len], *expected);
    assert_eq!(codec::write(value, &mut buf[..len - 1]), None);
}

/// The same for a record with its length prefix, which is at most `longest` bytes long.
fn written_record<T: Serialize + Put>(value: &T, longest: usize) {
    written(value);
    let mut buf = vec![0; longest];
    let len = codec::write_record(value, &mut buf).expect("within the longest");
    let (one, rest) = sized::split(&buf[..len]).expect("a record");
    assert_eq!(one, postcard::to_slice(value, &mut vec![0; longest]).expect("room"));
    assert!(rest.is_empty());
}

/// Reads a file, and writes its records again.
fn file<R: report::Record + Serialize + Put + PartialEq + Debug>(
    mut bytes: &[u8],
    is_known: impl Fn(&R) -> bool,
) {
    while let Some((one, rest)) = sized::split(bytes) {
        let Some(record) = R::read(one) else { return };
        if is_known(&record) {
            written_record(&record, report::MAX_RECORD);
            let mut buf = vec![0; report::MAX_RECORD];
            let again = postcard::to_slice(&record, &mut buf).expect("room");
            assert!(again.len() <= one.len());
            assert_eq!(R::read(again).as_ref(), Some(&record));
        }
        bytes = rest;
    }
}

/// Reads a packet, and writes its message again.
macro_rules! packet {
    ($ty:ty, $packet:expr) => {
        match envelope::read::<$ty>($packet, |version| version <= 1) {
            Ok((version, message)) => {
                let mut buf = vec![0; $packet.len() + CRC_LEN];
                let len = envelope::write(version, &message, &mut buf).expect("no longer");
                let again = envelope::read::<$ty>(&buf[..len], |_| true);
                assert_eq!(again.expect("what was written"), (version, message.clone()));
                if len <= MAX_PACKET {
                    let sealed = seal(&mut buf, len).expect("room for the CRC");
                    assert!(open(sealed).is_some_and(|packet| packet.len() == len));
                }
                Some(message)
            }
            Err(EnvelopeError::Version(version)) => {
                assert!(version > 1 && $packet[0] == <$ty as envelope::Packed>::KIND);
                None
            }
            Err(error) => {
                assert_eq!(error, EnvelopeError::Malformed);
                None
            }
        }
    };
}

fn image(mut bytes: &[u8]) {
    let mut checker = Checker::default();
    let mut last: Option<ItemKey> = None;
    let mut peers = 0_u32;
    let mut behind_peer = false;
    loop {
        let read = sized::split(bytes).and_then(|(one, rest)| {
            let (record, left) = postcard::take_from_bytes::<Record>(one).ok()?;
            left.is_empty().then_some((record, rest))
        });
        assert_eq!(codec::record(bytes).ok(), read);
        let Some((record, rest)) = read else { return };
        written_record(&record, config::MAX_RECORD);
        assert!(rest.len() < bytes.len());
        bytes = rest;
        let item = match checker.record(&record) {
            Ok(item) => item,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return;
            }
        };
        assert_eq!(checker.finish(), Ok(()));
        let host_may_come = std::mem::replace(&mut behind_peer, matches!(record, Record::Peer(_)));
        match record {
            Record::Host(host) => assert!(host_may_come && !host.name.is_empty()),
            Record::AllowedIp(net) => assert!(peers > 0 && net == net.masked()),
            Record::Interface(_) => assert!(last.is_none()),
            _ => {
                let item = item.expect("a valid item key");
                let key = item.key();
                assert_eq!(Item::from_key(&key), Some(item));
                assert!(last.is_none_or(|last| last < key));
                peers += u32::from(matches!(item, Item::Peer(_)));
                last = Some(key);
            }
        }
    }
}

fn arrivals(input: &mut Input<'_>) {
    let length = input.u32() % 100_000;
    let piece_size = input.u16() % 1_200;
    let total = window::pieces(length, piece_size);
    let mut arrived = Arrived::default();
    let mut model = std::collections::BTreeSet::new();
    while !input.is_empty() {
        let index = match input.byte() {
            255 => input.u32(),
            near => arrived.base.wrapping_add(u32::from(near) / 2).wrapping_sub(8),
        };
        assert_eq!(arrived.has(index), index < arrived.base || model.contains(&index));
        if arrived.wants(index) {
            assert!(index - arrived.base < WINDOW);
            model.insert(index);
        }
        arrived.insert(index);
        assert!(arrived.ahead & 1 == 0);
        assert_eq!(arrived.has(index), model.contains(&index) || index < arrived.base);
        match window::span(length, piece_size, index) {
            Some((offset, size)) => {
                assert!(index < total && size > 0 && size <= piece_size);
                assert!(offset + u32::from(size) <= length);
                assert!(size == piece_size || index + 1 == total);
            }
            None => assert!(index >= total || piece_size == 0),
        }
    }
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let what = input.byte();
    let bytes = input.0;
    match what {
        b'Q' => {
            let request = packet!(Request<'_>, bytes);
            if let Ok((_, body)) = envelope::open(envelope::REQUEST, bytes, |version| version <= 1)
            {
                let expected = postcard::take_from_bytes::<Request<'_>>(body).ok();
                let expected = expected.filter(|(request, rest)| match request.ask {
                    Ask::Hello { .. } => true,
                    Ask::AddOwner { role: Role::Unknown(_), .. } => false,
                    _ => rest.is_empty(),
                });
                assert_eq!(codec::request(body).ok(), expected.map(|(request, _)| request));
                let head = postcard::take_from_bytes::<([u8; 8], u32)>(body).ok();
                assert_eq!(codec::head(body), head.map(|(head, _)| head));
            }
            if let Some(request) = request {
                let Request { client, id, .. } = request;
                // The client and the request number are readable in any version.
                assert_eq!(codec::head(&bytes[2..]), Some((client, id)));
            }
        }
        b'R' => {
            if let Some(reply) = packet!(Reply<'_>, bytes) {
                written(&(reply.client, reply.id, &reply.answer));
                if let Answer::Failed(failure) = &reply.answer {
                    assert!(failure.text.len() <= MAX_TEXT);
                    let _ = failure.subject.to_string();
                }
            }
        }
        b'I' => image(bytes),
        b'S' => file(bytes, |record| !matches!(record, Running::Unknown(_))),
        b'C' => file(bytes, |change| !matches!(change, Change::Unknown(_))),
        b'H' => file(bytes, |_: &Stored| true),
        b'K' => {
            if let Some(item) = Item::from_key(&ItemKey(input.array())) {
                assert_eq!(Item::from_key(&item.key()), Some(item));
            }
        }
        b'W' => arrivals(&mut input),
        _ => {
            let at = usize::from(input.u16());
            let (head, tail) = input.0.split_at(at.min(input.0.len()));
            let mut digester = Digester::default();
            digester.update(head);
            digester.update(tail);
            assert_eq!(digester.finish(), digest(input.0));
        }
    }
}

pub fn seeds() -> Seeds {
    fn seed<M: Put>(kind: u8, name: &str, message: &M) -> (String, Vec<u8>) {
        let mut buf = vec![0; 2048];
        let len = codec::write_record(message, &mut buf).expect("room");
        (name.into(), [&[kind][..], &buf[..len]].concat())
    }
    fn packet<M: Serialize + envelope::Packed>(
        kind: u8,
        name: &str,
        version: u8,
        message: &M,
    ) -> (String, Vec<u8>) {
        let mut buf = vec![0; 2048];
        let len = envelope::write(version, message, &mut buf).expect("room");
        (name.into(), [&[kind][..], &buf[..len]].concat())
    }
    let mut seeds: Seeds = Vec::new();
    for (name, request) in examples::requests() {
        let version = u8::from(name != "hello");
        seeds.push(packet(b'Q', &format!("request-{name}"), version, &request));
    }
    for &role in Role::ALL {
        let name = "Ann".try_into().expect("a short name");
        let ask = Ask::AddOwner { key: PublicKey([7; 32]), role, name };
        let request = Request { client: [7; 8], id: 1, ask };
        seeds.push(packet(b'Q', &format!("request-add-owner-{role:?}"), 1, &request));
    }
    for (name, reply) in examples::replies() {
        let version = u8::from(name != "hello");
        seeds.push(packet(b'R', &format!("reply-{name}"), version, &reply));
    }
    let subjects = examples::subjects().into_iter().cycle();
    let states = State::ALL.iter().copied().cycle();
    for (nth, ((&code, subject), state)) in Code::ALL.iter().zip(subjects).zip(states).enumerate() {
        let failure = Failure { state, ..Failure::new(code, "why").about(subject) };
        let reply = Reply { client: [7; 8], id: 1, answer: Answer::Failed(failure) };
        seeds.push(packet(b'R', &format!("reply-failed-{nth}"), 1, &reply));
    }
    for &phase in Phase::ALL {
        let answer = Answer::Working { phase, done: 1, total: 0 };
        let reply = Reply { client: [7; 8], id: 1, answer };
        seeds.push(packet(b'R', &format!("reply-working-{phase:?}"), 1, &reply));
    }
    let mut image = Vec::new();
    for (name, record) in examples::records() {
        let (name, bytes) = seed(b'I', &format!("record-{name}"), &record);
        if !name.contains("-none") && !name.contains("-generate") {
            image.extend(&bytes[1..]);
        }
        seeds.push((name, bytes));
    }
    seeds.push(("image".into(), [&[b'I'][..], &image].concat()));
    for (name, record) in examples::running() {
        seeds.push(seed(b'S', &format!("running-{name}"), &record));
    }
    for (name, change) in examples::changes() {
        seeds.push(seed(b'C', &format!("change-{name}"), &change));
    }
    for (name, stored) in examples::stored() {
        seeds.push(seed(b'H', &format!("stored-{name}"), &stored));
    }
    for (name, item) in examples::items() {
        seeds.push((format!("key-{name}"), [&[b'K'][..], &item.key().0].concat()));
    }
    seeds.push(("window".into(), vec![b'W', 100, 0, 0, 0, 10, 0, 16, 20, 18, 18, 255, 9, 0, 0, 0]));
    seeds.push(("digest".into(), b"D\x03\x00twelve bytes".to_vec()));
    seeds
}
