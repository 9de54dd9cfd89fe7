//! The work as the crate netlink-packet-wireguard does it, as in its own examples.

use std::hint::black_box;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_generic::GenlMessage;
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute,
    WireguardCmd, WireguardDeviceFlags, WireguardMessage, WireguardPeer, WireguardPeerAttribute,
    WireguardPeerFlags,
};
use proto_core::ip::IpNet;

use crate::model::Peer;
use crate::{BUFFER, FAMILY, NAME};

pub(crate) type Message = NetlinkMessage<GenlMessage<WireguardMessage>>;

fn allowed_ip(net: &IpNet) -> WireguardAllowedIp {
    let v4 = net.addr.is_ipv4();
    WireguardAllowedIp(vec![
        WireguardAllowedIpAttr::Family(if v4 {
            WireguardAddressFamily::Ipv4
        } else {
            WireguardAddressFamily::Ipv6
        }),
        WireguardAllowedIpAttr::IpAddr(net.addr),
        WireguardAllowedIpAttr::Cidr(net.prefix),
    ])
}

/// The attributes of a peer with these allowed IPs; with all its settings if it starts in this
/// message.
fn peer(peer: &Peer, begins: bool, ips: &[IpNet]) -> WireguardPeer {
    let mut attributes = vec![WireguardPeerAttribute::PublicKey(peer.key)];
    if begins {
        attributes.push(WireguardPeerAttribute::Endpoint(peer.endpoint));
        attributes.push(WireguardPeerAttribute::PersistentKeepalive(peer.keepalive));
        attributes.push(WireguardPeerAttribute::Flags(WireguardPeerFlags::ReplaceAllowedIps));
    }
    if !ips.is_empty() {
        let ips = ips.iter().map(allowed_ip).collect();
        attributes.push(WireguardPeerAttribute::AllowedIps(ips));
    }
    WireguardPeer(attributes)
}

/// The end of each message of [`set`], which this crate leaves to its caller. Only the lengths of
/// `messages` are used.
struct Room {
    left: usize,
}

impl Room {
    fn take(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.left;
        if fits {
            self.left -= bytes;
        }
        fits
    }
}

/// The messages that set the peers, with the same peers in each message as in `messages`.
pub(crate) fn set(peers: &[Peer], messages: &[Vec<u8>]) -> Vec<Message> {
    let mut left = peers.iter();
    let mut current = left.next();
    let mut begins = true;
    let mut ips: &[IpNet] = current.map_or(&[], |peer| &peer.allowed_ips);
    let mut all = Vec::with_capacity(messages.len());
    for nth in 0..messages.len() {
        // Header 16 and 4, name 8, flags 8 in the first, peers 4.
        let mut room = Room { left: BUFFER - if nth == 0 { 40 } else { 32 } };
        let mut entries = Vec::new();
        while let Some(now) = current {
            let whole = if begins { 4 + 36 + 20 + 8 + 8 } else { 4 + 36 };
            if !room.take(whole) {
                break;
            }
            let nest = room.take(4);
            let mut count = 0;
            while let Some(net) = ips.get(count).filter(|_| nest) {
                if !room.take(if net.addr.is_ipv4() { 28 } else { 40 }) {
                    break;
                }
                count += 1;
            }
            let mut entry = peer(now, begins, &ips[..count]);
            if count == 0 && nest && !ips.is_empty() {
                // As `wg` writes it.
                entry.0.push(WireguardPeerAttribute::AllowedIps(Vec::new()));
            }
            entries.push(entry);
            ips = &ips[count..];
            if !ips.is_empty() {
                begins = false;
                break;
            }
            current = left.next();
            begins = true;
            ips = current.map_or(&[], |peer| &peer.allowed_ips);
        }
        let mut attributes = vec![WireguardAttribute::IfName(NAME.into())];
        if nth == 0 {
            attributes.push(WireguardAttribute::Flags(WireguardDeviceFlags::ReplacePeers));
        }
        if !entries.is_empty() {
            attributes.push(WireguardAttribute::Peers(entries));
        }
        let message = WireguardMessage { cmd: WireguardCmd::SetDevice, attributes };
        let mut message = GenlMessage::from_payload(message);
        message.set_resolved_family_id(FAMILY);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK;
        header.sequence_number = 1;
        let mut message = Message::new(header, NetlinkPayload::from(message));
        message.finalize();
        all.push(message);
    }
    all
}

pub(crate) fn emit(messages: &[Message], buf: &mut [u8]) {
    for message in black_box(messages) {
        message.serialize(&mut buf[..message.buffer_len()]);
        black_box(&buf);
    }
}

/// The bytes of messages.
pub(crate) fn emitted(messages: &[Message]) -> Vec<Vec<u8>> {
    let bytes = |message: &Message| {
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    };
    messages.iter().map(bytes).collect()
}

fn read(datagram: &[u8]) -> Message {
    Message::deserialize(datagram).expect("a whole dump")
}

pub(crate) fn decode(dump: &[Vec<u8>]) {
    for datagram in black_box(dump) {
        black_box(read(datagram));
    }
}

/// Decodes a dump.
pub(crate) fn decoded(dump: &[Vec<u8>]) -> Vec<Peer> {
    let mut peers = Vec::new();
    for datagram in dump {
        let NetlinkPayload::InnerMessage(message) = read(datagram).payload else {
            panic!("unexpected message");
        };
        for attribute in message.payload.attributes {
            if let WireguardAttribute::Peers(entries) = attribute {
                peers.extend(entries.iter().map(read_peer));
            }
        }
    }
    peers
}

fn read_peer(entry: &WireguardPeer) -> Peer {
    let endpoint = (std::net::Ipv4Addr::UNSPECIFIED, 0).into();
    let mut peer = Peer { key: [0; 32], endpoint, keepalive: 0, allowed_ips: Vec::new() };
    for attribute in &entry.0 {
        match attribute {
            WireguardPeerAttribute::PublicKey(key) => peer.key = *key,
            WireguardPeerAttribute::Endpoint(endpoint) => peer.endpoint = *endpoint,
            WireguardPeerAttribute::PersistentKeepalive(seconds) => peer.keepalive = *seconds,
            WireguardPeerAttribute::RxBytes(bytes) => assert_eq!(*bytes, 92),
            WireguardPeerAttribute::TxBytes(bytes) => assert_eq!(*bytes, 148),
            WireguardPeerAttribute::AllowedIps(ips) => {
                peer.allowed_ips = ips.iter().map(read_allowed_ip).collect();
            }
            _ => {}
        }
    }
    peer
}

fn read_allowed_ip(entry: &WireguardAllowedIp) -> IpNet {
    let (mut addr, mut prefix) = (None, 0);
    for attribute in &entry.0 {
        match attribute {
            WireguardAllowedIpAttr::IpAddr(ip) => addr = Some(*ip),
            WireguardAllowedIpAttr::Cidr(bits) => prefix = *bits,
            _ => {}
        }
    }
    IpNet { addr: addr.expect("an address"), prefix }
}
