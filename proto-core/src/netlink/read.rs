//! Reading: the messages in a datagram and the attributes in a message, borrowed from the buffer.
//!
//! Lengths are accepted without padding: a last message or attribute whose padding is missing is
//! complete. No address needs alignment. Bytes that cannot be a message or an attribute become one
//! [`Malformed`] item, after which the iterator ends.
//!
//! Not here: netlink's own messages ([`control`](super::control)), and the meaning of attributes.

use core::fmt;
use core::net::IpAddr;

use super::{IfName, NLA_F_NESTED, NLA_F_NET_BYTEORDER, NLA_HDRLEN, NLMSG_HDRLEN, padded};

/// A length that is shorter than its own header or longer than the rest of the buffer. The rest
/// cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a netlink length does not fit its surroundings")
    }
}

impl core::error::Error for Malformed {}

/// The fault of an attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Wrong {
    /// It is required and missing.
    Missing,
    /// Its payload does not have the length of its type (`ERANGE` in libmnl).
    Length,
    /// Its payload has an invalid value (`EINVAL` in libmnl).
    Value,
}

/// An attribute is missing, or does not match its type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AttributeError {
    /// `nla_type` without its flag bits.
    pub ty: u16,
    /// The fault.
    pub wrong: Wrong,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "is missing",
            Self::Length => "has the wrong length",
            Self::Value => "has an invalid value",
        })
    }
}

impl fmt::Display for AttributeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attribute {} {}", self.ty, self.wrong)
    }
}

impl core::error::Error for AttributeError {}

/// The reason why a message cannot be parsed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ParseError {
    /// It has another type (`nlmsg_type`).
    Type(u16),
    /// It has another address family.
    Family(u8),
    /// It ends within the family's own header.
    Header,
    /// The attributes are malformed.
    Malformed,
    /// One of its attributes is wrong.
    Attribute(AttributeError),
}

