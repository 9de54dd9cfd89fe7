//! The host tool's parser of files beside the router's: `postwire` accepts what `wg-quick` accepts,
//! and the router accepts what `postwire` accepts and reads the same values.
//!
//! The router's parser is proto-core's, assembled here as in the agent's `wg-quick`. Lines are
//! generated from a fixed seed; `POSTWIRE_SEED` and `POSTWIRE_LINES` set another seed, or more
//! lines.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use postwire::conf::{self, Destination, Source, Table};
use postwire::image::Image;
use postwired::config::from_text::{Remark, Scratch, image_of_text};
use postwired::fault::Slot;
use postwired::system::File as RouterFile;
use proto_core::conf::quick::QUICK_VALUE_MAX;
use proto_core::conf::setting::{self, next_word};
use proto_core::conf::{Field, File, Item, Part, QuickFile, Span};
use proto_core::netlink::Errno;
use proto_core::protocol::config::PrivateKey;
use proto_core::protocol::endpoint::PeerEndpoint;

const SECRET: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
const OWN: &str = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=";
const PEER: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
const OTHER: &str = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=";
const ZERO: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// What the router accepts and the host tool refuses on purpose: the end of the host's message, and
/// the reason. Each entry must occur in the lines below, or the test fails.
const MEANT: &[(&str, &str)] = &[
    ("appears twice", "a setting, peer or address twice: the router takes the last, or both"),
    ("is an allowed IP of two peers", "the router silently moves it to the last peer"),
    ("this peer is the interface itself", "the kernel silently ignores such a peer"),
    ("there is no [Interface] section", "a file for `wg addconf` is not a complete configuration"),
    ("all zeros, which is not a key", "the router takes it for `no key`"),
    ("not the name of a service", "services have other numbers on other machines: ListenPort"),
    (
        "a port that is not a number from 1 to 65535",
        "the same of an endpoint; and nothing is sent to port 0",
    ),
    ("an IPv6 address must be in brackets", "its last group may be meant as the port, or not"),
    (
        "a scope, which is allowed only for a link-local or multicast",
        "the C library accepts a scope number on any address, and ignores it",
    ),
    ("not ASCII", "resolvers do not agree on it"),
    ("not an IPv4 address", "the C library takes 10.1 for 10.0.0.1"),
    ("not a table", "names of tables are local to the router, and 0 is not a table"),
    ("not an MTU", "the kernel refuses it, or loses IPv4 with it"),
];

/// The values of a file, in a form that both parsers can produce.
type Values = Vec<String>;

/// The file as the agent's `wg-quick` reads it.
fn router(text: &[u8]) -> Result<Values, String> {
    let mut wg = Vec::new();
    let mut read = Vec::new();
    let mut wrong = None;
    let mut value = [0; QUICK_VALUE_MAX];
    let mut quick = QuickFile::new(&mut value);
    let mut take = |at: Span, part: &Part<'_>| {
        match part {
            Part::Wg(bytes) => wg.extend_from_slice(bytes),
            Part::Setting(setting, value) => {
                wg.push(b'\n');
                if let Err(words) = quick_value(*setting, value, &mut read) {
                    wrong.get_or_insert(format!("line {}: {words}", at.line));
                }
            }
        }
        Ok(())
    };
    let fed = quick.feed(text, &mut take).and_then(|()| quick.end(&mut take));
    fed.map_err(|error| error.to_string())?;
    if let Some(wrong) = wrong {
        return Err(wrong);
    }
    let mut file = File::new();
    let mut peers = Values::new();
    let mut take = |_: Span, item: &Item<'_>| {
        wg_value(item, &mut read, &mut peers);
        Ok(())
    };
    let fed = file.feed(&wg, &mut take).and_then(|()| file.end(&mut take));
    fed.map_err(|error| error.to_string())?;
    read.extend(peers);
    Ok(sorted(read))
}

