//! The peers of the pretty form, sorted by their latest handshakes, newest first, in fixed memory:
//! each pass over the records finds the next few.

use proto_core::netlink::wireguard::Handshake;

use super::spool::Spool;
use crate::fault::Fault;
use crate::system::File;

/// Number of peers that a pass finds.
const PASS: usize = 128;
/// seconds, nanoseconds, begin, end
const RECORD: usize = 8 + 8 + 4 + 4;

/// The time of a peer's latest handshake, and its number: the sort key.
type Key = (i64, i64, u32);

/// The place of each peer's text, and the time of the peer's latest handshake.
pub(crate) struct Order<'w, F> {
    spool: Spool<'w, F>,
    last: [u8; RECORD],
}

impl<'w, F: File> Order<'w, F> {
    pub(crate) const fn new(spool: Spool<'w, F>) -> Self {
        Self { spool, last: [0; RECORD] }
    }

    /// Drops all peers.
    pub(crate) const fn clear(&mut self) {
        self.spool.clear();
    }

    /// Number of peers.
    fn count(&self) -> u32 {
        self.spool.records(RECORD)
    }

    /// The text of a peer starts at `at`.
    pub(super) fn begin(&mut self, heard: Option<Handshake>, at: u32) -> Result<(), Fault> {
        let heard = heard.unwrap_or(Handshake { secs: 0, nanos: 0 });
        self.spool.append(&heard.secs.to_le_bytes())?;
        self.spool.append(&heard.nanos.to_le_bytes())?;
        self.spool.append(&at.to_le_bytes())
    }

    /// Ends an entry at `at`.
    pub(super) fn end(&mut self, at: u32) -> Result<(), Fault> {
        self.spool.append(&at.to_le_bytes())
    }

    fn record(&mut self, n: u32) -> Result<(Key, (u32, u32)), Fault> {
        self.spool.read(n.saturating_mul(RECORD as u32), &mut self.last)?;
        let (words, _) = self.last.as_chunks::<8>();
        let [secs, nanos, place] = *words else { return Ok(((0, 0, n), (0, 0))) };
        // The newest handshake sorts first.
        let newest = |word| i64::from_le_bytes(word).saturating_neg();
        let [a, b, c, d, e, f, g, h] = place;
        let place = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        Ok(((newest(secs), newest(nanos), n), place))
    }

    /// The start of the first peer's text; `None` without peers.
    pub(super) fn first(&mut self) -> Result<Option<u32>, Fault> {
        if self.count() == 0 {
            return Ok(None);
        }
        self.record(0).map(|(_, (begin, _))| Some(begin))
    }

    /// Visits the start and end of each peer's text.
    pub(super) fn each(
        &mut self,
        take: &mut dyn FnMut(u32, u32) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut after = None;
        loop {
            let mut found: heapless::Vec<(Key, (u32, u32)), PASS> = heapless::Vec::new();
            for n in 0..self.count() {
                let record = self.record(n)?;
                if after.is_some_and(|after| record.0 <= after) {
                    continue;
                }
                if found.is_full() {
                    if found.last().is_some_and(|last| record.0 > last.0) {
                        continue;
                    }
                    let _ = found.pop();
                }
                // From the end: most often all times are equal, and the peers are in order.
                let at = found.iter().rposition(|other| other.0 < record.0);
                let _ = found.insert(at.map_or(0, |at| at.saturating_add(1)), record);
            }
            for (key, (begin, end)) in &found {
                take(*begin, *end)?;
                after = Some(*key);
            }
            if !found.is_full() {
                return Ok(());
            }
        }
    }
}
