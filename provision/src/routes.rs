//! The routes and policy rules of a configuration, each with its place in the file.
//! `proto_core::conf::routing` derives them, as for the router's `wg-quick`.
//!
//! Not here: whether the table of a full tunnel is free, which only the router knows.

use std::convert::Infallible;

use proto_core::ip::IpNet;
use proto_core::protocol::config::Item;
use proto_core::protocol::draft;

use crate::conf::{Config, Place, Table};

/// Routes and rules, and the mark that goes with them.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    /// The routes and the rules, each with the allowed IP that it is for.
    pub items: Vec<(Item, Place)>,
    /// The mark on the interface's packets, 0 for none.
    pub fwmark: u32,
}

/// Derives the routing of a configuration.
#[must_use]
pub fn derive(config: &Config) -> Routing {
    let mut fwmark = config.fwmark.as_ref().map_or(0, |at| at.value);
    let table = config.table.as_ref().map_or(Table::Auto, |at| at.value);
    let addresses: Vec<IpNet> = config.addresses.iter().map(|at| at.value).collect();
    let mut items = Vec::new();
    for to in config.peers.iter().flat_map(|peer| &peer.allowed_ips) {
        let mut take = |item| {
            items.push((item, to.place.clone()));
            Ok(())
        };
        let Ok::<(), Infallible>(()) =
            draft::route(to.value, table, &addresses, &mut fwmark, &mut take);
    }
    Routing { items, fwmark }
}

#[cfg(test)]
mod tests {
    use proto_core::protocol::config::{Route, Rule};

    use super::*;
    use crate::conf::{Source, parse};

    fn routing(interface: &str, allowed: &str) -> Routing {
        let peer = "PublicKey = AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
        let text = format!("[Interface]\n{interface}\n[Peer]\n{peer}\nAllowedIPs = {allowed}\n");
        let (config, problems) = parse(&Source::new("t", text.as_bytes()).0);
        assert!(!problems.iter().any(|problem| problem.is_error()), "{problems:?}");
        derive(&config)
    }

    fn routes(interface: &str, allowed: &str) -> Vec<String> {
        let routing = routing(interface, allowed);
        routing.routes().map(|r| format!("{} {}", r.to, r.table)).collect()
    }

    impl Routing {
        fn routes(&self) -> impl Iterator<Item = Route> {
            self.items.iter().filter_map(|(item, _)| match item {
                Item::Route(route) => Some(*route),
                _ => None,
            })
        }

        fn rules(&self) -> Vec<Rule> {
            let rule = |(item, _): &(Item, Place)| match item {
                Item::Rule(rule) => Some(*rule),
                _ => None,
            };
            let mut rules: Vec<Rule> = self.items.iter().filter_map(rule).collect();
            rules.sort();
            rules
        }
    }

    #[test]
    fn allowed_ips_become_routes_unless_the_interface_is_there_already() {
        let address = "Address = 10.0.0.1/24, 10.9.9.9/32, fd00::1/64, fd01::1/128";
        assert_eq!(
            routes(address, "10.0.0.2/32, 10.0.0.0/24, 10.0.0.0/23, 10.9.9.9/32"),
            ["10.0.0.0/23 254", "10.9.9.9/32 254"]
        );
        assert_eq!(
            routes(address, "fd00::/64, fd00::/63, fd01::1/128, fd01::2/128"),
            ["fd00::/63 254", "fd01::2/128 254"]
        );
    }

    #[test]
    fn the_table_is_obeyed() {
        assert!(routes("Table = off", "10.0.0.0/8, 0.0.0.0/0").is_empty());
        let numbered = routing("Table = 77\nAddress = 10.0.0.1/24", "10.0.0.2/32, 0.0.0.0/0");
        let tables: Vec<u32> = numbered.routes().map(|route| route.table).collect();
        assert_eq!(tables, [77, 77]);
        assert!(numbered.rules().is_empty());
        assert_eq!(numbered.fwmark, 0);
    }

    #[test]
    fn a_default_route_is_a_full_tunnel_of_its_family() {
        let tunnel = routing("", "0.0.0.0/0, 10.0.0.0/8");
        assert_eq!(tunnel.fwmark, 51_820);
        let tables: Vec<u32> = tunnel.routes().map(|route| route.table).collect();
        assert_eq!(tables, [51_820, 254]);
        let rules = tunnel.rules();
        assert!(rules.iter().all(|rule| !rule.v6));
        let [own, main, all] = rules[..] else { panic!("{rules:?}") };
        assert_eq!((own.priority, own.table, own.fwmark), (32_763, 254, Some(51_820)));
        assert_eq!((main.priority, main.table, main.suppress_prefixlength), (32_764, 254, Some(0)));
        assert_eq!((all.priority, all.table, all.fwmark), (32_765, 51_820, Some(51_820)));
        assert_eq!([own, main, all].map(|rule| rule.invert), [false, false, true]);
        let both = routing("FwMark = 0x10", "0.0.0.0/0, ::/0");
        assert_eq!((both.fwmark, both.rules().len()), (16, 6));
        assert_eq!(routing("FwMark = off", "::/0").fwmark, 51_820);
    }
}
