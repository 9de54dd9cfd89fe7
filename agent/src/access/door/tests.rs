//! Packets of strangers, owners and replayers, over files in memory and a kernel that follows a script.

use super::*;
use crate::access::filter::tests::{Datagram, passes};
use crate::access::owners;
use crate::testing::{Bench, Drawer, Sent, Wire as KernelSocket, with_agent};
use proto_core::key::SecretKey;
use proto_core::protocol::envelope::{self, HELLO_VERSION};
use proto_core::protocol::message::{Answer, Ask, Code, Failure, OwnerName, Reply, Request, Role};
use proto_core::protocol::session::{
    COOKIE, Cookie, FOUND, Initiator, LabelKey, RESPONSE, STAMP, TOKEN_AT, found, seek,
};
use proto_core::protocol::{MAX_OUTER, VERSION};
use std::vec::Vec;

type Agent<'b> = Door<'b, (KernelSocket, Drawer, Bench)>;

const UDP: Source = Source {
    wire: Wire::Udp,
    address: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1, 1, 2],
};

/// The files of a router that outlive the agent.
#[derive(Default)]
struct Router {
    keep: Drawer,
    state: Drawer,
    bench: Bench,
    label: Option<LabelKey>,
}

impl Router {
    fn owned_by(client: &Client) -> Self {
        let mut router = Self::default();
        router.bench.now.set(1_000_000);
        owners::reset(&mut router.keep, Some(client.key.public())).unwrap();
        router
    }

    fn unclaimed(label: Option<&str>) -> Self {
        let router = Self { label: label.and_then(LabelKey::of), ..Self::default() };
        router.bench.now.set(1_000_000);
        router
    }

    /// Starts the agent, and runs a test with it.
    fn agent<T>(&mut self, test: impl FnOnce(&mut Agent<'_>, &Bench) -> T) -> T {
        let Self { keep, state, bench, label } = self;
        let folders = (keep.clone(), state.clone());
        let bench = &*bench;
        let identity = crate::access::identity::load(keep, bench).unwrap();
        with_agent(bench, folders, |service| {
            let mut ownership = Ownership::load(&mut *keep, &mut *state);
            if let Some(label) = label.clone() {
                ownership.set_label(label);
            }
            let mut door = Door::new(service, ownership);
            door.identify(identity);
            test(&mut door, bench)
        })
    }
}

/// A client of the tests.
struct Client {
    key: StaticKey,
    stamp: u64,
    id: u32,
}

fn router_key(agent: &Agent<'_>) -> PublicKey {
    agent.identity.as_ref().unwrap().0.public()
}

/// A wire with the kernel's filter in front of it.
struct Sifted<'b> {
    sent: Sent,
    bench: &'b Bench,
}

impl Outlet for Sifted<'_> {
    fn send(&mut self, packet: &mut [u8; SCRATCH], len: usize) {
        self.sent.send(packet, len);
    }

    fn in_flight(&self) -> u32 {
        self.sent.in_flight()
    }

    fn from(&self) -> &dyn fmt::Display {
        self.sent.from()
    }

    fn sift(&mut self, filter: Option<&Program>) {
        self.bench.filter.replace(filter.cloned());
    }
}

/// Whether the kernel lets a packet through to the agent, when its random number is `random`.
fn gets_in(bench: &Bench, packet: &[u8], source: &Source, random: u32) -> bool {
    let words: Vec<u32> = source.address[..16]
        .chunks(4)
        .map(|word| u32::from_be_bytes(word.try_into().unwrap()))
        .collect();
    let v4 = words[..3] == [0, 0, 0xffff];
    let source_words = if v4 { [words[3], 0, 0, 0] } else { words.try_into().unwrap() };
    let datagram = Datagram {
        v4,
        source: source_words,
        port: u16::from_be_bytes([source.address[16], source.address[17]]),
        payload: [packet, &[0; 4]].concat(),
        options: 0,
    };
    bench.filter.borrow().as_ref().is_none_or(|filter| passes(filter, &datagram, random))
}

