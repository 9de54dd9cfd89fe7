//! Ethernet frames as bytes, to and from a machine: for packets that a socket cannot send, such as
//! datagrams from a foreign address, and to count the replies.
//!
//! This module reads and writes only UDP over IPv4; it receives the machine's other traffic (ARP,
//! router solicitations) and can recognise it.

use super::{vm::Vm, wire::Wire};
use anyhow::{Context, Result};
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
};

/// The address of a network card.
pub(crate) type Mac = [u8; 6];

/// Routers that a datagram may pass.
const HOPS: u8 = 64;

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
    pub fn frame(&self, to: Mac) -> Result<Vec<u8>> {
        let (from, destination) = (self.from.ip().octets(), self.to.ip().octets());
        let packet = PacketBuilder::ethernet2(OURS, to)
            .ipv4(from, destination, HOPS)
            .udp(self.from.port(), self.to.port());
        let mut frame = Vec::with_capacity(packet.size(self.payload.len()));
        packet.write(&mut frame, self.payload)?;
        Ok(frame)
    }

    /// The datagram in a frame; `None` for any other frame.
    pub fn parse(frame: &'a [u8]) -> Option<Self> {
        let packet = SlicedPacket::from_ethernet(frame).ok()?;
        let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) =
            (packet.net, packet.transport)
        else {
            return None;
        };
        let ip = ip.header();
        Some(Self {
            from: SocketAddrV4::new(ip.source_addr(), udp.source_port()),
            to: SocketAddrV4::new(ip.destination_addr(), udp.destination_port()),
            payload: udp.payload(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 1), 40_000);
    const TO: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 5182);

    #[test]
    fn a_datagram_comes_back_out_of_its_frame() {
        for len in [0, 1, 17, 142, 1_218] {
            let payload = vec![0xa5; len];
            let datagram = Datagram { from: FROM, to: TO, payload: &payload };
            let mut frame = datagram.frame([4; 6]).unwrap();
            assert_eq!(frame.len(), 42 + len);
            // A frame on a wire is padded to 60 bytes.
            frame.resize(frame.len().max(60), 0);
            assert_eq!(Datagram::parse(&frame), Some(datagram));
        }
    }

    #[test]
    fn what_is_cut_off_or_no_datagram_is_none() {
        let frame = Datagram { from: FROM, to: TO, payload: b"12345" }.frame([4; 6]).unwrap();
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
