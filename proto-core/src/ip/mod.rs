//! Networks and endpoints of WireGuard and rtnetlink, and their text forms.
//!
//! Not here: their layout in netlink attributes (`netlink`) and messages (`protocol`).

mod text;

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

pub(crate) use text::parse_ip_bytes;
pub use text::{IP_TEXT_LEN, Shown, ip_text, parse_endpoint, parse_ip};

/// The address family number of IPv4 on Linux (`AF_INET`).
pub const AF_INET: u8 = 2;
/// The address family number of IPv6 on Linux (`AF_INET6`).
pub const AF_INET6: u8 = 10;

/// An address and the length of its network prefix: `10.0.0.1/24`, `fd00::/64`.
///
/// Used for allowed IPs and routes, where the host bits are zero ([`IpNet::masked`]), and for
/// interface addresses, where they are not. The prefix is at most [`IpNet::max_prefix`] if the
/// value came from [`IpNet::new`] or from text; a deserialised value must be checked with
/// [`IpNet::is_valid`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct IpNet {
    /// The address, host bits included.
    pub addr: IpAddr,
    /// Number of leading bits that are the network: 0 to 32 or 0 to 128.
    pub prefix: u8,
}

/// The reason why a text is not an [`IpNet`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum IpNetError {
    /// The part before the slash is not an IPv4 or IPv6 address.
    Address,
    /// The part after the slash is not a number.
    Prefix,
    /// The prefix is longer than the address; the field has the maximum.
    PrefixRange(u8),
}

impl fmt::Display for IpNetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("not an IPv4 or IPv6 address"),
            Self::Prefix => f.write_str("the prefix length is not a number"),
            Self::PrefixRange(max) => write!(f, "the prefix length is over {max}"),
        }
    }
}

impl core::error::Error for IpNetError {}

impl IpNet {
    /// `addr/prefix`; `None` if the prefix is longer than the address.
    #[must_use]
    pub fn new(addr: IpAddr, prefix: u8) -> Option<Self> {
        let net = Self { addr, prefix };
        net.is_valid().then_some(net)
    }

    /// Reads `ADDRESS` or `ADDRESS/PREFIX`; without a prefix the network is that one address.
    ///
    /// # Errors
    /// [`IpNetError`] with the part that is wrong.
    #[cfg_attr(feature = "small", inline(never))]
    pub fn from_bytes(text: &[u8]) -> Result<Self, IpNetError> {
        let slash = text.iter().position(|byte| *byte == b'/');
        let (addr, prefix) = text.split_at_checked(slash.unwrap_or(text.len())).unwrap_or_default();
        let addr = parse_ip_bytes(addr).ok_or(IpNetError::Address)?;
        let max = Self { addr, prefix: 0 }.max_prefix();
        let prefix = match prefix {
            [] => max,
            [_, digits @ ..] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
                let number = crate::text::digits(digits).and_then(|number| number.try_into().ok());
                number.ok_or(IpNetError::PrefixRange(max))?
            }
            _ => return Err(IpNetError::Prefix),
        };
        Self::new(addr, prefix).ok_or(IpNetError::PrefixRange(max))
    }

    /// The number of bits in the address: 32 or 128.
    #[must_use]
    pub const fn max_prefix(&self) -> u8 {
        match self.addr {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        }
    }

    /// Whether an interface other than the loopback one can have the address: Linux accepts no
    /// unspecified address, and for IPv6 neither multicast nor loopback addresses.
    #[must_use]
    pub const fn can_be_own(&self) -> bool {
        match self.addr {
            IpAddr::V4(addr) => !addr.is_unspecified(),
            IpAddr::V6(addr) => {
                !(addr.is_unspecified() || addr.is_multicast() || addr.is_loopback())
            }
        }
    }

    /// Whether the prefix is in range for the family.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.prefix <= self.max_prefix()
    }

    /// The Linux address family: [`AF_INET`] or [`AF_INET6`].
    #[must_use]
    pub const fn family(&self) -> u8 {
        match self.addr {
            IpAddr::V4(_) => AF_INET,
            IpAddr::V6(_) => AF_INET6,
        }
    }

    /// The same network with the bits after the prefix cleared, as the kernel stores allowed IPs.
    #[must_use]
    pub fn masked(&self) -> Self {
        let addr = match self.addr {
            IpAddr::V4(a) => {
                let host = u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & !host))
            }
            IpAddr::V6(a) => {
                let host = u128::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & !host))
            }
        };
        Self { addr, ..*self }
    }

    /// Whether `addr` is in this network.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        Self { addr, ..*self }.is_valid()
            && addr.is_ipv4() == self.addr.is_ipv4()
            && Self { addr, ..*self }.masked().addr == self.masked().addr
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Shown(self.addr), self.prefix)
    }
}

