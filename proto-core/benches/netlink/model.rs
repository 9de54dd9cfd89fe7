//! The configuration that is encoded and decoded, in neutral types.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use proto_core::ip::IpNet;

use crate::{ALLOWED_IPS, PEERS};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Peer {
    pub(crate) key: [u8; 32],
    pub(crate) endpoint: SocketAddr,
    pub(crate) keepalive: u16,
    pub(crate) allowed_ips: Vec<IpNet>,
}

/// Peers with unrelated keys, and three allowed IPs of IPv4 for two of IPv6.
pub(crate) fn peers() -> Vec<Peer> {
    let mut rng = fastrand::Rng::with_seed(1);
    (0..PEERS)
        .map(|nth| Peer {
            key: std::array::from_fn(|_| rng.u8(..)),
            endpoint: (Ipv4Addr::from(rng.u32(..)), 51_820).into(),
            keepalive: 25,
            allowed_ips: (0..ALLOWED_IPS).map(|ip| net(nth * ALLOWED_IPS + ip)).collect(),
        })
        .collect()
}

fn net(nth: u32) -> IpNet {
    match nth % 5 {
        0 | 2 | 4 => IpNet { addr: Ipv4Addr::from_bits(10 << 24 | nth).into(), prefix: 32 },
        _ => {
            let bits = 0xfd << 120 | u128::from(nth) << 64;
            IpNet { addr: Ipv6Addr::from_bits(bits).into(), prefix: 64 }
        }
    }
}
