//! What a router is flooded with: ready frames, and what may come back.

use super::{ROUTER, STRANGER, barrage::Answers};
use crate::{AGENT_PORT, Datagram, rng::Rng};
use anyhow::{Context, Result, ensure};
use proto_core::{
    key::{PublicKey, SecretKey},
    protocol::{
        frame,
        session::{COOKIE, INITIATION_LEN, Initiator, StaticKey, Wire},
    },
};
use std::net::{Ipv4Addr, SocketAddrV4};

/// How many different frames there are of each kind.
const FRAMES: usize = 2_000;

/// Frames of one kind.
pub(super) struct Shots {
    pub(super) name: &'static str,
    pub(super) frames: Vec<Vec<u8>>,
    /// Instead of the rate of a flood.
    pub(super) rate: Option<u32>,
    /// How many the kernel's filter may let through to the agent in a second.
    pub(super) through: u64,
    /// The most bytes an answer may have, and the kind it may be of; nothing may come back else.
    answer: Option<(usize, u8)>,
}

impl Shots {
    /// Fails unless the answers are as they may be.
    pub(super) fn check(&self, answers: &Answers) -> Result<()> {
        match self.answer {
            None => ensure!(answers.count == 0, "strangers got {answers}"),
            Some((longest, kind)) => ensure!(
                answers.longest < longest && answers.kinds.iter().all(|found| *found == kind),
                "strangers got {answers}"
            ),
        }
        Ok(())
    }
}

/// All that a router is flooded with.
pub(super) fn all(mac: [u8; 6], router: &PublicKey, rng: &mut Rng) -> Result<Vec<Shots>> {
    let random = |name, check, rng: &mut Rng| {
        let packets = (0..FRAMES).map(|number| {
            let len = 1 + rng.next() as usize % 300;
            let mut packet = rng.bytes(len + frame::CRC_LEN);
            if check {
                // A kind of packet that there is, with nothing behind it that makes sense.
                packet[0] = 1 + number as u8 % 9;
                let _ = frame::seal(&mut packet, len);
            }
            packet
        });
        let frames = to_router(packets.collect(), mac, FRAMES);
        Shots { name, frames, rate: None, through: JUNK, answer: None }
    };
    let bytes = random("random bytes", false, rng);
    let checked = random("random bytes with a good CRC", true, rng);

    // To a router there is none of: all is right but the first check of whose router it is for.
    let astray = initiations(&StaticKey::new(secret(rng)).public(), rng)?;
    let strange = initiations(router, rng)?;
    let handshakes = |name, packets: &[Vec<u8>], sources, rate, answer| Shots {
        name,
        frames: to_router(packets.to_vec(), mac, sources),
        rate,
        through: if sources == 1 { ONE_ADDRESS } else { EVERYWHERE },
        answer,
    };
    // A cookie is all that a stranger can get, and it is smaller than what was asked with.
    let cookie = Some((INITIATION_LEN, COOKIE));
    Ok(vec![
        bytes,
        checked,
        handshakes("handshakes for another router", &astray, FRAMES, None, None),
        // Few enough for the router to work on each: what that costs.
        handshakes("8 handshakes of strangers a second", &strange, 1, Some(SLOW), None),
        handshakes("handshakes of strangers, from one address", &strange, 1, None, cookie),
        handshakes("handshakes of strangers, from everywhere", &strange, FRAMES, None, cookie),
    ])
}

/// What looks like a handshake by chance: one in thousands.
const JUNK: u64 = 100;
/// An address that sends more than 64 in a tenth of a second is denied for a second; what was queued until then comes
/// too.
const ONE_ADDRESS: u64 = 1_000;
/// Twice the number that the filter thins them out to.
const EVERYWHERE: u64 = 2_000;

/// Below what a router works on in any case.
const SLOW: u32 = 8;

/// Handshakes that are right in all but that nobody knows their keys.
fn initiations(router: &PublicKey, rng: &mut Rng) -> Result<Vec<Vec<u8>>> {
    let one = |number: u32, rng: &mut Rng| -> Option<Vec<u8>> {
        let (own, ephemeral) = (StaticKey::new(secret(rng)), secret(rng));
        let mut packet = vec![0; INITIATION_LEN + frame::CRC_LEN];
        let stamp = STAMP + u64::from(number);
        let (len, _) = Initiator::begin(
            &own,
            router,
            Wire::Udp,
            number,
            stamp,
            &ephemeral,
            None,
            &mut packet,
        )?;
        frame::seal(&mut packet, len).ok()?;
        Some(packet)
    };
    (0..FRAMES as u32).map(|number| one(number, rng).context("a handshake")).collect()
}

/// Some time in 2027, in milliseconds since 1970.
const STAMP: u64 = 1_800_000_000_000;

fn secret(rng: &mut Rng) -> SecretKey {
    let mut key = SecretKey::ZERO;
    key.as_mut_bytes().copy_from_slice(&rng.bytes(32));
    key
}

/// Frames that carry `packets`, as if they came from so many addresses.
fn to_router(packets: Vec<Vec<u8>>, mac: [u8; 6], sources: usize) -> Vec<Vec<u8>> {
    let to = SocketAddrV4::new(ROUTER, AGENT_PORT);
    let frame = |(packet, number): (&Vec<u8>, usize)| {
        let from = Ipv4Addr::from_bits(STRANGER.to_bits() + (number % sources) as u32);
        Datagram { from: SocketAddrV4::new(from, 40_000), to, payload: packet }.frame(mac)
    };
    packets.iter().zip(0..).map(frame).collect()
}
