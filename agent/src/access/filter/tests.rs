//! The program against what it stands for: a small interpreter runs it over datagrams of all kinds.

use std::cell::Cell;
use std::vec::Vec;

use super::*;
use proptest::prelude::*;

/// A datagram as the kernel's filter sees it: headers of the network layer, then UDP.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) v4: bool,
    /// Of IPv4 only the first word counts.
    pub(crate) source: [u32; 4],
    pub(crate) port: u16,
    /// What the socket reads.
    pub(crate) payload: Vec<u8>,
    /// How many options the IPv4 header has.
    pub(crate) options: usize,
}

impl Datagram {
    fn network(&self) -> Vec<u8> {
        let mut head = vec![0; if self.v4 { 20 + 4 * self.options } else { 40 }];
        head[0] = if self.v4 { 0x45 + self.options as u8 } else { 0x60 };
        let source: Vec<u8> = self.source.iter().flat_map(|word| word.to_be_bytes()).collect();
        let (at, len) = if self.v4 { (12, 4) } else { (8, 16) };
        head[at..at + len].copy_from_slice(&source[..len]);
        head
    }

    fn words(&self) -> Vec<u32> {
        let len = if self.v4 { 1 } else { 4 };
        [&self.source[..len], &[self.port.into()]].concat()
    }

    fn origin(&self) -> Origin {
        let [high, low, ..] = self.source;
        Origin { v4: self.v4, net: [high, if self.v4 { 0 } else { low }] }
    }
}

/// What the kernel does with a datagram, when its random number is this: whether it passes.
pub(crate) fn passes(program: &[Instruction], datagram: &Datagram, random: u32) -> bool {
    let network = datagram.network();
    let len = datagram.payload.len() + 8;
    let mut data = datagram.port.to_be_bytes().to_vec();
    data.extend([0x14, 0x3e]);
    data.extend((len as u16).to_be_bytes());
    data.extend([0xaa, 0xbb]);
    data.extend(&datagram.payload);
    let (mut a, mut x, mut memory) = (0_u32, 0_u32, [None; 16]);
    let mut at = 0;
    loop {
        // Only forward, and never behind the end.
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let mut branch = |condition| at += usize::from(if condition { jt } else { jf });
        let load = |size: usize| {
            let (bytes, at) = match k {
                RANDOM => return Some(random),
                _ if k >= NET => (&network, (k - NET) as usize),
                _ => (&data, k as usize),
            };
            let found = bytes.get(at..at + size)?;
            Some(found.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)))
        };
        match code {
            LD_W_ABS | LD_H_ABS | LD_B_ABS => {
                let size = [(LD_W_ABS, 4), (LD_H_ABS, 2), (LD_B_ABS, 1)];
                let size = size.iter().find(|(of, _)| *of == code).unwrap().1;
                // Behind the end, the kernel drops it.
                let Some(loaded) = load(size) else { return false };
                a = loaded;
            }
            LD_LEN => a = data.len() as u32,
            LD_IMM => a = k,
            LDX_MEM => x = memory[k as usize].expect("written before it is read"),
            ST => memory[k as usize] = Some(a),
            AND_K => a &= k,
            OR_K => a |= k,
            RSH_K => a >>= k,
            MUL_X => a = a.wrapping_mul(x),
            XOR_X => a ^= x,
            TAX => x = a,
            JA => at += k as usize,
            JEQ => branch(a == k),
            JGT => branch(a > k),
            JGE => branch(a >= k),
            JSET => branch(a & k != 0),
            RET => return k != 0,
            _ => panic!("an instruction of no meaning: {code:#x}"),
        }
    }
}

/// What the kernel checks before it takes a program (`bpf_check_classic`).
fn is_sound(program: &[Instruction]) {
    assert!(program.len() <= 4_096);
    assert_eq!(program.last().unwrap().code, RET);
    for (at, op) in program.iter().enumerate() {
        let farthest = match op.code {
            JA => op.k as usize,
            JEQ | JGT | JGE | JSET => op.jt.max(op.jf).into(),
            ST | LDX_MEM => {
                assert!(op.k < 16);
                0
            }
            _ => 0,
        };
        assert!(at + 1 + farthest < program.len() || op.code == RET, "at {at}");
    }
}

/// What should pass, in words.
fn should_pass(rules: &Rules<'_>, datagram: &Datagram, random: u32) -> bool {
    let payload = &datagram.payload;
    let Some([kind, version]) = payload.first_chunk() else { return false };
    let exactly = |len: usize| payload.len() == len + CRC_LEN;
    let bare = || {
        !rules.denied[0].contains(&datagram.origin())
            && (rules.friends.contains(&datagram.origin()) || random <= rules.keep[0])
    };
    match (*kind, *version) {
        (TO_ROUTER, SESSION_VERSION) => {
            let receiver =
                payload.get(2..6).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()));
            payload.len() >= OVERHEAD + CRC_LEN
                && receiver.is_some_and(|receiver| rules.sessions.contains(&receiver))
        }
        (SEEK, SESSION_VERSION) => rules.seek && exactly(SEEK_LEN) && bare(),
        (INITIATION, SESSION_VERSION) if exactly(INITIATION_LEN) => {
            match u32::from_be_bytes(payload[TOKEN_AT..][..4].try_into().unwrap()) {
                0 => bare(),
                token => {
                    let key = rules.tokens[token as usize & 1];
                    token == key.token(&datagram.words(), token & 1 == 1)
                        && !rules.denied[1].contains(&datagram.origin())
                        && random <= rules.keep[1]
                }
            }
        }
        _ => false,
    }
}

