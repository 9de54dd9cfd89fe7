//! Lists the WireGuard devices of this machine with their peers, as `wg show` does. Needs `CAP_NET_ADMIN`.
//!
//! ```text
//! cargo run --example list_devices
//! ```

mod socket;

use std::error::Error;

use proto_core::netlink::genl::Family;
use proto_core::netlink::route::link;
use proto_core::netlink::socket::Client;
use proto_core::netlink::wireguard::{DecodeError, Event, GetDecoder, get};
use proto_core::netlink::{Attempts, Expect, IfName, Message, ParseError};
use rustix::net::netlink::GENERIC;
use socket::Netlink;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut request, mut answer) = (vec![0; 8 << 10], vec![0; 32 << 10]);
    let mut names = Vec::<IfName>::new();
    Client::new(Netlink::open(None, 0)?, &mut request, &mut answer).dump(
        Attempts::new(8),
        &mut names,
        link::list,
        Vec::clear,
        |names, message| {
            let link = link::Link::parse(message)?;
            names.extend(Some(link.name).filter(|_| link.is_wireguard()));
            Ok::<_, ParseError>(())
        },
    )?;
    if names.is_empty() {
        println!("no WireGuard devices");
        return Ok(());
    }

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
    for name in names {
        // A decoder belongs to one attempt: it joins peers that the kernel splits over messages.
        let mut found = (GetDecoder::new(family), Vec::<Event>::new());
        client.dump(
            Attempts::new(8),
            &mut found,
            |buf, seq| get::request(buf, family, seq, name),
            |found| *found = (GetDecoder::new(family), Vec::new()),
            |(decoder, events), message| take(decoder, events, message),
        )?;
        found.1.iter().for_each(show);
    }
    client.wipe();
    Ok(())
}

fn take(
    decoder: &mut GetDecoder,
    events: &mut Vec<Event>,
    message: &Message<'_>,
) -> Result<(), DecodeError> {
    let mut found = decoder.message(message);
    while let Some(event) = found.advance() {
        events.push(event?.clone());
    }
    Ok(())
}

fn show(event: &Event) {
    match event {
        Event::Device(device) => {
            println!("interface: {}", device.ifname);
            if let Some(key) = &device.public_key {
                println!("  public key: {key}");
            }
            println!("  listening port: {}", device.listen_port);
        }
        Event::Peer(peer) => {
            println!("  peer: {}", peer.public_key);
            if let Some(endpoint) = peer.endpoint {
                println!("    endpoint: {endpoint}");
            }
            println!("    transfer: {} B received, {} B sent", peer.rx_bytes, peer.tx_bytes);
        }
        Event::AllowedIp(net) => println!("    allowed IP: {net}"),
    }
}
