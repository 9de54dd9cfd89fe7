//! A configuration, complete and checked before any change: the device, and its peers and their
//! allowed IPs as records of fixed length in a [`Spool`].

use core::net::{IpAddr, SocketAddr, SocketAddrV6};

use proto_core::ip::IpNet;
use proto_core::key::{KEY_LEN, PublicKey, SecretKey};
use proto_core::netlink::wireguard::{AllowedIpChange, DeviceChange, PeerChange};

use super::spool::Spool;
use crate::bytes::{Get, Put};
use crate::config::index::Mark;
use crate::config::peers::Settings;
use crate::config::set_sum::SetSum;
use crate::fault::Fault;
use crate::system::File;

/// The peer is to be removed.
pub(super) const REMOVE: u8 = 1;
/// The allowed IPs replace the existing ones.
pub(super) const REPLACE: u8 = 2;
/// The peer has a preshared key.
pub(super) const PRESHARED_KEY: u8 = 4;
/// The peer has a keepalive interval.
pub(super) const KEEPALIVE: u8 = 8;
/// Another peer of the configuration has the same key or one of the same allowed IPs: all of them
/// must be sent in order.
pub(super) const SHARED: u8 = 16;

/// A peer.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// [`REMOVE`] and the other flags.
    pub(super) flags: u8,
    /// Its state in the kernel.
    pub(super) mark: Mark,
    /// Its key.
    pub(super) key: PublicKey,
    /// Its preshared key, or zeros.
    pub(super) preshared_key: SecretKey,
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) keepalive: u16,
    /// The first of its allowed IPs, and their sum.
    pub(super) first_ip: u32,
    pub(super) ips: SetSum,
    /// The previous peer whose key is in the same bucket, counted from 1.
    pub(super) next: u32,
}

/// flags, mark, endpoint (family, port, scope, address), keepalive, key, next, first IP, count, sum,
/// preshared key
pub(super) const PEER: usize = 1 + 1 + (1 + 2 + 4 + 16) + 2 + KEY_LEN + 4 + 4 + 4 + 8 + KEY_LEN;
/// The offset of the mark.
pub(super) const MARK_AT: u32 = 1;
/// family and sign, prefix, address
const IP: usize = 1 + 1 + 16;
/// In the first byte of an allowed IP: whether to remove it, and whether it exists.
const TAKE_AWAY: u8 = 0x80;
const TAKEN: u8 = 0x40;

/// The address in the space of an IPv6 address, and 4 or 6.
fn ip_bytes(ip: IpAddr) -> (u8, [u8; 16]) {
    match ip {
        IpAddr::V4(ip) => (4, ip.to_ipv6_mapped().octets()),
        IpAddr::V6(ip) => (6, ip.octets()),
    }
}

fn ip(family: u8, bytes: [u8; 16]) -> IpAddr {
    match bytes {
        [.., a, b, c, d] if family == 4 => IpAddr::from([a, b, c, d]),
        _ => IpAddr::from(bytes),
    }
}

impl Peer {
    pub(super) const fn new(flags: u8, first_ip: u32) -> Self {
        Self {
            flags,
            mark: Mark::Missing,
            key: PublicKey([0; KEY_LEN]),
            preshared_key: SecretKey::ZERO,
            endpoint: None,
            keepalive: 0,
            first_ip,
            ips: SetSum { count: 0, sum: 0 },
            next: 0,
        }
    }

    #[inline(never)]
    fn to_bytes(&self, bytes: &mut [u8; PEER]) {
        let mut put = Put(bytes);
        put.array([self.flags, self.mark.to_byte()]);
        let (family, address) = self.endpoint.map_or((0, [0; 16]), |to| ip_bytes(to.ip()));
        let scope = match self.endpoint {
            Some(SocketAddr::V6(to)) => to.scope_id(),
            _ => 0,
        };
        put.array([family]);
        put.array(self.endpoint.map_or(0, |to| to.port()).to_le_bytes());
        put.array(scope.to_le_bytes());
        put.array(address);
        put.array(self.keepalive.to_le_bytes());
        put.array(self.key.0);
        put.array(self.next.to_le_bytes());
        put.array(self.first_ip.to_le_bytes());
        put.array(self.ips.count.to_le_bytes());
        put.array(self.ips.sum.to_le_bytes());
        put.array(*self.preshared_key.as_bytes());
    }

    /// Reads what [`Peer::to_bytes`] wrote. In place: it is too large to return for each peer.
    #[inline(never)]
    fn set(&mut self, bytes: &[u8; PEER]) {
        let mut get = Get(bytes);
        (self.flags, self.mark) = (get.byte(), Mark::from_byte(get.byte()));
        let (family, port, scope) = (get.byte(), u16::from_le_bytes(get.array()), get.u32());
        self.endpoint = match ip(family, get.array()) {
            _ if family == 0 => None,
            IpAddr::V6(ip) => Some(SocketAddrV6::new(ip, port, 0, scope).into()),
            ip => Some(SocketAddr::new(ip, port)),
        };
        self.keepalive = u16::from_le_bytes(get.array());
        self.key = PublicKey(get.array());
        (self.next, self.first_ip) = (get.u32(), get.u32());
        self.ips = SetSum { count: get.u32(), sum: u64::from_le_bytes(get.array()) };
        *self.preshared_key.as_mut_bytes() = get.array();
    }

    /// The numbers of its allowed IPs.
    pub(super) const fn allowed_ips(&self) -> core::ops::Range<u32> {
        self.first_ip..self.first_ip.saturating_add(self.ips.count)
    }

