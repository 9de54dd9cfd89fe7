//! Builds the image of a configuration file in fixed memory, from the output of the readers of
//! [`crate::conf`].
//!
//! A [`Draft`] takes the settings and items of a file of any length and returns [`Piece`]s: records
//! of peers, and items that are keys of their own. The caller stores the pieces outside of memory,
//! requests the [routes](Draft::route) of each allowed IP at the end of the file, and writes the
//! pieces in the order of an image ([`super::config`]): the interface, addresses, routes and rules
//! in the order of their keys, and peers.
//!
//! A draft accepts what `wg-quick` accepts, except for duplicate settings and addresses, and values
//! that an image cannot have: names of services and tables, and host names that are not ASCII.
//!
//! Not here: storing and sorting the pieces, looking up host names, and finding items that two
//! peers share.

use core::fmt;
use core::net::{IpAddr, SocketAddrV6};

use heapless::Vec;

use super::config::{self, HostName, Interface, Item as Key, PrivateKey, Route, Rule};
use super::endpoint::{PeerEndpoint, has_scope};
use super::message::Name;
use crate::conf::routing::{
    FULL_TUNNEL_TABLE, MAIN_TABLE, OWN_PACKETS_PRIORITY, RouteTable, covers, has_own_route,
    route_table, tunnel_rules,
};
use crate::conf::setting::{self, Table, next_word};
use crate::conf::{ConfError, Field, Host, Item, Problem};
use crate::ifname::IfName;
use crate::ip::{IpNet, parse_ip};
use crate::key::PublicKey;

/// The MTU of an interface without `MTU`: 1,500 bytes less the 80 bytes of WireGuard over IPv6.
pub const DEFAULT_MTU: u32 = 1_420;
/// Largest number of addresses of a draft.
pub const MAX_ADDRESSES: usize = 64;

/// A piece of an image.
#[derive(Clone, Debug)]
pub enum Piece {
    /// An address, a route or a rule.
    Item(Key),
    /// An allowed IP of the current peer, host bits cleared. It comes before the record of its
    /// peer.
    AllowedIp(IpNet),
    /// The current peer, which ends here.
    Peer(config::Peer),
    /// The host name of the preceding peer.
    Host(config::Host),
}

/// Takes a piece.
pub type TakePiece<'t, E> = dyn FnMut(Piece) -> Result<(), E> + 't;

/// The reason why a draft refuses a setting or an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DraftError<E> {
    /// A mistake in the file.
    Mistake(ConfError),
    /// A piece could not be stored.
    Kept(E),
}

impl<E> From<E> for DraftError<E> {
    fn from(error: E) -> Self {
        Self::Kept(error)
    }
}

