//! A push: pieces into the stage, then a plan or a commit of what is there.

use proto_core::netlink::Errno;
use proto_core::protocol::Digest;
use proto_core::protocol::config::Record;
use proto_core::protocol::message::{
    Answer, Applied, ClientId, Code, Failure, Name, OwnerName, Phase, State, Subject, copy,
};
use proto_core::protocol::report::Act;
use proto_core::protocol::window::Arrived;

use super::{Readable, Service, Turn, Visitor, gone};
use crate::commit::{Change, Committer, Done};
use crate::fault::Fault;
use crate::image::{Records, Span, has_digest};
use crate::plan::Purpose;
use crate::stage::{Announced, Stage};
use crate::system::{Disk, File, Files, Machine, NetlinkSocket};

/// How often a long request gives a sign of life, in milliseconds.
const BEAT: u64 = 200;

/// Gives a sign of life now and then while something takes long.
pub(super) fn beat<'w, 'o, M: Machine>(
    machine: M,
    turn: &'w mut Turn<'o>,
) -> impl FnMut(Phase, u32, u32) + use<'w, 'o, M> {
    let mut last = machine.now();
    move |phase, done, total| {
        if machine.now().saturating_sub(last) >= BEAT {
            last = machine.now();
            turn.answer(&Answer::Working { phase, done, total });
            turn.send();
        }
    }
}

/// Answers what an image would change: the file of the changes.
pub(super) fn planned<N: NetlinkSocket, D: Disk, M: Machine + Copy>(
    committer: &mut Committer<'_, N, D, M>,
    turn: &mut Turn<'_>,
    (image, span): (&mut D::File, Span),
    purpose: Purpose,
) -> Result<(u32, Digest), Fault> {
    let mut working = beat(committer.machine, turn);
    let (summary, written) = committer.plan(image, span, purpose, &mut working)?;
    drop(working);
    turn.answer(&Answer::Planned(summary));
    Ok(written)
}

