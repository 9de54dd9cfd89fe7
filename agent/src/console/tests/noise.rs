//! Frames, people, kernel lines and noise on one line, in any order.

use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;
use proto_core::protocol::frame::{Deframer, MAX_SEALED, Received, write_serial};

use super::rig::with_router;
use crate::testing::Router;

/// An event on the line.
#[derive(Clone, Debug)]
enum Piece {
    /// A whole frame with this packet.
    Frame(Vec<u8>),
    /// Keys of a person.
    Keys(&'static str),
    /// A line of the kernel, whose echo comes back.
    Kernel,
    /// A truncated frame, and then a second of silence.
    HalfFrame(usize),
    /// Bytes sent at another speed: none of them is text.
    Noise(Vec<u8>),
    /// A zero that a person typed, and then a second of silence.
    Zero,
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

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let keys = prop::sample::select(std::vec![
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
    ]);
    let piece = prop_oneof![
        6 => keys.prop_map(Piece::Keys),
        4 => prop::collection::vec(any::<u8>(), 1..40).prop_map(Piece::Frame),
        1 => Just(Piece::Kernel),
        1 => (1..20_usize).prop_map(Piece::HalfFrame),
        1 => prop::collection::vec(0x80_u8..=0xff, 1..9).prop_map(Piece::Noise),
        1 => Just(Piece::Zero),
    ];
    prop::collection::vec(piece, 1..40)
}

/// The whole lines in a person's keys.
#[derive(Default)]
struct Model {
    line: Vec<u8>,
    after_cr: bool,
    whole: Vec<String>,
    noise_since: u64,
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
                let line = core::mem::take(&mut self.line);
                if !line.is_empty() && !line.contains(&0x1a) {
                    self.whole.push(String::from_utf8(line).unwrap());
                }
            }
            0x7f => drop(self.line.pop()),
            byte => self.line.push(if byte.is_ascii() { byte } else { 0x1a }),
        }
    }

    fn disturb(&mut self, now: u64) {
        (self.noise_since, self.after_cr) = (now, false);
        if self.line.last() != Some(&0x1a) {
            self.line.push(0x1a);
        }
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
            let (mut deframer, mut packets, mut wanted) = (Deframer::new(), Vec::new(), Vec::new());
            // Enter woke the terminal.
            let mut model = Model { after_cr: true, ..Model::default() };
            for piece in &pieces {
                let (bytes, silence) = match piece {
                    Piece::Frame(packet) => {
                        wanted.push(packet.clone());
                        (frame(packet), false)
                    }
                    Piece::Keys(keys) => (keys.as_bytes().to_vec(), false),
                    Piece::Kernel => (b"[    1.0] remove wg0\r\n".to_vec(), false),
                    Piece::HalfFrame(len) => {
                        let whole = frame(&[7; 30]);
                        (whole[..*len].to_vec(), true)
                    }
                    Piece::Noise(noise) => (noise.clone(), false),
                    Piece::Zero => (b"\0".to_vec(), true),
                };
                for part in bytes.chunks(cut) {
                    let mut input = part;
                    while let Some(received) = deframer.next(&mut input) {
                        match received {
                            Received::Packet(packet) => {
                                packets.push(packet.to_vec());
                                rig.person.terminal.soil();
                            }
                            Received::Garbage => {
                                rig.disturb();
                                model.disturb(rig.bench.now.get());
                            }
                            Received::Text(text) => {
                                let text = text.to_vec();
                                rig.bytes(&text);
                                let now = rig.bench.now.get();
                                text.iter().for_each(|byte| model.key(*byte, now));
                            }
                        }
                    }
                }
                if silence {
                    rig.later(1_000);
                    if deframer.abandon() {
                        rig.disturb();
                        model.disturb(rig.bench.now.get());
                    }
                }
            }
            prop_assert_eq!(&packets, &wanted);
            let ran: Vec<&String> =
                rig.person.ran.iter().filter(|line| !line.is_empty() && *line != "\x1a").collect();
            // The terminal falls asleep after some lines that are not commands.
            if rig.person.terminal.is_awake() && rig.person.sent.windows(11).all(|w| w != b"Press Enter") {
                prop_assert_eq!(ran, model.whole.iter().collect::<Vec<_>>());
            }
            // The running state is as before, unless the question right after the line was answered
            // with yes.
            let lines = &model.whole;
            let meant = lines.windows(2).any(|two| two[0] == "remove wg0" && two[1] == "yes");
            if !meant {
                prop_assert!(!router.content(0).is_empty());
            }
            Ok(())
        })?;
    }
}