impl<E: fmt::Display> fmt::Display for DraftError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mistake(error) => error.fmt(f),
            Self::Kept(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for DraftError<E> {}

/// The section of the current peer.
#[derive(Debug, Default)]
struct Open {
    key: Option<PublicKey>,
    preshared_key: Option<crate::key::SecretKey>,
    endpoint: Option<PeerEndpoint>,
    host: Option<config::Host>,
    persistent_keepalive: u16,
}

/// A file that is turned into an image.
#[derive(Debug)]
pub struct Draft {
    interface: Interface,
    table: Table,
    addresses: Vec<IpNet, MAX_ADDRESSES>,
    peer: Option<Open>,
    /// A bit for each setting of the interface, or of this peer.
    seen: u32,
    has_interface: bool,
}

/// The settings that may occur more than once in a section.
const fn is_list(field: Field) -> bool {
    matches!(field, Field::Address | Field::AllowedIps | Field::Dns) || field.is_command()
}

impl Draft {
    /// An empty draft of the image of an interface.
    #[must_use]
    pub fn new(name: Name) -> Self {
        Self {
            interface: Interface { name, mtu: DEFAULT_MTU, ..Interface::default() },
            table: Table::Auto,
            addresses: Vec::new(),
            peer: None,
            seen: 0,
            has_interface: false,
        }
    }

    /// The record of the interface. Its mark is final after [`Draft::route`] has seen each allowed IP.
    #[must_use]
    pub const fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Records that a setting occurs in the section. A duplicate is an error.
    fn once(&mut self, line: u32, field: Field) -> Result<(), ConfError> {
        let bit = 1_u32.checked_shl(field as u32).unwrap_or(0);
        if self.seen & bit != 0 && !is_list(field) {
            return Err(ConfError::new(line, field.name(), Problem::Value("appears twice")));
        }
        self.seen |= bit;
        Ok(())
    }

    /// Takes a setting of wg-quick(8) in a line of the file. Returns the words of a warning if the
    /// setting is ignored.
    ///
    /// # Errors
    /// A value that the setting does not accept, or an error of `take`.
    pub fn setting<E>(
        &mut self,
        line: u32,
        field: Field,
        value: &str,
        take: &mut TakePiece<'_, E>,
    ) -> Result<Option<&'static str>, DraftError<E>> {
        let wrong = |value: &str, words| {
            let error = ConfError::new(line, field.name(), Problem::Value(words)).with(value);
            Err(DraftError::Mistake(error))
        };
        if value.is_empty() {
            return match field {
                Field::SaveConfig => wrong(value, "has no value"),
                _ => Ok(Some("is empty: it is ignored")),
            };
        }
        self.once(line, field).map_err(DraftError::Mistake)?;
        match field {
            Field::Mtu => match setting::mtu(value) {
                Some(mtu) => self.interface.mtu = mtu,
                None => return wrong(value, "is not an MTU: 68 to 65535 bytes"),
            },
            Field::Table => match setting::table(value).filter(|to| *to != Table::Number(0)) {
                Some(table) => self.table = table,
                None => return wrong(value, "is not a table: auto, off, main or a number over 0"),
            },
            Field::Address => {
                let mut rest = value;
                while let Some(word) = next_word(&mut rest) {
                    let Some(net) = setting::address(word) else {
                        return wrong(word, "is not an address with a prefix length");
                    };
                    // For the kernel, IPv4 addresses with different prefixes are different
                    // addresses.
                    let same = |own: &IpNet| {
                        own.addr == net.addr && (own.prefix == net.prefix || net.addr.is_ipv6())
                    };
                    if self.addresses.iter().any(same) {
                        return wrong(word, "appears twice");
                    }
                    if self.addresses.push(net).is_err() {
                        return wrong(word, "is one address more than the 64 that fit");
                    }
                    take(Piece::Item(Key::Address(net)))?;
                }
            }
            Field::SaveConfig => match setting::boolean(value) {
                Some(true) => return Ok(Some("is ignored: the router stores what is committed")),
                Some(false) => {}
                None => return wrong(value, "is neither true nor false"),
            },
            Field::Dns => return Ok(Some("is ignored: the router keeps its name servers")),
            _ if field.is_command() => return Ok(Some("is ignored: no commands are run")),
            // Settings of wg(8) are items.
            _ => {}
        }
        Ok(None)
    }

    /// Takes an item of wg(8) in a line of the file.
    ///
    /// # Errors
    /// A value that an image cannot have, a [mistake](Item::Mistake), or an error of `take`.
    pub fn item<E>(
        &mut self,
        line: u32,
        item: &Item<'_>,
        take: &mut TakePiece<'_, E>,
    ) -> Result<(), DraftError<E>> {
        let mistake = |field: Field, words| {
            DraftError::Mistake(ConfError::new(line, field.name(), Problem::Value(words)))
        };
        let field = match item {
            Item::Interface => {
                self.close(take)?;
                self.has_interface = true;
                return Ok(());
            }
            Item::Peer => {
                self.close(take)?;
                self.peer = Some(Open::default());
                // The settings of the interface stay seen.
                self.seen &= !PEER_SETTINGS;
                return Ok(());
            }
            Item::Mistake(error) => return Err(DraftError::Mistake(*error)),
            Item::PrivateKey(_) | Item::GeneratePrivateKey => Field::PrivateKey,
            Item::ListenPort(_) | Item::ListenService(_) => Field::ListenPort,
            Item::Fwmark(_) => Field::Fwmark,
            Item::PublicKey(_) => Field::PublicKey,
            Item::PresharedKey(_) => Field::PresharedKey,
            Item::Endpoint(_) => Field::Endpoint,
            Item::PersistentKeepalive(_) => Field::PersistentKeepalive,
            Item::AllowedIps | Item::AllowedIp(_) => Field::AllowedIps,
            // Items of command lines.
            _ => return Ok(()),
        };
        self.once(line, field).map_err(DraftError::Mistake)?;
        match (item, &mut self.peer) {
            (Item::PrivateKey(key), _) if key.is_zero() => {
                return Err(mistake(field, "is all zeros, which is no key"));
            }
            (Item::PrivateKey(key), _) => {
                self.interface.private_key = PrivateKey::Given(key.clone());
            }
            (Item::GeneratePrivateKey, _) => self.interface.private_key = PrivateKey::Generate,
            (Item::ListenPort(port), _) => {
                // 0 means any port, so the router keeps the current port.
                self.interface.listen_port = Some(*port).filter(|port| *port != 0);
            }
            (Item::ListenService(name), _) => {
                let words = Problem::Value("is not a port: a number from 0 to 65535");
                let error = ConfError::new(line, field.name(), words);
                return Err(DraftError::Mistake(error.with(name)));
            }
            (Item::Fwmark(mark), _) => self.interface.fwmark = *mark,
            (Item::PublicKey(key), Some(peer)) => peer.key = Some(*key),
            (Item::PresharedKey(key), Some(peer)) => {
                peer.preshared_key = Some(key.clone()).filter(|key| !key.is_zero());
            }
            (Item::PersistentKeepalive(seconds), Some(peer)) => {
                peer.persistent_keepalive = *seconds;
            }
            (Item::Endpoint(host), Some(peer)) => match destination(host) {
                Ok(Destination::Address(to)) => peer.endpoint = Some(to),
                Ok(Destination::Name(name)) => {
                    // The reader has refused longer names.
                    let name = HostName::try_from(name).unwrap_or_default();
                    peer.host = Some(config::Host { name, port: host.port });
                }
                Err(words) => {
                    let error = ConfError::new(line, field.name(), Problem::Value(words));
                    return Err(DraftError::Mistake(error.with(host.name)));
                }
            },
            (Item::AllowedIp(net), Some(_)) => take(Piece::AllowedIp(net.masked()))?,
            _ => {}
        }
        Ok(())
    }

    /// Takes the end of the file.
    ///
    /// # Errors
    /// A missing `[Interface]` section, or an error of `take`.
    pub fn end<E>(&mut self, take: &mut TakePiece<'_, E>) -> Result<(), DraftError<E>> {
        self.close(take)?;
        if self.has_interface {
            return Ok(());
        }
        let words = Problem::Value("the file has no [Interface] section");
        Err(DraftError::Mistake(ConfError::new(0, "", words)))
    }

    /// Ends the section of a peer. The reader reports a peer without a key.
    fn close<E>(&mut self, take: &mut TakePiece<'_, E>) -> Result<(), E> {
        let Some(Open {
            key: Some(public_key),
            preshared_key,
            endpoint,
            host,
            persistent_keepalive,
        }) = self.peer.take()
        else {
            return Ok(());
        };
        take(Piece::Peer(config::Peer {
            public_key,
            preshared_key,
            endpoint,
            persistent_keepalive,
        }))?;
        host.map_or(Ok(()), |host| take(Piece::Host(host)))
    }

    /// Returns the route for an allowed IP, and the rules of a full tunnel. An item may be returned
    /// more than once.
    ///
    /// # Errors
    /// An error of `take`.
    pub fn route<E>(&mut self, to: IpNet, take: &mut TakePiece<'_, E>) -> Result<(), E> {
        let Self { addresses, interface, table, .. } = self;
        route(to, *table, addresses, &mut interface.fwmark, &mut |item| take(Piece::Item(item)))
    }
}

