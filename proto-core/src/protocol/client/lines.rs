//! Simulated lines: uploads and downloads over lines from 2,400 to 1,500,000 baud, round trips of 0
//! to 3 s and up to 30 % loss both ways, in virtual time.
//!
//! Each line is compared with an oracle, which knows that no packet is lost: it sends every piece
//! once, as soon as the window allows. The oracle's time is "the line's own".

use super::*;
use crate::key::PublicKey;
use crate::protocol::codec;
use crate::protocol::config::{MAX_RECORD, Peer, Record};
use crate::protocol::message::Name;
use crate::protocol::packed;
use crate::protocol::window::{self, Arrived};
use core::net::SocketAddr;
use std::collections::BTreeMap;

/// How far a paced sender runs ahead of the line in milliseconds, as in the host tool.
const QUEUE: f64 = 30.0;
/// Bytes of a sealed packet besides the packet: session and CRC.
const SEALED: usize = 34;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A serial line whose speed the sender knows.
    Paced,
    /// A serial line whose speed the sender does not know, such as a pty.
    Serial,
    /// Datagrams, which the sender hands out at once.
    Udp,
}

#[derive(Clone, Copy, Debug)]
struct Way {
    kind: Kind,
    baud: f64,
    round_trip: f64,
    /// Loss in per cent, each way.
    loss: u64,
    /// Number of bytes that may wait to be sent; further bytes are dropped.
    buffer: f64,
    /// Additional delay of a datagram over the one before, in milliseconds.
    jitter: u64,
    /// Whether a handshake was measured before.
    timed: bool,
}

impl Way {
    fn bytes(&self, packet: usize) -> f64 {
        let sealed = packet + SEALED;
        match self.kind {
            Kind::Udp => sealed + 28,
            _ => sealed + sealed / 254 + 3,
        }
        .into_f64()
    }

    fn time(&self, packet: usize) -> f64 {
        self.bytes(packet) * 10_000.0 / self.baud
    }

    /// Bytes of a piece and bytes in flight. The host tool's pieces are larger ([`tool_piece`]): with more pieces in
    /// flight, more can go wrong.
    fn sizes(&self) -> (u16, u32) {
        match self.kind {
            Kind::Udp => (1_152, 49_152),
            Kind::Paced => ((self.baud / 20.0).clamp(256.0, 480.0) as u16, 3_000),
            Kind::Serial => (480, 3_000),
        }
    }
}

/// Bytes of a piece on a serial line of this speed, as in the host tool.
fn tool_piece(baud: f64) -> u16 {
    (baud / 12.0).clamp(480.0, 1_152.0) as u16
}

trait IntoF64 {
    fn into_f64(self) -> f64;
}

impl IntoF64 for usize {
    fn into_f64(self) -> f64 {
        u32::try_from(self).unwrap().into()
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, of: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % of
    }
}

/// One direction of a line.
struct Lane {
    way: Way,
    free: f64,
    dice: Dice,
    /// By the time of arrival in microseconds, and a number that orders packets of the same time.
    under_way: BTreeMap<(u64, u64), Vec<u8>>,
    count: u64,
}

impl Lane {
    fn new(way: Way, seed: u64) -> Self {
        Self { way, free: 0.0, dice: Dice(seed), under_way: BTreeMap::new(), count: 0 }
    }

    fn send(&mut self, now: f64, packet: &[u8]) {
        let waiting = (self.free - now).max(0.0) * self.way.baud / 10_000.0;
        if waiting + self.way.bytes(packet.len()) > self.way.buffer {
            return;
        }
        self.free = self.free.max(now) + self.way.time(packet.len());
        self.count += 1;
        if self.dice.roll(100) >= self.way.loss {
            let jitter = f64::from(self.dice.roll(self.way.jitter + 1) as u32);
            let at = self.free + self.way.round_trip / 2.0 + jitter;
            self.under_way.insert(((at * 1_000.0) as u64, self.count), packet.to_vec());
        }
    }

    fn next(&self) -> Option<f64> {
        self.under_way.keys().next().map(|(at, _)| *at as f64 / 1_000.0)
    }

    fn take(&mut self, now: f64) -> Option<(f64, Vec<u8>)> {
        let first = self.under_way.first_entry()?;
        let at = first.key().0 as f64 / 1_000.0;
        (at <= now).then(|| (at, first.remove()))
    }
}

/// Takes the pieces of an upload, and returns the pieces of a file.
#[derive(Default)]
struct Router {
    file: Vec<u8>,
    arrived: Arrived,
    piece_size: u16,
}

