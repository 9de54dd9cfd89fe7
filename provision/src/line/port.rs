//! A port of a line: waits for a router, finds out which unit it is, claims it, pushes, reads back, has it recorded, and
//! waits for the next one. Each port has a thread of its own, because a serial port blocks.
//!
//! A router that is done stays on its port until it no longer answers, or until an unclaimed one does. A router that
//! failed is not tried again before that; one that was lost in the middle is, because it may be the cable.
//!
//! - `meet`: who is at the port;
//! - `watch`: the events of an operation, as steps of the tile;
//! - `program`: the user's program for routers that were done.

mod meet;
mod program;
mod watch;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use proto_core::key::PublicKey;

use super::board::{Look, Tile};
use super::ports::Port;
use super::rows::Rows;
use super::{Message, Options};
use crate::fleet::{Finished, Operation, Times, base, hex, judge, push};
use crate::home::{Home, HomeError, Operator};
use crate::manifest::{Manifest, Unit};
use crate::ops::{self, Claiming, Router};
use crate::records::{Outcome, Record, UNKNOWN_UNIT};
use crate::session::SessionError;
use crate::{drive, interrupt};
use meet::{Met, Silence};
use watch::Watcher;

/// Pause between two looks at a port without a cable.
const PAUSE: Duration = Duration::from_millis(200);
/// Pause between two looks at a router that was dealt with: each is a handshake, and a line in the router's log.
const STAYS: Duration = Duration::from_secs(1);

/// What a tile says if a record is not on the disk.
const UNWRITTEN: &str = "the record cannot be written";

/// What all ports have in common.
pub(super) struct Shared<'l> {
    pub(super) manifest: &'l Manifest,
    pub(super) options: &'l Options,
    pub(super) home: &'l Home,
    pub(super) operator: &'l Operator,
    pub(super) rows: Mutex<Rows>,
    /// The device at each port that has a cable, by the number of the port.
    pub(super) devices: Mutex<HashMap<usize, PathBuf>>,
    /// The router of each unit that has one, and whether the user's program is to be run for it when it is done.
    pub(super) programs: Mutex<HashMap<String, (String, bool)>>,
    /// No more units are begun.
    pub(super) stop: AtomicBool,
}

impl Shared<'_> {
    pub(super) fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn programs(&self) -> MutexGuard<'_, HashMap<String, (String, bool)>> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes which device a port is, so that a device with two names is one port.
    ///
    /// # Errors
    /// Why the port has no device of its own, in words.
    fn hold(&self, number: usize, device: Option<PathBuf>) -> Result<(), String> {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.remove(&number);
        let device = device.ok_or("no cable")?;
        if let Some((other, _)) = devices.iter().find(|(_, held)| **held == device) {
            return Err(format!("the same device as port {}", other + 1));
        }
        devices.insert(number, device);
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || interrupt::stopping()
    }
}

/// A port and its state.
pub(super) struct Worker<'l> {
    shared: &'l Shared<'l>,
    number: usize,
    port: Port,
    /// Whether the cable was plugged in while the line ran.
    is_new: bool,
    tile: Tile,
    sender: Sender<Message>,
    /// The router that was dealt with, and is still at the port.
    present: Option<PublicKey>,
    /// The unclaimed router that failed, and is still at the port.
    refused: Option<PublicKey>,
    /// Since when nothing answers, or since the port was last asked why; `None` while a router is dealt with.
    silent_since: Option<Instant>,
    /// Whether it was said why nothing answers.
    said: bool,
    /// The router of another owner that was reported at this port.
    stranger: Option<PublicKey>,
    /// Whether text was heard since then.
    heard: bool,
    /// The operator's router at the port that is no unit yet.
    stray: Option<PublicKey>,
    /// Which part of the known routers is tried next, counted since the last router left, and the number of parts.
    part: usize,
    parts: usize,
}

impl<'l> Worker<'l> {
    pub(super) fn new(
        shared: &'l Shared<'l>,
        number: usize,
        port: Port,
        is_new: bool,
        sender: Sender<Message>,
    ) -> Self {
        let tile = Tile::new(port.label());
        Self {
            shared,
            number,
            port,
            is_new,
            tile,
            sender,
            present: None,
            refused: None,
            silent_since: None,
            said: false,
            stranger: None,
            heard: false,
            stray: None,
            part: 0,
            parts: 1,
        }
    }

