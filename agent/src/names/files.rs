//! The files of the resolver, and addresses as text. Files are read word by word, so that neither
//! lines nor files have a maximum length.

use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

use heapless::{String, Vec};
use proto_core::ip::parse_ip;
use proto_core::text::{number, split};

/// Longest word that is compared. Longer words match nothing.
const WORD: usize = 256;

/// The words of a file, with their positions in their lines.
#[derive(Debug)]
pub struct Words {
    word: [u8; WORD],
    len: usize,
    place: usize,
    comment: bool,
}

impl Default for Words {
    fn default() -> Self {
        Self { word: [0; WORD], len: 0, place: 0, comment: false }
    }
}

impl Words {
    /// Takes the next bytes of the file and passes each word that ends in them to `take`, with its
    /// position in its line.
    pub fn feed(&mut self, bytes: &[u8], take: &mut dyn FnMut(usize, &str)) {
        for byte in bytes {
            match byte {
                b'#' | b';' if self.len == 0 => self.comment = true,
                b'#' => {
                    self.end(take);
                    self.comment = true;
                }
                b'\n' => {
                    self.end(take);
                    (self.place, self.comment) = (0, false);
                }
                byte if byte.is_ascii_whitespace() => self.end(take),
                byte if !self.comment => {
                    if let Some(place) = self.word.get_mut(self.len) {
                        *place = *byte;
                    }
                    self.len = self.len.saturating_add(1);
                }
                _ => {}
            }
        }
    }

    /// Ends the last word of the file, or of a line.
    pub fn end(&mut self, take: &mut dyn FnMut(usize, &str)) {
        if self.len > 0 {
            let word = self.word.get(..self.len).and_then(|word| core::str::from_utf8(word).ok());
            // A word that is too long or not UTF-8 still has a position.
            take(self.place, word.unwrap_or_default());
            self.place = self.place.saturating_add(1);
            self.len = 0;
        }
    }
}

/// The machine functions for a look-up.
pub trait Machine {
    /// Reads a file to its end. A file that cannot be read is empty.
    fn read(&self, path: &core::ffi::CStr, take: &mut dyn FnMut(&[u8]));
    /// The number of an interface, or 0.
    fn interface(&self, name: &str) -> u32;
}

/// Passes each word of a file to `take`.
#[inline(never)]
pub fn each_word(machine: &dyn Machine, path: &core::ffi::CStr, take: &mut dyn FnMut(usize, &str)) {
    let mut words = Words::default();
    machine.read(path, &mut |bytes| words.feed(bytes, take));
    words.end(take);
}

/// An address of either family, with port 0.
#[must_use]
pub fn with_scope(machine: &dyn Machine, text: &str) -> Option<SocketAddr> {
    let (ip, scope) = split(text, b'%').unwrap_or((text, ""));
    match parse_ip(ip) {
        Some(IpAddr::V6(ip)) => {
            // As in the C library, only an address of one link may have the name of a link.
            let [first, ..] = ip.segments();
            let of_link = ip.is_unicast_link_local() || first & 0xff0f == 0xff02;
            let named = || Some(machine.interface(scope)).filter(|index| of_link && *index != 0);
            let index = if scope.is_empty() { 0 } else { number(scope).or_else(named)? };
            Some(SocketAddrV6::new(ip, 0, 0, index).into())
        }
        Some(ip) => {
            (ip.to_canonical().is_ipv4() && scope.is_empty()).then_some(SocketAddr::new(ip, 0))
        }
        None => aton(text).map(|ip| SocketAddr::new(ip.into(), 0)),
    }
}

/// An IPv4 address of one to four numbers, decimal, octal or hexadecimal, as in inet_aton(3).
fn aton(text: &str) -> Option<Ipv4Addr> {
    let (mut ip, mut left) = (0_u32, 4_u32);
    let mut parts = text.split('.').peekable();
    while let Some(part) = parts.next() {
        let (digits, radix) = match part.as_bytes() {
            [b'0', b'x' | b'X', ..] => (part.get(2..)?, 16),
            [b'0', _, ..] => (part.get(1..)?, 8),
            _ => (part, 10),
        };
        if digits.starts_with('+') {
            return None;
        }
        let value = u32::from_str_radix(digits, radix).ok()?;
        left = left.checked_sub(1)?;
        // The last number fills the remaining bytes.
        let bits =
            if parts.peek().is_some() { 8 } else { left.saturating_mul(8).saturating_add(8) };
        if value.checked_shr(bits).is_some_and(|more| more != 0) {
            return None;
        }
        let at = if parts.peek().is_some() { left.saturating_mul(8) } else { 0 };
        ip |= value.checked_shl(at)?;
    }
    Some(ip.into())
}

