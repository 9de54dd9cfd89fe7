//! The routes and policy rules of wg-quick(8) for allowed IPs.
//!
//! - `Table = off`: none.
//! - `Table = N`: a route in table N for every allowed IP.
//! - Otherwise: a route in the main table for every allowed IP that no route of the interface covers already.
//!   `0.0.0.0/0` and `::/0` become a full tunnel: the route is in a table whose number is also the mark on
//!   WireGuard's packets, and two rules send all packets without that mark to the table, unless the main table has
//!   a route that is more specific than its default route. An image has a third rule, by which WireGuard's own
//!   packets pass the rules of other full tunnels.
//!
//! Not here: asking the kernel for a free table, and the firewall.

use core::net::IpAddr;

use super::setting::Table;
use crate::ip::IpNet;

/// The number of the main routing table (`RT_TABLE_MAIN`, `linux/rtnetlink.h`).
pub const MAIN_TABLE: u32 = 254;
/// The table and mark of a full tunnel without `FwMark`, if no other route uses the table.
pub const FULL_TUNNEL_TABLE: u32 = 51_820;

/// The table of the route for an allowed IP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RouteTable {
    /// No route.
    None,
    /// This table.
    Number(u32),
    /// The main table, unless a route of the interface [covers] the allowed IP.
    MainUnlessCovered,
    /// The table of the full tunnel.
    FullTunnel,
}

/// Returns the table for the route to `to` under the setting `Table`.
#[must_use]
pub const fn route_table(table: Table, to: &IpNet) -> RouteTable {
    match table {
        Table::Off => RouteTable::None,
        Table::Number(number) => RouteTable::Number(number),
        Table::Auto if to.prefix == 0 => RouteTable::FullTunnel,
        Table::Auto => RouteTable::MainUnlessCovered,
    }
}

/// Whether a route to `route` matches all of `to`.
#[must_use]
pub fn covers(route: &IpNet, to: &IpNet) -> bool {
    route.prefix <= to.prefix && route.contains(to.addr)
}

/// Whether the kernel adds a route of its own for this address of an interface: always for IPv6,
/// and for IPv4 unless the prefix is 0 or 32.
#[must_use]
pub const fn has_own_route(address: &IpNet) -> bool {
    match address.addr {
        IpAddr::V4(_) => address.prefix != 0 && address.prefix < 32,
        IpAddr::V6(_) => true,
    }
}

/// A policy rule of a full tunnel. The same for IPv4 and IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TunnelRule {
    /// The priority that the kernel chooses if the rules are the first, and are added in the order of
    /// [`tunnel_rules`] without a priority.
    pub priority: u32,
    /// The routing table to use.
    pub table: u32,
    /// The rule is for packets *without* this mark. `None`: the rule is for all packets.
    pub unless_marked: Option<u32>,
    /// Routes with a prefix of at most this length are ignored. `None` ignores no route.
    pub suppress_prefixlength: Option<u32>,
}

/// Returns the rules of a full tunnel with this table and mark, in the order in which they are added.
#[must_use]
pub const fn tunnel_rules(table: u32) -> [TunnelRule; 2] {
    [
        TunnelRule {
            priority: 32_765,
            table,
            unless_marked: Some(table),
            suppress_prefixlength: None,
        },
        TunnelRule {
            priority: 32_764,
            table: MAIN_TABLE,
            unless_marked: None,
            suppress_prefixlength: Some(0),
        },
    ]
}

/// The priority of the rule in an image that sends WireGuard's own packets, which have the mark, by the
/// main table. Without it, the rule of a second full tunnel, which is for packets without *its* mark,
/// takes the packets of the first one, and the other way round. wg-quick(8) has no such rule.
pub const OWN_PACKETS_PRIORITY: u32 = 32_763;

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn the_setting_decides_the_table() {
        for (table, to, wanted) in [
            (Table::Off, "0.0.0.0/0", RouteTable::None),
            (Table::Number(7), "0.0.0.0/0", RouteTable::Number(7)),
            (Table::Number(7), "10.0.0.0/8", RouteTable::Number(7)),
            (Table::Auto, "::/0", RouteTable::FullTunnel),
            (Table::Auto, "::/1", RouteTable::MainUnlessCovered),
        ] {
            assert_eq!(route_table(table, &net(to)), wanted, "{table:?} {to}");
        }
    }

    #[test]
    fn a_route_covers_what_is_inside_of_it() {
        for (route, to, wanted) in [
            ("10.0.0.1/24", "10.0.0.2/32", true),
            ("10.0.0.1/24", "10.0.0.0/24", true),
            ("10.0.0.1/24", "10.0.0.0/23", false),
            ("fd00::1/64", "fd00::/64", true),
            ("fd00::1/64", "10.0.0.0/8", false),
        ] {
            assert_eq!(covers(&net(route), &net(to)), wanted, "{route} {to}");
        }
        for (address, wanted) in [
            ("10.0.0.1/24", true),
            ("10.0.0.1/32", false),
            ("10.0.0.1/0", false),
            ("fd00::1/128", true),
        ] {
            assert_eq!(has_own_route(&net(address)), wanted, "{address}");
        }
    }
}
