//! Routes and rules that are requested.

use proto_core::ip::{AF_INET, AF_INET6, IpNet};
use proto_core::netlink::{Errno, Message};

use super::entry::*;
use super::{IPV4_MIN_MTU, IPV6_MIN_MTU, Ip, NLM_F_APPEND, NLM_F_EXCL, NLM_F_REPLACE, Port};

impl Ip {
    pub(super) fn new_route(
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
        // Most routes differ in their destination, and a large configuration has thousands.
        let (place, to) = (route.place(), route.attributes.get(&RTA_DST));
        let same = self.routes.iter().position(|other| {
            other.header[1] == route.header[1]
                && other.attributes.get(&RTA_DST) == to
                && other.place() == place
        });
        if flags & NLM_F_EXCL != 0 && same.is_some() {
            return Err(Errno::EEXIST);
        }
        match same {
            Some(_) if self.routes.contains(&route) => return Err(Errno::EEXIST),
            Some(same) if flags & NLM_F_REPLACE != 0 => self.routes[same] = route,
            Some(same) if v4 && flags & NLM_F_APPEND == 0 => self.routes.insert(same, route),
            _ => self.routes.push(route),
        }
        Ok(())
    }

    /// The route to one address, in the main table.
    pub(in crate::testing::world) fn route_to(
        &self,
        message: &Message<'_>,
    ) -> Result<&Entry, Errno> {
        let wanted = Entry::read::<12>(message);
        if self.no_ipv6 && wanted.family() == AF_INET6 {
            return Err(Errno::EOPNOTSUPP);
        }
        let to = wanted.dst().addr;
        let fits = |route: &&Entry| {
            let IpNet { addr, prefix } = route.dst();
            route.family() == wanted.family()
                && route.table() == TABLE_MAIN
                && IpNet { addr: to, prefix }.masked().addr == addr
        };
        let best = |route: &&Entry| (route.dst().prefix, u32::MAX - route.metric());
        self.routes.iter().filter(fits).max_by_key(best).ok_or(Errno::ENETUNREACH)
    }

    /// The first route that matches a request to remove one.
    pub(super) fn find_route(&self, wanted: &Entry) -> Option<usize> {
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

    pub(super) fn new_rule(&mut self, mut rule: Entry, flags: u16) -> Result<(), Errno> {
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
}

/// What the kernel reports of a route beyond what was requested.
pub(super) fn complete(route: &mut Entry) {
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
pub(super) fn like(wanted: &Entry, rule: &Entry) -> bool {
    let table = rule_table;
    let (family, action) = (wanted.header[0], wanted.header[7]);
    family == rule.header[0]
        // The flags, such as `not`, are not compared (`rule_find`).
        && (action == 0 || action == rule.header[7])
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
