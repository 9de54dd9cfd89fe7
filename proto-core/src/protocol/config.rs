//! The configuration image: the payload of a push, which the agent stages.
//!
//! An image is a sequence of postcard [`Record`]s, each with a length prefix ([`super::sized`]),
//! and contains nothing else:
//!
//! 1. one [`Record::Interface`],
//! 2. its addresses, then its routes, then its rules, each in the order of their [`ItemKey`]s,
//! 3. its peers in the order of their keys, each followed by the host name of its endpoint, if it has one, and
//!    by its allowed IPs in any order.
//!
//! The order lets the agent compare an image of any length with the kernel in fixed memory, because
//! any item is found by binary search. Duplicate keys are refused, and so are host bits in allowed
//! IPs and routes.

use super::codec::wire;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use heapless::String;

use super::codec::Misread;
use super::endpoint::PeerEndpoint;
use super::message::Name;
use crate::conf::setting::MTUS;
use crate::ifname::{IfName, IfNameError};
use crate::ip::{AF_INET, AF_INET6, IpNet};
use crate::key::{KEY_LEN, PublicKey, SecretKey};

/// Largest length of an encoded record with its length prefix, in bytes. `tests` checks the longest
/// record of each kind.
pub const MAX_RECORD: usize = 266;

/// A host name, at most 253 bytes (RFC 1035, 2.3.4, without the last dot).
pub type HostName = String<253>;

wire! {
    /// A record: one part of a configuration.
    #[derive(Clone, PartialEq, Eq, Debug)]
    pub enum Record as "record" {
        /// The first record.
        Interface(interface: Interface) = 0,
        /// An address of the interface, with its host bits.
        Address(net: IpNet) = 1,
        /// A route through the interface.
        Route(route: Route) = 2,
        /// A policy rule.
        Rule(rule: Rule) = 3,
        /// A peer.
        Peer(peer: Peer) = 4,
        /// An allowed IP of the preceding peer, host bits cleared.
        AllowedIp(net: IpNet) = 5,
        /// The host name of the preceding peer's endpoint.
        Host(host: Host) = 6,
    }
}

wire! {
    /// The interface and its device.
    #[derive(Clone, PartialEq, Eq, Debug, Default)]
    pub struct Interface {
        /// The name of the interface.
        pub name: Name,
        /// The source of the private key.
        pub private_key: PrivateKey,
        /// The UDP port to listen on; `None` keeps the current port.
        pub listen_port: Option<u16>,
        /// The mark on outgoing packets; 0 for none.
        pub fwmark: u32,
        /// The MTU in bytes.
        pub mtu: u32,
    }
}

wire! {
    /// The source of a device's private key.
    #[derive(Clone, PartialEq, Eq, Debug, Default)]
    pub enum PrivateKey {
        /// The device has no key.
        #[default]
        None = 0,
        /// The key in the image.
        Given(key: SecretKey) = 1,
        /// The router generates a key, unless the device already has one.
        Generate = 2,
    }
}

wire! {
    /// A route through the interface, without a gateway.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    pub struct Route {
        /// The routing table.
        pub table: u32,
        /// The metric (priority). 0 selects the kernel's default, which is 0 for IPv4 and 1,024 for
        /// IPv6 (`IP6_RT_PRIO_USER`); an image writes 0 for both.
        pub metric: u32,
        /// The destination, host bits cleared.
        pub to: IpNet,
    }
}

wire! {
    /// A policy rule that sends packets to a table.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Rule {
        /// `true` for IPv6, `false` for IPv4.
        pub v6: bool,
        /// The rule's priority; rules with lower numbers are tried first.
        pub priority: u32,
        /// The table to look up.
        pub table: u32,
        /// The mark of matching packets; `None` for all packets.
        pub fwmark: Option<u32>,
        /// Whether the rule applies to packets that do not match.
        pub invert: bool,
        /// Longest prefix of a route that the rule ignores; `None` ignores no route.
        pub suppress_prefixlength: Option<u32>,
    }
}

