//! Golden vectors: our bytes compared with those of Debian's `wg`, and the kernel's replies to it.
//!
//! `golden/cases/*.sh` contain the commands, `golden/wanted.rs` the same changes for our encoder,
//! and `golden/{le,be}/*.hex` the captured datagrams, in the byte order of the machine. The
//! captures are not written by hand: `cargo xtask golden && cargo xtask golden --arch s390x` writes
//! them.

#[path = "golden/file.rs"]
mod file;
#[path = "golden/wanted.rs"]
mod wanted;

use file::{Datagram, Step};
use proto_core::netlink::genl::{Family, FamilyError, GENL_ID_CTRL, GenlHeader};
use proto_core::netlink::wireguard::{
    Event, GetDecoder, SetEncoder, SetError, attr::*, get::request,
};
use proto_core::netlink::{
    Errno, Exchange, ExchangeError, Expect, IfName, Message, Messages, State,
};
use std::fmt::Write;
use wanted::{Config, wanted};

// `cargo xtask golden` replaces the numbers that differ in every run by these.
const SEQ: u32 = 1;
const PORT: u32 = 2;
const FAMILY: u16 = 0x1234;

/// Size of `wg`'s buffer on machines with this page size: Debian's x86_64 and s390x.
const WG_BUFFER: usize = 4096;

/// The request in a datagram from `wg`.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Asks {
    Family,
    Get,
    Set,
}

impl Asks {
    fn of(sent: &Datagram) -> Self {
        let messages: Vec<Message<'_>> = Messages::new(&sent.bytes).map(Result::unwrap).collect();
        let [message] = messages[..] else { panic!("{} messages", messages.len()) };
        let (header, _) = GenlHeader::parse(&message).unwrap();
        match (message.ty, header.cmd) {
            (GENL_ID_CTRL, _) => Self::Family,
            (FAMILY, WG_CMD_GET_DEVICE) => Self::Get,
            (FAMILY, WG_CMD_SET_DEVICE) => Self::Set,
            other => panic!("{other:?}"),
        }
    }

    fn expects(self) -> Expect {
        match self {
            Self::Family => Expect::Reply,
            Self::Get => Expect::Dump,
            Self::Set => Expect::Ack,
        }
    }
}

/// Our messages for `config`.
fn encoded(config: &Config, target: IfName) -> Vec<Vec<u8>> {
    let mut buffer = vec![0xaa; WG_BUFFER];
    let mut encoder = SetEncoder::new(&mut buffer, FAMILY, target);
    let mut sent: Vec<Vec<u8>> = Vec::new();
    let mut offer = |piece: &dyn Fn(&mut SetEncoder<'_>) -> Result<(), SetError>| {
        while let Err(error) = piece(&mut encoder) {
            assert_eq!(error, SetError::Full);
            sent.push(encoder.message(SEQ).unwrap().to_vec());
        }
    };
    if config.device != Default::default() {
        offer(&|encoder| encoder.device(&config.device));
    }
    for (peer, ips) in &config.peers {
        offer(&|encoder| encoder.peer(peer));
        for ip in ips {
            offer(&|encoder| encoder.allowed_ip(ip));
        }
    }
    sent.extend(encoder.message(SEQ).map(<[u8]>::to_vec));
    sent
}

#[test]
fn every_case_is_captured_and_described() {
    assert_eq!(file::cases(), file::scripts());
    for case in file::cases() {
        let changes = file::read(&case).iter().filter(|step| step.sets()).count();
        assert_eq!(wanted(&case).len(), changes, "{case}");
    }
}

/// Compares datagram by datagram, including the boundaries of messages. There is no difference: a
/// deliberate one would have to be named here.
#[test]
fn we_send_what_wg_sends() {
    for case in file::cases() {
        let mut configs = wanted(&case).into_iter();
        for step in file::read(&case) {
            let place = format!("{case}: {:.60}", step.command);
            let target: IfName = step.interface().parse().unwrap();
            let mut changes = Vec::new();
            if step.sets() {
                changes = encoded(&configs.next().unwrap(), target);
            }
            let mut changes = changes.into_iter();
            for sent in step.datagrams.iter().filter(|datagram| datagram.sent) {
                let mut buffer = [0xaa; 64];
                let ours = match Asks::of(sent) {
                    Asks::Family => Family::get(&mut buffer, SEQ, WG_GENL_NAME).unwrap().to_vec(),
                    Asks::Get => request(&mut buffer, FAMILY, SEQ, target).unwrap().to_vec(),
                    Asks::Set => changes.next().unwrap_or_else(|| panic!("{place}: wg sends more")),
                };
                assert_eq!(hex(&ours), hex(&sent.bytes), "{place}");
            }
            assert_eq!(changes.next(), None, "{place}: we send more");
        }
    }
}

