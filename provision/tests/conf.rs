//! Correct and wrong files, and the messages about them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use postwire::conf::{self, Config, Destination, Host, Problem, Source, Table};
use proto_core::protocol::config::PrivateKey;

/// The time limit of look-ups.
const BUDGET: Duration = Duration::from_secs(60);

const SECRET: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
const OWN: &str = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=";
const PEER: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
const OTHER: &str = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=";

/// Replaces SECRET, OWN, PEER and OTHER by the keys.
fn fill(text: &str) -> String {
    let text = text.replace("SECRET", SECRET).replace("OWN", OWN);
    text.replace("PEER", PEER).replace("OTHER", OTHER)
}

fn read(text: &str) -> (Config, Vec<Problem>, Source) {
    let (source, problem) = Source::new("t.conf", fill(text).as_bytes());
    assert_eq!(problem, None);
    let (config, problems) = conf::parse(&source);
    (config, problems, source)
}

fn rendered(text: &str) -> String {
    let (_, problems, source) = read(text);
    problems.iter().map(|problem| problem.render(&source)).collect()
}

#[track_caller]
fn good(text: &str) -> Config {
    let (config, problems, _) = read(text);
    assert!(problems.is_empty(), "{}", rendered(text));
    config
}

const HEAD: &str = "[Interface]\nPrivateKey = SECRET\n";

#[test]
fn a_file_may_be_written_in_many_ways() {
    let plain = good(
        "[Interface]\nPrivateKey = SECRET\nAddress = 10.0.0.1/24\nAddress = fd00::1/64\n\
         ListenPort = 1\n[Peer]\nPublicKey = PEER\nAllowedIPs = 10.0.0.2/32\nAllowedIPs = fd00::2\n",
    );
    let odd = good(
        "\u{feff}# a comment\r\n[INTERFACE] # here\r\n\tprivatekey=SECRET\r\nADDRESS = 10.0.0.1/24 , \
         fd00::1/64\r\n  listenport  =  1  \r\n\r\n[peer]\r\nPUBLICKEY = PEER # there\r\n\
         allowedips = 10.0.0.2,fd00::2/128",
    );
    let spaced = good(
        "[Interface]\nPrivateKey = SECRET\nAddress = 10.0.0.1/24 fd00::1/64\nListenPort = 1\n\
         [Peer]\nPublicKey = PEER\nAllowedIPs = 10.0.0.2/32, fd00::2/128\n",
    );
    for config in [&plain, &odd, &spaced] {
        assert_eq!(config.listen_port.as_ref().unwrap().value, 1);
        let addresses: Vec<String> =
            config.addresses.iter().map(|at| at.value.to_string()).collect();
        assert_eq!(addresses, ["10.0.0.1/24", "fd00::1/64"]);
        assert_eq!(config.peers.len(), 1);
        let allowed: Vec<String> =
            config.peers[0].allowed_ips.iter().map(|at| at.value.to_string()).collect();
        assert_eq!(allowed, ["10.0.0.2/32", "fd00::2/128"]);
    }
}

#[test]
fn what_wg_quick_takes_is_taken() {
    let config = good(
        "[ interface ]\nPrivate Key = SEC RET\nListen Port = 51 820\n[Interface]\nAddress = 10.70.0.2/255.255.255.0\n\
         Table = 0x1f4\n[Peer]\nPublicKey = PEER\nEndpoint = 192.0.2.9: 51820\nAllowed IPs = 10.0.0. 1/32\n\
         [Peer]\nPublicKey = OTHER\nEndpoint = [192.0.2.1]:1\n"
            .replace("SEC RET", &format!("{} {}", &SECRET[..7], &SECRET[7..]))
            .as_str(),
    );
    assert_eq!(config.listen_port.unwrap().value, 51_820);
    assert_eq!(config.addresses[0].value.to_string(), "10.70.0.2/24");
    assert_eq!(config.table.unwrap().value, Table::Number(500));
    assert_eq!(config.peers[0].allowed_ips[0].value.to_string(), "10.0.0.1/32");
    let ends: Vec<_> =
        config.peers.iter().map(|peer| &peer.endpoint.as_ref().unwrap().value).collect();
    let at = |text: &str| Destination::Address(text.parse().unwrap());
    assert_eq!(ends, [&at("192.0.2.9:51820"), &at("192.0.2.1:1")]);
}