wire! {
    /// A peer, without its allowed IPs.
    #[derive(Clone, PartialEq, Eq, Debug)]
    pub struct Peer {
        /// The public key.
        pub public_key: PublicKey,
        /// The preshared key; `None` if the peer has none.
        pub preshared_key: Option<SecretKey>,
        /// The endpoint; `None` keeps the endpoint that the kernel has learnt.
        pub endpoint: Option<PeerEndpoint>,
        /// Seconds between keepalives; 0 for none.
        pub persistent_keepalive: u16,
    }
}

wire! {
    /// The host name of a peer's endpoint. The router looks the name up when it starts, and when
    /// the peer's record has no endpoint.
    #[derive(Clone, PartialEq, Eq, Debug)]
    pub struct Host {
        /// The name, or the text of an address.
        pub name: HostName,
        /// The UDP port.
        pub port: u16,
    }
}

impl Host {
    /// Whether the name can be passed to a resolver: only ASCII letters, digits, `-`, `_`, `.` and
    /// `:`, and not empty.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        !self.name.is_empty() && self.name.bytes().all(fits)
    }
}

/// The item that an [`ItemKey`] identifies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Item {
    /// An address of the interface.
    Address(IpNet),
    /// A route.
    Route(Route),
    /// A rule.
    Rule(Rule),
    /// A peer.
    Peer(PublicKey),
}

impl PartialOrd for Rule {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rule {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        Item::Rule(*self).key().0.cmp(&Item::Rule(*other).key().0)
    }
}

/// The length of an [`ItemKey`] in bytes.
pub const ITEM_KEY_LEN: usize = 1 + KEY_LEN;

/// The position of an item in the order of an image, and its name in the agent's index: a kind and
/// up to 32 bytes, compared byte by byte.
///
/// ```text
/// address  1  family  address (4 or 16, then zeros to 16)  prefix
/// route    2  table (4)  metric (4)  family  address (16)  prefix
/// rule     3  family  priority (4)  table (4)  flags  fwmark (4)  suppress_prefixlength (4)
/// peer     4  public key (32)
/// ```
/// Numbers are big-endian; the rest of the 33 bytes is zero. `family` is 4 or 6. The flags of a
/// rule: 1 has a mark, 2 inverted, 4 suppresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ItemKey(pub [u8; ITEM_KEY_LEN]);

/// Writes fields one after another into a zeroed key.
struct Fields {
    key: [u8; ITEM_KEY_LEN],
    at: usize,
}

impl Fields {
    const fn new(kind: u8) -> Self {
        let mut key = [0; ITEM_KEY_LEN];
        if let Some((first, _)) = key.split_first_mut() {
            *first = kind;
        }
        Self { key, at: 1 }
    }

    fn put(mut self, bytes: &[u8]) -> Self {
        let end = self.at.saturating_add(bytes.len());
        if let Some(place) = self.key.get_mut(self.at..end) {
            for (to, from) in place.iter_mut().zip(bytes) {
                *to = *from;
            }
            self.at = end;
        }
        self
    }

    fn net(self, net: &IpNet) -> Self {
        let mut wide = [0; 16];
        let version = match net.addr {
            IpAddr::V4(a) => {
                if let Some(low) = wide.first_chunk_mut() {
                    *low = a.octets();
                }
                4
            }
            IpAddr::V6(a) => {
                wide = a.octets();
                6
            }
        };
        self.put(&[version]).put(&wide).put(&[net.prefix])
    }

    const fn done(self) -> ItemKey {
        ItemKey(self.key)
    }
}

/// Reads the fields of a key.
struct Cursor<'k>(&'k [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn net(&mut self) -> Option<IpNet> {
        let [version] = self.take()?;
        let wide: [u8; 16] = self.take()?;
        let [prefix] = self.take()?;
        let addr = match version {
            4 => IpAddr::V4(Ipv4Addr::from(*wide.first_chunk::<4>()?)),
            6 => IpAddr::V6(Ipv6Addr::from(wide)),
            _ => return None,
        };
        IpNet::new(addr, prefix)
    }
}

mod rule_flags {
    pub(super) const FWMARK: u8 = 1;
    pub(super) const INVERT: u8 = 2;
    pub(super) const SUPPRESS: u8 = 4;
}

