//! Sets a device: a stream of changes becomes as many `WG_CMD_SET_DEVICE` messages as needed.
//!
//! The bytes are those of `wg` with a buffer of the same size: the order of the attributes, the
//! places of the splits, and the empty nests when the next entry does not fit. `wg` uses the
//! smaller of a page and 8 KiB.
//!
//! For WireGuard in user space the messages are text made of the same pieces ([`uapi`]).
//!
//! Not here: the order of changes, and the handling of a refusal half-way.
//!
//! [`uapi`]: super::uapi

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use super::attr::*;
use super::uapi::{NO_FAMILY, set as text};
use super::{Target, head, write_endpoint};
use crate::ip::IpNet;
use crate::key::{PublicKey, SecretKey};
use crate::netlink::genl::GenlHeader;
use crate::netlink::write::{Full, Nest, Writer};
use crate::netlink::{NLA_F_NESTED, NLM_F_ACK, NLM_F_REQUEST};

/// A change of the device itself. `None` leaves a setting unchanged.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DeviceChange {
    /// All zeros remove the key.
    pub private_key: Option<SecretKey>,
    /// 0 lets the kernel choose a port.
    pub listen_port: Option<u16>,
    /// 0 is no mark.
    pub fwmark: Option<u32>,
    /// Remove all peers first.
    pub replace_peers: bool,
}

/// A change of a peer. `None` leaves a setting unchanged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerChange {
    /// The peer's public key. The peer is created if it does not exist.
    pub public_key: PublicKey,
    /// Remove the peer.
    pub remove: bool,
    /// Do not create the peer. Only the kernel has this flag: where WireGuard is in user space ([`NO_FAMILY`]), the flag is
    /// left out, as `wg` does, and a missing peer is created. A caller that must not create a peer reads the device again.
    pub update_only: bool,
    /// Remove the peer's allowed IPs first.
    pub replace_allowed_ips: bool,
    /// All zeros remove the key.
    pub preshared_key: Option<SecretKey>,
    /// The UDP address to send to.
    pub endpoint: Option<SocketAddr>,
    /// Seconds; 0 is off.
    pub persistent_keepalive: Option<u16>,
}

impl PeerChange {
    /// A change that creates the peer if it does not exist, and leaves its settings unchanged.
    #[must_use]
    pub const fn new(public_key: PublicKey) -> Self {
        Self {
            public_key,
            remove: false,
            update_only: false,
            replace_allowed_ips: false,
            preshared_key: None,
            endpoint: None,
            persistent_keepalive: None,
        }
    }
}

/// An allowed IP to add to the last peer, or to remove from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AllowedIpChange {
    /// The network. The kernel clears the host bits.
    pub net: IpNet,
    /// Remove the network. Kernels before 6.16 refuse this.
    pub remove: bool,
}

/// The reason why a piece was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SetError {
    /// No room left: send [`SetEncoder::message`], then add the same piece again.
    Full,
    /// The piece does not fit even into an empty message; this never happens with a buffer of 512
    /// bytes or more.
    NoProgress,
    /// The device is not the first piece, or an allowed IP has no peer before it.
    Order,
    /// The prefix is longer than the address.
    Prefix,
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the message is full",
            Self::NoProgress => "the buffer is too small for a single piece of the configuration",
            Self::Order => "the device must come first, and a peer before its allowed IPs",
            Self::Prefix => "an allowed IP has a prefix that is longer than its address",
        })
    }
}

impl core::error::Error for SetError {}

/// Writes the messages. Add the device, then each peer followed by its allowed IPs. Whenever a
/// piece is [`SetError::Full`], and once at the end, take [`SetEncoder::message`], send it, and
/// wait for its acknowledgement before you continue.
///
/// A message starts with the target; only the first one has the device's settings. A peer whose
/// allowed IPs continue in the next message is identified there by its key alone, without the
/// settings already sent.
///
/// The buffer is wiped when the encoder is dropped.
#[derive(Debug)]
pub struct SetEncoder<'b> {
    writer: Writer<'b>,
    family: u16,
    target: Target,
    /// Whether the headers and the target of the current message are written.
    open: bool,
    /// Whether the current message has a piece.
    pieces: bool,
    /// Whether any piece was added, in this message or an earlier one.
    begun: bool,
    peers: Option<Nest>,
    peer: Option<Nest>,
    allowed_ips: Option<Nest>,
    /// Whether the current message is text whose last lines belong to the last peer.
    in_peer: bool,
    /// The last peer: the part that a continuing message repeats.
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    public_key: PublicKey,
    /// The flags without which the kernel would create the peer in the next message after it was
    /// removed, or must not be created, in this one.
    flags: u32,
}

