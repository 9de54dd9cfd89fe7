//! Downloads of reports from a router.

use proto_core::protocol::client::Download;
use proto_core::protocol::message::{Answer, Ask, Name};
use proto_core::protocol::report::{Record, Running};
use proto_core::protocol::sized;
use proto_core::protocol::{Digest, digest};

use super::machine::Downloading;
use super::{MAX_REPORT, MAX_RESTARTS, Session, SessionError};

impl Session<'_> {
    /// The running state of an interface.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn show(&mut self, interface: &Name) -> Result<Vec<Running>, SessionError> {
        self.file_again(&Ask::Show { interface: *interface }).await
    }

    /// As [`Session::file`], retried when the download has expired on the router.
    pub(super) async fn file_again<R: Record>(
        &mut self,
        ask: &Ask<'_>,
    ) -> Result<Vec<R>, SessionError> {
        for _ in 0..MAX_RESTARTS {
            match self.file(ask.clone()).await {
                Err(error) if error.is_gone() => self
                    .talk
                    .observer
                    .detail("the reply expired on the router: requesting it again"),
                outcome => return outcome,
            }
        }
        Err(SessionError::Restarts)
    }

    /// Asks for a file, fetches it, and reads its records.
    pub(super) async fn file<R: Record>(&mut self, ask: Ask<'_>) -> Result<Vec<R>, SessionError> {
        let Answer::Ready { file, length, digest: announced } = self.call(ask).await? else {
            return Err(SessionError::Nonsense("the reply names no file"));
        };
        let bytes = self.fetch(file, length, &announced).await?;
        let mut rest = bytes.as_slice();
        let mut records = Vec::new();
        while !rest.is_empty() {
            let record = sized::split(rest)
                .and_then(|(record, left)| R::read(record).map(|record| (record, left)));
            let Some((record, left)) = record else {
                return Err(SessionError::Nonsense("a record of the router's file is malformed"));
            };
            records.push(record);
            rest = left;
        }
        Ok(records)
    }

    /// Fetches a file of the router.
    pub(super) async fn fetch(
        &mut self,
        file: u32,
        length: u32,
        announced: &Digest,
    ) -> Result<Vec<u8>, SessionError> {
        if length > MAX_REPORT {
            return Err(SessionError::Nonsense("the router's file is too long"));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let (now, in_flight) = (self.talk.now(), self.hello.in_flight);
        // A whole number of pieces fills what may be under way.
        let most = u32::from(self.piece_size());
        let even =
            in_flight.checked_div(in_flight.div_ceil(most)).map_or(most, |even| even.min(most));
        let piece_size = u16::try_from(even.max(1)).unwrap_or(u16::MAX);
        let download = Download::new(now, file, &mut bytes, piece_size, in_flight);
        self.talk.drive(&mut Downloading { download, total: length, here: 0 }).await?;
        if digest(&bytes) != *announced {
            return Err(SessionError::Nonsense("the router's file changed during the download"));
        }
        Ok(bytes)
    }
}
