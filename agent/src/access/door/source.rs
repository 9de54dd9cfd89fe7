//! The source of a packet, in the forms of the limits and of the packet filter.

use proto_core::protocol::session::Wire;

use crate::access::filter::Origin;

/// Where a packet came from.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The kind of wire.
    pub wire: Wire,
    /// Address and port, as bytes that differ for each source. Zeros for a serial line.
    pub address: [u8; 18],
}

impl Source {
    /// The serial line.
    pub const SERIAL: Self = Self { wire: Wire::Serial, address: [0; 18] };

    /// The address and the port as 32-bit words, in the packet filter's order, and the number of words of the
    /// address.
    pub(super) fn words(&self) -> ([u32; 5], usize) {
        let word = |at: usize| {
            let bytes = self.address.get(at..).and_then(|rest| rest.first_chunk());
            u32::from_be_bytes(*bytes.unwrap_or(&[0; 4]))
        };
        let [.., high, low] = self.address;
        let port = u16::from_be_bytes([high, low]).into();
        match (word(0), word(4), word(8)) {
            // An IPv4-mapped IPv6 address.
            (0, 0, 0xffff) => ([word(12), port, 0, 0, 0], 1),
            (first, second, third) => ([first, second, third, word(12), port], 4),
        }
    }

    pub(super) fn origin(&self) -> Origin {
        match self.words() {
            ([address, ..], 1) => Origin { v4: true, net: [address, 0] },
            ([high, low, ..], _) => Origin { v4: false, net: [high, low] },
        }
    }
}