impl From<Malformed> for ParseError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<AttributeError> for ParseError {
    fn from(error: AttributeError) -> Self {
        Self::Attribute(error)
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(ty) => write!(f, "the kernel sent an unexpected message of type {ty}"),
            Self::Family(family) => write!(f, "the kernel sent a message of family {family}"),
            Self::Header => f.write_str("the kernel's message ends within its header"),
            Self::Malformed => fmt::Display::fmt(&Malformed, f),
            Self::Attribute(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl core::error::Error for ParseError {}

/// Takes `len` bytes and the padding after them, if present.
fn split_padded(bytes: &[u8], len: usize) -> Option<(&[u8], &[u8])> {
    Some((bytes.get(..len)?, bytes.get(padded(len)..).unwrap_or_default()))
}

/// The messages of one datagram.
#[derive(Clone, Debug)]
pub struct Messages<'b> {
    rest: &'b [u8],
}

impl<'b> Messages<'b> {
    /// Reads `datagram` from its first byte.
    #[must_use]
    pub const fn new(datagram: &'b [u8]) -> Self {
        Self { rest: datagram }
    }
}

/// One message: the fields of `struct nlmsghdr`, and the bytes after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message<'b> {
    /// `nlmsg_type`.
    pub ty: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`.
    pub seq: u32,
    /// `nlmsg_pid`: the port of the socket that it answers.
    pub port: u32,
    /// The rest, without padding.
    pub payload: &'b [u8],
}

impl<'b> Message<'b> {
    /// Splits off the family's own header of `N` bytes. `N` is a multiple of four.
    ///
    /// # Errors
    /// [`ParseError`] if the message is shorter.
    pub fn split<const N: usize>(&self) -> Result<(&'b [u8; N], Attributes<'b>), ParseError> {
        let (header, rest) = self.payload.split_first_chunk().ok_or(ParseError::Header)?;
        Ok((header, Attributes::new(rest)))
    }
}

/// The fields of a `struct nlmsghdr`, its length first.
pub(super) fn header(bytes: &[u8; NLMSG_HDRLEN]) -> (u32, Message<'static>) {
    let [l0, l1, l2, l3, t0, t1, f0, f1, s0, s1, s2, s3, p0, p1, p2, p3] = *bytes;
    let message = Message {
        ty: u16::from_ne_bytes([t0, t1]),
        flags: u16::from_ne_bytes([f0, f1]),
        seq: u32::from_ne_bytes([s0, s1, s2, s3]),
        port: u32::from_ne_bytes([p0, p1, p2, p3]),
        payload: &[],
    };
    (u32::from_ne_bytes([l0, l1, l2, l3]), message)
}

impl<'b> Iterator for Messages<'b> {
    type Item = Result<Message<'b>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let next = || {
            let (length, fields) = header(self.rest.first_chunk()?);
            let (message, rest) = split_padded(self.rest, usize::try_from(length).ok()?)?;
            let (_, payload) = message.split_first_chunk::<NLMSG_HDRLEN>()?;
            Some((Message { payload, ..fields }, rest))
        };
        // Without a valid length, later messages cannot be found.
        let (message, rest) = next().unzip();
        self.rest = rest.unwrap_or_default();
        Some(message.ok_or(Malformed))
    }
}

/// A sequence of attributes.
#[derive(Clone, Debug)]
pub struct Attributes<'b> {
    rest: &'b [u8],
    /// Whether type 0 is an entry rather than padding.
    array: bool,
}

/// One attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attribute<'b> {
    /// `nla_type` without its flag bits.
    pub ty: u16,
    /// Whether the type was flagged `NLA_F_NESTED`. Kernels are inconsistent in this: rely on the
    /// type.
    pub nested: bool,
    /// The payload, without padding.
    pub payload: &'b [u8],
}

impl<'b> Attributes<'b> {
    /// Reads attributes and skips type 0, which kernels insert for alignment.
    #[must_use]
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes, array: false }
    }

    /// Advances to the next attribute; returns `false` at the end.
    #[cfg_attr(feature = "small", inline(never))]
    pub(super) fn advance(&mut self, now: &mut Attribute<'b>) -> Result<bool, Malformed> {
        loop {
            let rest = core::mem::take(&mut self.rest);
            let Some(([l0, l1, t0, t1], behind)) = rest.split_first_chunk::<NLA_HDRLEN>() else {
                return if rest.is_empty() { Ok(false) } else { Err(Malformed) };
            };
            let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
            // Without a valid length, later attributes cannot be found.
            let length = length.checked_sub(NLA_HDRLEN).ok_or(Malformed)?;
            now.payload = behind.get(..length).ok_or(Malformed)?;
            self.rest = behind.get(padded(length)..).unwrap_or_default();
            let ty = u16::from_ne_bytes([*t0, *t1]);
            now.nested = ty & NLA_F_NESTED != 0;
            now.ty = ty & !(NLA_F_NESTED | NLA_F_NET_BYTEORDER);
            if self.array || now.ty != 0 {
                return Ok(true);
            }
        }
    }
}

impl<'b> Iterator for Attributes<'b> {
    type Item = Result<Attribute<'b>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut now = Attribute::NONE;
        match self.advance(&mut now) {
            Ok(true) => Some(Ok(now)),
            Ok(false) => None,
            Err(malformed) => Some(Err(malformed)),
        }
    }
}

impl<'b> Attribute<'b> {
    /// Before the first attribute.
    pub(super) const NONE: Self = Self { ty: 0, nested: false, payload: &[] };

    /// The error that this attribute has this fault.
    #[must_use]
    pub const fn error(&self, wrong: Wrong) -> AttributeError {
        AttributeError { ty: self.ty, wrong }
    }

    /// Exactly `N` bytes.
    ///
    /// # Errors
    /// [`AttributeError`] if the payload has another length.
    pub fn array<const N: usize>(&self) -> Result<[u8; N], AttributeError> {
        self.payload.try_into().map_err(|_| self.error(Wrong::Length))
    }

    /// A number of one byte.
    ///
    /// # Errors
    /// [`AttributeError`] if the payload has another length.
    pub fn u8(&self) -> Result<u8, AttributeError> {
        self.array().map(u8::from_ne_bytes)
    }

    /// A number of 16 bits in host order.
    ///
    /// # Errors
    /// [`AttributeError`] if the payload has another length.
    pub fn u16(&self) -> Result<u16, AttributeError> {
        self.array().map(u16::from_ne_bytes)
    }

    /// A number of 32 bits in host order.
    ///
    /// # Errors
    /// [`AttributeError`] if the payload has another length.
    #[cfg_attr(feature = "small", inline(never))]
    pub fn u32(&self) -> Result<u32, AttributeError> {
        self.array().map(u32::from_ne_bytes)
    }

    /// A number of 64 bits in host order.
    ///
    /// # Errors
    /// [`AttributeError`] if the payload has another length.
    pub fn u64(&self) -> Result<u64, AttributeError> {
        self.array().map(u64::from_ne_bytes)
    }

    /// A number of 16 bits in network order.
    ///
    /// # Errors
    /// [`AttributeError`] if the payload has another length.
    pub fn be16(&self) -> Result<u16, AttributeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// A number of 32 bits in network order.
    ///
    /// # Errors
    /// [`AttributeError`] if the payload has another length.
    pub fn be32(&self) -> Result<u32, AttributeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// An address: four bytes are IPv4, sixteen are IPv6.
    ///
    /// # Errors
    /// [`AttributeError`] if the payload has another length.
    #[cfg_attr(feature = "small", inline(never))]
    pub fn ip(&self) -> Result<IpAddr, AttributeError> {
        self.array::<4>().map(IpAddr::from).or_else(|_| self.array::<16>().map(IpAddr::from))
    }

    /// A text up to its NUL, or to its end if the kernel left out the NUL.
    ///
    /// # Errors
    /// [`AttributeError`] if the text is not UTF-8.
    #[cfg_attr(feature = "small", inline(never))]
    pub fn str(&self) -> Result<&'b str, AttributeError> {
        let text = self.payload.split(|byte| *byte == 0).next().unwrap_or_default();
        core::str::from_utf8(text).map_err(|_| self.error(Wrong::Value))
    }

    /// The nested attributes.
    #[must_use]
    pub const fn nested(&self) -> Attributes<'b> {
        Attributes::new(self.payload)
    }

    /// The entries of a nested array. Their type is an index or meaningless, so type 0 is not
    /// skipped.
    #[must_use]
    pub const fn entries(&self) -> Attributes<'b> {
        Attributes { rest: self.payload, array: true }
    }
}

/// Visits attributes and reads them, for callers that need all of them or none.
///
/// The first fault is recorded and ends the visit; after a fault, every read returns zero. So
/// reading a field cannot fail, and the caller checks [`Fields::end`] once. A `Result` for every
/// field needed a kilobyte of program for each kind of message.
#[derive(Debug)]
pub(super) struct Fields<'b> {
    rest: Attributes<'b>,
    now: Attribute<'b>,
    error: Option<ParseError>,
}

impl<'b> Fields<'b> {
    #[cfg_attr(feature = "small", inline(never))]
    pub(super) const fn new(attributes: Attributes<'b>) -> Self {
        Self { rest: attributes, now: Attribute::NONE, error: None }
    }

    /// Advances to the next attribute and returns its type.
    #[cfg_attr(feature = "small", inline(never))]
    pub(super) fn advance(&mut self) -> Option<u16> {
        if self.error.is_some() {
            return None;
        }
        match self.rest.advance(&mut self.now) {
            Ok(true) => Some(self.now.ty),
            Ok(false) => None,
            Err(Malformed) => {
                self.error = Some(ParseError::Malformed);
                None
            }
        }
    }

    /// Whether all attributes were valid.
    pub(super) fn end(self) -> Result<(), ParseError> {
        self.error.map_or(Ok(()), Err)
    }

    /// Records a fault of this attribute.
    #[cfg_attr(feature = "small", inline(never))]
    pub(super) fn refuse(&mut self, wrong: Wrong) {
        self.error = Some(self.now.error(wrong).into());
    }

    /// Takes over the fault of nested attributes.
    pub(super) fn nest(&mut self, inner: Self) {
        self.error = self.error.or(inner.error);
    }

    #[cfg(feature = "wireguard")]
    pub(super) const fn payload(&self) -> &'b [u8] {
        self.now.payload
    }

    pub(super) const fn nested(&self) -> Attributes<'b> {
        self.now.nested()
    }

    #[cfg(feature = "wireguard")]
    pub(super) const fn entries(&self) -> Attributes<'b> {
        self.now.entries()
    }

    /// The attributes after this one.
    #[cfg(feature = "wireguard")]
    pub(super) fn rest(&self) -> Attributes<'b> {
        self.rest.clone()
    }

    pub(super) fn array<const N: usize>(&mut self) -> [u8; N] {
        let array = self.now.payload.try_into();
        if array.is_err() {
            self.refuse(Wrong::Length);
        }
        array.unwrap_or([0; N])
    }

    #[cfg_attr(feature = "small", inline(never))]
    pub(super) fn u8(&mut self) -> u8 {
        u8::from_ne_bytes(self.array())
    }

    #[cfg_attr(feature = "small", inline(never))]
    pub(super) fn u16(&mut self) -> u16 {
        u16::from_ne_bytes(self.array())
    }

    #[cfg_attr(feature = "small", inline(never))]
    pub(super) fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.array())
    }

    #[cfg_attr(feature = "small", inline(never))]
    #[cfg(feature = "wireguard")]
    pub(super) fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.array())
    }

    #[cfg_attr(feature = "small", inline(never))]
    pub(super) fn ip(&mut self) -> Option<IpAddr> {
        let ip = self.now.ip().ok();
        if ip.is_none() {
            self.refuse(Wrong::Length);
        }
        ip
    }

    #[cfg_attr(feature = "small", inline(never))]
    pub(super) fn str(&mut self) -> Option<&'b str> {
        let text = self.now.str().ok();
        if text.is_none() {
            self.refuse(Wrong::Value);
        }
        text
    }

    /// A text up to its NUL, which need not be UTF-8.
    pub(super) fn text(&self) -> &'b [u8] {
        self.now.payload.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// The name of an interface.
    #[cfg_attr(feature = "small", inline(never))]
    pub(super) fn name(&mut self) -> Option<IfName> {
        let name = self.now.str().ok().and_then(|text| text.parse().ok());
        if name.is_none() {
            self.refuse(Wrong::Value);
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::fixture::{datagram, messages};

    fn sample() -> Vec<u8> {
        datagram(|w| {
            w.message(16, 2, 3, 4)?;
            w.header(&[9; 4])?;
            w.u8(1, 0xab)?;
            w.u16(2, 0x0102)?;
            w.u32(3, 0x0102_0304)?;
            w.u64(4, 0x0102_0304_0506_0708)?;
            w.be16(5, 0x0102)?;
            w.be32(6, 0x0102_0304)?;
            w.string(7, "wg0")?;
            w.ip(8, IpAddr::from([1; 16]))
        })
    }

    fn check(bytes: &[u8]) {
        let message = Messages::new(bytes).next().unwrap().unwrap();
        assert_eq!((message.ty, message.flags, message.seq, message.port), (16, 2, 3, 4));
        let (header, attributes) = message.split::<4>().unwrap();
        assert_eq!(*header, [9; 4]);
        let attributes: Vec<_> = attributes.map(Result::unwrap).collect();
        let [a, b, c, d, e, f, g, h] = attributes[..] else { panic!("{attributes:?}") };
        assert_eq!((a.u8(), b.u16(), c.u32()), (Ok(0xab), Ok(0x0102), Ok(0x0102_0304)));
        assert_eq!(d.u64(), Ok(0x0102_0304_0506_0708));
        assert_eq!((e.be16(), f.be32()), (Ok(0x0102), Ok(0x0102_0304)));
        assert_eq!((g.str(), h.ip()), (Ok("wg0"), Ok(IpAddr::from([1; 16]))));
    }

    #[test]
    fn reads_what_was_written() {
        check(&sample());
    }

    /// mdlayher/netlink panicked on a message that does not start at a multiple of four; mipsel died
    /// of SIGBUS on a number of 64 bits that does not start at a multiple of eight.
    #[test]
    fn unaligned_message_did_panic() {
        for shift in 0..8 {
            let bytes = [vec![0; shift], sample()].concat();
            check(&bytes[shift..]);
        }
    }

    /// mdlayher/netlink rejected a last message whose length is not a multiple of four.
    #[test]
    fn unaligned_length_was_rejected() {
        let mut bytes = datagram(|w| {
            w.message(16, 0, 0, 0)?;
            w.string(1, "wg10")
        });
        bytes[..4].copy_from_slice(&25u32.to_ne_bytes());
        bytes.truncate(25);
        let message = messages(&bytes)[0];
        let attribute = Attributes::new(message.payload).next().unwrap().unwrap();
        assert_eq!(attribute.str(), Ok("wg10"));

        // Inside a datagram the padding is present, and does not belong to the next message.
        let second = datagram(|w| w.message(17, 0, 0, 0));
        bytes.extend([0, 0, 0]);
        bytes.extend(second);
        let types: Vec<_> = messages(&bytes).iter().map(|m| (m.ty, m.payload.len())).collect();
        assert_eq!(types, [(16, 9), (17, 0)]);
    }

    #[test]
    fn a_length_that_cannot_be_ends_the_iterator() {
        let good = sample();
        let len = u32::try_from(good.len()).unwrap();
        for bad in [0, 1, 15, len + 1, u32::MAX - 2, u32::MAX] {
            let mut bytes = [good.clone(), good.clone()].concat();
            bytes[good.len()..][..4].copy_from_slice(&bad.to_ne_bytes());
            let read: Vec<_> = Messages::new(&bytes).map(|m| m.map(|m| m.ty)).collect();
            assert_eq!(read, [Ok(16), Err(Malformed)], "{bad}");
        }
        let short = [good.clone(), vec![0; 15]].concat();
        assert_eq!(Messages::new(&short).last(), Some(Err(Malformed)));

        for bad in [0u16, 3, 9, u16::MAX] {
            let bytes = [8u16.to_ne_bytes(), [1, 0], [0; 2], [0; 2], bad.to_ne_bytes(), [2, 0]];
            let bytes = [bytes.concat(), vec![0; 4]].concat();
            let read: Vec<_> = Attributes::new(&bytes).map(|a| a.map(|_| ())).collect();
            assert_eq!(read, [Ok(()), Err(Malformed)], "{bad}");
        }
        assert_eq!(Attributes::new(&[0; 3]).collect::<Vec<_>>(), [Err(Malformed)]);
    }

    #[test]
    fn padding_attributes_are_skipped_but_entries_are_not() {
        let bytes = datagram(|w| {
            w.message(16, 0, 0, 0)?;
            w.bytes(0, &[])?;
            w.bytes(0, &[1])?;
            w.u8(1, 1)
        });
        let payload = messages(&bytes)[0].payload;
        let attribute = Attribute { ty: 9, nested: true, payload };
        assert_eq!(attribute.nested().map(|a| a.unwrap().ty).collect::<Vec<_>>(), [1]);
        assert_eq!(attribute.entries().map(|a| a.unwrap().ty).collect::<Vec<_>>(), [0, 0, 1]);
    }

    #[test]
    fn flag_bits_are_no_part_of_the_type() {
        let bytes = datagram(|w| {
            w.message(16, 0, 0, 0)?;
            w.u8(0x8008, 1)?;
            w.u8(0x4008, 1)
        });
        let read = Attributes::new(messages(&bytes)[0].payload);
        let read: Vec<_> = read.map(|a| a.map(|a| (a.ty, a.nested)).unwrap()).collect();
        assert_eq!(read, [(8, true), (8, false)]);
    }

    #[test]
    fn errors_name_the_attribute() {
        fn length<T>() -> Result<T, AttributeError> {
            Err(AttributeError { ty: 7, wrong: Wrong::Length })
        }
        let attribute = |payload| Attribute { ty: 7, nested: false, payload };
        for payload in [&[][..], &[0; 3], &[0; 5]] {
            let a = attribute(payload);
            assert_eq!((a.u8(), a.u16()), (length(), length()));
            assert_eq!((a.u32(), a.u64()), (length(), length()));
        }
        assert_eq!(attribute(&[0xff, 0]).str().unwrap_err().wrong, Wrong::Value);
        assert_eq!(attribute(b"no end").str(), Ok("no end"));
        assert_eq!(attribute(b"one\0two\0").str(), Ok("one"));
        assert_eq!(
            attribute(&[0; 5]).ip().unwrap_err().to_string(),
            "attribute 7 has the wrong length"
        );
    }

    proptest::proptest! {
        /// Any bytes: the iterator ends, and nothing panics.
        #[test]
        fn any_bytes_are_read_to_an_end(bytes: Vec<u8>) {
            let messages = Messages::new(&bytes).flatten();
            let attributes = messages.flat_map(|m| Attributes::new(m.payload)).flatten();
            let nested = attributes.flat_map(|a| a.nested().chain(a.entries()));
            assert!(nested.count() <= bytes.len());
            assert!(Attributes::new(&bytes).count() <= bytes.len());
        }
    }
}
