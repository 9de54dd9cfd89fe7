//! A configuration that arrives in pieces: the place of each piece in the stage file, the pieces that have arrived,
//! and the client it belongs to. There is one stage at a time.

use proto_core::key::PublicKey;
use proto_core::netlink::Errno;
use proto_core::protocol::message::{ClientId, Code, Name, OwnerName, Patch, Subject};
use proto_core::protocol::packed;
use proto_core::protocol::window::{self, Arrived};
use proto_core::protocol::{Digest, MAX_DATA};
use zeroize::Zeroizing;

use crate::config::image::Span;
use crate::fault::{Fault, Slot};
use crate::system::File;

/// Milliseconds without a new piece after which another client may take the stage. An active client sends a piece
/// every second, and gives up after ten.
pub const PATIENCE: u64 = 12_000;
/// The most milliseconds that a stage keeps other clients waiting, while it arrives and again when it is complete: a
/// fixed time, and while it arrives a time for each byte that has arrived, which is half the speed of a line of 2,400
/// baud.
const LONGEST: (u64, u64) = (600_000, 10);

/// The largest image in bytes: its index must fit 32-bit offsets too.
pub const MAX_IMAGE: u32 = 256 * 1024 * 1024;

/// The announcement of a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announced {
    /// The interface to configure.
    pub interface: Name,
    /// Bytes.
    pub length: u32,
    /// Digest of the whole image.
    pub digest: Digest,
    /// Bytes of every piece but the last.
    pub piece_size: u16,
    /// The patch that is sent in place of the image.
    pub patch: Option<Patch>,
}

/// The stage in use.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its number.
    pub id: u32,
    /// The key of its owner.
    pub key: PublicKey,
    /// The client that sends it.
    pub client: ClientId,
    /// The name of its owner.
    pub by: OwnerName,
    /// The announced image.
    pub announced: Announced,
    /// The pieces that have arrived.
    pub arrived: Arrived,
    /// Place of the image in the stage file, once it was made from a patch.
    pub made: Option<Span>,
    /// Whether the whole image has the announced digest.
    pub checked: bool,
    /// Time of the announcement, or of the last piece that was missing.
    pub since: u64,
    /// Time of the last useful request of its client: a new piece, a plan, or the announcement.
    pub heard: u64,
}

impl Announced {
    /// Checks that such an image can be accepted, and that `data` is empty or all that is sent.
    ///
    /// # Errors
    /// [`Code::Config`] naming the number that was exceeded, [`Code::Malformed`].
    pub fn check(&self, slot: &Slot, data: &[u8]) -> Result<(), Fault> {
        if self.piece_size == 0 || usize::from(self.piece_size) > MAX_DATA {
            return Err(slot.fail(Code::Malformed, Subject::None, "no such piece size"));
        }
        if self.length.max(self.sent()) > MAX_IMAGE {
            let words = format_args!("the image of {} bytes is over {MAX_IMAGE}", self.length);
            return Err(slot.say(Code::Config, Subject::None, Errno(0), words));
        }
        if !data.is_empty() && !unpacked(data, self.sent(), &mut |_| ()) {
            let text = "`data` is neither empty nor all of what is sent";
            return Err(slot.fail(Code::Malformed, Subject::None, text));
        }
        Ok(())
    }

    /// Number of bytes that are sent: of the image, or of its patch.
    #[must_use]
    pub fn sent(&self) -> u32 {
        self.patch.map_or(self.length, |patch| patch.length)
    }

    /// Number of pieces that are sent.
    fn pieces(&self) -> u32 {
        window::pieces(self.sent(), self.piece_size)
    }
}

