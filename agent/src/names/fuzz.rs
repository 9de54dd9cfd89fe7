//! Any bytes as a reply of a name server, and replies that are built from bytes.
//!
//! Promised: no panic and no endless loop; an address that is found is in the reply; and a well-formed reply, with
//! compressed names and aliases in any order, is read as the crate `simple-dns` reads it.

use core::net::IpAddr;
use std::vec::Vec;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag};

use super::message::{Answer, Kind, QUERY, Query};

/// The name that is looked up. Short, so that other names of the reply are often equal to it.
const NAME: &str = "a.b";
const ID: u16 = 0x1234;
/// Length of the header, and the offset of the question.
const HEADER: usize = 12;
const CNAME: u16 = 5;
const TXT: u16 = 16;
/// Number of names that a look-up follows, the first included.
const NAMES: usize = 8;

/// Input, byte by byte; zeros after its end.
struct Bytes<'d>(&'d [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// One of these.
    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.next()) % all.len()]
    }
}

/// A reply that is being built.
struct Built {
    bytes: Vec<u8>,
    /// Offsets of the names so far, and of their ends after each label.
    names: Vec<usize>,
    /// Offset of the last name that an alias leads to.
    target: usize,
    /// A record has a wrong length, or the reply is cut.
    malformed: bool,
}

impl Built {
    fn pointer(&mut self, to: usize) {
        self.bytes.extend((0xc000 | to as u16).to_be_bytes());
    }

    /// Writes a name: plain, or with a pointer to an earlier name in place of its end.
    fn name(&mut self, choices: &mut Bytes<'_>) {
        let pointer = match choices.next() % 4 {
            0 => Some(HEADER),
            kind => {
                let earlier = choices.of(&self.names);
                let labels = if kind == 1 { 0 } else { 1 + choices.next() % 3 };
                for _ in 0..labels {
                    self.names.push(self.bytes.len());
                    let label = choices.of(&[&b"a"[..], b"b", b"A", b"B", b"long-label"]);
                    self.bytes.push(label.len() as u8);
                    self.bytes.extend(label);
                }
                (kind != 2).then_some(earlier)
            }
        };
        match pointer {
            Some(to) => self.pointer(to),
            None => self.bytes.push(0),
        }
    }

    fn record(&mut self, choices: &mut Bytes<'_>, kind: Kind) {
        match choices.next() % 2 {
            0 => self.pointer(self.target),
            _ => self.name(choices),
        }
        let other = if kind == Kind::A { Kind::Aaaa } else { Kind::A };
        let kind = choices.of(&[kind as u16, CNAME, CNAME, CNAME, other as u16, TXT]);
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend(choices.of(&[1_u16, 1, 1, 3]).to_be_bytes());
        self.bytes.extend([0, 0, 0, 60]);
        let at = self.bytes.len();
        self.bytes.extend([0; 2]);
        match kind {
            CNAME => {
                self.target = self.bytes.len();
                self.name(choices);
            }
            TXT => self.bytes.extend(b"\x03txt"),
            kind => {
                let wrong = choices.next() % 16 == 15;
                self.malformed |= wrong;
                let len = if kind == Kind::A as u16 { 4 } else { 16 } + usize::from(wrong);
                let byte = choices.next();
                self.bytes.extend((0..len).map(|at| byte.wrapping_add(at as u8)));
            }
        }
        let len = (self.bytes.len() - at - 2) as u16;
        self.bytes[at..at + 2].copy_from_slice(&len.to_be_bytes());
    }
}

fn build(query: &Query, kind: Kind, choices: &mut Bytes<'_>) -> Built {
    let mut bytes = query.as_bytes().to_vec();
    bytes[2] = 0x81 | choices.of(&[0, 0, 0, 2]);
    bytes[3] = 0x80 | choices.of(&[0, 0, 0, 0, 0, 3, 2, 5]);
    let count = choices.next() % 12;
    bytes[7] = count;
    // The second label of the question is the end of a name too.
    let names = [HEADER, HEADER + 2].into();
    let mut built = Built { bytes, names, target: HEADER, malformed: false };
    for _ in 0..count {
        built.record(choices, kind);
    }
    if choices.next() % 16 == 15 {
        let end = built.bytes.len() - usize::from(choices.next()) % built.bytes.len();
        built.malformed |= end < built.bytes.len();
        built.bytes.truncate(end);
    }
    built
}

fn is(one: &Name<'_>, other: &Name<'_>) -> bool {
    let (one, other): (Vec<_>, Vec<_>) = (one.as_bytes().collect(), other.as_bytes().collect());
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.eq_ignore_ascii_case(b))
}

/// The answer in a reply, and the number of aliases to it.
fn expected(packet: &Packet<'_>, kind: Kind, code: u8) -> (Answer, usize) {
    match code {
        0 => {}
        3 => return (Answer::Denied, 0),
        _ => return (Answer::Failed, 0),
    }
    let mut wanted = &packet.questions[0].qname;
    for aliases in 0..NAMES {
        let records = packet.answers.iter().filter(|record| {
            record.class == CLASS::IN && !record.cache_flush && is(&record.name, wanted)
        });
        let found = records.clone().find_map(|record| match (&record.rdata, kind) {
            (RData::A(a), Kind::A) => Some(IpAddr::from(a.address.to_be_bytes())),
            (RData::AAAA(aaaa), Kind::Aaaa) => Some(IpAddr::from(aaaa.address.to_be_bytes())),
            _ => None,
        });
        if let Some(ip) = found {
            return (Answer::Found(ip), aliases);
        }
        let alias = records.clone().find_map(|record| match &record.rdata {
            RData::CNAME(name) => Some(&name.0),
            _ => None,
        });
        match alias {
            Some(alias) => wanted = alias,
            None => break,
        }
    }
    let truncated = packet.has_flags(PacketFlag::TRUNCATION);
    (if truncated { Answer::Failed } else { Answer::Denied }, 0)
}

