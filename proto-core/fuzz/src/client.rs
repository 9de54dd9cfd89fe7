//! The client against a router that gives random answers at any time, and against an honest router
//! behind a wire that loses packets.
//!
//! Promised: no panic; the exchange ends, with success or not, once the wire falls silent; the
//! client never waits for a time in the past, and sends no more than a window at once; after
//! success with an honest router both sides have the same bytes.

#![allow(clippy::result_large_err, reason = "errors are passed on as they are")]

use proto_core::protocol::client::{
    Call, Caller, ClientError, Download, Patience, Progress, Step, Upload,
};
use proto_core::protocol::envelope;
use proto_core::protocol::message::{
    Answer, Applied, Ask, ClientId, Code, Failure, Hello, Name, Phase, Reply, Request,
};
use proto_core::protocol::packed;
use proto_core::protocol::window::{self, Arrived, WINDOW};
use proto_core::protocol::{MAX_DATA, MAX_PACKET};

use super::Seeds;
use super::input::Input;

const CLIENT: ClientId = [7; 8];
const PATIENCE: Patience = Patience { resend: 200, give_up: 5_000 };
/// Limit of steps that no input may exceed.
const STEPS: u32 = 200_000;

/// One of the three machines, driven in the same way.
enum Machine<'f> {
    Call(Call, Ask<'static>, bool),
    Upload(Box<Upload<&'f [u8]>>),
    Download(Box<Download<&'f mut [u8]>>),
}

impl Machine<'_> {
    fn poll(&mut self, caller: &mut Caller, now: u64, buf: &mut [u8]) -> Result<Step, ClientError> {
        match self {
            Self::Call(call, ask, _) => call.poll(caller, now, ask, buf),
            Self::Upload(upload) => {
                let (done, of) = upload.progress();
                assert!(done <= of);
                upload.poll(caller, now, buf)
            }
            Self::Download(download) => download.poll(caller, now, buf),
        }
    }

    fn receive(
        &mut self,
        caller: &mut Caller,
        now: u64,
        reply: Reply<'_>,
    ) -> Result<(), ClientError> {
        match self {
            Self::Call(call, _, answered) => call.receive(caller, now, reply).map(|progress| {
                *answered |= matches!(progress, Progress::Answered(_));
            }),
            Self::Upload(upload) => upload.receive(caller, now, reply),
            Self::Download(download) => download.receive(caller, now, reply),
        }
    }
}

/// Replies to a request with no packet, one, or several.
trait Router {
    fn answer(&mut self, request: &Request<'_>, input: &mut Input<'_>) -> Vec<Vec<u8>>;
}

fn packet(id: u32, answer: Answer<'_>) -> Vec<u8> {
    let mut buf = vec![0; MAX_PACKET + 64];
    let reply = Reply { client: CLIENT, id, answer };
    let len = envelope::write(1, &reply, &mut buf).expect("room");
    buf.truncate(len);
    buf
}

/// Replies with random answers.
struct Liar;

impl Router for Liar {
    fn answer(&mut self, request: &Request<'_>, input: &mut Input<'_>) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        for _ in 0..input.byte() % 4 {
            let what = input.byte();
            let id = match what & 0xc0 {
                0x40 => request.id.wrapping_sub(input.byte().into()),
                0x80 => request.id.wrapping_add(input.byte().into()),
                0xc0 => input.u32(),
                _ => request.id,
            };
            let data = [0x33; 2000];
            let stage = input.byte().into();
            packets.push(packet(
                id,
                match what % 12 {
                    0..4 => {
                        let base = if what & 0x20 == 0 { input.byte().into() } else { input.u32() };
                        let ahead = u64::from_le_bytes(input.array());
                        Answer::Received { stage: stage & 3, arrived: Arrived { base, ahead } }
                    }
                    4..6 => {
                        let (offset, len) = match &request.ask {
                            Ask::Read { offset, length, .. } => (*offset, *length),
                            _ => (stage, 10),
                        };
                        let len = usize::from(len).min(MAX_DATA);
                        Answer::Data { offset, data: &data[..len] }
                    }
                    6 => Answer::Data { offset: input.u32(), data: input.chunk() },
                    7 => Answer::Working { phase: Phase::Checking, done: 1, total: stage },
                    8 => Answer::Failed(Failure::new(Code::Gone, "gone")),
                    9 => Answer::Failed(Failure::new(Code::Busy, "busy")),
                    10 => Answer::Applied(Applied::default()),
                    _ => Answer::Hello(Hello {
                        version: input.byte(),
                        agent: Default::default(),
                        max_data: 1,
                        in_flight: stage,
                        features: stage,
                    }),
                },
            ));
            if what & 0x10 != 0 {
                packets.push(input.chunk().to_vec());
            }
        }
        packets
    }
}

