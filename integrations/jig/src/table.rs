//! The table in flash: what each unit is given. Replace the rows with your own.
//!
//! Not here: keys. They are in the environment of the build (README.md).

/// The name of the interface on each router.
pub const INTERFACE: &str = "wg0";
/// The UDP port of the interface.
pub const LISTEN_PORT: u16 = 51820;
/// The MTU of the interface, in bytes.
pub const MTU: u32 = 1420;
/// The name of the operator in each router's list of owners.
pub const OPERATOR: &str = "operator";

/// The configuration of a unit. The router makes its private key.
pub struct Row {
    /// The address of the interface.
    pub address: &'static str,
    /// The public key of its only peer.
    pub peer: &'static str,
    /// The endpoint of the peer.
    pub endpoint: &'static str,
    /// The allowed IP of the peer, which is also a route.
    pub allowed_ip: &'static str,
}

/// The rows. Four switches choose one of the first 16.
pub const ROWS: &[Row] = &[
    Row {
        address: "10.77.0.2/24",
        peer: "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
        endpoint: "192.0.2.1:51820",
        allowed_ip: "10.77.0.0/16",
    },
    Row {
        address: "10.77.1.2/24",
        peer: "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
        endpoint: "192.0.2.1:51820",
        allowed_ip: "10.77.0.0/16",
    },
];
