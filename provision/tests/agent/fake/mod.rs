//! A router that speaks the protocol and has no kernel: its running configuration is the last image
//! that was committed. Its faults are set by its [`Manners`]; `door` decides who has access.

mod door;
mod many;
mod patch;
mod plug;
mod state;
mod stored;
mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proto_core::key::{PublicKey, SecretKey};
use proto_core::protocol::config::Record;
use proto_core::protocol::envelope;
use proto_core::protocol::message::{
    Answer, Ask, Code, ConsoleMode, Drift, Failure, Hello, Owner, Phase, Reply, Request, Status,
    Turn, device,
};
use proto_core::protocol::packed;
use proto_core::protocol::report::{Act, Stored};
use proto_core::protocol::session::{RESPONSE_LEN, Wire};
use proto_core::protocol::window::{self, Arrived};
use proto_core::protocol::{Digest, MAX_PACKET, VERSION, digest};

pub(crate) use door::{Belongs, OPERATOR, ROUTER, public};
use door::{Door, Heard};
pub(crate) use many::Many;
pub(crate) use plug::Unit;
pub(crate) use state::UNKNOWN_KINDS;
pub(crate) use wire::{Pty, Udp};

/// How the router behaves.
#[derive(Clone, Default)]
pub(crate) struct Manners {
    /// Its key; `None` for [`ROUTER`].
    pub(crate) key: Option<SecretKey>,
    /// Its owner.
    pub(crate) belongs: Belongs,
    /// Restarts once when it gets this request, which is lost.
    pub(crate) restart_at: Option<u32>,
    /// Answers every query as an unowned router, without knowing a secret.
    pub(crate) lies: bool,
    /// Executes a claim, and then answers nothing.
    pub(crate) silent_once_claimed: bool,
    /// Answers nothing once it is to remove the owner who asks, and may have done it (`true`) or not.
    pub(crate) silent_on_leaving: Option<bool>,
    /// Answers requests about owners with this failure.
    pub(crate) fail_owners: Option<Failure>,
    /// Does not remove this owner.
    pub(crate) keeps: Option<PublicKey>,
    /// The percentage of packets that are lost in each direction.
    pub(crate) loss: u64,
    /// The seed that selects these packets.
    pub(crate) seed: u64,
    /// Answers nothing at all.
    pub(crate) silent: bool,
    /// Answers nothing once a commit has arrived.
    pub(crate) silent_on_commit: bool,
    /// Executes a commit, and then answers nothing.
    pub(crate) silent_once_committed: bool,
    /// Is unreachable for this long after a change that must be confirmed.
    pub(crate) away: Option<Duration>,
    /// Whether the answer to that change is lost as well.
    pub(crate) loses_applied: bool,
    /// Loses the answer to a change that was not needed, and is then unreachable for as long as `away` says.
    pub(crate) loses_unchanged: bool,
    /// Knows its stored configuration, by its digest, by ranges and as the base of patches.
    pub(crate) patches: bool,
    /// Loses the answer to the first `Confirm`.
    pub(crate) loses_confirmed: bool,
    /// The trouble with its storage, in words.
    pub(crate) trouble: &'static str,
    /// What another program changed of wg0, in words.
    pub(crate) drift: &'static str,
    /// Another program made wg0: a removal leaves the link alone.
    pub(crate) foreign: bool,
    /// Answers a commit with this failure.
    pub(crate) fail_commit: Option<Failure>,
    /// Answers the hello with this failure.
    pub(crate) fail_hello: Option<Failure>,
    /// Drops the stage at this piece, once.
    pub(crate) gone_at_piece: Option<u32>,
    /// Accepts no piece, and does not answer pieces.
    pub(crate) swallows_pieces: bool,
    /// Drops the stage at a commit or plan, this many times.
    pub(crate) gone_at_the_end: u32,
    /// Drops the file at a read, once.
    pub(crate) gone_at_read: bool,
    /// Sends `Working` this many times before it answers a commit.
    pub(crate) working: u32,
    /// Text that it sends on a serial line whenever a frame has arrived, even if it is silent.
    pub(crate) text: &'static [u8],
    /// Its serial number, and the last byte of its MAC addresses 94:83:c4:00:00:XX and 94:83:c4:00:01:XX.
    pub(crate) device: Option<(&'static str, u8)>,
    /// Its console answers a person at the cable.
    pub(crate) talks: bool,
    /// The architecture that it reports.
    pub(crate) machine: &'static str,
    /// Is of a later release: all replies and records have more fields, and there are records and phases of unknown
    /// kinds, an owner with an unknown role, and an unknown act in the history.
    pub(crate) tomorrow: bool,
    /// Answers a commit with an unknown answer.
    pub(crate) strange: bool,
    /// How many interfaces it has that its status does not list.
    pub(crate) more_links: u32,
    /// Was built without a console.
    pub(crate) no_console: bool,
}

struct Stage {
    number: u32,
    /// The bytes of `bytes` are a patch.
    patch: bool,
    /// The length of the upload.
    length: u32,
    digest: Digest,
    piece_size: u16,
    arrived: Arrived,
    bytes: Vec<u8>,
}

/// Records for the tests while the router runs.
#[derive(Default)]
pub(crate) struct Seen {
    /// Its running configuration, if any.
    pub(crate) running: Vec<Record>,
    /// What is stored, oldest first.
    pub(crate) history: Vec<(Stored, Vec<Record>)>,
    /// The pending change.
    pub(crate) waiting: Option<stored::Waiting>,
    /// Whether a commit arrived and was not answered.
    pub(crate) told_to_commit: bool,
    /// Number of commits that were executed.
    pub(crate) commits: u32,
    /// Number of commits that were refused.
    pub(crate) refused: u32,
    /// Number of uploads that began.
    pub(crate) stages: u32,
    /// Whether the last stage was dropped at the client's request.
    pub(crate) aborted: bool,
    /// Number of requests that arrived.
    pub(crate) requests: u32,
    /// Number of packets that arrived, of any kind.
    pub(crate) packets: u32,
    /// Number of sessions.
    pub(crate) sessions: u32,
    /// Its owners.
    pub(crate) owners: Vec<Owner>,
    /// The lines of its console.
    pub(crate) lines: Vec<Vec<u8>>,
    /// What was pasted on its console and is not dropped.
    pub(crate) pasted: String,
}

/// The router.
pub(crate) struct Router {
    manners: Manners,
    door: Door,
    seen: Arc<Mutex<Seen>>,
    stage: Option<Stage>,
    file: Vec<u8>,
    /// The image of the last commit, and the image of the last plan or commit.
    pushed: Vec<u8>,
    made: Vec<u8>,
    /// The changes of the last drift.
    drifted: Vec<u8>,
    /// The kind of the console's next line.
    console: ConsoleMode,
    /// The end of its unreachable time.
    away_until: Option<Instant>,
    /// Answers that were sent, for repeated requests.
    answered: HashMap<([u8; 8], u32), Vec<Vec<u8>>>,
    dice: fastrand::Rng,
    max_data: u16,
    in_flight: u32,
}

impl Router {
    pub(crate) fn new(manners: Manners, wire: Wire, max_data: u16, in_flight: u32) -> Self {
        let key = manners.key.clone().unwrap_or(ROUTER);
        let mut door = Door::new(key, manners.belongs, manners.lies, wire);
        if manners.tomorrow {
            door.owners.push(door::of_tomorrow());
        }
        let seen = Seen { owners: door.owners.clone(), ..Seen::default() };
        let dice = fastrand::Rng::with_seed(manners.seed);
        Self {
            manners,
            door,
            seen: Arc::new(Mutex::new(seen)),
            stage: None,
            file: Vec::new(),
            pushed: Vec::new(),
            made: Vec::new(),
            drifted: Vec::new(),
            console: ConsoleMode::Command,
            away_until: None,
            answered: HashMap::new(),
            dice,
            max_data,
            in_flight,
        }
    }

