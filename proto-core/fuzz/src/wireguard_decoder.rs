//! Dumps of a WireGuard device: of random bytes, whole ones as a kernel could send them, and whole
//! ones with a few bytes changed.
//!
//! Promised: no panic, no endless loop, no event after an error, the device first and once, no
//! allowed IP without a peer; and the events of a whole dump have its content, however it is split
//! over messages.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use proto_core::ip::IpNet;
use proto_core::key::{PublicKey, SecretKey};
use proto_core::netlink::wireguard::attr::*;
use proto_core::netlink::wireguard::{DeviceInfo, Event, GetDecoder, Handshake, PeerInfo};
use proto_core::netlink::{Full, Messages, Writer};

use super::Seeds;
use super::input::{Input, chunk};

const FAMILY: u16 = 28;

/// A dump as a kernel could send it, and its content.
#[derive(Default)]
struct Dump {
    datagrams: Vec<Vec<u8>>,
    events: Vec<Event>,
}

fn key(nth: u16) -> [u8; 32] {
    let mut key = [0x5a; 32];
    key[..2].copy_from_slice(&nth.to_le_bytes());
    key
}

fn device(w: &mut Writer<'_>, info: &DeviceInfo) -> Result<(), Full> {
    w.u16(WGDEVICE_A_LISTEN_PORT, info.listen_port)?;
    w.u32(WGDEVICE_A_FWMARK, info.fwmark)?;
    w.u32(WGDEVICE_A_IFINDEX, info.ifindex)?;
    w.string(WGDEVICE_A_IFNAME, info.ifname.as_str())?;
    if let (Some(private), Some(public)) = (&info.private_key, info.public_key) {
        w.bytes(WGDEVICE_A_PRIVATE_KEY, private.as_bytes())?;
        w.bytes(WGDEVICE_A_PUBLIC_KEY, &public.0)?;
    }
    Ok(())
}

fn peer(w: &mut Writer<'_>, info: &PeerInfo, padded: bool) -> Result<(), Full> {
    w.bytes(
        WGPEER_A_PRESHARED_KEY,
        info.preshared_key.as_ref().unwrap_or(&SecretKey::ZERO).as_bytes(),
    )?;
    let time = info.latest_handshake.unwrap_or(Handshake { secs: 0, nanos: 0 });
    let time = [time.secs.to_ne_bytes(), time.nanos.to_ne_bytes()].concat();
    w.bytes(WGPEER_A_LAST_HANDSHAKE_TIME, &time)?;
    w.u16(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, info.persistent_keepalive)?;
    if padded {
        w.bytes(0, &[])?;
    }
    w.u64(WGPEER_A_TX_BYTES, info.tx_bytes)?;
    w.u64(WGPEER_A_RX_BYTES, info.rx_bytes)?;
    w.u32(WGPEER_A_PROTOCOL_VERSION, info.protocol_version)?;
    let sockaddr = match info.endpoint {
        None => return Ok(()),
        Some(core::net::SocketAddr::V4(v4)) => {
            [&2_u16.to_ne_bytes()[..], &v4.port().to_be_bytes(), &v4.ip().octets(), &[0; 8]]
                .concat()
        }
        Some(core::net::SocketAddr::V6(v6)) => [
            &10_u16.to_ne_bytes()[..],
            &v6.port().to_be_bytes(),
            &[0; 4],
            &v6.ip().octets(),
            &v6.scope_id().to_ne_bytes(),
        ]
        .concat(),
    };
    w.bytes(WGPEER_A_ENDPOINT, &sockaddr)
}

fn allowed_ip(w: &mut Writer<'_>, net: &IpNet) -> Result<(), Full> {
    w.nest(0, |w| {
        w.u8(WGALLOWEDIP_A_CIDR_MASK, net.prefix)?;
        w.u16(WGALLOWEDIP_A_FAMILY, net.family().into())?;
        w.ip(WGALLOWEDIP_A_IPADDR, net.addr)
    })
}

fn any_net(input: &mut Input<'_>) -> IpNet {
    let what = input.byte();
    if what & 1 == 0 {
        IpNet { addr: Ipv4Addr::from(input.array()).into(), prefix: (what >> 1) % 33 }
    } else {
        IpNet { addr: Ipv6Addr::from(input.array()).into(), prefix: input.byte() % 129 }
    }
}

