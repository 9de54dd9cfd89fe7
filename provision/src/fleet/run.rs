//! A run: begins operations, polls those for which something has arrived or whose time has come, records their outcomes,
//! and stops where it is told to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use super::hub::{Hub, Mailbox};
use super::record::{Times, record};
use super::unit::{Finished, How, Operation, operate};
use super::{Batch, MaxFail, Planned, Shard, batches};
use crate::home::Operator;
use crate::manifest::Manifest;
use crate::records::{Outcome, Record, Writer};
use crate::{drive, interrupt};

/// The most units that a summary names.
const NAMED: usize = 1_000;

/// How a run goes.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it does.
    pub operation: Operation,
    /// Its name in records.
    pub run: String,
    /// The part of the run, if it is split.
    pub shard: Option<Shard>,
    /// The most units at a time.
    pub jobs: usize,
    /// The sizes of its batches.
    pub batches: Vec<Batch>,
    /// How many units may fail; `None` sets no limit.
    pub max_fail: Option<MaxFail>,
    /// How units are changed.
    pub how: How,
}

/// Something that happened in a run.
#[derive(Debug)]
pub enum Event<'e> {
    /// A batch begins.
    Batch {
        /// Which one, from 1.
        number: usize,
        /// Of how many.
        of: usize,
        /// Its units.
        units: usize,
    },
    /// A unit has ended, and its record is on the disk.
    Finished(&'e Record),
    /// A unit has ended, and its record could not be written.
    Unrecorded(&'e Record),
    /// No more units are begun.
    Stopping(&'e Stopped),
}

/// Takes the events of a run.
pub trait Reporter {
    /// Takes an event.
    fn event(&mut self, event: Event<'_>);
}

/// Why a run stopped early.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stopped {
    /// More units failed than allowed.
    TooMany(MaxFail),
    /// The user pressed Ctrl-C.
    Interrupted,
    /// Records cannot be written.
    Records(String),
    /// The operator's own files, or this machine's network.
    Own(String),
}

/// A unit that is not done, or that differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Brief {
    /// Its name.
    pub unit: String,
    /// Its outcome.
    pub outcome: Outcome,
    /// The name of the cause.
    pub code: Option<String>,
    /// The outcome in words.
    pub message: String,
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many units have each outcome.
    pub outcomes: BTreeMap<&'static str, usize>,
    /// The units that are not done or that differ; the first thousand.
    pub units: Vec<Brief>,
    /// How many units were not begun.
    pub left: usize,
    /// Why it stopped early.
    pub stopped: Option<Stopped>,
}

impl Summary {
    /// Number of units with an outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.outcomes.get(outcome.name()).copied().unwrap_or(0)
    }
}

/// An operation under way.
struct Active<'m> {
    operation: Pin<Box<dyn Future<Output = Finished> + 'm>>,
    mailbox: Arc<Mailbox>,
    begun: Instant,
    started: Timestamp,
    /// The time at which to poll it at the latest.
    due: Instant,
}

struct Run<'m, 'r> {
    manifest: &'m Manifest,
    planned: &'m [Planned<'m>],
    options: &'r Options,
    operator: &'r Operator,
    records: Option<&'r mut Writer>,
    reporter: &'r mut dyn Reporter,
    hub: Hub,
    active: HashMap<usize, Active<'m>>,
    /// The times at which to poll; those that an operation no longer waits for are skipped.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    summary: Summary,
    failed: usize,
    failed_in_batch: usize,
}

