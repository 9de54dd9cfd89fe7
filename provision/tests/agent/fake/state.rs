//! The fake router's comparison of two images: reports and summaries, in simple code.

use std::collections::BTreeMap;

use proto_core::ip::IpNet;
use proto_core::key::PublicKey;
use proto_core::protocol::codec;
use proto_core::protocol::config::{Checker, Interface, Peer, PrivateKey, Record};
use proto_core::protocol::message::{Count, Summary, device, peer};
use proto_core::protocol::report::{Change, Running};
use proto_core::protocol::sized;

pub(super) fn decode(mut bytes: &[u8]) -> Vec<Record> {
    let mut checker = Checker::default();
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (record, rest) = codec::record(bytes).unwrap();
        checker.record(&record).unwrap();
        records.push(record);
        bytes = rest;
    }
    checker.finish().unwrap();
    records
}

fn interface(records: &[Record]) -> Option<&Interface> {
    match records.first() {
        Some(Record::Interface(interface)) => Some(interface),
        _ => None,
    }
}

fn public_key(interface: &Interface) -> Option<PublicKey> {
    match &interface.private_key {
        PrivateKey::None => None,
        PrivateKey::Given(secret) => Some(postwire::conf::public_key(secret)),
        PrivateKey::Generate => Some(PublicKey([7; 32])),
    }
}

fn peers(records: &[Record]) -> BTreeMap<PublicKey, (Peer, Vec<IpNet>)> {
    let mut peers = BTreeMap::new();
    let mut last = None;
    for record in records {
        match record {
            Record::Peer(peer) => {
                last = Some(peer.public_key);
                peers.insert(peer.public_key, (peer.clone(), Vec::new()));
            }
            Record::AllowedIp(net) => peers.get_mut(&last.unwrap()).unwrap().1.push(*net),
            _ => {}
        }
    }
    peers
}

fn changed_fields(old: &(Peer, Vec<IpNet>), new: &(Peer, Vec<IpNet>)) -> u8 {
    let bit = |differs, bit| if differs { bit } else { 0 };
    bit(new.0.endpoint.is_some() && old.0.endpoint != new.0.endpoint, peer::ENDPOINT)
        | bit(old.0.preshared_key != new.0.preshared_key, peer::PRESHARED_KEY)
        | bit(old.0.persistent_keepalive != new.0.persistent_keepalive, peer::PERSISTENT_KEEPALIVE)
        | bit(old.1 != new.1, peer::ALLOWED_IPS)
}

fn list(old: &[Record], new: &[Record]) -> Vec<Change> {
    let mut changes = Vec::new();
    match (interface(old), interface(new)) {
        (_, None) => {}
        (None, Some(_)) => {
            changes.extend([Change::Create, Change::PrivateKey { generated: false }, Change::Up])
        }
        (Some(now), Some(wanted)) => {
            if now.mtu != wanted.mtu {
                changes.push(Change::Mtu { from: now.mtu, to: wanted.mtu });
            }
            if now.fwmark != wanted.fwmark {
                changes.push(Change::Fwmark { from: now.fwmark, to: wanted.fwmark });
            }
            if let (Some(from), Some(to)) = (now.listen_port, wanted.listen_port)
                && from != to
            {
                changes.push(Change::ListenPort { from, to });
            }
        }
    }
    for record in old.iter().filter(|record| !new.contains(record)) {
        match record {
            Record::Address(net) => changes.push(Change::RemoveAddress(*net)),
            Record::Route(route) => changes.push(Change::RemoveRoute(*route)),
            Record::Rule(rule) => changes.push(Change::RemoveRule(*rule)),
            _ => {}
        }
    }
    for record in new.iter().filter(|record| !old.contains(record)) {
        match record {
            Record::Address(net) => changes.push(Change::AddAddress(*net)),
            Record::Route(route) => changes.push(Change::AddRoute(*route)),
            Record::Rule(rule) => changes.push(Change::AddRule(*rule)),
            _ => {}
        }
    }
    let (old, new) = (peers(old), peers(new));
    changes.extend(
        old.keys().filter(|key| !new.contains_key(key)).map(|key| Change::RemovePeer(*key)),
    );
    for (key, wanted) in &new {
        match old.get(key) {
            None => changes.push(Change::AddPeer(*key)),
            Some(now) => {
                let fields = changed_fields(now, wanted);
                if fields != 0 {
                    changes.push(Change::ChangePeer { public_key: *key, fields });
                }
            }
        }
    }
    changes
}