fn quick_value(setting: Field, value: &str, read: &mut Values) -> Result<(), String> {
    let wrong = || format!("{} `{value}`", setting.name());
    match setting {
        Field::Address => {
            let mut rest = value;
            while let Some(word) = next_word(&mut rest) {
                read.push(format!("address {}", setting::address(word).ok_or_else(wrong)?));
            }
        }
        Field::Mtu if !value.is_empty() => {
            read.push(format!("mtu {}", setting::ip_number(value).ok_or_else(wrong)?));
        }
        // A name may be in the router's own list of tables.
        Field::Table if !value.is_empty() => {
            read.push(format!("table {:?}", setting::table(value)))
        }
        Field::SaveConfig => setting::boolean(value).map(|_| ()).ok_or_else(wrong)?,
        _ => {}
    }
    Ok(())
}

fn wg_value(item: &Item<'_>, read: &mut Values, peers: &mut Values) {
    let last = |peers: &mut Values, words: String| {
        write!(peers.last_mut().unwrap(), " {words}").unwrap();
    };
    match item {
        Item::PrivateKey(key) => read.push(format!("private {}", reveal(key))),
        Item::ListenPort(port) => read.push(format!("port {port}")),
        Item::ListenService(name) => read.push(format!("port {name}")),
        Item::Fwmark(mark) => read.push(format!("mark {mark}")),
        Item::Peer => peers.push("peer".into()),
        Item::PublicKey(key) => last(peers, key.to_string()),
        Item::PresharedKey(key) if key.is_zero() => {}
        Item::PresharedKey(key) => last(peers, format!("preshared {}", reveal(key))),
        Item::Endpoint(host) => last(
            peers,
            match host.address() {
                Some(to) => format!("to {to}"),
                None => format!("to {}:{}{}", host.name, host.port, host.service),
            },
        ),
        Item::PersistentKeepalive(seconds) => last(peers, format!("every {seconds}")),
        Item::AllowedIp(net) => last(peers, format!("allowed {}", net.masked())),
        _ => {}
    }
}

fn reveal(key: &proto_core::key::SecretKey) -> String {
    key.reveal(&mut [0; 44]).to_owned()
}

fn sorted(mut values: Values) -> Values {
    for value in &mut values {
        if value.starts_with("peer ") {
            // The settings of a peer may be in any order.
            let mut words: Vec<&str> = value[5..].split(' ').collect();
            words.sort_unstable();
            words.dedup();
            *value = format!("peer {}", words.join(" "));
        }
    }
    values.sort_unstable();
    values
}

/// The file as the host tool reads it.
fn host(text: &[u8]) -> Result<Values, String> {
    let (source, problem) = Source::new("t.conf", text);
    if let Some(problem) = problem {
        return Err(problem.message);
    }
    let (config, problems) = conf::parse(&source);
    let wrong: Vec<String> =
        problems.into_iter().filter(|problem| problem.is_error()).map(|p| p.message).collect();
    if !wrong.is_empty() {
        return Err(wrong.join("; "));
    }
    let mut read = Values::new();
    match config.private_key.as_ref().map(|at| &at.value) {
        Some(PrivateKey::Given(key)) => read.push(format!("private {}", reveal(key))),
        Some(_) => read.push("private generate".into()),
        None => {}
    }
    read.extend(config.listen_port.map(|at| format!("port {}", at.value)));
    read.extend(config.fwmark.map(|at| format!("mark {}", at.value)));
    read.extend(config.mtu.map(|at| format!("mtu {}", at.value)));
    read.extend(config.table.map(|at| format!("table {:?}", Some::<Table>(at.value))));
    read.extend(config.addresses.iter().map(|at| format!("address {}", at.value)));
    for peer in &config.peers {
        let mut words = vec![peer.public_key.value.to_string()];
        words.extend(
            peer.preshared_key.as_ref().map(|at| format!("preshared {}", reveal(&at.value))),
        );
        words.extend(peer.endpoint.as_ref().map(|at| match &at.value {
            Destination::Address(PeerEndpoint::Scoped(to, scope)) => {
                format!("to {}%{scope}:{}", to.ip(), to.port())
            }
            Destination::Address(to) => format!("to {to}"),
            Destination::Name(host) => format!("to {}:{}", host.name, host.port),
        }));
        words.extend(peer.persistent_keepalive.as_ref().map(|at| format!("every {}", at.value)));
        words.extend(peer.allowed_ips.iter().map(|at| format!("allowed {}", at.value)));
        read.push(format!("peer {}", words.join(" ")));
    }
    Ok(sorted(read))
}

