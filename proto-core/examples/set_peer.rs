//! Adds a peer to a WireGuard device, or changes it, as `wg set DEVICE peer KEY allowed-ips NETS` does. Needs
//! `CAP_NET_ADMIN`.
//!
//! ```text
//! cargo run --example set_peer -- wg0 AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA= 10.0.0.2/32 fd00::2/128
//! ```

mod socket;

use std::error::Error;

use proto_core::ip::IpNet;
use proto_core::netlink::genl::Family;
use proto_core::netlink::socket::{Client, NetlinkSocket};
use proto_core::netlink::wireguard::{AllowedIpChange, PeerChange, SetEncoder, SetError};
use proto_core::netlink::{Expect, IfName, ParseError};
use rustix::net::netlink::GENERIC;
use socket::Netlink;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(device), Some(key)) = (words.next(), words.next()) else {
        return Err("usage: set_peer DEVICE PUBLIC-KEY ALLOWED-IP...".into());
    };
    let device: IfName = device.parse()?;
    let nets = words.map(|word| word.parse()).collect::<Result<Vec<IpNet>, _>>()?;

    let (mut request, mut answer) = (vec![0; 8 << 10], vec![0; 32 << 10]);
    let socket = Netlink::open(Some(GENERIC), 0)?;
    let mut client = Client::new(socket, &mut request, &mut answer);
    let mut family = None;
    client.request::<ParseError>(
        Expect::Reply,
        |buf, seq| Family::get(buf, seq, "wireguard"),
        &mut |message| {
            family = Some(Family::parse(message)?);
            Ok(())
        },
    )?;
    let family = family.ok_or("the kernel has no WireGuard")?.id;

    // The allowed IPs may need more than one message: each full message is sent.
    let mut buf = vec![0; 8 << 10];
    let mut encoder = SetEncoder::new(&mut buf, family, device);
    encoder.peer(&PeerChange { replace_allowed_ips: true, ..PeerChange::new(key.parse()?) })?;
    for net in nets {
        let change = AllowedIpChange { net, remove: false };
        if encoder.allowed_ip(&change) == Err(SetError::Full) {
            send(&mut client, &mut encoder)?;
            encoder.allowed_ip(&change)?;
        }
    }
    send(&mut client, &mut encoder)?;
    Ok(())
}

fn send<S: NetlinkSocket>(
    client: &mut Client<'_, S>,
    encoder: &mut SetEncoder<'_>,
) -> Result<(), Box<dyn Error>> {
    client.change(|buf, seq| {
        let message = encoder.message(seq).unwrap_or_default();
        let room = buf.get_mut(..message.len()).ok_or(proto_core::netlink::Full)?;
        room.copy_from_slice(message);
        Ok(room)
    })?;
    Ok(())
}
