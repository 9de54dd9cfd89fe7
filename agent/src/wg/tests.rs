//! Whole commands, over a process in memory and a kernel that executes requests.

mod user_space;

use std::string::String;

use crate::testing::shell::Shell;
use crate::testing::{Device, DevicePeer};
use proto_core::key::PublicKey;

/// A key whose bytes are all this one.
fn key(byte: u8) -> String {
    PublicKey([byte; 32]).to_string()
}

/// A process whose interface belongs to the kernel.
fn shell(conf: &str) -> Shell {
    beside("wireguard", conf)
}

fn beside(kind: &str, conf: &str) -> Shell {
    let mut shell = Shell::beside(kind);
    shell.conf(conf);
    shell.files.insert("/dev/null".to_owned(), Vec::new());
    shell
}

/// `<1>` is the key of ones, and so on.
fn expand(text: &str) -> String {
    (1..=9).fold(text.to_owned(), |text, n| text.replace(&format!("<{n}>"), &key(n)))
}

impl Shell {
    fn conf(&mut self, conf: &str) {
        self.files.insert("conf".to_owned(), expand(conf).into_bytes());
    }

    fn well(&self, line: &str) -> String {
        let (code, out, err) = self.run(&expand(line));
        assert_eq!((code, err.as_str()), (0, ""), "{line}");
        out
    }

    /// The messages that a command sent.
    fn sent(&self, line: &str) -> Vec<String> {
        self.meddle(|device| device.sent.clear());
        self.well(line);
        self.device().sent
    }

    fn fails(&self, line: &str) -> String {
        let (code, out, err) = self.run(&expand(line));
        assert_eq!((code, out.as_str()), (1, ""), "{line}: {err}");
        err
    }

    fn ips(&self, byte: u8) -> Vec<String> {
        let device = self.device();
        let peer = device.peers.iter().find(|peer| peer.key[0] == byte).unwrap();
        peer.ips.iter().map(ToString::to_string).collect()
    }
}

const TWO: &str = "[Interface]\nPrivateKey = <8>\nListenPort = 7\n\
    [Peer]\nPublicKey = <1>\nAllowedIPs = 10.0.1.0/24, 10.0.2.0/24\nPersistentKeepalive = 25\n\
    [Peer]\nPublicKey = <2>\nPresharedKey = <9>\nAllowedIPs = fd00::/64\nEndpoint = 192.0.2.1:7\n";

#[test]
fn setconf_sends_everything_in_one_message() {
    let shell = shell(TWO);
    let all = [
        "key port mark flush",
        "1 replace keepalive 10.0.1.0/24 10.0.2.0/24",
        "2 replace psk endpoint fd00::/64",
    ];
    assert_eq!(shell.sent("setconf wg0 conf"), all);
    assert_eq!(shell.sent("setconf wg0 conf"), all);
    assert_eq!(shell.sent("setconf wg0 /dev/null"), ["key port mark flush"]);
    assert_eq!(shell.sent("addconf wg0 /dev/null"), [""]);
}

#[test]
fn nothing_is_changed_by_a_file_that_is_wrong_at_its_end() {
    let mut shell = shell(&format!("{TWO}[Peer]\nPublicKey = <3>\nEndpoint = x\n"));
    for command in ["setconf", "syncconf", "addconf"] {
        let said = shell.fails(&format!("{command} wg0 conf"));
        assert!(said.starts_with("wg: line 15: Endpoint `x` has no port"), "{said}");
    }
    shell.conf(&format!("{TWO}[Peer]\nAllowedIPs = 10.0.0.0/8\n"));
    assert_eq!(shell.fails("setconf wg0 conf"), "wg: line 13: [Peer] has no PublicKey\n");
    assert!(shell.device().sent.is_empty());
}

#[test]
fn syncconf_sends_nothing_of_a_peer_that_is_the_same() {
    let mut shell = shell(TWO);
    assert_eq!(shell.sent("syncconf wg0 conf").len(), 3);
    assert_eq!(shell.sent("syncconf wg0 conf"), [""; 0]);
    // In another order, in another notation.
    let text = "[Peer]\nPublicKey = <2>\nPresharedKey = <9>\nEndpoint = 192.0.2.1:7\n\
                AllowedIPs = fd00::5/64\n[Peer]\nPublicKey=<1>\nPersistentKeepalive=25\n\
                AllowedIPs = 10.0.2.0/24\nAllowedIPs = 10.0.1.0/24\n\
                [Interface]\nPrivateKey=<8>\nListenPort=7";
    shell.conf(&text.replace("fd00::5", "fd00::"));
    assert_eq!(shell.sent("syncconf wg0 conf"), [""; 0]);
    shell.conf(text);
    let (code, _, err) = shell.run("syncconf wg0 conf");
    assert_eq!(code, 0);
    assert_eq!(
        err,
        "wg: warning: line 5: allowed IP fd00::5/64 has host bits set; they are cleared\n"
    );
}

