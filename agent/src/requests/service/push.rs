//! A push: pieces are written into the stage, and a plan or a commit uses its contents.

use proto_core::key::PublicKey;
use proto_core::netlink::Errno;
use proto_core::protocol::Digest;
use proto_core::protocol::config::Record;
use proto_core::protocol::message::{
    Answer, Applied, ClientId, Code, Failure, Name, OwnerName, Patch, Phase, State, Subject, copy,
    cut,
};
use proto_core::protocol::report::Act;
use proto_core::protocol::window::Arrived;

use super::state::State as Doing;
use super::{Service, Turn, Visitor, gone, patch};
use crate::access::owners::Standing;
use crate::config::image::{Records, Span, has_digest};
use crate::config::plan::Purpose;
use crate::fault::{Fault, Slot};
use crate::requests::stage::{Announced, Stage};
use crate::store::commit::{Adopt, Change, Committer, Done};
use crate::system::{File, Files, Machine, System};

/// Milliseconds between two progress reports of a long request.
const BEAT: u64 = 200;

/// Reports progress while a request takes long.
pub(super) fn beat<'w, 'o, M: Machine>(
    machine: &'w M,
    turn: &'w mut Turn<'o>,
) -> impl FnMut(Phase, u32, u32) + use<'w, 'o, M> {
    let mut last = machine.now();
    move |phase, done, total| {
        if machine.now().saturating_sub(last) >= BEAT && !turn.outlet.is_behind() {
            last = machine.now();
            turn.answer(&Answer::Working { phase, done, total });
            turn.send();
        }
    }
}

/// Converts offsets in the stage file to offsets in the image, which is after the patch.
fn in_image(slot: &Slot, fault: Fault, span: Span) -> Fault {
    slot.amend(fault, &|failure| {
        if let Subject::Offset(at) = &mut failure.subject {
            *at = at.saturating_sub(span.from);
        }
    })
}

/// Answers a plan: the file of the changes that the image would make.
pub(super) fn planned<S: System>(
    committer: &mut Committer<'_, S>,
    turn: &mut Turn<'_>,
    image: (&mut S::File, Span),
    purpose: Purpose,
) -> Result<(u32, Digest), Fault> {
    compared(committer, turn, image, purpose).map(|(written, _)| written)
}

/// As [`planned`], and whether there are no changes.
pub(super) fn compared<S: System>(
    committer: &mut Committer<'_, S>,
    turn: &mut Turn<'_>,
    (image, span): (&mut S::File, Span),
    purpose: Purpose,
) -> Result<((u32, Digest), bool), Fault> {
    let mut working = beat(committer.machine, turn);
    let (summary, written) = committer.plan(image, span, purpose, &mut working)?;
    drop(working);
    let quiet = summary.is_quiet();
    turn.answer(&Answer::Planned(summary));
    Ok((written, quiet))
}

