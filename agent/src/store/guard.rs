//! Breaks boot loops: a stored configuration that ended the agent, or the machine, three times while it was applied
//! at a start is held back from the fourth start on. The router then answers its owners, and `status` says why.
//!
//! Each start is recorded in a file under `--keep`, which survives a reboot: when it begins to apply, when everything
//! was applied, and when it is settled (10 s later, or when an owner was answered). An end before it is settled but
//! after everything was applied counts a quarter, so that a few restarts by hand or a pulled plug are no boot loop.
//! After the second unsettled start, the interface that is being applied is recorded too, so that the other
//! interfaces run.
//!
//! A hold ends when an owner pushes, rolls back, repairs or removes the interface. Power cuts look like a
//! configuration that takes the machine down. So that three of them do not cost a router its tunnels, what is held
//! after the machine went down is tried once more when the agent has run for ten minutes.

use core::fmt;

use heapless::String;
use proto_core::protocol::message::cut;

use crate::bytes::{put, put_text, take, text};
use crate::store::keep::{Kind, file_len, payload, replace};
use crate::system::{Disk, File};

const STARTS: Kind = Kind { name: c"starts", magic: *b"PWSR", what: "count of starts" };
const STARTS_FILE: usize = file_len(16 + 5 + 2 * (16 + 4));

/// Weight of an end while a configuration is applied, and of an end afterwards, before the start is settled.
const ENDS: [u8; 2] = [4, 1];
/// The sum of weights at which a configuration is held.
const LIMIT: u8 = 12;
/// Milliseconds from the last stored configuration to a settled start.
const SETTLED: u64 = 10_000;
/// Milliseconds after which a held configuration is tried again, if only the power may have failed.
const AGAIN: u64 = 600_000;

/// A stored configuration: interface and number. An empty name stands for no configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Stored(String<15>, u32);

impl Stored {
    fn is(&self, interface: &str, number: u32) -> bool {
        self.0 == interface && self.1 == number
    }
}

/// The configurations that are held.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
enum Held {
    #[default]
    Nothing,
    /// Every stored configuration, because the last one that was being applied is unknown.
    All,
    One(Stored),
}

/// Progress of a start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Phase {
    /// Nothing is being applied yet, or the start is settled.
    #[default]
    Settled,
    /// The stored configurations are being applied.
    Applying,
    /// Everything was applied.
    Applied,
}

/// The contents of the file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Record {
    /// The machine's boot in which the last start began.
    boot: [u8; 16],
    /// Progress of that start.
    phase: Phase,
    /// Number of unsettled starts in a row before it, and the sum of their weights.
    ended: u8,
    count: u8,
    /// Whether the machine rebooted during one of them.
    machine: bool,
    held: Held,
    /// The configuration that was being applied last, if it is known.
    last: Stored,
}

impl Record {
    fn parse(payload: &[u8]) -> Option<Self> {
        let mut rest = payload;
        let boot = *take(&mut rest)?;
        let [phase, ended, count, machine, held] = *take(&mut rest)?;
        let mut stored = || {
            let name = cut(text(&mut rest, 15)?);
            Some(Stored(name, u32::from_le_bytes(*take(&mut rest)?)))
        };
        let (one, last) = (stored()?, stored()?);
        let held = match held {
            0 => Held::Nothing,
            1 => Held::All,
            _ => Held::One(one),
        };
        let phase = match phase {
            0 => Phase::Settled,
            1 => Phase::Applying,
            _ => Phase::Applied,
        };
        Some(Self { boot, phase, ended, count, machine: machine != 0, held, last })
    }

    fn read<D: Disk>(disk: &mut D) -> Option<Self> {
        let mut buf = [0; STARTS_FILE];
        let len = disk.open(STARTS.name).and_then(|mut file| file.read_at(0, &mut buf)).ok()?;
        Self::parse(STARTS.parse(buf.get(..len)?).ok()?)
    }

