//! Requests made from any bytes, through the real codec, against the whole service over a kernel and disks in memory.
//!
//! Promised: no panic; one answer to each request that was understood, to the client and number that asked; a bounded
//! number of steps with the kernel and the disks; and afterwards, ticks lead to a router that waits for nothing.

use super::*;
use crate::access::owners::{Ownership, Standing};
use crate::testing::{Drawer, FACES, Router, RouterAgent as Agent, Sent, client, image};
use proto_core::protocol::message::{Owner, Patch, Reply, Role};
use proto_core::protocol::{MAX_PACKET, digest};

/// The most steps of one request or tick: requests to the kernel, and steps of the disks.
const STEPS: u64 = 200;
/// The most steps of one with the files that end with the agent, reads among them.
const SCRATCH_STEPS: u64 = 1_000;

/// Choices from the front of an input; zeros after its end.
struct Input<'d>(&'d [u8]);

impl<'d> Input<'d> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    fn bytes(&mut self, len: usize) -> &'d [u8] {
        let (head, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        head
    }
}

/// What the clients have heard of.
#[derive(Default)]
struct Heard {
    stage: u32,
    file: u32,
    ids: [u32; 8],
    newest: u32,
    /// How many changes were applied.
    applied: u64,
}

fn ask<'a>(input: &mut Input<'a>, heard: &Heard, image: &'a [u8]) -> Ask<'a> {
    let interface = FACES[input.below(2)].parse().unwrap();
    let confirm_within = [0, 0, 5, 60, 3_600, 3_601, u16::MAX][input.below(7)];
    let near = |input: &mut Input<'_>, number: u32| match input.below(4) {
        0 => number.wrapping_add(input.byte().into()),
        _ => number,
    };
    let (stage, file) = (near(input, heard.stage), near(input, heard.file));
    let number = u32::from(input.byte() % 6);
    let key = PublicKey([input.byte() % 8; 32]);
    let name = "zoe".try_into().unwrap();
    // The committed inputs have these numbers: new ones are added at the end.
    match input.below(25) {
        0 => Ask::Hello { min: input.byte(), max: input.byte(), features: 0 },
        1 => Ask::Status,
        2 | 3 => Ask::Begin {
            interface,
            length: *[0, 1, 100, 1 << 28, u32::MAX]
                .get(input.below(25))
                .unwrap_or(&(image.len() as u32)),
            digest: if input.below(8) == 0 { [input.byte(); 32] } else { digest(image) },
            piece_size: *[40, 1, 0, 1_152, u16::MAX].get(input.below(25)).unwrap_or(&1_000),
            patch: (input.below(9) == 0)
                .then(|| Patch { base: number, length: input.byte().into() }),
            data: if input.below(5) > 0 { image } else { input.bytes(20) },
        },
        4 => Ask::Piece {
            stage,
            index: input.byte().into(),
            data: if input.below(2) == 0 { image } else { input.bytes(40) },
        },
        5 => Ask::Plan { stage },
        6 | 7 => Ask::Commit { stage, confirm_within, adopt: false },
        8 => Ask::Abort { stage },
        9 => Ask::Show { interface },
        10 => Ask::Changes { stage: if input.below(2) == 0 { 0 } else { stage } },
        11 => Ask::Read { file, offset: u32::from(input.byte()) << 3, length: u16::MAX },
        12 => Ask::Remove { interface, confirm_within },
        13 => Ask::Confirm,
        14 => Ask::Revert,
        15 => Ask::History { interface: (input.below(2) == 0).then_some(interface) },
        16 => Ask::Drift { interface },
        17 => Ask::Repair { interface, confirm_within },
        18 => Ask::Rollback { interface, number, confirm_within },
        19 => Ask::Claim { name, proof: None },
        20 if input.below(2) == 0 => Ask::AddOwner { key, role: Role::ReadOnly, name },
        20 => Ask::RemoveOwner { key },
        21 => Ask::Console { line: input.bytes(40) },
        22 => Ask::Ranges { interface, bounds: input.bytes(80) },
        23 => Ask::Owners,
        _ => Ask::Commit { stage, confirm_within, adopt: true },
    }
}

