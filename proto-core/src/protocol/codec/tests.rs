//! The codec of `wire!` against serde and postcard.

use core::fmt::Debug;

use proptest::prelude::*;
use serde::Serialize;

use super::*;
use crate::ip::IpNet;
use crate::key::{PublicKey, SecretKey};
use crate::protocol::config::{Host, HostName, Interface, Peer, PrivateKey, Record, Route, Rule};
use crate::protocol::endpoint::PeerEndpoint;
use crate::protocol::message::*;
use crate::protocol::report::{Act, Change, Running, Stored};
use crate::protocol::sized;
use crate::protocol::window::Arrived;

#[track_caller]
fn written<T: Serialize + Put + Debug>(value: &T) {
    let mut expected = [0; 1500];
    let expected = postcard::to_slice(value, &mut expected).unwrap();
    let mut buf = [0; 1500];
    let len = write(value, &mut buf).unwrap();
    assert_eq!(buf[..len], *expected, "{value:?}");
    assert_eq!(write(value, &mut buf[..len]), Some(len));
    assert_eq!(write(value, &mut buf[..len - 1]), None);
    (0..=len).for_each(|end| taken_as_each(&buf[..end]));
}

/// A record of a file is postcard's bytes after their length.
#[track_caller]
fn written_record<T: Serialize + Put + Debug>(value: &T) {
    written(value);
    let expected = sized_bytes(value);
    let mut buf = [0; 1500];
    let len = write_record(value, &mut buf).unwrap();
    assert_eq!(buf[..len], *expected, "{value:?}");
    assert_eq!(write_record(value, &mut buf[..len]), Some(len));
    assert_eq!(write_record(value, &mut buf[..len - 1]), None);
    assert_eq!(sized::split(&expected), Some((&*bytes_of(value), &[][..])));
}

/// Postcard's bytes of a value after their length.
fn sized_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    let mut buf = [0; 1500];
    let bytes = postcard::to_slice(value, &mut buf).unwrap().to_vec();
    let mut buf = [0; 1500];
    postcard::to_slice(&*bytes, &mut buf).unwrap().to_vec()
}

/// Reads bytes both ways: both give the same value and the same rest, or both fail. A request ends
/// with its fields, except a hello; a role without a name is refused.
#[track_caller]
fn read(bytes: &[u8]) {
    let expected = sized::split(bytes).and_then(|(one, rest)| {
        let (record, left) = postcard::take_from_bytes::<Record>(one).ok()?;
        left.is_empty().then_some((record, rest))
    });
    assert_eq!(record(bytes).ok(), expected, "{bytes:02x?}");
    let expected = postcard::take_from_bytes::<Request<'_>>(bytes).ok();
    let expected = expected.filter(|(request, rest)| match request.ask {
        Ask::Hello { .. } => true,
        Ask::AddOwner { role: Role::Unknown(_), .. } => false,
        _ => rest.is_empty(),
    });
    assert_eq!(request(bytes).ok(), expected.map(|(request, _)| request), "{bytes:02x?}");
    let expected = postcard::take_from_bytes::<(ClientId, u32)>(bytes).ok();
    assert_eq!(head(bytes), expected.map(|(head, _)| head), "{bytes:02x?}");
}

/// Reads bytes as `T` both ways: both give the same value and the same rest. Only an unknown kind
/// of answer is read by one and refused by the other.
#[track_caller]
fn taken<'b, T: Take<'b> + serde::Deserialize<'b> + PartialEq + Debug>(bytes: &'b [u8]) {
    let mut input = Input::new(bytes);
    let value = T::take(&mut input);
    let unknown = format!("{value:?}").starts_with("Unknown(");
    let read = input.end().ok().map(|rest| (value, rest)).filter(|_| !unknown);
    let theirs = postcard::take_from_bytes(bytes).ok();
    // Only the reader of requests refuses roles without a name.
    let is_request = std::any::type_name::<T>().contains("Ask");
    let theirs =
        theirs.filter(|read| !is_request || !format!("{read:?}").contains("role: Unknown("));
    assert_eq!(read, theirs, "{bytes:02x?}");
}

/// Reads bytes as every type that either side reads.
#[track_caller]
fn taken_as_each(bytes: &[u8]) {
    taken::<Answer<'_>>(bytes);
    taken::<Ask<'_>>(bytes);
    taken::<Status>(bytes);
    taken::<Failure>(bytes);
    taken::<Owner>(bytes);
    taken::<Running>(bytes);
    taken::<Change>(bytes);
    taken::<Stored>(bytes);
    taken::<Record>(bytes);
    taken::<crate::protocol::patch::Step<'_>>(bytes);
}

