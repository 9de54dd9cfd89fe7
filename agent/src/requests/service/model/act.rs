//! Makes an event happen, and records what an observer learns from its answer.

use std::vec::Vec;

use super::event::Event::{self, *};
use super::*;

impl Run {
    pub(in crate::requests::service) fn ask(
        &mut self,
        agent: &mut Agent<'_>,
        who: u8,
        nth: u32,
        ask: Ask<'_>,
    ) -> Answer<'static> {
        self.id += 1;
        let key = PublicKey([who; 32]);
        let (mut keep, mut state) = (Drawer::default(), Drawer::default());
        let mut ownership = Ownership::load(&mut keep, &mut state);
        for key in [1, 2] {
            let (key, role) = (PublicKey([key; 32]), Role::Admin);
            let owner = Owner { key, role, name: "anne".try_into().unwrap() };
            let _ = ownership.add(agent.slot, &owner).map_err(|fault| agent.slot.take(fault));
        }
        let admin = Standing::Owner(Role::Admin);
        let mut visitor = client::visitor(key, admin, (nth, self.session), &mut ownership);
        let packet = client::packet([who; 8], self.id, ask);
        let mut sent = Sent::default();
        let _ = agent.packet(&packet, &mut visitor, &mut sent);
        let packet = sent.0.pop().expect("an answer").leak();
        let (_, reply) = envelope::read::<Reply<'_>>(packet, |_| true).unwrap();
        if !matches!(reply.answer, Answer::Status(_) | Answer::Hello(_)) {
            self.say(&reply.answer);
        }
        reply.answer
    }

    pub(in crate::requests::service) fn hello(&mut self, agent: &mut Agent<'_>) {
        for who in [1, 2] {
            self.ask(agent, who, 1, Ask::Hello { min: 1, max: 1, features: 0 });
        }
    }

    pub(in crate::requests::service) fn status(&mut self, agent: &mut Agent<'_>) -> Status {
        match self.ask(agent, 1, 1, Ask::Status) {
            Answer::Status(status) => status,
            other => self.wrong(&format!("{other:?}")),
        }
    }

    /// Starts a push. Returns its stage, or the refusal.
    #[expect(clippy::result_large_err, reason = "tests have room")]
    fn begin(
        &mut self,
        agent: &mut Agent<'_>,
        who: u8,
        image: &[u8],
        face: usize,
    ) -> Result<u32, Answer<'static>> {
        let begin = Ask::Begin {
            interface: FACES[face].parse().unwrap(),
            length: image.len() as u32,
            digest: digest(image),
            piece_size: 1_000,
            patch: None,
            data: &[],
        };
        match self.ask(agent, who, 1, begin) {
            Answer::Received { stage, .. } => Ok(stage),
            other => Err(other),
        }
    }

    pub(in crate::requests::service) fn push(
        &mut self,
        agent: &mut Agent<'_>,
        face: usize,
        port: u16,
        confirm_within: u16,
    ) -> Answer<'static> {
        let image = image(face, port);
        let stage = match self.begin(agent, 1, &image, face) {
            Ok(stage) => stage,
            Err(answer) => return answer,
        };
        match self.ask(agent, 1, 1, Ask::Piece { stage, index: 0, data: &image }) {
            Answer::Received { .. } => {}
            other => return other,
        }
        self.ask(agent, 1, 1, Ask::Commit { stage, confirm_within, adopt: false })
    }

    /// Pushes an image that the router takes.
    pub(in crate::requests::service) fn push_image(
        &mut self,
        agent: &mut Agent<'_>,
        interface: Name,
        image: &[u8],
    ) {
        let begin = Ask::Begin {
            interface,
            length: image.len() as u32,
            digest: digest(image),
            piece_size: 1_000,
            patch: None,
            data: image,
        };
        let Answer::Received { stage, .. } = self.ask(agent, 1, 1, begin) else {
            self.wrong("not taken");
        };
        let commit = Ask::Commit { stage, confirm_within: 0, adopt: false };
        let answer = self.ask(agent, 1, 1, commit);
        if !matches!(answer, Answer::Applied(_)) {
            self.wrong(&format!("{answer:?}"));
        }
    }

    /// The state of an interface before a change. An earlier change that could not be reverted yet
    /// is reverted first.
    fn before(&self, agent: &Agent<'_>, face: usize) -> Option<Content> {
        let reverting = matches!(agent.state, super::state::State::Reverting(..));
        (!reverting).then(|| self.router.content(face))
    }

    /// Handles the answer to a request for a change.
    fn changed(
        &mut self,
        face: usize,
        port: Option<u16>,
        answer: &Answer<'_>,
        before: Option<Content>,
    ) {
        match answer {
            Answer::Applied(applied) => {
                let content = self.router.content(face);
                if port.is_some_and(|port| self.looks.get(&(face, port)) != Some(&content)) {
                    self.wrong(&format!("applied, and the kernel has {content}"));
                }
                if applied.confirm_within > 0 {
                    (self.waiting, self.before) = (Some((face, content)), before);
                } else {
                    if !applied.stored && !self.may(face).contains(&content) {
                        self.wrong("applied, and not stored");
                    }
                    self.is_stored(face, content);
                }
            }
            Answer::Failed(failure) => {
                // The disk may have done what it reported as failed.
                if failure.code == Code::Storage {
                    self.doubt(face);
                }
            }
            other => self.wrong(&format!("{other:?}")),
        }
    }

    pub(super) fn request(&mut self, agent: &mut Agent<'_>, event: Event) {
        match event {
            Push { face, port, confirm } => {
                let before = self.before(agent, face);
                let answer = self.push(agent, face, port, confirm);
                self.changed(face, Some(port), &answer, before);
            }
            Begin => {
                let image = image(0, 4);
                let _ = self.begin(agent, 2, &image, 0);
            }
            Confirm { fresh } => {
                self.session += u32::from(fresh);
                let nth = if fresh { self.session } else { 1 };
                match self.ask(agent, 1, nth, Ask::Confirm) {
                    Answer::Confirmed { .. } => {
                        let Some((face, content)) = self.waiting.take() else {
                            self.wrong("confirmed what did not wait");
                        };
                        if self.router.content(face) != content {
                            self.wrong("confirmed what does not run");
                        }
                        self.is_stored(face, content);
                    }
                    Answer::Failed(failure) if failure.code == Code::Storage => {
                        if let Some((face, _)) = self.waiting {
                            self.doubt(face);
                        }
                    }
                    _ => {}
                }
            }
            Revert => {
                if let Answer::Reverted { .. } = self.ask(agent, 1, 1, Ask::Revert)
                    && let Some((face, _)) = self.waiting.take()
                    && !self.meddled.contains(&face)
                    && self
                        .before
                        .as_ref()
                        .is_some_and(|before| *before != self.router.content(face))
                {
                    self.wrong("reverted to something else than there was");
                }
            }
            Rollback { confirm: confirm_within } => {
                let before = self.before(agent, 0);
                let interface = FACES[0].parse().unwrap();
                // The one before the newest.
                let names = self.router.keep.names();
                let number = |name: &String| name.strip_prefix("wg0.")?.parse::<u32>().ok();
                let mut numbers: Vec<u32> = names.iter().filter_map(number).collect();
                numbers.sort_unstable();
                let number = numbers.iter().nth_back(1).copied().unwrap_or(9);
                let ask = Ask::Rollback { interface, number, confirm_within };
                let answer = self.ask(agent, 1, 1, ask);
                // A configuration may be stored although the answer was lost.
                if let Answer::Applied(Applied { confirm_within: 0, stored: true, .. }) = answer {
                    self.doubt(0);
                }
                self.changed(0, None, &answer, before);
            }
            Remove { face, confirm: confirm_within } => {
                let before = self.before(agent, face);
                let interface = FACES[face].parse().unwrap();
                let ask = Ask::Remove { interface, confirm_within };
                let answer = self.ask(agent, 1, 1, ask);
                self.changed(face, None, &answer, before);
            }
            Repair { face, confirm: confirm_within } => {
                let before = self.before(agent, face);
                let interface = FACES[face].parse().unwrap();
                let ask = Ask::Repair { interface, confirm_within };
                let answer = self.ask(agent, 1, 1, ask);
                self.changed(face, None, &answer, before);
            }
            Tick(millis) => {
                let now = &self.router.bench.now;
                now.set(now.get() + millis);
                agent.tick();
                for _ in 0..20 {
                    if agent.drift_deadline().is_none_or(|due| due > now.get()) {
                        return;
                    }
                    agent.tick();
                }
                self.wrong("the search for changes by other programs does not end");
            }
            Meddle => {
                self.router.world.delete_links();
                agent.notified(&[], 1, 0);
                self.meddled.extend(0..FACES.len());
            }
            TakePeers(face) => {
                if self.router.has(face) {
                    self.router.world.meddle(FACES[face], |device| device.peers.clear());
                    self.meddled.insert(face);
                }
            }
            Down(face) => {
                if self.router.has(face) {
                    let index = self.router.world.index(FACES[face]);
                    let _ = self.router.world.by_hand(|buf| {
                        link::set_up(buf, 1, index, false).expect("room for the request")
                    });
                    agent.notified(&[], 1, 0);
                    self.meddled.insert(face);
                }
            }
            Refuse(at) => self.router.world.incident(at, Incident::Refused(Errno::EPERM)),
            Break => self.router.world.incident(0, Incident::Broken(Errno::EPERM)),
            Mend => self.mend(),
            Keep(at) => self.router.keep.mishap(at, Mishap::Fails(Errno::ENOSPC)),
            Snapshots(at) => self.router.state.mishap(at, Mishap::Fails(Errno::ENOSPC)),
            Lose => {
                self.router.state.lose();
                // The next agent cannot know about a pending change.
                if let Some((face, content)) = self.waiting.clone() {
                    self.may(face).insert(content);
                    self.lost.insert(face);
                }
            }
            Kill(at) => self.router.life.end_at(at),
            Cut(at, there) => {
                self.cut = Some(there);
                self.router.life.end_at(at);
            }
            Restart | Boot { .. } => unreachable!("handled by the path"),
        }
    }
}
