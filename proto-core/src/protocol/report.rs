//! What the router sends back in bulk, as a row of postcard records in a file the client reads:
//! the running state of an interface, the changes a plan would make, or the history of what is stored.
//! Each record has its length in front ([`super::sized`]).
//!
//! No record can hold a private or a preshared key.

use super::Digest;
use super::codec::wire;
use super::config::{Route, Rule};
use super::endpoint::PeerEndpoint;
use super::message::{Name, OwnerName};
#[cfg(feature = "serde")]
use super::sized;
use crate::ip::IpNet;
use crate::key::PublicKey;

/// The most bytes of one encoded record, with its length.
pub const MAX_RECORD: usize = 192;

#[cfg(feature = "serde")]
/// A record of a file, as a client reads it.
pub trait Record: Sized {
    /// Reads a record from its bytes, without the length. Bytes behind its fields are passed over, and a kind of
    /// record that is not known is kept as its number. `None` for bytes that cannot be a record.
    fn read(bytes: &[u8]) -> Option<Self>;
}

wire! {
    /// One piece of the running state.
    #[derive(Clone, PartialEq, Eq, Debug)]
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
        } = 0,
        /// An address of the interface.
        Address(net: IpNet) = 1,
        /// A route through the interface that the agent made.
        Route(route: Route) = 2,
        /// A policy rule that the agent made for the interface.
        Rule(rule: Rule) = 3,
        /// A peer.
        Peer {
            /// Its public key.
            public_key: PublicKey,
            /// Whether there is a preshared key.
            preshared_key: bool,
            /// Where it was last heard from.
            endpoint: Option<PeerEndpoint>,
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
        } = 4,
        /// An allowed IP of the last peer.
        AllowedIp(net: IpNet) = 5,
        _ => Unknown(u8),
    }
}

wire! {
    /// One change that a plan would make.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Change {
        /// The interface is made.
        Create = 0,
        /// The private key is replaced (`generated`: by one the router makes).
        PrivateKey {
            /// Whether the router makes it.
            generated: bool,
        } = 1,
        /// The port changes.
        ListenPort {
            /// The port now.
            from: u16,
            /// The port after.
            to: u16,
        } = 2,
        /// The mark changes.
        Fwmark {
            /// The mark now.
            from: u32,
            /// The mark after.
            to: u32,
        } = 3,
        /// The MTU changes.
        Mtu {
            /// Bytes now.
            from: u32,
            /// Bytes after.
            to: u32,
        } = 4,
        /// The link goes up.
        Up = 5,
        /// An address goes.
        RemoveAddress(net: IpNet) = 6,
        /// A route goes.
        RemoveRoute(route: Route) = 7,
        /// A rule goes.
        RemoveRule(rule: Rule) = 8,
        /// A peer goes.
        RemovePeer(key: PublicKey) = 9,
        /// An address comes.
        AddAddress(net: IpNet) = 10,
        /// A route comes.
        AddRoute(route: Route) = 11,
        /// A rule comes.
        AddRule(rule: Rule) = 12,
        /// A peer comes.
        AddPeer(key: PublicKey) = 13,
        /// A peer changes: the fields are [`super::message::peer`] bits.
        ChangePeer {
            /// Which peer.
            public_key: PublicKey,
            /// Which fields.
            fields: u8,
        } = 14,
        _ => Unknown(u8),
    }
}

#[cfg(feature = "serde")]
/// Records whose unknown numbers are `Unknown`.
macro_rules! open {
    ($($name:ident)+) => {$(
        impl Record for $name {
            fn read(bytes: &[u8]) -> Option<Self> {
                sized::read(bytes)
            }
        }
    )+};
}

#[cfg(feature = "serde")]
open! { Running Change }

wire! {
    /// A configuration in the history.
    #[derive(Clone, PartialEq, Eq, Debug)]
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
        /// The length of the image in bytes.
        pub length: u32,
        /// It is not what was written, and not used.
        pub damaged: bool,
        /// How it came to be.
        pub act: Act,
        /// The digest of the image as it was pushed; that of no bytes for a removal, zeros if it is damaged.
        pub digest: Digest,
    }
}

#[cfg(feature = "serde")]
impl Record for Stored {
    fn read(bytes: &[u8]) -> Option<Self> {
        postcard::take_from_bytes(bytes).ok().map(|(stored, _)| stored)
    }
}

/// How a stored configuration came to be. On the wire a number of one byte and another of 32 bits, whatever the
/// first: 0 pushed, 1 rolled back to the second, 2 removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
    /// Something that this version does not know: both numbers.
    Unknown(u8, u32),
}

impl Act {
    /// The two numbers on the wire.
    #[must_use]
    pub const fn numbers(self) -> (u8, u32) {
        match self {
            Self::Pushed => (0, 0),
            Self::RolledBack { number } => (1, number),
            Self::Removed => (2, 0),
            Self::Unknown(act, origin) => (act, origin),
        }
    }

    /// What two numbers on the wire mean.
    #[must_use]
    pub const fn from_numbers(act: u8, origin: u32) -> Self {
        match act {
            0 => Self::Pushed,
            1 => Self::RolledBack { number: origin },
            2 => Self::Removed,
            other => Self::Unknown(other, origin),
        }
    }
}

#[cfg(feature = "serde")]
mod with_serde {
    use serde::de::{Deserialize, Deserializer};
    use serde::ser::{Serialize, Serializer};

    use super::Act;

    impl Serialize for Act {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.numbers().serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Act {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let (act, origin) = <(u8, u32)>::deserialize(deserializer)?;
            Ok(Self::from_numbers(act, origin))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::codec;
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
        assert!(codec::write_record(&record, &mut buf).is_some());
        let stored = Stored {
            interface: "fifteen-letters".parse().unwrap(),
            number: u32::MAX,
            time: u64::MAX,
            key: PublicKey([255; 32]),
            by: cut(&"a".repeat(31)),
            act: Act::RolledBack { number: u32::MAX },
            length: u32::MAX,
            damaged: true,
            digest: [255; 32],
        };
        assert!(codec::write_record(&stored, &mut buf).is_some());
    }
}
