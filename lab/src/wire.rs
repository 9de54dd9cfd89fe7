//! A wire between two machines: their second network cards, connected by UDP on 127.0.0.1.

use anyhow::Result;
use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::atomic::{AtomicUsize, Ordering},
};

/// A wire with two ends. Each machine on it takes one end.
pub struct Wire {
    ports: [u16; 2],
    taken: AtomicUsize,
}

/// One end: the port that receives this machine's frames, and the port they are sent to.
#[derive(Clone, Copy)]
pub struct WireEnd {
    pub local: u16,
    pub remote: u16,
}

impl Wire {
    pub fn new() -> Result<Self> {
        // Both sockets are held until both ports are known, so that the ports differ.
        let sockets = [free_udp_port()?, free_udp_port()?];
        let [(a, _a), (b, _b)] = sockets;
        Ok(Self { ports: [a, b], taken: AtomicUsize::new(0) })
    }

    /// Takes the next free end; `None` if both are taken.
    pub fn end(&self) -> Option<WireEnd> {
        let [a, b] = self.ports;
        match self.taken.fetch_add(1, Ordering::Relaxed) {
            0 => Some(WireEnd { local: a, remote: b }),
            1 => Some(WireEnd { local: b, remote: a }),
            _ => None,
        }
    }
}

/// A UDP port that stays free as long as its socket lives.
pub(crate) fn free_udp_port() -> Result<(u16, UdpSocket)> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok((socket.local_addr()?.port(), socket))
}
