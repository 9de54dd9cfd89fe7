//! Addresses, routes and rules as Linux keeps them: what a change of an address, of a link or of an
//! MTU removes or adds. Checked on Linux 6.18; the names are those of `net/ipv4` and `net/ipv6`.

use std::collections::{BTreeMap, BTreeSet};

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use proto_core::ip::{AF_INET, AF_INET6, IpNet};
use proto_core::netlink::{Errno, Message, Messages};

pub(super) const NEW_ADDR: u16 = 20;
pub(super) const DEL_ADDR: u16 = 21;
pub(super) const GET_ADDR: u16 = 22;
pub(super) const NEW_ROUTE: u16 = 24;
pub(super) const DEL_ROUTE: u16 = 25;
pub(super) const GET_ROUTE: u16 = 26;
pub(super) const NEW_RULE: u16 = 32;
pub(super) const DEL_RULE: u16 = 33;
pub(super) const GET_RULE: u16 = 34;

const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_APPEND: u16 = 0x800;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_BROADCAST: u16 = 4;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const SECONDARY: u32 = 0x01;
const PERMANENT: u32 = 0x80;
const NOPREFIXROUTE: u32 = 0x200;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_METRICS: u16 = 8;
const RTA_MULTIPATH: u16 = 9;
const RTA_CACHEINFO: u16 = 12;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTA_PREF: u16 = 20;
const RTA_EXPIRES: u16 = 23;
const UNICAST: u8 = 1;
const LOCAL: u8 = 2;
const BROADCAST: u8 = 3;
const MULTICAST: u8 = 5;
const PROTO_KERNEL: u8 = 2;
const TABLE_MAIN: u32 = 254;
const TABLE_LOCAL: u32 = 255;

const FRA_TABLE: u16 = 15;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_FWMASK: u16 = 16;
const FRA_PROTOCOL: u16 = 21;

/// The smallest MTU for IPv4.
const IPV4_MIN_MTU: u32 = 68;
/// The smallest MTU for IPv6.
const IPV6_MIN_MTU: u32 = 1280;

/// The body of a message: its fixed header, and its attributes by type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) header: Vec<u8>,
    pub(crate) attributes: BTreeMap<u16, Vec<u8>>,
}

