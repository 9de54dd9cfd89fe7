//! Executes requests and sends replies. Every request with an effect is executed once: its reply is
//! kept, and a repeated request gets the same reply again.
//!
//! One request is handled at a time; nothing here waits for a wire. Long requests report progress
//! ([`Outlet`]). The door has authenticated the client ([`crate::access::door`]); [`Visitor`]
//! decides, once for each request, whether the client may make it.
//!
//! | module | holds |
//! |---|---|
//! | `answered` | answers that are kept, by owner |
//! | `reports` | the files that clients read, by owner |
//! | `turn` | one request, while it is answered |
//! | `visitor` | the client, and what it may do |
//! | `patch` | images made from stored images |
//! | `push` | stage, plan and commit |
//! | `stored` | stored configurations: history, drift, repair, rollback, removal |
//! | `state` | the one state of the service |
//! | `console` | lines of a console |
//! | `drift` | changes by other programs |
//! | `told` | changes that the program of `--applied` is told |
//! | `pending` | the pending change, and timers |

mod answered;
#[cfg(feature = "console")]
mod console;
mod drift;
mod patch;
mod pending;
mod push;
mod reports;
mod state;
mod stored;
mod told;
mod turn;
mod visitor;

use heapless::{String, Vec};
use proto_core::key::PublicKey;
use proto_core::netlink::Errno;
use proto_core::protocol::codec::{self, Misread};
use proto_core::protocol::envelope::{self, EnvelopeError, HELLO_VERSION};
use proto_core::protocol::message::Turn as LongestTurn;
use proto_core::protocol::message::{
    Answer, Ask, Code, Failure, Hello, Name, Request, Status, Subject, cut,
};
use proto_core::protocol::{Digest, MAX_DATA, VERSION};

use crate::config::claims;
use crate::fault::{Fault, Slot};
use crate::kernel::exchange::steady;
#[cfg(feature = "console")]
use crate::led::Activity;
use crate::options::Policy;
use crate::requests::report;
use crate::requests::stage::Announced;
use crate::store::commit::Committer;
use crate::store::guard::Guard;
use crate::store::hosts::Hosts;
use crate::store::start::Pass;
use crate::store::trouble::Trouble;
use crate::system::{File, Files, Machine, System};
use answered::{Answered, Class, Past};
use drift::Drift;
use reports::{Readable, Reports};
use state::State;
use told::Told;
use turn::Turn;

pub use pending::LONGEST_CONFIRM;
pub use reports::REPORTS;
pub use turn::{Outlet, SCRATCH, SERIAL_IN_FLIGHT, UDP_IN_FLIGHT};
use visitor::OwnerChange;
pub use visitor::Visitor;

/// Writes a file for a client. Returns its length and digest.
type WriteReport<'w, S> = dyn FnMut(&mut S, &mut Turn<'_>) -> Result<(u32, Digest), Fault> + 'w;

/// Counters since the agent started.
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

/// The service's own files: the stage, the names to look up, the reports, and output and paste of a session's console.
pub type OwnFiles<F> = (F, F, Vec<F, REPORTS>, [F; 2]);

/// The agent, without its wires.
#[derive(Debug)]
pub struct Service<'b, S: System> {
    slot: &'b Slot,
    committer: Committer<'b, S>,
    policy: Policy<'b>,
    /// The image that is arriving.
    stage_file: S::File,
    /// The files that clients read.
    reports: Reports<S::File>,
    state: State,
    /// Progress of applying the stored configurations; `None` when all were visited.
    pass: Option<Pass>,
    /// Endpoints to look up by name.
    hosts: Hosts<S::File>,
    /// Changes by other programs.
    drift: Drift,
    /// Changes that the program of `--applied` is told.
    told: Told,
    answered: Answered,
    /// The longest request or tick: its duration in milliseconds, and its name.
    longest: (u32, &'static str),
    /// Counts stages and files. The count starts at an arbitrary number, so that the numbers of an earlier agent are
    /// not mistaken for ours.
    number: u32,
    started: u64,
    /// The console of a session; taken out while it executes a line.
    #[cfg(feature = "console")]
    console: Option<console::SessionConsole<S::File>>,
    /// The counters.
    pub counters: Counters,
}