/// What a packet is answered with, if at all. The filter never keeps out what is answered, whatever the test.
fn reply(agent: &mut Agent<'_>, packet: &[u8], source: &Source) -> Option<Vec<u8>> {
    let bench = agent.machine();
    let gets_in = source.wire == Wire::Serial || gets_in(bench, packet, source, 0);
    let mut wire = Sifted { sent: Sent::default(), bench };
    agent.packet(packet, source, &mut wire);
    let mut sent = wire.sent.0;
    assert!(sent.len() <= 1);
    agent.sift(&mut |filter| drop(bench.filter.replace(filter.cloned())));
    assert!(gets_in || sent.is_empty(), "the kernel's filter dropped what the agent answers");
    sent.pop()
}

impl Client {
    fn new(n: u8) -> Self {
        Self { key: StaticKey::new(SecretKey::new([n; 32])), stamp: 0, id: 0 }
    }

    fn initiate(
        &mut self,
        agent: &Agent<'_>,
        source: &Source,
        cookie: Option<&Cookie>,
    ) -> (Vec<u8>, Initiator) {
        self.stamp += 1;
        let mut buf = [0; MAX_OUTER];
        let ephemeral = SecretKey::new([self.stamp as u8 | 0x40; 32]);
        let router = router_key(agent);
        let begun = Initiator::begin(
            &self.key,
            &router,
            source.wire,
            77,
            self.stamp,
            &ephemeral,
            cookie,
            &mut buf,
        );
        let (len, initiator) = begun.unwrap();
        (buf[..len].to_vec(), initiator)
    }

    /// Opens a session, if the router lets it.
    fn open(&mut self, agent: &mut Agent<'_>, source: &Source) -> Option<Channel> {
        let (initiation, mut initiator) = self.initiate(agent, source, None);
        let response = reply(agent, &initiation, source)?;
        assert!(response.len() < initiation.len());
        initiator.response(&response)
    }

    fn request(&mut self, channel: &mut Channel, ask: Ask<'_>) -> Vec<u8> {
        self.id += 1;
        let version = if matches!(ask, Ask::Hello { .. }) { HELLO_VERSION } else { VERSION };
        let (mut plain, mut packet) = ([0; MAX_PACKET], [0; MAX_OUTER]);
        let request = Request { client: [9; 8], id: self.id, ask };
        let len = envelope::write(version, &request, &mut plain).unwrap();
        let len = channel.seal(&plain[..len], &mut packet).unwrap();
        packet[..len].to_vec()
    }

    fn ask(
        &mut self,
        agent: &mut Agent<'_>,
        channel: &mut Channel,
        source: &Source,
        ask: Ask<'_>,
    ) -> Option<Answer<'static>> {
        if self.id == 0 {
            let hello = self.request(channel, Ask::Hello { min: 1, max: 1, features: 0 });
            reply(agent, &hello, source)?;
        }
        let request = self.request(channel, ask);
        let reply = reply(agent, &request, source)?;
        read(channel, &reply)
    }
}

fn read(channel: &mut Channel, packet: &[u8]) -> Option<Answer<'static>> {
    let mut plain = [0; MAX_PACKET];
    let len = channel.open(packet, &mut plain)?;
    let plain = plain[..len].to_vec().leak();
    let (_, reply) = envelope::read::<Reply<'_>>(plain, |_| true).unwrap();
    Some(reply.answer)
}

fn code(answer: Option<Answer<'_>>) -> Option<Code> {
    match answer {
        Some(Answer::Failed(Failure { code, .. })) => Some(code),
        Some(_) => None,
        None => panic!("no answer"),
    }
}

fn claim(proof: Option<[u8; 32]>) -> Ask<'static> {
    Ask::Claim { name: OwnerName::try_from("anne").unwrap(), proof }
}