#[test]
fn a_file_that_is_not_utf_8_says_so_and_a_comment_may_be_anything() {
    let head = fill(HEAD).into_bytes();
    let with = |line: &[u8]| [&head, line].concat();
    let said = |bytes: &[u8]| -> String {
        let (source, problem) = Source::new("t.conf", bytes);
        let problems = problem.map_or_else(|| conf::parse(&source).1, |problem| vec![problem]);
        problems.iter().map(|problem| problem.render(&source)).collect()
    };
    assert_eq!(said(&with(b"# B\xfcro\nMTU = 1420 # \xe4\n")), "");
    let latin = said(&with(b"PostUp = echo # \xe4\n"));
    assert!(latin.contains("error: this is not UTF-8 text: save the file as UTF-8"), "{latin}");
    for order in [u16::to_le_bytes, u16::to_be_bytes] {
        for mark in ["\u{feff}", ""] {
            let text = format!("{mark}{}", fill(HEAD));
            let wide: Vec<u8> = text.encode_utf16().flat_map(order).collect();
            let said = said(&wide);
            assert!(said.contains("UTF-16") && said.contains("save the file as UTF-8"), "{said}");
        }
    }
    assert_eq!(said(&with(b"MTU = 14\x0020\n")), "");
}

#[test]
fn every_key_has_its_value() {
    let config = good(
        "[Interface]\nPrivateKey = generate\nListenPort = 51820\nFwMark = 0xca6c\nMTU = 1280\n\
         Table = 77\nSaveConfig = false\n[Peer]\nPublicKey = PEER\nPresharedKey = SECRET\n\
         Endpoint = [2001:db8::1]:51820\nPersistentKeepalive = 25\n\
         [Peer]\nPublicKey = OTHER\nEndpoint = vpn.example.com:7\nPersistentKeepalive = off\n\
         [Interface]\nAddress = 10.0.0.1\n",
    );
    assert_eq!(config.private_key.unwrap().value, PrivateKey::Generate);
    assert_eq!(config.fwmark.unwrap().value, 51_820);
    assert_eq!(config.mtu.unwrap().value, 1_280);
    assert_eq!(config.table.unwrap().value, Table::Number(77));
    assert_eq!(config.addresses[0].value.to_string(), "10.0.0.1/32");
    let [first, second] = config.peers.as_slice() else { panic!("two peers") };
    assert!(first.preshared_key.is_some());
    assert_eq!(first.persistent_keepalive.as_ref().unwrap().value, 25);
    assert_eq!(second.persistent_keepalive.as_ref().unwrap().value, 0);
    let name = Destination::Name(Host { name: "vpn.example.com".into(), port: 7, address: None });
    assert_eq!(second.endpoint.as_ref().unwrap().value, name);
}

