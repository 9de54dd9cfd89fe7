use proptest::prelude::*;

use super::*;
use crate::conf::Host;
use crate::encoding::{hex, unhex};
use crate::ip::IpNet;
use crate::key::{PublicKey, SecretKey};
use crate::netlink::wireguard::{
    AllowedIpChange, DeviceChange, DeviceInfo, Event, Handshake, PeerChange, PeerInfo, SetEncoder,
    SetError,
};
use crate::netlink::{Errno, IfName};
use core::net::SocketAddr;

fn name() -> IfName {
    "wg0".parse().unwrap()
}

#[derive(Default)]
struct Told(Vec<Event>);

impl Sink for Told {
    fn event(&mut self, event: &Event) {
        self.0.push(event.clone());
    }

    fn resolve(&mut self, host: &Host<'_>) -> Option<SocketAddr> {
        (host.name == "here").then(|| SocketAddr::from(([192, 0, 2, 77], host.port)))
    }
}

fn read(text: &str) -> (Result<bool, AnswerError>, Vec<Event>) {
    let mut told = Told::default();
    (Answer::new(name()).feed(text.as_bytes(), &mut told), told.0)
}

fn device() -> DeviceInfo {
    DeviceInfo {
        ifindex: 0,
        ifname: name(),
        private_key: None,
        public_key: None,
        listen_port: 0,
        fwmark: 0,
        flags: 0,
    }
}