/// One of a few addresses, so that rules and datagrams meet.
fn origin() -> impl Strategy<Value = Origin> {
    (any::<bool>(), 0..3_u32, 0..2_u32)
        .prop_map(|(v4, high, low)| Origin { v4, net: [high, if v4 { 0 } else { low }] })
}

fn datagram(tokens: [TokenKey; 2]) -> impl Strategy<Value = Datagram> {
    let lengths = prop_oneof![
        Just(INITIATION_LEN + CRC_LEN),
        Just(SEEK_LEN + CRC_LEN),
        0..60_usize,
        140..150_usize,
        Just(1_200),
    ];
    let kind =
        prop_oneof![3 => Just(INITIATION), 2 => Just(TO_ROUTER), 1 => Just(SEEK), 1 => 0..12_u8];
    let place = (origin(), 0..2_u32, 0..3_u16, 0..3_usize);
    (place, kind, 0..8_u8, lengths, 0..3_u32, 0..6_u8).prop_map(
        move |((origin, rest, port, options), kind, version, len, receiver, token)| {
            let [high, low] = origin.net;
            let mut datagram = Datagram {
                v4: origin.v4,
                source: [high, low, rest, 0],
                port,
                payload: (0..len).map(|n| n as u8).collect(),
                options,
            };
            let words = datagram.words();
            let token = match token {
                0 => 0,
                1 => 12_345,
                2 | 3 => tokens[0].token(&words, false),
                _ => tokens[1].token(&words, true),
            };
            let version = if version == 0 { 0 } else { SESSION_VERSION };
            let mut put = |at: usize, bytes: &[u8]| {
                bytes
                    .iter()
                    .zip(datagram.payload.iter_mut().skip(at))
                    .for_each(|(from, to)| *to = *from);
            };
            put(0, &[kind, version]);
            put(2, &receiver.to_le_bytes());
            if kind == INITIATION {
                put(TOKEN_AT, &token.to_be_bytes());
            }
            datagram
        },
    )
}

const TOKENS: [TokenKey; 2] = [TokenKey([0x1234_5678, 0x9abc_def0]), TokenKey([77, 99])];

#[test]
fn the_program_passes_what_it_should_and_nothing_else() {
    let cases = 20_000;
    let mut runner = proptest::test_runner::TestRunner::new_with_rng(
        ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() },
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let origins = || prop::collection::vec(origin(), 0..5);
    let keep = || prop_oneof![Just(u32::MAX), Just(0), Just(1_u32 << 31)];
    let rules = (
        (prop::collection::vec(0..3_u32, 0..4), any::<bool>()),
        (origins(), origins(), origins()),
        [keep(), keep()],
    );
    let random = prop_oneof![Just(0), Just(u32::MAX), any::<u32>()];
    let (passed, dropped) = (Cell::new(0), Cell::new(0));
    let outcome = runner.run(&(rules, datagram(TOKENS), random), |(rules, datagram, random)| {
        let ((sessions, seek), (bare, proven, friends), keep) = &rules;
        let denied = [bare.as_slice(), proven.as_slice()];
        let rules = Rules { sessions, seek: *seek, tokens: TOKENS, denied, friends, keep: *keep };
        let program = rules.program().unwrap();
        is_sound(&program);
        let should = should_pass(&rules, &datagram, random);
        prop_assert_eq!(passes(&program, &datagram, random), should);
        let count = if should { &passed } else { &dropped };
        count.set(count.get() + 1);
        Ok(())
    });
    outcome.unwrap();
    let (passed, dropped) = (passed.get(), dropped.get());
    println!("{cases} datagrams: {passed} passed and {dropped} dropped, as they should");
    assert!(passed > cases / 10 && dropped > cases / 10);
}

#[test]
fn the_longest_program_has_room() {
    let origins: Vec<Origin> = (0..16).map(|n| Origin { v4: false, net: [n, n] }).collect();
    let sessions: Vec<u32> = (0..crate::access::door::MOST_SESSIONS as u32).collect();
    let rules = Rules {
        sessions: &sessions,
        seek: true,
        tokens: TOKENS,
        denied: [&origins, &origins],
        friends: &origins[..8],
        keep: [7, 7],
    };
    let program = rules.program().unwrap();
    is_sound(&program);
    println!("{} of {MAX_PROGRAM} instructions", program.len());
    let more: Vec<u32> = (0..500).collect();
    assert!(Rules { sessions: &more, ..rules }.program().is_none());
}
