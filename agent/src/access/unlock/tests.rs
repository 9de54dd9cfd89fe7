//! Codes checked: right ones, replays, and those of the wrong router, role, owner and time.

use proptest::prelude::*;
use proto_core::key::SecretKey;
use proto_core::protocol::message::{MAX_OWNERS, Owner, OwnerName};

use super::*;
use crate::access::owners::Claimant;
use crate::fault::Slot;
use crate::testing::Drawer;

const MINUTE: u64 = 60_000;
const START: u64 = 5_000_000;
const ROUTER: u8 = 100;
const ANNE: u8 = 1;
const BEN: u8 = 2;
const STRANGER: u8 = 3;

fn key(byte: u8) -> StaticKey {
    StaticKey::new(SecretKey::new([byte; 32]))
}

fn named(text: &str) -> OwnerName {
    OwnerName::try_from(text).unwrap()
}

fn owner(byte: u8, role: Role) -> Owner {
    Owner { key: key(byte).public(), role, name: named("somebody") }
}

/// A router that belongs to Anne, an admin, and to Ben, who may look.
fn owned<'f>(keep: &'f mut Drawer, state: &'f mut Drawer) -> Ownership<'f> {
    let mut ownership = Ownership::load(keep, state);
    let claimant = Claimant {
        key: key(ANNE).public(),
        name: &named("anne"),
        wire: Wire::Serial,
        proof: None,
        handshake_hash: &[0; 32],
    };
    let slot = Slot::default();
    ownership.claim(&slot, &claimant).unwrap();
    ownership.add(&slot, &owner(BEN, Role::ReadOnly)).unwrap();
    ownership
}

fn code(owner: u8, router: u8, challenge: &Challenge, role: Role) -> String {
    let pairing = Pairing::at_office(&key(owner), &key(router).public()).unwrap();
    pairing.code(challenge, role).to_string()
}

/// A console of that router, with a challenge.
struct Console<'f> {
    unlock: Unlock,
    ownership: Ownership<'f>,
    challenge: Challenge,
}

impl<'f> Console<'f> {
    fn new(keep: &'f mut Drawer, state: &'f mut Drawer) -> Self {
        let mut unlock = Unlock::default();
        let challenge = unlock.begin(START, [7; 9]);
        Self { unlock, ownership: owned(keep, state), challenge }
    }

    fn judge(&mut self, now: u64, text: &str) -> Verdict {
        self.unlock.judge(now, text, &key(ROUTER), &mut self.ownership)
    }

    fn tick(&mut self, now: u64) -> Option<Closed> {
        self.unlock.tick(now, &mut self.ownership)
    }

    fn role(&mut self, now: u64) -> Option<Role> {
        self.unlock.standing(now, &mut self.ownership).map(|(_, role)| role)
    }

    fn good(&self, role: Role) -> String {
        code(ANNE, ROUTER, &self.challenge, role)
    }
}

macro_rules! console {
    ($console:ident) => {
        let (mut keep, mut state) = (Drawer::default(), Drawer::default());
        let mut $console = Console::new(&mut keep, &mut state);
    };
}

#[test]
fn a_right_code_opens_for_ten_minutes_with_the_role_it_was_made_for() {
    for (by, made, wanted) in [
        (ANNE, Role::Admin, Some(Role::Admin)),
        (ANNE, Role::ReadOnly, Some(Role::ReadOnly)),
        (BEN, Role::ReadOnly, Some(Role::ReadOnly)),
        (BEN, Role::Admin, None),
        (STRANGER, Role::Admin, None),
    ] {
        console!(console);
        assert_eq!(console.role(START), None);
        let text = code(by, ROUTER, &console.challenge, made);
        let verdict = console.judge(START, &text.to_lowercase().replace('-', " "));
        assert_eq!(console.role(START), wanted, "{verdict:?}");
        let opened = wanted.map(|role| Verdict::Opened { owner: key(by).public(), role });
        match (by, opened) {
            (_, Some(opened)) => assert_eq!(verdict, opened),
            (BEN, None) => assert_eq!(verdict, Verdict::MayOnlyLook),
            _ => assert_eq!(verdict, Verdict::Wrong(1)),
        }
        if wanted.is_none() {
            continue;
        }
        for minute in 1..10 {
            console.unlock.typed(START + minute * MINUTE);
            assert_eq!(console.role(START + minute * MINUTE), wanted);
        }
        assert_eq!(console.unlock.deadline(), Some(START + OPEN));
        assert_eq!(console.tick(START + OPEN - 1), None);
        assert_eq!(console.tick(START + OPEN), Some(Closed::Time));
        assert_eq!((console.role(START + OPEN), console.unlock.deadline()), (None, None));
    }
}

