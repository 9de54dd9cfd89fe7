//! Reading a device back: a `WG_CMD_GET_DEVICE` dump becomes a stream of events as it arrives.
//!
//! The kernel (`wg_get_device_dump` in `drivers/net/wireguard/netlink.c`) writes the device's
//! attributes in each message until the first peer is complete, and continues a peer with many
//! allowed IPs in the next message, there by its key alone. Both are undone here: the device is
//! told once, and a continued peer is told by its further allowed IPs.
//!
//! Not here: asking again when the dump was interrupted ([`State::Interrupted`]); that takes a new
//! decoder.
//!
//! [`State::Interrupted`]: crate::netlink::State::Interrupted

use core::fmt;

use super::attr::*;
use super::{Target, read_endpoint, read_ip};
use crate::ip::{AF_INET, AF_INET6, Endpoint, IpNet};
use crate::key::{PublicKey, SecretKey};
use crate::netlink::genl::GenlHeader;
use crate::netlink::read::{
    Attribute, AttributeError, Attributes, Malformed, Message, ParseError, Wrong,
};
use crate::netlink::{Full, IfName, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, Writer};

/// Writes the request for a device and its peers. Expects a dump; `ENODEV` if there is no such
/// interface, `EOPNOTSUPP` if it is not a WireGuard one.
pub fn request(
    buf: &mut [u8],
    family: u16,
    seq: u32,
    target: impl Into<Target>,
) -> Result<&[u8], Full> {
    let mut writer = Writer::new(buf);
    writer.message(family, NLM_F_REQUEST | NLM_F_ACK | NLM_F_DUMP, seq, 0)?;
    GenlHeader { cmd: WG_CMD_GET_DEVICE, version: WG_GENL_VERSION }.write(&mut writer)?;
    target.into().write(&mut writer)?;
    Ok(writer.finish())
}

/// The device itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceInfo {
    /// `WGDEVICE_A_IFINDEX`.
    pub ifindex: u32,
    /// `WGDEVICE_A_IFNAME`.
    pub ifname: IfName,
    /// `WGDEVICE_A_PRIVATE_KEY`, if there is one.
    pub private_key: Option<SecretKey>,
    /// `WGDEVICE_A_PUBLIC_KEY`, if there is a private one.
    pub public_key: Option<PublicKey>,
    /// `WGDEVICE_A_LISTEN_PORT`.
    pub listen_port: u16,
    /// `WGDEVICE_A_FWMARK`; 0 is none.
    pub fwmark: u32,
    /// `WGDEVICE_A_FLAGS`. No kernel sends it yet.
    pub flags: u32,
}

/// When the last handshake was, by the machine's clock (`struct __kernel_timespec`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Handshake {
    /// Seconds since 1970.
    pub secs: i64,
    /// Nanoseconds beyond that.
    pub nanos: i64,
}

/// A peer without its allowed IPs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerInfo {
    /// `WGPEER_A_PUBLIC_KEY`.
    pub public_key: PublicKey,
    /// `WGPEER_A_PRESHARED_KEY`, if it is not all zero.
    pub preshared_key: Option<SecretKey>,
    /// `WGPEER_A_ENDPOINT`, once there is one.
    pub endpoint: Option<Endpoint>,
    /// `WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL` in seconds; 0 is off.
    pub persistent_keepalive: u16,
    /// `WGPEER_A_LAST_HANDSHAKE_TIME`, if there was one.
    pub latest_handshake: Option<Handshake>,
    /// `WGPEER_A_RX_BYTES`.
    pub rx_bytes: u64,
    /// `WGPEER_A_TX_BYTES`.
    pub tx_bytes: u64,
    /// `WGPEER_A_PROTOCOL_VERSION`; 0 if the kernel does not say.
    pub protocol_version: u32,
}

/// One thing learnt from a dump.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The device; the first event, and only once.
    Device(DeviceInfo),
    /// The next peer.
    Peer(PeerInfo),
    /// An allowed IP of the last peer.
    AllowedIp(IpNet),
}

