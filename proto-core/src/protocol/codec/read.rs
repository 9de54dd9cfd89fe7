//! Reading: requests and image records.

use core::net::{IpAddr, SocketAddr};

use heapless::String;

use crate::ip::{Endpoint, IpNet};
use crate::key::{PublicKey, SecretKey};
use crate::protocol::config::{Host, Interface, Peer, PrivateKey, Record, Route, Rule};
use crate::protocol::message::{Ask, ClientId, Request, Role};

/// Bytes that are read from the front.
///
/// What is read after the end, or after something that cannot be, is zero and worth nothing:
/// [`Input::end`] says so.
#[derive(Clone, Copy, Debug)]
pub struct Input<'b> {
    rest: &'b [u8],
    bad: bool,
}

impl<'b> Input<'b> {
    /// From the first of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes, bad: false }
    }

    /// What is left, if all that was read was there and could be.
    #[must_use]
    pub const fn end(self) -> Option<&'b [u8]> {
        if self.bad { None } else { Some(self.rest) }
    }

    /// Notes that what was read cannot be.
    const fn refuse(&mut self) {
        self.bad = true;
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
        self.bad |= byte > 1;
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
        self.bad |= text.is_none();
        text.unwrap_or_default()
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn ip(&mut self) -> IpAddr {
        match self.u32() {
            0 => IpAddr::from(self.array::<4>()),
            other => {
                self.bad |= other != 1;
                IpAddr::from(self.array::<16>())
            }
        }
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn net(&mut self) -> IpNet {
        IpNet { addr: self.ip(), prefix: self.byte() }
    }

    fn endpoint(&mut self) -> Endpoint {
        SocketAddr::new(self.ip(), self.u16())
    }

    fn interface(&mut self) -> Interface {
        Interface {
            name: self.text(),
            private_key: match self.u32() {
                0 => PrivateKey::None,
                1 => PrivateKey::Given(SecretKey::new(self.array())),
                other => {
                    self.bad |= other != 2;
                    PrivateKey::Generate
                }
            },
            listen_port: self.option(Self::u16),
            fwmark: self.u32(),
            mtu: self.u32(),
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
        match self.u32() {
            0 => Role::Admin,
            other => {
                self.bad |= other != 1;
                Role::ReadOnly
            }
        }
    }

    #[cfg_attr(feature = "small", inline(never))]
    fn ask(&mut self) -> Ask<'b> {
        match self.u32() {
            0 => Ask::Hello { min: self.byte(), max: self.byte() },
            1 => Ask::Status,
            2 => Ask::Begin {
                interface: self.text(),
                length: self.u32(),
                digest: self.array(),
                piece_size: self.u16(),
            },
            3 => Ask::Piece { stage: self.u32(), index: self.u32(), data: self.bytes() },
            4 => Ask::Plan { stage: self.u32() },
            5 => Ask::Commit { stage: self.u32(), confirm_within: self.u16() },
            6 => Ask::Abort { stage: self.u32() },
            7 => Ask::Show { interface: self.text() },
            8 => Ask::Changes { stage: self.u32() },
            9 => Ask::Read { file: self.u32(), offset: self.u32(), length: self.u16() },
            10 => Ask::Remove { interface: self.text() },
            11 => Ask::Claim { name: self.text(), proof: self.option(Self::array) },
            12 => Ask::Owners,
            13 => Ask::AddOwner { key: self.key(), role: self.role(), name: self.text() },
            14 => Ask::RemoveOwner { key: self.key() },
            15 => Ask::Confirm,
            16 => Ask::Revert,
            17 => Ask::History { interface: self.option(Self::text) },
            18 => Ask::Drift { interface: self.text() },
            19 => Ask::Repair { interface: self.text() },
            other => {
                self.bad |= other != 20;
                Ask::Rollback {
                    interface: self.text(),
                    number: self.u32(),
                    confirm_within: self.u16(),
                }
            }
        }
    }
}

/// Who asks and which request it is: the head of a request, which is the same in every version.
#[must_use]
pub fn head(bytes: &[u8]) -> Option<(ClientId, u32)> {
    let mut input = Input::new(bytes);
    let head = (input.array(), input.u32());
    input.end().map(|_| head)
}

/// Reads a request. Nothing may be left over.
#[must_use]
#[cfg_attr(feature = "small", inline(never))]
pub fn request(bytes: &[u8]) -> Option<Request<'_>> {
    let mut input = Input::new(bytes);
    let request = Request { client: input.array(), id: input.u32(), ask: input.ask() };
    input.end().filter(|rest| rest.is_empty()).map(|_| request)
}

/// Reads the record at the front of `bytes`: it, and what is behind it.
#[must_use]
pub fn record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let mut input = Input::new(bytes);
    let record = match input.u32() {
        0 => Record::Interface(input.interface()),
        1 => Record::Address(input.net()),
        2 => Record::Route(input.route()),
        3 => Record::Rule(input.rule()),
        4 => Record::Peer(input.peer()),
        5 => Record::AllowedIp(input.net()),
        other => {
            input.bad |= other != 6;
            Record::Host(Host { name: input.text(), port: input.u16() })
        }
    };
    input.end().map(|rest| (record, rest))
}
