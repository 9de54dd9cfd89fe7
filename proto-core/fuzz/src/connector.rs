//! The connector, with a router that replies late or not at all or is restarted, and a wire that
//! keeps, repeats, changes and forges packets.
//!
//! Promised: no panic; the connector never waits for a time in the past; stamps grow, and no key
//! and no index is used twice; only packets that a router sent to this client are decrypted, each
//! once; there is a session exactly from a valid response on; and once the wire works again, there
//! is a session after one or two round trips.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proto_core::key::SecretKey;
use proto_core::protocol::MAX_PACKET;
use proto_core::protocol::client::{ClientError, Patience, Step};
use proto_core::protocol::session::{
    COOKIE_LEN, Channel, Connector, Cookie, Fresh, Gatekeys, Heard, INITIATION_LEN, Initiation,
    RESPONSE_LEN, StaticKey, Wire, receiver,
};

use super::Seeds;
use super::input::Input;

const PATIENCE: Patience = Patience { resend: 300, give_up: 10_000 };
/// Largest number of handshakes in one input: each costs ten X25519 operations.
const HANDSHAKES: u8 = 12;

static KEYS: LazyLock<(StaticKey, StaticKey)> = LazyLock::new(|| {
    (StaticKey::new(SecretKey::new([1; 32])), StaticKey::new(SecretKey::new([2; 32])))
});

fn gate() -> Gatekeys {
    Gatekeys::of(&KEYS.1.public())
}

/// A router, and the wire to it and back.
#[derive(Default)]
struct Router {
    channels: Vec<Channel>,
    answered: u8,
    stamps: BTreeSet<u64>,
    loaded: bool,
    /// Every packet that the router has sent.
    sent: Vec<Vec<u8>>,
}

impl Router {
    fn cookie() -> Cookie {
        Cookie::of(&[5; 32], b"here", *b"tokn")
    }

    /// Takes a packet of the client, and adds the reply to `sent`.
    fn take(&mut self, packet: &[u8]) {
        let mut out = [0; MAX_PACKET + 30];
        let mut plain = [0; MAX_PACKET];
        if receiver(packet).is_some() {
            for channel in &mut self.channels {
                if let Some(len) = channel.open(packet, &mut plain) {
                    let len = channel.seal(&plain[..len], &mut out).expect("room");
                    self.sent.push(out[..len].to_vec());
                }
            }
            return;
        }
        let initiation = Initiation::parse(packet, &gate()).expect("the client's own");
        let cookie = Self::cookie();
        assert!(initiation.is_bare() || initiation.has_cookie(&cookie));
        if self.loaded && !initiation.has_cookie(&cookie) {
            let len = initiation.cookie_reply(&cookie, &gate(), &mut out);
            assert_eq!(len, Some(COOKIE_LEN));
            self.sent.push(out[..COOKIE_LEN].to_vec());
            return;
        }
        self.answered += 1;
        let ephemeral = SecretKey::new([100 + self.answered; 32]);
        let opened = initiation.open(&KEYS.1, Wire::Udp, &ephemeral).expect("the client's own");
        assert_eq!(opened.client, KEYS.0.public());
        if !self.stamps.insert(opened.stamp) {
            return;
        }
        let (_, channel) = opened.respond(&mut out).expect("room");
        self.channels.push(channel);
        self.sent.push(out[..RESPONSE_LEN].to_vec());
    }
}

struct Client {
    connector: Connector,
    now: u64,
    seed: u8,
    stamp: u64,
    /// Every packet that the client has sent.
    sent: Vec<Vec<u8>>,
    /// Indexes of the router's packets that were decrypted.
    heard: BTreeSet<usize>,
}

impl Client {
    /// Whether the client still tries.
    fn poll(&mut self) -> bool {
        let mut out = [0; INITIATION_LEN];
        let seed = &mut self.seed;
        let mut fresh = || {
            *seed += 1;
            // A clock that stands still, or goes back.
            let stamp = u64::from(200 - *seed);
            Fresh { ephemeral: SecretKey::new([*seed; 32]), index: (*seed).into(), stamp }
        };
        match self.connector.poll(self.now, &mut fresh, &mut out) {
            Ok(Step::Send(len)) => {
                assert_eq!(len, INITIATION_LEN);
                let initiation = Initiation::parse(&out, &gate()).expect("a valid initiation");
                assert!(initiation.stamp() > self.stamp, "stamps grow");
                self.stamp = initiation.stamp();
                assert_eq!(self.stamp, self.connector.last_stamp());
                self.sent.push(out.to_vec());
                true
            }
            Ok(Step::Wait(until)) => {
                assert!(until > self.now, "waits for a time in the past");
                true
            }
            Ok(Step::Done) => panic!("a connector is never done"),
            Err(error) => {
                assert!(error == ClientError::Silence && !self.connector.is_up());
                false
            }
        }
    }

    fn seal(&mut self, plain: &[u8]) {
        let mut out = [0; MAX_PACKET + 30];
        let len = self.connector.seal(self.now, plain, &mut out);
        assert_eq!(len.is_some(), self.connector.is_up() && plain.len() <= MAX_PACKET);
        if let Some(len) = len {
            self.sent.push(out[..len].to_vec());
        }
    }