    fn write<D: Disk>(&self, disk: &mut D) {
        let mut buf = [0; STARTS_FILE];
        let to = payload(&mut buf);
        let (held, one) = match &self.held {
            Held::Nothing => (0, &Stored::default()),
            Held::All => (1, &Stored::default()),
            Held::One(one) => (2, one),
        };
        let fields = [self.phase as u8, self.ended, self.count, u8::from(self.machine), held];
        let mut at = 0;
        put(to, &mut at, &self.boot);
        put(to, &mut at, &fields);
        for Stored(name, number) in [one, &self.last] {
            put_text(to, &mut at, name, 15);
            put(to, &mut at, &number.to_le_bytes());
        }
        // Best effort: on an error, this start is not counted. A full disk must not keep tunnels down.
        let _ = STARTS.seal(&mut buf, at).map(|file| replace(disk, STARTS.name, file));
    }
}

/// Counts the starts.
#[derive(Debug)]
pub struct Guard {
    record: Record,
    started: u64,
    /// When this start is settled, if every configuration was applied.
    settled: Option<u64>,
    /// Whether this start is settled. Configurations that are applied again later do not belong to a start.
    over: bool,
    /// Whether the stored configurations are to be applied again now.
    again: bool,
}

impl Guard {
    /// Reads the record of earlier starts. `boot` identifies the machine's boot.
    #[inline(never)]
    pub fn load<D: Disk>(disk: &mut D, boot: [u8; 16], now: u64) -> Self {
        // A damaged record starts again from zero.
        let mut record = Record::read(disk).unwrap_or_default();
        let [applying, applied] = ENDS;
        let counts = match core::mem::take(&mut record.phase) {
            Phase::Settled => 0,
            Phase::Applying => applying,
            Phase::Applied => {
                // Any of them may have been the cause.
                record.last = Stored::default();
                applied
            }
        };
        if counts > 0 {
            record.ended = record.ended.saturating_add(1);
            record.count = record.count.saturating_add(counts);
            record.machine |= record.boot != boot;
            if record.count >= LIMIT {
                let Stored(name, _) = &record.last;
                record.held = match &record.held {
                    Held::Nothing if !name.is_empty() => Held::One(record.last.clone()),
                    Held::One(held) if record.last == *held => Held::One(held.clone()),
                    _ => Held::All,
                };
            }
        }
        record.boot = boot;
        record.last = Stored::default();
        Self { record, started: now, settled: None, over: false, again: false }
    }

    /// Number of unsettled starts in a row before this one.
    #[must_use]
    pub const fn ended(&self) -> u8 {
        self.record.ended
    }

    /// Whether a stored configuration is held back.
    #[must_use]
    pub fn holds(&self, interface: &str, number: u32) -> bool {
        match &self.record.held {
            Held::Nothing => false,
            Held::All => true,
            Held::One(held) => held.is(interface, number),
        }
    }

    /// Whether a stored configuration may be applied now, as a part of a start, which ends with [`Self::applied`]. If
    /// so, it is recorded for a later start.
    #[inline(never)]
    pub fn may_apply<D: Disk>(&mut self, disk: &mut D, interface: &str, number: u32) -> bool {
        if self.holds(interface, number) {
            return false;
        }
        if self.over {
            return true;
        }
        let Record { phase, ended, last, .. } = &mut self.record;
        let began = *phase == Phase::Settled;
        let watched = *ended > 0 && !last.is(interface, number);
        if watched {
            *last = Stored(cut(interface), number);
        }
        if began || watched {
            (*phase, self.settled) = (Phase::Applying, None);
            self.record.write(disk);
        }
        true
    }

    /// To be called when every stored configuration was applied, held, or refused.
    pub fn applied<D: Disk>(&mut self, disk: &mut D, now: u64) {
        if self.record.phase == Phase::Applying {
            self.record.phase = Phase::Applied;
            self.settled = Some(now.saturating_add(SETTLED));
            self.record.write(disk);
        }
    }

    /// To be called when an owner was answered: this settles the start.
    pub fn answered<D: Disk>(&mut self, disk: &mut D) {
        if self.settled.is_some() {
            self.settle(disk);
        }
    }

