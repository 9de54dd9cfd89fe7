//! Packets in, packets out, over files in memory and a kernel that follows a script.

use super::*;
use crate::access::owners::{Ownership, Standing};
use crate::testing::{
    Agent, Bench, Drawer, Incident, Mishap, Router, Sent, World, client, record_bytes, with_agent,
    with_agent_on,
};
use proto_core::netlink::Errno;
use proto_core::protocol::message::{Name, Patch, Reply, Role, State};
use proto_core::protocol::session::Wire;
use proto_core::protocol::{config, digest, packed};
use std::string::{String, ToString as _};
use std::vec::Vec;

/// Runs a test with an agent that has done nothing yet.
fn agent(test: impl FnOnce(&mut Agent<'_>, &Bench)) {
    let bench = Bench::default();
    let folders = (Drawer::default(), Drawer::default());
    with_agent(&bench, folders, |mut agent| test(&mut agent, &bench));
}

fn packet(client: u8, id: u32, ask: Ask<'_>) -> Vec<u8> {
    client::packet([client; 8], id, ask)
}

/// What an agent answers to a packet, at most once.
fn answer(agent: &mut Agent<'_>, packet: &[u8]) -> Option<Answer<'static>> {
    as_one(agent, ADMIN, Standing::Owner(Role::Admin), packet)
}

const ADMIN: PublicKey = PublicKey([1; 32]);

/// The packets that an agent sends for a packet of this key.
fn sent(agent: &mut Agent<'_>, key: PublicKey, standing: Standing, packet: &[u8]) -> Sent {
    let (mut keep, mut state) = (Drawer::default(), Drawer::default());
    let mut ownership = Ownership::load(&mut keep, &mut state);
    // Every client has said hello.
    if let Some(client) = packet.get(2..10) {
        let owns = |_: &PublicKey| standing != Standing::Stranger;
        agent.answered.greet(&key, (client.try_into().unwrap(), 0), &owns);
    }
    let mut sent = Sent::default();
    let mut visitor = client::visitor(key, standing, (1, 1), &mut ownership);
    let _ = agent.packet(packet, &mut visitor, &mut sent);
    sent
}

/// The reply of an agent to a request of this key, at most one.
fn as_one(
    agent: &mut Agent<'_>,
    key: PublicKey,
    standing: Standing,
    packet: &[u8],
) -> Option<Answer<'static>> {
    let mut sent = sent(agent, key, standing, packet);
    assert!(sent.0.len() <= 1);
    let packet = sent.0.pop()?.leak();
    let (_, reply) = envelope::read::<Reply<'_>>(packet, |_| true).unwrap();
    Some(reply.answer)
}

fn failure(answer: Option<Answer<'_>>) -> Failure {
    match answer {
        Some(Answer::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

fn image() -> Vec<u8> {
    let record = config::Record::Interface(config::Interface {
        name: name(),
        private_key: config::PrivateKey::Generate,
        listen_port: None,
        fwmark: 0,
        mtu: 1420,
    });
    record_bytes(&record)
}

fn name() -> Name {
    Name::try_from("wg0").unwrap()
}

fn begin(image: &[u8]) -> Ask<'static> {
    Ask::Begin {
        interface: name(),
        length: image.len() as u32,
        digest: digest(image),
        piece_size: 100,
        patch: None,
        data: &[],
    }
}

/// Uploads an image and returns its stage.
fn upload(agent: &mut Agent<'_>, client: u8, announced: Ask<'_>, image: &[u8]) -> u32 {
    let Some(Answer::Received { stage, .. }) = answer(agent, &packet(client, 1, announced)) else {
        panic!("not taken");
    };
    let piece = Ask::Piece { stage, index: 0, data: image };
    assert!(matches!(answer(agent, &packet(client, 2, piece)), Some(Answer::Received { .. })));
    stage
}

#[test]
fn an_echo_is_not_answered() {
    // A router that answered its own answers would never stop on a line that echoes.
    agent(|agent, _| {
        for ask in
            [Ask::Hello { min: 1, max: 1, features: 0 }, Ask::Status, Ask::Abort { stage: 1 }]
        {
            let wire = sent(agent, ADMIN, Standing::Owner(Role::Admin), &packet(1, 1, ask));
            let [reply] = &wire.0[..] else { panic!("one answer") };
            assert_eq!(answer(agent, reply), None);
        }
    });
}

#[test]
fn the_words_of_the_kernel_arrive() {
    agent(|agent, _| {
        let image = image();
        let stage = upload(agent, 1, begin(&image), &image);
        let failure = failure(answer(
            agent,
            &packet(1, 3, Ask::Commit { stage, confirm_within: 0, adopt: false }),
        ));
        assert_eq!(failure.text, "not on my watch");
        assert_eq!((failure.code, failure.subject), (Code::Permission, Subject::Interface));
        assert_eq!((failure.errno, failure.state), (Errno::EPERM.0 as u16, State::Unchanged));
    });
}

#[test]
fn a_repeated_request_is_done_once() {
    agent(|agent, bench| {
        let image = image();
        let stage = upload(agent, 1, begin(&image), &image);
        let commit = packet(1, 3, Ask::Commit { stage, confirm_within: 0, adopt: false });
        let first = answer(agent, &commit);
        let said = bench.log.borrow().len();
        assert_eq!(answer(agent, &commit), first);
        assert_eq!(bench.log.borrow().len(), said, "it was done again");
        assert_eq!(agent.counters.failed, 1);
        // Whether one that was overtaken by a later request was done is not known any more.
        assert_eq!(failure(answer(agent, &packet(1, 1, begin(&image)))).code, Code::Gone);
    });
}

#[test]
fn another_configuration_waits_and_the_same_goes_on() {
    agent(|agent, bench| {
        let image = image();
        let stage = upload(agent, 1, begin(&image), &image);
        let other = [image.clone(), image.clone()].concat();
        let busy = failure(answer(agent, &packet(2, 1, begin(&other))));
        assert_eq!(busy.code, Code::Busy);
        // Client 1 was ended and comes back under another name.
        let same = answer(agent, &packet(3, 1, begin(&image)));
        let Some(Answer::Received { stage: taken, arrived }) = same else { panic!("{same:?}") };
        assert_eq!((taken, arrived.base), (stage, 1));
        assert_eq!(
            failure(answer(
                agent,
                &packet(1, 9, Ask::Commit { stage, confirm_within: 0, adopt: false })
            ))
            .code,
            Code::Gone
        );
        bench.now.set(crate::requests::stage::PATIENCE + 1);
        let free = answer(agent, &packet(2, 2, begin(&other)));
        assert!(matches!(free, Some(Answer::Received { .. })), "{free:?}");
    });
}

#[test]
fn what_is_not_whole_is_not_applied() {
    agent(|agent, _| {
        let image = image();
        let missing = answer(agent, &packet(1, 1, begin(&image)));
        let Some(Answer::Received { stage, .. }) = missing else { panic!("{missing:?}") };
        let commit = failure(answer(
            agent,
            &packet(1, 2, Ask::Commit { stage, confirm_within: 0, adopt: false }),
        ));
        assert_eq!(commit.code, Code::Incomplete);

        let announced = Ask::Begin {
            interface: name(),
            length: image.len() as u32,
            digest: [9; 32],
            piece_size: 100,
            patch: None,
            data: &[],
        };
        agent.drop_stage().unwrap();
        let stage = upload(agent, 2, announced, &image);
        let commit = failure(answer(
            agent,
            &packet(2, 3, Ask::Commit { stage, confirm_within: 0, adopt: false }),
        ));
        assert_eq!(commit.code, Code::Digest);
    });
}

#[test]
fn another_version_is_told_so() {
    agent(|agent, _| {
        let hello =
            failure(answer(agent, &packet(1, 1, Ask::Hello { min: 2, max: 9, features: 0 })));
        assert_eq!(hello.code, Code::Version);
        let mut later = packet(1, 2, Ask::Status);
        later[1] = 9;
        assert_eq!(failure(answer(agent, &later)).code, Code::Version);
        // What has no head to answer to is dropped.
        assert_eq!(answer(agent, &later[..4]), None);
        assert_eq!(answer(agent, &[]), None);
    });
}

#[test]
fn an_interface_that_is_not_allowed_is_not_touched() {
    agent(|agent, _| {
        let ask = Ask::Remove { interface: Name::try_from("eth0").unwrap(), confirm_within: 0 };
        assert_eq!(failure(answer(agent, &packet(1, 1, ask))).code, Code::NotAllowed);
    });
}

#[test]
fn who_may_ask_for_what() {
    use Standing::{Candidate, Owner, Stranger};
    let interface = name();
    let (key, role, name) = (PublicKey([2; 32]), Role::ReadOnly, "ben".try_into().unwrap());
    // Whether an admin, a reader, a candidate may; a stranger may not.
    let table: [(Ask<'_>, [bool; 3]); 22] = [
        (Ask::Hello { min: 1, max: 1, features: 0 }, [true, true, true]),
        (Ask::Status, [true, true, true]),
        (begin(b"image"), [true, false, false]),
        (Ask::Piece { stage: 1, index: 0, data: b"image" }, [true, false, false]),
        (Ask::Plan { stage: 1 }, [true, false, false]),
        (Ask::Commit { stage: 1, confirm_within: 0, adopt: false }, [true, false, false]),
        (Ask::Abort { stage: 1 }, [true, false, false]),
        (Ask::Show { interface }, [true, true, false]),
        (Ask::Changes { stage: 1 }, [true, true, false]),
        (Ask::Read { file: 1, offset: 0, length: 1 }, [true, true, false]),
        (Ask::Remove { interface, confirm_within: 0 }, [true, false, false]),
        (Ask::Confirm, [true, false, false]),
        (Ask::Revert, [true, false, false]),
        (Ask::History { interface: None }, [true, true, false]),
        (Ask::Drift { interface }, [true, true, false]),
        (Ask::Repair { interface, confirm_within: 0 }, [true, false, false]),
        (Ask::Rollback { interface, number: 1, confirm_within: 0 }, [true, false, false]),
        (Ask::Claim { name: "anne".try_into().unwrap(), proof: None }, [true, false, true]),
        (Ask::Owners, [true, true, false]),
        (Ask::AddOwner { key, role, name }, [true, false, false]),
        (Ask::RemoveOwner { key }, [true, false, false]),
        (Ask::Console { line: b"help" }, [true, true, false]),
    ];
    for (ask, expected) in table {
        let standings = [Owner(Role::Admin), Owner(Role::ReadOnly), Candidate];
        let may = standings.map(|standing| {
            let mut may = None;
            agent(|agent, _| {
                let answer = as_one(agent, ADMIN, standing, &packet(1, 1, ask.clone()));
                may = Some(match answer.unwrap() {
                    Answer::Failed(failure) => {
                        !matches!(failure.code, Code::Forbidden | Code::Unclaimed)
                    }
                    _ => true,
                });
                let silent = as_one(agent, ADMIN, Stranger, &packet(2, 1, ask.clone()));
                assert!(silent.is_none(), "{ask:?}");
            });
            may.unwrap()
        });
        assert_eq!(may, expected, "{ask:?}");
    }
}

#[test]
fn an_unowned_router_identifies_itself_only_at_its_cable() {
    use Standing::{Candidate, Local, Owner};
    let router = Router::default();
    let macs = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
    router.world.plug("lan1", macs[0]);
    router.world.plug("lan2", macs[0]);
    router.world.plug("wan", macs[1]);
    let asked = |wire, standing| {
        router.with(|agent| {
            let (mut keep, mut state) = (Drawer::default(), Drawer::default());
            let mut ownership = Ownership::load(&mut keep, &mut state);
            let mut visitor = client::visitor(ADMIN, standing, (1, 1), &mut ownership);
            visitor.wire = wire;
            let mut sent = Sent::default();
            let _ = agent.packet(&packet(1, 1, Ask::Status), &mut visitor, &mut sent);
            let (_, reply) = envelope::read::<Reply<'_>>(&sent.0[0], |_| true).unwrap();
            match reply.answer {
                Answer::Status(status) => (status.serial_number.to_string(), status.macs.to_vec()),
                other => panic!("{other:?}"),
            }
        })
    };
    let all = ("8J0042".to_string(), macs.to_vec());
    assert_eq!(asked(Wire::Serial, Candidate), all);
    assert_eq!(asked(Wire::Serial, Local), all);
    assert_eq!(asked(Wire::Udp, Owner(Role::ReadOnly)), all);
    assert_eq!(asked(Wire::Udp, Candidate), (String::new(), Vec::new()));
}

#[test]
fn a_kept_reply_is_not_for_somebody_else() {
    agent(|agent, _| {
        let asked = packet(1, 1, begin(b"image"));
        assert!(as_one(agent, ADMIN, Standing::Owner(Role::Admin), &asked).is_some());
        let other = PublicKey([2; 32]);
        assert!(as_one(agent, other, Standing::Stranger, &asked).is_none());
        assert!(as_one(agent, ADMIN, Standing::Stranger, &asked).is_some());
    });
}

#[test]
fn a_stage_and_a_file_belong_to_the_key_and_not_to_the_client_s_number() {
    agent(|agent, _| {
        let image = image();
        let stage = upload(agent, 1, begin(&image), &image);
        let ben = PublicKey([2; 32]);
        let admin = Standing::Owner(Role::Admin);
        for ask in [
            Ask::Abort { stage },
            Ask::Piece { stage, index: 0, data: &image },
            Ask::Plan { stage },
            Ask::Changes { stage },
        ] {
            let failure = failure(as_one(agent, ben, admin, &packet(1, 7, ask)));
            assert_eq!(failure.code, Code::Gone);
        }
        // A reader's file does not take the place of an admin's.
        let history = |id| packet(1, id, Ask::History { interface: None });
        let Some(Answer::Ready { file, .. }) = answer(agent, &history(10)) else { panic!() };
        let reader = Standing::Owner(Role::ReadOnly);
        assert!(as_one(agent, ben, reader, &history(20)).is_some());
        let read = packet(1, 11, Ask::Read { file, offset: 0, length: 100 });
        assert!(matches!(answer(agent, &read), Some(Answer::Data { .. })));
        let stolen = as_one(agent, ben, reader, &read);
        assert_eq!(failure(stolen).code, Code::Gone);
    });
}

#[test]
fn a_stage_is_not_held_by_a_client_that_sends_nothing_new() {
    agent(|agent, bench| {
        let image = image();
        let stage = upload(agent, 1, begin(&image), &image);
        let other = [image.clone(), image.clone()].concat();
        // It asks for the status and repeats a piece for a while.
        for second in 0..13 {
            bench.now.set(second * 1_000);
            answer(agent, &packet(1, 90, Ask::Status));
            answer(agent, &packet(1, 91, Ask::Piece { stage, index: 0, data: &image }));
        }
        bench.now.set(crate::requests::stage::PATIENCE);
        let free = answer(agent, &packet(2, 2, begin(&other)));
        assert!(matches!(free, Some(Answer::Received { .. })), "{free:?}");
    });
}

#[test]
fn pieces_with_the_wrong_digest_are_sent_again() {
    agent(|agent, _| {
        let image = image();
        let mut wrong = image.clone();
        wrong[3] ^= 1;
        let stage = upload(agent, 1, begin(&image), &wrong);
        let plan = failure(answer(agent, &packet(1, 3, Ask::Plan { stage })));
        assert_eq!(plan.code, Code::Digest);
        let again = answer(agent, &packet(1, 4, begin(&image)));
        let Some(Answer::Received { stage, arrived }) = again else { panic!("{again:?}") };
        assert_eq!(arrived.base, 0);
        answer(agent, &packet(1, 5, Ask::Piece { stage, index: 0, data: &image }));
        assert!(matches!(
            answer(agent, &packet(1, 6, Ask::Plan { stage })),
            Some(Answer::Planned(_))
        ));
    });
}

#[test]
fn who_announced_what_is_stored_need_not_wait_for_ranges() {
    let (bench, world) = (Bench::default(), World::default());
    let folders = (Drawer::default(), Drawer::default());
    with_agent_on((world.socket(false), world.socket(true)), &bench, folders, |mut agent| {
        let (agent, image) = (&mut agent, image());
        let ask = |client, id| {
            packet(client, id, Ask::Ranges { interface: "wg0".parse().unwrap(), bounds: &[] })
        };
        let stage = upload(agent, 1, begin(&image), &image);
        let commit = Ask::Commit { stage, confirm_within: 0, adopt: false };
        let applied = answer(agent, &packet(1, 3, commit));
        assert!(matches!(applied, Some(Answer::Applied(_))), "{applied:?}");
        let Some(Answer::Ranges { number: 1, ranges }) = answer(agent, &ask(1, 4)) else {
            panic!()
        };
        assert_eq!(ranges.len(), 12);
        // The same again: only the client that announced it has nothing left to send.
        let begun = answer(agent, &packet(2, 5, begin(&image)));
        let Some(Answer::Received { arrived, .. }) = begun else { panic!("{begun:?}") };
        assert_eq!(arrived.base, 1);
        let none = answer(agent, &ask(2, 6));
        assert!(matches!(none, Some(Answer::Ranges { number: 1, ranges: [] })), "{none:?}");
        let Some(Answer::Ranges { ranges, .. }) = answer(agent, &ask(3, 7)) else { panic!() };
        assert_eq!(ranges.len(), 12);
    });
}

/// An image of records that resemble each other, which travels packed with its announcement or in pieces. Bytes
/// that are packed wrongly are refused, and leave the stage unchanged.
#[test]
fn packed_bytes_are_the_bytes_they_stand_for() {
    let nets =
        (0..40).map(|n| config::Record::AllowedIp(format!("10.0.{n}.0/24").parse().unwrap()));
    let peer = config::Record::Peer(config::Peer {
        public_key: PublicKey(core::array::from_fn(|n| n as u8 + 1)),
        preshared_key: None,
        endpoint: None,
        persistent_keepalive: 0,
    });
    let image: Vec<u8> = image()
        .into_iter()
        .chain([peer].into_iter().chain(nets).flat_map(|record| record_bytes(&record)))
        .collect();
    let packed = |bytes: &[u8]| {
        let mut out = vec![0; bytes.len()];
        let len = packed::pack(bytes, &mut out).unwrap();
        out.truncate(len);
        out
    };
    agent(|agent, _| {
        let (all, longer) = (packed(&image), packed(&[&image[..], &[0]].concat()));
        let with = |data| match begin(&image) {
            Ask::Begin { interface, length, digest, piece_size, patch, .. } => {
                Ask::Begin { interface, length, digest, piece_size, patch, data }
            }
            other => other,
        };
        let more = [&all[..], &[0]].concat();
        for wrong in [&all[..all.len() - 1], &longer, &more] {
            let told = failure(answer(agent, &packet(1, 1, with(wrong))));
            assert_eq!(told.code, Code::Malformed);
        }
        let Some(Answer::Received { stage, .. }) = answer(agent, &packet(1, 2, with(&all))) else {
            panic!("not taken")
        };
        let planned = answer(agent, &packet(1, 3, Ask::Plan { stage }));
        assert!(matches!(planned, Some(Answer::Planned(_))), "{planned:?}");
        answer(agent, &packet(1, 4, Ask::Abort { stage }));

        let Some(Answer::Received { stage, .. }) = answer(agent, &packet(1, 5, begin(&image)))
        else {
            panic!("not taken")
        };
        for (index, bytes) in (0..).zip(image.chunks(100)) {
            let piece = |id, data| packet(1, id, Ask::Piece { stage, index, data });
            let data = packed(bytes);
            let told = failure(answer(agent, &piece(6 + 2 * index, &data[..data.len() - 1])));
            assert_eq!(told.code, Code::Malformed);
            let taken = answer(agent, &piece(7 + 2 * index, &data));
            let Some(Answer::Received { arrived, .. }) = taken else { panic!("{taken:?}") };
            assert_eq!(arrived.base, index + 1);
        }
        let planned = answer(agent, &packet(1, 90, Ask::Plan { stage }));
        assert!(matches!(planned, Some(Answer::Planned(_))), "{planned:?}");
    });
}

#[test]
fn keys_that_no_client_can_have_own_nothing() {
    agent(|agent, _| {
        let mut one = [0; 32];
        one[0] = 1;
        // The same point as 9 for X25519, in forms that it never makes.
        let (mut high, mut over) = ([9; 32], [0xff; 32]);
        high[31] |= 0x80;
        (over[0], over[31]) = (0xf6, 0x7f);
        for (id, key) in (1..).zip([[0; 32], one, [0xee; 32], high, over]) {
            let (key, role) = (PublicKey(key), Role::Admin);
            let add = Ask::AddOwner { key, role, name: "eve".try_into().unwrap() };
            assert_eq!(failure(answer(agent, &packet(1, id, add))).code, Code::Config);
        }
        let (key, role) = (PublicKey([9; 32]), Role::Admin);
        let add = Ask::AddOwner { key, role, name: "ben".try_into().unwrap() };
        assert!(matches!(answer(agent, &packet(1, 9, add)), Some(Answer::Owned { .. })));
    });
}

#[test]
fn a_name_that_would_break_a_line_of_the_log_is_refused() {
    agent(|agent, _| {
        for (id, name) in (1..).zip(["a\nclaimed by", "\u{1b}[31m", "\0", "\u{85}"]) {
            let (key, role) = (PublicKey([9; 32]), Role::Admin);
            let add = Ask::AddOwner { key, role, name: name.try_into().unwrap() };
            let failure = failure(answer(agent, &packet(1, id, add)));
            assert_eq!(failure.code, Code::Malformed);
            assert!(failure.text.contains("`name`"), "{}", failure.text);
        }
        let (key, role) = (PublicKey([9; 32]), Role::Admin);
        let add = Ask::AddOwner { key, role, name: "\u{17d}an\u{e9} B.".try_into().unwrap() };
        assert!(matches!(answer(agent, &packet(1, 9, add)), Some(Answer::Owned { .. })));
    });
}

#[test]
fn a_patch_that_does_not_fit_keeps_no_other_client_waiting() {
    agent(|agent, _| {
        let patch = Patch { base: 99, length: 1 };
        for (client, data) in [(1, &[0x07][..]), (2, &[]), (3, &[0x07])] {
            let begin = Ask::Begin {
                interface: name(),
                length: 50,
                digest: [client; 32],
                piece_size: 100,
                patch: Some(patch),
                data,
            };
            let begun = answer(agent, &packet(client, 1, begin));
            let Some(Answer::Received { stage, .. }) = begun else { panic!("{begun:?}") };
            if data.is_empty() {
                let piece = Ask::Piece { stage, index: 0, data: &[0x07] };
                answer(agent, &packet(client, 2, piece)).unwrap();
            }
            let plan = failure(answer(agent, &packet(client, 3, Ask::Plan { stage })));
            assert_eq!(plan.code, Code::Gone, "{}", plan.text);
            assert_eq!(agent.state.stage().map(|stage| stage.id), None);
        }
    });
}

/// A packet of a client that writes by itself what this version cannot say: the number of an ask and its fields.
fn raw(version: u8, ask: u8, fields: &[u8]) -> Vec<u8> {
    [&[envelope::REQUEST, version][..], &[5; 8], &[9, ask], fields].concat()
}

#[test]
fn a_client_of_tomorrow_is_understood_or_told_what_is_not() {
    agent(|agent, _| {
        // A hello may have more at its end, and any bits.
        let hello = answer(agent, &raw(HELLO_VERSION, 0, &[1, 9, 0xff, 0x7f, 1, 2, 3]));
        assert!(matches!(hello, Some(Answer::Hello(Hello { version: 1, .. }))), "{hello:?}");
        // A request that is not known has a code of its own, and its number in the text.
        for ask in [90, 99, 127] {
            let told = failure(answer(agent, &raw(VERSION, ask, &[1, 2, 3])));
            assert_eq!(told.code, Code::Unsupported);
            assert!(told.text.contains(&ask.to_string()), "{}", told.text);
        }
        // More behind a request that is known could be what matters.
        let told = failure(answer(agent, &raw(VERSION, 1, &[1])));
        assert_eq!(told.code, Code::Malformed);
        // A role that is not known.
        let told =
            failure(answer(agent, &raw(VERSION, 13, &[&[7; 32][..], &[2, 1, b'A']].concat())));
        assert!(told.code == Code::Malformed && told.text.contains("`role`"), "{told:?}");
    });
}

#[test]
fn a_name_that_no_interface_can_have_reaches_no_handler() {
    let names =
        [&b""[..], b".", b"..", b"a/b", b"a b", b"wg%d", b"a\0", b"sixteen-letters-", b"\xff"];
    let asks: [(u8, &[u8], &[u8]); 8] = [
        (2, &[], &[0; 40]),
        (7, &[], &[]),
        (10, &[], &[0]),
        (17, &[1], &[]),
        (18, &[], &[]),
        (19, &[], &[0]),
        (20, &[], &[1, 0]),
        (21, &[], &[0]),
    ];
    agent(|agent, _| {
        for name in names {
            for (ask, before, behind) in asks {
                let fields = [before, &[name.len() as u8], name, behind].concat();
                let told = failure(answer(agent, &raw(VERSION, ask, &fields)));
                assert_eq!(told.code, Code::Malformed, "{ask} {name:?}");
                assert!(told.text.contains("`interface`"), "{ask} {name:?}: {}", told.text);
            }
        }
    });
    println!("{} requests", names.len() * asks.len());
}

/// What an owner asks for in [`whatever_scratch_file_fails_the_answer_says_what_happened`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    Push,
    PushPending,
    Remove,
    Rollback,
    Repair,
    Revert,
}

/// Makes the request on a router whose scratch files fail at an access. Returns whether that access came, and the
/// state of the interface before and after, and the answer.
fn with_failing_scratch(
    wanted: Wanted,
    step: usize,
    mishap: Mishap,
) -> (bool, [String; 2], Answer<'static>, Router) {
    let mut run = super::model::Run::new(&std::rc::Rc::default(), None);
    let router = run.router.clone();
    let interface = name();
    let (reached, states, answer) = router.with(|agent| {
        agent.start();
        run.hello(agent);
        for port in [1, 2] {
            run.push(agent, 0, port, 0);
        }
        match wanted {
            Wanted::Repair => router.world.meddle("wg0", |device| device.peers.clear()),
            Wanted::Revert => drop(run.push(agent, 0, 3, 60)),
            _ => {}
        }
        let before = router.content(0);
        router.ram.mishap(step, mishap);
        let answer = match wanted {
            Wanted::Push => run.push(agent, 0, 3, 0),
            Wanted::PushPending => run.push(agent, 0, 3, 60),
            Wanted::Remove => run.ask(agent, 1, 1, Ask::Remove { interface, confirm_within: 0 }),
            Wanted::Rollback => {
                run.ask(agent, 1, 1, Ask::Rollback { interface, number: 1, confirm_within: 0 })
            }
            Wanted::Repair => run.ask(agent, 1, 1, Ask::Repair { interface, confirm_within: 0 }),
            Wanted::Revert => run.ask(agent, 1, 1, Ask::Revert),
        };
        let reached = router.ram.left().is_none();
        router.ram.mend();
        (reached, [before, router.content(0)], answer)
    });
    (reached, states, answer, router)
}

#[test]
fn whatever_scratch_file_fails_the_answer_says_what_happened() {
    use Wanted::*;
    let mut failures = 0;
    for wanted in [Push, PushPending, Remove, Rollback, Repair, Revert] {
        let never = Mishap::Fails(Errno::EIO);
        let (_, [_, after], _, done) = with_failing_scratch(wanted, usize::MAX / 2, never);
        // What the next agent applies.
        let restarted = |router: &Router| {
            router.with(|agent| agent.start());
            router.content(0)
        };
        let after_restart = restarted(&done);
        for mishap in [Mishap::Fails(Errno::EIO), Mishap::Torn(Errno::ENOSPC)] {
            for step in 0.. {
                let (reached, [before, now], answer, router) =
                    with_failing_scratch(wanted, step, mishap);
                if !reached {
                    break;
                }
                let what = format!("{wanted:?} {mishap:?} at {step}: {answer:?}");
                let stored = restarted(&router);
                match &answer {
                    Answer::Failed(failure) => {
                        failures += 1;
                        assert_ne!(failure.state, State::Partly, "{what}");
                        let waits = wanted == Revert;
                        assert_eq!(now, before, "{what}");
                        assert!(waits || wanted == Repair || stored == before, "{what}");
                    }
                    Answer::Applied(_) | Answer::Reverted { .. } => {
                        assert_eq!((now, stored), (after.clone(), after_restart.clone()), "{what}");
                    }
                    _ => panic!("{what}"),
                }
            }
        }
    }
    println!("{failures} failures");
    assert!(failures > 100, "{failures}");
}

/// The image of an interface with a peer that has a name, or an endpoint.
fn image_with_peer(endpoint: Option<&str>) -> Vec<u8> {
    let peer = config::Peer {
        public_key: PublicKey([9; 32]),
        preshared_key: None,
        endpoint: endpoint.map(|endpoint| endpoint.parse().unwrap()),
        persistent_keepalive: 0,
    };
    let host = config::Host { name: cut("vpn.example"), port: 5 };
    let mut image = image();
    image.extend(record_bytes(&config::Record::Peer(peer)));
    if endpoint.is_none() {
        image.extend(record_bytes(&config::Record::Host(host)));
    }
    image
}

/// A name whose address the kernel refuses is a fault only until it is set, or not wanted any more.
#[test]
fn the_fault_of_a_name_ends_with_the_name() {
    let address = Some("192.0.2.7:5".parse().unwrap());
    for ends in 0..3 {
        let mut run = super::model::Run::new(&std::rc::Rc::default(), None);
        let router = run.router.clone();
        router.with(|agent| {
            agent.start();
            run.hello(agent);
            run.push_image(agent, name(), &image_with_peer(None));
            router.world.incident(0, Incident::Broken(Errno::ENOMEM));
            let (number, _) = agent.next_host().unwrap();
            agent.found(number, address);
            router.world.revive();
            let status = run.status(agent);
            assert!(!status.trouble.is_empty() && status.unresolved == 1, "{}", status.trouble);
            match ends {
                0 => {
                    assert!(agent.next_host().is_none());
                    router.bench.now.set(agent.deadline().unwrap().max(60_000));
                    let (number, _) = agent.next_host().unwrap();
                    agent.found(number, address);
                }
                1 => {
                    let remove = Ask::Remove { interface: name(), confirm_within: 0 };
                    let answer = run.ask(agent, 1, 1, remove);
                    assert!(matches!(answer, Answer::Applied(_)), "{answer:?}");
                }
                _ => run.push_image(agent, name(), &image_with_peer(Some("192.0.2.7:5"))),
            }
            let status = run.status(agent);
            assert_eq!((status.trouble.as_str(), status.unresolved), ("", 0), "{ends}");
        });
    }
}

/// A name is looked up again and again.
#[test]
fn an_address_that_the_kernel_refuses_each_time_is_logged_once() {
    let mut run = super::model::Run::new(&std::rc::Rc::default(), None);
    let router = run.router.clone();
    router.with(|agent| {
        agent.start();
        run.hello(agent);
        run.push_image(agent, name(), &image_with_peer(None));
        router.world.incident(0, Incident::Broken(Errno::ENOMEM));
        for _ in 0..3 {
            let (number, _) = agent.next_host().unwrap();
            agent.found(number, Some("192.0.2.7:5".parse().unwrap()));
            router.bench.now.set(router.bench.now.get() + 60_000);
        }
        router.world.revive();
        let trouble = run.status(agent).trouble;
        let log = router.bench.log.borrow();
        assert_eq!(log.iter().filter(|line| **line == *trouble).count(), 1, "{trouble}: {log:?}");
    });
}
