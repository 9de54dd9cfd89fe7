//! The deframer, fed with frames, broken frames and random bytes, split into reads at any place.
//!
//! Promised: a packet is returned only as it was sent; the split into reads makes no difference;
//! and whatever came before, of two good frames at most one is lost.

use proto_core::protocol::MAX_OUTER;
use proto_core::protocol::frame::{
    CRC_LEN, Deframer, MAX_FRAME, Received, open, seal, write_serial,
};

use super::Seeds;
use super::input::{Input, chunk};

fn frame(packet: &[u8]) -> Vec<u8> {
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + CRC_LEN, 0);
    let mut line = Vec::new();
    write_serial(&mut Line(&mut line), &mut buf, packet.len()).unwrap();
    assert!(line.len() <= MAX_FRAME);
    assert!(!line[1..line.len() - 1].contains(&0));
    line
}

struct Line<'v>(&'v mut Vec<u8>);

impl embedded_io::ErrorType for Line<'_> {
    type Error = core::convert::Infallible;
}

impl embedded_io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.0.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[derive(Debug, PartialEq, Clone)]
enum Got {
    Text(Vec<u8>),
    Packet(Vec<u8>),
    Garbage,
}

/// Feeds one read. Text that was split over two reads is joined.
fn feed(deframer: &mut Deframer, mut input: &[u8], got: &mut Vec<Got>) {
    let mut left = input.len() + 1;
    while let Some(received) = deframer.next(&mut input) {
        match received {
            Received::Text(text) => {
                assert!(!text.is_empty() && !text.contains(&0));
                match got.last_mut() {
                    Some(Got::Text(last)) => last.extend(text),
                    _ => got.push(Got::Text(text.to_vec())),
                }
            }
            Received::Packet(packet) => {
                assert!(packet.len() <= MAX_OUTER);
                got.push(Got::Packet(packet.to_vec()));
            }
            Received::Garbage => got.push(Got::Garbage),
        }
        assert!(input.len() < left, "a turn that takes no bytes");
        left = input.len();
    }
    assert!(input.is_empty());
}

/// The bytes of a line, made from the choices of an input; the packets in its frames; and whether
/// the line can have frames that the input made: of bytes outside frames, or by a zero that makes two frames of one.
fn line(input: &mut Input<'_>) -> (Vec<u8>, Vec<Vec<u8>>, bool) {
    let (mut line, mut sent, mut by_hand) = (Vec::new(), Vec::new(), false);
    while !input.is_empty() && line.len() < 1 << 14 {
        let what = input.byte();
        let bytes = input.chunk();
        let packet = &bytes[..bytes.len().min(MAX_OUTER)];
        let mut framed = frame(packet);
        let at = usize::from(input.u16()) % framed.len();
        sent.push(packet.to_vec());
        let zeros = |framed: &[u8]| framed.iter().filter(|byte| **byte == 0).count();
        match what % 8 {
            0 => {
                by_hand = true;
                line.extend(bytes);
            }
            1 => line.extend(framed),
            2 => line.extend(&framed[1..]),
            3 => line.extend(&framed[..framed.len() - 1]),
            4 => {
                framed[at] ^= input.byte();
                by_hand |= zeros(&framed) > 2;
                line.extend(framed);
            }
            5 => {
                framed.remove(at);
                line.extend(framed);
            }
            6 => {
                framed.insert(at, input.byte());
                by_hand |= zeros(&framed) > 2;
                line.extend(framed);
            }
            _ => line.extend(core::iter::repeat_n(9, packet.len() * 8)),
        }
    }
    (line, sent, by_hand)
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let cut = usize::from(input.byte()) + 1;
    let (line, sent, by_hand) = line(&mut input);

    let (mut whole, mut cut_up) = (Deframer::new(), Deframer::new());
    let (mut got, mut got_cut) = (Vec::new(), Vec::new());
    feed(&mut whole, &line, &mut got);
    line.chunks(cut).for_each(|read| feed(&mut cut_up, read, &mut got_cut));
    assert_eq!(got, got_cut);
    assert_eq!(whole.is_inside(), cut_up.is_inside());

    // Raw bytes can contain a handmade frame.
    for packet in &got {
        let Got::Packet(packet) = packet else { continue };
        assert!(!packet.is_empty(), "a packet of no bytes");
        assert!(by_hand || sent.contains(packet), "a packet that was not sent");
    }

    let good = b"in step again";
    for deframer in [&mut whole, &mut cut_up] {
        let mut after = Vec::new();
        feed(deframer, &frame(good), &mut after);
        feed(deframer, &frame(good), &mut after);
        assert!(after.contains(&Got::Packet(good.to_vec())), "two good frames lost");
    }

    // Typing is text again once an unfinished frame is dropped.
    let mut typed = Vec::new();
    feed(&mut whole, b"\0half a frame", &mut typed);
    assert!(whole.abandon() && !whole.is_inside());
    typed.clear();
    feed(&mut whole, b"help\r", &mut typed);
    assert_eq!(typed, [Got::Text(b"help\r".to_vec())]);

    let packet = &data[..data.len().min(MAX_OUTER)];
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + CRC_LEN, 0);
    let opened = open(seal(&mut buf, packet.len()).unwrap());
    assert_eq!(opened, Some(packet).filter(|packet| !packet.is_empty()));
    if let Some(packet) = open(data) {
        let mut buf = [packet, &[0; CRC_LEN]].concat();
        assert_eq!(seal(&mut buf, packet.len()).unwrap(), data);
    }
}

pub fn seeds() -> Seeds {
    let op =
        |what: u8, bytes: &[u8], at: u16| [&[what][..], &chunk(bytes), &at.to_le_bytes()].concat();
    let long = [7; 300];
    let lines: [(&str, Vec<u8>); 13] = [
        ("empty", vec![]),
        ("packet", op(1, b"packet", 0)),
        ("empty-packet", op(1, b"", 0)),
        ("zeros", op(1, &[0; 20], 0)),
        ("run-of-254", op(1, &long[..254], 0)),
        ("long", op(1, &long, 0)),
        ("text-around", [op(0, b"login: ", 0), op(1, b"one", 0), op(0, b"ls\r", 0)].concat()),
        ("no-start", [op(2, b"one", 0), op(1, b"two", 0)].concat()),
        ("no-end", [op(3, b"one", 0), op(1, b"two", 0)].concat()),
        ("flipped", [op(4, b"one", 3), vec![0x55], op(1, b"two", 0)].concat()),
        ("lost-and-gained", [op(5, b"one", 3), op(6, b"two", 2), vec![0]].concat()),
        ("zeros-cut-in-two", [op(6, &[0; 6], 6), vec![0]].concat()),
        ("overlong", [op(0, &[0], 0), op(7, &long, 0), op(1, b"two", 0)].concat()),
    ];
    let mut seeds: Seeds = Vec::new();
    for (name, line) in lines {
        for (cut, how) in [(0, "bytewise"), (63, "in-reads")] {
            seeds.push((format!("{name}-{how}"), [&[cut][..], &line].concat()));
        }
    }
    let mut hand = vec![255];
    hand.extend(op(0, &frame(b"raw"), 0));
    seeds.push(("raw-frame".into(), hand));
    seeds
}
