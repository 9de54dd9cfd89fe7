//! One value of every message and record. `protocol_vectors` compares them with the bytes in
//! `docs/protocol.md`, and fuzzing starts from them.
//!
//! A new variant of the protocol needs a line here, and a block in the document.

use proto_core::ip::IpNet;
use proto_core::key::{PublicKey, SecretKey};
use proto_core::protocol::Digest;
use proto_core::protocol::config::{Host, Interface, Item, Peer, PrivateKey, Record, Route, Rule};
use proto_core::protocol::endpoint::PeerEndpoint;
use proto_core::protocol::message::{
    Answer, Applied, Ask, ClientId, Code, ConsoleMode, Count, Drift, Failure, Hello, Name, Owner,
    Patch, Pending, Phase, Reply, Request, Role, State, Status, Subject, Summary, Turn, device,
    peer,
};
use proto_core::protocol::report::{Act, Change, Running, Stored};
use proto_core::protocol::window::Arrived;

/// The client of all examples.
pub const CLIENT: ClientId = [0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8];

/// Examples of one type, by name.
pub type Examples<T> = Vec<(&'static str, T)>;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn endpoint(text: &str) -> PeerEndpoint {
    text.parse().unwrap()
}

fn name() -> Name {
    Name::try_from("wg0").unwrap()
}

fn digest() -> Digest {
    counting(0x20)
}

/// 32 bytes that count up from `first`.
fn counting(first: u8) -> [u8; 32] {
    core::array::from_fn(|nth| first + nth as u8)
}

fn key() -> PublicKey {
    PublicKey(counting(0x40))
}

fn route() -> Route {
    Route { table: 254, metric: 5, to: net("10.1.0.0/16") }
}

fn rule() -> Rule {
    Rule {
        v6: false,
        priority: 32_764,
        table: 51_820,
        fwmark: Some(51_820),
        invert: true,
        suppress_prefixlength: None,
    }
}

fn other_rule() -> Rule {
    Rule {
        v6: true,
        priority: 32_765,
        table: 254,
        fwmark: None,
        invert: false,
        suppress_prefixlength: Some(0),
    }
}

/// Two ranges, the second one empty.
const RANGES: [u8; 24] =
    *b"\x90\x91\x92\x93\x94\x95\x96\x97\xe8\x03\0\0\x69\x21\x7a\x30\x79\x90\x80\x94\0\0\0\0";

/// One request of each kind.
pub fn requests() -> Examples<Request<'static>> {
    let asks = vec![
        ("hello", Ask::Hello { min: 1, max: 1, features: 0 }),
        ("status", Ask::Status),
        (
            "begin",
            Ask::Begin {
                interface: name(),
                length: 1_000,
                digest: digest(),
                piece_size: 500,
                patch: None,
                data: &[],
            },
        ),
        ("piece", Ask::Piece { stage: 4_660, index: 1, data: b"data" }),
        ("plan", Ask::Plan { stage: 4_660 }),
        ("commit", Ask::Commit { stage: 4_660, confirm_within: 60, adopt: false }),
        ("abort", Ask::Abort { stage: 4_660 }),
        ("show", Ask::Show { interface: name() }),
        ("changes", Ask::Changes { stage: 4_660 }),
        ("read", Ask::Read { file: 4_661, offset: 500, length: 500 }),
        ("remove", Ask::Remove { interface: name(), confirm_within: 0 }),
        ("claim", Ask::Claim { name: "Ann".try_into().unwrap(), proof: Some(counting(0xa0)) }),
        ("owners", Ask::Owners),
        (
            "add-owner",
            Ask::AddOwner {
                key: key(),
                role: Role::ReadOnly,
                name: "monitoring".try_into().unwrap(),
            },
        ),
        ("remove-owner", Ask::RemoveOwner { key: key() }),
        ("confirm", Ask::Confirm),
        ("revert", Ask::Revert),
        ("history", Ask::History { interface: Some(name()) }),
        ("drift", Ask::Drift { interface: name() }),
        ("repair", Ask::Repair { interface: name(), confirm_within: 0 }),
        ("rollback", Ask::Rollback { interface: name(), number: 5, confirm_within: 0 }),
        ("ranges", Ask::Ranges { interface: name(), bounds: &[1, 4, 3, 4, 0x50, 0] }),
        (
            "begin-patch",
            Ask::Begin {
                interface: name(),
                length: 1_000,
                digest: digest(),
                piece_size: 500,
                patch: Some(Patch { base: 7, length: 9 }),
                data: &[1, 2, 0xaa, 0xbb, 0, 10, 0xe6, 7, 1],
            },
        ),
        ("console", Ask::Console { line: b"show wg0" }),
        // "ababab".
        ("piece-packed", Ask::Piece { stage: 4_660, index: 1, data: &[0xb0, 0xd8, 0x80, 0x4c] }),
    ];
    let number = |(id, (name, ask))| (name, Request { client: CLIENT, id, ask });
    (1..).zip(asks).map(number).collect()
}

