//! The image of a typed configuration: from the text of a wg-quick file to the image that a push of
//! the file would carry. Any length, in fixed memory: `proto_core::protocol::draft` reads the text,
//! and the pieces are stored and sorted in files.
//!
//! ```text
//! text --draft--> records of peers (heap), keys of items (index) --sort--> image, after the text
//! ```
//!
//! Not here: duplicates in two peers, and values that cannot be applied. The image is checked like
//! that of a push.

use proto_core::conf::{
    ConfError, Field, File as WgFile, Item as Word, Part, Problem, QuickFile, Span as Place, Stop,
};
use proto_core::ip::IpNet;
use proto_core::key;
use proto_core::protocol::config::{Item, PrivateKey, Record};
use proto_core::protocol::draft::{Draft, DraftError, Piece};
use proto_core::protocol::message::Name;

use crate::config::image::{Records, Span};
use crate::config::index::{Entry, Index, Mark};
use crate::config::records::RecordWriter;
use crate::config::set_sum::SetSum;
use crate::fault::{Fault, Slot};
use crate::store::noted::Noted;
use crate::system::File;

/// The longest value of a setting of wg-quick(8) in bytes.
const VALUE: usize = 1024;
/// Number of allowed IPs of a peer that are sorted at once.
const PASS: usize = 32;
/// Number of bytes that are read at once.
const PIECE: usize = 256;

/// A remark about the text.
#[derive(Clone, Copy, Debug)]
pub enum Remark<'r> {
    /// A mistake, and its column from 1; 0 if only the line is known.
    Mistake(&'r ConfError, u32),
    /// A setting that is ignored: its line, its name, and the reason.
    LeftOut(u32, &'r str, &'r str),
}

/// Files whose earlier contents are dropped.
#[derive(Debug)]
pub struct Scratch<'f, F> {
    /// For the records of peers.
    pub heap: &'f mut F,
    /// For the keys of items.
    pub index: &'f mut F,
    /// For sorting.
    pub other: &'f mut F,
}

/// The parts of the text that were read.
struct Kept<'k, 'h, 'i, F> {
    heap: &'k mut RecordWriter<'h, F>,
    index: &'k mut Index<'i, F>,
    /// Offset of the records of the current peer.
    from: u32,
}

impl<F: File> Kept<'_, '_, '_, F> {
    fn keep(&mut self, piece: Piece) -> Result<(), Fault> {
        let mut note = |item: Item, offset| {
            let (key, allowed_ips) = (item.key(), SetSum::default());
            self.index.push(&Entry { key, offset, allowed_ips, mark: Mark::Missing })
        };
        match piece {
            Piece::Item(item) => return note(item, 0),
            Piece::AllowedIp(net) => return self.heap.record(&Record::AllowedIp(net)),
            Piece::Peer(peer) => {
                note(Item::Peer(peer.public_key), self.from)?;
                self.heap.record(&Record::Peer(peer))?;
            }
            Piece::Host(host) => self.heap.record(&Record::Host(host))?,
        }
        self.from = self.heap.at();
        Ok(())
    }
}

/// The state of reading the text.
struct Reading<'r, 'h, 'i, F> {
    draft: &'r mut Draft,
    kept: Kept<'r, 'h, 'i, F>,
    remark: &'r mut dyn FnMut(&Remark<'_>),
    mistakes: u32,
    /// Number of bytes of the line that the reader of wg(8)'s lines does not see.
    indent: usize,
    failed: Option<Fault>,
}

/// The column of the wrong part of a value, from 1.
fn column_in(at: Place, error: &DraftError<Fault>, value: &str) -> u32 {
    let DraftError::Mistake(ConfError { value: wrong, .. }) = error else { return 0 };
    let within = value.find(&**wrong).unwrap_or(0);
    (at.text.from as u32).saturating_add(within as u32).saturating_add(1)
}

