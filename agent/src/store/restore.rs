//! The alias, the addresses and the routes of an interface: recorded before a change, and put back exactly.
//!
//! Addresses go first, because routes come and go with them. Each round changes what differs and then reads the
//! kernel again, because Linux has side effects: a removed address takes its secondaries and routes along, an added
//! one brings routes. Items that could not be put back are found when they are recorded, before anything is changed.

use proto_core::ip::{AF_INET, AF_INET6, IpNet};
use proto_core::netlink::route::link::ALIAS_MAX;
use proto_core::netlink::route::{Addr, Route, RouteFilter, addr};
use proto_core::netlink::{Errno, IfName};
use proto_core::protocol::config::{ITEM_KEY_LEN, ItemKey};
use proto_core::protocol::message::{Code, Subject};

use crate::bytes::{put, take};
use crate::config::image::Span;
use crate::config::index::{Entry, Index, Mark};
use crate::config::records::RecordWriter;
use crate::config::set_sum::SetSum;
use crate::fault::{Fault, Slot};
use crate::kernel::exchange::{Alias, Kernel, Protocol, steady};
use crate::kernel::raw::{FOREVER, Kind, RECORD, RECORD_TAIL, Raw, Unkept, Way};
use crate::store::noted::Noted;
use crate::system::{File, NetlinkSocket};

/// Bytes before the records: version, index of the interface, time of writing, length of its alias.
const HEAD: usize = ALIAS_AT + 1;
const ALIAS_AT: usize = 1 + 4 + 8;
const VERSION: u8 = 2;
/// Most rounds for each kind. Each round does something that the previous round could not.
const ROUNDS: u32 = 8;

/// Called with an address or a route.
type Take<'t> = dyn FnMut(&Raw, &Way) -> Result<(), Fault> + 't;

/// Visits the addresses of a link, then the routes that leave through it, and the routes with an IPv4 source. Returns
/// `Ok(false)` if the tables changed meanwhile.
fn each<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    index: u32,
    kinds: &[Kind],
    take: &mut Take<'_>,
) -> Result<bool, Fault> {
    let slot = kernel.slot;
    if kinds.contains(&Kind::Address) {
        let whole = kernel.dump_both(
            Subject::Interface,
            &|buf, seq, family| addr::list(buf, seq, family, Some(index)),
            &mut |message| match Raw::address(message, index) {
                Ok(Some(raw)) => take(&raw, &Way::default()),
                Ok(None) => Ok(()),
                Err(unkept) => Err(cannot_keep(slot, unkept, Subject::Interface)),
            },
        )?;
        if !whole {
            return Ok(false);
        }
    }
    if !kinds.contains(&Kind::Route) {
        return Ok(true);
    }
    // The kernel removes IPv4 routes of any interface together with their source address.
    for (family, oif) in [(AF_INET, None), (AF_INET6, Some(index))] {
        let filter = RouteFilter { oif, table: None, protocol: None };
        let whole = kernel.dump_family(
            Subject::Interface,
            &|buf, seq, family| filter.list(buf, seq, family),
            family,
            &mut |message| {
                let about = |unkept| {
                    let to = Route::parse(message).map(|route| Subject::Route(route.dst));
                    cannot_keep(slot, unkept, to.unwrap_or(Subject::Interface))
                };
                match Raw::route(message, index) {
                    Ok(Some((raw, way))) if way.through || way.source.is_some() => take(&raw, &way),
                    Ok(_) => Ok(()),
                    Err(unkept) => Err(about(unkept)),
                }
            },
        )?;
        if !whole {
            return Ok(false);
        }
    }
    Ok(true)
}

fn cannot_keep(slot: &Slot, unkept: Unkept, subject: Subject) -> Fault {
    match unkept {
        Unkept::Unreadable(error) => slot.unreadable(&error),
        Unkept::TooLong => slot.fail(
            Code::Config,
            subject,
            "the router has a route here with more next hops than could be put back if the change failed: remove it first",
        ),
    }
}