impl Drop for SetEncoder<'_> {
    fn drop(&mut self) {
        // Keys pass through this buffer.
        self.writer.wipe();
    }
}

impl<'b> SetEncoder<'b> {
    /// An encoder into `buf` for the device `target`, with the number of [`Family`], or
    /// [`NO_FAMILY`] for text.
    ///
    /// [`Family`]: crate::netlink::genl::Family
    pub fn new(buf: &'b mut [u8], family: u16, target: impl Into<Target>) -> Self {
        Self::start(buf, family, target.into())
    }

    #[cfg_attr(feature = "small", inline(never))]
    const fn start(buf: &'b mut [u8], family: u16, target: Target) -> Self {
        Self {
            writer: Writer::new(buf),
            family,
            target,
            open: false,
            pieces: false,
            begun: false,
            peers: None,
            peer: None,
            allowed_ips: None,
            in_peer: false,
            last: None,
        }
    }

    /// Adds the change of the device itself, before any peer.
    pub fn device(&mut self, change: &DeviceChange) -> Result<(), SetError> {
        if self.begun {
            return Err(SetError::Order);
        }
        self.piece(|this| this.put_device(change))
    }

    /// Adds a peer.
    pub fn peer(&mut self, change: &PeerChange) -> Result<(), SetError> {
        self.piece(|this| this.put_peer(change))
    }

    /// Adds an allowed IP of the last peer.
    pub fn allowed_ip(&mut self, change: &AllowedIpChange) -> Result<(), SetError> {
        let Some(last) = self.last else {
            return Err(SetError::Order);
        };
        if !change.net.is_valid() {
            return Err(SetError::Prefix);
        }
        self.piece(|this| this.put_allowed_ip(last, change))
    }

    /// Ends the current message and gives it the sequence number `seq`. `None` if no piece was
    /// added since the last one.
    pub fn message(&mut self, seq: u32) -> Option<&[u8]> {
        if !self.pieces {
            return None;
        }
        self.end_peer();
        if let Some(nest) = self.peers.take() {
            self.writer.nest_end(nest);
        }
        self.open = false;
        self.pieces = false;
        self.in_peer = false;
        self.writer.set_seq(seq);
        Some(self.writer.as_bytes())
    }

    /// Adds a piece to the current message; starts a message if there is none.
    fn piece(&mut self, put: impl FnOnce(&mut Self) -> Result<(), Full>) -> Result<(), SetError> {
        if !self.open {
            self.begin().map_err(|Full| SetError::NoProgress)?;
            self.open = true;
        }
        match put(self) {
            Ok(()) => {
                self.pieces = true;
                self.begun = true;
                Ok(())
            }
            Err(Full) if self.pieces => Err(SetError::Full),
            Err(Full) => Err(SetError::NoProgress),
        }
    }

    fn begin(&mut self) -> Result<(), Full> {
        self.writer.clear();
        if self.family == NO_FAMILY {
            return self.writer.text(text::SET);
        }
        self.writer.message(self.family, NLM_F_REQUEST | NLM_F_ACK, 0, 0)?;
        let header = GenlHeader { cmd: WG_CMD_SET_DEVICE, version: WG_GENL_VERSION };
        header.write(&mut self.writer)?;
        self.target.write(&mut self.writer)
    }

    fn put_device(&mut self, change: &DeviceChange) -> Result<(), Full> {
        if self.family == NO_FAMILY {
            return text::device(&mut self.writer, change);
        }
        self.writer.all(|writer| {
            if let Some(key) = &change.private_key {
                writer.bytes(WGDEVICE_A_PRIVATE_KEY, key.as_bytes())?;
            }
            if let Some(port) = change.listen_port {
                writer.u16(WGDEVICE_A_LISTEN_PORT, port)?;
            }
            if let Some(fwmark) = change.fwmark {
                writer.u32(WGDEVICE_A_FWMARK, fwmark)?;
            }
            if change.replace_peers {
                writer.u32(WGDEVICE_A_FLAGS, WGDEVICE_F_REPLACE_PEERS)?;
            }
            Ok(())
        })
    }