impl Router {
    fn answer(&mut self, packet: &[u8]) -> Vec<u8> {
        let (_, request) = envelope::read::<Request<'_>>(packet, |_| true).unwrap();
        let answer = match request.ask {
            Ask::Begin { length, piece_size, data, .. } => {
                self.file.resize(length as usize, 0);
                self.piece_size = piece_size;
                if !data.is_empty() {
                    let mut room = [0; packed::MAX_UNPACKED];
                    let data = packed::bytes(data, self.file.len(), &mut room).unwrap();
                    self.file.copy_from_slice(data);
                    self.arrived.base = window::pieces(length, piece_size);
                }
                Answer::Received { stage: 1, arrived: self.arrived }
            }
            Ask::Piece { index, data, .. } => {
                if self.arrived.wants(index) {
                    let length = self.file.len() as u32;
                    let (at, size) = window::span(length, self.piece_size, index).unwrap();
                    let mut room = [0; packed::MAX_UNPACKED];
                    let data = packed::bytes(data, size.into(), &mut room).unwrap();
                    self.file[at as usize..][..size.into()].copy_from_slice(data);
                    self.arrived.insert(index);
                }
                Answer::Received { stage: 1, arrived: self.arrived }
            }
            Ask::Read { offset, length, .. } => {
                let data = &self.file[offset as usize..][..length.into()];
                Answer::Data { offset, data }
            }
            other => panic!("{other:?}"),
        };
        let mut out = vec![0; 1_300];
        let reply = Reply { client: request.client, id: request.id, answer };
        let len = envelope::write(1, &reply, &mut out).unwrap();
        out.truncate(len);
        out
    }
}