impl<'b, S: System> Service<'b, S> {
    /// A new agent.
    #[must_use]
    #[inline(never)]
    pub fn new(
        committer: Committer<'b, S>,
        (stage_file, hosts, reports, console): OwnFiles<S::File>,
        policy: Policy<'b>,
    ) -> Self {
        #[cfg(feature = "console")]
        let [text, paste] = console;
        #[cfg(not(feature = "console"))]
        drop(console);
        let mut number = [0; 4];
        let (slot, machine) = (committer.slot, committer.machine);
        if machine.random(&mut number).is_err() {
            // No random numbers early after power on: use the time, which differs from that of an earlier agent.
            number = (machine.now() as u32).to_ne_bytes();
        }
        Self {
            slot,
            committer,
            policy,
            stage_file,
            reports: Reports::new(reports),
            state: State::default(),
            pass: None,
            hosts: Hosts::new(hosts),
            drift: Drift::default(),
            told: Told::default(),
            answered: Answered::default(),
            longest: (0, ""),
            number: u32::from_ne_bytes(number),
            started: machine.now(),
            #[cfg(feature = "console")]
            console: Some(console::SessionConsole {
                text,
                paste,
                talk: crate::console::Talk::default(),
                key: crate::console::NO_KEY,
            }),
            counters: Counters::default(),
        }
    }

    /// Sets the record of starts.
    pub fn count_starts(&mut self) {
        let Committer { store, machine, .. } = &mut self.committer;
        let guard = Guard::load(store.disk(), machine.boot_id(), machine.now());
        match guard.ended() {
            0 => {}
            1 => self
                .committer
                .machine
                .log(format_args!("the last start ended before it was settled")),
            ended => self
                .committer
                .machine
                .log(format_args!("the last {ended} starts ended before they were settled")),
        }
        self.committer.guard = Some(guard);
    }

    /// Whether stored configurations remain to be applied.
    pub const fn is_starting(&self) -> bool {
        self.pass.is_some()
    }

    /// Must be called when the agent ends on request.
    pub fn end(&mut self) {
        if let Some(guard) = &mut self.committer.guard {
            guard.settle(self.committer.store.disk());
        }
    }

    /// The faults, by interface, or by a name that no interface can have.
    pub const fn trouble(&mut self) -> &mut Trouble {
        &mut self.committer.trouble
    }

    /// What the service is doing, and when that may change without an event.
    #[cfg(feature = "console")]
    pub fn activity(&self, now: u64) -> (Activity, Option<u64>) {
        match &self.state {
            State::Waiting(..) => (Activity::Pending, None),
            State::Staging(_, stage) if now < stage.stale_at() => {
                (Activity::Push, Some(stage.stale_at()))
            }
            State::Reverting(..) => (Activity::Trouble, None),
            _ if !self.committer.trouble.is_empty() => (Activity::Trouble, None),
            _ => (Activity::Waiting, None),
        }
    }

