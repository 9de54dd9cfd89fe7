//! Slow and long lines: the session of the tool and the real agent over simulated lines from 2,400 to 1,500,000 baud,
//! round trips of 0 to 3 s and up to 30 % loss both ways, in virtual time; and the program over a pseudo-terminal with a
//! slow line behind it.
//!
//! The default is a selection of the lines; `POSTWIRE_LINES=20` runs up to twenty times as many.

mod simulated;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use postwire::drive;
use postwire::home::Home;
use postwire::image::Image;
use postwire::session::{Session, SessionError};
use postwire::transport::{Secure, piece_size};
use proto_core::protocol::packed;
use proto_core::protocol::session::{INITIATION_LEN, RESPONSE_LEN};

use crate::bench::Bench;
use crate::fake::{Manners, Pty};
use crate::many_peers;
use simulated::{KINDS, Kind, Line, Passed, Router, Way};

/// The most bytes of pieces under way: on a serial line, over UDP.
const IN_FLIGHT: [u64; 2] = [3_000, 48 * 1024];
/// Bytes of a piece, of a reply, and of a part of a file besides the data, in a session.
const FIELDS: usize = 45;
/// The same on the line.
const EMPTY: u64 = 60;

fn image(peers: usize) -> Image {
    image_of(&many_peers(peers))
}

fn image_of(conf: &str) -> Image {
    let (source, _) = postwire::conf::Source::new("wg0.conf", conf.as_bytes());
    let (config, _) = postwire::conf::parse(&source);
    Image::new(&postwire::name::interface("wg0").unwrap(), config).unwrap()
}

/// What passed the tool's end of a line in an open session: until the change was applied, and while the interface was read
/// back.
struct Talk {
    way: Way,
    /// Bytes on the line before, while the session opened.
    opened: u64,
    pushed: Vec<Passed>,
    read: Vec<Passed>,
    /// Microseconds from the start to the end of each.
    times: [u64; 2],
}

/// Pieces that were sent, or parts of a file that were asked for.
struct Transfer {
    sends: usize,
    /// Bytes on the line to the router.
    bytes: u64,
    /// Microseconds from the first one until the client knows that the last one has arrived.
    time: u64,
}

impl Talk {
    /// The packets in one direction, without the handshakes of a long push.
    fn in_session(&self, passed: &[Passed], up: bool) -> Vec<Passed> {
        let shakes = [INITIATION_LEN, RESPONSE_LEN].map(|len| self.way.wrapped(len));
        let is_it = |packet: &&Passed| packet.up == up && !shakes.contains(&packet.bytes);
        passed.iter().filter(is_it).copied().collect()
    }

    fn up(&self) -> Transfer {
        let sent = self.in_session(&self.pushed, true);
        // Ranges come before the pieces, on a serial line; the commit comes after them.
        let sent = &sent[usize::from(self.way.kind != Kind::Udp)..];
        let commit = sent[sent.len() - 1].bytes;
        let last = sent.iter().rposition(|packet| packet.bytes != commit).unwrap();
        let (pieces, after) = sent.split_at(last + 1);
        Transfer {
            sends: pieces.len(),
            bytes: pieces.iter().map(|packet| packet.bytes).sum(),
            time: after[0].at - pieces[0].at,
        }
    }

    /// Reading follows the answer to one request.
    fn down(&self) -> (Transfer, Vec<Part>) {
        let [sent, got] = [true, false].map(|up| self.in_session(&self.read, up));
        let (sent, got) = (&sent[1..], &got[1..]);
        let empty = got.iter().map(|packet| packet.bytes).min().unwrap().min(EMPTY);
        let part = |(sent, got): (&Passed, &Passed)| Part {
            request: sent.bytes,
            reply: got.bytes,
            data: got.bytes - empty,
        };
        let transfer = Transfer {
            sends: sent.len(),
            bytes: sent.iter().map(|packet| packet.bytes).sum(),
            time: got[got.len() - 1].at - sent[0].at,
        };
        (transfer, sent.iter().zip(got).map(part).collect())
    }
}

/// A request and its reply.
struct Part {
    /// Bytes on the line.
    request: u64,
    reply: u64,
    /// Bytes of the image or file.
    data: u64,
}

/// The parts of an upload.
fn parts(way: Way, image: &Image) -> Vec<Part> {
    let part = |piece: &[u8]| {
        let mut room = [0; 1_152];
        let data = packed::pack(piece, &mut room).unwrap_or(piece.len());
        let [request, reply] = [data, 0].map(|data| way.wrapped(data + FIELDS));
        Part { request, reply, data: data as u64 }
    };
    image.bytes.chunks(way.piece().into()).map(part).collect()
}

