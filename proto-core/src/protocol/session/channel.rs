//! Transport packets of a session: encrypted, numbered by a counter, and each accepted once. The
//! bytes before the ciphertext (kind, version, receiver, counter) are authenticated with it.

use super::noise::{self, Noise, TAG_LEN, Wiped};
use super::{OVERHEAD, SESSION_VERSION, TO_CLIENT, TO_ROUTER, put, take};
use crate::protocol::MAX_PACKET;

/// Number of bytes before the ciphertext.
const HEAD_LEN: usize = OVERHEAD - TAG_LEN;

/// The side of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Client,
    Router,
}

/// One end of an established session. Its keys are wiped when it is dropped.
pub struct Channel {
    side: Side,
    /// The index of this end, and the index of the other end.
    local: u32,
    remote: u32,
    send: Wiped<32>,
    receive: Wiped<32>,
    /// Counter of the next packet.
    next: u64,
    window: Window,
    hash: [u8; 32],
}

impl core::fmt::Debug for Channel {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { side, local, next, .. } = self;
        write!(f, "Channel({side:?}, {local:08x}, {next} sent)")
    }
}

impl Channel {
    /// The channel of a complete handshake. The client has chosen its own index; the router's is
    /// the start of the handshake hash, so an attacker cannot change it.
    #[cfg_attr(feature = "small", inline(never))]
    pub(super) fn new(noise: &Noise, side: Side, client: u32) -> Self {
        let hash = *noise.hash();
        let router = u32::from_le_bytes(take(&hash, 0));
        let (to_router, to_client) = noise.split();
        let (local, remote, send, receive) = match side {
            Side::Client => (client, router, to_router, to_client),
            Side::Router => (router, client, to_client, to_router),
        };
        Self { side, local, remote, send, receive, next: 0, window: Window::default(), hash }
    }

    /// The index by which the other end addresses this one.
    #[must_use]
    pub const fn local(&self) -> u32 {
        self.local
    }

    pub(super) const fn remote(&self) -> u32 {
        self.remote
    }

    /// The handshake hash: unique for each handshake, and the same at both ends.
    #[must_use]
    pub const fn handshake_hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Number of packets sealed.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.next
    }

    /// Sets the number of sealed packets, for tests.
    #[cfg(test)]
    pub(super) const fn skip_to(&mut self, next: u64) {
        self.next = next;
    }

    /// Encrypts `plain` into `out` as a transport packet and returns the packet's length. `None` if
    /// `out` is too short, or `plain` is longer than [`MAX_PACKET`] bytes.
    #[must_use]
    #[cfg_attr(feature = "small", inline(never))]
    pub fn seal(&mut self, plain: &[u8], out: &mut [u8]) -> Option<usize> {
        let len = plain.len().checked_add(OVERHEAD)?;
        let out = out.get_mut(..len).filter(|_| plain.len() <= MAX_PACKET)?;
        let counter = self.next;
        // Noise reserves the last counter.
        self.next = counter.checked_add(1)?;
        let kind = match self.side {
            Side::Client => TO_ROUTER,
            Side::Router => TO_CLIENT,
        };
        let (head, body) = out.split_at_mut_checked(HEAD_LEN)?;
        put(head, 0, &[kind, SESSION_VERSION]);
        put(head, 2, &self.remote.to_le_bytes());
        put(head, 6, &counter.to_le_bytes());
        noise::encrypt(&self.send, counter, head, plain, body)?;
        Some(len)
    }

    /// Decrypts a transport packet into `out` and returns the length of its content.
    ///
    /// `None` for a packet of another session, for a forged packet, and for a replay or a packet
    /// older than the window; `out` is then unchanged.
    #[must_use]
    #[cfg_attr(feature = "small", inline(never))]
    pub fn open(&mut self, packet: &[u8], out: &mut [u8]) -> Option<usize> {
        let kind = match self.side {
            Side::Client => TO_CLIENT,
            Side::Router => TO_ROUTER,
        };
        if receiver(packet) != Some((kind, self.local)) {
            return None;
        }
        let counter = u64::from_le_bytes(take(packet, 6));
        if !self.window.wants(counter) {
            return None;
        }
        let len = packet.len().checked_sub(OVERHEAD)?;
        let out = out.get_mut(..len)?;
        let (head, body) = packet.split_at_checked(HEAD_LEN)?;
        noise::decrypt(&self.receive, counter, head, body, out)?;
        self.window.insert(counter);
        Some(len)
    }
}