impl Item {
    /// The key of this item.
    #[must_use]
    pub fn key(&self) -> ItemKey {
        match self {
            Self::Address(net) => Fields::new(1).net(net).done(),
            Self::Route(route) => Fields::new(2)
                .put(&route.table.to_be_bytes())
                .put(&route.metric.to_be_bytes())
                .net(&route.to)
                .done(),
            Self::Rule(rule) => {
                let flag = |set, bit| if set { bit } else { 0 };
                let flags = flag(rule.fwmark.is_some(), rule_flags::FWMARK)
                    | flag(rule.invert, rule_flags::INVERT)
                    | flag(rule.suppress_prefixlength.is_some(), rule_flags::SUPPRESS);
                Fields::new(3)
                    .put(&[if rule.v6 { 6 } else { 4 }])
                    .put(&rule.priority.to_be_bytes())
                    .put(&rule.table.to_be_bytes())
                    .put(&[flags])
                    .put(&rule.fwmark.unwrap_or(0).to_be_bytes())
                    .put(&rule.suppress_prefixlength.unwrap_or(0).to_be_bytes())
                    .done()
            }
            Self::Peer(key) => Fields::new(4).put(&key.0).done(),
        }
    }

    /// The record of an image that is this item; `None` for a peer, whose record has more than the key.
    #[must_use]
    pub const fn record(&self) -> Option<Record> {
        match self {
            Self::Address(net) => Some(Record::Address(*net)),
            Self::Route(route) => Some(Record::Route(*route)),
            Self::Rule(rule) => Some(Record::Rule(*rule)),
            Self::Peer(_) => None,
        }
    }

    /// The item that a key identifies; `None` if no item has that key.
    #[must_use]
    pub fn from_key(key: &ItemKey) -> Option<Self> {
        Self::read_key(key).filter(|item| item.key() == *key)
    }

    fn read_key(key: &ItemKey) -> Option<Self> {
        let mut cursor = Cursor(&key.0);
        let [kind] = cursor.take()?;
        Some(match kind {
            1 => Self::Address(cursor.net()?),
            2 => {
                let (table, metric) = (cursor.number()?, cursor.number()?);
                Self::Route(Route { table, metric, to: cursor.net()? })
            }
            3 => {
                let [version] = cursor.take()?;
                let (priority, table) = (cursor.number()?, cursor.number()?);
                let [flags] = cursor.take()?;
                let (fwmark, suppress) = (cursor.number()?, cursor.number()?);
                Self::Rule(Rule {
                    v6: version == 6,
                    priority,
                    table,
                    fwmark: (flags & rule_flags::FWMARK != 0).then_some(fwmark),
                    invert: flags & rule_flags::INVERT != 0,
                    suppress_prefixlength: (flags & rule_flags::SUPPRESS != 0).then_some(suppress),
                })
            }
            4 => Self::Peer(PublicKey(cursor.take()?)),
            _ => return None,
        })
    }
}

impl Route {
    /// The metric as written in an image: the kernel's default for IPv6 becomes 0.
    #[must_use]
    pub const fn plain_metric(&self) -> u32 {
        match (self.to.addr, self.metric) {
            (IpAddr::V6(_), 1024) => 0,
            (_, metric) => metric,
        }
    }
}

impl Rule {
    /// The Linux address family of the rule.
    #[must_use]
    pub const fn family(&self) -> u8 {
        if self.v6 { AF_INET6 } else { AF_INET }
    }
}

impl From<Misread> for ConfigError {
    fn from(misread: Misread) -> Self {
        match misread {
            Misread::Field("record") => Self::Record,
            Misread::Field(field) => Self::Field(field),
            Misread::Unknown(kind) => Self::Kind(kind),
            Misread::Trailing => Self::Longer,
        }
    }
}