    /// Changes how it behaves from now on.
    pub(crate) fn behave(&mut self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.manners);
    }

    /// Whether a packet is lost, by chance.
    fn loses(&mut self) -> bool {
        self.dice.u64(..100) < self.manners.loss
    }

    /// The answers to a packet, without those that are lost on the way.
    pub(crate) fn packet(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().packets += 1;
        self.tick();
        let away = self.away_until.is_some_and(|until| Instant::now() < until);
        if self.manners.silent || away || self.loses() {
            return Vec::new();
        }
        let answers = match self.door.hear(packet) {
            Heard::Nothing => Vec::new(),
            Heard::Answer(answer) => {
                let handshake = answer.len() == RESPONSE_LEN;
                self.seen.lock().unwrap().sessions += u32::from(handshake);
                vec![answer]
            }
            Heard::Packet(session, packet) => {
                let answers = self.request(session, &packet);
                answers.iter().map(|answer| self.door.seal(session, answer)).collect()
            }
        };
        answers.into_iter().filter(|_| !self.loses()).collect()
    }

    /// The answers to the contents of a session.
    fn request(&mut self, session: usize, packet: &[u8]) -> Vec<Vec<u8>> {
        let (version, request) = envelope::read::<Request<'_>>(packet, |_| true).unwrap();
        assert_eq!(version == envelope::HELLO_VERSION, matches!(request.ask, Ask::Hello { .. }));
        let requests = {
            let mut seen = self.seen.lock().unwrap();
            seen.requests += 1;
            seen.requests
        };
        if self.manners.restart_at == Some(requests) {
            self.door.restart();
            self.stage = None;
            self.answered.clear();
            return Vec::new();
        }
        let key = (request.client, request.id);
        if let Some(packets) = self.answered.get(&key) {
            return packets.clone();
        }
        let answers = match self.door.refuses(session, &request.ask) {
            Some(failure) => vec![Answer::Failed(failure)],
            None => self.answer(session, &request),
        };
        let packets: Vec<_> = answers
            .into_iter()
            .map(|answer| {
                let reply = Reply { client: request.client, id: request.id, answer };
                let mut buf = vec![0; MAX_PACKET];
                let len = envelope::write(version, &reply, &mut buf).unwrap();
                buf.truncate(len);
                if self.manners.strange && matches!(request.ask, Ask::Commit { .. }) {
                    // The number of the answer follows the envelope, the client, and a number of
                    // one byte.
                    buf.splice(2 + 8 + 1.., [60, 1, 2, 3]);
                }
                if self.manners.tomorrow && len + 8 <= MAX_PACKET {
                    buf.extend_from_slice(b"tomorrow");
                }
                buf
            })
            .collect();
        self.answered.insert(key, packets.clone());
        packets
    }

