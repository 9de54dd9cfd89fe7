//! What a router is flooded with: ready frames, and what may come back.

use super::{ROUTER, barrage::Answers};
use crate::{
    lab::{AGENT_PORT, Datagram},
    rng::Rng,
};
use anyhow::{Result, ensure};
use proto_core::{key::PublicKey, protocol::frame};
use std::net::{Ipv4Addr, SocketAddrV4};

/// How many different frames there are of each kind.
const FRAMES: usize = 2_000;

/// Frames of one kind.
pub(super) struct Shots {
    pub(super) name: &'static str,
    pub(super) frames: Vec<Vec<u8>>,
    /// Instead of the rate of a flood.
    pub(super) rate: Option<u32>,
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
    let _ = router;
    let mut random = |name, check| {
        let frames = (0..FRAMES).map(|number| {
            let len = rng.next() as usize % 300;
            let mut packet = rng.bytes(len + frame::CRC_LEN);
            if check {
                // A kind of packet that there is, with nothing behind it that makes sense.
                packet[0] = 1 + number as u8 % 9;
                let _ = frame::seal(&mut packet, len);
            }
            to_router(source(number as u32), mac, &packet)
        });
        Shots { name, frames: frames.collect(), rate: None, answer: None }
    };
    Ok(vec![random("random bytes", false), random("random bytes with a good CRC", true)])
}

/// An address that is not ours.
fn source(number: u32) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from_bits(0xc612_0000 + number % 0x2_0000), 40_000)
}

fn to_router(from: SocketAddrV4, mac: [u8; 6], payload: &[u8]) -> Vec<u8> {
    Datagram { from, to: SocketAddrV4::new(ROUTER, AGENT_PORT), payload }.frame(mac)
}