/// Gives the route for an allowed IP of an interface with this `Table` and these addresses, and the rules of a full
/// tunnel. A full tunnel sets a mark that is 0.
///
/// # Errors
/// That of `take`.
pub fn route<E>(
    to: IpNet,
    table: Table,
    addresses: &[IpNet],
    fwmark: &mut u32,
    take: &mut dyn FnMut(Key) -> Result<(), E>,
) -> Result<(), E> {
    let covered = |own: &IpNet| has_own_route(own) && covers(own, &to);
    let table = match route_table(table, &to) {
        RouteTable::None => return Ok(()),
        RouteTable::MainUnlessCovered if addresses.iter().any(covered) => return Ok(()),
        RouteTable::MainUnlessCovered => MAIN_TABLE,
        RouteTable::Number(table) => table,
        RouteTable::FullTunnel => {
            if *fwmark == 0 {
                *fwmark = FULL_TUNNEL_TABLE;
            }
            let v6 = to.addr.is_ipv6();
            take(Key::Rule(Rule {
                v6,
                priority: OWN_PACKETS_PRIORITY,
                table: MAIN_TABLE,
                fwmark: Some(*fwmark),
                invert: false,
                suppress_prefixlength: None,
            }))?;
            for rule in tunnel_rules(*fwmark) {
                take(Key::Rule(Rule {
                    v6,
                    priority: rule.priority,
                    table: rule.table,
                    fwmark: rule.unless_marked,
                    invert: rule.unless_marked.is_some(),
                    suppress_prefixlength: rule.suppress_prefixlength,
                }))?;
            }
            *fwmark
        }
    };
    take(Key::Route(Route { table, metric: 0, to }))
}

