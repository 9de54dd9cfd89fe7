//! Requests in, replies out. Every request with an effect is done once: its reply is kept, and a
//! repeated request gets it again.
//!
//! One request is worked on at a time; nothing here waits for a wire. What takes long says so in
//! between ([`Outlet`]).

use core::fmt;

use heapless::{String, Vec};
use proto_core::netlink::{Errno, IfName};
use proto_core::protocol::codec;
use proto_core::protocol::envelope::{self, EnvelopeError, HELLO_VERSION};
use proto_core::protocol::message::{
    Answer, Ask, ClientId, Code, Failure, Hello, State, Status, Subject, Summary, cut,
};
use proto_core::protocol::window::Arrived;
use proto_core::protocol::{Digest, MAX_DATA, MAX_PACKET, VERSION};

use crate::apply::apply;
use crate::fault::{Fault, Slot};
use crate::image::{check, has_digest};
use crate::index::{Extras, Index};
use crate::kernel::{Kernel, SET};
use crate::options::Policy;
use crate::plan::{Purpose, Work, agree, compare, parse_name};
use crate::stage::{Announced, Stage};
use crate::system::{File, Files, Machine, NetlinkSocket};
use crate::{remove, report};

/// How many clients' last replies are kept.
const CLIENTS: usize = 4;
/// The longest reply that is kept, in bytes. Only those of `Read` are longer, and they repeat
/// themselves.
const KEPT: usize = 512;
/// How often a long request gives a sign of life, in milliseconds.
const BEAT: u64 = 200;

/// The way back to a client.
pub trait Outlet {
    /// Sends a packet; the buffer has room behind it for what the wire adds. A packet that cannot be
    /// sent is lost, as on any wire.
    fn send(&mut self, packet: &mut [u8; SCRATCH], len: usize);
    /// The most bytes of pieces this way takes unanswered.
    fn in_flight(&self) -> u32;
    /// Who is there, for the log.
    fn from(&self) -> &dyn fmt::Display;
}

/// Bytes of a buffer that a packet is written into, with room for its CRC.
pub const SCRATCH: usize = MAX_PACKET + proto_core::protocol::frame::CRC_LEN;

/// A reply that was sent.
#[derive(Clone, Debug)]
struct Kept {
    client: ClientId,
    id: u32,
    packet: Vec<u8, KEPT>,
    when: u64,
}

/// A file that a client may read.
#[derive(Clone, Copy, Debug)]
struct Readable {
    file: u32,
    length: u32,
    digest: Digest,
    client: ClientId,
    /// The stage whose changes are in it.
    stage: Option<u32>,
}

/// What happened since the agent started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Pushes applied.
    pub applied: u32,
    /// Pushes failed.
    pub failed: u32,
    /// Packets dropped.
    pub garbage: u32,
    /// Bytes outside frames.
    pub text: u32,
}

/// The agent behind its wires.
#[derive(Debug)]
pub struct Service<'b, N, F, M> {
    slot: &'b Slot,
    kernel: Kernel<'b, N>,
    files: Files<F>,
    machine: M,
    policy: Policy,
    set: &'b mut [u8; SET],
    stage: Option<Stage>,
    readable: Option<Readable>,
    kept: Vec<Kept, CLIENTS>,
    /// Counts stages and files; starts anywhere, so that those of an earlier agent are not taken for
    /// those of this one.
    number: u32,
    sum_key: [u8; 16],
    started: u64,
    /// What happened so far.
    pub counters: Counters,
}

impl<'b, N: NetlinkSocket, F: File, M: Machine> Service<'b, N, F, M> {
    /// An agent that has done nothing yet.
    ///
    /// # Errors
    /// When the machine has no random numbers.
    pub fn new(
        kernel: Kernel<'b, N>,
        files: Files<F>,
        machine: M,
        policy: Policy,
        set: &'b mut [u8; SET],
    ) -> Result<Self, Fault> {
        let mut number = [0; 4];
        let mut sum_key = [0; 16];
        let slot = kernel.slot;
        machine.random(&mut number).map_err(|errno| slot.storage(errno))?;
        machine.random(&mut sum_key).map_err(|errno| slot.storage(errno))?;
        let started = machine.now();
        Ok(Self {
            slot,
            kernel,
            files,
            machine,
            policy,
            set,
            stage: None,
            readable: None,
            kept: Vec::new(),
            number: u32::from_ne_bytes(number),
            sum_key,
            started,
            counters: Counters::default(),
        })
    }

