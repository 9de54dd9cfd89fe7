//! Slow and long lines: the session of the tool over simulated lines in virtual time, and the
//! program over a pseudo-terminal with a slow line behind it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postwire::drive;
use postwire::home::Home;
use postwire::image::Image;
use postwire::session::{Session, SessionError};
use postwire::transport::{Secure, Stray, Transport, TransportError, piece_size};
use proto_core::protocol::frame::{CRC_LEN, write_serial};
use proto_core::protocol::session::Wire;

use crate::bench::Bench;
use crate::fake::{Manners, Pty, ROUTER, Router, public};
use crate::many_peers;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A serial line whose speed the tool knows.
    Paced,
    /// A serial line whose speed the tool does not know.
    Serial,
    Udp,
}

#[derive(Clone, Copy, Debug)]
struct Way {
    kind: Kind,
    baud: u32,
    round_trip: u64,
    /// Per cent, in each direction.
    loss: u64,
}

impl Way {
    /// Bytes of a packet on the line.
    fn bytes(&self, packet: &[u8]) -> u64 {
        let mut sealed = packet.to_vec();
        sealed.resize(packet.len() + CRC_LEN, 0);
        let mut framed = Vec::new();
        match self.kind {
            Kind::Udp => return sealed.len() as u64 + 28,
            _ => write_serial(&mut framed, &mut sealed, packet.len()).unwrap(),
        }
        framed.len() as u64
    }

    /// The microseconds for this many bytes.
    fn time(&self, bytes: u64) -> u64 {
        bytes * 10_000_000 / u64::from(self.baud)
    }
}

/// One direction, in microseconds.
#[derive(Default)]
struct Lane {
    free: u64,
    count: u64,
    under_way: BTreeMap<(u64, u64), Vec<u8>>,
}

impl Lane {
    fn send(&mut self, way: &Way, dice: &mut u64, now: u64, packet: &[u8]) {
        self.free = self.free.max(now) + way.time(way.bytes(packet));
        self.count += 1;
        *dice =
            dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if (*dice >> 33) % 100 >= way.loss {
            let at = self.free + way.round_trip * 500;
            self.under_way.insert((at, self.count), packet.to_vec());
        }
    }

    fn next(&self) -> Option<u64> {
        self.under_way.keys().next().map(|(at, _)| *at)
    }
}

/// Counters while the tool has the line.
#[derive(Default)]
struct Counts {
    now: AtomicU64,
    /// Packets to the router and from it that hold a piece of an image or a file.
    pieces: AtomicU64,
    /// Bytes both ways.
    bytes: AtomicU64,
}

struct Line {
    way: Way,
    router: Arc<Mutex<Router>>,
    counts: Arc<Counts>,
    base: Instant,
    to: Lane,
    from: Lane,
    dice: u64,
    stray: Stray,
}

/// Faster than any serial line.
const LAN: u32 = 10_000_000;

/// A packet longer than this has a piece in it.
const PIECE: usize = 240;

impl Line {
    fn count(&self, packet: &[u8]) {
        self.counts.pieces.fetch_add(u64::from(packet.len() > PIECE), Relaxed);
        self.counts.bytes.fetch_add(self.way.bytes(packet), Relaxed);
    }
}

impl Transport for Line {
    fn send(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        self.count(packet);
        self.to.send(&self.way, &mut self.dice, self.counts.now.load(Relaxed), packet);
        Ok(())
    }