    /// Works until the line stops.
    pub(super) fn work(mut self) {
        let mut was_there = false;
        while !self.shared.is_stopped() {
            if let Err(why) = self.shared.hold(self.number, self.port.device()) {
                if was_there {
                    self.forget();
                }
                if was_there || self.tile.text != why {
                    self.show(Look::Empty, "", &why);
                }
                (was_there, self.is_new) = (false, true);
                std::thread::sleep(PAUSE);
                continue;
            }
            if !was_there {
                was_there = true;
                self.silent_since = Some(Instant::now());
                self.heard = false;
                self.show(Look::Empty, "", "waiting for a router");
            }
            self.look();
        }
        let _ = self.sender.send(Message::Ended);
    }

    /// Looks at the port once, and deals with what is there.
    fn look(&mut self) {
        match self.meet() {
            Met::Known(key) if self.present == Some(key) => std::thread::sleep(STAYS),
            Met::Known(key) => {
                self.arrived();
                self.present = Some(key);
                self.known(key);
            }
            Met::Unclaimed(key) if self.refused == Some(key) => std::thread::sleep(STAYS),
            Met::Unclaimed(key) => {
                self.arrived();
                self.unclaimed(key);
            }
            Met::Broken(error) => {
                if !std::mem::replace(&mut self.said, true) {
                    let times = self.times();
                    self.end(None, None, Operation::Push, Finished::failed(&error, None), times);
                }
                std::thread::sleep(PAUSE);
            }
            Met::NoPort(why) => {
                // A cable that was pulled out is seen at the next look.
                if self.port.device().is_some() && self.tile.text != why {
                    (self.tile.since, self.tile.took) = (None, None);
                    self.tile.error.clone_from(&why);
                    self.show(Look::Failed, "", &why);
                }
                std::thread::sleep(PAUSE);
            }
            Met::Nobody => self.nobody(),
        }
    }

    /// A router answers that did not before.
    fn arrived(&mut self) {
        (self.present, self.refused, self.silent_since) = (None, None, None);
        (self.said, self.stranger, self.stray) = (false, None, None);
    }

    /// The router is gone.
    fn forget(&mut self) {
        self.arrived();
        (self.heard, self.part) = (false, 0);
        self.shared.rows().stop_waiting(self.number);
    }

    fn nobody(&mut self) {
        let was_here = self.present.is_some() || self.refused.is_some();
        let waited = matches!(self.tile.look, Look::Asks);
        if was_here || waited {
            self.forget();
            self.is_new = false;
            self.silent_since = Some(Instant::now());
            self.show(Look::Empty, "", "waiting for a router");
            return;
        }
        let patience = self.shared.options.patience;
        if self.silent_since.is_some_and(|since| since.elapsed() >= patience) {
            // The next router may be of another owner too: the port is asked again.
            self.silent_since = Some(Instant::now());
            let times = self.times();
            let Some(silence) = self.explain() else { return };
            // The operator may own a router that neither the list nor the records know.
            if let Some(key) = silence.stranger.filter(|key| self.answers(*key)) {
                self.arrived();
                self.present = Some(key);
                self.known(key);
            } else if self.is_news(&silence) {
                let finished = Finished::unreachable(silence.code, silence.why);
                self.end(None, silence.stranger, Operation::Claim, finished, times);
            }
        }
    }

    /// Whether this was not said before, of the router that is at the port.
    fn is_news(&mut self, silence: &Silence) -> bool {
        let was_said = std::mem::replace(&mut self.said, true);
        match silence.stranger {
            Some(key) => self.stranger.replace(key) != Some(key),
            None => !was_said,
        }
    }

    fn show(&mut self, look: Look, unit: &str, text: &str) {
        let is_busy = look == Look::Busy;
        self.tile.look = look;
        self.tile.unit = unit.into();
        self.tile.text = text.into();
        self.tile.progress = None;
        if look == Look::Empty || look == Look::Asks {
            (self.tile.since, self.tile.took) = (None, None);
        } else if is_busy && self.tile.since.is_none() {
            self.tile.since = Some(Instant::now());
            self.tile.took = None;
        }
        let _ = self.sender.send(Message::Tile(self.number, Box::new(self.tile.clone())));
    }

    fn times(&self) -> Times {
        Times { started: Timestamp::now(), begun: Instant::now() }
    }

