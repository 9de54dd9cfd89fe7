//! An address, a route or a rule in the form of its message.

use std::collections::BTreeMap;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use proto_core::ip::{AF_INET, IpNet};
use proto_core::netlink::Message;

pub(super) const IFA_ADDRESS: u16 = 1;
pub(super) const IFA_LOCAL: u16 = 2;
pub(super) const IFA_LABEL: u16 = 3;
pub(super) const IFA_BROADCAST: u16 = 4;
pub(super) const IFA_CACHEINFO: u16 = 6;
pub(super) const IFA_FLAGS: u16 = 8;
pub(super) const SECONDARY: u32 = 0x01;
pub(super) const PERMANENT: u32 = 0x80;
pub(super) const NOPREFIXROUTE: u32 = 0x200;

pub(super) const RTA_DST: u16 = 1;
pub(super) const RTA_OIF: u16 = 4;
pub(super) const RTA_GATEWAY: u16 = 5;
pub(super) const RTA_PRIORITY: u16 = 6;
pub(super) const RTA_PREFSRC: u16 = 7;
pub(super) const RTA_METRICS: u16 = 8;
pub(super) const RTA_MULTIPATH: u16 = 9;
pub(super) const RTA_CACHEINFO: u16 = 12;
pub(super) const RTA_TABLE: u16 = 15;
pub(super) const RTA_VIA: u16 = 18;
pub(super) const RTA_PREF: u16 = 20;
pub(super) const RTA_EXPIRES: u16 = 23;
pub(super) const UNICAST: u8 = 1;
pub(super) const LOCAL: u8 = 2;
pub(super) const BROADCAST: u8 = 3;
pub(super) const MULTICAST: u8 = 5;
pub(super) const PROTO_KERNEL: u8 = 2;
pub(super) const TABLE_MAIN: u32 = 254;
pub(super) const TABLE_LOCAL: u32 = 255;

pub(super) const FRA_TABLE: u16 = 15;
pub(super) const FRA_PRIORITY: u16 = 6;
pub(super) const FRA_FWMARK: u16 = 10;
pub(super) const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
pub(super) const FRA_FWMASK: u16 = 16;
pub(super) const FRA_PROTOCOL: u16 = 21;

/// The body of a message: its fixed header, and its attributes by type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) header: Vec<u8>,
    pub(crate) attributes: BTreeMap<u16, Vec<u8>>,
}

impl Entry {
    pub(super) fn read<const N: usize>(message: &Message<'_>) -> Self {
        let (header, attributes) = message.split::<N>().unwrap();
        let attributes = attributes.flatten().map(|a| (a.ty, a.payload.to_vec()));
        Self { header: header.to_vec(), attributes: attributes.collect() }
    }

    pub(crate) fn u32(&self, ty: u16) -> Option<u32> {
        let bytes = self.attributes.get(&ty)?;
        Some(u32::from_ne_bytes(bytes[..].try_into().unwrap()))
    }

    pub(crate) fn ip(&self, ty: u16) -> Option<IpAddr> {
        let bytes = &self.attributes.get(&ty)?[..];
        <[u8; 4]>::try_from(bytes).map_or_else(
            |_| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
            |octets| Some(IpAddr::from(octets)),
        )
    }

    pub(super) fn put(&mut self, ty: u16, bytes: &[u8]) {
        self.attributes.insert(ty, bytes.to_vec());
    }

    pub(super) fn put_ip(&mut self, ty: u16, addr: IpAddr) {
        match addr {
            IpAddr::V4(addr) => self.put(ty, &addr.octets()),
            IpAddr::V6(addr) => self.put(ty, &addr.octets()),
        }
    }

    pub(super) fn family(&self) -> u8 {
        self.header[0]
    }

    /// An address: its interface.
    pub(super) fn index(&self) -> u32 {
        u32::from_ne_bytes(self.header[4..8].try_into().unwrap())
    }