    /// The machine, for the loop around this.
    pub const fn machine(&self) -> &'b S::Machine {
        self.committer.machine
    }

    /// Handles a packet of a session and sends the answer. Returns whether keys may have been left on the stack.
    #[must_use]
    #[inline(never)]
    pub fn packet(
        &mut self,
        packet: &[u8],
        visitor: &mut Visitor<'_, '_>,
        outlet: &mut dyn Outlet,
    ) -> bool {
        let request = match read(packet) {
            Ok(request) => request,
            // Unknown requests are not cached.
            Err(_) if visitor.is_stranger() => return false,
            Err(error) => {
                self.refuse(packet, error, outlet);
                return false;
            }
        };
        let started = self.committer.machine.now();
        let mut turn = Turn::new(request.client, request.id, outlet);
        let class = Class::of(&request.ask);
        if class != Class::Free && self.was_answered(visitor, &request.ask, &mut turn) {
            return false;
        }
        if visitor.is_stranger() {
            return false;
        }
        let allowed = visitor.may(self.slot, &request.ask);
        let answered = allowed.and_then(|()| self.answer(&request.ask, visitor, &mut turn));
        if let Err(fault) = answered {
            turn.answer(&Answer::Failed(self.slot.take(fault)));
        }
        let Turn { client, id, .. } = turn;
        let owns = |key: &PublicKey| visitor.owns(key);
        if matches!(request.ask, Ask::Begin { .. } | Ask::Hello { .. }) {
            self.answered.greet(&visitor.key, (&client, id), &owns);
        }
        if class != Class::Free {
            let packet = turn.packet();
            self.answered.keep(&visitor.key, (&client, id), (class, packet), &owns);
            self.forget_keys();
        }
        turn.send();
        if let Some(guard) = &mut self.committer.guard {
            guard.answered(self.committer.store.disk());
        }
        self.took(answered::name(&request.ask), started);
        class != Class::Free
    }

    /// Handles a repeated request. Returns `true` if the request must not be executed: either it
    /// was answered before, and the kept answer is sent again; or it may have been executed before.
    #[inline(never)]
    fn was_answered(
        &mut self,
        visitor: &Visitor<'_, '_>,
        ask: &Ask<'_>,
        turn: &mut Turn<'_>,
    ) -> bool {
        let class = Class::of(ask);
        // A forbidden request was never executed, so the refusal can be repeated.
        let allowed = visitor.may(self.slot, ask).map_err(|fault| self.slot.take(fault)).is_ok();
        let text = match self.answered.past(&visitor.key, &turn.client, turn.id) {
            Past::Answered(packet) => {
                turn.repeat(packet);
                return true;
            }
            Past::New => return false,
            Past::Gone => "this request, or a later one of this client, was answered already",
            Past::Unknown if class == Class::Change && allowed => {
                "the router does not know this client (any more), and may have done this before: \
                 say hello, and look"
            }
            Past::Unknown => return false,
        };
        if !visitor.is_stranger() {
            turn.answer(&Answer::Failed(Failure::new(Code::Gone, text)));
            turn.send();
        }
        true
    }

    /// Records the duration of an action that began at `started`.
    pub fn took(&mut self, what: &'static str, started: u64) {
        let took = self.committer.machine.now().saturating_sub(started);
        let took = u32::try_from(took).unwrap_or(u32::MAX);
        if took > self.longest.0 {
            self.longest = (took, what);
        }
    }

    /// Wipes the buffers that keys pass through. The encoder has wiped the messages to the kernel.
    fn forget_keys(&mut self) {
        self.committer.kernel.wipe();
    }

    fn answer(
        &mut self,
        ask: &Ask<'_>,
        visitor: &mut Visitor<'_, '_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Fault> {
        match ask {
            Ask::Hello { min, max, .. } => self.hello(turn, *min, *max),
            Ask::Status => self.status(turn, visitor),
            Ask::Begin { interface, length, digest, piece_size, patch, data } => {
                let announced = Announced {
                    interface: *interface,
                    length: *length,
                    digest: *digest,
                    piece_size: *piece_size,
                    patch: *patch,
                };
                self.begin(turn, visitor, announced, data)
            }
            Ask::Ranges { interface, bounds } => self.ranges(turn, interface, bounds),
            Ask::Piece { stage, index, data } => self.piece(turn, visitor, *stage, *index, data),
            Ask::Plan { stage } => self.plan(turn, visitor, *stage),
            Ask::Commit { stage, confirm_within, adopt } => {
                self.commit(turn, visitor, *stage, *confirm_within, *adopt)
            }
            Ask::Abort { stage } => {
                self.check_stage((&visitor.key, &turn.client), *stage)?;
                self.drop_stage()?;
                turn.answer(&Answer::Aborted);
                Ok(())
            }
            Ask::Show { interface } => self.show(turn, visitor, *interface),
            Ask::Changes { stage } => self.changes(turn, visitor, *stage),
            Ask::Read { file, offset, length } => {
                self.read(turn, visitor, *file, (*offset, *length))
            }
            Ask::Remove { interface, confirm_within } => {
                self.remove(turn, visitor, interface, *confirm_within)
            }
            Ask::Confirm => self.confirm(turn, visitor),
            Ask::Revert => self.revert_now(turn),
            Ask::History { interface } => self.history(turn, visitor, interface.as_ref()),
            Ask::Drift { interface } => self.drift(turn, visitor, interface),
            Ask::Repair { interface, confirm_within } => {
                self.repair(turn, visitor, interface, *confirm_within)
            }
            Ask::Rollback { interface, number, confirm_within } => {
                self.rollback(turn, visitor, interface, *number, *confirm_within)
            }
            #[cfg(feature = "console")]
            Ask::Console { line } => self.console_in_session(turn, visitor, line),
            #[cfg(not(feature = "console"))]
            Ask::Console { .. } => {
                let text = "this agent was built without a console";
                Err(self.slot.fail(Code::Unsupported, Subject::None, text))
            }
            Ask::Owners => {
                turn.answer(&Answer::Owners(visitor.ownership.owners().clone()));
                Ok(())
            }
            Ask::Claim { .. } | Ask::AddOwner { .. } | Ask::RemoveOwner { .. } => {
                visitor.change_owners(self.slot, ask)?;
                let from = turn.outlet.from();
                let owners = visitor.ownership.len();
                let change = OwnerChange(ask, visitor.key);
                self.committer.machine.info(format_args!("{from}: {change}; owners now: {owners}"));
                turn.answer(&Answer::Owned { owners });
                Ok(())
            }
        }
    }

    /// Answers a packet that could not be decoded. Its CRC was right, so its client speaks another version.
    #[inline(never)]
    fn refuse(&mut self, packet: &[u8], error: Unread, outlet: &mut dyn Outlet) {
        self.counters.garbage = self.counters.garbage.saturating_add(1);
        // The head of a request is the same in every version: client and request number.
        let Some(([envelope::REQUEST, _], body)) = packet.split_first_chunk::<2>() else { return };
        let Some((client, id)) = codec::head(body) else { return };
        let say = |code, words| self.slot.say(code, Subject::None, Errno(0), words);
        let fault = match error {
            Unread::Version => self.slot.fail(Code::Version, Subject::None, VERSIONS),
            Unread::Message(Misread::Unknown(ask)) => say(
                Code::Unsupported,
                format_args!("this agent does not know request number {ask}: update postwired"),
            ),
            Unread::Message(Misread::Field(field)) => say(
                Code::Malformed,
                format_args!("`{field}` of the request is truncated or has an invalid value"),
            ),
            Unread::Message(Misread::Trailing) => say(
                Code::Malformed,
                format_args!("there are bytes after the last field of the request"),
            ),
        };
        let mut turn = Turn::new(client, id, outlet);
        turn.answer(&Answer::Failed(self.slot.take(fault)));
        turn.send();
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
            features: 0,
        };
        turn.answer(&Answer::Hello(hello));
        Ok(())
    }

    fn status(&mut self, turn: &mut Turn<'_>, visitor: &Visitor<'_, '_>) -> Result<(), Fault> {
        let now = self.committer.machine.now();
        let uptime = now.saturating_sub(self.started);
        let (drift, drifting) = self.drift.shown(now);
        let mut status = Status {
            hostname: String::new(),
            board: String::new(),
            kernel: String::new(),
            machine: String::new(),
            uptime: u32::try_from(uptime.div_euclid(1000)).unwrap_or(u32::MAX),
            wireguard: self.committer.kernel.has_wireguard(),
            peak_memory: 0,
            applied: self.counters.applied,
            failed: self.counters.failed,
            garbage: self.counters.garbage,
            text: self.counters.text,
            interfaces: Vec::new(),
            pending: self.state.shown(now),
            unresolved: self.hosts.left(),
            trouble: self.committer.trouble.text(),
            links: 0,
            longest_turn: LongestTurn { millis: self.longest.0, what: cut(self.longest.1) },
            drift,
            drifting,
            serial_number: String::new(),
            macs: Vec::new(),
        };
        let Committer { machine, kernel, .. } = &mut self.committer;
        machine.identify(&mut status);
        if visitor.may_identify() {
            kernel.hardware_addresses(&mut |mac| {
                if !status.macs.contains(&mac) {
                    // As many as fit; the others are left out.
                    let _ = status.macs.push(mac);
                }
            })?;
        } else {
            status.serial_number.clear();
        }
        steady(self.slot, Subject::None, &mut || {
            status.interfaces.clear();
            status.links = 0;
            kernel.wireguard_links(&mut |name, _| {
                status.links = status.links.saturating_add(1);
                // As many as fit; the others are left out.
                let _ = status.interfaces.push(name);
                Ok(())
            })
        })?;
        turn.answer(&Answer::Status(status));
        Ok(())
    }

    fn allowed(&self, interface: &Name) -> Result<(), Fault> {
        if self.policy.allows(interface) {
            return Ok(());
        }
        let policy = &self.policy;
        let words =
            format_args!("the agent is not allowed to change this interface, only {policy}");
        Err(self.slot.say(Code::NotAllowed, Subject::Interface, Errno(0), words))
    }

    fn read(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        file: u32,
        (offset, length): (u32, u16),
    ) -> Result<(), Fault> {
        let now = self.committer.machine.now();
        let found = self.reports.find(&visitor.key, &turn.client, now);
        let found = found.filter(|(_, readable)| readable.file == file);
        let (report, readable) = found.ok_or_else(|| gone(self.slot))?;
        let left = usize::try_from(readable.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = usize::from(length).min(MAX_DATA).min(left);
        let mut data = [0; MAX_DATA];
        let room = data.get_mut(..len).unwrap_or_default();
        let got = report.read_at(offset, room);
        let got = got.map_err(|errno| self.slot.storage(errno))?;
        turn.answer(&Answer::Data { offset, data: room.get(..got).unwrap_or_default() });
        Ok(())
    }

    /// Writes into the report file of this owner, which is `files.report` of the committer meanwhile. `stage` is the
    /// stage whose changes the file holds.
    fn publish(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        stage: Option<u32>,
        write: &mut WriteReport<'_, Self>,
    ) -> Result<Readable, Fault> {
        let owns = |key: &PublicKey| visitor.owns(key);
        let Self { committer, reports, .. } = self;
        let now = committer.machine.now();
        let lent = reports.lend(&mut committer.files.report, &visitor.key, &owns, now);
        let written = write(self, turn);
        self.number = self.number.wrapping_add(1);
        let (file, client) = (self.number, turn.client);
        let readable = written.map(|written| Readable::new(file, client, written, stage));
        let Self { committer, reports, .. } = self;
        let now = committer.machine.now();
        let whole = readable.as_ref().ok().copied();
        reports.take_back(lent, &mut committer.files.report, whole, now);
        readable
    }

    fn show(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        name: Name,
    ) -> Result<(), Fault> {
        let readable = self.publish(turn, visitor, None, &mut |this, _| {
            let Committer { kernel, files, store, machine, .. } = &mut this.committer;
            let Files { report: file, extras, .. } = files;
            report::running(kernel, (file, extras), name, machine.unix_time(), &mut |take| {
                claims::each_in_force(store, &name, take)
            })
        })?;
        turn.answer(&readable.ready());
        Ok(())
    }

    fn changes(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &Visitor<'_, '_>,
        stage: u32,
    ) -> Result<(), Fault> {
        let now = self.committer.machine.now();
        let found = self.reports.find(&visitor.key, &turn.client, now);
        let found = found.filter(|(_, readable)| readable.is_of(stage));
        let (_, readable) = found.ok_or_else(|| gone(self.slot))?;
        turn.answer(&readable.ready());
        Ok(())
    }
}