/// Stores pieces and returns stored ones, over a wire that loses, duplicates and delays packets.
#[derive(Default)]
struct Honest {
    image: Vec<u8>,
    piece_size: u16,
    arrived: Arrived,
    stage: u32,
    file: Vec<u8>,
    late: Vec<Vec<u8>>,
}

impl Router for Honest {
    fn answer(&mut self, request: &Request<'_>, input: &mut Input<'_>) -> Vec<Vec<u8>> {
        let what = input.byte();
        if what & 1 != 0 {
            return Vec::new();
        }
        let gone = Answer::Failed(Failure::new(Code::Gone, "gone"));
        let answer = match &request.ask {
            Ask::Begin { length, piece_size, .. } => {
                if self.stage == 0 || what & 0x40 != 0 {
                    self.image = vec![0; *length as usize];
                    self.arrived = Arrived::default();
                    self.piece_size = *piece_size;
                    self.stage += 1;
                }
                Answer::Received { stage: self.stage, arrived: self.arrived }
            }
            Ask::Piece { stage, .. } if *stage != self.stage || what & 0xe0 == 0xe0 => {
                self.stage += 1;
                self.image.fill(0);
                self.arrived = Arrived::default();
                gone
            }
            Ask::Piece { index, data, .. } => {
                let length = self.image.len() as u32;
                let (offset, size) =
                    window::span(length, self.piece_size, *index).expect("a piece");
                let mut room = [0; packed::MAX_UNPACKED];
                let data = packed::bytes(data, size.into(), &mut room).expect("a whole piece");
                assert!(*index < self.arrived.base || *index - self.arrived.base < WINDOW);
                if self.arrived.wants(*index) {
                    self.image[offset as usize..][..data.len()].copy_from_slice(data);
                    self.arrived.insert(*index);
                }
                Answer::Received { stage: self.stage, arrived: self.arrived }
            }
            Ask::Read { offset, length, .. } => {
                let data = &self.file[*offset as usize..];
                let data = &data[..data.len().min((*length).into())];
                Answer::Data { offset: *offset, data }
            }
            _ => Answer::Aborted,
        };
        let packet = packet(request.id, answer);
        if what & 2 != 0 {
            return Vec::new();
        }
        if what & 8 != 0 {
            self.late.push(packet);
            return Vec::new();
        }
        let mut packets = vec![packet.clone()];
        if what & 4 != 0 {
            packets.push(packet);
        }
        packets.append(&mut self.late);
        packets
    }
}