    fn put_peer(&mut self, change: &PeerChange) -> Result<(), Full> {
        if self.family == NO_FAMILY {
            text::peer(&mut self.writer, change)?;
            let flags = if change.remove { WGPEER_F_REMOVE_ME } else { 0 };
            (self.in_peer, self.last) = (true, Some(Last { public_key: change.public_key, flags }));
            return Ok(());
        }
        self.end_peer();
        self.open_peers()?;
        let flags = [
            (change.remove, WGPEER_F_REMOVE_ME),
            (change.replace_allowed_ips, WGPEER_F_REPLACE_ALLOWEDIPS),
            (change.update_only, WGPEER_F_UPDATE_ONLY),
        ];
        let flags = flags.iter().filter(|(set, _)| *set).fold(0, |all, (_, flag)| all | flag);
        let nest = self.writer.all(|writer| {
            let nest = writer.nest_start(0)?;
            writer.bytes(WGPEER_A_PUBLIC_KEY, &change.public_key.0)?;
            if let Some(key) = &change.preshared_key {
                writer.bytes(WGPEER_A_PRESHARED_KEY, key.as_bytes())?;
            }
            if let Some(endpoint) = &change.endpoint {
                write_endpoint(writer, WGPEER_A_ENDPOINT, endpoint)?;
            }
            if let Some(seconds) = change.persistent_keepalive {
                writer.u16(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, seconds)?;
            }
            if flags != 0 {
                writer.u32(WGPEER_A_FLAGS, flags)?;
            }
            Ok(nest)
        })?;
        self.peer = Some(nest);
        let flags = flags & (WGPEER_F_REMOVE_ME | WGPEER_F_UPDATE_ONLY);
        self.last = Some(Last { public_key: change.public_key, flags });
        Ok(())
    }

    fn put_allowed_ip(&mut self, last: Last, change: &AllowedIpChange) -> Result<(), Full> {
        if self.family == NO_FAMILY {
            // A peer that was removed would be created again.
            if last.flags == 0 {
                let peer = Some(&last.public_key).filter(|_| !self.in_peer);
                text::allowed_ip(&mut self.writer, peer, change)?;
                self.in_peer = true;
            }
            return Ok(());
        }
        if self.peer.is_none() {
            self.open_peers()?;
            self.peer = Some(self.writer.all(|writer| {
                let nest = writer.nest_start(0)?;
                writer.bytes(WGPEER_A_PUBLIC_KEY, &last.public_key.0)?;
                if last.flags != 0 {
                    writer.u32(WGPEER_A_FLAGS, last.flags)?;
                }
                Ok(nest)
            })?);
        }
        if self.allowed_ips.is_none() {
            self.allowed_ips = Some(self.writer.nest_start(WGPEER_A_ALLOWEDIPS)?);
        }
        put_entry(&mut self.writer, change)
    }

    fn open_peers(&mut self) -> Result<(), Full> {
        if self.peers.is_none() {
            self.peers = Some(self.writer.nest_start(WGDEVICE_A_PEERS)?);
        }
        Ok(())
    }

    /// Closes the last peer's nests, if they are open.
    fn end_peer(&mut self) {
        for nest in [self.allowed_ips.take(), self.peer.take()].into_iter().flatten() {
            self.writer.nest_end(nest);
        }
    }
}

/// Adds an allowed IP: a nest of its family, its address, its prefix, and flags if there are any.
/// Laid out in one piece, because allowed IPs are most of a configuration.
#[cfg_attr(feature = "small", inline(never))]
fn put_entry(writer: &mut Writer<'_>, change: &AllowedIpChange) -> Result<(), Full> {
    let AllowedIpChange { net, remove } = change;
    let address: u16 = if net.addr.is_ipv4() { 4 } else { 16 };
    let flags: u16 = if *remove { 8 } else { 0 };
    let length = address.saturating_add(24).saturating_add(flags);
    let (words, _) = writer.room(length.into())?.as_chunks_mut();
    let [nest, of_family, family, of_address, rest @ ..] = words else { return Err(Full) };
    *nest = head(length, NLA_F_NESTED);
    *of_family = head(6, WGALLOWEDIP_A_FAMILY);
    let [f0, f1] = u16::from(net.family()).to_ne_bytes();
    *family = [f0, f1, 0, 0];
    *of_address = head(address.saturating_add(4), WGALLOWEDIP_A_IPADDR);
    let rest = match (net.addr, rest) {
        (IpAddr::V4(ip), [place, rest @ ..]) => {
            *place = ip.octets();
            rest
        }
        (IpAddr::V6(ip), [a, b, c, d, rest @ ..]) => {
            let ip = ip.octets();
            if let [w, x, y, z] = *ip.as_chunks().0 {
                (*a, *b, *c, *d) = (w, x, y, z);
            }
            rest
        }
        _ => return Err(Full),
    };
    let [of_prefix, prefix, rest @ ..] = rest else { return Err(Full) };
    *of_prefix = head(5, WGALLOWEDIP_A_CIDR_MASK);
    *prefix = [net.prefix, 0, 0, 0];
    if let [of_flags, flags] = rest {
        *of_flags = head(8, WGALLOWEDIP_A_FLAGS);
        *flags = WGALLOWEDIP_F_REMOVE_ME.to_ne_bytes();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
