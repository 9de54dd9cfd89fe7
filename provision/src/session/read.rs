//! Reading what a router has in bulk.

use proto_core::protocol::client::Download;
use proto_core::protocol::digest;
use proto_core::protocol::message::{Answer, Ask, Name};
use proto_core::protocol::report::{Record, Running};
use proto_core::protocol::sized;

use super::machine::Downloading;
use super::{MAX_REPORT, MAX_RESTARTS, Session, SessionError};

impl Session<'_> {
    /// The running state of an interface.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn show(&mut self, interface: &Name) -> Result<Vec<Running>, SessionError> {
        self.file_again(&Ask::Show { interface: *interface })
    }

    /// [`Session::file`], asked for anew when the router forgot it.
    pub(super) fn file_again<R: Record>(&mut self, ask: &Ask<'_>) -> Result<Vec<R>, SessionError> {
        for _ in 0..MAX_RESTARTS {
            match self.file(ask.clone()) {
                Err(error) if error.is_gone() => self.ui.detail("the router forgot: asking anew"),
                outcome => return outcome,
            }
        }
        Err(SessionError::Restarts)
    }

    /// Asks for a file, fetches it, and reads its records.
    pub(super) fn file<R: Record>(&mut self, ask: Ask<'_>) -> Result<Vec<R>, SessionError> {
        let Answer::Ready { file, length, digest: announced } = self.call(ask)? else {
            return Err(SessionError::Nonsense("it has no file to read"));
        };
        if length > MAX_REPORT {
            return Err(SessionError::Nonsense("its file is too long to be true"));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let (now, piece_size, in_flight) = (self.now(), self.piece_size(), self.hello.in_flight);
        let download = Download::new(now, file, &mut bytes, piece_size, in_flight);
        self.drive(&mut Downloading { download, total: length, here: 0 })?;
        if digest(&bytes) != announced {
            return Err(SessionError::Nonsense("its file changed while it was read"));
        }
        let mut rest = bytes.as_slice();
        let mut records = Vec::new();
        while !rest.is_empty() {
            let record = sized::split(rest)
                .and_then(|(record, left)| R::read(record).map(|record| (record, left)));
            let Some((record, left)) = record else {
                return Err(SessionError::Nonsense("a record of its file cannot be read"));
            };
            records.push(record);
            rest = left;
        }
        Ok(records)
    }
}
