//! What differs between an image and the one a router has stored, and the patch that makes one of the other.
//!
//! The router gives short digests of ranges of its image, between bounds that are chosen here. Two questions find
//! what differs: the first divides all items evenly, the second only those ranges that differ. Nothing has to be
//! remembered of earlier pushes.

use std::ops::Range;

use proto_core::protocol::codec;
use proto_core::protocol::config::Checker;
use proto_core::protocol::digest;
use proto_core::protocol::patch::{MAX_BOUNDS, RANGE_LEN, Step, range};

/// An image, cut into its items.
#[derive(Debug)]
pub(super) struct Items<'i> {
    image: &'i [u8],
    /// The key of each item, and where its records begin.
    items: Vec<([u8; 33], usize)>,
    /// Offset of the first item, after the interface.
    rest: usize,
}

/// A range of the router's image beside the same range of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Compared {
    /// Our items.
    items: Range<usize>,
    /// Offset of the range on the router, counted from the end of its interface record, and its
    /// length in bytes.
    at: u32,
    length: u32,
    same: bool,
}

impl<'i> Items<'i> {
    /// `None` for bytes that are no image.
    pub(super) fn new(image: &'i [u8]) -> Option<Self> {
        let (_, rest) = codec::record(image).ok()?;
        let mut checker = Checker::default();
        let mut items = Vec::new();
        let mut left = image;
        while !left.is_empty() {
            let at = image.len() - left.len();
            let (record, behind) = codec::record(left).ok()?;
            if let Some(item) = checker.record(&record).ok()? {
                items.push((item.key().0, at));
            }
            left = behind;
        }
        Some(Self { image, items, rest: image.len() - rest.len() })
    }

    fn start(&self, item: usize) -> usize {
        self.items.get(item).map_or(self.image.len(), |(_, at)| *at)
    }

    fn bytes(&self, items: &Range<usize>) -> &'i [u8] {
        let start = if items.start == 0 { self.rest } else { self.start(items.start) };
        self.image.get(start..self.start(items.end)).unwrap_or_default()
    }

    /// The shortest front of an item's key that is greater than the key before it.
    fn bound(&self, item: usize) -> &[u8] {
        let Some((key, _)) = self.items.get(item) else { return &[] };
        let before = item.checked_sub(1).and_then(|before| self.items.get(before));
        let common = before.map_or(0, |(before, _)| {
            key.iter().zip(before).take_while(|(one, other)| one == other).count()
        });
        key.get(..=common).unwrap_or(key)
    }

    /// How many bounds divide so many items well: two questions with so many each leave a few items.
    fn well(&self) -> usize {
        ((self.items.len() as f64).cbrt() * 2.0) as usize
    }

    /// The items at which the ranges of the first question begin.
    pub(super) fn first_bounds(&self) -> Vec<usize> {
        split(&(0..self.items.len()), self.well().clamp(1, MAX_BOUNDS))
    }

    /// The items at which the ranges of the second question begin: those between which something differs. `None`
    /// when a second question would not help.
    pub(super) fn second_bounds(&self, first: &[Compared]) -> Option<Vec<usize>> {
        let differing: Vec<&Compared> = first.iter().filter(|range| !range.same).collect();
        let bytes: usize = differing.iter().map(|range| self.bytes(&range.items).len()).sum();
        // Both the question and its answer take some twenty bytes a bound.
        if differing.len() > MAX_BOUNDS / 4 || bytes < 600 {
            return None;
        }
        let each = (MAX_BOUNDS / differing.len()).saturating_sub(2).min(self.well()).max(1);
        let mut bounds = Vec::new();
        for range in differing {
            bounds.push(range.items.start);
            bounds.extend(split(&range.items, each));
            bounds.push(range.items.end);
        }
        bounds.dedup();
        bounds.retain(|&bound| bound > 0 && bound < self.items.len());
        Some(bounds)
    }

    /// Bounds as they travel.
    pub(super) fn encode(&self, bounds: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &item in bounds {
            let bound = self.bound(item);
            bytes.push(u8::try_from(bound.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(bound);
        }
        bytes
    }

    /// Holds the router's ranges against ours. `None` when there is another number of them than was asked for.
    pub(super) fn compare(&self, bounds: &[usize], ranges: &[u8]) -> Option<Vec<Compared>> {
        if ranges.len() != (bounds.len() + 1) * RANGE_LEN {
            return None;
        }
        let starts = std::iter::once(0).chain(bounds.iter().copied());
        let ends = bounds.iter().copied().chain([self.items.len()]);
        let mut at = 0_u32;
        let mut compared = Vec::new();
        for ((start, end), theirs) in starts.zip(ends).zip(ranges.chunks_exact(RANGE_LEN)) {
            let ours = self.bytes(&(start..end));
            let length = u32::from_le_bytes(*theirs.last_chunk()?);
            let same = range(&digest(ours), u32::try_from(ours.len()).ok()?) == *theirs;
            compared.push(Compared { items: start..end, at, length, same });
            at = at.checked_add(length)?;
        }
        Some(compared)
    }

    /// The patch that makes our image of the router's.
    pub(super) fn patch(&self, compared: &[Compared]) -> Vec<u8> {
        let mut patch = Vec::new();
        let mut put = self.image.get(..self.rest).unwrap_or_default().to_vec();
        let mut copy: Option<(u32, u32)> = None;
        for range in compared {
            if range.same {
                flush(&mut patch, &mut put, &mut None);
                copy = match copy {
                    Some((from, length)) if from + length == range.at => {
                        Some((from, length + range.length))
                    }
                    other => {
                        let mut other = other;
                        flush(&mut patch, &mut put, &mut other);
                        Some((range.at, range.length))
                    }
                };
            } else {
                flush(&mut patch, &mut Vec::new(), &mut copy);
                put.extend_from_slice(self.bytes(&range.items));
            }
        }
        flush(&mut patch, &mut Vec::new(), &mut copy);
        flush(&mut patch, &mut put, &mut None);
        patch
    }
}

/// Writes the pending steps, if there are any.
fn flush(patch: &mut Vec<u8>, put: &mut Vec<u8>, copy: &mut Option<(u32, u32)>) {
    let mut step = |step: Step<'_>, room: usize| {
        let mut buf = vec![0; room + 16];
        if let Ok(bytes) = postcard::to_slice(&step, &mut buf) {
            patch.extend_from_slice(bytes);
        }
    };
    if let Some((from, length)) = copy.take().filter(|(_, length)| *length > 0) {
        step(Step::Copy { from, length }, 0);
    }
    if !put.is_empty() {
        step(Step::Put(put), put.len());
        put.clear();
    }
}