#[test]
fn syncconf_sends_only_what_differs() {
    let mut shell = shell(TWO);
    shell.well("syncconf wg0 conf");
    for (from, to, sent) in [
        ("Keepalive = 25", "Keepalive = 26", &["", "1 keepalive"][..]),
        ("192.0.2.1:7", "192.0.2.1:8", &["", "2 endpoint"]),
        (", 10.0.2.0/24", "", &["", "1 replace 10.0.1.0/24"]),
        ("ListenPort = 7", "ListenPort = 8", &["port"]),
        ("PrivateKey = <8>", "PrivateKey = <7>\nFwMark = 3", &["key mark"]),
    ] {
        shell.conf(&TWO.replace(from, to));
        assert_eq!(shell.sent("syncconf wg0 conf"), sent, "{to}");
        assert_eq!(shell.sent("syncconf wg0 conf"), [""; 0]);
        shell.conf(TWO);
        shell.well("syncconf wg0 conf");
    }
    shell.conf(&TWO.replace("<1>", "<3>"));
    let new = ["", "1 gone", "3 replace keepalive 10.0.1.0/24 10.0.2.0/24"];
    assert_eq!(shell.sent("syncconf wg0 conf"), new);
    shell.conf("");
    assert_eq!(shell.sent("syncconf wg0 conf"), ["key port flush"]);
}

#[test]
fn syncconf_clears_a_preshared_key_and_a_keepalive_that_the_file_leaves_out() {
    let mut shell = shell(TWO);
    shell.well("syncconf wg0 conf");
    let gone = TWO.replace("PresharedKey = <9>\n", "").replace("PersistentKeepalive = 25\n", "");
    shell.conf(&gone);
    assert_eq!(shell.sent("syncconf wg0 conf"), ["", "1 keepalive", "2 psk"]);
    assert!(!shell.well("showconf wg0").contains("PresharedKey"));
}

#[test]
fn syncconf_notices_changes_between_get_and_set() {
    let mut shell = shell(TWO);
    shell.well("syncconf wg0 conf");
    shell.conf(&TWO.replace("25", "26"));
    fn once(device: &mut Device) {
        device.peers.remove(1);
        let key = vec![5; 32];
        let ips = vec!["10.0.2.0/24".parse().unwrap()];
        device.peers[0].ips.pop();
        let preshared_key = vec![0; 32];
        device.peers.push(DevicePeer { key, ips, preshared_key, ..DevicePeer::default() });
    }
    shell.meddle(|device| device.meddle = Some(once));
    shell.well("syncconf wg0 conf");
    let keys: Vec<u8> = shell.device().peers.iter().map(|peer| peer.key[0]).collect();
    assert_eq!(keys, [1, 2]);
    assert_eq!(shell.ips(1), ["10.0.1.0/24", "10.0.2.0/24"]);
    fn again(device: &mut Device) {
        let key = vec![100 + device.sent.len() as u8; 32];
        device.peers.push(DevicePeer { key, preshared_key: vec![0; 32], ..DevicePeer::default() });
        device.meddle = Some(again);
    }
    shell.conf(TWO);
    shell.meddle(|device| device.meddle = Some(again));
    let said = shell.fails("syncconf wg0 conf");
    assert_eq!(said, "wg: cannot change wg0: another program keeps changing it\n");
}

#[test]
fn syncconf_of_an_allowed_ip_that_two_peers_have() {
    let both = "[Peer]\nPublicKey=<1>\nAllowedIPs=10.0.0.0/8\n[Peer]\nPublicKey=<2>\nAllowedIPs=10.0.0.0/8";
    let shell = shell(both);
    for _ in 0..3 {
        shell.well("syncconf wg0 conf");
        assert_eq!((shell.ips(1), shell.ips(2)), (vec![], vec!["10.0.0.0/8".to_owned()]));
    }
}