    /// Whether the peer has all of these flags.
    pub(super) const fn is(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// The settings that the peer should have.
    pub(super) fn settings(&self) -> Settings<'_> {
        Settings {
            endpoint: self.endpoint,
            preshared_key: Some(&self.preshared_key).filter(|key| !key.is_zero()),
            persistent_keepalive: self.keepalive,
        }
    }

    /// All of its settings in the configuration.
    pub(super) fn change(&self) -> PeerChange {
        PeerChange {
            remove: self.is(REMOVE),
            replace_allowed_ips: self.is(REPLACE),
            preshared_key: self.is(PRESHARED_KEY).then(|| self.preshared_key.clone()),
            endpoint: self.endpoint,
            persistent_keepalive: Some(self.keepalive).filter(|_| self.is(KEEPALIVE)),
            ..PeerChange::new(self.key)
        }
    }
}

/// A configuration.
#[derive(Debug)]
pub(super) struct Wanted<'w, F> {
    /// The change to the device.
    pub(super) device: DeviceChange,
    pub(super) peers: Spool<'w, F>,
    pub(super) ips: Spool<'w, F>,
    /// Number of peers.
    pub(super) count: u32,
    /// Whether an allowed IP is to be removed.
    pub(super) takes_away: bool,
}

fn place(n: u32, size: usize) -> u32 {
    n.saturating_mul(size as u32)
}

impl<F: File> Wanted<'_, F> {
    /// The number of the next allowed IP.
    pub(super) fn next_ip(&self) -> u32 {
        self.ips.records(IP)
    }

    /// Adds a peer.
    pub(super) fn push_peer(&mut self, peer: &Peer) -> Result<(), Fault> {
        let mut bytes = [0; PEER];
        peer.to_bytes(&mut bytes);
        self.count = self.count.saturating_add(1);
        self.peers.append(&bytes)
    }

    /// Adds an allowed IP to the peer that is added next.
    pub(super) fn push_ip(&mut self, net: &IpNet, remove: bool) -> Result<(), Fault> {
        let (family, address) = ip_bytes(net.addr);
        let mut bytes = [0; IP];
        let mut put = Put(&mut bytes);
        put.array([if remove { family | TAKE_AWAY } else { family }, net.prefix]);
        put.array(address);
        self.ips.append(&bytes)
    }

    /// Puts peer number `n` into `peer`.
    #[inline(never)]
    pub(super) fn peer(&mut self, n: u32, peer: &mut Peer) -> Result<(), Fault> {
        let mut bytes = [0; PEER];
        self.peers.read(place(n, PEER), &mut bytes)?;
        peer.set(&bytes);
        Ok(())
    }

    /// As [`Wanted::peer`], for a peer that is not near the last one.
    pub(super) fn far_peer(&mut self, n: u32, peer: &mut Peer) -> Result<(), Fault> {
        let mut bytes = [0; PEER];
        self.peers.read_far(place(n, PEER), &mut bytes)?;
        peer.set(&bytes);
        Ok(())
    }

    /// Sets the mark of peer number `n`.
    pub(super) fn set_mark(&mut self, n: u32, mark: Mark) -> Result<(), Fault> {
        self.peers.write(place(n, PEER).saturating_add(MARK_AT), &[mark.to_byte()])
    }

    /// Adds flags to peer number `n`.
    pub(super) fn set_flags(&mut self, n: u32, flags: u8) -> Result<(), Fault> {
        self.peers.write(place(n, PEER), &[flags])
    }

    /// Allowed IP number `n`.
    #[inline(never)]
    pub(super) fn allowed_ip(&mut self, n: u32) -> Result<AllowedIpChange, Fault> {
        let mut bytes = [0; IP];
        self.ips.read(place(n, IP), &mut bytes)?;
        let mut get = Get(&bytes);
        let (family, prefix) = (get.byte(), get.byte());
        let addr = ip(family & !TAKE_AWAY & !TAKEN, get.array());
        Ok(AllowedIpChange { net: IpNet { addr, prefix }, remove: family & TAKE_AWAY != 0 })
    }

    /// Records that allowed IP number `n` exists and is to be removed.
    pub(super) fn set_taken(&mut self, n: u32) -> Result<(), Fault> {
        let at = place(n, IP);
        let mut byte = [0];
        self.ips.read(at, &mut byte)?;
        self.ips.write(at, &byte.map(|byte| byte | TAKEN))
    }

    /// Whether allowed IP number `n` exists and is to be removed.
    pub(super) fn is_taken(&mut self, n: u32) -> Result<bool, Fault> {
        let mut byte = [0];
        self.ips.read(place(n, IP), &mut byte)?;
        Ok(byte.iter().all(|byte| byte & TAKEN != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_keep_what_they_say() {
        for endpoint in [None, Some("192.0.2.1:7"), Some("[fe80::1%3]:65535"), Some("[::]:0")] {
            let mut peer = Peer::new(REPLACE | KEEPALIVE, 7);
            peer.mark = Mark::Differs(9);
            peer.key = PublicKey([3; 32]);
            peer.preshared_key = SecretKey::new([4; 32]);
            peer.endpoint = endpoint.map(|text| text.parse().unwrap());
            peer.keepalive = 0xfffe;
            peer.ips = SetSum { count: 5, sum: u64::MAX - 1 };
            peer.next = 6;
            let mut bytes = [0; PEER];
            peer.to_bytes(&mut bytes);
            let mut read = Peer::new(0, 0);
            read.set(&bytes);
            assert_eq!(format!("{read:?}"), format!("{peer:?}"));
        }
    }
}