/// The time of a client that knows that nothing is lost: it sends each request once, as soon as the router has room for
/// the data.
fn oracle(way: Way, parts: &[Part]) -> u64 {
    let in_flight = IN_FLIGHT[usize::from(way.kind == Kind::Udp)];
    let half = way.round_trip * 500;
    let (mut free, mut back, mut answered) = (0_u64, 0_u64, Vec::new());
    let (mut first, mut under_way) = (0, 0);
    for (nth, part) in parts.iter().enumerate() {
        under_way += part.data;
        while under_way > in_flight || nth - first >= 64 {
            free = free.max(answered[first]);
            under_way -= parts[first].data;
            first += 1;
        }
        free += way.time(part.request);
        back = back.max(free + half) + way.time(part.reply);
        answered.push(back + half);
    }
    answered[parts.len() - 1]
}

/// Pushes an image and reads back the running configuration.
fn converse(
    bench: &Bench,
    way: Way,
    router: &Router,
    image: &Image,
    seed: u64,
) -> Result<Talk, SessionError> {
    let passed = Arc::<Mutex<Vec<Passed>>>::default();
    let begun = router.now();
    let line = Line::new(way, router, seed, &passed);
    let operator = Home::find(Some(&bench.home()), None)?.operator()?;
    let timeout = Duration::from_secs(10);
    let mut observer = ();
    let keys = [router.key];
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
    let take = || std::mem::take(&mut *passed.lock().unwrap());
    let opened = take().iter().map(|packet| packet.bytes).sum();
    drive::one(session.push(image, 0, false))?;
    let (pushed, middle) = (take(), router.now());
    drive::one(session.show(&image.interface))?;
    Ok(Talk { way, opened, pushed, read: take(), times: [middle - begun, router.now() - middle] })
}

fn pieces(image: &Image, way: Way) -> usize {
    image.bytes.len().div_ceil(way.piece().into())
}

const SPEEDS: [u32; 11] =
    [2_400, 4_800, 9_600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600, 1_500_000];
const ROUND_TRIPS: [u64; 9] = [0, 5, 50, 200, 400, 700, 1_000, 2_000, 3_000];

/// `POSTWIRE_LINES` times as many lines as by default.
fn factor() -> usize {
    std::env::var("POSTWIRE_LINES").map_or(1, |text| text.parse().unwrap())
}

/// `count` lines of all kinds, speeds and round trips, spread evenly. Datagrams have lines from 19,200 baud on: on a slower
/// one the 48 KiB that may be under way delay a new session until the old one has ended.
fn some_lines(count: usize) -> impl Iterator<Item = Way> {
    let kinds = KINDS.into_iter().flat_map(|kind| SPEEDS.map(|baud| (kind, baud)));
    let all: Vec<Way> = kinds
        .filter(|&(kind, baud)| kind != Kind::Udp || baud >= 19_200)
        .flat_map(|(kind, baud)| ROUND_TRIPS.map(|round_trip| Way::clean(kind, baud, round_trip)))
        .collect();
    // Has no divisor in common with the number of lines.
    let step = 167;
    (0..count.min(all.len())).map(move |nth| all[nth * step % all.len()])
}

#[test]
fn a_line_that_loses_nothing_carries_each_piece_once_and_is_never_idle() {
    let bench = Bench::new("lines", "");
    let large = [500, 1_150].map(|peers| image_of(&random_peers(peers, false)));
    let (mut lines, mut sends, mut time, mut other) = (0, 0.0_f64, 0.0_f64, 0.0_f64);
    for (nth, way) in some_lines(14 * factor()).enumerate() {
        let image = large.iter().find(|image| pieces(image, way) >= 100).unwrap();
        let talk = converse(&bench, way, &Router::new(), image, nth as u64);
        let talk = talk.unwrap_or_else(|error| panic!("{way:?}: {error}"));
        let (up, pieces) = (talk.up(), parts(way, image));
        let (down, reads) = talk.down();
        for (transfer, parts) in [(&up, &pieces), (&down, &reads)] {
            let (count, ideal) = (parts.len(), oracle(way, parts));
            let Transfer { sends: sent, time: took, .. } = *transfer;
            let what = format!("{way:?}: {sent} sends of {count}, {took} of {ideal} us");
            assert!(count >= 100, "{what}");
            let (sent, took) = (sent as f64 / count as f64, took as f64 / ideal as f64);
            // A new session in the middle delays the replies; without the speed the tool cannot know for how long.
            let most = if way.kind == Kind::Serial && way.baud < 9_600 { 1.1 } else { 1.05 };
            assert!(sent <= most && took <= 1.1, "{what}");
            (sends, time) = (sends.max(sent), time.max(took));
        }
        let data: u64 = pieces.iter().map(|part| part.data).sum();
        let share = (up.bytes - data) as f64 / up.bytes as f64;
        assert!(share < 0.2, "{way:?}: {share:.3} of the bytes are no pieces");
        other = other.max(share);
        lines += 1;
    }
    println!(
        "{lines} lines without loss: at most {sends:.3} sends a piece, {time:.3} of the line's time, {other:.3} of the \
         bytes besides the pieces"
    );
}