/// The image that the host tool makes of the file; `None` if the router would refuse it.
fn host_image(text: &[u8]) -> Option<Vec<u8>> {
    let (config, _) = conf::parse(&Source::new("t.conf", text).0);
    Image::new(&"wg0".parse().unwrap(), config).ok().map(|image| image.bytes)
}

/// A file of the router.
#[derive(Default)]
struct Memory(Vec<u8>);

impl RouterFile for Memory {
    fn read_some(&mut self, offset: u32, buf: &mut [u8]) -> Result<usize, Errno> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_some(&mut self, offset: u32, bytes: &[u8]) -> Result<usize, Errno> {
        let end = offset as usize + bytes.len();
        self.0.resize(self.0.len().max(end), 0);
        self.0[offset as usize..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn clear(&mut self) -> Result<(), Errno> {
        self.0.clear();
        Ok(())
    }
}

/// The image that the router makes of the file when it is typed, or the mistakes.
fn typed_image(text: &[u8]) -> Result<Vec<u8>, String> {
    let slot = Slot::default();
    let [mut file, mut heap, mut index, mut other] = [(); 4].map(|()| Memory::default());
    file.write_at(0, text).unwrap();
    let scratch = Scratch { heap: &mut heap, index: &mut index, other: &mut other };
    let mut mistakes = Vec::new();
    let made = image_of_text(
        &slot,
        &"wg0".parse().unwrap(),
        (&mut file, text.len() as u32),
        scratch,
        &mut |remark| {
            if let Remark::Mistake(error, _) = remark {
                mistakes.push(error.to_string());
            }
        },
    );
    match made.unwrap() {
        None => Err(mistakes.join("; ")),
        Some(span) => {
            assert!(mistakes.is_empty(), "{mistakes:?}");
            let mut image = vec![0; (span.end - span.from) as usize];
            file.read_at(span.from, &mut image).unwrap();
            Ok(image)
        }
    }
}

struct Draw(fastrand::Rng);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0.usize(..bound)
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn of<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len())]
    }
}

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "00080",
    "0x580",
    "01400",
    "25",
    "67",
    "68",
    "253",
    "254",
    "1280",
    "1420",
    "51820",
    "65535",
    "65536",
    "70000",
    "4294967295",
    "4294967296",
    "0x0",
    "0x1f",
    "0X1f",
    "0xca6c",
    "0x1f4",
    "0xffffffff",
    "0x100000000",
    "0x",
    "0x+1",
    "0xg",
    "off",
    "OFF",
    "Off",
    "auto",
    "AUTO",
    "main",
    "local",
    "default",
    "vpn",
    "domain",
    "http",
    "true",
    "false",
    "TRUE",
    "yes",
    "-1",
    "+1",
    "1 2",
    "1,2",
    "1.5",
    "1e3",
    "\u{661}",
    "generate",
];

const NETS: &[&str] = &[
    "10.0.0.1",
    "10.0.0.1/24",
    "10.0.0.0/8",
    "10.0.0.1/32",
    "10.0.0.1/33",
    "10.0.0.1/008",
    "10.0.0.1/",
    "10.0.0/8",
    "10.0.0.0/255.0.0.0",
    "10.0.0.1/255.255.255.0",
    "10.0.0.1/255.0.255.0",
    "10.0.0. 1/32",
    "10.0.0.256",
    "0.0.0.0/0",
    "::/0",
    "fd00::1",
    "fd00::1/64",
    "fd00::1/129",
    "fd00::/ffff::",
    "::ffff:10.0.0.1/96",
    "fd42::130=",
    "+10.0.0.0/8",
    "-10.0.0.0/8",
    "10.0.0.0/8 ::/0",
    "10.0.0.0/8\t::/0",
    "a",
    "/8",
    "fe80::1%eth0",
    "01.2.3.4/8",
    "1.2.3.4/8/9",
];

