//! Addresses, routes and rules as Linux keeps them: what a change of an address, of a link or of an
//! MTU removes or adds. Checked on Linux 6.18; the names are those of `net/ipv4` and `net/ipv6`.

mod addresses;
mod entry;
mod routes;

use std::collections::{BTreeMap, BTreeSet};

use core::net::Ipv6Addr;
use proto_core::ip::{AF_INET, AF_INET6, IpNet};
use proto_core::netlink::{Errno, Message, Messages};

pub(crate) use entry::Entry;
pub(super) use entry::is_kernels_own;
use entry::{
    FRA_FWMARK, FRA_SUPPRESS_PREFIXLEN, IFA_ADDRESS, LOCAL, MULTICAST, TABLE_LOCAL, rule_table,
};
use proto_core::conf::routing::MAIN_TABLE;
use routes::like;

pub(super) const NEW_ADDR: u16 = 20;
pub(super) const DEL_ADDR: u16 = 21;
pub(super) const GET_ADDR: u16 = 22;
pub(super) const NEW_ROUTE: u16 = 24;
pub(super) const DEL_ROUTE: u16 = 25;
pub(super) const GET_ROUTE: u16 = 26;
pub(super) const NEW_RULE: u16 = 32;
pub(super) const DEL_RULE: u16 = 33;
pub(super) const GET_RULE: u16 = 34;

/// A rule is for packets that do not match (linux/fib_rules.h).
const FIB_RULE_INVERT: u8 = 2;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_APPEND: u16 = 0x800;

/// The smallest MTU for IPv4.
const IPV4_MIN_MTU: u32 = 68;
/// The smallest MTU for IPv6.
const IPV6_MIN_MTU: u32 = 1280;

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

    /// The table of the default route that an IPv4 packet with this mark takes. The main table has
    /// one.
    pub(super) fn way(&self, mark: u32) -> u32 {
        let mut rules = self.rules.iter().filter(|rule| rule.header[0] == AF_INET);
        let has_default = |table| {
            let in_table = self.routes.iter().filter(|route| route.table() == table);
            table == MAIN_TABLE || in_table.clone().any(|route| route.dst().prefix == 0)
        };
        let taken = rules.find(|rule| {
            let inverted = rule.header[8] & FIB_RULE_INVERT != 0;
            let matches = rule.u32(FRA_FWMARK).is_none_or(|wanted| wanted == mark) != inverted;
            let suppresses = rule.u32(FRA_SUPPRESS_PREFIXLEN).is_some_and(|len| len != u32::MAX);
            matches && !suppresses && has_default(rule_table(rule))
        });
        taken.map_or(MAIN_TABLE, rule_table)
    }

    /// The entries of a list of this kind, or the error that ends it.
    pub(super) fn list(&self, message: &Message<'_>) -> Result<(u16, Vec<&Entry>), Errno> {
        let family = message.payload[0];
        let (ty, all) = match message.ty {
            GET_ADDR => (NEW_ADDR, &self.addresses),
            GET_ROUTE if !self.has_table(&Entry::read::<12>(message)) => return Err(Errno::ENOENT),
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

    /// Whether there is the table of a request. IPv4 has no table before its first route; IPv6 has
    /// the tables `main` and `local` from the start.
    fn has_table(&self, request: &Entry) -> bool {
        let (family, table) = (request.family(), request.table());
        table == 0
            || family == AF_INET6 && (self.no_ipv6 || matches!(table, 254 | 255))
            || self.routes.iter().any(|route| route.family() == family && route.table() == table)
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

/// The only message of a request.
pub(super) fn only(datagram: &[u8]) -> Message<'_> {
    Messages::new(datagram).next().unwrap().unwrap()
}