#[test]
fn syncconf_of_a_peer_that_stands_there_twice() {
    let text = "[Peer]\nPublicKey=<1>\nAllowedIPs=10.0.1.0/24\nPersistentKeepalive=5\n\
                [Peer]\nPublicKey=<2>\n[Peer]\nPublicKey=<1>\nAllowedIPs=10.0.2.0/24\n";
    let mut shell = shell(text);
    for _ in 0..3 {
        shell.well("syncconf wg0 conf");
        assert_eq!(shell.ips(1), ["10.0.2.0/24"]);
        assert_eq!(shell.device().peers[0].keepalive, 5);
    }
    shell.conf(&format!(
        "[Peer]\nPublicKey=<3>\n{text}[Peer]\nPublicKey=<1>\nAllowedIPs=10.0.3.0/24"
    ));
    shell.well("syncconf wg0 conf");
    assert_eq!(shell.ips(1), ["10.0.3.0/24"]);
}

/// As two different peers would, each twice.
#[test]
fn syncconf_of_peers_in_every_row_of_five() {
    for row in 0..243_u32 {
        let keys = (0..5).map(|at| row / 3_u32.pow(at) % 3 + 1);
        let peer = |(at, key): (usize, u32)| {
            let keepalive = if at % 2 == 0 {
                format!("PersistentKeepalive = {}\n", at + 1)
            } else {
                String::new()
            };
            // Some peers have equal allowed IPs.
            let net = row % (at as u32 + 2);
            format!("[Peer]\nPublicKey = <{key}>\nAllowedIPs = 10.0.{net}.0/24\n{keepalive}")
        };
        let text: String = keys.enumerate().map(peer).collect();
        let (sync, set) = (shell(&text), shell(&text));
        set.well("setconf wg0 conf");
        for _ in 0..2 {
            sync.well("syncconf wg0 conf");
            assert_eq!(sync.device().peers, set.device().peers, "{text}");
        }
        // Replaces other peers, and some with the same keys and other settings.
        let mut over = shell("");
        for before in ["<2><4>", "<1>", "<3><2><1>", "<2><1>"] {
            let peer = "[Peer]\nPublicKey = <N>\nPresharedKey = <9>\nAllowedIPs = 10.9.N.0/24\n";
            let before: String = before
                .split(['<', '>'])
                .filter(|key| !key.is_empty())
                .map(|key| peer.replace('N', key))
                .collect();
            over.conf(&before);
            over.well("setconf wg0 conf");
            over.conf(&text);
            over.well("syncconf wg0 conf");
            for key in 1..=3 {
                let has = |shell: &Shell| shell.device().peers.iter().any(|p| p.key[0] == key);
                assert_eq!(has(&over), has(&set), "{text}");
                if has(&set) {
                    assert_eq!(over.ips(key), set.ips(key), "{before}{text}");
                }
            }
        }
    }
}

#[test]
fn syncconf_passes_over_the_device_s_own_key() {
    let shell =
        shell("[Interface]\nPrivateKey = <8>\n[Peer]\nPublicKey = <8>\n[Peer]\nPublicKey = <1>");
    shell.meddle(|device| device.private_key = vec![8; 32]);
    shell.well("syncconf wg0 conf");
    assert_eq!(shell.device().peers.len(), 1);
}

#[test]
fn syncconf_of_more_peers_than_a_window_holds_in_any_order() {
    let peers = |order: &mut dyn Iterator<Item = u32>| -> String {
        let peer = |n: u32| {
            let mut key = [7; 32];
            key[..4].copy_from_slice(&n.to_le_bytes());
            let (key, net) = (PublicKey(key), std::net::Ipv4Addr::from_bits(0x0a00_0000 + n));
            format!("[Peer]\nPublicKey = {key}\nAllowedIPs = {net}/32\nPersistentKeepalive = {n}\n")
        };
        order.map(peer).collect()
    };
    let mut shell = shell(&peers(&mut (0..3000)));
    shell.piece = 37;
    shell.well("syncconf wg0 conf");
    assert_eq!(shell.device().peers.len(), 3000);
    shell.conf(&peers(&mut (0..3000).rev()));
    assert_eq!(shell.sent("syncconf wg0 conf"), [""; 0]);
    shell.conf(&peers(&mut (0..3000).rev().filter(|n| n % 3 > 0).chain([5000])));
    let sent = shell.sent("syncconf wg0 conf");
    let gone = sent.iter().filter(|sent| sent.ends_with("gone")).count();
    assert_eq!((gone, shell.device().peers.len()), (1000, 2001));
}

