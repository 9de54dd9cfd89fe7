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
//! `Door::filter` decides its contents.

use core::fmt;
use core::net::SocketAddr;

use heapless::Vec;
use proto_core::key::{PublicKey, SecretKey};
use proto_core::protocol::MAX_PACKET;
use proto_core::protocol::config::Host;
use proto_core::protocol::message::Name;
use proto_core::protocol::session::{
    Channel, Cookie, Gatekeys, INITIATION, Initiation, Opened, SEEK, SESSION_LIFE, Seek, StaticKey,
    TO_ROUTER, Wire, fingerprint, receiver,
};
use zeroize::Zeroize;

use crate::access::filter::{Origin, Program, Rules, TokenKey};
use crate::access::limits::{Limits, Verdict};
use crate::access::owners::{Ownership, Standing};
use crate::access::sieve::Sieve;
#[cfg(feature = "console")]
use crate::access::unlock::Unlock;
#[cfg(feature = "console")]
use crate::console::words::Need;
#[cfg(feature = "console")]
use crate::console::{NO_KEY, Person, Reply, Talk, Way};
#[cfg(feature = "console")]
use crate::led::Activity;
use crate::options::OnDrift;
#[cfg(feature = "console")]
use crate::requests::service::Counters;
use crate::requests::service::{Outlet, SCRATCH, Service, Visitor};
use crate::store::trouble::Trouble;
use crate::system::{Disk, Machine, NetlinkSocket, sooner};

/// The most sessions that have proved themselves (more than there can be owners), and the most that have not.
const SESSIONS: usize = 20;
const WAITING: usize = 4;
/// Milliseconds for which the LED shows a session after each of its packets.
#[cfg(feature = "console")]
const SESSION_SHOWN: u64 = 5_000;
/// Both together.
pub(crate) const MOST_SESSIONS: usize = SESSIONS + WAITING;
/// Number of wrong proofs of the label's secret that end a session.
const WRONG_PROOFS: u8 = 3;
/// Number of owners' initiations that are remembered, so that a repeated initiation gets no answer.
const INITIATIONS: usize = 32;
/// Lifetime of a cookie secret, in milliseconds. The previous secret stays valid for the same time.
const COOKIE_LIFE: u64 = 120_000;

/// Where a packet came from.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The kind of wire.
    pub wire: Wire,
    /// Address and port, as bytes that differ for each source. Zeros for a serial line.
    pub address: [u8; 18],
}

impl Source {
    /// The serial line.
    pub const SERIAL: Self = Self { wire: Wire::Serial, address: [0; 18] };

    /// The address and the port as 32-bit words, in the packet filter's order, and the number of words of the
    /// address.
    fn words(&self) -> ([u32; 5], usize) {
        let word = |at: usize| {
            let bytes = self.address.get(at..).and_then(|rest| rest.first_chunk());
            u32::from_be_bytes(*bytes.unwrap_or(&[0; 4]))
        };
        let [.., high, low] = self.address;
        let port = u16::from_be_bytes([high, low]).into();
        match (word(0), word(4), word(8)) {
            // An IPv4-mapped IPv6 address.
            (0, 0, 0xffff) => ([word(12), port, 0, 0, 0], 1),
            (first, second, third) => ([first, second, third, word(12), port], 4),
        }
    }

    fn origin(&self) -> Origin {
        match self.words() {
            ([address, ..], 1) => Origin { v4: true, net: [address, 0] },
            ([high, low, ..], _) => Origin { v4: false, net: [high, low] },
        }
    }
}

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

/// The cookie secrets: the newest, and the one before it.
#[derive(Debug, Default)]
struct Bakery {
    secrets: [[u8; 32]; 2],
    tokens: [TokenKey; 2],
    newest: bool,
    since: Option<u64>,
}

impl Bakery {
    /// Replaces the older secret when the newest has expired; without random numbers, both stay. Returns whether a
    /// secret changed.
    fn freshen(&mut self, machine: &dyn Machine) -> bool {
        let now = machine.now();
        if self.since.is_some_and(|since| now.saturating_sub(since) < COOKIE_LIFE) {
            return false;
        }
        let mut drawn = [0; 40];
        if machine.random(&mut drawn).is_err() {
            return false;
        }
        let first = self.since.replace(now).is_none();
        self.newest = !self.newest;
        let [secret @ .., a, b, c, d, e, f, g, h] = drawn;
        let token = TokenKey([[a, b, c, d], [e, f, g, h]].map(u32::from_le_bytes));
        for (at, (old_secret, old_token)) in
            self.secrets.iter_mut().zip(&mut self.tokens).enumerate()
        {
            if first || at == usize::from(self.newest) {
                (*old_secret, *old_token) = (secret, token);
            }
        }
        true
    }