#[test]
fn a_small_push_ends_right_at_every_speed() {
    let bench = Bench::new("small-lines", "");
    let (image, mut lines) = (image(8), 0);
    for kind in KINDS {
        for baud in SPEEDS {
            for round_trip in [0, 400, 3_000] {
                let (way, router) = (Way::clean(kind, baud, round_trip), Router::new());
                let talk = converse(&bench, way, &router, &image, lines);
                let talk = talk.unwrap_or_else(|error| panic!("{way:?}: {error}"));
                assert_eq!(router.peers(), 8, "{way:?}");
                // The pieces, and the commit.
                let sent = talk.pushed.iter().filter(|packet| packet.up).count();
                assert!(sent <= 4, "{way:?}: {sent} requests");
                lines += 1;
            }
        }
    }
    println!("{lines} small pushes over lines without loss");
}

#[test]
fn a_line_that_loses_ends_with_bounded_traffic() {
    let bench = Bench::new("losses", "");
    let image = image_of(&random_peers(100, false));
    let (mut lines, mut silent, mut worst) = (0, 0, 0.0_f64);
    for (nth, way) in some_lines(60 * factor()).enumerate() {
        let way = Way { loss: [1, 5, 10, 20, 30][nth % 5], ..way };
        let router = Router::new();
        lines += 1;
        match converse(&bench, way, &router, &image, nth as u64) {
            Ok(talk) => {
                assert_eq!(router.peers(), 100, "{way:?}");
                let (sent, count) = (talk.up().sends as f64, pieces(&image, way) as f64);
                // A lost reply costs nothing, because the next reply has the same information. After a second without
                // any reply, a piece is repeated: in the ten seconds of patience there must be several tries.
                let quiet = quiet_seconds(&talk.pushed) as f64;
                let bound = 1.5 * count * 100.0 / (100 - way.loss) as f64 + 10.0 + quiet;
                worst = worst.max(sent / bound);
                assert!(sent <= bound, "{way:?}: {sent} sends of {count}, bound {bound}");
            }
            Err(error) => {
                assert!(error.is_silence(), "{way:?}: {error}");
                silent += 1;
            }
        }
    }
    println!(
        "{lines} lines with loss, {silent} of them ended in silence; traffic at most {worst:.2} of the bound"
    );
    assert!(silent * 5 < lines, "{silent} of {lines}");
}

/// Whole seconds between packets from the router.
fn quiet_seconds(passed: &[Passed]) -> u64 {
    let got: Vec<u64> = passed.iter().filter(|packet| !packet.up).map(|p| p.at).collect();
    let start = passed.first().map_or(0, |packet| packet.at);
    [start].iter().chain(&got).zip(&got).map(|(before, after)| (after - before) / 1_000_000).sum()
}

#[test]
fn a_full_queue_and_swapped_datagrams_are_no_storm() {
    let bench = Bench::new("queues", "");
    let image = image_of(&random_peers(300, false));
    let (mut lines, mut worst) = (0, 0.0_f64);
    let udp = some_lines(usize::MAX).filter(|way| way.kind == Kind::Udp);
    for (nth, way) in udp.take(12 * factor()).enumerate() {
        let (buffer, jitter) = [(8_000, 0), (16_000, 3), (100_000, 30), (100_000, 200)][nth % 4];
        let (way, router) = (Way { buffer, jitter, ..way }, Router::new());
        let talk = converse(&bench, way, &router, &image, nth as u64);
        let talk = talk.unwrap_or_else(|error| panic!("{way:?}: {error}"));
        assert_eq!(router.peers(), 300, "{way:?}");
        let (sent, count) = (talk.up().sends as f64, pieces(&image, way) as f64);
        assert!(sent <= 3.0 * count, "{way:?}: {sent} sends of {count}");
        worst = worst.max(sent / count);
        lines += 1;
    }
    println!(
        "{lines} lines with short queues or swapped datagrams: at most {worst:.2} sends a piece"
    );
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
        let way = Way::clean(kind, baud, round_trip);
        for peers in [5, 10, 100, 1_000] {
            let (old, new) = (random_peers(peers, false), random_peers(peers, true));
            let router = Router::new();
            let push = |image: &Image| {
                let talk = converse(&bench, way, &router, image, 1).unwrap();
                let pushed: u64 = talk.pushed.iter().map(|packet| packet.bytes).sum();
                (talk.opened + pushed, talk.times[0])
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
