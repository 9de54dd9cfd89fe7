//! DNS messages: a query for the addresses of a name, and the reply to that query.
//!
//! Every read is checked. A compression pointer must point before the name that it continues, so
//! that no name has a loop.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Length of the longest query: header, 255 bytes of name, type and class.
pub const QUERY: usize = 12 + 255 + 4;

/// Length of the longest reply to a query without EDNS (RFC 1035, 4.2.1).
pub const REPLY: usize = 512;

/// Record type of a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// IPv4 addresses.
    A = 1,
    /// IPv6 addresses.
    Aaaa = 28,
}

/// The content of a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The first address.
    Found(IpAddr),
    /// The name does not exist, or has no address of this kind.
    Denied,
    /// The server failed or refused, or the reply is truncated before its first address.
    Failed,
}

const CNAME: u16 = 5;
const IN: u16 = 1;

/// A query.
#[derive(Clone, Debug)]
pub struct Query {
    bytes: [u8; QUERY],
    len: usize,
}

impl Query {
    /// Writes a query for `name`, with recursion desired. `None` if `name` is not a host name.
    #[must_use]
    #[inline(never)]
    pub fn new(id: u16, name: &str, kind: Kind) -> Option<Self> {
        let mut query = Self { bytes: [0; QUERY], len: 0 };
        query.put(&id.to_be_bytes())?;
        query.put(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
        for label in name.strip_suffix('.').unwrap_or(name).as_bytes().split(|byte| *byte == b'.') {
            let len = u8::try_from(label.len()).ok().filter(|len| (1..64).contains(len))?;
            query.put(&[len])?;
            query.put(label)?;
        }
        // The root, type and class; a name has at most 255 bytes including its lengths.
        (query.len <= 12 + 254).then_some(())?;
        query.put(&[0, 0, kind as u8, 0, IN as u8])?;
        Some(query)
    }

    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len.checked_add(bytes.len())?;
        self.bytes.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }

    /// The bytes to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Reads a reply. `None` if it is malformed, or answers another query.
    #[must_use]
    #[inline(never)]
    pub fn read(&self, reply: &[u8]) -> Option<Answer> {
        let (id, question) = (self.as_bytes().get(..2)?, self.as_bytes().get(12..)?);
        let [flags, code, 0, 1, high, low] = *reply.get(2..8)?.first_chunk()? else { return None };
        let end = question.len().checked_add(12)?;
        // A reply (QR) to a standard query, with the same id and question. Lengths of labels are
        // smaller than letters, so that ignoring case is safe for the whole question.
        let same = reply.get(..2)? == id && reply.get(12..end)?.eq_ignore_ascii_case(question);
        if !same || flags & 0xf8 != 0x80 {
            return None;
        }
        let kind = u16::from(*question.get(question.len().checked_sub(3)?)?);
        match code & 0xf {
            0 => {}
            3 => return Some(Answer::Denied),
            _ => return Some(Answer::Failed),
        }
        let truncated = flags & 2 != 0;
        let found = answers(reply, end, u16::from_be_bytes([high, low]), kind);
        match found {
            Some(Some(ip)) => Some(Answer::Found(ip)),
            _ if truncated => Some(Answer::Failed),
            Some(None) => Some(Answer::Denied),
            None => None,
        }
    }
}

/// The first address that the aliases in the answers lead to; `None` for a malformed reply,
/// `Some(None)` without an address.
fn answers(reply: &[u8], from: usize, count: u16, kind: u16) -> Option<Option<IpAddr>> {
    // The name whose address is wanted, by its offset in the reply: first the name in the question.
    let mut wanted = 12;
    // Aliases may come in any order, so each alias may need one more pass.
    for _ in 0..8 {
        let (mut at, mut alias) = (from, None);
        for _ in 0..count {
            let name = at;
            at = after(reply, at)?;
            let head: &[u8; 10] = reply.get(at..)?.first_chunk()?;
            let [t0, t1, c0, c1, _, _, _, _, l0, l1] = *head;
            let data = at.checked_add(10)?;
            at = data.checked_add(usize::from(u16::from_be_bytes([l0, l1])))?;
            let bytes = reply.get(data..at)?;
            if u16::from_be_bytes([c0, c1]) != IN || !same(reply, name, wanted) {
                continue;
            }
            let of = u16::from_be_bytes([t0, t1]);
            if of == kind {
                let v4 = <[u8; 4]>::try_from(bytes).map(|ip| Ipv4Addr::from(ip).into());
                let v6 = <[u8; 16]>::try_from(bytes).map(|ip| Ipv6Addr::from(ip).into());
                let right = if kind == Kind::A as u16 { v4 } else { v6 };
                return Some(Some(right.ok()?));
            }
            if of == CNAME && alias.is_none() {
                after(reply, data)?;
                alias = Some(data);
            }
        }
        let Some(alias) = alias else { break };
        wanted = alias;
    }
    Some(None)
}

/// The offset after a name.
fn after(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let len = *message.get(at)?;
        at = at.checked_add(1)?;
        match len {
            0 => return Some(at),
            1..64 => at = at.checked_add(len.into())?,
            0xc0.. => return message.get(at).and(at.checked_add(1)),
            _ => return None,
        }
    }
}

/// The labels of a name.
struct Labels<'m> {
    message: &'m [u8],
    at: usize,
    /// Pointers must point before this offset.
    bound: usize,
}

impl<'m> Iterator for Labels<'m> {
    type Item = Option<&'m [u8]>;

    /// `Some(None)` for a malformed name.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(len) = self.message.get(self.at).copied() else { return Some(None) };
            let start = self.at.saturating_add(1);
            match len {
                0 => return None,
                1..64 => {
                    self.at = start.saturating_add(len.into());
                    return Some(self.message.get(start..self.at));
                }
                0xc0.. => {
                    let low = self.message.get(start).copied().unwrap_or(u8::MAX);
                    let to = usize::from(u16::from_be_bytes([len & 0x3f, low]));
                    if to >= self.bound {
                        return Some(None);
                    }
                    (self.at, self.bound) = (to, to);
                }
                _ => return Some(None),
            }
        }
    }
}

/// Whether two names in a message are equal.
fn same(message: &[u8], one: usize, other: usize) -> bool {
    let labels = |at| Labels { message, at, bound: at };
    let (mut one, mut other) = (labels(one), labels(other));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(Some(one)), Some(Some(other))) if one.eq_ignore_ascii_case(other) => {}
            _ => return false,
        }
    }
}
