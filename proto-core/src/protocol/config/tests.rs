//! Records, their order, and their keys.

use super::*;
use crate::protocol::message::cut;

fn net(s: &str) -> IpNet {
    s.parse().unwrap()
}

fn interface() -> Record {
    Record::Interface(Interface {
        name: Name::try_from("wg0").unwrap(),
        private_key: PrivateKey::Generate,
        listen_port: None,
        fwmark: 0,
        mtu: 1420,
    })
}

fn peer(n: u8) -> Record {
    Record::Peer(Peer {
        public_key: PublicKey([n; 32]),
        preshared_key: None,
        endpoint: None,
        persistent_keepalive: 0,
    })
}

fn check(records: &[Record]) -> Result<(), ConfigError> {
    let mut checker = Checker::default();
    for record in records {
        checker.record(record)?;
    }
    checker.finish()
}

fn rule() -> Rule {
    Rule {
        v6: true,
        priority: 0x0102_0304,
        table: 51820,
        fwmark: Some(7),
        invert: true,
        suppress_prefixlength: Some(0),
    }
}

#[test]
fn longest_records_fit() {
    let longest = [
        Record::Interface(Interface {
            name: Name::try_from("fifteen-letters").unwrap(),
            private_key: PrivateKey::Given(SecretKey::new([255; 32])),
            listen_port: Some(u16::MAX),
            fwmark: u32::MAX,
            mtu: u32::MAX,
        }),
        Record::Address(net("ffff::/128")),
        Record::Route(Route { table: u32::MAX, metric: u32::MAX, to: net("ffff::/128") }),
        Record::Rule(Rule {
            priority: u32::MAX,
            table: u32::MAX,
            fwmark: Some(u32::MAX),
            ..rule()
        }),
        Record::Peer(Peer {
            public_key: PublicKey([255; 32]),
            preshared_key: Some(SecretKey::new([255; 32])),
            endpoint: Some("[ffff::1]:65535".parse().unwrap()),
            persistent_keepalive: u16::MAX,
        }),
        Record::AllowedIp(net("ffff::/128")),
        Record::Host(Host { name: cut(&"a".repeat(253)), port: u16::MAX }),
    ];
    let mut buf = [0; MAX_RECORD];
    for record in &longest {
        let bytes = postcard::to_slice(record, &mut buf).expect("fits");
        assert_eq!(&postcard::from_bytes::<Record>(bytes).unwrap(), record);
    }
}

#[test]
fn keys_name_their_items() {
    let items = [
        Item::Address(net("10.0.0.1/24")),
        Item::Address(net("fd00::1/64")),
        Item::Route(Route { table: 254, metric: 5, to: net("10.1.0.0/16") }),
        Item::Route(Route { table: 254, metric: 5, to: net("fd01::/16") }),
        Item::Rule(Rule { v6: false, fwmark: None, suppress_prefixlength: None, ..rule() }),
        Item::Rule(rule()),
        Item::Peer(PublicKey([9; 32])),
    ];
    for item in items {
        assert_eq!(Item::from_key(&item.key()), Some(item));
    }
    assert!(items.windows(2).all(|w| w[0].key() < w[1].key()));
    assert_eq!(Item::from_key(&ItemKey([0; ITEM_KEY_LEN])), None);
    assert_eq!(Item::from_key(&ItemKey([1; ITEM_KEY_LEN])), None);
}

#[test]
fn order_and_place_are_checked() {
    let address = Record::Address(net("10.0.0.1/24"));
    let ip = Record::AllowedIp(net("10.0.0.2/32"));
    assert_eq!(check(&[interface(), address.clone(), peer(1), ip.clone(), peer(2)]), Ok(()));
    assert_eq!(check(&[]), Err(ConfigError::Interface));
    assert_eq!(check(core::slice::from_ref(&address)), Err(ConfigError::Interface));
    assert_eq!(check(&[interface(), interface()]), Err(ConfigError::Interface));
    assert_eq!(check(&[interface(), ip.clone()]), Err(ConfigError::Stray));
    assert_eq!(check(&[interface(), peer(2), peer(1)]), Err(ConfigError::Order));
    assert_eq!(check(&[interface(), peer(2), peer(2)]), Err(ConfigError::Duplicate));
    assert_eq!(check(&[interface(), peer(2), address]), Err(ConfigError::Order));
    let dirty = Record::AllowedIp(net("10.0.0.2/24"));
    assert_eq!(check(&[interface(), peer(2), dirty]), Err(ConfigError::HostBits));
    let long = Record::Address(IpNet { prefix: 33, ..net("10.0.0.1/24") });
    assert_eq!(check(&[interface(), long]), Err(ConfigError::Prefix));
}

