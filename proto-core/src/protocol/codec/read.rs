//! Reading: requests and image records.

use core::net::{IpAddr, SocketAddrV4, SocketAddrV6};

use heapless::String;

use crate::ip::IpNet;
use crate::key::{PublicKey, SecretKey};
use crate::protocol::config::{Host, Interface, Peer, PrivateKey, Record, Route, Rule};
use crate::protocol::endpoint::PeerEndpoint;
use crate::protocol::message::{Ask, ClientId, Name, OwnerName, Patch, Request, Role};

/// Why bytes cannot be read as what they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misread {
    /// A field is cut off, or is what it cannot be: its name.
    Field(&'static str),
    /// A kind of request or record that is not known here: its number.
    Unknown(u32),
    /// Bytes are left over behind the last field.
    Trailing,
}

/// Bytes that are read from the front.
///
/// What is read after the end, or after something that cannot be, is zero or the like and worth nothing:
/// [`Input::end`] says so.
#[derive(Clone, Copy, Debug)]
pub struct Input<'b> {
    rest: &'b [u8],
    /// The field that is being read.
    field: &'static str,
    /// The first thing that was wrong.
    wrong: Option<Misread>,
}

impl<'b> Input<'b> {
    /// From the first of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes, field: "head", wrong: None }
    }

    /// What is left, if all that was read was there and could be.
    ///
    /// # Errors
    /// The first thing that was wrong.
    pub const fn end(self) -> Result<&'b [u8], Misread> {
        match self.wrong {
            Some(wrong) => Err(wrong),
            None => Ok(self.rest),
        }
    }

    /// Notes that the field being read cannot be.
    #[cfg_attr(feature = "small", inline(never))]
    const fn refuse(&mut self) {
        self.note(Misread::Field(self.field));
    }

    const fn note(&mut self, wrong: Misread) {
        if self.wrong.is_none() {
            self.wrong = Some(wrong);
        }
    }

    /// Says which field is read next.
    const fn at(&mut self, field: &'static str) -> &mut Self {
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

    /// A byte array, which stands as it is.
    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).first_chunk().copied().unwrap_or([0; N])
    }

    /// A varint of a number of so many bits.
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

    fn u16(&mut self) -> u16 {
        self.number(u16::BITS) as u16
    }

    fn u32(&mut self) -> u32 {
        self.number(u32::BITS) as u32
    }

    fn bool(&mut self) -> bool {
        let byte = self.byte();
        if byte > 1 {
            self.refuse();
        }
        byte == 1
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.bool() { Some(read(self)) } else { None }
    }

    /// Bytes behind their length.
    #[cfg_attr(feature = "small", inline(never))]
    fn bytes(&mut self) -> &'b [u8] {
        let len = self.number(usize::BITS);
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn text<const N: usize>(&mut self) -> String<N> {
        let text = core::str::from_utf8(self.bytes()).ok();
        let text = text.and_then(|text| String::try_from(text).ok());
        if text.is_none() {
            self.refuse();
        }
        text.unwrap_or_default()
    }

    /// The name of an interface.
    #[cfg_attr(feature = "small", inline(never))]
    fn name(&mut self) -> Name {
        self.field = "interface";
        let name = core::str::from_utf8(self.bytes()).ok();
        let name = name.and_then(|name| name.parse().ok());
        if name.is_none() {
            self.refuse();
        }
        name.unwrap_or_default()
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn ip(&mut self) -> IpAddr {
        match self.u32() {
            0 => IpAddr::from(self.array::<4>()),
            other => {
                if other != 1 {
                    self.refuse();
                }
                IpAddr::from(self.array::<16>())
            }
        }
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn net(&mut self) -> IpNet {
        IpNet { addr: self.ip(), prefix: self.byte() }
    }

    fn endpoint(&mut self) -> PeerEndpoint {
        let kind = self.u32();
        if kind == 0 {
            return PeerEndpoint::V4(SocketAddrV4::new(self.array().into(), self.u16()));
        }
        if kind > 2 {
            self.refuse();
        }
        let to = SocketAddrV6::new(self.array().into(), self.u16(), 0, 0);
        if kind == 2 { PeerEndpoint::Scoped(to, self.name()) } else { PeerEndpoint::V6(to) }
    }

    fn interface(&mut self) -> Interface {
        Interface {
            name: self.name(),
            private_key: match self.at("private_key").u32() {
                0 => PrivateKey::None,
                1 => PrivateKey::Given(SecretKey::new(self.array())),
                other => {
                    if other != 2 {
                        self.refuse();
                    }
                    PrivateKey::Generate
                }
            },
            listen_port: self.at("listen_port").option(Self::u16),
            fwmark: self.at("fwmark").u32(),
            mtu: self.at("mtu").u32(),
        }
    }

    fn route(&mut self) -> Route {
        Route { table: self.u32(), metric: self.u32(), to: self.net() }
    }

    fn rule(&mut self) -> Rule {
        Rule {
            v6: self.bool(),
            priority: self.u32(),
            table: self.u32(),
            fwmark: self.option(Self::u32),
            invert: self.bool(),
            suppress_prefixlength: self.option(Self::u32),
        }
    }

    fn peer(&mut self) -> Peer {
        Peer {
            public_key: self.key(),
            preshared_key: self.option(|input| SecretKey::new(input.array())),
            endpoint: self.option(Self::endpoint),
            persistent_keepalive: self.u16(),
        }
    }

    fn key(&mut self) -> PublicKey {
        PublicKey(self.array())
    }

    fn role(&mut self) -> Role {
        let role = Role::from_number(self.at("role").byte());
        if role.name().is_none() {
            self.refuse();
        }
        role
    }

    fn confirm_within(&mut self) -> u16 {
        self.at("confirm_within").u16()
    }

    fn stage(&mut self) -> u32 {
        self.at("stage").u32()
    }

    fn owner_name(&mut self) -> OwnerName {
        self.at("name").text()
    }

    fn owner_key(&mut self) -> PublicKey {
        self.at("key").key()
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn ask(&mut self) -> Ask<'b> {
        match self.at("ask").u32() {
            0 => Ask::Hello {
                min: self.at("min").byte(),
                max: self.at("max").byte(),
                features: self.at("features").u32(),
            },
            1 => Ask::Status,
            2 => Ask::Begin {
                interface: self.name(),
                length: self.at("length").u32(),
                digest: self.at("digest").array(),
                piece_size: self.at("piece_size").u16(),
                patch: self
                    .at("patch")
                    .option(|input| Patch { base: input.u32(), length: input.u32() }),
                data: self.at("data").bytes(),
            },
            3 => Ask::Piece {
                stage: self.stage(),
                index: self.at("index").u32(),
                data: self.at("data").bytes(),
            },
            4 => Ask::Plan { stage: self.stage() },
            5 => Ask::Commit { stage: self.stage(), confirm_within: self.confirm_within() },
            6 => Ask::Abort { stage: self.stage() },
            7 => Ask::Show { interface: self.name() },
            8 => Ask::Changes { stage: self.stage() },
            9 => Ask::Read {
                file: self.at("file").u32(),
                offset: self.at("offset").u32(),
                length: self.at("length").u16(),
            },
            10 => Ask::Remove { interface: self.name(), confirm_within: self.confirm_within() },
            11 => {
                Ask::Claim { name: self.owner_name(), proof: self.at("proof").option(Self::array) }
            }
            12 => Ask::Owners,
            13 => {
                Ask::AddOwner { key: self.owner_key(), role: self.role(), name: self.owner_name() }
            }
            14 => Ask::RemoveOwner { key: self.owner_key() },
            15 => Ask::Confirm,
            16 => Ask::Revert,
            17 => Ask::History { interface: self.at("interface").option(Self::name) },
            18 => Ask::Drift { interface: self.name() },
            19 => Ask::Repair { interface: self.name(), confirm_within: self.confirm_within() },
            20 => Ask::Rollback {
                interface: self.name(),
                number: self.at("number").u32(),
                confirm_within: self.confirm_within(),
            },
            21 => Ask::Ranges { interface: self.name(), bounds: self.at("bounds").bytes() },
            other => {
                self.note(Misread::Unknown(other));
                Ask::Status
            }
        }
    }
}

/// Who asks and which request it is: the head of a request, which is the same in every version.
#[must_use]
pub fn head(bytes: &[u8]) -> Option<(ClientId, u32)> {
    let mut input = Input::new(bytes);
    let head = (input.array(), input.u32());
    input.end().ok().map(|_| head)
}

/// Reads a request. Nothing may be left over, but behind a hello: that of a later version may be longer.
///
/// # Errors
/// What cannot be read.
#[cfg_attr(feature = "small", inline(never))]
pub fn request(bytes: &[u8]) -> Result<Request<'_>, Misread> {
    let mut input = Input::new(bytes);
    let request = Request { client: input.array(), id: input.u32(), ask: input.ask() };
    let rest = input.end()?;
    if rest.is_empty() || matches!(request.ask, Ask::Hello { .. }) {
        Ok(request)
    } else {
        Err(Misread::Trailing)
    }
}

