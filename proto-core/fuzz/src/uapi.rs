//! The reply of a program that has WireGuard in it, split into reads at any place.
//!
//! Promised: the split makes no difference; the device comes first and once; every value is within
//! its range; and the values, written to a program, are read again unchanged.

use std::net::SocketAddr;

use proto_core::conf::Host;
use proto_core::netlink::IfName;
use proto_core::netlink::wireguard::{
    AllowedIpChange, DeviceChange, Event, PeerChange, SetEncoder, SetError,
};
use proto_core::uapi::{Answer, AnswerError, NO_FAMILY, Sink};

use super::Seeds;
use super::input::Input;

fn name() -> IfName {
    "wg0".parse().expect("a name")
}

#[derive(Default)]
struct Told(Vec<Event>);

impl Sink for Told {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Device(_) => assert!(self.0.is_empty()),
            Event::AllowedIp(net) => assert!(net.is_valid() && !self.0.is_empty()),
            Event::Peer(_) => assert!(!self.0.is_empty()),
        }
        self.0.push(event.clone());
    }

    fn resolve(&mut self, host: &Host<'_>) -> Option<SocketAddr> {
        assert!(!host.name.is_empty() && (host.port == 0 || host.service.is_empty()));
        None
    }
}

fn read(text: &[u8], mut cut: impl FnMut() -> usize) -> (Result<bool, AnswerError>, Vec<Event>) {
    let (mut answer, mut told) = (Answer::new(name()), Told::default());
    let mut rest = text;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(cut().clamp(1, rest.len()));
        match answer.feed(now, &mut told) {
            Ok(false) => rest = later,
            done => return (done, told.0),
        }
    }
    (Ok(false), told.0)
}

/// Writes all events as a change for a program. A peer comes after its allowed IPs.
fn write(events: &[Event], room: usize) -> Vec<u8> {
    let mut buf = vec![0; room];
    let mut encoder = SetEncoder::new(&mut buf, NO_FAMILY, name());
    let mut text = Vec::new();
    let mut put = |piece: &dyn Fn(&mut SetEncoder<'_>) -> Result<(), SetError>| {
        if piece(&mut encoder) == Err(SetError::Full) {
            text.extend(encoder.message(1).expect("a full message"));
            assert_eq!(piece(&mut encoder), Ok(()));
        }
    };
    let mut ips = Vec::new();
    for event in events {
        match event {
            Event::Device(device) => {
                let change = DeviceChange {
                    private_key: device.private_key.clone(),
                    listen_port: Some(device.listen_port),
                    fwmark: Some(device.fwmark),
                    replace_peers: true,
                };
                put(&|encoder| encoder.device(&change));
            }
            Event::AllowedIp(net) => ips.push(AllowedIpChange { net: *net, remove: false }),
            Event::Peer(peer) => {
                let change = PeerChange {
                    preshared_key: peer.preshared_key.clone(),
                    endpoint: peer.endpoint,
                    persistent_keepalive: Some(peer.persistent_keepalive),
                    ..PeerChange::new(peer.public_key)
                };
                put(&|encoder| encoder.peer(&change));
                for ip in ips.drain(..) {
                    put(&|encoder| encoder.allowed_ip(&ip));
                }
            }
        }
    }
    text.extend(encoder.message(2).unwrap_or_default());
    text.extend(b"errno=0\n\n");
    text
}

/// A byte for the size of the reads, and the reply.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let seed = input.byte();
    let text = input.0;
    let (done, events) = read(text, || usize::MAX);
    let mut n = u32::from(seed);
    let cut = read(text, || {
        n = n.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        (n >> 24) as usize % (usize::from(seed) + 1)
    });
    assert_eq!((done, &events), (cut.0, &cut.1));
    if done != Ok(true) {
        return;
    }
    // A message that ends in a peer is followed by one that continues the peer.
    let (again, told) = read(&write(&events, 512 + usize::from(seed)), || usize::MAX);
    assert_eq!(again, Ok(true));
    let ips = |events: &[Event]| -> Vec<Event> {
        events.iter().filter(|event| matches!(event, Event::AllowedIp(_))).cloned().collect()
    };
    assert_eq!(ips(&told), ips(&events));
}

/// Replies of programs, and some invalid ones.
pub fn seeds() -> Seeds {
    let key = |byte: u8| format!("{byte:02x}").repeat(32);
    let peers = format!(
        "private_key={}\nlisten_port=51820\nfwmark=7\npublic_key={}\npreshared_key={}\n\
         protocol_version=1\nendpoint=[fd00::1]:7\nlast_handshake_time_sec=1700000000\n\
         last_handshake_time_nsec=5\ntx_bytes=1\nrx_bytes=18446744073709551615\n\
         persistent_keepalive_interval=25\nallowed_ip=10.0.0.0/8\nallowed_ip=::/0\npublic_key={}\n\
         allowed_ip=192.0.2.1/32\nendpoint=192.0.2.1:65535\nerrno=0\n\n",
        key(8),
        key(1),
        key(9),
        key(2),
    );
    let named = format!("public_key={}\nendpoint=host.example:domain\nerrno=0\n\n", key(1));
    [
        ("peers", peers.as_str()),
        ("empty", "errno=0\n\n"),
        ("refused", "errno=-22\n\n"),
        ("named", named.as_str()),
        ("no-end", "listen_port=7\n\n"),
        ("no-key", "public_key=00\n"),
        ("no-line", "listen_port\n"),
    ]
    .iter()
    .map(|(name, text)| ((*name).to_owned(), [b"\x05", text.as_bytes()].concat()))
    .collect()
}