    /// An address: the interface's own end.
    pub(super) fn own(&self) -> IpAddr {
        self.ip(IFA_LOCAL).or_else(|| self.ip(IFA_ADDRESS)).unwrap()
    }

    /// An address: the network of its route.
    pub(super) fn prefix(&self) -> IpNet {
        let far = self.ip(IFA_ADDRESS).unwrap_or_else(|| self.own());
        IpNet { addr: far, prefix: self.header[1] }.masked()
    }

    pub(super) fn flags(&self) -> u32 {
        self.u32(IFA_FLAGS).unwrap_or(0)
    }

    /// A route: its destination.
    pub(super) fn dst(&self) -> IpNet {
        let any = match self.family() {
            AF_INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            _ => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        IpNet { addr: self.ip(RTA_DST).unwrap_or(any), prefix: self.header[1] }
    }

    pub(super) fn table(&self) -> u32 {
        self.u32(RTA_TABLE).unwrap_or_else(|| self.header[4].into())
    }

    pub(super) fn metric(&self) -> u32 {
        self.u32(RTA_PRIORITY).unwrap_or(0)
    }

    /// A route: its outgoing interfaces.
    pub(super) fn links(&self) -> Vec<u32> {
        let mut links: Vec<u32> = self.u32(RTA_OIF).into_iter().collect();
        let mut hops = self.attributes.get(&RTA_MULTIPATH).map_or(&[][..], Vec::as_slice);
        // `struct rtnexthop`: length, flags, weight, interface, attributes.
        while hops.len() >= 8 {
            links.push(u32::from_ne_bytes(hops[4..8].try_into().unwrap()));
            let len = u16::from_ne_bytes(hops[..2].try_into().unwrap());
            hops = hops.get(usize::from(len).next_multiple_of(4)..).unwrap_or_default();
        }
        links
    }

    /// A route: its key, unique in its table.
    pub(super) fn place(&self) -> (u8, u32, IpNet, u8, u32) {
        (self.family(), self.table(), self.dst(), self.header[3], self.metric())
    }

    /// What a test compares: everything but times, and links by name.
    pub(in crate::testing::world) fn text(
        &self,
        kind: &str,
        name: &dyn Fn(u32) -> String,
    ) -> String {
        let Self { mut header, mut attributes } = self.clone();
        let mut link = String::new();
        if kind == "address" {
            link = name(self.index());
            header.truncate(4);
            // Its valid lifetime stays, its creation time is removed.
            attributes.entry(IFA_CACHEINFO).and_modify(|times| times.truncate(8));
        } else if kind == "route" {
            if let Some(info) = attributes.get_mut(&RTA_CACHEINFO) {
                *info = info[8..12].to_vec();
            }
            if attributes.remove(&RTA_OIF).is_some() {
                link = self.u32(RTA_OIF).map_or(link, name);
            }
        }
        let what = match kind {
            "address" => format!("{}/{}", self.own(), self.header[1]),
            "route" => format!("{} table {} metric {}", self.dst(), self.table(), self.metric()),
            _ => format!("table {}", rule_table(self)),
        };
        format!("{link} {kind} {what} {header:?} {attributes:?}")
    }
}

/// An address that the kernel added itself, or what belongs to it.
pub(in crate::testing::world) fn is_kernels_own(entry: &Entry, kind: &str) -> bool {
    match kind {
        "address" => {
            matches!(entry.own(), IpAddr::V6(own) if own.octets()[..2] == [0xfe, 0x80] && own.octets()[15] == 0xee)
        }
        "route" => {
            matches!(entry.dst().addr, IpAddr::V6(to) if entry.header[5] == PROTO_KERNEL && (to.octets()[0] == 0xff || (to.octets()[..2] == [0xfe, 0x80] && (entry.dst().prefix == 64 || to.octets()[15] == 0xee))))
        }
        _ => false,
    }
}

pub(super) fn rule_table(rule: &Entry) -> u32 {
    rule.u32(FRA_TABLE).unwrap_or_else(|| rule.header[4].into())
}