impl<F: File> Reading<'_, '_, '_, F> {
    fn mistake(&mut self, error: &ConfError, column: u32) {
        self.mistakes = self.mistakes.saturating_add(1);
        (self.remark)(&Remark::Mistake(error, column));
    }

    /// Handles a refusal of the draft.
    fn refused(&mut self, error: DraftError<Fault>, column: u32) -> Result<(), Stop> {
        match error {
            DraftError::Mistake(error) => {
                self.mistake(&error, column);
                Ok(())
            }
            DraftError::Kept(fault) => {
                self.failed = Some(fault);
                Err(Stop)
            }
        }
    }

    fn part(&mut self, wg: &mut WgFile, at: Place, part: &Part<'_>) -> Result<(), Stop> {
        match part {
            Part::Wg(bytes) => {
                self.indent = at.text.from;
                self.wg(wg, bytes)
            }
            Part::Setting(field, value) => {
                let Self { draft, kept, .. } = self;
                match draft.setting(at.line, *field, value, &mut |piece| kept.keep(piece)) {
                    Ok(None) => {}
                    Ok(Some(why)) => (self.remark)(&Remark::LeftOut(at.line, field.name(), why)),
                    Err(error) => {
                        let column = column_in(at, &error, value);
                        self.refused(error, column)?;
                    }
                }
                // The reader of wg(8)'s lines counts this line too.
                self.wg(wg, b"\n")
            }
        }
    }

    /// Reads bytes of lines of wg(8).
    #[inline(never)]
    fn wg(&mut self, wg: &mut WgFile, bytes: &[u8]) -> Result<(), Stop> {
        wg.feed(bytes, &mut |at, item| self.item(at, item)).map_err(|_| Stop)
    }

    fn item(&mut self, at: Place, item: &Word<'_>) -> Result<(), Stop> {
        let about = match item {
            Word::Mistake(error) if error.problem == Problem::NoValue => at.name,
            _ => at.text,
        };
        let column = about.from.saturating_add(self.indent).saturating_add(1) as u32;
        let Self { draft, kept, .. } = self;
        match draft.item(at.line, item, &mut |piece| kept.keep(piece)) {
            Ok(()) => Ok(()),
            Err(error) => self.refused(error, column),
        }
    }

    /// Reads the whole text.
    fn read(&mut self, mut text: Noted<'_, F>, len: u32) -> Result<(), Stop> {
        let mut wg = WgFile::all_errors();
        let mut value = [0; VALUE];
        let mut quick = QuickFile::new(&mut value);
        let mut piece = [0; PIECE];
        let (mut at, mut pass) = (0_u32, false);
        while at < len {
            let room = (len.saturating_sub(at) as usize).min(PIECE);
            let got = text.read(at, piece.get_mut(..room).unwrap_or_default());
            let got = got.map_err(|fault| self.failed = Some(fault)).map_err(|()| Stop)?;
            if got == 0 {
                break;
            }
            at = at.saturating_add(got as u32);
            // At most one line at once: after a mistake the rest of its line is passed over.
            for run in piece.get(..got).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
                let ends = run.ends_with(b"\n");
                let run = match (pass, ends) {
                    (true, false) => b"",
                    (true, true) => &b"\n"[..],
                    (false, _) => run,
                };
                match quick.feed(run, &mut |at, part| self.part(&mut wg, at, part)) {
                    Ok(()) => pass &= !ends,
                    Err(_) if self.failed.is_some() => return Err(Stop),
                    Err(error) => {
                        let column = quick.span().name.from.saturating_add(1) as u32;
                        self.mistake(&error, column);
                        // The reader is at the start of the line again, unless it was at the end.
                        pass = !ends;
                        if error.problem == Problem::TooLong && ends {
                            let _ = quick.feed(b"\n", &mut |at, part| self.part(&mut wg, at, part));
                        }
                        if error.problem != Problem::TooLong {
                            self.wg(&mut wg, b"\n")?;
                        }
                    }
                }
            }
        }
        zeroize::Zeroize::zeroize(piece.as_mut_slice());
        let ended = quick.end(&mut |at, part| self.part(&mut wg, at, part));
        if let Err(error) = ended.map_err(|error| Some(error).filter(|_| self.failed.is_none())) {
            self.mistake(&error.ok_or(Stop)?, 0);
        }
        wg.end(&mut |at, item| self.item(at, item)).map_err(|_| Stop)?;
        let Self { draft, kept, .. } = self;
        match draft.end(&mut |piece| kept.keep(piece)) {
            Ok(()) => Ok(()),
            Err(error) => self.refused(error, 0),
        }
    }
}