/// The bits of the settings of a peer in [`Draft::seen`].
const PEER_SETTINGS: u32 = 1 << Field::PublicKey as u32
    | 1 << Field::PresharedKey as u32
    | 1 << Field::Endpoint as u32
    | 1 << Field::PersistentKeepalive as u32;

/// The endpoint of a peer in an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Destination<'h> {
    /// An address.
    Address(PeerEndpoint),
    /// A name that must be looked up.
    Name(&'h str),
}

/// Converts a host of a configuration file to the endpoint in an image.
///
/// # Errors
/// If an image cannot have the host: the end of a sentence that starts with the host.
pub fn destination<'h>(host: &Host<'h>) -> Result<Destination<'h>, &'static str> {
    if crate::text::split(host.name, b':').is_some() && !host.brackets {
        return Err("is an IPv6 address without brackets: write [ADDRESS]:PORT");
    }
    if !host.service.is_empty() || host.port == 0 {
        return Err("has a port that is not a number from 1 to 65535");
    }
    if let Some(address) = host.address() {
        return Ok(Destination::Address(address.into()));
    }
    if let Some((ip, scope)) = crate::text::split(host.name, b'%') {
        let ip = match parse_ip(ip) {
            Some(IpAddr::V6(ip)) if has_scope(&ip) => ip,
            _ => {
                let words =
                    "has a scope, which is allowed only for a link-local or multicast IPv6 address";
                return Err(words);
            }
        };
        let scope =
            IfName::plain(scope).map_err(|_| "has a scope that is not the name of a link")?;
        return Ok(Destination::Address(PeerEndpoint::Scoped(
            SocketAddrV6::new(ip, host.port, 0, 0),
            scope,
        )));
    }
    if !host.name.is_ascii() {
        return Err(
            "has letters that are not ASCII: write its Punycode form, which starts with xn--",
        );
    }
    if host.name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err("is not an IPv4 address: write four numbers from 0 to 255");
    }
    Ok(Destination::Name(host.name))
}
