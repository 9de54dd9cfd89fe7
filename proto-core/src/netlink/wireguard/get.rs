//! Reads a device: a `WG_CMD_GET_DEVICE` dump becomes a stream of events as it arrives.
//!
//! The kernel (`wg_get_device_dump` in `drivers/net/wireguard/netlink.c`) writes the device's
//! attributes in each message until the first peer is complete, and continues a peer with many
//! allowed IPs in the next message, identified by its key alone. The decoder hides both: the device
//! is reported once, and a continued peer only by its further allowed IPs.
//!
//! Not here: repeating the request when the dump was interrupted ([`State::Interrupted`]); that
//! needs a new decoder.
//!
//! [`State::Interrupted`]: crate::netlink::State::Interrupted

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::attr::*;
use super::{Target, head, read_endpoint, read_ip};
use crate::ip::{AF_INET, AF_INET6, IpNet};
use crate::key::{KEY_LEN, PublicKey, SecretKey};
use crate::netlink::genl::GenlHeader;
use crate::netlink::read::{
    Attribute, AttributeError, Attributes, Fields, Malformed, Message, ParseError, Wrong,
};
use crate::netlink::{Full, IfName, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, Writer};

/// Writes the request for a device and its peers. Expects a dump; `ENODEV` if the interface does
/// not exist, `EOPNOTSUPP` if it is not a WireGuard interface.
///
/// # Errors
/// [`Full`] if `buf` is too short.
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
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// `WGDEVICE_A_IFINDEX`.
    pub ifindex: u32,
    /// `WGDEVICE_A_IFNAME`.
    pub ifname: IfName,
    /// `WGDEVICE_A_PRIVATE_KEY`, if there is one.
    pub private_key: Option<SecretKey>,
    /// `WGDEVICE_A_PUBLIC_KEY`, if there is a private key.
    pub public_key: Option<PublicKey>,
    /// `WGDEVICE_A_LISTEN_PORT`.
    pub listen_port: u16,
    /// `WGDEVICE_A_FWMARK`; 0 is no mark.
    pub fwmark: u32,
    /// `WGDEVICE_A_FLAGS`. Current kernels do not send it.
    pub flags: u32,
}

impl DeviceInfo {
    /// A device with every setting unset.
    #[must_use]
    pub const fn new(ifindex: u32, ifname: IfName) -> Self {
        Self {
            ifindex,
            ifname,
            private_key: None,
            public_key: None,
            listen_port: 0,
            fwmark: 0,
            flags: 0,
        }
    }
}

/// The time of the last handshake, by the machine's clock (`struct __kernel_timespec`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Handshake {
    /// Seconds since 1970.
    pub secs: i64,
    /// Additional nanoseconds.
    pub nanos: i64,
}

/// A peer without its allowed IPs.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PeerInfo {
    /// `WGPEER_A_PUBLIC_KEY`.
    pub public_key: PublicKey,
    /// `WGPEER_A_PRESHARED_KEY`, if it is not all zeros.
    pub preshared_key: Option<SecretKey>,
    /// `WGPEER_A_ENDPOINT`, if known. IPv6 flow information is zero.
    pub endpoint: Option<SocketAddr>,
    /// `WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL` in seconds; 0 is off.
    pub persistent_keepalive: u16,
    /// `WGPEER_A_LAST_HANDSHAKE_TIME`, if there was one.
    pub latest_handshake: Option<Handshake>,
    /// `WGPEER_A_RX_BYTES`.
    pub rx_bytes: u64,
    /// `WGPEER_A_TX_BYTES`.
    pub tx_bytes: u64,
    /// `WGPEER_A_PROTOCOL_VERSION`; 0 if the kernel does not send it.
    pub protocol_version: u32,
}

impl PeerInfo {
    /// A peer with every field but its key unset.
    #[must_use]
    pub const fn new(public_key: PublicKey) -> Self {
        Self {
            public_key,
            preshared_key: None,
            endpoint: None,
            persistent_keepalive: 0,
            latest_handshake: None,
            rx_bytes: 0,
            tx_bytes: 0,
            protocol_version: 0,
        }
    }
}

/// One event of a dump.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The device; the first event, only once.
    Device(DeviceInfo),
    /// The next peer.
    Peer(PeerInfo),
    /// An allowed IP of the last peer.
    AllowedIp(IpNet),
}

