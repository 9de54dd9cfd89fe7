//! The frames of a flood, and the replies that are allowed.

use super::{ROUTER, STRANGER, barrage::Answers};
use crate::{AGENT_PORT, Datagram};
use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use proto_core::{
    key::{PublicKey, SecretKey},
    protocol::{
        frame,
        session::{COOKIE, INITIATION_LEN, Initiator, StaticKey, Wire},
    },
};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Number of different frames of each kind.
const FRAMES: usize = 2_000;

/// Frames of one kind.
pub(super) struct Shots {
    pub(super) name: &'static str,
    pub(super) frames: Vec<Vec<u8>>,
    /// A rate for these frames in place of the flood's.
    pub(super) rate: Option<u32>,
    /// Number of datagrams per second that the kernel's filter may let through to the agent.
    pub(super) through: u64,
    /// Largest size and kind of an allowed reply; `None` if no reply is allowed.
    answer: Option<(usize, u8)>,
}

impl Shots {
    /// Fails if the replies are not as allowed.
    pub(super) fn check(&self, answers: &Answers) -> Result<()> {
        match self.answer {
            None => ensure!(answers.count == 0, "strangers got {answers}"),
            Some((longest, kind)) => ensure!(
                answers.longest < longest && answers.kinds.iter().all(|found| *found == kind),
                "unauthenticated senders got {answers}"
            ),
        }
        Ok(())
    }
}

/// All kinds of frames of a flood.
pub(super) fn all(mac: [u8; 6], router: &PublicKey, rng: &mut Rng) -> Result<Vec<Shots>> {
    let random = |name, check, rng: &mut Rng| {
        let packets = (0..FRAMES).map(|number| {
            let len = rng.usize(1..=300);
            let mut packet = vec![0; len + frame::CRC_LEN];
            rng.fill(&mut packet);
            if check {
                // A known kind of packet with random content.
                packet[0] = 1 + number as u8 % 9;
                let _ = frame::seal(&mut packet, len);
            }
            packet
        });
        let packets: Vec<Vec<u8>> = packets.collect();
        let frames = to_router(&packets, mac, FRAMES)?;
        anyhow::Ok(Shots { name, frames, rate: None, through: JUNK, answer: None })
    };
    let bytes = random("random bytes", false, rng)?;
    let checked = random("random bytes with a good CRC", true, rng)?;

    // To a router that does not exist: valid except for `mac1`, the check of the receiver.
    let astray = initiations(&StaticKey::new(secret(rng)).public(), rng)?;
    let strange = initiations(router, rng)?;
    let handshakes = |name, packets: &[Vec<u8>], sources, rate, answer| {
        let through = if sources == 1 { ONE_ADDRESS } else { EVERYWHERE };
        let frames = to_router(packets, mac, sources)?;
        anyhow::Ok(Shots { name, frames, rate, through, answer })
    };
    // A cookie is the only reply to an unauthenticated sender, and it is shorter than the request.
    let cookie = Some((INITIATION_LEN, COOKIE));
    Ok(vec![
        bytes,
        checked,
        handshakes("handshakes for another router", &astray, FRAMES, None, None)?,
        // Few enough that the router processes each: measures the full cost of one.
        handshakes("8 handshakes of strangers a second", &strange, 1, Some(SLOW), None)?,
        handshakes("handshakes of strangers, from one address", &strange, 1, None, cookie)?,
        handshakes("handshakes of strangers, from everywhere", &strange, FRAMES, None, cookie)?,
    ])
}

/// Random packets that look like a handshake by chance: one in thousands.
const JUNK: u64 = 100;
/// An address that sends more than 64 datagrams in a tenth of a second is blocked for a second;
/// datagrams that were queued before that arrive too.
const ONE_ADDRESS: u64 = 1_000;
/// Twice the limit of the filter.
const EVERYWHERE: u64 = 2_000;

/// Below the number that a router processes in any case.
const SLOW: u32 = 8;

/// Handshakes that are valid except that their keys are unknown.
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
    rng.fill(key.as_mut_bytes());
    key
}

/// Frames with `packets`, from this number of source addresses.
fn to_router(packets: &[Vec<u8>], mac: [u8; 6], sources: usize) -> Result<Vec<Vec<u8>>> {
    let to = SocketAddrV4::new(ROUTER, AGENT_PORT);
    let frame = |(packet, number): (&Vec<u8>, usize)| {
        let from = Ipv4Addr::from_bits(STRANGER.to_bits() + (number % sources) as u32);
        Datagram { from: SocketAddrV4::new(from, 40_000), to, payload: packet }.frame(mac)
    };
    packets.iter().zip(0..).map(frame).collect()
}
