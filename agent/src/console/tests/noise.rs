//! Frames, people, kernel lines and noise on one line, in any order.

use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;
use proto_core::protocol::frame::{Deframer, MAX_SEALED, Received, write_serial};

use super::rig::{Rig, with_router};
use crate::testing::Router;

/// An event on the line.
#[derive(Clone, Debug)]
enum Piece {
    /// A whole frame with this packet.
    Frame(Vec<u8>),
    /// A frame with this packet, and keys between two of its bytes.
    Torn(Vec<u8>, usize, &'static str),
    /// Keys of a person.
    Keys(&'static str),
    /// A line of the kernel, whose echo comes back.
    Kernel,
    /// A truncated frame.
    HalfFrame(usize),
    /// Bytes that are no text.
    Noise(Vec<u8>),
    /// Printable bytes and line ends from noise.
    Text(Vec<u8>),
    /// Bytes that are sent at another speed: the duration of a bit, as sent and as received.
    Heard(Vec<u8>, (usize, usize)),
    /// A zero that a person typed.
    Zero,
    /// A second of silence.
    Silence,
}

fn frame(packet: &[u8]) -> Vec<u8> {
    let mut buf = [0; MAX_SEALED];
    buf[..packet.len()].copy_from_slice(packet);
    let mut line = Vec::new();
    struct Line<'l>(&'l mut Vec<u8>);
    impl embedded_io::ErrorType for Line<'_> {
        type Error = core::convert::Infallible;
    }
    impl embedded_io::Write for Line<'_> {
        fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> Result<(), Self::Error> {
            Ok(())
        }
    }
    write_serial(&mut Line(&mut line), &mut buf, packet.len()).unwrap();
    line
}

/// What a receiver at the wrong speed makes of bytes: 8N1, sampled in the middle of each bit. A wrong stop bit does not
/// matter to a raw tty.
fn heard(bytes: &[u8], (sent, received): (usize, usize)) -> Vec<u8> {
    let level = |time: usize| {
        let bit = time / sent;
        match (bytes.get(bit / 10), bit % 10) {
            (None, _) | (_, 9) => true,
            (_, 0) => false,
            (Some(byte), bit) => byte >> (bit - 1) & 1 == 1,
        }
    };
    let (mut time, mut out) = (0, Vec::new());
    while time < bytes.len() * 10 * sent {
        if level(time) {
            time += 1;
            continue;
        }
        let middle = time + received / 2;
        let bits = (0..8).map(|bit| u8::from(level(middle + (bit + 1) * received)) << bit);
        out.push(bits.sum());
        // From the middle of the stop bit on, a falling edge is the next start.
        time = middle + 9 * received;
    }
    out
}

/// Durations of a bit, as sent and as received. The first ones are equal.
static SPEEDS: [(usize, usize); 5] = [(8, 8), (16, 8), (8, 16), (24, 8), (12, 8)];

#[test]
fn a_line_at_another_speed_makes_printable_bytes_and_line_ends() {
    let mut made = [false; 256];
    for first in 0..=255_u8 {
        assert_eq!(heard(&[first, !first, first], SPEEDS[0]), [first, !first, first]);
        for second in (0..=255).step_by(5) {
            for speeds in &SPEEDS[1..] {
                let bytes = heard(&[first, second, !first], *speeds);
                bytes.iter().for_each(|byte| made[usize::from(*byte)] = true);
            }
        }
    }
    let printable = (b' '..=b'~').filter(|byte| made[usize::from(*byte)]).count();
    assert!(printable > 60, "{printable} of the printable bytes");
    assert!(made[usize::from(b'\r')] && made[usize::from(b'\n')] && made[0]);
}

/// Keys of a person who answers questions, and may type anything.
static KEYS: [&str; 15] = [
    "h",
    "e",
    "l",
    "p",
    "status",
    " wg0",
    "\x7f",
    "\r",
    "\r",
    "\n",
    "\r\n",
    "remove wg0",
    "yes",
    "identity\r",
    "yes\r",
];

fn packet() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..40)
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let keys = || prop::sample::select(&KEYS[..]);
    let piece = prop_oneof![
        6 => keys().prop_map(Piece::Keys),
        4 => packet().prop_map(Piece::Frame),
        2 => (packet(), any::<usize>(), keys()).prop_map(|(p, at, keys)| Piece::Torn(p, at, keys)),
        1 => Just(Piece::Kernel),
        1 => (1..20_usize).prop_map(Piece::HalfFrame),
        1 => prop::collection::vec(0x80_u8..=0xff, 1..9).prop_map(Piece::Noise),
        1 => Just(Piece::Zero),
        2 => Just(Piece::Silence),
    ];
    prop::collection::vec(piece, 1..40)
}