/// The kind of a transport packet and the index of its receiver, which identifies the channel.
/// `None` for any other packet.
#[must_use]
pub fn receiver(packet: &[u8]) -> Option<(u8, u32)> {
    match packet.first_chunk() {
        Some(&[kind @ (TO_ROUTER | TO_CLIENT), SESSION_VERSION, a, b, c, d])
            if packet.len() >= OVERHEAD =>
        {
            Some((kind, u32::from_le_bytes([a, b, c, d])))
        }
        _ => None,
    }
}

/// The counters that have arrived: the highest one and the 127 before it individually; every older
/// counter counts as seen.
#[derive(Clone, Copy, Default)]
struct Window {
    /// One more than the highest counter that has arrived.
    end: u64,
    /// Bit `n` is counter `end - 1 - n`.
    seen: u128,
}

impl Window {
    /// Whether this counter has not arrived yet. The last counter is never accepted, because Noise
    /// reserves it.
    #[cfg_attr(feature = "small", inline(never))]
    fn wants(&self, counter: u64) -> bool {
        match self.end.checked_sub(counter) {
            None | Some(0) => counter != u64::MAX,
            Some(back) => u32::try_from(back)
                .ok()
                .and_then(|back| self.seen.checked_shr(back.saturating_sub(1)))
                .is_some_and(|seen| seen & 1 == 0),
        }
    }

    /// Records a counter that `wants` accepted.
    #[cfg_attr(feature = "small", inline(never))]
    fn insert(&mut self, counter: u64) {
        let end = counter.saturating_add(1);
        if let Some(ahead) = end.checked_sub(self.end) {
            let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0);
            self.end = end;
        }
        let back = u32::try_from(self.end.saturating_sub(end)).unwrap_or(u32::MAX);
        self.seen |= 1_u128.checked_shl(back).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// The model of the window: every counter that has arrived, and a limit below which all count
    /// as seen.
    #[derive(Default)]
    struct Model(BTreeSet<u64>);

    impl Model {
        fn take(&mut self, counter: u64) -> bool {
            let oldest = self.0.last().map_or(0, |highest| highest.saturating_sub(127));
            counter >= oldest && counter != u64::MAX && self.0.insert(counter)
        }
    }

    fn agree(counters: impl IntoIterator<Item = u64>) {
        let (mut window, mut model) = (Window::default(), Model::default());
        for counter in counters {
            let wanted = window.wants(counter);
            assert_eq!(wanted, model.take(counter), "{counter} after {:?}", model.0);
            if wanted {
                window.insert(counter);
                assert!(!window.wants(counter));
            }
        }
    }

    #[test]
    fn the_edges_of_the_window() {
        agree([0, 0, 127, 0, 1, 128, 0, 1, 2, 255, 128, 127, 1000, 873, 872, 999, 873]);
        agree([u64::MAX, u64::MAX - 1, u64::MAX - 1, 0, u64::MAX - 128, u64::MAX - 129]);
        agree((0..300).rev());
        agree((0..300).chain(0..300));
    }

    proptest! {
        #[test]
        fn every_order(steps in prop::collection::vec((0..400_u64, any::<bool>()), 0..400)) {
            let mut at = 0_u64;
            agree(steps.into_iter().map(|(step, back)| {
                at = if back { at.saturating_sub(step) } else { at + step };
                at
            }));
        }
    }
}