/// Makes the image of the interface `name` from the text in the first `len` bytes of a file, and
/// writes it after the text. Returns its place; `None` if the text has a mistake. `remark` receives
/// all remarks, in the order of the lines.
///
/// # Errors
/// `Code::Storage`.
#[inline(never)]
pub fn image_of_text<F: File>(
    slot: &Slot,
    name: &Name,
    (file, len): (&mut F, u32),
    Scratch { heap, index, other }: Scratch<'_, F>,
    remark: &mut dyn FnMut(&Remark<'_>),
) -> Result<Option<Span>, Fault> {
    let mut index = Index::new(slot, index);
    index.clear()?;
    let mut records = RecordWriter::new(slot, Some(&mut *heap), 0)?;
    let mut draft = Draft::new(*name);
    let mut mistakes = {
        let kept = Kept { heap: &mut records, index: &mut index, from: 0 };
        let (draft, remark) = (&mut draft, &mut *remark);
        let (mistakes, indent, failed) = (0, 0, None);
        let mut reading = Reading { draft, kept, remark, mistakes, indent, failed };
        let read = reading.read(Noted { slot, file: &mut *file }, len);
        if let (Err(Stop), Some(fault)) = (read, reading.failed) {
            return Err(fault);
        }
        reading.mistakes
    };
    let (end, _) = records.finish()?;

    // The routes, now that the table and the addresses are known.
    let own = match &draft.interface().private_key {
        PrivateKey::Given(secret) => Some(key::public(secret)),
        PrivateKey::None | PrivateKey::Generate => None,
    };
    let mut records = Records::new(slot, &mut *heap, 0, end);
    while let Some(record) = records.next()? {
        match record {
            Record::AllowedIp(net) => draft.route(*net, &mut |piece| match piece {
                Piece::Item(item) => {
                    let (key, allowed_ips) = (item.key(), SetSum::default());
                    index.push(&Entry { key, offset: 0, allowed_ips, mark: Mark::Missing })
                }
                _ => Ok(()),
            })?,
            Record::Peer(peer) if Some(peer.public_key) == own => {
                mistakes = mistakes.saturating_add(1);
                let words = "is the key of the interface itself, which cannot be its own peer";
                remark(&Remark::Mistake(&ConfError::about(Field::PublicKey, words), 0));
            }
            _ => {}
        }
    }
    if mistakes > 0 {
        return Ok(None);
    }
    index.flush()?;
    index.sort(other)?;

    let mut image = RecordWriter::behind(slot, Some(file), len);
    image.record(&Record::Interface(draft.interface().clone()))?;
    let (mut n, mut last) = (0_u32, None);
    while let Some(entry) = index.get(n)? {
        n = n.saturating_add(1);
        let again = last.replace(entry.key) == Some(entry.key);
        let Some(item) = Item::from_key(&entry.key) else { continue };
        match item.record() {
            None => write_peer(slot, heap, Span { from: entry.offset, end }, &mut image)?,
            // One route is enough for an allowed IP of two peers.
            Some(_) if again => {}
            Some(record) => image.record(&record)?,
        }
    }
    let (length, _) = image.finish()?;
    Ok(Some(Span { from: len, end: len.saturating_add(length) }))
}

/// Writes a peer, whose allowed IPs are before it in the heap.
fn write_peer<F: File>(
    slot: &Slot,
    heap: &mut F,
    Span { from, end }: Span,
    image: &mut RecordWriter<'_, F>,
) -> Result<(), Fault> {
    let mut records = Records::new(slot, &mut *heap, from, end);
    while let Some(record) = records.next()? {
        if matches!(record, Record::Peer(_)) {
            image.record(record)?;
            break;
        }
    }
    if let Some(host @ Record::Host(_)) = records.next()? {
        image.record(host)?;
    }
    // Sorted and without duplicates, as in an image of `postwire`, so that both are the same bytes.
    let mut last = None;
    loop {
        let mut next: heapless::Vec<IpNet, PASS> = heapless::Vec::new();
        let mut records = Records::new(slot, &mut *heap, from, end);
        while let Some(Record::AllowedIp(net)) = records.next()? {
            let at = next.partition_point(|other| other < net);
            if last.is_some_and(|last| *net <= last) || next.get(at) == Some(net) {
                continue;
            }
            if next.is_full() {
                if at == PASS {
                    continue;
                }
                let _ = next.pop();
            }
            let _ = next.insert(at, *net);
        }
        for net in &next {
            image.record(&Record::AllowedIp(*net))?;
        }
        last = next.last().copied();
        if !next.is_full() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
