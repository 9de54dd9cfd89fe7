//! The look-up of one name.
//!
//! A and AAAA are queried together. Each server and attempt gets a new socket (and so a new source
//! port) and new ids. A server that does not answer, fails, refuses or denies the name is followed
//! by the next server; a name that a server denies is not queried in another round. A truncated
//! reply with an address is accepted; without an address it counts as a failure of the server. TCP
//! is not needed for the addresses of an endpoint.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use heapless::String;
use proto_core::text::split;

use super::files::{Machine, Settings, in_hosts, with_scope};
use super::message::{Answer, Kind, Query};

/// Milliseconds to wait for addresses of the other family after those of one family arrived.
const OTHER: u64 = 1_000;

/// The reason why a name has no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoAddress {
    /// The name does not exist, or has no address.
    Denied,
    /// No name server answered.
    Silent,
    /// The last name server that answered failed or refused.
    Failed,
}

/// The first address of each family: IPv4, IPv6. Their ports are 0.
pub type Found = [Option<SocketAddr>; 2];

/// The next step for the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Open a new socket, and send both of [`Lookup::queries`] to this server.
    Ask(SocketAddr),
    /// Wait for a datagram, or for this moment in milliseconds.
    Wait(u64),
    /// The look-up is over.
    End(Result<Found, NoAddress>),
}

/// A name that is being looked up.
#[derive(Clone, Debug)]
pub struct Lookup {
    name: String<254>,
    settings: Settings,
    /// The position of the next search domain. After the last domain the name is queried without
    /// one.
    domain: usize,
    round: u32,
    server: usize,
    /// The time until which the server may answer. `None` if the server has not been asked.
    due: Option<u64>,
    ids: [u16; 2],
    answers: [Option<Answer>; 2],
    denied: bool,
    failed: bool,
    end: Option<Result<Found, NoAddress>>,
}

impl Lookup {
    /// Starts a look-up. An address, or a name in `/etc/hosts`, is resolved at once.
    #[must_use]
    #[inline(never)]
    pub fn new(machine: &dyn Machine, name: &str) -> Self {
        let mut found = [None; 2];
        match with_scope(machine, name) {
            Some(address) => {
                if let Some(of) = found.get_mut(usize::from(address.is_ipv6())) {
                    *of = Some(address);
                }
            }
            None => found = in_hosts(machine, name),
        }
        let settings = Settings::read(machine);
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        let whole = name.ends_with('.') || dots >= settings.ndots as usize;
        let mut lookup = Self {
            name: name.try_into().unwrap_or_default(),
            domain: if whole { settings.search.len() } else { 0 },
            settings,
            round: 0,
            server: 0,
            due: None,
            ids: [0; 2],
            answers: [None; 2],
            denied: false,
            failed: false,
            end: (found != [None; 2]).then_some(Ok(found)),
        };
        if lookup.end.is_none() {
            lookup.skip_long();
        }
        lookup
    }

    /// The name to query: with a search domain, or without one.
    fn full_name(&self) -> Option<String<254>> {
        let mut name = self.name.clone();
        if let Some((domain, _)) =
            self.settings.search.get(self.domain..).and_then(|rest| split(rest, b' '))
        {
            name.push('.').ok()?;
            name.push_str(domain).ok()?;
        }
        Some(name)
    }

    fn query(&self, n: usize) -> Option<Query> {
        let kind = if n == 0 { Kind::A } else { Kind::Aaaa };
        Query::new(*self.ids.get(n)?, &self.full_name()?, kind)
    }

    /// Advances to a name that can be queried. A name with invalid labels cannot.
    fn skip_long(&mut self) {
        while self.query(0).is_none() && self.end.is_none() {
            self.next_domain();
        }
    }

    fn next_domain(&mut self) {
        match self.settings.search.get(self.domain..).and_then(|rest| split(rest, b' ')) {
            Some((domain, _)) => {
                self.domain = self.domain.saturating_add(domain.len()).saturating_add(1);
                (self.round, self.server, self.denied) = (0, 0, false);
            }
            None => self.end = Some(Err(NoAddress::Denied)),
        }
    }