/// Runs a machine to its end.
fn drive(
    machine: &mut Machine<'_>,
    caller: &mut Caller,
    router: &mut dyn Router,
    input: &mut Input<'_>,
) -> Result<(), ClientError> {
    let mut now = 0;
    let mut wire: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut at_once = 0;
    let mut buf = [0; MAX_PACKET];
    for _ in 0..STEPS {
        match machine.poll(caller, now, &mut buf)? {
            Step::Done => return Ok(()),
            Step::Send(len) => {
                at_once += 1;
                assert!(at_once <= 2 * WINDOW, "a stream of requests");
                let request = envelope::read::<Request<'_>>(&buf[..len], |_| true);
                let (_, request) = request.expect("a request");
                assert_eq!(request.client, CLIENT);
                let took = u64::from(input.byte());
                // Once the input is used up, replies arrive without delay.
                wire.extend(router.answer(&request, input).into_iter().map(|p| (now + took, p)));
            }
            Step::Wait(until) => {
                assert!(until > now, "waits for a time in the past");
                at_once = 0;
                wire.sort_by_key(|(at, _)| *at);
                match wire.first() {
                    Some((at, _)) if *at <= until => {
                        let (at, packet) = wire.remove(0);
                        now = now.max(at);
                        if let Some(reply) = caller.reply(&packet) {
                            machine.receive(caller, now, reply)?;
                        }
                    }
                    _ => now = until,
                }
            }
        }
    }
    panic!("the exchange does not end");
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let what = input.byte();
    let mut caller = Caller::new(CLIENT, PATIENCE);
    let piece_size = u16::from(input.byte()) * 4;
    let in_flight = input.u16().into();
    let length = usize::from(input.u16()) % 6_000;
    let image: Vec<u8> = (0..length).map(|nth| (nth * 7) as u8).collect();
    let name = Name::try_from("wg0").expect("a name");
    let mut honest = Honest { file: image.clone(), ..Honest::default() };
    let router: &mut dyn Router = if what & 0x80 == 0 { &mut honest } else { &mut Liar };
    let mut into = vec![0; length];
    let mut machine = match what % 3 {
        0 => Machine::Call(Call::new(0), Ask::Status, false),
        1 => Machine::Upload(Box::new(
            Upload::new(0, name, &image, piece_size, in_flight).expect("short"),
        )),
        _ => Machine::Download(Box::new(Download::new(0, 5, &mut into, piece_size, in_flight))),
    };
    let ended = drive(&mut machine, &mut caller, router, &mut input);
    assert_ne!(ended, Err(ClientError::TooLong));
    if ended.is_err() {
        return;
    }
    match machine {
        Machine::Call(_, _, answered) => assert!(answered),
        Machine::Upload(upload) => {
            assert!(upload.stage().is_some());
            // If the router has lost the stage since then, the commit reports it.
            assert!(
                what & 0x80 != 0 || upload.stage() != Some(honest.stage) || honest.image == image
            );
        }
        Machine::Download(_) => assert!(what & 0x80 != 0 || into == image),
    }
}

pub fn seeds() -> Seeds {
    let start = |what: u8, piece: u8, in_flight: u16, length: u16| {
        [&[what, piece][..], &in_flight.to_le_bytes(), &length.to_le_bytes()].concat()
    };
    let mut seeds: Seeds = Vec::new();
    let machines = [("call", 0_u8), ("upload", 1), ("download", 2)];
    for (name, what) in machines {
        for (how, bytes) in [
            ("clean", vec![]),
            ("lossy", (0..60).map(|nth: u8| nth.wrapping_mul(37) & 0x1f).collect()),
            ("doubled", [10, 4].repeat(20)),
            ("late", [10, 8, 10, 8, 10, 0].repeat(10)),
            ("forgotten", vec![10, 0, 10, 0, 10, 0xe0, 10, 0, 10, 0]),
        ] {
            let start = start(what, 25, 2_000, 1_030);
            seeds.push((format!("{name}-{how}"), [&start[..], &bytes].concat()));
        }
        for nth in 0..12_u8 {
            let start = start(0x80 | what, 25, 2_000, 1_030);
            // After a first honest answer to a begin, one answer of each kind.
            let bytes = [10, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 1, nth, 1, 2, 0];
            seeds.push((format!("{name}-told-{nth}"), [&start[..], &bytes].concat()));
        }
    }
    seeds.push(("upload-of-nothing".into(), start(1, 25, 100, 0)));
    seeds.push(("upload-without-piece-size".into(), start(1, 0, 0, 50)));
    seeds
}