#[test]
fn an_owner_is_answered_on_both_wires() {
    let mut anne = Client::new(1);
    Router::owned_by(&anne).agent(|agent, _| {
        for source in [UDP, Source::SERIAL] {
            let mut channel = anne.open(agent, &source).unwrap();
            let answer =
                anne.ask(agent, &mut channel, &source, Ask::Hello { min: 1, max: 1, features: 0 });
            assert!(matches!(answer, Some(Answer::Hello(_))), "{answer:?}");
        }
    });
}

#[test]
fn strangers_hear_nothing() {
    let (anne, mut ben) = (Client::new(1), Client::new(2));
    Router::owned_by(&anne).agent(|agent, _| {
        for source in [UDP, Source::SERIAL] {
            assert!(ben.open(agent, &source).is_none(), "not an owner");
            let mut packet = [0; MAX_OUTER];
            let len = seek(&[3; 16], None, &mut packet).unwrap();
            assert_eq!(reply(agent, &packet[..len], &source), None, "somebody owns it");
            let mut plain = [0; MAX_PACKET];
            let request =
                Request { client: [9; 8], id: 1, ask: Ask::Hello { min: 1, max: 1, features: 0 } };
            let len = envelope::write(HELLO_VERSION, &request, &mut plain).unwrap();
            assert_eq!(reply(agent, &plain[..len], &source), None, "outside of a session");
            for kind in 0..=255 {
                assert_eq!(reply(agent, &[kind; 142], &source), None);
            }
            assert_eq!(reply(agent, &[], &source), None);
        }
    });
}

#[test]
fn a_session_of_one_wire_is_none_on_the_other() {
    let mut anne = Client::new(1);
    Router::owned_by(&anne).agent(|agent, _| {
        let mut channel = anne.open(agent, &UDP).unwrap();
        let request = anne.request(&mut channel, Ask::Status);
        assert_eq!(reply(agent, &request, &Source::SERIAL), None);
        assert!(reply(agent, &request, &UDP).is_some());
        let (initiation, _) = anne.initiate(agent, &UDP, None);
        assert_eq!(reply(agent, &initiation, &Source::SERIAL), None);
    });
}

#[test]
fn what_was_recorded_gets_no_answer_also_after_a_restart() {
    let mut anne = Client::new(1);
    let mut router = Router::owned_by(&anne);
    let recorded = router.agent(|agent, _| {
        let (initiation, mut initiator) = anne.initiate(agent, &UDP, None);
        let response = reply(agent, &initiation, &UDP).unwrap();
        let mut channel = initiator.response(&response).unwrap();
        let mut recorded = vec![initiation, response];
        for _ in 0..3 {
            let request = anne.request(&mut channel, Ask::Status);
            recorded.push(reply(agent, &request, &UDP).unwrap());
            recorded.push(request);
        }
        for packet in recorded.iter().chain(recorded.iter().rev()) {
            assert_eq!(reply(agent, packet, &UDP), None);
        }
        assert!(anne.ask(agent, &mut channel, &UDP, Ask::Status).is_some(), "it still works");
        recorded
    });
    router.agent(|agent, _| {
        for packet in recorded.iter().chain(recorded.iter().rev()) {
            assert_eq!(reply(agent, packet, &UDP), None, "after a restart");
        }
        assert!(anne.open(agent, &UDP).is_some());
    });
}

#[test]
fn a_handshake_does_not_disturb_the_session_in_use() {
    let mut anne = Client::new(1);
    Router::owned_by(&anne).agent(|agent, _| {
        let mut channel = anne.open(agent, &Source::SERIAL).unwrap();
        assert!(anne.ask(agent, &mut channel, &Source::SERIAL, Ask::Status).is_some());
        // Far more than there is room for, and none of them ever says a word.
        for _ in 0..50 {
            anne.open(agent, &Source::SERIAL).unwrap();
        }
        assert!(anne.ask(agent, &mut channel, &Source::SERIAL, Ask::Status).is_some());
    });
}