/// The first address of each family in `/etc/hosts` for a name: IPv4, IPv6.
#[must_use]
#[inline(never)]
pub fn in_hosts(machine: &dyn Machine, name: &str) -> [Option<SocketAddr>; 2] {
    let (mut found, mut address) = ([None; 2], None);
    let name = name.strip_suffix('.').unwrap_or(name);
    each_word(machine, c"/etc/hosts", &mut |place, word| {
        if place == 0 {
            address = with_scope(machine, word);
        } else if word.eq_ignore_ascii_case(name)
            && let (Some(address), [v4, v6]) = (address, &mut found)
        {
            let of = if address.is_ipv4() { v4 } else { v6 };
            *of = of.or(Some(address));
        }
    });
    found
}

/// The UDP port of a service: a number as strtoul(3) reads it, or a name in `/etc/services`.
#[must_use]
#[inline(never)]
pub fn service(machine: &dyn Machine, service: &str) -> Option<u16> {
    let digits = service.trim_ascii_start();
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return digits.parse().ok();
    }
    let (mut found, mut port, mut named) = (None, None, false);
    each_word(machine, c"/etc/services", &mut |place, word| {
        match place {
            0 => (port, named) = (None, false),
            1 => {
                port =
                    word.strip_suffix("/udp").and_then(number).and_then(|n| u16::try_from(n).ok())
            }
            _ => {}
        }
        named |= place != 1 && word == service;
        if named {
            found = found.or(port);
        }
    });
    found
}

/// The settings of `/etc/resolv.conf`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name servers, with their ports.
    pub servers: Vec<SocketAddr, 3>,
    /// Search domains, each followed by a space.
    pub search: String<256>,
    /// A name with this many dots is looked up without search domains.
    pub ndots: u32,
    /// Milliseconds to wait for a server.
    pub timeout: u64,
    /// Number of queries to each server.
    pub attempts: u32,
}

impl Settings {
    /// Reads `/etc/resolv.conf`. Without a name server in the file, the server is this machine.
    #[must_use]
    #[inline(never)]
    pub fn read(machine: &dyn Machine) -> Self {
        let search = String::new();
        let mut it = Self { servers: Vec::new(), search, ndots: 1, timeout: 5_000, attempts: 2 };
        let mut key = 0;
        each_word(machine, c"/etc/resolv.conf", &mut |place, word| match (place, key) {
            (0, _) => {
                key = match word {
                    "nameserver" => 1,
                    "search" | "domain" => 2,
                    "options" => 3,
                    _ => 0,
                };
                if key == 2 {
                    // The last of these lines counts.
                    it.search.clear();
                }
            }
            (1, 1) => {
                if let Some(mut server) = with_scope(machine, word) {
                    server.set_port(53);
                    // A fourth server is ignored, as in C libraries.
                    let _ = it.servers.push(server);
                }
            }
            // `.` is the root: the name without a domain, which is tried last anyway.
            (_, 2) if word != "." && it.search.len().saturating_add(word.len()) < 256 => {
                let _ = it.search.push_str(word);
                let _ = it.search.push(' ');
            }
            (_, 3) => {
                if let Some((option, value)) = split(word, b':')
                    && let Some(value) = number(value)
                {
                    match option {
                        "ndots" => it.ndots = value.min(15),
                        "timeout" => {
                            it.timeout = u64::from(value.clamp(1, 30)).saturating_mul(1_000)
                        }
                        "attempts" => it.attempts = value.clamp(1, 5),
                        _ => {}
                    }
                }
            }
            _ => {}
        });
        if it.servers.is_empty() {
            let _ = it.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53));
        }
        it
    }
}
