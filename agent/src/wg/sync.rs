//! `syncconf`: sends only the differences between a configuration and the kernel. Then the kernel
//! is read again: if another program changed it meanwhile, another round follows.
//!
//! The kernel lists peers in the order in which they were added, so the peer after the last one is
//! tried first; any other peer is found by its bucket. Allowed IPs are compared as sets by
//! `SetSum`s.
//!
//! An allowed IP of two peers in the configuration goes to the last of them. A peer that appears
//! twice has the settings of both. Such peers are not compared: they are sent in order, as
//! `setconf` sends them.

use proto_core::ip::IpNet;
use proto_core::key::{PublicKey, SecretKey};
use proto_core::netlink::IfName;
use proto_core::netlink::wireguard::{DeviceChange, DeviceInfo, PeerInfo};
use proto_core::protocol::message::{Code, Subject, peer};

use super::send::send;
use super::spool::Spool;
use super::wanted::{Peer, SHARED, Wanted};
use crate::config::index::Mark;
use crate::config::peers::{self, Met};
use crate::config::set_sum::hash;
use crate::fault::{Fault, Slot};
use crate::kernel::exchange::{Kernel, steady};
use crate::system::{File, NetlinkSocket};

/// Number of buckets over which peers are spread by their keys. More peers make the buckets deeper.
const BUCKETS: usize = 1 << 14;
/// Bytes of a [`Filter`].
const FILTER: usize = 1 << 16;
/// Number of bits that a hash sets. With six, 20,000 hashes most often have no false positive.
const PLACES: u32 = 6;
/// Number of possibly repeated allowed IPs that are checked for real repetition.
const MET: usize = 256;
/// Number of rounds in which the kernel may differ from what was sent.
const ROUNDS: u8 = 5;

/// A Bloom filter of hashes: absent for certain, or possibly present.
#[derive(Debug)]
struct Filter([u8; FILTER]);

impl Filter {
    /// Whether the hash may have been added before; adds it.
    fn insert(&mut self, hash: u64) -> bool {
        self.visit(hash, true)
    }

    #[inline(never)]
    fn visit(&mut self, hash: u64, insert: bool) -> bool {
        // Bits that depend on both halves, at equal steps.
        let (mut place, step) = (hash as u32, (hash >> 32) as u32 | 1);
        let mut there = true;
        for _ in 0..PLACES {
            let bit = 1_u8.unbounded_shl(place & 7);
            if let Some(byte) = self.0.get_mut((place >> 3) as usize & (FILTER - 1)) {
                there &= *byte & bit != 0;
                if insert {
                    *byte |= bit;
                }
            }
            place = place.wrapping_add(step);
        }
        there
    }
}

/// The data that is collected while a configuration is read.
#[derive(Debug)]
pub(super) struct Lookup {
    key: [u8; 16],
    /// The last peer in each bucket, counted from 1.
    buckets: [u32; BUCKETS],
    seen: Filter,
    /// Allowed IPs that appeared twice.
    twice: Filter,
    any_twice: bool,
}

fn bucket(key: &PublicKey) -> usize {
    let (words, _) = key.0.as_chunks::<4>();
    let mixed = words.iter().fold(0, |all, word| all ^ u32::from_le_bytes(*word));
    mixed as usize & (BUCKETS - 1)
}

impl Lookup {
    /// Without a hash key.
    pub(super) const fn new() -> Self {
        let (seen, twice) = (Filter([0; FILTER]), Filter([0; FILTER]));
        Self { key: [0; 16], buckets: [0; BUCKETS], seen, twice, any_twice: false }
    }

    /// The place of its random key, to be filled before the first use.
    pub(super) const fn key(&mut self) -> &mut [u8; 16] {
        &mut self.key
    }

    /// Takes an allowed IP of `peer`.
    pub(super) fn allowed_ip(&mut self, peer: &mut Peer, net: &IpNet) {
        let hash = peer.ips.add(&self.key, net);
        if self.seen.insert(hash) {
            self.twice.insert(hash);
            self.any_twice = true;
        }
    }

    /// Takes peer number `n`.
    pub(super) fn peer(&mut self, peer: &mut Peer, n: u32) {
        if let Some(last) = self.buckets.get_mut(bucket(&peer.key)) {
            peer.next = core::mem::replace(last, n.saturating_add(1));
        }
    }

    /// Puts the last peer with this key before number `below` into `peer`. Returns its number.
    fn find<F: File>(
        &self,
        wanted: &mut Wanted<'_, F>,
        key: &PublicKey,
        below: u32,
        peer: &mut Peer,
    ) -> Result<Option<u32>, Fault> {
        let mut next = self.buckets.get(bucket(key)).copied().unwrap_or(0);
        while let Some(n) = next.checked_sub(1) {
            wanted.far_peer(n, peer)?;
            if peer.key == *key && n < below {
                return Ok(Some(n));
            }
            next = peer.next;
        }
        Ok(None)
    }

