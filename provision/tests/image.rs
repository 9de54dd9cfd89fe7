//! Every correct file becomes an image that a router accepts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use postwire::conf::{self, Problem, Source};
use postwire::image::Image;
use proptest::prelude::*;
use proto_core::ip::IpNet;
use proto_core::key::PublicKey;
use proto_core::protocol::codec;
use proto_core::protocol::config::{Checker, Host, Item, Record};
use proto_core::protocol::endpoint::PeerEndpoint;
use proto_core::protocol::message::Subject;

fn image(text: &str) -> Image {
    let (source, _) = Source::new("wg0.conf", text.as_bytes());
    let (config, problems) = conf::parse(&source);
    let errors: Vec<_> = problems.iter().filter(|problem| Problem::is_error(problem)).collect();
    assert!(errors.is_empty(), "{text}\n{errors:?}");
    Image::new(&postwire::name::interface("wg0").unwrap(), config).unwrap()
}

fn records(mut bytes: &[u8]) -> Vec<(usize, Record)> {
    let (whole, mut found) = (bytes.len(), Vec::new());
    while !bytes.is_empty() {
        let at = whole - bytes.len();
        let (record, rest) = codec::record(bytes).unwrap();
        found.push((at, record));
        bytes = rest;
    }
    found
}

fn net() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        (any::<u32>(), 0..=32_u8)
            .prop_map(|(a, p)| IpNet::new(std::net::Ipv4Addr::from(a).into(), p)),
        (any::<u128>(), 0..=128_u8)
            .prop_map(|(a, p)| IpNet::new(std::net::Ipv6Addr::from(a).into(), p)),
    ]
    .prop_map(Option::unwrap)
}

#[derive(Debug, Clone)]
struct File {
    addresses: BTreeMap<std::net::IpAddr, u8>,
    /// Peers in the order of the file, each with its allowed IPs.
    peers: Vec<([u8; 32], Vec<IpNet>)>,
    table: Option<&'static str>,
    mark: Option<u32>,
}

fn file() -> impl Strategy<Value = File> {
    let peers =
        prop::collection::vec((any::<[u8; 32]>(), prop::collection::vec(net(), 0..8)), 0..12);
    let table = prop_oneof![Just(None), Just(Some("off")), Just(Some("auto")), Just(Some("99"))];
    (prop::collection::vec(net(), 0..6), peers, table, any::<Option<u32>>()).prop_map(
        |(addresses, peers, table, mark)| {
            let (mut keys, mut networks) = (BTreeSet::new(), BTreeSet::new());
            let mut kept = Vec::new();
            for (key, allowed) in peers {
                if keys.insert(key) {
                    // The same network in two peers would be an error.
                    let mut own: Vec<IpNet> =
                        allowed.into_iter().filter(|net| networks.insert(net.masked())).collect();
                    // Twice in one peer is allowed.
                    own.extend(own.first().copied());
                    kept.push((key, own));
                }
            }
            // The kernel, or IPv6, does not accept these as an address of an interface.
            let useless =
                |ip: std::net::IpAddr| ip.is_unspecified() || ip.is_loopback() || ip.is_multicast();
            let kept_nets = addresses.into_iter().filter(|net: &IpNet| !useless(net.addr));
            let addresses = kept_nets.map(|net| (net.addr, net.prefix)).collect();
            File { addresses, peers: kept, table, mark }
        },
    )
}

