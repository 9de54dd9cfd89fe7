//! Endpoints that are known by name: which ones are still to be looked up, in a file, so that there may be any
//! number of them.
//!
//! A few are looked up at a time in the background, and those that cannot be again and again. A push
//! brings the addresses that the bench has found; the router looks up what the bench could not, and all of
//! them when it starts, because addresses change while a router lies in a drawer.

use core::net::SocketAddr;

use proto_core::key::PublicKey;
use proto_core::netlink::wireguard::{PeerChange, SetEncoder};
use proto_core::protocol::config::{Host, Record};
use proto_core::protocol::message::{Name, Subject, cut};

use crate::bytes::{put as put_field, put_text, take, text};
use crate::config::image::{Records, Span};
use crate::fault::{Fault, Slot};
use crate::kernel::exchange::{Kernel, SET};
use crate::kernel::write::{flush, put};
use crate::system::{File, NetlinkSocket};

/// interface, key, port, name, and whether it is done, with the lengths of both texts
const ENTRY: usize = 1 + 15 + 32 + 2 + 1 + 253 + 1;
const DONE_AT: u32 = (ENTRY - 1) as u32;

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
    done: bool,
}

/// The endpoints that are to be looked up.
#[derive(Debug)]
pub struct Hosts<F> {
    file: F,
    /// How many entries there are, and how many of them are not done.
    len: u32,
    left: u32,
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
        put_field(&mut bytes, &mut at, &[u8::from(self.done)]);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let interface = text(&mut rest, 15)?.parse().ok()?;
        let peer = PublicKey(*take(&mut rest)?);
        let port = u16::from_le_bytes(*take(&mut rest)?);
        let name = cut(text(&mut rest, 253)?);
        let [done] = *take(&mut rest)?;
        Some(Self { interface, peer, host: Host { name, port }, done: done != 0 })
    }
}

