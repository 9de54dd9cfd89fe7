//! Notifications: the kernel announces changes of links, addresses, routes and rules to the members of multicast
//! groups, no matter which program made the change.
//!
//! Bind a `NETLINK_ROUTE` socket to [`GROUPS`], or to the groups you need, and pass every datagram
//! to [`Notifications`]. Notifications can be lost: after `ENOBUFS` from the socket, and after
//! [`Lost`], read the tables again.
//!
//! Not here: notifications about neighbours, multicast routes and bridge ports, which are skipped.

use core::fmt;

use super::{AF_UNSPEC, Addr, Link, Route, Rule, addr, link, route, rule};
use crate::netlink::NLMSG_OVERRUN;
use crate::netlink::read::{Message, Messages, ParseError};

// linux/rtnetlink.h, `enum rtnetlink_groups`, as bits of `nl_groups`.

/// Links (`RTNLGRP_LINK`).
pub const GROUP_LINK: u32 = 1;
/// IPv4 addresses (`RTNLGRP_IPV4_IFADDR`).
pub const GROUP_IPV4_ADDR: u32 = 1 << 4;
/// IPv4 routes (`RTNLGRP_IPV4_ROUTE`).
pub const GROUP_IPV4_ROUTE: u32 = 1 << 6;
/// IPv4 rules (`RTNLGRP_IPV4_RULE`).
pub const GROUP_IPV4_RULE: u32 = 1 << 7;
/// IPv6 addresses (`RTNLGRP_IPV6_IFADDR`).
pub const GROUP_IPV6_ADDR: u32 = 1 << 8;
/// IPv6 routes (`RTNLGRP_IPV6_ROUTE`).
pub const GROUP_IPV6_ROUTE: u32 = 1 << 10;
/// IPv6 rules (`RTNLGRP_IPV6_RULE`).
pub const GROUP_IPV6_RULE: u32 = 1 << 18;

/// All groups whose notifications this module reads: the `nl_groups` of the address to bind to.
pub const GROUPS: u32 = GROUP_LINK
    | GROUP_IPV4_ADDR
    | GROUP_IPV4_ROUTE
    | GROUP_IPV4_RULE
    | GROUP_IPV6_ADDR
    | GROUP_IPV6_ROUTE
    | GROUP_IPV6_RULE;

/// `RTM_F_CLONED`: the route is a cache entry and not in a table.
const RTM_F_CLONED: u32 = 0x200;

/// The object of a notification.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Object<'b> {
    /// A link.
    Link(Link<'b>),
    /// An address.
    Addr(Addr),
    /// A route.
    Route(Route),
    /// A policy rule.
    Rule(Rule),
}

/// One change of the kernel's tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Notification<'b> {
    /// `true` if the object was removed, `false` if it is new or has changed.
    pub deleted: bool,
    /// The object: after the change, or its last state before the removal.
    pub object: Object<'b>,
    /// Port ID of the socket whose request made the change; 0 if the kernel made it by itself.
    pub port: u32,
}