#[test]
fn a_quiet_line_and_a_hang_up_close_the_console() {
    console!(console);
    let text = console.good(Role::Admin);
    console.judge(START, &text);
    console.unlock.typed(START + MINUTE);
    let quiet = START + MINUTE + QUIET;
    assert_eq!(console.role(quiet - 1), Some(Role::Admin));
    // A key press that comes too late does not reopen it.
    console.unlock.typed(quiet);
    assert_eq!(console.role(quiet), None);

    console!(console);
    console.judge(START, &text);
    console.unlock.lock();
    assert_eq!(console.role(START), None);
    assert_eq!(console.judge(START, &text), Verdict::NoChallenge, "used");
}

#[test]
fn a_code_is_useless_twice_and_for_another_challenge_or_router() {
    console!(console);
    let text = console.good(Role::Admin);
    assert!(matches!(console.judge(START, &text), Verdict::Opened { .. }));
    assert_eq!(console.judge(START, &text), Verdict::NoChallenge);
    let next = console.unlock.begin(START + 1, [8; 9]);
    assert_ne!(next, console.challenge);
    assert_eq!(console.judge(START + 1, &text), Verdict::Wrong(1));
    let elsewhere = code(ANNE, ROUTER + 1, &next, Role::Admin);
    assert_eq!(console.judge(START + 1_001, &elsewhere), Verdict::Wrong(2));
    // A code of the other role is another code.
    let right = [Role::Admin, Role::ReadOnly].map(|role| code(ANNE, ROUTER, &next, role));
    assert_ne!(right[0], right[1]);
    assert!(matches!(console.judge(START + 3_001, &right[0]), Verdict::Opened { .. }));
}

#[test]
fn a_challenge_stays_while_it_is_good_and_is_too_old_after() {
    console!(console);
    let text = console.good(Role::Admin);
    let end = START + CHALLENGE_LIFE;
    assert_eq!(console.unlock.begin(end - 1, [9; 9]), console.challenge);
    assert_eq!(console.judge(end, &text), Verdict::TooOld);
    assert_eq!(console.judge(end, &text), Verdict::NoChallenge);
    assert_ne!(console.unlock.begin(end, [9; 9]), console.challenge);

    console!(console);
    assert!(matches!(console.judge(end - 1, &text), Verdict::Opened { .. }));
    assert_eq!(Unlock::default().judge(0, &text, &key(ROUTER), &mut console.ownership), {
        Verdict::NoChallenge
    });
}

#[test]
fn who_was_removed_or_may_do_less_loses_it_at_once() {
    console!(console);
    let slot = Slot::default();
    let text = console.good(Role::Admin);
    console.judge(START, &text);
    console.ownership.add(&slot, &owner(BEN, Role::Admin)).unwrap();
    console.ownership.add(&slot, &owner(ANNE, Role::ReadOnly)).unwrap();
    assert_eq!(console.role(START), Some(Role::ReadOnly));
    console.ownership.remove(&slot, &key(ANNE).public()).unwrap();
    assert_eq!(console.role(START), None);
    // It does not come back with the owner.
    console.ownership.add(&slot, &owner(ANNE, Role::Admin)).unwrap();
    assert_eq!(console.role(START), None);

    // Removed between challenge and code, also by another process.
    console!(console);
    let text = console.good(Role::Admin);
    console.ownership.add(&slot, &owner(BEN, Role::Admin)).unwrap();
    console.ownership.remove(&slot, &key(ANNE).public()).unwrap();
    assert_eq!(console.judge(START, &text), Verdict::Wrong(1));
}