#[test]
fn what_is_not_pushed_is_warned_of() {
    let interface = |line: &str| format!("{HEAD}{line}\n");
    let peer = |line: &str| format!("{HEAD}[Peer]\nPublicKey = PEER\n{line}\n");
    let cases = [
        (interface("DNS = 1.1.1.1"), "t.conf:3:1: warning: DNS is not pushed"),
        (interface("PostUp = iptables # x"), "t.conf:3:1: warning: PostUp is not pushed"),
        (interface("PreDown = x\nPreDown = y"), "t.conf:4:1: warning: PreDown is not pushed"),
        (interface("SaveConfig = true"), "t.conf:3:1: warning: SaveConfig is not pushed"),
        (interface("Address = fd00::1\nMTU = 1200"), "t.conf:4:7: warning: MTU is below 1280"),
        ("[Interface]\n".into(), "t.conf: warning: no PrivateKey"),
        (
            peer("AllowedIPs = 10.0.0.1/8"),
            "t.conf:5:14: warning: AllowedIPs: `10.0.0.1/8` has host bits set",
        ),
        (interface("MTU ="), "t.conf:3:1: warning: MTU is empty: it is ignored"),
        (interface("Table = # none"), "t.conf:3:1: warning: Table is empty: it is ignored"),
        (interface("DNS =\nPreUp =\nPostDown ="), "t.conf:5:1: warning: PostDown is empty"),
        (interface("Address ="), "t.conf:3:1: warning: Address is empty"),
        (
            peer("PresharedKey = AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            "t.conf:5:16: warning: PresharedKey is all zeros",
        ),
    ];
    for (text, words) in cases {
        let (_, problems, _) = read(&text);
        let said = rendered(&text);
        assert!(said.contains(words), "{text}: {said}");
        assert!(!problems.iter().any(Problem::is_error), "{text}: {said}");
    }
}

#[test]
fn every_mistake_is_an_error_at_its_place() {
    let interface = |line: &str| format!("{HEAD}{line}\n");
    let peer = |line: &str| format!("{HEAD}[Peer]\nPublicKey = PEER\n{line}\n");
    let two = |first: &str, second: &str| {
        format!("{HEAD}[Peer]\nPublicKey = PEER\n{first}\n[Peer]\nPublicKey = OTHER\n{second}\n")
    };
    let cases = [
        ("".into(), "t.conf: error: there is no [Interface] section"),
        ("MTU = 1280\n[Interface]".into(), "t.conf:1:1: error: MTU is before the first section"),
        ("hello\n[Interface]".into(), "t.conf:1:1: error: neither `[SECTION]` nor `KEY = VALUE`"),
        (interface("[Pear]\nAnything = 1"), "t.conf:3:1: error: unknown section"),
        (interface("Colour = red"), "t.conf:3:1: error: unknown key `Colour`"),
        (interface("Adress = 10.0.0.1"), "= help: did you mean `Address`?"),
        (interface("MTU"), "= help: write `MTU = ...`"),
        (interface("FwMark ="), "t.conf:3:1: error: FwMark has no value"),
        (interface("SaveConfig ="), "t.conf:3:1: error: SaveConfig has no value"),
        (peer("AllowedIPs ="), "t.conf:5:1: error: AllowedIPs has no value"),
        (interface("ListenPort = # 1280"), "t.conf:3:1: error: ListenPort has no value"),
        (
            interface("Jc = 4\nS1 = 61\nH1 = 1148201\nI1 = <b 0xc700>"),
            "t.conf:3:1: error: this file is for AmneziaWG (Jc, S1, H1, I1)",
        ),
        (peer("Endpoint = http://vpn.example:8000:51820"), "this is a URL: write HOST:PORT"),
        (peer("Endpoint = vpn.example:51822:51822"), "this has two ports"),
        (peer("Endpoint = 198.51.100.4/24:51820"), "this has a prefix length"),
        (interface("MTU = 67"), "t.conf:3:7: error: MTU: `67`: not an MTU"),
        (
            interface("MTU = 1280\nMTU = 1290"),
            "t.conf:4:1: error: MTU appears twice, first in line 3",
        ),
        (
            interface("[Interface]\nPrivateKey = SECRET"),
            "PrivateKey appears twice, first in line 2",
        ),
        (
            interface("AllowedIPs = ::/0"),
            "t.conf:3:1: error: AllowedIPs belongs to [Peer], not to [Interface]",
        ),
        (
            peer("Address = 10.0.0.1"),
            "t.conf:5:1: error: Address belongs to [Interface], not to [Peer]",
        ),
        (interface("ListenPort = 65536"), "t.conf:3:14: error: ListenPort: `65536`: not a port"),
        (interface("FwMark = 0xgg"), "t.conf:3:10: error: FwMark: `0xgg`: not a mark"),
        (interface("Table = 0"), "t.conf:3:9: error: Table: `0`: not a table"),
        (interface("SaveConfig = yes"), "SaveConfig: `yes`: neither `true` nor `false`"),
        (interface("Address = 10.0.0.1/33"), "`10.0.0.1/33`: the prefix length is over 32"),
        (interface("Address = fd00::1/129"), "`fd00::1/129`: the prefix length is over 128"),
        (interface("Address = 10.0.0/8"), "`10.0.0/8`: not an IPv4 or IPv6 address"),
        (
            interface("Address = 10.0.0.1/24,10.0.0.1/24"),
            "t.conf:3:23: error: the address 10.0.0.1 appears twice",
        ),
        (interface("Address = fd00::1/64,fd00::1/128"), "the address fd00::1 appears twice"),
        (
            interface("[Peer]\nAllowedIPs = 10.0.0.0/8"),
            "t.conf:3:1: error: this peer has no PublicKey",
        ),
        (
            interface("[Peer]\nPublicKey = abc"),
            "PublicKey: `abc`: not a key: 3 characters instead of 44",
        ),
        (
            interface("[Peer]\nPublicKey = OWN"),
            "t.conf:4:13: error: this peer is the interface itself",
        ),
        (
            two("", "[Peer]\nPublicKey = PEER"),
            "t.conf:9:13: error: this peer appears twice, first in line 4",
        ),
        (
            two("AllowedIPs = 10.1.2.3/8", "AllowedIPs = ::1, 10.0.0.0/8"),
            "t.conf:8:19: error: 10.0.0.0/8 is an allowed IP of two peers\n",
        ),
        (
            two("AllowedIPs = ::/0", "AllowedIPs = ::/0"),
            "    5 | AllowedIPs = ::/0\n      |              ^^^^ first here",
        ),
        (peer("AllowedIPs = +10.0.0.0/8"), "`+10.0.0.0/8`: `+` and `-` change an existing list"),
        (
            peer("AllowedIPs = 10.0.0.0/8,"),
            "t.conf:5:24: error: AllowedIPs: an entry of the list is empty",
        ),
        (
            peer("AllowedIPs = 10.0.0.0/8 ::/0"),
            "`10.0.0.0/8 ::/0`: the prefix length is not a number",
        ),
        (
            peer("Endpoint = 192.0.2.1:0"),
            "t.conf:5:12: error: Endpoint: `192.0.2.1:0`: this has a port that is not a number",
        ),
        (
            peer("Endpoint = [2001:db8::1%eth0]:7"),
            "which is allowed only for a link-local or multicast",
        ),
        (peer("PersistentKeepalive = 65536"), "`65536`: not an interval"),
    ];
    for (text, words) in cases {
        let (_, problems, _) = read(&text);
        let said = rendered(&text);
        assert!(said.contains(words), "{text}\nis {said}\nnot {words}");
        let errors = problems.iter().filter(|problem| problem.is_error()).count();
        assert_eq!(errors, 1, "{text}\n{said}");
    }
}

#[test]
fn all_mistakes_of_a_file_are_found() {
    let (_, problems, _) =
        read("[Interface]\nMTU = x\nTable = x\nAddress = x, y\n[Peer]\nEndpoint = x\n");
    let lines: Vec<_> = problems.iter().filter_map(|p| p.place.as_ref()).map(|p| p.line).collect();
    assert_eq!(lines, [2, 3, 4, 4, 5, 6]);
}

#[test]
fn no_message_holds_a_secret() {
    let short = &SECRET[..40];
    let lines = [
        format!("PrivateKey = {SECRET}x"),
        format!("PrivateKey = {short}"),
        format!("PrivateKey {SECRET}"),
        format!("PrivateKey: {SECRET}"),
        format!("Private Kex = {SECRET}"),
        format!("PrivateKey = {SECRET} {SECRET}"),
        format!("PrivateKey = {SECRET}\nPrivateKey = {SECRET}"),
        format!("PrivatKey = {SECRET}"),
        format!("PresharedKey = {short}"),
        format!("[Peer]\nPrivateKey = {SECRET}"),
        format!("[Peer]\nPresharedKey = {short}"),
        format!("[{SECRET}]"),
        format!("[Peer {SECRET}"),
        SECRET.to_string(),
        short.to_string(),
        format!("{short} = {SECRET}"),
        format!("= {SECRET}"),
        format!("Token = {SECRET}"),
        format!("PostUp = wg set wg0 private-key {SECRET}"),
        format!("Colour = red # {SECRET}"),
        format!("ListenPort = x # {SECRET}"),
        format!("PrivateKey = {SECRET}\n[Peer]\nPublicKey = {OWN}"),
    ];
    for line in lines {
        let text = format!("[Interface]\n{line}\n");
        let (source, _) = Source::new("t.conf", text.as_bytes());
        let (config, problems) = conf::parse(&source);
        assert!(!problems.is_empty(), "{line}");
        let mut said = format!("{config:?}{problems:?}");
        for problem in &problems {
            said += &problem.render(&source);
            said += &serde_json::to_string(&problem.json(&source)).unwrap();
        }
        // Not even a part of it.
        for part in [&SECRET[..8], &SECRET[20..28], &SECRET[34..40]] {
            assert!(!said.contains(part), "{line}: {said}");
        }
    }
}

#[test]
fn names_are_looked_up_once_and_told() {
    let peer =
        |key: &str, endpoint: &str| format!("[Peer]\nPublicKey = {key}\nEndpoint = {endpoint}\n");
    let text = format!("{HEAD}{}{}", peer("PEER", "vpn.test:1"), peer("OTHER", "vpn.test:2"));
    let (mut config, _, source) = read(&text);
    // IPv4 is preferred, in any order.
    let lookup: conf::Lookup = Arc::new(|host, port| {
        assert_eq!((host, port), ("vpn.test", 1));
        Ok(vec!["[2001:db8::1]:1".parse().unwrap(), "203.0.113.5:1".parse().unwrap()])
    });
    let notes = conf::resolve(&mut config, &lookup, BUDGET);
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].render(&source), "t.conf:5:12: note: vpn.test is 203.0.113.5 from here\n");
    let ends: Vec<_> =
        config.peers.iter().map(|peer| peer.endpoint.clone().unwrap().value).collect();
    let found = |port: u16| {
        let address = Some(SocketAddr::new("203.0.113.5".parse().unwrap(), port));
        Destination::Name(Host { name: "vpn.test".into(), port, address })
    };
    assert_eq!(ends, [found(1), found(2)]);
}

