//! Where packets come in: who is not known stays outside.
//!
//! ```text
//! packet -> shape, mac1 -> limits -> handshake -> a session that waits
//!                                                      |  its first good packet
//! packet ------------------------------------------> session -> service
//! ```
//!
//! Nothing is answered to anybody who does not know the router's public key, with one exception: a router
//! that nobody owns tells its key to whoever is on its serial line, or knows the secret on its label. A
//! handshake alone does nothing: the session it makes takes the place of another one only when a packet has
//! come through it.

use core::fmt;
use core::net::SocketAddr;

use heapless::Vec;
use proto_core::key::{PublicKey, SecretKey};
use proto_core::protocol::MAX_PACKET;
use proto_core::protocol::config::Host;
use proto_core::protocol::session::{
    Channel, Cookie, Gatekeys, INITIATION, Initiation, SEEK, SESSION_LIFE, Seek, StaticKey,
    TO_ROUTER, Wire, fingerprint, receiver,
};
use zeroize::Zeroize;

use crate::limits::{self, Limits, Verdict};
use crate::owners::{Ownership, Standing};
use crate::service::{Outlet, SCRATCH, Service, Visitor};
use crate::system::{Disk, Machine, NetlinkSocket};

/// How many sessions there are at most, and how many that have not proved themselves.
const SESSIONS: usize = 8;
const WAITING: usize = 4;
/// How long a secret that cookies are made from is used, in milliseconds. The last one counts as long
/// again.
const COOKIE_LIFE: u64 = 120_000;

/// Where a packet came from.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Over what.
    pub wire: Wire,
    /// Address and port: other bytes for each. Zeros for a serial line.
    pub address: [u8; 18],
}

impl Source {
    /// The serial line.
    pub const SERIAL: Self = Self { wire: Wire::Serial, address: [0; 18] };

    fn limited(&self) -> limits::Source {
        let [v6 @ .., _, _, _, _, _, _, _, _, _, _] = self.address;
        match self.address {
            // An IPv4 address as IPv6 maps it.
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d, _, _] => {
                [a, b, c, d, 0, 0, 0, 1]
            }
            _ => v6,
        }
    }
}

/// Somebody's session.
#[derive(Debug)]
struct Session {
    channel: Channel,
    key: PublicKey,
    wire: Wire,
    nth: u32,
    /// When the handshake was.
    since: u64,
    /// When the last packet came.
    heard: u64,
    /// No packet has come through it yet.
    waiting: bool,
}

/// What cookies are made from.
#[derive(Debug, Default)]
struct Bakery {
    secret: [u8; 32],
    last: [u8; 32],
    since: Option<u64>,
}

impl Bakery {
    /// Changes the secret when it is time. Without random numbers it stays.
    fn freshen(&mut self, machine: &dyn Machine) {
        let now = machine.now();
        if self.since.is_none_or(|since| now.saturating_sub(since) >= COOKIE_LIFE) {
            let mut secret = [0; 32];
            if machine.random(&mut secret).is_ok() {
                let first = self.since.replace(now).is_none();
                self.last = if first { secret } else { self.secret };
                self.secret = secret;
            }
        }
    }
}

/// The agent with its door.
#[derive(Debug)]
pub struct Door<'b, N, D: Disk, M> {
    service: Service<'b, N, D, M>,
    ownership: Ownership<'b>,
    /// The router's own key, and what initiations are checked with; `None` until it could be read.
    identity: Option<(StaticKey, Gatekeys)>,
    limits: Limits,
    bakery: Bakery,
    /// Those that have proven themselves and those that wait to, each no more than their number.
    sessions: Vec<Session, { SESSIONS + WAITING }>,
    /// How many sessions there were.
    opened: u32,
}

/// The way back through a session.
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

    fn from(&self) -> &dyn fmt::Display {
        self.outlet.from()
    }
}

