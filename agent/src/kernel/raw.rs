//! An address or a route as the kernel reports it, and the request that adds it again: every
//! attribute is kept, except those that only the kernel sets. So a rollback needs no knowledge of
//! labels, metrics, multiple next hops or the attributes of newer kernels.
//!
//! Not here: which of them belong to an interface, and the order of restoring (`restore`).

use proto_core::ip::{AF_INET, AF_INET6};
use proto_core::netlink::read::{Message, ParseError};
use proto_core::netlink::route::addr::{RTM_DELADDR, RTM_NEWADDR};
use proto_core::netlink::route::route::{RTM_DELROUTE, RTM_NEWROUTE, RTN_UNICAST, RTPROT_KERNEL};
use proto_core::netlink::{
    Full, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, Writer,
};
use proto_core::protocol::digest;

use crate::bytes::{put, take};

/// The longest body that is kept: the request must fit `kernel::REQUEST`.
const BODY: usize = 440;
/// Bytes before the body of a message: `struct nlmsghdr`.
const MESSAGE: usize = 16;
/// Bytes of a record before its body: kind, two times, length of the body.
const RECORD_HEAD: usize = 1 + 4 + 4 + 2;
/// Bytes of a record after its body: its length, to read records backwards.
pub const RECORD_TAIL: usize = 2;
/// The longest record.
pub const RECORD: usize = RECORD_HEAD + BODY + RECORD_TAIL;

const NLM_F_APPEND: u16 = 0x800;

const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
/// The flags of an address that its creator sets; the kernel sets the others. `NODAD`,
/// `HOMEADDRESS`, `NOPREFIXROUTE`, `MCAUTOJOIN`.
const IFA_GIVEN: u32 = 0x02 | 0x10 | 0x200 | 0x400;
/// `SECONDARY`.
const IFA_GIVEN_V4: u32 = IFA_GIVEN | 0x01;
/// `OPTIMISTIC`, `MANAGETEMPADDR`.
const IFA_GIVEN_V6: u32 = IFA_GIVEN | 0x04 | 0x100;

const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;
const RTA_MULTIPATH: u16 = 9;
const RTA_CACHEINFO: u16 = 12;
const RTA_VIA: u16 = 18;
const RTA_ENCAP_TYPE: u16 = 21;
const RTA_ENCAP: u16 = 22;
const RTA_EXPIRES: u16 = 23;
const RTA_PAD: u16 = 24;
const RTA_NH_ID: u16 = 30;
/// The only flag of a route or a next hop that its creator sets: `RTNH_F_ONLINK`.
const ONLINK: u8 = 4;
/// `RTM_F_CLONED` in the second byte of the flags: learnt by the kernel.
const CLONED: u32 = 0x200;

/// A lifetime without end.
pub const FOREVER: u32 = u32::MAX;

/// The kind of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An address.
    Address = 5,
    /// A route.
    Route = 6,
}

/// The interface of a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Way {
    /// The route leaves through the interface, perhaps among others.
    pub through: bool,
    /// The route leaves through another interface, perhaps among others.
    pub elsewhere: bool,
    /// The IPv4 source address of packets on this route.
    pub source: Option<[u8; 4]>,
}

/// An address or a route.
#[derive(Clone, Debug)]
pub struct Raw {
    /// Address or route.
    pub kind: Kind,
    /// Seconds for which an address is preferred.
    preferred: u32,
    /// Seconds for which an address or a route is valid, or [`FOREVER`].
    pub valid: u32,
    message: [u8; MESSAGE + BODY],
    len: usize,
}

/// The reason why a message cannot be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unkept {
    /// The message is malformed.
    Unreadable(ParseError),
    /// The message is too long.
    TooLong,
}

impl From<ParseError> for Unkept {
    fn from(error: ParseError) -> Self {
        Self::Unreadable(error)
    }
}

impl From<Full> for Unkept {
    fn from(_: Full) -> Self {
        Self::TooLong
    }
}

impl Raw {
    const fn new(kind: Kind) -> Self {
        let (message, len) = ([0; MESSAGE + BODY], 0);
        Self { kind, preferred: FOREVER, valid: FOREVER, message, len }
    }

