//! Random stored images and changes of them: what a client finds out by ranges and sends as a patch makes the
//! image that was meant, and bytes that are no patch make nothing.

use super::*;
use crate::system::Disk as _;
use crate::testing::{Drawer, Memory, record_bytes};
use fastrand::Rng;
use proto_core::key::{PublicKey, SecretKey};
use proto_core::protocol::config::{Interface, Item, ItemKey, Peer};
use proto_core::protocol::message::{Name, OwnerName};
use proto_core::protocol::patch::Step;
use proto_core::protocol::report::Act;
use proto_core::protocol::{Digest, digest};
use std::vec::Vec as List;

fn interface(private_key: PrivateKey, mtu: u32) -> List<u8> {
    let name: Name = "wg0".parse().unwrap();
    record_bytes(&Record::Interface(Interface {
        name,
        private_key,
        listen_port: None,
        fwmark: 0,
        mtu,
    }))
}

/// Items by their keys, each with the bytes of its records.
type Items = std::collections::BTreeMap<[u8; 33], List<u8>>;

fn peer(items: &mut Items, key: [u8; 32], keepalive: u16, ips: u8) {
    let peer = Peer {
        public_key: PublicKey(key),
        preshared_key: None,
        endpoint: None,
        persistent_keepalive: keepalive,
    };
    let mut bytes = record_bytes(&Record::Peer(peer));
    for n in 0..ips {
        bytes.extend(record_bytes(&Record::AllowedIp(format!("10.0.{n}.0/24").parse().unwrap())));
    }
    items.insert(Item::Peer(PublicKey(key)).key().0, bytes);
}

fn address(items: &mut Items, n: u8) {
    let net = format!("10.9.{n}.1/24").parse().unwrap();
    items.insert(Item::Address(net).key().0, record_bytes(&Record::Address(net)));
}

fn random(dice: &mut Rng) -> Items {
    let mut items = Items::new();
    for _ in 0..dice.u64(..4) {
        address(&mut items, dice.u64(..250) as u8);
    }
    for _ in 0..dice.u64(..60) {
        let key = core::array::from_fn(|_| dice.u64(..256) as u8);
        peer(&mut items, key, dice.u64(..100) as u16, dice.u64(..4) as u8);
    }
    items
}

fn changed(items: &Items, dice: &mut Rng) -> Items {
    let mut items = items.clone();
    for _ in 0..dice.u64(..4) {
        let keys: List<[u8; 33]> = items.keys().copied().collect();
        match (dice.u64(..3), keys.get(dice.u64(..keys.len().max(1) as u64) as usize)) {
            (0, Some(key)) => drop(items.remove(key)),
            (1, Some(key)) if key[0] == 4 => {
                peer(&mut items, key[1..].try_into().unwrap(), 7, dice.u64(..5) as u8);
            }
            _ => peer(&mut items, core::array::from_fn(|_| dice.u64(..256) as u8), 1, 2),
        }
    }
    items
}

fn rest_of(items: &Items) -> List<u8> {
    items.values().flatten().copied().collect()
}

/// A stored configuration in a file, as `store` lays it out: only its head says where the image is.
fn stored(image: &[u8], generated: bool) -> (Head, Memory) {
    let name = "wg0".parse().unwrap();
    let head = Head {
        length: image.len() as u32,
        digest: digest(image),
        generated,
        by: OwnerName::new(),
        ..Head::new(name, 3, Act::Pushed)
    };
    let mut file = Drawer::default().create(c"stored").unwrap();
    file.write_at(head.span().from, image).unwrap();
    (head, file)
}

/// What the router says of ranges, as a client reads it.
fn asked(head: &Head, file: &mut Memory, bounds: &[List<u8>]) -> List<(List<u8>, usize)> {
    let bytes: List<u8> =
        bounds.iter().flat_map(|bound| [&[bound.len() as u8][..], bound].concat()).collect();
    let mut out = [0; RANGES];
    let len = ranges(&Slot::default(), head, file, &bytes, &mut out).unwrap();
    let read = |range: &[u8]| {
        let length = u32::from_le_bytes(range[8..].try_into().unwrap());
        (range[..8].to_vec(), length as usize)
    };
    out[..len].chunks(RANGE_LEN).map(read).collect()
}

fn short(bytes: &[u8]) -> List<u8> {
    let digest: Digest = digest(bytes);
    digest[..8].to_vec()
}