    fn recv(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        let until = self.counts.now.load(Relaxed) + timeout.as_micros() as u64;
        assert!(until < 10_000_000_000, "the session does not end: {:?}", self.way);
        loop {
            let next = [self.to.next(), self.from.next()].into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= until) else {
                self.counts.now.store(until, Relaxed);
                return Ok(None);
            };
            let now = at.max(self.counts.now.load(Relaxed));
            if self.from.next() == Some(at) {
                self.counts.now.store(now, Relaxed);
                let (_, packet) = self.from.under_way.pop_first().unwrap();
                self.count(&packet);
                return Ok(Some(packet));
            }
            let (_, packet) = self.to.under_way.pop_first().unwrap();
            for reply in self.router.lock().unwrap().packet(&packet) {
                self.from.send(&self.way, &mut self.dice, at, &reply);
            }
        }
    }

    fn busy(&self) -> Duration {
        let ahead = self.to.free.saturating_sub(self.counts.now.load(Relaxed) + 30_000);
        Duration::from_micros(if self.way.kind == Kind::Paced { ahead } else { 0 })
    }

    fn now(&self) -> Instant {
        self.base + Duration::from_micros(self.counts.now.load(Relaxed))
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
        if self.way.baud > LAN { 1_152 } else { piece_size(self.way.baud) }
    }

    fn wire(&self) -> Wire {
        if self.way.kind == Kind::Udp { Wire::Udp } else { Wire::Serial }
    }

    fn silence_hint(&self) -> String {
        String::new()
    }
}

fn image(peers: usize) -> Image {
    image_of(&many_peers(peers))
}

fn image_of(conf: &str) -> Image {
    let (source, _) = postwire::conf::Source::new("wg0.conf", conf.as_bytes());
    let (config, _) = postwire::conf::parse(&source);
    Image::new(&postwire::name::interface("wg0").unwrap(), config).unwrap()
}

fn router(way: Way, manners: Manners) -> Arc<Mutex<Router>> {
    let (wire, in_flight) = match way.kind {
        Kind::Udp => (Wire::Udp, 49_152),
        _ => (Wire::Serial, 3_000),
    };
    Arc::new(Mutex::new(Router::new(manners, wire, 1_152, in_flight)))
}

/// Pushes an image and reads back the running configuration. Returns pieces, bytes and microseconds
/// of each.
fn converse(
    bench: &Bench,
    way: Way,
    image: &Image,
    seed: u64,
) -> Result<[(u32, u64, u64); 2], SessionError> {
    talk(bench, way, &router(way, Manners::default()), image, seed)
}

fn talk(
    bench: &Bench,
    way: Way,
    router: &Arc<Mutex<Router>>,
    image: &Image,
    seed: u64,
) -> Result<[(u32, u64, u64); 2], SessionError> {
    let counts = Arc::new(Counts::default());
    let line = Line {
        way,
        router: Arc::clone(router),
        counts: Arc::clone(&counts),
        base: Instant::now(),
        to: Lane::default(),
        from: Lane::default(),
        dice: seed,
        stray: Stray::default(),
    };
    let operator = Home::find(Some(&bench.home()), None)?.operator()?;
    let timeout = Duration::from_secs(10);
    let mut observer = ();
    let keys = [public(&ROUTER)];
    let found = drive::one(Secure::find(Box::new(line), &operator, &keys, timeout, &mut observer));
    let secure = match found {
        Ok(secure) => secure,
        Err(_) if way.loss > 0 => {
            let (name, waited, hint) = (String::new(), timeout, String::new());
            return Err(SessionError::Silence { name, waited, reason: Default::default(), hint });
        }
        Err(error) => panic!("{way:?}: {error:?}"),
    };
    let mut session =
        drive::one(Session::open_to_push(secure, timeout, &mut observer, Some(image)))?;
    let mut last = (0, 0, 0);
    let mut lap = || {
        let now = (
            counts.pieces.load(Relaxed) as u32,
            counts.bytes.load(Relaxed),
            counts.now.load(Relaxed),
        );
        let lap = (now.0 - last.0, now.1 - last.1, now.2 - last.2);
        last = now;
        lap
    };
    drive::one(session.push(image, 0, false))?;
    let pushed = lap();
    drive::one(session.show(&image.interface))?;
    Ok([pushed, lap()])
}

fn pieces(image: &Image, baud: u32) -> u32 {
    (image.bytes.len() as u32).div_ceil(piece_size(baud).into())
}

const SPEEDS: [u32; 8] = [2_400, 9_600, 19_200, 38_400, 57_600, 115_200, 460_800, 1_500_000];
const KINDS: [Kind; 3] = [Kind::Paced, Kind::Serial, Kind::Udp];