    /// Marks the peers that share an allowed IP. Most positives of the filter are false: of the
    /// allowed IPs that match a positive, two must be equal.
    fn mark_shared<F: File>(&mut self, wanted: &mut Wanted<'_, F>) -> Result<(), Fault> {
        if !self.any_twice {
            return Ok(());
        }
        let mut met: heapless::Vec<(u64, u32), MET> = heapless::Vec::new();
        let (mut peer, mut other) = (Peer::new(0, 0), Peer::new(0, 0));
        for n in 0..wanted.count {
            wanted.peer(n, &mut peer)?;
            for ip in peer.allowed_ips() {
                let ip = wanted.allowed_ip(ip)?;
                let hash = hash(&self.key, &ip.net.masked());
                if !self.twice.visit(hash, false) {
                    continue;
                }
                let first = met.iter().find(|(met, _)| *met == hash).map(|(_, first)| *first);
                if let Some(first) = first {
                    wanted.far_peer(first, &mut other)?;
                    wanted.set_flags(first, other.flags | SHARED)?;
                } else if met.push((hash, n)).is_ok() {
                    continue;
                }
                // With too many positives to check, the peer may share one: sending it does no
                // harm.
                wanted.set_flags(n, peer.flags | SHARED)?;
            }
        }
        Ok(())
    }
}

/// Makes the kernel match the configuration, with as few changes as possible.
///
/// # Errors
/// Kernel errors, or [`Code::Unsteady`].
pub(super) fn sync<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    name: IfName,
    wanted: &mut Wanted<'_, F>,
    lookup: &mut Lookup,
    extras: Spool<'_, F>,
    set: &mut [u8],
) -> Result<(), Fault> {
    lookup.mark_shared(wanted)?;
    let asked = wanted.device.clone();
    let mut sync = Sync {
        wanted,
        lookup,
        extras,
        device: None,
        next: 0,
        last: (false, Mark::Missing),
        found: 0,
        same: 0,
        round: 0,
    };
    while sync.round < ROUNDS {
        sync.compare(kernel, name)?;
        sync.wanted.device = sync.device_change(&asked);
        let same = sync.same == sync.wanted.count && sync.extras.len() == 0;
        if same && sync.wanted.device == DeviceChange::default() {
            return Ok(());
        }
        if !send(kernel, name, sync.wanted, Some(&mut sync.extras), set)? {
            return Ok(());
        }
        sync.round = sync.round.saturating_add(1);
    }
    Err(kernel.slot.fail(Code::Unsteady, Subject::Interface, "another program keeps changing it"))
}

struct Sync<'a, 'w, 'e, F> {
    wanted: &'a mut Wanted<'w, F>,
    lookup: &'a Lookup,
    /// Keys of peers that are in the kernel and not in the configuration.
    extras: Spool<'e, F>,
    device: Option<DeviceInfo>,
    /// The peer that the kernel should list next.
    next: u32,
    /// Whether the peer that the kernel listed last is [`SHARED`], and its earlier mark.
    last: (bool, Mark),
    /// Number of the configuration's peers in the kernel, and number of those with equal settings.
    found: u32,
    same: u32,
    round: u8,
}

impl<F: File> Sync<'_, '_, '_, F> {
    /// Reads the kernel and marks the differences.
    fn compare<N: NetlinkSocket>(
        &mut self,
        kernel: &mut Kernel<'_, N>,
        name: IfName,
    ) -> Result<(), Fault> {
        let slot: &Slot = kernel.slot;
        // Each mark says that the kernel does not have the peer. After a round the marks have the
        // last result, which is right as long as no peer was removed since.
        let mut fresh = self.device.is_none();
        steady(slot, Subject::Interface, &mut || {
            if !fresh && self.found < self.wanted.count {
                for n in 0..self.wanted.count {
                    self.wanted.set_mark(n, Mark::Missing)?;
                }
            }
            fresh = false;
            let before = self.found;
            self.extras.clear();
            (self.next, self.found, self.same) = (0, 0, 0);
            let (key, mut device) = (self.lookup.key, None);
            let whole = peers::compare(kernel, name, &key, self, &mut device)?;
            self.device = device.or(self.device.take());
            if self.found < self.wanted.count {
                if before == self.wanted.count {
                    return Ok(false);
                }
                self.settle_missing()?;
            }
            Ok(whole)
        })
    }

    /// Handles the peers that the kernel lacks, or that the configuration has twice.
    fn settle_missing(&mut self) -> Result<(), Fault> {
        // With none of them in the kernel, all are sent in order.
        if self.next == 0 && self.round == 0 {
            return Ok(());
        }
        let own = self.device.as_ref().and_then(|device| device.public_key);
        let (mut peer, mut found) = (Peer::new(0, 0), Peer::new(0, 0));
        for n in 0..self.wanted.count {
            self.wanted.peer(n, &mut peer)?;
            if peer.mark != Mark::Missing {
                continue;
            }
            if Some(peer.key) == own {
                // The kernel ignores a peer with the interface's own key.
                self.wanted.set_mark(n, Mark::Same)?;
                continue;
            }
            let mut shared = peer.is(SHARED);
            let mut below = u32::MAX;
            while let Some(other) = self.lookup.find(self.wanted, &peer.key, below, &mut found)? {
                below = other;
                if other != n {
                    shared = true;
                    self.wanted.set_flags(other, found.flags | SHARED)?;
                    self.wanted.set_mark(other, self.sharing())?;
                }
            }
            if shared {
                self.wanted.set_flags(n, peer.flags | SHARED)?;
                self.wanted.set_mark(n, self.sharing())?;
            }
        }
        Ok(())
    }

    /// The mark of peers that are not compared: they are sent once.
    const fn sharing(&self) -> Mark {
        if self.round > 0 { Mark::Same } else { Mark::Missing }
    }

    /// The settings of the device that differ.
    fn device_change(&self, asked: &DeviceChange) -> DeviceChange {
        let Some(has) = &self.device else { return asked.clone() };
        let key = asked.private_key.clone().unwrap_or(SecretKey::ZERO);
        let same_key = match &has.private_key {
            None => key.is_zero(),
            Some(private) => !key.is_zero() && *private == key.clone().clamped(),
        };
        DeviceChange {
            private_key: Some(key).filter(|_| !same_key),
            // Without a configured port the kernel chooses one, once.
            listen_port: asked
                .listen_port
                .filter(|port| *port != has.listen_port && (*port != 0 || self.round == 0)),
            fwmark: asked.fwmark.filter(|mark| *mark != has.fwmark),
            replace_peers: self.wanted.count == 0 && self.extras.len() > 0,
        }
    }
}

