//! Pushing an image, and requesting the changes of a push.

use proto_core::protocol::client::{Call, Step, Upload};
use proto_core::protocol::message::{Answer, Applied, Ask, Code, Name, Summary};
use proto_core::protocol::report::Change;
use proto_core::protocol::{MAX_PACKET, digest, window};

use super::machine::Ranging;
use super::opening::Begun;
use super::patch::Items;
use super::{MAX_RESTARTS, Session, SessionError};
use crate::image::Image;
use crate::observe::Event;

/// The changes that a push or a repair would make.
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
    /// [`Session::confirm`] in another session comes first. `adopt` takes over an interface that the agent did not
    /// make.
    ///
    /// # Errors
    /// [`SessionError`]. If [`Session::commit_sent`], a router that was not heard from since may or
    /// may not have made the change.
    pub async fn push(
        &mut self,
        image: &Image,
        confirm_within: u16,
        adopt: bool,
    ) -> Result<Applied, SessionError> {
        for attempt in 0..MAX_RESTARTS {
            let stage = self.upload(image, attempt == 0).await?;
            let ask = Ask::Commit { stage, confirm_within, adopt };
            match self.change(ask, confirm_within).await {
                Ok(applied) => return Ok(applied),
                Err(error) => self.try_again(stage, attempt, error).await?,
            }
        }
        Err(SessionError::Restarts)
    }

    /// Requests the changes that [`Session::push`] would make.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn diff(&mut self, image: &Image) -> Result<Diff, SessionError> {
        for attempt in 0..MAX_RESTARTS {
            let stage = self.upload(image, attempt == 0).await?;
            match self.planned(Ask::Plan { stage }, stage).await {
                Ok(diff) => {
                    self.forget(stage).await;
                    return Ok(diff);
                }
                Err(error) => self.try_again(stage, attempt, error).await?,
            }
        }
        Err(SessionError::Restarts)
    }

    /// Requests a plan, and its changes if there are any.
    pub(super) async fn planned(&mut self, ask: Ask<'_>, stage: u32) -> Result<Diff, SessionError> {
        let Answer::Planned(summary) = self.call(ask).await? else {
            return Err(SessionError::Nonsense("unexpected reply to the request for a plan"));
        };
        let quiet = summary.is_quiet();
        let changes = if quiet { Vec::new() } else { self.file(Ask::Changes { stage }).await? };
        Ok(Diff { summary, changes })
    }

    /// Removes an interface. The summary counts the removed items. `confirm_within` is as for
    /// [`Session::push`].
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn remove(
        &mut self,
        interface: &Name,
        confirm_within: u16,
    ) -> Result<Applied, SessionError> {
        self.change(Ask::Remove { interface: *interface, confirm_within }, confirm_within).await
    }

    /// What to do about a request for a stage that failed: nothing if the stage has expired, so that the image is to be
    /// uploaded again.
    async fn try_again(
        &mut self,
        stage: u32,
        attempt: u32,
        error: SessionError,
    ) -> Result<(), SessionError> {
        if error.is_gone() {
            self.talk.observer.detail("the upload has expired on the router: starting over");
        } else if error.is_digest() && attempt == 0 {
            // Two ranges with one short digest are rare, but not impossible.
            self.talk.observer.detail("the patch did not apply: sending the whole image");
        } else {
            // Otherwise the next client, with the corrected file, would find the router busy.
            if error.is_heard() {
                self.forget(stage).await;
            }
            return Err(error);
        }
        Ok(())
    }

    /// Brings an image onto the router: by its digest if the router has it, as its differences from the stored one
    /// if there are few and this is the `first` try, or else whole.
    async fn upload(&mut self, image: &Image, first: bool) -> Result<u32, SessionError> {
        let (piece_size, in_flight) = (self.piece_size(), self.hello.in_flight);
        let mut begun = self.take_begun(image);
        let mut upload =
            Upload::new(self.talk.now(), image.interface, &image.bytes, piece_size, in_flight)
                .map_err(|error| self.talk.ended(error))?;
        if first && !upload.is_announced_whole() {
            let (stage, complete) = self.announce(image, begun.as_ref()).await?;
            if complete {
                return Ok(stage);
            }
            let ranges = begun.as_mut().and_then(|begun| begun.ranges.take());
            match self.upload_patch(image, ranges).await {
                Ok(Some(stage)) => return Ok(stage),
                Ok(None) => {}
                Err(error) => {
                    if error.is_interrupt() {
                        self.abandon(stage);
                    }
                    return Err(error);
                }
            }
        }
        let now = self.talk.now();
        upload.begin_at(now);
        if let Some(begun) = begun {
            upload.adopt(now, begun.stage, begun.arrived);
            let (done, total) = upload.progress();
            self.talk.observer.event(Event::Uploading { done, total });
        }
        if let Err(error) = self.talk.drive(&mut upload).await {
            if let (true, Some(stage)) = (error.is_interrupt(), upload.begun()) {
                self.abandon(stage);
            }
            return Err(error);
        }
        let stage = upload.stage().ok_or(SessionError::Nonsense("it named no stage"))?;
        self.talk
            .observer
            .detail(&format!("{} bytes are on the router as stage {stage}", image.bytes.len()));
        Ok(stage)
    }

    /// Tells the router to drop a stage, without waiting for its answer: the person wants to leave, and the next
    /// client should not find the router busy.
    fn abandon(&mut self, stage: u32) {
        let now = self.talk.now();
        let mut call = Call::new(now);
        let mut buf = [0; MAX_PACKET];
        if let Ok(Step::Send(len)) =
            call.poll(&mut self.talk.caller, now, &Ask::Abort { stage }, &mut buf)
        {
            // Best effort: otherwise the stage expires.
            let _ = self.talk.transport.send(buf.get(..len).unwrap_or_default());
        }
    }

    /// Announces an image. Returns the stage, and whether the router has the whole image.
    async fn announce(
        &mut self,
        image: &Image,
        begun: Option<&Begun>,
    ) -> Result<(u32, bool), SessionError> {
        let piece_size = self.piece_size();
        let length = u32::try_from(image.bytes.len())
            .map_err(|_| SessionError::Nonsense("the image is over 4 GiB"))?;
        let ask = Ask::Begin {
            interface: image.interface,
            length,
            digest: digest(&image.bytes),
            piece_size,
            patch: None,
            data: &[],
        };
        let answer = match begun {
            Some(&Begun { stage, arrived, .. }) => Answer::Received { stage, arrived },
            None => self.call(ask).await?,
        };
        match answer {
            Answer::Received { stage, arrived } => {
                let complete = arrived.base >= window::pieces(length, piece_size);
                if complete {
                    self.talk.observer.detail("the router has this configuration already");
                }
                Ok((stage, complete))
            }
            _ => Err(SessionError::Nonsense("it named no stage")),
        }
    }

    /// Sends an image as a patch of the stored one. Returns the stage, or `None` if the whole image must be sent.
    async fn upload_patch(
        &mut self,
        image: &Image,
        asked: Option<Option<(u32, Vec<u8>)>>,
    ) -> Result<Option<u32>, SessionError> {
        let Some(items) = Items::new(&image.bytes) else { return Ok(None) };
        let mut bounds = items.first_bounds();
        let asked = match asked {
            Some(asked) => asked,
            None => self.ranges(image, &items.encode(&bounds)).await?,
        };
        let Some((base, ranges)) = asked else { return Ok(None) };
        let Some(mut compared) = items.compare(&bounds, &ranges) else { return Ok(None) };
        if let Some(second) = items.second_bounds(&compared) {
            bounds = second;
            match self.ranges(image, &items.encode(&bounds)).await? {
                Some((number, ranges)) if number == base => {
                    let Some(second) = items.compare(&bounds, &ranges) else { return Ok(None) };
                    compared = second;
                }
                // Another client stored something in between.
                _ => return Ok(None),
            }
        }
        let patch = items.patch(&compared);
        if patch.len() > image.bytes.len() / 2 {
            return Ok(None);
        }
        let (now, piece_size, in_flight) =
            (self.talk.now(), self.piece_size(), self.hello.in_flight);
        let whole = (&*image.bytes, base);
        let mut upload = Upload::patch(now, image.interface, whole, &patch, piece_size, in_flight)
            .map_err(|error| self.talk.ended(error))?;
        self.talk.drive(&mut upload).await?;
        let stage = upload.stage().ok_or(SessionError::Nonsense("it named no stage"))?;
        self.talk.observer.detail(&format!(
            "{} bytes of differences from number {base} are on the router as stage {stage}",
            patch.len()
        ));
        Ok(Some(stage))
    }

    /// The number of the stored configuration and its ranges; `None` if nothing is stored or the router is too old.
    async fn ranges(
        &mut self,
        image: &Image,
        bounds: &[u8],
    ) -> Result<Option<(u32, Vec<u8>)>, SessionError> {
        let ask = Ask::Ranges { interface: image.interface, bounds };
        let mut ranging = Ranging { call: Call::new(self.talk.now()), ask, ranges: None };
        match self.talk.drive(&mut ranging).await {
            Ok(()) => Ok(ranging.ranges),
            Err(SessionError::Failed(failure))
                if matches!(failure.code, Code::NotStored | Code::Unsupported | Code::Damaged) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks the router to drop a stage at once, because it contains keys. If that fails, the stage expires.
    async fn forget(&mut self, stage: u32) {
        match self.call(Ask::Abort { stage }).await {
            Err(error) if !error.is_gone() => {
                self.talk.observer.detail(&format!("the stage stays until it expires: {error}"));
            }
            _ => {}
        }
    }
}