#[test]
fn the_session_that_was_quiet_longest_leaves_first() {
    let mut anne = Client::new(1);
    Router::owned_by(&anne).agent(|agent, bench| {
        let mut channels: Vec<Channel> = Vec::new();
        for n in 0..=SESSIONS as u64 {
            bench.now.set(1_000_000 + n);
            let mut channel = anne.open(agent, &Source::SERIAL).unwrap();
            assert!(anne.ask(agent, &mut channel, &Source::SERIAL, Ask::Status).is_some());
            channels.push(channel);
        }
        let answered: Vec<bool> = channels
            .iter_mut()
            .map(|channel| anne.ask(agent, channel, &Source::SERIAL, Ask::Status).is_some())
            .collect();
        assert!(!answered[0] && answered[1..].iter().all(|answered| *answered), "{answered:?}");
    });
}

#[test]
fn a_session_ends() {
    let mut anne = Client::new(1);
    Router::owned_by(&anne).agent(|agent, bench| {
        let mut channel = anne.open(agent, &UDP).unwrap();
        bench.now.set(1_000_000 + SESSION_LIFE - 1);
        assert!(anne.ask(agent, &mut channel, &UDP, Ask::Status).is_some());
        bench.now.set(1_000_000 + SESSION_LIFE);
        assert!(anne.ask(agent, &mut channel, &UDP, Ask::Status).is_none());
    });
}

#[test]
fn a_request_is_done_once_also_across_sessions() {
    let mut anne = Client::new(1);
    Router::owned_by(&anne).agent(|agent, _| {
        let mut first = anne.open(agent, &UDP).unwrap();
        let key = PublicKey([7; 32]);
        let remove = Ask::RemoveOwner { key };
        let name = OwnerName::try_from("ben").unwrap();
        let add = Ask::AddOwner { key, role: Role::ReadOnly, name };
        assert!(matches!(
            anne.ask(agent, &mut first, &UDP, add),
            Some(Answer::Owned { owners: 2 })
        ));
        let removed = anne.ask(agent, &mut first, &UDP, remove.clone());
        assert!(matches!(removed, Some(Answer::Owned { owners: 1 })), "{removed:?}");
        let mut second = anne.open(agent, &UDP).unwrap();
        anne.id -= 1;
        let again = anne.ask(agent, &mut second, &UDP, remove.clone());
        assert!(matches!(again, Some(Answer::Owned { owners: 1 })), "{again:?}");
        let anew = anne.ask(agent, &mut second, &UDP, remove);
        assert_eq!(code(anew), Some(Code::NoOwner));
    });
}

#[test]
fn who_removes_himself_hears_that_he_did() {
    let (mut anne, mut ben) = (Client::new(1), Client::new(2));
    Router::owned_by(&anne).agent(|agent, _| {
        let mut channel = anne.open(agent, &UDP).unwrap();
        let name = OwnerName::try_from("ben").unwrap();
        let add = Ask::AddOwner { key: ben.key.public(), role: Role::Admin, name };
        anne.ask(agent, &mut channel, &UDP, add).unwrap();
        let mut his = ben.open(agent, &UDP).unwrap();
        let remove = Ask::RemoveOwner { key: ben.key.public() };
        assert!(ben.ask(agent, &mut his, &UDP, remove.clone()).is_some());
        // The answer was lost: he asks again.
        ben.id -= 1;
        assert!(ben.ask(agent, &mut his, &UDP, remove).is_some());
        assert!(ben.ask(agent, &mut his, &UDP, Ask::Status).is_none());
        assert!(ben.open(agent, &UDP).is_none());
    });
}

