//! The first requests of a session, sent together to save round trips: hello, status, and the first requests of a
//! push.

use proto_core::protocol::client::{Call, Caller, ClientError, Step, Upload};
use proto_core::protocol::message::{Answer, Ask, Hello, Reply, Status};
use proto_core::protocol::session::Wire;
use proto_core::protocol::window::Arrived;
use proto_core::protocol::{Digest, VERSION, digest};

use super::SessionError;
use super::machine::{Asking, Ended, Machine, Ranging};
use super::patch::Items;
use super::talk::Talk;
use crate::image::Image;
use crate::observe::Observer;

/// The router's replies to the first requests.
pub(super) struct Greeting {
    pub(super) hello: Hello,
    pub(super) status: Status,
    pub(super) begun: Option<Begun>,
}

/// Sends the first requests, with those of a push of `image`.
pub(super) async fn greet(
    talk: &mut Talk<'_>,
    image: Option<&Image>,
) -> Result<Greeting, SessionError> {
    let now = talk.now();
    let asking = |ask| Asking { call: Call::new(now), ask, answer: None };
    let bounds =
        match (image.and_then(|image| Items::new(&image.bytes)), talk.transport.line().wire()) {
            // On a serial line a round trip is short, but these bytes take long.
            (Some(items), Wire::Udp) => items.encode(&items.first_bounds()),
            _ => Vec::new(),
        };
    let (mut begin, mut ranging, mut begun) = (None, None, None);
    let piece_size = talk.likely_piece();
    let upload = match image {
        Some(Image { interface, bytes, .. }) => {
            let upload = Upload::new(now, *interface, bytes, piece_size, 1);
            Some(upload.map_err(|error| talk.ended(error))?)
        }
        None => None,
    };
    if let (Some(image), Some(upload)) = (image, &upload) {
        begin = Some(asking(upload.ask()));
        if !bounds.is_empty() && !upload.is_announced_whole() {
            let ask = Ask::Ranges { interface: image.interface, bounds: &bounds };
            ranging = Some(Ranging { call: Call::new(now), ask, ranges: None });
        }
        begun = Some((digest(&image.bytes), piece_size));
    }
    let hello = asking(Ask::Hello { min: VERSION, max: VERSION, features: 0 });
    let mut opening = Opening { hello, status: asking(Ask::Status), begin, ranging };
    talk.drive(&mut opening).await?;
    let nonsense = |text| Err(SessionError::Nonsense(text));
    let hello = match opening.hello.answer {
        Some(Answer::Hello(hello)) if hello.version != VERSION => {
            return nonsense("the router chose a protocol version that was not offered");
        }
        Some(Answer::Hello(hello)) if hello.max_data == 0 => {
            return nonsense("the router accepts no data");
        }
        Some(Answer::Hello(hello)) => hello,
        _ => return nonsense("unexpected reply to the hello"),
    };
    let Some(Answer::Status(status)) = opening.status.answer else {
        return nonsense("unexpected reply to the request for the status");
    };
    let begun = match (opening.begin.and_then(|begin| begin.answer), begun) {
        (Some(Answer::Received { stage, arrived }), Some((digest, piece_size))) => {
            let ranges = opening.ranging.map(|ranging| ranging.ranges);
            Some(Begun { digest, piece_size, stage, arrived, ranges })
        }
        _ => None,
    };
    Ok(Greeting { hello, status, begun })
}

/// The requests. None depends on the answer to another.
struct Opening<'a> {
    hello: Asking<'a>,
    status: Asking<'a>,
    /// The announcement of an image.
    begin: Option<Asking<'a>>,
    /// The first request for the differences.
    ranging: Option<Ranging<'a>>,
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
