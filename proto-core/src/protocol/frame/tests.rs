//! Frames whole, truncated, with flipped bits, and with other bytes in between.

use super::*;

fn frame(packet: &[u8]) -> Vec<u8> {
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + CRC_LEN, 0);
    let mut line = [0; MAX_FRAME];
    let mut room = &mut line[..];
    write_serial(&mut room, &mut buf, packet.len()).unwrap();
    let left = room.len();
    line[..MAX_FRAME - left].to_vec()
}

#[derive(Debug, PartialEq, Clone)]
enum Got {
    Text(Vec<u8>),
    Packet(Vec<u8>),
    Garbage,
}

fn feed(deframer: &mut Deframer, mut input: &[u8]) -> Vec<Got> {
    let mut got = Vec::new();
    loop {
        got.push(match deframer.next(&mut input) {
            None => return got,
            Some(Received::Text(t)) => Got::Text(t.to_vec()),
            Some(Received::Packet(p)) => Got::Packet(p.to_vec()),
            Some(Received::Garbage) => Got::Garbage,
        });
    }
}

fn patterns() -> Vec<Vec<u8>> {
    let mut all = vec![vec![0], vec![0, 0], vec![1], vec![1, 0], vec![0, 1]];
    for len in [253, 254, 255, 256, 508, 509, MAX_OUTER] {
        all.push(vec![7; len]);
        all.push(vec![0; len]);
        all.push((0..len).map(|i| i as u8).collect());
    }
    all
}

#[test]
fn every_packet_survives_the_wire_whole_or_byte_by_byte() {
    for packet in patterns() {
        let line = frame(&packet);
        assert!(line.len() <= MAX_FRAME);
        assert!(!line[1..line.len() - 1].contains(&0));
        let mut whole = Deframer::new();
        assert_eq!(feed(&mut whole, &line), [Got::Packet(packet.clone())]);
        let mut bytewise = Deframer::new();
        let got: Vec<Got> = line.iter().flat_map(|b| feed(&mut bytewise, &[*b])).collect();
        assert_eq!(got, [Got::Packet(packet)]);
    }
}

/// A zero in the middle of a frame, as a break on the line makes it, leaves two frames. The CRC of no bytes is zero.
#[test]
fn a_frame_of_zeros_that_is_cut_in_two_is_no_packet() {
    for packet in patterns() {
        let line = frame(&packet);
        for at in 1..line.len() {
            let mut cut = line.clone();
            cut.insert(at, 0);
            let got = feed(&mut Deframer::new(), &cut);
            let whole = Got::Packet(packet.clone());
            assert!(
                got.iter().all(|got| !matches!(got, Got::Packet(_)) || *got == whole),
                "{got:?}"
            );
        }
    }
    assert_eq!(open(&[0; CRC_LEN]), None);
}

#[test]
fn text_between_frames_is_kept_apart() {
    let mut line = b"login: ".to_vec();
    line.extend(frame(b"one"));
    line.extend(b"[    1.0] usb 1-1\r\n");
    line.extend(frame(b"two"));
    line.extend(b"ls\r");
    let got = feed(&mut Deframer::new(), &line);
    assert_eq!(
        got,
        [
            Got::Text(b"login: ".to_vec()),
            Got::Packet(b"one".to_vec()),
            Got::Text(b"[    1.0] usb 1-1\r\n".to_vec()),
            Got::Packet(b"two".to_vec()),
            Got::Text(b"ls\r".to_vec()),
        ]
    );
}

#[test]
fn a_log_line_inside_a_frame_costs_that_frame_only() {
    let mut line = frame(b"first");
    line.splice(4..4, *b"[ 2.0] oops\r\n");
    line.extend(frame(b"second"));
    let got = feed(&mut Deframer::new(), &line);
    assert_eq!(got, [Got::Garbage, Got::Packet(b"second".to_vec())]);
}

#[test]
fn an_overlong_frame_never_ends_in_a_packet() {
    // A frame split over reads must not be returned as its own tail (postcard's CobsAccumulator).
    let mut deframer = Deframer::new();
    let mut got = feed(&mut deframer, &[0]);
    for _ in 0..3 {
        got.extend(feed(&mut deframer, &[9; MAX_FRAME]));
    }
    let tail = frame(b"tail");
    got.extend(feed(&mut deframer, &tail[1..]));
    assert_eq!(got, [Got::Garbage]);
    assert_eq!(feed(&mut deframer, &frame(b"next")), [Got::Packet(b"next".to_vec())]);
}

#[test]
fn every_flipped_or_lost_byte_is_noticed_and_the_next_frame_arrives() {
    let packet: Vec<u8> = (0..40).map(|i| i % 7).collect();
    let good = frame(&packet);
    for at in 0..good.len() {
        for flip in 0..=255_u8 {
            let mut line = good.clone();
            if flip == 0 {
                line.remove(at);
            } else {
                line[at] ^= flip;
            }
            let mut deframer = Deframer::new();
            let got = feed(&mut deframer, &line);
            let whole = got.iter().filter(|g| matches!(g, Got::Packet(p) if *p != packet));
            assert_eq!(whole.count(), 0, "byte {at} flipped by {flip:02x}");
            // At most one frame is lost: the one directly after.
            let mut after = feed(&mut deframer, &frame(b"resent"));
            after.extend(feed(&mut deframer, &frame(b"resent")));
            assert!(after.contains(&Got::Packet(b"resent".to_vec())), "byte {at}, {flip:02x}");
        }
    }
}

#[test]
fn typing_after_a_stray_zero_is_text_once_the_frame_is_abandoned() {
    let mut deframer = Deframer::new();
    assert_eq!(feed(&mut deframer, b"\0noise"), []);
    assert!(deframer.abandon());
    assert!(!deframer.abandon());
    assert_eq!(feed(&mut deframer, b"help\r"), [Got::Text(b"help\r".to_vec())]);
}

#[test]
fn a_datagram_is_checked_at_every_length() {
    let mut buf = *b"packet____";
    let sealed = seal(&mut buf, 6).unwrap().to_vec();
    assert_eq!(open(&sealed), Some(&b"packet"[..]));
    for len in 0..sealed.len() {
        assert_eq!(open(&sealed[..len]), None);
    }
    assert_eq!(seal(&mut [0; MAX_OUTER + 8], MAX_OUTER + 1), Err(TooLong));
    assert_eq!(seal(&mut [0; 9], 6), Err(TooLong));
}
