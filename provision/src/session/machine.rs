//! One trait over the three state machines of `proto_core::protocol::client`, so that one loop drives all of
//! them.

use proto_core::protocol::client::{Call, Caller, ClientError, Download, Progress, Step, Upload};
use proto_core::protocol::message::{Answer, Ask, Reply};

use crate::observe::{Event, Observer};

/// The reason why a machine stopped. Boxed, because a failure is large and rare.
pub(super) type Ended = Box<ClientError>;

/// A state machine that is polled for packets and given the received ones.
pub(super) trait Machine: Send {
    fn poll(&mut self, caller: &mut Caller, now: u64, buf: &mut [u8]) -> Result<Step, Ended>;

    fn receive(
        &mut self,
        caller: &mut Caller,
        now: u64,
        reply: Reply<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(), Ended>;
}

/// A request, and its reply once received.
pub(super) struct Asking<'a> {
    pub(super) call: Call,
    pub(super) ask: Ask<'a>,
    pub(super) answer: Option<Answer<'static>>,
}

impl Machine for Asking<'_> {
    fn poll(&mut self, caller: &mut Caller, now: u64, buf: &mut [u8]) -> Result<Step, Ended> {
        Ok(self.call.poll(caller, now, &self.ask, buf)?)
    }

    fn receive(
        &mut self,
        caller: &mut Caller,
        now: u64,
        reply: Reply<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(), Ended> {
        match self.call.receive(caller, now, reply)? {
            Progress::Foreign => {}
            Progress::Working { phase, done, total } => {
                observer.event(Event::Working { phase, done, total })
            }
            Progress::Answered(answer) => {
                self.answer = Some(owned(answer).ok_or(ClientError::Unexpected)?)
            }
        }
        Ok(())
    }
}

/// A request for ranges; once received, the number of the stored configuration and its ranges.
pub(super) struct Ranging<'a> {
    pub(super) call: Call,
    pub(super) ask: Ask<'a>,
    pub(super) ranges: Option<(u32, Vec<u8>)>,
}

impl Machine for Ranging<'_> {
    fn poll(&mut self, caller: &mut Caller, now: u64, buf: &mut [u8]) -> Result<Step, Ended> {
        Ok(self.call.poll(caller, now, &self.ask, buf)?)
    }

    fn receive(
        &mut self,
        caller: &mut Caller,
        now: u64,
        reply: Reply<'_>,
        _: &mut dyn Observer,
    ) -> Result<(), Ended> {
        match self.call.receive(caller, now, reply)? {
            Progress::Answered(Answer::Ranges { number, ranges }) => {
                self.ranges = Some((number, ranges.to_vec()));
            }
            Progress::Answered(_) => return Err(ClientError::Unexpected.into()),
            Progress::Foreign | Progress::Working { .. } => {}
        }
        Ok(())
    }
}

/// The reply without borrowed parts. Only `Data` and `Ranges` borrow, and they have machines of their own.
fn owned(answer: Answer<'_>) -> Option<Answer<'static>> {
    Some(match answer {
        Answer::Data { .. } | Answer::Ranges { .. } | Answer::Unknown(_) => return None,
        Answer::Hello(hello) => Answer::Hello(hello),
        Answer::Status(status) => Answer::Status(status),
        Answer::Received { stage, arrived } => Answer::Received { stage, arrived },
        Answer::Planned(summary) => Answer::Planned(summary),
        Answer::Applied(applied) => Answer::Applied(applied),
        Answer::Aborted => Answer::Aborted,
        Answer::Ready { file, length, digest } => Answer::Ready { file, length, digest },
        Answer::Working { phase, done, total } => Answer::Working { phase, done, total },
        Answer::Failed(failure) => Answer::Failed(failure),
        Answer::Owned { owners } => Answer::Owned { owners },
        Answer::Owners(owners) => Answer::Owners(owners),
        Answer::Confirmed { interface, number } => Answer::Confirmed { interface, number },
        Answer::Reverted { interface } => Answer::Reverted { interface },
        Answer::Console { mode, prompt, file, length, digest, failed } => {
            Answer::Console { mode, prompt, file, length, digest, failed }
        }
    })
}

impl Machine for Upload<&[u8]> {
    fn poll(&mut self, caller: &mut Caller, now: u64, buf: &mut [u8]) -> Result<Step, Ended> {
        Ok(Upload::poll(self, caller, now, buf)?)
    }

    fn receive(
        &mut self,
        caller: &mut Caller,
        now: u64,
        reply: Reply<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(), Ended> {
        Upload::receive(self, caller, now, reply)?;
        let (done, total) = self.progress();
        observer.event(Event::Uploading { done, total });
        Ok(())
    }
}

/// A download and its received bytes.
pub(super) struct Downloading<'f> {
    pub(super) download: Download<&'f mut [u8]>,
    pub(super) total: u32,
    pub(super) here: u32,
}

impl Machine for Downloading<'_> {
    fn poll(&mut self, caller: &mut Caller, now: u64, buf: &mut [u8]) -> Result<Step, Ended> {
        Ok(self.download.poll(caller, now, buf)?)
    }

    fn receive(
        &mut self,
        caller: &mut Caller,
        now: u64,
        reply: Reply<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(), Ended> {
        if let Answer::Data { data, .. } = &reply.answer {
            let count = u32::try_from(data.len()).unwrap_or(u32::MAX);
            self.here = self.here.saturating_add(count).min(self.total);
        }
        self.download.receive(caller, now, reply)?;
        observer.event(Event::Reading { done: self.here, total: self.total });
        Ok(())
    }
}