impl<N: NetlinkSocket, D: Disk, M: Machine + Copy> Service<'_, N, D, M> {
    pub(super) fn begin(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        announced: Announced,
    ) -> Result<(), Fault> {
        self.allowed(&announced.interface)?;
        announced.check(self.slot)?;
        let machine = self.committer.machine;
        let now = machine.now();
        // The same configuration again is the same push, whoever goes on with it: a client that was
        // ended and started anew has another name.
        if let Some(stage) = self.stage.as_mut().filter(|stage| stage.announced == announced) {
            (stage.client, stage.heard, stage.by) = (turn.client, now, visitor.name());
            turn.answer(&Answer::Received { stage: stage.id, arrived: stage.arrived });
            return Ok(());
        }
        self.check_free(turn.client)?;
        self.drop_stage()?;
        self.number = self.number.wrapping_add(1);
        let (from, id, length) = (turn.outlet.from(), self.number, announced.length);
        let interface = &announced.interface;
        machine.log(format_args!("{from}: begins to push {interface}, {length} bytes"));
        let arrived = Arrived::default();
        let (client, by) = (turn.client, visitor.name());
        self.stage = Some(Stage { id, client, by, announced, arrived, heard: now });
        turn.answer(&Answer::Received { stage: id, arrived });
        Ok(())
    }

    /// Fails while another client's push is under way, or anybody's change waits to be confirmed.
    pub(super) fn check_free(&self, client: ClientId) -> Result<(), Fault> {
        let now = self.committer.machine.now();
        if let Some(pending) = &self.pending {
            let (by, interface) = (&pending.head.by, &pending.head.interface);
            let seconds = pending.seconds(now);
            let words = format_args!(
                "{by}'s change of {interface} waits to be confirmed for another {seconds} s"
            );
            return Err(self.slot.say(Code::Busy, Subject::None, Errno(0), words));
        }
        match &self.stage {
            Some(stage) if stage.client != client && !stage.is_stale(now) => {
                let words = format_args!("{} is pushing {}", stage.by, stage.announced.interface);
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
        let Files { index, extras, .. } = &mut self.committer.files;
        let cleared = self.stage_file.clear();
        let cleared = cleared.and_then(|()| index.clear()).and_then(|()| extras.clear());
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
        let Self { slot, stage_file, stage, .. } = self;
        let Some(stage) = stage else { return Err(gone(slot)) };
        stage.piece(slot, stage_file, index, data)?;
        turn.answer(&Answer::Received { stage: id, arrived: stage.arrived });
        Ok(())
    }

    /// Fails unless the stage is this client's and all of it is here: what was announced, and where it is.
    fn whole_stage(&self, client: ClientId, id: u32) -> Result<(Name, Span), Fault> {
        self.check_stage(client, id)?;
        let Self { slot, stage, .. } = self;
        let Some(stage) = stage else { return Err(gone(slot)) };
        if !stage.is_complete() {
            return Err(slot.fail(Code::Incomplete, Subject::None, "pieces are missing"));
        }
        Ok((stage.announced.interface, Span { from: 0, end: stage.announced.length }))
    }

    /// Fails unless what arrived is what was announced.
    fn check_announced(&mut self) -> Result<(), Fault> {
        let Self { slot, stage_file, stage, .. } = self;
        let Some(stage) = stage else { return Err(gone(slot)) };
        let Announced { interface, length, digest, .. } = &stage.announced;
        let span = Span { from: 0, end: *length };
        if !has_digest(slot, stage_file, span, digest)? {
            let text = "the pieces do not add up to what was announced";
            return Err(slot.fail(Code::Digest, Subject::None, text));
        }
        match Records::new(slot, stage_file, 0, *length).next()? {
            Some(Record::Interface(found)) if found.name != *interface => {
                let text = "the image is for another interface than was announced";
                Err(slot.fail(Code::Config, Subject::Interface, text))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn plan(&mut self, turn: &mut Turn<'_>, id: u32) -> Result<(), Fault> {
        let (_, span) = self.whole_stage(turn.client, id)?;
        self.check_announced()?;
        let Self { committer, stage_file, .. } = self;
        let written = planned(committer, turn, (stage_file, span), Purpose::Change)?;
        self.publish(turn.client, written, Some(id));
        Ok(())
    }

    pub(super) fn commit(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        id: u32,
        confirm_within: u16,
    ) -> Result<(), Fault> {
        let (interface, span) = self.whole_stage(turn.client, id)?;
        self.check_confirm(confirm_within)?;
        self.check_free(turn.client)?;
        let change = visitor.change(Act::Pushed, confirm_within);
        let committed = self.check_announced().and_then(|()| {
            let Self { committer, stage_file, .. } = self;
            let mut working = beat(committer.machine, turn);
            committer.commit(stage_file, span, &change, &mut working)
        });
        // The failure of the commit is the one to tell.
        let committed = committed.map_err(|fault| self.slot.take(fault));
        if committed.is_ok() {
            let Self { slot, hosts, stage_file, committer, .. } = self;
            let now = committer.machine.now();
            let taken = hosts.take(slot, &interface, (stage_file, span), false, now);
            // The peers are there; that their names are not looked up is no reason to say otherwise.
            let _ = taken.map_err(|fault| slot.take(fault));
        }
        let dropped = self.drop_stage();
        let done = committed.map_err(|failure| self.slot.restore(failure));
        self.answer_change(turn, visitor, &interface, done, confirm_within)?;
        dropped
    }

    /// Logs what a change came to, and answers it.
    pub(super) fn answer_change(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        interface: &str,
        done: Result<Done, Fault>,
        confirm_within: u16,
    ) -> Result<(), Fault> {
        let machine = self.committer.machine;
        let from = turn.outlet.from();
        match done {
            Ok(Done { summary, number, stored, pending }) => {
                self.counters.applied = self.counters.applied.saturating_add(1);
                let peers = summary.peers;
                let quiet = if summary.is_quiet() { ", nothing had to change" } else { "" };
                let kept = match (&pending, stored) {
                    (Some(_), _) => "; waits to be confirmed",
                    (None, true) => "; stored",
                    (None, false) => "",
                };
                machine.log(format_args!(
                    "{from}: applied {interface}, no. {number}: peers {} added, {} changed, {} \
                     removed, {} as before{quiet}{kept}",
                    peers.added, peers.changed, peers.removed, peers.same
                ));
                let waits = pending.is_some();
                if let Some(head) = pending {
                    self.wait(head, visitor, confirm_within);
                }
                let confirm_within = if waits { confirm_within } else { 0 };
                turn.answer(&Answer::Applied(Applied { summary, number, stored, confirm_within }));
                Ok(())
            }
            Err(fault) => {
                self.counters.failed = self.counters.failed.saturating_add(1);
                let failure = self.slot.take(fault);
                let state = match failure.state {
                    State::Unchanged => "nothing was changed",
                    State::Undone => "what was changed is changed back",
                    State::Partly | State::Unknown(_) => "some of it was changed",
                };
                let Failure { subject, text, .. } = &failure;
                let colon = if *subject == Subject::None { "" } else { ": " };
                machine.log(format_args!(
                    "{from}: did not apply {interface}: {subject}{colon}{text}; {state}"
                ));
                Err(self.slot.restore(failure))
            }
        }
    }

    #[inline(never)]
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

impl Visitor<'_, '_> {
    /// A change of this visitor's.
    pub(super) fn change(&self, act: Act, confirm_within: u16) -> Change {
        Change { act: Some(act), key: self.key, by: self.name(), confirm: confirm_within > 0 }
    }

    /// What the visitor is called.
    pub(super) fn name(&self) -> OwnerName {
        let owners = self.ownership.owners();
        let owner = owners.iter().find(|owner| owner.key == self.key);
        owner.map(|owner| copy(&owner.name)).unwrap_or_default()
    }
}
