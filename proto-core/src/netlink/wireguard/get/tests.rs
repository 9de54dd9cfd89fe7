use core::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::netlink::fixture::{datagram, messages};
use crate::netlink::write::Writer;

const FAMILY: u16 = 28;

type Put = Result<(), Full>;

/// 10.0.0.0.
const TEN: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 0));

fn key(nth: u8) -> PublicKey {
    PublicKey([nth; 32])
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// A message of a dump, with the device's attributes as the kernel orders them.
fn message(w: &mut Writer<'_>, device: bool, peers: impl FnOnce(&mut Writer<'_>) -> Put) -> Put {
    w.message(FAMILY, 2, 1, 1)?;
    w.header(&[WG_CMD_GET_DEVICE, 1, 0, 0])?;
    if device {
        w.u16(WGDEVICE_A_LISTEN_PORT, 51820)?;
        w.u32(WGDEVICE_A_FWMARK, 0xca6c)?;
        w.u32(WGDEVICE_A_IFINDEX, 7)?;
        w.string(WGDEVICE_A_IFNAME, "wg0")?;
        w.bytes(WGDEVICE_A_PRIVATE_KEY, &[0xe8; 32])?;
        w.bytes(WGDEVICE_A_PUBLIC_KEY, &[0xe9; 32])?;
    }
    w.nest(WGDEVICE_A_PEERS, peers)
}

fn device_info() -> DeviceInfo {
    DeviceInfo {
        ifindex: 7,
        ifname: "wg0".parse().unwrap(),
        private_key: Some(SecretKey::new([0xe8; 32])),
        public_key: Some(key(0xe9)),
        listen_port: 51820,
        fwmark: 0xca6c,
        flags: 0,
    }
}

/// An entry of the list of peers: the key, the attributes of `put`, and allowed IPs.
fn peer(w: &mut Writer<'_>, nth: u8, put: fn(&mut Writer<'_>) -> Put, ips: &[IpNet]) -> Put {
    w.nest(0, |w| {
        w.bytes(WGPEER_A_PUBLIC_KEY, &key(nth).0)?;
        put(w)?;
        if ips.is_empty() {
            return Ok(());
        }
        w.nest(WGPEER_A_ALLOWEDIPS, |w| {
            ips.iter().try_for_each(|ip| allowed_ip(w, ip.family().into(), &ip.addr, ip.prefix))
        })
    })
}

fn allowed_ip(w: &mut Writer<'_>, family: u16, addr: &IpAddr, prefix: u8) -> Put {
    w.nest(0, |w| {
        w.u8(WGALLOWEDIP_A_CIDR_MASK, prefix)?;
        w.u16(WGALLOWEDIP_A_FAMILY, family)?;
        w.ip(WGALLOWEDIP_A_IPADDR, *addr)
    })
}

/// The attributes of a peer between its key and its endpoint.
fn counters(w: &mut Writer<'_>) -> Put {
    w.bytes(WGPEER_A_PRESHARED_KEY, &[0; 32])?;
    w.bytes(WGPEER_A_LAST_HANDSHAKE_TIME, &[0; 16])?;
    w.u16(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, 0)?;
    w.u64(WGPEER_A_TX_BYTES, 0)?;
    w.u64(WGPEER_A_RX_BYTES, 0)?;
    w.u32(WGPEER_A_PROTOCOL_VERSION, 1)
}

fn bare(nth: u8) -> PeerInfo {
    PeerInfo {
        public_key: key(nth),
        preshared_key: None,
        endpoint: None,
        persistent_keepalive: 0,
        latest_handshake: None,
        rx_bytes: 0,
        tx_bytes: 0,
        protocol_version: 1,
    }
}

/// All events of a dump of datagrams.
fn events(datagrams: &[Vec<u8>]) -> Result<Vec<Event>, DecodeError> {
    let mut decoder = GetDecoder::new(FAMILY);
    let mut all = Vec::new();
    for datagram in datagrams {
        for message in messages(datagram) {
            for event in decoder.message(&message) {
                all.push(event?);
            }
        }
    }
    Ok(all)
}

