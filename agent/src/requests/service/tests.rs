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

mod access;
mod names;
mod scratch;
mod versions;

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
