//! One request to the kernel and its answers, over the sockets of [`NetlinkSocket`]. The kernel's
//! errors become failures that name their subject.
//!
//! Not here: which requests are sent, and in which order (`plan`, `apply`, `remove`).

use core::net::{IpAddr, Ipv6Addr};

use heapless::Vec as Bytes;
use proto_core::ip::{AF_INET, AF_INET6};
use proto_core::netlink::genl::Family;
use proto_core::netlink::route::link::ALIAS_MAX;
use proto_core::netlink::route::{self, Link};
use proto_core::netlink::socket::{AnswerBuf, Stopped, converse};
use proto_core::netlink::wireguard::Event;
use proto_core::netlink::{
    Attempts, Errno, Exchange, ExchangeError, Expect, Full, IfName, Message, State,
};
use proto_core::protocol::message::{Code, Subject};
use proto_core::uapi::NO_FAMILY;
use zeroize::Zeroize;

use crate::fault::{Fault, Slot};
use crate::system::NetlinkSocket;

/// Bytes in a request, except one that sets a WireGuard device ([`SET`]).
pub const REQUEST: usize = 512;
/// Bytes in a request that sets a WireGuard device: the maximum of `wg`. Any number from 512 up
/// works; a larger one saves system calls.
pub const SET: usize = 8 * 1024;
/// Bytes in an answer: the size that the kernel's documentation recommends for dumps.
pub const ANSWER: usize = 32 * 1024;
/// Number of attempts for a dump that changes interrupt.
const DUMP_ATTEMPTS: u8 = 8;

/// Milliseconds before the second attempt of a dump. Each later pause is twice as long; all pauses
/// together are a second and a quarter.
const FIRST_PAUSE: u32 = 5;

/// The message for a kernel without WireGuard.
pub const NO_WIREGUARD: &str = "the kernel has no WireGuard: load or install its module";

/// The receive buffer.
#[derive(Debug)]
pub struct Answer {
    bytes: [u8; ANSWER],
    /// Number of bytes that were ever in use.
    used: usize,
}

impl Answer {
    /// The whole buffer, for callers that do not know the size in advance.
    const fn whole(&mut self) -> &mut [u8] {
        self.used = ANSWER;
        &mut self.bytes
    }
}

/// The buffers for requests and answers.
#[derive(Debug)]
pub struct Buffers {
    /// The request that is being written.
    request: [u8; REQUEST],
    answer: Answer,
}

impl Buffers {
    /// Zeroed buffers.
    #[must_use]
    pub const fn new() -> Self {
        Self { request: [0; REQUEST], answer: Answer { bytes: [0; ANSWER], used: 0 } }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes a request with a sequence number into a buffer.
pub type WriteRequest<'w> = dyn Fn(&mut [u8], u32) -> Result<&[u8], Full> + 'w;

/// Writes a request for the list of an address family.
pub type WriteList<'w> = dyn Fn(&mut [u8], u32, u8) -> Result<&[u8], Full> + 'w;

/// The netlink protocol of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// `NETLINK_ROUTE`.
    Route,
    /// `NETLINK_GENERIC`.
    Generic,
}

/// The attributes of a link that the agent needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkState {
    /// `ifi_index`.
    pub index: u32,
    /// In bytes.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// Whether its kind is `wireguard`.
    pub wireguard: bool,
    /// Whether secondary IPv4 addresses survive the removal of the primary one.
    pub promote_secondaries: bool,
    /// Whether it has our mark ([`MARK`]): an agent created it, or an owner had it adopted.
    pub marked: bool,
}

/// The prefix of the alias (`IFLA_IFALIAS`) of our links. An adopted link keeps its own alias after
/// the mark and a space.
pub const MARK: &str = "postwired";

/// The alias of a link.
pub type Alias = Bytes<u8, ALIAS_MAX>;