#[test]
fn a_claim_before_there_are_random_numbers_is_logged_and_works_later() {
    // A router that was found, because that needs no random numbers, fell silent at the claim without a word.
    let mut anne = Client::new(1);
    Router::unclaimed(None).agent(|agent, bench| {
        let mut packet = [0; MAX_OUTER];
        let len = seek(&[3; 16], None, &mut packet).unwrap();
        bench.no_random.set(true);
        assert_eq!(reply(agent, &packet[..len], &Source::SERIAL).unwrap()[0], FOUND);
        for _ in 0..20 {
            assert!(anne.open(agent, &Source::SERIAL).is_none());
        }
        let said =
            bench.log.borrow().iter().filter(|line| line.contains("no random numbers")).count();
        assert_eq!(said, 5, "not each time: {:?}", bench.log.borrow());
        bench.no_random.set(false);
        let mut channel = anne.open(agent, &Source::SERIAL).unwrap();
        assert_eq!(code(anne.ask(agent, &mut channel, &Source::SERIAL, claim(None))), None);
    });
}

#[test]
fn a_router_that_nobody_owns_is_claimed_over_serial() {
    let mut anne = Client::new(1);
    Router::unclaimed(None).agent(|agent, _| {
        let mut packet = [0; MAX_OUTER];
        let len = seek(&[3; 16], None, &mut packet).unwrap();
        assert_eq!(reply(agent, &packet[..len], &UDP), None);
        assert!(anne.open(agent, &UDP).is_none());
        let answer = reply(agent, &packet[..len], &Source::SERIAL).unwrap();
        assert_eq!(answer[0], FOUND);
        assert_eq!(found(&answer, &[3; 16], None), Some(router_key(agent)));

        let mut channel = anne.open(agent, &Source::SERIAL).unwrap();
        let mut ask =
            |agent: &mut Agent<'_>, ask| code(anne.ask(agent, &mut channel, &Source::SERIAL, ask));
        assert_eq!(ask(agent, Ask::Owners), Some(Code::Unclaimed));
        assert_eq!(
            ask(agent, Ask::Remove { interface: "wg0".try_into().unwrap(), confirm_within: 0 }),
            Some(Code::Unclaimed)
        );
        assert_eq!(ask(agent, Ask::Hello { min: 1, max: 1, features: 0 }), None);
        assert_eq!(ask(agent, claim(None)), None);
        assert_eq!(ask(agent, Ask::Owners), None, "an owner at once");
        assert_eq!(ask(agent, claim(None)), Some(Code::Claimed));
        assert_eq!(reply(agent, &packet[..len], &Source::SERIAL), None, "somebody owns it");
    });
}

#[test]
fn a_router_with_a_label_is_claimed_over_udp() {
    let mut anne = Client::new(1);
    let secret = "ABCD-EFGH-IJKL-MNOP";
    let label = LabelKey::of(secret).unwrap();
    Router::unclaimed(Some(secret)).agent(|agent, _| {
        let mut packet = [0; MAX_OUTER];
        for wrong in [None, LabelKey::of("ABCD-EFGH-IJKL-MNOQ").as_ref()] {
            let len = seek(&[3; 16], wrong, &mut packet).unwrap();
            assert_eq!(reply(agent, &packet[..len], &UDP), None);
        }
        let len = seek(&[3; 16], Some(&label), &mut packet).unwrap();
        let answer = reply(agent, &packet[..len], &UDP).unwrap();
        assert!(answer.len() <= len);
        assert_eq!(found(&answer, &[3; 16], Some(&label)), Some(router_key(agent)));
        let mut channel = anne.open(agent, &UDP).unwrap();
        let proof = label.proof(channel.handshake_hash());
        assert_eq!(code(anne.ask(agent, &mut channel, &UDP, claim(None))), Some(Code::Proof));
        assert_eq!(code(anne.ask(agent, &mut channel, &UDP, claim(Some(proof)))), None);
        assert_eq!(reply(agent, &packet[..len], &UDP), None);
    });
}

