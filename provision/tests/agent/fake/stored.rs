//! The fake router's stored configurations, and its pending change.

use std::time::{Duration, Instant};

use proto_core::protocol::config::Record;
use proto_core::protocol::message::{
    Answer, Applied, Ask, Code, Failure, Name, Pending, Subject, Summary, device,
};
use proto_core::protocol::report::{Act, Stored};

use super::{Router, Seen, state};

/// A pending change.
pub(crate) struct Waiting {
    until: Instant,
    before: Vec<Record>,
    head: Stored,
    /// Only this session and later ones can confirm it.
    fresh: usize,
}

impl Waiting {
    /// Makes it another change, of the owner with this name.
    pub(crate) fn made_by(&mut self, name: &str) {
        self.head.by = name.try_into().unwrap();
        self.head.number += 1;
        self.head.digest = [1; 32];
    }
}

/// The time of everything that is stored: 2023-11-14 22:13:20.
const TIME: u64 = 1_700_000_000;

fn name() -> Name {
    "wg0".try_into().unwrap()
}

fn failed(code: Code) -> Vec<Answer<'static>> {
    // As the agent says it, without the interface's name.
    let subject = if code == Code::NotStored { Subject::Interface } else { Subject::None };
    vec![Answer::Failed(Failure::new(code, "").about(subject))]
}

impl Router {
    /// Reverts a change that was not confirmed in time.
    pub(super) fn tick(&mut self) {
        let mut seen = self.seen.lock().unwrap();
        if seen.waiting.as_ref().is_some_and(|waiting| waiting.until <= Instant::now()) {
            let waiting = seen.waiting.take().unwrap();
            seen.running = waiting.before;
        }
    }

    pub(super) fn pending(&self, seen: &Seen) -> Option<Pending> {
        let waiting = seen.waiting.as_ref()?;
        let left = waiting.until.saturating_duration_since(Instant::now()).as_millis();
        Some(Pending {
            interface: name(),
            number: waiting.head.number,
            by: waiting.head.by.clone(),
            seconds: u16::try_from(left.div_ceil(1_000).max(1)).unwrap(),
            digest: waiting.head.digest,
        })
    }

    /// The reason why changes are refused at the moment, if any.
    pub(super) fn busy(&self) -> Option<Failure> {
        let Pending { interface, by, seconds, .. } = self.pending(&self.seen.lock().unwrap())?;
        let text =
            format!("{by}'s change of {interface} waits to be confirmed for another {seconds} s");
        Some(Failure::new(Code::Busy, &text))
    }

