//! A client against a router that replies, is silent, is busy, or was restarted.

use super::super::*;
use super::*;

const PATIENCE: Patience = Patience { resend: 300, give_up: 5_000 };

/// An honest router with any number of sessions.
pub(super) struct Router {
    key: StaticKey,
    channels: Vec<Channel>,
    pub(super) stamp: u64,
    seed: u8,
    /// Whether the router replies to a wrong stamp.
    pub(super) tells: bool,
    /// The secret of its cookies; `None` if it requires none.
    load: Option<[u8; 32]>,
}

impl Router {
    pub(super) fn new() -> Self {
        let key = StaticKey::new(SecretKey::new([2; 32]));
        Self { key, channels: Vec::new(), stamp: 0, seed: 0, tells: false, load: None }
    }

    /// The reply to a packet; requests are echoed.
    pub(super) fn answer(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let (mut plain, mut out) = ([0; 1300], [0; 1300]);
        if receiver(packet).is_some() {
            let mut channels = self.channels.iter_mut();
            let (channel, len) = channels.find_map(|channel| {
                let len = channel.open(packet, &mut plain)?;
                Some((channel, len))
            })?;
            let len = channel.seal(&plain[..len], &mut out)?;
            return Some(out[..len].to_vec());
        }
        let gate = Gatekeys::of(&self.key.public());
        let initiation = Initiation::parse(packet, &gate)?;
        if let Some(secret) = &self.load {
            let cookie = Cookie::of(secret, b"here", *b"tokn");
            if !initiation.has_cookie(&cookie) {
                let len = initiation.cookie_reply(&cookie, &gate, &mut out)?;
                return Some(out[..len].to_vec());
            }
        }
        self.seed = self.seed.wrapping_add(1);
        let ephemeral = SecretKey::new([self.seed | 1; 32]);
        let opened = initiation.open(&self.key, Wire::Udp, &ephemeral)?;
        if self.tells && !follows(opened.stamp, self.stamp) {
            let len = opened.wrong_stamp(self.stamp, &[self.seed; 16], &mut out)?;
            return Some(out[..len].to_vec());
        }
        assert!(opened.stamp > self.stamp, "stamps grow");
        self.stamp = opened.stamp;
        let (len, channel) = opened.respond(&mut out)?;
        self.channels.push(channel);
        Some(out[..len].to_vec())
    }
}

pub(super) struct Client {
    pub(super) connector: Connector,
    seed: u8,
    pub(super) now: u64,
    /// The time of the client's clock.
    pub(super) clock: u64,
}

impl Client {
    pub(super) fn new(router: &Router) -> Self {
        let own = StaticKey::new(SecretKey::new([1; 32]));
        let connector = Connector::new(own, router.key.public(), Wire::Udp, PATIENCE);
        Self { connector, seed: 0, now: 10_000, clock: 7 }
    }

    pub(super) fn patience(&mut self, patience: Patience) {
        self.connector.set_patience(patience);
    }

    /// The packet to send now, or the time until which the client waits.
    pub(super) fn poll(&mut self) -> Result<Vec<u8>, u64> {
        let mut out = [0; 200];
        let (seed, clock) = (&mut self.seed, self.clock);
        let mut fresh = || {
            *seed = seed.wrapping_add(1) | 1;
            Fresh { ephemeral: SecretKey::new([*seed; 32]), index: (*seed).into(), stamp: clock }
        };
        match self.connector.poll(self.now, &mut fresh, &mut out).unwrap() {
            Step::Send(len) => Ok(out[..len].to_vec()),
            Step::Wait(until) => Err(until),
            Step::Done => panic!("never done"),
        }
    }

    fn sends(&mut self) -> Vec<u8> {
        self.poll().expect("something to send")
    }

    fn waits(&mut self) -> u64 {
        self.poll().expect_err("nothing to send") - self.now
    }

    pub(super) fn hears(&mut self, packet: &[u8]) -> Heard {
        self.connector.receive(self.now, packet, &mut [0; 1300])
    }

    pub(super) fn seal(&mut self) -> Vec<u8> {
        let mut out = [0; 100];
        let len = self.connector.seal(self.now, b"request", &mut out).unwrap();
        out[..len].to_vec()
    }