/// Does an operation on units, in batches.
pub fn run(
    manifest: &Manifest,
    planned: &[Planned<'_>],
    options: &Options,
    operator: &Operator,
    records: Option<&mut Writer>,
    reporter: &mut dyn Reporter,
) -> Summary {
    let mut run = Run {
        manifest,
        planned,
        options,
        operator,
        records,
        reporter,
        hub: Hub::default(),
        active: HashMap::new(),
        due: BinaryHeap::new(),
        summary: Summary::default(),
        failed: 0,
        failed_in_batch: 0,
    };
    // Two handshakes for each unit: the second one confirms a change.
    operator.reserve_stamps(u32::try_from(planned.len()).unwrap_or(u32::MAX).saturating_mul(2));
    let all = batches(&options.batches, planned.len());
    for (nth, batch) in all.iter().enumerate() {
        if run.is_stopped() {
            break;
        }
        run.failed_in_batch = 0;
        let units = batch.len();
        run.reporter.event(Event::Batch { number: nth + 1, of: all.len(), units });
        run.batch(batch.clone());
    }
    let ended: usize = run.summary.outcomes.values().sum();
    run.summary.left = planned.len() - ended;
    run.summary
}

impl Run<'_, '_> {
    fn is_stopped(&mut self) -> bool {
        if self.summary.stopped.is_none() && interrupt::stopping() {
            self.stop(Stopped::Interrupted);
        }
        self.summary.stopped.is_some()
    }

    /// Begins no more units. Operations that have not requested a change end too.
    fn stop(&mut self, why: Stopped) {
        if self.summary.stopped.is_none() {
            self.reporter.event(Event::Stopping(&why));
            self.summary.stopped = Some(why);
            self.hub.stop();
        }
    }

    fn batch(&mut self, batch: std::ops::Range<usize>) {
        let (units, mut next) = (batch.len(), batch.start);
        let mut ready: Vec<usize> = Vec::new();
        let mut stopping = false;
        loop {
            if self.is_stopped() && !stopping {
                stopping = true;
                ready.extend(self.active.keys());
            }
            if interrupt::requested() {
                self.abandon();
            }
            while !stopping && next < batch.end && self.active.len() < self.options.jobs {
                ready.extend(self.begin(next));
                next += 1;
            }
            let now = Instant::now();
            while let Some(&Reverse((due, id))) = self.due.peek().filter(|due| due.0.0 <= now) {
                self.due.pop();
                if self.active.get(&id).is_some_and(|active| active.due == due) {
                    ready.push(id);
                }
            }
            ready.sort_unstable();
            ready.dedup();
            let finished: Vec<_> = ready.drain(..).filter_map(|id| self.poll(id)).collect();
            self.record(finished, units);
            let more = self.hub.receive(|id| ready.push(id));
            if self.active.is_empty() && (next == batch.end || self.is_stopped()) {
                return;
            }
            let is_full = self.active.len() >= self.options.jobs || next == batch.end || stopping;
            if ready.is_empty() && !more && is_full {
                let due = self.due.peek().map(|due| due.0.0);
                let wait = due.map(|due| due.saturating_duration_since(Instant::now()));
                self.hub.wait(wait.unwrap_or(interrupt::SLICE).min(interrupt::SLICE));
                self.hub.receive(|id| ready.push(id));
            }
        }
    }

    /// Begins a unit, and returns its number.
    fn begin(&mut self, id: usize) -> Option<usize> {
        let planned = self.planned.get(id)?;
        let (way, mailbox) = match self.hub.way(id, planned.address) {
            Ok(way) => way,
            Err(error) => {
                self.stop(Stopped::Own(format!("cannot open a UDP socket: {error}")));
                return None;
            }
        };
        let options = self.options;
        let operation = operate(
            options.operation,
            self.manifest,
            planned,
            self.operator.clone(),
            options.how,
            way,
            Arc::clone(&mailbox),
        );
        let now = Instant::now();
        let active = Active {
            operation: Box::pin(operation),
            mailbox,
            begun: now,
            started: Timestamp::now(),
            due: now,
        };
        self.active.insert(id, active);
        Some(id)
    }

    /// Polls a unit, and takes it out when it has ended.
    fn poll(&mut self, id: usize) -> Option<(usize, Record)> {
        let active = self.active.get_mut(&id)?;
        match drive::poll(active.operation.as_mut()) {
            Ok(finished) => self.end(id, finished),
            Err(due) => {
                active.due = due;
                self.due.push(Reverse((due, id)));
                None
            }
        }
    }

    fn end(&mut self, id: usize, finished: Finished) -> Option<(usize, Record)> {
        let (active, planned) = (self.active.remove(&id)?, self.planned.get(id)?);
        self.hub.close(planned.address);
        if finished.own {
            self.stop(Stopped::Own(finished.message.clone()));
        }
        let times = Times { started: active.started, begun: active.begun };
        Some((id, record(planned, self.options, self.operator, finished, times)))
    }

    /// Drops all operations.
    fn abandon(&mut self) {
        let mut ids: Vec<usize> = self.active.keys().copied().collect();
        ids.sort_unstable();
        let mut finished = Vec::new();
        for id in ids {
            let committed =
                self.active.get(&id).is_some_and(|a| a.mailbox.committed.load(Ordering::SeqCst));
            finished.extend(self.end(id, Finished::abandoned(committed)));
        }
        self.record(finished, 0);
    }

    /// Writes the records of units that have ended, and then reports them.
    fn record(&mut self, finished: Vec<(usize, Record)>, batch: usize) {
        if finished.is_empty() {
            return;
        }
        let mut is_recorded = true;
        if let Some(records) = self.records.as_mut() {
            finished.iter().for_each(|(_, record)| records.add(record));
            if let Err(why) = records.sync() {
                is_recorded = false;
                self.stop(Stopped::Records(why));
            }
        }
        for (_, record) in finished {
            let outcome = record.outcome;
            *self.summary.outcomes.entry(outcome.name()).or_insert(0) += 1;
            self.reporter.event(match is_recorded {
                true => Event::Finished(&record),
                false => Event::Unrecorded(&record),
            });
            if !outcome.is_done() && outcome != Outcome::Interrupted {
                self.failed += 1;
                self.failed_in_batch += 1;
            }
            let is_named = !outcome.is_done() || outcome == Outcome::Differs;
            // A router whose state is not known has to be asked, so the summary names all of these.
            let has_room = self.summary.units.len() < NAMED || outcome == Outcome::Unknown;
            if is_named && has_room {
                let Record { unit, code, message, .. } = record;
                self.summary.units.push(Brief { unit, outcome, code, message });
            }
        }
        if let Some(limit) = self.options.max_fail
            && limit.is_exceeded(self.failed, self.failed_in_batch, batch)
        {
            self.stop(Stopped::TooMany(limit));
        }
    }
}