/// The alias without the mark; `None` for a link of another program.
fn unmarked(alias: &[u8]) -> Option<&[u8]> {
    match alias.strip_prefix(MARK.as_bytes())? {
        [] => Some(&[]),
        [b' ', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// Access to programs that implement WireGuard in user space. The kernel knows only that their
/// interfaces exist.
pub trait UserSpace {
    /// Whether such a program has the interface.
    fn has(&self, name: IfName) -> bool;
    /// Reads a device of a program. `buf` holds the program's answer.
    ///
    /// # Errors
    /// Errors of the program or of `take`.
    fn each_event(
        &self,
        name: IfName,
        buf: &mut [u8],
        take: &mut dyn FnMut(&Event) -> Result<(), Fault>,
    ) -> Result<(), Fault>;
    /// Sends a change that was encoded without a family, and waits for the acknowledgement.
    ///
    /// # Errors
    /// A failure about `subject`.
    fn set(
        &self,
        name: IfName,
        subject: Subject,
        message: &[u8],
        buf: &mut [u8],
    ) -> Result<(), Fault>;
}

impl core::fmt::Debug for dyn UserSpace + '_ {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("UserSpace")
    }
}

/// Both sockets, and the state of the kernel as far as known.
#[derive(Debug)]
pub struct Kernel<'b, N> {
    route: N,
    generic: N,
    /// Where failures are recorded.
    pub slot: &'b Slot,
    buffers: &'b mut Buffers,
    seq: u32,
    family: Option<u16>,
    /// Whether the kernel reported that it has no IPv6 rules.
    pub no_ipv6_rules: bool,
    /// Whether the family was looked up by name before, which makes the kernel load the module.
    asked: bool,
    /// Number of consecutive dumps that changes interrupted.
    overtaken: u8,
    /// `None` for `serve`, which does not use them.
    user_space: Option<&'b dyn UserSpace>,
    /// The chosen interface, if a program has it.
    chosen: Option<(IfName, &'b dyn UserSpace)>,
}

/// A request and the answers that it expects.
struct Request<'r> {
    seq: u32,
    bytes: &'r [u8],
    expect: Expect,
    /// The subject of a failure.
    subject: Subject,
}

/// Records that the socket failed.
#[inline(never)]
fn socket_failed(slot: &Slot, subject: Subject, errno: Errno) -> Fault {
    match errno {
        Errno::EAGAIN => slot.fail(Code::Kernel, subject, "the kernel does not answer"),
        errno => slot.say(Code::Kernel, subject, errno, format_args!("netlink socket: {errno}")),
    }
}