const ENDPOINTS: &[&str] = &[
    "192.0.2.1:51820",
    "vpn.example.net:51820",
    "vpn.example.net.:1",
    "my_host-1:1",
    "[2001:db8::1]:51820",
    "2001:db8::1:51820",
    "2001:db8::1",
    "[192.0.2.1]:1",
    "[vpn.example]:1",
    "[fe80::1%eth0]:1",
    "[fe80::1%3]:1",
    "[2001:db8::1%3]:1",
    "fe80::1%eth0:1",
    "192.0.2.1:0",
    "192.0.2.1:65536",
    "192.0.2.1:http",
    "192.0.2.1:",
    "192.0.2.1",
    ":1",
    "[]:1",
    "[::1]",
    "[::1]1",
    "[::1:1",
    "a..b:1",
    "a_b..c:1",
    ".:1",
    "-:1",
    "http://vpn.example:51820",
    "http://vpn-x1.example:8000:51820",
    "https://vpn.example",
    "vpn.example.net:51822:51822",
    "198.51.100.4/24:51820",
    "<ip:51820",
    "<ip>:51820",
    "user@vpn.example:1",
    "2001:db8::zz:51820",
    "192.0.2.9: 51820",
    "a b:1",
    "b\u{fc}ro.example:1",
    "10.1:1",
    "192.0.2.256:1",
    "1:1",
    "0x7f.1:1",
    "vpn.example:+5",
    "(any):1",
    "*:1",
    "host:51820/udp",
];

const KEYS: &[&str] = &[SECRET, OWN, PEER, OTHER, ZERO, "abc", "", "generate", "GENERATE"];

const HOOKS: &[&str] = &[
    "iptables -A FORWARD -i %i -j ACCEPT",
    "wg set %i private-key <(cat /etc/key)",
    "a # b",
    "# a",
    "",
    "echo \u{e4}",
    "x = y",
];

const SETTINGS: &[(&str, &[&[&str]])] = &[
    ("PrivateKey", &[KEYS]),
    ("ListenPort", &[NUMBERS]),
    ("FwMark", &[NUMBERS]),
    ("Address", &[NETS]),
    ("DNS", &[NETS, &["1.1.1.1", "vpn.example"]]),
    ("MTU", &[NUMBERS]),
    ("Table", &[NUMBERS]),
    ("PreUp", &[HOOKS]),
    ("PostUp", &[HOOKS]),
    ("PreDown", &[HOOKS]),
    ("PostDown", &[HOOKS]),
    ("SaveConfig", &[NUMBERS]),
    ("PublicKey", &[KEYS]),
    ("PresharedKey", &[KEYS]),
    ("AllowedIPs", &[NETS]),
    ("Endpoint", &[ENDPOINTS]),
    ("PersistentKeepalive", &[NUMBERS]),
    ("Jc", &[NUMBERS]),
    ("S1", &[NUMBERS]),
    ("Colour", &[NUMBERS]),
];

const BLANKS: &[&str] =
    &["", "", "", " ", " ", "  ", "\t", " \t", "\r", "\u{b}", "\u{c}", "\u{a0}", "\0"];

/// A line of one setting, correct or wrong.
fn line(draw: &mut Draw, nth: usize) -> String {
    let (name, values) = SETTINGS[nth % SETTINGS.len()];
    let values = values[draw.below(values.len())];
    // Sometimes the value of another setting.
    let values = if draw.one_in(12) {
        [NUMBERS, NETS, ENDPOINTS, KEYS, HOOKS][draw.below(5)]
    } else {
        values
    };
    let mut value = draw.of(values).to_owned();
    if draw.one_in(4) {
        for _ in 0..=draw.below(2) {
            value += draw.of(&[",", ", ", " ,", " ", ",,", "\t"]);
            value += draw.of(values);
        }
    }
    if draw.one_in(15) {
        value += draw.of(&[",", " ,", "="]);
    }
    let name = match draw.below(12) {
        0 => name.to_uppercase(),
        1 => name.to_lowercase(),
        2 => format!("{}{}{}", &name[..2], draw.of(BLANKS), &name[2..]),
        3 => name[1..].to_owned(),
        _ => name.to_owned(),
    };
    let mut text = format!("{}{name}", draw.of(BLANKS));
    text += draw.of(BLANKS);
    text += if draw.one_in(40) { draw.of(&["", ":", "=="]) } else { "=" };
    text += draw.of(BLANKS);
    if draw.one_in(10) {
        value.insert_str(0, draw.of(BLANKS));
    }
    text += &value;
    text += draw.of(BLANKS);
    if draw.one_in(10) {
        text += draw.of(&["#", "# a comment", " # PrivateKey = x", "#\u{fc}"]);
    }
    text
}

