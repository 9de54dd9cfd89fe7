//! The records of a staged image, read from its file a window at a time, and the pass that checks
//! them and builds the index. Nothing is changed before that pass has seen the last record.

use proto_core::key::PublicKey;
use proto_core::netlink::Errno;
use proto_core::protocol::codec;
use proto_core::protocol::config::{
    Checker, ConfigError, Interface, Item, MAX_RECORD, Peer, Record,
};
use proto_core::protocol::message::{Code, Name, Phase, Subject};
use proto_core::protocol::{Digest, Digester};

use crate::config::index::{Entry, Index, Mark};
use crate::config::set_sum::SetSum;
use crate::fault::{Fault, Slot};
use crate::kernel::links::Links;
use crate::store::noted::Noted;
use crate::system::File;

/// Reads an image from its file.
#[derive(Debug)]
pub struct Records<'f, F> {
    pub(crate) file: Noted<'f, F>,
    /// The bytes of the file from `start`.
    window: [u8; 512],
    filled: usize,
    start: u32,
    at: usize,
    end: u32,
    /// The links of endpoint scopes.
    links: Option<&'f Links>,
    /// The record that was read last.
    record: Option<Record>,
}

impl<'f, F: File> Records<'f, F> {
    /// Reads from the record at `offset` to `end`.
    #[inline(never)]
    pub const fn new(slot: &'f Slot, file: &'f mut F, offset: u32, end: u32) -> Self {
        let file = Noted { slot, file };
        let window = [0; 512];
        Self { file, window, filled: 0, start: offset, at: 0, end, links: None, record: None }
    }

    /// The same records, with the numbers of these links in endpoints.
    #[must_use]
    pub fn on(self, links: &'f Links) -> Self {
        Self { links: Some(links), ..self }
    }

    /// The offset of the next record.
    #[must_use]
    pub fn offset(&self) -> u32 {
        self.start.saturating_add(u32::try_from(self.at).unwrap_or(u32::MAX))
    }

    /// Returns the next record; `None` at the end of the image.
    ///
    /// # Errors
    /// `Code::Config` for bytes that are not a record, `Code::Storage`.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend or fail once")]
    pub fn next(&mut self) -> Result<Option<&Record>, Fault> {
        let offset = self.offset();
        if offset >= self.end {
            return Ok(None);
        }
        if self.filled.saturating_sub(self.at) < MAX_RECORD {
            (self.start, self.at) = (offset, 0);
            let left = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
            let room = left.min(self.window.len());
            let room = self.window.get_mut(..room).unwrap_or_default();
            self.filled = self.file.read(offset, room)?;
        }
        let rest = self.window.get(self.at..self.filled).unwrap_or_default();
        match codec::record(rest) {
            Ok((mut record, left)) => {
                self.at = self.filled.saturating_sub(left.len());
                if let (Record::Peer(Peer { endpoint: Some(to), .. }), Some(links)) =
                    (&mut record, self.links)
                {
                    links.settle(to);
                }
                Ok(Some(self.record.insert(record)))
            }
            Err(wrong) => Err(self.file.slot.config(Subject::Offset(offset), wrong.into())),
        }
    }
}

/// The subject of a record that was refused.
fn subject(record: &Record, offset: u32, error: ConfigError) -> Subject {
    match record {
        Record::Interface(_) => match error {
            ConfigError::Mtu => Subject::Mtu,
            ConfigError::Port => Subject::ListenPort,
            ConfigError::PrivateKey => Subject::PrivateKey,
            _ => Subject::Interface,
        },
        Record::Address(net) => Subject::Address(*net),
        Record::Route(route) => Subject::Route(route.to),
        Record::Rule(_) => Subject::Rule,
        Record::Peer(peer) if error == ConfigError::Scope => Subject::Endpoint(peer.public_key),
        Record::Peer(peer) => Subject::Peer(peer.public_key),
        Record::AllowedIp(_) | Record::Host(_) => Subject::Offset(offset),
    }
}

/// The place of an image in its file: from its first byte to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The first byte.
    pub from: u32,
    /// The end.
    pub end: u32,
}

/// The result of a check.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// The interface the image is for.
    pub interface: Interface,
    /// The offset of the records after that of the interface.
    pub rest: u32,
    /// Whether the items are in the order of their keys.
    pub sorted: bool,
    /// The links of endpoint scopes.
    pub links: Links,
}

/// Whether the image has this digest.
///
/// # Errors
/// `Code::Storage`.
pub fn has_digest<F: File>(
    slot: &Slot,
    file: &mut F,
    span: Span,
    digest: &Digest,
) -> Result<bool, Fault> {
    Ok(digest_of(slot, file, span)? == *digest)
}