fn peer(key: u8) -> PeerInfo {
    PeerInfo::new(PublicKey([key; 32]))
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// A device and its peers, as text and as the expected events.
fn answer() -> (String, Vec<Event>) {
    let key = [7; 32];
    let text = format!(
        "private_key={}\nlisten_port=51820\nfwmark=51820\nsomething_new=1\n\
         public_key={}\npreshared_key={}\nprotocol_version=1\nendpoint=[fd00::1]:7\n\
         last_handshake_time_sec=1700000000\nlast_handshake_time_nsec=5\ntx_bytes=18446744073709551615\n\
         rx_bytes=3\npersistent_keepalive_interval=25\nallowed_ip=10.0.0.0/8\nallowed_ip=::/0\n\
         public_key={}\npreshared_key={}\nallowed_ip=10.1.0.0/16\nlast_handshake_time_sec=0\n\
         last_handshake_time_nsec=0\nrx_bytes=9\nendpoint=192.0.2.1:65535\nprivate_key=no matter\n\
         public_key={}\nendpoint=here:7\nerrno=0\n\n",
        "07".repeat(32),
        "01".repeat(32),
        "aB".repeat(32),
        "02".repeat(32),
        "00".repeat(32),
        "03".repeat(32),
    );
    let key = SecretKey::new(key);
    let events = vec![
        Event::Device(DeviceInfo {
            private_key: Some(key.clone()),
            public_key: Some(crate::key::public(&key)),
            listen_port: 51_820,
            fwmark: 51_820,
            ..device()
        }),
        Event::AllowedIp(net("10.0.0.0/8")),
        Event::AllowedIp(net("::/0")),
        Event::Peer(PeerInfo {
            preshared_key: Some(SecretKey::new([0xab; 32])),
            endpoint: Some("[fd00::1]:7".parse().unwrap()),
            persistent_keepalive: 25,
            latest_handshake: Some(Handshake { secs: 1_700_000_000, nanos: 5 }),
            rx_bytes: 3,
            tx_bytes: u64::MAX,
            ..peer(1)
        }),
        Event::AllowedIp(net("10.1.0.0/16")),
        Event::Peer(PeerInfo {
            rx_bytes: 9,
            endpoint: Some("192.0.2.1:65535".parse().unwrap()),
            ..peer(2)
        }),
        Event::Peer(PeerInfo { endpoint: Some("192.0.2.77:7".parse().unwrap()), ..peer(3) }),
    ];
    (text, events)
}

#[test]
fn an_answer_becomes_events() {
    let (text, events) = answer();
    assert_eq!(read(&text), (Ok(true), events));
    assert_eq!(read("errno=0\n\n"), (Ok(true), vec![Event::Device(device())]));
}

#[test]
fn what_a_program_refuses_is_told() {
    for text in ["errno=-22\n\n", "errno=22\n\n"] {
        assert_eq!(read(text).0, Err(AnswerError::Refused(Errno::EINVAL)), "{text}");
    }
    assert_eq!(AnswerError::Refused(Errno::EINVAL).to_string(), Errno::EINVAL.to_string());
}

#[test]
fn a_wrong_line_is_named() {
    let named = |text: &str| read(text).0.unwrap_err().to_string();
    for (text, wanted) in [
        ("listen_port=65536\n", "the program's answer has an invalid listen_port"),
        ("fwmark=-1\n", "the program's answer has an invalid fwmark"),
        ("fwmark=\n", "the program's answer has an invalid fwmark"),
        ("errno=x\n", "the program's answer has an invalid errno"),
        ("errno=99999999999\n", "the program's answer has an invalid errno"),
        ("private_key=07\n", "the program's answer has an invalid private_key"),
        ("listen_port\n", "the program's answer is not about a WireGuard device"),
        ("\n", "the program's answer is not about a WireGuard device"),
        ("listen_port=1\n\n", "the program's answer is not about a WireGuard device"),
    ] {
        assert_eq!(named(text), wanted, "{text}");
    }
    let key = "02".repeat(32);
    for line in [
        "preshared_key=0",
        "endpoint=",
        "endpoint=host",
        "endpoint=[::1]7",
        "endpoint=nobody:7",
        "allowed_ip=10.0.0.0/33",
        "allowed_ip=1",
        "rx_bytes=18446744073709551616",
        "last_handshake_time_sec=9223372036854775808",
        "persistent_keepalive_interval=65536",
    ] {
        let (name, _) = line.split_once('=').unwrap();
        let of = PublicKey([2; 32]);
        let wanted = format!("the program's answer has an invalid {name}: peer {of}");
        assert_eq!(named(&format!("public_key={key}\n{line}\n")), wanted);
    }
    let long = format!("{}\n", "x=y".repeat(200));
    assert_eq!(read(&long).0, Err(AnswerError::Malformed));
}

fn written(encoder: &mut SetEncoder<'_>) -> String {
    String::from_utf8(encoder.message(9).unwrap_or_default().to_vec()).unwrap()
}

/// The text as `wg` writes it.
#[test]
fn a_change_is_lines() {
    let mut buf = [0; 2048];
    let mut encoder = SetEncoder::new(&mut buf, NO_FAMILY, name());
    assert!(encoder.message(1).is_none());
    let change = DeviceChange {
        private_key: Some(SecretKey::new([0x0f; 32])),
        listen_port: Some(7),
        fwmark: Some(0),
        replace_peers: true,
    };
    encoder.device(&change).unwrap();
    encoder
        .peer(&PeerChange {
            preshared_key: Some(SecretKey::new([0xa9; 32])),
            endpoint: Some("192.0.2.1:7".parse().unwrap()),
            persistent_keepalive: Some(25),
            replace_allowed_ips: true,
            update_only: true,
            ..PeerChange::new(PublicKey([1; 32]))
        })
        .unwrap();
    for (text, remove) in [("10.0.0.0/8", false), ("::1/128", true)] {
        encoder.allowed_ip(&AllowedIpChange { net: net(text), remove }).unwrap();
    }
    for endpoint in ["[fd00::1]:65535", "[fe80::1%3]:0"] {
        let endpoint = Some(endpoint.parse().unwrap());
        encoder.peer(&PeerChange { endpoint, ..PeerChange::new(PublicKey([2; 32])) }).unwrap();
    }
    let remove = PeerChange { remove: true, ..PeerChange::new(PublicKey([3; 32])) };
    encoder.peer(&remove).unwrap();
    encoder.allowed_ip(&AllowedIpChange { net: net("10.0.0.0/8"), remove: false }).unwrap();
    let wanted = format!(
        "set=1\nprivate_key={}\nlisten_port=7\nfwmark=0\nreplace_peers=true\n\
         public_key={}\npreshared_key={}\nendpoint=192.0.2.1:7\npersistent_keepalive_interval=25\n\
         replace_allowed_ips=true\nallowed_ip=10.0.0.0/8\nallowed_ip=-::1/128\n\
         public_key={two}\nendpoint=[fd00::1]:65535\npublic_key={two}\nendpoint=[fe80::1%3]:0\n\
         public_key={}\nremove=true\n",
        "0f".repeat(32),
        "01".repeat(32),
        "a9".repeat(32),
        "03".repeat(32),
        two = "02".repeat(32),
    );
    assert_eq!(written(&mut encoder), wanted);
    assert!(encoder.message(2).is_none());
}

#[test]
fn a_peer_goes_on_in_the_next_message() {
    let mut buf = [0; 120];
    let mut encoder = SetEncoder::new(&mut buf, NO_FAMILY, name());
    encoder.peer(&PeerChange::new(PublicKey([1; 32]))).unwrap();
    let ip = AllowedIpChange { net: net("10.0.0.0/8"), remove: false };
    encoder.allowed_ip(&ip).unwrap();
    assert_eq!(encoder.allowed_ip(&ip), Err(SetError::Full));
    let key = "01".repeat(32);
    let wanted = format!("set=1\npublic_key={key}\nallowed_ip=10.0.0.0/8\n");
    assert_eq!(written(&mut encoder), wanted);
    encoder.allowed_ip(&ip).unwrap();
    assert_eq!(written(&mut encoder), wanted);
    let big = PeerChange {
        preshared_key: Some(SecretKey::new([1; 32])),
        ..PeerChange::new(PublicKey([1; 32]))
    };
    assert_eq!(encoder.peer(&big), Err(SetError::NoProgress));
}

/// Reads hexadecimal digits as a key.
fn unhexed(text: &[u8]) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    unhex(text, &mut key).map(|()| key)
}