/// One reply of each kind.
pub fn replies() -> Examples<Reply<'static>> {
    let count = |added, changed, removed, same| Count { added, changed, removed, same };
    let summary = Summary {
        created: false,
        device: device::LISTEN_PORT | device::MTU,
        addresses: count(1, 0, 2, 3),
        routes: Count::default(),
        rules: count(0, 0, 0, 2),
        peers: count(300, 1, 0, 999),
        public_key: Some(key()),
        listen_port: Some(51_820),
    };
    let hello = Hello {
        version: 1,
        agent: "0.1.0".try_into().unwrap(),
        max_data: 1_152,
        in_flight: 49_152,
        features: 0,
    };
    let status = Status {
        hostname: "gw-7".try_into().unwrap(),
        board: "glinet,gl-mt300n-v2".try_into().unwrap(),
        kernel: "6.6.73".try_into().unwrap(),
        machine: "mips".try_into().unwrap(),
        uptime: 3_600,
        wireguard: true,
        peak_memory: 212,
        applied: 2,
        failed: 1,
        garbage: 0,
        text: 70_000,
        interfaces: [name(), Name::try_from("wg1").unwrap()].into_iter().collect(),
        pending: Some(Pending {
            interface: name(),
            number: 7,
            by: "Ann".try_into().unwrap(),
            seconds: 34,
            digest: digest(),
        }),
        unresolved: 1,
        trouble: "wg1: stored configuration 3 is damaged; the one before it is used"
            .try_into()
            .unwrap(),
        links: 2,
        longest_turn: Turn { millis: 45, what: "Commit".try_into().unwrap() },
        drift: [Drift {
            interface: name(),
            what: "address 10.0.0.1/24 is gone".try_into().unwrap(),
            seconds: 12,
            repairs: 3,
            next_repair: Some(48),
        }]
        .into_iter()
        .collect(),
        drifting: 1,
        serial_number: "8J0042".try_into().unwrap(),
        macs: [[0x94, 0x83, 0xc4, 1, 2, 3], [0x94, 0x83, 0xc4, 1, 2, 4]].into_iter().collect(),
    };
    let failure = Failure {
        code: Code::Kernel,
        subject: Subject::Endpoint(key()),
        errno: 22,
        text: "Invalid argument".try_into().unwrap(),
        state: State::Partly,
    };
    let owners = [
        Owner {
            key: PublicKey(counting(0x60)),
            role: Role::Admin,
            name: "Ann".try_into().unwrap(),
        },
        Owner { key: key(), role: Role::ReadOnly, name: "monitoring".try_into().unwrap() },
    ];
    let created = Summary { created: true, public_key: None, listen_port: None, ..summary.clone() };
    let answers = vec![
        ("hello", Answer::Hello(hello)),
        ("status", Answer::Status(status)),
        ("received", Answer::Received { stage: 4_660, arrived: Arrived { base: 1, ahead: 0b110 } }),
        ("planned", Answer::Planned(created)),
        (
            "applied",
            Answer::Applied(Applied { summary, number: 7, stored: false, confirm_within: 60 }),
        ),
        ("aborted", Answer::Aborted),
        ("ready", Answer::Ready { file: 4_661, length: 70_000, digest: digest() }),
        ("data", Answer::Data { offset: 500, data: b"data" }),
        ("working", Answer::Working { phase: Phase::Applying, done: 512, total: 1_000 }),
        ("failed", Answer::Failed(failure)),
        ("owned", Answer::Owned { owners: 2 }),
        ("owners", Answer::Owners(owners.into_iter().collect())),
        ("confirmed", Answer::Confirmed { interface: name(), number: 7 }),
        ("reverted", Answer::Reverted { interface: name() }),
        ("ranges", Answer::Ranges { number: 7, ranges: &RANGES }),
        (
            "console",
            Answer::Console {
                mode: ConsoleMode::Command,
                prompt: "lab-router> ".try_into().unwrap(),
                file: 4_662,
                length: 812,
                digest: digest(),
                failed: false,
            },
        ),
    ];
    let number = |(id, (name, answer))| (name, Reply { client: CLIENT, id, answer });
    (1..).zip(answers).map(number).collect()
}

/// All subjects of a failure.
pub fn subjects() -> [Subject; 16] {
    [
        Subject::None,
        Subject::Interface,
        Subject::PrivateKey,
        Subject::ListenPort,
        Subject::Fwmark,
        Subject::Mtu,
        Subject::Address(net("10.0.0.1/24")),
        Subject::Route(net("10.1.0.0/16")),
        Subject::Rule,
        Subject::Peer(key()),
        Subject::Endpoint(key()),
        Subject::PresharedKey(key()),
        Subject::PersistentKeepalive(key()),
        Subject::AllowedIps(key()),
        Subject::AllowedIp(key(), net("fd00::/8")),
        Subject::Offset(300),
    ]
}

