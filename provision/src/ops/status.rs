//! The state of a router, and whether its kernel matches the stored configurations.

use proto_core::protocol::message::{Code, Failure, Pending, Status};
use proto_core::protocol::report::{Act, Stored};

use super::{Error, Router, Target};
use crate::observe::Observer;
use crate::session::{Diff, Session, SessionError};

/// The state of a router.
#[derive(Debug)]
pub struct Health {
    /// The router.
    pub router: Router,
    /// Its report about itself.
    pub status: Status,
    /// The newest stored configuration of each interface.
    pub stored: Vec<Agreement>,
}

impl Health {
    /// Whether the kernel differs from a stored configuration, apart from a pending change, or the router noticed that
    /// another program changed an interface.
    #[must_use]
    pub fn drifts(&self) -> bool {
        self.status.drifting > 0
            || self.stored.iter().any(|stored| stored.agrees() == Some(false) && !stored.expected)
    }
}

/// The newest stored configuration of an interface, and whether the kernel matches it.
#[derive(Debug)]
pub struct Agreement {
    /// The stored configuration.
    pub stored: Stored,
    /// The changes that a repair would make; `None` if there is nothing to compare, or the router
    /// could not.
    pub drift: Option<Diff>,
    /// Why the router could not compare.
    pub failure: Option<Failure>,
    /// Whether the difference is the pending change.
    pub expected: bool,
}

impl Agreement {
    /// Whether the kernel matches, if that is known.
    #[must_use]
    pub fn agrees(&self) -> Option<bool> {
        self.drift.as_ref().map(|drift| drift.summary.is_quiet())
    }
}

/// Asks a router for its state.
///
/// # Errors
/// [`Error`].
pub async fn status(target: &Target, observer: &mut dyn Observer) -> Result<Health, Error> {
    let mut session = target.open(observer).await?;
    let newest = match session.history(None).await {
        // An unclaimed router reports its status, but no stored configurations.
        Err(SessionError::Failed(failure)) if failure.code == Code::Unclaimed => Vec::new(),
        newest => newest?,
    };
    let mut stored = Vec::new();
    for newest in newest {
        stored.push(agreement(&mut session, newest).await?);
    }
    Ok(Health { router: Router::of(&session), status: session.status().clone(), stored })
}

/// Asks whether the kernel matches a stored configuration. That the router cannot say is a part of the answer.
async fn agreement(session: &mut Session<'_>, stored: Stored) -> Result<Agreement, SessionError> {
    let waits = |pending: &Pending| pending.interface == stored.interface;
    let expected = session.status().pending.as_ref().is_some_and(waits);
    let (drift, failure) = if stored.damaged || stored.act == Act::Removed {
        (None, None)
    } else {
        match session.drift(&stored.interface).await {
            Ok(drift) => (Some(drift), None),
            Err(SessionError::Failed(failure)) => (None, Some(*failure)),
            Err(error) => return Err(error),
        }
    };
    Ok(Agreement { stored, drift, failure, expected })
}