const WHOLE: &[&str] = &[
    "[Interface]\nPrivateKey = SECRET\nAddress = 10.0.0.1/24, fd00::1/64\nListenPort = 51820\nMTU = 1420\n\
     DNS = 1.1.1.1\nPostUp = iptables -A FORWARD -i %i -j ACCEPT\n[Peer]\nPublicKey = PEER\n\
     PresharedKey = OTHER\nEndpoint = vpn.example.net:51820\nAllowedIPs = 0.0.0.0/0, ::/0\n\
     PersistentKeepalive = 25\n",
    "# made by a tool\n[Interface]\nAddress=10.70.0.2/255.255.255.0\nPrivateKey=SECRET\nTable=0x1f4\n\
     FwMark=0xca6c\nSaveConfig=false\nPreUp=\nDNS=\n\n[Peer] # laptop\nPublicKey=PEER\n\
     AllowedIPs=10.70.0.0/24\n\n[Peer]\nPublicKey=OTHER\nEndpoint=[2001:db8::1]:51820\nAllowedIPs=10.71.0.0/24\n",
];

/// A whole file with a few bytes changed.
fn mutated(draw: &mut Draw) -> Vec<u8> {
    let mut bytes = fill(draw.of(WHOLE)).into_bytes();
    if draw.one_in(6) {
        bytes = String::from_utf8(bytes).unwrap().replace('\n', "\r\n").into_bytes();
    }
    for _ in 0..=draw.below(3) {
        let at = draw.below(bytes.len());
        match draw.below(6) {
            0 => bytes[at] = draw.0.u8(..),
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, b" \t=#,[]:/.%+-\n\r\0"[draw.below(16)]),
            3 => {
                let end = (at + draw.below(12)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                // A duplicated or missing line.
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let mut lines: Vec<&str> = text.split('\n').collect();
                let nth = draw.below(lines.len());
                match draw.below(2) {
                    0 => lines.insert(nth, lines[draw.below(lines.len())]),
                    _ => drop(lines.remove(nth)),
                }
                bytes = lines.join("\n").into_bytes();
                if bytes.is_empty() {
                    bytes.push(b'\n');
                }
            }
            _ => bytes[at] ^= 0x20,
        }
        if bytes.is_empty() {
            bytes.push(b'#');
        }
    }
    bytes
}

fn fill(text: &str) -> String {
    text.replace("SECRET", SECRET).replace("PEER", PEER).replace("OTHER", OTHER)
}

/// A file around a line.
fn around(draw: &mut Draw, line: &str, nth: usize) -> Vec<u8> {
    let interface =
        draw.of(&["[Interface]", "[Interface]", "[Interface]", "[interface]", "[ Interface ]"]);
    let section = SETTINGS[nth % SETTINGS.len()].0;
    let peer = matches!(
        section,
        "PublicKey" | "PresharedKey" | "AllowedIPs" | "Endpoint" | "PersistentKeepalive"
    );
    // Sometimes in the wrong section.
    let peer = if draw.one_in(20) { !peer } else { peer };
    let own =
        if section == "PrivateKey" { String::new() } else { format!("PrivateKey = {SECRET}\n") };
    let key = if section == "PublicKey" { String::new() } else { format!("PublicKey = {PEER}\n") };
    let mut text = match peer {
        false => format!("{interface}\n{own}{line}\n"),
        true => format!("[Interface]\n{own}[Peer]\n{key}{line}\n"),
    };
    if draw.one_in(20) {
        text = format!("{text}[Peer]\nPublicKey = {OTHER}\nAllowedIPs = 10.0.0.1/32\n");
    }
    if draw.one_in(20) {
        text.insert(0, '\u{feff}');
    }
    let mut bytes = text.into_bytes();
    if draw.one_in(25) {
        // Latin-1.
        bytes.extend(b"# B\xfcro\n");
    }
    bytes
}

