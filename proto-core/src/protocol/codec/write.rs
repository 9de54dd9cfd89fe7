//! The writer: the cursor, the types that the table does not define, and the entry points.

use core::net::{IpAddr, SocketAddrV4, SocketAddrV6};

use heapless::String;

use crate::ifname::IfName;
use crate::ip::IpNet;
use crate::key::{PublicKey, SecretKey};
use crate::protocol::config::Item;
use crate::protocol::message::{Answer, ClientId};
use crate::protocol::report::Act;

/// A cursor over a buffer. Bytes that do not fit are dropped, and [`Output::end`] reports it.
#[derive(Debug)]
pub struct Output<'b> {
    buf: &'b mut [u8],
    len: usize,
}

/// A value that can be written.
pub trait Put {
    /// Writes the value.
    fn put(&self, to: &mut Output<'_>);
}

/// Writes `value` to the front of `buf`. Returns its length, or `None` if it does not fit.
#[must_use]
pub fn write(value: &dyn Put, buf: &mut [u8]) -> Option<usize> {
    let mut output = Output { buf, len: 0 };
    value.put(&mut output);
    output.end()
}

/// Writes `value` with a length prefix, as the records of files have. Returns the length including
/// the prefix, or `None` if the value does not fit.
#[must_use]
#[cfg_attr(feature = "small", inline(never))]
pub fn write_record(value: &dyn Put, buf: &mut [u8]) -> Option<usize> {
    let mut output = Output { buf, len: 0 };
    output.sized(|to| value.put(to));
    output.end()
}

impl Output<'_> {
    /// Number of bytes written, or `None` if they did not fit.
    #[must_use]
    pub const fn end(self) -> Option<usize> {
        if self.len <= self.buf.len() { Some(self.len) } else { None }
    }

    #[cfg_attr(feature = "small", inline(never))]
    pub(crate) fn byte(&mut self, byte: u8) {
        if let Some(place) = self.buf.get_mut(self.len) {
            *place = byte;
        }
        self.len = self.len.saturating_add(1);
    }

    /// Writes a value with a length prefix, which is known only afterwards.
    pub(crate) fn sized(&mut self, put: impl FnOnce(&mut Self)) {
        let start = self.len;
        self.byte(0);
        put(self);
        self.close(start);
    }

    /// Writes the number of bytes since `start` into the byte at `start`, or into two bytes.
    #[cfg_attr(feature = "small", inline(never))]
    fn close(&mut self, start: usize) {
        let from = start.saturating_add(1);
        let len = self.len.saturating_sub(from);
        if len > 0x7f {
            // Two bytes: the value moves up by one.
            self.byte(0);
            if let Some(moved) = self.buf.get_mut(from..self.len) {
                moved.copy_within(..len, 1);
            }
        }
        let end = core::mem::replace(&mut self.len, start);
        self.number(len as u64);
        self.len = end;
    }

    /// A byte array, without a length prefix.
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

    /// Bytes with a length prefix.
    #[cfg_attr(feature = "small", inline(never))]
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.array(bytes);
    }

    /// An item after the number of its variant. The variants of the items are consecutive from
    /// `first`, in the order of the items.
    #[cfg_attr(feature = "small", inline(never))]
    fn item(&mut self, first: u8, item: &Item) {
        let (nth, value): (u8, &dyn Put) = match item {
            Item::Address(net) => (0, net),
            Item::Route(route) => (1, route),
            Item::Rule(rule) => (2, rule),
            Item::Peer(key) => (3, key),
        };
        self.byte(first.saturating_add(nth));
        value.put(self);
    }
}

/// Types by the method of [`Output`] that writes them.
macro_rules! plain {
    ($($type:ty: $value:ident, $to:ident => $write:expr,)+) => {$(
        impl Put for $type {
            fn put(&self, $to: &mut Output<'_>) {
                let $value = self;
                $write
            }
        }
    )+};
}

plain! {
    u8: value, to => to.byte(*value),
    u16: value, to => to.number((*value).into()),
    u32: value, to => to.number((*value).into()),
    u64: value, to => to.number(*value),
    bool: value, to => to.byte((*value).into()),
    &[u8]: value, to => to.bytes(value),
    PublicKey: value, to => to.array(&value.0),
    SecretKey: value, to => to.array(value.as_bytes()),
    IfName: value, to => to.bytes(value.as_bytes()),
    Act: value, to => {
        let (act, origin) = value.numbers();
        to.byte(act);
        to.number(origin.into());
    },
}

impl<const N: usize> Put for [u8; N] {
    fn put(&self, to: &mut Output<'_>) {
        to.array(self);
    }
}

impl<const N: usize> Put for String<N> {
    fn put(&self, to: &mut Output<'_>) {
        to.bytes(self.as_bytes());
    }
}

impl<T: Put> Put for Option<T> {
    fn put(&self, to: &mut Output<'_>) {
        to.byte(self.is_some().into());
        if let Some(value) = self {
            value.put(to);
        }
    }
}

impl<T: Put, const N: usize> Put for heapless::Vec<T, N> {
    fn put(&self, to: &mut Output<'_>) {
        to.number(self.len() as u64);
        for value in self {
            value.put(to);
        }
    }
}

impl Put for IpAddr {
    #[cfg_attr(feature = "small", inline(never))]
    fn put(&self, to: &mut Output<'_>) {
        match self {
            Self::V4(ip) => {
                to.byte(0);
                to.array(&ip.octets());
            }
            Self::V6(ip) => {
                to.byte(1);
                to.array(&ip.octets());
            }
        }
    }
}

impl Put for IpNet {
    #[cfg_attr(feature = "small", inline(never))]
    fn put(&self, to: &mut Output<'_>) {
        self.addr.put(to);
        to.byte(self.prefix);
    }
}

impl Put for SocketAddrV4 {
    fn put(&self, to: &mut Output<'_>) {
        to.array(&self.ip().octets());
        to.number(self.port().into());
    }
}

impl Put for SocketAddrV6 {
    /// Without flow label and scope.
    fn put(&self, to: &mut Output<'_>) {
        to.array(&self.ip().octets());
        to.number(self.port().into());
    }
}

/// The head of a reply and its answer: the bytes of a [`Reply`](crate::protocol::message::Reply),
/// without copying the answer.
impl Put for (ClientId, u32, &Answer<'_>) {
    fn put(&self, to: &mut Output<'_>) {
        let (client, id, answer) = self;
        client.put(to);
        id.put(to);
        answer.put(to);
    }
}

/// A [`Change`](crate::protocol::report::Change) that adds or removes an item: the same bytes,
/// written from the item.
#[derive(Clone, Copy, Debug)]
pub struct ItemChange {
    /// `true` if the item is added, `false` if it is removed.
    pub comes: bool,
    /// The item.
    pub item: Item,
}

impl Put for ItemChange {
    fn put(&self, to: &mut Output<'_>) {
        to.item(if self.comes { 10 } else { 6 }, &self.item);
    }
}

/// An address, a route or a rule in an image or a running state, which number them alike. For a
/// peer: the start of its record.
impl Put for Item {
    fn put(&self, to: &mut Output<'_>) {
        to.item(1, self);
    }
}