    /// Sends a request. Returns `true` if the reply arrived.
    fn asks(&mut self, router: &mut Router) -> bool {
        let request = self.seal();
        router.answer(&request).is_some_and(|reply| self.hears(&reply) == Heard::Packet(7))
    }

    fn connects(&mut self, router: &mut Router) {
        let initiation = self.sends();
        let response = router.answer(&initiation).unwrap();
        assert_eq!(self.hears(&response), Heard::Up);
    }
}

#[test]
fn a_session_is_there_after_one_round_trip() {
    let mut router = Router::new();
    let mut client = Client::new(&router);
    assert!(!client.connector.is_up());
    assert!(client.connector.handshake_hash().is_none());
    assert_eq!(client.connector.seal(0, b"", &mut [0; 100]), None);
    client.connects(&mut router);
    assert!(client.connector.is_up());
    assert_eq!(client.connector.handshake_hash(), Some(router.channels[0].handshake_hash()));
    assert!(client.asks(&mut router));
    assert_eq!(client.waits(), REKEY_AFTER);
}

#[test]
fn initiations_are_sent_again_with_new_keys_until_patience_ends() {
    let mut router = Router::new();
    let mut client = Client::new(&router);
    let mut sent = vec![client.sends()];
    for wait in [400, 1_000, 1_000, 1_000] {
        assert_eq!(client.waits(), wait);
        client.now += wait;
        sent.push(client.sends());
    }
    for (nth, one) in sent.iter().enumerate() {
        assert!(sent[..nth].iter().all(|other| other[14..46] != one[14..46]));
        assert_eq!(one[6..14], (7 + nth as u64).to_le_bytes(), "stamps grow");
    }
    assert_eq!(client.connector.last_stamp(), 11);
    // On a path of over three seconds even the response to the first initiation is late but valid.
    let response = router.answer(&sent[0]).unwrap();
    assert_eq!(client.hears(&response), Heard::Up);
    assert_eq!(client.connector.round_trip(), Some(3_400));
    assert_eq!(client.hears(&response), Heard::Nothing);

    let mut client = Client::new(&router);
    client.sends();
    client.now += 4_999;
    client.sends();
    assert_eq!(client.waits(), 1);
    client.now += 1;
    let mut never = || -> Fresh { panic!("nothing to send") };
    let end = client.connector.poll(client.now, &mut never, &mut [0; 200]);
    assert_eq!(end, Err(ClientError::Silence));
}

#[test]
fn a_slow_line_gets_the_time_it_needs() {
    let router = Router::new();
    let mut client = Client::new(&router);
    client.connector.set_patience(Patience { resend: 2_500, give_up: 60_000 });
    client.sends();
    assert_eq!(client.waits(), 2_500);
}

#[test]
fn a_cookie_is_answered_at_once_and_only_once() {
    let mut router = Router::new();
    router.load = Some([9; 32]);
    let mut client = Client::new(&router);
    let initiation = client.sends();
    let cookie = router.answer(&initiation).unwrap();
    assert_eq!(client.hears(&cookie), Heard::Nothing);
    let with = client.sends();
    assert_eq!(client.hears(&cookie), Heard::Nothing);
    assert_eq!(client.waits(), 1_000, "the same cookie again has no effect");
    // The router changes its secret: this initiation is lost, and the next one has no cookie.
    router.load = Some([8; 32]);
    let other = router.answer(&with).unwrap();
    assert_eq!(other.len(), COOKIE_LEN);
    client.now += 1_000;
    let bare = client.sends();
    assert_eq!(bare[126..], [0; 16]);
    let cookie = router.answer(&bare).unwrap();
    client.hears(&cookie);
    client.connects(&mut router);
    assert!(client.asks(&mut router));
}

#[test]
fn a_new_session_takes_over_from_an_old_one_without_a_gap() {
    let mut router = Router::new();
    let mut client = Client::new(&router);
    client.connects(&mut router);
    client.now += REKEY_AFTER;
    let (under_way, other) = (client.seal(), client.seal());
    let initiation = client.sends();
    assert!(client.asks(&mut router), "the old session is valid until the new one is up");
    assert_eq!(client.waits(), 400);
    let response = router.answer(&initiation).unwrap();
    assert_eq!(client.hears(&response), Heard::Up);
    let reply = router.answer(&under_way).unwrap();
    assert_eq!(client.hears(&reply), Heard::Packet(7), "the old session still receives replies");
    let late = router.answer(&other).unwrap();
    router.channels.remove(0);
    assert!(client.asks(&mut router));
    // Not renewed in time: both sessions have ended.
    client.now += SESSION_LIFE;
    client.sends();
    assert_eq!(client.hears(&late), Heard::Nothing);
    assert!(!client.connector.is_up());
}

