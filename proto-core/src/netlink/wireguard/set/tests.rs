use core::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6};

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::netlink::IfName;
use crate::netlink::fixture::messages;
use crate::netlink::read::{Attribute, Attributes};
use crate::netlink::wireguard::{read_endpoint, read_ip};

const FAMILY: u16 = 28;
const SEQ: u32 = 9;

/// A peer and its allowed IPs.
type Peer = (PeerChange, Vec<AllowedIpChange>);

fn name() -> IfName {
    "wg0".parse().unwrap()
}

fn key(byte: u8) -> PublicKey {
    PublicKey([byte; 32])
}

fn allowed(text: &str) -> AllowedIpChange {
    AllowedIpChange { net: text.parse().unwrap(), remove: false }
}

/// The messages for a configuration, in a buffer of `size` bytes.
fn encode(size: usize, device: &DeviceChange, peers: &[Peer]) -> Result<Vec<Vec<u8>>, SetError> {
    let mut buf = vec![0xaa; size];
    let mut encoder = SetEncoder::new(&mut buf, FAMILY, name());
    let mut sent = Vec::new();
    let mut offer = |piece: &dyn Fn(&mut SetEncoder<'_>) -> Result<(), SetError>| {
        let taken = piece(&mut encoder);
        if taken != Err(SetError::Full) {
            return taken;
        }
        sent.push(encoder.message(SEQ).unwrap().to_vec());
        let taken = piece(&mut encoder);
        assert_ne!(taken, Err(SetError::Full), "no room in an empty message");
        taken
    };
    offer(&|e| e.device(device))?;
    for (peer, ips) in peers {
        offer(&|e| e.peer(peer))?;
        for ip in ips {
            offer(&|e| e.allowed_ip(ip))?;
        }
    }
    sent.extend(encoder.message(SEQ).map(<[u8]>::to_vec));
    assert_eq!(encoder.message(SEQ), None);
    Ok(sent)
}

fn list(attributes: Attributes<'_>) -> Vec<Attribute<'_>> {
    attributes.map(Result::unwrap).collect()
}

fn flag(flags: u32, bit: u32) -> bool {
    flags & bit != 0
}

/// Decodes the messages as the kernel would. Independent of the decoder of dumps, which could make
/// the same mistakes.
fn decode(sent: &[Vec<u8>]) -> (DeviceChange, Vec<Peer>) {
    let mut device = DeviceChange::default();
    let mut peers: Vec<Peer> = Vec::new();
    for (nth, bytes) in sent.iter().enumerate() {
        let [message] = messages(bytes)[..] else { panic!("not one message") };
        assert_eq!((message.ty, message.flags, message.seq, message.port), (FAMILY, 5, SEQ, 0));
        let (header, attributes) = message.split::<4>().unwrap();
        assert_eq!(*header, [WG_CMD_SET_DEVICE, WG_GENL_VERSION, 0, 0]);
        let attributes = list(attributes);
        assert_eq!(attributes[0].str(), Ok("wg0"));
        for a in &attributes[1..] {
            assert!(nth == 0 || a.ty == WGDEVICE_A_PEERS, "the device again: {a:?}");
            match a.ty {
                WGDEVICE_A_PRIVATE_KEY => {
                    device.private_key = Some(SecretKey::new(a.array().unwrap()))
                }
                WGDEVICE_A_LISTEN_PORT => device.listen_port = Some(a.u16().unwrap()),
                WGDEVICE_A_FWMARK => device.fwmark = Some(a.u32().unwrap()),
                WGDEVICE_A_FLAGS => device.replace_peers = a.u32() == Ok(WGDEVICE_F_REPLACE_PEERS),
                WGDEVICE_A_PEERS => {
                    for (at, entry) in list(a.entries()).into_iter().enumerate() {
                        assert!(entry.nested);
                        take_peer(&mut peers, &list(entry.nested()), nth > 0 && at == 0);
                    }
                }
                ty => panic!("attribute {ty}"),
            }
        }
    }
    (device, peers)
}

fn take_peer(peers: &mut Vec<Peer>, attributes: &[Attribute<'_>], may_continue: bool) {
    let mut peer = PeerChange::new(PublicKey(attributes[0].array().unwrap()));
    let mut ips = Vec::new();
    for a in &attributes[1..] {
        match a.ty {
            WGPEER_A_PRESHARED_KEY => peer.preshared_key = Some(SecretKey::new(a.array().unwrap())),
            WGPEER_A_ENDPOINT => peer.endpoint = Some(read_endpoint(a.payload).unwrap()),
            WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL => {
                peer.persistent_keepalive = Some(a.u16().unwrap());
            }
            WGPEER_A_FLAGS => {
                let flags = a.u32().unwrap();
                peer.remove = flag(flags, WGPEER_F_REMOVE_ME);
                peer.replace_allowed_ips = flag(flags, WGPEER_F_REPLACE_ALLOWEDIPS);
                peer.update_only = flag(flags, WGPEER_F_UPDATE_ONLY);
            }
            WGPEER_A_ALLOWEDIPS => ips = list(a.entries()).iter().map(take_allowed_ip).collect(),
            ty => panic!("attribute {ty}"),
        }
    }
    match peers.last_mut() {
        Some((last, all)) if last.public_key == peer.public_key => {
            let bare = PeerChange {
                remove: last.remove,
                update_only: last.update_only,
                ..PeerChange::new(last.public_key)
            };
            assert_eq!(peer, bare, "a continued peer repeats its settings");
            assert!(may_continue && !ips.is_empty());
            all.extend(ips);
        }
        _ => peers.push((peer, ips)),
    }
}

fn take_allowed_ip(entry: &Attribute<'_>) -> AllowedIpChange {
    assert!(entry.nested);
    let attributes = list(entry.nested());
    let family = attributes[0].u16().unwrap();
    let addr = read_ip(family, attributes[1].payload).unwrap();
    let net = IpNet::new(addr, attributes[2].u8().unwrap()).unwrap();
    let remove = match attributes.get(3) {
        None => false,
        Some(flags) => flags.ty == WGALLOWEDIP_A_FLAGS && flags.u32() == Ok(1),
    };
    AllowedIpChange { net, remove }
}

prop_compose! {
    fn any_allowed_ip()(bits: u128, v4: bool, prefix: u8, remove: bool) -> AllowedIpChange {
        let net = if v4 {
            let addr = Ipv4Addr::from_bits(u32::try_from(bits >> 96).unwrap());
            IpNet { addr: addr.into(), prefix: prefix % 33 }
        } else {
            IpNet { addr: Ipv6Addr::from_bits(bits).into(), prefix: prefix % 129 }
        };
        AllowedIpChange { net, remove }
    }
}

fn any_endpoint() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<(u32, u16)>().prop_map(|(ip, port)| (Ipv4Addr::from(ip), port).into()),
        any::<(u128, u16, u32)>().prop_map(|(ip, port, scope)| SocketAddrV6::new(
            ip.into(),
            port,
            0,
            scope
        )
        .into()),
    ]
}