    /// Reads an `RTM_NEWADDR`. `None` for another interface.
    pub fn address(message: &Message<'_>, index: u32) -> Result<Option<Self>, Unkept> {
        let ([family, prefix, low, scope, i @ ..], attributes) = message.split::<8>()?;
        if u32::from_ne_bytes(*i) != index {
            return Ok(None);
        }
        let mut raw = Self::new(Kind::Address);
        let mut flags = u32::from(*low);
        let [i0, i1, i2, i3] = *i;
        let mut writer = Writer::new(&mut raw.message);
        writer.message(RTM_NEWADDR, 0, 0, 0)?;
        writer.header(&[*family, *prefix, 0, *scope, i0, i1, i2, i3])?;
        for attribute in attributes {
            let attribute = attribute.map_err(ParseError::from)?;
            match attribute.ty {
                0 => {}
                IFA_FLAGS => flags = attribute.u32().map_err(ParseError::from)?,
                IFA_CACHEINFO => {
                    let mut rest = attribute.payload;
                    raw.preferred = take(&mut rest).map_or(FOREVER, |n| u32::from_ne_bytes(*n));
                    raw.valid = take(&mut rest).map_or(FOREVER, |n| u32::from_ne_bytes(*n));
                }
                ty => writer.bytes(ty, attribute.payload)?,
            }
        }
        let given = if *family == AF_INET { IFA_GIVEN_V4 } else { IFA_GIVEN_V6 };
        writer.u32(IFA_FLAGS, flags & given)?;
        raw.len = writer.len();
        Ok(Some(raw))
    }

    /// Reads an `RTM_NEWROUTE`. `None` for a route that only the kernel can make.
    pub fn route(message: &Message<'_>, index: u32) -> Result<Option<(Self, Way)>, Unkept> {
        let (header, attributes) = message.split::<12>()?;
        let [family, dst, src, tos, table, protocol, scope, kind, f @ ..] = *header;
        let flags = u32::from_ne_bytes(f);
        // IPv6 routes to the interface's own addresses cannot be added; they come and go with the
        // addresses.
        let own = family == AF_INET6 && protocol == RTPROT_KERNEL && kind != RTN_UNICAST;
        if own || flags & CLONED != 0 || !matches!(family, AF_INET | AF_INET6) {
            return Ok(None);
        }
        let by_number =
            attributes.clone().any(|a| a.is_ok_and(|attribute| attribute.ty == RTA_NH_ID));
        let (mut raw, mut way) = (Self::new(Kind::Route), Way::default());
        let mut writer = Writer::new(&mut raw.message);
        writer.message(RTM_NEWROUTE, 0, 0, 0)?;
        let [f0, f1, f2, f3] = (flags & u32::from(ONLINK)).to_ne_bytes();
        writer.header(&[family, dst, src, tos, table, protocol, scope, kind, f0, f1, f2, f3])?;
        for attribute in attributes {
            let attribute = attribute.map_err(ParseError::from)?;
            match attribute.ty {
                0 | RTA_PAD => continue,
                RTA_CACHEINFO => {
                    // `rta_expires`, the third number, in hundredths of a second.
                    let expires = attribute.payload.get(8..).and_then(<[u8]>::first_chunk);
                    let expires = expires.map_or(0, |n| u32::from_ne_bytes(*n));
                    if expires != 0 {
                        raw.valid = i32::try_from(expires).map_or(0, |left| left as u32 / 100);
                    }
                    continue;
                }
                RTA_OIF => way.through |= attribute.u32().is_ok_and(|oif| oif == index),
                RTA_PREFSRC => way.source = attribute.payload.first_chunk().copied(),
                _ => {}
            }
            if attribute.ty == RTA_OIF {
                way.elsewhere |= attribute.u32().is_ok_and(|oif| oif != index);
            }
            // The kernel reports a next hop object together with its contents.
            let told = matches!(
                attribute.ty,
                RTA_OIF | RTA_GATEWAY | RTA_VIA | RTA_MULTIPATH | RTA_ENCAP | RTA_ENCAP_TYPE
            );
            if !(by_number && told) {
                writer.bytes(attribute.ty, attribute.payload)?;
            }
        }
        if family == AF_INET6 {
            way.source = None;
        }
        raw.len = writer.len();
        raw.each_hop(&mut |flags, oif| {
            *flags &= ONLINK;
            let here = u32::from_ne_bytes(*oif) == index;
            way.through |= here;
            way.elsewhere |= !here;
        });
        Ok(Some((raw, way)))
    }