#[test]
fn what_ranges_say_and_a_patch_sends_makes_the_image_that_was_meant() {
    let mut dice = Rng::with_seed(7);
    let (mut cases, mut copied) = (300, 0);
    while cases > 0 {
        cases -= 1;
        let old = random(&mut dice);
        let new = changed(&old, &mut dice);
        let secret = PrivateKey::Given(SecretKey::new([9; 32]));
        let (head, mut file) = stored(&[interface(secret, 1420), rest_of(&old)].concat(), true);
        // Bounds anywhere, of any length.
        let mut bounds: List<List<u8>> = (0..dice.u64(..20))
            .map(|_| {
                let kind = [1, 4][dice.u64(..2) as usize];
                let more = (0..dice.u64(..3)).map(|_| dice.u64(..256) as u8);
                [kind].into_iter().chain(more).collect()
            })
            .collect();
        bounds.sort();
        let told = asked(&head, &mut file, &bounds);
        assert_eq!(told.len(), bounds.len() + 1);
        assert_eq!(told.iter().map(|(_, length)| length).sum::<usize>(), rest_of(&old).len());
        let first = interface(PrivateKey::Generate, 1380);
        let image = [first.clone(), rest_of(&new)].concat();
        let mut patch = List::new();
        let mut step = |step: Step<'_>| {
            let mut buf = [0; 20_000];
            patch.extend_from_slice(postcard::to_slice(&step, &mut buf).unwrap());
        };
        step(Step::Put(&first));
        let mut at = 0;
        for (n, (hash, length)) in told.iter().enumerate() {
            let from = n.checked_sub(1).map(|n| bounds[n].clone());
            let to = bounds.get(n);
            let mine: List<u8> = new
                .iter()
                .filter(|(key, _)| from.as_ref().is_none_or(|from| key[..] >= from[..]))
                .filter(|(key, _)| to.is_none_or(|to| key[..] < to[..]))
                .flat_map(|(_, bytes)| bytes.clone())
                .collect();
            if short(&mine) == *hash && mine.len() == *length {
                copied += length;
                step(Step::Copy { from: at, length: *length as u32 });
            } else {
                step(Step::Put(&mine));
            }
            at += *length as u32;
        }
        let mut stage = Memory::default();
        stage.write_at(0, &patch).unwrap();
        let sizes = (patch.len() as u32, image.len() as u32);
        let span = apply(&Slot::default(), sizes, (&head, &mut file), &mut stage).unwrap();
        assert_eq!(stage.0.borrow()[span.from as usize..span.end as usize], image);
        // Bytes that are changed or cut off make no more than was announced, and do not fail in another way.
        let slot = Slot::default();
        let mut broken = patch.clone();
        let place = dice.u64(..broken.len() as u64) as usize;
        broken[place] ^= 1 << dice.u64(..8);
        broken.truncate(1 + dice.u64(..broken.len() as u64) as usize);
        let mut stage = Memory::default();
        stage.write_at(0, &broken).unwrap();
        let sizes = (broken.len() as u32, image.len() as u32);
        match apply(&slot, sizes, (&head, &mut file), &mut stage) {
            Ok(span) => assert!(span.end - span.from <= image.len() as u32),
            Err(fault) => assert_eq!(slot.take(fault).code, Code::Digest),
        }
    }
    println!("300 patches, {copied} bytes copied");
    assert!(copied > 10_000);
}

#[test]
fn an_image_with_a_key_of_the_routers_is_had_as_it_was_pushed() {
    let mut items = Items::new();
    address(&mut items, 1);
    peer(&mut items, [7; 32], 25, 3);
    for generated in [false, true] {
        let given = || PrivateKey::Given(SecretKey::new([9; 32]));
        let (head, mut file) =
            stored(&[interface(given(), 1420), rest_of(&items)].concat(), generated);
        let pushed = if generated { PrivateKey::Generate } else { given() };
        let pushed = [interface(pushed, 1420), rest_of(&items)].concat();
        let mut to = Memory::default();
        let length = as_pushed(&Slot::default(), &head, &mut file, &mut to).unwrap();
        assert_eq!(to.0.borrow()[..length as usize], pushed);
    }
}

#[test]
fn bounds_that_are_none_are_malformed() {
    let (head, mut file) = stored(&interface(PrivateKey::None, 1420), false);
    let slot = Slot::default();
    for bounds in [&[1][..], &[5, 4, 4], &[1; 2 * 65], &[0; 65]] {
        let fault = ranges(&slot, &head, &mut file, bounds, &mut [0; RANGES]).unwrap_err();
        assert_eq!(slot.take(fault).code, Code::Malformed);
    }
    let told = asked(&head, &mut file, &[vec![], vec![4; 33]]);
    assert!(told.iter().all(|range| *range == (short(&[]), 0)));
    let _ = ItemKey([0; 33]);
}