prop_compose! {
    fn any_peer()(
        (remove, update_only, replace_allowed_ips) in any::<(bool, bool, bool)>(),
        preshared_key in of(any::<[u8; 32]>()),
        endpoint in of(any_endpoint()),
        persistent_keepalive: Option<u16>,
        ips in vec(any_allowed_ip(), 0..40),
    ) -> Peer {
        let preshared_key = preshared_key.map(SecretKey::new);
        let peer = PeerChange {
            public_key: key(0), remove, update_only, replace_allowed_ips, preshared_key, endpoint,
            persistent_keepalive,
        };
        (peer, ips)
    }
}

prop_compose! {
    fn any_device()(
        private_key in of(any::<[u8; 32]>()),
        listen_port: Option<u16>,
        fwmark: Option<u32>,
        replace_peers: bool,
    ) -> DeviceChange {
        DeviceChange { private_key: private_key.map(SecretKey::new), listen_port, fwmark, replace_peers }
    }
}

proptest! {
    #[test]
    fn every_configuration_comes_back_or_never_fits(
        size in prop_oneof![64usize..512, 512usize..=9000],
        device in any_device(),
        mut peers in vec(any_peer(), 0..20),
    ) {
        for (nth, (peer, _)) in peers.iter_mut().enumerate() {
            peer.public_key = key(u8::try_from(nth).unwrap());
        }
        match encode(size, &device, &peers) {
            Ok(sent) => {
                assert!(sent.iter().all(|message| message.len() <= size));
                assert_eq!(decode(&sent), (device, peers));
            }
            Err(error) => assert!(error == SetError::NoProgress && size < 512),
        }
    }
}

/// The bytes of `wg set wg0 listen-port 51820 peer ... endpoint 192.0.2.1:7 allowed-ips 10.0.0.0/8`.
#[test]
fn bytes_are_those_of_wg() {
    let device = DeviceChange { listen_port: Some(51820), ..DeviceChange::default() };
    let mut peer = PeerChange::new(key(0x11));
    peer.replace_allowed_ips = true;
    peer.endpoint = Some("192.0.2.1:7".parse().unwrap());
    peer.persistent_keepalive = Some(25);
    let sent = encode(4096, &device, &[(peer, vec![allowed("10.0.0.0/8")])]).unwrap();

    let ne = |n: u16| n.to_ne_bytes().to_vec();
    let attribute = |len, ty, payload: &[u8]| [ne(len), ne(ty), payload.to_vec()].concat();
    let expected = [
        [148u32.to_ne_bytes().to_vec(), ne(28), ne(5), 9u32.to_ne_bytes().to_vec()].concat(),
        vec![0, 0, 0, 0, 1, 1, 0, 0],
        attribute(8, 2, b"wg0\0"),
        attribute(6, 6, &[ne(51820), vec![0; 2]].concat()),
        attribute(112, 0x8008, &[]),
        attribute(108, 0x8000, &[]),
        attribute(36, 1, &[0x11; 32]),
        attribute(20, 4, &[ne(2), vec![0, 7, 192, 0, 2, 1], vec![0; 8]].concat()),
        attribute(6, 5, &[ne(25), vec![0; 2]].concat()),
        attribute(8, 3, &2u32.to_ne_bytes()),
        attribute(32, 0x8009, &[]),
        attribute(28, 0x8000, &[]),
        attribute(6, 1, &[ne(2), vec![0; 2]].concat()),
        attribute(8, 2, &[10, 0, 0, 0]),
        attribute(5, 3, &[8, 0, 0, 0]),
    ];
    assert_eq!(sent, [expected.concat()]);
}

