//! A program that implements WireGuard, as its socket speaks. Its requests change the same device
//! as the tests' kernel, through the same code: this file is the text around it.

use std::fmt::Write;

use proto_core::conf::Host;
use proto_core::key::{KEY_LEN, PublicKey, SecretKey};
use proto_core::netlink::genl::GenlHeader;
use proto_core::netlink::wireguard::{
    AllowedIpChange, DeviceChange, PeerChange, SetEncoder, read_endpoint,
};
use proto_core::netlink::{Errno, Messages};

use crate::testing::world::{Device, FAMILY, set};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> [u8; KEY_LEN] {
    assert_eq!(text.len(), 2 * KEY_LEN);
    std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
}

/// The answer to a request.
pub(crate) fn answer(device: &mut Device, request: &str) -> String {
    let lines = request.strip_suffix("\n\n").unwrap();
    if lines == "get=1" {
        return told(device);
    }
    let lines = lines.strip_prefix("set=1").unwrap().strip_prefix('\n').unwrap_or_default();
    device.meddled();
    let errno = changed(device, lines).err().map_or(0, |errno| -errno.0);
    format!("errno={errno}\n\n")
}

/// The allowed IPs come before the times, as some programs write them, and the peers as other
/// programs do.
fn told(device: &Device) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        writeln!(text, "{name}={value}").unwrap();
    };
    if !device.private_key.is_empty() {
        line("private_key", &hex(&device.private_key));
    }
    for (name, number) in [("listen_port", u32::from(device.port)), ("fwmark", device.fwmark)] {
        if number != 0 {
            line(name, &number);
        }
    }
    for peer in &device.peers {
        line("public_key", &hex(&peer.key));
        line("preshared_key", &hex(&peer.preshared_key));
        line("protocol_version", &1);
        if let Some(endpoint) = read_endpoint(&peer.endpoint) {
            line("endpoint", &endpoint);
        }
        for ip in &peer.ips {
            line("allowed_ip", ip);
        }
        line("last_handshake_time_sec", &peer.handshake);
        line("last_handshake_time_nsec", &0);
        line("rx_bytes", &peer.bytes);
        line("tx_bytes", &0);
        line("persistent_keepalive_interval", &peer.keepalive);
    }
    line("errno", &0);
    text + "\n"
}

/// One piece after the other, each as the kernel would receive it.
fn changed(device: &mut Device, lines: &str) -> Result<(), Errno> {
    let mut change = DeviceChange::default();
    let mut peer: Option<(PeerChange, Vec<AllowedIpChange>)> = None;
    let before = device.sent.len();
    for line in lines.lines().chain(["public_key="]) {
        let (name, value) = line.split_once('=').unwrap();
        if name == "public_key" {
            match peer.take() {
                Some((peer, ips)) => do_peer(device, &peer, &ips)?,
                None => do_device(device, &change)?,
            }
            if !value.is_empty() {
                peer = Some((PeerChange::new(PublicKey(unhex(value))), Vec::new()));
            }
            continue;
        }
        let Some((peer, ips)) = &mut peer else {
            match name {
                "private_key" => change.private_key = Some(SecretKey::new(unhex(value))),
                "listen_port" => change.listen_port = Some(value.parse().unwrap()),
                "fwmark" => change.fwmark = Some(value.parse().unwrap()),
                "replace_peers" => change.replace_peers = value == "true",
                other => panic!("{other}"),
            }
            continue;
        };
        match name {
            "remove" => peer.remove = value == "true",
            "preshared_key" => peer.preshared_key = Some(SecretKey::new(unhex(value))),
            "endpoint" => {
                let (host, port) = value.rsplit_once(':').unwrap();
                let host = host.trim_matches(['[', ']']);
                let host = Host::new(host, port.parse().unwrap());
                peer.endpoint = host.address().or_else(|| value.parse().ok());
                assert!(peer.endpoint.is_some(), "{value}");
            }
            "persistent_keepalive_interval" => {
                peer.persistent_keepalive = Some(value.parse().unwrap());
            }
            "replace_allowed_ips" => peer.replace_allowed_ips = value == "true",
            "allowed_ip" => {
                let (remove, ip) = value.strip_prefix('-').map_or((false, value), |ip| (true, ip));
                ips.push(AllowedIpChange { net: ip.parse().unwrap(), remove });
            }
            other => panic!("{other}"),
        }
    }
    assert!(device.sent.len() > before);
    Ok(())
}

fn do_device(device: &mut Device, change: &DeviceChange) -> Result<(), Errno> {
    done(device, &mut |encoder| encoder.device(change).unwrap())
}

fn do_peer(device: &mut Device, change: &PeerChange, ips: &[AllowedIpChange]) -> Result<(), Errno> {
    // The piece about the device, which has no peer.
    let at = device.sent.len();
    let did = done(device, &mut |encoder| {
        encoder.peer(change).unwrap();
        ips.iter().for_each(|ip| encoder.allowed_ip(ip).unwrap());
    });
    if device.sent.len() > at {
        device.sent.remove(at);
    }
    did
}

fn done(device: &mut Device, put: &mut dyn FnMut(&mut SetEncoder<'_>)) -> Result<(), Errno> {
    let mut buf = vec![0; 60_000];
    let mut encoder =
        SetEncoder::new(&mut buf, FAMILY, "wg0".parse::<proto_core::netlink::IfName>().unwrap());
    put(&mut encoder);
    let message = Messages::new(encoder.message(1).unwrap()).next().unwrap().unwrap();
    let (_, attributes) = GenlHeader::parse(&message).unwrap();
    set(device, attributes)
}