fn bytes_of<T: Serialize>(value: &T) -> Vec<u8> {
    let mut buf = [0; 1500];
    postcard::to_slice(value, &mut buf).unwrap().to_vec()
}

fn nets() -> [IpNet; 2] {
    ["10.1.2.0/24", "fd00:1::/64"].map(|net| net.parse().unwrap())
}

fn endpoints() -> [PeerEndpoint; 4] {
    ["192.0.2.1:51820", "[2001:db8::1]:443", "[fe80::1%br-lan]:443", "[ff02::1%3]:1"]
        .map(|endpoint| endpoint.parse().unwrap())
}

const KEY: PublicKey = PublicKey([0xa5; 32]);

fn rules() -> [Rule; 2] {
    let rule = Rule {
        v6: true,
        priority: 30_000,
        table: 51820,
        fwmark: Some(u32::MAX),
        invert: true,
        suppress_prefixlength: None,
    };
    [rule, Rule { v6: false, fwmark: None, suppress_prefixlength: Some(0), ..rule }]
}

fn routes() -> [Route; 2] {
    nets().map(|to| Route { table: 254, metric: 300, to })
}

fn owner(nth: usize) -> Owner {
    let role = if nth.is_multiple_of(3) { Role::Admin } else { Role::ReadOnly };
    Owner { key: PublicKey([nth as u8; 32]), role, name: cut(&"abcdefgh".repeat(nth)) }
}

#[test]
fn the_longest_list_of_owners_fits_a_packet() {
    let longest = Owner { name: cut(&"a".repeat(31)), ..owner(1) };
    let answer = Answer::Owners((0..MAX_OWNERS).map(|_| longest.clone()).collect());
    let len = write(&([0xff; 8], u32::MAX, &answer), &mut [0; 1500]).unwrap();
    assert!(len + 2 <= crate::protocol::MAX_PACKET, "{len}");
}

/// The agent keeps its last reply to a client in this many bytes. `agent/src/requests/service.rs` has the number.
const KEPT: usize = 512;

#[track_caller]
fn length(answer: &Answer<'_>) -> usize {
    let mut buf = [0; 1500];
    // Two bytes belong to the envelope.
    2 + write(&([0xff; 8], u32::MAX, answer), &mut buf).unwrap()
}

#[test]
fn the_longest_failure_and_what_was_done_fit_what_the_agent_keeps() {
    let long = "x".repeat(MAX_TEXT);
    let subject = Subject::AllowedIp(KEY, nets()[1]);
    let failure = Failure { errno: u16::MAX, ..Failure::new(Code::Damaged, &long).about(subject) };
    let count = Count { added: u32::MAX, changed: u32::MAX, removed: u32::MAX, same: u32::MAX };
    let summary = Summary {
        created: true,
        device: u8::MAX,
        addresses: count,
        routes: count,
        rules: count,
        peers: count,
        public_key: Some(KEY),
        listen_port: Some(u16::MAX),
    };
    let applied = Applied { summary, number: u32::MAX, stored: true, confirm_within: u16::MAX };
    let interface: Name = "fifteen-letters".parse().unwrap();
    for answer in [
        Answer::Failed(failure),
        Answer::Applied(applied),
        Answer::Confirmed { interface, number: u32::MAX },
        Answer::Reverted { interface },
    ] {
        assert!(length(&answer) <= KEPT, "{answer:?}");
    }
}

#[test]
fn the_longest_status_fits_a_packet() {
    let name: Name = "fifteen-letters".parse().unwrap();
    let status = Status {
        hostname: cut(&"h".repeat(64)),
        board: cut(&"b".repeat(48)),
        kernel: cut(&"k".repeat(64)),
        machine: cut(&"m".repeat(16)),
        uptime: u32::MAX,
        wireguard: true,
        peak_memory: u32::MAX,
        applied: u32::MAX,
        failed: u32::MAX,
        garbage: u32::MAX,
        text: u32::MAX,
        interfaces: core::iter::repeat_n(name, 8).collect(),
        pending: Some(Pending {
            interface: name,
            number: u32::MAX,
            by: cut(&"a".repeat(31)),
            seconds: u16::MAX,
            digest: [255; 32],
        }),
        unresolved: u32::MAX,
        trouble: cut(&"t".repeat(MAX_TEXT)),
        links: u32::MAX,
        longest_turn: Turn { millis: u32::MAX, what: cut(&"w".repeat(16)) },
        drift: core::iter::repeat_n(drift(name, u32::MAX), 3).collect(),
        drifting: u32::MAX,
        serial_number: cut(&"s".repeat(32)),
        macs: core::iter::repeat_n([255; 6], 4).collect(),
    };
    let length = length(&Answer::Status(status));
    assert!(length <= crate::protocol::MAX_PACKET, "{length}");
}