    /// The machine, for the loop around this.
    pub const fn machine(&self) -> &M {
        &self.machine
    }

    /// Takes a packet and sends what there is to answer.
    pub fn packet(&mut self, packet: &[u8], outlet: &mut dyn Outlet) {
        let known = |version| version == VERSION || version == HELLO_VERSION;
        let (version, body) = match envelope::open(envelope::REQUEST, packet, known) {
            Ok(opened) => opened,
            Err(error) => return self.refuse(packet, error, outlet),
        };
        let Some(request) = codec::request(body) else {
            return self.refuse(packet, EnvelopeError::Malformed, outlet);
        };
        if (version == HELLO_VERSION) != matches!(request.ask, Ask::Hello { .. }) {
            return self.refuse(packet, EnvelopeError::Version(version), outlet);
        }
        let mut turn = Turn::new(request.client, request.id, outlet);
        if let Some(stage) = self.stage.as_mut().filter(|stage| stage.client == turn.client) {
            stage.heard = self.machine.now();
        }
        // These two change nothing when they come again.
        let repeatable = matches!(request.ask, Ask::Piece { .. } | Ask::Read { .. });
        if !repeatable && self.remembered(&mut turn) {
            return;
        }
        if let Err(fault) = self.answer(&request.ask, &mut turn) {
            turn.answer(&Answer::Failed(self.slot.take(fault)));
        }
        if !repeatable {
            self.keep(&turn);
        }
        turn.send();
    }

    fn answer(&mut self, ask: &Ask<'_>, turn: &mut Turn<'_>) -> Result<(), Fault> {
        match ask {
            Ask::Hello { min, max } => self.hello(turn, *min, *max),
            Ask::Status => self.status(turn),
            Ask::Begin { interface, length, digest, piece_size } => {
                let (length, piece_size) = (*length, *piece_size);
                let interface = interface.clone();
                self.begin(turn, Announced { interface, length, digest: *digest, piece_size })
            }
            Ask::Piece { stage, index, data } => self.piece(turn, *stage, *index, data),
            Ask::Plan { stage } => self.commit(turn, *stage, false),
            Ask::Commit { stage } => self.commit(turn, *stage, true),
            Ask::Abort { stage } => {
                self.check_stage(turn.client, *stage)?;
                self.drop_stage()?;
                turn.answer(&Answer::Aborted);
                Ok(())
            }
            Ask::Show { interface } => self.show(turn, interface),
            Ask::Changes { stage } => self.changes(turn, *stage),
            Ask::Read { file, offset, length } => self.read(turn, *file, *offset, *length),
            Ask::Remove { interface } => self.remove(turn, interface),
            Ask::Claim { .. } | Ask::Owners | Ask::AddOwner { .. } | Ask::RemoveOwner { .. } => {
                let text = "this agent has no owners";
                Err(self.slot.fail(Code::Malformed, Subject::None, text))
            }
        }
    }

    /// Says why a packet was not understood. Its CRC was right: somebody is there who speaks another
    /// version.
    fn refuse(&mut self, packet: &[u8], error: EnvelopeError, outlet: &mut dyn Outlet) {
        self.counters.garbage = self.counters.garbage.saturating_add(1);
        // The head of a request is the same in every version: who asks, and which request.
        let Some(([envelope::REQUEST, _], body)) = packet.split_first_chunk::<2>() else { return };
        let Some((client, id)) = codec::head(body) else { return };
        let failure = match error {
            EnvelopeError::Version(_) => Failure::new(Code::Version, VERSIONS),
            _ => Failure::new(Code::Malformed, "the router does not know this request"),
        };
        let mut turn = Turn::new(client, id, outlet);
        turn.answer(&Answer::Failed(failure));
        turn.send();
    }