/// Where `parts` bounds divide a range of items evenly.
fn split(items: &Range<usize>, parts: usize) -> Vec<usize> {
    let count = items.len();
    let parts = parts.min(count.saturating_sub(1));
    (1..=parts).map(|part| items.start + part * count / (parts + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;
    use proto_core::ip::IpNet;
    use proto_core::key::PublicKey;
    use proto_core::protocol::config::{Interface, Item, Peer, PrivateKey, Record};
    use proto_core::protocol::patch::split_bound;
    use std::collections::BTreeMap;

    fn random_key(rng: &mut Rng) -> [u8; 32] {
        core::array::from_fn(|_| rng.u8(..))
    }

    fn record(record: &Record) -> Vec<u8> {
        let mut buf = [0; 300];
        let len = codec::write_record(record, &mut buf).unwrap();
        buf[..len].to_vec()
    }

    type Config = BTreeMap<[u8; 33], Vec<u8>>;

    fn peer(config: &mut Config, key: [u8; 32], persistent_keepalive: u16, dice: &mut Rng) {
        let public_key = PublicKey(key);
        let peer = Peer { public_key, preshared_key: None, endpoint: None, persistent_keepalive };
        let mut bytes = record(&Record::Peer(peer));
        for n in 0..dice.u64(..4) {
            let net: IpNet = format!("10.{n}.{}.0/24", dice.u64(..256)).parse().unwrap();
            bytes.extend(record(&Record::AllowedIp(net)));
        }
        config.insert(Item::Peer(public_key).key().0, bytes);
    }

    fn image(config: &Config, mtu: u32) -> Vec<u8> {
        let name = "wg0".parse().unwrap();
        let private_key = PrivateKey::Generate;
        let interface = Interface { name, private_key, listen_port: None, fwmark: 0, mtu };
        let first = record(&Record::Interface(interface));
        first.into_iter().chain(config.values().flatten().copied()).collect()
    }

    /// The router's side, in simple code.
    fn ranges(config: &Config, mut bounds: &[u8]) -> Vec<u8> {
        let mut all: Vec<Vec<u8>> = vec![Vec::new()];
        for (key, bytes) in config {
            while let Some((_, rest)) = split_bound(bounds).filter(|(bound, _)| key[..] >= **bound)
            {
                bounds = rest;
                all.push(Vec::new());
            }
            all.last_mut().unwrap().extend(bytes);
        }
        while let Some((_, rest)) = split_bound(bounds) {
            bounds = rest;
            all.push(Vec::new());
        }
        let said = |bytes: &Vec<u8>| range(&digest(bytes), u32::try_from(bytes.len()).unwrap());
        all.iter().flat_map(said).collect()
    }

    fn applied(mut patch: &[u8], base: &[u8]) -> Vec<u8> {
        let mut image = Vec::new();
        while !patch.is_empty() {
            let (step, rest) = postcard::take_from_bytes::<Step<'_>>(patch).unwrap();
            patch = rest;
            match step {
                Step::Put(bytes) => image.extend_from_slice(bytes),
                Step::Copy { from, length } => {
                    image.extend_from_slice(&base[from as usize..][..length as usize]);
                }
            }
        }
        image
    }

    /// How many bytes travel in both directions to make `new` of `old`.
    fn cost(old: &Config, new: &Config) -> usize {
        let image = image(new, 1380);
        let base: Vec<u8> = old.values().flatten().copied().collect();
        let items = Items::new(&image).unwrap();
        let bounds = items.first_bounds();
        assert!(bounds.len() <= MAX_BOUNDS);
        let question = items.encode(&bounds);
        let answer = ranges(old, &question);
        let mut bytes = question.len() + answer.len();
        let mut compared = items.compare(&bounds, &answer).unwrap();
        if let Some(bounds) = items.second_bounds(&compared) {
            assert!(bounds.len() <= MAX_BOUNDS && bounds.is_sorted());
            let question = items.encode(&bounds);
            let answer = ranges(old, &question);
            bytes += question.len() + answer.len();
            compared = items.compare(&bounds, &answer).unwrap();
        }
        let patch = items.patch(&compared);
        assert_eq!(applied(&patch, &base), image);
        bytes + patch.len()
    }

    #[test]
    fn any_change_is_patched_right() {
        let mut dice = Rng::with_seed(3);
        for _ in 0..300 {
            let mut old = Config::new();
            for _ in 0..dice.u64(..200) {
                let key = random_key(&mut dice);
                peer(&mut old, key, 0, &mut dice);
            }
            for _ in 0..dice.u64(..3) {
                let net = format!("10.0.{}.1/24", dice.u64(..256)).parse().unwrap();
                old.insert(Item::Address(net).key().0, record(&Record::Address(net)));
            }
            let mut new = old.clone();
            for _ in 0..dice.u64(..10) {
                let nth = usize::try_from(dice.u64(..1 + new.len() as u64)).unwrap();
                let some = new.keys().nth(nth).copied();
                match (dice.u64(..3), some) {
                    (0, Some(key)) => drop(new.remove(&key)),
                    (1, Some(key)) if key[0] == 4 => {
                        peer(&mut new, key[1..].try_into().unwrap(), 9, &mut dice);
                    }
                    _ => {
                        let key = random_key(&mut dice);
                        peer(&mut new, key, 5, &mut dice);
                    }
                }
            }
            cost(&old, &new);
        }
        println!("300 pairs of images");
    }

    #[test]
    fn one_changed_peer_of_thousands_costs_hundreds_of_bytes() {
        let mut dice = Rng::with_seed(5);
        for (count, most) in [(100, 900), (1_000, 1_600), (10_000, 3_000)] {
            let mut old = Config::new();
            for _ in 0..count {
                let key = random_key(&mut dice);
                peer(&mut old, key, 0, &mut dice);
            }
            let mut new = old.clone();
            let key = *new.keys().nth(count / 3).unwrap();
            peer(&mut new, key[1..].try_into().unwrap(), 9, &mut dice);
            let bytes = cost(&old, &new);
            println!("one of {count} changed: {bytes} bytes, both ways");
            assert!(bytes < most, "{bytes}");
        }
    }
}