    fn answer(&mut self, session: usize, request: &Request<'_>) -> Vec<Answer<'static>> {
        let gone = || vec![Answer::Failed(Failure::new(Code::Gone, "no such stage"))];
        match &request.ask {
            Ask::Hello { min, max, .. } => {
                assert!((*min..=*max).contains(&VERSION));
                vec![match &self.manners.fail_hello {
                    Some(failure) => Answer::Failed(failure.clone()),
                    None => Answer::Hello(Hello {
                        version: VERSION,
                        agent: "0.1.0".try_into().unwrap(),
                        max_data: self.max_data,
                        in_flight: self.in_flight,
                        features: 0,
                    }),
                }]
            }
            Ask::Status => vec![Answer::Status(self.status())],
            Ask::Begin { .. } if self.busy().is_some() => {
                vec![Answer::Failed(self.busy().unwrap())]
            }
            Ask::Begin { interface, length, digest, piece_size, patch, data } => {
                assert!(patch.is_none() || self.manners.patches, "nothing a patch could be of");
                let length = patch.as_ref().map_or(length, |patch| &patch.length);
                let has =
                    self.manners.patches && proto_core::protocol::digest(&self.pushed) == *digest;
                assert_eq!(*interface, "wg0");
                assert!((1..=self.max_data).contains(piece_size));
                let same = |stage: &&Stage| stage.digest == *digest && stage.length == *length;
                if self.stage.as_ref().filter(same).is_none() {
                    let mut seen = self.seen.lock().unwrap();
                    seen.stages += 1;
                    seen.aborted = false;
                    self.stage = Some(Stage {
                        number: seen.stages,
                        patch: patch.is_some(),
                        length: *length,
                        digest: *digest,
                        piece_size: *piece_size,
                        arrived: Arrived::default(),
                        bytes: vec![0; *length as usize],
                    });
                }
                let stage = self.stage.as_mut().unwrap();
                if has {
                    stage.bytes.clone_from(&self.pushed);
                    stage.arrived.base = window::pieces(stage.length, stage.piece_size);
                } else if !data.is_empty() {
                    let mut room = [0; packed::MAX_UNPACKED];
                    let data = packed::bytes(data, stage.bytes.len(), &mut room).unwrap();
                    stage.bytes.copy_from_slice(data);
                    stage.arrived.base = window::pieces(stage.length, stage.piece_size);
                }
                vec![Answer::Received { stage: stage.number, arrived: stage.arrived }]
            }
            Ask::Piece { .. } if self.manners.swallows_pieces => Vec::new(),
            Ask::Piece { stage, index, data } => {
                self.piece(*stage, *index, data).unwrap_or_else(gone)
            }
            Ask::Plan { stage } => match self.image(*stage) {
                Some(wanted) => {
                    let seen = self.seen.lock().unwrap();
                    let mut summary = state::summary(&seen.running, &wanted);
                    if self.manners.foreign {
                        summary.device |= device::FOREIGN;
                    }
                    vec![Answer::Planned(summary)]
                }
                None => gone(),
            },
            Ask::Commit { .. } if self.manners.silent_on_commit => {
                self.seen.lock().unwrap().told_to_commit = true;
                self.manners.silent = true;
                Vec::new()
            }
            Ask::Commit { stage, confirm_within, .. } => match self.image(*stage) {
                Some(wanted) if self.manners.silent_once_committed => {
                    self.commit(session, wanted, *confirm_within);
                    self.manners.silent = true;
                    Vec::new()
                }
                Some(wanted) => self.commit(session, wanted, *confirm_within),
                None => gone(),
            },
            // A router without patches.
            Ask::Ranges { bounds, .. } if self.manners.patches && !self.pushed.is_empty() => {
                let ranges = patch::ranges(&self.pushed, bounds).leak();
                vec![Answer::Ranges { number: 1, ranges }]
            }
            Ask::Ranges { .. } => vec![Answer::Failed(Failure::new(Code::Unsupported, ""))],
            Ask::Abort { .. } => {
                self.stage = None;
                self.seen.lock().unwrap().aborted = true;
                vec![Answer::Aborted]
            }
            Ask::Show { interface } => {
                let running = self.seen.lock().unwrap().running.clone();
                if running.is_empty() || *interface != "wg0" {
                    let failure = Failure::new(Code::NoInterface, "");
                    return vec![Answer::Failed(failure)];
                }
                self.ready_records(state::report(&running))
            }
            Ask::Changes { stage: 0 } => self.ready_records(self.drifted.clone()),
            Ask::Changes { stage } => match self.image(*stage) {
                Some(wanted) => {
                    let running = self.seen.lock().unwrap().running.clone();
                    self.ready_records(state::changes(&running, &wanted))
                }
                None => gone(),
            },
            Ask::Read { offset, length, .. } => {
                if std::mem::take(&mut self.manners.gone_at_read) {
                    return gone();
                }
                let start = *offset as usize;
                let end = (start + usize::from(*length)).min(self.file.len());
                let data = self.file[start..end].to_vec().leak();
                vec![Answer::Data { offset: *offset, data }]
            }
            Ask::Claim { .. } | Ask::Owners | Ask::AddOwner { .. } | Ask::RemoveOwner { .. } => {
                if let Some(failure) = &self.manners.fail_owners {
                    return vec![Answer::Failed(failure.clone())];
                }
                if matches!(&request.ask, Ask::RemoveOwner { key } if Some(*key) == self.manners.keeps)
                {
                    return vec![Answer::Failed(Failure::new(Code::Storage, ""))];
                }
                let client = self.door.client(session);
                let is_leaving = matches!(&request.ask, Ask::RemoveOwner { key } if *key == client);
                if let Some(does) = self.manners.silent_on_leaving.filter(|_| is_leaving) {
                    self.manners.silent = true;
                    if !does {
                        return Vec::new();
                    }
                }
                let answer = self.door.answer(session, &request.ask);
                self.seen.lock().unwrap().owners = self.door.owners.clone();
                self.manners.silent |= self.manners.silent_once_claimed;
                if self.manners.silent {
                    return Vec::new();
                }
                vec![answer]
            }
            Ask::Console { .. } if self.manners.no_console => {
                vec![Answer::Failed(Failure::new(Code::Unsupported, ""))]
            }
            Ask::Console { line } => vec![self.line(line)],
            ask => self.about_stored(session, ask),
        }
    }

    /// A line of a small console.
    fn line(&mut self, line: &[u8]) -> Answer<'static> {
        use ConsoleMode::{Command, Exit, Paste, Question};
        let mut seen = self.seen.lock().unwrap();
        seen.lines.push(line.to_vec());
        let text = String::from_utf8_lossy(line).into_owned();
        let (mode, output) = match (self.console, text.as_str()) {
            (Paste, "." | "\x04") => (Question, format!("{} bytes: apply?\n", seen.pasted.len())),
            (Paste, "\x03") => {
                seen.pasted.clear();
                (Command, "dropped\n".into())
            }
            (Paste, line) => {
                seen.pasted += line;
                seen.pasted += "\n";
                (Paste, String::new())
            }
            (Question, "yes") => (Command, "applied\n".into()),
            (Question, _) => {
                seen.pasted.clear();
                (Command, "nothing was changed\n".into())
            }
            (_, "" | "\x03") => (Command, String::new()),
            (_, "load wg0") => (Paste, "paste, and end with a line `.`\n".into()),
            (_, "exit") => (Exit, "bye\n".into()),
            (_, "long") => (Command, "a line of the router's log\n".repeat(2_000)),
            (_, "bad") => (Command, "\x1b[2Jcleared?\n".into()),
            (_, line) => (Command, format!("you said {line}\n")),
        };
        drop(seen);
        self.console = mode;
        let failed = text == "fail";
        let prompt = match mode {
            Command => "fake> ",
            Paste => "| ",
            Question => "yes or no? ",
            _ => "",
        };
        let prompt = prompt.try_into().unwrap();
        match self.ready(output.into_bytes()).remove(0) {
            Answer::Ready { file, length, digest } => {
                Answer::Console { mode, prompt, file, length, digest, failed }
            }
            other => other,
        }
    }

