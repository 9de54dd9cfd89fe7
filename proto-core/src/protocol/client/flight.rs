//! A window of pieces in flight: which piece to send next, which transmissions are lost, and how
//! long to wait for a reply.
//!
//! Every transmission of a piece has a request number of its own, so a reply names the transmission
//! that it answers. The round trip is exact even for a piece that was sent twice (Karn's ambiguity
//! does not arise), and so is the position in the order of transmissions.
//!
//! - *Order*: a transmission is lost when enough later ones were answered. The required number
//!   ([`Flight::reorder`]) grows on a path that reorders packets.
//! - *Time*: only when no reply arrives for the resend time is the oldest transmission repeated,
//!   one piece at a time. Every reply restarts that time, so a slow line that still carries replies
//!   of the window causes no resend, however long the window takes.

use super::{Caller, ClientError, MIN_RESEND, Pace};
use crate::protocol::window::{Arrived, WINDOW};

/// Number of transmissions whose times are kept: twice a window.
const SENDINGS: usize = 128;
/// On a path that may reorder packets, a transmission is lost when this many later ones were
/// answered first.
const REORDER: u32 = 4;
/// Smallest size of the window in pieces.
const MIN_WINDOW: u32 = 4;
/// Shortest time between replies of a slow line, in milliseconds.
const CRAWL: u32 = 300;
/// Bytes in the frames of a request and its reply, besides the data.
const OVERHEAD: u32 = 140;
/// Bytes in the frame of a piece, besides the data.
const FRAME: u32 = 64;

/// The last transmission of a piece.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// The piece that was sent from this slot, plus one; 0 if there is none.
    piece: u32,
    order: u32,
    sent: u64,
    /// Bytes of data that were sent.
    bytes: u16,
}

/// A transmission, by its position in the order of transmissions, which starts at 1.
#[derive(Clone, Copy, Debug, Default)]
struct Sending {
    order: u32,
    sent: u64,
    /// Whether the transmission was counted as lost.
    lost: bool,
}

/// The window of pieces; the module describes its rules.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    total: u32,
    piece_size: u16,
    /// Largest number of bytes in flight, and of pieces.
    in_flight: u32,
    limit: u32,
    /// Current number of pieces allowed in flight.
    window: u32,
    pub(super) arrived: Arrived,
    slots: [Slot; WINDOW as usize],
    sendings: [Sending; SENDINGS],
    /// The number of the first request.
    first_id: Option<u32>,
    /// Position of the last transmission.
    last: u32,
    /// The latest transmission that was answered.
    newest: Sending,
    /// See [`REORDER`].
    reorder: u32,
    /// Bytes that a piece and its reply take on a line.
    bytes: u32,
    heard: u64,
    pace: Pace,
    /// Number of measured times between two replies, and the shortest one in milliseconds.
    gaps: u32,
    least_gap: u32,
    /// Time at which the resend time last expired, and how often it has expired since the last
    /// reply.
    timed_out: u64,
    timeouts: u32,
    /// Whether a piece was lost: a shorter resend time then pays on a long path.
    lossy: bool,
    /// Transmissions answered and lost since the window was adapted.
    counts: (u32, u32),
}

/// The next action of a [`Flight`].
pub(super) enum Next {
    Send(u32),
    Wait(u64),
    Complete,
}

fn ring(order: u32) -> usize {
    usize::try_from(order).unwrap_or(0) % SENDINGS
}

impl Flight {
    pub(super) fn new(total: u32, piece_size: u16, in_flight: u32, now: u64) -> Self {
        // Packed pieces have a third of their size or more.
        let pieces = in_flight.saturating_mul(4).checked_div(piece_size.into());
        let limit = pieces.unwrap_or(1).clamp(1, WINDOW);
        Self {
            total,
            piece_size,
            in_flight,
            limit,
            window: limit,
            arrived: Arrived::default(),
            slots: [Slot::default(); WINDOW as usize],
            sendings: [Sending::default(); SENDINGS],
            first_id: None,
            last: 0,
            newest: Sending::default(),
            reorder: 0,
            bytes: OVERHEAD.saturating_add(piece_size.into()),
            heard: now,
            pace: Pace::default(),
            gaps: 0,
            least_gap: u32::MAX,
            timed_out: 0,
            timeouts: 0,
            lossy: false,
            counts: (0, 0),
        }
    }