fn any_peer(input: &mut Input<'_>, nth: u16) -> PeerInfo {
    let what = input.byte();
    let latest_handshake = Handshake { secs: input.u32().into(), nanos: 1 };
    let scope = u32::from(what >> 4);
    let mut peer = PeerInfo::new(PublicKey(key(nth)));
    peer.preshared_key = (what & 1 != 0).then_some(SecretKey::new([7; 32]));
    peer.endpoint = match what & 6 {
        0 => None,
        2 => Some(SocketAddrV4::new(input.array().into(), input.u16()).into()),
        _ => Some(SocketAddrV6::new(input.array().into(), input.u16(), 0, scope).into()),
    };
    peer.persistent_keepalive = input.byte().into();
    peer.latest_handshake = (what & 8 != 0).then_some(latest_handshake);
    peer.rx_bytes = u64::from(input.u32()) << 20;
    peer.tx_bytes = input.u16().into();
    peer.protocol_version = 1;
    peer
}

/// A dump in the kernel's form: every message has the device until the first peer is complete, and
/// a continued peer has only its key.
fn any_dump(input: &mut Input<'_>) -> Dump {
    let what = input.byte();
    let mut info = DeviceInfo::new(7, "wg0".parse().expect("a name"));
    info.private_key = (what & 1 != 0).then_some(SecretKey::new([3; 32]));
    info.public_key = (what & 1 != 0).then_some(PublicKey([4; 32]));
    info.listen_port = input.u16();
    info.fwmark = u32::from(what);
    let mut dump = Dump { events: vec![Event::Device(info.clone())], ..Dump::default() };
    let (mut nth, mut goes_on, mut complete) = (0_u16, false, false);
    loop {
        let mut buf = vec![0; 1 << 14];
        let mut w = Writer::new(&mut buf);
        w.message(FAMILY, 2, 1, 1).expect("room");
        w.header(&[WG_CMD_GET_DEVICE, 1, 0, 0]).expect("room");
        if !complete {
            device(&mut w, &info).expect("room");
        }
        let put = |w: &mut Writer<'_>| loop {
            if !goes_on && (input.is_empty() || nth == 300) {
                return Ok(false);
            }
            let what = w.nest(0, |w| {
                if goes_on {
                    w.bytes(WGPEER_A_PUBLIC_KEY, &key(nth))?;
                } else {
                    nth += 1;
                    let info = any_peer(input, nth);
                    w.bytes(WGPEER_A_PUBLIC_KEY, &info.public_key.0)?;
                    peer(w, &info, what & 2 != 0)?;
                    dump.events.push(Event::Peer(info));
                }
                let what = input.byte();
                if what & 7 != 0 {
                    w.nest(WGPEER_A_ALLOWEDIPS, |w| {
                        (0..what & 7).try_for_each(|_| {
                            let net = any_net(input);
                            dump.events.push(Event::AllowedIp(net));
                            allowed_ip(w, &net)
                        })
                    })?;
                }
                Ok(what)
            })?;
            goes_on = what & 0x80 != 0;
            complete |= !goes_on;
            if goes_on || what & 0x40 != 0 || w.len() > 8000 {
                return Ok(true);
            }
        };
        let next_message = w.nest(WGDEVICE_A_PEERS, put).expect("room");
        dump.datagrams.push(w.finish().to_vec());
        if !next_message {
            return dump;
        }
    }
}

/// Decodes, and checks the order of the events.
fn told(datagrams: &[Vec<u8>]) -> Vec<Event> {
    let mut decoder = GetDecoder::new(FAMILY);
    let mut told = Vec::new();
    for datagram in datagrams {
        for message in Messages::new(datagram).flatten() {
            let most = message.payload.len();
            let before = told.len();
            let mut events = decoder.message(&message);
            while let Some(event) = events.next() {
                match event {
                    Ok(event) => told.push(event),
                    Err(error) => {
                        assert!(!error.to_string().is_empty());
                        assert!(events.next().is_none(), "an event after an error");
                    }
                }
                assert!(told.len() - before <= most);
            }
        }
    }
    let mut peer = false;
    for (nth, event) in told.iter().enumerate() {
        match event {
            Event::Device(_) => assert_eq!(nth, 0),
            Event::Peer(_) => peer = true,
            Event::AllowedIp(net) => assert!(peer && net.is_valid()),
        }
    }
    assert!(told.is_empty() || matches!(told[0], Event::Device(_)));
    told
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 3 {
        0 => {
            let mut datagrams = Vec::new();
            while !input.is_empty() {
                datagrams.push(input.chunk().to_vec());
            }
            told(&datagrams);
        }
        1 => {
            let dump = any_dump(&mut input);
            assert_eq!(told(&dump.datagrams), dump.events);
        }
        _ => {
            let mut changes = Input(input.chunk());
            let mut dump = any_dump(&mut input);
            while !changes.is_empty() {
                let nth = usize::from(changes.byte()) % dump.datagrams.len();
                let datagram = &mut dump.datagrams[nth];
                let at = usize::from(changes.u16()) % (datagram.len() + 1);
                match (changes.byte(), datagram.get_mut(at)) {
                    (0, _) => datagram.truncate(at),
                    (by, Some(byte)) => *byte ^= by,
                    (by, None) => datagram.push(by),
                }
                if changes.byte() == 1 {
                    dump.datagrams.swap(0, nth);
                }
            }
            told(&dump.datagrams);
        }
    }
}