    /// Whether this request was answered before; then it is answered again, in the same words.
    fn remembered(&self, turn: &mut Turn<'_>) -> bool {
        let Some(kept) = self.kept.iter().find(|kept| kept.client == turn.client) else {
            return false;
        };
        if kept.id == turn.id {
            turn.repeat(&kept.packet);
            return true;
        }
        // An older request that was under way for long. Its answer is not wanted any more.
        kept.id.wrapping_sub(turn.id) < u32::MAX / 2
    }

    fn keep(&mut self, turn: &Turn<'_>) {
        let Ok(packet) = Vec::from_slice(turn.packet()) else { return };
        let kept = Kept { client: turn.client, id: turn.id, packet, when: self.machine.now() };
        if let Some(slot) = self.kept.iter_mut().find(|kept| kept.client == turn.client) {
            *slot = kept;
        } else if let Err(kept) = self.kept.push(kept)
            && let Some(oldest) = self.kept.iter_mut().min_by_key(|kept| kept.when)
        {
            *oldest = kept;
        }
    }

    fn hello(&self, turn: &mut Turn<'_>, min: u8, max: u8) -> Result<(), Fault> {
        if !(min..=max).contains(&VERSION) {
            return Err(self.slot.fail(Code::Version, Subject::None, VERSIONS));
        }
        let hello = Hello {
            version: VERSION,
            agent: cut(env!("CARGO_PKG_VERSION")),
            max_data: u16::try_from(MAX_DATA).unwrap_or(u16::MAX),
            in_flight: turn.outlet.in_flight(),
        };
        turn.answer(&Answer::Hello(hello));
        Ok(())
    }

    fn status(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let uptime = self.machine.now().saturating_sub(self.started);
        let mut status = Status {
            hostname: String::new(),
            board: String::new(),
            kernel: String::new(),
            machine: String::new(),
            uptime: u32::try_from(uptime.div_euclid(1000)).unwrap_or(u32::MAX),
            wireguard: self.kernel.wireguard().is_ok(),
            peak_memory: 0,
            applied: self.counters.applied,
            failed: self.counters.failed,
            garbage: self.counters.garbage,
            text: self.counters.text,
            interfaces: Vec::new(),
        };
        self.machine.identify(&mut status);
        self.kernel.wireguard_links(&mut |name| {
            let name = cut(name.as_str());
            if !status.interfaces.contains(&name) {
                // As many as fit.
                let _ = status.interfaces.push(name);
            }
        })?;
        turn.answer(&Answer::Status(status));
        Ok(())
    }

    fn allowed(&self, interface: &str) -> Result<IfName, Fault> {
        let name = parse_name(self.slot, interface)?;
        if self.policy.allows(interface) {
            return Ok(name);
        }
        let text = "the agent was started without leave to touch this interface";
        Err(self.slot.fail(Code::NotAllowed, Subject::Interface, text))
    }