impl FromStr for IpNet {
    type Err = IpNetError;

    fn from_str(text: &str) -> Result<Self, IpNetError> {
        Self::from_bytes(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn net(s: &str) -> IpNet {
        s.parse().unwrap()
    }

    #[test]
    fn text_goes_both_ways() {
        for s in ["10.0.0.1/24", "0.0.0.0/0", "255.255.255.255/32", "fd00::1/64", "::/0", "::1/128"]
        {
            assert_eq!(net(s).to_string(), s);
        }
        assert_eq!(net("10.0.0.1"), net("10.0.0.1/32"));
        assert_eq!(net("fd00::1"), net("fd00::1/128"));
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let err = |s: &str| s.parse::<IpNet>().unwrap_err();
        assert_eq!(err("10.0.0.1/33"), IpNetError::PrefixRange(32));
        assert_eq!(err("10.0.0.1/333"), IpNetError::PrefixRange(32));
        assert_eq!(err("::/129"), IpNetError::PrefixRange(128));
        assert_eq!(err("10.0.0/24"), IpNetError::Address);
        assert_eq!(err("10.0.0.1/"), IpNetError::Prefix);
        assert_eq!(err("10.0.0.1/+8"), IpNetError::Prefix);
        assert_eq!(err(""), IpNetError::Address);
        assert_eq!(err("10.0.0.1/99999999999"), IpNetError::PrefixRange(32));
        assert_eq!(err("10.0.0.1/8/9"), IpNetError::Prefix);
    }

    proptest! {
        /// The standard library's parsers, and a prefix of digits.
        #[test]
        fn networks_are_those_of_the_standard_library(text in "[0-9a-f.:/]{1,24}|(25[0-5]|[0-9]{1,2})(\\.[0-9]{1,3}){3}(/[0-9]{1,4})?") {
            let (addr, prefix) = text.split_once('/').map_or((&*text, None), |(a, p)| (a, Some(p)));
            let wanted = addr.parse::<IpAddr>().ok().and_then(|addr| match prefix {
                Some(prefix) => IpNet::new(addr, prefix.parse().ok()?),
                None => IpNet::new(addr, if addr.is_ipv4() { 32 } else { 128 }),
            });
            prop_assert_eq!(IpNet::from_bytes(text.as_bytes()).ok(), wanted);
        }
    }

    #[test]
    fn masks_clear_host_bits_at_every_length() {
        assert_eq!(net("10.1.2.3/0").masked(), net("0.0.0.0/0"));
        assert_eq!(net("10.1.2.3/23").masked(), net("10.1.2.0/23"));
        assert_eq!(net("10.1.2.3/32").masked(), net("10.1.2.3/32"));
        assert_eq!(net("fd00::ffff/0").masked(), net("::/0"));
        assert_eq!(net("fd00::ffff/120").masked(), net("fd00::ff00/120"));
        assert_eq!(net("fd00::ffff/128").masked(), net("fd00::ffff/128"));
    }

    #[test]
    fn contains_knows_its_family() {
        assert!(net("10.0.0.0/8").contains("10.255.0.1".parse().unwrap()));
        assert!(!net("10.0.0.0/8").contains("11.0.0.1".parse().unwrap()));
        assert!(!net("0.0.0.0/0").contains("::".parse().unwrap()));
        assert!(net("::/0").contains("fd00::1".parse().unwrap()));
    }
}