/// Sends one request, and checks what comes back.
fn request(agent: &mut Agent<'_>, input: &mut Input<'_>, heard: &mut Heard) -> &'static str {
    let image = image(input.below(2), 1 + u16::from(input.byte() % 4));
    // Mostly one client: a push takes several requests.
    let (who, nth) = if input.below(4) > 0 { (0, 0) } else { (input.below(4), input.below(2)) };
    let client = who * 2 + nth;
    let id = match input.below(5) {
        0 if heard.ids[client] > 0 => {
            heard.ids[client].saturating_sub(u32::from(input.byte() % 4)).max(1)
        }
        _ => heard.ids[client] + 1,
    };
    heard.ids[client] = heard.ids[client].max(id);
    let mut rest = Input(input.bytes(28));
    let hello = Ask::Hello { min: 1, max: 1, features: 0 };
    let ask = if id == 1 { hello } else { ask(&mut rest, heard, &image) };
    let name = answered::name(&ask);
    let version = if matches!(ask, Ask::Hello { .. }) { HELLO_VERSION } else { VERSION };
    let mut buf = [0; MAX_PACKET];
    let request = Request { client: [client as u8; 8], id, ask };
    let Ok(mut len) = envelope::write(version, &request, &mut buf) else { return "too long" };
    // Now and then something else arrives than what was written.
    let changed = input.below(6) == 0;
    if changed {
        let at = input.below(len);
        buf[at] = input.byte();
        len = len.saturating_sub(input.below(3));
    }
    let (mut keep, mut state) = (Drawer::default(), Drawer::default());
    let mut ownership = Ownership::load(&mut keep, &mut state);
    let roles = [Role::Admin, Role::Admin, Role::ReadOnly];
    for (n, role) in (1..).zip(roles) {
        let owner = Owner { key: PublicKey([n; 32]), role, name: "anne".try_into().unwrap() };
        let _ = ownership.add(agent.slot, &owner).map_err(|fault| agent.slot.take(fault));
    }
    heard.newest += u32::from(input.below(4) == 0);
    let standing = roles.get(who).map_or(Standing::Stranger, |role| Standing::Owner(*role));
    let (key, session) = (PublicKey([who as u8 + 1; 32]), (heard.newest, heard.newest));
    let mut visitor = client::visitor(key, standing, session, &mut ownership);
    let mut sent = Sent::default();
    let _ = agent.packet(&buf[..len], &mut visitor, &mut sent);
    assert!(sent.0.len() <= 1, "the clock stands still: no signs of life");
    let Some(packet) = sent.0.pop() else {
        assert!(changed || who == 3, "no answer to {name}");
        return "silence";
    };
    let (_, reply) = envelope::read::<Reply<'_>>(&packet, |_| true).expect("an answer");
    assert!(changed || (reply.client, reply.id) == (request.client, id));
    match reply.answer {
        Answer::Received { stage, .. } => heard.stage = stage,
        Answer::Ready { file, .. } => heard.file = file,
        Answer::Applied(_) => heard.applied += 1,
        _ => {}
    }
    name
}

/// What came of one input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// How many requests were made.
    pub requests: u64,
    /// How many changes were applied.
    pub applied: u64,
    /// The most steps of one request or tick with the kernel and the disks.
    pub steps: u64,
    /// The most of one with the files that end with the agent; reads are steps here.
    pub scratch: u64,
}

/// Takes any bytes, and panics when a promise is broken. If the last byte is even, another program made the interfaces.
pub fn run(data: &[u8]) -> Outcome {
    let router = Router::default();
    if data.last().is_some_and(|byte| byte & 1 == 0) {
        FACES.iter().for_each(|name| router.world.make(name, "wireguard"));
    }
    let (life, scratch) = (router.life.clone(), router.scratch.clone());
    scratch.count_reads();
    let mut outcome = Outcome::default();
    router.with(|agent| {
        agent.start();
        let (mut input, mut heard) = (Input(data), Heard::default());
        let mut bounded = |what: &mut dyn FnMut() -> &'static str| {
            let before = (life.steps(), scratch.steps());
            life.end_at(STEPS);
            scratch.end_at(SCRATCH_STEPS);
            let done = life.survive(what);
            life.spare();
            scratch.spare();
            let steps = (life.steps() - before.0, scratch.steps() - before.1);
            assert!(done.is_some(), "too many steps: {} and {}", steps.0, steps.1);
            outcome.steps = outcome.steps.max(steps.0);
            outcome.scratch = outcome.scratch.max(steps.1);
        };
        while !input.0.is_empty() {
            outcome.requests += 1;
            bounded(&mut || request(agent, &mut input, &mut heard));
            let now = &router.bench.now;
            let later = [1, 500, 6_000, 70_000].get(input.below(16)).copied();
            now.set(now.get() + later.unwrap_or(0));
            bounded(&mut || {
                agent.tick();
                "tick"
            });
        }
        for _ in 0..60 {
            let Some(due) = agent.deadline() else { break };
            router.bench.now.set(router.bench.now.get().max(due));
            bounded(&mut || {
                agent.tick();
                "tick"
            });
        }
        assert_eq!(agent.deadline(), None, "it never ends");
        outcome.applied = heard.applied;
    });
    outcome
}

/// Bytes that make one request of the first client: of which kind, with what after it, and how much later.
fn asked(kind: u8, rest: [u8; 8], later: u8) -> std::vec::Vec<u8> {
    // The image, the client, its next number.
    let mut bytes = std::vec![0, 1, 1, 1];
    // The interface, no time to confirm, what was heard of, and the numbers.
    bytes.extend([0, rest[0], 1, 1, 1, 7, kind]);
    bytes.extend(&rest[1..]);
    bytes.resize(4 + 28, 9);
    // Nothing is changed, the same session.
    bytes.extend([1, 1, later]);
    bytes
}