/// Records the alias, the addresses and the routes of the link; `now` is in milliseconds since boot. Returns `Ok(false)`
/// if they changed meanwhile.
///
/// # Errors
/// The kernel's error, an item that cannot be recorded, [`Code::Storage`].
pub fn write<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    writer: &mut RecordWriter<'_, F>,
    (name, index): (IfName, u32),
    now: u64,
) -> Result<bool, Fault> {
    let alias = kernel.alias(name)?;
    let (mut head, mut at) = ([0; HEAD], 0);
    put(&mut head, &mut at, &[VERSION]);
    put(&mut head, &mut at, &index.to_ne_bytes());
    put(&mut head, &mut at, &now.to_ne_bytes());
    put(&mut head, &mut at, &[alias.len() as u8]);
    writer.bytes(&head)?;
    writer.bytes(&alias)?;
    let mut addresses = Span { from: writer.at(), end: writer.at() };
    // A bit for the last byte of each of its addresses, because most sources are of other interfaces.
    let mut last_bytes = 0_u64;
    let bit = |[.., last]: [u8; 4]| 1_u64 << (last & 63);
    each(kernel, index, &[Kind::Address, Kind::Route], &mut |raw, way| {
        if raw.kind == Kind::Route && !way.through {
            let source = way.source.unwrap_or_default();
            if last_bytes & bit(source) == 0 || !is_among(writer, addresses, source)? {
                return Ok(());
            }
        }
        let mut record = [0; RECORD];
        let len = raw.record(&mut record);
        writer.bytes(record.get(..len).unwrap_or_default())?;
        if let Some(own) = raw.own_v4() {
            last_bytes |= bit(own);
            addresses.end = writer.at();
        }
        Ok(())
    })
}

/// Whether one of the addresses that were written is this one.
fn is_among<F: File>(
    writer: &mut RecordWriter<'_, F>,
    Span { from: at, end }: Span,
    address: [u8; 4],
) -> Result<bool, Fault> {
    let Some((file, from)) = writer.written()? else { return Ok(false) };
    let (at, end) = (from.saturating_add(at), from.saturating_add(end));
    let mut reader = Reader { file, at, end, moved: (0, 0) };
    while let Some(raw) = reader.next()? {
        if raw.own_v4() == Some(address) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The index that the interface had, from the record in `span` of `file`.
///
/// # Errors
/// [`Code::Storage`].
pub fn index<F: File>(slot: &Slot, file: &mut F, span: Span) -> Result<u32, Fault> {
    let mut index = [0; 4];
    Noted { slot, file }.read(span.from.saturating_add(1), &mut index)?;
    Ok(u32::from_ne_bytes(index))
}

/// The alias that the interface had, from the record in `span` of `file`.
///
/// # Errors
/// [`Code::Storage`].
pub fn alias<F: File>(slot: &Slot, file: &mut F, span: Span) -> Result<Alias, Fault> {
    let mut bytes = [0; 1 + ALIAS_MAX];
    let mut alias = Alias::new();
    Noted { slot, file }.read(span.from.saturating_add(ALIAS_AT as u32), &mut bytes)?;
    let [len, bytes @ ..] = bytes;
    alias.extend(bytes.into_iter().take(len.into()));
    Ok(alias)
}

/// Reads records one by one.
struct Reader<'n, 'f, F> {
    file: &'n mut Noted<'f, F>,
    at: u32,
    end: u32,
    moved: (u32, u32),
}

impl<F: File> Reader<'_, '_, F> {
    /// The record before `at`; `None` at `from`.
    fn back(&mut self, from: u32) -> Result<Option<Raw>, Fault> {
        let mut len = [0; RECORD_TAIL];
        let tail = self.at.saturating_sub(RECORD_TAIL as u32);
        if tail <= from {
            return Ok(None);
        }
        self.file.read(tail, &mut len)?;
        let start = self.at.saturating_sub(u16::from_ne_bytes(len).into());
        self.at = start;
        let raw = self.next()?;
        self.at = start;
        Ok(raw)
    }

    fn next(&mut self) -> Result<Option<Raw>, Fault> {
        if self.at >= self.end {
            return Ok(None);
        }
        let mut record = [0; RECORD];
        let got = self.file.read(self.at, &mut record)?;
        let Some((mut raw, len)) = Raw::from_record(record.get(..got).unwrap_or_default()) else {
            let text = "the snapshot from before the change cannot be read";
            return Err(self.file.slot.fail(Code::Damaged, Subject::None, text));
        };
        self.at = self.at.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
        raw.move_to(self.moved.0, self.moved.1);
        Ok(Some(raw))
    }
}

/// The state of putting addresses and routes back.
#[derive(Debug)]
pub struct Restore<'a, 'b, 'f, N, F> {
    kernel: &'a mut Kernel<'b, N>,
    /// The file of the record, and the place of the record in it.
    file: Noted<'f, F>,
    span: Span,
    index: Index<'f, F>,
    /// Items that the kernel has and the record has not.
    extras: Noted<'f, F>,
    /// The index of the interface in the record and now.
    moved: (u32, u32),
    /// Seconds since the record was written.
    elapsed: u32,
    changed: bool,
}

/// The differences.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Difference {
    /// Bytes of records of surplus items.
    extra: u32,
    missing: u32,
    /// Every item exists, but the IPv6 or IPv4 addresses are in another order. The order counts:
    /// the first address is the source of most packets.
    turned: [bool; 2],
}

