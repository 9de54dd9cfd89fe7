//! Endpoints that are known by name, in a file, so that there may be any number of them.
//!
//! A few names are looked up at a time in the background; a name without an address is tried again and again. A push
//! brings the addresses that the bench has found. The router looks up the names that the bench could not, and all
//! names when it starts, because addresses change while a router lies in a drawer. A name is looked up again when its
//! peer has had no handshake for [`STALE`] seconds ([`Hosts::check`]).

use core::cmp::Ordering;
use core::net::{IpAddr, SocketAddr};

use proto_core::key::PublicKey;
use proto_core::netlink::wireguard::{Event, PeerChange, PeerInfo, SetEncoder};
use proto_core::protocol::config::{Host, Record};
use proto_core::protocol::message::{Name, Subject, cut};

use crate::bytes::{put as put_field, put_text, take, text};
use crate::config::image::{Records, Span};
use crate::fault::{Fault, Slot};
use crate::kernel::exchange::{Kernel, SET};
use crate::kernel::read::each_event;
use crate::kernel::write::{flush, put};
use crate::system::{File, NetlinkSocket};

/// Lengths of interface, key, port, name, address, due, tries and state; two of them are texts with a length.
const ENTRY: usize = 1 + 15 + 32 + 2 + 1 + 253 + 18 + 8 + 1 + 1;

/// States of an entry: no address yet, an address, and an address that is looked up again.
const WANTED: u8 = 0;
const DONE: u8 = 1;
const AGED: u8 = 2;

/// Seconds without a handshake after which an endpoint is looked up again, as by `reresolve-dns.sh`.
const STALE: u64 = 135;

/// Milliseconds between two looks at the handshakes, unless reading the peers takes longer than a hundredth of it.
const CHECK: u64 = 30_000;

/// The longest wait before the same name is looked up again is `STALE << DOUBLINGS` seconds, or nine minutes: a peer
/// without traffic has no handshakes, and needs no look-ups.
const DOUBLINGS: u8 = 2;

/// Address and port, IPv4 as mapped.
type Place = ([u8; 16], u16);

fn place_of(address: &SocketAddr) -> Place {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    (ip.octets(), address.port())
}

/// How many names are looked up at a time: one that no name server answers for holds up no other.
pub const AT_ONCE: usize = 4;

/// How long to wait at first and at most before all that is left is tried again, in milliseconds.
const AGAIN: (u64, u64) = (5_000, 60_000);

/// Milliseconds from a change of the network to the look-ups that it is a reason for.
const SETTLED: u64 = 1_000;

/// What a look-up that is under way is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flight {
    /// There is none.
    Free,
    /// The entry of that number.
    Entry(u32),
    /// An entry that is gone.
    Gone,
}

/// An endpoint that is to be looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    interface: Name,
    peer: PublicKey,
    /// Its name and port.
    pub host: Host,
    /// The peer's endpoint when it was last read or set.
    address: Place,
    /// Time from which on the name may be looked up again, and the number of such look-ups since the last handshake.
    due: u64,
    tries: u8,
    state: u8,
}

/// The endpoints that are to be looked up.
#[derive(Debug)]
pub struct Hosts<F> {
    file: F,
    /// How many entries there are, and how many of them are not done.
    len: u32,
    left: u32,
    /// Number of entries that are looked up again, and when to look for more.
    aged: u32,
    check: u64,
    /// The entry that is next.
    next: u32,
    flights: [Flight; AT_ONCE],
    /// When to go on, and how long to wait after this round.
    due: u64,
    wait: u64,
}

impl Wanted {
    fn to_bytes(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        let mut at = 0;
        put_text(&mut bytes, &mut at, &self.interface, 15);
        put_field(&mut bytes, &mut at, &self.peer.0);
        put_field(&mut bytes, &mut at, &self.host.port.to_le_bytes());
        put_text(&mut bytes, &mut at, &self.host.name, 253);
        let (ip, port) = self.address;
        put_field(&mut bytes, &mut at, &ip);
        put_field(&mut bytes, &mut at, &port.to_le_bytes());
        put_field(&mut bytes, &mut at, &self.due.to_le_bytes());
        put_field(&mut bytes, &mut at, &[self.tries, self.state]);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let interface = text(&mut rest, 15)?.parse().ok()?;
        let peer = PublicKey(*take(&mut rest)?);
        let port = u16::from_le_bytes(*take(&mut rest)?);
        let name = cut(text(&mut rest, 253)?);
        let host = Host { name, port };
        let address = (*take(&mut rest)?, u16::from_le_bytes(*take(&mut rest)?));
        let due = u64::from_le_bytes(*take(&mut rest)?);
        let [tries, state] = *take(&mut rest)?;
        Some(Self { interface, peer, host, address, due, tries, state })
    }
}

impl<F: File> Hosts<F> {
    /// None yet, in `file`.
    pub const fn new(file: F) -> Self {
        let flights = [Flight::Free; AT_ONCE];
        Self { file, len: 0, left: 0, aged: 0, check: 0, next: 0, flights, due: 0, wait: AGAIN.0 }
    }

