//! Frames, people, kernel lines and noise on one line, in any order.

use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;
use proto_core::protocol::frame::{Deframer, MAX_SEALED, Received, write_serial};

use super::rig::{Rig, with_router};
use crate::console::State;
use crate::console::editor::LINE;
use crate::console::words::{self, Word, Wrong};
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

/// What the console should do with keys, in a few rules:
///
/// - Awake, each line that was typed whole runs, and it falls asleep after lines that are no commands: five with text,
///   twenty empty ones, or a mixture, in a row; or after `exit`.
/// - Fallen asleep by such lines, it takes no key until a second without one.
/// - Asleep, an empty line wakes it, and so does a whole line that is a command, which runs. Nothing else does anything.
struct Model {
    line: Vec<u8>,
    /// A key did not fit into the line.
    overlong: bool,
    after_cr: bool,
    noise_since: u64,
    awake: bool,
    /// Sum of the weights of the last lines, which were no commands.
    strange: u8,
    /// No key is taken until this time.
    deaf_until: u64,
    /// The lines that run.
    ran: Vec<String>,
}

impl Model {
    /// A console that Enter has just woken.
    fn awake() -> Self {
        let (line, ran, awake, after_cr) = (Vec::new(), Vec::new(), true, true);
        Self {
            line,
            overlong: false,
            after_cr,
            noise_since: 0,
            awake,
            strange: 0,
            deaf_until: 0,
            ran,
        }
    }

    /// Takes a key. `asked` is whether the console waits for the answer to a question.
    fn key(&mut self, byte: u8, now: u64, asked: bool) {
        if !self.awake && now < self.deaf_until {
            self.deaf_until = now + 1_000;
            return;
        }
        let after_cr = core::mem::take(&mut self.after_cr);
        let noise = self.line.iter().all(|byte| *byte == 0x1a) && !self.line.is_empty();
        if self.awake && noise && now - self.noise_since >= 1_000 {
            self.line.clear();
            self.overlong = false;
        }
        match byte {
            b'\n' if after_cr => {}
            b'\r' | b'\n' => {
                self.after_cr = byte == b'\r';
                let line = core::mem::take(&mut self.line);
                self.end(&line, now, asked);
            }
            0x7f => drop(self.line.pop()),
            byte => self.put(if byte.is_ascii() { byte } else { 0x1a }),
        }
    }

    fn put(&mut self, byte: u8) {
        self.overlong |= self.line.len() == LINE;
        if self.line.len() < LINE {
            self.line.push(byte);
        }
    }

    fn end(&mut self, line: &[u8], now: u64, asked: bool) {
        let overlong = core::mem::take(&mut self.overlong);
        let (noisy, whole) = (line.contains(&0x1a), !overlong && !line.contains(&0x1a));
        let line = String::from_utf8_lossy(line).into_owned();
        let parsed = words::parse(&line);
        if !self.awake {
            let command = whole && parsed.is_ok();
            self.awake = command || line.is_empty();
            self.strange = 0;
            if command {
                self.ran.push(line);
            }
            return;
        }
        let weight = match &parsed {
            _ if !whole => 4,
            _ if asked => 0,
            Err(Wrong::Empty) if line.is_empty() => 1,
            Err(Wrong::Unknown(_)) => 4,
            _ => 0,
        };
        if whole && !asked && parsed.is_ok_and(|command| command.entry.word == Word::Exit) {
            self.awake = false;
        }
        // The refusal of a line that is too long names its front.
        if !noisy && !line.is_empty() {
            self.ran.push(line);
        }
        self.strange = if weight > 0 { self.strange + weight } else { 0 };
        if self.strange >= 20 {
            (self.awake, self.deaf_until) = (false, now + 1_000);
        }
    }

    fn disturb(&mut self, now: u64) {
        (self.noise_since, self.after_cr) = (now, false);
        if self.line.last() != Some(&0x1a) {
            self.put(0x1a);
        }
    }
}

/// The router's end of a line.
struct End {
    deframer: Deframer,
    packets: Vec<Vec<u8>>,
    model: Model,
}

impl End {
    fn awake() -> Self {
        Self { deframer: Deframer::new(), packets: Vec::new(), model: Model::awake() }
    }

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
                        for byte in text {
                            let asked = matches!(rig.person.talk.state, State::Question(_));
                            self.model.key(*byte, now, asked);
                            rig.bytes(&[*byte]);
                        }
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
            let mut end = End::awake();
            let wanted = end.play(rig, &pieces, cut);
            prop_assert_eq!(&end.packets, &wanted);
            let ran = rig.person.ran.iter().filter(|line| !line.is_empty() && *line != "\x1a");
            let ran: Vec<&String> = ran.collect();
            prop_assert_eq!(&ran, &end.model.ran.iter().collect::<Vec<_>>());
            prop_assert_eq!(rig.person.terminal.is_awake(), end.model.awake);
            // The running state is as before, unless the question right after the line was answered
            // with yes.
            let meant = ran.windows(2).any(|two| two[0] == "remove wg0" && two[1] == "yes");
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
            let mut end = End::awake();
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