/// The fault of a message of a dump.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is not about a WireGuard device; the field is its `nlmsg_type`.
    Message(u16),
    /// The attributes at this level are malformed.
    Malformed(Level),
    /// An attribute at this level is wrong.
    Attribute {
        /// The level of the attribute.
        level: Level,
        /// The attribute and its fault.
        error: AttributeError,
        /// Its peer, if the peer's key is known.
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

/// The state between the messages of a dump.
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

    /// Reads a message. Visit all its events before passing in the next message.
    pub fn message<'d, 'b>(&'d mut self, message: &Message<'b>) -> Events<'d, 'b> {
        let device = match GenlHeader::parse(message) {
            Ok((header, attributes))
                if message.ty == self.family && header.cmd == WG_CMD_GET_DEVICE =>
            {
                Ok(attributes)
            }
            _ => Err(message.ty),
        };
        Events {
            stranger: device.as_ref().err().copied(),
            device_due: !self.device_told,
            decoder: self,
            device: device.unwrap_or(NONE),
            peers: NONE,
            peer: NONE,
            ips: NONE,
            in_peer: false,
            event: Event::AllowedIp(IpNet { addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED), prefix: 0 }),
        }
    }
}

/// No attributes are left.
const NONE: Attributes<'static> = Attributes::new(&[]);

/// The events in one message. Ends after an error.
#[derive(Debug)]
pub struct Events<'d, 'b> {
    decoder: &'d mut GetDecoder,
    /// Type of a message that is not about a device, until it is reported.
    stranger: Option<u16>,
    /// Whether the device's event is still to come.
    device_due: bool,
    /// The rest of the message's attributes, of its peers, of the last peer's attributes from its
    /// first allowed IPs on, and of these.
    device: Attributes<'b>,
    peers: Attributes<'b>,
    peer: Attributes<'b>,
    ips: Attributes<'b>,
    /// Whether a wrong attribute belongs to the last peer.
    in_peer: bool,
    /// The last event; an arbitrary one before the first.
    event: Event,
}

/// A [`DecodeError`] without its peer. Every level of attributes returns it, so it is as small as
/// possible.
#[derive(Clone, Copy)]
struct Flaw {
    level: Level,
    error: ParseError,
}

impl Flaw {
    const fn new(level: Level, ty: u16, wrong: Wrong) -> Self {
        Self { level, error: ParseError::Attribute(AttributeError { ty, wrong }) }
    }
}

impl Iterator for Events<'_, '_> {
    type Item = Result<Event, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().map(|event| event.cloned())
    }
}

impl<'b> Events<'_, 'b> {
    /// The next event, in place: it is too large to return for each peer.
    ///
    /// # Errors
    /// [`DecodeError`] for a malformed message; the iterator then ends.
    pub fn advance(&mut self) -> Option<Result<&Event, DecodeError>> {
        let error = if let Some(ty) = self.stranger.take() {
            self.device_due = false;
            DecodeError::Message(ty)
        } else {
            match self.step() {
                Ok(true) => return Some(Ok(&self.event)),
                Ok(false) => return None,
                Err(Flaw { level, error: ParseError::Attribute(error) }) => {
                    let peer = if self.in_peer { self.decoder.last_peer } else { None };
                    DecodeError::Attribute { level, error, peer }
                }
                Err(Flaw { level, .. }) => DecodeError::Malformed(level),
            }
        };
        (self.device, self.peers, self.peer, self.ips) = (NONE, NONE, NONE, NONE);
        // The peer was not reported, so its next message does not continue it.
        self.decoder.last_peer = None;
        Some(Err(error))
    }

    /// Advances to the next event, on the innermost level that has one; returns `false` at the end.
    #[cfg_attr(feature = "small", inline(never))]
    fn step(&mut self) -> Result<bool, Flaw> {
        if core::mem::take(&mut self.device_due) {
            device(self.device.clone(), &mut self.event)?;
            self.decoder.device_told = true;
            return Ok(true);
        }
        let mut now = Attribute::NONE;
        let now = &mut now;
        loop {
            if entry(&mut self.ips, now, Level::Peer)? {
                if !laid_out(now.payload, &mut self.event) {
                    allowed_ip(now.nested(), &mut self.event)?;
                }
                return Ok(true);
            }
            if entry(&mut self.peer, now, Level::Peer)? {
                if now.ty == WGPEER_A_ALLOWEDIPS {
                    self.ips = now.entries();
                }
            } else if entry(&mut self.peers, now, Level::Device)? {
                if self.peer(now.nested())? {
                    return Ok(true);
                }
            } else if entry(&mut self.device, now, Level::Device)? {
                if now.ty == WGDEVICE_A_PEERS {
                    self.peers = now.entries();
                }
            } else {
                return Ok(false);
            }
        }
    }

    /// Reads a peer up to its allowed IPs, which come next; returns `true` if the peer is new.
    fn peer(&mut self, attributes: Attributes<'b>) -> Result<bool, Flaw> {
        self.in_peer = false;
        // In place: the previous device or peer is wiped, and no copy of a preshared key stays
        // behind.
        self.event = Event::Peer(PeerInfo::new(PublicKey([0; KEY_LEN])));
        let Event::Peer(peer) = &mut self.event else { return Ok(false) };
        let mut fields = Fields::new(attributes.clone());
        let (mut has_key, mut has_ips) = (false, false);
        while let Some(ty) = fields.advance() {
            match ty {
                WGPEER_A_PUBLIC_KEY => {
                    peer.public_key = PublicKey(key(&mut fields));
                    has_key = true;
                }
                WGPEER_A_PRESHARED_KEY => secret(&mut fields, &mut peer.preshared_key),
                WGPEER_A_ENDPOINT => {
                    peer.endpoint = read_endpoint(fields.payload());
                    if peer.endpoint.is_none() {
                        fields.refuse(Wrong::Value);
                    }
                }
                WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL => peer.persistent_keepalive = fields.u16(),
                WGPEER_A_LAST_HANDSHAKE_TIME => peer.latest_handshake = handshake(&mut fields),
                WGPEER_A_RX_BYTES => peer.rx_bytes = fields.u64(),
                WGPEER_A_TX_BYTES => peer.tx_bytes = fields.u64(),
                WGPEER_A_PROTOCOL_VERSION => peer.protocol_version = fields.u32(),
                WGPEER_A_ALLOWEDIPS if !has_ips => {
                    has_ips = true;
                    (self.ips, self.peer) = (fields.entries(), fields.rest());
                }
                _ => {}
            }
        }
        let read = end(fields, Level::Peer);
        if read.is_err() || !has_key {
            // An error can name the peer only by its key, and an error in the key comes first.
            peer.public_key = peer_key(attributes)?;
        }
        self.in_peer = true;
        // From here on, errors can name the peer. The kernel keeps a peer's key unique, so the same
        // key again is the same peer.
        let last = self.decoder.last_peer.replace(peer.public_key);
        read?;
        Ok(last != self.decoder.last_peer)
    }
}