/// `wg` leaves a nest in the message when it has room for the header only.
#[test]
fn empty_nests_stay_where_wg_leaves_them() {
    let peers = [(PeerChange::new(key(1)), vec![allowed("10.0.0.0/8"), allowed("fd00::/8")])];
    let device =
        DeviceChange { private_key: Some(SecretKey::new([7; 32])), ..DeviceChange::default() };
    // Headers and IFNAME 28, PRIVATE_KEY 36, PEERS 4, the peer 4 and its key 36, ALLOWEDIPS 4, and
    // allowed IPs of 28 and 40.
    let lengths = |size| -> Vec<usize> {
        encode(size, &device, &peers).unwrap().iter().map(Vec::len).collect()
    };
    assert_eq!(lengths(180), [180]);
    assert_eq!(lengths(179), [140, 116]);
    assert_eq!(lengths(140), [140, 116]);
    assert_eq!(lengths(139), [112, 104, 116]);
    let first = &encode(139, &device, &peers).unwrap()[0];
    let empty = [4u16.to_ne_bytes(), 0x8009u16.to_ne_bytes()].concat();
    assert_eq!(first[108..], empty);
}

/// A WireGuard library built a message of 13,724 bytes where 12,288 was the maximum.
#[test]
fn message_was_longer_than_its_buffer() {
    let ips: Vec<_> = (0..500u32)
        .map(|nth| {
            let net = IpNet { addr: Ipv4Addr::from_bits(nth << 8).into(), prefix: 24 };
            AllowedIpChange { net, remove: false }
        })
        .collect();
    let peers = [(PeerChange::new(key(1)), ips)];
    for size in [512, 4096, 8192, 12_288] {
        let sent = encode(size, &DeviceChange::default(), &peers).unwrap();
        assert!(sent.iter().all(|message| message.len() <= size));
        assert_eq!(decode(&sent).1, peers);
    }
}

/// A nest has at most 65,535 bytes, whatever the size of the buffer.
#[test]
fn a_large_buffer_does_not_overflow_a_nest() {
    let peers: Vec<Peer> =
        (0..=255).map(|nth| (PeerChange::new(key(nth)), vec![allowed("10.0.0.0/8"); 10])).collect();
    let sent = encode(1 << 20, &DeviceChange::default(), &peers).unwrap();
    assert_eq!(sent.len(), 2);
    assert_eq!(decode(&sent).1, peers);
}

#[test]
fn pieces_out_of_order_are_refused() {
    let mut buf = [0; 512];
    let mut encoder = SetEncoder::new(&mut buf, FAMILY, Target::Index(7));
    assert_eq!(encoder.message(SEQ), None);
    assert_eq!(encoder.allowed_ip(&allowed("::/0")), Err(SetError::Order));
    encoder.peer(&PeerChange::new(key(1))).unwrap();
    assert_eq!(encoder.device(&DeviceChange::default()), Err(SetError::Order));
    let net = IpNet { addr: Ipv4Addr::LOCALHOST.into(), prefix: 33 };
    let bad = AllowedIpChange { net, remove: false };
    assert_eq!(encoder.allowed_ip(&bad), Err(SetError::Prefix));
    let request = messages(encoder.message(SEQ).unwrap())[0];
    let target = list(request.split::<4>().unwrap().1)[0];
    assert_eq!((target.ty, target.u32()), (WGDEVICE_A_IFINDEX, Ok(7)));
}

#[test]
fn a_change_of_nothing_is_still_sent() {
    let sent = encode(64, &DeviceChange::default(), &[]).unwrap();
    assert_eq!(decode(&sent), (DeviceChange::default(), vec![]));
}

/// Continuing a peer that was just removed would create it again.
#[test]
fn flags_that_forbid_a_peer_are_repeated() {
    for (remove, update_only) in [(true, false), (false, true)] {
        let peer = PeerChange { remove, update_only, ..PeerChange::new(key(1)) };
        let peers = [(peer, vec![allowed("fd00::/8"); 20])];
        let sent = encode(512, &DeviceChange::default(), &peers).unwrap();
        assert!(sent.len() > 1);
        for message in &sent[1..] {
            let (_, again) = decode(core::slice::from_ref(message));
            assert_eq!((again[0].0.remove, again[0].0.update_only), (remove, update_only));
        }
    }
}