#[test]
fn a_refusal_names_the_peer() {
    let shell = shell(TWO);
    shell.meddle(|device| device.refuse = Some(2));
    let said = shell.fails("setconf wg0 conf");
    assert_eq!(
        said,
        format!("wg: cannot change wg0: peer {}: Cannot allocate memory (ENOMEM)\n", key(2))
    );
    let said = shell.fails("set wg1 peer <1>");
    assert_eq!(said, "wg: cannot change wg1: No such device (ENODEV)\n");
}

#[test]
fn a_long_interface_name_is_an_error() {
    let shell = shell(TWO);
    for line in
        ["show sixteen-bytes-ok", "setconf sixteen-bytes-ok conf", "set sixteen-bytes-ok fwmark 1"]
    {
        let said = shell.fails(line);
        assert!(said.starts_with("wg: `sixteen-bytes-ok`: not an interface name"), "{said}");
    }
}

#[test]
fn set_changes_what_it_names() {
    let mut shell = shell(TWO);
    shell.files.insert("psk".to_owned(), format!("{}\n", key(9)).into_bytes());
    shell.well("setconf wg0 conf");
    for (line, sent) in [
        ("fwmark 0x10", &["mark"][..]),
        ("private-key /dev/null listen-port 0", &["key port"]),
        ("peer <1> preshared-key psk", &["", "1 psk"]),
        ("peer <1> preshared-key /dev/null", &["", "1 psk"]),
        ("peer <1> allowed-ips ''", &["", "1 replace"]),
        ("peer <1> allowed-ips +10.0.1.0/24", &["", "1 10.0.1.0/24"]),
        ("peer <1> remove peer <3> endpoint [::1]:7", &["", "1 gone", "3 endpoint"]),
    ] {
        assert_eq!(shell.sent(&format!("set wg0 {line}")), sent, "{line}");
    }
}

#[test]
fn allowed_ips_are_taken_away_on_kernels_of_any_age() {
    for takes_away in [false, true] {
        let shell = shell(TWO);
        shell.meddle(|device| device.takes_away = takes_away);
        shell.well("setconf wg0 conf");
        // One that the peer has, one of another peer, and one that no peer has.
        shell
            .well("set wg0 peer <1> allowed-ips -10.0.1.0/24,-fd00::/64,+10.9.0.0/16,-10.8.0.0/16");
        assert_eq!(shell.ips(1), ["10.0.2.0/24", "10.9.0.0/16"]);
        assert_eq!(shell.ips(2), ["fd00::/64"]);
        assert_eq!(shell.device().peers.len(), 2);
    }
}

#[test]
fn a_port_may_be_the_name_of_a_service() {
    let mut shell = shell(
        "[Interface]\nListenPort = domain\n[Peer]\nPublicKey = <1>\nEndpoint = here:domain\n",
    );
    shell.hosts.insert("here", "192.0.2.9:1".parse().unwrap());
    shell.well("setconf wg0 conf");
    assert_eq!(shell.well("show wg0 listen-port"), "53\n");
    assert!(shell.well("show wg0 endpoints").ends_with("\t192.0.2.9:53\n"));
    shell.well("set wg0 listen-port 7 peer <1> endpoint [fd00::1]:domain");
    shell.well("set wg0 listen-port domain");
    assert!(shell.well("show wg0 endpoints").ends_with("\t[fd00::1]:53\n"));
    let wrong = "is not a port: a number from 0 to 65535, or the name of a service";
    let said = shell.fails("set wg0 listen-port domian");
    assert_eq!(said, format!("wg: listen-port `domian` {wrong}\n"));
    let said = shell.fails("set wg0 peer <1> endpoint 192.0.2.1:domian");
    assert_eq!(said, "wg: endpoint 192.0.2.1: no such port\n");
    shell.conf("[Interface]\nFwMark = 1\nListenPort = +65536\n");
    assert_eq!(
        shell.fails("setconf wg0 conf"),
        format!("wg: line 3: ListenPort `+65536` {wrong}\n")
    );
    shell.conf("[Interface]\nListenPort = <7>\n");
    let said = shell.fails("setconf wg0 conf");
    assert_eq!(said, format!("wg: line 2: ListenPort `(hidden)` {wrong}\n"));
    assert_eq!(shell.well("show wg0 listen-port"), "53\n");
}