    fn begin(&mut self, turn: &mut Turn<'_>, announced: Announced) -> Result<(), Fault> {
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
    fn check_free(&self, client: ClientId) -> Result<(), Fault> {
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
    fn check_stage(&self, client: ClientId, id: u32) -> Result<(), Fault> {
        match &self.stage {
            Some(stage) if stage.id == id && stage.client == client => Ok(()),
            _ => Err(gone(self.slot)),
        }
    }

    fn drop_stage(&mut self) -> Result<(), Fault> {
        self.stage = None;
        // There are keys in it.
        let Files { stage, index, extras, .. } = &mut self.files;
        let cleared = stage.clear().and_then(|()| index.clear()).and_then(|()| extras.clear());
        cleared.map_err(|errno| self.slot.storage(errno))
    }

    fn piece(
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

    fn read(
        &mut self,
        turn: &mut Turn<'_>,
        file: u32,
        offset: u32,
        length: u16,
    ) -> Result<(), Fault> {
        let readable = self.readable.filter(|r| r.file == file && r.client == turn.client);
        let readable = readable.ok_or_else(|| gone(self.slot))?;
        let left = usize::try_from(readable.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = usize::from(length).min(MAX_DATA).min(left);
        let mut data = [0; MAX_DATA];
        let room = data.get_mut(..len).unwrap_or_default();
        let got = self.files.report.read_at(offset, room);
        let got = got.map_err(|errno| self.slot.storage(errno))?;
        turn.answer(&Answer::Data { offset, data: room.get(..got).unwrap_or_default() });
        Ok(())
    }

    fn commit(&mut self, turn: &mut Turn<'_>, stage: u32, for_real: bool) -> Result<(), Fault> {
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

    fn publish(
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

    fn show(&mut self, turn: &mut Turn<'_>, interface: &str) -> Result<(), Fault> {
        let name = parse_name(self.slot, interface)?;
        self.readable = None;
        let time = self.machine.unix_time();
        let written = report::running(&mut self.kernel, &mut self.files.report, name, time)?;
        turn.answer(&self.publish(turn.client, written, None).ready());
        Ok(())
    }

    fn changes(&self, turn: &mut Turn<'_>, stage: u32) -> Result<(), Fault> {
        let client = turn.client;
        let readable = self.readable.filter(|r| r.client == client && r.stage == Some(stage));
        turn.answer(&readable.ok_or_else(|| gone(self.slot))?.ready());
        Ok(())
    }

    fn remove(&mut self, turn: &mut Turn<'_>, interface: &str) -> Result<(), Fault> {
        let name = self.allowed(interface)?;
        // A push that is under way uses the same files.
        self.check_free(turn.client)?;
        self.drop_stage()?;
        let mut extras = Extras::new(self.slot, &mut self.files.extras);
        let summary = remove::interface(&mut self.kernel, &mut extras, self.set, name)?;
        self.machine.log(format_args!("{}: removed {interface}", turn.outlet.from()));
        turn.answer(&Answer::Applied(summary));
        Ok(())
    }
}

impl Readable {
    fn ready<'a>(self) -> Answer<'a> {
        Answer::Ready { file: self.file, length: self.length, digest: self.digest }
    }
}

/// What is said to those who speak another version.
const VERSIONS: &str = "this router speaks version 1 of the protocol";

fn gone(slot: &Slot) -> Fault {
    slot.fail(Code::Gone, Subject::None, "the router does not have this any more")
}

/// A request that is being answered.
struct Turn<'o> {
    client: ClientId,
    id: u32,
    outlet: &'o mut dyn Outlet,
    scratch: [u8; SCRATCH],
    len: usize,
}

impl<'o> Turn<'o> {
    fn new(client: ClientId, id: u32, outlet: &'o mut dyn Outlet) -> Self {
        Self { client, id, outlet, scratch: [0; SCRATCH], len: 0 }
    }

    /// Writes an answer in place of the one before.
    #[inline(never)]
    fn answer(&mut self, answer: &Answer<'_>) {
        let version = match answer {
            Answer::Hello(_) | Answer::Failed(Failure { code: Code::Version, .. }) => HELLO_VERSION,
            _ => VERSION,
        };
        let reply = (self.client, self.id, answer);
        self.len = match self.scratch.get_mut(..MAX_PACKET) {
            Some([kind, spoken, body @ ..]) => {
                (*kind, *spoken) = (envelope::REPLY, version);
                codec::write(&reply, body).map_or(0, |len| len.saturating_add(2))
            }
            _ => 0,
        };
    }

    fn packet(&self) -> &[u8] {
        self.scratch.get(..self.len).unwrap_or_default()
    }

    fn send(&mut self) {
        if self.len > 0 {
            self.outlet.send(&mut self.scratch, self.len);
        }
    }

    fn repeat(&mut self, packet: &[u8]) {
        if let Some(room) = self.scratch.get_mut(..packet.len()) {
            for (to, from) in room.iter_mut().zip(packet) {
                *to = *from;
            }
            self.len = packet.len();
            self.send();
        }
    }
}

#[cfg(test)]
mod tests;