#[test]
fn everything_about_a_peer() {
    fn put(w: &mut Writer<'_>) -> Put {
        w.bytes(WGPEER_A_PRESHARED_KEY, &[5; 32])?;
        let time = [1_700_000_000i64.to_ne_bytes(), 42i64.to_ne_bytes()].concat();
        w.bytes(WGPEER_A_LAST_HANDSHAKE_TIME, &time)?;
        w.u16(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, 25)?;
        w.u64(WGPEER_A_TX_BYTES, u64::MAX)?;
        w.u64(WGPEER_A_RX_BYTES, 1 << 40)?;
        w.u32(WGPEER_A_PROTOCOL_VERSION, 1)?;
        let family = 10u16.to_ne_bytes();
        let scope = 3u32.to_ne_bytes();
        let ip = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let sockaddr = [&family[..], &[0xca, 0x6c], &[0; 4], &ip, &scope].concat();
        w.bytes(WGPEER_A_ENDPOINT, &sockaddr)
    }
    let ips = [net("10.0.0.0/8"), net("::/0")];
    let bytes = datagram(|w| message(w, true, |w| peer(w, 1, put, &ips)));
    let scoped = core::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 51820, 0, 3);
    let info = PeerInfo {
        preshared_key: Some(SecretKey::new([5; 32])),
        endpoint: Some(scoped.into()),
        persistent_keepalive: 25,
        latest_handshake: Some(Handshake { secs: 1_700_000_000, nanos: 42 }),
        rx_bytes: 1 << 40,
        tx_bytes: u64::MAX,
        ..bare(1)
    };
    let expected = [
        Event::Device(device_info()),
        Event::Peer(info),
        Event::AllowedIp(ips[0]),
        Event::AllowedIp(ips[1]),
    ];
    assert_eq!(events(&[bytes]), Ok(expected.to_vec()));
}

#[test]
fn a_device_without_peers_or_key() {
    let bytes = datagram(|w| {
        w.message(FAMILY, 2, 1, 1)?;
        w.header(&[WG_CMD_GET_DEVICE, 1, 0, 0])?;
        w.u16(WGDEVICE_A_LISTEN_PORT, 0)?;
        w.u32(WGDEVICE_A_FWMARK, 0)?;
        w.u32(WGDEVICE_A_IFINDEX, 7)?;
        w.string(WGDEVICE_A_IFNAME, "wg0")
    });
    let (private_key, public_key) = (None, None);
    let info = DeviceInfo { private_key, public_key, listen_port: 0, fwmark: 0, ..device_info() };
    assert_eq!(events(&[bytes]), Ok(vec![Event::Device(info)]));
}

/// The first peer continues over three messages, so each of them has the device; then another peer
/// starts, whose last allowed IP is split off at the end of a message.
#[test]
fn a_continued_peer_is_one_peer() {
    let ips: Vec<_> = (0..6).map(|nth| net(&format!("10.{nth}.0.0/16"))).collect();
    let dump = [
        datagram(|w| message(w, true, |w| peer(w, 1, counters, &ips[..2]))),
        datagram(|w| message(w, true, |w| peer(w, 1, |_| Ok(()), &ips[2..3]))),
        datagram(|w| {
            message(w, true, |w| {
                peer(w, 1, |_| Ok(()), &ips[3..4])?;
                peer(w, 2, counters, &[])?;
                peer(w, 3, counters, &ips[4..5])
            })
        }),
        datagram(|w| message(w, false, |w| peer(w, 3, |_| Ok(()), &ips[5..]))),
        // The kernel ends a peer early when its allowed IPs change during the dump.
        datagram(|w| message(w, false, |w| peer(w, 3, |_| Ok(()), &[]))),
        datagram(|w| message(w, false, |_| Ok(()))),
    ];
    let mut expected = vec![Event::Device(device_info()), Event::Peer(bare(1))];
    expected.extend(ips[..4].iter().copied().map(Event::AllowedIp));
    expected.extend([Event::Peer(bare(2)), Event::Peer(bare(3))]);
    expected.extend(ips[4..].iter().copied().map(Event::AllowedIp));
    assert_eq!(events(&dump), Ok(expected));
}