#[test]
fn the_session_fills_a_line_and_sends_nothing_twice() {
    let bench = Bench::new("lines", "");
    let (small, large) = (image(8), image_of(&random_peers(550, false)));
    let (mut lines, mut worst) = (0, 0.0_f64);
    for kind in KINDS {
        for baud in SPEEDS {
            for round_trip in [0, 200, 1_000, 3_000] {
                for image in [&small, &large] {
                    // A window of datagrams takes longer than the lifetime of a session.
                    if kind == Kind::Udp && baud < 9_600 {
                        continue;
                    }
                    let way = Way { kind, baud, round_trip, loss: 0 };
                    let laps = converse(&bench, way, image, 1);
                    let laps = laps.unwrap_or_else(|error| panic!("{way:?}: {error}"));
                    let least = pieces(image, baud);
                    for (nth, (pieces, bytes, time)) in laps.into_iter().enumerate() {
                        // The file that is read back is longer than the image; its pieces are not
                        // counted here.
                        let what = format!(
                            "{way:?}, {least} pieces, lap {nth}: {pieces}, {bytes} bytes, {time} us"
                        );
                        lines += 1;
                        if least < 40 {
                            continue;
                        }
                        if nth == 0 {
                            worst = worst.max(f64::from(pieces) / f64::from(least));
                            assert!(f64::from(pieces) <= 1.05 * f64::from(least), "{what}");
                        }
                        // The longer of the times for the bytes of the fuller direction and for the
                        // windows.
                        let window = if kind == Kind::Udp { 64 } else { 3_000 / piece_size(baud) };
                        let windows = u64::from(pieces / u32::from(window + 1) + 1);
                        let piece = way.time(2 * 600);
                        let ideal = way.time(bytes).max(windows * (round_trip * 1_000 + piece));
                        let turns = 8 * (round_trip * 1_000 + way.time(700)) + 100_000;
                        assert!(time <= ideal * 11 / 10 + turns, "{what}, ideal {ideal}");
                    }
                }
            }
        }
    }
    println!("{lines} transfers of a session: at most {worst:.3} sends a piece");
}

#[test]
fn a_session_over_a_line_that_loses_ends() {
    let bench = Bench::new("losses", "");
    let image = image_of(&random_peers(100, false));
    let (mut lines, mut silent) = (0, 0);
    for kind in KINDS {
        for baud in SPEEDS {
            for round_trip in [0, 200, 1_000] {
                for loss in [5, 15, 30] {
                    let way = Way { kind, baud, round_trip, loss };
                    match converse(&bench, way, &image, lines) {
                        Ok(laps) => {
                            let least = pieces(&image, baud);
                            let bound = 3 * least + 40;
                            assert!(laps[0].0 <= bound, "{way:?}: {} of {least}", laps[0].0);
                        }
                        Err(error) => {
                            assert!(error.is_silence(), "{way:?}: {error}");
                            silent += 1;
                        }
                    }
                    lines += 1;
                }
            }
        }
    }
    println!("{lines} sessions over lines that lose, {silent} of them ended in silence");
    assert!(silent * 5 < lines, "{silent} of {lines}");
}

#[test]
fn a_slow_line_behind_a_pty_carries_a_push() {
    let cases = [(9_600, 60, true), (38_400, 100, true), (38_400, 100, false), (19_200, 5, false)];
    std::thread::scope(|scope| {
        for (baud, peers, named) in cases {
            scope.spawn(move || {
                let bench = Bench::new(&format!("slow-{baud}-{peers}-{named}"), &many_peers(peers));
                let router = Pty::paced(Manners::default(), baud);
                // The path does not show what the device is.
                let device = bench.dir().join("line");
                std::os::unix::fs::symlink(&router.device, &device).unwrap();
                let mut serial = device.display().to_string();
                if named {
                    serial.push_str(&format!("@{baud}"));
                }
                let args = ["push", "wg0.conf", "--serial", &serial, "--timeout", "60s"];
                bench.run(&args).ends(0).says(&format!("{peers} peers added"));
                let bytes = image(peers).bytes.len() as u32;
                // The pieces, and a few other requests.
                let most = bytes.div_ceil(piece_size(baud).into()) * 21 / 20 + 8;
                let requests = router.with(|seen| seen.requests);
                assert!(requests <= most, "{requests} requests, {most} at most");
            });
        }
    });
}