    /// The two queries to send.
    #[must_use]
    pub fn queries(&self) -> [Option<Query>; 2] {
        [self.query(0), self.query(1)]
    }

    /// Returns the next step at `now`. `random` becomes the ids of the next queries.
    #[inline(never)]
    pub fn step(&mut self, now: u64, random: u32) -> Step {
        loop {
            if let Some(end) = self.end {
                return Step::End(end);
            }
            match self.due {
                Some(due) if now < due => return Step::Wait(due),
                Some(_) => self.next_server(),
                None => {
                    let [a, b, c, d] = random.to_ne_bytes();
                    self.ids = [u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])];
                    self.answers = [None; 2];
                    self.due = Some(now.saturating_add(self.settings.timeout));
                    if let Some(server) = self.settings.servers.get(self.server) {
                        return Step::Ask(*server);
                    }
                    self.next_server();
                }
            }
        }
    }

    /// The server could not be asked, or its machine reported that nothing listens there.
    pub fn unreachable(&mut self) {
        if self.due.is_some() {
            self.next_server();
        }
    }

    /// Takes a datagram. Datagrams of other senders, and those that are not a reply to a query, are
    /// ignored.
    #[inline(never)]
    pub fn receive(&mut self, now: u64, from: &SocketAddr, datagram: &[u8]) {
        let Some(due) = self.due.filter(|_| self.end.is_none()) else { return };
        let asked = self.settings.servers.get(self.server);
        if asked.is_none_or(|asked| (asked.ip(), asked.port()) != (from.ip(), from.port())) {
            return;
        }
        for n in 0..self.answers.len() {
            let answer = self.query(n).and_then(|query| query.read(datagram));
            if let (Some(answer), Some(place @ None)) = (answer, self.answers.get_mut(n)) {
                *place = Some(answer);
                if matches!(answer, Answer::Found(_)) {
                    self.due = Some(due.min(now.saturating_add(OTHER)));
                }
            }
        }
        if self.answers.iter().all(Option::is_some) {
            self.next_server();
        }
    }

    /// Ends the queries to a server: with an address, or by moving on to the next server.
    fn next_server(&mut self) {
        self.due = None;
        let mut found = [None; 2];
        for (place, answer) in found.iter_mut().zip(&self.answers) {
            match answer {
                Some(Answer::Found(ip)) => *place = Some(SocketAddr::new(*ip, 0)),
                Some(Answer::Failed) => self.failed = true,
                _ => {}
            }
        }
        if found != [None; 2] {
            self.end = Some(Ok(found));
            return;
        }
        self.denied |= self.answers == [Some(Answer::Denied); 2];
        self.answers = [None; 2];
        self.server = self.server.saturating_add(1);
        if self.server < self.settings.servers.len() {
            return;
        }
        (self.server, self.round) = (0, self.round.saturating_add(1));
        if self.denied {
            self.next_domain();
            self.skip_long();
        } else if self.round >= self.settings.attempts {
            let why = if self.failed { NoAddress::Failed } else { NoAddress::Silent };
            self.end = Some(Err(why));
        }
    }
}

/// Chooses between the families, as getaddrinfo(3) does by RFC 6724: IPv6 if the router can send
/// from an address of the same scope and the address is not unique local, else IPv4 if there is
/// one. `source` is the address from which the kernel would send, or `None` without a route.
#[must_use]
pub fn choose(found: Found, source: &dyn Fn(&SocketAddr) -> Option<IpAddr>) -> Option<SocketAddr> {
    let local = |ip: &Ipv6Addr| ip.is_unique_local();
    let fits = |to: &SocketAddr| match (to.ip(), source(to)) {
        (_, None) => false,
        (IpAddr::V6(to), Some(IpAddr::V6(from))) => {
            local(&to) == local(&from)
                && (to.is_unicast_link_local() || !from.is_unicast_link_local())
        }
        _ => true,
    };
    match found {
        [Some(v4), Some(v6)] => {
            let global = matches!(v6.ip(), IpAddr::V6(ip) if !local(&ip));
            let v6_first = fits(&v6) && (global || !fits(&v4));
            Some(if v6_first { v6 } else { v4 })
        }
        [one, other] => one.or(other),
    }
}
