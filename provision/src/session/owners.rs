//! Claiming a router, and changing who owns it.

use proto_core::key::PublicKey;
use proto_core::protocol::message::{Answer, Ask, Code, Owner, OwnerName, Role};
use proto_core::protocol::session::LabelKey;

use super::{MAX_RESTARTS, Session, SessionError};

impl Session<'_> {
    /// Makes the router the operator's, under the name it is to call the operator by.
    ///
    /// # Errors
    /// [`SessionError`]. After [`Session::commit_sent`] a router that was not heard from may or may
    /// not have done it.
    pub fn claim(
        &mut self,
        name: &OwnerName,
        label: Option<&LabelKey>,
    ) -> Result<(), SessionError> {
        for _ in 0..MAX_RESTARTS {
            let hash = self.transport.handshake_hash();
            let proof = label.zip(hash).map(|(label, hash)| label.proof(&hash));
            self.commit_sent = true;
            match self.call(Ask::Claim { name: name.clone(), proof }) {
                Ok(Answer::Owned { .. }) => return Ok(()),
                Ok(_) => return Err(SessionError::Nonsense("it did not say who owns it")),
                // A proof is of one session: it may have arrived in the next.
                Err(SessionError::Failed(failure))
                    if failure.code == Code::Proof && hash != self.transport.handshake_hash() => {}
                Err(error) => return Err(error),
            }
        }
        Err(SessionError::Restarts)
    }

    /// Who owns the router.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn owners(&mut self) -> Result<Vec<Owner>, SessionError> {
        match self.call(Ask::Owners)? {
            Answer::Owners(owners) => Ok(owners.to_vec()),
            _ => Err(SessionError::Nonsense("it did not say who owns it")),
        }
    }

    /// Lets somebody in, or changes the role or name of who is. How many there are now.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn add_owner(
        &mut self,
        key: PublicKey,
        role: Role,
        name: &OwnerName,
    ) -> Result<u8, SessionError> {
        self.owned(Ask::AddOwner { key, role, name: name.clone() })
    }

    /// Lets somebody in no more. How many are left.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn remove_owner(&mut self, key: PublicKey) -> Result<u8, SessionError> {
        self.owned(Ask::RemoveOwner { key })
    }

    fn owned(&mut self, ask: Ask<'_>) -> Result<u8, SessionError> {
        match self.call(ask)? {
            Answer::Owned { owners } => Ok(owners),
            _ => Err(SessionError::Nonsense("it did not say who owns it")),
        }
    }
}