#[expect(clippy::large_enum_variant, reason = "there are few of them")]
enum Machine<'f> {
    Upload(Upload<&'f [u8]>),
    Download(Download<&'f mut [u8]>),
}

struct Run {
    took: f64,
    /// How often a piece was sent or requested.
    sends: u32,
    /// Bytes on the line of frames with a piece, and those of its data.
    carried: (f64, f64),
    result: Result<(), ClientError>,
}

/// Drives a machine as the host tool does: takes packets that have arrived before sending the next.
fn drive(way: Way, machine: &mut Machine<'_>, router: &mut Router, seed: u64) -> Run {
    let resend = 300;
    let mut caller = Caller::new([7; 8], Patience { resend, give_up: 10_000 });
    let known = way.kind == Kind::Paced;
    let baud = known.then_some(way.baud as u32);
    caller.set_line(Line { baud, in_order: way.kind != Kind::Udp });
    if way.timed {
        caller.timed((way.round_trip + way.time(142) + way.time(58)) as u64 + 1);
    }
    let (mut to, mut from) = (Lane::new(way, seed), Lane::new(way, !seed));
    let (mut now, mut sends, mut buf) = (0.0_f64, 0, [0; 1_300]);
    let mut carried = (0.0, 0.0);
    let result = loop {
        assert!(now < 1e9, "the transfer does not end");
        // The router's work up to now.
        while let Some((at, packet)) = to.take(now) {
            from.send(at, &router.answer(&packet));
        }
        let next =
            |to: &Lane, from: &Lane| to.next().into_iter().chain(from.next()).reduce(f64::min);
        if let Some((_, packet)) = from.take(now) {
            let reply = caller.reply(&packet).unwrap();
            let received = match machine {
                Machine::Upload(upload) => upload.receive(&mut caller, now as u64, reply),
                Machine::Download(download) => download.receive(&mut caller, now as u64, reply),
            };
            match received {
                Ok(()) => continue,
                Err(error) => break Err(error),
            }
        }
        let busy = to.free - QUEUE;
        if known && busy > now {
            now = next(&to, &from).map_or(busy, |next| next.min(busy));
            continue;
        }
        let step = match machine {
            Machine::Upload(upload) => upload.poll(&mut caller, now as u64, &mut buf),
            Machine::Download(download) => download.poll(&mut caller, now as u64, &mut buf),
        };
        match step {
            Err(error) => break Err(error),
            Ok(Step::Done) => break Ok(()),
            Ok(Step::Send(len)) => {
                let (_, request) = envelope::read::<Request<'_>>(&buf[..len], |_| true).unwrap();
                sends += u32::from(!matches!(request.ask, Ask::Begin { .. }));
                if let Ask::Piece { data, .. } = request.ask {
                    carried.0 += way.bytes(len);
                    carried.1 += data.len().into_f64();
                }
                to.send(now, &buf[..len]);
            }
            Ok(Step::Wait(until)) => {
                assert!(until > now as u64, "waits for a time in the past");
                let until = until as f64;
                now = next(&to, &from).map_or(until, |next| next.min(until)).max(now);
            }
        }
    };
    Run { took: now, sends, carried, result }
}

/// The time of a sender that knows that no packet is lost.
fn oracle(
    way: Way,
    pieces: usize,
    window: usize,
    request: usize,
    reply: usize,
    begin: bool,
) -> f64 {
    let half = way.round_trip / 2.0;
    let (mut free, mut back) = (0.0_f64, 0.0_f64);
    if begin {
        free = way.time(60);
        back = free + half + way.time(30);
    }
    let begun = if begin { back + half } else { 0.0 };
    let mut answered = vec![begun; window];
    for nth in 0..pieces {
        free = free.max(answered[nth % window]) + way.time(request);
        back = back.max(free + half) + way.time(reply);
        answered[nth % window] = back + half;
    }
    back + half
}

struct Outcome {
    run: Run,
    pieces: u32,
    ideal: f64,
}

fn transfer(way: Way, up: bool, pieces: usize, seed: u64) -> Outcome {
    let (piece_size, in_flight) = way.sizes();
    let length = pieces * usize::from(piece_size) - 7;
    let image: Vec<u8> = (0..length).map(|nth| (nth * 7) as u8).collect();
    let window = (in_flight / u32::from(piece_size)) as usize;
    let size = usize::from(piece_size);
    if up {
        let mut router = Router::default();
        let name = Name::try_from("wg0").unwrap();
        let upload = Upload::new(0, name, &image, piece_size, in_flight).unwrap();
        let run = drive(way, &mut Machine::Upload(upload), &mut router, seed);
        assert!(run.result.is_err() || router.file == image, "{way:?}");
        let ideal = oracle(way, pieces, window, size + 18, 18, true);
        Outcome { run, pieces: pieces as u32, ideal }
    } else {
        let mut into = vec![0; length];
        let mut router = Router { file: image, ..Router::default() };
        let download = Download::new(0, 1, &mut into, piece_size, in_flight);
        let run = drive(way, &mut Machine::Download(download), &mut router, seed);
        assert!(run.result.is_err() || router.file == into, "{way:?}");
        let ideal = oracle(way, pieces, window, 18, size + 18, false);
        Outcome { run, pieces: pieces as u32, ideal }
    }
}

const SPEEDS: [f64; 11] = [
    2_400.0,
    4_800.0,
    9_600.0,
    19_200.0,
    38_400.0,
    57_600.0,
    115_200.0,
    230_400.0,
    460_800.0,
    921_600.0,
    1_500_000.0,
];
const ROUND_TRIPS: [f64; 9] = [0.0, 5.0, 50.0, 200.0, 400.0, 700.0, 1_000.0, 2_000.0, 3_000.0];
const KINDS: [Kind; 3] = [Kind::Paced, Kind::Serial, Kind::Udp];

fn clean(kind: Kind, baud: f64, round_trip: f64, timed: bool) -> Way {
    Way { kind, baud, round_trip, loss: 0, buffer: 70_000.0, jitter: 0, timed }
}

#[test]
fn a_line_that_loses_nothing_carries_each_piece_once_and_is_never_idle() {
    let (mut lines, mut worst_sends, mut worst_time) = (0, 0.0_f64, 0.0_f64);
    for kind in KINDS {
        for baud in SPEEDS {
            for round_trip in ROUND_TRIPS {
                for (up, timed) in [(true, true), (true, false), (false, true)] {
                    for pieces in [1, 2, 5, 10, 100, 220] {
                        let mut way = clean(kind, baud, round_trip, timed);
                        if kind != Kind::Udp {
                            // The buffer of a tty. No more bytes may be in flight.
                            way.buffer = 4_095.0;
                        }
                        let Outcome { run, pieces, ideal } = transfer(way, up, pieces, 1);
                        let what = format!("{way:?} up {up} {pieces} pieces: {} sends", run.sends);
                        assert_eq!(run.result, Ok(()), "{what}, {} s", run.took / 1_000.0);
                        let sends = f64::from(run.sends) / f64::from(pieces);
                        let time = run.took / ideal;
                        if pieces >= 100 {
                            worst_sends = worst_sends.max(sends);
                            worst_time = worst_time.max(time);
                            assert!(sends <= 1.05, "{what}");
                            assert!(time <= 1.1, "{what}, {} of {ideal} ms", run.took);
                        } else {
                            assert!(run.sends <= 2 * pieces + 5, "{what}");
                        }
                        lines += 1;
                    }
                }
            }
        }
    }
    println!(
        "{lines} lines without loss: at most {worst_sends:.3} sends a piece, {worst_time:.3} of the line's time"
    );
}

/// An image of peers without preshared keys, which packs as those of routers do.
fn image_of_peers(count: u8) -> Vec<u8> {
    let (mut image, mut dice) = (Vec::new(), Dice(1));
    for n in 0..count {
        let key = core::array::from_fn(|_| dice.roll(256) as u8);
        let peer = Peer {
            public_key: PublicKey(key),
            preshared_key: None,
            endpoint: Some(SocketAddr::from(([192, 0, 2, n], 51_820)).into()),
            persistent_keepalive: 25,
        };
        let nets = [format!("10.0.{n}.0/24"), format!("fd00::{n:x}:0/112")];
        let nets = nets.map(|net| Record::AllowedIp(net.parse().unwrap()));
        for record in [Record::Peer(peer)].into_iter().chain(nets) {
            let mut buf = [0; MAX_RECORD];
            let len = codec::write_record(&record, &mut buf).unwrap();
            image.extend_from_slice(&buf[..len]);
        }
    }
    image
}

#[test]
fn less_than_a_fifth_of_a_line_carries_other_bytes_than_pieces() {
    let image = image_of_peers(200);
    let name = Name::try_from("wg0").unwrap();
    let mut worst = 0.0_f64;
    for baud in SPEEDS {
        let way = clean(Kind::Paced, baud, 50.0, true);
        let (piece_size, in_flight) = (tool_piece(baud), 3_000);
        let upload = Upload::new(0, name, image.as_slice(), piece_size, in_flight).unwrap();
        let mut router = Router::default();
        let run = drive(way, &mut Machine::Upload(upload), &mut router, 1);
        assert_eq!(run.result, Ok(()), "{way:?}");
        assert!(router.file == image, "{way:?}");
        let (bytes, data) = run.carried;
        let other = (bytes - data) / bytes;
        assert!(data < image.len().into_f64() * 0.8, "{way:?}: the image does not pack");
        assert!(other < 0.2, "{way:?}: {other:.3} of {bytes} bytes");
        worst = worst.max(other);
    }
    println!("{worst:.3} of the bytes on a line at most");
}

#[test]
fn a_line_that_loses_ends_with_bounded_traffic() {
    let (mut lines, mut silent, mut silent_short, mut worst) = (0, 0, 0, 0.0_f64);
    for kind in KINDS {
        for baud in SPEEDS {
            for round_trip in ROUND_TRIPS {
                for loss in [1, 5, 10, 20, 30] {
                    for (up, pieces) in [(true, 6), (true, 100), (false, 100)] {
                        let way = Way { loss, ..clean(kind, baud, round_trip, true) };
                        let outcome = transfer(way, up, pieces, lines);
                        let Outcome { run, pieces, .. } = outcome;
                        let what = format!(
                            "{way:?} up {up} {pieces} pieces: {} sends, {} s",
                            run.sends,
                            run.took / 1_000.0
                        );
                        // On an upload, a lost reply costs nothing, because the next reply has the
                        // same information.
                        let arrives = (1.0 - loss as f64 / 100.0).powi(if up { 1 } else { 2 });
                        let bound = 1.5 * f64::from(pieces) / arrives + 25.0;
                        worst = worst.max(f64::from(run.sends) / bound);
                        assert!(f64::from(run.sends) <= bound, "{what}, bound {bound}");
                        match run.result {
                            Ok(()) => {}
                            Err(ClientError::Silence) => {
                                // Ten seconds without any reply are rare.
                                assert!(
                                    loss > 10 || baud < 9_600.0 || round_trip >= 2_000.0,
                                    "{what}"
                                );
                                silent += 1;
                                let short = round_trip <= 1_000.0 && baud >= 9_600.0;
                                silent_short += u64::from(short);
                            }
                            Err(error) => panic!("{error:?}: {what}"),
                        }
                        lines += 1;
                    }
                }
            }
        }
    }
    println!(
        "{lines} lines with loss, {silent} of them ended in silence; traffic at most {worst:.2} of the bound"
    );
    // On a long path few tries fit into the ten seconds of patience.
    assert!(
        silent * 10 < lines && silent_short * 100 < lines,
        "{silent}, {silent_short} of {lines}"
    );
}

#[test]
fn a_full_queue_and_swapped_datagrams_are_no_storm() {
    let (mut lines, mut worst) = (0, 0.0_f64);
    for baud in SPEEDS.into_iter().filter(|&baud| baud >= 9_600.0) {
        for round_trip in ROUND_TRIPS {
            for (buffer, jitter) in [(8_000.0, 0), (16_000.0, 3), (70_000.0, 30), (70_000.0, 200)] {
                for up in [true, false] {
                    let way = Way { buffer, jitter, ..clean(Kind::Udp, baud, round_trip, true) };
                    let Outcome { run, pieces, .. } = transfer(way, up, 200, lines);
                    let what =
                        format!("{way:?} up {up}: {} sends, {} s", run.sends, run.took / 1_000.0);
                    assert_eq!(run.result, Ok(()), "{what}");
                    worst = worst.max(f64::from(run.sends) / f64::from(pieces));
                    assert!(run.sends <= 3 * pieces, "{what}");
                    lines += 1;
                }
            }
        }
    }
    println!(
        "{lines} lines with short queues or swapped datagrams: at most {worst:.2} sends a piece"
    );
}
