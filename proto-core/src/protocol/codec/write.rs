//! Writing: replies, and the records of reports and images.

use core::net::IpAddr;

use crate::ip::IpNet;
use crate::key::PublicKey;
use crate::protocol::config::{Interface, Item, PrivateKey, Record, Route, Rule};
use crate::protocol::endpoint::PeerEndpoint;
use crate::protocol::message::{
    Answer, ClientId, Count, Failure, Hello, Owner, Pending, Status, Subject, Summary,
};
use crate::protocol::report::{Change, Running, Stored};
use crate::protocol::window::Arrived;

/// Bytes that are written behind one another.
///
/// What does not fit is dropped, and [`Output::end`] says so.
#[derive(Debug)]
pub struct Output<'b> {
    buf: &'b mut [u8],
    len: usize,
}

/// Something that can be written.
pub trait Put {
    /// Writes it.
    fn put(&self, to: &mut Output<'_>);
}

/// Writes `value` to the front of `buf`: its length, or nothing if it does not fit.
#[must_use]
pub fn write(value: &dyn Put, buf: &mut [u8]) -> Option<usize> {
    let mut output = Output { buf, len: 0 };
    value.put(&mut output);
    output.end()
}

/// Writes `value` with its length in front, as records of files are: the length of all of it, or `None` if it
/// does not fit.
#[must_use]
#[cfg_attr(feature = "small", inline(never))]
pub fn write_record(value: &dyn Put, buf: &mut [u8]) -> Option<usize> {
    let mut output = Output { buf, len: 0 };
    output.sized(|to| value.put(to));
    output.end()
}

impl Output<'_> {
    /// How many bytes were written, if all of them fitted.
    #[must_use]
    pub const fn end(self) -> Option<usize> {
        if self.len <= self.buf.len() { Some(self.len) } else { None }
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.buf.get_mut(self.len) {
            *place = byte;
        }
        self.len = self.len.saturating_add(1);
    }

    /// Something with its length in front, which is known only when it is written.
    fn sized(&mut self, put: impl FnOnce(&mut Self)) {
        let start = self.len;
        self.byte(0);
        put(self);
        self.close(start);
    }

    /// Puts the length of what was written since into the byte at `start`, or into two of them.
    #[cfg_attr(feature = "small", inline(never))]
    fn close(&mut self, start: usize) {
        let from = start.saturating_add(1);
        let len = self.len.saturating_sub(from);
        if len > 0x7f {
            // Two bytes: what is written moves up by one.
            self.byte(0);
            if let Some(moved) = self.buf.get_mut(from..self.len) {
                moved.copy_within(..len, 1);
            }
        }
        let end = core::mem::replace(&mut self.len, start);
        self.number(len as u64);
        self.len = end;
    }

