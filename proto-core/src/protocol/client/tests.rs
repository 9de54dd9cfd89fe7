//! Uploads over a bad wire, and single calls.

use super::transfer::MAX_PIECE;
use super::*;
use crate::protocol::message::{Code, Name, State};
use crate::protocol::window::{self, Arrived};
use crate::protocol::{digest, packed};

const PATIENCE: Patience = Patience { resend: 200, give_up: 10_000 };

/// A router that stores pieces, behind a wire that loses, duplicates and delays.
struct Router {
    image: Vec<u8>,
    arrived: Arrived,
    piece_size: u16,
    stage: u32,
    forget_once_at: Option<u32>,
}

impl Router {
    fn answer<'a>(&mut self, request: &Request<'a>) -> Reply<'static> {
        let gone = Answer::Failed(Failure::new(Code::Gone, "gone"));
        let answer = match &request.ask {
            Ask::Begin { length, piece_size, data, .. } => {
                if self.image.is_empty() {
                    self.image = vec![0; *length as usize];
                    self.arrived = Arrived::default();
                    self.piece_size = *piece_size;
                    self.stage += 1;
                    if !data.is_empty() {
                        let mut room = [0; packed::MAX_UNPACKED];
                        let data = packed::bytes(data, self.image.len(), &mut room).unwrap();
                        self.image.copy_from_slice(data);
                        self.arrived.base = window::pieces(*length, *piece_size);
                    }
                }
                Answer::Received { stage: self.stage, arrived: self.arrived }
            }
            Ask::Piece { stage, .. } if *stage != self.stage => gone,
            Ask::Piece { index, data, .. } => {
                if self.forget_once_at == Some(*index) {
                    self.forget_once_at = None;
                    self.image.clear();
                    self.stage += 1;
                    gone
                } else {
                    if self.arrived.wants(*index) {
                        let length = self.image.len() as u32;
                        let (at, size) = window::span(length, self.piece_size, *index).unwrap();
                        let mut room = [0; packed::MAX_UNPACKED];
                        let data = packed::bytes(data, size.into(), &mut room).unwrap();
                        self.image[at as usize..][..size.into()].copy_from_slice(data);
                        self.arrived.insert(*index);
                    }
                    Answer::Received { stage: self.stage, arrived: self.arrived }
                }
            }
            _ => unreachable!(),
        };
        Reply { client: request.client, id: request.id, answer }
    }
}

fn push(image: &[u8], loss: u64, router: &mut Router, seed: u64) -> Result<u64, ClientError> {
    let name = Name::try_from("wg0").unwrap();
    push_from(Upload::new(0, name, image, 100, 2_000)?, loss, router, seed)
}

fn push_from<S: Source>(
    mut upload: Upload<S>,
    loss: u64,
    router: &mut Router,
    seed: u64,
) -> Result<u64, ClientError> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut caller = Caller::new([7; 8], PATIENCE);
    let mut now = 0;
    let mut wire: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut buf = [0; 1_200];
    loop {
        match upload.poll(&mut caller, now, &mut buf)? {
            Step::Done => return Ok(now),
            Step::Send(len) => {
                let (_, request) = envelope::read::<Request<'_>>(&buf[..len], |_| true).unwrap();
                if dice.u64(..100) < loss {
                    continue;
                }
                for _ in 0..1 + u64::from(dice.u64(..100) < loss) {
                    let reply = router.answer(&request);
                    let mut packet = vec![0; 1_200];
                    let len = envelope::write(1, &reply, &mut packet).unwrap();
                    packet.truncate(len);
                    if dice.u64(..100) >= loss {
                        wire.push((now + 5 + dice.u64(..10), packet));
                    }
                }
            }
            Step::Wait(until) => {
                wire.sort();
                match wire.first() {
                    Some((at, _)) if *at <= until => {
                        let (at, packet) = wire.remove(0);
                        now = now.max(at);
                        let reply = caller.reply(&packet).unwrap();
                        upload.receive(&mut caller, now, reply)?;
                    }
                    _ => now = until,
                }
            }
        }
    }
}

fn router() -> Router {
    Router {
        image: Vec::new(),
        arrived: Arrived::default(),
        piece_size: 0,
        stage: 0,
        forget_once_at: None,
    }
}

#[test]
fn an_image_arrives_whole_over_a_bad_wire() {
    let image: Vec<u8> = (0..25_037_u32).map(|i| (i * 7) as u8).collect();
    for seed in 0..40 {
        for loss in [0, 10, 30] {
            let mut router = router();
            let took = push(&image, loss, &mut router, seed).unwrap();
            assert!(router.image == image, "seed {seed} loss {loss}");
            assert!(loss > 0 || took < 1_000, "took {took} ms without loss");
        }
    }
}

#[test]
fn a_router_that_restarts_gets_the_image_anew() {
    let image = vec![3; 5_000];
    let mut router = Router { forget_once_at: Some(30), ..router() };
    push(&image, 0, &mut router, 1).unwrap();
    assert!(router.image == image);
}

/// Bytes that are not in memory: each is computed from its offset.
struct Made {
    /// From this byte on, reading fails.
    end: u32,
}

fn made(at: u32) -> u8 {
    (at * 13 + at / 251) as u8
}

impl Source for Made {
    fn read(&mut self, offset: u32, buf: &mut [u8]) -> bool {
        (offset..).zip(&mut *buf).for_each(|(at, byte)| *byte = made(at));
        offset + buf.len() as u32 <= self.end
    }
}