fn drift(interface: Name, number: u32) -> Drift {
    let repairs = u16::try_from(number).unwrap_or(u16::MAX);
    let what = cut(&"d".repeat(WORDS));
    Drift { interface, what, seconds: number, repairs, next_repair: Some(number) }
}

#[test]
fn every_answer_has_the_bytes_of_postcard() {
    let text = "é".repeat(40);
    let count = Count { added: 1, changed: 200, removed: 70_000, same: u32::MAX };
    let summary = Summary {
        created: true,
        device: 31,
        addresses: count,
        routes: Count::default(),
        rules: count,
        peers: Count { added: 127, changed: 128, ..count },
        public_key: Some(KEY),
        listen_port: Some(51820),
    };
    let mut status = Status {
        hostname: cut("router"),
        board: cut(""),
        kernel: cut("6.18.0"),
        machine: cut("x86_64"),
        uptime: 1,
        wireguard: true,
        peak_memory: 2,
        applied: 300,
        failed: 4,
        garbage: 5,
        text: u32::MAX,
        interfaces: heapless::Vec::new(),
        pending: None,
        unresolved: 300,
        trouble: cut("\u{e9}"),
        links: 300,
        longest_turn: Turn { millis: 70_000, what: cut("Commit") },
        drift: heapless::Vec::new(),
        drifting: 0,
        serial_number: cut(""),
        macs: heapless::Vec::new(),
    };
    written(&Answer::Status(status.clone()));
    status.interfaces.push("wg0".parse().unwrap()).unwrap();
    status.interfaces.push("wg-a-long-name".parse().unwrap()).unwrap();
    status.drift.push(drift("wg0".parse().unwrap(), 300)).unwrap();
    status.drift.push(Drift { next_repair: None, ..drift("wg1".parse().unwrap(), 0) }).unwrap();
    status.drifting = 128;
    status.serial_number = cut("8J-0042");
    status.macs.push([2, 0, 0, 0, 0, 0x80]).unwrap();
    status.macs.push([0xff; 6]).unwrap();
    status.pending = Some(Pending {
        interface: "wg0".parse().unwrap(),
        number: 70_000,
        by: cut("Ann"),
        seconds: 3600,
        digest: [0x80; 32],
    });
    let applied =
        Applied { summary: summary.clone(), number: 300, stored: true, confirm_within: 0 };
    let hello =
        Hello { version: 1, agent: cut("0.1.0"), max_data: 1152, in_flight: 65_536, features: 300 };
    for answer in [
        Answer::Hello(hello),
        Answer::Status(status),
        Answer::Received { stage: 300, arrived: Arrived { base: 7, ahead: u64::MAX } },
        Answer::Planned(Summary::default()),
        Answer::Planned(summary),
        Answer::Applied(Applied::default()),
        Answer::Applied(Applied { stored: false, confirm_within: u16::MAX, ..applied.clone() }),
        Answer::Applied(applied),
        Answer::Aborted,
        Answer::Ready { file: 9, length: 70_000, digest: [7; 32] },
        Answer::Data { offset: 1 << 30, data: &[3; 200] },
        Answer::Data { offset: 0, data: &[] },
        Answer::Working { phase: Phase::Verifying, done: 64, total: 10_000 },
        Answer::Owned { owners: 16 },
        Answer::Confirmed { interface: "wg0".parse().unwrap(), number: u32::MAX },
        Answer::Ranges { number: 300, ranges: &[7; 24] },
        Answer::Console {
            mode: ConsoleMode::Paste,
            prompt: cut("wg0> "),
            file: 9,
            length: 70_000,
            digest: [7; 32],
            failed: true,
        },
        Answer::Reverted { interface: "wg0".parse().unwrap() },
        Answer::Owners(heapless::Vec::new()),
        Answer::Owners(core::array::from_fn::<_, MAX_OWNERS, _>(owner).into_iter().collect()),
    ] {
        written(&answer);
    }
    use Subject as S;
    let [v4, v6] = nets();
    let subjects = [
        S::None,
        S::Interface,
        S::PrivateKey,
        S::ListenPort,
        S::Fwmark,
        S::Mtu,
        S::Address(v4),
        S::Route(v6),
        S::Rule,
        S::Peer(KEY),
        S::Endpoint(KEY),
        S::PresharedKey(KEY),
        S::PersistentKeepalive(KEY),
        S::AllowedIps(KEY),
        S::AllowedIp(KEY, v6),
        S::Offset(70_000),
        S::Unknown(16),
        S::Unknown(255),
    ];
    for subject in subjects {
        let failure = Failure::new(Code::Unsteady, &text).about(subject);
        written(&Answer::Failed(Failure { errno: 517, state: State::Partly, ..failure }));
    }
    // Every number of a code, state, phase or role, including unnamed ones.
    for number in 0..=255 {
        written(&Answer::Failed(Failure::new(Code::from_number(number), "")));
        let state = State::from_number(number);
        written(&Answer::Failed(Failure { state, ..Failure::new(Code::Busy, "") }));
        let phase = Phase::from_number(number);
        written(&Answer::Working { phase, done: 0, total: 0 });
        let one = Owner { role: Role::from_number(number), ..owner(1) };
        written(&Answer::Owners([one].into_iter().collect()));
    }
}

