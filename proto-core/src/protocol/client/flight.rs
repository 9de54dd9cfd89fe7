//! A window of pieces under way: which piece to send next, which sendings are lost, and how long to
//! wait for a reply.
//!
//! Every sending of a piece has a request number of its own. So a reply names the sending that it
//! answers: its round trip is exact also for a piece that was sent twice (Karn's ambiguity does not
//! arise), and so is its place in the order of sendings.
//!
//! - *Order*: a sending is lost when enough later sendings were answered. How many are enough
//!   ([`Flight::reorder`]) grows on a way that swaps packets.
//! - *Time*: only when nothing at all was heard for the resend time is the oldest sending repeated,
//!   one piece at a time. Every reply starts that time again, so a slow line that still carries
//!   replies of the window causes no resend, however long the window takes.

use super::{Caller, ClientError, MIN_RESEND, Pace};
use crate::protocol::window::{Arrived, WINDOW};

/// Number of sendings whose times are remembered: twice a window.
const SENDINGS: usize = 128;
/// On a way that may swap packets, a sending is lost when this many later ones were answered first.
const REORDER: u32 = 4;
/// The window does not shrink below this many pieces.
const MIN_WINDOW: u32 = 4;
/// Replies of a slow line are never closer together than this, in milliseconds.
const CRAWL: u32 = 300;
/// Bytes that the frames of a request and of its reply have besides the data.
const OVERHEAD: u32 = 140;

/// The last sending of a piece.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// The piece that was sent from this slot, plus one; 0 for none.
    piece: u32,
    order: u32,
    sent: u64,
}

/// A sending, by its place in the order of sendings, which starts at 1.
#[derive(Clone, Copy, Debug, Default)]
struct Sending {
    order: u32,
    sent: u64,
    /// It was counted as lost.
    lost: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    total: u32,
    /// Most pieces that may be under way.
    limit: u32,
    /// Pieces that may be under way now.
    window: u32,
    pub(super) arrived: Arrived,
    slots: [Slot; WINDOW as usize],
    sendings: [Sending; SENDINGS],
    /// The number of the first request.
    first_id: Option<u32>,
    /// The order of the last sending.
    last: u32,
    /// The latest sending that was answered.
    newest: Sending,
    /// See [`REORDER`].
    reorder: u32,
    /// Bytes of a piece with its reply on a line.
    bytes: u32,
    heard: u64,
    pace: Pace,
    /// Number of times between two replies, and the shortest one in milliseconds.
    gaps: u32,
    least_gap: u32,
    /// When a resend time was over last, and how often it was since something was heard.
    timed_out: u64,
    timeouts: u32,
    /// A piece was lost: a shorter resend time is worth it on a long way.
    lossy: bool,
    /// Sendings answered and lost since the window was adapted.
    counts: (u32, u32),
}

/// What a [`Flight`] wants next.
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
        let limit = in_flight.checked_div(piece_size.into()).unwrap_or(1).clamp(1, WINDOW);
        Self {
            total,
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

    /// Whether `id` is the number of a sending of this flight.
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

    /// Whether later sendings than this were answered, enough of them or sent long enough after it.
    fn is_overtaken(&self, caller: &Caller, slot: &Slot) -> bool {
        if caller.line.in_order {
            return self.newest.order > slot.order;
        }
        let enough = REORDER.saturating_add(self.reorder);
        let margin = u64::from(caller.smoothed().max(MIN_RESEND) / 2);
        // In proportion to what is enough at first, `REORDER`.
        let margin = margin.saturating_mul(enough.into()) / 4;
        self.newest.order >= slot.order.saturating_add(enough)
            || (self.newest.order > slot.order
                && self.newest.sent > slot.sent.saturating_add(margin))
    }

    /// What to do at the time `now`. After [`Next::Send`] call [`Flight::sent`].
    pub(super) fn next(&mut self, caller: &Caller, now: u64) -> Result<Next, ClientError> {
        if self.is_complete() {
            return Ok(Next::Complete);
        }
        let give_up = self.heard.saturating_add(caller.patience.give_up.into());
        if now >= give_up {
            return Err(ClientError::Silence);
        }
        let (mut under_way, mut wanted, mut oldest) = (0_u32, None, None::<(Slot, u32)>);
        let end = self.arrived.base.saturating_add(WINDOW).min(self.total);
        for index in self.arrived.base..end {
            if self.arrived.has(index) {
                continue;
            }
            let slot = self.slot(index);
            if slot.piece == 0 {
                wanted = wanted.or(Some((slot, index)));
            } else if self.is_overtaken(caller, &slot) {
                // A lost piece goes before a new one, also where its index is higher.
                if wanted.is_none_or(|(wanted, _)| wanted.piece == 0) {
                    wanted = Some((slot, index));
                }
            } else {
                under_way = under_way.saturating_add(1);
                if oldest.is_none_or(|(oldest, _)| slot.order < oldest.order) {
                    oldest = Some((slot, index));
                }
            }
        }
        if let Some((slot, index)) = wanted.filter(|_| under_way < self.window) {
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

    /// Counts a sending as lost.
    fn lose(&mut self, order: u32) {
        if let Some(sending) = self.sendings.get_mut(ring(order)).filter(|s| s.order == order) {
            sending.lost = true;
        }
        self.counts.1 = self.counts.1.saturating_add(1);
        self.adapt();
    }

    /// Makes the window smaller while most of what is sent is lost, and larger again after.
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

    /// Notes that piece `index` was sent as request `id`.
    pub(super) fn sent(&mut self, index: u32, id: u32, now: u64) {
        let first = *self.first_id.get_or_insert(id);
        let order = id.wrapping_sub(first).saturating_add(1);
        self.last = order;
        let at = usize::try_from(index % WINDOW).unwrap_or(0);
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Slot { piece: index.saturating_add(1), order, sent: now };
        }
        if let Some(sending) = self.sendings.get_mut(ring(order)) {
            *sending = Sending { order, sent: now, lost: false };
        }
    }

    /// Notes that request `id` was answered.
    pub(super) fn heard(&mut self, caller: &mut Caller, id: u32, now: u64) {
        let Some(order) = self.order(id) else { return };
        let quiet = u32::try_from(now.saturating_sub(self.heard)).unwrap_or(u32::MAX);
        self.heard = now;
        // The same reply may come twice: it is timed once.
        let found = self.sendings.get_mut(ring(order)).filter(|sending| sending.order == order);
        let Some(sending) = found.map(core::mem::take) else { return };
        // A reply to what was sent before the time was over says that it was over too early.
        if self.timeouts == 0 || sending.sent < self.timed_out {
            self.pace.gap = quiet.max(self.pace.gap.saturating_sub(self.pace.gap / 8));
        }
        self.gaps = self.gaps.saturating_add(1);
        self.least_gap = self.least_gap.min(quiet);
        // A few replies may be far apart because those between them were lost.
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

    /// Notes that the router is there and is given all its time again.
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