    fn piece(&mut self, number: u32, index: u32, data: &[u8]) -> Option<Vec<Answer<'static>>> {
        if self.manners.gone_at_piece == Some(index) {
            self.manners.gone_at_piece = None;
            self.stage = None;
        }
        let stage = self.stage.as_mut().filter(|stage| stage.number == number)?;
        if stage.arrived.wants(index) {
            let (at, size) = window::span(stage.length, stage.piece_size, index).unwrap();
            let mut room = [0; packed::MAX_UNPACKED];
            let data = packed::bytes(data, size.into(), &mut room).unwrap();
            stage.bytes[at as usize..][..size.into()].copy_from_slice(data);
            stage.arrived.insert(index);
        }
        Some(vec![Answer::Received { stage: number, arrived: stage.arrived }])
    }

    /// The records of a complete stage.
    fn image(&mut self, number: u32) -> Option<Vec<Record>> {
        if self.manners.gone_at_the_end > 0 {
            self.manners.gone_at_the_end -= 1;
            self.stage = None;
        }
        let stage = self.stage.as_ref().filter(|stage| stage.number == number)?;
        self.made = match stage.patch {
            true => patch::applied(&stage.bytes, &self.pushed),
            false => stage.bytes.clone(),
        };
        assert_eq!(digest(&self.made), stage.digest);
        Some(state::decode(&self.made))
    }

    fn commit(
        &mut self,
        session: usize,
        wanted: Vec<Record>,
        confirm_within: u16,
    ) -> Vec<Answer<'static>> {
        if let Some(failure) = &self.manners.fail_commit {
            self.seen.lock().unwrap().refused += 1;
            return vec![Answer::Failed(failure.clone())];
        }
        let mut phases = Phase::ALL.to_vec();
        if self.manners.tomorrow {
            phases.push(Phase::Unknown(77));
        }
        let mut answers = Vec::new();
        for phase in phases {
            for done in 0..self.manners.working {
                answers.push(Answer::Working { phase, done, total: self.manners.working });
            }
        }
        self.stage = None;
        self.pushed = std::mem::take(&mut self.made);
        answers.extend(self.change(session, wanted, Act::Pushed, confirm_within));
        answers
    }

    /// A file of records that have kinds.
    fn ready_records(&mut self, file: Vec<u8>) -> Vec<Answer<'static>> {
        let file = if self.manners.tomorrow { state::with_unknown_kinds(&file) } else { file };
        self.ready(file)
    }

    fn ready(&mut self, file: Vec<u8>) -> Vec<Answer<'static>> {
        let length = u32::try_from(file.len()).unwrap();
        let digest = digest(&file);
        self.file = file;
        vec![Answer::Ready { file: 1, length, digest }]
    }

    fn status(&self) -> Status {
        let seen = self.seen.lock().unwrap();
        let mut interfaces = heapless::Vec::new();
        if !seen.running.is_empty() {
            interfaces.push("wg0".try_into().unwrap()).unwrap();
        }
        Status {
            hostname: "OpenWrt".try_into().unwrap(),
            board: "acme,router-1".try_into().unwrap(),
            kernel: "6.12.1".try_into().unwrap(),
            machine: self.manners.machine.try_into().unwrap(),
            uptime: 3_725,
            wireguard: true,
            peak_memory: 420,
            applied: seen.commits,
            failed: 0,
            garbage: 1,
            text: 2,
            interfaces,
            pending: self.pending(&seen),
            unresolved: state::unresolved(&seen.running),
            trouble: self.manners.trouble.try_into().unwrap(),
            links: u32::from(!seen.running.is_empty()) + self.manners.more_links,
            longest_turn: Turn { millis: 12, what: "Commit".try_into().unwrap() },
            drifting: 2 * u32::from(!self.manners.drift.is_empty()),
            drift: [self.manners.drift]
                .into_iter()
                .filter(|what| !what.is_empty())
                .map(|what| Drift {
                    interface: "wg0".try_into().unwrap(),
                    what: what.try_into().unwrap(),
                    seconds: 75,
                    repairs: 3,
                    next_repair: Some(48),
                })
                .collect(),
            serial_number: self.manners.device.map_or("", |(number, _)| number).try_into().unwrap(),
            macs: self
                .manners
                .device
                .into_iter()
                .flat_map(|(_, last)| [0, 1].map(|nth| [0x94, 0x83, 0xc4, 0, nth, last]))
                .collect(),
        }
    }
}