/// A shell on the console runs no command of the console that would find out.
#[test]
fn a_tick_closes_the_console_of_an_owner_who_was_removed_or_may_do_less() {
    for removed in [true, false] {
        console!(console);
        let slot = Slot::default();
        let text = console.good(Role::Admin);
        console.judge(START, &text);
        console.ownership.add(&slot, &owner(BEN, Role::Admin)).unwrap();
        assert_eq!(console.tick(START), None);
        match removed {
            true => console.ownership.remove(&slot, &key(ANNE).public()).map(drop).unwrap(),
            false => console.ownership.add(&slot, &owner(ANNE, Role::ReadOnly)).map(drop).unwrap(),
        }
        assert_eq!(console.tick(START), Some(Closed::Gone));
        assert_eq!((console.tick(START), console.role(START)), (None, None));
    }
}

#[test]
fn a_router_that_nobody_owns_takes_no_code() {
    let (mut keep, mut state) = (Drawer::default(), Drawer::default());
    let mut ownership = Ownership::load(&mut keep, &mut state);
    let mut unlock = Unlock::default();
    let challenge = unlock.begin(START, [7; 9]);
    let text = code(ANNE, ROUTER, &challenge, Role::Admin);
    assert_eq!(unlock.judge(START, &text, &key(ROUTER), &mut ownership), Verdict::Wrong(1));
}

#[test]
fn every_one_of_sixteen_owners_gets_in() {
    console!(console);
    let slot = Slot::default();
    for byte in 10..10 + u8::try_from(MAX_OWNERS).unwrap() - 2 {
        console.ownership.add(&slot, &owner(byte, Role::Admin)).unwrap();
    }
    assert_eq!(usize::from(console.ownership.len()), MAX_OWNERS);
    for (now, owner) in (START..).zip(console.ownership.owners().clone()) {
        let byte = (0..=255).find(|byte| key(*byte).public() == owner.key).unwrap();
        let challenge = console.unlock.begin(now, [byte; 9]);
        let text = code(byte, ROUTER, &challenge, owner.role);
        let opened = Verdict::Opened { owner: owner.key, role: owner.role };
        assert_eq!(console.judge(now, &text), opened);
    }
}

#[test]
fn a_typo_is_no_guess_and_never_waits() {
    console!(console);
    let text = console.good(Role::Admin);
    let mut typos = 0;
    for (at, old) in text.char_indices().filter(|(_, c)| *c != '-') {
        for new in "0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars().filter(|new| *new != old) {
            let typed = format!("{}{new}{}", &text[..at], &text[at + 1..]);
            let group = u8::try_from(at / 5 + 1).unwrap();
            let verdict = Verdict::Misread(SpokenError::Typo { group });
            assert_eq!(console.judge(START, &typed), verdict, "{typed}");
            typos += 1;
        }
    }
    assert!(matches!(console.judge(START, &text), Verdict::Opened { .. }), "{typos} typos before");
}

/// Guesses at the full speed of a line of this many baud for so long. Returns the number of checked
/// codes.
fn guess(console: &mut Console<'_>, baud: u64, time: u64) -> u64 {
    let (mut judged, mut sent) = (0, 0_u64);
    // A code of 16 symbols and a line end.
    let every = 17 * 10 * 1_000_000 / baud;
    // A valid code of another owner, different each time.
    let wrong = (0..64).map(|byte| code(STRANGER, ROUTER, &Challenge::new([byte; 9]), Role::Admin));
    let wrong: Vec<String> = wrong.collect();
    let mut at = 0;
    while at < time * 1_000 {
        let now = START + at / 1_000;
        let text = &wrong[usize::try_from(sent % 64).unwrap()];
        match console.judge(now, text) {
            Verdict::Wrong(wait) => {
                judged += 1;
                assert!(wait * 1_000 <= LONGEST_WAIT);
            }
            Verdict::Wait(wait) => assert!((1..=LONGEST_WAIT / 1_000).contains(&wait)),
            other => panic!("{other:?}"),
        }
        assert!(!console.unlock.is_open());
        // The first verdict of each wait is the same as all others: skip to the next millisecond.
        at += every.max(1_000);
        sent += (every.max(1_000) / every).max(1);
    }
    println!("{sent} codes in {} s at {baud} baud, {judged} of them judged", time / 1_000);
    judged
}

