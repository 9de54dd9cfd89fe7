//! The numbers of `linux/wireguard.h`, under their own names.

/// `WG_GENL_NAME`: the family.
pub const WG_GENL_NAME: &str = "wireguard";
/// `WG_GENL_VERSION`: its version.
pub const WG_GENL_VERSION: u8 = 1;
/// Reads a device: a dump of [`Level::Device`] attributes.
pub const WG_CMD_GET_DEVICE: u8 = 0;
/// Changes a device.
pub const WG_CMD_SET_DEVICE: u8 = 1;

/// `WGDEVICE_A_FLAGS`: remove all peers before those in the message are set.
pub const WGDEVICE_F_REPLACE_PEERS: u32 = 1 << 0;
/// `WGPEER_A_FLAGS`: remove this peer.
pub const WGPEER_F_REMOVE_ME: u32 = 1 << 0;
/// `WGPEER_A_FLAGS`: remove all allowed IPs before those in the message are set.
pub const WGPEER_F_REPLACE_ALLOWEDIPS: u32 = 1 << 1;
/// `WGPEER_A_FLAGS`: change this peer only if it exists.
pub const WGPEER_F_UPDATE_ONLY: u32 = 1 << 2;
/// `WGALLOWEDIP_A_FLAGS`: remove this allowed IP. From Linux 6.16 on.
pub const WGALLOWEDIP_F_REMOVE_ME: u32 = 1 << 0;

/// The level of an attribute: the same numbers have other meanings on other levels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// `WGDEVICE_A_*`, after the header.
    Device,
    /// `WGPEER_A_*`, in an entry of `WGDEVICE_A_PEERS`.
    Peer,
    /// `WGALLOWEDIP_A_*`, in an entry of `WGPEER_A_ALLOWEDIPS`.
    AllowedIp,
}

macro_rules! attributes {
    ($($level:ident { $($(#[$doc:meta])* $name:ident = $number:literal,)* })*) => {
        $($(
            $(#[$doc])*
            pub const $name: u16 = $number;
        )*)*

        impl Level {
            /// The name of an attribute at this level.
            #[must_use]
            pub const fn name(self, ty: u16) -> Option<&'static str> {
                match (self, ty) {
                    $($((Self::$level, $number) => Some(stringify!($name)),)*)*
                    _ => None,
                }
            }
        }
    };
}

attributes! {
    Device {
        /// u32.
        WGDEVICE_A_IFINDEX = 1,
        /// Text ending in NUL, at most 15 bytes without it.
        WGDEVICE_A_IFNAME = 2,
        /// 32 bytes; all zeros remove it.
        WGDEVICE_A_PRIVATE_KEY = 3,
        /// 32 bytes; read-only.
        WGDEVICE_A_PUBLIC_KEY = 4,
        /// u32, `WGDEVICE_F_*`.
        WGDEVICE_A_FLAGS = 5,
        /// u16 in host order; 0 lets the kernel choose.
        WGDEVICE_A_LISTEN_PORT = 6,
        /// u32; 0 is no mark.
        WGDEVICE_A_FWMARK = 7,
        /// An array of peers.
        WGDEVICE_A_PEERS = 8,
    }
    Peer {
        /// 32 bytes.
        WGPEER_A_PUBLIC_KEY = 1,
        /// 32 bytes; all zeros are no key.
        WGPEER_A_PRESHARED_KEY = 2,
        /// u32, `WGPEER_F_*`; write-only.
        WGPEER_A_FLAGS = 3,
        /// `struct sockaddr_in` or `struct sockaddr_in6`.
        WGPEER_A_ENDPOINT = 4,
        /// u16, seconds; 0 is off.
        WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL = 5,
        /// `struct __kernel_timespec`: two i64; read-only.
        WGPEER_A_LAST_HANDSHAKE_TIME = 6,
        /// u64, bytes; read-only.
        WGPEER_A_RX_BYTES = 7,
        /// u64, bytes; read-only.
        WGPEER_A_TX_BYTES = 8,
        /// An array of allowed IPs.
        WGPEER_A_ALLOWEDIPS = 9,
        /// u32; 1 is the only version.
        WGPEER_A_PROTOCOL_VERSION = 10,
    }
    AllowedIp {
        /// u16, `AF_INET` or `AF_INET6`.
        WGALLOWEDIP_A_FAMILY = 1,
        /// 4 or 16 bytes.
        WGALLOWEDIP_A_IPADDR = 2,
        /// u8, the prefix length.
        WGALLOWEDIP_A_CIDR_MASK = 3,
        /// u32, `WGALLOWEDIP_F_*`; write-only. From Linux 6.16 on.
        WGALLOWEDIP_A_FLAGS = 4,
    }
}
