//! Any configuration, encoded into a buffer of any size.
//!
//! Promised: the messages contain what was offered, no message is longer than its buffer, and only
//! the first has the device; too small a buffer gives `NoProgress`, and never from 512 bytes on;
//! and calls in any order do not panic.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use proto_core::ip::IpNet;
use proto_core::key::{PublicKey, SecretKey};
use proto_core::netlink::wireguard::attr::*;
use proto_core::netlink::wireguard::{
    AllowedIpChange, DeviceChange, PeerChange, SetEncoder, SetError, Target,
};
use proto_core::netlink::{Attribute, Attributes, IfName, Messages};

use super::Seeds;
use super::input::Input;

const FAMILY: u16 = 28;
const SEQ: u32 = 9;

type Peer = (PeerChange, Vec<AllowedIpChange>);

fn any_device(input: &mut Input<'_>) -> DeviceChange {
    let what = input.byte();
    DeviceChange {
        private_key: (what & 1 != 0).then_some(SecretKey::new([3; 32])),
        listen_port: (what & 2 != 0).then(|| input.u16()),
        fwmark: (what & 4 != 0).then(|| input.u32()),
        replace_peers: what & 8 != 0,
    }
}

fn any_peer(input: &mut Input<'_>, nth: usize) -> PeerChange {
    let what = input.byte();
    let mut key = [0x5a; 32];
    key[..8].copy_from_slice(&(nth as u64).to_le_bytes());
    PeerChange {
        public_key: PublicKey(key),
        remove: what & 1 != 0,
        update_only: what & 2 != 0,
        replace_allowed_ips: what & 4 != 0,
        preshared_key: (what & 8 != 0).then_some(SecretKey::new([7; 32])),
        endpoint: match what & 0x30 {
            0x10 => Some(SocketAddrV4::new(input.array().into(), input.u16()).into()),
            0x20 => {
                let scope = input.byte().into();
                Some(SocketAddrV6::new(input.array().into(), input.u16(), 0, scope).into())
            }
            _ => None,
        },
        persistent_keepalive: (what & 0x40 != 0).then(|| input.u16()),
    }
}

fn any_allowed_ip(input: &mut Input<'_>) -> AllowedIpChange {
    let what = input.byte();
    let remove = what & 0x80 != 0;
    let net = if what & 0x40 == 0 {
        IpNet { addr: Ipv4Addr::from(input.array()).into(), prefix: what & 0x3f }
    } else {
        IpNet { addr: Ipv6Addr::from(input.array()).into(), prefix: (what & 0x3f) * 3 }
    };
    AllowedIpChange { net, remove }
}

