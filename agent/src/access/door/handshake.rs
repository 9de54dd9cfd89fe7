//! Handshakes: the packets of senders without a session.

use proto_core::key::SecretKey;
use proto_core::protocol::session::{Initiation, Opened, Seek, Wire};

use super::{Door, INITIATIONS, Session, Source};
use crate::access::limits::Verdict;
use crate::access::owners::Standing;
use crate::requests::service::{Outlet, SCRATCH};
use crate::system::{Machine, System};

impl<S: System> Door<'_, S> {
    /// A handshake initiation whose sender knows the router's public key.
    #[inline(never)]
    pub(super) fn initiation(
        &mut self,
        packet: &[u8],
        source: &Source,
        outlet: &mut dyn Outlet,
    ) -> Option<()> {
        let (identity, gatekeys) = self.identity.as_ref()?;
        let machine = self.service.machine();
        let now = machine.now();
        let mut out = [0; SCRATCH];
        if source.wire == Wire::Udp {
            let proven = Initiation::shows_cookie(packet)?;
            self.sifted &= !self.sieve.note(source.origin(), proven, now)?;
        }
        let initiation = Initiation::parse(packet, gatekeys)?;
        if source.wire == Wire::Udp {
            self.sifted &= !self.cookies.freshen(machine);
            let proven = !initiation.is_bare();
            if proven && !self.cookies.gave(&initiation, source) {
                return None;
            }
            match self.limits.handshake(source.origin(), proven, now) {
                Verdict::Work => {}
                Verdict::Cookie => {
                    let fresh = self.cookies.cookie(source, self.cookies.newest);
                    let len = initiation.cookie_reply(&fresh, gatekeys, &mut out)?;
                    // The client sends the token back with the cookie.
                    self.sift(&mut |program| outlet.sift(program));
                    outlet.send(&mut out, len);
                    return Some(());
                }
                Verdict::Drop => return None,
            }
        }
        let mut ephemeral = SecretKey::ZERO;
        if machine.random(ephemeral.as_mut_bytes()).is_err() {
            // Early after power on. The client tries again; without a line in the log, nothing says why it has to.
            if self.limits.line(now) {
                machine.log(format_args!("no random numbers yet: a handshake is not answered"));
            }
            return None;
        }
        let opened = initiation.open(identity, source.wire, &ephemeral)?;
        drop(ephemeral);
        self.ownership.refresh();
        let (key, wire) = (opened.client, source.wire);
        if self.ownership.standing(&key, wire) == Standing::Stranger {
            return None;
        }
        let digest = initiation.digest();
        match self.ownership.take_stamp(&key, opened.stamp) {
            Ok(()) => self.remember(digest),
            Err(last) => return self.wrong_stamp(&opened, last, digest, &mut out, outlet),
        }
        let (len, channel) = opened.respond(&mut out)?;
        self.opened = self.opened.wrapping_add(1);
        let nth = self.opened;
        self.make_room(true, &key);
        let (since, heard) = (now, now);
        let session = Session { channel, key, wire, nth, since, heard, waiting: true, wrong: 0 };
        let _ = self.sessions.push(session);
        if wire == Wire::Udp {
            self.sifted = false;
            // The first packet of the session may already be in the socket's queue.
            self.sift(&mut |program| outlet.sift(program));
        }
        outlet.send(&mut out, len);
        Some(())
    }

    fn remember(&mut self, digest: u64) {
        if let Some(oldest) = self.initiations.get_mut(self.initiated) {
            *oldest = digest;
        }
        self.initiated = self.initiated.wrapping_add(1).checked_rem(INITIATIONS).unwrap_or(0);
    }

    /// Tells an owner the stamp that its next stamp has to follow, encrypted to that owner. A repeated initiation
    /// that is still remembered gets no answer; all other answers of this kind are rate limited.
    #[inline(never)]
    fn wrong_stamp(
        &mut self,
        opened: &Opened,
        last: u64,
        digest: u64,
        out: &mut [u8; SCRATCH],
        outlet: &mut dyn Outlet,
    ) -> Option<()> {
        let machine = self.service.machine();
        let repeated = last == opened.stamp || self.initiations.contains(&digest);
        if repeated || !self.limits.stamp(machine.now()) {
            return None;
        }
        let mut nonce = [0; 16];
        machine.random(&mut nonce).ok()?;
        let len = opened.wrong_stamp(last, &nonce, out)?;
        self.remember(digest);
        outlet.send(out, len);
        Some(())
    }

    /// A `SEEK`: a client looks for an unowned router.
    #[inline(never)]
    pub(super) fn seek(
        &mut self,
        packet: &[u8],
        source: &Source,
        outlet: &mut dyn Outlet,
    ) -> Option<()> {
        let (identity, _) = self.identity.as_ref()?;
        let seek = Seek::parse(packet)?;
        let udp = source.wire == Wire::Udp;
        if udp {
            let now = self.service.machine().now();
            self.sifted &= !self.sieve.note(source.origin(), false, now)?;
            if !self.ownership.label_is_good() {
                return None;
            }
        }
        self.ownership.refresh();
        if !self.ownership.is_empty() {
            return None;
        }
        let label = self.ownership.label().filter(|label| seek.knows(label));
        if udp && label.is_none() {
            return None;
        }
        let mut out = [0; SCRATCH];
        let len = seek.answer(&identity.public(), label, &mut out)?;
        outlet.send(&mut out, len);
        Some(())
    }
}