/// The mistake in an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// A record does not decode, or the image ends inside one.
    Record,
    /// A field of a record has an impossible value; contains the name of the field.
    Field(&'static str),
    /// An unknown kind of record; contains its number.
    Kind(u32),
    /// A record has unknown fields after the known ones.
    Longer,
    /// The image does not begin with the interface, or has a second one.
    Interface,
    /// An allowed IP before the first peer.
    Stray,
    /// An item whose key is lower than that of the preceding item.
    Order,
    /// Two items with the same key.
    Duplicate,
    /// A prefix longer than its address.
    Prefix,
    /// Bits are set after the prefix where they must be zero.
    HostBits,
    /// An interface name that is not allowed in an image.
    Name,
    /// An IPv6 route with the default metric written out.
    Metric,
    /// An MTU that is not allowed in an image.
    Mtu,
    /// An invalid host name, or a host name that does not follow its peer.
    Host,
    /// A scope at an address without scopes, or a scope that is not a link name.
    Scope,
    /// Listen port 0.
    Port,
    /// A private key of zeros.
    PrivateKey,
    /// An address that an interface cannot have.
    Address,
    /// An IPv6 address with a second prefix.
    SecondPrefix,
    /// An IPv6 address or route of an interface whose MTU is too small for IPv6.
    Ipv6Mtu,
    /// A route or rule of table 0.
    Table,
    /// A rule that the kernel would store in another form.
    Rule,
    /// A rule with the priority and table of the preceding rule.
    RulePlace,
}

impl core::error::Error for ConfigError {}

impl core::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Record => "the image contains a truncated record",
            Self::Field(field) => {
                return write!(f, "the image contains a record whose `{field}` cannot be read");
            }
            Self::Kind(kind) => {
                return write!(
                    f,
                    "the image contains a record of kind {kind}, which this agent does not know: update it"
                );
            }
            Self::Longer => "the image contains a record with fields that this agent does not know: update it",
            Self::Interface => "the image does not start with its only interface",
            Self::Stray => "an allowed IP without a peer",
            Self::Order => "the items of the image are not in order",
            Self::Duplicate => "given twice",
            Self::Prefix => "the prefix is longer than the address",
            Self::HostBits => "bits are set after the prefix",
            Self::Name => IfNameError::WORDS,
            Self::Metric => "metric 1024 of an IPv6 route must be written as 0",
            Self::Mtu => "the MTU is not between 68 and 65535",
            Self::Host => "an invalid host name, or one that does not follow its peer",
            Self::Scope => "only a link-local or multicast IPv6 address has a scope, and the scope is the name of a link",
            Self::Port => "the port is 0: leave it out, and the router chooses a free port",
            Self::PrivateKey => "the key is all zeros",
            Self::Address => "an interface cannot have this address",
            Self::SecondPrefix => "an IPv6 address can have only one prefix",
            Self::Ipv6Mtu => "IPv6 needs an MTU of 1280 or more",
            Self::Table => "there is no table 0",
            Self::Rule => {
                "a rule cannot have priority 0, mark 0 or suppress_prefixlength 4294967295"
            }
            Self::RulePlace => "the kernel cannot tell two rules of one priority and table apart",
        })
    }
}

/// Checks records in the order they come, and returns the item of each.
///
/// A checker sees one record at a time and stores only the last key, so an image of any length can
/// be checked.
#[derive(Debug, Default)]
pub struct Checker {
    last: Option<ItemKey>,
    any_order: bool,
    started: bool,
    in_peer: bool,
    /// The preceding record was a peer.
    host_may_come: bool,
    /// The MTU of the interface.
    mtu: u32,
}

impl Checker {
    /// A checker that accepts items in any order, and any value of the kernel: for an image made
    /// from the kernel's own tables, which cannot contain an item twice.
    #[must_use]
    pub fn in_any_order() -> Self {
        Self { any_order: true, ..Self::default() }
    }

    /// The key of the last item. `None` before the first item.
    #[must_use]
    pub const fn last(&self) -> Option<&ItemKey> {
        self.last.as_ref()
    }

