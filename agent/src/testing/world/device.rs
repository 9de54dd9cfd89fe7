//! WireGuard of one interface: the device, its peers and their allowed IPs.

use proto_core::ip::{AF_INET, AF_INET6, IpNet};
use proto_core::key::SecretKey;
use proto_core::netlink::read::Attributes;
use proto_core::netlink::wireguard::attr::*;
use proto_core::netlink::{Errno, Full, Writer};

/// A peer in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DevicePeer {
    pub(crate) key: Vec<u8>,
    pub(crate) preshared_key: Vec<u8>,
    pub(crate) endpoint: Vec<u8>,
    pub(crate) keepalive: u16,
    pub(crate) ips: Vec<IpNet>,
    pub(crate) handshake: i64,
    pub(crate) bytes: u64,
}

/// The device of an interface.
#[derive(Clone, Debug, Default)]
pub(crate) struct Device {
    pub(crate) private_key: Vec<u8>,
    pub(crate) port: u16,
    pub(crate) fwmark: u32,
    pub(crate) peers: Vec<DevicePeer>,
    /// The contents of the messages that were sent: the settings of the device, and for each peer
    /// the first byte of its key and its settings.
    pub(crate) sent: Vec<String>,
    /// Runs once, before the next change is executed.
    pub(crate) meddle: Option<fn(&mut Device)>,
    /// Number of the next dumps that changes interrupt.
    pub(crate) interrupted: u32,
    /// Refuses a peer whose key starts with this byte.
    pub(crate) refuse: Option<u8>,
    /// Whether the kernel can remove a single allowed IP.
    pub(crate) takes_away: bool,
}

/// Good enough: a key that depends on the private key.
pub(super) fn public(device: &Device) -> [u8; 32] {
    [device.private_key[0]; 32]
}

pub(super) fn put_peer(w: &mut Writer<'_>, peer: &DevicePeer, ips: &[IpNet]) -> Result<(), Full> {
    w.bytes(WGPEER_A_PUBLIC_KEY, &peer.key)?;
    w.bytes(WGPEER_A_PRESHARED_KEY, &peer.preshared_key)?;
    if !peer.endpoint.is_empty() {
        w.bytes(WGPEER_A_ENDPOINT, &peer.endpoint)?;
    }
    w.u16(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, peer.keepalive)?;
    let time = [peer.handshake.to_ne_bytes(), [0; 8]].concat();
    w.bytes(WGPEER_A_LAST_HANDSHAKE_TIME, &time)?;
    w.u64(WGPEER_A_RX_BYTES, peer.bytes)?;
    w.u64(WGPEER_A_TX_BYTES, 0)?;
    w.nest(WGPEER_A_ALLOWEDIPS, |w| {
        for ip in ips {
            w.nest(0, |w| {
                w.u16(WGALLOWEDIP_A_FAMILY, ip.family().into())?;
                w.ip(WGALLOWEDIP_A_IPADDR, ip.addr)?;
                w.u8(WGALLOWEDIP_A_CIDR_MASK, ip.prefix)
            })?;
        }
        Ok(())
    })
}

impl Device {
    /// Lets the test change the device before a request, once.
    pub(crate) fn meddled(&mut self) {
        if let Some(meddle) = self.meddle.take() {
            meddle(self);
        }
    }
}

/// Executes `WG_CMD_SET_DEVICE`.
pub(crate) fn set(device: &mut Device, attributes: Attributes<'_>) -> Result<(), Errno> {
    let mut said = Vec::new();
    for attribute in attributes.clone().flatten() {
        match attribute.ty {
            WGDEVICE_A_PRIVATE_KEY => {
                let key: [u8; 32] = attribute.array().unwrap();
                let clamped = SecretKey::new(key).clamped().as_bytes().to_vec();
                device.private_key = if key == [0; 32] { Vec::new() } else { clamped };
                said.push("key");
            }
            WGDEVICE_A_LISTEN_PORT => {
                device.port = attribute.u16().unwrap();
                said.push("port");
            }
            WGDEVICE_A_FWMARK => {
                device.fwmark = attribute.u32().unwrap();
                said.push("mark");
            }
            WGDEVICE_A_FLAGS => {
                device.peers.clear();
                said.push("flush");
            }
            _ => {}
        }
    }
    device.sent.push(said.join(" "));
    for attribute in attributes.flatten().filter(|a| a.ty == WGDEVICE_A_PEERS) {
        for peer in attribute.entries().flatten() {
            set_peer(device, peer.nested())?;
        }
    }
    Ok(())
}