/// Lines of a person who leaves all questions open, and noise that may be text.
fn foul_pieces() -> impl Strategy<Value = Vec<Piece>> {
    let keys = prop::sample::select(std::vec![
        "remove wg0",
        "remove wg0\r",
        "repair wg0\r",
        "rollback wg0 1\r",
        "claim xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
        "claim xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\r",
        "confirm\r",
        "show wg0\r",
        "\x7f",
        "\r",
    ]);
    let text = prop_oneof![8 => b' '..=b'~', 1 => Just(b'\r'), 1 => Just(b'\n')];
    let log = b"[    1.0] remove wg0\r\n[    2.0] up\r\n".to_vec();
    let sent = prop_oneof![packet(), packet().prop_map(|packet| frame(&packet)), Just(log)];
    let speeds = prop::sample::select(&SPEEDS[1..]);
    let piece = prop_oneof![
        4 => keys.prop_map(Piece::Keys),
        2 => packet().prop_map(Piece::Frame),
        2 => prop::collection::vec(text, 1..20).prop_map(Piece::Text),
        4 => (sent, speeds).prop_map(|(sent, speeds)| Piece::Heard(sent, speeds)),
        1 => Just(Piece::Silence),
    ];
    prop::collection::vec(piece, 1..40)
}

/// The lines in a person's keys.
#[derive(Default)]
struct Model {
    line: Vec<u8>,
    after_cr: bool,
    /// The lines that were typed whole.
    whole: Vec<String>,
    noise_since: u64,
    /// The front of the line without the keys before a silence: a console that fell asleep takes no keys until then.
    later: Vec<Vec<u8>>,
    /// For each end of a line, the lines that may have been typed whole.
    ended: Vec<Vec<String>>,
}

impl Model {
    fn key(&mut self, byte: u8, now: u64) {
        let after_cr = core::mem::take(&mut self.after_cr);
        let noise = self.line.iter().all(|byte| *byte == 0x1a) && !self.line.is_empty();
        if noise && now - self.noise_since >= 1_000 {
            self.line.clear();
        }
        match byte {
            b'\n' if after_cr => {}
            b'\r' | b'\n' => {
                self.after_cr = byte == b'\r';
                let text = |line: Vec<u8>| {
                    (!line.is_empty() && !line.contains(&0x1a))
                        .then(|| String::from_utf8(line).unwrap())
                };
                let line = text(core::mem::take(&mut self.line));
                self.whole.extend(line.clone());
                let later = core::mem::take(&mut self.later).into_iter().filter_map(text);
                self.ended.push(line.into_iter().chain(later).collect());
            }
            0x7f => self.lines().for_each(|line| line.truncate(line.len().saturating_sub(1))),
            byte => {
                let byte = if byte.is_ascii() { byte } else { 0x1a };
                self.lines().for_each(|line| line.push(byte));
            }
        }
    }

    fn lines(&mut self) -> impl Iterator<Item = &mut Vec<u8>> {
        core::iter::once(&mut self.line).chain(&mut self.later)
    }

    fn disturb(&mut self, now: u64) {
        (self.noise_since, self.after_cr) = (now, false);
        for line in self.lines() {
            if line.last() != Some(&0x1a) {
                line.push(0x1a);
            }
        }
    }
}

/// The router's end of a line.
#[derive(Default)]
struct End {
    deframer: Deframer,
    packets: Vec<Vec<u8>>,
    model: Model,
}

impl End {
    /// Takes bytes in parts. Returns whether some of them were text.
    fn take(&mut self, rig: &mut Rig<'_, '_>, bytes: &[u8], cut: usize) -> bool {
        let mut some_text = false;
        for part in bytes.chunks(cut) {
            let mut input = part;
            while let Some(received) = self.deframer.next(&mut input) {
                let now = rig.bench.now.get();
                match received {
                    Received::Packet(packet) => {
                        self.packets.push(packet.to_vec());
                        rig.person.terminal.soil();
                    }
                    Received::Garbage => {
                        rig.disturb();
                        self.model.disturb(now);
                    }
                    Received::Text(text) => {
                        some_text = true;
                        rig.bytes(text);
                        text.iter().for_each(|byte| self.model.key(*byte, now));
                    }
                }
            }
        }
        some_text
    }