/// Sends a request and visits its answers.
///
/// Everything that differs between callers is behind pointers, so that the program has one copy of
/// this function.
fn run<N: NetlinkSocket>(
    slot: &Slot,
    socket: &mut N,
    answer: &mut Answer,
    request: &Request<'_>,
    take: &mut dyn FnMut(&Message<'_>) -> Result<(), Fault>,
) -> Result<State, Fault> {
    let mut exchange = Exchange::new(request.seq, socket.port(), request.expect);
    let mut buf = AnswerBuf { bytes: &mut answer.bytes, used: answer.used };
    let done = converse(socket, &mut exchange, request.bytes, &mut buf, take);
    answer.used = buf.used;
    match (done, exchange.failure()) {
        (Ok(()), _) => Ok(exchange.state()),
        (Err(Stopped::Socket(errno)), _) => Err(socket_failed(slot, request.subject, errno)),
        (Err(Stopped::Caller(fault)), _) => Err(fault),
        (Err(Stopped::Exchange), error) => {
            Err(slot.exchange(request.subject, error.unwrap_or(&ExchangeError::Malformed)))
        }
    }
}

impl<'b, N: NetlinkSocket> Kernel<'b, N> {
    /// With a socket of each protocol.
    pub const fn new(route: N, generic: N, slot: &'b Slot, buffers: &'b mut Buffers) -> Self {
        let (user_space, chosen) = (None, None);
        Self {
            route,
            generic,
            slot,
            buffers,
            seq: 0,
            family: None,
            asked: false,
            overtaken: 0,
            no_ipv6_rules: false,
            user_space,
            chosen,
        }
    }

    /// Allows interfaces of programs to be chosen.
    pub fn with_user_space(self, user_space: &'b dyn UserSpace) -> Self {
        Self { user_space: Some(user_space), ..self }
    }

    /// Chooses the interface that the next WireGuard requests are about. Returns whether a program
    /// has it.
    pub fn choose(&mut self, name: IfName) -> bool {
        let has = |user_space: &&dyn UserSpace| user_space.has(name);
        self.chosen = self.user_space.filter(has).map(|user_space| (name, user_space));
        self.chosen.is_some()
    }

    /// Reads the chosen device of a program. `None` if no program's interface is chosen.
    pub fn each_event_of_program(
        &mut self,
        take: &mut dyn FnMut(&Event) -> Result<(), Fault>,
    ) -> Option<Result<(), Fault>> {
        let (name, user_space) = self.chosen?;
        Some(user_space.each_event(name, self.buffers.answer.whole(), take))
    }

    /// The port ID of the socket for links, addresses, routes and rules: notifications of our own changes have it.
    pub fn route_port(&self) -> u32 {
        self.route.port()
    }

    /// Wipes the used part of the buffers: the kernel reports private and preshared keys too.
    pub fn wipe(&mut self) {
        let Buffers { request, answer: Answer { bytes, used } } = self.buffers;
        request.zeroize();
        if let Some(used) = bytes.get_mut(..*used) {
            used.zeroize();
        }
    }

    /// A sequence number for the next request. Never 0, the number of unsolicited messages.
    pub fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.checked_add(1).unwrap_or(1);
        self.seq
    }

    fn exchange(
        &mut self,
        protocol: Protocol,
        expect: Expect,
        subject: Subject,
        write: &WriteRequest<'_>,
        take: &mut dyn FnMut(&Message<'_>) -> Result<(), Fault>,
    ) -> Result<State, Fault> {
        let seq = self.next_seq();
        let Buffers { request, answer } = self.buffers;
        let socket = match protocol {
            Protocol::Route => &mut self.route,
            Protocol::Generic => &mut self.generic,
        };
        let Ok(bytes) = write(request, seq) else {
            let text = "the request does not fit its buffer";
            return Err(self.slot.fail(Code::Kernel, subject, text));
        };
        let done = run(self.slot, socket, answer, &Request { seq, bytes, expect, subject }, take);
        self.check_family(protocol, done)
    }

    /// A module that was reloaded has another number: the kernel does not know the old one.
    fn check_family<T>(&mut self, protocol: Protocol, done: Result<T, Fault>) -> Result<T, Fault> {
        if protocol == Protocol::Generic && done.is_err() && self.slot.is(Errno::ENOENT) {
            self.family = None;
        }
        done
    }

    /// Sends a WireGuard message that was encoded under [`Kernel::next_seq`] and waits for its
    /// acknowledgement.
    ///
    /// # Errors
    /// A failure about `subject`.
    pub fn set(&mut self, subject: Subject, seq: u32, message: &[u8]) -> Result<(), Fault> {
        if let Some((name, user_space)) = self.chosen {
            return user_space.set(name, subject, message, self.buffers.answer.whole());
        }
        let request = Request { seq, bytes: message, expect: Expect::Ack, subject };
        let Self { slot, generic, buffers, .. } = self;
        let done = run(slot, generic, &mut buffers.answer, &request, &mut |_| Ok(()));
        self.check_family(Protocol::Generic, done.map(|_| ()))
    }

    /// Requests a change and waits for its acknowledgement.
    ///
    /// # Errors
    /// A failure about `subject`.
    pub fn change(
        &mut self,
        protocol: Protocol,
        subject: Subject,
        write: &WriteRequest<'_>,
    ) -> Result<(), Fault> {
        self.exchange(protocol, Expect::Ack, subject, write, &mut |_| Ok(())).map(|_| ())
    }

    /// Requests a single object.
    ///
    /// # Errors
    /// A failure about `subject`, or what `take` returned.
    pub fn ask(
        &mut self,
        protocol: Protocol,
        subject: Subject,
        write: &WriteRequest<'_>,
        take: &mut dyn FnMut(&Message<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.exchange(protocol, Expect::Reply, subject, write, take).map(|_| ())
    }

    /// Requests a list. `Ok(false)` when the list changed meanwhile and must be requested again.
    ///
    /// # Errors
    /// A failure about `subject`, or the first error of `take`.
    pub fn dump(
        &mut self,
        protocol: Protocol,
        subject: Subject,
        write: &WriteRequest<'_>,
        take: &mut dyn FnMut(&Message<'_>) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        let state = self.exchange(protocol, Expect::Dump, subject, write, take)?;
        if state == State::Done {
            self.overtaken = 0;
            return Ok(true);
        }
        // The program that makes the changes gets time to finish.
        self.overtaken = self.overtaken.saturating_add(1);
        let nth = self.overtaken.saturating_sub(1).min(DUMP_ATTEMPTS);
        self.route.pause(FIRST_PAUSE << nth);
        Ok(false)
    }

    /// Requests a list of an address family. `Ok(false)` as for [`Kernel::dump`].
    ///
    /// A kernel without IPv6 has no IPv6 rules, routes and addresses: its list of them is empty.
    /// The kernel answers with an error, or with the list of all families (`rtnl_dump_all`). The list of a
    /// table that does not exist is empty too.
    ///
    /// # Errors
    /// As for [`Kernel::dump`].
    pub fn dump_family(
        &mut self,
        subject: Subject,
        write: &WriteList<'_>,
        family: u8,
        take: &mut dyn FnMut(&Message<'_>) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        let whole = self.dump(
            Protocol::Route,
            subject,
            &|buf, seq| write(buf, seq, family),
            &mut |message| match message.payload.first() {
                Some(told) if *told == family => take(message),
                _ => Ok(()),
            },
        );
        match whole {
            Err(_) if family == AF_INET6 && self.slot.lacks_family() => {
                self.no_ipv6_rules |= subject == Subject::Rule;
                Ok(true)
            }
            // A table may not exist before its first route, not even the main table of IPv4.
            Err(_) if self.slot.is(Errno::ENOENT) => Ok(true),
            whole => whole,
        }
    }

    /// Requests a list of each address family, IPv4 first. `Ok(false)` as for [`Kernel::dump`].
    ///
    /// # Errors
    /// As for [`Kernel::dump_family`].
    pub fn dump_both(
        &mut self,
        subject: Subject,
        write: &WriteList<'_>,
        take: &mut dyn FnMut(&Message<'_>) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        Ok(self.dump_family(subject, write, AF_INET, take)?
            && self.dump_family(subject, write, AF_INET6, take)?)
    }

    /// Whether the kernel has IPv6. The test is a request for the route to `::1`, which only a
    /// kernel with IPv6 answers.
    pub fn has_ipv6(&mut self) -> bool {
        let asked = self.ask(
            Protocol::Route,
            Subject::None,
            &|buf, seq| route::route::get(buf, seq, IpAddr::V6(Ipv6Addr::LOCALHOST)),
            &mut |_| Ok(()),
        );
        asked.is_ok() || !self.slot.lacks_family()
    }

    /// The number of the WireGuard family, or [`NO_FAMILY`] for a program.
    ///
    /// # Errors
    /// [`Code::NoWireGuard`] when the kernel has none.
    pub fn wireguard(&mut self) -> Result<u16, Fault> {
        if self.chosen.is_some() {
            return Ok(NO_FAMILY);
        }
        if let Some(family) = self.family {
            return Ok(family);
        }
        let slot = self.slot;
        let mut found = None;
        let asked = self.exchange(
            Protocol::Generic,
            Expect::Reply,
            Subject::Interface,
            &|buf, seq| Family::get(buf, seq, "wireguard"),
            &mut |message| {
                let family = Family::parse(message).map_err(|error| slot.unreadable(&error))?;
                found = Some(family.id);
                Ok(())
            },
        );
        match asked {
            // The kernel has no family of that name.
            Err(_) if slot.is(Errno::ENOENT) => {
                Err(slot.fail(Code::NoWireGuard, Subject::None, NO_WIREGUARD))
            }
            Err(fault) => Err(fault),
            Ok(_) => {
                self.family = found;
                found.ok_or_else(|| slot.unreadable(&ExchangeError::NoReply))
            }
        }
    }

    /// Whether the kernel has WireGuard now. Only the first call may make the kernel load the
    /// module.
    pub fn has_wireguard(&mut self) -> bool {
        if !core::mem::replace(&mut self.asked, true) {
            return self.wireguard().map_err(|fault| self.slot.take(fault)).is_ok();
        }
        let mut found = None;
        let listed = self.dump(Protocol::Generic, Subject::None, &Family::list, &mut |message| {
            if let Some(family) = Family::named(message, "wireguard") {
                found = Some(family.id);
            }
            Ok(())
        });
        match listed {
            Ok(true) => self.family = found,
            Ok(false) => {}
            Err(fault) => drop(self.slot.take(fault)),
        }
        self.family.is_some()
    }

    /// The link of that name, if there is one.
    ///
    /// # Errors
    /// Kernel errors.
    pub fn link(&mut self, name: IfName) -> Result<Option<LinkState>, Fault> {
        let slot = self.slot;
        let mut found = None;
        let asked = self.exchange(
            Protocol::Route,
            Expect::Reply,
            Subject::Interface,
            &|buf, seq| route::link::get(buf, seq, name),
            &mut |message| {
                let link = Link::parse(message).map_err(|error| slot.unreadable(&error))?;
                found = Some(LinkState {
                    index: link.index,
                    mtu: link.mtu,
                    up: link.is_up(),
                    wireguard: link.is_wireguard(),
                    promote_secondaries: link.promote_secondaries,
                    marked: unmarked(link.alias).is_some(),
                });
                Ok(())
            },
        );
        match asked {
            Err(_) if slot.is(Errno::ENODEV) => Ok(None),
            Err(fault) => Err(fault),
            Ok(_) => Ok(found),
        }
    }

    /// The alias of a link.
    ///
    /// # Errors
    /// The kernel's error.
    #[inline(never)]
    pub fn alias(&mut self, name: IfName) -> Result<Alias, Fault> {
        let slot = self.slot;
        let mut alias = Alias::new();
        self.ask(
            Protocol::Route,
            Subject::Interface,
            &|buf, seq| route::link::get(buf, seq, name),
            &mut |message| {
                let link = Link::parse(message).map_err(|error| slot.unreadable(&error))?;
                alias.clear();
                alias.extend(link.alias.iter().copied().take(ALIAS_MAX));
                Ok(())
            },
        )?;
        Ok(alias)
    }

    /// Gives a link an alias.
    ///
    /// # Errors
    /// The kernel's error.
    #[inline(never)]
    pub fn set_alias(&mut self, index: u32, alias: &[u8]) -> Result<(), Fault> {
        self.change(Protocol::Route, Subject::Interface, &|buf, seq| {
            route::link::set_alias(buf, seq, index, alias)
        })
    }

    /// Adds our mark to a link's alias. The rest of the alias stays, except bytes that do not fit beside the mark.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn mark(&mut self, name: IfName, index: u32) -> Result<(), Fault> {
        let alias = self.alias(name)?;
        let mut marked = Alias::new();
        let rest = unmarked(&alias).unwrap_or(&alias);
        let space: &[u8] = if rest.is_empty() { &[] } else { b" " };
        let all = MARK.as_bytes().iter().chain(space).chain(rest);
        marked.extend(all.copied().take(ALIAS_MAX));
        self.set_alias(index, &marked)
    }

    /// The name of the interface with this index; `None` if no interface has it.
    ///
    /// # Errors
    /// Kernel errors.
    pub fn name_of(&mut self, index: u32) -> Result<Option<IfName>, Fault> {
        let mut name = None;
        self.dump(Protocol::Route, Subject::None, &route::link::list, &mut |message| {
            if let Some(link) = Link::parse(message).ok().filter(|link| link.index == index) {
                name = Some(link.name);
            }
            Ok(())
        })?;
        Ok(name)
    }

    /// Visits the MAC addresses of the device's own interfaces.
    ///
    /// # Errors
    /// Kernel errors.
    pub fn hardware_addresses(&mut self, take: &mut dyn FnMut([u8; 6])) -> Result<(), Fault> {
        self.dump(Protocol::Route, Subject::None, &route::link::list, &mut |message| {
            route::link::hardware_address(message).into_iter().for_each(&mut *take);
            Ok(())
        })
        .map(drop)
    }

    /// Visits the WireGuard links. `Ok(false)` as for [`Kernel::dump`].
    ///
    /// # Errors
    /// Kernel errors, or the first error of `take`.
    pub fn wireguard_links(
        &mut self,
        take: &mut dyn FnMut(IfName, bool) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        self.dump(Protocol::Route, Subject::None, &route::link::list, &mut |message| {
            match Link::parse(message) {
                Ok(link) if link.is_wireguard() => take(link.name, true),
                Ok(_) => Ok(()),
                Err(_) => {
                    route::link::name_to_show(message).map_or(Ok(()), |name| take(name, false))
                }
            }
        })
    }
}

/// Repeats `once` until a dump is consistent, for a limited number of attempts.
///
/// # Errors
/// What `once` returned, or [`Code::Unsteady`].
pub fn steady(
    slot: &Slot,
    subject: Subject,
    once: &mut dyn FnMut() -> Result<bool, Fault>,
) -> Result<(), Fault> {
    let mut attempts = Attempts::new(DUMP_ATTEMPTS);
    while !once()? {
        attempts.again().map_err(|error| slot.exchange(subject, &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
