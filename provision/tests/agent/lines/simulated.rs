//! Lines in virtual time between the tool's session and the real agent: frames of bytes on a serial line, or datagrams.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postwire::transport::{Stray, Transport, TransportError, piece_size};
use postwired::simulated::{Clock, Simulated, framed};
use proto_core::key::PublicKey;
use proto_core::protocol::frame::{self, CRC_LEN, Deframer, Received};
use proto_core::protocol::session::Wire;

use crate::fake::{OPERATOR, public};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A serial line whose speed the tool knows.
    Paced,
    /// A serial line whose speed the tool does not know.
    Serial,
    Udp,
}

pub(super) const KINDS: [Kind; 3] = [Kind::Paced, Kind::Serial, Kind::Udp];

#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) kind: Kind,
    pub(super) baud: u32,
    /// Milliseconds.
    pub(super) round_trip: u64,
    /// Per cent, in each direction. On a serial line every second loss is a frame with a wrong byte.
    pub(super) loss: u64,
    /// Bytes that may wait to be sent; what does not fit is dropped.
    pub(super) buffer: u64,
    /// Additional delay of a datagram over the one before, in milliseconds.
    pub(super) jitter: u64,
}

impl Way {
    /// A line that loses nothing.
    pub(super) fn clean(kind: Kind, baud: u32, round_trip: u64) -> Self {
        // The buffer of a tty, or a long queue.
        let buffer = if kind == Kind::Udp { 100_000 } else { 4_095 };
        Self { kind, baud, round_trip, loss: 0, buffer, jitter: 0 }
    }

    /// The microseconds for this many bytes.
    pub(super) fn time(&self, bytes: u64) -> u64 {
        bytes * 10_000_000 / u64::from(self.baud)
    }

    /// Bytes of a piece, as the tool chooses them.
    pub(super) fn piece(&self) -> u16 {
        piece_size(if self.kind == Kind::Paced { self.baud } else { u32::MAX })
    }

    /// Bytes that a packet of this many bytes takes on the line.
    pub(super) fn wrapped(&self, packet: usize) -> u64 {
        self.bytes(&self.wrap(vec![1; packet]))
    }

    /// Bytes that a frame or a datagram takes on the line.
    fn bytes(&self, wire: &[u8]) -> u64 {
        wire.len() as u64 + if self.kind == Kind::Udp { 28 } else { 0 }
    }

    /// The frame or the datagram of a packet.
    fn wrap(&self, mut packet: Vec<u8>) -> Vec<u8> {
        if self.kind != Kind::Udp {
            return framed(packet);
        }
        let len = packet.len();
        packet.resize(len + CRC_LEN, 0);
        frame::seal(&mut packet, len).unwrap().to_vec()
    }
}

/// One direction. Times are microseconds.
#[derive(Default)]
struct Lane {
    free: u64,
    count: u64,
    under_way: BTreeMap<(u64, u64), Vec<u8>>,
}

impl Lane {
    fn send(&mut self, way: &Way, dice: &mut Dice, now: u64, mut wire: Vec<u8>) {
        let waiting = self.free.saturating_sub(now) * u64::from(way.baud) / 10_000_000;
        if waiting + way.bytes(&wire) > way.buffer {
            return;
        }
        self.free = self.free.max(now) + way.time(way.bytes(&wire));
        self.count += 1;
        if dice.roll(100) < way.loss {
            if way.kind == Kind::Udp || dice.roll(2) == 0 {
                return;
            }
            let at = dice.roll(wire.len() as u64) as usize;
            wire[at] ^= 1 + dice.roll(255) as u8;
        }
        let at = self.free + way.round_trip * 500 + dice.roll(way.jitter + 1) * 1_000;
        self.under_way.insert((at, self.count), wire);
    }

    fn next(&self) -> Option<u64> {
        self.under_way.keys().next().map(|(at, _)| *at)
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

thread_local! {
    /// The routers of this thread. A router is not `Send`, and a transport must be.
    static ROUTERS: RefCell<HashMap<u64, (Simulated, Deframer)>> = RefCell::default();
}

/// The real agent over a kernel and disks in memory, with a clock that the line sets.
pub(super) struct Router {
    nth: u64,
    /// Microseconds.
    now: Arc<AtomicU64>,
    pub(super) key: PublicKey,
}

impl Router {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (nth, now) = (COUNT.fetch_add(1, Relaxed), Arc::<AtomicU64>::default());
        let clock = Clock::Virtual(Arc::clone(&now));
        let router = Simulated::with_clock(Some(public(&OPERATOR)), "8J", clock);
        let key = router.key();
        ROUTERS.with_borrow_mut(|routers| routers.insert(nth, (router, Deframer::new())));
        Self { nth, now, key }
    }

    /// The number of peers that its kernel has.
    pub(super) fn peers(&self) -> usize {
        ROUTERS.with_borrow(|routers| routers[&self.nth].0.peers())
    }

    pub(super) fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        ROUTERS.with_borrow_mut(|routers| routers.remove(&self.nth));
    }
}