/// Prints bytes so that a difference is readable.
fn hex(bytes: &[u8]) -> String {
    bytes.chunks(4).fold(String::new(), |mut text, chunk| {
        for byte in chunk {
            write!(text, "{byte:02x}").unwrap();
        }
        text + " "
    })
}

/// The replies to one request, passed through an [`Exchange`].
fn answers<'b>(asks: Asks, received: &'b [Datagram]) -> Result<Vec<Message<'b>>, ExchangeError> {
    let mut exchange = Exchange::new(SEQ, PORT, asks.expects());
    let mut messages = Vec::new();
    for datagram in received {
        assert_eq!(exchange.state(), State::Pending, "something came after the end");
        for message in exchange.datagram(&datagram.bytes, datagram.bytes.len(), 0)? {
            messages.push(message?);
        }
    }
    assert_eq!(exchange.state(), State::Done);
    Ok(messages)
}

fn events(messages: &[Message<'_>]) -> Vec<Event> {
    let mut decoder = GetDecoder::new(FAMILY);
    let mut events = Vec::new();
    for message in messages {
        events.extend(decoder.message(message).map(Result::unwrap));
    }
    events
}

/// The output of `wg show INTERFACE dump`.
fn dump(events: &[Event]) -> String {
    let mut lines = String::new();
    let mut peers = Vec::new();
    for event in events {
        match event {
            Event::Device(device) => {
                let private = revealed(device.private_key.as_ref());
                let public = device.public_key.map_or("(none)".into(), |key| key.to_string());
                let fwmark = match device.fwmark {
                    0 => "off".into(),
                    mark => format!("{mark:#x}"),
                };
                let port = device.listen_port;
                writeln!(lines, "{private}\t{public}\t{port}\t{fwmark}").unwrap();
            }
            Event::Peer(peer) => peers.push((peer, Vec::new())),
            Event::AllowedIp(net) => peers.last_mut().unwrap().1.push(net.to_string()),
        }
    }
    for (peer, ips) in peers {
        // Interface 1 is `lo` everywhere, and `wg` prints its name.
        let endpoint = peer.endpoint.map(|endpoint| endpoint.to_string().replace("%1]", "%lo]"));
        let ips = if ips.is_empty() { "(none)".into() } else { ips.join(",") };
        let keepalive = match peer.persistent_keepalive {
            0 => "off".into(),
            seconds => seconds.to_string(),
        };
        writeln!(
            lines,
            "{}\t{}\t{}\t{ips}\t{}\t{}\t{}\t{keepalive}",
            peer.public_key,
            revealed(peer.preshared_key.as_ref()),
            endpoint.as_deref().unwrap_or("(none)"),
            peer.latest_handshake.map_or(0, |time| time.secs),
            peer.rx_bytes,
            peer.tx_bytes,
        )
        .unwrap();
    }
    lines
}

fn revealed(key: Option<&proto_core::key::SecretKey>) -> String {
    key.map_or("(none)".into(), |key| key.reveal(&mut [0; 44]).to_owned())
}

/// The requests of a step, each with the datagrams received before the next.
fn requests(step: &Step) -> Vec<(Asks, &[Datagram])> {
    let chunks = step.datagrams.chunk_by(|_, next| !next.sent);
    chunks.map(|chunk| (Asks::of(&chunk[0]), &chunk[1..])).collect()
}

/// The expected error of a case, by the name of the case.
fn errno(case: &str) -> Option<Errno> {
    Some(match case {
        "error-no-interface" => Errno::ENODEV,
        "error-not-wireguard" => Errno::EOPNOTSUPP,
        "error-not-root" => Errno::EPERM,
        "error-port-in-use" => Errno::EADDRINUSE,
        "error-no-module" => Errno::ENOENT,
        _ => return None,
    })
}

#[test]
fn we_read_what_the_kernel_answers() {
    let family = Family { id: FAMILY, version: Some(1), maxattr: Some(8) };
    for case in file::cases() {
        let mut failures = 0;
        for step in file::read(&case) {
            let mut failed = false;
            let mut shown = String::new();
            for (asks, received) in requests(&step) {
                match (asks, answers(asks, received)) {
                    (_, Err(error)) => {
                        assert_eq!(error.errno(), errno(&case), "{case}: {error}");
                        let no_family = FamilyError::from(error) == FamilyError::NoWireGuard;
                        assert_eq!(no_family, asks == Asks::Family, "{case}");
                        failed = true;
                    }
                    (Asks::Family, Ok(messages)) => {
                        assert_eq!(messages.len(), 1);
                        assert_eq!(Family::parse(&messages[0]), Ok(family));
                    }
                    (Asks::Get, Ok(messages)) => shown = dump(&events(&messages)),
                    (Asks::Set, Ok(messages)) => assert_eq!(messages, []),
                }
            }
            assert_eq!(failed, step.status != 0, "{case}: {}", step.command);
            failures += i32::from(failed);
            if !step.sets() {
                assert_eq!(shown, step.printed, "{case}");
            }
        }
        assert_eq!(failures > 0, errno(&case).is_some(), "{case}: {failures} failures");
    }
}

/// The size of the receive buffer decides how the kernel splits a dump: the same messages in one
/// datagram, or in one each, and at an unaligned address.
#[test]
fn a_dump_may_be_cut_anywhere_between_messages() {
    let mut several = 0;
    for case in file::cases() {
        for step in file::read(&case) {
            for (asks, received) in requests(&step) {
                let Ok(messages) = answers(asks, received) else { continue };
                if asks != Asks::Get {
                    continue;
                }
                let expected = events(&messages);
                let whole: Vec<u8> = received.iter().flat_map(|d| d.bytes.clone()).collect();
                let one = [Datagram { sent: false, bytes: whole.clone() }];
                assert_eq!(events(&answers(asks, &one).unwrap()), expected);

                let each = apart(&whole);
                several += usize::from(each.len() > 2);
                assert_eq!(events(&answers(asks, &each).unwrap()), expected);

                for shift in 1..4 {
                    let shifted = [vec![0; shift], whole.clone()].concat();
                    let mut exchange = Exchange::new(SEQ, PORT, Expect::Dump);
                    let answers = exchange.datagram(&shifted[shift..], whole.len(), 0).unwrap();
                    let messages: Vec<_> = answers.map(Result::unwrap).collect();
                    assert_eq!(events(&messages), expected);
                }
            }
        }
    }
    assert!(several >= 3, "only {several} dumps of several messages");
}

/// One datagram for each message.
fn apart(mut bytes: &[u8]) -> Vec<Datagram> {
    let mut datagrams = Vec::new();
    while let Some(length) = bytes.first_chunk() {
        let length = usize::try_from(u32::from_ne_bytes(*length)).unwrap();
        let (message, rest) = bytes.split_at(length.next_multiple_of(4));
        datagrams.push(Datagram { sent: false, bytes: message.to_vec() });
        bytes = rest;
    }
    datagrams
}

/// The precondition of [`we_read_what_the_kernel_answers`]: the captures contain the difficult
/// cases.
#[test]
fn the_captures_have_continued_peers_and_handshakes() {
    let (mut entries, mut peers, mut handshakes) = (0, 0, 0);
    for case in ["many-allowed-ips", "uneven-peers", "handshake"] {
        for step in file::read(case) {
            for (asks, received) in requests(&step) {
                if asks != Asks::Get {
                    continue;
                }
                let messages = answers(asks, received).unwrap();
                for event in events(&messages) {
                    if let Event::Peer(peer) = event {
                        peers += 1;
                        handshakes += usize::from(peer.latest_handshake.is_some());
                    }
                }
                for message in messages {
                    let (_, attributes) = GenlHeader::parse(&message).unwrap();
                    let lists = attributes.flatten().filter(|a| a.ty == WGDEVICE_A_PEERS);
                    entries += lists.map(|peers| peers.entries().count()).sum::<usize>();
                }
            }
        }
    }
    // A peer that continues in the next message has an entry in both.
    assert!(entries >= peers + 5, "{entries} entries for {peers} peers");
    assert_eq!(handshakes, 2);
}