/// A tool showed 20 of 33 peers: it stopped at the end of the first message.
#[test]
fn dump_was_cut_at_peer_21_of_33() {
    let ip = [net("10.0.0.0/8")];
    let part = |first: bool, peers: core::ops::RangeInclusive<u8>| {
        datagram(|w| {
            message(w, first, |w| peers.clone().try_for_each(|nth| peer(w, nth, counters, &ip)))
        })
    };
    let told = |dump: &[Vec<u8>]| {
        let peers = |event: &Event| match event {
            Event::Peer(peer) => Some(peer.public_key),
            _ => None,
        };
        events(dump).unwrap().iter().filter_map(peers).collect::<Vec<_>>()
    };
    let all: Vec<_> = (1..=33).map(key).collect();
    assert_eq!(told(&[part(true, 1..=20), part(false, 21..=33)]), all);
    // Several messages in one datagram give the same result.
    assert_eq!(told(&[[part(true, 1..=20), part(false, 21..=33)].concat()]), all);
}

/// On MIPS the kernel writes empty attributes of type 0 before 64-bit numbers; without them a tool
/// died of SIGBUS, because it read such a number at a multiple of four.
#[test]
fn unaligned_u64_was_a_sigbus() {
    fn padded(w: &mut Writer<'_>) -> Put {
        w.u16(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, 0)?;
        w.bytes(0, &[])?;
        w.u64(WGPEER_A_TX_BYTES, 0x0102_0304_0506_0708)?;
        w.u64(WGPEER_A_RX_BYTES, 9)?;
        w.u32(WGPEER_A_PROTOCOL_VERSION, 1)
    }
    let bytes = datagram(|w| message(w, true, |w| peer(w, 1, padded, &[])));
    for shift in 0..8 {
        let shifted = [vec![0; shift], bytes.clone()].concat();
        let mut decoder = GetDecoder::new(FAMILY);
        let last = decoder.message(&messages(&shifted[shift..])[0]).last();
        let info = PeerInfo { tx_bytes: 0x0102_0304_0506_0708, rx_bytes: 9, ..bare(1) };
        assert_eq!(last, Some(Ok(Event::Peer(info))));
    }
}

/// wireguard-tools ignores the results of its callbacks for nested attributes, and shows half a
/// peer.
#[test]
fn an_error_within_a_nest_was_swallowed() {
    let in_peer = |put: fn(&mut Writer<'_>) -> Put| {
        let bytes = datagram(|w| message(w, true, |w| peer(w, 1, put, &[])));
        events(&[bytes]).unwrap_err()
    };
    let in_ips = |put: fn(&mut Writer<'_>) -> Put| {
        let bytes = datagram(|w| {
            message(w, true, |w| {
                w.nest(0, |w| {
                    w.bytes(WGPEER_A_PUBLIC_KEY, &key(1).0)?;
                    w.nest(WGPEER_A_ALLOWEDIPS, put)
                })
            })
        });
        events(&[bytes]).unwrap_err()
    };
    let at = |level, ty, wrong| DecodeError::Attribute {
        level,
        error: AttributeError { ty, wrong },
        peer: Some(key(1)),
    };
    assert_eq!(
        in_peer(|w| w.bytes(WGPEER_A_ENDPOINT, &[2, 0, 0, 0])),
        at(Level::Peer, WGPEER_A_ENDPOINT, Wrong::Value)
    );
    assert_eq!(
        in_peer(|w| w.u32(WGPEER_A_RX_BYTES, 1)),
        at(Level::Peer, WGPEER_A_RX_BYTES, Wrong::Length)
    );
    assert_eq!(
        in_ips(|w| allowed_ip(w, 2, &TEN, 33)),
        at(Level::AllowedIp, WGALLOWEDIP_A_CIDR_MASK, Wrong::Value)
    );
    assert_eq!(
        in_ips(|w| allowed_ip(w, 10, &TEN, 8)),
        at(Level::AllowedIp, WGALLOWEDIP_A_IPADDR, Wrong::Length)
    );
    assert_eq!(
        in_ips(|w| allowed_ip(w, 7, &TEN, 8)),
        at(Level::AllowedIp, WGALLOWEDIP_A_FAMILY, Wrong::Value)
    );
    assert_eq!(
        in_ips(|w| w.nest(0, |_| Ok(()))),
        at(Level::AllowedIp, WGALLOWEDIP_A_FAMILY, Wrong::Missing)
    );
    assert_eq!(in_ips(|w| w.bytes(0, &[2, 0, 0, 0])), DecodeError::Malformed(Level::AllowedIp));
    assert_eq!(
        in_peer(|w| w.bytes(WGPEER_A_ALLOWEDIPS, &[2, 0, 0, 0])),
        DecodeError::Malformed(Level::Peer)
    );
}