proptest! {
    #[test]
    fn keys_go_both_ways(key: [u8; 32], at in 0..64_usize, byte: u8) {
        let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        prop_assert_eq!(&hex(&key)[..], text.as_bytes());
        prop_assert_eq!(unhexed(text.as_bytes()), Some(key));
        prop_assert_eq!(unhexed(text.to_uppercase().as_bytes()), Some(key));
        let mut other = text.into_bytes();
        other[at] = byte;
        prop_assert_eq!(unhexed(&other).is_some(), byte.is_ascii_hexdigit());
        prop_assert_eq!(unhexed(&other[1..]), None);
    }

    #[test]
    fn an_answer_is_the_same_however_it_is_cut(cuts in prop::collection::vec(1..40_usize, 0..60)) {
        let (text, events) = answer();
        let mut rest = text.as_bytes();
        let (mut whole, mut told) = (Answer::new(name()), Told::default());
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len() - 1));
            prop_assert_eq!(whole.feed(now, &mut told), Ok(false));
            rest = later;
        }
        prop_assert_eq!(whole.feed(rest, &mut told), Ok(true));
        prop_assert_eq!(told.0, events);
    }

    /// A program reports the settings that it was given.
    #[test]
    fn what_is_written_is_read_again(
        keys in prop::collection::vec(any::<[u8; 32]>(), 1..4),
        secret: [u8; 32],
        port: u16,
        mark: u32,
        keepalive: u16,
        ips in prop::collection::vec((any::<core::net::IpAddr>(), 0..=32_u8), 0..9),
        to: core::net::SocketAddrV4,
        room in 400..2_000_usize,
    ) {
        let mut buf = vec![0; room];
        let mut encoder = SetEncoder::new(&mut buf, NO_FAMILY, name());
        let mut text = String::new();
        let mut wanted = Vec::new();
        let change = DeviceChange {
            private_key: Some(SecretKey::new(secret)),
            listen_port: Some(port),
            fwmark: Some(mark),
            replace_peers: true,
        };
        encoder.device(&change).unwrap();
        for key in keys {
            let change = PeerChange {
                preshared_key: Some(SecretKey::new(secret)),
                persistent_keepalive: Some(keepalive),
                endpoint: Some(to.into()),
                ..PeerChange::new(PublicKey(key))
            };
            if encoder.peer(&change).is_err() {
                text += &written(&mut encoder);
                encoder.peer(&change).unwrap();
            }
            for (addr, prefix) in &ips {
                let net = IpNet { addr: *addr, prefix: *prefix };
                let change = AllowedIpChange { net, remove: false };
                if encoder.allowed_ip(&change).is_err() {
                    text += &written(&mut encoder);
                    encoder.allowed_ip(&change).unwrap();
                }
                wanted.push((key, net));
            }
        }
        text += &written(&mut encoder);
        text += "errno=0\n\n";
        let (done, events) = read(&text);
        prop_assert_eq!(done, Ok(true));
        let mut ips = Vec::new();
        let mut told = Vec::new();
        for event in events {
            match event {
                Event::Device(device) => {
                    prop_assert_eq!((device.listen_port, device.fwmark), (port, mark));
                }
                Event::AllowedIp(net) => ips.push(net),
                Event::Peer(peer) => {
                    told.extend(ips.drain(..).map(|net| (peer.public_key.0, net)));
                }
            }
        }
        prop_assert_eq!(told, wanted);
    }

    #[test]
    fn anything_may_come(bytes: Vec<u8>, text in "(private_key|public_key|allowed_ip|endpoint|errno|rx_bytes)?=?[0-9a-f.:/%\\[\\]]{0,70}\n{0,2}") {
        let _ = Answer::new(name()).feed(&bytes, &mut Told::default());
        let _ = read(&text);
    }
}