impl<F: File> Hosts<F> {
    /// None yet, in `file`.
    pub const fn new(file: F) -> Self {
        let flights = [Flight::Free; AT_ONCE];
        Self { file, len: 0, left: 0, next: 0, flights, due: 0, wait: AGAIN.0 }
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
        (self.left > 0 && free).then_some(self.due)
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

    fn done(&mut self, n: u32) {
        // One that cannot be noted is looked up once more.
        let _ = self.file.write_at(Self::place(n).saturating_add(DONE_AT), &[1]);
        self.left = self.left.saturating_sub(1);
    }

    /// Forgets those of an interface. What is left moves to the beginning of the file.
    pub fn forget(&mut self, interface: &str) {
        let (mut to, mut next) = (0_u32, 0);
        for n in 0..self.len {
            let kept = self.entry(n).filter(|e| !e.done && e.interface != interface);
            // One that cannot be written is as lost as one that cannot be read.
            let kept = kept.is_some_and(|entry| {
                to == n || self.file.write_at(Self::place(to), &entry.to_bytes()).is_ok()
            });
            let now = if kept { Flight::Entry(to) } else { Flight::Gone };
            for flight in self.flights.iter_mut().filter(|flight| **flight == Flight::Entry(n)) {
                *flight = now;
            }
            to = to.saturating_add(u32::from(kept));
            if n < self.next {
                next = to;
            }
        }
        (self.len, self.left, self.next) = (to, to, next);
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
                Record::Peer(peer) if all || peer.endpoint.is_none() => {
                    last = Some(peer.public_key);
                }
                Record::Peer(_) => last = None,
                Record::Host(host) => {
                    let Some(peer) = last else { continue };
                    let (interface, host) = (*interface, host.clone());
                    let wanted = Wanted { interface, peer, host, done: false };
                    let written = self.file.write_at(Self::place(self.len), &wanted.to_bytes());
                    written.map_err(|errno| slot.storage(errno))?;
                    self.len = self.len.saturating_add(1);
                    self.left = self.left.saturating_add(1);
                    (self.due, self.wait) = (now, AGAIN.0);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The next one that is to be looked up, and its number for [`Hosts::found`]: there are [`AT_ONCE`].
    #[inline(never)]
    pub fn next(&mut self, now: u64) -> Option<(usize, Host)> {
        if self.left == 0 || now < self.due {
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
            if let Some(wanted) = self.entry(n).filter(|wanted| !wanted.done) {
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

    /// What came of looking it up: the endpoint is set, if there is an address. What was said, if that was not
    /// nothing.
    ///
    /// # Errors
    /// What the kernel said; then it is tried again with the others.
    pub fn found<N: NetlinkSocket>(
        &mut self,
        kernel: &mut Kernel<'_, N>,
        set: &mut [u8; SET],
        number: usize,
        address: Option<SocketAddr>,
    ) -> Result<Option<(Wanted, SocketAddr)>, Fault> {
        let flight = self.flights.get_mut(number);
        let flight = flight.map(|flight| core::mem::replace(flight, Flight::Free));
        let Some(Flight::Entry(n)) = flight else { return Ok(None) };
        let wanted = self.entry(n).filter(|wanted| !wanted.done);
        let (Some(wanted), Some(address)) = (wanted, address) else { return Ok(None) };
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
        self.done(n);
        Ok(Some((wanted, address)))
    }
}

impl Wanted {
    /// The interface of the peer.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Memory, record_bytes};
    use proto_core::protocol::config::Peer;
    use proto_core::protocol::message::cut;

    fn image(interface: &str, names: &[(&str, bool)]) -> Vec<u8> {
        let mut image = Vec::new();
        for (n, (name, known)) in (0..).zip(names) {
            let endpoint = known.then(|| "192.0.2.1:5".parse().unwrap());
            let peer = Peer {
                public_key: PublicKey([n; 32]),
                preshared_key: None,
                endpoint,
                persistent_keepalive: 0,
            };
            let host = Host { name: cut(name), port: 7 };
            let _ = interface;
            for record in [Record::Peer(peer), Record::Host(host)] {
                image.extend(record_bytes(&record));
            }
        }
        image
    }

    fn take(hosts: &mut Hosts<Memory>, interface: &str, names: &[(&str, bool)], all: bool) {
        let mut file = Memory::default();
        let image = image(interface, names);
        file.write_at(0, &image).unwrap();
        let span = Span { from: 0, end: image.len() as u32 };
        hosts
            .take(&Slot::default(), &interface.parse().unwrap(), (&mut file, span), all, 0)
            .unwrap();
    }

    /// Looks the next one up, in vain.
    fn fail(hosts: &mut Hosts<Memory>, now: u64) -> Option<String> {
        let (number, host) = hosts.next(now)?;
        hosts.flights[number] = Flight::Free;
        Some(host.name.as_str().to_owned())
    }

    #[test]
    fn what_the_bench_has_found_is_not_looked_up_after_a_push() {
        let mut hosts = Hosts::new(Memory::default());
        take(&mut hosts, "wg0", &[("a", true), ("b", false)], false);
        assert_eq!((hosts.left(), fail(&mut hosts, 0).as_deref()), (1, Some("b")));
        take(&mut hosts, "wg0", &[("a", true), ("b", false)], true);
        assert_eq!(hosts.left(), 2);
    }

    #[test]
    fn what_is_left_is_tried_again_after_a_while_that_grows() {
        let mut hosts = Hosts::new(Memory::default());
        take(&mut hosts, "wg0", &[("a", false), ("b", false)], true);
        take(&mut hosts, "wg1", &[("c", false)], true);
        let mut now = 0;
        for wait in [5_000, 10_000, 20_000] {
            for name in ["a", "b", "c"] {
                assert_eq!(fail(&mut hosts, now).as_deref(), Some(name));
            }
            assert_eq!(fail(&mut hosts, now), None);
            assert_eq!(hosts.deadline(), Some(now + wait));
            now += wait;
        }
        hosts.forget("wg0");
        assert_eq!(fail(&mut hosts, now).as_deref(), Some("c"));
        hosts.forget("wg1");
        assert_eq!((hosts.deadline(), hosts.len), (None, 0));
    }

    #[test]
    fn a_change_of_the_network_is_a_reason_to_try_again_soon() {
        let mut hosts = Hosts::new(Memory::default());
        take(&mut hosts, "wg0", &[("a", false)], true);
        let mut now = 0;
        for _ in 0..6 {
            assert_eq!(fail(&mut hosts, now).as_deref(), Some("a"));
            assert_eq!(fail(&mut hosts, now), None);
            now = hosts.deadline().unwrap();
        }
        assert_eq!(fail(&mut hosts, now).as_deref(), Some("a"));
        assert_eq!(fail(&mut hosts, now), None);
        assert_eq!(hosts.deadline(), Some(now + 60_000));
        for _ in 0..3 {
            hosts.wake(now);
            assert_eq!(hosts.deadline(), Some(now + 1_000));
        }
        now += 1_000;
        assert_eq!(fail(&mut hosts, now).as_deref(), Some("a"));
        assert_eq!(fail(&mut hosts, now), None);
        assert_eq!(hosts.deadline(), Some(now + 5_000));
    }

    #[test]
    fn a_name_that_no_server_answers_for_holds_up_no_other() {
        let mut hosts = Hosts::new(Memory::default());
        let names = ["a", "b", "c", "d", "e"].map(|name| (name, false));
        take(&mut hosts, "wg0", &names, true);
        let begun: Vec<_> = (0..AT_ONCE).map(|_| hosts.next(0).unwrap()).collect();
        assert!(hosts.next(0).is_none() && hosts.deadline().is_none());
        // Only the first is never answered.
        for (number, _) in &begun[1..] {
            hosts.flights[*number] = Flight::Free;
        }
        assert_eq!(fail(&mut hosts, 0).as_deref(), Some("e"));
        assert_eq!(hosts.next(0), None);
        for name in ["b", "c", "d", "e"] {
            assert_eq!(fail(&mut hosts, 5_000).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_is_looked_up_while_a_push_comes_stays_with_its_entry() {
        let mut hosts = Hosts::new(Memory::default());
        take(&mut hosts, "wg0", &[("a", false), ("b", false)], true);
        take(&mut hosts, "wg1", &[("c", false)], true);
        assert!(["a", "b", "c"].map(|_| hosts.next(0).unwrap().0) == [0, 1, 2]);
        take(&mut hosts, "wg0", &[("d", false)], true);
        assert_eq!(hosts.flights[..3], [Flight::Gone, Flight::Gone, Flight::Entry(0)]);
        assert_eq!((hosts.left(), hosts.next(0).unwrap().1.name.as_str()), (2, "d"));
    }

    #[test]
    fn the_file_does_not_grow_with_each_push_beside_a_name_that_never_resolves() {
        let mut hosts = Hosts::new(Memory::default());
        take(&mut hosts, "wg0", &[("never", false)], true);
        for _ in 0..1_000 {
            take(&mut hosts, "wg1", &[("a", false), ("b", false)], true);
        }
        assert_eq!((hosts.len, hosts.left()), (3, 3));
        assert_eq!(hosts.file.0.borrow().len(), 3 * ENTRY);
        let names = [(); 3].map(|()| fail(&mut hosts, 0).unwrap());
        assert_eq!(names, ["never", "a", "b"]);
    }
}
