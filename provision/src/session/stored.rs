//! Stored configurations and the pending change: confirm and revert, history and rollback, drift and repair.

use proto_core::protocol::message::{Answer, Applied, Ask, Code, Failure, Name, cut};
use proto_core::protocol::report::Stored;

use super::{Diff, MAX_RESTARTS, Session, SessionError};

/// The stage by which a router knows the changes of a [`Session::drift`].
const NO_STAGE: u32 = 0;

impl Session<'_> {
    /// Confirms the pending change. Returns its interface and its number in the history.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn confirm(&mut self) -> Result<(Name, u32), SessionError> {
        match self.call(Ask::Confirm).await? {
            Answer::Confirmed { interface, number } => Ok((interface, number)),
            _ => Err(SessionError::Nonsense("unexpected reply to a confirmation")),
        }
    }

    /// Reverts the pending change. Returns its interface.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn revert(&mut self) -> Result<Name, SessionError> {
        match self.call(Ask::Revert).await? {
            Answer::Reverted { interface } => Ok(interface),
            _ => Err(SessionError::Nonsense("unexpected reply to a revert")),
        }
    }

    /// The history of an interface, newest first, or the newest configuration of every interface.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn history(&mut self, interface: Option<&Name>) -> Result<Vec<Stored>, SessionError> {
        self.file_again(&Ask::History { interface: interface.copied() }).await
    }

    /// Requests the changes that [`Session::repair`] would make.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn drift(&mut self, interface: &Name) -> Result<Diff, SessionError> {
        for _ in 0..MAX_RESTARTS {
            match self.planned(Ask::Drift { interface: *interface }, NO_STAGE).await {
                Err(error) if error.is_gone() => self
                    .talk
                    .observer
                    .detail("the reply expired on the router: requesting it again"),
                outcome => return outcome,
            }
        }
        Err(SessionError::Restarts)
    }

    /// Applies the stored configuration again. `confirm_within` is as for [`Session::push`].
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn repair(
        &mut self,
        interface: &Name,
        confirm_within: u16,
    ) -> Result<Applied, SessionError> {
        self.change(Ask::Repair { interface: *interface, confirm_within }, confirm_within).await
    }

    /// Restores the stored configuration before the one that the router starts with, and stores it
    /// again. `confirm_within` is as for [`Session::push`].
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn rollback_one(
        &mut self,
        interface: &Name,
        confirm_within: u16,
    ) -> Result<Applied, SessionError> {
        let stored = self.history(Some(interface)).await?;
        let whole = stored.iter().position(|stored| !stored.damaged);
        let before = whole.and_then(|whole| stored.get(whole.saturating_add(1)));
        // Where there is none the router is asked all the same: it may be busy, or not allow it at all.
        let outcome = self
            .rollback(interface, before.map_or(0, |stored| stored.number), confirm_within)
            .await;
        match outcome {
            Err(SessionError::Failed(failure))
                if before.is_none() && failure.code == Code::NotStored =>
            {
                let text = if stored.is_empty() {
                    "no configuration of it is stored"
                } else {
                    "there is no stored configuration before this one"
                };
                let failure = Failure { text: cut(text), ..*failure };
                Err(SessionError::Failed(failure.into()))
            }
            outcome => outcome,
        }
    }

    /// Restores and stores an earlier configuration: that with `number` in the history.
    /// `confirm_within` is as for [`Session::push`].
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn rollback(
        &mut self,
        interface: &Name,
        number: u32,
        confirm_within: u16,
    ) -> Result<Applied, SessionError> {
        let interface = *interface;
        self.change(Ask::Rollback { interface, number, confirm_within }, confirm_within).await
    }
}
