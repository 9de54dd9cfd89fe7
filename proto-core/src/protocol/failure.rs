//! The failures that a router reports.

use super::codec::wire;
use core::fmt;

use heapless::String;

use super::message::cut;
use super::numbers::{Code, State};
#[cfg(feature = "serde")]
use super::sized;
use crate::ip::IpNet;
use crate::key::PublicKey;

/// Longest text of a failure in bytes. Longer texts are truncated.
pub const MAX_TEXT: usize = 240;

wire! {
    /// A failure: its text, its kind, and what it concerns.
    #[derive(Clone, PartialEq, Eq, Debug)]
    pub struct Failure {
        /// Text for a person, with the kernel's own message if there is one.
        pub text: String<MAX_TEXT>,
        /// The kind of the failure.
        pub code: Code,
        /// The kernel's errno in the router's own numbering; 0 if the kernel did not fail.
        pub errno: u16,
        /// The state of the running configuration after the failure.
        pub state: State,
        /// What the failure concerns.
        #[cfg_attr(feature = "serde", serde(with = "sized"))]
        pub subject: Subject as sized,
    }
}

impl Failure {
    /// A failure before any change, without a subject.
    #[must_use]
    pub fn new(code: Code, text: &str) -> Self {
        Self { code, subject: Subject::None, errno: 0, text: cut(text), state: State::Unchanged }
    }

    /// The same failure about `subject`.
    #[must_use]
    pub fn about(self, subject: Subject) -> Self {
        Self { subject, ..self }
    }
}

wire! {
    /// The subject of a failure. On the wire it has a length prefix, so that a reader can skip an
    /// unknown subject.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Subject {
        /// No subject.
        None = 0,
        /// The interface itself.
        Interface = 1,
        /// The device's private key.
        PrivateKey = 2,
        /// The device's port.
        ListenPort = 3,
        /// The device's mark.
        Fwmark = 4,
        /// The MTU.
        Mtu = 5,
        /// An address of the interface.
        Address(net: IpNet) = 6,
        /// A route to a network.
        Route(net: IpNet) = 7,
        /// A policy rule.
        Rule = 8,
        /// A peer.
        Peer(key: PublicKey) = 9,
        /// A peer's endpoint.
        Endpoint(key: PublicKey) = 10,
        /// A peer's preshared key.
        PresharedKey(key: PublicKey) = 11,
        /// A peer's keepalive interval.
        PersistentKeepalive(key: PublicKey) = 12,
        /// A peer's allowed IPs.
        AllowedIps(key: PublicKey) = 13,
        /// One allowed IP of a peer.
        AllowedIp(key: PublicKey, net: IpNet) = 14,
        /// A position in the image: the offset of a record in bytes.
        Offset(number: u32) = 15,
        _ => Unknown(u8),
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Interface => f.write_str("interface"),
            Self::PrivateKey => f.write_str("PrivateKey"),
            Self::ListenPort => f.write_str("ListenPort"),
            Self::Fwmark => f.write_str("FwMark"),
            Self::Mtu => f.write_str("MTU"),
            Self::Address(net) => write!(f, "Address {net}"),
            Self::Route(net) => write!(f, "route to {net}"),
            Self::Rule => f.write_str("policy rule"),
            Self::Peer(key) => of_peer(f, key, ""),
            Self::Endpoint(key) => of_peer(f, key, ": Endpoint"),
            Self::PresharedKey(key) => of_peer(f, key, ": PresharedKey"),
            Self::PersistentKeepalive(key) => of_peer(f, key, ": PersistentKeepalive"),
            Self::AllowedIps(key) => of_peer(f, key, ": AllowedIPs"),
            Self::AllowedIp(key, net) => {
                of_peer(f, key, ": AllowedIPs ")?;
                fmt::Display::fmt(net, f)
            }
            Self::Offset(at) => write!(f, "byte {at} of the image"),
            Self::Unknown(number) => write!(f, "subject number {number}"),
        }
    }
}

#[cfg_attr(feature = "small", inline(never))]
fn of_peer(f: &mut fmt::Formatter<'_>, key: &PublicKey, what: &str) -> fmt::Result {
    write!(f, "peer {key}{what}")
}
