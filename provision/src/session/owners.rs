//! Claiming a router, and changes of its owners.

use proto_core::key::PublicKey;
use proto_core::protocol::message::{Answer, Ask, Code, Owner, OwnerName, Role};
use proto_core::protocol::session::LabelKey;

use super::{MAX_RESTARTS, Session, SessionError};

impl Session<'_> {
    /// Claims the router. `name` is the operator's name in the router's list of owners.
    ///
    /// # Errors
    /// [`SessionError`]. If [`Session::commit_sent`], a router that did not reply may or may not have recorded
    /// the claim.
    pub async fn claim(
        &mut self,
        name: &OwnerName,
        label: Option<&LabelKey>,
    ) -> Result<(), SessionError> {
        for _ in 0..MAX_RESTARTS {
            let hash = self.talk.transport.handshake_hash();
            let proof = label.zip(hash).map(|(label, hash)| label.proof(&hash));
            self.committing();
            match self.call(Ask::Claim { name: name.clone(), proof }).await {
                Ok(Answer::Owned { .. }) => return Ok(()),
                Ok(_) => return Err(SessionError::Nonsense("it did not say who owns it")),
                // A proof is valid for one session only: the next session needs a new one.
                Err(SessionError::Failed(failure))
                    if failure.code == Code::Proof
                        && hash != self.talk.transport.handshake_hash() => {}
                Err(error) => return Err(error),
            }
        }
        Err(SessionError::Restarts)
    }

    /// Lists the owners of the router.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn owners(&mut self) -> Result<Vec<Owner>, SessionError> {
        match self.call(Ask::Owners).await? {
            Answer::Owners(owners) => Ok(owners.to_vec()),
            _ => Err(SessionError::Nonsense("it did not say who owns it")),
        }
    }

    /// Adds an owner, or changes an owner's role or name. Returns the number of owners.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn add_owner(
        &mut self,
        key: PublicKey,
        role: Role,
        name: &OwnerName,
    ) -> Result<u8, SessionError> {
        self.owned(Ask::AddOwner { key, role, name: name.clone() }).await
    }

    /// Removes an owner. Returns the number of remaining owners.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn remove_owner(&mut self, key: PublicKey) -> Result<u8, SessionError> {
        self.owned(Ask::RemoveOwner { key }).await
    }

    async fn owned(&mut self, ask: Ask<'_>) -> Result<u8, SessionError> {
        match self.call(ask).await? {
            Answer::Owned { owners } => Ok(owners),
            _ => Err(SessionError::Nonsense("it did not say who owns it")),
        }
    }
}
