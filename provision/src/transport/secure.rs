//! A session as a transport: encrypts packets, over any other transport.
//!
//! `proto_core::protocol::session::Connector` decides when to handshake; this module provides the
//! clock, randomness, stamps and a line. `find` finds the right router among the known ones.

use std::time::{Duration, Instant};

use proto_core::key::{PublicKey, SecretKey};
use proto_core::protocol::client::{ClientError, Patience, Step};
use proto_core::protocol::session::{Connector, Fresh, Heard, Wire};
use proto_core::protocol::{MAX_OUTER, MAX_PACKET};
use zeroize::Zeroizing;

use super::{Stray, Transport, TransportError};
use crate::drive;
use crate::home::Operator;

/// A session with a router.
pub struct Secure {
    line: Box<dyn Transport>,
    shaker: Shaker,
    /// The last packet that was sent, until something is received. If the router has to be found
    /// again, it is sent at once, without waiting for the sender's timeout.
    unanswered: Option<Zeroizing<Vec<u8>>>,
}

impl std::fmt::Debug for Secure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secure").field("router", &self.shaker.router).finish_non_exhaustive()
    }
}

/// Handshakes with one router.
pub(super) struct Shaker {
    pub(super) router: PublicKey,
    pub(super) connector: Connector,
    operator: Operator,
    started: Instant,
}

impl Shaker {
    pub(super) fn new(
        operator: &Operator,
        router: PublicKey,
        wire: Wire,
        patience: Patience,
        started: Instant,
    ) -> Self {
        let connector = Connector::new(operator.key.clone(), router, wire, patience);
        Self { router, connector, operator: operator.clone(), started }
    }

    fn time(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes a packet and writes its contents to `out`.
    pub(super) fn receive(&mut self, now: Instant, packet: &[u8], out: &mut [u8]) -> Heard {
        let heard = self.connector.receive(self.time(now), packet, out);
        if let Heard::Stamp(last) = heard {
            // If this fails, the next stamp fails too, and reports the reason.
            let _ = self.operator.stamp_after(last);
        }
        heard
    }

    /// Sends an initiation when one is due. Returns the time until the next one.
    pub(super) fn tend(&mut self, line: &mut dyn Transport) -> Result<Tended, TransportError> {
        let mut out = [0; MAX_OUTER];
        let (now, mut failed) = (self.time(line.now()), None);
        let mut fresh = || {
            fresh(&self.operator).unwrap_or_else(|error| {
                failed = Some(error);
                Fresh { ephemeral: SecretKey::ZERO, index: 0, stamp: 0 }
            })
        };
        let step = self.connector.poll(now, &mut fresh, &mut out);
        if let Some(error) = failed {
            return Err(error);
        }
        match step {
            Ok(Step::Send(len)) => {
                line.send(out.get(..len).unwrap_or_default()).map(|()| Tended::Sent)
            }
            Ok(Step::Wait(until)) => {
                Ok(Tended::Rests(Duration::from_millis(until.saturating_sub(now).max(1))))
            }
            Ok(Step::Done) | Err(ClientError::Silence) => Ok(Tended::GaveUp),
            Err(_) => Err(TransportError::Open {
                code: "not_a_key",
                message: format!("{} is not a valid public key", self.router),
                hint: Some("`postwired identity` on the router prints its key".into()),
            }),
        }
    }
}

/// The result of [`Shaker::tend`].
pub(super) enum Tended {
    /// It sent an initiation.
    Sent,
    /// Nothing is due for this long.
    Rests(Duration),
    /// The router did not answer within the timeout.
    GaveUp,
}

fn fresh(operator: &Operator) -> Result<Fresh, TransportError> {
    let mut fresh =
        Fresh { ephemeral: SecretKey::new(random()?), index: 0, stamp: operator.stamp()? };
    fresh.index = u32::from_le_bytes(random()?);
    Ok(fresh)
}

/// Random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], TransportError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(TransportError::Random)?;
    Ok(bytes)
}

impl Secure {
    pub(super) fn new(line: Box<dyn Transport>, shaker: Shaker) -> Self {
        Self { line, shaker, unanswered: None }
    }

    /// The router's key.
    #[must_use]
    pub const fn router(&self) -> PublicKey {
        self.shaker.router
    }

    /// The operator's key.
    #[must_use]
    pub fn own(&self) -> PublicKey {
        self.shaker.operator.public()
    }

    /// The handshake hash: it differs between sessions and is the same at both ends. `None` without
    /// a session.
    #[must_use]
    pub fn handshake_hash(&self) -> Option<[u8; 32]> {
        self.shaker.connector.handshake_hash().copied()
    }

    /// Milliseconds from the last handshake's initiation to its response.
    #[must_use]
    pub const fn round_trip(&self) -> Option<u32> {
        self.shaker.connector.round_trip()
    }

    /// Changes its timeouts, once the number of bytes in flight is known.
    pub fn set_patience(&mut self, patience: Patience) {
        self.shaker.connector.set_patience(patience);
    }

    /// Takes received data, and returns its contents for the caller.
    fn take(&mut self, packet: &[u8]) -> Result<Option<Vec<u8>>, TransportError> {
        let mut out = [0; MAX_PACKET];
        match self.shaker.receive(self.line.now(), packet, &mut out) {
            Heard::Nothing | Heard::Stamp(_) => {}
            Heard::Packet(len) => {
                self.unanswered = None;
                return Ok(out.get(..len).map(<[u8]>::to_vec));
            }
            Heard::Up => {
                if let Some(packet) = self.unanswered.take() {
                    self.send(&packet)?;
                }
            }
        }
        Ok(None)
    }
}

impl Secure {
    /// Sends a packet through the session.
    ///
    /// # Errors
    /// [`TransportError`]; after [`TransportError::Passing`] it may be tried again.
    pub fn send(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        self.unanswered = Some(Zeroizing::new(packet.to_vec()));
        let mut out = [0; MAX_OUTER];
        match self.shaker.connector.seal(self.shaker.time(self.line.now()), packet, &mut out) {
            Some(len) => self.line.send(out.get(..len).unwrap_or_default()),
            // The session was too old: the packet is sent in the next session, which `recv` opens.
            None => Ok(()),
        }
    }

    /// Waits for a packet of the session, no longer than `timeout`, and renews the session in the meantime.
    ///
    /// # Errors
    /// As [`Secure::send`].
    pub async fn recv(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        let until = self.line.now() + timeout;
        loop {
            let left = until.saturating_duration_since(self.line.now());
            let wait = match self.shaker.tend(self.line.as_mut())? {
                Tended::Sent => Duration::ZERO,
                Tended::Rests(rest) => left.min(rest),
                Tended::GaveUp => left,
            };
            if let Some(packet) = drive::receive(self.line.as_mut(), wait).await?
                && let Some(inner) = self.take(&packet)?
            {
                return Ok(Some(inner));
            }
            if self.line.now() >= until {
                return Ok(None);
            }
        }
    }

    /// The line under the session.
    #[must_use]
    pub fn line(&self) -> &dyn Transport {
        self.line.as_ref()
    }

    /// The bytes received on the line outside of packets.
    pub fn stray(&mut self) -> &mut Stray {
        self.line.stray()
    }
}

#[cfg(test)]
mod tests;