    fn body(&self) -> &[u8] {
        self.message.get(MESSAGE..self.len).unwrap_or_default()
    }

    /// Where the attributes of a route begin.
    fn attributes(&mut self) -> &mut [u8] {
        self.message.get_mut(MESSAGE.saturating_add(12)..self.len).unwrap_or_default()
    }

    /// Visits the flags and the interface of each of several next hops.
    fn each_hop(&mut self, visit: &mut dyn FnMut(&mut u8, &mut [u8; 4])) {
        each_attribute(self.attributes(), &mut |ty, payload| {
            let mut rest = if ty == RTA_MULTIPATH { payload } else { &mut [] };
            // `struct rtnexthop`, followed by attributes.
            while let Some((hop, tail)) = rest.split_first_chunk_mut::<8>() {
                let [l0, l1, flags, _, oif @ ..] = hop;
                visit(flags, oif);
                let len = usize::from(u16::from_ne_bytes([*l0, *l1])).saturating_sub(8);
                rest = tail.get_mut(len.next_multiple_of(4)..).unwrap_or_default();
            }
        });
    }

    /// Moves it to another interface, from the one with the index `old`.
    pub fn move_to(&mut self, old: u32, new: u32) {
        let change = |index: &mut [u8; 4]| {
            if u32::from_ne_bytes(*index) == old {
                *index = new.to_ne_bytes();
            }
        };
        if self.kind == Kind::Address {
            let index = self.message.get_mut(MESSAGE.saturating_add(4)..);
            if let Some(index) = index.and_then(<[u8]>::first_chunk_mut) {
                change(index);
            }
            return;
        }
        each_attribute(self.attributes(), &mut |ty, payload| {
            if ty == RTA_OIF
                && let Some(oif) = payload.first_chunk_mut()
            {
                change(oif);
            }
        });
        self.each_hop(&mut |_, oif| change(oif));
    }