    /// Takes a packet: packet `nth` of the router, or a forged one.
    fn receive(&mut self, packet: &[u8], nth: Option<usize>) {
        let mut out = [0xee; MAX_PACKET];
        let was_up = self.connector.is_up();
        let heard = self.connector.receive(self.now, packet, &mut out);
        let len = if let Heard::Packet(len) = heard { len } else { 0 };
        assert!(out[len..].iter().all(|byte| *byte == 0xee));
        match heard {
            Heard::Nothing => assert_eq!(self.connector.is_up(), was_up),
            Heard::Up => {
                assert!(self.connector.is_up() && packet.len() == RESPONSE_LEN);
                let nth = nth.expect("a forged response");
                assert!(self.heard.insert(nth), "a response taken twice");
            }
            Heard::Stamp(_) => panic!("this router accepts any stamp"),
            Heard::Packet(len) => {
                assert!(was_up && packet.len() == len + 30);
                let nth = nth.expect("a forged packet");
                assert!(self.heard.insert(nth), "a packet taken twice");
            }
        }
    }
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut router = Router::default();
    let mut client = Client {
        connector: Connector::new(KEYS.0.clone(), KEYS.1.public(), Wire::Udp, PATIENCE),
        now: 1_000,
        seed: 0,
        stamp: 0,
        sent: Vec::new(),
        heard: BTreeSet::new(),
    };
    let mut taken = 0;
    while !input.is_empty() && client.seed < HANDSHAKES && router.answered < HANDSHAKES {
        match input.byte() % 10 {
            0 => {
                client.poll();
            }
            1 => client.now += u64::from(input.byte()) * 4,
            2 => client.now += u64::from(input.u16()) * 4,
            3 => client.seal(input.bytes(9)),
            // The router takes the pending packets; some of them do not arrive.
            4 => {
                while taken < client.sent.len() && router.answered < HANDSHAKES {
                    router.take(&client.sent[taken]);
                    taken += 1;
                }
            }
            5 => taken = client.sent.len(),
            // One of the router's packets arrives, again or for the first time.
            6 => {
                let back = usize::from(input.byte()) + 1;
                if let Some(nth) = router.sent.len().checked_sub(back) {
                    client.receive(&router.sent[nth], Some(nth));
                }
            }
            7 => {
                let back = usize::from(input.byte()) + 1;
                let (at, flip) = (usize::from(input.byte()), input.byte());
                if let Some(nth) = router.sent.len().checked_sub(back) {
                    let mut packet = router.sent[nth].clone();
                    let at = at % packet.len();
                    packet[at] ^= flip;
                    client.receive(&packet, (flip == 0).then_some(nth));
                }
            }
            8 => {
                client.receive(input.chunk(), None);
                // A line that echoes.
                if let Some(own) = client.sent.last().cloned() {
                    client.receive(&own, None);
                }
            }
            _ => {
                let what = input.byte();
                router.loaded = what & 1 == 1;
                if what & 2 == 2 {
                    router.channels.clear();
                }
            }
        }
    }
    ends_well(&mut client, &mut router, taken);
}

/// From here on no packet is lost. In every state, a request must soon get a reply. If the router
/// took seconds for earlier replies, the client waits that long again before it treats the session
/// as lost.
fn ends_well(client: &mut Client, router: &mut Router, mut taken: usize) {
    let mut arrived = router.sent.len();
    for _ in 0..64 {
        if !client.poll() {
            return;
        }
        client.seal(b"again");
        while taken < client.sent.len() {
            router.take(&client.sent[taken]);
            taken += 1;
        }
        while arrived < router.sent.len() {
            let last = &router.sent[arrived];
            client.receive(last, Some(arrived));
            if receiver(last).is_some() && client.heard.contains(&arrived) {
                return;
            }
            arrived += 1;
        }
        client.now += 500;
    }
    panic!("no answer on a good wire");
}

pub fn seeds() -> Seeds {
    let seed = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    const CONNECT: [u8; 4] = [0, 4, 6, 0];
    let ask = |more: &[u8]| [&CONNECT[..], b"\x03123456789", more].concat();
    vec![
        seed("empty", &[]),
        seed("connect", &CONNECT),
        seed("ask", &ask(&[4, 6, 0])),
        seed("answer-twice", &ask(&[4, 6, 0, 6, 0])),
        seed("response-twice", &[0, 4, 6, 0, 6, 0]),
        seed("response-changed", &[0, 4, 7, 0, 2, 1, 6, 0]),
        seed("response-late", &[0, 4, 1, 100, 0, 4, 6, 1, 6, 0]),
        seed("response-too-late", &[0, 4, 1, 100, 0, 4, 2, 250, 0, 0, 4, 6, 2, 6, 0]),
        seed("lost", &[0, 5, 1, 100, 0, 5, 2, 250, 0, 0, 4, 6, 0]),
        seed("cookie", &[9, 1, 0, 4, 6, 0, 0, 4, 6, 0]),
        seed("cookie-twice", &[9, 1, 0, 4, 6, 0, 6, 0, 0, 6, 1, 4, 6, 0]),
        seed("cookie-changed", &[9, 1, 0, 4, 7, 0, 9, 1, 6, 0, 0, 4, 6, 0]),
        seed("restart", &ask(&[9, 2, 4, 1, 150, 0, 4, 6, 0])),
        seed(
            "renew",
            &[&ask(&[4, 6, 0])[..], &[2, 48, 117, 0, 4, 6, 0], b"\x03123456789", &[4, 6, 0]]
                .concat(),
        ),
        seed("over", &[&CONNECT[..], &[2, 0, 180, 0, 4, 6, 0]].concat()),
        seed("silence", &[0, 2, 255, 10, 0]),
        seed("anything", &[&CONNECT[..], &[8, 4, 0, 1, 2, 3, 4]].concat()),
    ]
}