/// The front of a step of a patch ([`crate::protocol::patch::Step`]), without the bytes that it puts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepHead {
    /// Bytes of the stored image from a place on, and how many.
    Copy(u32, u32),
    /// So many bytes behind this.
    Put(u32),
}

/// Reads the front of a step: it, and how many bytes it has.
///
/// # Errors
/// What cannot be read.
pub fn step(bytes: &[u8]) -> Result<(StepHead, usize), Misread> {
    let mut input = Input::new(bytes);
    let head = match input.at("patch").u32() {
        0 => StepHead::Copy(input.u32(), input.u32()),
        1 => StepHead::Put(input.u32()),
        other => return Err(Misread::Unknown(other)),
    };
    Ok((head, bytes.len().saturating_sub(input.end()?.len())))
}

/// Reads the record at the front of `bytes`, with its length: it, and what is behind it. All of it has to be
/// known: what cannot be read cannot be applied.
///
/// # Errors
/// What cannot be read.
pub fn record(bytes: &[u8]) -> Result<(Record, &[u8]), Misread> {
    let mut input = Input::new(bytes);
    let mut one = Input::new(input.at("record").bytes());
    let rest = input.end()?;
    let record = match one.at("record").u32() {
        0 => Record::Interface(one.interface()),
        1 => Record::Address(one.net()),
        2 => Record::Route(one.route()),
        3 => Record::Rule(one.rule()),
        4 => Record::Peer(one.peer()),
        5 => Record::AllowedIp(one.net()),
        6 => Record::Host(Host { name: one.text(), port: one.u16() }),
        other => return Err(Misread::Unknown(other)),
    };
    if one.end()?.is_empty() { Ok((record, rest)) } else { Err(Misread::Trailing) }
}
