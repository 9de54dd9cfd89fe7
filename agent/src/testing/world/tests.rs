//! The kernel in memory behaves as observed on Linux 6.18.

use super::*;
use proto_core::ip::IpNet;
use proto_core::netlink::route::{self, Addr, IfExists, Route};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// A kernel with `wg0`, which is up.
pub(crate) fn with_link() -> (World, u32) {
    let world = World::default();
    world
        .by_hand(|buf| route::link::create(buf, 1, "wg0".parse().unwrap(), "wireguard").unwrap())
        .unwrap();
    let index = world.index("wg0");
    world.by_hand(|buf| route::link::set_up(buf, 1, index, true).unwrap()).unwrap();
    (world, index)
}

impl World {
    pub(crate) fn add(&self, index: u32, text: &str) -> Result<(), Errno> {
        self.by_hand(|buf| Addr::new(index, net(text)).add(buf, 1, IfExists::Fail).unwrap())
    }

    fn take(&self, index: u32, text: &str) -> Result<(), Errno> {
        self.by_hand(|buf| Addr::new(index, net(text)).delete(buf, 1).unwrap())
    }

    fn route(&self, index: u32, text: &str) -> Result<(), Errno> {
        let route = Route::device(net(text), index, 254, 4);
        self.by_hand(|buf| route.add(buf, 1, IfExists::Fail).unwrap())
    }

    fn mtu(&self, index: u32, mtu: u32) {
        self.by_hand(|buf| route::link::set_mtu(buf, 1, index, mtu).unwrap()).unwrap();
    }

    /// Destinations, with the table where it is not the main one.
    fn routes(&self) -> Vec<String> {
        let lines = self.seen().others;
        let routes = lines.iter().filter_map(|line| line.split_once(" route "));
        let of = |line: &str| line.split(" metric").next().unwrap().replace(" table 254", "");
        routes.map(|(_, line)| of(line)).collect()
    }
}

#[test]
fn the_last_ipv4_address_takes_all_ipv4_routes_along() {
    let (world, index) = with_link();
    world.add(index, "10.0.0.1/24").unwrap();
    world.add(index, "fd00::1/64").unwrap();
    world.route(index, "10.9.0.0/16").unwrap();
    world.route(index, "fd09::/64").unwrap();
    let all = [
        "10.0.0.0/24",
        "10.0.0.1/32 table 255",
        "10.0.0.255/32 table 255",
        "10.9.0.0/16",
        "fd00::/64",
        "fd00::1/128 table 255",
        "fd09::/64",
    ];
    assert_eq!(world.routes(), all);
    assert_eq!(world.route(index, "10.9.0.0/16"), Err(Errno::EEXIST));
    world.add(index, "10.5.0.1/32").unwrap();
    world.take(index, "10.0.0.1/24").unwrap();
    assert_eq!(world.routes()[..2], ["10.5.0.1/32 table 255", "10.9.0.0/16"]);
    world.take(index, "10.5.0.1/32").unwrap();
    assert_eq!(world.routes(), all[4..]);
    assert_eq!(world.take(index, "10.5.0.1/32"), Err(Errno::EADDRNOTAVAIL));
    world.take(index, "fd00::1/64").unwrap();
    assert_eq!(world.routes(), ["fd09::/64"]);
    world.route(index, "10.9.0.0/16").unwrap();
}

#[test]
fn a_first_address_takes_its_secondaries_along() {
    let (world, index) = with_link();
    for text in ["10.0.0.1/24", "10.0.0.2/24", "10.5.0.1/24"] {
        world.add(index, text).unwrap();
    }
    assert_eq!(world.add(index, "10.0.0.2/24"), Err(Errno::EEXIST));
    world.add(index, "10.0.0.2/25").unwrap();
    world.take(index, "10.0.0.1/24").unwrap();
    let left = world.seen().others;
    let left: Vec<_> = left.iter().filter(|line| line.contains(" address ")).collect();
    assert!(left.len() == 2 && left[0].contains("10.0.0.2/25") && left[1].contains("10.5.0.1/24"));
}

#[test]
fn a_narrow_mtu_takes_ipv6_away_and_a_wide_one_brings_an_address_of_its_own() {
    let (world, index) = with_link();
    world.add(index, "fd00::1/64").unwrap();
    world.route(index, "fd09::/64").unwrap();
    world.mtu(index, 1279);
    assert_eq!(world.routes(), [""; 0]);
    assert_eq!(world.add(index, "fd00::1/64"), Err(Errno::EINVAL));
    assert_eq!(world.route(index, "fd09::/64"), Err(Errno::ENODEV));
    world.mtu(index, 1280);
    let state = world.0.borrow();
    assert!(state.ip.addresses[0].text("address", &|_| String::new()).contains("fe80::"));
    assert_eq!((state.ip.addresses.len(), state.ip.routes.len()), (1, 3));
}

#[test]
fn a_link_that_goes_down_loses_its_routes_and_ipv6() {
    let (world, index) = with_link();
    world.add(index, "10.0.0.1/24").unwrap();
    world.add(index, "fd00::1/64").unwrap();
    world.route(index, "10.9.0.0/16").unwrap();
    let turn = |up| world.by_hand(|buf| route::link::set_up(buf, 1, index, up).unwrap()).unwrap();
    turn(false);
    assert_eq!(world.routes(), ["10.0.0.1/32 table 255"]);
    assert_eq!(world.route(index, "10.9.0.0/16"), Err(Errno(100)));
    turn(true);
    assert_eq!(world.routes()[0], "10.0.0.0/24");
    assert_eq!(world.routes().len(), 3);
}

#[test]
fn a_percent_d_in_a_name_is_the_next_number() {
    let world = World::default();
    // A name that the parser refuses.
    let made = || world.0.borrow_mut().make_link("wg%d", 0, attributes());
    fn attributes() -> Attributes<'static> {
        // IFLA_LINKINFO with IFLA_INFO_KIND "wireguard".
        static INFO: [u8; 20] = [
            20, 0, 18, 0, 14, 0, 1, 0, b'w', b'i', b'r', b'e', b'g', b'u', b'a', b'r', b'd', 0, 0,
            0,
        ];
        Attributes::new(&INFO)
    }
    if cfg!(target_endian = "big") {
        return;
    }
    made().unwrap();
    made().unwrap();
    assert_eq!(world.0.borrow().links.keys().collect::<Vec<_>>(), ["wg0", "wg1"]);
}

#[test]
fn without_ipv6_its_lists_are_those_of_all_families() {
    let (world, index) = with_link();
    world.add(index, "10.0.0.1/24").unwrap();
    world.without_ipv6(false);
    assert_eq!(world.add(index, "fd00::1/64"), Err(Errno::EOPNOTSUPP));
    assert_eq!(world.route(index, "fd09::/64"), Err(Errno::EOPNOTSUPP));
    let mut buf = [0; 64];
    let list = only(route::addr::list(&mut buf, 1, 10, None).unwrap());
    assert_eq!(world.0.borrow().ip.list(&list).unwrap().1.len(), 1);
    let list = only(route::rule::list(&mut buf, 1, 10).unwrap());
    assert_eq!(world.0.borrow().ip.list(&list), Err(Errno(97)));
}
