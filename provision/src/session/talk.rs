//! The exchange of packets under a session: one client of `proto_core::protocol::client`, with a real clock and a real
//! transport.
//!
//! Not here: the meaning of requests and replies.

use std::time::{Duration, Instant};

use proto_core::protocol::client::{Call, Caller, ClientError, Line, Patience, Step};
use proto_core::protocol::envelope;
use proto_core::protocol::message::{Answer, Ask};
use proto_core::protocol::session::Wire;
use proto_core::protocol::{MAX_DATA, MAX_PACKET};

use super::SessionError;
use super::machine::{Asking, Machine};
use crate::observe::Observer;
use crate::transport::{Refusals, Secure};

/// A client over a secure transport.
pub(super) struct Talk<'u> {
    pub(super) transport: Secure,
    pub(super) observer: &'u mut dyn Observer,
    pub(super) caller: Caller,
    started: Instant,
    pub(super) timeout: Duration,
    refusals: Refusals,
}

impl<'u> Talk<'u> {
    pub(super) fn new(
        transport: Secure,
        timeout: Duration,
        observer: &'u mut dyn Observer,
    ) -> Result<Self, SessionError> {
        let mut client = [0; 8];
        getrandom::fill(&mut client).map_err(SessionError::Random)?;
        let mut caller = Caller::new(client, patience(timeout));
        caller.set_line(Line {
            baud: transport.line().baud(),
            in_order: transport.line().wire() == Wire::Serial,
        });
        if let Some(round_trip) = transport.round_trip() {
            caller.timed(round_trip.into());
        }
        let started = transport.line().now();
        Ok(Self { transport, observer, caller, started, timeout, refusals: Refusals::default() })
    }

    /// Bytes in one piece before the router has given its limit: every router accepts the maximum.
    pub(super) fn likely_piece(&self) -> u16 {
        u16::try_from(MAX_DATA).unwrap_or(u16::MAX).min(self.transport.line().max_piece())
    }

    pub(super) fn now(&self) -> u64 {
        let since = self.transport.line().now().saturating_duration_since(self.started);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Sends one request and returns the reply.
    pub(super) async fn call(&mut self, ask: Ask<'_>) -> Result<Answer<'static>, SessionError> {
        let now = self.now();
        let mut asking = Asking { call: Call::new(now), ask, answer: None };
        self.drive(&mut asking).await?;
        asking.answer.ok_or(SessionError::Nonsense("the reply is missing"))
    }

    /// Runs a machine until it is done.
    ///
    /// Reads all received packets before sending the next one, also while the line is busy with the last one:
    /// an unread reply looks like a lost reply, and two ends that only write would wait for each other.
    pub(super) async fn drive(&mut self, machine: &mut dyn Machine) -> Result<(), SessionError> {
        let mut buf = [0; MAX_PACKET];
        loop {
            let busy = self.transport.line().busy();
            if self.receive(machine, busy).await? || !self.transport.line().busy().is_zero() {
                continue;
            }
            let now = self.now();
            let step = machine.poll(&mut self.caller, now, &mut buf);
            match step.map_err(|error| self.ended(*error))? {
                Step::Done => return Ok(()),
                Step::Send(len) => {
                    let packet = buf.get(..len).unwrap_or_default();
                    let sent = self.transport.send(packet);
                    self.refusals.pass(sent)?;
                }
                Step::Wait(until) => {
                    let wait = Duration::from_millis(until.saturating_sub(now).max(1));
                    self.receive(machine, wait).await?;
                }
            }
        }
    }

    /// Receives a packet, waiting no longer than `wait`. Returns whether a packet arrived.
    async fn receive(
        &mut self,
        machine: &mut dyn Machine,
        wait: Duration,
    ) -> Result<bool, SessionError> {
        let received = self.transport.recv(wait).await;
        self.observer.stray(self.transport.stray(), false);
        let Some(packet) = self.refusals.pass(received)?.flatten() else { return Ok(false) };
        self.refusals = Refusals::default();
        let now = self.now();
        match self.caller.reply(&packet) {
            Some(reply) => machine
                .receive(&mut self.caller, now, reply, self.observer)
                .map_err(|error| self.ended(*error))?,
            None => self.foreign(&packet),
        }
        Ok(true)
    }

    fn foreign(&mut self, packet: &[u8]) {
        let what =
            match envelope::read::<proto_core::protocol::message::Reply<'_>>(packet, |_| true) {
                Ok(_) => "a reply to another client",
                Err(_) => "a packet that is not a reply",
            };
        self.observer.detail(&format!("dropped {what} ({} bytes)", packet.len()));
    }

    pub(super) fn ended(&mut self, error: ClientError) -> SessionError {
        self.observer.stray(self.transport.stray(), true);
        match error {
            ClientError::Silence => SessionError::Silence {
                name: self.transport.line().name().into(),
                waited: self.timeout,
                hint: self.refusals.reason().hint(self.transport.line().silence_hint_later()),
                reason: self.refusals.reason(),
            },
            ClientError::Failed(failure) => SessionError::Failed(failure.into()),
            ClientError::Restarts => SessionError::Restarts,
            ClientError::Unexpected => SessionError::Nonsense("unexpected reply"),
            ClientError::NotUnderstood => {
                SessionError::Nonsense("the reply is newer than this postwire: update postwire")
            }
            ClientError::TooLong => SessionError::Nonsense("the request does not fit a packet"),
            ClientError::WeakKey => SessionError::Nonsense("the router's key has small order"),
            _ => SessionError::Nonsense(
                "the length of the router's file does not match its announcement",
            ),
        }
    }
}

pub(super) fn patience(timeout: Duration) -> Patience {
    Patience { resend: 300, give_up: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX) }
}