/// A configuration of peers with three random allowed IPs each.
fn random_peers(count: u64, changed: bool) -> String {
    use std::fmt::Write as _;
    let mut seed = 7_u64;
    let mut dice = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u32
    };
    let mut conf = String::from(
        "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\nListenPort = 51820\nAddress = 10.0.0.1/8\n",
    );
    for n in 0..count {
        let key: [u8; 32] = core::array::from_fn(|_| dice() as u8);
        let key = proto_core::key::PublicKey(key);
        let (a, b, c) = (dice(), dice(), if changed && n == count / 2 { 99 } else { n });
        let _ = write!(
            conf,
            "[Peer]\nPublicKey = {key}\nAllowedIPs = 10.{}.{}.{}/32, 172.{}.{}.0/24, fd00:{:x}:{c:x}::1/128\n",
            a as u8,
            (a >> 8) as u8,
            c % 250,
            b as u8,
            (b >> 8) as u8,
            a >> 16,
        );
    }
    conf
}

/// Bytes of the equivalent shell input: `gzip -9 | base64`.
fn zipped(text: &str) -> u64 {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut gzip = Command::new("gzip")
        .args(["-9", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = gzip.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(text.as_bytes()).unwrap());
        let bytes = gzip.wait_with_output().unwrap().stdout.len() as u64;
        bytes.div_ceil(3) * 4 * 77 / 76
    })
}

/// The time of a small push and of a changed push, on the line alone.
#[test]
fn a_push_sends_what_changed_and_takes_three_turns() {
    let bench = Bench::new("turns", "");
    println!(
        "| line | peers | image's own time | fresh | unchanged | one changed | text pasted | gzip, base64 |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|");
    let lines = [
        (Kind::Paced, 9_600, 0),
        (Kind::Paced, 38_400, 0),
        (Kind::Paced, 115_200, 0),
        (Kind::Udp, 1_000_000_000, 0),
        (Kind::Udp, 1_000_000_000, 200),
    ];
    for (kind, baud, round_trip) in lines {
        let way = Way { kind, baud, round_trip, loss: 0 };
        for peers in [5, 10, 100, 1_000] {
            let (old, new) = (random_peers(peers, false), random_peers(peers, true));
            let router = router(way, Manners { patches: true, ..Manners::default() });
            let push = |image: &Image| {
                let laps = talk(&bench, way, &router, image, 1).unwrap();
                (laps[0].1, laps[0].2)
            };
            let (fresh, same, one) =
                (push(&image_of(&old)), push(&image_of(&old)), push(&image_of(&new)));
            let show = |(bytes, time): (u64, u64)| format!("{:.2} s, {bytes} B", time as f64 / 1e6);
            let paste = |bytes: u64| (bytes, way.time(bytes) + round_trip * 1_000);
            let whole = image_of(&old).bytes.len() as u64;
            println!(
                "| {kind:?} {baud}, {round_trip} ms | {peers} | {} | {} | {} | {} | {} | {} |",
                show(paste(whole)),
                show(fresh),
                show(same),
                show(one),
                show(paste(old.len() as u64)),
                show(paste(zipped(&old))),
            );
            if (baud, peers) == (115_200, 1_000) {
                assert!(same.1 < 400_000, "{same:?}");
                assert!(one.1 < 400_000, "{one:?}");
            }
            if round_trip == 200 {
                // Handshake; hello, status and begin; pieces, if they do not fit into the begin;
                // commit.
                let turns =
                    [3, 4, 4, 7][[5, 10, 100, 1_000].iter().position(|&n| n == peers).unwrap()];
                assert!(fresh.1 < turns * 210_000, "{fresh:?}");
                assert!(same.1 < 3 * 210_000, "{same:?}");
            }
        }
    }
}