    /// How many could not be looked up yet.
    #[must_use]
    pub const fn left(&self) -> u32 {
        self.left
    }

    /// When there is something to do, if there is.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        let free = self.flights.contains(&Flight::Free);
        (self.left.saturating_add(self.aged) > 0 && free).then_some(self.due)
    }

    /// When to call [`Hosts::check`], if there are names.
    #[must_use]
    pub fn check_deadline(&self) -> Option<u64> {
        (self.len > 0).then_some(self.check)
    }

    /// The network of the router has changed: names that have no address yet may have one now.
    pub fn wake(&mut self, now: u64) {
        // A link that comes up has several notifications, and its addresses a moment later.
        self.due = self.due.min(now.saturating_add(SETTLED));
        self.wait = AGAIN.0;
    }

    const fn place(n: u32) -> u32 {
        n.saturating_mul(ENTRY as u32)
    }

    fn entry(&mut self, n: u32) -> Option<Wanted> {
        let mut bytes = [0; ENTRY];
        let got = self.file.read_at(Self::place(n), &mut bytes).ok()?;
        Wanted::from_bytes(bytes.get(..got)?)
    }

    fn write(&mut self, n: u32, entry: &Wanted) {
        // An entry that cannot be written stays as it was: it is looked up once more.
        let _ = self.file.write_at(Self::place(n), &entry.to_bytes());
    }

    /// Finds peers that have had no handshake for [`STALE`] seconds: their names are looked up again, first after
    /// 135 s, then after twice that time, and from then on every nine minutes. `time` is the time on the wall in
    /// seconds.
    #[inline(never)]
    pub fn check<N: NetlinkSocket>(&mut self, kernel: &mut Kernel<'_, N>, now: u64, time: u64) {
        let slot = kernel.slot;
        let mut from = 0;
        while from < self.len {
            let name = self.entry(from).map(|entry| entry.interface);
            let mut end = from.saturating_add(1);
            while end < self.len && self.entry(end).map(|entry| entry.interface) == name {
                end = end.saturating_add(1);
            }
            if let Some(name) = name {
                let looked = each_event(kernel, name, &mut |event| {
                    if let Event::Peer(info) = event {
                        self.judge(info, (from, end), now, time);
                    }
                    Ok(())
                });
                // An interface that is gone has no peers to look names up for.
                let _ = looked.map_err(|fault| slot.take(fault));
            }
            from = end;
        }
    }

    /// Sets the time of the next check, after one that took this long.
    pub fn checked(&mut self, now: u64, took: u64) {
        self.check = now.saturating_add(took.saturating_mul(100).max(CHECK));
    }

    /// Has the name of a peer looked up again if it is time. The entries of an interface are in the order of their
    /// keys, as in its image.
    fn judge(&mut self, info: &PeerInfo, (mut low, mut high): (u32, u32), now: u64, time: u64) {
        while low < high {
            let n = low.midpoint(high);
            let Some(mut entry) = self.entry(n) else { return };
            match entry.peer.0.cmp(&info.public_key.0) {
                Ordering::Less => low = n.saturating_add(1),
                Ordering::Greater => high = n,
                Ordering::Equal => {
                    let heard = info.latest_handshake.as_ref();
                    let heard = heard.and_then(|at| u64::try_from(at.secs).ok());
                    let fresh = heard.is_some_and(|at| time.saturating_sub(at) <= STALE);
                    if fresh && entry.tries > 0 {
                        (entry.tries, entry.due) = (0, now);
                        self.write(n, &entry);
                    } else if !fresh && entry.state == DONE && now >= entry.due {
                        entry.address = info.endpoint.as_ref().map(place_of).unwrap_or_default();
                        let wait = STALE.saturating_mul(1_000) << entry.tries.min(DOUBLINGS);
                        entry.due = now.saturating_add(wait);
                        entry.tries = entry.tries.saturating_add(1);
                        entry.state = AGED;
                        self.write(n, &entry);
                        self.aged = self.aged.saturating_add(1);
                        (self.due, self.next) = (self.due.min(now), self.next.min(n));
                    }
                    return;
                }
            }
        }
    }

    /// Forgets those of an interface. What is left moves to the beginning of the file.
    pub fn forget(&mut self, interface: &str) {
        let (mut to, mut next) = (0_u32, 0);
        let (mut left, mut aged) = (0_u32, 0_u32);
        for n in 0..self.len {
            let kept = self.entry(n).filter(|entry| entry.interface != interface);
            let state = kept.as_ref().map(|entry| entry.state);
            // One that cannot be written is as lost as one that cannot be read.
            let kept = kept.is_some_and(|entry| {
                to == n || self.file.write_at(Self::place(to), &entry.to_bytes()).is_ok()
            });
            left = left.saturating_add(u32::from(kept && state == Some(WANTED)));
            aged = aged.saturating_add(u32::from(kept && state == Some(AGED)));
            let now = if kept { Flight::Entry(to) } else { Flight::Gone };
            for flight in self.flights.iter_mut().filter(|flight| **flight == Flight::Entry(n)) {
                *flight = now;
            }
            to = to.saturating_add(u32::from(kept));
            if n < self.next {
                next = to;
            }
        }
        (self.len, self.left, self.aged, self.next) = (to, left, aged, next);
        if to == 0 {
            // What is behind the end is never read.
            let _ = self.file.clear();
        }
    }

    /// Takes note of the names in an image of an interface: of all of them, or of those whose peers have no
    /// endpoint.
    ///
    /// # Errors
    /// `Code::Storage`.
    pub fn take<G: File>(
        &mut self,
        slot: &Slot,
        interface: &Name,
        (image, Span { from, end }): (&mut G, Span),
        all: bool,
        now: u64,
    ) -> Result<(), Fault> {
        self.forget(interface);
        let mut records = Records::new(slot, image, from, end);
        let mut last = None;
        while let Some(record) = records.next()? {
            match record {
                Record::Peer(peer) => {
                    last = Some((
                        peer.public_key,
                        peer.endpoint.as_ref().map(|to| place_of(&to.addr())),
                    ));
                }
                Record::Host(host) => {
                    let Some((peer, known)) = last else { continue };
                    let (interface, host) = (*interface, host.clone());
                    let state = if all || known.is_none() { WANTED } else { DONE };
                    let due = now.saturating_add(STALE.saturating_mul(1_000));
                    let address = known.unwrap_or_default();
                    let wanted = Wanted { interface, peer, host, address, due, tries: 0, state };
                    let written = self.file.write_at(Self::place(self.len), &wanted.to_bytes());
                    written.map_err(|errno| slot.storage(errno))?;
                    self.len = self.len.saturating_add(1);
                    if self.len == 1 {
                        self.check = now.saturating_add(CHECK);
                    }
                    if state == WANTED {
                        self.left = self.left.saturating_add(1);
                        (self.due, self.wait) = (now, AGAIN.0);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The next one that is to be looked up, and its number for [`Hosts::found`]: there are [`AT_ONCE`].
    #[inline(never)]
    pub fn next(&mut self, now: u64) -> Option<(usize, Host)> {
        if self.left.saturating_add(self.aged) == 0 || now < self.due {
            return None;
        }
        let free = self.flights.iter().position(|flight| *flight == Flight::Free)?;
        while self.next < self.len {
            let n = self.next;
            self.next = n.saturating_add(1);
            let flight = Flight::Entry(n);
            if self.flights.contains(&flight) {
                continue;
            }
            if let Some(wanted) = self.entry(n).filter(|wanted| wanted.state != DONE) {
                if let Some(free) = self.flights.get_mut(free) {
                    *free = flight;
                }
                return Some((free, wanted.host));
            }
        }
        // Once round.
        self.next = 0;
        self.due = now.saturating_add(self.wait);
        self.wait = self.wait.saturating_mul(2).min(AGAIN.1);
        None
    }

    /// Takes the result of look-up `number`: an address becomes the endpoint of the peer. Returns the entry and the
    /// address if the endpoint was set.
    ///
    /// # Errors
    /// Errors of the kernel. A name without an address so far is then looked up again with the others.
    pub fn found<N: NetlinkSocket>(
        &mut self,
        kernel: &mut Kernel<'_, N>,
        set: &mut [u8; SET],
        number: usize,
        address: Option<SocketAddr>,
        now: u64,
    ) -> Result<Option<(Wanted, SocketAddr)>, Fault> {
        let flight = self.flights.get_mut(number);
        let flight = flight.map(|flight| core::mem::replace(flight, Flight::Free));
        let Some(Flight::Entry(n)) = flight else { return Ok(None) };
        let Some(mut wanted) = self.entry(n).filter(|wanted| wanted.state != DONE) else {
            return Ok(None);
        };
        let again = wanted.state == AGED;
        if again {
            // Whatever the result, the name is looked up next when the entry is due.
            wanted.state = DONE;
            self.write(n, &wanted);
            self.aged = self.aged.saturating_sub(1);
        }
        let Some(address) = address else { return Ok(None) };
        if again && place_of(&address) == wanted.address {
            return Ok(None);
        }
        let family = kernel.wireguard()?;
        let name = wanted.interface;
        let mut encoder = SetEncoder::new(set, family, name);
        let change = PeerChange {
            update_only: true,
            endpoint: Some(address),
            ..PeerChange::new(wanted.peer)
        };
        let about = Subject::Endpoint(wanted.peer);
        put(kernel, &mut encoder, about, &|encoder| encoder.peer(&change))?;
        flush(kernel, &mut encoder, about)?;
        if !again {
            wanted.state = DONE;
            wanted.due = now.saturating_add(STALE.saturating_mul(1_000));
            self.left = self.left.saturating_sub(1);
        }
        wanted.address = place_of(&address);
        self.write(n, &wanted);
        Ok(Some((wanted, address)))
    }
}

impl Wanted {
    /// Whether the peer had another endpoint, and no handshake for long.
    #[must_use]
    pub const fn is_again(&self) -> bool {
        self.tries > 0
    }

    /// The interface of the peer.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }
}

#[cfg(test)]
mod tests;