    /// Whether all pieces have arrived.
    pub(super) fn is_complete(&self) -> bool {
        self.arrived.base >= self.total
    }

    /// Whether `id` is the number of a transmission of this flight.
    pub(super) fn has_sent(&self, id: u32) -> bool {
        self.order(id).is_some()
    }

    fn order(&self, id: u32) -> Option<u32> {
        let order = id.wrapping_sub(self.first_id?).checked_add(1)?;
        (order <= self.last).then_some(order)
    }

    fn slot(&self, index: u32) -> Slot {
        let slot = usize::try_from(index % WINDOW).ok().and_then(|at| self.slots.get(at));
        slot.filter(|slot| slot.piece == index.saturating_add(1)).copied().unwrap_or_default()
    }

    /// Whether enough later transmissions were answered, or one that was sent long enough after
    /// this one.
    fn is_overtaken(&self, caller: &Caller, slot: &Slot) -> bool {
        if caller.line.in_order {
            return self.newest.order > slot.order;
        }
        let enough = REORDER.saturating_add(self.reorder);
        let margin = u64::from(caller.smoothed().max(MIN_RESEND) / 2);
        // In proportion to the initial number, `REORDER`.
        let margin = margin.saturating_mul(enough.into()) / 4;
        self.newest.order >= slot.order.saturating_add(enough)
            || (self.newest.order > slot.order
                && self.newest.sent > slot.sent.saturating_add(margin))
    }

    /// Whether one more piece of this many bytes fits beside `count` pieces of `bytes` bytes. The router has room for
    /// a third more than the data, for the frames.
    fn has_room(&self, count: u32, bytes: u32, size: u16) -> bool {
        let (count, bytes) = (count.saturating_add(1), bytes.saturating_add(size.into()));
        let framed = bytes.saturating_add(count.saturating_mul(FRAME));
        count <= self.window
            && bytes <= self.in_flight
            && framed <= self.in_flight.saturating_add(self.in_flight / 3)
    }

    /// Returns what to do at the time `now`. After [`Next::Send`] call [`Flight::sent`]. `size` returns how many bytes
    /// of data a piece has on the line, at most the size of a piece.
    pub(super) fn next(
        &mut self,
        caller: &Caller,
        now: u64,
        size: &mut dyn FnMut(u32) -> u16,
    ) -> Result<Next, ClientError> {
        if self.is_complete() {
            return Ok(Next::Complete);
        }
        let give_up = self.heard.saturating_add(caller.patience.give_up.into());
        if now >= give_up {
            return Err(ClientError::Silence);
        }
        let (mut under_way, mut bytes) = (0_u32, 0_u32);
        let (mut wanted, mut oldest) = (None, None::<(Slot, u32)>);
        let end = self.arrived.base.saturating_add(WINDOW).min(self.total);
        for index in self.arrived.base..end {
            if self.arrived.has(index) {
                continue;
            }
            let slot = self.slot(index);
            if slot.piece == 0 {
                wanted = wanted.or(Some((slot, index)));
            } else if self.is_overtaken(caller, &slot) {
                // A lost piece goes before a new one, even if its index is higher.
                if wanted.is_none_or(|(wanted, _)| wanted.piece == 0) {
                    wanted = Some((slot, index));
                }
            } else {
                under_way = under_way.saturating_add(1);
                bytes = bytes.saturating_add(slot.bytes.into());
                if oldest.is_none_or(|(oldest, _)| slot.order < oldest.order) {
                    oldest = Some((slot, index));
                }
            }
        }
        let mut room = |index| {
            under_way == 0
                || self.has_room(under_way, bytes, self.piece_size)
                || self.has_room(under_way, bytes, 1)
                    && self.has_room(under_way, bytes, size(index))
        };
        if let Some((slot, index)) = wanted.filter(|&(_, index)| room(index)) {
            if slot.piece != 0 {
                self.lossy = true;
                self.lose(slot.order);
            }
            return Ok(Next::Send(index));
        }
        let Some((slot, index)) = oldest else { return Ok(Next::Wait(give_up)) };
        let wait = caller.resend_after(self.timeouts, self.lossy, self.bytes, self.pace);
        let since = slot.sent.max(self.heard).max(self.timed_out);
        let due = since.saturating_add(wait);
        if now < due {
            return Ok(Next::Wait(due.min(give_up)));
        }
        self.timeouts = self.timeouts.saturating_add(1);
        self.timed_out = now;
        self.lose(slot.order);
        Ok(Next::Send(index))
    }

