//! The width of the output, whatever the names, keys, numbers and words are.

use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;
use proto_core::key::PublicKey;
use proto_core::protocol::config::{Route, Rule};
use proto_core::protocol::endpoint::PeerEndpoint;
use proto_core::protocol::message::{
    Answer, Applied, Code, Count, Failure, Name, Owner, Pending, Role, State, Status, Subject,
    Summary, Turn, cut,
};
use proto_core::protocol::report::{Act, Change, Running, Stored};

use super::rig::{Rig, assert_fits, with_router};
use crate::console::State as TalkState;
use crate::console::answers::{self, RunningPage};
use crate::console::page::Page;
use crate::console::words::{TABLE, Word};
use crate::testing::Router;

/// The longest name of an interface.
const FACE: &str = "wg-abcdefghijkl";
const NET: &str = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128";
const KEY: PublicKey = PublicKey([0x7b; 32]);

/// The text of a page, which fits the screen.
fn page(tell: &mut dyn FnMut(&mut Page<'_>)) -> String {
    let mut out = String::new();
    let mut page = Page::new(&mut out, false);
    page.interface = Some(FACE.parse().unwrap());
    tell(&mut page);
    page.end();
    for line in out.lines() {
        assert!(line.chars().count() <= 79, "{} columns: {line}", line.chars().count());
    }
    out
}

/// Text without its spaces and line ends.
fn solid(text: &str) -> String {
    text.split_whitespace().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn words_of_any_length_are_whole_in_lines_that_fit(
        words in prop::collection::vec("[a-zé]{0,12}|[a-zé]{60,90}|[a-z]{150}", 0..8),
    ) {
        let text: String = words.join(" ").chars().take(200).collect();
        let shown = page(&mut |page| page.line(format_args!("{text}")));
        prop_assert_eq!(solid(&shown), solid(&text));
        for label in ["board", "failed:", "  persistent keepalive:"] {
            let shown = page(&mut |page| page.field("", label, format_args!("{text}")));
            prop_assert_eq!(solid(&shown), solid(label) + &solid(&text));
        }
    }
}

fn counts() -> Summary {
    let count = Count { added: u32::MAX, changed: u32::MAX, removed: u32::MAX, same: u32::MAX };
    Summary {
        created: false,
        device: u8::MAX,
        addresses: count,
        routes: count,
        rules: count,
        peers: count,
        public_key: Some(KEY),
        listen_port: Some(u16::MAX),
    }
}

fn status(long: &str) -> Status {
    let name: Name = FACE.parse().unwrap();
    let pending = Pending {
        interface: name,
        number: u32::MAX,
        by: cut(long),
        seconds: u16::MAX,
        digest: [0xff; 32],
    };
    Status {
        hostname: cut(long),
        board: cut(long),
        kernel: cut(long),
        machine: cut(long),
        uptime: u32::MAX,
        wireguard: true,
        peak_memory: u32::MAX,
        applied: u32::MAX,
        failed: u32::MAX,
        garbage: u32::MAX,
        text: u32::MAX,
        interfaces: core::iter::repeat_n(name, 8).collect(),
        pending: Some(pending),
        unresolved: u32::MAX,
        trouble: cut(long),
        links: u32::MAX,
        longest_turn: Turn::default(),
        drift: heapless::Vec::new(),
        drifting: u32::MAX,
        serial_number: cut(long),
        macs: heapless::Vec::new(),
    }
}

#[test]
fn every_answer_and_record_fits_with_its_longest_values() {
    let (name, net): (Name, _) = (FACE.parse().unwrap(), NET.parse().unwrap());
    let long = "n".repeat(300);
    let status = status(&long);
    let owner = Owner { key: KEY, role: Role::ReadOnly, name: cut(&long) };
    let (summary, number) = (counts(), u32::MAX);
    let applied = |confirm_within| {
        Answer::Applied(Applied { summary: counts(), number, stored: true, confirm_within })
    };
    let mut all = std::vec![
        Answer::Status(status.clone()),
        Answer::Planned(summary.clone()),
        applied(0),
        applied(u16::MAX),
        Answer::Confirmed { interface: name, number },
        Answer::Reverted { interface: name },
        Answer::Owners(core::iter::repeat_n(owner, 16).collect()),
        Answer::Owners(heapless::Vec::new()),
    ];
    let subjects = [
        Subject::None,
        Subject::Interface,
        Subject::Route(net),
        Subject::AllowedIp(KEY, net),
        Subject::PersistentKeepalive(KEY),
        Subject::Offset(u32::MAX),
    ];
    for subject in subjects {
        for state in [State::Undone, State::Partly] {
            let failure = Failure::new(Code::Config, &long);
            all.push(Answer::Failed(Failure { state, subject, ..failure }));
        }
    }
    for answer in &all {
        page(&mut |page| answers::answer(page, answer));
    }
    page(&mut |page| answers::more_status(page, &status));

    let route = Route { table: u32::MAX, metric: u32::MAX, to: net };
    let rule = Rule {
        v6: true,
        priority: u32::MAX,
        table: u32::MAX,
        fwmark: Some(u32::MAX),
        invert: true,
        suppress_prefixlength: Some(u32::MAX),
    };
    let to = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap();
    let running = [
        Running::Interface {
            name,
            public_key: Some(KEY),
            listen_port: u16::MAX,
            fwmark: u32::MAX,
            mtu: u32::MAX,
            up: false,
        },
        Running::Address(net),
        Running::Route(route),
        Running::Rule(rule),
        Running::Peer {
            public_key: KEY,
            preshared_key: true,
            endpoint: Some(PeerEndpoint::Scoped(to, name)),
            persistent_keepalive: u16::MAX,
            latest_handshake: u64::MAX,
            handshake_age: Some(u64::MAX),
            rx_bytes: u64::MAX,
            tx_bytes: u64::MAX,
        },
        Running::AllowedIp(net),
    ];
    let shown = page(&mut |page| {
        let mut shown = RunningPage::default();
        running.iter().for_each(|record| shown.record(page, record));
        shown.end(page);
    });
    assert!(solid(&shown).contains("metric4294967295"), "{shown}");

    for act in [Act::Pushed, Act::RolledBack { number }, Act::Removed, Act::Unknown(9, number)] {
        for damaged in [false, true] {
            let (time, length, digest) = (u64::MAX >> 20, u32::MAX, [0xff; 32]);
            let by = cut(&long);
            let stored = Stored {
                interface: name,
                number,
                time,
                key: KEY,
                by,
                length,
                damaged,
                act,
                digest,
            };
            page(&mut |page| answers::stored(page, &stored));
        }
    }
    let (from, to) = (u32::MAX, u32::MAX);
    let changes = [
        Change::PrivateKey { generated: true },
        Change::ListenPort { from: u16::MAX, to: u16::MAX },
        Change::Fwmark { from, to },
        Change::Mtu { from, to },
        Change::AddAddress(net),
        Change::RemoveRoute(route),
        Change::AddRule(rule),
        Change::AddPeer(KEY),
        Change::ChangePeer { public_key: KEY, fields: u8::MAX },
    ];
    for change in &changes {
        page(&mut |page| answers::change(page, change));
    }
}

/// `status` told guests what was wrong, with the peer or the address that it is about.
#[test]
fn the_status_of_a_guest_names_no_interface_peer_or_address() {
    let status = status("SECRET");
    let guest = page(&mut |page| answers::answer(page, &Answer::Status(status.clone())));
    let name: &str = &status.interfaces[0];
    assert!(guest.contains("uptime") || guest.contains("running for"), "{guest}");
    assert!(!guest.contains("trouble") && !guest.contains(name), "{guest}");
    let owner = page(&mut |page| answers::more_status(page, &status));
    assert!(owner.contains("trouble") && owner.contains(name), "{owner}");
}

/// Types a line, and leaves what it began.
fn typed(rig: &mut Rig<'_, '_>, line: &str) {
    rig.run(line);
    match rig.person.talk.state {
        TalkState::Command => return,
        TalkState::Question(_) => rig.keys("no\r"),
        TalkState::Paste { .. } | TalkState::Code => rig.keys("\x03"),
    };
}

#[test]
fn no_line_of_any_command_is_wider_than_the_screen() {
    let router = Router::default();
    with_router(&router, None, true, |rig| {
        let word = "w".repeat(190);
        let (both, key) = (std::format!("{FACE} {word}"), KEY.to_string());
        rig.run("more off");
        rig.bench.log.borrow_mut().push(std::format!("/lib/{word}: cannot be read"));
        let file = std::format!(
            "[Interface]\rPrivateKey = generate\rAddress = fdfe:ffff:ffff:ffff:ffff:ffff:ffff:fffe/128\r\
             ListenPort = 65535\rFwMark = 0xffffffff\rMTU = 9000\r[Peer]\rPublicKey = {KEY}\r\
             PersistentKeepalive = 65535\rEndpoint = [fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535\r\
             AllowedIPs = {nets}\r",
            nets = (0..16)
                .map(|n| std::format!("fdff:ffff:ffff:ffff:ffff:ffff:ffff:fff{n:x}/128"))
                .collect::<Vec<_>>()
                .join(", ")
        );
        rig.run(&std::format!("load {FACE}"));
        rig.keys(&file).keys(&std::format!("Address = {word}\r{word} = 1\r.\r"));
        rig.run(&std::format!("load {FACE}"));
        rig.keys(&file).keys(".\r");
        let said = rig.run("commit within 60");
        assert!(said.contains("it becomes number 1"), "{said}");
        for command in ["status", "confirm", "yes"] {
            rig.run(command);
        }
        rig.run(&std::format!("show {FACE}"));
        let shown = String::from_utf8_lossy(&rig.person.sent).to_string();
        assert!(shown.contains("endpoint: [fdff:"), "{shown}");
        let mut lines: Vec<String> =
            std::vec![word.clone(), "x".repeat(300), "r".into(), "show ?\x15".into()];
        // A full row has room for the echo of `^C` and of `?`.
        for length in 50..90 {
            rig.keys(&"y".repeat(length)).keys("\x03");
            rig.keys(&"y".repeat(length)).keys("?\x15");
        }
        for entry in TABLE.iter().filter(|entry| !matches!(entry.word, Word::Shell | Word::Exit)) {
            let name = entry.name;
            for rest in ["", FACE, &word, &both, &key] {
                lines.push(std::format!("{name} {rest}"));
            }
            lines.push(std::format!("help {name}"));
        }
        lines.iter().for_each(|line| typed(rig, line));
        // A guest's console.
        rig.run(&std::format!("claim {KEY} {}", "n".repeat(31)));
        rig.keys("yes\r");
        lines.iter().for_each(|line| typed(rig, line));
        assert_fits(&rig.person.sent);
        let said = String::from_utf8_lossy(&rig.person.sent).to_string();
        for part in ["claimed: nnn", "this console is a guest", "challenge:", "confirmed: wg-"] {
            assert!(said.contains(part), "{part}");
        }
    });
}
