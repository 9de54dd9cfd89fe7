//! Compares sets of networks of any size in the memory of one sum.

use core::net::IpAddr;

use proto_core::ip::IpNet;
use siphasher::sip::SipHasher13;

/// A sum over a set of networks that does not depend on their order.
///
/// Two sets count as equal when they have the same number of members and the same sum of a keyed
/// 64-bit hash of each. The key is random and never leaves the agent, so an attacker cannot search
/// for two sets with the same sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetSum {
    /// Number of members.
    pub count: u32,
    /// The sum of their hashes.
    pub sum: u64,
}

impl SetSum {
    /// Adds a member. Returns its hash.
    pub fn add(&mut self, key: &[u8; 16], net: &IpNet) -> u64 {
        let hash = hash(key, net);
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.wrapping_add(hash);
        hash
    }
}

/// The keyed hash of a network.
#[must_use]
pub fn hash(key: &[u8; 16], net: &IpNet) -> u64 {
    let hasher = SipHasher13::new_with_key(key);
    match net.addr {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            hasher.hash(&[a, b, c, d, net.prefix])
        }
        IpAddr::V6(ip) => {
            let mut bytes = [net.prefix; 17];
            if let Some(front) = bytes.first_chunk_mut() {
                *front = ip.octets();
            }
            hasher.hash(&bytes)
        }
    }
}