pub fn seeds() -> Seeds {
    let v4 = |bits: u8| [&[bits << 1][..], &[10, 1, 2, 3]].concat();
    let v6 = |bits: u8| [&[1][..], &[0xfd; 16], &[bits]].concat();
    // A peer with all fields, and the byte that selects what follows it.
    let peer = |what: u8, after: u8| {
        let handshake = 1_700_000_000_u32.to_le_bytes();
        let endpoint = match what & 6 {
            0 => vec![],
            2 => vec![192, 0, 2, 1, 0x6c, 0xca],
            _ => [&[0xfe; 16][..], &[0x6c, 0xca]].concat(),
        };
        [&[what][..], &handshake, &endpoint, &[25, 1, 2, 3, 4, 5, 6, after]].concat()
    };
    let dumps: [(&str, Vec<u8>); 9] = [
        ("device", vec![1, 0x6c, 0xca]),
        ("device-without-key", vec![0, 0, 0]),
        ("peer", [vec![1, 0, 0], peer(0, 0)].concat()),
        ("peer-4", [vec![1, 0, 0], peer(11, 1), v4(32)].concat()),
        ("peer-6", [vec![1, 0, 0], peer(13, 2), v6(128), v4(0)].concat()),
        ("padded", [vec![3, 0, 0], peer(15, 1), v6(0), peer(9, 0)].concat()),
        ("continued", [vec![1, 0, 0], peer(1, 0x81), v4(8), vec![1], v4(9), peer(0, 0)].concat()),
        (
            "continued-thrice",
            [vec![1, 0, 0], peer(1, 0x81), v4(8), vec![0x81], v4(9), vec![0x80], vec![0]].concat(),
        ),
        ("next-message", [vec![1, 0, 0], peer(0, 0x40), peer(0, 0x40), peer(0, 0)].concat()),
    ];
    let mut seeds: Seeds = Vec::new();
    for (name, dump) in dumps {
        let whole = any_dump(&mut Input(&dump));
        let raw: Vec<u8> = whole.datagrams.iter().flat_map(|bytes| chunk(bytes)).collect();
        seeds.push((format!("{name}-raw"), [&[0][..], &raw].concat()));
        seeds.push((format!("{name}-whole"), [&[1][..], &dump].concat()));
        let change = [0, 60, 0, 0x40, 0, 0, 90, 0, 0, 0];
        seeds.push((format!("{name}-changed"), [&[2][..], &chunk(&change), &dump].concat()));
    }
    seeds.push(("error-then-the-same-peer".into(), error_then_the_same_peer()));
    seeds
}

/// A peer that was dropped because of an error must not be treated as continued when it comes
/// again.
fn error_then_the_same_peer() -> Vec<u8> {
    let datagram = |device_too: bool, what: fn(&mut Writer<'_>) -> Result<(), Full>| {
        let mut buf = vec![0; 512];
        let mut w = Writer::new(&mut buf);
        let mut put = || {
            w.message(FAMILY, 2, 1, 1)?;
            w.header(&[WG_CMD_GET_DEVICE, 1, 0, 0])?;
            if device_too {
                w.u32(WGDEVICE_A_IFINDEX, 7)?;
                w.string(WGDEVICE_A_IFNAME, "wg0")?;
            }
            w.nest(WGDEVICE_A_PEERS, |w| {
                w.nest(0, |w| {
                    w.bytes(WGPEER_A_PUBLIC_KEY, &key(1))?;
                    what(w)
                })
            })
        };
        put().expect("room");
        chunk(w.finish())
    };
    let wrong = datagram(true, |w| w.bytes(WGPEER_A_ENDPOINT, &[2, 0]));
    let again = datagram(false, |w| {
        w.nest(WGPEER_A_ALLOWEDIPS, |w| {
            allowed_ip(w, &IpNet { addr: Ipv4Addr::LOCALHOST.into(), prefix: 8 })
        })
    });
    [vec![0], wrong, again].concat()
}