/// Wipes what the functions that were called before left on the stack: deeper than any of them goes.
#[inline(never)]
fn wipe_stack() {
    let mut dead = [0_u8; 32 * 1024];
    dead.zeroize();
}

impl<'b, N: NetlinkSocket, D: Disk, M: Machine + Copy> Door<'b, N, D, M> {
    /// A door with nobody behind it, that is shut until the router knows its own key.
    #[must_use]
    #[inline(never)]
    pub fn new(service: Service<'b, N, D, M>, ownership: Ownership<'b>) -> Self {
        Self {
            service,
            ownership,
            identity: None,
            limits: Limits::default(),
            bakery: Bakery::default(),
            sessions: Vec::new(),
            opened: 0,
        }
    }

    /// Opens the door: from now on the router has this key.
    pub fn identify(&mut self, identity: StaticKey) {
        let public = identity.public();
        let (shown, machine) = (fingerprint(&public), self.service.machine());
        match self.ownership.len() {
            _ if self.ownership.trouble().is_some() => {
                machine.log(format_args!("this router is {shown}"));
            }
            0 => machine.log(format_args!("this router is {shown}; nobody owns it yet")),
            owners => machine.log(format_args!("this router is {shown}; owners: {owners}")),
        }
        self.identity = Some((identity, Gatekeys::of(&public)));
    }