impl<'b> Notification<'b> {
    /// Parses a message. `None` for messages that are not a change of a link, an address, a unicast route or a rule.
    ///
    /// # Errors
    /// [`ParseError`] for a message of a known type whose content cannot be parsed.
    pub fn parse(message: &Message<'b>) -> Result<Option<Self>, ParseError> {
        let family = message.payload.first().copied().unwrap_or(AF_UNSPEC);
        let (deleted, object) = match message.ty {
            // A bridge port that leaves its bridge is a deleted link of the family AF_BRIDGE.
            link::RTM_NEWLINK | link::RTM_DELLINK if family == AF_UNSPEC => {
                (message.ty == link::RTM_DELLINK, Link::read(message).map(Object::Link))
            }
            addr::RTM_NEWADDR | addr::RTM_DELADDR => {
                (message.ty == addr::RTM_DELADDR, Addr::read(message).map(Object::Addr))
            }
            route::RTM_NEWROUTE | route::RTM_DELROUTE if !is_cached(message) => {
                (message.ty == route::RTM_DELROUTE, Route::read(message).map(Object::Route))
            }
            rule::RTM_NEWRULE | rule::RTM_DELRULE => {
                (message.ty == rule::RTM_DELRULE, Rule::read(message).map(Object::Rule))
            }
            _ => return Ok(None),
        };
        match object {
            Ok(object) => Ok(Some(Self { deleted, object, port: message.port })),
            Err(ParseError::Family(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_cached(message: &Message<'_>) -> bool {
    let flags = message.payload.get(8..).and_then(|rest| rest.first_chunk());
    flags.is_some_and(|flags| u32::from_ne_bytes(*flags) & RTM_F_CLONED != 0)
}

/// Notifications were lost, or a datagram cannot be parsed: read the tables again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the kernel's notifications are incomplete")
    }
}

impl core::error::Error for Lost {}

/// The notifications in one datagram.
#[derive(Clone, Debug)]
pub struct Notifications<'b> {
    messages: Messages<'b>,
    lost: bool,
}

impl<'b> Notifications<'b> {
    /// Reads a datagram: the received bytes, its full length (`MSG_TRUNC`), and the port ID of its
    /// sender. A datagram that is not the kernel's (port 0) has no notifications.
    #[must_use]
    pub fn new(bytes: &'b [u8], full_len: usize, sender: u32) -> Self {
        let messages = Messages::new(if sender == 0 { bytes } else { &[] });
        Self { messages, lost: sender == 0 && full_len > bytes.len() }
    }
}

impl<'b> Iterator for Notifications<'b> {
    type Item = Result<Notification<'b>, Lost>;

    fn next(&mut self) -> Option<Self::Item> {
        // The last message of a truncated datagram may be cut, so none of them is used.
        if core::mem::take(&mut self.lost) {
            self.messages = Messages::new(&[]);
            return Some(Err(Lost));
        }
        loop {
            return match self.messages.next()? {
                Ok(message) if message.ty == NLMSG_OVERRUN => Some(Err(Lost)),
                Ok(message) => match Notification::parse(&message) {
                    Ok(None) => continue,
                    Ok(Some(notification)) => Some(Ok(notification)),
                    Err(_) => Some(Err(Lost)),
                },
                Err(_) => {
                    self.messages = Messages::new(&[]);
                    Some(Err(Lost))
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::{AF_INET, AF_INET6, IpNet};
    use crate::netlink::fixture::datagram;
    use crate::netlink::route::IfExists;

    /// A request in the form of the kernel's notification: with the type `ty`.
    fn announced(request: &[u8], ty: u16) -> Vec<u8> {
        let mut bytes = request.to_vec();
        bytes[4..6].copy_from_slice(&ty.to_ne_bytes());
        bytes
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn read(bytes: &[u8]) -> Vec<Result<Notification<'_>, Lost>> {
        Notifications::new(bytes, bytes.len(), 0).collect()
    }

    #[test]
    fn each_kind_comes_and_goes() {
        let mut buf = [0; 512];
        let address = Addr::new(3, net("10.0.0.1/24"));
        let route = Route::device(net("fd00::/64"), 3, 254, 4);
        let mut rule = Rule::new(AF_INET6, 51820);
        rule.priority = Some(7);
        let link = datagram(|w| {
            w.message(16, 0, 0, 0)?;
            w.header([0, 3, 1, 0_u32].map(u32::to_ne_bytes).as_flattened())?;
            w.string(3, "wg0")
        });
        let requests = [
            (addr_bytes(&address, &mut buf), [20, 21], Object::Addr(address)),
            (
                route.add(&mut buf, 0, IfExists::Fail).unwrap().to_vec(),
                [24, 25],
                Object::Route(route),
            ),
            (rule.add(&mut buf, 0).unwrap().to_vec(), [32, 33], Object::Rule(rule)),
        ];
        for (bytes, types, object) in requests {
            for (deleted, ty) in [false, true].into_iter().zip(types) {
                let bytes = announced(&bytes, ty);
                let [Ok(found)] = read(&bytes)[..] else { panic!("{ty}") };
                assert_eq!((found.deleted, found.object), (deleted, object), "{ty}");
            }
        }
        for (deleted, ty) in [(false, 16), (true, 17)] {
            let bytes = announced(&link, ty);
            let [Ok(found)] = read(&bytes)[..] else { panic!("{ty}") };
            let Object::Link(link) = found.object else { panic!("{found:?}") };
            assert_eq!((found.deleted, link.index, &*link.name), (deleted, 3, "wg0"));
        }
    }

    fn addr_bytes(address: &Addr, buf: &mut [u8]) -> Vec<u8> {
        address.add(buf, 0, IfExists::Fail).unwrap().to_vec()
    }

    /// A bridge port that leaves its bridge is announced as a deleted link, and so the link was
    /// reported as removed.
    #[test]
    fn a_bridge_port_is_not_a_deleted_link() {
        let bytes = datagram(|w| {
            w.message(17, 0, 0, 0)?;
            w.header(&[7, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
            w.string(3, "lan1")
        });
        assert!(read(&bytes).is_empty());
    }

    #[test]
    fn what_is_not_in_a_table_is_passed_over() {
        let route = |family: u8, flags: u32| {
            datagram(|w| {
                w.message(25, 0, 0, 0)?;
                let mut header = [family, 0, 0, 0, 254, 2, 0, 1, 0, 0, 0, 0];
                header[8..].copy_from_slice(&flags.to_ne_bytes());
                w.header(&header)?;
                w.u32(4, 3)
            })
        };
        assert_eq!(read(&route(AF_INET, 0)).len(), 1);
        assert!(read(&route(AF_INET, RTM_F_CLONED)).is_empty());
        // RTNL_FAMILY_IPMR
        assert!(read(&route(128, 0)).is_empty());
        let neighbour = datagram(|w| w.message(28, 0, 0, 0));
        assert!(read(&neighbour).is_empty());
    }

    #[test]
    fn what_is_lost_is_said_and_what_is_behind_it_still_read() {
        let mut buf = [0; 512];
        let good = addr_bytes(&Addr::new(3, net("10.0.0.1/24")), &mut buf);
        let overrun = datagram(|w| w.message(NLMSG_OVERRUN, 0, 0, 0));
        let bad = datagram(|w| {
            w.message(20, 0, 0, 0)?;
            w.header(&[AF_INET, 24, 0, 0, 1, 0, 0, 0])
        });
        for lost in [overrun, bad] {
            let bytes = [lost, good.clone()].concat();
            let found = read(&bytes);
            assert!(matches!(found[..], [Err(Lost), Ok(_)]), "{found:?}");
        }
        let cut = &good[..good.len() - 4];
        assert_eq!(read(cut), [Err(Lost)]);
        assert_eq!(Notifications::new(&good, good.len() + 1, 0).collect::<Vec<_>>(), [Err(Lost)]);
        // Other programs can send to a group too.
        assert_eq!(Notifications::new(&good, good.len(), 77).count(), 0);
    }

    /// Bytes written by hand, in the order of `inet_fill_ifaddr`: `ip addr del 10.9.0.1/24 dev lo`.
    #[test]
    fn a_deleted_address_byte_by_byte() {
        let halves = |low: u16, high: u16| {
            let ([l0, l1], [h0, h1]) = (low.to_ne_bytes(), high.to_ne_bytes());
            [l0, l1, h0, h1]
        };
        let bytes = [
            // nlmsghdr: length, type and flags, sequence number, port
            48_u32.to_ne_bytes(),
            halves(21, 0),
            9_u32.to_ne_bytes(),
            4711_u32.to_ne_bytes(),
            // ifaddrmsg: family, prefix, flags, scope; index
            [2, 24, 128, 0],
            1_u32.to_ne_bytes(),
            // IFA_ADDRESS, IFA_LOCAL, IFA_LABEL
            halves(8, 1),
            [10, 9, 0, 1],
            halves(8, 2),
            [10, 9, 0, 1],
            halves(7, 3),
            *b"lo\0\0",
        ];
        let [Ok(found)] = read(bytes.as_flattened())[..] else { panic!() };
        let Object::Addr(address) = found.object else { panic!("{found:?}") };
        assert_eq!((found.deleted, found.port), (true, 4711));
        assert_eq!((address.index, address.net), (1, net("10.9.0.1/24")));
    }
}