impl<'a, 'b: 'f, 'f, N: NetlinkSocket, F: File> Restore<'a, 'b, 'f, N, F> {
    /// For the record in `span` of `file`, to be restored on the link `now_index`.
    ///
    /// # Errors
    /// [`Code::Damaged`], [`Code::Storage`].
    pub fn new(
        kernel: &'a mut Kernel<'b, N>,
        file: &'f mut F,
        span: Span,
        (index, extras): (&'f mut F, &'f mut F),
        now_index: u32,
        now: u64,
    ) -> Result<Self, Fault> {
        let slot = kernel.slot;
        let mut file = Noted { slot, file };
        let mut head = [0; HEAD];
        let got = file.read(span.from, &mut head)?;
        let mut rest = head.get(..got).unwrap_or_default();
        let version = take::<1>(&mut rest).copied();
        let old = take(&mut rest).map_or(0, |n| u32::from_ne_bytes(*n));
        let then = take(&mut rest).map_or(0, |n| u64::from_ne_bytes(*n));
        let alias = take::<1>(&mut rest).map_or(0, |[len]| u32::from(*len));
        if version != Some([VERSION]) || got < HEAD {
            let text = "the snapshot from before the change has another version";
            return Err(slot.fail(Code::Damaged, Subject::None, text));
        }
        let from = span.from.saturating_add(HEAD as u32).saturating_add(alias);
        let span = Span { from, end: span.end };
        let elapsed = u32::try_from(now.saturating_sub(then) / 1000).unwrap_or(u32::MAX);
        let mut index = Index::new(slot, index);
        index.clear()?;
        let mut reader =
            Reader { file: &mut file, at: span.from, end: span.end, moved: (old, now_index) };
        loop {
            let offset = reader.at;
            let Some(raw) = reader.next()? else { break };
            let key = key(&raw);
            index.push(&Entry {
                key,
                offset,
                allowed_ips: SetSum::default(),
                mark: Mark::Missing,
            })?;
        }
        index.flush()?;
        index.sort(&mut *extras)?;
        let extras = Noted { slot, file: extras };
        let moved = (old, now_index);
        Ok(Self { kernel, file, span, index, extras, moved, elapsed, changed: false })
    }

    /// Puts everything back. Returns whether anything had to change.
    ///
    /// # Errors
    /// The kernel's error for the first item that it refused; [`Code::Verify`].
    pub fn all(mut self) -> Result<bool, Fault> {
        for kind in [Kind::Address, Kind::Route] {
            let mut rounds = 0_u32;
            loop {
                let difference = self.compare(kind)?;
                if difference == Difference::default() {
                    break;
                }
                rounds = rounds.saturating_add(1);
                let done = self.step(kind, difference)?;
                if rounds > ROUNDS || !done {
                    let text = "the kernel refuses a part of the former state";
                    return Err(self.kernel.slot.fail(Code::Verify, Subject::Interface, text));
                }
            }
        }
        // Adding routes may have removed nothing, so the addresses are compared again.
        let left = self.compare(Kind::Address)?;
        if left == Difference::default() {
            return Ok(self.changed);
        }
        let text = "the addresses changed while the routes were restored";
        Err(self.kernel.slot.fail(Code::Verify, Subject::Interface, text))
    }

    /// Counts the differences. Changes nothing.
    ///
    /// # Errors
    /// The kernel's error, [`Code::Storage`].
    pub fn count(mut self) -> Result<u32, Fault> {
        let mut count = 0_u32;
        for kind in [Kind::Address, Kind::Route] {
            let Difference { extra, missing, turned } = self.compare(kind)?;
            let mut at = 0;
            while at < extra {
                let mut reader = Reader { file: &mut self.extras, at, end: extra, moved: (0, 0) };
                if reader.next()?.is_none() {
                    break;
                }
                at = reader.at;
                count = count.saturating_add(1);
            }
            let turned = turned.map(u32::from);
            count =
                turned.iter().fold(count.saturating_add(missing), |sum, n| sum.saturating_add(*n));
        }
        Ok(count)
    }

    fn compare(&mut self, kind: Kind) -> Result<Difference, Fault> {
        let Self { kernel, index, extras, moved, .. } = self;
        let slot = kernel.slot;
        let mut difference = Difference::default();
        steady(slot, Subject::Interface, &mut || {
            index.unmark()?;
            extras.clear()?;
            difference = Difference::default();
            let mut last = [0; 2];
            each(kernel, moved.1, &[kind], &mut |raw, way| {
                match index.find(&key(raw))? {
                    Some((n, entry)) => {
                        let ([v6, v4], [turned_v6, turned_v4]) =
                            (&mut last, &mut difference.turned);
                        let (last, turned) =
                            if raw.is_v4() { (v4, turned_v4) } else { (v6, turned_v6) };
                        *turned |= kind == Kind::Address && entry.offset < *last;
                        *last = entry.offset;
                        index.mark(n, Mark::Same)
                    }
                    // Items of other interfaces are restored, and never removed.
                    None if kind == Kind::Route && (!way.through || way.elsewhere) => Ok(()),
                    None => {
                        let mut record = [0; RECORD];
                        let len = raw.record(&mut record);
                        extras.write(difference.extra, record.get(..len).unwrap_or_default())?;
                        let len = u32::try_from(len).unwrap_or(u32::MAX);
                        difference.extra = difference.extra.saturating_add(len);
                        Ok(())
                    }
                }
            })
        })?;
        let mut n = 0;
        while let Some(entry) = self.index.get(n)? {
            n = n.saturating_add(1);
            let there = entry.mark != Mark::Missing || entry.key.0.first() != Some(&(kind as u8));
            if !there && !self.expired(entry.offset)? {
                difference.missing = difference.missing.saturating_add(1);
            }
        }
        Ok(difference)
    }

    /// Whether the lifetime of an item has expired since.
    fn expired(&mut self, offset: u32) -> Result<bool, Fault> {
        let Self { file, span, moved, .. } = self;
        let mut reader = Reader { file, at: offset, end: span.end, moved: *moved };
        let valid = reader.next()?.map_or(0, |raw| raw.valid);
        Ok(valid != FOREVER && valid <= self.elapsed)
    }

    /// Removes surplus items; if there are none, adds missing ones; if there are none, removes addresses that are out
    /// of order. Returns whether anything was done.
    ///
    /// The kernel appends an IPv4 address and prepends an IPv6 address, so IPv6 addresses are added from the last to
    /// the first.
    fn step(&mut self, kind: Kind, difference: Difference) -> Result<bool, Fault> {
        let mut done = false;
        if difference.extra > 0 {
            let mut at = 0;
            loop {
                let mut reader =
                    Reader { file: &mut self.extras, at, end: difference.extra, moved: (0, 0) };
                let Some(raw) = reader.next()? else { return Ok(done) };
                at = reader.at;
                done |= self.change(&raw, false)?;
            }
        }
        let mut first = None;
        for backwards in [false, true] {
            let mut at = if backwards { self.span.end } else { self.span.from };
            loop {
                let Self { file, span, moved, .. } = self;
                let mut reader = Reader { file, at, end: span.end, moved: *moved };
                let raw = if backwards { reader.back(span.from)? } else { reader.next()? };
                let before = core::mem::replace(&mut at, reader.at);
                let Some(raw) = raw else { break };
                let last_first = kind == Kind::Address && !raw.is_v4();
                if raw.kind != kind || last_first != backwards {
                    continue;
                }
                if difference.missing == 0 {
                    let [v6, v4] = difference.turned;
                    if if raw.is_v4() { v4 } else { v6 } {
                        done |= self.change(&raw, false)?;
                    }
                    continue;
                }
                let offset = if backwards { at } else { before };
                let entry = self.index.find(&key(&raw))?;
                let missing = entry.is_some_and(|(_, entry)| entry.mark == Mark::Missing);
                if missing && !self.expired(offset)? {
                    match self.change(&raw, true) {
                        Ok(changed) => done |= changed,
                        // The item may depend on a route that is added later.
                        Err(fault) => {
                            let failure = self.kernel.slot.take(fault);
                            first.get_or_insert(failure);
                        }
                    }
                }
            }
        }
        match first {
            Some(failure) if !done => Err(self.kernel.slot.restore(failure)),
            _ => Ok(done),
        }
    }

    /// Adds or removes an item. Returns `false` if the kernel was already in that state.
    fn change(&mut self, raw: &Raw, comes: bool) -> Result<bool, Fault> {
        let elapsed = self.elapsed;
        let changed = self
            .kernel
            .change(Protocol::Route, subject(raw), &|buf, seq| raw.write(buf, seq, comes, elapsed));
        self.changed = true;
        let slot = self.kernel.slot;
        let already = if comes { [Errno::EEXIST; 2] } else { [Errno::EADDRNOTAVAIL, Errno::ESRCH] };
        match changed {
            Err(_) if already.iter().any(|errno| slot.is(*errno)) => Ok(!comes),
            changed => changed.map(|()| true),
        }
    }
}

fn key(raw: &Raw) -> ItemKey {
    let (mut key, mut at) = ([0; ITEM_KEY_LEN], 0);
    put(&mut key, &mut at, &[raw.kind as u8]);
    put(&mut key, &mut at, &raw.digest());
    ItemKey(key)
}

/// The subject of a failure.
fn subject(raw: &Raw) -> Subject {
    let message = raw.message();
    let net = |net: IpNet| {
        if raw.kind == Kind::Address { Subject::Address(net) } else { Subject::Route(net) }
    };
    match raw.kind {
        Kind::Address => Addr::parse(&message).ok().map(|addr| addr.net),
        Kind::Route => Route::parse(&message).ok().map(|route| route.dst),
    }
    .map_or(Subject::Interface, net)
}