    /// Settles this start.
    #[inline(never)]
    pub fn settle<D: Disk>(&mut self, disk: &mut D) {
        (self.settled, self.over) = (None, true);
        if core::mem::take(&mut self.record.phase) != Phase::Settled {
            if self.record.held == Held::Nothing {
                (self.record.ended, self.record.count, self.record.machine) = (0, 0, false);
            }
            self.record.last = Stored::default();
            self.record.write(disk);
        }
    }

    /// Releases the hold of an interface that an owner has changed or repaired. Returns whether something was held.
    #[inline(never)]
    pub fn release<D: Disk>(&mut self, disk: &mut D, interface: &str) -> bool {
        let released = match &self.record.held {
            Held::Nothing => false,
            Held::All => true,
            Held::One(Stored(held, _)) => held == interface,
        };
        if released {
            let boot = self.record.boot;
            self.record = Record { boot, ..Record::default() };
            // The other held configurations are applied now, as at a start.
            (self.settled, self.over, self.again) = (None, false, true);
            self.record.write(disk);
        }
        released
    }

    /// Time of the next [`Self::tick`].
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        if self.again {
            return Some(0);
        }
        let again = self.record.held != Held::Nothing && self.record.machine;
        let again = again.then_some(self.started.saturating_add(AGAIN));
        self.settled.or(again)
    }

    /// Runs the timers that are due. Returns `true` if the stored configurations have to be applied again.
    pub fn tick<D: Disk>(&mut self, disk: &mut D, now: u64) -> bool {
        if core::mem::take(&mut self.again) {
            return true;
        }
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return false;
        }
        if self.settled.is_some() {
            self.settle(disk);
            return false;
        }
        // The count stays: if this ends the machine, the next start holds the configuration at once.
        (self.record.held, self.record.machine) = (Held::Nothing, false);
        self.over = false;
        true
    }
}