#[test]
fn under_load_a_cookie_opens_the_door() {
    let (mut anne, mut ben) = (Client::new(1), Client::new(2));
    Router::owned_by(&anne).agent(|agent, _| {
        // A flood from everywhere by somebody who knows the router's key.
        let mut cookies = 0;
        for n in 0..30 {
            let (initiation, _) = ben.initiate(agent, &UDP, None);
            let source = Source { wire: Wire::Udp, address: [n; 18] };
            if let Some(answer) = reply(agent, &initiation, &source) {
                assert_eq!(answer[0], COOKIE);
                assert!(answer.len() < initiation.len());
                cookies += 1;
            }
        }
        assert_eq!(cookies, 20);
        let (initiation, initiator) = anne.initiate(agent, &UDP, None);
        let answer = reply(agent, &initiation, &UDP).unwrap();
        let cookie = initiator.cookie(&answer).unwrap();
        let elsewhere = Source { wire: Wire::Udp, address: [8; 18] };
        let (initiation, _) = anne.initiate(agent, &UDP, Some(&cookie));
        assert_eq!(reply(agent, &initiation, &elsewhere), None, "another address");
        let (initiation, mut initiator) = anne.initiate(agent, &UDP, Some(&cookie));
        let answer = reply(agent, &initiation, &UDP).unwrap();
        assert_eq!(answer[0], RESPONSE);
        assert!(initiator.response(&answer).is_some());
    });
}

#[test]
fn an_owner_whose_clock_is_behind_is_told_and_nobody_else() {
    let (mut anne, mut ben) = (Client::new(1), Client::new(2));
    Router::owned_by(&anne).agent(|agent, bench| {
        anne.stamp = 99;
        let (recorded, _) = anne.initiate(agent, &UDP, None);
        assert!(reply(agent, &recorded, &UDP).is_some());
        let (mut told, mut behind) = (0, Vec::new());
        for n in 0..20 {
            anne.stamp = n;
            let (initiation, initiator) = anne.initiate(agent, &UDP, None);
            if let Some(answer) =
                reply(agent, &initiation, &UDP).filter(|answer| answer[0] == STAMP)
            {
                told += 1;
                assert!(answer.len() < initiation.len());
                assert_eq!(initiator.wrong_stamp(&answer), Some(100));
                let (_, other) = ben.initiate(agent, &UDP, None);
                assert_eq!(other.wrong_stamp(&answer), None);
                let (_, later) = anne.initiate(agent, &UDP, None);
                assert_eq!(later.wrong_stamp(&answer), None, "it is for one initiation");
                for at in 0..answer.len() {
                    let mut changed = answer.clone();
                    changed[at] ^= 1;
                    assert_eq!(initiator.wrong_stamp(&changed), None, "byte {at}");
                }
            }
            behind.push(initiation);
        }
        assert_eq!(told, 5, "a budget of five, however many there are");
        bench.now.set(1_010_000);
        for initiation in behind.iter().take(5).chain([&recorded]) {
            assert_eq!(reply(agent, initiation, &UDP), None, "repeated");
        }
        assert_eq!(reply(agent, &behind[0], &Source::SERIAL), None, "made for another wire");
        ben.stamp = 3;
        assert!(ben.open(agent, &UDP).is_none(), "not an owner");
        anne.stamp = 100;
        assert!(anne.open(agent, &UDP).is_some(), "it goes on behind it");
        // A stamp that would use up all there are.
        anne.stamp = u64::MAX - 1;
        bench.now.set(1_020_000);
        let (initiation, initiator) = anne.initiate(agent, &UDP, None);
        let answer = reply(agent, &initiation, &UDP).unwrap();
        assert_eq!(initiator.wrong_stamp(&answer), Some(101));
        anne.stamp = 101;
        assert!(anne.open(agent, &UDP).is_some());
    });
}