    /// A digest that is equal for two descriptions of the same address or route. Lifetimes that
    /// pass do not count.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut bytes = [0; MESSAGE + BODY];
        let mut at = 0;
        let for_ever = [self.valid, self.preferred].map(|time| u8::from(time == FOREVER));
        put(&mut bytes, &mut at, &[self.kind as u8]);
        put(&mut bytes, &mut at, &for_ever);
        put(&mut bytes, &mut at, self.body());
        digest(bytes.get(..at).unwrap_or_default())
    }

    /// Whether it is IPv4.
    #[must_use]
    pub fn is_v4(&self) -> bool {
        self.body().first() == Some(&AF_INET)
    }

    /// The address, if this is an IPv4 address of the interface.
    #[must_use]
    pub fn own_v4(&self) -> Option<[u8; 4]> {
        let mut own = None;
        let mut copy = self.clone();
        let attributes = copy.message.get_mut(MESSAGE.saturating_add(8)..self.len);
        if self.is_v4() && self.kind == Kind::Address {
            each_attribute(attributes.unwrap_or_default(), &mut |ty, payload| {
                if ty == 2 {
                    own = payload.first_chunk().copied();
                }
            });
        }
        own
    }

    /// The message in which the kernel reports it.
    #[must_use]
    pub fn message(&self) -> Message<'_> {
        let ty = if self.kind == Kind::Address { RTM_NEWADDR } else { RTM_NEWROUTE };
        Message { ty, flags: 0, seq: 0, port: 0, payload: self.body() }
    }

    /// Writes the request that adds or removes it, this many seconds after it was reported.
    pub fn write<'b>(
        &self,
        buf: &'b mut [u8],
        seq: u32,
        comes: bool,
        elapsed: u32,
    ) -> Result<&'b [u8], Full> {
        let change = NLM_F_REQUEST | NLM_F_ACK;
        let mut several = false;
        self.clone().each_hop(&mut |_, _| several = true);
        let (ty, flags) = match (self.kind, comes) {
            (Kind::Address, true) => (RTM_NEWADDR, change | NLM_F_CREATE | NLM_F_EXCL),
            (Kind::Address, false) => (RTM_DELADDR, change),
            // IPv4 lists routes to one destination in the order of precedence.
            (Kind::Route, true) if self.is_v4() => {
                (RTM_NEWROUTE, change | NLM_F_CREATE | NLM_F_APPEND)
            }
            // Of several next hops, those of other interfaces may still exist.
            (Kind::Route, true) if several => (RTM_NEWROUTE, change | NLM_F_CREATE | NLM_F_REPLACE),
            (Kind::Route, true) => (RTM_NEWROUTE, change | NLM_F_CREATE),
            (Kind::Route, false) => (RTM_DELROUTE, change),
        };
        let mut writer = Writer::new(buf);
        writer.message(ty, flags, seq, 0)?;
        writer.header(self.body())?;
        let left = |time: u32| if time == FOREVER { time } else { time.saturating_sub(elapsed) };
        let [valid, preferred] = [self.valid, self.preferred].map(left);
        if comes && (valid != FOREVER || preferred != FOREVER) {
            if self.kind == Kind::Route {
                writer.u32(RTA_EXPIRES, valid)?;
            } else {
                let mut times = [0; 16];
                let mut at = 0;
                put(&mut times, &mut at, &preferred.to_ne_bytes());
                put(&mut times, &mut at, &valid.to_ne_bytes());
                writer.bytes(IFA_CACHEINFO, &times)?;
            }
        }
        Ok(writer.finish())
    }

    /// Writes its record for a file. Returns the length.
    pub fn record(&self, record: &mut [u8; RECORD]) -> usize {
        let mut at = 0;
        let body = self.body();
        put(record, &mut at, &[self.kind as u8]);
        put(record, &mut at, &self.preferred.to_ne_bytes());
        put(record, &mut at, &self.valid.to_ne_bytes());
        put(record, &mut at, &u16::try_from(body.len()).unwrap_or(0).to_ne_bytes());
        put(record, &mut at, body);
        let len = at.saturating_add(RECORD_TAIL);
        put(record, &mut at, &u16::try_from(len).unwrap_or(0).to_ne_bytes());
        len
    }

    /// Reads the record at the front of `bytes`. Returns its length too.
    #[must_use]
    pub fn from_record(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut rest = bytes;
        let kind = match take(&mut rest)? {
            [5] => Kind::Address,
            [6] => Kind::Route,
            _ => return None,
        };
        let mut raw = Self::new(kind);
        raw.preferred = u32::from_ne_bytes(*take(&mut rest)?);
        raw.valid = u32::from_ne_bytes(*take(&mut rest)?);
        let len = usize::from(u16::from_ne_bytes(*take(&mut rest)?));
        let body = rest.get(..len)?;
        raw.len = MESSAGE;
        let mut at = MESSAGE;
        put(&mut raw.message, &mut at, body);
        raw.len = MESSAGE.saturating_add(len);
        let whole = RECORD_HEAD.saturating_add(len).saturating_add(RECORD_TAIL);
        (at == raw.len && whole <= bytes.len()).then_some((raw, whole))
    }
}

fn each_attribute(mut rest: &mut [u8], visit: &mut dyn FnMut(u16, &mut [u8])) {
    while let Some((head, tail)) = rest.split_first_chunk_mut::<4>() {
        let [l0, l1, t0, t1] = *head;
        let len = usize::from(u16::from_ne_bytes([l0, l1])).saturating_sub(4);
        let Some((payload, after)) = tail.split_at_mut_checked(len) else { return };
        visit(u16::from_ne_bytes([t0, t1]), payload);
        rest = after.get_mut(len.wrapping_neg() & 3..).unwrap_or_default();
    }
}
