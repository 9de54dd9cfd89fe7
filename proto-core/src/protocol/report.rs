//! Bulk data of the router, as a sequence of postcard records in a file that the client reads: the
//! running state of an interface, the changes of a plan, or the history of stored configurations.
//! Each record has a length prefix ([`super::sized`]).
//!
//! No record can contain a private key or a preshared key.

use super::Digest;
use super::codec::wire;
use super::config::{Route, Rule};
use super::endpoint::PeerEndpoint;
use super::message::{Name, OwnerName};
#[cfg(feature = "serde")]
use super::sized;
use crate::ip::IpNet;
use crate::key::PublicKey;

/// Largest size of an encoded record in bytes, with its length prefix.
pub const MAX_RECORD: usize = 192;

#[cfg(feature = "serde")]
/// A record of a file, on the client's side.
pub trait Record: Sized {
    /// Reads a record from its bytes, without the length prefix. Bytes after its fields are
    /// ignored, and an unknown kind of record is kept as its number. `None` if the bytes are
    /// malformed.
    fn read(bytes: &[u8]) -> Option<Self>;
}

wire! {
    /// A record of the running state.
    #[derive(Clone, PartialEq, Eq, Debug)]
    pub enum Running {
        /// The first record.
        Interface {
            /// The name of the interface.
            name: Name,
            /// The public key; `None` if the interface has no private key.
            public_key: Option<PublicKey>,
            /// The listen port; 0 if the interface has none yet.
            listen_port: u16,
            /// The mark on outgoing packets; 0 for none.
            fwmark: u32,
            /// The MTU in bytes.
            mtu: u32,
            /// Whether the link is up.
            up: bool,
        } = 0,
        /// An address of the interface.
        Address(net: IpNet) = 1,
        /// A route through the interface, created by the agent.
        Route(route: Route) = 2,
        /// A policy rule, created by the agent for the interface.
        Rule(rule: Rule) = 3,
        /// A peer.
        Peer {
            /// The public key.
            public_key: PublicKey,
            /// Whether the peer has a preshared key.
            preshared_key: bool,
            /// The endpoint of the peer's last packet; `None` if it is not known.
            endpoint: Option<PeerEndpoint>,
            /// Seconds between keepalives; 0 for none.
            persistent_keepalive: u16,
            /// Unix time of the last handshake in seconds by the router's clock; 0 for never.
            latest_handshake: u64,
            /// Seconds since the last handshake by the router's clock; `None` if there was none.
            handshake_age: Option<u64>,
            /// Bytes received.
            rx_bytes: u64,
            /// Bytes sent.
            tx_bytes: u64,
        } = 4,
        /// An allowed IP of the preceding peer.
        AllowedIp(net: IpNet) = 5,
        _ => Unknown(u8),
    }
}

wire! {
    /// A change that a plan would make.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Change {
        /// The interface is created.
        Create = 0,
        /// The private key is replaced.
        PrivateKey {
            /// Whether the router generates the new key.
            generated: bool,
        } = 1,
        /// The port changes.
        ListenPort {
            /// The current port.
            from: u16,
            /// The port after the change.
            to: u16,
        } = 2,
        /// The mark changes.
        Fwmark {
            /// The current mark.
            from: u32,
            /// The mark after the change.
            to: u32,
        } = 3,
        /// The MTU changes.
        Mtu {
            /// The current MTU in bytes.
            from: u32,
            /// The MTU after the change in bytes.
            to: u32,
        } = 4,
        /// The link goes up.
        Up = 5,
        /// An address is removed.
        RemoveAddress(net: IpNet) = 6,
        /// A route is removed.
        RemoveRoute(route: Route) = 7,
        /// A rule is removed.
        RemoveRule(rule: Rule) = 8,
        /// A peer is removed.
        RemovePeer(key: PublicKey) = 9,
        /// An address is added.
        AddAddress(net: IpNet) = 10,
        /// A route is added.
        AddRoute(route: Route) = 11,
        /// A rule is added.
        AddRule(rule: Rule) = 12,
        /// A peer is added.
        AddPeer(key: PublicKey) = 13,
        /// A peer changes.
        ChangePeer {
            /// The peer.
            public_key: PublicKey,
            /// The fields that change, as [`super::message::peer`] bits.
            fields: u8,
        } = 14,
        _ => Unknown(u8),
    }
}

#[cfg(feature = "serde")]
/// Records that keep unknown numbers as `Unknown`.
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
        /// The interface.
        pub interface: Name,
        /// Number of the configuration: the configurations of an interface are numbered from 1, and
        /// the router starts with the highest number.
        pub number: u32,
        /// Unix time in seconds by the router's clock when the configuration was stored.
        pub time: u64,
        /// The key of the owner who made the change.
        pub key: PublicKey,
        /// The name of that owner at the time.
        pub by: OwnerName,
        /// Length of the image in bytes.
        pub length: u32,
        /// Whether the file is damaged, and therefore not used.
        pub damaged: bool,
        /// The operation that stored the configuration.
        pub act: Act,
        /// The digest of the image as it was pushed; for a removal, the digest of no bytes; for a
        /// damaged file, zeros.
        pub digest: Digest,
    }
}

#[cfg(feature = "serde")]
impl Record for Stored {
    fn read(bytes: &[u8]) -> Option<Self> {
        postcard::take_from_bytes(bytes).ok().map(|(stored, _)| stored)
    }
}

/// The operation that stored a configuration. On the wire it is a number of one byte and a number
/// of 32 bits: 0 pushed, 1 rolled back to the second number, 2 removed. The second number is always
/// present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// The configuration was pushed.
    Pushed,
    /// An earlier configuration was restored.
    RolledBack {
        /// Number of the earlier configuration.
        number: u32,
    },
    /// The interface was removed: the record has no image.
    Removed,
    /// An operation that this version does not know: both numbers.
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

    /// Converts the two numbers on the wire.
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