#[test]
fn sessions_of_one_owner_push_out_no_other_owners() {
    let (mut anne, mut ben) = (Client::new(1), Client::new(2));
    Router::owned_by(&anne).agent(|agent, bench| {
        let source = Source::SERIAL;
        let mut channel = anne.open(agent, &source).unwrap();
        let name = OwnerName::try_from("ben").unwrap();
        let add = Ask::AddOwner { key: ben.key.public(), role: Role::ReadOnly, name };
        assert!(anne.ask(agent, &mut channel, &source, add).is_some());
        // As many as the random numbers of the tests allow.
        for n in 0..SESSIONS as u64 + 3 {
            bench.now.set(1_001_000 + n);
            // Of those that wait, too: he begins many and says nothing through them.
            let (waits, mut initiator) = anne.initiate(agent, &source, None);
            let response = reply(agent, &waits, &source).unwrap();
            for _ in 0..=WAITING {
                ben.open(agent, &source).unwrap();
            }
            let mut his = ben.open(agent, &source).unwrap();
            assert!(ben.ask(agent, &mut his, &source, Ask::Status).is_some());
            if n == 0 {
                let mut second = initiator.response(&response).unwrap();
                assert!(anne.ask(agent, &mut second, &source, Ask::Status).is_some());
            }
        }
        assert!(anne.ask(agent, &mut channel, &source, Ask::Status).is_some());
        assert!(
            agent.sessions.iter().filter(|session| session.key == ben.key.public()).count() > 8
        );
    });
}

#[test]
fn a_session_waits_while_the_later_initiations_of_its_client_arrive() {
    let mut anne = Client::new(1);
    Router::owned_by(&anne).agent(|agent, _| {
        let source = Source::SERIAL;
        let mut begin = || {
            let (packet, initiator) = anne.initiate(agent, &source, None);
            let response = reply(agent, &packet, &source).unwrap();
            (initiator, response)
        };
        // On a long line all of them are sent before the first response arrives.
        let begun: Vec<_> = (0..MAX_INITIATIONS).map(|_| begin()).collect();
        let (mut first, response) = begun.into_iter().next().unwrap();
        let mut channel = first.response(&response).unwrap();
        assert!(anne.ask(agent, &mut channel, &source, Ask::Status).is_some());
    });
}

#[test]
#[cfg(feature = "console")]
fn a_client_is_an_activity_for_a_moment() {
    use crate::led::Activity;
    let mut anne = Client::new(1);
    Router::owned_by(&anne).agent(|agent, bench| {
        let doing = |agent: &Agent<'_>, later: u64| {
            bench.now.set(bench.now.get() + later);
            let (activity, _, until) = agent.activity(bench.now.get());
            (activity, until.is_some())
        };
        assert_eq!(doing(agent, 0), (Activity::Waiting, false));
        let mut channel = anne.open(agent, &UDP).unwrap();
        assert!(anne.ask(agent, &mut channel, &UDP, Ask::Status).is_some());
        assert_eq!(doing(agent, 0), (Activity::Session, true));
        assert_eq!(doing(agent, 3_600_000), (Activity::Waiting, false));
    });
}