    /// Deals with a router that is known.
    fn known(&mut self, key: PublicKey) {
        let (known, former) = {
            let rows = self.shared.rows();
            (rows.of(&key), rows.formerly(&key))
        };
        if former.is_some() && self.has_no_owner(key) {
            return self.unclaimed(key);
        }
        if let Some(unit) = former.and_then(|row| self.shared.manifest.units.get(row)) {
            let name = &unit.name;
            let why = format!(
                "this router was {name} until another one took its place: `postwired reset-owner` on it makes it a new one"
            );
            let finished =
                Finished { code: Some("replaced".into()), ..Finished::new(Outcome::Failed, why) };
            let times = self.times();
            return self.end(None, Some(key), Operation::Push, finished, times);
        }
        let Some(row) = known.or_else(|| self.choose_row(key)) else {
            self.stray = Some(key);
            return;
        };
        let Some(unit) = self.shared.manifest.units.get(row) else { return };
        let times = self.begin(unit, "connecting");
        if known.is_none() {
            let named = self.name(row, unit, key);
            self.shared.rows().bind(key, row);
            if let Err(error) = named {
                let finished = own_failed(error);
                return self.after(row, finished, Some(key), Operation::Push, times);
            }
        }
        let finished = self.configure(unit, key);
        if finished.code.as_deref() == Some("unclaimed") {
            // It is known from the manifest, or from a claim that did not arrive.
            self.claim(row, unit, key, times);
        } else {
            self.after(row, finished, Some(key), Operation::Push, times);
        }
    }

    /// Gives a router of the operator the name of its unit in the operator's list.
    fn name(&self, row: usize, unit: &Unit, key: PublicKey) -> Result<(), HomeError> {
        if self.is_replaced(row, unit) {
            self.take_name(unit, key)?;
        }
        self.shared.home.note(key, &self.place(), Some(&unit.name), &[]).map(|_| ())
    }

    /// Assigns a unit to a router that has none: the next one, or the one that the router's own words choose.
    fn choose_row(&mut self, key: PublicKey) -> Option<usize> {
        let options = self.shared.options;
        if options.assign.key().is_none() {
            return self.take_row();
        }
        let times = self.times();
        self.show(Look::Busy, "", "asking the router who it is");
        let target = self.target(vec![key], options.how.timeout, false);
        let mut watcher = self.watcher();
        let asked = drive::one(target.open(&mut watcher))
            .map(|session| (Router::of(&session), session.status().clone()));
        let finished = match asked {
            Ok((router, status)) => match self.shared.rows().take_told(&status) {
                Ok(row) => return Some(row),
                Err(why) => Finished {
                    code: Some("no_unit".into()),
                    router: Some(router),
                    ..Finished::new(Outcome::Failed, why)
                },
            },
            Err(error) => Finished::failed(&error.into(), None),
        };
        self.refused = (finished.outcome == Outcome::Failed).then_some(key);
        self.end(None, Some(key), Operation::Claim, finished, times);
        None
    }

    /// Assigns a unit to a router that has none. Without one, shows what is missing.
    fn take_row(&mut self) -> Option<usize> {
        let row = self.shared.rows().take(self.number);
        if row.is_none() {
            let text = match self.shared.options.assign {
                super::Assign::Scan => "scan the code of the unit",
                _ => "no unit of the manifest is left for this router",
            };
            // It is looked at again, until there is a unit for it.
            self.present = None;
            if self.tile.look != Look::Asks {
                self.show(Look::Asks, "", text);
            }
            std::thread::sleep(PAUSE);
        }
        row
    }

    fn begin(&mut self, unit: &Unit, step: &str) -> Times {
        (self.tile.since, self.tile.took) = (None, None);
        self.show(Look::Busy, &unit.name, step);
        self.times()
    }

    /// Deals with a router that has no owner.
    fn unclaimed(&mut self, key: PublicKey) {
        let known = self.shared.rows().of(&key);
        let Some(row) = known.or_else(|| self.choose_row(key)) else { return };
        let Some(unit) = self.shared.manifest.units.get(row) else { return };
        let times = self.begin(unit, "connecting");
        self.claim(row, unit, key, times);
    }