#[test]
fn an_image_that_is_nowhere_whole_arrives_whole() {
    let image: Vec<u8> = (0..10_007).map(made).collect();
    let name = Name::try_from("wg0").unwrap();
    let announced = (10_007, digest(&image));
    let upload = |end| Upload::stream(0, name, Made { end }, announced, 100, 2_000);
    for loss in [0, 20] {
        let mut router = Router { forget_once_at: Some(30), ..router() };
        push_from(upload(10_007), loss, &mut router, 5).unwrap();
        assert!(router.image == image);
    }
    assert_eq!(push_from(upload(10_006), 0, &mut router(), 5), Err(ClientError::Memory));
    // A piece size that no packet has room for is made smaller.
    let upload = Upload::stream(0, name, Made { end: 10_007 }, announced, 9_000, 20_000);
    let mut router = router();
    push_from(upload, 0, &mut router, 5).unwrap();
    assert!(router.image == image && router.piece_size == MAX_PIECE);
}

/// Records the offsets of the pieces that arrive, with room for a few.
struct Few(Vec<u32>);

impl Sink for &mut Few {
    fn piece(&mut self, offset: u32, data: &[u8]) -> bool {
        assert!((offset..).zip(data).all(|(at, byte)| made(at) == *byte));
        self.0.push(offset);
        self.0.len() < 4
    }
}

#[test]
fn pieces_are_handed_out_once_and_in_order_where_one_is_in_flight() {
    for (length, ended) in [(250, Ok(())), (350, Err(ClientError::Memory))] {
        let mut few = Few(Vec::new());
        let mut caller = Caller::new([7; 8], PATIENCE);
        let mut download = Download::stream(0, 1, length, &mut few, 100, 100);
        let mut buf = [0; 200];
        let done = loop {
            match download.poll(&mut caller, 0, &mut buf).unwrap() {
                Step::Done => break Ok(()),
                Step::Wait(until) => panic!("waits until {until}"),
                Step::Send(len) => {
                    let (_, request) =
                        envelope::read::<Request<'_>>(&buf[..len], |_| true).unwrap();
                    let Ask::Read { offset, length, .. } = request.ask else { panic!() };
                    let data: Vec<u8> = (offset..).take(length.into()).map(made).collect();
                    let answer = Answer::Data { offset, data: &data };
                    let reply = Reply { client: request.client, id: request.id, answer };
                    // The second time, the piece is a duplicate.
                    let twice = download.receive(&mut caller, 0, reply.clone());
                    if twice.is_err() {
                        break twice;
                    }
                    download.receive(&mut caller, 0, reply).unwrap();
                }
            }
        };
        assert_eq!(done, ended);
        assert_eq!(few.0, [0, 100, 200, 300][..few.0.len()]);
    }
}

#[test]
fn silence_ends() {
    let mut router = router();
    assert_eq!(push(&[1; 1_000], 100, &mut router, 1), Err(ClientError::Silence));
}

#[test]
fn a_call_is_repeated_and_signs_of_life_keep_it_waiting() {
    let mut caller = Caller::new([7; 8], PATIENCE);
    let mut call = Call::new(0);
    let mut buf = [0; 100];
    let mut poll =
        |call: &mut Call, caller: &mut Caller, now| call.poll(caller, now, &Ask::Status, &mut buf);
    assert!(matches!(poll(&mut call, &mut caller, 0), Ok(Step::Send(_))));
    assert_eq!(poll(&mut call, &mut caller, 1), Ok(Step::Wait(200)));
    assert!(matches!(poll(&mut call, &mut caller, 200), Ok(Step::Send(_))));
    let working = Answer::Working { phase: Phase::Applying, done: 1, total: 2 };
    let reply = Reply { client: [7; 8], id: 1, answer: working };
    let progress = Progress::Working { phase: Phase::Applying, done: 1, total: 2 };
    assert_eq!(call.receive(&mut caller, 9_999, reply), Ok(progress));
    assert!(matches!(poll(&mut call, &mut caller, 10_000), Ok(Step::Wait(_))));
    let other = Reply { client: [7; 8], id: 9, answer: Answer::Aborted };
    assert_eq!(call.receive(&mut caller, 10_001, other), Ok(Progress::Foreign));
    let failure = Failure { state: State::Partly, ..Failure::new(Code::Kernel, "no") };
    let reply = Reply { client: [7; 8], id: 1, answer: Answer::Failed(failure.clone()) };
    assert_eq!(call.receive(&mut caller, 10_002, reply), Err(ClientError::Failed(failure)));
    assert_eq!(poll(&mut call, &mut caller, 10_003), Ok(Step::Done));
}

#[test]
fn a_call_takes_its_number_when_it_is_sent() {
    let mut caller = Caller::new([7; 8], PATIENCE);
    let mut buf = [0; 200];
    let name = Name::try_from("wg0").unwrap();
    let mut upload = Upload::new(0, name, &[1; 10], 100, 2_000).unwrap();
    let mut call = Call::new(0);
    let id = |step: Result<Step, ClientError>, buf: &[u8]| {
        let Ok(Step::Send(len)) = step else { panic!("{step:?}") };
        envelope::read::<Request<'_>>(&buf[..len], |_| true).unwrap().1.id
    };
    let step = call.poll(&mut caller, 0, &Ask::Status, &mut buf);
    assert_eq!(id(step, &buf), 1);
    // A number below that of an answered call would be dropped.
    let step = upload.poll(&mut caller, 0, &mut buf);
    assert_eq!(id(step, &buf), 2);
}
