//! Images made on the router from a stored image: the same image again, or with the changes of a patch. Also the
//! digests by which a client finds the differences.
//!
//! Both leave out the first record of the stored image: it holds the interface's private key, even if the pushed
//! image left the key to the router.

use heapless::Vec;
use proto_core::protocol::codec::{self, StepHead};
use proto_core::protocol::config::{Checker, MAX_RECORD, PrivateKey, Record};
use proto_core::protocol::message::{Code, Subject};
use proto_core::protocol::patch::{MAX_BOUNDS, RANGE_LEN, range, split_bound};
use zeroize::Zeroize as _;

use crate::config::image::{Records, Span, digest_of};
use crate::fault::{Fault, Slot};
use crate::store::configurations::Head;
use crate::store::noted::Noted;
use crate::system::File;

/// The longest answer to a request for ranges.
pub(super) const RANGES: usize = (MAX_BOUNDS + 1) * RANGE_LEN;
/// The longest head of a step: a number of one byte and two of five.
const STEP: usize = 11;

/// Copies bytes of `source`, or of `to` itself, into `to` at offset `at`. Returns the offset after
/// them.
#[inline(never)]
fn pour<F: File>(
    slot: &Slot,
    mut source: Option<&mut F>,
    to: &mut F,
    Span { from, end }: Span,
    mut at: u32,
) -> Result<u32, Fault> {
    let mut buf = [0; 512];
    let mut from = from;
    while from < end {
        let left = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX);
        let room = buf.get_mut(..left.min(512)).unwrap_or_default();
        let file = source.as_deref_mut().unwrap_or(&mut *to);
        let got = Noted { slot, file }.read(from, room)?;
        if got == 0 {
            return Err(misfit(slot));
        }
        Noted { slot, file: &mut *to }.write(at, buf.get(..got).unwrap_or_default())?;
        let got = u32::try_from(got).unwrap_or(u32::MAX);
        (from, at) = (from.saturating_add(got), at.saturating_add(got));
    }
    // The buffer held keys.
    buf.zeroize();
    Ok(at)
}

fn misfit(slot: &Slot) -> Fault {
    let text = "the patch does not fit the stored configuration: push the whole image";
    slot.fail(Code::Digest, Subject::None, text)
}

/// Place of the records after the first one in a stored image.
fn rest<F: File>(slot: &Slot, head: &Head, stored: &mut F) -> Result<Span, Fault> {
    let Span { from, end } = head.span();
    let mut records = Records::new(slot, stored, from, end);
    records.next()?;
    Ok(Span { from: records.offset(), end })
}

/// Writes a stored image into `to` as it was pushed. Returns its length.
///
/// # Errors
/// [`Code::Storage`], and faults of the stored image.
pub(super) fn as_pushed<F: File>(
    slot: &Slot,
    head: &Head,
    stored: &mut F,
    to: &mut F,
) -> Result<u32, Fault> {
    let Span { from, end } = head.span();
    let mut records = Records::new(slot, stored, from, end);
    let mut buf = [0; MAX_RECORD];
    let mut len = 0;
    if let Some(Record::Interface(interface)) = records.next()? {
        let mut interface = interface.clone();
        if head.generated {
            interface.private_key = PrivateKey::Generate;
        }
        len = codec::write_record(&Record::Interface(interface), &mut buf).unwrap_or(0);
    }
    let from = records.offset();
    let first = buf.get(..len).unwrap_or_default();
    Noted { slot, file: &mut *to }.write(0, first)?;
    let at = u32::try_from(len).unwrap_or(u32::MAX);
    let poured = pour(slot, Some(stored), to, Span { from, end }, at);
    buf.zeroize();
    poured
}

/// Makes an image: the first `length` bytes of `file` are a patch, and the stored image with the patch applied is
/// written behind them. Returns the place of the new image in the file.
///
/// # Errors
/// [`Code::Digest`] for a patch that does not fit or makes more than `most` bytes, [`Code::Storage`].
pub(super) fn apply<F: File>(
    slot: &Slot,
    (length, most): (u32, u32),
    (head, stored): (&Head, &mut F),
    file: &mut F,
) -> Result<Span, Fault> {
    let base = rest(slot, head, stored)?;
    let (mut from, mut at) = (0, length);
    let limit = length.saturating_add(most);
    while from < length {
        let mut buf = [0; STEP];
        let room = usize::try_from(length.saturating_sub(from)).unwrap_or(STEP).min(STEP);
        let room = buf.get_mut(..room).unwrap_or_default();
        let got = Noted { slot, file: &mut *file }.read(from, room)?;
        let Ok((step, taken)) = codec::step(room.get(..got).unwrap_or_default()) else {
            return Err(misfit(slot));
        };
        from = from.saturating_add(u32::try_from(taken).unwrap_or(0));
        let (source, start, count, end) = match step {
            StepHead::Copy(start, count) => {
                (Some(&mut *stored), base.from.saturating_add(start), count, base.end)
            }
            StepHead::Put(count) => {
                let start = from;
                from = from.saturating_add(count);
                (None, start, count, length)
            }
        };
        let stop = start.saturating_add(count);
        if stop > end || at.saturating_add(count) > limit {
            return Err(misfit(slot));
        }
        at = pour(slot, source, file, Span { from: start, end: stop }, at)?;
    }
    Ok(Span { from: length, end: at })
}

/// Writes the digests of the ranges between `bounds` of a stored image. Returns their length.
///
/// # Errors
/// [`Code::Malformed`] for no bounds, or too many; [`Code::Storage`].
pub(super) fn ranges<F: File>(
    slot: &Slot,
    head: &Head,
    stored: &mut F,
    mut bounds: &[u8],
    out: &mut [u8; RANGES],
) -> Result<usize, Fault> {
    let malformed = || slot.fail(Code::Malformed, Subject::None, "`bounds` cannot be bounds");
    let mut ends = Vec::<u32, { MAX_BOUNDS + 1 }>::new();
    let Span { from, end } = head.span();
    let mut checker = Checker::in_any_order();
    let mut records = Records::new(slot, &mut *stored, from, end);
    let mut first = None;
    loop {
        let at = records.offset();
        let Some(record) = records.next()? else { break };
        let item = checker.record(record).map_err(|error| slot.config(Subject::None, error))?;
        let Some(item) = item else {
            // Records without a key belong to the item before them.
            first = first.or(Some(records.offset()));
            continue;
        };
        let key = item.key().0;
        while let Some((_, rest)) = split_bound(bounds).filter(|(bound, _)| key[..] >= **bound) {
            bounds = rest;
            ends.push(at).map_err(|_| malformed())?;
        }
    }
    while !bounds.is_empty() {
        bounds = split_bound(bounds).ok_or_else(malformed)?.1;
        ends.push(end).map_err(|_| malformed())?;
    }
    ends.push(end).map_err(|_| malformed())?;
    let mut from = first.unwrap_or(end);
    let mut len = 0_usize;
    for (end, place) in ends.iter().zip(out.chunks_exact_mut(RANGE_LEN)) {
        let digest = digest_of(slot, stored, Span { from, end: *end })?;
        for (to, byte) in place.iter_mut().zip(range(&digest, end.saturating_sub(from))) {
            *to = byte;
        }
        (from, len) = (*end, len.saturating_add(RANGE_LEN));
    }
    Ok(len)
}

#[cfg(test)]
mod tests;