    /// The cookie of an address, made with the secret of the given parity.
    fn cookie(&self, source: &Source, parity: bool) -> Cookie {
        let [even, odd] = &self.secrets;
        let secret = if parity { odd } else { even };
        Cookie::of(secret, &source.address, self.token(source, parity).to_be_bytes())
    }

    fn token(&self, source: &Source, parity: bool) -> u32 {
        let [even, odd] = self.tokens;
        let (words, len) = source.words();
        let words = words.get(..=len).unwrap_or_default();
        if parity { odd } else { even }.token(words, parity)
    }

    /// Whether an initiation carries a cookie that this address was given. The token tells an initiation without a
    /// cookie apart before anything is hashed.
    fn gave(&self, initiation: &Initiation<'_>, source: &Source) -> bool {
        let token = u32::from_be_bytes(initiation.token());
        let parity = token & 1 == 1;
        token == self.token(source, parity) && initiation.has_cookie(&self.cookie(source, parity))
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
    sieve: Sieve,
    bakery: Bakery,
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

impl<'b, N: NetlinkSocket, D: Disk, M: Machine + Copy> Door<'b, N, D, M> {
    /// A door without sessions, which drops every packet until the router's own key is loaded.
    #[must_use]
    #[inline(never)]
    pub fn new(service: Service<'b, N, D, M>, ownership: Ownership<'b>) -> Self {
        Self {
            service,
            ownership,
            identity: None,
            limits: Limits::default(),
            sieve: Sieve::default(),
            bakery: Bakery::default(),
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
    pub(crate) const fn service_mut(&mut self) -> &mut Service<'b, N, D, M> {
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

    /// What the agent is doing, the number of pushes that ended, and when that may change without an event.
    #[cfg(feature = "console")]
    #[must_use]
    pub fn activity(&self, now: u64) -> (Activity, u32, Option<u64>) {
        let (mut activity, mut until) = self.service.activity(now);
        if !self.has_identity() || self.ownership.trouble().is_some() {
            activity = activity.max(Activity::Trouble);
        }
        let proven = self.sessions.iter().filter(|session| !session.waiting);
        let shown = proven.map(|session| session.heard.saturating_add(SESSION_SHOWN)).max();
        if let Some(shown) = shown.filter(|shown| now < *shown) {
            activity = activity.max(Activity::Session);
            until = sooner(until, Some(shown));
        }
        let Counters { applied, failed, .. } = self.service.counters;
        (activity, applied.wrapping_add(failed), until)
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
            tokens: self.bakery.tokens,
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
    pub const fn machine(&self) -> &M {
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

    /// Executes a line of a console on this router, and writes its output into the first file; the
    /// second is for pasted text. A line on the socket is root's. A line on the serial port is that
    /// of the owner who opened the console with a code; of any person while the router is unowned;
    /// and otherwise of a guest.
    #[cfg(feature = "console")]
    #[inline(never)]
    pub fn console(
        &mut self,
        (line, whole): (&[u8], bool),
        talk: &mut Talk,
        unlock: Option<&mut Unlock>,
        from: &dyn fmt::Display,
        files: (&mut D::File, &mut D::File),
    ) -> Reply {
        let seek = self.ownership.label_is_good();
        let way = if unlock.is_some() { Way::Serial } else { Way::Socket };
        let mut unlock = unlock;
        let (key, standing) = self.console_standing(unlock.as_deref_mut());
        let identity = self.identity.as_ref().map(|(identity, _)| identity);
        let mut visitor = Visitor {
            key,
            standing,
            wire: Wire::Serial,
            // A person who types a command here and now has reached the router.
            nth: self.opened.wrapping_add(1),
            newest: self.opened,
            handshake_hash: [0; 32],
            router: identity.map_or(NO_KEY, StaticKey::public),
            rejected: false,
            ownership: &mut self.ownership,
        };
        let mut person = Person { visitor: &mut visitor, way, unlock, identity, from };
        let reply = self.service.console_line(line, whole, talk, &mut person, files);
        self.sifted &= seek == self.ownership.label_is_good();
        wipe_stack();
        reply
    }

    /// The person at a console of this router: root on the socket (without `unlock`), otherwise as
    /// the codes say.
    #[cfg(feature = "console")]
    fn console_standing(&mut self, unlock: Option<&mut Unlock>) -> (PublicKey, Standing) {
        let now = self.machine().now();
        self.ownership.refresh();
        match unlock {
            Some(unlock) if !self.ownership.is_empty() => {
                match unlock.standing(now, &mut self.ownership) {
                    Some((key, role)) => (key, Standing::Owner(role)),
                    None => (NO_KEY, Standing::Stranger),
                }
            }
            _ => (NO_KEY, Standing::Local),
        }
    }

    /// As [`Service::link_names`], for a console that may see them.
    #[cfg(feature = "console")]
    pub fn link_names(&mut self, unlock: Option<&mut Unlock>, take: &mut dyn FnMut(&str)) {
        let (_, standing) = self.console_standing(unlock);
        if Need::Look.allows(standing) {
            self.service.link_names(take);
        }
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

    /// A handshake initiation whose sender knows the router's public key.
    #[inline(never)]
    fn initiation(
        &mut self,
        packet: &[u8],
        source: &Source,
        outlet: &mut dyn Outlet,
    ) -> Option<()> {
        let (identity, gatekeys) = self.identity.as_ref()?;
        let machine = self.service.machine();
        let now = machine.now();
        let mut out = [0; SCRATCH];
        if source.wire == Wire::Udp {
            let proven = Initiation::shows_cookie(packet)?;
            self.sifted &= !self.sieve.note(source.origin(), proven, now)?;
        }
        let initiation = Initiation::parse(packet, gatekeys)?;
        if source.wire == Wire::Udp {
            self.sifted &= !self.bakery.freshen(machine);
            let proven = !initiation.is_bare();
            if proven && !self.bakery.gave(&initiation, source) {
                return None;
            }
            match self.limits.handshake(source.origin(), proven, now) {
                Verdict::Work => {}
                Verdict::Cookie => {
                    let fresh = self.bakery.cookie(source, self.bakery.newest);
                    let len = initiation.cookie_reply(&fresh, gatekeys, &mut out)?;
                    // The client sends the token back with the cookie.
                    self.sift(&mut |program| outlet.sift(program));
                    outlet.send(&mut out, len);
                    return Some(());
                }
                Verdict::Drop => return None,
            }
        }
        let mut ephemeral = SecretKey::ZERO;
        if machine.random(ephemeral.as_mut_bytes()).is_err() {
            // Early after power on. The client tries again; without a line in the log, nothing says why it has to.
            if self.limits.line(now) {
                machine.log(format_args!("no random numbers yet: a handshake is not answered"));
            }
            return None;
        }
        let opened = initiation.open(identity, source.wire, &ephemeral)?;
        drop(ephemeral);
        self.ownership.refresh();
        let (key, wire) = (opened.client, source.wire);
        if self.ownership.standing(&key, wire) == Standing::Stranger {
            return None;
        }
        let digest = initiation.digest();
        match self.ownership.take_stamp(&key, opened.stamp) {
            Ok(()) => self.remember(digest),
            Err(last) => return self.wrong_stamp(&opened, last, digest, &mut out, outlet),
        }
        let (len, channel) = opened.respond(&mut out)?;
        self.opened = self.opened.wrapping_add(1);
        let nth = self.opened;
        self.make_room(true, &key);
        let (since, heard) = (now, now);
        let session = Session { channel, key, wire, nth, since, heard, waiting: true, wrong: 0 };
        let _ = self.sessions.push(session);
        if wire == Wire::Udp {
            self.sifted = false;
            // The first packet of the session may already be in the socket's queue.
            self.sift(&mut |program| outlet.sift(program));
        }
        outlet.send(&mut out, len);
        Some(())
    }

    fn remember(&mut self, digest: u64) {
        if let Some(oldest) = self.initiations.get_mut(self.initiated) {
            *oldest = digest;
        }
        self.initiated = self.initiated.wrapping_add(1).checked_rem(INITIATIONS).unwrap_or(0);
    }

    /// Tells an owner the stamp that its next stamp has to follow, encrypted to that owner. A repeated initiation
    /// that is still remembered gets no answer; all other answers of this kind are rate limited.
    #[inline(never)]
    fn wrong_stamp(
        &mut self,
        opened: &Opened,
        last: u64,
        digest: u64,
        out: &mut [u8; SCRATCH],
        outlet: &mut dyn Outlet,
    ) -> Option<()> {
        let machine = self.service.machine();
        let repeated = last == opened.stamp || self.initiations.contains(&digest);
        if repeated || !self.limits.stamp(machine.now()) {
            return None;
        }
        let mut nonce = [0; 16];
        machine.random(&mut nonce).ok()?;
        let len = opened.wrong_stamp(last, &nonce, out)?;
        self.remember(digest);
        outlet.send(out, len);
        Some(())
    }

    /// A `SEEK`: a client looks for an unowned router.
    #[inline(never)]
    fn seek(&mut self, packet: &[u8], source: &Source, outlet: &mut dyn Outlet) -> Option<()> {
        let (identity, _) = self.identity.as_ref()?;
        let seek = Seek::parse(packet)?;
        let udp = source.wire == Wire::Udp;
        if udp {
            let now = self.service.machine().now();
            self.sifted &= !self.sieve.note(source.origin(), false, now)?;
            if !self.ownership.label_is_good() {
                return None;
            }
        }
        self.ownership.refresh();
        if !self.ownership.is_empty() {
            return None;
        }
        let label = self.ownership.label().filter(|label| seek.knows(label));
        if udp && label.is_none() {
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