impl File {
    fn text(&self) -> String {
        let mut text = String::from("[Interface]\nPrivateKey = generate\n");
        for (address, prefix) in &self.addresses {
            let _ = writeln!(text, "Address = {address}/{prefix}");
        }
        for (key, value) in
            [("Table", self.table.map(String::from)), ("FwMark", self.mark.map(|m| m.to_string()))]
        {
            if let Some(value) = value {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        for (key, allowed) in &self.peers {
            let _ = writeln!(text, "[Peer]\nPublicKey = {}", PublicKey(*key));
            let nets: Vec<String> = allowed.iter().map(IpNet::to_string).collect();
            if !nets.is_empty() {
                let _ = writeln!(text, "AllowedIPs = {}", nets.join(", "));
            }
        }
        text
    }
}

proptest! {
    #[test]
    fn any_good_file_becomes_an_image_that_passes_the_check(file in file()) {
        let text = file.text();
        let image = image(&text);
        let mut checker = Checker::default();
        let mut last = None;
        let mut allowed: BTreeMap<PublicKey, Vec<IpNet>> = BTreeMap::new();
        let mut peer = None;
        for (at, record) in records(&image.bytes) {
            if let Some(item) = checker.record(&record).unwrap() {
                prop_assert!(last.replace(item.key()) < Some(item.key()));
            }
            if let Record::Peer(found) = &record {
                peer = Some(found.public_key);
                allowed.insert(found.public_key, Vec::new());
                // An offset inside a record leads to its line too.
                let at = u32::try_from(at + 1).unwrap();
                let place = image.place(&Subject::Offset(at)).unwrap();
                let line = text.lines().nth(place.line - 1).unwrap();
                prop_assert_eq!(line, format!("PublicKey = {}", found.public_key));
            }
            if let Record::AllowedIp(net) = &record {
                allowed.get_mut(&peer.unwrap()).unwrap().push(*net);
            }
        }
        checker.finish().unwrap();
        prop_assert_eq!(allowed.len(), file.peers.len());
        for (key, nets) in &file.peers {
            let wanted: BTreeSet<IpNet> = nets.iter().map(IpNet::masked).collect();
            prop_assert_eq!(&allowed[&PublicKey(*key)], &wanted.into_iter().collect::<Vec<_>>());
        }
        prop_assert_eq!(image.counts.addresses, file.addresses.len());
    }

    #[test]
    fn no_text_panics_or_shows_what_it_should_not(text in "(\\[?(Interface|Peer|[a-z]{0,3})\\]?|PrivateKey|AllowedIPs|Address|Endpoint|=|,|#|\n|\r|\t| |[0-9./:+%-]{0,6}|\\PC){0,60}") {
        let (source, _) = Source::new("t", text.as_bytes());
        let (_, problems) = conf::parse(&source);
        for problem in problems {
            let shown = problem.render(&source);
            prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        }
    }
}

#[test]
fn the_interface_has_what_the_file_says_and_good_defaults() {
    let interface = |text: &str| match records(&image(text).bytes).swap_remove(0).1 {
        Record::Interface(interface) => interface,
        other => panic!("{other:?}"),
    };
    let plain = interface("[Interface]\nPrivateKey = generate\nListenPort = 0\n");
    assert_eq!((plain.mtu, plain.fwmark, plain.listen_port), (1_420, 0, None));
    let full =
        interface("[Interface]\nPrivateKey = generate\nListenPort = 7\nMTU = 1300\nFwMark = 9\n");
    assert_eq!((full.mtu, full.fwmark, full.listen_port), (1_300, 9, Some(7)));
}

#[test]
fn peers_stand_in_the_order_of_their_keys() {
    let key = |n: u8| PublicKey([n; 32]);
    let text = format!(
        "[Interface]\nPrivateKey = generate\n[Peer]\nPublicKey = {}\n[Peer]\nPublicKey = {}\n",
        key(9),
        key(3)
    );
    let peers: Vec<_> = records(&image(&text).bytes)
        .into_iter()
        .filter_map(|(_, record)| match record {
            Record::Peer(peer) => Some(Item::Peer(peer.public_key)),
            _ => None,
        })
        .collect();
    assert_eq!(peers, [Item::Peer(key(3)), Item::Peer(key(9))]);
}

#[test]
fn a_host_name_goes_along_with_what_the_bench_found() {
    let key = |n: u8| PublicKey([n; 32]);
    let peer = |n: u8, endpoint: &str| {
        format!("[Peer]\nPublicKey = {}\nEndpoint = {endpoint}\nAllowedIPs = 10.0.0.{n}\n", key(n))
    };
    let text = format!(
        "[Interface]\nPrivateKey = generate\n{}{}{}",
        peer(1, "known.test:7"),
        peer(2, "unknown.test.:8"),
        peer(3, "192.0.2.1:9")
    );
    let (source, _) = Source::new("wg0.conf", text.as_bytes());
    let (mut config, _) = conf::parse(&source);
    let lookup: conf::Lookup = std::sync::Arc::new(|name, port| match name {
        "known.test" => Ok(vec![std::net::SocketAddr::new("203.0.113.5".parse().unwrap(), port)]),
        _ => Err(std::io::Error::other("no such name")),
    });
    conf::resolve(&mut config, &lookup, std::time::Duration::from_secs(60));
    let image = Image::new(&postwire::name::interface("wg0").unwrap(), config).unwrap();
    assert_eq!((image.counts.peers, image.counts.host_names), (3, 2));
    let found = records(&image.bytes);
    let shown: Vec<String> = found
        .iter()
        .filter_map(|(_, record)| match record {
            Record::Peer(peer) => Some(format!("{:?}", peer.endpoint.map(PeerEndpoint::addr))),
            Record::Host(Host { name, port }) => Some(format!("{name} {port}")),
            Record::AllowedIp(net) => Some(net.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(
        shown,
        [
            "Some(203.0.113.5:7)",
            "known.test 7",
            "10.0.0.1/32",
            "None",
            "unknown.test. 8",
            "10.0.0.2/32",
            "Some(192.0.2.1:9)",
            "10.0.0.3/32"
        ]
    );
    let (at, _) = found.iter().find(|(_, record)| matches!(record, Record::Host(_))).unwrap();
    let place = image.place(&Subject::Offset(u32::try_from(*at).unwrap())).unwrap();
    assert_eq!(text.lines().nth(place.line - 1), Some("Endpoint = known.test:7"));
}
