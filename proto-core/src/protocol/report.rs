//! What the router sends back in bulk, as a row of postcard records in a file the client reads:
//! the running state of an interface, the changes a plan would make, or the history of what is stored.
//!
//! No record can hold a private or a preshared key.

use serde::{Deserialize, Serialize};

use super::config::{Route, Rule};
use super::message::{Name, OwnerName};
use crate::ip::{Endpoint, IpNet};
use crate::key::PublicKey;

/// The most bytes of one encoded record.
pub const MAX_RECORD: usize = 128;

/// One piece of the running state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Running {
    /// The first record.
    Interface {
        /// Its name.
        name: Name,
        /// Its public key, if it has a private one.
        public_key: Option<PublicKey>,
        /// The UDP port it listens on; 0 when it has none yet.
        listen_port: u16,
        /// The mark on its outgoing packets, 0 for none.
        fwmark: u32,
        /// Its MTU in bytes.
        mtu: u32,
        /// Whether the link is up.
        up: bool,
    },
    /// An address of the interface.
    Address(IpNet),
    /// A route through the interface that the agent made.
    Route(Route),
    /// A policy rule that the agent made for the interface.
    Rule(Rule),
    /// A peer.
    Peer {
        /// Its public key.
        public_key: PublicKey,
        /// Whether there is a preshared key.
        preshared_key: bool,
        /// Where it was last heard from.
        endpoint: Option<Endpoint>,
        /// Seconds between keepalives, 0 for none.
        persistent_keepalive: u16,
        /// Unix time of the last handshake in seconds on the router's clock, 0 for never.
        latest_handshake: u64,
        /// Seconds since the last handshake by the router's clock, if there was one.
        handshake_age: Option<u64>,
        /// Bytes received.
        rx_bytes: u64,
        /// Bytes sent.
        tx_bytes: u64,
    },
    /// An allowed IP of the last peer.
    AllowedIp(IpNet),
}

/// One change that a plan would make.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Change {
    /// The interface is made.
    Create,
    /// The private key is replaced (`generated`: by one the router makes).
    PrivateKey {
        /// Whether the router makes it.
        generated: bool,
    },
    /// The port changes.
    ListenPort {
        /// The port now.
        from: u16,
        /// The port after.
        to: u16,
    },
    /// The mark changes.
    Fwmark {
        /// The mark now.
        from: u32,
        /// The mark after.
        to: u32,
    },
    /// The MTU changes.
    Mtu {
        /// Bytes now.
        from: u32,
        /// Bytes after.
        to: u32,
    },
    /// The link goes up.
    Up,
    /// An address goes.
    RemoveAddress(IpNet),
    /// A route goes.
    RemoveRoute(Route),
    /// A rule goes.
    RemoveRule(Rule),
    /// A peer goes.
    RemovePeer(PublicKey),
    /// An address comes.
    AddAddress(IpNet),
    /// A route comes.
    AddRoute(Route),
    /// A rule comes.
    AddRule(Rule),
    /// A peer comes.
    AddPeer(PublicKey),
    /// A peer changes: the fields are [`super::message::peer`] bits.
    ChangePeer {
        /// Which peer.
        public_key: PublicKey,
        /// Which fields.
        fields: u8,
    },
}

/// A configuration in the history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// The interface it is for.
    pub interface: Name,
    /// Its number: the configurations of an interface are counted from 1, and the greatest is the one
    /// that the router starts with.
    pub number: u32,
    /// Unix time in seconds on the router's clock when it was stored.
    pub time: u64,
    /// The key of the owner who made it.
    pub key: PublicKey,
    /// What that owner was called.
    pub by: OwnerName,
    /// How it came to be.
    pub act: Act,
    /// The length of the image in bytes.
    pub length: u32,
    /// It is not what was written, and not used.
    pub damaged: bool,
}

/// How a stored configuration came to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Act {
    /// It was pushed.
    Pushed,
    /// An earlier one was taken again.
    RolledBack {
        /// Its number.
        number: u32,
    },
    /// The interface was removed: there is no image.
    Removed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::cut;

    #[test]
    fn longest_records_fit() {
        let record = Running::Peer {
            public_key: PublicKey([255; 32]),
            preshared_key: true,
            endpoint: Some("[ffff::1]:65535".parse().unwrap()),
            persistent_keepalive: u16::MAX,
            latest_handshake: u64::MAX,
            handshake_age: Some(u64::MAX),
            rx_bytes: u64::MAX,
            tx_bytes: u64::MAX,
        };
        let mut buf = [0; MAX_RECORD];
        assert!(postcard::to_slice(&record, &mut buf).is_ok());
        let stored = Stored {
            interface: cut("fifteen-letters"),
            number: u32::MAX,
            time: u64::MAX,
            key: PublicKey([255; 32]),
            by: cut(&"a".repeat(31)),
            act: Act::RolledBack { number: u32::MAX },
            length: u32::MAX,
            damaged: true,
        };
        assert!(postcard::to_slice(&stored, &mut buf).is_ok());
    }
}
