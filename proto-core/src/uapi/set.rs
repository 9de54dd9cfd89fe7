//! The lines of a change. The order is that of `wg`, and so is what is left out: not all programs know
//! `update_only`.

use core::net::SocketAddr;

use zeroize::Zeroize;

use super::hex;
use crate::ip::{IP_TEXT_LEN, ip_text};
use crate::key::{KEY_LEN, PublicKey};
use crate::netlink::wireguard::{AllowedIpChange, DeviceChange, PeerChange};
use crate::netlink::{Full, Writer};
use crate::text::{DECIMAL_LEN, decimal};

/// The first line.
pub(crate) const SET: &[u8] = b"set=1\n";

/// Puts a line whose value is in parts.
#[cfg_attr(feature = "small", inline(never))]
fn line(writer: &mut Writer<'_>, name: &str, value: &[&[u8]]) -> Result<(), Full> {
    writer.text(name.as_bytes())?;
    writer.text(b"=")?;
    for part in value {
        writer.text(part)?;
    }
    writer.text(b"\n")
}

fn number(writer: &mut Writer<'_>, name: &str, number: u32) -> Result<(), Full> {
    line(writer, name, &[decimal(number.into(), &mut [0; DECIMAL_LEN])])
}

fn yes(writer: &mut Writer<'_>, name: &str) -> Result<(), Full> {
    line(writer, name, &[b"true"])
}

#[cfg_attr(feature = "small", inline(never))]
fn key(writer: &mut Writer<'_>, name: &str, key: &[u8; KEY_LEN]) -> Result<(), Full> {
    let mut text = hex(key);
    let put = line(writer, name, &[&text]);
    text.zeroize();
    put
}

/// Puts all of a change of the device itself, or nothing.
pub(crate) fn device(writer: &mut Writer<'_>, change: &DeviceChange) -> Result<(), Full> {
    writer.all(|writer| {
        if let Some(secret) = &change.private_key {
            key(writer, "private_key", &secret.0)?;
        }
        if let Some(port) = change.listen_port {
            number(writer, "listen_port", port.into())?;
        }
        if let Some(mark) = change.fwmark {
            number(writer, "fwmark", mark)?;
        }
        if change.replace_peers {
            yes(writer, "replace_peers")?;
        }
        Ok(())
    })
}

/// Puts all of a change of a peer, or nothing.
pub(crate) fn peer(writer: &mut Writer<'_>, change: &PeerChange) -> Result<(), Full> {
    writer.all(|writer| {
        public_key(writer, &change.public_key)?;
        if change.remove {
            return yes(writer, "remove");
        }
        if let Some(secret) = &change.preshared_key {
            key(writer, "preshared_key", &secret.0)?;
        }
        if let Some(to) = &change.endpoint {
            endpoint(writer, to)?;
        }
        if let Some(seconds) = change.persistent_keepalive {
            number(writer, "persistent_keepalive_interval", seconds.into())?;
        }
        if change.replace_allowed_ips {
            yes(writer, "replace_allowed_ips")?;
        }
        Ok(())
    })
}

/// Puts the line that a peer begins with. What follows is of this peer.
pub(crate) fn public_key(writer: &mut Writer<'_>, public: &PublicKey) -> Result<(), Full> {
    key(writer, "public_key", &public.0)
}

fn endpoint(writer: &mut Writer<'_>, to: &SocketAddr) -> Result<(), Full> {
    let (mut ip, mut port, mut scope) = ([0; IP_TEXT_LEN], [0; DECIMAL_LEN], [0; DECIMAL_LEN]);
    let ip = ip_text(to.ip(), &mut ip);
    let port = decimal(to.port().into(), &mut port);
    match to {
        SocketAddr::V4(_) => line(writer, "endpoint", &[ip, b":", port]),
        SocketAddr::V6(v6) if v6.scope_id() == 0 => {
            line(writer, "endpoint", &[b"[", ip, b"]:", port])
        }
        SocketAddr::V6(v6) => {
            let scope = decimal(v6.scope_id().into(), &mut scope);
            line(writer, "endpoint", &[b"[", ip, b"%", scope, b"]:", port])
        }
    }
}

/// Puts an allowed IP of the peer whose lines these are, or, where they are not, of `peer`.
pub(crate) fn allowed_ip(
    writer: &mut Writer<'_>,
    peer: Option<&PublicKey>,
    change: &AllowedIpChange,
) -> Result<(), Full> {
    let (mut ip, mut prefix) = ([0; IP_TEXT_LEN], [0; DECIMAL_LEN]);
    let ip = ip_text(change.net.addr, &mut ip);
    let prefix = decimal(change.net.prefix.into(), &mut prefix);
    let sign: &[u8] = if change.remove { b"-" } else { b"" };
    writer.all(|writer| {
        if let Some(peer) = peer {
            public_key(writer, peer)?;
        }
        line(writer, "allowed_ip", &[sign, ip, b"/", prefix])
    })
}