/// The held configuration in words; empty if there is none.
impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.record.held {
            Held::Nothing => return Ok(()),
            Held::All => "no stored configuration",
            Held::One(Stored(name, _)) => name,
        };
        let not =
            if matches!(self.record.held, Held::All) { "is applied" } else { "is not applied" };
        let ended = self.record.ended;
        write!(f, "{name} {not}: {ended} starts in a row ended while it was; push or repair it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Drawer;

    /// A start that applies all allowed configurations, and ends without a message.
    fn start(drawer: &Drawer, boot: u8, stored: &[(&str, u32)]) -> Vec<std::string::String> {
        let mut folder = drawer.clone();
        let mut guard = Guard::load(&mut folder, [boot; 16], 0);
        let may =
            stored.iter().filter(|(name, number)| guard.may_apply(&mut folder, name, *number));
        may.map(|(name, _)| (*name).to_owned()).collect()
    }

    /// A start that ends while `at` is applied.
    fn end_at(drawer: &Drawer, at: &str, stored: &[(&str, u32)]) {
        let upto = stored.iter().position(|(name, _)| *name == at).unwrap();
        start(drawer, 1, &stored[..=upto]);
    }

    #[test]
    fn what_ended_the_agent_three_times_is_not_applied_a_fourth() {
        let drawer = Drawer::default();
        let stored = [("wg0", 4)];
        for _ in 0..3 {
            assert_eq!(start(&drawer, 1, &stored), ["wg0"]);
        }
        for _ in 0..5 {
            assert!(start(&drawer, 1, &stored).is_empty());
        }
        let mut folder = drawer.clone();
        let mut guard = Guard::load(&mut folder, [1; 16], 0);
        assert!(guard.to_string().starts_with("wg0 is not applied: 3 starts in a row ended"));
        // No timer is due: a configuration that ended only the agent is not tried again
        // automatically.
        guard.applied(&mut folder, 0);
        assert_eq!(guard.deadline(), None);
        // An owner pushes another one.
        assert!(!guard.release(&mut folder, "wg1"));
        assert!(!guard.may_apply(&mut folder, "wg0", 4));
        assert!(guard.release(&mut folder, "wg0") && guard.tick(&mut folder, 0));
        assert!(guard.may_apply(&mut folder, "wg0", 5));
        assert_eq!(guard.to_string(), "");
    }

    #[test]
    fn restarts_by_hand_are_no_boot_loop_until_there_are_many() {
        let drawer = Drawer::default();
        for nth in 0..=LIMIT {
            let mut folder = drawer.clone();
            let mut guard = Guard::load(&mut folder, [nth / 2; 16], 0);
            assert_eq!(guard.may_apply(&mut folder, "wg0", 1), nth < LIMIT, "{nth}");
            guard.applied(&mut folder, 0);
        }
    }

    #[test]
    fn only_the_interface_that_was_under_way_is_held() {
        let drawer = Drawer::default();
        let stored = [("wg0", 1), ("wg1", 2), ("wg2", 3)];
        for _ in 0..3 {
            end_at(&drawer, "wg1", &stored);
        }
        assert_eq!(start(&drawer, 1, &stored), ["wg0", "wg2"]);
        // If that was not the reason, no configuration is applied any more.
        assert!(start(&drawer, 1, &stored).is_empty());
    }

    #[test]
    fn a_start_that_is_settled_counts_for_nothing() {
        for settle in [
            (|guard, folder| assert!(!guard.tick(folder, SETTLED))) as fn(&mut Guard, &mut Drawer),
            |guard, folder| guard.answered(folder),
            |guard, folder| guard.settle(folder),
        ] {
            let drawer = Drawer::default();
            for _ in 0..10 {
                start(&drawer, 1, &[("wg0", 1)]);
                start(&drawer, 2, &[("wg0", 1)]);
                let mut folder = drawer.clone();
                let mut guard = Guard::load(&mut folder, [1; 16], 0);
                assert!(guard.may_apply(&mut folder, "wg0", 1));
                guard.answered(&mut folder);
                guard.applied(&mut folder, 0);
                settle(&mut guard, &mut folder);
            }
            assert_eq!(start(&drawer, 1, &[("wg0", 1)]), ["wg0"]);
        }
    }

    #[test]
    fn power_cuts_do_not_cost_a_router_its_tunnels() {
        let drawer = Drawer::default();
        for boot in 0..4 {
            start(&drawer, boot, &[("wg0", 1)]);
        }
        let mut folder = drawer.clone();
        let mut guard = Guard::load(&mut folder, [9; 16], 5);
        assert!(!guard.may_apply(&mut folder, "wg0", 1));
        guard.applied(&mut folder, 5);
        assert!(!guard.tick(&mut folder, AGAIN - 1));
        assert!(guard.tick(&mut folder, AGAIN + 5));
        assert!(guard.may_apply(&mut folder, "wg0", 1));
        // The configuration was the reason after all.
        assert!(start(&drawer, 10, &[("wg0", 1)]).is_empty());
    }

    #[test]
    fn a_start_writes_three_times_to_the_flash() {
        let drawer = Drawer::default();
        let mut folder = drawer.clone();
        let mut guard = Guard::load(&mut folder, [1; 16], 0);
        for n in 0..20 {
            assert!(guard.may_apply(&mut folder, &format!("wg{n}"), 1));
        }
        guard.applied(&mut folder, 0);
        guard.tick(&mut folder, SETTLED);
        guard.tick(&mut folder, 2 * SETTLED);
        // A refused configuration is applied again every minute.
        for n in 0..20 {
            assert!(guard.may_apply(&mut folder, &format!("wg{n}"), 1));
        }
        assert_eq!(drawer.changes.get(), 3);
        // Without stored configurations the file is not written.
        let mut folder = drawer.clone();
        let mut guard = Guard::load(&mut folder, [2; 16], 0);
        guard.applied(&mut folder, 0);
        guard.settle(&mut folder);
        assert_eq!(drawer.changes.get(), 3);
    }

    #[test]
    fn a_count_that_is_damaged_keeps_nothing_down() {
        let drawer = Drawer::default();
        for _ in 0..3 {
            start(&drawer, 1, &[("wg0", 1)]);
        }
        drawer.put(STARTS.name, b"PWST");
        assert_eq!(start(&drawer, 1, &[("wg0", 1)]), ["wg0"]);
    }
}