#[test]
fn a_flood_in_front_of_the_filter_costs_a_session_nothing() {
    let (mut anne, mut ben) = (Client::new(1), Client::new(2));
    let mut came = 0;
    let rounds = 3_000_u64;
    Router::owned_by(&anne).agent(|agent, bench| {
        let mut channel = anne.open(agent, &UDP).unwrap();
        assert!(anne.ask(agent, &mut channel, &UDP, Ask::Status).is_some());
        let stray = ben.initiate(agent, &UDP, None).0;
        let mut random = fastrand::Rng::with_seed(1);
        for n in 0..rounds {
            bench.now.set(1_000_000 + n);
            for kind in 0..7_u8 {
                let [a, b, c, d] = random.u32(..).to_be_bytes();
                let mut from = UDP;
                // From everywhere, and some all from one address.
                from.address[12..16].copy_from_slice(&[198, b, c, if kind == 3 { 7 } else { d }]);
                if kind == 3 {
                    from.address[12..16].copy_from_slice(&[198, 18, 0, 1]);
                }
                let mut packet = match kind {
                    0 => vec![a; 60],
                    1 => [&[TO_ROUTER, 1, a, b, c, d][..], &[0; 60]].concat(),
                    2 => [&[SEEK, 1][..], &[0; 80]].concat(),
                    _ => stray.clone(),
                };
                if kind >= 4 {
                    packet[6] = c;
                }
                if kind == 6 {
                    packet[TOKEN_AT..].copy_from_slice(&[a, b, c, d]);
                }
                if gets_in(bench, &packet, &from, random.u32(..)) {
                    came += 1;
                    reply(agent, &packet, &from);
                }
            }
            agent.tick();
            agent.sift(&mut |filter| drop(bench.filter.replace(filter.cloned())));
            // The owner, whatever the random number.
            let request = anne.request(&mut channel, Ask::Status);
            assert!(gets_in(bench, &request, &UDP, u32::MAX), "at {n}");
            assert!(
                reply(agent, &request, &UDP)
                    .is_some_and(|packet| read(&mut channel, &packet).is_some())
            );
        }
    });
    println!("{} datagrams of strangers, {came} came to the agent", 7 * rounds);
    // At most the wanted number of those without a cookie, with what it takes to learn how many there are.
    assert!(came <= 3 * 2_500, "{came}");
}

#[test]
fn a_cookie_gets_in_past_a_filter_that_lets_nothing_else_in() {
    let mut anne = Client::new(1);
    Router::owned_by(&anne).agent(|agent, bench| {
        let mut answer = Vec::new();
        let mut last = None;
        // Until the budget is spent.
        while answer.first() != Some(&COOKIE) {
            let (initiation, initiator) = anne.initiate(agent, &UDP, None);
            answer = reply(agent, &initiation, &UDP).unwrap();
            last = Some(initiator);
        }
        let cookie = last.unwrap().cookie(&answer).unwrap();
        // A flood from everywhere, until next to nothing comes through.
        for n in 0..20_000_u32 {
            let mut from = UDP;
            from.address[12..16].copy_from_slice(&n.to_be_bytes());
            let (initiation, _) = (vec![INITIATION, 1], ());
            let initiation = [&initiation[..], &[0; 140]].concat();
            reply(agent, &initiation, &from);
        }
        let (bare, _) = anne.initiate(agent, &UDP, None);
        assert!(!gets_in(bench, &bare, &UDP, u32::MAX / 2));
        let (with, mut initiator) = anne.initiate(agent, &UDP, Some(&cookie));
        assert!(gets_in(bench, &with, &UDP, u32::MAX / 2));
        let mut other = UDP;
        other.address[17] ^= 1;
        assert!(!gets_in(bench, &with, &other, 0), "another port");
        let response = reply(agent, &with, &UDP).unwrap();
        let mut channel = initiator.response(&response).unwrap();
        assert!(anne.ask(agent, &mut channel, &UDP, Ask::Status).is_some());
        // From now on this address is known.
        let (bare, _) = anne.initiate(agent, &UDP, None);
        assert!(gets_in(bench, &bare, &UDP, u32::MAX));
    });
}

#[test]
fn secrets_are_not_tried_by_the_thousand() {
    let mut ben = Client::new(2);
    Router::unclaimed(Some("ABCD-EFGH-IJKL-MNOP")).agent(|agent, bench| {
        let mut channel = ben.open(agent, &UDP).unwrap();
        let mut tries = 0;
        let mut wrong = |tries: &mut u32| {
            *tries += 1;
            ben.ask(agent, &mut channel, &UDP, claim(Some([*tries as u8; 32])))
        };
        while let Some(answer) = wrong(&mut tries) {
            assert_eq!(code(Some(answer)), Some(Code::Proof));
            assert!(tries < 10, "a session is good for a few only");
        }
        assert_eq!(tries, 4);
        let log = bench.log.borrow();
        assert!(
            log.iter().any(|line| line.contains("does not know the label's secret")),
            "{log:?}"
        );
    });
}