    /// Claims a router and configures it.
    fn claim(&mut self, row: usize, unit: &Unit, key: PublicKey, times: Times) {
        self.show(Look::Busy, &unit.name, "claiming");
        let (mut found, options) = (None, self.shared.options);
        // A router that is replaced keeps its name until the other one is claimed.
        let is_replaced = self.is_replaced(row, unit);
        let target = self.target(Vec::new(), options.how.timeout, true);
        let mut approve = |key: &PublicKey| {
            found = Some(*key);
            Ok(())
        };
        let claiming = Claiming {
            label: None,
            owner: options.owner.clone(),
            name: (!is_replaced).then(|| unit.name.clone()),
            approve: &mut approve,
        };
        let claimed = drive::one(ops::claim(&target, claiming, &mut self.watcher()));
        match (claimed, found) {
            (Ok(router), _) => {
                let key = router.key();
                self.shared.rows().bind(key, row);
                self.present = Some(key);
                let named = if is_replaced { self.take_name(unit, key) } else { Ok(()) };
                let finished = match named {
                    Ok(()) => self.configure(unit, key),
                    Err(error) => own_failed(error),
                };
                self.after(row, finished, Some(key), Operation::Claim, times);
            }
            (Err(error), found) => {
                let mut finished = Finished::failed(&error, None);
                // The reply was lost, and the router may be ours: it keeps its unit.
                if let Some(key) = found.filter(|_| error.is_unreachable()) {
                    self.shared.rows().bind(key, row);
                    if is_replaced && let Err(error) = self.take_name(unit, key) {
                        finished = own_failed(error);
                    }
                    return self.after(row, finished, found, Operation::Claim, times);
                }
                // The unit is no router, so this is no record of it.
                self.shared.rows().give_back(row);
                self.refused = Some(key);
                if error.is_unreachable() {
                    self.lost();
                }
                self.end(None, Some(key), Operation::Claim, finished, times);
            }
        }
    }

    /// Whether a router may take the place of the one that has the unit's name in the operator's list: for `--replace`, or
    /// because the manifest names the router.
    fn is_replaced(&self, row: usize, unit: &Unit) -> bool {
        unit.key.is_some() || self.shared.rows().is_replaced(row)
    }

    /// Gives a router the unit's name in the operator's list, in place of the router that had it.
    fn take_name(&self, unit: &Unit, key: PublicKey) -> Result<(), HomeError> {
        self.shared.home.change_routers(|routers| {
            if let Err(HomeError::NameTaken { .. }) = routers.check_name(&unit.name, &key) {
                routers.forget(&unit.name)?;
            }
            routers.call(&unit.name, key).map(|_| ())
        })
    }

    /// A router is looked for again: the cable may have been pulled out, or the router may have restarted.
    fn lost(&mut self) {
        self.present = None;
        self.silent_since = Some(Instant::now());
        self.said = true;
    }