#[test]
fn a_name_that_has_no_address_here_is_left_to_the_router() {
    let fails = |_: &str, _: u16| Err(io::Error::other("failed: Name or service not known"));
    let empty = |_: &str, _: u16| Ok(Vec::new());
    let scoped = |_: &str, _: u16| {
        Ok(vec![std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 1, 0, 3).into()])
    };
    let lookups: [(conf::Lookup, &str); 3] = [
        (Arc::new(fails), "Name or service not known"),
        (Arc::new(empty), "no address"),
        (Arc::new(scoped), "scope"),
    ];
    for (lookup, words) in lookups {
        let (mut config, _, source) =
            read(&format!("{HEAD}[Peer]\nPublicKey = PEER\nEndpoint = vpn.test:1"));
        let problems = conf::resolve(&mut config, &lookup, BUDGET);
        let said = problems[0].render(&source);
        let start = format!(
            "t.conf:5:12: warning: Endpoint of peer {PEER}: vpn.test does not resolve here ("
        );
        assert!(said.starts_with(&start), "{said}");
        assert!(said.ends_with("); the router looks the name up itself\n"), "{said}");
        assert!(said.contains(words), "{said}");
        let name = Destination::Name(Host { name: "vpn.test".into(), port: 1, address: None });
        assert_eq!(config.peers[0].endpoint.as_ref().unwrap().value, name);
    }
}

#[test]
fn names_are_looked_up_side_by_side_and_not_for_ever() {
    let (mut config, _, _) = read(&{
        let mut text = HEAD.to_owned();
        for n in 0..40 {
            let key = proto_core::key::PublicKey([n + 1; 32]);
            text += &format!("[Peer]\nPublicKey = {key}\nEndpoint = n{n}.test:1\n");
        }
        text
    });
    // Each look-up waits until another one is running; n39 never answers.
    let under_way = Arc::new((std::sync::Mutex::new(0), std::sync::Condvar::new()));
    let lookup: conf::Lookup = Arc::new(move |name: &str, _| {
        let (count, changed) = &*under_way;
        *count.lock().unwrap() += 1;
        changed.notify_all();
        drop(changed.wait_while(count.lock().unwrap(), |count| *count < 2));
        if name == "n39.test" {
            std::thread::sleep(Duration::from_secs(600));
        }
        Ok(vec!["192.0.2.1:1".parse().unwrap()])
    });
    let problems = conf::resolve(&mut config, &lookup, Duration::from_secs(3));
    let late: Vec<_> = problems.iter().filter(|problem| problem.message.contains("3 s")).collect();
    assert_eq!((late.len(), problems.len()), (1, 40), "{late:?}");
}
