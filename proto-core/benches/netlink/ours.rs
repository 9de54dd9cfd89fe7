//! The work as `proto-core` does it.

use std::hint::black_box;

use proto_core::key::PublicKey;
use proto_core::netlink::wireguard::attr::*;
use proto_core::netlink::wireguard::{
    AllowedIpChange, DeviceChange, Event, GetDecoder, PeerChange, SetEncoder, SetError,
};
use proto_core::netlink::{Full, IfName, Messages, Writer};

use crate::model::Peer;
use crate::{BUFFER, FAMILY, NAME};

/// Encodes the peers message by message into one buffer, as the agent does.
fn each_message(peers: &[Peer], buf: &mut [u8], mut send: impl FnMut(&[u8])) {
    let name: IfName = NAME.parse().expect("a name");
    let mut encoder = SetEncoder::new(buf, FAMILY, name);
    let mut offer = |piece: &dyn Fn(&mut SetEncoder<'_>) -> Result<(), SetError>| {
        if piece(&mut encoder) == Err(SetError::Full) {
            send(encoder.message(1).expect("a full message"));
            piece(&mut encoder).expect("room in an empty one");
        }
    };
    offer(&|e| e.device(&DeviceChange { replace_peers: true, ..DeviceChange::default() }));
    for peer in peers {
        let mut change = PeerChange::new(PublicKey(peer.key));
        change.replace_allowed_ips = true;
        change.endpoint = Some(peer.endpoint);
        change.persistent_keepalive = Some(peer.keepalive);
        offer(&|e| e.peer(&change));
        for net in &peer.allowed_ips {
            offer(&|e| e.allowed_ip(&AllowedIpChange { net: *net, remove: false }));
        }
    }
    encoder.message(1).into_iter().for_each(send);
}

pub(crate) fn encode(peers: &[Peer], buf: &mut [u8]) {
    each_message(black_box(peers), buf, |message| {
        black_box(message);
    });
}

/// The messages that set the peers.
pub(crate) fn set(peers: &[Peer]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    each_message(peers, &mut vec![0; BUFFER], |message| messages.push(message.to_vec()));
    messages
}

fn put(w: &mut Writer<'_>, peer: &Peer) -> Result<(), Full> {
    w.nest(0, |w| {
        w.bytes(WGPEER_A_PUBLIC_KEY, &peer.key)?;
        w.bytes(WGPEER_A_PRESHARED_KEY, &[0; 32])?;
        w.bytes(WGPEER_A_LAST_HANDSHAKE_TIME, &[0; 16])?;
        w.u16(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, peer.keepalive)?;
        w.u64(WGPEER_A_TX_BYTES, 148)?;
        w.u64(WGPEER_A_RX_BYTES, 92)?;
        w.u32(WGPEER_A_PROTOCOL_VERSION, 1)?;
        if let std::net::SocketAddr::V4(v4) = peer.endpoint {
            let (family, port) = (2_u16.to_ne_bytes(), v4.port().to_be_bytes());
            let sockaddr = [&family[..], &port, &v4.ip().octets(), &[0; 8]].concat();
            w.bytes(WGPEER_A_ENDPOINT, &sockaddr)?;
        }
        w.nest(WGPEER_A_ALLOWEDIPS, |w| {
            peer.allowed_ips.iter().try_for_each(|net| {
                w.nest(0, |w| {
                    w.u8(WGALLOWEDIP_A_CIDR_MASK, net.prefix)?;
                    w.u16(WGALLOWEDIP_A_FAMILY, net.family().into())?;
                    w.ip(WGALLOWEDIP_A_IPADDR, net.addr)
                })
            })
        })
    })
}

/// The messages in which a kernel would dump the peers.
pub(crate) fn dump(peers: &[Peer]) -> Vec<Vec<u8>> {
    let mut left = peers;
    let mut dump = Vec::new();
    while !left.is_empty() {
        let mut buf = vec![0; BUFFER];
        let mut w = Writer::new(&mut buf);
        w.message(FAMILY, 2, 1, 1).expect("room");
        w.header(&[WG_CMD_GET_DEVICE, 1, 0, 0]).expect("room");
        w.u32(WGDEVICE_A_IFINDEX, 7).expect("room");
        w.string(WGDEVICE_A_IFNAME, NAME).expect("room");
        w.nest(WGDEVICE_A_PEERS, |w| {
            while let Some((peer, rest)) = left.split_first() {
                if put(w, peer).is_err() {
                    break;
                }
                left = rest;
            }
            Ok(())
        })
        .expect("room");
        dump.push(w.finish().to_vec());
    }
    dump
}

fn each_event(dump: &[Vec<u8>], mut take: impl FnMut(Event)) {
    let mut decoder = GetDecoder::new(FAMILY);
    for datagram in dump {
        for message in Messages::new(datagram) {
            for event in decoder.message(&message.expect("a message")) {
                take(event.expect("a whole dump"));
            }
        }
    }
}

pub(crate) fn decode(dump: &[Vec<u8>]) {
    each_event(black_box(dump), |event| {
        black_box(event);
    });
}

/// Decodes a dump.
pub(crate) fn decoded(dump: &[Vec<u8>]) -> Vec<Peer> {
    let mut peers: Vec<Peer> = Vec::new();
    each_event(dump, |event| match event {
        Event::Device(device) => assert_eq!(device.ifname.as_str(), NAME),
        Event::Peer(info) => {
            assert_eq!((info.rx_bytes, info.tx_bytes), (92, 148));
            peers.push(Peer {
                key: info.public_key.0,
                endpoint: info.endpoint.expect("an endpoint"),
                keepalive: info.persistent_keepalive,
                allowed_ips: Vec::new(),
            });
        }
        Event::AllowedIp(net) => peers.last_mut().expect("a peer").allowed_ips.push(net),
    });
    peers
}
