//! Where packets arrive: an unauthenticated sender gets no further.
//!
//! ```text
//! packet -> shape, mac1 -> limits -> handshake -> a session that waits
//!                                                      |  its first good packet
//! packet ------------------------------------------> session -> service
//! ```
//!
//! A sender that does not know the router's public key gets no answer, with one exception: an unowned router tells
//! its public key to any sender on its serial line, and to a sender over UDP that knows the secret on the label. A
//! handshake alone changes nothing: its session replaces an older one only after its first valid packet.
//!
//! The kernel drops most unwanted datagrams before they arrive here: [`crate::access::filter`] is that program, and
//! `Door::sift` decides its contents.
//!
//! Here are the sessions. Handshakes are in `handshake`, their cookies in `cookies`, and the console on this router
//! in `person`.

mod cookies;
mod handshake;
#[cfg(feature = "console")]
mod person;
mod source;

use core::fmt;
use core::net::SocketAddr;

use heapless::Vec;
use proto_core::key::PublicKey;
use proto_core::protocol::MAX_PACKET;
use proto_core::protocol::config::Host;
use proto_core::protocol::message::Name;
use proto_core::protocol::session::{
    Channel, Gatekeys, INITIATION, MAX_INITIATIONS, SEEK, SESSION_LIFE, StaticKey, TO_ROUTER, Wire,
    fingerprint, receiver,
};
use zeroize::Zeroize;

use crate::access::filter::{Program, Rules};
use crate::access::limits::Limits;
use crate::access::owners::{Ownership, Standing};
use crate::access::sieve::Sieve;
use crate::options::OnDrift;
use crate::requests::service::{Outlet, SCRATCH, Service, Visitor};
use crate::store::trouble::Trouble;
use crate::system::{Machine, System, sooner};
use cookies::CookieSecrets;
pub use source::Source;

/// The most sessions that have proved themselves (more than there can be owners), and the most that have not.
const SESSIONS: usize = 20;
const WAITING: usize = MAX_INITIATIONS;
/// Both together.
pub(crate) const MOST_SESSIONS: usize = SESSIONS + WAITING;
/// Number of wrong proofs of the label's secret that end a session.
const WRONG_PROOFS: u8 = 3;
/// Number of owners' initiations that are remembered, so that a repeated initiation gets no answer.
const INITIATIONS: usize = 32;
/// A session, with what the door knows of its client.
#[derive(Debug)]
struct Session {
    channel: Channel,
    key: PublicKey,
    wire: Wire,
    nth: u32,
    /// Time of the handshake.
    since: u64,
    /// Time of the last packet.
    heard: u64,
    /// No packet of this session has arrived yet.
    waiting: bool,
    /// Number of refused claims in this session.
    wrong: u8,
}

/// The agent with its door.
#[derive(Debug)]
pub struct Door<'b, S: System> {
    service: Service<'b, S>,
    ownership: Ownership<'b>,
    /// The router's own key, and what initiations are checked with; `None` until it could be read.
    identity: Option<(StaticKey, Gatekeys)>,
    limits: Limits,
    sieve: Sieve,
    cookies: CookieSecrets,
    /// Proven and unproven sessions together, each kind up to its own limit.
    sessions: Vec<Session, MOST_SESSIONS>,
    /// Digests of owners' initiations that were accepted or answered. The oldest is replaced first.
    initiations: [u64; INITIATIONS],
    initiated: usize,
    /// Whether the kernel's filter is out of date.
    sifted: bool,
    /// Number of sessions so far.
    opened: u32,
}

/// Sends replies through a session.
struct Sealed<'s> {
    channel: &'s mut Channel,
    outlet: &'s mut dyn Outlet,
}

impl Outlet for Sealed<'_> {
    fn send(&mut self, packet: &mut [u8; SCRATCH], len: usize) {
        let mut sealed = [0; SCRATCH];
        let plain = packet.get(..len).unwrap_or_default();
        if let Some(len) = self.channel.seal(plain, &mut sealed) {
            self.outlet.send(&mut sealed, len);
        }
    }

    fn in_flight(&self) -> u32 {
        self.outlet.in_flight()
    }

    fn is_behind(&mut self) -> bool {
        self.outlet.is_behind()
    }

    fn from(&self) -> &dyn fmt::Display {
        self.outlet.from()
    }
}

/// Wipes the stack below the caller, deeper than any function that was called before reaches.
fn wipe_stack() {
    crate::wipe::stack::<{ 4 * 1024 }>();
}

impl<'b, S: System> Door<'b, S> {
    /// A door without sessions, which drops every packet until the router's own key is loaded.
    #[must_use]
    #[inline(never)]
    pub fn new(service: Service<'b, S>, ownership: Ownership<'b>) -> Self {
        Self {
            service,
            ownership,
            identity: None,
            limits: Limits::default(),
            sieve: Sieve::default(),
            cookies: CookieSecrets::default(),
            sessions: Vec::new(),
            initiations: [0; INITIATIONS],
            initiated: 0,
            sifted: false,
            opened: 0,
        }
    }

