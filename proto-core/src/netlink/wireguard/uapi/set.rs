//! The lines of a change. The order and the omissions are those of `wg`: not all programs know
//! `update_only`.

use core::fmt::{self, Write};

use zeroize::Zeroize;

use crate::encoding::hex;
use crate::ip::Shown;
use crate::key::{KEY_LEN, PublicKey};
use crate::netlink::wireguard::{AllowedIpChange, DeviceChange, PeerChange};
use crate::netlink::{Full, Writer};

/// The first line.
pub(crate) const SET: &[u8] = b"set=1\n";

/// A message as a destination for text.
struct Lines<'l, 'b>(&'l mut Writer<'b>);

impl Write for Lines<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.text(text.as_bytes()).map_err(|Full| fmt::Error)
    }

    fn write_char(&mut self, char: char) -> fmt::Result {
        // These lines have only ASCII, and handling UTF-8 would need more program.
        let byte = u8::try_from(char).map_err(|_| fmt::Error)?;
        self.0.text(&[byte]).map_err(|Full| fmt::Error)
    }
}

/// Adds text; if it is [`Full`], a part of the text may stay behind.
#[cfg_attr(feature = "small", inline(never))]
fn put(writer: &mut Writer<'_>, text: fmt::Arguments<'_>) -> Result<(), Full> {
    Lines(writer).write_fmt(text).map_err(|fmt::Error| Full)
}

#[cfg_attr(feature = "small", inline(never))]
fn key(writer: &mut Writer<'_>, name: &str, key: &[u8; KEY_LEN]) -> Result<(), Full> {
    let mut text = hex(key);
    let put = put_key(writer, name.as_bytes(), &text);
    text.zeroize();
    put
}

fn put_key(writer: &mut Writer<'_>, name: &[u8], text: &[u8]) -> Result<(), Full> {
    writer.text(name)?;
    writer.text(b"=")?;
    writer.text(text)?;
    writer.text(b"\n")
}

/// Adds all of a change of the device itself, or nothing.
pub(crate) fn device(writer: &mut Writer<'_>, change: &DeviceChange) -> Result<(), Full> {
    writer.all(|writer| {
        if let Some(secret) = &change.private_key {
            key(writer, "private_key", secret.as_bytes())?;
        }
        if let Some(port) = change.listen_port {
            put(writer, format_args!("listen_port={port}\n"))?;
        }
        if let Some(mark) = change.fwmark {
            put(writer, format_args!("fwmark={mark}\n"))?;
        }
        if change.replace_peers { writer.text(b"replace_peers=true\n") } else { Ok(()) }
    })
}

/// Adds all of a change of a peer, or nothing.
pub(crate) fn peer(writer: &mut Writer<'_>, change: &PeerChange) -> Result<(), Full> {
    writer.all(|writer| {
        key(writer, "public_key", &change.public_key.0)?;
        if change.remove {
            return writer.text(b"remove=true\n");
        }
        if let Some(secret) = &change.preshared_key {
            key(writer, "preshared_key", secret.as_bytes())?;
        }
        if let Some(to) = change.endpoint {
            put(writer, format_args!("endpoint={}\n", Shown(to)))?;
        }
        if let Some(seconds) = change.persistent_keepalive {
            put(writer, format_args!("persistent_keepalive_interval={seconds}\n"))?;
        }
        if change.replace_allowed_ips { writer.text(b"replace_allowed_ips=true\n") } else { Ok(()) }
    })
}

/// Adds an allowed IP of the peer whose lines are last, or of `peer` if the last lines are not a
/// peer's.
pub(crate) fn allowed_ip(
    writer: &mut Writer<'_>,
    peer: Option<&PublicKey>,
    change: &AllowedIpChange,
) -> Result<(), Full> {
    writer.all(|writer| {
        if let Some(peer) = peer {
            key(writer, "public_key", &peer.0)?;
        }
        let sign = if change.remove { "-" } else { "" };
        put(writer, format_args!("allowed_ip={sign}{}\n", change.net))
    })
}