#[test]
fn what_the_router_takes_the_host_takes_and_the_other_way_round() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let seed = number("POSTWIRE_SEED", 11);
    let lines = number("POSTWIRE_LINES", 60_000) as usize;
    let mut draw = Draw(fastrand::Rng::with_seed(seed));
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut both, mut neither, mut generated, mut images) = (0, 0, 0, 0);
    let mut differ: Vec<String> = Vec::new();
    let fixed = [
        format!("[Peer]\nPublicKey = {PEER}\n").into_bytes(),
        format!("[Interface]\nPrivateKey = {SECRET}\n[Peer]\nPublicKey = {PEER}\n[Peer]\nPublicKey = {PEER}\n")
            .into_bytes(),
    ];
    for nth in 0..lines {
        let text = match nth {
            nth if nth < fixed.len() => fixed[nth].clone(),
            _ if draw.one_in(4) => mutated(&mut draw),
            nth => {
                let line = line(&mut draw, nth);
                around(&mut draw, &line, nth)
            }
        };
        let shown = || format!("seed {seed}, line {nth}:\n{}", String::from_utf8_lossy(&text));
        let ours = host(&text);
        match (typed_image(&text), &ours) {
            (Ok(typed), Ok(_)) if host_image(&text).is_none_or(|image| image == typed) => {
                images += 1;
            }
            (Ok(_), Ok(_)) => {
                differ.push(format!("the typed file makes another image: {}", shown()));
            }
            (Err(words), Ok(_)) => {
                differ.push(format!("typed, it is refused ({words}): {}", shown()));
            }
            // What stands in two peers is for the check of the image.
            (Ok(_), Err(words)) => {
                let later = |words: &str| {
                    ["this peer appears twice", "is an allowed IP of two peers"]
                        .iter()
                        .any(|later| words.contains(later))
                };
                if !words.split("; ").all(later) {
                    let words = format!("typed, it is taken, and the host refuses it ({words})");
                    differ.push(format!("{words}: {}", shown()));
                }
            }
            (Err(_), Err(_)) => {}
        }
        match (router(&text), ours) {
            (Ok(theirs), Ok(ours)) => {
                if ours != theirs {
                    differ.push(format!("{ours:?}\nbut on the router {theirs:?}: {}", shown()));
                }
                both += 1;
            }
            (Err(_), Err(_)) => neither += 1,
            (Err(_), Ok(ours)) if ours.iter().any(|value| value == "private generate") => {
                generated += 1
            }
            (Err(words), Ok(_)) => {
                differ
                    .push(format!("the router refuses ({words}) what the host takes: {}", shown()));
            }
            (Ok(_), Err(words)) => {
                // Each of its entries occurs.
                for words in words.split("; ") {
                    let meant = MEANT.iter().find(|(meant, _)| words.contains(meant));
                    let Some((meant, _)) = meant else {
                        differ.push(format!(
                            "the host refuses ({words}) what the router takes: {}",
                            shown()
                        ));
                        continue;
                    };
                    *met.entry(meant).or_default() += 1;
                }
            }
        }
    }
    println!(
        "{lines} files with seed {seed}: both take {both}, both refuse {neither}, {generated} are to have a key \
         generated, {images} typed make the same image; refused by the host alone: {met:?}"
    );
    let some: Vec<&str> = differ.iter().take(20).map(String::as_str).collect();
    assert!(differ.is_empty(), "{} differ, among them\n{}", differ.len(), some.join("\n"));
    for (meant, why) in MEANT {
        assert!(met.contains_key(meant), "never met: {meant} ({why})");
    }
    assert!(generated > 0 && both > lines / 10 && neither > lines / 10);
}