impl<F: File> peers::Wanted for Sync<'_, '_, '_, F> {
    fn meet(&mut self, info: &PeerInfo) -> Result<Option<Met>, Fault> {
        let mut n = self.next;
        let mut wanted = Peer::new(0, 0);
        if n < self.wanted.count {
            self.wanted.peer(n, &mut wanted)?;
        }
        if n >= self.wanted.count || wanted.key != info.public_key {
            let found = self.lookup.find(self.wanted, &info.public_key, u32::MAX, &mut wanted)?;
            match found {
                Some(found) => n = found,
                None => {
                    self.extras.append(&info.public_key.0)?;
                    return Ok(None);
                }
            }
        }
        self.next = n.saturating_add(1);
        self.found = self.found.saturating_add(1);
        self.last = (wanted.is(SHARED), wanted.mark);
        let mut fields = wanted.settings().differing(info);
        if self.round > 0 {
            // The peer may have roamed since its endpoint was set.
            fields &= !peer::ENDPOINT;
        }
        Ok(Some(Met { n, fields, allowed_ips: wanted.ips }))
    }

    fn settle(&mut self, n: u32, mark: Mark) -> Result<(), Fault> {
        let (shared, before) = self.last;
        let mark = if shared { self.sharing() } else { mark };
        if mark == Mark::Same {
            self.same = self.same.saturating_add(1);
        }
        if before == mark { Ok(()) } else { self.wanted.set_mark(n, mark) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;
    use core::net::Ipv4Addr;

    /// Which of 64 peers with these allowed IPs in turn are marked.
    fn marked(ips: impl Iterator<Item = u32>) -> Vec<u32> {
        let slot = Slot::default();
        let (mut peers, mut nets) = (vec![0; 4096], vec![0; 4096]);
        let mut wanted = Wanted {
            device: DeviceChange::default(),
            peers: Spool::new(&slot, Memory::default(), &mut peers),
            ips: Spool::new(&slot, Memory::default(), &mut nets),
            count: 0,
            takes_away: false,
        };
        let mut lookup = Box::new(Lookup::new());
        let ips: Vec<u32> = ips.collect();
        for ips in ips.chunks(ips.len() / 64) {
            let mut peer = Peer::new(0, wanted.next_ip());
            for ip in ips {
                let net = IpNet::new(Ipv4Addr::from_bits(*ip).into(), 32).unwrap();
                lookup.allowed_ip(&mut peer, &net);
                wanted.push_ip(&net, false).unwrap();
            }
            lookup.peer(&mut peer, wanted.count);
            wanted.push_peer(&peer).unwrap();
        }
        lookup.mark_shared(&mut wanted).unwrap();
        assert!(lookup.any_twice, "the filter is not as full as it should be for this test");
        let mut peer = Peer::new(0, 0);
        let shared = |n: &u32| {
            wanted.peer(*n, &mut peer).unwrap();
            peer.is(SHARED)
        };
        (0..64).filter(shared).collect()
    }

    #[test]
    fn allowed_ips_that_a_full_filter_takes_for_others_are_not_shared() {
        assert_eq!(marked(0..1 << 15), [0; 0]);
        // The first allowed IP of the last peer is the first of the third.
        let ips = (0..1 << 15).map(|ip| if ip == 63 << 9 { 2 << 9 } else { ip });
        assert_eq!(marked(ips), [2, 63]);
    }

    #[test]
    fn more_allowed_ips_than_can_be_told_apart_are_marked_where_they_are_shared() {
        // Each allowed IP of the first half is also in the second.
        assert_eq!(marked((0..1 << 14).chain(0..1 << 14)).len(), 64);
    }
}
