use core::cell::Cell;
use core::ffi::CStr;
use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::files::{self, Machine, Settings, in_hosts, service, with_scope};
use super::lookup::{Found, Lookup, NoAddress, Step, choose};
use super::message::{Answer, Kind, Query};

/// Files by path.
#[derive(Default)]
struct Etc(BTreeMap<&'static str, String>);

impl Machine for Etc {
    fn read(&self, path: &CStr, take: &mut dyn FnMut(&[u8])) {
        // In pieces with arbitrary boundaries.
        let text = self.0.get(path.to_str().unwrap()).map_or("", String::as_str);
        text.as_bytes().chunks(3).for_each(take);
    }

    fn interface(&self, name: &str) -> u32 {
        if name == "eth0" { 7 } else { 0 }
    }
}

fn etc(resolv: &str, hosts: &str) -> Etc {
    Etc([("/etc/resolv.conf", resolv.to_owned()), ("/etc/hosts", hosts.to_owned())].into())
}

const TWO: &str = "nameserver 192.0.2.1\nnameserver 192.0.2.2\noptions timeout:2 attempts:2\n";

fn at(text: &str) -> SocketAddr {
    SocketAddr::new(text.parse().unwrap(), 53)
}

/// A name in wire format.
fn wire(name: &str) -> Vec<u8> {
    let labels =
        name.split('.').flat_map(|l| [vec![l.len() as u8], l.as_bytes().to_vec()].concat());
    labels.chain([0]).collect()
}

/// A record: name, type and data.
type Raw<'r> = (&'r [u8], u16, &'r [u8]);

/// The reply to a query: flags, code, and records.
fn reply(query: &[u8], flags: u8, code: u8, records: &[Raw<'_>]) -> Vec<u8> {
    let mut reply = query.to_vec();
    (reply[2], reply[3], reply[7]) = (0x81 | flags, 0x80 | code, records.len() as u8);
    for (name, kind, data) in records {
        reply.extend(*name);
        reply.extend(kind.to_be_bytes());
        reply.extend([0, 1, 0, 0, 0, 60]);
        reply.extend((data.len() as u16).to_be_bytes());
        reply.extend(*data);
    }
    reply
}

/// Pointer to the name of the question.
const SAME: &[u8] = &[0xc0, 12];

fn query(name: &str) -> Query {
    Query::new(0x1234, name, Kind::A).unwrap()
}

#[test]
fn a_query_is_as_in_rfc_1035() {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend(wire("vpn.example"));
    bytes.extend([0, 1, 0, 1]);
    assert_eq!(query("vpn.example").as_bytes(), bytes);
    assert_eq!(query("vpn.example.").as_bytes(), bytes);
    let longest = format!("{}a", "ab.".repeat(84));
    assert_eq!(longest.len(), 253);
    assert_eq!(query(&longest).as_bytes().len(), super::message::QUERY);
    let label = "a".repeat(64);
    for wrong in ["", ".", "a..b", ".a", &label, &format!("{longest}bc")] {
        assert!(Query::new(1, wrong, Kind::A).is_none(), "{wrong}");
    }
}

#[test]
fn replies_are_read() {
    let query = query("vpn.example");
    let asked = query.as_bytes();
    let ip = |text: &str| Some(Answer::Found(text.parse().unwrap()));
    let four: &[u8] = &[192, 0, 2, 7];
    let real = wire("real.example");
    let (far, real) = (wire("far.example"), real.as_slice());
    let cases: &[(u8, u8, &[Raw<'_>], Option<Answer>)] = &[
        (0, 0, &[(SAME, 1, four), (SAME, 1, &[1; 4])], ip("192.0.2.7")),
        (0, 0, &[(&wire("VPN.Example"), 1, four)], ip("192.0.2.7")),
        (0, 0, &[(SAME, 5, real), (real, 1, four)], ip("192.0.2.7")),
        // Aliases in another order, and a longer chain.
        (0, 0, &[(&far, 1, four), (real, 5, &far), (SAME, 5, real)], ip("192.0.2.7")),
        // An address of an unrelated name, of another type, or none.
        (0, 0, &[(real, 1, four)], Some(Answer::Denied)),
        (0, 0, &[(SAME, 28, &[1; 16])], Some(Answer::Denied)),
        (0, 0, &[], Some(Answer::Denied)),
        (0, 3, &[], Some(Answer::Denied)),
        (0, 2, &[], Some(Answer::Failed)),
        (0, 5, &[], Some(Answer::Failed)),
        // Truncated: with and without an address.
        (2, 0, &[(SAME, 1, four)], ip("192.0.2.7")),
        (2, 0, &[], Some(Answer::Failed)),
        // Names that point to themselves, forwards, and to each other.
        (0, 0, &[(SAME, 5, SAME)], Some(Answer::Denied)),
        (0, 0, &[(&[0xc0, 29], 1, four)], Some(Answer::Denied)),
        (0, 0, &[(&[0xff, 0xff], 1, four)], Some(Answer::Denied)),
        (0, 0, &[(SAME, 5, real), (real, 5, SAME)], Some(Answer::Denied)),
        // An address of three bytes, and a label of an unknown kind.
        (0, 0, &[(SAME, 1, &[1; 3])], None),
        (0, 0, &[(&[0x80, 1], 1, four)], None),
    ];
    for (n, (flags, code, records, answer)) in cases.iter().enumerate() {
        assert_eq!(query.read(&reply(asked, *flags, *code, records)), *answer, "case {n}");
    }
    // Another id, question, no reply, another opcode, no question.
    let good = reply(asked, 0, 0, &[(SAME, 1, four)]);
    for (place, to) in [(0, 0), (1, 0), (2, 1), (2, 0x89), (5, 0), (5, 2), (13, b'x'), (26, 28)] {
        let mut bad = good.clone();
        bad[place] = to;
        assert_eq!(query.read(&bad), None, "byte {place}");
    }
    // Truncated at any byte.
    for len in 0..good.len() {
        assert_eq!(query.read(&good[..len]), None, "{len} bytes");
    }
}

#[test]
fn hosts_services_and_settings_are_read() {
    let long = "x".repeat(600);
    let hosts = format!(
        "# 192.0.2.1 a\n192.0.2.2 b {long} A a.example#c d\n2001:db8::1\ta\n192.0.2.3 a\nbad a\n\
         fe80::1%eth0 ll\n192.0.2.9 last"
    );
    let services = "# x 1/udp\nsnmp 161/tcp\nsnmp\t161/udp\nntp 123/udp network # clock\n";
    let mut etc = etc("", &hosts);
    etc.0.insert("/etc/services", services.to_owned());
    let found = |name| in_hosts(&etc, name).map(|ip| ip.map(|ip| ip.ip().to_string()));
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(found("a"), [some("192.0.2.2"), some("2001:db8::1")]);
    assert_eq!(found("A.EXAMPLE."), [some("192.0.2.2"), None]);
    assert_eq!(found("last"), [some("192.0.2.9"), None]);
    assert_eq!(in_hosts(&etc, "ll")[1], Some("[fe80::1%7]:0".parse().unwrap()));
    for none in ["c", "d", "x", &long[..256], "192.0.2.2"] {
        assert_eq!(found(none), [None, None], "{none}");
    }
    let ports = [("snmp", Some(161)), ("network", Some(123)), ("ntp", Some(123)), ("x", None)];
    let numbers = [(" 5", Some(5)), ("+5", Some(5)), ("65536", None), ("+", None), ("NTP", None)];
    for (text, port) in ports.into_iter().chain(numbers) {
        assert_eq!(service(&etc, text), port, "{text}");
    }

    let settings = |text| Settings::read(&self::etc(text, ""));
    let none = settings("");
    assert_eq!((none.servers.as_slice(), none.attempts), (&[at("127.0.0.1")][..], 2));
    let text = "; x\nsearch a b\ndomain lan\nsearch one.example two.example\nnameserver x\n\
                nameserver fe80::1%eth0\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n\
                nameserver 192.0.2.3\noptions rotate timeout:99 ndots:2 attempts:0\n";
    let read = settings(text);
    let mut first = at("fe80::1");
    if let SocketAddr::V6(first) = &mut first {
        first.set_scope_id(7);
    }
    assert_eq!(read.servers, [first, at("192.0.2.1"), at("192.0.2.2")]);
    assert_eq!(read.search, "one.example two.example ");
    assert_eq!((read.timeout, read.attempts, read.ndots), (30_000, 1, 2));
}

#[test]
fn addresses_are_read_as_inet_aton_does() {
    let etc = Etc::default();
    for (text, ip) in [
        ("192.0.2.1", "192.0.2.1"),
        ("127.1", "127.0.0.1"),
        ("10.258", "10.0.1.2"),
        ("1.2.772", "1.2.3.4"),
        ("16909060", "1.2.3.4"),
        ("0x7f.0.0.010", "127.0.0.8"),
        ("0xffffffff", "255.255.255.255"),
        ("2001:db8::1", "2001:db8::1"),
    ] {
        let wanted: IpAddr = ip.parse().unwrap();
        assert_eq!(with_scope(&etc, text).map(|ip| ip.ip()), Some(wanted), "{text}");
    }
    for text in ["", "1.", ".1", "256.1", "1.2.3.256", "1.2.3.4.5", "4294967296", "08", "0x", "+1"]
    {
        assert_eq!(with_scope(&etc, text), None, "{text}");
    }
    assert_eq!(with_scope(&etc, "fe80::1%eth1"), None);
    assert_eq!(with_scope(&etc, "192.0.2.1%eth0"), None);
    // A name is for an address of one link; a number is taken with any.
    for (text, taken) in [
        ("fe80::1%eth0", true),
        ("febf::1%eth0", true),
        ("ff02::1%eth0", true),
        ("ff12::1%eth0", true),
        ("ff05::1%eth0", false),
        ("2001:db8::1%eth0", false),
        ("::1%eth0", false),
        ("2001:db8::1%7", true),
        ("fe80::1%7", true),
        ("fe80::1%0", true),
        ("fe80::1%4294967296", false),
    ] {
        assert_eq!(with_scope(&etc, text).is_some(), taken, "{text}");
    }
}

/// Runs a look-up on a machine whose servers answer through `serve`: from the server, the name and
/// the record type to a reply or silence, and a delay. Returns the result and its time.
type Serve<'s> = dyn FnMut(SocketAddr, &str, Kind) -> Option<(u64, u8, Option<IpAddr>)> + 's;

fn run(etc: &Etc, name: &str, serve: &mut Serve<'_>) -> (Result<Found, NoAddress>, u64) {
    let mut lookup = Lookup::new(etc, name);
    let (mut now, mut random) = (1_000, fastrand::Rng::with_seed(1));
    let mut mail: Vec<(u64, SocketAddr, Vec<u8>)> = Vec::new();
    for _ in 0..1_000 {
        match lookup.step(now, random.u32(..)) {
            Step::Ask(server) => {
                mail.clear();
                for (query, kind) in lookup.queries().into_iter().zip([Kind::A, Kind::Aaaa]) {
                    let query = query.unwrap();
                    let asked = query.as_bytes();
                    let mut name = String::new();
                    let mut rest = &asked[12..];
                    while rest[0] != 0 {
                        let (label, more) = rest[1..].split_at(rest[0].into());
                        name.push_str(core::str::from_utf8(label).unwrap());
                        name.push('.');
                        rest = more;
                    }
                    let name = name.trim_end_matches('.');
                    let Some((wait, code, ip)) = serve(server, name, kind) else { continue };
                    let data = match ip {
                        Some(IpAddr::V4(ip)) => ip.octets().to_vec(),
                        Some(IpAddr::V6(ip)) => ip.octets().to_vec(),
                        None => Vec::new(),
                    };
                    let record = (SAME, kind as u16, data.as_slice());
                    let records = if ip.is_some() { &[record][..] } else { &[] };
                    let good = reply(asked, 0, code, records);
                    // Another sender answers first: one with the right bytes, and one from the
                    // right address with a wrong id or question.
                    let lie =
                        reply(asked, 0, 0, &[(SAME, kind as u16, &[6; 16][..data.len().max(4)])]);
                    mail.push((now, at("203.0.113.9"), lie.clone()));
                    mail.push((now, SocketAddr::new(server.ip(), 54), lie.clone()));
                    for place in [0, 13] {
                        let mut wrong = lie.clone();
                        wrong[place] ^= 1;
                        mail.push((now, server, wrong));
                    }
                    mail.push((now + wait, server, good));
                }
                mail.sort_by_key(|(at, ..)| *at);
            }
            Step::Wait(until) => {
                assert!(until > now);
                if mail.first().is_some_and(|(at, ..)| *at < until) {
                    let (at, from, bytes) = mail.remove(0);
                    now = now.max(at);
                    lookup.receive(now, &from, &bytes);
                } else {
                    now = until;
                }
            }
            Step::End(end) => return (end, now - 1_000),
        }
    }
    panic!("{name} never ends");
}

fn ips(found: Result<Found, NoAddress>) -> Result<[Option<IpAddr>; 2], NoAddress> {
    found.map(|found| found.map(|address| address.map(|address| address.ip())))
}

#[test]
fn servers_that_are_lost_slow_or_broken_are_followed_by_the_next() {
    let (four, six): (IpAddr, IpAddr) =
        ("192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap());
    let etc = etc(TWO, "");
    let of = |kind| if kind == Kind::A { four } else { six };
    let first = |server: SocketAddr| server == at("192.0.2.1");
    let both = Ok([Some(four), Some(six)]);
    let done = run(&etc, "a.example", &mut |_, _, kind| Some((20, 0, Some(of(kind)))));
    assert_eq!((ips(done.0), done.1), (both, 20));
    // The first server is silent, refuses, fails, or denies.
    for (code, took) in [(None, 2_020), (Some(5), 40), (Some(2), 40), (Some(3), 40)] {
        let done = run(&etc, "a.example", &mut |server, _, kind| match code {
            None if first(server) => None,
            Some(code) if first(server) => Some((20, code, None)),
            _ => Some((20, 0, Some(of(kind)))),
        });
        assert_eq!((ips(done.0), done.1), (both, took), "{code:?}");
    }
    // One of both replies is lost, and one server is slower than its time.
    let done =
        run(&etc, "a.example", &mut |_, _, kind| (kind == Kind::A).then_some((20, 0, Some(four))));
    assert_eq!((ips(done.0), done.1), (Ok([Some(four), None]), 1_020));
    let done = run(&etc, "a.example", &mut |server, _, kind| {
        Some((if first(server) { 2_500 } else { 20 }, 0, Some(of(kind))))
    });
    assert_eq!((ips(done.0), done.1), (both, 2_020));
    // The first packets to all servers are lost.
    let mut asked = 0;
    let done = run(&etc, "a.example", &mut |_, _, kind| {
        asked += 1;
        (asked > 4).then_some((20, 0, Some(of(kind))))
    });
    assert_eq!((ips(done.0), done.1), (both, 4_020));
    // No server knows the name, answers, or works.
    for (answer, why, took) in [
        (Some((20, 3, None)), NoAddress::Denied, 40),
        (Some((20, 0, None)), NoAddress::Denied, 40),
        (None, NoAddress::Silent, 8_000),
        (Some((20, 2, None)), NoAddress::Failed, 80),
    ] {
        let done = run(&etc, "a.example", &mut |_, _, _| answer);
        assert_eq!(done, (Err(why), took));
    }
}

#[test]
fn search_domains_are_tried_for_names_without_dots() {
    let etc = etc("nameserver 192.0.2.1\nsearch one.example two.example\n", "192.0.2.3 Host\n");
    let asked = Cell::new(Vec::new());
    let mut serve = |_: SocketAddr, name: &str, kind: Kind| {
        if kind == Kind::A {
            let mut names = asked.take();
            names.push(name.to_owned());
            asked.set(names);
        }
        Some((0, 3, None))
    };
    for (name, names) in [
        ("a", &["a.one.example", "a.two.example", "a"][..]),
        ("a.", &["a"]),
        ("a.b", &["a.b"]),
        ("host", &[]),
        ("192.0.2.1", &[]),
    ] {
        let (end, _) = run(&etc, name, &mut serve);
        assert_eq!(end.is_ok(), names.is_empty(), "{name}");
        assert_eq!(asked.take(), names, "{name}");
    }
}

#[test]
fn twenty_names_at_once_do_not_disturb_each_other() {
    let etc = etc(TWO, "");
    let mut lookups: Vec<_> =
        (0..20).map(|n| Lookup::new(&etc, &format!("n{n}.example"))).collect();
    for (n, lookup) in (0_u32..).zip(&mut lookups) {
        assert_eq!(lookup.step(0, n * 0x0101_0301 + 5), Step::Ask(at("192.0.2.1")));
    }
    let replies: Vec<_> = (0_u8..)
        .zip(&lookups)
        .flat_map(|(n, lookup)| {
            let [a, aaaa] = lookup.queries().map(|query| query.unwrap().as_bytes().to_vec());
            [reply(&a, 0, 0, &[(SAME, 1, &[192, 0, 2, n])]), reply(&aaaa, 0, 0, &[])]
        })
        .collect();
    // Each look-up sees the replies to all of them, in reverse order.
    for (n, lookup) in (0_u8..).zip(&mut lookups) {
        for reply in replies.iter().rev() {
            lookup.receive(1, &at("192.0.2.1"), reply);
        }
        let wanted = SocketAddr::new([192, 0, 2, n].into(), 0);
        assert_eq!(lookup.step(1, 0), Step::End(Ok([Some(wanted), None])));
    }
}

#[test]
fn the_family_is_one_that_the_router_can_send_from() {
    let (four, six, local) = (at("192.0.2.7"), at("2001:db8::7"), at("fd00::7"));
    let from = |v4: bool, v6: &'static str| {
        move |to: &SocketAddr| match to {
            SocketAddr::V4(_) => v4.then_some("192.0.2.1".parse().unwrap()),
            SocketAddr::V6(_) => v6.parse().ok(),
        }
    };
    for (found, v4, v6, chosen) in [
        ([Some(four), Some(six)], true, "2001:db8::1", six),
        ([Some(four), Some(six)], true, "", four),
        ([Some(four), Some(six)], true, "fd00::1", four),
        ([Some(four), Some(six)], true, "fe80::1", four),
        ([Some(four), Some(six)], false, "", four),
        ([Some(four), Some(local)], true, "fd00::1", four),
        ([Some(four), Some(local)], false, "fd00::1", local),
        ([None, Some(six)], true, "", six),
    ] {
        assert_eq!(choose(found, &from(v4, v6)), Some(chosen), "{found:?} {v4} {v6}");
    }
    assert_eq!(choose([None, None], &from(true, "")), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn no_reply_is_too_strange(
        mut reply in prop::collection::vec(prop_oneof![Just(0), Just(1), Just(12), Just(0xc0), any::<u8>()], 0..200),
        flags in any::<bool>(),
    ) {
        let query = query("a.b");
        let asked = query.as_bytes();
        if flags && reply.len() > asked.len() {
            reply[..asked.len()].copy_from_slice(asked);
            (reply[2], reply[3], reply[7]) = (0x81, 0x80, 200);
        }
        let _ = query.read(&reply);
    }

    #[test]
    fn no_file_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut words = files::Words::default();
        words.feed(&bytes, &mut |_, word| assert!(!word.contains([ ' ', '\t', '\n'])));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut etc = etc(&text, &text);
        etc.0.insert("/etc/services", text.clone());
        let _ = (service(&etc, "a"), with_scope(&etc, &text), Lookup::new(&etc, &text));
    }

    #[test]
    fn every_name_comes_back(name in "[a-z0-9_-]{1,63}(\\.[a-z0-9_-]{1,40}){0,4}", id in any::<u16>()) {
        let query = Query::new(id, &name, Kind::Aaaa).unwrap();
        let asked = query.as_bytes();
        prop_assert_eq!(&asked[12..asked.len() - 4], &wire(&name)[..]);
        let data = [9; 16];
        let read = query.read(&reply(asked, 0, 0, &[(&wire(&name), 28, &data)]));
        prop_assert_eq!(read, Some(Answer::Found(data.into())));
    }
}
