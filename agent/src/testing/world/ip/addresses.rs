//! Addresses, and the routes that come and go with them.

use std::collections::BTreeMap;

use core::net::{IpAddr, Ipv4Addr};
use proto_core::ip::{AF_INET, AF_INET6, IpNet};
use proto_core::netlink::Errno;

use super::entry::*;
use super::routes::complete;
use super::{IPV4_MIN_MTU, IPV6_MIN_MTU, Ip, NLM_F_REPLACE, Port};

impl Ip {
    pub(super) fn add_addr(
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
    pub(super) fn routes_of(&mut self, addr: &Entry, port: Port) {
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
    pub(super) fn made(
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

    pub(super) fn del_addr(
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
    pub(super) fn address_is_gone(&mut self, gone: &Entry) {
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
}
