//! A push: pieces into the stage, then a plan or a commit of what is there.

use proto_core::netlink::Errno;
use proto_core::protocol::Digest;
use proto_core::protocol::message::{Answer, ClientId, Code, Failure, State, Subject, Summary};
use proto_core::protocol::window::Arrived;

use super::{Readable, Service, Turn, gone};
use crate::apply::apply;
use crate::fault::Fault;
use crate::image::{check, has_digest};
use crate::index::{Extras, Index};
use crate::plan::{Purpose, Work, agree, compare};
use crate::report;
use crate::stage::{Announced, Stage};
use crate::system::{File, Files, Machine, NetlinkSocket};

/// How often a long request gives a sign of life, in milliseconds.
const BEAT: u64 = 200;

impl<N: NetlinkSocket, F: File, M: Machine> Service<'_, N, F, M> {
    pub(super) fn begin(&mut self, turn: &mut Turn<'_>, announced: Announced) -> Result<(), Fault> {
        self.allowed(&announced.interface)?;
        announced.check(self.slot)?;
        let now = self.machine.now();
        // The same configuration again is the same push, whoever goes on with it: a client that was
        // ended and started anew has another name.
        if let Some(stage) = self.stage.as_mut().filter(|stage| stage.announced == announced) {
            (stage.client, stage.heard) = (turn.client, now);
            turn.answer(&Answer::Received { stage: stage.id, arrived: stage.arrived });
            return Ok(());
        }
        self.check_free(turn.client)?;
        self.drop_stage()?;
        self.number = self.number.wrapping_add(1);
        let (from, id, length) = (turn.outlet.from(), self.number, announced.length);
        let interface = &announced.interface;
        self.machine.log(format_args!("{from}: begins to push {interface}, {length} bytes"));
        let arrived = Arrived::default();
        self.stage = Some(Stage { id, client: turn.client, announced, arrived, heard: now });
        turn.answer(&Answer::Received { stage: id, arrived });
        Ok(())
    }

    /// Fails while another client's push is under way.
    pub(super) fn check_free(&self, client: ClientId) -> Result<(), Fault> {
        let now = self.machine.now();
        match &self.stage {
            Some(stage) if stage.client != client && !stage.is_stale(now) => {
                let words = format_args!("somebody else is pushing {}", stage.announced.interface);
                Err(self.slot.say(Code::Busy, Subject::None, Errno(0), words))
            }
            _ => Ok(()),
        }
    }

    /// Fails unless the stage is this one, of this client.
    pub(super) fn check_stage(&self, client: ClientId, id: u32) -> Result<(), Fault> {
        match &self.stage {
            Some(stage) if stage.id == id && stage.client == client => Ok(()),
            _ => Err(gone(self.slot)),
        }
    }

    pub(super) fn drop_stage(&mut self) -> Result<(), Fault> {
        self.stage = None;
        // There are keys in it.
        let Files { stage, index, extras, .. } = &mut self.files;
        let cleared = stage.clear().and_then(|()| index.clear()).and_then(|()| extras.clear());
        cleared.map_err(|errno| self.slot.storage(errno))
    }

    pub(super) fn piece(
        &mut self,
        turn: &mut Turn<'_>,
        id: u32,
        index: u32,
        data: &[u8],
    ) -> Result<(), Fault> {
        self.check_stage(turn.client, id)?;
        let Self { slot, files, stage, .. } = self;
        let Some(stage) = stage else { return Err(gone(slot)) };
        stage.piece(slot, &mut files.stage, index, data)?;
        turn.answer(&Answer::Received { stage: id, arrived: stage.arrived });
        Ok(())
    }

    pub(super) fn commit(
        &mut self,
        turn: &mut Turn<'_>,
        stage: u32,
        for_real: bool,
    ) -> Result<(), Fault> {
        self.check_stage(turn.client, stage)?;
        let Some(stage) = self.stage.take() else { return Err(gone(self.slot)) };
        if !stage.is_complete() {
            self.stage = Some(stage);
            return Err(self.slot.fail(Code::Incomplete, Subject::None, "pieces are missing"));
        }
        let outcome = self.run(turn, &stage, for_real);
        if !for_real {
            self.stage = Some(stage);
            turn.answer(&Answer::Planned(outcome?));
            return Ok(());
        }
        let from = turn.outlet.from();
        let interface = &stage.announced.interface;
        let fault = match outcome {
            Ok(summary) => {
                self.counters.applied = self.counters.applied.saturating_add(1);
                let peers = summary.peers;
                let quiet = if summary.is_quiet() { ", nothing had to change" } else { "" };
                self.machine.log(format_args!(
                    "{from}: applied {interface}: peers {} added, {} changed, {} removed, {} as \
                     before{quiet}",
                    peers.added, peers.changed, peers.removed, peers.same
                ));
                turn.answer(&Answer::Applied(summary));
                None
            }
            Err(fault) => {
                self.counters.failed = self.counters.failed.saturating_add(1);
                let failure = self.slot.take(fault);
                let state = match failure.state {
                    State::Unchanged => "nothing was changed",
                    State::Partly => "some of it was changed",
                };
                let Failure { subject, text, .. } = &failure;
                let colon = if *subject == Subject::None { "" } else { ": " };
                self.machine.log(format_args!(
                    "{from}: did not apply {interface}: {subject}{colon}{text}; {state}"
                ));
                Some(failure)
            }
        };
        let dropped = self.drop_stage();
        match fault {
            Some(failure) => Err(self.slot.restore(failure)),
            None => dropped,
        }
    }

    /// Checks the image, compares it with the kernel and, `for_real`, changes the kernel and compares
    /// again.
    fn run(
        &mut self,
        turn: &mut Turn<'_>,
        stage: &Stage,
        for_real: bool,
    ) -> Result<Summary, Fault> {
        let Self { slot, kernel, files, machine, set, .. } = self;
        let length = stage.announced.length;
        let client = turn.client;
        let mut last = machine.now();
        let mut working = |phase, done, total| {
            if machine.now().saturating_sub(last) >= BEAT {
                last = machine.now();
                turn.answer(&Answer::Working { phase, done, total });
                turn.send();
            }
        };
        if !has_digest(slot, &mut files.stage, length, &stage.announced.digest)? {
            let text = "the pieces do not add up to what was announced";
            return Err(slot.fail(Code::Digest, Subject::None, text));
        }
        let mut work = Work {
            slot,
            stage: &mut files.stage,
            length,
            index: Index::new(slot, &mut files.index),
            extras: Extras::new(slot, &mut files.extras),
            key: self.sum_key,
        };
        let interface = check(slot, work.stage, length, &mut work.index, &work.key, &mut working)?;
        if interface.name != stage.announced.interface {
            let text = "the image is for another interface than was announced";
            return Err(slot.fail(Code::Config, Subject::Interface, text));
        }
        let plan = compare(kernel, &mut work, &interface, Purpose::Change, &mut working)?;
        if !for_real {
            let written = report::changes(&mut files.report, &mut work, &interface, &plan)?;
            self.publish(client, written, Some(stage.id));
            return Ok(plan.summary);
        }
        if plan.summary.is_quiet() {
            return Ok(plan.summary);
        }
        apply(kernel, &mut work, &interface, &plan, machine, set, &mut working)?;
        let after = compare(kernel, &mut work, &interface, Purpose::Verify, &mut working)
            .and_then(|after| agree(&mut work, &after).map(|()| after))
            .map_err(|fault| slot.amend(fault, &|failure| failure.state = State::Partly))?;
        Ok(Summary {
            public_key: after.summary.public_key,
            listen_port: after.summary.listen_port,
            ..plan.summary
        })
    }

    pub(super) fn publish(
        &mut self,
        client: ClientId,
        (length, digest): (u32, Digest),
        stage: Option<u32>,
    ) -> Readable {
        self.number = self.number.wrapping_add(1);
        let readable = Readable { file: self.number, length, digest, client, stage };
        self.readable = Some(readable);
        readable
    }
}