/// The digest of a range of a file, up to the end of the file.
///
/// # Errors
/// `Code::Storage`.
#[inline(never)]
pub fn digest_of<F: File>(
    slot: &Slot,
    file: &mut F,
    Span { from, end }: Span,
) -> Result<Digest, Fault> {
    let mut file = Noted { slot, file };
    let mut digester = Digester::default();
    let mut buf = [0; 1024];
    let mut at = from;
    while at < end {
        let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
        let room = buf.get_mut(..left.min(1024)).unwrap_or_default();
        let got = file.read(at, room)?;
        if got == 0 {
            break;
        }
        digester.update(buf.get(..got).unwrap_or_default());
        at = at.saturating_add(u32::try_from(got).unwrap_or(u32::MAX));
    }
    Ok(digester.finish())
}

/// Fails for an allowed IP that appears twice: WireGuard gives it to the last peer that sets it.
/// `index` and `other` are scratch files for sorting.
///
/// # Errors
/// `Code::Config` naming the peer, `Code::Storage`.
pub fn check_allowed_ips<F: File>(
    Noted { slot, file }: Noted<'_, F>,
    Span { from, end }: Span,
    index: &mut Index<'_, F>,
    other: &mut F,
) -> Result<(), Fault> {
    index.clear()?;
    let mut records = Records::new(slot, file, from, end);
    let mut peer = 0;
    loop {
        let offset = records.offset();
        match records.next()? {
            Some(Record::Peer(_)) => peer = offset,
            Some(Record::AllowedIp(net)) => {
                let (key, allowed_ips) = (Item::Address(*net).key(), SetSum::default());
                index.push(&Entry { key, offset: peer, allowed_ips, mark: Mark::Missing })?;
            }
            Some(_) => {}
            None => break,
        }
    }
    index.flush()?;
    index.sort(other)?;
    let mut last: Option<Entry> = None;
    let mut n = 0_u32;
    while let Some(entry) = index.get(n)? {
        n = n.saturating_add(1);
        if let Some(first) = last.replace(entry).filter(|last| last.key == entry.key) {
            let mut key_at = |offset| match Records::new(slot, file, offset, end).next()? {
                Some(Record::Peer(peer)) => Ok(peer.public_key),
                _ => Ok(PublicKey([0; 32])),
            };
            let (one, two) = (key_at(first.offset)?, key_at(entry.offset)?);
            let about = match Item::from_key(&entry.key) {
                Some(Item::Address(net)) => Subject::AllowedIp(two, net),
                _ => Subject::AllowedIps(two),
            };
            let text = format_args!("another peer has it too: {one}");
            let words = if one == two { format_args!("given twice") } else { text };
            return Err(slot.say(Code::Config, about, Errno(0), words));
        }
    }
    Ok(())
}

/// Asks the kernel for the number of a link.
pub type FindLink<'k> = dyn FnMut(Name) -> Result<Option<u32>, Fault> + 'k;

/// Checks the whole image and builds its index. An image that the agent made itself may be out of
/// order; it has no other faults.
///
/// # Errors
/// `Code::Config` naming the wrong item or place, `Code::Storage`.
pub fn check<F: File>(
    Noted { slot, file }: Noted<'_, F>,
    Span { from, end }: Span,
    index: &mut Index<'_, F>,
    (key, own): (&[u8; 16], bool),
    checked: &mut Checked,
    find_link: &mut FindLink<'_>,
    working: &mut dyn FnMut(Phase, u32, u32),
) -> Result<(), Fault> {
    index.clear()?;
    (checked.sorted, checked.links) = (true, Links::default());
    let mut records = Records::new(slot, file, from, end);
    let mut checker = if own { Checker::in_any_order() } else { Checker::default() };
    let mut entry: Option<Entry> = None;
    let mut seen = 0_u32;
    loop {
        let offset = records.offset();
        let Some(record) = records.next()? else { break };
        let item = checker.record(record);
        let is_item = match &item {
            Ok(item) => item.is_some(),
            Err(error) => return Err(slot.config(subject(record, offset, *error), *error)),
        };
        match (record, &mut entry) {
            (Record::Interface(interface), _) => checked.interface = interface.clone(),
            (Record::AllowedIp(net), Some(entry)) => {
                entry.allowed_ips.add(key, net);
            }
            (Record::Peer(Peer { public_key, endpoint: Some(endpoint), .. }), _) => {
                if let Some(link) = endpoint.link() {
                    checked.links.find(slot, *public_key, *link, find_link)?;
                }
            }
            _ => {}
        }
        if let (true, Some(key)) = (is_item, checker.last()) {
            if let Some(done) = &entry {
                checked.sorted &= done.key < *key;
                index.push(done)?;
            }
            let allowed_ips = SetSum::default();
            entry = Some(Entry { key: *key, offset, allowed_ips, mark: Mark::Missing });
        }
        if seen == 0 {
            checked.rest = records.offset();
        }
        seen = seen.saturating_add(1);
        if seen.is_multiple_of(512) {
            working(Phase::Checking, seen, 0);
        }
    }
    if let Some(done) = &entry {
        index.push(done)?;
    }
    index.flush()?;
    checker.finish().map_err(|error| slot.config(Subject::Offset(0), error))
}