    /// Counts a transmission as lost.
    fn lose(&mut self, order: u32) {
        if let Some(sending) = self.sendings.get_mut(ring(order)).filter(|s| s.order == order) {
            sending.lost = true;
        }
        self.counts.1 = self.counts.1.saturating_add(1);
        self.adapt();
    }

    /// Shrinks the window while most transmissions are lost, and grows it again afterwards.
    fn adapt(&mut self) {
        let (answered, lost) = self.counts;
        if answered.saturating_add(lost) < self.window {
            return;
        }
        self.counts = (0, 0);
        self.window = if lost / 3 > answered / 2 {
            (self.window / 2).max(MIN_WINDOW)
        } else {
            self.window.saturating_add(self.window / 4).saturating_add(1)
        }
        .min(self.limit);
    }

    /// Records that piece `index` was sent as request `id`, in `bytes` bytes of data.
    pub(super) fn sent(&mut self, index: u32, id: u32, bytes: u16, now: u64) {
        let first = *self.first_id.get_or_insert(id);
        let order = id.wrapping_sub(first).saturating_add(1);
        self.last = order;
        let at = usize::try_from(index % WINDOW).unwrap_or(0);
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Slot { piece: index.saturating_add(1), order, sent: now, bytes };
        }
        if let Some(sending) = self.sendings.get_mut(ring(order)) {
            *sending = Sending { order, sent: now, lost: false };
        }
    }

    /// Records that request `id` was answered.
    pub(super) fn heard(&mut self, caller: &mut Caller, id: u32, now: u64) {
        let Some(order) = self.order(id) else { return };
        let quiet = u32::try_from(now.saturating_sub(self.heard)).unwrap_or(u32::MAX);
        self.heard = now;
        // The same reply may arrive twice: only the first is measured.
        let found = self.sendings.get_mut(ring(order)).filter(|sending| sending.order == order);
        let Some(sending) = found.map(core::mem::take) else { return };
        // A reply to a transmission before the timeout shows that the timeout was too early.
        if self.timeouts == 0 || sending.sent < self.timed_out {
            self.pace.gap = quiet.max(self.pace.gap.saturating_sub(self.pace.gap / 8));
        }
        self.gaps = self.gaps.saturating_add(1);
        self.least_gap = self.least_gap.min(quiet);
        // A few replies may be far apart because the replies between them were lost.
        self.pace.crawls = self.gaps > REORDER && self.least_gap >= CRAWL;
        self.timeouts = 0;
        if sending.lost {
            self.reorder = self.reorder.saturating_add(REORDER).min(WINDOW);
        }
        if order > self.newest.order {
            self.newest = sending;
        }
        caller.timed(now.saturating_sub(sending.sent));
        self.counts.0 = self.counts.0.saturating_add(1);
        self.adapt();
    }

    /// Records that the router answered, and restarts the time to give up.
    pub(super) const fn restart(&mut self, now: u64) {
        self.heard = now;
    }

    pub(super) fn merge(&mut self, arrived: Arrived) {
        match arrived.base.cmp(&self.arrived.base) {
            core::cmp::Ordering::Less => {}
            core::cmp::Ordering::Equal => self.arrived.ahead |= arrived.ahead,
            core::cmp::Ordering::Greater => self.arrived = arrived,
        }
    }
}