    /// Whether the router knows its own key.
    #[must_use]
    pub const fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// Whose the router is.
    #[must_use]
    pub const fn ownership(&self) -> &Ownership<'b> {
        &self.ownership
    }

    /// The same, to change it.
    pub const fn ownership_mut(&mut self) -> &mut Ownership<'b> {
        &mut self.ownership
    }

    /// Does what there is to do before anybody comes.
    pub fn start(&mut self) {
        self.service.start();
        wipe_stack();
    }

    /// As [`Service::next_host`].
    pub fn next_host(&mut self) -> Option<(usize, Host)> {
        self.service.next_host()
    }

    /// As [`Service::found`].
    pub fn found(&mut self, number: usize, address: Option<SocketAddr>) {
        self.service.found(number, address);
        wipe_stack();
    }

    /// When there is something to do though nothing arrives.
    pub fn deadline(&self) -> Option<u64> {
        self.service.deadline()
    }

    /// Does what is due.
    pub fn tick(&mut self) {
        let now = self.machine().now();
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.service.tick();
            wipe_stack();
        }
    }

    /// The machine, for the loop around this.
    pub const fn machine(&self) -> &M {
        self.service.machine()
    }

    /// Takes note of something that is no packet.
    pub fn garbage(&mut self) {
        let garbage = &mut self.service.counters.garbage;
        *garbage = garbage.saturating_add(1);
    }

    /// Takes note of so many bytes outside frames.
    pub fn text(&mut self, len: usize) {
        let text = &mut self.service.counters.text;
        *text = text.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
    }

    /// Takes a packet, and sends what there is to answer.
    pub fn packet(&mut self, packet: &[u8], source: &Source, outlet: &mut dyn Outlet) {
        let taken = match packet.first() {
            Some(&TO_ROUTER) => self.message(packet, source, outlet),
            Some(&INITIATION) => self.initiation(packet, source, outlet),
            Some(&SEEK) => self.seek(packet, source, outlet),
            _ => None,
        };
        if taken.is_none() {
            self.garbage();
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
            self.make_room(false);
        }
        let session = self.sessions.iter_mut().find(is_its)?;
        (session.heard, session.waiting) = (now, false);
        self.ownership.refresh();
        let mut visitor = Visitor {
            key: session.key,
            standing: self.ownership.standing(&session.key, session.wire),
            wire: session.wire,
            nth: session.nth,
            newest: self.opened,
            handshake_hash: *session.channel.handshake_hash(),
            ownership: &mut self.ownership,
        };
        let mut outlet = Sealed { channel: &mut session.channel, outlet };
        let request = plain.get(..len).unwrap_or_default();
        let keys = self.service.packet(request, &mut visitor, &mut outlet);
        // It may have been a piece with keys in it.
        plain.zeroize();
        if keys {
            wipe_stack();
        }
        Some(())
    }

    /// Makes room for one more session, of those that wait or of the others: the one that was heard of longest
    /// ago goes.
    fn make_room(&mut self, waiting: bool) {
        let (mut count, mut oldest, mut heard) = (0_usize, 0, u64::MAX);
        for (at, session) in self.sessions.iter().enumerate() {
            if session.waiting == waiting {
                count = count.saturating_add(1);
                if session.heard < heard {
                    (oldest, heard) = (at, session.heard);
                }
            }
        }
        if count >= if waiting { WAITING } else { SESSIONS } {
            self.sessions.swap_remove(oldest);
        }
    }

    fn greet(&self, key: &PublicKey, from: &dyn fmt::Display) {
        let owners = self.ownership.owners();
        let name = owners.iter().find(|owner| owner.key == *key);
        let name = name.map_or("nobody yet", |owner| &owner.name);
        let key = fingerprint(key);
        self.service.machine().log(format_args!("{from}: a session of {name}, key {key}"));
    }

    /// Somebody who knows the router's public key wants a session.
    #[inline(never)]
    fn initiation(
        &mut self,
        packet: &[u8],
        source: &Source,
        outlet: &mut dyn Outlet,
    ) -> Option<()> {
        let (identity, gatekeys) = self.identity.as_ref()?;
        let initiation = Initiation::parse(packet, gatekeys)?;
        let machine = self.service.machine();
        let now = machine.now();
        let mut out = [0; SCRATCH];
        if source.wire == Wire::Udp {
            self.bakery.freshen(machine);
            let cookie = |secret| Cookie::of(secret, &source.address);
            let fresh = cookie(&self.bakery.secret);
            let proven = !initiation.is_bare();
            if proven
                && !initiation.has_cookie(&fresh)
                && !initiation.has_cookie(&cookie(&self.bakery.last))
            {
                return None;
            }
            match self.limits.handshake(source.limited(), proven, now) {
                Verdict::Work => {}
                Verdict::Cookie => {
                    let len = initiation.cookie_reply(&fresh, gatekeys, &mut out)?;
                    outlet.send(&mut out, len);
                    return Some(());
                }
                Verdict::Drop => return None,
            }
        }
        let mut ephemeral = SecretKey::ZERO;
        machine.random(ephemeral.as_mut_bytes()).ok()?;
        let opened = initiation.open(identity, source.wire, &ephemeral)?;
        drop(ephemeral);
        self.ownership.refresh();
        let (key, wire) = (opened.client, source.wire);
        if self.ownership.standing(&key, wire) == Standing::Stranger
            || !self.ownership.is_new(&key, opened.stamp)
        {
            return None;
        }
        let (len, channel) = opened.respond(&mut out)?;
        self.opened = self.opened.wrapping_add(1);
        let nth = self.opened;
        self.make_room(true);
        let (since, heard) = (now, now);
        let session = Session { channel, key, wire, nth, since, heard, waiting: true };
        let _ = self.sessions.push(session);
        outlet.send(&mut out, len);
        Some(())
    }

    /// Somebody looks for a router that nobody owns.
    #[inline(never)]
    fn seek(&mut self, packet: &[u8], source: &Source, outlet: &mut dyn Outlet) -> Option<()> {
        let (identity, _) = self.identity.as_ref()?;
        self.ownership.refresh();
        if !self.ownership.is_empty() {
            return None;
        }
        let seek = Seek::parse(packet)?;
        let label = self.ownership.label().filter(|label| seek.knows(label));
        if source.wire == Wire::Udp && label.is_none() {
            return None;
        }
        let mut out = [0; SCRATCH];
        let len = seek.answer(&identity.public(), label, &mut out)?;
        outlet.send(&mut out, len);
        Some(())
    }
}

#[cfg(test)]
mod tests;