#[test]
fn guessing_at_full_speed_for_a_minute_is_judged_six_times_and_locks_nobody_out() {
    for baud in [9_600, 115_200, 921_600] {
        console!(console);
        assert_eq!(guess(&mut console, baud, MINUTE), 6);
        // The owner gets in half a minute later at most.
        let text = console.good(Role::Admin);
        let now = START + MINUTE + LONGEST_WAIT;
        assert!(matches!(console.judge(now, &text), Verdict::Opened { .. }));
        // And does not wait because of another person's codes.
        let challenge = console.unlock.begin(now, [9; 9]);
        let other = code(ANNE, ROUTER + 1, &challenge, Role::Admin);
        assert_eq!(console.judge(now, &other), Verdict::Wrong(1));
    }
}

#[test]
fn waits_are_not_forgiven_by_a_hang_up_or_a_new_challenge() {
    console!(console);
    for wait in [1, 2, 4, 8, 16, 30, 30] {
        console.unlock.lock();
        console.unlock.begin(console.unlock.next + CHALLENGE_LIFE, [wait; 9]);
        let now = console.unlock.next + CHALLENGE_LIFE;
        let text = code(STRANGER, ROUTER, &console.challenge, Role::Admin);
        assert_eq!(console.judge(now, &text), Verdict::Wrong(wait.into()));
        assert_eq!(console.judge(now + 1, &text), Verdict::Wait(wait.into()));
    }
}

proptest! {
    /// Whatever is typed at any time: the console is open only within ten minutes of a right code
    /// for the present challenge, and a tick reports once that its time is over.
    #[test]
    fn it_is_open_only_after_a_right_code(
        steps in prop::collection::vec((0..8_u8, 0..4 * MINUTE), 1..60),
    ) {
        console!(console);
        let (mut now, mut opened, mut typed) = (START, None::<u64>, START);
        let mut challenge = console.challenge;
        let (mut used, mut unreported) = (false, false);
        for (what, pause) in steps {
            now += pause;
            let is_open = |opened: Option<u64>, typed: u64| {
                opened.is_some_and(|at| now - at < OPEN && now - typed < QUIET)
            };
            if !is_open(opened, typed) {
                unreported |= opened.take().is_some();
            }
            match what {
                0 => {
                    challenge = console.unlock.begin(now, now.to_be_bytes().map(|b| b ^ 0x55)[..]
                        .iter().copied().chain([1]).collect::<Vec<_>>().try_into().unwrap());
                    used = false;
                }
                1 => {
                    prop_assert_eq!(console.tick(now).is_some(), unreported);
                    unreported = false;
                }
                2 => { console.unlock.typed(now); typed = now; }
                3 => {
                    console.unlock.lock();
                    (opened, unreported) = (None, false);
                }
                4 => {
                    let text = code(STRANGER, ROUTER, &challenge, Role::Admin);
                    let verdict = console.judge(now, &text);
                    let is_opened = matches!(verdict, Verdict::Opened { .. });
                    prop_assert!(!is_opened);
                }
                _ => {
                    let text = code(ANNE, ROUTER, &challenge, Role::Admin);
                    if let Verdict::Opened { .. } = console.judge(now, &text) {
                        prop_assert!(!used);
                        (opened, typed, used) = (Some(now), now, true);
                        unreported = false;
                    }
                }
            }
            prop_assert_eq!(console.role(now), opened.map(|_| Role::Admin), "{} {}", what, now);
        }
    }
}