#[test]
fn what_can_never_be_applied_is_refused() {
    let of = |change: fn(&mut Interface)| {
        let Record::Interface(mut interface) = interface() else { unreachable!() };
        change(&mut interface);
        Record::Interface(interface)
    };
    let zeros = |interface: &mut Interface| {
        interface.private_key = PrivateKey::Given(SecretKey::ZERO);
    };
    assert_eq!(check(&[of(zeros)]), Err(ConfigError::PrivateKey));
    assert_eq!(check(&[of(|interface| interface.listen_port = Some(0))]), Err(ConfigError::Port));
    let address = |text| Record::Address(net(text));
    for own in ["0.0.0.0/0", "0.0.0.0/32", "::/0", "::1/128", "ff02::1/64"] {
        assert_eq!(check(&[interface(), address(own)]), Err(ConfigError::Address), "{own}");
    }
    let two = [interface(), address("fd00::1/64"), address("fd00::1/128")];
    assert_eq!(check(&two), Err(ConfigError::SecondPrefix));
    let two = [interface(), address("10.0.0.1/24"), address("10.0.0.1/32")];
    assert_eq!(check(&two), Ok(()));
    let narrow = || of(|interface| interface.mtu = 1279);
    let route = |table, to| Record::Route(Route { table, metric: 0, to: net(to) });
    assert_eq!(check(&[narrow(), address("fd00::1/64")]), Err(ConfigError::Ipv6Mtu));
    assert_eq!(check(&[narrow(), route(254, "fd00::/64")]), Err(ConfigError::Ipv6Mtu));
    assert_eq!(check(&[narrow(), address("10.0.0.1/24"), route(254, "10.0.0.0/8")]), Ok(()));
    assert_eq!(check(&[interface(), route(0, "10.0.0.0/8")]), Err(ConfigError::Table));
    let wrong = [
        (Rule { table: 0, ..rule() }, ConfigError::Table),
        (Rule { priority: 0, ..rule() }, ConfigError::Rule),
        (Rule { fwmark: Some(0), ..rule() }, ConfigError::Rule),
        (Rule { suppress_prefixlength: Some(u32::MAX), ..rule() }, ConfigError::Rule),
    ];
    for (rule, error) in wrong {
        assert_eq!(check(&[interface(), Record::Rule(rule)]), Err(error));
    }
    // The kernel removes by family, priority and table, and by a mark only if the request has one.
    let alike = [Rule { fwmark: None, ..rule() }, rule()].map(Record::Rule);
    assert_eq!(check(&[&[interface()][..], &alike].concat()), Err(ConfigError::RulePlace));
    let other = [Rule { v6: false, ..rule() }, rule()].map(Record::Rule);
    assert_eq!(check(&[&[interface()][..], &other].concat()), Ok(()));
}

fn host(name: &str) -> Record {
    Record::Host(Host { name: HostName::try_from(name).unwrap(), port: 51_820 })
}

#[test]
fn a_host_name_stands_right_behind_its_peer() {
    let (address, ip) = (Record::Address(net("10.0.0.1/24")), Record::AllowedIp(net("::/0")));
    let vpn = || host("vpn.example.com");
    let good = [interface(), peer(1), vpn(), ip.clone(), peer(2), peer(3), vpn()];
    assert_eq!(check(&good), Ok(()));
    let wrong: [&[Record]; 4] = [
        &[interface(), vpn()],
        &[interface(), address, vpn()],
        &[interface(), peer(1), ip.clone(), vpn()],
        &[interface(), peer(1), vpn(), vpn()],
    ];
    for records in wrong {
        assert_eq!(check(records), Err(ConfigError::Host), "{records:?}");
    }
    assert_eq!(check(&[vpn()]), Err(ConfigError::Interface));
    // A host name is not an item, and has no place in their order.
    assert_eq!(check(&[interface(), peer(2), vpn(), peer(1)]), Err(ConfigError::Order));
    assert_eq!(check(&[interface(), peer(2), vpn(), peer(2)]), Err(ConfigError::Duplicate));
    let mut checker = Checker::default();
    let items = good.map(|record| checker.record(&record).unwrap().is_some());
    assert_eq!(items, [false, true, false, false, true, true, false]);
}

#[test]
fn a_host_name_is_one_that_a_resolver_takes() {
    for good in ["a", "VPN-1.example_2.com.", "2001:db8::1", &"a".repeat(253)] {
        assert_eq!(check(&[interface(), peer(1), host(good)]), Ok(()), "{good}");
    }
    for bad in ["", " ", "a b", "a/b", "a%eth0", "a\0b", "caf\u{e9}", "[::1]", "a\n"] {
        assert_eq!(check(&[interface(), peer(1), host(bad)]), Err(ConfigError::Host), "{bad:?}");
    }
}