pub(super) fn summary(old: &[Record], new: &[Record]) -> Summary {
    let wanted = interface(new);
    let mut summary = Summary {
        public_key: wanted.and_then(public_key),
        listen_port: wanted.and_then(|wanted| wanted.listen_port),
        ..Summary::default()
    };
    for change in list(old, new) {
        let added = Count { added: 1, ..Count::default() };
        let removed = Count { removed: 1, ..Count::default() };
        let add = |count: &mut Count, one: Count| {
            count.added += one.added;
            count.changed += one.changed;
            count.removed += one.removed;
        };
        match change {
            Change::Create => summary.created = true,
            Change::PrivateKey { .. } => summary.device |= device::PRIVATE_KEY,
            Change::ListenPort { .. } => summary.device |= device::LISTEN_PORT,
            Change::Fwmark { .. } => summary.device |= device::FWMARK,
            Change::Mtu { .. } => summary.device |= device::MTU,
            Change::Up => summary.device |= device::UP,
            Change::RemoveAddress(_) => add(&mut summary.addresses, removed),
            Change::RemoveRoute(_) => add(&mut summary.routes, removed),
            Change::RemoveRule(_) => add(&mut summary.rules, removed),
            Change::RemovePeer(_) => add(&mut summary.peers, removed),
            Change::AddAddress(_) => add(&mut summary.addresses, added),
            Change::AddRoute(_) => add(&mut summary.routes, added),
            Change::AddRule(_) => add(&mut summary.rules, added),
            Change::AddPeer(_) => add(&mut summary.peers, added),
            Change::Unknown(_) => unreachable!("the list has none"),
            Change::ChangePeer { .. } => {
                add(&mut summary.peers, Count { changed: 1, ..Count::default() });
            }
        }
    }
    summary
}

pub(super) fn encode<R: codec::Put>(records: &[R]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        let mut buf = [0; proto_core::protocol::report::MAX_RECORD];
        let len = codec::write_record(record, &mut buf).unwrap();
        bytes.extend_from_slice(&buf[..len]);
    }
    bytes
}

/// A file with more fields in each record.
pub(super) fn longer(file: &[u8]) -> Vec<u8> {
    let each = each_record(file);
    each.iter().flat_map(|record| sized_bytes(&[*record, b"and more"].concat())).collect()
}

/// Kinds of records that the tool does not know.
pub(crate) const UNKNOWN_KINDS: [u8; 2] = [99, 200];

/// As [`longer`], for records that have kinds. Those of unknown kinds come behind the first record, which may be the
/// interface that the others are about, in front of the last, which may belong to the one before it, and at the end.
pub(super) fn with_unknown_kinds(file: &[u8]) -> Vec<u8> {
    // As a varint, 200 is two bytes.
    let [one, other] = [&[99, 1, 2, 3][..], &[200, 1]].map(sized_bytes);
    let records: Vec<Vec<u8>> =
        each_record(file).into_iter().map(|record| longer(&sized_bytes(record))).collect();
    let mut bytes = Vec::new();
    for (nth, record) in records.iter().enumerate() {
        if nth > 0 && nth + 1 == records.len() {
            bytes.extend_from_slice(&other);
        }
        bytes.extend_from_slice(record);
        if nth == 0 {
            bytes.extend_from_slice(&one);
        }
    }
    [bytes, one, other].concat()
}

fn each_record(mut file: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while let Some((record, rest)) = sized::split(file) {
        records.push(record);
        file = rest;
    }
    assert!(file.is_empty(), "a file of records");
    records
}

fn sized_bytes(record: &[u8]) -> Vec<u8> {
    let mut buf = [0; 300];
    postcard::to_slice(record, &mut buf).unwrap().to_vec()
}

pub(super) fn changes(old: &[Record], new: &[Record]) -> Vec<u8> {
    encode(&list(old, new))
}

pub(super) fn report(running: &[Record]) -> Vec<u8> {
    let mut handshake = 1_700_000_000;
    let records: Vec<Running> = running
        .iter()
        .filter_map(|record| match record {
            // The kernel knows no host names.
            Record::Host(_) => None,
            Record::Interface(interface) => Some(Running::Interface {
                name: interface.name,
                public_key: public_key(interface),
                listen_port: interface.listen_port.unwrap_or(33_333),
                fwmark: interface.fwmark,
                mtu: interface.mtu,
                up: true,
            }),
            Record::Address(net) => Some(Running::Address(*net)),
            Record::Route(route) => Some(Running::Route(*route)),
            Record::Rule(rule) => Some(Running::Rule(*rule)),
            Record::Peer(peer) => {
                // Later peers have later handshakes, so that the order is reversed.
                handshake += 60;
                Some(Running::Peer {
                    public_key: peer.public_key,
                    preshared_key: peer.preshared_key.is_some(),
                    endpoint: peer.endpoint,
                    persistent_keepalive: peer.persistent_keepalive,
                    latest_handshake: handshake,
                    handshake_age: Some(1_700_003_725_u64.saturating_sub(handshake)),
                    rx_bytes: 1_536,
                    tx_bytes: 92,
                })
            }
            Record::AllowedIp(net) => Some(Running::AllowedIp(*net)),
        })
        .collect();
    encode(&records)
}

/// Number of endpoints that the bench could not look up; this router cannot either.
pub(super) fn unresolved(running: &[Record]) -> u32 {
    let nameless = |pair: &&[Record]| {
        let [Record::Peer(peer), Record::Host(_)] = pair else { return false };
        peer.endpoint.is_none()
    };
    u32::try_from(running.windows(2).filter(nameless).count()).unwrap()
}