impl Stage {
    /// Whether all pieces have arrived.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.arrived.base >= self.announced.pieces()
    }

    /// Marks all pieces as arrived.
    pub fn complete(&mut self) {
        self.arrived = Arrived { base: self.announced.pieces(), ahead: 0 };
    }

    /// Time from which another client may take the stage.
    #[must_use]
    pub fn stale_at(&self) -> u64 {
        let (fixed, per_byte) = LONGEST;
        let arriving = if self.is_complete() { 0 } else { self.arrived.base };
        let bytes = u64::from(arriving).saturating_mul(self.announced.piece_size.into());
        let longest = bytes.saturating_mul(per_byte);
        let longest = self.since.saturating_add(fixed).saturating_add(longest);
        self.heard.saturating_add(PATIENCE).min(longest)
    }

    /// Whether the stage belongs to this client of this owner.
    #[must_use]
    pub fn is_of(&self, (key, client): (&PublicKey, &ClientId)) -> bool {
        self.key == *key && self.client == *client
    }

    /// Stores a piece at time `now`. A repeated piece changes nothing.
    ///
    /// # Errors
    /// [`Code::Malformed`] for a piece of the wrong size, [`Code::Storage`].
    pub fn piece<F: File>(
        &mut self,
        slot: &Slot,
        file: &mut F,
        index: u32,
        data: &[u8],
        now: u64,
    ) -> Result<(), Fault> {
        let Announced { piece_size, .. } = self.announced;
        let Some((offset, size)) = window::span(self.announced.sent(), piece_size, index) else {
            return Err(slot.fail(Code::Malformed, Subject::None, "a piece after the last one"));
        };
        if self.arrived.wants(index) {
            write(slot, file, offset, data, size.into())?;
            self.arrived.insert(index);
            self.heard = now;
            if self.is_complete() {
                self.since = now;
            }
        }
        Ok(())
    }

    /// Stores all that is sent.
    ///
    /// # Errors
    /// As [`Stage::piece`].
    pub fn whole<F: File>(&mut self, slot: &Slot, file: &mut F, data: &[u8]) -> Result<(), Fault> {
        write(slot, file, 0, data, self.announced.sent())?;
        self.complete();
        Ok(())
    }
}

/// Hands `take` the `size` bytes that `data` stands for. `false` if it stands for another number.
#[inline(never)]
fn unpacked(data: &[u8], size: u32, take: &mut dyn FnMut(&[u8])) -> bool {
    let mut room = Zeroizing::new([0; packed::MAX_UNPACKED]);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    packed::bytes(data, size, &mut *room).map(take).is_some()
}

/// Writes the `size` bytes that `data` stands for.
fn write<F: File>(
    slot: &Slot,
    file: &mut F,
    offset: u32,
    data: &[u8],
    size: u32,
) -> Result<(), Fault> {
    let mut written = Ok(());
    if !unpacked(data, size, &mut |bytes| written = file.write_at(offset, bytes)) {
        return Err(slot.fail(Code::Malformed, Subject::None, "a piece of the wrong size"));
    }
    written.map_err(|errno| slot.storage(errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;
    use proto_core::protocol::message::cut;

    #[test]
    fn a_stage_keeps_others_waiting_for_what_has_arrived_and_not_for_what_was_announced() {
        let slot = Slot::default();
        let mut file = Memory::default();
        let interface = "wg0".parse().unwrap();
        let announced = |length, piece_size| Announced {
            interface,
            length,
            digest: [0; 32],
            piece_size,
            patch: None,
        };
        let begun = |announced| Stage {
            id: 1,
            key: PublicKey([1; 32]),
            client: [1; 8],
            by: cut("anne"),
            announced,
            arrived: Arrived::default(),
            made: None,
            checked: false,
            since: 0,
            heard: 0,
        };
        // A piece of one byte now and then, of the largest image.
        let mut stage = begun(announced(MAX_IMAGE, 1));
        let (mut now, mut index) = (0, 0);
        while now < stage.stale_at() {
            stage.piece(&slot, &mut file, index, &[1], now).unwrap();
            (now, index) = (now + PATIENCE - 1, index + 1);
        }
        assert!(now < 620_000, "{now}");
        // A line of 2,400 baud, which sends 240 bytes a second.
        let mut stage = begun(announced(1_000_000, 480));
        let mut now = 0;
        while !stage.is_complete() {
            now += 4_000;
            assert!(now < stage.stale_at(), "{now}");
            let size = window::span(1_000_000, 480, stage.arrived.base).unwrap().1;
            let data = vec![7; size.into()];
            stage.piece(&slot, &mut file, stage.arrived.base, &data, now).unwrap();
        }
        // One that is complete, whose client repeats its plan.
        let complete = now;
        while now < stage.stale_at() {
            stage.heard = now;
            now += PATIENCE - 1;
        }
        assert!(now - complete < 620_000, "{}", now - complete);
    }
}