    fn silence(&mut self, rig: &mut Rig<'_, '_>) {
        rig.later(1_000);
        if self.deframer.abandon() {
            rig.disturb();
            self.model.disturb(rig.bench.now.get());
        }
        self.model.later.push(Vec::new());
    }

    /// Plays all pieces. Returns the packets of the whole frames.
    fn play(&mut self, rig: &mut Rig<'_, '_>, pieces: &[Piece], cut: usize) -> Vec<Vec<u8>> {
        let mut wanted = Vec::new();
        for piece in pieces {
            let (bytes, is_frame) = match piece {
                Piece::Frame(packet) => {
                    wanted.push(packet.clone());
                    (frame(packet), true)
                }
                Piece::Torn(packet, at, keys) => {
                    let mut bytes = frame(packet);
                    // Between its two zeros.
                    let at = 1 + at % (bytes.len() - 1);
                    bytes.splice(at..at, keys.bytes());
                    (bytes, true)
                }
                Piece::HalfFrame(len) => (frame(&[7; 30])[..*len].to_vec(), true),
                Piece::Keys(keys) => (keys.as_bytes().to_vec(), false),
                Piece::Kernel => (b"[    1.0] remove wg0\r\n".to_vec(), false),
                Piece::Noise(noise) | Piece::Text(noise) => (noise.clone(), false),
                Piece::Heard(sent, speeds) => (heard(sent, *speeds), false),
                Piece::Zero => (b"\0".to_vec(), false),
                Piece::Silence => {
                    self.silence(rig);
                    continue;
                }
            };
            let some_text = self.take(rig, &bytes, cut);
            assert!(!(is_frame && some_text), "a byte of a frame is taken for a key: {piece:?}");
        }
        wanted
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    /// Commands run = lines typed whole; packets received = frames sent whole; and nothing is removed by one line.
    #[test]
    fn any_mixture_of_frames_and_people_keeps_them_apart(pieces in pieces(), cut in 1..200_usize) {
        let router = Router::default();
        super::rig::push(&router, 0, 1, 0);
        with_router(&router, None, true, |rig| {
            rig.wake();
            rig.person.ran.clear();
            // Enter woke the terminal.
            let mut end = End::default();
            end.model.after_cr = true;
            let wanted = end.play(rig, &pieces, cut);
            prop_assert_eq!(&end.packets, &wanted);
            let model = &end.model;
            let ran: Vec<&String> =
                rig.person.ran.iter().filter(|line| !line.is_empty() && *line != "\x1a").collect();
            // The terminal falls asleep after some lines that are not commands.
            if rig.person.terminal.is_awake() && rig.person.sent.windows(11).all(|w| w != b"Press Enter") {
                prop_assert_eq!(&ran, &model.whole.iter().collect::<Vec<_>>());
            }
            let mut ended = model.ended.iter();
            for line in &ran {
                let typed = ended.any(|lines| lines.contains(line));
                prop_assert!(typed, "{line:?} was not typed: {:?}", &model.ended);
            }
            // The running state is as before, unless the question right after the line was answered
            // with yes.
            let lines: Vec<_> = model.ended.iter().filter(|lines| !lines.is_empty()).collect();
            let has = |lines: &[String], text: &str| lines.iter().any(|line| line == text);
            let meant = lines.windows(2).any(|two| has(two[0], "remove wg0") && has(two[1], "yes"));
            if !meant {
                prop_assert!(!router.content(0).is_empty());
            }
            Ok(())
        })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    /// Noise that is text ends lines and changes them. Without a yes, nothing is changed.
    #[test]
    fn noise_of_any_bytes_changes_nothing_and_costs_no_frame(pieces in foul_pieces(), cut in 1..200_usize) {
        let router = Router::default();
        super::rig::push(&router, 0, 1, 0);
        with_router(&router, None, true, |rig| {
            rig.wake();
            let (before, requests) = (router.content(0), router.world.changes());
            let mut end = End::default();
            let wanted = end.play(rig, &pieces, cut);
            prop_assert_eq!(&end.packets, &wanted);
            if rig.person.ran.iter().all(|line| !line.trim().eq_ignore_ascii_case("yes")) {
                prop_assert_eq!(router.content(0), before);
                prop_assert_eq!(router.world.changes(), requests);
                prop_assert!(rig.agent.ownership().is_empty());
            }
            Ok(())
        })?;
    }
}