/// Stories to start from.
pub fn seeds() -> std::vec::Vec<(std::string::String, std::vec::Vec<u8>)> {
    const NOW: u8 = 15;
    // All of the image, its digest, pieces of 1,000 bytes, all of it at once.
    let begin = || asked(2, [0, 20, 1, 20, 1, 1, 1, 1], NOW);
    let after = |kind, confirm| asked(kind, [confirm, 1, 1, 1, 1, 1, 1, 1], NOW);
    let push = |confirm| [after(0, 0), begin(), after(5, 0), after(6, confirm)].concat();
    let mut seeds = std::vec::Vec::new();
    let mut add = |name: &str, rest: &[std::vec::Vec<u8>]| seeds.push((name.into(), rest.concat()));
    add("push", &[push(0)]);
    add(
        "push-and-look",
        &[push(0), after(1, 0), after(9, 0), after(11, 0), after(15, 0), after(16, 0)],
    );
    for (name, kind) in [("confirmed", 13), ("reverted", 14), ("again", 6), ("claimed", 19)] {
        add(name, &[push(3), after(kind, 0)]);
    }
    add("expired", &[push(3), asked(1, [0; 8], 3)]);
    // One millisecond, and the interfaces of another program.
    const FOREIGN: u8 = 16;
    add("adopted", &[after(0, 0), begin(), asked(24, [0, 1, 1, 1, 1, 1, 1, 1], FOREIGN)]);
    for (name, kind) in [
        ("removed", 12),
        ("repaired", 17),
        ("rolled-back", 18),
        ("owner", 20),
        ("console", 21),
        ("ranges", 22),
        ("owners", 23),
    ] {
        add(name, &[push(0), after(kind, 0), after(1, 0)]);
        add(&std::format!("{name}-and-confirmed"), &[push(0), after(kind, 3), after(13, 0)]);
    }
    let mut seed = 0x0123_4567_89ab_cdef;
    for n in 0..8 {
        add(&std::format!("any-{n}"), &[any(&mut seed, 1_000)]);
    }
    seeds
}

/// Bytes that look like any (xorshift64).
fn any(seed: &mut u64, len: usize) -> std::vec::Vec<u8> {
    let mut data = std::vec![0; len];
    for byte in &mut data {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *byte = (*seed >> 32) as u8;
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request that is never made is never tested.
    #[test]
    fn every_request_of_the_protocol_is_made() {
        let exists = |number: &u8| {
            let request = [&[7; 8][..], &[1, *number]].concat();
            !matches!(codec::request(&request), Err(Misread::Unknown(_)))
        };
        let (image, mut seed, mut adopts) = (image(0, 1), 1, false);
        let mut made = std::collections::BTreeSet::new();
        for _ in 0..5_000 {
            let bytes = any(&mut seed, 28);
            let ask = ask(&mut Input(&bytes), &Heard::default(), &image);
            adopts |= matches!(ask, Ask::Commit { adopt: true, .. });
            let mut buf = [0; MAX_PACKET];
            let request = Request { client: [7; 8], id: 1, ask };
            if envelope::write(VERSION, &request, &mut buf).is_ok() {
                // After the envelope, the client and the number of the request.
                made.insert(buf[2 + 8 + 1]);
            }
        }
        assert_eq!(made, (0..128).filter(exists).collect());
        assert!(adopts);
    }

    #[test]
    fn any_requests_take_a_bounded_number_of_steps_and_are_answered() {
        let inputs = std::env::var("POSTWIRE_INPUTS").map_or(1_000, |n| n.parse().unwrap());
        let mut seed = 0x0123_4567_89ab_cdef_u64;
        let mut all = Outcome::default();
        for _ in 0..inputs {
            let outcome = run(&any(&mut seed, 2_000));
            all.requests += outcome.requests;
            all.applied += outcome.applied;
            all.steps = all.steps.max(outcome.steps);
            all.scratch = all.scratch.max(outcome.scratch);
        }
        println!("{inputs} inputs: {all:?}");
        assert!(all.applied > 0 && all.steps > 20 && all.scratch > 20);
    }

    /// The committed ones, or those of another folder.
    #[test]
    fn every_input_of_the_corpus_keeps_the_promises() {
        let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/service");
        let corpus = std::env::var("POSTWIRE_CORPUS").unwrap_or_else(|_| committed.into());
        let (mut inputs, mut applied, mut steps, mut scratch) = (0, 0, 0, 0);
        for entry in std::fs::read_dir(corpus).unwrap() {
            let outcome = run(&std::fs::read(entry.unwrap().path()).unwrap());
            (inputs, applied) = (inputs + 1, applied + outcome.applied);
            (steps, scratch) = (outcome.steps.max(steps), outcome.scratch.max(scratch));
        }
        println!("{inputs} inputs, {applied} changes applied, at most {steps} and {scratch} steps");
        assert!(inputs > 0 && applied > 0);
    }

    #[test]
    fn the_stories_that_fuzzing_starts_from_get_somewhere() {
        for (name, bytes) in seeds() {
            let outcome = run(&bytes);
            println!("{name}: {outcome:?}");
            assert!(outcome.applied > 0 || name.starts_with("any"), "{name}");
        }
    }
}