#[test]
fn a_host_is_asked_for_as_often_as_told() {
    let mut shell = shell("[Peer]\nPublicKey = <1>\nEndpoint = later:7\n[Peer]\nPublicKey = <2>");
    shell.variables.insert("WG_ENDPOINT_RESOLUTION_RETRIES", "3");
    let said = shell.fails("setconf wg0 conf");
    assert_eq!(*shell.slept.borrow(), [1000, 1200, 1440]);
    assert!(said.ends_with("wg: line 3: Endpoint later: not today\n"), "{said}");
    assert!(said.starts_with("wg: later: not today. Trying again in 1.00 seconds...\n"), "{said}");
    shell.variables.remove("WG_ENDPOINT_RESOLUTION_RETRIES");
    shell.slept.take();
    shell.fails("set wg0 peer <1> endpoint later:7");
    assert_eq!((shell.slept.borrow().len(), shell.slept.borrow()[14]), (15, 12_825));
    shell.slept.take();
    shell.fails("set wg0 peer <1> endpoint nobody:7");
    assert!(shell.slept.borrow().is_empty());
    shell.variables.insert("WG_ENDPOINT_RESOLUTION_RETRIES", "-1");
    shell.fails("set wg0 peer <1> endpoint 192.0.2.1:7");
    assert!(shell.device().sent.is_empty());
}

#[test]
fn a_key_ends_with_the_first_byte_that_is_none_of_it() {
    let secret = key(1);
    for (text, words) in [
        (format!("{secret}\nx"), "not a key"),
        (format!("{secret}\n\n \t#"), "not a key"),
        (format!("{secret}{secret}"), "not a key"),
        ("\0".repeat(100), "not a key"),
    ] {
        let mut shell = shell("");
        shell.files.insert("endless".to_owned(), text.clone().into_bytes());
        // Reading on would be an error here, and would go on for ever with a device.
        shell.hangs = true;
        for line in ["set wg0 private-key endless", "set wg0 peer <1> preshared-key endless"] {
            let said = shell.fails(line);
            assert!(said.contains(words), "{text:?}: {said}");
        }
    }
}

#[test]
fn retries_are_a_number_as_strtoul_reads_it() {
    for (text, taken) in [
        ("1", true),
        (" 1", true),
        ("+1", true),
        ("00", true),
        ("infinity", true),
        ("2147483647", true),
        ("1 ", false),
        ("2147483648", false),
        ("-1", false),
        ("0x1", false),
        ("1e9", false),
        ("infinite", false),
    ] {
        let mut shell = shell("");
        shell.variables.insert("WG_ENDPOINT_RESOLUTION_RETRIES", text);
        let (code, _, said) = shell.run(&format!("set wg0 peer {} endpoint 192.0.2.1:7", key(1)));
        assert_eq!(code == 0, taken, "{text:?}: {said}");
    }
}

#[test]
fn an_endpoint_without_address_can_be_left_out() {
    let mut shell = shell("[Peer]\nPublicKey = <1>\nEndpoint = nobody:7\n[Peer]\nPublicKey = <2>");
    shell.variables.insert("WG_ENDPOINT_RESOLUTION_SKIP", "1");
    let (code, _, err) = shell.run("setconf wg0 conf");
    let left = format!("wg: peer {}: configured without its endpoint\n", key(1));
    assert_eq!((code, err), (2, format!("wg: line 3: Endpoint nobody: not today\n{left}")));
    assert_eq!(shell.device().peers.len(), 2);
}

#[test]
fn peers_are_shown_newest_first_and_the_rest_as_they_come() {
    let shell = shell(TWO);
    let ages = [0, 5, 999_999, 0, 1_000_000, 5, 1_000_001, 0].iter().cycle().take(600).enumerate();
    let peers = ages
        .map(|(n, handshake)| DevicePeer {
            key: [&(n as u32).to_be_bytes()[..], &[1; 28]].concat(),
            preshared_key: vec![0; 32],
            handshake: *handshake,
            ..DevicePeer::default()
        })
        .collect();
    shell.meddle(|device| device.peers = peers);
    let shown = shell.well("show");
    let mut wanted: Vec<_> = shell.device().peers.clone();
    wanted.sort_by_key(|peer| -peer.handshake);
    let keys = shown.lines().filter_map(|line| line.strip_prefix("peer: "));
    let wanted = wanted.iter().map(|peer| PublicKey(peer.key[..].try_into().unwrap()).to_string());
    assert!(keys.eq(wanted));
    for line in
        ["Now", "1 second ago", "(System clock wound backward; connection problems may ensue.)"]
    {
        assert!(shown.contains(&format!("latest handshake: {line}\n")), "{line}");
    }
}