/// Advances to the next attribute of a level; returns `false` at the end.
fn entry<'b>(
    attributes: &mut Attributes<'b>,
    now: &mut Attribute<'b>,
    level: Level,
) -> Result<bool, Flaw> {
    attributes.advance(now).map_err(|Malformed| Flaw { level, error: ParseError::Malformed })
}

/// Whether all attributes at a level were valid.
fn end(fields: Fields<'_>, level: Level) -> Result<(), Flaw> {
    fields.end().map_err(|error| Flaw { level, error })
}

/// Reads the device into the event: returning it as a `Result` copied it once more at each call.
#[cfg_attr(feature = "small", inline(never))]
fn device(attributes: Attributes<'_>, event: &mut Event) -> Result<(), Flaw> {
    let (mut ifindex, mut ifname) = (None, None);
    let mut public_key = None;
    let (mut listen_port, mut fwmark, mut flags) = (0, 0, 0);
    let mut private_key = None;
    let mut fields = Fields::new(attributes);
    while let Some(ty) = fields.advance() {
        match ty {
            WGDEVICE_A_IFINDEX => ifindex = Some(fields.u32()),
            WGDEVICE_A_IFNAME => ifname = fields.name(),
            WGDEVICE_A_PRIVATE_KEY => secret(&mut fields, &mut private_key),
            WGDEVICE_A_PUBLIC_KEY => public_key = Some(PublicKey(key(&mut fields))),
            WGDEVICE_A_FLAGS => flags = fields.u32(),
            WGDEVICE_A_LISTEN_PORT => listen_port = fields.u16(),
            WGDEVICE_A_FWMARK => fwmark = fields.u32(),
            _ => {}
        }
    }
    let level = Level::Device;
    end(fields, level)?;
    let ifindex = ifindex.ok_or(Flaw::new(level, WGDEVICE_A_IFINDEX, Wrong::Missing))?;
    let ifname = ifname.ok_or(Flaw::new(level, WGDEVICE_A_IFNAME, Wrong::Missing))?;
    *event = Event::Device(DeviceInfo {
        ifindex,
        ifname,
        private_key,
        public_key,
        listen_port,
        fwmark,
        flags,
    });
    Ok(())
}

#[cfg_attr(feature = "small", inline(never))]
fn key(fields: &mut Fields<'_>) -> [u8; KEY_LEN] {
    fields.array()
}