#[test]
fn what_has_to_be_there() {
    let no_key = datagram(|w| message(w, true, |w| w.bytes(0x8000, &[])));
    let error = events(&[no_key]).unwrap_err();
    assert_eq!(error.to_string(), "WGPEER_A_PUBLIC_KEY is missing");
    let no_device = datagram(|w| message(w, false, |_| Ok(())));
    assert_eq!(events(&[no_device]).unwrap_err().to_string(), "WGDEVICE_A_IFINDEX is missing");

    let other = datagram(|w| w.message(FAMILY + 1, 2, 1, 1));
    assert_eq!(events(&[other]), Err(DecodeError::Message(FAMILY + 1)));
    let error = DecodeError::Attribute {
        level: Level::AllowedIp,
        error: AttributeError { ty: WGALLOWEDIP_A_CIDR_MASK, wrong: Wrong::Value },
        peer: Some(key(0)),
    };
    assert_eq!(
        error.to_string(),
        "WGALLOWEDIP_A_CIDR_MASK has an invalid value: \
         peer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    );
}

#[test]
fn an_error_ends_the_events() {
    let bytes = datagram(|w| {
        message(w, true, |w| {
            peer(w, 1, |w| w.u8(WGPEER_A_RX_BYTES, 0), &[])?;
            peer(w, 2, counters, &[])
        })
    });
    let mut decoder = GetDecoder::new(FAMILY);
    let message = messages(&bytes)[0];
    let events: Vec<_> = decoder.message(&message).map(|event| event.is_ok()).collect();
    assert_eq!(events, [true, false]);
}

/// Linux before 5.2, and WireGuard's own module for those versions, do not set NLA_F_NESTED.
#[test]
fn nests_without_their_flag() {
    let mut bytes =
        datagram(|w| message(w, true, |w| peer(w, 1, counters, &[net("10.0.0.0/8"), net("::/0")])));
    let expected = events(&[bytes.clone()]).unwrap();
    for at in (0..bytes.len() - 4).step_by(4) {
        let ty = u16::from_ne_bytes([bytes[at + 2], bytes[at + 3]]);
        if matches!(ty, 0x8000 | 0x8008 | 0x8009) {
            bytes[at + 2..at + 4].copy_from_slice(&(ty & 0x7fff).to_ne_bytes());
        }
    }
    assert_eq!(events(&[bytes]), Ok(expected));
}

#[test]
fn request_is_that_of_wg() {
    let mut buf = [0xaa; 64];
    let name: IfName = "wg0".parse().unwrap();
    let message = messages(request(&mut buf, FAMILY, 5, name).unwrap())[0];
    assert_eq!((message.ty, message.flags, message.seq, message.port), (FAMILY, 0x305, 5, 0));
    let (header, mut attributes) = message.split::<4>().unwrap();
    assert_eq!(*header, [0, 1, 0, 0]);
    let target = attributes.next().unwrap().unwrap();
    assert_eq!((target.ty, target.payload), (WGDEVICE_A_IFNAME, &b"wg0\0"[..]));
    assert!(attributes.next().is_none());
}

proptest! {
    /// A dump with changed bytes is read to its end.
    #[test]
    fn damaged_dumps_are_read_to_an_end(damage: Vec<(prop::sample::Index, u8)>) {
        let ips = [net("10.0.0.0/8"), net("fd00::/8")];
        let mut bytes = datagram(|w| {
            message(w, true, |w| {
                peer(w, 1, counters, &ips)?;
                peer(w, 2, counters, &ips)
            })
        });
        for (at, byte) in damage {
            let at = 16 + at.index(bytes.len() - 16);
            bytes[at] = byte;
        }
        let mut decoder = GetDecoder::new(FAMILY);
        let message = messages(&bytes)[0];
        assert!(decoder.message(&message).count() < bytes.len());
    }
}