#[test]
fn sizes_and_times() {
    use super::text;
    for (bytes, wanted) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1029, "1.00 KiB"),
        (1030, "1.01 KiB"),
        // Exactly halfway: rounds to even.
        (1024 + 128, "1.12 KiB"),
        (1024 + 384, "1.38 KiB"),
        ((1 << 20) - 1, "1024.00 KiB"),
        (1 << 20, "1.00 MiB"),
        (5 << 30, "5.00 GiB"),
        (u64::MAX >> 11, "8192.00 TiB"),
    ] {
        let mut shown = String::new();
        text::bytes(&mut shown, false, bytes);
        assert_eq!(shown, wanted, "{bytes}");
        if (1024..1 << 50).contains(&bytes) {
            let unit = wanted.split(' ').nth(1).unwrap();
            let power =
                ["KiB", "MiB", "GiB", "TiB"].iter().position(|name| *name == unit).unwrap() as i32;
            assert_eq!(shown, format!("{:.2} {unit}", bytes as f64 / 1024_f64.powi(power + 1)));
        }
    }
    for (seconds, wanted) in [
        (0, ""),
        (1, "1 second"),
        (3_661, "1 hour, 1 minute, 1 second"),
        (2 * 31_536_000 + 2 * 86_400, "2 years, 2 days"),
    ] {
        let mut shown = String::new();
        text::time(&mut shown, false, seconds);
        assert_eq!(shown, wanted);
    }
}

#[test]
fn a_dump_that_is_overtaken_is_shown_once() {
    let shell = shell(TWO);
    shell.well("setconf wg0 conf");
    let once = shell.well("show wg0 dump");
    shell.meddle(|device| device.interrupted = 3);
    assert_eq!(shell.well("show wg0 dump"), once);
    shell.meddle(|device| device.interrupted = 100);
    assert!(shell.fails("show wg0 dump").contains("changed during each of"));
}

#[test]
fn keys_stay_where_they_belong() {
    let mut shell = shell(TWO);
    shell.files.insert("-".to_owned(), key(3).into_bytes());
    shell.well("setconf wg0 conf");
    assert!(shell.well("show").contains("private key: (hidden)"));
    for line in ["set wg0 private-key <8>", "show <8>", "<8>", "set wg0 <8>", "setconf wg0 <8>"] {
        let said = shell.fails(line);
        assert!(!said.contains(&key(8)[..8]), "{said}");
    }
    shell.files.insert("conf".to_owned(), format!("{}\0", key(3)).into_bytes());
    shell.fails("set wg0 private-key conf");
    shell.files.insert("-".to_owned(), format!("{}\0 \n", key(3)).into_bytes());
    assert_eq!(shell.well("pubkey").len(), 45);
    assert_eq!(shell.well("genkey"), format!("{}\n", PublicKey(clamped())));
    shell.variables.insert("exposed", "");
    let (code, _, err) = shell.run("genpsk");
    assert!(
        code == 0 && err.starts_with("wg: warning: every user can access the output file"),
        "{err}"
    );
}

fn clamped() -> [u8; 32] {
    let mut key = [0xff; 32];
    (key[0], key[31]) = (0xf8, 0x7f);
    key
}

#[test]
fn an_output_that_is_full_is_an_error() {
    let shell = shell(TWO);
    shell.full.set(true);
    for line in ["genkey", "show wg0 dump", "show interfaces", "showconf wg0"] {
        assert_eq!(shell.fails(line), "wg: standard output: No space left on device (ENOSPC)\n");
    }
}

#[test]
fn fields_of_all_interfaces_begin_with_their_names() {
    let shell = shell(TWO);
    shell.well("setconf wg0 conf");
    assert_eq!(shell.well("show interfaces"), "wg0\n");
    for field in ["public-key", "fwmark", "peers", "endpoints", "allowed-ips", "dump"] {
        let (one, all) =
            (shell.well(&format!("show wg0 {field}")), shell.well(&format!("show all {field}")));
        let prefixed: String = one.lines().map(|line| format!("wg0\t{line}\n")).collect();
        assert_eq!(all, prefixed, "{field}");
    }
    assert!(shell.fails("show all bogus").contains("there is no field `bogus`"));
}
