//! Pushing an image, and asking what a push would change.

use proto_core::protocol::MAX_PACKET;
use proto_core::protocol::client::{Call, Step, Upload};
use proto_core::protocol::message::{Answer, Applied, Ask, Name, Summary};
use proto_core::protocol::report::Change;

use super::{MAX_RESTARTS, Session, SessionError};
use crate::image::Image;
use crate::transport::Transport as _;

/// What a push, or a repair, would do.
#[derive(Clone, PartialEq, Debug)]
pub struct Diff {
    /// In numbers.
    pub summary: Summary,
    /// One by one.
    pub changes: Vec<Change>,
}

impl Session<'_> {
    /// Makes the router run an image. It is true when this returns: the router has read its kernel
    /// back. With a `confirm_within` above 0 it goes back after so many seconds unless
    /// [`Session::confirm`] in another session comes first.
    ///
    /// # Errors
    /// [`SessionError`]. If [`Session::commit_sent`], a router that was not heard from since may or
    /// may not have made the change.
    pub fn push(&mut self, image: &Image, confirm_within: u16) -> Result<Applied, SessionError> {
        self.with_stage(image, |session, stage| {
            session.change(Ask::Commit { stage, confirm_within }, confirm_within)
        })
    }

    /// Asks what [`Session::push`] would change.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn diff(&mut self, image: &Image) -> Result<Diff, SessionError> {
        self.with_stage(image, |session, stage| {
            let diff = session.planned(Ask::Plan { stage }, stage)?;
            session.forget(stage);
            Ok(diff)
        })
    }

    /// Asks for a plan, and for its changes if there are any.
    pub(super) fn planned(&mut self, ask: Ask<'_>, stage: u32) -> Result<Diff, SessionError> {
        let Answer::Planned(summary) = self.call(ask)? else {
            return Err(SessionError::Nonsense("it did not say what it plans"));
        };
        let quiet = summary.is_quiet();
        let changes = if quiet { Vec::new() } else { self.file(Ask::Changes { stage })? };
        Ok(Diff { summary, changes })
    }

    /// Takes an interface away. What there was of it is in the summary.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn remove(&mut self, interface: &Name) -> Result<Applied, SessionError> {
        self.change(Ask::Remove { interface: *interface, confirm_within: 0 }, 0)
    }

    /// Uploads an image and works with its stage; anew when the router forgets it.
    fn with_stage<T>(
        &mut self,
        image: &Image,
        mut work: impl FnMut(&mut Self, u32) -> Result<T, SessionError>,
    ) -> Result<T, SessionError> {
        for _ in 0..MAX_RESTARTS {
            let stage = self.upload(image)?;
            match work(self, stage) {
                Err(error) if error.is_gone() => self.ui.detail("the router forgot: starting anew"),
                Err(error) => {
                    // Or else the next one who comes, with this file put right, finds it busy.
                    if error.is_heard() {
                        self.forget(stage);
                    }
                    return Err(error);
                }
                Ok(done) => return Ok(done),
            }
        }
        Err(SessionError::Restarts)
    }

    fn upload(&mut self, image: &Image) -> Result<u32, SessionError> {
        let (now, piece_size, in_flight) = (self.now(), self.piece_size(), self.hello.in_flight);
        let mut upload = Upload::new(now, image.interface, &image.bytes, piece_size, in_flight)
            .map_err(|error| self.ended(error))?;
        if let Err(error) = self.drive(&mut upload) {
            if let (true, Some(stage)) = (error.is_interrupt(), upload.begun()) {
                self.abandon(stage);
            }
            return Err(error);
        }
        let stage = upload.stage().ok_or(SessionError::Nonsense("it named no stage"))?;
        self.ui.detail(&format!("{} bytes are on the router as stage {stage}", image.bytes.len()));
        Ok(stage)
    }

    /// Tells the router to drop a stage, without waiting for its answer: the person wants to leave, and the next
    /// client should not find the router busy.
    fn abandon(&mut self, stage: u32) {
        let now = self.now();
        let mut call = Call::new(now);
        let mut buf = [0; MAX_PACKET];
        if let Ok(Step::Send(len)) =
            call.poll(&mut self.caller, now, &Ask::Abort { stage }, &mut buf)
        {
            // Otherwise the stage goes when its time is over.
            let _ = self.transport.send(buf.get(..len).unwrap_or_default());
        }
    }

    /// Lets the router drop a stage at once: there are keys in it. If that fails, time does it.
    fn forget(&mut self, stage: u32) {
        match self.call(Ask::Abort { stage }) {
            Err(error) if !error.is_gone() => {
                self.ui.detail(&format!("the stage stays until its time is over: {error}"));
            }
            _ => {}
        }
    }
}