#[test]
fn the_front_of_a_step_is_that_of_postcard() {
    use crate::protocol::patch::Step;
    for step in [Step::Copy { from: 300, length: 70_000 }, Step::Put(&[7; 200]), Step::Put(&[])] {
        let bytes = bytes_of(&step);
        let (head, length) = super::step(&bytes).unwrap();
        match (step, head) {
            (Step::Copy { from, length: copied }, StepHead::Copy(at, count)) => {
                assert_eq!((from, copied, length), (at, count, bytes.len()));
            }
            (Step::Put(data), StepHead::Put(count)) => {
                assert_eq!((data, data.len()), (&bytes[length..], count as usize));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_reply_is_its_head_and_its_answer() {
    let reply = Reply { client: [1, 2, 3, 4, 5, 6, 7, 8], id: 70_000, answer: Answer::Aborted };
    let mut buf = [0; 64];
    let len = write(&(reply.client, reply.id, &reply.answer), &mut buf).unwrap();
    assert_eq!(buf[..len], bytes_of(&reply));
}

#[test]
fn every_report_record_has_the_bytes_of_postcard() {
    for public_key in [None, Some(KEY)] {
        written_record(&Running::Interface {
            name: "wg0".parse().unwrap(),
            public_key,
            listen_port: 51820,
            fwmark: 0xca6c,
            mtu: 1420,
            up: true,
        });
    }
    for endpoint in endpoints().map(Some).into_iter().chain([None]) {
        written_record(&Running::Peer {
            public_key: KEY,
            preshared_key: true,
            endpoint,
            persistent_keepalive: 25,
            latest_handshake: u64::MAX,
            handshake_age: endpoint.map(|_| 1 << 40),
            rx_bytes: 0,
            tx_bytes: 1 << 63,
        });
    }
    for net in nets() {
        written_record(&Running::Address(net));
        written_record(&Running::AllowedIp(net));
        written_record(&Change::RemoveAddress(net));
        written_record(&Change::AddAddress(net));
    }
    for route in routes() {
        written_record(&Running::Route(route));
        written_record(&Change::RemoveRoute(route));
        written_record(&Change::AddRoute(route));
    }
    for rule in rules() {
        written_record(&Running::Rule(rule));
        written_record(&Change::RemoveRule(rule));
        written_record(&Change::AddRule(rule));
    }
    for change in [
        Change::Create,
        Change::PrivateKey { generated: true },
        Change::ListenPort { from: 0, to: u16::MAX },
        Change::Fwmark { from: 1, to: 300 },
        Change::Mtu { from: 1420, to: 1280 },
        Change::Up,
        Change::RemovePeer(KEY),
        Change::AddPeer(KEY),
        Change::ChangePeer { public_key: KEY, fields: 15 },
    ] {
        written_record(&change);
    }
    for act in [Act::Pushed, Act::RolledBack { number: 300 }, Act::Removed, Act::Unknown(200, 7)] {
        for damaged in [false, true] {
            written_record(&Stored {
                interface: "wg0".parse().unwrap(),
                number: 70_000,
                time: 1 << 40,
                key: KEY,
                by: cut("Ann"),
                act,
                length: 1 << 20,
                damaged,
                digest: [0x81; 32],
            });
        }
    }
}

fn host(name: &str) -> Record {
    Record::Host(Host { name: HostName::try_from(name).unwrap(), port: 51820 })
}

/// One of each image record, and of each form of its fields.
fn image_records() -> impl Iterator<Item = Record> {
    let secret = SecretKey::new([9; 32]);
    let keys = [PrivateKey::None, PrivateKey::Given(secret.clone()), PrivateKey::Generate];
    let interfaces = keys.into_iter().map(|private_key| {
        let listen_port = (private_key != PrivateKey::None).then_some(51820);
        let name = "wg0".parse().unwrap();
        Record::Interface(Interface { name, private_key, listen_port, fwmark: 1, mtu: 1420 })
    });
    let peers = endpoints().map(Some).into_iter().chain([None]).map(move |endpoint| {
        let preshared_key = endpoint.map(|_| secret.clone());
        Record::Peer(Peer { public_key: KEY, preshared_key, endpoint, persistent_keepalive: 25 })
    });
    interfaces
        .chain(peers)
        .chain(nets().map(Record::Address))
        .chain(nets().map(Record::AllowedIp))
        .chain(routes().map(Record::Route))
        .chain(rules().map(Record::Rule))
        .chain([host("vpn.example.com"), host("")])
}

#[test]
fn every_image_record_has_the_bytes_of_postcard() {
    image_records().for_each(|record| written_record(&record));
    written_record(&host(&"a".repeat(253)));
}

/// One of each request and of each record, as postcard writes them.
fn samples() -> Vec<Vec<u8>> {
    let name: Name = "wg0".parse().unwrap();
    let asks = [
        Ask::Hello { min: 0, max: 200, features: 300 },
        Ask::Status,
        Ask::Begin {
            interface: name,
            length: 300,
            digest: [8; 32],
            piece_size: 1152,
            patch: None,
            data: &[],
        },
        Ask::Begin {
            interface: name,
            length: 300,
            digest: [8; 32],
            piece_size: 1152,
            patch: Some(Patch { base: 3, length: 200 }),
            data: &[1; 200],
        },
        Ask::Ranges { interface: name, bounds: &[2, 4, 7, 1, 4] },
        Ask::Console { line: b"status" },
        Ask::Console { line: &[] },
        Ask::Piece { stage: 1, index: 128, data: &[1, 2, 3] },
        Ask::Plan { stage: 2 },
        Ask::Commit { stage: u32::MAX, confirm_within: 3600, adopt: true },
        Ask::Abort { stage: 3 },
        Ask::Show { interface: name },
        Ask::Changes { stage: 4 },
        Ask::Read { file: 5, offset: 70_000, length: u16::MAX },
        Ask::Remove { interface: name, confirm_within: 300 },
        Ask::Claim { name: cut("Ann"), proof: None },
        Ask::Claim { name: cut(&"a".repeat(31)), proof: Some([6; 32]) },
        Ask::Owners,
        Ask::AddOwner { key: KEY, role: Role::Admin, name: cut("") },
        Ask::AddOwner { key: KEY, role: Role::ReadOnly, name: cut("Bob") },
        Ask::RemoveOwner { key: KEY },
        Ask::Confirm,
        Ask::Revert,
        Ask::History { interface: None },
        Ask::History { interface: Some(name) },
        Ask::Drift { interface: name },
        Ask::Repair { interface: name, confirm_within: 0 },
        Ask::Rollback { interface: name, number: 300, confirm_within: u16::MAX },
    ];
    let request = |ask| bytes_of(&Request { client: [1, 2, 3, 4, 5, 6, 7, 8], id: 300, ask });
    asks.into_iter()
        .map(request)
        .chain(image_records().map(|record| sized_bytes(&record)))
        .collect()
}

#[test]
fn what_postcard_reads_is_read_and_nothing_else() {
    for sample in samples() {
        read(&sample);
        for len in 0..sample.len() {
            read(&sample[..len]);
        }
        for at in 0..sample.len() {
            for byte in 0..=255 {
                let mut changed = sample.clone();
                changed[at] = byte;
                read(&changed);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_read_the_same(
        start in 0..22_u8,
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        high in prop::collection::vec(any::<bool>(), 120),
    ) {
        // Half of the bytes are small numbers, so that many inputs are read far.
        let bytes = bytes.iter().zip(high).map(|(byte, high)| if high { *byte } else { byte & 1 });
        let mut all = vec![start];
        all.extend(bytes);
        read(&all);
        taken_as_each(&all);
    }

    #[test]
    fn varints_read_the_same(bytes in prop::collection::vec(any::<u8>(), 1..11)) {
        for tail in [0x00, 0x01, 0x03, 0x0f, 0x10, 0x7f] {
            let mut all = vec![1; 8];
            all.extend(bytes.iter().map(|byte| byte | 0x80));
            all.push(tail);
            read(&all);
            let mut piece = vec![1; 8];
            piece.extend([1, 3, 1, 1]);
            piece.extend(bytes.iter().map(|byte| if *byte > 128 { *byte } else { 0x80 }));
            piece.push(tail);
            read(&piece);
        }
    }
}