    fn watcher(&mut self) -> Watcher<'_> {
        Watcher { tile: &mut self.tile, sender: &self.sender, number: self.number, heard: false }
    }

    /// Pushes the unit's file, and reads back what the router runs and stores.
    fn configure(&mut self, unit: &Unit, key: PublicKey) -> Finished {
        let (source, image) = match self.shared.manifest.image(unit) {
            Ok(made) => made,
            Err(why) => return Finished::no_image(why),
        };
        let how = self.shared.options.how;
        let target = self.target(vec![key], how.timeout, false);
        let pushed = drive::one(push(&target, &image, how, &mut self.watcher()));
        let finished = match pushed {
            Ok(changed) => Finished::changed(changed),
            Err(error) => return Finished::failed(&error, Some((&source, &image))),
        };
        let mut watcher = self.watcher();
        watcher.step("reading back", None);
        let read = drive::one(ops::status(&target, &mut watcher));
        match read.map(|health| judge(unit, health)) {
            Ok(judged) if judged.outcome == Outcome::Same => finished,
            Ok(judged) => Finished::read_back(&judged.message, finished.router),
            Err(error) => {
                Finished::read_back(&format!("cannot read it back: {error}"), finished.router)
            }
        }
    }

    /// Ends a unit that was begun.
    fn after(
        &mut self,
        row: usize,
        finished: Finished,
        key: Option<PublicKey>,
        operation: Operation,
        times: Times,
    ) {
        let is_lost = matches!(
            finished.outcome,
            Outcome::Unreachable | Outcome::Unknown | Outcome::Unconfirmed
        );
        if is_lost {
            self.lost();
        }
        self.end(self.shared.manifest.units.get(row), key, operation, finished, times);
    }

    /// The user's program, if it is to be run for the router of a record.
    fn program_for(&self, record: &Record) -> Option<String> {
        let program = self.shared.options.on_done.clone()?;
        let router = record.router_key.as_ref()?;
        let is_due = match record.outcome {
            Outcome::Applied => true,
            Outcome::Unchanged => match self.shared.programs().get(&record.unit) {
                Some((known, is_due)) => known != router || *is_due,
                None => true,
            },
            _ => false,
        };
        is_due.then_some(program)
    }

    /// Runs the user's program for a router that was done, and has its end recorded: it is run until a record says that it
    /// ended well. Returns why it failed.
    fn run_program(&mut self, program: &str, record: &Record) -> Option<String> {
        self.show(Look::Busy, &record.unit, &format!("running {program}"));
        let times = self.times();
        let why = program::run(program, record).err();
        let router = record.router_key.clone().unwrap_or_default();
        self.shared.programs().insert(record.unit.clone(), (router, why.is_some()));
        let finished = match &why {
            None => Finished::new(record.outcome, format!("{program} ended well")),
            Some(why) => Finished {
                code: Some("program".into()),
                ..Finished::new(Outcome::Failed, format!("{program}: {why}"))
            },
        };
        let options = self.shared.options;
        let end = base(&options.run, Operation::Program, self.shared.operator, finished, times);
        let Record {
            operation, outcome, code, state, message, started, ended, milliseconds, ..
        } = end;
        let record = record.clone();
        let end = Record {
            operation,
            outcome,
            code,
            state,
            message,
            started,
            ended,
            milliseconds,
            ..record
        };
        if !self.is_recorded(end) {
            return Some(UNWRITTEN.into());
        }
        why.map(|why| format!("the router is done, but {program}: {why}"))
    }

    /// Has a record written. Returns whether it is on the disk.
    fn is_recorded(&self, record: Record) -> bool {
        let (reply, replied) = mpsc::channel();
        let sent = self.sender.send(Message::Record(Box::new(record), reply));
        sent.is_ok() && replied.recv().unwrap_or(false)
    }

    /// Has the outcome recorded, runs the program of the user, and shows the outcome.
    fn end(
        &mut self,
        unit: Option<&Unit>,
        key: Option<PublicKey>,
        operation: Operation,
        finished: Finished,
        times: Times,
    ) {
        let options = self.shared.options;
        if finished.own {
            self.shared.stop.store(true, Ordering::SeqCst);
            let _ = self.sender.send(Message::Stopped(finished.message.clone()));
        }
        let record = base(&options.run, operation, self.shared.operator, finished, times);
        let mut record = Record {
            unit: UNKNOWN_UNIT.into(),
            port: Some(self.port.path.display().to_string()),
            ..record
        };
        if let Some(unit) = unit {
            record.unit.clone_from(&unit.name);
            record.row = unit.row;
            record.interface = unit.interface.to_string();
            record.image = Some(hex(&unit.digest));
            let known = || unit.public_key.map(|key| key.to_string());
            record.public_key = record.public_key.or_else(known);
        }
        if let Some(key) = key {
            record = record.of_router(key);
        }
        record.program = self.program_for(&record).filter(|_| unit.is_some());
        let written = self.is_recorded(record.clone());
        let is_done = record.outcome.is_done();
        let mut error = match (written, is_done) {
            (false, _) => UNWRITTEN.into(),
            (true, false) => record.message.replace('\n', " "),
            (true, true) => String::new(),
        };
        if written && let Some(program) = &record.program {
            error = self.run_program(program, &record).unwrap_or(error);
        }
        let name = if record.unit == UNKNOWN_UNIT { String::new() } else { record.unit };
        self.tile.took = Some(Duration::from_millis(record.milliseconds));
        if error.is_empty() {
            let text = match record.outcome {
                Outcome::Applied => record.message.replace('\n', " "),
                _ => "was done before, and is right".into(),
            };
            self.show(Look::Done, &name, &text);
        } else {
            self.tile.error.clone_from(&error);
            self.show(Look::Failed, &name, &error);
        }
        let _ = self.sender.send(Message::Ring);
    }
}

/// A unit that ended because of the operator's own files.
fn own_failed(error: HomeError) -> Finished {
    Finished::failed(&SessionError::from(error).into(), None)
}