    /// Makes `wanted` the running configuration, and stores it or waits. An interface that is
    /// removed has an empty configuration.
    pub(super) fn change(
        &mut self,
        session: usize,
        wanted: Vec<Record>,
        act: Act,
        confirm_within: u16,
    ) -> Vec<Answer<'static>> {
        let (key, by) = self.door.who(session);
        let fresh = self.door.sessions();
        let mut seen = self.seen.lock().unwrap();
        let summary = state::summary(&seen.running, &wanted);
        let newest = seen.history.last();
        // The absence of what was never stored is not stored.
        let same = newest.map_or(act == Act::Removed, |(_, records)| *records == wanted);
        let number = newest.map_or(0, |(head, _)| head.number) + u32::from(!same);
        let length = u32::try_from(wanted.len()).unwrap();
        let head = Stored {
            interface: name(),
            number,
            time: TIME,
            key,
            by,
            act,
            length,
            damaged: false,
            digest: match act {
                Act::Removed => proto_core::protocol::digest(&[]),
                _ => proto_core::protocol::digest(&self.pushed),
            },
        };
        let before = std::mem::replace(&mut seen.running, wanted.clone());
        seen.commits += 1;
        let waits = confirm_within > 0 && !(same && summary.is_quiet());
        let applied = Applied {
            stored: !same && !waits,
            number,
            confirm_within: if waits { confirm_within } else { 0 },
            summary,
        };
        if waits {
            let until = Instant::now() + Duration::from_secs(confirm_within.into());
            seen.waiting = Some(Waiting { until, before, head, fresh });
            self.away_until = self.manners.away.take().map(|away| Instant::now() + away);
            if std::mem::take(&mut self.manners.loses_applied) {
                return Vec::new();
            }
        } else if !same {
            seen.history.push((head, wanted));
        } else if std::mem::take(&mut self.manners.loses_unchanged) {
            self.away_until = self.manners.away.take().map(|away| Instant::now() + away);
            return Vec::new();
        }
        vec![Answer::Applied(applied)]
    }

    pub(super) fn about_stored(&mut self, session: usize, ask: &Ask<'_>) -> Vec<Answer<'static>> {
        match ask {
            Ask::Confirm => self.confirm(session),
            Ask::Revert => {
                let mut seen = self.seen.lock().unwrap();
                let Some(waiting) = seen.waiting.take() else { return failed(Code::NotPending) };
                seen.running = waiting.before;
                vec![Answer::Reverted { interface: name() }]
            }
            Ask::History { interface } => {
                let seen = self.seen.lock().unwrap();
                let mut stored: Vec<Stored> =
                    seen.history.iter().rev().map(|(head, _)| head.clone()).collect();
                drop(seen);
                if self.manners.tomorrow
                    && let Some(newest) = stored.first_mut()
                {
                    newest.act = Act::Unknown(9, 4);
                }
                match interface {
                    Some(interface) if *interface != "wg0" => stored.clear(),
                    Some(_) => {}
                    None => {
                        let whole = stored.iter().position(|stored| !stored.damaged);
                        stored.truncate(whole.map_or(stored.len(), |whole| whole + 1));
                    }
                }
                let file = state::encode(&stored);
                self.ready(if self.manners.tomorrow { state::longer(&file) } else { file })
            }
            Ask::Drift { .. } => {
                let Some(wanted) = self.newest() else { return failed(Code::NotStored) };
                let running = self.seen.lock().unwrap().running.clone();
                self.drifted = state::changes(&running, &wanted);
                vec![Answer::Planned(state::summary(&running, &wanted))]
            }
            _ if self.busy().is_some() => vec![Answer::Failed(self.busy().unwrap())],
            Ask::Repair { confirm_within, .. } => match self.newest() {
                Some(wanted) => self.change(session, wanted, Act::Pushed, *confirm_within),
                None => failed(Code::NotStored),
            },
            Ask::Remove { interface, confirm_within } => {
                let seen = self.seen.lock().unwrap();
                if *interface != "wg0" || seen.running.is_empty() {
                    return failed(Code::NoInterface);
                }
                drop(seen);
                if self.manners.foreign {
                    return self.remove_stored(session);
                }
                self.change(session, Vec::new(), Act::Removed, *confirm_within)
            }
            Ask::Rollback { number, confirm_within, .. } => {
                let seen = self.seen.lock().unwrap();
                let nth = seen.history.iter().position(|(head, _)| head.number == *number);
                let Some((head, records)) = nth.map(|nth| seen.history[nth].clone()) else {
                    return failed(Code::NotStored);
                };
                drop(seen);
                if head.damaged {
                    return failed(Code::Damaged);
                }
                let act = Act::RolledBack { number: head.number };
                self.change(session, records, act, *confirm_within)
            }
            other => panic!("unexpected request {other:?}"),
        }
    }

    /// Stores the absence of an interface beside another program's link. There is nothing to confirm or to revert.
    fn remove_stored(&mut self, session: usize) -> Vec<Answer<'static>> {
        let running = self.seen.lock().unwrap().running.clone();
        let mut answers = self.change(session, Vec::new(), Act::Removed, 0);
        self.seen.lock().unwrap().running = running;
        if let Some(Answer::Applied(applied)) = answers.first_mut() {
            applied.summary = Summary { device: device::FOREIGN, ..Summary::default() };
        }
        if std::mem::take(&mut self.manners.loses_applied) {
            return Vec::new();
        }
        answers
    }

    fn confirm(&mut self, session: usize) -> Vec<Answer<'static>> {
        let mut seen = self.seen.lock().unwrap();
        let Some(waiting) = &seen.waiting else { return failed(Code::NotPending) };
        if session < waiting.fresh {
            return failed(Code::NotFresh);
        }
        let waiting = seen.waiting.take().unwrap();
        let (number, records) = (waiting.head.number, seen.running.clone());
        // What is stored already needs no promotion.
        if seen.history.last().map_or(0, |(newest, _)| newest.number) != number {
            seen.history.push((waiting.head, records));
        }
        if std::mem::take(&mut self.manners.loses_confirmed) {
            self.away_until = Some(Instant::now() + Duration::from_secs(4));
            return Vec::new();
        }
        vec![Answer::Confirmed { interface: name(), number }]
    }

    /// The configuration that it should run.
    fn newest(&self) -> Option<Vec<Record>> {
        let seen = self.seen.lock().unwrap();
        let whole = seen.history.iter().rev().find(|(head, _)| !head.damaged);
        whole.filter(|(head, _)| head.act != Act::Removed).map(|(_, records)| records.clone())
    }
}