/// Reads a reply that is built from bytes, as both crates do. Returns the answer and the number of aliases to it;
/// `None` for a malformed reply.
fn compare(kind: Kind, mut choices: Bytes<'_>) -> Option<(Answer, usize)> {
    let query = Query::new(ID, NAME, kind).expect("a name");
    let Built { bytes, malformed, .. } = build(&query, kind, &mut choices);
    let ours = query.read(&bytes);
    let theirs = match Packet::parse(&bytes) {
        Ok(packet) => expected(&packet, kind, bytes[3] & 0xf),
        Err(error) => {
            assert!(malformed, "{error}: {bytes:x?}");
            return None;
        }
    };
    if !malformed {
        assert_eq!(ours, Some(theirs.0), "{bytes:x?}");
        return Some(theirs);
    }
    // An address of a wrong length makes the whole reply malformed; `simple-dns` ignores the byte behind it.
    if let (Some(ours), 0) = (ours, bytes[2] & 2) {
        assert_eq!(ours, theirs.0, "{bytes:x?}");
    }
    None
}

/// Reads a reply with a valid header and question, followed by arbitrary bytes; or arbitrary bytes alone.
fn read(kind: Kind, whole: bool, data: &[u8]) {
    let query = Query::new(ID, NAME, kind).expect("a name");
    let mut reply = Vec::new();
    if !whole && let Some((head, rest)) = data.split_first_chunk::<4>() {
        reply.extend(query.as_bytes());
        let [flags, code, high, low] = *head;
        (reply[2], reply[3], reply[6], reply[7]) = (0x80 | flags & 7, code, high, low);
        reply.extend(rest);
    } else {
        reply.extend(data);
    }
    if let Some(Answer::Found(ip)) = query.read(&reply) {
        let records = &reply[query.as_bytes().len()..];
        let is_there = match ip {
            IpAddr::V4(ip) => records.windows(4).any(|window| window == ip.octets()),
            IpAddr::V6(ip) => records.windows(16).any(|window| window == ip.octets()),
        };
        assert!(is_there, "{ip} is not in {reply:x?}");
    }
}

/// Runs one input. The bits of the first byte choose the kind of query and of reply.
pub fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let kind = if first & 1 == 0 { Kind::A } else { Kind::Aaaa };
    match first & 6 {
        0 | 2 => {
            let _ = compare(kind, Bytes(rest));
        }
        4 => read(kind, false, rest),
        _ => read(kind, true, rest),
    }
    // As a name: every query is a message that `simple-dns` reads.
    if let Some(query) = core::str::from_utf8(rest).ok().and_then(|name| Query::new(ID, name, kind))
    {
        assert!(query.as_bytes().len() <= QUERY);
        let packet = Packet::parse(query.as_bytes()).expect("a message");
        let labels: Vec<&[u8]> = packet.questions[0].qname.as_bytes().collect();
        let name = rest.strip_suffix(b".").unwrap_or(rest);
        assert!(labels.into_iter().eq(name.split(|byte| *byte == b'.')), "{rest:x?}");
    }
}

/// Inputs to begin with.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let reply = |records: &[u8]| [&[4, 1, 0x80, 0, 3][..], records].concat();
    std::vec![
        ("name", b"\x06vpn.example".to_vec()),
        ("address", reply(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x07")),
        (
            "aliases",
            reply(
                b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01x\xc0\x0e\
                  \xc0\x1f\0\x05\0\x01\0\0\0\x3c\0\x03\x01y\0\
                  \x01y\0\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x07",
            )
        ),
        ("built", [&[1, 0, 0, 7][..], &[0, 1, 0, 1, 1, 2, 3, 4].repeat(8)].concat()),
        ("loop", reply(b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x02\xc0\x0c")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_inputs_keep_the_promises() {
        seeds().iter().for_each(|(_, seed)| run(seed));
    }

    #[test]
    fn replies_are_read_as_another_crate_reads_them() {
        let mut rng = fastrand::Rng::with_seed(1);
        let (mut found, mut by_alias, mut denied, mut failed, mut malformed) = (0, 0, 0, 0, 0);
        for n in 0..60_000 {
            let mut data = [0; 160];
            rng.fill(&mut data);
            let kind = if n % 2 == 0 { Kind::A } else { Kind::Aaaa };
            *match compare(kind, Bytes(&data)) {
                Some((Answer::Found(_), 0)) => &mut found,
                Some((Answer::Found(_), _)) => &mut by_alias,
                Some((Answer::Denied, _)) => &mut denied,
                Some((Answer::Failed, _)) => &mut failed,
                None => &mut malformed,
            } += 1;
        }
        println!(
            "{found} found, {by_alias} by aliases, {denied} denied, {failed} failed, {malformed} malformed"
        );
        assert!(
            [found, by_alias, denied, failed, malformed].into_iter().all(|times| times > 1_000)
        );
    }
}