    /// Sets the router's own key; from now on handshakes are accepted.
    pub fn identify(&mut self, identity: StaticKey) {
        let public = identity.public();
        let (shown, machine) = (fingerprint(&public), self.service.machine());
        match self.ownership.len() {
            _ if self.ownership.trouble().is_some() => {
                machine.info(format_args!("this router is {shown}"));
            }
            0 => machine.info(format_args!("this router is {shown}; it has no owner yet")),
            owners => machine.info(format_args!("this router is {shown}; owners: {owners}")),
        }
        self.identity = Some((identity, Gatekeys::of(&public)));
    }

    /// Whether the router's own key is loaded.
    #[must_use]
    pub const fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// The router's owners.
    #[must_use]
    pub const fn ownership(&self) -> &Ownership<'b> {
        &self.ownership
    }

    /// The router's owners, to change them.
    pub const fn ownership_mut(&mut self) -> &mut Ownership<'b> {
        // The label may have been set: `SEEK` may have to pass.
        self.sifted = false;
        &mut self.ownership
    }

    /// The service, for tests that are a client of another session.
    #[cfg(test)]
    pub(crate) const fn service_mut(&mut self) -> &mut Service<'b, S> {
        &mut self.service
    }

    /// Applies the stored configurations, before requests are served.
    pub fn start(&mut self) {
        self.service.begin_to_work();
        wipe_stack();
    }

    /// As [`Service::is_starting`].
    pub const fn is_starting(&self) -> bool {
        self.service.is_starting()
    }

    /// As [`Service::end`].
    pub fn end(&mut self) {
        self.service.end();
    }

    /// As [`Service::trouble`].
    pub const fn trouble(&mut self) -> &mut Trouble {
        self.service.trouble()
    }

    /// As [`Service::watch`].
    pub fn watch(&mut self, on: OnDrift) {
        self.service.watch(on);
    }

    /// As [`Service::notified`].
    pub fn notified(&mut self, datagram: &[u8], full_len: usize, sender: u32) {
        self.service.notified(datagram, full_len, sender);
    }

    /// As [`Service::next_told`].
    pub fn next_told(&mut self) -> Option<(Name, &'static str)> {
        self.service.next_told()
    }

    /// As [`Service::next_host`].
    pub fn next_host(&mut self) -> Option<(usize, Host)> {
        let started = self.machine().now();
        let host = self.service.next_host();
        self.service.took("next host", started);
        host
    }

    /// As [`Service::found`].
    pub fn found(&mut self, number: usize, address: Option<SocketAddr>) {
        let started = self.machine().now();
        self.service.found(number, address);
        self.service.took("host found", started);
        wipe_stack();
    }

    /// Time of the next timer.
    pub fn deadline(&self) -> Option<u64> {
        sooner(self.service.deadline(), self.sieve.deadline())
    }

    /// Runs the timers that are due.
    pub fn tick(&mut self) {
        let now = self.machine().now();
        let due = |deadline: Option<u64>| deadline.is_some_and(|deadline| now >= deadline);
        if due(self.sieve.deadline()) {
            self.sifted &= !self.sieve.tick(now);
        }
        if due(self.service.deadline()) {
            self.service.tick();
            wipe_stack();
        }
        self.service.took("tick", now);
    }

    /// Gives the kernel a new packet filter for UDP if the present one is out of date.
    #[inline(never)]
    pub fn sift(&mut self, sift: &mut dyn FnMut(Option<&Program>)) {
        if core::mem::replace(&mut self.sifted, true) {
            return;
        }
        let mut sessions = Vec::<u32, MOST_SESSIONS>::new();
        for session in self.sessions.iter().filter(|session| session.wire == Wire::Udp) {
            let _ = sessions.push(session.channel.local());
        }
        let seek = self.ownership.label_is_good();
        let program = self.sieve.program(&Rules {
            sessions: &sessions,
            seek,
            tokens: self.cookies.tokens,
            denied: [&[], &[]],
            friends: &[],
            keep: [u32::MAX; 2],
        });
        sift(program.as_ref());
    }

    /// Asks for the packet filter again: a socket was opened that has none.
    pub const fn sift_again(&mut self) {
        self.sifted = false;
    }

    /// The machine, for the loop around this.
    pub const fn machine(&self) -> &'b S::Machine {
        self.service.machine()
    }

    /// Counts an arrival that is not a packet.
    pub fn garbage(&mut self) {
        let garbage = &mut self.service.counters.garbage;
        *garbage = garbage.saturating_add(1);
    }

    /// Counts bytes outside frames.
    pub fn text(&mut self, len: usize) {
        let text = &mut self.service.counters.text;
        *text = text.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
    }

    /// Handles a packet and sends the answer, if there is one.
    pub fn packet(&mut self, packet: &[u8], source: &Source, outlet: &mut dyn Outlet) {
        let started = self.machine().now();
        let taken = match packet.first() {
            Some(&TO_ROUTER) => self.message(packet, source, outlet),
            Some(&INITIATION) => self.initiation(packet, source, outlet),
            Some(&SEEK) => self.seek(packet, source, outlet),
            _ => None,
        };
        if taken.is_none() {
            self.garbage();
        }
        // The service has measured the request under its own name; this measures the whole packet.
        self.service.took("packet", started);
        if source.wire == Wire::Udp {
            self.sift(&mut |program| outlet.sift(program));
        }
    }

    /// A packet of a session.
    #[inline(never)]
    fn message(&mut self, packet: &[u8], source: &Source, outlet: &mut dyn Outlet) -> Option<()> {
        let now = self.service.machine().now();
        let (_, receiver) = receiver(packet)?;
        let is_over = |session: &Session| now.saturating_sub(session.since) >= SESSION_LIFE;
        while let Some(over) = self.sessions.iter().position(is_over) {
            self.sessions.swap_remove(over);
        }
        let is_its = |session: &&mut Session| {
            session.channel.local() == receiver && session.wire == source.wire
        };
        let mut plain = [0; MAX_PACKET];
        let session = self.sessions.iter_mut().find(is_its)?;
        let len = session.channel.open(packet, &mut plain)?;
        if session.waiting {
            let key = session.key;
            self.greet(&key, outlet.from());
            self.make_room(false, &key);
            if source.wire == Wire::Udp && self.sieve.befriend(source.origin()) {
                self.sifted = false;
            }
        }
        let session = self.sessions.iter_mut().find(is_its)?;
        (session.heard, session.waiting) = (now, false);
        self.ownership.refresh();
        let seek = self.ownership.label_is_good();
        let mut visitor = Visitor {
            key: session.key,
            standing: self.ownership.standing(&session.key, session.wire),
            wire: session.wire,
            nth: session.nth,
            newest: self.opened,
            handshake_hash: *session.channel.handshake_hash(),
            router: self.identity.as_ref().map_or(session.key, |(identity, _)| identity.public()),
            rejected: false,
            ownership: &mut self.ownership,
        };
        let mut outlet = Sealed { channel: &mut session.channel, outlet };
        let request = plain.get(..len).unwrap_or_default();
        let keys = self.service.packet(request, &mut visitor, &mut outlet);
        if visitor.rejected {
            session.wrong = session.wrong.saturating_add(1);
            if session.wrong >= WRONG_PROOFS {
                // More guesses need another handshake, and the number of handshakes is limited. The session is
                // removed at its next packet.
                session.since = now.saturating_sub(SESSION_LIFE);
            }
            if self.limits.line(now) {
                let (from, key) = (outlet.from(), fingerprint(&session.key));
                let machine = self.service.machine();
                machine.log(format_args!("{from}: key {key} does not know the label's secret"));
            }
        }
        self.sifted &= seek == self.ownership.label_is_good();
        // The packet may have carried keys.
        plain.zeroize();
        if keys {
            wipe_stack();
        }
        Some(())
    }

    /// Makes room for a session of `key`, among the unproven sessions or among the proven ones. If there is no room,
    /// one session is dropped: of a client that is no longer an owner, else of the key with the most sessions; among
    /// those, the one idle for longest.
    #[inline(never)]
    fn make_room(&mut self, waiting: bool, key: &PublicKey) {
        let same = || self.sessions.iter().filter(|session| session.waiting == waiting);
        if same().count() < if waiting { WAITING } else { SESSIONS } {
            return;
        }
        let rank = |session: &Session| {
            let of_key = same().filter(|other| other.key == session.key).count();
            let more = of_key.saturating_add(usize::from(session.key == *key));
            let standing = self.ownership.standing(&session.key, session.wire);
            (standing == Standing::Stranger, more, u64::MAX.saturating_sub(session.heard))
        };
        let ranked =
            self.sessions.iter().enumerate().filter(|(_, session)| session.waiting == waiting);
        let last = ranked.max_by_key(|(_, session)| rank(session)).map(|(at, _)| at);
        if let Some(last) = last {
            self.sessions.swap_remove(last);
        }
    }

    fn greet(&self, key: &PublicKey, from: &dyn fmt::Display) {
        let owners = self.ownership.owners();
        let name = owners.iter().find(|owner| owner.key == *key);
        let name = name.map_or("no owner yet", |owner| &owner.name);
        let key = fingerprint(key);
        self.service.machine().info(format_args!("{from}: a session of {name}, key {key}"));
    }
}

#[cfg(test)]
mod tests;