/// A packet that the tool sent (`up`) or got: when, and its bytes on the line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed {
    pub(super) up: bool,
    pub(super) at: u64,
    pub(super) bytes: u64,
}

/// The tool's end of a line.
pub(super) struct Line {
    way: Way,
    router: u64,
    now: Arc<AtomicU64>,
    passed: Arc<Mutex<Vec<Passed>>>,
    base: Instant,
    to: Lane,
    from: Lane,
    dice: Dice,
    deframer: Deframer,
    stray: Stray,
}

impl Line {
    /// A line to a router. Packets are listed in `passed`.
    pub(super) fn new(
        way: Way,
        router: &Router,
        seed: u64,
        passed: &Arc<Mutex<Vec<Passed>>>,
    ) -> Self {
        Self {
            way,
            router: router.nth,
            now: Arc::clone(&router.now),
            passed: Arc::clone(passed),
            base: Instant::now(),
            to: Lane::default(),
            from: Lane::default(),
            dice: Dice(seed),
            deframer: Deframer::new(),
            stray: Stray::default(),
        }
    }

    fn note(&self, up: bool, wire: &[u8]) {
        let (at, bytes) = (self.now.load(Relaxed), self.way.bytes(wire));
        self.passed.lock().unwrap().push(Passed { up, at, bytes });
    }

    /// The router takes what has arrived, and answers.
    fn serve(&mut self, wire: &[u8]) {
        let now = self.now.load(Relaxed);
        let is_behind = self.from.free > now;
        let replies = ROUTERS.with_borrow_mut(|routers| {
            let (router, deframer) = routers.get_mut(&self.router).unwrap();
            router.tick();
            match self.way.kind {
                Kind::Udp => {
                    let from = SocketAddr::from(([192, 0, 2, 1], 7));
                    let packet = frame::open(wire).unwrap();
                    let replies = router.packet(packet, Some(from));
                    replies.into_iter().map(|reply| self.way.wrap(reply)).collect()
                }
                _ => router.line(deframer, wire, is_behind),
            }
        });
        for reply in replies {
            self.from.send(&self.way, &mut self.dice, now, reply);
        }
    }

    /// The packet in what has arrived; `None` if it was damaged.
    fn unwrap(&mut self, wire: &[u8]) -> Option<Vec<u8>> {
        if self.way.kind == Kind::Udp {
            return frame::open(wire).map(<[u8]>::to_vec);
        }
        let mut input = wire;
        let mut packet = None;
        while let Some(received) = self.deframer.next(&mut input) {
            if let Received::Packet(whole) = received {
                packet = Some(whole.to_vec());
            }
        }
        packet
    }
}

impl Transport for Line {
    fn send(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        let wire = self.way.wrap(packet.to_vec());
        self.note(true, &wire);
        self.to.send(&self.way, &mut self.dice, self.now.load(Relaxed), wire);
        Ok(())
    }

    fn recv(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        let until = self.now.load(Relaxed) + timeout.as_micros() as u64;
        assert!(until < 20_000_000_000, "the session does not end: {:?}", self.way);
        loop {
            let next = [self.to.next(), self.from.next()].into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= until) else {
                self.now.store(until, Relaxed);
                return Ok(None);
            };
            self.now.fetch_max(at, Relaxed);
            if self.from.next() == Some(at) {
                let (_, wire) = self.from.under_way.pop_first().unwrap();
                if let Some(packet) = self.unwrap(&wire) {
                    self.note(false, &wire);
                    return Ok(Some(packet));
                }
            } else {
                let (_, wire) = self.to.under_way.pop_first().unwrap();
                self.serve(&wire);
            }
        }
    }

    fn busy(&self) -> Duration {
        let ahead = self.to.free.saturating_sub(self.now.load(Relaxed) + 30_000);
        Duration::from_micros(if self.way.kind == Kind::Paced { ahead } else { 0 })
    }

    fn now(&self) -> Instant {
        self.base + Duration::from_micros(self.now.load(Relaxed))
    }

    fn stray(&mut self) -> &mut Stray {
        &mut self.stray
    }

    fn name(&self) -> &str {
        "the line"
    }

    fn baud(&self) -> Option<u32> {
        (self.way.kind == Kind::Paced).then_some(self.way.baud)
    }

    fn max_piece(&self) -> u16 {
        self.way.piece()
    }

    fn wire(&self) -> Wire {
        if self.way.kind == Kind::Udp { Wire::Udp } else { Wire::Serial }
    }

    fn silence_hint(&self) -> String {
        String::new()
    }
}