#[test]
fn many_packets_make_a_new_session() {
    let mut router = Router::new();
    let mut client = Client::new(&router);
    client.connects(&mut router);
    client.connector.session.as_mut().unwrap().channel.skip_to(REKEY_PACKETS - 1);
    assert_eq!(client.waits(), REKEY_AFTER);
    assert!(client.asks(&mut router));
    client.connects(&mut router);
    assert_eq!(client.waits(), REKEY_AFTER);
}

#[test]
fn a_router_that_was_restarted_is_connected_again() {
    let mut router = Router::new();
    let mut client = Client::new(&router);
    client.connects(&mut router);
    assert!(client.asks(&mut router));
    router.channels.clear();
    client.now += 50_000;
    assert_eq!(client.waits(), REKEY_AFTER - 50_000, "no request is sent, so no reply is missing");
    assert!(!client.asks(&mut router));
    assert_eq!(client.waits(), 600);
    client.now += 599;
    assert!(!client.asks(&mut router), "counted from the first request without a reply");
    client.now += 1;
    client.connects(&mut router);
    assert!(client.asks(&mut router));
}

#[test]
fn a_busy_router_is_asked_more_and_more_seldom() {
    let mut router = Router::new();
    let mut client = Client::new(&router);
    client.connects(&mut router);
    let request = client.seal();
    client.now += 600;
    let mut waiting = vec![client.sends()];
    for wait in [400, 2_000, 4_000, 4_000] {
        assert_eq!(client.waits(), wait);
        client.now += wait;
        waiting.push(client.sends());
    }
    // Then the router processes all initiations, and the earlier session never ended.
    let reply = router.answer(&request).unwrap();
    assert_eq!(client.hears(&reply), Heard::Packet(7));
    assert!(client.waits() > 100_000);
    let heard: Vec<Heard> =
        waiting.iter().map(|packet| client.hears(&router.answer(packet).unwrap())).collect();
    assert_eq!(heard.iter().filter(|heard| **heard == Heard::Up).count(), 1);
    assert!(client.asks(&mut router));
}

#[test]
fn a_clock_that_is_behind_is_corrected_at_once_and_one_time() {
    let mut router = Router::new();
    (router.stamp, router.tells) = (1_000, true);
    let mut client = Client::new(&router);
    let initiation = client.sends();
    let answer = router.answer(&initiation).unwrap();
    assert_eq!(answer.len(), STAMP_LEN);
    assert_eq!(client.hears(&answer), Heard::Stamp(1_000));
    assert_eq!(client.hears(&answer), Heard::Nothing, "the request was already answered");
    let again = client.sends();
    assert_eq!(again[6..14], 1_001_u64.to_le_bytes());
    // Another program with the same key was faster.
    router.stamp = 2_000;
    let answer = router.answer(&again).unwrap();
    assert_eq!(client.hears(&answer), Heard::Stamp(2_000));
    assert_eq!(client.waits(), 1_000, "stamps are not exchanged for ever");
    client.now += 1_000;
    client.connects(&mut router);
    assert!(client.asks(&mut router));
}

#[test]
fn a_clock_that_is_absurdly_ahead_is_of_no_use_and_does_no_harm() {
    for clock in [u64::MAX, 1 << 63, 5_000 + MAX_STAMP_STEP] {
        let mut router = Router::new();
        (router.stamp, router.tells) = (1_000, true);
        let mut client = Client::new(&router);
        client.clock = clock;
        let initiation = client.sends();
        let answer = router.answer(&initiation).unwrap();
        assert_eq!(client.hears(&answer), Heard::Stamp(1_000));
        client.connects(&mut router);
        assert_eq!((router.stamp, client.connector.last_stamp()), (1_001, 1_001));
    }
}
