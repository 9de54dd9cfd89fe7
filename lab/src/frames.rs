//! Ethernet frames as bytes, to and from a machine: for packets that a socket cannot send, such as
//! datagrams from a foreign address, and to count the replies.
//!
//! This module reads and writes only UDP over IPv4; it receives the machine's other traffic (ARP,
//! router solicitations) and can recognise it.

use super::{vm::Vm, wire::Wire};
use anyhow::{Context, Result};
use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
};

/// The address of a network card.
pub(crate) type Mac = [u8; 6];

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;
const TYPE_IPV4: u16 = 0x0800;
const PROTOCOL_UDP: u8 = 17;

/// The address of our card.
pub(crate) const OURS: Mac = [0x52, 0x54, 0, 0xff, 0, 1];

/// Our end of a wire.
pub struct Frames {
    socket: UdpSocket,
}

impl Frames {
    /// Takes the next free end of `wire`.
    pub fn on(wire: &Wire) -> Result<Self> {
        let end = wire.end().context("a wire has two ends, and both are taken")?;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, end.local))?;
        socket.connect((Ipv4Addr::LOCALHOST, end.remote))?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Makes a machine route `net` to us, over its card `card` and the gateway `gateway`, an
    /// address of that card's network. Neither side needs ARP. Returns the address of the machine's
    /// card.
    pub fn reach(vm: &Vm, card: &str, gateway: Ipv4Addr, net: &str) -> Result<Mac> {
        let ours = OURS.map(|byte| format!("{byte:02x}")).join(":");
        let script = format!(
            "arp -i {card} -s {gateway} {ours} && ip route add {net} via {gateway} dev {card} && \
             cat /sys/class/net/{card}/address"
        );
        let text = vm.sh(&script)?.ok()?.text();
        let bytes: Vec<u8> = text.split(':').flat_map(|b| u8::from_str_radix(b, 16)).collect();
        bytes.try_into().ok().with_context(|| format!("{text} is no address of a card"))
    }

    /// Sends a frame. Without a machine or buffer space the frame is lost, as on any wire.
    pub fn send(&self, frame: &[u8]) {
        let _ = self.socket.send(frame);
    }

    /// Returns the next frame; `None` if none has arrived.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>> {
        loop {
            match self.socket.recv(buffer) {
                Ok(len) => return Ok(buffer.get(..len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                // An earlier frame found no machine, or the call was interrupted.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::ConnectionRefused | ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error).context("a wire"),
            }
        }
    }
}

/// A UDP datagram with its source and destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    pub from: SocketAddrV4,
    pub to: SocketAddrV4,
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// The frame that carries the datagram from our card to another.
    pub fn frame(&self, to: Mac) -> Vec<u8> {
        let udp_len = UDP + self.payload.len();
        let mut udp = Vec::with_capacity(udp_len);
        udp.extend(self.from.port().to_be_bytes());
        udp.extend(self.to.port().to_be_bytes());
        udp.extend((udp_len as u16).to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(self.payload);
        let mut pseudo = Vec::with_capacity(12);
        pseudo.extend(self.from.ip().octets());
        pseudo.extend(self.to.ip().octets());
        pseudo.extend([0, PROTOCOL_UDP]);
        pseudo.extend((udp_len as u16).to_be_bytes());
        // Zero would mean that there is no checksum.
        let sum = match checksum(&[&pseudo, &udp]) {
            0 => 0xffff,
            sum => sum,
        };
        udp[6..8].copy_from_slice(&sum.to_be_bytes());

        let mut ip = Vec::with_capacity(IPV4);
        ip.extend([0x45, 0]);
        ip.extend(((IPV4 + udp_len) as u16).to_be_bytes());
        // Identification 0, do not fragment, 64 hops.
        ip.extend([0, 0, 0x40, 0, 64, PROTOCOL_UDP, 0, 0]);
        ip.extend(self.from.ip().octets());
        ip.extend(self.to.ip().octets());
        let sum = checksum(&[&ip]);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());

        let mut frame = Vec::with_capacity(ETHERNET + IPV4 + udp_len);
        frame.extend(to);
        frame.extend(OURS);
        frame.extend(TYPE_IPV4.to_be_bytes());
        frame.extend(ip);
        frame.extend(udp);
        frame
    }

    /// The datagram in a frame; `None` for any other frame.
    pub fn parse(frame: &'a [u8]) -> Option<Self> {
        let (ethernet, ip) = frame.split_at_checked(ETHERNET)?;
        let header = usize::from(ip.first()? & 0xf) * 4;
        let (_, udp) = ip.split_at_checked(header)?;
        let (ports, rest) = udp.split_at_checked(UDP)?;
        let short = |bytes: &[u8], at: usize| -> Option<u16> {
            Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
        };
        let address = |at: usize| -> Option<Ipv4Addr> {
            Some(<[u8; 4]>::try_from(ip.get(at..at + 4)?).ok()?.into())
        };
        if short(ethernet, 12)? != TYPE_IPV4 || ip.first()? >> 4 != 4 || ip[9] != PROTOCOL_UDP {
            return None;
        }
        let len = usize::from(short(ports, 4)?).checked_sub(UDP)?;
        Some(Self {
            from: SocketAddrV4::new(address(12)?, short(ports, 0)?),
            to: SocketAddrV4::new(address(16)?, short(ports, 2)?),
            // A frame is padded to 60 bytes.
            payload: rest.get(..len)?,
        })
    }
}

/// The checksum of the internet protocols (RFC 1071) over `parts`. Each part except the last has an
/// even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 1), 40_000);
    const TO: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 5182);

    #[test]
    fn checksum_of_the_example_in_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&[&bytes]), !0xddf2);
        assert_eq!(checksum(&[&bytes[..2], &bytes[2..]]), !0xddf2);
        // An odd byte counts as if a zero followed it.
        assert_eq!(checksum(&[&[1]]), !0x0100);
    }

    #[test]
    fn a_datagram_comes_back_out_of_its_frame() {
        for len in [0, 1, 17, 142, 1_218] {
            let payload = vec![0xa5; len];
            let datagram = Datagram { from: FROM, to: TO, payload: &payload };
            let mut frame = datagram.frame([4; 6]);
            assert_eq!(frame.len(), 42 + len);
            // A header that includes its checksum sums up to zero.
            assert_eq!(checksum(&[&frame[14..34]]), 0);
            frame.resize(frame.len().max(60), 0);
            assert_eq!(Datagram::parse(&frame), Some(datagram));
        }
    }

    #[test]
    fn what_is_cut_off_or_no_datagram_is_none() {
        let frame = Datagram { from: FROM, to: TO, payload: b"12345" }.frame([4; 6]);
        for len in 0..frame.len() {
            assert_eq!(Datagram::parse(&frame[..len]), None, "{len} bytes");
        }
        for (at, byte) in [(12, 0x86), (14, 0x65), (23, 6)] {
            let mut other = frame.clone();
            other[at] = byte;
            assert_eq!(Datagram::parse(&other), None, "byte {at}");
        }
    }
}