fn set_peer(device: &mut Device, attributes: Attributes<'_>) -> Result<(), Errno> {
    let find = |ty| attributes.clone().flatten().find(|a| a.ty == ty);
    let key = find(WGPEER_A_PUBLIC_KEY).unwrap().payload.to_vec();
    let flags = find(WGPEER_A_FLAGS).map_or(0, |a| a.u32().unwrap());
    let first = key[0];
    if device.refuse == Some(first) {
        return Err(Errno::ENOMEM);
    }
    let place = device.peers.iter().position(|peer| peer.key == key);
    if flags & WGPEER_F_REMOVE_ME != 0 {
        device.sent.push(format!("{first} gone"));
        device.peers.retain(|peer| peer.key != key);
        return Ok(());
    }
    let own = !device.private_key.is_empty() && key == public(device);
    if own || (place.is_none() && flags & WGPEER_F_UPDATE_ONLY != 0) {
        device.sent.push(format!("{first} ignored"));
        return Ok(());
    }
    let place = place.unwrap_or(device.peers.len());
    if place == device.peers.len() {
        device.peers.push(DevicePeer { key, preshared_key: vec![0; 32], ..DevicePeer::default() });
    }
    let mut said = vec![first.to_string()];
    if flags & WGPEER_F_REPLACE_ALLOWEDIPS != 0 {
        device.peers[place].ips.clear();
        said.push("replace".to_owned());
    }
    for attribute in attributes.flatten() {
        let peer = &mut device.peers[place];
        match attribute.ty {
            WGPEER_A_PRESHARED_KEY => {
                peer.preshared_key = attribute.payload.to_vec();
                said.push("psk".to_owned());
            }
            WGPEER_A_ENDPOINT => {
                peer.endpoint = attribute.payload.to_vec();
                said.push("endpoint".to_owned());
            }
            WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL => {
                peer.keepalive = attribute.u16().unwrap();
                said.push("keepalive".to_owned());
            }
            WGPEER_A_ALLOWEDIPS => {
                for ip in attribute.entries().flatten() {
                    set_ip(device, place, ip.nested(), &mut said)?;
                }
            }
            _ => {}
        }
    }
    device.sent.push(said.join(" "));
    Ok(())
}

fn set_ip(
    device: &mut Device,
    place: usize,
    attributes: Attributes<'_>,
    said: &mut Vec<String>,
) -> Result<(), Errno> {
    let find = |ty| attributes.clone().flatten().find(|a| a.ty == ty);
    let family = find(WGALLOWEDIP_A_FAMILY).unwrap().u16().unwrap();
    assert!(family == u16::from(AF_INET) || family == u16::from(AF_INET6));
    let addr = find(WGALLOWEDIP_A_IPADDR).unwrap().ip().unwrap();
    let prefix = find(WGALLOWEDIP_A_CIDR_MASK).unwrap().u8().unwrap();
    let net = IpNet { addr, prefix }.masked();
    let remove = find(WGALLOWEDIP_A_FLAGS).is_some();
    if remove && !device.takes_away {
        return Err(Errno::EINVAL);
    }
    said.push(format!("{}{net}", if remove { "-" } else { "" }));
    if remove {
        device.peers[place].ips.retain(|other| *other != net);
    } else {
        device.peers.iter_mut().for_each(|peer| peer.ips.retain(|other| *other != net));
        device.peers[place].ips.push(net);
    }
    Ok(())
}