/// Offers the whole configuration, as the encoder's documentation describes.
fn encode(size: usize, device: &DeviceChange, peers: &[Peer]) -> Result<Vec<Vec<u8>>, SetError> {
    let name: IfName = "wg0".parse().expect("a name");
    let mut buf = vec![0xaa; size];
    let mut encoder = SetEncoder::new(&mut buf, FAMILY, name);
    let mut sent = Vec::new();
    let mut offer = |piece: &dyn Fn(&mut SetEncoder<'_>) -> Result<(), SetError>| {
        let taken = piece(&mut encoder);
        if taken != Err(SetError::Full) {
            return taken;
        }
        sent.push(encoder.message(SEQ).expect("a full message").to_vec());
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
    attributes.map(|attribute| attribute.expect("a whole attribute")).collect()
}

/// Decodes the messages as a kernel would.
fn decode(sent: &[Vec<u8>]) -> (DeviceChange, Vec<Peer>) {
    let mut device = DeviceChange::default();
    let mut peers: Vec<Peer> = Vec::new();
    for (nth, bytes) in sent.iter().enumerate() {
        let messages: Vec<_> = Messages::new(bytes).map(|m| m.expect("whole")).collect();
        let [message] = messages[..] else { panic!("not one message") };
        assert_eq!((message.ty, message.flags, message.seq, message.port), (FAMILY, 5, SEQ, 0));
        let (header, attributes) = message.split::<4>().expect("a header");
        assert_eq!(*header, [WG_CMD_SET_DEVICE, WG_GENL_VERSION, 0, 0]);
        let attributes = list(attributes);
        assert_eq!(attributes[0].str(), Ok("wg0"));
        for a in &attributes[1..] {
            assert!(nth == 0 || a.ty == WGDEVICE_A_PEERS, "the device again");
            match a.ty {
                WGDEVICE_A_PRIVATE_KEY => device.private_key = a.array().ok().map(SecretKey::new),
                WGDEVICE_A_LISTEN_PORT => device.listen_port = a.u16().ok(),
                WGDEVICE_A_FWMARK => device.fwmark = a.u32().ok(),
                WGDEVICE_A_FLAGS => device.replace_peers = a.u32() == Ok(WGDEVICE_F_REPLACE_PEERS),
                WGDEVICE_A_PEERS => {
                    for (at, entry) in list(a.entries()).iter().enumerate() {
                        take_peer(&mut peers, entry, nth > 0 && at == 0);
                    }
                }
                ty => panic!("attribute {ty}"),
            }
        }
    }
    (device, peers)
}

fn take_peer(peers: &mut Vec<Peer>, entry: &Attribute<'_>, may_go_on: bool) {
    let attributes = list(entry.nested());
    let mut peer = PeerChange::new(PublicKey(attributes[0].array().expect("a key")));
    let mut ips = Vec::new();
    for a in &attributes[1..] {
        match a.ty {
            WGPEER_A_PRESHARED_KEY => peer.preshared_key = a.array().ok().map(SecretKey::new),
            WGPEER_A_ENDPOINT => peer.endpoint = Some(endpoint(a.payload)),
            WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL => peer.persistent_keepalive = a.u16().ok(),
            WGPEER_A_FLAGS => {
                let flags = a.u32().expect("flags");
                peer.remove = flags & WGPEER_F_REMOVE_ME != 0;
                peer.replace_allowed_ips = flags & WGPEER_F_REPLACE_ALLOWEDIPS != 0;
                peer.update_only = flags & WGPEER_F_UPDATE_ONLY != 0;
            }
            WGPEER_A_ALLOWEDIPS => ips = list(a.entries()).iter().map(allowed_ip).collect(),
            ty => panic!("attribute {ty}"),
        }
    }
    match peers.last_mut() {
        Some((last, all)) if last.public_key == peer.public_key => {
            let (remove, update_only) = (last.remove, last.update_only);
            let bare = PeerChange { remove, update_only, ..PeerChange::new(last.public_key) };
            assert_eq!(peer, bare, "a continued peer repeats its settings");
            assert!(may_go_on && !ips.is_empty());
            all.extend(ips);
        }
        _ => peers.push((peer, ips)),
    }
}

fn endpoint(sockaddr: &[u8]) -> SocketAddr {
    let port = u16::from_be_bytes([sockaddr[2], sockaddr[3]]);
    match sockaddr.len() {
        16 => {
            let ip: [u8; 4] = sockaddr[4..8].try_into().expect("four bytes");
            SocketAddrV4::new(ip.into(), port).into()
        }
        28 => {
            let ip: [u8; 16] = sockaddr[8..24].try_into().expect("sixteen bytes");
            let scope = u32::from_ne_bytes(sockaddr[24..].try_into().expect("four bytes"));
            SocketAddrV6::new(ip.into(), port, 0, scope).into()
        }
        len => panic!("a sockaddr of {len} bytes"),
    }
}

fn allowed_ip(entry: &Attribute<'_>) -> AllowedIpChange {
    let attributes = list(entry.nested());
    let addr = attributes[1].ip().expect("an address");
    let net = IpNet::new(addr, attributes[2].u8().expect("a prefix")).expect("in range");
    assert_eq!(attributes[0].u16(), Ok(net.family().into()));
    AllowedIpChange { net, remove: attributes.get(3).is_some_and(|flags| flags.u32() == Ok(1)) }
}

/// Calls in any order, with a buffer of any size.
fn disorder(size: usize, input: &mut Input<'_>) {
    let mut buf = vec![0xaa; size];
    let mut encoder = SetEncoder::new(&mut buf, FAMILY, Target::Index(7));
    let mut nth = 0;
    while !input.is_empty() {
        let taken = match input.byte() % 4 {
            0 => encoder.device(&any_device(input)),
            1 => {
                nth += 1;
                encoder.peer(&any_peer(input, nth))
            }
            2 => encoder.allowed_ip(&any_allowed_ip(input)),
            _ => {
                if let Some(message) = encoder.message(SEQ) {
                    assert!(message.len() <= size);
                    assert!(Messages::new(message).all(|message| message.is_ok()));
                }
                Ok(())
            }
        };
        assert!(size < 512 || taken != Err(SetError::NoProgress));
    }
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let size = usize::from(input.u16());
    if input.byte() & 1 != 0 {
        return disorder(size, &mut input);
    }
    let device = any_device(&mut input);
    let mut peers: Vec<Peer> = Vec::new();
    while !input.is_empty() {
        let peer = any_peer(&mut input, peers.len());
        let mut ips = Vec::new();
        for _ in 0..input.byte() % 64 {
            let mut ip = any_allowed_ip(&mut input);
            ip.net.prefix = ip.net.prefix.min(ip.net.max_prefix());
            ips.push(ip);
        }
        peers.push((peer, ips));
    }
    match encode(size, &device, &peers) {
        Ok(sent) => {
            assert!(sent.iter().all(|message| message.len() <= size));
            assert_eq!(decode(&sent), (device, peers));
        }
        Err(error) => assert!(error == SetError::NoProgress && size < 512, "{error} at {size}"),
    }
}

pub fn seeds() -> Seeds {
    let v4 = [24, 10, 1, 2, 3];
    let v6 = [&[0x40 + 21][..], &[0xfd; 16]].concat();
    let everything = [&[15][..], &[0x6c, 0xca], &[1, 2, 3, 4]].concat();
    let full = |ips: &[&[u8]]| {
        let count = u8::try_from(ips.len()).expect("few");
        [&[0x5c][..], &[192, 0, 2, 1, 7, 0], &[25, 0], &[count], &ips.concat()].concat()
    };
    let peer6 = [&[0x26][..], &[3], &[0xfe; 16], &[7, 0], &[0]].concat();
    let configurations: [(&str, Vec<u8>); 7] = [
        ("nothing", vec![]),
        ("device", everything.clone()),
        ("bare-peer", vec![0, 0, 0]),
        ("peer", [&[0][..], &full(&[&v4, &v6])].concat()),
        ("peers", [everything.clone(), full(&[&v4]), peer6, full(&[])].concat()),
        ("many-ips", [&everything[..], &full(&[&v4[..], &v6, &v4, &v6, &v4, &v6])].concat()),
        ("removal", [&[0, 0x83, 2][..], &v4, &v6].concat()),
    ];
    let mut seeds: Seeds = Vec::new();
    for (name, configuration) in configurations {
        for size in [64_u16, 180, 512, 4096] {
            let bytes = [&size.to_le_bytes()[..], &[0], &configuration].concat();
            seeds.push((format!("{name}-in-{size}"), bytes));
        }
    }
    let calls = [&[2][..], &v4, &[1, 0, 2], &v4, &[0, 15, 1, 2, 3, 4, 5, 6, 3, 2], &v6, &[3, 3]];
    for size in [100_u16, 512] {
        let bytes = [&size.to_le_bytes()[..], &[1], &calls.concat()].concat();
        seeds.push((format!("disorder-in-{size}"), bytes));
    }
    seeds
}