/// Records of an image. Up to the first peer's allowed IPs they are a valid image.
pub fn records() -> Examples<Record> {
    let interface = |private_key| {
        Record::Interface(Interface {
            name: name(),
            private_key,
            listen_port: Some(51_820),
            fwmark: 0,
            mtu: 1_420,
        })
    };
    let bare =
        Peer { public_key: key(), preshared_key: None, endpoint: None, persistent_keepalive: 0 };
    let full = Peer {
        public_key: PublicKey(counting(0x60)),
        preshared_key: Some(SecretKey::new(counting(0x80))),
        endpoint: Some(endpoint("192.0.2.1:51820")),
        persistent_keepalive: 25,
    };
    let v6 = Peer {
        public_key: PublicKey(counting(0x61)),
        endpoint: Some(endpoint("[2001:db8::1]:51820")),
        ..bare.clone()
    };
    let scoped = Peer {
        public_key: PublicKey(counting(0x62)),
        endpoint: Some(endpoint("[fe80::1%eth0]:51820")),
        ..bare.clone()
    };
    vec![
        ("interface", interface(PrivateKey::Given(SecretKey::new(counting(0xa0))))),
        ("interface-none", interface(PrivateKey::None)),
        ("interface-generate", interface(PrivateKey::Generate)),
        ("address", Record::Address(net("10.0.0.1/24"))),
        ("address-6", Record::Address(net("fd00::1/64"))),
        ("route", Record::Route(route())),
        ("rule", Record::Rule(rule())),
        ("rule-6", Record::Rule(other_rule())),
        ("peer-bare", Record::Peer(bare)),
        ("allowed-ip", Record::AllowedIp(net("10.0.0.2/32"))),
        ("allowed-ip-6", Record::AllowedIp(net("fd00::2/128"))),
        ("peer", Record::Peer(full)),
        ("host", Record::Host(Host { name: "vpn.example.com".try_into().unwrap(), port: 51_820 })),
        ("peer-6", Record::Peer(v6)),
        ("peer-scoped", Record::Peer(scoped)),
    ]
}

/// Items for the example keys.
pub fn items() -> Examples<Item> {
    vec![
        ("address", Item::Address(net("10.0.0.1/24"))),
        ("address-6", Item::Address(net("fd00::1/64"))),
        ("route", Item::Route(route())),
        ("rule", Item::Rule(rule())),
        ("rule-6", Item::Rule(other_rule())),
        ("peer", Item::Peer(key())),
    ]
}

/// One record of the running state for each kind.
pub fn running() -> Examples<Running> {
    let peer = Running::Peer {
        public_key: key(),
        preshared_key: true,
        endpoint: Some(endpoint("192.0.2.1:51820")),
        persistent_keepalive: 25,
        latest_handshake: 1_700_000_000,
        handshake_age: Some(90),
        rx_bytes: 1 << 40,
        tx_bytes: 148,
    };
    let interface = Running::Interface {
        name: name(),
        public_key: Some(key()),
        listen_port: 51_820,
        fwmark: 0,
        mtu: 1_420,
        up: true,
    };
    vec![
        ("interface", interface),
        ("address", Running::Address(net("10.0.0.1/24"))),
        ("route", Running::Route(route())),
        ("rule", Running::Rule(rule())),
        ("peer", peer),
        ("allowed-ip", Running::AllowedIp(net("10.0.0.2/32"))),
    ]
}

/// One change for each kind.
pub fn changes() -> Examples<Change> {
    let fields = peer::ENDPOINT | peer::ALLOWED_IPS;
    vec![
        ("create", Change::Create),
        ("private-key", Change::PrivateKey { generated: true }),
        ("listen-port", Change::ListenPort { from: 0, to: 51_820 }),
        ("fwmark", Change::Fwmark { from: 0, to: 51_820 }),
        ("mtu", Change::Mtu { from: 1_420, to: 1_280 }),
        ("up", Change::Up),
        ("remove-address", Change::RemoveAddress(net("10.0.0.1/24"))),
        ("remove-route", Change::RemoveRoute(route())),
        ("remove-rule", Change::RemoveRule(rule())),
        ("remove-peer", Change::RemovePeer(key())),
        ("add-address", Change::AddAddress(net("10.0.0.1/24"))),
        ("add-route", Change::AddRoute(route())),
        ("add-rule", Change::AddRule(rule())),
        ("add-peer", Change::AddPeer(key())),
        ("change-peer", Change::ChangePeer { public_key: key(), fields }),
    ]
}

/// One configuration of a history for each kind, newest first.
pub fn stored() -> Examples<Stored> {
    let pushed = Stored {
        interface: name(),
        number: 5,
        time: 1_700_000_000,
        key: key(),
        by: "Ann".try_into().unwrap(),
        act: Act::Pushed,
        length: 1_000,
        damaged: false,
        digest: digest(),
    };
    let removed = Stored {
        number: 6,
        act: Act::Removed,
        length: 0,
        digest: proto_core::protocol::digest(&[]),
        ..pushed.clone()
    };
    let rolled_back = Stored { number: 7, act: Act::RolledBack { number: 5 }, ..pushed.clone() };
    vec![("rolled-back", rolled_back), ("removed", removed), ("pushed", pushed)]
}
