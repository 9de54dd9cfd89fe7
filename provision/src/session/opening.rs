//! The first requests of a session, sent together to save round trips: hello, status, and the first requests of a
//! push.

use proto_core::protocol::Digest;
use proto_core::protocol::client::{Caller, ClientError, Step};
use proto_core::protocol::message::Reply;
use proto_core::protocol::window::Arrived;

use super::machine::{Asking, Ended, Machine, Ranging};
use crate::observe::Observer;

/// The requests. None depends on the answer to another.
pub(super) struct Opening<'a> {
    pub(super) hello: Asking<'a>,
    pub(super) status: Asking<'a>,
    /// The announcement of an image.
    pub(super) begin: Option<Asking<'a>>,
    /// The first request for the differences.
    pub(super) ranging: Option<Ranging<'a>>,
}

/// The router's replies about an image from the opening of the session.
pub(super) struct Begun {
    /// The image.
    pub(super) digest: Digest,
    pub(super) piece_size: u16,
    pub(super) stage: u32,
    pub(super) arrived: Arrived,
    /// The reply to the first request for ranges, if sent; `None` if nothing is stored.
    pub(super) ranges: Option<Option<(u32, Vec<u8>)>>,
}

impl Opening<'_> {
    fn all(&mut self) -> impl Iterator<Item = &mut dyn Machine> {
        let begin = self.begin.as_mut().map(|begin| begin as &mut dyn Machine);
        let ranging = self.ranging.as_mut().map(|ranging| ranging as &mut dyn Machine);
        [Some(&mut self.hello as &mut dyn Machine), Some(&mut self.status), begin, ranging]
            .into_iter()
            .flatten()
    }
}

impl Machine for Opening<'_> {
    fn poll(&mut self, caller: &mut Caller, now: u64, buf: &mut [u8]) -> Result<Step, Ended> {
        let mut wait: Option<u64> = None;
        for machine in self.all() {
            match machine.poll(caller, now, buf)? {
                Step::Send(len) => return Ok(Step::Send(len)),
                Step::Wait(until) => wait = Some(wait.map_or(until, |wait| wait.min(until))),
                Step::Done => {}
            }
        }
        Ok(wait.map_or(Step::Done, Step::Wait))
    }

    fn receive(
        &mut self,
        caller: &mut Caller,
        now: u64,
        reply: Reply<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(), Ended> {
        if self.hello.call.is_about(&reply) {
            return self.hello.receive(caller, now, reply, observer);
        }
        if self.status.call.is_about(&reply) {
            return self.status.receive(caller, now, reply, observer);
        }
        let begins = self.begin.as_ref().is_some_and(|begin| begin.call.is_about(&reply));
        let outcome = if begins {
            self.begin.as_mut().map(|begin| begin.receive(caller, now, reply, observer))
        } else {
            self.ranging.as_mut().map(|ranging| ranging.receive(caller, now, reply, observer))
        };
        match outcome {
            // The push asks again, and reports the error.
            Some(Err(error)) if !matches!(*error, ClientError::Failed(_)) => Err(error),
            _ => Ok(()),
        }
    }
}
