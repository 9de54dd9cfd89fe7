//! The reader: the cursor, the types that the table does not define, and the entry points.

use core::net::{IpAddr, SocketAddrV4, SocketAddrV6};

use heapless::String;

use crate::ifname::IfName;
use crate::ip::IpNet;
use crate::key::{PublicKey, SecretKey};
use crate::protocol::config::Record;
use crate::protocol::message::{Ask, ClientId, Request, Role};
use crate::protocol::report::Act;

/// The reason why bytes are not a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misread {
    /// A field is truncated or has an impossible value; contains the name of the field.
    Field(&'static str),
    /// An unknown kind of request or record; contains its number.
    Unknown(u32),
    /// There are bytes after the last field.
    Trailing,
}

impl core::fmt::Display for Misread {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Field(field) => write!(f, "the field `{field}` cannot be read"),
            Self::Unknown(number) => write!(f, "kind {number} is unknown"),
            Self::Trailing => f.write_str("there are bytes after the last field"),
        }
    }
}

impl core::error::Error for Misread {}

/// A value that can be read. After malformed input every read returns zero or an empty value; [`Input::end`] reports
/// the error.
pub trait Take<'b>: Sized {
    /// Reads the value from the front.
    fn take(input: &mut Input<'b>) -> Self;
}

/// An enum with a variant for unknown numbers.
pub trait Open: Sized {
    /// The variant for an unknown number.
    fn unknown(number: u8) -> Self;
    /// The number, if this is the variant for unknown numbers.
    fn unknown_number(&self) -> Option<u8>;
}

/// A cursor over bytes. After malformed input, every read returns zero.
#[derive(Clone, Copy, Debug)]
pub struct Input<'b> {
    rest: &'b [u8],
    /// Name of the field being read.
    field: &'static str,
    /// The first error.
    wrong: Option<Misread>,
}

impl<'b> Input<'b> {
    /// A cursor at the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes, field: "head", wrong: None }
    }

    /// The remaining bytes.
    ///
    /// # Errors
    /// The first error of the reads.
    pub const fn end(self) -> Result<&'b [u8], Misread> {
        match self.wrong {
            Some(wrong) => Err(wrong),
            None => Ok(self.rest),
        }
    }

    /// Marks the field being read as malformed.
    #[cfg_attr(feature = "small", inline(never))]
    pub(crate) const fn refuse(&mut self) {
        self.note(Misread::Field(self.field));
    }

    pub(crate) const fn note(&mut self, wrong: Misread) {
        if self.wrong.is_none() {
            self.wrong = Some(wrong);
        }
    }

    /// Sets the name of the field that is read next.
    pub(crate) const fn at(&mut self, field: &'static str) -> &mut Self {
        self.field = field;
        self
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn take(&mut self, len: usize) -> &'b [u8] {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            self.refuse();
            return &[];
        };
        self.rest = rest;
        taken
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// A byte array, which has no length prefix.
    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).first_chunk().copied().unwrap_or([0; N])
    }

    /// A varint of `bits` bits.
    #[cfg_attr(feature = "small", inline(never))]
    fn number(&mut self, bits: u32) -> u64 {
        let (mut number, mut shift) = (0, 0_u32);
        while shift < bits {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            let room = bits.saturating_sub(shift);
            if byte.checked_shr(room).unwrap_or(0) != 0 {
                break;
            }
            if byte & 0x80 == 0 {
                return number;
            }
            shift = shift.saturating_add(7);
        }
        self.refuse();
        0
    }

    #[cfg_attr(feature = "small", inline(never))]
    pub(crate) fn u32(&mut self) -> u32 {
        self.number(u32::BITS) as u32
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn u16(&mut self) -> u16 {
        self.number(u16::BITS) as u16
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn bool(&mut self) -> bool {
        let byte = self.byte();
        if byte > 1 {
            self.refuse();
        }
        byte == 1
    }

    /// Bytes with a length prefix.
    #[cfg_attr(feature = "small", inline(never))]
    pub(crate) fn bytes(&mut self) -> &'b [u8] {
        let len = self.number(usize::BITS);
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// A role with a name: a request with an unnamed role is refused.
    pub(crate) fn known_role(&mut self) -> Role {
        let role = Role::take(self);
        if role.name().is_none() {
            self.refuse();
        }
        role
    }

    /// A value with a length prefix, whose content may be unknown: bytes after its fields are
    /// ignored, and unreadable fields give [`Open::unknown`].
    pub(crate) fn sized<T: Take<'b> + Open>(&mut self) -> T {
        let bytes = self.bytes();
        let Some(first) = bytes.first() else {
            self.refuse();
            return T::unknown(0);
        };
        let mut input = Input::new(bytes);
        let value = T::take(&mut input);
        let known = value.unknown_number().is_none() && input.end().is_ok();
        if known { value } else { T::unknown(*first) }
    }

    /// Text with a length prefix, converted by `read`.
    fn parsed<T: Default>(&mut self, read: impl FnOnce(&'b str) -> Option<T>) -> T {
        let value = core::str::from_utf8(self.bytes()).ok().and_then(read);
        if value.is_none() {
            self.refuse();
        }
        value.unwrap_or_default()
    }
}

/// Numbers and booleans, by the method of [`Input`] that reads them.
macro_rules! plain {
    ($($type:ty: $input:ident => $read:expr,)+) => {$(
        impl Take<'_> for $type {
            fn take($input: &mut Input<'_>) -> Self {
                $read
            }
        }
    )+};
}