/// Reads a secret key into its final place: `None` if all its bytes are zero.
#[cfg_attr(feature = "small", inline(never))]
fn secret(fields: &mut Fields<'_>, place: &mut Option<SecretKey>) {
    let key = place.insert(SecretKey::ZERO);
    *key.as_mut_bytes() = fields.array();
    if key.is_zero() {
        *place = None;
    }
}

/// The key of a peer alone, for an error in another attribute of the peer.
#[cfg_attr(feature = "small", inline(never))]
fn peer_key(attributes: Attributes<'_>) -> Result<PublicKey, Flaw> {
    let mut found = None;
    let mut fields = Fields::new(attributes);
    while let Some(ty) = fields.advance() {
        if ty == WGPEER_A_PUBLIC_KEY {
            found = Some(PublicKey(key(&mut fields)));
        }
    }
    end(fields, Level::Peer)?;
    found.ok_or(Flaw::new(Level::Peer, WGPEER_A_PUBLIC_KEY, Wrong::Missing))
}

/// Two 64-bit numbers on every machine, both zero before the first handshake.
fn handshake(fields: &mut Fields<'_>) -> Option<Handshake> {
    let [secs @ .., n0, n1, n2, n3, n4, n5, n6, n7] = fields.array::<16>();
    let nanos = [n0, n1, n2, n3, n4, n5, n6, n7];
    let time = Handshake { secs: i64::from_ne_bytes(secs), nanos: i64::from_ne_bytes(nanos) };
    Some(time).filter(|time| *time != Handshake { secs: 0, nanos: 0 })
}

/// An allowed IP whose attributes are in the kernel's order (`get_allowedips`): prefix, family,
/// address. Fast path, because allowed IPs are most of a dump; returns `false` to fall back to the
/// general parser.
#[cfg_attr(feature = "small", inline(never))]
fn laid_out(entry: &[u8], event: &mut Event) -> bool {
    let net = || {
        let (words, []) = entry.as_chunks::<4>() else { return None };
        let (fixed, address) = words.split_first_chunk()?;
        let [of_prefix, [prefix, ..], of_family, [f0, f1, ..], of_address] = *fixed;
        let heads = [head(5, WGALLOWEDIP_A_CIDR_MASK), head(6, WGALLOWEDIP_A_FAMILY)];
        let length = if address.len() == 1 { 8 } else { 20 };
        if [of_prefix, of_family] != heads || of_address != head(length, WGALLOWEDIP_A_IPADDR) {
            return None;
        }
        let family = u16::from_ne_bytes([f0, f1]);
        IpNet::new(read_ip(family, address.as_flattened())?, prefix)
    };
    match net() {
        Some(net) => {
            *event = Event::AllowedIp(net);
            true
        }
        None => false,
    }
}

/// Reads an allowed IP into the event.
#[cfg_attr(feature = "small", inline(never))]
fn allowed_ip(attributes: Attributes<'_>, event: &mut Event) -> Result<(), Flaw> {
    let level = Level::AllowedIp;
    let wrong = |error: AttributeError| Flaw { level, error: error.into() };
    let (mut family, mut addr, mut prefix) = (None, None, None);
    let (mut attributes, mut now) = (attributes, Attribute::NONE);
    // Without `Fields`, for speed: allowed IPs are most of a dump.
    while entry(&mut attributes, &mut now, level)? {
        match now.ty {
            WGALLOWEDIP_A_FAMILY => family = Some(now.u16().map_err(wrong)?),
            WGALLOWEDIP_A_IPADDR => addr = Some(now.payload),
            WGALLOWEDIP_A_CIDR_MASK => prefix = Some(now.u8().map_err(wrong)?),
            _ => {}
        }
    }
    let flaw = |ty, wrong| Flaw::new(level, ty, wrong);
    let family = family.ok_or(flaw(WGALLOWEDIP_A_FAMILY, Wrong::Missing))?;
    let addr = addr.ok_or(flaw(WGALLOWEDIP_A_IPADDR, Wrong::Missing))?;
    let prefix = prefix.ok_or(flaw(WGALLOWEDIP_A_CIDR_MASK, Wrong::Missing))?;
    if family != u16::from(AF_INET) && family != u16::from(AF_INET6) {
        return Err(flaw(WGALLOWEDIP_A_FAMILY, Wrong::Value));
    }
    let addr = read_ip(family, addr).ok_or(flaw(WGALLOWEDIP_A_IPADDR, Wrong::Length))?;
    let net = IpNet::new(addr, prefix).ok_or(flaw(WGALLOWEDIP_A_CIDR_MASK, Wrong::Value))?;
    *event = Event::AllowedIp(net);
    Ok(())
}

#[cfg(test)]
mod tests;