/// The reason why a packet contains no request.
#[derive(Debug)]
enum Unread {
    /// Another version of the protocol.
    Version,
    /// A malformed message.
    Message(Misread),
}

/// Reads the request in a packet.
fn read(packet: &[u8]) -> Result<Request<'_>, Unread> {
    let known = |version| version == VERSION || version == HELLO_VERSION;
    let opened = envelope::open(envelope::REQUEST, packet, known);
    let (version, body) = opened.map_err(|error| match error {
        EnvelopeError::Version(_) => Unread::Version,
        _ => Unread::Message(Misread::Field("head")),
    })?;
    let request = codec::request(body).map_err(Unread::Message)?;
    if (version == HELLO_VERSION) != matches!(request.ask, Ask::Hello { .. }) {
        return Err(Unread::Version);
    }
    Ok(request)
}

/// The text for clients of another version.
const VERSIONS: &str = "this router speaks version 1 of the protocol";

fn gone(slot: &Slot) -> Fault {
    slot.fail(Code::Gone, Subject::None, "the stage or file no longer exists on the router")
}

#[cfg(any(test, feature = "testing"))]
#[cfg_attr(
    not(test),
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::panic,
        reason = "for fuzzing: the first mistake ends it, as it should"
    )
)]
pub mod fuzz;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