plain! {
    u8: input => input.byte(),
    u16: input => input.u16(),
    u32: input => input.u32(),
    u64: input => input.number(u64::BITS),
    bool: input => input.bool(),
    PublicKey: input => Self(input.array()),
    SecretKey: input => Self::new(input.array()),
    IpNet: input => Self { addr: IpAddr::take(input), prefix: input.byte() },
    SocketAddrV4: input => Self::new(input.array().into(), input.u16()),
    SocketAddrV6: input => Self::new(input.array().into(), input.u16(), 0, 0),
    Act: input => Self::from_numbers(input.byte(), input.u32()),
}

impl Take<'_> for IfName {
    #[cfg_attr(feature = "small", inline(never))]
    fn take(input: &mut Input<'_>) -> Self {
        input.parsed(|text| text.parse().ok())
    }
}

impl Take<'_> for IpAddr {
    #[cfg_attr(feature = "small", inline(never))]
    fn take(input: &mut Input<'_>) -> Self {
        match input.u32() {
            0 => Self::from(input.array::<4>()),
            other => {
                if other != 1 {
                    input.refuse();
                }
                Self::from(input.array::<16>())
            }
        }
    }
}

impl<const N: usize> Take<'_> for [u8; N] {
    fn take(input: &mut Input<'_>) -> Self {
        input.array()
    }
}

impl<'de: 'a, 'a> Take<'de> for &'a [u8] {
    fn take(input: &mut Input<'de>) -> Self {
        input.bytes()
    }
}

impl<const N: usize> Take<'_> for String<N> {
    #[cfg_attr(feature = "small", inline(never))]
    fn take(input: &mut Input<'_>) -> Self {
        input.parsed(|text| Self::try_from(text).ok())
    }
}

impl<'de, T: Take<'de>> Take<'de> for Option<T> {
    fn take(input: &mut Input<'de>) -> Self {
        if input.bool() { Some(T::take(input)) } else { None }
    }
}

impl<'de, T: Take<'de>, const N: usize> Take<'de> for heapless::Vec<T, N> {
    fn take(input: &mut Input<'de>) -> Self {
        let mut list = Self::new();
        for _ in 0..input.u32() {
            if list.is_full() {
                input.refuse();
                break;
            }
            // The list has room.
            let _ = list.push(T::take(input));
        }
        list
    }
}

/// Client and request number: the head of a request, which is the same in every version. `None` if
/// the bytes are too short.
#[must_use]
pub fn head(bytes: &[u8]) -> Option<(ClientId, u32)> {
    let mut input = Input::new(bytes);
    let head = (input.array(), input.u32());
    input.end().ok().map(|_| head)
}

/// Reads a request. No bytes may follow it, except after a hello: the hello of a later version may
/// be longer.
///
/// # Errors
/// [`Misread`] for a malformed request.
#[cfg_attr(feature = "small", inline(never))]
pub fn request(bytes: &[u8]) -> Result<Request<'_>, Misread> {
    let mut input = Input::new(bytes);
    let request = Request { client: input.array(), id: input.u32(), ask: Ask::take(&mut input) };
    let rest = input.end()?;
    if rest.is_empty() || matches!(request.ask, Ask::Hello { .. }) {
        Ok(request)
    } else {
        Err(Misread::Trailing)
    }
}

/// The head of a step of a patch ([`crate::protocol::patch::Step`]), without the literal bytes of
/// [`StepHead::Put`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepHead {
    /// Offset in the stored image, and number of bytes to copy from there.
    Copy(u32, u32),
    /// Number of literal bytes that follow.
    Put(u32),
}

/// Reads the head of a step. Returns the head and its length in bytes.
///
/// # Errors
/// [`Misread`] for a malformed head.
pub fn step(bytes: &[u8]) -> Result<(StepHead, usize), Misread> {
    let mut input = Input::new(bytes);
    let head = match input.at("patch").u32() {
        0 => StepHead::Copy(input.u32(), input.u32()),
        1 => StepHead::Put(input.u32()),
        other => return Err(Misread::Unknown(other)),
    };
    Ok((head, bytes.len().saturating_sub(input.end()?.len())))
}

/// Reads the record at the front of `bytes`, with its length prefix. Returns the record and the
/// bytes after it. Every field must be known: an unknown field could not be applied.
///
/// # Errors
/// [`Misread`] for a malformed or unknown record.
pub fn record(bytes: &[u8]) -> Result<(Record, &[u8]), Misread> {
    let mut input = Input::new(bytes);
    let mut one = Input::new(input.at("record").bytes());
    let rest = input.end()?;
    let record = Record::take(&mut one);
    if one.end()?.is_empty() { Ok((record, rest)) } else { Err(Misread::Trailing) }
}