    /// Checks the next record. Returns its item; `None` if the record has no key of its own.
    ///
    /// # Errors
    /// [`ConfigError`] if the record is invalid, or not allowed in this position.
    pub fn record(&mut self, record: &Record) -> Result<Option<Item>, ConfigError> {
        let host_may_come =
            core::mem::replace(&mut self.host_may_come, matches!(record, Record::Peer(_)));
        if self.started == matches!(record, Record::Interface(_)) {
            return Err(ConfigError::Interface);
        }
        let item = match record {
            Record::Interface(interface) => {
                self.started = true;
                // The kernel may have an interface whose name no image may contain.
                if !self.any_order && IfName::plain(&interface.name).is_err() {
                    return Err(ConfigError::Name);
                }
                // A running interface may have any MTU.
                self.mtu = interface.mtu;
                return match interface {
                    _ if self.any_order => Ok(None),
                    Interface { mtu, .. } if !MTUS.contains(mtu) => Err(ConfigError::Mtu),
                    Interface { listen_port: Some(0), .. } => Err(ConfigError::Port),
                    Interface { private_key: PrivateKey::Given(key), .. } if key.is_zero() => {
                        Err(ConfigError::PrivateKey)
                    }
                    _ => Ok(None),
                };
            }
            Record::Address(net) if !net.is_valid() => return Err(ConfigError::Prefix),
            _ if !self.any_order && self.mtu < IPV6_MIN_MTU && is_ipv6(record) => {
                return Err(ConfigError::Ipv6Mtu);
            }
            Record::Address(net) if !self.any_order && !net.can_be_own() => {
                return Err(ConfigError::Address);
            }
            Record::Address(net) => Item::Address(*net),
            Record::Route(Route { table: 0, .. }) | Record::Rule(Rule { table: 0, .. })
                if !self.any_order =>
            {
                return Err(ConfigError::Table);
            }
            Record::Rule(
                Rule { priority: 0, .. }
                | Rule { fwmark: Some(0), .. }
                | Rule { suppress_prefixlength: Some(u32::MAX), .. },
            ) if !self.any_order => return Err(ConfigError::Rule),
            Record::Route(route) if route.metric != 0 && route.plain_metric() == 0 => {
                return Err(ConfigError::Metric);
            }
            Record::Route(route) => Item::Route(Route { to: clean(&route.to)?, ..*route }),
            Record::Rule(rule) => Item::Rule(*rule),
            Record::Peer(Peer { endpoint: Some(endpoint), .. })
                if !self.any_order && !endpoint.is_valid() =>
            {
                return Err(ConfigError::Scope);
            }
            Record::Peer(peer) => Item::Peer(peer.public_key),
            Record::Host(host) if host_may_come && host.is_valid() => return Ok(None),
            Record::Host(_) => return Err(ConfigError::Host),
            Record::AllowedIp(net) => {
                clean(net)?;
                return if self.in_peer { Ok(None) } else { Err(ConfigError::Stray) };
            }
        };
        self.in_peer = matches!(item, Item::Peer(_));
        let key = item.key();
        // Such items follow each other.
        let place = match &item {
            Item::Address(net) if net.addr.is_ipv6() => {
                Some((PLACE_OF_ADDRESS, ConfigError::SecondPrefix))
            }
            Item::Rule(_) => Some((PLACE_OF_RULE, ConfigError::RulePlace)),
            _ => None,
        };
        if let (Some((len, error)), Some(last), false) = (place, &self.last, self.any_order)
            && *last != key
            && last.0.get(..len) == key.0.get(..len)
        {
            return Err(error);
        }
        match self.last.replace(key).map(|last| last.cmp(&key)) {
            Some(core::cmp::Ordering::Equal) => Err(ConfigError::Duplicate),
            Some(core::cmp::Ordering::Greater) if !self.any_order => Err(ConfigError::Order),
            Some(_) | None => Ok(Some(item)),
        }
    }

    /// Checks whether the image may end here.
    ///
    /// # Errors
    /// [`ConfigError::Interface`] for an image without records.
    pub const fn finish(&self) -> Result<(), ConfigError> {
        if self.started { Ok(()) } else { Err(ConfigError::Interface) }
    }
}

/// The smallest MTU for IPv6 (RFC 8200, 5).
pub const IPV6_MIN_MTU: u32 = 1280;
/// Number of bytes of a key for kind, family and address.
const PLACE_OF_ADDRESS: usize = 1 + 1 + 16;
/// Number of bytes of a key for kind, family, priority and table: the kernel finds a rule to remove
/// by these, and by the mark if both rules have one.
pub const PLACE_OF_RULE: usize = 1 + 1 + 4 + 4;

const fn is_ipv6(record: &Record) -> bool {
    matches!(record, Record::Address(net) | Record::Route(Route { to: net, .. }) if net.addr.is_ipv6())
}

fn clean(net: &IpNet) -> Result<IpNet, ConfigError> {
    if !net.is_valid() {
        Err(ConfigError::Prefix)
    } else if net.masked() != *net {
        Err(ConfigError::HostBits)
    } else {
        Ok(*net)
    }
}

#[cfg(test)]
mod tests;