    /// A byte array, which stands as it is.
    #[cfg_attr(feature = "small", inline(never))]
    fn array(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.byte(*byte);
        }
    }

    /// A number as a varint.
    #[cfg_attr(feature = "small", inline(never))]
    fn number(&mut self, mut number: u64) {
        while number > 0x7f {
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    fn u32(&mut self, number: u32) {
        self.number(number.into());
    }

    fn u16(&mut self, number: u16) {
        self.number(number.into());
    }

    fn bool(&mut self, set: bool) {
        self.byte(set.into());
    }

    fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            put(self, value);
        }
    }

    /// Bytes behind their length.
    #[cfg_attr(feature = "small", inline(never))]
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.array(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => {
                self.byte(0);
                self.array(&ip.octets());
            }
            IpAddr::V6(ip) => {
                self.byte(1);
                self.array(&ip.octets());
            }
        }
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn net(&mut self, net: &IpNet) {
        self.ip(net.addr);
        self.byte(net.prefix);
    }

    fn endpoint(&mut self, endpoint: &PeerEndpoint) {
        match endpoint {
            PeerEndpoint::Scoped(to, scope) => {
                self.byte(2);
                self.array(&to.ip().octets());
                self.u16(to.port());
                self.text(scope);
            }
            PeerEndpoint::V4(_) | PeerEndpoint::V6(_) => {
                let to = endpoint.addr();
                self.ip(to.ip());
                self.u16(to.port());
            }
        }
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn route(&mut self, route: &Route) {
        self.u32(route.table);
        self.u32(route.metric);
        self.net(&route.to);
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn rule(&mut self, rule: &Rule) {
        self.bool(rule.v6);
        self.u32(rule.priority);
        self.u32(rule.table);
        self.option(rule.fwmark, Self::u32);
        self.bool(rule.invert);
        self.option(rule.suppress_prefixlength, Self::u32);
    }

    /// An item behind the number of its variant, in a row of variants that begins with `first` and has the
    /// order of the items.
    #[cfg_attr(feature = "small", inline(never))]
    fn item(&mut self, first: u8, item: &Item) {
        match item {
            Item::Address(net) => {
                self.byte(first);
                self.net(net);
            }
            Item::Route(route) => {
                self.byte(first.saturating_add(1));
                self.route(route);
            }
            Item::Rule(rule) => {
                self.byte(first.saturating_add(2));
                self.rule(rule);
            }
            Item::Peer(key) => {
                self.byte(first.saturating_add(3));
                self.key(key);
            }
        }
    }

    fn key(&mut self, key: &PublicKey) {
        self.array(&key.0);
    }

    fn count(&mut self, count: &Count) {
        for number in [count.added, count.changed, count.removed, count.same] {
            self.u32(number);
        }
    }

    fn arrived(&mut self, arrived: &Arrived) {
        self.u32(arrived.base);
        self.number(arrived.ahead);
    }

    fn hello(&mut self, hello: &Hello) {
        self.byte(hello.version);
        self.text(&hello.agent);
        self.u16(hello.max_data);
        self.u32(hello.in_flight);
        self.u32(hello.features);
    }

    fn status(&mut self, status: &Status) {
        for text in [&*status.hostname, &status.board, &status.kernel, &status.machine] {
            self.text(text);
        }
        self.u32(status.uptime);
        self.bool(status.wireguard);
        let Status { peak_memory, applied, failed, garbage, text, .. } = *status;
        for number in [peak_memory, applied, failed, garbage, text] {
            self.u32(number);
        }
        self.number(status.interfaces.len() as u64);
        for name in &status.interfaces {
            self.text(name);
        }
        self.option(status.pending.as_ref(), Self::pending);
        self.u32(status.unresolved);
        self.text(&status.trouble);
        self.u32(status.links);
        self.u32(status.longest_turn.millis);
        self.text(&status.longest_turn.what);
    }

    fn pending(&mut self, pending: &Pending) {
        self.text(&pending.interface);
        self.u32(pending.number);
        self.text(&pending.by);
        self.u16(pending.seconds);
        self.array(&pending.digest);
    }

    fn interface(&mut self, interface: &Interface) {
        self.text(&interface.name);
        match &interface.private_key {
            PrivateKey::None => self.byte(0),
            PrivateKey::Given(key) => {
                self.byte(1);
                self.array(key.as_bytes());
            }
            PrivateKey::Generate => self.byte(2),
        }
        self.option(interface.listen_port, Self::u16);
        self.u32(interface.fwmark);
        self.u32(interface.mtu);
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn summary(&mut self, summary: &Summary) {
        self.bool(summary.created);
        self.byte(summary.device);
        for count in [&summary.addresses, &summary.routes, &summary.rules, &summary.peers] {
            self.count(count);
        }
        self.option(summary.public_key.as_ref(), Self::key);
        self.option(summary.listen_port, Self::u16);
    }

    fn subject(&mut self, subject: &Subject) {
        let (variant, key, net) = match subject {
            Subject::None => (0, None, None),
            Subject::Interface => (1, None, None),
            Subject::PrivateKey => (2, None, None),
            Subject::ListenPort => (3, None, None),
            Subject::Fwmark => (4, None, None),
            Subject::Mtu => (5, None, None),
            Subject::Address(net) => (6, None, Some(net)),
            Subject::Route(net) => (7, None, Some(net)),
            Subject::Rule => (8, None, None),
            Subject::Peer(key) => (9, Some(key), None),
            Subject::Endpoint(key) => (10, Some(key), None),
            Subject::PresharedKey(key) => (11, Some(key), None),
            Subject::PersistentKeepalive(key) => (12, Some(key), None),
            Subject::AllowedIps(key) => (13, Some(key), None),
            Subject::AllowedIp(key, net) => (14, Some(key), Some(net)),
            Subject::Offset(_) => (15, None, None),
            Subject::Unknown(number) => (*number, None, None),
        };
        self.byte(variant);
        if let Some(key) = key {
            self.key(key);
        }
        if let Some(net) = net {
            self.net(net);
        }
        if let Subject::Offset(at) = subject {
            self.u32(*at);
        }
    }

    fn owner(&mut self, owner: &Owner) {
        self.key(&owner.key);
        self.byte(owner.role.number());
        self.text(&owner.name);
    }

    fn failure(&mut self, failure: &Failure) {
        self.text(&failure.text);
        self.byte(failure.code.number());
        self.u16(failure.errno);
        self.byte(failure.state.number());
        self.sized(|to| to.subject(&failure.subject));
    }
}

impl Put for Answer<'_> {
    fn put(&self, to: &mut Output<'_>) {
        match self {
            Self::Hello(hello) => {
                to.byte(0);
                to.hello(hello);
            }
            Self::Status(status) => {
                to.byte(1);
                to.status(status);
            }
            Self::Received { stage, arrived } => {
                to.byte(2);
                to.u32(*stage);
                to.arrived(arrived);
            }
            Self::Planned(summary) => {
                to.byte(3);
                to.summary(summary);
            }
            Self::Applied(applied) => {
                to.byte(4);
                to.summary(&applied.summary);
                to.u32(applied.number);
                to.bool(applied.stored);
                to.u16(applied.confirm_within);
            }
            Self::Aborted => to.byte(5),
            Self::Ready { file, length, digest } => {
                to.byte(6);
                to.u32(*file);
                to.u32(*length);
                to.array(digest);
            }
            Self::Data { offset, data } => {
                to.byte(7);
                to.u32(*offset);
                to.bytes(data);
            }
            Self::Working { phase, done, total } => {
                to.byte(8);
                to.byte(phase.number());
                to.u32(*done);
                to.u32(*total);
            }
            Self::Failed(failure) => {
                to.byte(9);
                to.failure(failure);
            }
            Self::Owned { owners } => {
                to.byte(10);
                to.byte(*owners);
            }
            Self::Owners(owners) => {
                to.byte(11);
                to.number(owners.len() as u64);
                for owner in owners {
                    to.owner(owner);
                }
            }
            Self::Confirmed { interface, number } => {
                to.byte(12);
                to.text(interface);
                to.u32(*number);
            }
            Self::Reverted { interface } => {
                to.byte(13);
                to.text(interface);
            }
            Self::Ranges { number, ranges } => {
                to.byte(14);
                to.u32(*number);
                to.bytes(ranges);
            }
            // Nobody sends it.
            Self::Unknown => {}
        }
    }
}

/// The head of a reply and its answer: the bytes of a [`Reply`](crate::protocol::message::Reply),
/// without a copy of the answer.
impl Put for (ClientId, u32, &Answer<'_>) {
    fn put(&self, to: &mut Output<'_>) {
        let (client, id, answer) = self;
        to.array(client);
        to.u32(*id);
        answer.put(to);
    }
}

impl Put for Running {
    fn put(&self, to: &mut Output<'_>) {
        match self {
            Self::Interface { name, public_key, listen_port, fwmark, mtu, up } => {
                to.byte(0);
                to.text(name);
                to.option(public_key.as_ref(), Output::key);
                to.u16(*listen_port);
                to.u32(*fwmark);
                to.u32(*mtu);
                to.bool(*up);
            }
            Self::Address(net) => Item::Address(*net).put(to),
            Self::Route(route) => Item::Route(*route).put(to),
            Self::Rule(rule) => Item::Rule(*rule).put(to),
            Self::Peer {
                public_key,
                preshared_key,
                endpoint,
                persistent_keepalive,
                latest_handshake,
                handshake_age,
                rx_bytes,
                tx_bytes,
            } => {
                to.byte(4);
                to.key(public_key);
                to.bool(*preshared_key);
                to.option(endpoint.as_ref(), Output::endpoint);
                to.u16(*persistent_keepalive);
                to.number(*latest_handshake);
                to.option(*handshake_age, Output::number);
                to.number(*rx_bytes);
                to.number(*tx_bytes);
            }
            Self::AllowedIp(net) => {
                to.byte(5);
                to.net(net);
            }
            Self::Unknown(number) => to.byte(*number),
        }
    }
}

/// A [`Change`] that takes an item away or adds it: the same bytes, from the item as it is.
#[derive(Clone, Copy, Debug)]
pub struct ItemChange {
    /// It comes; or else it goes.
    pub comes: bool,
    /// What.
    pub item: Item,
}

impl Put for ItemChange {
    fn put(&self, to: &mut Output<'_>) {
        to.item(if self.comes { 10 } else { 6 }, &self.item);
    }
}

/// An address, a route or a rule as images and running states have it, which give them the same numbers. Of a
/// peer it is the beginning of its record.
impl Put for Item {
    fn put(&self, to: &mut Output<'_>) {
        to.item(1, self);
    }
}

impl Put for Change {
    fn put(&self, to: &mut Output<'_>) {
        match self {
            Self::Create => to.byte(0),
            Self::PrivateKey { generated } => {
                to.byte(1);
                to.bool(*generated);
            }
            Self::ListenPort { from, to: after } => {
                to.byte(2);
                to.u16(*from);
                to.u16(*after);
            }
            Self::Fwmark { from, to: after } => {
                to.byte(3);
                to.u32(*from);
                to.u32(*after);
            }
            Self::Mtu { from, to: after } => {
                to.byte(4);
                to.u32(*from);
                to.u32(*after);
            }
            Self::Up => to.byte(5),
            Self::RemoveAddress(net) => to.item(6, &Item::Address(*net)),
            Self::RemoveRoute(route) => to.item(6, &Item::Route(*route)),
            Self::RemoveRule(rule) => to.item(6, &Item::Rule(*rule)),
            Self::RemovePeer(key) => to.item(6, &Item::Peer(*key)),
            Self::AddAddress(net) => to.item(10, &Item::Address(*net)),
            Self::AddRoute(route) => to.item(10, &Item::Route(*route)),
            Self::AddRule(rule) => to.item(10, &Item::Rule(*rule)),
            Self::AddPeer(key) => to.item(10, &Item::Peer(*key)),
            Self::ChangePeer { public_key, fields } => {
                to.byte(14);
                to.key(public_key);
                to.byte(*fields);
            }
            Self::Unknown(number) => to.byte(*number),
        }
    }
}

impl Put for Stored {
    fn put(&self, to: &mut Output<'_>) {
        to.text(&self.interface);
        to.u32(self.number);
        to.number(self.time);
        to.key(&self.key);
        to.text(&self.by);
        to.u32(self.length);
        to.bool(self.damaged);
        let (act, origin) = self.act.numbers();
        to.byte(act);
        to.u32(origin);
        to.array(&self.digest);
    }
}

impl Put for Record {
    fn put(&self, to: &mut Output<'_>) {
        match self {
            Self::Interface(interface) => {
                to.byte(0);
                to.interface(interface);
            }
            Self::Address(net) => Item::Address(*net).put(to),
            Self::Route(route) => Item::Route(*route).put(to),
            Self::Rule(rule) => Item::Rule(*rule).put(to),
            Self::Peer(peer) => {
                to.byte(4);
                to.key(&peer.public_key);
                to.option(peer.preshared_key.as_ref(), |to, key| to.array(key.as_bytes()));
                to.option(peer.endpoint.as_ref(), Output::endpoint);
                to.u16(peer.persistent_keepalive);
            }
            Self::AllowedIp(net) => {
                to.byte(5);
                to.net(net);
            }
            Self::Host(host) => {
                to.byte(6);
                to.text(&host.name);
                to.u16(host.port);
            }
        }
    }
}