/// What is wrong with a message of a dump.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// It is not one about a WireGuard device: its `nlmsg_type`.
    Message(u16),
    /// Its attributes cannot be told apart on this level.
    Malformed(Level),
    /// An attribute of this level is wrong.
    Attribute {
        /// Where the attribute is.
        level: Level,
        /// Which one, and what is wrong with it.
        error: AttributeError,
        /// The peer it is in, if its key is known.
        peer: Option<PublicKey>,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(ty) => fmt::Display::fmt(&ParseError::Type(*ty), f),
            Self::Malformed(level) => {
                let of = match level {
                    Level::Device => "a WireGuard device",
                    Level::Peer => "a WireGuard peer",
                    Level::AllowedIp => "an allowed IP",
                };
                write!(f, "{Malformed}: in {of}")
            }
            Self::Attribute { level, error, peer } => {
                match level.name(error.ty) {
                    Some(name) => write!(f, "{name} {}", error.wrong)?,
                    None => fmt::Display::fmt(error, f)?,
                }
                match peer {
                    Some(key) => write!(f, ": peer {key}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl core::error::Error for DecodeError {}

/// What has to be kept from one message of a dump to the next.
#[derive(Clone, Copy, Debug)]
pub struct GetDecoder {
    family: u16,
    device_told: bool,
    last_peer: Option<PublicKey>,
}

impl GetDecoder {
    /// Before the first message of a dump, in the family with this number.
    #[must_use]
    pub const fn new(family: u16) -> Self {
        Self { family, device_told: false, last_peer: None }
    }

    /// Goes through a message. Go through all events of one before handing in the next.
    pub fn message<'d, 'b>(&'d mut self, message: &Message<'b>) -> Events<'d, 'b> {
        let start = match GenlHeader::parse(message) {
            Ok((header, attributes))
                if message.ty == self.family && header.cmd == WG_CMD_GET_DEVICE =>
            {
                Ok(attributes)
            }
            _ => Err(DecodeError::Message(message.ty)),
        };
        Events {
            decoder: self,
            start: Some(start),
            device: NONE,
            peers: NONE,
            peer: NONE,
            ips: NONE,
        }
    }
}

/// No attributes (left).
const NONE: Attributes<'static> = Attributes::new(&[]);

/// The events in one message. Ends after an error.
#[derive(Debug)]
pub struct Events<'d, 'b> {
    decoder: &'d mut GetDecoder,
    /// The message's attributes, before the first event.
    start: Option<Result<Attributes<'b>, DecodeError>>,
    /// What is left of the message's attributes, of its peers, of the last peer's attributes and of
    /// its allowed IPs.
    device: Attributes<'b>,
    peers: Attributes<'b>,
    peer: Attributes<'b>,
    ips: Attributes<'b>,
}

impl Iterator for Events<'_, '_> {
    type Item = Result<Event, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let event = self.step().transpose();
        if matches!(event, Some(Err(_))) {
            (self.device, self.peers, self.peer, self.ips) = (NONE, NONE, NONE, NONE);
        }
        event
    }
}

impl<'b> Events<'_, 'b> {
    /// The next event, from the innermost level that has something left.
    fn step(&mut self) -> Result<Option<Event>, DecodeError> {
        if let Some(start) = self.start.take() {
            self.device = start?;
            if !self.decoder.device_told {
                let device = device(self.device.clone())?;
                self.decoder.device_told = true;
                return Ok(Some(Event::Device(device)));
            }
        }
        loop {
            if let Some(ip) = self.ips.next() {
                let ip = ip.map_err(|Malformed| DecodeError::Malformed(Level::Peer))?;
                let net = allowed_ip(ip.nested(), self.decoder.last_peer)?;
                return Ok(Some(Event::AllowedIp(net)));
            }
            if let Some(attribute) = self.peer.next() {
                let attribute =
                    attribute.map_err(|Malformed| DecodeError::Malformed(Level::Peer))?;
                if attribute.ty == WGPEER_A_ALLOWEDIPS {
                    self.ips = attribute.entries();
                }
            } else if let Some(entry) = self.peers.next() {
                let entry = entry.map_err(|Malformed| DecodeError::Malformed(Level::Device))?;
                self.peer = entry.nested();
                let peer = peer(entry.nested())?;
                // The kernel keeps a peer's key unique, so the same key again is the same peer.
                if self.decoder.last_peer.replace(peer.public_key) != Some(peer.public_key) {
                    return Ok(Some(Event::Peer(peer)));
                }
            } else if let Some(attribute) = self.device.next() {
                let attribute =
                    attribute.map_err(|Malformed| DecodeError::Malformed(Level::Device))?;
                if attribute.ty == WGDEVICE_A_PEERS {
                    self.peers = attribute.entries();
                }
            } else {
                return Ok(None);
            }
        }
    }
}

/// Calls `take` with each attribute, and says where one is wrong.
fn each<'b>(
    level: Level,
    peer: Option<PublicKey>,
    attributes: Attributes<'b>,
    mut take: impl FnMut(&Attribute<'b>) -> Result<(), AttributeError>,
) -> Result<(), DecodeError> {
    for attribute in attributes {
        let attribute = attribute.map_err(|Malformed| DecodeError::Malformed(level))?;
        take(&attribute).map_err(|error| DecodeError::Attribute { level, error, peer })?;
    }
    Ok(())
}

fn missing(level: Level, ty: u16, peer: Option<PublicKey>) -> DecodeError {
    let error = AttributeError { ty, wrong: Wrong::Missing };
    DecodeError::Attribute { level, error, peer }
}

fn device(attributes: Attributes<'_>) -> Result<DeviceInfo, DecodeError> {
    let (mut ifindex, mut ifname) = (None, None);
    let (mut private_key, mut public_key) = (None, None);
    let (mut listen_port, mut fwmark, mut flags) = (0, 0, 0);
    each(Level::Device, None, attributes, |a| {
        match a.ty {
            WGDEVICE_A_IFINDEX => ifindex = Some(a.u32()?),
            WGDEVICE_A_IFNAME => {
                ifname = Some(a.str()?.parse().map_err(|_| a.error(Wrong::Value))?);
            }
            WGDEVICE_A_PRIVATE_KEY => private_key = secret(a)?,
            WGDEVICE_A_PUBLIC_KEY => public_key = Some(PublicKey(a.array()?)),
            WGDEVICE_A_FLAGS => flags = a.u32()?,
            WGDEVICE_A_LISTEN_PORT => listen_port = a.u16()?,
            WGDEVICE_A_FWMARK => fwmark = a.u32()?,
            _ => {}
        }
        Ok(())
    })?;
    let ifindex = ifindex.ok_or_else(|| missing(Level::Device, WGDEVICE_A_IFINDEX, None))?;
    let ifname = ifname.ok_or_else(|| missing(Level::Device, WGDEVICE_A_IFNAME, None))?;
    Ok(DeviceInfo { ifindex, ifname, private_key, public_key, listen_port, fwmark, flags })
}

/// A key, unless it is all zero.
fn secret(attribute: &Attribute<'_>) -> Result<Option<SecretKey>, AttributeError> {
    attribute.array().map(|key| Some(SecretKey(key)).filter(|key| !key.is_zero()))
}

fn peer(attributes: Attributes<'_>) -> Result<PeerInfo, DecodeError> {
    let mut key = None;
    // By itself and first, so that an error in what follows can name the peer.
    each(Level::Peer, None, attributes.clone(), |a| {
        if a.ty == WGPEER_A_PUBLIC_KEY {
            key = Some(PublicKey(a.array()?));
        }
        Ok(())
    })?;
    let public_key = key.ok_or_else(|| missing(Level::Peer, WGPEER_A_PUBLIC_KEY, None))?;
    let mut peer = PeerInfo {
        public_key,
        preshared_key: None,
        endpoint: None,
        persistent_keepalive: 0,
        latest_handshake: None,
        rx_bytes: 0,
        tx_bytes: 0,
        protocol_version: 0,
    };
    each(Level::Peer, key, attributes, |a| {
        match a.ty {
            WGPEER_A_PRESHARED_KEY => peer.preshared_key = secret(a)?,
            WGPEER_A_ENDPOINT => {
                peer.endpoint = Some(read_endpoint(a.payload).ok_or(a.error(Wrong::Value))?);
            }
            WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL => peer.persistent_keepalive = a.u16()?,
            WGPEER_A_LAST_HANDSHAKE_TIME => peer.latest_handshake = handshake(a)?,
            WGPEER_A_RX_BYTES => peer.rx_bytes = a.u64()?,
            WGPEER_A_TX_BYTES => peer.tx_bytes = a.u64()?,
            WGPEER_A_PROTOCOL_VERSION => peer.protocol_version = a.u32()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(peer)
}

/// Two numbers of 64 bits on every machine, both zero if there was no handshake.
fn handshake(attribute: &Attribute<'_>) -> Result<Option<Handshake>, AttributeError> {
    let bytes: [u8; 16] = attribute.array()?;
    let wrong = attribute.error(Wrong::Length);
    let (secs, nanos) = bytes.split_first_chunk().ok_or(wrong)?;
    let nanos = nanos.first_chunk().ok_or(wrong)?;
    let time = Handshake { secs: i64::from_ne_bytes(*secs), nanos: i64::from_ne_bytes(*nanos) };
    Ok(Some(time).filter(|time| *time != Handshake { secs: 0, nanos: 0 }))
}

fn allowed_ip(attributes: Attributes<'_>, peer: Option<PublicKey>) -> Result<IpNet, DecodeError> {
    let (mut family, mut addr, mut prefix) = (None, None, None);
    each(Level::AllowedIp, peer, attributes, |a| {
        match a.ty {
            WGALLOWEDIP_A_FAMILY => family = Some(a.u16()?),
            WGALLOWEDIP_A_IPADDR => addr = Some(*a),
            WGALLOWEDIP_A_CIDR_MASK => prefix = Some(a.u8()?),
            _ => {}
        }
        Ok(())
    })?;
    let level = Level::AllowedIp;
    let wrong =
        |ty, wrong| DecodeError::Attribute { level, error: AttributeError { ty, wrong }, peer };
    let family = family.ok_or_else(|| missing(level, WGALLOWEDIP_A_FAMILY, peer))?;
    let addr = addr.ok_or_else(|| missing(level, WGALLOWEDIP_A_IPADDR, peer))?;
    let prefix = prefix.ok_or_else(|| missing(level, WGALLOWEDIP_A_CIDR_MASK, peer))?;
    if family != u16::from(AF_INET) && family != u16::from(AF_INET6) {
        return Err(wrong(WGALLOWEDIP_A_FAMILY, Wrong::Value));
    }
    let addr =
        read_ip(family, addr.payload).ok_or_else(|| wrong(WGALLOWEDIP_A_IPADDR, Wrong::Length))?;
    IpNet::new(addr, prefix).ok_or_else(|| wrong(WGALLOWEDIP_A_CIDR_MASK, Wrong::Value))
}

#[cfg(test)]
mod tests;
