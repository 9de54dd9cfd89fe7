//! A client and a router over a network that loses, repeats and reorders packets, with an attacker
//! who replays recorded packets, and with wrong clocks.

use super::tests::{Client, Router};
use super::*;
use crate::protocol::session::{STAMP, follows};
use fastrand::Rng;
use std::collections::BTreeSet;

/// Packets in flight: time of arrival, whether the router is the receiver, and the bytes.
type Packets = Vec<(u64, bool, Vec<u8>)>;

struct Network {
    random: Rng,
    under_way: Packets,
    /// All packets that were ever sent.
    recorded: Packets,
    /// Number of lost packets per hundred.
    lost: u64,
    delay: u64,
}

impl Network {
    fn carry(&mut self, now: u64, to_router: bool, packet: Vec<u8>) {
        self.recorded.push((now, to_router, packet.clone()));
        while self.random.u64(..100) >= self.lost {
            self.under_way.push((
                now + 1 + self.random.u64(..self.delay),
                to_router,
                packet.clone(),
            ));
            // A few packets arrive twice.
            if self.random.u64(..10) > 0 {
                break;
            }
        }
    }

    fn due(&mut self, now: u64) -> Packets {
        self.under_way.extract_if(.., |(when, ..)| *when <= now).collect()
    }
}

/// Runs one network. Returns the number of corrected stamps.
fn run(seed: u64) -> u32 {
    let mut random = Rng::with_seed(seed);
    let year = 31_536_000_000;
    let clocks = [0, 7, 1_700_000_000_000, 1_700_000_000_000 + 10 * year, u64::MAX - 5];
    let clock = clocks[random.u64(..5) as usize];
    let known = [0, 6, 1_700_000_000_000 + random.u64(..year), 1_700_000_000_000 + 10 * year];
    let mut router = Router::new();
    router.stamp = known[random.u64(..4) as usize];
    router.tells = true;
    let mut client = Client::new(&router);
    client.patience(Patience { resend: 300, give_up: u32::MAX });
    let (lost, delay) = (random.u64(..60), 1 + random.u64(..900));
    let mut network = Network { random, under_way: Vec::new(), recorded: Vec::new(), lost, delay };
    let (bad, end) = (client.now + 20_000, client.now + 60_000);
    let (mut heard, mut answered, mut corrected) = (BTreeSet::new(), None, 0);
    let mut sent = 0_u64;
    while client.now < end && answered.is_none() {
        client.now += 10;
        let now = client.now;
        if now == bad {
            (network.lost, network.delay) = (0, 50);
        }
        // A clock that stops, runs, or is set back now and then.
        client.clock = match network.random.u64(..3) {
            0 => clock,
            1 => clock.saturating_add(now),
            _ => clock / 2,
        };
        if let Ok(initiation) = client.poll() {
            network.carry(now, true, initiation);
        }
        if client.connector.is_up() && now.is_multiple_of(500) {
            sent += 1;
            network.carry(now, true, client.seal());
        }
        if now < bad && network.random.u64(..20) == 0 && !network.recorded.is_empty() {
            let at = network.random.u64(..network.recorded.len() as u64) as usize;
            let (_, to_router, packet) = network.recorded[at].clone();
            network.under_way.push((now, to_router, packet));
        }
        for (_, to_router, packet) in network.due(now) {
            if to_router {
                let before = router.stamp;
                if let Some(answer) = router.answer(&packet) {
                    assert!(answer.len() <= packet.len(), "no more comes back than was sent");
                    assert!(router.stamp == before || follows(router.stamp, before));
                    network.carry(now, false, answer);
                }
                continue;
            }
            match client.hears(&packet) {
                Heard::Packet(_) => {
                    assert!(heard.insert(packet), "a packet was taken twice");
                    answered = (now >= bad).then_some(now);
                }
                Heard::Stamp(last) => {
                    corrected += 1;
                    assert_eq!((packet[0], client.connector.last_stamp()), (STAMP, last));
                }
                Heard::Up | Heard::Nothing => {}
            }
        }
    }
    let answered =
        answered.unwrap_or_else(|| panic!("seed {seed}: no answer over a good line, {sent} sent"));
    assert!(answered - bad <= 15_000, "seed {seed}: answered only after {} ms", answered - bad);
    corrected
}

#[test]
fn whatever_the_network_and_the_clocks_do_there_is_a_session_in_the_end() {
    let runs = 150;
    let corrected: u32 = (0..runs).map(run).sum();
    println!("{runs} runs, {corrected} stamps corrected");
    assert!(corrected > 20);
}
