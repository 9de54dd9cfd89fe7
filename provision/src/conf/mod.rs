//! Parses wg-quick files into a [`Config`] and a list of [`Problem`]s.
//!
//! A file that the router's `wg-quick` accepts is read to the same values, by the same functions of
//! proto-core. The differences are the table in `tests/two_parsers.rs`. Each of them is an error
//! with its own message: most are settings that appear twice, and names that only the router can
//! resolve. Hooks, `DNS` and `SaveConfig` are for the machine on which a file is stored. They are
//! not pushed, and a warning says so. `PrivateKey = generate` is an extension: the router generates
//! the key.
//!
//! Parsing continues after an error, so that one run finds all errors.

mod field;
pub(crate) mod lines;
mod lists;
mod parse;
mod resolve;
mod value;

use proto_core::ip::IpNet;
use proto_core::key::{PublicKey, SecretKey};
use proto_core::protocol::config::PrivateKey;

pub use crate::problem::{At, Place, Problem, Source};
pub use parse::parse;
pub(crate) use resolve::{Found, apply, first, least, look_up_all, names};
pub use resolve::{Lookup, count_names, resolve, system_lookup};
pub use value::{Destination, Host, MAIN_TABLE, Table};

/// The public key that belongs to a private key.
#[must_use]
pub fn public_key(secret: &SecretKey) -> PublicKey {
    let secret = x25519_dalek::StaticSecret::from(*secret.as_bytes());
    PublicKey(x25519_dalek::PublicKey::from(&secret).to_bytes())
}

/// A configuration file without errors, each value with its place.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The interface's private key.
    pub private_key: Option<At<PrivateKey>>,
    /// The port it listens on. 0 means any port, as in wg(8).
    pub listen_port: Option<At<u16>>,
    /// The mark on its packets, 0 for none.
    pub fwmark: Option<At<u32>>,
    /// Its MTU.
    pub mtu: Option<At<u32>>,
    /// The routing table.
    pub table: Option<At<Table>>,
    /// Its addresses.
    pub addresses: Vec<At<IpNet>>,
    /// Its peers, in the order of the file.
    pub peers: Vec<Peer>,
}

/// A peer.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its public key.
    pub public_key: At<PublicKey>,
    /// The preshared key.
    pub preshared_key: Option<At<SecretKey>>,
    /// Its endpoint.
    pub endpoint: Option<At<Destination>>,
    /// Seconds between keepalives, 0 for none.
    pub persistent_keepalive: Option<At<u16>>,
    /// Its allowed IPs, host bits cleared.
    pub allowed_ips: Vec<At<IpNet>>,
}
