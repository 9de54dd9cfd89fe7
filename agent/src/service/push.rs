//! A push: pieces into the stage, then a plan or a commit of what is there.

use proto_core::key::PublicKey;
use proto_core::netlink::Errno;
use proto_core::protocol::Digest;
use proto_core::protocol::config::Record;
use proto_core::protocol::message::{
    Answer, Applied, ClientId, Code, Failure, Name, OwnerName, Phase, State, Subject, copy,
};
use proto_core::protocol::report::Act;
use proto_core::protocol::window::Arrived;

use super::state::State as Doing;
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
        // The same configuration again is the same push: a client that was ended and started again has another
        // number. Another owner goes on with it when the first is not there any more.
        let same = |stage: &&mut Stage| {
            stage.announced == announced && (stage.key == visitor.key || now >= stage.stale_at())
        };
        if let Some(stage) = self.state.stage_mut().filter(same) {
            (stage.key, stage.client, stage.by) = (visitor.key, turn.client, visitor.name());
            stage.heard = now;
            turn.answer(&Answer::Received { stage: stage.id, arrived: stage.arrived });
            return Ok(());
        }
        self.check_free(turn, visitor, &announced.interface)?;
        self.drop_stage()?;
        self.number = self.number.wrapping_add(1);
        let (from, id, length) = (turn.outlet.from(), self.number, announced.length);
        let interface = &announced.interface;
        machine.log(format_args!("{from}: begins to push {interface}, {length} bytes"));
        let arrived = Arrived::default();
        let (key, client, by) = (visitor.key, turn.client, visitor.name());
        let (since, heard) = (now, now);
        self.state.begin(Stage { id, key, client, by, announced, arrived, since, heard });
        turn.answer(&Answer::Received { stage: id, arrived });
        Ok(())
    }

    /// Fails while another client's push is under way, or a change waits to be confirmed. A change that could not
    /// be taken back is taken back now. If that fails again, a change of its own interface goes on without it, and
    /// a change of another interface fails.
    pub(super) fn check_free(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        interface: &Name,
    ) -> Result<(), Fault> {
        if let Doing::Reverting(_, reverting) = &self.state {
            let stuck = reverting.interface;
            let fault = self.take_back(&stuck).err();
            match fault {
                Some(fault) if stuck != *interface => {
                    let Failure { text, .. } = self.slot.take(fault);
                    let words = format_args!(
                        "the router has not taken a change of {stuck} back yet; push or remove \
                         {stuck}: {text}"
                    );
                    return Err(self.slot.say(Code::Busy, Subject::None, Errno(0), words));
                }
                Some(fault) => {
                    self.committer.note(&stuck, fault);
                    self.committer.forget_change();
                    self.state.give_up(self.committer.machine.now());
                }
                None => {}
            }
        }
        let now = self.committer.machine.now();
        self.state.check_free(self.slot, (&visitor.key, &turn.client), now)
    }

    /// Fails unless the stage is this one, of this client.
    pub(super) fn check_stage(&self, owner: (&PublicKey, &ClientId), id: u32) -> Result<(), Fault> {
        match self.state.stage() {
            Some(stage) if stage.id == id && stage.is_of(owner) => Ok(()),
            _ => Err(gone(self.slot)),
        }
    }

    pub(super) fn drop_stage(&mut self) -> Result<(), Fault> {
        if self.state.stage().is_some() {
            self.state.end();
        }
        // There are keys in it.
        let Files { index, extras, .. } = &mut self.committer.files;
        let cleared = self.stage_file.clear();
        let cleared = cleared.and_then(|()| index.clear()).and_then(|()| extras.clear());
        cleared.map_err(|errno| self.slot.storage(errno))
    }

    pub(super) fn piece(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        id: u32,
        index: u32,
        data: &[u8],
    ) -> Result<(), Fault> {
        self.check_stage((&visitor.key, &turn.client), id)?;
        let now = self.committer.machine.now();
        let Self { slot, stage_file, state, .. } = self;
        let Some(stage) = state.stage_mut() else { return Err(gone(slot)) };
        stage.piece(slot, stage_file, index, data, now)?;
        turn.answer(&Answer::Received { stage: id, arrived: stage.arrived });
        Ok(())
    }

    /// Fails unless the stage is this client's and all of it is here: what was announced, and where it is. If the
    /// pieces do not add up to what was announced, the stage is dropped, so that the same one can be sent again.
    fn whole_stage(
        &mut self,
        turn: &Turn<'_>,
        visitor: &Visitor<'_, '_>,
        id: u32,
    ) -> Result<(Name, Span), Fault> {
        self.check_stage((&visitor.key, &turn.client), id)?;
        let now = self.committer.machine.now();
        let Self { slot, state, stage_file, .. } = self;
        let Some(stage) = state.stage_mut() else { return Err(gone(slot)) };
        if !stage.is_complete() {
            return Err(slot.fail(Code::Incomplete, Subject::None, "pieces are missing"));
        }
        stage.heard = now;
        let interface = stage.announced.interface;
        let span = Span { from: 0, end: stage.announced.length };
        if !has_digest(slot, stage_file, span, &stage.announced.digest)? {
            let failure = self.drop_stage().map_err(|fault| self.slot.take(fault)).err();
            let text = "the pieces do not add up to what was announced: send them again";
            let digest = || self.slot.fail(Code::Digest, Subject::None, text);
            return Err(failure.map_or_else(digest, |failure| self.slot.restore(failure)));
        }
        Ok((interface, span))
    }

    /// Fails unless the image is for the interface that was announced.
    fn check_announced(&mut self, interface: &Name, span: Span) -> Result<(), Fault> {
        let Self { slot, stage_file, .. } = self;
        match Records::new(slot, stage_file, 0, span.end).next()? {
            Some(Record::Interface(found)) if found.name != *interface => {
                let text = "the image is for another interface than was announced";
                Err(slot.fail(Code::Config, Subject::Interface, text))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn plan(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        id: u32,
    ) -> Result<(), Fault> {
        let (interface, span) = self.whole_stage(turn, visitor, id)?;
        self.check_announced(&interface, span)?;
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
        self.check_confirm(confirm_within)?;
        let (interface, span) = self.whole_stage(turn, visitor, id)?;
        self.check_free(turn, visitor, &interface)?;
        let change = visitor.change(Act::Pushed, confirm_within);
        let committed = self.check_announced(&interface, span).and_then(|()| {
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
        interface: &Name,
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
                self.go_on_reverting(interface);
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