impl<S: System> Service<'_, S> {
    pub(super) fn begin(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        announced: Announced,
        data: &[u8],
    ) -> Result<(), Fault> {
        self.allowed(&announced.interface)?;
        announced.check(self.slot, data)?;
        let machine = self.committer.machine;
        let now = machine.now();
        // The same configuration again is the same push, because a restarted client has another number. Another owner
        // may continue it when the first client is gone.
        let same = |stage: &&mut Stage| {
            stage.announced == announced && (stage.key == visitor.key || now >= stage.stale_at())
        };
        if let Some(stage) = self.state.stage_mut().filter(same) {
            (stage.key, stage.client, stage.by) = (visitor.key, turn.client, visitor.name());
            stage.heard = now;
            let (id, arrived) = (stage.id, stage.arrived);
            turn.answer(&Answer::Received { stage: id, arrived });
            return Ok(());
        }
        self.check_free(turn, visitor, &announced.interface)?;
        self.drop_stage()?;
        self.number = self.number.wrapping_add(1);
        let (from, id, length) = (turn.outlet.from(), self.number, announced.length);
        let interface = &announced.interface;
        machine.info(format_args!("{from}: begins to push {interface}, {length} bytes"));
        let arrived = Arrived::default();
        let (key, client, by) = (visitor.key, turn.client, visitor.name());
        let (since, heard) = (now, now);
        let (made, checked) = (None, false);
        let stage = Stage { id, key, client, by, announced, arrived, made, checked, since, heard };
        self.state.begin(stage);
        self.fill(data)?;
        let arrived = self.state.stage().map(|stage| stage.arrived).unwrap_or_default();
        turn.answer(&Answer::Received { stage: id, arrived });
        Ok(())
    }

    /// Fills a new stage with bytes that need not be sent: the image that is stored already, or the bytes that came
    /// with the announcement.
    #[inline(never)]
    fn fill(&mut self, data: &[u8]) -> Result<(), Fault> {
        let Self { slot, committer, stage_file, state, .. } = self;
        let Some(stage) = state.stage_mut() else { return Ok(()) };
        let Announced { interface, length, digest, patch, .. } = stage.announced.clone();
        let stored = if patch.is_some() { None } else { committer.newest_whole(&interface)? };
        if let Some((head, mut stored)) = stored.filter(|(head, _)| head.pushed == digest) {
            let made = patch::as_pushed(slot, &head, &mut stored, stage_file)?;
            let span = Span { from: 0, end: made };
            if made == length && has_digest(slot, stage_file, span, &digest)? {
                stage.complete();
                stage.checked = true;
                return Ok(());
            }
            stage_file.clear().map_err(|errno| slot.storage(errno))?;
        }
        if !data.is_empty() {
            stage.whole(slot, stage_file, data)?;
        }
        Ok(())
    }

    /// Makes the image of a stage that holds a patch, once. Returns the place of the image in the stage file.
    #[inline(never)]
    fn make(&mut self) -> Result<Span, Fault> {
        let Self { slot, committer, stage_file, state, .. } = self;
        let Some(stage) = state.stage_mut() else { return Err(gone(slot)) };
        let Announced { interface, length, .. } = stage.announced;
        let Some(Patch { base, length: sent }) = stage.announced.patch else {
            return Ok(Span { from: 0, end: length });
        };
        if let Some(made) = stage.made {
            return Ok(made);
        }
        let stored = committer.store.open(&interface, base);
        let (head, mut stored) = stored.map_err(|fault| {
            let missing = matches!(slot.code(), Some(Code::NotStored | Code::Damaged));
            let code = if missing { Code::Gone } else { Code::Storage };
            slot.amend(fault, &|failure| failure.code = code)
        })?;
        let made = patch::apply(slot, (sent, length), (&head, &mut stored), stage_file)?;
        stage.made = Some(made);
        Ok(made)
    }

    /// Answers the digests of ranges of the stored image of an interface; of no ranges to a client whose stage of it
    /// is complete, because nothing is left to send.
    #[inline(never)]
    pub(super) fn ranges(
        &mut self,
        turn: &mut Turn<'_>,
        interface: &Name,
        bounds: &[u8],
    ) -> Result<(), Fault> {
        let done = |stage: &&Stage| {
            stage.is_complete()
                && stage.client == turn.client
                && stage.announced.interface == *interface
        };
        if self.state.stage().filter(done).is_some() {
            let number = self.committer.store.newest(interface, u32::MAX)?.unwrap_or(0);
            turn.answer(&Answer::Ranges { number, ranges: &[] });
            return Ok(());
        }
        let (head, mut image) = self.stored(interface)?;
        let mut ranges = [0; patch::RANGES];
        let len = patch::ranges(self.slot, &head, &mut image, bounds, &mut ranges)?;
        let ranges = ranges.get(..len).unwrap_or_default();
        turn.answer(&Answer::Ranges { number: head.number, ranges });
        Ok(())
    }

    /// Fails while another client's push is under way, or a change is pending. A change that could not be reverted is
    /// reverted now. If that fails again, a new change of the same interface goes on without it, and a change of
    /// another interface fails.
    pub(super) fn check_free(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        interface: &Name,
    ) -> Result<(), Fault> {
        self.finish_pass(&mut beat(self.committer.machine, turn));
        if let Doing::Reverting(_, reverting) = &self.state {
            let stuck = reverting.interface;
            let fault = self.take_back(&stuck).err();
            match fault {
                Some(fault) if stuck != *interface => {
                    let Failure { text, .. } = self.slot.take(fault);
                    let words = format_args!(
                        "the router has not reverted a change of {stuck} yet; push or remove \
                         {stuck}: {text}"
                    );
                    return Err(self.slot.say(Code::Busy, Subject::None, Errno(0), words));
                }
                Some(fault) => {
                    self.committer.note(&stuck, fault);
                    self.committer.give_up_change();
                    self.state.give_up(self.committer.machine.now());
                }
                None => {}
            }
        }
        let now = self.committer.machine.now();
        self.state.check_free(self.slot, (&visitor.key, &turn.client), now)
    }

    /// Fails unless the stage has this number and belongs to this client.
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
        // The buffer held keys.
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

    /// Fails unless the stage belongs to this client and is complete. Returns the announcement and the place of the
    /// image. If the digest of the pieces is wrong, the stage is dropped, so that it can be sent again.
    fn whole_stage(
        &mut self,
        turn: &Turn<'_>,
        visitor: &Visitor<'_, '_>,
        id: u32,
    ) -> Result<(Name, Span), Fault> {
        self.check_stage((&visitor.key, &turn.client), id)?;
        let now = self.committer.machine.now();
        let Self { slot, state, .. } = self;
        let Some(stage) = state.stage_mut() else { return Err(gone(slot)) };
        if !stage.is_complete() {
            return Err(slot.fail(Code::Incomplete, Subject::None, "pieces are missing"));
        }
        stage.heard = now;
        let (Announced { interface, length, digest, .. }, checked) =
            (stage.announced.clone(), stage.checked);
        let span = match self.make() {
            Ok(span) => span,
            // The patch cannot become another one.
            Err(fault) if matches!(self.slot.code(), Some(Code::Digest | Code::Gone)) => {
                let failure = self.slot.take(fault);
                self.drop_stage()?;
                return Err(self.slot.restore(failure));
            }
            Err(fault) => return Err(fault),
        };
        let Self { slot, stage_file, state, .. } = self;
        let whole = span.end.saturating_sub(span.from) == length;
        if !checked && (!whole || !has_digest(slot, stage_file, span, &digest)?) {
            let failure = self.drop_stage().map_err(|fault| self.slot.take(fault)).err();
            let text = "the pieces do not add up to what was announced: send them again";
            let digest = || self.slot.fail(Code::Digest, Subject::None, text);
            return Err(failure.map_or_else(digest, |failure| self.slot.restore(failure)));
        }
        if let Some(stage) = state.stage_mut() {
            stage.checked = true;
        }
        Ok((interface, span))
    }

    /// Fails unless the image is for the interface that was announced.
    fn check_announced(&mut self, interface: &Name, span: Span) -> Result<(), Fault> {
        let Self { slot, stage_file, .. } = self;
        match Records::new(slot, stage_file, span.from, span.end).next()? {
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
        self.publish(turn, visitor, Some(id), &mut |this, turn| {
            let Self { committer, stage_file, .. } = this;
            planned(committer, turn, (stage_file, span), Purpose::Change)
                .map_err(|fault| in_image(this.slot, fault, span))
        })?;
        Ok(())
    }

    pub(super) fn commit(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        id: u32,
        confirm_within: u16,
        adopt: bool,
    ) -> Result<(), Fault> {
        self.check_confirm(confirm_within)?;
        let (interface, span) = self.whole_stage(turn, visitor, id)?;
        self.check_free(turn, visitor, &interface)?;
        // A stored configuration that could not be applied just now may have taken the place of the stage.
        self.check_stage((&visitor.key, &turn.client), id)?;
        let pushed = self.state.stage().map_or([0; 32], |stage| stage.announced.digest);
        let adopt = Adopt::asked(adopt);
        let change = Change { pushed, adopt, ..visitor.change(Act::Pushed, confirm_within) };
        let committed = self.check_announced(&interface, span).and_then(|()| {
            let Self { committer, stage_file, .. } = self;
            let mut working = beat(committer.machine, turn);
            let done = committer.commit(stage_file, span, &change, &mut working);
            done.map_err(|fault| in_image(committer.slot, fault, span))
        });
        // The failure of the commit is the one to report.
        let committed = committed.map_err(|fault| self.slot.take(fault));
        if committed.is_ok() {
            let Self { slot, hosts, stage_file, committer, .. } = self;
            let now = committer.machine.now();
            let taken = hosts.take(slot, &interface, (stage_file, span), false, now);
            // The change was made, even if its host names cannot be recorded for lookups.
            let _ = taken.map_err(|fault| slot.take(fault));
            self.changed(&interface, "push");
        }
        // The answer is that of the change. Best effort: if this fails, the next stage overwrites the keys.
        let _ = self.drop_stage().map_err(|fault| self.slot.take(fault));
        let done = committed.map_err(|failure| self.slot.restore(failure));
        self.answer_change(turn, visitor, &interface, done, confirm_within)
    }

    /// Logs the result of a change, and answers with it.
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
                machine.info(format_args!(
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
                    State::Undone => "the changes were reverted",
                    State::Partly | State::Unknown(_) => "some changes were not reverted",
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
}

impl Visitor<'_, '_> {
    /// A change by this visitor.
    pub(super) fn change(&self, act: Act, confirm_within: u16) -> Change {
        let (by, confirm) = (self.name(), confirm_within > 0);
        Change { act: Some(act), key: self.key, by, confirm, ..Change::REPAIR }
    }

    /// The visitor's name.
    pub(super) fn name(&self) -> OwnerName {
        if self.standing == Standing::Local {
            return cut("console");
        }
        let owners = self.ownership.owners();
        let owner = owners.iter().find(|owner| owner.key == self.key);
        owner.map(|owner| copy(&owner.name)).unwrap_or_default()
    }
}