impl Entry {
    fn read<const N: usize>(message: &Message<'_>) -> Self {
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

    fn put(&mut self, ty: u16, bytes: &[u8]) {
        self.attributes.insert(ty, bytes.to_vec());
    }

    fn put_ip(&mut self, ty: u16, addr: IpAddr) {
        match addr {
            IpAddr::V4(addr) => self.put(ty, &addr.octets()),
            IpAddr::V6(addr) => self.put(ty, &addr.octets()),
        }
    }

    fn family(&self) -> u8 {
        self.header[0]
    }

    /// An address: its interface.
    fn index(&self) -> u32 {
        u32::from_ne_bytes(self.header[4..8].try_into().unwrap())
    }

    /// An address: the interface's own end.
    fn own(&self) -> IpAddr {
        self.ip(IFA_LOCAL).or_else(|| self.ip(IFA_ADDRESS)).unwrap()
    }

    /// An address: the network of its route.
    fn prefix(&self) -> IpNet {
        let far = self.ip(IFA_ADDRESS).unwrap_or_else(|| self.own());
        IpNet { addr: far, prefix: self.header[1] }.masked()
    }

    fn flags(&self) -> u32 {
        self.u32(IFA_FLAGS).unwrap_or(0)
    }

    /// A route: its destination.
    fn dst(&self) -> IpNet {
        let any = match self.family() {
            AF_INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            _ => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        IpNet { addr: self.ip(RTA_DST).unwrap_or(any), prefix: self.header[1] }
    }

    fn table(&self) -> u32 {
        self.u32(RTA_TABLE).unwrap_or_else(|| self.header[4].into())
    }

    fn metric(&self) -> u32 {
        self.u32(RTA_PRIORITY).unwrap_or(0)
    }

    /// A route: its outgoing interfaces.
    fn links(&self) -> Vec<u32> {
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
    fn place(&self) -> (u8, u32, IpNet, u8, u32) {
        (self.family(), self.table(), self.dst(), self.header[3], self.metric())
    }

    /// What a test compares: everything but times, and links by name.
    pub(super) fn text(&self, kind: &str, name: &dyn Fn(u32) -> String) -> String {
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

/// What addresses need to know of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Port {
    pub(super) index: u32,
    pub(super) up: bool,
    pub(super) mtu: u32,
}

/// The addresses, routes and rules.
#[derive(Clone, Debug, Default)]
pub(super) struct Ip {
    pub(super) addresses: Vec<Entry>,
    pub(super) routes: Vec<Entry>,
    pub(super) rules: Vec<Entry>,
    /// A kernel that was started with `ipv6.disable=1`.
    pub(super) no_ipv6: bool,
    /// A kernel without `CONFIG_IPV6_MULTIPLE_TABLES`.
    pub(super) no_ipv6_rules: bool,
    /// Links whose secondary addresses survive the removal of the first one
    /// (`promote_secondaries`).
    pub(super) promotes: BTreeSet<u32>,
    /// Number of link-local addresses that the kernel added.
    made: u16,
    clock: u32,
}

/// An address that the kernel added itself, or what belongs to it.
pub(super) fn is_kernels_own(entry: &Entry, kind: &str) -> bool {
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

impl Ip {
    pub(super) fn change(
        &mut self,
        port: &dyn Fn(u32) -> Option<Port>,
        name: &dyn Fn(u32) -> String,
        message: &Message<'_>,
    ) -> Result<(), Errno> {
        let family = message.payload[0];
        let rules = matches!(message.ty, NEW_RULE | DEL_RULE);
        if family == AF_INET6 && (self.no_ipv6 || (rules && self.no_ipv6_rules)) {
            return Err(if rules { Errno(97) } else { Errno::EOPNOTSUPP });
        }
        match message.ty {
            NEW_ADDR => {
                let addr = Entry::read::<8>(message);
                let port = port(addr.index()).ok_or(Errno::ENODEV)?;
                self.add_addr(port, &name(port.index), addr, message.flags)
            }
            DEL_ADDR => self.del_addr(&Entry::read::<8>(message), port),
            NEW_ROUTE => self.new_route(Entry::read::<12>(message), message.flags, port),
            DEL_ROUTE => {
                let found = self.find_route(&Entry::read::<12>(message)).ok_or(Errno::ESRCH)?;
                self.routes.remove(found);
                Ok(())
            }
            NEW_RULE => self.new_rule(Entry::read::<12>(message), message.flags),
            _ => {
                let rule = Entry::read::<12>(message);
                let found = self.rules.iter().position(|other| like(&rule, other));
                self.rules.remove(found.ok_or(Errno::ENOENT)?);
                Ok(())
            }
        }
    }

    /// The entries of a list of this kind, or the error that ends it.
    pub(super) fn list(&self, message: &Message<'_>) -> Result<(u16, Vec<&Entry>), Errno> {
        let family = message.payload[0];
        let (ty, all) = match message.ty {
            GET_ADDR => (NEW_ADDR, &self.addresses),
            GET_ROUTE => (NEW_ROUTE, &self.routes),
            GET_RULE if family == AF_INET6 && (self.no_ipv6 || self.no_ipv6_rules) => {
                return Err(Errno(97));
            }
            GET_RULE => (NEW_RULE, &self.rules),
            other => panic!("list {other}"),
        };
        // Without IPv6 in the kernel, its lists are those of all families (`rtnl_dump_all`).
        let every = self.no_ipv6 && family == AF_INET6;
        Ok((ty, all.iter().filter(|entry| every || entry.family() == family).collect()))
    }

    /// The addresses of a link in order.
    pub(super) fn order(&self, index: u32) -> Vec<String> {
        let of = |family| {
            self.addresses.iter().filter(move |addr| {
                addr.index() == index && addr.family() == family && !is_kernels_own(addr, "address")
            })
        };
        let all = of(AF_INET).chain(of(AF_INET6));
        all.map(|addr| format!("{}/{}", addr.own(), addr.header[1])).collect()
    }

    fn add_addr(
        &mut self,
        port: Port,
        name: &str,
        mut addr: Entry,
        flags: u16,
    ) -> Result<(), Errno> {
        let v4 = addr.family() == AF_INET;
        if v4 && port.mtu < IPV4_MIN_MTU {
            return Err(Errno(105));
        }
        if !v4 && port.mtu < IPV6_MIN_MTU {
            return Err(Errno::EINVAL);
        }
        let own = addr.own();
        let far = addr.ip(IFA_ADDRESS).unwrap_or(own);
        let mut bits = addr.flags() | u32::from(addr.header[2]);
        let forever = [0xff; 8];
        let times = addr.attributes.get(&IFA_CACHEINFO).map_or(&forever[..], |times| &times[..8]);
        // Preferred and valid lifetime: the kernel calls an address with an endless lifetime
        // permanent.
        bits &= !(PERMANENT | SECONDARY);
        bits |= if times[4..8] == forever[..4] { PERMANENT } else { 0 };
        self.clock += 1;
        let times = [times, &self.clock.to_ne_bytes()[..], &self.clock.to_ne_bytes()[..]].concat();
        addr.put(IFA_CACHEINFO, &times);
        if v4 {
            if own.is_unspecified() {
                return Ok(());
            }
            addr.put_ip(IFA_LOCAL, own);
            addr.put_ip(IFA_ADDRESS, far);
            let label = [name.as_bytes(), &[0]].concat();
            addr.attributes.entry(IFA_LABEL).or_insert(label);
        } else {
            if far == own {
                addr.attributes.remove(&IFA_LOCAL);
            }
            addr.put_ip(IFA_ADDRESS, far);
            addr.attributes.remove(&IFA_LABEL);
            addr.header[3] = match own {
                IpAddr::V6(own) if own.octets()[..2] == [0xfe, 0x80] => 253,
                _ => 0,
            };
        }
        let on_link =
            |other: &&mut Entry| other.index() == port.index && other.family() == addr.family();
        for other in self.addresses.iter_mut().filter(on_link) {
            let same_net = other.header[1] == addr.header[1] && other.prefix() == addr.prefix();
            if other.own() == own && (same_net || !v4) {
                if flags & NLM_F_REPLACE == 0 {
                    return Err(Errno::EEXIST);
                }
                addr.put(IFA_FLAGS, &(bits | other.flags() & SECONDARY).to_ne_bytes());
                addr.header[2] = (bits | other.flags() & SECONDARY) as u8;
                *other = addr;
                return Ok(());
            }
            if v4 && same_net {
                if other.header[3] != addr.header[3] {
                    return Err(Errno::EINVAL);
                }
                bits |= SECONDARY;
            }
        }
        addr.header[2] = bits as u8;
        addr.put(IFA_FLAGS, &bits.to_ne_bytes());
        // A primary IPv4 address goes before the secondary ones, an IPv6 address before the
        // existing ones.
        let after = |other: &Entry| {
            other.index() == port.index
                && other.family() == addr.family()
                && (!v4 || (bits & SECONDARY == 0 && other.flags() & SECONDARY != 0))
        };
        let at = self.addresses.iter().position(after).unwrap_or(self.addresses.len());
        self.addresses.insert(at, addr.clone());
        self.routes_of(&addr, port);
        Ok(())
    }

    /// The routes that come with an address (`fib_add_ifaddr`, `inet6_addr_add`).
    fn routes_of(&mut self, addr: &Entry, port: Port) {
        let (own, net, index) = (addr.own(), addr.prefix(), port.index);
        let whole = |addr| IpNet { addr, prefix: if net.family() == AF_INET { 32 } else { 128 } };
        if own.is_ipv6() {
            if port.up {
                self.made(whole(own), TABLE_LOCAL, LOCAL, 0, index, None);
                if addr.flags() & NOPREFIXROUTE == 0 {
                    self.made(net, TABLE_MAIN, UNICAST, 256, index, None);
                }
            }
            return;
        }
        let second = addr.flags() & SECONDARY != 0;
        let first = self.addresses.iter().find(|other| {
            other.index() == index && other.prefix() == net && other.flags() & SECONDARY == 0
        });
        let src = first.map(Entry::own);
        self.made(whole(own), TABLE_LOCAL, LOCAL, 0, index, src);
        if !port.up {
            return;
        }
        if let Some(broadcast) = addr.ip(IFA_BROADCAST) {
            self.made(whole(broadcast), TABLE_LOCAL, BROADCAST, 0, index, src);
        }
        if second || (net.prefix == 32 && net.addr == own) {
            return;
        }
        if addr.flags() & NOPREFIXROUTE == 0 {
            self.made(net, TABLE_MAIN, UNICAST, 0, index, src);
        }
        if let (IpAddr::V4(low), true) = (net.addr, net.prefix < 31) {
            let all = IpAddr::from(Ipv4Addr::from(u32::from(low) | (u32::MAX >> net.prefix)));
            self.made(whole(all), TABLE_LOCAL, BROADCAST, 0, index, src);
        }
    }

    /// Adds a route of the kernel's own, unless it is there.
    fn made(
        &mut self,
        to: IpNet,
        table: u32,
        kind: u8,
        metric: u32,
        index: u32,
        src: Option<IpAddr>,
    ) {
        let scope = match (to.family(), kind) {
            (AF_INET6, _) => 0,
            (_, LOCAL) => 254,
            _ => 253,
        };
        let header =
            vec![to.family(), to.prefix, 0, 0, table as u8, PROTO_KERNEL, scope, kind, 0, 0, 0, 0];
        let mut route = Entry { header, attributes: BTreeMap::new() };
        route.put_ip(RTA_DST, to.addr);
        route.put(RTA_OIF, &index.to_ne_bytes());
        if let Some(src) = src {
            route.put_ip(RTA_PREFSRC, src);
        }
        if metric != 0 || to.addr.is_ipv6() {
            route.put(RTA_PRIORITY, &metric.to_ne_bytes());
        }
        complete(&mut route);
        if !self.routes.contains(&route) {
            self.routes.push(route);
        }
    }

    fn del_addr(
        &mut self,
        wanted: &Entry,
        port: &dyn Fn(u32) -> Option<Port>,
    ) -> Result<(), Errno> {
        let found = self.addresses.iter().position(|other| {
            other.index() == wanted.index()
                && other.family() == wanted.family()
                && other.own() == wanted.own()
                && other.header[1] == wanted.header[1]
                && wanted.ip(IFA_ADDRESS).is_none_or(|far| {
                    IpNet { addr: far, prefix: other.header[1] }.masked() == other.prefix()
                        || other.family() == AF_INET6
                })
        });
        let at = found.ok_or(Errno::EADDRNOTAVAIL)?;
        let first = self.addresses.remove(at);
        let goes = |other: &Entry| {
            other.family() == AF_INET
                && first.flags() & SECONDARY == 0
                && first.family() == AF_INET
                && other.index() == first.index()
                && other.flags() & SECONDARY != 0
                && other.prefix() == first.prefix()
        };
        let (mut with_it, stay): (Vec<Entry>, _) = self.addresses.drain(..).partition(goes);
        self.addresses = stay;
        let port = port(wanted.index()).unwrap();
        // Off by default: then all are removed.
        if self.promotes.contains(&port.index) && !with_it.is_empty() {
            // They are still in the list, so routes of the link stay.
            let left = self.addresses.len();
            self.addresses.extend(with_it.iter().cloned());
            self.address_is_gone(&first);
            self.addresses.truncate(left);
            let flags = with_it[0].flags() & !SECONDARY;
            with_it[0].put(IFA_FLAGS, &flags.to_ne_bytes());
            with_it[0].header[2] = flags as u8;
            self.addresses.extend(with_it.iter().cloned());
            with_it.iter().for_each(|addr| self.routes_of(addr, port));
            return Ok(());
        }
        with_it.iter().for_each(|other| self.address_is_gone(other));
        self.address_is_gone(&first);
        Ok(())
    }

    /// Removes what belongs to an address that is no longer in the list (`fib_del_ifaddr`).
    fn address_is_gone(&mut self, gone: &Entry) {
        let (own, index, family) = (gone.own(), gone.index(), gone.family());
        let left = || self.addresses.iter().filter(|other| other.index() == index);
        let same_net = left().any(|other| {
            other.prefix() == gone.prefix() && other.flags() & (SECONDARY | NOPREFIXROUTE) == 0
        });
        let same_own = left().any(|other| other.own() == own);
        let last = !left().any(|other| other.family() == family);
        let kept = |to| left().any(|other| other.ip(IFA_BROADCAST) == Some(to));
        let broadcast = gone.ip(IFA_BROADCAST).filter(|to| !kept(*to));
        let net = gone.prefix();
        let all = match net.addr {
            IpAddr::V4(low) if net.prefix < 31 => {
                Some(IpAddr::from(Ipv4Addr::from(u32::from(low) | (u32::MAX >> net.prefix))))
            }
            _ => None,
        };
        self.routes.retain(|route| {
            if route.family() != family {
                return true;
            }
            let ours = route.header[5] == PROTO_KERNEL && route.links() == [index];
            let to = route.dst();
            let kernels = match route.header[7] {
                LOCAL => to.addr == own && !same_own,
                BROADCAST => {
                    (!same_net && Some(to.addr) == all && !kept(to.addr))
                        || (Some(to.addr) == broadcast && !(same_net && Some(to.addr) == all))
                }
                UNICAST => !same_net && to == net && gone.flags() & SECONDARY == 0,
                _ => false,
            };
            // Routes from an address that was removed (`fib_sync_down_addr`), and those of the last
            // one (`fib_disable_ip`).
            let from = family == AF_INET && !same_own && route.ip(RTA_PREFSRC) == Some(own);
            let down = family == AF_INET && last && route.links().iter().all(|oif| *oif == index);
            !((ours && kernels) || from || (down && !route.links().is_empty()))
        });
        if family == AF_INET6 {
            // `fib6_remove_prefsrc`
            for route in self.routes.iter_mut().filter(|r| r.links().contains(&index)) {
                if route.ip(RTA_PREFSRC) == Some(own) {
                    route.attributes.remove(&RTA_PREFSRC);
                }
            }
        }
    }

    fn new_route(
        &mut self,
        mut route: Entry,
        flags: u16,
        port: &dyn Fn(u32) -> Option<Port>,
    ) -> Result<(), Errno> {
        let v4 = route.family() == AF_INET;
        for index in route.links() {
            let port = port(index).ok_or(Errno::ENODEV)?;
            if port.mtu < if v4 { IPV4_MIN_MTU } else { IPV6_MIN_MTU } {
                return Err(Errno::ENODEV);
            }
            if !port.up {
                return Err(Errno(100));
            }
        }
        if let Some(src) = route.ip(RTA_PREFSRC)
            && !self.addresses.iter().any(|addr| addr.own() == src)
        {
            return Err(Errno::EINVAL);
        }
        if let Some(times) = route.attributes.remove(&RTA_EXPIRES) {
            let mut info = vec![0; 32];
            // Requested in seconds, reported in hundredths.
            let seconds = u32::from_ne_bytes(times[..].try_into().unwrap());
            info[8..12].copy_from_slice(&(seconds * 100).to_ne_bytes());
            route.put(RTA_CACHEINFO, &info);
        }
        if !v4 && route.metric() == 0 {
            route.put(RTA_PRIORITY, &1024_u32.to_ne_bytes());
        }
        complete(&mut route);
        let place = route.place();
        let same = self.routes.iter().position(|other| other.place() == place);
        if flags & NLM_F_EXCL != 0 && same.is_some() {
            return Err(Errno::EEXIST);
        }
        let there = self.routes.contains(&route);
        match same {
            Some(_) if there => return Err(Errno::EEXIST),
            Some(same) if flags & NLM_F_REPLACE != 0 => self.routes[same] = route,
            Some(same) if v4 && flags & NLM_F_APPEND == 0 => self.routes.insert(same, route),
            _ => self.routes.push(route),
        }
        Ok(())
    }

    /// The first route that matches a request to remove one.
    fn find_route(&self, wanted: &Entry) -> Option<usize> {
        let v4 = wanted.family() == AF_INET;
        let fits = |route: &Entry| {
            let has = |ty| {
                let given = wanted.attributes.get(&ty);
                given.is_none() || given == route.attributes.get(&ty)
            };
            route.family() == wanted.family()
                && (route.table(), route.dst()) == (wanted.table(), wanted.dst())
                && (!v4 || route.header[3] == wanted.header[3])
                && (wanted.metric() == 0 || wanted.metric() == route.metric())
                && (wanted.header[5] == 0 || wanted.header[5] == route.header[5])
                && (!v4 || wanted.header[6] == 255 || wanted.header[6] == route.header[6])
                && (!v4 || wanted.header[7] == 0 || wanted.header[7] == route.header[7])
                && [RTA_OIF, RTA_GATEWAY, RTA_PREFSRC, RTA_MULTIPATH, RTA_VIA, RTA_METRICS]
                    .into_iter()
                    .all(has)
        };
        // The routes of a destination are sorted by their metrics.
        let all = self.routes.iter().enumerate().filter(|(_, route)| fits(route));
        all.min_by_key(|(_, route)| route.metric()).map(|(at, _)| at)
    }

    fn new_rule(&mut self, mut rule: Entry, flags: u16) -> Result<(), Errno> {
        // Table 0 means the first free one.
        let table = Some(rule_table(&rule)).filter(|table| *table != 0).unwrap_or(1);
        rule.header[4] = u8::try_from(table).unwrap_or(252);
        rule.put(FRA_TABLE, &table.to_ne_bytes());
        match rule.u32(FRA_PRIORITY) {
            None => rule.put(FRA_PRIORITY, &32_765_u32.to_ne_bytes()),
            Some(0) => {
                rule.attributes.remove(&FRA_PRIORITY);
            }
            Some(_) => {}
        }
        if rule.attributes.contains_key(&FRA_FWMARK) {
            rule.attributes.entry(FRA_FWMASK).or_insert_with(|| vec![0xff; 4]);
        }
        rule.attributes.entry(FRA_SUPPRESS_PREFIXLEN).or_insert_with(|| vec![0xff; 4]);
        rule.attributes.entry(FRA_PROTOCOL).or_insert_with(|| vec![0]);
        if flags & NLM_F_EXCL != 0 && self.rules.contains(&rule) {
            return Err(Errno::EEXIST);
        }
        let before = |other: &Entry| other.u32(FRA_PRIORITY) > rule.u32(FRA_PRIORITY);
        let at = self.rules.iter().position(before).unwrap_or(self.rules.len());
        self.rules.insert(at, rule);
        Ok(())
    }

    /// A link went up or down.
    pub(super) fn turned(&mut self, port: Port) {
        let on = |entry: &Entry| entry.index() == port.index;
        if port.up {
            let all: Vec<Entry> = self.addresses.iter().filter(|a| on(a)).cloned().collect();
            all.iter().for_each(|addr| self.routes_of(addr, port));
            if !self.no_ipv6 && port.mtu >= IPV6_MIN_MTU {
                self.multicast(port.index);
            }
        } else {
            // IPv6 addresses are removed (`keep_addr_on_down` is off), and all routes but those to
            // the link's own IPv4 addresses.
            self.addresses.retain(|addr| !on(addr) || addr.family() == AF_INET);
            self.lose_routes(port.index, |route| {
                route.family() == AF_INET6 || route.header[7] != LOCAL
            });
        }
    }

    fn multicast(&mut self, index: u32) {
        let all = IpNet { addr: Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into(), prefix: 8 };
        self.made(all, TABLE_LOCAL, MULTICAST, 256, index, None);
    }

    fn lose_routes(&mut self, index: u32, which: impl Fn(&Entry) -> bool) {
        self.routes.retain(|route| {
            let links = route.links();
            links.is_empty() || links.iter().any(|oif| *oif != index) || !which(route)
        });
    }

    /// The MTU of a link changed.
    pub(super) fn narrowed(&mut self, old: u32, port: Port) {
        for (family, least) in [(AF_INET, IPV4_MIN_MTU), (AF_INET6, IPV6_MIN_MTU)] {
            if port.mtu < least {
                self.addresses.retain(|a| a.index() != port.index || a.family() != family);
                self.lose_routes(port.index, |route| route.family() == family);
            }
        }
        let comes_back = old < IPV6_MIN_MTU && port.mtu >= IPV6_MIN_MTU;
        if comes_back && port.up && !self.no_ipv6 {
            // A new `inet6_dev` has the default mode of address generation, not WireGuard's "none".
            self.made += 1;
            let own = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x1234, self.made, 0, 0xee);
            let [i0, i1, i2, i3] = port.index.to_ne_bytes();
            let header = vec![AF_INET6, 64, 0, 0, i0, i1, i2, i3];
            let mut addr = Entry { header, attributes: BTreeMap::new() };
            addr.put_ip(IFA_ADDRESS, own.into());
            self.multicast(port.index);
            self.add_addr(port, "", addr, 0).unwrap();
        }
    }

    /// A link was removed.
    pub(super) fn unplugged(&mut self, index: u32) {
        let on = |addr: &Entry| addr.index() == index;
        let (gone, left) = self.addresses.drain(..).partition(on);
        self.addresses = left;
        gone.iter().for_each(|addr| self.address_is_gone(addr));
        self.lose_routes(index, |_| true);
    }
}

/// What the kernel reports of a route beyond what was requested.
fn complete(route: &mut Entry) {
    let table = route.table();
    route.header[4] = u8::try_from(table).unwrap_or(252);
    route.put(RTA_TABLE, &table.to_ne_bytes());
    if route.header[1] == 0 {
        route.attributes.remove(&RTA_DST);
    }
    if route.family() == AF_INET6 {
        route.header[6] = 0;
        route.attributes.entry(RTA_PREF).or_insert_with(|| vec![0]);
        route.attributes.entry(RTA_CACHEINFO).or_insert_with(|| vec![0; 32]);
    } else if route.metric() == 0 {
        route.attributes.remove(&RTA_PRIORITY);
    }
}

/// Whether a request to remove a rule matches a rule.
fn like(wanted: &Entry, rule: &Entry) -> bool {
    let table = rule_table;
    wanted.header[0] == rule.header[0]
        && wanted.header[8..] == rule.header[8..]
        && (table(wanted) == 0 || table(wanted) == table(rule))
        && wanted
            .attributes
            .iter()
            .filter(|(ty, value)| {
                // A priority of 0 is not reported.
                **ty != FRA_TABLE && (**ty != FRA_PRIORITY || value[..] != [0; 4])
            })
            .all(|(ty, value)| rule.attributes.get(ty) == Some(value))
}

fn rule_table(rule: &Entry) -> u32 {
    rule.u32(FRA_TABLE).unwrap_or_else(|| rule.header[4].into())
}

/// The only message of a request.
pub(super) fn only(datagram: &[u8]) -> Message<'_> {
    Messages::new(datagram).next().unwrap().unwrap()
}
